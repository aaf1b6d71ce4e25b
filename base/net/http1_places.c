/* An array without order: a place that is left is taken again by the next address that has none. */
#include "base/net/http1_places.h"

#include "base/assert.h"

struct http1_place *http1_place_take(struct http1_places *places, struct net_ip ip)
{
    struct http1_place *unused = NULL;
    for (size_t i = 0; i < places->used; i++) {
        struct http1_place *place = &places->all[i];
        if (place->count == 0) {
            unused = place;
        } else if (net_ip_equal(place->ip, ip)) {
            place->count++;
            return place;
        }
    }
    if (unused == NULL) {
        ASSERT(places->used < HTTP1_CONNECTIONS_MAX);
        unused = &places->all[places->used++];
    }
    *unused = (struct http1_place){.ip = ip, .count = 1};
    return unused;
}

void http1_place_leave(struct http1_places *places, struct http1_place *place)
{
    ASSERT(place->count > 0);
    place->count--;
    while (places->used > 0 && places->all[places->used - 1].count == 0) {
        places->used--;
    }
}

size_t http1_places_of(const struct http1_places *places, struct net_ip ip)
{
    for (size_t i = 0; i < places->used; i++) {
        const struct http1_place *place = &places->all[i];
        if (place->count > 0 && net_ip_equal(place->ip, ip)) {
            return place->count;
        }
    }
    return 0;
}
