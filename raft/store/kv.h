/* Keys in order. A record is one immutable version of one key, counted by reference: a map holds
 * the newest, each version the one before it (mvcc.h), and results of reads any of them, so that a
 * value is stored once. */
#ifndef RAFT_STORE_KV_H
#define RAFT_STORE_KV_H

#include "base/buf.h"
#include "base/list.h"
#include "raft/store.h"

enum kv_flag {
    KV_TOMBSTONE = 1, /* the key was deleted: no value, and the numbers but mod_revision are 0 */
    KV_DIRECTORY = 2, /* a directory that v2 made: in a map of its own */
    KV_DOOMED = 4     /* only inside kv_map_remove_all */
};

struct kv_record {
    unsigned refs;
    uint8_t flags;
    uint8_t action;          /* enum store_action */
    bool has_v2_name;        /* v2 shows it: told once, and asked for by whoever passes over it */
    struct list in_lease;    /* of the lease it is attached to, while it is the newest version */
    struct kv_record *older; /* a reference; NULL = none that is kept */
    struct kv_record *newer;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    uint64_t lease;
    uint32_t key_len;
    uint32_t value_len;
    uint8_t bytes[]; /* key, then value */
};

/* Sorted array of the newest records: a search touches log2(n) records, an insertion moves n/2
 * pointers, which at STORE_KEYS_MAX is still far cheaper than the disk write that came before it.
 */
struct kv_map {
    struct kv_record **records;
    size_t count;
    size_t capacity;
    size_t bytes; /* of all keys and values */
};

struct kv_record *kv_record_new(struct span key, struct span value);
struct kv_record *kv_record_ref(struct kv_record *record);
void kv_record_unref(struct kv_record *record); /* NULL is accepted */
struct span kv_record_key(const struct kv_record *record);
struct span kv_record_value(const struct kv_record *record);
size_t kv_record_bytes(const struct kv_record *record);
/* Key, value (bytes), create, mod, version, lease (u64): how a snapshot has it. */
void kv_record_encode(const struct kv_record *record, struct buf *out);
void kv_record_view(const struct kv_record *record, struct store_kv *ret_kv);

void kv_map_close(struct kv_map *map);
/* Position of the first key >= `key`. */
size_t kv_map_seek(const struct kv_map *map, struct span key);
struct kv_record *kv_map_find(const struct kv_map *map, struct span key); /* NULL = absent */
/* Takes the reference; a previous version of the key loses the map's. */
void kv_map_set_take(struct kv_map *map, struct kv_record *record);
/* The key must be there. */
void kv_map_remove(struct kv_map *map, struct span key);
/* Many at once, in key order: adding takes the references, of keys that are not there; removing
 * drops the map's. Neither costs more than one pass over the map. */
void kv_map_add_all(struct kv_map *map, struct kv_record *const *records, size_t count);
void kv_map_remove_all(struct kv_map *map, struct kv_record *const *records, size_t count);
/* Positions of [key, range_end), etcd's meaning of the end (store_read.h). */
void kv_map_range(const struct kv_map *map, struct span key, struct span range_end,
                  size_t *ret_first, size_t *ret_end);
void kv_map_check(const struct kv_map *map);

#endif
