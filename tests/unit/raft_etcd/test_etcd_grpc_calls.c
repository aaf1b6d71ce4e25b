/* Calls of etcd's v3 API over gRPC, from the bytes of a client to the group and back. */
#define answer raft_answer /* both fixtures have one */
#include "service_fixture.h"
#undef answer

#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_grpc_calls.h"
#include "raft/etcd/etcd_grpc_text.h"
#include "raft/etcd/etcd_proto.h"

#define loop rig.loop
#include "tests/unit/base_net/h2_fixture.h"
#undef loop

static struct http2_server *http2;
static struct grpc_server *grpc;
static struct etcd_grpc_calls *calls;

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    grpc_serve(grpc, stream, request);
}

static const struct http2_events events = {.on_request = on_request};

static void serve_grpc(void)
{
    calls = etcd_grpc_calls_new(served[0].service);
    grpc = grpc_server_new(&rig.loop, etcd_grpc_calls_config(calls));
    assert_int_equal(http2_server_start(&rig.loop, &events, NULL, &http2, NULL), 0);
}

static int open_server(void **state)
{
    (void)state;
    time_shift_ms = 0;
    serve_all(1);
    serve_grpc();
    return 0;
}

static bool all_stopped(struct rig *of, void *arg)
{
    const bool *stopped = arg;
    (void)of;
    for (size_t i = 0; i < PIPES_MAX; i++) {
        if (pipes[i] != NULL) {
            pipe_settle(pipes[i]);
        }
    }
    return stopped[0] && stopped[1];
}

static void stop_grpc(void)
{
    bool stopped[2] = {false, false};
    grpc_server_stop(grpc, GRPC_UNAVAILABLE, span_str("etcdserver: server stopped"),
                     on_server_stopped, &stopped[0]);
    http2_server_stop(http2, on_server_stopped, &stopped[1]);
    wait_for(&rig, all_stopped, stopped, 5000, "the servers stop");
    etcd_grpc_calls_free(calls);
    grpc = NULL;
}

static int close_server(void **state)
{
    (void)state;
    if (grpc != NULL) {
        stop_grpc();
    }
    stop_all();
    return 0;
}

/* --- the client ------------------------------------------------------------------------------- */

static void put_message(struct buf *out, const struct etcd_type *type, const void *message)
{
    struct buf bytes = BUF_INIT;
    etcd_proto_encode(type, message, &bytes);
    const uint8_t prefix[5] = {0, (uint8_t)(bytes.len >> 24), (uint8_t)(bytes.len >> 16),
                               (uint8_t)(bytes.len >> 8), (uint8_t)bytes.len};
    buf_put(out, prefix, 5);
    buf_put_span(out, buf_span(&bytes));
    buf_free(&bytes);
}

static int32_t start_call(struct client *client, const char *path, struct body *body,
                          const nghttp2_nv *more, size_t count)
{
    nghttp2_nv headers[8] = {nv("content-type", "application/grpc"), nv("te", "trailers")};
    for (size_t i = 0; i < count; i++) {
        headers[2 + i] = more[i];
    }
    int32_t id = client_post(client, path, body, headers, 2 + count);
    pump(client);
    return id;
}

struct waiting {
    struct client *client;
    struct answer *answer;
    size_t body_bytes; /* or until it has so many; 0: until it is closed */
};

static bool has_come(struct rig *of, void *arg)
{
    struct waiting *waiting = arg;
    (void)of;
    pump(waiting->client);
    return waiting->answer->closed ||
           (waiting->body_bytes > 0 && waiting->answer->body.len >= waiting->body_bytes);
}

static void await(struct client *client, struct answer *answer, size_t body_bytes)
{
    struct waiting waiting = {client, answer, body_bytes};
    wait_for(&rig, has_come, &waiting, 9000, "the answer");
}

static struct answer *call_unary(struct client *client, const char *path,
                                 const struct etcd_type *type, const void *message,
                                 const nghttp2_nv *more, size_t count)
{
    struct body body = {.at = 0};
    put_message(&body.bytes, type, message);
    int32_t id = start_call(client, path, &body, more, count);
    await(client, answer_of(client, id), 0);
    buf_free(&body.bytes);
    return answer_of(client, id);
}

/* The first message of the answer. */
static void decode(const struct answer *answer, const struct etcd_type *type, struct arena *arena,
                   void *ret_message)
{
    struct error err = {0};
    assert_true(answer->body.len >= 5);
    arena_init(arena, 1024 * 1024);
    memset(ret_message, 0, type->bytes);
    const uint8_t *prefix = answer->body.data;
    size_t len = (size_t)prefix[3] << 8 | (size_t)prefix[4];
    if (etcd_proto_decode(type, span_of(prefix + 5, len), arena, ret_message, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

#define REFUSED(code, text) \
    ":status: 200\ncontent-type: application/grpc\ngrpc-status: " code "\ngrpc-message: " text "\n"

/* --- tests ------------------------------------------------------------------------------------ */

static void a_put_and_a_range_come_through(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_put_request put = {.key = span_str("k"), .value = span_str("v")};
    struct etcd_range_request range = {.key = span_str("k")};
    struct etcd_range_response response;
    struct etcd_header header;
    struct arena arena;
    (void)state;
    struct answer *answer =
        call_unary(client, "/etcdserverpb.KV/Put", &etcd_type_put_request, &put, NULL, 0);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, NULL, 0);
    decode(answer, &etcd_type_range_response, &arena, &response);
    etcd_service_header(served[0].service, &header);
    assert_true(response.header->cluster_id == header.cluster_id);
    assert_true(response.header->member_id == header.member_id);
    assert_int_equal(response.header->revision, 3);
    assert_int_equal(response.kvs_count, 1);
    assert_true(span_equal_str(response.kvs[0].value, "v"));
    arena_free(&arena);
    client_free(client);
}

static void refusals_are_told(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_range_request range = {.key = {.len = 0}};
    struct etcd_empty empty = {0};
    (void)state;
    struct answer *answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, NULL, 0);
    assert_string_equal(buf_str(&answer->head), REFUSED("3", "etcdserver: key is not provided"));
    answer =
        call_unary(client, "/etcdserverpb.Maintenance/Snapshot", &etcd_type_empty, &empty, NULL, 0);
    assert_string_equal(buf_str(&answer->head),
                        REFUSED("12", "etcdserver: not supported by pgquorum"));
    client_free(client);
}

static void keepalives_share_a_stream(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_lease_grant_request grant = {.id = 5, .ttl = 9};
    struct etcd_lease_id known = {.id = 5};
    struct etcd_lease_id unknown = {.id = 6};
    struct etcd_lease_keep_alive_response response;
    struct body body = {.open = true};
    struct arena arena;
    (void)state;
    (void)call_unary(client, "/etcdserverpb.Lease/LeaseGrant", &etcd_type_lease_grant_request,
                     &grant, NULL, 0);
    put_message(&body.bytes, &etcd_type_lease_id, &known);
    int32_t id = start_call(client, "/etcdserverpb.Lease/LeaseKeepAlive", &body, NULL, 0);
    struct answer *answer = answer_of(client, id);
    await(client, answer, 1);
    decode(answer, &etcd_type_lease_keep_alive_response, &arena, &response);
    assert_int_equal(response.id, 5);
    assert_int_equal(response.ttl, 9);
    arena_free(&arena);
    buf_clear(&answer->body);
    put_message(&body.bytes, &etcd_type_lease_id, &unknown);
    (void)nghttp2_session_resume_data(client->session, id);
    await(client, answer, 1);
    decode(answer, &etcd_type_lease_keep_alive_response, &arena, &response);
    assert_int_equal(response.id, 6);
    assert_int_equal(response.ttl, 0);
    arena_free(&arena);
    assert_false(answer->closed);
    body.open = false;
    (void)nghttp2_session_resume_data(client->session, id);
    await(client, answer, 0);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    buf_free(&body.bytes);
    client_free(client);
}

/* A stream that says nothing at all ends well; so does one whose client goes away. */
static void empty_and_broken_streams_leave_nothing(void **state)
{
    struct client *client = client_new(http2, true);
    struct body body = {.open = true};
    struct etcd_lease_id unknown = {.id = 6};
    (void)state;
    int32_t id = start_call(client, "/etcdserverpb.Lease/LeaseKeepAlive", NULL, NULL, 0);
    await(client, answer_of(client, id), 0);
    assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                        "grpc-status: 0\ngrpc-message: \n");
    put_message(&body.bytes, &etcd_type_lease_id, &unknown);
    (void)start_call(client, "/etcdserverpb.Lease/LeaseKeepAlive", &body, NULL, 0);
    (void)start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL, 0);
    client_free(client); /* with a command under way */
    run_for(&rig, 100);
    buf_free(&body.bytes);
}

static void a_deadline_passes_before_the_answer(void **state)
{
    struct client *client = client_new(http2, true);
    nghttp2_nv timeout = nv("grpc-timeout", "100m");
    struct etcd_range_request range = {.key = span_str("k")};
    (void)state;
    served[0].without_node = true;
    struct answer *answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, &timeout, 1);
    assert_string_equal(buf_str(&answer->head), REFUSED("4", "context deadline exceeded"));
    run_for(&rig, 3 * ELECTION_MS); /* the read ends when nobody waits for it */
    client_free(client);
}

static void who_wants_a_leader_does_not_wait_for_one(void **state)
{
    struct client *client = client_new(http2, true);
    nghttp2_nv hasleader = nv("hasleader", "true");
    struct etcd_range_request range = {.key = span_str("k"), .serializable = true};
    (void)state;
    struct answer *answer = call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request,
                                       &range, &hasleader, 1);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    served[0].without_node = true;
    etcd_service_on_change(served[0].service);
    uint64_t from = uv_hrtime();
    answer =
        call_unary(client, "/etcdserverpb.KV/Put", &etcd_type_range_request, &range, &hasleader, 1);
    assert_string_equal(buf_str(&answer->head), REFUSED("14", "etcdserver: no leader"));
    assert_true(uv_hrtime() - from < (uint64_t)ELECTION_MS * 1000000);
    client_free(client);
}

static void health_is_that_of_the_service(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_health_check_request request = {.service = {.len = 0}};
    struct etcd_health_check_response response;
    struct arena arena;
    (void)state;
    for (int i = 0; i < 2; i++) {
        served[0].without_node = i == 1;
        etcd_service_on_change(served[0].service);
        struct answer *answer = call_unary(client, "/grpc.health.v1.Health/Check",
                                           &etcd_type_health_check_request, &request, NULL, 0);
        decode(answer, &etcd_type_health_check_response, &arena, &response);
        assert_int_equal(response.status, i == 0 ? ETCD_HEALTH_SERVING : ETCD_HEALTH_NOT_SERVING);
        arena_free(&arena);
    }
    client_free(client);
}

static void tokens_are_asked_for(void **state)
{
    const struct etcd_auth auth = {.username = span_str("root"), .password = span_str("secret")};
    struct etcd_authenticate_request login = {.name = span_str("root"),
                                              .password = span_str("secret")};
    struct etcd_authenticate_response response;
    struct etcd_range_request range = {.key = span_str("k")};
    struct etcd_member_list_request list = {.linearizable = false};
    struct arena arena;
    char token[256];
    (void)state;
    stop_grpc();
    serve_stop(0);
    serve_with(0, &auth);
    serve_grpc();
    struct client *client = client_new(http2, true);
    struct answer *answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, NULL, 0);
    assert_string_equal(buf_str(&answer->head), REFUSED("3", "etcdserver: user name is empty"));
    int32_t id = start_call(client, "/etcdserverpb.Lease/LeaseKeepAlive", NULL, NULL, 0);
    await(client, answer_of(client, id), 0);
    assert_string_equal(buf_str(&answer_of(client, id)->head),
                        REFUSED("3", "etcdserver: user name is empty"));
    nghttp2_nv header = nv("token", "nonsense");
    answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, &header, 1);
    assert_string_equal(buf_str(&answer->head), REFUSED("16", "etcdserver: invalid auth token"));
    answer = call_unary(client, "/etcdserverpb.Cluster/MemberList", &etcd_type_member_list_request,
                        &list, NULL, 0);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    answer = call_unary(client, "/etcdserverpb.Auth/Authenticate", &etcd_type_authenticate_request,
                        &login, NULL, 0);
    decode(answer, &etcd_type_authenticate_response, &arena, &response);
    (void)snprintf(token, sizeof token, "%.*s", (int)response.token.len,
                   (const char *)response.token.data);
    arena_free(&arena);
    header = nv("authorization", token);
    answer =
        call_unary(client, "/etcdserverpb.KV/Range", &etcd_type_range_request, &range, &header, 1);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    client_free(client);
}

static void at_the_stop_calls_end(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_range_request range = {.key = span_str("k")};
    struct body body = {.at = 0};
    (void)state;
    served[0].without_node = true;
    put_message(&body.bytes, &etcd_type_range_request, &range);
    int32_t id = start_call(client, "/etcdserverpb.KV/Range", &body, NULL, 0);
    serve_stop(0); /* the service first: the call is told by it */
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head),
                        REFUSED("14", "etcdserver: server stopped"));
    client_free(client);
    buf_free(&body.bytes);
}

#define GRPC_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        GRPC_TEST(a_put_and_a_range_come_through),
        GRPC_TEST(refusals_are_told),
        GRPC_TEST(keepalives_share_a_stream),
        GRPC_TEST(empty_and_broken_streams_leave_nothing),
        GRPC_TEST(a_deadline_passes_before_the_answer),
        GRPC_TEST(who_wants_a_leader_does_not_wait_for_one),
        GRPC_TEST(health_is_that_of_the_service),
        GRPC_TEST(tokens_are_asked_for),
        GRPC_TEST(at_the_stop_calls_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
