/* Payloads of PEER_FRAME_REQUEST and PEER_FRAME_ANSWER. PURE. */
#ifndef RAFT_ENGINE_CLIENT_FRAME_H
#define RAFT_ENGINE_CLIENT_FRAME_H

#include "base/buf.h"
#include "raft/node.h"

/* The last two are for callers that gave a name in the handshake. A member of an earlier release
 * does not answer them. */
enum client_kind {
    CLIENT_READ = 1,
    CLIENT_COMMAND = 2,
    CLIENT_STATUS = 3,
    CLIENT_REMOVE = 4,
    CLIENT_COMMAND_AS = 5, /* in the caller's name */
    CLIENT_WATCH = 6
};
/* Its outcome is unknown when the connection is lost. */
static inline bool client_kind_changes(enum client_kind kind)
{
    return kind == CLIENT_COMMAND || kind == CLIENT_REMOVE || kind == CLIENT_COMMAND_AS;
}

#define CLIENT_TIMEOUT_MAX_MS 60000
#define CLIENT_KVS_MAX        65536

struct client_request {
    uint64_t number; /* the client's; comes back in the answer */
    enum client_kind kind;
    uint32_t timeout_ms;
    struct span body; /* READ: the prefix; COMMAND, COMMAND_AS: store_command_encode; STATUS: empty;
                         REMOVE: id; WATCH: client_watch_encode */
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

struct client_watch {
    uint64_t cluster; /* what the caller has; 0 = nothing */
    int64_t revision;
    uint32_t hold_ms; /* answered after that at the latest */
    struct span prefix;
};

void client_watch_encode(const struct client_watch *watch, struct buf *out);
int client_watch_decode(struct span body, struct client_watch *ret_watch,
                        struct error *err) MUST_CHECK;
/* Body of WATCH: `changed`, then as of READ; unchanged: without keys. */
void client_news_encode(const struct store *store, uint64_t cluster, struct span prefix,
                        bool changed, struct buf *out);
/* What is behind `changed` is for client_view_decode. */
int client_news_decode(struct span body, bool *ret_changed, struct span *ret_view,
                       struct error *err) MUST_CHECK;

void client_result_encode(const struct store_result *result, struct buf *out);
int client_result_decode(struct span body, struct store_result *ret_result,
                         struct error *err) MUST_CHECK;

void client_status_encode(const struct raft_status *status, struct buf *out);
int client_status_decode(struct span body, struct raft_status *ret_status,
                         struct error *err) MUST_CHECK;

#endif
