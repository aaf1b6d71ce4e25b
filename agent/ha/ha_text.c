/* Snapshot and plan as text, and the snapshot back: one table of fields serves both directions.
 *
 * A line is a group, the name of the object where there are several, and fields that differ from
 * those of a snapshot in which nothing is known (ha_snapshot_init):
 *
 *     self name=node1 run=running role=standby timeline=1 lsn=5000060
 *     member node2 state="creating replica"
 *
 * Values with a space stand in double quotes; # begins a comment line. LSNs are hexadecimal. */
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_plan.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_BOOL,
    KIND_I64,
    KIND_U32,
    KIND_UINT,
    KIND_INT,
    KIND_LSN,
    KIND_HEX,
    KIND_TEXT,
    KIND_EPOCH,
    KIND_ENUM
};

struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    size_t bytes;             /* KIND_TEXT */
    const char *const *words; /* KIND_ENUM; ends with NULL; index = value */
};

/* In the order of the enums. */
static const char *const run_words[] = {"unknown", "stopped",  "crashed", "starting",
                                        "running", "stopping", NULL};
static const char *const role_words[] = {"unknown", "primary", "standby", NULL};
static const char *const directory_words[] = {
    "missing", "empty", "valid", "unfinished", "foreign", "broken", "unreadable", "doubtful", NULL};
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

static const struct field now_fields[] = {
    I64(ha_snapshot, "lease", now_lease_ms),
    I64(ha_snapshot, "mono", now_mono_ms),
    I64(ha_snapshot, "wall", now_wall_ms),
    I64(ha_snapshot, "unlocked_since", unlocked_since_mono_ms),
    ENUM(ha_snapshot, "request", request, request_words),
    I64(ha_snapshot, "requested", request_mono_ms),
    {0},
};
static const struct field settings_fields[] = {
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
static const struct field self_fields[] = {
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
static const struct field tags_fields[] = {
    BOOL(ha_snapshot, "nofailover", self.tags.nofailover),
    INT(ha_snapshot, "failover_priority", self.tags.failover_priority),
    BOOL(ha_snapshot, "clonefrom", self.tags.clonefrom),
    BOOL(ha_snapshot, "nostream", self.tags.nostream),
    TEXT(ha_snapshot, "replicatefrom", self.tags.replicatefrom),
    {0},
};
static const struct field upstream_fields[] = {
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
static const struct field rejoin_fields[] = {
    EPOCH(ha_snapshot, "epoch", self.rejoin.epoch),
    TEXT(ha_snapshot, "remote", self.rejoin.remote),
    ENUM(ha_snapshot, "divergence", self.rejoin.divergence, divergence_words),
    I64(ha_snapshot, "checked", self.rejoin.checked_mono_ms),
    ENUM(ha_snapshot, "rewind", self.rejoin.rewind, rewind_words),
    U32(ha_snapshot, "lost_timeline", self.rejoin.lost_timeline),
    UINT(ha_snapshot, "lost_looks", self.rejoin.lost_looks),
    {0},
};
static const struct field fence_fields[] = {
    BOOL(ha_snapshot, "connected", fence.connected),
    EPOCH(ha_snapshot, "epoch", fence.page_epoch),
    BOOL(ha_snapshot, "armed", fence.armed),
    BOOL(ha_snapshot, "over", fence.over),
    BOOL(ha_snapshot, "fired", fence.fired),
    BOOL(ha_snapshot, "silent", fence.silent),
    BOOL(ha_snapshot, "all_gone", fence.all_gone),
    BOOL(ha_snapshot, "adopted", fence.adopted),
    BOOL(ha_snapshot, "knows_directory", fence.knows_directory),
    {0},
};
static const struct field watchdog_fields[] = {
    BOOL(ha_snapshot, "required", watchdog.required),
    ENUM(ha_snapshot, "state", watchdog.state, watchdog_words),
    I64(ha_snapshot, "failed", watchdog.failed_mono_ms),
    TEXT(ha_snapshot, "why", watchdog.why),
    {0},
};
static const struct field holding_fields[] = {
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
static const struct field job_fields[] = {
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
static const struct field restart_fields[] = {
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
static const struct field reinit_fields[] = {
    ENUM(ha_snapshot, "phase", reinit.phase, reinit_words),
    BOOL(ha_snapshot, "from_leader", reinit.from_leader),
    BOOL(ha_snapshot, "cancels", reinit.cancels),
    I64(ha_snapshot, "ordered", reinit.ordered_mono_ms),
    {0},
};
static const struct field failsafe_fields[] = {
    TEXT(ha_snapshot, "primary", failsafe.primary),
    I64(ha_snapshot, "until", failsafe.until_lease_ms),
    I64(ha_snapshot, "start", failsafe.start_lease_ms),
    BOOL(ha_snapshot, "active", failsafe.active),
    BOOL(ha_snapshot, "possible", failsafe.possible),
    BOOL(ha_snapshot, "unsure", failsafe.unsure),
    {0},
};
static const struct field silence_fields[] = {
    I64(ha_snapshot, "wal", silence.wal_mono_ms),
    I64(ha_snapshot, "asked", silence.asked_mono_ms),
    I64(ha_snapshot, "raft", silence.raft_mono_ms),
    {0},
};
static const struct field cluster_fields[] = {
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
static const struct field failover_fields[] = {
    BOOL(ha_snapshot, "present", cluster.failover.present),
    I64(ha_snapshot, "revision", cluster.failover.revision),
    TEXT(ha_snapshot, "leader", cluster.failover.leader),
    TEXT(ha_snapshot, "candidate", cluster.failover.candidate),
    I64(ha_snapshot, "scheduled", cluster.failover.scheduled_wall_ms),
    EPOCH(ha_snapshot, "over_unfenced", cluster.failover.over_unfenced),
    {0},
};
static const struct field sync_fields[] = {
    BOOL(ha_snapshot, "present", cluster.sync.present),
    TEXT(ha_snapshot, "leader", cluster.sync.leader),
    UINT(ha_snapshot, "quorum", cluster.sync.quorum),
    BOOL(ha_snapshot, "unreadable", cluster.sync.unreadable),
    {0},
};
static const struct field sync_standby_fields[] = {
    {0},
};
static const struct field member_fields[] = {
    TEXT(ha_member, "conn_url", conn_url),
    TEXT(ha_member, "api_url", api_url),
    TEXT(ha_member, "state", state),
    TEXT(ha_member, "role", role),
    U32(ha_member, "timeline", timeline),
    LSN(ha_member, "lsn", lsn),
    BOOL(ha_member, "checkpoint_due", checkpoint_after_promote_due),
    BOOL(ha_member, "paused", paused),
    BOOL(ha_member, "reports", reports),
    ENUM(ha_member, "disk", disk, disk_words),
    I64(ha_member, "disk_answers", disk_answers),
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
static const struct field failsafe_member_fields[] = {
    TEXT(ha_failsafe_member, "api_url", api_url),
    {0},
};
static const struct field report_fields[] = {
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
static const struct field replica_fields[] = {
    LSN(ha_replica, "lsn", lsn),
    {0},
};
static const struct field peer_fields[] = {
    I64(ha_peer, "heard", heard_mono_ms),
    I64(ha_peer, "silent", silent_ms),
    BOOL(ha_peer, "asking", asking),
    BOOL(ha_peer, "patroni", patroni),
    BOOL(ha_peer, "primary", primary),
    BOOL(ha_peer, "nofailover", nofailover),
    U32(ha_peer, "timeline", timeline),
    LSN(ha_peer, "lsn", lsn),
    {0},
};

struct group {
    const char *name;
    const struct field *fields;
    /* Lists: where the elements are; each begins with its name. */
    size_t item_bytes; /* 0 = no list */
    size_t items_offset;
    size_t count_offset;
    size_t name_bytes;
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

static const struct group groups[] = {
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

_Static_assert(offsetof(struct ha_member, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_failsafe_member, name) == 0,
               "a list element begins with its name");
_Static_assert(offsetof(struct ha_sync_standby, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_report, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_replica, name) == 0, "a list element begins with its name");
_Static_assert(offsetof(struct ha_peer, name) == 0, "a list element begins with its name");

/* The element of a list as it is before any of its fields is given. */
static void item_init(const struct group *group, void *item)
{
    memset(item, 0, group->item_bytes);
    if (group->fields == member_fields) {
        ((struct ha_member *)item)->tags.failover_priority = 1;
        ((struct ha_member *)item)->tags.sync_priority = 1;
    } else if (group->fields == peer_fields) {
        ((struct ha_peer *)item)->heard_mono_ms = HA_NEVER;
    }
}

/* --- printing --------------------------------------------------------------------------------- */

static size_t field_bytes(const struct field *field)
{
    switch (field->kind) {
    case KIND_BOOL: return sizeof(bool);
    case KIND_I64: return sizeof(int64_t);
    case KIND_U32: return sizeof(uint32_t);
    case KIND_UINT: return sizeof(unsigned);
    case KIND_INT:
    case KIND_ENUM: return sizeof(int);
    case KIND_LSN:
    case KIND_HEX: return sizeof(uint64_t);
    case KIND_EPOCH: return sizeof(struct ha_epoch);
    case KIND_TEXT: break;
    }
    return field->bytes;
}

static bool same(const struct field *field, const char *a, const char *b)
{
    if (field->kind == KIND_TEXT) {
        return strcmp(a, b) == 0;
    }
    return memcmp(a, b, field_bytes(field)) == 0;
}

static void print_text(const char *text, struct buf *out)
{
    bool quoted = text[0] == '\0' || strpbrk(text, " \t\n\"") != NULL;
    if (!quoted) {
        buf_put_str(out, text);
        return;
    }
    buf_put_u8(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        /* Keeps one line one line; quotes and control characters never mean anything here. */
        buf_put_u8(out, *c == '"' || iscntrl((unsigned char)*c) ? '\'' : (uint8_t)*c);
    }
    buf_put_u8(out, '"');
}

static void print_epoch(struct ha_epoch epoch, struct buf *out)
{
    char text[HA_EPOCH_BYTES];
    ha_epoch_print(epoch, text);
    buf_put_str(out, text);
}

static void print_value(const struct field *field, const void *at, struct buf *out)
{
    switch (field->kind) {
    case KIND_BOOL: buf_put_str(out, *(const bool *)at ? "yes" : "no"); break;
    case KIND_I64:
        if (*(const int64_t *)at == HA_NEVER) {
            buf_put_str(out, "never");
        } else {
            buf_printf(out, "%" PRId64, *(const int64_t *)at);
        }
        break;
    case KIND_U32: buf_printf(out, "%" PRIu32, *(const uint32_t *)at); break;
    case KIND_UINT: buf_printf(out, "%u", *(const unsigned *)at); break;
    case KIND_INT: buf_printf(out, "%d", *(const int *)at); break;
    case KIND_LSN: buf_printf(out, "%" PRIX64, *(const uint64_t *)at); break;
    case KIND_HEX: buf_printf(out, "%" PRIx64, *(const uint64_t *)at); break;
    case KIND_TEXT: print_text(at, out); break;
    case KIND_EPOCH: print_epoch(*(const struct ha_epoch *)at, out); break;
    case KIND_ENUM: buf_put_str(out, field->words[*(const int *)at]); break;
    }
}

/* Returns whether any field differed. */
static bool print_fields(const struct field *fields, const char *object, const char *defaults,
                         struct buf *out)
{
    bool any = false;
    for (const struct field *field = fields; field->key != NULL; field++) {
        if (!same(field, object + field->offset, defaults + field->offset)) {
            buf_printf(out, " %s=", field->key);
            print_value(field, object + field->offset, out);
            any = true;
        }
    }
    return any;
}

static void print_list(const struct group *group, const char *snapshot, struct buf *out)
{
    size_t count = 0;
    memcpy(&count, snapshot + group->count_offset, sizeof count);
    char *defaults = mem_alloc(group->item_bytes);
    item_init(group, defaults);
    for (size_t i = 0; i < count; i++) {
        const char *item = snapshot + group->items_offset + i * group->item_bytes;
        buf_printf(out, "%s ", group->name);
        print_text(item, out);
        (void)print_fields(group->fields, item, defaults, out);
        buf_put_str(out, "\n");
    }
    mem_free(defaults);
}

void ha_snapshot_print(const struct ha_snapshot *s, struct buf *out)
{
    struct ha_snapshot *defaults = mem_new(struct ha_snapshot);
    ha_snapshot_init(defaults);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        const struct group *group = &groups[i];
        if (group->item_bytes > 0) {
            print_list(group, (const char *)s, out);
            continue;
        }
        struct buf line = BUF_INIT;
        if (print_fields(group->fields, (const char *)s, (const char *)defaults, &line)) {
            buf_put_str(out, group->name);
            buf_put_span(out, buf_span(&line));
            buf_put_str(out, "\n");
        }
        buf_free(&line);
    }
    mem_free(defaults);
}

static void print_action(const struct ha_plan *plan, const struct ha_action *action,
                         struct buf *out)
{
    buf_put_str(out, ha_action_name(action->type));
    if (action->member[0] != '\0') {
        buf_printf(out, " member=%s", action->member);
    }
    if (action->remote) {
        buf_put_str(out, " remote=yes");
    }
    if (action->type == HA_WRITE_INITIALIZE) {
        buf_put_str(out, " text=");
        print_text(action->text, out);
    }
    if (action->epoch.revision != 0) {
        buf_put_str(out, " epoch=");
        print_epoch(action->epoch, out);
    }
    if (action->timeline != 0) {
        buf_printf(out, " timeline=%" PRIu32, action->timeline);
    }
    if (action->lsn != 0) {
        buf_printf(out, " lsn=%" PRIX64, action->lsn);
    }
    if (action->revision != 0) {
        buf_printf(out, " revision=%" PRId64, action->revision);
    }
    if (action->exact) {
        buf_put_str(out, " exact=yes");
    }
    if (action->yields) {
        buf_put_str(out, " yields=yes");
    }
    if (action->unfit) {
        buf_put_str(out, " unfit=yes");
    }
    if (action->primary_silent_ms != 0) {
        buf_printf(out, " primary_silent=%" PRId64, action->primary_silent_ms);
    }
    if (action->raft_silent_ms != 0) {
        buf_printf(out, " raft_silent=%" PRId64, action->raft_silent_ms);
    }
    if (action->until_mono_ms != HA_NEVER) {
        buf_printf(out, " until=%" PRId64, action->until_mono_ms);
    }
    if (action->type == HA_ACQUIRE || action->type == HA_DEPOSE) {
        const struct ha_acquire *acquire = &plan->acquire;
        buf_printf(out, " if epoch=%" PRId64 " config=%" PRId64 " sync=%" PRId64,
                   acquire->epoch_revision, acquire->config_revision, acquire->sync_revision);
        if (acquire->unfenced_revision != 0) {
            buf_printf(out, " unfenced=%" PRId64, acquire->unfenced_revision);
        }
        if (acquire->recovered_revision != 0) {
            buf_printf(out, " recovered=%" PRId64, acquire->recovered_revision);
        }
        for (size_t i = 0; i < acquire->report_count; i++) {
            buf_printf(out, " reports/%s=%" PRId64, acquire->reports[i].member,
                       acquire->reports[i].revision);
        }
        buf_put_str(out, acquire->unfenced == HA_UNFENCED_PUT      ? " and put_unfenced"
                         : acquire->unfenced == HA_UNFENCED_REMOVE ? " and remove_unfenced"
                                                                   : "");
    }
    buf_put_str(out, "\n");
}

void ha_plan_print(const struct ha_plan *plan, struct buf *out)
{
    buf_printf(out, "rule %s/%s\nbecause %s\n", plan->situation, plan->rule, plan->reason);
    for (size_t i = 0; i < plan->action_count; i++) {
        print_action(plan, &plan->actions[i], out);
    }
}

/* --- parsing ---------------------------------------------------------------------------------- */

/* A cursor over one line; words are copied out, quotes taken off. */
struct words {
    const char *at;
    const char *end;
};

#define WORD_BYTES 512

/* The next run of characters up to a space, or up to `stop`. False at the end, or if it is too
 * long. */
static bool take(struct words *words, char stop, char ret_word[WORD_BYTES])
{
    size_t len = 0;
    while (words->at < words->end && (*words->at == ' ' || *words->at == '\t')) {
        words->at++;
    }
    bool quoted = words->at < words->end && *words->at == '"';
    bool any = quoted;
    words->at += quoted ? 1 : 0;
    while (words->at < words->end && len < WORD_BYTES - 1) {
        char c = *words->at;
        if (quoted ? c == '"' : c == ' ' || c == '\t' || c == stop) {
            break;
        }
        ret_word[len++] = c;
        words->at++;
        any = true;
    }
    ret_word[len] = '\0';
    if (words->at < words->end && (*words->at == '"' || *words->at == stop)) {
        words->at++;
    }
    return any && len < WORD_BYTES - 1;
}

static bool number(const char *text, int base, uint64_t max, uint64_t *ret_value)
{
    char *end = NULL;
    errno = 0;
    *ret_value = strtoull(text, &end, base);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *ret_value <= max;
}

static bool set_number(const struct field *field, char *at, const char *text)
{
    uint64_t value = 0;
    switch (field->kind) {
    case KIND_I64:
        if (strcmp(text, "never") == 0) {
            *(int64_t *)(void *)at = HA_NEVER;
            return true;
        }
        if (!number(text, 10, INT64_MAX, &value)) {
            return false;
        }
        *(int64_t *)(void *)at = (int64_t)value;
        return true;
    case KIND_INT:
        if (!number(text, 10, INT32_MAX, &value)) {
            return false;
        }
        *(int *)(void *)at = (int)value;
        return true;
    case KIND_LSN:
    case KIND_HEX: return number(text, 16, UINT64_MAX, (uint64_t *)(void *)at);
    case KIND_U32:
    case KIND_UINT:
    case KIND_BOOL:
    case KIND_TEXT:
    case KIND_EPOCH:
    case KIND_ENUM: break;
    }
    if (!number(text, 10, UINT32_MAX, &value)) {
        return false;
    }
    *(uint32_t *)(void *)at = (uint32_t)value;
    return true;
}

static bool set_value(const struct field *field, char *at, const char *text)
{
    switch (field->kind) {
    case KIND_BOOL:
        *(bool *)(void *)at = strcmp(text, "yes") == 0;
        return strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
    case KIND_TEXT: return snprintf(at, field->bytes, "%s", text) < (int)field->bytes;
    case KIND_EPOCH: return ha_epoch_parse(text, (struct ha_epoch *)(void *)at);
    case KIND_ENUM:
        for (int i = 0; field->words[i] != NULL; i++) {
            if (strcmp(field->words[i], text) == 0) {
                *(int *)(void *)at = i;
                return true;
            }
        }
        return false;
    case KIND_I64:
    case KIND_U32:
    case KIND_UINT:
    case KIND_INT:
    case KIND_LSN:
    case KIND_HEX: break;
    }
    return set_number(field, at, text);
}

static int parse_fields(struct words *words, const struct field *fields, char *object,
                        struct error *err)
{
    char key[WORD_BYTES];
    char value[WORD_BYTES];
    while (take(words, '=', key)) {
        const struct field *field = fields;
        while (field->key != NULL && strcmp(field->key, key) != 0) {
            field++;
        }
        if (field->key == NULL) {
            return error_set(err, ERR_INVALID, "no field '%s'", key);
        }
        if (!take(words, '\0', value) || !set_value(field, object + field->offset, value)) {
            return error_set(err, ERR_INVALID, "field '%s' has a bad value", key);
        }
    }
    return 0;
}

/* The element of that name, made if it is not there; NULL = no room. */
static char *list_item(const struct group *group, char *snapshot, const char *name)
{
    size_t count = 0;
    memcpy(&count, snapshot + group->count_offset, sizeof count);
    for (size_t i = 0; i < count; i++) {
        char *item = snapshot + group->items_offset + i * group->item_bytes;
        if (strcmp(item, name) == 0) {
            return item;
        }
    }
    if (count == HA_MEMBERS_MAX || strlen(name) >= group->name_bytes) {
        return NULL;
    }
    char *item = snapshot + group->items_offset + count * group->item_bytes;
    item_init(group, item);
    (void)snprintf(item, group->name_bytes, "%s", name);
    count++;
    memcpy(snapshot + group->count_offset, &count, sizeof count);
    return item;
}

static int parse_line(struct words *words, struct ha_snapshot *s, struct error *err)
{
    char word[WORD_BYTES];
    if (!take(words, ' ', word) || word[0] == '#') {
        return 0;
    }
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        const struct group *group = &groups[i];
        char *object = (char *)s;
        if (strcmp(group->name, word) != 0) {
            continue;
        }
        if (group->item_bytes > 0) {
            object = take(words, ' ', word) ? list_item(group, object, word) : NULL;
        }
        if (object == NULL) {
            return error_set(err, ERR_INVALID, "'%s' without a name, or too many of them",
                             group->name);
        }
        return parse_fields(words, group->fields, object, err);
    }
    return error_set(err, ERR_INVALID, "no group '%s'", word);
}

int ha_snapshot_parse(const char *text, struct ha_snapshot *ret_snapshot, struct error *err)
{
    struct ha_snapshot *s = mem_new(struct ha_snapshot);
    int rc = 0;
    ha_snapshot_init(s);
    unsigned line = 1;
    for (const char *at = text; *at != '\0' && rc == 0; line++) {
        size_t len = strcspn(at, "\n");
        struct words words = {at, at + len};
        rc = parse_line(&words, s, err);
        at += len + (at[len] == '\n' ? 1 : 0);
        if (rc != 0) {
            error_wrap(err, "line %u", line);
        }
    }
    if (rc == 0) {
        *ret_snapshot = *s;
    }
    mem_free(s);
    return rc;
}
