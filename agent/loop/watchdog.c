/* The watchdog device behind the fence, from the agent's side: which one is wanted with which
 * timeout, what the fence says of it, and what follows for the lease.
 *
 * The fence is asked again with every loop_wait while the device is not armed, so that one that
 * comes or goes is noticed; and right after the page was armed, so that it looks at once. */
#include "agent/loop/loop.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_MS 5000 /* the fence finds out within 2 s; it may be stopped */

static int64_t wanted_ms(const struct agent *agent, int64_t margin_ms)
{
    const struct config_watchdog *config = &agent->config->watchdog;
    return config->mode == CONFIG_WATCHDOG_OFF
               ? 0
               : ha_lease_watchdog_ms(agent->dynamic.ttl_ms, margin_ms);
}

static int64_t margin_ms(const struct agent *agent)
{
    int seconds = agent->config->watchdog.safety_margin_s;
    return seconds < 0 ? -1 : 1000 * (int64_t)seconds;
}

static const struct fence_status *status_of(const struct agent *agent)
{
    return agent->fence == NULL ? NULL : fence_client_status(agent->fence);
}

/* --- asking the fence ------------------------------------------------------------------------- */

static void on_asked(void *arg, int rc, const struct fence_status *status, const struct error *err)
{
    struct agent *agent = arg;
    (void)status;
    agent->watchdog.asking = false;
    if (rc == ERR_CANCELED || agent->stopping) {
        return;
    }
    agent->watchdog.unknown_to_fence = rc == ERR_UNSUPPORTED;
    if (rc != 0 && rc != ERR_UNSUPPORTED) {
        log_debug("asking the fence for the watchdog: %s", err->text);
    }
    cycle_request(agent);
}

static void ask(struct agent *agent)
{
    struct loop_watchdog *watchdog = &agent->watchdog;
    struct fence_watchdog_config config = {.device = watchdog->device,
                                           .data_dir = agent->config->postgresql.data_dir,
                                           .timeout_ms = watchdog->timeout_ms,
                                           .timeout_ms_max = wanted_ms(agent, -1)};
    struct error err;
    if (fence_client_watchdog(agent->fence, &config, on_asked, agent, &err) == 0) {
        watchdog->asking = true;
        watchdog->asked_mono_ms = agent_mono_ms(agent);
    }
}

static bool is_armed(const struct agent *agent)
{
    const struct fence_status *status = status_of(agent);
    return status != NULL && status->watchdog == FENCE_WATCHDOG_ARMED;
}

/* True: it was another one before. */
static bool set_wish(struct agent *agent)
{
    struct loop_watchdog *watchdog = &agent->watchdog;
    int64_t timeout_ms = wanted_ms(agent, margin_ms(agent));
    const char *device = timeout_ms == 0 ? "" : agent->config->watchdog.device;
    bool same = watchdog->timeout_ms == timeout_ms && strcmp(watchdog->device, device) == 0;
    watchdog->timeout_ms = timeout_ms;
    (void)snprintf(watchdog->device, sizeof watchdog->device, "%s", device);
    return !same;
}

static void ask_if_due(struct agent *agent)
{
    struct loop_watchdog *watchdog = &agent->watchdog;
    bool changed = set_wish(agent) || (watchdog->asked_mono_ms == 0 && watchdog->timeout_ms > 0);
    bool again = watchdog->timeout_ms > 0 && !is_armed(agent) &&
                 agent_mono_ms(agent) - watchdog->asked_mono_ms >= agent->dynamic.loop_wait_ms;
    watchdog->due = watchdog->due || changed || again;
    if (watchdog->due && !watchdog->asking) {
        watchdog->due = false;
        ask(agent);
    }
}

void watchdog_hurry(struct agent *agent)
{
    if (agent->watchdog.timeout_ms > 0) {
        agent->watchdog.due = true;
        ask_if_due(agent);
    }
}

/* --- what is known of it ---------------------------------------------------------------------- */

static bool page_is_armed(const struct agent *agent)
{
    struct fence_lease page;
    struct fence_page *mapped = fence_client_page(agent->fence);
    return mapped != NULL && fence_page_read(mapped, &page) && fence_lease_armed(&page) &&
           page.deadline_ms != FENCE_OVER;
}

static enum ha_watchdog_state state_of(const struct agent *agent, const char **ret_why)
{
    static const enum ha_watchdog_state states[] = {
        [FENCE_WATCHDOG_NONE] = HA_WATCHDOG_PENDING, /* not asked yet */
        [FENCE_WATCHDOG_READY] = HA_WATCHDOG_READY,  [FENCE_WATCHDOG_PENDING] = HA_WATCHDOG_PENDING,
        [FENCE_WATCHDOG_ARMED] = HA_WATCHDOG_ARMED,  [FENCE_WATCHDOG_FAILED] = HA_WATCHDOG_FAILED,
    };
    const struct loop_watchdog *watchdog = &agent->watchdog;
    const struct fence_status *status = status_of(agent);
    *ret_why = "";
    if (agent->config->watchdog.mode == CONFIG_WATCHDOG_OFF) {
        return HA_WATCHDOG_NONE;
    }
    if (watchdog->timeout_ms == 0) {
        *ret_why = "the ttl leaves no room for a device that counts in seconds: 5 s at least";
        return HA_WATCHDOG_FAILED;
    }
    if (watchdog->unknown_to_fence) {
        *ret_why = "the fence is of an earlier release: stop and start agent and PostgreSQL once";
        return HA_WATCHDOG_FAILED;
    }
    if (status == NULL) {
        return HA_WATCHDOG_PENDING;
    }
    *ret_why = status->watchdog_why;
    return states[status->watchdog];
}

static void tell(struct agent *agent)
{
    struct loop_watchdog *watchdog = &agent->watchdog;
    bool required = agent->config->watchdog.mode == CONFIG_WATCHDOG_REQUIRED;
    switch (watchdog->state) {
    case HA_WATCHDOG_NONE:
    case HA_WATCHDOG_PENDING: break;
    case HA_WATCHDOG_READY:
        if (watchdog->why[0] != '\0') {
            log_warning("watchdog: %s", watchdog->why);
        } else {
            log_info("watchdog: '%s' is there, and does not run", watchdog->device);
        }
        break;
    case HA_WATCHDOG_ARMED:
        log_info("watchdog: '%s' is armed, timeout %" PRId64 " s", watchdog->device,
                 status_of(agent)->watchdog_timeout_ms / 1000);
        break;
    case HA_WATCHDOG_FAILED:
        if (required) {
            log_error("watchdog: %s; it is required, so no primary can be here", watchdog->why);
        } else if (agent->config->watchdog.given) {
            log_warning("watchdog: %s; going on without", watchdog->why);
        } else {
            log_info("watchdog: %s; going on without", watchdog->why);
        }
        break;
    }
}

static void take(struct agent *agent)
{
    struct loop_watchdog *watchdog = &agent->watchdog;
    const char *why = "";
    int64_t now = agent_mono_ms(agent);
    enum ha_watchdog_state state = state_of(agent, &why);
    bool armed = page_is_armed(agent);
    bool open = state == HA_WATCHDOG_READY || state == HA_WATCHDOG_PENDING;

    if (!armed || !open) {
        watchdog->awaited_mono_ms = HA_NEVER;
    } else if (watchdog->awaited_mono_ms == HA_NEVER) {
        watchdog->awaited_mono_ms = now;
    } else if (now - watchdog->awaited_mono_ms >= SETTLE_MS) {
        state = HA_WATCHDOG_FAILED;
        why = "the fence does not say what became of it";
    }
    if (state == HA_WATCHDOG_FAILED && armed) {
        watchdog->failed_mono_ms = now;
        (void)snprintf(watchdog->failed_why, sizeof watchdog->failed_why, "%s", why);
    }
    bool known = state != HA_WATCHDOG_PENDING; /* a look at it is no news */
    if (known && (state != watchdog->told || strcmp(why, watchdog->why) != 0)) {
        watchdog->state = watchdog->told = state;
        (void)snprintf(watchdog->why, sizeof watchdog->why, "%s", why);
        tell(agent);
    }
    watchdog->state = state;
}

/* --- what follows ----------------------------------------------------------------------------- */

/* A device that is open, for whatever reason, has to find everything gone before it fires. */
static void make_room(struct agent *agent)
{
    const struct fence_status *status = status_of(agent);
    int64_t device_ms = status == NULL ? 0 : status->watchdog_timeout_ms;
    if (agent->lease.device_ms != device_ms) {
        ha_lease_watchdog(&agent->lease, device_ms);
        keeper_page(agent);
    }
}

/* Nothing but this agent, or a device that is armed, ends PostgreSQL in time then. */
static void look_for_silence(struct agent *agent)
{
    const struct fence_status *status = fence_client_status(agent->fence);
    if (status->silent == agent->fence_silent) {
        return;
    }
    agent->fence_silent = status->silent;
    agent->fence_silent_since_mono_ms = agent_mono_ms(agent);
    if (status->silent) {
        log_error("the fence (process %" PRId32 ") stands still: it does not answer, and would not "
                  "end PostgreSQL in time; kill -CONT it, or see what its host lacks",
                  status->fence_pid);
    } else {
        log_info("the fence answers again");
    }
}

void watchdog_look(struct agent *agent)
{
    if (agent->fence == NULL || !fence_client_connected(agent->fence)) {
        return;
    }
    look_for_silence(agent);
    ask_if_due(agent);
    take(agent);
    make_room(agent);
}

int64_t watchdog_ttl_ms(const struct agent *agent)
{
    int64_t ttl_ms = agent->dynamic.ttl_ms;
    int64_t before_ms = agent->lease.newest_ttl_ms;
    bool fits = ha_lease_watchdog_fits(ttl_ms, agent->lease.device_ms);
    return fits || before_ms <= ttl_ms ? ttl_ms : before_ms;
}

void watchdog_fill(const struct agent *agent, struct ha_watchdog *ret_watchdog)
{
    const struct loop_watchdog *watchdog = &agent->watchdog;
    ret_watchdog->required = agent->config->watchdog.mode == CONFIG_WATCHDOG_REQUIRED;
    ret_watchdog->state = watchdog->state;
    ret_watchdog->failed_mono_ms = watchdog->failed_mono_ms;
    (void)snprintf(ret_watchdog->why, sizeof ret_watchdog->why, "%s",
                   watchdog->why[0] != '\0' ? watchdog->why : watchdog->failed_why);
}

void watchdog_start(struct agent *agent)
{
    agent->watchdog = (struct loop_watchdog){.state = HA_WATCHDOG_PENDING,
                                             .told = HA_WATCHDOG_PENDING,
                                             .awaited_mono_ms = HA_NEVER,
                                             .failed_mono_ms = HA_NEVER};
}
