/* Members of etcd that fail in every way there is, and which of them is asked, when, and what is
 * told. */
#include "tests/unit/agent_dcs/client_fixture.h"

/* --- the usual order -------------------------------------------------------------------------- */

static void version_comes_first_then_the_members(void **state)
{
    (void)state;
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(range(), 0);
    RUN_UNTIL(seen_count("member/list") == 1);
    assert_ptr_equal(strstr(buf_str(&seen), "a GET /version\n"), buf_str(&seen));
    assert_int_equal(seen_count("/version"), 1);
    assert_int_equal(seen_count("authenticate"), 0);
    assert_int_equal(range(), 0);
    run_ms(50);
    assert_int_equal(seen_count("\n"), 4);
    assert_int_equal(notes_count("is version 3.4.0"), 1);
}

static void proxy_is_not_asked_for_members(void **state)
{
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    assert_int_equal(range(), 0);
    run_ms(50);
    assert_string_equal(buf_str(&seen), "a GET /version\na POST /v3/kv/range\n");
}

static void holder_counts_from_before_the_send(void **state)
{
    struct outcome outcome;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    assert_int_equal(range(), 0);
    int64_t before = clock_lease_ms(clock_real());
    assert_int_equal(call_run(&outcome, "/kv/range", true, 5000), 0);
    assert_true(outcome.sent_ms >= before && outcome.sent_ms <= clock_lease_ms(clock_real()));
}

/* --- failures of a member --------------------------------------------------------------------- */

static const char *broken_answer; /* of member a; NULL: it is silent */
static int broken_status;

static bool member_a_is_broken(struct fake *fake, struct fake_request *request)
{
    if (fake->name != 'a' || !is_path(request, "/kv/txn")) {
        return false;
    }
    if (broken_answer != NULL) {
        fake_answer(request->peer, broken_status, "%s", broken_answer);
    } else if (broken_status == 0) {
        fake_hang_up(request->peer);
    }
    return true;
}

/* A client that has settled on `a`. */
static void settle(void)
{
    client_open(ETCD_V3, NULL, true, 2);
    assert_int_equal(range(), 0);
    hook = member_a_is_broken;
}

static void member_that_is_gone_costs_nothing(void **state)
{
    struct outcome outcome;
    (void)state;
    client_open(ETCD_V3, NULL, true, 2);
    assert_int_equal(range(), 0);
    fake_stop(&fakes[0]);
    run_ms(20);
    /* even what must not be sent twice was certainly not sent */
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 5000), 0);
    assert_true(outcome.took_ms < 1000);
    assert_int_equal(seen_count("b POST /v3/kv/txn"), 1);
    RUN_UNTIL(switches == 1);
    assert_int_equal(range(), 0); /* and it stays there */
    assert_int_equal(seen_count("b POST /v3/kv/range"), 1);
}

static void what_compares_is_not_sent_twice(void **state)
{
    static const struct {
        int status;
        const char *answer;
    } cases[] = {
        {503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}"},
        {500, "{\"error\":\"raft proposal dropped\",\"code\":2}"},
        {502, "<html>"},
        {200, "<html>"},
        {200, "{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}"},
        {0, NULL}, /* hangs up */
    };
    struct outcome outcome;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settle();
        broken_status = cases[i].status;
        broken_answer = cases[i].answer;
        buf_clear(&seen);
        assert_int_equal(call_run(&outcome, "/kv/txn", false, 5000), ERR_UNKNOWN);
        run_ms(20);
        assert_int_equal(seen_count("txn"), 1);
        hook = NULL;
        assert_int_equal(call_run(&outcome, "/kv/txn", true, 5000), 0);
        assert_int_equal(seen_count("b POST /v3/kv/txn"),
                         1); /* the next one is asked from now on */
        client_close();
    }
}

static void what_may_be_repeated_is_asked_of_the_next(void **state)
{
    struct outcome outcome;
    (void)state;
    settle();
    broken_status = 503;
    broken_answer = "{\"error\":\"etcdserver: no leader\",\"code\":14}";
    assert_int_equal(call_run(&outcome, "/kv/txn", true, 5000), 0);
    assert_int_equal(seen_count("a POST /v3/kv/txn"), 1);
    assert_int_equal(seen_count("b POST /v3/kv/txn"), 1);
}

static void silent_member_gets_its_share_of_the_time(void **state)
{
    struct outcome outcome;
    (void)state;
    settle();
    broken_status = 1;
    broken_answer = NULL;
    assert_int_equal(call_run(&outcome, "/kv/txn", true, 3000), 0);
    assert_true(outcome.took_ms >= 1400 && outcome.took_ms < 2900);
    assert_int_equal(seen_count("b POST /v3/kv/txn"), 1);
}

static void silence_alone_is_unknown_in_time(void **state)
{
    struct outcome outcome;
    (void)state;
    settle();
    broken_status = 1;
    broken_answer = NULL;
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 1000), ERR_UNKNOWN);
    assert_true(outcome.took_ms >= 900 && outcome.took_ms < 2000);
}

static void definite_no_is_told_as_it_is(void **state)
{
    static const struct {
        int status;
        const char *answer;
        int rc;
    } cases[] = {
        {403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}", ERR_REFUSED},
        {429, "{\"error\":\"etcdserver: mvcc: database space exceeded\",\"code\":8}", ERR_LIMIT},
        {404, "{\"error\":\"etcdserver: requested lease not found\",\"code\":5}", ERR_NOT_FOUND},
        {400, "{\"error\":\"etcdserver: duplicate key given in txn request\",\"code\":3}",
         ERR_REFUSED},
        {401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", ERR_REFUSED},
    };
    struct outcome outcome;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settle();
        broken_status = cases[i].status;
        broken_answer = cases[i].answer;
        assert_int_equal(call_run(&outcome, "/kv/txn", i % 2 == 0, 5000), cases[i].rc);
        hook = NULL;
        client_close();
    }
    assert_int_equal(seen_count("b POST"), 0);
}

static bool first_unsure_then_refused(struct fake *fake, struct fake_request *request)
{
    if (!is_path(request, "/kv/txn")) {
        return false;
    }
    if (fake->name == 'a') {
        fake_answer(request->peer, 503,
                    "{\"error\":\"etcdserver: request timed out\",\"code\":14}");
    } else {
        fake_answer(request->peer, 429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}");
    }
    return true;
}

/* The first member may carry it out yet: the second one's no does not undo that. */
static void no_after_an_open_end_is_unknown(void **state)
{
    struct outcome outcome;
    (void)state;
    settle();
    hook = first_unsure_then_refused;
    assert_int_equal(call_run(&outcome, "/kv/txn", true, 5000), ERR_UNKNOWN);
    assert_non_null(strstr(outcome.text, "too many requests"));
}

static bool not_served_by_a(struct fake *fake, struct fake_request *request)
{
    if (fake->name != 'a' || !is_path(request, "/kv/txn")) {
        return false;
    }
    fake_answer(request->peer, 404, "Not Found");
    return true;
}

static void member_that_does_not_serve_the_path_did_nothing(void **state)
{
    struct outcome outcome;
    (void)state;
    settle();
    hook = not_served_by_a;
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 5000), 0);
    assert_int_equal(seen_count("b POST /v3/kv/txn"), 1);
}

static struct outcome second;

static void on_first(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    on_call(arg, rc, answer, err);
    assert_int_equal(call_begin(&second, "/kv/range", true, 5000), 0);
}

static bool silent_to_transactions(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    return is_path(request, "/kv/txn");
}

static void call_made_when_another_is_given_up_is_sent_at_once(void **state)
{
    struct outcome first = {0};
    struct error err = {0};
    struct etcd_call call = {
        .path = "/kv/txn", .body = span_str("{}"), .repeatable = true, .timeout_ms = 300};
    (void)state;
    second = (struct outcome){0};
    hook = silent_to_transactions;
    client_open(ETCD_V3, NULL, true, 2);
    assert_int_equal(range(), 0);
    assert_int_equal(etcd_client_call(client, &call, on_first, &first, &err), 0);
    RUN_UNTIL(second.calls == 1);
    assert_int_equal(first.rc, ERR_UNKNOWN);
    assert_int_equal(second.rc, 0);
    assert_true(second.took_ms < 1000);
}

static void nobody_there_is_told_in_time(void **state)
{
    struct outcome outcome;
    (void)state;
    fake_stop(&fakes[0]);
    fake_stop(&fakes[1]);
    client_open(ETCD_V3, NULL, false, 2);
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 700), ERR_UNAVAILABLE);
    assert_true(outcome.took_ms >= 500 && outcome.took_ms < 1500);
    assert_int_equal(notes_count("no member answers as it should"), 1);
    fake_listen(&fakes[1]);
    assert_int_equal(call_run(&outcome, "/kv/range", true, 5000), 0);
    assert_int_equal(notes_count("' answers"), 1);
}

/* --- discovery -------------------------------------------------------------------------------- */

static void members_of_the_cluster_are_asked_when_the_configured_one_is_gone(void **state)
{
    (void)state;
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(range(), 0);
    RUN_UNTIL(seen_count("member/list") == 1);
    run_ms(50);
    fake_stop(&fakes[0]);
    run_ms(20);
    assert_int_equal(range(), 0);
    assert_int_equal(seen_count("b POST /v3/kv/range"), 1);
    RUN_UNTIL(seen_count("b POST /v3/cluster/member/list") == 1); /* asked again after a failure */
}

static char nowhere[64];

static bool members_are_nowhere(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "member/list")) {
        return false;
    }
    fake_answer(request->peer, 200, "{\"members\":[{\"clientURLs\":[\"%s\"]}]}", nowhere);
    return true;
}

static void advertised_address_that_leads_nowhere_costs_one_failure(void **state)
{
    (void)state;
    (void)snprintf(nowhere, sizeof nowhere, "http://127.0.0.1:%u", free_port());
    hook = members_are_nowhere;
    client_open(ETCD_V3, NULL, false, 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(range(), 0);
    }
    assert_true(switches <= 2);
    assert_true(seen_count("member/list") <= 3);
}

static bool member_list_fails(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "member/list")) {
        return false;
    }
    fake_answer(request->peer, 403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}");
    return true;
}

static void list_that_cannot_be_had_changes_nothing(void **state)
{
    (void)state;
    hook = member_list_fails;
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(range(), 0);
    run_ms(100);
    assert_int_equal(range(), 0);
    assert_int_equal(seen_count("member/list"), 1);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void calls_that_wait_are_bounded_and_each_is_told_once(void **state)
{
    static struct outcome outcomes[ETCD_CALLS_MAX];
    struct outcome more;
    (void)state;
    fake_stop(&fakes[0]);
    client_open(ETCD_V3, NULL, true, 1);
    for (int i = 0; i < ETCD_CALLS_MAX; i++) {
        assert_int_equal(call_begin(&outcomes[i], "/kv/range", true, 300), 0);
    }
    assert_int_equal(call_begin(&more, "/kv/range", true, 300), ERR_LIMIT);
    run_ms(600);
    for (int i = 0; i < ETCD_CALLS_MAX; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].rc, ERR_UNAVAILABLE);
    }
    assert_int_equal(more.calls, 0);
    assert_int_equal(call_begin(&more, "/kv/range", true, 300), 0); /* there is room again */
    RUN_UNTIL(more.calls == 1);
}

static void answer_of_many_pieces_is_read_whole(void **state)
{
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    char *value = mem_alloc(65537);
    memset(value, 'A', 65536);
    value[65536] = '\0';
    store_put("YQ==", value, 0);
    mem_free(value);
    assert_int_equal(range(), 0);
}

/* --- versions --------------------------------------------------------------------------------- */

static bool version_is_old(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (strcmp(request->path, "/version") != 0) {
        return false;
    }
    fake_answer(request->peer, 200, "{\"etcdserver\":\"3.2.9\",\"etcdcluster\":\"3.2.0\"}");
    return true;
}

static void etcd_that_is_too_old_is_named(void **state)
{
    struct outcome outcome;
    (void)state;
    hook = version_is_old;
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(call_run(&outcome, "/kv/range", true, 500), ERR_UNAVAILABLE);
    assert_int_equal(notes_count("is etcd '3.2.0': 3.3 or newer is needed"), 1);
    assert_true(seen_count("/version") < 10); /* with pauses */
}

static bool no_v2_here(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    fake_answer(request->peer, 404, "404 page not found\n");
    return true;
}

static void etcd_without_its_v2_api_is_named(void **state)
{
    struct outcome outcome;
    (void)state;
    hook = no_v2_here;
    client_open(ETCD_V2, NULL, false, 1);
    assert_int_equal(call_run(&outcome, "/v2/keys/a", true, 500), ERR_UNAVAILABLE);
    assert_int_equal(notes_count("does not serve the v2 API: start etcd (below 3.6) with "
                                 "--enable-v2"),
                     1);
    /* The call was never sent: why, is said by what the client asked for itself. */
    assert_non_null(strstr(outcome.text, "no member could be asked in time (last: "));
    assert_non_null(strstr(outcome.text, "--enable-v2"));
    assert_true(seen_count("/v2/machines") < 10);
}

static bool v2_serves(struct fake *fake, struct fake_request *request)
{
    if (strcmp(request->path, "/v2/machines") == 0) {
        fake_answer(request->peer, 200, "%s", fake->url);
    } else {
        fake_answer_with(request->peer, 404, "X-Etcd-Index: 3\r\nX-Etcd-Cluster-Id: 4d\r\n",
                         "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/s\","
                         "\"index\":3}");
    }
    return true;
}

static void v2_call_has_its_form_and_its_password(void **state)
{
    struct outcome outcome;
    struct error err = {0};
    struct etcd_call call = {.method = "PUT",
                             .path = "/v2/keys/a?x=1",
                             .body = span_str("value=1&ttl=3"),
                             .timeout_ms = 3000};
    (void)state;
    hook = v2_serves;
    client_open(ETCD_V2, "root", false, 1);
    outcome = (struct outcome){0};
    assert_int_equal(etcd_client_call(client, &call, on_call, &outcome, &err), 0);
    RUN_UNTIL(outcome.calls == 1);
    assert_int_equal(outcome.rc, ERR_NOT_FOUND);
    assert_non_null(strstr(outcome.text, "Key not found: /s"));
    assert_string_equal(buf_str(&seen), "a GET /v2/machines\na PUT /v2/keys/a?x=1\n");
    assert_non_null(strstr(last_head, "Content-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(last_head, "Authorization: Basic cm9vdDpzZWNyZXQ=\r\n"));
    assert_string_equal(last_text, "value=1&ttl=3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ONE(version_comes_first_then_the_members),
        WITH_ONE(proxy_is_not_asked_for_members),
        WITH_ONE(holder_counts_from_before_the_send),
        WITH_TWO(member_that_is_gone_costs_nothing),
        WITH_TWO(what_compares_is_not_sent_twice),
        WITH_TWO(what_may_be_repeated_is_asked_of_the_next),
        WITH_TWO(silent_member_gets_its_share_of_the_time),
        WITH_TWO(silence_alone_is_unknown_in_time),
        WITH_TWO(definite_no_is_told_as_it_is),
        WITH_TWO(no_after_an_open_end_is_unknown),
        WITH_TWO(member_that_does_not_serve_the_path_did_nothing),
        WITH_TWO(call_made_when_another_is_given_up_is_sent_at_once),
        WITH_TWO(nobody_there_is_told_in_time),
        WITH_TWO(members_of_the_cluster_are_asked_when_the_configured_one_is_gone),
        WITH_ONE(advertised_address_that_leads_nowhere_costs_one_failure),
        WITH_ONE(list_that_cannot_be_had_changes_nothing),
        WITH_ONE(calls_that_wait_are_bounded_and_each_is_told_once),
        WITH_ONE(answer_of_many_pieces_is_read_whole),
        WITH_ONE(etcd_that_is_too_old_is_named),
        WITH_ONE(etcd_without_its_v2_api_is_named),
        WITH_ONE(v2_call_has_its_form_and_its_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
