/* Watch streams on their real carrier, gRPC over HTTP/2: clients that read, and clients that never
 * do. The only method is Watch, so that the service may be a store without a group. */
#include "tests/unit/base_net/h2_fixture.h"

#include "fake_service.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_grpc_calls.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_watch.h"
#include "raft/etcd/etcd_watcher.h"

enum {
    CALLS_MAX = 64,
    VALUE_BYTES = 10 * 1024,
    STUCK_STREAMS = 30,
    PUTS = 400,
    READ_BYTES_MAX = 300 * 1024
};

static struct etcd_service service;
static struct http2_server *http2;
static struct grpc_server *grpc;
static struct etcd_grpc_calls *grpc_calls;
static struct etcd_call *calls[CALLS_MAX]; /* all that came, while they are there */
static size_t call_count;

static void note_message(struct etcd_call *call, const void *message)
{
    if (call->arg == NULL) {
        assert_true(call_count < CALLS_MAX);
        calls[call_count++] = call;
    }
    etcd_watch_on_message(call, message);
}

static void note_close(struct etcd_call *call)
{
    for (size_t i = 0; i < call_count; i++) {
        calls[i] = calls[i] == call ? NULL : calls[i];
    }
    etcd_watch_on_close(call);
}

const struct etcd_method etcd_methods[] = {{.service = "etcdserverpb.Watch",
                                            .name = "Watch",
                                            .request = &etcd_type_watch_request,
                                            .response = &etcd_type_watch_response,
                                            .request_streams = true,
                                            .answer_streams = true,
                                            .on_message = note_message,
                                            .on_end = etcd_watch_on_end,
                                            .on_close = note_close}};
const size_t etcd_methods_count = 1;

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    grpc_serve(grpc, stream, request);
}

static int setup(void **state)
{
    static const struct http2_events events = {.on_request = on_request};
    (void)state;
    time_shift_ms = 0;
    call_count = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    fake_service_open(&service, &loop);
    grpc_calls = etcd_grpc_calls_new(&service);
    grpc = grpc_server_new(&loop, etcd_grpc_calls_config(grpc_calls));
    return http2_server_start(&loop, &events, NULL, &http2, NULL);
}

static int teardown(void **state)
{
    bool grpc_stopped = false;
    bool http2_stopped = false;
    (void)state;
    grpc_server_stop(grpc, GRPC_UNAVAILABLE, span_str("etcdserver: server stopped"),
                     on_server_stopped, &grpc_stopped);
    http2_server_stop(http2, on_server_stopped, &http2_stopped);
    run_until(&http2_stopped);
    run_until(&grpc_stopped);
    etcd_grpc_calls_free(grpc_calls);
    fake_service_close(&service);
    return uv_loop_close(&loop);
}

/* --- the client ------------------------------------------------------------------------------- */

static void put_request(struct body *body, const struct etcd_watch_request *request)
{
    struct buf message = BUF_INIT;
    etcd_proto_encode(&etcd_type_watch_request, request, &message);
    const uint8_t prefix[5] = {0, 0, 0, 0, (uint8_t)message.len};
    assert_true(message.len < 256);
    buf_put(&body->bytes, prefix, sizeof prefix);
    buf_put_span(&body->bytes, buf_span(&message));
    buf_free(&message);
}

/* One that watches /a, and stays. */
static int32_t watch(struct client *client, struct body *body, const nghttp2_nv *more, size_t count)
{
    struct etcd_watch_create_request create = {.key = span_str("/a")};
    struct etcd_watch_request request = {.which = ETCD_WATCH_CREATE, .create_request = &create};
    nghttp2_nv headers[4] = {nv("content-type", "application/grpc"), nv("te", "trailers")};
    for (size_t i = 0; i < count; i++) {
        headers[2 + i] = more[i];
    }
    *body = (struct body){.open = true};
    put_request(body, &request);
    int32_t id = client_post(client, "/etcdserverpb.Watch/Watch", body, headers, 2 + count);
    pump(client);
    return id;
}

/* How many events came, and how many messages. */
static size_t events_of(struct client *client, int32_t id, size_t *ret_messages)
{
    struct span rest = buf_span(&answer_of(client, id)->body);
    size_t events = 0;
    *ret_messages = 0;
    while (rest.len >= 5) {
        size_t len = (size_t)rest.data[1] << 24 | (size_t)rest.data[2] << 16 |
                     (size_t)rest.data[3] << 8 | (size_t)rest.data[4];
        struct etcd_watch_response response = {.watch_id = 0};
        struct arena arena;
        assert_true(rest.len >= 5 + len);
        arena_init(&arena, ETCD_ARENA_BUDGET(len));
        assert_int_equal(etcd_proto_decode(&etcd_type_watch_response, span_of(rest.data + 5, len),
                                           &arena, &response, NULL),
                         0);
        events += response.events_count;
        (*ret_messages)++;
        arena_free(&arena);
        rest = span_of(rest.data + 5 + len, rest.len - 5 - len);
    }
    return events;
}

/* --- the tests -------------------------------------------------------------------------------- */

static void a_client_that_never_reads_costs_little_and_harms_nobody(void **state)
{
    (void)state;
    static char value[VALUE_BYTES + 1];
    static struct body bodies[STUCK_STREAMS];
    struct body body;
    size_t messages = 0;
    struct client *reader = client_new(http2, true);
    struct client *stuck = client_new(http2, false);
    int32_t id = watch(reader, &body, NULL, 0);
    for (size_t i = 0; i < STUCK_STREAMS; i++) {
        (void)watch(stuck, &bodies[i], NULL, 0);
    }
    assert_int_equal(etcd_watcher_count(&service), STUCK_STREAMS + 1);
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < PUTS; i++) {
        (void)fake_put(&service, "/a", value);
        pump(stuck);
        pump(reader);
    }
    assert_int_equal(events_of(reader, id, &messages), PUTS);
    size_t waiting = 0;
    for (size_t i = 0; i < call_count; i++) {
        size_t pending = etcd_call_pending(calls[i]);
        /* and one read more, of several puts where a turn was over before all were served */
        assert_true(pending <= ETCD_WATCH_PENDING_BYTES + READ_BYTES_MAX);
        waiting += pending > 0 ? 1 : 0;
    }
    assert_int_equal(waiting, STUCK_STREAMS);
    time_shift_ms += HTTP2_WRITE_MS; /* nobody is waited for for ever */
    let_sweep(stuck);
    assert_int_equal(etcd_watcher_count(&service), 1);
    (void)fake_put(&service, "/a", value);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    pump(reader);
    assert_int_equal(events_of(reader, id, &messages), PUTS + 1);
    for (size_t i = 0; i < STUCK_STREAMS; i++) {
        buf_free(&bodies[i].bytes);
    }
    buf_free(&body.bytes);
    client_free(reader);
    client_free(stuck);
}

/* It had to stop in the middle, and goes on. */
static void a_slow_client_gets_everything_once_it_reads(void **state)
{
    (void)state;
    static char value[VALUE_BYTES + 1];
    struct body body;
    size_t messages = 0;
    struct client *client = client_new(http2, true);
    int32_t id = watch(client, &body, NULL, 0);
    client->pipe.stuck = true;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < PUTS; i++) {
        (void)fake_put(&service, "/a", value);
        pump(client);
    }
    assert_true(etcd_call_pending(calls[0]) <= ETCD_WATCH_PENDING_BYTES + VALUE_BYTES + 200);
    client_unstick(client);
    for (int i = 0; i < 1000 && events_of(client, id, &messages) < PUTS; i++) {
        pump(client);
        uv_update_time(&loop);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(events_of(client, id, &messages), PUTS);
    buf_free(&body.bytes);
    client_free(client);
}

static void no_leader_is_a_status_of_the_stream(void **state)
{
    (void)state;
    struct body body;
    const nghttp2_nv wish[] = {nv("hasleader", "true")};
    struct client *client = client_new(http2, true);
    int32_t id = watch(client, &body, wish, 1);
    service.has_leader = false;
    for (int i = 0; i < 100 && !answer_of(client, id)->closed; i++) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        pump(client);
    }
    assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                        "grpc-status: 14\ngrpc-message: etcdserver: no leader\n");
    assert_int_equal(etcd_watcher_count(&service), 0);
    buf_free(&body.bytes);
    client_free(client);
}

static void who_resets_the_stream_leaves_no_watch_behind(void **state)
{
    (void)state;
    struct body body;
    struct client *client = client_new(http2, true);
    int32_t id = watch(client, &body, NULL, 0);
    assert_int_equal(etcd_watcher_count(&service), 1);
    assert_int_equal(
        nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_int_equal(etcd_watcher_count(&service), 0);
    assert_null(calls[0]);
    buf_free(&body.bytes);
    client_free(client);
}

int main(void)
{
#define CARRIED_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CARRIED_TEST(a_client_that_never_reads_costs_little_and_harms_nobody),
        CARRIED_TEST(a_slow_client_gets_everything_once_it_reads),
        CARRIED_TEST(no_leader_is_a_status_of_the_stream),
        CARRIED_TEST(who_resets_the_stream_leaves_no_watch_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
