/* Borrowed bytes and the bounded reader: every cut of an encoding, and lengths that lie. */
#include "base/span.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_string_is_a_span_without_its_end(void **state)
{
    (void)state;
    assert_int_equal(span_str("abc").len, 3);
    assert_int_equal(span_str("").len, 0);
    assert_int_equal(span_str(NULL).len, 0);
}

/* All pairs of strings over {0x00, 'a', 0xff} up to three bytes. */
static void comparing_is_a_total_order_of_unsigned_bytes(void **state)
{
    static const uint8_t alphabet[] = {0x00, 'a', 0xff};
    uint8_t words[40][3];
    struct span spans[40];
    size_t count = 0;
    (void)state;
    /* In order: a word, then what begins with it. */
    spans[count++] = span_of(NULL, 0);
    for (int a = 0; a < 3; a++) {
        words[count][0] = alphabet[a];
        spans[count] = span_of(words[count], 1);
        count++;
        for (int b = 0; b < 3; b++) {
            memcpy(words[count], (uint8_t[]){alphabet[a], alphabet[b]}, 2);
            spans[count] = span_of(words[count], 2);
            count++;
            for (int c = 0; c < 3; c++) {
                memcpy(words[count], (uint8_t[]){alphabet[a], alphabet[b], alphabet[c]}, 3);
                spans[count] = span_of(words[count], 3);
                count++;
            }
        }
    }
    assert_int_equal(count, 40);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            int order = span_compare(spans[i], spans[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_true(span_equal(spans[i], spans[k]) == (i == k));
            bool begins =
                spans[k].len <= spans[i].len &&
                (spans[k].len == 0 || memcmp(spans[i].data, spans[k].data, spans[k].len) == 0);
            assert_true(span_starts_with(spans[i], spans[k]) == begins);
        }
    }
}

static void a_span_equals_the_string_it_was_made_of(void **state)
{
    (void)state;
    assert_true(span_equal_str(span_of("abcd", 3), "abc"));
    assert_false(span_equal_str(span_of("abcd", 3), "abcd"));
    assert_false(span_equal_str(span_of("abcd", 3), "abx"));
    assert_false(span_equal_str(span_of("ab\0", 3), "ab")); /* a zero is a byte like others */
    assert_true(span_equal_str(span_of(NULL, 0), ""));
}

static void encode(struct buf *buf)
{
    buf_put_u8(buf, 0xa1);
    buf_put_u16(buf, 0xb2b1);
    buf_put_u32(buf, 0xc4c3c2c1);
    buf_put_u64(buf, 0xd8d7d6d5d4d3d2d1);
    buf_put_bytes(buf, span_str("bytes"));
    buf_put_bytes(buf, span_of(NULL, 0));
    buf_put_u8(buf, 0xe1);
}

enum { ENCODED_BYTES = 1 + 2 + 4 + 8 + 9 + 4 + 1 };

static void what_was_put_is_taken(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    encode(&buf);
    assert_int_equal(buf.len, ENCODED_BYTES);
    struct span_reader reader = span_reader_of(buf_span(&buf));
    assert_int_equal(span_take_u8(&reader), 0xa1);
    assert_int_equal(span_take_u16(&reader), 0xb2b1);
    assert_int_equal(span_take_u32(&reader), 0xc4c3c2c1);
    assert_true(span_take_u64(&reader) == 0xd8d7d6d5d4d3d2d1);
    assert_true(span_equal_str(span_take_bytes(&reader, 5), "bytes"));
    assert_int_equal(span_take_bytes(&reader, 0).len, 0);
    assert_false(span_reader_done(&reader)); /* something is left */
    assert_int_equal(span_take_u8(&reader), 0xe1);
    assert_true(span_reader_done(&reader));
    assert_int_equal(span_take_u8(&reader), 0);
    assert_false(span_reader_done(&reader));
    buf_free(&buf);
}

/* Each cut stands alone in its own memory: the sanitizer sees a step beyond it. */
static void every_cut_is_found_and_never_read_past(void **state)
{
    struct buf buf = BUF_INIT;
    (void)state;
    encode(&buf);
    for (size_t len = 0; len < buf.len; len++) {
        uint8_t *cut = mem_try(len);
        memcpy(cut, buf.data, len);
        struct span_reader reader = span_reader_of(span_of(cut, len));
        (void)span_take_u8(&reader);
        (void)span_take_u16(&reader);
        (void)span_take_u32(&reader);
        (void)span_take_u64(&reader);
        (void)span_take_bytes(&reader, 100);
        (void)span_take_bytes(&reader, 100);
        assert_int_equal(span_take_u8(&reader), 0);
        assert_true(reader.failed);
        assert_false(span_reader_done(&reader));
        mem_free(cut);
    }
    buf_free(&buf);
}

static void a_failed_reader_stays_failed(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    (void)state;
    struct span_reader reader = span_reader_of(span_of(bytes, sizeof bytes));
    assert_int_equal(span_take_u32(&reader), 0);
    assert_int_equal(span_take_u8(&reader), 0); /* though there are three */
    assert_int_equal(span_take_u16(&reader), 0);
    assert_true(span_take_u64(&reader) == 0);
    assert_null(span_take_bytes(&reader, 10).data);
    assert_true(reader.failed);
}

static void a_length_that_lies_is_refused(void **state)
{
    static const uint32_t lengths[] = {4, 5, 6, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t len_max = 3; len_max <= 5; len_max++) {
            struct buf buf = BUF_INIT;
            buf_put_u32(&buf, lengths[i]);
            buf_put(&buf, "abcd", 4);
            struct span_reader reader = span_reader_of(buf_span(&buf));
            struct span bytes = span_take_bytes(&reader, len_max);
            bool good = lengths[i] == 4 && len_max >= 4;
            assert_true(reader.failed != good);
            assert_int_equal(bytes.len, good ? 4 : 0);
            buf_free(&buf);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_is_a_span_without_its_end),
        cmocka_unit_test(comparing_is_a_total_order_of_unsigned_bytes),
        cmocka_unit_test(a_span_equals_the_string_it_was_made_of),
        cmocka_unit_test(what_was_put_is_taken),
        cmocka_unit_test(every_cut_is_found_and_never_read_past),
        cmocka_unit_test(a_failed_reader_stays_failed),
        cmocka_unit_test(a_length_that_lies_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
