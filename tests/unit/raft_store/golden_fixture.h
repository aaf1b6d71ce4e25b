/* Golden files of bytes: lines of a name and hex. */
#ifndef TESTS_GOLDEN_FIXTURE_H
#define TESTS_GOLDEN_FIXTURE_H

#include "raft/store_client.h"
#include "store_fixture.h"
#include "tests/harness/golden.h"

#define GOLDEN_DIR "tests/golden/store/"
/* A span, in an initializer. */
#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static inline void put_hex(struct buf *out, const char *name, struct span bytes)
{
    buf_printf(out, "%s ", name);
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(out, "%02x", bytes.data[i]);
    }
    buf_put_str(out, "\n");
}

static inline uint8_t hex_digit(int digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* The bytes of line `name`. */
static inline void read_golden(const char *path, const char *name, struct buf *out)
{
    FILE *file = fopen(path, "r");
    char word[64];
    assert_non_null(file);
    while (fscanf(file, "%63s ", word) == 1) {
        bool wanted = strcmp(word, name) == 0;
        for (int high = fgetc(file); high != '\n' && high != EOF; high = fgetc(file)) {
            int low = fgetc(file);
            if (wanted) {
                buf_put_u8(out, (uint8_t)(hex_digit(high) << 4 | hex_digit(low)));
            }
        }
    }
    assert_int_equal(fclose(file), 0);
    assert_true(out->len > 0);
}

/* --- commands --------------------------------------------------------------------------------- */

struct golden_command {
    const char *name;
    struct store_command command;
};

static inline struct buf encoded(const struct store_command *command)
{
    struct buf bytes = BUF_INIT;
    assert_int_equal(store_command_encode(command, &bytes, NULL), 0);
    return bytes;
}

static inline void assert_golden_commands(const char *path, const struct golden_command *golden,
                                          size_t count)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        struct buf bytes = encoded(&golden[i].command);
        put_hex(&text, golden[i].name, buf_span(&bytes));
        buf_free(&bytes);
    }
    golden_check(path, buf_str(&text));
    buf_free(&text);
}

static inline void assert_refused(struct span bytes)
{
    struct store_command decoded;
    struct buf arena = BUF_INIT;
    assert_int_equal(store_command_decode(bytes, &decoded, &arena, NULL), ERR_INVALID);
    buf_free(&arena);
}

/* Decoded and encoded again gives the same bytes; cut anywhere, or with a byte more, it is refused.
 */
static inline void assert_round_trip(const struct store_command *command)
{
    struct buf bytes = encoded(command);
    struct buf arena = BUF_INIT;
    struct store_command decoded;
    assert_int_equal(store_command_decode(buf_span(&bytes), &decoded, &arena, NULL), 0);
    struct buf again = encoded(&decoded);
    assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
    for (size_t cut = 0; cut < bytes.len; cut++) {
        assert_refused(span_of(bytes.data, cut));
    }
    buf_put_u8(&bytes, 0);
    assert_refused(buf_span(&bytes));
    buf_free(&bytes);
    buf_free(&again);
    buf_free(&arena);
}

/* With each bit of it turned, two members agree on what came of it; one collects outputs. */
static inline void assert_damage_is_alike(const struct store_command *command, struct store *one,
                                          struct store *two)
{
    struct buf bytes = encoded(command);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct store_output *output = store_output_new();
        uint64_t index = store_applied(one) + 1;
        struct store_result a;
        struct store_result b;
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        store_apply(one, index, buf_span(&bytes), &a, output);
        store_apply(two, index, buf_span(&bytes), &b, NULL);
        assert_int_equal(a.code, b.code);
        assert_int_equal(a.revision, b.revision);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        store_output_unref(output);
    }
    buf_free(&bytes);
}

#endif
