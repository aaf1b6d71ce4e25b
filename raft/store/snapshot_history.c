/* The window of history in a snapshot: every event in its order, as the present version that it is,
 * or whole. A version that is kept below the window stands before the first event of its key.
 *
 *   count u32, then each: kind u8 and
 *     PRESENT, DIRECTORY       position u32 among keys or directories
 *     OLD, OLD_DIRECTORY       key, value (bytes), create, mod, version, lease (u64), action u8
 *     DELETED, ..._DIRECTORY   key bytes, mod u64, action u8
 *     BELOW, BELOW_DIRECTORY   as OLD
 *
 * Reading builds the chains again: each event goes on top of the last one of its key, and must fit
 * onto it. At the end whatever is on top is present or deleted. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/store_internal.h"
#include "raft/store/v2_path.h"

enum kind {
    KIND_PRESENT = 1,
    KIND_DIRECTORY = 2,
    KIND_OLD = 3,
    KIND_OLD_DIRECTORY = 4,
    KIND_DELETED = 5,
    KIND_DELETED_DIRECTORY = 6,
    KIND_BELOW = 7,
    KIND_BELOW_DIRECTORY = 8
};

/* --- encoding --------------------------------------------------------------------------------- */

static void encode_version(const struct kv_record *record, struct buf *out)
{
    kv_record_encode(record, out);
    buf_put_u8(out, record->action);
}

static void put_kind(struct buf *out, enum kind kind, bool directory)
{
    buf_put_u8(out, (uint8_t)(kind + (directory ? 1 : 0)));
}

static void encode_event(const struct store *store, const struct kv_record *record, struct buf *out)
{
    bool directory = (record->flags & KV_DIRECTORY) != 0;
    if ((record->flags & KV_TOMBSTONE) != 0) {
        put_kind(out, KIND_DELETED, directory);
        buf_put_bytes(out, kv_record_key(record));
        buf_put_u64(out, (uint64_t)record->mod_revision);
        buf_put_u8(out, record->action);
    } else if (record->newer != NULL) {
        put_kind(out, KIND_OLD, directory);
        encode_version(record, out);
    } else {
        const struct kv_map *map = directory ? &store->dirs : &store->kvs;
        put_kind(out, KIND_PRESENT, directory);
        buf_put_u32(out, (uint32_t)kv_map_seek(map, kv_record_key(record)));
    }
}

static bool is_below_window(const struct store *store, const struct kv_record *record)
{
    return record != NULL && record->mod_revision < store->history.compacted;
}

void snapshot_history_encode(const struct store *store, struct buf *out)
{
    const struct watch_history *history = &store->history;
    size_t count = history->count;
    for (size_t i = 0; i < history->count; i++) {
        count += is_below_window(store, watch_history_at(history, i)->older) ? 1 : 0;
    }
    buf_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_record *record = watch_history_at(history, i);
        if (is_below_window(store, record->older)) {
            put_kind(out, KIND_BELOW, (record->flags & KV_DIRECTORY) != 0);
            encode_version(record->older, out);
        }
        encode_event(store, record, out);
    }
}

/* --- decoding --------------------------------------------------------------------------------- */

struct decoder {
    struct store *store;
    struct kv_map tops[2]; /* of keys, of directories: the last version so far; a reference each */
    struct kv_record
        *below; /* the one before, if it was below the window: its event has to follow */
    size_t presents;
};

static void decoder_close(struct decoder *decoder)
{
    for (size_t i = 0; i < 2; i++) { /* not kv_map_close: present versions stay on their leases */
        for (size_t j = 0; j < decoder->tops[i].count; j++) {
            kv_record_unref(decoder->tops[i].records[j]);
        }
        mem_free(decoder->tops[i].records);
    }
}

static struct kv_record *decode_version(struct span_reader *reader, const struct store *store)
{
    struct span key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    struct span value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    struct kv_record *record = kv_record_new(key, value);
    record->create_revision = (int64_t)span_take_u64(reader);
    record->mod_revision = (int64_t)span_take_u64(reader);
    record->version = (int64_t)span_take_u64(reader);
    record->lease = span_take_u64(reader);
    record->action = span_take_u8(reader);
    if (record->create_revision < 2 || record->create_revision > record->mod_revision ||
        record->mod_revision > store->revision || record->version < 1 ||
        record->version > STORE_COUNT_MAX) {
        reader->failed = true;
    }
    return record;
}

static struct kv_record *decode_deleted(struct span_reader *reader, const struct store *store)
{
    struct span key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    struct kv_record *record = kv_record_new(key, span_of(NULL, 0));
    record->flags = KV_TOMBSTONE;
    record->mod_revision = (int64_t)span_take_u64(reader);
    record->action = span_take_u8(reader);
    if (record->mod_revision > store->revision) {
        reader->failed = true;
    }
    return record;
}

static struct kv_record *decode_present(struct decoder *decoder, struct span_reader *reader,
                                        bool directory)
{
    const struct kv_map *map = directory ? &decoder->store->dirs : &decoder->store->kvs;
    uint32_t at = span_take_u32(reader);
    if (at >= map->count) {
        reader->failed = true;
        return NULL;
    }
    decoder->presents++;
    return kv_record_ref(map->records[at]);
}

/* NULL, or a reference. */
static struct kv_record *decode_record(struct decoder *decoder, struct span_reader *reader,
                                       enum kind kind, bool directory)
{
    struct kv_record *record = NULL;
    if (kind == KIND_PRESENT) {
        return decode_present(decoder, reader, directory);
    }
    if (kind == KIND_OLD || kind == KIND_BELOW) {
        record = decode_version(reader, decoder->store);
    } else if (kind == KIND_DELETED) {
        record = decode_deleted(reader, decoder->store);
    } else {
        reader->failed = true;
        return NULL;
    }
    record->flags |= directory ? KV_DIRECTORY : 0;
    struct span key = kv_record_key(record);
    if (record->action > STORE_ACTION_BELOW || key.len == 0 ||
        (directory && !v2_path_is_clean(key))) {
        reader->failed = true;
    }
    return record;
}

static bool is_tombstone(const struct kv_record *record)
{
    return (record->flags & KV_TOMBSTONE) != 0;
}

/* Could `record` have been made when `top` was the present version, or the tombstone? */
static bool fits_on(const struct decoder *decoder, const struct kv_record *record,
                    const struct kv_record *top)
{
    bool first = record->version == 1 && record->create_revision == record->mod_revision;
    bool begins = record->mod_revision == decoder->store->history.compacted;
    bool directory = (record->flags & KV_DIRECTORY) != 0;
    if (top == NULL) { /* what was below it may have been dropped */
        return is_tombstone(record) ? directory || begins : first || begins;
    }
    bool present = mvcc_find(decoder->store, kv_record_key(top), directory) == top;
    if (present || top->mod_revision > record->mod_revision ||
        (begins && top->mod_revision < record->mod_revision)) {
        return false;
    }
    if (is_tombstone(top)) {
        return first && !directory;
    }
    return is_tombstone(record) ||
           (record->version == top->version + 1 && record->create_revision == top->create_revision);
}

static bool add_below(struct decoder *decoder, struct kv_record *record, struct kv_map *tops)
{
    if (record->mod_revision >= decoder->store->history.compacted ||
        kv_map_find(tops, kv_record_key(record)) != NULL) {
        return false;
    }
    mvcc_count_old(decoder->store, record);
    kv_map_set_take(tops, kv_record_ref(record));
    decoder->below = record;
    return true;
}

static bool add_event(struct decoder *decoder, struct kv_record *record, struct kv_map *tops)
{
    struct watch_history *history = &decoder->store->history;
    struct kv_record *top = kv_map_find(tops, kv_record_key(record));
    int64_t last = history->count == 0
                       ? history->compacted
                       : watch_history_at(history, history->count - 1)->mod_revision;
    bool directory = (record->flags & KV_DIRECTORY) != 0;
    if (top != NULL && directory && is_tombstone(top)) {
        top = NULL; /* nothing goes on top of those */
    }
    if (record->mod_revision < last || (decoder->below != NULL && decoder->below != top) ||
        !fits_on(decoder, record, top)) {
        return false;
    }
    decoder->below = NULL;
    if (mvcc_find(decoder->store, kv_record_key(record), directory) != record) {
        mvcc_count_old(decoder->store, record);
    }
    if (top != NULL) {
        record->older = kv_record_ref(top);
        top->newer = record;
    }
    kv_map_set_take(tops, kv_record_ref(record));
    watch_history_add(history, record);
    return true;
}

static bool decode_one(struct decoder *decoder, struct span_reader *reader)
{
    uint8_t byte = span_take_u8(reader);
    bool directory = byte % 2 == 0;
    enum kind kind = directory ? byte - 1u : byte;
    struct kv_record *record = decode_record(decoder, reader, kind, directory);
    if (record == NULL) {
        return false;
    }
    struct kv_map *tops = &decoder->tops[directory ? 1 : 0];
    bool fine = !reader->failed && (kind == KIND_BELOW ? add_below(decoder, record, tops)
                                                       : add_event(decoder, record, tops));
    kv_record_unref(record);
    return fine;
}

static size_t presents_of(const struct store *store, const struct kv_map *map)
{
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++) {
        count += map->records[i]->mod_revision >= store->history.compacted ? 1 : 0;
    }
    return count;
}

/* Every present version of the window was named (none twice: it would not fit on itself), and what
 * is on top of each chain is present or deleted. */
static bool finish(struct decoder *decoder)
{
    struct store *store = decoder->store;
    if (decoder->below != NULL ||
        decoder->presents != presents_of(store, &store->kvs) + presents_of(store, &store->dirs)) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < decoder->tops[i].count; j++) {
            struct kv_record *top = decoder->tops[i].records[j];
            struct kv_record *present = mvcc_find(store, kv_record_key(top), i == 1);
            if (is_tombstone(top) ? present != NULL : present != top) {
                return false;
            }
            if (is_tombstone(top) && i == 0) {
                kv_map_set_take(&store->graves, kv_record_ref(top));
            }
        }
    }
    return mvcc_is_within_limits(store);
}

int snapshot_history_decode(struct store *store, struct span_reader *reader, struct error *err)
{
    struct decoder decoder = {.store = store};
    uint32_t count = span_take_u32(reader);
    bool fine = !reader->failed && count <= STORE_HISTORY_RECORDS_MAX + STORE_KEYS_MAX;
    uint32_t done = 0;
    for (; done < count && fine; done++) {
        fine = decode_one(&decoder, reader);
    }
    fine = fine && finish(&decoder);
    decoder_close(&decoder);
    if (!fine) {
        return error_set(err, ERR_CORRUPT, "version %u of the history is damaged", (unsigned)done);
    }
    return 0;
}
