/* Rules for everybody, before the situation is looked at: facts that are missing, work under way,
 * the order to stop, directories that are not ours. They leave the question open where none of that
 * is so. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_reinit.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"

#include <inttypes.h>
#include <string.h>

static const char *unusable_word(enum pg_dir_kind kind)
{
    return kind == PG_DIR_FOREIGN    ? "no PostgreSQL data directory"
           : kind == PG_DIR_BROKEN   ? "damaged, or of a version that is not served"
           : kind == PG_DIR_DOUBTFUL ? "in doubt: state/unfinished speaks of another one"
                                     : "unreadable";
}

/* Nothing is started, stopped or promoted before the agent knows what runs here (after its own
 * restart, too). */
static bool rule_look_first(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool known = s->fence.connected && s->self.directory_known && s->self.run != HA_RUN_UNKNOWN;
    if (known && (s->self.run != HA_RUN_RUNNING || s->self.role != PG_ROLE_UNKNOWN)) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "not known yet: %s",
                    !s->fence.connected             ? "the fence"
                    : !s->self.directory_known      ? "the data directory"
                    : s->self.run == HA_RUN_UNKNOWN ? "what runs here"
                                                    : "the role of the instance");
    return true;
}

/* Somebody else who could confirm commits in our place; whom the primary takes is its choice. */
static bool is_replaceable(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (!ha_is_me(s, member->name) && strcmp(member->name, s->cluster.leader) != 0 &&
            member->reports && !member->tags.nosync && strcmp(member->state, "running") == 0) {
            return true;
        }
    }
    return false;
}

bool ha_plan_leave_sync(const struct ha_snapshot *s, struct ha_plan *plan, int64_t asked_mono_ms,
                        const char *why)
{
    int64_t until_ms = asked_mono_ms + 2 * s->settings.loop_wait_ms;
    if (asked_mono_ms == HA_NEVER || s->now_mono_ms >= until_ms || !s->settings.synchronous_mode ||
        !ha_runs_as(s, PG_STANDBY) || !ha_key_is_others(s) || !s->cluster.sync.present ||
        !ha_sync_key_has(&s->cluster.sync, s->self.name) || !is_replaceable(s)) {
        return false;
    }
    ha_plan_wait(plan, until_ms);
    ha_plan_because(plan, "%s: commits of '%s' are to wait for somebody else first", why,
                    s->cluster.leader);
    return true;
}

static bool stop_for_exit(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.run == HA_RUN_STOPPING) {
        ha_plan_wait(plan, HA_NEVER);
    } else {
        if (ha_runs_as(s, PG_PRIMARY)) {
            ha_plan_add(
                plan, HA_CHECKPOINT); /* makes the stop itself short: less time without a primary */
        }
        ha_plan_add(plan, HA_STOP_FAST);
    }
    ha_plan_because(plan, "told to stop: PostgreSQL first");
    return true;
}

/* The page says that the epoch is over, and the store, which is there, has not taken the rest. */
static bool is_half_released(const struct ha_snapshot *s)
{
    return ha_key_is_ours(s) && s->fence.over &&
           ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch) &&
           s->now_mono_ms - s->cluster.read_mono_ms <= s->settings.retry_timeout_ms;
}

/* It writes, or will when it has recovered, was promoted or is started by hand. */
static bool may_write(const struct ha_snapshot *s)
{
    switch (s->self.run) {
    case HA_RUN_STOPPED:
    case HA_RUN_CRASHED: return ha_was_primary(s);
    case HA_RUN_STARTING: return s->self.role == PG_PRIMARY;
    case HA_RUN_RUNNING: return s->self.role == PG_PRIMARY || ha_may_be_promoted(s);
    case HA_RUN_UNKNOWN:
    case HA_RUN_STOPPING: break;
    }
    return false;
}

/* A standby that has won the key and was never told to promote: its page would have the fence stop
 * it, and nobody is left to go on with the key. */
static void give_back(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_key_is_ours(s) && ha_unfenced_is_own(s)) {
        ha_plan_add(plan, HA_REMOVE_UNFENCED)->revision = s->cluster.unfenced_revision;
    }
    ha_plan_add(plan, HA_DISARM);
    if (ha_key_is_ours(s)) {
        ha_plan_add(plan, HA_RELEASE)->epoch = s->cluster.leader_epoch;
    }
}

/* In pause PostgreSQL and the key are left as they are. A page that is still armed would have the
 * fence stop it; and a promotion looks at the page before its last step, so it is waited for. One
 * that still waits for pre_promote is given up: that takes as long as the operator has allowed. */
static void leave_for_exit(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool promotes = s->job.running && s->job.kind == HA_JOB_PROMOTE;
    if (promotes && !s->self.promote_sent) {
        ha_plan_add(plan, HA_CANCEL);
        ha_plan_because(plan, "told to stop in pause, and the promotion has not begun");
        return;
    }
    if (promotes && ha_lease_is_valid(s)) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "told to stop in pause: the promotion first");
        return;
    }
    if (ha_runs_as(s, PG_STANDBY) && s->fence.armed && !ha_may_be_promoted(s)) {
        give_back(s, plan);
    }
    if (may_write(s) && ha_lease_is_valid(s) && !ha_open_for_key(s)) {
        ha_plan_unfence(s, plan);
    }
    ha_plan_add(plan, HA_EXIT);
    ha_plan_because(plan, "told to stop in pause: PostgreSQL and the leader key are left alone");
}

/* Nobody has said in this run of the agent whether the cluster is paused. A page that is open was
 * left so in pause. A standby is left as it is where this node last heard of a pause: it harms
 * nobody, as after the death of its agent. What writes, or may yet, is the fence's. */
static bool may_be_paused(const struct ha_snapshot *s)
{
    bool between = s->self.run == HA_RUN_STARTING || s->self.run == HA_RUN_STOPPING;
    bool standby = (ha_runs_as(s, PG_STANDBY) || (between && s->self.role == PG_STANDBY)) &&
                   !ha_may_be_promoted(s);
    return !s->cluster.known && (ha_page_is_open(s) || (s->self.was_paused && standby));
}

/* SIGTERM: PostgreSQL is stopped and the key given away, so that others need not wait for the lease
 * to end. */
static bool rule_shutdown(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->request != HA_REQUEST_SHUTDOWN) {
        return false;
    }
    if (s->settings.paused || may_be_paused(s)) {
        leave_for_exit(s, plan);
        return true;
    }
    if (ha_plan_leave_sync(s, plan, s->request_mono_ms, "told to stop")) {
        return true;
    }
    if (!ha_is_down(s) || !s->fence.all_gone) {
        return stop_for_exit(s, plan);
    }
    /* Not tried without end: with no answer from the store the lease lapses, and the key ends by
     * itself. */
    if (ha_lease_is_valid(s) || is_half_released(s)) {
        /* nobody is to wait for a report of ours */
        ha_plan_yield(s, plan, s->settings.synchronous_mode ? s->self.shutdown_lsn : 0);
        ha_plan_release(s, plan, s->self.shutdown_lsn);
    }
    ha_plan_add(plan, HA_EXIT);
    ha_plan_because(plan, "told to stop: nothing runs any more");
    return true;
}

/* A promotion waits for a command of the operator (pre_promote), and what allowed it is gone: the
 * lease (others lead, and this standby is to follow them), or what the race had asked for. One that
 * was sent is another matter. */
static bool rule_promotion_too_late(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const char *why = ha_lease_is_valid(s) ? ha_promotion_barred(s) : "the lease is gone";
    if (!s->job.running || s->job.kind != HA_JOB_PROMOTE || s->self.promote_sent || why == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_CANCEL);
    ha_plan_because(plan, "the promotion has not begun, and %s", why);
    return true;
}

/* Long work is one at a time, and each cycle after it looks at the world again. What it must not do
 * without the lease it asks at its own commit point; the fence covers the rest. Only a question to
 * a leader that is gone holds up nobody: detaching, reporting and acquiring are no jobs. */
static bool rule_job_runs(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool only_asks = s->job.kind == HA_JOB_CHECK_DIVERGENCE && ha_runs_as(s, PG_STANDBY) &&
                     (ha_unlocked(s) || ha_depose_is_due(s));
    if (!s->job.running || only_asks) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "%s", ha_state_name(s));
    return true;
}

/* The postmaster is gone, some of its children are not, or a fence that is new has not looked for
 * them yet: they can commit, whoever leads, and no deadline stands for them on a page. So the fence
 * ends them before anything is asked of the store. One that was adopted is judged first. */
static bool rule_not_all_gone(const struct ha_snapshot *s, struct ha_plan *plan)
{
    /* In pause somebody may be about to start it by hand; the operator's failover waits for the
     * holder of the key alone. */
    bool left_alone =
        s->self.was_paused || (s->settings.paused && !(ha_failover_is_due(s) && ha_key_is_ours(s)));
    if (!ha_is_down(s) || s->fence.all_gone || s->fence.adopted || left_alone) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "processes of the instance may be left");
    return true;
}

/* Without a view of the store, or with one of before our time (the store of a restarted agent),
 * nobody can know who leads. A primary goes on until S (the fence sees to it), or, adopted and
 * without a page, for one ttl. One whose page is open was left so on purpose, and nobody can take
 * over. */
static bool rule_store_unknown(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool old = s->cluster.known && ha_view_is_old(s);
    if (s->cluster.known && !old) {
        return false;
    }
    if (ha_runs_as(s, PG_PRIMARY) && !s->fence.armed && !ha_page_is_open(s) &&
        !s->settings.paused && s->now_mono_ms >= s->self.run_since_mono_ms + s->settings.ttl_ms) {
        ha_plan_add(plan, HA_STOP_FAST);
        ha_plan_because(plan, "a primary without a lease, and no answer from the store for a ttl");
        return true;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, old ? "the store has not caught up yet" : "no answer from the store yet");
    return true;
}

/* Another agent has our name, or had it until its record ends. Nothing of it is ours: not the key,
 * not its report, not its place in `sync`. A primary that runs here meanwhile is judged as under a
 * key of somebody else's; where nobody leads, and no deadline stands for it, it runs for one ttl,
 * as without an answer from the store. What comes of the name is the loop's
 * (agent/loop/namesake.c). */
static bool rule_name_taken(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool namesake_leads = ha_key_is_others(s) && ha_is_me(s, s->cluster.leader);
    if ((!ha_name_is_taken(s) && !namesake_leads) ||
        (ha_runs_as(s, PG_PRIMARY) && ha_key_is_others(s))) {
        return false;
    }
    bool unbound = ha_runs_as(s, PG_PRIMARY) && !ha_deadline_binds(s) && !ha_page_is_open(s) &&
                   !s->settings.paused && !ha_is_foreign(s);
    int64_t until_ms = s->self.run_since_mono_ms + s->settings.ttl_ms;
    if (unbound && s->now_mono_ms >= until_ms) {
        ha_plan_add(plan, HA_STOP_FAST);
        ha_plan_because(plan, "a primary without a lease, and its name is taken for a ttl: %s",
                        s->self.namesake);
        return true;
    }
    ha_plan_wait(plan, unbound ? until_ms : HA_NEVER);
    ha_plan_because(plan, "the name is taken by another agent: %s",
                    s->self.namesake[0] != '\0' ? s->self.namesake : "it holds the leader key");
    return true;
}

/* A directory that is not this cluster's, or cannot be judged, is never touched. The key is not
 * kept for it. What a bootstrap of ours has left is another matter: ours, and of no cluster, though
 * initdb has given it a system identifier before somebody else made the cluster. */
static bool rule_not_ours(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool half_made =
        s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_BOOTSTRAP;
    bool unusable = s->self.directory == PG_DIR_FOREIGN || s->self.directory == PG_DIR_BROKEN ||
                    s->self.directory == PG_DIR_UNREADABLE || s->self.directory == PG_DIR_DOUBTFUL;
    bool unread = s->self.directory == PG_DIR_VALID && s->self.system_id[0] == '\0';
    if (half_made || (!unusable && !unread && !ha_is_foreign(s))) {
        return false;
    }
    if (ha_key_is_ours(s) && ha_is_down(s) && s->fence.all_gone && !s->settings.paused) {
        ha_plan_release(s, plan, 0);
    } else {
        ha_plan_wait(plan, HA_NEVER);
    }
    if (ha_is_foreign(s)) {
        ha_plan_because(
            plan,
            "the data directory is of another cluster: system identifier %s, this cluster's is %s",
            s->self.system_id, s->cluster.initialize);
    } else {
        ha_plan_because(plan, "the data directory is %s",
                        unread ? "not read yet" : unusable_word(s->self.directory));
    }
    return true;
}

/* A bootstrap of ours ended, and before it could say so somebody else made the cluster. It is put
 * beside and not removed: clients may have written into it while it had the key. */
static bool rule_never_announced(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.paused || s->self.directory != PG_DIR_VALID || !s->self.unannounced ||
        !ha_is_foreign(s) || !ha_key_is_others(s) || !ha_is_down(s) || !s->fence.all_gone) {
        return false;
    }
    int64_t again_ms = ha_job_backoff_until(s, HA_JOB_REMOVE_DATA);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
    } else {
        ha_plan_add(plan, HA_MOVE_ASIDE);
    }
    ha_plan_because(plan,
                    "cluster %s was made here and never announced, and '%s' leads another one",
                    s->self.system_id, s->cluster.leader);
    return true;
}

/* Whose data are the newest leads, and all partners are heard before that is known. But a primary
 * that runs has clients, and goes on. */
static bool waits_for_newest(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char names[HA_PARTNERS_BYTES];
    int64_t until_ms;
    const struct ha_member *newer = ha_runs_as(s, PG_PRIMARY) ? NULL : ha_partner_newer(s);
    if (newer != NULL) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan,
                        "the cluster is not initialized, and '%s' has newer data of it (timeline "
                        "%" PRIu32 "): it leads%s, unless its data directory is taken away",
                        newer->name, ha_partner_timeline(newer),
                        newer->data_of_primary ? ""
                                               : " when all members of the group have told what "
                                                 "they have");
        return true;
    }
    if (ha_nobody_has_led(s) && ha_is_down(s) && ha_was_primary(s) &&
        ha_partners_are_awaited(s, names, &until_ms)) {
        ha_plan_wait(plan, until_ms);
        ha_plan_because(plan,
                        "before the cluster is made of this data directory: waiting at most "
                        "%" PRId64 " s to hear from %s whether there are newer data",
                        HA_PARTNERS_TTLS * s->settings.ttl_ms / 1000, names);
        return true;
    }
    return false;
}

/* The directory is there before the cluster is (a first start on existing data, or of a primary
 * whose bootstrap was cut off before it was announced): its system identifier becomes the
 * cluster's. Only a primary's: a standby's primary may be somewhere else. */
static bool rule_announce(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_is_initialized(s) || s->self.directory != PG_DIR_VALID) {
        return false;
    }
    bool primary = ha_runs_as(s, PG_PRIMARY) || (ha_is_down(s) && ha_was_primary(s));
    /* A copy of the other cluster: its name is this one's. The section is in the store, so that
     * whoever comes next knows of it. */
    bool copied = s->settings.standby_cluster && s->cluster.config_revision > 0;
    bool of_other = s->cluster.initialize_revision > 0 && !ha_no_epoch(s) &&
                    !ha_last_epoch_is_ours(s) && !copied;
    bool started_by_other = ha_key_is_others(s) || of_other;
    if (!started_by_other && !copied && waits_for_newest(s, plan)) {
        return true;
    }
    bool newest = primary || ha_partners_prove_newest(s);
    if ((!newest && !copied) || started_by_other) {
        ha_plan_wait(plan, HA_NEVER);
        if (of_other && ha_unlocked(s) && ha_cluster_last_holder(&s->cluster)[0] != '\0') {
            ha_plan_because(plan,
                            "the cluster is not initialized, and '%s' has begun to make it: this "
                            "data directory is not announced beside what it may have made",
                            ha_cluster_last_holder(&s->cluster));
        } else {
            ha_plan_because(plan, "the cluster is not initialized, and %s",
                            primary ? "another member is about to do it"
                                    : "this data directory is a standby's");
        }
        return true;
    }
    ha_plan_initialize(s, plan, s->self.system_id);
    ha_plan_because(plan, "the cluster takes the system identifier of this data directory");
    return true;
}

/* clang-format off */
static const struct ha_rule rules[] = {
    {"look_first", rule_look_first},
    {"fence_soft", ha_rule_fence_soft},
    {"disk_stopping", ha_rule_disk_stopping},
    {"stop_failed", ha_rule_stop_failed},
    {"fence_stopping", ha_rule_fence_stopping},
    {"shutdown", rule_shutdown},
    {"restart_late", ha_rule_restart_late},
    {"reinit_late", ha_rule_reinit_late},
    {"promotion_too_late", rule_promotion_too_late},
    {"reinit_cancels", ha_rule_reinit_cancels},
    {"job_runs", rule_job_runs},
    {"not_all_gone", rule_not_all_gone},
    {"store_unknown", rule_store_unknown},
    {"name_taken", rule_name_taken},
    {"never_announced", rule_never_announced},
    {"not_ours", rule_not_ours},
    {"announce", rule_announce},
    {"reinit", ha_rule_reinit},
};
/* clang-format on */
const struct ha_rule_list ha_rules_common = HA_RULE_LIST("common", rules);
