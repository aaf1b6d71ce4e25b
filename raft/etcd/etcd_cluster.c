/* Cluster of etcd's v3 API: the members of the Raft group. Who is one is ours to decide, by the
 * group's own commands; here it is only told. */
#include "base/buf.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_service.h"

#include <string.h>

/* One URL for each one and a half bytes is more than anybody writes. */
enum { CLIENT_URLS_MAX = 16 };

/* One member, with what its spans are in. */
struct listed {
    struct buf peer_url;
    struct span peer_urls[1];
    struct span client_urls[CLIENT_URLS_MAX];
};

static size_t split(struct span urls, struct span *ret_urls, size_t count_max)
{
    size_t count = 0;
    while (urls.len > 0 && count < count_max) {
        const uint8_t *comma = memchr(urls.data, ',', urls.len);
        size_t len = comma == NULL ? urls.len : (size_t)(comma - urls.data);
        if (len > 0) {
            ret_urls[count++] = span_of(urls.data, len);
        }
        size_t used = comma == NULL ? len : len + 1;
        urls = span_of(urls.data + used, urls.len - used);
    }
    return count;
}

static const struct store_member *record_of(const struct store_member *records, size_t count,
                                            uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (records[i].id == id) {
            return &records[i];
        }
    }
    return NULL;
}

/* One without a record has not started yet: etcd shows such a one without name and clients, too. */
static void list_member(const struct raft_member_status *status, const struct store_member *record,
                        struct listed *listed, struct etcd_member *ret_member)
{
    *ret_member = (struct etcd_member){.id = status->id, .is_learner = !status->voter};
    if (record == NULL) {
        return;
    }
    buf_put_str(&listed->peer_url, "http://");
    buf_put_span(&listed->peer_url, record->address);
    listed->peer_urls[0] = buf_span(&listed->peer_url);
    ret_member->name = record->name;
    ret_member->peer_urls = listed->peer_urls;
    ret_member->peer_urls_count = record->address.len > 0 ? 1 : 0;
    ret_member->client_urls = listed->client_urls;
    ret_member->client_urls_count =
        split(record->client_urls, listed->client_urls, CLIENT_URLS_MAX);
}

static void answer_members(struct etcd_call *call, struct raft_node *node)
{
    struct raft_status status;
    struct store_member records[STORE_MEMBERS_MAX];
    struct etcd_member members[STORE_MEMBERS_MAX];
    struct etcd_header header;
    size_t record_count = store_members(raft_node_store(node), records, STORE_MEMBERS_MAX);
    raft_node_status(node, &status);
    struct listed *listed = mem_new_array(struct listed, status.member_count + 1);
    for (size_t i = 0; i < status.member_count; i++) {
        list_member(&status.members[i], record_of(records, record_count, status.members[i].id),
                    &listed[i], &members[i]);
    }
    struct etcd_member_list_response response = {
        .header = &header, .members = members, .members_count = status.member_count};
    etcd_service_header(call->service, &header);
    header.revision = 0; /* it is not about keys */
    etcd_call_answer(call, &response);
    for (size_t i = 0; i < status.member_count; i++) {
        buf_free(&listed[i].peer_url);
    }
    mem_free(listed);
}

static void answer_present(struct etcd_call *call)
{
    const struct etcd_service_config *config = etcd_service_config(call->service);
    struct raft_node *node = config->node(config->arg);
    if (node == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
    } else {
        answer_members(call, node);
    }
}

static void on_list_read(void *arg, int rc, enum etcd_error error,
                         const struct store_result *result)
{
    struct etcd_call *call = arg;
    (void)result;
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else {
        answer_present(call);
    }
    etcd_call_unref(call);
}

/* Like etcd 3.4, from what this member knows, so that clients find the others when there is no
 * leader; but for those that ask otherwise. */
void etcd_cluster_member_list(struct etcd_call *call, const void *message)
{
    const struct etcd_member_list_request *request = message;
    if (request->linearizable) {
        etcd_service_read(call->service, on_list_read, etcd_call_ref(call));
    } else {
        answer_present(call);
    }
}
