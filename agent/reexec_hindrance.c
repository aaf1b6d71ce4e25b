#include "agent/reexec_hindrance.h"

#include <stddef.h>

int64_t reexec_fresh_ms(int64_t ttl_ms)
{
    return ttl_ms / 12;
}

/* Jobs die with the agent, half done. */
static const char *job_hindrance(enum ha_job_kind job)
{
    switch (job) {
    case HA_JOB_NONE: return NULL;
    case HA_JOB_BOOTSTRAP: return "the cluster is being made";
    case HA_JOB_CLONE: return "the data directory is being copied";
    case HA_JOB_PROMOTE: return "PostgreSQL is being promoted";
    case HA_JOB_REWIND: return "pg_rewind runs";
    case HA_JOB_CHECK_DIVERGENCE: return "the data directory is being compared with the leader's";
    case HA_JOB_REMOVE_DATA: return "the data directory is being removed";
    }
    return NULL;
}

static const char *instance_hindrance(const struct reexec_facts *facts)
{
    if (facts->run == HA_RUN_UNKNOWN) {
        return "it is not known yet whether PostgreSQL runs";
    }
    if (facts->run == HA_RUN_STARTING || facts->run == HA_RUN_STOPPING) {
        return facts->run == HA_RUN_STARTING ? "PostgreSQL is starting" : "PostgreSQL is stopping";
    }
    if (facts->fence_silent) {
        return "the fence does not answer";
    }
    if (facts->disk_stalled) { /* an exec waits for every thread, and so would the renewals */
        return "a disk does not answer";
    }
    return facts->restart ? "a restart of PostgreSQL was asked for" : NULL;
}

/* The next program goes on with the lease for as long as the page says, and has to renew it before
 * that. */
static const char *lease_hindrance(const struct reexec_facts *facts, bool leaving)
{
    if (facts->acquiring) {
        return "the leader key is being taken";
    }
    if (facts->failsafe) {
        return "the store does not answer, and the primary runs on by failsafe_mode";
    }
    if (facts->paused) {
        return NULL;
    }
    if (facts->primary && !facts->held) {
        return "PostgreSQL runs as a primary without the leader key";
    }
    if (facts->held && leaving &&
        (facts->renewed_ago_ms < 0 || facts->renewed_ago_ms > reexec_fresh_ms(facts->ttl_ms))) {
        return "the lease is to be renewed first";
    }
    return NULL;
}

const char *reexec_hindrance(const struct reexec_facts *facts, bool leaving)
{
    if (facts->stopping) {
        return "the agent is stopping";
    }
    const char *why = job_hindrance(facts->job);
    why = why != NULL ? why : instance_hindrance(facts);
    why = why != NULL ? why : lease_hindrance(facts, leaving);
    if (why == NULL && facts->callbacks > 0) {
        return "a callback runs";
    }
    return why == NULL && (facts->executing || facts->looking) ? "a decision is being carried out"
                                                               : why;
}
