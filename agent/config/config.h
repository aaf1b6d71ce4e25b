/* The local configuration: Patroni's YAML file, read once into plain data.
 *
 * config_load reads, resolves and checks the whole file before anything else happens: either
 * everything in `struct config` is usable, or one line says which file and key, what is wrong, and
 * what would be right. All strings belong to the configuration and live until config_free. NULL =
 * not given and no default. Keys that we do not serve are refused by name: one that is ignored
 * silently (standby_cluster) would make a second primary. */
#ifndef AGENT_CONFIG_CONFIG_H
#define AGENT_CONFIG_CONFIG_H

#include "base/err.h"
#include "base/log_settings.h"
#include "pgctl/pg_instance.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_BYTES_MAX ((size_t)1024 * 1024)
#define CONFIG_PARTNERS_MAX   15 /* STORE_MEMBERS_MAX without ourselves */
#define CONFIG_ETCD_URLS_MAX  16
#define CONFIG_WARNINGS_MAX   32  /* more are counted, not kept */
#define CONFIG_URL_BYTES_MAX  255 /* of api_url and conn_url, as they are published */
#define CONFIG_NAME_BYTES_MAX 63  /* of a member: it becomes application_name and a slot's name */

/* A secret never goes into a format string: print secret_shown. */
struct secret {
    const char *hidden; /* NULL = not given */
};
static inline const char *secret_shown(const struct secret *secret)
{
    return secret->hidden != NULL ? "***" : "";
}

/* "host:port", "[v6]:port", "*:port" or (listeners) ":port". */
struct config_address {
    const char *text; /* normalised: host:port, a v6 host in brackets; NULL = not given */
    const char
        *host; /* without brackets; "" = every address. A listener of PostgreSQL: a comma list */
    uint16_t port;
};

struct config_warnings {
    size_t count; /* may be above the number kept */
    char *texts[CONFIG_WARNINGS_MAX];
};

struct config_raft {
    const char *data_dir;       /* absolute */
    struct config_address self; /* what the others are told; also bound for outgoing connections */
    struct config_address bind; /* what is listened on; `self` if not given */
    struct config_address partners[CONFIG_PARTNERS_MAX];
    size_t partner_count;
    struct secret password;
    const char *certfile; /* absolute; mutual TLS if given, with cafile */
    const char *keyfile;  /* NULL = in certfile */
    const char *cafile;
    int election_timeout_ms; /* 0 = not given: config_raft_timeouts */
    int heartbeat_ms;
    bool client; /* an agent without self_addr: no member of the group, which it reaches by
                    partner_addrs */
};

struct config_tls {
    const char *certfile; /* absolute, as the others; NULL = none */
    const char *keyfile;  /* NULL = in certfile */
    struct secret keyfile_password;
    const char *cafile;
};

enum config_verify { CONFIG_VERIFY_NONE, CONFIG_VERIFY_OPTIONAL, CONFIG_VERIFY_REQUIRED };
enum config_tokens { CONFIG_TOKENS_ORIGINAL, CONFIG_TOKENS_MINIMAL, CONFIG_TOKENS_PRODUCT };

#define CONFIG_ALLOWLIST_MAX 128

/* `restapi` without its addresses. */
struct config_restapi {
    struct config_tls tls;     /* certfile NULL = plain HTTP */
    const char *ciphers;       /* NULL = the default */
    enum config_verify verify; /* not NONE: there are certfile and cafile */
    const char *username;      /* NULL = nobody is asked for a password */
    struct secret password;
    const char *allowlist[CONFIG_ALLOWLIST_MAX]; /* addresses, networks, names of hosts */
    size_t allowlist_count;
    bool include_members;
    const char *headers; /* of answers, each line ended by CR LF; NULL = none */
    enum config_tokens tokens;
    bool ui; /* GET /ui is served; true where nothing is said */
};

/* How other members' REST interfaces are asked. */
struct config_ctl {
    struct config_tls tls; /* cafile: cacert, else restapi's */
    bool own_cacert;       /* it is not restapi's */
    bool insecure;
    const char *username; /* else restapi's; NULL = none */
    struct secret password;
};

struct config_etcd {
    const char *urls[CONFIG_ETCD_URLS_MAX]; /* "http://10.0.0.4:2379" */
    size_t url_count;                       /* may be 0 with srv */
    const char *srv;                        /* a domain; comes before the addresses. NULL = none */
    const char *srv_suffix;
    bool use_proxies; /* the cluster is not asked for its members */
    const char *username;
    struct secret password;
    const char *cacert; /* absolute */
    const char *cert;
    const char *key;
};

/* etcd's client API from our own store; with CONFIG_STORE_RAFT only. */
struct config_etcd_server {
    bool given;
    struct config_address listen;
    const char *advertise; /* full URLs with commas; never NULL if given */
    const char *certfile;  /* absolute; NULL = plain */
    const char *keyfile;   /* NULL = in certfile */
    const char *cafile;
    bool client_cert_auth;
    const char *username; /* NULL = no users */
    struct secret password;
};

enum config_callback {
    CONFIG_ON_START,
    CONFIG_ON_STOP,
    CONFIG_ON_RESTART,
    CONFIG_ON_RELOAD,
    CONFIG_ON_ROLE_CHANGE,
    CONFIG_CALLBACKS
};

/* Commands of the operator, as words; no words: not given. */
struct config_hooks {
    struct pg_lines callbacks[CONFIG_CALLBACKS];
    struct pg_lines pre_promote;
    struct pg_lines before_stop;
    int timeout_ms; /* of each of them */
};

struct config_bootstrap {
    const json_t *dcs; /* object, checked and adjusted as dynamic.h says; {} without the section */
    struct pg_lines initdb; /* "encoding=UTF8", "data-checksums" */
    struct pg_lines pg_hba;
    const struct pg_user *users;
    size_t user_count;
    struct pg_method method; /* without words: initdb */
    struct pg_lines post_init;
};

struct config_postgresql {
    struct config_address listen;
    struct config_address connect;
    const char *data_dir;         /* absolute */
    const char *config_dir;       /* absolute; data_dir if not given */
    const char *config_base_name; /* "postgresql" */
    const char *bin_dir;          /* NULL = PATH */
    struct pg_program_names programs;
    const char *pgpass;   /* absolute */
    const char *database; /* "postgres" */
    enum pg_local_way local_way;
    enum pg_local_way local_repl_way;
    struct pg_account superuser;
    struct pg_account replication;
    struct pg_account rewind; /* username NULL: the superuser */
    const json_t *parameters; /* object, never NULL: dynamic_parameters merges it */
    const json_t *section;    /* the whole section as given: for what dynamic.h merges per key */
    struct pg_lines pg_hba;
    struct pg_lines pg_ident;
    struct pg_parameters recovery_conf;
    struct pg_lines basebackup; /* "--checkpoint=fast" */
    const char *custom_conf;    /* in place of postgresql.base.conf; NULL = none */
    bool use_pg_rewind_given;   /* the local value replaces the dynamic one */
    bool use_pg_rewind;
    bool guard; /* false: pgquorum_guard is loaded (docs/consensus.md) */
    bool remove_data_directory_on_rewind_failure;
    bool remove_data_directory_on_diverged_timelines;
    int pg_ctl_timeout_ms; /* 60 s: how long a start may take before it is called slow */
    struct config_hooks hooks;
    const struct pg_method *replica_methods; /* without words: pg_basebackup; none: it alone */
    size_t replica_method_count;
};

struct config_tags {
    const json_t
        *published;  /* effective: predefined booleans that are false are gone; may be empty */
    bool nofailover; /* also by failover_priority <= 0 */
    int failover_priority; /* 1; 0 when nofailover */
    bool noloadbalance;
    bool clonefrom;
    bool nosync;       /* also by sync_priority <= 0 */
    int sync_priority; /* 1; 0 when nosync */
    bool nostream;
    const char *replicatefrom; /* NULL = the leader */
};

enum config_use { CONFIG_AGENT, CONFIG_CLIENT, CONFIG_WITNESS };

enum config_store { CONFIG_STORE_RAFT, CONFIG_STORE_ETCD2, CONFIG_STORE_ETCD3 };

enum config_watchdog_mode {
    CONFIG_WATCHDOG_OFF,
    CONFIG_WATCHDOG_AUTOMATIC,
    CONFIG_WATCHDOG_REQUIRED
};

struct config_watchdog {
    enum config_watchdog_mode mode;
    bool given; /* the file has such a section: who asks for it is told when it fails */
    const char *device;
    int safety_margin_s; /* -1 = as much as there is room for */
};

struct config {
    const char *path;
    const char *scope;
    const char *namespace_; /* with one slash at its start and none at its end; "" is possible */
    const char *prefix;     /* of every key: "/service/batman/" */
    const char *name;
    struct config_address restapi_listen;
    struct config_address restapi_connect; /* what api_url is made of */
    struct config_restapi restapi;
    struct config_ctl ctl;
    enum config_store store;
    struct config_raft raft; /* with CONFIG_STORE_RAFT */
    struct config_etcd etcd; /* else */
    struct config_etcd_server etcd_server;
    const char
        *state_dir; /* absolute: what this node has to remember; raft.data_dir in raft mode */
    struct config_bootstrap bootstrap;
    struct config_postgresql postgresql;
    struct config_tags tags;
    const struct log_settings *log; /* NULL for a client */
    struct config_watchdog watchdog;
    const json_t *document; /* the whole file, the environment's values in it */
    const char *cwd;        /* as it was read with */
    const char *home;
    struct config_memory *memory; /* private: what the strings above live in */
};

/* 0, or one line in `err`; then *ret_config is zeroed. `warnings` (may be NULL) are for the caller
 * to log, also when it fails; config_warnings_free. Reads the file, or the files of a directory
 * (*.yml and *.yaml in the order of their names, a later one over the earlier ones), and the
 * working directory. PATRONI_* of the environment go over it; they are taken out of the process's
 * environment at the first call, and count in all later ones. `path` NULL, or a file that is not
 * there: PATRONI_CONFIGURATION is the document, or else the other variables alone. */
int config_load(const char *path, struct config *ret_config, struct config_warnings *warnings,
                struct error *err) MUST_CHECK;

/* The same of a file that has been read before: if it is not there now, the environment alone does
 * not stand in for it (a file is gone for a moment while it is written anew). */
int config_load_file(const char *path, struct config *ret_config, struct config_warnings *warnings,
                     struct error *err) MUST_CHECK;

/* The document of `path` (as config_load takes it) with the environment over it, for who wants to
 * see more of it than config_load tells; *ret_source is complete for config_from_json, but for its
 * use. json_decref the tree, config_source_free. */
struct config_source;
int config_load_tree(const char *path, struct config_source *ret_source, json_t **ret_tree,
                     struct error *err) MUST_CHECK;
void config_source_free(struct config_source *source);

/* Faults of what a configuration names on this host: files that cannot be read, and directories
 * that lie one in the other behind links. `index` from 0; false = there are no more to look at,
 * else *err has the fault, or code 0 if it is right. */
bool config_check_place(const struct config *config, size_t index, struct error *err);

/* There is something in the environment to make a configuration of without a file. */
bool config_environment_given(void);
/* What was taken out of it so far, NULL at the end: for who executes this program anew. */
const char *const *config_environment_taken(void);

/* The part that a client needs (namespace, the store, and scope, name and restapi if they are
 * there, else NULL): `postgresql` may be missing. `dcs_url` (may be NULL) is the store in place of
 * the file's and the environment's. `path` NULL: the environment alone, and else the file has to be
 * there: a mistyped one would be another cluster. */
int config_load_client(const char *path, const char *dcs_url, struct config *ret_config,
                       struct config_warnings *warnings, struct error *err) MUST_CHECK;

/* Of a witness: `raft`, and `etcd_server` and `restapi` if they are there (restapi_listen.text NULL
 * = it is not). Of `bootstrap.dcs` the ttl counts, for the default of the election timeout. With
 * `postgresql` it is no witness's file, and refused. */
int config_load_witness(const char *path, struct config *ret_config,
                        struct config_warnings *warnings, struct error *err) MUST_CHECK;

/* PURE middle of all: `tree` is the document; `cwd` resolves relative paths. Takes no reference of
 * its own beyond config_free. */
struct config_source {
    const char *path; /* for messages */
    const char *cwd;
    const char *home; /* NULL = unknown: pgpass has no default then */
    /* "NAME=value", NULL at the end; may be NULL. PATRONI_* go before what the file has, key by key
     * (environment.h). */
    const char *const *environment;
    bool merged; /* the environment is in the tree already, and for messages only */
    enum config_use use;
};
int config_from_json(const struct config_source *source, json_t *tree, struct config *ret_config,
                     struct config_warnings *warnings, struct error *err) MUST_CHECK;

void config_free(struct config *config); /* NULL, zeroed and half-built are accepted; zeroes it */
void config_warnings_free(struct config_warnings *warnings);

/* It votes in the Raft group that is its store: neither an etcd's client nor the group's. */
static inline bool config_is_raft_member(const struct config *config)
{
    return config->store == CONFIG_STORE_RAFT && !config->raft.client;
}
/* Whether raft.data_dir is the state directory, or the key state_dir says it. */
bool config_state_in_raft(const struct config *config);

/* Election timeout and heartbeat: as given, else ttl/6 within 500..1000 ms and a tenth of it. Read
 * once at start. */
void config_raft_timeouts(const struct config_raft *raft, int64_t ttl_ms,
                          int *ret_election_timeout_ms, int *ret_heartbeat_ms);

/* The smallest ttl of its store, for dynamic.h. */
int64_t config_ttl_min_ms(const struct config *config);

/* "host:port" of one host that can be connected to, into parts allocated with mem_*: free text and
 * host with mem_free (both const for readers). Without a port it is `default_port`. */
int config_address_parse(const char *text, uint16_t default_port,
                         struct config_address *ret_address, struct error *err) MUST_CHECK;

#endif
