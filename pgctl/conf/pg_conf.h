/* PURE: the texts of PostgreSQL's configuration, and the postmaster's arguments. Everything is put
 * into a caller's `struct buf`; input was checked by pg_parameters_check and pg_conf_check. */
#ifndef PGCTL_CONF_PG_CONF_H
#define PGCTL_CONF_PG_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "pgctl/pg_security.h"
#include "pgctl/pg_types.h"

#define PG_GUARD_MODULE   "pgquorum_guard"
#define PG_SERVICE_NAME   "pgquorum"
#define PG_CONF_OURS      "# Written by pgquorum: " /* how a file of ours begins */
#define PG_CONF_SYNC_FILE "postgresql.sync.conf"

struct pg_conf {
    const char *scope;
    const char *member;
    const char *listen;
    uint16_t port;
    int major;             /* 13, ...: of the server that reads it; 0 = only what all know */
    const char *slot_name; /* NULL: none is used */
    struct pg_parameters parameters;
    struct pg_parameters recovery_conf;
    bool nostream; /* a standby receives from nobody */
    bool keeps_logical;
    bool decodes;         /* wal_level logical is in effect on the server that reads it */
    const char *database; /* where the server's own worker for slots connects; 17 */
    bool guard;           /* pgquorum_guard is loaded, beside what the parameters name */
    bool standby;
    const struct pg_control *control; /* of the data directory; NULL = unknown */
    const char *custom_conf; /* included in place of postgresql.base.conf; NULL = none is */
    const char *base_name;   /* of "<base_name>.base.conf"; NULL = "postgresql" */
    const char *include_dir; /* where the others are that it includes; NULL = beside it */
    /* Configuration apart from the data: the two directories. NULL = they are one. */
    const char *config_dir;
    const char *data_dir;
};

/* Text without line breaks and other control characters: what may stand in a line of any of these
 * files. */
bool pg_conf_is_line(const char *text);

/* Value of a controlled setting (configuration.md, "Controlled GUCs") as it will be passed: given,
 * else its default, and on a standby never below the control file's. NULL if `name` is not
 * controlled. `ret_value` has PG_VALUE_BYTES. */
const char *pg_conf_controlled(const struct pg_conf *conf, const char *name, char *ret_value);

/* Would a start with this configuration give the controlled setting `name` another value than the
 * `running` one? What the control file asks of a standby does not count: it is to go when it can.
 * `ret_value` (PG_VALUE_BYTES) is what is configured. */
bool pg_conf_differs(const struct pg_conf *conf, const char *name, const char *running,
                     char *ret_value);

/* postgresql.conf: the include of postgresql.base.conf, sorted settings, recovery settings, the
 * include of postgresql.sync.conf (pgctl/pg_sync.h). */
void pg_conf_put(struct buf *out, const struct pg_conf *conf);

/* "--name=value" of every controlled setting, each a string of its own
 * (mem_free), at most `count_max`; returns the count. */
#define PG_CONF_ARGS_MAX 20
size_t pg_conf_arguments(const struct pg_conf *conf, char **ret_args, size_t count_max);

/* postgresql.auto.conf without the settings that are ours: it would win over postgresql.conf. */
void pg_conf_filter_auto(struct buf *out, struct span text);

/* Service file: where, as whom and how secured. NULL host: an entry that cannot connect. */
struct pg_service {
    const char *host;
    uint16_t port;
    const char *user;
    const char *passfile;
    const struct pg_security *security; /* NULL: libpq's defaults */
    bool primary_only;                  /* of several hosts, the one that takes writes */
    bool receiver; /* for a walreceiver: both ends notice within seconds that nobody is there any
                      more. A copy of hours outlives a short break of the network */
};
void pg_conf_service(struct buf *out, const struct pg_service *service);

/* A line of a password file; every field escaped. `user` NULL = any. */
void pg_conf_pgpass(struct buf *out, const char *user, const char *password);

/* pg_hba.conf and pg_ident.conf: a do-not-edit comment and the lines. */
void pg_conf_lines(struct buf *out, const struct pg_lines *lines);

/* History file of a timeline that is left out: a running standby refuses to follow it, PostgreSQL's
 * promotion skips it. */
void pg_conf_skipped_history(struct buf *out, uint32_t current_timeline);
bool pg_conf_is_skipped_history(struct span text);

/* --- quoting ---------------------------------------------------------------------------------- */

void pg_quote_conf(struct buf *out, const char *value); /* 'it''s', backslashes doubled */
/* Settings behind all others, for one start: they win. */
void pg_conf_put_more(struct buf *out, const struct pg_parameters *parameters);
void pg_quote_conninfo(struct buf *out, const char *value); /* 'it\'s' */
void pg_quote_ident(struct buf *out, const char *name);     /* "a""b" */
void pg_quote_literal(struct buf *out,
                      const char *value); /* 'it''s', E'' if there is a backslash */

/* CREATE ROLE; `options` are words like CREATEDB. A password may be put behind it. ERR_INVALID for
 * an option that is not a plain word. */
int pg_conf_role_sql(struct buf *out, const char *name, const struct pg_lines *options,
                     struct error *err) MUST_CHECK;

#endif
