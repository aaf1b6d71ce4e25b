/* Requests byte for byte, and answers as an etcd 3.4.23 gave them. */
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
#define RANGE                                                                                \
    "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9lcG9jaA==\",\"create_revision\":\"2\","          \
    "\"mod_revision\":\"2\",\"version\":\"1\"},{\"key\":\"L3MveC9sZWFkZXI=\","               \
    "\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"bjE=\"," \
    "\"lease\":\"4390624962561771784\"}],\"count\":\"2\"}"

static json_t *json(const char *text)
{
    json_t *body = json_loads(text, 0, NULL);
    if (body == NULL) {
        fail_msg("no JSON: %s", text);
    }
    return body;
}

static void is(struct buf *out, const char *text)
{
    assert_string_equal(buf_str(out), text);
    buf_free(out);
}

/* --- requests --------------------------------------------------------------------------------- */

static void requests_are_what_the_gateway_takes(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    etcd3_range_prefix(&out, "/s/x/");
    is(&out, "{\"key\":\"L3MveC8=\",\"range_end\":\"L3MveDA=\"}");
    etcd3_range_key(&out, "/s/x/leader");
    is(&out, "{\"key\":\"L3MveC9sZWFkZXI=\"}");
    etcd3_lease_grant(&out, 30);
    is(&out, "{\"TTL\":\"30\"}");
    etcd3_lease_id(&out, 4390624962561771784U);
    is(&out, "{\"ID\":\"4390624962561771784\"}");
    etcd3_watch(&out, "/s/x/", 25);
    is(&out, "{\"create_request\":{\"key\":\"L3MveC8=\",\"range_end\":\"L3MveDA=\","
             "\"start_revision\":\"25\"}}");
    etcd3_authenticate(&out, "ro\"ot", "p\\w\n");
    is(&out, "{\"name\":\"ro\\\"ot\",\"password\":\"p\\\\w\\n\"}");
}

static void transaction_has_its_compares_and_what_follows(void **state)
{
    struct etcd3_txn txn = {0};
    struct buf out = BUF_INIT;
    (void)state;
    etcd3_txn_compare(&txn, "a", ETCD3_CREATE, 0);
    etcd3_txn_compare(&txn, "b", ETCD3_MOD, INT64_MAX);
    etcd3_txn_put(&txn, "a", span_str("1"), 7);
    etcd3_txn_put(&txn, "b", span_str(""), 0);
    etcd3_txn_delete(&txn, "c");
    etcd3_txn_print(&txn, &out);
    etcd3_txn_free(&txn);
    is(&out,
       "{\"compare\":[{\"result\":\"EQUAL\",\"target\":\"CREATE\",\"key\":\"YQ==\","
       "\"create_revision\":\"0\"},{\"result\":\"EQUAL\",\"target\":\"MOD\",\"key\":\"Yg==\","
       "\"mod_revision\":\"9223372036854775807\"}],\"success\":[{\"request_put\":{\"key\":\"YQ==\","
       "\"value\":\"MQ==\",\"lease\":\"7\"}},{\"request_put\":{\"key\":\"Yg==\",\"value\":\"\"}},"
       "{\"request_delete_range\":{\"key\":\"Yw==\"}}]}");
    etcd3_txn_print(&txn, &out);
    is(&out, "{}");
    etcd3_txn_free(&txn);
}

static void end_of_a_prefix_drops_its_last_ff_bytes(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    etcd3_range_prefix(&out, "/a\xff\xff");
    is(&out, "{\"key\":\"L2H//w==\",\"range_end\":\"L2I=\"}");
    etcd3_range_prefix(&out, "/\xfe");
    is(&out, "{\"key\":\"L/4=\",\"range_end\":\"L/8=\"}");
}

/* --- ranges ----------------------------------------------------------------------------------- */

static struct dcs_view *view_of(const char *text)
{
    struct error err = {0};
    json_t *body = json(text);
    struct dcs_view *view = etcd3_view_read(body, "/s/x/", &err);
    assert_int_equal(view == NULL, err.code != 0);
    json_decref(body);
    return view;
}

static void range_becomes_a_view(void **state)
{
    struct dcs_view *view = view_of(RANGE);
    (void)state;
    assert_non_null(view);
    assert_true(view->cluster == 13455796455940752355U);
    assert_int_equal(view->revision, 2);
    assert_int_equal(view->count, 2);
    assert_string_equal(view->kvs[0].key, "epoch");
    assert_string_equal(view->kvs[0].value, ""); /* left out */
    assert_int_equal(view->kvs[0].lease, 0);
    const struct dcs_kv *leader = dcs_view_get(view, "leader");
    assert_string_equal(leader->value, "n1");
    assert_int_equal(leader->value_len, 2);
    assert_int_equal(leader->create_revision, 2);
    assert_int_equal(leader->mod_revision, 2);
    assert_true(leader->lease == 4390624962561771784U);
    dcs_view_unref(view);
    view = view_of("{" HEADER "}"); /* nothing is there */
    assert_int_equal(view->count, 0);
    dcs_view_unref(view);
}

static void white_space_and_plain_numbers_are_no_matter(void **state)
{
    struct dcs_view *view =
        view_of(" {\n\"kvs\" : [ {\"mod_revision\":4, \"key\":\"L3MveC9iYg==\", \"unknown\":{}, "
                "\"create_revision\" :\t\"3\",\"value\":null } ,{\"key\":\"L290aGVy\","
                "\"create_revision\":1,\"mod_revision\":1}, {\"key\":\"L3MveC9h\","
                "\"create_revision\":1,\"mod_revision\":2,\"value\":\"AAE=\"}], \"header\": "
                "{\"cluster_id\":18446744073709551, \"member_id\" : \"18446744073709551615\" , "
                "\"revision\":9,\"raft_term\":3 } }\r\n");
    (void)state;
    assert_int_equal(view->count, 2); /* sorted; what is below another path is not ours */
    assert_string_equal(view->kvs[0].key, "a");
    assert_int_equal(view->kvs[0].value_len, 2);
    assert_memory_equal(view->kvs[0].value, "\0\1", 3);
    assert_string_equal(view->kvs[1].key, "bb");
    assert_string_equal(view->kvs[1].value, "");
    dcs_view_unref(view);
}

static void answer_that_is_no_whole_range_gives_no_view(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"header\":[]}",
        "{\"kvs\":[]}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"x\"}}",
        "{\"header\":{\"cluster_id\":\"-1\",\"revision\":\"3\"}}",
        "{\"header\":{\"cluster_id\":-1,\"revision\":\"3\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"-3\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"99999999999999999999\"}}",
        "{\"header\":{\"cluster_id\":\"99999999999999999999\",\"revision\":\"3\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":3.0}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":true}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"\"}}",
        "{\"header\":{\"cluster_id\":\"1\"}}",
        "{" HEADER ",\"more\":true,\"kvs\":[]}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[7]}",
        "{" HEADER ",\"kvs\":[{\"key\":7,\"create_revision\":1,\"mod_revision\":1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"mod_revision\":1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":1,\"mod_revision\":-1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":-1,\"mod_revision\":1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":1,\"mod_revision\":1},"
        "{\"key\":\"L3MveC9i\",\"create_revision\":1,\"mod_revision\":1,\"value\":\"*\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":1,\"mod_revision\":1,"
        "\"lease\":\"1e3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":\" 1\","
        "\"mod_revision\":1}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":\"+1\","
        "\"mod_revision\":1}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (view_of(bad[i]) != NULL) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void base64_is_read_to_the_letter(void **state)
{
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
        size_t len;
    } cases[] = {
        {"", "", 0},
        {"AA==", "\0", 1},
        {"AAA=", "\0\0", 2},
        {"AAAA", "\0\0\0", 3},
        {"/+8=", "\xff\xef", 2},
        {"YWJj", "abc", 3},
        {"YWJjZA==", "abcd", 4},
        {"A", NULL, 0},
        {"AA", NULL, 0},
        {"AAA", NULL, 0},
        {"AA=A", NULL, 0},
        {"=AAA", NULL, 0},
        {"A===", NULL, 0},
        {"====", NULL, 0},
        {"AA==AA==", NULL, 0},
        {" AAA", NULL, 0},
        {"AAA ", NULL, 0},
        {"AAA\\n", NULL, 0},
        {"    ", NULL, 0},
        {"-_8=", NULL, 0},
        {"AA\xc3\xa9", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = mem_printf("{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9h\",\"create_revision\":1,"
                                "\"mod_revision\":1,\"value\":\"%s\"}]}",
                                cases[i].text);
        struct dcs_view *view = view_of(text);
        if ((view != NULL) != (cases[i].bytes != NULL)) {
            fail_msg("'%s'", cases[i].text);
        }
        if (view != NULL) {
            assert_int_equal(view->kvs[0].value_len, cases[i].len);
            assert_memory_equal(view->kvs[0].value, cases[i].bytes, cases[i].len + 1);
        }
        dcs_view_unref(view);
        mem_free(text);
    }
}

static void keys_that_are_no_text_are_nobodys(void **state)
{
    /* "/s/x/" itself, and "/s/x/a\0b" */
    struct dcs_view *view =
        view_of("{" HEADER ",\"kvs\":[{\"key\":\"L3MveC8=\",\"create_revision\":1,"
                "\"mod_revision\":1},{\"key\":\"L3MveC9hAGI=\",\"create_revision\":1,"
                "\"mod_revision\":1}]}");
    (void)state;
    assert_int_equal(view->count, 0);
    dcs_view_unref(view);
}

static void one_key_is_read_with_its_holder(void **state)
{
    struct dcs_kv kv = {0};
    bool same = false;
    json_t *body = json("{" HEADER ",\"kvs\":[{\"key\":\"L3MveC9sZWFkZXI=\",\"value\":\"bjE=\","
                        "\"create_revision\":\"2\",\"mod_revision\":\"5\",\"lease\":\"77\"}]}");
    (void)state;
    assert_true(etcd3_kv_read(body, "n1", &kv, &same));
    assert_true(same);
    assert_int_equal(kv.create_revision, 2);
    assert_int_equal(kv.mod_revision, 5);
    assert_int_equal(kv.lease, 77);
    assert_true(etcd3_kv_read(body, "n", &kv, &same));
    assert_false(same);
    assert_true(etcd3_kv_read(body, "n2", &kv, &same));
    assert_false(same);
    json_decref(body);
    static const char *const none[] = {"{" HEADER "}",
                                       "{\"kvs\":[]}",
                                       "{\"kvs\":[7]}",
                                       "{\"kvs\":{}}",
                                       "{\"kvs\":[{\"value\":\"*\"}]}",
                                       "{\"kvs\":[{\"mod_revision\":0}]}"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        body = json(none[i]);
        assert_false(etcd3_kv_read(body, "n1", &kv, &same));
        json_decref(body);
    }
}

/* --- other answers ---------------------------------------------------------------------------- */

static void transaction_says_whether_its_compares_held(void **state)
{
    json_t *yes =
        json("{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":"
             "{\"revision\":\"2\"}}}]}");
    json_t *no = json("{" HEADER "}");
    struct etcd3_header header;
    (void)state;
    assert_true(etcd3_txn_succeeded(yes));
    assert_false(etcd3_txn_succeeded(no));
    assert_true(etcd3_header_read(yes, &header));
    assert_int_equal(header.revision, 2);
    assert_int_equal(header.term, 2);
    assert_true(header.member == 443629905751424238U);
    json_decref(yes);
    json_decref(no);
}

static void lease_is_read_from_a_grant_and_a_keepalive(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t lease;
        int64_t ttl_s;
    } cases[] = {
        {"{" HEADER ",\"ID\":\"4390624962561771782\",\"TTL\":\"30\"}", true, 4390624962561771782U,
         30},
        {"{\"result\":{" HEADER ",\"ID\":\"4390624962561771784\",\"TTL\":\"30\"}}", true,
         4390624962561771784U, 30},
        {"{\"result\":{" HEADER ",\"ID\":\"777\"}}", true, 777, 0}, /* it is gone */
        {"{\"result\":{" HEADER ",\"ID\":777,\"TTL\":-1}}", true, 777, 0},
        {"{\"result\":{" HEADER "}}", false, 0, 0},
        {"{\"result\":7}", false, 0, 0},
        {"{\"ID\":\"1\",\"TTL\":\"soon\"}", false, 0, 0},
        {"{\"ID\":\"x\",\"TTL\":\"1\"}", false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t lease = 0;
        int64_t ttl_s = 0;
        json_t *body = json(cases[i].text);
        assert_int_equal(etcd3_lease_read(body, &lease, &ttl_s), cases[i].good);
        assert_true(lease == cases[i].lease && ttl_s == cases[i].ttl_s);
        json_decref(body);
    }
}

static void members_are_read_with_all_their_urls(void **state)
{
    json_t *body =
        json("{\"header\":{\"cluster_id\":\"1\",\"member_id\":\"2\",\"raft_term\":\"2\"},"
             "\"members\":[{\"ID\":\"44\",\"name\":\"default\",\"peerURLs\":[\"http://p:2380\"],"
             "\"clientURLs\":[\"http://a:2379\",\"http://b:2379\"]},{\"ID\":\"45\",\"peerURLs\":"
             "[\"http://q:2380\"]},{\"clientURLs\":[7,\"http://c:2379\"]}]}");
    json_t *urls = etcd3_members_read(body);
    (void)state;
    assert_int_equal(json_array_size(urls), 3);
    assert_string_equal(json_string_value(json_array_get(urls, 2)), "http://c:2379");
    json_decref(urls);
    json_decref(body);
    body = json("{\"members\":[{\"ID\":\"44\"}]}");
    assert_null(etcd3_members_read(body));
    json_decref(body);
    assert_null(etcd3_members_read(NULL));
}

static void version_says_the_prefix(void **state)
{
    static const struct {
        const char *text;
        const char *prefix;
        const char *version;
    } cases[] = {
        {"{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}", "/v3", "3.4.0"},
        {"{\"etcdserver\":\"3.6.1\",\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}", "/v3",
         "3.6.0"},
        {"{\"etcdserver\":\"3.10.1\",\"etcdcluster\":\"3.10.0\"}", "/v3", "3.10.0"},
        {"{\"etcdserver\":\"4.0.0\",\"etcdcluster\":\"4.0.0\"}", "/v3", "4.0.0"},
        {"{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"not_decided\"}", "/v3", "3.4.23"},
        {"{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.3.0\"}", "/v3beta", "3.3.0"},
        {"{\"etcdserver\":\"3.2.1\",\"etcdcluster\":\"3.2.0\"}", NULL, "3.2.0"},
        {"{\"etcdserver\":\"2.3.8\"}", NULL, "2.3.8"},
        {"{\"etcdserver\":\"three\"}", NULL, "three"},
        {"{}", NULL, ""},
        {"[1]", NULL, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char version[32];
        json_t *body = json(cases[i].text);
        const char *prefix = etcd3_prefix_of(body, version);
        assert_string_equal(version, cases[i].version);
        assert_int_equal(prefix == NULL, cases[i].prefix == NULL);
        assert_true(prefix == NULL || strcmp(prefix, cases[i].prefix) == 0);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_what_the_gateway_takes),
        cmocka_unit_test(transaction_has_its_compares_and_what_follows),
        cmocka_unit_test(end_of_a_prefix_drops_its_last_ff_bytes),
        cmocka_unit_test(range_becomes_a_view),
        cmocka_unit_test(white_space_and_plain_numbers_are_no_matter),
        cmocka_unit_test(answer_that_is_no_whole_range_gives_no_view),
        cmocka_unit_test(base64_is_read_to_the_letter),
        cmocka_unit_test(keys_that_are_no_text_are_nobodys),
        cmocka_unit_test(one_key_is_read_with_its_holder),
        cmocka_unit_test(transaction_says_whether_its_compares_held),
        cmocka_unit_test(lease_is_read_from_a_grant_and_a_keepalive),
        cmocka_unit_test(members_are_read_with_all_their_urls),
        cmocka_unit_test(version_says_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
