/* Frame codec; the layout is in the header. The version is looked at before the length is trusted,
 * so that a stranger (a port scanner, HTTP) is told apart from a newer release. */
#include "raft/engine/peer_frame.h"

#include "base/assert.h"

#define LENGTH_BYTES 4

static bool type_known(uint8_t type)
{
    return (type >= PEER_FRAME_HELLO && type <= PEER_FRAME_REFUSED) ||
           (type >= PEER_FRAME_RAFT && type <= PEER_FRAME_REMOVED) || type == PEER_FRAME_REQUEST ||
           type == PEER_FRAME_ANSWER;
}

void peer_frame_encode(const struct peer_frame *frame, struct buf *out)
{
    ASSERT(type_known((uint8_t)frame->type));
    ASSERT(frame->payload.len <= PEER_FRAME_BYTES_MAX - PEER_FRAME_HEADER_BYTES);
    buf_put_u32(out, (uint32_t)(PEER_FRAME_HEADER_BYTES - LENGTH_BYTES + frame->payload.len));
    buf_put_u8(out, PEER_FRAME_VERSION);
    buf_put_u8(out, (uint8_t)frame->type);
    buf_put_u16(out, 0);
    buf_put_u64(out, frame->from);
    buf_put_u64(out, frame->to);
    buf_put_u64(out, frame->cluster);
    buf_put_span(out, frame->payload);
}

int peer_frame_decode(struct span bytes, size_t frame_bytes_max, struct peer_frame *ret_frame,
                      size_t *ret_used, struct error *err)
{
    if (bytes.len < PEER_FRAME_HEADER_BYTES) {
        return 0;
    }
    struct span_reader reader = span_reader_of(bytes);
    size_t length = span_take_u32(&reader);
    uint8_t version = span_take_u8(&reader);
    uint8_t type = span_take_u8(&reader);
    uint16_t reserved = span_take_u16(&reader);
    if (version != PEER_FRAME_VERSION) {
        return error_set(err, ERR_UNSUPPORTED, "frame of version %u where %u is spoken", version,
                         PEER_FRAME_VERSION);
    }
    if (!type_known(type) || reserved != 0 || length < PEER_FRAME_HEADER_BYTES - LENGTH_BYTES) {
        return error_set(err, ERR_INVALID, "bytes that are no frame (type %u, length %zu)", type,
                         length);
    }
    if (length + LENGTH_BYTES > frame_bytes_max) {
        return error_set(err, ERR_LIMIT, "frame of %zu bytes where %zu are allowed",
                         length + LENGTH_BYTES, frame_bytes_max);
    }
    if (bytes.len < length + LENGTH_BYTES) {
        return 0;
    }
    struct peer_frame frame = {.type = (enum peer_frame_type)type};
    frame.from = span_take_u64(&reader);
    frame.to = span_take_u64(&reader);
    frame.cluster = span_take_u64(&reader);
    frame.payload = span_of(reader.rest.data, length + LENGTH_BYTES - PEER_FRAME_HEADER_BYTES);
    *ret_frame = frame;
    *ret_used = length + LENGTH_BYTES;
    return 1;
}
