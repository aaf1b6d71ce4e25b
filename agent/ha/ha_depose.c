/* Three signs of life, and all of them have to be missing: what a walreceiver that is idle misses
 * is nothing, a connection that hangs may be the network's between two nodes, and followers of the
 * Raft group do not hear each other. A false alarm costs little (this standby does not receive for
 * a moment) as long as the others do not say the same. */
#include "agent/ha/ha_depose.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"

#include <string.h>

bool ha_depose_is_possible(const struct ha_snapshot *s)
{
    const struct ha_cluster *cluster = &s->cluster;
    return s->settings.early_failover && s->settings.synchronous_mode && ha_key_is_others(s) &&
           !s->settings.paused && cluster->unfenced_revision == 0 && cluster->sync.present &&
           !cluster->sync.unreadable && ha_sync_key_has(&cluster->sync, s->self.name) &&
           cluster->epoch_revision == cluster->leader_epoch.revision &&
           strcmp(cluster->epoch_holder, cluster->leader) == 0;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t ha_depose_silent_since(const struct ha_snapshot *s)
{
    const struct ha_silence *silence = &s->silence;
    if (silence->wal_mono_ms == HA_NEVER || silence->asked_mono_ms == HA_NEVER) {
        return HA_NEVER;
    }
    /* Nothing came over Raft (HA_NEVER): the leader of the group has to know. */
    return later(silence->asked_mono_ms, later(silence->wal_mono_ms, silence->raft_mono_ms));
}

bool ha_depose_is_due(const struct ha_snapshot *s)
{
    int64_t since_ms = ha_depose_silent_since(s);
    return since_ms != HA_NEVER && s->now_mono_ms - since_ms >= s->settings.election_timeout_ms &&
           ha_depose_is_possible(s);
}

bool ha_depose_counts(const struct ha_snapshot *s, const struct ha_report *report)
{
    int64_t enough_ms = s->settings.election_timeout_ms;
    return ha_report_is_current(s, report) && !report->yields &&
           strcmp(report->name, s->cluster.leader) != 0 && report->primary_silent_ms >= enough_ms &&
           (report->raft_silent_ms == 0 || report->raft_silent_ms >= enough_ms);
}
