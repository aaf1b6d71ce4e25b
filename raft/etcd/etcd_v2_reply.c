/* Heads and bodies of answers of the v2 API. */
#include "raft/etcd/etcd_v2.h"

#include "base/buf.h"
#include "raft/etcd/etcd_text.h"

static struct etcd_header header_of(const struct etcd_service *service)
{
    struct etcd_header header;
    etcd_service_header(service, &header);
    return header;
}

static void respond(struct http_exchange *exchange, int status, const char *content_type,
                    struct buf *headers, struct span body)
{
    struct http1_response response = {.status = status,
                                      .content_type = content_type,
                                      .headers = headers == NULL ? NULL : buf_str(headers),
                                      .body = body};
    http_respond(exchange, &response);
}

/* --- about keys ------------------------------------------------------------------------------- */

void etcd_v2_put_headers(const struct etcd_service *service, uint64_t index, struct buf *out)
{
    struct etcd_header header = header_of(service);
    const struct store *store = etcd_service_store(service);
    uint64_t applied = store == NULL ? 0 : store_applied(store);
    etcd_v2_headers(header.cluster_id, index, applied, header.raft_term, out);
}

void etcd_v2_reply(struct etcd_v2_call *call, int status, uint64_t index, struct span body)
{
    struct buf headers = BUF_INIT;
    etcd_v2_put_headers(call->service, index, &headers);
    respond(call->exchange, status, "application/json", &headers, body);
    buf_free(&headers);
    etcd_v2_call_free(call);
}

void etcd_v2_reply_error(struct etcd_v2_call *call, enum etcd_v2_error error, struct span cause,
                         uint64_t index)
{
    struct buf headers = BUF_INIT;
    struct buf body = BUF_INIT;
    etcd_v2_error_headers(header_of(call->service).cluster_id, index, &headers);
    etcd_v2_error_body(error, cause, index, &body);
    respond(call->exchange, etcd_v2_error_status(error), "application/json", &headers,
            buf_span(&body));
    buf_free(&headers);
    buf_free(&body);
    etcd_v2_call_free(call);
}

void etcd_v2_reply_failure(struct etcd_v2_call *call, enum etcd_error error)
{
    enum etcd_v2_error number =
        error == ETCD_ERROR_NO_LEADER ? ETCD_V2_LEADER_ELECT : ETCD_V2_RAFT_INTERNAL;
    etcd_v2_reply_error(call, number, span_str(etcd_error_text(error)), 0);
}

/* --- beside keys ------------------------------------------------------------------------------ */

void etcd_v2_send_json(const struct etcd_service *service, struct http_exchange *exchange,
                       int status, struct span body, bool with_cluster)
{
    struct buf headers = BUF_INIT;
    if (with_cluster) {
        etcd_v2_cluster_header(header_of(service).cluster_id, &headers);
    }
    respond(exchange, status, "application/json", &headers, body);
    buf_free(&headers);
}

void etcd_v2_send_message(const struct etcd_service *service, struct http_exchange *exchange,
                          int status, const char *text, bool with_cluster)
{
    struct buf body = BUF_INIT;
    buf_put_str(&body, "{\"message\":");
    json_put_string(&body, span_str(text));
    buf_put_str(&body, "}");
    etcd_v2_send_json(service, exchange, status, buf_span(&body), with_cluster);
    buf_free(&body);
}

void etcd_v2_send_text(struct http_exchange *exchange, int status, const char *text)
{
    respond(exchange, status, "text/plain; charset=utf-8", NULL, span_str(text));
}

void etcd_v2_send_not_allowed(struct http_exchange *exchange, const char *allowed)
{
    struct buf headers = BUF_INIT;
    buf_printf(&headers, "Allow: %s\r\n", allowed);
    respond(exchange, 405, "text/plain; charset=utf-8", &headers, span_str("Method Not Allowed\n"));
    buf_free(&headers);
}

/* --- time ------------------------------------------------------------------------------------- */

struct etcd_v2_now etcd_v2_now_of(const struct etcd_service *service)
{
    const struct clock *clock = etcd_service_config(service)->clock;
    return (struct etcd_v2_now){.lease_ms = clock_lease_ms(clock), .wall_ms = clock_wall_ms(clock)};
}
