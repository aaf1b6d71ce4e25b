/* asked -> (its place in the log) -> at once
 *                                \-> waiting -> walk -> convert -> reply
 *
 * One timer for the line, which is there as long as somebody waits. A walk stays with the revision
 * that it began at. Where that is compacted meanwhile (a full store keeps no old versions) a read
 * of the present begins anew, with twice the keys a turn: so it comes to its end, at the latest
 * when a turn takes all that the store can have. */
#include "raft/etcd/etcd_range.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_kv_reply.h"
#include "raft/etcd/etcd_service.h"

enum { TURN_MS = 1 };

/* More than all keys of a store with all their versions. */
#define TURN_KEYS_MAX (4 * (STORE_KEYS_MAX + STORE_HISTORY_RECORDS_MAX))

struct etcd_ranges {
    struct etcd_ranges **owner;
    uv_timer_t timer;
    struct list lookups; /* the first is looked up */
    size_t count;
    size_t turn_keys;
};

struct lookup {
    struct list link;
    struct etcd_call *call;
    struct store_range range; /* its keys are in `keys` */
    struct buf keys;
    size_t turn_keys_max;
    uint64_t cluster; /* whose store the walk has begun with */
    struct store_range_walk *walk;
    struct etcd_kv_reply *reply; /* it is being converted */
};

/* --- one -------------------------------------------------------------------------------------- */

static struct lookup *lookup_new(struct etcd_call *call, const struct store_range *range)
{
    struct lookup *lookup = mem_new(struct lookup);
    lookup->call = etcd_call_ref(call);
    lookup->range = *range;
    lookup->turn_keys_max = ETCD_RANGE_TURN_KEYS;
    buf_put_span(&lookup->keys, range->key);
    buf_put_span(&lookup->keys, range->range_end);
    lookup->range.key = span_of(lookup->keys.data, range->key.len);
    lookup->range.range_end = span_of(lookup->keys.data + range->key.len, range->range_end.len);
    return lookup;
}

static void lookup_free(struct lookup *lookup)
{
    store_range_walk_free(lookup->walk);
    etcd_kv_reply_free(lookup->reply);
    etcd_call_unref(lookup->call);
    buf_free(&lookup->keys);
    mem_free(lookup);
}

static uint64_t cluster_of(const struct lookup *lookup)
{
    struct etcd_header header;
    etcd_service_header(lookup->call->service, &header);
    return header.cluster_id;
}

static void begin_anew(struct lookup *lookup)
{
    store_range_walk_free(lookup->walk);
    lookup->walk = NULL;
    if (lookup->turn_keys_max < TURN_KEYS_MAX) {
        lookup->turn_keys_max *= 2;
    }
}

/* Looks at `keys_max` keys at most; false: the call has failed. */
static bool walk_on(struct lookup *lookup, size_t keys_max, size_t *ret_keys)
{
    const struct store *store = etcd_service_store(lookup->call->service);
    int rc = 0;
    *ret_keys = 0;
    if (store == NULL) {
        etcd_call_fail(lookup->call, ETCD_ERROR_NO_LEADER);
        return false;
    }
    if (lookup->walk != NULL && lookup->cluster != cluster_of(lookup)) {
        begin_anew(lookup); /* this member has joined another group */
    }
    if (lookup->walk == NULL) {
        lookup->cluster = cluster_of(lookup);
        rc = store_range_walk_new(store, &lookup->range, &lookup->walk, NULL);
    }
    if (rc == 0) {
        rc = store_range_walk_step(lookup->walk, store, keys_max, ret_keys, NULL);
    }
    if (rc == ERR_NOT_FOUND && lookup->range.revision <= 0) {
        begin_anew(lookup);
    } else if (rc != 0) {
        etcd_call_fail(lookup->call,
                       rc == ERR_INVALID ? ETCD_ERROR_FUTURE_REVISION : ETCD_ERROR_COMPACTED);
        return false;
    }
    return true;
}

static void begin_reply(struct lookup *lookup)
{
    struct etcd_kv_reply *reply = etcd_kv_reply_new(NULL);
    store_range_walk_take(lookup->walk, &reply->found);
    etcd_kv_header(lookup->call, reply->found.revision, &reply->header);
    reply->of.range.header = &reply->header;
    lookup->reply = reply;
}

/* False: it was sent, or is too large. */
static bool convert(struct lookup *lookup, size_t keys_max, size_t *ret_keys)
{
    struct etcd_kv_reply *reply = lookup->reply;
    struct etcd_range_response *response = &reply->of.range;
    size_t before = response->kvs_count;
    bool fits = etcd_kv_answer_range_part(&reply->answer, &reply->found, keys_max, response);
    *ret_keys = response->kvs_count - before;
    if (fits && response->kvs_count < reply->found.kvs.count) {
        return true;
    }
    lookup->reply = NULL;
    etcd_kv_reply_send(lookup->call, reply, fits, ETCD_ERROR_TOO_MANY_REQUESTS);
    return false;
}

enum progress { IS_OVER, GOES_ON, HAD_ITS_TURN };

/* With `*keys` of the turn left. */
static enum progress go_on(struct lookup *lookup, size_t *keys)
{
    size_t took = 0;
    if (etcd_call_has_ended(lookup->call)) {
        return IS_OVER;
    }
    bool goes_on =
        lookup->reply != NULL ? convert(lookup, *keys, &took) : walk_on(lookup, *keys, &took);
    *keys = took < *keys ? *keys - took : 0;
    if (!goes_on) {
        return IS_OVER;
    }
    if (lookup->reply == NULL && lookup->walk != NULL) {
        if (!store_range_walk_is_done(lookup->walk)) {
            return HAD_ITS_TURN;
        }
        begin_reply(lookup);
    }
    return *keys > 0 ? GOES_ON : HAD_ITS_TURN;
}

/* --- the line --------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void close_if_empty(struct etcd_ranges *ranges)
{
    if (ranges->count == 0) {
        *ranges->owner = NULL;
        uv_close((uv_handle_t *)&ranges->timer, on_timer_closed);
    }
}

static void leave(struct etcd_ranges *ranges, struct lookup *lookup)
{
    list_remove(&lookup->link);
    ranges->count--;
    lookup_free(lookup);
}

/* The first until it had its turn; when it is over, the next, with what is left. */
static void on_turn(uv_timer_t *timer)
{
    struct etcd_ranges *ranges = timer->data;
    enum progress progress = IS_OVER;
    size_t given = LIST_OWNER(ranges->lookups.next, struct lookup, link)->turn_keys_max;
    size_t keys = given;
    LIST_EACH(item, &ranges->lookups)
    {
        struct lookup *lookup = LIST_OWNER(item, struct lookup, link);
        do {
            progress = keys == 0 ? HAD_ITS_TURN : go_on(lookup, &keys);
        } while (progress == GOES_ON);
        if (progress == HAD_ITS_TURN) {
            break;
        }
        leave(ranges, lookup);
    }
    ranges->turn_keys = given - keys;
    close_if_empty(ranges);
}

static struct etcd_ranges *ranges_of(struct etcd_service *service)
{
    struct etcd_ranges **owner = etcd_service_ranges(service);
    if (*owner == NULL) {
        struct etcd_ranges *ranges = mem_new(struct etcd_ranges);
        ranges->owner = owner;
        ranges->timer.data = ranges;
        list_init(&ranges->lookups);
        (void)uv_timer_init(etcd_service_config(service)->loop, &ranges->timer);
        (void)uv_timer_start(&ranges->timer, on_turn, TURN_MS, TURN_MS);
        *owner = ranges;
    }
    return *owner;
}

static void wait_in_line(struct lookup *lookup)
{
    struct etcd_ranges *ranges = ranges_of(lookup->call->service);
    if (ranges->count == ETCD_RANGES_MAX) {
        etcd_call_fail(lookup->call, ETCD_ERROR_TOO_MANY_REQUESTS);
        lookup_free(lookup);
        return;
    }
    ranges->count++;
    list_append(&ranges->lookups, &lookup->link);
}

struct etcd_ranges_stats etcd_ranges_stats(struct etcd_service *service)
{
    const struct etcd_ranges *ranges = *etcd_service_ranges(service);
    struct etcd_ranges_stats stats = {.waiting = 0};
    if (ranges != NULL) {
        stats = (struct etcd_ranges_stats){ranges->count, ranges->turn_keys};
    }
    return stats;
}

void etcd_ranges_stop(struct etcd_service *service)
{
    struct etcd_ranges *ranges = *etcd_service_ranges(service);
    if (ranges == NULL) {
        return;
    }
    LIST_EACH(item, &ranges->lookups)
    {
        struct lookup *lookup = LIST_OWNER(item, struct lookup, link);
        etcd_call_fail(lookup->call, ETCD_ERROR_STOPPED);
        leave(ranges, lookup);
    }
    close_if_empty(ranges);
}

/* --- Range ------------------------------------------------------------------------------------ */

/* Takes the lookup. Where it is too much for at once, what was looked at is given up again: those
 * in the line hold nothing of the store. */
static void answer(struct lookup *lookup)
{
    size_t keys = 0;
    bool goes_on = walk_on(lookup, ETCD_RANGE_AT_ONCE_KEYS, &keys);
    if (goes_on && lookup->walk != NULL && store_range_walk_is_done(lookup->walk)) {
        begin_reply(lookup);
        goes_on = convert(lookup, SIZE_MAX, &keys);
        ASSERT(!goes_on);
    }
    if (goes_on) {
        store_range_walk_free(lookup->walk);
        lookup->walk = NULL;
        wait_in_line(lookup);
    } else {
        lookup_free(lookup);
    }
}

static void on_read(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct lookup *lookup = arg;
    (void)result;
    if (rc != 0) {
        etcd_call_fail(lookup->call, error);
    }
    if (etcd_call_has_ended(lookup->call)) {
        lookup_free(lookup);
    } else {
        answer(lookup);
    }
}

void etcd_kv_range(struct etcd_call *call, const void *message)
{
    const struct etcd_range_request *request = message;
    struct store_range range = etcd_kv_range_of(request);
    if (request->key.len == 0) {
        etcd_call_fail(call, ETCD_ERROR_EMPTY_KEY);
    } else if (range.key.len > STORE_KEY_BYTES_MAX || range.range_end.len > STORE_KEY_BYTES_MAX) {
        etcd_call_fail(call, ETCD_ERROR_REQUEST_TOO_LARGE); /* as of every other request */
    } else if (request->serializable) {
        answer(lookup_new(call, &range));
    } else {
        etcd_service_read(call->service, on_read, lookup_new(call, &range));
    }
}
