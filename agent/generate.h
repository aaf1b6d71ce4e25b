/* `pgquorum --generate-config` and `--generate-sample-config`: a file to begin with. */
#ifndef AGENT_GENERATE_H
#define AGENT_GENERATE_H

/* To `path` (0600, for it has passwords; one that is there is not overwritten), or to standard
 * output if that is NULL. 0, or 1 with a line on standard error. */
int generate_sample(const char *path);

/* From a PostgreSQL that runs: its settings, pg_hba.conf and pg_ident.conf, over a connection of a
 * superuser. `dsn` (may be NULL) is libpq's connection string. Waits: never on a running loop. */
int generate_from_instance(const char *path, const char *dsn);

/* A part of it: `listen` and `connect_address` of the section `postgresql`, from what PostgreSQL
 * has in listen_addresses and port, and `ip` where no other host would reach it. */
struct json_t;
void generate_addresses(const char *ip, const char *addresses, const char *port,
                        struct json_t *postgresql);

#endif
