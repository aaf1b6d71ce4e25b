/* One member of the Raft group: libraft's raft_step driven by events, with the guards that make it
 * safe (docs/consensus.md), the store applied to it, and every effect behind an ops table.
 * Production fills the tables with SQLite, TCP and the real clocks; the simulator fills them with
 * models; this code is the same. Single threaded: every call on the loop's thread, no callback from
 * inside the call that asked for it. */
#ifndef RAFT_NODE_H
#define RAFT_NODE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "raft/store.h"

struct raft_node;

#define RAFT_NODE_NAME_BYTES    64
#define RAFT_NODE_ADDRESS_BYTES 256
/* Proposals and reads waiting here; beyond it ERR_LIMIT. For commands above 4 KiB also beyond 64
 * MiB.
 */
#define RAFT_NODE_PENDING_MAX 1024
/* Of commands, those of plain clients: the rest is for the member's own, the renewals of its lease
 * among them. */
#define RAFT_NODE_PENDING_PLAIN_MAX 768

/* --- effects ---------------------------------------------------------------------------------- */

struct raft_entry_rec {
    uint64_t index;
    uint64_t term;
    uint16_t type; /* enum raft_entry_type of raft.h */
    struct span data;
};

/* One durable transaction. Jobs are never reordered; a crash leaves a prefix of the job list.
 * Borrowed until `done`. */
struct raft_storage_job {
    bool has_vote; /* term and voted_for */
    uint64_t term;
    uint64_t voted_for;
    bool has_entries; /* first drop the log from entries[0].index on (truncate_from), then append */
    uint64_t truncate_from; /* 0 = nothing to drop */
    const struct raft_entry_rec *entries;
    size_t entry_count;
    bool has_snapshot;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t configuration_index;
    struct span configuration; /* raft_configuration_encode bytes */
    struct span snapshot;
    bool snapshot_installed; /* from a leader: the whole log goes; else only up to `delete_until` */
    uint64_t delete_until;
};

struct raft_storage_ops {
    /* Takes the job; `done` comes later on the loop's thread, in order, never inside submit. A
     * failed job never returns: production exits the process (ERR_IO) or holds the same job until
     * there is space again. After raft_node_stop every job still held is given back by `done` too,
     * which then only frees it. */
    void (*submit)(void *arg, const struct raft_storage_job *job, void (*done)(void *job_arg),
                   void *job_arg);
};

struct raft_peer_ops {
    /* Fire and forget: drop when the peer is not connected or its queue is full. */
    void (*send)(void *arg, uint64_t to, struct span frame);
    bool (*connected)(void *arg, uint64_t id);
    /* It is connected, and said of itself that it knows format 2 of the store. */
    bool (*knows_format_2)(void *arg, uint64_t id);
    /* It is connected, and said of itself that it is a witness. May be NULL. */
    bool (*is_witness)(void *arg, uint64_t id);
    /* A snapshot that was sent to it has not come through yet, or so lately that the answer may be
     * on its way: another one would be dropped. May be NULL: never. */
    bool (*snapshot_is_under_way)(void *arg, uint64_t id);
};

struct raft_env {
    const struct raft_storage_ops *storage;
    void *storage_arg;
    const struct raft_peer_ops *peers;
    void *peers_arg;
    const struct clock *clock;
    const struct random *random;
    /* One timer: call raft_node_tick no later than `delay_ms` from now; replaces the earlier
     * request. */
    void (*arm)(void *arg, int64_t delay_ms);
    /* The store changed (revision rose or a lease moved), or role, leader or membership changed.
     * After the step. */
    void (*on_change)(void *arg);
    /* May be NULL. For the log; the node goes on. The same text may come again and again. */
    void (*on_warning)(void *arg, const char *text);
    /* The node cannot go on (broken contract of the engine, corrupt state, an entry that a newer
     * release has written). Production logs and exits. */
    void (*on_fatal)(void *arg, const struct error *err);
    void *arg;
};

/* What the directory holds at start; the loader of the storage fills it. */
struct raft_boot {
    uint64_t id;
    uint64_t cluster;
    uint64_t term;
    uint64_t voted_for;
    bool has_snapshot;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t configuration_index;
    struct span configuration;
    struct span snapshot;
    const struct raft_entry_rec *entries;
    size_t entry_count;
};

struct raft_node_config {
    char name[RAFT_NODE_NAME_BYTES];       /* this member's name = actor of its commands */
    char address[RAFT_NODE_ADDRESS_BYTES]; /* host:port, published with STORE_MEMBER_SET */
    /* Where it serves etcd's clients (full URLs, with commas), empty: it does not. Published with
     * STORE_MEMBER_CLIENTS once format 2 is open; empty takes back what an earlier start published.
     */
    char client_urls[STORE_MEMBER_CLIENTS_BYTES_MAX + 1];
    int election_timeout_ms;     /* default: ttl/6 within 500..1000 */
    int heartbeat_ms;            /* a tenth */
    bool witness;                /* told in the status, and nothing else */
    unsigned snapshot_threshold; /* entries; 0 = 1024 */
    /* So many entries may come before a snapshot that is large beside them; 0 = as the threshold.
     * Where that is 0, it is 16384. */
    unsigned snapshot_threshold_max;
    unsigned snapshot_trailing; /* 0 = 512; must be >= 2 * 256 outside tests. Fewer stay where they
                                   are large: 8 MiB, or one entry */
};

/* Starts on what `boot` says (an empty directory that has joined nothing yet: no term, no entries;
 * the node then only listens). `boot` and `config` are copied; what `env` points to is borrowed
 * until the stop. Effects that call back (on_change, done) come with the first tick, which is armed
 * here. ERR_CORRUPT if the boot contradicts itself. */
int raft_node_start(const struct raft_node_config *config, const struct raft_env *env,
                    const struct raft_boot *boot, struct raft_node **ret_node,
                    struct error *err) MUST_CHECK;
/* Ends every pending call with ERR_CANCELED, then frees. No effect is called afterwards. May be
 * called from a callback of the node. */
void raft_node_stop(struct raft_node *node);

void raft_node_receive(struct raft_node *node, uint64_t from, struct span frame);
void raft_node_tick(struct raft_node *node);
/* The disk is full (or is not any more): the member behaves as if it were cut off. Nothing is taken
 * or sent, so no vote of it leaves; a leader's clock runs on until it finds itself alone and steps
 * down, nobody else campaigns. When there is space again it goes on from the same jobs by itself,
 * and listens for a leader first. */
void raft_node_storage_full(struct raft_node *node, bool full);

/* --- use -------------------------------------------------------------------------------------- */

typedef void (*raft_done)(void *arg, int rc, const struct store_result *result);

/* Opens format 2 of the store for the whole group, if every member of its configuration is
 * connected and knows it; the same command for all of them, so it opens at one place of the log.
 * `done` (rc 0) when that was applied here, also if it was open before. ERR_UNAVAILABLE: `err`
 * names who is not there or is of an older release. Before it, commands of format 2 (store.h) are
 * refused with ERR_UNAVAILABLE: a member of an older release would stop at them. */
int raft_node_open_format_2(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg,
                            struct error *err) MUST_CHECK;

/* Proposes a command from any member: it is forwarded to the Raft leader, sent again under the same
 * request id when the leader changes or does not answer, applied exactly once. `done` is called
 * once, when this member has itself applied it (rc 0, `result` as everywhere, with the output of a
 * command of format 2, unless it was applied by way of a snapshot), or with ERR_UNKNOWN
 * (deadline reached after a send: it may or may not be applied later), ERR_UNAVAILABLE (deadline
 * reached, never sent), ERR_CANCELED (the node stopped; it may have been sent). The command is
 * copied. `attempts_max` 1 = never send again (lease renewals: each attempt is a new one), 0 = as
 * often as the deadline allows. */
int raft_node_propose(struct raft_node *node, const struct store_command *command,
                      int64_t timeout_ms, unsigned attempts_max, raft_done done, void *arg,
                      struct error *err) MUST_CHECK;

/* The same for a plain client of this member: the command has no actor, so that what belongs to a
 * member's lease is refused by the store. */
int raft_node_propose_plain(struct raft_node *node, const struct store_command *command,
                            int64_t timeout_ms, raft_done done, void *arg,
                            struct error *err) MUST_CHECK;

/* The same for a client of this member that has a name of its own, `actor`, and holds leases under
 * it. `attempts_max` as above. */
struct raft_propose_as {
    struct span actor;
    int64_t timeout_ms;
    unsigned attempts_max;
};
int raft_node_propose_as(struct raft_node *node, const struct store_command *command,
                         const struct raft_propose_as *as, raft_done done, void *arg,
                         struct error *err) MUST_CHECK;

/* ReadIndex: `done` (rc 0) when this member has applied everything that was committed when it
 * asked; then raft_node_store is linearizable until the callback returns. No clock is trusted.
 * ERR_UNAVAILABLE at the deadline, ERR_CANCELED. */
int raft_node_read(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg,
                   struct error *err) MUST_CHECK;

/* Until the loop turns: the leader's snapshot puts another store in its place. */
const struct store *raft_node_store(const struct raft_node *node);

enum raft_role { RAFT_ROLE_FOLLOWER, RAFT_ROLE_CANDIDATE, RAFT_ROLE_LEADER };

struct raft_member_status {
    uint64_t id;
    char name[RAFT_NODE_NAME_BYTES];
    char address[RAFT_NODE_ADDRESS_BYTES];
    bool voter;
    bool connected; /* as seen from here; self is true */
    bool leader;
    bool witness; /* it runs no PostgreSQL; known to itself, and to whom it is connected with */
    uint64_t match_index;  /* known on the leader only, else 0 */
    int64_t heard_mono_ms; /* the last message of Raft from it: leader and followers exchange them,
                              followers do not; -1 = none */
    int64_t heard_ms;      /* how long ago that was; self 0; -1 = never */
};

struct raft_status {
    uint64_t id;
    uint64_t cluster;
    enum raft_role role;
    uint64_t term;
    uint64_t leader; /* id, 0 = unknown */
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t last_index;
    int64_t revision;
    size_t member_count;
    struct raft_member_status members[STORE_MEMBERS_MAX];
};

void raft_node_status(const struct raft_node *node, struct raft_status *ret_status);

/* What this member's disk holds. Whoever has heard `term` and `committed` knows what no later start
 * of the same directory can have less of; one that has runs on an old copy. */
struct raft_mark {
    uint64_t term;
    uint64_t last;      /* entry, in the log or in the snapshot */
    uint64_t committed; /* entries up to it are never taken back */
};
/* False while it is not known: a term or a snapshot is being stored. */
bool raft_node_mark(const struct raft_node *node, struct raft_mark *ret_mark);

/* Moves Raft leadership to `id` if this member leads, the group is quiet, and no change is open.
 * ERR_BUSY otherwise: ask again later. */
int raft_node_transfer(struct raft_node *node, uint64_t id, struct error *err) MUST_CHECK;

/* Before an orderly stop. A leader takes nothing new into the log and hands its office to a
 * connected voter, so that the others need no election. `done`, once: 0 when another one leads and
 * has committed in its own term, or there was nothing to hand over (this member does not lead, or
 * nobody is there to take it); ERR_TIMEOUT; ERR_CANCELED at a stop before that. */
void raft_node_retire(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg);

/* Membership; leader only, one change at a time, refusals of docs/consensus.md. `done` when applied
 * (rc 0), or with ERR_UNKNOWN when leadership was lost before. ERR_UNAVAILABLE: not the leader;
 * ERR_BUSY: a change is open, a living voter is behind, or the standby has not caught up: ask again
 * later; ERR_REFUSED: never allowed (the leader itself; from two voters to one), or not now: those
 * that are connected would be no majority of the voters that are left; ERR_EXISTS, ERR_NOT_FOUND,
 * ERR_LIMIT. */
int raft_node_add(struct raft_node *node, uint64_t id, raft_done done, void *arg,
                  struct error *err) MUST_CHECK;
int raft_node_promote(struct raft_node *node, uint64_t id, raft_done done, void *arg,
                      struct error *err) MUST_CHECK;
int raft_node_remove(struct raft_node *node, uint64_t id, raft_done done, void *arg,
                     struct error *err) MUST_CHECK;
/* 0 when the standby `id` has caught up; ERR_BUSY while it does; starts the catch-up if none runs.
 */
int raft_node_caught_up(struct raft_node *node, uint64_t id);
/* The standby whose catch-up runs, one at a time; 0 = none, or not the leader. One that does not
 * get there is given up after 5 s: the next raft_node_caught_up starts one again. */
uint64_t raft_node_catching_up(const struct raft_node *node);

/* Bytes of entry 1 of a new group: a configuration with these ids as voters, label = id in hex.
 * Identical on every member. The directory of each first member gets it in one transaction with
 * term 1. */
int raft_first_configuration(const uint64_t *ids, size_t count, struct buf *out,
                             struct error *err) MUST_CHECK;

/* Ids of the newest configuration that `boot` holds (the last CHANGE of its log, else the
 * snapshot's). Returns how many; 0 if there is none. */
size_t raft_boot_members(const struct raft_boot *boot, uint64_t *ret_ids, size_t count_max);

#endif
