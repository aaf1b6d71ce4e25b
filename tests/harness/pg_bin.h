/* The PostgreSQL that the tests run: that of Debian 12, or of 13. */
#ifndef TESTS_HARNESS_PG_BIN_H
#define TESTS_HARNESS_PG_BIN_H

#if __has_include("/usr/lib/postgresql/15/bin/postgres")
#define PG_HERE       15
#define PG_HERE_TEXT  "15"
#define PG_HERE_SPACE "PG_15_202209061" /* its directory in a tablespace's */
#else
#define PG_HERE       17
#define PG_HERE_TEXT  "17"
#define PG_HERE_SPACE "PG_17_202406281"
#endif
#define PG_BIN "/usr/lib/postgresql/" PG_HERE_TEXT "/bin"

#endif
