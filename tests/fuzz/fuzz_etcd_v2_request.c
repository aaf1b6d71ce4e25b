/* A v2 request: a byte for the method, then path, query and body with a zero byte between. What is
 * taken has a clean key, and stays the same when that key is asked for. */
#include "base/assert.h"
#include "raft/etcd/etcd_v2_request.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span take(struct span *rest)
{
    const uint8_t *zero = rest->len == 0 ? NULL : memchr(rest->data, 0, rest->len);
    size_t len = zero == NULL ? rest->len : (size_t)(zero - rest->data);
    struct span part = span_of(rest->data, len);
    size_t used = len + (zero != NULL);
    *rest = used == 0 ? *rest : span_of(rest->data + used, rest->len - used);
    return part;
}

static void check_key(struct span key)
{
    ASSERT(key.len > 0 && key.data[0] == '/');
    ASSERT(key.len == 1 || key.data[key.len - 1] != '/');
    for (size_t i = 1; i < key.len; i++) {
        if (key.data[i - 1] == '/') {
            size_t part = 0;
            while (i + part < key.len && key.data[i + part] != '/') {
                part++;
            }
            ASSERT(part > 0 && !(part == 1 && key.data[i] == '.'));
            ASSERT(!(part == 2 && key.data[i] == '.' && key.data[i + 1] == '.'));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct etcd_v2_request request = {0};
    struct etcd_v2_fault fault = {0};
    struct arena arena;
    struct buf path = BUF_INIT;
    struct buf out = BUF_INIT;
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    struct etcd_v2_raw raw = {.method = (enum etcd_v2_method)(data[0] % (ETCD_V2_DELETE + 1)),
                              .content_type = span_str("application/x-www-form-urlencoded")};
    buf_put_str(&path, ETCD_V2_PREFIX);
    buf_put_span(&path, take(&rest));
    raw.path = buf_span(&path);
    raw.query = take(&rest);
    raw.body = rest;
    arena_init(&arena, ETCD_V2_ARENA_BUDGET(path.len + size));
    int rc = etcd_v2_request_parse(&raw, &arena, &request, &fault);
    ASSERT(rc == 0 || rc == ERR_INVALID || rc == ERR_NOT_FOUND || rc == ERR_LIMIT);
    if (rc == 0) {
        check_key(request.key);
        struct etcd_v2_node node = {.key = request.key,
                                    .has_value = true,
                                    .value = request.value,
                                    .has_expiration = request.has_ttl,
                                    .expiration_ns = (int64_t)request.ttl_s};
        etcd_v2_answer(etcd_v2_action(request.op), &node, &node, &out);
    } else if (rc == ERR_INVALID) {
        etcd_v2_error_body(fault.error, fault.cause, 0, &out);
    }
    for (size_t i = 0; i < out.len; i++) {
        ASSERT(out.data[i] >= ' ' || i == out.len - 1);
    }
    arena_free(&arena);
    buf_free(&path);
    buf_free(&out);
    return 0;
}
