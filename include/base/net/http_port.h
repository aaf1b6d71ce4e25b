/* One port for HTTP/1 and cleartext HTTP/2 with prior knowledge: the first bytes of a connection
 * decide, and it goes to the server that speaks it, with what was read. */
#ifndef BASE_NET_HTTP_PORT_H
#define BASE_NET_HTTP_PORT_H

#include "base/net/http1.h"
#include "base/net/http2.h"

#define HTTP_PORT_UNDECIDED_MAX 128   /* then the oldest of them gives way */
#define HTTP_PORT_DECIDE_MS     10000 /* so long it may say nothing that decides */

struct http_port;

/* Both servers outlive the port; they have no listener of their own. */
int http_port_start(uv_loop_t *loop, const struct net_addr *listen, struct http1_server *http1,
                    struct http2_server *http2, struct http_port **ret_port,
                    struct error *err) MUST_CHECK;
uint16_t http_port_number(const struct http_port *port);
/* A stream that was not accepted here, as if it had been. */
void http_port_serve(struct http_port *port, struct stream *stream);
/* What is undecided is closed; what was handed over goes on. `stopped` when the loop holds nothing
 * of it. Once. */
void http_port_stop(struct http_port *port, void (*stopped)(void *arg), void *arg);

#endif
