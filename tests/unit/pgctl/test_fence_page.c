/* The page, the decision and the messages, without a process. */
#include "base/mem.h"
#include "pgctl/fence.h"
#include "pgctl/fence/fence_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Compares with tests/golden/fence/NAME (hex, 32 bytes a line); GOLDEN=1 writes it anew. */
static void golden(const char *name, const void *data, size_t len)
{
    char *path = mem_printf("tests/golden/fence/%s", name);
    const uint8_t *bytes = data;
    char text[4096];
    char want[4096] = "";
    size_t at = 0;

    for (size_t i = 0; i < len; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%02x%s", bytes[i],
                               i % 32 == 31 || i + 1 == len ? "\n" : " ");
    }
    FILE *file = fopen(path, getenv("GOLDEN") != NULL ? "w" : "r");
    assert_non_null(file);
    if (getenv("GOLDEN") != NULL) {
        assert_int_equal(fwrite(text, 1, at, file), at);
    } else {
        want[fread(want, 1, sizeof want - 1, file)] = '\0';
        assert_string_equal(text, want);
    }
    fclose(file);
    mem_free(path);
}

static void new_page_says_standby(void **state)
{
    (void)state;
    struct fence_page *page = page_new();
    expect_lease(page, fence_lease_standby());
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
    golden("page.hex", page, COPY_AT + 2 * COPY_BYTES);
    for (size_t i = COPY_AT + 2 * COPY_BYTES; i < FENCE_PAGE_BYTES; i++) {
        assert_int_equal(((const uint8_t *)page)[i], 0);
    }
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

static struct fence_request start_request(void)
{
    struct fence_request request = {.type = FENCE_TYPE_START,
                                    .id = 7,
                                    .kill_way = FENCE_KILL_LOOP,
                                    .data_dir = "/data/pg",
                                    .log_path = "",
                                    .epoch = {.cluster = 10, .revision = 11},
                                    .argc = 3,
                                    .envc = 1};
    static char argv[3][16] = {"/bin/postgres", "-D", "/data/pg"};
    static char env[] = "PGSERVICEFILE=/run/pg/service.conf";
    request.argv[0] = argv[0];
    request.argv[1] = argv[1];
    request.argv[2] = argv[2];
    request.env[0] = env;
    return request;
}

static struct fence_reply status_reply(void)
{
    struct fence_reply reply = {
        .id = 7, .code = ERR_BUSY, .event = FENCE_ANSWER, .text = "not yet"};
    reply.status = (struct fence_status){.fence_pid = 100,
                                         .postmaster_pid = 101,
                                         .running = true,
                                         .by_cgroup = true,
                                         .real_time = true,
                                         .wait_status = 9,
                                         .starts = 3,
                                         .kill_ms = -1,
                                         .fired = {.cluster = 1, .revision = 2},
                                         .stopped = {.cluster = 3, .revision = 4}};
    return reply;
}

static void bytes_of_the_messages_are_golden(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_request start = start_request();
    struct fence_request stop = {
        .type = FENCE_TYPE_STOP, .id = 8, .stop_mode = FENCE_STOP_FAST, .kill_at_ms = 0x0102};
    struct fence_request kill = {.type = FENCE_TYPE_KILL, .id = 9, .data_dir = "/data/pg"};
    struct fence_request hello = {.type = FENCE_TYPE_HELLO, .id = 1};
    struct fence_reply reply = status_reply();
    golden("start.hex", bytes, fence_wire_put_request(bytes, sizeof bytes, &start));
    golden("stop.hex", bytes, fence_wire_put_request(bytes, sizeof bytes, &stop));
    golden("kill.hex", bytes, fence_wire_put_request(bytes, sizeof bytes, &kill));
    golden("hello.hex", bytes, fence_wire_put_request(bytes, sizeof bytes, &hello));
    golden("status.hex", bytes, fence_wire_put_reply(bytes, sizeof bytes, &reply));
}

static void messages_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_request start = start_request();
    struct fence_request got;
    struct fence_reply reply = status_reply();
    struct fence_reply got_reply;

    size_t len = fence_wire_put_request(bytes, sizeof bytes, &start);
    assert_true(fence_wire_get_request(bytes, len, &got));
    assert_int_equal(got.id, 7);
    assert_int_equal(got.kill_way, FENCE_KILL_LOOP);
    assert_true(fence_epoch_equal(got.epoch, start.epoch));
    assert_int_equal(got.argc, 3);
    assert_string_equal(got.argv[2], "/data/pg");
    assert_null(got.argv[3]);
    assert_string_equal(got.env[0], "PGSERVICEFILE=/run/pg/service.conf");
    assert_null(got.env[1]);
    len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    assert_true(fence_wire_get_reply(bytes, len, &got_reply));
    assert_int_equal(got_reply.code, ERR_BUSY);
    assert_int_equal(got_reply.event, FENCE_ANSWER);
    assert_string_equal(got_reply.text, "not yet");
    assert_memory_equal(&got_reply.status, &reply.status, sizeof reply.status);
}

static void every_cut_and_every_small_buffer_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    uint8_t small[1024];
    struct fence_request start = start_request();
    struct fence_request got;
    struct fence_reply reply = status_reply();
    struct fence_reply got_reply;

    size_t len = fence_wire_put_request(bytes, sizeof bytes, &start);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(fence_wire_put_request(small, cut, &start), 0);
        memcpy(small, bytes, cut);
        assert_false(fence_wire_get_request(small, cut, &got));
    }
    len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(fence_wire_put_reply(small, cut, &reply), 0);
        assert_false(fence_wire_get_reply(bytes, cut, &got_reply));
    }
}

static void bytes_of_a_later_version_are_skipped(void **state)
{
    (void)state;
    uint8_t bytes[1024] = {0};
    struct fence_reply reply = status_reply();
    struct fence_reply got;
    size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    bytes[0] = 2;
    assert_true(fence_wire_get_reply(bytes, len + 20, &got));
    assert_int_equal(got.status.postmaster_pid, 101);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_request got;
    struct fence_request start = start_request();
    size_t len = fence_wire_put_request(bytes, sizeof bytes, &start);
    bytes[8] = 9; /* no such way */
    assert_false(fence_wire_get_request(bytes, len, &got));
    bytes[8] = 0;
    bytes[9] = FENCE_ARGS_MAX + 1;
    assert_false(fence_wire_get_request(bytes, len, &got));
    bytes[9] = 0;
    assert_false(fence_wire_get_request(bytes, len, &got));
    bytes[9] = 3;
    bytes[2] = 99; /* no such type */
    assert_false(fence_wire_get_request(bytes, len, &got));
    bytes[2] = 2;
    bytes[16] = 0; /* a zero inside the path */
    assert_false(fence_wire_get_request(bytes, len, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_page_says_standby),
        cmocka_unit_test(page_gives_back_the_last_write),
        cmocka_unit_test(bytes_of_the_page_are_golden),
        cmocka_unit_test(writer_that_dies_inside_a_write_leaves_the_copy_before),
        cmocka_unit_test(writer_goes_on_after_a_torn_write),
        cmocka_unit_test(unreadable_page_changes_nothing),
        cmocka_unit_test(standby_and_paused_primary_run_for_ever),
        cmocka_unit_test(soft_stop_comes_once_and_the_kill_at_the_deadline),
        cmocka_unit_test(both_deadlines_passed_kills_at_once),
        cmocka_unit_test(late_write_never_revives_a_fired_epoch),
        cmocka_unit_test(epoch_that_is_over_counts_as_fired),
        cmocka_unit_test(waits_half_of_what_remains_within_its_bounds),
        cmocka_unit_test(bytes_of_the_messages_are_golden),
        cmocka_unit_test(messages_come_back_as_they_were),
        cmocka_unit_test(every_cut_and_every_small_buffer_is_refused),
        cmocka_unit_test(bytes_of_a_later_version_are_skipped),
        cmocka_unit_test(wrong_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
