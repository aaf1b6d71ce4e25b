/* Golden files of bytes: lines of a name and hex. GOLDEN_WRITE=1 rewrites them; the diff is to be
 * reviewed. */
#ifndef TESTS_GOLDEN_FIXTURE_H
#define TESTS_GOLDEN_FIXTURE_H

#include "store_fixture.h"

#include <stdlib.h>

#define GOLDEN_DIR "tests/golden/store/"

static inline void put_hex(struct buf *out, const char *name, struct span bytes)
{
    buf_printf(out, "%s ", name);
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(out, "%02x", bytes.data[i]);
    }
    buf_put_str(out, "\n");
}

static inline void assert_golden(const char *path, struct buf *text)
{
    if (getenv("GOLDEN_WRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
        assert_int_equal(fclose(file), 0);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *found = mem_try(text->len + 2);
    size_t len = fread(found, 1, text->len + 1, file);
    assert_int_equal(fclose(file), 0);
    found[len] = 0;
    assert_string_equal(found, buf_str(text));
    mem_free(found);
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

#endif
