/* Growable bytes: against a plain model, at every size round the steps of growth. */
#include "base/buf.h"

#include "base/mem.h"
#include "tests/unit/base/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_buffer_is_an_empty_string(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    assert_int_equal(buf_span(&buf).len, 0);
    assert_string_equal(buf_str(&buf), "");
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
    buf_free(&buf); /* freed is as good as new */
    buf_put_str(&buf, "again");
    assert_string_equal(buf_str(&buf), "again");
    buf_free(&buf);
}

static void integers_are_little_endian(void **state)
{
    static const uint8_t expected[] = {0x01, 0x02, 0x03, 0x07, 0x06, 0x05, 0x04, 0x0f,
                                       0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
    struct buf buf = BUF_INIT;
    (void)state;
    buf_put_u8(&buf, 0x01);
    buf_put_u16(&buf, 0x0302);
    buf_put_u32(&buf, 0x04050607);
    buf_put_u64(&buf, 0x08090a0b0c0d0e0f);
    assert_int_equal(buf.len, sizeof expected);
    assert_memory_equal(buf.data, expected, sizeof expected);
    buf_free(&buf);
}

static void a_length_stands_before_the_bytes(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    buf_put_bytes(&buf, span_of("a\0b", 3));
    buf_put_bytes(&buf, span_of(NULL, 0));
    assert_int_equal(buf.len, 11);
    assert_memory_equal(buf.data, "\3\0\0\0a\0b\0\0\0\0", 11);
    buf_free(&buf);
}

/* Every length up to beyond four doublings, in pieces of every small size. */
static void nothing_is_lost_or_overrun_however_it_grows(void **state)
{
    char model[700];
    (void)state;
    for (size_t i = 0; i < sizeof model; i++) {
        model[i] = (char)('a' + i % 26);
    }
    for (size_t piece = 1; piece < 130; piece++) {
        struct buf buf = BUF_INIT;
        for (size_t len = 0; len + piece <= sizeof model; len += piece) {
            buf_put(&buf, model + len, piece);
            assert_int_equal(buf.len, len + piece);
            assert_true(buf.capacity > buf.len); /* there is room for the terminator */
            assert_int_equal(strlen(buf_str(&buf)), buf.len);
        }
        assert_memory_equal(buf.data, model, buf.len);
        buf_free(&buf);
    }
}

static void printing_appends_text_of_any_length(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    buf_printf(&buf, "%s", "");
    assert_int_equal(buf.len, 0);
    size_t expected = 0;
    for (int width = 1; width < 300; width++) {
        buf_printf(&buf, "%*d", width, width % 10);
        expected += (size_t)width;
        assert_int_equal(buf.len, expected);
        assert_int_equal(buf.data[buf.len - 1], '0' + width % 10);
    }
    buf_free(&buf);
}

static void dropping_takes_from_the_front(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 10; len++) {
        for (size_t drop = 0; drop <= len; drop++) {
            struct buf buf = BUF_INIT;
            buf_put(&buf, "0123456789", len);
            buf_drop(&buf, drop);
            assert_int_equal(buf.len, len - drop);
            assert_true(span_equal(buf_span(&buf), span_of(&"0123456789"[drop], len - drop)));
            buf_free(&buf);
        }
    }
}

static void clearing_keeps_the_memory(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    buf_reserve(&buf, 1000);
    const uint8_t *before = buf.data;
    buf_put_span(&buf, span_str("something"));
    buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    buf_put_str(&buf, "other");
    assert_ptr_equal(buf.data, before);
    assert_string_equal(buf_str(&buf), "other");
    buf_free(&buf);
}

static void what_was_taken_is_the_takers(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    buf_put_str(&buf, "mine");
    char *text = buf_take(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len + buf.capacity, 0);
    buf_put_str(&buf, "next");
    assert_string_equal(text, "mine");
    mem_free(text);
    buf_free(&buf);
    text = buf_take(&buf); /* of nothing: an empty string all the same */
    assert_string_equal(text, "");
    mem_free(text);
}

static void drop_more_than_there_is(void)
{
    struct buf buf = BUF_INIT;
    buf_put_str(&buf, "abc");
    buf_drop(&buf, 4);
}

static void reserve_more_than_there_can_be(void)
{
    struct buf buf = BUF_INIT;
    buf_reserve(&buf, SIZE_MAX / 4);
}

static void put_bytes_whose_length_does_not_fit(void)
{
    struct buf buf = BUF_INIT;
    buf_put_bytes(&buf, span_of("", (size_t)UINT32_MAX + 1));
}

static void misuse_is_caught(void **state)
{
    (void)state;
    assert_true(dies_saying(drop_more_than_there_is, "len <= buf->len"));
    assert_true(dies_saying(reserve_more_than_there_can_be, "more < SIZE_MAX / 4"));
    assert_true(dies_saying(put_bytes_whose_length_does_not_fit, "bytes.len <= UINT32_MAX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(a_length_stands_before_the_bytes),
        cmocka_unit_test(nothing_is_lost_or_overrun_however_it_grows),
        cmocka_unit_test(printing_appends_text_of_any_length),
        cmocka_unit_test(dropping_takes_from_the_front),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(what_was_taken_is_the_takers),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
