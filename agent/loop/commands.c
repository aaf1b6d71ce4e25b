#include "agent/loop/commands.h"

#include "agent/ha/ha_callback.h"
#include "agent/loop/loop.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    EXIT_WAIT_MS = 10000,   /* on_stop has so long before it is killed with the agent */
    OUTPUT_LINES_MAX = 20,  /* of each stream; the last ones */
    OUTPUT_LINE_BYTES = 400 /* the rest of a longer one is not told */
};

/* --- what they leave in the log --------------------------------------------------------------- */

static size_t line_count(struct span text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += text.data[i] == '\n' ? 1 : 0;
    }
    return text.len > 0 && text.data[text.len - 1] != '\n' ? count + 1 : count;
}

static void tell_output(const char *what, struct span text)
{
    size_t left_out = line_count(text);
    left_out = left_out > OUTPUT_LINES_MAX ? left_out - OUTPUT_LINES_MAX : 0;
    if (left_out > 0) {
        log_info("%s wrote %zu lines more before these", what, left_out);
    }
    for (size_t start = 0, end = 0; start < text.len; start = end + 1) {
        for (end = start; end < text.len && text.data[end] != '\n';) {
            end++;
        }
        if (left_out > 0) {
            left_out--;
        } else if (end > start) {
            size_t len = end - start < OUTPUT_LINE_BYTES ? end - start : OUTPUT_LINE_BYTES;
            log_info("%s: %.*s", what, (int)len, (const char *)text.data + start);
        }
    }
}

void commands_tell(void *arg, const struct pg_command_end *end)
{
    (void)arg;
    tell_output(end->what, end->out);
    tell_output(end->what, end->errors);
    if (end->rc == 0) {
        log_info("%s has ended after %" PRId64 " ms, exit status 0", end->what, end->took_ms);
    } else {
        log_warning("%s has ended after %" PRId64 " ms: %s", end->what, end->took_ms,
                    end->err->text);
    }
}

/* --- commands that are waited for ------------------------------------------------------------- */

bool commands_pre_promote(const struct agent *agent, struct pg_command *ret_command)
{
    const struct config_hooks *hooks = &agent_postgresql(agent)->hooks;
    *ret_command = (struct pg_command){
        .what = "pre_promote", .words = hooks->pre_promote, .timeout_ms = hooks->timeout_ms};
    return hooks->pre_promote.count > 0;
}

static int64_t time_before_stop_ms(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    int64_t most_ms = agent_postgresql(agent)->hooks.timeout_ms;
    const struct fence_page *mapped = agent->fence == NULL ? NULL : fence_client_page(agent->fence);
    struct fence_lease page;
    if (mapped == NULL || !fence_page_read(mapped, &page)) {
        return 0;
    }
    if (keeper_may_write(agent)) {
        int64_t left_ms = agent->lease.soft_ms - agent_lease_ms(agent);
        return left_ms < most_ms ? left_ms : most_ms;
    }
    bool standby = facts->probe.asked_ms > 0 && facts->probe.role == PG_STANDBY &&
                   page.epoch.revision == 0 && !pg_instance_promote_sent(agent->pg);
    return standby || fence_lease_open(&page) ? most_ms : 0;
}

bool commands_before_stop(const struct agent *agent, struct pg_command *ret_command)
{
    const struct pg_lines *words = &agent_postgresql(agent)->hooks.before_stop;
    if (words->count == 0) {
        return false;
    }
    *ret_command = (struct pg_command){
        .what = "before_stop", .words = *words, .timeout_ms = time_before_stop_ms(agent)};
    return ret_command->timeout_ms > 0;
}

int64_t commands_stop_ms(const struct agent *agent)
{
    const struct config_hooks *hooks = &agent_postgresql(agent)->hooks;
    return hooks->before_stop.count + hooks->pre_promote.count > 0 ? hooks->timeout_ms : 0;
}

/* --- callbacks -------------------------------------------------------------------------------- */

_Static_assert(CONFIG_CALLBACKS == 5, "each has a line below");

static enum config_callback configured(enum ha_callback callback)
{
    switch (callback) {
    case HA_CALLBACK_START: return CONFIG_ON_START;
    case HA_CALLBACK_STOP: return CONFIG_ON_STOP;
    case HA_CALLBACK_RESTART: return CONFIG_ON_RESTART;
    case HA_CALLBACK_ROLE_CHANGE: return CONFIG_ON_ROLE_CHANGE;
    case HA_CALLBACK_NONE: break;
    }
    ASSERT(false);
    return CONFIG_ON_START;
}

static void on_called(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    (void)rc; /* commands_tell has told how it ended */
    (void)err;
    agent->callbacks_running--;
    cycle_request(agent); /* an exit may have waited */
}

static void call(struct agent *agent, enum pg_call kind, enum config_callback callback,
                 const char *action)
{
    const struct pg_lines *words = &agent_postgresql(agent)->hooks.callbacks[callback];
    const char *role = ha_told_role_name(agent->told.role);
    struct error err = {0};

    if (words->count == 0 || agent->pg == NULL || agent->stopping) {
        return;
    }
    const char **items = mem_new_array(const char *, words->count + 3);
    memcpy(items, words->items, words->count * sizeof *items);
    items[words->count] = action;
    items[words->count + 1] = role;
    items[words->count + 2] = agent->config->scope;
    char *what = mem_printf("callback %s %s", action, role);
    struct pg_command command = {.what = what,
                                 .words = {items, words->count + 3},
                                 .timeout_ms = agent_postgresql(agent)->hooks.timeout_ms};
    int rc = pg_instance_call(agent->pg, kind, &command, on_called, agent, &err);
    if (rc == 0) {
        log_info("%s: calling %s", what, words->items[0]);
        agent->callbacks_running++;
    } else {
        log_warning("%s: %s, ignoring", what, err.text);
    }
    mem_free(what);
    mem_free(items);
}

void commands_look(struct agent *agent, const struct ha_snapshot *s)
{
    struct ha_seen seen;
    ha_callback_look(s, &seen);
    enum ha_callback callback = ha_callback_next(&agent->told, &seen);
    if (callback != HA_CALLBACK_NONE) {
        call(agent, PG_CALL_EVENT, configured(callback), ha_callback_name(callback));
    }
}

void commands_reloaded(struct agent *agent)
{
    if (agent->facts.run == HA_RUN_RUNNING) {
        call(agent, PG_CALL_RELOAD, CONFIG_ON_RELOAD, "on_reload");
    }
}

bool commands_let_exit(struct agent *agent)
{
    int64_t now_ms = agent_mono_ms(agent);

    commands_look(agent, &agent->snapshot);
    if (agent->exit_wanted_mono_ms == 0) {
        agent->exit_wanted_mono_ms = now_ms;
    }
    if (agent->callbacks_running == 0) {
        return true;
    }
    if (now_ms - agent->exit_wanted_mono_ms < EXIT_WAIT_MS) {
        return false;
    }
    log_warning("a callback does not end, exiting all the same");
    return true;
}
