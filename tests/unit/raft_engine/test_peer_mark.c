/* What is remembered of the others' directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raft/engine/peer_mark.h"

static struct peer_marks marks;

static bool hears(uint64_t id, uint64_t term, uint64_t last, uint64_t committed)
{
    const struct raft_mark mark = {.term = term, .last = last, .committed = committed};
    struct raft_mark before;
    return peer_marks_hear(&marks, id, &mark, &before);
}

static void a_directory_only_gains(void **state)
{
    (void)state;
    marks = (struct peer_marks){0};
    assert_true(hears(1, 3, 100, 80));
    assert_true(hears(1, 3, 90, 80)); /* an end that nobody committed is replaced */
    assert_true(hears(1, 4, 80, 10)); /* a start does not know yet what is committed */
    assert_false(hears(1, 4, 79, 10));
    assert_false(hears(1, 3, 200, 200));
    assert_true(hears(1, 4, 81, 81));
    assert_false(hears(1, 4, 80, 80));
    assert_true(hears(2, 1, 1, 1)); /* each for itself */
}

static void who_is_told_sees_what_it_had(void **state)
{
    (void)state;
    marks = (struct peer_marks){0};
    const struct raft_mark less = {.term = 2, .last = 5, .committed = 5};
    struct raft_mark before = {0};
    assert_true(hears(1, 3, 100, 80));
    assert_false(peer_marks_hear(&marks, 1, &less, &before));
    assert_int_equal(before.term, 3);
    assert_int_equal(before.committed, 80);
}

static void the_oldest_id_makes_room(void **state)
{
    (void)state;
    marks = (struct peer_marks){0};
    for (uint64_t id = 1; id <= PEER_MARKS_MAX + 1; id++) {
        assert_true(hears(id, 9, 9, 9));
    }
    assert_true(hears(1, 1, 1, 1)); /* forgotten */
    assert_false(hears(3, 1, 1, 1));
    assert_int_equal(marks.count, PEER_MARKS_MAX);
}

static void a_mark_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct raft_mark mark = {.term = 3, .last = 0x0102030405060708, .committed = 7};
    struct raft_mark back = {0};
    struct buf bytes = BUF_INIT;
    peer_mark_encode(&mark, &bytes);
    assert_int_equal(bytes.len, 24);
    assert_int_equal(peer_mark_decode(buf_span(&bytes), &back), 0);
    assert_memory_equal(&back, &mark, sizeof mark);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(peer_mark_decode(span_of(bytes.data, len), &back), ERR_INVALID);
    }
    buf_put_u8(&bytes, 0);
    assert_int_equal(peer_mark_decode(buf_span(&bytes), &back), ERR_INVALID);
    buf_clear(&bytes);
    const struct raft_mark wrong = {.term = 1, .last = 5, .committed = 6};
    peer_mark_encode(&wrong, &bytes);
    assert_int_equal(peer_mark_decode(buf_span(&bytes), &back), ERR_INVALID);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_only_gains),
        cmocka_unit_test(who_is_told_sees_what_it_had),
        cmocka_unit_test(the_oldest_id_makes_room),
        cmocka_unit_test(a_mark_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
