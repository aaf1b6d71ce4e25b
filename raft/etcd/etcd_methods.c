/* The methods of etcd's v3 API, as gRPC and as the JSON gateway name them. What we do not do is
 * there, too: a client is told so, and by the code that it expects. */
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_watch.h"

#define KV          "etcdserverpb.KV"
#define WATCH       "etcdserverpb.Watch"
#define LEASE       "etcdserverpb.Lease"
#define CLUSTER     "etcdserverpb.Cluster"
#define MAINTENANCE "etcdserverpb.Maintenance"
#define AUTH        "etcdserverpb.Auth"
#define LOCK        "v3lockpb.Lock"
#define ELECTION    "v3electionpb.Election"

#define UNARY(service_, name_, request_, response_, handler, ...)                 \
    {                                                                             \
        .service = (service_), .name = (name_), .request = &etcd_type_##request_, \
        .response = &etcd_type_##response_, .on_message = (handler), __VA_ARGS__  \
    }
/* Its fields are not looked at. */
#define NOT(service_, name_, path)                                                              \
    {                                                                                           \
        .service = (service_), .name = (name_), .paths = {(path)}, .request = &etcd_type_empty, \
        .response = &etcd_type_empty, .is_open = true, .on_message = etcd_not_supported         \
    }

void etcd_not_supported(struct etcd_call *call, const void *message)
{
    (void)message;
    etcd_call_fail(call, ETCD_ERROR_NOT_SUPPORTED);
}

/* clang-format off: a table */
const struct etcd_method etcd_methods[] = {
    UNARY(KV, "Range", range_request, range_response, etcd_kv_range, .paths = {"/kv/range"}),
    UNARY(KV, "Put", put_request, put_response, etcd_kv_put, .paths = {"/kv/put"}),
    UNARY(KV, "DeleteRange", delete_range_request, delete_range_response, etcd_kv_delete_range,
          .paths = {"/kv/deleterange"}),
    UNARY(KV, "Txn", txn_request, txn_response, etcd_kv_txn, .paths = {"/kv/txn"}),
    UNARY(KV, "Compact", compaction_request, header_response, etcd_kv_compact,
          .paths = {"/kv/compaction"}),
    NOT(KV, "RangeStream", NULL),

    {.service = WATCH,
     .name = "Watch",
     .paths = {"/watch"},
     .request = &etcd_type_watch_request,
     .response = &etcd_type_watch_response,
     .request_streams = true,
     .answer_streams = true,
     .on_message = etcd_watch_on_message,
     .on_end = etcd_watch_on_end,
     .on_close = etcd_watch_on_close},

    UNARY(LEASE, "LeaseGrant", lease_grant_request, lease_grant_response, etcd_lease_grant,
          .paths = {"/lease/grant"}, .is_open = true),
    UNARY(LEASE, "LeaseRevoke", lease_id, header_response, etcd_lease_revoke,
          .paths = {"/lease/revoke", "/kv/lease/revoke"}),
    {.service = LEASE,
     .name = "LeaseKeepAlive",
     .paths = {"/lease/keepalive"},
     .request = &etcd_type_lease_id,
     .response = &etcd_type_lease_keep_alive_response,
     .request_streams = true,
     .answer_streams = true,
     .on_message = etcd_keepalive_on_message,
     .on_end = etcd_keepalive_on_end,
     .on_close = etcd_keepalive_on_close},
    UNARY(LEASE, "LeaseTimeToLive", lease_time_to_live_request, lease_time_to_live_response,
          etcd_lease_time_to_live, .paths = {"/lease/timetolive", "/kv/lease/timetolive"}),
    UNARY(LEASE, "LeaseLeases", empty, lease_leases_response, etcd_lease_leases,
          .paths = {"/lease/leases", "/kv/lease/leases"}),

    UNARY(CLUSTER, "MemberList", member_list_request, member_list_response,
          etcd_cluster_member_list, .paths = {"/cluster/member/list"}, .is_open = true),
    NOT(CLUSTER, "MemberAdd", "/cluster/member/add"),
    NOT(CLUSTER, "MemberRemove", "/cluster/member/remove"),
    NOT(CLUSTER, "MemberUpdate", "/cluster/member/update"),
    NOT(CLUSTER, "MemberPromote", "/cluster/member/promote"),

    UNARY(MAINTENANCE, "Status", empty, status_response, etcd_maintenance_status,
          .paths = {"/maintenance/status"}, .is_open = true),
    UNARY(MAINTENANCE, "Alarm", alarm_request, alarm_response, etcd_maintenance_alarm,
          .paths = {"/maintenance/alarm"}, .is_open = true),
    UNARY(MAINTENANCE, "Hash", empty, hash_response, etcd_maintenance_hash,
          .paths = {"/maintenance/hash"}),
    UNARY(MAINTENANCE, "HashKV", hash_kv_request, hash_kv_response, etcd_maintenance_hash_kv,
          .paths = {"/maintenance/hashkv"}),
    UNARY(MAINTENANCE, "Defragment", empty, header_response, etcd_maintenance_defragment,
          .paths = {"/maintenance/defragment"}),
    UNARY(MAINTENANCE, "MoveLeader", move_leader_request, header_response,
          etcd_maintenance_move_leader, .paths = {"/maintenance/transfer-leadership"}),
    NOT(MAINTENANCE, "Snapshot", "/maintenance/snapshot"),
    NOT(MAINTENANCE, "Downgrade", "/maintenance/downgrade"),

    UNARY(AUTH, "Authenticate", authenticate_request, authenticate_response,
          etcd_users_authenticate, .paths = {"/auth/authenticate"}, .is_open = true),
    UNARY(AUTH, "AuthStatus", empty, auth_status_response, etcd_users_status,
          .paths = {"/auth/status"}, .is_open = true),
    NOT(AUTH, "AuthEnable", "/auth/enable"),
    NOT(AUTH, "AuthDisable", "/auth/disable"),
    NOT(AUTH, "UserAdd", "/auth/user/add"),
    NOT(AUTH, "UserGet", "/auth/user/get"),
    NOT(AUTH, "UserList", "/auth/user/list"),
    NOT(AUTH, "UserDelete", "/auth/user/delete"),
    NOT(AUTH, "UserChangePassword", "/auth/user/changepw"),
    NOT(AUTH, "UserGrantRole", "/auth/user/grant"),
    NOT(AUTH, "UserRevokeRole", "/auth/user/revoke"),
    NOT(AUTH, "RoleAdd", "/auth/role/add"),
    NOT(AUTH, "RoleGet", "/auth/role/get"),
    NOT(AUTH, "RoleList", "/auth/role/list"),
    NOT(AUTH, "RoleDelete", "/auth/role/delete"),
    NOT(AUTH, "RoleGrantPermission", "/auth/role/grant"),
    NOT(AUTH, "RoleRevokePermission", "/auth/role/revoke"),

    NOT(LOCK, "Lock", "/lock/lock"),
    NOT(LOCK, "Unlock", "/lock/unlock"),
    NOT(ELECTION, "Campaign", "/election/campaign"),
    NOT(ELECTION, "Proclaim", "/election/proclaim"),
    NOT(ELECTION, "Leader", "/election/leader"),
    NOT(ELECTION, "Observe", "/election/observe"),
    NOT(ELECTION, "Resign", "/election/resign"),
};
/* clang-format on */

const size_t etcd_methods_count = sizeof etcd_methods / sizeof etcd_methods[0];
