#include "agent/loop/namesake.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* A renewal that is late, and the time until its end was seen here. */
static int64_t outlasts_ms(const struct agent *agent)
{
    return agent->dynamic.ttl_ms + agent->dynamic.ttl_ms / 2;
}

static bool is_ours(const struct agent *agent, const struct ha_member *record)
{
    char conn_url[HA_URL_BYTES];
    char api_url[HA_URL_BYTES];
    if (record->instance[0] != '\0' || agent->instance[0] == '\0') {
        return strcmp(record->instance, agent->instance) == 0;
    }
    publish_urls(agent, conn_url, api_url);
    return strcmp(record->conn_url, conn_url) == 0 || strcmp(record->api_url, api_url) == 0;
}

static void note_where(struct agent *agent, const struct ha_member *record)
{
    (void)snprintf(agent->namesake.where, sizeof agent->namesake.where, "%s, %s", record->conn_url,
                   record->api_url);
}

static void give_up(struct agent *agent, const struct ha_member *record)
{
    note_where(agent, record);
    log_error("another agent runs under the name '%s' in cluster '%s': PostgreSQL at %s, REST at "
              "%s: give each member a name of its own, or stop that one and start this one again "
              "when its record has ended (%lld s); ending",
              agent->config->name, agent->config->scope, record->conn_url, record->api_url,
              (long long)((agent->dynamic.ttl_ms + 999) / 1000));
    agent->namesake.over = true;
    observe_probe_soon(agent);
}

/* No record is renewed, or ends, while the store has no majority: from one word of it to the next
 * no more than a loop_wait counts, which is as often as it is asked. */
static void count(struct agent *agent)
{
    struct loop_namesake *namesake = &agent->namesake;
    int64_t heard_mono_ms = agent->dcs->ops->contact_mono_ms(agent->dcs);
    int64_t step_ms = heard_mono_ms - namesake->counted_mono_ms;
    if (namesake->counted_mono_ms != HA_NEVER) {
        namesake->waited_ms +=
            step_ms < agent->dynamic.loop_wait_ms ? step_ms : agent->dynamic.loop_wait_ms;
    }
    namesake->counted_mono_ms = heard_mono_ms;
}

static void look_waiting(struct agent *agent, const struct ha_member *record)
{
    struct loop_namesake *namesake = &agent->namesake;
    if (!namesake->waits) {
        namesake->waits = true;
        namesake->counted_mono_ms = agent->dcs->ops->contact_mono_ms(agent->dcs);
        note_where(agent, record);
        log_warning("the name '%s' is taken: PostgreSQL at %s, REST at %s: waiting for at most "
                    "%lld s until that record ends, as it does if its agent is gone",
                    agent->config->name, record->conn_url, record->api_url,
                    (long long)(outlasts_ms(agent) / 1000));
        return;
    }
    count(agent);
    if (namesake->waited_ms >= outlasts_ms(agent)) {
        give_up(agent, record);
    }
}

/* Our record was overwritten, or one came before we had written it. */
static void look_named(struct agent *agent, const struct ha_member *record)
{
    struct loop_namesake *namesake = &agent->namesake;
    int64_t now = agent_mono_ms(agent);
    if (!agent->lease.held) {
        give_up(agent, record);
    } else if (namesake->told_mono_ms == 0 || now - namesake->told_mono_ms >= NAMESAKE_AGAIN_MS) {
        namesake->told_mono_ms = now;
        log_error("another agent has taken the name '%s', which leads here: PostgreSQL at %s, REST "
                  "at %s: stop it, and give it a name of its own",
                  agent->config->name, record->conn_url, record->api_url);
    }
}

static void take_name(struct agent *agent, const char *why)
{
    agent->namesake.free = true;
    if (agent->namesake.where[0] != '\0') {
        log_info("%s: the name is ours", why);
        agent->namesake.where[0] = '\0';
        cycle_request(agent);
        publish_request(agent);
    }
}

void namesake_look(struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const struct ha_member *record = ha_cluster_member(cluster, agent->config->name);
    if (!cluster->known || agent->stopping || agent->namesake.over) {
        return;
    }
    if (record != NULL && !is_ours(agent, record)) {
        if (!agent->namesake.free && agent->lease.held && agent->lease.renewed) {
            take_name(agent, "the leader key is still of this agent");
        }
        if (agent->namesake.free) {
            look_named(agent, record);
        } else {
            look_waiting(agent, record);
        }
        return;
    }
    if (!agent->namesake.free) {
        take_name(agent, "the record of another agent of this name has ended");
    }
}

void namesake_end(struct agent *agent)
{
    if (agent->namesake.over && !agent->stopping) {
        agent->on_exit(agent, 1);
    }
}

bool namesake_is_free(const struct agent *agent)
{
    return agent->namesake.free;
}
