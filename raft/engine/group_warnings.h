/* Which warnings were told a short time ago, so that what goes on is not told again and again. */
#ifndef RAFT_ENGINE_GROUP_WARNINGS_H
#define RAFT_ENGINE_GROUP_WARNINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROUP_WARNINGS_KEPT     16
#define GROUP_WARNING_REPEAT_MS 60000

struct group_warning {
    char *text; /* whole: two that only begin alike are two */
    int64_t told_ms;
};

/* Zeroed = nothing was told. */
struct group_warnings {
    struct group_warning list[GROUP_WARNINGS_KEPT];
    size_t next;
};

/* True if `text` is to be told now; then it counts as told. */
bool group_warnings_tell(struct group_warnings *warnings, const char *text, int64_t now_ms);
void group_warnings_free(struct group_warnings *warnings);

#endif
