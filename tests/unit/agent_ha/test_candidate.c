/* The race, all of its small space: three members, their positions, tags and who is alive. */
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_timeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER 0xabcULL
#define MEMBERS 3

struct runner {
    uint32_t timeline;
    uint64_t lsn;
    int priority;
    bool nofailover;
    bool reported;
    bool alive;
};

/* The snapshot that member `self` of the three has. The old primary was n9, which is gone. */
static void see(const struct runner *runners, int self, int64_t since_ms, struct ha_snapshot *s)
{
    ha_snapshot_init(s);
    s->now_mono_ms = 100000;
    s->now_lease_ms = 100000;
    s->unlocked_since_mono_ms = 100000 - since_ms;
    s->cluster.known = true;
    s->cluster.cluster_id = CLUSTER;
    s->cluster.epoch_revision = 9;
    (void)strcpy(s->cluster.epoch_holder, "n9");
    (void)strcpy(s->cluster.initialize, "7000000000000000001");
    for (int i = 0; i < MEMBERS; i++) {
        const struct runner *runner = &runners[i];
        char name[HA_NAME_BYTES];
        (void)snprintf(name, sizeof name, "n%d", i);
        if (i == self) {
            (void)strcpy(s->self.name, name);
            s->self.tags.nofailover = runner->nofailover;
            s->self.tags.failover_priority = runner->priority;
            s->self.timeline = runner->timeline;
            s->self.lsn = runner->lsn;
        } else {
            struct ha_peer *peer = &s->peers[s->peer_count++];
            (void)strcpy(peer->name, name);
            peer->heard_mono_ms = runner->alive ? 100000 : 90000;
        }
        struct ha_member *member = &s->cluster.members[s->cluster.member_count++];
        (void)strcpy(member->name, name);
        (void)strcpy(member->state, "running");
        member->tags.nofailover = runner->nofailover;
        member->tags.failover_priority = runner->priority;
        if (runner->reported) {
            struct ha_report *report = &s->cluster.reports[s->cluster.report_count++];
            (void)strcpy(report->name, name);
            report->valid = true;
            report->revision = 20 + i;
            report->epoch = (struct ha_epoch){CLUSTER, 9};
            report->timeline = runner->timeline;
            report->lsn = runner->lsn;
        }
    }
}

static void runner_of(unsigned number, struct runner *runner)
{
    *runner = (struct runner){.timeline = 1 + number % 2,
                              .lsn = 0x100 * (1 + number / 2 % 3),
                              .priority = 1 + (int)(number / 6 % 2),
                              .nofailover = number / 12 % 2 == 1,
                              .reported = true,
                              .alive = true};
}

static void all_are(unsigned number, struct runner *runners)
{
    for (int i = 0; i < MEMBERS; i++) {
        runner_of(number, &runners[i]);
    }
}
#define RUNNERS 24U

static bool ahead(const struct runner *a, const struct runner *b)
{
    return a->timeline != b->timeline ? a->timeline > b->timeline : a->lsn > b->lsn;
}

/* All are alive and have reported: exactly one runs, and no eligible one has more than it. */
static void exactly_one_runs_and_it_is_the_furthest(void **state)
{
    static struct ha_snapshot s;
    (void)state;
    for (unsigned number = 0; number < RUNNERS * RUNNERS * RUNNERS; number++) {
        struct runner runners[MEMBERS];
        runner_of(number % RUNNERS, &runners[0]);
        runner_of(number / RUNNERS % RUNNERS, &runners[1]);
        runner_of(number / RUNNERS / RUNNERS, &runners[2]);
        int running = 0;
        int winner = -1;
        for (int self = 0; self < MEMBERS; self++) {
            struct ha_candidacy candidacy;
            see(runners, self, 10, &s);
            ha_candidate_decide(&s, &candidacy);
            if (candidacy.verdict == HA_VERDICT_RUN) {
                running++;
                winner = self;
            }
        }
        bool somebody = !runners[0].nofailover || !runners[1].nofailover || !runners[2].nofailover;
        assert_int_equal(running, somebody ? 1 : 0);
        for (int i = 0; somebody && i < MEMBERS; i++) {
            assert_false(!runners[i].nofailover && ahead(&runners[i], &runners[winner]));
        }
    }
}

/* Any of the others may be dead, silent, or both: whoever is left decides in a bounded time. */
static void nobody_waits_for_ever(void **state)
{
    static struct ha_snapshot s;
    (void)state;
    for (unsigned number = 0; number < 6 * 6 * 16; number++) {
        struct runner runners[MEMBERS];
        runner_of(1, &runners[0]);
        runner_of(number % 6, &runners[1]);
        runner_of(number / 6 % 6, &runners[2]);
        runners[1].alive = number / 36 % 2 == 1;
        runners[1].reported = number / 72 % 2 == 1;
        runners[2].alive = number / 144 % 2 == 1;
        runners[2].reported = number / 288 % 2 == 1;
        struct ha_candidacy candidacy;
        see(runners, 0, HA_COLLECT_MS + HA_YIELD_MS, &s);
        ha_candidate_decide(&s, &candidacy);
        assert_int_equal(candidacy.verdict, HA_VERDICT_RUN);
        /* While it waits, it says until when, and that is not past. */
        for (int64_t since = 0; since < HA_COLLECT_MS + HA_YIELD_MS; since += 100) {
            see(runners, 0, since, &s);
            ha_candidate_decide(&s, &candidacy);
            assert_true(candidacy.verdict != HA_VERDICT_NO);
            assert_true(candidacy.verdict == HA_VERDICT_RUN ||
                        candidacy.until_mono_ms > s.now_mono_ms);
        }
    }
}

/* A member that is alive and silent is waited for, for a second and not longer; a dead one not at
 * all. */
static void only_the_living_are_waited_for(void **state)
{
    static struct ha_snapshot s;
    struct runner runners[MEMBERS];
    struct ha_candidacy candidacy;
    (void)state;
    all_are(1, runners);
    runners[2].reported = false;
    see(runners, 0, HA_COLLECT_MS - 1, &s);
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_WAIT);
    assert_int_equal(candidacy.until_mono_ms, s.now_mono_ms + 1);
    /* Before that it looks again when the silent one counts as dead: silence is no event. */
    see(runners, 0, 10, &s);
    s.settings.election_timeout_ms = 300;
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.until_mono_ms, s.now_mono_ms + 301);
    see(runners, 0, HA_COLLECT_MS, &s);
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_RUN);
    runners[2].alive = false;
    see(runners, 0, 0, &s);
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_RUN);
}

static void member_without_a_report_does_not_run(void **state)
{
    static struct ha_snapshot s;
    struct runner runners[MEMBERS];
    struct ha_candidacy candidacy;
    (void)state;
    all_are(1, runners);
    runners[0].reported = false;
    see(runners, 0, 10, &s);
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_NO);
    /* Nor on the strength of one that leaves another epoch, was withdrawn, is of another cluster,
     * or yields. */
    for (int way = 0; way < 5; way++) {
        runners[0].reported = true;
        see(runners, 0, 10, &s);
        struct ha_report *own = &s.cluster.reports[0];
        own->epoch.revision = way == 0 ? 8 : 9;
        own->withdrawn = way == 1;
        own->valid = way != 2;
        own->yields = way == 3;
        (void)strcpy(own->system_id, way == 4 ? "7000000000000000002" : "");
        ha_candidate_decide(&s, &candidacy);
        assert_int_equal(candidacy.verdict, HA_VERDICT_NO);
    }
}

/* I6: above every number that anybody has named. */
static void timeline_is_above_every_number_named(void **state)
{
    static struct ha_snapshot s;
    (void)state;
    for (unsigned number = 0; number < 4 * 4 * 4 * 4 * 4; number++) {
        struct runner runners[MEMBERS];
        all_are(0, runners);
        uint32_t named[5];
        for (unsigned i = 0, rest = number; i < 5; i++, rest /= 4) {
            named[i] = 1 + rest % 4;
        }
        runners[0].timeline = named[0];
        runners[1].timeline = named[1];
        see(runners, 0, 10, &s);
        s.cluster.epoch_timeline = named[2];
        s.cluster.history_timeline = named[3];
        s.self.control_timeline = named[4];
        uint32_t next = ha_timeline_next(&s);
        uint32_t highest = 0;
        for (int i = 0; i < 5; i++) {
            assert_true(next > named[i]);
            highest = named[i] > highest ? named[i] : highest;
        }
        assert_int_equal(next, highest + 1);
    }
}

static void acquisition_names_what_was_counted(void **state)
{
    static struct ha_snapshot s;
    struct runner runners[MEMBERS];
    struct ha_acquire acquire;
    (void)state;
    all_are(0, runners);
    runners[1].reported = false;
    see(runners, 0, 10, &s);
    s.cluster.config_revision = 4;
    s.cluster.sync_revision = 5;
    ha_acquire_fill(&s, true, 7, &acquire);
    assert_int_equal(acquire.epoch_revision, 9);
    assert_int_equal(acquire.config_revision, 4);
    assert_int_equal(acquire.sync_revision, 5);
    assert_int_equal(acquire.timeline, 7);
    assert_int_equal(acquire.report_count, 2);
    assert_string_equal(acquire.reports[1].member, "n2");
    assert_int_equal(acquire.reports[1].revision, 22);
    ha_acquire_fill(&s, false, 7, &acquire);
    assert_int_equal(acquire.report_count, 0);
}

/* A switchover loses nothing: who has less than the old leader had leaves the key to those who have
 * it. */
static void switchover_runs_only_with_everything(void **state)
{
    static struct ha_snapshot s;
    struct runner runners[MEMBERS];
    struct ha_candidacy candidacy;
    (void)state;
    all_are(0, runners);
    for (int named = 0; named < 3; named++) {
        for (uint64_t optime = 0xff; optime <= 0x101; optime++) {
            see(runners, 0, 10, &s);
            s.cluster.failover.present = true;
            s.cluster.failover.revision = 15;
            (void)strcpy(s.cluster.failover.leader, "n9");
            (void)snprintf(s.cluster.failover.candidate, HA_NAME_BYTES, "%s",
                           named == 0   ? ""
                           : named == 1 ? "n0"
                                        : "n1");
            s.cluster.status_known = true;
            s.cluster.status_optime = optime;
            ha_candidate_decide(&s, &candidacy);
            bool expected = optime <= 0x100 && named != 2;
            assert_int_equal(candidacy.verdict, expected ? HA_VERDICT_RUN : HA_VERDICT_WAIT);
        }
    }
}

/* The leader n0, with n1 and n2 streaming from it, everything as it should be for a switchover. */
static void see_leader(struct ha_snapshot *s)
{
    struct runner runners[MEMBERS];
    all_are(0, runners);
    see(runners, 0, 0, s);
    s->self.run = HA_RUN_RUNNING;
    s->self.role = PG_PRIMARY;
    s->settings.maximum_lag_bytes = 1000;
    s->settings.check_timeline = true;
    s->cluster.history_timeline = 3;
    s->self.lsn = 5000;
    s->cluster.status_optime = 4000;
    for (size_t i = 0; i < MEMBERS; i++) {
        s->cluster.members[i].timeline = 3;
        s->cluster.members[i].lsn = 4000;
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(s->self.replicas[i].name, HA_NAME_BYTES, "n%zu", i + 1);
        s->self.replicas[i].lsn = 4000; /* just not too far behind */
    }
    s->self.replica_count = 2;
}

static void nobody_is_possible(const struct ha_snapshot *s, const char *wanted, const char *words)
{
    char reason[HA_REASON_BYTES] = "";
    assert_null(ha_candidate_possible(s, wanted, reason));
    if (strcmp(reason, words) != 0) {
        fail_msg("'%s', not '%s'", reason, words);
    }
}

/* It is heard in the Raft group, and has no member key. */
static void add_witness(struct ha_snapshot *s)
{
    struct ha_peer *peer = &s->peers[s->peer_count++];
    *peer = (struct ha_peer){.heard_mono_ms = s->now_mono_ms};
    (void)strcpy(peer->name, "witness");
}

static void a_witness_is_neither_waited_for_nor_a_candidate(void **state)
{
    static struct ha_snapshot s;
    struct ha_candidacy candidacy;
    char reason[HA_REASON_BYTES];
    (void)state;
    const struct runner runners[MEMBERS] = {
        {.timeline = 1, .lsn = 0x200, .priority = 1, .reported = true, .alive = true},
        {.timeline = 1, .lsn = 0x100, .priority = 1, .reported = true, .alive = true},
        {.timeline = 1, .lsn = 0x100, .priority = 1, .reported = true, .alive = true}};
    see(runners, 0, 0, &s);
    add_witness(&s);
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_RUN);
    assert_null(ha_candidate_possible(&s, "witness", reason));
    assert_string_equal(reason, "'witness' is no member");
    /* Somebody has named it all the same, past the checks of ours. */
    s.cluster.failover = (struct ha_failover){.present = true, .revision = 10};
    (void)strcpy(s.cluster.failover.candidate, "witness");
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_RUN);
    /* Another member that is named is waited for. */
    (void)strcpy(s.cluster.failover.candidate, "n1");
    ha_candidate_decide(&s, &candidacy);
    assert_int_equal(candidacy.verdict, HA_VERDICT_WAIT);
}

/* Each fact that speaks against n1, alone: it is said, and n2 is taken when nobody was named. */
static void whatever_speaks_against_a_candidate_is_said(void **state)
{
    static struct ha_snapshot s;
    static const char *const words[] = {"'n1': it has the tag nofailover",
                                        "'n1': it is not running",
                                        "'n1': it is not heard from",
                                        "'n1': it is not heard from",
                                        "'n1': it does not stream from us",
                                        "'n1': it lags more than maximum_lag_on_failover",
                                        "'n1': it lags more than maximum_lag_on_failover",
                                        "'n1': it is on an earlier timeline"};
    char reason[HA_REASON_BYTES];
    (void)state;
    for (size_t way = 0; way < sizeof words / sizeof words[0]; way++) {
        see_leader(&s);
        assert_string_equal(ha_candidate_possible(&s, "n1", reason)->name, "n1");
        struct ha_member *n1 = &s.cluster.members[1];
        switch (way) {
        case 0: n1->tags.nofailover = true; break;
        case 1: (void)strcpy(n1->state, "starting"); break;
        case 2: s.peers[0].heard_mono_ms = HA_NEVER; break;
        case 3:
            s.peers[0].heard_mono_ms = s.now_mono_ms - s.settings.election_timeout_ms - 1;
            break;
        case 4: (void)strcpy(s.self.replicas[0].name, "n7"); break;
        case 5: s.self.replicas[0].lsn = 3999; break;
        case 6: s.self.lsn = 5001; break;
        case 7: n1->timeline = 2; break;
        }
        nobody_is_possible(&s, "n1", words[way]);
        const struct ha_member *other = ha_candidate_possible(&s, "", reason);
        if (way == 6) { /* that one speaks against both */
            assert_null(other);
        } else {
            assert_string_equal(other->name, "n2");
        }
    }
}

/* What does not speak against it. */
static void a_candidate_need_not_be_more_than_possible(void **state)
{
    static struct ha_snapshot s;
    char reason[HA_REASON_BYTES];
    (void)state;
    see_leader(&s);
    s.peer_count = 0; /* an etcd cluster: nobody is heard from */
    assert_non_null(ha_candidate_possible(&s, "n1", reason));
    see_leader(&s);
    s.settings.check_timeline = false;
    s.cluster.members[1].timeline = 2;
    assert_non_null(ha_candidate_possible(&s, "n1", reason));
    see_leader(&s); /* a standby asks: of others it knows what they published */
    s.self.role = PG_STANDBY;
    s.self.replica_count = 0;
    assert_non_null(ha_candidate_possible(&s, "n1", reason));
    s.cluster.members[1].lsn = 3999;
    nobody_is_possible(&s, "n1", "'n1': it lags more than maximum_lag_on_failover");
    see_leader(&s);
    s.self.lsn = 0; /* then the published position counts */
    s.cluster.status_optime = 5001;
    nobody_is_possible(&s, "n1", "'n1': it lags more than maximum_lag_on_failover");
}

static void a_candidate_that_is_none_is_refused_with_words(void **state)
{
    static struct ha_snapshot s;
    (void)state;
    see_leader(&s);
    nobody_is_possible(&s, "n8", "'n8' is no member");
    nobody_is_possible(&s, "n0", "there is no other member");
    (void)strcpy(s.settings.refused, "citus");
    nobody_is_possible(&s, "n1", "'citus' in the configuration is not served here");
    see_leader(&s);
    s.cluster.member_count = 1;
    nobody_is_possible(&s, "", "there is no other member");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_one_runs_and_it_is_the_furthest),
        cmocka_unit_test(nobody_waits_for_ever),
        cmocka_unit_test(only_the_living_are_waited_for),
        cmocka_unit_test(member_without_a_report_does_not_run),
        cmocka_unit_test(timeline_is_above_every_number_named),
        cmocka_unit_test(acquisition_names_what_was_counted),
        cmocka_unit_test(switchover_runs_only_with_everything),
        cmocka_unit_test(a_witness_is_neither_waited_for_nor_a_candidate),
        cmocka_unit_test(whatever_speaks_against_a_candidate_is_said),
        cmocka_unit_test(a_candidate_need_not_be_more_than_possible),
        cmocka_unit_test(a_candidate_that_is_none_is_refused_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
