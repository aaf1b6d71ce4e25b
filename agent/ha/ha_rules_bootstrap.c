/* No data directory: make the cluster, or copy it.
 *
 * The lock of the bootstrap is the leader key itself: whoever initializes holds the lease and an
 * armed page from before the first process runs, so a bootstrap that is cut off at any point ends
 * like any other term, and another member may try. `initialize` = "" tells Patroni's members. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* initdb or what comes after it did not end. Nothing of it was ever part of the cluster. */
static bool rule_unfinished(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.directory != PG_DIR_UNFINISHED || s->self.unfinished != PG_UNFINISHED_BOOTSTRAP) {
        return false;
    }
    if (!ha_is_down(s) || !s->fence.all_gone) {
        ha_plan_add(plan, HA_STOP_IMMEDIATE);
    } else {
        ha_plan_add(plan, HA_MOVE_ASIDE);
    }
    ha_plan_because(plan, "a bootstrap did not end here");
    return true;
}

/* Directory gone under a running instance: what still runs cannot be kept. */
static bool rule_directory_lost(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_is_down(s) && s->fence.all_gone) {
        return false;
    }
    if (s->self.run == HA_RUN_STOPPING) {
        ha_plan_wait(plan, HA_NEVER);
    } else {
        ha_plan_add(plan, HA_STOP_IMMEDIATE);
    }
    ha_plan_because(plan, "something runs, and the data directory is gone");
    return true;
}

/* The winner of the race. `initialize` is written under its key, the same value again: an earlier
 * maker may have sent the name of its cluster, and it would be applied beside the one that is made
 * now. What it compares has changed then. */
static bool rule_bootstrap(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_lease_is_valid(s) || ha_is_initialized(s) || s->settings.standby_cluster ||
        s->self.directory == PG_DIR_UNFINISHED || ha_watchdog_bars(s) || ha_fence_bars(s) ||
        ha_job_backoff_until(s, HA_JOB_BOOTSTRAP) != HA_NEVER) {
        return false;
    }
    if (ha_watchdog_is_awaited(s)) {
        ha_plan_await_watchdog(s, plan);
        return true;
    }
    ha_plan_arm(s, plan);
    ha_plan_initialize(s, plan, "");
    ha_plan_add(plan, HA_BOOTSTRAP);
    ha_plan_because(plan, "this member initializes the cluster");
    return true;
}

static bool is_cut_off_copy(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_CLONE;
}

static void copy_remote(const struct ha_snapshot *s, struct ha_plan *plan, const char *why)
{
    struct ha_action *clone = ha_plan_add(plan, HA_CLONE);
    clone->epoch = s->cluster.leader_epoch;
    clone->remote = true;
    ha_plan_because(plan, "%s: a copy of '%s'", why, s->settings.remote);
}

/* The winner of the race, in a standby cluster: a copy of the other one. The configuration is
 * stored first: what is a copy must never be taken for a cluster of its own. */
static bool rule_copy_cluster(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->settings.standby_cluster || !ha_lease_is_valid(s) || ha_is_initialized(s) ||
        (s->self.directory == PG_DIR_UNFINISHED && !is_cut_off_copy(s)) ||
        ha_job_backoff_until(s, HA_JOB_CLONE) != HA_NEVER) {
        return false;
    }
    ha_plan_initialize(s, plan, "");
    if (s->cluster.config_revision == 0) {
        ha_plan_add(plan, HA_WRITE_CONFIG);
    }
    copy_remote(s, plan, "this member makes the standby cluster");
    return true;
}

/* Nobody here has the data any more, or nobody who has it leads. */
static bool rule_copy_again(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->settings.standby_cluster || !s->settings.remote_streams || !ha_is_initialized(s) ||
        !ha_unlocked(s) || (s->self.directory == PG_DIR_UNFINISHED && !is_cut_off_copy(s))) {
        return false;
    }
    int64_t again_ms = ha_job_backoff_until(s, HA_JOB_CLONE);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "cloning has failed, trying again: %s", s->job.error);
        return true;
    }
    copy_remote(s, plan, "no data directory, and nobody leads");
    return true;
}

/* A key without data behind it serves nobody: the directory was lost, or initdb has failed, or an
 * earlier run of this agent got the key. */
static bool rule_key_without_data(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s)) {
        return false;
    }
    ha_plan_release(s, plan, 0);
    ha_plan_because(plan, "the leader key is ours, and there is no data directory");
    return true;
}

/* Who is let in, nobody but the operator says: a copy that came without rules could not start, and
 * rules that were made up would let in too many, or shut out the clients after a failover. */
static bool brings_hba(const struct ha_snapshot *s, const struct ha_member *source)
{
    return !s->self.hba_needed || !source->hba_missing;
}

/* A copy comes from a member that offers itself (tag clonefrom), to spare the leader; else from the
 * leader. */
static const struct ha_member *clone_source(const struct ha_snapshot *s)
{
    const struct ha_member *leader = ha_leader_primary(s);
    if (leader == NULL || ha_is_counted_on(s) || s->reinit.from_leader) {
        return leader;
    }
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (member->tags.clonefrom && !ha_is_me(s, member->name) && member != leader &&
            member->conn_url[0] != '\0' && strcmp(member->state, "running") == 0 &&
            brings_hba(s, member) && ha_is_heard(s, member->name)) {
            return member;
        }
    }
    return leader;
}

/* A copy that the end of its source broke off is no reason to wait once somebody leads again. */
static int64_t clone_backoff_until(const struct ha_snapshot *s)
{
    bool of_before =
        s->job.epoch.revision != 0 && !ha_epoch_equal(s->job.epoch, s->cluster.leader_epoch);
    bool ordered =
        s->reinit.phase == HA_REINIT_ORDERED; /* since it failed, or was ended for that */
    return of_before || ordered ? HA_NEVER : ha_job_backoff_until(s, HA_JOB_CLONE);
}

static bool rule_clone(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_member *source = ha_is_initialized(s) ? clone_source(s) : NULL;
    if (source == NULL) {
        return false;
    }
    if (!brings_hba(s, source)) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan,
                        "a copy from '%s' would have no pg_hba.conf yet: its agent puts one into "
                        "its data directory when it has taken over its configuration",
                        source->name);
        return true;
    }
    int64_t again_ms = clone_backoff_until(s);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "cloning has failed, trying again: %s", s->job.error);
        return true;
    }
    struct ha_action *clone = ha_plan_add(plan, HA_CLONE);
    clone->epoch = s->cluster.leader_epoch;
    clone->exact = ha_is_counted_on(s); /* an archive may lack the last commits */
    (void)snprintf(clone->member, sizeof clone->member, "%s", source->name);
    ha_plan_because(plan, "no data directory: a copy from '%s'", source->name);
    return true;
}

/* Nobody leads, and an archive may have what this member needs. What it lacks of the last primary's
 * WAL keeps it from leading as it does any other standby; but whose report counts must have what
 * was acknowledged because of him. */
static bool rule_restore(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->settings.copies_without_leader || !ha_unlocked(s) || !ha_is_initialized(s) ||
        ha_is_counted_on(s) || s->reinit.from_leader || s->settings.paused) {
        return false;
    }
    int64_t again_ms = ha_job_backoff_until(s, HA_JOB_CLONE);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "restoring has failed, trying again: %s", s->job.error);
        return true;
    }
    ha_plan_add(plan, HA_CLONE)->epoch = ha_cluster_epoch(&s->cluster);
    ha_plan_because(plan, "no data directory, and nobody leads: restoring it without a source");
    return true;
}

/* Somebody has begun and his Raft member is alive: he goes on, or releases the key of his dead
 * epoch. */
static bool rule_other_initializes(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_unlocked(s) || ha_is_initialized(s) || ha_no_epoch(s) || ha_last_epoch_is_ours(s) ||
        !ha_is_heard(s, ha_cluster_last_holder(&s->cluster)) ||
        s->now_mono_ms >= s->unlocked_since_mono_ms + s->settings.ttl_ms) {
        return false;
    }
    ha_plan_wait(plan, s->unlocked_since_mono_ms + s->settings.ttl_ms);
    ha_plan_because(plan, "'%s' has begun to initialize the cluster and is alive",
                    ha_cluster_last_holder(&s->cluster));
    return true;
}

/* Patroni's members take the key when they are done, and hold `initialize` until then. Ours create
 * it right before they take the key, and none has. */
static bool rule_patroni_initializes(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_unlocked(s) || ha_is_initialized(s) || s->cluster.initialize_revision == 0 ||
        s->cluster.epoch_revision > 0) {
        return false;
    }
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (!ha_is_me(s, member->name) && member->state[0] != '\0' &&
            strcmp(member->state, "stopped") != 0) {
            ha_plan_wait(plan, HA_NEVER);
            ha_plan_because(plan, "'%s' initializes the cluster: %s", member->name, member->state);
            return true;
        }
    }
    return false;
}

static bool may_race(const struct ha_snapshot *s)
{
    bool usable = s->self.directory != PG_DIR_UNFINISHED ||
                  (s->settings.standby_cluster && is_cut_off_copy(s));
    return ha_unlocked(s) && !ha_is_initialized(s) && s->settings.may_bootstrap &&
           !s->self.tags.nofailover && s->settings.refused[0] == '\0' && usable;
}

/* Nobody has ever led: the data may be with somebody else (ha_partners.h). Once somebody has, he
 * had waited for that, and what others have is not announced beside what he may have made. Of a
 * standby cluster the data are elsewhere, and a copy here makes no cluster before the section is in
 * the store: whoever comes first stores it. */
static bool rule_partners(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char names[HA_PARTNERS_BYTES];
    int64_t until_ms;
    if (!may_race(s) || !ha_no_epoch(s) || s->settings.standby_cluster) {
        return false;
    }
    const struct ha_member *owner = ha_partner_with_data(s);
    if (owner != NULL) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "'%s' has a data directory, and the cluster is made of that",
                        owner->name);
        return true;
    }
    if (ha_partners_are_awaited(s, names, &until_ms)) {
        ha_plan_wait(plan, until_ms);
        ha_plan_because(plan,
                        "before a cluster is made: waiting at most %" PRId64
                        " s to hear from %s whether there is a data directory",
                        HA_PARTNERS_TTLS * s->settings.ttl_ms / 1000, names);
        return true;
    }
    return false;
}

static bool rule_race(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!may_race(s)) {
        return false;
    }
    if (ha_failsafe_binds(s)) { /* the keys are gone, not the primary */
        ha_plan_wait(plan, ha_failsafe_until_mono_ms(s, s->failsafe.until_lease_ms));
        ha_plan_because(plan, "'%s' is the primary in failsafe mode", s->failsafe.primary);
        return true;
    }
    if (ha_awaits_order(s)) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "the store was recovered after the loss of its majority, and has no "
                              "cluster that was initialized");
        return true;
    }
    if (ha_watchdog_bars(s)) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "watchdog.mode is required: %s", s->watchdog.why);
        return true;
    }
    if (ha_rule_fence_stopped(s, plan)) {
        return true;
    }
    int64_t again_ms = ha_job_backoff_until(s, HA_JOB_BOOTSTRAP);
    if (again_ms == HA_NEVER && s->settings.standby_cluster) {
        again_ms = ha_job_backoff_until(s, HA_JOB_CLONE);
    }
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "the bootstrap has failed, trying again: %s", s->job.error);
        return true;
    }
    if (s->cluster.initialize_revision == 0) {
        ha_plan_initialize(s, plan, "");
    }
    ha_plan_acquire(s, plan, false, 1);
    ha_plan_because(plan, "the cluster is not initialized: running for it");
    return true;
}

static bool rule_wait(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_wait(plan, HA_NEVER);
    if (!ha_is_initialized(s)) {
        ha_plan_because(plan, "waiting for the cluster to be initialized%s",
                        s->settings.may_bootstrap ? ""
                                                  : ", and this node's configuration has no "
                                                    "`bootstrap` section: it makes none");
    } else {
        ha_plan_because(plan, "waiting for a running primary to copy from");
    }
    return true;
}

static const struct ha_rule rules[] = {
    {"bootstrap_unfinished", rule_unfinished},
    {"directory_lost", rule_directory_lost},
    {"bootstrap", rule_bootstrap},
    {"copy_cluster", rule_copy_cluster},
    {"key_without_data", rule_key_without_data},
    {"clone", rule_clone},
    {"copy_again", rule_copy_again},
    {"restore", rule_restore},
    {"other_initializes", rule_other_initializes},
    {"patroni_initializes", rule_patroni_initializes},
    {"partners", rule_partners},
    {"race_to_initialize", rule_race},
    {"wait_for_cluster", rule_wait},
};
const struct ha_rule_list ha_rules_bootstrap = HA_RULE_LIST("bootstrap", rules);
