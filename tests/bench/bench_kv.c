/* What single commands and reads of the store cost at its largest, without log and network: 65,000
 * keys of 128 bytes, a full window of older versions. One JSON line, CPU time.
 *
 *     bench_kv */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store_client.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { KEYS = 65000, VALUE_BYTES = 128, PUTS = 100000, PAGES = 20000, WHOLE = 20 };

struct bench {
    struct store *store;
    struct buf bytes;
};

static double now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void apply(struct bench *bench, const struct store_client_op *op)
{
    struct store_client_txn txn = {.success = op, .success_count = 1};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct store_result result;
    buf_clear(&bench->bytes);
    int rc = store_command_encode(&command, &bench->bytes, NULL);
    ASSERT(rc == 0);
    store_apply(bench->store, store_applied(bench->store) + 1, buf_span(&bench->bytes), &result,
                NULL);
    ASSERT(result.code == 0);
}

static void put(struct bench *bench, unsigned number)
{
    char key[32];
    char value[VALUE_BYTES];
    memset(value, 'x', sizeof(value));
    (void)snprintf(key, sizeof(key), "/bench/%05u", number * 7919u % KEYS);
    struct store_client_op op = {.type = STORE_CLIENT_PUT,
                                 .range = {.key = span_str(key)},
                                 .value = span_of(value, sizeof(value))};
    apply(bench, &op);
}

static double puts_us(struct bench *bench, unsigned from, unsigned count)
{
    double begin = now_us();
    for (unsigned i = 0; i < count; i++) {
        put(bench, from + i);
    }
    return (now_us() - begin) / count;
}

static double range_us(struct bench *bench, struct store_range range, unsigned count)
{
    double begin = now_us();
    range.key = span_str("/bench/3");
    range.range_end = span_of("\0", 1);
    for (unsigned i = 0; i < count; i++) {
        struct store_range_result result;
        int rc = store_range(bench->store, &range, &result, NULL);
        ASSERT(rc == 0 && result.count > 30000);
        store_kvs_close(&result.kvs);
    }
    return (now_us() - begin) / count;
}

static double watch_us(struct bench *bench, unsigned count)
{
    struct store_watch watch = {.key = span_str("/bench/00001")};
    double begin = now_us();
    for (unsigned i = 0; i < count; i++) {
        struct store_events events;
        int rc = store_events(bench->store, &watch, store_compacted(bench->store),
                              STORE_HISTORY_EVENTS_MAX, SIZE_MAX, &events, NULL);
        ASSERT(rc == 0);
        store_events_close(&events);
    }
    return (now_us() - begin) / count;
}

int main(void)
{
    struct bench bench = {.store = store_new()};
    double first_us = puts_us(&bench, 0, KEYS);
    double again_us = puts_us(&bench, 0, PUTS);
    int64_t past = store_compacted(bench.store);
    double page_us = range_us(&bench, (struct store_range){.limit = 10}, PAGES);
    double all_us = range_us(&bench, (struct store_range){.limit = 0}, WHOLE);
    double past_us = range_us(&bench, (struct store_range){.revision = past}, WHOLE);
    double sorted_us = range_us(&bench, (struct store_range){.target = STORE_SORT_MOD}, WHOLE);
    double window_us = watch_us(&bench, WHOLE);
    double begin = now_us();
    struct buf snapshot = BUF_INIT;
    store_snapshot(bench.store, &snapshot);
    double snapshot_us = now_us() - begin;
    begin = now_us();
    apply(&bench, &(struct store_client_op){
                      .type = STORE_CLIENT_DELETE,
                      .range = {.key = span_of("\0", 1), .range_end = span_of("\0", 1)}});
    double delete_us = now_us() - begin;
    printf("{\"new_key_us\": %.2f, \"put_us\": %.2f, \"page_us\": %.2f, \"range_us\": %.0f, "
           "\"past_us\": %.0f, \"sorted_us\": %.0f, \"window_us\": %.0f, \"snapshot_us\": %.0f, "
           "\"delete_all_us\": %.0f}\n",
           first_us, again_us, page_us, all_us, past_us, sorted_us, window_us, snapshot_us,
           delete_us);
    buf_free(&snapshot);
    buf_free(&bench.bytes);
    store_free(bench.store);
    return 0;
}
