/* Two tiers: what aborts, and what may fail, by a real limit and by the fault hook. */
#include "base/mem.h"

#include "tests/unit/base/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The sanitizers take a size that nobody has for a bug unless told. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void new_memory_is_zeroed(void **state)
{
    (void)state;
    /* Dirty what the allocator will hand out again. */
    for (int round = 0; round < 3; round++) {
        for (size_t bytes = 0; bytes < 300; bytes += 7) {
            unsigned char *block = mem_alloc(bytes);
            unsigned char *tried = mem_try(bytes);
            assert_non_null(block);
            assert_non_null(tried);
            for (size_t i = 0; i < bytes; i++) {
                assert_int_equal(block[i] | tried[i], 0);
                block[i] = tried[i] = 0xa5;
            }
            mem_free(block);
            mem_free(tried);
        }
    }
    int *numbers = mem_new_array(int, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(numbers[i], 0);
    }
    mem_free(numbers);
}

static void resizing_keeps_what_fits(void **state)
{
    (void)state;
    char *text = mem_resize(NULL, 4);
    memcpy(text, "abc", 4);
    text = mem_resize(text, 100000);
    assert_string_equal(text, "abc");
    text = mem_resize(text, 2);
    assert_memory_equal(text, "ab", 2);
    text = mem_resize(text, 0);
    assert_non_null(text);
    mem_free(text);
}

static void copies_are_terminated_and_their_own(void **state)
{
    (void)state;
    char source[] = "source";
    char *copy = mem_strdup(source);
    source[0] = 'X';
    assert_string_equal(copy, "source");
    mem_free(copy);
    assert_null(mem_strdup(NULL));

    copy = mem_strndup("abcdef", 3);
    assert_string_equal(copy, "abc");
    mem_free(copy);
    copy = mem_strndup("ab", 30); /* the terminator ends it */
    assert_string_equal(copy, "ab");
    mem_free(copy);

    copy = mem_memdup("a\0b", 3);
    assert_memory_equal(copy, "a\0b", 4); /* and a zero that was not asked for */
    mem_free(copy);
    copy = mem_memdup(NULL, 0);
    assert_string_equal(copy, "");
    mem_free(copy);
}

static void printing_takes_as_much_as_it_needs(void **state)
{
    (void)state;
    for (int width = 1; width < 5000; width += 617) {
        char *text = mem_printf("%0*d|%s", width, 7, "end");
        assert_int_equal(strlen(text), (size_t)width + 4);
        assert_string_equal(text + width, "|end");
        mem_free(text);
    }
    char *text = mem_printf("%s", "");
    assert_string_equal(text, "");
    mem_free(text);
}

static void freeing_nothing_is_nothing(void **state)
{
    (void)state;
    mem_free(NULL);
}

static void a_size_nobody_has_is_refused_by_try(void **state)
{
    (void)state;
    volatile size_t too_much = SIZE_MAX / 2; /* the compiler must not see it */
    assert_null(mem_try(too_much));
}

static void the_hook_fails_the_nth_try_and_no_other(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 5; n++) {
        mem_fault_at(n);
        for (unsigned call = 1; call <= 8; call++) {
            void *block = mem_try(16);
            assert_true((block == NULL) == (call == n));
            mem_free(block);
        }
    }
    mem_fault_at(2);
    mem_fault_at(0); /* off */
    for (unsigned call = 1; call <= 4; call++) {
        void *block = mem_try(16);
        assert_non_null(block);
        mem_free(block);
    }
}

static void the_hook_leaves_the_first_tier_alone(void **state)
{
    (void)state;
    mem_fault_at(1);
    char *text = mem_printf("%d", 1);
    text = mem_resize(text, 20);
    mem_free(text);
    mem_free(mem_alloc(1));
    assert_null(mem_try(1)); /* it was still the first try */
}

static void alloc_too_much(void)
{
    volatile size_t too_much = SIZE_MAX / 2;
    mem_free(mem_alloc(too_much));
}

static void alloc_overflowing_array(void)
{
    volatile size_t count = SIZE_MAX / 4 + 2; /* times 8 it would be 8 bytes */
    mem_free(mem_alloc_array(count, 8));
}

static void resize_too_much(void)
{
    volatile size_t too_much = SIZE_MAX / 2;
    mem_free(mem_resize(NULL, too_much));
}

static void memdup_overflowing(void)
{
    volatile size_t too_much = SIZE_MAX;
    mem_free(mem_memdup("", too_much));
}

static void the_first_tier_aborts_instead_of_failing(void **state)
{
    (void)state;
    assert_true(dies_saying(alloc_too_much, "assertion failed: ptr != NULL"));
    assert_true(dies_saying(resize_too_much, "assertion failed: moved != NULL"));
    assert_true(dies_saying(alloc_overflowing_array, "count <= SIZE_MAX / bytes"));
    assert_true(dies_saying(memdup_overflowing, "bytes < SIZE_MAX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_memory_is_zeroed),
        cmocka_unit_test(resizing_keeps_what_fits),
        cmocka_unit_test(copies_are_terminated_and_their_own),
        cmocka_unit_test(printing_takes_as_much_as_it_needs),
        cmocka_unit_test(freeing_nothing_is_nothing),
        cmocka_unit_test(a_size_nobody_has_is_refused_by_try),
        cmocka_unit_test(the_hook_fails_the_nth_try_and_no_other),
        cmocka_unit_test(the_hook_leaves_the_first_tier_alone),
        cmocka_unit_test(the_first_tier_aborts_instead_of_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
