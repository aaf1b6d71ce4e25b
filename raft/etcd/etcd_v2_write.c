/* Writes of the v2 API: one command each, decided where it is applied. A ttl is a lease of the
 * key's own, whose id is chosen here.
 *
 * A command that had to be sent again may have been applied the first time: then its outcome is
 * known and what it gave is not. A refusal changed nothing, so it is asked for anew; what a write
 * that was done gave stands in the history. */
#include "raft/etcd/etcd_v2.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

enum { ATTEMPTS_MAX = 3, POST_NAME_BYTES = 21 };

static void propose(struct etcd_v2_call *call);

static void count(const struct etcd_v2_call *call, bool success)
{
    static const enum etcd_v2_counter counters[] = {
        [ETCD_V2_OP_SET] = ETCD_V2_COUNT_SET,
        [ETCD_V2_OP_CREATE] = ETCD_V2_COUNT_CREATE,
        [ETCD_V2_OP_UPDATE] = ETCD_V2_COUNT_UPDATE,
        [ETCD_V2_OP_COMPARE_AND_SWAP] = ETCD_V2_COUNT_SWAP,
        [ETCD_V2_OP_CREATE_IN_ORDER] = ETCD_V2_COUNT_CREATE,
        [ETCD_V2_OP_DELETE] = ETCD_V2_COUNT_DELETE,
        [ETCD_V2_OP_COMPARE_AND_DELETE] = ETCD_V2_COUNT_COMPARE_DELETE,
    };
    struct etcd_v2_state *state = etcd_service_v2(call->service);
    (success ? state->successes : state->failures)[counters[call->request.op]]++;
}

/* --- refusals --------------------------------------------------------------------------------- */

static void fail(struct etcd_v2_call *call, enum etcd_error error)
{
    count(call, false);
    etcd_v2_reply_failure(call, error);
}

static void refuse_holders(struct etcd_v2_call *call, uint64_t index)
{
    struct buf cause = BUF_INIT;
    buf_put_span(&cause, call->request.key);
    buf_put_str(&cause, ": a leader key that an agent of pgquorum holds is changed by it alone");
    etcd_v2_reply_error(call, ETCD_V2_UNAUTHORIZED, buf_span(&cause), index);
    buf_free(&cause);
}

static void refuse(struct etcd_v2_call *call, const struct store_result *result)
{
    uint64_t index = (uint64_t)result->revision;
    if (result->reason < STORE_V2_KEY_NOT_FOUND) {
        fail(call, etcd_service_refusal(result));
        return;
    }
    count(call, false);
    if (result->reason == STORE_V2_UNAUTHORIZED) {
        refuse_holders(call, index);
        return;
    }
    struct span cause =
        result->output == NULL ? call->request.key : buf_span(&result->output->cause);
    if (result->reason == STORE_V2_NOT_FILE && call->request.key.len == 1) {
        cause = span_of(NULL, 0); /* the root has no name */
    }
    etcd_v2_reply_error(call, (enum etcd_v2_error)result->reason, cause, index);
}

/* --- success ---------------------------------------------------------------------------------- */

static void succeed(struct etcd_v2_call *call, int64_t revision, const struct etcd_v2_node *node,
                    const struct etcd_v2_node *prev)
{
    enum etcd_v2_op op = call->request.op;
    bool is_delete = op == ETCD_V2_OP_DELETE || op == ETCD_V2_OP_COMPARE_AND_DELETE;
    bool is_created = op == ETCD_V2_OP_CREATE || op == ETCD_V2_OP_CREATE_IN_ORDER ||
                      (op == ETCD_V2_OP_SET && prev == NULL);
    bool is_short = call->request.no_value_on_success && !is_delete;
    struct buf body = BUF_INIT;
    count(call, true);
    etcd_v2_answer(etcd_v2_action(op), is_short ? NULL : node, is_short ? NULL : prev, &body);
    etcd_v2_reply(call, is_created ? 201 : 200, (uint64_t)revision, buf_span(&body));
    buf_free(&body);
}

/* Of a ttl that went with the write only this member's count from before it is left. */
static void set_old_ttl(const struct etcd_v2_call *call, const struct store_v2_node *from,
                        const struct etcd_v2_now *now, struct etcd_v2_node *node)
{
    const int64_t ms_ns = 1000 * 1000;
    if (from->lease == 0) {
        return;
    }
    if (from->lease != call->old_lease) { /* it was made in between */
        etcd_v2_node_set_ttl(node, now, from->ttl_ms);
        return;
    }
    int64_t remaining_ms = call->old_expiration_ns / ms_ns - now->wall_ms;
    etcd_v2_node_set_ttl(node, now, remaining_ms < 0 ? 0 : remaining_ms);
    node->expiration_ns = call->old_expiration_ns;
}

static void succeed_with_output(struct etcd_v2_call *call, const struct store_result *result)
{
    const struct store_v2_node *from = &result->output->node;
    const struct store_v2_node *from_prev = &result->output->prev;
    const struct store *store = etcd_service_store(call->service);
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    bool is_deleted =
        call->request.op == ETCD_V2_OP_DELETE || call->request.op == ETCD_V2_OP_COMPARE_AND_DELETE;
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    etcd_v2_node_of_store(from, &node);
    node.has_value = node.has_value && !is_deleted;
    if (from->lease != 0) {
        int64_t remaining_ms =
            store == NULL ? -1 : store_lease_remaining_ms(store, from->lease, now.lease_ms);
        etcd_v2_node_set_ttl(&node, &now, remaining_ms < 0 ? from->ttl_ms : remaining_ms);
    }
    if (from_prev->there) {
        etcd_v2_node_of_store(from_prev, &prev);
        set_old_ttl(call, from_prev, &now, &prev);
    }
    succeed(call, result->revision, &node, from_prev->there ? &prev : NULL);
}

/* --- what was applied before ------------------------------------------------------------------ */

static bool is_own(const struct store_event *event, struct span path)
{
    return store_v2_event_action(event, path, false) != NULL ||
           (event->action == STORE_ACTION_REFRESH && span_equal(event->kv.key, path));
}

/* False: the history does not say. */
static bool succeed_from(struct etcd_v2_call *call, const struct store *store, int64_t revision,
                         const struct store_events *events, struct span path)
{
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    for (size_t i = 0; i < events->kvs.count; i++) {
        struct store_event event;
        struct etcd_v2_node node;
        struct etcd_v2_node prev;
        (void)store_events_get(events, i, &event, NULL);
        if (event.kv.mod_revision == revision && is_own(&event, path)) {
            bool has_prev = etcd_v2_node_of_event(store, events, i, &now, &node, &prev);
            succeed(call, revision, &node, has_prev ? &prev : NULL);
            return true;
        }
    }
    return false;
}

static void succeed_from_history(struct etcd_v2_call *call, const struct store_result *result)
{
    const struct store *store = etcd_service_store(call->service);
    struct store_events events = {0};
    struct buf path = BUF_INIT;
    struct buf end = BUF_INIT;
    bool answered = false;
    buf_put_span(&path, call->request.key);
    if (call->request.op == ETCD_V2_OP_CREATE_IN_ORDER) {
        path.len = path.len == 1 ? 0 : path.len; /* the root is "/" itself */
        buf_printf(&path, "/%020lld", (long long)result->revision);
    }
    buf_put_span(&end, buf_span(&path));
    buf_put_u8(&end, '/' + 1); /* what is below it, too */
    struct store_watch watch = {
        .key = buf_span(&path), .range_end = buf_span(&end), .prev_kv = true, .directories = true};
    if (store != NULL && store_events(store, &watch, result->revision, 1, 1, &events, NULL) == 0) {
        answered = succeed_from(call, store, result->revision, &events, buf_span(&path));
        store_events_close(&events);
    }
    if (!answered) {
        fail(call, ETCD_ERROR_TIMEOUT); /* it was applied, and nobody can say how any more */
    }
    buf_free(&path);
    buf_free(&end);
}

/* --- the command ------------------------------------------------------------------------------ */

static void on_applied(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_v2_call *call = arg;
    if (rc != 0) {
        fail(call, error);
        return;
    }
    bool is_blind = result->output == NULL;
    bool is_again = (is_blind && result->code != 0) || result->reason == STORE_LEASE_PROVIDED;
    if (is_again && call->attempts < ATTEMPTS_MAX) {
        propose(call);
    } else if (result->code != 0) {
        refuse(call, result);
    } else if (is_blind) {
        succeed_from_history(call, result);
    } else {
        succeed_with_output(call, result);
    }
}

static enum store_v2_type type_of(enum etcd_v2_op op)
{
    switch (op) {
    case ETCD_V2_OP_SET: return STORE_V2_SET;
    case ETCD_V2_OP_CREATE: return STORE_V2_CREATE;
    case ETCD_V2_OP_UPDATE: return STORE_V2_UPDATE;
    case ETCD_V2_OP_COMPARE_AND_SWAP: return STORE_V2_SWAP;
    case ETCD_V2_OP_CREATE_IN_ORDER: return STORE_V2_POST;
    case ETCD_V2_OP_DELETE: return STORE_V2_DELETE;
    case ETCD_V2_OP_COMPARE_AND_DELETE: return STORE_V2_COMPARE_DELETE;
    case ETCD_V2_OP_GET:
    case ETCD_V2_OP_WATCH: break;
    }
    ASSERT(false);
    return STORE_V2_SET;
}

static bool may_refresh(enum etcd_v2_op op)
{
    return op == ETCD_V2_OP_SET || op == ETCD_V2_OP_UPDATE || op == ETCD_V2_OP_COMPARE_AND_SWAP;
}

/* ttl=0 ends at once, which a lease does after its shortest time. */
static int64_t ttl_ms_of(const struct etcd_v2_request *request)
{
    const uint64_t second_ms = 1000;
    const uint64_t most_ms = (uint64_t)STORE_LEASE_TTL_MS_MAX;
    if (!request->has_ttl || request->op == ETCD_V2_OP_DELETE ||
        request->op == ETCD_V2_OP_COMPARE_AND_DELETE) {
        return 0;
    }
    if (request->ttl_s == 0) {
        return 1;
    }
    return (int64_t)(request->ttl_s > most_ms / second_ms ? most_ms : request->ttl_s * second_ms);
}

static void note_old_ttl(struct etcd_v2_call *call, const struct store *store)
{
    struct etcd_v2_now now = etcd_v2_now_of(call->service);
    struct store_v2_node node;
    struct etcd_v2_node shown = {0};
    struct span cause;
    call->old_lease = 0;
    if (store_v2_get(store, call->request.key, &node, &cause) == STORE_NO_REASON &&
        node.lease != 0) {
        call->old_lease = node.lease;
        etcd_v2_node_set_ttl(&shown, &now,
                             store_lease_remaining_ms(store, node.lease, now.lease_ms));
        call->old_expiration_ns = shown.expiration_ns;
    }
}

static void propose(struct etcd_v2_call *call)
{
    const struct etcd_v2_request *request = &call->request;
    const struct store *store = etcd_service_store(call->service);
    const struct random *random = etcd_service_config(call->service)->random;
    if (store == NULL) {
        fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    struct store_v2 v2 = {.type = type_of(request->op),
                          .path = request->key,
                          .value = request->value,
                          .prev_value = request->prev_value,
                          .prev_index = request->prev_index,
                          .ttl_ms = ttl_ms_of(request),
                          .directory = request->dir,
                          .recursive = request->recursive,
                          .refresh = request->refresh && may_refresh(request->op)};
    if (v2.ttl_ms > 0) {
        v2.lease = store_lease_id(store, random_next(random));
    }
    struct store_command command = {.type = STORE_V2, .v2 = &v2};
    note_old_ttl(call, store);
    call->attempts++;
    etcd_service_propose(call->service, &command, on_applied, call);
}

void etcd_v2_write(struct etcd_v2_call *call)
{
    bool is_named_later = call->request.op == ETCD_V2_OP_CREATE_IN_ORDER;
    size_t key_max = STORE_KEY_BYTES_MAX - (is_named_later ? (size_t)POST_NAME_BYTES : 0);
    if (call->request.key.len > key_max) {
        count(call, false);
        etcd_v2_reply_error(call, ETCD_V2_INVALID_FIELD, span_str("the key is too long"), 0);
        return;
    }
    propose(call);
}
