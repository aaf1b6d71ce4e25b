/* Both encodings of every message against those of the reference implementation, byte for byte
 * (tests/golden/etcd/messages.txt), and every row of the field tables. */
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "tests/unit/raft_etcd/golden.h"

#define MESSAGES "tests/golden/etcd/messages.txt"

enum { TYPES_MAX = 64 };

static const struct etcd_type *seen_types[TYPES_MAX];
static uint32_t seen_fields[TYPES_MAX]; /* a bit a row */
static size_t seen_count;

static uint32_t *seen_of(const struct etcd_type *type)
{
    for (size_t i = 0; i < seen_count; i++) {
        if (seen_types[i] == type) {
            return &seen_fields[i];
        }
    }
    assert_true(seen_count < TYPES_MAX);
    seen_types[seen_count] = type;
    return &seen_fields[seen_count++];
}

static void note_fields(const struct etcd_type *type, const void *message)
{
    uint32_t *seen = seen_of(type);
    for (size_t i = 0; i < type->fields_count; i++) {
        if (!etcd_field_is_zero(type, &type->fields[i], message)) {
            *seen |= 1U << i;
        }
    }
}

static void check_line(char *const columns[GOLDEN_COLUMNS])
{
    const struct etcd_type *type = etcd_type_find(columns[0]);
    struct buf wire = BUF_INIT;
    struct buf out = BUF_INIT;
    struct buf hex = BUF_INIT;
    struct arena arena;
    struct error err = {0};
    assert_non_null(type);
    golden_unhex(columns[1], &wire);
    arena_init(&arena, ETCD_ARENA_BUDGET(wire.len));
    void *message = mem_alloc(type->bytes);
    if (etcd_proto_decode(type, buf_span(&wire), &arena, message, &err) != 0) {
        fail_msg("%s: %s: %s", columns[0], columns[1], err.text);
    }
    note_fields(type, message);
    etcd_json_encode(type, message, &out);
    assert_string_equal(buf_str(&out), columns[2]);
    buf_clear(&out);
    etcd_proto_encode(type, message, &out);
    golden_hex(buf_span(&out), &hex);
    assert_string_equal(buf_str(&hex), columns[1]);
    assert_int_equal(etcd_proto_size(type, message), wire.len);

    memset(message, 0, type->bytes);
    if (etcd_json_decode(type, span_str(columns[2]), &arena, message, &err) != 0) {
        fail_msg("%s: %s: %s", columns[0], columns[2], err.text);
    }
    buf_clear(&out);
    buf_clear(&hex);
    etcd_proto_encode(type, message, &out);
    golden_hex(buf_span(&out), &hex);
    assert_string_equal(buf_str(&hex), columns[1]);
    mem_free(message);
    arena_free(&arena);
    buf_free(&wire);
    buf_free(&out);
    buf_free(&hex);
}

static void messages_are_encoded_as_the_reference_does(void **state)
{
    (void)state;
    seen_count = 0;
    assert_true(golden_each(MESSAGES, check_line) > 200);
#define CHECK_SEEN(t)                                                                       \
    if (*seen_of(&etcd_type_##t) != (1U << etcd_type_##t.fields_count) - 1) {               \
        fail_msg("%s: the golden messages do not use all of its rows", etcd_type_##t.name); \
    }
    ETCD_TYPES(CHECK_SEEN)
}

static void tables_are_in_order_and_find_their_rows(void **state)
{
    (void)state;
#define CHECK_TABLE(t)                                                                \
    assert_ptr_equal(etcd_type_find(etcd_type_##t.name), &etcd_type_##t);             \
    for (size_t i = 0; i < etcd_type_##t.fields_count; i++) {                         \
        const struct etcd_field *field = &etcd_type_##t.fields[i];                    \
        assert_ptr_equal(etcd_field_find(&etcd_type_##t, field->number), field);      \
        assert_true(i == 0 || field->number > field[-1].number);                      \
        assert_true(field->offset + etcd_field_bytes(field) <= etcd_type_##t.bytes || \
                    field->kind == ETCD_KIND_MESSAGE || field->repeated);             \
        assert_true((field->kind == ETCD_KIND_MESSAGE) == (field->message != NULL));  \
        assert_true((field->kind == ETCD_KIND_ENUM) == (field->names != NULL));       \
    }
    ETCD_TYPES(CHECK_TABLE)
    assert_null(etcd_type_find("NoSuchMessage"));
    assert_null(etcd_field_find(&etcd_type_watch_response, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_encoded_as_the_reference_does),
        cmocka_unit_test(tables_are_in_order_and_find_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
