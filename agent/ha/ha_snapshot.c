/* The snapshot of an agent that has just started. */
#include "agent/ha/ha_snapshot.h"

#include <string.h>

void ha_snapshot_init(struct ha_snapshot *ret_snapshot)
{
    struct ha_snapshot *s = ret_snapshot;
    memset(s, 0, sizeof *s);
    s->settings.ttl_ms = 30000;
    s->settings.loop_wait_ms = 10000;
    s->settings.retry_timeout_ms = 10000;
    s->settings.election_timeout_ms = 1000;
    s->settings.maximum_lag_bytes = 1048576;
    s->settings.primary_start_timeout_ms = 300000;
    s->settings.hang_timeout_ms = 20000;
    s->settings.disk_stall_timeout_ms = 3000;
    s->settings.disk_failure_timeout_ms = 20000;
    s->unlocked_since_mono_ms = HA_NEVER;
    s->owner.seen_mono_ms = HA_NEVER;
    s->partner_gone_mono_ms = HA_NEVER;
    s->request_mono_ms = HA_NEVER;
    s->restart.ordered_mono_ms = HA_NEVER;
    s->restart.down_mono_ms = HA_NEVER;
    s->reinit.ordered_mono_ms = HA_NEVER;
    s->cluster.read_mono_ms = HA_NEVER;
    s->self.tags.failover_priority = 1;
    s->self.run_since_mono_ms = HA_NEVER;
    s->self.crash_since_mono_ms = HA_NEVER;
    s->self.crashed_mono_ms = HA_NEVER;
    s->self.committed_mono_ms = HA_NEVER;
    s->self.start_failed_mono_ms = HA_NEVER;
    s->self.stop_failed_mono_ms = HA_NEVER;
    s->self.promote_failed_mono_ms = HA_NEVER;
    s->self.silent_since_mono_ms = HA_NEVER;
    s->fence.silent_since_mono_ms = HA_NEVER;
    s->self.refusing_since_mono_ms = HA_NEVER;
    s->self.disk_since_mono_ms = HA_NEVER;
    s->holding.since_mono_ms = HA_NEVER;
    s->watchdog.failed_mono_ms = HA_NEVER;
    s->self.upstream.streaming_lost_mono_ms = HA_NEVER;
    s->self.cascade_left_mono_ms = HA_NEVER;
    s->self.rejoin.checked_mono_ms = HA_NEVER;
    s->silence = (struct ha_silence){HA_NEVER, HA_NEVER, HA_NEVER};
    s->job.since_mono_ms = HA_NEVER;
    s->job.ended_mono_ms = HA_NEVER;
}
