/* PURE. A table of states, byte by byte but for the data. A line ends in CR LF alone, there is no
 * space in front of or behind a size, and no folded trailer. */
#include "base/net/http1_chunks.h"

#include <string.h>

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What a name may be made of (RFC 9110, 5.6.2). */
static bool is_token(uint8_t c)
{
    bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    bool is_digit = c >= '0' && c <= '9';
    return is_letter || is_digit || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* All of the frame that is not body: 16 bytes of it are free for a chunk, and as many again as
 * twice its data. */
static void note_excess(struct http1_chunks *chunks)
{
    size_t had = chunks->excess + chunks->line_len;
    size_t allowed = 16 + 2 * chunks->left;
    chunks->excess = had > allowed ? had - allowed : 0;
    if (chunks->excess > HTTP1_CHUNK_EXCESS_BYTES) {
        chunks->state = HTTP1_CHUNK_TOO_LARGE;
    }
}

static void end_size(struct http1_chunks *chunks)
{
    chunks->state = chunks->left > 0 ? HTTP1_CHUNK_DATA : HTTP1_CHUNK_LINE;
    note_excess(chunks);
    chunks->line_len = 0;
}

static void take_digit(struct http1_chunks *chunks, uint8_t c, size_t body_max)
{
    int digit = hex_of(c);
    if (digit >= 0) {
        chunks->left = chunks->left * 16 + (size_t)digit; /* no overflow: it is bounded below */
        chunks->state =
            chunks->left > body_max - chunks->body_len ? HTTP1_CHUNK_TOO_LARGE : HTTP1_CHUNK_DIGITS;
    } else if (chunks->state == HTTP1_CHUNK_SIZE) {
        chunks->state = HTTP1_CHUNK_MALFORMED;
    } else {
        chunks->state = c == ';'    ? HTTP1_CHUNK_EXTENSION
                        : c == '\r' ? HTTP1_CHUNK_SIZE_LF
                                    : HTTP1_CHUNK_MALFORMED;
    }
}

static enum http1_chunk_state expect(uint8_t c, uint8_t wanted, enum http1_chunk_state next)
{
    return c == wanted ? next : HTTP1_CHUNK_MALFORMED;
}

static void take_size_line(struct http1_chunks *chunks, uint8_t c, size_t body_max)
{
    if (++chunks->line_len > HTTP1_CHUNK_LINE_BYTES_MAX) {
        chunks->state = HTTP1_CHUNK_TOO_LARGE;
    } else if (chunks->state == HTTP1_CHUNK_SIZE_LF) {
        chunks->state = expect(c, '\n', HTTP1_CHUNK_DATA);
        if (chunks->state == HTTP1_CHUNK_DATA) {
            end_size(chunks);
        }
    } else if (chunks->state == HTTP1_CHUNK_EXTENSION) {
        chunks->state = c == '\r'    ? HTTP1_CHUNK_SIZE_LF
                        : is_text(c) ? HTTP1_CHUNK_EXTENSION
                                     : HTTP1_CHUNK_MALFORMED;
    } else {
        take_digit(chunks, c, body_max);
    }
}

static void take_trailer(struct http1_chunks *chunks, uint8_t c)
{
    enum http1_chunk_state now = chunks->state;
    if (++chunks->trailer_len > HTTP1_TRAILER_BYTES_MAX) {
        chunks->state = HTTP1_CHUNK_TOO_LARGE;
    } else if (now == HTTP1_CHUNK_LINE && c == '\r') {
        chunks->state = HTTP1_CHUNK_END_LF;
    } else if (now == HTTP1_CHUNK_END_LF) {
        chunks->state = expect(c, '\n', HTTP1_CHUNK_DONE);
    } else if (now == HTTP1_CHUNK_VALUE_LF) {
        chunks->state = expect(c, '\n', HTTP1_CHUNK_LINE);
    } else if (now == HTTP1_CHUNK_VALUE) {
        chunks->state = c == '\r'    ? HTTP1_CHUNK_VALUE_LF
                        : is_text(c) ? HTTP1_CHUNK_VALUE
                                     : HTTP1_CHUNK_MALFORMED;
    } else if (now == HTTP1_CHUNK_FIELD && c == ':') {
        chunks->state = HTTP1_CHUNK_VALUE;
    } else { /* LINE, FIELD */
        chunks->state = is_token(c) ? HTTP1_CHUNK_FIELD : HTTP1_CHUNK_MALFORMED;
    }
}

static void take_byte(struct http1_chunks *chunks, uint8_t c, size_t body_max)
{
    switch (chunks->state) {
    case HTTP1_CHUNK_SIZE:
    case HTTP1_CHUNK_DIGITS:
    case HTTP1_CHUNK_EXTENSION:
    case HTTP1_CHUNK_SIZE_LF: take_size_line(chunks, c, body_max); return;
    case HTTP1_CHUNK_DATA_CR: chunks->state = expect(c, '\r', HTTP1_CHUNK_DATA_LF); return;
    case HTTP1_CHUNK_DATA_LF: chunks->state = expect(c, '\n', HTTP1_CHUNK_SIZE); return;
    case HTTP1_CHUNK_LINE:
    case HTTP1_CHUNK_FIELD:
    case HTTP1_CHUNK_VALUE:
    case HTTP1_CHUNK_VALUE_LF:
    case HTTP1_CHUNK_END_LF: take_trailer(chunks, c); return;
    case HTTP1_CHUNK_DATA: /* not byte by byte */
    case HTTP1_CHUNK_DONE:
    case HTTP1_CHUNK_MALFORMED:
    case HTTP1_CHUNK_TOO_LARGE: break;
    }
}

size_t http1_chunks_take(struct http1_chunks *chunks, uint8_t *bytes, size_t len, size_t body_max,
                         size_t *ret_body)
{
    size_t at = 0;
    size_t body = 0;
    while (at < len && !http1_chunks_ended(chunks)) {
        if (chunks->state != HTTP1_CHUNK_DATA) {
            take_byte(chunks, bytes[at++], body_max);
            continue;
        }
        size_t run = len - at < chunks->left ? len - at : chunks->left;
        memmove(bytes + body, bytes + at, run);
        at += run;
        body += run;
        chunks->body_len += run;
        chunks->left -= run;
        if (chunks->left == 0) {
            chunks->state = HTTP1_CHUNK_DATA_CR;
        }
    }
    *ret_body = body;
    return at;
}
