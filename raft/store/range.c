/* Ranges. At the present revision: a slice of the map. At an older one: the keys of the map and of
 * the graves, merged, each at the version that the revision saw. */
#include "raft/store/range.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"

#include <stdlib.h>

bool store_range_has(struct span first, struct span range_end, struct span key)
{
    if (range_end.len == 0) {
        return span_equal(first, key);
    }
    bool open = range_end.len == 1 && range_end.data[0] == 0;
    return span_compare(key, first) >= 0 && (open || span_compare(key, range_end) < 0);
}

/* --- walking ---------------------------------------------------------------------------------- */

struct cursor {
    const struct kv_map *map;
    size_t at;
    size_t end;
};

static struct cursor cursor_of(const struct kv_map *map, const struct store_range *range)
{
    struct cursor cursor = {.map = map};
    kv_map_range(map, range->key, range->range_end, &cursor.at, &cursor.end);
    return cursor;
}

static struct kv_record *cursor_peek(const struct cursor *cursor)
{
    return cursor->at < cursor->end ? cursor->map->records[cursor->at] : NULL;
}

/* The next key of either, as it was at `revision`; NULL = that one was not there. */
static bool walk_next(struct cursor *kvs, struct cursor *graves, int64_t revision,
                      const struct kv_record **ret_record)
{
    struct kv_record *kept = cursor_peek(kvs);
    struct kv_record *gone = cursor_peek(graves);
    if (kept == NULL && gone == NULL) {
        return false;
    }
    bool take_kept = gone == NULL ||
                     (kept != NULL && span_compare(kv_record_key(kept), kv_record_key(gone)) < 0);
    if (take_kept) {
        kvs->at++;
    } else {
        graves->at++;
    }
    *ret_record = mvcc_at(take_kept ? kept : gone, revision);
    return true;
}

static bool within_bounds(const struct store_range *range, const struct kv_record *record)
{
    return (range->min_mod == 0 || record->mod_revision >= range->min_mod) &&
           (range->max_mod == 0 || record->mod_revision <= range->max_mod) &&
           (range->min_create == 0 || record->create_revision >= range->min_create) &&
           (range->max_create == 0 || record->create_revision <= range->max_create);
}

/* --- order ------------------------------------------------------------------------------------ */

static int order_of(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

/* As etcd has it: equal ones come by key in either direction. */
static int compare_records(const void *a, const void *b, void *arg)
{
    const struct store_range *range = arg;
    const struct kv_record *first = *(struct kv_record *const *)a;
    const struct kv_record *second = *(struct kv_record *const *)b;
    int by_key = span_compare(kv_record_key(first), kv_record_key(second));
    int order = by_key;
    switch (range->target) {
    case STORE_SORT_KEY: break;
    case STORE_SORT_VERSION: order = order_of(first->version, second->version); break;
    case STORE_SORT_CREATE:
        order = order_of(first->create_revision, second->create_revision);
        break;
    case STORE_SORT_MOD: order = order_of(first->mod_revision, second->mod_revision); break;
    case STORE_SORT_VALUE:
        order = span_compare(kv_record_value(first), kv_record_value(second));
        break;
    }
    order = range->order == STORE_SORT_DESCEND ? -order : order;
    return order != 0 ? order : by_key;
}

static void sort(const struct store_range *range, struct store_kvs *kvs)
{
    if (kvs->count < 2 || (range->target == STORE_SORT_KEY && range->order != STORE_SORT_DESCEND)) {
        return; /* as it was found */
    }
    qsort_r(kvs->records, kvs->count, sizeof(struct kv_record *), compare_records,
            (void *)(uintptr_t)range);
}

/* --- the read --------------------------------------------------------------------------------- */

/* The limit can be looked at while walking: what is found comes in the order that is asked for. */
static bool comes_in_order(const struct store_range *range)
{
    return range->target == STORE_SORT_KEY && range->order != STORE_SORT_DESCEND &&
           range->min_mod == 0 && range->max_mod == 0 && range->min_create == 0 &&
           range->max_create == 0;
}

static void cut(struct store_kvs *kvs, size_t count)
{
    while (kvs->count > count) {
        kv_record_unref(kvs->records[--kvs->count]);
    }
}

static void read_now(const struct store *store, const struct store_range *range, size_t limit,
                     struct store_range_result *result)
{
    struct cursor cursor = cursor_of(&store->kvs, range);
    result->count = (int64_t)(cursor.end - cursor.at);
    for (; !range->count_only && cursor.at < cursor.end && result->kvs.count < limit; cursor.at++) {
        struct kv_record *record = cursor_peek(&cursor);
        if (within_bounds(range, record)) {
            kvs_add(&result->kvs, record);
        }
    }
}

static void read_past(const struct store *store, const struct store_range *range, size_t limit,
                      struct store_range_result *result)
{
    struct cursor kvs = cursor_of(&store->kvs, range);
    struct cursor graves = cursor_of(&store->graves, range);
    const struct kv_record *record = NULL;
    while (walk_next(&kvs, &graves, range->revision, &record)) {
        if (record == NULL) {
            continue;
        }
        result->count++;
        if (!range->count_only && result->kvs.count < limit && within_bounds(range, record)) {
            kvs_add(&result->kvs, (struct kv_record *)record);
        }
    }
}

enum store_reason range_reason(const struct store *store, int64_t revision)
{
    if (revision > store->revision) {
        return STORE_FUTURE;
    }
    bool gone = revision > 0 && revision < store->revision && revision < store->history.compacted;
    return gone ? STORE_COMPACTED : STORE_NO_REASON;
}

void range_read(const struct store *store, const struct store_range *range, int64_t revision,
                struct store_range_result *ret_result)
{
    bool has_limit = range->limit > 0;
    size_t limit = has_limit ? (size_t)range->limit : SIZE_MAX;
    size_t walk_limit =
        has_limit && comes_in_order(range) && limit < SIZE_MAX ? limit + 1 : SIZE_MAX;
    *ret_result = (struct store_range_result){.revision = revision};
    ret_result->kvs.keys_only = range->keys_only;
    if (range->revision <= 0 || range->revision == revision) {
        read_now(store, range, walk_limit, ret_result);
    } else {
        read_past(store, range, walk_limit, ret_result);
    }
    sort(range, &ret_result->kvs);
    ret_result->more = ret_result->kvs.count > limit;
    cut(&ret_result->kvs, limit);
}

int store_range(const struct store *store, const struct store_range *range,
                struct store_range_result *ret_result, struct error *err)
{
    switch (range_reason(store, range->revision)) {
    case STORE_FUTURE:
        return error_set(err, ERR_INVALID,
                         "revision %lld is in the future, the present one is %lld",
                         (long long)range->revision, (long long)store->revision);
    case STORE_COMPACTED:
        return error_set(err, ERR_NOT_FOUND, "revision %lld is compacted up to %lld",
                         (long long)range->revision, (long long)store->history.compacted);
    default: break;
    }
    range_read(store, range, store->revision, ret_result);
    return 0;
}
