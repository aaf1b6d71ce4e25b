/* Every decoder takes all fields, bounded, and looks once at the end whether they were there.
 * Counts are checked against the bytes that are left before anything is allocated for them. */
#include "raft/engine/client_frame.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/peer_frame.h"

#include <string.h>

#define KV_BYTES_MIN          40 /* two lengths, four numbers */
#define ANSWER_TEXT_BYTES_MAX ERROR_TEXT_BYTES

static bool kind_known(uint8_t kind)
{
    return kind >= CLIENT_READ && kind <= CLIENT_WATCH;
}

void client_request_encode(const struct client_request *request, struct buf *out)
{
    ASSERT(kind_known((uint8_t)request->kind));
    buf_put_u64(out, request->number);
    buf_put_u8(out, (uint8_t)request->kind);
    buf_put_u32(out, request->timeout_ms);
    buf_put_bytes(out, request->body);
}

int client_request_decode(struct span bytes, struct client_request *ret_request, struct error *err)
{
    struct span_reader reader = span_reader_of(bytes);
    struct client_request request = {.number = span_take_u64(&reader)};
    uint8_t kind = span_take_u8(&reader);
    request.timeout_ms = span_take_u32(&reader);
    request.body = span_take_bytes(&reader, STORE_COMMAND_BYTES_MAX);
    if (!span_reader_done(&reader) || !kind_known(kind) ||
        request.timeout_ms > CLIENT_TIMEOUT_MAX_MS) {
        return error_set(err, ERR_INVALID, "malformed request");
    }
    request.kind = (enum client_kind)kind;
    *ret_request = request;
    return 0;
}

void client_answer_encode(const struct client_answer *answer, struct buf *out)
{
    buf_put_u64(out, answer->number);
    buf_put_u8(out, (uint8_t)answer->kind);
    buf_put_u32(out, (uint32_t)answer->code);
    buf_put_bytes(out, answer->text);
    buf_put_bytes(out, answer->body);
}

int client_answer_decode(struct span bytes, struct client_answer *ret_answer, struct error *err)
{
    struct span_reader reader = span_reader_of(bytes);
    struct client_answer answer = {.number = span_take_u64(&reader)};
    uint8_t kind = span_take_u8(&reader);
    answer.code = (int)(int32_t)span_take_u32(&reader);
    answer.text = span_take_bytes(&reader, ANSWER_TEXT_BYTES_MAX);
    answer.body = span_take_bytes(&reader, PEER_FRAME_BYTES_MAX);
    if (!span_reader_done(&reader) || !kind_known(kind) || answer.code > 0) {
        return error_set(err, ERR_INVALID, "malformed answer");
    }
    answer.kind = (enum client_kind)kind;
    *ret_answer = answer;
    return 0;
}

/* --- view ------------------------------------------------------------------------------------- */

struct view_writer {
    struct buf *out;
    uint32_t count;
};

static bool view_put(void *arg, const struct store_kv *kv)
{
    struct view_writer *writer = arg;
    buf_put_bytes(writer->out, kv->key);
    buf_put_bytes(writer->out, kv->value);
    buf_put_u64(writer->out, (uint64_t)kv->create_revision);
    buf_put_u64(writer->out, (uint64_t)kv->mod_revision);
    buf_put_u64(writer->out, (uint64_t)kv->version);
    buf_put_u64(writer->out, kv->lease);
    writer->count++;
    return true;
}

void client_view_encode(const struct store *store, uint64_t cluster, struct span prefix,
                        struct buf *out)
{
    buf_put_u64(out, cluster);
    buf_put_u64(out, (uint64_t)store_revision(store));
    struct view_writer writer = {.out = out};
    store_each(store, prefix, view_put, &writer);
    buf_put_u32(out, writer.count); /* behind, because it is known only now */
}

static bool kv_take(struct span_reader *reader, struct store_kv *kv)
{
    kv->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    kv->value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    kv->create_revision = (int64_t)span_take_u64(reader);
    kv->mod_revision = (int64_t)span_take_u64(reader);
    kv->version = (int64_t)span_take_u64(reader);
    kv->lease = span_take_u64(reader);
    return !reader->failed;
}

int client_view_decode(struct span body, uint64_t *ret_cluster, int64_t *ret_revision,
                       struct store_kv **ret_kvs, size_t *ret_count, struct error *err)
{
    if (body.len < sizeof(uint32_t)) {
        return error_set(err, ERR_INVALID, "malformed view");
    }
    struct span_reader tail =
        span_reader_of(span_of(body.data + body.len - sizeof(uint32_t), sizeof(uint32_t)));
    size_t count = span_take_u32(&tail);
    struct span_reader reader = span_reader_of(span_of(body.data, body.len - sizeof(uint32_t)));
    uint64_t cluster = span_take_u64(&reader);
    int64_t revision = (int64_t)span_take_u64(&reader);
    if (reader.failed || count > CLIENT_KVS_MAX || count > reader.rest.len / KV_BYTES_MIN) {
        return error_set(err, ERR_INVALID, "malformed view");
    }
    struct store_kv *kvs = mem_try((count + 1) * sizeof *kvs);
    if (kvs == NULL) {
        return error_set(err, ERR_NOMEM, "view of %zu keys", count);
    }
    for (size_t i = 0; i < count; i++) {
        if (!kv_take(&reader, &kvs[i])) {
            break;
        }
    }
    if (!span_reader_done(&reader)) {
        mem_free(kvs);
        return error_set(err, ERR_INVALID, "malformed view");
    }
    *ret_cluster = cluster;
    *ret_revision = revision;
    *ret_kvs = kvs;
    *ret_count = count;
    return 0;
}

/* --- watch ------------------------------------------------------------------------------------ */

void client_watch_encode(const struct client_watch *watch, struct buf *out)
{
    buf_put_u64(out, watch->cluster);
    buf_put_u64(out, (uint64_t)watch->revision);
    buf_put_u32(out, watch->hold_ms);
    buf_put_bytes(out, watch->prefix);
}

int client_watch_decode(struct span body, struct client_watch *ret_watch, struct error *err)
{
    struct span_reader reader = span_reader_of(body);
    struct client_watch watch = {.cluster = span_take_u64(&reader)};
    watch.revision = (int64_t)span_take_u64(&reader);
    watch.hold_ms = span_take_u32(&reader);
    watch.prefix = span_take_bytes(&reader, STORE_KEY_BYTES_MAX);
    if (!span_reader_done(&reader) || watch.revision < 0 || watch.hold_ms > CLIENT_TIMEOUT_MAX_MS) {
        return error_set(err, ERR_INVALID, "malformed watch");
    }
    *ret_watch = watch;
    return 0;
}

void client_news_encode(const struct store *store, uint64_t cluster, struct span prefix,
                        bool changed, struct buf *out)
{
    buf_put_u8(out, changed);
    if (changed) {
        client_view_encode(store, cluster, prefix, out);
    } else {
        buf_put_u64(out, cluster);
        buf_put_u64(out, (uint64_t)store_revision(store));
        buf_put_u32(out, 0);
    }
}

int client_news_decode(struct span body, bool *ret_changed, struct span *ret_view,
                       struct error *err)
{
    if (body.len < 1 || body.data[0] > 1) {
        return error_set(err, ERR_INVALID, "malformed view");
    }
    *ret_changed = body.data[0] == 1;
    *ret_view = span_of(body.data + 1, body.len - 1);
    return 0;
}

/* --- result and status ------------------------------------------------------------------------ */

void client_result_encode(const struct store_result *result, struct buf *out)
{
    buf_put_u32(out, (uint32_t)result->code);
    buf_put_u8(out, result->succeeded);
    buf_put_u8(out, result->repeated);
    buf_put_u64(out, (uint64_t)result->revision);
}

int client_result_decode(struct span body, struct store_result *ret_result, struct error *err)
{
    struct span_reader reader = span_reader_of(body);
    struct store_result result = {.code = (int)(int32_t)span_take_u32(&reader)};
    result.succeeded = span_take_u8(&reader) != 0;
    result.repeated = span_take_u8(&reader) != 0;
    result.revision = (int64_t)span_take_u64(&reader);
    if (!span_reader_done(&reader) || result.code > 0) {
        return error_set(err, ERR_INVALID, "malformed result");
    }
    *ret_result = result;
    return 0;
}

static bool text_take(struct span_reader *reader, char *ret_text, size_t size)
{
    struct span text = span_take_bytes(reader, size - 1);
    if (text.len > 0) {
        if (memchr(text.data, 0, text.len) != NULL) {
            return false;
        }
        memcpy(ret_text, text.data, text.len);
    }
    ret_text[text.len] = '\0';
    return !reader->failed;
}

void client_status_encode(const struct raft_status *status, struct buf *out)
{
    buf_put_u64(out, status->id);
    buf_put_u64(out, status->cluster);
    buf_put_u8(out, (uint8_t)status->role);
    buf_put_u64(out, status->term);
    buf_put_u64(out, status->leader);
    buf_put_u64(out, status->commit_index);
    buf_put_u64(out, status->applied_index);
    buf_put_u64(out, status->last_index);
    buf_put_u64(out, (uint64_t)status->revision);
    buf_put_u8(out, (uint8_t)status->member_count);
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        buf_put_u64(out, member->id);
        buf_put_bytes(out, span_str(member->name));
        buf_put_bytes(out, span_str(member->address));
        buf_put_u8(out, (uint8_t)(member->voter | member->connected << 1 | member->leader << 2 |
                                  member->witness << 3)); /* older readers pass over bits */
        buf_put_u64(out, member->match_index);
        buf_put_u32(out, member->heard_ms < 0             ? UINT32_MAX
                         : member->heard_ms >= UINT32_MAX ? UINT32_MAX - 1
                                                          : (uint32_t)member->heard_ms);
    }
}

static bool member_take(struct span_reader *reader, struct raft_member_status *member)
{
    member->id = span_take_u64(reader);
    if (!text_take(reader, member->name, sizeof member->name) ||
        !text_take(reader, member->address, sizeof member->address)) {
        return false;
    }
    uint8_t bits = span_take_u8(reader);
    member->voter = (bits & 1) != 0;
    member->connected = (bits & 2) != 0;
    member->leader = (bits & 4) != 0;
    member->witness = (bits & 8) != 0;
    member->match_index = span_take_u64(reader);
    uint32_t heard_ms = span_take_u32(reader);
    member->heard_ms = heard_ms == UINT32_MAX ? -1 : (int64_t)heard_ms;
    return !reader->failed;
}

int client_status_decode(struct span body, struct raft_status *ret_status, struct error *err)
{
    struct span_reader reader = span_reader_of(body);
    struct raft_status status = {.id = span_take_u64(&reader)};
    status.cluster = span_take_u64(&reader);
    uint8_t role = span_take_u8(&reader);
    status.term = span_take_u64(&reader);
    status.leader = span_take_u64(&reader);
    status.commit_index = span_take_u64(&reader);
    status.applied_index = span_take_u64(&reader);
    status.last_index = span_take_u64(&reader);
    status.revision = (int64_t)span_take_u64(&reader);
    status.member_count = span_take_u8(&reader);
    bool good = role <= RAFT_ROLE_LEADER && status.member_count <= STORE_MEMBERS_MAX;
    for (size_t i = 0; good && i < status.member_count; i++) {
        good = member_take(&reader, &status.members[i]);
    }
    if (!good || !span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "malformed status");
    }
    status.role = (enum raft_role)role;
    *ret_status = status;
    return 0;
}
