/* Network addresses: the text form that configuration files use, numeric addresses as bytes, and
 * name resolution that never blocks the loop. */
#ifndef BASE_NET_ADDR_H
#define BASE_NET_ADDR_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define NET_HOST_BYTES      256
#define NET_ADDR_TEXT_BYTES (NET_HOST_BYTES + 10)
#define NET_PORT_REQUIRED   (-1)
#define NET_RESOLVED_MAX    8   /* addresses of one name that are looked at; the rest is ignored */
#define NET_RESOLVES_MAX    128 /* names that a thread is looked for, or has been found, at once */

/* What was written: a name or a numeric address (IPv6 without its brackets). Port 0 is never
 * parsed; a caller that wants a free port (tests) sets it itself. */
struct net_addr {
    char host[NET_HOST_BYTES];
    uint16_t port;
};

/* "host:port", "1.2.3.4:port", "[::1]:port", "*:port"; without a port `default_port` counts, and
 * with NET_PORT_REQUIRED its absence is an error. An empty host (":8008") is "*". An IPv6 address
 * with a port needs its brackets. ERR_INVALID with a message that quotes the text and says what
 * would be right. */
int net_addr_parse(const char *text, int default_port, struct net_addr *ret_addr,
                   struct error *err) MUST_CHECK;

/* Writes "host:port", with brackets round an IPv6 address. Returns `out`. */
const char *net_addr_format(const struct net_addr *addr, char out[static NET_ADDR_TEXT_BYTES]);

/* One numeric address without port; IPv4 as ::ffff:a.b.c.d, so that one form compares with the
 * other. */
struct net_ip {
    uint8_t bytes[16];
};

struct net_ip net_ip_of(const struct sockaddr *address);
bool net_ip_equal(struct net_ip a, struct net_ip b);
/* All addresses whose first `bits` are those of `ip`. */
struct net_network {
    struct net_ip ip;
    unsigned bits; /* of 128 */
};

/* "10.0.0.0/8", "fd00::/8", or one address; bits behind the prefix do not matter. ERR_INVALID: it
 * is none, and is quoted; ERR_NOT_FOUND: it may be the name of a host. */
int net_network_parse(const char *text, struct net_network *ret_network,
                      struct error *err) MUST_CHECK;
/* An IPv4 address is in networks of IPv4 only: "::/0" does not have it. */
bool net_network_has(const struct net_network *network, struct net_ip ip);

/* "1.2.3.4:80" or "[::1]:80". */
const char *net_sockaddr_format(const struct sockaddr *address,
                                char out[static NET_ADDR_TEXT_BYTES]);

struct net_resolved {
    size_t count; /* at least 1 */
    struct sockaddr_storage addresses[NET_RESOLVED_MAX];
};

/* rc 0 with the addresses (borrowed until the callback returns); ERR_NOT_FOUND, ERR_TIMEOUT,
 * ERR_CANCELED. */
typedef void (*net_resolve_done)(void *arg, int rc, const struct net_resolved *resolved,
                                 const struct error *err);

struct net_resolve;

/* Looks the name up in the thread pool; numeric addresses take no thread. `done` comes exactly
 * once, after this returned, within `timeout_ms`: a hung name server keeps its thread (and
 * later lookups, once all threads for lookups are taken: libuv gives them half of the pool), not
 * the caller, and what has timed out does not wait for a thread any more. The handle is valid until
 * `done` is called. ERR_LIMIT: NET_RESOLVES_MAX are under way. */
int net_resolve_start(uv_loop_t *loop, const struct net_addr *addr, int64_t timeout_ms,
                      net_resolve_done done, void *arg, struct net_resolve **ret_resolve,
                      struct error *err) MUST_CHECK;
/* `done` then comes with ERR_CANCELED. */
void net_resolve_cancel(struct net_resolve *resolve);

/* True and the address if `addr->host` is numeric ("*" gives the unspecified IPv6 address). */
bool net_addr_numeric(const struct net_addr *addr, struct sockaddr_storage *ret_address);

/* Code of our table for a libuv status (< 0). */
int net_err_code(int uv_status);

#endif
