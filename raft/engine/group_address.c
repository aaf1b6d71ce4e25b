/* The list is made anew each time and compared with the last one: it is short, and nothing has to
 * be told about who came and went. */
#include "raft/engine/group_address.h"

#include <string.h>

_Static_assert(GROUP_ADDRESSES_MAX + RAFT_GROUP_PARTNERS_MAX <= PEER_LINKS_MAX,
               "every address gets a link");

struct follow {
    struct group_addresses next;
    const struct handshake_identity *self;
};

static void put(struct follow *follow, struct span address)
{
    struct group_addresses *next = &follow->next;
    if (next->count == GROUP_ADDRESSES_MAX || address.len == 0 ||
        address.len >= RAFT_NODE_ADDRESS_BYTES || span_equal_str(address, follow->self->address)) {
        return;
    }
    for (size_t i = 0; i < next->count; i++) {
        if (span_equal_str(address, next->list[i])) {
            return;
        }
    }
    memcpy(next->list[next->count], address.data, address.len);
    next->count++; /* the list is zeroed: terminated */
}

static void put_caller(void *arg, const struct handshake_identity *identity)
{
    struct follow *follow = arg;
    if (identity->cluster == follow->self->cluster) {
        put(follow, span_str(identity->address));
    }
}

void group_addresses_follow(struct group_addresses *addresses, const struct store *store,
                            struct peers *peers)
{
    struct follow follow = {.self = peers_identity(peers)};
    struct store_member members[STORE_MEMBERS_MAX];
    size_t member_count = store_members(store, members, STORE_MEMBERS_MAX);
    for (size_t i = 0; i < member_count; i++) {
        put(&follow, members[i].address);
    }
    peers_each_caller(peers, put_caller, &follow);
    if (memcmp(&follow.next, addresses, sizeof *addresses) == 0) {
        return;
    }
    *addresses = follow.next;
    const char *pointers[GROUP_ADDRESSES_MAX];
    for (size_t i = 0; i < addresses->count; i++) {
        pointers[i] = addresses->list[i];
    }
    peers_addresses_set(peers, pointers, addresses->count);
}
