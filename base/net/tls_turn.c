#include "base/net/tls_turn.h"

#include <string.h>

/* Whoever has an IPv6 network has as many addresses as he likes: they are one. */
static size_t bucket_of(struct net_ip ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    size_t len = memcmp(ip.bytes, mapped, sizeof mapped) == 0 ? sizeof ip.bytes : 8;
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ ip.bytes[i]) * 16777619U;
    }
    return (hash ^ hash >> 16) % TLS_TURN_BUCKETS;
}

bool tls_turn_take(struct tls_turn *turn, uint64_t now_ms, struct net_ip ip)
{
    uint8_t *of_bucket = &turn->of_bucket[bucket_of(ip)];
    if (turn->now_ms != now_ms) {
        *turn = (struct tls_turn){.now_ms = now_ms};
    }
    if (turn->count >= TLS_TURN_MAX || *of_bucket >= TLS_TURN_ADDRESS_MAX) {
        return false;
    }
    turn->count++;
    (*of_bucket)++;
    return true;
}
