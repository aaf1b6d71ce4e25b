/* What a look at v2's tree costs where v2 does not show what is there. */
#include "client_fixture.h"

#include <time.h>

enum { DEPTH = 240, HIDDEN = 1000, FLAT_LOOKS = 10, LOOKS_MAX = 60 };

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

/* Every part of the path is a directory by its last key, behind all those that v2 cannot name. */
static void a_deep_path_costs_as_much_as_a_few_flat_ones(void **state)
{
    struct store *store = store_new();
    char deep[2 * DEPTH + 1];
    char key[STORE_KEY_BYTES_MAX];
    (void)state;
    for (int i = 0; i < DEPTH; i++) {
        memcpy(deep + (ptrdiff_t)(2 * i), "/a", sizeof "/a");
    }
    for (int i = 0; i < HIDDEN; i++) {
        (void)snprintf(key, sizeof key, "%s//%d", deep, i);
        put_key(store, key);
    }
    (void)snprintf(key, sizeof key, "%s/z", deep);
    put_key(store, key);
    (void)snprintf(key, sizeof key, "%s/y", deep);
    double flat = cost_of(store, "/a/b", FLAT_LOOKS);
    assert_true(cost_of(store, key, 1) < LOOKS_MAX * flat);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deep_path_costs_as_much_as_a_few_flat_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
