/* The messages of etcd's v3 API as C structs: KV, Watch, Lease, Cluster, Maintenance, Auth and the
 * health service of gRPC. Field numbers and names stand in etcd_fields.c, one table a message, and
 * every encoding follows from that table (etcd_proto.h, etcd_json.h).
 *
 * Zeroed is the empty message. Bytes and texts are borrowed spans. A message inside another is a
 * pointer, NULL = absent. What is repeated is a pointer with its `..._count`. Of a oneof, the
 * number of the field that is set stands in `which` (0 = none). Enums are int32_t: a peer may send
 * a number that has no name. Meanings are those of etcd's rpc.proto. */
#ifndef RAFT_ETCD_ETCD_MESSAGE_H
#define RAFT_ETCD_ETCD_MESSAGE_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct etcd_empty { /* messages without a field */
    char unused;
};

struct etcd_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
};

/* Answers that have a header only: Compaction, LeaseRevoke, Defragment, MoveLeader. */
struct etcd_header_response {
    struct etcd_header *header;
};

/* --- KV --------------------------------------------------------------------------------------- */

struct etcd_key_value {
    struct span key;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    struct span value;
    int64_t lease;
};

enum etcd_event_type { ETCD_EVENT_PUT = 0, ETCD_EVENT_DELETE = 1 };

struct etcd_event {
    int32_t type;
    struct etcd_key_value *kv;
    struct etcd_key_value *prev_kv;
};

enum etcd_sort_order { ETCD_SORT_NONE = 0, ETCD_SORT_ASCEND = 1, ETCD_SORT_DESCEND = 2 };

enum etcd_sort_target {
    ETCD_SORT_KEY = 0,
    ETCD_SORT_VERSION = 1,
    ETCD_SORT_CREATE = 2,
    ETCD_SORT_MOD = 3,
    ETCD_SORT_VALUE = 4
};

struct etcd_range_request {
    struct span key;
    struct span range_end;
    int64_t limit;
    int64_t revision;
    int32_t sort_order;
    int32_t sort_target;
    bool serializable;
    bool keys_only;
    bool count_only;
    int64_t min_mod_revision;
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};

struct etcd_range_response {
    struct etcd_header *header;
    struct etcd_key_value *kvs;
    size_t kvs_count;
    bool more;
    int64_t count;
};

struct etcd_put_request {
    struct span key;
    struct span value;
    int64_t lease;
    bool prev_kv;
    bool ignore_value;
    bool ignore_lease;
};

struct etcd_put_response {
    struct etcd_header *header;
    struct etcd_key_value *prev_kv;
};

struct etcd_delete_range_request {
    struct span key;
    struct span range_end;
    bool prev_kv;
};

struct etcd_delete_range_response {
    struct etcd_header *header;
    int64_t deleted;
    struct etcd_key_value *prev_kvs;
    size_t prev_kvs_count;
};

enum etcd_op { ETCD_OP_RANGE = 1, ETCD_OP_PUT = 2, ETCD_OP_DELETE_RANGE = 3, ETCD_OP_TXN = 4 };

struct etcd_txn_request;
struct etcd_txn_response;

struct etcd_request_op {
    uint32_t which; /* enum etcd_op; the member of its name */
    struct etcd_range_request *range;
    struct etcd_put_request *put;
    struct etcd_delete_range_request *delete_range;
    struct etcd_txn_request *txn;
};

struct etcd_response_op {
    uint32_t which; /* enum etcd_op */
    struct etcd_range_response *range;
    struct etcd_put_response *put;
    struct etcd_delete_range_response *delete_range;
    struct etcd_txn_response *txn;
};

enum etcd_compare_result {
    ETCD_COMPARE_EQUAL = 0,
    ETCD_COMPARE_GREATER = 1,
    ETCD_COMPARE_LESS = 2,
    ETCD_COMPARE_NOT_EQUAL = 3
};

enum etcd_compare_target {
    ETCD_TARGET_VERSION = 0,
    ETCD_TARGET_CREATE = 1,
    ETCD_TARGET_MOD = 2,
    ETCD_TARGET_VALUE = 3,
    ETCD_TARGET_LEASE = 4
};

enum etcd_compare_union {
    ETCD_UNION_VERSION = 4,
    ETCD_UNION_CREATE_REVISION = 5,
    ETCD_UNION_MOD_REVISION = 6,
    ETCD_UNION_VALUE = 7,
    ETCD_UNION_LEASE = 8
};

struct etcd_compare {
    int32_t result;
    int32_t target;
    struct span key;
    uint32_t which; /* enum etcd_compare_union */
    int64_t version;
    int64_t create_revision;
    int64_t mod_revision;
    struct span value;
    int64_t lease;
    struct span range_end;
};

struct etcd_txn_request {
    struct etcd_compare *compare;
    size_t compare_count;
    struct etcd_request_op *success;
    size_t success_count;
    struct etcd_request_op *failure;
    size_t failure_count;
};

struct etcd_txn_response {
    struct etcd_header *header;
    bool succeeded;
    struct etcd_response_op *responses;
    size_t responses_count;
};

struct etcd_compaction_request {
    int64_t revision;
    bool physical;
};

/* --- Watch ------------------------------------------------------------------------------------ */

enum etcd_watch_filter { ETCD_WATCH_NOPUT = 0, ETCD_WATCH_NODELETE = 1 };

struct etcd_watch_create_request {
    struct span key;
    struct span range_end;
    int64_t start_revision;
    bool progress_notify;
    int32_t *filters;
    size_t filters_count;
    bool prev_kv;
    int64_t watch_id;
    bool fragment;
};

struct etcd_watch_cancel_request {
    int64_t watch_id;
};

enum etcd_watch_union { ETCD_WATCH_CREATE = 1, ETCD_WATCH_CANCEL = 2, ETCD_WATCH_PROGRESS = 3 };

struct etcd_watch_request {
    uint32_t which; /* enum etcd_watch_union */
    struct etcd_watch_create_request *create_request;
    struct etcd_watch_cancel_request *cancel_request;
    struct etcd_empty *progress_request;
};

struct etcd_watch_response {
    struct etcd_header *header;
    int64_t watch_id;
    bool created;
    bool canceled;
    int64_t compact_revision;
    struct span cancel_reason;
    bool fragment;
    struct etcd_event *events;
    size_t events_count;
    struct span events_proto; /* not empty: all events as protobuf has them, made before */
};

/* --- Lease ------------------------------------------------------------------------------------ */

struct etcd_lease_grant_request {
    int64_t ttl; /* s */
    int64_t id;
};

struct etcd_lease_grant_response {
    struct etcd_header *header;
    int64_t id;
    int64_t ttl;
    struct span error;
};

struct etcd_lease_id { /* LeaseRevokeRequest, LeaseKeepAliveRequest, LeaseStatus */
    int64_t id;
};

struct etcd_lease_keep_alive_response {
    struct etcd_header *header;
    int64_t id;
    int64_t ttl;
};

struct etcd_lease_time_to_live_request {
    int64_t id;
    bool keys;
};

struct etcd_lease_time_to_live_response {
    struct etcd_header *header;
    int64_t id;
    int64_t ttl;
    int64_t granted_ttl;
    struct span *keys;
    size_t keys_count;
};

struct etcd_lease_leases_response {
    struct etcd_header *header;
    struct etcd_lease_id *leases;
    size_t leases_count;
};

/* --- Cluster ---------------------------------------------------------------------------------- */

struct etcd_member {
    uint64_t id;
    struct span name;
    struct span *peer_urls;
    size_t peer_urls_count;
    struct span *client_urls;
    size_t client_urls_count;
    bool is_learner;
};

struct etcd_member_list_request {
    bool linearizable;
};

struct etcd_member_list_response {
    struct etcd_header *header;
    struct etcd_member *members;
    size_t members_count;
};

/* --- Maintenance ------------------------------------------------------------------------------ */

struct etcd_status_response {
    struct etcd_header *header;
    struct span version;
    int64_t db_size;
    uint64_t leader;
    uint64_t raft_index;
    uint64_t raft_term;
    uint64_t raft_applied_index;
    struct span *errors;
    size_t errors_count;
    int64_t db_size_in_use;
    bool is_learner;
    struct span storage_version;
    int64_t db_size_quota;
};

enum etcd_alarm_action { ETCD_ALARM_GET = 0, ETCD_ALARM_ACTIVATE = 1, ETCD_ALARM_DEACTIVATE = 2 };

enum etcd_alarm_type { ETCD_ALARM_NONE = 0, ETCD_ALARM_NOSPACE = 1, ETCD_ALARM_CORRUPT = 2 };

struct etcd_alarm_request {
    int32_t action;
    uint64_t member_id;
    int32_t alarm;
};

struct etcd_alarm_member {
    uint64_t member_id;
    int32_t alarm;
};

struct etcd_alarm_response {
    struct etcd_header *header;
    struct etcd_alarm_member *alarms;
    size_t alarms_count;
};

struct etcd_hash_kv_request {
    int64_t revision;
};

struct etcd_hash_kv_response {
    struct etcd_header *header;
    uint32_t hash;
    int64_t compact_revision;
    int64_t hash_revision;
};

struct etcd_hash_response {
    struct etcd_header *header;
    uint32_t hash;
};

struct etcd_move_leader_request {
    uint64_t target_id;
};

/* --- Auth, health ----------------------------------------------------------------------------- */

struct etcd_authenticate_request {
    struct span name;
    struct span password;
};

struct etcd_authenticate_response {
    struct etcd_header *header;
    struct span token;
};

struct etcd_auth_status_response {
    struct etcd_header *header;
    bool enabled;
    uint64_t auth_revision;
};

struct etcd_health_check_request {
    struct span service;
};

enum etcd_serving_status {
    ETCD_HEALTH_UNKNOWN = 0,
    ETCD_HEALTH_SERVING = 1,
    ETCD_HEALTH_NOT_SERVING = 2,
    ETCD_HEALTH_SERVICE_UNKNOWN = 3
};

struct etcd_health_check_response {
    int32_t status;
};

#endif
