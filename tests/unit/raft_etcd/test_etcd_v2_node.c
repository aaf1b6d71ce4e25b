/* Nodes of events: what a watcher is told of a write, and of what was there before it. The events
 * are those of a real store. */
#include "raft/etcd/etcd_v2_node.h"

#include "raft/store_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct etcd_v2_now now = {.lease_ms = 1000, .wall_ms = 5000};
static struct store *store;
static struct store_events events;

static int64_t apply(struct store_v2 v2)
{
    struct store_command command = {.type = STORE_V2, .v2 = &v2};
    struct buf bytes = BUF_INIT;
    struct store_result result;
    assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
    store_apply(store, store_applied(store) + 1, buf_span(&bytes), &result, NULL);
    assert_int_equal(result.code, 0);
    store_leases_note(store, now.lease_ms);
    buf_free(&bytes);
    return store_revision(store);
}

static int64_t put(const char *path, int64_t ttl_ms)
{
    return apply((struct store_v2){.type = STORE_V2_SET,
                                   .path = span_str(path),
                                   .value = span_str("v"),
                                   .ttl_ms = ttl_ms,
                                   .lease = ttl_ms > 0 ? 9 : 0});
}

static int64_t make_directory(const char *path)
{
    return apply(
        (struct store_v2){.type = STORE_V2_SET, .path = span_str(path), .directory = true});
}

static int64_t remove_all(const char *path)
{
    return apply((struct store_v2){
        .type = STORE_V2_DELETE, .path = span_str(path), .directory = true, .recursive = true});
}

static int begin(void **state)
{
    (void)state;
    store = store_new();
    events = (struct store_events){0};
    return 0;
}

static int finish(void **state)
{
    (void)state;
    store_events_close(&events);
    store_free(store);
    return 0;
}

/* The events from a revision on, with what was before or without. */
static void look(int64_t revision, bool with_prev)
{
    static const struct span everything = {.data = (const uint8_t *)"", .len = 1};
    struct store_watch watch = {.range_end = everything, .prev_kv = with_prev, .directories = true};
    store_events_close(&events);
    assert_int_equal(store_events(store, &watch, revision, SIZE_MAX, SIZE_MAX, &events, NULL), 0);
}

/* The node of what a watcher of `path` hears first; true: something was there before it. */
static bool node_of(const char *path, struct etcd_v2_node *ret_node, struct etcd_v2_node *ret_prev)
{
    for (size_t i = 0; i < events.kvs.count; i++) {
        struct store_event event;
        (void)store_events_get(&events, i, &event, NULL);
        if (store_v2_event_action(&event, span_str(path), false) != NULL) {
            return etcd_v2_node_of_event(store, &events, i, &now, ret_node, ret_prev);
        }
    }
    fail_msg("no event of '%s'", path);
    return false;
}

static void a_write_tells_what_was_before_it_and_how_long_it_stays(void **state)
{
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    (void)state;
    int64_t first = put("/a", 0);
    look(first, true);
    assert_false(node_of("/a", &node, &prev));
    assert_int_equal(node.created_index, first);
    assert_false(node.has_expiration);
    int64_t second = put("/a", 2500);
    look(second, true);
    assert_true(node_of("/a", &node, &prev));
    assert_int_equal(prev.modified_index, first);
    assert_true(node.has_expiration);
    assert_int_equal(node.ttl_s, 3);
    assert_int_equal(node.expiration_ns, (int64_t)7500 * 1000 * 1000);
}

static void a_lease_that_is_gone_shows_no_ttl_and_one_of_1_ms_none_left(void **state)
{
    struct etcd_v2_node node = {0};
    (void)state;
    etcd_v2_node_set_ttl(&node, &now, -1);
    assert_false(node.has_expiration);
    etcd_v2_node_set_ttl(&node, &now, 1);
    assert_true(node.has_expiration);
    assert_int_equal(node.ttl_s, 0);
    etcd_v2_node_set_ttl(&node, &now, 2);
    assert_int_equal(node.ttl_s, 1);
}

static void what_is_deleted_keeps_its_birth_and_loses_its_value(void **state)
{
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    (void)state;
    int64_t born = put("/a", 0);
    int64_t gone = apply((struct store_v2){.type = STORE_V2_DELETE, .path = span_str("/a")});
    look(gone, true);
    assert_true(node_of("/a", &node, &prev));
    assert_false(node.has_value);
    assert_int_equal(node.created_index, born);
    assert_int_equal(node.modified_index, gone);
    assert_true(prev.has_value);
    look(gone, false); /* a watch that does not ask for it */
    assert_false(node_of("/a", &node, &prev));
    assert_int_equal(node.created_index, 0);
}

static void a_directory_that_nobody_made_is_as_old_as_the_first_key_in_it(void **state)
{
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    (void)state;
    int64_t first = put("/top/deep/a", 0);
    (void)put("/top/z", 0);
    int64_t gone = remove_all("/top");
    (void)put("/later", 0);
    look(gone, true);
    assert_true(node_of("/top", &node, &prev));
    assert_true(node.dir);
    assert_int_equal(node.modified_index, gone);
    assert_int_equal(node.created_index, first);
    assert_int_equal(prev.created_index, node.created_index);
    assert_int_equal(prev.modified_index, node.created_index);
    look(gone, false);
    assert_true(node_of("/top", &node, &prev)); /* it was there, and nobody knows since when */
    assert_int_equal(node.created_index, 0);
}

static void a_directory_that_was_empty_is_no_older_than_is_known(void **state)
{
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    (void)state;
    int64_t made = make_directory("/empty");
    (void)put("/emptyish", 0);
    int64_t gone = remove_all("/empty");
    (void)remove_all("/emptyish");
    look(gone, true);
    assert_true(node_of("/empty", &node, &prev));
    assert_true(node.dir);
    assert_true(node.created_index == 0 || node.created_index == (uint64_t)made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_tells_what_was_before_it_and_how_long_it_stays,
                                        begin, finish),
        cmocka_unit_test(a_lease_that_is_gone_shows_no_ttl_and_one_of_1_ms_none_left),
        cmocka_unit_test_setup_teardown(what_is_deleted_keeps_its_birth_and_loses_its_value, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(
            a_directory_that_nobody_made_is_as_old_as_the_first_key_in_it, begin, finish),
        cmocka_unit_test_setup_teardown(a_directory_that_was_empty_is_no_older_than_is_known, begin,
                                        finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
