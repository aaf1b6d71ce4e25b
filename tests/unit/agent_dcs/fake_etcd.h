/* Members of an etcd that does as it is told: sockets and text, so that it can lie, be silent and
 * hang up, over a small store that behaves like etcd's v3 where no test wants otherwise. One loop,
 * a watchdog instead of sleeps. */
#ifndef TESTS_UNIT_AGENT_DCS_FAKE_ETCD_H
#define TESTS_UNIT_AGENT_DCS_FAKE_ETCD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/harness/free_port.h"
#include "tests/unit/agent_dcs/fake_store.h"
#include "tests/unit/agent_dcs/watched_loop.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

enum { FAKES_MAX = 3, WATCHDOG_MS = 20000, TICK_MS = 5 };

struct fake;

/* One connection. */
struct fake_peer {
    struct list in_fake;
    struct fake *fake;
    uv_tcp_t tcp;
    struct buf got;
    bool open;
    bool watches; /* its answer is a stream that goes on */
};

struct fake_request {
    struct fake_peer *peer;
    char method[16];
    char path[256];
    char *head;
    json_t *body; /* NULL: no JSON */
    char *text;   /* the body */
};

/* A member. */
struct fake {
    uv_tcp_t server;
    uint16_t port;
    char url[64];
    char name;
    bool listens;
    uint64_t cluster;
    uint64_t member;
    uint64_t term;
    struct list peers;
};

static struct fake fakes[FAKES_MAX];
static int fake_count;
static struct buf seen;   /* "a POST /v3/kv/range\n" */
static json_t *last_body; /* of the last request that had JSON */
static char *last_head;   /* of the last request */
static char *last_text;   /* and its body */
/* True: the test has seen to it. */
static bool (*hook)(struct fake *fake, struct fake_request *request);

#define RUN_UNTIL(fact)                                       \
    while (!(fact)) {                                         \
        if (watchdog_fired) {                                 \
            fail_msg("never: %s\n%s", #fact, buf_str(&seen)); \
        }                                                     \
        (void)uv_run(&loop, UV_RUN_ONCE);                     \
    }

static inline void run_ms(uint64_t ms)
{
    uint64_t until = uv_now(&loop) + ms;
    RUN_UNTIL(uv_now(&loop) >= until);
}

/* --- answers ---------------------------------------------------------------------------------- */

static inline void fake_written(uv_write_t *request, int status)
{
    (void)status;
    mem_free(request);
}

static inline void fake_say(struct fake_peer *peer, const char *bytes, size_t len)
{
    uv_write_t *request = mem_alloc(sizeof *request + len);
    uv_buf_t buf = uv_buf_init((char *)(request + 1), (unsigned)len);
    memcpy(buf.base, bytes, len);
    if (!peer->open || uv_write(request, (uv_stream_t *)&peer->tcp, &buf, 1, fake_written) != 0) {
        mem_free(request);
    }
}

/* `headers`: whole lines, may be "". */
static inline void fake_answer_with(struct fake_peer *peer, int status, const char *headers,
                                    const char *body)
{
    char *text = mem_printf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s"
                            "Content-Length: %zu\r\n\r\n%s",
                            status, headers, strlen(body), body);
    fake_say(peer, text, strlen(text));
    mem_free(text);
}

static inline void fake_answer(struct fake_peer *peer, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline void fake_answer(struct fake_peer *peer, int status, const char *fmt, ...)
{
    char text[8192];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fake_answer_with(peer, status, "", text);
}

static inline void fake_stream(struct fake_peer *peer)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    fake_say(peer, head, sizeof head - 1);
    peer->watches = true;
}

static inline void fake_piece(struct fake_peer *peer, const char *text)
{
    char *chunk = mem_printf("%zx\r\n%s\r\n", strlen(text), text);
    fake_say(peer, chunk, strlen(chunk));
    mem_free(chunk);
}

static inline void fake_hang_up(struct fake_peer *peer)
{
    if (peer->open) {
        peer->open = false;
        uv_close((uv_handle_t *)&peer->tcp, NULL);
    }
}

static inline void fake_header(const struct fake *fake, char ret_text[256])
{
    (void)snprintf(
        ret_text, 256,
        "\"header\":{\"cluster_id\":\"%llu\",\"member_id\":\"%llu\",\"revision\":\"%lld\","
        "\"raft_term\":\"%llu\"}",
        (unsigned long long)fake->cluster, (unsigned long long)fake->member,
        (long long)store.revision, (unsigned long long)fake->term);
}

/* --- what a member answers ---------------------------------------------------------------------
 */

static inline void fake_tell_lease_gone(struct fake_peer *peer)
{
    fake_answer(peer, 404,
                "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: "
                "requested lease not found\",\"code\":5}");
}

static inline void fake_range(const struct fake *fake, struct fake_request *request)
{
    char header[256];
    struct buf out = BUF_INIT;
    const char *one =
        json_object_get(request->body, "range_end") != NULL ? NULL : text_in(request->body, "key");
    bool first = true;
    fake_header(fake, header);
    buf_printf(&out, "{%s,\"kvs\":[", header);
    for (size_t i = 0; i < FAKE_KEYS_MAX; i++) {
        const struct fake_kv *kv = &store.kvs[i];
        if (kv->key != NULL && (one == NULL || strcmp(kv->key, one) == 0)) {
            buf_put_str(&out, first ? "" : ",");
            kv_print(&out, kv);
            first = false;
        }
    }
    buf_put_str(&out, "]}");
    fake_answer_with(request->peer, 200, "", buf_str(&out));
    buf_free(&out);
}

/* What a member of an etcd answers. */
static inline void fake_serve(struct fake *fake, struct fake_request *request)
{
    struct fake_peer *peer = request->peer;
    const char *path = request->path;
    char header[256];
    bool succeeded = false;
    uint64_t lease = (uint64_t)number_in(request->body, "ID");

    fake_header(fake, header);
    if (strcmp(path, "/version") == 0) {
        fake_answer(peer, 200, "{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}");
    } else if (strcmp(path, "/v3/cluster/member/list") == 0) {
        struct buf urls = BUF_INIT;
        for (int i = 0; i < fake_count; i++) {
            buf_printf(&urls, "%s{\"clientURLs\":[\"%s\"]}", i > 0 ? "," : "", fakes[i].url);
        }
        fake_answer(peer, 200, "{%s,\"members\":[%s]}", header, buf_str(&urls));
        buf_free(&urls);
    } else if (strcmp(path, "/v3/kv/range") == 0) {
        fake_range(fake, request);
    } else if (strcmp(path, "/v3/kv/txn") == 0) {
        if (!txn_apply(request->body, &succeeded)) {
            fake_tell_lease_gone(peer);
            return;
        }
        fake_header(fake, header);
        fake_answer(peer, 200, "{%s%s}", header, succeeded ? ",\"succeeded\":true" : "");
    } else if (strcmp(path, "/v3/lease/grant") == 0) {
        int64_t ttl_s = number_in(request->body, "TTL");
        fake_answer(peer, 200, "{%s,\"ID\":\"%llu\",\"TTL\":\"%lld\"}", header,
                    (unsigned long long)lease_grant(ttl_s), (long long)ttl_s);
    } else if (strcmp(path, "/v3/lease/keepalive") == 0) {
        if (lease_lives(lease)) {
            fake_answer(peer, 200, "{\"result\":{%s,\"ID\":\"%llu\",\"TTL\":\"%lld\"}}\n", header,
                        (unsigned long long)lease, (long long)store.ttls[lease]);
        } else {
            fake_answer(peer, 200, "{\"result\":{%s,\"ID\":\"%llu\"}}\n", header,
                        (unsigned long long)lease);
        }
    } else if (strcmp(path, "/v3/lease/revoke") == 0) {
        if (!lease_lives(lease)) {
            fake_tell_lease_gone(peer);
            return;
        }
        lease_end(lease);
        fake_header(fake, header);
        fake_answer(peer, 200, "{%s}", header);
    } else if (strcmp(path, "/v3/watch") == 0) {
        fake_stream(peer);
        char *created = mem_printf("{\"result\":{%s,\"created\":true}}\n", header);
        fake_piece(peer, created);
        mem_free(created);
    } else {
        fake_answer(peer, 404, "Not Found");
    }
}

/* --- members ---------------------------------------------------------------------------------- */

static inline void request_free(struct fake_request *request)
{
    json_decref(request->body);
    mem_free(request->head);
    mem_free(request->text);
    mem_free(request);
}

/* Length of the complete request at the front; 0 = not yet. */
static inline size_t request_len(struct buf *got, size_t *ret_head_len)
{
    const char *text = buf_str(got);
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    *ret_head_len = (size_t)(end + 4 - text);
    size_t total =
        *ret_head_len + (length != NULL && length < end ? strtoul(length + 18, NULL, 10) : 0);
    return got->len >= total ? total : 0;
}

static inline void fake_take(struct fake_peer *peer, size_t head_len, size_t len)
{
    struct fake *fake = peer->fake;
    struct fake_request *request = mem_new(struct fake_request);
    request->peer = peer;
    request->head = mem_strndup((const char *)peer->got.data, head_len);
    request->text = mem_strndup((const char *)peer->got.data + head_len, len - head_len);
    request->body = json_loads(request->text, 0, NULL);
    buf_drop(&peer->got, len);
    if (sscanf(request->head, "%15s %255s", request->method, request->path) != 2) {
        fail_msg("no request: %s", request->head);
    }
    buf_printf(&seen, "%c %s %s\n", fake->name, request->method, request->path);
    mem_free(last_head);
    mem_free(last_text);
    last_head = mem_strdup(request->head);
    last_text = mem_strdup(request->text);
    if (request->body != NULL) {
        json_decref(last_body);
        last_body = json_incref(request->body);
    }
    if (hook == NULL || !hook(fake, request)) {
        fake_serve(fake, request);
    }
    request_free(request);
}

static inline void fake_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    static char bytes[65536];
    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(bytes, sizeof bytes);
}

static inline void fake_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
    struct fake_peer *peer = stream->data;
    size_t head_len = 0;
    if (count < 0) {
        fake_hang_up(peer);
        return;
    }
    buf_put(&peer->got, bytes->base, (size_t)count);
    for (size_t len = request_len(&peer->got, &head_len); len > 0 && peer->open;
         len = request_len(&peer->got, &head_len)) {
        fake_take(peer, head_len, len);
    }
}

static inline void fake_accept(uv_stream_t *listener, int status)
{
    struct fake *fake = listener->data;
    struct fake_peer *peer = mem_new(struct fake_peer);
    assert_int_equal(status, 0);
    assert_int_equal(uv_tcp_init(&loop, &peer->tcp), 0);
    peer->fake = fake;
    peer->tcp.data = peer;
    peer->open = true;
    list_append(&fake->peers, &peer->in_fake);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->tcp), 0);
    (void)uv_tcp_nodelay(&peer->tcp, 1);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->tcp, fake_alloc, fake_read), 0);
}

static inline void fake_listen(struct fake *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fake->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(uv_tcp_init(&loop, &fake->server), 0);
    assert_int_equal(uv_tcp_bind(&fake->server, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake->server, 512, fake_accept), 0);
    fake->server.data = fake;
    fake->listens = true;
}

static inline void fake_hang_up_all(struct fake *fake)
{
    LIST_EACH(item, &fake->peers)
    {
        fake_hang_up(LIST_OWNER(item, struct fake_peer, in_fake));
    }
}

/* The member is gone: whoever connects is refused. */
static inline void fake_stop(struct fake *fake)
{
    if (fake->listens) {
        fake->listens = false;
        uv_close((uv_handle_t *)&fake->server, NULL);
        fake_hang_up_all(fake);
        (void)uv_run(&loop, UV_RUN_NOWAIT); /* the port is free */
    }
}

/* Tells all watches of a member. */
static inline void fake_tell(struct fake *fake, const char *text)
{
    LIST_EACH(item, &fake->peers)
    {
        struct fake_peer *peer = LIST_OWNER(item, struct fake_peer, in_fake);
        if (peer->watches) {
            fake_piece(peer, text);
        }
    }
}

static inline size_t seen_count(const char *text)
{
    size_t count = 0;
    for (const char *at = strstr(buf_str(&seen), text); at != NULL; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

static inline void fakes_open(int count)
{
    loop_open(WATCHDOG_MS, TICK_MS);
    store.revision = 1;
    hook = NULL;
    fake_count = count;
    for (int i = 0; i < count; i++) {
        struct fake *fake = &fakes[i];
        *fake = (struct fake){.port = free_port(),
                              .name = (char)('a' + i),
                              .cluster = 77,
                              .member = 100 + (uint64_t)i,
                              .term = 5};
        (void)snprintf(fake->url, sizeof fake->url, "http://127.0.0.1:%u", fake->port);
        list_init(&fake->peers);
        fake_listen(fake);
    }
}

/* Nothing may be left in the loop. */
static inline void fakes_close(void)
{
    for (int i = 0; i < fake_count; i++) {
        fake_stop(&fakes[i]);
    }
    loop_end();
    for (int i = 0; i < fake_count; i++) {
        LIST_EACH(item, &fakes[i].peers)
        {
            struct fake_peer *peer = LIST_OWNER(item, struct fake_peer, in_fake);
            list_remove(item);
            buf_free(&peer->got);
            mem_free(peer);
        }
    }
    for (size_t i = 0; i < FAKE_KEYS_MAX; i++) {
        store_delete(&store.kvs[i]);
    }
    memset(&store, 0, sizeof store);
    buf_free(&seen);
    json_decref(last_body);
    mem_free(last_head);
    mem_free(last_text);
    last_body = NULL;
    last_head = NULL;
    last_text = NULL;
}

#endif
