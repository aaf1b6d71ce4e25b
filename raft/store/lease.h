/* Leases: what is replicated (ttl, renewal number, stamp, owner, keys), and beside it the one local
 * fact, when this member applied the last renewal. */
#ifndef RAFT_STORE_LEASE_H
#define RAFT_STORE_LEASE_H

#include "base/list.h"
#include "raft/store.h"

struct kv_record;
struct store;

struct lease {
    uint64_t id;
    int64_t ttl_ms;
    uint64_t number;
    int64_t stamp;
    uint32_t flags;
    struct list keys; /* of struct kv_record.in_lease, in no order that matters */
    int64_t applied_at_ms;
    bool pending; /* applied and not noted yet: in the chain below */
    struct lease *pending_next;
    uint32_t owner_len;
    uint8_t owner[STORE_ACTOR_BYTES_MAX];
};

struct lease_map {
    struct lease **leases; /* sorted by id */
    size_t count;
    size_t capacity;
    struct lease *pending;
};

void lease_map_close(struct lease_map *map); /* after the keys are gone */
struct lease *lease_map_find(const struct lease_map *map, uint64_t id); /* NULL = none */
/* The id must be new. It is not noted yet. */
struct lease *lease_map_add(struct lease_map *map, uint64_t id, uint64_t number, struct span owner);
/* The renewal number of a lease that the present command grants. */
uint64_t lease_first_number(const struct store *store);
/* Without keys any more. */
void lease_map_remove(struct lease_map *map, struct lease *lease);
/* The next lease_map_note gives it the time: called for every grant and renewal. */
void lease_map_touch(struct lease_map *map, struct lease *lease);
void lease_map_note(struct lease_map *map, int64_t now_ms);

struct span lease_owner(const struct lease *lease);
/* A holder lease, with all that hangs on it, is touched by its owner only. */
bool lease_allows(const struct lease *lease, struct span actor);
void lease_view(const struct lease *lease, struct store_lease *ret_lease);
void lease_map_check(const struct lease_map *map, uint64_t applied);

#endif
