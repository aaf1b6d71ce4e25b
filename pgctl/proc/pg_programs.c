/* What of pg_bin others may see. */
#include "pgctl/pg_programs.h"

#include "base/mem.h"
#include "pgctl/proc/pg_bin.h"

#include <stdio.h>

int pg_programs_find(const char *bin_dir, const struct pg_program_names *names,
                     struct pg_programs *ret_programs, struct error *err)
{
    struct pg_bin *bin = mem_new(struct pg_bin); /* large: not on the stack */
    int rc = pg_bin_find(bin_dir, names, bin, err);
    if (rc == 0) {
        (void)snprintf(ret_programs->dir, sizeof ret_programs->dir, "%s", bin->dir);
        ret_programs->major = bin->major;
        struct error why = {0};
        ret_programs->has_guard = pg_bin_check_guard(bin, &why) == 0;
        (void)snprintf(ret_programs->guard_why, sizeof ret_programs->guard_why, "%s", why.text);
    }
    mem_free(bin);
    return rc;
}
