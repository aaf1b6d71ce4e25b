/* The page and the decision, without a process; test_fence_torn.c stops writers and readers. */
#include "base/mem.h"
#include "pgctl/fence.h"
#include "tests/harness/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SEQUENCE_AT 16 /* offsets of the layout, as fence_page.c gives them */
#define COPY_AT     64
#define COPY_BYTES  64

static const struct fence_epoch epoch5 = {.cluster = 0xabcdef, .revision = 5};

static struct fence_lease armed(struct fence_epoch epoch, int64_t soft_ms, int64_t deadline_ms)
{
    struct fence_lease lease = fence_lease_standby();
    lease.epoch = epoch;
    lease.soft_ms = soft_ms;
    lease.deadline_ms = deadline_ms;
    return lease;
}

static struct fence_page *page_new(void)
{
    struct fence_page *page = mem_alloc(FENCE_PAGE_BYTES);
    fence_page_init(page);
    return page;
}

static void expect_lease(const struct fence_page *page, struct fence_lease want)
{
    struct fence_lease got;
    assert_true(fence_page_read(page, &got));
    assert_true(fence_epoch_equal(got.epoch, want.epoch));
    assert_int_equal(got.soft_ms, want.soft_ms);
    assert_int_equal(got.deadline_ms, want.deadline_ms);
    assert_int_equal(got.watchdog_ms, want.watchdog_ms);
}

static void new_page_says_standby(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    struct fence_lease standby = {.soft_ms = FENCE_NO_DEADLINE,
                                  .deadline_ms = FENCE_NO_DEADLINE,
                                  .watchdog_ms = FENCE_NO_DEADLINE};
    expect_lease(page, standby);
    mem_free(page);
}

static void page_gives_back_the_last_write(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    for (int i = 1; i <= 5; i++) {
        struct fence_lease lease = armed(epoch5, 100 * i, 200 * i);
        fence_page_write(page, &lease);
        expect_lease(page, lease);
    }
    mem_free(page);
}

static void bytes_of_the_page_are_golden(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    struct fence_lease first = armed(epoch5, 1000, 2000);
    struct fence_lease second =
        armed((struct fence_epoch){.cluster = 0x1122334455667788, .revision = 6},
              0x0102030405060708, FENCE_NO_DEADLINE);
    second.watchdog_ms = FENCE_OVER;
    fence_page_write(page, &first);
    fence_page_write(page, &second);
    golden_hex("tests/golden/fence/page.hex", page, COPY_AT + 2 * COPY_BYTES, " ");
    for (size_t i = COPY_AT + 2 * COPY_BYTES; i < FENCE_PAGE_BYTES; i++) {
        assert_int_equal(((const uint8_t *)page)[i], 0);
    }
    mem_free(page);
}

/* The page outlives the release that made it, as long as PostgreSQL runs. */
static void the_page_of_0_1_is_read(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    uint8_t *bytes = (uint8_t *)page;
    memset(bytes, 0, FENCE_PAGE_BYTES);
    (void)golden_bytes("tests/golden/0.1/fence/page.hex", bytes, FENCE_PAGE_BYTES);
    struct fence_lease lease;
    assert_true(fence_page_read(page, &lease));
    assert_true(lease.epoch.cluster == 0x1122334455667788 && lease.epoch.revision == 6);
    assert_int_equal(lease.soft_ms, 0x0102030405060708);
    assert_int_equal(lease.deadline_ms, FENCE_NO_DEADLINE);
    assert_int_equal(lease.watchdog_ms, FENCE_OVER);
    mem_free(page);
}

/* A writer changes 8 bytes at a time. It is stopped after each of its stores in turn, by putting
 * the bytes of the finished page over the old ones in the writer's order. */
static void writer_that_dies_inside_a_write_leaves_the_copy_before(void **state)
{
    (void)state;
    struct fence_page *old = page_new();
    struct fence_page *done = page_new();
    struct fence_lease before = armed(epoch5, 1000, 2000);
    struct fence_lease after = armed(epoch5, 3000, 4000);
    fence_page_write(old, &before);
    fence_page_write(done, &before);
    fence_page_write(done, &after);

    uint8_t *torn = (uint8_t *)old;
    const uint8_t *whole = (const uint8_t *)done;
    uint64_t next;
    memcpy(&next, whole + SEQUENCE_AT, sizeof next);
    size_t copy = COPY_AT + (next & 1) * COPY_BYTES;
    memset(torn + copy, 0, 8);
    expect_lease(old, before);
    for (size_t field = 1; field < 6; field++) {
        memcpy(torn + copy + 8 * field, whole + copy + 8 * field, 8);
        expect_lease(old, before);
    }
    memcpy(torn + copy, whole + copy, 8);
    expect_lease(old, before);
    memcpy(torn + SEQUENCE_AT, whole + SEQUENCE_AT, 8);
    expect_lease(old, after);
    mem_free(old);
    mem_free(done);
}

static void writer_goes_on_after_a_torn_write(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    struct fence_lease lease = armed(epoch5, 1000, 2000);
    memset((uint8_t *)page + COPY_AT + COPY_BYTES, 0xff, COPY_BYTES); /* sequence 3's place */
    expect_lease(page, fence_lease_standby());
    fence_page_write(page, &lease);
    expect_lease(page, lease);
    mem_free(page);
}

static void unreadable_page_changes_nothing(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    struct fence_lease got = armed(epoch5, 7, 8);
    uint64_t sequence = 99; /* a write that never ends */
    memcpy((uint8_t *)page + SEQUENCE_AT, &sequence, sizeof sequence);
    assert_false(fence_page_read(page, &got));
    fence_page_init(page);
    ((uint8_t *)page)[8] = 2; /* another layout version */
    assert_false(fence_page_read(page, &got));
    fence_page_init(page);
    ((uint8_t *)page)[0] = 'X';
    assert_false(fence_page_read(page, &got));
    assert_int_equal(got.soft_ms, 7);
    mem_free(page);
}

static void standby_and_paused_primary_run_for_ever(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease standby = fence_lease_standby();
    struct fence_lease paused = armed(epoch5, FENCE_NO_DEADLINE, FENCE_NO_DEADLINE);
    assert_false(fence_lease_armed(&standby));
    assert_false(fence_lease_armed(&paused));
    assert_int_equal(fence_decide(&standby, INT64_MAX - 1, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&paused, INT64_MAX - 1, &s), FENCE_NONE);
}

static void fence_with_an_open_page_waits_for_an_agent_without_end(void **state)
{
    (void)state;
    struct fence_lease standby = fence_lease_standby();
    struct fence_lease open = armed(epoch5, FENCE_NO_DEADLINE, FENCE_NO_DEADLINE);
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    assert_true(fence_lease_open(&open));
    assert_false(fence_lease_open(&standby) || fence_lease_open(&over));
    assert_false(fence_idle_ends(&open, INT64_MAX));
    assert_false(fence_idle_ends(&standby, FENCE_IDLE_MS - 1));
    assert_true(fence_idle_ends(&standby, FENCE_IDLE_MS));
    assert_true(fence_idle_ends(&over, FENCE_IDLE_MS));
}

/* The first revision that a store can give is one, and a deadline without an epoch is nobody's. */
static void every_revision_but_0_is_an_epoch(void **state)
{
    (void)state;
    for (int64_t revision = 0; revision <= 2; revision++) {
        struct fence_state s = {0};
        struct fence_lease lease =
            armed((struct fence_epoch){.cluster = 7, .revision = revision}, 1000, 1200);
        bool counts = revision != 0;
        assert_int_equal(fence_lease_armed(&lease), counts);
        assert_int_equal(fence_wait_ms(&lease, 980, &s), counts ? 10 : FENCE_WAIT_MAX_MS);
        assert_int_equal(fence_decide(&lease, 1200, &s), counts ? FENCE_KILL : FENCE_NONE);
        assert_int_equal(fence_epoch_over(&s, lease.epoch), counts);
    }
}

static void soft_stop_comes_once_and_the_kill_at_the_deadline(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease lease = armed(epoch5, 1000, 1200);
    assert_true(fence_lease_armed(&lease));
    assert_int_equal(fence_decide(&lease, 999, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&lease, 1000, &s), FENCE_SOFT_STOP);
    assert_int_equal(fence_decide(&lease, 1001, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&lease, 1199, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&lease, 1200, &s), FENCE_KILL);
    assert_int_equal(fence_decide(&lease, 1201, &s), FENCE_KILL);
}

static void both_deadlines_passed_kills_at_once(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease lease = armed(epoch5, 1000, 1200);
    assert_int_equal(fence_decide(&lease, 5000, &s), FENCE_KILL);
}

static void late_write_never_revives_a_fired_epoch(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease lease = armed(epoch5, 1000, 1200);
    struct fence_lease late = armed(epoch5, 9000, 9200);
    struct fence_lease paused = armed(epoch5, FENCE_NO_DEADLINE, FENCE_NO_DEADLINE);
    struct fence_lease older = late;
    struct fence_lease newer = late;
    struct fence_lease elsewhere = late;
    older.epoch.revision = 4;
    newer.epoch.revision = 6;
    elsewhere.epoch.cluster = 1;
    assert_int_equal(fence_decide(&lease, 1200, &s), FENCE_KILL);
    assert_int_equal(fence_decide(&late, 1300, &s), FENCE_KILL);
    assert_int_equal(fence_decide(&paused, 1300, &s), FENCE_KILL);
    assert_int_equal(fence_decide(&older, 1300, &s), FENCE_KILL);
    struct fence_lease standby = fence_lease_standby();
    assert_int_equal(fence_decide(&standby, 1300, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&late, 1300, &s), FENCE_KILL);
    assert_int_equal(fence_decide(&newer, 1300, &s), FENCE_NONE);
    assert_int_equal(fence_decide(&elsewhere, 1300, &s), FENCE_NONE);
}

static void epoch_that_is_over_counts_as_fired(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    struct fence_lease again = armed(epoch5, 9000, 9200);
    assert_int_equal(fence_decide(&over, -1000, &s), FENCE_KILL);
    assert_true(fence_epoch_over(&s, epoch5));
    assert_int_equal(fence_decide(&again, 1, &s), FENCE_KILL);
}

static void waits_half_of_what_remains_within_its_bounds(void **state)
{
    (void)state;
    struct fence_state s = {0};
    struct fence_lease lease = armed(epoch5, 1000, 1200);
    struct fence_lease standby = fence_lease_standby();
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    assert_int_equal(fence_wait_ms(&standby, 0, &s), FENCE_WAIT_MAX_MS);
    assert_int_equal(fence_wait_ms(&lease, 0, &s), FENCE_WAIT_MAX_MS);
    assert_int_equal(fence_wait_ms(&lease, 900, &s), 50);
    assert_int_equal(fence_wait_ms(&lease, 995, &s), FENCE_WAIT_MIN_MS);
    assert_int_equal(fence_wait_ms(&lease, 1000, &s), FENCE_WAIT_MIN_MS);
    assert_int_equal(fence_wait_ms(&over, INT64_MAX - 1, &s), FENCE_WAIT_MIN_MS);
    (void)fence_decide(&lease, 1000, &s);
    assert_int_equal(fence_wait_ms(&lease, 1000, &s), 100);
    assert_int_equal(fence_wait_ms(&lease, 1180, &s), 10);
    (void)fence_decide(&lease, 1200, &s);
    assert_int_equal(fence_wait_ms(&lease, 1300, &s), FENCE_WAIT_MAX_MS);
}

/* --- the watchdog ----------------------------------------------------------------------------- */

static enum fence_watchdog_step dog_step(struct fence_lease lease, bool over, bool empty,
                                         int64_t now, int64_t *until)
{
    return fence_watchdog_decide(&lease, over, empty, 1000, now, until);
}

static void watchdog_is_petted_two_timeouts_before_its_deadline_at_the_latest(void **state)
{
    (void)state;
    int64_t until = 0;
    struct fence_lease lease = armed(epoch5, 8000, 8500);
    lease.watchdog_ms = 10000;
    assert_int_equal(dog_step(lease, false, false, 0, &until), FENCE_WATCHDOG_PET);
    assert_int_equal(until, 10000);
    assert_int_equal(dog_step(lease, false, false, 8000, &until), FENCE_WATCHDOG_PET);
    assert_int_equal(dog_step(lease, false, false, 8001, &until), FENCE_WATCHDOG_LEAVE);
    /* Between two starts in one term: until it is late, and then there is nothing to reset for. */
    assert_int_equal(dog_step(lease, false, true, 8000, &until), FENCE_WATCHDOG_PET);
    assert_int_equal(dog_step(lease, false, true, 8001, &until), FENCE_WATCHDOG_DISARM);
    lease.watchdog_ms = FENCE_NO_DEADLINE;
    assert_int_equal(dog_step(lease, false, false, INT64_MAX - 9000, &until), FENCE_WATCHDOG_PET);
}

/* The end of the epoch changes nothing for the others: they wait as long as before. */
static void watchdog_of_an_epoch_that_is_over_has_its_last_deadline(void **state)
{
    (void)state;
    int64_t until = 0;
    struct fence_lease lease = armed(epoch5, 8000, 8500);
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    lease.watchdog_ms = 10000;
    over.watchdog_ms = FENCE_NO_DEADLINE;
    assert_int_equal(dog_step(over, true, false, 0, &until), FENCE_WATCHDOG_LEAVE);
    (void)dog_step(lease, false, false, 0, &until);
    assert_int_equal(dog_step(lease, true, false, 8000, &until), FENCE_WATCHDOG_PET);
    assert_int_equal(dog_step(over, true, false, 8000, &until), FENCE_WATCHDOG_PET);
    assert_int_equal(dog_step(over, true, false, 8001, &until), FENCE_WATCHDOG_LEAVE);
    assert_int_equal(dog_step(over, true, true, 8001, &until), FENCE_WATCHDOG_DISARM);
    assert_int_equal(dog_step(over, true, true, 0, &until), FENCE_WATCHDOG_DISARM);
}

static void watchdog_of_a_standby_and_in_pause_is_stopped(void **state)
{
    (void)state;
    int64_t until = 10000;
    struct fence_lease standby = fence_lease_standby();
    struct fence_lease paused = armed(epoch5, FENCE_NO_DEADLINE, FENCE_NO_DEADLINE);
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    assert_int_equal(dog_step(standby, false, false, 0, &until), FENCE_WATCHDOG_DISARM);
    assert_int_equal(dog_step(over, true, false, 0, &until), FENCE_WATCHDOG_LEAVE);
    until = 10000;
    assert_int_equal(dog_step(paused, false, false, 0, &until), FENCE_WATCHDOG_DISARM);
    assert_int_equal(until, 0);
}

/* Petted last as late as it may be, and killed as late as that: it fires after the reserve. */
static void instance_is_killed_before_the_watchdog_fires(void **state)
{
    (void)state;
    struct fence_lease lease = armed(epoch5, 9000, 9500);
    struct fence_lease before = lease;
    before.watchdog_ms = lease.watchdog_ms = 10000;
    fence_watchdog_clamp(&lease, 0);
    assert_memory_equal(&lease, &before, sizeof lease);
    fence_watchdog_clamp(&lease, 1000);
    assert_int_equal(lease.deadline_ms, 10000 - pg_watchdog_reserve_ms(1000));
    assert_int_equal(lease.soft_ms, lease.deadline_ms - 500);
    before = lease;
    fence_watchdog_clamp(&lease, 1000);
    assert_memory_equal(&lease, &before, sizeof lease);
    for (int64_t timeout = 1000; timeout <= 20000; timeout += 1000) {
        int64_t looks = FENCE_WAIT_MAX_MS; /* how late a look may come */
        int64_t petted = 100000 - 2 * timeout - timeout / PG_WATCHDOG_PETS - looks;
        struct fence_lease long_one = armed(epoch5, 99000, 99500);
        long_one.watchdog_ms = 100000;
        fence_watchdog_clamp(&long_one, timeout);
        assert_true(long_one.deadline_ms + 250 + 2 * looks <= petted + timeout);
    }
    struct fence_lease over = armed(epoch5, FENCE_OVER, FENCE_OVER);
    over.watchdog_ms = 5;
    fence_watchdog_clamp(&over, 1000);
    assert_true(over.deadline_ms == FENCE_OVER && over.soft_ms == FENCE_OVER);
    struct fence_lease hard = armed(epoch5, FENCE_NO_DEADLINE, 9500);
    hard.watchdog_ms = 10000;
    fence_watchdog_clamp(&hard, 1000);
    assert_true(hard.soft_ms == FENCE_NO_DEADLINE && hard.deadline_ms < 9500);
    hard.watchdog_ms = FENCE_NO_DEADLINE;
    before = hard;
    fence_watchdog_clamp(&hard, 5000);
    assert_memory_equal(&hard, &before, sizeof hard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_page_says_standby),
        cmocka_unit_test(page_gives_back_the_last_write),
        cmocka_unit_test(bytes_of_the_page_are_golden),
        cmocka_unit_test(the_page_of_0_1_is_read),
        cmocka_unit_test(writer_that_dies_inside_a_write_leaves_the_copy_before),
        cmocka_unit_test(writer_goes_on_after_a_torn_write),
        cmocka_unit_test(unreadable_page_changes_nothing),
        cmocka_unit_test(standby_and_paused_primary_run_for_ever),
        cmocka_unit_test(fence_with_an_open_page_waits_for_an_agent_without_end),
        cmocka_unit_test(every_revision_but_0_is_an_epoch),
        cmocka_unit_test(soft_stop_comes_once_and_the_kill_at_the_deadline),
        cmocka_unit_test(both_deadlines_passed_kills_at_once),
        cmocka_unit_test(late_write_never_revives_a_fired_epoch),
        cmocka_unit_test(epoch_that_is_over_counts_as_fired),
        cmocka_unit_test(waits_half_of_what_remains_within_its_bounds),
        cmocka_unit_test(watchdog_is_petted_two_timeouts_before_its_deadline_at_the_latest),
        cmocka_unit_test(watchdog_of_an_epoch_that_is_over_has_its_last_deadline),
        cmocka_unit_test(watchdog_of_a_standby_and_in_pause_is_stopped),
        cmocka_unit_test(instance_is_killed_before_the_watchdog_fires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
