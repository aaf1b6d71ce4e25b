/* PURE. The rule lists, one per situation, and the actions that more than one of them plans. Each
 * list ends with a rule that always answers. Order is policy: earlier rules protect data, later
 * ones improve service. */
#ifndef AGENT_HA_RULES_H
#define AGENT_HA_RULES_H

#include "agent/ha/ha_plan.h"

struct ha_rule_list {
    const char *name; /* of the situation */
    const struct ha_rule *rules;
    size_t count;
};

extern const struct ha_rule_list
    ha_rules_common; /* first, for everybody; may leave the question open */
extern const struct ha_rule_list
    ha_rules_pause; /* second: a paused cluster, and the way out; may leave it open, too */
extern const struct ha_rule_list ha_rules_bootstrap; /* no data directory */
extern const struct ha_rule_list ha_rules_stopped;   /* a data directory, nothing runs */
extern const struct ha_rule_list ha_rules_starting;  /* starting or stopping */
extern const struct ha_rule_list ha_rules_leader;    /* runs as a primary */
extern const struct ha_rule_list
    ha_rules_replica; /* runs as a standby; the leader key is somebody's */
extern const struct ha_rule_list
    ha_rules_unlocked; /* runs as a standby; the leader key is absent */
extern const struct ha_rule_list
    ha_rules_silent; /* runs as a standby; the leader key is another's, who gives no sign of life */
extern const struct ha_rule_list
    ha_rules_standby_leader; /* runs as a standby; the leader key of a standby cluster is ours */

/* The first rule that answers fills the plan. False = none did. */
bool ha_rules_run(const struct ha_rule_list *list, const struct ha_snapshot *s,
                  struct ha_plan *plan);

#define HA_RULE_LIST(list_name, table)                           \
    {                                                            \
        (list_name), (table), sizeof(table) / sizeof((table)[0]) \
    }

void ha_plan_wait(struct ha_plan *plan, int64_t until_mono_ms);
/* Commits wait for this standby, which is about to stop: the primary, which reads `nosync` in our
 * record since then, takes somebody else first. Not waited for without end: it may be busy, or
 * away. True: the plan is to wait. */
bool ha_plan_leave_sync(const struct ha_snapshot *s, struct ha_plan *plan, int64_t asked_mono_ms,
                        const char *why);
/* The page says that its epoch is over (if it has one), then the key's epoch is released. Nothing
 * may run. */
void ha_plan_release(const struct ha_snapshot *s, struct ha_plan *plan, uint64_t optime);
/* The key goes back, of a standby that was never told to promote: it need not be stopped. */
void ha_plan_give_back(const struct ha_snapshot *s, struct ha_plan *plan);
/* The page says that its epoch is over. `unfenced` is ours and stands: it goes after that. */
void ha_plan_end_unfenced(const struct ha_snapshot *s, struct ha_plan *plan);
/* Our primary runs on without a deadline: first nobody else may acquire, then the page says so. */
void ha_plan_unfence(const struct ha_snapshot *s, struct ha_plan *plan);
/* Of the leader: keys that the cluster has to have. */
void ha_plan_repair_keys(const struct ha_snapshot *s, struct ha_plan *plan);
/* The leader's keys, slots, checkpoint and history. */
void ha_plan_upkeep(const struct ha_snapshot *s, struct ha_plan *plan);
/* Of the leader: a request that cannot be meant for now is dropped; one that can is carried out. */
bool ha_rule_failover_stale(const struct ha_snapshot *s, struct ha_plan *plan);
bool ha_rule_failover(const struct ha_snapshot *s, struct ha_plan *plan);
/* A report that says: not for the next epoch. The others do not wait for us then; it goes before
 * the release. `lsn`: up to where our WAL goes, after a clean stop; 0 = unknown. It counts as
 * anybody's in synchronous mode, so the page says first that the epoch is over: an agent that dies
 * before the release, or hears of no answer, must not start in place and write on. */
void ha_plan_yield(const struct ha_snapshot *s, struct ha_plan *plan, uint64_t lsn);
/* Goes on with the key's epoch. */
void ha_plan_resume(const struct ha_snapshot *s, struct ha_plan *plan);
/* A rule: the agent was restarted, and the page has the key's epoch, whatever became of the
 * instance meanwhile. */
bool ha_rule_resume(const struct ha_snapshot *s, struct ha_plan *plan);
/* Rules of the leader of a standby cluster that does not run: goes on with the key; starts as its
 * standby. */
bool ha_rule_standby_resume(const struct ha_snapshot *s, struct ha_plan *plan);
bool ha_rule_standby_start(const struct ha_snapshot *s, struct ha_plan *plan);
/* HA_FOLLOW or HA_START_STANDBY of the other cluster. */
void ha_plan_attach_remote(const struct ha_snapshot *s, struct ha_plan *plan,
                           enum ha_action_type type);
/* HA_CHECK_DIVERGENCE or HA_REWIND with the other cluster. */
void ha_plan_ask_remote(const struct ha_snapshot *s, struct ha_plan *plan,
                        enum ha_action_type type);
/* Arms the page unless it has this epoch already. */
void ha_plan_arm(const struct ha_snapshot *s, struct ha_plan *plan);
/* The page says standby: the fence starts nothing for an epoch that is over. */
void ha_plan_standby_page(const struct ha_snapshot *s, struct ha_plan *plan);
void ha_plan_acquire(const struct ha_snapshot *s, struct ha_plan *plan, bool with_reports,
                     uint32_t timeline);
/* The same for the key of a holder whose lease still runs. */
void ha_plan_depose(const struct ha_snapshot *s, struct ha_plan *plan, uint32_t timeline);
void ha_plan_initialize(const struct ha_snapshot *s, struct ha_plan *plan, const char *text);
/* The promise that was given for the leader's epoch is taken back, where that is due: then nothing
 * else, for its answer has to be seen first. */
bool ha_plan_withdraw(const struct ha_snapshot *s, struct ha_plan *plan);
/* HA_FOLLOW or HA_START_STANDBY of `upstream`; before it ha_plan_withdraw. NULL: it is started to
 * receive from nobody, and what it has promised goes on to hold. */
void ha_plan_attach(const struct ha_snapshot *s, struct ha_plan *plan, enum ha_action_type type,
                    const struct ha_member *upstream);

/* What a divergence from the present leader asks for; used stopped and running. */
enum ha_rejoin_step {
    HA_REJOIN_ATTACH, /* our WAL is a prefix of the leader's */
    HA_REJOIN_CHECK,  /* not known: look */
    HA_REJOIN_REWIND, /* it is not, and pg_rewind may be tried */
    HA_REJOIN_REMOVE, /* it is not, and a setting allows to start from a copy */
    HA_REJOIN_STUCK,  /* it is not, and the operator has to say what to do */
};
enum ha_rejoin_step ha_rejoin_next(const struct ha_snapshot *s);

#endif
