/* One port for HTTP/1 and HTTP/2, in plain text or over TLS: what ALPN has chosen decides, and
 * where it has chosen nothing the first bytes of a connection (HTTP/2 with prior knowledge); it
 * goes to the server that speaks it, with what was read. */
#ifndef BASE_NET_HTTP_PORT_H
#define BASE_NET_HTTP_PORT_H

#include "base/net/http1.h"
#include "base/net/http2.h"
#include "base/net/tls.h"

#define HTTP_PORT_UNDECIDED_MAX 512   /* a whole backlog; then the oldest of them gives way */
#define HTTP_PORT_DECIDE_MS     10000 /* so long it may say nothing that decides */

struct http_port;

/* Both servers outlive the port; they have no listener of their own. */
int http_port_start(uv_loop_t *loop, const struct net_addr *listen, struct http1_server *http1,
                    struct http2_server *http2, struct http_port **ret_port,
                    struct error *err) MUST_CHECK;
uint16_t http_port_number(const struct http_port *port);
/* Every connection from here on is one of TLS, with a context of HTTP_PORT_PROTOCOLS; who speaks
 * plain text is told so in HTTP/1. The context is held; it may be reloaded (tls_watch.h), and new
 * connections use what was read last. Whether a client's certificate was found good, and its name,
 * stand in the stream_peer of its requests. In the turn of http_port_start. */
#define HTTP_PORT_PROTOCOLS \
    {                       \
        "h2", "http/1.1"    \
    }
#define HTTP_PORT_PROTOCOL_COUNT 2
void http_port_set_tls(struct http_port *port, struct tls_context *context);
/* A stream that was not accepted here, as if it had been. */
void http_port_serve(struct http_port *port, struct stream *stream);
/* What is undecided is closed; what was handed over goes on. `stopped` when the loop holds nothing
 * of it. Once. */
void http_port_stop(struct http_port *port, void (*stopped)(void *arg), void *arg);

#endif
