/* PURE. Two passes over each message: the first checks the whole of it and counts what is repeated,
 * so that each list is allocated once and to size; the second stores. Nested messages are looked
 * into only in the second pass, when their own two passes begin. */
#include "raft/etcd/etcd_proto.h"

#include "base/assert.h"

#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { VARINT_BYTES_MAX = 10, NUMBER_MAX = (1 << 29) - 1, TAG_WIRE_BITS = 3 };

struct decoder {
    struct arena *arena;
    struct error *err;
};

/* One field as it stands in the input. */
struct element {
    uint32_t number;
    unsigned wire;
    uint64_t varint;
    struct span bytes;
};

/* --- reading the wire ------------------------------------------------------------------------- */

static int take_varint(struct span *rest, uint64_t *ret_value, struct error *err)
{
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
        if (i >= rest->len) {
            return error_set(err, ERR_INVALID, "unexpected EOF");
        }
        uint8_t byte = rest->data[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            break; /* bit 64 and above */
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *rest = span_of(rest->data + i + 1, rest->len - i - 1);
            *ret_value = value;
            return 0;
        }
    }
    return error_set(err, ERR_INVALID, "proto: integer overflow");
}

static int take_bytes(struct span *rest, uint64_t len, struct span *ret_bytes, struct error *err)
{
    if (len > rest->len) {
        return error_set(err, ERR_INVALID, "unexpected EOF");
    }
    *ret_bytes = span_of(rest->data, (size_t)len);
    *rest = span_of(rest->data + len, rest->len - (size_t)len);
    return 0;
}

static int take_element(struct span *rest, struct element *ret_element, struct error *err)
{
    uint64_t tag = 0;
    uint64_t len = 0;
    int rc = take_varint(rest, &tag, err);
    if (rc != 0) {
        return rc;
    }
    *ret_element = (struct element){.wire = (unsigned)(tag & ((1U << TAG_WIRE_BITS) - 1))};
    if (tag >> TAG_WIRE_BITS == 0 || tag >> TAG_WIRE_BITS > NUMBER_MAX) {
        return error_set(err, ERR_INVALID, "proto: illegal tag %llu (wire type %u)",
                         (unsigned long long)(tag >> TAG_WIRE_BITS), ret_element->wire);
    }
    ret_element->number = (uint32_t)(tag >> TAG_WIRE_BITS);
    switch (ret_element->wire) {
    case WIRE_VARINT: return take_varint(rest, &ret_element->varint, err);
    case WIRE_FIXED64: return take_bytes(rest, sizeof(uint64_t), &ret_element->bytes, err);
    case WIRE_FIXED32: return take_bytes(rest, sizeof(uint32_t), &ret_element->bytes, err);
    case WIRE_BYTES:
        rc = take_varint(rest, &len, err);
        return rc != 0 ? rc : take_bytes(rest, len, &ret_element->bytes, err);
    default: /* groups, and what does not exist */
        return error_set(err, ERR_INVALID, "proto: illegal wireType %u", ret_element->wire);
    }
}

/* --- the first pass --------------------------------------------------------------------------- */

static bool is_varint(const struct etcd_field *field)
{
    return field->kind != ETCD_KIND_BYTES && field->kind != ETCD_KIND_STRING &&
           field->kind != ETCD_KIND_MESSAGE;
}

static int count_packed(struct span packed, size_t *count, struct error *err)
{
    uint64_t ignored;
    int rc = 0;
    while (rc == 0 && packed.len > 0) {
        rc = take_varint(&packed, &ignored, err);
        (*count)++;
    }
    return rc;
}

static int count_fields(const struct etcd_type *type, struct span bytes, size_t *counts,
                        struct error *err)
{
    while (bytes.len > 0) {
        struct element element;
        int rc = take_element(&bytes, &element, err);
        if (rc != 0) {
            return rc;
        }
        const struct etcd_field *field = etcd_field_find(type, element.number);
        if (field == NULL) {
            continue;
        }
        size_t *count = &counts[field - type->fields];
        bool is_packed = field->repeated && is_varint(field) && element.wire == WIRE_BYTES;
        if (is_packed) {
            rc = count_packed(element.bytes, count, err);
            if (rc != 0) {
                return rc;
            }
        } else if (element.wire != (is_varint(field) ? WIRE_VARINT : WIRE_BYTES)) {
            return error_set(err, ERR_INVALID, "proto: wrong wireType = %u for field %s",
                             element.wire, field->name);
        } else {
            (*count)++;
        }
    }
    return 0;
}

static int out_of_budget(struct error *err)
{
    return error_set(err, ERR_LIMIT, "message needs more memory than its size allows");
}

/* Makes room for `more` elements behind those that are there (of the same message, merged). */
static int grow_list(struct decoder *decoder, const struct etcd_field *field, size_t more,
                     uint8_t *message)
{
    size_t old = etcd_field_count(field, message);
    size_t bytes = etcd_field_bytes(field);
    if (field->count_max > 0 && (old > field->count_max || more > field->count_max - old)) {
        return error_set(decoder->err, field->count_rc, "%s: more than %zu", field->name,
                         field->count_max);
    }
    uint8_t *list = arena_take(decoder->arena, old + more, bytes);
    if (list == NULL) {
        return out_of_budget(decoder->err);
    }
    if (old > 0) {
        struct etcd_type no_oneof = {0};
        memcpy(list, etcd_field_at(&no_oneof, field, message, 0), old * bytes);
    }
    memcpy(message + field->offset, &list, sizeof list);
    return 0; /* the count rises as they are stored */
}

/* --- the second pass -------------------------------------------------------------------------- */

static int decode_message(struct decoder *decoder, const struct etcd_type *type, struct span bytes,
                          unsigned depth, uint8_t *message);

static void store_varint(const struct etcd_field *field, uint64_t value, uint8_t *at)
{
    const bool truth = value != 0;
    const uint32_t low = (uint32_t)value; /* int32 is sent as 64 bits: the low ones count */
    switch (field->kind) {
    case ETCD_KIND_BOOL: memcpy(at, &truth, sizeof truth); return;
    case ETCD_KIND_INT64:
    case ETCD_KIND_UINT64: memcpy(at, &value, sizeof value); return;
    case ETCD_KIND_UINT32:
    case ETCD_KIND_ENUM: memcpy(at, &low, sizeof low); return;
    case ETCD_KIND_BYTES:
    case ETCD_KIND_STRING:
    case ETCD_KIND_MESSAGE: break;
    }
    ASSERT(false);
}

/* Of a singular message field: the one that is there, to merge into, or a new one. Of a oneof it is
 * always a new one, as in Go. */
static uint8_t *message_at(struct decoder *decoder, const struct etcd_field *field, uint8_t *at)
{
    uint8_t *inner;
    memcpy(&inner, at, sizeof inner);
    if (inner == NULL || field->oneof) {
        inner = arena_take(decoder->arena, 1, field->message->bytes);
        memcpy(at, &inner, sizeof inner);
    }
    return inner;
}

static uint8_t *element_at(const struct etcd_type *type, const struct etcd_field *field,
                           uint8_t *message)
{
    uint8_t *at = message + field->offset;
    if (field->oneof) {
        memcpy(message + type->which_offset, &field->number, sizeof field->number);
    }
    if (field->repeated) {
        size_t count = etcd_field_count(field, message);
        uint8_t *list;
        memcpy(&list, at, sizeof list);
        at = list + count * etcd_field_bytes(field);
        count++;
        memcpy(message + field->count_offset, &count, sizeof count);
    }
    return at;
}

static int store_element(struct decoder *decoder, const struct etcd_type *type,
                         const struct etcd_field *field, const struct element *element,
                         unsigned depth, uint8_t *message)
{
    if (is_varint(field) && element->wire == WIRE_BYTES) {
        struct span packed = element->bytes;
        while (packed.len > 0) {
            uint64_t value = 0;
            int rc = take_varint(&packed, &value, decoder->err);
            ASSERT(rc == 0); /* the first pass has read it */
            store_varint(field, value, element_at(type, field, message));
        }
        return 0;
    }
    uint8_t *at = element_at(type, field, message);
    if (is_varint(field)) {
        store_varint(field, element->varint, at);
        return 0;
    }
    if (field->kind != ETCD_KIND_MESSAGE) {
        memcpy(at, &element->bytes, sizeof element->bytes);
        return 0;
    }
    uint8_t *inner = field->repeated ? at : message_at(decoder, field, at);
    if (inner == NULL) {
        return out_of_budget(decoder->err);
    }
    return decode_message(decoder, field->message, element->bytes, depth + 1, inner);
}

static int decode_message(struct decoder *decoder, const struct etcd_type *type, struct span bytes,
                          unsigned depth, uint8_t *message)
{
    size_t counts[ETCD_FIELDS_MAX] = {0};
    if (depth > ETCD_NESTING_MAX) {
        return error_set(decoder->err, ERR_LIMIT, "exceeded max depth");
    }
    int rc = count_fields(type, bytes, counts, decoder->err);
    for (size_t i = 0; rc == 0 && i < type->fields_count; i++) {
        if (type->fields[i].repeated && counts[i] > 0) {
            rc = grow_list(decoder, &type->fields[i], counts[i], message);
        }
    }
    while (rc == 0 && bytes.len > 0) {
        struct element element;
        rc = take_element(&bytes, &element, decoder->err);
        ASSERT(rc == 0);
        const struct etcd_field *field = etcd_field_find(type, element.number);
        if (field != NULL) {
            rc = store_element(decoder, type, field, &element, depth, message);
        }
    }
    return rc;
}

int etcd_proto_decode(const struct etcd_type *type, struct span bytes, struct arena *arena,
                      void *ret_message, struct error *err)
{
    struct decoder decoder = {.arena = arena, .err = err};
    return decode_message(&decoder, type, bytes, 1, ret_message);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Backwards: what stands before a message is its length, which is known once it has been written.
 * So each field is looked at twice, once for the size of all and once to write it, however deep the
 * message is that it stands in. */
struct writer {
    uint8_t *at; /* the first byte that is written */
};

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value > 0x7f) {
        value >>= 7;
        size++;
    }
    return size;
}

static void write_varint(struct writer *writer, uint64_t value)
{
    writer->at -= varint_size(value);
    uint8_t *at = writer->at;
    while (value > 0x7f) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at = (uint8_t)value;
}

static void write_bytes(struct writer *writer, struct span bytes)
{
    if (bytes.len > 0) {
        writer->at -= bytes.len;
        memcpy(writer->at, bytes.data, bytes.len);
    }
}

static uint64_t varint_of(const struct etcd_field *field, const uint8_t *at)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    int32_t number = 0;
    switch (field->kind) {
    case ETCD_KIND_BOOL: return *(const bool *)at ? 1 : 0;
    case ETCD_KIND_INT64:
    case ETCD_KIND_UINT64: memcpy(&wide, at, sizeof wide); return wide;
    case ETCD_KIND_UINT32: memcpy(&narrow, at, sizeof narrow); return narrow;
    case ETCD_KIND_ENUM: memcpy(&number, at, sizeof number); return (uint64_t)(int64_t)number;
    case ETCD_KIND_BYTES:
    case ETCD_KIND_STRING:
    case ETCD_KIND_MESSAGE: break;
    }
    ASSERT(false);
    return 0;
}

static struct span span_at(const uint8_t *at)
{
    struct span span;
    memcpy(&span, at, sizeof span);
    return span;
}

/* How many values of the field proto3 writes, and where the first is. */
static size_t values_of(const struct etcd_type *type, const struct etcd_field *field,
                        const void *message, const uint8_t **ret_first)
{
    const uint8_t *at = (const uint8_t *)message + field->offset;
    uint32_t which;
    *ret_first = at;
    if (field->repeated || field->kind == ETCD_KIND_MESSAGE) {
        memcpy(ret_first, at, sizeof *ret_first);
    }
    if (field->repeated) {
        return etcd_field_count(field, message);
    }
    if (field->oneof) {
        memcpy(&which, (const uint8_t *)message + type->which_offset, sizeof which);
        return which == field->number && *ret_first != NULL;
    }
    if (field->kind == ETCD_KIND_MESSAGE) {
        return *ret_first != NULL;
    }
    return is_varint(field) ? varint_of(field, at) != 0 : span_at(at).len > 0;
}

static bool is_packed_list(const struct etcd_field *field)
{
    return field->repeated && is_varint(field);
}

static size_t tag_size(const struct etcd_field *field)
{
    return varint_size((uint64_t)field->number << TAG_WIRE_BITS);
}

static void write_tag(struct writer *writer, const struct etcd_field *field, unsigned wire)
{
    write_varint(writer, (uint64_t)field->number << TAG_WIRE_BITS | wire);
}

/* With its length before it, where it has one. */
static size_t value_size(const struct etcd_field *field, const uint8_t *at)
{
    if (is_varint(field)) {
        return varint_size(varint_of(field, at));
    }
    size_t size =
        field->kind == ETCD_KIND_MESSAGE ? etcd_proto_size(field->message, at) : span_at(at).len;
    return varint_size(size) + size;
}

static void write_message(struct writer *writer, const struct etcd_type *type, const void *message);

static void write_value(struct writer *writer, const struct etcd_field *field, const uint8_t *at)
{
    if (is_varint(field)) {
        write_varint(writer, varint_of(field, at));
        return;
    }
    const uint8_t *end = writer->at;
    if (field->kind == ETCD_KIND_MESSAGE) {
        write_message(writer, field->message, at);
    } else {
        write_bytes(writer, span_at(at));
    }
    write_varint(writer, (uint64_t)(end - writer->at));
}

/* Of all `count` elements from `first` on. */
static size_t list_size(const struct etcd_field *field, const uint8_t *first, size_t count)
{
    size_t bytes = field->repeated ? etcd_field_bytes(field) : 0;
    size_t tag = tag_size(field);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += value_size(field, first + i * bytes) + (is_packed_list(field) ? 0 : tag);
    }
    return is_packed_list(field) ? tag + varint_size(size) + size : size;
}

static void write_list(struct writer *writer, const struct etcd_field *field, const uint8_t *first,
                       size_t count)
{
    size_t bytes = field->repeated ? etcd_field_bytes(field) : 0;
    const uint8_t *end = writer->at;
    for (size_t i = count; i > 0; i--) {
        write_value(writer, field, first + (i - 1) * bytes);
        if (!is_packed_list(field)) {
            write_tag(writer, field, is_varint(field) ? WIRE_VARINT : WIRE_BYTES);
        }
    }
    if (is_packed_list(field)) {
        write_varint(writer, (uint64_t)(end - writer->at));
        write_tag(writer, field, WIRE_BYTES);
    }
}

/* What was made of a list before; empty: nothing. */
static struct span made_of(const struct etcd_field *field, const void *message)
{
    return field->proto_offset == 0 ? span_of(NULL, 0)
                                    : span_at((const uint8_t *)message + field->proto_offset);
}

static void write_message(struct writer *writer, const struct etcd_type *type, const void *message)
{
    for (size_t i = type->fields_count; i > 0; i--) {
        const struct etcd_field *field = &type->fields[i - 1];
        const uint8_t *first;
        struct span made = made_of(field, message);
        size_t count = values_of(type, field, message, &first);
        if (made.len > 0) {
            write_bytes(writer, made);
        } else if (count > 0) {
            write_list(writer, field, first, count);
        }
    }
}

size_t etcd_proto_size(const struct etcd_type *type, const void *message)
{
    size_t size = 0;
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct etcd_field *field = &type->fields[i];
        const uint8_t *first;
        size_t count = values_of(type, field, message, &first);
        struct span made = made_of(field, message);
        size += made.len > 0 ? made.len : count > 0 ? list_size(field, first, count) : 0;
    }
    return size;
}

void etcd_proto_encode(const struct etcd_type *type, const void *message, struct buf *out)
{
    size_t size = etcd_proto_size(type, message);
    buf_reserve(out, size);
    struct writer writer = {.at = out->data + out->len + size};
    write_message(&writer, type, message);
    ASSERT(writer.at == out->data + out->len);
    out->len += size;
}

/* --- parts of a message ----------------------------------------------------------------------- */

void etcd_proto_put_frame(struct buf *out, const struct etcd_field *field, const void *at)
{
    size_t len = etcd_proto_size(field->message, at);
    size_t size = tag_size(field) + varint_size(len);
    buf_reserve(out, size);
    struct writer writer = {.at = out->data + out->len + size};
    write_varint(&writer, len);
    write_tag(&writer, field, WIRE_BYTES);
    out->len += size;
}

void etcd_proto_put_element(struct buf *out, const struct etcd_field *field, const void *at)
{
    size_t size = tag_size(field) + value_size(field, at);
    buf_reserve(out, size);
    struct writer writer = {.at = out->data + out->len + size};
    write_value(&writer, field, at);
    write_tag(&writer, field, WIRE_BYTES);
    out->len += size;
}

void etcd_proto_put_field(struct buf *out, const struct etcd_type *type,
                          const struct etcd_field *field, const void *message)
{
    const uint8_t *first;
    size_t count = values_of(type, field, message, &first);
    size_t size = list_size(field, first, count);
    buf_reserve(out, size);
    struct writer writer = {.at = out->data + out->len + size};
    write_list(&writer, field, first, count);
    out->len += size;
}
