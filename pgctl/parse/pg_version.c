/* Version texts, and which versions we work with. */
#include "pgctl/pg_parse.h"

#include <stdlib.h>
#include <string.h>

/* The first number that stands at the begin of a word, so that "postgres13" in a path is none. */
static const char *find_number(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c >= '0' && *c <= '9' && (c == text || c[-1] == ' ')) {
            return c;
        }
    }
    return NULL;
}

int pg_version_parse(const char *text, int *ret_major, struct error *err)
{
    const char *number = find_number(text);
    unsigned long major = number == NULL ? 0 : strtoul(number, NULL, 10);

    if (major == 0 || major > 99) {
        return error_set(err, ERR_CORRUPT, "no PostgreSQL version in '%.80s'", text);
    }
    *ret_major = (int)major;
    return 0;
}

int pg_version_check(int major, const char *where, struct error *err)
{
    if (major < PG_MAJOR_MIN) {
        return error_set(err, ERR_UNSUPPORTED,
                         "%s is PostgreSQL %d: versions %d to %d are supported. Upgrade with "
                         "pg_upgrade, or name a newer "
                         "installation in postgresql.bin_dir",
                         where, major, PG_MAJOR_MIN, PG_MAJOR_MAX);
    }
    if (major > PG_MAJOR_MAX) {
        return error_set(err, ERR_UNSUPPORTED,
                         "%s is PostgreSQL %d: versions %d to %d are supported. Name one of them "
                         "in postgresql.bin_dir, or "
                         "install a newer pgquorum",
                         where, major, PG_MAJOR_MIN, PG_MAJOR_MAX);
    }
    return 0;
}
