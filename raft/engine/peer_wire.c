#include "raft/engine/peer_wire.h"

#include "base/assert.h"
#include "raft/engine/configuration.h"
#include "raft/engine/peer_frame.h"

#include <string.h>

/* The largest snapshot fits into a frame, or a member behind the log could never catch up. */
_Static_assert(PEER_WIRE_SNAPSHOT_BYTES_MAX + 64 * 1024 <= PEER_FRAME_BYTES_MAX,
               "a snapshot of a full store must fit into one frame");

/* --- encode ----------------------------------------------------------------------------------- */

static void put_bool(struct buf *out, bool value)
{
    buf_put_u8(out, value ? 1 : 0);
}

static void put_append(const struct peer_append *append, struct buf *out)
{
    ASSERT(append->entry_count <= PEER_WIRE_ENTRIES_MAX);
    buf_put_u64(out, append->prev_index);
    buf_put_u64(out, append->prev_term);
    buf_put_u64(out, append->commit);
    buf_put_u32(out, (uint32_t)append->entry_count);
    for (size_t i = 0; i < append->entry_count; i++) {
        const struct raft_entry_rec *entry = &append->entries[i];
        ASSERT(entry->data.len <= PEER_WIRE_ENTRY_BYTES_MAX);
        buf_put_u64(out, entry->term);
        buf_put_u16(out, entry->type);
        buf_put_bytes(out, entry->data);
    }
}

static void put_snapshot(const struct peer_snapshot *snapshot, struct buf *out)
{
    ASSERT(snapshot->data.len <= PEER_WIRE_SNAPSHOT_BYTES_MAX);
    buf_put_u64(out, snapshot->last_index);
    buf_put_u64(out, snapshot->last_term);
    buf_put_u64(out, snapshot->configuration_index);
    buf_put_bytes(out, snapshot->configuration);
    buf_put_bytes(out, snapshot->data);
}

static void put_vote(const struct peer_vote *vote, struct buf *out)
{
    buf_put_u64(out, vote->candidate);
    buf_put_u64(out, vote->last_index);
    buf_put_u64(out, vote->last_term);
    put_bool(out, vote->disrupt_leader);
    put_bool(out, vote->pre_vote);
}

void peer_wire_encode(const struct peer_message *message, struct buf *out)
{
    buf_put_u8(out, PEER_WIRE_VERSION);
    buf_put_u8(out, (uint8_t)message->kind);
    buf_put_u8(out, message->version);
    buf_put_u64(out, message->term);
    switch (message->kind) {
    case PEER_APPEND: put_append(&message->append, out); break;
    case PEER_APPEND_RESULT:
        buf_put_u64(out, message->append_result.rejected);
        buf_put_u64(out, message->append_result.last_index);
        buf_put_u16(out, message->append_result.features);
        buf_put_u16(out, message->append_result.capacity);
        break;
    case PEER_VOTE: put_vote(&message->vote, out); break;
    case PEER_VOTE_RESULT:
        put_bool(out, message->vote_result.granted);
        put_bool(out, message->vote_result.pre_vote);
        buf_put_u16(out, message->vote_result.features);
        buf_put_u16(out, message->vote_result.capacity);
        break;
    case PEER_SNAPSHOT: put_snapshot(&message->snapshot, out); break;
    case PEER_TIMEOUT_NOW:
        buf_put_u64(out, message->timeout_now.last_index);
        buf_put_u64(out, message->timeout_now.last_term);
        break;
    case PEER_PROPOSE: buf_put_bytes(out, message->propose); break;
    case PEER_READ:
    case PEER_READ_RESULT:
    case PEER_PROBE:
    case PEER_PROBE_RESULT:
        buf_put_u64(out, message->read.number);
        buf_put_u64(out, message->read.index);
        break;
    }
}

bool peer_wire_is_snapshot(struct span bytes)
{
    return bytes.len > 1 && bytes.data[1] == PEER_SNAPSHOT;
}

/* --- decode ----------------------------------------------------------------------------------- */

static bool take_bool(struct span_reader *reader)
{
    uint8_t value = span_take_u8(reader);
    if (value > 1) {
        reader->failed = true;
    }
    return value == 1;
}

static bool entry_is_valid(const struct raft_entry_rec *entry)
{
    struct configuration configuration;
    if (entry->term == 0) {
        return false;
    }
    switch (entry->type) {
    case RAFT_COMMAND:
    case RAFT_BARRIER: return true;
    case RAFT_CHANGE: return configuration_decode(entry->data, &configuration, NULL) == 0;
    default: return false;
    }
}

/* Terms never fall along a log, none is above the leader's, and only "nothing before" has no term.
 * A message that breaks this would only fail inside the engine, where it is an assertion. */
static bool take_append(struct span_reader *reader, uint64_t term, struct peer_append *append,
                        struct buf *arena)
{
    append->prev_index = span_take_u64(reader);
    append->prev_term = span_take_u64(reader);
    append->commit = span_take_u64(reader);
    uint32_t count = span_take_u32(reader);
    if (reader->failed || count > PEER_WIRE_ENTRIES_MAX || append->prev_index > UINT64_MAX / 2 ||
        (append->prev_index == 0) != (append->prev_term == 0) || append->prev_term > term) {
        return false;
    }
    buf_clear(arena);
    uint64_t term_before = append->prev_term;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry_rec entry = {.index = append->prev_index + 1 + i};
        entry.term = span_take_u64(reader);
        entry.type = span_take_u16(reader);
        entry.data = span_take_bytes(reader, PEER_WIRE_ENTRY_BYTES_MAX);
        if (reader->failed || entry.term < term_before || entry.term > term ||
            !entry_is_valid(&entry)) {
            return false;
        }
        term_before = entry.term;
        buf_put(arena, &entry, sizeof(entry));
    }
    append->entries = count == 0 ? NULL : (const struct raft_entry_rec *)(const void *)arena->data;
    append->entry_count = count;
    return true;
}

static bool take_snapshot(struct span_reader *reader, uint64_t term, struct peer_snapshot *snapshot)
{
    struct configuration configuration;
    snapshot->last_index = span_take_u64(reader);
    snapshot->last_term = span_take_u64(reader);
    snapshot->configuration_index = span_take_u64(reader);
    snapshot->configuration = span_take_bytes(reader, PEER_WIRE_ENTRY_BYTES_MAX);
    snapshot->data = span_take_bytes(reader, PEER_WIRE_SNAPSHOT_BYTES_MAX);
    return !reader->failed && snapshot->last_index > 0 && snapshot->last_index <= UINT64_MAX / 2 &&
           snapshot->last_term > 0 && snapshot->last_term <= term &&
           snapshot->configuration_index > 0 &&
           snapshot->configuration_index <= snapshot->last_index &&
           configuration_decode(snapshot->configuration, &configuration, NULL) == 0;
}

static void take_vote(struct span_reader *reader, struct peer_vote *vote)
{
    vote->candidate = span_take_u64(reader);
    vote->last_index = span_take_u64(reader);
    vote->last_term = span_take_u64(reader);
    vote->disrupt_leader = take_bool(reader);
    vote->pre_vote = take_bool(reader);
    if (vote->candidate == 0) {
        reader->failed = true;
    }
}

static void take_vote_result(struct span_reader *reader, struct peer_vote_result *result)
{
    result->granted = take_bool(reader);
    result->pre_vote = take_bool(reader);
    result->features = span_take_u16(reader);
    result->capacity = span_take_u16(reader);
}

static void take_append_result(struct span_reader *reader, struct peer_append_result *result)
{
    result->rejected = span_take_u64(reader);
    result->last_index = span_take_u64(reader);
    result->features = span_take_u16(reader);
    result->capacity = span_take_u16(reader);
}

static bool take_fields(struct span_reader *reader, struct peer_message *message, struct buf *arena)
{
    switch (message->kind) {
    case PEER_APPEND: return take_append(reader, message->term, &message->append, arena);
    case PEER_APPEND_RESULT: take_append_result(reader, &message->append_result); return true;
    case PEER_VOTE: take_vote(reader, &message->vote); return true;
    case PEER_VOTE_RESULT: take_vote_result(reader, &message->vote_result); return true;
    case PEER_SNAPSHOT: return take_snapshot(reader, message->term, &message->snapshot);
    case PEER_TIMEOUT_NOW:
        message->timeout_now.last_index = span_take_u64(reader);
        message->timeout_now.last_term = span_take_u64(reader);
        return true;
    case PEER_PROPOSE:
        message->propose = span_take_bytes(reader, PEER_WIRE_ENTRY_BYTES_MAX);
        return message->propose.len > 0;
    case PEER_READ:
    case PEER_READ_RESULT:
    case PEER_PROBE:
    case PEER_PROBE_RESULT:
        message->read.number = span_take_u64(reader);
        message->read.index = span_take_u64(reader);
        return true;
    }
    return false;
}

/* The engine's own terms stay far from their end, so that "plus one" never wraps. */
static bool term_is_valid(const struct peer_message *message)
{
    bool raft = message->kind <= PEER_TIMEOUT_NOW;
    return message->term <= UINT64_MAX / 2 && (!raft || message->term > 0);
}

int peer_wire_decode(struct span bytes, struct peer_message *ret_message, struct buf *arena,
                     struct error *err)
{
    struct peer_message message;
    memset(&message, 0, sizeof(message));
    struct span_reader reader = span_reader_of(bytes);
    uint8_t version = span_take_u8(&reader);
    message.kind = (enum peer_message_kind)span_take_u8(&reader);
    message.version = span_take_u8(&reader);
    message.term = span_take_u64(&reader);
    if (reader.failed || version != PEER_WIRE_VERSION) {
        return error_set(err, ERR_UNSUPPORTED, "peer message: version %u in %zu bytes",
                         (unsigned)version, bytes.len);
    }
    if (!term_is_valid(&message) || !take_fields(&reader, &message, arena) ||
        !span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "peer message: kind %u of %zu bytes cannot be read",
                         (unsigned)message.kind, bytes.len);
    }
    *ret_message = message;
    return 0;
}
