/* Payloads of PEER_FRAME_REQUEST and PEER_FRAME_ANSWER. PURE. */
#ifndef RAFT_ENGINE_CLIENT_FRAME_H
#define RAFT_ENGINE_CLIENT_FRAME_H

#include "base/buf.h"
#include "raft/node.h"

enum client_kind { CLIENT_READ = 1, CLIENT_COMMAND = 2, CLIENT_STATUS = 3, CLIENT_REMOVE = 4 };
/* Its outcome is unknown when the connection is lost. */
static inline bool client_kind_changes(enum client_kind kind)
{
    return kind == CLIENT_COMMAND || kind == CLIENT_REMOVE;
}

#define CLIENT_TIMEOUT_MAX_MS 60000
#define CLIENT_KVS_MAX        65536

struct client_request {
    uint64_t number; /* the client's; comes back in the answer */
    enum client_kind kind;
    uint32_t timeout_ms;
    struct span
        body; /* READ: the prefix; COMMAND: store_command_encode; STATUS: empty; REMOVE: id */
};

struct client_answer {
    uint64_t number;
    enum client_kind kind;
    int code;         /* 0, or why there is no body */
    struct span text; /* of the error */
    struct span body;
};

void client_request_encode(const struct client_request *request, struct buf *out);
int client_request_decode(struct span bytes, struct client_request *ret_request,
                          struct error *err) MUST_CHECK;
void client_answer_encode(const struct client_answer *answer, struct buf *out);
int client_answer_decode(struct span bytes, struct client_answer *ret_answer,
                         struct error *err) MUST_CHECK;

/* Body of READ: everything below `prefix`. */
void client_view_encode(const struct store *store, uint64_t cluster, struct span prefix,
                        struct buf *out);
/* The kvs borrow from `body`; mem_free(*ret_kvs). */
int client_view_decode(struct span body, uint64_t *ret_cluster, int64_t *ret_revision,
                       struct store_kv **ret_kvs, size_t *ret_count, struct error *err) MUST_CHECK;

void client_result_encode(const struct store_result *result, struct buf *out);
int client_result_decode(struct span body, struct store_result *ret_result,
                         struct error *err) MUST_CHECK;

void client_status_encode(const struct raft_status *status, struct buf *out);
int client_status_decode(struct span body, struct raft_status *ret_status,
                         struct error *err) MUST_CHECK;

#endif
