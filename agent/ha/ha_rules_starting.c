/* A postmaster that does not accept connections yet, or does not any more. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_rules.h"

#include <inttypes.h>

/* A kill takes milliseconds; what is there after so long waits for a disk. */
#define KILL_TAKES_MS 1000

/* Whatever was asked for, the next decision waits for the end; the fence bounds it. */
static bool rule_stopping(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.run != HA_RUN_STOPPING) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "%s",
                    s->fence.over && s->now_mono_ms - s->self.run_since_mono_ms >= KILL_TAKES_MS
                        ? "the term is over, and processes are left that cannot be ended yet"
                        : "PostgreSQL is shutting down");
    return true;
}

/* It will be writable the moment it has recovered. */
static bool rule_starting_without_lease(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.role != PG_PRIMARY || (ha_lease_is_valid(s) && ha_armed_for_key(s)) ||
        (ha_armed_for_key(s) && ha_holds_key(s) && !s->holding.renewed)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "starting as a primary without the lease");
    return true;
}

static bool rule_start_timeout(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    if (s->self.role != PG_PRIMARY) {
        return false;
    }
    bool crashed = s->self.crash_since_mono_ms != HA_NEVER;
    int64_t since_ms = crashed ? s->self.crash_since_mono_ms : s->self.run_since_mono_ms;
    if (s->now_mono_ms - since_ms < s->settings.primary_start_timeout_ms ||
        ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "not ready after %" PRId64 " ms, primary_start_timeout is %" PRId64 " ms",
                    s->now_mono_ms - since_ms, s->settings.primary_start_timeout_ms);
    return true;
}

/* A copy or a rewound directory becomes consistent only with WAL from the leader of now: the
 * upstream is kept up to date before there are connections. */
static bool rule_starting_standby_attach(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    const struct ha_member *leader = ha_leader_member(s);
    if (s->self.role != PG_STANDBY || leader == NULL || ha_rejoin_next(s) != HA_REJOIN_ATTACH ||
        (!upstream->detached && ha_epoch_equal(upstream->epoch, s->cluster.leader_epoch))) {
        return false;
    }
    ha_plan_attach(s, plan, HA_FOLLOW, ha_wanted_upstream(s));
    ha_plan_because(plan, "following '%s' while starting", s->cluster.leader);
    return true;
}

static bool rule_wait(const struct ha_snapshot *s, struct ha_plan *plan)
{
    (void)s;
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "PostgreSQL is starting");
    return true;
}

static const struct ha_rule rules[] = {
    {"stopping", rule_stopping},
    {"resume", ha_rule_resume},
    {"starting_without_lease", rule_starting_without_lease},
    {"disk", ha_rule_disk},
    {"start_timeout", rule_start_timeout},
    {"starting_standby_attach", rule_starting_standby_attach},
    {"starting", rule_wait},
};
const struct ha_rule_list ha_rules_starting = HA_RULE_LIST("starting", rules);
