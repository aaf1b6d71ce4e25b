/* Only what would have to wait is counted: who reads gets small events beside any number of clients
 * that do not. */
#include "raft/etcd/etcd_room.h"

bool etcd_room_has(const struct http_exchange *exchange, size_t pending, size_t len)
{
    bool is_small = pending == 0 && len <= ETCD_ROOM_SMALL_BYTES;
    return is_small || http_held(exchange) + len <= ETCD_ROOM_BYTES_MAX;
}
