/* One connection at a time, to the first address that takes us; calls wait until it is there.
 *
 *   IDLE --a call--> CONNECTING --> HANDSHAKE --> OPEN --lost, silent--> CONNECTING (next address)
 *
 * A round is one try of every address. When a whole round failed, the calls that wait are told so:
 * the caller of a command line is better served by an answer now than by silence until the
 * deadline. A call that was sent and not answered is repeated only if it changes nothing.
 *
 * A member may live and never answer (stopped, cut off in the middle of a connection): the kernel
 * sees nothing wrong with the one, and finds out late about the other. So whoever owes an answer is
 * asked for a sign of life, its status, which a member gives at once whatever the group is like;
 * without one within its share of the shortest deadline the next address has its turn. A member
 * that lives but finds no leader is left as well: it is given a part of the time only. */
#include "raft/engine/client_impl.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/cluster_id.h"

#include <inttypes.h>

#define CONNECT_TIMEOUT_MS     2000
#define SILENCE_MAX_MS         2000
#define SEND_PENDING_BYTES_MAX ((size_t)16 * 1024 * 1024)
/* A command that was forwarded and is given up is unknown, not refused: it gets the time of an
 * election of two rounds, and a little, whatever its share is. */
#define COMMAND_SHARE_MIN_MS 3000

static void client_connect(struct raft_client *client);

/* --- how long a member may take --------------------------------------------------------------- */

/* Shortest deadline, in parts: one for each address, and one for the answer. */
static uint64_t patience_ms(struct raft_client *client)
{
    uint64_t least_ms = CLIENT_TIMEOUT_MAX_MS;
    LIST_EACH(item, &client->calls)
    {
        const struct client_call *call = LIST_OWNER(item, struct client_call, in_client);
        least_ms = call->timeout_ms < least_ms ? call->timeout_ms : least_ms;
    }
    if (client->address_count == 1) {
        return least_ms; /* nobody else to go to */
    }
    uint64_t share_ms = least_ms / (client->address_count + 1);
    share_ms = share_ms > SILENCE_MAX_MS ? SILENCE_MAX_MS : share_ms;
    return share_ms > 0 ? share_ms : 1;
}

/* What a member is told: the rest of the deadline, or its part if there are others to ask. */
static uint32_t time_given_ms(const struct raft_client *client, const struct client_call *call)
{
    uint64_t now_ms = uv_now(client->loop);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 0;
    ASSERT(call->tries < client->address_count);
    uint64_t share_ms = left_ms / (client->address_count - call->tries);
    if (client_kind_changes(call->kind) && share_ms < COMMAND_SHARE_MIN_MS) {
        share_ms = COMMAND_SHARE_MIN_MS;
    }
    return (uint32_t)(share_ms < left_ms ? share_ms : left_ms);
}

static bool owes(struct raft_client *client)
{
    return client->state == CLIENT_HANDSHAKE ||
           (client->state == CLIENT_OPEN && client_call_first(client, true) != NULL);
}

static void heard(struct raft_client *client)
{
    client->heard_ms = uv_now(client->loop);
    client->look = CLIENT_LOOK_NONE;
}

/* --- connection ------------------------------------------------------------------------------- */

static void session_drop(struct raft_client *client)
{
    if (client->session != NULL) {
        struct peer_session *session = client->session;
        client->session = NULL;
        peer_session_close(session, client_part_closed, client); /* its part is given back there */
    }
    client->state = CLIENT_IDLE;
    client->look = CLIENT_LOOK_NONE;
    client->leaving = false;
    client->full = false;
}

void client_link_close(struct raft_client *client)
{
    session_drop(client);
    if (client->connect != NULL) {
        tcp_connect_cancel(client->connect);
    }
}

static void next_address(struct raft_client *client)
{
    session_drop(client);
    client->address = (client->address + 1) % client->address_count;
}

/* What was sent on the lost connection: a command may have been applied. */
static void sent_lost(struct raft_client *client, const struct error *err)
{
    for (;;) {
        struct client_call *call = client_call_first(client, true);
        if (call == NULL || client->closing) {
            return;
        }
        call->sent = false;
        call->tries++;
        if (client_kind_changes(call->kind)) {
            client_call_fail(client, call, ERR_UNKNOWN, err);
        } else if (call->tries >= client->address_count) {
            client_call_fail(client, call, ERR_UNAVAILABLE, err);
        }
    }
}

static void address_failed(struct raft_client *client, int rc, const struct error *why)
{
    struct error err = *why;
    char text[NET_ADDR_TEXT_BYTES];
    error_wrap(&err, "member at %s", net_addr_format(&client->addresses[client->address], text));
    next_address(client);
    if (client->events.on_warning != NULL &&
        group_warnings_tell(&client->warnings, err.text, (int64_t)uv_now(client->loop))) {
        client->events.on_warning(client->events.arg, err.text);
    }
    if (client->closing) {
        return;
    }
    client->failures++;
    sent_lost(client, &err);
    if (!client->closing && client->failures >= client->address_count) {
        client->failures = 0;
        client_waiting_fail(client, rc == ERR_PERMISSION ? ERR_PERMISSION : ERR_UNAVAILABLE, &err);
    }
    if (!client->closing) {
        client_step(client);
    }
}

uint64_t client_look_ms(struct raft_client *client)
{
    if (!owes(client)) {
        return UINT64_MAX;
    }
    uint64_t patience = patience_ms(client);
    switch (client->look) {
    case CLIENT_LOOK_NONE:
        return client->heard_ms + (client->state == CLIENT_OPEN ? patience / 2 : patience);
    case CLIENT_LOOK_ASKED: return client->asked_ms + patience - patience / 2;
    case CLIENT_LOOK_LAST: break;
    }
    return client->asked_ms + 1;
}

/* An answer to it belongs to no call: that there is one is the answer. */
static void probe(struct raft_client *client)
{
    struct client_request message = {.number = client->number_next++, .kind = CLIENT_STATUS};
    struct buf payload = BUF_INIT;
    client_request_encode(&message, &payload);
    struct peer_frame frame = {.type = PEER_FRAME_REQUEST,
                               .to = peer_session_peer(client->session)->id,
                               .payload = buf_span(&payload)};
    (void)peer_session_send(client->session, &frame, SEND_PENDING_BYTES_MAX, NULL);
    buf_free(&payload);
}

/* The last look is in the next turn: if it was us who stood still, there is something to read. */
void client_look(struct raft_client *client)
{
    uint64_t now_ms = uv_now(client->loop);
    if (!owes(client) || now_ms < client_look_ms(client)) {
        return;
    }
    if (client->state == CLIENT_OPEN && client->look == CLIENT_LOOK_NONE) {
        probe(client);
        client->look = CLIENT_LOOK_ASKED;
        client->asked_ms = now_ms;
        return;
    }
    if (client->look != CLIENT_LOOK_LAST) {
        client->look = CLIENT_LOOK_LAST;
        client->asked_ms = now_ms;
        return;
    }
    struct error err = {0};
    int rc = error_set(&err, ERR_TIMEOUT, "no sign of life in %llu ms",
                       (unsigned long long)(now_ms - client->heard_ms));
    address_failed(client, rc, &err);
}

/* --- sending ---------------------------------------------------------------------------------- */

static int call_send(struct raft_client *client, struct client_call *call, struct error *err)
{
    struct client_request message = {.number = call->number,
                                     .kind = call->kind,
                                     .timeout_ms = time_given_ms(client, call),
                                     .body = buf_span(&call->body)};
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
    struct client_call *call;
    while ((call = client_call_first(client, false)) != NULL) {
        struct error err = {0};
        bool owed_before = owes(client);
        int rc = call_send(client, call, &err);
        if (rc == ERR_LIMIT && peer_session_pending(client->session) > 0) {
            client->full = true; /* on_drained goes on */
            return;
        }
        if (rc != 0) {
            address_failed(client, rc, &err);
            return;
        }
        call->sent = true;
        if (!owed_before) {
            heard(client); /* from now on */
        }
    }
}

/* It refused, or was asked for a sign of life before the last deadline and gave none. */
static bool is_no_good(const struct raft_client *client)
{
    return client->leaving || client->look != CLIENT_LOOK_NONE;
}

void client_step(struct raft_client *client)
{
    if (client->state == CLIENT_OPEN && is_no_good(client) &&
        client_call_first(client, true) == NULL) {
        next_address(client);
    }
    if (client_call_first(client, false) != NULL) {
        if (client->state == CLIENT_IDLE) {
            client_connect(client);
        } else if (client->state == CLIENT_OPEN && !client->leaving && !client->full) {
            send_waiting(client);
        }
    }
    if (!client->closing) {
        client_timer_arm(client, false);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void view_deliver(struct raft_client *client, struct client_call *call, struct span body)
{
    struct raft_client_view view = {0};
    struct store_kv *kvs = NULL;
    struct error err = {0};
    struct client_outcome outcome = {.view = &view, .err = &err};
    bool changed = true;
    outcome.rc = call->kind == CLIENT_WATCH ? client_news_decode(body, &changed, &body, &err) : 0;
    if (outcome.rc == 0) {
        outcome.rc =
            client_view_decode(body, &view.cluster, &view.revision, &kvs, &view.count, &err);
    }
    view.same = !changed;
    view.kvs = kvs;
    client_call_end(client, call, &outcome);
    mem_free(kvs);
}

static void answer_deliver(struct raft_client *client, struct client_call *call, struct span body)
{
    struct error err = {0};
    struct store_result result = {0};
    struct raft_status status = {0};
    struct client_outcome outcome = {.err = &err};
    switch (call->kind) {
    case CLIENT_READ:
    case CLIENT_WATCH: view_deliver(client, call, body); return;
    case CLIENT_COMMAND:
    case CLIENT_COMMAND_AS:
    case CLIENT_REMOVE:
        outcome.rc = client_result_decode(body, &result, &err);
        outcome.rc = outcome.rc == 0 ? 0 : ERR_UNKNOWN;
        outcome.result = &result;
        break;
    case CLIENT_STATUS:
        outcome.rc = client_status_decode(body, &status, &err);
        outcome.status = &status;
        break;
    }
    client_call_end(client, call, &outcome);
}

/* The member has no group, or cannot reach one: another may. */
static void answer_elsewhere(struct raft_client *client, struct client_call *call,
                             const struct error *err)
{
    client->leaving = true;
    call->sent = false;
    call->tries++;
    if (call->tries >= client->address_count) {
        client_call_fail(client, call, ERR_UNAVAILABLE, err);
    }
}

/* Canceled is what a member of an earlier release says when it stops: as for client_server.c. */
static void refusal_deliver(struct raft_client *client, struct client_call *call,
                            const struct client_answer *answer)
{
    struct error err = {0};
    error_set(&err, answer->code, "%.*s", (int)answer->text.len, (const char *)answer->text.data);
    if (answer->code == ERR_CANCELED && client_kind_changes(call->kind)) {
        client_call_fail(client, call, ERR_UNKNOWN, &err);
    } else if (answer->code == ERR_UNAVAILABLE || answer->code == ERR_CANCELED) {
        answer_elsewhere(client, call, &err);
    } else {
        client_call_fail(client, call, answer->code, &err);
    }
}

static struct client_call *call_of(struct raft_client *client, const struct client_answer *answer)
{
    LIST_EACH(item, &client->calls)
    {
        struct client_call *call = LIST_OWNER(item, struct client_call, in_client);
        if (call->number == answer->number && call->kind == answer->kind && call->sent) {
            return call;
        }
    }
    return NULL;
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
    heard(client);
    struct client_call *call = call_of(client, &answer);
    if (call != NULL && answer.code == 0) {
        answer_deliver(client, call, answer.body);
    } else if (call != NULL) {
        refusal_deliver(client, call, &answer);
    }
    if (!client->closing) {
        client_step(client);
    }
}

/* --- making a connection ---------------------------------------------------------------------- */

/* A list of addresses that names members of two clusters would otherwise show now the one and now
 * the other as the store. One that was recovered from the other takes its place. */
static int cluster_take(struct raft_client *client, uint64_t cluster, struct error *err)
{
    bool later = cluster_id_replaces(cluster, client->cluster);
    if (cluster == 0 || client->cluster == 0 || cluster == client->cluster || later) {
        client->cluster = cluster != 0 ? cluster : client->cluster;
        return 0;
    }
    return error_set(err, ERR_CONFLICT,
                     "belongs to the Raft cluster %016" PRIx64 ", and the others to %016" PRIx64
                     ": take its address out of raft.partner_addrs",
                     cluster, client->cluster);
}

static void on_open(void *arg, struct peer_session *session)
{
    struct raft_client *client = arg;
    struct error err = {0};
    int rc = cluster_take(client, peer_session_peer(session)->cluster, &err);
    if (rc != 0) {
        address_failed(client, rc, &err);
        return;
    }
    client->state = CLIENT_OPEN;
    client->failures = 0;
    heard(client);
    if (client->events.on_connected != NULL) {
        char text[NET_ADDR_TEXT_BYTES];
        client->events.on_connected(client->events.arg,
                                    net_addr_format(&client->addresses[client->address], text));
    }
    if (client->closing) {
        return;
    }
    client_step(client);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    (void)session;
    address_failed(arg, rc, err);
}

static void on_drained(void *arg, struct peer_session *session)
{
    struct raft_client *client = arg;
    (void)session;
    client->full = false;
    heard(client);
    client_step(client);
}

static const struct peer_session_events session_events = {
    .on_open = on_open, .on_frame = on_frame, .on_end = on_end, .on_drained = on_drained};

static void connect_done(void *arg, int rc, struct stream *stream, const struct error *err)
{
    struct raft_client *client = arg;
    client->connect = NULL;
    if (client->closing) {
        if (stream != NULL) {
            stream_close(stream, NULL, NULL);
        }
        client_part_closed(client);
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
                                         .identity = &client->identity,
                                         .tls = client->tls,
                                         .queue_bytes_max = SEND_PENDING_BYTES_MAX * 2};
    client->state = CLIENT_HANDSHAKE;
    client->session =
        peer_session_start(stream, &config, &session_events, client); /* takes over the part */
    heard(client);
    client_timer_arm(client, false);
}

static void client_connect(struct raft_client *client)
{
    uint64_t patience = patience_ms(client);
    struct tcp_connect_options options = {
        .to = client->addresses[client->address],
        .timeout_ms = patience < CONNECT_TIMEOUT_MS ? (int64_t)patience : CONNECT_TIMEOUT_MS,
        .tcp = {.user_timeout_ms = SILENCE_MAX_MS,
                .write_queue_bytes_max = SEND_PENDING_BYTES_MAX * 2}};
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
