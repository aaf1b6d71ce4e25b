/* Answers of an etcd's v2 API: two header lines and a body, separated by zero bytes. A view that is
 * read is sorted and below its base path; the list of machines holds URLs. */
#include "agent/dcs/etcd2_codec.h"
#include "base/assert.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#define BASE "/s/x/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_view(const json_t *body, int64_t index, uint64_t cluster)
{
    struct error err = {0};
    struct dcs_view *view = etcd2_view_read(body, BASE, index, cluster, &err);
    ASSERT((view == NULL) == (err.code != 0));
    ASSERT(view == NULL || (view->cluster != 0 && view->revision == index));
    for (size_t i = 0; view != NULL && i < view->count; i++) {
        const struct dcs_kv *kv = &view->kvs[i];
        ASSERT(kv->key[0] != '\0' && strlen(kv->value) == kv->value_len);
        ASSERT(kv->mod_revision > 0 && kv->create_revision > 0);
        ASSERT(i == 0 || strcmp(view->kvs[i - 1].key, kv->key) <= 0);
    }
    dcs_view_unref(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *first = size == 0 ? NULL : memchr(data, 0, size);
    const uint8_t *second =
        first == NULL ? NULL : memchr(first + 1, 0, size - (size_t)(first + 1 - data));
    char text[ERROR_TEXT_BYTES];
    int64_t index = 0;
    uint64_t cluster = 0;
    struct etcd2_node node;

    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    if (second == NULL) {
        return 0;
    }
    struct span rest = span_of(second + 1, size - (size_t)(second + 1 - data));
    etcd2_head_read((const char *)data, (const char *)first + 1, &index, &cluster);
    ASSERT(index >= 0);
    json_t *urls = etcd2_machines_read(rest);
    for (size_t i = 0; i < json_array_size(urls); i++) {
        ASSERT(strncmp(json_string_value(json_array_get(urls, i)), "http", 4) == 0);
    }
    json_decref(urls);
    json_t *body = json_loadb((const char *)rest.data, rest.len, 0, NULL);
    for (int status = 200; status < 600; status += 51) {
        int rc = etcd2_outcome(status, body, text);
        ASSERT(strlen(text) < sizeof text);
        ASSERT(rc != 0 || (status == 200 && body != NULL));
    }
    if (etcd2_node_read(body, &node)) {
        ASSERT(node.created > 0 && node.modified > 0 && node.value != NULL);
    }
    check_view(body, index, cluster);
    check_view(NULL, index, cluster);
    json_decref(body);
    return 0;
}
