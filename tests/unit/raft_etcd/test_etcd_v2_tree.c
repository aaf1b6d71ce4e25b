/* Answers to reads of directories, encoded in portions of every size while the store goes on. */
#include "raft/etcd/etcd_v2_tree.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct etcd_v2_now now = {.lease_ms = 1000, .wall_ms = 1795902047616};

static void apply(struct store *store, const struct store_command *command)
{
    struct buf bytes = BUF_INIT;
    struct store_result result;
    assert_int_equal(store_command_encode(command, &bytes, NULL), 0);
    store_apply(store, store_applied(store) + 1, buf_span(&bytes), &result, NULL);
    assert_int_equal(result.code, 0);
    store_leases_note(store, 0);
    buf_free(&bytes);
}

static void write_v2(struct store *store, struct store_v2 v2)
{
    struct store_command command = {.type = STORE_V2, .v2 = &v2};
    apply(store, &command);
}

static void put(struct store *store, const char *path, const char *value)
{
    write_v2(store, (struct store_v2){
                        .type = STORE_V2_SET, .path = span_str(path), .value = span_str(value)});
}

static void make_directory(struct store *store, const char *path)
{
    write_v2(store,
             (struct store_v2){.type = STORE_V2_SET, .path = span_str(path), .directory = true});
}

static struct etcd_v2_tree *tree_of(const struct store *store, const char *path, bool recursive)
{
    struct store_v2_node node;
    struct span cause;
    assert_int_equal(store_v2_get(store, span_str(path), &node, &cause), 0);
    return etcd_v2_tree_new(store, &node, &now, recursive);
}

static size_t encode_in_portions(struct etcd_v2_tree *tree, size_t bytes, struct buf *out)
{
    size_t portions = 0;
    bool is_whole = false;
    while (!is_whole) {
        struct buf portion = BUF_INIT;
        is_whole = etcd_v2_tree_encode(tree, bytes, &portion);
        assert_true(portion.len > 0);
        buf_put_span(out, buf_span(&portion));
        buf_free(&portion);
        portions++;
    }
    return portions;
}

static void tree_is(const struct store *store, const char *path, bool recursive,
                    const char *expected)
{
    for (size_t bytes = 1; bytes < 2048; bytes *= 3) {
        struct etcd_v2_tree *tree = tree_of(store, path, recursive);
        struct buf out = BUF_INIT;
        (void)encode_in_portions(tree, bytes, &out);
        assert_string_equal(buf_str(&out), expected);
        buf_free(&out);
        etcd_v2_tree_free(tree);
    }
}

#define GET      "{\"action\":\"get\",\"node\":"
#define KEY(key) "{\"key\":\"" key "\""
#define AGE(at)  ",\"modifiedIndex\":" at ",\"createdIndex\":" at "}"
#define DIR      ",\"dir\":true"
#define NODES    ",\"nodes\":["

static void the_root_has_no_name_and_no_age(void **state)
{
    struct store *store = store_new();
    (void)state;
    tree_is(store, "/", true,
            GET "{"
                "\"dir\":true}}\n");
    put(store, "/a", "1");
    tree_is(store, "/", true,
            GET "{\"dir\":true" NODES KEY("/a") ",\"value\":\"1\"" AGE("3") "]}}\n");
    store_free(store);
}

/* "/a/x" stands behind "/a!" among the keys, and before it in the tree. */
static void children_stand_by_name_at_every_depth(void **state)
{
    struct store *store = store_new();
    (void)state;
    put(store, "/s/a!", "1");
    put(store, "/s/a/x", "2");
    make_directory(store, "/s/a/d");
    make_directory(store, "/s/e");
    tree_is(store, "/s", true,
            GET KEY("/s") DIR NODES KEY("/s/a") DIR NODES KEY("/s/a/d")
                DIR AGE("5") "," KEY("/s/a/x") ",\"value\":\"2\"" AGE("4") "]" AGE("4") "," KEY(
                    "/s/a!") ",\"value\":"
                             "\"1\"" AGE("3") "," KEY("/s/e") DIR AGE("6") "]" AGE("3") "}\n");
    tree_is(store, "/s", false,
            GET KEY("/s") DIR NODES KEY("/s/a")
                DIR AGE("4") "," KEY("/s/a!") ",\"value\":\"1\"" AGE("3") "," KEY("/s/e")
                    DIR AGE("6") "]" AGE("3") "}\n");
    store_free(store);
}

static void what_is_hidden_is_seen_from_inside_alone(void **state)
{
    struct store *store = store_new();
    (void)state;
    put(store, "/s/_h/k", "1");
    put(store, "/s/_k", "1");
    make_directory(store, "/s/_d");
    tree_is(store, "/s", true, GET KEY("/s") DIR AGE("3") "}\n");
    tree_is(store, "/s/_h", true,
            GET KEY("/s/_h")
                DIR NODES KEY("/s/_h/k") ",\"value\":\"1\"" AGE("3") "]" AGE("3") "}\n");
    store_free(store);
}

static void a_directory_hides_the_file_of_its_name(void **state)
{
    struct store *store = store_new();
    struct store_op ops[] = {
        {.type = STORE_OP_PUT, .key = span_str("/s/a"), .value = span_str("hidden")},
        {.type = STORE_OP_PUT, .key = span_str("/s/a/b"), .value = span_str("1")},
        {.type = STORE_OP_PUT, .key = span_str("/s//c"), .value = span_str("not v2's")}};
    struct store_command command = {.type = STORE_TXN, .success = ops, .success_count = 3};
    (void)state;
    apply(store, &command);
    tree_is(store, "/s", true,
            GET KEY("/s") DIR NODES KEY("/s/a") DIR NODES KEY("/s/a/b") ",\"value\":\"1\"" AGE(
                "2") "]" AGE("2") "]" AGE("2") "}\n");
    store_free(store);
}

static void the_answer_is_of_the_moment_it_was_asked_for(void **state)
{
    struct store *store = store_new();
    struct buf out = BUF_INIT;
    (void)state;
    write_v2(store, (struct store_v2){.type = STORE_V2_SET,
                                      .path = span_str("/s/a"),
                                      .value = span_str("old"),
                                      .ttl_ms = 20000,
                                      .lease = 7});
    put(store, "/s/b", "old");
    struct etcd_v2_tree *tree = tree_of(store, "/s", true);
    assert_false(etcd_v2_tree_encode(tree, 1, &out));
    write_v2(store,
             (struct store_v2){.type = STORE_V2_DELETE, .path = span_str("/s"), .recursive = true});
    struct store_command compact = {.type = STORE_COMPACT,
                                    .number = (uint64_t)store_revision(store)};
    apply(store, &compact);
    (void)encode_in_portions(tree, 1, &out);
    assert_string_equal(
        buf_str(&out),
        GET KEY("/s")
            DIR NODES KEY("/s/a") ",\"value\":\"old\",\"expiration\":\"2026-11-28T21:41:06.616Z\","
                                  "\"ttl\":19" AGE("3") "," KEY("/s/b") ",\"value\":\"old\"" AGE(
                                      "4") "]" AGE("3") "}\n");
    etcd_v2_tree_free(tree);
    buf_free(&out);
    store_free(store);
}

static void an_answer_may_be_given_up_anywhere(void **state)
{
    struct store *store = store_new();
    (void)state;
    for (int i = 0; i < 40; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/s/%d/%d/%d", i % 3, i % 5, i);
        put(store, path, "v");
    }
    for (size_t portions = 0; portions < 60; portions++) {
        struct etcd_v2_tree *tree = tree_of(store, "/s", true);
        struct buf out = BUF_INIT;
        for (size_t i = 0; i < portions; i++) {
            buf_clear(&out);
            (void)etcd_v2_tree_encode(tree, 1, &out);
            if (out.len > 2 && memcmp(out.data + out.len - 2, "}\n", 2) == 0) {
                break;
            }
        }
        buf_free(&out);
        etcd_v2_tree_free(tree);
    }
    etcd_v2_tree_free(NULL);
    store_free(store);
}

/* As deep as a key can be. */
static void depth_is_bounded_by_the_keys_alone(void **state)
{
    struct store *store = store_new();
    struct buf path = BUF_INIT;
    struct buf out = BUF_INIT;
    size_t opened = 0;
    size_t closed = 0;
    (void)state;
    while (path.len < STORE_KEY_BYTES_MAX) {
        buf_put_str(&path, "/d");
    }
    put(store, buf_str(&path), "v");
    struct etcd_v2_tree *tree = tree_of(store, "/", true);
    assert_true(encode_in_portions(tree, 4096, &out) > 10);
    for (size_t i = 0; i < out.len; i++) {
        opened += out.data[i] == '{';
        closed += out.data[i] == '}';
    }
    assert_int_equal(opened, STORE_KEY_BYTES_MAX / 2 + 2);
    assert_int_equal(closed, opened);
    etcd_v2_tree_free(tree);
    buf_free(&path);
    buf_free(&out);
    store_free(store);
}

static size_t held_for(const struct store *store, const char *path, bool recursive)
{
    struct etcd_v2_tree *tree = tree_of(store, path, recursive);
    size_t held = etcd_v2_tree_held(tree);
    etcd_v2_tree_free(tree);
    return held;
}

/* Whatever it shows: all below is held until it is over. */
static void everything_below_counts(void **state)
{
    static char value[10001];
    struct store *store = store_new();
    struct buf path = BUF_INIT;
    (void)state;
    memset(value, 'v', sizeof value - 1);
    make_directory(store, "/s");
    size_t empty = held_for(store, "/s", true);
    assert_in_range(empty, 1, 4096);
    put(store, "/s/_hidden", value);
    put(store, "/s/a/b", value);
    make_directory(store, "/s/d");
    assert_in_range(held_for(store, "/s", true), empty + 20000, empty + 24096);
    assert_in_range(held_for(store, "/s", false), 20000, held_for(store, "/s", true));
    assert_in_range(held_for(store, "/s/a", false), 10000, 12000);
    size_t shallow = held_for(store, "/", true);
    buf_put_str(&path, "/deep");
    while (path.len < STORE_KEY_BYTES_MAX - 1) {
        buf_put_str(&path, "/d");
    }
    put(store, buf_str(&path), "v");
    size_t levels = (STORE_KEY_BYTES_MAX - strlen("/deep")) / 2; /* with sixteen names at least */
    assert_true(held_for(store, "/", true) > shallow + levels * 16 * sizeof(struct span));
    buf_free(&path);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_has_no_name_and_no_age),
        cmocka_unit_test(children_stand_by_name_at_every_depth),
        cmocka_unit_test(what_is_hidden_is_seen_from_inside_alone),
        cmocka_unit_test(a_directory_hides_the_file_of_its_name),
        cmocka_unit_test(the_answer_is_of_the_moment_it_was_asked_for),
        cmocka_unit_test(an_answer_may_be_given_up_anywhere),
        cmocka_unit_test(depth_is_bounded_by_the_keys_alone),
        cmocka_unit_test(everything_below_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
