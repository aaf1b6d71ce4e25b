/* When to decide: on every event, at least every loop_wait, and when the last plan said so; never
 * while a plan is being carried out. A decision that changed something is logged once and kept for
 * `explain`. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_partners.h"
#include "agent/loop/commands.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    CYCLE_TURN_MS_MAX = 100,
    CYCLE_WAIT_MS_MIN = 5, /* a rule that waits for what has been must not spin */
};

static void arm_timer(struct agent *agent, int64_t wait_ms);

static void free_decision(struct loop_decision *decision)
{
    mem_free(decision->rule);
    mem_free(decision->reason);
    mem_free(decision->plan);
    mem_free(decision->snapshot);
    mem_free(decision->outcome);
    *decision = (struct loop_decision){0};
}

static bool plan_acts(const struct ha_plan *plan)
{
    for (size_t i = 0; i < plan->action_count; i++) {
        if (plan->actions[i].type != HA_WAIT) {
            return true;
        }
    }
    return false;
}

static bool plan_is_routine(const struct ha_plan *plan)
{
    for (size_t i = 0; i < plan->action_count; i++) {
        enum ha_action_type type = plan->actions[i].type;
        if (type != HA_WAIT && type != HA_WRITE_STATUS && type != HA_SYNC_SLOTS) {
            return false;
        }
    }
    return true;
}

static void record(struct agent *agent, const struct ha_snapshot *s, const struct ha_plan *plan)
{
    bool same =
        strcmp(agent->last_rule, plan->rule) == 0 && strcmp(agent->last_reason, plan->reason) == 0;
    bool rule_changed = strcmp(agent->last_rule, plan->rule) != 0;

    (void)snprintf(agent->last_rule, sizeof agent->last_rule, "%s", plan->rule);
    (void)snprintf(agent->last_reason, sizeof agent->last_reason, "%s", plan->reason);
    if (same && agent->decision_count > 0) {
        agent->decisions[(agent->decision_count - 1) % LOOP_DECISIONS_MAX].repeats++;
        return;
    }
    if (!rule_changed && plan_is_routine(plan)) {
        return; /* the same rule with another number in its words is no news */
    }
    struct buf text = BUF_INIT;
    struct loop_decision *decision =
        &agent->decisions[agent->decision_count++ % LOOP_DECISIONS_MAX];
    free_decision(decision);
    decision->wall_ms = clock_wall_ms(agent->clock);
    decision->rule = mem_strdup(plan->rule);
    decision->reason = mem_strdup(plan->reason);
    ha_plan_print(plan, &text);
    decision->plan = buf_take(&text);
    ha_snapshot_print(s, &text);
    decision->snapshot = buf_take(&text);
    char actions[256] = "";
    for (size_t i = 0; i < plan->action_count; i++) {
        size_t len = strlen(actions);
        (void)snprintf(actions + len, sizeof actions - len, "%s%s", i == 0 ? "" : ", ",
                       ha_action_name(plan->actions[i].type));
    }
    log_info("%s: %s (%s)", plan->rule, plan->reason, actions);
}

static void run(struct agent *agent)
{
    int64_t began = agent_mono_ms(agent);

    agent->cycle_mono_ms = began;
    histogram_add(&agent->late_ms, began - agent->cycle_at_mono_ms);
    observe_store_changed(agent);
    observe_run(agent);
    agent->cycle_due = false; /* whatever was asked for up to here is decided on now */
    (void)uv_timer_stop(&agent->cycle_timer);
    watchdog_look(agent);
    facts_snapshot(agent, &agent->snapshot);
    if (ha_partner_is_gone(&agent->snapshot)) {
        agent->facts.partner_gone_mono_ms = began;
        agent->snapshot.partner_gone_mono_ms = began;
    }
    commands_look(agent,
                  &agent->snapshot); /* what follows may start it before anybody looks again */
    ha_takeovers_look(&agent->takeovers, &agent->snapshot);
    ha_decide(&agent->snapshot, &agent->plan);
    record(agent, &agent->snapshot, &agent->plan);
    agent->executing = true;
    agent->action_index = 0;
    execute_plan(agent);
    int64_t took = agent_mono_ms(agent) - began;
    histogram_add(&agent->turn_ms, took);
    if (took > CYCLE_TURN_MS_MAX) {
        log_warning("a turn of the loop took %lld ms", (long long)took);
    }
}

static void on_cycle_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    if (agent->executing) {
        agent->cycle_due = true;
        return;
    }
    run(agent);
}

static void arm_timer(struct agent *agent, int64_t wait_ms)
{
    if (!uv_is_closing((uv_handle_t *)&agent->cycle_timer)) {
        wait_ms = wait_ms < 0 ? 0 : wait_ms;
        agent->cycle_at_mono_ms = agent_mono_ms(agent) + wait_ms;
        (void)uv_timer_start(&agent->cycle_timer, on_cycle_timer, (uint64_t)wait_ms, 0);
    }
}

void cycle_request(struct agent *agent)
{
    if (agent->executing) {
        agent->cycle_due = true;
    } else {
        agent->cycle_due = true;
        arm_timer(agent, 0);
    }
}

/* A fence that works says when S has passed; of one that does not the clock has to do. */
static int64_t until_soft_ms(const struct agent *agent, int64_t wait_ms)
{
    struct fence_lease page;
    const struct fence_page *mapped = agent->fence_silent ? fence_client_page(agent->fence) : NULL;
    if (mapped == NULL || !fence_page_read(mapped, &page) || !fence_lease_armed(&page) ||
        page.deadline_ms == FENCE_OVER) {
        return wait_ms;
    }
    int64_t left_ms = page.soft_ms - agent_lease_ms(agent);
    return left_ms > 0 && left_ms < wait_ms ? left_ms : wait_ms;
}

void cycle_plan_done(struct agent *agent, const char *failure)
{
    const struct ha_plan *plan = &agent->plan;
    int64_t wait = agent->dynamic.loop_wait_ms;
    int64_t now = agent_mono_ms(agent);

    agent->executing = false;
    if (agent->decision_count > 0 && plan_acts(plan)) {
        struct loop_decision *last =
            &agent->decisions[(agent->decision_count - 1) % LOOP_DECISIONS_MAX];
        mem_free(last->outcome);
        last->outcome = mem_strdup(failure == NULL ? "done" : failure);
    }
    for (size_t i = 0; i < plan->action_count; i++) {
        if (plan->actions[i].type == HA_WAIT && plan->actions[i].until_mono_ms != HA_NEVER) {
            int64_t until = plan->actions[i].until_mono_ms - now;
            until = until > 0 ? until : CYCLE_WAIT_MS_MIN;
            wait = until < wait ? until : wait;
        }
    }
    if (failure != NULL) {
        agent->cycle_due =
            false; /* whatever happened meanwhile: not at once, a failure may repeat for ever */
        wait = LOOP_RETRY_MS < wait ? LOOP_RETRY_MS : wait;
    } else if (agent->cycle_due) {
        wait = 0;
    }
    publish_request(agent);
    arm_timer(agent, until_soft_ms(agent, wait));
}

int cycle_start(struct agent *agent)
{
    agent->cycle_timer.data = agent;
    int rc = uv_timer_init(agent->loop, &agent->cycle_timer);
    if (rc == 0) {
        cycle_request(agent);
    }
    return rc;
}

void cycle_stop(struct agent *agent)
{
    if (agent->cycle_timer.data != NULL && !uv_is_closing((uv_handle_t *)&agent->cycle_timer)) {
        uv_close((uv_handle_t *)&agent->cycle_timer, NULL);
    }
    for (size_t i = 0; i < LOOP_DECISIONS_MAX; i++) {
        free_decision(&agent->decisions[i]);
    }
}
