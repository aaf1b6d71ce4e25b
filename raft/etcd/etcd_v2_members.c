/* Members as the v2 API shows them. What changes the membership is refused: it follows from the
 * members' own configurations. */
#include "base/mem.h"
#include "raft/etcd/etcd_members.h"
#include "raft/etcd/etcd_text.h"
#include "raft/etcd/etcd_v2.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- machines --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return span_compare(*(const struct span *)a, *(const struct span *)b);
}

static void put_sorted(struct span *urls, size_t count, struct buf *out)
{
    qsort(urls, count, sizeof *urls, by_text);
    for (size_t i = 0; i < count; i++) {
        buf_put_str(out, i == 0 ? "" : ", ");
        buf_put_span(out, urls[i]);
    }
}

/* Those of all members; before this one knows of a group, its own. */
static void put_machines(const struct etcd_service *service, struct buf *out)
{
    struct etcd_members members;
    struct span *urls = NULL;
    size_t count = 0;
    etcd_members_list(service, &members);
    for (size_t i = 0; i < members.count; i++) {
        size_t more = members.members[i].client_urls_count;
        urls = mem_resize(urls, (count + more + 1) * sizeof *urls);
        for (size_t j = 0; j < more; j++) {
            urls[count++] = members.members[i].client_urls[j];
        }
    }
    if (count == 0) {
        mem_free(urls);
        count = etcd_urls_split(span_str(etcd_service_config(service)->client_urls), &urls);
    }
    put_sorted(urls, count, out);
    mem_free(urls);
    etcd_members_free(&members);
}

void etcd_v2_serve_machines(struct etcd_service *service, struct http_exchange *exchange,
                            const struct http1_request *request)
{
    struct buf body = BUF_INIT;
    if (request->method != HTTP1_GET && request->method != HTTP1_HEAD) {
        etcd_v2_send_not_allowed(exchange, "GET,HEAD");
        return;
    }
    put_machines(service, &body);
    etcd_v2_send_text(exchange, 200, buf_str(&body));
    buf_free(&body);
}

/* --- members ---------------------------------------------------------------------------------- */

static void put_urls(const char *name, const struct span *urls, size_t count, struct buf *out)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        buf_put_str(out, i == 0 ? "" : ",");
        json_put_string(out, urls[i]);
    }
    buf_put_u8(out, ']');
}

static void put_member(const struct etcd_member *member, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%" PRIx64 "\",\"name\":", member->id);
    json_put_string(out, member->name);
    put_urls("peerURLs", member->peer_urls, member->peer_urls_count, out);
    put_urls("clientURLs", member->client_urls, member->client_urls_count, out);
    buf_put_u8(out, '}');
}

static void put_list(const struct etcd_members *members, struct buf *out)
{
    buf_put_str(out, "{\"members\":[");
    for (size_t i = 0; i < members->count; i++) {
        buf_put_str(out, i == 0 ? "" : ",");
        put_member(&members->members[i], out);
    }
    buf_put_str(out, "]}\n");
}

static void put_leader(const struct etcd_members *members, uint64_t leader, struct buf *out)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->members[i].id == leader) {
            put_member(&members->members[i], out);
            buf_put_str(out, "\n");
        }
    }
}

/* Where nobody is known, a client that is told so goes on to another member; with an empty list it
 * would give up. */
static void send_members(struct etcd_service *service, struct http_exchange *exchange,
                         bool leader_only)
{
    struct etcd_members members;
    struct buf body = BUF_INIT;
    etcd_members_list(service, &members);
    if (leader_only) {
        put_leader(&members, etcd_service_v2(service)->leader, &body);
    } else if (members.count > 0) {
        put_list(&members, &body);
    }
    if (body.len > 0) {
        etcd_v2_send_json(service, exchange, 200, buf_span(&body), true);
    } else {
        etcd_v2_send_message(service, exchange, 503, "During election", true);
    }
    buf_free(&body);
    etcd_members_free(&members);
}

void etcd_v2_serve_members(struct etcd_service *service, struct http_exchange *exchange,
                           const struct http1_request *request)
{
    const char *name = request->path + strlen("/v2/members");
    name += name[0] == '/' ? 1 : 0;
    switch (request->method) {
    case HTTP1_GET:
        if (name[0] == '\0' || strcmp(name, "leader") == 0) {
            send_members(service, exchange, name[0] != '\0');
        } else {
            etcd_v2_send_message(service, exchange, 404, "Not found", true);
        }
        return;
    case HTTP1_POST:
    case HTTP1_PUT:
    case HTTP1_DELETE:
        if (!etcd_v2_is_allowed(service, exchange)) {
            etcd_v2_send_message(service, exchange, 401, "Insufficient credentials", false);
        } else {
            etcd_v2_send_message(service, exchange, 403,
                                 "members are not changed by this API: pgquorum adds and removes "
                                 "them by their configuration",
                                 true);
        }
        return;
    case HTTP1_HEAD:
    case HTTP1_OPTIONS:
    case HTTP1_PATCH:
    case HTTP1_OTHER: break;
    }
    etcd_v2_send_not_allowed(exchange, "GET,POST,DELETE,PUT");
}
