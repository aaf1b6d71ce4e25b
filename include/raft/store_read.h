/* Reads of the store in etcd's terms: ranges at any revision that is kept, events for watches, what
 * leases still have. All pure and local; raft_node_read makes a read linearizable.
 *
 * Values are never copied: a result holds references to immutable versions. It stays whole whatever
 * is applied or compacted afterwards, until it is closed, so that a large answer may be encoded in
 * portions over several turns of the loop. One call looks at STORE_KEYS_MAX keys and
 * STORE_HISTORY_RECORDS_MAX older versions at most (milliseconds, docs/benchmarks.md); who wants
 * less work per call reads in parts (store_range_walk). */
#ifndef RAFT_STORE_READ_H
#define RAFT_STORE_READ_H

#include "raft/store.h"

struct kv_record;

/* How full it is: what STORE_KEYS_MAX, STORE_BYTES_MAX and STORE_LEASES_MAX bound. */
struct store_usage {
    size_t keys;  /* and directories */
    size_t bytes; /* of the present versions */
    size_t old_bytes;
    size_t leases;
};
void store_usage(const struct store *store, struct store_usage *ret_usage);

/* --- references to versions ------------------------------------------------------------------- */

struct store_kvs {
    struct kv_record **records;
    size_t count;
    size_t capacity;
    bool keys_only;
};

void store_kvs_get(const struct store_kvs *kvs, size_t at, struct store_kv *ret_kv);
void store_kvs_close(struct store_kvs *kvs); /* zeroed is closed */

/* --- ranges ----------------------------------------------------------------------------------- */

enum store_sort_order { STORE_SORT_NONE = 0, STORE_SORT_ASCEND = 1, STORE_SORT_DESCEND = 2 };
enum store_sort_target {
    STORE_SORT_KEY = 0,
    STORE_SORT_VERSION = 1,
    STORE_SORT_CREATE = 2,
    STORE_SORT_MOD = 3,
    STORE_SORT_VALUE = 4
};

struct store_range {
    struct span key;
    struct span range_end; /* empty: `key` alone; one zero byte: all from `key` on */
    int64_t revision;      /* <= 0: the present one */
    int64_t limit;         /* <= 0: none */
    enum store_sort_order order;
    enum store_sort_target
        target; /* other than KEY, without order: ascending. Equal ones: by key, in either order */
    bool keys_only;
    bool count_only;
    int64_t min_mod; /* 0 = no bound, here and below; bounds and sorting come before the limit */
    int64_t max_mod;
    int64_t min_create;
    int64_t max_create;
};

struct store_range_result {
    struct store_kvs kvs;
    int64_t count;    /* keys of the range at that revision, whatever limit and bounds say */
    bool more;        /* the limit cut some off */
    int64_t revision; /* the present one, also of a read in the past */
};

/* ERR_NOT_FOUND: the revision is compacted. ERR_INVALID: it is in the future. */
int store_range(const struct store *store, const struct store_range *range,
                struct store_range_result *ret_result, struct error *err) MUST_CHECK;

/* The same in parts. All of it is of the revision that it began at, whatever is applied in between;
 * keys of the range are copied. */
struct store_range_walk;
int store_range_walk_new(const struct store *store, const struct store_range *range,
                         struct store_range_walk **ret_walk, struct error *err) MUST_CHECK;
void store_range_walk_free(struct store_range_walk *walk); /* NULL is accepted */
/* Looks at `looks_max` (> 0) keys at most: found, sorted and left out ones count alike, and so does
 * each newer version of a key that is passed on the way to the one that is read; only those of one
 * key are never divided. `store` is the one that it began with, or has become of it by commands and
 * snapshots. ERR_NOT_FOUND, as above: its revision was compacted meanwhile, begin anew. */
int store_range_walk_step(struct store_range_walk *walk, const struct store *store,
                          size_t looks_max, size_t *ret_looks, struct error *err) MUST_CHECK;
bool store_range_walk_is_done(const struct store_range_walk *walk);
/* Of one that is done. Once. */
void store_range_walk_take(struct store_range_walk *walk, struct store_range_result *ret_result);

/* Is `key` in [first, range_end)? */
bool store_range_has(struct span first, struct span range_end, struct span key);

/* --- watches ---------------------------------------------------------------------------------- */

struct store_watch {
    struct span key;
    struct span range_end;
    bool no_put;
    bool no_delete;
    bool prev_kv;
    bool directories; /* those of the v2 dialect, too */
};

struct store_events {
    struct store_kvs kvs;      /* count of events; a delete has key and mod_revision only */
    struct store_kvs prev_kvs; /* in the same places, if the watch asks for them */
    int64_t next_revision;     /* all below it was looked at: go on from here */
};

/* Events from `from_revision` on, whole revisions, in their order. Ends with the revision in which
 * it has looked at `events_max` events or found `bytes_max` bytes: call again from next_revision,
 * until that is above the present revision. A start in the future gives nothing and stays where it
 * is. ERR_NOT_FOUND: compacted (store_compacted says up to where). */
int store_events(const struct store *store, const struct store_watch *watch, int64_t from_revision,
                 size_t events_max, size_t bytes_max, struct store_events *ret_events,
                 struct error *err) MUST_CHECK;
/* `ret_prev`: the value at mod_revision - 1; returns whether there is one (it was there, the watch
 * asked for it, and it is not compacted). NULL is accepted. */
bool store_events_get(const struct store_events *events, size_t at, struct store_event *ret_event,
                      struct store_kv *ret_prev);
void store_events_close(struct store_events *events);

/* --- leases ----------------------------------------------------------------------------------- */

#define STORE_LEASE_TTL_S_MAX ((int64_t)9000000000) /* etcd's: more is "too large lease TTL" */

/* What remains as this member counts it, in ms; -1 = no such lease. */
int64_t store_lease_remaining_ms(const struct store *store, uint64_t lease, int64_t now_ms);
/* Keys on the lease, in key order; no directories. */
void store_lease_keys(const struct store *store, uint64_t lease, struct store_kvs *ret_kvs);
/* A positive id that no lease has, from random bits: what a proposer grants when the client leaves
 * the choice to it. */
uint64_t store_lease_id(const struct store *store, uint64_t random);
/* The ttl that is granted to who asks for `ttl_s`: at least 1.5 election timeouts in whole seconds,
 * at most STORE_LEASE_TTL_MS_MAX. */
int64_t store_lease_ttl_ms(int64_t ttl_s, int64_t election_timeout_ms);

#endif
