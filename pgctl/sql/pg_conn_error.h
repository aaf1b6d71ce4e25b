/* PURE. Why a connection was not made, from libpq's message in PQERRORS_VERBOSE. */
#ifndef PGCTL_SQL_PG_CONN_ERROR_H
#define PGCTL_SQL_PG_CONN_ERROR_H

#include "base/err.h"

#include <stdbool.h>

/* `message` is PQerrorMessage's, `needs_password` PQconnectionNeedsPassword's answer. Sets and
 * returns one of ERR_PERMISSION (who we are, or what we asked for), ERR_UNAVAILABLE (the server
 * answered, and lets nobody in now), ERR_CLOSED (no server said anything); the text is the message
 * on one line, without the places in PostgreSQL's source. */
int pg_conn_error_read(const char *message, bool needs_password, struct error *ret_err);

#endif
