/* The gateway's JSON: every body of tests/golden/etcd/gateway.txt was sent to etcd 3.4.23, and what
 * it said of it is what we say. */
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_json_scan.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_text.h"
#include "tests/unit/raft_etcd/golden.h"

static struct arena arena;
static struct error err;

static int decode(const struct etcd_type *type, struct span text, void *message)
{
    arena_free(&arena);
    arena_init(&arena, ETCD_ARENA_BUDGET(text.len));
    memset(&err, 0, sizeof err);
    memset(message, 0, type->bytes);
    return etcd_json_decode(type, text, &arena, message, &err);
}

static int decode_range(const char *text, struct etcd_range_request *range)
{
    return decode(&etcd_type_range_request, span_str(text), range);
}

static void check_gateway_line(char *const columns[GOLDEN_COLUMNS])
{
    const struct etcd_type *type = etcd_type_find(columns[0]);
    struct buf body = BUF_INIT;
    golden_unquote(columns[1], &body);
    void *message = mem_alloc(type->bytes);
    (void)decode(type, buf_span(&body), message);
    if (strcmp(err.text, columns[2]) != 0) {
        fail_msg("%s: '%s', not '%s'", columns[1], err.text, columns[2]);
    }
    mem_free(message);
    buf_free(&body);
}

static void bodies_are_judged_as_etcd_does(void **state)
{
    (void)state;
    assert_true(golden_each("tests/golden/etcd/gateway.txt", check_gateway_line) > 80);
}

static void numbers_come_in_quotes_or_not(void **state)
{
    struct etcd_range_request range;
    (void)state;
    assert_int_equal(decode_range("{\"limit\":\"7\",\"revision\":8}", &range), 0);
    assert_int_equal(range.limit, 7);
    assert_int_equal(range.revision, 8);
    assert_int_equal(
        decode_range("{\"limit\":-9223372036854775808,\"revision\":\"9223372036854775807\"}",
                     &range),
        0);
    assert_true(range.limit == INT64_MIN && range.revision == INT64_MAX);
    assert_int_equal(decode_range("{\"limit\":9223372036854775808}", &range), ERR_INVALID);
    assert_int_equal(decode_range("{\"limit\":\"-\"}", &range), ERR_INVALID);
    assert_int_equal(decode_range("{\"limit\":\"  \"}", &range), ERR_INVALID);
    assert_string_equal(err.text, "unexpected end of JSON input");

    struct etcd_move_leader_request move;
    const struct etcd_type *type = &etcd_type_move_leader_request;
    assert_int_equal(decode(type, span_str("{\"targetID\":\"18446744073709551615\"}"), &move), 0);
    assert_true(move.target_id == UINT64_MAX);
    assert_int_equal(decode(type, span_str("{\"targetID\":18446744073709551616}"), &move),
                     ERR_INVALID);
    assert_int_equal(decode(type, span_str("{\"targetID\":-1}"), &move), ERR_INVALID);
    assert_string_equal(err.text, "json: cannot unmarshal number -1 into Go value of type uint64");

    struct etcd_hash_response hash;
    type = &etcd_type_hash_response;
    assert_int_equal(decode(type, span_str("{\"hash\":4294967295}"), &hash), 0);
    assert_true(hash.hash == UINT32_MAX);
    assert_int_equal(decode(type, span_str("{\"hash\":4294967296}"), &hash), ERR_INVALID);
    assert_string_equal(err.text,
                        "json: cannot unmarshal number 4294967296 into Go value of type uint32");
}

static void enums_come_by_name_or_number(void **state)
{
    struct etcd_range_request range;
    (void)state;
    assert_int_equal(decode_range("{\"sort_order\":\"DESCEND\",\"sortTarget\":3}", &range), 0);
    assert_int_equal(range.sort_order, ETCD_SORT_DESCEND);
    assert_int_equal(range.sort_target, ETCD_SORT_MOD);
    assert_int_equal(decode_range("{\"sort_order\":-2147483649}", &range), ERR_INVALID);
    assert_int_equal(decode_range("{\"sort_order\":-7}", &range), 0);
    assert_int_equal(range.sort_order, -7);
    assert_int_equal(decode_range("{\"sort_order\":\"\\u0001\xff\xc3\xa9\"}", &range), ERR_INVALID);
    assert_string_equal(err.text, "unknown value \"\\\\u0001\\xff\xc3\xa9\" for enum "
                                  "etcdserverpb.RangeRequest_SortOrder");
}

static void names_come_in_both_forms(void **state)
{
    struct etcd_range_request range;
    (void)state;
    assert_int_equal(decode_range("{\"maxCreateRevision\":1,\"min_mod_revision\":2}", &range), 0);
    assert_true(range.max_create_revision == 1 && range.min_mod_revision == 2);
    /* the camel wins, wherever it stands; of equal ones the last */
    assert_int_equal(decode_range("{\"keysOnly\":true,\"keys_only\":false}", &range), 0);
    assert_true(range.keys_only);
    assert_int_equal(decode_range("{\"limit\":1,\"limit\":2}", &range), 0);
    assert_int_equal(range.limit, 2);
    /* neither of these is a name */
    assert_int_equal(decode_range("{\"keysonly\":true,\"keys_Only\":true,\"KeysOnly\":true,"
                                  "\"keysOnl\":true,\"keysOnlyy\":true}",
                                  &range),
                     0);
    assert_false(range.keys_only);
    char name[600];
    memset(name, 'x', sizeof name);
    memcpy(name, "{\"", 2);
    (void)snprintf(name + 590, 10, "\":1}");
    assert_int_equal(decode_range(name, &range), 0);
}

static void check_key(const char *json, const char *want, size_t len)
{
    struct etcd_range_request range;
    if (decode_range(json, &range) != 0) {
        fail_msg("%s: %s", json, err.text);
    }
    assert_true(span_equal(range.key, span_of(want, len)));
}

static void check_bad_key(const char *json, const char *text)
{
    struct etcd_range_request range;
    assert_int_equal(decode_range(json, &range), ERR_INVALID);
    assert_string_equal(err.text, text);
}

static void bytes_are_base64(void **state)
{
    (void)state;
    check_key("{\"key\":\"\"}", "", 0);
    check_key("{\"key\":\"AP8=\"}", "\0\xff", 2);
    check_key("{\"key\":\"AP8A\"}", "\0\xff\0", 3);
    check_key("{\"key\":\"//+/\"}", "\xff\xff\xbf", 3);
    check_key("{\"key\":\"\\/\\/+\\/\"}", "\xff\xff\xbf", 3);
    check_key("{\"key\":\"YW\\r\\nI\\n=\\n\"}", "ab", 2);
    check_key("{\"key\":\"YQ=\\n=\"}", "a", 1);
    check_bad_key("{\"key\":\"YWI=x\"}", "illegal base64 data at input byte 4");
    check_bad_key("{\"key\":\"YQ=x\"}", "illegal base64 data at input byte 2");
    check_bad_key("{\"key\":\"YQ=\"}", "illegal base64 data at input byte 3");
    check_bad_key("{\"key\":\"Y===\"}", "illegal base64 data at input byte 1");
    check_bad_key("{\"key\":\"=\"}", "illegal base64 data at input byte 0");
    check_bad_key("{\"key\":\"YWJjY\"}", "illegal base64 data at input byte 4");
    check_bad_key("{\"key\":[97]}", "json: cannot unmarshal array into Go value of type []uint8");
}

static void texts_are_resolved_as_in_go(void **state)
{
    static const char json[] =
        "{\"name\":\"a\\u00e9\\ud83d\\ude00\\ud83dx\\n\\t\\b\\f\\r\\/\\\\\\\"\","
        "\"password\":\"\xff\xc3\xa9\\udc00\"}";
    static const char name[] = "a\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbdx\n\t\b\f\r/\\\"";
    struct etcd_authenticate_request request;
    (void)state;
    assert_int_equal(decode(&etcd_type_authenticate_request, span_str(json), &request), 0);
    assert_true(span_equal_str(request.name, name));
    assert_true(span_equal_str(request.password, "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"));
    assert_int_equal(decode(&etcd_type_authenticate_request,
                            span_str("{\"name\":\"\\ud83d\\u0041\"}"), &request),
                     0);
    assert_true(span_equal_str(request.name, "\xef\xbf\xbd"
                                             "A"));
    assert_int_equal(decode(&etcd_type_authenticate_request, span_str("{\"name\":5}"), &request),
                     ERR_INVALID);
    assert_string_equal(err.text, "json: cannot unmarshal number into Go value of type string");
}

static void texts_are_written_as_in_go(void **state)
{
    static const char odd[] = "\0\xff\xed\xa0\x80\xf4\x90\x80\x80\xc1\xbf\xe0\x80\x80\xf0\x80\x80"
                              "\x80\xf0\x9f\x98\x80\xf0\x9f";
    struct etcd_authenticate_request request = {
        .name = span_str("<a>&\"\\\n\r\t\b\x7f\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xc3\xa9"),
        .password = span_of(odd, sizeof odd - 1)};
    struct buf out = BUF_INIT;
    (void)state;
    etcd_json_encode(&etcd_type_authenticate_request, &request, &out);
    assert_string_equal(
        buf_str(&out),
        "{\"name\":"
        "\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\r\\t\\u0008\x7f\\u2028\\u2029\xe2\x80\xaa\xc3\xa9\","
        "\"password\":"
        "\"\\u0000\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"
        "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80\\ufffd\\ufffd\"}");
    buf_free(&out);
}

static void one_of_a_oneof_only(void **state)
{
    struct etcd_compare compare;
    struct etcd_watch_request watch;
    (void)state;
    assert_int_equal(
        decode(&etcd_type_compare, span_str("{\"value\":\"\",\"version\":null}"), &compare), 0);
    assert_int_equal(compare.which, ETCD_UNION_VALUE);
    assert_int_equal(decode(&etcd_type_compare, span_str("{\"version\":0,\"lease\":0}"), &compare),
                     ERR_INVALID);
    assert_string_equal(err.text, "oneof Compare.target_union is already set");
    assert_int_equal(
        decode(&etcd_type_watch_request, span_str("{\"progress_request\":{}}"), &watch), 0);
    assert_int_equal(watch.which, ETCD_WATCH_PROGRESS);
    assert_non_null(watch.progress_request);
    assert_int_equal(
        decode(&etcd_type_watch_request, span_str("{\"create_request\":null}"), &watch), 0);
    assert_int_equal(watch.which, 0);
}

static void an_element_that_is_null_is_empty(void **state)
{
    struct etcd_txn_request txn;
    (void)state;
    assert_int_equal(decode(&etcd_type_txn_request, span_str("{\"compare\":[ null , {} ]}"), &txn),
                     0);
    assert_int_equal(txn.compare_count, 2);
    assert_int_equal(txn.compare[0].which, 0);
}

static void put_many(struct buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        buf_put_str(out, text);
    }
}

static int decode_nested(size_t depth)
{
    struct etcd_txn_request txn;
    struct buf text = BUF_INIT;
    put_many(&text, "{\"success\":[{\"request_txn\":", depth);
    buf_put_str(&text, "{}");
    put_many(&text, "}]}", depth);
    int rc = decode(&etcd_type_txn_request, buf_span(&text), &txn);
    buf_free(&text);
    return rc;
}

static void nesting_is_bounded(void **state)
{
    struct etcd_range_request range;
    struct buf text = BUF_INIT;
    (void)state;
    assert_int_equal(decode_nested((ETCD_NESTING_MAX - 1) / 2), 0);
    assert_int_equal(decode_nested((ETCD_NESTING_MAX - 1) / 2 + 1), ERR_LIMIT);
    buf_put_str(&text, "{\"a\":");
    put_many(&text, "[", JSON_DEPTH_MAX - 1);
    put_many(&text, "]", JSON_DEPTH_MAX - 1);
    buf_put_str(&text, "}");
    assert_int_equal(decode_range(buf_str(&text), &range), 0);
    buf_clear(&text);
    put_many(&text, "[", JSON_DEPTH_MAX + 1);
    assert_int_equal(decode_range(buf_str(&text), &range), ERR_INVALID);
    assert_string_equal(err.text, "invalid character '[' exceeded max depth");
    buf_free(&text);
}

/* A list of 3 MB of such elements, inside as many transactions as may nest. */
static size_t work_for(const char *list, const char *element, size_t *ret_len)
{
    struct etcd_txn_request txn;
    struct buf text = BUF_INIT;
    size_t work = 0;
    size_t depth = (ETCD_NESTING_MAX - 1) / 2;
    put_many(&text, "{\"success\":[{\"request_txn\":", depth);
    buf_put_str(&text, list);
    while (text.len < 3 * 1000 * 1000) {
        buf_put_str(&text, element);
        buf_put_str(&text, ",");
    }
    buf_put_str(&text, element);
    buf_put_str(&text, "]}");
    put_many(&text, "}]}", depth);
    arena_free(&arena);
    arena_init(&arena, ETCD_ARENA_BUDGET(text.len));
    memset(&txn, 0, sizeof txn);
    int rc = etcd_json_decode_counted(&etcd_type_txn_request, buf_span(&text), &arena, &txn, &work,
                                      &err);
    assert_true(rc == 0 || rc == ERR_BUSY || rc == ERR_LIMIT);
    *ret_len = text.len;
    buf_free(&text);
    return work;
}

/* Counted, for time says nothing: each pass over the text but the first passes over what it need
 * not look into. */
static void a_deep_text_is_gone_through_a_few_times_and_not_once_a_level(void **state)
{
    static const struct {
        const char *list;
        const char *element;
    } cases[] = {
        {"{\"unknown\":[", "0"},
        {"{\"unknown\":[", "[]"},
        {"{\"unknown\":[", "[[[[[[]]]]]]"},
        {"{\"compare\":[", "{}"},
        {"{\"compare\":[", "{\"key\":\"\"}"},
        {"{\"success\":[", "null"},
        {"{\"unknown\":[", "\"\\\"[\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = 0;
        size_t work = work_for(cases[i].list, cases[i].element, &len);
        if (work < len || work > 3 * len) {
            fail_msg("%s%s: %zu for %zu bytes", cases[i].list, cases[i].element, work, len);
        }
    }
}

static void memory_is_bounded(void **state)
{
    struct etcd_range_response range;
    struct etcd_txn_request txn;
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, "{\"kvs\":[");
    put_many(&text, "{},", 100 * 1000);
    buf_put_str(&text, "{}]}");
    assert_int_equal(decode(&etcd_type_range_response, buf_span(&text), &range), ERR_LIMIT);
    assert_string_equal(err.text, "message needs more memory than its size allows");
    buf_clear(&text);
    buf_put_str(&text, "{\"compare\":[");
    put_many(&text, "{},", ETCD_TXN_OPS_MAX - 1);
    buf_put_str(&text, "{}]}");
    assert_int_equal(decode(&etcd_type_txn_request, buf_span(&text), &txn), 0);
    assert_int_equal(txn.compare_count, ETCD_TXN_OPS_MAX);
    buf_drop(&text, 0);
    text.len -= 2;
    buf_put_str(&text, ",{}]}");
    assert_int_equal(decode(&etcd_type_txn_request, buf_span(&text), &txn), ERR_BUSY);
    buf_free(&text);
}

static void filters_are_counted(void **state)
{
    struct etcd_watch_create_request create;
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, "{\"filters\":[");
    put_many(&text, "0,", ETCD_WATCH_FILTERS_MAX - 1);
    buf_put_str(&text, "\"NODELETE\"]}");
    assert_int_equal(decode(&etcd_type_watch_create_request, buf_span(&text), &create), 0);
    assert_int_equal(create.filters_count, ETCD_WATCH_FILTERS_MAX);
    text.len -= 2;
    buf_put_str(&text, ",0]}");
    assert_int_equal(decode(&etcd_type_watch_create_request, buf_span(&text), &create), ERR_LIMIT);
    assert_string_equal(err.text, "filters: more than 64");
    buf_free(&text);
}

/* Whatever it allocates may fail. */
static void failing_memory_is_an_error(void **state)
{
    static const char text[] = "{\"compare\":[{\"key\":\"YQ==\"}],\"success\":[{\"request_put\":"
                               "{\"key\":\"Y\\u0051==\"}}]}";
    struct etcd_txn_request txn;
    (void)state;
    for (size_t budget = 0; budget < 600; budget += 8) {
        arena_free(&arena);
        arena_init(&arena, budget);
        memset(&txn, 0, sizeof txn);
        int rc = etcd_json_decode(&etcd_type_txn_request, span_str(text), &arena, &txn, &err);
        assert_true(rc == ERR_LIMIT || (rc == 0 && budget > sizeof(struct etcd_put_request)));
    }
    struct etcd_authenticate_request request = {0};
    arena_free(&arena);
    arena_init(&arena, 0);
    assert_int_equal(etcd_json_decode(&etcd_type_authenticate_request,
                                      span_str("{\"name\":\"\\n\"}"), &arena, &request, &err),
                     ERR_LIMIT);
}

static void bytes_are_named_as_in_go(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    for (unsigned c = 0; c < 256; c += 1 + (c > 14 && c < 31)) {
        go_quote_char(&out, (uint8_t)c);
    }
    assert_true(memmem(out.data, out.len, "'\\x00'", 6) != NULL);
    assert_true(memmem(out.data, out.len, "'\\a''\\b''\\t''\\n''\\v''\\f''\\r'", 28) != NULL);
    assert_true(memmem(out.data, out.len, "'\"'", 3) != NULL);
    assert_true(memmem(out.data, out.len, "'\\''", 4) != NULL);
    assert_true(memmem(out.data, out.len, "'\\x7f''\\u0080'", 14) != NULL);
    assert_true(memmem(out.data, out.len, "'\\u00a0''\xc2\xa1'", 12) != NULL);
    assert_true(memmem(out.data, out.len, "'\\u00ad'", 8) != NULL);
    assert_true(memmem(out.data, out.len, "'\xc3\xbf'", 4) != NULL);
    buf_clear(&out);
    go_quote(&out, span_str("a\"'\x01\n"));
    assert_string_equal(buf_str(&out), "\"a\\\"'\\x01\\n\"");
    buf_free(&out);
}

static int arena_end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void numbers_are_written_to_the_last_digit(void **state)
{
    (void)state;
    struct etcd_header header = {.cluster_id = UINT64_MAX, .member_id = 10, .revision = INT64_MIN};
    struct etcd_hash_kv_response response = {
        .header = &header, .hash = UINT32_MAX, .compact_revision = -1, .hash_revision = INT64_MAX};
    struct buf out = BUF_INIT;
    etcd_json_encode(&etcd_type_hash_kv_response, &response, &out);
    assert_string_equal(buf_str(&out),
                        "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"member_id\":\"10\","
                        "\"revision\":\"-9223372036854775808\"},\"hash\":4294967295,"
                        "\"compact_revision\":\"-1\",\"hash_revision\":\"9223372036854775807\"}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_to_the_last_digit),
        cmocka_unit_test(bodies_are_judged_as_etcd_does),
        cmocka_unit_test(numbers_come_in_quotes_or_not),
        cmocka_unit_test(enums_come_by_name_or_number),
        cmocka_unit_test(names_come_in_both_forms),
        cmocka_unit_test(bytes_are_base64),
        cmocka_unit_test(texts_are_resolved_as_in_go),
        cmocka_unit_test(texts_are_written_as_in_go),
        cmocka_unit_test(one_of_a_oneof_only),
        cmocka_unit_test(an_element_that_is_null_is_empty),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_deep_text_is_gone_through_a_few_times_and_not_once_a_level),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(filters_are_counted),
        cmocka_unit_test(failing_memory_is_an_error),
        cmocka_unit_test(bytes_are_named_as_in_go),
    };
    return cmocka_run_group_tests(tests, NULL, arena_end);
}
