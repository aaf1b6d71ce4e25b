/* Everything that a decision may see, as plain values. The loop copies its facts and both clocks
 * into one `const struct ha_snapshot`; ha_decide answers with a plan. Stale and unknown are values
 * here, not gaps: a zeroed snapshot means "nothing is known", and the plan for it is to wait.
 *
 * Times are in ms. `lease` times are of the lease clock, `mono` times of the monotonic clock, and
 * each field says which; HA_NEVER = has not happened. Wall time decides nothing but what is
 * scheduled. Strings are terminated; "" = absent or unknown. LSN 0 and timeline 0 = unknown.
 * Revision 0 = the key is absent. */
#ifndef AGENT_HA_SNAPSHOT_H
#define AGENT_HA_SNAPSHOT_H

#include "pgctl/pg_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HA_NAME_BYTES     64
#define HA_URL_BYTES      256
#define HA_TEXT_BYTES     128
#define HA_SYSID_BYTES    24
#define HA_INSTANCE_BYTES 17
#define HA_MEMBERS_MAX    16
#define HA_NEVER          ((int64_t)-1)

/* Number of one term of office: id of the store's cluster and mod revision of the key `epoch`,
 * which equals the create revision of the leader key written with it. Revision 0 = none. */
struct ha_epoch {
    uint64_t cluster;
    int64_t revision;
};

static inline bool ha_epoch_equal(struct ha_epoch a, struct ha_epoch b)
{
    return a.cluster == b.cluster && a.revision == b.revision;
}

/* --- settings: local file and dynamic configuration, adjusted already ------------------------- */

struct ha_settings {
    int64_t ttl_ms;
    int64_t loop_wait_ms;
    int64_t retry_timeout_ms;
    int64_t election_timeout_ms;      /* a member not heard from for longer is taken for dead */
    int64_t maximum_lag_bytes;        /* maximum_lag_on_failover */
    int64_t primary_start_timeout_ms; /* 0 = fail over at once */
    int64_t hang_timeout_ms;          /* postmaster_hang_timeout */
    int64_t disk_stall_timeout_ms; /* disks that take no writes: then another node is better ... */
    int64_t disk_failure_timeout_ms; /* ... and then the key is not kept, whoever else is there */
    bool check_timeline;             /* a candidate must be on the cluster's timeline */
    bool rewind_possible;            /* use_pg_rewind, and checksums or wal_log_hints are on here */
    bool remove_on_rewind_failure;   /* remove_data_directory_on_rewind_failure */
    bool remove_on_diverged;         /* remove_data_directory_on_diverged_timelines */
    bool may_bootstrap;              /* the file has a `bootstrap` section */
    bool custom_bootstrap;           /* by a command of the operator, in place of initdb */
    bool copies_without_leader;      /* a method of create_replica_methods has no_leader */
    bool failsafe_mode;              /* and the store is an etcd */
    bool synchronous_mode;           /* on or quorum */
    bool paused;                     /* `pause: true` in `config`, as last seen */
    bool early_failover;             /* and the mode is strict, and the store the Raft group */
    /* The configuration says that this cluster follows another one as a whole: nobody here is a
     * primary, and the leader receives from there. */
    bool standby_cluster;
    bool remote_streams; /* it names hosts, which can be asked; else there is an archive alone */
    char remote[HA_URL_BYTES];   /* "a,b:5432" or "archive": what the other cluster is known by */
    char refused[HA_TEXT_BYTES]; /* a key found in `config` that we do not serve: nothing is
                                    promoted; "" = none */
};

/* --- members ---------------------------------------------------------------------------------- */

struct ha_tags {
    bool nofailover;       /* also true where failover_priority <= 0 and nofailover is not given */
    int failover_priority; /* default 1 */
    bool nosync;           /* also true where sync_priority <= 0 and nosync is not given */
    int sync_priority;     /* default 1 */
    bool clonefrom;
    bool nostream;
    char replicatefrom[HA_NAME_BYTES];
};

/* What a member says of its data directory while the cluster has no system identifier yet. */
enum ha_data {
    HA_DATA_NOT_TOLD, /* it has not looked yet, cannot tell for now, or has no record */
    HA_DATA_NONE,     /* nothing, or what a bootstrap or a copy that was cut off has left */
    HA_DATA_VALID,    /* with a control file that can be read */
    HA_DATA_UNUSABLE, /* something else: it is left alone, and nobody is to wait for it */
};

struct ha_member {
    char name[HA_NAME_BYTES];
    char conn_url[HA_URL_BYTES];
    char api_url[HA_URL_BYTES];
    char state[HA_NAME_BYTES]; /* as published: "running", "creating replica", ... */
    char role[HA_NAME_BYTES];  /* "primary", "replica", ... */
    uint32_t timeline;
    uint64_t lsn;                      /* xlog_location */
    bool checkpoint_after_promote_due; /* published `checkpoint_after_promote: false` */
    bool paused;
    char instance[HA_INSTANCE_BYTES]; /* of ours: which agent of that name it is; "" = not said */
    bool reports;                     /* one of ours: it says how far it is in `reports/<name>` */
    enum ha_data data;
    char data_system_id[HA_SYSID_BYTES]; /* of data that are valid; "" = not said */
    bool data_of_primary;                /* its server was one when it ran last, or is */
    uint32_t data_timeline;              /* 0 = not said */
    uint64_t data_lsn;                   /* of a server that is down; 0 = not said */
    bool hba_missing;       /* a copy of its data directory would come without a pg_hba.conf */
    enum pg_disk_kind disk; /* as published; unknown = nothing was */
    /* Revision of the leader's record that told of trouble with its disk: this member has read it,
     * and its own disk took a write after that. 0 = none. */
    int64_t disk_answers;
    bool fence_silent; /* as published: nothing would end a primary there in time */
    struct ha_tags tags;
    int64_t mod_revision;
};

/* `reports/<name>`: the position of a member that has stopped receiving in `epoch`. */
struct ha_report {
    char name[HA_NAME_BYTES];
    int64_t revision;      /* mod revision of the key: compared by the next put and by Acquire */
    bool withdrawn;        /* the value is `none` */
    bool valid;            /* parsed; false = count as absent */
    struct ha_epoch epoch; /* that it leaves */
    uint32_t timeline;
    uint64_t lsn;
    bool yields; /* ours: it will not run for the next epoch; nobody waits for it */
    bool unfit;  /* its writer could hardly be promoted: its disk, postmaster or fence is silent */
    /* For how long its writer had had no answer from the leader's PostgreSQL and REST server, and
     * no message of its Raft member, when it gave up waiting for the end of the lease
     * (ha_depose.h). 0 = it does not say so. */
    int64_t primary_silent_ms;
    int64_t raft_silent_ms;
    char system_id[HA_SYSID_BYTES];
};

/* Another member as it is heard directly: by our Raft member, or, where the store is an etcd or the
 * member Patroni's, by asking its REST server while it matters. Such an answer is no promise: it
 * may receive on. */
struct ha_peer {
    char name[HA_NAME_BYTES];
    int64_t heard_mono_ms; /* HA_NEVER */
    int64_t silent_ms;     /* after that it is not heard any more; 0 = an election timeout */
    bool witness;          /* it has no data directory, and never tells of one */
    bool unnamed;          /* a member of the group that has not said its name there yet */
    bool asking;           /* no outcome yet of a question sent since the leader key is absent */
    bool patroni;          /* answered: it writes no report, so this answer is all it says */
    bool primary;          /* answered: it runs out of recovery */
    bool nofailover;       /* answered: it will not become primary */
    uint32_t timeline;     /* 0 = not known */
    uint64_t lsn;          /* of a standby; 0 = not known */
};

/* --- the store's view ------------------------------------------------------------------------- */

struct ha_failover {               /* key `failover` */
    bool present;                  /* leader or member is set */
    int64_t revision;              /* also of `{}`: what a clearing write compares */
    char leader[HA_NAME_BYTES];    /* set: switchover away from it */
    char candidate[HA_NAME_BYTES]; /* the key's `member` */
    int64_t scheduled_wall_ms;     /* 0 = now */
    /* The operator has seen `unfenced` with that epoch, and passes over it. */
    struct ha_epoch over_unfenced;
};

struct ha_failsafe_member { /* of the key `failsafe` */
    char name[HA_NAME_BYTES];
    char api_url[HA_URL_BYTES];
};

#define HA_SYNC_STANDBYS_MAX 31

struct ha_sync_standby {
    char name[HA_NAME_BYTES];
};

/* Key `sync`: whoever is promoted must be one of these, with the reports of quorum + 1 of them
 * (docs/consensus.md, rule 7). Its members are the leader that it names and the standbys. */
struct ha_sync_key {
    bool present;               /* it can be read, and names a leader */
    bool unreadable;            /* it is there, and nobody can tell who the members are */
    char leader[HA_NAME_BYTES]; /* who wrote it */
    unsigned quorum;
    size_t standby_count;
    struct ha_sync_standby standbys[HA_SYNC_STANDBYS_MAX];
};

struct ha_cluster {
    bool known;           /* a view was had. False: nothing below means anything */
    int64_t read_mono_ms; /* when the view was last known to be current */
    uint64_t cluster_id;
    int64_t revision;

    char leader[HA_NAME_BYTES];   /* value of the leader key; "" = unlocked */
    struct ha_epoch leader_epoch; /* its create revision */

    int64_t epoch_revision; /* of the key `epoch`: what Acquire compares */
    char epoch_holder[HA_NAME_BYTES];
    char epoch_instance[HA_INSTANCE_BYTES]; /* which agent of that name; "" = it does not say so */
    uint32_t epoch_timeline;                /* the number that its holder was going to make */
    /* An epoch later than that, of a leader that writes no `epoch` (a Patroni member): its leader
     * key is or was seen, or a report names it. 0 = none. */
    int64_t seen_revision;
    char seen_holder[HA_NAME_BYTES]; /* "" = not known */

    int64_t initialize_revision;
    char
        initialize[HA_SYSID_BYTES]; /* system identifier; "" with a revision: bootstrap under way */
    int64_t config_revision;
    int64_t sync_revision;
    struct ha_sync_key sync;
    /* Key `recovered`: the store was recovered after the loss of its majority, so what it says may
     * be old, `sync` too: nobody is promoted before an operator orders it by name. */
    int64_t recovered_revision;
    struct ha_failover failover;

    /* Key `unfenced`: the fence of the holder of that epoch is disarmed, and its instance may write
     * though its lease has ended. Revision 0 = absent; an epoch of revision 0 = it cannot be read.
     */
    int64_t unfenced_revision;
    struct ha_epoch unfenced;

    bool status_known;
    uint64_t status_optime;

    int64_t history_revision;
    uint32_t history_timeline; /* cluster timeline: last entry + 1; 1 for []; 0 = unknown */
    bool history_complete;     /* the last entry has its five items (true for []) */

    int64_t failsafe_revision;
    size_t failsafe_count; /* 0 = no such list */
    struct ha_failsafe_member failsafe[HA_MEMBERS_MAX];

    size_t member_count;
    struct ha_member members[HA_MEMBERS_MAX];
    size_t report_count;
    struct ha_report reports[HA_MEMBERS_MAX];
};

/* --- this node -------------------------------------------------------------------------------- */

enum ha_run {
    HA_RUN_UNKNOWN,
    HA_RUN_STOPPED,  /* no process of the instance is left, and it was stopped by somebody's order,
                        or never ran */
    HA_RUN_CRASHED,  /* no process is left, and nobody had asked for that */
    HA_RUN_STARTING, /* a postmaster is there and does not accept connections yet */
    HA_RUN_RUNNING,
    HA_RUN_STOPPING, /* a shutdown was asked for; processes are left */
};

/* Where this standby receives from, as the service file says. */
struct ha_upstream {
    bool
        known; /* false: an earlier run of the agent wrote it, and may have detached this standby */
    bool detached; /* the entry cannot connect, and no walreceiver is left: the promise is given */
    bool service_in_force; /* the running postmaster reads our service file; without it no promise
                              is possible */
    bool follow_refused;   /* it was told whom to follow, and found not to read that file */
    struct ha_epoch epoch; /* detached: the epoch it left; attached: the epoch of the leader when it
                              was attached */
    bool remote;           /* the other cluster that a standby cluster follows, no member */
    char name[HA_NAME_BYTES];       /* member that it follows; "" when detached */
    char conn_url[HA_URL_BYTES];    /* with this address; what `remote` in settings was */
    bool streaming;                 /* a walreceiver is up and streams */
    int64_t streaming_lost_mono_ms; /* since when it does not and should; HA_NEVER = it streams, or
                                       has not been seen to wait for its leader since its start */
};

/* Result of the last look whether our WAL is a prefix of the primary's; it counts for one epoch,
 * and is forgotten when the data directory is removed or copied anew. */
enum ha_divergence {
    HA_DIVERGENCE_UNKNOWN,
    HA_DIVERGENCE_NONE,
    HA_DIVERGENCE_REWIND,
    HA_DIVERGENCE_LOST, /* we have WAL of the primary's own timeline that it has lost */
    /* Of the other cluster: it has made a timeline of our number, and parted from us before. */
    HA_DIVERGENCE_FORKED,
};
enum ha_rewind { HA_REWIND_NOT_TRIED, HA_REWIND_DONE, HA_REWIND_FAILED };

struct ha_rejoin {
    struct ha_epoch epoch;     /* of the leader that was asked */
    char remote[HA_URL_BYTES]; /* the other cluster was asked, known by this; "" = the leader was */
    enum ha_divergence divergence;
    int64_t checked_mono_ms; /* HA_NEVER */
    enum ha_rewind rewind;
    /* A primary that led on this timeline was seen to have lost WAL that we have; 0 = none was. It
     * outlives the look and the epoch, as what is here does ... */
    uint32_t lost_timeline;
    unsigned lost_looks; /* ... and so many looks in a row have shown it */
};

/* What our primary's pg_stat_replication says of a member: younger than the position in its member
 * key. */
struct ha_replica {
    char name[HA_NAME_BYTES]; /* application_name */
    uint64_t lsn;             /* flushed there; after a stop in order: shutdown_lsn */
};

struct ha_self {
    char name[HA_NAME_BYTES];
    char instance[HA_INSTANCE_BYTES]; /* this agent's own: of its state directory; "" = it has none
                                         (tests) */
    /* Before this agent has made itself known: where another one of its name runs, or ran until its
     * record ends. "" = nowhere. See ha_name_is_taken. */
    char namesake[HA_TEXT_BYTES];
    struct ha_tags tags;

    bool directory_known;
    enum pg_dir_kind directory;
    enum pg_unfinished unfinished;
    char system_id[HA_SYSID_BYTES];
    bool was_paused;  /* the store was not heard in this run of the agent; it said pause when this
                         node heard it last */
    bool unannounced; /* made by initdb here, and `initialize` was never seen to name it */
    enum pg_control_state control_state; /* of the stopped instance */
    uint32_t control_timeline;
    uint32_t wal_timeline; /* the latest whose history is among its WAL; 0 = of none */
    bool standby_signal;   /* standby.signal or recovery.signal */
    bool backup_label; /* a copy that was never started: whatever pg_control says, it was no primary
                          here */
    bool hba_needed;   /* neither the configuration nor its directory has rules: a copy has to bring
                          them */

    enum ha_run run;
    int64_t run_since_mono_ms; /* when `run` took its value */
    bool told_to_stop; /* starting, as far as this agent knows: it has been told to stop, by an
                          earlier run of the agent or by hand */
    bool stop_ordered; /* down: by us, on somebody's order; else it stopped by itself or by hand */
    enum pg_role role; /* running: as the probe said; starting: by standby.signal */
    uint32_t timeline;
    uint64_t
        lsn; /* standby: max(flushed, replayed); primary: flushed; clean stop: see shutdown_lsn */
    bool position_known;          /* standby: this start has replayed all its local WAL */
    uint64_t shutdown_lsn;        /* after a clean stop of a primary: what `status` is to say */
    uint32_t checkpoint_timeline; /* running primary: of its last checkpoint */
    bool history_told;  /* `history` as it stands is what we wrote for this timeline: where numbers
                           were skipped, its last entry is no neighbour of ours */
    bool promote_sent;  /* to the postmaster that runs */
    int server_version; /* of the running one: 150004; 0 = unknown, as the next */
    int64_t postmaster_start_ms; /* wall clock, its own words */
    bool pending_restart;        /* a setting waits for its restart */
    /* Role, timeline and position are of this moment; for a detached standby: were asked for after
     * it was detached (an earlier answer may name less than it has received by now). */
    bool probe_fresh;
    bool looks_for_request; /* `failover` has been read, and who streams was asked before that */
    int64_t
        crash_since_mono_ms; /* when it went down without order, until it runs again; HA_NEVER */
    int64_t crashed_mono_ms; /* when it went down, or restarted itself, last; HA_NEVER */
    unsigned crashes;        /* so many times, in the last crash_loop_window */
    unsigned hangs;          /* killed because it hung, and never well for long since */
    unsigned start_failures; /* in a row */
    int64_t start_failed_mono_ms;   /* HA_NEVER */
    int64_t stop_failed_mono_ms;    /* no stop is under way since, and something may be left;
                                       HA_NEVER */
    int64_t promote_failed_mono_ms; /* of the last promotion that failed, sent or not; HA_NEVER */
    /* It runs, and since then no new connection has got any answer ... */
    int64_t silent_since_mono_ms; /* HA_NEVER */
    /* ... or the answer was that nobody is let in yet (it recovers by itself after a crash). */
    int64_t refusing_since_mono_ms; /* HA_NEVER */
    enum pg_disk_kind disk;         /* the worst of the disks that it writes to */
    int64_t disk_since_mono_ms;
    char disk_place[PG_DISK_PLACE_BYTES];
    /* The disk is that of the WAL, and a commit was seen to go through that was asked for then,
     * whatever the disk seems to be. */
    int64_t committed_mono_ms; /* HA_NEVER */
    int64_t trouble_revision;  /* of our record that told of it first; 0 = nobody was told */
    size_t replica_count;      /* standbys that stream from us, a primary, or did up to our stop */
    struct ha_replica replicas[HA_MEMBERS_MAX];
    bool slots_due;    /* replication slots are missing, useless, behind, or to go */
    bool ahead;        /* standby: by what the leader tells it stays behind us */
    bool replay_stuck; /* standby: WAL is here, and replay waits for WAL all the same, for long */

    struct ha_upstream upstream;
    /* When it went from the member that tag replicatefrom names to the leader, because that member
     * could not go on; HA_NEVER. */
    int64_t cascade_left_mono_ms;
    struct ha_rejoin rejoin;
    /* Epoch for which *this run of the agent* wrote `none` into its report and got the answer. */
    struct ha_epoch withdrawn_epoch;
};

/* Signs of life of the node that leads, as this standby of it sees them: what a deposition goes by.
 * All of the monotonic clock. HA_NEVER = it is not looked, or there was one just now, but for
 * raft_mono_ms: nothing was ever heard. */
struct ha_silence {
    int64_t wal_mono_ms;   /* since when no byte has come to our walreceiver, or there is none */
    int64_t asked_mono_ms; /* since when fresh connections to its PostgreSQL and its REST server are
                              tried, and neither has answered */
    int64_t raft_mono_ms;  /* when our Raft member has heard it last */
};

/* The fence process and its page. */
struct ha_fence {
    bool connected;
    struct ha_epoch page_epoch; /* revision 0 = standby page */
    bool armed;                 /* the page has that epoch and a deadline */
    int64_t soft_lease_ms;      /* of an armed page: its S, where PostgreSQL is shut down; else 0 */
    bool over;                  /* the page says that its epoch has ended */
    bool fired;                 /* soft stop or kill was begun for page_epoch */
    bool silent;                /* it does not answer: what ran out of time it would not end */
    int64_t silent_since_mono_ms; /* HA_NEVER */
    bool all_gone;                /* a look found no process of the instance */
    bool adopted;                 /* the postmaster is not its child */
    bool knows_directory;         /* it would find and kill an adopted one */
};

enum ha_watchdog_state {
    HA_WATCHDOG_NONE,    /* watchdog.mode is off */
    HA_WATCHDOG_READY,   /* it may be opened, and does not run */
    HA_WATCHDOG_PENDING, /* being looked at, or armed */
    HA_WATCHDOG_ARMED,
    HA_WATCHDOG_FAILED, /* `why` */
};

/* The watchdog device behind the fence. */
struct ha_watchdog {
    bool required; /* watchdog.mode: required */
    enum ha_watchdog_state state;
    int64_t failed_mono_ms;  /* when it could not be armed, last; HA_NEVER */
    char why[HA_TEXT_BYTES]; /* it failed, or did so last; "" = all is well */
};

/* Our hold on the leader key: ha_lease.h fills it. */
struct ha_holding {
    bool held; /* the machine holds `epoch` in this run of the agent (acquired or resumed) */
    struct ha_epoch epoch;
    int64_t soft_lease_ms;     /* S */
    int64_t deadline_lease_ms; /* K */
    bool acquiring;            /* an acquisition is sent and not answered */
    bool renewed; /* at least one answer of this run extended it (true for an acquisition) */
    struct ha_epoch acquired; /* the last one that *this run of the agent* acquired */
    int64_t since_mono_ms;    /* when this run began to hold `epoch`; HA_NEVER */
};

enum ha_job_kind {
    HA_JOB_NONE,
    HA_JOB_BOOTSTRAP,
    HA_JOB_CLONE,
    HA_JOB_PROMOTE,
    HA_JOB_REWIND,
    HA_JOB_CHECK_DIVERGENCE,
    HA_JOB_REMOVE_DATA, /* also: move aside */
};

/* Long work, one at a time. Starting and stopping are no jobs here: `run` shows them. */
struct ha_job {
    enum ha_job_kind kind; /* the one that runs, or the last one */
    bool running;
    bool failed;       /* the last one; false while it runs */
    unsigned failures; /* of that kind, in a row */
    int64_t since_mono_ms;
    int64_t ended_mono_ms; /* HA_NEVER */
    struct ha_epoch epoch; /* the leader's when it began */
    char error[HA_TEXT_BYTES];
};

/* What this node owes to a primary that has lost the store and goes on by the word of all members
 * (docs/etcd.md). Times of the lease clock. */
struct ha_failsafe {
    char primary[HA_NAME_BYTES]; /* who asked last; "" = nobody */
    int64_t until_lease_ms;      /* promised: no acquisition before; 0 = nothing was */
    int64_t start_lease_ms; /* of this run of the agent: an earlier one may have promised, too */
    bool active;   /* our own lease stands by the word of others, or they are being asked */
    bool possible; /* the store is an etcd; else nobody goes on without it */
    bool unsure; /* what we have sent for the key may make it a list that nobody can be asked by */
};

/* On what a restart depends; it is looked at when it would be begun. */
struct ha_restart_filter {
    char role[16];     /* ha_role_name; "" = whatever it is */
    int below_version; /* as server_version: only an older server; 0 = any */
    bool if_pending;   /* only where a setting waits for it */
};

enum ha_restart_phase {
    HA_RESTART_NONE,
    HA_RESTART_ORDERED,   /* PostgreSQL is to be stopped for it */
    HA_RESTART_UNDER_WAY, /* was stopped for it, and is not up again */
};

/* A restart of PostgreSQL on request, and the one that is scheduled (ha_restart.h). */
struct ha_restart {
    enum ha_restart_phase phase;
    enum pg_role role;          /* that it had when the order came; unknown = whichever */
    int64_t ordered_mono_ms;    /* HA_NEVER */
    int64_t down_mono_ms;       /* under way: since nothing is left of it; HA_NEVER */
    int64_t timeout_ms;         /* that the order gives to the start; 0 = none of its own */
    int64_t scheduled_wall_ms;  /* 0 = none is */
    int64_t scheduled_start_ms; /* start of the postmaster that it was meant for; 0 = unknown */
    struct ha_restart_filter filter; /* of the scheduled one */
};

enum ha_reinit_phase {
    HA_REINIT_NONE,
    HA_REINIT_ORDERED, /* the data directory, if there is one, is to be removed */
    HA_REINIT_COPYING, /* it was, and the copy does not run yet */
};

/* A data directory that is made anew on request (ha_reinit.h). */
struct ha_reinit {
    enum ha_reinit_phase phase;
    bool from_leader;        /* the copy comes from nobody else */
    bool cancels;            /* a copy or a rewind that runs is ended for it */
    int64_t ordered_mono_ms; /* HA_NEVER */
};

/* Of the members that had a valid data directory, as far as they have told, the one whose record
 * went last, or says it no more: its agent may only be starting again. */
struct ha_owner {
    char name[HA_NAME_BYTES]; /* "" = none has */
    int64_t seen_mono_ms;     /* when it was there last; HA_NEVER */
};

enum ha_request {
    HA_REQUEST_NONE,
    HA_REQUEST_SHUTDOWN, /* SIGTERM: stop PostgreSQL, release the key, exit */
};

struct ha_snapshot {
    int64_t now_lease_ms;
    int64_t now_mono_ms;
    int64_t now_wall_ms;            /* for what is scheduled, only */
    int64_t unlocked_since_mono_ms; /* when this run first saw the present absence of the leader
                                       key; HA_NEVER */
    struct ha_owner owner;
    int64_t partner_gone_mono_ms; /* when there was last a record of a member that was not heard
                                     of; HA_NEVER */
    struct ha_settings settings;
    struct ha_self self;
    struct ha_fence fence;
    struct ha_watchdog watchdog;
    struct ha_holding holding;
    struct ha_job job;
    struct ha_failsafe failsafe;
    struct ha_silence silence;
    struct ha_cluster cluster;
    size_t peer_count;
    struct ha_peer peers[HA_MEMBERS_MAX]; /* the other members, as far as they are looked at */
    enum ha_request request;              /* an order to this node that is not carried out yet */
    int64_t request_mono_ms;              /* when it came; HA_NEVER */
    struct ha_restart restart;
    struct ha_reinit reinit;
};

/* Nothing is known: all zero, times HA_NEVER, Patroni's defaults as settings. Start from it,
 * always: a zero time would mean "at the start of the clock". */
void ha_snapshot_init(struct ha_snapshot *ret_snapshot);

#endif
