/* Addresses as text and as bytes, and name lookups off the loop.
 *
 * A lookup is one struct. Its caller's part ends with the callback, at the latest when the deadline
 * timer fires; its own part ends when the thread pool has given the request back: at once if it
 * still waits for a thread then, else however long a dead name server takes. It is freed when both
 * ended and the timer is closed. */
#include "base/net/addr.h"

#include "base/assert.h"
#include "base/mem.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int net_err_code(int uv_status)
{
    switch (uv_status) {
    case UV_EOF: return ERR_CLOSED;
    case UV_ECANCELED:
    case UV_EAI_CANCELED: return ERR_CANCELED;
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
    case UV_EAI_NODATA:
    case UV_EAI_NONAME: return ERR_NOT_FOUND;
    case UV_EAI_MEMORY: return ERR_NOMEM;
    case UV_EHOSTUNREACH:
    case UV_EHOSTDOWN: return ERR_UNAVAILABLE; /* it does not answer on the last link either */
    default: return err_from_errno(-uv_status);
    }
}

/* --- text ------------------------------------------------------------------------------------- */

static int parse_port(const char *text, const char *digits, uint16_t *ret_port, struct error *err)
{
    char *end = NULL;
    long port = strtol(digits, &end, 10);
    if (!isdigit((unsigned char)digits[0]) || *end != 0 || port < 1 || port > 65535) {
        return error_set(err, ERR_INVALID,
                         "'%s': '%s' is no port, expected a number from 1 to 65535", text, digits);
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static bool host_is_legal(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];
        if (!isalnum(c) && strchr(".-_:%", c) == NULL) {
            return false;
        }
    }
    return true;
}

static int set_host(const char *text, const char *host, size_t len, struct net_addr *addr,
                    struct error *err)
{
    if (len >= sizeof addr->host) {
        return error_set(err, ERR_INVALID, "'%.40s...': the host is longer than %d bytes", text,
                         NET_HOST_BYTES - 1);
    }
    if (len == 0 || (len == 1 && host[0] == '*')) {
        (void)snprintf(addr->host, sizeof addr->host, "*");
        return 0;
    }
    if (!host_is_legal(host, len)) {
        return error_set(err, ERR_INVALID, "'%s' is no address, expected host:port", text);
    }
    memcpy(addr->host, host, len);
    addr->host[len] = 0;
    return 0;
}

int net_addr_parse(const char *text, int default_port, struct net_addr *ret_addr, struct error *err)
{
    struct net_addr addr = {.port = (uint16_t)(default_port > 0 ? default_port : 0)};
    const char *host = text;
    size_t host_len = 0;
    const char *rest = NULL; /* ":port" or "" */

    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        struct in6_addr unused;
        if (bracket == NULL) {
            return error_set(err, ERR_INVALID,
                             "'%s': the bracket is not closed, expected [address]:port", text);
        }
        host = text + 1;
        host_len = (size_t)(bracket - host);
        rest = bracket + 1;
        int rc = set_host(text, host, host_len, &addr, err);
        if (rc != 0) {
            return rc;
        }
        char *zone = strchr(addr.host, '%');
        if (zone != NULL) {
            *zone = 0;
        }
        if (uv_inet_pton(AF_INET6, addr.host, &unused) != 0) {
            return error_set(err, ERR_INVALID, "'%s': no IPv6 address within the brackets", text);
        }
    } else {
        rest = strrchr(text, ':');
        if (rest != NULL && strchr(text, ':') != rest) {
            return error_set(err, ERR_INVALID,
                             "'%s': an IPv6 address is written in brackets: [address]:port", text);
        }
        rest = rest == NULL ? text + strlen(text) : rest;
        host_len = (size_t)(rest - text);
    }
    int rc = set_host(text, host, host_len, &addr, err);
    if (rc != 0) {
        return rc;
    }
    if (rest[0] == ':') {
        rc = parse_port(text, rest + 1, &addr.port, err);
    } else if (rest[0] != 0) {
        rc = error_set(err, ERR_INVALID, "'%s': expected ':' and a port after the bracket", text);
    } else if (text[0] == 0) {
        rc = error_set(err, ERR_INVALID, "the address is empty, expected host:port");
    } else if (default_port == NET_PORT_REQUIRED) {
        rc = error_set(err, ERR_INVALID, "'%s' has no port, expected host:port", text);
    }
    if (rc == 0) {
        *ret_addr = addr;
    }
    return rc;
}

const char *net_addr_format(const struct net_addr *addr, char out[static NET_ADDR_TEXT_BYTES])
{
    bool is_ip6 = strchr(addr->host, ':') != NULL;
    (void)snprintf(out, NET_ADDR_TEXT_BYTES, is_ip6 ? "[%s]:%u" : "%s:%u", addr->host, addr->port);
    return out;
}

/* --- bytes ------------------------------------------------------------------------------------ */

struct net_ip net_ip_of(const struct sockaddr *address)
{
    struct net_ip ip = {{0}};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        ip.bytes[10] = 0xff;
        ip.bytes[11] = 0xff;
        memcpy(ip.bytes + 12, &in->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        memcpy(ip.bytes, &in6->sin6_addr, 16);
    }
    return ip;
}

bool net_ip_equal(struct net_ip a, struct net_ip b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

const char *net_sockaddr_format(const struct sockaddr *address,
                                char out[static NET_ADDR_TEXT_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct net_addr addr = {.host = "?"};
    struct net_ip ip = net_ip_of(address);

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        addr.port = ntohs(in->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        addr.port = ntohs(in6->sin6_port);
    }
    if (memcmp(ip.bytes, mapped, sizeof mapped) == 0) {
        (void)uv_inet_ntop(AF_INET, ip.bytes + 12, addr.host, sizeof addr.host);
    } else if (address->sa_family == AF_INET6) {
        (void)uv_inet_ntop(AF_INET6, ip.bytes, addr.host, sizeof addr.host);
    }
    return net_addr_format(&addr, out);
}

bool net_addr_numeric(const struct net_addr *addr, struct sockaddr_storage *ret_address)
{
    const char *host = strcmp(addr->host, "*") == 0 ? "::" : addr->host;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memset(ret_address, 0, sizeof *ret_address);
    if (uv_ip4_addr(host, addr->port, &in) == 0) {
        memcpy(ret_address, &in, sizeof in);
        return true;
    }
    if (uv_ip6_addr(host, addr->port, &in6) == 0) {
        memcpy(ret_address, &in6, sizeof in6);
        return true;
    }
    return false;
}

/* --- lookup ----------------------------------------------------------------------------------- */

struct net_resolve {
    uv_getaddrinfo_t request;
    uv_timer_t timer;
    struct net_addr addr;
    net_resolve_done done; /* NULL once called */
    void *arg;
    struct net_resolved resolved; /* count > 0 from the start if the address is numeric */
    bool canceled;
    bool request_open;
    bool timer_open;
};

/* Requests that the pool has: those of this thread, which has one loop. */
static _Thread_local size_t requests_open;

static void resolve_free_if_over(struct net_resolve *resolve)
{
    if (!resolve->request_open && !resolve->timer_open) {
        mem_free(resolve);
    }
}

static void resolve_timer_closed(uv_handle_t *handle)
{
    struct net_resolve *resolve = handle->data;
    resolve->timer_open = false;
    resolve_free_if_over(resolve);
}

static void resolve_finish(struct net_resolve *resolve, int rc, const struct error *err)
{
    net_resolve_done done = resolve->done;
    if (done == NULL) {
        return; /* the deadline was first */
    }
    resolve->done = NULL;
    uv_close((uv_handle_t *)&resolve->timer, resolve_timer_closed);
    done(resolve->arg, rc, rc == 0 ? &resolve->resolved : NULL, err);
}

/* Works only while it waits for a thread; else the answer comes when the name server gives it. */
static void request_cancel(struct net_resolve *resolve)
{
    if (resolve->request_open) {
        (void)uv_cancel((uv_req_t *)&resolve->request);
    }
}

static void resolve_on_timer(uv_timer_t *timer)
{
    struct net_resolve *resolve = timer->data;
    struct error err = {0};
    int rc = 0;
    request_cancel(resolve);
    if (resolve->canceled) {
        rc = error_set(&err, ERR_CANCELED, "looking up '%s': canceled", resolve->addr.host);
    } else if (resolve->resolved.count == 0) {
        rc = error_set(&err, ERR_TIMEOUT, "looking up '%s': timed out", resolve->addr.host);
    }
    resolve_finish(resolve, rc, &err);
}

static void take_addresses(const struct addrinfo *list, uint16_t port,
                           struct net_resolved *resolved)
{
    for (; list != NULL && resolved->count < NET_RESOLVED_MAX; list = list->ai_next) {
        struct sockaddr_storage *address = &resolved->addresses[resolved->count];
        if (list->ai_addrlen > sizeof *address) {
            continue;
        }
        memcpy(address, list->ai_addr, list->ai_addrlen);
        if (address->ss_family == AF_INET) {
            struct sockaddr_in *in = (void *)address;
            in->sin_port = htons(port);
        } else if (address->ss_family == AF_INET6) {
            struct sockaddr_in6 *in6 = (void *)address;
            in6->sin6_port = htons(port);
        } else {
            continue;
        }
        resolved->count++;
    }
}

static void resolve_on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct net_resolve *resolve = request->data;
    struct error err = {0};
    int rc = 0;

    resolve->request_open = false;
    requests_open--;
    if (status == 0) {
        take_addresses(list, resolve->addr.port, &resolve->resolved);
    }
    uv_freeaddrinfo(list);
    if (resolve->canceled) {
        rc = error_set(&err, ERR_CANCELED, "looking up '%s': canceled", resolve->addr.host);
    } else if (status != 0) {
        rc = error_set(&err, net_err_code(status), "looking up '%s': %s", resolve->addr.host,
                       uv_strerror(status));
    } else if (resolve->resolved.count == 0) {
        rc = error_set(&err, ERR_NOT_FOUND, "looking up '%s': it has no address",
                       resolve->addr.host);
    }
    resolve_finish(resolve, rc, &err);
    resolve_free_if_over(resolve);
}

int net_resolve_start(uv_loop_t *loop, const struct net_addr *addr, int64_t timeout_ms,
                      net_resolve_done done, void *arg, struct net_resolve **ret_resolve,
                      struct error *err)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct sockaddr_storage numeric;
    bool is_numeric = net_addr_numeric(addr, &numeric);
    ASSERT(done != NULL && timeout_ms >= 0);
    if (!is_numeric && requests_open >= NET_RESOLVES_MAX) {
        return error_set(err, ERR_LIMIT, "looking up '%s': %d lookups are under way already",
                         addr->host, NET_RESOLVES_MAX);
    }
    struct net_resolve *resolve = mem_new(struct net_resolve);
    *resolve = (struct net_resolve){.addr = *addr, .done = done, .arg = arg, .timer_open = true};
    resolve->request.data = resolve;
    resolve->timer.data = resolve;
    ASSERT(uv_timer_init(loop, &resolve->timer) == 0);
    if (is_numeric) {
        resolve->resolved.addresses[0] = numeric;
        resolve->resolved.count = 1;
        timeout_ms = 0; /* the timer brings the answer: never inside this call */
    } else {
        int status =
            uv_getaddrinfo(loop, &resolve->request, resolve_on_answer, addr->host, NULL, &hints);
        if (status != 0) {
            uv_close((uv_handle_t *)&resolve->timer, resolve_timer_closed);
            return error_set(err, net_err_code(status), "looking up '%s': %s", addr->host,
                             uv_strerror(status));
        }
        resolve->request_open = true;
        requests_open++;
    }
    ASSERT(uv_timer_start(&resolve->timer, resolve_on_timer, (uint64_t)timeout_ms, 0) == 0);
    *ret_resolve = resolve;
    return 0;
}

void net_resolve_cancel(struct net_resolve *resolve)
{
    ASSERT(resolve->done != NULL);
    resolve->canceled = true;
    request_cancel(resolve);
    ASSERT(uv_timer_start(&resolve->timer, resolve_on_timer, 0, 0) == 0);
}
