/* v2 requests as etcd 3.4.23 reads them (tests/golden/etcd/v2_requests.txt was sent to it), and
 * answers as it writes them. */
#include "raft/etcd/etcd_v2_request.h"
#include "tests/unit/raft_etcd/golden.h"

#define FORM "application/x-www-form-urlencoded"

static struct arena arena;
static struct etcd_v2_request request;
static struct etcd_v2_fault fault;

static int parse_raw(const struct etcd_v2_raw *raw)
{
    arena_free(&arena);
    arena_init(&arena, ETCD_V2_ARENA_BUDGET(raw->path.len + raw->query.len + raw->body.len));
    memset(&request, 0xee, sizeof request);
    return etcd_v2_request_parse(raw, &arena, &request, &fault);
}

static int parse(enum etcd_v2_method method, const char *target, const char *body)
{
    size_t path = strcspn(target, "?");
    struct etcd_v2_raw raw = {.method = method,
                              .path = span_of(target, path),
                              .query = span_str(target[path] == '?' ? target + path + 1 : NULL),
                              .content_type = span_str(FORM),
                              .body = span_str(body)};
    return parse_raw(&raw);
}

static enum etcd_v2_method method_of(const char *text)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    size_t i = 0;
    while (strcmp(methods[i], text) != 0) {
        i++;
    }
    return (enum etcd_v2_method)i;
}

static void check_line(char *const columns[GOLDEN_COLUMNS])
{
    struct buf text = BUF_INIT;
    int rc = parse(method_of(columns[0]), columns[1], columns[2]);
    assert_true(rc == 0 || rc == ERR_INVALID);
    if (rc != 0) {
        buf_printf(&text, "%d %.*s", (int)fault.error, (int)fault.cause.len,
                   (const char *)fault.cause.data);
    }
    if (strcmp(buf_str(&text), columns[3]) != 0) {
        fail_msg("%s %s %s: '%s', not '%s'", columns[0], columns[1], columns[2], buf_str(&text),
                 columns[3]);
    }
    buf_free(&text);
}

static void requests_are_judged_as_etcd_does(void **state)
{
    (void)state;
    assert_true(golden_each("tests/golden/etcd/v2_requests.txt", check_line) > 60);
}

static void check_op(enum etcd_v2_method method, const char *target, const char *body,
                     enum etcd_v2_op op)
{
    assert_int_equal(parse(method, target, body), 0);
    assert_int_equal(request.op, op);
}

static void the_operation_follows_from_the_parameters(void **state)
{
    (void)state;
    check_op(ETCD_V2_GET, "/v2/keys/a", "", ETCD_V2_OP_GET);
    check_op(ETCD_V2_HEAD, "/v2/keys/a", "", ETCD_V2_OP_GET);
    check_op(ETCD_V2_GET, "/v2/keys/a?wait=true", "", ETCD_V2_OP_WATCH);
    check_op(ETCD_V2_GET, "/v2/keys/a?wait=0", "", ETCD_V2_OP_GET);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1", ETCD_V2_OP_SET);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevIndex=0", ETCD_V2_OP_SET);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevIndex=3", ETCD_V2_OP_COMPARE_AND_SWAP);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevValue=x", ETCD_V2_OP_COMPARE_AND_SWAP);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevExist=true", ETCD_V2_OP_UPDATE);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevExist=true&prevIndex=3",
             ETCD_V2_OP_COMPARE_AND_SWAP);
    check_op(ETCD_V2_PUT, "/v2/keys/a", "value=1&prevExist=false&prevIndex=3", ETCD_V2_OP_CREATE);
    check_op(ETCD_V2_POST, "/v2/keys/a", "value=1", ETCD_V2_OP_CREATE_IN_ORDER);
    check_op(ETCD_V2_DELETE, "/v2/keys/a", "", ETCD_V2_OP_DELETE);
    check_op(ETCD_V2_DELETE, "/v2/keys/a?prevIndex=0", "", ETCD_V2_OP_DELETE);
    check_op(ETCD_V2_DELETE, "/v2/keys/a?prevIndex=1", "", ETCD_V2_OP_COMPARE_AND_DELETE);
    check_op(ETCD_V2_DELETE, "/v2/keys/a?prevValue=x", "", ETCD_V2_OP_COMPARE_AND_DELETE);
    static const char *const actions[] = {"get",    "get",    "set",
                                          "create", "update", "compareAndSwap",
                                          "create", "delete", "compareAndDelete"};
    for (int op = 0; op <= ETCD_V2_OP_COMPARE_AND_DELETE; op++) {
        assert_string_equal(etcd_v2_action((enum etcd_v2_op)op), actions[op]);
    }
}

static void every_parameter_arrives(void **state)
{
    (void)state;
    assert_int_equal(
        parse(ETCD_V2_PUT, "/v2/keys/a?recursive=1&sorted=t&dir=T&quorum=TRUE&stream=True",
              "value=x&ttl=18446744073709551615&prevIndex=7&prevValue=y%2By&waitIndex=9"
              "&noValueOnSuccess=true&prevExist=1"),
        0);
    assert_true(request.recursive && request.sorted && request.dir && request.quorum &&
                request.stream && request.no_value_on_success && !request.refresh);
    assert_true(request.has_ttl && request.ttl_s == UINT64_MAX);
    assert_true(request.prev_index == 7 && request.wait_index == 9);
    assert_true(span_equal_str(request.value, "x"));
    assert_true(span_equal_str(request.prev_value, "y+y"));
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "refresh=true&ttl=0&prevExist=true"), 0);
    assert_true(request.refresh && request.has_ttl && request.ttl_s == 0 && !request.dir);
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "ttl="), 0);
    assert_false(request.has_ttl);
}

static void the_body_wins_over_the_query(void **state)
{
    struct etcd_v2_raw raw = {.method = ETCD_V2_PUT,
                              .path = span_str("/v2/keys/a"),
                              .query = span_str("value=q&value=z"),
                              .body = span_str("value=b&value=c")};
    static const struct {
        const char *type;
        const char *value;
    } types[] = {{FORM, "b"},
                 {"application/X-WWW-form-urlencoded ; charset=utf-8", "b"},
                 {" " FORM "\t;", "b"},
                 {"text/plain", "q"},
                 {"application/x-www-form-urlencode", "q"},
                 {"", "q"},
                 {" ", "q"}};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        raw.content_type = span_str(types[i].type);
        assert_int_equal(parse_raw(&raw), 0);
        assert_true(span_equal_str(request.value, types[i].value));
    }
    raw.content_type = span_str(FORM);
    raw.method = ETCD_V2_DELETE; /* whose body is no form */
    assert_int_equal(parse_raw(&raw), 0);
    assert_true(span_equal_str(request.value, "q"));
}

static void check_key(const char *path, const char *key)
{
    assert_int_equal(parse(ETCD_V2_GET, path, ""), 0);
    if (!span_equal_str(request.key, key)) {
        fail_msg("%s: %.*s", path, (int)request.key.len, (const char *)request.key.data);
    }
}

static void keys_are_decoded_and_cleaned(void **state)
{
    (void)state;
    check_key("/v2/keys", "/");
    check_key("/v2/keys/", "/");
    check_key("/v2/keys//", "/");
    check_key("/v2/keys/a", "/a");
    check_key("/v2/keys/service/s/", "/service/s");
    check_key("/v2/keys//a///b//", "/a/b");
    check_key("/v2/keys/a/./b/.", "/a/b");
    check_key("/v2/keys/a/../b", "/b");
    check_key("/v2/keys/a/b/../../..", "/");
    check_key("/v2/keys/../../x", "/x");
    check_key("/v2/keys/%2e%2e/x/%2E/y", "/x/y");
    check_key("/v2/keys/...", "/...");
    check_key("/v2/keys/.a/..b/c.", "/.a/..b/c.");
    check_key("/v2/keys/%61%2fb+c", "/a/b+c");
    check_key("/v2/keys/_hidden", "/_hidden");
    assert_int_equal(parse(ETCD_V2_GET, "/v2/keys/a%00b", ""), 0);
    assert_true(span_equal(request.key, span_of("/a\0b", 4)));
    assert_int_equal(parse(ETCD_V2_GET, "/v2/keysx", ""), ERR_NOT_FOUND);
    assert_int_equal(parse(ETCD_V2_GET, "/v2/key", ""), ERR_NOT_FOUND);
    assert_int_equal(parse(ETCD_V2_GET, "/v2/keys/a%4", ""), ERR_INVALID);
    assert_int_equal(fault.error, ETCD_V2_INVALID_FORM);
    assert_true(span_equal_str(fault.cause, "invalid URL escape \"%4\""));
}

static void odd_forms_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        parse(ETCD_V2_PUT, "/v2/keys/a?&&=&=x&value&", "&%76alue=a%26b&value=c&other=%00"), 0);
    assert_true(span_equal_str(request.value, "a&b"));
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "a=%g0&b=%0g"), ERR_INVALID);
    assert_true(span_equal_str(fault.cause, "invalid URL escape \"%g0\""));
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "%=1"), ERR_INVALID);
    assert_true(span_equal_str(fault.cause, "invalid URL escape \"%\""));
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "a=%zz&b;c&d=%yy"), ERR_INVALID);
    assert_true(span_equal_str(fault.cause, "invalid semicolon separator in query"));
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", "a=%\"\x01"), ERR_INVALID);
    assert_true(span_equal_str(fault.cause, "invalid URL escape \"%\\\"\\x01\""));
}

static void parameters_are_bounded(void **state)
{
    struct buf form = BUF_INIT;
    (void)state;
    for (int i = 0; i < 9999; i++) {
        buf_put_str(&form, i % 2 == 0 ? "&" : "a&");
    }
    buf_put_str(&form, "value=1");
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", buf_str(&form)), 0);
    assert_true(span_equal_str(request.value, "1"));
    buf_put_str(&form, "&");
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", buf_str(&form)), 0);
    buf_put_str(&form, "&");
    assert_int_equal(parse(ETCD_V2_PUT, "/v2/keys/a", buf_str(&form)), ERR_INVALID);
    assert_int_equal(fault.error, ETCD_V2_INVALID_FORM);
    assert_true(span_equal_str(fault.cause, "too many parameters"));
    buf_free(&form);
}

static void memory_is_bounded(void **state)
{
    struct etcd_v2_raw raw = {.method = ETCD_V2_PUT, .content_type = span_str(FORM)};
    (void)state;
    raw.path = span_str("/v2/keys/%61");
    raw.query = span_str("value=%61&prevValue=%62");
    raw.body = span_str("a=%zz");
    for (size_t budget = 0; budget < 128; budget += 16) {
        arena_free(&arena);
        arena_init(&arena, budget);
        int rc = etcd_v2_request_parse(&raw, &arena, &request, &fault);
        assert_int_equal(rc, budget < 16 * 5 ? ERR_LIMIT : ERR_INVALID);
    }
    raw.body = span_str("");
    for (size_t budget = 0; budget < 128; budget += 16) {
        arena_free(&arena);
        arena_init(&arena, budget);
        int rc = etcd_v2_request_parse(&raw, &arena, &request, &fault);
        assert_int_equal(rc, budget < 16 * 4 ? ERR_LIMIT : 0);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void check_answer(const char *action, const struct etcd_v2_node *node,
                         const struct etcd_v2_node *prev, const char *text)
{
    struct buf out = BUF_INIT;
    etcd_v2_answer(action, node, prev, &out);
    assert_string_equal(buf_str(&out), text);
    buf_free(&out);
}

static void answers_are_those_of_etcd(void **state)
{
    (void)state;
    struct etcd_v2_node old = {.key = span_str("/a/b"),
                               .has_value = true,
                               .value = span_str("x"),
                               .has_expiration = true,
                               .expiration_ns = 1795902047616580590,
                               .ttl_s = 20,
                               .modified_index = 4,
                               .created_index = 4};
    struct etcd_v2_node node = {.key = span_str("/a/b"),
                                .has_value = true,
                                .value = span_str(""),
                                .modified_index = 5,
                                .created_index = 5};
    check_answer(
        "set", &node, &old,
        "{\"action\":\"set\",\"node\":{\"key\":\"/a/b\",\"value\":\"\",\"modifiedIndex\":5,"
        "\"createdIndex\":5},\"prevNode\":{\"key\":\"/a/b\",\"value\":\"x\",\"expiration\":"
        "\"2026-11-28T21:40:47.61658059Z\",\"ttl\":20,\"modifiedIndex\":4,\"createdIndex\":4}}\n");
    struct etcd_v2_node deleted = {
        .key = span_str("/q"), .dir = true, .modified_index = 22, .created_index = 20};
    check_answer(
        "delete", &deleted, NULL,
        "{\"action\":\"delete\",\"node\":{\"key\":\"/q\",\"dir\":true,\"modifiedIndex\":22,"
        "\"createdIndex\":20}}\n");
    check_answer("set", NULL, NULL, "{\"action\":\"set\"}\n");
    struct etcd_v2_node odd = {.key = span_str("/u\xc3\xa9\xff"),
                               .has_value = true,
                               .value = span_of("\xff<\xe2\x80\xa8\0", 6),
                               .modified_index = 24,
                               .created_index = 24};
    check_answer("set", &odd, NULL,
                 "{\"action\":\"set\",\"node\":{\"key\":\"/u\xc3\xa9\\ufffd\",\"value\":"
                 "\"\\ufffd\\u003c\\u2028\\u0000\",\"modifiedIndex\":24,\"createdIndex\":24}}\n");
}

static void the_nodes_of_a_directory_stand_between_its_two_parts(void **state)
{
    struct etcd_v2_node root = {.dir = true};
    struct etcd_v2_node a = {
        .key = span_str("/a"), .dir = true, .created_index = 4, .modified_index = 5};
    struct buf out = BUF_INIT;
    (void)state;
    etcd_v2_node_begin(&root, &out);
    buf_put_str(&out, ",\"nodes\":[");
    etcd_v2_node_begin(&a, &out);
    etcd_v2_node_end(&a, &out);
    buf_put_str(&out, "]");
    etcd_v2_node_end(&root, &out);
    assert_string_equal(buf_str(&out), "{\"dir\":true,\"nodes\":[{\"key\":\"/a\",\"dir\":true,"
                                       "\"modifiedIndex\":5,\"createdIndex\":4}]}");
    buf_free(&out);
    check_answer("get", &root, NULL, "{\"action\":\"get\",\"node\":{\"dir\":true}}\n");
}

static void check_time(int64_t ns, const char *text)
{
    struct etcd_v2_node node = {.has_expiration = true, .expiration_ns = ns};
    char want[128];
    (void)snprintf(want, sizeof want, "{\"action\":\"get\",\"node\":{\"expiration\":\"%s\"}}\n",
                   text);
    check_answer("get", &node, NULL, want);
}

static void times_are_rfc_3339(void **state)
{
    const int64_t s = 1000 * 1000 * 1000;
    (void)state;
    check_time(0, "1970-01-01T00:00:00Z");
    check_time(1, "1970-01-01T00:00:00.000000001Z");
    check_time(-1, "1969-12-31T23:59:59.999999999Z");
    check_time(100 * 1000 * 1000, "1970-01-01T00:00:00.1Z");
    check_time(951782400 * s, "2000-02-29T00:00:00Z");
    check_time(951868799 * s + 990000000, "2000-02-29T23:59:59.99Z");
    check_time(1709251199 * s, "2024-02-29T23:59:59Z");
    check_time(1709251200 * s, "2024-03-01T00:00:00Z");
    check_time(4107542399 * s, "2100-02-28T23:59:59Z");
    check_time(4107542400 * s, "2100-03-01T00:00:00Z");
    check_time(1767225599 * s, "2025-12-31T23:59:59Z");
    check_time(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
    check_time(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
}

static int arena_end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_judged_as_etcd_does),
        cmocka_unit_test(the_operation_follows_from_the_parameters),
        cmocka_unit_test(every_parameter_arrives),
        cmocka_unit_test(the_body_wins_over_the_query),
        cmocka_unit_test(keys_are_decoded_and_cleaned),
        cmocka_unit_test(odd_forms_are_read),
        cmocka_unit_test(parameters_are_bounded),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(answers_are_those_of_etcd),
        cmocka_unit_test(the_nodes_of_a_directory_stand_between_its_two_parts),
        cmocka_unit_test(times_are_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, arena_end);
}
