/* Growable bytes that the caller owns: BUF_INIT or zeroed, then put, then buf_free. Integers are
 * little endian, as span.h reads them. Grows by doubling and aborts when memory is out: bound sizes
 * that come from outside before putting. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

#define BUF_INIT \
    {            \
        0        \
    }

void buf_free(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
void buf_reserve(struct buf *buf, size_t more);
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_put_span(struct buf *buf, struct span bytes);
void buf_put_str(struct buf *buf, const char *text); /* bytes only, no terminator */
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_bytes(struct buf *buf, struct span bytes); /* 4 byte length, then the bytes */
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *buf, size_t len); /* removes `len` bytes from the front */
struct span buf_span(const struct buf *buf);
/* The bytes with a terminating zero after them (not counted in len). Valid until the next put. */
const char *buf_str(struct buf *buf);
/* Hands the memory over, zero-terminated; the buffer is empty afterwards. Free with mem_free. */
char *buf_take(struct buf *buf);

#endif
