/* A key that nobody reads is how a typing mistake looks. Patroni takes unknown keys silently; we do
 * too when they are far from every name there is, with a warning, and refuse the near ones:
 * `retry_timeuot: 5` was meant to do something. */
#include "agent/config/known_keys.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define KEY_BYTES_MAX 64 /* longer ones are near to nothing */

const char *const known_keys_dynamic[] = {"ttl",
                                          "loop_wait",
                                          "retry_timeout",
                                          "maximum_lag_on_failover",
                                          "maximum_lag_on_syncnode",
                                          "check_timeline",
                                          "max_timelines_history",
                                          "primary_start_timeout",
                                          "master_start_timeout",
                                          "primary_stop_timeout",
                                          "master_stop_timeout",
                                          "primary_race_backoff",
                                          "synchronous_mode",
                                          "synchronous_mode_strict",
                                          "synchronous_node_count",
                                          "early_failover",
                                          "failsafe_mode",
                                          "pause",
                                          "member_slots_ttl",
                                          "postmaster_hang_timeout",
                                          "crash_loop_window",
                                          "disk_stall_timeout",
                                          "disk_failure_timeout",
                                          "minimum_free_disk",
                                          "slots",
                                          "permanent_slots",
                                          "permanent_replication_slots",
                                          "ignore_slots",
                                          "standby_cluster",
                                          "postgresql",
                                          NULL};

const char *const known_keys_dynamic_unserved[] = {"standby_cluster", NULL};

static const char *const top[] = {
    "scope", "namespace", "name", "thread_pool_size", "thread_stack_size", "log", "restapi", "ctl",
    "raft", "etcd", "etcd3", "consul", "zookeeper", "exhibitor", "kubernetes", "bootstrap",
    "postgresql", "watchdog", "tags", "citus", "etcd_server", "state_dir",
    /* dynamic, local values without effect: */
    "ttl", "loop_wait", "retry_timeout", "standby_cluster", NULL};
static const char *const restapi[] = {"listen",
                                      "connect_address",
                                      "authentication",
                                      "certfile",
                                      "keyfile",
                                      "keyfile_password",
                                      "cafile",
                                      "ciphers",
                                      "verify_client",
                                      "allowlist",
                                      "allowlist_include_members",
                                      "http_extra_headers",
                                      "https_extra_headers",
                                      "request_queue_size",
                                      "server_tokens",
                                      "thread_pool_size",
                                      NULL};
static const char *const ctl[] = {"authentication", "insecure",         "cacert", "certfile",
                                  "keyfile",        "keyfile_password", NULL};
static const char *const raft[] = {"data_dir",
                                   "self_addr",
                                   "bind_addr",
                                   "partner_addrs",
                                   "password",
                                   "certfile",
                                   "keyfile",
                                   "cafile",
                                   "election_timeout",
                                   "heartbeat",
                                   "min_timeout",
                                   "max_timeout",
                                   "connection_timeout",
                                   "append_entries_period",
                                   "connection_retry_time",
                                   "leader_fallback_timeout",
                                   NULL};
static const char *const etcd[] = {"host",        "hosts",    "url",        "proxy",
                                   "use_proxies", "srv",      "srv_suffix", "discovery_srv",
                                   "srv_domain",  "protocol", "username",   "password",
                                   "cacert",      "cert",     "key",        NULL};
static const char *const etcd_server[] = {"listen", "advertise",        "certfile",       "keyfile",
                                          "cafile", "client_cert_auth", "authentication", NULL};
static const char *const etcd_server_user[] = {"username", "password", NULL};
static const char *const bootstrap[] = {"dcs",       "method", "initdb", "pg_hba", "post_bootstrap",
                                        "post_init", "users",  NULL};
const char *const known_keys_postgresql[] = {"listen",
                                             "connect_address",
                                             "proxy_address",
                                             "data_dir",
                                             "config_dir",
                                             "config_base_name",
                                             "bin_dir",
                                             "bin_name",
                                             "pgpass",
                                             "authentication",
                                             "database",
                                             "parameters",
                                             "parameters_primary",
                                             "parameters_replica",
                                             "parameters_standby_leader",
                                             "pg_hba",
                                             "pg_ident",
                                             "use_unix_socket",
                                             "use_unix_socket_repl",
                                             "callbacks",
                                             "create_replica_methods",
                                             "create_replica_method",
                                             "basebackup",
                                             "recovery_conf",
                                             "custom_conf",
                                             "pg_ctl_timeout",
                                             "use_pg_rewind",
                                             "use_slots",
                                             "rewind",
                                             "remove_data_directory_on_rewind_failure",
                                             "remove_data_directory_on_diverged_timelines",
                                             "pre_promote",
                                             "before_stop",
                                             "krbsrvname",
                                             "name",
                                             NULL};
static const char *const authentication[] = {"superuser", "replication", "rewind", NULL};
/* With the names of pg_security_rows; a test holds them together. */
static const char *const account[] = {
    "username",        "password",       "sslmode", "sslcert",   "sslkey",
    "sslpassword",     "sslrootcert",    "sslcrl",  "sslcrldir", "gssencmode",
    "channel_binding", "sslnegotiation", NULL};
static const char *const watchdog[] = {"mode", "device", "safety_margin", NULL};
static const char *const log_keys[] = {"type",
                                       "level",
                                       "traceback_level",
                                       "format",
                                       "dateformat",
                                       "static_fields",
                                       "max_queue_size",
                                       "dir",
                                       "mode",
                                       "file_num",
                                       "file_size",
                                       "loggers",
                                       "deduplicate_heartbeat_logs",
                                       NULL};
static const char *const tags[] = {"nofailover", "failover_priority", "noloadbalance", "clonefrom",
                                   "nosync",     "sync_priority",     "replicatefrom", "nostream",
                                   NULL};

const struct known_section known_sections[] = {
    {"", top},
    {"restapi", restapi},
    {"ctl", ctl},
    {"raft", raft},
    {"etcd", etcd},
    {"etcd3", etcd},
    {"etcd_server", etcd_server},
    {"etcd_server.authentication", etcd_server_user},
    {"bootstrap", bootstrap},
    {"bootstrap.dcs", known_keys_dynamic},
    {"bootstrap.dcs.postgresql", known_keys_postgresql},
    {"postgresql", known_keys_postgresql},
    {"postgresql.authentication", authentication},
    {"postgresql.authentication.superuser", account},
    {"postgresql.authentication.replication", account},
    {"postgresql.authentication.rewind", account},
    {"watchdog", watchdog},
    {"log", log_keys},
    {"tags", tags},
    {NULL, NULL},
};

static char fold(char c)
{
    return (char)(c == '-' ? '_' : tolower((unsigned char)c));
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Optimal string alignment: a swap of two neighbours is one edit. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][KEY_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            char x = fold(a[i - 1]);
            char y = fold(b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x == y ? 0 : 1));
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y) {
                row[j] = least(row[j], two_above[j - 2] + 1, row[j]);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

bool known_keys_has(const char *const *known, const char *key)
{
    for (; *known != NULL; known++) {
        if (strcmp(*known, key) == 0) {
            return true;
        }
    }
    return false;
}

const char *known_keys_near(const char *const *known, const char *key)
{
    size_t len = strlen(key);
    const char *best = NULL;
    size_t best_distance = len >= 6 ? 3 : 2; /* exclusive */
    if (known_keys_has(known, key) || len < 3 || len > KEY_BYTES_MAX) {
        return NULL;
    }
    for (; *known != NULL; known++) {
        size_t known_len = strlen(*known);
        if (known_len > KEY_BYTES_MAX) {
            continue;
        }
        size_t d = distance(key, len, *known, known_len);
        if (d < best_distance) {
            best = *known;
            best_distance = d;
        }
    }
    return best;
}
