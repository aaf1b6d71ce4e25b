/* The leases and the local counting of their time.
 *
 * A lease moves: granted (number N) -> renewed (number + 1) ... -> ended, each by an applied
 * command. Time never ends it here: lease time is looked at by store_leases_due, which names what
 * may be proposed. Must hold: ids strictly ascend; `applied_at_ms` is -1 or a lease clock value
 * read after the apply; no number is above the index that was applied last, since each renewal was
 * an entry of its own.
 *
 * Ids are chosen by clients, and may come again at once. So N is the index of the grant, above
 * every number of the earlier leases: an Expire that is still under way for one of them hits none
 * that comes after it. In format 1, where only members grant leases, with random ids, N is 1, as
 * in the release that knows no other. */
#include "raft/store/lease.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/change.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"

#include <string.h>

enum { LEASE_FIRST_CAPACITY = 16 };

void lease_map_close(struct lease_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        ASSERT(list_empty(&map->leases[i]->keys));
        mem_free(map->leases[i]);
    }
    mem_free(map->leases);
    *map = (struct lease_map){0};
}

static size_t lease_map_seek(const struct lease_map *map, uint64_t id)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->leases[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct lease *lease_map_find(const struct lease_map *map, uint64_t id)
{
    size_t at = lease_map_seek(map, id);
    return at < map->count && map->leases[at]->id == id ? map->leases[at] : NULL;
}

uint64_t lease_first_number(const struct store *store)
{
    return store->format > 1 ? store->applied : 1;
}

struct lease *lease_map_add(struct lease_map *map, uint64_t id, uint64_t number, struct span owner)
{
    ASSERT(id != 0 && number != 0 && owner.len <= STORE_ACTOR_BYTES_MAX);
    size_t at = lease_map_seek(map, id);
    ASSERT(at == map->count || map->leases[at]->id != id);
    if (map->count == map->capacity) {
        map->capacity = map->capacity == 0 ? LEASE_FIRST_CAPACITY : map->capacity * 2;
        map->leases = mem_resize(map->leases, map->capacity * sizeof(*map->leases));
    }
    struct lease *lease = mem_new(struct lease);
    lease->id = id;
    lease->number = number;
    lease->applied_at_ms = -1;
    lease->owner_len = (uint32_t)owner.len;
    if (owner.len > 0) {
        memcpy(lease->owner, owner.data, owner.len);
    }
    list_init(&lease->keys);
    memmove(map->leases + at + 1, map->leases + at, (map->count - at) * sizeof(*map->leases));
    map->leases[at] = lease;
    map->count++;
    lease_map_touch(map, lease);
    return lease;
}

static void lease_map_forget_pending(struct lease_map *map, const struct lease *lease)
{
    struct lease **link = &map->pending;
    while (*link != lease) {
        ASSERT(*link != NULL);
        link = &(*link)->pending_next;
    }
    *link = lease->pending_next;
}

void lease_map_remove(struct lease_map *map, struct lease *lease)
{
    ASSERT(list_empty(&lease->keys));
    size_t at = lease_map_seek(map, lease->id);
    ASSERT(at < map->count && map->leases[at] == lease);
    if (lease->pending) {
        lease_map_forget_pending(map, lease);
    }
    map->count--;
    memmove(map->leases + at, map->leases + at + 1, (map->count - at) * sizeof(*map->leases));
    mem_free(lease);
}

void lease_map_touch(struct lease_map *map, struct lease *lease)
{
    if (!lease->pending) {
        lease->pending = true;
        lease->pending_next = map->pending;
        map->pending = lease;
    }
}

void lease_map_note(struct lease_map *map, int64_t now_ms)
{
    while (map->pending != NULL) {
        struct lease *lease = map->pending;
        map->pending = lease->pending_next;
        lease->pending = false;
        lease->pending_next = NULL;
        lease->applied_at_ms = now_ms;
    }
}

struct span lease_owner(const struct lease *lease)
{
    return span_of(lease->owner, lease->owner_len);
}

bool lease_allows(const struct lease *lease, struct span actor)
{
    return (lease->flags & STORE_LEASE_HOLDER) == 0 || span_equal(lease_owner(lease), actor);
}

void lease_view(const struct lease *lease, struct store_lease *ret_lease)
{
    *ret_lease = (struct store_lease){
        .id = lease->id,
        .ttl_ms = lease->ttl_ms,
        .renewal_number = lease->number,
        .stamp = lease->stamp,
        .flags = lease->flags,
        .owner = lease_owner(lease),
        .applied_at_ms = lease->pending ? -1 : lease->applied_at_ms,
    };
}

void lease_map_check(const struct lease_map *map, uint64_t applied)
{
    size_t pending = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct lease *lease = map->leases[i];
        ASSERT(lease->id != 0 && (i == 0 || map->leases[i - 1]->id < lease->id));
        ASSERT(lease->ttl_ms > 0 && lease->ttl_ms <= STORE_LEASE_TTL_MS_MAX);
        ASSERT(lease->number > 0 && lease->number <= applied);
        ASSERT((lease->flags & STORE_LEASE_HOLDER) == 0 || lease->owner_len > 0);
        pending += lease->pending ? 1 : 0;
    }
    for (const struct lease *lease = map->pending; lease != NULL; lease = lease->pending_next) {
        ASSERT(lease->pending && pending > 0);
        pending--;
    }
    ASSERT(pending == 0);
}

bool store_lease_get(const struct store *store, uint64_t lease, struct store_lease *ret_lease)
{
    const struct lease *found = lease_map_find(&store->leases, lease);
    if (found == NULL) {
        return false;
    }
    lease_view(found, ret_lease);
    return true;
}

void store_lease_each(const struct store *store,
                      bool (*visit)(void *arg, const struct store_lease *lease), void *arg)
{
    for (size_t i = 0; i < store->leases.count; i++) {
        struct store_lease view;
        lease_view(store->leases.leases[i], &view);
        if (!visit(arg, &view)) {
            return;
        }
    }
}

void store_leases_note(struct store *store, int64_t now_ms)
{
    lease_map_note(&store->leases, now_ms);
}

void store_leases_restart(struct store *store, int64_t now_ms)
{
    lease_map_note(&store->leases, now_ms);
    for (size_t i = 0; i < store->leases.count; i++) {
        store->leases.leases[i]->applied_at_ms = now_ms;
    }
}

/* What a lease still has here; the whole ttl while nobody noted when it was applied. */
static int64_t lease_remaining(const struct lease *lease, int64_t now_ms)
{
    if (lease->pending || lease->applied_at_ms < 0) {
        return lease->ttl_ms;
    }
    int64_t waited = now_ms - lease->applied_at_ms;
    return waited >= lease->ttl_ms ? 0 : lease->ttl_ms - waited;
}

int64_t store_lease_remaining_ms(const struct store *store, uint64_t lease, int64_t now_ms)
{
    const struct lease *found = lease_map_find(&store->leases, lease);
    return found == NULL ? -1 : lease_remaining(found, now_ms);
}

void store_lease_keys(const struct store *store, uint64_t lease, struct store_kvs *ret_kvs)
{
    const struct lease *found = lease_map_find(&store->leases, lease);
    *ret_kvs = (struct store_kvs){0};
    if (found == NULL) {
        return;
    }
    size_t count = 0;
    struct kv_record **records = change_lease_records(store, found, false, &count);
    for (size_t i = 0; i < count; i++) {
        kvs_add(ret_kvs, records[i]);
    }
    mem_free(records);
}

uint64_t store_lease_id(const struct store *store, uint64_t random)
{
    uint64_t id = random & INT64_MAX;
    while (id == 0 || lease_map_find(&store->leases, id) != NULL) {
        id = (id + 1) & INT64_MAX;
    }
    return id;
}

int64_t store_lease_ttl_ms(int64_t ttl_s, int64_t election_timeout_ms)
{
    int64_t least_s = (election_timeout_ms * 3 + 1999) / 2000;
    int64_t granted_s = ttl_s < least_s ? least_s : ttl_s;
    int64_t most_s = STORE_LEASE_TTL_MS_MAX / 1000;
    return (granted_s > most_s ? most_s : granted_s) * 1000;
}

int64_t store_leases_due(const struct store *store, int64_t now_ms,
                         void (*expired)(void *arg, uint64_t lease, uint64_t number), void *arg)
{
    int64_t next = -1;
    for (size_t i = 0; i < store->leases.count; i++) {
        const struct lease *lease = store->leases.leases[i];
        int64_t remaining = lease_remaining(lease, now_ms);
        if (remaining == 0) {
            expired(arg, lease->id, lease->number);
        } else if (next < 0 || remaining < next) {
            next = remaining;
        }
    }
    return next;
}
