/* The holder's side of the lease: exact numbers, and every short history of sends, answers and
 * losses. */
#include "agent/ha/ha_lease.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct ha_epoch epoch9 = {0xabc, 9};
static const struct ha_epoch epoch8 = {0xabc, 8};
static const struct ha_epoch other_cluster9 = {0xdef, 9};

static void numbers_of_the_documentation(void **state)
{
    (void)state;
    assert_int_equal(ha_lease_kill_ms(30000), 27000);
    assert_int_equal(ha_lease_soft_ms(30000), 25000);
    assert_int_equal(ha_lease_renew_ms(30000, 10000), 5000);
    assert_int_equal(ha_lease_renew_ms(30000, 1000), 1000);
    assert_int_equal(ha_lease_attempt_ms(30000), 5000);
    assert_int_equal(ha_lease_kill_ms(3000), 2600);
    assert_int_equal(ha_lease_soft_ms(3000), 2400);
    assert_int_equal(ha_lease_renew_ms(3000, 1000), 500);
}

/* rule 3: the inequality, with rate errors and the time that killing takes, for every ttl that is
 * accepted. */
static void every_accepted_ttl_is_safe(void **state)
{
    (void)state;
    for (int64_t ttl = HA_TTL_MS_MIN; ttl <= 600000; ttl += 100) {
        assert_true(ha_lease_ttl_is_safe(ttl));
        double kill = (double)ha_lease_kill_ms(ttl);
        assert_true(kill * 1.0005 + HA_KILL_MS_MAX < (double)ttl * 0.9995);
        assert_true(ha_lease_soft_ms(ttl) > 0 && ha_lease_soft_ms(ttl) < ha_lease_kill_ms(ttl));
        assert_true(ha_lease_renew_ms(ttl, 10000) + 2 * ha_lease_attempt_ms(ttl) <=
                    ha_lease_soft_ms(ttl));
    }
    assert_false(ha_lease_ttl_is_safe(HA_TTL_MS_MIN - 1));
    assert_false(ha_lease_ttl_is_safe(0));
}

static void acquired_counts_from_the_send(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    struct ha_holding holding = {0};
    (void)state;
    ha_lease_init(&lease);
    assert_false(ha_lease_page(&lease, &page));
    assert_true(ha_lease_acquired(&lease, epoch9, 1000, 3000, 1100));
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.soft_ms, 3400);
    assert_int_equal(page.deadline_ms, 3600);
    assert_int_equal(page.watchdog_ms, 3998);
    assert_true(ha_epoch_equal(page.epoch, epoch9));
    assert_true(ha_lease_valid(&lease, 3399));
    assert_false(ha_lease_valid(&lease, 3400));
    assert_int_equal(ha_lease_wait_ms(&lease, 1100), 400);
    assert_false(ha_lease_due(&lease, 1499));
    assert_true(ha_lease_due(&lease, 1500));
    ha_lease_holding(&lease, false, &holding);
    assert_true(holding.held && holding.renewed && !holding.acquiring);
    assert_true(ha_epoch_equal(holding.epoch, epoch9));
    assert_true(ha_epoch_equal(holding.acquired, epoch9));
    assert_int_equal(holding.soft_lease_ms, 3400);
    assert_int_equal(holding.deadline_lease_ms, 3600);
    assert_int_equal(lease.ttl_ms, 3000);
}

static void an_answered_renewal_extends_from_its_send_and_the_next_comes_in_time(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 6000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    assert_int_equal(ha_lease_wait_ms(&lease, 501), 499);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 600), HA_LEASE_EXTENDED);
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.soft_ms, 2900);
    assert_int_equal(page.deadline_ms, 3100);
    assert_int_equal(page.watchdog_ms, 3498);
    assert_int_equal(lease.ttl_ms, 3000);
    assert_false(ha_lease_due(&lease, 999)); /* ttl/6 after the send */
    assert_true(ha_lease_due(&lease, 1000));
    assert_int_equal(ha_lease_wait_ms(&lease, 1001), 0);
}

/* A loop_wait shorter than an attempt: the answer is waited for, and then it is due at once. */
static void an_attempt_is_waited_for_though_the_next_is_due(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 6000, 0));
    uint64_t number = ha_lease_sent(&lease, 6000, 100, 500);
    assert_int_equal(ha_lease_wait_ms(&lease, 700), 800);
    assert_false(ha_lease_due(&lease, 1499));
    assert_true(ha_lease_due(&lease, 1500));
    assert_int_equal(ha_lease_answered(&lease, number, 0, 700), HA_LEASE_EXTENDED);
    assert_int_equal(ha_lease_wait_ms(&lease, 700), 0);
    assert_true(ha_lease_due(&lease, 700));
}

/* By number, and by being waited for. */
static void answers_of_another_epoch_are_old(void **state)
{
    static const struct ha_epoch epoch10 = {0xabc, 10};
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    ha_lease_drop(&lease);
    assert_true(ha_lease_acquired(&lease, epoch10, 1000, 3000, 1000));
    assert_int_equal(ha_lease_answered(&lease, number, 0, 1100), HA_LEASE_OLD);
    assert_int_equal(ha_lease_answered(&lease, number, ERR_CONFLICT, 1100), HA_LEASE_OLD);
    assert_int_equal(lease.deadline_ms, 3600);
    assert_true(lease.held);
}

static void acquisition_answered_after_s_arms_nothing(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 1000, 3000, 3399));
    ha_lease_init(&lease);
    assert_false(ha_lease_acquired(&lease, epoch9, 1000, 3000, 3400));
    assert_false(lease.held);
    assert_int_equal(ha_lease_wait_ms(&lease, 3400), -1);
}

static void answer_after_k_is_worth_nothing(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 500 + 2600), HA_LEASE_LATE);
    assert_int_equal(lease.deadline_ms, 2600);
    assert_true(ha_lease_due(&lease, 3100));
    number = ha_lease_sent(&lease, 3000, 1000, 3100);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 3100 + 2599), HA_LEASE_EXTENDED);
}

static void only_the_newest_renewal_extends(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t first = ha_lease_sent(&lease, 3000, 1000, 500);
    uint64_t second = ha_lease_sent(&lease, 3000, 1000, 1000);
    assert_int_equal(ha_lease_answered(&lease, first, 0, 1100), HA_LEASE_OLD);
    assert_int_equal(lease.deadline_ms, 2600);
    assert_int_equal(ha_lease_answered(&lease, second, 0, 1100), HA_LEASE_EXTENDED);
    assert_int_equal(lease.deadline_ms, 3600);
    assert_int_equal(ha_lease_answered(&lease, second, 0, 1200), HA_LEASE_OLD);
}

static void shorter_ttl_counts_from_the_send(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 30000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 1000);
    assert_int_equal(lease.soft_ms, 3400);
    assert_int_equal(lease.deadline_ms, 3600);
    assert_int_equal(lease.watchdog_ms, 3998);
    assert_int_equal(ha_lease_answered(&lease, number, ERR_TIMEOUT, 1500), HA_LEASE_FAILED);
    assert_int_equal(lease.deadline_ms, 3600);
    /* A longer one only with its answer. */
    number = ha_lease_sent(&lease, 30000, 1000, 1600);
    assert_int_equal(lease.deadline_ms, 3600);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 1700), HA_LEASE_EXTENDED);
    assert_int_equal(lease.deadline_ms, 28600);
}

static void fired_epoch_never_comes_back(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    ha_lease_fired(&lease, (struct ha_epoch){0, 0});
    assert_true(lease.held);
    ha_lease_fired(&lease, epoch9);
    assert_false(lease.held);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 600), HA_LEASE_OLD);
    assert_false(ha_lease_resume(&lease, epoch9, 9000, 9000, 9500, 600));
    assert_false(ha_lease_resume(&lease, epoch8, 9000, 9000, 9500, 600));
    assert_false(ha_lease_acquired(&lease, epoch8, 600, 3000, 600));
    assert_int_equal(lease.soft_ms + lease.deadline_ms + lease.watchdog_ms, 0);
    ha_lease_fired(&lease, epoch8); /* an older one changes nothing */
    assert_true(ha_epoch_equal(lease.fired, epoch9));
    assert_true(ha_lease_acquired(&lease, other_cluster9, 600, 3000, 600));
}

/* The fence tells of each epoch that it has ended, also of one of long ago. */
static void the_end_of_an_older_epoch_ends_nothing(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    ha_lease_fired(&lease, epoch8);
    assert_true(ha_lease_valid(&lease, 2399));
    assert_int_equal(lease.deadline_ms, 2600);
    ha_lease_fired(&lease, (struct ha_epoch){0xabc, 1});
    assert_true(ha_epoch_equal(lease.fired, epoch8));
    ha_lease_fired(&lease, (struct ha_epoch){0xabc, 10}); /* a later one was ours, too */
    assert_false(lease.held);
}

static void refused_renewal_ends_the_hold(void **state)
{
    static const int codes[] = {ERR_CONFLICT, ERR_REFUSED, ERR_NOT_FOUND};
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct ha_lease lease;
        ha_lease_init(&lease);
        assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
        uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
        assert_int_equal(ha_lease_answered(&lease, number, codes[i], 600), HA_LEASE_LOST);
        assert_false(ha_lease_valid(&lease, 600));
        assert_false(ha_lease_due(&lease, 600));
    }
}

static void lost_answer_is_sent_again_after_its_time(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    (void)ha_lease_sent(&lease, 3000, 1000, 500);
    assert_int_equal(ha_lease_wait_ms(&lease, 600), 400);
    assert_false(ha_lease_due(&lease, 999));
    assert_true(ha_lease_due(&lease, 1000));
    /* The Raft leader changed: at once, but not in a circle. */
    (void)ha_lease_sent(&lease, 3000, 1000, 1000);
    ha_lease_hurry(&lease, 1010);
    assert_false(ha_lease_due(&lease, 1010));
    assert_true(ha_lease_due(&lease, 1050));
    ha_lease_hurry(&lease, 1200);
    assert_true(ha_lease_due(&lease, 1200));
    /* Nor right behind an acquisition. */
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 2000, 3000, 2010));
    ha_lease_hurry(&lease, 2010);
    assert_false(ha_lease_due(&lease, 2049));
    assert_true(ha_lease_due(&lease, 2050));
}

static void store_that_refuses_at_once_is_not_asked_in_a_circle(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    assert_int_equal(ha_lease_answered(&lease, number, ERR_UNAVAILABLE, 500), HA_LEASE_FAILED);
    assert_false(ha_lease_due(&lease, 549));
    assert_true(ha_lease_due(&lease, 550));
}

static void resumed_epoch_keeps_the_deadlines_of_the_page(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    struct ha_holding holding = {0};
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch8, 900, 3000, 900)); /* and it was answered */
    assert_true(ha_lease_resume(&lease, epoch9, 2400, 2600, 2998, 1000));
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.soft_ms, 2400);
    assert_int_equal(page.deadline_ms, 2600);
    assert_int_equal(page.watchdog_ms, 2998);
    ha_lease_holding(&lease, false, &holding);
    assert_true(holding.held);
    assert_false(holding.renewed);
    assert_true(ha_epoch_equal(holding.epoch, epoch9));
    assert_true(ha_epoch_equal(holding.acquired, epoch8)); /* not this one */
    assert_true(ha_lease_due(&lease, 1000));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 1000);
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.deadline_ms, 2600);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 1010), HA_LEASE_EXTENDED);
    assert_int_equal(lease.deadline_ms, 3600);
    ha_lease_holding(&lease, true, &holding);
    assert_true(holding.renewed);
    assert_true(holding.acquiring);
}

/* A page of a release that may have had another order. */
static void resumed_soft_deadline_is_never_after_the_deadline(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_resume(&lease, epoch9, INT64_MAX, 2600, 2998, 1000));
    assert_int_equal(lease.soft_ms, 2600);
}

static void resumed_without_a_page_is_valid_only_when_answered(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_resume(&lease, epoch9, 0, 0, 0, 1000));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 1000);
    assert_false(ha_lease_page(&lease, &page));
    assert_false(ha_lease_valid(&lease, 1000));
    assert_int_equal(ha_lease_answered(&lease, number, 0, 1010), HA_LEASE_EXTENDED);
    assert_true(ha_lease_valid(&lease, 1010));
}

/* --- with a watchdog device ------------------------------------------------------------------- */

/* The default margin, and as much as there is room for. */
static void watchdog_gets_the_margin_as_far_as_the_ttl_has_room(void **state)
{
    (void)state;
    assert_int_equal(ha_lease_watchdog_ms(30000, 5000), 5000);
    assert_int_equal(ha_lease_watchdog_ms(20000, 5000), 5000);
    assert_int_equal(ha_lease_watchdog_ms(30000, -1), 10000);
    assert_int_equal(ha_lease_watchdog_ms(30000, 0), 1000);
    assert_int_equal(ha_lease_watchdog_ms(30000, 60000), 10000);
    assert_int_equal(ha_lease_watchdog_ms(30000, 5999), 5000);
    assert_int_equal(ha_lease_watchdog_ms(15000, 5000), 4000);
    assert_int_equal(ha_lease_watchdog_ms(5000, 5000), 1000);
    assert_int_equal(ha_lease_watchdog_ms(4000, 5000), 0);
    assert_int_equal(ha_lease_watchdog_ms(3000, -1), 0);
    for (int64_t ttl = 3000; ttl < 120000; ttl += 500) {
        int64_t timeout = ha_lease_watchdog_ms(ttl, -1);
        assert_true(timeout % 1000 == 0 && ha_lease_watchdog_fits(ttl, timeout));
        assert_true(ttl < 5000 || timeout >= 1000);
    }
    assert_true(ha_lease_watchdog_fits(10010, 5000));
    assert_false(ha_lease_watchdog_fits(10000, 5000));
}

/* What is killed then is gone before the device fires, and that is before anybody else leads. */
static void deadlines_leave_the_watchdog_its_time(void **state)
{
    (void)state;
    for (int64_t ttl = 5000; ttl < 120000; ttl += 250) {
        struct ha_lease lease;
        struct ha_lease_page page;
        int64_t timeout = ha_lease_watchdog_ms(ttl, -1);
        ha_lease_init(&lease);
        ha_lease_watchdog(&lease, timeout);
        assert_true(ha_lease_acquired(&lease, epoch9, 1000, ttl, 1000));
        assert_true(ha_lease_page(&lease, &page));
        assert_true(page.deadline_ms + pg_watchdog_reserve_ms(timeout) <= page.watchdog_ms);
        assert_true(page.watchdog_ms < 1000 + ttl);
        /* One lost renewal with its retry does not demote. */
        assert_true(1000 + 3 * ha_lease_attempt_ms(ttl) <= page.soft_ms);
    }
}

static void a_watchdog_that_comes_or_goes_moves_the_deadlines(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 30000, 0));
    assert_int_equal(lease.deadline_ms, 27000);
    ha_lease_watchdog(&lease, 5000);
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.watchdog_ms, 29985);
    assert_int_equal(page.deadline_ms, 29985 - 6750);
    assert_int_equal(page.soft_ms, page.deadline_ms - 2000);
    ha_lease_watchdog(&lease, 5000); /* the same again */
    assert_int_equal(lease.deadline_ms, page.deadline_ms);
    uint64_t number = ha_lease_sent(&lease, 30000, 1000, 1000);
    assert_int_equal(lease.deadline_ms, page.deadline_ms);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 1010), HA_LEASE_EXTENDED);
    assert_int_equal(lease.deadline_ms, page.deadline_ms + 1000);
    /* A shorter ttl counts when it is sent. */
    (void)ha_lease_sent(&lease, 20000, 1000, 2000);
    assert_int_equal(lease.deadline_ms, 2000 + 19990 - 6750);
    ha_lease_watchdog(&lease, 0); /* what was lowered stays so until the next answer */
    assert_int_equal(lease.deadline_ms, 2000 + 19990 - 6750);
    number = ha_lease_sent(&lease, 20000, 1000, 3000);
    assert_int_equal(ha_lease_answered(&lease, number, 0, 3010), HA_LEASE_EXTENDED);
    assert_int_equal(lease.deadline_ms, 3000 + 18000);
    /* Without any deadline yet there is nothing to lower. */
    ha_lease_drop(&lease);
    assert_true(ha_lease_resume(&lease, epoch9, 0, 0, 0, 4000));
    ha_lease_watchdog(&lease, 5000);
    (void)ha_lease_sent(&lease, 30000, 1000, 4000);
    assert_false(ha_lease_page(&lease, &page));
}

static void who_vouches_extends_no_further_than_the_watchdog_allows(void **state)
{
    struct ha_lease lease;
    (void)state;
    ha_lease_init(&lease);
    ha_lease_watchdog(&lease, 5000);
    assert_true(ha_lease_acquired(&lease, epoch9, 1000, 30000, 1000));
    int64_t deadline_ms = lease.deadline_ms;
    /* Asked before the acquisition was sent: nothing new. */
    assert_false(ha_lease_vouched(&lease, 900, lease.newest, 30000, 1100));
    assert_true(ha_lease_vouched(&lease, 2000, lease.newest, 30000, 2100));
    assert_int_equal(lease.deadline_ms, deadline_ms + 1000);
}

/* --- vouched for by the others ---------------------------------------------------------------- */

static void what_all_others_promise_extends_from_the_first_question(void **state)
{
    struct ha_lease lease;
    struct ha_lease_page page;
    (void)state;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 3000, 0));
    uint64_t number = ha_lease_sent(&lease, 3000, 1000, 500);
    assert_true(ha_lease_vouched(&lease, 600, number, 3000, 900));
    assert_true(ha_lease_page(&lease, &page));
    assert_int_equal(page.soft_ms, 3000);
    assert_int_equal(page.deadline_ms, 3200);
    assert_int_equal(page.watchdog_ms, 3598);
    assert_false(ha_lease_vouched(&lease, 600, number, 3000, 950)); /* nothing gained */
    assert_int_equal(lease.deadline_ms, 3200);
    assert_false(ha_lease_vouched(&lease, 2900, number, 3000, 3000)); /* over */
    assert_int_equal(lease.deadline_ms, 3200);
    ha_lease_drop(&lease);
    assert_false(ha_lease_vouched(&lease, 2900, number, 3000, 2900)); /* held no more */
    assert_false(lease.held);
}

/* A renewal that was sent meanwhile may have been applied: the others then count by its ttl. */
static void promises_for_longer_than_a_later_renewal_are_worthless(void **state)
{
    static const struct {
        int64_t later_ttl_ms; /* 0 = none was sent */
        bool counts;
    } cases[] = {{0, true}, {3000, false}, {6000, true}, {9000, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ha_lease lease;
        ha_lease_init(&lease);
        assert_true(ha_lease_acquired(&lease, epoch9, 0, 6000, 0));
        uint64_t number =
            ha_lease_sent(&lease, cases[i].later_ttl_ms == 0 ? 3000 : 6000, 1000, 500);
        if (cases[i].later_ttl_ms != 0) {
            (void)ha_lease_sent(&lease, cases[i].later_ttl_ms, 1000, 1000);
        }
        assert_int_equal(ha_lease_vouched(&lease, 600, number, 6000, 1100), cases[i].counts);
    }
}

/* --- every short history ---------------------------------------------------------------------- */

#define STEPS   8
#define STEP_MS 400
enum event { SEND_LONG, SEND_SHORT, ANSWER_NEWEST, ANSWER_BEFORE, EVENTS };

struct sent {
    int64_t at_ms;
    int64_t ttl_ms;
    uint64_t number;
};

/* Any renewal after the last answered one may have been applied, and whichever was applied last is
 * what the others count from: the deadline may be no later than the earliest K of all of these. */
static int64_t latest_safe(const struct sent *sent, size_t count, size_t answered)
{
    int64_t safe = INT64_MAX;
    for (size_t i = answered; i < count; i++) {
        int64_t kill = sent[i].at_ms + ha_lease_kill_ms(sent[i].ttl_ms);
        safe = kill < safe ? kill : safe;
    }
    return safe;
}

static void run_history(unsigned history)
{
    struct sent sent[STEPS + 1] = {{0, 6000, 0}};
    size_t count = 1;
    size_t answered = 0;
    struct ha_lease lease;
    ha_lease_init(&lease);
    assert_true(ha_lease_acquired(&lease, epoch9, 0, 6000, 0));
    for (int step = 1; step <= STEPS; step++, history /= EVENTS) {
        int64_t now = (int64_t)step * STEP_MS;
        enum event event = (enum event)(history % EVENTS);
        if (event == SEND_LONG || event == SEND_SHORT) {
            int64_t ttl = event == SEND_LONG ? 6000 : 3000;
            sent[count++] = (struct sent){now, ttl, ha_lease_sent(&lease, ttl, 1000, now)};
        } else {
            size_t i = event == ANSWER_NEWEST ? count - 1 : count >= 2 ? count - 2 : 0;
            if (i == 0) {
                continue;
            }
            enum ha_lease_outcome outcome = ha_lease_answered(&lease, sent[i].number, 0, now);
            if (outcome == HA_LEASE_EXTENDED) {
                assert_int_equal(i, count - 1);
                answered = i;
            }
        }
        assert_true(lease.deadline_ms <= latest_safe(sent, count, answered));
        assert_true(lease.soft_ms < lease.deadline_ms);
    }
}

static void no_history_leaves_a_deadline_that_others_do_not_wait_for(void **state)
{
    unsigned histories = 1;
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        histories *= EVENTS;
    }
    for (unsigned history = 0; history < histories; history++) {
        run_history(history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_documentation),
        cmocka_unit_test(every_accepted_ttl_is_safe),
        cmocka_unit_test(acquired_counts_from_the_send),
        cmocka_unit_test(an_answered_renewal_extends_from_its_send_and_the_next_comes_in_time),
        cmocka_unit_test(an_attempt_is_waited_for_though_the_next_is_due),
        cmocka_unit_test(answers_of_another_epoch_are_old),
        cmocka_unit_test(acquisition_answered_after_s_arms_nothing),
        cmocka_unit_test(answer_after_k_is_worth_nothing),
        cmocka_unit_test(only_the_newest_renewal_extends),
        cmocka_unit_test(shorter_ttl_counts_from_the_send),
        cmocka_unit_test(fired_epoch_never_comes_back),
        cmocka_unit_test(the_end_of_an_older_epoch_ends_nothing),
        cmocka_unit_test(refused_renewal_ends_the_hold),
        cmocka_unit_test(lost_answer_is_sent_again_after_its_time),
        cmocka_unit_test(store_that_refuses_at_once_is_not_asked_in_a_circle),
        cmocka_unit_test(watchdog_gets_the_margin_as_far_as_the_ttl_has_room),
        cmocka_unit_test(deadlines_leave_the_watchdog_its_time),
        cmocka_unit_test(a_watchdog_that_comes_or_goes_moves_the_deadlines),
        cmocka_unit_test(who_vouches_extends_no_further_than_the_watchdog_allows),
        cmocka_unit_test(resumed_epoch_keeps_the_deadlines_of_the_page),
        cmocka_unit_test(resumed_soft_deadline_is_never_after_the_deadline),
        cmocka_unit_test(what_all_others_promise_extends_from_the_first_question),
        cmocka_unit_test(promises_for_longer_than_a_later_renewal_are_worthless),
        cmocka_unit_test(resumed_without_a_page_is_valid_only_when_answered),
        cmocka_unit_test(no_history_leaves_a_deadline_that_others_do_not_wait_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
