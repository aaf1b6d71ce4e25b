/* Deletes of many keys are collected first and then done in one pass over the map. */
#include "raft/store/change.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum { LEASE_FEW_PART = 16 }; /* a sixteenth of all */

bool change_allows(const struct store *store, struct span actor, const struct kv_record *record)
{
    if (record == NULL || record->lease == 0) {
        return true;
    }
    const struct lease *lease = lease_map_find(&store->leases, record->lease);
    ASSERT(lease != NULL);
    return lease_allows(lease, actor);
}

bool change_is_of_client(const struct store *store, struct span actor)
{
    return store->format > 1 && actor.len == 0;
}

static bool has_room(size_t have, size_t more, size_t max)
{
    return more == 0 || have + more <= max;
}

bool change_fits(const struct store *store, const struct change_need *need)
{
    bool of_client = need->of_client;
    return has_room(store->kvs.count + store->dirs.count, need->keys,
                    of_client ? STORE_CLIENT_KEYS_MAX : STORE_KEYS_MAX) &&
           has_room(store->kvs.bytes + store->dirs.bytes, need->bytes,
                    of_client ? STORE_CLIENT_BYTES_MAX : STORE_BYTES_MAX) &&
           has_room(store->leases.count, need->leases,
                    of_client ? STORE_CLIENT_LEASES_MAX : STORE_LEASES_MAX);
}

/* --- directories ------------------------------------------------------------------------------ */

void change_below(const struct kv_map *map, struct span path, size_t *ret_first, size_t *ret_end)
{
    uint8_t bytes[STORE_KEY_BYTES_MAX + 1];
    size_t len = path.len == 1 ? 0 : path.len; /* the root is "/" itself */
    ASSERT(len <= STORE_KEY_BYTES_MAX);
    memcpy(bytes, path.data, len);
    bytes[len] = '/';
    *ret_first = kv_map_seek(map, span_of(bytes, len + 1));
    bytes[len] = '/' + 1;
    *ret_end = kv_map_seek(map, span_of(bytes, len + 1));
}

static bool goes_with_directory(const struct store *store, const struct kv_record *record,
                                bool spare_holders)
{
    return record->has_v2_name &&
           (!spare_holders || change_allows(store, span_of(NULL, 0), record));
}

/* Keys, or directories made, below `path`, and the one at `path`. */
static void delete_below(struct store *store, bool directories, struct span path,
                         bool spare_holders, int64_t revision)
{
    struct kv_map *map = directories ? &store->dirs : &store->kvs;
    struct kv_record *self = directories ? NULL : kv_map_find(map, path);
    size_t first = 0;
    size_t end = 0;
    change_below(map, path, &first, &end);
    struct kv_record **records = mem_new_array(struct kv_record *, end - first + 1);
    size_t count = 0;
    if (self != NULL && goes_with_directory(store, self, spare_holders)) {
        records[count++] = self;
    }
    for (size_t i = first; i < end; i++) {
        if (goes_with_directory(store, map->records[i], spare_holders)) {
            records[count++] = map->records[i];
        }
    }
    mvcc_delete(store, records, count, revision, STORE_ACTION_BELOW);
    mem_free(records);
}

void change_delete_directory(struct store *store, struct span path, bool spare_holders,
                             int64_t revision, enum store_action action)
{
    struct kv_record *made = mvcc_find(store, path, true);
    if (made != NULL) {
        mvcc_delete(store, &made, 1, revision, action);
    } else {
        mvcc_delete_unmade(store, path, revision, action);
    }
    delete_below(store, false, path, spare_holders, revision);
    delete_below(store, true, path, spare_holders, revision);
}

/* --- leases ----------------------------------------------------------------------------------- */

static int record_order(const void *a, const void *b)
{
    const struct kv_record *const *first = a;
    const struct kv_record *const *second = b;
    return span_compare(kv_record_key(*first), kv_record_key(*second));
}

static size_t sort_list(const struct lease *lease, bool directories, struct kv_record **records)
{
    size_t count = 0;
    LIST_EACH(item, &lease->keys)
    {
        struct kv_record *record = LIST_OWNER(item, struct kv_record, in_lease);
        if (((record->flags & KV_DIRECTORY) != 0) == directories) {
            records[count++] = record;
        }
    }
    if (count > 0) {
        qsort(records, count, sizeof(struct kv_record *), record_order);
    }
    return count;
}

static size_t pick_from_map(const struct kv_map *map, const struct lease *lease,
                            struct kv_record **records)
{
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++) {
        if (map->records[i]->lease == lease->id) {
            records[count++] = map->records[i];
        }
    }
    return count;
}

/* Few are sorted; for many it is far cheaper to go through all that there are in order. */
struct kv_record **change_lease_records(const struct store *store, const struct lease *lease,
                                        bool directories, size_t *ret_count)
{
    const struct kv_map *map = directories ? &store->dirs : &store->kvs;
    size_t count = 0;
    LIST_EACH(item, &lease->keys)
    {
        count++;
    }
    struct kv_record **records = mem_new_array(struct kv_record *, count);
    *ret_count = count > map->count / LEASE_FEW_PART ? pick_from_map(map, lease, records)
                                                     : sort_list(lease, directories, records);
    return records;
}

/* In key order: the order of attaching is not in the snapshot, and events must be alike on every
 * member. */
size_t change_lease_end(struct store *store, struct lease *lease, int64_t revision,
                        enum store_action action)
{
    size_t keys = 0;
    size_t directories = 0;
    struct kv_record **records = change_lease_records(store, lease, false, &keys);
    mvcc_delete(store, records, keys, revision, action);
    mem_free(records);
    for (;;) { /* what is below one that goes may be on the lease, too */
        size_t count = 0;
        records = change_lease_records(store, lease, true, &count);
        if (count > 0) {
            change_delete_directory(store, kv_record_key(records[0]), true, revision, action);
            directories++;
        }
        mem_free(records);
        if (count == 0) {
            break;
        }
    }
    lease_map_remove(&store->leases, lease);
    return keys + directories;
}
