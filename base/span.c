/* Bounded reading: no take ever goes past the end, and a failed reader stays failed. */
#include "base/span.h"

#include <string.h>

struct span span_of(const void *data, size_t len)
{
    return (struct span){.data = data, .len = len};
}

struct span span_str(const char *text)
{
    return span_of(text, text == NULL ? 0 : strlen(text));
}

int span_compare(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len ? 1 : 0;
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && span_compare(a, b) == 0;
}

bool span_equal_str(struct span a, const char *text)
{
    return span_equal(a, span_str(text));
}

bool span_starts_with(struct span a, struct span prefix)
{
    return a.len >= prefix.len && span_equal(span_of(a.data, prefix.len), prefix);
}

struct span_reader span_reader_of(struct span bytes)
{
    return (struct span_reader){.rest = bytes, .failed = false};
}

static uint64_t take_le(struct span_reader *reader, size_t bytes)
{
    uint64_t value = 0;
    if (reader->failed || reader->rest.len < bytes) {
        reader->failed = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)reader->rest.data[i] << (8 * i);
    }
    reader->rest = span_of(reader->rest.data + bytes, reader->rest.len - bytes);
    return value;
}

uint8_t span_take_u8(struct span_reader *reader)
{
    return (uint8_t)take_le(reader, 1);
}

uint16_t span_take_u16(struct span_reader *reader)
{
    return (uint16_t)take_le(reader, 2);
}

uint32_t span_take_u32(struct span_reader *reader)
{
    return (uint32_t)take_le(reader, 4);
}

uint64_t span_take_u64(struct span_reader *reader)
{
    return take_le(reader, 8);
}

struct span span_take_bytes(struct span_reader *reader, size_t len_max)
{
    size_t len = span_take_u32(reader);
    if (reader->failed || len > len_max || len > reader->rest.len) {
        reader->failed = true;
        return span_of(NULL, 0);
    }
    struct span taken = span_of(reader->rest.data, len);
    reader->rest = span_of(reader->rest.data + len, reader->rest.len - len);
    return taken;
}

bool span_reader_done(const struct span_reader *reader)
{
    return !reader->failed && reader->rest.len == 0;
}
