/* What no plan may do, stated without a look at the rules: a second opinion, asserted on every
 * plan. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_timeline.h"
#include "agent/ha/ha_watchdog.h"

#include <stddef.h>
#include <string.h>

/* What earlier actions of the same plan bring about. */
struct ahead {
    bool armed;
    bool disarmed;
    bool over;
    bool unfenced_put;
    bool unfenced_removed;
    bool initialize_put;
};

static const char *check_writable(const struct ha_snapshot *s, const struct ahead *ahead)
{
    if (!ha_lease_is_valid(s)) {
        return "an instance becomes writable without the leader key and a valid lease";
    }
    if (!ahead->armed && !ha_armed_for_key(s)) {
        return "an instance becomes writable without an armed page";
    }
    if (ha_watchdog_is_missing(s)) {
        return "an instance becomes writable without the watchdog that is required";
    }
    return ha_is_foreign(s) ? "an instance of another cluster becomes writable" : NULL;
}

static const char *check_start_primary(const struct ha_snapshot *s, const struct ahead *ahead)
{
    if (s->settings.standby_cluster && !s->settings.paused) {
        return "starts a primary in a standby cluster";
    }
    if (s->self.directory != PG_DIR_VALID) {
        return "starts a primary from a directory that is not whole";
    }
    if (ha_fence_bars(s) && !s->settings.paused) {
        return "starts a primary beside a fence that does not answer";
    }
    return ha_timeline_is_unreserved(s) ? "serves on a timeline that no acquisition reserved"
                                        : check_writable(s, ahead);
}

static const char *check_promote(const struct ha_snapshot *s, const struct ahead *ahead,
                                 const struct ha_action *action)
{
    if (!ha_runs_as(s, PG_STANDBY) || s->self.promote_sent) {
        return "promotes what is no standby, or twice";
    }
    if (action->timeline <= s->self.timeline || action->timeline != s->cluster.epoch_timeline) {
        return "promotes to a timeline that the acquisition did not reserve";
    }
    if (s->settings.refused[0] != '\0') {
        return "promotes under a configuration that is not served";
    }
    if (s->settings.standby_cluster) {
        return "promotes in a standby cluster";
    }
    if (!ha_armed_for_key(s) && s->cluster.config_revision > s->cluster.leader_epoch.revision) {
        return "promotes in a term that may have been that of a standby cluster";
    }
    return ha_promotion_barred(s) != NULL ? "promotes in pause and unasked, or what could not run"
                                          : check_writable(s, ahead);
}

static bool is_page_over(const struct ha_snapshot *s, const struct ahead *ahead)
{
    return s->fence.page_epoch.revision == 0 || s->fence.over || ahead->over || ahead->disarmed;
}

static const char *check_release(const struct ha_snapshot *s, const struct ahead *ahead,
                                 const struct ha_action *action)
{
    if (!ha_key_is_ours(s) || !ha_epoch_equal(action->epoch, s->cluster.leader_epoch)) {
        return "releases an epoch that is not the key's, or not ours";
    }
    bool never_writable = ha_runs_as(s, PG_STANDBY) && !ha_may_be_promoted(s);
    if (!never_writable && !(ha_is_down(s) && s->fence.all_gone)) {
        return "releases the key while something may still write";
    }
    if (ha_unfenced_is_own(s) && !ahead->unfenced_removed) {
        return "releases the key and leaves its own unfenced behind";
    }
    return is_page_over(s, ahead) ? NULL : "releases the key while the page still has an epoch";
}

/* Synchronous mode: quorum + 1 of the members of /sync, the candidate among them. Only an operator
 * may pass over it, and only by name. */
static bool is_confirmed(const struct ha_snapshot *s, const struct ha_plan *plan)
{
    const struct ha_sync_key *sync = &s->cluster.sync;
    const struct ha_failover *failover = &s->cluster.failover;
    bool ordered = failover->present && failover->leader[0] == '\0' &&
                   failover->revision >= ha_cluster_epoch(&s->cluster).revision &&
                   ha_is_me(s, failover->candidate);
    unsigned count = 0;
    if (!s->settings.synchronous_mode || ordered || (!sync->present && !sync->unreadable)) {
        return true;
    }
    for (size_t i = 0; i < plan->acquire.report_count; i++) {
        count += ha_sync_key_has(sync, plan->acquire.reports[i].member) ? 1 : 0;
    }
    return !sync->unreadable && ha_sync_key_has(sync, s->self.name) && count > sync->quorum;
}

/* Nobody acquires past an instance that may write without a deadline, but its own holder, or on the
 * operator's order; and our own stays told as long as it runs so. */
static const char *check_acquire_unfenced(const struct ha_snapshot *s, const struct ha_plan *plan)
{
    const struct ha_acquire *acquire = &plan->acquire;
    if (acquire->unfenced_revision != s->cluster.unfenced_revision) {
        return "acquires without comparing what was seen";
    }
    if (ha_unfenced_binds(s)) {
        return "acquires past an instance that runs unfenced";
    }
    bool may_write = s->settings.paused || s->cluster.unfenced_revision > 0;
    bool disarmed =
        ha_page_is_open(s) || (ha_runs_as(s, PG_PRIMARY) && !ha_deadline_binds(s) && may_write);
    if (disarmed && !ha_passes_unfenced(s) && acquire->unfenced != HA_UNFENCED_PUT) {
        return "acquires and forgets that its own fence is disarmed";
    }
    return s->settings.paused && !ha_runs_as(s, PG_PRIMARY) && !ha_failover_is_due(s) &&
                   !s->self.stop_ordered
               ? "acquires by itself in pause"
               : NULL;
}

static const char *check_acquire(const struct ha_snapshot *s, const struct ha_plan *plan)
{
    if (!ha_unlocked(s) || s->holding.acquiring) {
        return "acquires a key that is there, or twice at a time";
    }
    if (ha_failsafe_binds(s)) {
        return "acquires against a promise to a primary in failsafe mode";
    }
    if (plan->acquire.epoch_revision != s->cluster.epoch_revision ||
        plan->acquire.config_revision != s->cluster.config_revision ||
        plan->acquire.sync_revision != s->cluster.sync_revision) {
        return "acquires without comparing what was seen";
    }
    const char *unfenced = check_acquire_unfenced(s, plan);
    if (unfenced != NULL) {
        return unfenced;
    }
    if (ha_awaits_order(s) || plan->acquire.recovered_revision != s->cluster.recovered_revision) {
        return "acquires in a recovered store without the operator's order";
    }
    bool cut_off = s->settings.standby_cluster && s->self.directory == PG_DIR_UNFINISHED &&
                   s->self.unfinished == PG_UNFINISHED_CLONE;
    bool no_data =
        s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY || cut_off;
    if (no_data && ha_no_epoch(s) && !s->settings.standby_cluster &&
        ha_partner_with_data(s) != NULL) {
        return "makes a cluster beside a member that has data";
    }
    if (no_data) {
        return ha_is_initialized(s) ? "acquires without data in a cluster that has some" : NULL;
    }
    if (ha_is_down(s) && ha_partner_newer(s) != NULL) {
        return "takes the key beside a member that has newer data";
    }
    bool last_holder = ha_last_epoch_is_ours(s) || ha_no_epoch(s);
    bool startable = s->self.directory == PG_DIR_VALID || s->settings.standby_cluster;
    if (last_holder &&
        (ha_runs_as(s, PG_PRIMARY) || (ha_is_down(s) && ha_was_primary(s) && startable))) {
        return NULL;
    }
    bool promised =
        ha_runs_as(s, PG_STANDBY) && s->self.position_known && s->self.upstream.detached;
    bool reserved = s->settings.standby_cluster ? plan->acquire.timeline >= s->self.timeline
                                                : plan->acquire.timeline > s->self.timeline;
    bool counted = plan->acquire.report_count > 0 && reserved;
    if (promised && counted && !is_confirmed(s, plan)) {
        return "acquires without the reports that synchronous mode asks for";
    }
    return promised && counted
               ? NULL
               : "acquires as a standby that has not reported, or for a timeline that exists";
}

static const char *check_unfence(const struct ha_snapshot *s, const struct ahead *ahead,
                                 const struct ha_action *action)
{
    if (!ha_lease_is_valid(s) || !ha_epoch_equal(action->epoch, s->cluster.leader_epoch)) {
        return "disarms without the lease";
    }
    if (action->type == HA_PUT_UNFENCED) {
        return NULL;
    }
    return s->settings.paused && ahead->unfenced_put
               ? NULL
               : "disarms what nobody was told of, or unasked";
}

static const char *check_remove_unfenced(const struct ha_snapshot *s, const struct ahead *ahead)
{
    bool writes_on = ha_runs_as(s, PG_PRIMARY) && !ha_deadline_binds(s);
    bool bound = ahead->armed || ahead->over || ((s->fence.armed || s->fence.over) && !writes_on);
    return bound ? NULL : "removes unfenced while the page is neither armed nor over";
}

/* Invariant I14. */
static const char *check_paused(const struct ha_snapshot *s, const struct ha_action *action)
{
    enum ha_action_type type = action->type;
    bool unasked = !s->cluster.failover.present && !s->self.stop_ordered &&
                   s->reinit.phase != HA_REINIT_COPYING;
    bool stops = type == HA_STOP_FAST || type == HA_STOP_IMMEDIATE;
    bool starts = type == HA_START_PRIMARY || type == HA_START_STANDBY;
    bool rebuilds = type == HA_REWIND || type == HA_REMOVE_DATA || type == HA_CLONE ||
                    type == HA_BOOTSTRAP || type == HA_MOVE_ASIDE;
    if (!s->settings.paused) {
        return NULL;
    }
    bool ordered = s->reinit.phase != HA_REINIT_NONE &&
                   (type == HA_REMOVE_DATA || (type == HA_CLONE && action->member[0] != '\0'));
    if (rebuilds && !ordered) {
        return "makes or destroys data in pause";
    }
    if (type == HA_KILL || type == HA_ABANDON) {
        return "kills in pause";
    }
    if (unasked && stops && ha_runs_as(s, PG_PRIMARY)) {
        return "stops a primary in pause";
    }
    return unasked && starts ? "starts PostgreSQL in pause" : NULL;
}

/* A second look at every condition: two writers are what this brings about, and only the reports
 * keep what was acknowledged. */
static const char *check_depose(const struct ha_snapshot *s, const struct ha_plan *plan,
                                const struct ha_action *action)
{
    const struct ha_sync_key *sync = &s->cluster.sync;
    unsigned count = 0;
    if (!ha_depose_is_due(s) || s->holding.acquiring) {
        return "ends a lease that is not to be ended, or twice at a time";
    }
    if (!ha_epoch_equal(action->epoch, s->cluster.leader_epoch) ||
        plan->acquire.epoch_revision != action->epoch.revision ||
        plan->acquire.config_revision != s->cluster.config_revision ||
        plan->acquire.sync_revision != s->cluster.sync_revision ||
        plan->acquire.unfenced_revision != 0 || plan->acquire.unfenced != HA_UNFENCED_LEAVE) {
        return "ends a lease without comparing what was seen";
    }
    for (size_t i = 0; i < plan->acquire.report_count; i++) {
        const struct ha_report *report =
            ha_cluster_report(&s->cluster, plan->acquire.reports[i].member);
        bool same = report != NULL && report->revision == plan->acquire.reports[i].revision;
        count += same && ha_depose_counts(s, report) && ha_sync_key_has(sync, report->name) ? 1 : 0;
    }
    bool promised = ha_runs_as(s, PG_STANDBY) && !ha_may_be_promoted(s) && s->self.position_known &&
                    s->self.upstream.detached &&
                    ha_epoch_equal(s->self.upstream.epoch, action->epoch);
    if (!promised || count <= sync->quorum || plan->acquire.timeline <= s->self.timeline) {
        return "ends a lease without the reports that it takes";
    }
    return NULL;
}

/* The section is the operator's word that what the other cluster does not have is given up, the
 * leader's own as well; it was compared in this term. */
static const char *check_rewinds_to_remote(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    bool half_rewound = s->self.unfinished == PG_UNFINISHED_REWIND;
    bool compared = ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch) &&
                    strcmp(rejoin->remote, s->settings.remote) == 0 &&
                    rejoin->divergence == HA_DIVERGENCE_REWIND;
    if (!ha_is_down(s) || !s->fence.all_gone) {
        return "rewinds the data of a running instance";
    }
    if (!s->settings.standby_cluster || !s->settings.remote_streams || ha_unlocked(s) ||
        (ha_key_is_ours(s) && !ha_lease_is_valid(s))) {
        return "rewinds to another cluster, and is no member of a standby cluster that is led";
    }
    if (!compared && !half_rewound) {
        return "rewinds what was not compared";
    }
    if (ha_key_is_ours(s) && s->fence.page_epoch.revision != 0) {
        return "rewinds the holder of the key while the page has an epoch";
    }
    bool ours = ha_is_initialized(s) && strcmp(s->self.system_id, s->cluster.initialize) == 0;
    if (ha_is_foreign(s) || (!ours && !half_rewound)) {
        return "rewinds the data of another cluster";
    }
    return s->settings.rewind_possible ? NULL : "rewinds where that is not configured";
}

/* Invariant I10. */
static const char *check_destroys(const struct ha_snapshot *s, const struct ha_action *action)
{
    if (!ha_is_down(s) || !s->fence.all_gone) {
        return "destroys the data of a running instance";
    }
    if (ha_key_is_ours(s) || ha_last_epoch_is_ours(s)) {
        return "destroys the data of the holder of the newest epoch";
    }
    const struct ha_member *primary = ha_leader_primary(s);
    if (primary == NULL || strcmp(primary->name, action->member) != 0 ||
        !ha_epoch_equal(action->epoch, s->cluster.leader_epoch)) {
        return "destroys data without a primary of now that has it";
    }
    bool ours = ha_is_initialized(s) && strcmp(s->self.system_id, s->cluster.initialize) == 0;
    bool half_rewound =
        s->self.unfinished == PG_UNFINISHED_REWIND; /* its control file may be unreadable */
    if (ha_is_foreign(s) || (!ours && !half_rewound)) {
        return "destroys the data of another cluster";
    }
    if (action->type == HA_REWIND) {
        return s->settings.rewind_possible ? NULL : "rewinds where that is not configured";
    }
    bool ordered = s->reinit.phase == HA_REINIT_ORDERED;
    bool lost = ha_leader_has_lost(s) || (ordered && ha_leader_was_behind(s));
    if (!half_rewound && lost && ha_commits_may_have_waited(s)) {
        return "removes what may be the only copy of acknowledged commits";
    }
    return s->settings.remove_on_diverged || s->settings.remove_on_rewind_failure || ordered
               ? NULL
               : "removes data that no setting gives up";
}

/* The first copy is made under the key, and nobody takes it for a cluster of its own: the section
 * is stored. A later one is any member's, where nobody leads. */
static const char *check_copies_cluster(const struct ha_snapshot *s, const struct ha_plan *plan,
                                        const struct ahead *ahead)
{
    bool stored = s->cluster.config_revision > 0 || ha_plan_has(plan, HA_WRITE_CONFIG);
    bool first = !ha_is_initialized(s) && ha_lease_is_valid(s) && ahead->initialize_put && stored;
    bool again = ha_is_initialized(s) && ha_unlocked(s) && s->settings.remote_streams;
    return s->settings.standby_cluster && (first || again)
               ? NULL
               : "copies another cluster, and this is no standby cluster that lacks its data";
}

static const char *check_makes_directory(const struct ha_snapshot *s, const struct ha_plan *plan,
                                         const struct ahead *ahead, const struct ha_action *action)
{
    bool no_data = s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY;
    bool half_cloned =
        s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_CLONE;
    if (action->type == HA_CLONE && action->remote && (no_data || half_cloned)) {
        return check_copies_cluster(s, plan, ahead);
    }
    if (action->type == HA_CLONE) {
        if (s->reinit.from_leader && strcmp(action->member, s->cluster.leader) != 0) {
            return "clones from another one than the leader";
        }
        bool from_nobody = action->member[0] == '\0' && s->settings.copies_without_leader &&
                           ha_unlocked(s) && !ha_is_counted_on(s);
        bool from_other =
            from_nobody || (action->member[0] != '\0' && !ha_is_me(s, action->member));
        return (no_data || half_cloned) && from_other && ha_is_initialized(s)
                   ? NULL
                   : "clones over data, or from nobody";
    }
    if (action->type == HA_MOVE_ASIDE) {
        bool half_bootstrapped =
            s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_BOOTSTRAP;
        bool unannounced = s->self.directory == PG_DIR_VALID && s->self.unannounced &&
                           ha_is_foreign(s) && ha_key_is_others(s);
        return (half_bootstrapped || unannounced) && ha_is_down(s) && s->fence.all_gone
                   ? NULL
                   : "moves away what is no unfinished bootstrap";
    }
    if (s->settings.standby_cluster) {
        return "bootstraps a primary in a standby cluster";
    }
    if (!no_data || ha_is_initialized(s)) {
        return "bootstraps over data, or a cluster that is there";
    }
    const char *broken = check_writable(s, ahead);
    return broken != NULL || ahead->initialize_put
               ? broken
               : "bootstraps while the name of another cluster may be under way";
}

static const char *check_attach(const struct ha_snapshot *s, const struct ha_action *action)
{
    if (action->remote) {
        if (!ha_leads_standby_cluster(s) || !ha_lease_is_valid(s)) {
            return "follows another cluster without leading a standby cluster";
        }
        return ha_remote_may_be_received(s) ? NULL
                                            : "follows another cluster, and was not compared";
    }
    if (action->member[0] == '\0') {
        return NULL;
    }
    if (ha_is_me(s, action->member) || ha_key_is_ours(s)) {
        return "a holder of the key, or its own standby, follows";
    }
    return ha_must_withdraw(s) ? "follows an epoch for which the promise still stands" : NULL;
}

static const char *check_yield(const struct ha_snapshot *s, const struct ahead *ahead,
                               const struct ha_action *action)
{
    if (!ha_is_down(s) || !s->fence.all_gone) {
        return "gives up while something runs";
    }
    return action->lsn == 0 || is_page_over(s, ahead)
               ? NULL
               : "reports the end of an epoch that may still be gone on with";
}

static const char *check_report(const struct ha_snapshot *s, const struct ahead *ahead,
                                const struct ha_action *action)
{
    if (action->yields) {
        return check_yield(s, ahead, action);
    }
    bool promised =
        s->self.upstream.detached && ha_epoch_equal(s->self.upstream.epoch, action->epoch);
    if (!ha_runs_as(s, PG_STANDBY) || ha_may_be_promoted(s) || !promised ||
        !s->self.position_known) {
        return "reports a position that can still move";
    }
    return ha_unlocked(s) || ha_depose_is_due(s) ? NULL : "reports against who leads";
}

/* What is stopped for a restart has to be what is started again, by itself and at once. */
static const char *check_restart(const struct ha_snapshot *s)
{
    bool startable = ha_lease_is_valid(s) && (ha_armed_for_key(s) || ha_open_for_key(s));
    if (s->restart.phase != HA_RESTART_ORDERED || s->self.run != HA_RUN_RUNNING) {
        return "restarts unasked, or what does not run";
    }
    if (s->restart.role != PG_ROLE_UNKNOWN && s->restart.role != s->self.role) {
        return "restarts what has another role by now";
    }
    if (s->fence.silent) {
        return "restarts beside a fence that starts nothing";
    }
    if (ha_runs_as(s, PG_STANDBY)) {
        return ha_may_be_promoted(s) ? "restarts in the middle of a promotion" : NULL;
    }
    return startable && !ha_timeline_is_unreserved(s)
               ? NULL
               : "restarts a primary that could not be started again";
}

static const char *check_restart_due(const struct ha_snapshot *s)
{
    const struct ha_restart *restart = &s->restart;
    if (s->settings.paused || restart->phase != HA_RESTART_NONE ||
        restart->scheduled_wall_ms == 0 || s->now_wall_ms < restart->scheduled_wall_ms) {
        return "restarts before its time, or in pause";
    }
    return ha_restart_unmet(s, &restart->filter) == NULL ? NULL : "restarts against its conditions";
}

static const char *check_cancel(const struct ha_snapshot *s)
{
    bool waits = s->job.kind == HA_JOB_PROMOTE && !s->self.promote_sent;
    bool given_up = (s->job.kind == HA_JOB_CLONE || s->job.kind == HA_JOB_REWIND) &&
                    s->reinit.phase == HA_REINIT_ORDERED && s->reinit.cancels;
    return s->job.running && (waits || given_up)
               ? NULL
               : "cancels neither a promotion that waits nor what is to be made anew";
}

/* With it goes all that it has started, at once. */
static const char *check_end_fence(const struct ha_snapshot *s)
{
    bool unused = ha_is_down(s) && s->fence.all_gone && !s->job.running;
    return unused && s->fence.silent && !s->settings.paused
               ? NULL
               : "ends a fence that answers, or that may be of use";
}

/* Whatever goes by the name is left to whoever has it. */
static bool goes_by_name(enum ha_action_type type)
{
    return type == HA_ACQUIRE || type == HA_DEPOSE || type == HA_RESUME || type == HA_RELEASE ||
           type == HA_PROMOTE || type == HA_START_PRIMARY || type == HA_WRITE_REPORT ||
           type == HA_WITHDRAW_REPORT;
}

static const char *check_action(const struct ha_snapshot *s, const struct ha_plan *plan,
                                const struct ahead *ahead, const struct ha_action *action)
{
    bool page_unused = (ha_is_down(s) && s->fence.all_gone) ||
                       (ha_runs_as(s, PG_STANDBY) && !ha_may_be_promoted(s));
    if (ha_name_is_taken(s) && goes_by_name(action->type)) {
        return "acts under a name that another agent has";
    }
    switch (action->type) {
    case HA_PROMOTE: return check_promote(s, ahead, action);
    case HA_START_PRIMARY:
        return ha_was_primary(s) ? check_start_primary(s, ahead)
                                 : "starts a standby's data as a primary";
    case HA_ARM: return ha_lease_is_valid(s) ? NULL : "arms a lease that is not valid";
    case HA_RESUME:
        return ha_key_is_ours(s) && s->cluster.recovered_revision == 0
                   ? NULL
                   : "goes on with an epoch that is not ours, or of before a recovery";
    case HA_FENCE_OVER:
        return ha_is_down(s) && s->fence.all_gone ? NULL : "ends the epoch of what still runs";
    case HA_DISARM: return page_unused ? NULL : "disarms what may write";
    case HA_PUT_UNFENCED:
    case HA_UNFENCE: return check_unfence(s, ahead, action);
    case HA_REMOVE_UNFENCED: return check_remove_unfenced(s, ahead);
    case HA_RELEASE: return check_release(s, ahead, action);
    case HA_ACQUIRE: return check_acquire(s, plan);
    case HA_DEPOSE: return check_depose(s, plan, action);
    case HA_DETACH:
        return ha_unlocked(s) || ha_depose_is_due(s) || s->self.tags.nostream
                   ? NULL
                   : "stops receiving from who leads";
    case HA_REWIND:
    case HA_REMOVE_DATA:
        return action->remote ? check_rewinds_to_remote(s) : check_destroys(s, action);
    case HA_BOOTSTRAP:
    case HA_CLONE:
    case HA_MOVE_ASIDE: return check_makes_directory(s, plan, ahead, action);
    case HA_FOLLOW:
    case HA_START_STANDBY: return check_attach(s, action);
    case HA_REMOVE_SYNC:
        return ha_lease_is_valid(s) && ha_follows_remote(s) && s->self.upstream.streaming
                   ? NULL
                   : "forgets whom commits have waited for, and follows no other cluster";
    case HA_WRITE_REPORT: return check_report(s, ahead, action);
    case HA_WRITE_CONFIG:
    case HA_WRITE_HISTORY:
    case HA_WRITE_STATUS:
    case HA_WRITE_FAILSAFE:
    case HA_CLEAR_FAILOVER:
        return ha_lease_is_valid(s) ? NULL : "writes a leader's key without the lease";
    case HA_ABANDON:
        return action->epoch.revision != 0 && ha_epoch_equal(action->epoch, s->fence.page_epoch)
                   ? NULL
                   : "abandons an epoch that the page does not have";
    case HA_END_FENCE: return check_end_fence(s);
    case HA_STOP_RESTART: return check_restart(s);
    case HA_ORDER_RESTART: return check_restart_due(s);
    case HA_CANCEL: return check_cancel(s);
    case HA_KILL:
    case HA_WAIT:
    case HA_WRITE_INITIALIZE:
    case HA_WITHDRAW_REPORT:
    case HA_CHECKPOINT:
    case HA_STOP_FAST:
    case HA_STOP_IMMEDIATE:
    case HA_DROP_RESTART:
    case HA_DROP_SCHEDULED:
    case HA_DROP_REINIT:
    case HA_CHECK_DIVERGENCE:
    case HA_SYNC_SLOTS:
    case HA_EXIT: break;
    }
    return NULL;
}

const char *ha_check(const struct ha_snapshot *s, const struct ha_plan *plan)
{
    struct ahead ahead = {0};
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct ha_action *action = &plan->actions[i];
        const char *broken = check_action(s, plan, &ahead, action);
        broken = broken != NULL ? broken : check_paused(s, action);
        if (broken != NULL) {
            return broken;
        }
        ahead.armed = ahead.armed || action->type == HA_ARM;
        ahead.disarmed = ahead.disarmed || action->type == HA_DISARM;
        ahead.over = ahead.over || action->type == HA_FENCE_OVER;
        ahead.unfenced_put = ahead.unfenced_put || action->type == HA_PUT_UNFENCED;
        ahead.initialize_put = ahead.initialize_put || action->type == HA_WRITE_INITIALIZE;
        ahead.unfenced_removed = ahead.unfenced_removed || action->type == HA_REMOVE_UNFENCED;
    }
    return NULL;
}
