/* Private to base/net: how many connections each address has, so that one more costs the same
 * however many there are. PURE. */
#ifndef BASE_NET_HTTP1_PLACES_H
#define BASE_NET_HTTP1_PLACES_H

#include "base/net/addr.h"
#include "base/net/http1.h"

#include <stddef.h>

struct http1_place {
    struct net_ip ip;
    size_t count;   /* 0 = free */
    size_t lasting; /* of them, answers that go on for long */
};

struct http1_places {
    size_t used; /* all that are in use stand below it */
    struct http1_place all[HTTP1_CONNECTIONS_MAX];
};

/* That of `ip`, made if there is none. One connection more; at most HTTP1_CONNECTIONS_MAX. */
struct http1_place *http1_place_take(struct http1_places *places, struct net_ip ip);
/* One connection less. */
void http1_place_leave(struct http1_places *places, struct http1_place *place);
size_t http1_places_of(const struct http1_places *places, struct net_ip ip);

#endif
