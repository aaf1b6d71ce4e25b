/* PURE. What Hash and HashKV tell: it tells states apart that should be equal, and is no defence
 * against anybody. Equal on every machine, in one release; a whole store takes some milliseconds.
 */
#ifndef RAFT_ETCD_ETCD_HASH_H
#define RAFT_ETCD_ETCD_HASH_H

#include "base/span.h"

#define ETCD_HASH_BEGIN ((uint64_t)0xcbf29ce484222325)

uint64_t etcd_hash_number(uint64_t hash, uint64_t number);
uint64_t etcd_hash_bytes(uint64_t hash, struct span bytes); /* and how many there are */
uint32_t etcd_hash_end(uint64_t hash);

#endif
