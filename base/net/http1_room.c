/* Who goes when somebody comes and all connections are taken, and how many may stay for long: who
 * has a request cannot be sent away. */
#include "base/net/http1_impl.h"

enum {
    GRACE_MS = 100,
    ADDRESS_MAX = HTTP1_CONNECTIONS_MAX / 2,
    ADDRESS_SPARED = 16, /* of one address: they keep their places while others have more */
    LOOKS_MAX = 32,      /* for such another one */
};

/* Who may be asked to leave for a connection from `ip`: where that address has its share already,
 * one of its own; else one of those who have many, as long as one is found soon: a few health
 * checks stay, whoever floods. */
struct leave_rule {
    const struct net_ip *ip; /* NULL: from anywhere */
    unsigned looks_left;
};

static bool may_leave(const struct http1_exchange *x, struct leave_rule *rule)
{
    if (x->stream == NULL || x->state == STATE_BUSY) {
        return false;
    }
    if (rule->ip != NULL) {
        return net_ip_equal(x->place->ip, *rule->ip);
    }
    if (rule->looks_left == 0) {
        return true;
    }
    rule->looks_left--;
    return x->place->count > ADDRESS_SPARED;
}

static struct http1_exchange *longest_waiting(const struct http1_server *server,
                                              struct leave_rule rule)
{
    LIST_EACH(item, &server->waiting)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, wait);
        if (may_leave(x, &rule)) {
            return x;
        }
    }
    return NULL;
}

static struct http1_exchange *oldest(const struct http1_server *server, struct leave_rule rule)
{
    LIST_EACH(item, &server->connections)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, link);
        if (may_leave(x, &rule)) {
            return x;
        }
    }
    return NULL;
}

/* Room for one more: the one that has waited longest for its peer goes. Where nobody has waited for
 * long, all the others ask without pause, and the newest would go before it could say a word: then
 * it is the oldest connection. */
bool http1_make_room(struct http1_server *server, struct net_ip ip)
{
    bool crowded = http1_places_of(&server->places, ip) >= ADDRESS_MAX;
    struct leave_rule rule = {.ip = crowded ? &ip : NULL, .looks_left = LOOKS_MAX};
    if (server->count < HTTP1_CONNECTIONS_MAX && !crowded) {
        return true;
    }
    struct http1_exchange *leaves = longest_waiting(server, rule);
    if (leaves == NULL || uv_now(server->loop) - leaves->since_ms < GRACE_MS) {
        leaves = oldest(server, rule);
    }
    if (leaves == NULL && !crowded) { /* all spared: fewer than LOOKS_MAX can leave at all */
        leaves = longest_waiting(server, (struct leave_rule){0});
    }
    if (leaves == NULL) {
        return false;
    }
    http1_close_connection(leaves);
    return true;
}

bool http1_lasts(struct http1_exchange *x)
{
    struct http1_server *server = x->server;
    if (x->place == NULL) {
        return true; /* it is gone, and takes none */
    }
    if (!x->lasting &&
        (server->lasting >= HTTP1_LASTING_MAX || x->place->lasting >= HTTP1_LASTING_ADDRESS_MAX)) {
        return false;
    }
    server->lasting += !x->lasting;
    x->place->lasting += !x->lasting;
    x->lasting = true;
    return true;
}

void http1_lasts_no_more(struct http1_exchange *x)
{
    if (x->lasting) {
        x->lasting = false;
        x->server->lasting--;
        x->place->lasting--;
    }
}
