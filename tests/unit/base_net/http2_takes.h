/* What a server of HTTP/2 does with a request beside answering it, where that is nothing: it takes
 * the body. */
#ifndef TESTS_UNIT_BASE_NET_HTTP2_TAKES_H
#define TESTS_UNIT_BASE_NET_HTTP2_TAKES_H

#include "base/net/http2.h"

static void take_data(void *arg, struct http2_stream *stream, struct span bytes)
{
    (void)arg;
    http2_consume(stream, bytes.len);
}

static void take_end(void *arg, struct http2_stream *stream)
{
    (void)arg;
    (void)stream;
}

static inline void take_close(void *arg, struct http2_stream *stream, int rc)
{
    (void)arg;
    (void)stream;
    (void)rc;
}

#endif
