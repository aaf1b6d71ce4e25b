/* PURE. As jsonpb with OrigName and without EmitDefaults. */
#include "raft/etcd/etcd_json.h"

#include "base/assert.h"
#include "raft/etcd/etcd_text.h"

#include <inttypes.h>
#include <string.h>

/* Written out here: printf took a tenth of what a range cost through the gateway. */
static void put_decimal(struct buf *out, uint64_t value)
{
    enum { DIGITS_MAX = 20 };
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_put(out, digits + at, sizeof digits - at);
}

static void put_quoted(struct buf *out, uint64_t value, bool is_negative)
{
    buf_put_str(out, is_negative ? "\"-" : "\"");
    put_decimal(out, is_negative ? 0 - value : value);
    buf_put_u8(out, '"');
}

static void put_enum(struct buf *out, const struct etcd_enum *names, int32_t value)
{
    if (value >= 0 && (size_t)value < names->values_count) {
        buf_printf(out, "\"%s\"", names->values[value]);
    } else {
        buf_printf(out, "%" PRId32, value);
    }
}

void etcd_json_put_value(struct buf *out, const struct etcd_field *field, const void *at)
{
    switch (field->kind) {
    case ETCD_KIND_BOOL: buf_put_str(out, *(const bool *)at ? "true" : "false"); return;
    case ETCD_KIND_INT64:
        put_quoted(out, (uint64_t) * (const int64_t *)at, *(const int64_t *)at < 0);
        return;
    case ETCD_KIND_UINT64: put_quoted(out, *(const uint64_t *)at, false); return;
    case ETCD_KIND_UINT32: put_decimal(out, *(const uint32_t *)at); return;
    case ETCD_KIND_ENUM: put_enum(out, field->names, *(const int32_t *)at); return;
    case ETCD_KIND_BYTES: json_put_base64(out, *(const struct span *)at); return;
    case ETCD_KIND_STRING: json_put_string(out, *(const struct span *)at); return;
    case ETCD_KIND_MESSAGE: etcd_json_encode(field->message, at, out); return;
    }
    ASSERT(false);
}

void etcd_json_put_name(struct buf *out, const struct etcd_field *field, bool is_first)
{
    buf_put_str(out, is_first ? "\"" : ",\"");
    buf_put_str(out, field->name);
    buf_put_str(out, field->repeated ? "\":[" : "\":");
}

void etcd_json_encode(const struct etcd_type *type, const void *message, struct buf *out)
{
    bool is_first = true;
    buf_put_u8(out, '{');
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct etcd_field *field = &type->fields[i];
        if (etcd_field_is_zero(type, field, message)) {
            continue;
        }
        etcd_json_put_name(out, field, is_first);
        is_first = false;
        size_t count = field->repeated ? etcd_field_count(field, message) : 1;
        for (size_t j = 0; j < count; j++) {
            if (j > 0) {
                buf_put_u8(out, ',');
            }
            etcd_json_put_value(out, field, etcd_field_at(type, field, message, j));
        }
        if (field->repeated) {
            buf_put_u8(out, ']');
        }
    }
    buf_put_u8(out, '}');
}
