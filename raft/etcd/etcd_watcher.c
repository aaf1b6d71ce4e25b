/* Watchers, and the hub that all of one service share.
 *
 * Most watchers are up to date and not concerned by what is new. So nobody but the hub looks at
 * each new revision: once for all, in a turn of its own after the change, and it wakes whom the new
 * keys may concern. A watcher that follows has therefore seen everything below the hub's next
 * revision, without being touched. One that is behind has its own next revision, and reads events
 * from the store until it has reached the hub's:
 *
 *     following --(a key of its range changed)--> behind --(read up to the hub's)--> following
 *     either --(pause)--> paused --(resume)--> either       behind --(compacted)--> over
 *
 * Those behind take turns: one bounded read each, for WATCHER_TURN_MS a turn of the loop. The last
 * read is kept for the next in the queue: a thousand watchers of one range that were woken by one
 * revision cost one read.
 *
 * Revisions never go back in one group. Should a member come to another store all the same (its
 * directory was replaced), whoever has seen more than that store has is told that it is compacted:
 * to wait for the same numbers might skip events. */
#include "raft/etcd/etcd_watcher.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    WATCHER_EVENTS = 1000,             /* of one read, and whole revisions */
    WATCHER_BYTES = 256 * 1024,        /* the same */
    WATCHER_TURN_MS = 5,               /* a turn is over after so long, or one read */
    WATCHER_SHARED_EVENTS_MAX = 16384, /* with more that is new, everybody looks for himself */
};

enum watcher_state { WATCHER_FOLLOWING, WATCHER_BEHIND, WATCHER_PAUSED, WATCHER_OVER };

struct etcd_watcher {
    struct list link; /* in the list of its state */
    struct etcd_watch_hub *hub;
    enum watcher_state state;
    bool is_lost; /* it has seen revisions that are not there */
    struct store_watch watch;
    int64_t next_revision; /* following: or the hub's, whichever is greater */
    struct etcd_watcher_events events;
    void *arg;
    uint8_t keys[];
};

/* A read that others may want, too. */
struct watcher_read {
    bool is_there;
    struct store_watch watch; /* its keys: in `keys` */
    int64_t from_revision;
    struct store_events events;
    struct buf keys;
    struct etcd_watcher_share share;
};

struct etcd_watch_hub {
    struct etcd_service *service;
    struct etcd_listener listener;
    uv_idle_t turn; /* active while there is work */
    struct list following;
    struct list behind;
    struct list paused;
    struct list over;
    size_t count;
    int64_t next_revision; /* 0: no store yet */
    struct watcher_read last;
    bool in_turn;
};

/* --- states ----------------------------------------------------------------------------------- */

static void on_turn(uv_idle_t *turn);

static void hub_arm(struct etcd_watch_hub *hub)
{
    (void)uv_idle_start(&hub->turn, on_turn);
}

static void move(struct etcd_watcher *watcher, enum watcher_state state)
{
    struct etcd_watch_hub *hub = watcher->hub;
    struct list *const lists[] = {[WATCHER_FOLLOWING] = &hub->following,
                                  [WATCHER_BEHIND] = &hub->behind,
                                  [WATCHER_PAUSED] = &hub->paused,
                                  [WATCHER_OVER] = &hub->over};
    ASSERT(watcher->state != WATCHER_OVER);
    watcher->state = state;
    list_remove(&watcher->link);
    list_append(lists[state], &watcher->link);
}

/* Where one that is not paused belongs. */
static void place(struct etcd_watcher *watcher)
{
    struct etcd_watch_hub *hub = watcher->hub;
    bool is_behind = watcher->next_revision != 0 && watcher->next_revision < hub->next_revision;
    if (watcher->is_lost || is_behind) {
        move(watcher, WATCHER_BEHIND);
        hub_arm(hub);
    } else {
        move(watcher, WATCHER_FOLLOWING);
    }
}

struct etcd_watcher_share *etcd_watcher_share(struct etcd_watcher *watcher)
{
    ASSERT(watcher->hub->last.is_there);
    return &watcher->hub->last.share;
}

int64_t etcd_watcher_next_revision(const struct etcd_watcher *watcher)
{
    int64_t hub_next = watcher->hub->next_revision;
    bool by_hub = watcher->state == WATCHER_FOLLOWING && watcher->next_revision < hub_next;
    return by_hub ? hub_next : watcher->next_revision;
}

static struct etcd_watcher *owner(struct list *item)
{
    return LIST_OWNER(item, struct etcd_watcher, link);
}

/* --- the look at what is new ------------------------------------------------------------------ */

static void wake(struct etcd_watcher *watcher)
{
    watcher->next_revision = etcd_watcher_next_revision(watcher);
    move(watcher, WATCHER_BEHIND);
}

static int by_bytes(const void *a, const void *b)
{
    return span_compare(*(const struct span *)a, *(const struct span *)b);
}

static struct span *sorted_keys(const struct store_events *events)
{
    size_t count = events->kvs.count;
    struct span *keys = mem_new_array(struct span, count);
    for (size_t i = 0; i < count; i++) {
        struct store_kv kv;
        store_kvs_get(&events->kvs, i, &kv);
        keys[i] = kv.key;
    }
    qsort(keys, count, sizeof *keys, by_bytes);
    return keys;
}

/* Is one of the keys in the range? If any is, the first that is not below it. */
static bool concerns(const struct store_watch *watch, const struct span *keys, size_t count)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(keys[middle], watch->key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && store_range_has(watch->key, watch->range_end, keys[low]);
}

static void wake_concerned(struct etcd_watch_hub *hub, const struct store_events *events)
{
    struct span *keys = sorted_keys(events);
    LIST_EACH(item, &hub->following)
    {
        if (concerns(&owner(item)->watch, keys, events->kvs.count)) {
            wake(owner(item));
        }
    }
    mem_free(keys);
}

static void wake_all(struct etcd_watch_hub *hub)
{
    LIST_EACH(item, &hub->following)
    {
        wake(owner(item));
    }
}

/* The first store: who has asked for nothing older begins here. */
static void hub_begin(struct etcd_watch_hub *hub, int64_t next_revision)
{
    struct list *const lists[] = {&hub->following, &hub->paused};
    hub->next_revision = next_revision;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        LIST_EACH(item, lists[i])
        {
            struct etcd_watcher *watcher = owner(item);
            if (watcher->next_revision == 0) {
                watcher->next_revision = next_revision;
            } else if (watcher->state == WATCHER_FOLLOWING) {
                place(watcher);
            }
        }
    }
}

/* Who waits for revisions that were never there goes on waiting. */
static void hub_went_back(struct etcd_watch_hub *hub, int64_t next_revision)
{
    struct list *const lists[] = {&hub->following, &hub->behind, &hub->paused};
    int64_t seen = hub->next_revision;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        LIST_EACH(item, lists[i])
        {
            struct etcd_watcher *watcher = owner(item);
            int64_t next = etcd_watcher_next_revision(watcher);
            watcher->is_lost = watcher->is_lost || (next > next_revision && next <= seen);
            if (watcher->is_lost && watcher->state == WATCHER_FOLLOWING) {
                wake(watcher);
            }
        }
    }
    hub->next_revision = next_revision;
}

static void hub_look(struct etcd_watch_hub *hub, const struct store *store)
{
    static const struct store_watch everything = {
        .range_end = {.data = (const uint8_t *)"", .len = 1}, .directories = true};
    int64_t next_revision = store_revision(store) + 1;
    struct store_events events;
    if (hub->next_revision == 0) {
        hub_begin(hub, next_revision);
    } else if (next_revision < hub->next_revision) {
        hub_went_back(hub, next_revision);
    }
    if (next_revision == hub->next_revision) {
        return;
    }
    if (store_events(store, &everything, hub->next_revision, SIZE_MAX, SIZE_MAX, &events, NULL) !=
        0) {
        wake_all(hub); /* they will find out that it is compacted */
    } else {
        if (events.kvs.count > WATCHER_SHARED_EVENTS_MAX) {
            wake_all(hub);
        } else if (events.kvs.count > 0) {
            wake_concerned(hub, &events);
        }
        store_events_close(&events);
    }
    hub->next_revision = next_revision;
}

/* --- reads ------------------------------------------------------------------------------------ */

static void read_close(struct watcher_read *read)
{
    if (read->is_there) {
        if (read->share.made != NULL) {
            read->share.free_made(read->share.made);
        }
        read->share = (struct etcd_watcher_share){.made = NULL};
        store_events_close(&read->events);
        read->is_there = false;
    }
}

static bool is_same(const struct store_watch *a, const struct store_watch *b)
{
    return a->no_put == b->no_put && a->no_delete == b->no_delete && a->prev_kv == b->prev_kv &&
           a->directories == b->directories && span_equal(a->key, b->key) &&
           span_equal(a->range_end, b->range_end);
}

static void copy_watch(const struct store_watch *watch, uint8_t *keys, struct store_watch *ret_copy)
{
    *ret_copy = *watch;
    ret_copy->key = span_of(keys, watch->key.len);
    ret_copy->range_end = span_of(keys + watch->key.len, watch->range_end.len);
}

/* The events that `watcher` is to get next; NULL: they are not kept any more. */
static const struct store_events *read_events(struct etcd_watch_hub *hub, const struct store *store,
                                              const struct etcd_watcher *watcher)
{
    struct watcher_read *last = &hub->last;
    int64_t from_revision = watcher->next_revision;
    if (last->is_there && last->from_revision == from_revision &&
        is_same(&last->watch, &watcher->watch)) {
        return &last->events;
    }
    read_close(last);
    if (store_events(store, &watcher->watch, from_revision, WATCHER_EVENTS, WATCHER_BYTES,
                     &last->events, NULL) != 0) {
        return NULL;
    }
    buf_clear(&last->keys);
    buf_put_span(&last->keys, watcher->watch.key);
    buf_put_span(&last->keys, watcher->watch.range_end);
    copy_watch(&watcher->watch, last->keys.data, &last->watch);
    last->from_revision = from_revision;
    last->is_there = true;
    return &last->events;
}

/* The watcher may be gone afterwards. */
static void serve(struct etcd_watch_hub *hub, const struct store *store,
                  struct etcd_watcher *watcher)
{
    const struct store_events *events = watcher->is_lost ? NULL : read_events(hub, store, watcher);
    if (events == NULL) {
        move(watcher, WATCHER_OVER);
        watcher->events.on_compacted(watcher->arg, store_compacted(store));
        return;
    }
    ASSERT(events->next_revision >= watcher->next_revision);
    watcher->next_revision = events->next_revision;
    place(watcher);
    if (events->kvs.count > 0) {
        watcher->events.on_events(watcher->arg, events);
    }
}

/* --- the hub ---------------------------------------------------------------------------------- */

static void on_turn_closed(uv_handle_t *turn)
{
    mem_free(turn->data);
}

static void hub_close(struct etcd_watch_hub *hub)
{
    *etcd_service_watch_hub(hub->service) = NULL;
    etcd_service_unlisten(hub->service, &hub->listener);
    buf_free(&hub->last.keys);
    uv_close((uv_handle_t *)&hub->turn, on_turn_closed);
}

static void on_turn(uv_idle_t *turn)
{
    struct etcd_watch_hub *hub = turn->data;
    const struct store *store = etcd_service_store(hub->service);
    uint64_t until = uv_hrtime() + (uint64_t)WATCHER_TURN_MS * 1000000;
    hub->in_turn = true;
    if (store != NULL) {
        hub_look(hub, store);
    }
    while (store != NULL && !list_empty(&hub->behind)) {
        serve(hub, store, owner(list_first(&hub->behind)));
        store = uv_hrtime() < until ? etcd_service_store(hub->service) : NULL;
    }
    read_close(&hub->last);
    hub->in_turn = false;
    if (hub->count == 0) {
        hub_close(hub);
    } else if (list_empty(&hub->behind) || etcd_service_store(hub->service) == NULL) {
        (void)uv_idle_stop(&hub->turn); /* the next change starts it again */
    }
}

static void on_change(void *arg)
{
    hub_arm(arg);
}

static struct etcd_watch_hub *hub_get(struct etcd_service *service)
{
    struct etcd_watch_hub **hub = etcd_service_watch_hub(service);
    const struct store *store = etcd_service_store(service);
    if (*hub != NULL) {
        return *hub;
    }
    *hub = mem_new(struct etcd_watch_hub);
    (*hub)->service = service;
    (*hub)->next_revision = store == NULL ? 0 : store_revision(store) + 1;
    list_init(&(*hub)->following);
    list_init(&(*hub)->behind);
    list_init(&(*hub)->paused);
    list_init(&(*hub)->over);
    (*hub)->listener.on_change = on_change;
    (*hub)->listener.arg = *hub;
    etcd_service_listen(service, &(*hub)->listener);
    (*hub)->turn.data = *hub;
    (void)uv_idle_init(etcd_service_config(service)->loop, &(*hub)->turn);
    return *hub;
}

size_t etcd_watcher_count(struct etcd_service *service)
{
    const struct etcd_watch_hub *hub = *etcd_service_watch_hub(service);
    return hub == NULL ? 0 : hub->count;
}

/* --- a watcher -------------------------------------------------------------------------------- */

struct etcd_watcher *etcd_watcher_new(struct etcd_service *service, const struct store_watch *watch,
                                      int64_t from_revision,
                                      const struct etcd_watcher_events *events, void *arg)
{
    const struct store *store = etcd_service_store(service);
    struct etcd_watch_hub *hub = hub_get(service);
    struct etcd_watcher *watcher =
        mem_alloc(sizeof *watcher + watch->key.len + watch->range_end.len);
    if (watch->key.len > 0) {
        memcpy(watcher->keys, watch->key.data, watch->key.len);
    }
    if (watch->range_end.len > 0) {
        memcpy(watcher->keys + watch->key.len, watch->range_end.data, watch->range_end.len);
    }
    copy_watch(watch, watcher->keys, &watcher->watch);
    watcher->hub = hub;
    watcher->events = *events;
    watcher->arg = arg;
    watcher->next_revision = from_revision;
    if (from_revision == 0 && store != NULL) {
        watcher->next_revision = store_revision(store) + 1;
    }
    hub->count++;
    place(watcher);
    return watcher;
}

void etcd_watcher_free(struct etcd_watcher *watcher)
{
    if (watcher == NULL) {
        return;
    }
    struct etcd_watch_hub *hub = watcher->hub;
    list_remove(&watcher->link);
    mem_free(watcher);
    hub->count--;
    if (hub->count == 0 && !hub->in_turn) {
        hub_close(hub);
    }
}

void etcd_watcher_pause(struct etcd_watcher *watcher)
{
    if (watcher->state == WATCHER_FOLLOWING || watcher->state == WATCHER_BEHIND) {
        watcher->next_revision = etcd_watcher_next_revision(watcher);
        move(watcher, WATCHER_PAUSED);
    }
}

void etcd_watcher_resume(struct etcd_watcher *watcher)
{
    if (watcher->state == WATCHER_PAUSED) {
        place(watcher);
    }
}

void etcd_watcher_rewind(struct etcd_watcher *watcher, int64_t revision)
{
    ASSERT(revision > 0 && revision < etcd_watcher_next_revision(watcher));
    watcher->next_revision = revision;
    if (watcher->state == WATCHER_FOLLOWING) {
        move(watcher, WATCHER_BEHIND);
        hub_arm(watcher->hub);
    }
}
