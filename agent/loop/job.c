#include "agent/loop/job.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/destruction.h"
#include "agent/loop/logical.h"
#include "agent/loop/member_url.h"
#include "agent/loop/reinit.h"
#include "agent/loop/remote.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static void note_begin(struct agent *agent, enum ha_job_kind kind)
{
    struct ha_job *job = &agent->facts.job;
    unsigned failures = job->kind == kind ? job->failures : 0;
    agent->facts.copying = false;
    *job = (struct ha_job){.kind = kind,
                           .running = true,
                           .failures = failures,
                           .since_mono_ms = agent_mono_ms(agent),
                           .ended_mono_ms = HA_NEVER,
                           .epoch = agent->facts.cluster.leader_epoch};
    publish_request(agent);
}

void job_end(struct agent *agent, int rc, const struct error *err)
{
    struct ha_job *job = &agent->facts.job;
    job->running = false;
    agent->facts.copying = false;
    job->failed = rc != 0;
    job->failures = rc == 0 ? 0 : job->failures + 1;
    job->ended_mono_ms = agent_mono_ms(agent);
    (void)snprintf(job->error, sizeof job->error, "%s", rc == 0 || err == NULL ? "" : err->text);
    observe_inspect(agent);
    observe_run(agent);
    cycle_request(agent);
    publish_request(agent);
}

/* Those that change the data directory's contents; NULL: it does not. */
static const char *const destructions[] = {[HA_JOB_BOOTSTRAP] = "initdb",
                                           [HA_JOB_CLONE] = "clone",
                                           [HA_JOB_REWIND] = "rewind",
                                           [HA_JOB_REMOVE_DATA] = "remove"};

void job_done(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_facts *facts = &agent->facts;

    if (destructions[facts->job.kind] != NULL) {
        destruction_ended(destructions[facts->job.kind], rc);
    }
    if (rc != 0 && (facts->job.kind == HA_JOB_CLONE || facts->job.kind == HA_JOB_REWIND)) {
        remote_next_host(agent);
    }

    if (rc != 0 && rc != ERR_CANCELED) {
        log_error("job failed: %s", err->text);
    }
    switch (facts->job.kind) {
    case HA_JOB_BOOTSTRAP: facts->start_ordered = false; break;
    case HA_JOB_PROMOTE:
        facts->promote_failed_mono_ms = rc == 0 ? HA_NEVER : agent_mono_ms(agent);
        logical_promoted(agent);
        break;
    case HA_JOB_REWIND: facts->rejoin.rewind = rc == 0 ? HA_REWIND_DONE : HA_REWIND_FAILED; break;
    case HA_JOB_CLONE:
    case HA_JOB_REMOVE_DATA:
        if (rc == 0) { /* what was found out is about data that is no longer there */
            facts->rejoin = (struct ha_rejoin){.checked_mono_ms = HA_NEVER};
            reinit_copies(agent);
        }
        break;
    case HA_JOB_NONE:
    case HA_JOB_CHECK_DIVERGENCE: break;
    }
    job_end(agent, rc, err);
    observe_probe_soon(agent);
}

int job_begin(struct agent *agent, enum ha_job_kind kind, int rc)
{
    if (rc == 0) {
        note_begin(agent, kind);
    }
    return rc;
}

int job_find_peer(const struct agent *agent, const char *name, char *ret_host, uint16_t *ret_port,
                  struct error *err)
{
    enum { POSTGRES_PORT = 5432 };
    const struct ha_member *member = ha_cluster_member(&agent->facts.cluster, name);
    if (member == NULL ||
        !member_url_address(member->conn_url, POSTGRES_PORT, ret_host, ret_port)) {
        return error_set(err, ERR_NOT_FOUND, "member '%s' has published no address", name);
    }
    return 0;
}

uint64_t job_system_id(const struct agent *agent)
{
    return strtoull(agent->facts.cluster.initialize, NULL, 10);
}
