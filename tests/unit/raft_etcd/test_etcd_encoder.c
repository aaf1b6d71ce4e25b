/* What is encoded in portions is, put together, what is encoded at once. */
#include "raft/etcd/etcd_encoder.h"

#include "base/arena.h"
#include "base/mem.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ELEMENT_BYTES_MAX = 64 }; /* no portion is larger by more than one element */

static void is_the_same(const struct etcd_type *type, const void *message,
                        enum etcd_encoding encoding, size_t portion)
{
    struct etcd_encoder encoder;
    struct buf whole = BUF_INIT;
    struct buf parts = BUF_INIT;
    bool is_over = false;
    if (encoding == ETCD_ENCODING_JSON) {
        etcd_json_encode(type, message, &whole);
    } else {
        etcd_proto_encode(type, message, &whole);
    }
    etcd_encoder_init(&encoder, encoding, type, message);
    while (!is_over) {
        size_t before = parts.len;
        is_over = etcd_encoder_take(&encoder, parts.len + portion, &parts);
        assert_true(is_over || parts.len >= before + portion);
        assert_true(parts.len <= before + portion + ELEMENT_BYTES_MAX);
    }
    assert_int_equal(parts.len, whole.len);
    assert_int_equal(memcmp(buf_str(&parts), buf_str(&whole), whole.len), 0);
    buf_free(&whole);
    buf_free(&parts);
}

static void portions_give_the_whole(void **state)
{
    (void)state;
    static const struct {
        const struct etcd_type *type;
        const char *json;
    } messages[] = {
        {&etcd_type_range_response, "{}"},
        {&etcd_type_range_response,
         "{\"header\":{\"revision\":\"7\"},\"more\":true,\"count\":\"3\","
         "\"kvs\":[{\"key\":\"YQ==\",\"value\":\"YmM=\"},{},"
         "{\"key\":\"Yg==\",\"lease\":\"-1\"}]}"},
        {&etcd_type_txn_response,
         "{\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":\"YQ==\"}]}},"
         "{\"response_put\":{}},{\"response_txn\":{\"responses\":[{\"response_delete_range\":"
         "{\"deleted\":\"2\",\"prev_kvs\":[{\"key\":\"YQ==\"},{\"key\":\"Yg==\"}]}}]}}]}"},
        {&etcd_type_watch_create_request, "{\"key\":\"YQ==\",\"filters\":[\"NOPUT\",1]}"},
        {&etcd_type_member_list_response,
         "{\"members\":[{\"name\":\"a\",\"clientURLs\":[\"http://a\",\"http://b\"]}]}"},
        {&etcd_type_lease_time_to_live_response,
         "{\"ID\":\"7\",\"keys\":[\"YQ==\",\"\",\"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=\","
         "\"YmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5emE=\",\"Y2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6YWI=\"]}"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        struct arena arena;
        void *message = mem_alloc(messages[i].type->bytes);
        arena_init(&arena, ETCD_ARENA_BUDGET(1024));
        assert_int_equal(
            etcd_json_decode(messages[i].type, span_str(messages[i].json), &arena, message, NULL),
            0);
        for (size_t portion = 1; portion < 200; portion = portion * 3) {
            is_the_same(messages[i].type, message, ETCD_ENCODING_JSON, portion);
            is_the_same(messages[i].type, message, ETCD_ENCODING_PROTO, portion);
        }
        mem_free(message);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portions_give_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
