/* One agent on a fake member of etcd v2, which applies, holds up, or loses as a test wants, with
 * and without the leader key. */
#ifndef TESTS_UNIT_AGENT_DCS_LEASE2_FIXTURE_H
#define TESTS_UNIT_AGENT_DCS_LEASE2_FIXTURE_H

#include "tests/unit/agent_dcs/fake_etcd.h"

#include "tests/unit/agent_dcs/dcs_fixture.h"

#include <ctype.h>

#define ROOT   "/v2/keys/s/x/"
#define TTL_MS 10000

static struct dcs *dcs;
static int64_t epoch;
static bool without_index; /* as a proxy may do it that drops what it does not know */

/* --- keys of v2: names below the base path, values in plain ----------------------------------- */

static inline void answer(struct fake_peer *peer, int status, const char *body)
{
    char index[64];
    char heads[128];
    (void)snprintf(index, sizeof index, "X-Etcd-Index: %lld\r\n", (long long)store.revision);
    (void)snprintf(heads, sizeof heads, "%sX-Etcd-Cluster-Id: 4d\r\n", without_index ? "" : index);
    fake_answer_with(peer, status, heads, body);
}

static inline void fail_with(struct fake_peer *peer, int status, int code)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"errorCode\":%d,\"message\":\"x\"}", code);
    answer(peer, status, body);
}

/* "name=value" of a form or a query, decoded; NULL if it is not there. mem_free. */
static inline char *field_of(const char *form, const char *name)
{
    for (const char *at = form; at != NULL; at = strchr(at, '&'), at = at == NULL ? NULL : at + 1) {
        size_t len = strlen(name);
        if (strncmp(at, name, len) != 0 || at[len] != '=') {
            continue;
        }
        struct buf value = BUF_INIT;
        for (at += len + 1; *at != '\0' && *at != '&'; at++) {
            unsigned byte = (unsigned char)*at;
            if (byte == '%' && sscanf(at + 1, "%2x", &byte) == 1) {
                at += 2;
            }
            buf_put_u8(&value, (uint8_t)byte);
        }
        return buf_take(&value);
    }
    return NULL;
}

static inline void print_node(struct buf *out, const struct fake_kv *kv)
{
    json_t *node = json_pack("{s:o, s:s, s:I, s:I}", "key", json_sprintf("/s/x/%s", kv->key),
                             "value", kv->value, "createdIndex", (json_int_t)kv->created,
                             "modifiedIndex", (json_int_t)kv->modified);
    char *text = json_dumps(node, JSON_COMPACT);
    buf_put_str(out, text);
    free(text); /* jansson's */
    json_decref(node);
}

/* mem_free */
static inline char *node_text(const struct fake_kv *kv)
{
    struct buf out = BUF_INIT;
    buf_put_str(&out, "{\"node\":");
    print_node(&out, kv);
    buf_put_str(&out, "}");
    return buf_take(&out);
}

static inline void answer_node(struct fake_peer *peer, int status, const struct fake_kv *kv)
{
    char *text = node_text(kv);
    answer(peer, status, text);
    mem_free(text);
}

static inline void answer_directory(struct fake_peer *peer)
{
    struct buf out = BUF_INIT;
    bool first = true;
    buf_put_str(&out, "{\"node\":{\"dir\":true,\"nodes\":[");
    for (size_t i = 0; i < FAKE_KEYS_MAX; i++) {
        if (store.kvs[i].key != NULL) {
            buf_put_str(&out, first ? "" : ",");
            print_node(&out, &store.kvs[i]);
            first = false;
        }
    }
    buf_put_str(&out, "]}}");
    answer(peer, 200, buf_str(&out));
    buf_free(&out);
}

/* 0, or the error's code. */
static inline int apply(const char *method, const char *key, const char *form,
                        struct fake_kv **ret_kv)
{
    struct fake_kv *kv = store_find(key);
    char *index = field_of(form, "prevIndex");
    char *exist = field_of(form, "prevExist");
    char *value = field_of(form, "value");
    int64_t wanted = index == NULL ? 0 : strtoll(index, NULL, 10);
    bool create = exist != NULL && strcmp(exist, "false") == 0;
    int code = create && kv != NULL                             ? 105
               : (index != NULL || value == NULL) && kv == NULL ? 100
               : index != NULL && kv->modified != wanted        ? 101
                                                                : 0;
    static struct fake_kv gone;
    if (code == 0) {
        store.revision++;
        if (strcmp(method, "DELETE") == 0) {
            gone = (struct fake_kv){.key = (char *)(uintptr_t) "gone",
                                    .value = (char *)(uintptr_t) "",
                                    .created = kv->created,
                                    .modified = store.revision};
            store_delete(kv);
            kv = &gone;
        } else {
            int64_t created = kv != NULL && index != NULL ? kv->created : store.revision;
            kv = store_put(key, value, 0);
            kv->created = created;
        }
    }
    *ret_kv = kv;
    mem_free(index);
    mem_free(exist);
    mem_free(value);
    return code;
}

static inline void serve(struct fake_request *request)
{
    struct fake_kv *kv = NULL;
    char key[256];
    const char *query = strchr(request->path, '?');
    const char *path = request->path + strlen(ROOT);
    (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(path, "?"), path);
    if (strcmp(request->method, "GET") == 0) {
        kv = store_find(key);
        if (strstr(request->path, "wait=true") != NULL) {
            return; /* nothing happens */
        }
        if (key[0] == '\0') {
            answer_directory(request->peer);
        } else if (kv == NULL) {
            fail_with(request->peer, 404, 100);
        } else {
            answer_node(request->peer, 200, kv);
        }
        return;
    }
    const char *form =
        strcmp(request->method, "DELETE") == 0 ? (query == NULL ? "" : query + 1) : request->text;
    int code = apply(request->method, key, form, &kv);
    if (code != 0) {
        fail_with(request->peer, code == 100 ? 404 : 412, code);
    } else {
        answer_node(request->peer, 200, kv);
    }
}

/* --- what a test wants otherwise -------------------------------------------------------------- */

static const char *wanted_method;
static const char *wanted_key;
static enum { SERVE, HOLD, APPLY_AND_HOLD, APPLY_AND_HANG_UP, SAY, CHANGE_CONFIG_FIRST } wanted;
static int said_status;
static const char *said;
static struct fake_request held; /* its texts are ours */
static bool is_held;
static char *held_answer; /* APPLY_AND_HOLD: mem_free */

static inline bool v2(struct fake *fake, struct fake_request *request)
{
    if (strcmp(request->path, "/v2/machines") == 0) {
        fake_answer(request->peer, 200, "%s", fake->url);
        return true;
    }
    const char *key = request->path + strlen(ROOT);
    bool match = wanted != SERVE && strcmp(request->method, wanted_method) == 0 &&
                 strcspn(key, "?") == strlen(wanted_key) &&
                 strncmp(key, wanted_key, strlen(wanted_key)) == 0 &&
                 strstr(key, "wait=true") == NULL;
    if (!match) {
        serve(request);
        return true;
    }
    switch (wanted) {
    case SERVE: break;
    case HOLD:
        held = *request;
        held.text = mem_strdup(request->text);
        is_held = true;
        wanted = SERVE;
        break;
    case APPLY_AND_HOLD:
    case APPLY_AND_HANG_UP: {
        struct fake_kv *kv = NULL;
        const char *query = strchr(key, '?');
        assert_int_equal(apply(request->method, wanted_key,
                               strcmp(request->method, "DELETE") == 0 ? query + 1 : request->text,
                               &kv),
                         0);
        if (wanted == APPLY_AND_HANG_UP) {
            fake_hang_up(request->peer);
        } else {
            held.peer = request->peer;
            held_answer = node_text(kv);
            is_held = true;
        }
        wanted = SERVE;
        break;
    }
    case SAY: fake_answer(request->peer, said_status, "%s", said); break;
    case CHANGE_CONFIG_FIRST:
        store.revision++;
        store_put("config", "changed", 0);
        wanted = SERVE;
        serve(request);
        break;
    }
    return true;
}

static inline void want(const char *method, const char *key, int what)
{
    wanted_method = method;
    wanted_key = key;
    wanted = what;
    is_held = false;
}

static inline void let_go(void)
{
    serve(&held);
    mem_free(held.text);
    is_held = false;
}

/* The answer to what was applied. */
static inline void tell_held(void)
{
    answer(held.peer, 200, held_answer);
    mem_free(held_answer);
    is_held = false;
}

static inline void drop_held(void)
{
    mem_free(held.text);
    is_held = false;
}

static inline void by_hand_delete(const char *key)
{
    store.revision++;
    store_delete(store_find(key));
}

static inline int setup(void **state)
{
    const char *urls[1];
    (void)state;
    fakes_open(1);
    urls[0] = fakes[0].url;
    hook = v2;
    wanted = SERVE;
    without_index = false;
    store.revision = 10;
    store_put("config", "{}", 0);
    store_put("sync", "{\"leader\":\"n1\"}", 0);
    dcs = dcs_start(ETCD_V2, urls, 1, "n1", 100);
    RUN_UNTIL(view_of(dcs) != NULL);
    return 0;
}

static inline int64_t lead(void)
{
    struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
    struct result result = acquire(dcs, &how);
    if (result.is.rc != 0) {
        fail_msg("%s", result.text);
    }
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    return result.is.revision;
}

static inline int setup_leader(void **state)
{
    setup(state);
    epoch = lead();
    buf_clear(&seen);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    if (dcs != NULL) {
        dcs->ops->free(dcs);
        dcs = NULL;
    }
    fakes_close();
    buf_free(&dcs_notes);
    return 0;
}

#define LED(name) cmocka_unit_test_setup_teardown(name, setup_leader, teardown)
#define NEW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
