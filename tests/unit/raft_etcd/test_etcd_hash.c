/* Hashes of states: the same everywhere, another for whatever differs. */
#include "raft/etcd/etcd_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t text[] = "0123456789abcdefghij";
enum { TEXT_BYTES = sizeof text - 1 };

static uint32_t hash_of(struct span bytes)
{
    return etcd_hash_end(etcd_hash_bytes(ETCD_HASH_BEGIN, bytes));
}

/* Members of one group on machines of different kinds are compared. */
static void a_text_has_one_hash(void **state)
{
    (void)state;
    assert_int_equal(hash_of(span_of(text, 0)), 0x5f84bc1au);
    assert_int_equal(hash_of(span_of(text, 8)), 0x89f92969u);
    assert_int_equal(hash_of(span_of(text, TEXT_BYTES)), 0x00163d9eu);
}

static void every_bit_counts(void **state)
{
    uint8_t bent[TEXT_BYTES];
    (void)state;
    for (size_t len = 1; len <= TEXT_BYTES; len++) {
        uint32_t hash = hash_of(span_of(text, len));
        for (size_t bit = 0; bit < 8 * len; bit++) {
            memcpy(bent, text, len);
            bent[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_int_not_equal(hash_of(span_of(bent, len)), hash);
        }
    }
}

static void lengths_and_places_count(void **state)
{
    static const uint8_t zeros[TEXT_BYTES];
    (void)state;
    for (size_t len = 1; len <= TEXT_BYTES; len++) {
        assert_int_not_equal(hash_of(span_of(zeros, len)), hash_of(span_of(zeros, len - 1)));
        uint64_t left = etcd_hash_bytes(ETCD_HASH_BEGIN, span_of(text, len));
        uint64_t right = etcd_hash_bytes(ETCD_HASH_BEGIN, span_of(text, len - 1));
        assert_int_not_equal(
            etcd_hash_end(etcd_hash_bytes(left, span_of(text + len, TEXT_BYTES - len))),
            etcd_hash_end(etcd_hash_bytes(right, span_of(text + len - 1, TEXT_BYTES - len + 1))));
    }
    assert_int_not_equal(etcd_hash_number(etcd_hash_number(ETCD_HASH_BEGIN, 1), 2),
                         etcd_hash_number(etcd_hash_number(ETCD_HASH_BEGIN, 2), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_one_hash),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(lengths_and_places_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
