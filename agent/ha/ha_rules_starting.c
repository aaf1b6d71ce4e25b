/* A postmaster that does not accept connections yet, or does not any more. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
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

/* Nobody is left who bounds that stop: it hangs as long as one backend does. */
static bool rule_left_stopping(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->self.told_to_stop || s->settings.paused || s->self.was_paused) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan,
                    "told to stop by an earlier run of the agent, or by hand: that is brought "
                    "to its end");
    return true;
}

static bool rule_start_timeout(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    if (s->self.role != PG_PRIMARY) {
        return false;
    }
    int64_t timeout_ms = ha_start_timeout_ms(s);
    int64_t down_ms = ha_down_since_mono_ms(s);
    int64_t since_ms = down_ms != HA_NEVER ? down_ms : s->self.run_since_mono_ms;
    if (s->now_mono_ms - since_ms < timeout_ms || ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "not ready after %" PRId64 " ms, %s is %" PRId64 " ms",
                    s->now_mono_ms - since_ms, ha_start_timeout_name(s), timeout_ms);
    return true;
}

/* A copy or a rewound directory becomes consistent only with WAL from the leader of now: the
 * upstream is kept up to date before there are connections. */
static bool rule_starting_standby_attach(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_member *wanted = ha_wanted_upstream(s);
    if (s->self.role != PG_STANDBY || wanted == NULL || ha_rejoin_next(s) != HA_REJOIN_ATTACH ||
        ha_follows(s, wanted)) {
        return false;
    }
    ha_plan_attach(s, plan, HA_FOLLOW, wanted);
    ha_plan_because(plan, "following '%s' while starting", wanted->name);
    return true;
}

/* It may need WAL of the other cluster before it lets anybody in, and so before it can be asked how
 * far it is: then its control file has to do. */
static bool rule_starting_remote_look(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.role != PG_STANDBY || !ha_leads_standby_cluster(s) || !ha_lease_is_valid(s) ||
        ha_remote_may_be_received(s) || !ha_remote_wants_look(s) ||
        s->now_mono_ms - s->self.run_since_mono_ms < HA_NOT_STREAMING_MS ||
        ha_check_backoff_until(s) != HA_NEVER) {
        return false;
    }
    ha_plan_ask_remote(s, plan, HA_CHECK_DIVERGENCE);
    ha_plan_because(plan, "comparing our WAL with that of '%s' while starting", s->settings.remote);
    return true;
}

static bool rule_starting_remote_attach(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.role != PG_STANDBY || !ha_leads_standby_cluster(s) || !ha_lease_is_valid(s) ||
        ha_follows_remote(s) || s->self.upstream.follow_refused || !ha_remote_may_be_received(s)) {
        return false;
    }
    ha_plan_attach_remote(s, plan, HA_FOLLOW);
    ha_plan_because(plan, "following '%s' while starting", s->settings.remote);
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
    {"left_stopping", rule_left_stopping},
    {"disk", ha_rule_disk},
    {"start_timeout", rule_start_timeout},
    {"starting_standby_attach", rule_starting_standby_attach},
    {"starting_remote_look", rule_starting_remote_look},
    {"starting_remote_attach", rule_starting_remote_attach},
    {"starting", rule_wait},
};
const struct ha_rule_list ha_rules_starting = HA_RULE_LIST("starting", rules);
