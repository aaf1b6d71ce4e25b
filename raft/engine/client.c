/* One connection at a time, to the first address that takes us; requests wait until it is there.
 *
 *   IDLE --a request--> CONNECTING --> HANDSHAKE --> OPEN --lost--> CONNECTING (next address) ...
 *
 * A round is one try of every address. When a whole round failed, the requests that wait are told
 * so: the caller of a command line is better served by an answer now than by silence until the
 * deadline. A request that was sent and not answered is repeated only if it changes nothing. */
#include "raft/client.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/net/tcp.h"
#include "raft/engine/client_frame.h"
#include "raft/engine/peer_session.h"

#include <openssl/crypto.h>
#include <string.h>
#include <uv.h>

#define CONNECT_TIMEOUT_MS     2000
#define SEND_PENDING_BYTES_MAX ((size_t)16 * 1024 * 1024)

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_HANDSHAKE, CLIENT_OPEN };

struct request {
    struct list in_client;
    uint64_t number;
    enum client_kind kind;
    bool sent;
    size_t tries;         /* addresses that did not answer it */
    uint64_t deadline_ms; /* uv_now */
    struct buf body;
    raft_client_read_done read_done;
    raft_client_command_done command_done;
    raft_client_status_done status_done;
    void *arg;
};

struct raft_client {
    enum client_state state;
    bool closing;
    uv_loop_t *loop;
    struct net_addr addresses[RAFT_CLIENT_ADDRESSES_MAX];
    size_t address_count;
    size_t address;  /* tried now, or connected */
    size_t failures; /* addresses of this round that failed */
    char *password;
    struct handshake_identity identity;
    struct list requests; /* in the order of their numbers */
    size_t request_count;
    uint64_t number_next;
    uv_timer_t timer; /* the next deadline, or what is to be done at once */
    struct tcp_connect *connect;
    struct peer_session *session;
    int parts; /* timer, connect, sessions that are not gone yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void client_step(struct raft_client *client);
static void client_connect(struct raft_client *client);

/* --- ends of requests ------------------------------------------------------------------------- */

struct outcome {
    int rc;
    const struct raft_client_view *view;
    const struct store_result *result;
    const struct raft_status *status;
    const struct error *err;
};

static void request_end(struct raft_client *client, struct request *request,
                        const struct outcome *outcome)
{
    list_remove(&request->in_client);
    client->request_count--;
    if (request->read_done != NULL) {
        request->read_done(request->arg, outcome->rc, outcome->view, outcome->err);
    } else if (request->command_done != NULL) {
        request->command_done(request->arg, outcome->rc, outcome->result, outcome->err);
    } else {
        request->status_done(request->arg, outcome->rc, outcome->status, outcome->err);
    }
    buf_free(&request->body);
    mem_free(request);
}

static void request_fail(struct raft_client *client, struct request *request, int rc,
                         const struct error *err)
{
    struct outcome outcome = {.rc = rc, .err = err};
    request_end(client, request, &outcome);
}

static struct request *request_first(struct raft_client *client, bool sent)
{
    LIST_EACH(item, &client->requests)
    {
        struct request *request = LIST_OWNER(item, struct request, in_client);
        if (request->sent == sent) {
            return request;
        }
    }
    return NULL;
}

/* The callbacks may add requests (they wait for the next round) or close the client. */
static void fail_waiting(struct raft_client *client, int rc, const struct error *err)
{
    uint64_t before = client->number_next;
    for (;;) {
        struct request *request = request_first(client, false);
        if (request == NULL || request->number >= before || client->closing) {
            return;
        }
        request_fail(client, request, rc, err);
    }
}

/* --- connection ------------------------------------------------------------------------------- */

static void part_closed(void *arg)
{
    struct raft_client *client = arg;
    ASSERT(client->parts > 0);
    client->parts--;
    if (client->parts > 0) {
        return;
    }
    void (*closed)(void *arg) = client->closed;
    void *closed_arg = client->closed_arg;
    if (client->password != NULL) {
        OPENSSL_cleanse(client->password, strlen(client->password));
    }
    mem_free(client->password);
    mem_free(client);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void session_drop(struct raft_client *client)
{
    if (client->session != NULL) {
        struct peer_session *session = client->session;
        client->session = NULL;
        peer_session_close(session, part_closed, client); /* its part is given back there */
    }
    client->state = CLIENT_IDLE;
}

/* What was sent on the lost connection: a command may have been applied. */
static void sent_lost(struct raft_client *client, const struct error *err)
{
    for (;;) {
        struct request *request = request_first(client, true);
        if (request == NULL || client->closing) {
            return;
        }
        request->sent = false;
        request->tries++;
        if (request->kind == CLIENT_COMMAND) {
            request_fail(client, request, ERR_UNKNOWN, err);
        } else if (request->tries >= client->address_count) {
            request_fail(client, request, ERR_UNAVAILABLE, err);
        }
    }
}

static void address_failed(struct raft_client *client, int rc, const struct error *why)
{
    struct error err = *why;
    char text[NET_ADDR_TEXT_BYTES];
    error_wrap(&err, "member at %s", net_addr_format(&client->addresses[client->address], text));
    session_drop(client);
    client->address = (client->address + 1) % client->address_count;
    client->failures++;
    sent_lost(client, &err);
    if (!client->closing && client->failures >= client->address_count) {
        client->failures = 0;
        fail_waiting(client, rc == ERR_PERMISSION ? ERR_PERMISSION : ERR_UNAVAILABLE, &err);
    }
    if (!client->closing) {
        client_step(client);
    }
}

static int request_send(struct raft_client *client, struct request *request, struct error *err)
{
    uint64_t now_ms = uv_now(client->loop);
    uint64_t left_ms = request->deadline_ms > now_ms ? request->deadline_ms - now_ms : 0;
    struct client_request message = {.number = request->number,
                                     .kind = request->kind,
                                     .timeout_ms = (uint32_t)left_ms,
                                     .body = buf_span(&request->body)};
    struct buf payload = BUF_INIT;
    client_request_encode(&message, &payload);
    struct peer_frame frame = {.type = PEER_FRAME_REQUEST,
                               .to = peer_session_peer(client->session)->id,
                               .payload = buf_span(&payload)};
    int rc = peer_session_send(client->session, &frame, SEND_PENDING_BYTES_MAX, err);
    buf_free(&payload);
    return rc;
}

static void send_waiting(struct raft_client *client)
{
    struct request *request;
    while ((request = request_first(client, false)) != NULL) {
        struct error err = {0};
        int rc = request_send(client, request, &err);
        if (rc != 0) {
            address_failed(client, rc, &err);
            return;
        }
        request->sent = true;
    }
}

static void on_open(void *arg, struct peer_session *session)
{
    struct raft_client *client = arg;
    (void)session;
    client->state = CLIENT_OPEN;
    client->failures = 0;
    client_step(client);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    (void)session;
    address_failed(arg, rc, err);
}

static void view_deliver(struct raft_client *client, struct request *request, struct span body)
{
    struct raft_client_view view = {0};
    struct store_kv *kvs = NULL;
    struct error err = {0};
    struct outcome outcome = {.view = &view, .err = &err};
    outcome.rc = client_view_decode(body, &view.cluster, &view.revision, &kvs, &view.count, &err);
    view.kvs = kvs;
    request_end(client, request, &outcome);
    mem_free(kvs);
}

static void answer_deliver(struct raft_client *client, struct request *request, struct span body)
{
    struct error err = {0};
    struct store_result result = {0};
    struct raft_status status = {0};
    struct outcome outcome = {.err = &err};
    switch (request->kind) {
    case CLIENT_READ: view_deliver(client, request, body); return;
    case CLIENT_COMMAND:
        outcome.rc = client_result_decode(body, &result, &err);
        outcome.rc = outcome.rc == 0 ? 0 : ERR_UNKNOWN;
        outcome.result = &result;
        break;
    case CLIENT_STATUS:
        outcome.rc = client_status_decode(body, &status, &err);
        outcome.status = &status;
        break;
    }
    request_end(client, request, &outcome);
}

/* The member has no group, or cannot reach one: another may. */
static void answer_elsewhere(struct raft_client *client, struct request *request,
                             const struct error *err)
{
    request->sent = false;
    request->tries++;
    if (request->tries >= client->address_count) {
        request_fail(client, request, ERR_UNAVAILABLE, err);
        return;
    }
    if (request_first(client, true) ==
        NULL) { /* the last one under way here takes the connection along */
        session_drop(client);
        client->address = (client->address + 1) % client->address_count;
        client_step(client);
    }
}

static void on_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct raft_client *client = arg;
    (void)session;
    struct client_answer answer;
    if (frame->type != PEER_FRAME_ANSWER ||
        client_answer_decode(frame->payload, &answer, NULL) != 0) {
        return;
    }
    LIST_EACH(item, &client->requests)
    {
        struct request *request = LIST_OWNER(item, struct request, in_client);
        if (request->number != answer.number || request->kind != answer.kind || !request->sent) {
            continue;
        }
        struct error err = {0};
        if (answer.code == 0) {
            answer_deliver(client, request, answer.body);
            return;
        }
        error_set(&err, answer.code, "%.*s", (int)answer.text.len, (const char *)answer.text.data);
        if (answer.code == ERR_UNAVAILABLE) {
            answer_elsewhere(client, request, &err);
        } else {
            request_fail(client, request, answer.code, &err);
        }
        return;
    }
}

static const struct peer_session_events session_events = {
    .on_open = on_open, .on_frame = on_frame, .on_end = on_end};

static void connect_done(void *arg, int rc, struct stream *stream, const struct error *err)
{
    struct raft_client *client = arg;
    client->connect = NULL;
    if (client->closing) {
        if (stream != NULL) {
            stream_close(stream, NULL, NULL);
        }
        part_closed(client);
        return;
    }
    if (rc != 0) {
        client->parts--;
        address_failed(client, rc, err);
        return;
    }
    struct peer_session_config config = {.loop = client->loop,
                                         .caller = true,
                                         .role = HANDSHAKE_CLIENT,
                                         .password = client->password,
                                         .identity = &client->identity};
    client->state = CLIENT_HANDSHAKE;
    client->session =
        peer_session_start(stream, &config, &session_events, client); /* takes over the part */
}

static void client_connect(struct raft_client *client)
{
    struct tcp_connect_options options = {
        .to = client->addresses[client->address],
        .timeout_ms = CONNECT_TIMEOUT_MS,
        .tcp = {.write_queue_bytes_max = SEND_PENDING_BYTES_MAX * 2}};
    struct error err = {0};
    int rc =
        tcp_connect_start(client->loop, &options, connect_done, client, &client->connect, &err);
    if (rc == 0) {
        client->state = CLIENT_CONNECTING;
        client->parts++;
    } else {
        client->connect = NULL;
        address_failed(client, rc, &err);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

static void deadlines_check(struct raft_client *client)
{
    uint64_t now_ms = uv_now(client->loop);
    struct error err = {0};
    error_set(&err, ERR_TIMEOUT, "no answer in time");
    for (;;) {
        struct request *late = NULL;
        LIST_EACH(item, &client->requests)
        {
            struct request *request = LIST_OWNER(item, struct request, in_client);
            if (request->deadline_ms <= now_ms) {
                late = request;
                break;
            }
        }
        if (late == NULL || client->closing) {
            return;
        }
        bool unknown = late->kind == CLIENT_COMMAND && late->sent;
        request_fail(client, late, unknown ? ERR_UNKNOWN : ERR_UNAVAILABLE, &err);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct raft_client *client = timer->data;
    deadlines_check(client);
    if (!client->closing) {
        client_step(client);
    }
}

static void timer_arm(struct raft_client *client, bool soon)
{
    uint64_t now_ms = uv_now(client->loop);
    uint64_t delay_ms = UINT64_MAX;
    LIST_EACH(item, &client->requests)
    {
        const struct request *request = LIST_OWNER(item, struct request, in_client);
        uint64_t left_ms = request->deadline_ms > now_ms ? request->deadline_ms - now_ms : 0;
        delay_ms = left_ms < delay_ms ? left_ms : delay_ms;
    }
    int rc = delay_ms == UINT64_MAX
                 ? uv_timer_stop(&client->timer)
                 : uv_timer_start(&client->timer, on_timer, soon ? 0 : delay_ms, 0);
    ASSERT(rc == 0);
}

static void client_step(struct raft_client *client)
{
    timer_arm(client, false);
    if (request_first(client, false) == NULL) {
        return;
    }
    if (client->state == CLIENT_IDLE) {
        client_connect(client);
    } else if (client->state == CLIENT_OPEN) {
        send_waiting(client);
    }
}

/* --- use -------------------------------------------------------------------------------------- */

static int request_new(struct raft_client *client, enum client_kind kind, int64_t timeout_ms,
                       struct request **ret_request, struct error *err)
{
    if (client->request_count >= RAFT_CLIENT_REQUESTS_MAX) {
        return error_set(err, ERR_LIMIT, "%d requests wait already", RAFT_CLIENT_REQUESTS_MAX);
    }
    if (timeout_ms <= 0 || timeout_ms > CLIENT_TIMEOUT_MAX_MS) {
        return error_set(err, ERR_INVALID, "a deadline of %lld ms (1 to %d are allowed)",
                         (long long)timeout_ms, CLIENT_TIMEOUT_MAX_MS);
    }
    struct request *request = mem_new(struct request);
    request->number = client->number_next++;
    request->kind = kind;
    uv_update_time(client->loop);
    request->deadline_ms = uv_now(client->loop) + (uint64_t)timeout_ms;
    *ret_request = request;
    return 0;
}

/* Whatever comes next comes from the timer: no callback inside the call. */
static int request_start(struct raft_client *client, struct request *request)
{
    list_append(&client->requests, &request->in_client);
    client->request_count++;
    timer_arm(client, true);
    return 0;
}

int raft_client_read_prefix(struct raft_client *client, struct span prefix, int64_t timeout_ms,
                            raft_client_read_done done, void *arg, struct error *err)
{
    struct request *request;
    if (prefix.len > STORE_KEY_BYTES_MAX) {
        return error_set(err, ERR_INVALID, "the prefix is longer than %d bytes",
                         STORE_KEY_BYTES_MAX);
    }
    int rc = request_new(client, CLIENT_READ, timeout_ms, &request, err);
    if (rc != 0) {
        return rc;
    }
    request->read_done = done;
    request->arg = arg;
    buf_put_span(&request->body, prefix);
    return request_start(client, request);
}

int raft_client_command(struct raft_client *client, const struct store_command *command,
                        int64_t timeout_ms, raft_client_command_done done, void *arg,
                        struct error *err)
{
    struct store_command plain = *command;
    plain.client = 0;
    plain.sequence = 0;
    plain.floor = 0;
    plain.actor = span_of(NULL, 0);
    struct buf body = BUF_INIT;
    int rc = store_command_encode(&plain, &body, err);
    struct request *request;
    if (rc == 0) {
        rc = request_new(client, CLIENT_COMMAND, timeout_ms, &request, err);
    }
    if (rc != 0) {
        buf_free(&body);
        return rc;
    }
    request->command_done = done;
    request->arg = arg;
    request->body = body;
    return request_start(client, request);
}

int raft_client_status(struct raft_client *client, int64_t timeout_ms, raft_client_status_done done,
                       void *arg, struct error *err)
{
    struct request *request;
    int rc = request_new(client, CLIENT_STATUS, timeout_ms, &request, err);
    if (rc != 0) {
        return rc;
    }
    request->status_done = done;
    request->arg = arg;
    return request_start(client, request);
}

int raft_client_new(struct uv_loop_s *loop, const char *const *addresses, size_t address_count,
                    const char *password, struct raft_client **ret_client, struct error *err)
{
    if (address_count == 0 || address_count > RAFT_CLIENT_ADDRESSES_MAX) {
        return error_set(err, ERR_INVALID, "1 to %d addresses of members are needed",
                         RAFT_CLIENT_ADDRESSES_MAX);
    }
    if (password != NULL && strlen(password) > HANDSHAKE_PASSWORD_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "raft.password is longer than %d bytes",
                         HANDSHAKE_PASSWORD_BYTES_MAX);
    }
    struct raft_client *client = mem_new(struct raft_client);
    for (size_t i = 0; i < address_count; i++) {
        int rc = net_addr_parse(addresses[i], NET_PORT_REQUIRED, &client->addresses[i], err);
        if (rc != 0) {
            mem_free(client);
            return rc;
        }
    }
    client->loop = loop;
    client->address_count = address_count;
    client->password = password != NULL && password[0] != '\0' ? mem_strdup(password) : NULL;
    client->number_next = 1;
    list_init(&client->requests);
    int rc = uv_timer_init(loop, &client->timer);
    ASSERT(rc == 0);
    client->timer.data = client;
    client->parts = 1;
    *ret_client = client;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void raft_client_close(struct raft_client *client, void (*closed)(void *arg), void *arg)
{
    ASSERT(!client->closing);
    client->closing = true;
    client->closed = closed;
    client->closed_arg = arg;
    struct error err = {0};
    error_set(&err, ERR_CANCELED, "the client was closed");
    while (!list_empty(&client->requests)) {
        struct request *request =
            LIST_OWNER(list_first(&client->requests), struct request, in_client);
        request_fail(client, request, ERR_CANCELED, &err);
    }
    session_drop(client);
    if (client->connect != NULL) {
        tcp_connect_cancel(client->connect);
    }
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}
