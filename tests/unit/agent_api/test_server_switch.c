/* POST /switchover, POST /failover, DELETE /switchover: every refusal, every outcome, and what
 * happens to those who still wait when the server stops. The wall clock stands at
 * 2023-11-14T22:13:20Z. */
#include "tests/unit/agent_api/api_fixture.h"

enum { OUR_REVISION = 200 };

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        rig_publish(rig_primary());
    }
    return rc;
}

static const char *post(const char *what, const char *body)
{
    return rig_reply(rig_post(what, body));
}

/* A picture at `revision`, led by `leader`, with a request in the key or without. */
static struct api_status *picture(const char *leader, int64_t revision, bool requested)
{
    struct api_status *status = rig_primary();
    status->cluster.revision = revision;
    (void)snprintf(status->cluster.leader, sizeof status->cluster.leader, "%s", leader);
    status->cluster.failover.present = requested;
    status->cluster.failover.revision = requested ? OUR_REVISION : revision;
    return status;
}

/* Asks, and lets the store take it as OUR_REVISION. */
static int begin(const char *what, const char *body)
{
    size_t index = rig.write_count;
    int fd = rig_post(what, body);
    rig_wait_writes(index + 1);
    rig_answer(index, 0, OUR_REVISION);
    return fd;
}

#define UNPARSABLE \
    "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601"
#define NO_ZONE "Timezone information is mandatory for the scheduled switchover"

/* clang-format off */
static const struct {
    const char *what;
    const char *body;
    int code;
    const char *text;
} refusals[] = {
    {"POST /failover", "{\"leader\": \"n1\"}", 400, "Failover could be performed only to a specific candidate"},
    {"POST /failover", "{\"leader\": \"n1\", \"candidate\": \"\", \"member\": null}", 400, "Failover could be performed only to a specific candidate"},
    {"POST /switchover", "{\"candidate\": \"n2\"}", 400, "Switchover could be performed only from a specific leader"},
    {"POST /failover", "{\"candidate\": \"n2\", \"scheduled_at\": \"2030-01-01T00:00Z\"}", 400, "Failover can't be scheduled"},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01T00:00\"}", 400, NO_ZONE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01 00:00:00.5\"}", 400, NO_ZONE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01\"}", 400, NO_ZONE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"soon\"}", 422, UNPARSABLE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-13-01T00:00Z\"}", 422, UNPARSABLE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01T00:00 anywhere at all in a text that is longer than a time can be\"}", 422, UNPARSABLE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01 and then some more of it, up to the length of one\"}", 422, UNPARSABLE},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": \"2023-11-14T22:13:20Z\"}", 422, "Cannot schedule switchover in the past"},
    {"POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n1\"}", 400, "Switchover target and source are the same"},
    {"POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n1\", \"scheduled_at\": \"2030-01-01T00:00Z\"}", 400, "Switchover target and source are the same"},
    {"POST /failover", "{\"leader\": \"n1\", \"candidate\": \"n1\"}", 400, "Switchover target and source are the same"},
    {"POST /switchover", "{\"leader\": \"n2\"}", 412, "leader name does not match"},
    {"POST /failover", "{\"leader\": \"n2\", \"candidate\": \"n3\"}", 412, "leader name does not match"},
    {"POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n9\"}", 412, "candidate does not exists"},
    {"POST /failover", "{\"candidate\": \"n9\"}", 412, "candidate does not exists"},
    {"POST /failover", "{\"member\": \"n9\"}", 412, "candidate does not exists"},
    {"POST /switchover", "{\"leader\": 1}", 400, "leader: expected text"},
    {"POST /switchover", "{\"leader\": \"n1\", \"candidate\": [\"n2\"]}", 400, "candidate: expected text"},
    {"POST /switchover", "{\"leader\": \"n1\", \"member\": true}", 400, "member: expected text"},
    {"POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": 1900000000}", 400, "scheduled_at: expected text"},
    {"DELETE /switchover", "", 404, "no switchover is scheduled"},
};
/* clang-format on */

static void what_cannot_be_done_is_refused_before_anything_is_written(void **state)
{
    char text[1024];
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *reply = post(refusals[i].what, refusals[i].body);
        (void)snprintf(text, sizeof text, "\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n",
                       strlen(refusals[i].text));
        assert_string_equal(rig_body(reply), refusals[i].text);
        assert_int_equal(rig_code(reply), refusals[i].code);
        assert_non_null(strstr(reply, text));
    }
    assert_int_equal(rig.write_count, 0);
}

static void bodies_are_mandatory_objects(void **state)
{
    (void)state;
    rig_expect_page(rig_ask("POST /switchover HTTP/1.0\r\n\r\n"), 411, "Length Required");
    assert_int_equal(rig_code(post("POST /switchover", "")), 400);
    assert_int_equal(rig_code(post("POST /failover", "[]")), 400);
    assert_int_equal(rig_code(post("POST /failover", "{}")), 400);
    assert_int_equal(rig.write_count, 0);
}

static void in_synchronous_mode_only_its_members_are_asked_to_lead(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    status->synchronous = true;
    status->cluster.sync.present = true;
    (void)snprintf(status->cluster.sync.leader, HA_NAME_BYTES, "n1");
    rig_publish(status);
    assert_string_equal(rig_body(post("POST /switchover", "{\"leader\": \"n1\"}")),
                        "switchover is not possible: can not find sync_standby");
    status = rig_primary();
    status->synchronous = true;
    status->cluster.sync.present = true;
    (void)snprintf(status->cluster.sync.leader, HA_NAME_BYTES, "n1");
    (void)snprintf(status->cluster.sync.standbys[0].name, HA_NAME_BYTES, "n3");
    status->cluster.sync.standby_count = 1;
    rig_publish(status);
    const char *reply = post("POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}");
    assert_int_equal(rig_code(reply), 412);
    assert_string_equal(rig_body(reply), "candidate name does not match with sync_standby");
    assert_int_equal(rig.write_count, 0);
}

static void nobody_who_may_not_or_cannot_is_asked_to_lead(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    status->cluster.members[1].tags.nofailover = true;
    status->cluster.members[2].api_url[0] = '\0'; /* has not told where it is */
    rig_publish(status);
    assert_string_equal(
        rig_body(post("POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}")),
        "no good candidates have been found");
    assert_int_equal(rig_code(post("POST /failover", "{\"candidate\": \"n3\"}")), 412);
    assert_int_equal(rig_code(post("POST /switchover", "{\"leader\": \"n1\"}")), 412);
    assert_int_equal(rig.write_count, 0);
}

static void a_paused_cluster_wants_a_candidate_and_no_schedule(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    status->paused = true;
    rig_publish(status);
    assert_int_equal(rig_code(post("POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": "
                                                       "\"2030-01-01T00:00Z\"}")),
                     400);
    assert_int_equal(rig_code(post("POST /switchover", "{\"leader\": \"n1\"}")), 400);
    int fd = begin("POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}");
    rig_publish(picture("n2", OUR_REVISION + 1, false));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

/* Nobody leads, and `unfenced` stands: only who has seen it passes over it. */
static void a_failover_past_an_unfenced_leader_names_it(void **state)
{
    struct api_status *status = picture("", OUR_REVISION - 1, false);
    (void)state;
    status->cluster.unfenced_revision = 30;
    status->cluster.unfenced = (struct ha_epoch){0xabc, 9};
    rig_publish(status);
    const char *reply = post("POST /failover", "{\"candidate\": \"n2\"}");
    assert_int_equal(rig_code(reply), 412);
    assert_non_null(strstr(rig_body(reply), "unfenced since a pause"));
    assert_int_equal(
        rig_code(post("POST /failover", "{\"candidate\": \"n2\", \"unfenced\": \"abc:8\"}")), 412);
    assert_int_equal(rig_code(post("POST /failover", "{\"candidate\": \"n2\", \"unfenced\": 9}")),
                     400);
    assert_int_equal(rig.write_count, 0);
    int fd = begin("POST /failover", "{\"candidate\": \"n2\", \"unfenced\": \"abc:9\"}");
    assert_string_equal(rig.writes[0].text, "{\"member\":\"n2\",\"unfenced\":\"abc:9\"}");
    rig_publish(picture("n2", OUR_REVISION + 2, false));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void a_switchover_is_answered_when_another_one_leads(void **state)
{
    (void)state;
    int fd = begin("POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\", \"x\": 1}");
    assert_string_equal(rig.writes[0].text, "{\"leader\":\"n1\",\"member\":\"n2\"}");
    assert_int_equal(rig.writes[0].revision, -1);
    rig_publish(picture("n1", OUR_REVISION - 1, false)); /* of before the write */
    rig_publish(picture("n1", OUR_REVISION, true));
    rig_publish(picture("", OUR_REVISION + 1, true)); /* the key is released */
    rig_publish(picture("n2", OUR_REVISION + 2, true));
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 200);
    assert_string_equal(rig_body(reply), "Successfully switched over to \"n2\"");
}

static void a_failover_to_another_one_says_so(void **state)
{
    (void)state;
    int fd = begin("POST /failover", "{\"member\": \"n2\"}");
    assert_string_equal(rig.writes[0].text, "{\"member\":\"n2\"}");
    rig_publish(picture("n3", OUR_REVISION + 2, false));
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 200);
    assert_string_equal(rig_body(reply), "Failed over to \"n3\" instead of \"n2\"");
    rig_publish(rig_primary());
    fd = begin("POST /failover", "{\"candidate\": \"n2\"}");
    rig_publish(picture("n2", OUR_REVISION + 4, false));
    assert_string_equal(rig_body(rig_reply(fd)), "Successfully failed over to \"n2\"");
}

static void a_failover_that_names_the_leader_is_a_switchover(void **state)
{
    (void)state;
    int fd = begin("POST /failover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}");
    assert_string_equal(rig.writes[0].text, "{\"leader\":\"n1\",\"member\":\"n2\"}");
    rig_publish(picture("n3", OUR_REVISION + 2, false));
    assert_string_equal(rig_body(rig_reply(fd)), "Switched over to \"n3\" instead of \"n2\"");
}

static void a_request_that_was_dropped_has_failed(void **state)
{
    (void)state;
    int fd = begin("POST /switchover", "{\"leader\": \"n1\"}");
    rig_publish(picture("", OUR_REVISION + 1, false)); /* nobody leads: it may still come */
    rig_publish(picture("n1", OUR_REVISION + 1, false));
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 503);
    assert_string_equal(rig_body(reply), "Switchover failed");
    fd = begin("POST /failover", "{\"candidate\": \"n2\"}");
    rig_publish(picture("n1", OUR_REVISION + 1, false));
    assert_string_equal(rig_body(rig_reply(fd)), "Failover failed");
}

/* The picture that decides may be there before the store's answer is. */
static void an_outcome_that_is_seen_before_the_answer_counts(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    rig_publish(picture("n3", OUR_REVISION + 1, false));
    rig_answer(0, 0, OUR_REVISION);
    assert_string_equal(rig_body(rig_reply(fd)), "Successfully switched over to \"n3\"");
}

static void after_two_loop_waits_the_status_is_unknown(void **state)
{
    (void)state;
    int switchover = begin("POST /switchover", "{\"leader\": \"n1\"}");
    int failover = begin("POST /failover", "{\"candidate\": \"n2\"}");
    rig.mono_ms += 2 * RIG_LOOP_WAIT_MS - 1;
    rig_publish(picture("n1", OUR_REVISION, true));
    struct pollfd in = {.fd = switchover, .events = POLLIN};
    assert_int_equal(poll(&in, 1, 0), 0);
    rig.mono_ms += 1; /* its own timer looks, no picture comes */
    const char *reply = rig_reply(switchover);
    assert_int_equal(rig_code(reply), 503);
    assert_string_equal(rig_body(reply), "Switchover status unknown");
    assert_string_equal(rig_body(rig_reply(failover)), "Failover status unknown");
}

static void a_long_loop_wait_is_waited_for_twice(void **state)
{
    struct api_status *status = rig_primary();
    (void)state;
    status->loop_wait_ms = 3 * RIG_LOOP_WAIT_MS;
    rig_publish(status);
    int fd = begin("POST /switchover", "{\"leader\": \"n1\"}");
    rig.mono_ms += 6 * RIG_LOOP_WAIT_MS - 1;
    rig_publish(picture("n1", OUR_REVISION, true));
    rig_publish(picture("n2", OUR_REVISION, true));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void a_scheduled_switchover_is_accepted_when_it_is_written(void **state)
{
    (void)state;
    int fd = begin("POST /switchover",
                   "{\"leader\": \"n1\", \"scheduled_at\": \"2023-11-14T23:13:21+01:00\"}");
    const char *reply = rig_reply(fd);
    assert_string_equal(rig.writes[0].text,
                        "{\"leader\":\"n1\",\"scheduled_at\":\"2023-11-14T23:13:21+01:00\"}");
    assert_int_equal(rig_code(reply), 202);
    assert_string_equal(rig_body(reply), "Switchover scheduled");
    /* Who leads then is not known today. */
    fd = begin("POST /switchover", "{\"leader\": \"n7\", \"candidate\": \"n9\", "
                                   "\"scheduled_at\": \"2030-01-01T00:00Z\"}");
    assert_int_equal(rig_code(rig_reply(fd)), 202);
}

static void a_write_that_fails_is_503_and_says_what_is_known(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    rig_answer(0, ERR_UNAVAILABLE, 0);
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 503);
    assert_string_equal(rig_body(reply),
                        "failed to write failover key into DCS: the store says: unavailable");
    fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(2);
    rig_answer(1, ERR_UNKNOWN, 0);
    reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 503);
    assert_non_null(strstr(reply, "status unknown"));
    rig.refuse_rc = ERR_BUSY;
    rig.refuse_text = "";
    assert_string_equal(rig_body(post("POST /failover", "{\"candidate\": \"n2\"}")),
                        "failed to write failover key into DCS: busy");
}

static void who_waits_is_bounded(void **state)
{
    int fds[API_WAITING_MAX];
    (void)state;
    for (size_t i = 0; i < API_WAITING_MAX; i++) {
        fds[i] = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    }
    rig_wait_writes(API_WAITING_MAX);
    for (size_t i = 0; i < API_WAITING_MAX / 2; i++) {
        rig_answer(i, 0, OUR_REVISION);
    }
    assert_int_equal(rig_code(post("POST /switchover", "{\"leader\": \"n1\"}")), 503);
    for (size_t i = API_WAITING_MAX / 2; i < API_WAITING_MAX; i++) {
        rig_answer(i, 0, OUR_REVISION);
    }
    rig_publish(picture("n2", OUR_REVISION, true));
    for (size_t i = 0; i < API_WAITING_MAX; i++) {
        assert_int_equal(rig_code(rig_reply(fds[i])), 200);
    }
    rig_publish(rig_primary());
    int fd = begin("POST /switchover", "{\"leader\": \"n1\"}");
    rig_publish(picture("n2", OUR_REVISION, true));
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static struct api_status *scheduled(void)
{
    struct api_status *status = picture("n1", OUR_REVISION, true);
    status->cluster.failover.scheduled_wall_ms = rig.wall_ms + 1000;
    return status;
}

static void a_scheduled_switchover_is_deleted_as_it_was_read(void **state)
{
    static const struct {
        int rc;
        int code;
        const char *text;
    } outcomes[] = {{0, 200, "scheduled switchover deleted"},
                    {ERR_CONFLICT, 409, "failed to write failover key into DCS"},
                    {ERR_UNKNOWN, 503,
                     "status unknown, writing the failover key into DCS was not answered: "
                     "the store says: outcome unknown"},
                    {ERR_UNAVAILABLE, 503,
                     "failed to write failover key into DCS: the store says: unavailable"}};
    size_t asked = 0;
    (void)state;
    rig_publish(scheduled());
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        int fd = rig_post("DELETE /switchover", "");
        rig_wait_writes(++asked);
        assert_string_equal(rig.writes[i].text, "{}");
        assert_int_equal(rig.writes[i].revision, OUR_REVISION);
        rig_answer(i, outcomes[i].rc, 0);
        const char *reply = rig_reply(fd);
        assert_int_equal(rig_code(reply), outcomes[i].code);
        assert_string_equal(rig_body(reply), outcomes[i].text);
    }
    rig.refuse_rc = ERR_UNAVAILABLE;
    rig.refuse_text = "";
    assert_string_equal(rig_body(post("DELETE /switchover", "")),
                        "failed to write failover key into DCS: unavailable");
}

static void a_request_that_is_under_way_is_not_deleted(void **state)
{
    (void)state;
    rig_publish(picture("n1", OUR_REVISION, true));
    assert_int_equal(rig_code(post("DELETE /switchover", "")), 404);
}

static void deletions_are_bounded_as_other_writes_are(void **state)
{
    int fds[API_WRITES_MAX];
    (void)state;
    rig_publish(scheduled());
    for (size_t i = 0; i < API_WRITES_MAX; i++) {
        fds[i] = rig_post("DELETE /switchover", "");
    }
    rig_wait_writes(API_WRITES_MAX);
    assert_int_equal(rig_code(post("DELETE /switchover", "")), 503);
    for (size_t i = 0; i < API_WRITES_MAX; i++) {
        rig_answer(i, 0, 1);
        assert_int_equal(rig_code(rig_reply(fds[i])), 200);
    }
}

/* --- going away and stopping ------------------------------------------------------------------ */

static void a_client_that_went_away_is_forgotten_with_the_outcome(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    int writing = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    (void)setsockopt(writing, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(writing);
    rig_answer(0, 0, OUR_REVISION);
    int waiting = begin("POST /failover", "{\"candidate\": \"n2\"}");
    (void)close(waiting);
    rig_publish(picture("n2", OUR_REVISION + 1, false));
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 200);
}

static void who_waits_when_the_server_stops_is_told(void **state)
{
    (void)state;
    int fd = begin("POST /switchover", "{\"leader\": \"n1\"}");
    rig_call(rig_stop_now, NULL);
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 503);
    assert_string_equal(rig_body(reply), "the agent is stopping: Switchover status unknown");
}

/* It was taken after the stop: no picture comes any more that could decide it. */
static void a_late_write_that_succeeds_lets_the_server_stop(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    rig_call(rig_stop_now, NULL);
    assert_string_equal(rig_reply(fd), "");
    rig_answer(0, 0, OUR_REVISION);
}

static void late_writes_of_every_kind_let_the_server_stop(void **state)
{
    static const int outcomes[] = {0, ERR_CANCELED, ERR_CONFLICT};
    (void)state;
    rig_publish(scheduled());
    int fds[9];
    for (size_t i = 0; i < 3; i++) {
        fds[3 * i] = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
        rig_wait_writes(3 * i + 1);
        fds[3 * i + 1] = rig_post("DELETE /switchover", "");
        rig_wait_writes(3 * i + 2);
        fds[3 * i + 2] = rig_post("POST /switchover", "{\"leader\": \"n1\", \"scheduled_at\": "
                                                      "\"2030-01-01T00:00Z\"}");
        rig_wait_writes(3 * i + 3);
    }
    rig_call(rig_stop_now, NULL);
    for (size_t i = 0; i < 9; i++) {
        rig_answer(i, outcomes[i / 3], OUR_REVISION);
        (void)close(fds[i]);
    }
}

static void stop_and_cancel(void *arg)
{
    rig_stop_now(arg);
    rig_cancel_writes(arg);
}

/* A store that was never open answers everything in the turn in which it is closed. */
static void answers_in_the_very_turn_of_the_stop_are_dropped(void **state)
{
    (void)state;
    int writing = rig_post("POST /switchover", "{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    int config = rig_post("PATCH /config", "{\"ttl\": 20}");
    rig_wait_writes(2);
    rig_call(stop_and_cancel, NULL);
    assert_string_equal(rig_reply(writing), "");
    assert_string_equal(rig_reply(config), "");
}

static void what_is_pipelined_behind_a_wait_is_refused_at_the_stop(void **state)
{
    (void)state;
    int fd = rig_client();
    rig_say(fd, "POST /switchover HTTP/1.1\r\nHost: h\r\nContent-Length: 16\r\n\r\n"
                "{\"leader\": \"n1\"}POST /switchover HTTP/1.1\r\nHost: h\r\n"
                "Content-Length: 16\r\n\r\n{\"leader\": \"n1\"}");
    rig_wait_writes(1);
    rig_answer(0, 0, OUR_REVISION);
    rig_call(rig_stop_now, NULL);
    const char *reply = rig_reply(fd);
    assert_non_null(strstr(reply, "the agent is stopping"));
    assert_int_equal(rig.write_count, 1);
}

int main(void)
{
#define WITH_PRIMARY(name) cmocka_unit_test_setup_teardown(name, start, rig_finish)
    const struct CMUnitTest tests[] = {
        WITH_PRIMARY(what_cannot_be_done_is_refused_before_anything_is_written),
        WITH_PRIMARY(bodies_are_mandatory_objects),
        WITH_PRIMARY(in_synchronous_mode_only_its_members_are_asked_to_lead),
        WITH_PRIMARY(nobody_who_may_not_or_cannot_is_asked_to_lead),
        WITH_PRIMARY(a_paused_cluster_wants_a_candidate_and_no_schedule),
        WITH_PRIMARY(a_failover_past_an_unfenced_leader_names_it),
        WITH_PRIMARY(a_switchover_is_answered_when_another_one_leads),
        WITH_PRIMARY(a_failover_to_another_one_says_so),
        WITH_PRIMARY(a_failover_that_names_the_leader_is_a_switchover),
        WITH_PRIMARY(a_request_that_was_dropped_has_failed),
        WITH_PRIMARY(an_outcome_that_is_seen_before_the_answer_counts),
        WITH_PRIMARY(after_two_loop_waits_the_status_is_unknown),
        WITH_PRIMARY(a_long_loop_wait_is_waited_for_twice),
        WITH_PRIMARY(a_scheduled_switchover_is_accepted_when_it_is_written),
        WITH_PRIMARY(a_write_that_fails_is_503_and_says_what_is_known),
        WITH_PRIMARY(who_waits_is_bounded),
        WITH_PRIMARY(a_scheduled_switchover_is_deleted_as_it_was_read),
        WITH_PRIMARY(a_request_that_is_under_way_is_not_deleted),
        WITH_PRIMARY(deletions_are_bounded_as_other_writes_are),
        WITH_PRIMARY(a_client_that_went_away_is_forgotten_with_the_outcome),
        WITH_PRIMARY(who_waits_when_the_server_stops_is_told),
        WITH_PRIMARY(a_late_write_that_succeeds_lets_the_server_stop),
        WITH_PRIMARY(late_writes_of_every_kind_let_the_server_stop),
        WITH_PRIMARY(answers_in_the_very_turn_of_the_stop_are_dropped),
        WITH_PRIMARY(what_is_pipelined_behind_a_wait_is_refused_at_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
