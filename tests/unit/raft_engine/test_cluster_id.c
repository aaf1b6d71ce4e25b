/* Which cluster takes the place of which, by their ids alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raft/engine/cluster_id.h"

#define FIRST 0x1122334455667788u

static void a_recovery_takes_the_place_of_its_cluster(void **state)
{
    (void)state;
    uint64_t clusters[100] = {FIRST};
    for (size_t i = 1; i < 100; i++) {
        clusters[i] = cluster_id_recovered(clusters[i - 1], 0xabcdef0000 + i);
        for (size_t j = 0; j < i; j++) {
            assert_true(cluster_id_replaces(clusters[i], clusters[j]));
            assert_false(cluster_id_replaces(clusters[j], clusters[i]));
            assert_false(cluster_id_is_foreign(clusters[i], clusters[j]));
            assert_false(cluster_id_is_foreign(clusters[j], clusters[i]));
        }
    }
}

static void two_recoveries_of_one_cluster_are_strangers(void **state)
{
    (void)state;
    uint64_t one = cluster_id_recovered(FIRST, 1);
    uint64_t other = cluster_id_recovered(FIRST, 2);
    assert_false(cluster_id_replaces(one, other));
    assert_false(cluster_id_replaces(other, one));
    assert_true(cluster_id_is_foreign(one, other));
}

static void others_and_none_take_nobodys_place(void **state)
{
    (void)state;
    uint64_t recovered = cluster_id_recovered(FIRST, 1);
    assert_false(cluster_id_replaces(FIRST, FIRST));
    assert_false(cluster_id_is_foreign(FIRST, FIRST));
    assert_false(cluster_id_replaces(recovered + ((uint64_t)1 << 32), FIRST));
    assert_true(cluster_id_is_foreign(recovered + ((uint64_t)1 << 32), FIRST));
    assert_false(cluster_id_replaces(recovered, 0));
    assert_false(cluster_id_replaces(0, FIRST));
    assert_false(cluster_id_is_foreign(0, FIRST));
    assert_true(cluster_id_recovered(0xff000000, 0) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recovery_takes_the_place_of_its_cluster),
        cmocka_unit_test(two_recoveries_of_one_cluster_are_strangers),
        cmocka_unit_test(others_and_none_take_nobodys_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
