/* Maintenance of etcd's v3 API, as far as it means something here: there is no file that could be
 * fragmented, and no alarm that has to be disarmed. NOSPACE is told while the store is nearly full,
 * and goes by itself. */
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_hash.h"
#include "raft/etcd/etcd_service.h"

/* --- Status, Alarm ---------------------------------------------------------------------------- */

/* Less than a 32nd of the room that clients have for bytes or keys is left. */
static bool is_nearly_full(const struct store_usage *usage)
{
    enum { LEFT = 32 };
    return usage->bytes > STORE_CLIENT_BYTES_MAX - STORE_CLIENT_BYTES_MAX / LEFT ||
           usage->keys > STORE_CLIENT_KEYS_MAX - STORE_CLIENT_KEYS_MAX / LEFT;
}

void etcd_maintenance_status(struct etcd_call *call, const void *message)
{
    const struct etcd_service_config *config = etcd_service_config(call->service);
    struct raft_node *node = config->node(config->arg);
    struct span no_leader = span_str(etcd_error_text(ETCD_ERROR_NO_LEADER));
    struct raft_status status;
    struct store_usage usage;
    struct etcd_header header;
    (void)message;
    if (node == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    raft_node_status(node, &status);
    store_usage(raft_node_store(node), &usage);
    etcd_service_header(call->service, &header);
    struct etcd_status_response response = {
        .header = &header,
        .version = span_str(ETCD_VERSION),
        .db_size = (int64_t)(usage.bytes + usage.old_bytes) + 1, /* 0 would be none at all */
        .db_size_in_use = (int64_t)usage.bytes + 1,
        .db_size_quota = (int64_t)STORE_CLIENT_BYTES_MAX,
        .leader = status.leader,
        .raft_index = status.commit_index,
        .raft_term = header.raft_term,
        .raft_applied_index = status.applied_index,
        .errors = &no_leader,
        .errors_count = status.leader == 0 ? 1 : 0,
    };
    for (size_t i = 0; i < status.member_count; i++) {
        response.is_learner |= status.members[i].id == status.id && !status.members[i].voter;
    }
    etcd_call_answer(call, &response);
}

void etcd_maintenance_alarm(struct etcd_call *call, const void *message)
{
    const struct etcd_alarm_request *request = message;
    const struct store *store = etcd_service_store(call->service);
    struct etcd_header header;
    struct etcd_alarm_member alarm = {.alarm = ETCD_ALARM_NOSPACE};
    struct etcd_alarm_response response = {.alarms = &alarm};
    if (request->action == ETCD_ALARM_ACTIVATE) {
        etcd_call_fail(call, ETCD_ERROR_NOT_SUPPORTED);
        return;
    }
    if (store != NULL && request->action == ETCD_ALARM_GET &&
        request->alarm != ETCD_ALARM_CORRUPT) {
        struct store_usage usage;
        store_usage(store, &usage);
        response.alarms_count = is_nearly_full(&usage) ? 1 : 0;
    }
    etcd_service_header(call->service, &header);
    alarm.member_id = header.member_id;
    etcd_call_answer(call, &response); /* without a header, as etcd's */
}

/* --- Hash, HashKV ----------------------------------------------------------------------------- */

static uint64_t hash_kv(uint64_t hash, const struct store_kv *kv)
{
    const uint64_t numbers[] = {(uint64_t)kv->create_revision, (uint64_t)kv->mod_revision,
                                (uint64_t)kv->version, kv->lease};
    hash = etcd_hash_bytes(hash, kv->key);
    hash = etcd_hash_bytes(hash, kv->value);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        hash = etcd_hash_number(hash, numbers[i]);
    }
    return hash;
}

/* Of all keys as they were at `revision` (0: now): the same on every member that has come that far.
 * False: the call was failed. */
static bool hash_of(struct etcd_call *call, int64_t revision, uint32_t *ret_hash)
{
    const struct store *store = etcd_service_store(call->service);
    struct store_range all = {
        .key = span_of("\0", 1), .range_end = span_of("\0", 1), .revision = revision};
    struct store_range_result result = {.count = 0};
    uint64_t hash = ETCD_HASH_BEGIN;
    if (store == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
        return false;
    }
    int rc = store_range(store, &all, &result, NULL);
    if (rc != 0) {
        etcd_call_fail(call, rc == ERR_INVALID ? ETCD_ERROR_FUTURE_REVISION : ETCD_ERROR_COMPACTED);
        return false;
    }
    hash = etcd_hash_number(hash, (uint64_t)(revision > 0 ? revision : result.revision));
    for (size_t i = 0; i < result.kvs.count; i++) {
        struct store_kv kv;
        store_kvs_get(&result.kvs, i, &kv);
        hash = hash_kv(hash, &kv);
    }
    store_kvs_close(&result.kvs);
    *ret_hash = etcd_hash_end(hash);
    return true;
}

void etcd_maintenance_hash_kv(struct etcd_call *call, const void *message)
{
    const struct etcd_hash_kv_request *request = message;
    struct etcd_header header;
    struct etcd_hash_kv_response response = {.header = &header};
    if (!hash_of(call, request->revision, &response.hash)) {
        return;
    }
    etcd_service_header(call->service, &header);
    response.compact_revision = store_compacted(etcd_service_store(call->service));
    response.hash_revision = request->revision > 0 ? request->revision : header.revision;
    etcd_call_answer(call, &response);
}

void etcd_maintenance_hash(struct etcd_call *call, const void *message)
{
    struct etcd_header header;
    struct etcd_hash_response response = {.header = &header};
    (void)message;
    if (hash_of(call, 0, &response.hash)) {
        etcd_service_header(call->service, &header);
        etcd_call_answer(call, &response);
    }
}

/* --- Defragment, MoveLeader ------------------------------------------------------------------- */

void etcd_maintenance_defragment(struct etcd_call *call, const void *message)
{
    struct etcd_header_response response = {.header = NULL}; /* as etcd's */
    (void)message;
    etcd_call_answer(call, &response);
}

static void on_moved(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    struct etcd_header header;
    struct etcd_header_response response = {.header = &header};
    (void)result;
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else {
        etcd_service_header(call->service, &header);
        etcd_call_answer(call, &response);
    }
    etcd_call_unref(call);
}

void etcd_maintenance_move_leader(struct etcd_call *call, const void *message)
{
    const struct etcd_move_leader_request *request = message;
    etcd_service_move_leader(call->service, request->target_id, on_moved, etcd_call_ref(call));
}
