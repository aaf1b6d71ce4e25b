/* PURE. The dynamic configuration: the JSON object under the key `config`, Patroni's names.
 *
 * Two ways in. What is *stored already* (in the store, a file, bootstrap.dcs) is adjusted in memory
 * as Patroni does, with one warning, because a cluster must not stop over an old value. What
 * somebody *wants to store* (PATCH, PUT, edit-config) is refused whole when it breaks a rule,
 * naming key, value and what would be right. Keys that we do not serve, and a `standby_cluster`
 * that cannot be obeyed, are refused both ways: a stored one means that this member must not
 * promote. */
#ifndef AGENT_CONFIG_DYNAMIC_H
#define AGENT_CONFIG_DYNAMIC_H

#include "base/err.h"
#include "pgctl/pg_instance.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The smallest ttl, which the functions below are given: a lease of etcd's counts in whole seconds
 * and is kept alive by calls, not by a log of our own. */
#define DYNAMIC_TTL_MS_MIN_RAFT      3000
#define DYNAMIC_TTL_MS_MIN_ETCD      5000
#define DYNAMIC_TTL_MS_MAX           ((int64_t)24 * 3600 * 1000)
#define DYNAMIC_LOOP_WAIT_MS_MIN     1000
#define DYNAMIC_RETRY_TIMEOUT_MS_MIN 1000
#define DYNAMIC_HANG_TIMEOUT_MS_MIN  3000
#define DYNAMIC_DISK_TIMEOUT_MS_MIN  1000

enum dynamic_synchronous {
    DYNAMIC_SYNCHRONOUS_OFF,
    DYNAMIC_SYNCHRONOUS_ON,     /* the first synchronous_node_count standbys */
    DYNAMIC_SYNCHRONOUS_QUORUM, /* any synchronous_node_count of all */
};

#define DYNAMIC_SYNCHRONOUS_NODES_MAX 16

struct dynamic_config {
    int64_t ttl_ms;                        /* 30 s */
    int64_t loop_wait_ms;                  /* 10 s */
    int64_t retry_timeout_ms;              /* 10 s; loop_wait + 2 * retry_timeout <= ttl holds */
    int64_t maximum_lag_on_failover_bytes; /* 1 MiB */
    int64_t primary_start_timeout_ms;      /* 300 s; 0 = fail over at once */
    int64_t crash_loop_window_ms;          /* 300 s; 0 = crashes are not counted */
    int64_t hang_timeout_ms;               /* the three: 0 = not given, see the functions below */
    int64_t disk_stall_timeout_ms;
    int64_t disk_failure_timeout_ms;
    int64_t minimum_free_disk_bytes;       /* 32 MiB; 0 = only what a write says counts */
    int64_t member_slots_ttl_ms;           /* 30 min */
    int max_timelines_history;             /* 0 = all */
    int64_t maximum_lag_on_syncnode_bytes; /* -1; 0 or less = no limit */
    enum dynamic_synchronous synchronous_mode;
    bool synchronous_mode_strict;
    int synchronous_node_count; /* 1 */
    bool early_failover;        /* strict modes on the Raft group alone */
    bool check_timeline;
    bool paused;        /* `pause` */
    bool failsafe_mode; /* has an effect with an etcd as the store only */
    /* `standby_cluster` is there (agent/config/dynamic_standby.h): nobody is promoted, and what is
     * synchronous is off, whatever the document says of it. */
    bool standby_cluster;
    bool use_slots;     /* true */
    bool use_pg_rewind; /* false; a value in the file replaces it */
    json_t *document; /* the object as stored, unknown keys included; owned; dynamic_config_free */
};

/* Built-in defaults, document {}. */
void dynamic_config_init(struct dynamic_config *config);
void dynamic_config_free(struct dynamic_config *config);

/* A warning that would be longer ends in "...". */
#define DYNAMIC_WARNING_BYTES 512
void dynamic_warning_give(const char *text, char *ret_warning); /* NULL is accepted */

/* Reads what is stored. `document` NULL or no object is ERR_INVALID: the configuration in force
 * stays. A key that we do not serve, or a standby_cluster that cannot be obeyed, is
 * ERR_UNSUPPORTED: no promotion while it is there. Otherwise 0, and `warning`
 * (DYNAMIC_WARNING_BYTES, may be NULL) says what was adjusted, "" if nothing. A copy of `document`
 * is kept. *ret_config is set only on success. */
int dynamic_config_parse(const json_t *document, int64_t ttl_min_ms,
                         struct dynamic_config *ret_config, char *warning,
                         struct error *err) MUST_CHECK;

/* Strict look at a whole document that somebody wants to store. `before` (may be NULL) is what is
 * stored now: a key that was there with the same value already does not block another change,
 * except that the timeouts' rule always holds. */
int dynamic_config_validate(const json_t *document, int64_t ttl_min_ms, const json_t *before,
                            struct error *err) MUST_CHECK;

/* Types only: a key of ours that cannot be read as what it is ("ttl: soon"). Ranges are left to the
 * adjustment. */
int dynamic_config_check_types(const json_t *document, int64_t ttl_min_ms,
                               struct error *err) MUST_CHECK;

/* RFC 7396 merge patch as Patroni does it: null deletes, objects merge, scalars of the same text
 * are no change. Returns a new reference; `ret_changed` may be NULL. Depth is bounded: ERR_LIMIT.
 */
int dynamic_config_merge(const json_t *document, const json_t *patch, json_t **ret_document,
                         bool *ret_changed, struct error *err) MUST_CHECK;

/* Values adjusted as dynamic_config_parse would, as a new document to be written first
 * (bootstrap.dcs). */
int dynamic_config_adjusted(const json_t *document, int64_t ttl_min_ms, json_t **ret_document,
                            char *warning, struct error *err) MUST_CHECK;

/* As given, or what goes with the ttl: ttl/3 within 2 s to 10 s for a stall, 2 ttl within 6 s to
 * 20 s for a failure, which is never shorter than a stall, 10 ttl within 30 s to 300 s for a server
 * that hangs. */
int64_t dynamic_hang_timeout_ms(const struct dynamic_config *config);
int64_t dynamic_disk_stall_timeout_ms(const struct dynamic_config *config);
int64_t dynamic_disk_failure_timeout_ms(const struct dynamic_config *config);

/* A set of PostgreSQL parameters that owns its strings. */
struct dynamic_parameters {
    struct pg_parameters view; /* sorted by name; borrow it for pg_instance */
    struct pg_parameter *items;
};

/* Effective parameters = defaults <- dynamic <- local. `local` (object or NULL) is
 * postgresql.parameters of the file. Parameters that must be the same on all members
 * (max_connections, wal_level, ...) are taken from the dynamic configuration alone;
 * listen_addresses, port and cluster_name from nowhere. One that is out of its range takes its
 * default; `warning` (may be NULL) says which. */
int dynamic_parameters_merge(const struct dynamic_config *config, const json_t *local,
                             struct dynamic_parameters *ret_parameters, char *warning,
                             struct error *err) MUST_CHECK;
/* Those that all members have alike, in the order of keys.def; NULL: there are no more. */
const char *dynamic_parameters_controlled(size_t index, const char **ret_fallback);

/* Strict look at the parameters that somebody wants to store; those that are stored with the same
 * value already (in `before`, may be NULL) are passed over. */
int dynamic_parameters_check(const json_t *parameters, const json_t *before,
                             struct error *err) MUST_CHECK;
void dynamic_parameters_free(struct dynamic_parameters *parameters);

/* Numbers with units, as Patroni and PostgreSQL read them. Time: number or text with us ms s min h
 * d, base second. Size: B kB MB GB TB, base byte. False = not of that form or out of range. */
bool dynamic_time_ms(const json_t *value, int64_t *ret_ms);
bool dynamic_size_bytes(const json_t *value, int64_t *ret_bytes);
bool dynamic_bool(const json_t *value,
                  bool *ret_value); /* true/false, on/off, yes/no, 1/0 in any case */

#endif
