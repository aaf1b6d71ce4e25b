/* One timer for all of a service, which is there as long as one of them is: in each turn every
 * answer whose client has taken the last portion gets the next one, the first in the list first,
 * until TURN_NS are over; who had his goes to the end of the list.
 *
 * A portion may be larger than it should be, since no value is divided: so what waits for clients
 * counts as well, and while all together are over the bound nobody gets more. Then somebody's
 * client takes what it has, or is stalled, and gives way.
 *
 * Freed blocks of such sizes lie between others on the heap: when the last one has gone, the heap
 * is asked to give back what it can. */
#include "raft/etcd/etcd_portions.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/etcd/etcd_service.h"

enum { TURN_MS = 1, TURN_NS = 4 * 1000 * 1000 };

struct etcd_portions {
    struct etcd_portions **owner;
    uv_timer_t timer;
    struct list answers;
    size_t bytes;   /* of all answers: what they hold, ... */
    size_t waiting; /* ... and what was pending when it was looked at last */
    struct buf scratch;
};

struct answer {
    struct list link;
    struct etcd_portions *portions;
    struct etcd_large large;
    size_t waiting;
    uint64_t until_ms;
    uint64_t given_ms; /* the last portion */
};

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void close_if_empty(struct etcd_portions *portions)
{
    if (list_empty(&portions->answers)) {
        *portions->owner = NULL;
        buf_free(&portions->scratch);
        uv_close((uv_handle_t *)&portions->timer, on_timer_closed);
        mem_give_back();
    }
}

/* --- the account ------------------------------------------------------------------------------ */

static bool has_room(const struct etcd_portions *portions, size_t bytes)
{
    size_t held = portions->bytes + portions->waiting;
    return held <= ETCD_PORTIONS_BYTES_MAX && bytes <= ETCD_PORTIONS_BYTES_MAX - held;
}

static void set_waiting(struct answer *answer, size_t waiting)
{
    answer->portions->waiting += waiting - answer->waiting;
    answer->waiting = waiting;
}

static void let_go(struct answer *answer)
{
    list_remove(&answer->link);
    set_waiting(answer, 0);
    answer->portions->bytes -= answer->large.bytes;
    answer->large.ops->release(answer->large.arg);
    mem_free(answer);
}

static void cut_off(struct answer *answer, enum etcd_error error)
{
    answer->large.ops->cut_off(answer->large.arg, error);
    let_go(answer);
}

/* Looks at what its client has taken. False: it has gone. */
static bool look(struct answer *answer)
{
    if (answer->large.ops->has_ended(answer->large.arg)) {
        let_go(answer);
        return false;
    }
    set_waiting(answer, answer->large.ops->pending(answer->large.arg));
    return true;
}

/* Those whose clients take nothing go first, until `bytes` more fit. */
static bool make_room(struct etcd_portions *portions, size_t bytes)
{
    uint64_t now_ms = uv_now(portions->timer.loop);
    LIST_EACH(item, &portions->answers)
    {
        struct answer *answer = LIST_OWNER(item, struct answer, link);
        if (has_room(portions, bytes)) {
            break;
        }
        if (look(answer) && answer->waiting > 0 &&
            now_ms - answer->given_ms >= ETCD_PORTIONS_STALLED_MS) {
            cut_off(answer, ETCD_ERROR_TOO_MANY_REQUESTS);
        }
    }
    return has_room(portions, bytes);
}

/* --- portions --------------------------------------------------------------------------------- */

static void give(struct answer *answer, uint64_t now_ms)
{
    struct etcd_portions *portions = answer->portions;
    struct buf *scratch = &portions->scratch;
    buf_clear(scratch);
    bool goes_on = answer->large.ops->give(answer->large.arg, scratch);
    if (scratch->capacity > 4 * ETCD_PORTION_BYTES) {
        buf_free(scratch);
    }
    answer->given_ms = now_ms;
    if (!goes_on) {
        let_go(answer);
    } else if (look(answer)) {
        list_remove(&answer->link);
        list_append(&portions->answers, &answer->link);
    }
}

static void go_on(struct answer *answer, uint64_t now_ms)
{
    if (!look(answer)) {
        return;
    }
    if (now_ms >= answer->until_ms) {
        cut_off(answer, ETCD_ERROR_TIMEOUT);
    } else if (answer->waiting == 0 && has_room(answer->portions, 0)) {
        give(answer, now_ms);
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct etcd_portions *portions = timer->data;
    uint64_t until_ns = uv_hrtime() + TURN_NS;
    size_t count = 0;
    (void)make_room(portions, 0);
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
    return portions == NULL ? 0 : portions->bytes + portions->waiting;
}

int etcd_portions_answer(struct etcd_service *service, const struct etcd_large *large,
                         struct error *err)
{
    struct etcd_portions *portions = portions_of(service);
    if (!make_room(portions, large->bytes)) {
        return error_set(err, ERR_LIMIT, "large answers hold %zu bytes",
                         portions->bytes + portions->waiting);
    }
    uint64_t now_ms = uv_now(portions->timer.loop);
    struct answer *answer = mem_new(struct answer);
    answer->portions = portions;
    answer->large = *large;
    answer->until_ms = now_ms + ETCD_PORTIONS_MS;
    portions->bytes += large->bytes;
    list_append(&portions->answers, &answer->link);
    give(answer, now_ms);
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
