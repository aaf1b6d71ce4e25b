/* Questions about a snapshot. A fact that is not known answers "no" to whatever would permit
 * something. */
#include "agent/ha/ha_facts.h"

#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_timeline.h"

#include <string.h>

bool ha_is_me(const struct ha_snapshot *s, const char *name)
{
    return name[0] != '\0' && strcmp(s->self.name, name) == 0;
}

static bool is_later(const struct ha_snapshot *s, struct ha_epoch epoch)
{
    /* An epoch is a revision of the store: a view that does not reach it was made before. */
    return epoch.cluster == s->cluster.cluster_id && epoch.revision > s->cluster.revision;
}

bool ha_view_is_old(const struct ha_snapshot *s)
{
    return is_later(s, s->fence.page_epoch) || is_later(s, s->self.upstream.epoch) ||
           is_later(s, s->self.withdrawn_epoch) ||
           (s->holding.held && is_later(s, s->holding.epoch));
}

bool ha_unlocked(const struct ha_snapshot *s)
{
    return s->cluster.known && s->cluster.leader[0] == '\0';
}

/* The last epoch is that of another agent of our name. One that does not say whose it is (of
 * Patroni, or of an earlier release) goes by the name. */
static bool is_namesakes(const struct ha_snapshot *s)
{
    const struct ha_cluster *cluster = &s->cluster;
    return cluster->epoch_instance[0] != '\0' && s->self.instance[0] != '\0' &&
           strcmp(cluster->epoch_instance, s->self.instance) != 0 &&
           ha_cluster_epoch(cluster).revision == cluster->epoch_revision;
}

/* What is on our page, or was acquired by this run, needs no name. */
static bool takes_part_in(const struct ha_snapshot *s, struct ha_epoch epoch)
{
    return epoch.revision != 0 && (ha_epoch_equal(s->fence.page_epoch, epoch) ||
                                   (s->holding.held && ha_epoch_equal(s->holding.epoch, epoch)));
}

bool ha_last_holder_is_me(const struct ha_snapshot *s)
{
    return ha_is_me(s, ha_cluster_last_holder(&s->cluster)) &&
           (!is_namesakes(s) || takes_part_in(s, ha_cluster_epoch(&s->cluster)));
}

bool ha_key_is_ours(const struct ha_snapshot *s)
{
    bool last = s->cluster.leader_epoch.revision == ha_cluster_epoch(&s->cluster).revision;
    return s->cluster.known && ha_is_me(s, s->cluster.leader) &&
           (!last || !is_namesakes(s) || takes_part_in(s, s->cluster.leader_epoch));
}

bool ha_key_is_others(const struct ha_snapshot *s)
{
    return s->cluster.known && s->cluster.leader[0] != '\0' && !ha_key_is_ours(s);
}

bool ha_name_is_taken(const struct ha_snapshot *s)
{
    return s->self.namesake[0] != '\0' &&
           !(ha_key_is_ours(s) && takes_part_in(s, s->cluster.leader_epoch));
}

bool ha_holds_key(const struct ha_snapshot *s)
{
    return ha_key_is_ours(s) && s->holding.held &&
           ha_epoch_equal(s->holding.epoch, s->cluster.leader_epoch);
}

bool ha_lease_is_valid(const struct ha_snapshot *s)
{
    return ha_holds_key(s) && s->now_lease_ms < s->holding.soft_lease_ms;
}

bool ha_page_is_over(const struct ha_snapshot *s)
{
    return s->fence.over || s->fence.fired;
}

bool ha_armed_for_key(const struct ha_snapshot *s)
{
    return ha_key_is_ours(s) && s->fence.armed && !ha_page_is_over(s) &&
           ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch);
}

bool ha_deadline_binds(const struct ha_snapshot *s)
{
    bool finds_it = !s->fence.adopted || s->fence.knows_directory;
    return s->fence.armed && !ha_page_is_over(s) && finds_it;
}

bool ha_page_is_open(const struct ha_snapshot *s)
{
    return s->fence.page_epoch.revision != 0 && !s->fence.armed && !s->fence.over;
}

bool ha_open_for_key(const struct ha_snapshot *s)
{
    return ha_key_is_ours(s) && ha_page_is_open(s) &&
           ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch);
}

/* It names the last epoch, which was ours; or the one on our page, which an acquisition on etcd v2
 * that stopped half-way, ours or another's, has left behind. One that we have not passed over in
 * such a way is not ours, though the epoch was swapped for us. */
bool ha_unfenced_is_own(const struct ha_snapshot *s)
{
    struct ha_epoch unfenced = s->cluster.unfenced;
    if (!s->cluster.known || s->cluster.unfenced_revision == 0 || unfenced.revision == 0 ||
        unfenced.cluster != s->cluster.cluster_id) {
        return false;
    }
    return ha_epoch_equal(unfenced, s->fence.page_epoch) ||
           (ha_epoch_equal(unfenced, ha_cluster_epoch(&s->cluster)) && ha_last_holder_is_me(s));
}

bool ha_unfenced_is_passed_over(const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    return s->cluster.unfenced_revision > 0 && s->cluster.unfenced.revision > 0 &&
           ha_failover_is_due(s) && failover->leader[0] == '\0' && failover->candidate[0] != '\0' &&
           ha_epoch_equal(failover->over_unfenced, s->cluster.unfenced);
}

bool ha_passes_unfenced(const struct ha_snapshot *s)
{
    return ha_unfenced_is_passed_over(s) && ha_is_me(s, s->cluster.failover.candidate);
}

bool ha_unfenced_binds(const struct ha_snapshot *s)
{
    return s->cluster.unfenced_revision > 0 && !ha_unfenced_is_own(s) && !ha_passes_unfenced(s);
}

/* Patroni's leaders leave no `epoch`; a promotion of theirs shows in `/history`, and before that in
 * what its maker and whoever follows it have published. */
static bool is_later_timeline(const struct ha_snapshot *s, uint32_t timeline)
{
    if (timeline == 0) {
        return false;
    }
    bool later = s->cluster.history_timeline > timeline;
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        later = later || (member->timeline > timeline && !ha_is_me(s, member->name));
    }
    for (size_t i = 0; i < s->peer_count; i++) {
        later = later || s->peers[i].timeline > timeline;
    }
    return later;
}

bool ha_last_epoch_is_ours(const struct ha_snapshot *s)
{
    if (!s->cluster.known || ha_cluster_epoch(&s->cluster).revision == 0 ||
        !ha_last_holder_is_me(s)) {
        return false;
    }
    /* Known from the leader key alone (Patroni ran here before us): nobody has named its number. */
    bool named = s->cluster.seen_revision <= s->cluster.epoch_revision;
    return !is_later_timeline(s, named ? s->cluster.epoch_timeline : ha_timeline_own(s));
}

bool ha_no_epoch(const struct ha_snapshot *s)
{
    return s->cluster.known && ha_cluster_epoch(&s->cluster).revision == 0 &&
           !is_later_timeline(s, ha_timeline_own(s));
}

bool ha_was_primary(const struct ha_snapshot *s)
{
    if (s->self.standby_signal || s->self.backup_label) {
        return false;
    }
    switch (s->self.control_state) {
    case PG_CONTROL_SHUT_DOWN:
    case PG_CONTROL_SHUTTING_DOWN:
    case PG_CONTROL_IN_CRASH_RECOVERY:
    case PG_CONTROL_IN_PRODUCTION: return true;
    case PG_CONTROL_UNKNOWN:
    case PG_CONTROL_STARTING_UP:
    case PG_CONTROL_SHUT_DOWN_IN_RECOVERY:
    case PG_CONTROL_IN_ARCHIVE_RECOVERY: break;
    }
    return false;
}

bool ha_runs_as(const struct ha_snapshot *s, enum pg_role role)
{
    return s->self.run == HA_RUN_RUNNING && s->self.role == role;
}

bool ha_may_be_promoted(const struct ha_snapshot *s)
{
    bool armed_by_earlier_run = s->fence.page_epoch.revision != 0 &&
                                !ha_epoch_equal(s->fence.page_epoch, s->holding.acquired);
    return s->self.promote_sent || armed_by_earlier_run;
}

bool ha_is_down(const struct ha_snapshot *s)
{
    return s->self.run == HA_RUN_STOPPED || s->self.run == HA_RUN_CRASHED;
}

bool ha_is_initialized(const struct ha_snapshot *s)
{
    return s->cluster.known && ha_initialize_is_valid(s->cluster.initialize);
}

bool ha_is_foreign(const struct ha_snapshot *s)
{
    return ha_is_initialized(s) && s->self.system_id[0] != '\0' &&
           strcmp(s->self.system_id, s->cluster.initialize) != 0;
}

static bool is_reachable(const struct ha_member *member)
{
    return member != NULL && member->conn_url[0] != '\0';
}

const struct ha_member *ha_leader_member(const struct ha_snapshot *s)
{
    if (!ha_key_is_others(s)) {
        return NULL;
    }
    const struct ha_member *member = ha_cluster_member(&s->cluster, s->cluster.leader);
    return is_reachable(member) && !ha_is_me(s, member->name) ? member : NULL;
}

const struct ha_member *ha_leader_primary(const struct ha_snapshot *s)
{
    const struct ha_member *leader = ha_leader_member(s);
    const char *role = s->settings.standby_cluster ? "standby_leader" : "primary";
    if (leader == NULL || strcmp(leader->role, role) != 0 ||
        strcmp(leader->state, "running") != 0) {
        return NULL;
    }
    return leader;
}

/* The timeline that the leader's standbys are to be on: it may not have said yet that it has made
 * it. */
static uint32_t leader_timeline(const struct ha_snapshot *s)
{
    const struct ha_cluster *cluster = &s->cluster;
    const struct ha_member *leader = ha_cluster_member(cluster, cluster->leader);
    if (cluster->epoch_timeline != 0 && strcmp(cluster->epoch_holder, cluster->leader) == 0 &&
        !s->settings.standby_cluster) {
        return cluster->epoch_timeline;
    }
    return leader == NULL ? 0 : leader->timeline;
}

/* Our Raft member hears whose node lives; where it hears nobody of that name, the member's key has
 * to do. */
static bool is_silent(const struct ha_snapshot *s, const char *name)
{
    const struct ha_peer *peer = ha_peer(s, name);
    return peer != NULL && peer->silent_ms == 0 && !ha_is_heard(s, name);
}

/* Nothing has come from it for too long, whatever it says of itself: WAL that we need may be gone
 * there, and be here still with the leader. */
static bool is_given_up(const struct ha_snapshot *s, const struct ha_member *member)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    int64_t left_ms = s->self.cascade_left_mono_ms;
    if (left_ms != HA_NEVER && s->now_mono_ms - left_ms < HA_CASCADE_AGAIN_MS) {
        return true;
    }
    return upstream->known && !upstream->detached && !upstream->streaming &&
           strcmp(upstream->name, member->name) == 0 &&
           ha_epoch_equal(upstream->epoch, s->cluster.leader_epoch) &&
           upstream->streaming_lost_mono_ms != HA_NEVER &&
           s->now_mono_ms - upstream->streaming_lost_mono_ms >= HA_NOT_STREAMING_MS;
}

/* A member that still writes, or has not come to the leader's timeline, would send what the leader
 * does not have. */
static bool is_fit_to_send(const struct ha_snapshot *s, const struct ha_member *member)
{
    uint32_t timeline = leader_timeline(s);
    return is_reachable(member) && strcmp(member->state, "running") == 0 &&
           strcmp(member->role, "primary") != 0 && member->timeline >= timeline &&
           !is_silent(s, member->name) && !is_given_up(s, member);
}

const struct ha_member *ha_wanted_upstream(const struct ha_snapshot *s)
{
    const struct ha_member *leader = ha_leader_member(s);
    if (s->self.tags.nostream || leader == NULL) {
        return NULL;
    }
    const struct ha_member *named =
        ha_cluster_cascade(&s->cluster, s->self.name, s->self.tags.replicatefrom);
    return named != NULL && named != leader && is_fit_to_send(s, named) ? named : leader;
}

bool ha_follows(const struct ha_snapshot *s, const struct ha_member *wanted)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    if (wanted == NULL) {
        return upstream->known && upstream->detached;
    }
    return upstream->known && !upstream->detached && !upstream->remote &&
           strcmp(upstream->name, wanted->name) == 0 &&
           strcmp(upstream->conn_url, wanted->conn_url) == 0 &&
           ha_epoch_equal(upstream->epoch, s->cluster.leader_epoch);
}

const struct ha_peer *ha_peer(const struct ha_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->peer_count; i++) {
        if (strcmp(s->peers[i].name, name) == 0) {
            return &s->peers[i];
        }
    }
    return NULL;
}

int64_t ha_heard_until(const struct ha_snapshot *s, const char *name)
{
    const struct ha_peer *peer = ha_peer(s, name);
    if (peer == NULL || peer->heard_mono_ms == HA_NEVER) {
        return HA_NEVER;
    }
    int64_t until_ms = peer->heard_mono_ms +
                       (peer->silent_ms > 0 ? peer->silent_ms : s->settings.election_timeout_ms);
    return s->now_mono_ms <= until_ms ? until_ms : HA_NEVER;
}

bool ha_is_heard(const struct ha_snapshot *s, const char *name)
{
    return ha_heard_until(s, name) != HA_NEVER;
}

bool ha_report_is_current(const struct ha_snapshot *s, const struct ha_report *report)
{
    return report != NULL && report->valid && !report->withdrawn &&
           ha_epoch_equal(report->epoch, ha_cluster_epoch(&s->cluster)) &&
           (report->system_id[0] == '\0' || strcmp(report->system_id, s->cluster.initialize) == 0);
}

static int64_t backoff_until(const struct ha_snapshot *s, unsigned failures, int64_t failed_ms)
{
    if (failures == 0 || failed_ms == HA_NEVER) {
        return HA_NEVER;
    }
    int64_t wait_ms = HA_BACKOFF_MS_MIN;
    for (unsigned i = 1; i < failures && wait_ms < HA_BACKOFF_MS_MAX; i++) {
        wait_ms *= 2;
    }
    wait_ms = wait_ms > HA_BACKOFF_MS_MAX ? HA_BACKOFF_MS_MAX : wait_ms;
    return s->now_mono_ms < failed_ms + wait_ms ? failed_ms + wait_ms : HA_NEVER;
}

int64_t ha_job_backoff_until(const struct ha_snapshot *s, enum ha_job_kind kind)
{
    if (s->job.kind != kind || s->job.running || !s->job.failed) {
        return HA_NEVER;
    }
    return backoff_until(s, s->job.failures, s->job.ended_mono_ms);
}

bool ha_leader_has_lost(const struct ha_snapshot *s)
{
    return s->self.rejoin.divergence == HA_DIVERGENCE_LOST &&
           ha_epoch_equal(s->self.rejoin.epoch, s->cluster.leader_epoch);
}

bool ha_leader_was_behind(const struct ha_snapshot *s)
{
    uint32_t lost = s->self.rejoin.lost_timeline;
    return lost != 0 && ha_key_is_others(s) && lost == leader_timeline(s);
}

bool ha_commits_may_have_waited(const struct ha_snapshot *s)
{
    return s->settings.synchronous_mode || s->cluster.sync_revision != 0;
}

/* Commits were acknowledged because this member had them, or the last leader had. A copy of a
 * standby that is behind would report, and win, without them. The mode may have been switched off
 * since, and be switched on again, while nobody led who could take the key away. */
bool ha_is_counted_on(const struct ha_snapshot *s)
{
    const struct ha_sync_key *sync = &s->cluster.sync;
    return sync->unreadable || ha_sync_key_has(sync, s->self.name);
}

bool ha_is_replicating(const struct ha_snapshot *s, const char *name, uint64_t *ret_lsn)
{
    for (size_t i = 0; i < s->self.replica_count; i++) {
        if (strcmp(s->self.replicas[i].name, name) == 0) {
            *ret_lsn = s->self.replicas[i].lsn;
            return true;
        }
    }
    return false;
}

int64_t ha_check_backoff_until(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    bool undecided = ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch) &&
                     rejoin->divergence == HA_DIVERGENCE_UNKNOWN &&
                     rejoin->checked_mono_ms != HA_NEVER;
    int64_t again_ms = rejoin->checked_mono_ms + HA_BACKOFF_MS_MIN;
    if (undecided && s->now_mono_ms < again_ms) {
        return again_ms; /* it was answered, and that was not enough to judge */
    }
    return ha_job_backoff_until(s, HA_JOB_CHECK_DIVERGENCE);
}

int64_t ha_start_backoff_until(const struct ha_snapshot *s)
{
    return backoff_until(s, s->self.start_failures, s->self.start_failed_mono_ms);
}

bool ha_must_withdraw(const struct ha_snapshot *s)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    /* Taken back already, unless another report for it came after that. */
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    bool stands = own != NULL && own->valid && !own->withdrawn &&
                  ha_epoch_equal(own->epoch, s->cluster.leader_epoch);
    if (!stands && ha_epoch_equal(s->self.withdrawn_epoch, s->cluster.leader_epoch)) {
        return false;
    }
    if (!upstream->known) {
        return true; /* a report of an earlier run may still be under way */
    }
    if (!upstream->detached) {
        return false;
    }
    /* A later epoch than the one it left may be followed at once. An unknown one (revision 0 is
     * not: then there was no epoch yet) of another store's cluster is treated as the present one.
     */
    return upstream->epoch.cluster != s->cluster.leader_epoch.cluster ||
           upstream->epoch.revision >= s->cluster.leader_epoch.revision;
}
