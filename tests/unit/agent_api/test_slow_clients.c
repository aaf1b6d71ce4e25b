/* Slow, silent and oversized clients never delay the health check of somebody else beyond 100 ms.
 */
#include "tests/unit/agent_api/slow_clients.h"

static void silent_connections_in_full_number(void **state)
{
    static const struct attack attack = {.opening = "", .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void heads_that_come_byte_by_byte(void **state)
{
    (void)state;
    expect_health_under(&slow_heads);
}

static void large_answers_that_nobody_reads(void **state)
{
    static const struct attack cluster = {.opening = "GET /cluster HTTP/1.0\r\n\r\n",
                                          .small_window = true,
                                          .restless = true,
                                          .must_return = true};
    (void)state;
    expect_health_under(&unread_metrics);
    expect_health_under(&cluster);
}

static void heads_of_a_mebibyte(void **state)
{
    static const struct attack attack = {.opening = "GET /primary HTTP/1.1\r\nX: ",
                                         .piece = slow_filler,
                                         .piece_len = 4096,
                                         .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void chunked_bodies_without_end(void **state)
{
    static const struct attack attack = {
        .opening = "PATCH /config HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        .piece = "4\r\nxxxx\r\n",
        .piece_len = 9,
        .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void bodies_of_a_mebibyte_that_do_not_end(void **state)
{
    (void)state;
    expect_health_under(&endless_bodies);
}

static void requests_without_pause_and_answers_not_read(void **state)
{
    static const struct attack attack = {
        .opening = "GET /explain HTTP/1.1\r\nHost: h\r\n\r\n",
        .piece = "GET /explain HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n",
        .piece_len = 65,
        .must_return = true};
    (void)state;
    assert_int_equal(strlen(attack.piece), attack.piece_len);
    expect_health_under(&attack);
}

/* Each takes the loop for as long as the largest patch there may be: health checks pass them by. */
static void dear_requests_without_pause(void **state)
{
    static const struct attack attack = {
        .opening = "PATCH /config HTTP/1.0\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
        .must_return = true};
    (void)state;
    rig.burn_ms = 10;
    rig.refuse_rc = ERR_INVALID;
    rig.refuse_text = "a: no";
    expect_health_under(&attack);
}

/* 100 bodies of 896 KiB would be 87 MiB. */
static void what_all_clients_together_make_us_hold_is_bounded(void **state)
{
    enum {
        BODIES = 100,
        PIECES = 1048576 / PIECE_BYTES,
        BODY_PIECES = PIECES - 2,
        LEFT_MAX = HTTP1_HELD_BYTES_MAX / (900 * 1024) + 1
    };
    static const char head[] =
        "POST /switchover HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n";
    struct pollfd fds[BODIES];
    int left = BODIES;
    (void)state;
    for (int i = 0; i < BODIES; i++) {
        fds[i] = (struct pollfd){.fd = rig_client(), .events = POLLRDHUP};
        rig_say(fds[i].fd, head);
        for (int piece = 0; piece < BODY_PIECES; piece++) {
            rig_say_bytes(fds[i].fd, slow_filler, sizeof slow_filler);
        }
    }
    while (left > LEFT_MAX) {
        assert_true(poll(fds, BODIES, RIG_WAIT_MS) > 0);
        for (int i = 0; i < BODIES; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0) {
                (void)close(fds[i].fd);
                fds[i].fd = -1;
                left--;
            }
        }
    }
    /* The last one is among those who are left: it may still end its body. */
    assert_true(fds[BODIES - 1].fd >= 0);
    for (int piece = BODY_PIECES; piece < PIECES; piece++) {
        rig_say_bytes(fds[BODIES - 1].fd, slow_filler, sizeof slow_filler);
    }
    assert_int_equal(rig_code(rig_hear(fds[BODIES - 1].fd, "\r\n\r\n", 1)), 400);
    for (int i = 0; i < BODIES; i++) {
        if (fds[i].fd >= 0) {
            (void)close(fds[i].fd);
        }
    }
}

int main(void)
{
#define WITH_LARGE(name) cmocka_unit_test_setup_teardown(name, slow_start, slow_finish)
    const struct CMUnitTest tests[] = {
        WITH_LARGE(silent_connections_in_full_number),
        WITH_LARGE(heads_that_come_byte_by_byte),
        WITH_LARGE(large_answers_that_nobody_reads),
        WITH_LARGE(heads_of_a_mebibyte),
        WITH_LARGE(chunked_bodies_without_end),
        WITH_LARGE(bodies_of_a_mebibyte_that_do_not_end),
        WITH_LARGE(requests_without_pause_and_answers_not_read),
        WITH_LARGE(dear_requests_without_pause),
        WITH_LARGE(what_all_clients_together_make_us_hold_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
