/* Replies about keys that may be large: all that one borrows from is held until it is encoded,
 * which is done in portions if need be (etcd_portions.h). */
#ifndef RAFT_ETCD_ETCD_KV_REPLY_H
#define RAFT_ETCD_ETCD_KV_REPLY_H

#include "raft/etcd/etcd_error.h"
#include "raft/etcd/etcd_kv_convert.h"

struct etcd_call;

struct etcd_kv_reply {
    struct etcd_header header;
    union {
        struct etcd_range_response range;
        struct etcd_delete_range_response delete_range;
        struct etcd_txn_response txn;
        struct etcd_lease_time_to_live_response time_to_live;
    } of;
    struct etcd_kv_answer answer;
    struct store_range_result found; /* of a range, or of a lease */
    struct store_output *output;     /* of a write; NULL = none */
};

/* `output`: NULL = none; else it takes a reference. */
struct etcd_kv_reply *etcd_kv_reply_new(struct store_output *output);
void etcd_kv_reply_free(struct etcd_kv_reply *reply); /* NULL is accepted */
/* The end of the call; takes the reply. `fits`: it was converted. `too_large`: what is told if not,
 * or if too much waits already. */
void etcd_kv_reply_send(struct etcd_call *call, struct etcd_kv_reply *reply, bool fits,
                        enum etcd_error too_large);
/* etcd_service_done of a command that is answered with a header alone; `arg` is the call, whose
 * reference goes with it. */
void etcd_kv_on_applied(void *arg, int rc, enum etcd_error error,
                        const struct store_result *result);
void etcd_kv_header(const struct etcd_call *call, int64_t revision, struct etcd_header *ret_header);

#endif
