/* Cluster of etcd's v3 API: the members of the Raft group. Who is one is ours to decide, by the
 * group's own commands; here it is only told. */
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_members.h"
#include "raft/etcd/etcd_service.h"

static void answer_present(struct etcd_call *call)
{
    struct etcd_members members;
    struct etcd_header header;
    etcd_members_list(call->service, &members);
    etcd_service_header(call->service, &header);
    header.revision = 0; /* it is not about keys */
    struct etcd_member_list_response response = {
        .header = &header, .members = members.members, .members_count = members.count};
    if (members.count > 0) {
        etcd_call_answer(call, &response);
    } else {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER); /* it knows of no group yet */
    }
    etcd_members_free(&members);
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
