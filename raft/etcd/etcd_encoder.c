/* PURE. A stack of messages, the innermost on top, each with the place where it goes on. */
#include "raft/etcd/etcd_encoder.h"

#include "base/assert.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_proto.h"

static void push(struct etcd_encoder *encoder, const struct etcd_type *type, const void *message)
{
    ASSERT(encoder->depth < ETCD_ENCODER_DEPTH_MAX);
    encoder->levels[encoder->depth++] =
        (struct etcd_encoder_level){.type = type, .message = message};
}

void etcd_encoder_init(struct etcd_encoder *encoder, enum etcd_encoding encoding,
                       const struct etcd_type *type, const void *message)
{
    *encoder = (struct etcd_encoder){.encoding = encoding};
    push(encoder, type, message);
}

/* One element of the present field; a message is gone into. */
static void put_element(struct etcd_encoder *encoder, struct buf *out)
{
    struct etcd_encoder_level *level = &encoder->levels[encoder->depth - 1];
    const struct etcd_field *field = &level->type->fields[level->field];
    const void *at = etcd_field_at(level->type, field, level->message, level->at);
    bool is_json = encoder->encoding == ETCD_ENCODING_JSON;
    if (is_json && level->at == 0) {
        etcd_json_put_name(out, field, !level->any);
        level->any = true;
    } else if (is_json) {
        buf_put_u8(out, ',');
    }
    level->at++;
    if (field->kind == ETCD_KIND_MESSAGE) {
        if (is_json) {
            buf_put_u8(out, '{');
        } else {
            etcd_proto_put_frame(out, field, at);
        }
        push(encoder, field->message, at);
    } else if (is_json) {
        etcd_json_put_value(out, field, at);
    } else if (field->repeated &&
               (field->kind == ETCD_KIND_BYTES || field->kind == ETCD_KIND_STRING)) {
        etcd_proto_put_element(out, field, at);
    } else { /* all elements: lists of numbers are short */
        etcd_proto_put_field(out, level->type, field, level->message);
        level->at = field->repeated ? etcd_field_count(field, level->message) : 1;
    }
}

static void step(struct etcd_encoder *encoder, struct buf *out)
{
    struct etcd_encoder_level *level = &encoder->levels[encoder->depth - 1];
    bool is_json = encoder->encoding == ETCD_ENCODING_JSON;
    if (level->field == level->type->fields_count) {
        if (is_json) {
            buf_put_u8(out, '}');
        }
        encoder->depth--;
        return;
    }
    const struct etcd_field *field = &level->type->fields[level->field];
    size_t count = 0;
    if (!etcd_field_is_zero(level->type, field, level->message)) {
        count = field->repeated ? etcd_field_count(field, level->message) : 1;
    }
    if (level->at < count) {
        put_element(encoder, out);
        return;
    }
    if (is_json && field->repeated && count > 0) {
        buf_put_u8(out, ']');
    }
    level->field++;
    level->at = 0;
}

bool etcd_encoder_take(struct etcd_encoder *encoder, size_t bytes, struct buf *out)
{
    if (!encoder->begun && encoder->encoding == ETCD_ENCODING_JSON) {
        buf_put_u8(out, '{');
    }
    encoder->begun = true;
    while (encoder->depth > 0 && out->len < bytes) {
        step(encoder, out);
    }
    return encoder->depth == 0;
}
