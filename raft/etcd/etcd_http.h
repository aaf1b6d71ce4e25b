/* What is asked for over HTTP on etcd's port: one router, and what it hands to. Each of the three
 * answers every request that it is given. */
#ifndef RAFT_ETCD_ETCD_HTTP_H
#define RAFT_ETCD_ETCD_HTTP_H

#include "base/net/http_exchange.h"
#include "raft/etcd/etcd_service.h"

/* By the path: /v2/... , /v3/... and /v3beta/... , /version /health /metrics ...; else 404. */
void etcd_http_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request);

/* /v2/... (etcd_v2.c) */
void etcd_v2_serve(struct etcd_service *service, struct http_exchange *exchange,
                   const struct http1_request *request);
/* The JSON gateway: `path` is what follows /v3 (etcd_gateway.c). */
void etcd_gateway_serve(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request, const char *path);
/* /version, /health, /metrics, /livez, /readyz (etcd_info.c). False: it is none of them. */
bool etcd_info_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request);

#endif
