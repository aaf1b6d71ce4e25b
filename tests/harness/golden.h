/* Texts that are kept in files below tests/golden: what two releases have to understand of each
 * other, and what is reviewed as a diff. GOLDEN_WRITE=1 writes them anew. */
#ifndef TESTS_HARNESS_GOLDEN_H
#define TESTS_HARNESS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GOLDEN_BYTES_MAX = 1 << 16 };

/* `text` is what `path` has, to its end. */
static inline void golden_check(const char *path, const char *text)
{
    static char found[GOLDEN_BYTES_MAX];
    size_t len = strlen(text);
    assert_true(len + 1 < sizeof found);
    if (getenv("GOLDEN_WRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, len, file), len);
        assert_int_equal(fclose(file), 0);
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("%s is missing", path);
    }
    len = fread(found, 1, sizeof found - 1, file);
    assert_int_equal(fclose(file), 0);
    found[len] = '\0';
    assert_string_equal(found, text);
}

/* `bytes` in hex, 32 a line, with `between` between two of them. */
static inline void golden_hex(const char *path, const void *bytes, size_t len, const char *between)
{
    static char text[GOLDEN_BYTES_MAX];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < len; i++) {
        bool ends = i % 32 == 31 || i + 1 == len;
        assert_true(at + 8 < sizeof text);
        at += (size_t)snprintf(text + at, sizeof text - at, "%02x%s", ((const uint8_t *)bytes)[i],
                               ends ? "\n" : between);
    }
    golden_check(path, text);
}

/* The bytes of a file of hex, to be read: those of a release before (tests/golden/0.1). */
static inline size_t golden_bytes(const char *path, uint8_t *ret_bytes, size_t size)
{
    size_t len = 0;
    unsigned byte = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("%s is missing", path);
    }
    while (fscanf(file, "%2x", &byte) == 1) {
        assert_true(len < size);
        ret_bytes[len++] = (uint8_t)byte;
    }
    assert_true(feof(file) && len > 0);
    assert_int_equal(fclose(file), 0);
    return len;
}

#endif
