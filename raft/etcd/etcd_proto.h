/* PURE. etcd's messages <-> protobuf (proto3), driven by the field tables.
 *
 * Reading is strict: groups, wrong wire types, numbers that do not fit and lengths that point
 * outside are refused with the texts of Go's decoder; unknown fields are skipped. Of a scalar that
 * comes twice the last one counts; a message that comes twice is merged; of a oneof the last member
 * counts alone; repeated scalars may be packed or not, or both. What it allocates is bounded by the
 * arena; what it nests by ETCD_NESTING_MAX; it takes time linear in size and nesting. */
#ifndef RAFT_ETCD_ETCD_PROTO_H
#define RAFT_ETCD_ETCD_PROTO_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "raft/etcd/etcd_fields.h"

/* For the arena of a message of `len` bytes, in either encoding: no sane one needs more. */
#define ETCD_ARENA_BUDGET(len) ((size_t)64 * 1024 + 8 * (len))

/* Fills the zeroed `ret_message`, a struct of `type`. Bytes and texts are borrowed from `bytes`,
 * the rest comes from the arena. ERR_INVALID: not such a message. ERR_LIMIT: nested too deep,
 * over the arena's budget, or more filters than ETCD_WATCH_FILTERS_MAX. ERR_BUSY: a list of a
 * transaction is longer than ETCD_TXN_OPS_MAX. On failure the message is in no useful state. */
int etcd_proto_decode(const struct etcd_type *type, struct span bytes, struct arena *arena,
                      void *ret_message, struct error *err) MUST_CHECK;

/* Appends the message. Zeros are left out, fields come in the order of the table, repeated scalars
 * are packed: as Go does, to the byte. */
void etcd_proto_encode(const struct etcd_type *type, const void *message, struct buf *out);
size_t etcd_proto_size(const struct etcd_type *type, const void *message);

/* Parts of it, for etcd_encoder.c: tag and length of a message; a whole field that is none. */
void etcd_proto_put_frame(struct buf *out, const struct etcd_field *field, const void *at);
/* One element of a list of bytes or strings. */
void etcd_proto_put_element(struct buf *out, const struct etcd_field *field, const void *at);
void etcd_proto_put_field(struct buf *out, const struct etcd_type *type,
                          const struct etcd_field *field, const void *message);

#endif
