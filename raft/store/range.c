/* Ranges, as walks that may be interrupted. At the present revision: a slice of the map. At an
 * older one: the keys of the map and of the graves, merged, each at the version that the revision
 * saw. A walk that has begun stays with its revision: where that has become an older one, it goes
 * on as of the past.
 *
 *     keys -> runs -> merge -> cut -> done
 *
 * Only `keys` needs the store. Sorting is by runs, merged two by two, so that it can stop anywhere
 * as well. */
#include "raft/store/range.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"

#include <stdlib.h>

enum { RUN_KEYS = 256 };

bool store_range_has(struct span first, struct span range_end, struct span key)
{
    if (range_end.len == 0) {
        return span_equal(first, key);
    }
    bool open = range_end.len == 1 && range_end.data[0] == 0;
    return span_compare(key, first) >= 0 && (open || span_compare(key, range_end) < 0);
}

/* --- keys ------------------------------------------------------------------------------------- */

struct cursor {
    struct kv_record *const *records; /* NULL where the map is empty */
    size_t at;
    size_t end;
};

/* What is left of the range in one of the maps. */
static struct cursor cursor_of(const struct kv_map *map, const struct store_range_walk *walk)
{
    bool has_begun = walk->next.len > 0;
    struct cursor cursor = {.records = map->records};
    kv_map_range(map, has_begun ? buf_span(&walk->next) : walk->range.key, walk->range.range_end,
                 &cursor.at, &cursor.end);
    return cursor;
}

/* The next key of either; NULL = that was all. */
static struct kv_record *take_newest(struct cursor *kvs, struct cursor *graves)
{
    bool kept = kvs->at < kvs->end;
    bool gone = graves->at < graves->end;
    if (!kept && !gone) {
        return NULL;
    }
    bool take_kept =
        !gone || (kept && span_compare(kv_record_key(kvs->records[kvs->at]),
                                       kv_record_key(graves->records[graves->at])) < 0);
    return take_kept ? kvs->records[kvs->at++] : graves->records[graves->at++];
}

/* As mvcc_at; counts the versions that it looks at. */
static struct kv_record *version_at(struct kv_record *newest, int64_t revision, size_t *looks)
{
    struct kv_record *record = newest;
    *looks += 1;
    while (record != NULL && record->mod_revision > revision) {
        record = record->older;
        *looks += 1;
    }
    return (struct kv_record *)mvcc_at(record, revision);
}

static bool within_bounds(const struct store_range *range, const struct kv_record *record)
{
    return (range->min_mod == 0 || record->mod_revision >= range->min_mod) &&
           (range->max_mod == 0 || record->mod_revision <= range->max_mod) &&
           (range->min_create == 0 || record->create_revision >= range->min_create) &&
           (range->max_create == 0 || record->create_revision <= range->max_create);
}

/* Nothing that is still to come changes the result. */
static bool has_enough(const struct store_range_walk *walk)
{
    return walk->counted && (walk->range.count_only || walk->result.kvs.count >= walk->walk_limit);
}

static void add_version(struct store_range_walk *walk, struct kv_record *record)
{
    walk->result.count += walk->counted ? 0 : 1;
    if (!walk->range.count_only && walk->result.kvs.count < walk->walk_limit &&
        within_bounds(&walk->range, record)) {
        kvs_add(&walk->result.kvs, record);
    }
}

/* It goes on with the key after this one. */
static void remember(struct store_range_walk *walk, const struct kv_record *newest)
{
    buf_clear(&walk->next);
    buf_put_span(&walk->next, kv_record_key(newest));
    buf_put_u8(&walk->next, 0);
}

static void look_at_keys(struct store_range_walk *walk, const struct store *store, int64_t present,
                         size_t looks_max, size_t *looks)
{
    struct cursor kvs = cursor_of(&store->kvs, walk);
    struct cursor graves = {.records = NULL};
    struct kv_record *newest = NULL;
    if (walk->at < present) {
        graves = cursor_of(&store->graves, walk);
    } else if (walk->next.len == 0) {
        walk->result.count = (int64_t)(kvs.end - kvs.at);
        walk->counted = true;
    }
    while (!has_enough(walk)) {
        if (*looks >= looks_max) {
            if (newest != NULL) {
                remember(walk, newest);
            }
            return;
        }
        newest = take_newest(&kvs, &graves);
        if (newest == NULL) {
            break;
        }
        struct kv_record *record = version_at(newest, walk->at, looks);
        if (record != NULL) {
            add_version(walk, record);
        }
    }
    walk->state = RANGE_RUNS;
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

static bool comes_by_key(const struct store_range *range)
{
    return range->target == STORE_SORT_KEY && range->order != STORE_SORT_DESCEND;
}

/* One each time. */
static void sort_run(struct store_range_walk *walk, size_t looks_max, size_t *looks)
{
    struct store_kvs *kvs = &walk->result.kvs;
    if (comes_by_key(&walk->range)) {
        walk->state = RANGE_CUT; /* as it was found */
        return;
    }
    if (walk->to == kvs->count) {
        walk->to = 0;
        walk->state = RANGE_MERGE;
        return;
    }
    if (walk->run == 0) {
        walk->run = looks_max < RUN_KEYS ? looks_max : RUN_KEYS;
    }
    size_t left = kvs->count - walk->to;
    size_t len = left < walk->run ? left : walk->run;
    qsort_r(kvs->records + walk->to, len, sizeof(struct kv_record *), compare_records,
            &walk->range);
    walk->to += len;
    *looks += len;
}

static size_t end_of_run(const struct store_range_walk *walk, size_t from)
{
    size_t left = walk->result.kvs.count - from;
    return from + (left < walk->run ? left : walk->run);
}

static void begin_pair(struct store_range_walk *walk, size_t low)
{
    walk->low = low;
    walk->to = low;
    walk->left = low;
    walk->right = end_of_run(walk, low);
}

/* One record of two runs goes to its place in `merged`; after a whole pass runs are twice as long.
 */
static void merge_one(struct store_range_walk *walk, size_t *looks)
{
    struct store_kvs *kvs = &walk->result.kvs;
    if (walk->run >= kvs->count) {
        walk->state = RANGE_CUT;
        return;
    }
    if (walk->merged == NULL) {
        walk->merged = mem_new_array(struct kv_record *, kvs->count);
        begin_pair(walk, 0);
    }
    size_t middle = end_of_run(walk, walk->low);
    size_t end = end_of_run(walk, middle);
    bool take_left =
        walk->left < middle &&
        (walk->right == end ||
         compare_records(&kvs->records[walk->left], &kvs->records[walk->right], &walk->range) < 0);
    walk->merged[walk->to++] = kvs->records[take_left ? walk->left++ : walk->right++];
    *looks += 1;
    if (walk->to == kvs->count) {
        struct kv_record **whole = walk->merged;
        walk->merged = kvs->records;
        kvs->records = whole;
        kvs->capacity = kvs->count;
        walk->run *= 2;
        begin_pair(walk, 0);
    } else if (walk->to == end) {
        begin_pair(walk, end);
    }
}

/* --- the limit -------------------------------------------------------------------------------- */

/* It can be looked at while walking: what is found comes in the order that is asked for. */
static bool comes_in_order(const struct store_range *range)
{
    return comes_by_key(range) && range->min_mod == 0 && range->max_mod == 0 &&
           range->min_create == 0 && range->max_create == 0;
}

static void cut_one(struct store_range_walk *walk, size_t *looks)
{
    struct store_kvs *kvs = &walk->result.kvs;
    if (kvs->count <= walk->limit) {
        walk->state = RANGE_DONE;
        return;
    }
    walk->result.more = true;
    kv_record_unref(kvs->records[--kvs->count]);
    *looks += 1;
}

/* --- the walk --------------------------------------------------------------------------------- */

enum store_reason range_reason(const struct store *store, int64_t revision)
{
    if (revision > store->revision) {
        return STORE_FUTURE;
    }
    bool gone = revision > 0 && revision < store->revision && revision < store->history.compacted;
    return gone ? STORE_COMPACTED : STORE_NO_REASON;
}

/* `present`: the revision of the present state, at which it begins. */
static void begin(struct store_range_walk *walk, const struct store_range *range, int64_t present)
{
    *walk = (struct store_range_walk){.range = *range, .limit = SIZE_MAX, .walk_limit = SIZE_MAX};
    if (range->limit > 0) {
        walk->limit = (size_t)range->limit;
        walk->walk_limit = comes_in_order(range) ? walk->limit + 1 : SIZE_MAX;
    }
    walk->at = range->revision <= 0 ? present : range->revision;
    walk->result.revision = present;
    walk->result.kvs.keys_only = range->keys_only;
}

static size_t step(struct store_range_walk *walk, const struct store *store, int64_t present,
                   size_t looks_max)
{
    size_t looks = 0;
    while (looks < looks_max && walk->state != RANGE_DONE) {
        switch (walk->state) {
        case RANGE_KEYS: look_at_keys(walk, store, present, looks_max, &looks); break;
        case RANGE_RUNS:
            if (looks > 0 && !comes_by_key(&walk->range) && looks_max - looks < RUN_KEYS) {
                return looks; /* the next step has room for a whole run */
            }
            sort_run(walk, looks_max, &looks);
            break;
        case RANGE_MERGE: merge_one(walk, &looks); break;
        case RANGE_CUT: cut_one(walk, &looks); break;
        case RANGE_DONE: break;
        }
    }
    return looks;
}

static void take(struct store_range_walk *walk, struct store_range_result *ret_result)
{
    ASSERT(walk->state == RANGE_DONE);
    *ret_result = walk->result;
    walk->result = (struct store_range_result){.count = 0};
}

static void end(struct store_range_walk *walk)
{
    store_kvs_close(&walk->result.kvs);
    mem_free(walk->merged);
    buf_free(&walk->next);
    buf_free(&walk->keys);
}

void range_read(const struct store *store, const struct store_range *range, int64_t revision,
                struct store_range_result *ret_result)
{
    struct store_range_walk walk;
    begin(&walk, range, revision);
    (void)step(&walk, store, revision, SIZE_MAX);
    take(&walk, ret_result);
    end(&walk);
}

static int refuse(const struct store *store, int64_t revision, struct error *err)
{
    switch (range_reason(store, revision)) {
    case STORE_FUTURE:
        return error_set(err, ERR_INVALID,
                         "revision %lld is in the future, the present one is %lld",
                         (long long)revision, (long long)store->revision);
    case STORE_COMPACTED:
        return error_set(err, ERR_NOT_FOUND, "revision %lld is compacted up to %lld",
                         (long long)revision, (long long)store->history.compacted);
    default: return 0;
    }
}

int store_range(const struct store *store, const struct store_range *range,
                struct store_range_result *ret_result, struct error *err)
{
    int rc = refuse(store, range->revision, err);
    if (rc == 0) {
        range_read(store, range, store->revision, ret_result);
    }
    return rc;
}

/* --- in parts --------------------------------------------------------------------------------- */

int store_range_walk_new(const struct store *store, const struct store_range *range,
                         struct store_range_walk **ret_walk, struct error *err)
{
    int rc = refuse(store, range->revision, err);
    if (rc != 0) {
        return rc;
    }
    struct store_range_walk *walk = mem_new(struct store_range_walk);
    begin(walk, range, store->revision);
    buf_put_span(&walk->keys, range->key);
    buf_put_span(&walk->keys, range->range_end);
    walk->range.key = span_of(walk->keys.data, range->key.len);
    walk->range.range_end = span_of(walk->keys.data + range->key.len, range->range_end.len);
    *ret_walk = walk;
    return 0;
}

void store_range_walk_free(struct store_range_walk *walk)
{
    if (walk != NULL) {
        end(walk);
        mem_free(walk);
    }
}

int store_range_walk_step(struct store_range_walk *walk, const struct store *store,
                          size_t looks_max, size_t *ret_looks, struct error *err)
{
    int rc = walk->state == RANGE_KEYS ? refuse(store, walk->at, err) : 0;
    ASSERT(looks_max > 0);
    if (rc == 0) {
        *ret_looks = step(walk, store, store->revision, looks_max);
    }
    return rc;
}

bool store_range_walk_is_done(const struct store_range_walk *walk)
{
    return walk->state == RANGE_DONE;
}

void store_range_walk_take(struct store_range_walk *walk, struct store_range_result *ret_result)
{
    take(walk, ret_result);
}
