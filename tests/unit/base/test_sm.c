/* State machines and assertions: what is not allowed ends the process and says where. */
#include "base/assert.h"
#include "base/random.h"
#include "base/sm.h"

#include "tests/unit/base/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum light { RED, GREEN, YELLOW, LIGHTS };

static const struct sm_state lights[LIGHTS] = {
    [RED] = {"red", SM(GREEN)},
    [GREEN] = {"green", SM(YELLOW)},
    [YELLOW] = {"yellow", SM(RED) | SM(YELLOW)},
};

static void only_the_moves_of_the_table_are_made(void **state)
{
    static const bool may[LIGHTS][LIGHTS] = {
        [RED] = {[GREEN] = true},
        [GREEN] = {[YELLOW] = true},
        [YELLOW] = {[RED] = true, [YELLOW] = true},
    };
    (void)state;
    for (unsigned from = 0; from < LIGHTS; from++) {
        for (unsigned to = 0; to < LIGHTS; to++) {
            assert_true(sm_may(lights, LIGHTS, from, to) == may[from][to]);
            if (may[from][to]) {
                unsigned light = from;
                sm_move(lights, LIGHTS, &light, to);
                assert_int_equal(light, to);
            }
        }
    }
}

static void the_last_of_64_states_has_its_bit(void **state)
{
    struct sm_state table[SM_STATES_MAX] = {[0] = {"first", SM(63)}, [63] = {"last", SM(0)}};
    (void)state;
    assert_true(sm_may(table, SM_STATES_MAX, 0, 63));
    assert_true(sm_may(table, SM_STATES_MAX, 63, 0));
    assert_false(sm_may(table, SM_STATES_MAX, 63, 63));
    assert_false(sm_may(table, SM_STATES_MAX, 0, 31));
}

static void move_wrongly(void)
{
    unsigned light = RED;
    sm_move(lights, LIGHTS, &light, YELLOW);
}

static void move_nowhere(void)
{
    unsigned light = RED;
    sm_move(lights, LIGHTS, &light, LIGHTS);
}

static void assert_a_lie(void)
{
    ASSERT(1 + 1 == 3);
}

static void what_must_not_be_ends_the_process_and_says_where(void **state)
{
    (void)state;
    assert_true(dies_saying(move_wrongly, "sm.h:"));
    assert_true(dies_saying(move_nowhere, "to < count"));
    assert_true(dies_saying(assert_a_lie, "test_sm.c:"));
    assert_true(dies_saying(assert_a_lie, ": assertion failed: 1 + 1 == 3\n"));
}

static void an_assertion_looks_once(void **state)
{
    int looks = 0;
    (void)state;
    ASSERT(++looks == 1);
    assert_int_equal(looks, 1);
}

static void random_bits_come_and_differ(void **state)
{
    const struct random *random = random_real();
    uint64_t ones = 0;
    uint64_t zeros = 0;
    uint64_t last = random_next(random);
    (void)state;
    for (int i = 0; i < 200; i++) { /* that a bit stays the same has a chance of 2^-193 */
        uint64_t value = random_next(random);
        assert_true(value != last);
        ones |= value;
        zeros |= ~value;
        last = value;
    }
    assert_true(ones == UINT64_MAX);
    assert_true(zeros == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_moves_of_the_table_are_made),
        cmocka_unit_test(the_last_of_64_states_has_its_bit),
        cmocka_unit_test(what_must_not_be_ends_the_process_and_says_where),
        cmocka_unit_test(an_assertion_looks_once),
        cmocka_unit_test(random_bits_come_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
