/* PURE. Files have a value, directories none; of a deleted one the event knows key and revision
 * only, the rest is told by what was before it. */
#include "raft/etcd/etcd_v2_node.h"

#include "raft/store_read.h"

void etcd_v2_node_set_ttl(struct etcd_v2_node *node, const struct etcd_v2_now *now,
                          int64_t remaining_ms)
{
    const int64_t second_ms = 1000;
    const int64_t ms_ns = 1000 * 1000;
    if (remaining_ms < 0) {
        return;
    }
    node->has_expiration = true;
    node->expiration_ns = (now->wall_ms + remaining_ms) * ms_ns;
    /* ttl=0 is a lease of 1 ms, the shortest; it shows as none left, as in etcd. */
    node->ttl_s = remaining_ms <= 1 ? 0 : (remaining_ms + second_ms - 1) / second_ms;
}

void etcd_v2_node_of_kv(const struct store_kv *kv, struct etcd_v2_node *ret_node)
{
    *ret_node = (struct etcd_v2_node){.key = kv->key,
                                      .dir = kv->directory,
                                      .has_value = !kv->directory,
                                      .value = kv->value,
                                      .modified_index = (uint64_t)kv->mod_revision,
                                      .created_index = (uint64_t)kv->create_revision};
}

void etcd_v2_node_of_store(const struct store_v2_node *from, struct etcd_v2_node *ret_node)
{
    *ret_node = (struct etcd_v2_node){.key = from->path,
                                      .dir = from->directory,
                                      .has_value = !from->directory,
                                      .value = from->value,
                                      .modified_index = (uint64_t)from->modified,
                                      .created_index = (uint64_t)from->created};
}

/* --- events ----------------------------------------------------------------------------------- */

/* A directory that nobody made is as old as the first key that was below it, and went with it in
 * the same revision, where nothing else happens. 0: it is not known. */
static uint64_t created_of_unmade(const struct store_events *events, size_t at,
                                  const struct store_event *directory)
{
    for (size_t i = at + 1; i < events->kvs.count; i++) {
        struct store_event event;
        struct store_kv prev;
        bool has_prev = store_events_get(events, i, &event, &prev);
        if (event.kv.mod_revision != directory->kv.mod_revision) {
            break;
        }
        if (has_prev) {
            return (uint64_t)prev.create_revision;
        }
    }
    return 0;
}

bool etcd_v2_node_of_event(const struct store *store, const struct store_events *events, size_t at,
                           const struct etcd_v2_now *now, struct etcd_v2_node *ret_node,
                           struct etcd_v2_node *ret_prev)
{
    struct store_event event;
    struct store_kv prev;
    bool has_prev = store_events_get(events, at, &event, &prev);
    etcd_v2_node_of_kv(&event.kv, ret_node);
    if (has_prev) {
        etcd_v2_node_of_kv(&prev, ret_prev);
    }
    if (event.type == STORE_EVENT_PUT) {
        if (event.kv.lease != 0) {
            etcd_v2_node_set_ttl(ret_node, now,
                                 store_lease_remaining_ms(store, event.kv.lease, now->lease_ms));
        }
        return has_prev;
    }
    ret_node->has_value = false;
    if (has_prev) {
        ret_node->created_index = ret_prev->created_index;
    } else if (event.kv.directory) {
        ret_node->created_index = created_of_unmade(events, at, &event);
        *ret_prev = *ret_node;
        ret_prev->modified_index = ret_node->created_index;
    }
    return has_prev || event.kv.directory;
}
