/* Keys, leases and transactions as etcd's v3 has them, for the fake members. */
#ifndef TESTS_UNIT_AGENT_DCS_FAKE_STORE_H
#define TESTS_UNIT_AGENT_DCS_FAKE_STORE_H

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FAKE_KEYS_MAX = 16, FAKE_LEASES_MAX = 64 };

struct fake_kv { /* key and value as they travel: in base64 */
    char *key;
    char *value;
    int64_t created;
    int64_t modified;
    uint64_t lease;
};

static struct {
    int64_t revision;
    struct fake_kv kvs[FAKE_KEYS_MAX];
    uint64_t leases[FAKE_LEASES_MAX]; /* those that live */
    int64_t ttls[FAKE_LEASES_MAX];
    uint64_t next_lease;
} store;

static inline struct fake_kv *store_find(const char *key)
{
    for (size_t i = 0; i < FAKE_KEYS_MAX; i++) {
        if (store.kvs[i].key != NULL && strcmp(store.kvs[i].key, key) == 0) {
            return &store.kvs[i];
        }
    }
    return NULL;
}

static inline void store_delete(struct fake_kv *kv)
{
    mem_free(kv->key);
    mem_free(kv->value);
    *kv = (struct fake_kv){0};
}

static inline struct fake_kv *store_put(const char *key, const char *value, uint64_t lease)
{
    struct fake_kv *kv = store_find(key);
    for (size_t i = 0; kv == NULL && i < FAKE_KEYS_MAX; i++) {
        if (store.kvs[i].key == NULL) {
            kv = &store.kvs[i];
            kv->key = mem_strdup(key);
            kv->created = store.revision;
        }
    }
    assert_non_null(kv);
    mem_free(kv->value);
    kv->value = mem_strdup(value);
    kv->modified = store.revision;
    kv->lease = lease;
    return kv;
}

static inline bool lease_lives(uint64_t lease)
{
    for (size_t i = 0; i < FAKE_LEASES_MAX; i++) {
        if (store.leases[i] == lease) {
            return true;
        }
    }
    return false;
}

static inline void lease_end(uint64_t lease)
{
    bool any = false;
    for (size_t i = 0; i < FAKE_LEASES_MAX; i++) {
        store.leases[i] = store.leases[i] == lease ? 0 : store.leases[i];
    }
    for (size_t i = 0; i < FAKE_KEYS_MAX; i++) {
        if (store.kvs[i].key != NULL && store.kvs[i].lease == lease) {
            store_delete(&store.kvs[i]);
            any = true;
        }
    }
    store.revision += any ? 1 : 0;
}

static inline uint64_t lease_grant(int64_t ttl_s)
{
    uint64_t lease = ++store.next_lease;
    assert_true(lease < FAKE_LEASES_MAX);
    store.leases[lease] = lease;
    store.ttls[lease] = ttl_s;
    return lease;
}

static inline void kv_print(struct buf *out, const struct fake_kv *kv)
{
    buf_printf(out, "{\"key\":\"%s\",\"create_revision\":\"%lld\",\"mod_revision\":\"%lld\",",
               kv->key, (long long)kv->created, (long long)kv->modified);
    if (kv->lease != 0) {
        buf_printf(out, "\"lease\":\"%llu\",", (unsigned long long)kv->lease);
    }
    buf_printf(out, "\"value\":\"%s\"}", kv->value);
}

static inline int64_t number_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

static inline const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static inline bool txn_holds(const json_t *compares)
{
    for (size_t i = 0; i < json_array_size(compares); i++) {
        const json_t *compare = json_array_get(compares, i);
        const struct fake_kv *kv = store_find(text_in(compare, "key"));
        bool created = strcmp(text_in(compare, "target"), "CREATE") == 0;
        int64_t is = kv == NULL ? 0 : created ? kv->created : kv->modified;
        if (is != number_in(compare, created ? "create_revision" : "mod_revision")) {
            return false;
        }
    }
    return true;
}

/* Applies it; false: a lease is not there. */
static inline bool txn_apply(const json_t *body, bool *ret_succeeded)
{
    const json_t *success = json_object_get(body, "success");
    *ret_succeeded = txn_holds(json_object_get(body, "compare"));
    for (size_t i = 0; *ret_succeeded && i < json_array_size(success); i++) {
        const json_t *put = json_object_get(json_array_get(success, i), "request_put");
        uint64_t lease = (uint64_t)number_in(put, "lease");
        if (lease != 0 && !lease_lives(lease)) {
            return false;
        }
    }
    store.revision += *ret_succeeded ? 1 : 0;
    for (size_t i = 0; *ret_succeeded && i < json_array_size(success); i++) {
        const json_t *put = json_object_get(json_array_get(success, i), "request_put");
        const json_t *remove = json_object_get(json_array_get(success, i), "request_delete_range");
        if (put != NULL) {
            store_put(text_in(put, "key"), text_in(put, "value"),
                      (uint64_t)number_in(put, "lease"));
        }
        struct fake_kv *kv = remove == NULL ? NULL : store_find(text_in(remove, "key"));
        if (kv != NULL) {
            store_delete(kv);
        }
    }
    return true;
}

#endif
