/* etcd's calls over gRPC: the table of etcd_methods as etcd_grpc.h takes it, and each of its calls
 * as a struct etcd_call. */
#ifndef RAFT_ETCD_ETCD_GRPC_CALLS_H
#define RAFT_ETCD_ETCD_GRPC_CALLS_H

#include "raft/etcd/etcd_grpc.h"

struct etcd_grpc_calls;
struct etcd_service;

/* `service` is borrowed. */
struct etcd_grpc_calls *etcd_grpc_calls_new(struct etcd_service *service);
/* When the grpc_server of its config has stopped. */
void etcd_grpc_calls_free(struct etcd_grpc_calls *calls);
/* For grpc_server_new; lives as long as `calls`. */
const struct grpc_config *etcd_grpc_calls_config(const struct etcd_grpc_calls *calls);

#endif
