/* Calls of etcd's v3 API without a carrier: what a handler replies is recorded as JSON. */
#ifndef TESTS_UNIT_RAFT_ETCD_RECORDED_CALL_H
#define TESTS_UNIT_RAFT_ETCD_RECORDED_CALL_H

#include "base/buf.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct recorded {
    struct etcd_call call;
    struct buf replies; /* a line each, with nothing in their headers but the revision */
    unsigned reply_count;
    bool finished;
    enum grpc_code code;
    char text[256];
    bool stuck; /* takes no replies */
    bool in_portions;
    bool freed;
};

static inline struct recorded *recorded_of(struct etcd_call *call)
{
    return (struct recorded *)(void *)call;
}

/* Who answers differs from run to run: every answer's header is its first field. */
static inline int recorded_reply(struct etcd_call *call, const void *message, struct error *err)
{
    struct recorded *recorded = recorded_of(call);
    struct etcd_header **header = (struct etcd_header **)(uintptr_t)message;
    struct etcd_header *whole = *header;
    struct etcd_header cut = {.revision = whole == NULL ? 0 : whole->revision};
    if (recorded->stuck) {
        return error_set(err, ERR_LIMIT, "stuck");
    }
    if (whole != NULL) {
        assert_true(whole->cluster_id != 0 && whole->member_id != 0 && whole->raft_term != 0);
        *header = &cut;
    }
    etcd_json_encode(call->method->response, message, &recorded->replies);
    *header = whole;
    buf_put_str(&recorded->replies, "\n");
    recorded->reply_count++;
    return 0;
}

static inline void recorded_finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    struct recorded *recorded = recorded_of(call);
    assert_false(recorded->finished);
    recorded->finished = true;
    if (recorded->in_portions) {
        buf_put_str(&recorded->replies, "\n");
    }
    recorded->code = code;
    (void)snprintf(recorded->text, sizeof recorded->text, "%.*s", (int)text.len,
                   (const char *)text.data);
}

static inline size_t recorded_pending(const struct etcd_call *call)
{
    (void)call;
    return 0;
}

static inline int recorded_begin(struct etcd_call *call, const void *message,
                                 struct etcd_encoder *ret_encoder)
{
    etcd_encoder_init(ret_encoder, ETCD_ENCODING_JSON, call->method->response, message);
    recorded_of(call)->in_portions = true;
    recorded_of(call)->reply_count++;
    return 0;
}

static inline int recorded_put(struct etcd_call *call, struct span bytes)
{
    buf_put_span(&recorded_of(call)->replies, bytes);
    return 0;
}

static const struct etcd_call_ops recorded_ops = {.reply = recorded_reply,
                                                  .finish = recorded_finish,
                                                  .pending = recorded_pending,
                                                  .begin = recorded_begin,
                                                  .put = recorded_put};

static inline void recorded_freed(struct etcd_call *call)
{
    recorded_of(call)->freed = true;
}

/* By its path in the gateway, or as service/name. */
static inline const struct etcd_method *method_find(const char *path)
{
    char name[128];
    for (size_t i = 0; i < etcd_methods_count; i++) {
        const struct etcd_method *method = &etcd_methods[i];
        (void)snprintf(name, sizeof name, "%s/%s", method->service, method->name);
        bool found = strcmp(name, path) == 0;
        for (size_t j = 0; j < 2; j++) {
            found = found || (method->paths[j] != NULL && strcmp(method->paths[j], path) == 0);
        }
        if (found) {
            return method;
        }
    }
    fail_msg("no method '%s'", path);
    return NULL;
}

static inline void record_call(struct etcd_service *service, const char *path,
                               struct recorded *recorded)
{
    buf_free(&recorded->replies);
    *recorded = (struct recorded){.call = {.ops = &recorded_ops,
                                           .method = method_find(path),
                                           .service = service,
                                           .free_call = recorded_freed,
                                           .refs = 1}};
}

static inline void call_send(struct recorded *recorded, const char *json)
{
    const struct etcd_type *type = recorded->call.method->request;
    struct error err = {0};
    struct arena arena;
    arena_init(&arena, ETCD_ARENA_BUDGET(strlen(json)));
    void *message = mem_alloc(type->bytes);
    int rc = etcd_json_decode(type, span_str(json), &arena, message, &err);
    if (rc == ERR_BUSY) {
        etcd_call_fail(&recorded->call, ETCD_ERROR_TOO_MANY_OPS); /* as the carriers do */
    } else if (rc != 0) {
        fail_msg("%s: %s", json, err.text);
    } else {
        recorded->call.method->on_message(&recorded->call, message);
    }
    memset(message, 0xa5, type->bytes); /* it was borrowed */
    mem_free(message);
    arena_free(&arena);
}

/* The client goes, or has its answer. */
static inline void call_close(struct recorded *recorded)
{
    struct etcd_call *call = &recorded->call;
    call->ops = NULL;
    if (call->method->on_close != NULL) {
        call->method->on_close(call);
    }
    etcd_call_unref(call);
}

#endif
