/* The messages between agent and fence as bytes. */
#include "pgctl/fence.h"
#include "pgctl/fence/fence_wire.h"
#include "tests/harness/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN       "tests/golden/fence/"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct fence_request start_request(void)
{
    struct fence_request request = {.type = FENCE_TYPE_START,
                                    .id = 7,
                                    .kill_way = FENCE_KILL_LOOP,
                                    .data_dir = "/data/pg",
                                    .log_path = "",
                                    .epoch = {.cluster = 10, .revision = 11},
                                    .not_after_ms = 0x0102030405,
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
                                         .stopped = {.cluster = 3, .revision = 4},
                                         .watchdog = FENCE_WATCHDOG_ARMED,
                                         .watchdog_timeout_ms = 5000,
                                         .watchdog_why = "it stays"};
    return reply;
}

static struct fence_request watchdog_request(void)
{
    struct fence_request request = {.type = FENCE_TYPE_WATCHDOG,
                                    .id = 10,
                                    .watchdog_s = 5,
                                    .watchdog_s_max = 10,
                                    .device = "/dev/watchdog",
                                    .data_dir = "/data/pg"};
    return request;
}

static void golden_request(const char *path, const struct fence_request *request)
{
    uint8_t bytes[1024];
    golden_hex(path, bytes, fence_wire_put_request(bytes, sizeof bytes, request), " ");
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
    struct fence_request watchdog = watchdog_request();
    struct fence_reply reply = status_reply();
    golden_request(GOLDEN "start.hex", &start);
    golden_request(GOLDEN "stop.hex", &stop);
    golden_request(GOLDEN "kill.hex", &kill);
    kill.type = FENCE_TYPE_ADOPT; /* the same fields */
    golden_request(GOLDEN "adopt.hex", &kill);
    golden_request(GOLDEN "hello.hex", &hello);
    golden_request(GOLDEN "watchdog.hex", &watchdog);
    golden_hex(GOLDEN "status.hex", bytes, fence_wire_put_reply(bytes, sizeof bytes, &reply), " ");
}

/* --- of release 0.1: an agent of today finds its fence running, and the other way round --------
 */

static void the_requests_of_0_1_are_understood(void **state)
{
    static const struct {
        const char *name;
        enum fence_type type;
        uint32_t id;
    } cases[] = {{"hello", FENCE_TYPE_HELLO, 1}, {"start", FENCE_TYPE_START, 7},
                 {"stop", FENCE_TYPE_STOP, 8},   {"kill", FENCE_TYPE_KILL, 9},
                 {"adopt", FENCE_TYPE_ADOPT, 9}, {"watchdog", FENCE_TYPE_WATCHDOG, 10}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t bytes[1024];
        char path[128];
        struct fence_request got;
        snprintf(path, sizeof path, "tests/golden/0.1/fence/%s.hex", cases[i].name);
        size_t len = golden_bytes(path, bytes, sizeof bytes);
        assert_true(fence_wire_get_request(bytes, len, &got));
        assert_int_equal(got.type, cases[i].type);
        assert_int_equal(got.id, cases[i].id);
        if (got.type == FENCE_TYPE_START) {
            assert_string_equal(got.argv[2], "/data/pg");
            assert_true(got.epoch.cluster == 10 && got.epoch.revision == 11);
            assert_int_equal(got.not_after_ms, 0x0102030405);
        } else if (got.type == FENCE_TYPE_STOP) {
            assert_int_equal(got.stop_mode, FENCE_STOP_FAST);
            assert_int_equal(got.kill_at_ms, 0x0102);
        } else if (got.type == FENCE_TYPE_WATCHDOG) {
            assert_string_equal(got.device, "/dev/watchdog");
        }
    }
}

static void the_status_of_0_1_is_understood(void **state)
{
    uint8_t bytes[1024];
    struct fence_reply got;
    (void)state;
    size_t len = golden_bytes("tests/golden/0.1/fence/status.hex", bytes, sizeof bytes);
    assert_true(fence_wire_get_reply(bytes, len, &got));
    assert_true(got.id == 7 && got.code == ERR_BUSY && got.event == FENCE_ANSWER);
    assert_int_equal(got.status.fence_pid, 100);
    assert_int_equal(got.status.postmaster_pid, 101);
    assert_true(got.status.running && got.status.by_cgroup && got.status.real_time);
    assert_true(got.status.fired.cluster == 1 && got.status.fired.revision == 2);
    assert_true(got.status.stopped.cluster == 3 && got.status.stopped.revision == 4);
    assert_int_equal(got.status.watchdog, FENCE_WATCHDOG_ARMED);
    assert_string_equal(got.text, "not yet");
}

/* A release to come adds fields at the end, and says another version: what is known is read. */
static void what_a_later_release_adds_is_passed_over(void **state)
{
    uint8_t bytes[1024];
    struct fence_request request;
    struct fence_reply reply;
    (void)state;
    size_t len = golden_bytes("tests/golden/0.1/fence/start.hex", bytes, sizeof bytes);
    memset(bytes + len, 0xee, 16);
    bytes[0]++;
    assert_true(fence_wire_get_request(bytes, len + 16, &request));
    assert_string_equal(request.argv[2], "/data/pg");
    len = golden_bytes("tests/golden/0.1/fence/status.hex", bytes, sizeof bytes);
    memset(bytes + len, 0xee, 16);
    bytes[0]++;
    assert_true(fence_wire_get_reply(bytes, len + 16, &reply));
    assert_int_equal(reply.status.postmaster_pid, 101);
}

/* --- requests --------------------------------------------------------------------------------- */

/* What comes of it; the strings point into `bytes`. */
static bool comes_back(uint8_t bytes[static 1024], const struct fence_request *request,
                       struct fence_request *ret_request)
{
    size_t len = fence_wire_put_request(bytes, 1024, request);
    memset(ret_request, 0xff, sizeof *ret_request);
    return len > 0 && fence_wire_get_request(bytes, len, ret_request);
}

static void a_start_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_request start = start_request();
    struct fence_request got;
    start.log_path = "/log/pg";
    assert_true(comes_back(bytes, &start, &got));
    assert_int_equal(got.type, FENCE_TYPE_START);
    assert_int_equal(got.id, 7);
    assert_int_equal(got.kill_way, FENCE_KILL_LOOP);
    assert_true(fence_epoch_equal(got.epoch, start.epoch));
    assert_int_equal(got.not_after_ms, start.not_after_ms);
    assert_string_equal(got.data_dir, "/data/pg");
    assert_string_equal(got.log_path, "/log/pg");
    assert_int_equal(got.argc, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(got.argv[i], start.argv[i]);
    }
    assert_null(got.argv[3]);
    assert_int_equal(got.envc, 1);
    assert_string_equal(got.env[0], "PGSERVICEFILE=/run/pg/service.conf");
    assert_null(got.env[1]);
}

static void a_stop_and_a_kill_come_back_as_they_were(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 0x0102030405060708, FENCE_NO_DEADLINE, INT64_MIN};
    uint8_t bytes[1024];
    struct fence_request got;
    for (int mode = FENCE_STOP_SMART; mode <= FENCE_STOP_IMMEDIATE; mode++) {
        for (size_t i = 0; i < COUNT(times); i++) {
            struct fence_request stop = {.type = FENCE_TYPE_STOP,
                                         .id = 8,
                                         .stop_mode = (enum fence_stop_mode)mode,
                                         .kill_at_ms = times[i]};
            assert_true(comes_back(bytes, &stop, &got));
            assert_int_equal(got.type, FENCE_TYPE_STOP);
            assert_int_equal(got.stop_mode, mode);
            assert_true(got.kill_at_ms == times[i]);
        }
    }
    struct fence_request kill = {.type = FENCE_TYPE_KILL, .id = 9, .data_dir = "/data/pg"};
    assert_true(comes_back(bytes, &kill, &got));
    assert_int_equal(got.type, FENCE_TYPE_KILL);
    assert_string_equal(got.data_dir, "/data/pg");
    kill.type = FENCE_TYPE_ADOPT;
    assert_true(comes_back(bytes, &kill, &got));
    assert_int_equal(got.type, FENCE_TYPE_ADOPT);
    assert_string_equal(got.data_dir, "/data/pg");
}

static void a_watchdog_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_request watchdog = watchdog_request();
    struct fence_request got;
    assert_true(comes_back(bytes, &watchdog, &got));
    assert_int_equal(got.watchdog_s, 5);
    assert_int_equal(got.watchdog_s_max, 10);
    assert_string_equal(got.device, "/dev/watchdog");
    assert_string_equal(got.data_dir, "/data/pg");
    watchdog.watchdog_s_max = 4; /* less than what is wanted */
    assert_false(comes_back(bytes, &watchdog, &got));
    watchdog.watchdog_s = watchdog.watchdog_s_max = 0;
    assert_false(comes_back(bytes, &watchdog, &got));
    watchdog.device = ""; /* none: then times say nothing */
    assert_true(comes_back(bytes, &watchdog, &got));
}

/* All types that two bytes can say, of which the last are no requests. */
static void only_requests_are_taken_for_requests(void **state)
{
    (void)state;
    struct fence_request got;
    unsigned taken = 0;
    for (unsigned type = 0; type < 1000; type++) {
        uint8_t bytes[64] = {1, 0, (uint8_t)type, (uint8_t)(type >> 8), 5};
        size_t len = type == FENCE_TYPE_STOP                               ? 8 + 9
                     : type == FENCE_TYPE_KILL || type == FENCE_TYPE_ADOPT ? 8 + 3
                     : type == FENCE_TYPE_WATCHDOG                         ? 8 + 4 + 6
                                                                           : 8;
        bool want =
            type >= FENCE_TYPE_HELLO && type <= FENCE_TYPE_ADOPT && type != FENCE_TYPE_START;
        assert_int_equal(fence_wire_get_request(bytes, len, &got), want);
        if (want) {
            assert_int_equal(got.type, type);
            assert_int_equal(got.id, 5);
            taken++;
        }
        bytes[0] = 0; /* a version that there never was */
        assert_false(fence_wire_get_request(bytes, len, &got));
    }
    assert_int_equal(taken, 8);
}

/* One byte of a good request at a time. */
static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum fence_type type;
        size_t at;
        uint8_t value;
        bool good;
    } cases[] = {
        {FENCE_TYPE_START, 8, FENCE_KILL_LOOP, true},
        {FENCE_TYPE_START, 8, FENCE_KILL_LOOP + 1, false}, /* no such way */
        {FENCE_TYPE_START, 9, 0, false},                   /* no program */
        {FENCE_TYPE_START, 9, FENCE_ARGS_MAX + 1, false},
        {FENCE_TYPE_START, 12, 2, false}, /* 513 variables */
        {FENCE_TYPE_START, 16, 0, false}, /* a zero inside the path */
        {FENCE_TYPE_START, 23, 'x', false},
        {FENCE_TYPE_START, 2, 99, false},
        {FENCE_TYPE_STOP, 8, FENCE_STOP_IMMEDIATE, true},
        {FENCE_TYPE_STOP, 8, FENCE_STOP_IMMEDIATE + 1, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t bytes[1024];
        struct fence_request good = start_request();
        struct fence_request got;
        good.type = cases[i].type;
        assert_true(comes_back(bytes, &good, &got));
        size_t len = fence_wire_put_request(bytes, sizeof bytes, &good);
        bytes[cases[i].at] = cases[i].value;
        if (fence_wire_get_request(bytes, len, &got) != cases[i].good) {
            fail_msg("case %zu", i);
        }
    }
}

/* As many arguments and variables as there may be; and texts longer than a length can say. */
static void what_is_largest_comes_back(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 17];
    static char text[UINT16_MAX + 1];
    static char empty[] = "";
    struct fence_request start = start_request();
    struct fence_request got;
    start.argc = FENCE_ARGS_MAX;
    start.envc = FENCE_ENV_MAX;
    for (size_t i = 0; i < FENCE_ENV_MAX; i++) {
        start.argv[i % FENCE_ARGS_MAX] = empty;
        start.env[i] = empty;
    }
    size_t len = fence_wire_put_request(bytes, sizeof bytes, &start);
    assert_true(fence_wire_get_request(bytes, len, &got));
    assert_int_equal(got.argc, FENCE_ARGS_MAX);
    assert_int_equal(got.envc, FENCE_ENV_MAX);
    assert_null(got.argv[FENCE_ARGS_MAX]);
    memset(text, 'x', sizeof text - 1);
    struct fence_request kill = {.type = FENCE_TYPE_KILL, .data_dir = text};
    assert_int_equal(fence_wire_put_request(bytes, sizeof bytes, &kill), 0);
    text[UINT16_MAX - 1] = '\0';
    len = fence_wire_put_request(bytes, sizeof bytes, &kill);
    assert_true(fence_wire_get_request(bytes, len, &got));
    assert_int_equal(strlen(got.data_dir), UINT16_MAX - 1);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void a_reply_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_reply reply = status_reply();
    struct fence_reply got;
    bool *const flags[] = {&reply.status.running,   &reply.status.exited,
                           &reply.status.killing,   &reply.status.all_gone,
                           &reply.status.by_cgroup, &reply.status.memory_locked,
                           &reply.status.real_time, &reply.status.oom_protected};
    for (size_t one = 0; one <= COUNT(flags); one++) { /* each flag alone, and none */
        for (size_t i = 0; i < COUNT(flags); i++) {
            *flags[i] = i == one;
        }
        size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
        memset(&got, 0xff, sizeof got);
        assert_true(fence_wire_get_reply(bytes, len, &got));
        assert_int_equal(got.id, 7);
        assert_int_equal(got.code, ERR_BUSY);
        assert_int_equal(got.event, FENCE_ANSWER);
        assert_string_equal(got.text, "not yet");
        assert_memory_equal(&got.status, &reply.status, sizeof reply.status);
    }
    memset(reply.text, 'x', sizeof reply.text - 1); /* as long as there is room for */
    size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    assert_true(fence_wire_get_reply(bytes, len, &got));
    assert_string_equal(got.text, reply.text);
}

/* The last event is the client's own, and a code is 0 or one of an error. */
static void replies_that_no_fence_sends_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fence_reply got;
    for (int event = FENCE_ANSWER - 1; event <= FENCE_EVENT_LOST; event++) {
        struct fence_reply reply = status_reply();
        reply.event = event;
        size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
        assert_int_equal(fence_wire_get_reply(bytes, len, &got),
                         event >= FENCE_ANSWER && event < FENCE_EVENT_LOST);
    }
    for (int code = -1; code <= 1; code++) {
        struct fence_reply reply = status_reply();
        reply.code = code;
        size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
        assert_int_equal(fence_wire_get_reply(bytes, len, &got), code <= 0);
    }
    struct fence_reply reply = status_reply();
    size_t len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    bytes[2] = FENCE_TYPE_HELLO;
    assert_false(fence_wire_get_reply(bytes, len, &got));
    bytes[2] = FENCE_TYPE_STATUS;
    bytes[0] = 0;
    assert_false(fence_wire_get_reply(bytes, len, &got));
}

/* --- both ------------------------------------------------------------------------------------- */

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
        assert_int_equal(fence_wire_get_request(small, cut, &got), cut == len - 8);
        if (cut == len - 8) { /* an agent that knows no limit ends here */
            assert_int_equal(got.not_after_ms, FENCE_NO_DEADLINE);
            assert_true(fence_epoch_equal(got.epoch, start.epoch));
        }
    }
    len = fence_wire_put_reply(bytes, sizeof bytes, &reply);
    size_t before = len - 1 - 8 - 3 - strlen(reply.status.watchdog_why);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(fence_wire_put_reply(small, cut, &reply), 0);
        assert_int_equal(fence_wire_get_reply(bytes, cut, &got_reply), cut == before);
        if (cut == before) { /* a fence that knows no watchdog ends here */
            assert_int_equal(got_reply.status.watchdog, FENCE_WATCHDOG_NONE);
            assert_int_equal(got_reply.status.watchdog_timeout_ms, 0);
        }
    }
    bytes[before] = FENCE_WATCHDOG_FAILED + 1; /* no such state */
    assert_false(fence_wire_get_reply(bytes, len, &got_reply));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_the_messages_are_golden),
        cmocka_unit_test(the_requests_of_0_1_are_understood),
        cmocka_unit_test(the_status_of_0_1_is_understood),
        cmocka_unit_test(what_a_later_release_adds_is_passed_over),
        cmocka_unit_test(a_start_comes_back_as_it_was),
        cmocka_unit_test(a_stop_and_a_kill_come_back_as_they_were),
        cmocka_unit_test(a_watchdog_comes_back_as_it_was),
        cmocka_unit_test(only_requests_are_taken_for_requests),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(what_is_largest_comes_back),
        cmocka_unit_test(a_reply_comes_back_as_it_was),
        cmocka_unit_test(replies_that_no_fence_sends_are_refused),
        cmocka_unit_test(every_cut_and_every_small_buffer_is_refused),
        cmocka_unit_test(bytes_of_a_later_version_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
