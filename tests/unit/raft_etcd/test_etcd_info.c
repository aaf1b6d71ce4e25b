/* Health, metrics and the router, on real members. */
#include "tests/unit/raft_etcd/http_fixture.h"

static struct reply answer;

/* Status and body of a GET, over HTTP/1 and HTTP/2 by turns. */
static const char *get(const char *path)
{
    static char text[16384];
    static bool over_http2;
    over_http2 = !over_http2;
    ask(&answer, over_http2, "GET", path, "", "", span_of(NULL, 0));
    hear_all(&answer);
    (void)snprintf(text, sizeof text, "%s %s", answer.status, buf_str(&answer.body));
    hang_up(&answer);
    return text;
}

static void a_member_with_a_majority_is_healthy(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_string_equal(get("/health"), "200 {\"health\":\"true\"}");
        assert_string_equal(get("/health?exclude=NOSPACE&serializable=true"),
                            "200 {\"health\":\"true\"}");
        assert_string_equal(get("/readyz"), "200 ok\n");
        assert_string_equal(get("/livez?verbose"), "200 ok\n");
    }
}

static void without_a_group_it_lives_and_is_not_ready(void **state)
{
    (void)state;
    served[0].without_node = true;
    etcd_service_on_change(served[0].service);
    assert_string_equal(get("/health"), "503 {\"health\":\"false\"}\n");
    assert_string_equal(get("/health?serializable=true"), "503 {\"health\":\"false\"}\n");
    assert_int_equal(strncmp(get("/readyz"), "503 ", 4), 0);
    assert_string_equal(get("/livez"), "200 ok\n");
    assert_string_equal(get("/version"),
                        "200 {\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}");
    assert_non_null(strstr(get("/metrics"), "\netcd_server_has_leader 0\n"));
    served[0].without_node = false;
    etcd_service_on_change(served[0].service);
    assert_string_equal(get("/health"), "200 {\"health\":\"true\"}");
}

static bool one_leads(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return leader_of(&rig) == 0;
}

/* The leader does not know yet that it is alone: only a read of a majority shows it. */
static void alone_it_is_ill(void **state)
{
    (void)state;
    if (leader_of(&rig) != 0) {
        struct raft_status status;
        raft_node_status(node_of(&rig, 0), &status);
        while (raft_node_transfer(node_of(&rig, (size_t)leader_of(&rig)), status.id, NULL) != 0) {
            run_for(&rig, 20);
        }
        wait_for(&rig, one_leads, NULL, 5000, "the first member leads");
    }
    assert_string_equal(get("/health"), "200 {\"health\":\"true\"}");
    serve_stop(1);
    serve_stop(2);
    member_stop(&rig, 1);
    member_stop(&rig, 2);
    struct reply first;
    struct reply second;
    ask(&first, false, "GET", "/health", "", "", span_of(NULL, 0));
    ask(&second, true, "GET", "/readyz", "", "", span_of(NULL, 0));
    hear_all(&first);
    hear_all(&second);
    assert_string_equal(buf_str(&first.body), "{\"health\":\"false\"}\n");
    assert_string_equal(first.status, "503");
    assert_string_equal(second.status, "503");
    hang_up(&first);
    hang_up(&second);
    struct reply left; /* one is under way at the stop, and its client gone */
    ask(&left, false, "GET", "/health", "", "", span_of(NULL, 0));
    run_for(&rig, 20);
    hang_up(&left);
}

static void metrics_have_etcds_names(void **state)
{
    static const char *const lines[] = {
        "# TYPE etcd_server_has_leader gauge\netcd_server_has_leader 1\n",
        "\netcd_server_is_leader 1\n",
        "\netcd_server_is_learner 0\n",
        "# TYPE etcd_server_leader_changes_seen_total counter\n",
        "\netcd_server_leader_changes_seen_total 1\n",
        "\netcd_debugging_mvcc_keys_total 1\n",
        "\netcd_mvcc_db_total_size_in_bytes 2\n",
        "\netcd_server_version{server_version=\"3.4.23\"} 1\n",
        "\netcd_cluster_version{cluster_version=\"3.4\"} 1\n",
        "\npgquorum_etcd_ready 1\n",
    };
    struct outcome put;
    (void)state;
    ask_put(0, "k", "v", &put);
    await_outcome(&put);
    for (int i = 0; i < 2; i++) {
        const char *text = get("/metrics");
        for (size_t j = 0; j < sizeof lines / sizeof lines[0]; j++) {
            if (strstr(text, lines[j]) == NULL) {
                fail_msg("no '%s' in\n%s", lines[j], text);
            }
        }
    }
}

/* Every line is a remark, or a name with its value; every name has its type before it. */
static void metrics_can_be_read(void **state)
{
    static char text[16384];
    char typed[128] = "";
    (void)state;
    (void)snprintf(text, sizeof text, "%s", get("/metrics") + 4);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); *line != '\0'; line = strsep(&rest, "\n")) {
        char name[128];
        long long value = -1;
        if (sscanf(line, "# TYPE %127s", name) == 1) {
            (void)snprintf(typed, sizeof typed, "%s", name);
        } else if (line[0] != '#') {
            (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " {"), line);
            assert_string_equal(name, typed);
            assert_int_equal(sscanf(strrchr(line, ' '), " %lld", &value), 1);
            assert_true(value >= 0);
        }
    }
    assert_null(rest == NULL ? NULL : strchr(rest, '\n'));
}

static void paths_go_where_they_belong(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(strncmp(get("/v2/keys/a"), "404 {\"errorCode\":100,", 21), 0);
        assert_string_equal(get("/v3/kv/range"), "405 Method Not Allowed\n");
        assert_string_equal(get("/v3beta/kv/range"), "405 Method Not Allowed\n");
        assert_string_equal(get("/v3alpha/kv/range"), "404 404 page not found\n");
        assert_string_equal(get("/v3"), "404 404 page not found\n");
        assert_string_equal(get("/v2"), "404 404 page not found\n");
        assert_string_equal(get("/"), "404 404 page not found\n");
        assert_string_equal(get("/version/"), "404 404 page not found\n");
        assert_string_equal(get("/debug/vars"), "404 404 page not found\n");
    }
}

/* --- what the golden transcripts cannot say --------------------------------------------------- */

static void post(struct reply *reply, bool over_http2, const char *path, const struct buf *body)
{
    ask(reply, over_http2, "POST", path, "", "", buf_span(body));
    hear_all(reply);
}

/* As large as etcd takes them, in base64, there and back. */
static void a_large_value_goes_in_and_comes_out(void **state)
{
    enum { LARGE = 1024 * 1024, TOO_LARGE = 1600 * 1024 };
    struct buf body = BUF_INIT;
    struct reply reply;
    (void)state;
    buf_put_str(&body, "{\"key\":\"Zm9v\",\"value\":\"");
    for (size_t i = 0; i < LARGE / 3 * 4; i++) {
        buf_put_u8(&body, 'A');
    }
    buf_put_str(&body, "\"}");
    post(&reply, false, "/v3/kv/put", &body);
    assert_string_equal(reply.status, "200");
    hang_up(&reply);
    for (int over_http2 = 0; over_http2 < 2; over_http2++) {
        struct buf range = BUF_INIT;
        buf_put_str(&range, "{\"key\":\"Zm9v\"}");
        post(&reply, over_http2 == 1, "/v3/kv/range", &range);
        assert_string_equal(reply.status, "200");
        assert_true(reply.body.len > LARGE / 3 * 4);
        hang_up(&reply);
        buf_free(&range);
    }
    buf_clear(&body);
    buf_put_str(&body, "{\"key\":\"Zm9v\",\"value\":\"");
    for (size_t i = 0; i < TOO_LARGE / 3 * 4; i++) {
        buf_put_u8(&body, 'A');
    }
    buf_put_str(&body, "\"}");
    post(&reply, false, "/v3/kv/put", &body);
    assert_string_equal(reply.status, "400");
    assert_non_null(strstr(buf_str(&reply.body), "etcdserver: request is too large"));
    hang_up(&reply);
    buf_free(&body);
}

static void events_come_as_they_happen(void **state)
{
    static const char create[] = "{\"create_request\":{\"key\":\"aw==\"}}";
    struct reply watches[2];
    struct outcome put;
    (void)state;
    for (int i = 0; i < 2; i++) {
        ask(&watches[i], i == 1, "POST", "/v3/watch", "", "", span_str(create));
        hear_line(&watches[i]);
        assert_non_null(strstr(buf_str(&watches[i].body), "\"created\":true}}\n"));
        buf_clear(&watches[i].body);
    }
    for (int round = 0; round < 3; round++) {
        ask_put(0, "k", "v", &put);
        for (int i = 0; i < 2; i++) {
            hear_line(&watches[i]);
            assert_non_null(
                strstr(buf_str(&watches[i].body), "\"events\":[{\"kv\":{\"key\":\"aw==\""));
            assert_false(watches[i].closed);
            buf_clear(&watches[i].body);
        }
        assert_int_equal(put.times, 1);
    }
    hang_up(&watches[0]);
    hang_up(&watches[1]);
    run_for(&rig, 50);
    assert_null(*etcd_service_watch_hub(served[0].service)); /* nobody watches any more */
}

#define ONE_TEST(name)   cmocka_unit_test_setup_teardown(name, listen_one, listen_ends)
#define THREE_TEST(name) cmocka_unit_test_setup_teardown(name, listen_three, listen_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE_TEST(a_member_with_a_majority_is_healthy),
        ONE_TEST(without_a_group_it_lives_and_is_not_ready),
        THREE_TEST(alone_it_is_ill),
        ONE_TEST(metrics_have_etcds_names),
        ONE_TEST(metrics_can_be_read),
        ONE_TEST(paths_go_where_they_belong),
        ONE_TEST(a_large_value_goes_in_and_comes_out),
        ONE_TEST(events_come_as_they_happen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
