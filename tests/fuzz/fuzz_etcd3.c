/* Answers of an etcd's v3 gateway. The first byte says which reader gets them and how they are cut;
 * what goes through the splitter comes out the same however it is cut, and a view that is read is
 * sorted, of text, and below its base path. */
#include "agent/dcs/etcd3_codec.h"
#include "agent/dcs/etcd3_splitter.h"
#include "base/assert.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#define BASE "/s/x/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_kv(const struct dcs_kv *kv)
{
    ASSERT(kv->key[0] != '\0' && kv->value != NULL && kv->value[kv->value_len] == '\0');
    ASSERT(kv->mod_revision > 0 && kv->create_revision >= 0);
}

static void on_event(void *arg, const struct etcd3_event *event)
{
    size_t *count = arg;
    check_kv(&event->kv);
    ASSERT(event->deleted || event->kv.create_revision > 0);
    (*count)++;
}

static void read_view(const json_t *body)
{
    struct error err = {0};
    struct dcs_view *view = etcd3_view_read(body, BASE, &err);
    ASSERT((view == NULL) == (err.code != 0));
    for (size_t i = 0; view != NULL && i < view->count; i++) {
        check_kv(&view->kvs[i]);
        ASSERT(view->kvs[i].create_revision > 0);
        ASSERT(i == 0 || strcmp(view->kvs[i - 1].key, view->kvs[i].key) <= 0);
    }
    dcs_view_unref(view);
}

static void read_all(const json_t *body, int status)
{
    struct etcd3_header header;
    struct etcd3_watch_answer answer;
    struct dcs_kv kv;
    char text[ERROR_TEXT_BYTES];
    char version[32];
    bool same = false;
    uint64_t lease = 0;
    int64_t ttl_s = 0;
    const json_t *result = json_object_get(body, "result");
    size_t all = json_array_size(json_object_get(result, "events"));
    size_t told = 0;

    enum etcd3_failure failure = etcd3_failure_of(status, body, text);
    ASSERT(failure != ETCD3_OK || (status == 200 && json_is_object(body)));
    ASSERT(strlen(text) < sizeof text);
    (void)etcd3_header_read(body, &header);
    if (etcd3_kv_read(body, "n1", &kv, &same)) {
        ASSERT(kv.mod_revision > 0);
    }
    (void)etcd3_txn_succeeded(body);
    if (etcd3_lease_read(body, &lease, &ttl_s)) {
        ASSERT(lease != 0 && ttl_s >= 0);
    }
    json_t *urls = etcd3_members_read(body);
    ASSERT(urls == NULL || json_array_size(urls) > 0);
    json_decref(urls);
    (void)etcd3_prefix_of(body, version);
    ASSERT(memchr(version, 0, sizeof version) != NULL);
    failure = etcd3_watch_read(body, &answer, text);
    ASSERT(failure != ETCD3_OK || json_is_object(result));
    ASSERT(strlen(text) < sizeof text);
    bool whole = etcd3_watch_events(body, BASE, on_event, &told);
    ASSERT(whole ? told <= all : told < all); /* each once; the bad one not at all */
    read_view(body);
}

/* All objects as one text; "!" where it was bad. */
static char *split(const uint8_t *data, size_t size, size_t step)
{
    struct etcd3_splitter splitter = {0};
    struct buf out = BUF_INIT;
    bool bad = false;
    for (size_t at = 0; at < size && !bad; at += step) {
        size_t len = size - at < step ? size - at : step;
        etcd3_splitter_feed(&splitter, span_of(data + at, len));
        for (json_t *object = etcd3_splitter_next(&splitter, &bad); object != NULL;
             object = etcd3_splitter_next(&splitter, &bad)) {
            char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
            buf_put_str(&out, text);
            buf_put_str(&out, "\n");
            mem_free(text);
            read_all(object, 200);
            json_decref(object);
        }
    }
    buf_put_str(&out, bad ? "!" : "");
    etcd3_splitter_free(&splitter);
    return buf_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    if (size == 0) {
        return 0;
    }
    char *whole = split(data + 1, size - 1, size);
    char *cut = split(data + 1, size - 1, 1 + (size_t)(data[0] % 7));
    ASSERT(strcmp(whole, cut) == 0);
    mem_free(whole);
    mem_free(cut);
    json_t *body = json_loadb((const char *)data + 1, size - 1, 0, NULL);
    read_all(body, data[0] % 2 == 0 ? 200 : 400 + data[0]);
    json_decref(body);
    return 0;
}
