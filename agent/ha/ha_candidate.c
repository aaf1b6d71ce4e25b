/* The race for the next epoch.
 *
 * Nobody waits for the dead: a candidate decides when every member that is heard from has reported,
 * or after HA_COLLECT_MS. Nobody waits for ever for the living either: who has the better claim has
 * HA_YIELD_MS to use it. Safety does not hang on any of this (that is Acquire's compares); what
 * hangs on it is which rows survive. */
#include "agent/ha/ha_candidate.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 5))) static void answer(struct ha_candidacy *candidacy,
                                                         enum ha_verdict verdict, int64_t until_ms,
                                                         const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(candidacy->reason, sizeof candidacy->reason, fmt, args);
    va_end(args);
    candidacy->verdict = verdict;
    candidacy->until_mono_ms = until_ms;
}

static int64_t since_unlocked(const struct ha_snapshot *s, int64_t more_ms)
{
    return s->unlocked_since_mono_ms + more_ms;
}

static bool may_run(const struct ha_snapshot *s, const char *name)
{
    if (ha_is_me(s, name)) {
        return !s->self.tags.nofailover;
    }
    const struct ha_member *member = ha_cluster_member(&s->cluster, name);
    return member == NULL || !member->tags.nofailover;
}

static int priority(const struct ha_snapshot *s, const char *name)
{
    if (ha_is_me(s, name)) {
        return s->self.tags.failover_priority;
    }
    const struct ha_member *member = ha_cluster_member(&s->cluster, name);
    return member == NULL ? 1 : member->tags.failover_priority;
}

bool ha_report_is_ahead(const struct ha_snapshot *s, const struct ha_report *a,
                        const struct ha_report *b)
{
    if (a->timeline != b->timeline) {
        return a->timeline > b->timeline;
    }
    if (a->lsn != b->lsn) {
        return a->lsn > b->lsn;
    }
    int priority_a = priority(s, a->name);
    int priority_b = priority(s, b->name);
    if (priority_a != priority_b) {
        return priority_a > priority_b;
    }
    return strcmp(a->name, b->name) < 0;
}

bool ha_failover_is_due(const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (!failover->present || s->now_wall_ms < failover->scheduled_wall_ms ||
        failover->revision < s->cluster.epoch_revision) {
        return false; /* not yet, or the term that it was about is over */
    }
    return failover->leader[0] == '\0' || strcmp(failover->leader, s->cluster.epoch_holder) == 0;
}

/* A member that will not report soon is not worth the wait. */
static bool will_report(const struct ha_member *member)
{
    return strcmp(member->state, "creating replica") != 0 &&
           strcmp(member->state, "initializing new cluster") != 0;
}

/* Somebody who is alive and may still report something better; NULL = all have. */
static const char *awaited(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (ha_is_me(s, member->name) || member->tags.nofailover || !will_report(member)) {
            continue;
        }
        if (ha_failover_is_due(s) && strcmp(s->cluster.failover.leader, member->name) == 0) {
            continue; /* it has just stepped down for us */
        }
        if (ha_is_heard(s, member->name) &&
            !ha_report_is_current(s, ha_cluster_report(&s->cluster, member->name))) {
            return member->name;
        }
    }
    return NULL;
}

/* A report ahead of ours whose writer may still use it; NULL = we are the best. */
static const struct ha_report *better(const struct ha_snapshot *s, const struct ha_report *own)
{
    for (size_t i = 0; i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        if (!ha_report_is_current(s, report) || report->yields || ha_is_me(s, report->name) ||
            !may_run(s, report->name)) {
            continue;
        }
        bool in_time = s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS + HA_YIELD_MS);
        bool alive =
            ha_is_heard(s, report->name) || s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS);
        if (in_time && alive && ha_report_is_ahead(s, report, own)) {
            return report;
        }
    }
    return NULL;
}

/* Nobody else's rights are looked at here: may this member become primary at all? */
static bool unfit(const struct ha_snapshot *s, struct ha_candidacy *candidacy)
{
    if (s->settings.refused[0] != '\0') {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "'%s' in the configuration is not served here, so nothing is promoted",
               s->settings.refused);
        return true;
    }
    if (s->self.tags.nofailover) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "tag nofailover (or failover_priority 0)");
        return true;
    }
    int64_t failed_ms = s->self.promote_failed_mono_ms;
    if (failed_ms != HA_NEVER && s->now_mono_ms < failed_ms + s->settings.ttl_ms) {
        answer(candidacy, HA_VERDICT_NO, failed_ms + s->settings.ttl_ms,
               "a promotion has failed here less than a ttl ago");
        return true;
    }
    return false;
}

static bool lags(const struct ha_snapshot *s, const struct ha_report *own,
                 struct ha_candidacy *candidacy)
{
    uint64_t optime = s->cluster.status_optime;
    if (s->cluster.status_known && optime > own->lsn &&
        optime - own->lsn > (uint64_t)s->settings.maximum_lag_bytes) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "%" PRIu64 " bytes behind the last primary, maximum_lag_on_failover is %" PRId64,
               optime - own->lsn, s->settings.maximum_lag_bytes);
        return true;
    }
    if (s->settings.check_timeline && own->timeline < s->cluster.history_timeline) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "on timeline %" PRIu32 ", the cluster is on %" PRIu32, own->timeline,
               s->cluster.history_timeline);
        return true;
    }
    return false;
}

/* A switchover stops the old leader cleanly, and its last position is in `status`: whoever has it
 * may go on and nothing is lost. Who has it not leaves the key to those who have, the old leader in
 * the end. */
static bool switchover_would_lose(const struct ha_snapshot *s, const struct ha_report *own)
{
    return s->cluster.failover.leader[0] != '\0' && s->cluster.status_known &&
           own->lsn < s->cluster.status_optime;
}

/* The operator's word. False = the ordinary race. */
static bool requested(const struct ha_snapshot *s, const struct ha_report *own,
                      struct ha_candidacy *candidacy)
{
    const struct ha_failover *failover = &s->cluster.failover;
    int64_t yield_ms = since_unlocked(s, HA_YIELD_MS);
    if (!ha_failover_is_due(s)) {
        return false;
    }
    if (ha_is_me(s, failover->leader)) {
        answer(candidacy, HA_VERDICT_WAIT, yield_ms,
               "this member has stepped down for another one");
        return s->now_mono_ms < yield_ms;
    }
    if (switchover_would_lose(s, own)) {
        /* Twice as long: the old leader, which has everything, comes back first. */
        yield_ms = since_unlocked(s, 2 * (int64_t)HA_YIELD_MS);
        answer(candidacy, HA_VERDICT_WAIT, yield_ms,
               "the old leader stopped at a later position than ours");
        return s->now_mono_ms < yield_ms;
    }
    if (ha_is_me(s, failover->candidate)) {
        answer(candidacy, HA_VERDICT_RUN, HA_NEVER, "named as the candidate");
        return true;
    }
    if (failover->candidate[0] != '\0' && may_run(s, failover->candidate) &&
        ha_is_heard(s, failover->candidate)) {
        answer(candidacy, HA_VERDICT_WAIT, yield_ms, "'%s' is named as the candidate",
               failover->candidate);
        return s->now_mono_ms < yield_ms;
    }
    return false;
}

void ha_candidate_decide(const struct ha_snapshot *s, struct ha_candidacy *ret_candidacy)
{
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    memset(ret_candidacy, 0, sizeof *ret_candidacy);
    if (!ha_report_is_current(s, own) || own->yields) {
        answer(ret_candidacy, HA_VERDICT_NO, HA_NEVER, "no report of ours in the store");
        return;
    }
    if (unfit(s, ret_candidacy) || requested(s, own, ret_candidacy) ||
        lags(s, own, ret_candidacy)) {
        return;
    }
    const char *name = awaited(s);
    if (name != NULL && s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS)) {
        int64_t until_ms = since_unlocked(s, HA_COLLECT_MS);
        int64_t dead_ms = ha_heard_until(s, name) + 1; /* falling silent is no event */
        answer(ret_candidacy, HA_VERDICT_WAIT, dead_ms < until_ms ? dead_ms : until_ms,
               "'%s' is alive and has not reported", name);
        return;
    }
    const struct ha_report *ahead = better(s, own);
    if (ahead != NULL) {
        int64_t until_ms =
            ha_is_heard(s, ahead->name) ? HA_COLLECT_MS + HA_YIELD_MS : HA_COLLECT_MS;
        answer(ret_candidacy, HA_VERDICT_WAIT, since_unlocked(s, until_ms),
               "'%s' is ahead: timeline %" PRIu32 ", %" PRIX64 ", ours %" PRIu32 ", %" PRIX64,
               ahead->name, ahead->timeline, ahead->lsn, own->timeline, own->lsn);
        return;
    }
    answer(ret_candidacy, HA_VERDICT_RUN, HA_NEVER,
           "the best of the reports: timeline %" PRIu32 ", %" PRIX64, own->timeline, own->lsn);
}

/* Why this member could not take over; NULL = it could. */
static const char *obstacle(const struct ha_snapshot *s, const struct ha_member *member)
{
    if (member->tags.nofailover) {
        return "it has the tag nofailover";
    }
    if (strcmp(member->state, "running") != 0) {
        return "it is not running";
    }
    if (s->peer_count > 0 && !ha_is_heard(s, member->name)) {
        return "it is not heard from";
    }
    /* A clean stop waits for whoever streams; of the others only what they published is known. */
    uint64_t theirs = member->lsn;
    if (!ha_is_replicating(s, member->name, &theirs) && ha_runs_as(s, PG_PRIMARY)) {
        return "it does not stream from us";
    }
    uint64_t ours = s->self.lsn > s->cluster.status_optime ? s->self.lsn : s->cluster.status_optime;
    if (ours > theirs && ours - theirs > (uint64_t)s->settings.maximum_lag_bytes) {
        return "it lags more than maximum_lag_on_failover";
    }
    if (s->settings.check_timeline && member->timeline < s->cluster.history_timeline) {
        return "it is on an earlier timeline";
    }
    return NULL;
}

const struct ha_member *ha_candidate_possible(const struct ha_snapshot *s, const char *wanted,
                                              char *ret_reason)
{
    if (s->settings.refused[0] != '\0') {
        (void)snprintf(ret_reason, HA_REASON_BYTES, "'%s' in the configuration is not served here",
                       s->settings.refused);
        return NULL;
    }
    if (wanted[0] != '\0' && ha_cluster_member(&s->cluster, wanted) == NULL) {
        (void)snprintf(ret_reason, HA_REASON_BYTES, "'%s' is no member", wanted);
        return NULL;
    }
    (void)snprintf(ret_reason, HA_REASON_BYTES, "there is no other member");
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (ha_is_me(s, member->name) || (wanted[0] != '\0' && strcmp(member->name, wanted) != 0)) {
            continue;
        }
        const char *why = obstacle(s, member);
        if (why == NULL) {
            return member;
        }
        (void)snprintf(ret_reason, HA_REASON_BYTES, "'%s': %s", member->name, why);
    }
    return NULL;
}

void ha_acquire_fill(const struct ha_snapshot *s, bool with_reports, uint32_t timeline,
                     struct ha_acquire *ret_acquire)
{
    memset(ret_acquire, 0, sizeof *ret_acquire);
    ret_acquire->epoch_revision = s->cluster.epoch_revision;
    ret_acquire->config_revision = s->cluster.config_revision;
    ret_acquire->sync_revision = s->cluster.sync_revision;
    ret_acquire->timeline = timeline;
    for (size_t i = 0; with_reports && i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        if (ha_report_is_current(s, report)) {
            (void)snprintf(ret_acquire->reports[ret_acquire->report_count].member, HA_NAME_BYTES,
                           "%s", report->name);
            ret_acquire->reports[ret_acquire->report_count++].revision = report->revision;
        }
    }
}
