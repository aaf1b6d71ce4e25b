/* See the header: a field is one line here, and nowhere else. */
#include "agent/ha/ha_text_fields.h"

#include "agent/ha/ha_cluster.h"

#include <string.h>

/* In the order of the enums. */
static const char *const run_words[] = {"unknown", "stopped",  "crashed", "starting",
                                        "running", "stopping", NULL};
static const char *const role_words[] = {"unknown", "primary", "standby", NULL};
static const char *const directory_words[] = {
    "missing", "empty", "valid", "unfinished", "foreign", "broken", "unreadable", "doubtful", NULL};
static const char *const data_words[] = {"not_told", "none", "valid", "unusable", NULL};
static const char *const unfinished_words[] = {"none", "bootstrap", "clone", "rewind", NULL};
static const char *const control_words[] = {"unknown",
                                            "starting_up",
                                            "shut_down",
                                            "shut_down_in_recovery",
                                            "shutting_down",
                                            "in_crash_recovery",
                                            "in_archive_recovery",
                                            "in_production",
                                            NULL};
static const char *const divergence_words[] = {"unknown", "none", "rewind", "lost", "forked", NULL};
static const char *const rewind_words[] = {"not_tried", "done", "failed", NULL};
static const char *const job_words[] = {"none",   "bootstrap",        "clone",       "promote",
                                        "rewind", "check_divergence", "remove_data", NULL};
static const char *const disk_words[] = {"unknown", "good",      "low",    "full",
                                         "stalled", "read_only", "failed", NULL};
static const char *const watchdog_words[] = {"none", "ready", "pending", "armed", "failed", NULL};
static const char *const request_words[] = {"none", "shutdown", NULL};
static const char *const restart_words[] = {"none", "ordered", "under_way", NULL};
static const char *const reinit_words[] = {"none", "ordered", "copying", NULL};

#define AT(type, member) offsetof(struct type, member)
#define BOOL(type, key, member)                     \
    {                                               \
        (key), KIND_BOOL, AT(type, member), 0, NULL \
    }
#define I64(type, key, member)                     \
    {                                              \
        (key), KIND_I64, AT(type, member), 0, NULL \
    }
#define U32(type, key, member)                     \
    {                                              \
        (key), KIND_U32, AT(type, member), 0, NULL \
    }
#define UINT(type, key, member)                     \
    {                                               \
        (key), KIND_UINT, AT(type, member), 0, NULL \
    }
#define INT(type, key, member)                     \
    {                                              \
        (key), KIND_INT, AT(type, member), 0, NULL \
    }
#define LSN(type, key, member)                     \
    {                                              \
        (key), KIND_LSN, AT(type, member), 0, NULL \
    }
#define HEX(type, key, member)                     \
    {                                              \
        (key), KIND_HEX, AT(type, member), 0, NULL \
    }
#define EPOCH(type, key, member)                     \
    {                                                \
        (key), KIND_EPOCH, AT(type, member), 0, NULL \
    }
#define TEXT(type, key, member)                                                         \
    {                                                                                   \
        (key), KIND_TEXT, AT(type, member), sizeof(((struct type *)NULL)->member), NULL \
    }
#define ENUM(type, key, member, words)                 \
    {                                                  \
        (key), KIND_ENUM, AT(type, member), 0, (words) \
    }

static const struct ha_text_field now_fields[] = {
    I64(ha_snapshot, "lease", now_lease_ms),
    I64(ha_snapshot, "mono", now_mono_ms),
    I64(ha_snapshot, "wall", now_wall_ms),
    I64(ha_snapshot, "unlocked_since", unlocked_since_mono_ms),
    TEXT(ha_snapshot, "owner", owner.name),
    I64(ha_snapshot, "owner_seen", owner.seen_mono_ms),
    I64(ha_snapshot, "partner_gone", partner_gone_mono_ms),
    ENUM(ha_snapshot, "request", request, request_words),
    I64(ha_snapshot, "requested", request_mono_ms),
    {0},
};
static const struct ha_text_field settings_fields[] = {
    I64(ha_snapshot, "ttl", settings.ttl_ms),
    I64(ha_snapshot, "loop_wait", settings.loop_wait_ms),
    I64(ha_snapshot, "retry_timeout", settings.retry_timeout_ms),
    I64(ha_snapshot, "election_timeout", settings.election_timeout_ms),
    I64(ha_snapshot, "maximum_lag", settings.maximum_lag_bytes),
    I64(ha_snapshot, "primary_start_timeout", settings.primary_start_timeout_ms),
    I64(ha_snapshot, "hang_timeout", settings.hang_timeout_ms),
    I64(ha_snapshot, "disk_stall_timeout", settings.disk_stall_timeout_ms),
    I64(ha_snapshot, "disk_failure_timeout", settings.disk_failure_timeout_ms),
    BOOL(ha_snapshot, "check_timeline", settings.check_timeline),
    BOOL(ha_snapshot, "rewind_possible", settings.rewind_possible),
    BOOL(ha_snapshot, "remove_on_rewind_failure", settings.remove_on_rewind_failure),
    BOOL(ha_snapshot, "remove_on_diverged", settings.remove_on_diverged),
    BOOL(ha_snapshot, "may_bootstrap", settings.may_bootstrap),
    BOOL(ha_snapshot, "custom_bootstrap", settings.custom_bootstrap),
    BOOL(ha_snapshot, "copies_without_leader", settings.copies_without_leader),
    BOOL(ha_snapshot, "failsafe_mode", settings.failsafe_mode),
    BOOL(ha_snapshot, "synchronous_mode", settings.synchronous_mode),
    BOOL(ha_snapshot, "paused", settings.paused),
    BOOL(ha_snapshot, "early_failover", settings.early_failover),
    BOOL(ha_snapshot, "standby_cluster", settings.standby_cluster),
    BOOL(ha_snapshot, "remote_streams", settings.remote_streams),
    TEXT(ha_snapshot, "remote", settings.remote),
    TEXT(ha_snapshot, "refused", settings.refused),
    {0},
};
static const struct ha_text_field self_fields[] = {
    TEXT(ha_snapshot, "name", self.name),
    TEXT(ha_snapshot, "instance", self.instance),
    TEXT(ha_snapshot, "namesake", self.namesake),
    BOOL(ha_snapshot, "directory_known", self.directory_known),
    ENUM(ha_snapshot, "directory", self.directory, directory_words),
    ENUM(ha_snapshot, "unfinished", self.unfinished, unfinished_words),
    TEXT(ha_snapshot, "system_id", self.system_id),
    BOOL(ha_snapshot, "unannounced", self.unannounced),
    BOOL(ha_snapshot, "was_paused", self.was_paused),
    ENUM(ha_snapshot, "control", self.control_state, control_words),
    U32(ha_snapshot, "control_timeline", self.control_timeline),
    BOOL(ha_snapshot, "standby_signal", self.standby_signal),
    BOOL(ha_snapshot, "backup_label", self.backup_label),
    U32(ha_snapshot, "wal_timeline", self.wal_timeline),
    BOOL(ha_snapshot, "hba_needed", self.hba_needed),
    BOOL(ha_snapshot, "told_to_stop", self.told_to_stop),
    ENUM(ha_snapshot, "run", self.run, run_words),
    I64(ha_snapshot, "run_since", self.run_since_mono_ms),
    BOOL(ha_snapshot, "stop_ordered", self.stop_ordered),
    ENUM(ha_snapshot, "role", self.role, role_words),
    U32(ha_snapshot, "timeline", self.timeline),
    LSN(ha_snapshot, "lsn", self.lsn),
    BOOL(ha_snapshot, "position_known", self.position_known),
    LSN(ha_snapshot, "shutdown_lsn", self.shutdown_lsn),
    U32(ha_snapshot, "checkpoint_timeline", self.checkpoint_timeline),
    BOOL(ha_snapshot, "history_told", self.history_told),
    BOOL(ha_snapshot, "promote_sent", self.promote_sent),
    INT(ha_snapshot, "server_version", self.server_version),
    I64(ha_snapshot, "postmaster_start", self.postmaster_start_ms),
    BOOL(ha_snapshot, "pending_restart", self.pending_restart),
    BOOL(ha_snapshot, "probe_fresh", self.probe_fresh),
    BOOL(ha_snapshot, "looks_for_request", self.looks_for_request),
    I64(ha_snapshot, "crash_since", self.crash_since_mono_ms),
    I64(ha_snapshot, "crashed", self.crashed_mono_ms),
    UINT(ha_snapshot, "crashes", self.crashes),
    UINT(ha_snapshot, "hangs", self.hangs),
    UINT(ha_snapshot, "start_failures", self.start_failures),
    I64(ha_snapshot, "start_failed", self.start_failed_mono_ms),
    I64(ha_snapshot, "stop_failed", self.stop_failed_mono_ms),
    I64(ha_snapshot, "promote_failed", self.promote_failed_mono_ms),
    I64(ha_snapshot, "silent_since", self.silent_since_mono_ms),
    I64(ha_snapshot, "refusing_since", self.refusing_since_mono_ms),
    ENUM(ha_snapshot, "disk", self.disk, disk_words),
    I64(ha_snapshot, "disk_since", self.disk_since_mono_ms),
    TEXT(ha_snapshot, "disk_place", self.disk_place),
    I64(ha_snapshot, "committed", self.committed_mono_ms),
    I64(ha_snapshot, "trouble_revision", self.trouble_revision),
    BOOL(ha_snapshot, "slots_due", self.slots_due),
    BOOL(ha_snapshot, "ahead", self.ahead),
    BOOL(ha_snapshot, "replay_stuck", self.replay_stuck),
    EPOCH(ha_snapshot, "withdrawn", self.withdrawn_epoch),
    {0},
};
static const struct ha_text_field tags_fields[] = {
    BOOL(ha_snapshot, "nofailover", self.tags.nofailover),
    INT(ha_snapshot, "failover_priority", self.tags.failover_priority),
    BOOL(ha_snapshot, "clonefrom", self.tags.clonefrom),
    BOOL(ha_snapshot, "nostream", self.tags.nostream),
    TEXT(ha_snapshot, "replicatefrom", self.tags.replicatefrom),
    {0},
};
static const struct ha_text_field upstream_fields[] = {
    BOOL(ha_snapshot, "known", self.upstream.known),
    BOOL(ha_snapshot, "detached", self.upstream.detached),
    BOOL(ha_snapshot, "service_in_force", self.upstream.service_in_force),
    BOOL(ha_snapshot, "follow_refused", self.upstream.follow_refused),
    EPOCH(ha_snapshot, "epoch", self.upstream.epoch),
    BOOL(ha_snapshot, "remote", self.upstream.remote),
    TEXT(ha_snapshot, "name", self.upstream.name),
    TEXT(ha_snapshot, "conn_url", self.upstream.conn_url),
    BOOL(ha_snapshot, "streaming", self.upstream.streaming),
    I64(ha_snapshot, "streaming_lost", self.upstream.streaming_lost_mono_ms),
    I64(ha_snapshot, "cascade_left", self.cascade_left_mono_ms),
    {0},
};
static const struct ha_text_field rejoin_fields[] = {
    EPOCH(ha_snapshot, "epoch", self.rejoin.epoch),
    TEXT(ha_snapshot, "remote", self.rejoin.remote),
    ENUM(ha_snapshot, "divergence", self.rejoin.divergence, divergence_words),
    I64(ha_snapshot, "checked", self.rejoin.checked_mono_ms),
    ENUM(ha_snapshot, "rewind", self.rejoin.rewind, rewind_words),
    U32(ha_snapshot, "lost_timeline", self.rejoin.lost_timeline),
    UINT(ha_snapshot, "lost_looks", self.rejoin.lost_looks),
    {0},
};
static const struct ha_text_field fence_fields[] = {
    BOOL(ha_snapshot, "connected", fence.connected),
    EPOCH(ha_snapshot, "epoch", fence.page_epoch),
    BOOL(ha_snapshot, "armed", fence.armed),
    I64(ha_snapshot, "soft", fence.soft_lease_ms),
    BOOL(ha_snapshot, "over", fence.over),
    BOOL(ha_snapshot, "fired", fence.fired),
    BOOL(ha_snapshot, "silent", fence.silent),
    I64(ha_snapshot, "silent_since", fence.silent_since_mono_ms),
    BOOL(ha_snapshot, "all_gone", fence.all_gone),
    BOOL(ha_snapshot, "adopted", fence.adopted),
    BOOL(ha_snapshot, "knows_directory", fence.knows_directory),
    {0},
};
static const struct ha_text_field watchdog_fields[] = {
    BOOL(ha_snapshot, "required", watchdog.required),
    ENUM(ha_snapshot, "state", watchdog.state, watchdog_words),
    I64(ha_snapshot, "failed", watchdog.failed_mono_ms),
    TEXT(ha_snapshot, "why", watchdog.why),
    {0},
};
static const struct ha_text_field holding_fields[] = {
    BOOL(ha_snapshot, "held", holding.held),
    EPOCH(ha_snapshot, "epoch", holding.epoch),
    I64(ha_snapshot, "soft", holding.soft_lease_ms),
    I64(ha_snapshot, "deadline", holding.deadline_lease_ms),
    BOOL(ha_snapshot, "acquiring", holding.acquiring),
    BOOL(ha_snapshot, "renewed", holding.renewed),
    EPOCH(ha_snapshot, "acquired", holding.acquired),
    I64(ha_snapshot, "since", holding.since_mono_ms),
    {0},
};
static const struct ha_text_field job_fields[] = {
    ENUM(ha_snapshot, "kind", job.kind, job_words),
    BOOL(ha_snapshot, "running", job.running),
    BOOL(ha_snapshot, "failed", job.failed),
    UINT(ha_snapshot, "failures", job.failures),
    I64(ha_snapshot, "since", job.since_mono_ms),
    I64(ha_snapshot, "ended", job.ended_mono_ms),
    EPOCH(ha_snapshot, "epoch", job.epoch),
    TEXT(ha_snapshot, "error", job.error),
    {0},
};
static const struct ha_text_field restart_fields[] = {
    ENUM(ha_snapshot, "phase", restart.phase, restart_words),
    ENUM(ha_snapshot, "ordered_role", restart.role, role_words),
    I64(ha_snapshot, "ordered", restart.ordered_mono_ms),
    I64(ha_snapshot, "down", restart.down_mono_ms),
    I64(ha_snapshot, "timeout", restart.timeout_ms),
    I64(ha_snapshot, "scheduled", restart.scheduled_wall_ms),
    I64(ha_snapshot, "scheduled_start", restart.scheduled_start_ms),
    TEXT(ha_snapshot, "role", restart.filter.role),
    INT(ha_snapshot, "below_version", restart.filter.below_version),
    BOOL(ha_snapshot, "if_pending", restart.filter.if_pending),
    {0},
};
static const struct ha_text_field reinit_fields[] = {
    ENUM(ha_snapshot, "phase", reinit.phase, reinit_words),
    BOOL(ha_snapshot, "from_leader", reinit.from_leader),
    BOOL(ha_snapshot, "cancels", reinit.cancels),
    I64(ha_snapshot, "ordered", reinit.ordered_mono_ms),
    {0},
};
static const struct ha_text_field failsafe_fields[] = {
    TEXT(ha_snapshot, "primary", failsafe.primary),
    I64(ha_snapshot, "until", failsafe.until_lease_ms),
    I64(ha_snapshot, "start", failsafe.start_lease_ms),
    BOOL(ha_snapshot, "active", failsafe.active),
    BOOL(ha_snapshot, "possible", failsafe.possible),
    BOOL(ha_snapshot, "unsure", failsafe.unsure),
    {0},
};
static const struct ha_text_field silence_fields[] = {
    I64(ha_snapshot, "wal", silence.wal_mono_ms),
    I64(ha_snapshot, "asked", silence.asked_mono_ms),
    I64(ha_snapshot, "raft", silence.raft_mono_ms),
    {0},
};
static const struct ha_text_field cluster_fields[] = {
    BOOL(ha_snapshot, "known", cluster.known),
    I64(ha_snapshot, "read", cluster.read_mono_ms),
    HEX(ha_snapshot, "id", cluster.cluster_id),
    I64(ha_snapshot, "revision", cluster.revision),
    TEXT(ha_snapshot, "leader", cluster.leader),
    EPOCH(ha_snapshot, "leader_epoch", cluster.leader_epoch),
    I64(ha_snapshot, "epoch_revision", cluster.epoch_revision),
    TEXT(ha_snapshot, "epoch_holder", cluster.epoch_holder),
    TEXT(ha_snapshot, "epoch_instance", cluster.epoch_instance),
    U32(ha_snapshot, "epoch_timeline", cluster.epoch_timeline),
    I64(ha_snapshot, "seen_revision", cluster.seen_revision),
    TEXT(ha_snapshot, "seen_holder", cluster.seen_holder),
    I64(ha_snapshot, "initialize_revision", cluster.initialize_revision),
    TEXT(ha_snapshot, "initialize", cluster.initialize),
    I64(ha_snapshot, "config_revision", cluster.config_revision),
    I64(ha_snapshot, "sync_revision", cluster.sync_revision),
    I64(ha_snapshot, "recovered_revision", cluster.recovered_revision),
    I64(ha_snapshot, "failsafe_revision", cluster.failsafe_revision),
    I64(ha_snapshot, "unfenced_revision", cluster.unfenced_revision),
    EPOCH(ha_snapshot, "unfenced", cluster.unfenced),
    BOOL(ha_snapshot, "status_known", cluster.status_known),
    LSN(ha_snapshot, "optime", cluster.status_optime),
    I64(ha_snapshot, "history_revision", cluster.history_revision),
    U32(ha_snapshot, "history_timeline", cluster.history_timeline),
    BOOL(ha_snapshot, "history_complete", cluster.history_complete),
    {0},
};
static const struct ha_text_field failover_fields[] = {
    BOOL(ha_snapshot, "present", cluster.failover.present),
    I64(ha_snapshot, "revision", cluster.failover.revision),
    TEXT(ha_snapshot, "leader", cluster.failover.leader),
    TEXT(ha_snapshot, "candidate", cluster.failover.candidate),
    I64(ha_snapshot, "scheduled", cluster.failover.scheduled_wall_ms),
    EPOCH(ha_snapshot, "over_unfenced", cluster.failover.over_unfenced),
    {0},
};
static const struct ha_text_field sync_fields[] = {
    BOOL(ha_snapshot, "present", cluster.sync.present),
    TEXT(ha_snapshot, "leader", cluster.sync.leader),
    UINT(ha_snapshot, "quorum", cluster.sync.quorum),
    BOOL(ha_snapshot, "unreadable", cluster.sync.unreadable),
    {0},
};
static const struct ha_text_field sync_standby_fields[] = {
    {0},
};
static const struct ha_text_field member_fields[] = {
    TEXT(ha_member, "conn_url", conn_url),
    TEXT(ha_member, "api_url", api_url),
    TEXT(ha_member, "state", state),
    TEXT(ha_member, "role", role),
    U32(ha_member, "timeline", timeline),
    LSN(ha_member, "lsn", lsn),
    BOOL(ha_member, "checkpoint_due", checkpoint_after_promote_due),
    BOOL(ha_member, "paused", paused),
    BOOL(ha_member, "reports", reports),
    ENUM(ha_member, "data", data, data_words),
    TEXT(ha_member, "data_system_id", data_system_id),
    BOOL(ha_member, "data_of_primary", data_of_primary),
    U32(ha_member, "data_timeline", data_timeline),
    LSN(ha_member, "data_lsn", data_lsn),
    BOOL(ha_member, "hba_missing", hba_missing),
    ENUM(ha_member, "disk", disk, disk_words),
    I64(ha_member, "disk_answers", disk_answers),
    BOOL(ha_member, "fence_silent", fence_silent),
    BOOL(ha_member, "nofailover", tags.nofailover),
    INT(ha_member, "failover_priority", tags.failover_priority),
    BOOL(ha_member, "nosync", tags.nosync),
    INT(ha_member, "sync_priority", tags.sync_priority),
    BOOL(ha_member, "clonefrom", tags.clonefrom),
    BOOL(ha_member, "nostream", tags.nostream),
    TEXT(ha_member, "replicatefrom", tags.replicatefrom),
    I64(ha_member, "revision", mod_revision),
    {0},
};
static const struct ha_text_field failsafe_member_fields[] = {
    TEXT(ha_failsafe_member, "api_url", api_url),
    {0},
};
static const struct ha_text_field report_fields[] = {
    I64(ha_report, "revision", revision),
    BOOL(ha_report, "withdrawn", withdrawn),
    BOOL(ha_report, "valid", valid),
    EPOCH(ha_report, "epoch", epoch),
    U32(ha_report, "timeline", timeline),
    LSN(ha_report, "lsn", lsn),
    BOOL(ha_report, "yields", yields),
    BOOL(ha_report, "unfit", unfit),
    I64(ha_report, "primary_silent", primary_silent_ms),
    I64(ha_report, "raft_silent", raft_silent_ms),
    TEXT(ha_report, "system_id", system_id),
    {0},
};
static const struct ha_text_field replica_fields[] = {
    LSN(ha_replica, "lsn", lsn),
    {0},
};
static const struct ha_text_field peer_fields[] = {
    I64(ha_peer, "heard", heard_mono_ms),
    I64(ha_peer, "silent", silent_ms),
    BOOL(ha_peer, "witness", witness),
    BOOL(ha_peer, "unnamed", unnamed),
    BOOL(ha_peer, "asking", asking),
    BOOL(ha_peer, "patroni", patroni),
    BOOL(ha_peer, "primary", primary),
    BOOL(ha_peer, "nofailover", nofailover),
    U32(ha_peer, "timeline", timeline),
    LSN(ha_peer, "lsn", lsn),
    {0},
};

#define ONE(name, fields)            \
    {                                \
        (name), (fields), 0, 0, 0, 0 \
    }
#define MANY(name, fields, type, items, count)                                                 \
    {                                                                                          \
        (name), (fields), sizeof(struct type), AT(ha_snapshot, items), AT(ha_snapshot, count), \
            HA_NAME_BYTES                                                                      \
    }

const struct ha_text_group ha_text_groups[] = {
    ONE("now", now_fields),
    ONE("settings", settings_fields),
    ONE("self", self_fields),
    ONE("tags", tags_fields),
    ONE("upstream", upstream_fields),
    ONE("rejoin", rejoin_fields),
    ONE("fence", fence_fields),
    ONE("watchdog", watchdog_fields),
    ONE("holding", holding_fields),
    ONE("job", job_fields),
    ONE("restart", restart_fields),
    ONE("reinit", reinit_fields),
    ONE("failsafe", failsafe_fields),
    ONE("silence", silence_fields),
    ONE("cluster", cluster_fields),
    ONE("failover", failover_fields),
    ONE("sync", sync_fields),
    MANY("sync_standby", sync_standby_fields, ha_sync_standby, cluster.sync.standbys,
         cluster.sync.standby_count),
    MANY("member", member_fields, ha_member, cluster.members, cluster.member_count),
    MANY("failsafe_member", failsafe_member_fields, ha_failsafe_member, cluster.failsafe,
         cluster.failsafe_count),
    MANY("report", report_fields, ha_report, cluster.reports, cluster.report_count),
    MANY("replica", replica_fields, ha_replica, self.replicas, self.replica_count),
    MANY("peer", peer_fields, ha_peer, peers, peer_count),
};

const size_t ha_text_group_count = sizeof ha_text_groups / sizeof ha_text_groups[0];

_Static_assert(offsetof(struct ha_member, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_failsafe_member, name) == 0,
               "a list element begins with its name");
_Static_assert(offsetof(struct ha_sync_standby, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_report, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_replica, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_peer, name) == 0, "a list element begins with its name");

void ha_text_item_init(const struct ha_text_group *group, void *item)
{
    memset(item, 0, group->item_bytes);
    if (group->fields == member_fields) {
        ((struct ha_member *)item)->tags.failover_priority = 1;
        ((struct ha_member *)item)->tags.sync_priority = 1;
    } else if (group->fields == peer_fields) {
        ((struct ha_peer *)item)->heard_mono_ms = HA_NEVER;
    }
}
