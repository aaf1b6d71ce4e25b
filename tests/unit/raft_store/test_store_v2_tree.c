/* What a look at v2's tree costs where v2 does not show what is there. */
#include "client_fixture.h"

#include <time.h>

enum { DEPTH = 240, HIDDEN = 1000, FLAT_LOOKS = 10, LOOKS_MAX = 60, LONG_MAX = 8 };

static void put_key(struct store *store, const char *key)
{
    assert_int_equal(put(store, "", key, "", 0).code, 0);
}

/* Processor time of one look at what is not there, in a directory that is. */
static double cost_of(const struct store *store, const char *path, int times)
{
    clock_t start = clock();
    for (int i = 0; i < times; i++) {
        struct store_v2_node node;
        struct span cause;
        assert_int_equal(store_v2_get(store, span_str(path), &node, &cause),
                         STORE_V2_KEY_NOT_FOUND);
        assert_true(span_equal_str(cause, path));
    }
    return (double)(clock() - start) / times;
}

static void go_deep(char path[2 * DEPTH + 1])
{
    for (int i = 0; i < DEPTH; i++) {
        memcpy(path + (ptrdiff_t)(2 * i), "/a", sizeof "/a");
    }
}

static void put_hidden(struct store *store, const char *below)
{
    char key[STORE_KEY_BYTES_MAX];
    for (int i = 0; i < HIDDEN; i++) {
        (void)snprintf(key, sizeof key, "%s//%d", below, i);
        put_key(store, key);
    }
}

/* Every part of the path is a directory by its last key, behind all those that v2 cannot name. */
static void a_deep_path_costs_as_much_as_a_few_flat_ones(void **state)
{
    struct store *store = store_new();
    char deep[2 * DEPTH + 1];
    char key[STORE_KEY_BYTES_MAX];
    (void)state;
    go_deep(deep);
    put_hidden(store, deep);
    (void)snprintf(key, sizeof key, "%s/z", deep);
    put_key(store, key);
    (void)snprintf(key, sizeof key, "%s/y", deep);
    double flat = cost_of(store, "/a/b", FLAT_LOOKS);
    assert_true(cost_of(store, key, 1) < LOOKS_MAX * flat);
    store_free(store);
}

/* They are passed over one by one, but not read. */
static void long_names_that_v2_cannot_name_cost_as_much_as_short_ones(void **state)
{
    char deep[2 * DEPTH + 1];
    double costs[2];
    (void)state;
    go_deep(deep);
    for (size_t i = 0; i < 2; i++) {
        struct store *store = store_new();
        put_hidden(store, i == 0 ? "/a" : deep);
        put_key(store, "/a/z");
        costs[i] = cost_of(store, "/a/b", FLAT_LOOKS);
        store_free(store);
    }
    assert_true(costs[1] < LONG_MAX * costs[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deep_path_costs_as_much_as_a_few_flat_ones),
        cmocka_unit_test(long_names_that_v2_cannot_name_cost_as_much_as_short_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
