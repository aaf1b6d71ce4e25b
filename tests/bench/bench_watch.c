/* What watches add to a put: a thousand watchers beside the store, without log and network. Those
 * of a range that the put does not concern, with one put or 64 of them looked at together; those of
 * the range it is in; and as many v3 streams, each with an answer of its own. One JSON line, CPU
 * time of one put.
 *
 *     bench_watch */
#include "tests/unit/raft_etcd/fake_service.h"

#include "base/assert.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_watch.h"
#include "raft/etcd/etcd_watcher.h"

#include <stdio.h>
#include <time.h>

enum { WATCHERS = 1000, BATCH = 64, PUTS = 300 * BATCH, WOKEN_PUTS = 2000, VALUE_BYTES = 128 };

static uv_loop_t loop;
static struct etcd_service service;
static struct etcd_watcher *watchers[WATCHERS];
static struct etcd_call calls[WATCHERS];
static struct buf encoded;
static size_t heard;

static double now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Of one put of `key`, when so many are looked at together: all of them within the time. */
static double put_us(const char *key, int count, int batch)
{
    ASSERT(count % batch == 0);
    char value[VALUE_BYTES + 1];
    memset(value, 'x', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    double begin = now_us();
    for (int i = 0; i < count; i++) {
        (void)fake_put(&service, key, value);
        if (i % batch == batch - 1) {
            (void)uv_run(&loop, UV_RUN_DEFAULT); /* until all have got it */
        }
    }
    return (now_us() - begin) / count;
}

static void on_events(void *arg, const struct store_events *events)
{
    (void)arg;
    heard += events->kvs.count;
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    (void)arg;
    (void)compact_revision;
    ASSERT(false);
}

/* Each of a range of its own, /watched/0000/ and so on, or all of /watched/. */
static void watchers_open(bool together)
{
    static const struct etcd_watcher_events events = {.on_events = on_events,
                                                      .on_compacted = on_compacted};
    char key[32];
    char range_end[32];
    for (int i = 0; i < WATCHERS; i++) {
        (void)snprintf(key, sizeof key, together ? "/watched/" : "/watched/%04d/", i);
        (void)snprintf(range_end, sizeof range_end, together ? "/watched0" : "/watched/%04d0", i);
        struct store_watch watch = {.key = span_str(key), .range_end = span_str(range_end)};
        watchers[i] = etcd_watcher_new(&service, &watch, 0, &events, NULL);
    }
}

static void watchers_close(void)
{
    for (int i = 0; i < WATCHERS; i++) {
        etcd_watcher_free(watchers[i]);
    }
}

static int reply(struct etcd_call *call, const void *message, struct error *err)
{
    (void)call;
    (void)err;
    buf_clear(&encoded);
    etcd_proto_encode(&etcd_type_watch_response, message, &encoded);
    heard += ((const struct etcd_watch_response *)message)->events_count;
    return 0;
}

static void finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    (void)call;
    (void)code;
    (void)text;
    ASSERT(false);
}

static size_t pending(const struct etcd_call *call)
{
    (void)call;
    return 0;
}

static void streams_open(void)
{
    static const struct etcd_call_ops ops = {.reply = reply, .finish = finish, .pending = pending};
    struct etcd_watch_create_request create = {.key = span_str("/watched/"),
                                               .range_end = span_str("/watched0")};
    struct etcd_watch_request request = {.which = ETCD_WATCH_CREATE, .create_request = &create};
    for (int i = 0; i < WATCHERS; i++) {
        calls[i] = (struct etcd_call){.ops = &ops, .service = &service, .refs = 1};
        etcd_watch_on_message(&calls[i], &request);
    }
}

static void streams_close(void)
{
    for (int i = 0; i < WATCHERS; i++) {
        etcd_watch_on_close(&calls[i]);
    }
}

int main(void)
{
    (void)uv_loop_init(&loop);
    fake_service_open(&service, &loop);
    double none_us = put_us("/other/key", PUTS, 1);
    watchers_open(false);
    double others_us = put_us("/watched/0500", PUTS, 1);
    double batch_us = put_us("/watched/0500", PUTS, BATCH);
    watchers_close();
    watchers_open(true);
    double woken_us = put_us("/watched/0500/leader", WOKEN_PUTS, 1);
    watchers_close();
    ASSERT(heard == (size_t)WATCHERS * WOKEN_PUTS);
    streams_open();
    double streams_us = put_us("/watched/0500/leader", WOKEN_PUTS, 1);
    streams_close();
    ASSERT(heard == (size_t)2 * WATCHERS * WOKEN_PUTS);
    printf("{\"none_us\": %.2f, \"others_us\": %.2f, \"batch_us\": %.2f, \"woken_us\": %.1f, "
           "\"streams_us\": %.1f}\n",
           none_us, others_us, batch_us, woken_us, streams_us);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    buf_free(&encoded);
    fake_service_close(&service);
    return uv_loop_close(&loop);
}
