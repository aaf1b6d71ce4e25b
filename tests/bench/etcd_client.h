/* Connections to etcd's API on loopback for bench_etcd: HTTP/1 (the JSON gateway) or HTTP/2 (gRPC),
 * all in one epoll, each call a buffer and a callback, so that the client is not what is measured.
 * A connection that breaks ends the program: figures of what is left would be of another load. */
#ifndef TESTS_BENCH_ETCD_CLIENT_H
#define TESTS_BENCH_ETCD_CLIENT_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct etcd_client;

struct etcd_client_events {
    /* A whole message, JSON or protobuf, borrowed until it returns. */
    void (*on_message)(void *arg, struct span message);
    /* Last, once: NULL, or in words what came instead of a success. Another call may be made in it.
     */
    void (*on_end)(void *arg, const char *failure);
};

int etcd_client_epoll(void);
struct etcd_client *etcd_client_open(int epoll, bool grpc, uint16_t port);
/* HTTP/1: one at a time. `keep_open`: of gRPC, a stream that the client does not end. `message` is
 * copied. */
void etcd_client_call(struct etcd_client *client, const char *path, struct span message,
                      bool keep_open, const struct etcd_client_events *events, void *arg);
/* Sends what is to be sent, waits so long for answers, and takes those that are there. */
void etcd_client_poll(int epoll, int timeout_ms);

#endif
