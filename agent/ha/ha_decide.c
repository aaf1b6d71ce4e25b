/* From what was seen to what is to be done: picks the list of the situation, takes its first
 * answer, and holds it against what no plan may do. */
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_rules.h"
#include "base/assert.h"

#include <string.h>

static const struct ha_rule_list *list_of(const struct ha_snapshot *s)
{
    bool copyable = s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY;
    bool half_made =
        s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished != PG_UNFINISHED_REWIND;
    if (copyable || half_made) {
        return &ha_rules_bootstrap;
    }
    switch (s->self.run) {
    case HA_RUN_UNKNOWN:
    case HA_RUN_STARTING:
    case HA_RUN_STOPPING: return &ha_rules_starting;
    case HA_RUN_STOPPED:
    case HA_RUN_CRASHED: return &ha_rules_stopped;
    case HA_RUN_RUNNING: break;
    }
    if (s->self.role == PG_PRIMARY) {
        return &ha_rules_leader;
    }
    if (ha_unlocked(s)) {
        return &ha_rules_unlocked;
    }
    if (ha_leads_standby_cluster(s)) {
        return &ha_rules_standby_leader;
    }
    return ha_depose_is_due(s) ? &ha_rules_silent : &ha_rules_replica;
}

const char *ha_decide_supposed(const struct ha_snapshot *s, struct ha_plan *ret_plan)
{
    memset(ret_plan, 0, sizeof *ret_plan);
    if (!ha_rules_run(&ha_rules_common, s, ret_plan) &&
        !ha_rules_run(&ha_rules_pause, s, ret_plan) && !ha_rules_run(list_of(s), s, ret_plan)) {
        return "no rule has answered";
    }
    return ret_plan->action_count > 0 ? ha_check(s, ret_plan) : "a plan without an action";
}

void ha_decide(const struct ha_snapshot *s, struct ha_plan *ret_plan)
{
    const char *broken = ha_decide_supposed(s, ret_plan);
    ASSERT(broken == NULL);
}
