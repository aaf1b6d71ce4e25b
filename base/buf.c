/* Growable bytes. Always room for one more byte than len, so that buf_str never fails. */
#include "base/buf.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 64 };

void buf_free(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

void buf_reserve(struct buf *buf, size_t more)
{
    ASSERT(more < SIZE_MAX / 4 && buf->len < SIZE_MAX / 4);
    size_t need = buf->len + more + 1;
    if (need <= buf->capacity) {
        return;
    }
    size_t capacity = buf->capacity == 0 ? BUF_FIRST_BYTES : buf->capacity;
    while (capacity < need) {
        capacity *= 2;
    }
    buf->data = mem_resize(buf->data, capacity);
    buf->capacity = capacity;
}

void buf_put(struct buf *buf, const void *data, size_t len)
{
    buf_reserve(buf, len);
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
}

void buf_put_span(struct buf *buf, struct span bytes)
{
    buf_put(buf, bytes.data, bytes.len);
}

void buf_put_str(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

static void put_le(struct buf *buf, uint64_t value, size_t bytes)
{
    uint8_t raw[8];
    for (size_t i = 0; i < bytes; i++) {
        raw[i] = (uint8_t)(value >> (8 * i));
    }
    buf_put(buf, raw, bytes);
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    put_le(buf, value, 1);
}

void buf_put_u16(struct buf *buf, uint16_t value)
{
    put_le(buf, value, 2);
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
    put_le(buf, value, 4);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    put_le(buf, value, 8);
}

void buf_put_bytes(struct buf *buf, struct span bytes)
{
    ASSERT(bytes.len <= UINT32_MAX);
    buf_put_u32(buf, (uint32_t)bytes.len);
    buf_put_span(buf, bytes);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);
    buf_reserve(buf, (size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, fmt, args);
    va_end(args);
    buf->len += (size_t)len;
}

void buf_drop(struct buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    buf->len -= len;
    if (len > 0 && buf->len > 0) {
        memmove(buf->data, buf->data + len, buf->len);
    }
}

struct span buf_span(const struct buf *buf)
{
    return span_of(buf->data, buf->len);
}

const char *buf_str(struct buf *buf)
{
    buf_reserve(buf, 0);
    buf->data[buf->len] = 0;
    return (const char *)buf->data;
}

char *buf_take(struct buf *buf)
{
    (void)buf_str(buf);
    char *text = (char *)buf->data;
    *buf = (struct buf)BUF_INIT;
    return text;
}
