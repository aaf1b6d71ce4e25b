/* Private to base/net: how listener and connector make a stream of a connected uv_tcp_t. */
#ifndef BASE_NET_TCP_STREAM_H
#define BASE_NET_TCP_STREAM_H

#include "base/net/stream.h"
#include "base/net/tcp.h"

struct tcp_stream;

/* The handle is initialised and in the loop from here on: tcp_stream_close frees it. */
struct tcp_stream *tcp_stream_new(uv_loop_t *loop, const struct tcp_options *options);
uv_tcp_t *tcp_stream_handle(struct tcp_stream *stream);
/* Once connected: socket options and the peer's address. */
int tcp_stream_ready(struct tcp_stream *stream, struct error *err) MUST_CHECK;
struct stream *tcp_stream_base(struct tcp_stream *stream);

void tcp_set_port(struct sockaddr_storage *address, uint16_t port);

#endif
