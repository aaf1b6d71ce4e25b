/* TLS as a stream: what is written and read, what waits, and every way to end. Certificates that
 * are refused are test_tls_refused.c. */
#include "tests/unit/base_net/tls_fixture.h"
#include "tests/unit/base_net/written_fixture.h"

#include <openssl/err.h>

enum { MEBIBYTE = 1024 * 1024 };

static struct tls_context *both; /* certificate and authority of either side */

/* The handshake has begun; nothing has passed yet. */
static void tls_begin(struct end **client, struct end **server, size_t chunk)
{
    struct tls_options options = {.loop = &loop, .context = both, .write_queue_bytes_max = LIMIT};
    ends_meet(options, options, client, server);
    wire_below(*client)->chunk = wire_below(*server)->chunk = chunk;
}

static void tls_pair(struct end **client, struct end **server)
{
    tls_begin(client, server, ALL_BYTES);
    TURN_UNTIL(is_open(*client) && is_open(*server));
}

/* --- data ------------------------------------------------------------------------------------- */

static void bytes_come_both_ways_in_pieces_of_any_size(void **state)
{
    static const size_t chunks[] = {1, 2, 5, 100, ALL_BYTES};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof chunks / sizeof chunks[0]; i++) {
        struct end *client;
        struct end *server;
        int version = i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
        tls_begin(&client, &server, chunks[i / 2]);
        assert_int_equal(SSL_set_max_proto_version(ssl_of(server), version), 1);
        end_read(client);
        end_read(server);
        assert_int_equal(end_write(client, span_str("ping")), 0); /* before it is open */
        TURN_UNTIL(server->got.len == 4);
        assert_int_equal(SSL_version(ssl_of(server)), version);
        assert_true(end_has(server, "ping"));
        assert_int_equal(end_write(server, span_str("po")), 0);
        assert_int_equal(end_write(server, span_of(NULL, 0)), 0);
        assert_int_equal(end_write(server, span_str("ng")), 0);
        end_close(server);
        TURN_UNTIL(client->ends > 0);
        assert_true(end_has(client, "pong"));
        assert_int_equal(client->err.code, ERR_CLOSED);
        assert_string_equal(client->err.text, "far:2: closed by the peer");
        wires_part(client, server);
    }
}

static void a_mebibyte_goes_each_way_at_once(void **state)
{
    static uint8_t bytes[PIECE * 3 + 1];
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    end_read(client);
    end_read(server);
    size_t sent[2] = {0};
    struct end *ends[2] = {client, server};
    while (client->got.len < MEBIBYTE || server->got.len < MEBIBYTE) {
        assert_false(watchdog_fired);
        for (size_t i = 0; i < 2; i++) {
            size_t len = MEBIBYTE - sent[i] < sizeof bytes ? MEBIBYTE - sent[i] : sizeof bytes;
            put_pattern(bytes, sent[i], len);
            if (len > 0 && end_write(ends[i], span_of(bytes, len)) == 0) {
                sent[i] += len;
            }
        }
        turn();
    }
    assert_pattern(&client->got);
    assert_pattern(&server->got);
    assert_int_equal(client->got.len, MEBIBYTE);
    assert_int_equal(server->got.len, MEBIBYTE);
}

static void what_comes_with_the_end_of_the_handshake_is_not_lost(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_begin(&client, &server, ALL_BYTES);
    assert_int_equal(end_write(client, span_str("first")), 0);
    assert_true(stream_pending(client->stream) >= 5);
    TURN_UNTIL(is_open(server));
    turns(5);
    assert_int_equal(server->got.len, 0); /* nobody reads yet */
    assert_int_equal(stream_pending(client->stream), 0);
    assert_int_equal(client->drains, 1); /* it had waited for the handshake */
    assert_int_equal(end_write(client, span_str(" second")), 0);
    end_read(server);
    end_read(server);                     /* twice is once */
    assert_int_equal(server->got.len, 0); /* never from inside the call */
    TURN_UNTIL(server->got.len == 12);
    assert_true(end_has(server, "first second"));
}

static void stop_after_a_record(struct end *end)
{
    stream_read_stop(end->stream);
}

static void a_stopped_reader_gets_nothing_until_it_starts_again(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    server->during = stop_after_a_record;
    end_read(server);
    for (int i = 0; i < 3; i++) { /* three records, in one read below */
        assert_int_equal(end_write(client, span_str("abc")), 0);
    }
    turns(5);
    assert_true(end_has(server, "abc"));
    assert_false(wire_below(server)->reading);
    end_read(server);
    turns(5);
    assert_true(end_has(server, "abcabc"));
    assert_int_equal(end_write(client, span_str("!")), 0);
    end_close(client);
    turns(5);
    server->during = NULL;
    end_read(server);
    TURN_UNTIL(server->ends > 0);
    assert_true(end_has(server, "abcabcabc!"));
    assert_int_equal(server->err.code, ERR_CLOSED);
    assert_int_equal(stream_read_start(server->stream, NULL), ERR_CLOSED);
}

static void who_takes_a_stream_over_inside_an_event_gets_the_rest(void **state)
{
    static struct end heir;
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    server->during = stop_after_a_record;
    end_read(server);
    assert_int_equal(end_write(client, span_str("one")), 0);
    assert_int_equal(end_write(client, span_str("two")), 0);
    TURN_UNTIL(server->got.len > 0);
    heir = (struct end){.stream = server->stream};
    stream_attach(server->stream, &end_events, &heir);
    end_read(&heir);
    end_close(client);
    TURN_UNTIL(heir.ends > 0);
    assert_true(end_has(server, "one"));
    assert_true(end_has(&heir, "two"));
    buf_free(&heir.got);
    stream_attach(server->stream, &end_events, server);
}

/* --- what waits ------------------------------------------------------------------------------- */

static void a_peer_that_does_not_read_costs_no_more_than_the_limit(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    size_t taken = fill(client);
    assert_true(stream_pending(client->stream) > LIMIT - PIECE); /* the limit was used */
    assert_true(stream_pending(client->stream) <= LIMIT);
    assert_true(taken >= LIMIT + KERNEL_BYTES - PIECE);
    assert_int_equal(client->drains, 0);
    end_read(server);
    TURN_UNTIL(client->drains > 0 && server->got.len == taken);
    assert_int_equal(client->drains, 1);
    assert_pattern(&server->got);
    assert_int_equal(end_write(client, span_str("more")), 0);
    TURN_UNTIL(server->got.len == taken + 4);
    assert_int_equal(client->drains, 1); /* nothing had to wait */
}

static void a_message_of_the_limit_is_taken_and_one_more_byte_is_not(void **state)
{
    static uint8_t message[LIMIT + 1];
    struct end *client;
    struct end *server;
    (void)state;
    put_pattern(message, 0, sizeof message);
    tls_begin(&client, &server, ALL_BYTES);
    TURN_UNTIL(is_open(client) && is_open(server) && stream_pending(client->stream) == 0);
    assert_int_equal(end_write(client, span_of(message, LIMIT + 1)), ERR_LIMIT);
    assert_int_equal(stream_pending(client->stream), 0);
    assert_int_equal(end_write(client, span_of(message, LIMIT)), 0);
    end_read(server);
    TURN_UNTIL(server->got.len == LIMIT);
    assert_pattern(&server->got);
}

/* However slow the wire: the stream below never holds more than it was said to take (wire_write
 * asserts it), and the order stays. */
static void a_slow_wire_gets_a_long_message_piece_by_piece(void **state)
{
    static uint8_t message[LIMIT];
    struct end *client;
    struct end *server;
    (void)state;
    put_pattern(message, 0, sizeof message);
    tls_pair(&client, &server);
    wire_below(client)->kernel = 1000;
    wire_below(client)->chunk = 1500;
    assert_int_equal(end_write(client, span_of(message, LIMIT - 10)), 0);
    assert_true(stream_pending(&wire_below(client)->base) < LIMIT - 10);
    assert_int_equal(end_write(client, span_of(message + LIMIT - 10, 10)), 0);
    end_read(server);
    TURN_UNTIL(server->got.len == LIMIT);
    assert_pattern(&server->got);
    TURN_UNTIL(client->drains == 1);
}

static void a_queue_without_memory_is_refused_and_goes_on_later(void **state)
{
    struct end *client;
    struct end *server;
    struct note lost = {.letter = 'x'};
    struct error err = {0};
    (void)state;
    notes[0] = '\0';
    tls_begin(&client, &server, ALL_BYTES);
    mem_fault_at(1);
    int rc = stream_write(client->stream, span_str("lost"), note_done, &lost, &err);
    assert_int_equal(rc, ERR_NOMEM);
    assert_string_equal(err.text, "far:2: no memory to queue 4 bytes");
    assert_int_equal(end_write(client, span_str("kept")), 0);
    end_read(server);
    TURN_UNTIL(server->got.len > 0);
    assert_true(end_has(server, "kept"));
    assert_string_equal(notes, "");
}

static void done_comes_once_in_order_and_not_inside_the_call(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    for (int open = 0; open < 2; open++) { /* before the handshake, and after it */
        struct note a = {.letter = 'a', .rc = 1};
        struct note b = {.letter = 'b', .rc = 1};
        struct note c = {.letter = 'c', .rc = 1};
        struct note s = {.letter = 's', .rc = 1};
        notes[0] = '\0';
        tls_begin(&client, &server, ALL_BYTES);
        if (open == 1) {
            TURN_UNTIL(is_open(client) && is_open(server));
        }
        assert_int_equal(stream_write(client->stream, span_str("1"), note_done, &a, NULL), 0);
        assert_int_equal(stream_write(client->stream, span_of(NULL, 0), note_done, &b, NULL), 0);
        assert_int_equal(stream_write(client->stream, span_str("2"), note_done, &c, NULL), 0);
        assert_int_equal(end_write(client, span_str("3")), 0);
        assert_int_equal(stream_shutdown(client->stream, note_done, &s, NULL), 0);
        assert_string_equal(notes, "");
        end_read(server);
        TURN_UNTIL(server->ends > 0 && strlen(notes) == 4);
        assert_string_equal(notes, "abcs");
        assert_int_equal(a.rc | b.rc | c.rc | s.rc, 0);
        assert_true(end_has(server, "123"));
        assert_int_equal(server->err.code, ERR_CLOSED);
    }
}

/* --- ends in order ---------------------------------------------------------------------------- */

static void a_half_closed_stream_still_goes_the_other_way(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        tls_begin(&client, &server, ALL_BYTES);
        assert_int_equal(SSL_set_max_proto_version(ssl_of(server), version), 1);
        TURN_UNTIL(is_open(client) && is_open(server));
        end_read(client);
        end_read(server);
        assert_int_equal(stream_shutdown(client->stream, NULL, NULL, NULL), 0);
        TURN_UNTIL(server->ends > 0);
        assert_int_equal(server->err.code, ERR_CLOSED);
        turns(3);
        assert_int_equal(client->ends, 0);
        assert_int_equal(end_write(server, span_str("answer")), 0);
        TURN_UNTIL(client->got.len == 6);
        assert_int_equal(stream_shutdown(server->stream, NULL, NULL, NULL), 0);
        TURN_UNTIL(client->ends > 0);
        assert_int_equal(client->err.code, ERR_CLOSED);
    }
}

static void nothing_is_written_after_the_shutdown(void **state)
{
    struct end *client;
    struct end *server;
    struct note late = {.letter = 'x'};
    struct note s = {.letter = 's'};
    (void)state;
    notes[0] = '\0';
    tls_pair(&client, &server);
    size_t taken = fill(client);
    assert_int_equal(stream_shutdown(client->stream, note_done, &s, NULL), 0);
    assert_int_equal(stream_write(client->stream, span_str("late"), note_done, &late, NULL),
                     ERR_CLOSED);
    assert_int_equal(stream_shutdown(client->stream, note_done, &late, NULL), ERR_CLOSED);
    assert_string_equal(notes, "");
    end_read(server);
    TURN_UNTIL(server->ends > 0 && notes[0] != '\0');
    assert_int_equal(server->got.len, taken); /* everything that had been queued, and no more */
    assert_int_equal(server->err.code, ERR_CLOSED);
    assert_string_equal(notes, "s");
}

static void closing_cancels_what_waits_and_says_closed_last(void **state)
{
    static uint8_t half[LIMIT / 2];
    struct end *client;
    struct end *server;
    struct note a = {.letter = 'a'};
    struct note b = {.letter = 'b'};
    struct note s = {.letter = 's'};
    struct note closed = {.letter = '!'};
    (void)state;
    notes[0] = '\0';
    tls_pair(&client, &server);
    while (stream_pending(client->stream) == 0) {
        assert_int_equal(end_write(client, span_of(half, sizeof half)), 0);
    }
    assert_int_equal(stream_write(client->stream, span_of(half, 1000), note_done, &a, NULL), 0);
    assert_int_equal(stream_write(client->stream, span_of(half, 1000), note_done, &b, NULL), 0);
    assert_int_equal(stream_shutdown(client->stream, note_done, &s, NULL), 0);
    stream_close(client->stream, note_closed, &closed);
    client->stream = NULL; /* no event may come any more: end_on_* assert it */
    assert_string_equal(notes, "");
    end_read(server);
    TURN_UNTIL(strchr(notes, '!') != NULL && server->ends > 0);
    client->closes++;
    assert_string_equal(notes, "abs!");
    assert_int_equal(a.rc, ERR_CANCELED);
    assert_int_equal(b.rc, ERR_CANCELED);
    assert_int_equal(s.rc, ERR_CANCELED);
    assert_int_equal(server->err.code, ERR_IO); /* something is missing, and it can tell */
    assert_non_null(strstr(server->err.text, "what came may be cut off"));
}

/* --- ends in disorder ------------------------------------------------------------------------- */

static void an_end_of_the_wire_alone_is_no_end_in_order(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    end_read(server);
    assert_int_equal(end_write(client, span_str("so far")), 0);
    wire_below(client)->shut = wire_below(client)->shut_told = true;
    TURN_UNTIL(server->ends > 0);
    assert_true(end_has(server, "so far"));
    assert_int_equal(server->err.code, ERR_IO);
    assert_string_equal(server->err.text, "near:1: closed by the peer without an end of TLS: what "
                                          "came may be cut off");
    assert_int_equal(end_write(server, span_str("x")), ERR_IO);
}

static void alter_last(uint8_t *bytes, size_t len)
{
    bytes[len - 1] ^= 1;
}

static void changed_bytes_end_it_and_are_not_delivered(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    end_read(client);
    end_read(server);
    wire_below(client)->alter = alter_last;
    assert_int_equal(end_write(client, span_str("changed")), 0);
    TURN_UNTIL(server->ends > 0 && client->ends > 0);
    assert_int_equal(server->got.len, 0);
    assert_int_equal(server->err.code, ERR_CORRUPT);
    assert_non_null(strstr(server->err.text, "near:1: bytes were changed on their way"));
    assert_int_equal(client->err.code, ERR_REFUSED); /* it was told */
    assert_non_null(strstr(client->err.text, "the other side ended TLS: bad record mac"));
}

static void a_wire_that_breaks_fails_what_waits_and_is_told_once(void **state)
{
    static uint8_t bytes[LIMIT / 4];
    struct end *client;
    struct end *server;
    struct note a = {.letter = 'a'};
    struct note s = {.letter = 's'};
    struct error err;
    (void)state;
    notes[0] = '\0';
    tls_pair(&client, &server);
    while (list_empty(&tls_of(client->stream)->queue)) {
        assert_int_equal(end_write(client, span_of(bytes, sizeof bytes)), 0);
    }
    assert_int_equal(stream_write(client->stream, span_of(bytes, 10), note_done, &a, NULL), 0);
    assert_int_equal(stream_shutdown(client->stream, note_done, &s, NULL), 0);
    struct wire *wire = wire_below(client);
    (void)error_set(&err, ERR_IO, "wire: reset");
    wire->base.events->on_end(wire->base.arg, ERR_IO, &err);
    assert_string_equal(notes, "as");
    assert_int_equal(a.rc, ERR_IO);
    assert_int_equal(s.rc, ERR_IO);
    turns(3);
    assert_int_equal(client->ends, 1);
    assert_string_equal(client->err.text, "wire: reset");
    assert_int_equal(end_write(client, span_str("x")), ERR_IO);
}

/* At the n-th write below, whatever that is: it is always told, and nothing hangs. */
static void a_write_below_that_fails_ends_it_wherever_it_is(void **state)
{
    (void)state;
    for (int when = 0; when < 6; when++) {
        struct end *client;
        struct end *server;
        tls_begin(&client, &server, ALL_BYTES);
        end_read(client);
        end_read(server);
        turns((size_t)when);
        wire_below(client)->write_rc = wire_below(server)->write_rc = ERR_IO;
        (void)end_write(client, span_str("x"));
        (void)end_write(server, span_str("x"));
        TURN_UNTIL(client->ends + server->ends > 0);
        turns(5);
        wires_part(client, server);
    }
}

/* --- handshakes that do not come about -------------------------------------------------------- */

static void silence_is_ended_by_the_deadline(void **state)
{
    (void)state;
    for (size_t passed = 0; passed < 2; passed++) { /* not a byte; half of a handshake */
        struct end *client;
        struct end *server;
        struct tls_options options = {.loop = &loop, .context = both, .handshake_ms = 40};
        uv_update_time(&loop);
        uint64_t began_ms = uv_now(&loop);
        ends_meet(options, options, &client, &server);
        wire_below(client)->chunk = passed;
        wire_below(server)->chunk = 0;
        TURN_UNTIL(client->ends > 0 && server->ends > 0);
        assert_true(uv_now(&loop) - began_ms >= 40);
        assert_int_equal(client->err.code, ERR_TIMEOUT);
        assert_string_equal(client->err.text, "far:2: no TLS handshake in 40 ms");
        assert_int_equal(server->err.code, ERR_TIMEOUT);
    }
}

static void an_end_in_the_middle_of_the_handshake_is_told(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_begin(&client, &server, 7);
    struct note early = {.letter = 'e'};
    notes[0] = '\0';
    assert_int_equal(stream_write(client->stream, span_str("e"), note_done, &early, NULL), 0);
    turns(3);
    end_close(server);
    TURN_UNTIL(client->ends > 0);
    assert_int_equal(client->err.code, ERR_IO);
    assert_string_equal(client->err.text,
                        "far:2: closed by the peer in the middle of the TLS handshake");
    assert_int_equal(early.rc, ERR_IO);
    assert_string_equal(notes, "e");
}

static void feed(struct wire *wire, struct span bytes)
{
    buf_put_span(&wire->out, bytes);
}

static void plain_text_is_answered_in_plain_text(void **state)
{
    struct wire *near;
    struct wire *far;
    struct tls_options options = {.loop = &loop,
                                  .context = both,
                                  .is_server = true,
                                  .plain_answer = span_str("TLS is spoken here\n")};
    (void)state;
    wire_pair(&near, &far);
    struct end *server = end_over(&far->base, &options);
    feed(near, span_str("GET / HTTP/1.1\r\n\r\n"));
    TURN_UNTIL(server->ends > 0);
    assert_int_equal(server->err.code, ERR_UNSUPPORTED);
    assert_string_equal(server->err.text, "near:1: plain text came where TLS is spoken");
    assert_true(span_equal_str(buf_span(&far->out), "TLS is spoken here\n"));
    near->closing = near->closed = true;
}

static void a_server_of_plain_text_is_told_from_one_of_tls(void **state)
{
    struct wire *near;
    struct wire *far;
    struct tls_options options = {.loop = &loop, .context = both};
    (void)state;
    wire_pair(&near, &far);
    struct end *client = end_over(&near->base, &options);
    feed(far, span_str("220 hello\r\n"));
    TURN_UNTIL(client->ends > 0);
    assert_int_equal(client->err.code, ERR_UNSUPPORTED);
    assert_string_equal(client->err.text, "far:2: the other side does not speak TLS");
    far->closing = far->closed = true;
}

static void garbage_that_begins_as_tls_is_refused(void **state)
{
    static const uint8_t bytes[] = {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0};
    struct wire *near;
    struct wire *far;
    struct tls_options options = {.loop = &loop, .context = both, .is_server = true};
    (void)state;
    wire_pair(&near, &far);
    struct end *server = end_over(&far->base, &options);
    feed(near, span_of(bytes, sizeof bytes));
    TURN_UNTIL(server->ends > 0);
    assert_int_equal(server->err.code, ERR_INVALID);
    assert_non_null(strstr(server->err.text, "near:1: no TLS, or broken: "));
    assert_int_equal(far->out.data[0], 21); /* an alert */
    near->closing = near->closed = true;
}

/* --- what is refused afterwards --------------------------------------------------------------- */

static void renegotiation_is_refused(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_begin(&client, &server, ALL_BYTES);
    assert_int_equal(SSL_set_max_proto_version(ssl_of(server), TLS1_2_VERSION), 1);
    TURN_UNTIL(is_open(client) && is_open(server));
    end_read(server);
    (void)SSL_clear_options(ssl_of(client), SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(ssl_of(client)), 1);
    assert_int_not_equal(SSL_do_handshake(ssl_of(client)), 1); /* sent, and not answered */
    ERR_clear_error();
    tls_flush(tls_of(client->stream));
    turns(5);
    assert_int_equal(SSL_get_state(ssl_of(server)), TLS_ST_OK); /* it took no part in it */
    assert_int_equal(server->ends, 0);
    assert_int_equal(end_write(server, span_str("on")), 0); /* and goes on as before */
}

static void keys_may_change_on_the_way(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server);
    end_read(client);
    end_read(server);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(ssl_of(client), SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(end_write(client, span_str("a")), 0);
        turns(3);
        assert_int_equal(end_write(server, span_str("b")), 0);
        turns(3);
    }
    assert_true(end_has(server, "aaaaa"));
    assert_true(end_has(client, "bbbbb"));
}

/* --- closing from inside ---------------------------------------------------------------------- */

static void it_may_be_closed_in_any_event(void **state)
{
    struct end *client;
    struct end *server;
    (void)state;
    tls_pair(&client, &server); /* in on_read, with more behind it */
    server->during = close_it;
    end_read(server);
    assert_int_equal(end_write(client, span_str("a")), 0);
    assert_int_equal(end_write(client, span_str("b")), 0);
    end_read(client);
    client->during = close_it; /* in on_end */
    TURN_UNTIL(server->closes > 0 && client->closes > 0);
    assert_true(end_has(server, "a"));
    assert_int_equal(server->ends, 0);
    assert_int_equal(client->ends, 1);

    tls_pair(&client, &server); /* in on_drained */
    client->during = close_it;
    size_t taken = fill(client);
    end_read(server);
    TURN_UNTIL(client->closes > 0 && server->ends > 0);
    assert_int_equal(server->got.len, taken);
    assert_int_equal(server->err.code, ERR_CLOSED); /* everything had been taken */

    tls_pair(&client, &server); /* in a done, with more waiting */
    struct note a = {.letter = 'a', .rc = 1, .end = client};
    struct note s = {.letter = 's', .rc = 1};
    notes[0] = '\0';
    client->during = close_it;
    assert_int_equal(stream_write(client->stream, span_str("1"), note_done, &a, NULL), 0);
    assert_int_equal(stream_shutdown(client->stream, note_done, &s, NULL), 0);
    TURN_UNTIL(client->closes > 0);
    assert_string_equal(notes, "as");
    assert_int_equal(a.rc, 0);
    assert_int_equal(s.rc, ERR_CANCELED);
}

static void a_failure_inside_which_it_is_closed_cancels_the_rest(void **state)
{
    static uint8_t bytes[LIMIT / 4];
    struct end *client;
    struct end *server;
    struct error err;
    (void)state;
    notes[0] = '\0';
    tls_pair(&client, &server);
    struct note a = {.letter = 'a', .end = client};
    struct note b = {.letter = 'b'};
    while (list_empty(&tls_of(client->stream)->queue)) {
        assert_int_equal(end_write(client, span_of(bytes, sizeof bytes)), 0);
    }
    assert_int_equal(stream_write(client->stream, span_of(bytes, 10), note_done, &a, NULL), 0);
    assert_int_equal(stream_write(client->stream, span_of(bytes, 10), note_done, &b, NULL), 0);
    client->during = close_it;
    struct wire *wire = wire_below(client);
    (void)error_set(&err, ERR_IO, "wire: reset");
    wire->base.events->on_end(wire->base.arg, ERR_IO, &err);
    TURN_UNTIL(client->closes > 0);
    assert_string_equal(notes, "ab");
    assert_int_equal(a.rc, ERR_IO);
    assert_int_equal(b.rc, ERR_CANCELED);
    assert_int_equal(client->ends, 0);
}

static void it_may_be_closed_at_every_step_of_the_handshake(void **state)
{
    (void)state;
    for (size_t i = 0; i < 16; i++) {
        struct end *client;
        struct end *server;
        tls_begin(&client, &server, 300);
        end_read(client);
        end_read(server);
        assert_int_equal(end_write(client, span_str("early")), 0);
        turns(i / 2);
        end_close(i % 2 == 0 ? client : server);
        turns(20);
        wires_part(client, server);
    }
}

/* --- over TCP --------------------------------------------------------------------------------- */

static void it_runs_over_tcp(void **state)
{
    static uint8_t bytes[MEBIBYTE];
    struct end *near;
    struct end *far;
    struct tls_options options = {
        .loop = &loop, .context = both, .write_queue_bytes_max = 2 * MEBIBYTE};
    (void)state;
    put_pattern(bytes, 0, sizeof bytes);
    assert_int_equal(listen_at("127.0.0.1", &plain_options, NULL), 0);
    pair(&near, &far, &plain_options);
    near->stream = tls_stream_new(near->stream, &options);
    options.is_server = true;
    far->stream = tls_stream_new(far->stream, &options);
    stream_attach(near->stream, &end_events, near);
    stream_attach(far->stream, &end_events, far);
    end_read(near);
    end_read(far);
    assert_int_equal(end_write(near, span_of(bytes, sizeof bytes)), 0);
    assert_int_equal(end_write(far, span_of(bytes, sizeof bytes)), 0);
    RUN_UNTIL(near->got.len == MEBIBYTE && far->got.len == MEBIBYTE);
    assert_pattern(&near->got);
    assert_pattern(&far->got);
    assert_int_equal(strncmp(stream_peer(far->stream)->text, "127.0.0.1:", 10), 0);
    assert_true(stream_peer(far->stream)->is_verified);
    assert_string_equal(stream_peer(far->stream)->name, "here");
    end_close(near);
    RUN_UNTIL(far->ends > 0);
    assert_int_equal(far->err.code, ERR_CLOSED);
}

/* --- set up ----------------------------------------------------------------------------------- */

static int files_make(void **state)
{
    struct tls_leaf here = {.file = "here", .name = "here", .alt = "DNS:localhost,IP:127.0.0.1"};
    (void)state;
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make(dir, &here);
    both = context_of("here", "ca", TLS_VERIFY_REQUIRED);
    return 0;
}

static int all_remove(void **state)
{
    tls_context_free(both);
    return files_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(bytes_come_both_ways_in_pieces_of_any_size),
        WIRE_TEST(a_mebibyte_goes_each_way_at_once),
        WIRE_TEST(what_comes_with_the_end_of_the_handshake_is_not_lost),
        WIRE_TEST(a_stopped_reader_gets_nothing_until_it_starts_again),
        WIRE_TEST(who_takes_a_stream_over_inside_an_event_gets_the_rest),
        WIRE_TEST(a_peer_that_does_not_read_costs_no_more_than_the_limit),
        WIRE_TEST(a_message_of_the_limit_is_taken_and_one_more_byte_is_not),
        WIRE_TEST(a_slow_wire_gets_a_long_message_piece_by_piece),
        WIRE_TEST(a_queue_without_memory_is_refused_and_goes_on_later),
        WIRE_TEST(done_comes_once_in_order_and_not_inside_the_call),
        WIRE_TEST(a_half_closed_stream_still_goes_the_other_way),
        WIRE_TEST(nothing_is_written_after_the_shutdown),
        WIRE_TEST(closing_cancels_what_waits_and_says_closed_last),
        WIRE_TEST(an_end_of_the_wire_alone_is_no_end_in_order),
        WIRE_TEST(changed_bytes_end_it_and_are_not_delivered),
        WIRE_TEST(a_wire_that_breaks_fails_what_waits_and_is_told_once),
        WIRE_TEST(a_write_below_that_fails_ends_it_wherever_it_is),
        WIRE_TEST(silence_is_ended_by_the_deadline),
        WIRE_TEST(an_end_in_the_middle_of_the_handshake_is_told),
        WIRE_TEST(plain_text_is_answered_in_plain_text),
        WIRE_TEST(a_server_of_plain_text_is_told_from_one_of_tls),
        WIRE_TEST(garbage_that_begins_as_tls_is_refused),
        WIRE_TEST(renegotiation_is_refused),
        WIRE_TEST(keys_may_change_on_the_way),
        WIRE_TEST(it_may_be_closed_in_any_event),
        WIRE_TEST(a_failure_inside_which_it_is_closed_cancels_the_rest),
        WIRE_TEST(it_may_be_closed_at_every_step_of_the_handshake),
        WIRE_TEST(it_runs_over_tcp),
    };
    return cmocka_run_group_tests(tests, files_make, all_remove);
}
