/* A call of etcd's API without a carrier: what is said to it as the gateway's JSON, what it answers
 * as lines of that JSON; how much of it waits, and whether more is taken, is the test's. */
#ifndef TEST_FAKE_CALL_H
#define TEST_FAKE_CALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_watch.h"

#include <string.h>

struct fake_call {
    struct etcd_call call;     /* first */
    struct buf heard;          /* of the headers their revisions only */
    struct etcd_header header; /* of the last reply */
    size_t replies;
    size_t bytes;        /* of all replies */
    size_t largest;      /* the largest one */
    bool reads;          /* the client takes everything at once */
    size_t pending;      /* if it does not */
    size_t taken_first;  /* so many replies are taken, ... */
    size_t refused_then; /* ... so many are not */
    bool has_ended;
    enum grpc_code code;
    char text[128];
    bool is_quiet;      /* heard stays empty */
    size_t made_before; /* replies whose events were there in protobuf */
};

/* What was made for several is what would be made for one. */
static void assert_same_proto(struct etcd_watch_response response)
{
    struct buf made = BUF_INIT;
    struct buf own = BUF_INIT;
    etcd_proto_encode(&etcd_type_watch_response, &response, &made);
    response.events_proto = span_of(NULL, 0);
    etcd_proto_encode(&etcd_type_watch_response, &response, &own);
    assert_true(span_equal(buf_span(&made), buf_span(&own)));
    buf_free(&made);
    buf_free(&own);
}

static int fake_call_reply(struct etcd_call *call, const void *message, struct error *err)
{
    struct fake_call *fake = (struct fake_call *)call;
    size_t size = etcd_proto_size(&etcd_type_watch_response, message);
    assert_false(fake->has_ended);
    if (fake->taken_first > 0) {
        fake->taken_first--;
    } else if (fake->refused_then > 0) {
        fake->refused_then--;
        return error_set(err, ERR_LIMIT, "too much waits");
    }
    fake->replies++;
    fake->bytes += size;
    fake->largest = size > fake->largest ? size : fake->largest;
    fake->pending += fake->reads ? 0 : size;
    struct etcd_watch_response response = *(const struct etcd_watch_response *)message;
    fake->made_before += response.events_proto.len > 0;
    if (response.events_proto.len > 0) {
        assert_same_proto(response);
    }
    struct etcd_header header = {.revision = response.header->revision};
    fake->header = *response.header;
    response.header = &header;
    if (!fake->is_quiet) {
        etcd_json_encode(&etcd_type_watch_response, &response, &fake->heard);
        buf_put_str(&fake->heard, "\n");
    }
    return 0;
}

static void fake_call_finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    struct fake_call *fake = (struct fake_call *)call;
    assert_false(fake->has_ended);
    fake->has_ended = true;
    fake->code = code;
    memcpy(fake->text, text.data, text.len);
}

static size_t fake_call_pending(const struct etcd_call *call)
{
    return ((const struct fake_call *)call)->pending;
}

static void fake_call_open(struct fake_call *fake, struct etcd_service *service)
{
    static const struct etcd_call_ops ops = {
        .reply = fake_call_reply, .finish = fake_call_finish, .pending = fake_call_pending};
    static const struct etcd_method method = {.request = &etcd_type_watch_request,
                                              .response = &etcd_type_watch_response,
                                              .request_streams = true,
                                              .answer_streams = true};
    *fake = (struct fake_call){
        .call = {.ops = &ops, .method = &method, .service = service, .refs = 1}, .reads = true};
}

static void fake_call_close(struct fake_call *fake)
{
    etcd_watch_on_close(&fake->call);
    buf_free(&fake->heard);
}

static void fake_call_say(struct fake_call *fake, const char *json)
{
    struct etcd_watch_request request = {.which = 0};
    struct arena arena;
    arena_init(&arena, ETCD_ARENA_BUDGET(strlen(json)));
    assert_int_equal(
        etcd_json_decode(&etcd_type_watch_request, span_str(json), &arena, &request, NULL), 0);
    etcd_watch_on_message(&fake->call, &request);
    arena_free(&arena);
}

/* What was answered since the last look. */
static inline void assert_told(struct fake_call *fake, const char *text)
{
    assert_string_equal(buf_str(&fake->heard), text);
    buf_clear(&fake->heard);
}

#endif
