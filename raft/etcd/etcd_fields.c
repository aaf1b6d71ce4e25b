/* PURE. The tables, a row a field: struct, number, member, and the name in the proto where it is
 * another one. The compiler checks that the member has the type that goes with the kind. */
#include "raft/etcd/etcd_fields.h"

#include "base/assert.h"
#include "base/err.h"
#include "raft/etcd/etcd_message.h"

#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The offset of a member, which is of type `c_type` or does not compile. */
#define AT(s, member, c_type) \
    (offsetof(struct etcd_##s, member) + 0 * sizeof((c_type *)0 == &((struct etcd_##s *)0)->member))
#define ROW(k, s, n, member, text, c_type) \
    .number = (n), .kind = ETCD_KIND_##k, .name = (text), .offset = AT(s, member, c_type)
#define MANY(s, member) .repeated = true, .count_offset = AT(s, member##_count, size_t)
#define MADE(s, member) .proto_offset = AT(s, member##_proto, struct span)

/* clang-format off: tables, from here to the last of them */
#define BOOL(s, n, member, text)            \
    {                                       \
        ROW(BOOL, s, n, member, text, bool) \
    }
#define INT64(s, n, member, text)               \
    {                                           \
        ROW(INT64, s, n, member, text, int64_t) \
    }
#define UINT64(s, n, member, text)                \
    {                                             \
        ROW(UINT64, s, n, member, text, uint64_t) \
    }
#define UINT32(s, n, member, text)                \
    {                                             \
        ROW(UINT32, s, n, member, text, uint32_t) \
    }
#define BYTES(s, n, member, text)                   \
    {                                               \
        ROW(BYTES, s, n, member, text, struct span) \
    }
#define STRING(s, n, member, text)                   \
    {                                                \
        ROW(STRING, s, n, member, text, struct span) \
    }
#define ENUM(s, n, member, text, e)                           \
    {                                                         \
        ROW(ENUM, s, n, member, text, int32_t), .names = &(e) \
    }
#define MESSAGE(s, n, member, text, t)                                                 \
    {                                                                                  \
        ROW(MESSAGE, s, n, member, text, struct etcd_##t *), .message = &etcd_type_##t \
    }
/* repeated */
#define BYTESES(s, n, member, text)                                    \
    {                                                                  \
        ROW(BYTES, s, n, member, text, struct span *), MANY(s, member) \
    }
#define STRINGS(s, n, member, text)                                     \
    {                                                                   \
        ROW(STRING, s, n, member, text, struct span *), MANY(s, member) \
    }
#define ENUMS(s, n, member, text, e, max)                                                   \
    {                                                                                       \
        ROW(ENUM, s, n, member, text, int32_t *), .names = &(e), MANY(s, member),           \
                                                  .count_max = (max), .count_rc = ERR_LIMIT \
    }
#define MESSAGES(s, n, member, text, t)                                                 \
    {                                                                                   \
        ROW(MESSAGE, s, n, member, text, struct etcd_##t *), .message = &etcd_type_##t, \
                                                             MANY(s, member)            \
    }
#define MADE_MESSAGES(s, n, member, text, t)                                                  \
    {                                                                                         \
        ROW(MESSAGE, s, n, member, text, struct etcd_##t *), .message = &etcd_type_##t,       \
                                                             MANY(s, member), MADE(s, member) \
    }
#define OPS(s, n, member, text, t)                                                     \
    {                                                                                  \
        ROW(MESSAGE, s, n, member, text, struct etcd_##t *),                           \
            .message = &etcd_type_##t, MANY(s, member), .count_max = ETCD_TXN_OPS_MAX, \
            .count_rc = ERR_BUSY                                                       \
    }
/* of a oneof */
#define ONE_INT64(s, n, member, text)                          \
    {                                                          \
        ROW(INT64, s, n, member, text, int64_t), .oneof = true \
    }
#define ONE_BYTES(s, n, member, text)                              \
    {                                                              \
        ROW(BYTES, s, n, member, text, struct span), .oneof = true \
    }
#define ONE_MESSAGE(s, n, member, text, t)                                              \
    {                                                                                   \
        ROW(MESSAGE, s, n, member, text, struct etcd_##t *), .message = &etcd_type_##t, \
                                                             .oneof = true              \
    }

#define FIELDS(t, ...)                                           \
    static const struct etcd_field t##_fields[] = {__VA_ARGS__}; \
    _Static_assert(COUNT_OF(t##_fields) <= ETCD_FIELDS_MAX, "more rows than a decoder counts")
#define TYPE_MEMBERS(t, text)                                               \
    .name = (text), .bytes = sizeof(struct etcd_##t), .fields = t##_fields, \
    .fields_count = COUNT_OF(t##_fields)
#define TYPE(t, text, ...)  \
    FIELDS(t, __VA_ARGS__); \
    const struct etcd_type etcd_type_##t = {TYPE_MEMBERS(t, text)}
#define TYPE_ONEOF(t, text, one, ...)        \
    FIELDS(t, __VA_ARGS__);                  \
    const struct etcd_type etcd_type_##t = { \
        TYPE_MEMBERS(t, text), .which_offset = AT(t, which, uint32_t), .oneof_name = (one)}
#define ENUM_NAMES(e, text, ...)                           \
    static const char *const e##_values[] = {__VA_ARGS__}; \
    static const struct etcd_enum e = {                    \
        .name = (text), .values = e##_values, .values_count = COUNT_OF(e##_values)}

ENUM_NAMES(event_type, "mvccpb.Event_EventType", "PUT", "DELETE");
ENUM_NAMES(sort_order, "etcdserverpb.RangeRequest_SortOrder", "NONE", "ASCEND", "DESCEND");
ENUM_NAMES(sort_target, "etcdserverpb.RangeRequest_SortTarget", "KEY", "VERSION", "CREATE", "MOD",
           "VALUE");
ENUM_NAMES(compare_result, "etcdserverpb.Compare_CompareResult", "EQUAL", "GREATER", "LESS",
           "NOT_EQUAL");
ENUM_NAMES(compare_target, "etcdserverpb.Compare_CompareTarget", "VERSION", "CREATE", "MOD",
           "VALUE", "LEASE");
ENUM_NAMES(filter_type, "etcdserverpb.WatchCreateRequest_FilterType", "NOPUT", "NODELETE");
ENUM_NAMES(alarm_action, "etcdserverpb.AlarmRequest_AlarmAction", "GET", "ACTIVATE", "DEACTIVATE");
ENUM_NAMES(alarm_type, "etcdserverpb.AlarmType", "NONE", "NOSPACE", "CORRUPT");
ENUM_NAMES(serving_status, "grpc.health.v1.HealthCheckResponse_ServingStatus", "UNKNOWN", "SERVING",
           "NOT_SERVING", "SERVICE_UNKNOWN");

const struct etcd_type etcd_type_empty = {.name = "Empty", .bytes = sizeof(struct etcd_empty)};

TYPE(header, "ResponseHeader", UINT64(header, 1, cluster_id, "cluster_id"),
     UINT64(header, 2, member_id, "member_id"), INT64(header, 3, revision, "revision"),
     UINT64(header, 4, raft_term, "raft_term"));
TYPE(header_response, "HeaderResponse", MESSAGE(header_response, 1, header, "header", header));

/* --- KV --------------------------------------------------------------------------------------- */

TYPE(key_value, "KeyValue", BYTES(key_value, 1, key, "key"),
     INT64(key_value, 2, create_revision, "create_revision"),
     INT64(key_value, 3, mod_revision, "mod_revision"), INT64(key_value, 4, version, "version"),
     BYTES(key_value, 5, value, "value"), INT64(key_value, 6, lease, "lease"));
TYPE(event, "Event", ENUM(event, 1, type, "type", event_type),
     MESSAGE(event, 2, kv, "kv", key_value), MESSAGE(event, 3, prev_kv, "prev_kv", key_value));
TYPE(range_request, "RangeRequest", BYTES(range_request, 1, key, "key"),
     BYTES(range_request, 2, range_end, "range_end"), INT64(range_request, 3, limit, "limit"),
     INT64(range_request, 4, revision, "revision"),
     ENUM(range_request, 5, sort_order, "sort_order", sort_order),
     ENUM(range_request, 6, sort_target, "sort_target", sort_target),
     BOOL(range_request, 7, serializable, "serializable"),
     BOOL(range_request, 8, keys_only, "keys_only"),
     BOOL(range_request, 9, count_only, "count_only"),
     INT64(range_request, 10, min_mod_revision, "min_mod_revision"),
     INT64(range_request, 11, max_mod_revision, "max_mod_revision"),
     INT64(range_request, 12, min_create_revision, "min_create_revision"),
     INT64(range_request, 13, max_create_revision, "max_create_revision"));
TYPE(range_response, "RangeResponse", MESSAGE(range_response, 1, header, "header", header),
     MESSAGES(range_response, 2, kvs, "kvs", key_value), BOOL(range_response, 3, more, "more"),
     INT64(range_response, 4, count, "count"));
TYPE(put_request, "PutRequest", BYTES(put_request, 1, key, "key"),
     BYTES(put_request, 2, value, "value"), INT64(put_request, 3, lease, "lease"),
     BOOL(put_request, 4, prev_kv, "prev_kv"), BOOL(put_request, 5, ignore_value, "ignore_value"),
     BOOL(put_request, 6, ignore_lease, "ignore_lease"));
TYPE(put_response, "PutResponse", MESSAGE(put_response, 1, header, "header", header),
     MESSAGE(put_response, 2, prev_kv, "prev_kv", key_value));
TYPE(delete_range_request, "DeleteRangeRequest", BYTES(delete_range_request, 1, key, "key"),
     BYTES(delete_range_request, 2, range_end, "range_end"),
     BOOL(delete_range_request, 3, prev_kv, "prev_kv"));
TYPE(delete_range_response, "DeleteRangeResponse",
     MESSAGE(delete_range_response, 1, header, "header", header),
     INT64(delete_range_response, 2, deleted, "deleted"),
     MESSAGES(delete_range_response, 3, prev_kvs, "prev_kvs", key_value));
TYPE_ONEOF(request_op, "RequestOp", "request",
           ONE_MESSAGE(request_op, 1, range, "request_range", range_request),
           ONE_MESSAGE(request_op, 2, put, "request_put", put_request),
           ONE_MESSAGE(request_op, 3, delete_range, "request_delete_range", delete_range_request),
           ONE_MESSAGE(request_op, 4, txn, "request_txn", txn_request));
TYPE_ONEOF(response_op, "ResponseOp", "response",
           ONE_MESSAGE(response_op, 1, range, "response_range", range_response),
           ONE_MESSAGE(response_op, 2, put, "response_put", put_response),
           ONE_MESSAGE(response_op, 3, delete_range, "response_delete_range",
                       delete_range_response),
           ONE_MESSAGE(response_op, 4, txn, "response_txn", txn_response));
TYPE_ONEOF(compare, "Compare", "target_union", ENUM(compare, 1, result, "result", compare_result),
           ENUM(compare, 2, target, "target", compare_target), BYTES(compare, 3, key, "key"),
           ONE_INT64(compare, 4, version, "version"),
           ONE_INT64(compare, 5, create_revision, "create_revision"),
           ONE_INT64(compare, 6, mod_revision, "mod_revision"),
           ONE_BYTES(compare, 7, value, "value"), ONE_INT64(compare, 8, lease, "lease"),
           BYTES(compare, 64, range_end, "range_end"));
TYPE(txn_request, "TxnRequest", OPS(txn_request, 1, compare, "compare", compare),
     OPS(txn_request, 2, success, "success", request_op),
     OPS(txn_request, 3, failure, "failure", request_op));
TYPE(txn_response, "TxnResponse", MESSAGE(txn_response, 1, header, "header", header),
     BOOL(txn_response, 2, succeeded, "succeeded"),
     MESSAGES(txn_response, 3, responses, "responses", response_op));
TYPE(compaction_request, "CompactionRequest", INT64(compaction_request, 1, revision, "revision"),
     BOOL(compaction_request, 2, physical, "physical"));

/* --- Watch ------------------------------------------------------------------------------------ */

TYPE(watch_create_request, "WatchCreateRequest", BYTES(watch_create_request, 1, key, "key"),
     BYTES(watch_create_request, 2, range_end, "range_end"),
     INT64(watch_create_request, 3, start_revision, "start_revision"),
     BOOL(watch_create_request, 4, progress_notify, "progress_notify"),
     ENUMS(watch_create_request, 5, filters, "filters", filter_type, ETCD_WATCH_FILTERS_MAX),
     BOOL(watch_create_request, 6, prev_kv, "prev_kv"),
     INT64(watch_create_request, 7, watch_id, "watch_id"),
     BOOL(watch_create_request, 8, fragment, "fragment"));
TYPE(watch_cancel_request, "WatchCancelRequest",
     INT64(watch_cancel_request, 1, watch_id, "watch_id"));
TYPE_ONEOF(watch_request, "WatchRequest", "request_union",
           ONE_MESSAGE(watch_request, 1, create_request, "create_request", watch_create_request),
           ONE_MESSAGE(watch_request, 2, cancel_request, "cancel_request", watch_cancel_request),
           ONE_MESSAGE(watch_request, 3, progress_request, "progress_request", empty));
TYPE(watch_response, "WatchResponse", MESSAGE(watch_response, 1, header, "header", header),
     INT64(watch_response, 2, watch_id, "watch_id"), BOOL(watch_response, 3, created, "created"),
     BOOL(watch_response, 4, canceled, "canceled"),
     INT64(watch_response, 5, compact_revision, "compact_revision"),
     STRING(watch_response, 6, cancel_reason, "cancel_reason"),
     BOOL(watch_response, 7, fragment, "fragment"),
     MADE_MESSAGES(watch_response, 11, events, "events", event));

/* --- Lease ------------------------------------------------------------------------------------ */

TYPE(lease_grant_request, "LeaseGrantRequest", INT64(lease_grant_request, 1, ttl, "TTL"),
     INT64(lease_grant_request, 2, id, "ID"));
TYPE(lease_grant_response, "LeaseGrantResponse",
     MESSAGE(lease_grant_response, 1, header, "header", header),
     INT64(lease_grant_response, 2, id, "ID"), INT64(lease_grant_response, 3, ttl, "TTL"),
     STRING(lease_grant_response, 4, error, "error"));
TYPE(lease_id, "LeaseStatus", INT64(lease_id, 1, id, "ID"));
TYPE(lease_keep_alive_response, "LeaseKeepAliveResponse",
     MESSAGE(lease_keep_alive_response, 1, header, "header", header),
     INT64(lease_keep_alive_response, 2, id, "ID"),
     INT64(lease_keep_alive_response, 3, ttl, "TTL"));
TYPE(lease_time_to_live_request, "LeaseTimeToLiveRequest",
     INT64(lease_time_to_live_request, 1, id, "ID"),
     BOOL(lease_time_to_live_request, 2, keys, "keys"));
TYPE(lease_time_to_live_response, "LeaseTimeToLiveResponse",
     MESSAGE(lease_time_to_live_response, 1, header, "header", header),
     INT64(lease_time_to_live_response, 2, id, "ID"),
     INT64(lease_time_to_live_response, 3, ttl, "TTL"),
     INT64(lease_time_to_live_response, 4, granted_ttl, "grantedTTL"),
     BYTESES(lease_time_to_live_response, 5, keys, "keys"));
TYPE(lease_leases_response, "LeaseLeasesResponse",
     MESSAGE(lease_leases_response, 1, header, "header", header),
     MESSAGES(lease_leases_response, 2, leases, "leases", lease_id));

/* --- Cluster ---------------------------------------------------------------------------------- */

TYPE(member, "Member", UINT64(member, 1, id, "ID"), STRING(member, 2, name, "name"),
     STRINGS(member, 3, peer_urls, "peerURLs"), STRINGS(member, 4, client_urls, "clientURLs"),
     BOOL(member, 5, is_learner, "isLearner"));
TYPE(member_list_request, "MemberListRequest",
     BOOL(member_list_request, 1, linearizable, "linearizable"));
TYPE(member_list_response, "MemberListResponse",
     MESSAGE(member_list_response, 1, header, "header", header),
     MESSAGES(member_list_response, 2, members, "members", member));

/* --- Maintenance ------------------------------------------------------------------------------ */

TYPE(status_response, "StatusResponse", MESSAGE(status_response, 1, header, "header", header),
     STRING(status_response, 2, version, "version"), INT64(status_response, 3, db_size, "dbSize"),
     UINT64(status_response, 4, leader, "leader"),
     UINT64(status_response, 5, raft_index, "raftIndex"),
     UINT64(status_response, 6, raft_term, "raftTerm"),
     UINT64(status_response, 7, raft_applied_index, "raftAppliedIndex"),
     STRINGS(status_response, 8, errors, "errors"),
     INT64(status_response, 9, db_size_in_use, "dbSizeInUse"),
     BOOL(status_response, 10, is_learner, "isLearner"),
     STRING(status_response, 11, storage_version, "storageVersion"),
     INT64(status_response, 12, db_size_quota, "dbSizeQuota"));
TYPE(alarm_request, "AlarmRequest", ENUM(alarm_request, 1, action, "action", alarm_action),
     UINT64(alarm_request, 2, member_id, "memberID"),
     ENUM(alarm_request, 3, alarm, "alarm", alarm_type));
TYPE(alarm_member, "AlarmMember", UINT64(alarm_member, 1, member_id, "memberID"),
     ENUM(alarm_member, 2, alarm, "alarm", alarm_type));
TYPE(alarm_response, "AlarmResponse", MESSAGE(alarm_response, 1, header, "header", header),
     MESSAGES(alarm_response, 2, alarms, "alarms", alarm_member));
TYPE(hash_kv_request, "HashKVRequest", INT64(hash_kv_request, 1, revision, "revision"));
TYPE(hash_kv_response, "HashKVResponse", MESSAGE(hash_kv_response, 1, header, "header", header),
     UINT32(hash_kv_response, 2, hash, "hash"),
     INT64(hash_kv_response, 3, compact_revision, "compact_revision"),
     INT64(hash_kv_response, 4, hash_revision, "hash_revision"));
TYPE(hash_response, "HashResponse", MESSAGE(hash_response, 1, header, "header", header),
     UINT32(hash_response, 2, hash, "hash"));
TYPE(move_leader_request, "MoveLeaderRequest",
     UINT64(move_leader_request, 1, target_id, "targetID"));

/* --- Auth, health ----------------------------------------------------------------------------- */

TYPE(authenticate_request, "AuthenticateRequest", STRING(authenticate_request, 1, name, "name"),
     STRING(authenticate_request, 2, password, "password"));
TYPE(authenticate_response, "AuthenticateResponse",
     MESSAGE(authenticate_response, 1, header, "header", header),
     STRING(authenticate_response, 2, token, "token"));
TYPE(auth_status_response, "AuthStatusResponse",
     MESSAGE(auth_status_response, 1, header, "header", header),
     BOOL(auth_status_response, 2, enabled, "enabled"),
     UINT64(auth_status_response, 3, auth_revision, "authRevision"));
TYPE(health_check_request, "HealthCheckRequest",
     STRING(health_check_request, 1, service, "service"));
TYPE(health_check_response, "HealthCheckResponse",
     ENUM(health_check_response, 1, status, "status", serving_status));
/* clang-format on */

const struct etcd_type *etcd_type_find(const char *name)
{
#define TYPE_ROW(t) &etcd_type_##t,
    static const struct etcd_type *const types[] = {ETCD_TYPES(TYPE_ROW)};
#undef TYPE_ROW
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (strcmp(types[i]->name, name) == 0) {
            return types[i];
        }
    }
    return NULL;
}

const struct etcd_field *etcd_field_find(const struct etcd_type *type, uint32_t number)
{
    for (size_t i = 0; i < type->fields_count; i++) {
        if (type->fields[i].number == number) {
            return &type->fields[i];
        }
    }
    return NULL;
}

size_t etcd_field_bytes(const struct etcd_field *field)
{
    switch (field->kind) {
    case ETCD_KIND_BOOL: return sizeof(bool);
    case ETCD_KIND_INT64: return sizeof(int64_t);
    case ETCD_KIND_UINT64: return sizeof(uint64_t);
    case ETCD_KIND_UINT32: return sizeof(uint32_t);
    case ETCD_KIND_ENUM: return sizeof(int32_t);
    case ETCD_KIND_BYTES:
    case ETCD_KIND_STRING: return sizeof(struct span);
    case ETCD_KIND_MESSAGE: return field->message->bytes;
    }
    ASSERT(false);
    return 0;
}

static const void *pointer_at(const uint8_t *at)
{
    const void *pointer;
    memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

size_t etcd_field_count(const struct etcd_field *field, const void *message)
{
    size_t count;
    ASSERT(field->repeated);
    memcpy(&count, (const uint8_t *)message + field->count_offset, sizeof count);
    return count;
}

const void *etcd_field_at(const struct etcd_type *type, const struct etcd_field *field,
                          const void *message, size_t index)
{
    const uint8_t *at = (const uint8_t *)message + field->offset;
    if (field->repeated) {
        return index >= etcd_field_count(field, message)
                   ? NULL
                   : (const uint8_t *)pointer_at(at) + index * etcd_field_bytes(field);
    }
    if (field->oneof) {
        uint32_t which;
        memcpy(&which, (const uint8_t *)message + type->which_offset, sizeof which);
        if (which != field->number) {
            return NULL;
        }
    }
    return field->kind == ETCD_KIND_MESSAGE ? pointer_at(at) : at;
}

static bool scalar_is_zero(const struct etcd_field *field, const void *at)
{
    static const uint8_t zero[sizeof(uint64_t)];
    if (field->kind == ETCD_KIND_BYTES || field->kind == ETCD_KIND_STRING) {
        return ((const struct span *)at)->len == 0;
    }
    return memcmp(at, zero, etcd_field_bytes(field)) == 0;
}

bool etcd_field_is_zero(const struct etcd_type *type, const struct etcd_field *field,
                        const void *message)
{
    const void *at = etcd_field_at(type, field, message, 0);
    if (at == NULL) {
        return true;
    }
    return !field->repeated && !field->oneof && field->kind != ETCD_KIND_MESSAGE &&
           scalar_is_zero(field, at);
}
