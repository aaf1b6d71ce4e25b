/* Reads of the v2 API. `quorum=true` is linearizable, the others are of what this member has.
 *
 * What is large goes out in portions, the next when the one before was taken: one -> (timer ->
 * portion) ... -> end. All large answers together get one portion a turn of the loop, the oldest
 * first. A client that takes too long is cut off, since what it reads is held for it. */
#include "raft/etcd/etcd_v2.h"
#include "raft/etcd/etcd_v2_tree.h"

#include "base/mem.h"

#include <uv.h>

enum {
    PORTION_BYTES = 128 * 1024,
    PORTION_MS = 1,
    TREE_MS = 60 * 1000,
};

/* --- a large answer --------------------------------------------------------------------------- */

struct tree_answer {
    struct etcd_v2_state *state;
    struct http_exchange *exchange;
    struct etcd_v2_tree *tree;
    uv_timer_t timer;
    uint64_t until_ms; /* of the loop */
};

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void end_answer(struct tree_answer *answer)
{
    http_stream_end(answer->exchange);
    etcd_v2_tree_free(answer->tree);
    answer->state->trees--;
    uv_close((uv_handle_t *)&answer->timer, on_closed);
}

static void on_gone(void *arg)
{
    end_answer(arg);
}

static void on_timer(uv_timer_t *timer)
{
    struct tree_answer *answer = timer->data;
    struct buf out = BUF_INIT;
    uint64_t now_ms = uv_now(timer->loop); /* the same for all timers of a turn */
    bool is_late = now_ms >= answer->until_ms;
    bool is_taken = answer->state->portion_ms == now_ms;
    if (!is_late && (is_taken || http_stream_pending(answer->exchange) > 0)) {
        return;
    }
    answer->state->portion_ms = now_ms;
    bool is_whole = is_late || etcd_v2_tree_encode(answer->tree, PORTION_BYTES, &out);
    if (out.len > 0) {
        http_stream_send(answer->exchange, buf_span(&out));
    }
    buf_free(&out);
    if (is_whole) {
        end_answer(answer);
    }
}

/* Takes the tree. */
static void start_answer(struct etcd_v2_call *call, struct etcd_v2_tree *tree, uint64_t index,
                         struct span portion)
{
    uv_loop_t *loop = etcd_service_config(call->service)->loop;
    struct tree_answer *answer = mem_new(struct tree_answer);
    struct buf headers = BUF_INIT;
    answer->state = etcd_service_v2(call->service);
    answer->exchange = call->exchange;
    etcd_v2_put_headers(call->service, index, &headers);
    struct http1_response head = {
        .status = 200, .content_type = "application/json", .headers = buf_str(&headers)};
    int rc = http_stream_start(call->exchange, &head, on_gone, answer);
    buf_free(&headers);
    if (rc != 0) { /* nobody is there any more */
        etcd_v2_tree_free(tree);
        mem_free(answer);
        return;
    }
    answer->tree = tree;
    answer->until_ms = uv_now(loop) + TREE_MS;
    answer->state->trees++;
    (void)uv_timer_init(loop, &answer->timer);
    answer->timer.data = answer;
    (void)uv_timer_start(&answer->timer, on_timer, PORTION_MS, PORTION_MS);
    http_stream_send(answer->exchange, portion);
}

static void answer_directory(struct etcd_v2_call *call, const struct store *store,
                             const struct store_v2_node *node)
{
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    uint64_t index = (uint64_t)store_revision(store);
    struct etcd_v2_tree *tree = etcd_v2_tree_new(store, node, &now, call->request.recursive);
    struct buf body = BUF_INIT;
    if (etcd_v2_tree_encode(tree, PORTION_BYTES, &body)) {
        etcd_v2_reply(call, 200, index, buf_span(&body));
        etcd_v2_tree_free(tree);
    } else if (etcd_service_v2(call->service)->trees < ETCD_V2_TREES_MAX) {
        start_answer(call, tree, index, buf_span(&body));
        etcd_v2_call_free(call);
    } else {
        etcd_v2_reply_failure(call, ETCD_ERROR_TOO_MANY_REQUESTS);
        etcd_v2_tree_free(tree);
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
    etcd_v2_reply(call, 200, (uint64_t)store_revision(store), buf_span(&body));
    buf_free(&body);
}

static void fail(struct etcd_v2_call *call, enum etcd_error error)
{
    etcd_service_v2(call->service)->failures[ETCD_V2_COUNT_GET]++;
    etcd_v2_reply_failure(call, error);
}

static void answer_now(struct etcd_v2_call *call)
{
    const struct store *store = etcd_service_store(call->service);
    struct etcd_v2_state *state = etcd_service_v2(call->service);
    struct store_v2_node node;
    struct span cause;
    if (store == NULL) {
        fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    enum store_reason reason = store_v2_get(store, call->request.key, &node, &cause);
    if (reason != STORE_NO_REASON) {
        state->failures[ETCD_V2_COUNT_GET]++;
        etcd_v2_reply_error(call, (enum etcd_v2_error)reason, cause,
                            (uint64_t)store_revision(store));
        return;
    }
    state->successes[ETCD_V2_COUNT_GET]++;
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
