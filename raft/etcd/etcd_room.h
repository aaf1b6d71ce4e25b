/* Room for streams over HTTP: what all of a carrier's clients have not taken is bounded. */
#ifndef RAFT_ETCD_ETCD_ROOM_H
#define RAFT_ETCD_ETCD_ROOM_H

#include "base/net/http_exchange.h"

#include <stdbool.h>
#include <stddef.h>

#define ETCD_ROOM_BYTES_MAX ((size_t)64 * 1024 * 1024) /* of all streams of a carrier */
/* For who waits for nothing: it is not counted. */
#define ETCD_ROOM_SMALL_BYTES ((size_t)64 * 1024)

/* May `len` bytes more be sent to a stream of which `pending` bytes wait? */
bool etcd_room_has(const struct http_exchange *exchange, size_t pending, size_t len);

#endif
