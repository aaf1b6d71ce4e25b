#include "base/arena.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    struct arena arena;
    uint8_t *pieces[100];
    (void)state;
    arena_init(&arena, SIZE_MAX / 2);
    for (size_t i = 0; i < 100; i++) {
        size_t bytes = i * 97;
        pieces[i] = arena_take(&arena, 1, bytes);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < bytes; j++) {
            assert_int_equal(pieces[i][j], 0);
        }
        memset(pieces[i], (int)i, bytes);
    }
    for (size_t i = 1; i < 100; i++) {
        assert_int_equal(pieces[i][0], i);
        assert_int_equal(pieces[i][i * 97 - 1], i);
    }
    arena_free(&arena);
    arena_free(&arena); /* nothing left */
}

static void the_budget_holds(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 64);
    assert_non_null(arena_take(&arena, 3, 16));
    assert_null(arena_take(&arena, 1, 17));
    assert_non_null(arena_take(&arena, 1, 16));
    assert_null(arena_take(&arena, 0, 0)); /* even nothing costs a little */
    arena_free(&arena);
}

/* There is room for what each of these products comes to when it has overflowed. */
static void a_product_that_overflows_is_no_piece(void **state)
{
    static const struct {
        size_t count;
        size_t bytes;
    } cases[] = {{SIZE_MAX / 16 + 2, 16}, {SIZE_MAX / 2 + 2, 2}, {SIZE_MAX, 1}, {1, SIZE_MAX - 14}};
    struct arena arena;
    (void)state;
    arena_init(&arena, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(arena_take(&arena, cases[i].count, cases[i].bytes));
    }
    assert_non_null(arena_take(&arena, SIZE_MAX, 0));
    arena_free(&arena);
}

/* What is left of the budget, in blocks of its own. */
static void an_arena_may_be_used_again(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 10000);
    assert_non_null(arena_take(&arena, 1, 5000));
    arena_free(&arena);
    assert_null(arena_take(&arena, 1, 5000));
    uint8_t *piece = arena_take(&arena, 1, 4096);
    assert_non_null(piece);
    memset(piece, 1, 4096);
    arena_free(&arena);
}

static void no_memory_is_no_piece(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 1000);
    mem_fault_at(1);
    assert_null(arena_take(&arena, 1, 16));
    assert_non_null(arena_take(&arena, 1, 16));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(a_product_that_overflows_is_no_piece),
        cmocka_unit_test(an_arena_may_be_used_again),
        cmocka_unit_test(no_memory_is_no_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
