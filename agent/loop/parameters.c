/* The settings of the configuration reach PostgreSQL: what the store says is merged with the file,
 * and given to the instance as a reload.
 *
 *   wanted -> running -> in force | wanted again (back-off) | refused
 *
 * A reload waits for a job, and is asked for again when there is none. What fails for a passing
 * reason is repeated; values that cannot be are not, until others come. A start waits for a reload
 * that runs or is due, so that it does not begin with values that are out of date; for one that has
 * just failed it does not wait: an instance with the settings of yesterday is better than none. */
#include "agent/loop/loop.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

enum { RETRY_MS_MIN = 1000, RETRY_MS_MAX = 60000 };

static int64_t retry_ms(unsigned failures)
{
    int64_t wait_ms = RETRY_MS_MIN;
    while (--failures > 0 && wait_ms < RETRY_MS_MAX) {
        wait_ms *= 2;
    }
    return wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX;
}

static void set_error(struct agent *agent, const struct error *err)
{
    (void)snprintf(agent->reload.error, sizeof agent->reload.error, "%s",
                   err == NULL ? "" : err->text);
    publish_request(agent);
}

static void failed(struct agent *agent, int rc, const struct error *err)
{
    struct loop_reload *reload = &agent->reload;

    if (rc == ERR_INVALID) { /* it stays wrong */
        log_error("PostgreSQL parameters: %s; what was in force stays", err->text);
    } else {
        int64_t wait_ms = retry_ms(++reload->failures);
        reload->wanted = true;
        reload->again_mono_ms = agent_mono_ms(agent) + wait_ms;
        log_warning("PostgreSQL parameters: %s, retrying in %" PRId64 " s", err->text,
                    wait_ms / 1000);
    }
    set_error(agent, err);
}

static void on_reloaded(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_reload *reload = &agent->reload;

    reload->running = false;
    if (agent->stopping || rc == ERR_CANCELED) {
        return;
    }
    if (reload->wanted) {
        reload->again_mono_ms =
            0; /* newer values have come meanwhile: how these fared is no news */
    } else if (rc != 0) {
        failed(agent, rc, err);
    } else {
        reload->failures = 0;
        if (reload->error[0] != '\0') {
            log_info("PostgreSQL parameters: in force again as configured");
            set_error(agent, NULL);
        }
    }
    observe_probe_soon(agent);
    cycle_request(agent); /* a start may have waited */
}

static int ask(struct agent *agent, struct error *err)
{
    struct dynamic_parameters parameters = {0};
    char warning[DYNAMIC_WARNING_BYTES] = "";
    int rc = dynamic_parameters_merge(&agent->dynamic, agent->config->postgresql.parameters,
                                      &parameters, warning, err);
    if (rc != 0) {
        return rc;
    }
    struct pg_reload request = {.parameters = parameters.view,
                                .pg_hba = agent->config->postgresql.pg_hba,
                                .pg_ident = agent->config->postgresql.pg_ident,
                                .use_slots = agent->dynamic.use_slots};
    rc = pg_instance_reload(agent->pg, &request, LOOP_INSPECT_MS, on_reloaded, agent, err);
    if (rc == 0 && agent->reload.failures == 0 && warning[0] != '\0') {
        log_warning("PostgreSQL parameters: %s", warning);
    }
    dynamic_parameters_free(&parameters);
    return rc;
}

void parameters_apply(struct agent *agent)
{
    struct loop_reload *reload = &agent->reload;
    struct error err = {0};

    if (!reload->wanted || reload->running || agent->pg == NULL || agent->stopping ||
        agent_mono_ms(agent) < reload->again_mono_ms) {
        return;
    }
    int rc = ask(agent, &err);
    if (rc == ERR_BUSY) {
        return;
    }
    reload->wanted = false;
    reload->running = rc == 0;
    if (rc != 0) {
        failed(agent, rc, &err);
    }
}

void parameters_changed(struct agent *agent)
{
    agent->reload.wanted = true;
    agent->reload.failures = 0;
    agent->reload.again_mono_ms = 0;
    parameters_apply(agent);
}

int parameters_settle(struct agent *agent, struct error *err)
{
    parameters_apply(agent);
    return agent->reload.running
               ? error_set(err, ERR_BUSY, "the configuration of PostgreSQL is being written")
               : 0;
}
