/* One TCP stream, both ends in one loop: what is written, what waits, and every way to end. */
#include "base/net/stream.h"

#include "base/mem.h"
#include "base/net/tcp_stream.h"
#include "tests/unit/base_net/written_fixture.h"

#include <netinet/tcp.h>

static const struct tcp_options small_queue = {.write_queue_bytes_max = LIMIT};

/* --- data ------------------------------------------------------------------------------------- */

static void bytes_come_as_they_were_sent_and_then_the_end(void **state)
{
    struct end *near;
    struct end *far;
    struct error err = {0};
    (void)state;
    pair(&near, &far, &plain_options);
    end_read(far);
    assert_int_equal(end_write(near, span_str("one ")), 0);
    assert_int_equal(end_write(near, span_str("two")), 0);
    assert_int_equal(end_write(near, span_of(NULL, 0)), 0);
    assert_int_equal(stream_shutdown(near->stream, NULL, NULL, &err), 0);
    RUN_UNTIL(far->ends > 0);
    assert_true(end_has(far, "one two"));
    assert_int_equal(far->err.code, ERR_CLOSED);
    assert_non_null(strstr(far->err.text, "closed by the peer"));
    assert_int_equal(stream_read_start(far->stream, &err), ERR_CLOSED); /* there is no more */
}

static void a_half_closed_stream_still_goes_the_other_way(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    pair(&near, &far, &plain_options);
    end_read(near);
    end_read(far);
    assert_int_equal(stream_shutdown(near->stream, NULL, NULL, NULL), 0);
    RUN_UNTIL(far->ends > 0);
    assert_int_equal(far->err.code, ERR_CLOSED);
    assert_int_equal(near->ends, 0);
    assert_int_equal(end_write(far, span_str("answer")), 0);
    RUN_UNTIL(near->got.len == 6);
    assert_true(end_has(near, "answer"));
    end_close(far);
    RUN_UNTIL(near->ends > 0);
    assert_int_equal(near->err.code, ERR_CLOSED);
    end_close(near);
}

static void a_peer_that_does_not_read_costs_no_more_than_the_limit(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    pair(&near, &far, &small_queue);
    size_t taken = fill(near);
    assert_true(stream_pending(near->stream) > LIMIT - PIECE); /* the limit was used */
    assert_int_equal(near->drains, 0);
    end_read(far);
    RUN_UNTIL(near->drains > 0 && far->got.len == taken);
    assert_int_equal(near->drains, 1);
    assert_pattern(&far->got);
    assert_int_equal(end_write(near, span_str("more")), 0);
    RUN_UNTIL(far->got.len == taken + 4);
    assert_int_equal(near->drains, 1); /* nothing had to wait */
}

static void a_message_of_the_limit_is_taken_and_one_more_byte_is_not(void **state)
{
    struct end *near;
    struct end *far;
    static uint8_t message[LIMIT + 1];
    (void)state;
    pair(&near, &far, &small_queue);
    put_pattern(message, 0, sizeof message);
    assert_int_equal(end_write(near, span_of(message, LIMIT + 1)), ERR_LIMIT);
    assert_int_equal(stream_pending(near->stream), 0);
    assert_int_equal(end_write(near, span_of(message, LIMIT)), 0);
    end_read(far);
    RUN_UNTIL(far->got.len == LIMIT);
    assert_pattern(&far->got);
}

static void a_queue_without_memory_is_refused_and_goes_on_later(void **state)
{
    struct end *near;
    struct end *far;
    struct note lost = {.letter = 'x'};
    struct error err = {0};
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &small_queue);
    mem_fault_at(1);
    int rc = stream_write(near->stream, span_str("lost"), note_done, &lost, &err);
    assert_int_equal(rc, ERR_NOMEM);
    assert_non_null(strstr(err.text, "no memory to queue 4 bytes"));
    assert_int_equal(stream_pending(near->stream), 0);
    assert_int_equal(end_write(near, span_str("kept")), 0);
    end_read(far);
    RUN_UNTIL(far->got.len > 0);
    assert_true(end_has(far, "kept"));
    assert_string_equal(notes, "");
}

static void stop_on_first_byte(struct end *end)
{
    stream_read_stop(end->stream);
}

static void a_stopped_reader_gets_nothing_until_it_starts_again(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    pair(&near, &far, &plain_options);
    end_read(far);
    end_read(far); /* twice is once */
    far->during = stop_on_first_byte;
    assert_int_equal(end_write(near, span_str("a")), 0);
    RUN_UNTIL(far->got.len == 1);
    assert_int_equal(end_write(near, span_str("b")), 0);
    /* Whatever had been told to the far end would come before the answer on the near one. */
    assert_int_equal(end_write(far, span_str("c")), 0);
    end_read(near);
    RUN_UNTIL(near->got.len == 1);
    assert_int_equal(far->got.len, 1);
    far->during = NULL;
    end_read(far);
    RUN_UNTIL(far->got.len == 2);
    assert_true(end_has(far, "ab"));
    end_close(near);
}

static void who_takes_a_stream_over_gets_its_events(void **state)
{
    struct end *near;
    struct end *far;
    static struct end heir;
    (void)state;
    pair(&near, &far, &plain_options);
    end_read(far);
    assert_int_equal(end_write(near, span_str("to the first")), 0);
    RUN_UNTIL(far->got.len == 12);
    heir.stream = far->stream;
    stream_attach(far->stream, &end_events, &heir);
    end_close(near);
    RUN_UNTIL(heir.ends > 0);
    assert_int_equal(far->ends, 0);
}

/* --- done callbacks --------------------------------------------------------------------------- */

static void done_comes_once_in_order_and_not_inside_the_call(void **state)
{
    struct end *near;
    struct end *far;
    struct note a = {.letter = 'a', .rc = 1};
    struct note b = {.letter = 'b', .rc = 1};
    struct note c = {.letter = 'c', .rc = 1};
    struct note s = {.letter = 's', .rc = 1};
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &plain_options);
    assert_int_equal(stream_write(near->stream, span_str("1"), note_done, &a, NULL), 0);
    assert_int_equal(stream_write(near->stream, span_of(NULL, 0), note_done, &b, NULL), 0);
    assert_int_equal(stream_write(near->stream, span_str("2"), note_done, &c, NULL), 0);
    assert_int_equal(end_write(near, span_str("3")), 0); /* behind what waits */
    assert_int_equal(stream_shutdown(near->stream, note_done, &s, NULL), 0);
    assert_string_equal(notes, "");
    end_read(far);
    RUN_UNTIL(far->ends > 0 && strlen(notes) == 4);
    assert_string_equal(notes, "abcs");
    assert_int_equal(a.rc | b.rc | c.rc | s.rc, 0);
    assert_true(end_has(far, "123"));
}

static void nothing_is_written_after_the_shutdown(void **state)
{
    struct end *near;
    struct end *far;
    struct note late = {.letter = 'x'};
    struct note s = {.letter = 's'};
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &small_queue);
    size_t taken = fill(near);
    assert_int_equal(stream_shutdown(near->stream, note_done, &s, NULL), 0);
    assert_int_not_equal(stream_write(near->stream, span_str("late"), note_done, &late, NULL), 0);
    assert_int_not_equal(end_write(near, span_str("late")), 0);
    assert_int_not_equal(stream_shutdown(near->stream, note_done, &late, NULL), 0);
    assert_string_equal(notes, "");
    end_read(far);
    RUN_UNTIL(far->ends > 0 && notes[0] != '\0');
    assert_int_equal(far->got.len, taken); /* everything that had been queued, and no more */
    assert_pattern(&far->got);
    assert_string_equal(notes, "s");
}

static void closing_cancels_what_waits_and_says_closed_last(void **state)
{
    struct end *near;
    struct end *far;
    struct note a = {.letter = 'a'};
    struct note b = {.letter = 'b'};
    struct note s = {.letter = 's'};
    struct note closed = {.letter = '!'};
    static uint8_t half[LIMIT / 2];
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &small_queue);
    (void)fill(near);
    /* Make room for two that will wait. */
    end_read(far);
    RUN_UNTIL(stream_pending(near->stream) == 0);
    stream_read_stop(far->stream);
    while (stream_pending(near->stream) == 0) {
        assert_int_equal(end_write(near, span_of(half, PIECE)), 0);
    }
    assert_int_equal(stream_write(near->stream, span_of(half, 1000), note_done, &a, NULL), 0);
    assert_int_equal(stream_write(near->stream, span_of(half, 1000), note_done, &b, NULL), 0);
    assert_int_equal(stream_shutdown(near->stream, note_done, &s, NULL), 0);
    stream_close(near->stream, note_closed, &closed);
    assert_string_equal(notes, "");
    near->stream = NULL; /* no event may come any more: end_on_* assert it */
    RUN_UNTIL(strchr(notes, '!') != NULL);
    near->closes++;
    assert_string_equal(notes, "abs!");
    assert_int_equal(a.rc, ERR_CANCELED);
    assert_int_equal(b.rc, ERR_CANCELED);
    assert_int_equal(s.rc, ERR_CANCELED);
}

/* --- ends in disorder ------------------------------------------------------------------------- */

static void a_reset_is_no_end_in_order(void **state)
{
    struct end *far;
    (void)state;
    int fd = raw_peer(&far);
    end_read(far);
    raw_reset(fd);
    RUN_UNTIL(far->ends > 0);
    assert_int_equal(far->err.code, ERR_IO);
    assert_non_null(strstr(far->err.text, stream_peer(far->stream)->text));
    assert_non_null(strstr(far->err.text, "reset"));
}

static void a_reset_fails_the_writes_that_wait(void **state)
{
    struct end *far;
    struct note a = {.letter = 'a'};
    static uint8_t bytes[PIECE];
    (void)state;
    notes[0] = '\0';
    int fd = raw_peer(&far);
    while (stream_pending(far->stream) == 0) {
        assert_int_equal(end_write(far, span_of(bytes, sizeof bytes)), 0);
    }
    assert_int_equal(stream_write(far->stream, span_of(bytes, 10), note_done, &a, NULL), 0);
    raw_reset(fd);
    RUN_UNTIL(far->ends > 0 && notes[0] != '\0'); /* nobody reads: the write that fails tells it */
    assert_string_equal(notes, "a");
    assert_int_not_equal(a.rc, 0);
    assert_int_equal(far->ends, 1);
    assert_int_not_equal(far->err.code, ERR_CLOSED);
    assert_int_equal(stream_pending(far->stream), 0);
    assert_int_not_equal(end_write(far, span_str("x")), 0);
}

/* --- closing from inside ---------------------------------------------------------------------- */

static void closing_inside_on_read_ends_it_there(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    pair(&near, &far, &small_queue);
    far->during = close_it;
    size_t taken = fill(near);
    end_read(far);
    RUN_UNTIL(far->closes > 0);
    assert_true(far->got.len < taken);
    assert_int_equal(far->ends, 0);
}

static void closing_inside_on_end_is_the_usual_way(void **state)
{
    struct end *near;
    struct end *far;
    struct end *reset;
    (void)state;
    pair(&near, &far, &plain_options);
    far->during = close_it;
    end_read(far);
    end_close(near);
    RUN_UNTIL(far->closes > 0);
    assert_int_equal(far->ends, 1);
    int fd = raw_peer(&reset);
    reset->during = close_it;
    end_read(reset);
    raw_reset(fd);
    RUN_UNTIL(reset->closes > 0);
    assert_int_equal(reset->ends, 1);
}

static void closing_inside_a_done_cancels_the_rest(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &plain_options);
    struct note a = {.letter = 'a', .rc = 1, .end = near};
    struct note s = {.letter = 's', .rc = 1};
    near->during = close_it;
    assert_int_equal(stream_write(near->stream, span_str("1"), note_done, &a, NULL), 0);
    assert_int_equal(stream_shutdown(near->stream, note_done, &s, NULL), 0);
    RUN_UNTIL(near->closes > 0);
    assert_string_equal(notes, "as");
    assert_int_equal(a.rc, 0);
    assert_int_equal(s.rc, ERR_CANCELED);
    assert_int_equal(near->drains, 0);
}

static void closing_inside_on_drained_and_a_shutdowns_done(void **state)
{
    struct end *near;
    struct end *far;
    (void)state;
    notes[0] = '\0';
    pair(&near, &far, &small_queue);
    near->during = close_it;
    size_t taken = fill(near);
    end_read(far);
    RUN_UNTIL(near->closes > 0 && far->ends > 0);
    assert_int_equal(near->drains, 1);
    assert_int_equal(far->got.len, taken); /* the kernel had it all */
    assert_int_equal(far->err.code, ERR_CLOSED);

    pair(&near, &far, &plain_options);
    struct note s = {.letter = 's', .rc = 1, .end = near};
    near->during = close_it;
    assert_int_equal(stream_shutdown(near->stream, note_done, &s, NULL), 0);
    RUN_UNTIL(near->closes > 0);
    assert_int_equal(s.rc, 0);
}

static void a_write_that_fails_may_close_its_stream(void **state)
{
    struct end *far;
    static uint8_t bytes[PIECE];
    (void)state;
    int fd = raw_peer(&far);
    far->during = close_it;
    while (stream_pending(far->stream) == 0) {
        assert_int_equal(end_write(far, span_of(bytes, sizeof bytes)), 0);
    }
    assert_int_equal(end_write(far, span_of(bytes, sizeof bytes)), 0); /* two fail, one is told */
    raw_reset(fd);
    RUN_UNTIL(far->closes > 0);
    assert_int_equal(far->ends, 1);
}

static void a_stream_that_nobody_attached_to_closes(void **state)
{
    struct connecting connecting;
    (void)state;
    connect_begin(&connecting, "127.0.0.1", listener_port(), NULL, CONNECT_MS);
    RUN_UNTIL(connecting.calls > 0);
    stream_close(connecting.stream, NULL, NULL);
}

/* --- the socket ------------------------------------------------------------------------------- */

static unsigned option_of(const struct stream *stream, int level, int name)
{
    uv_os_fd_t fd = -1;
    unsigned value = 0;
    socklen_t len = sizeof value;
    struct tcp_stream *tcp = (struct tcp_stream *)(void *)(uintptr_t)stream; /* base comes first */
    assert_int_equal(uv_fileno((uv_handle_t *)tcp_stream_handle(tcp), &fd), 0);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void the_socket_has_the_options_that_were_asked_for(void **state)
{
    static const struct tcp_options options = {.keepalive_idle_s = 7, .user_timeout_ms = 1234};
    struct end *near;
    struct end *far;
    (void)state;
    pair(&near, &far, &options);
    assert_int_equal(option_of(near->stream, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(near->stream, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(near->stream, IPPROTO_TCP, TCP_KEEPIDLE), 7);
    assert_int_equal(option_of(near->stream, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
    assert_int_equal(option_of(far->stream, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(far->stream, IPPROTO_TCP, TCP_KEEPIDLE), 10);
    assert_int_equal(option_of(far->stream, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
}

static void each_end_knows_its_peer(void **state)
{
    struct end *near;
    struct end *far;
    char text[NET_ADDR_TEXT_BYTES];
    (void)state;
    pair(&near, &far, &plain_options);
    assert_int_equal(stream_peer(near->stream)->port, listener_port());
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", stream_peer(far->stream)->port);
    assert_string_equal(stream_peer(far->stream)->text, text);
    assert_true(net_ip_equal(stream_peer(near->stream)->ip, stream_peer(far->stream)->ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(bytes_come_as_they_were_sent_and_then_the_end),
        TCP_TEST(a_half_closed_stream_still_goes_the_other_way),
        TCP_TEST(a_peer_that_does_not_read_costs_no_more_than_the_limit),
        TCP_TEST(a_message_of_the_limit_is_taken_and_one_more_byte_is_not),
        TCP_TEST(a_queue_without_memory_is_refused_and_goes_on_later),
        TCP_TEST(a_stopped_reader_gets_nothing_until_it_starts_again),
        TCP_TEST(who_takes_a_stream_over_gets_its_events),
        TCP_TEST(done_comes_once_in_order_and_not_inside_the_call),
        TCP_TEST(nothing_is_written_after_the_shutdown),
        TCP_TEST(closing_cancels_what_waits_and_says_closed_last),
        TCP_TEST(a_reset_is_no_end_in_order),
        TCP_TEST(a_reset_fails_the_writes_that_wait),
        TCP_TEST(closing_inside_on_read_ends_it_there),
        TCP_TEST(closing_inside_on_end_is_the_usual_way),
        TCP_TEST(closing_inside_a_done_cancels_the_rest),
        TCP_TEST(closing_inside_on_drained_and_a_shutdowns_done),
        TCP_TEST(a_write_that_fails_may_close_its_stream),
        TCP_TEST(a_stream_that_nobody_attached_to_closes),
        TCP_TEST(the_socket_has_the_options_that_were_asked_for),
        TCP_TEST(each_end_knows_its_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
