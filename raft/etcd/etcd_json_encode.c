/* PURE. As jsonpb with OrigName and without EmitDefaults. */
#include "raft/etcd/etcd_json.h"

#include "base/assert.h"
#include "raft/etcd/etcd_text.h"

#include <inttypes.h>
#include <string.h>

static void put_enum(struct buf *out, const struct etcd_enum *names, int32_t value)
{
    if (value >= 0 && (size_t)value < names->values_count) {
        buf_printf(out, "\"%s\"", names->values[value]);
    } else {
        buf_printf(out, "%" PRId32, value);
    }
}

static void put_value(struct buf *out, const struct etcd_field *field, const void *at)
{
    switch (field->kind) {
    case ETCD_KIND_BOOL: buf_put_str(out, *(const bool *)at ? "true" : "false"); return;
    case ETCD_KIND_INT64: buf_printf(out, "\"%" PRId64 "\"", *(const int64_t *)at); return;
    case ETCD_KIND_UINT64: buf_printf(out, "\"%" PRIu64 "\"", *(const uint64_t *)at); return;
    case ETCD_KIND_UINT32: buf_printf(out, "%" PRIu32, *(const uint32_t *)at); return;
    case ETCD_KIND_ENUM: put_enum(out, field->names, *(const int32_t *)at); return;
    case ETCD_KIND_BYTES: json_put_base64(out, *(const struct span *)at); return;
    case ETCD_KIND_STRING: json_put_string(out, *(const struct span *)at); return;
    case ETCD_KIND_MESSAGE: etcd_json_encode(field->message, at, out); return;
    }
    ASSERT(false);
}

void etcd_json_encode(const struct etcd_type *type, const void *message, struct buf *out)
{
    const char *separator = "";
    buf_put_u8(out, '{');
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct etcd_field *field = &type->fields[i];
        if (etcd_field_is_zero(type, field, message)) {
            continue;
        }
        buf_printf(out, "%s\"%s\":%s", separator, field->name, field->repeated ? "[" : "");
        size_t count = field->repeated ? etcd_field_count(field, message) : 1;
        for (size_t j = 0; j < count; j++) {
            if (j > 0) {
                buf_put_u8(out, ',');
            }
            put_value(out, field, etcd_field_at(type, field, message, j));
        }
        if (field->repeated) {
            buf_put_u8(out, ']');
        }
        separator = ",";
    }
    buf_put_u8(out, '}');
}
