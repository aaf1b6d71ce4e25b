/* Borrowed bytes, and a bounded reader over them. A span owns nothing; who made the bytes keeps
 * them. Every take checks the bound: on failure it returns false, sets `failed`, and the value is
 * 0, so that a decoder may take all fields and look once at the end. Integers are little endian. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const uint8_t *data;
    size_t len;
};

struct span_reader {
    struct span rest;
    bool failed;
};

struct span span_of(const void *data, size_t len);
struct span span_str(const char *text); /* without the terminator; NULL gives an empty span */
bool span_equal(struct span a, struct span b);
int span_compare(struct span a, struct span b); /* as memcmp, shorter first */
bool span_equal_str(struct span a, const char *text);
bool span_starts_with(struct span a, struct span prefix);

struct span_reader span_reader_of(struct span bytes);
uint8_t span_take_u8(struct span_reader *reader);
uint16_t span_take_u16(struct span_reader *reader);
uint32_t span_take_u32(struct span_reader *reader);
uint64_t span_take_u64(struct span_reader *reader);
/* Length prefix of 4 bytes, then that many bytes (at most `len_max`). Borrowed from the input. */
struct span span_take_bytes(struct span_reader *reader, size_t len_max);
/* True if nothing failed and nothing is left. */
bool span_reader_done(const struct span_reader *reader);

#endif
