/* POST /restart, DELETE /restart: every refusal, every outcome, and who still waits when the server
 * stops. The wall clock stands at 2023-11-14T22:13:20Z. */
#include "tests/unit/agent_api/api_fixture.h"

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        rig_publish(rig_primary());
    }
    return rc;
}

static const char *post(const char *body)
{
    return rig_reply(rig_post("POST /restart", body));
}

static void says(const char *reply, int code, const char *text)
{
    assert_string_equal(rig_body(reply), text);
    assert_int_equal(rig_code(reply), code);
}

#define UNPARSABLE \
    "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601"
#define NO_ZONE "Timezone information is mandatory for the scheduled restart"
#define ROLE    "PostgreSQL role should be either primary, standby_leader, or replica"
#define VERSION "Invalid PostgreSQL version: X.Y (from 10 on) or X.Y.Z is accepted"
#define TIMEOUT "Timeout should be a positive number of seconds"

/* clang-format off */
static const struct {
    const char *body;
    int code;
    const char *text;
} refusals[] = {
    {"{\"schedule\": \"2030-01-01T00:00\"}", 400, NO_ZONE},
    {"{\"schedule\": \"2030-01-01\"}", 400, NO_ZONE},
    {"{\"schedule\": \"soon\"}", 422, UNPARSABLE},
    {"{\"schedule\": 1900000000}", 422, UNPARSABLE},
    {"{\"schedule\": null}", 422, UNPARSABLE},
    {"{\"schedule\": \"2023-11-14T22:13:20Z\"}", 422, "Cannot schedule restart in the past"},
    {"{\"role\": \"leader\"}", 400, ROLE},
    {"{\"role\": \"\"}", 400, ROLE},
    {"{\"role\": 1}", 400, ROLE},
    {"{\"postgres_version\": \"15\"}", 400, VERSION},
    {"{\"postgres_version\": \"9.6\"}", 400, VERSION},
    {"{\"postgres_version\": \"9.6.1.2\"}", 400, VERSION},
    {"{\"postgres_version\": \"15.\"}", 400, VERSION},
    {"{\"postgres_version\": \"15.x\"}", 400, VERSION},
    {"{\"postgres_version\": \"15.4 \"}", 400, VERSION},
    {"{\"postgres_version\": \"15.100\"}", 400, VERSION},
    {"{\"postgres_version\": \"15.-4\"}", 400, VERSION},
    {"{\"postgres_version\": \"99999999999999999999.4\"}", 400, VERSION},
    {"{\"postgres_version\": \"\"}", 400, VERSION},
    {"{\"postgres_version\": 15.4}", 400, VERSION},
    {"{\"timeout\": 0}", 400, TIMEOUT},
    {"{\"timeout\": -1}", 400, TIMEOUT},
    {"{\"timeout\": \"5 apples\"}", 400, TIMEOUT},
    {"{\"timeout\": true}", 400, TIMEOUT},
    {"{\"timeout\": null}", 400, TIMEOUT},
    {"{\"colour\": \"red\"}", 400, "Unknown filter for the scheduled restart: colour"},
    {"{\"timeout\": 0, \"role\": \"x\"}", 400, TIMEOUT},
    {"{\"role\": \"x\", \"timeout\": 0}", 400, ROLE},
    {"{\"colour\": 1, \"schedule\": \"soon\"}", 400, "Unknown filter for the scheduled restart: colour"},
    {"{\"schedule\": \"soon\", \"colour\": 1}", 422, UNPARSABLE},
};
/* clang-format on */

static void what_cannot_be_meant_is_refused_by_the_first_key_that_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        says(post(refusals[i].body), refusals[i].code, refusals[i].text);
    }
    assert_int_equal(rig.restarts, 0);
    assert_null(rig.scheduled);
}

static void bodies_are_objects(void **state)
{
    (void)state;
    assert_int_equal(rig_code(post("[]")), 400);
    assert_int_equal(rig_code(post("{\"role\": ")), 400);
    assert_int_equal(rig_code(post("{\"role\": \"primary\", \"role\": \"replica\"}")), 400);
    assert_int_equal(rig.restarts, 0);
}

static void begun(unsigned count)
{
    (void)pthread_mutex_lock(&rig.lock);
    while (rig.restarts < count) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

static struct api_status *ended(unsigned number, bool done, const char *text)
{
    struct api_status *status = rig_primary();
    status->restart_ended = number;
    status->restart_done = done;
    (void)snprintf(status->restart_text, sizeof status->restart_text, "%s", text);
    return status;
}

static void a_restart_is_answered_when_it_has_ended(void **state)
{
    (void)state;
    int fd = rig_post("POST /restart", "{\"role\": \"primary\", \"postgres_version\": \"9.6.3\", "
                                       "\"timeout\": \"2min\", \"restart_pending\": false}");
    begun(1);
    assert_string_equal(rig.restart.filter.role, "primary");
    assert_int_equal(rig.restart.filter.below_version, 90603);
    assert_true(rig.restart.filter.if_pending); /* the key is there */
    assert_int_equal(rig.restart.timeout_ms, 120000);
    rig_publish(rig_primary()); /* of meanwhile */
    rig_publish(ended(1, true, "restarted successfully"));
    says(rig_reply(fd), 200, "restarted successfully");
}

static void a_body_is_optional(void **state)
{
    static const char *const asked[] = {
        "POST /restart HTTP/1.0\r\n\r\n",
        "POST /restart HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        "POST /restart HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
        "POST /restart/x HTTP/1.0\r\n\r\n",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        int fd = rig_client();
        rig_say(fd, asked[i]);
        begun(i + 1);
        assert_string_equal(rig.restart.filter.role, "");
        assert_int_equal(rig.restart.timeout_ms, 0);
        rig_publish(ended(i + 1, true, "restarted successfully"));
        assert_int_equal(rig_code(rig_reply(fd)), 200);
    }
}

static void a_restart_that_fails_says_how(void **state)
{
    (void)state;
    int fd = rig_post("POST /restart", "{}");
    begun(1);
    rig_publish(ended(1, false, "postgres is still starting"));
    says(rig_reply(fd), 503, "postgres is still starting");
}

static void what_does_not_begin_is_503(void **state)
{
    (void)state;
    rig.restart_rc = ERR_BUSY;
    rig.restart_why = "promote already in progress";
    says(post("{}"), 503, "promote already in progress");
    rig.restart_rc = ERR_REFUSED;
    rig.restart_why = "restart conditions are not satisfied: this member has another role";
    says(post("{\"role\": \"replica\"}"), 503, rig.restart_why);
}

static void one_at_a_time_is_waited_for(void **state)
{
    (void)state;
    int fd = rig_post("POST /restart", "{}");
    begun(1);
    says(post("{}"), 503, "restart already in progress");
    assert_int_equal(rig.restarts, 1);
    rig_publish(ended(1, true, "restarted successfully"));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void nobody_waits_without_end(void **state)
{
    (void)state;
    int fd = rig_post("POST /restart", "{}");
    begun(1);
    rig_publish(rig_primary()); /* after this turn it waits */
    rig.mono_ms += RIG_RESTART_MS - 1;
    rig_publish(rig_primary());
    rig.mono_ms += 1;
    rig_publish(rig_primary());
    says(rig_reply(fd), 503, "restart status unknown: it has not ended yet");
}

static void who_waits_when_the_server_stops_is_told(void **state)
{
    (void)state;
    int fd = rig_post("POST /restart", "{}");
    begun(1);
    rig_call(rig_stop_now, NULL);
    says(rig_reply(fd), 503, "the agent is stopping: restart status unknown");
}

static void a_client_that_went_away_is_forgotten_with_the_outcome(void **state)
{
    (void)state;
    (void)close(rig_post("POST /restart", "{}"));
    begun(1);
    rig_publish(ended(1, true, "restarted successfully"));
    int fd = rig_post("POST /restart", "{}");
    begun(2);
    rig_publish(ended(2, true, "restarted successfully"));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void a_restart_is_scheduled_once(void **state)
{
    (void)state;
    says(rig_reply(rig_post("DELETE /restart", "")), 404, "no restarts are scheduled");
    says(post("{\"schedule\": \"2030-01-01T00:00:00+01:00\", \"timeout\": \"1min\"}"), 202,
         "Restart scheduled");
    assert_string_equal(rig.scheduled,
                        "{\"schedule\":\"2030-01-01T00:00:00+01:00\",\"timeout\":60}");
    assert_int_equal(rig.restart.at_wall_ms, 1893452400000);
    assert_int_equal(rig.restart.timeout_ms, 60000);
    assert_int_equal(rig.restarts, 0);
    says(post("{\"schedule\": \"2031-01-01T00:00:00Z\"}"), 409,
         "Another restart is already scheduled");
    says(rig_reply(rig_post("DELETE /restart", "")), 200, "scheduled restart deleted");
    assert_null(rig.scheduled);
}

static void shows(const char *body, const char *shown)
{
    says(post(body), 202, "Restart scheduled");
    assert_string_equal(rig.scheduled, shown);
    says(rig_reply(rig_post("DELETE /restart", "")), 200, "scheduled restart deleted");
}

/* It goes into the member key: what was understood, never what was sent. */
static void a_scheduled_restart_is_shown_as_it_was_understood(void **state)
{
    (void)state;
    shows("{\"restart_pending\": [[[{\"a\": \"x\"}]]], \"schedule\": \"2030-01-01T00:00:00Z\"}",
          "{\"schedule\":\"2030-01-01T00:00:00Z\",\"restart_pending\":true}");
    shows("{\"schedule\": \"2030-01-01T00:00:00Z\", \"postgres_version\": \"0000000000015.004\", "
          "\"role\": \"replica\"}",
          "{\"schedule\":\"2030-01-01T00:00:00Z\",\"role\":\"replica\","
          "\"postgres_version\":\"15.4\"}");
    shows("{\"schedule\": \"2030-01-01T00:00:00Z\", \"postgres_version\": \"9.06.3\"}",
          "{\"schedule\":\"2030-01-01T00:00:00Z\",\"postgres_version\":\"9.6.3\"}");
    shows("{\"schedule\": \"2030-01-01T00:00:00Z\", \"postgres_version\": \"15.4.2\"}",
          "{\"schedule\":\"2030-01-01T00:00:00Z\",\"postgres_version\":\"15.4.2\"}");
}

static void a_body_of_a_restart_is_small(void **state)
{
    char body[8000];
    (void)state;
    (void)snprintf(body, sizeof body, "{\"restart_pending\": \"%0*d\"}", 5000, 0);
    assert_int_equal(rig_code(post(body)), 413);
    (void)snprintf(body, sizeof body, "{\"schedule\": \"2030-01-01T00:00:00.%0*dZ\"}", 200, 0);
    says(post(body), 422, UNPARSABLE);
    assert_null(rig.scheduled);
    assert_int_equal(rig.restarts, 0);
}

static void a_paused_cluster_schedules_nothing_and_restarts(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    status->paused = true;
    rig_publish(status);
    says(post("{\"role\": \"x\", \"schedule\": \"2030-01-01T00:00Z\"}"), 500,
         "Can't schedule restart in the paused state");
    assert_null(rig.scheduled);
    int fd = rig_post("POST /restart", "{}");
    begun(1);
    rig_publish(ended(1, true, "restarted successfully"));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

int main(void)
{
#define WITH_PRIMARY(name) cmocka_unit_test_setup_teardown(name, start, rig_finish)
    const struct CMUnitTest tests[] = {
        WITH_PRIMARY(what_cannot_be_meant_is_refused_by_the_first_key_that_is_wrong),
        WITH_PRIMARY(bodies_are_objects),
        WITH_PRIMARY(a_restart_is_answered_when_it_has_ended),
        WITH_PRIMARY(a_body_is_optional),
        WITH_PRIMARY(a_restart_that_fails_says_how),
        WITH_PRIMARY(what_does_not_begin_is_503),
        WITH_PRIMARY(one_at_a_time_is_waited_for),
        WITH_PRIMARY(nobody_waits_without_end),
        WITH_PRIMARY(who_waits_when_the_server_stops_is_told),
        WITH_PRIMARY(a_client_that_went_away_is_forgotten_with_the_outcome),
        WITH_PRIMARY(a_restart_is_scheduled_once),
        WITH_PRIMARY(a_scheduled_restart_is_shown_as_it_was_understood),
        WITH_PRIMARY(a_body_of_a_restart_is_small),
        WITH_PRIMARY(a_paused_cluster_schedules_nothing_and_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
