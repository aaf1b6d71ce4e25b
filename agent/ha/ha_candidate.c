/* The race for the next epoch.
 *
 * Nobody waits for the dead: a candidate decides when every member that is heard from has reported,
 * or after HA_COLLECT_MS. Nobody waits for ever for the living either: who has the better claim has
 * HA_YIELD_MS to use it. Safety does not hang on any of this (that is Acquire's compares); what
 * hangs on it is which rows survive. */
#include "agent/ha/ha_candidate.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_watchdog.h"

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

/* The race begins when the key is absent, and no promise keeps this member out of it; or, if it is
 * about a lease that still runs, when its holder has been silent for long enough. */
static int64_t since_unlocked(const struct ha_snapshot *s, int64_t more_ms)
{
    int64_t began_ms = s->unlocked_since_mono_ms;
    if (!ha_unlocked(s)) {
        return ha_depose_silent_since(s) + s->settings.election_timeout_ms + more_ms;
    }
    int64_t freed_ms = s->now_mono_ms + (s->failsafe.until_lease_ms - s->now_lease_ms);
    if (s->failsafe.until_lease_ms > 0 && freed_ms > began_ms) {
        began_ms = freed_ms;
    }
    return began_ms + more_ms;
}

static bool may_run(const struct ha_snapshot *s, const char *name)
{
    if (ha_is_me(s, name)) {
        return !s->self.tags.nofailover && ha_disk_takes_writes(s->self.disk);
    }
    const struct ha_member *member = ha_cluster_member(&s->cluster, name);
    return member == NULL || (!member->tags.nofailover && ha_disk_takes_writes(member->disk));
}

/* The mode is on, and /sync says for whom commits have waited: only they are as far as clients were
 * told. */
static bool is_synchronous(const struct ha_snapshot *s)
{
    return s->settings.synchronous_mode && (s->cluster.sync.present || s->cluster.sync.unreadable);
}

/* Can it become the primary, by its tags and by /sync? */
static bool may_win(const struct ha_snapshot *s, const char *name)
{
    return may_run(s, name) && (!is_synchronous(s) || ha_sync_key_has(&s->cluster.sync, name));
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
    /* Who led and has as much goes on, as where a standby cluster gets a primary of its own. One
     * that has stepped down for somebody is another matter. */
    const char *last = ha_cluster_last_holder(&s->cluster);
    bool a_led = strcmp(a->name, last) == 0;
    if (!s->cluster.failover.present && a_led != (strcmp(b->name, last) == 0)) {
        return a_led;
    }
    return strcmp(a->name, b->name) < 0;
}

bool ha_failover_is_due(const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (!failover->present || s->now_wall_ms < failover->scheduled_wall_ms ||
        failover->revision < ha_cluster_epoch(&s->cluster).revision) {
        return false; /* not yet, or the term that it was about is over */
    }
    const char *last = ha_cluster_last_holder(&s->cluster);
    return failover->leader[0] == '\0' || last[0] == '\0' || strcmp(failover->leader, last) == 0;
}

bool ha_awaits_order(const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    bool ordered = failover->present && failover->leader[0] == '\0' &&
                   failover->revision > s->cluster.recovered_revision &&
                   ha_is_me(s, failover->candidate);
    return s->cluster.recovered_revision != 0 && !ordered;
}

/* A member that will not report soon is not worth the wait. One that is to be made anew says that
 * it is copied from the order on; until it is stopped it tells where it is. */
static bool will_report(const struct ha_member *member)
{
    bool copied = strcmp(member->state, "creating replica") == 0 && member->lsn == 0;
    return !copied && strcmp(member->state, "initializing new cluster") != 0 &&
           strcmp(member->state, "running custom bootstrap script") != 0;
}

/* Its report is one that this race goes by. */
static bool is_counted(const struct ha_snapshot *s, const struct ha_report *report)
{
    return ha_unlocked(s) ? ha_report_is_current(s, report) : ha_depose_counts(s, report);
}

/* By what is heard of it directly: is it alive, and has not said all that it will say? */
static bool is_due(const struct ha_snapshot *s, const char *name)
{
    const struct ha_peer *peer = ha_peer(s, name);
    if (peer == NULL || is_counted(s, ha_cluster_report(&s->cluster, name))) {
        return false;
    }
    if (ha_failover_is_due(s) && strcmp(s->cluster.failover.leader, name) == 0) {
        return false; /* it has just stepped down for us */
    }
    return peer->asking || (ha_is_heard(s, name) && !peer->patroni);
}

/* Somebody who is alive and may still report something better; NULL = all have. */
static const char *awaited(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        bool counts = may_win(s, member->name) ||
                      (is_synchronous(s) && ha_sync_key_has(&s->cluster.sync, member->name));
        bool leads = strcmp(member->name, s->cluster.leader) == 0; /* whom this is about */
        if (!ha_is_me(s, member->name) && !leads && counts && will_report(member) &&
            is_due(s, member->name)) {
            return member->name;
        }
    }
    for (size_t i = 0; i < s->peer_count; i++) {
        /* Its member key has run out, perhaps while etcd was away, and it is asked or has answered
         * how far it is. The last leader's always has: it publishes itself again if it lives. */
        const struct ha_peer *peer = &s->peers[i];
        bool may_tell = (peer->asking || peer->lsn > 0) && !peer->nofailover &&
                        may_win(s, peer->name) &&
                        strcmp(ha_cluster_last_holder(&s->cluster), peer->name) != 0;
        if (ha_cluster_member(&s->cluster, peer->name) == NULL && may_tell &&
            is_due(s, peer->name)) {
            return peer->name;
        }
    }
    return NULL;
}

/* A primary that answers takes the key again, or stops: its lease or its own watchdog sees to it.
 * To take the key while clients write there would be two writers. */
static const char *living_primary(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->peer_count; i++) {
        if (s->peers[i].primary && ha_is_heard(s, s->peers[i].name)) {
            return s->peers[i].name;
        }
    }
    return NULL;
}

/* What a Patroni member has answered, as if it had reported. It knows no yielding: it has at least
 * one turn of its loop in a ttl. False = no such member is ahead. */
static bool patroni_is_ahead(const struct ha_snapshot *s, const struct ha_report *own,
                             struct ha_candidacy *candidacy)
{
    int64_t until_ms = since_unlocked(s, HA_COLLECT_MS + s->settings.ttl_ms);
    for (size_t i = 0; i < s->peer_count && s->now_mono_ms < until_ms; i++) {
        const struct ha_peer *peer = &s->peers[i];
        struct ha_report answered = {.timeline = peer->timeline, .lsn = peer->lsn};
        if (answered.timeline == 0) {
            answered.timeline = own->timeline; /* it compares positions alone */
        }
        (void)snprintf(answered.name, sizeof answered.name, "%s", peer->name);
        if (!peer->patroni || peer->nofailover || !may_win(s, peer->name) || peer->lsn == 0 ||
            !ha_is_heard(s, peer->name) || !ha_report_is_ahead(s, &answered, own)) {
            continue;
        }
        if (answered.timeline == own->timeline && answered.lsn == own->lsn &&
            priority(s, peer->name) == priority(s, s->self.name)) {
            continue; /* its name decides nothing: it does not look at ours either */
        }
        answer(candidacy, HA_VERDICT_WAIT, until_ms,
               "'%s' answers that it is ahead: timeline %" PRIu32 ", %" PRIX64 ", ours %" PRIu32
               ", %" PRIX64,
               answered.name, answered.timeline, answered.lsn, own->timeline, own->lsn);
        return true;
    }
    return false;
}

/* A report ahead of ours whose writer may still use it; NULL = we are the best. */
static const struct ha_report *better(const struct ha_snapshot *s, const struct ha_report *own)
{
    for (size_t i = 0; i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        if (!is_counted(s, report) || report->yields || report->unfit ||
            ha_is_me(s, report->name) || !may_win(s, report->name)) {
            continue;
        }
        bool in_time = s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS + HA_YIELD_MS);
        bool alive =
            ha_is_heard(s, report->name) || s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS);
        /* A postmaster of ours that hangs would not be promoted: then everybody else is. */
        bool hangs = s->self.silent_since_mono_ms != HA_NEVER;
        if (in_time && alive && (hangs || ha_report_is_ahead(s, report, own))) {
            return report;
        }
    }
    return NULL;
}

/* Reports of members of /sync that we are not behind. Enough of them meet every commit that was
 * answered, so one who is behind none of these has them all, whoever else is further. */
static unsigned confirming(const struct ha_snapshot *s, const struct ha_report *own)
{
    unsigned count = 0;
    for (size_t i = 0; i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        bool counts = is_counted(s, report) && report->timeline > 0 && report->lsn > 0 &&
                      ha_sync_key_has(&s->cluster.sync, report->name);
        bool behind_us = report->timeline < own->timeline ||
                         (report->timeline == own->timeline && report->lsn <= own->lsn);
        count += counts && behind_us ? 1 : 0;
    }
    return count;
}

/* Synchronous mode: commits that clients were told of may be missing here. */
static bool may_lack_commits(const struct ha_snapshot *s, const struct ha_report *own,
                             struct ha_candidacy *candidacy)
{
    const struct ha_sync_key *sync = &s->cluster.sync;
    if (!is_synchronous(s)) {
        return false;
    }
    if (sync->unreadable) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "synchronous mode: the key 'sync' cannot be read, so nobody knows who may run");
        return true;
    }
    if (!ha_sync_key_has(sync, s->self.name)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "synchronous mode: not among those that '%s' waited for", sync->leader);
        return true;
    }
    unsigned count = confirming(s, own);
    if (count <= sync->quorum) {
        answer(
            candidacy, HA_VERDICT_WAIT, HA_NEVER,
            "synchronous mode: %u of the members of 'sync' have reported no further position than "
            "ours, %u are needed",
            count, sync->quorum + 1);
        return true;
    }
    return false;
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
    if (s->settings.paused &&
        !(ha_failover_is_due(s) && ha_is_me(s, s->cluster.failover.candidate))) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "the cluster is paused");
        return true;
    }
    if (s->cluster.unfenced_revision > 0 && !ha_passes_unfenced(s)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "the last primary '%s' may still run, unfenced since a pause: it takes the key "
               "again, or the operator says failover --candidate %s --force",
               ha_cluster_last_holder(&s->cluster), s->self.name);
        return true;
    }
    if (ha_awaits_order(s)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER,
               "the store was recovered after the loss of its majority: nobody is promoted before "
               "'failover --candidate NAME --force'");
        return true;
    }
    if (s->self.tags.nofailover) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "tag nofailover (or failover_priority 0)");
        return true;
    }
    if (!ha_disk_takes_writes(s->self.disk)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "the disk of '%s' is %s", s->self.disk_place,
               ha_disk_name(s->self.disk));
        return true;
    }
    if (ha_watchdog_bars(s)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "watchdog.mode is required: %s",
               s->watchdog.why);
        return true;
    }
    if (ha_fence_bars(s)) {
        answer(candidacy, HA_VERDICT_NO, HA_NEVER, "the fence does not answer");
        return true;
    }
    int64_t until_ms;
    const char *obstacle = ha_failsafe_obstacle(s, &until_ms);
    if (obstacle != NULL) {
        answer(candidacy, until_ms == HA_NEVER ? HA_VERDICT_NO : HA_VERDICT_WAIT, until_ms, "%s",
               obstacle);
        return true;
    }
    if (ha_promotion_failed_lately(s, &until_ms)) {
        answer(candidacy, HA_VERDICT_NO, until_ms,
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
    if (s->settings.check_timeline && !s->settings.standby_cluster &&
        own->timeline < s->cluster.history_timeline) {
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

/* Something that could hold a database: a witness votes in the Raft group, and is heard there, but
 * has no member key, makes no report and is asked nothing. */
static bool may_be_candidate(const struct ha_snapshot *s, const struct ha_peer *peer)
{
    bool is_member = ha_cluster_member(&s->cluster, peer->name) != NULL ||
                     ha_cluster_report(&s->cluster, peer->name) != NULL;
    return (is_member || peer->asking || peer->lsn > 0) && may_run(s, peer->name) &&
           !peer->nofailover;
}

/* A failover without a leader's name is the operator's decision over what may be lost: in the term
 * in which it was given, and no later one. */
static bool is_ordered(const struct ha_snapshot *s, const char *name)
{
    const struct ha_failover *failover = &s->cluster.failover;
    return ha_failover_is_due(s) && failover->leader[0] == '\0' &&
           strcmp(failover->candidate, name) == 0;
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
        if (!is_ordered(s, s->self.name) && may_lack_commits(s, own, candidacy)) {
            return true;
        }
        answer(candidacy, HA_VERDICT_RUN, HA_NEVER, "named as the candidate");
        return true;
    }
    const struct ha_peer *candidate = ha_peer(s, failover->candidate);
    if (candidate != NULL && may_be_candidate(s, candidate) &&
        (candidate->asking || ha_is_heard(s, failover->candidate))) {
        answer(candidacy, HA_VERDICT_WAIT, yield_ms, "'%s' is named as the candidate",
               failover->candidate);
        return s->now_mono_ms < yield_ms;
    }
    return false;
}

/* Nobody has led by this store, and its data directories are of different age: no report has to
 * come in time for that. It is waited for until it leads, says that it cannot, or its record ends.
 */
static bool newer_data(const struct ha_snapshot *s, struct ha_candidacy *candidacy)
{
    const struct ha_member *newer = ha_partner_newer(s);
    if (newer == NULL || !may_win(s, newer->name)) {
        return false;
    }
    const struct ha_report *report = ha_cluster_report(&s->cluster, newer->name);
    if (is_counted(s, report) && (report->yields || report->unfit)) {
        return false;
    }
    answer(candidacy, HA_VERDICT_WAIT, HA_NEVER,
           "'%s' has newer data of this cluster (timeline %" PRIu32 ")", newer->name,
           ha_partner_timeline(newer));
    return true;
}

void ha_candidate_decide(const struct ha_snapshot *s, struct ha_candidacy *ret_candidacy)
{
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    memset(ret_candidacy, 0, sizeof *ret_candidacy);
    if (!is_counted(s, own) || own->yields) {
        answer(ret_candidacy, HA_VERDICT_NO, HA_NEVER, "no report of ours in the store");
        return;
    }
    if (unfit(s, ret_candidacy)) {
        return;
    }
    const char *name = ha_passes_unfenced(s) ? NULL : living_primary(s);
    if (name != NULL) {
        answer(ret_candidacy, HA_VERDICT_WAIT, ha_heard_until(s, name) + 1,
               "'%s' still runs as a primary", name);
        return;
    }
    /* An order is about the race that follows the end of the lease. */
    bool answered = ha_unlocked(s) && requested(s, own, ret_candidacy);
    if (answered || lags(s, own, ret_candidacy) || newer_data(s, ret_candidacy)) {
        return;
    }
    name = awaited(s);
    if (name != NULL && s->now_mono_ms < since_unlocked(s, HA_COLLECT_MS)) {
        int64_t until_ms = since_unlocked(s, HA_COLLECT_MS);
        bool heard = ha_is_heard(s, name);
        int64_t dead_ms = heard ? ha_heard_until(s, name) + 1 : until_ms; /* that is no event */
        answer(ret_candidacy, HA_VERDICT_WAIT, dead_ms < until_ms ? dead_ms : until_ms,
               heard ? "'%s' is alive and has not reported" : "'%s' is being asked", name);
        return;
    }
    if (patroni_is_ahead(s, own, ret_candidacy)) {
        return;
    }
    const struct ha_report *ahead = better(s, own);
    if (ahead != NULL) {
        int64_t until_ms =
            ha_is_heard(s, ahead->name) ? HA_COLLECT_MS + HA_YIELD_MS : HA_COLLECT_MS;
        bool hangs = s->self.silent_since_mono_ms != HA_NEVER;
        answer(
            ret_candidacy, HA_VERDICT_WAIT, since_unlocked(s, until_ms),
            hangs ? "PostgreSQL answers no new connection here, and '%s' is well: timeline %" PRIu32
                    ", %" PRIX64 ", ours %" PRIu32 ", %" PRIX64
                  : "'%s' is ahead: timeline %" PRIu32 ", %" PRIX64 ", ours %" PRIu32 ", %" PRIX64,
            ahead->name, ahead->timeline, ahead->lsn, own->timeline, own->lsn);
        return;
    }
    if (may_lack_commits(s, own, ret_candidacy)) {
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
    if (ha_disk_is_low_or_worse(member->disk) && !is_ordered(s, member->name)) {
        return "its disk is almost full, or takes no writes";
    }
    if (member->fence_silent) {
        return "its fence does not answer";
    }
    if (is_synchronous(s) && !ha_sync_key_has(&s->cluster.sync, member->name) &&
        !is_ordered(s, member->name)) {
        return "it is not synchronous";
    }
    const struct ha_peer *peer = ha_peer(s, member->name);
    if (s->peer_count > 0 && (peer == NULL || !peer->asking) && !ha_is_heard(s, member->name)) {
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
    if (s->settings.check_timeline && !s->settings.standby_cluster &&
        member->timeline < s->cluster.history_timeline) {
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

/* A primary that runs under no deadline goes on so, in the new epoch; the next decisions arm the
 * page, if it is to be armed, and remove the key after that. In pause that is so for whoever takes
 * the key again: what does not run may be started by hand before the next decision. */
static enum ha_unfenced unfenced_after(const struct ha_snapshot *s, bool with_reports)
{
    bool unbound =
        ha_runs_as(s, PG_PRIMARY) && !ha_deadline_binds(s) && s->cluster.unfenced_revision > 0;
    if (!with_reports && (s->settings.paused || ha_page_is_open(s) || unbound)) {
        return HA_UNFENCED_PUT;
    }
    return s->cluster.unfenced_revision > 0 ? HA_UNFENCED_REMOVE : HA_UNFENCED_LEAVE;
}

void ha_acquire_fill(const struct ha_snapshot *s, bool with_reports, uint32_t timeline,
                     struct ha_acquire *ret_acquire)
{
    memset(ret_acquire, 0, sizeof *ret_acquire);
    ret_acquire->epoch_revision = s->cluster.epoch_revision;
    ret_acquire->config_revision = s->cluster.config_revision;
    ret_acquire->sync_revision = s->cluster.sync_revision;
    ret_acquire->recovered_revision = s->cluster.recovered_revision;
    ret_acquire->timeline = timeline;
    ret_acquire->unfenced_revision = s->cluster.unfenced_revision;
    ret_acquire->unfenced = unfenced_after(s, with_reports);
    for (size_t i = 0; with_reports && i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        if (is_counted(s, report)) {
            (void)snprintf(ret_acquire->reports[ret_acquire->report_count].member, HA_NAME_BYTES,
                           "%s", report->name);
            ret_acquire->reports[ret_acquire->report_count++].revision = report->revision;
        }
    }
}
