/* Reading from REST: every endpoint, method and role, compared byte by byte. */
#include "tests/unit/agent_api/api_fixture.h"

enum role { PRIMARY, REPLICA, LEASE_OVER, DOWN, ROLES };

static struct api_status *status_of(enum role role)
{
    struct api_status *status = NULL;
    switch (role) {
    case PRIMARY: return rig_primary();
    case REPLICA: return rig_replica();
    case LEASE_OVER:
        status = rig_primary();
        status->lease_valid_until_ms = rig.lease_ms;
        return status;
    case DOWN:
    case ROLES: break;
    }
    return rig_status();
}

static const char *reason_of(int code)
{
    return code == 200 ? "OK" : code == 503 ? "Service Unavailable" : "?";
}

/* What a health check answers, to the byte. */
static const char *expected(const char *method, int minor, int code, const char *document)
{
    static char text[1024];
    if (strcmp(method, "GET") == 0 && document != NULL) {
        (void)snprintf(text, sizeof text,
                       "HTTP/1.%d %d %s\r\nServer: pgquorum\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n%s\r\n%s",
                       minor, code, reason_of(code), strlen(document),
                       minor == 1 ? "Connection: close\r\n" : "", document);
    } else {
        (void)snprintf(text, sizeof text, "HTTP/1.%d %d %s\r\n%s\r\n", minor, code, reason_of(code),
                       minor == 1 ? "Content-Length: 0\r\nConnection: close\r\n" : "");
    }
    return text;
}

static const char *ask(const char *method, const char *path, int minor)
{
    char request[512];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.%d\r\n%s\r\n", method, path, minor,
                   minor == 1 ? "Host: n1:8008\r\nConnection: close\r\n" : "");
    return rig_ask(request);
}

/* clang-format off */
static const struct {
    const char *path;
    int codes[ROLES]; /* primary, replica, primary whose lease is over, down */
} paths[] = {
    {"/",                               {200, 503, 503, 503}},
    {"/?lag=1",                         {200, 503, 503, 503}},
    {"/primary",                        {200, 503, 503, 503}},
    {"/master",                         {200, 503, 503, 503}},
    {"/leader",                         {200, 503, 503, 503}},
    {"/read-write",                     {200, 503, 503, 503}},
    {"/primary/anything",               {200, 503, 503, 503}},
    {"/primary?tag_zone=none",          {200, 503, 503, 503}},
    {"/replica",                        {503, 200, 503, 503}},
    {"/replica?lag=100",                {503, 200, 503, 503}},
    {"/replica?lag=99",                 {503, 503, 503, 503}},
    {"/replica?lag=1MB",                {503, 200, 503, 503}},
    {"/replica?replication_state=streaming", {503, 200, 503, 503}},
    {"/replica?replication_state=in+archive+recovery", {503, 503, 503, 503}},
    {"/replica?tag_zone=a",             {503, 503, 503, 503}},
    {"/read-only",                      {200, 200, 503, 503}},
    {"/read-only?lag=99",               {200, 503, 503, 503}},
    {"/health",                         {200, 200, 200, 503}},
    {"/health?tag_zone=a",              {503, 503, 503, 503}},
    {"/sync",                           {503, 503, 503, 503}},
    {"/synchronous",                    {503, 503, 503, 503}},
    {"/quorum",                         {503, 503, 503, 503}},
    {"/async",                          {503, 200, 503, 503}},
    {"/asynchronous",                   {503, 200, 503, 503}},
    {"/asynchronous?lag=99",            {503, 503, 503, 503}},
    {"/read-only-sync",                 {200, 503, 503, 503}},
    {"/read-only-synchronous",          {200, 503, 503, 503}},
    {"/read-only-quorum",               {200, 503, 503, 503}},
    {"/standby-leader",                 {503, 503, 503, 503}},
    {"/standby_leader",                 {503, 503, 503, 503}},
    {"/async/x",                        {503, 503, 503, 503}},
    {"/favicon.ico",                    {503, 503, 503, 503}},
    {"/%70rimary",                      {503, 503, 503, 503}},
    {"http://primary:8008/replica",     {503, 200, 503, 503}},
    {"http://replica:8008",             {200, 503, 503, 503}},
    {"http://replica?lag=1",            {200, 503, 503, 503}},
};
/* clang-format on */

static void every_health_check_answers_its_role_by_every_method(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS"};
    (void)state;
    for (enum role role = 0; role < ROLES; role++) {
        rig_publish(status_of(role));
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
                int minor = (int)((i + m) % 2);
                assert_string_equal(
                    ask(methods[m], paths[i].path, minor),
                    expected(methods[m], minor, paths[i].codes[role], "{\"state\": \"running\"}"));
            }
        }
    }
}

static void liveness_and_readiness_have_no_body_and_answer_get_only(void **state)
{
    (void)state;
    rig_publish(status_of(REPLICA));
    assert_string_equal(ask("GET", "/liveness", 0), expected("GET", 0, 200, NULL));
    assert_string_equal(ask("GET", "/readiness", 1), expected("GET", 1, 200, NULL));
    assert_string_equal(ask("GET", "/readiness?lag=99", 0), expected("GET", 0, 503, NULL));
    assert_string_equal(ask("GET", "/readiness?lag=99&mode=write", 0),
                        expected("GET", 0, 200, NULL));
    assert_string_equal(ask("HEAD", "/liveness", 0), expected("HEAD", 0, 503, NULL));
    assert_string_equal(ask("OPTIONS", "/readiness", 0), expected("OPTIONS", 0, 503, NULL));
    /* The HA cycle stands still: no picture comes any more. */
    rig.mono_ms += RIG_LOOP_WAIT_MS + 2 * RIG_TTL_MS - 1;
    assert_string_equal(ask("GET", "/liveness", 0), expected("GET", 0, 200, NULL));
    rig.mono_ms += 1;
    assert_string_equal(ask("GET", "/liveness", 0), expected("GET", 0, 503, NULL));
}

static void the_lease_ends_without_a_new_picture(void **state)
{
    (void)state;
    rig_publish(status_of(PRIMARY));
    assert_int_equal(rig_code(ask("GET", "/primary", 0)), 200);
    rig.lease_ms += 1000;
    assert_int_equal(rig_code(ask("GET", "/primary", 0)), 503);
}

static void documents_are_given_as_they_are_in_the_picture(void **state)
{
    static const struct {
        const char *path;
        const char *type;
        const char *body;
    } documents[] = {
        {"/patroni", "application/json", "{\"state\": \"running\"}"},
        {"/cluster", "application/json", "{\"members\": [], \"scope\": \"s\"}"},
        {"/cluster/anything", "application/json", "{\"members\": [], \"scope\": \"s\"}"},
        {"/history?x=y", "application/json", "[[1, 2, \"r\"]]"},
        {"/config", "application/json", "{\"ttl\": 30}"},
        {"/failsafe", "application/json", "{\"n1\": \"u\"}"},
        {"/metrics", "text/plain", "# HELP m h\n# TYPE m gauge\nm{} 1\n"},
    };
    char text[1024];
    (void)state;
    rig_publish(status_of(DOWN)); /* whatever the role */
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "HTTP/1.0 200 OK\r\nServer: pgquorum\r\nContent-Type: %s\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       documents[i].type, strlen(documents[i].body), documents[i].body);
        assert_string_equal(ask("GET", documents[i].path, 0), text);
        /* A health check of a path that is none. */
        assert_string_equal(ask("HEAD", documents[i].path, 0), expected("HEAD", 0, 503, NULL));
        assert_string_equal(ask("OPTIONS", documents[i].path, 0),
                            expected("OPTIONS", 0, 503, NULL));
    }
}

static void before_the_first_view_documents_say_that_there_is_none(void **state)
{
    struct api_status *status = rig_status();
    (void)state;
    mem_free(status->cluster_document);
    mem_free(status->history);
    mem_free(status->config);
    status->cluster_document = status->history = status->config = NULL;
    rig_publish(status);
    assert_int_equal(rig_code(ask("GET", "/cluster", 0)), 503);
    assert_string_equal(rig_body(ask("GET", "/history", 0)), "[]");
    rig_expect_page(ask("GET", "/config", 0), 502, "Bad Gateway");
}

static void before_the_first_picture_what_does_not_wait_is_503(void **state)
{
    static const char *const lines[] = {"GET /",        "OPTIONS /",    "GET /patroni",
                                        "GET /metrics", "POST /reload", "DELETE /restart"};
    char request[128];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)snprintf(request, sizeof request, "%s HTTP/1.0\r\n\r\n", lines[i]);
        assert_string_equal(rig_ask(request), "HTTP/1.0 503 Service Unavailable\r\n\r\n");
    }
}

static void what_is_not_served_is_501_in_the_words_that_clients_look_for(void **state)
{
    static const char *const lines[] = {
        "POST /",           "POST /primary", "PUT /",           "PATCH /",        "DELETE /",
        "POST /patroni",    "PUT /cluster",  "DELETE /config",  "POST /config",   "PATCH /metrics",
        "DELETE /failover", "PUT /failover", "PUT /switchover", "PATCH /history", "TRACE /primary",
        "POST /configure",  "PATCH /conf",
    };
    char request[128];
    (void)state;
    rig_publish(status_of(PRIMARY));
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)snprintf(request, sizeof request, "%s HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
                       lines[i]);
        rig_expect_page(rig_ask(request), 501, "Server does not support this operation");
    }
}

static void decisions_are_rendered_once_for_all_who_ask_of_one_picture(void **state)
{
    (void)state;
    rig_publish(status_of(PRIMARY));
    int fd = rig_client();
    rig_say(fd, "GET /explain HTTP/1.1\r\nHost: h\r\n\r\nGET /explain HTTP/1.1\r\nHost: h\r\n\r\n"
                "GET /explain HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const char *reply = rig_hear(fd, "{\"asked\": 1}", 3);
    assert_null(strstr(reply, "{\"asked\": 2}"));
    (void)close(fd);
    rig_publish(status_of(PRIMARY));
    assert_string_equal(rig_body(ask("GET", "/explain", 0)), "{\"asked\": 2}");
}

static void a_primary_without_a_store_hears_yes_or_why_not(void **state)
{
    static const struct {
        int rc;
        const char *status;
    } answers[] = {{ERR_REFUSED, "500"}, {ERR_UNSUPPORTED, "502"}, {ERR_INVALID, "400"}};
    const char *question = "POST /failsafe HTTP/1.0\r\nContent-Length: 13\r\n\r\n{\"name\":\"n2\"}";
    (void)state;
    rig_publish(status_of(REPLICA));
    rig.failsafe_lsn = 12345;
    const char *reply = rig_ask(question);
    assert_non_null(strstr(reply, "HTTP/1.0 200 OK\r\n"));
    assert_non_null(strstr(reply, "\r\nlsn: 12345\r\n"));
    assert_string_equal(rig_body(reply), "Accepted");
    assert_string_equal(rig.failsafe_name, "n2");
    rig.failsafe_lsn = 0;
    assert_null(strstr(rig_ask(question), "lsn:"));
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        rig.failsafe_rc = answers[i].rc;
        reply = rig_ask(question);
        assert_memory_equal(reply + strlen("HTTP/1.0 "), answers[i].status, 3);
        assert_string_equal(rig_body(reply), "as the test says");
    }
    rig_expect_page(rig_ask("POST /failsafe HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"), 400,
                    "the body is no JSON object with at least one key");
}

static void a_keep_alive_client_is_answered_on_one_connection(void **state)
{
    (void)state;
    rig_publish(status_of(PRIMARY));
    int fd = rig_client();
    for (int i = 0; i < 20; i++) {
        rig_say(fd, "HEAD /primary HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_string_equal(rig_hear(fd, "\r\n\r\n", 1),
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    (void)close(fd);
}

static void pipelined_requests_of_all_kinds_are_answered_in_order(void **state)
{
    (void)state;
    rig_publish(status_of(PRIMARY));
    int fd = rig_client();
    rig_say(fd, "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\nGET /config HTTP/1.1\r\nHost: h\r\n\r\n"
                "HEAD /replica HTTP/1.1\r\nHost: h\r\n\r\nGET /history HTTP/1.0\r\n\r\n");
    const char *reply = rig_reply(fd);
    const char *options = strstr(reply, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const char *config = strstr(reply, "{\"ttl\": 30}");
    const char *head = strstr(reply, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n");
    const char *history = strstr(reply, "[[1, 2, \"r\"]]");
    assert_ptr_equal(options, reply);
    assert_true(config > options && head > config && history > head);
}

/* "option httpchk OPTIONS /": HTTP/1.0, no Host, and a reset once the status line was read. */
static void haproxy_may_reset_after_the_status(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    rig_publish(status_of(PRIMARY));
    for (int i = 0; i < 1000; i++) { /* more than there may be connections */
        char status[16] = "";
        int fd = rig_client();
        rig_say(fd, "OPTIONS / HTTP/1.0\r\n\r\n");
        assert_int_equal(recv(fd, status, strlen("HTTP/1.0 200"), MSG_WAITALL), 12);
        assert_string_equal(status, "HTTP/1.0 200");
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        (void)close(fd);
    }
    assert_string_equal(ask("OPTIONS", "/", 0), "HTTP/1.0 200 OK\r\n\r\n");
}

static void a_reload_is_scheduled_whatever_the_body_is(void **state)
{
    (void)state;
    rig_publish(rig_primary());
    const char *reply = rig_reply(rig_post("POST /reload", "{}"));
    assert_int_equal(rig_code(reply), 202);
    assert_string_equal(rig_body(reply), "reload scheduled");
    assert_int_equal(rig_code(rig_reply(rig_post("POST /reload", "no JSON"))), 202);
    assert_int_equal(rig.reloads, 2);
}

static void a_picture_lives_as_long_as_somebody_has_it(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    (void)api_status_ref(status);
    rig_publish(status);
    rig_publish(rig_replica());
    assert_string_equal(status->document, "{\"state\": \"running\"}");
    api_status_unref(status);
    api_status_unref(NULL);
}

static void a_taken_port_is_named(void **state)
{
    struct net_addr taken = {.host = "127.0.0.1", .port = rig.port};
    struct api_ports ports = {.clock = &rig.clock};
    struct api_server *second = NULL;
    struct error err = {0};
    uv_loop_t loop;
    (void)state;
    (void)uv_loop_init(&loop);
    assert_true(api_server_start(&loop, &taken, &ports, &second, &err) != 0);
    assert_non_null(strstr(err.text, "restapi.listen: "));
    assert_null(second);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void stopping_what_never_started_is_done_at_once(void **state)
{
    bool stopped = false;
    (void)state;
    api_server_stop(NULL, on_stopped, &stopped);
    assert_true(stopped);
    api_server_stop(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_health_check_answers_its_role_by_every_method),
        RIG_TEST(liveness_and_readiness_have_no_body_and_answer_get_only),
        RIG_TEST(the_lease_ends_without_a_new_picture),
        RIG_TEST(documents_are_given_as_they_are_in_the_picture),
        RIG_TEST(before_the_first_view_documents_say_that_there_is_none),
        RIG_TEST(before_the_first_picture_what_does_not_wait_is_503),
        RIG_TEST(what_is_not_served_is_501_in_the_words_that_clients_look_for),
        RIG_TEST(decisions_are_rendered_once_for_all_who_ask_of_one_picture),
        RIG_TEST(a_primary_without_a_store_hears_yes_or_why_not),
        RIG_TEST(a_keep_alive_client_is_answered_on_one_connection),
        RIG_TEST(pipelined_requests_of_all_kinds_are_answered_in_order),
        RIG_TEST(haproxy_may_reset_after_the_status),
        RIG_TEST(a_reload_is_scheduled_whatever_the_body_is),
        RIG_TEST(a_picture_lives_as_long_as_somebody_has_it),
        RIG_TEST(a_taken_port_is_named),
        cmocka_unit_test(stopping_what_never_started_is_done_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
