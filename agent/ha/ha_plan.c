/* Building a plan. */
#include "agent/ha/ha_plan.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct ha_action *ha_plan_add(struct ha_plan *plan, enum ha_action_type type)
{
    ASSERT(plan->action_count < HA_ACTIONS_MAX);
    struct ha_action *action = &plan->actions[plan->action_count++];
    memset(action, 0, sizeof *action);
    action->type = type;
    action->until_mono_ms = HA_NEVER;
    return action;
}

void ha_plan_because(struct ha_plan *plan, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(plan->reason, sizeof plan->reason, fmt, args);
    va_end(args);
}

bool ha_plan_has(const struct ha_plan *plan, enum ha_action_type type)
{
    for (size_t i = 0; i < plan->action_count; i++) {
        if (plan->actions[i].type == type) {
            return true;
        }
    }
    return false;
}

const char *ha_action_name(enum ha_action_type type)
{
    switch (type) {
#define ACTION_CASE(name, text) \
    case name: return text;
        HA_ACTIONS(ACTION_CASE)
#undef ACTION_CASE
    }
    return "?";
}
