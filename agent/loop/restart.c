/* Orders come from REST, or from the clock; the rules carry them out; here is what became of them.
 *
 *     none -> ordered -> under way -> none
 *                `-> none (dropped)
 *
 * Each end has an outcome. That a start takes longer than it may is told before the end. */
#include "agent/loop/restart.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* CHECKPOINT, and after before_stop the stop until all is killed: what execute_pg.c allows. */
#define STOP_MS_MAX   (60000 + 60000 + 5000)
#define WAIT_SPARE_MS 10000

static void tell(struct agent *agent, bool done, const char *text)
{
    struct loop_restart *restart = &agent->restart;
    if (restart->ended == restart->number) {
        return; /* it was told already */
    }
    restart->ended = restart->number;
    restart->done = done;
    (void)snprintf(restart->outcome, sizeof restart->outcome, "%s", text);
    if (done) {
        log_info("restart of PostgreSQL: %s", text);
    } else {
        log_warning("restart of PostgreSQL: %s", text);
    }
    publish_request(agent);
}

static void end(struct agent *agent, bool done, const char *text)
{
    tell(agent, done, text);
    agent->restart.now.phase = HA_RESTART_NONE;
    agent->restart.now.role = PG_ROLE_UNKNOWN;
    agent->restart.now.ordered_mono_ms = HA_NEVER;
    agent->restart.now.down_mono_ms = HA_NEVER;
    agent->restart.now.timeout_ms = 0;
    publish_request(agent);
}

static void begin(struct agent *agent, int64_t timeout_ms)
{
    struct loop_restart *restart = &agent->restart;
    restart->number++;
    restart->now.phase = HA_RESTART_ORDERED;
    restart->now.role = agent->facts.probe.role;
    restart->of_leader = agent->lease.held;
    restart->now.ordered_mono_ms = agent_mono_ms(agent);
    restart->now.down_mono_ms = HA_NEVER;
    restart->now.timeout_ms = timeout_ms;
    publish_request(agent); /* that a synchronous standby is to be replaced */
    cycle_request(agent);
}

static int64_t start_ms(const struct agent *agent)
{
    return ha_restart_timeout_ms(agent->restart.now.timeout_ms,
                                 agent->dynamic.primary_start_timeout_ms);
}

int restart_order(struct agent *agent, const struct restart_wish *wish, unsigned *ret_number,
                  int64_t *ret_wait_ms, struct error *err)
{
    struct ha_snapshot *s = mem_new(struct ha_snapshot); /* large */
    const char *word = "";
    facts_snapshot(agent, s);
    const char *unmet = ha_restart_unmet(s, &wish->filter);
    enum ha_restart_hindrance hindrance = ha_restart_hindered(s, &word);
    mem_free(s);
    if (unmet != NULL) {
        return error_set(err, ERR_REFUSED, "restart conditions are not satisfied: %s", unmet);
    }
    switch (hindrance) {
    case HA_RESTART_BUSY: return error_set(err, ERR_BUSY, "%s already in progress", word);
    case HA_RESTART_NOT_RUNNING:
        return error_set(err, ERR_UNAVAILABLE, "restart failed: PostgreSQL is %s", word);
    case HA_RESTART_FREE: break;
    }
    log_info("restart of PostgreSQL: asked for");
    begin(agent, wish->timeout_ms);
    *ret_number = agent->restart.number;
    *ret_wait_ms = 2 * agent->dynamic.loop_wait_ms + HA_RESTART_BEGIN_MS + STOP_MS_MAX +
                   agent_postgresql(agent)->hooks.timeout_ms + start_ms(agent) + WAIT_SPARE_MS;
    return 0;
}

/* --- scheduled -------------------------------------------------------------------------------- */

int restart_schedule(struct agent *agent, const struct restart_wish *wish, struct error *err)
{
    struct loop_restart *restart = &agent->restart;
    bool answered = agent->facts.run == HA_RUN_RUNNING && agent->facts.probe.asked_ms > 0;
    if (restart->scheduled != NULL) {
        return error_set(err, ERR_EXISTS, "Another restart is already scheduled");
    }
    restart->scheduled = json_deep_copy(wish->object);
    restart->scheduled_timeout_ms = wish->timeout_ms;
    restart->now.scheduled_wall_ms = wish->at_wall_ms;
    restart->now.scheduled_start_ms = answered ? agent->facts.probe.postmaster_start_ms : 0;
    restart->now.filter = wish->filter;
    restart->scheduled_start[0] = '\0';
    if (answered) {
        (void)snprintf(restart->scheduled_start, sizeof restart->scheduled_start, "%s:00",
                       agent->facts.probe.postmaster_start);
    }
    log_info("restart of PostgreSQL: scheduled at %s",
             json_string_value(json_object_get(restart->scheduled, "schedule")));
    publish_request(agent);
    cycle_request(agent);
    return 0;
}

static void forget(struct agent *agent)
{
    struct loop_restart *restart = &agent->restart;
    json_decref(restart->scheduled);
    restart->scheduled = NULL;
    restart->now.scheduled_wall_ms = 0;
    restart->now.scheduled_start_ms = 0;
    restart->now.filter = (struct ha_restart_filter){0};
    publish_request(agent);
}

bool restart_unschedule(struct agent *agent)
{
    bool was = agent->restart.scheduled != NULL;
    if (was) {
        log_info("restart of PostgreSQL: the scheduled one is deleted");
        forget(agent);
    }
    return was;
}

void restart_due(struct agent *agent)
{
    int64_t timeout_ms = agent->restart.scheduled_timeout_ms;
    forget(agent);
    begin(agent, timeout_ms);
}

json_t *restart_shown(const struct agent *agent, bool record)
{
    const struct loop_restart *restart = &agent->restart;
    if (restart->scheduled == NULL) {
        return NULL;
    }
    json_t *shown = json_deep_copy(restart->scheduled);
    if (record && restart->scheduled_start[0] != '\0') {
        (void)json_object_set_new(shown, "postmaster_start_time",
                                  json_string(restart->scheduled_start));
    }
    return shown;
}

/* --- under way -------------------------------------------------------------------------------- */

void restart_begun(struct agent *agent)
{
    struct loop_restart *restart = &agent->restart;
    ASSERT(restart->now.phase == HA_RESTART_ORDERED);
    restart->now.phase = HA_RESTART_UNDER_WAY;
    /* The CHECKPOINT before it takes its time: who led when it was ordered may not any more. */
    restart->of_leader = restart->of_leader || agent->lease.held;
    publish_request(agent);
}

void restart_start_failed(struct agent *agent, const struct error *err)
{
    char text[ERROR_TEXT_BYTES + 32];
    if (agent->restart.now.phase != HA_RESTART_UNDER_WAY) {
        return;
    }
    (void)snprintf(text, sizeof text, "restart failed: %s", err->text);
    end(agent, false, text);
}

void restart_look(struct agent *agent)
{
    struct loop_restart *restart = &agent->restart;
    enum ha_run run = agent->facts.run;
    int64_t now_ms = agent_mono_ms(agent);

    if (restart->now.phase != HA_RESTART_UNDER_WAY) {
        return;
    }
    bool down = run == HA_RUN_STOPPED || run == HA_RUN_CRASHED || run == HA_RUN_STARTING;
    if (down && restart->now.down_mono_ms == HA_NEVER) {
        restart->now.down_mono_ms = now_ms;
    }
    if (run == HA_RUN_RUNNING) {
        bool was_down = restart->now.down_mono_ms != HA_NEVER;
        end(agent, was_down,
            was_down ? "restarted successfully" : "restart failed: it was not stopped");
    } else if (restart->of_leader && !agent->lease.held) {
        end(agent, false, "restart failed: the leader key was given away meanwhile");
    } else if (restart->now.down_mono_ms != HA_NEVER &&
               now_ms - restart->now.down_mono_ms >= start_ms(agent)) {
        tell(agent, false, "postgres is still starting");
    }
}

void restart_drop(struct agent *agent, const char *why)
{
    struct loop_restart *restart = &agent->restart;
    char text[HA_REASON_BYTES + 32];
    if (restart->now.phase == HA_RESTART_ORDERED) {
        (void)snprintf(text, sizeof text, "restart failed: %s", why);
        end(agent, false, text);
    } else if (restart->scheduled != NULL) {
        log_warning("%s", why);
        forget(agent);
    }
}

void restart_cancel(struct agent *agent, const char *why)
{
    char text[HA_REASON_BYTES + 32];
    if (agent->restart.now.phase != HA_RESTART_NONE) {
        (void)snprintf(text, sizeof text, "restart failed: %s", why);
        end(agent, false, text);
    }
}

void restart_stop(struct agent *agent)
{
    json_decref(agent->restart.scheduled);
    agent->restart.scheduled = NULL;
}
