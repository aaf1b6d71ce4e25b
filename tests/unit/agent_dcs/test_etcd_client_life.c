/* Tokens, streams, and closing at every moment. */
#include "tests/unit/agent_dcs/client_fixture.h"

/* --- tokens ----------------------------------------------------------------------------------- */

static int tokens_given;
static int token_wanted; /* the last that is not accepted yet */

static bool has_token(const char *head, int number)
{
    char text[64];
    (void)snprintf(text, sizeof text, "\r\nAuthorization: token-%d\r\n", number);
    return strstr(head, text) != NULL;
}

static bool authenticates(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (is_path(request, "/auth/authenticate")) {
        assert_string_equal(request->text, "{\"name\":\"root\",\"password\":\"secret\"}");
        fake_answer(request->peer, 200, "{\"header\":{},\"token\":\"token-%d\"}", ++tokens_given);
        return true;
    }
    if (strcmp(request->path, "/version") == 0 || is_path(request, "member/list")) {
        return false;
    }
    for (int i = token_wanted; i <= tokens_given; i++) {
        if (has_token(request->head, i)) {
            return false;
        }
    }
    fake_answer(request->peer, 401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}");
    return true;
}

static void token_is_fetched_before_the_first_call(void **state)
{
    (void)state;
    tokens_given = 0;
    token_wanted = 1;
    hook = authenticates;
    client_open(ETCD_V3, "root", false, 1);
    assert_int_equal(range(), 0);
    assert_ptr_equal(strstr(buf_str(&seen), "a GET /version\na POST /v3/auth/authenticate\n"),
                     buf_str(&seen));
    assert_int_equal(tokens_given, 1);
}

static void token_that_has_expired_is_renewed_once_and_the_call_repeated(void **state)
{
    struct outcome outcome;
    (void)state;
    tokens_given = 0;
    token_wanted = 1;
    hook = authenticates;
    client_open(ETCD_V3, "root", true, 1);
    assert_int_equal(range(), 0);
    token_wanted = 2;
    /* nothing was done: what compares is repeated as well */
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 5000), 0);
    assert_int_equal(tokens_given, 2);
    token_wanted = 100;
    assert_int_equal(call_run(&outcome, "/kv/txn", false, 5000), ERR_REFUSED);
    assert_int_equal(tokens_given, 3);
    assert_non_null(strstr(outcome.text, "invalid auth token"));
}

static struct fake_peer *late; /* whose call is answered when another one has a new token already */

static bool answers_the_first_late(struct fake *fake, struct fake_request *request)
{
    if (late == NULL && is_path(request, "/kv/txn")) {
        late = request->peer;
        return true;
    }
    return authenticates(fake, request);
}

static void token_is_renewed_once_for_all_that_were_sent_with_it(void **state)
{
    struct outcome first;
    struct outcome second;
    (void)state;
    tokens_given = 0;
    token_wanted = 1;
    late = NULL;
    hook = answers_the_first_late;
    client_open(ETCD_V3, "root", true, 1);
    assert_int_equal(range(), 0);
    token_wanted = 2;
    assert_int_equal(call_begin(&first, "/kv/txn", false, 5000), 0);
    RUN_UNTIL(late != NULL);
    assert_int_equal(call_run(&second, "/kv/txn", false, 5000), 0);
    assert_int_equal(tokens_given, 2);
    fake_answer(late, 401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}");
    RUN_UNTIL(first.calls == 1);
    assert_int_equal(first.rc, 0);
    assert_int_equal(tokens_given, 2);
}

static struct fake_peer *held; /* whose member list is not answered yet */

static bool holds_the_member_list(struct fake *fake, struct fake_request *request)
{
    if (is_path(request, "member/list")) {
        held = request->peer;
        return true;
    }
    return authenticates(fake, request);
}

static void token_found_old_while_the_members_are_asked_is_renewed(void **state)
{
    struct outcome outcome;
    (void)state;
    tokens_given = 0;
    token_wanted = 1;
    held = NULL;
    hook = holds_the_member_list;
    client_open(ETCD_V3, "root", false, 1);
    assert_int_equal(range(), 0); /* calls go on meanwhile */
    RUN_UNTIL(held != NULL);
    token_wanted = 2;
    assert_int_equal(call_begin(&outcome, "/kv/txn", false, 5000), 0);
    RUN_UNTIL(seen_count("/kv/txn") == 1);
    run_ms(20);
    fake_answer(held, 200, "{\"members\":[]}");
    RUN_UNTIL(outcome.calls == 1);
    assert_int_equal(outcome.rc, 0);
    assert_int_equal(seen_count("/kv/txn"), 2);
    assert_int_equal(tokens_given, 2);
}

static const char *no_token;
static int no_token_status;

static bool gives_no_token(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (no_token == NULL || !is_path(request, "/auth/authenticate")) {
        return no_token != NULL ? false : authenticates(fake, request);
    }
    fake_answer(request->peer, no_token_status, "%s", no_token);
    return true;
}

static void wrong_password_is_told_at_once(void **state)
{
    struct outcome outcome;
    (void)state;
    tokens_given = 0;
    token_wanted = 1;
    no_token_status = 400;
    no_token = "{\"error\":\"etcdserver: authentication failed, invalid user ID or password\","
               "\"code\":3}";
    hook = gives_no_token;
    client_open(ETCD_V3, "root", false, 1);
    assert_int_equal(call_run(&outcome, "/kv/range", true, 10000), ERR_REFUSED);
    assert_true(outcome.took_ms < 1000);
    assert_non_null(strstr(outcome.text, "invalid user ID or password"));
    assert_int_equal(call_run(&outcome, "/kv/range", true, 10000), ERR_REFUSED);
    assert_int_equal(notes_count("is not accepted"), 1); /* said once */
    no_token = NULL;
    assert_int_equal(call_run(&outcome, "/kv/range", true, 10000), 0);
}

static void authentication_that_is_off_needs_no_token(void **state)
{
    (void)state;
    no_token_status = 412;
    no_token = "{\"error\":\"etcdserver: authentication is not enabled\",\"code\":9}";
    hook = gives_no_token;
    client_open(ETCD_V3, "root", false, 1);
    assert_int_equal(range(), 0);
    assert_null(strstr(last_head, "Authorization"));
}

/* Whatever it says instead of a token, it is asked again after a pause. */
static void member_that_gives_no_token_is_not_asked_without_a_pause(void **state)
{
    static const struct {
        int status;
        const char *answer;
    } cases[] = {{200, "{}"},
                 {200, "{\"token\":\"a\\r\\nb\"}"},
                 {200, "{\"token\":\"\"}"},
                 {404, "Not Found"},
                 {429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}"},
                 {500, "x"}};
    struct outcome outcome;
    (void)state;
    hook = gives_no_token;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        no_token_status = cases[i].status;
        no_token = cases[i].answer;
        buf_clear(&seen);
        client_open(ETCD_V3, "root", false, 1);
        assert_int_equal(call_run(&outcome, "/kv/range", true, 400), ERR_UNAVAILABLE);
        assert_true(seen_count("authenticate") >= 1 && seen_count("authenticate") < 8);
        client_close();
    }
}

/* --- streams ---------------------------------------------------------------------------------- */

struct stream {
    struct etcd_stream *stream;
    int objects;
    int ends;
    int rc;
    bool cancel_in_object;
};

static void on_object(void *arg, const json_t *object)
{
    struct stream *stream = arg;
    assert_int_equal(stream->ends, 0);
    assert_true(json_is_object(object) || json_is_array(object));
    stream->objects++;
    if (stream->cancel_in_object) {
        etcd_stream_cancel(stream->stream);
    }
}

static void on_end(void *arg, int rc, const struct error *err)
{
    struct stream *stream = arg;
    stream->ends++;
    stream->rc = rc;
    assert_int_equal(err->code, rc);
}

static int stream_begin(struct stream *stream)
{
    struct error err = {0};
    struct etcd_call call = {.path = "/watch", .body = span_str("{}")};
    *stream = (struct stream){0};
    int rc = etcd_client_stream(client, &call, on_object, on_end, stream, &stream->stream, &err);
    assert_int_equal(stream->objects + stream->ends, 0);
    return rc;
}

static void stream_open(struct stream *stream)
{
    assert_int_equal(range(), 0);
    assert_int_equal(stream_begin(stream), 0);
    RUN_UNTIL(stream->objects == 1);
}

static void stream_waits_for_the_setup(void **state)
{
    struct stream stream;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    assert_int_equal(stream_begin(&stream), ERR_UNAVAILABLE);
    run_ms(20);
    assert_int_equal(stream.ends, 0);
}

static void stream_gives_objects_until_it_is_cut(void **state)
{
    struct stream stream;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    stream_open(&stream);
    fake_tell(&fakes[0], "{\"a\":1}\n{\"b\"");
    RUN_UNTIL(stream.objects == 2);
    fake_tell(&fakes[0], ":2}\n{");
    RUN_UNTIL(stream.objects == 3);
    fake_hang_up_all(&fakes[0]);
    RUN_UNTIL(stream.ends == 1);
    assert_true(stream.rc != 0 && stream.rc != ERR_CANCELED);
    run_ms(20);
    assert_int_equal(stream.ends, 1);
}

static bool stream_ends_at_once(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/watch")) {
        return false;
    }
    fake_answer(request->peer, 200, "{\"one\":1}");
    return true;
}

static void stream_that_ends_in_order_is_closed(void **state)
{
    struct stream stream;
    (void)state;
    hook = stream_ends_at_once;
    client_open(ETCD_V3, NULL, true, 1);
    assert_int_equal(range(), 0);
    assert_int_equal(stream_begin(&stream), 0);
    RUN_UNTIL(stream.ends == 1);
    assert_int_equal(stream.objects, 1);
    assert_int_equal(stream.rc, ERR_CLOSED);
}

static void stream_of_garbage_ends(void **state)
{
    struct stream stream;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    stream_open(&stream);
    fake_tell(&fakes[0], "{\"a\":1} }{");
    RUN_UNTIL(stream.ends == 1);
    assert_int_equal(stream.objects, 2);
}

static void stream_may_be_canceled_in_its_object(void **state)
{
    struct stream stream;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    stream_open(&stream);
    stream.cancel_in_object = true;
    fake_tell(&fakes[0], "{\"a\":1}{\"b\":1}{\"c\":1}");
    RUN_UNTIL(stream.ends == 1);
    assert_int_equal(stream.objects, 2);
    assert_int_equal(stream.rc, ERR_CANCELED);
    run_ms(20);
    assert_int_equal(stream.ends, 1);
}

static void stream_ends_when_another_member_is_asked(void **state)
{
    struct stream stream;
    struct stream next;
    (void)state;
    client_open(ETCD_V3, NULL, true, 2);
    stream_open(&stream);
    etcd_client_leave(client, fakes[1].url, "was the present one before"); /* late */
    run_ms(20);
    assert_int_equal(stream.ends + switches, 0);
    etcd_client_leave(client, fakes[0].url, "says so");
    assert_int_equal(stream.ends + switches, 0); /* not inside */
    RUN_UNTIL(stream.ends == 1);
    assert_int_equal(stream.rc, ERR_CANCELED);
    assert_int_equal(switches, 1);
    assert_int_equal(stream_begin(&next), 0);
    RUN_UNTIL(next.objects == 1);
    assert_int_equal(seen_count("b POST /v3/watch"), 1);
    etcd_stream_cancel(next.stream);
    RUN_UNTIL(next.ends == 1);
}

/* --- closing ---------------------------------------------------------------------------------- */

static const char *silent_path;
static bool reached;

static bool is_silent(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, silent_path)) {
        return is_path(request, "/auth/authenticate") && authenticates(fake, request);
    }
    reached = true;
    return true;
}

static void closing_in_any_phase_ends_every_call_once(void **state)
{
    static const char *const phases[] = {"/version", "/auth/authenticate", "/cluster/member/list",
                                         "/kv/range", "/kv/txn"};
    (void)state;
    hook = is_silent;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        struct outcome outcomes[2];
        silent_path = phases[i];
        reached = false;
        client_open(ETCD_V3, "root", false, 1);
        assert_int_equal(call_begin(&outcomes[0], "/kv/range", true, 5000), 0);
        assert_int_equal(call_begin(&outcomes[1], "/kv/txn", false, 5000), 0);
        RUN_UNTIL(reached);
        client_close();
        run_ms(10);
        assert_int_equal(outcomes[0].calls, 1);
        assert_int_equal(outcomes[1].calls, 1);
        assert_true(outcomes[0].rc == ERR_CANCELED || outcomes[1].rc == ERR_CANCELED ||
                    i == 2 /* calls go on while the members are asked */);
        if (i < 2) {
            assert_int_equal(outcomes[0].rc, ERR_CANCELED);
            assert_int_equal(outcomes[1].rc, ERR_CANCELED);
        }
    }
}

static void closing_before_the_first_turn_ends_every_call(void **state)
{
    struct outcome outcome;
    (void)state;
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(call_begin(&outcome, "/kv/range", true, 5000), 0);
    client_close();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.rc, ERR_CANCELED);
}

static void closing_in_a_pause_ends_every_call(void **state)
{
    struct outcome outcome;
    (void)state;
    fake_stop(&fakes[0]);
    client_open(ETCD_V3, NULL, false, 1);
    assert_int_equal(call_begin(&outcome, "/kv/range", true, 5000), 0);
    RUN_UNTIL(notes_count("no member answers") == 1);
    run_ms(20);
    client_close();
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.rc, ERR_CANCELED);
}

static void closing_ends_streams(void **state)
{
    struct stream stream;
    (void)state;
    client_open(ETCD_V3, NULL, true, 1);
    stream_open(&stream);
    client_close();
    assert_int_equal(stream.ends, 1);
    assert_int_equal(stream.rc, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ONE(token_is_fetched_before_the_first_call),
        WITH_ONE(token_that_has_expired_is_renewed_once_and_the_call_repeated),
        WITH_ONE(token_is_renewed_once_for_all_that_were_sent_with_it),
        WITH_ONE(token_found_old_while_the_members_are_asked_is_renewed),
        WITH_ONE(wrong_password_is_told_at_once),
        WITH_ONE(authentication_that_is_off_needs_no_token),
        WITH_ONE(member_that_gives_no_token_is_not_asked_without_a_pause),
        WITH_ONE(stream_waits_for_the_setup),
        WITH_ONE(stream_gives_objects_until_it_is_cut),
        WITH_ONE(stream_that_ends_in_order_is_closed),
        WITH_ONE(stream_of_garbage_ends),
        WITH_ONE(stream_may_be_canceled_in_its_object),
        WITH_TWO(stream_ends_when_another_member_is_asked),
        WITH_ONE(closing_in_any_phase_ends_every_call_once),
        WITH_ONE(closing_before_the_first_turn_ends_every_call),
        WITH_ONE(closing_in_a_pause_ends_every_call),
        WITH_ONE(closing_ends_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
