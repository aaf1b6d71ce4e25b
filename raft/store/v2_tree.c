/* Directories are not stored but for those that were made: a path is one if something is below it.
 * Keys are in byte order, which is not the tree's ("/a", "/a!", "/a/b"), but everything below one
 * directory stands together, so that each question is a search or two. Keys that v2 does not show
 * are passed over one by one, so no path, however deep, asks about all its parts. */
#include "raft/store/v2_tree.h"

#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"
#include "raft/store/v2_path.h"

/* The first of the map below the directory that v2 shows; NULL = none. */
static const struct kv_record *first_below(const struct kv_map *map, struct span path)
{
    size_t at = 0;
    size_t end = 0;
    change_below(map, path, &at, &end);
    for (; at < end; at++) {
        if (map->records[at]->has_v2_name) {
            return map->records[at];
        }
    }
    return NULL;
}

bool v2_is_empty(const struct store *store, struct span path)
{
    return first_below(&store->kvs, path) == NULL && first_below(&store->dirs, path) == NULL;
}

bool v2_is_directory(const struct store *store, struct span path)
{
    if (path.len > STORE_KEY_BYTES_MAX) {
        return false; /* nothing has such a name */
    }
    return path.len == 1 || mvcc_find(store, path, true) != NULL || !v2_is_empty(store, path);
}

/* The first part of `path` that is no directory, or all of it. What is a directory makes one of
 * every part before it: halving finds the end. */
static struct span first_not_directory(const struct store *store, struct span path)
{
    struct span found = path;
    size_t from = 1;       /* the end of the part that is looked for: here or later ... */
    size_t end = path.len; /* ... and before this */
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        struct span part = v2_path_part(path, middle);
        if (part.len >= end) {
            end = middle;
        } else if (v2_is_directory(store, part)) {
            from = part.len + 1;
        } else {
            found = part;
            end = middle;
        }
    }
    return found;
}

/* --- one node --------------------------------------------------------------------------------- */

void v2_view(const struct store *store, const struct kv_record *record,
             struct store_v2_node *ret_node)
{
    const struct lease *lease = lease_map_find(&store->leases, record->lease);
    *ret_node = (struct store_v2_node){
        .there = true,
        .directory = (record->flags & KV_DIRECTORY) != 0,
        .path = kv_record_key(record),
        .value = kv_record_value(record),
        .created = record->create_revision,
        .modified = record->mod_revision,
        .lease = record->lease,
        .ttl_ms = lease == NULL ? 0 : lease->ttl_ms,
    };
}

static void view_unmade(const struct store *store, struct span path, struct store_v2_node *ret_node)
{
    const struct kv_record *below = first_below(&store->kvs, path);
    below = below != NULL ? below : first_below(&store->dirs, path);
    int64_t revision = below == NULL ? 0 : below->create_revision;
    *ret_node = (struct store_v2_node){
        .there = true, .directory = true, .path = path, .created = revision, .modified = revision};
}

/* False: nothing is there. */
static bool look(const struct store *store, struct span path, struct store_v2_node *ret_node)
{
    if (!v2_is_directory(store, path)) {
        const struct kv_record *file = mvcc_find(store, path, false);
        if (file != NULL) {
            v2_view(store, file, ret_node);
        }
        return file != NULL;
    }
    const struct kv_record *made = mvcc_find(store, path, true);
    if (made != NULL) {
        v2_view(store, made, ret_node);
    } else {
        view_unmade(store, path, ret_node);
    }
    return true;
}

enum store_reason v2_check_parents(const struct store *store, struct span path,
                                   struct span *ret_cause)
{
    struct span part = first_not_directory(store, path);
    if (part.len < path.len && mvcc_find(store, part, false) != NULL) {
        *ret_cause = part;
        return STORE_V2_NOT_DIR;
    }
    return STORE_NO_REASON;
}

enum store_reason store_v2_get(const struct store *store, struct span path,
                               struct store_v2_node *ret_node, struct span *ret_cause)
{
    struct span part = first_not_directory(store, path);
    if (part.len == path.len && look(store, path, ret_node)) {
        return STORE_NO_REASON;
    }
    *ret_cause = part;
    bool is_file = part.len < path.len && mvcc_find(store, part, false) != NULL;
    return is_file ? STORE_V2_NOT_DIR : STORE_V2_KEY_NOT_FOUND;
}

/* --- what is in a directory ------------------------------------------------------------------- */

static void hold_below(const struct kv_map *map, struct span path, struct store_kvs *ret_kvs)
{
    size_t at = 0;
    size_t end = 0;
    *ret_kvs = (struct store_kvs){0};
    if (path.len > STORE_KEY_BYTES_MAX) {
        return; /* nothing has such a name */
    }
    change_below(map, path, &at, &end);
    for (; at < end; at++) {
        if (map->records[at]->has_v2_name) {
            kvs_add(ret_kvs, map->records[at]);
        }
    }
}

void store_v2_below(const struct store *store, struct span path, struct store_kvs *ret_files,
                    struct store_kvs *ret_directories)
{
    hold_below(&store->kvs, path, ret_files);
    hold_below(&store->dirs, path, ret_directories);
}

/* --- what a watch hears ----------------------------------------------------------------------- */

static const char *action_name(const struct store_event *event)
{
    bool deleted = event->type == STORE_EVENT_DELETE;
    switch (event->action) {
    case STORE_ACTION_NONE: return deleted ? "delete" : "set";
    case STORE_ACTION_SET: return deleted ? NULL : "set"; /* what it replaced goes with it */
    case STORE_ACTION_CREATE: return "create";
    case STORE_ACTION_UPDATE: return "update";
    case STORE_ACTION_SWAP: return "compareAndSwap";
    case STORE_ACTION_DELETE: return "delete";
    case STORE_ACTION_COMPARE_DELETE: return "compareAndDelete";
    case STORE_ACTION_EXPIRE: return "expire";
    case STORE_ACTION_REFRESH:
    case STORE_ACTION_BELOW: break;
    }
    return NULL;
}

const char *store_v2_event_action(const struct store_event *event, struct span path, bool recursive)
{
    struct span key = event->kv.key;
    if (!v2_path_is_clean(key)) {
        return NULL;
    }
    bool below = recursive && v2_path_is_below(key, path) && !v2_path_is_hidden(key, path);
    bool above =
        event->kv.directory && event->type == STORE_EVENT_DELETE && v2_path_is_below(path, key);
    return span_equal(key, path) || below || above ? action_name(event) : NULL;
}
