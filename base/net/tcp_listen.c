/* Listening. The sockets are polled, and what waits on them is taken here rather than by uv_listen,
 * which either goes on for as long as somebody comes (then a crowd takes the whole loop) or takes
 * one a turn (then a crowd fills the kernel's queue, and the others are not even heard): this
 * depends on libuv's version. In one turn as many are let in as may have waited when it began. */
#include "base/net/tcp.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tcp_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS 100 /* out of descriptors or memory: what waits would make the loop run hot */

static void (*on_shortage)(int errnum);

struct tcp_listen_socket {
    uv_poll_t poll;
    struct tcp_listener *listener;
    int fd;
};

struct tcp_listener {
    uv_loop_t *loop;
    struct tcp_options options;
    int backlog;
    tcp_on_accept on_accept;
    void *arg;
    size_t open_count; /* handles */
    size_t count;
    struct tcp_listen_socket sockets[TCP_LISTEN_ADDRESSES_MAX];
    uv_timer_t pause;
    uint16_t port;
    bool stopping;
    stream_closed closed;
    void *closed_arg;
};

/* --- letting in ------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct tcp_listener *listener = timer->data;
    for (size_t i = 0; i < listener->count; i++) {
        (void)uv_poll_start(&listener->sockets[i].poll, UV_READABLE, on_readable);
    }
}

static void pause_accept(struct tcp_listener *listener)
{
    for (size_t i = 0; i < listener->count; i++) {
        (void)uv_poll_stop(&listener->sockets[i].poll);
    }
    (void)uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
}

static void let_in(struct tcp_listener *listener, int fd)
{
    struct error unused;
    struct tcp_stream *tcp = tcp_stream_new(listener->loop, &listener->options);
    if (uv_tcp_open(tcp_stream_handle(tcp), fd) != 0) {
        (void)close(fd);
        stream_close(tcp_stream_base(tcp), NULL, NULL);
    } else if (tcp_stream_ready(tcp, &unused) != 0) {
        stream_close(tcp_stream_base(tcp), NULL, NULL);
    } else {
        listener->on_accept(listener->arg, tcp_stream_base(tcp));
    }
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct tcp_listen_socket *socket = poll->data;
    struct tcp_listener *listener = socket->listener;
    (void)events;
    if (status != 0) {
        pause_accept(listener); /* libuv has stopped the poll */
        return;
    }
    for (int i = 0; i < listener->backlog && !listener->stopping; i++) {
        int fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            let_in(listener, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (is_shortage(errno)) {
            int errnum = errno;
            pause_accept(listener);
            if (on_shortage != NULL) {
                on_shortage(errnum);
            }
            return;
        } /* else that one is gone again, or of no use: the next one may succeed */
    }
}

void tcp_listeners_on_shortage(void (*tell)(int errnum))
{
    on_shortage = tell;
}

/* --- start and stop --------------------------------------------------------------------------- */

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}

static bool set_up(int fd, const struct sockaddr_storage *address, bool only_ip6, int backlog)
{
    int on = 1;
    int only = only_ip6 ? 1 : 0;
    bool is_ip6 = address->ss_family == AF_INET6;
    socklen_t len = is_ip6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           (!is_ip6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0) &&
           bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, backlog) == 0;
}

/* A status of libuv's. */
static int listen_on(struct tcp_listener *listener, struct sockaddr_storage *address, bool only_ip6)
{
    struct tcp_listen_socket *own = &listener->sockets[listener->count];
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;

    if (listener->port != 0) {
        tcp_set_port(address, listener->port);
    }
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int status = set_up(fd, address, only_ip6, listener->backlog) &&
                         getsockname(fd, (struct sockaddr *)&bound, &len) == 0
                     ? uv_poll_init(listener->loop, &own->poll, fd)
                     : -errno;
    if (status != 0) {
        (void)close(fd);
        return status;
    }
    own->fd = fd;
    own->listener = listener;
    own->poll.data = own;
    listener->count++;
    listener->open_count++;
    listener->port = port_of(&bound);
    return uv_poll_start(&own->poll, UV_READABLE, on_readable);
}

/* The host has no such address, or not its family. */
static bool is_absent(int status)
{
    return status == UV_EAFNOSUPPORT || status == UV_EADDRNOTAVAIL;
}

/* A name may have addresses that the host has not ("::1 localhost" in the hosts file, and no IPv6):
 * one that it has is enough. */
static int listen_on_all(struct tcp_listener *listener, struct net_resolved *resolved,
                         bool only_ip6)
{
    int absent_status = UV_EADDRNOTAVAIL;
    bool listens = false;
    for (size_t i = 0; i < resolved->count; i++) {
        int status = listen_on(listener, &resolved->addresses[i], only_ip6);
        if (status != 0 && !is_absent(status)) {
            return status;
        }
        absent_status = status != 0 ? status : absent_status;
        listens = listens || status == 0;
    }
    return listens ? 0 : absent_status;
}

/* The hosts file may have a line twice, and a second listener at one address is refused. */
static void put_once(struct net_resolved *resolved, const struct addrinfo *info, uint16_t port)
{
    struct sockaddr_storage *next = &resolved->addresses[resolved->count];
    memcpy(next, info->ai_addr, info->ai_addrlen);
    tcp_set_port(next, port);
    for (size_t i = 0; i < resolved->count; i++) {
        if (memcmp(&resolved->addresses[i], next, info->ai_addrlen) == 0) {
            return;
        }
    }
    resolved->count++;
}

static int lookup_now(uv_loop_t *loop, const struct net_addr *addr, struct net_resolved *resolved,
                      struct error *err)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t request;

    memset(resolved, 0, sizeof *resolved);
    if (net_addr_numeric(addr, &resolved->addresses[0])) {
        resolved->count = 1;
        return 0;
    }
    int status = uv_getaddrinfo(loop, &request, NULL, addr->host, NULL, &hints);
    if (status != 0) {
        return error_set(err, net_err_code(status), "looking up '%s': %s", addr->host,
                         uv_strerror(status));
    }
    for (struct addrinfo *info = request.addrinfo;
         info != NULL && resolved->count < NET_RESOLVED_MAX; info = info->ai_next) {
        if (info->ai_family == AF_INET || info->ai_family == AF_INET6) {
            put_once(resolved, info, addr->port);
        }
    }
    uv_freeaddrinfo(request.addrinfo);
    return resolved->count > 0
               ? 0
               : error_set(err, ERR_NOT_FOUND, "looking up '%s': no address", addr->host);
}

int tcp_listener_start(uv_loop_t *loop, const struct net_addr *addr, int backlog,
                       const struct tcp_options *options, tcp_on_accept on_accept, void *arg,
                       struct tcp_listener **ret_listener, struct error *err)
{
    char text[NET_ADDR_TEXT_BYTES];
    struct net_resolved resolved;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
    bool is_any = strcmp(addr->host, "*") == 0;

    ASSERT(on_accept != NULL && backlog > 0);
    int rc = lookup_now(loop, addr, &resolved, err);
    if (rc != 0) {
        return rc;
    }
    struct tcp_listener *listener = mem_new(struct tcp_listener);
    listener->loop = loop;
    listener->options = *options;
    listener->backlog = backlog;
    listener->on_accept = on_accept;
    listener->arg = arg;
    ASSERT(uv_timer_init(loop, &listener->pause) == 0);
    listener->pause.data = listener;
    listener->open_count = 1;
    int status = listen_on_all(listener, &resolved, !is_any);
    if (is_any && is_absent(status)) {
        struct sockaddr_storage ip4 = {0};
        memcpy(&ip4, &any, sizeof any);
        status = listen_on(listener, &ip4, false);
    }
    if (status != 0) {
        tcp_listener_stop(listener, NULL, NULL);
        return error_set(err, net_err_code(status), "listening on %s: %s",
                         net_addr_format(addr, text), uv_strerror(status));
    }
    *ret_listener = listener;
    return 0;
}

uint16_t tcp_listener_port(const struct tcp_listener *listener)
{
    return listener->port;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tcp_listener *listener = handle->data;
    ASSERT(listener->open_count > 0);
    if (--listener->open_count > 0) {
        return;
    }
    if (listener->closed != NULL) {
        listener->closed(listener->closed_arg);
    }
    mem_free(listener);
}

void tcp_listener_stop(struct tcp_listener *listener, stream_closed closed, void *arg)
{
    ASSERT(!listener->stopping);
    listener->stopping = true;
    listener->closed = closed;
    listener->closed_arg = arg;
    for (size_t i = 0; i < listener->count; i++) {
        struct tcp_listen_socket *socket = &listener->sockets[i];
        socket->poll.data = listener;
        uv_close((uv_handle_t *)&socket->poll,
                 on_handle_closed); /* first: it leaves the descriptor */
        (void)close(socket->fd);
    }
    uv_close((uv_handle_t *)&listener->pause, on_handle_closed);
}
