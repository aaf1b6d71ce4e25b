/* Requests byte for byte, and answers as an etcd 3.4.23 with --enable-v2 gave them. */
#include "agent/dcs/etcd2_codec.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DIRECTORY                                                                                 \
    "{\"action\":\"get\",\"node\":{\"key\":\"/s/x\",\"dir\":true,\"nodes\":[{\"key\":"            \
    "\"/s/x/members\",\"dir\":true,\"nodes\":[{\"key\":\"/s/x/members/n1\",\"value\":"            \
    "\"{\\\"a\\\":\\\"\\u003c\xc3\xa9\\u003e\\\"}\",\"expiration\":\"2026-11-28T21:33:41.907Z\"," \
    "\"ttl\":30,\"modifiedIndex\":5,\"createdIndex\":5}],\"modifiedIndex\":5,"                    \
    "\"createdIndex\":5},{\"key\":\"/s/x/leader\",\"value\":\"n1\",\"expiration\":"               \
    "\"2026-11-28T21:33:41.874509711Z\",\"ttl\":30,\"modifiedIndex\":4,\"createdIndex\":3}],"     \
    "\"modifiedIndex\":4,\"createdIndex\":4}}\n"

static json_t *json(const char *text)
{
    json_t *body = json_loads(text, 0, NULL);
    if (body == NULL) {
        fail_msg("no JSON: %s", text);
    }
    return body;
}

static void path_is(const char *base, const char *key, const char *query, const char *wanted)
{
    char *path = etcd2_path(base, key, query);
    assert_string_equal(path, wanted);
    mem_free(path);
}

static void requests_are_encoded(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    path_is("/service/batman/", "leader", NULL, "/v2/keys/service/batman/leader");
    path_is("/service/batman/", "", "recursive=true&quorum=true",
            "/v2/keys/service/batman/?recursive=true&quorum=true");
    path_is("/a b/\xc3\xa9?#/", "members/n%1", "prevIndex=3",
            "/v2/keys/a%20b/%C3%A9%3F%23/members/n%251?prevIndex=3");
    etcd2_form(&out, "value", "{\"a\": 1}&b=c+d/~\xff\n");
    etcd2_form_number(&out, "ttl", 30);
    etcd2_form(&out, "prevExist", "false");
    etcd2_form_number(&out, "prevIndex", INT64_MAX);
    assert_string_equal(buf_str(&out),
                        "value=%7B%22a%22%3A%201%7D%26b%3Dc%2Bd%2F~%FF%0A&ttl=30&prevExist=false&"
                        "prevIndex=9223372036854775807");
    buf_free(&out);
}

static void outcomes_are_told_by_code_and_status(void **state)
{
    static const struct {
        int status;
        const char *body; /* NULL: no JSON */
        int rc;
    } cases[] = {
        {200, "{\"action\":\"get\",\"node\":{}}", 0},
        {201, "{\"action\":\"create\",\"node\":{}}", 0},
        {404, "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/s\",\"index\":3}",
         ERR_NOT_FOUND},
        {412,
         "{\"errorCode\":101,\"message\":\"Compare failed\",\"cause\":\"[3 != 4]\",\"index\":4}",
         ERR_CONFLICT},
        {412, "{\"errorCode\":105,\"message\":\"Key already exists\",\"cause\":\"/s/x/leader\"}",
         ERR_CONFLICT},
        {403, "{\"errorCode\":102,\"message\":\"Not a file\",\"cause\":\"/s/x\",\"index\":5}",
         ERR_REFUSED},
        {401, "{\"errorCode\":110,\"message\":\"The request requires user authentication\"}",
         ERR_REFUSED},
        {400, "{\"errorCode\":203,\"message\":\"The given index in POST form is not a number\"}",
         ERR_REFUSED},
        {404, "{\"errorCode\":999,\"message\":\"new\"}", ERR_REFUSED},
        {500,
         "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: "
         "request timed out\",\"index\":0}",
         ERR_UNAVAILABLE},
        {500, "{\"errorCode\":301,\"message\":\"During Leader Election\"}", ERR_UNAVAILABLE},
        {503, "{\"message\":\"During election\"}", ERR_UNAVAILABLE},
        {500, "{\"message\":\"Internal Server Error\"}", ERR_UNAVAILABLE},
        {404, NULL, ERR_UNSUPPORTED}, /* "404 page not found" */
        {404, "{\"message\":\"Not Found\"}", ERR_UNSUPPORTED},
        {405, NULL, ERR_REFUSED},
        {200, NULL, ERR_UNAVAILABLE}, /* cut short, or a proxy's page: done or not */
        {201, NULL, ERR_UNAVAILABLE},
        {204, NULL, ERR_UNAVAILABLE},
        {302, NULL, ERR_UNAVAILABLE},
        {408, NULL, ERR_UNAVAILABLE},
        {502, NULL, ERR_UNAVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[ERROR_TEXT_BYTES];
        json_t *body = cases[i].body == NULL ? NULL : json(cases[i].body);
        int rc = etcd2_outcome(cases[i].status, body, text);
        if (rc != cases[i].rc) {
            fail_msg("%d %s: %s", cases[i].status, cases[i].body, err_name(rc));
        }
        json_decref(body);
    }
    char text[ERROR_TEXT_BYTES];
    json_t *body =
        json("{\"errorCode\":101,\"message\":\"Compare failed\",\"cause\":\"[3 != 4]\"}");
    (void)etcd2_outcome(412, body, text);
    assert_string_equal(text, "Compare failed: [3 != 4]");
    json_decref(body);
}

static void heads_are_numbers_or_nothing(void **state)
{
    static const struct {
        const char *index;
        const char *cluster;
        int64_t wanted_index;
        uint64_t wanted_cluster;
    } cases[] = {{"5", "babc9795b64f03e3", 5, 0xbabc9795b64f03e3U},
                 {NULL, NULL, 0, 0},
                 {"", "", 0, 0},
                 {"-1", "-1", 0, 0},
                 {"x", "x", 0, 0},
                 {"5x", "5x", 0, 0},
                 {"9223372036854775808", "1ffffffffffffffff", 0, 0},
                 {"9223372036854775807", "ffffffffffffffff", INT64_MAX, UINT64_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t index = 77;
        uint64_t cluster = 77;
        etcd2_head_read(cases[i].index, cases[i].cluster, &index, &cluster);
        assert_int_equal(index, cases[i].wanted_index);
        assert_true(cluster == cases[i].wanted_cluster);
    }
}

static void machines_are_a_text_with_commas(void **state)
{
    json_t *urls = etcd2_machines_read(span_str("http://a:2379, https://b:2379,http://c:2379\n"));
    (void)state;
    assert_int_equal(json_array_size(urls), 3);
    assert_string_equal(json_string_value(json_array_get(urls, 1)), "https://b:2379");
    json_decref(urls);
    assert_null(etcd2_machines_read(span_str("404 page not found\n")));
    assert_null(etcd2_machines_read(span_str("")));
    assert_null(etcd2_machines_read(span_of("\0http://a", 9)));
}

static void node_is_read(void **state)
{
    struct etcd2_node node;
    json_t *body = json("{\"action\":\"create\",\"node\":{\"key\":\"/s/x/leader\",\"value\":\"n1\","
                        "\"expiration\":\"2026-11-28T21:33:41Z\",\"ttl\":30,\"modifiedIndex\":4,"
                        "\"createdIndex\":3}}");
    (void)state;
    assert_true(etcd2_node_read(body, &node));
    assert_string_equal(node.value, "n1");
    assert_int_equal(node.modified, 4);
    assert_int_equal(node.created, 3);
    json_decref(body);
    body = json("{\"action\":\"delete\",\"node\":{\"key\":\"/s/x/leader\",\"modifiedIndex\":6,"
                "\"createdIndex\":4},\"prevNode\":{\"value\":\"n1\"}}");
    assert_true(etcd2_node_read(body, &node));
    assert_string_equal(node.value, "");
    assert_int_equal(node.modified, 6);
    json_decref(body);
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"node\":7}",
                                      "{\"node\":{\"createdIndex\":1}}",
                                      "{\"node\":{\"createdIndex\":1,\"modifiedIndex\":\"2\"}}",
                                      "{\"node\":{\"createdIndex\":1,\"modifiedIndex\":-2}}",
                                      "{\"node\":{\"createdIndex\":0,\"modifiedIndex\":2}}",
                                      "{\"node\":{\"createdIndex\":1.0,\"modifiedIndex\":2}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        body = json(bad[i]);
        assert_false(etcd2_node_read(body, &node));
        json_decref(body);
    }
}

static struct dcs_view *view_at(const char *text, int64_t index, uint64_t cluster)
{
    struct error err = {0};
    json_t *body = text == NULL ? NULL : json(text);
    struct dcs_view *view = etcd2_view_read(body, "/s/x/", index, cluster, &err);
    assert_int_equal(err.code, view == NULL ? ERR_CORRUPT : 0);
    json_decref(body);
    return view;
}

static struct dcs_view *view_of(const char *text, uint64_t cluster)
{
    return view_at(text, 5, cluster);
}

static void directory_becomes_a_view(void **state)
{
    struct dcs_view *view = view_of(DIRECTORY, 9);
    (void)state;
    assert_int_equal(view->cluster, 9);
    assert_int_equal(view->revision, 5);
    assert_int_equal(view->count, 2);
    assert_string_equal(view->kvs[0].key, "leader");
    assert_int_equal(view->kvs[0].create_revision, 3);
    assert_int_equal(view->kvs[0].mod_revision, 4);
    assert_string_equal(view->kvs[1].key, "members/n1");
    assert_string_equal(view->kvs[1].value, "{\"a\":\"<\xc3\xa9>\"}");
    dcs_view_unref(view);
    view = view_of(NULL, 9); /* not there */
    assert_int_equal(view->count, 0);
    dcs_view_unref(view);
    view = view_of("{\"node\":{\"key\":\"/s/x\",\"dir\":true,\"modifiedIndex\":5,"
                   "\"createdIndex\":5}}",
                   9);
    assert_int_equal(view->count, 0);
    dcs_view_unref(view);
}

/* An empty view is what a bootstrap goes by. */
static void what_is_no_directory_gives_no_view(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"node\":{}}",
        "{\"node\":{\"key\":\"/s/x\",\"value\":\"a file\",\"modifiedIndex\":5,\"createdIndex\":5}}",
        "{\"node\":{\"dir\":true,\"nodes\":[7]}}",
        "{\"node\":{\"dir\":true,\"nodes\":{}}}",
        "{\"node\":{\"dir\":true,\"nodes\":[{\"key\":\"/s/x/a\",\"value\":\"1\"}]}}",
        "{\"node\":{\"dir\":true,\"nodes\":[{\"value\":\"1\",\"modifiedIndex\":5,"
        "\"createdIndex\":5}]}}",
        "{\"node\":{\"dir\":true,\"nodes\":[{\"dir\":true,\"nodes\":[{\"key\":7}]}]}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (view_of(bad[i], 9) != NULL) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_null(view_of(DIRECTORY, 0)); /* no word of which cluster said so */
    assert_null(view_of(NULL, 0));
    assert_null(view_at(DIRECTORY, 0, 9)); /* or when */
    assert_null(view_at(NULL, 0, 9));
}

static void directories_in_directories_are_bounded(void **state)
{
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, "{\"node\":{\"dir\":true,\"nodes\":[");
    for (int i = 0; i < 500; i++) {
        buf_put_str(&text, "{\"dir\":true,\"nodes\":[");
    }
    for (int i = 0; i < 500; i++) {
        buf_put_str(&text, "]}");
    }
    buf_put_str(&text, "]}}");
    assert_null(view_of(buf_str(&text), 9));
    buf_free(&text);
}

static void directory_of_many_keys_is_read_whole(void **state)
{
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text,
                "{\"node\":{\"dir\":true,\"nodes\":[{\"key\":\"/elsewhere\",\"createdIndex\":1,"
                "\"modifiedIndex\":1}");
    for (int i = 0; i < 100; i++) {
        buf_printf(&text, ",{\"key\":\"/s/x/k%02d\",\"createdIndex\":1,\"modifiedIndex\":1}",
                   99 - i);
    }
    buf_put_str(&text, "]}}");
    struct dcs_view *view = view_of(buf_str(&text), 9);
    assert_int_equal(view->count, 100);
    assert_string_equal(view->kvs[0].key, "k00");
    assert_string_equal(view->kvs[99].key, "k99");
    dcs_view_unref(view);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_encoded),
        cmocka_unit_test(outcomes_are_told_by_code_and_status),
        cmocka_unit_test(heads_are_numbers_or_nothing),
        cmocka_unit_test(machines_are_a_text_with_commas),
        cmocka_unit_test(node_is_read),
        cmocka_unit_test(directory_becomes_a_view),
        cmocka_unit_test(what_is_no_directory_gives_no_view),
        cmocka_unit_test(directories_in_directories_are_bounded),
        cmocka_unit_test(directory_of_many_keys_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
