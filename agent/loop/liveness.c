/* Does the running server let somebody new in? Sessions that are there say nothing about that: they
 * go on when the postmaster hangs, and so does our own, by which its state is asked for. So a
 * connection is made for this question alone, with a deadline.
 *
 * It needs no login (pg_instance_ping): one that waits, for a lock or for a place, says nothing of
 * the postmaster. That nobody is let in, because "the database system is in recovery", the ordinary
 * probe is told, and it counts apart: it is not hung, and nobody can use it. */
#include "agent/loop/loop.h"

#include "base/log.h"

#include <inttypes.h>

enum {
    PINGS_MIN = 3,       /* in one postmaster_hang_timeout, at least */
    PING_MS_MIN = 1000,  /* deadline of one */
    AGAIN_MS = 500,      /* after one that failed */
    LOOK_MS_MAX = 10000, /* between two that went well */
};

static void arm(struct agent *agent, int64_t wait_ms);

static bool is_up(const struct agent *agent)
{
    return agent->facts.run == HA_RUN_RUNNING && agent->pg != NULL && !agent->stopping;
}

static void shift(int64_t *since_ms, int64_t pause_ms)
{
    *since_ms = *since_ms == HA_NEVER ? HA_NEVER : *since_ms + pause_ms;
}

void liveness_awake(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    int64_t now = agent_mono_ms(agent);
    int64_t pause_ms = now - agent->awake_mono_ms;

    agent->awake_mono_ms = now;
    if (pause_ms <= LOOP_PAUSE_MS) {
        return;
    }
    agent->paused_mono_ms = now;
    shift(&facts->silent_since_mono_ms, pause_ms);
    shift(&facts->refusing_since_mono_ms, pause_ms);
    shift(&facts->disk_since_mono_ms, pause_ms);
    shift(&facts->replay_stands_since_mono_ms, pause_ms);
    int64_t since_ms = agent->fence_silent_since_mono_ms + pause_ms;
    agent->fence_silent_since_mono_ms = since_ms < now ? since_ms : now; /* or seen since */
    log_warning("this process stood still for %" PRId64 " ms, which counts against nobody",
                pause_ms);
}

static void put(struct agent *agent, int64_t *since_ms, int64_t asked_ms, bool so, const char *what,
                const struct error *err)
{
    if (so && *since_ms == HA_NEVER) {
        *since_ms = asked_ms;
        log_warning("%s: %s", what, err == NULL ? "" : err->text);
        publish_request(agent);
    } else if (!so && *since_ms != HA_NEVER) {
        *since_ms = HA_NEVER;
        publish_request(agent);
    }
    if (so) {
        cycle_request(agent); /* the time that has passed is no event of its own */
    }
}

static void on_pinged(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_facts *facts = &agent->facts;

    agent->pinging = false;
    if (rc == ERR_CANCELED) {
        return;
    }
    liveness_awake(agent);
    if (rc != 0 && agent->paused_mono_ms > agent->ping_sent_mono_ms) {
        arm(agent, AGAIN_MS); /* its deadline passed while nobody here could have listened */
        return;
    }
    bool up = is_up(agent) && agent->ping_sent_mono_ms >= facts->run_since_mono_ms;
    bool silent = rc == ERR_TIMEOUT || rc == ERR_CLOSED;
    put(agent, &facts->silent_since_mono_ms, agent->ping_sent_mono_ms, up && silent,
        "PostgreSQL runs and does not answer a new connection", err);
    arm(agent, silent ? AGAIN_MS : -1);
}

void liveness_take_probe(struct agent *agent, int rc, const struct error *err)
{
    struct loop_facts *facts = &agent->facts;
    bool up = is_up(agent) && agent->probe_sent_mono_ms >= facts->run_since_mono_ms;
    put(agent, &facts->refusing_since_mono_ms, agent->probe_sent_mono_ms,
        up && rc == ERR_UNAVAILABLE, "PostgreSQL runs and lets nobody in", err);
}

static void ping(struct agent *agent)
{
    struct error err = {0};
    int64_t timeout_ms = dynamic_hang_timeout_ms(&agent->dynamic) / PINGS_MIN;

    agent->ping_sent_mono_ms = agent_mono_ms(agent);
    agent->pinging =
        pg_instance_ping(agent->pg, timeout_ms > PING_MS_MIN ? timeout_ms : PING_MS_MIN, on_pinged,
                         agent, &err) == 0;
}

static void on_ping_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;

    if (is_up(agent) && !agent->pinging) {
        ping(agent);
    }
    arm(agent, -1);
}

/* -1: as often as it takes while all is well. */
static void arm(struct agent *agent, int64_t wait_ms)
{
    int64_t usual_ms = dynamic_hang_timeout_ms(&agent->dynamic) / PINGS_MIN;
    if (wait_ms < 0) {
        wait_ms = usual_ms < LOOK_MS_MAX ? usual_ms : LOOK_MS_MAX;
    }
    if (!uv_is_closing((uv_handle_t *)&agent->ping_timer)) {
        (void)uv_timer_start(&agent->ping_timer, on_ping_timer, (uint64_t)wait_ms, 0);
    }
}

int liveness_start(struct agent *agent)
{
    agent->awake_mono_ms = agent_mono_ms(agent);
    agent->paused_mono_ms = HA_NEVER;
    agent->ping_timer.data = agent;
    int rc = uv_timer_init(agent->loop, &agent->ping_timer);
    if (rc == 0) {
        arm(agent, -1);
    }
    return rc;
}

void liveness_stop(struct agent *agent)
{
    if (agent->ping_timer.data != NULL && !uv_is_closing((uv_handle_t *)&agent->ping_timer)) {
        uv_close((uv_handle_t *)&agent->ping_timer, NULL);
    }
}
