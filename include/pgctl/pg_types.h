/* Plain facts about PostgreSQL that cross rooms: no uv, no libpq, no pointer into anything that
 * lives. Timelines count from 1; 0 = unknown. An LSN of 0 = unknown. */
#ifndef PGCTL_PG_TYPES_H
#define PGCTL_PG_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_NAME_BYTES     64   /* identifiers: roles, slots, databases (NAMEDATALEN) */
#define PG_HOST_BYTES     256  /* host name or address */
#define PG_PATH_BYTES     1024 /* paths that we build */
#define PG_VALUE_BYTES    256  /* settings of which only short values matter to us */

#define PG_MAJOR_MIN      13
#define PG_MAJOR_MAX      17

#define PG_PARAMETERS_MAX 512
#define PG_LINES_MAX      1024 /* lines of pg_hba, options of a program */
#define PG_USERS_MAX      256

struct pg_parameter {
    const char *name;
    const char *value;
};

struct pg_parameters {
    const struct pg_parameter *items;
    size_t count;
};

struct pg_lines {
    const char *const *items;
    size_t count;
};

/* How the agent reaches its own server. */
enum pg_local_way {
    PG_LOCAL_EITHER, /* by the socket where there is one; by the other if the first is refused */
    PG_LOCAL_SOCKET, /* where there is one that can be named; else TCP */
    PG_LOCAL_TCP,
};

enum pg_role {
    PG_ROLE_UNKNOWN, /* not running, or nobody could be asked */
    PG_PRIMARY,      /* out of recovery */
    PG_STANDBY,      /* in recovery */
};

/* One line of a timeline history: `timeline` ended at `switch_lsn`. Ordered, the oldest first. */
struct pg_history_entry {
    uint32_t timeline;
    uint64_t switch_lsn;
};

#define PG_HISTORY_MAX 1024 /* promotions in the life of a cluster; a longer file is ERR_LIMIT */

struct pg_history {
    uint32_t timeline;                /* the timeline whose history this is */
    size_t count;                     /* parents; 0 for timeline 1 */
    struct pg_history_entry *entries; /* heap; pg_history_free */
};

/* "Database cluster state" of pg_controldata. */
enum pg_control_state {
    PG_CONTROL_UNKNOWN,
    PG_CONTROL_STARTING_UP,
    PG_CONTROL_SHUT_DOWN,
    PG_CONTROL_SHUT_DOWN_IN_RECOVERY,
    PG_CONTROL_SHUTTING_DOWN,
    PG_CONTROL_IN_CRASH_RECOVERY,
    PG_CONTROL_IN_ARCHIVE_RECOVERY,
    PG_CONTROL_IN_PRODUCTION,
};

struct pg_control {
    uint64_t system_identifier;
    enum pg_control_state state;
    uint32_t timeline; /* of the latest checkpoint */
    uint32_t prev_timeline;
    uint64_t checkpoint_lsn;
    uint64_t redo_lsn;
    uint64_t min_recovery_lsn;      /* "Minimum recovery ending location"; 0/0 outside recovery */
    uint32_t min_recovery_timeline; /* its timeline */
    uint32_t wal_segment_bytes;
    bool data_checksums;
    bool wal_log_hints;
    /* A standby does not start with smaller ones than its primary had. */
    int max_connections;
    int max_worker_processes;
    int max_wal_senders;
    int max_prepared_transactions;
    int max_locks_per_transaction;
};

/* --- what a look at the data directory found -------------------------------------------------- */

enum pg_dir_kind {
    PG_DIR_MISSING,
    PG_DIR_EMPTY,      /* nothing but dot files and lost+found */
    PG_DIR_VALID,      /* PG_VERSION and a control file that pg_controldata reads */
    PG_DIR_UNFINISHED, /* our marker says that a bootstrap, clone or rewind did not end: never start
                          it */
    PG_DIR_FOREIGN,    /* holds something that is no PostgreSQL data directory: never touch it */
    PG_DIR_BROKEN,     /* PostgreSQL's, but its control file is damaged or of a version we refuse */
    PG_DIR_UNREADABLE, /* permissions, input/output errors: nothing is known */
    PG_DIR_DOUBTFUL,   /* our marker means another directory, or cannot be read: whoever knows which
                          has to look (docs/operations.md). Never start it, never touch it */
};

enum pg_unfinished {
    PG_UNFINISHED_NONE,
    PG_UNFINISHED_BOOTSTRAP,
    PG_UNFINISHED_CLONE,
    PG_UNFINISHED_REWIND
};

struct pg_inspection {
    enum pg_dir_kind kind;
    char reason[PG_VALUE_BYTES]; /* in words, for every kind but missing, empty and valid */
    enum pg_unfinished unfinished;
    int major;                 /* from PG_VERSION; 0 = unknown */
    struct pg_control control; /* zeroed unless valid or unfinished with a readable one */
    uint32_t wal_timeline; /* of a server that is down: the latest that pg_wal has the history of; 0
                              = of none. A standby that was killed may be on it, and its control
                              file not say so */
    bool standby_signal;
    bool recovery_signal;
    bool backup_label;
    bool hba_unset;   /* there is no pg_hba.conf where the configuration is */
    bool hba_missing; /* a copy of this directory has none, whatever name it is looked for under */
    int32_t pidfile_pid; /* of postmaster.pid; 0 = none */
    bool running;  /* that process is alive and works in this directory: a reused pid is not */
    bool stopping; /* ... and its postmaster.pid says that it has been told to stop */
    /* Why postmaster.pid, which is there, says nothing; "" = it does. Then `pidfile_pid` is the
     * server that is seen to work there; where not even that can be seen, it counts as running. */
    char pidfile_reason[PG_VALUE_BYTES];
    bool service_in_force; /* the running postmaster has our PGSERVICEFILE: promises are possible */
    /* Of the cluster that pg_instance_bootstrap has made in this directory, until
     * pg_instance_announced; 0 = none. */
    uint64_t unannounced_system_id;
    bool noted_pause; /* what pg_instance_note_pause was told last */
};

/* --- what a write to the instance's disks found (pgctl/pg_disk.h) --------------------------------
 */

/* In order of gravity. */
enum pg_disk_kind {
    PG_DISK_UNKNOWN, /* nobody has tried yet, or who tries is not heard: nothing follows from it */
    PG_DISK_GOOD,
    PG_DISK_LOW,     /* takes writes, and has less space left than is to be kept free */
    PG_DISK_FULL,    /* a write was refused for want of space (or quota) */
    PG_DISK_STALLED, /* a write has not come back for a while */
    PG_DISK_READ_ONLY,
    PG_DISK_FAILED, /* input/output error */
};

#define PG_DISK_PLACE_BYTES \
    32 /* "data directory", "pg_wal", "tablespace 16402", "Raft directory" */

/* --- what an answer of the running server said ------------------------------------------------ */

#define PG_REPLICAS_MAX        64
#define PG_SLOTS_MAX           64
#define PG_PENDING_MAX         16

#define PG_PENDING_VALUE_BYTES 128

struct pg_replica { /* one row of pg_stat_replication */
    char user[PG_NAME_BYTES];
    char application_name[PG_NAME_BYTES];
    char client_addr[PG_NAME_BYTES];
    char state[16];      /* "streaming", "catchup", "backup", ... */
    char sync_state[16]; /* "async", "sync", "quorum", "potential" */
    uint64_t sent_lsn;
    uint64_t write_lsn;
    uint64_t flush_lsn;
    uint64_t replay_lsn;
    int32_t pid;
    int32_t sync_priority; /* 0: asynchronous */
};

struct pg_slot { /* temporary ones are not told */
    char name[PG_NAME_BYTES];
    bool physical;
    bool active;
    bool has_xmin; /* holds rows back: hot_standby_feedback of whoever streams, or streamed */
    uint64_t restart_lsn; /* 0: none reserved, or lost */
    char wal_status[16];  /* "reserved", "lost", ... */
    /* Of a logical one: */
    char database[PG_NAME_BYTES];
    char plugin[PG_NAME_BYTES];
    uint64_t confirmed_lsn; /* its consumer has all changes before that */
    uint32_t catalog_xmin;  /* rows of catalogs that died from this transaction on are kept; 0: none
                               are */
    uint64_t catalog_xmin_age; /* so many transactions ago; 0 without one */
    bool invalid;              /* the server has given it up: 16 and later say so apart */
    bool failover;             /* 17: the server itself makes it on standbys, too */
    bool synced;               /* 17: it was made so here */
    bool marked; /* it was copied, or left by a former primary, and that is noted beside it: */
    uint32_t good_timeline; /* the primary on that one was seen to keep what it needs; 0 = none */
};

/* A logical slot that is to be there. */
struct pg_logical_wish {
    const char *name;
    const char *database;
    const char *plugin;
    uint64_t lsn; /* standby: how far its consumer is known to be; 0 = the primary has none yet */
    bool unsafe;  /* primary: what is here was copied, and catalog rows that it needs may be gone */
};

/* A physical slot that is to be there. */
struct pg_slot_wish {
    const char *name;
    bool idle;    /* nobody is expected to stream from it here */
    uint64_t lsn; /* idle: what its member is known to have; 0 = unknown, the slot stays */
};

struct pg_waiting { /* a setting whose configured value comes into force with a restart */
    char name[PG_NAME_BYTES];
    char old_value[PG_PENDING_VALUE_BYTES]; /* as the server runs with */
    char new_value[PG_PENDING_VALUE_BYTES];
};

struct pg_probe_result {
    int64_t asked_ms;    /* mono clock before the query was sent: the age of these facts counts from
                            here */
    int64_t answered_ms; /* mono clock */
    enum pg_role role;
    int server_version; /* 150004 */
    uint64_t system_identifier;
    uint32_t timeline; /* primary: what it writes; standby: of the last WAL received or replayed */
    bool timeline_exact;  /* false: a standby may be on a later one */
    uint64_t flush_lsn;   /* primary: written and flushed; standby: received and flushed, 0 right
                             after a start */
    uint64_t receive_lsn; /* standby: pg_last_wal_receive_lsn */
    uint64_t replay_lsn;  /* standby */
    uint64_t current_lsn; /* primary: pg_current_wal_lsn */
    uint32_t control_timeline; /* of the last checkpoint: smaller than `timeline` = checkpoint after
                                  promote due */
    bool replay_paused;
    int64_t replay_time_ms;      /* wall clock of the last replayed commit; 0 = none */
    int64_t postmaster_start_ms; /* wall clock */
    /* Likewise: a later one under the same postmaster is that of a server which has restarted
     * itself because a backend died. 0 = not known. */
    int64_t checkpointer_start_ms;
    char postmaster_start[40]; /* as PostgreSQL prints it in UTC: "2026-11-24 12:00:00.123456+00" */

    bool receiver_alive;               /* a row in pg_stat_wal_receiver */
    char receiver_status[16];          /* "streaming", ... */
    char receiver_host[PG_HOST_BYTES]; /* where it is connected to (sender_host) */
    uint16_t receiver_port;
    int64_t receiver_last_ms; /* wall clock of the last message from the upstream; 0 = none */
    /* This start has replayed all its local WAL: the receiver is up, or the startup process was
     * seen waiting for new WAL; and its timeline is exact. Only then is (timeline, max(flush_lsn,
     * replay_lsn)) the standby's position. */
    bool local_wal_replayed;
    bool replay_waits; /* the startup process was seen waiting for new WAL */

    bool logical_decoding; /* wal_level is logical */
    bool feedback;         /* hot_standby_feedback is on */

    bool pending_restart; /* some setting waits for a restart */
    size_t pending_count; /* at most PG_PENDING_MAX; more are not told */
    struct pg_waiting pending[PG_PENDING_MAX];

    size_t replica_count; /* at most PG_REPLICAS_MAX; more are not told */
    struct pg_replica replicas[PG_REPLICAS_MAX];
    size_t slot_count; /* physical ones first; at most PG_SLOTS_MAX */
    bool slots_cut;    /* there are more, which are not told */
    struct pg_slot slots[PG_SLOTS_MAX];
};

/* Answer of another member's PostgreSQL, asked over a fresh connection. */
struct pg_peer_facts {
    int64_t asked_ms;
    int64_t answered_ms;
    enum pg_role role;
    int server_version;
    uint64_t system_identifier;
    uint32_t timeline; /* standby: of its last restartpoint, it may be on a later one */
    uint32_t
        control_timeline; /* smaller than `timeline`: pg_rewind has to wait for its checkpoint */
    uint64_t lsn;         /* primary: current; standby: max(received, replayed) */
    struct pg_history
        history; /* of `timeline`; owned by whoever handed the facts, valid in the callback */
};

/* A watchdog device is petted so many times in its timeout. */
#define PG_WATCHDOG_PETS 5

/* What has to lie between the moment when the instance is killed and the one before which a
 * watchdog device of that timeout fires: one that was petted for the last time as late as it may be
 * has to find everything gone, and to be disarmed, before it fires. 750 ms: killing (dF), a look
 * that comes late, and disarming. */
static inline int64_t pg_watchdog_reserve_ms(int64_t timeout_ms)
{
    return timeout_ms + timeout_ms / PG_WATCHDOG_PETS + 750;
}

#endif
