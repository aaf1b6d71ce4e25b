/* TCP streams: listening and connecting. */
#ifndef BASE_NET_TCP_H
#define BASE_NET_TCP_H

#include "base/net/addr.h"
#include "base/net/stream.h"

#include <stdbool.h>

#define TCP_LISTEN_ADDRESSES_MAX NET_RESOLVED_MAX

/* Per connection. TCP_NODELAY is always on. Zero = the default given here. */
struct tcp_options {
    unsigned keepalive_idle_s;    /* 0 = 10; then 3 probes, 3 s apart */
    unsigned user_timeout_ms;     /* unacknowledged bytes may be this old; 0 = the kernel's */
    size_t write_queue_bytes_max; /* 0 = 1 MiB */
    unsigned send_buffer_bytes;   /* what the kernel may hold of it; 0 = it grows as it likes */
    /* Acknowledges at once what was read and not answered: a peer with Nagle's algorithm on that
     * sends a request in two segments waits up to 40 ms otherwise. Costs a call for each read. */
    bool quick_ack;
};

struct tcp_listener;

/* A stream came in: it is the callee's from here on (attach, read_start, close). */
typedef void (*tcp_on_accept)(void *arg, struct stream *stream);

/* Listens on every address of `addr` that this host has (port 0 = one free port for all of them).
 * "*" is IPv6 and IPv4 together, or IPv4 where there is no IPv6. A host name is looked up here and
 * now, blocking: this is for the start of a program and for tests, before the loop turns. */
int tcp_listener_start(uv_loop_t *loop, const struct net_addr *addr, int backlog,
                       const struct tcp_options *options, tcp_on_accept on_accept, void *arg,
                       struct tcp_listener **ret_listener, struct error *err) MUST_CHECK;
uint16_t tcp_listener_port(const struct tcp_listener *listener);
/* No accept after this; `closed` (may be NULL) when all is freed. Accepted streams live on. */
void tcp_listener_stop(struct tcp_listener *listener, stream_closed closed, void *arg);

/* `tell` hears whenever who wants to connect has to wait because this process or the host has no
 * descriptors or memory left: from each listener, ten times a second while it lasts, with the
 * number of the error. Of the whole process, as the shortage is. NULL: nobody. */
void tcp_listeners_on_shortage(void (*tell)(int errnum));

struct tcp_connect;

/* rc 0: `stream` is the callee's. Otherwise stream is NULL and err says what failed, with the
 * address. */
typedef void (*tcp_connect_done)(void *arg, int rc, struct stream *stream, const struct error *err);

struct tcp_connect_options {
    struct net_addr to;
    const struct net_addr
        *from; /* local address to bind (its port is not used); NULL = the kernel's choice */
    int64_t timeout_ms; /* for everything, name lookups included */
    struct tcp_options tcp;
};

/* Resolves, then tries the addresses in order until one connects or the time is up. Options are
 * copied. `done` exactly once, after this returned. The handle is valid until `done` is called. */
int tcp_connect_start(uv_loop_t *loop, const struct tcp_connect_options *options,
                      tcp_connect_done done, void *arg, struct tcp_connect **ret_connect,
                      struct error *err) MUST_CHECK;
/* `done` then comes with ERR_CANCELED. */
void tcp_connect_cancel(struct tcp_connect *connect);

#endif
