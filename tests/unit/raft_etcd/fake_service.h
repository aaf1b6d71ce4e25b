/* A service without a group: a store that the test applies commands to, and that it may replace.
 * What etcd_service.h promises to watches, and no more; several members in one loop. */
#ifndef TEST_FAKE_SERVICE_H
#define TEST_FAKE_SERVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "raft/etcd/etcd_service.h"

#include <string.h>

struct etcd_service {
    struct etcd_service_config config;
    struct store *store;
    struct etcd_listener *listeners;
    struct etcd_listener *next_listener; /* while they are called */
    struct etcd_watch_hub *hub;
    bool has_leader;
    bool is_ready;
};

const struct etcd_service_config *etcd_service_config(const struct etcd_service *service)
{
    return &service->config;
}

bool etcd_service_is_ready(const struct etcd_service *service)
{
    return service->is_ready;
}

bool etcd_service_has_leader(const struct etcd_service *service)
{
    return service->has_leader;
}

const struct store *etcd_service_store(const struct etcd_service *service)
{
    return service->is_ready ? service->store : NULL;
}

void etcd_service_header(const struct etcd_service *service, struct etcd_header *ret_header)
{
    *ret_header = (struct etcd_header){.revision = store_revision(service->store)};
}

struct etcd_watch_hub **etcd_service_watch_hub(struct etcd_service *service)
{
    return &service->hub;
}

void etcd_service_listen(struct etcd_service *service, struct etcd_listener *listener)
{
    listener->prev = NULL;
    listener->next = service->listeners;
    if (listener->next != NULL) {
        listener->next->prev = listener;
    }
    service->listeners = listener;
}

void etcd_service_unlisten(struct etcd_service *service, struct etcd_listener *listener)
{
    if (service->next_listener == listener) {
        service->next_listener = listener->next;
    }
    if (listener->prev == NULL) {
        service->listeners = listener->next;
    } else {
        listener->prev->next = listener->next;
    }
    if (listener->next != NULL) {
        listener->next->prev = listener->prev;
    }
}

void etcd_service_on_change(struct etcd_service *service)
{
    service->next_listener = service->listeners;
    while (service->next_listener != NULL) {
        struct etcd_listener *listener = service->next_listener;
        service->next_listener = listener->next;
        listener->on_change(listener->arg);
    }
}

static struct store_result fake_apply(struct etcd_service *service,
                                      const struct store_command *command)
{
    struct buf bytes = BUF_INIT;
    struct store_result result;
    assert_int_equal(store_command_encode(command, &bytes, NULL), 0);
    store_apply(service->store, store_applied(service->store) + 1, buf_span(&bytes), &result, NULL);
    buf_free(&bytes);
    etcd_service_on_change(service);
    return result;
}

static void fake_service_open(struct etcd_service *service, uv_loop_t *of)
{
    struct store_command format = {.type = STORE_FORMAT};
    *service = (struct etcd_service){.store = store_new(), .has_leader = true, .is_ready = true};
    service->config =
        (struct etcd_service_config){.loop = of, .clock = clock_real(), .election_timeout_ms = 50};
    (void)fake_apply(service, &format);
}

static void fake_service_close(struct etcd_service *service)
{
    assert_null(service->hub);
    assert_null(service->listeners);
    store_free(service->store);
}

/* Returns the revision. */
static inline int64_t fake_txn(struct etcd_service *service, const struct store_client_op *ops,
                               size_t count)
{
    struct store_client_txn txn = {.success = ops, .success_count = count};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    assert_int_equal(fake_apply(service, &command).code, 0);
    return store_revision(service->store);
}

static inline int64_t fake_put(struct etcd_service *service, const char *key, const char *value)
{
    struct store_client_op op = {
        .type = STORE_CLIENT_PUT, .range = {.key = span_str(key)}, .value = span_str(value)};
    return fake_txn(service, &op, 1);
}

static inline int64_t fake_delete(struct etcd_service *service, const char *key, const char *end)
{
    struct store_client_op op = {.type = STORE_CLIENT_DELETE,
                                 .range = {.key = span_str(key), .range_end = span_str(end)}};
    return fake_txn(service, &op, 1);
}

static inline void fake_compact(struct etcd_service *service, int64_t revision)
{
    struct store_command command = {.type = STORE_COMPACT, .number = (uint64_t)revision};
    assert_int_equal(fake_apply(service, &command).code, 0);
}

/* Another store in its place, as a snapshot of `from` makes it. */
static inline void fake_restore(struct etcd_service *service, const struct etcd_service *from)
{
    struct buf bytes = BUF_INIT;
    store_snapshot(from->store, &bytes);
    store_free(service->store);
    service->store = store_new();
    assert_int_equal(store_restore(service->store, buf_span(&bytes), NULL), 0);
    buf_free(&bytes);
    etcd_service_on_change(service);
}

#endif
