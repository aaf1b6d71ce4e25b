/* Clients that ask for too much, too often, or never go on. */
#include "tests/unit/base_net/h2_fixture.h"
#include "tests/unit/base_net/http2_takes.h"

enum { MARGIN_MS = 4000 /* what the test itself may take */ };

static struct http2_server *server;
static size_t requests;
static size_t closes;
static struct http2_stream *latest;
static bool answers;

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    (void)request;
    requests++;
    latest = stream;
    if (answers) {
        http2_respond(stream, 200, NULL, 0, true);
    }
}

static void on_close(void *arg, struct http2_stream *stream, int rc)
{
    (void)arg;
    (void)rc;
    closes++;
    latest = latest == stream ? NULL : latest;
}

static const struct http2_events events = {.on_request = on_request,
                                           .on_data = take_data,
                                           .on_request_end = take_end,
                                           .on_close = on_close};

static int open_server(void **state)
{
    (void)state;
    requests = closes = 0;
    latest = NULL;
    answers = false;
    time_shift_ms = 0;
    peer_ip = (struct net_ip){{0}};
    assert_int_equal(uv_loop_init(&loop), 0);
    return http2_server_start(&loop, &events, NULL, &server, NULL);
}

static int close_server(void **state)
{
    bool stopped = false;
    (void)state;
    http2_server_stop(server, on_server_stopped, &stopped);
    run_until(&stopped);
    assert_int_equal(requests, closes);
    return uv_loop_close(&loop);
}

/* --- floods ----------------------------------------------------------------------------------- */

static struct client *greeted_client(void)
{
    struct client *client = client_new(server, true);
    pump(client);
    assert_int_equal(client->settings_acks, 1);
    return client;
}

/* The code of the last GOAWAY that was written, frame by frame: the client would end the connection
 * itself for answers that it has not asked for. */
static uint32_t goaway_code(const struct buf *written)
{
    uint32_t code = UINT32_MAX;
    for (size_t at = 0; at + 9 <= written->len;) {
        const uint8_t *frame = written->data + at;
        if (frame[3] == NGHTTP2_GOAWAY) {
            code = frame[16]; /* all codes are small */
        }
        at += 9 + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);
    }
    return code;
}

static void check_calmed(struct client *client)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(goaway_code(&client->pipe.to_client), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(client->pipe.shut);
    client_free(client);
}

static void put_id(uint8_t *to, uint32_t id)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(id >> (8 * (3 - i)));
    }
}

/* Asks as often as the budget could ever allow, and sends `more` of 13 bytes about each request. */
static void ask_and_spoil(const uint8_t more[static 13])
{
    uint8_t ask[] = {0, 0, 6, 1, 5, 0, 0, 0, 0, 0x83, 0x86, 0x84, 1, 1, 'h'};
    uint8_t spoil[13];
    struct client *client = greeted_client();
    memcpy(spoil, more, sizeof spoil);
    for (uint32_t id = 1; id < 3 * HTTP2_CONTROL_BURST; id += 2) {
        put_id(ask + 5, id);
        put_id(spoil + 5, id);
        client_raw(client, span_of(ask, sizeof ask));
        client_raw(client, span_of(spoil, sizeof spoil));
    }
    assert_true(requests > HTTP2_CONTROL_BURST / 2);
    assert_true(requests <= HTTP2_CONTROL_BURST + 1);
    check_calmed(client);
}

/* Takes it back, as fast as it can. */
static void rapid_reset_ends_the_connection(void **state)
{
    static const uint8_t reset[13] = {0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, NGHTTP2_CANCEL};
    (void)state;
    ask_and_spoil(reset);
}

static void check_frame_flood(const void *frame, size_t len, size_t times)
{
    struct client *client = greeted_client();
    for (size_t i = 0; i < times; i++) {
        client_raw(client, span_of(frame, len));
        if (i % 100 == 0) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
    check_calmed(client);
}

static void control_floods_end_the_connection(void **state)
{
    static const uint8_t ping[17] = {0, 0, 8, 6};
    static const uint8_t settings[] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0x80, 0};
    static const uint8_t priority[] = {0, 0, 5, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1};
    (void)state;
    check_frame_flood(ping, sizeof ping, 2 * HTTP2_CONTROL_BURST);
    check_frame_flood(settings, sizeof settings, 2 * HTTP2_CONTROL_BURST);
    check_frame_flood(priority, sizeof priority, 2 * HTTP2_CONTROL_BURST);
}

static void empty_data_is_a_flood_too(void **state)
{
    static const uint8_t empty[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    struct client *client = greeted_client();
    struct body body = {.open = true};
    (void)state;
    (void)client_post(client, "/", &body, NULL, 0);
    pump(client);
    for (size_t i = 0; i < 2 * HTTP2_CONTROL_BURST; i++) {
        client_raw(client, span_of(empty, sizeof empty));
    }
    pump(client);
    assert_int_equal(client->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    client_free(client);
}

/* Streams that the server has to reset because of what the client says about them: that its window
 * is larger than one may be. */
static void made_resets_are_a_flood_too(void **state)
{
    static const uint8_t overflow[13] = {0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff};
    (void)state;
    ask_and_spoil(overflow);
}

static void the_budget_grows_again(void **state)
{
    struct client *client = greeted_client();
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < HTTP2_CONTROL_BURST - 10; i++) {
            (void)nghttp2_submit_ping(client->session, 0, NULL);
            pump(client);
        }
        time_shift_ms += (uint64_t)HTTP2_CONTROL_BURST * 1000 / HTTP2_CONTROL_PER_S;
    }
    assert_false(client->goaway);
    client_free(client);
}

static void pings_that_nobody_reads_the_answers_of_end_it(void **state)
{
    static const uint8_t ping[17] = {0, 0, 8, 6};
    struct client *client = greeted_client();
    (void)state;
    client->pipe.stuck = true;
    client->pipe.stuck_bytes = 512 * 1024;
    for (size_t i = 0; i < 100000 && !client->pipe.closing && client->pipe.reading; i++) {
        client_raw(client, span_of(ping, sizeof ping));
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(!client->pipe.reading || client->pipe.closing);
    assert_true(client->pipe.to_client.len < 100000);
    client_free(client);
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void heads_are_bounded(void **state)
{
    static char large[HTTP2_HEAD_BYTES_MAX / 4];
    nghttp2_nv more[HTTP2_HEADERS_MAX];
    struct client *client = greeted_client();
    (void)state;
    answers = true;
    for (size_t i = 0; i < HTTP2_HEADERS_MAX; i++) {
        more[i] = nv("x-many", "1");
    }
    int32_t id = client_post(client, "/", NULL, more, HTTP2_HEADERS_MAX - 4);
    int32_t many = client_post(client, "/", NULL, more, HTTP2_HEADERS_MAX - 3);
    memset(large, 'x', sizeof large - 1);
    for (size_t i = 0; i < 4; i++) {
        more[i] = nv("x-large", large);
    }
    int32_t heavy = client_post(client, "/", NULL, more, 4);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 200\n");
    assert_string_equal(buf_str(&answer_of(client, many)->head), ":status: 431\n");
    assert_string_equal(buf_str(&answer_of(client, heavy)->head), ":status: 431\n");
    assert_int_equal(requests, 1);
    client_free(client);
}

static void streams_of_a_connection_are_bounded(void **state)
{
    struct client *client = client_new(server, true); /* it does not know the limit yet */
    (void)state;
    for (size_t i = 0; i < HTTP2_STREAMS_MAX + 10; i++) {
        (void)client_post(client, "/", NULL, NULL, 0);
    }
    pump(client);
    assert_int_equal(requests, HTTP2_STREAMS_MAX);
    client_free(client);
}

static void connections_are_bounded(void **state)
{
    static struct client *clients[HTTP2_CONNECTIONS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < HTTP2_CONNECTIONS_MAX; i++) {
        peer_ip.bytes[15] = i % 4;
        clients[i] = greeted_client();
        time_shift_ms++;
    }
    (void)client_post(clients[0], "/", NULL, NULL, 0);
    pump(clients[0]);
    clients[HTTP2_CONNECTIONS_MAX] = greeted_client(); /* the longest idle one goes */
    assert_false(clients[0]->pipe.closing);
    assert_true(clients[1]->pipe.closing);
    for (size_t i = 2; i <= HTTP2_CONNECTIONS_MAX; i++) {
        assert_false(clients[i]->pipe.closing);
        (void)client_post(clients[i], "/", NULL, NULL, 0);
        pump(clients[i]);
    }
    struct pipe late = {.base.ops = &pipe_ops}; /* now all ask for something: the new one goes */
    http2_server_serve(server, &late.base, span_of(NULL, 0));
    assert_true(late.closing);
    pipe_settle(&late);
    for (size_t i = 0; i <= HTTP2_CONNECTIONS_MAX; i++) {
        client_free(clients[i]);
    }
}

/* However many one address has, the others find a place. */
static void one_address_has_half_of_them(void **state)
{
    static struct client *clients[HTTP2_ADDRESS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < HTTP2_ADDRESS_MAX; i++) {
        clients[i] = greeted_client();
        (void)client_post(clients[i], "/", NULL, NULL, 0);
        pump(clients[i]);
    }
    struct pipe late = {.base.ops = &pipe_ops};
    http2_server_serve(server, &late.base, span_of(NULL, 0)); /* all of its own are busy */
    assert_true(late.closing);
    pipe_settle(&late);
    peer_ip.bytes[15] = 1;
    struct client *other = greeted_client();
    peer_ip.bytes[15] = 0;
    (void)nghttp2_submit_rst_stream(clients[7]->session, 0, 1, NGHTTP2_CANCEL);
    pump(clients[7]);
    clients[HTTP2_ADDRESS_MAX] = greeted_client(); /* now one of them is idle, as the other is */
    assert_true(clients[7]->pipe.closing);
    assert_false(other->pipe.closing);
    client_free(other);
    for (size_t i = 0; i <= HTTP2_ADDRESS_MAX; i++) {
        client_free(clients[i]);
    }
}

static void streams_that_last_are_on_some_of_them(void **state)
{
    static struct client *clients[HTTP2_LASTING_MAX + 1];
    size_t count = 0;
    (void)state;
    for (unsigned ip = 0; ip < 3; ip++) {
        peer_ip.bytes[15] = (uint8_t)ip;
        for (size_t i = 0; i <= HTTP2_LASTING_ADDRESS_MAX && count <= HTTP2_LASTING_MAX; i++) {
            clients[count] = greeted_client();
            (void)client_post(clients[count], "/1", NULL, NULL, 0);
            pump(clients[count]);
            bool takes = i < HTTP2_LASTING_ADDRESS_MAX && count < HTTP2_LASTING_MAX;
            assert_int_equal(http2_lasts(latest), takes);
            if (!takes) {
                client_free(clients[count]);
                continue;
            }
            count++;
        }
    }
    assert_int_equal(count, HTTP2_LASTING_MAX);
    (void)client_post(clients[0], "/2", NULL, NULL, 0); /* a connection counts once */
    pump(clients[0]);
    assert_true(http2_lasts(latest));
    for (size_t i = 0; i < count; i++) {
        client_free(clients[i]);
    }
    peer_ip.bytes[15] = 0;
    clients[0] = greeted_client(); /* what has ended leaves its place */
    (void)client_post(clients[0], "/", NULL, NULL, 0);
    pump(clients[0]);
    assert_true(http2_lasts(latest));
    client_free(clients[0]);
}

static void answers_that_wait_are_bounded(void **state)
{
    enum { PIECE = 8 * 1024 * 1024 };
    struct client *client = client_new(server, false);
    char *piece = mem_alloc(PIECE);
    size_t sent = 0;
    (void)state;
    (void)client_post(client, "/", NULL, NULL, 0);
    pump(client);
    http2_respond(latest, 200, NULL, 0, false);
    while (http2_send(latest, span_of(piece, PIECE), NULL) == 0) {
        sent += PIECE;
    }
    assert_int_equal(sent, HTTP2_HELD_BYTES_MAX);
    struct error err = {0};
    assert_int_equal(http2_send(latest, span_of(piece, 1), &err), ERR_LIMIT);
    client_free(client);
    client = client_new(server, false); /* it is free again */
    (void)client_post(client, "/", NULL, NULL, 0);
    pump(client);
    http2_respond(latest, 200, NULL, 0, false);
    assert_int_equal(http2_send(latest, span_of(piece, PIECE), NULL), 0);
    mem_free(piece);
    client_free(client);
}

/* --- deadlines -------------------------------------------------------------------------------- */

static struct pipe *silent_pipe(struct pipe *pipe, struct span bytes)
{
    *pipe = (struct pipe){.base.ops = &pipe_ops};
    http2_server_serve(server, &pipe->base, bytes);
    return pipe;
}

static void end_pipe(struct pipe *pipe)
{
    pipe_settle(pipe);
    assert_true(pipe->closed);
    buf_free(&pipe->to_client);
}

static void who_says_nothing_or_half_a_head_is_ended(void **state)
{
    static const uint8_t half[] =
        HTTP2_PREFACE "\0\0\0\4\0\0\0\0\0"      /* SETTINGS */
                      "\0\0\1\1\0\0\0\0\1\x82"; /* HEADERS, to be continued */
    struct pipe silent;
    struct pipe slow;
    (void)state;
    (void)silent_pipe(&silent, span_of(NULL, 0));
    (void)silent_pipe(&slow, span_of(half, sizeof half - 1));
    time_shift_ms += HTTP2_HEAD_MS - MARGIN_MS;
    let_sweep(NULL);
    assert_false(silent.shut || silent.closing || slow.closing);
    time_shift_ms += MARGIN_MS;
    let_sweep(NULL);
    assert_true(silent.shut && slow.closing);
    time_shift_ms += 1000; /* it does not close */
    let_sweep(NULL);
    assert_true(silent.closing);
    end_pipe(&silent);
    end_pipe(&slow);
}

static void who_asks_for_nothing_is_sent_away(void **state)
{
    struct client *client = greeted_client();
    struct client *busy = greeted_client();
    (void)state;
    (void)client_post(busy, "/", NULL, NULL, 0);
    pump(busy);
    time_shift_ms += HTTP2_IDLE_MS - MARGIN_MS;
    let_sweep(client);
    assert_false(client->goaway);
    time_shift_ms += MARGIN_MS;
    let_sweep(client);
    pump(busy);
    assert_true(client->goaway);
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    assert_true(client->pipe.shut);
    assert_false(busy->goaway); /* a watch may be silent for hours */
    client_free(client);
    client_free(busy);
}

static const uint8_t zeros[60000];

/* Its request is answered, with so many bytes to come, and it takes none of them. */
static struct client *stuck_client(size_t len)
{
    struct client *client = greeted_client();
    (void)client_post(client, "/", NULL, NULL, 0);
    pump(client);
    client->pipe.stuck = true;
    http2_respond(latest, 200, NULL, 0, false);
    assert_true(len <= sizeof zeros);
    assert_int_equal(http2_send(latest, span_of(zeros, len), NULL), 0);
    pump(client);
    return client;
}

static void who_takes_nothing_is_ended(void **state)
{
    struct client *client = stuck_client(60000);
    (void)state;
    assert_true(client->pipe.stuck_bytes > 0);
    time_shift_ms += HTTP2_WRITE_MS - MARGIN_MS;
    let_sweep(client);
    assert_false(client->pipe.closing);
    client_unstick(client); /* counted anew */
    client->pipe.stuck = true;
    (void)nghttp2_submit_ping(client->session, 0, NULL);
    pump(client);
    time_shift_ms += HTTP2_WRITE_MS - MARGIN_MS;
    let_sweep(client);
    assert_false(client->pipe.closing);
    time_shift_ms += MARGIN_MS;
    let_sweep(client);
    assert_true(client->pipe.closing);
    client_free(client);
}

/* A slow line is always behind where much happens. */
static void who_takes_a_little_at_a_time_is_not(void **state)
{
    enum { SMALL = 1000 };
    struct client *client = stuck_client(SMALL);
    (void)state;
    for (int i = 0; i < 2; i++) {
        time_shift_ms += HTTP2_WRITE_MS - MARGIN_MS;
        client->pipe.stuck_bytes -= SMALL / 2;
        if (i == 0) {
            assert_int_equal(http2_send(latest, span_of(zeros, SMALL), NULL), 0);
        }
        let_sweep(client);
        assert_false(client->pipe.closing);
    }
    time_shift_ms += HTTP2_WRITE_MS;
    let_sweep(client);
    assert_true(client->pipe.closing);
    client_free(client);
}

static void nonsense_is_told_so(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxx"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pipe pipe;
        (void)silent_pipe(&pipe, span_str(texts[i]));
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (!pipe.closing) {
            assert_true(pipe.shut);
            pipe.base.events->on_end(pipe.base.arg, ERR_CLOSED, NULL);
        }
        end_pipe(&pipe);
    }
}

#define H2_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        H2_TEST(rapid_reset_ends_the_connection),
        H2_TEST(control_floods_end_the_connection),
        H2_TEST(empty_data_is_a_flood_too),
        H2_TEST(made_resets_are_a_flood_too),
        H2_TEST(the_budget_grows_again),
        H2_TEST(pings_that_nobody_reads_the_answers_of_end_it),
        H2_TEST(heads_are_bounded),
        H2_TEST(streams_of_a_connection_are_bounded),
        H2_TEST(connections_are_bounded),
        H2_TEST(one_address_has_half_of_them),
        H2_TEST(streams_that_last_are_on_some_of_them),
        H2_TEST(answers_that_wait_are_bounded),
        H2_TEST(who_says_nothing_or_half_a_head_is_ended),
        H2_TEST(who_asks_for_nothing_is_sent_away),
        H2_TEST(who_takes_nothing_is_ended),
        H2_TEST(who_takes_a_little_at_a_time_is_not),
        H2_TEST(nonsense_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
