/* Writes of v2, and the ends of leases, on the naive store. */
#ifndef TESTS_NAIVE_V2_H
#define TESTS_NAIVE_V2_H

#include "naive_store.h"

static inline bool naive_is_there(const struct naive *naive, bool directory, const char *path)
{
    int name = naive_find(path);
    return name >= 0 && naive->now.kv[directory][name].there;
}

static inline bool naive_is_empty(const struct naive *naive, const char *path)
{
    for (int i = 0; i < NAMES; i++) {
        bool any = naive->now.kv[0][i].there || naive->now.kv[1][i].there;
        if (any && naive_shown(i) && naive_below(naive_names[i], path)) {
            return false;
        }
    }
    return true;
}

static inline bool naive_is_dir(const struct naive *naive, const char *path)
{
    return strcmp(path, "/") == 0 || naive_is_there(naive, true, path) ||
           !naive_is_empty(naive, path);
}

struct naive_found {
    bool there;
    bool directory;
    int64_t created;
    int64_t modified;
    int value;
    uint64_t lease;
    int missing; /* 100 or 104 */
    char cause[64];
};

static inline void naive_look(const struct naive *naive, const char *path,
                              struct naive_found *ret_found)
{
    char part[64];
    *ret_found = (struct naive_found){.there = false};
    for (size_t len = 1; len <= strlen(path); len++) {
        bool ends = path[len] == '/' || path[len] == '\0';
        if (!ends || len == strlen(path)) {
            continue;
        }
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        if (!naive_is_dir(naive, part)) {
            ret_found->missing = naive_is_there(naive, false, part) ? 104 : 100;
            (void)snprintf(ret_found->cause, sizeof(ret_found->cause), "%s", part);
            return;
        }
    }
    (void)snprintf(ret_found->cause, sizeof(ret_found->cause), "%s", path);
    ret_found->missing = 100;
    int name = naive_find(path);
    ret_found->directory = naive_is_dir(naive, path);
    ret_found->there = ret_found->directory || naive_is_there(naive, false, path);
    const struct naive_version *version = NULL;
    if (ret_found->there && name >= 0 && naive->now.kv[ret_found->directory][name].there) {
        version = &naive->now.kv[ret_found->directory][name];
        ret_found->created = version->create;
        ret_found->modified = version->mod;
        ret_found->value = version->value;
        ret_found->lease = version->lease;
        return;
    }
    for (int kind = 0; kind < 2 && ret_found->created == 0; kind++) {
        for (int i = 0; i < NAMES && ret_found->created == 0; i++) {
            if (naive->now.kv[kind][i].there && naive_shown(i) &&
                naive_below(naive_names[i], path)) {
                ret_found->created = naive->now.kv[kind][i].create;
                ret_found->modified = ret_found->created;
            }
        }
    }
}

static inline void naive_put_node(struct naive *naive, struct buf *out, const char *path,
                                  const struct naive_found *node, bool with_value)
{
    char text[16];
    buf_put_str(out, path);
    if (node->directory) {
        buf_put_str(out, "/");
    } else {
        buf_put_str(out, "=");
        naive_text(node->value, text);
        buf_put_str(out, with_value ? text : "");
    }
    buf_printf(out, "(%lld,%lld", (long long)node->created, (long long)node->modified);
    struct naive_lease *lease = naive_lease(naive, node->lease);
    if (lease != NULL) {
        buf_printf(out, ",ttl %lld", (long long)lease->ttl_ms);
    }
    buf_put_str(out, ")");
}

static inline void naive_delete_tree(struct naive *naive, const char *path, bool spare,
                                     enum store_action action)
{
    int self = naive_find(path);
    if (self >= 0) {
        naive_delete(naive, true, self, action);
    }
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < NAMES; i++) {
            bool goes = naive->now.kv[kind][i].there && naive_shown(i) &&
                        (naive_below(naive_names[i], path) || (kind == 0 && i == self));
            if (goes && !(spare && kind == 0 && naive_held(naive, i))) {
                naive_delete(naive, kind == 1, i, STORE_ACTION_BELOW);
            }
        }
    }
}

static inline void naive_lease_end(struct naive *naive, struct naive_lease *lease,
                                   enum store_action action)
{
    uint64_t id = lease->id;
    for (int i = 0; i < NAMES; i++) {
        if (naive->now.kv[0][i].there && naive->now.kv[0][i].lease == id) {
            naive_delete(naive, false, i, action);
        }
    }
    for (int i = 0; i < NAMES; i++) {
        if (naive->now.kv[1][i].there && naive->now.kv[1][i].lease == id) {
            naive_delete_tree(naive, naive_names[i], true, action);
        }
    }
    lease->id = 0;
    lease->own = false;
    naive_settle(naive);
}

static inline bool naive_tree_is_held(struct naive *naive, const char *path)
{
    for (int i = 0; i < NAMES; i++) {
        bool in = naive_below(naive_names[i], path) || strcmp(naive_names[i], path) == 0;
        if (in && naive_held(naive, i)) {
            return true;
        }
    }
    return false;
}

static inline int naive_refuse(struct buf *out, int reason, const char *cause)
{
    buf_printf(out, "%d %s", reason, cause);
    return reason;
}

/* 0, or a reason: then `out` has it and its cause. */
static inline int naive_v2_may(struct naive *naive, const struct store_v2 *v2, const char *path,
                               const struct naive_found *found, struct buf *out)
{
    bool compares = v2->type == STORE_V2_SWAP || v2->type == STORE_V2_COMPARE_DELETE;
    bool deletes = v2->type == STORE_V2_DELETE || v2->type == STORE_V2_COMPARE_DELETE;
    bool creates = v2->type == STORE_V2_CREATE;
    bool sets = v2->type == STORE_V2_SET;
    if (sets && !found->there && (found->missing == 104 || v2->refresh)) {
        return naive_refuse(out, found->missing, found->cause);
    }
    if (strcmp(path, "/") == 0) {
        return naive_refuse(out, v2->type == STORE_V2_COMPARE_DELETE ? 102 : 107, "/");
    }
    if (creates && !found->there && found->missing == 104) {
        return naive_refuse(out, 104, found->cause);
    }
    if (creates && found->there) {
        return naive_refuse(out, 105, path);
    }
    if (!creates && !sets && !found->there) {
        return naive_refuse(out, found->missing, found->cause);
    }
    if (found->directory &&
        (sets || compares || (v2->type == STORE_V2_UPDATE && v2->value.len > 0) ||
         (deletes && !v2->directory && !v2->recursive))) {
        return naive_refuse(out, 102, path);
    }
    if (deletes && found->directory && !v2->recursive && !naive_is_empty(naive, path)) {
        return naive_refuse(out, 108, path);
    }
    if (compares) {
        char have[16];
        char want[16];
        naive_text(found->value, have);
        naive_text(naive_value(v2->prev_value), want);
        bool value = v2->prev_value.len == 0 || strcmp(have, want) == 0;
        bool index = v2->prev_index == 0 || v2->prev_index == (uint64_t)found->modified;
        if (!value || !index) {
            buf_put_str(out, "101 ");
            if (!value) {
                buf_printf(out, "[%s != %s]%s", want, have, index ? "" : " ");
            }
            if (!index) {
                buf_printf(out, "[%llu != %lld]", (unsigned long long)v2->prev_index,
                           (long long)found->modified);
            }
            return 101;
        }
    }
    bool held = found->directory ? deletes && naive_tree_is_held(naive, path)
                                 : found->there && naive_held(naive, naive_find(path));
    return held ? naive_refuse(out, 110, path) : 0;
}

/* Appends what the tests of v2 write: the node and the one before, or the reason and its cause. */
static inline void naive_v2(struct naive *naive, const struct store_v2 *v2, struct buf *out)
{
    static const enum store_action actions[] = {
        [STORE_V2_SET] = STORE_ACTION_SET,
        [STORE_V2_CREATE] = STORE_ACTION_CREATE,
        [STORE_V2_UPDATE] = STORE_ACTION_UPDATE,
        [STORE_V2_SWAP] = STORE_ACTION_SWAP,
        [STORE_V2_DELETE] = STORE_ACTION_DELETE,
        [STORE_V2_COMPARE_DELETE] = STORE_ACTION_COMPARE_DELETE};
    char path[64];
    struct naive_found found;
    struct buf prev = BUF_INIT;
    (void)snprintf(path, sizeof(path), "%.*s", (int)v2->path.len, (const char *)v2->path.data);
    naive_look(naive, path, &found);
    if (naive_v2_may(naive, v2, path, &found, out) != 0) {
        return;
    }
    int name = naive_find(path);
    bool deletes = v2->type == STORE_V2_DELETE || v2->type == STORE_V2_COMPARE_DELETE;
    if (found.there) {
        buf_put_str(&prev, " <- ");
        naive_put_node(naive, &prev, path, &found, true);
    }
    struct naive_found node = found;
    node.modified = naive->revision + 1;
    node.lease = 0;
    if (deletes) {
        if (found.directory) {
            naive_delete_tree(naive, path, false, STORE_ACTION_DELETE);
        } else {
            naive_delete(naive, false, name, actions[v2->type]);
        }
        naive_put_node(naive, out, path, &node, false);
    } else {
        bool directory = v2->type == STORE_V2_UPDATE || v2->type == STORE_V2_SWAP ? found.directory
                                                                                  : v2->directory;
        node.value =
            v2->refresh && found.there && !directory ? found.value : naive_value(v2->value);
        node.directory = directory;
        if (v2->ttl_ms > 0) {
            naive_grant(naive, v2->lease, v2->ttl_ms, true, false);
        }
        if (v2->type == STORE_V2_SET && found.there) {
            naive_delete(naive, false, name, STORE_ACTION_SET);
        }
        naive_put(naive, directory, name, directory ? 0 : node.value, v2->lease,
                  v2->refresh ? STORE_ACTION_REFRESH : actions[v2->type]);
        node.created = naive->now.kv[directory][name].create;
        node.lease = v2->lease;
        naive_put_node(naive, out, path, &node, true);
    }
    naive_settle(naive);
    buf_put_span(out, buf_span(&prev));
    buf_free(&prev);
}

#endif
