/* PURE. etcd's messages <-> the JSON of its gateway (grpc-gateway 1 with original names, as in etcd
 * 3.4), driven by the field tables. What is wrong with a text is said in the words of Go's decoder.
 *
 * Reading: bytes in base64 (standard alphabet, padded); integers as numbers or in quotes; enums by
 * name or number; names as in the proto or in camelCase (which wins if both are there); the last of
 * equal names counts; null = absent; unknown names are ignored; an empty text is an empty message;
 * what follows the first value is not looked at. Stricter than etcd: of a oneof one member only
 * (etcd takes any of them), bytes not as a list of numbers, ETCD_NESTING_MAX messages deep. An
 * element that is null is an empty one (etcd crashes).
 *
 * Writing: one line, zeros left out, integers of 64 bits in quotes, enums by name. */
#ifndef RAFT_ETCD_ETCD_JSON_H
#define RAFT_ETCD_ETCD_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "raft/etcd/etcd_fields.h"

/* Fills the zeroed `ret_message`, a struct of `type`. Everything in it comes from the arena or is
 * borrowed from `text`. ERR_INVALID, ERR_LIMIT, ERR_BUSY as etcd_proto_decode has them. */
int etcd_json_decode(const struct etcd_type *type, struct span text, struct arena *arena,
                     void *ret_message, struct error *err) MUST_CHECK;
/* The same; `ret_work` is how many bytes of syntax were looked at, which is linear in the text,
 * however deep it nests. */
int etcd_json_decode_counted(const struct etcd_type *type, struct span text, struct arena *arena,
                             void *ret_message, size_t *ret_work, struct error *err) MUST_CHECK;

void etcd_json_encode(const struct etcd_type *type, const void *message, struct buf *out);

/* Parts of it, for etcd_encoder.c: the name of a field, with the bracket of a list; a value. */
void etcd_json_put_name(struct buf *out, const struct etcd_field *field, bool is_first);
void etcd_json_put_value(struct buf *out, const struct etcd_field *field, const void *at);

#endif
