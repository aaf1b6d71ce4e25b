/* PURE. The syntax of the whole text is checked first, as Go does: so a syntax error anywhere comes
 * before an error of type. Then each object is gone through once, noting where the value of each
 * field stands, and the fields are read in the order of the table. */
#include "raft/etcd/etcd_json.h"

#include "base/assert.h"
#include "raft/etcd/etcd_json_scan.h"
#include "raft/etcd/etcd_text.h"

#include <string.h>

enum { NAME_BYTES_MAX = 64 }; /* no field has a longer name */

struct decoder {
    struct arena *arena;
    struct json_index *index;
    struct error *err;
};

static int decode_message(struct decoder *decoder, const struct etcd_type *type, struct span value,
                          unsigned depth, uint8_t *message);

static int out_of_budget(struct error *err)
{
    return error_set(err, ERR_LIMIT, "message needs more memory than its size allows");
}

static bool is_null(struct span value)
{
    return value.len == 0 || value.data[0] == 'n';
}

static int wrong_type(struct error *err, struct span value, const char *go_type)
{
    return error_set(err, ERR_INVALID, "json: cannot unmarshal %s into Go value of type %s",
                     json_kind(value), go_type);
}

/* --- names ------------------------------------------------------------------------------------ */

/* Whether `name` is `field` in camelCase: the letter after each underscore large. */
static bool is_camel_of(struct span name, const char *field)
{
    size_t i = 0;
    for (const char *c = field; *c != '\0'; c++) {
        bool is_hump = *c == '_' && c[1] >= 'a' && c[1] <= 'z';
        c += is_hump;
        if (i >= name.len || name.data[i++] != (uint8_t)(is_hump ? *c - 'a' + 'A' : *c)) {
            return false;
        }
    }
    return i == name.len;
}

static const struct etcd_field *field_named(const struct etcd_type *type, struct span name,
                                            bool *ret_camel)
{
    for (size_t i = 0; i < type->fields_count; i++) {
        *ret_camel = !span_equal_str(name, type->fields[i].name);
        if (!*ret_camel || is_camel_of(name, type->fields[i].name)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

struct members {
    struct span values[ETCD_FIELDS_MAX]; /* empty = absent */
    bool camel[ETCD_FIELDS_MAX];
};

static void find_members(struct decoder *decoder, const struct etcd_type *type, struct span object,
                         struct members *members)
{
    struct json_iterator iterator = json_iterate(decoder->index, object);
    struct buf plain = BUF_INIT;
    struct span name;
    struct span value;
    while (json_next(&iterator, &name, &value)) {
        bool is_camel = false;
        if (name.len > NAME_BYTES_MAX * 6) { /* even if every letter were escaped */
            continue;
        }
        buf_clear(&plain);
        json_unescape(name, &plain);
        const struct etcd_field *field = field_named(type, buf_span(&plain), &is_camel);
        if (field != NULL) {
            size_t i = (size_t)(field - type->fields);
            if (is_camel || !members->camel[i]) {
                members->values[i] = value;
                members->camel[i] = is_camel;
            }
        }
    }
    buf_free(&plain);
}

/* --- scalars ---------------------------------------------------------------------------------- */

static bool parse_i64(struct span digits, int64_t *ret_value)
{
    uint64_t value = 0;
    bool is_negative = digits.len > 0 && digits.data[0] == '-';
    uint64_t max = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    if (is_negative) {
        digits = span_of(digits.data + 1, digits.len - 1);
    }
    if (!go_parse_u64(digits, &value) || value > max) {
        return false;
    }
    *ret_value = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* Into memory of the field's type; false: not of that range. */
static bool store_number(const struct etcd_field *field, struct span digits, uint8_t *at)
{
    uint64_t number = 0;
    int64_t signed_number = 0;
    switch (field->kind) {
    case ETCD_KIND_INT64:
        if (!parse_i64(digits, &signed_number)) {
            return false;
        }
        memcpy(at, &signed_number, sizeof signed_number);
        return true;
    case ETCD_KIND_ENUM: {
        if (!parse_i64(digits, &signed_number) || signed_number < INT32_MIN ||
            signed_number > INT32_MAX) {
            return false;
        }
        int32_t narrow = (int32_t)signed_number;
        memcpy(at, &narrow, sizeof narrow);
        return true;
    }
    case ETCD_KIND_UINT64:
        if (!go_parse_u64(digits, &number)) {
            return false;
        }
        memcpy(at, &number, sizeof number);
        return true;
    case ETCD_KIND_UINT32: {
        if (!go_parse_u64(digits, &number) || number > UINT32_MAX) {
            return false;
        }
        uint32_t narrow = (uint32_t)number;
        memcpy(at, &narrow, sizeof narrow);
        return true;
    }
    case ETCD_KIND_BOOL:
    case ETCD_KIND_BYTES:
    case ETCD_KIND_STRING:
    case ETCD_KIND_MESSAGE: break;
    }
    ASSERT(false);
    return false;
}

static const char *go_type_of(const struct etcd_field *field)
{
    return field->kind == ETCD_KIND_ENUM     ? field->names->name
           : field->kind == ETCD_KIND_INT64  ? "int64"
           : field->kind == ETCD_KIND_UINT64 ? "uint64"
                                             : "uint32";
}

static int decode_number(struct decoder *decoder, const struct etcd_field *field, struct span value,
                         uint8_t *at)
{
    if (value.data[0] == '"' && field->kind != ETCD_KIND_ENUM) {
        struct span inside = span_of(value.data + 1, value.len - 2);
        int rc =
            json_scan(inside, true, "unexpected end of JSON input", &value, NULL, decoder->err);
        if (rc != 0) {
            return rc;
        }
        if (value.len == 0) {
            return error_set(decoder->err, ERR_INVALID, "unexpected end of JSON input");
        }
        if (is_null(value)) {
            return 0;
        }
    }
    if (strcmp(json_kind(value), "number") != 0) {
        return wrong_type(decoder->err, value, go_type_of(field));
    }
    if (!store_number(field, value, at)) {
        return error_set(decoder->err, ERR_INVALID,
                         "json: cannot unmarshal number %.*s into Go value of type %s",
                         (int)(value.len < 64 ? value.len : 64), (const char *)value.data,
                         go_type_of(field));
    }
    return 0;
}

static int decode_enum(struct decoder *decoder, const struct etcd_field *field, struct span value,
                       uint8_t *at)
{
    if (value.data[0] != '"') {
        return decode_number(decoder, field, value, at);
    }
    struct span name = span_of(value.data + 1, value.len - 2);
    for (size_t i = 0; i < field->names->values_count; i++) {
        if (span_equal_str(name, field->names->values[i])) {
            int32_t number = (int32_t)i;
            memcpy(at, &number, sizeof number);
            return 0;
        }
    }
    struct buf quoted = BUF_INIT;
    go_quote(&quoted, span_of(name.data, name.len < 64 ? name.len : 64));
    int rc = error_set(decoder->err, ERR_INVALID, "unknown value %s for enum %s", buf_str(&quoted),
                       field->names->name);
    buf_free(&quoted);
    return rc;
}

static int decode_bool(struct decoder *decoder, struct span value, uint8_t *at)
{
    bool truth = value.data[0] == 't';
    if (!truth && value.data[0] != 'f') {
        return wrong_type(decoder->err, value, "bool");
    }
    memcpy(at, &truth, sizeof truth);
    return 0;
}

/* --- strings and bytes ------------------------------------------------------------------------ */

static bool is_plain_text(struct span text)
{
    while (text.len > 0) {
        size_t len = text.data[0] == '\\' ? 0 : utf8_len(text);
        if (len == 0) {
            return false;
        }
        text = span_of(text.data + len, text.len - len);
    }
    return true;
}

/* The text of a string: borrowed if it is written as it is, else from the arena. */
static int decode_text(struct decoder *decoder, struct span value, const char *go_type,
                       struct span *ret_text)
{
    if (value.data[0] != '"') {
        return wrong_type(decoder->err, value, go_type);
    }
    struct span inside = span_of(value.data + 1, value.len - 2);
    if (is_plain_text(inside)) {
        *ret_text = inside;
        return 0;
    }
    struct buf text = BUF_INIT;
    json_unescape(inside, &text);
    uint8_t *copy = arena_take(decoder->arena, text.len, 1);
    if (copy != NULL) {
        memcpy(copy, text.data, text.len);
        *ret_text = span_of(copy, text.len);
    }
    buf_free(&text);
    return copy != NULL ? 0 : out_of_budget(decoder->err);
}

static int decode_string(struct decoder *decoder, struct span value, uint8_t *at)
{
    struct span text;
    int rc = decode_text(decoder, value, "string", &text);
    if (rc == 0) {
        memcpy(at, &text, sizeof text);
    }
    return rc;
}

static int sextet_of(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static size_t skip_lines(struct span text, size_t at)
{
    while (at < text.len && (text.data[at] == '\n' || text.data[at] == '\r')) {
        at++;
    }
    return at;
}

/* The padding that begins before `at`, of a group that has `have` letters. Returns where it ends,
 * or the negative (minus one) of where Go says that the text is corrupt. */
static ptrdiff_t take_padding(struct span text, size_t at, size_t have)
{
    if (have < 2) {
        return -(ptrdiff_t)(at - 1) - 1;
    }
    if (have == 2) {
        at = skip_lines(text, at);
        if (at == text.len) {
            return -(ptrdiff_t)text.len - 1;
        }
        if (text.data[at] != '=') {
            return -(ptrdiff_t)(at - 1) - 1;
        }
        at++;
    }
    at = skip_lines(text, at);
    return at < text.len ? -(ptrdiff_t)at - 1 : (ptrdiff_t)at;
}

/* Go's base64.StdEncoding: line ends are skipped, padding is required, what follows it refused.
 * Returns the bytes written, or the negative (minus one) of where the text is corrupt. */
static ptrdiff_t decode_base64(struct span text, uint8_t *out)
{
    size_t len = 0;
    size_t have = 0;
    uint32_t bits = 0;
    for (size_t at = skip_lines(text, 0); at < text.len; at = skip_lines(text, at)) {
        int sextet = sextet_of(text.data[at++]);
        if (sextet < 0 && text.data[at - 1] != '=') {
            return -(ptrdiff_t)(at - 1) - 1;
        }
        if (sextet < 0) {
            ptrdiff_t end = take_padding(text, at, have);
            if (end < 0) {
                return end;
            }
            out[len++] = (uint8_t)(have == 2 ? bits >> 4 : bits >> 10);
            if (have == 3) {
                out[len++] = (uint8_t)(bits >> 2);
            }
            return (ptrdiff_t)len;
        }
        bits = bits << 6 | (uint32_t)sextet;
        if (++have == 4) {
            out[len++] = (uint8_t)(bits >> 16);
            out[len++] = (uint8_t)(bits >> 8);
            out[len++] = (uint8_t)bits;
            have = 0;
            bits = 0;
        }
    }
    return have == 0 ? (ptrdiff_t)len : -(ptrdiff_t)(text.len - have) - 1;
}

static int decode_bytes(struct decoder *decoder, struct span value, uint8_t *at)
{
    struct span text;
    int rc = decode_text(decoder, value, "[]uint8", &text);
    if (rc != 0) {
        return rc;
    }
    uint8_t *bytes = arena_take(decoder->arena, text.len / 4 * 3 + 3, 1);
    if (bytes == NULL) {
        return out_of_budget(decoder->err);
    }
    ptrdiff_t len = decode_base64(text, bytes);
    if (len < 0) {
        return error_set(decoder->err, ERR_INVALID, "illegal base64 data at input byte %td",
                         -(len + 1));
    }
    struct span decoded = span_of(bytes, (size_t)len);
    memcpy(at, &decoded, sizeof decoded);
    return 0;
}

/* --- messages --------------------------------------------------------------------------------- */

static int decode_inner(struct decoder *decoder, const struct etcd_field *field, struct span value,
                        unsigned depth, uint8_t *at)
{
    uint8_t *inner = arena_take(decoder->arena, 1, field->message->bytes);
    if (inner == NULL) {
        return out_of_budget(decoder->err);
    }
    memcpy(at, &inner, sizeof inner);
    return decode_message(decoder, field->message, value, depth + 1, inner);
}

/* Not null. `at`: of an element for a list of messages, else of the member. */
static int decode_value(struct decoder *decoder, const struct etcd_field *field, struct span value,
                        unsigned depth, uint8_t *at)
{
    switch (field->kind) {
    case ETCD_KIND_BOOL: return decode_bool(decoder, value, at);
    case ETCD_KIND_INT64:
    case ETCD_KIND_UINT64:
    case ETCD_KIND_UINT32: return decode_number(decoder, field, value, at);
    case ETCD_KIND_ENUM: return decode_enum(decoder, field, value, at);
    case ETCD_KIND_BYTES: return decode_bytes(decoder, value, at);
    case ETCD_KIND_STRING: return decode_string(decoder, value, at);
    case ETCD_KIND_MESSAGE:
        return field->repeated ? decode_message(decoder, field->message, value, depth + 1, at)
                               : decode_inner(decoder, field, value, depth, at);
    }
    ASSERT(false);
    return 0;
}

static int decode_list(struct decoder *decoder, const struct etcd_field *field, struct span value,
                       unsigned depth, uint8_t *message)
{
    size_t count = 0;
    size_t bytes = etcd_field_bytes(field);
    struct span element;
    if (value.data[0] != '[') {
        return wrong_type(decoder->err, value, "[]json.RawMessage");
    }
    size_t count_max = field->count_max > 0 ? field->count_max : SIZE_MAX - 1;
    struct json_iterator counted = json_iterate(decoder->index, value);
    while (count <= count_max && json_next(&counted, NULL, &element)) {
        count++;
    }
    if (count > count_max) {
        return error_set(decoder->err, field->count_rc, "%s: more than %zu", field->name,
                         count_max);
    }
    uint8_t *list = arena_take(decoder->arena, count, bytes);
    if (list == NULL) {
        return out_of_budget(decoder->err);
    }
    memcpy(message + field->offset, &list, sizeof list);
    memcpy(message + field->count_offset, &count, sizeof count);
    int rc = 0;
    struct json_iterator it = json_iterate(decoder->index, value);
    while (rc == 0 && json_next(&it, NULL, &element)) {
        rc = is_null(element) ? 0 : decode_value(decoder, field, element, depth, list);
        list += bytes;
    }
    return rc;
}

static int decode_field(struct decoder *decoder, const struct etcd_type *type,
                        const struct etcd_field *field, struct span value, unsigned depth,
                        uint8_t *message)
{
    if (field->repeated) {
        return decode_list(decoder, field, value, depth, message);
    }
    if (field->oneof) {
        uint32_t which;
        memcpy(&which, message + type->which_offset, sizeof which);
        if (which != 0) {
            return error_set(decoder->err, ERR_INVALID, "oneof %s.%s is already set", type->name,
                             type->oneof_name);
        }
        memcpy(message + type->which_offset, &field->number, sizeof field->number);
    }
    return decode_value(decoder, field, value, depth, message + field->offset);
}

static int decode_message(struct decoder *decoder, const struct etcd_type *type, struct span value,
                          unsigned depth, uint8_t *message)
{
    struct members members = {0};
    if (is_null(value)) {
        return 0;
    }
    if (depth > ETCD_NESTING_MAX) {
        return error_set(decoder->err, ERR_LIMIT, "exceeded max depth");
    }
    if (value.data[0] != '{') {
        return wrong_type(decoder->err, value, "map[string]json.RawMessage");
    }
    find_members(decoder, type, value, &members);
    for (int pass = 0; pass < 2; pass++) { /* Go takes the members of a oneof last */
        for (size_t i = 0; i < type->fields_count; i++) {
            const struct etcd_field *field = &type->fields[i];
            if (field->oneof != (pass == 1) || is_null(members.values[i])) {
                continue;
            }
            int rc = decode_field(decoder, type, field, members.values[i], depth, message);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): one result more than etcd_json_decode */
int etcd_json_decode_counted(const struct etcd_type *type, struct span text, struct arena *arena,
                             void *ret_message, size_t *ret_work, struct error *err)
{
    struct json_index index = {0};
    struct decoder decoder = {.arena = arena, .index = &index, .err = err};
    struct span value;
    int rc = json_scan(text, false, "unexpected EOF", &value, &index, err);
    rc = rc != 0 ? rc : decode_message(&decoder, type, value, 1, ret_message);
    *ret_work = index.work;
    json_index_free(&index);
    return rc;
}

int etcd_json_decode(const struct etcd_type *type, struct span text, struct arena *arena,
                     void *ret_message, struct error *err)
{
    size_t work = 0;
    return etcd_json_decode_counted(type, text, arena, ret_message, &work, err);
}
