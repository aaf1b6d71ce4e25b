/* PURE. How the connections of an account are secured: parameters of libpq, which Patroni's files
 * have beside username and password under the same names. One table serves the file's reader, our
 * own connections, and the service files of walreceivers, pg_basebackup and pg_rewind. */
#ifndef PGCTL_PG_SECURITY_H
#define PGCTL_PG_SECURITY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum pg_security_key {
    PG_SECURITY_SSLMODE,
    PG_SECURITY_SSLCERT,
    PG_SECURITY_SSLKEY,
    PG_SECURITY_SSLPASSWORD,
    PG_SECURITY_SSLROOTCERT,
    PG_SECURITY_SSLCRL,
    PG_SECURITY_SSLCRLDIR,
    PG_SECURITY_SSLNEGOTIATION,
    PG_SECURITY_GSSENCMODE,
    PG_SECURITY_CHANNEL_BINDING,
    PG_SECURITY_KRBSRVNAME,
    PG_SECURITY_COUNT
};

enum pg_security_kind {
    PG_SECURITY_WORD, /* one of `words` */
    PG_SECURITY_FILE, /* a path; `words` are special values that are none */
    PG_SECURITY_SECRET,
    PG_SECURITY_COMMON, /* given once, for all accounts */
};

struct pg_security_row {
    const char *name;
    enum pg_security_kind kind;
    const char *words; /* with a space between them */
    int since;         /* first major version of libpq and PostgreSQL that knows it */
    int words_since;   /* and the words of a file */
};

extern const struct pg_security_row pg_security_rows[PG_SECURITY_COUNT];

/* Values by key; NULL = not given, and libpq's own default holds. */
struct pg_security {
    const char *values[PG_SECURITY_COUNT];
};

/* True if `word` is one of the row's words. */
bool pg_security_has_word(const struct pg_security_row *row, const char *word);

/* ERR_INVALID for a value that would not come out of a service file as it went in, ERR_UNSUPPORTED
 * for a key that `major` does not know. `where` is the account's name in the file, such as
 * "postgresql.authentication.superuser"; `whose` whose version it is. */
int pg_security_check(const struct pg_security *security, const char *where, int major,
                      const char *whose, struct error *err) MUST_CHECK;

#endif
