/* Copies keys and values out of the store: the view outlives the next apply. Keys with a zero byte
 * in them can be put by others through the etcd faces; nobody of ours asks for them, and as text
 * they would be ambiguous. */
#include "agent/dcs/dcs_raft_view.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

struct collector {
    struct dcs_view *view;
    size_t base_len;
    size_t capacity;
};

static bool is_text(struct span key)
{
    return key.len > 0 && memchr(key.data, 0, key.len) == NULL;
}

static bool collect(void *arg, const struct store_kv *kv)
{
    struct collector *collector = arg;
    struct dcs_view *view = collector->view;
    ASSERT(kv->key.len >= collector->base_len);
    struct span key =
        span_of(kv->key.data + collector->base_len, kv->key.len - collector->base_len);
    if (!is_text(key)) {
        return true;
    }
    if (view->count == collector->capacity) {
        collector->capacity = collector->capacity == 0 ? 16 : collector->capacity * 2;
        view->kvs = mem_resize(view->kvs, collector->capacity * sizeof *view->kvs);
    }
    view->kvs[view->count++] = (struct dcs_kv){
        .key = mem_strndup((const char *)key.data, key.len),
        .value = mem_memdup(kv->value.data, kv->value.len),
        .value_len = kv->value.len,
        .create_revision = kv->create_revision,
        .mod_revision = kv->mod_revision,
        .lease = kv->lease,
    };
    return true;
}

static struct collector collector_new(uint64_t cluster, int64_t revision, const char *base)
{
    struct collector collector = {.view = dcs_view_new(0), .base_len = strlen(base)};
    collector.view->cluster = cluster;
    collector.view->revision = revision;
    return collector;
}

struct dcs_view *dcs_raft_view_of_store(const struct store *store, uint64_t cluster,
                                        const char *base)
{
    struct collector collector = collector_new(cluster, store_revision(store), base);
    store_each(store, span_str(base), collect, &collector);
    return collector.view;
}

struct dcs_view *dcs_raft_view_of_kvs(const struct store_kv *kvs, size_t count, uint64_t cluster,
                                      int64_t revision, const char *base)
{
    struct collector collector = collector_new(cluster, revision, base);
    for (size_t i = 0; i < count; i++) {
        if (span_starts_with(kvs[i].key, span_str(base))) {
            (void)collect(&collector, &kvs[i]);
        }
    }
    return collector.view;
}
