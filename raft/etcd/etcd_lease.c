/* Leases of etcd's v3 API: grant, revoke, look. Keepalives: etcd_keepalive.c.
 *
 * A lease is counted by every member from when it applied the last renewal, so what remains of it
 * is this member's count. */
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_kv_reply.h"
#include "raft/etcd/etcd_service.h"

enum { GRANT_TRIES_MAX = 4, MS_PER_S = 1000 };

/* --- LeaseGrant ------------------------------------------------------------------------------- */

struct grant {
    struct etcd_call *call;
    uint64_t id;
    int64_t ttl_ms;
    bool chosen; /* by us */
    int tries;
};

static void propose_grant(struct grant *grant);

static void end_grant(struct grant *grant)
{
    etcd_call_unref(grant->call);
    mem_free(grant);
}

static void on_grant(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct grant *grant = arg;
    struct etcd_header header;
    struct etcd_lease_grant_response response = {
        .header = &header, .id = (int64_t)grant->id, .ttl = grant->ttl_ms / MS_PER_S};
    if (rc != 0) {
        etcd_call_fail(grant->call, error);
    } else if (result->code == ERR_EXISTS && grant->chosen && grant->tries < GRANT_TRIES_MAX) {
        propose_grant(grant);
        return;
    } else if (result->code != 0) {
        etcd_call_fail(grant->call, etcd_service_refusal(result));
    } else {
        etcd_service_header(grant->call->service, &header);
        etcd_call_answer(grant->call, &response);
    }
    end_grant(grant);
}

/* What is chosen is free here; another member may have granted it meanwhile. */
static void propose_grant(struct grant *grant)
{
    struct etcd_service *service = grant->call->service;
    const struct etcd_service_config *config = etcd_service_config(service);
    const struct store *store = etcd_service_store(service);
    if (grant->chosen && store == NULL) {
        etcd_call_fail(grant->call, ETCD_ERROR_NO_LEADER);
        end_grant(grant);
        return;
    }
    if (grant->chosen) {
        grant->id = store_lease_id(store, random_next(config->random));
    }
    grant->tries++;
    struct store_command command = {
        .type = STORE_LEASE_GRANT, .lease = grant->id, .ttl_ms = grant->ttl_ms};
    etcd_service_propose(service, &command, on_grant, grant);
}

void etcd_lease_grant(struct etcd_call *call, const void *message)
{
    const struct etcd_lease_grant_request *request = message;
    int64_t timeout_ms = etcd_service_config(call->service)->election_timeout_ms;
    if (request->ttl > STORE_LEASE_TTL_S_MAX) {
        etcd_call_fail(call, ETCD_ERROR_LEASE_TTL_TOO_LARGE);
        return;
    }
    struct grant *grant = mem_new(struct grant);
    grant->call = etcd_call_ref(call);
    grant->id = (uint64_t)request->id;
    grant->chosen = request->id == 0;
    grant->ttl_ms = store_lease_ttl_ms(request->ttl, timeout_ms);
    propose_grant(grant);
}

/* --- LeaseRevoke ------------------------------------------------------------------------------ */

void etcd_lease_revoke(struct etcd_call *call, const void *message)
{
    const struct etcd_lease_id *request = message;
    struct store_command command = {.type = STORE_LEASE_REVOKE, .lease = (uint64_t)request->id};
    if (request->id == 0) {
        etcd_call_fail(call, ETCD_ERROR_LEASE_NOT_FOUND);
        return;
    }
    etcd_service_propose(call->service, &command, etcd_kv_on_applied, etcd_call_ref(call));
}

/* --- LeaseTimeToLive -------------------------------------------------------------------------- */

struct time_to_live {
    struct etcd_call *call;
    uint64_t id;
    bool keys;
};

static void answer_time_to_live(const struct time_to_live *asked, const struct store *store)
{
    struct etcd_call *call = asked->call;
    const struct clock *clock = etcd_service_config(call->service)->clock;
    struct etcd_kv_reply *reply = etcd_kv_reply_new(NULL);
    struct etcd_lease_time_to_live_response *response = &reply->of.time_to_live;
    struct store_lease lease;
    bool fits = true;
    etcd_kv_header(call, store_revision(store), &reply->header);
    *response = (struct etcd_lease_time_to_live_response){
        .header = &reply->header, .id = (int64_t)asked->id, .ttl = -1};
    if (store_lease_get(store, asked->id, &lease)) {
        response->ttl =
            store_lease_remaining_ms(store, asked->id, clock_lease_ms(clock)) / MS_PER_S;
        response->granted_ttl = lease.ttl_ms / MS_PER_S;
    }
    if (asked->keys) { /* none of a lease that is not there */
        store_lease_keys(store, asked->id, &reply->found.kvs);
        fits = etcd_kv_answer_keys(&reply->answer, &reply->found.kvs, &response->keys,
                                   &response->keys_count);
    }
    etcd_kv_reply_send(call, reply, fits, ETCD_ERROR_TOO_MANY_REQUESTS);
}

static void on_time_to_live(void *arg, int rc, enum etcd_error error,
                            const struct store_result *result)
{
    struct time_to_live *asked = arg;
    const struct store *store = etcd_service_store(asked->call->service);
    (void)result;
    if (rc != 0) {
        etcd_call_fail(asked->call, error);
    } else if (store == NULL) {
        etcd_call_fail(asked->call, ETCD_ERROR_NO_LEADER);
    } else {
        answer_time_to_live(asked, store);
    }
    etcd_call_unref(asked->call);
    mem_free(asked);
}

void etcd_lease_time_to_live(struct etcd_call *call, const void *message)
{
    const struct etcd_lease_time_to_live_request *request = message;
    struct time_to_live *asked = mem_new(struct time_to_live);
    asked->call = etcd_call_ref(call);
    asked->id = (uint64_t)request->id;
    asked->keys = request->keys;
    etcd_service_read(call->service, on_time_to_live, asked);
}

/* --- LeaseLeases ------------------------------------------------------------------------------ */

struct leases {
    struct etcd_lease_id *ids;
    size_t count;
};

static bool visit_lease(void *arg, const struct store_lease *lease)
{
    struct leases *leases = arg;
    leases->ids[leases->count++].id = (int64_t)lease->id;
    return true;
}

static void on_leases(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    const struct store *store = etcd_service_store(call->service);
    struct etcd_header header;
    (void)result;
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else if (store == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
    } else {
        struct leases leases = {.ids = mem_new_array(struct etcd_lease_id, STORE_LEASES_MAX)};
        store_lease_each(store, visit_lease, &leases);
        struct etcd_lease_leases_response response = {
            .header = &header, .leases = leases.ids, .leases_count = leases.count};
        etcd_service_header(call->service, &header);
        etcd_call_answer(call, &response);
        mem_free(leases.ids);
    }
    etcd_call_unref(call);
}

void etcd_lease_leases(struct etcd_call *call, const void *message)
{
    (void)message;
    etcd_service_read(call->service, on_leases, etcd_call_ref(call));
}
