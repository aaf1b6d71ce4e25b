/* Whatever comes on the Raft port: frames, handshake, and the payloads of bootstrap, pieces and
 * clients. The first byte chooses; the rest is what the stranger sends. What decodes has to encode
 * to the same again. Nobody guesses a checksum, so frames get theirs before they are read, but for
 * one choice. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/bootstrap.h"
#include "raft/engine/client_frame.h"
#include "raft/engine/crc32c.h"
#include "raft/engine/handshake.h"
#include "raft/engine/peer_pieces.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u32(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Version and checksums of the frame at `at`, so that what is behind them is reached. */
static void frame_seal(struct buf *bytes, size_t at)
{
    if (bytes->len - at < PEER_FRAME_HEADER_BYTES) {
        return;
    }
    uint8_t *frame = bytes->data + at;
    size_t end = (frame[0] | (size_t)frame[1] << 8 | (size_t)frame[2] << 16) + 4;
    size_t rest = bytes->len - at;
    end = end < PEER_FRAME_HEADER_BYTES ? PEER_FRAME_HEADER_BYTES : end < rest ? end : rest;
    frame[4] = PEER_FRAME_VERSION;
    put_u32(frame + 32,
            crc32c(0, span_of(frame + PEER_FRAME_HEADER_BYTES, end - PEER_FRAME_HEADER_BYTES)));
    put_u32(frame + 36, crc32c(0, span_of(frame, 36)));
}

static void fuzz_handshake(struct span bytes, bool caller, const char *password)
{
    static const struct handshake_identity self = {.id = 1,
                                                   .cluster = 2,
                                                   .incarnation = 3,
                                                   .group_size = 3,
                                                   .name = "node1",
                                                   .address = "10.0.0.1:2222"};
    struct handshake handshake;
    struct buf out = BUF_INIT;
    struct handshake_config config = {
        .caller = caller, .role = HANDSHAKE_MEMBER, .password = password, .identity = &self};
    memset(config.nonce, 0x5a, sizeof config.nonce);
    handshake_init(&handshake, &config, &out);
    struct buf sealed = BUF_INIT;
    buf_put_span(&sealed, bytes);
    size_t at = 0;
    for (;;) {
        struct peer_frame frame;
        size_t used = 0;
        struct error err = {0};
        frame_seal(&sealed, at);
        int rc = peer_frame_decode(span_of(sealed.data + at, sealed.len - at),
                                   PEER_FRAME_UNAUTHENTICATED_BYTES_MAX, &frame, &used, &err);
        if (rc != 1 || handshake_input(&handshake, &frame, &out, &err) != 0) {
            break;
        }
        at += used;
        if (handshake.state == HANDSHAKE_DONE) {
            ASSERT(password == NULL); /* nobody guesses a mac */
            break;
        }
    }
    handshake_free(&handshake);
    buf_free(&sealed);
    buf_free(&out);
}

static void fuzz_frame(struct span given, bool sealed)
{
    struct peer_frame frame;
    struct buf bytes = BUF_INIT;
    size_t used = 0;
    buf_put_span(&bytes, given);
    if (sealed) {
        frame_seal(&bytes, 0);
    }
    if (peer_frame_decode(buf_span(&bytes), PEER_FRAME_CLIENT_BYTES_MAX, &frame, &used, NULL) ==
        1) {
        struct buf again = BUF_INIT;
        peer_frame_encode(&frame, &again);
        ASSERT(again.len == used && memcmp(again.data, bytes.data, used) == 0);
        buf_free(&again);
    }
    buf_free(&bytes);
}

static void fuzz_identity(struct span bytes)
{
    struct span_reader reader = span_reader_of(bytes);
    struct handshake_identity identity;
    if (handshake_identity_decode(&reader, &identity, NULL) == 0) {
        struct buf again = BUF_INIT;
        handshake_identity_encode(&identity, &again);
        ASSERT(again.len == bytes.len - reader.rest.len &&
               memcmp(again.data, bytes.data, again.len) == 0);
        buf_free(&again);
    }
}

static void fuzz_first(struct span bytes)
{
    struct bootstrap_first first;
    static const struct handshake_identity self = {
        .id = 1, .flags = HANDSHAKE_EMPTY, .group_size = 3};
    if (bootstrap_first_decode(bytes, &first, NULL) == 0) {
        struct buf again = BUF_INIT;
        (void)!bootstrap_first_check(&first, &self, NULL);
        bootstrap_first_encode(&first, &again);
        ASSERT(span_equal(buf_span(&again), bytes));
        buf_free(&again);
    }
}

static void fuzz_client(struct span bytes)
{
    struct client_request request;
    struct client_answer answer;
    struct store_result result;
    static struct raft_status status;
    struct buf again = BUF_INIT;
    if (client_request_decode(bytes, &request, NULL) == 0) {
        client_request_encode(&request, &again);
        ASSERT(span_equal(buf_span(&again), bytes));
        buf_clear(&again);
    }
    if (client_answer_decode(bytes, &answer, NULL) == 0) {
        client_answer_encode(&answer, &again);
        ASSERT(span_equal(buf_span(&again), bytes));
        buf_clear(&again);
    }
    if (client_result_decode(bytes, &result, NULL) == 0) {
        client_result_encode(&result, &again);
        ASSERT(again.len == bytes.len);
        buf_clear(&again);
    }
    if (client_status_decode(bytes, &status, NULL) == 0) {
        client_status_encode(&status, &again);
        ASSERT(again.len == bytes.len);
    }
    buf_free(&again);
    uint64_t cluster = 0;
    int64_t revision = 0;
    struct store_kv *kvs = NULL;
    size_t count = 0;
    if (client_view_decode(bytes, &cluster, &revision, &kvs, &count, NULL) == 0) {
        mem_free(kvs);
    }
}

/* A piece that is the next one, but for what `wrong` says. */
static void piece_shape(const struct peer_pieces_in *in, uint8_t wrong, struct span bytes,
                        struct buf *ret_payload)
{
    bool open = in->total > 0;
    size_t total = open ? in->total : bytes.len * (1 + wrong / 64);
    buf_clear(ret_payload);
    buf_put_u32(ret_payload, in->number + (open ? 0 : 1) + (wrong & 1));
    buf_put_u32(ret_payload, (uint32_t)total + (wrong >> 1 & 1));
    buf_put_u32(ret_payload, (uint32_t)in->message.len + (wrong >> 2 & 1));
    buf_put_u8(ret_payload, PEER_FRAME_RAFT + (wrong >> 3 & 1));
    buf_put_span(ret_payload, bytes);
}

/* Who gets pieces. Each: a length, what is wrong with it (0x10: the bytes are the whole payload),
 * the bytes. */
static void fuzz_pieces_in(struct span bytes)
{
    struct peer_pieces_in in = {0};
    struct buf payload = BUF_INIT;
    struct buf taken = BUF_INIT;
    int rc = 0;
    for (size_t at = 0; rc >= 0 && at + 2 <= bytes.len;) {
        size_t rest = bytes.len - at - 2;
        size_t len = bytes.data[at] < rest ? bytes.data[at] : rest;
        uint8_t wrong = bytes.data[at + 1];
        struct span given = span_of(bytes.data + at + 2, len);
        piece_shape(&in, wrong, given, &payload);
        size_t before = in.message.len;
        rc = peer_pieces_take(&in, (wrong & 0x10) != 0 ? given : buf_span(&payload), &taken, NULL);
        ASSERT(in.total <= PEER_PIECES_MESSAGE_BYTES_MAX && in.message.len <= in.total);
        ASSERT(rc < 0 ? in.message.len == before : in.message.len > before && taken.len == 8);
        ASSERT((rc == 1) == (rc >= 0 && in.message.len == in.total));
        if (rc == 1) {
            peer_pieces_in_free(&in);
        }
        at += 2 + len;
    }
    peer_pieces_in_free(&in);
    buf_free(&payload);
    buf_free(&taken);
}

/* Who sends them: what comes as TAKEN. Each: ms that it needed, then its 8 bytes. */
static void fuzz_pieces_out(struct span bytes)
{
    static const uint8_t message[100000];
    struct peer_pieces_out out = {0};
    struct buf payload = BUF_INIT;
    int64_t now_ms = 1;
    int rc = 0;
    peer_pieces_start(&out, span_of(message, sizeof message), now_ms);
    for (size_t at = 0; rc == 0 && at + 9 <= bytes.len; at += 9) {
        while (peer_pieces_next(&out, &payload)) {
            peer_pieces_sent(&out, now_ms);
            ASSERT(out.sent <= sizeof message);
            ASSERT(out.sent - out.taken <= PEER_PIECES_WINDOW_BYTES_MAX);
        }
        now_ms += bytes.data[at];
        rc = peer_pieces_taken(&out, span_of(bytes.data + at + 1, 8), 200, now_ms, NULL);
        ASSERT(out.taken <= out.sent && out.window >= PEER_PIECES_WINDOW_BYTES_MIN);
        ASSERT(rc != 0 || peer_pieces_are_under_way(&out) == (out.taken < sizeof message));
    }
    peer_pieces_out_free(&out);
    buf_free(&payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span bytes = span_of(data + 1, size - 1);
    switch (data[0] % 10) {
    case 0: fuzz_handshake(bytes, false, NULL); break;
    case 1: fuzz_handshake(bytes, true, NULL); break;
    case 2: fuzz_handshake(bytes, false, "secret"); break;
    case 3: fuzz_frame(bytes, true); break;
    case 7: fuzz_frame(bytes, false); break;
    case 4: fuzz_identity(bytes); break;
    case 5: fuzz_first(bytes); break;
    case 8: fuzz_pieces_in(bytes); break;
    case 9: fuzz_pieces_out(bytes); break;
    default: fuzz_client(bytes); break;
    }
    return 0;
}
