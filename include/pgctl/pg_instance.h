/* One PostgreSQL instance, as the agent's loop commands it. Facade over the whole room.
 *
 * Every operation with a `done` is asynchronous: 0 = taken, and `done` is called exactly once,
 * later, from the loop; a negative code = not taken, `err` says why, `done` is never called.
 * Arguments are copied or borrowed for the call only, unless said otherwise. Deadlines are in ms
 * from the call, on the monotonic clock. One thread. Nothing here blocks the loop.
 *
 * One *job* runs at a time (inspect, start, stop, restart, promote, bootstrap, clone, rewind, crash
 * recovery, remove, move aside): another one is refused with ERR_BUSY. Two exceptions:
 * pg_instance_stop cancels the job that runs (it ends with ERR_CANCELED first), and probes,
 * upstream changes, reloads, slots and checkpoints are no jobs.
 *
 * The postmaster is a child of the fence process (pgctl/fence.h): whoever owns the fence client
 * gives it here and forwards its events. This room never writes the fence's page: arm it before a
 * promotion or a start as primary, as docs/consensus.md says. */
#ifndef PGCTL_PG_INSTANCE_H
#define PGCTL_PG_INSTANCE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/span.h"
#include "pgctl/fence.h"
#include "pgctl/pg_parse.h"
#include "pgctl/pg_security.h"
#include "pgctl/pg_types.h"

struct uv_loop_s;
struct pg_instance;

/* --- configuration ---------------------------------------------------------------------------- */

struct pg_account {
    const char *username; /* NULL or "": not given */
    const char *password; /* NULL: none */
    struct pg_security security;
};

struct pg_user {
    const char *name;
    const char *password;    /* NULL: none is set */
    struct pg_lines options; /* upper-cased; LOGIN is added unless LOGIN or NOLOGIN is among them */
};

/* A command of the operator. It is found in PATH, runs in the agent's working directory without
 * input, and dies with the agent. When it is late, or its task is cancelled, it is killed with its
 * process group, that is with all it has started and not put into another one. */
struct pg_command {
    const char *what; /* for logs: "callback on_start" */
    struct pg_lines words;
    int64_t timeout_ms;
    bool spares_rest; /* what it leaves in the background when it has ended by itself lives on */
};

/* A way of the operator's to fill the data directory: a command, called with what it has to know as
 * options ("--datadir=..."), and "--key=value" for each other key of its section. */
struct pg_method {
    const char *name;
    struct pg_lines words; /* none: the way of ours */
    struct pg_lines params;
    bool no_params; /* ours are left out */
    bool no_leader; /* of a replica: needs nobody to copy from */
    bool keep_data; /* of a replica: what an earlier attempt has left is there when it is called */
    bool keep_recovery_conf; /* of a bootstrap: signal files and postgresql.auto.conf stay as they
                                are */
    struct pg_parameters recovery_conf; /* of a bootstrap: WAL is replayed by these up to its
                                           target; none: no recovery but that of a crash */
};

/* How one ended: rc 0 = exit status 0, else `err` has exit status or signal, or says that it was
 * late. What it wrote is borrowed; of much there is the end. */
struct pg_command_end {
    const char *what;
    int rc;
    const struct error *err;
    int64_t took_ms;
    struct span out;
    struct span errors;
};

/* Other names of programs in bin_dir; NULL = PostgreSQL's own. */
struct pg_program_names {
    const char *postgres;
    const char *initdb;
    const char *pg_controldata;
    const char *pg_basebackup;
    const char *pg_rewind;
};

struct pg_instance_config {
    const char *name;     /* of the member: application_name; its slot name is made of it */
    const char *scope;    /* cluster_name */
    const char *data_dir; /* absolute */
    /* Of the configuration files; absolute, not inside data_dir. NULL or data_dir: that one. */
    const char *config_dir;
    const char *base_name; /* they are called "<base_name>.conf"; NULL = "postgresql" */
    /* Directory of ours, outside the data directory, 0700, on a disk that survives a reboot:
     * service file and the marker of unfinished jobs. It must exist. */
    const char *state_dir;
    const char
        *bin_dir; /* NULL or "": PATH, then the newest PostgreSQL under the directory of Debian */
    struct pg_program_names programs; /* for pg_instance_new alone */
    const char *self_exe; /* this program: children run through it so that they die with the agent
                             (pg_exec) */
    const char
        *fence_log;     /* file for the postmaster's early output; NULL = the fence's own stderr */
    const char *listen; /* "addr[,addr...]": listen_addresses */
    uint16_t port;
    const char *connect_host; /* reachable address of this instance (connect_address) */
    const char *pgpass;       /* password file, 0600, rewritten by us; its directory must exist */
    const char *database;     /* maintenance database; NULL = "postgres" */
    enum pg_local_way local_way;
    enum pg_local_way local_repl_way; /* as a walsender, to be told its timeline */
    struct pg_account superuser;
    struct pg_account replication;
    struct pg_account rewind;        /* no username: the superuser is taken */
    struct pg_parameters parameters; /* local merged over dynamic already */
    struct pg_lines pg_hba;          /* empty: the file is left alone */
    struct pg_lines pg_ident;        /* likewise */
    struct pg_parameters
        recovery_conf;          /* restore_command and the like; settings of ours are dropped */
    struct pg_lines basebackup; /* extra options of pg_basebackup, as "--checkpoint=fast" */
    const char *custom_conf; /* a file that PostgreSQL reads in place of postgresql.base.conf; NULL
                                = none */
    /* Tried in this order by a copy; without words: pg_basebackup. None at all: that alone. */
    const struct pg_method *replica_methods;
    size_t replica_method_count;
    bool use_pg_rewind;
    /* The server loads pgquorum_guard, which has to be installed: ERR_NOT_FOUND otherwise. */
    bool guard;
    bool use_slots;
    bool nostream;      /* a standby receives from nobody: its WAL comes by restore_command */
    bool keeps_logical; /* logical slots outlive the primary: hot_standby_feedback is on, and from
                           17 on a standby has the server copy them */
    enum fence_kill_way kill_way;
    int probe_timeout_ms;      /* 0 = 2000; also statement_timeout of the probe */
    const struct clock *clock; /* NULL = the real one */
    /* Told of every command of the operator that has ended, before what comes of it. May be NULL.
     */
    void (*on_command)(void *arg, const struct pg_command_end *end);
    void *on_command_arg;
};

/* --- life ------------------------------------------------------------------------------------- */

typedef void (*pg_done_cb)(void *arg, int rc, const struct error *err);

/* Finds the programs, refuses what can be refused without a look at the disk's state (missing
 * binaries, a major version outside 13..17, bad values by name). Small bounded file reads only.
 * `config` is copied. */
int pg_instance_new(struct uv_loop_s *loop, const struct pg_instance_config *config,
                    struct pg_instance **ret_instance, struct error *err) MUST_CHECK;
/* Cancels everything (callbacks come with ERR_CANCELED from the loop), kills children, leaves the
 * postmaster as it is. `freed` (may be NULL) when the loop holds nothing of it any more. NULL is
 * accepted. */
void pg_instance_free(struct pg_instance *instance, void (*freed)(void *arg), void *arg);

/* The client must outlive the instance, or be taken away with NULL. Operations that need it fail
 * with ERR_UNAVAILABLE without it. */
void pg_instance_set_fence(struct pg_instance *instance, struct fence_client *fence);
/* Forward every fence_event here. */
void pg_instance_on_fence_event(struct pg_instance *instance, enum fence_event event,
                                const struct fence_status *status);

/* Major version of the binaries, for example 15. */
int pg_instance_major(const struct pg_instance *instance);

enum pg_job_kind {
    PG_JOB_NONE,
    PG_JOB_INSPECT,
    PG_JOB_BOOTSTRAP,
    PG_JOB_START,
    PG_JOB_STOP,
    PG_JOB_PROMOTE,
    PG_JOB_CLONE,
    PG_JOB_REWIND,
    PG_JOB_REMOVE,
    PG_JOB_MOVE_ASIDE,
};

struct pg_job_status {
    enum pg_job_kind kind;
    char step[PG_VALUE_BYTES]; /* in words, for people: "copying the data directory
                                  from 10.0.0.1:5432" */
    int64_t started_ms;        /* mono clock */
};

/* The one that runs; zeroed if none does. */
void pg_instance_job(const struct pg_instance *instance, struct pg_job_status *ret_status);
/* Ends the running job: its child is killed with what that has started, its done comes with
 * ERR_CANCELED. A postmaster that a start has asked for goes on, that of a bootstrap is killed; a
 * promotion that was sent stays sent. No job: nothing. */
void pg_instance_cancel_job(struct pg_instance *instance);

/* --- looking ---------------------------------------------------------------------------------- */

typedef void (*pg_inspect_cb)(void *arg, int rc, const struct pg_inspection *inspection,
                              const struct error *err);
/* Looks at the data directory, with pg_controldata in a child. rc is 0 whatever was found; not 0
 * only when no look could be had (deadline, canceled). */
int pg_instance_inspect(struct pg_instance *instance, int64_t timeout_ms, pg_inspect_cb done,
                        void *arg, struct error *err) MUST_CHECK;

typedef void (*pg_probe_cb)(void *arg, int rc, const struct pg_probe_result *result,
                            const struct error *err);
/* One question over the persistent local connection (made when it is not there). ERR_UNAVAILABLE:
 * the server is starting up, recovering or shutting down (err's text has its words); ERR_LIMIT: it
 * is up and has no place for us (too many clients); ERR_CLOSED: nobody listens; ERR_TIMEOUT. One
 * probe at a time: ERR_BUSY. `result` is the instance's own, valid in the
 * callback. */
int pg_instance_probe(struct pg_instance *instance, int64_t timeout_ms, pg_probe_cb done, void *arg,
                      struct error *err) MUST_CHECK;
/* Liveness by a connection made for this question alone, and without a login: the persistent one
 * may live while nobody new gets in. 0: the postmaster took it and had it answered, whatever the
 * state of the server; ERR_TIMEOUT, ERR_CLOSED: no answer. Anything else: it was not asked. */
int pg_instance_ping(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done, void *arg,
                     struct error *err) MUST_CHECK;

/* Does a commit go through? One of ours, which changes nothing, has to be on the local disk. */
int pg_instance_try_commit(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err) MUST_CHECK;

typedef void (*pg_peer_cb)(void *arg, int rc, const struct pg_peer_facts *facts,
                           const struct error *err);
/* Asks the PostgreSQL of another member with the rewind (or superuser) account, over a fresh
 * connection. */
int pg_instance_ask_peer(struct pg_instance *instance, const char *host, uint16_t port,
                         int64_t timeout_ms, pg_peer_cb done, void *arg,
                         struct error *err) MUST_CHECK;

/* --- running ---------------------------------------------------------------------------------- */

struct pg_upstream {
    const char *host; /* or several, with commas between them */
    uint16_t port;
    bool primary_only; /* of several, the one that takes writes */
};

enum pg_start_role {
    PG_START_PRIMARY, /* no standby.signal: writable after recovery. Arm the fence first */
    PG_START_STANDBY, /* standby.signal */
};

struct pg_start {
    enum pg_start_role role;
    /* NULL: detached. A standby then replays what it has, and receives nothing from anybody. */
    const struct pg_upstream *upstream;
};

/* Writes the configuration files and starts the postmaster through the fence. Done (0) when it
 * accepts connections; ERR_IO with the last words of its log when it exits before that;
 * ERR_TIMEOUT: it is still starting, and goes on (probe says so). Refused: an unfinished or foreign
 * directory, a running postmaster; ERR_BUSY: somebody holds the lock of the directory
 * (docs/consensus.md, section 3). */
int pg_instance_start(struct pg_instance *instance, const struct pg_start *start,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

/* Done (0) when no process of the instance is left, also if there was none. `kill_after_ms`: what
 * is left then is killed; 0 = at once (fence_client_kill). `checkpoint`: CHECKPOINT before a fast
 * stop, to shorten it. `before` (NULL = nothing): runs first, if there is something to stop, and
 * whatever becomes of it the stop follows; `kill_after_ms` counts from its end. */
struct pg_stop {
    enum fence_stop_mode mode;
    int64_t kill_after_ms;
    bool checkpoint;
    bool unlooked; /* it was adopted: that all is gone has to be looked for anew */
    const struct pg_command *before;
};
int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err) MUST_CHECK;

struct pg_promote {
    uint32_t timeline; /* the number it has to make: above the present one */
    /* NULL = nothing. Runs first; exit status 0 lets the promotion go on, anything else ends it
     * (ERR_REFUSED). Its time is not of the promotion's. */
    const struct pg_command *before;
    /* Logical slots that are not to be there when it is the primary: their consumers would go on
     * with the wrong catalog. Those that a mark beside them says that of go, too (pg_logical_ask).
     * Whoever has one in use is ended. What cannot be dropped within PG_DROP_MS_MAX stays:
     * pg_instance_undropped. */
    struct pg_lines drop_slots;
    /* Asked at the last moment before the signal is sent; false = do not (ERR_REFUSED, everything
     * is undone). */
    bool (*still_allowed)(void *arg);
    void *still_allowed_arg;
};
/* Done (0): out of recovery and on that timeline. ERR_CONFLICT: out of recovery on another one:
 * stop it. ERR_TIMEOUT: the promotion was sent and may still come. ERR_REFUSED: not sent, and never
 * will be. */
int pg_instance_promote(struct pg_instance *instance, const struct pg_promote *promote,
                        int64_t timeout_ms, pg_done_cb done, void *arg,
                        struct error *err) MUST_CHECK;
#define PG_DROP_MS_MAX 3000
/* Logical slots that the last promotion could not drop, as "a, b"; "" = none. Never NULL; the
 * instance's, until the next one. */
const char *pg_instance_undropped(const struct pg_instance *instance);
/* True once a promotion was sent to the postmaster that runs: the fence is not disarmed "because it
 * is in recovery" any more. Cleared by the next start. */
bool pg_instance_promote_sent(const struct pg_instance *instance);

/* Changes the upstream without a reload: the service file is replaced, then the walreceiver is
 * ended. Detached (NULL) is done when every walreceiver was seen gone and none can be made any
 * more: the promise of docs/consensus.md. Attaching is done when the file is replaced and the old
 * walreceiver, if any, was told to end. ERR_REFUSED where the running postmaster does not read our
 * service file (it was started without it): the file is right, and there is neither a promise nor a
 * new upstream before its restart. Not running: only the file. */
int pg_instance_set_upstream(struct pg_instance *instance, const struct pg_upstream *upstream,
                             int64_t timeout_ms, pg_done_cb done, void *arg,
                             struct error *err) MUST_CHECK;

struct pg_reload {
    struct pg_parameters parameters; /* the whole new set, merged */
    struct pg_parameters recovery_conf;
    struct pg_lines pg_hba;
    struct pg_lines pg_ident;
    struct pg_lines basebackup;
    bool guard; /* from the next start on; refused (ERR_NOT_FOUND) when it is new and not there */
    /* What is in the data directory is not this cluster's, or nobody knows yet whether it is:
     * nothing is written there, nor where its configuration is; a start goes by the values. */
    bool foreign;
    bool use_slots;
    bool nostream;
    bool keeps_logical;
    /* wal_level logical is in effect on the server that runs: from 17 on, only then it is told to
     * copy slots. A start finds out by itself. */
    bool decodes;
    /* The slot that a standby receives through; NULL: the one with its own name, "" = none. */
    const char *receive_slot;
    const char *custom_conf; /* NULL = none */
    enum pg_local_way local_way;
    enum pg_local_way local_repl_way;
    const char *database; /* this one and the accounts: NULL = as before */
    const struct pg_account *superuser;
    const struct pg_account *replication;
    const struct pg_account *rewind;
};
/* What can be refused at once: ERR_INVALID or ERR_UNSUPPORTED names it. */
int pg_instance_check_reload(const struct pg_instance *instance, const struct pg_reload *reload,
                             struct error *err) MUST_CHECK;
/* Takes the new values (kept for later starts), writes the files, reloads if the server runs. What
 * needs a restart shows up in the probe's pending_restart. Values that we refuse: not taken.
 * Parameters that PostgreSQL refuses: ERR_INVALID names them; each keeps the value that it had here
 * before, or has none, and the rest is in force; where it cannot be told which it is, nothing is
 * changed. A custom_conf likewise, but for the one that the running server has: then nothing is
 * changed. Is it only that the file could not be opened, ERR_NOT_FOUND (left out) or
 * ERR_UNAVAILABLE (nothing changed) ask for another try. Any other failure is of this moment: ask
 * again. Of accounts, connections that are there go on as they are; a walreceiver's account is in
 * its service file, which pg_instance_set_upstream writes. It has the configuration files to
 * itself: ERR_BUSY while a job runs, and start, bootstrap, clone, rewind, remove and move aside are
 * ERR_BUSY while it runs. */
int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg,
                       struct error *err) MUST_CHECK;
/* Would PostgreSQL take these settings? Nothing is changed, and nothing waits for it. 0: it would.
 * ERR_INVALID: `err` names what it refuses. Anything else: it could not be asked now. */
int pg_instance_try_settings(struct pg_instance *instance, const struct pg_reload *reload,
                             int64_t timeout_ms, pg_done_cb done, void *arg,
                             struct error *err) MUST_CHECK;
struct pg_slots {
    const struct pg_slot_wish *wishes; /* at most PG_SLOTS_MAX */
    size_t wish_count;
    struct pg_lines drop; /* likewise; the caller knows that nobody needs them */
};
/* Physical slots of a running server: those wished for are created with WAL reserved at once, made
 * anew or moved on (pg_slot_next); those to be dropped are dropped. Nothing is done to a slot that
 * is active, temporary or logical, nor to one that is not named. What fails is told at the end, the
 * rest is done. */
int pg_instance_set_slots(struct pg_instance *instance, const struct pg_slots *slots,
                          int64_t timeout_ms, pg_done_cb done, void *arg,
                          struct error *err) MUST_CHECK;

struct pg_logical_slots {
    const struct pg_logical_wish *wishes; /* at most PG_SLOTS_MAX */
    size_t wish_count;
    struct pg_lines drop; /* likewise */
    enum pg_role role;    /* that the wish to drop them is for: no other server loses them */
    struct pg_lines real; /* of a primary: what is noted beside them is taken away */
};
/* Logical slots of a running server, as pg_logical_next says; nothing is done to one that is active
 * or temporary. Making one waits for the transactions that run; moving one on reads the WAL
 * between: a statement that takes longer than `timeout_ms` is ended by the server. A copy whose WAL
 * is found to be gone is dropped. What fails is told at the end, the rest is done. One at a time:
 * ERR_BUSY. */
int pg_instance_set_logical(struct pg_instance *instance, const struct pg_logical_slots *slots,
                            int64_t timeout_ms, pg_done_cb done, void *arg,
                            struct error *err) MUST_CHECK;

struct pg_logical_ask {
    const char *host; /* of the primary */
    uint16_t port;
    const char *physical; /* its slot that our feedback reaches it by */
    const struct pg_logical_wish *wishes;
    size_t wish_count;
    bool copy; /* and fetch what they are made of */
    /* What is known of ours is noted beside them first, and outlives the agent; then a promotion
     * goes by it. Good: the primary on that timeline was seen to keep what they need. In doubt:
     * nobody has seen that of the present primary. */
    struct pg_lines good;
    uint32_t good_timeline;
    struct pg_lines doubted;
};
struct pg_logical_seen {
    uint32_t timeline; /* of the primary; 0 = it is none */
    bool physical_there;
    uint32_t physical_xmin; /* catalog_xmin of that slot: what our copies hold there; 0 = none */
    size_t count;
    struct pg_logical_there {
        char name[PG_NAME_BYTES];
        uint32_t catalog_xmin;
        uint64_t confirmed_lsn;
        bool lost; /* the primary has given it up */
        bool fetched;
        char fault[PG_VALUE_BYTES]; /* why not, where it was asked for */
    } slots[PG_SLOTS_MAX];          /* those that are there */
};
typedef void (*pg_logical_seen_cb)(void *arg, int rc, const struct pg_logical_seen *seen,
                                   const struct error *err);
/* Asks the primary for its logical slots, over a connection of its own (rewind account). What was
 * fetched, was found whole and has its WAL here is put into pg_replslot by the next start as a
 * standby within PG_COPY_MS_MAX; a later fetch, and a promotion, take its place. */
#define PG_COPY_MS_MAX 180000
int pg_instance_ask_logical(struct pg_instance *instance, const struct pg_logical_ask *ask,
                            int64_t timeout_ms, pg_logical_seen_cb done, void *arg,
                            struct error *err) MUST_CHECK;
/* Why the last start did not put the one of that name there: place, cause, remedy; "" = it did, or
 * had none. Never NULL; the instance's, until the next start. */
const char *pg_instance_copy_fault(const struct pg_instance *instance, const char *name);

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err) MUST_CHECK;

/* --- making, copying, repairing the data directory -------------------------------------------- */

struct pg_bootstrap {
    struct pg_lines
        initdb; /* options as in the file: "encoding=UTF8", "data-checksums" (no dashes) */
    struct pg_lines pg_hba; /* appended to initdb's file, unless config.pg_hba is given */
    const struct pg_user *users;
    size_t user_count;
    const struct pg_method *method; /* in place of initdb; NULL, or without words: initdb */
    /* Called in the end with a connection string of the superuser, whose password it finds; its
     * failure is the bootstrap's. NULL, or without words: nothing. */
    const struct pg_command *post_init;
};
/* initdb or the method, configuration, start as primary, accounts and users. Done (0): running,
 * writable, all users made. A method's instance is waited for until it is out of recovery. The
 * directory must be missing or empty (ERR_EXISTS). On failure the instance is stopped, and the
 * directory is left unfinished: pg_instance_move_aside or _remove. */
int pg_instance_bootstrap(struct pg_instance *instance, const struct pg_bootstrap *bootstrap,
                          int64_t timeout_ms, pg_done_cb done, void *arg,
                          struct error *err) MUST_CHECK;

/* The cluster that was made by pg_instance_bootstrap is known to others by its system identifier:
 * from here on its directory is like any other (see pg_inspection). No job. */
int pg_instance_announced(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                          void *arg, struct error *err) MUST_CHECK;

/* The cluster is paused, or is so no more: kept on disk for the agent's next start. No job. */
int pg_instance_note_pause(struct pg_instance *instance, bool paused, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

/* A copy, by pg_basebackup or a method of the operator's, into the directory, which must be
 * missing, quite empty, or unfinished by a clone or a removal (then it is emptied first, as by
 * pg_instance_remove). Not started. `system_identifier` (0 = do not compare): of the source another
 * one is ERR_CONFLICT, and nothing is touched; of what a method has left it is that method's
 * failure. One that fails is followed by the next. What a method has made starts as a standby,
 * whatever it was. */
struct pg_clone {
    const char
        *host; /* NULL: there is nobody to copy from, only methods with no_leader are tried */
    uint16_t port;
    uint64_t system_identifier;
    bool basebackup_only; /* the copy has to have all that its source has now */
    /* Names of methods: these, in this order, and no others; "basebackup" is always known. None:
     * all that are configured. */
    struct pg_lines methods;
    /* Asked when the copy is there, before it is taken for a data directory; false: the job has
     * failed. May be NULL. */
    bool (*still_allowed)(void *arg);
    void *still_allowed_arg;
    /* How far pg_basebackup is, about once a second, while it tells; NULL: it has failed,
     * and the next method, if there is one, begins. It does not tell when the operator's options
     * want no estimate. May be NULL. */
    void (*on_progress)(void *arg, const struct pg_copy_progress *progress);
    void *on_progress_arg;
};
int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

struct pg_rewind {
    const char *host; /* a primary */
    uint16_t port;
    uint64_t system_identifier;
    /* Asked when the source has just said that it is a primary, and has a checkpoint of its
     * timeline: before anything is prepared, and again before the first byte is written. false = do
     * not (ERR_REFUSED). NULL: it may. */
    bool (*still_allowed)(void *arg);
    void *still_allowed_arg;
};
/* Stopped instance only. ERR_REFUSED: not possible here (no checksums and no wal_log_hints, or in
 * use), nothing was touched. A directory that was not shut down cleanly is recovered first, in
 * single-user mode. Then the rewind is tried without writing, and what can go wrong goes wrong
 * there: the directory is valid still. From then on a marker on disk says that it is unfinished,
 * until pg_rewind has ended well: a half-rewound directory is never started, but may be rewound
 * again. Nothing to rewind is success. Not started afterwards. */
int pg_instance_rewind(struct pg_instance *instance, const struct pg_rewind *rewind,
                       int64_t timeout_ms, pg_done_cb done, void *arg,
                       struct error *err) MUST_CHECK;
/* Both refuse while a postmaster works in the directory (ERR_BUSY), and a foreign or doubtful one
 * (ERR_REFUSED). The caller has checked invariant I10 and says in `reason` why this may be
 * destroyed. Remove empties the directory (it may be a mount point, or a link), and what is this
 * instance's in a pg_wal and tablespaces that lie elsewhere (pgctl/proc/pg_places.h); cut off, it
 * leaves what a clone leaves. */
int pg_instance_remove(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                       pg_done_cb done, void *arg, struct error *err) MUST_CHECK;
/* Renames it to `<data_dir>.failed`, a pg_wal and tablespaces that lie elsewhere likewise; older
 * ones of these names are removed. Where data_dir is a link, its target is renamed, and made anew.
 * What cannot be renamed (a mount point) is ERR_REFUSED. */
int pg_instance_move_aside(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

/* --- commands of the operator ----------------------------------------------------------------- */

/* One of each kind at a time: another one kills the one that runs (ERR_CANCELED). */
enum pg_call { PG_CALL_EVENT, PG_CALL_RELOAD, PG_CALLS };

/* No job: it runs beside everything. Done (0): exit status 0. */
int pg_instance_call(struct pg_instance *instance, enum pg_call kind,
                     const struct pg_command *command, pg_done_cb done, void *arg,
                     struct error *err) MUST_CHECK;

/* --- children --------------------------------------------------------------------------------- */

/* main() calls this first: when the program was executed by pg_instance as the parent-death wrapper
 * (argv[1] = "--pg-exec" or "--pg-group"), it does that and does not return. Otherwise nothing. */
void pg_exec_main(int argc, char **argv);
/* Then this: takes the variables out of this process's environment that libpq would read. What
 * children get is chosen when the instance is made. */
void pg_env_clear(void);

#endif
