/* Recorded calls on a real group. */
#ifndef TESTS_UNIT_RAFT_ETCD_CALL_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_CALL_FIXTURE_H

#include "service_fixture.h"

#include "recorded_call.h"

static inline void call_open(size_t at, const char *path, struct recorded *recorded)
{
    record_call(served[at].service, path, recorded);
}

static inline bool is_finished(struct rig *of, void *arg)
{
    (void)of;
    return ((struct recorded *)arg)->finished;
}

/* A call as a client of the gateway makes it: one message, and to its end. */
static inline void call_make(size_t at, const char *path, const char *json,
                             struct recorded *recorded)
{
    call_open(at, path, recorded);
    call_send(recorded, json);
    if (recorded->call.method->request_streams) {
        recorded->call.method->on_end(&recorded->call);
    }
    wait_for(&rig, is_finished, recorded, ETCD_SERVICE_TIMEOUT_MS + 1000, path);
    call_close(recorded);
    assert_true(recorded->freed);
}

/* "answer", or "code text". */
static inline void call_is(size_t at, const char *path, const char *json, const char *expected)
{
    static struct recorded recorded;
    char failed[300];
    call_make(at, path, json, &recorded);
    const char *got = buf_str(&recorded.replies);
    if (recorded.code != GRPC_OK) {
        (void)snprintf(failed, sizeof failed, "%d %s", (int)recorded.code, recorded.text);
        got = failed;
    } else {
        recorded.replies.data[recorded.replies.len - 1] = '\0'; /* the line end */
    }
    if (strcmp(got, expected) != 0) {
        print_message("%s %s\n", path, json);
        assert_string_equal(got, expected);
    }
    buf_free(&recorded.replies);
}

#endif
