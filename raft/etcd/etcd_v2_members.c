/* Members as the v2 API shows them: whom clients go on to, whatever address they were given. What
 * changes the membership is refused: it follows from the members' own configurations. */
#include "raft/etcd/etcd_v2.h"

#include "raft/etcd/etcd_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { URLS_MAX = STORE_MEMBERS_MAX * 8 };

struct urls {
    struct span texts[URLS_MAX];
    size_t count;
};

/* One of a list with commas, without spaces. */
static struct span take_url(struct span *rest)
{
    const uint8_t *comma = memchr(rest->data, ',', rest->len);
    struct span url = span_of(rest->data, comma == NULL ? rest->len : (size_t)(comma - rest->data));
    size_t used = comma == NULL ? rest->len : url.len + 1;
    *rest = span_of(rest->data + used, rest->len - used);
    while (url.len > 0 && url.data[0] == ' ') {
        url = span_of(url.data + 1, url.len - 1);
    }
    while (url.len > 0 && url.data[url.len - 1] == ' ') {
        url.len--;
    }
    return url;
}

static void add_urls(struct urls *urls, struct span list)
{
    while (list.len > 0) {
        struct span url = take_url(&list);
        if (url.len > 0 && urls->count < URLS_MAX) {
            urls->texts[urls->count++] = url;
        }
    }
}

/* Those of the group; one that has not said who it is has an id only. */
static size_t members_of(const struct etcd_service *service,
                         struct store_member members[STORE_MEMBERS_MAX])
{
    const struct etcd_service_config *config = etcd_service_config(service);
    const struct raft_node *node = config->node(config->arg);
    const struct store *store = etcd_service_store(service);
    struct store_member records[STORE_MEMBERS_MAX];
    struct raft_status status;
    if (node == NULL || store == NULL) {
        return 0;
    }
    size_t record_count = store_members(store, records, STORE_MEMBERS_MAX);
    raft_node_status(node, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        members[i] = (struct store_member){.id = status.members[i].id};
        for (size_t j = 0; j < record_count; j++) {
            members[i] = records[j].id == members[i].id ? records[j] : members[i];
        }
    }
    return status.member_count;
}

/* --- machines --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return span_compare(*(const struct span *)a, *(const struct span *)b);
}

/* Before the members' URLs are in the store: this one's own. */
void etcd_v2_serve_machines(struct etcd_service *service, struct http_exchange *exchange,
                            const struct http1_request *request)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = members_of(service, members);
    struct urls urls = {.count = 0};
    struct buf body = BUF_INIT;
    if (request->method != HTTP1_GET && request->method != HTTP1_HEAD) {
        etcd_v2_send_not_allowed(exchange, "GET,HEAD");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        add_urls(&urls, members[i].client_urls);
    }
    if (urls.count == 0) {
        add_urls(&urls, span_str(etcd_service_config(service)->client_urls));
    }
    qsort(urls.texts, urls.count, sizeof urls.texts[0], by_text);
    for (size_t i = 0; i < urls.count; i++) {
        buf_put_str(&body, i == 0 ? "" : ", ");
        buf_put_span(&body, urls.texts[i]);
    }
    etcd_v2_send_text(exchange, 200, buf_str(&body));
    buf_free(&body);
}

/* --- members ---------------------------------------------------------------------------------- */

static void put_member(const struct store_member *member, struct buf *out)
{
    struct urls urls = {.count = 0};
    add_urls(&urls, member->client_urls);
    buf_printf(out, "{\"id\":\"%" PRIx64 "\",\"name\":", member->id);
    json_put_string(out, member->name);
    buf_put_str(out, ",\"peerURLs\":[");
    if (member->address.len > 0) {
        struct buf url = BUF_INIT;
        buf_put_str(&url, "http://");
        buf_put_span(&url, member->address);
        json_put_string(out, buf_span(&url));
        buf_free(&url);
    }
    buf_put_str(out, "],\"clientURLs\":[");
    for (size_t i = 0; i < urls.count; i++) {
        buf_put_str(out, i == 0 ? "" : ",");
        json_put_string(out, urls.texts[i]);
    }
    buf_put_str(out, "]}");
}

static void send_members(const struct etcd_service *service, struct http_exchange *exchange)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = members_of(service, members);
    struct buf body = BUF_INIT;
    buf_put_str(&body, "{\"members\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put_str(&body, i == 0 ? "" : ",");
        put_member(&members[i], &body);
    }
    buf_put_str(&body, "]}\n");
    etcd_v2_send_json(service, exchange, 200, buf_span(&body), true);
    buf_free(&body);
}

static void send_leader(struct etcd_service *service, struct http_exchange *exchange)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = members_of(service, members);
    uint64_t leader = etcd_service_v2(service)->leader;
    struct buf body = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == leader) {
            put_member(&members[i], &body);
            buf_put_str(&body, "\n");
        }
    }
    if (body.len > 0) {
        etcd_v2_send_json(service, exchange, 200, buf_span(&body), true);
    } else {
        etcd_v2_send_message(service, exchange, 503, "During election", true);
    }
    buf_free(&body);
}

void etcd_v2_serve_members(struct etcd_service *service, struct http_exchange *exchange,
                           const struct http1_request *request)
{
    const char *name = request->path + strlen("/v2/members");
    name += name[0] == '/' ? 1 : 0;
    switch (request->method) {
    case HTTP1_GET:
        if (name[0] == '\0') {
            send_members(service, exchange);
        } else if (strcmp(name, "leader") == 0) {
            send_leader(service, exchange);
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
