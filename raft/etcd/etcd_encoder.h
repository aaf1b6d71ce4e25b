/* PURE. A message as protobuf or JSON, in portions: what is large need not be encoded in one turn
 * of the loop, nor be held as a whole. */
#ifndef RAFT_ETCD_ETCD_ENCODER_H
#define RAFT_ETCD_ETCD_ENCODER_H

#include "base/buf.h"
#include "raft/etcd/etcd_fields.h"

#include <stdbool.h>

/* Messages inside messages, as answers nest: two for each transaction inside a transaction. */
#define ETCD_ENCODER_DEPTH_MAX (2 * ETCD_NESTING_MAX)

enum etcd_encoding { ETCD_ENCODING_PROTO, ETCD_ENCODING_JSON };

/* A message that is being written. */
struct etcd_encoder_level {
    const struct etcd_type *type;
    const void *message;
    size_t field; /* the present one */
    size_t at;    /* its next element; 0: it has not begun */
    bool any;     /* a field stands before it */
};

struct etcd_encoder {
    enum etcd_encoding encoding;
    bool begun;
    size_t depth;
    struct etcd_encoder_level levels[ETCD_ENCODER_DEPTH_MAX];
};

/* `message`, a struct of `type`, stays as it is until all is encoded. */
void etcd_encoder_init(struct etcd_encoder *encoder, enum etcd_encoding encoding,
                       const struct etcd_type *type, const void *message);
/* Appends to `out` until that has `bytes` or more; true: that was all. A text or value is never
 * divided. The whole is, to the byte, what etcd_proto_encode or etcd_json_encode gives. */
bool etcd_encoder_take(struct etcd_encoder *encoder, size_t bytes, struct buf *out);

#endif
