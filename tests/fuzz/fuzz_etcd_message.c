/* A message of etcd in either encoding: the first byte says which message, its lowest bit which
 * encoding. Whatever is taken reads the same again after it was written, in both encodings, and no
 * more memory is taken than the budget allows. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_proto.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLENTY = 64 * 1024 * 1024 };

static const struct etcd_type *const types[] = {
    &etcd_type_txn_request,          &etcd_type_range_request,
    &etcd_type_watch_request,        &etcd_type_compare,
    &etcd_type_put_request,          &etcd_type_range_response,
    &etcd_type_txn_response,         &etcd_type_watch_response,
    &etcd_type_status_response,      &etcd_type_member_list_response,
    &etcd_type_authenticate_request, &etcd_type_alarm_request,
};

static int decode(const struct etcd_type *type, bool json, struct span bytes, size_t budget,
                  struct arena *arena, void *message)
{
    struct error err = {0};
    arena_init(arena, budget);
    int rc = json ? etcd_json_decode(type, bytes, arena, message, &err)
                  : etcd_proto_decode(type, bytes, arena, message, &err);
    ASSERT((rc == 0) == (err.text[0] == '\0') && rc == err.code);
    return rc;
}

/* What was written reads again, and is written the same; JSON has mended texts by then that were
 * not UTF-8, and says so in another way (\ufffd) only once. */
static void check_again(const struct etcd_type *type, bool json, bool mended, const void *message)
{
    struct buf one = BUF_INIT;
    struct buf two = BUF_INIT;
    struct arena arena;
    void *again = mem_alloc(type->bytes);
    void (*encode)(const struct etcd_type *, const void *, struct buf *) =
        json ? etcd_json_encode : etcd_proto_encode;
    encode(type, message, &one);
    ASSERT(decode(type, json, buf_span(&one), PLENTY, &arena, again) == 0);
    encode(type, again, &two);
    ASSERT((json && !mended) || span_equal(buf_span(&one), buf_span(&two)));
    if (json && !mended) {
        check_again(type, true, true, again);
    }
    ASSERT(json || etcd_proto_size(type, message) == one.len);
    mem_free(again);
    arena_free(&arena);
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size == 0) {
        return 0;
    }
    const struct etcd_type *type = types[(data[0] >> 1) % (sizeof types / sizeof types[0])];
    bool json = (data[0] & 1) != 0;
    struct span bytes = span_of(data + 1, size - 1);
    void *message = mem_alloc(type->bytes);
    if (decode(type, json, bytes, ETCD_ARENA_BUDGET(bytes.len), &arena, message) == 0) {
        check_again(type, true, false, message);
        check_again(type, false, false, message);
    }
    mem_free(message);
    arena_free(&arena);
    return 0;
}
