/* One timer for all of a service, which is there as long as one of them is: in each turn every
 * answer whose client has taken the last portion gets the next one, the first in the list first,
 * until TURN_NS are over; who had his goes to the end of the list.
 *
 * Freed blocks of such sizes lie between others on the heap: when the last one has gone, the heap
 * is asked to give back what it can. */
#include "raft/etcd/etcd_portions.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_service.h"

enum { TURN_MS = 1, TURN_NS = 4 * 1000 * 1000 };

struct etcd_portions {
    struct etcd_portions **owner;
    uv_timer_t timer;
    struct list answers;
    size_t bytes;
    struct buf out; /* scratch */
};

struct answer {
    struct list link;
    struct etcd_portions *portions;
    struct etcd_call *call;
    struct etcd_large large;
    struct etcd_encoder encoder;
    uint64_t until_ms;
    uint64_t taken_ms; /* when the last portion was given */
};

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void close_if_empty(struct etcd_portions *portions)
{
    if (list_empty(&portions->answers)) {
        *portions->owner = NULL;
        buf_free(&portions->out);
        uv_close((uv_handle_t *)&portions->timer, on_timer_closed);
        mem_give_back();
    }
}

static void let_go(struct answer *answer)
{
    struct etcd_portions *portions = answer->portions;
    list_remove(&answer->link);
    portions->bytes -= answer->large.bytes;
    answer->large.release(answer->large.arg);
    etcd_call_unref(answer->call);
    mem_free(answer);
}

static void cut_off(struct answer *answer, enum etcd_error error)
{
    etcd_call_fail(answer->call, error);
    let_go(answer);
}

/* --- portions --------------------------------------------------------------------------------- */

/* False: it is over. */
static bool put_portion(struct answer *answer)
{
    struct buf *out = &answer->portions->out;
    buf_clear(out);
    bool is_whole = etcd_encoder_take(&answer->encoder, ETCD_PORTION_BYTES, out);
    int rc = out->len == 0 ? 0 : etcd_call_put(answer->call, buf_span(out));
    if (out->capacity > 4 * ETCD_PORTION_BYTES) {
        buf_free(out);
    }
    if (rc != 0) {
        cut_off(answer, ETCD_ERROR_TOO_MANY_REQUESTS);
        return false;
    }
    if (is_whole) {
        etcd_call_finish(answer->call, GRPC_OK, span_of(NULL, 0));
        let_go(answer);
    }
    return !is_whole;
}

static void go_on(struct answer *answer, uint64_t now_ms)
{
    struct etcd_portions *portions = answer->portions;
    if (etcd_call_has_ended(answer->call)) {
        let_go(answer);
    } else if (now_ms >= answer->until_ms) {
        cut_off(answer, ETCD_ERROR_TIMEOUT);
    } else if (etcd_call_pending(answer->call) == 0) {
        answer->taken_ms = now_ms;
        if (put_portion(answer)) {
            list_remove(&answer->link);
            list_append(&portions->answers, &answer->link);
        }
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct etcd_portions *portions = timer->data;
    uint64_t until_ns = uv_hrtime() + TURN_NS;
    size_t count = 0;
    LIST_EACH(each, &portions->answers)
    {
        count++; /* who goes to the end has had his turn */
    }
    LIST_EACH(item, &portions->answers)
    {
        if (count-- == 0 || uv_hrtime() >= until_ns) {
            break;
        }
        go_on(LIST_OWNER(item, struct answer, link), uv_now(timer->loop));
    }
    close_if_empty(portions);
}

/* --- the start and the end -------------------------------------------------------------------- */

static struct etcd_portions *portions_of(struct etcd_service *service)
{
    struct etcd_portions **owner = etcd_service_portions(service);
    if (*owner == NULL) {
        struct etcd_portions *portions = mem_new(struct etcd_portions);
        portions->owner = owner;
        portions->timer.data = portions;
        list_init(&portions->answers);
        (void)uv_timer_init(etcd_service_config(service)->loop, &portions->timer);
        (void)uv_timer_start(&portions->timer, on_turn, TURN_MS, TURN_MS);
        *owner = portions;
    }
    return *owner;
}

size_t etcd_portions_bytes(struct etcd_service *service)
{
    const struct etcd_portions *portions = *etcd_service_portions(service);
    return portions == NULL ? 0 : portions->bytes;
}

/* Those whose clients take nothing go first, until `bytes` more fit. */
static bool make_room(struct etcd_portions *portions, size_t bytes)
{
    uint64_t now_ms = uv_now(portions->timer.loop);
    LIST_EACH(item, &portions->answers)
    {
        struct answer *answer = LIST_OWNER(item, struct answer, link);
        if (bytes <= ETCD_PORTIONS_BYTES_MAX - portions->bytes) {
            break;
        }
        if (now_ms - answer->taken_ms >= ETCD_PORTIONS_STALLED_MS) {
            cut_off(answer, ETCD_ERROR_TOO_MANY_REQUESTS);
        }
    }
    return bytes <= ETCD_PORTIONS_BYTES_MAX - portions->bytes;
}

int etcd_portions_answer(struct etcd_call *call, const struct etcd_large *large, struct error *err)
{
    struct etcd_portions *portions = portions_of(call->service);
    if (!make_room(portions, large->bytes)) {
        return error_set(err, ERR_LIMIT, "large answers hold %zu bytes", portions->bytes);
    }
    struct answer *answer = mem_new(struct answer);
    answer->portions = portions;
    answer->call = etcd_call_ref(call);
    answer->large = *large;
    answer->taken_ms = uv_now(portions->timer.loop);
    answer->until_ms = answer->taken_ms + ETCD_PORTIONS_MS;
    etcd_encoder_init(&answer->encoder, ETCD_ENCODING_PROTO, call->method->response,
                      large->message);
    portions->bytes += large->bytes;
    list_append(&portions->answers, &answer->link);
    if (etcd_call_begin(call, large->message, &answer->encoder) == 0) {
        (void)put_portion(answer);
    } else {
        cut_off(answer, ETCD_ERROR_TOO_MANY_REQUESTS);
    }
    return 0;
}

void etcd_portions_stop(struct etcd_service *service)
{
    struct etcd_portions *portions = *etcd_service_portions(service);
    if (portions == NULL) {
        return;
    }
    LIST_EACH(item, &portions->answers)
    {
        cut_off(LIST_OWNER(item, struct answer, link), ETCD_ERROR_STOPPED);
    }
    close_if_empty(portions);
}
