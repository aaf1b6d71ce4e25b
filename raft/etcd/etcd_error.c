/* PURE. Tables, and the bodies made from them. */
#include "raft/etcd/etcd_error.h"

#include "base/assert.h"
#include "raft/etcd/etcd_text.h"

#include <inttypes.h>

static const struct {
    enum grpc_code code;
    const char *text;
} errors[] = {
#define ERROR_ROW(id, code, text) {GRPC_##code, text},
    ETCD_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

_Static_assert(sizeof errors / sizeof errors[0] == ETCD_ERROR_COUNT, "a row each");

enum grpc_code etcd_error_code(enum etcd_error error)
{
    ASSERT((size_t)error < ETCD_ERROR_COUNT);
    return errors[error].code;
}

const char *etcd_error_text(enum etcd_error error)
{
    ASSERT((size_t)error < ETCD_ERROR_COUNT);
    return errors[error].text;
}

static const struct http_status {
    int status;
    const char *text;
} statuses[] = {
    [GRPC_OK] = {200, "OK"},
    [GRPC_CANCELED] = {408, "Request Timeout"},
    [GRPC_UNKNOWN] = {500, "Internal Server Error"},
    [GRPC_INVALID_ARGUMENT] = {400, "Bad Request"},
    [GRPC_DEADLINE_EXCEEDED] = {504, "Gateway Timeout"},
    [GRPC_NOT_FOUND] = {404, "Not Found"},
    [GRPC_ALREADY_EXISTS] = {409, "Conflict"},
    [GRPC_PERMISSION_DENIED] = {403, "Forbidden"},
    [GRPC_RESOURCE_EXHAUSTED] = {429, "Too Many Requests"},
    [GRPC_FAILED_PRECONDITION] = {412, "Precondition Failed"},
    [GRPC_ABORTED] = {409, "Conflict"},
    [GRPC_OUT_OF_RANGE] = {400, "Bad Request"},
    [GRPC_UNIMPLEMENTED] = {501, "Not Implemented"},
    [GRPC_INTERNAL] = {500, "Internal Server Error"},
    [GRPC_UNAVAILABLE] = {503, "Service Unavailable"},
    [GRPC_DATA_LOSS] = {500, "Internal Server Error"},
    [GRPC_UNAUTHENTICATED] = {401, "Unauthorized"},
};

static const struct http_status *status_of(enum grpc_code code)
{
    size_t at = (size_t)code;
    return &statuses[at < sizeof statuses / sizeof statuses[0] ? at : GRPC_UNKNOWN];
}

int grpc_http_status(enum grpc_code code)
{
    return status_of(code)->status;
}

void etcd_error_body(enum grpc_code code, struct span text, struct buf *out)
{
    buf_put_str(out, "{\"error\":");
    json_put_string(out, text);
    buf_put_str(out, ",\"message\":");
    json_put_string(out, text);
    buf_printf(out, ",\"code\":%d}", (int)code);
}

void etcd_error_stream_body(enum grpc_code code, struct span text, struct buf *out)
{
    const struct http_status *status = status_of(code);
    buf_printf(out, "{\"error\":{\"grpc_code\":%d,\"http_code\":%d,\"message\":", (int)code,
               status->status);
    json_put_string(out, text);
    buf_printf(out, ",\"http_status\":\"%s\"}}", status->text);
}

/* --- v2 --------------------------------------------------------------------------------------- */

int etcd_v2_error_status(enum etcd_v2_error error)
{
    switch (error) {
#define V2_STATUS(id, number, status, text) \
    case ETCD_V2_##id: return status;
        ETCD_V2_ERRORS(V2_STATUS)
#undef V2_STATUS
    }
    ASSERT(false);
    return 500;
}

const char *etcd_v2_error_message(enum etcd_v2_error error)
{
    switch (error) {
#define V2_MESSAGE(id, number, status, text) \
    case ETCD_V2_##id: return text;
        ETCD_V2_ERRORS(V2_MESSAGE)
#undef V2_MESSAGE
    }
    ASSERT(false);
    return "";
}

void etcd_v2_error_body(enum etcd_v2_error error, struct span cause, uint64_t index,
                        struct buf *out)
{
    buf_printf(out, "{\"errorCode\":%d,\"message\":\"%s\"", (int)error,
               etcd_v2_error_message(error));
    if (cause.len > 0) {
        buf_put_str(out, ",\"cause\":");
        json_put_string(out, cause);
    }
    buf_printf(out, ",\"index\":%" PRIu64 "}\n", index);
}

void etcd_v2_cluster_header(uint64_t cluster_id, struct buf *out)
{
    if (cluster_id != 0) {
        buf_printf(out, "X-Etcd-Cluster-Id: %" PRIx64 "\r\n", cluster_id);
    }
}

void etcd_v2_error_headers(uint64_t cluster_id, uint64_t etcd_index, struct buf *out)
{
    etcd_v2_cluster_header(cluster_id, out);
    buf_printf(out, "X-Etcd-Index: %" PRIu64 "\r\n", etcd_index);
}

void etcd_v2_headers(uint64_t cluster_id, uint64_t etcd_index, uint64_t raft_index,
                     uint64_t raft_term, struct buf *out)
{
    etcd_v2_error_headers(cluster_id, etcd_index, out);
    buf_printf(out, "X-Raft-Index: %" PRIu64 "\r\nX-Raft-Term: %" PRIu64 "\r\n", raft_index,
               raft_term);
}
