/* What is asked for over HTTP on etcd's port: one router, and what it hands to. Each of the three
 * answers every request that it is given. */
#ifndef RAFT_ETCD_ETCD_HTTP_H
#define RAFT_ETCD_ETCD_HTTP_H

#include "base/net/http_exchange.h"
#include "raft/etcd/etcd_service.h"

/* Beyond it a body is refused (413): the largest request that etcd takes, 1.5 MiB and what gRPC
 * adds to it, in base64. */
#define ETCD_HTTP_BODY_BYTES_MAX ((size_t)3 * 1024 * 1024)
/* For the HTTP/1 server in front of it. */
extern const struct http1_limits etcd_http1_limits;

/* By the path: /v2/... , /v3/... and /v3beta/... , /version /health /metrics ...; else 404. */
void etcd_http_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request);

/* /v2/... (etcd_v2.c) */
void etcd_v2_serve(struct etcd_service *service, struct http_exchange *exchange,
                   const struct http1_request *request);
/* The JSON gateway: `path` is what follows /v3 (etcd_gateway.c). */
void etcd_gateway_serve(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request, const char *path);
/* Every call that goes on there ends with `etcdserver: server stopped`. */
void etcd_gateway_stop(struct etcd_service *service);
/* /version, /health, /metrics, /livez, /readyz (etcd_info.c). False: it is none of them. */
bool etcd_info_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request);

#endif
