/* A request is decoded, given to the node, and answered from the node's callback. A request
 * outlives its connection (the node cannot take a proposal back), so the connection is only
 * borrowed: client_server_forget cuts it off. */
#include "raft/engine/client_server.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/engine/client_frame.h"

#include <stdio.h>
#include <string.h>

struct pending {
    struct list in_server;
    struct client_server *server;
    struct peer_session *client;   /* NULL = gone */
    char who[NET_ADDR_TEXT_BYTES]; /* whose share it is of, also when he is gone */
    uint64_t number;
    enum client_kind kind;
    bool is_renewal; /* under a name */
    uint64_t from;   /* ids of the frame's header */
    uint64_t cluster;
    uint8_t *prefix; /* READ, WATCH */
    size_t prefix_len;
    bool waits; /* WATCH: for news, until `due_ms`; the node does not know of it */
    int64_t due_ms;
    int64_t read_ms; /* how long the read may take that comes then */
    uint64_t known_cluster;
    int64_t known_revision; /* or what was looked at since, without news */
};

struct client_server {
    struct raft_node *node;
    struct list pending;
    size_t count;
};

struct client_server *client_server_new(void)
{
    struct client_server *server = mem_new(struct client_server);
    list_init(&server->pending);
    return server;
}

void client_server_free(struct client_server *server)
{
    ASSERT(server == NULL || server->count == 0);
    mem_free(server);
}

static void watches_end(struct client_server *server);

void client_server_node(struct client_server *server, struct raft_node *node)
{
    server->node = node;
    if (node == NULL) {
        watches_end(server);
    }
}

static void pending_free(struct pending *pending)
{
    list_remove(&pending->in_server);
    pending->server->count--;
    mem_free(pending->prefix);
    mem_free(pending);
}

/* A client that does not take its answers loses them: it has a deadline of its own. */
static void answer(const struct pending *pending, int code, const char *text, struct span body)
{
    if (pending->client == NULL) {
        return;
    }
    struct client_answer reply = {.number = pending->number,
                                  .kind = pending->kind,
                                  .code = code,
                                  .text = span_str(text),
                                  .body = body};
    struct buf payload = BUF_INIT;
    client_answer_encode(&reply, &payload);
    struct peer_frame frame = {.type = PEER_FRAME_ANSWER,
                               .from = pending->from,
                               .cluster = pending->cluster,
                               .payload = buf_span(&payload)};
    (void)peer_session_send(pending->client, &frame, CLIENT_SERVER_QUEUE_BYTES_MAX, NULL);
    buf_free(&payload);
}

static void answer_error(const struct pending *pending, int code, const char *text)
{
    answer(pending, code, text, span_of(NULL, 0));
}

/* ERR_CANCELED of a node that stops: a command may be in somebody's log, a read is as if it had
 * never been asked. */
static int answer_code(const struct pending *pending, int rc)
{
    if (rc != ERR_CANCELED) {
        return rc;
    }
    return client_kind_changes(pending->kind) ? ERR_UNKNOWN : ERR_UNAVAILABLE;
}

static bool on_news(void *arg, const struct store_event *event)
{
    bool *any = arg;
    (void)event;
    *any = true;
    return false;
}

/* Whether what the client has is not what is there. What was looked at once is not looked at again,
 * for each change of each key would cost the more the longer nothing came below the prefix. */
static bool has_news(struct pending *pending)
{
    const struct store *store = raft_node_store(pending->server->node);
    int64_t revision = store_revision(store);
    if (pending->known_cluster != pending->cluster || revision < pending->known_revision) {
        return true;
    }
    bool any = false;
    if (revision > pending->known_revision) {
        int rc = store_history_each(store, pending->known_revision + 1,
                                    span_of(pending->prefix, pending->prefix_len), on_news, &any);
        any = any || rc != 0;
    }
    if (!any) {
        pending->known_revision = revision;
    }
    return any;
}

static void on_read_done(void *arg, int rc, const struct store_result *result)
{
    struct pending *pending = arg;
    (void)result;
    struct raft_node *node = pending->server->node;
    if (rc != 0 || node == NULL) {
        answer_error(pending, answer_code(pending, rc != 0 ? rc : ERR_CANCELED),
                     "the member could not read from the group");
        pending_free(pending);
        return;
    }
    struct buf body = BUF_INIT;
    struct span prefix = span_of(pending->prefix, pending->prefix_len);
    if (pending->kind == CLIENT_WATCH) {
        client_news_encode(raft_node_store(node), pending->cluster, prefix, has_news(pending),
                           &body);
    } else {
        client_view_encode(raft_node_store(node), pending->cluster, prefix, &body);
    }
    if (body.len > PEER_FRAME_BYTES_MAX / 2) {
        answer_error(pending, ERR_LIMIT, "the keys are too many for one answer");
    } else {
        answer(pending, 0, "", buf_span(&body));
    }
    buf_free(&body);
    pending_free(pending);
}

static void on_command_done(void *arg, int rc, const struct store_result *result)
{
    struct pending *pending = arg;
    if (rc != 0) {
        answer_error(pending, answer_code(pending, rc),
                     "the member could not have the command applied");
    } else {
        struct buf body = BUF_INIT;
        client_result_encode(result, &body);
        answer(pending, 0, "", buf_span(&body));
        buf_free(&body);
    }
    pending_free(pending);
}

static int start_read(struct pending *pending, const struct client_request *request,
                      struct error *err)
{
    if (request->body.len > STORE_KEY_BYTES_MAX) {
        return error_set(err, ERR_INVALID, "the prefix is longer than %d bytes",
                         STORE_KEY_BYTES_MAX);
    }
    pending->prefix = mem_memdup(request->body.data, request->body.len);
    pending->prefix_len = request->body.len;
    return raft_node_read(pending->server->node, request->timeout_ms, on_read_done, pending, err);
}

/* Two processes under one name, one of which votes, would be one holder to the store. */
static int name_check(const struct pending *pending, struct error *err)
{
    const struct handshake_identity *caller = peer_session_peer(pending->client);
    if (caller->name[0] == '\0') {
        return error_set(err, ERR_PERMISSION, "this is asked under a name, and none was given");
    }
    struct raft_status status;
    raft_node_status(pending->server->node, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        if (strcmp(status.members[i].name, caller->name) == 0) {
            return error_set(err, ERR_REFUSED,
                             "'%s' at %s is a client here and the name of the Raft member at %s: "
                             "remove that member first, or give one of them another name",
                             caller->name, peer_session_text(pending->client),
                             status.members[i].address);
        }
    }
    return 0;
}

static int start_watch(struct pending *pending, const struct client_request *request,
                       int64_t now_ms, struct error *err)
{
    struct client_watch watch;
    int rc = client_watch_decode(request->body, &watch, err);
    if (rc == 0) {
        rc = name_check(pending, err);
    }
    if (rc != 0) {
        return rc;
    }
    /* Half of the time at least is for the read. */
    int64_t hold_ms =
        watch.hold_ms < request->timeout_ms / 2 ? watch.hold_ms : request->timeout_ms / 2;
    pending->prefix = mem_memdup(watch.prefix.data, watch.prefix.len);
    pending->prefix_len = watch.prefix.len;
    pending->known_cluster = watch.cluster;
    pending->known_revision = watch.revision;
    pending->read_ms = request->timeout_ms - hold_ms;
    pending->due_ms = now_ms + hold_ms;
    pending->waits = true;
    return 0;
}

/* A lease is ended by members alone, whose own clocks have counted its time: ended early it would
 * let a second primary in. */
static bool is_for_clients(enum store_command_type type)
{
    switch (type) {
    case STORE_TXN:
    case STORE_LEASE_GRANT:
    case STORE_LEASE_RENEW:
    case STORE_LEASE_REVOKE: return true;
    case STORE_LEASE_EXPIRE:
    case STORE_MEMBER_SET:
    case STORE_MEMBER_REMOVE:
    case STORE_CLIENT_TXN:
    case STORE_COMPACT:
    case STORE_LEASE_KEEPALIVE:
    case STORE_V2:
    case STORE_FORMAT:
    case STORE_DEPOSE:
    case STORE_MEMBER_CLIENTS: break; /* an answer here has no room for their outputs */
    }
    return false;
}

static int start_command(struct pending *pending, const struct client_request *request,
                         struct error *err)
{
    struct store_command command;
    struct buf arena = BUF_INIT;
    int rc = store_command_decode(request->body, &command, &arena, err);
    if (rc == 0 && !is_for_clients(command.type)) {
        rc = error_set(err, ERR_REFUSED,
                       "records of members, and the end of a lease, are the members' own");
    }
    if (rc == 0 && request->kind == CLIENT_COMMAND_AS) {
        rc = name_check(pending, err);
    }
    if (rc == 0 && request->kind == CLIENT_COMMAND_AS) {
        struct raft_propose_as as = {
            .actor = span_str(peer_session_peer(pending->client)->name),
            .timeout_ms = request->timeout_ms,
            .attempts_max = command.type == STORE_LEASE_RENEW && command.stamp != 0,
        };
        rc = raft_node_propose_as(pending->server->node, &command, &as, on_command_done, pending,
                                  err);
    } else if (rc == 0) {
        rc = raft_node_propose_plain(pending->server->node, &command, request->timeout_ms,
                                     on_command_done, pending, err);
    }
    buf_free(&arena);
    return rc;
}

/* A leader does not remove itself: whoever takes its office is asked then. */
static int hand_over(struct raft_node *node, const struct raft_status *status, struct error *err)
{
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (member->voter && member->connected && member->id != status->id &&
            raft_node_transfer(node, member->id, NULL) == 0) {
            return error_set(err, ERR_BUSY, "it leads the Raft group and gives that to '%s' first",
                             member->name);
        }
    }
    return error_set(err, ERR_BUSY,
                     "it leads the Raft group, and nobody is there or current to take that over");
}

static int start_remove(struct pending *pending, const struct client_request *request,
                        struct error *err)
{
    struct span_reader reader = span_reader_of(request->body);
    uint64_t id = span_take_u64(&reader);
    struct raft_node *node = pending->server->node;
    struct raft_status status;
    if (!span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "malformed request");
    }
    raft_node_status(node, &status);
    if (status.role == RAFT_ROLE_LEADER && status.id == id) {
        return hand_over(node, &status, err);
    }
    return raft_node_remove(node, id, on_command_done, pending, err);
}

/* 0: under way or answered. */
static int start(struct pending *pending, const struct client_request *request, int64_t now_ms,
                 struct error *err)
{
    struct raft_node *node = pending->server->node;
    if (node == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "the member has not joined a group yet");
    }
    switch (request->kind) {
    case CLIENT_READ: return start_read(pending, request, err);
    case CLIENT_COMMAND:
    case CLIENT_COMMAND_AS: return start_command(pending, request, err);
    case CLIENT_WATCH: return start_watch(pending, request, now_ms, err);
    case CLIENT_REMOVE: return start_remove(pending, request, err);
    case CLIENT_STATUS: break;
    }
    struct raft_status status;
    raft_node_status(node, &status);
    struct buf body = BUF_INIT;
    client_status_encode(&status, &body);
    answer(pending, 0, "", buf_span(&body));
    buf_free(&body);
    pending_free(pending);
    return 0;
}

/* His name; without one the host he calls from. What a connection left behind is of his share, too,
 * or he had another one with each call. */
static void who_is(const struct peer_session *client, char ret_who[NET_ADDR_TEXT_BYTES])
{
    const char *name = peer_session_peer(client)->name;
    bool has_name = name[0] != '\0';
    (void)snprintf(ret_who, NET_ADDR_TEXT_BYTES, "%s", has_name ? name : peer_session_text(client));
    char *port = has_name ? NULL : strrchr(ret_who, ':');
    if (port != NULL) {
        *port = '\0';
    }
}

/* Of one client, or of all (NULL). */
static int pending_of(const struct client_server *server, const char *who, bool renewals)
{
    int count = 0;
    LIST_EACH(item, &server->pending)
    {
        const struct pending *pending = LIST_OWNER(item, struct pending, in_server);
        count += pending->is_renewal == renewals && (who == NULL || strcmp(pending->who, who) == 0);
    }
    return count;
}

/* Renewals are counted by themselves. */
static int room_check(const struct pending *pending, struct error *err)
{
    static const struct {
        int per_client_max;
        int all_max;
        const char *what;
    } rooms[] = {
        {CLIENT_SERVER_PER_CLIENT_MAX, CLIENT_SERVER_REQUESTS_MAX, "requests"},
        {CLIENT_SERVER_RENEWALS_PER_CLIENT_MAX, CLIENT_SERVER_RENEWALS_MAX, "renewals"},
    };
    bool renewals = pending->is_renewal;
    int per_client_max = rooms[renewals].per_client_max;
    int all_max = rooms[renewals].all_max;
    const char *what = rooms[renewals].what;
    if (pending->kind == CLIENT_STATUS) {
        return 0; /* answered at once */
    }
    if (pending_of(pending->server, pending->who, renewals) >= per_client_max) {
        return error_set(err, ERR_LIMIT, "%d %s of '%s' are under way at this member already",
                         per_client_max, what, pending->who);
    }
    if (pending_of(pending->server, NULL, renewals) >= all_max) {
        return error_set(err, ERR_LIMIT, "%d %s of clients are under way at this member already",
                         all_max, what);
    }
    return 0;
}

void client_server_request(struct client_server *server, struct peer_session *client,
                           struct span payload, const struct handshake_identity *self,
                           int64_t now_ms)
{
    struct client_request request;
    struct error err = {0};
    if (client_request_decode(payload, &request, &err) != 0) {
        return; /* without a number there is nothing to answer to */
    }
    struct pending *pending = mem_new(struct pending);
    pending->server = server;
    pending->client = client;
    pending->number = request.number;
    pending->kind = request.kind;
    pending->from = self->id;
    pending->cluster = self->cluster;
    who_is(client, pending->who);
    pending->is_renewal =
        request.kind == CLIENT_COMMAND_AS && store_command_is_renewal(request.body);
    int rc = room_check(pending, &err);
    list_append(&server->pending, &pending->in_server);
    server->count++;
    rc = rc != 0 ? rc : start(pending, &request, now_ms, &err);
    if (rc != 0) {
        answer_error(pending, rc, err.text);
        pending_free(pending);
    }
}

/* --- watches ---------------------------------------------------------------------------------- */

static void watches_end(struct client_server *server)
{
    LIST_EACH(item, &server->pending)
    {
        struct pending *pending = LIST_OWNER(item, struct pending, in_server);
        if (pending->waits) {
            answer_error(pending, ERR_UNAVAILABLE, "the member is stopping");
            pending_free(pending);
        }
    }
}

static void watch_read(struct pending *pending)
{
    struct error err = {0};
    pending->waits = false;
    int rc = raft_node_read(pending->server->node, pending->read_ms, on_read_done, pending, &err);
    if (rc != 0) {
        answer_error(pending, rc, err.text);
        pending_free(pending);
    }
}

int64_t client_server_look(struct client_server *server, int64_t now_ms)
{
    int64_t next_ms = -1;
    LIST_EACH(item, &server->pending)
    {
        struct pending *pending = LIST_OWNER(item, struct pending, in_server);
        if (!pending->waits) {
            continue;
        }
        int64_t left_ms = pending->due_ms - now_ms;
        if (left_ms <= 0 || has_news(pending)) {
            watch_read(pending);
        } else if (next_ms < 0 || left_ms < next_ms) {
            next_ms = left_ms;
        }
    }
    return next_ms;
}

void client_server_forget(struct client_server *server, struct peer_session *client)
{
    LIST_EACH(item, &server->pending)
    {
        struct pending *pending = LIST_OWNER(item, struct pending, in_server);
        if (pending->client == client) {
            pending->client = NULL;
            if (pending->waits) {
                pending_free(pending);
            }
        }
    }
}
