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

#include "agent/loop/commands.h"
#include "agent/loop/logical.h"
#include "agent/loop/remote.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
        log_error("PostgreSQL parameters: %s", err->text);
    } else {
        int64_t wait_ms = retry_ms(++reload->failures);
        reload->wanted = true;
        reload->again_mono_ms = agent_mono_ms(agent) + wait_ms;
        log_warning("PostgreSQL parameters: %s, retrying in %" PRId64 " s", err->text,
                    wait_ms / 1000);
    }
    set_error(agent, err);
}

/* A walreceiver logs in as its service file says, and that is written with an upstream: by not
 * knowing where the standby is attached any more, the rules attach it anew. One that is detached
 * stays so, and has the new account when it is attached. */
static void attach_anew(struct agent *agent)
{
    struct ha_upstream *upstream = &agent->facts.upstream;
    if (agent->reload.receiver_changed && upstream->known && !upstream->detached) {
        upstream->conn_url[0] = '\0';
    }
    agent->reload.receiver_changed = false;
}

static void on_reloaded(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_reload *reload = &agent->reload;
    bool overtaken = reload->wanted;

    reload->running = false;
    if (agent->stopping || rc == ERR_CANCELED) {
        return;
    }
    if (overtaken) {
        reload->again_mono_ms =
            0; /* newer values have come meanwhile: how these fared is no news */
    } else if (rc != 0) {
        failed(agent, rc, err);
    } else {
        reload->failures = 0;
        if (!reload->withheld) {
            commands_reloaded(agent);
        }
        if (reload->error[0] != '\0') {
            log_info("PostgreSQL parameters: in force again as configured");
            set_error(agent, NULL);
        }
    }
    bool there = rc == 0 || rc == ERR_INVALID || rc == ERR_NOT_FOUND;
    if (there && !overtaken) { /* else it is an older account that has got there */
        attach_anew(agent);
    }
    if (agent->facts.inspected && agent->facts.inspection.hba_missing && !reload->withheld) {
        observe_inspect_again(agent); /* it may have put one there */
    }
    observe_probe_soon(agent);
    cycle_request(agent); /* a start may have waited */
}

int parameters_wanted(const struct dynamic_config *dynamic, const struct config_postgresql *pg,
                      struct dynamic_parameters *ret_parameters, struct pg_reload *ret_reload,
                      char *warning, struct error *err)
{
    int rc = dynamic_parameters_merge(dynamic, pg->parameters, ret_parameters, warning, err);
    if (rc == 0) {
        *ret_reload = (struct pg_reload){.parameters = ret_parameters->view,
                                         .recovery_conf = pg->recovery_conf,
                                         .pg_hba = pg->pg_hba,
                                         .pg_ident = pg->pg_ident,
                                         .basebackup = pg->basebackup,
                                         .guard = pg->guard,
                                         .use_slots = dynamic->use_slots,
                                         .keeps_logical = dynamic_slots_has_logical(dynamic),
                                         .custom_conf = pg->custom_conf,
                                         .local_way = pg->local_way,
                                         .local_repl_way = pg->local_repl_way,
                                         .database = pg->database,
                                         .superuser = &pg->superuser,
                                         .replication = &pg->replication,
                                         .rewind = &pg->rewind};
    }
    return rc;
}

/* Whose the data directory is, only the store can say; an empty one learns it from its own agent,
 * which announces it first. A server that is somebody else's, put beside a cluster that was made
 * without it, serves with the settings that it has. */
bool parameters_are_for_ours(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool probed = facts->run == HA_RUN_RUNNING && facts->probe.system_identifier != 0;
    uint64_t id = probed             ? facts->probe.system_identifier
                  : facts->inspected ? facts->inspection.control.system_identifier
                                     : 0;
    char own[HA_SYSID_BYTES];
    (void)snprintf(own, sizeof own, "%" PRIu64, id);
    return id != 0 && facts->cluster.known && strcmp(own, facts->cluster.initialize) == 0;
}

static int ask(struct agent *agent, struct error *err)
{
    struct dynamic_parameters parameters = {0};
    struct pg_reload request;
    char warning[DYNAMIC_WARNING_BYTES] = "";
    int rc = parameters_wanted(&agent->dynamic, agent_postgresql(agent), &parameters, &request,
                               warning, err);
    if (rc != 0) {
        return rc;
    }
    struct remote_reload remote;
    request.nostream = agent->config->tags.nostream;
    request.foreign = !parameters_are_for_ours(agent);
    /* From 17 on nobody but the server's worker takes away what it has made. */
    request.keeps_logical = request.keeps_logical || logical_has_synced(agent);
    request.decodes = agent->facts.run == HA_RUN_RUNNING && agent->facts.probe.asked_ms > 0 &&
                      agent->facts.probe.logical_decoding;
    agent->logical.decodes_given = request.decodes;
    remote_reload_fill(agent, &remote, &request);
    rc = pg_instance_reload(agent->pg, &request, LOOP_INSPECT_MS, on_reloaded, agent, err);
    remote_reload_free(&remote);
    if (rc == 0 && request.foreign && !agent->reload.withheld &&
        agent->facts.run == HA_RUN_RUNNING) {
        log_info("PostgreSQL parameters: withheld from the server that runs, until the store says "
                 "that it is of this cluster");
    }
    agent->reload.withheld = rc == 0 ? request.foreign : agent->reload.withheld;
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

    if (reload->withheld && parameters_are_for_ours(agent)) {
        reload->withheld = false;
        reload->wanted = true;
    }
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

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Whether walreceivers are to log in otherwise: their service file has all but the password. */
static bool same_receiver(const struct pg_account *a, const struct pg_account *b)
{
    bool same = same_text(a->username, b->username);
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        same = same && same_text(a->security.values[i], b->security.values[i]);
    }
    return same;
}

void parameters_merge(struct agent *agent)
{
    struct config_effective merged;
    char warning[DYNAMIC_WARNING_BYTES] = "";
    config_effective_make(&agent->config->postgresql,
                          json_object_get(agent->dynamic.document, "postgresql"), &merged, warning);
    if (agent->effective.memory != NULL &&
        !same_receiver(&agent->effective.postgresql.replication, &merged.postgresql.replication)) {
        agent->reload.receiver_changed = true;
    }
    config_effective_free(&agent->effective);
    agent->effective = merged;
    if (warning[0] != '\0') {
        log_warning("dynamic configuration: %s; ignoring it", warning);
    }
}

const struct config_postgresql *agent_postgresql(const struct agent *agent)
{
    return agent->effective.memory != NULL ? &agent->effective.postgresql
                                           : &agent->config->postgresql;
}

void parameters_again(struct agent *agent)
{
    agent->reload.wanted = true;
    agent->reload.failures = 0;
    agent->reload.again_mono_ms = 0;
    parameters_apply(agent);
}

void parameters_changed(struct agent *agent)
{
    parameters_merge(agent);
    parameters_again(agent);
}

int parameters_settle(struct agent *agent, struct error *err)
{
    parameters_apply(agent);
    return agent->reload.running
               ? error_set(err, ERR_BUSY, "the configuration of PostgreSQL is being written")
               : 0;
}
