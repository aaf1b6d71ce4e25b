/* PURE. Everything below the directory is held once, in the order of keys, which is not the tree's
 * ("/a", "/a!", "/a/b"); but what is below one directory stands together. So a level of the tree is
 * two slices (files, directories that were made) and the names that they begin with, in order.
 *
 * Where a directory and a file have one name, the directory hides the file. A name that begins with
 * '_' is hidden from the directories above it. */
#include "raft/etcd/etcd_v2_tree.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Of a node beside its key and value: its version, two references, its ttl, its name in a level. */
enum { NODE_BYTES = 160, NAMES_FIRST = 16 };

struct slice {
    size_t first;
    size_t end;
};

/* One of the two kinds. */
struct nodes {
    struct store_kvs kvs;
    int64_t *remaining_ms; /* of each; NULL: none has a ttl */
};

struct level {
    struct etcd_v2_node node;
    struct span path; /* of the directory; the root's is "/" */
    struct slice files;
    struct slice directories;
    struct span *names; /* whole paths, borrowed from keys */
    size_t name_count;
    size_t name_capacity;
    size_t next;
};

struct etcd_v2_tree {
    struct buf path; /* of the root of it */
    struct etcd_v2_now now;
    bool recursive;
    bool begun;
    struct nodes files;
    struct nodes directories;
    struct level *levels;
    size_t level_count;
    size_t level_capacity;
    size_t bytes;       /* of all nodes */
    size_t key_len_max; /* of the longest one */
};

/* --- looking ---------------------------------------------------------------------------------- */

static struct span key_at(const struct nodes *nodes, size_t at)
{
    struct store_kv kv;
    store_kvs_get(&nodes->kvs, at, &kv);
    return kv.key;
}

static size_t seek(const struct nodes *nodes, struct slice within, struct span key)
{
    size_t low = within.first;
    size_t high = within.end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(key_at(nodes, middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* What is below `path`. */
static struct slice below(const struct nodes *nodes, struct slice within, struct span path)
{
    uint8_t bytes[STORE_KEY_BYTES_MAX + 1];
    size_t len = path.len == 1 ? 0 : path.len; /* the root is "/" itself */
    struct slice found;
    ASSERT(len <= STORE_KEY_BYTES_MAX);
    memcpy(bytes, path.data, len);
    bytes[len] = '/';
    found.first = seek(nodes, within, span_of(bytes, len + 1));
    bytes[len] = '/' + 1;
    found.end = seek(nodes, within, span_of(bytes, len + 1));
    return found;
}

/* False: there is none of that name. */
static bool find(const struct nodes *nodes, struct slice within, struct span path, size_t *ret_at)
{
    *ret_at = seek(nodes, within, path);
    return *ret_at < within.end && span_equal(key_at(nodes, *ret_at), path);
}

static bool is_some(struct slice slice)
{
    return slice.first < slice.end;
}

/* The first part of `path` that ends after `len` bytes or later: up to the next '/' or the end. */
static struct span part_of(struct span path, size_t len)
{
    const uint8_t *end = memchr(path.data + len, '/', path.len - len);
    return span_of(path.data, end == NULL ? path.len : (size_t)(end - path.data));
}

/* --- levels ----------------------------------------------------------------------------------- */

static void add_name(struct level *level, struct span path)
{
    if (level->name_count > 0 && span_equal(level->names[level->name_count - 1], path)) {
        return;
    }
    if (level->name_count == level->name_capacity) {
        level->name_capacity = level->name_capacity == 0 ? NAMES_FIRST : level->name_capacity * 2;
        level->names = mem_resize(level->names, level->name_capacity * sizeof(struct span));
    }
    level->names[level->name_count++] = path;
}

static void collect(struct level *level, const struct nodes *nodes, struct slice slice)
{
    size_t skip = level->path.len == 1 ? 1 : level->path.len + 1;
    for (size_t at = slice.first; at < slice.end;) {
        struct span key = key_at(nodes, at);
        struct span part = part_of(key, skip);
        if (part.data[skip] != '_') {
            add_name(level, part);
        }
        at = part.len == key.len
                 ? at + 1
                 : below(nodes, (struct slice){.first = at, .end = slice.end}, part).end;
    }
}

static int name_order(const void *a, const void *b)
{
    return span_compare(*(const struct span *)a, *(const struct span *)b);
}

/* In order, each once: they come from two slices, and "/a/b" after "/a!". */
static void sort_names(struct level *level)
{
    size_t kept = 0;
    bool is_sorted = true;
    for (size_t i = 1; i < level->name_count; i++) {
        is_sorted = is_sorted && span_compare(level->names[i - 1], level->names[i]) < 0;
    }
    if (is_sorted) {
        return;
    }
    qsort(level->names, level->name_count, sizeof(struct span), name_order);
    for (size_t i = 0; i < level->name_count; i++) {
        if (kept == 0 || !span_equal(level->names[kept - 1], level->names[i])) {
            level->names[kept++] = level->names[i];
        }
    }
    level->name_count = kept;
}

static void push(struct etcd_v2_tree *tree, const struct level *level)
{
    if (tree->level_count == tree->level_capacity) {
        tree->level_capacity = tree->level_capacity == 0 ? 8 : tree->level_capacity * 2;
        tree->levels = mem_resize(tree->levels, tree->level_capacity * sizeof(struct level));
    }
    struct level *top = &tree->levels[tree->level_count++];
    *top = *level;
    collect(top, &tree->files, top->files);
    collect(top, &tree->directories, top->directories);
    sort_names(top);
}

static void pop(struct etcd_v2_tree *tree)
{
    mem_free(tree->levels[--tree->level_count].names);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void view(const struct etcd_v2_tree *tree, const struct nodes *nodes, size_t at,
                 struct etcd_v2_node *ret_node)
{
    struct store_kv kv;
    store_kvs_get(&nodes->kvs, at, &kv);
    etcd_v2_node_of_kv(&kv, ret_node);
    if (nodes->remaining_ms != NULL) {
        etcd_v2_node_set_ttl(ret_node, &tree->now, nodes->remaining_ms[at]);
    }
}

/* Nobody made it: it is as old as the first that is below it. */
static void view_unmade(const struct etcd_v2_tree *tree, const struct level *level,
                        struct etcd_v2_node *ret_node)
{
    bool has_file = is_some(level->files);
    struct store_kv kv;
    store_kvs_get(has_file ? &tree->files.kvs : &tree->directories.kvs,
                  has_file ? level->files.first : level->directories.first, &kv);
    *ret_node = (struct etcd_v2_node){.key = level->path,
                                      .dir = true,
                                      .modified_index = (uint64_t)kv.create_revision,
                                      .created_index = (uint64_t)kv.create_revision};
}

/* One child of the level on top; a directory becomes the level on top where the answer goes on into
 * it. */
static void put_child(struct etcd_v2_tree *tree, struct buf *out)
{
    struct level *parent = &tree->levels[tree->level_count - 1];
    struct span path = parent->names[parent->next];
    struct level level = {.path = path,
                          .files = below(&tree->files, parent->files, path),
                          .directories = below(&tree->directories, parent->directories, path)};
    size_t at = 0;
    buf_put_str(out, parent->next == 0 ? ",\"nodes\":[" : ",");
    parent->next++;
    if (find(&tree->directories, parent->directories, path, &at)) {
        view(tree, &tree->directories, at, &level.node);
    } else if (is_some(level.files) || is_some(level.directories)) {
        view_unmade(tree, &level, &level.node);
    } else {
        bool is_there = find(&tree->files, parent->files, path, &at);
        ASSERT(is_there);
        view(tree, &tree->files, at, &level.node);
    }
    etcd_v2_node_begin(&level.node, out);
    if (level.node.dir && tree->recursive) {
        push(tree, &level);
    } else {
        etcd_v2_node_end(&level.node, out);
    }
}

static void end_level(struct etcd_v2_tree *tree, struct buf *out)
{
    const struct level *level = &tree->levels[tree->level_count - 1];
    if (level->name_count > 0) {
        buf_put_u8(out, ']');
    } else {
        ASSERT(out->len > 0); /* its beginning, of this very portion */
    }
    etcd_v2_node_end(&level->node, out);
    pop(tree);
}

bool etcd_v2_tree_encode(struct etcd_v2_tree *tree, size_t bytes, struct buf *out)
{
    if (!tree->begun) {
        tree->begun = true;
        buf_put_str(out, "{\"action\":\"get\",\"node\":");
        etcd_v2_node_begin(&tree->levels[0].node, out);
    }
    while (tree->level_count > 0) {
        const struct level *level = &tree->levels[tree->level_count - 1];
        if (level->next == level->name_count) {
            end_level(tree, out);
        } else if (out->len < bytes) {
            put_child(tree, out);
        } else {
            return false;
        }
    }
    buf_put_str(out, "}\n");
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void look_at(struct etcd_v2_tree *tree, const struct store *store, struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->kvs.count; i++) {
        struct store_kv kv;
        store_kvs_get(&nodes->kvs, i, &kv);
        tree->bytes += NODE_BYTES + kv.key.len + kv.value.len;
        tree->key_len_max = kv.key.len > tree->key_len_max ? kv.key.len : tree->key_len_max;
        if (kv.lease != 0 && nodes->remaining_ms == NULL) {
            nodes->remaining_ms = mem_new_array(int64_t, nodes->kvs.count);
            memset(nodes->remaining_ms, -1, nodes->kvs.count * sizeof(int64_t));
        }
        if (kv.lease != 0) {
            nodes->remaining_ms[i] = store_lease_remaining_ms(store, kv.lease, tree->now.lease_ms);
        }
    }
}

struct etcd_v2_tree *etcd_v2_tree_new(const struct store *store, const struct store_v2_node *node,
                                      const struct etcd_v2_now *now, bool recursive)
{
    struct etcd_v2_tree *tree = mem_new(struct etcd_v2_tree);
    struct level level = {0};
    ASSERT(node->there && node->directory);
    tree->now = *now;
    tree->recursive = recursive;
    buf_put_span(&tree->path, node->path);
    store_v2_below(store, node->path, &tree->files.kvs, &tree->directories.kvs);
    look_at(tree, store, &tree->files);
    look_at(tree, store, &tree->directories);
    level.path = buf_span(&tree->path);
    level.files.end = tree->files.kvs.count;
    level.directories.end = tree->directories.kvs.count;
    etcd_v2_node_of_store(node, &level.node);
    level.node.key = level.path;
    if (node->lease != 0) {
        etcd_v2_node_set_ttl(&level.node, now,
                             store_lease_remaining_ms(store, node->lease, now->lease_ms));
    }
    if (level.path.len == 1) { /* the root has no name and no age */
        level.node = (struct etcd_v2_node){.dir = true};
    }
    push(tree, &level);
    return tree;
}

/* No tree is deeper than its longest key has parts. */
size_t etcd_v2_tree_held(const struct etcd_v2_tree *tree)
{
    size_t depth = tree->recursive ? tree->key_len_max / 2 + 1 : 1;
    size_t level_bytes = 2 * sizeof(struct level) + NAMES_FIRST * sizeof(struct span);
    return sizeof *tree + tree->path.capacity + tree->bytes + depth * level_bytes;
}

void etcd_v2_tree_free(struct etcd_v2_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    while (tree->level_count > 0) {
        pop(tree);
    }
    mem_free(tree->levels);
    store_kvs_close(&tree->files.kvs);
    store_kvs_close(&tree->directories.kvs);
    mem_free(tree->files.remaining_ms);
    mem_free(tree->directories.remaining_ms);
    buf_free(&tree->path);
    mem_free(tree);
}
