/* What the methods of etcd's v3 API do; each takes the message that its row of etcd_methods.c
 * names. Watch: etcd_watch.h. */
#ifndef RAFT_ETCD_ETCD_HANDLERS_H
#define RAFT_ETCD_ETCD_HANDLERS_H

struct etcd_call;

/* etcd_range.c */
void etcd_kv_range(struct etcd_call *call, const void *message);
/* etcd_kv.c */
void etcd_kv_put(struct etcd_call *call, const void *message);
void etcd_kv_delete_range(struct etcd_call *call, const void *message);
void etcd_kv_txn(struct etcd_call *call, const void *message);
void etcd_kv_compact(struct etcd_call *call, const void *message);

/* etcd_lease.c */
void etcd_lease_grant(struct etcd_call *call, const void *message);
void etcd_lease_revoke(struct etcd_call *call, const void *message);
void etcd_lease_time_to_live(struct etcd_call *call, const void *message);
void etcd_lease_leases(struct etcd_call *call, const void *message);
/* etcd_keepalive.c */
void etcd_keepalive_on_message(struct etcd_call *call, const void *message);
void etcd_keepalive_on_end(struct etcd_call *call);
void etcd_keepalive_on_close(struct etcd_call *call);

/* etcd_cluster.c */
void etcd_cluster_member_list(struct etcd_call *call, const void *message);

/* etcd_maintenance.c */
void etcd_maintenance_status(struct etcd_call *call, const void *message);
void etcd_maintenance_alarm(struct etcd_call *call, const void *message);
void etcd_maintenance_hash(struct etcd_call *call, const void *message);
void etcd_maintenance_hash_kv(struct etcd_call *call, const void *message);
void etcd_maintenance_defragment(struct etcd_call *call, const void *message);
void etcd_maintenance_move_leader(struct etcd_call *call, const void *message);

/* etcd_users.c */
void etcd_users_authenticate(struct etcd_call *call, const void *message);
void etcd_users_status(struct etcd_call *call, const void *message);

/* etcd_methods.c */
void etcd_not_supported(struct etcd_call *call, const void *message);

#endif
