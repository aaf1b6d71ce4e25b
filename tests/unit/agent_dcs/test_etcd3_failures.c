/* What etcd 3.4.23, and those before and after it, say instead of an answer; and watches. */
#include "agent/dcs/etcd3_codec.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER                                                                                  \
    "\"header\":{\"cluster_id\":\"13455796455940752355\",\"member_id\":\"443629905751424238\"," \
    "\"revision\":\"2\",\"raft_term\":\"2\"}"

static json_t *json(const char *text)
{
    json_t *body = json_loads(text, 0, NULL);
    if (body == NULL) {
        fail_msg("no JSON: %s", text);
    }
    return body;
}

/* --- failures --------------------------------------------------------------------------------- */

struct failure_case {
    int status;
    const char *body; /* NULL: no JSON */
    enum etcd3_failure failure;
};

static void check_failures(const struct failure_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[ERROR_TEXT_BYTES];
        json_t *body = cases[i].body == NULL ? NULL : json(cases[i].body);
        enum etcd3_failure failure = etcd3_failure_of(cases[i].status, body, text);
        if (failure != cases[i].failure) {
            fail_msg("%d %s: %d", cases[i].status, cases[i].body, (int)failure);
        }
        json_decref(body);
    }
}

static void failures_are_told_by_text_and_code(void **state)
{
    static const struct failure_case cases[] = {
        {200, "{}", ETCD3_OK},
        {200, "{" HEADER ",\"kvs\":[]}", ETCD3_OK},
        {404,
         "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: requested "
         "lease not found\",\"code\":5}",
         ETCD3_LEASE_NOT_FOUND},
        {404, "{\"message\":\"etcdserver: requested lease not found\",\"code\":5,\"details\":[]}",
         ETCD3_LEASE_NOT_FOUND}, /* 3.6 */
        {412,
         "{\"error\":\"etcdserver: authentication is not enabled\",\"message\":\"etcdserver: "
         "authentication is not enabled\",\"code\":9}",
         ETCD3_AUTH_OFF},
        {400, "{\"message\":\"etcdserver: authentication is not enabled\",\"code\":9}",
         ETCD3_AUTH_OFF},
        {400, "{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}",
         ETCD3_COMPACTED},
        {400,
         "{\"error\":\"etcdserver: mvcc: required revision is a future revision\",\"code\":11}",
         ETCD3_BAD},
        {401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", ETCD3_AUTHENTICATE},
        {401, "{\"error\":\"something new\",\"code\":16}", ETCD3_AUTHENTICATE},
        {400, "{\"error\":\"etcdserver: user name is empty\",\"code\":3}", ETCD3_AUTHENTICATE},
        {400, "{\"error\":\"etcdserver: revision of auth store is old\",\"code\":3}",
         ETCD3_AUTHENTICATE},
        {400,
         "{\"error\":\"etcdserver: authentication failed, invalid user ID or "
         "password\",\"code\":3}",
         ETCD3_DENIED},
        {403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}", ETCD3_DENIED},
        {403, "{\"message\":\"no\",\"code\":7}", ETCD3_DENIED},
        {503, "{\"error\":\"etcdserver: no leader\",\"code\":14}", ETCD3_ELSEWHERE},
        {503, "{\"error\":\"etcdserver: leader changed\",\"code\":14}", ETCD3_ELSEWHERE},
        {503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}", ETCD3_ELSEWHERE},
        {503,
         "{\"error\":\"etcdserver: request timed out, possibly due to connection "
         "lost\",\"code\":14}",
         ETCD3_ELSEWHERE},
        {503, "{\"error\":\"etcdserver: server stopped\",\"code\":14}", ETCD3_ELSEWHERE},
        {503, "{\"error\":\"etcdserver: unhealthy cluster\",\"code\":14}", ETCD3_ELSEWHERE},
        {412, "{\"error\":\"etcdserver: not leader\",\"code\":9}", ETCD3_ELSEWHERE},
        {500, "{\"error\":\"context deadline exceeded\",\"code\":2}", ETCD3_ELSEWHERE},
        {504, "{\"error\":\"x\",\"code\":4}", ETCD3_ELSEWHERE},
        {200,
         "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\","
         "\"http_status\":\"Service Unavailable\"}}",
         ETCD3_ELSEWHERE},
        {200, "{\"error\":{\"grpc_code\":16,\"message\":\"etcdserver: invalid auth token\"}}",
         ETCD3_AUTHENTICATE},
        {429, "{\"error\":\"etcdserver: mvcc: database space exceeded\",\"code\":8}", ETCD3_FULL},
        {429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}", ETCD3_FULL},
        {400, "{\"error\":\"etcdserver: duplicate key given in txn request\",\"code\":3}",
         ETCD3_BAD},
        {400, "{\"error\":\"etcdserver: too large lease TTL\",\"code\":11}", ETCD3_BAD},
        {400, "{\"error\":\"illegal base64 data at input byte 0\",\"code\":\"3\"}", ETCD3_BAD},
        {501, "{\"error\":\"unknown method\",\"code\":12}", ETCD3_BAD},
    };
    (void)state;
    check_failures(cases, sizeof cases / sizeof cases[0]);
}

/* Whoever waited for a proposal may have stopped waiting: that is no word of what becomes of it. */
static void what_leaves_it_open_is_no_refusal(void **state)
{
    static const struct failure_case cases[] = {
        {408, "{\"error\":\"context canceled\",\"code\":1}", ETCD3_ELSEWHERE},
        {500, "{\"error\":\"raft proposal dropped\",\"code\":2}", ETCD3_ELSEWHERE},
        {409, "{\"error\":\"x\",\"code\":10}", ETCD3_ELSEWHERE},
        {500, "{\"error\":\"x\",\"code\":13}", ETCD3_ELSEWHERE},
        {500, "{\"error\":\"x\",\"code\":15}", ETCD3_ELSEWHERE},
        {200, NULL, ETCD3_ELSEWHERE}, /* cut short, or a proxy's own page */
        {200, "[]", ETCD3_ELSEWHERE},
        {200, "{\"error\":7}", ETCD3_ELSEWHERE},
        {204, NULL, ETCD3_ELSEWHERE},
        {302, NULL, ETCD3_ELSEWHERE},
        {408, NULL, ETCD3_ELSEWHERE},
        {500, NULL, ETCD3_ELSEWHERE},
        {502, NULL, ETCD3_ELSEWHERE},
        {404, NULL, ETCD3_ABSENT},
        {429, NULL, ETCD3_FULL},
        {400, NULL, ETCD3_BAD},
        {405, NULL, ETCD3_BAD},
        {400, "{}", ETCD3_BAD},
    };
    (void)state;
    check_failures(cases, sizeof cases / sizeof cases[0]);
}

static void text_of_any_length_is_cut(void **state)
{
    char text[ERROR_TEXT_BYTES];
    char *words = mem_alloc(100001);
    memset(words, 'x', 100000);
    words[100000] = '\0';
    json_t *body = json_pack("{s:s, s:i}", "message", words, "code", 7);
    (void)state;
    assert_int_equal(etcd3_failure_of(403, body, text), ETCD3_DENIED);
    assert_int_equal(strlen(text), ERROR_TEXT_BYTES - 1);
    json_decref(body);
    mem_free(words);
}

/* --- watch ------------------------------------------------------------------------------------ */

struct told {
    char text[512];
    int count;
};

static void on_event(void *arg, const struct etcd3_event *event)
{
    struct told *told = arg;
    size_t len = strlen(told->text);
    told->count++;
    snprintf(told->text + len, sizeof told->text - len, "%s%s=%s@%lld/%lld ",
             event->deleted ? "-" : "", event->kv.key, event->deleted ? "" : event->kv.value,
             (long long)event->kv.create_revision, (long long)event->kv.mod_revision);
}

static enum etcd3_failure watch_of(const char *text, struct etcd3_watch_answer *ret_answer,
                                   char *ret_text, struct told *ret_told, bool *ret_whole)
{
    json_t *object = json(text);
    enum etcd3_failure failure = etcd3_watch_read(object, ret_answer, ret_text);
    *ret_told = (struct told){0};
    *ret_whole = etcd3_watch_events(object, "/s/x/", on_event, ret_told);
    json_decref(object);
    return failure;
}

static void watch_tells_events_in_order(void **state)
{
    struct etcd3_watch_answer answer;
    char text[ERROR_TEXT_BYTES];
    struct told told;
    bool whole;
    (void)state;
    assert_int_equal(
        watch_of("{\"result\":{" HEADER ",\"created\":true}}", &answer, text, &told, &whole),
        ETCD3_OK);
    assert_true(answer.created && !answer.canceled && whole && told.count == 0);
    assert_int_equal(
        watch_of("{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"L3MveC9h\","
                 "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"value\":\"MQ==\"}},"
                 "{\"type\":\"DELETE\",\"kv\":{\"key\":\"L3MveC9i\",\"mod_revision\":\"4\"}},"
                 "{\"type\":\"PUT\",\"kv\":{\"key\":\"L290aGVy\",\"create_revision\":\"5\","
                 "\"mod_revision\":\"5\"}},{\"type\":1,\"kv\":{\"key\":\"L3MveC9j\","
                 "\"mod_revision\":6}},{\"type\":0,\"kv\":{\"key\":\"L3MveC9j\","
                 "\"create_revision\":7,\"mod_revision\":7}}]}}",
                 &answer, text, &told, &whole),
        ETCD3_OK);
    assert_true(whole);
    assert_string_equal(told.text, "a=1@3/3 -b=@0/4 -c=@0/6 c=@7/7 ");
}

static void watch_says_why_it_ends(void **state)
{
    struct etcd3_watch_answer answer;
    char text[ERROR_TEXT_BYTES];
    struct told told;
    bool whole;
    (void)state;
    /* as 3.4 says it: without a revision and a reason */
    assert_int_equal(
        watch_of("{\"result\":{\"header\":{\"cluster_id\":\"13455796455940752355\",\"member_id\":"
                 "\"443629905751424238\",\"raft_term\":\"2\"},\"canceled\":true,"
                 "\"compact_revision\":\"3\"}}",
                 &answer, text, &told, &whole),
        ETCD3_OK);
    assert_true(answer.canceled);
    assert_int_equal(answer.compact_revision, 3);
    assert_string_equal(text, "");
    assert_int_equal(watch_of("{\"result\":{" HEADER ",\"created\":true,\"canceled\":true,"
                              "\"watch_id\":\"-1\",\"cancel_reason\":\"rpc error: code = "
                              "PermissionDenied\"}}",
                              &answer, text, &told, &whole),
                     ETCD3_OK);
    assert_string_equal(text, "rpc error: code = PermissionDenied");
    assert_int_equal(
        watch_of("{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}", &answer,
                 text, &told, &whole),
        ETCD3_ELSEWHERE);
    assert_string_equal(text, "etcdserver: no leader");
    assert_int_equal(watch_of("{}", &answer, text, &told, &whole), ETCD3_ELSEWHERE);
    assert_int_equal(watch_of("{\"result\":{}}", &answer, text, &told, &whole), ETCD3_BAD);
    assert_int_equal(watch_of("{\"result\":{" HEADER ",\"compact_revision\":\"x\"}}", &answer, text,
                              &told, &whole),
                     ETCD3_BAD);
}

static void event_that_cannot_be_read_is_told(void **state)
{
    static const char *const bad[] = {
        "7",
        "{}",
        "{\"kv\":{\"key\":\"L3MveC9h\"}}",
        "{\"kv\":{\"key\":\"*\",\"mod_revision\":1,\"create_revision\":1}}",
        "{\"kv\":{\"key\":\"L3MveC9h\",\"mod_revision\":1}}", /* a put is created at some time */
        "{\"kv\":{\"key\":\"L3MveC9h\",\"mod_revision\":-1,\"create_revision\":1}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct etcd3_watch_answer answer;
        char text[ERROR_TEXT_BYTES];
        struct told told;
        bool whole;
        char *object = mem_printf("{\"result\":{" HEADER ",\"events\":[%s]}}", bad[i]);
        assert_int_equal(watch_of(object, &answer, text, &told, &whole), ETCD3_OK);
        if (whole || told.count != 0) {
            fail_msg("taken: %s", bad[i]);
        }
        mem_free(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_told_by_text_and_code),
        cmocka_unit_test(what_leaves_it_open_is_no_refusal),
        cmocka_unit_test(text_of_any_length_is_cut),
        cmocka_unit_test(watch_tells_events_in_order),
        cmocka_unit_test(watch_says_why_it_ends),
        cmocka_unit_test(event_that_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
