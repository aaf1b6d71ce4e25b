/* The ordered map of keys. Must hold: keys strictly ascend; `bytes` is the sum of all records. */
#include "raft/store/kv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/v2_path.h"

#include <string.h>

enum { KV_FIRST_CAPACITY = 64, KV_FEW = 16 };

struct kv_record *kv_record_new(struct span key, struct span value)
{
    ASSERT(key.len <= STORE_KEY_BYTES_MAX && value.len <= STORE_VALUE_BYTES_MAX);
    struct kv_record *record = mem_alloc(sizeof(*record) + key.len + value.len);
    record->refs = 1;
    record->key_len = (uint32_t)key.len;
    record->value_len = (uint32_t)value.len;
    if (key.len > 0) {
        memcpy(record->bytes, key.data, key.len);
    }
    if (value.len > 0) {
        memcpy(record->bytes + key.len, value.data, value.len);
    }
    record->has_v2_name = v2_path_is_clean(key);
    list_init(&record->in_lease);
    return record;
}

struct kv_record *kv_record_ref(struct kv_record *record)
{
    ASSERT(record->refs > 0);
    record->refs++;
    return record;
}

void kv_record_unref(struct kv_record *record)
{
    if (record == NULL) {
        return;
    }
    ASSERT(record->refs > 0);
    if (--record->refs == 0) {
        ASSERT(list_empty(&record->in_lease));
        mem_free(record);
    }
}

struct span kv_record_key(const struct kv_record *record)
{
    return span_of(record->bytes, record->key_len);
}

struct span kv_record_value(const struct kv_record *record)
{
    return span_of(record->bytes + record->key_len, record->value_len);
}

size_t kv_record_bytes(const struct kv_record *record)
{
    return (size_t)record->key_len + record->value_len;
}

void kv_record_encode(const struct kv_record *record, struct buf *out)
{
    buf_put_bytes(out, kv_record_key(record));
    buf_put_bytes(out, kv_record_value(record));
    buf_put_u64(out, (uint64_t)record->create_revision);
    buf_put_u64(out, (uint64_t)record->mod_revision);
    buf_put_u64(out, (uint64_t)record->version);
    buf_put_u64(out, record->lease);
}

void kv_record_view(const struct kv_record *record, struct store_kv *ret_kv)
{
    *ret_kv = (struct store_kv){
        .key = kv_record_key(record),
        .value = kv_record_value(record),
        .create_revision = record->create_revision,
        .mod_revision = record->mod_revision,
        .version = record->version,
        .lease = record->lease,
        .directory = (record->flags & KV_DIRECTORY) != 0,
    };
}

void kv_map_close(struct kv_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        list_remove(&map->records[i]->in_lease);
        kv_record_unref(map->records[i]);
    }
    mem_free(map->records);
    *map = (struct kv_map){0};
}

size_t kv_map_seek(const struct kv_map *map, struct span key)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(kv_record_key(map->records[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool kv_map_is_at(const struct kv_map *map, size_t at, struct span key)
{
    return at < map->count && span_equal(kv_record_key(map->records[at]), key);
}

struct kv_record *kv_map_find(const struct kv_map *map, struct span key)
{
    size_t at = kv_map_seek(map, key);
    return kv_map_is_at(map, at, key) ? map->records[at] : NULL;
}

static void kv_map_make_room(struct kv_map *map, size_t more)
{
    while (map->count + more > map->capacity) {
        map->capacity = map->capacity == 0 ? KV_FIRST_CAPACITY : map->capacity * 2;
        map->records = mem_resize(map->records, map->capacity * sizeof(struct kv_record *));
    }
}

static void kv_map_insert(struct kv_map *map, size_t at, struct kv_record *record)
{
    kv_map_make_room(map, 1);
    memmove(map->records + at + 1, map->records + at, (map->count - at) * sizeof(*map->records));
    map->records[at] = record;
    map->count++;
}

void kv_map_set_take(struct kv_map *map, struct kv_record *record)
{
    struct span key = kv_record_key(record);
    size_t at = kv_map_seek(map, key);
    if (kv_map_is_at(map, at, key)) {
        struct kv_record *old = map->records[at];
        map->bytes -= kv_record_bytes(old);
        map->records[at] = record;
        kv_record_unref(old);
    } else {
        kv_map_insert(map, at, record);
    }
    map->bytes += kv_record_bytes(record);
}

void kv_map_remove(struct kv_map *map, struct span key)
{
    size_t at = kv_map_seek(map, key);
    ASSERT(kv_map_is_at(map, at, key));
    struct kv_record *old = map->records[at];
    map->bytes -= kv_record_bytes(old);
    map->count--;
    memmove(map->records + at, map->records + at + 1, (map->count - at) * sizeof(*map->records));
    kv_record_unref(old);
}

/* From the end: both are in order. */
void kv_map_add_all(struct kv_map *map, struct kv_record *const *records, size_t count)
{
    kv_map_make_room(map, count);
    size_t old = map->count;
    size_t to = map->count + count;
    map->count = to;
    for (size_t left = count; left > 0;) {
        struct kv_record *next = records[left - 1];
        if (old > 0 &&
            span_compare(kv_record_key(map->records[old - 1]), kv_record_key(next)) > 0) {
            map->records[--to] = map->records[--old];
        } else {
            map->records[--to] = next;
            map->bytes += kv_record_bytes(next);
            left--;
        }
    }
}

void kv_map_remove_all(struct kv_map *map, struct kv_record *const *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (count <= KV_FEW) {
            kv_map_remove(map, kv_record_key(records[i]));
        } else {
            records[i]->flags |= KV_DOOMED;
        }
    }
    if (count <= KV_FEW) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < map->count; i++) {
        struct kv_record *record = map->records[i];
        if ((record->flags & KV_DOOMED) == 0) {
            map->records[kept++] = record;
            continue;
        }
        record->flags &= (uint8_t)~KV_DOOMED;
        map->bytes -= kv_record_bytes(record);
        kv_record_unref(record);
    }
    ASSERT(map->count - kept == count);
    map->count = kept;
}

void kv_map_range(const struct kv_map *map, struct span key, struct span range_end,
                  size_t *ret_first, size_t *ret_end)
{
    size_t first = kv_map_seek(map, key);
    size_t end = first;
    if (range_end.len == 0) {
        end += kv_map_is_at(map, first, key) ? 1 : 0;
    } else if (range_end.len == 1 && range_end.data[0] == 0) {
        end = map->count;
    } else {
        end = kv_map_seek(map, range_end);
    }
    *ret_first = first;
    *ret_end = end > first ? end : first;
}

void kv_map_check(const struct kv_map *map)
{
    size_t bytes = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct kv_record *record = map->records[i];
        ASSERT(record->refs > 0);
        ASSERT(i == 0 ||
               span_compare(kv_record_key(map->records[i - 1]), kv_record_key(record)) < 0);
        ASSERT(record->newer == NULL && (record->flags & KV_DOOMED) == 0);
        bytes += kv_record_bytes(record);
    }
    ASSERT(bytes == map->bytes);
}
