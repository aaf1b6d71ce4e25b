/* See ha_remote.h. */
#include "agent/ha/ha_remote.h"

#include "agent/ha/ha_facts.h"

#include <string.h>

bool ha_leads_standby_cluster(const struct ha_snapshot *s)
{
    return s->settings.standby_cluster && ha_key_is_ours(s);
}

bool ha_follows_remote(const struct ha_snapshot *s)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    return upstream->known && !upstream->detached && upstream->remote &&
           strcmp(upstream->conn_url, s->settings.remote) == 0;
}

bool ha_term_is_of_before(const struct ha_snapshot *s)
{
    return !ha_armed_for_key(s) && s->cluster.config_revision > s->cluster.leader_epoch.revision;
}

/* In this term, with the other cluster as it is configured now. */
static bool was_asked(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    return ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch) &&
           strcmp(rejoin->remote, s->settings.remote) == 0;
}

static enum ha_rejoin_step repair(const struct ha_snapshot *s)
{
    bool again = s->job.kind == HA_JOB_REWIND && s->job.failures < HA_REWIND_FAILURES_MAX;
    /* What failed with another cluster, or in another term, may be possible now. */
    bool failed = was_asked(s) && s->self.rejoin.rewind == HA_REWIND_FAILED && !again;
    if (s->settings.remote_streams && s->settings.rewind_possible && !failed) {
        return HA_REJOIN_REWIND;
    }
    /* As Patroni: here a history that parted is no reason, only a rewind that has failed is. The
     * leader is whom the others copy. */
    return failed && s->settings.remove_on_rewind_failure && !ha_key_is_ours(s) ? HA_REJOIN_REMOVE
                                                                                : HA_REJOIN_STUCK;
}

static bool is_copy(const struct ha_snapshot *s)
{
    return s->self.backup_label && !s->self.standby_signal && ha_is_down(s);
}

bool ha_remote_may_be_received(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    if (!s->settings.remote_streams || is_copy(s)) {
        return true;
    }
    switch (rejoin->divergence) {
    case HA_DIVERGENCE_NONE: return was_asked(s);
    case HA_DIVERGENCE_UNKNOWN: /* half-rewound by an earlier run, and rewound by this one */
    case HA_DIVERGENCE_REWIND: return was_asked(s) && rejoin->rewind == HA_REWIND_DONE;
    case HA_DIVERGENCE_LOST:
    case HA_DIVERGENCE_FORKED: break;
    }
    return false;
}

enum ha_rejoin_step ha_remote_rejoin(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    if (s->self.unfinished == PG_UNFINISHED_REWIND) {
        return repair(s);
    }
    if (is_copy(s) || !s->settings.remote_streams) {
        return HA_REJOIN_ATTACH;
    }
    if (!was_asked(s) || rejoin->divergence == HA_DIVERGENCE_UNKNOWN) {
        return ha_is_down(s) && ha_was_primary(s) ? HA_REJOIN_CHECK : HA_REJOIN_ATTACH;
    }
    switch (rejoin->divergence) {
    case HA_DIVERGENCE_UNKNOWN:
    case HA_DIVERGENCE_NONE: break;
    case HA_DIVERGENCE_LOST:
    case HA_DIVERGENCE_FORKED: return HA_REJOIN_STUCK; /* pg_rewind goes by numbers */
    case HA_DIVERGENCE_REWIND:
        return rejoin->rewind == HA_REWIND_DONE ? HA_REJOIN_ATTACH : repair(s);
    }
    return HA_REJOIN_ATTACH;
}

bool ha_remote_wants_look(const struct ha_snapshot *s)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    if (!s->settings.remote_streams || (upstream->detached && !ha_key_is_ours(s))) {
        return false;
    }
    bool suspicious = rejoin->lost_looks > 0 && rejoin->lost_looks < HA_LOST_LOOKS_MIN;
    if (!was_asked(s) || rejoin->divergence == HA_DIVERGENCE_UNKNOWN || suspicious) {
        return true;
    }
    bool silent = !upstream->detached && !upstream->streaming &&
                  upstream->streaming_lost_mono_ms != HA_NEVER &&
                  s->now_mono_ms - upstream->streaming_lost_mono_ms >= HA_NOT_STREAMING_MS;
    bool looked =
        rejoin->checked_mono_ms != HA_NEVER &&
        s->now_mono_ms - rejoin->checked_mono_ms < s->settings.loop_wait_ms + HA_NOT_STREAMING_MS;
    return silent && !looked; /* also after a rewind: it may part from us again */
}
