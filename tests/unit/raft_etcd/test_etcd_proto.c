/* Protobuf from hostile and merely other writers. Encodings of sound messages: test_etcd_messages.
 */
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "tests/unit/raft_etcd/golden.h"

static struct arena arena;
static struct error err;

static int decode_span(const struct etcd_type *type, struct span bytes, void *message)
{
    arena_free(&arena);
    arena_init(&arena, ETCD_ARENA_BUDGET(bytes.len));
    memset(&err, 0, sizeof err);
    memset(message, 0, type->bytes);
    return etcd_proto_decode(type, bytes, &arena, message, &err);
}

/* Borrowed bytes of a message live until the next call. */
static int decode(const struct etcd_type *type, const char *hex, void *message)
{
    static uint8_t memory[4096];
    struct buf bytes = BUF_INIT;
    golden_unhex(hex, &bytes);
    memcpy(memory, bytes.data == NULL ? memory : bytes.data, bytes.len);
    struct span span = span_of(memory, bytes.len);
    buf_free(&bytes);
    return decode_span(type, span, message);
}

static void check_bad(const char *hex, const char *text)
{
    struct etcd_range_request range;
    assert_int_equal(decode(&etcd_type_range_request, hex, &range), ERR_INVALID);
    assert_string_equal(err.text, text);
}

static void malformed_input_is_refused(void **state)
{
    (void)state;
    check_bad("08", "unexpected EOF");
    check_bad("0a05aabb", "unexpected EOF");
    check_bad("0affffffffffffffffff01", "unexpected EOF");
    check_bad("18ffffffffffffffffff02", "proto: integer overflow");
    check_bad("18ffffffffffffffffffff01", "proto: integer overflow");
    check_bad("0001", "proto: illegal tag 0 (wire type 0)");
    check_bad("808080801001", "proto: illegal tag 536870912 (wire type 0)");
    check_bad("0801", "proto: wrong wireType = 0 for field key");
    check_bad("1a0101", "proto: wrong wireType = 2 for field limit");
    check_bad("1d01000000", "proto: wrong wireType = 5 for field limit");
    check_bad("f9060102", "unexpected EOF");
    /* groups, known field or not, and wire types that do not exist */
    check_bad("0b0c", "proto: illegal wireType 3");
    check_bad("a306a406", "proto: illegal wireType 3");
    check_bad("0c", "proto: illegal wireType 4");
    check_bad("0e", "proto: illegal wireType 6");
    check_bad("0f", "proto: illegal wireType 7");
}

static void unknown_fields_are_skipped(void **state)
{
    struct etcd_range_request range;
    (void)state;
    /* varint, 64 bit, bytes, 32 bit; the largest number there is */
    assert_int_equal(decode(&etcd_type_range_request,
                            "a006ffffffffffffffffff01"
                            "a1060102030405060708"
                            "a20602aabb"
                            "a50601020304"
                            "f8ffffff0f01"
                            "1805",
                            &range),
                     0);
    assert_int_equal(range.limit, 5);
}

static void the_last_scalar_counts(void **state)
{
    struct etcd_range_request range;
    (void)state;
    assert_int_equal(decode(&etcd_type_range_request,
                            "18051806"
                            "0a0161"
                            "0a0162"
                            "38013800",
                            &range),
                     0);
    assert_int_equal(range.limit, 6);
    assert_true(span_equal_str(range.key, "b"));
    assert_false(range.serializable);
}

static void numbers_are_cut_to_their_type(void **state)
{
    struct etcd_hash_response hash;
    struct etcd_range_request range;
    (void)state;
    assert_int_equal(decode(&etcd_type_hash_response, "10ffffffff1f", &hash), 0);
    assert_true(hash.hash == UINT32_MAX);
    assert_int_equal(decode(&etcd_type_range_request,
                            "28ffffffffffffffffff01"
                            "3880808080808001",
                            &range),
                     0);
    assert_int_equal(range.sort_order, -1);
    assert_true(range.serializable); /* any bit */
    assert_int_equal(decode(&etcd_type_range_request, "18ffffffffffffffffff01", &range), 0);
    assert_int_equal(range.limit, -1);
}

static void lists_come_packed_or_not(void **state)
{
    static const char *const texts[] = {"280128002801", "2a03010001", "28012a0200002a00",
                                        "2a0101"
                                        "2800"
                                        "2a0101"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct etcd_watch_create_request create;
        assert_int_equal(decode(&etcd_type_watch_create_request, texts[i], &create), 0);
        assert_int_equal(create.filters_count, 3);
        assert_int_equal(create.filters[0], 1);
        assert_int_equal(create.filters[1], 0);
    }
    struct etcd_watch_create_request create;
    assert_int_equal(decode(&etcd_type_watch_create_request, "2a0180", &create), ERR_INVALID);
    assert_int_equal(decode(&etcd_type_watch_create_request, "2a00", &create), 0);
    assert_int_equal(create.filters_count, 0);
}

static void a_message_that_comes_twice_is_merged(void **state)
{
    struct etcd_event event;
    struct etcd_watch_request watch;
    (void)state;
    assert_int_equal(decode(&etcd_type_event,
                            "1203"
                            "0a0161"
                            "1204"
                            "10051806",
                            &event),
                     0);
    assert_true(span_equal_str(event.kv->key, "a"));
    assert_int_equal(event.kv->create_revision, 5);
    assert_int_equal(event.kv->mod_revision, 6);
    /* of a oneof the last one counts alone, be it the same member or another */
    assert_int_equal(decode(&etcd_type_watch_request,
                            "0a03"
                            "0a0161"
                            "0a02"
                            "1805",
                            &watch),
                     0);
    assert_int_equal(watch.which, ETCD_WATCH_CREATE);
    assert_int_equal(watch.create_request->key.len, 0);
    assert_int_equal(watch.create_request->start_revision, 5);
    assert_int_equal(decode(&etcd_type_watch_request,
                            "0a03"
                            "0a0161"
                            "1200",
                            &watch),
                     0);
    assert_int_equal(watch.which, ETCD_WATCH_CANCEL);
}

/* The header of a response inside a txn of a txn, in two parts: lists are joined. */
static void lists_of_a_merged_message_are_joined(void **state)
{
    static const struct etcd_field fields[] = {
        {.number = 1, .kind = ETCD_KIND_MESSAGE, .name = "inner", .message = &etcd_type_member}};
    static const struct etcd_type outer = {.name = "Outer",
                                           .bytes = sizeof(struct etcd_member *),
                                           .fields = fields,
                                           .fields_count = 1};
    struct etcd_member *member;
    (void)state;
    assert_int_equal(decode(&outer,
                            "0a06"
                            "1a01611a0162"
                            "0a03"
                            "1a0163",
                            &member),
                     0);
    assert_int_equal(member->peer_urls_count, 3);
    assert_true(span_equal_str(member->peer_urls[0], "a"));
    assert_true(span_equal_str(member->peer_urls[2], "c"));
}

static int decode_nested(size_t depth)
{
    struct etcd_txn_request txn;
    struct buf wire = BUF_INIT;
    for (size_t i = 0; i < depth;
         i++) { /* from the inside: success: [{request_txn: what is there}] */
        struct buf outer = BUF_INIT;
        assert_true(wire.len < 124);
        buf_put_u8(&outer, 0x12);
        buf_put_u8(&outer, (uint8_t)(wire.len + 2));
        buf_put_u8(&outer, 0x22);
        buf_put_u8(&outer, (uint8_t)wire.len);
        buf_put_span(&outer, buf_span(&wire));
        buf_free(&wire);
        wire = outer;
    }
    int rc = decode_span(&etcd_type_txn_request, buf_span(&wire), &txn);
    buf_free(&wire);
    return rc;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(decode_nested((ETCD_NESTING_MAX - 1) / 2), 0);
    assert_int_equal(decode_nested((ETCD_NESTING_MAX - 1) / 2 + 1), ERR_LIMIT);
    assert_string_equal(err.text, "exceeded max depth");
}

static void memory_is_bounded(void **state)
{
    struct etcd_range_response range;
    struct etcd_txn_request txn;
    struct buf wire = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < 100 * 1000; i++) {
        buf_put(&wire, "\x12\x00", 2);
    }
    assert_int_equal(decode_span(&etcd_type_range_response, buf_span(&wire), &range), ERR_LIMIT);
    assert_int_equal(decode_span(&etcd_type_txn_request, buf_span(&wire), &txn), ERR_BUSY);
    assert_int_equal(
        decode_span(&etcd_type_txn_request, span_of(wire.data, 2 * ETCD_TXN_OPS_MAX), &txn), 0);
    assert_int_equal(txn.success_count, ETCD_TXN_OPS_MAX);
    assert_int_equal(
        decode_span(&etcd_type_txn_request, span_of(wire.data, 2 * ETCD_TXN_OPS_MAX + 2), &txn),
        ERR_BUSY);
    struct etcd_watch_create_request create;
    buf_clear(&wire);
    for (size_t i = 0; i <= ETCD_WATCH_FILTERS_MAX; i++) {
        buf_put(&wire, "\x28\x01", 2);
    }
    assert_int_equal(decode_span(&etcd_type_watch_create_request, buf_span(&wire), &create),
                     ERR_LIMIT);
    assert_int_equal(
        decode_span(&etcd_type_watch_create_request, span_of(wire.data, wire.len - 2), &create), 0);
    assert_int_equal(create.filters_count, ETCD_WATCH_FILTERS_MAX);
    buf_free(&wire);
}

static void failing_memory_is_an_error(void **state)
{
    struct etcd_event event;
    struct span wire = span_of("\x12\x03\x0a\x01"
                               "a\x1a\x02\x18\x05",
                               9);
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        arena_free(&arena);
        arena_init(&arena, i * sizeof(struct etcd_key_value) / 2);
        memset(&event, 0, sizeof event);
        int rc = etcd_proto_decode(&etcd_type_event, wire, &arena, &event, &err);
        assert_int_equal(rc, i < 4 ? ERR_LIMIT : 0);
    }
    arena_free(&arena);
    arena_init(&arena, 1000);
    mem_fault_at(1);
    memset(&event, 0, sizeof event);
    assert_int_equal(etcd_proto_decode(&etcd_type_event, wire, &arena, &event, &err), ERR_LIMIT);
    mem_fault_at(0);
}

static int arena_end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_input_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(the_last_scalar_counts),
        cmocka_unit_test(numbers_are_cut_to_their_type),
        cmocka_unit_test(lists_come_packed_or_not),
        cmocka_unit_test(a_message_that_comes_twice_is_merged),
        cmocka_unit_test(lists_of_a_merged_message_are_joined),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(failing_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, arena_end);
}
