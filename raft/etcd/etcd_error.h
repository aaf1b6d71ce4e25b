/* PURE. What etcd says when it refuses: for v3 the gRPC codes, their HTTP statuses and the texts
 * that clients compare byte for byte; for v2 its own table. */
#ifndef RAFT_ETCD_ETCD_ERROR_H
#define RAFT_ETCD_ETCD_ERROR_H

#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16
};

/* id, code, text. Where an outcome is unknown or there is no leader, the code is UNAVAILABLE:
 * clients then try the next node, and take a write so answered for one that may have happened. */
/* clang-format off: a table */
#define ETCD_ERRORS(X)                                                                           \
    X(EMPTY_KEY, INVALID_ARGUMENT, "etcdserver: key is not provided")                            \
    X(KEY_NOT_FOUND, INVALID_ARGUMENT, "etcdserver: key not found")                              \
    X(VALUE_PROVIDED, INVALID_ARGUMENT, "etcdserver: value is provided")                         \
    X(LEASE_PROVIDED, INVALID_ARGUMENT, "etcdserver: lease is provided")                         \
    X(TOO_MANY_OPS, INVALID_ARGUMENT, "etcdserver: too many operations in txn request")          \
    X(DUPLICATE_KEY, INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")         \
    X(COMPACTED, OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")         \
    X(FUTURE_REVISION, OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision") \
    X(NO_SPACE, RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")                 \
    X(LEASE_NOT_FOUND, NOT_FOUND, "etcdserver: requested lease not found")                       \
    X(LEASE_EXISTS, FAILED_PRECONDITION, "etcdserver: lease already exists")                     \
    X(LEASE_TTL_TOO_LARGE, OUT_OF_RANGE, "etcdserver: too large lease TTL")                      \
    X(REQUEST_TOO_LARGE, INVALID_ARGUMENT, "etcdserver: request is too large")                   \
    X(TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED, "etcdserver: too many requests")                    \
    X(USER_EMPTY, INVALID_ARGUMENT, "etcdserver: user name is empty")                            \
    X(AUTH_FAILED, INVALID_ARGUMENT,                                                             \
      "etcdserver: authentication failed, invalid user ID or password")                          \
    X(AUTH_OLD_REVISION, INVALID_ARGUMENT, "etcdserver: revision of auth store is old")          \
    X(PERMISSION_DENIED, PERMISSION_DENIED, "etcdserver: permission denied")                     \
    X(AUTH_NOT_ENABLED, FAILED_PRECONDITION, "etcdserver: authentication is not enabled")        \
    X(INVALID_AUTH_TOKEN, UNAUTHENTICATED, "etcdserver: invalid auth token")                     \
    X(NO_LEADER, UNAVAILABLE, "etcdserver: no leader")                                           \
    X(NOT_LEADER, FAILED_PRECONDITION, "etcdserver: not leader")                                 \
    X(LEADER_CHANGED, UNAVAILABLE, "etcdserver: leader changed")                                 \
    X(BAD_LEADER_TRANSFEREE, FAILED_PRECONDITION, "etcdserver: bad leader transferee")           \
    X(STOPPED, UNAVAILABLE, "etcdserver: server stopped")                                        \
    X(TIMEOUT, UNAVAILABLE, "etcdserver: request timed out")                                     \
    X(TIMEOUT_LEADER_FAILURE, UNAVAILABLE,                                                       \
      "etcdserver: request timed out, possibly due to previous leader failure")                  \
    X(TIMEOUT_CONNECTION_LOST, UNAVAILABLE,                                                      \
      "etcdserver: request timed out, possibly due to connection lost")                          \
    X(UNHEALTHY, UNAVAILABLE, "etcdserver: unhealthy cluster")                                   \
    X(CORRUPT, DATA_LOSS, "etcdserver: corrupt cluster")                                         \
    X(NOT_SUPPORTED, UNIMPLEMENTED, "etcdserver: not supported by pgquorum")                     \
    X(DEADLINE_EXCEEDED, UNKNOWN, "context deadline exceeded")
/* clang-format on */

enum etcd_error {
#define ETCD_ERROR_ID(id, code, text) ETCD_ERROR_##id,
    ETCD_ERRORS(ETCD_ERROR_ID)
#undef ETCD_ERROR_ID
        ETCD_ERROR_COUNT
};

enum grpc_code etcd_error_code(enum etcd_error error);
const char *etcd_error_text(enum etcd_error error);

/* HTTP status of the gateway of etcd 3.4; any number may come in. */
int grpc_http_status(enum grpc_code code);

/* Appends the body of a refused call of the gateway: {"error":...,"message":...,"code":...}. */
void etcd_error_body(enum grpc_code code, struct span text, struct buf *out);
/* Appends what ends a streamed answer of the gateway, or stands for it: {"error":{...}}, no line
 * end. */
void etcd_error_stream_body(enum grpc_code code, struct span text, struct buf *out);

/* --- v2 --------------------------------------------------------------------------------------- */

/* id, number, HTTP status, message */
/* clang-format off: a table */
#define ETCD_V2_ERRORS(X)                                                   \
    X(KEY_NOT_FOUND, 100, 404, "Key not found")                             \
    X(COMPARE_FAILED, 101, 412, "Compare failed")                           \
    X(NOT_FILE, 102, 403, "Not a file")                                     \
    X(NOT_DIR, 104, 400, "Not a directory")                                 \
    X(EXISTS, 105, 412, "Key already exists")                               \
    X(ROOT_READ_ONLY, 107, 400, "Root is read only")                        \
    X(DIR_NOT_EMPTY, 108, 403, "Directory not empty")                       \
    X(UNAUTHORIZED, 110, 401, "The request requires user authentication")   \
    X(PREV_VALUE_REQUIRED, 201, 400, "PrevValue is Required in POST form")  \
    X(TTL_NAN, 202, 400, "The given TTL in POST form is not a number")      \
    X(INDEX_NAN, 203, 400, "The given index in POST form is not a number")  \
    X(INVALID_FIELD, 209, 400, "Invalid field")                             \
    X(INVALID_FORM, 210, 400, "Invalid POST form")                          \
    X(REFRESH_VALUE, 211, 400, "Value provided on refresh")                 \
    X(REFRESH_TTL_REQUIRED, 212, 400, "A TTL must be provided on refresh")  \
    X(RAFT_INTERNAL, 300, 500, "Raft Internal Error")                       \
    X(LEADER_ELECT, 301, 500, "During Leader Election")                     \
    X(WATCHER_CLEARED, 400, 400, "watcher is cleared due to etcd recovery") \
    X(EVENT_INDEX_CLEARED, 401, 400, "The event in requested index is outdated and cleared")
/* clang-format on */

enum etcd_v2_error {
#define ETCD_V2_ERROR_ID(id, number, status, text) ETCD_V2_##id = (number),
    ETCD_V2_ERRORS(ETCD_V2_ERROR_ID)
#undef ETCD_V2_ERROR_ID
};

int etcd_v2_error_status(enum etcd_v2_error error);
const char *etcd_v2_error_message(enum etcd_v2_error error);
/* Appends {"errorCode":...,"message":...,"cause":...,"index":...} and the line end. `index`: the
 * store's, 0 for errors of the request and for RAFT_INTERNAL. */
void etcd_v2_error_body(enum etcd_v2_error error, struct span cause, uint64_t index,
                        struct buf *out);

/* Header lines, each ended by CR LF: the cluster's name alone, or nothing while it is not known
 * (0): clients take another name than before for another cluster; of errors about keys; of other
 * answers about them. */
void etcd_v2_cluster_header(uint64_t cluster_id, struct buf *out);
void etcd_v2_error_headers(uint64_t cluster_id, uint64_t etcd_index, struct buf *out);
void etcd_v2_headers(uint64_t cluster_id, uint64_t etcd_index, uint64_t raft_index,
                     uint64_t raft_term, struct buf *out);

#endif
