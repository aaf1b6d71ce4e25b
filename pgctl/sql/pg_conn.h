/* One libpq connection on the loop. One call at a time (connect, then queries); each has its
 * deadline and ends in one callback, never inside the call that asked. */
#ifndef PGCTL_SQL_PG_CONN_H
#define PGCTL_SQL_PG_CONN_H

#include "base/err.h"
#include "pgctl/pg_security.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct pg_conn;

enum pg_conn_walsender {
    PG_CONN_BACKEND,  /* no walsender: plain SQL */
    PG_CONN_PHYSICAL, /* IDENTIFY_SYSTEM and the like; "replication" lines of pg_hba.conf */
    PG_CONN_DATABASE, /* the same commands; let in as an ordinary client of the database is */
};

struct pg_conn_target {
    const char *host; /* address, name, or directory of a socket (begins with '/') */
    uint16_t port;
    const char *user;
    const char *password;               /* NULL: none */
    const struct pg_security *security; /* NULL: libpq's defaults; has no meaning on a socket */
    const char *database;
    const char *application_name;
    int statement_timeout_ms; /* 0 = none */
    enum pg_conn_walsender walsender;
};

#define PG_CONN_RESULTS_MAX 8 /* results of one query text; more is ERR_LIMIT */

struct pg_answer {
    int count;
    PGresult *results[PG_CONN_RESULTS_MAX]; /* cleared after the callback; who sets one to NULL has
                                               taken it */
};

/* rc 0 and the answer (NULL for connect). ERR_REFUSED: the server answered with an error, `err` has
 * its words and the connection can go on; ERR_TIMEOUT, ERR_CLOSED, ERR_PERMISSION (who we are),
 * ERR_UNAVAILABLE (the server lets nobody in: starting up, shutting down, full): it is dead, free
 * it. */
typedef void (*pg_conn_cb)(void *arg, int rc, struct pg_answer *answer, const struct error *err);

/* Resolves the name without blocking, connects, logs in. Strings are copied. */
int pg_conn_open(struct uv_loop_s *loop, const struct pg_conn_target *target, int64_t timeout_ms,
                 pg_conn_cb done, void *arg, struct pg_conn **ret_conn,
                 struct error *err) MUST_CHECK;
/* `sql` may hold several statements: one result each, in one implicit transaction. */
int pg_conn_query(struct pg_conn *conn, const char *sql, int64_t timeout_ms, pg_conn_cb done,
                  void *arg, struct error *err) MUST_CHECK;
/* What the server takes in place of `password`, which then needs not be sent to it: the verifier of
 * that role for `encryption`, a value of password_encryption. Asks nobody; a few ms of computing on
 * a connection that is made. ERR_UNSUPPORTED: our libpq does not know it. *ret_verifier: mem_free.
 */
int pg_conn_verifier(struct pg_conn *conn, const char *role, const char *password,
                     const char *encryption, char **ret_verifier, struct error *err) MUST_CHECK;
/* True if a query can be asked. */
bool pg_conn_usable(const struct pg_conn *conn);
/* Any time; no callback comes any more. NULL is accepted. The loop gives back what it holds on its
 * next turns. */
void pg_conn_free(struct pg_conn *conn);

#endif
