/* PURE. What gRPC says in headers. */
#ifndef RAFT_ETCD_ETCD_GRPC_TEXT_H
#define RAFT_ETCD_ETCD_GRPC_TEXT_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* "5S", "4996632u": rounded up to milliseconds, a day at most. False: malformed. */
bool grpc_timeout_parse(struct span text, int64_t *ret_ms);

/* A grpc-message: %XX for what is not printable ASCII, and for '%'. */
void grpc_percent_encode(struct span text, struct buf *out);

/* Whether a request of this content-type is a call of gRPC. */
bool grpc_is_content_type(struct span value);

#endif
