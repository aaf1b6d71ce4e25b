/* Frame codec; the layout is in the header. The version is looked at before the checksum, so that
 * another release and a stranger (a port scanner, HTTP) are told apart from a damaged frame. */
#include "raft/engine/peer_frame.h"

#include "base/assert.h"
#include "raft/engine/crc32c.h"

#define LENGTH_BYTES 4
#define SUMMED_BYTES 36 /* of the header, by its own checksum */

static bool type_known(uint8_t type)
{
    return (type >= PEER_FRAME_HELLO && type <= PEER_FRAME_REFUSED) ||
           (type >= PEER_FRAME_RAFT && type <= PEER_FRAME_TAKEN) || type == PEER_FRAME_REQUEST ||
           type == PEER_FRAME_ANSWER;
}

void peer_frame_encode(const struct peer_frame *frame, struct buf *out)
{
    ASSERT(type_known((uint8_t)frame->type));
    ASSERT(frame->payload.len <= PEER_FRAME_BYTES_MAX - PEER_FRAME_HEADER_BYTES);
    size_t start = out->len;
    buf_put_u32(out, (uint32_t)(PEER_FRAME_HEADER_BYTES - LENGTH_BYTES + frame->payload.len));
    buf_put_u8(out, PEER_FRAME_VERSION);
    buf_put_u8(out, (uint8_t)frame->type);
    buf_put_u16(out, 0);
    buf_put_u64(out, frame->from);
    buf_put_u64(out, frame->to);
    buf_put_u64(out, frame->cluster);
    buf_put_u32(out, crc32c(0, frame->payload));
    buf_put_u32(out, crc32c(0, span_of(out->data + start, SUMMED_BYTES)));
    buf_put_span(out, frame->payload);
}

struct header {
    size_t length;
    uint8_t version;
    uint8_t type;
    uint16_t reserved;
    uint32_t payload_crc;
    uint32_t crc;
    struct peer_frame frame; /* without type and payload */
};

static struct header take_header(struct span_reader *reader)
{
    struct header header = {.length = span_take_u32(reader)};
    header.version = span_take_u8(reader);
    header.type = span_take_u8(reader);
    header.reserved = span_take_u16(reader);
    header.frame.from = span_take_u64(reader);
    header.frame.to = span_take_u64(reader);
    header.frame.cluster = span_take_u64(reader);
    header.payload_crc = span_take_u32(reader);
    header.crc = span_take_u32(reader);
    return header;
}

static int check_header(const struct header *header, struct span bytes, size_t frame_bytes_max,
                        struct error *err)
{
    if (header->version != PEER_FRAME_VERSION) {
        return error_set(err, ERR_UNSUPPORTED,
                         "frame of version %u where %u is spoken: another release, or a stranger",
                         header->version, PEER_FRAME_VERSION);
    }
    if (header->crc != crc32c(0, span_of(bytes.data, SUMMED_BYTES))) {
        return error_set(err, ERR_CORRUPT, "a frame was damaged on its way (header)");
    }
    if (!type_known(header->type) || header->reserved != 0 ||
        header->length < PEER_FRAME_HEADER_BYTES - LENGTH_BYTES) {
        return error_set(err, ERR_INVALID, "bytes that are no frame (type %u, length %zu)",
                         header->type, header->length);
    }
    if (header->length + LENGTH_BYTES > frame_bytes_max) {
        return error_set(err, ERR_LIMIT, "frame of %zu bytes where %zu are allowed",
                         header->length + LENGTH_BYTES, frame_bytes_max);
    }
    return 0;
}

int peer_frame_decode(struct span bytes, size_t frame_bytes_max, struct peer_frame *ret_frame,
                      size_t *ret_used, struct error *err)
{
    if (bytes.len < PEER_FRAME_HEADER_BYTES) {
        return 0;
    }
    struct span_reader reader = span_reader_of(bytes);
    struct header header = take_header(&reader);
    int rc = check_header(&header, bytes, frame_bytes_max, err);
    if (rc != 0) {
        return rc;
    }
    if (bytes.len < header.length + LENGTH_BYTES) {
        return 0;
    }
    struct peer_frame frame = header.frame;
    frame.type = (enum peer_frame_type)header.type;
    frame.payload =
        span_of(reader.rest.data, header.length + LENGTH_BYTES - PEER_FRAME_HEADER_BYTES);
    if (header.payload_crc != crc32c(0, frame.payload)) {
        return error_set(err, ERR_CORRUPT, "a frame was damaged on its way (payload)");
    }
    *ret_frame = frame;
    *ret_used = header.length + LENGTH_BYTES;
    return 1;
}
