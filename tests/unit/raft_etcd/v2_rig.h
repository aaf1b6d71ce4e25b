/* A real group of one voter (or more), a service in front of it, and requests of the v2 API that
 * are recorded instead of sent. */
#ifndef TESTS_UNIT_RAFT_ETCD_V2_RIG_H
#define TESTS_UNIT_RAFT_ETCD_V2_RIG_H

#include "tests/unit/raft_engine/group_fixture.h"

#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_http.h"
#include "raft/store_client.h"

enum { FAKE_PATH_BYTES = 4096, FAKE_HEADERS_BYTES = 512 };

struct fake_exchange {
    struct http_exchange base;
    struct http1_request request;
    char path[FAKE_PATH_BYTES];
    char query[FAKE_PATH_BYTES];
    struct buf sent; /* the body of the request */
    const char *content_type;
    const char *authorization;
    bool is_gone_at_start; /* the peer is not there when a stream begins */
    size_t pending;        /* what the peer has not taken */
    int status;            /* 0: no answer yet */
    char type[64];
    char headers[FAKE_HEADERS_BYTES];
    struct buf body;
    unsigned pieces;
    bool streaming;
    bool ended;
    void (*on_gone)(void *arg);
    void *gone_arg;
};

/* --- the carrier ------------------------------------------------------------------------------ */

static struct span fake_header(const struct http_exchange *exchange, const char *name)
{
    const struct fake_exchange *fake = (const struct fake_exchange *)exchange;
    const char *value = strcmp(name, "Content-Type") == 0    ? fake->content_type
                        : strcmp(name, "Authorization") == 0 ? fake->authorization
                                                             : NULL;
    return value == NULL ? span_of(NULL, 0) : span_str(value);
}

static const struct stream_peer *fake_peer(const struct http_exchange *exchange)
{
    static const struct stream_peer peer = {.text = "127.0.0.1:1"};
    (void)exchange;
    return &peer;
}

static void fake_head(struct fake_exchange *fake, const struct http1_response *response)
{
    assert_int_equal(fake->status, 0);
    fake->status = response->status;
    (void)snprintf(fake->type, sizeof fake->type, "%s",
                   response->content_type == NULL ? "" : response->content_type);
    (void)snprintf(fake->headers, sizeof fake->headers, "%s",
                   response->headers == NULL ? "" : response->headers);
    memset(fake->path, 'x', sizeof fake->path); /* the request is not valid any more */
    memset(fake->query, 'x', sizeof fake->query);
    memset(fake->sent.data, 'x', fake->sent.len);
}

static void fake_respond(struct http_exchange *exchange, const struct http1_response *response)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    buf_put_span(&fake->body, response->body); /* which may borrow from the request */
    fake_head(fake, response);
    fake->ended = true;
    if (fake->request.method == HTTP1_HEAD) {
        buf_clear(&fake->body);
    }
}

static int fake_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                             void (*on_gone)(void *arg), void *arg)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    if (fake->is_gone_at_start) {
        fake->ended = true;
        return ERR_CLOSED;
    }
    assert_non_null(head->content_type);
    fake_head(fake, head);
    fake->streaming = true;
    fake->on_gone = on_gone;
    fake->gone_arg = arg;
    return 0;
}

static void fake_stream_send(struct http_exchange *exchange, struct span piece)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    assert_true(fake->streaming && !fake->ended && piece.len > 0);
    fake->pieces++;
    buf_put_span(&fake->body, piece);
}

static size_t fake_stream_pending(const struct http_exchange *exchange)
{
    return ((const struct fake_exchange *)exchange)->pending;
}

static void fake_stream_end(struct http_exchange *exchange)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    assert_true(fake->streaming && !fake->ended);
    fake->ended = true;
}

static const struct http_exchange_ops fake_ops = {.header = fake_header,
                                                  .peer = fake_peer,
                                                  .respond = fake_respond,
                                                  .stream_start = fake_stream_start,
                                                  .stream_send = fake_stream_send,
                                                  .stream_pending = fake_stream_pending,
                                                  .stream_end = fake_stream_end};

static enum http1_method fake_method(const char *name)
{
    static const char *const names[] = {
        [HTTP1_GET] = "GET",      [HTTP1_HEAD] = "HEAD", [HTTP1_OPTIONS] = "OPTIONS",
        [HTTP1_POST] = "POST",    [HTTP1_PUT] = "PUT",   [HTTP1_PATCH] = "PATCH",
        [HTTP1_DELETE] = "DELETE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum http1_method)i;
        }
    }
    return HTTP1_OTHER;
}

static struct fake_exchange *fake_new(const char *method, const char *target, const char *body)
{
    struct fake_exchange *fake = mem_new(struct fake_exchange);
    size_t path_len = strcspn(target, "?");
    const char *query = target[path_len] == '?' ? target + path_len + 1 : "";
    fake->base.ops = &fake_ops;
    assert_true(path_len < sizeof fake->path && strlen(query) < sizeof fake->query);
    memcpy(fake->path, target, path_len);
    strcpy(fake->query, query);
    buf_put_str(&fake->sent, body);
    buf_reserve(&fake->sent, 1);
    fake->content_type = body[0] == '\0' ? NULL : "application/x-www-form-urlencoded";
    fake->request = (struct http1_request){.method = fake_method(method),
                                           .path = fake->path,
                                           .query = fake->query,
                                           .body = buf_span(&fake->sent)};
    return fake;
}

static void fake_free(struct fake_exchange *fake)
{
    buf_free(&fake->sent);
    buf_free(&fake->body);
    mem_free(fake);
}

/* The value of a header of the answer; "" = it has none. Until the next call. */
static inline const char *fake_answer_header(const struct fake_exchange *fake, const char *name)
{
    static char value[FAKE_HEADERS_BYTES];
    const char *at = strstr(fake->headers, name);
    value[0] = '\0';
    if (at != NULL) {
        at += strlen(name) + 2;
        (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    }
    return value;
}

/* --- the service ------------------------------------------------------------------------------ */

struct v2_rig {
    struct rig group;
    struct etcd_service *service;
    bool has_node;
    bool stopped;
    struct etcd_auth auth;
};

static struct raft_node *v2_node(void *arg)
{
    struct v2_rig *rig = arg;
    return rig->has_node ? node_of(&rig->group, 0) : NULL;
}

/* Lets everything run until `holds`. */
static void v2_until(struct v2_rig *rig, bool (*holds)(struct v2_rig *rig, void *arg), void *arg,
                     const char *what)
{
    uint64_t until = uv_hrtime() + (uint64_t)20 * 1000000000;
    while (!holds(rig, arg)) {
        if (uv_hrtime() > until) {
            fail_msg("not in time: %s", what);
        }
        uv_run(&rig->group.loop, UV_RUN_ONCE);
        if (rig->service != NULL && !rig->stopped) {
            etcd_service_on_change(rig->service);
        }
    }
}

static bool v2_is_ready(struct v2_rig *rig, void *arg)
{
    (void)arg;
    return etcd_service_is_ready(rig->service) && etcd_service_has_leader(rig->service) &&
           raft_node_store(v2_node(rig)) != NULL;
}

static bool v2_is_published(struct v2_rig *rig, void *arg)
{
    struct store_member member;
    (void)arg;
    return store_members(raft_node_store(v2_node(rig)), &member, 1) == 1 &&
           member.client_urls.len > 0;
}

static void v2_open(struct v2_rig *rig, bool with_auth)
{
    memset(rig, 0, sizeof *rig);
    rig_init(&rig->group, 1, NULL);
    member_start(&rig->group, 0);
    rig->has_node = true;
    rig->auth = (struct etcd_auth){.username = span_str("root"), .password = span_str("secret")};
    struct etcd_service_config config = {.loop = &rig->group.loop,
                                         .clock = clock_real(),
                                         .random = random_real(),
                                         .node = v2_node,
                                         .arg = rig,
                                         .election_timeout_ms = ELECTION_MS,
                                         .client_urls = "http://127.0.0.1:2379",
                                         .auth = with_auth ? &rig->auth : NULL};
    rig->service = etcd_service_new(&config);
    v2_until(rig, v2_is_ready, NULL, "the store is open");
    v2_until(rig, v2_is_published, NULL, "the member's URLs are known");
}

static void v2_on_stopped(void *arg)
{
    ((struct v2_rig *)arg)->stopped = true;
}

static bool v2_has_stopped(struct v2_rig *rig, void *arg)
{
    (void)arg;
    return rig->stopped;
}

static void v2_close(struct v2_rig *rig)
{
    etcd_service_stop(rig->service, v2_on_stopped, rig);
    rig->service = NULL;
    v2_until(rig, v2_has_stopped, NULL, "the service stops");
    rig_free(&rig->group);
}

/* --- requests --------------------------------------------------------------------------------- */

static inline void v2_serve(struct v2_rig *rig, struct fake_exchange *fake)
{
    etcd_v2_serve(rig->service, &fake->base, &fake->request);
}

static inline bool v2_has_ended(struct v2_rig *rig, void *arg)
{
    (void)rig;
    return ((struct fake_exchange *)arg)->ended;
}

/* Sends and waits for the whole answer. */
static inline struct fake_exchange *v2_ask(struct v2_rig *rig, const char *method,
                                           const char *target, const char *body)
{
    struct fake_exchange *fake = fake_new(method, target, body);
    v2_serve(rig, fake);
    v2_until(rig, v2_has_ended, fake, target);
    return fake;
}

/* Expects this status and body. */
static inline void v2_expect(struct v2_rig *rig, const char *method, const char *target,
                             const char *body, int status, const char *answer)
{
    struct fake_exchange *fake = v2_ask(rig, method, target, body);
    if (fake->status != status || strcmp(buf_str(&fake->body), answer) != 0) {
        fail_msg("%s %s %s\n  gives %d %s\n  not   %d %s", method, target, body, fake->status,
                 buf_str(&fake->body), status, answer);
    }
    fake_free(fake);
}

#endif
