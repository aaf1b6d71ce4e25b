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

struct pg_instance_config {
    const char *name;     /* of the member: application_name; its slot name is made of it */
    const char *scope;    /* cluster_name */
    const char *data_dir; /* absolute */
    /* Directory of ours, outside the data directory, 0700, on a disk that survives a reboot:
     * service file and the marker of unfinished jobs. It must exist. */
    const char *state_dir;
    const char
        *bin_dir; /* NULL or "": PATH, then the newest PostgreSQL under the directory of Debian */
    const char *self_exe; /* this program: children run through it so that they die with the agent
                             (pg_exec) */
    const char
        *fence_log;     /* file for the postmaster's early output; NULL = the fence's own stderr */
    const char *listen; /* "addr[,addr...]": listen_addresses */
    uint16_t port;
    const char *connect_host; /* reachable address of this instance (connect_address) */
    const char *pgpass;       /* password file, 0600, rewritten by us; its directory must exist */
    const char *database;     /* maintenance database; NULL = "postgres" */
    struct pg_account superuser;
    struct pg_account replication;
    struct pg_account rewind;        /* no username: the superuser is taken */
    struct pg_parameters parameters; /* local merged over dynamic already */
    struct pg_lines pg_hba;          /* empty: the file is left alone */
    struct pg_lines pg_ident;        /* likewise */
    struct pg_parameters
        recovery_conf;          /* restore_command and the like; settings of ours are dropped */
    struct pg_lines basebackup; /* extra options of pg_basebackup, as "--checkpoint=fast" */
    bool use_pg_rewind;
    bool use_slots;
    enum fence_kill_way kill_way;
    int probe_timeout_ms;      /* 0 = 2000; also statement_timeout of the probe */
    const struct clock *clock; /* NULL = the real one */
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
 * state of the server; ERR_TIMEOUT, ERR_CLOSED: no answer. */
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
    const char *host;
    uint16_t port;
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
 * stop, to shorten it. */
struct pg_stop {
    enum fence_stop_mode mode;
    int64_t kill_after_ms;
    bool checkpoint;
};
int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err) MUST_CHECK;

struct pg_promote {
    uint32_t timeline; /* the number it has to make: above the present one */
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
    struct pg_lines pg_hba;
    struct pg_lines pg_ident;
    bool use_slots;
};
/* Takes the new values (kept for later starts), writes the files, reloads if the server runs. What
 * needs a restart shows up in the probe's pending_restart. Values that PostgreSQL or we refuse:
 * ERR_INVALID names the parameter, nothing is changed. Any other failure is of this moment: ask
 * again. It has the configuration files to itself: ERR_BUSY while a job runs, and start, bootstrap,
 * clone, rewind, remove and move aside are ERR_BUSY while it runs. */
int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
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
int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err) MUST_CHECK;

/* --- making, copying, repairing the data directory -------------------------------------------- */

struct pg_bootstrap {
    struct pg_lines
        initdb; /* options as in the file: "encoding=UTF8", "data-checksums" (no dashes) */
    struct pg_lines pg_hba; /* appended to initdb's file, unless config.pg_hba is given */
    const struct pg_user *users;
    size_t user_count;
};
/* initdb, configuration, start as primary, accounts and users. Done (0): running, writable, all
 * users made. The directory must be missing or empty (ERR_EXISTS). On failure the instance is
 * stopped, and the directory is left unfinished: pg_instance_move_aside or _remove. */
int pg_instance_bootstrap(struct pg_instance *instance, const struct pg_bootstrap *bootstrap,
                          int64_t timeout_ms, pg_done_cb done, void *arg,
                          struct error *err) MUST_CHECK;

/* The cluster that was made by pg_instance_bootstrap is known to others by its system identifier:
 * from here on its directory is like any other (see pg_inspection). No job. */
int pg_instance_announced(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                          void *arg, struct error *err) MUST_CHECK;

/* pg_basebackup from there into the directory, which must be missing, quite empty, or unfinished by
 * a clone or a removal (then it is emptied first, as by pg_instance_remove). Not started.
 * `system_identifier` (0 = do not compare): another one is ERR_CONFLICT, and nothing is touched. */
struct pg_clone {
    const char *host;
    uint16_t port;
    uint64_t system_identifier;
};
int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

struct pg_rewind {
    const char *host; /* a primary */
    uint16_t port;
    uint64_t system_identifier;
    /* Asked when the source has just said that it is a primary: before anything is prepared, and
     * again before the first byte is written. false = do not (ERR_REFUSED). NULL: it may. */
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

/* --- children --------------------------------------------------------------------------------- */

/* main() calls this first: when the program was executed by pg_instance as the parent-death wrapper
 * (argv[1] = "--pg-exec"), it does that and does not return. Otherwise nothing. */
void pg_exec_main(int argc, char **argv);
/* Then this: takes the variables out of this process's environment that libpq would read. What
 * children get is chosen when the instance is made. */
void pg_env_clear(void);

#endif
