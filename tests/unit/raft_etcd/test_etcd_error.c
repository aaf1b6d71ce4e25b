/* Codes, statuses and texts as etcd 3.4.23 was seen to answer. */
#include "raft/etcd/etcd_error.h"
#include "tests/unit/raft_etcd/golden.h"

static void codes_have_the_statuses_of_the_gateway(void **state)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {
        {200, "OK"},
        {408, "Request Timeout"},
        {500, "Internal Server Error"},
        {400, "Bad Request"},
        {504, "Gateway Timeout"},
        {404, "Not Found"},
        {409, "Conflict"},
        {403, "Forbidden"},
        {429, "Too Many Requests"},
        {412, "Precondition Failed"},
        {409, "Conflict"},
        {400, "Bad Request"},
        {501, "Not Implemented"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {500, "Internal Server Error"},
        {401, "Unauthorized"},
        {500, "Internal Server Error"}, /* none of theirs */
    };
    char body[256];
    struct buf out = BUF_INIT;
    (void)state;
    for (int code = 0; code < (int)(sizeof known / sizeof known[0]); code++) {
        assert_int_equal(grpc_http_status((enum grpc_code)code), known[code].status);
        (void)snprintf(body, sizeof body,
                       "{\"error\":{\"grpc_code\":%d,\"http_code\":%d,\"message\":\"etcdserver: no "
                       "leader\",\"http_status\":\"%s\"}}",
                       code, known[code].status, known[code].text);
        buf_clear(&out);
        etcd_error_stream_body((enum grpc_code)code, span_str("etcdserver: no leader"), &out);
        assert_string_equal(buf_str(&out), body);
    }
    buf_free(&out);
}

static void texts_have_their_codes(void **state)
{
    static const struct {
        enum etcd_error error;
        int code;
        const char *text;
    } known[] = {
        {ETCD_ERROR_LEASE_NOT_FOUND, 5, "etcdserver: requested lease not found"},
        {ETCD_ERROR_LEASE_EXISTS, 9, "etcdserver: lease already exists"},
        {ETCD_ERROR_LEASE_TTL_TOO_LARGE, 11, "etcdserver: too large lease TTL"},
        {ETCD_ERROR_EMPTY_KEY, 3, "etcdserver: key is not provided"},
        {ETCD_ERROR_TOO_MANY_OPS, 3, "etcdserver: too many operations in txn request"},
        {ETCD_ERROR_FUTURE_REVISION, 11,
         "etcdserver: mvcc: required revision is a future revision"},
        {ETCD_ERROR_COMPACTED, 11, "etcdserver: mvcc: required revision has been compacted"},
        {ETCD_ERROR_AUTH_NOT_ENABLED, 9, "etcdserver: authentication is not enabled"},
        {ETCD_ERROR_PERMISSION_DENIED, 7, "etcdserver: permission denied"},
        {ETCD_ERROR_INVALID_AUTH_TOKEN, 16, "etcdserver: invalid auth token"},
        {ETCD_ERROR_NO_LEADER, 14, "etcdserver: no leader"},
        {ETCD_ERROR_TIMEOUT, 14, "etcdserver: request timed out"},
        {ETCD_ERROR_NO_SPACE, 8, "etcdserver: mvcc: database space exceeded"},
        {ETCD_ERROR_DEADLINE_EXCEEDED, 2, "context deadline exceeded"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(etcd_error_code(known[i].error), known[i].code);
        assert_string_equal(etcd_error_text(known[i].error), known[i].text);
    }
    for (int i = 0; i < ETCD_ERROR_COUNT; i++) { /* all others say who speaks */
        const char *text = etcd_error_text((enum etcd_error)i);
        assert_true(strncmp(text, "etcdserver: ", 12) == 0 || i == ETCD_ERROR_DEADLINE_EXCEEDED);
        assert_true(etcd_error_code((enum etcd_error)i) != GRPC_OK);
    }
}

static void the_body_of_a_refusal_is_that_of_the_gateway(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    etcd_error_body(GRPC_INVALID_ARGUMENT,
                    span_str("invalid character '\\'' looking for beginning of value"), &out);
    assert_string_equal(buf_str(&out),
                        "{\"error\":\"invalid character '\\\\'' looking for beginning of value\","
                        "\"message\":\"invalid character '\\\\'' looking for beginning of value\","
                        "\"code\":3}");
    buf_free(&out);
}

static void v2_errors_have_their_bodies(void **state)
{
    static const struct {
        enum etcd_v2_error error;
        int status;
        const char *cause;
        uint64_t index;
        const char *body;
    } known[] = {
        {ETCD_V2_KEY_NOT_FOUND, 404, "/none", 23,
         "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/none\",\"index\":23}\n"},
        {ETCD_V2_COMPARE_FAILED, 412, "[zz != 1] [1 != 14]", 14,
         "{\"errorCode\":101,\"message\":\"Compare failed\",\"cause\":\"[zz != 1] [1 != "
         "14]\",\"index\":14}\n"},
        {ETCD_V2_NOT_FILE, 403, "/a", 17,
         "{\"errorCode\":102,\"message\":\"Not a file\",\"cause\":\"/a\",\"index\":17}\n"},
        {ETCD_V2_NOT_DIR, 400, "/a/b", 17,
         "{\"errorCode\":104,\"message\":\"Not a directory\",\"cause\":\"/a/b\",\"index\":17}\n"},
        {ETCD_V2_EXISTS, 412, "/a/b", 15,
         "{\"errorCode\":105,\"message\":\"Key already "
         "exists\",\"cause\":\"/a/b\",\"index\":15}\n"},
        {ETCD_V2_ROOT_READ_ONLY, 400, "/", 17,
         "{\"errorCode\":107,\"message\":\"Root is read only\",\"cause\":\"/\",\"index\":17}\n"},
        {ETCD_V2_DIR_NOT_EMPTY, 403, "/q", 21,
         "{\"errorCode\":108,\"message\":\"Directory not empty\",\"cause\":\"/q\",\"index\":21}\n"},
        {ETCD_V2_UNAUTHORIZED, 401, "Insufficient credentials", 0,
         "{\"errorCode\":110,\"message\":\"The request requires user authentication\",\"cause\":"
         "\"Insufficient credentials\",\"index\":0}\n"},
        {ETCD_V2_RAFT_INTERNAL, 500, "etcdserver: request timed out", 0,
         "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: request "
         "timed out\",\"index\":0}\n"},
        {ETCD_V2_LEADER_ELECT, 500, "<\xff>", 0,
         "{\"errorCode\":301,\"message\":\"During Leader "
         "Election\",\"cause\":\"\\u003c\\ufffd\\u003e\",\"index\":0}\n"},
        {ETCD_V2_WATCHER_CLEARED, 400, "", 1,
         "{\"errorCode\":400,\"message\":\"watcher is cleared due to etcd "
         "recovery\",\"index\":1}\n"},
        {ETCD_V2_EVENT_INDEX_CLEARED, 400, "the requested history has been cleared [10/3]",
         18446744073709551615U,
         "{\"errorCode\":401,\"message\":\"The event in requested index is outdated and "
         "cleared\",\"cause\":\"the requested history has been cleared "
         "[10/3]\",\"index\":18446744073709551615}\n"},
    };
    struct buf out = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        buf_clear(&out);
        etcd_v2_error_body(known[i].error, span_str(known[i].cause), known[i].index, &out);
        assert_string_equal(buf_str(&out), known[i].body);
        assert_int_equal(etcd_v2_error_status(known[i].error), known[i].status);
    }
    buf_free(&out);
}

static void v2_headers_are_hex_and_decimal(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    etcd_v2_headers(0xcdf818194e3a8c32, 4, 6, 2, &out);
    assert_string_equal(buf_str(&out), "X-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Etcd-Index: 4\r\n"
                                       "X-Raft-Index: 6\r\nX-Raft-Term: 2\r\n");
    buf_clear(&out);
    etcd_v2_error_headers(0x1, 0, &out);
    assert_string_equal(buf_str(&out), "X-Etcd-Cluster-Id: 1\r\nX-Etcd-Index: 0\r\n");
    buf_clear(&out);
    etcd_v2_cluster_header(0xcdf818194e3a8c32, &out);
    assert_string_equal(buf_str(&out), "X-Etcd-Cluster-Id: cdf818194e3a8c32\r\n");
    buf_clear(&out);
    etcd_v2_cluster_header(0, &out); /* it is not known yet */
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_the_statuses_of_the_gateway),
        cmocka_unit_test(texts_have_their_codes),
        cmocka_unit_test(the_body_of_a_refusal_is_that_of_the_gateway),
        cmocka_unit_test(v2_errors_have_their_bodies),
        cmocka_unit_test(v2_headers_are_hex_and_decimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
