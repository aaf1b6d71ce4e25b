/* Inside of a raft_node; for the node_*.c files and their tests only.
 *
 *   node.c          start, stop, the entry points and what they end with (settle, callbacks, timer)
 *   node_step.c     one raft_step and its effects: log cache, storage jobs, messages
 *   node_send.c     frames out
 *   node_receive.c  frames in
 *   node_apply.c    committed entries into the store; snapshots
 *   node_propose.c  commands: batching, forwarding, request ids
 *   node_format.c   format 2 of the store, once every member knows it
 *   node_depose.c   whom this member hears, and what a leader takes only when it does not
 *   node_read.c     ReadIndex
 *   node_lease.c    leases that have run out; our own member record
 *   node_members.c  membership, transfer, status
 *   node_retire.c   an orderly stop: a leader hands its office over
 *   node_stall.c    a disk that stands still: likewise
 *
 * Order inside one entry point: step(s), each with all its effects; then settle = apply what is
 * committed; then the callbacks that became due; then the timer. User callbacks run only there,
 * when everything is consistent, so they may call the node again. */
#ifndef RAFT_ENGINE_NODE_IMPL_H
#define RAFT_ENGINE_NODE_IMPL_H

#include "base/list.h"
#include "raft/engine/guards.h"
#include "raft/engine/log_cache.h"
#include "raft/node.h"

#define NODE_INFLIGHT_ENTRIES   256
#define NODE_SNAPSHOT_THRESHOLD 1024
#define NODE_SNAPSHOT_TRAILING  512
/* What has come since a snapshot makes the next one only when it is so many times as large, or
 * SNAPSHOT_THRESHOLD_MAX entries: to write a large state every thousand entries would be most of
 * what a member writes, and what holds the commands behind it up. */
#define NODE_SNAPSHOT_WORTH         4
#define NODE_SNAPSHOT_THRESHOLD_MAX (16 * NODE_SNAPSHOT_THRESHOLD)
/* Large entries: half of it may trail, and what is as large as the other half, or as the snapshot
 * before, makes the next snapshot. */
#define NODE_SNAPSHOT_LOG_BYTES ((size_t)16 * 1024 * 1024)
#define NODE_SUBMIT_ENTRIES_MAX 64
#define NODE_SUBMIT_BYTES_MAX   ((size_t)2 * 1024 * 1024)
#define NODE_SUBMIT_QUEUE_MAX \
    4096 /* commands waiting for SUBMIT; beyond it forwarded ones are dropped */
#define NODE_APPEND_BYTES_MAX ((size_t)2 * 1024 * 1024) /* entries in one frame */
/* Entries in the log beyond the committed ones, and their bytes, from which on only agents'
 * commands go into it: before SUBMIT these can still be preferred. A follower is sent no more than
 * that at once anyway. */
#define NODE_UNCOMMITTED_ENTRIES_MAX NODE_INFLIGHT_ENTRIES
#define NODE_UNCOMMITTED_BYTES_MAX   NODE_APPEND_BYTES_MAX
/* Commands of this member that wait, and on a leader those in front of SUBMIT, each. Small ones are
 * bounded by their number alone: a flood of large values must keep no renewal out. */
#define NODE_PENDING_BYTES_MAX   ((size_t)64 * 1024 * 1024)
#define NODE_COMMAND_BYTES_SMALL ((size_t)4096)
/* Unfinished storage jobs, and the entries in them: beyond it nothing is taken in that needs one.
 */
#define NODE_JOBS_MAX       1024
#define NODE_JOBS_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Frames that wait for one job: more are lost, as a network loses them. */
#define NODE_JOB_FRAMES_MAX       256
#define NODE_JOB_FRAMES_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define NODE_SUSPENDED_SLACK_MS   10
#define NODE_LEASE_SLEEP_MS_MIN   5
#define NODE_EXPIRES_MAX          64 /* expirations under way at once */
#define NODE_EXPIRES_PLAIN_MAX    48 /* of them, of leases that no agent has */
#define NODE_READS_MAX            RAFT_NODE_PENDING_MAX
#define NODE_READ_REQUESTS_MAX    4096 /* on the leader, from everybody */

/* Shared by the slot of the newest snapshot and the job that stores it. */
struct node_snapshot {
    unsigned refs;
    uint64_t index;
    uint64_t term;
    uint64_t configuration_index;
    struct configuration configuration;
    struct buf configuration_bytes;
    struct buf data;
    struct store *store; /* what `data` says, until it is installed; else NULL */
};

/* A frame that waits for the newest term or vote to be durable. */
struct node_frame {
    struct list link;
    uint64_t to;
    struct buf bytes;
};

enum node_job_snapshot { NODE_JOB_NO_SNAPSHOT, NODE_JOB_TAKEN, NODE_JOB_INSTALLED };

struct node_job {
    struct list link;
    struct raft_node *node; /* NULL: the node is gone, `done` only frees */
    struct raft_storage_job storage;
    int64_t submitted_ms;
    struct log_entry **entries; /* references, entry_count of them */
    struct raft_entry_rec *records;
    uint64_t last_index; /* highest entry of the job that is still valid; 0 = none (clip rule) */
    enum node_job_snapshot snapshot_kind;
    struct node_snapshot *snapshot;
    unsigned trailing; /* of a snapshot taken: entries up to it that stay in the log */
    size_t entries_bytes;
    struct list frames; /* struct node_frame */
    size_t frame_count;
    size_t frames_bytes;
};

/* Agents' commands (with an actor: leases, keys of the cluster) go before those of others. */
enum node_submit_class { NODE_SUBMIT_AGENT, NODE_SUBMIT_PLAIN, NODE_SUBMIT_CLASSES };

/* One proposal of this member, until it is applied here. Slot = sequence % RAFT_NODE_PENDING_MAX.
 */
struct node_proposal {
    bool used;
    enum node_submit_class class;
    uint64_t sequence;
    struct buf data; /* entry data, ready for the log */
    int64_t deadline_ms;
    int64_t sent_ms;
    uint64_t sent_term; /* term and leader it was last sent in; 0 = to be sent */
    unsigned attempts;
    unsigned attempts_max;
    raft_done done;
    void *arg;
};

/* A command in front of SUBMIT; ours or forwarded. */
struct node_submit {
    struct list link;
    struct buf data;
};

struct node_submits {
    struct list list;
    size_t count;
};

struct node_read {
    struct list link;
    uint64_t number; /* of the question it waits for; 0 = not asked yet */
    uint64_t index;  /* answered: apply up to here; 0 = not answered */
    int64_t deadline_ms;
    raft_done done;
    void *arg;
};

/* A question that the leader has to answer, by `from` (may be ourselves). */
struct node_read_request {
    struct list link;
    uint64_t from;
    uint64_t number;
};

struct node_reads {
    struct list waiting; /* struct node_read: ours */
    size_t waiting_count;
    uint64_t asked_before; /* our first question has the number after it */
    uint64_t asked;        /* number of our newest question */
    int64_t asked_ms;
    bool ask_open; /* an answer is awaited */
    /* Leader. */
    struct list requests; /* not in a round yet */
    struct list round;    /* of the present round */
    size_t request_count;
    bool round_open;
    uint64_t round_number;
    uint64_t round_index;
    int64_t round_ms;
    size_t answered_count;
    uint64_t answered[CONFIGURATION_SERVERS_MAX];
};

struct node_expire {
    struct raft_node *node;
    uint64_t lease; /* 0 = free */
    uint64_t number;
    bool plain; /* no agent has the lease */
};

struct node_change {
    bool open;
    bool submitted;
    uint64_t index; /* once submitted */
    uint64_t term;
    struct configuration configuration;
    raft_done done;
    void *arg;
};

/* See node_retire.c. */
struct node_retire {
    bool open; /* `done` is still to be called */
    bool led;
    int64_t deadline_ms;
    raft_done done;
    void *arg;
};

/* The commit index that a follower has heard of, and when it was sent entries or a heartbeat. */
struct node_told {
    uint64_t id;
    uint64_t commit;
    int64_t append_ms;
};

/* When a message of Raft came from a member last. */
struct node_heard {
    uint64_t id; /* 0 = free */
    int64_t mono_ms;
};

/* A callback that is due, fired when the node is at rest. */
struct node_call {
    struct list link;
    raft_done done;
    void *arg;
    int rc;
    bool has_result;
    struct store_result result;
};

struct raft_node {
    struct raft raft;
    struct raft_node_config config;
    struct raft_env env;
    uint64_t id;
    uint64_t cluster;
    struct store *store;
    struct guards guards;

    bool dead;       /* fatal was told: nothing is done any more */
    bool running;    /* inside an entry point */
    bool firing;     /* inside user callbacks */
    bool stop_asked; /* raft_node_stop from a callback */
    bool storage_full;
    int64_t listen_until_ms; /* the disk was full: hear of a leader before campaigning */
    bool changed;            /* on_change is due */
    bool pump_wanted;        /* something waits for the next tick */
    int64_t pump_look_ms;    /* when to try again what could not be done at the last tick */
    unsigned seen_state;
    uint64_t seen_term;
    uint64_t seen_leader;
    uint64_t followed;    /* whom this member has followed last; 0 = nobody */
    int64_t led_since_ms; /* when it began to lead, the last time */

    int64_t now_ms;     /* never falls */
    int64_t started_ms; /* its first value */
    struct node_heard heard[CONFIGURATION_SERVERS_MAX];
    struct log_cache cache;
    struct node_snapshot *snapshot; /* newest that is stored; NULL = none */
    struct store *received;         /* of the snapshot that the engine is about to take or refuse */
    bool taking;                    /* a snapshot job is under way */
    struct list jobs;               /* FIFO */
    size_t job_count;
    int64_t stall_again_ms; /* the lead is not given away over a stalled disk before */
    size_t jobs_bytes;      /* entries of the jobs */
    uint64_t commit_index;  /* own maximum: the engine's may go back */
    struct node_told told[CONFIGURATION_SERVERS_MAX]; /* leader */
    uint64_t applied_index;
    uint64_t applied_term;              /* term of the entry at applied_index */
    size_t applied_bytes;               /* since a snapshot was taken or installed */
    struct configuration configuration; /* applied */
    uint64_t configuration_index;

    /* proposals */
    uint64_t client;
    uint64_t sequence_next;
    uint64_t sequence_floor;
    struct node_proposal proposals[RAFT_NODE_PENDING_MAX];
    size_t proposals_bytes;
    struct node_submits submits[NODE_SUBMIT_CLASSES];
    size_t submit_count; /* of all classes */
    size_t submit_bytes;
    bool format_asked;   /* format 2 was proposed: every member of then knows it */
    bool barrier_wanted; /* submit a BARRIER: nothing of our term is in the log, or a catch-up needs
                            an entry */

    struct node_reads reads;
    struct node_expire expires[NODE_EXPIRES_MAX];
    int64_t lease_look_ms; /* next look at the leases; mono clock */
    int64_t suspended_ms;
    int64_t member_look_ms; /* next look at our member record */
    bool member_pending;

    struct node_change change;
    struct node_retire retire;
    struct list calls; /* struct node_call */
};

/* --- node.c ----------------------------------------------------------------------------------- */
/* For tests: raft_node_start with some guards switched off (GUARD_BIT), to show what each is good
 * for. */
int node_start_without(unsigned guards_off, const struct raft_node_config *config,
                       const struct raft_env *env, const struct raft_boot *boot,
                       struct raft_node **ret_node, struct error *err) MUST_CHECK;
void node_enter(struct raft_node *node);
/* Settles, fires callbacks, arms. The node may be gone afterwards. */
void node_leave(struct raft_node *node);
void node_fatal(struct raft_node *node, int code, const char *text);
void node_call_later(struct raft_node *node, raft_done done, void *arg, int rc,
                     const struct store_result *result);
/* From an API call: the work is done by the tick that is armed here. */
void node_kick(struct raft_node *node);

/* --- node_step.c ------------------------------------------------------------------------------ */
int node_step(struct raft_node *node, struct raft_event *event, bool stale_message);
/* The same, and any refusal is fatal. */
void node_step_must(struct raft_node *node, struct raft_event *event, bool stale_message,
                    const char *what);
/* Appends the job to the FIFO and hands it to the storage. */
void node_job_submit(struct raft_node *node, struct node_job *job);
struct node_job *node_job_new(struct raft_node *node);
void node_jobs_orphan(struct raft_node *node);
/* The disk does not keep up: take in nothing that needs it. */
bool node_jobs_full(const struct raft_node *node);
/* node_stall.c: gives the lead away when the disk stands still. */
void node_stall_pump(struct raft_node *node);
struct node_snapshot *node_snapshot_new(uint64_t index, uint64_t term,
                                        uint64_t configuration_index);
void node_snapshot_unref(struct node_snapshot *snapshot);
uint64_t node_term_of(const struct raft_node *node, uint64_t index); /* 0 = not known any more */
void node_want_own_term(struct raft_node *node);
uint64_t node_leader(const struct raft_node *node); /* 0 = unknown */
bool node_is_leader(const struct raft_node *node);

/* --- node_send.c ------------------------------------------------------------------------------ */
void node_frame_free(struct node_frame *frame);
void node_frame_send(struct raft_node *node, uint64_t to, struct span bytes);
/* One message of an update, through the guards. */
void node_send_update(struct raft_node *node, bool stale_message, struct raft_message *message);
/* One of the adapter's own: it depends on no term or vote. */
void node_send_message(struct raft_node *node, uint64_t to, const struct peer_message *message);
/* Leader: somebody has everything that is committed, and has not heard that it is. */
bool node_commit_is_untold(struct raft_node *node);
void node_send_commit(struct raft_node *node);

/* --- node_apply.c ----------------------------------------------------------------------------- */
void node_apply(struct raft_node *node);
/* A new store of what the bytes say, if they can be read and are of entry `index`. */
int node_snapshot_decode(struct span data, uint64_t index, struct store **ret_store,
                         struct error *err) MUST_CHECK;
/* Its store in the place of ours. */
void node_snapshot_install(struct raft_node *node, struct node_snapshot *snapshot);
void node_snapshot_taken(struct raft_node *node, struct node_job *job);
void node_snapshot_installed(struct raft_node *node, struct node_job *job);

/* --- node_propose.c --------------------------------------------------------------------------- */
bool node_proposal_waits(const struct raft_node *node, uint64_t sequence);
/* One that waits. */
void node_proposal_applied(struct raft_node *node, uint64_t sequence,
                           const struct store_result *result);
void node_proposals_pump(struct raft_node *node);   /* deadlines, sends, one or more SUBMITs */
void node_proposals_resend(struct raft_node *node); /* the leader or its term changed */
void node_proposal_forwarded(struct raft_node *node, struct span data);
void node_proposals_cancel(struct raft_node *node);
bool node_proposals_idle(const struct raft_node *node);
int64_t node_proposals_delay(const struct raft_node *node);
void node_submits_drop(struct raft_node *node);

/* --- node_depose.c ---------------------------------------------------------------------------- */
void node_heard(struct raft_node *node, uint64_t id);
int64_t node_heard_ms(const struct raft_node *node, uint64_t id); /* -1 = never */
/* Leader: the entry is a Depose that must not be taken into the log now. */
bool node_depose_waits(const struct raft_node *node, struct span data);

/* --- node_format.c ---------------------------------------------------------------------------- */
/* May commands of format 2 be proposed? */
bool node_format_is_open(const struct raft_node *node);
/* May `id` be talked to? */
bool node_format_is_known_by(const struct raft_node *node, uint64_t id);
/* `code`, with its name, if it is not known to know format 2. */
int node_format_check(const struct raft_node *node, uint64_t id, int code,
                      struct error *err) MUST_CHECK;

/* --- node_read.c ------------------------------------------------------------------------------ */
void node_reads_init(struct raft_node *node);
void node_reads_pump(struct raft_node *node);
void node_reads_lost(struct raft_node *node); /* leader or term changed */
void node_reads_cancel(struct raft_node *node);
void node_read_message(struct raft_node *node, uint64_t from, const struct peer_message *message);
int64_t node_reads_delay(const struct raft_node *node);

/* --- node_lease.c ----------------------------------------------------------------------------- */
void node_leases_note(struct raft_node *node);
void node_leases_restart(struct raft_node *node);
void node_leases_pump(struct raft_node *node);
int64_t node_leases_delay(const struct raft_node *node);

/* --- node_members.c --------------------------------------------------------------------------- */
void node_change_pump(struct raft_node *node);
void node_change_applied(struct raft_node *node, uint64_t index, uint64_t term);
void node_change_lost(struct raft_node *node, int rc);
bool node_own_term_committed(const struct raft_node *node);
/* Leader: up to where the member has confirmed our log; 0 = not known. */
uint64_t node_match_of(const struct raft_node *node, uint64_t id);
/* raft_node_transfer from inside an entry point, whatever else waits here. */
int node_transfer(struct raft_node *node, uint64_t id, struct error *err) MUST_CHECK;

/* --- node_retire.c ---------------------------------------------------------------------------- */
void node_retire_pump(
    struct raft_node *node); /* after node_proposals_pump, which tells the commit */
void node_retire_settle(struct raft_node *node);
void node_retire_cancel(struct raft_node *node);
int64_t node_retire_delay(const struct raft_node *node);

#endif
