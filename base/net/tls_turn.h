/* Private to base/net: how many steps of handshakes a port takes in one turn of the loop. The first
 * took a quarter of a millisecond where it was measured (more with RSA), and anybody may ask for
 * it: so an address has a few of them, a port some more, and the others' turn is a moment later.
 * PURE. */
#ifndef BASE_NET_TLS_TURN_H
#define BASE_NET_TLS_TURN_H

#include "base/net/addr.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TLS_TURN_MAX = 32,        /* of a port: 5 ms or so */
    TLS_TURN_ADDRESS_MAX = 6, /* of an address, and of those that fall into its bucket */
    TLS_TURN_BUCKETS = 64,
};

/* All zero: nothing was done yet. */
struct tls_turn {
    uint64_t now_ms; /* which turn: the loop's time stands still within one */
    unsigned count;
    uint8_t of_bucket[TLS_TURN_BUCKETS];
};

/* Whether `ip` may have one more in this turn; then it is counted. */
bool tls_turn_take(struct tls_turn *turn, uint64_t now_ms, struct net_ip ip);

#endif
