/* PURE. Private to base/net. A body in chunks (RFC 9112, 7.1), read as strictly as it is written:
 * where two readers could see its end in different places, it is refused. */
#ifndef BASE_NET_HTTP1_CHUNKS_H
#define BASE_NET_HTTP1_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_CHUNK_LINE_BYTES_MAX 256  /* a size with its extensions, which are not looked at */
#define HTTP1_TRAILER_BYTES_MAX    4096 /* of all of them together; they are dropped */
/* Frames may be this much longer than the body they carry, beyond 16 bytes a chunk and 2 for each
 * byte: whoever sends less body than that sends it to cost us time. */
#define HTTP1_CHUNK_EXCESS_BYTES 16384

enum http1_chunk_state {
    HTTP1_CHUNK_SIZE, /* before the first digit */
    HTTP1_CHUNK_DIGITS,
    HTTP1_CHUNK_EXTENSION,
    HTTP1_CHUNK_SIZE_LF,
    HTTP1_CHUNK_DATA,
    HTTP1_CHUNK_DATA_CR,
    HTTP1_CHUNK_DATA_LF,
    HTTP1_CHUNK_LINE,  /* behind the last chunk: a trailer, or the end */
    HTTP1_CHUNK_FIELD, /* the name of a trailer */
    HTTP1_CHUNK_VALUE,
    HTTP1_CHUNK_VALUE_LF,
    HTTP1_CHUNK_END_LF,
    HTTP1_CHUNK_DONE,
    HTTP1_CHUNK_MALFORMED,
    HTTP1_CHUNK_TOO_LARGE /* the body, or what stands round it */
};

/* Zeroed is the beginning of a body. */
struct http1_chunks {
    enum http1_chunk_state state;
    size_t body_len; /* so far */
    size_t left;     /* of the present chunk: its size while that is read */
    size_t line_len; /* of the present size line */
    size_t excess;
    size_t trailer_len;
};

/* Takes frames off `bytes` until all are used or the state is one of the last three. What belongs
 * to the body is moved to the front of `bytes`: `ret_body` of them. Returns how many were used. A
 * body of more than `body_max`: TOO_LARGE. */
size_t http1_chunks_take(struct http1_chunks *chunks, uint8_t *bytes, size_t len, size_t body_max,
                         size_t *ret_body);

static inline bool http1_chunks_ended(const struct http1_chunks *chunks)
{
    return chunks->state >= HTTP1_CHUNK_DONE;
}

#endif
