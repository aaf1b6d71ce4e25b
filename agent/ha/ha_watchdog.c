/* See ha_watchdog.h. Where it is not required a device that cannot be had changes nothing but the
 * time that it takes to find that out. */
#include "agent/ha/ha_watchdog.h"

#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_rules.h"

bool ha_watchdog_bars(const struct ha_snapshot *s)
{
    int64_t failed_ms = s->watchdog.failed_mono_ms;
    bool lately = failed_ms != HA_NEVER && s->now_mono_ms < failed_ms + s->settings.ttl_ms;
    bool armed = s->watchdog.state == HA_WATCHDOG_ARMED;
    bool needed = s->watchdog.required && !s->settings.paused && !s->settings.standby_cluster;
    return needed && !armed && (s->watchdog.state == HA_WATCHDOG_FAILED || lately);
}

bool ha_watchdog_is_awaited(const struct ha_snapshot *s)
{
    enum ha_watchdog_state state = s->watchdog.state;
    bool unheard = state == HA_WATCHDOG_NONE && s->watchdog.required;
    return state == HA_WATCHDOG_READY || state == HA_WATCHDOG_PENDING || unheard;
}

bool ha_watchdog_is_missing(const struct ha_snapshot *s)
{
    return s->watchdog.required && !s->settings.paused && s->watchdog.state != HA_WATCHDOG_ARMED;
}

void ha_plan_await_watchdog(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_arm(s, plan);
    ha_plan_wait(plan, HA_NEVER); /* its outcome is an event */
    ha_plan_because(plan, "the lease is ours: waiting for the watchdog");
}

/* Whoever required it wants no primary that only a process of its own node can end. */
bool ha_rule_watchdog(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_watchdog_bars(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "watchdog.mode is required: %s", s->watchdog.why);
    return true;
}

bool ha_rule_watchdog_stopped(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s) || !ha_watchdog_bars(s)) {
        return false;
    }
    ha_plan_yield(s, plan, s->settings.synchronous_mode ? s->self.shutdown_lsn : 0);
    ha_plan_release(s, plan, s->self.shutdown_lsn);
    ha_plan_because(plan, "watchdog.mode is required: %s", s->watchdog.why);
    return true;
}
