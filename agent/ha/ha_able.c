/* See ha_able.h.
 *
 * Two limits. Where somebody else could take over, a short one: long enough that a hiccup costs no
 * failover. Where nobody could, a long one: to stay with what there is may be all that can be had,
 * but a lease that stands for nothing is let go in the end, so that whoever becomes able finds no
 * key in his way. Both count from the beginning of the trouble or of this term, whichever is later:
 * one who has taken the key again, because nobody else has, is not at once without it. */
#include "agent/ha/ha_able.h"

#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_watchdog.h"

#include <inttypes.h>
#include <stdio.h>

#define KILL_TAKES_MS 1000  /* longer than a fence that works needs for it */
#define STOP_TAKES_MS 75000 /* a fast shutdown with the kill at its end */
#define STOP_AGAIN_MS 1000

const char *ha_disk_name(enum pg_disk_kind kind)
{
    switch (kind) {
    case PG_DISK_GOOD: return "good";
    case PG_DISK_LOW: return "low";
    case PG_DISK_FULL: return "full";
    case PG_DISK_STALLED: return "stalled";
    case PG_DISK_READ_ONLY: return "read-only";
    case PG_DISK_FAILED: return "failed";
    case PG_DISK_UNKNOWN: break;
    }
    return "unknown";
}

bool ha_disk_takes_writes(enum pg_disk_kind kind)
{
    return kind == PG_DISK_UNKNOWN || kind == PG_DISK_GOOD || kind == PG_DISK_LOW;
}

bool ha_promotion_failed_lately(const struct ha_snapshot *s, int64_t *ret_until_mono_ms)
{
    int64_t failed_ms = s->self.promote_failed_mono_ms;
    *ret_until_mono_ms = failed_ms == HA_NEVER ? HA_NEVER : failed_ms + s->settings.ttl_ms;
    return failed_ms != HA_NEVER && s->now_mono_ms < *ret_until_mono_ms;
}

bool ha_fence_bars(const struct ha_snapshot *s)
{
    return s->fence.connected && s->fence.silent && !s->settings.standby_cluster;
}

bool ha_is_unfit(const struct ha_snapshot *s)
{
    int64_t until_ms;
    return !ha_disk_takes_writes(s->self.disk) || s->self.silent_since_mono_ms != HA_NEVER ||
           ha_promotion_failed_lately(s, &until_ms) || ha_watchdog_bars(s) || ha_fence_bars(s);
}

/* In pause only on the operator's order; it stands until the new primary clears it. */
static bool is_ordered(const struct ha_snapshot *s)
{
    return s->cluster.failover.present && ha_is_me(s, s->cluster.failover.candidate);
}

const char *ha_promotion_barred(const struct ha_snapshot *s)
{
    if (s->settings.refused[0] != '\0') {
        return "a key in the configuration is not served here";
    }
    if (s->settings.standby_cluster) {
        return "this is a standby cluster";
    }
    if (ha_may_be_promoted(s)) {
        return NULL;
    }
    if (s->settings.paused && !is_ordered(s)) {
        return "the cluster is paused";
    }
    if (s->self.tags.nofailover) {
        return "tag nofailover (or failover_priority 0)";
    }
    if (ha_watchdog_bars(s)) {
        return "the watchdog is required, and cannot be used";
    }
    if (ha_fence_bars(s)) {
        return "the fence does not answer";
    }
    return ha_disk_takes_writes(s->self.disk) ? NULL : "the disk takes no writes";
}

bool ha_disk_is_low_or_worse(enum pg_disk_kind kind)
{
    return kind != PG_DISK_UNKNOWN && kind != PG_DISK_GOOD;
}

/* It answers writes, if only with an error: what runs can be stopped in order. */
static bool is_about_space(enum pg_disk_kind kind)
{
    return kind == PG_DISK_LOW || kind == PG_DISK_FULL;
}

static void disk_words(const struct ha_snapshot *s, char ret_text[HA_TROUBLE_BYTES])
{
    static const char *const words[] = {
        [PG_DISK_LOW] = "is almost full",
        [PG_DISK_FULL] = "is full",
        [PG_DISK_STALLED] = "does not answer writes",
        [PG_DISK_READ_ONLY] = "is read-only",
        [PG_DISK_FAILED] = "has input/output errors",
    };
    (void)snprintf(ret_text, HA_TROUBLE_BYTES, "the disk of '%s' %s", s->self.disk_place,
                   ha_disk_is_low_or_worse(s->self.disk) ? words[s->self.disk] : "is good");
}

void ha_trouble(const struct ha_snapshot *s, char ret_text[HA_TROUBLE_BYTES])
{
    ret_text[0] = '\0';
    if (ha_disk_is_low_or_worse(s->self.disk)) {
        disk_words(s, ret_text);
    } else if (s->self.silent_since_mono_ms != HA_NEVER) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "PostgreSQL answers no new connection");
    } else if (s->self.rejoin.lost_timeline != 0 &&
               s->self.rejoin.lost_timeline == s->self.timeline) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "the primary has lost WAL that is here");
    } else if (s->self.replay_stuck) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "there is WAL here that cannot be replayed");
    } else if (ha_watchdog_bars(s)) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "the watchdog is required, and cannot be used");
    } else if (ha_fence_bars(s)) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "the fence does not answer");
    } else if (s->self.hangs > 0) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "PostgreSQL hung and was killed");
    } else if (s->self.crashes > 1) {
        (void)snprintf(ret_text, HA_TROUBLE_BYTES, "PostgreSQL went down again and again");
    }
}

/* How long this has been so, in this term. */
static int64_t lasted_ms(const struct ha_snapshot *s, int64_t since_ms)
{
    int64_t term_ms = s->holding.since_mono_ms;
    return s->now_mono_ms - (term_ms > since_ms ? term_ms : since_ms);
}

static int64_t give_up_ms(const struct ha_snapshot *s)
{
    int64_t timeout_ms = s->settings.primary_start_timeout_ms;
    return timeout_ms > HA_GIVE_UP_MS_MIN ? timeout_ms : HA_GIVE_UP_MS_MIN;
}

/* A write of ours does not come back or is refused, and commits go through all the same: whatever
 * that is, this primary works. */
static bool commits_flow(const struct ha_snapshot *s)
{
    int64_t committed_ms = s->self.committed_mono_ms;
    return ha_runs_as(s, PG_PRIMARY) && !is_about_space(s->self.disk) && committed_ms != HA_NEVER &&
           committed_ms > s->self.disk_since_mono_ms &&
           s->now_mono_ms - committed_ms < s->settings.disk_stall_timeout_ms;
}

/* Disks may share what fails, and then all stall together; and what was last heard of another node
 * may be of before. So it counts as better when it has read of our trouble and its disk has taken a
 * write since: our record and its answer both went through the store, which so works, too. */
static bool another_is_better(const struct ha_snapshot *s)
{
    char why[HA_REASON_BYTES];
    for (size_t i = 0; s->self.trouble_revision > 0 && i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (member->disk_answers >= s->self.trouble_revision &&
            ha_candidate_possible(s, member->name, why) != NULL) {
            return true;
        }
    }
    return false;
}

/* NULL: the key stays here for the time being. */
static const char *why_disk_ends_term(const struct ha_snapshot *s)
{
    int64_t limit_ms =
        is_about_space(s->self.disk) ? give_up_ms(s) : s->settings.disk_failure_timeout_ms;
    int64_t bad_ms = lasted_ms(s, s->self.disk_since_mono_ms);

    if (!ha_disk_is_low_or_worse(s->self.disk) || bad_ms < s->settings.disk_stall_timeout_ms ||
        commits_flow(s)) {
        return NULL;
    }
    if (s->self.disk == PG_DISK_LOW && s->holding.since_mono_ms > s->self.disk_since_mono_ms) {
        return NULL; /* nobody else has taken it, or it was so when the key was taken: it works */
    }
    if (another_is_better(s)) {
        return "another node is better";
    }
    return bad_ms >= limit_ms && !ha_disk_takes_writes(s->self.disk)
               ? "the key is not kept for it any longer"
               : NULL;
}

/* A fence that works kills for a page that is over. */
static void abandon(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_add(plan, HA_ABANDON)->epoch = s->fence.page_epoch;
    if (ha_fence_bars(s)) {
        ha_plan_add(plan, HA_KILL);
    }
}

/* What still writes is stopped in order, so that the others get all of it. What does not cannot:
 * processes that wait for a disk are not even killed before it answers, and the lease must not hang
 * on them. */
bool ha_rule_disk(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char words[HA_TROUBLE_BYTES];
    const char *why = why_disk_ends_term(s);
    bool starting = s->self.run == HA_RUN_STARTING;

    if (why == NULL || s->settings.paused || s->self.role != PG_PRIMARY || !ha_armed_for_key(s) ||
        (starting && is_about_space(s->self.disk))) {
        return false;
    }
    if (is_about_space(s->self.disk)) {
        if (s->self.disk == PG_DISK_LOW) {
            ha_plan_add(plan, HA_CHECKPOINT); /* may make room, and makes the stop itself short */
        }
        ha_plan_add(plan, HA_STOP_FAST);
    } else {
        abandon(s, plan);
    }
    disk_words(s, words);
    ha_plan_because(plan, "%s: %s", words, why);
    return true;
}

/* A shutdown that waits for such a disk would keep the key for as long. */
bool ha_rule_disk_stopping(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char words[HA_TROUBLE_BYTES];
    const char *why = why_disk_ends_term(s);

    if (s->self.run != HA_RUN_STOPPING || why == NULL || s->settings.paused ||
        is_about_space(s->self.disk) || !ha_armed_for_key(s)) {
        return false;
    }
    abandon(s, plan);
    disk_words(s, words);
    ha_plan_because(plan, "%s, and PostgreSQL does not end: %s", words, why);
    return true;
}

/* Sessions that are there go on; nobody new gets in, and signals are not heard: only a kill ends
 * it. What comes next is what comes after a crash. */
bool ha_rule_hung(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    int64_t silent_ms = s->self.silent_since_mono_ms;
    int64_t refusing_ms = s->self.refusing_since_mono_ms;

    if (ha_disk_is_low_or_worse(s->self.disk) || s->settings.paused) {
        return false; /* that is why, and has its own limits; in pause nothing is killed */
    }
    if (silent_ms != HA_NEVER && s->now_mono_ms - silent_ms >= s->settings.hang_timeout_ms) {
        ha_plan_add(plan, HA_KILL)->until_mono_ms = silent_ms;
        ha_plan_because(plan,
                        "no new connection was answered for %" PRId64
                        " ms, postmaster_hang_timeout is %" PRId64 " ms",
                        s->now_mono_ms - silent_ms, s->settings.hang_timeout_ms);
        return true;
    }
    if (refusing_ms == HA_NEVER || s->self.role != PG_PRIMARY ||
        s->now_mono_ms - refusing_ms < s->settings.primary_start_timeout_ms ||
        ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_KILL)->until_mono_ms = refusing_ms;
    ha_plan_because(plan, "recovering for %" PRId64 " ms, primary_start_timeout is %" PRId64 " ms",
                    s->now_mono_ms - refusing_ms, s->settings.primary_start_timeout_ms);
    return true;
}

/* Something was tried since the key was taken, for others have had their chance. */
static bool has_tried(const struct ha_snapshot *s)
{
    int64_t term_ms = s->holding.since_mono_ms;
    bool crashed_since = s->self.run == HA_RUN_CRASHED && s->self.run_since_mono_ms >= term_ms;
    return ha_down_since_mono_ms(s) >= term_ms || s->self.crashed_mono_ms >= term_ms ||
           crashed_since || s->self.start_failed_mono_ms >= term_ms;
}

/* PostgreSQL restarts itself when a backend dies: each time all sessions end, and the postmaster
 * is the same. It runs now, so it is stopped in order, and the others get all of it. */
bool ha_rule_crash_loop(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];

    if (s->self.crashes < HA_CRASHES_MAX || !has_tried(s) || s->settings.paused ||
        s->self.role != PG_PRIMARY || !ha_armed_for_key(s) ||
        ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_CHECKPOINT);
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "it went down %u times within crash_loop_window: another node is better",
                    s->self.crashes);
    return true;
}

static void give_away(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_yield(s, plan, s->settings.synchronous_mode ? s->self.shutdown_lsn : 0);
    ha_plan_release(s, plan, s->self.shutdown_lsn);
}

/* A ttl without an answer: the shorter limit of the head of this file. PostgreSQL itself works, and
 * is stopped in order; nobody else could be a primary here meanwhile, and this agent, which lives,
 * does at K what the fence would have done. So it does not wait for a checkpoint first. Where the
 * lease stands by the word of others, nobody could take the key. */
bool ha_rule_fence(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    int64_t since_ms = s->fence.silent_since_mono_ms;

    if (!ha_fence_bars(s) || s->settings.paused || s->failsafe.active ||
        s->self.role != PG_PRIMARY || !ha_armed_for_key(s) || since_ms == HA_NEVER ||
        lasted_ms(s, since_ms) < s->settings.ttl_ms || ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "the fence does not answer: another node is better");
    return true;
}

/* What the fence does at S, whatever else is waited for or under way: an answer of the store, a
 * promotion that was sent. Its kill at K is the stop's. */
bool ha_rule_fence_soft(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool runs = s->self.run == HA_RUN_RUNNING || s->self.run == HA_RUN_STARTING;
    if (!ha_fence_bars(s) || s->settings.paused || s->fence.soft_lease_ms == 0 || !runs ||
        s->now_lease_ms < s->fence.soft_lease_ms) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "the fence does not answer, and the lease is over");
    return true;
}

/* Such a stop has killed, or could not: what is left is killed again and again. Nor does a
 * primary's key hang on it any longer, for a disk that does not answer may hold up even the killed.
 * (The leader of a standby cluster has no page that could be over, and keeps its key.) */
bool ha_rule_stop_failed(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t failed_ms = s->self.stop_failed_mono_ms;

    if (s->self.run != HA_RUN_STOPPING || s->settings.paused || failed_ms == HA_NEVER) {
        return false;
    }
    if (s->now_mono_ms < failed_ms + STOP_AGAIN_MS) {
        ha_plan_wait(plan, failed_ms + STOP_AGAIN_MS);
    } else {
        if (ha_armed_for_key(s)) {
            ha_plan_add(plan, HA_ABANDON)->epoch = s->fence.page_epoch;
        }
        ha_plan_add(plan, HA_KILL);
    }
    ha_plan_because(plan, "PostgreSQL could not be stopped, and is killed again");
    return true;
}

/* A stop is bounded by its own kill, and one whose term is over by the fence's. Where that one does
 * not answer, what is left after all that is killed from here. */
bool ha_rule_fence_stopping(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t stopping_ms = s->now_mono_ms - s->self.run_since_mono_ms;
    int64_t limit_ms = s->fence.over ? KILL_TAKES_MS : STOP_TAKES_MS;

    if (s->self.run != HA_RUN_STOPPING || !ha_fence_bars(s) || s->settings.paused ||
        stopping_ms < limit_ms) {
        return false;
    }
    ha_plan_add(plan, HA_KILL);
    ha_plan_because(plan, "the fence does not answer, and PostgreSQL does not end");
    return true;
}

static int64_t fence_end_ms(const struct ha_snapshot *s)
{
    return 2 * s->settings.ttl_ms > HA_FENCE_END_MS_MIN ? 2 * s->settings.ttl_ms
                                                        : HA_FENCE_END_MS_MIN;
}

/* Nothing can be started beside it, and nothing is left that it would guard. First the key goes
 * where it is of use; then the fence has its time to answer again. */
bool ha_rule_fence_stopped(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    int64_t since_ms = s->fence.silent_since_mono_ms;

    if (!ha_fence_bars(s) || s->settings.paused) {
        return false;
    }
    if (ha_key_is_ours(s) && (ha_candidate_possible(s, "", why) != NULL ||
                              (since_ms != HA_NEVER && lasted_ms(s, since_ms) >= give_up_ms(s)))) {
        give_away(s, plan);
        ha_plan_because(plan, "the fence does not answer, and nothing can be started beside it");
        return true;
    }
    if (since_ms == HA_NEVER || s->now_mono_ms - since_ms < fence_end_ms(s)) {
        ha_plan_wait(plan, since_ms == HA_NEVER ? HA_NEVER : since_ms + fence_end_ms(s));
        ha_plan_because(plan, "the fence does not answer: nothing is started beside it");
        return true;
    }
    ha_plan_add(plan, HA_END_FENCE);
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "the fence does not answer, and nothing of PostgreSQL is left: another "
                          "fence is to take its place");
    return true;
}

/* Nothing is started on a disk that takes no writes: it would hang or fail. Where only space is
 * wanting, starts are tried: a little may be enough. */
bool ha_rule_disk_stopped(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char words[HA_TROUBLE_BYTES];
    const char *why = why_disk_ends_term(s);
    bool abandoned = ha_key_is_ours(s) && !ha_holds_key(s) && ha_page_is_over(s);

    if (!ha_disk_is_low_or_worse(s->self.disk)) {
        return false;
    }
    disk_words(s, words);
    bool led = ha_key_is_ours(s) && (ha_was_primary(s) || ha_leads_standby_cluster(s));
    if (led && (abandoned || why != NULL)) {
        give_away(s, plan);
        ha_plan_because(plan, "%s: %s", words, why == NULL ? "the term is over" : why);
        return true;
    }
    if (is_about_space(s->self.disk)) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "%s: nothing is started before it takes writes", words);
    return true;
}

static bool is_over(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t since_ms = ha_down_since_mono_ms(s);
    int64_t down_ms = since_ms != HA_NEVER ? s->now_mono_ms - since_ms : 0;

    if (since_ms != HA_NEVER && down_ms >= ha_start_timeout_ms(s)) {
        ha_plan_because(plan, "down for %" PRId64 " ms, %s is %" PRId64 " ms", down_ms,
                        ha_start_timeout_name(s), ha_start_timeout_ms(s));
    } else if (s->self.start_failures >= HA_START_FAILURES_MAX) {
        ha_plan_because(plan, "%u starts have failed", s->self.start_failures);
    } else if (s->self.crashes >= HA_CRASHES_MAX) {
        ha_plan_because(plan, "it went down %u times within crash_loop_window", s->self.crashes);
    } else if (s->self.hangs >= HA_HANGS_MAX) {
        ha_plan_because(plan, "it hung %u times, a start in place did not heal it", s->self.hangs);
    } else {
        return false;
    }
    return true;
}

/* The crashed primary had its time, or must not have any, and somebody else can take over; or it
 * had so much time that whoever will be able to is not to find the key taken. */
bool ha_rule_give_up(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    int64_t down_ms = ha_down_since_mono_ms(s);
    int64_t failed_ms = down_ms != HA_NEVER ? down_ms : s->self.run_since_mono_ms;
    bool leads = ha_armed_for_key(s) || (ha_leads_standby_cluster(s) && ha_lease_is_valid(s));
    if (!leads || !has_tried(s) || !is_over(s, plan)) {
        return false;
    }
    if (ha_candidate_possible(s, "", why) == NULL && lasted_ms(s, failed_ms) < give_up_ms(s)) {
        return false;
    }
    give_away(s, plan);
    return true;
}
