/* What a decision asks for: ordered actions, the rule that decided, the reason in words.
 *
 * The executor carries the actions out in order and stops at the first failure. An action that
 * takes long (marked J: one job at a time) is started and the plan goes on; its outcome comes back
 * as a fact. One marked A is waited for, and the next action is tried only when its answer was 0.
 * Every action is idempotent: after a crash at any point the next decision looks at the world again
 * and goes on. */
#ifndef AGENT_HA_PLAN_H
#define AGENT_HA_PLAN_H

#include "agent/ha/ha_snapshot.h"
#include "base/err.h"

#define HA_ACTIONS_MAX  8
#define HA_REASON_BYTES 256

/* X(constant, word in text). Arguments stand in struct ha_action; unnamed ones are zero. */
#define HA_ACTIONS(X)                                                                              \
    /* Nothing before `until` (mono; HA_NEVER = the next event or loop_wait) or the next event. */ \
    X(HA_WAIT, "wait")                                                                             \
    /* A. `initialize` = `text` ("" = bootstrap under way) if its revision is `revision`. */       \
    X(HA_WRITE_INITIALIZE, "write_initialize")                                                     \
    /* A. `config` = bootstrap.dcs, or the last configuration in force, if at `revision`. */       \
    X(HA_WRITE_CONFIG, "write_config")                                                             \
    /* A. Entry for our present timeline into `history`, from the .history file in pg_wal. */      \
    X(HA_WRITE_HISTORY, "write_history")                                                           \
    /* `status` with our position `lsn` (and slots), if it differs from what is there. */          \
    X(HA_WRITE_STATUS, "write_status")                                                             \
    /* A. `failsafe` = names and REST addresses of all members, if at `revision`. */               \
    X(HA_WRITE_FAILSAFE, "write_failsafe")                                                         \
    /* A. No `sync` any more, if at `revision`: it is of before this was a standby cluster. */     \
    X(HA_REMOVE_SYNC, "remove_sync")                                                               \
    /* A. `failover` = {} if at `revision`. */                                                     \
    X(HA_CLEAR_FAILOVER, "clear_failover")                                                         \
    /* A. reports/<self> = {epoch it leaves, timeline, lsn, yields, ...} if at `revision`. */      \
    X(HA_WRITE_REPORT, "write_report")                                                             \
    /* A. reports/<self> = none if at `revision` and the leader key is of `epoch`; the answer sets \
     * self.withdrawn_epoch. */                                                                    \
    X(HA_WITHDRAW_REPORT, "withdraw_report")                                                       \
    /* A. The transaction of plan->acquire. The answer goes through ha_lease_acquired; the next    \
     * decision arms and promotes. */                                                              \
    X(HA_ACQUIRE, "acquire")                                                                       \
    /* A. The same against the holder of `epoch`, whose lease is ended in that transaction. */     \
    X(HA_DEPOSE, "depose")                                                                         \
    /* Go on holding `epoch`, which the leader key and (if there is one) the page have:            \
     * ha_lease_resume, and a renewal is sent at once. */                                          \
    X(HA_RESUME, "resume")                                                                         \
    /* The page gets the epoch and the deadlines of the lease (ha_lease_page). */                  \
    X(HA_ARM, "arm")                                                                               \
    /* The page says standby: for an instance that is stopped or was never told to promote. */     \
    X(HA_DISARM, "disarm")                                                                         \
    /* The page says that `epoch` is over, as if the fence had fired. */                           \
    X(HA_FENCE_OVER, "fence_over")                                                                 \
    /* A. `unfenced` = `epoch`, if the leader key is of it: from then on nobody else acquires. */  \
    X(HA_PUT_UNFENCED, "put_unfenced")                                                             \
    /* The page says `epoch` and no deadline: the fence is disarmed. Right after the answer to the \
     * put, and only while the lease that it was sent under is valid. */                           \
    X(HA_UNFENCE, "unfence")                                                                       \
    /* A. No `unfenced` any more, if at `revision`. */                                             \
    X(HA_REMOVE_UNFENCED, "remove_unfenced")                                                       \
    /* A. Deletes the leader key if it has `epoch`; `lsn` (0 = leave) goes into `status`. */       \
    X(HA_RELEASE, "release")                                                                       \
    /* J. initdb, start, accounts. The page is armed. */                                           \
    X(HA_BOOTSTRAP, "bootstrap")                                                                   \
    /* J. A copy of `member`; "" = of nobody, from an archive. `exact`: by pg_basebackup alone. */ \
    X(HA_CLONE, "clone")                                                                           \
    /* Start in place: primary, the page is armed. */                                              \
    X(HA_START_PRIMARY, "start_primary")                                                           \
    /* standby.signal; follows `member` in `epoch`; "" = detached, leaving `epoch`. With `remote`, \
     * here and below: the other cluster, in the place of a member of this one. */                 \
    X(HA_START_STANDBY, "start_standby")                                                           \
    /* CHECKPOINT, waited for, before a planned stop. */                                           \
    X(HA_CHECKPOINT, "checkpoint")                                                                 \
    X(HA_STOP_FAST, "stop_fast")                                                                   \
    /* The same, for the restart that was ordered: it is under way from here on. */                \
    X(HA_STOP_RESTART, "stop_restart")                                                             \
    /* The scheduled restart becomes an order for now. */                                          \
    X(HA_ORDER_RESTART, "order_restart")                                                           \
    /* What was ordered, or scheduled, is not done. */                                             \
    X(HA_DROP_RESTART, "drop_restart")                                                             \
    X(HA_DROP_SCHEDULED, "drop_scheduled")                                                         \
    X(HA_DROP_REINIT, "drop_reinit")                                                               \
    X(HA_STOP_IMMEDIATE, "stop_immediate")                                                         \
    /* Every process is killed at once, by the fence; it counts as down since `until`. */          \
    X(HA_KILL, "kill")                                                                             \
    /* The same where it may not end (a disk that does not answer): `epoch` is over, the fence     \
     * kills for it, and no renewal is sent any more, so that the lease ends by itself. */         \
    X(HA_ABANDON, "abandon")                                                                       \
    /* The fence, which does not answer and has nothing left to guard, is ended; and this agent,   \
     * whose next start makes another one. */                                                      \
    X(HA_END_FENCE, "end_fence")                                                                   \
    /* A. The promise for `epoch`: the service file cannot connect, no walreceiver is left. */     \
    X(HA_DETACH, "detach")                                                                         \
    /* Service file names `member` (of `epoch`); the old walreceiver, if any, is ended. */         \
    X(HA_FOLLOW, "follow")                                                                         \
    /* J. History files for skipped numbers, then promote; makes `timeline`. Looks at the lease    \
     * once more right before the signal. */                                                       \
    X(HA_PROMOTE, "promote")                                                                       \
    /* J. Is our WAL a prefix of that of `member`, primary of `epoch`? Sets self.rejoin. */        \
    X(HA_CHECK_DIVERGENCE, "check_divergence")                                                     \
    /* J. pg_rewind from `member`, primary of `epoch`. Sets self.rejoin.rewind. */                 \
    X(HA_REWIND, "rewind")                                                                         \
    /* J. Empties the data directory (invariant I10: `member` is the primary of `epoch`, asked     \
     * again right before; a loss is logged first). */                                             \
    X(HA_REMOVE_DATA, "remove_data")                                                               \
    /* J. Renames an unfinished bootstrap to <data_dir>.failed. */                                 \
    X(HA_MOVE_ASIDE, "move_aside")                                                                 \
    /* Ends the job that runs, and kills its program with what that has started. */                \
    X(HA_CANCEL, "cancel")                                                                         \
    X(HA_SYNC_SLOTS, "sync_slots")                                                                 \
    /* This agent may exit. */                                                                     \
    X(HA_EXIT, "exit")

enum ha_action_type {
#define HA_ACTION_ENUM(name, text) name,
    HA_ACTIONS(HA_ACTION_ENUM)
#undef HA_ACTION_ENUM
};

struct ha_action {
    enum ha_action_type type;
    char member[HA_NAME_BYTES];
    char text[HA_SYSID_BYTES];
    struct ha_epoch epoch;
    int64_t revision; /* compare: 0 = the key must be absent */
    uint32_t timeline;
    uint64_t lsn;
    bool yields;
    bool unfit;
    bool exact;
    bool remote;
    int64_t primary_silent_ms; /* of the leader, which still has its key */
    int64_t raft_silent_ms;
    int64_t until_mono_ms;
};

/* What becomes of the key `unfenced`, in the step of the acquisition. */
enum ha_unfenced {
    HA_UNFENCED_LEAVE,
    HA_UNFENCED_PUT,    /* our fence is disarmed: the key names the new epoch */
    HA_UNFENCED_REMOVE, /* our own and the page is armed or over; or passed over on an order */
};

/* Compares and values of the acquisition; the executor copies them into struct dcs_acquire. */
struct ha_acquire {
    int64_t epoch_revision;
    int64_t config_revision;
    int64_t sync_revision;
    uint32_t timeline;         /* that the promotion will make; our own where nothing is promoted */
    int64_t unfenced_revision; /* 0 = absent */
    enum ha_unfenced unfenced;
    int64_t recovered_revision; /* of the key `recovered`, which goes with it; 0 = absent */
    size_t report_count;
    struct {
        char member[HA_NAME_BYTES];
        int64_t revision;
    } reports[HA_MEMBERS_MAX];
};

struct ha_plan {
    const char *situation; /* static texts: the list of rules, and the rule of it that answered */
    const char *rule;
    char reason[HA_REASON_BYTES];
    size_t action_count;
    struct ha_action actions[HA_ACTIONS_MAX];
    struct ha_acquire acquire; /* of HA_ACQUIRE and HA_DEPOSE */
};

struct ha_rule {
    const char *name;
    bool (*answer)(const struct ha_snapshot *s, struct ha_plan *plan);
};

/* Decides. Always gives a rule and at least one action. Asserts ha_check on what it gives. */
void ha_decide(const struct ha_snapshot *s, struct ha_plan *ret_plan);
/* The same of a snapshot that is only supposed, whose plan nobody carries out. NULL, or what is
 * wrong with the plan: such a question must not end the agent. */
const char *ha_decide_supposed(const struct ha_snapshot *s, struct ha_plan *ret_plan) MUST_CHECK;

/* For the rules. The action is zeroed but for its type (until = HA_NEVER); it lives in the plan. */
struct ha_action *ha_plan_add(struct ha_plan *plan, enum ha_action_type type);
void ha_plan_because(struct ha_plan *plan, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool ha_plan_has(const struct ha_plan *plan, enum ha_action_type type);

/* "acquire", "stop_fast", ... Never NULL. */
const char *ha_action_name(enum ha_action_type type);

/* What no plan may do, whatever the rules say; NULL if the plan keeps to it, else the fact that it
 * breaks. ha_decide asserts it, so that a bug stops the agent (and the fence the instance) instead
 * of the data. */
const char *ha_check(const struct ha_snapshot *s, const struct ha_plan *plan);

/* Texts of both, for logs, `explain` and golden scenarios (agent/ha/ha_text.c). */
struct buf;
void ha_snapshot_print(const struct ha_snapshot *s, struct buf *out);
void ha_plan_print(const struct ha_plan *plan, struct buf *out);
/* Reads what ha_snapshot_print wrote; keys may be left out and stand in any order. ERR_INVALID
 * names the line. */
int ha_snapshot_parse(const char *text, struct ha_snapshot *ret_snapshot,
                      struct error *err) MUST_CHECK;

/* State and role of this node in Patroni's words, for the member key and REST: "running", "creating
 * replica", "stopped" ...; "primary", "replica", "standby_leader", "uninitialized", "demoted",
 * "promoted". Never NULL. */
/* For the member key: this node has done what the pause, or its end, asks of it. */
bool ha_shows_pause(const struct ha_snapshot *s);
const char *ha_state_name(const struct ha_snapshot *s);
const char *ha_role_name(const struct ha_snapshot *s);

#endif
