/* Lease.LeaseKeepAlive: a stream of renewals.
 *
 * Each is a command of the log, and is acknowledged when this member has applied it: whatever the
 * others do then counts from that renewal or a later one (docs/consensus.md). Answers keep the
 * order of the requests. Up to KEEPALIVES_GIVEN_MAX renewals of a stream are under way; clients
 * that keep a thousand leases ask for all of them at once, so the next wait in a queue. */
#include "base/list.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_service.h"

enum { KEEPALIVES_GIVEN_MAX = 64, KEEPALIVES_QUEUE_MAX = 8192, MS_PER_S = 1000 };

struct keepalives {
    struct etcd_call *call; /* holds us; NULL: it is over */
    struct list queue;      /* struct keepalive: in the order of their requests */
    size_t count;
    size_t given; /* the first ones of the queue, and those whose stream is over */
    bool ended;   /* the client has said all */
};

struct keepalive {
    struct list link;
    struct keepalives *stream; /* NULL: it is over */
    int64_t id;
    bool given;
    bool done; /* and these are what is to be said */
    int64_t ttl_ms;
    int64_t revision;
};

/* --- answers ---------------------------------------------------------------------------------- */

/* False: the stream is over. */
static bool answer(struct keepalives *stream, const struct keepalive *keepalive)
{
    struct etcd_header header;
    struct etcd_lease_keep_alive_response response = {
        .header = &header, .id = keepalive->id, .ttl = keepalive->ttl_ms / MS_PER_S};
    etcd_service_header(stream->call->service, &header);
    header.revision = keepalive->revision != 0 ? keepalive->revision : header.revision;
    if (etcd_call_reply(stream->call, &response, NULL) != 0) {
        etcd_call_fail(stream->call, ETCD_ERROR_TOO_MANY_REQUESTS); /* it does not read them */
        return false;
    }
    return true;
}

/* Those at the head that are done. */
static void answer_done(struct keepalives *stream)
{
    struct list *first = list_first(&stream->queue);
    while (first != NULL && LIST_OWNER(first, struct keepalive, link)->done) {
        struct keepalive *keepalive = LIST_OWNER(first, struct keepalive, link);
        list_remove(first);
        stream->count--;
        bool goes_on = answer(stream, keepalive);
        mem_free(keepalive);
        if (!goes_on) {
            return;
        }
        first = list_first(&stream->queue);
    }
    if (stream->ended && first == NULL) {
        etcd_call_finish(stream->call, GRPC_OK, span_of(NULL, 0));
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static void give(struct keepalives *stream);

/* False: the outcome is none that can be told in order: the stream ends with `ret_error`. */
static bool take_outcome(struct keepalive *keepalive, int rc, const struct store_result *result,
                         enum etcd_error *ret_error)
{
    if (rc != 0) {
        return false; /* with the error that came */
    }
    keepalive->revision = result->revision;
    if (result->code == ERR_NOT_FOUND) {
        return true; /* no ttl: the lease is not there */
    }
    if (result->code != 0) {
        *ret_error = etcd_service_refusal(result);
        return false;
    }
    if (result->output == NULL) {
        *ret_error = ETCD_ERROR_TIMEOUT; /* applied, and maybe long ago */
        return false;
    }
    keepalive->ttl_ms = result->output->ttl_ms;
    return true;
}

static void on_renewed(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct keepalive *keepalive = arg;
    struct keepalives *stream = keepalive->stream;
    if (stream == NULL) {
        mem_free(keepalive);
        return;
    }
    struct etcd_call *call = etcd_call_ref(stream->call);
    keepalive->given = false;
    keepalive->done = true;
    stream->given--;
    if (take_outcome(keepalive, rc, result, &error)) {
        answer_done(stream);
        if (!etcd_call_has_ended(call)) {
            give(stream);
        }
    } else {
        etcd_call_fail(call, error);
    }
    etcd_call_unref(call);
}

static void give_one(struct keepalives *stream, struct keepalive *keepalive)
{
    struct store_command command = {.type = STORE_LEASE_KEEPALIVE,
                                    .lease = (uint64_t)keepalive->id};
    keepalive->given = true;
    stream->given++;
    etcd_service_propose(stream->call->service, &command, on_renewed, keepalive);
}

static void give(struct keepalives *stream)
{
    LIST_EACH(item, &stream->queue)
    {
        struct keepalive *keepalive = LIST_OWNER(item, struct keepalive, link);
        if (stream->given >= KEEPALIVES_GIVEN_MAX) {
            return;
        }
        if (!keepalive->given && !keepalive->done) {
            give_one(stream, keepalive);
        }
    }
}

/* --- the stream ------------------------------------------------------------------------------- */

static struct keepalives *stream_of(struct etcd_call *call)
{
    if (call->arg == NULL) {
        struct keepalives *stream = mem_new(struct keepalives);
        stream->call = call;
        list_init(&stream->queue);
        call->arg = stream;
    }
    return call->arg;
}

void etcd_keepalive_on_message(struct etcd_call *call, const void *message)
{
    const struct etcd_lease_id *request = message;
    struct keepalives *stream = stream_of(call);
    if (stream->count >= KEEPALIVES_QUEUE_MAX) {
        etcd_call_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
        return;
    }
    struct keepalive *keepalive = mem_new(struct keepalive);
    keepalive->stream = stream;
    keepalive->id = request->id;
    keepalive->done = request->id == 0; /* nobody has that */
    list_append(&stream->queue, &keepalive->link);
    stream->count++;
    give(stream);
    answer_done(stream);
}

void etcd_keepalive_on_end(struct etcd_call *call)
{
    struct keepalives *stream = stream_of(call);
    stream->ended = true;
    answer_done(stream);
}

void etcd_keepalive_on_close(struct etcd_call *call)
{
    struct keepalives *stream = call->arg;
    if (stream == NULL) {
        return;
    }
    LIST_EACH(item, &stream->queue)
    {
        struct keepalive *keepalive = LIST_OWNER(item, struct keepalive, link);
        list_remove(item);
        keepalive->stream = NULL;
        if (!keepalive->given) {
            mem_free(keepalive); /* else when its outcome comes */
        }
    }
    call->arg = NULL;
    mem_free(stream);
}
