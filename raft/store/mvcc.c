/* Chains of versions, and what becomes of them when the window moves on.
 *
 * Must hold: a version's `older` is a version of the same key, made before it (in the same revision
 * or an earlier one), and its `newer` points back; a chain begins in kvs, dirs or graves, or at the
 * tombstone of a directory, which only the window holds. Everything is decided by revisions, never
 * by what this member was asked for: the window is the same on every member.
 *
 * Trimming moves the compact revision by the smallest steps: first to the oldest event (versions
 * that only reads before it would see go), then past it. It never passes the present revision, so a
 * watcher that keeps up misses nothing, however much one command changes. */
#include "raft/store/mvcc.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/store_internal.h"

static struct kv_map *map_of(struct store *store, bool directory)
{
    return directory ? &store->dirs : &store->kvs;
}

static bool is_directory(const struct kv_record *record)
{
    return (record->flags & KV_DIRECTORY) != 0;
}

static bool is_tombstone(const struct kv_record *record)
{
    return (record->flags & KV_TOMBSTONE) != 0;
}

struct kv_record *mvcc_find(const struct store *store, struct span key, bool directory)
{
    return kv_map_find(directory ? &store->dirs : &store->kvs, key);
}

const struct kv_record *mvcc_at(const struct kv_record *newest, int64_t revision)
{
    const struct kv_record *record = newest;
    while (record != NULL && record->mod_revision > revision) {
        record = record->older;
    }
    return record == NULL || is_tombstone(record) ? NULL : record;
}

const struct kv_record *mvcc_before(const struct kv_record *record)
{
    return mvcc_at(record->older, record->mod_revision - 1);
}

struct kv_record **mvcc_collect(const struct kv_map *map, size_t first, size_t end)
{
    struct kv_record **records = mem_new_array(struct kv_record *, end - first);
    for (size_t i = first; i < end; i++) {
        records[i - first] = map->records[i];
    }
    return records;
}

/* --- changes ---------------------------------------------------------------------------------- */

void mvcc_count_old(struct store *store, const struct kv_record *record)
{
    store->history.old_bytes += kv_record_bytes(record);
    store->history.old_count++;
}

static void forget_old(struct store *store, struct kv_record *record)
{
    ASSERT(record->older == NULL && store->history.old_count > 0);
    store->history.old_bytes -= kv_record_bytes(record);
    store->history.old_count--;
    record->newer = NULL;
    kv_record_unref(record);
}

static void drop_older(struct store *store, struct kv_record *record, int64_t first)
{
    struct kv_record *older = record->older;
    if (older != NULL && older->mod_revision < first) {
        record->older = NULL;
        forget_old(store, older);
    }
}

/* A new version is an event. Where the window begins with its revision (a state of format 1 that
 * was restored), nothing below it is kept. */
static void enter_window(struct store *store, struct kv_record *record)
{
    watch_history_add(&store->history, record);
    if (record->mod_revision == store->history.compacted) {
        drop_older(store, record, record->mod_revision);
    }
}

/* `older` comes with its reference. */
static void chain_take(struct kv_record *record, struct kv_record *older)
{
    record->older = older;
    older->newer = record;
}

static void detach(struct store *store, struct kv_record *record)
{
    if (record->lease == 0) {
        return;
    }
    struct lease *lease = lease_map_find(&store->leases, record->lease);
    ASSERT(lease != NULL);
    list_remove(&record->in_lease);
    if ((lease->flags & STORE_LEASE_OWN) != 0) {
        buf_put_u64(&store->left_leases, lease->id);
    }
}

/* On top of the tombstone of a key that was deleted within the window. */
static void rise_from_grave(struct store *store, struct kv_record *record)
{
    struct kv_record *grave = kv_map_find(&store->graves, kv_record_key(record));
    if (grave != NULL && !is_directory(record)) {
        chain_take(record, kv_record_ref(grave));
        kv_map_remove(&store->graves, kv_record_key(record));
    }
}

struct kv_record *mvcc_put(struct store *store, const struct mvcc_put *put)
{
    struct kv_map *map = map_of(store, put->directory);
    struct kv_record *old = kv_map_find(map, put->key);
    struct kv_record *record = kv_record_new(put->key, put->value);
    record->flags = put->directory ? KV_DIRECTORY : 0;
    record->action = (uint8_t)put->action;
    record->create_revision = old == NULL ? put->revision : old->create_revision;
    record->mod_revision = put->revision;
    record->version = old == NULL ? 1 : old->version + 1;
    record->lease = put->lease;
    if (put->lease != 0) {
        struct lease *lease = lease_map_find(&store->leases, put->lease);
        ASSERT(lease != NULL);
        list_append(&lease->keys, &record->in_lease);
    }
    if (old != NULL) {
        detach(store, old);
        chain_take(record, kv_record_ref(old));
        mvcc_count_old(store, old);
    } else {
        rise_from_grave(store, record);
    }
    kv_map_set_take(map, record);
    enter_window(store, record);
    return record;
}

static struct kv_record *tombstone_new(struct span key, uint8_t flags, int64_t revision,
                                       enum store_action action)
{
    struct kv_record *tombstone = kv_record_new(key, span_of(NULL, 0));
    tombstone->flags = KV_TOMBSTONE | flags;
    tombstone->action = (uint8_t)action;
    tombstone->mod_revision = revision;
    return tombstone;
}

void mvcc_delete_unmade(struct store *store, struct span directory, int64_t revision,
                        enum store_action action)
{
    struct kv_record *tombstone = tombstone_new(directory, KV_DIRECTORY, revision, action);
    mvcc_count_old(store, tombstone);
    enter_window(store, tombstone);
    kv_record_unref(tombstone);
}

void mvcc_delete(struct store *store, struct kv_record *const *records, size_t count,
                 int64_t revision, enum store_action action)
{
    if (count == 0) {
        return;
    }
    bool directory = is_directory(records[0]);
    struct kv_record **tombstones = mem_new_array(struct kv_record *, count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(is_directory(records[i]) == directory);
        detach(store, records[i]);
        tombstones[i] = tombstone_new(kv_record_key(records[i]), directory ? KV_DIRECTORY : 0,
                                      revision, action);
        chain_take(tombstones[i], kv_record_ref(records[i]));
        mvcc_count_old(store, records[i]);
        mvcc_count_old(store, tombstones[i]);
        enter_window(store, tombstones[i]);
    }
    kv_map_remove_all(map_of(store, directory), records, count);
    if (directory) {
        for (size_t i = 0; i < count; i++) {
            kv_record_unref(tombstones[i]);
        }
    } else {
        kv_map_add_all(&store->graves, tombstones, count);
    }
    mem_free(tombstones);
}

/* --- compaction ------------------------------------------------------------------------------- */

/* An event leaves the window. A tombstone leaves altogether: there is nothing to read at it. */
static bool leave_window(struct store *store, struct kv_record *record, int64_t first)
{
    drop_older(store, record, first);
    if (!is_tombstone(record)) {
        return false;
    }
    if (record->newer == NULL) {
        return !is_directory(record);
    }
    record->newer->older = NULL;
    forget_old(store, record);
    return false;
}

void mvcc_compact(struct store *store, int64_t first)
{
    struct watch_history *history = &store->history;
    ASSERT(first >= history->compacted && first <= store->revision);
    size_t leaving = watch_history_seek(history, first);
    struct kv_record *few[8]; /* each put in a full window moves it by one */
    bool are_few = leaving <= sizeof few / sizeof few[0];
    struct kv_record **graves = are_few ? few : mem_new_array(struct kv_record *, leaving);
    size_t count = 0;
    for (size_t i = 0; i < leaving; i++) {
        struct kv_record *record = watch_history_pop(history);
        bool in_grave = leave_window(store, record, first);
        bool tombstone_of_dir = is_directory(record) && is_tombstone(record);
        if (in_grave) {
            graves[count++] = record; /* the reference of the graves keeps it */
        }
        if (in_grave || tombstone_of_dir) {
            history->old_bytes -= kv_record_bytes(record);
            history->old_count--;
        }
        kv_record_unref(record);
    }
    kv_map_remove_all(&store->graves, graves, count);
    mem_free(are_few ? NULL : graves);
    for (size_t i = 0; i < history->count; i++) {
        struct kv_record *record = watch_history_at(history, i);
        if (record->mod_revision > first) {
            break;
        }
        drop_older(store, record, first);
    }
    history->compacted = first;
}

static bool is_over(const struct store *store)
{
    const struct watch_history *history = &store->history;
    return history->count > STORE_HISTORY_EVENTS_MAX ||
           history->old_bytes > STORE_HISTORY_BYTES_MAX ||
           store->kvs.bytes + store->dirs.bytes + history->old_bytes > STORE_BYTES_MAX;
}

bool mvcc_is_within_limits(const struct store *store)
{
    size_t present_bytes = store->kvs.bytes + store->dirs.bytes;
    return (!is_over(store) || store->history.compacted == store->revision) &&
           store->kvs.count + store->dirs.count <= STORE_KEYS_MAX &&
           present_bytes <= STORE_BYTES_MAX &&
           present_bytes + store->history.old_bytes <=
               STORE_BYTES_MAX + STORE_HISTORY_SLACK_BYTES &&
           store->history.old_count <= STORE_HISTORY_RECORDS_MAX;
}

/* Not at once: a later operation of the same command may put the key, or end the lease, or grant
 * another one under its id. */
static void end_left_leases(struct store *store)
{
    struct span_reader reader = span_reader_of(buf_span(&store->left_leases));
    while (reader.rest.len > 0) {
        struct lease *lease = lease_map_find(&store->leases, span_take_u64(&reader));
        bool own = lease != NULL && (lease->flags & STORE_LEASE_OWN) != 0;
        if (own && list_empty(&lease->keys)) {
            lease_map_remove(&store->leases, lease);
        }
    }
    buf_clear(&store->left_leases);
}

void mvcc_settle(struct store *store)
{
    struct watch_history *history = &store->history;
    end_left_leases(store);
    while (is_over(store) && history->compacted < store->revision) {
        int64_t oldest = watch_history_at(history, 0)->mod_revision;
        mvcc_compact(store, history->compacted < oldest ? oldest : oldest + 1);
    }
}

void mvcc_open_format_2(struct store *store)
{
    ASSERT(store->format == 1);
    store->format = 2;
    store->revision++;
    mvcc_compact(store, store->revision);
}

int64_t store_compacted(const struct store *store)
{
    return store->history.compacted;
}

/* --- invariants ------------------------------------------------------------------------------- */

static size_t check_chain(const struct store *store, const struct kv_record *newest)
{
    size_t old = is_tombstone(newest) ? 1 : 0;
    for (const struct kv_record *record = newest; record->older != NULL; record = record->older) {
        const struct kv_record *older = record->older;
        ASSERT(older->newer == record && older->mod_revision <= record->mod_revision);
        ASSERT(span_equal(kv_record_key(older), kv_record_key(record)));
        ASSERT(record->mod_revision > store->history.compacted ||
               older->mod_revision == record->mod_revision);
        ASSERT(!is_tombstone(record) || !is_tombstone(older));
        ASSERT(list_empty(&older->in_lease));
        old++;
    }
    return old;
}

static void check_map(const struct store *store, const struct kv_map *map, uint8_t flags,
                      size_t *old)
{
    kv_map_check(map);
    for (size_t i = 0; i < map->count; i++) {
        const struct kv_record *record = map->records[i];
        ASSERT(record->flags == flags && record->mod_revision <= store->revision);
        ASSERT((flags & KV_TOMBSTONE) != 0 ||
               (record->create_revision > 1 && record->create_revision <= record->mod_revision &&
                record->version >= 1));
        *old += check_chain(store, record);
    }
}

void mvcc_check(const struct store *store)
{
    const struct watch_history *history = &store->history;
    size_t old = 0;
    size_t old_bytes = 0;
    size_t graves = 0;
    watch_history_check(history);
    check_map(store, &store->kvs, 0, &old);
    check_map(store, &store->dirs, KV_DIRECTORY, &old);
    check_map(store, &store->graves, KV_TOMBSTONE, &old);
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_record *record = watch_history_at(history, i);
        bool newest = record->newer == NULL;
        ASSERT(record->mod_revision <= store->revision);
        if (newest && is_tombstone(record)) {
            graves += is_directory(record) ? 0 : 1;
            old += is_directory(record) ? check_chain(store, record) : 0;
        } else if (newest) {
            ASSERT(mvcc_find(store, kv_record_key(record), is_directory(record)) == record);
        }
        old_bytes += newest && !is_tombstone(record) ? 0 : kv_record_bytes(record);
        const struct kv_record *older = record->older; /* below the window: counted here */
        if (older != NULL && older->mod_revision < history->compacted) {
            old_bytes += kv_record_bytes(older);
        }
    }
    ASSERT(graves == store->graves.count);
    ASSERT(old == history->old_count && old_bytes == history->old_bytes);
    ASSERT(store->format == 1 || mvcc_is_within_limits(store));
}
