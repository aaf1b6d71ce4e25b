/* PURE. Passwords of roles: what a server takes in their place, and a session that keeps no word of
 * them. */
#ifndef PGCTL_CONF_PG_PASSWORD_H
#define PGCTL_CONF_PG_PASSWORD_H

#include <stdbool.h>

/* True for what the server stores as it is (get_password_type of 13 to 17): an MD5 hash, or a
 * SCRAM-SHA-256 verifier. */
bool pg_password_is_verifier(const char *password);

/* A query for a superuser's session of its own: from then on nothing logs, counts or shows its
 * statements. One row and column first: the server's password_encryption. */
extern const char pg_password_quiet_sql[];

#endif
