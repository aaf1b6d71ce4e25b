/* See the header. */
#include "agent/app_shown.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_remote.h"
#include "agent/loop/loop.h"

#include <string.h>

const char *app_shown_role(const struct ha_snapshot *s)
{
    return s->self.role == PG_PRIMARY    ? "primary"
           : ha_leads_standby_cluster(s) ? "standby_leader"
                                         : "replica";
}

bool app_shown_streaming(const struct pg_probe_result *probe)
{
    return probe->receiver_alive && strcmp(probe->receiver_status, "streaming") == 0;
}

bool app_shown_archive(const struct agent *agent)
{
    return !app_shown_streaming(&agent->facts.probe) && publish_replication_state(agent) != NULL;
}

bool app_shown_synchronous(const struct agent *agent, const struct ha_snapshot *s,
                           enum dynamic_synchronous mode)
{
    return agent->dynamic.synchronous_mode == mode && s->self.role == PG_STANDBY &&
           ha_sync_key_has(&s->cluster.sync, s->self.name) &&
           strcmp(s->cluster.sync.leader, s->self.name) != 0;
}

static bool has_answered(const struct agent *agent, const struct ha_snapshot *s)
{
    return s->self.run == HA_RUN_RUNNING && agent->facts.probe.asked_ms > 0;
}

static bool is_fresh(const struct agent *agent, const struct ha_snapshot *s)
{
    const struct loop_facts *facts = &agent->facts;
    return s->self.probe_fresh ||
           (facts->probe_rc == 0 &&
            agent_mono_ms(agent) - facts->probe.asked_ms <= LOOP_PROBE_FRESH_MS);
}

bool app_shown_answered(const struct agent *agent, const struct ha_snapshot *s)
{
    return has_answered(agent, s) && is_fresh(agent, s);
}

const char *app_shown_state(const struct agent *agent, const struct ha_snapshot *s)
{
    return has_answered(agent, s) && !is_fresh(agent, s) ? "unknown" : ha_state_name(s);
}
