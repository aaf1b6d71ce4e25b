#include "base/descriptors.h"

#include <sys/resource.h>

size_t descriptors_raise(size_t wanted)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted) {
        struct rlimit more = limit;
        more.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        limit = setrlimit(RLIMIT_NOFILE, &more) == 0 ? more : limit;
    }
    return limit.rlim_cur;
}
