/* PATCH and PUT /config at the server: bodies, what the store answers, and what is in the way. */
#include "tests/unit/agent_api/api_fixture.h"

#include "base/net/http1.h"

static const char *change(const char *what, const char *body)
{
    return rig_reply(rig_post(what, body));
}

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        rig_publish(rig_primary());
    }
    return rc;
}

static void a_written_change_is_answered_with_the_merged_document(void **state)
{
    static const char body[] = "{\"loop_wait\": 0.1, \"x\": \"\xc3\xa4\"}";
    (void)state;
    int fd = rig_post("PATCH /config", body);
    rig_wait_writes(1);
    assert_false(rig.writes[0].replace);
    assert_string_equal(rig.writes[0].text,
                        "{\"loop_wait\":0.10000000000000001,\"x\":\"\xc3\xa4\"}");
    rig_answer(0, 0, 7);
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 200);
    assert_non_null(strstr(reply, "Content-Type: application/json\r\n"));
    assert_string_equal(rig_body(reply), "{\"loop_wait\": 0.1, \"x\": \"\\u00E4\"}");
    fd = rig_post("PUT /config/anything?x=y", "{\"ttl\": 20}");
    rig_wait_writes(2);
    assert_true(rig.writes[1].replace);
    rig_answer(1, 0, 8);
    assert_string_equal(rig_body(rig_reply(fd)), "{\"ttl\": 20}");
}

static void no_change_is_answered_without_a_write(void **state)
{
    (void)state;
    rig.unchanged = true;
    const char *reply = change("PATCH /config", "{\"ttl\": 30}");
    assert_int_equal(rig_code(reply), 200);
    assert_string_equal(rig_body(reply), "{\"ttl\": 30}");
    assert_int_equal(rig.write_count, 0);
}

static void bodies_that_are_no_object_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *body;
        const char *message;
    } bad[] = {
        {"", "the body is no JSON: line 1, column 0: '[' or '{' expected near end of file"},
        {"{\n \"ttl\": 30,\n}",
         "the body is no JSON: line 3, column 1: string or '}' expected near '}'"},
        {"{\"a\": <b>&}", "the body is no JSON: line 1, column 7: invalid token near '&lt;'"},
        {"{\"a\": 1, \"a\": 2}",
         "the body is no JSON: line 1, column 12: duplicate object key near '\"a\"'"},
        {"{\"a\": 99999999999999999999}",
         "the body is no JSON: line 1, column 26: too big integer near '99999999999999999999'"},
        {"{\"ttl\": 30} x",
         "the body is no JSON: line 1, column 13: end of file expected near 'x'"},
        {"{}", "the body is no JSON object with at least one key"},
        {"[{\"ttl\": 30}]", "the body is no JSON object with at least one key"},
        {"30", "the body is no JSON: line 1, column 2: '[' or '{' expected near '30'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rig_expect_page(change("PATCH /config", bad[i].body), 400, bad[i].message);
        assert_int_equal(rig_code(change("PUT /config", bad[i].body)), 400);
    }
    assert_int_equal(rig.write_count, 0);
}

static void deep_nesting_is_refused_and_not_followed(void **state)
{
    enum { DEPTH = 100000 };
    char *body = test_malloc(DEPTH + 6);
    (void)state;
    memcpy(body, "{\"a\":", 5);
    memset(body + 5, '[', DEPTH);
    body[5 + DEPTH] = '\0';
    const char *reply = change("PATCH /config", body);
    assert_int_equal(rig_code(reply), 400);
    assert_non_null(strstr(reply, "maximum parsing depth reached"));
    test_free(body);
}

static void a_body_needs_a_length_and_has_a_limit(void **state)
{
    char request[128];
    (void)state;
    rig_expect_page(rig_ask("PATCH /config HTTP/1.0\r\n\r\n"), 411, "Length Required");
    assert_int_equal(rig_code(rig_ask("PATCH /config HTTP/1.1\r\nHost: h\r\n"
                                      "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")),
                     411);
    (void)snprintf(request, sizeof request, "PUT /config HTTP/1.0\r\nContent-Length: %d\r\n\r\n",
                   HTTP1_BODY_BYTES_MAX + 1);
    assert_int_equal(rig_code(rig_ask(request)), 413);
    assert_int_equal(rig.write_count, 0);
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 200);
}

static void a_body_of_the_greatest_length_is_taken(void **state)
{
    char *body = test_malloc(API_CONFIG_BYTES_MAX + 1);
    (void)state;
    memset(body, ' ', API_CONFIG_BYTES_MAX);
    memcpy(body, "{\"ttl\": 20}", 11);
    body[API_CONFIG_BYTES_MAX] = '\0';
    int fd = rig_post("PUT /config", body);
    rig_wait_writes(1);
    rig_answer(0, 0, 1);
    assert_int_equal(rig_code(rig_reply(fd)), 200);
    test_free(body);
}

static void every_outcome_has_its_code(void **state)
{
    static const struct {
        int rc;
        int patch;
        int put;
    } outcomes[] = {{ERR_CONFLICT, 409, 409},
                    {ERR_UNAVAILABLE, 503, 502},
                    {ERR_UNKNOWN, 503, 502},
                    {ERR_CANCELED, 503, 502}};
    size_t asked = 0;
    (void)state;
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        for (int put = 0; put < 2; put++) {
            int fd = rig_post(put ? "PUT /config" : "PATCH /config", "{\"ttl\": 20}");
            rig_wait_writes(++asked);
            rig_answer(asked - 1, outcomes[i].rc, 0);
            assert_int_equal(rig_code(rig_reply(fd)), put ? outcomes[i].put : outcomes[i].patch);
        }
    }
}

static void a_refusal_is_400_and_echoes_nothing_unescaped(void **state)
{
    (void)state;
    rig.refuse_rc = ERR_INVALID;
    rig.refuse_text = "<script>: expected a & b";
    rig_expect_page(change("PATCH /config", "{\"<script>\": 1}"), 400,
                    "&lt;script&gt;: expected a &amp; b");
    rig.refuse_rc = ERR_UNSUPPORTED;
    assert_int_equal(rig_code(change("PUT /config", "{\"a\": 1}")), 400);
    rig.refuse_rc = ERR_LIMIT;
    assert_int_equal(rig_code(change("PUT /config", "{\"a\": 1}")), 400);
    rig.refuse_rc = ERR_NOT_FOUND;
    assert_int_equal(rig_code(change("PATCH /config", "{\"a\": 1}")), 503);
    rig.refuse_rc = ERR_UNAVAILABLE;
    assert_int_equal(rig_code(change("PATCH /config", "{\"a\": 1}")), 503);
    assert_int_equal(rig_code(change("PUT /config", "{\"a\": 1}")), 502);
}

/* A store without majority answers nobody: health checks keep their places. */
static void writes_that_wait_are_bounded(void **state)
{
    int fds[API_WRITES_MAX];
    (void)state;
    for (size_t i = 0; i < API_WRITES_MAX; i++) {
        fds[i] = rig_post("PATCH /config", "{\"ttl\": 20}");
    }
    rig_wait_writes(API_WRITES_MAX);
    rig_expect_page(change("PATCH /config", "{\"ttl\": 20}"), 503,
                    "too many writes are under way already");
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 200);
    rig_answer(0, 0, 1);
    assert_int_equal(rig_code(rig_reply(fds[0])), 200);
    fds[0] = rig_post("PATCH /config", "{\"ttl\": 20}");
    rig_wait_writes(API_WRITES_MAX + 1);
    for (size_t i = 0; i < API_WRITES_MAX; i++) {
        rig_answer(i + 1, ERR_UNKNOWN, 0);
    }
    for (size_t i = 0; i < API_WRITES_MAX; i++) {
        assert_int_equal(rig_code(rig_reply(fds[i])), 503);
    }
}

static void a_client_that_went_away_does_not_matter_to_the_write(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    int orderly = rig_post("PATCH /config", "{\"ttl\": 20}");
    rig_wait_writes(1);
    int reset = rig_post("PUT /config", "{\"ttl\": 20}");
    rig_wait_writes(2);
    (void)close(orderly);
    (void)setsockopt(reset, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(reset);
    rig_answer(0, 0, 1);
    rig_answer(1, ERR_CONFLICT, 0);
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 200);
}

static void what_comes_behind_a_late_write_waits_for_its_turn(void **state)
{
    (void)state;
    int fd = rig_client();
    rig_say(fd, "PATCH /config HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n{\"ttl\": 20}"
                "HEAD /primary HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    rig_wait_writes(1);
    rig_answer(0, 0, 1);
    const char *reply = rig_reply(fd);
    assert_ptr_equal(strstr(reply, "HTTP/1.1 200 OK\r\nServer: "), reply);
    assert_non_null(strstr(reply, "{\"ttl\": 20}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"));
}

/* Answered when the store is closed, which is after the server was told to stop. */
static void a_write_that_outlives_the_server_is_dropped(void **state)
{
    (void)state;
    int fd = rig_post("PATCH /config", "{\"ttl\": 20}");
    rig_wait_writes(1);
    rig_call(rig_stop_now, NULL);
    assert_string_equal(rig_reply(fd), ""); /* the connection is closed */
    assert_false(rig.stopped);
    rig_answer(0, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_PRIMARY(name) cmocka_unit_test_setup_teardown(name, start, rig_finish)
        WITH_PRIMARY(a_written_change_is_answered_with_the_merged_document),
        WITH_PRIMARY(no_change_is_answered_without_a_write),
        WITH_PRIMARY(bodies_that_are_no_object_are_refused_with_their_place),
        WITH_PRIMARY(deep_nesting_is_refused_and_not_followed),
        WITH_PRIMARY(a_body_needs_a_length_and_has_a_limit),
        WITH_PRIMARY(a_body_of_the_greatest_length_is_taken),
        WITH_PRIMARY(every_outcome_has_its_code),
        WITH_PRIMARY(a_refusal_is_400_and_echoes_nothing_unescaped),
        WITH_PRIMARY(writes_that_wait_are_bounded),
        WITH_PRIMARY(a_client_that_went_away_does_not_matter_to_the_write),
        WITH_PRIMARY(what_comes_behind_a_late_write_waits_for_its_turn),
        WITH_PRIMARY(a_write_that_outlives_the_server_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
