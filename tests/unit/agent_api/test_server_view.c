/* An agent that has just started has read nothing of the store: what judges on it waits, for a
 * bounded time, and what only shows never does. */
#include "tests/unit/agent_api/api_fixture.h"

#include "agent/api/api_private.h"

/* What an agent publishes before its first view. */
static void publish_unviewed(void)
{
    struct api_status *status = api_status_new();
    status->ttl_ms = RIG_TTL_MS;
    status->loop_wait_ms = RIG_LOOP_WAIT_MS;
    status->cycle_mono_ms = rig.mono_ms;
    status->document = mem_strdup("{\"state\": \"starting\"}");
    rig_publish(status);
}

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        publish_unviewed();
    }
    return rc;
}

static struct api_status *scheduled(void)
{
    struct api_status *status = rig_primary();
    status->cluster.failover.present = true;
    status->cluster.failover.revision = 90;
    status->cluster.failover.scheduled_wall_ms = rig.wall_ms + 1000;
    return status;
}

static const struct {
    const char *what;
    const char *body;
} judging[] = {
    {"POST /switchover", "{\"leader\": \"n1\"}"},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01T00:00Z\"}"},
    {"POST /failover", "{\"candidate\": \"n2\"}"},
    {"DELETE /switchover", ""},
    {"PATCH /config", "{\"ttl\": 40}"},
    {"PUT /config", "{\"ttl\": 40}"},
    {"POST /restart", "{\"role\": \"primary\"}"},
    {"POST /reinitialize", "{}"},
    {"POST /dry-run/switchover", "{\"leader\": \"n1\"}"},
};
enum { JUDGING = sizeof judging / sizeof judging[0] };

static void settle(void)
{
    /* Behind what was sent: it takes its turn after those that make the node work. */
    (void)rig_ask("GET /history HTTP/1.0\r\n\r\n");
}

/* The leader's agent was killed and is back: its picture names no leader yet. */
static void a_switchover_before_the_first_view_is_judged_on_that_view(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    settle();
    publish_unviewed(); /* a picture alone is no view */
    rig_publish(rig_primary());
    rig_wait_writes(1);
    assert_string_equal(rig.writes[0].text, "{\"leader\":\"n1\"}");
    rig_answer(0, 0, 200);
    struct api_status *after = rig_primary();
    after->cluster.revision = 201;
    (void)snprintf(after->cluster.leader, sizeof after->cluster.leader, "n2");
    rig_publish(after);
    const char *reply = rig_reply(fd);
    assert_string_equal(rig_body(reply), "Successfully switched over to \"n2\"");
    assert_int_equal(rig_code(reply), 200);
}

static void the_first_view_can_refuse_it(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n3\"}");
    settle();
    rig_publish(rig_primary());
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 412);
    assert_string_equal(rig_body(reply), "leader name does not match");
}

static void whatever_judges_on_the_store_is_told_when_it_was_not_read(void **state)
{
    int fds[JUDGING];
    (void)state;
    for (size_t i = 0; i < JUDGING; i++) {
        fds[i] = rig_post(judging[i].what, judging[i].body);
    }
    settle();
    rig.mono_ms += API_VIEW_WAIT_MS;
    for (size_t i = 0; i < JUDGING; i++) {
        const char *reply = rig_reply(fds[i]);
        assert_int_equal(rig_code(reply), 503);
        assert_string_equal(rig_body(reply),
                            "this agent has not read the store since it started: nothing was "
                            "changed, try again");
    }
    assert_int_equal(rig.write_count, 0);
    assert_int_equal(rig.restarts + rig.reinits + rig.dry_runs, 0);
}

static void all_that_wait_are_handled_with_the_first_view(void **state)
{
    (void)state;
    int dropping = rig_post("DELETE /switchover", "");
    int restarting = rig_post("POST /restart", "{\"role\": \"primary\"}");
    int reinitializing = rig_post("POST /reinitialize", "{}");
    settle();
    rig_publish(scheduled());
    assert_int_equal(rig_code(rig_reply(reinitializing)), 200);
    rig_wait_writes(1);
    assert_int_equal(rig.writes[0].revision, 90);
    rig_answer(0, 0, 200);
    assert_string_equal(rig_body(rig_reply(dropping)), "scheduled switchover deleted");
    assert_int_equal(rig.restarts, 1);
    struct api_status *ended = rig_primary();
    ended->restart_ended = 1;
    ended->restart_done = true;
    rig_publish(ended);
    assert_int_equal(rig_code(rig_reply(restarting)), 200);
}

/* Also before there is a picture of any kind. */
static void without_a_picture_it_waits_too(void **state)
{
    (void)state;
    int fd = rig_post("POST /failover", "{\"candidate\": \"n9\"}");
    assert_int_equal(rig_code(rig_ask("GET /patroni HTTP/1.0\r\n\r\n")), 503);
    rig_publish(rig_primary());
    assert_string_equal(rig_body(rig_reply(fd)), "candidate does not exists");
}

static void what_only_shows_never_waits(void **state)
{
    static const struct {
        const char *request;
        int code;
    } shown[] = {{"GET /patroni", 200}, {"GET /cluster", 503},   {"GET /history", 200},
                 {"GET /config", 502},  {"GET /health", 503},    {"GET /primary", 503},
                 {"GET /replica", 503}, {"GET /liveness", 200},  {"GET /readiness", 503},
                 {"GET /metrics", 200}, {"GET /explain", 200},   {"OPTIONS /primary", 503},
                 {"POST /reload", 202}, {"DELETE /restart", 404}};
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        char request[100];
        (void)snprintf(request, sizeof request, "%s HTTP/1.0\r\n\r\n", shown[i].request);
        assert_int_equal(rig_code(rig_ask(request)), shown[i].code);
    }
}

static void who_waits_for_a_view_is_bounded(void **state)
{
    int fds[API_WAITING_MAX];
    (void)state;
    for (size_t i = 0; i < API_WAITING_MAX; i++) {
        fds[i] = rig_post("POST /switchover", "{\"leader\": \"n2\"}");
    }
    settle();
    const char *reply = rig_reply(rig_post("POST /switchover", "{\"leader\": \"n2\"}"));
    assert_int_equal(rig_code(reply), 503);
    assert_non_null(strstr(reply, "wait for it already"));
    rig_publish(rig_primary());
    for (size_t i = 0; i < API_WAITING_MAX; i++) {
        assert_int_equal(rig_code(rig_reply(fds[i])), 412);
    }
}

static void who_waits_for_a_view_when_the_server_stops_is_told(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    settle();
    rig_call(rig_stop_now, NULL);
    assert_string_equal(rig_body(rig_reply(fd)), "the agent is stopping: nothing was changed");
    assert_int_equal(rig.write_count, 0);
}

static void a_client_that_went_away_meanwhile_is_no_error(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n2\"}");
    settle();
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(fd);
    settle();
    rig_publish(rig_primary());
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 200);
}

int main(void)
{
#define UNVIEWED(name) cmocka_unit_test_setup_teardown(name, start, rig_finish)
    const struct CMUnitTest tests[] = {
        UNVIEWED(a_switchover_before_the_first_view_is_judged_on_that_view),
        UNVIEWED(the_first_view_can_refuse_it),
        UNVIEWED(whatever_judges_on_the_store_is_told_when_it_was_not_read),
        UNVIEWED(all_that_wait_are_handled_with_the_first_view),
        cmocka_unit_test_setup_teardown(without_a_picture_it_waits_too, rig_start, rig_finish),
        UNVIEWED(what_only_shows_never_waits),
        UNVIEWED(who_waits_for_a_view_is_bounded),
        UNVIEWED(who_waits_for_a_view_when_the_server_stops_is_told),
        UNVIEWED(a_client_that_went_away_meanwhile_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
