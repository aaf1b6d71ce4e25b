/* The intrusive list against a plain array: every short sequence of operations. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 3
#define STEPS 5

struct item {
    int before;
    struct list link;
    int after;
};

static void an_owner_is_found_from_its_link(void **state)
{
    struct item item = {.before = 1, .after = 2};
    (void)state;
    assert_ptr_equal(LIST_OWNER(&item.link, struct item, link), &item);
}

static void assert_holds(const struct list *head, struct item *items, const int *model,
                         size_t count)
{
    const struct list *last = head;
    size_t i = 0;
    LIST_EACH(link, head)
    {
        assert_true(i < count);
        assert_ptr_equal(LIST_OWNER(link, struct item, link), &items[model[i]]);
        assert_ptr_equal(link->prev, last);
        last = link;
        i++;
    }
    assert_int_equal(i, count);
    assert_ptr_equal(head->prev, last);
    assert_true(list_empty(head) == (count == 0));
    assert_ptr_equal(list_first(head), count == 0 ? NULL : &items[model[0]].link);
}

/* A step is "append or remove item i"; removing one that is in no list does nothing. */
static void every_short_sequence_keeps_the_order(void **state)
{
    int sequences = 1;
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        sequences *= 2 * ITEMS;
    }
    for (int sequence = 0; sequence < sequences; sequence++) {
        struct list head;
        struct item items[ITEMS] = {0}; /* zeroed: in no list */
        int model[ITEMS];
        size_t count = 0;
        list_init(&head);
        for (int step = 0, code = sequence; step < STEPS; step++, code /= 2 * ITEMS) {
            int which = code % (2 * ITEMS) / 2;
            size_t at = 0;
            while (at < count && model[at] != which) {
                at++;
            }
            if (code % 2 == 0 && at == count) {
                list_append(&head, &items[which].link);
                model[count++] = which;
            } else if (code % 2 == 1) {
                list_remove(&items[which].link);
                if (at < count) {
                    memmove(model + at, model + at + 1, (count - at - 1) * sizeof model[0]);
                    count--;
                }
                assert_true(list_empty(&items[which].link));
            }
            assert_holds(&head, items, model, count);
        }
    }
}

static void a_zeroed_head_is_empty(void **state)
{
    const struct list head = {0};
    (void)state;
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
}

/* Every subset of four may go while the list is walked. */
static void the_current_element_may_be_removed_in_the_loop(void **state)
{
    (void)state;
    for (unsigned gone = 0; gone < 16; gone++) {
        struct list head;
        struct item items[4] = {0};
        unsigned seen = 0;
        unsigned left = 0;
        list_init(&head);
        for (int i = 0; i < 4; i++) {
            items[i].before = i;
            list_append(&head, &items[i].link);
        }
        LIST_EACH(link, &head)
        {
            unsigned bit = 1U << LIST_OWNER(link, struct item, link)->before;
            seen |= bit;
            if ((gone & bit) != 0) {
                list_remove(link);
            }
        }
        LIST_EACH(link, &head)
        {
            left |= 1U << LIST_OWNER(link, struct item, link)->before;
        }
        assert_int_equal(seen, 15);
        assert_int_equal(left, 15 & ~gone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_is_found_from_its_link),
        cmocka_unit_test(every_short_sequence_keeps_the_order),
        cmocka_unit_test(a_zeroed_head_is_empty),
        cmocka_unit_test(the_current_element_may_be_removed_in_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
