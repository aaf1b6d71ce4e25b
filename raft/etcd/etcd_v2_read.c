/* Reads of the v2 API. `quorum=true` is linearizable, the others are of what this member has.
 *
 * A directory that is large goes out in portions (etcd_portions.h): they share one bound with the
 * answers of v3. What is over it is refused with 300, and what is cut off ends in the middle, so
 * that no client takes it for whole. */
#include "raft/etcd/etcd_portions.h"
#include "raft/etcd/etcd_v2.h"
#include "raft/etcd/etcd_v2_tree.h"

#include "base/mem.h"

/* --- a large answer --------------------------------------------------------------------------- */

struct large_tree {
    struct etcd_service *service;
    struct http_exchange *exchange; /* NULL: it was answered, or its client has gone */
    struct etcd_v2_tree *tree;
    uint64_t index;
    struct buf first; /* the first portion, until it is given */
    bool started;
};

static void end_exchange(struct large_tree *large)
{
    http_stream_end(large->exchange);
    large->exchange = NULL;
}

static void on_gone(void *arg)
{
    end_exchange(arg);
}

static bool start(struct large_tree *large)
{
    struct buf headers = BUF_INIT;
    etcd_v2_put_headers(large->service, large->index, &headers);
    struct http1_response head = {
        .status = 200, .content_type = "application/json", .headers = buf_str(&headers)};
    large->started = true;
    if (http_stream_start(large->exchange, &head, on_gone, large) != 0) {
        large->exchange = NULL; /* nobody is there any more */
    } else {
        http_stream_send(large->exchange, buf_span(&large->first));
    }
    buf_free(&headers);
    buf_free(&large->first);
    return large->exchange != NULL;
}

static bool give(void *arg, struct buf *scratch)
{
    struct large_tree *large = arg;
    if (!large->started) {
        return start(large);
    }
    bool is_whole = etcd_v2_tree_encode(large->tree, ETCD_PORTION_BYTES, scratch);
    http_stream_send(large->exchange, buf_span(scratch));
    if (is_whole) {
        end_exchange(large);
    }
    return !is_whole;
}

static size_t pending(const void *arg)
{
    const struct large_tree *large = arg;
    return http_stream_pending(large->exchange);
}

static bool has_ended(const void *arg)
{
    return ((const struct large_tree *)arg)->exchange == NULL;
}

static void cut_off(void *arg, enum etcd_error error)
{
    struct large_tree *large = arg;
    (void)error; /* its head was sent: there is no way to say it */
    if (large->exchange != NULL) {
        http_stream_cut(large->exchange);
        large->exchange = NULL;
    }
}

static void release(void *arg)
{
    struct large_tree *large = arg;
    etcd_v2_tree_free(large->tree);
    buf_free(&large->first);
    mem_free(large);
}

/* Takes the tree, and the portion. False: too much is held already, and nothing was answered. */
static bool answer_large(const struct etcd_v2_call *call, struct etcd_v2_tree *tree, uint64_t index,
                         struct buf *portion_take)
{
    static const struct etcd_large_ops ops = {.give = give,
                                              .pending = pending,
                                              .has_ended = has_ended,
                                              .cut_off = cut_off,
                                              .release = release};
    struct large_tree *large = mem_new(struct large_tree);
    *large = (struct large_tree){.service = call->service,
                                 .exchange = call->exchange,
                                 .tree = tree,
                                 .index = index,
                                 .first = *portion_take};
    *portion_take = (struct buf)BUF_INIT;
    struct etcd_large answer = {
        .ops = &ops, .arg = large, .bytes = sizeof *large + etcd_v2_tree_held(tree)};
    if (etcd_portions_answer(call->service, &answer, NULL) != 0) {
        release(large);
        return false;
    }
    return true;
}

static void fail(struct etcd_v2_call *call, enum etcd_error error)
{
    etcd_service_v2(call->service)->failures[ETCD_V2_COUNT_GET]++;
    etcd_v2_reply_failure(call, error);
}

static void succeed(struct etcd_v2_call *call, uint64_t index, struct span body)
{
    etcd_service_v2(call->service)->successes[ETCD_V2_COUNT_GET]++;
    etcd_v2_reply(call, 200, index, body);
}

static void answer_directory(struct etcd_v2_call *call, const struct store *store,
                             const struct store_v2_node *node)
{
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    uint64_t index = (uint64_t)store_revision(store);
    struct etcd_v2_tree *tree = etcd_v2_tree_new(store, node, &now, call->request.recursive);
    struct buf body = BUF_INIT;
    if (etcd_v2_tree_encode(tree, ETCD_PORTION_BYTES, &body)) {
        succeed(call, index, buf_span(&body));
        etcd_v2_tree_free(tree);
    } else if (answer_large(call, tree, index, &body)) {
        etcd_service_v2(call->service)->successes[ETCD_V2_COUNT_GET]++;
        etcd_v2_call_free(call);
    } else {
        fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
    }
    buf_free(&body);
}

/* --- any answer ------------------------------------------------------------------------------- */

static void answer_file(struct etcd_v2_call *call, const struct store *store,
                        const struct store_v2_node *from)
{
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    struct etcd_v2_node node;
    struct buf body = BUF_INIT;
    etcd_v2_node_of_store(from, &node);
    if (from->lease != 0) {
        etcd_v2_node_set_ttl(&node, &now,
                             store_lease_remaining_ms(store, from->lease, now.lease_ms));
    }
    etcd_v2_answer(etcd_v2_action(ETCD_V2_OP_GET), &node, NULL, &body);
    succeed(call, (uint64_t)store_revision(store), buf_span(&body));
    buf_free(&body);
}

static void answer_now(struct etcd_v2_call *call)
{
    const struct store *store = etcd_service_store(call->service);
    struct store_v2_node node;
    struct span cause;
    if (store == NULL) {
        fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    enum store_reason reason = store_v2_get(store, call->request.key, &node, &cause);
    if (reason != STORE_NO_REASON) {
        etcd_service_v2(call->service)->failures[ETCD_V2_COUNT_GET]++;
        etcd_v2_reply_error(call, (enum etcd_v2_error)reason, cause,
                            (uint64_t)store_revision(store));
        return;
    }
    if (node.directory) {
        answer_directory(call, store, &node);
    } else {
        answer_file(call, store, &node);
    }
}

static void on_read(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    (void)result;
    if (rc != 0) {
        fail(arg, error);
    } else {
        answer_now(arg);
    }
}

void etcd_v2_read(struct etcd_v2_call *call)
{
    if (call->request.quorum) {
        etcd_service_read(call->service, on_read, call);
    } else {
        answer_now(call);
    }
}
