/* Calls: each waits in one list, sent or not, until it is answered, refused for good, or late. What
 * carries them is client_link.c. One timer serves all deadlines. */
#include "raft/client.h"

#include "raft/engine/client_impl.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* --- ends of calls ---------------------------------------------------------------------------- */

void client_call_end(struct raft_client *client, struct client_call *call,
                     const struct client_outcome *outcome)
{
    list_remove(&call->in_client);
    client->call_count--;
    if (call->read_done != NULL) {
        call->read_done(call->arg, outcome->rc, outcome->view, outcome->err);
    } else if (call->command_done != NULL) {
        call->command_done(call->arg, outcome->rc, outcome->result, outcome->err);
    } else {
        call->status_done(call->arg, outcome->rc, outcome->status, outcome->err);
    }
    buf_free(&call->body);
    mem_free(call);
}

void client_call_fail(struct raft_client *client, struct client_call *call, int rc,
                      const struct error *err)
{
    struct client_outcome outcome = {.rc = rc, .err = err};
    client_call_end(client, call, &outcome);
}

struct client_call *client_call_first(struct raft_client *client, bool sent)
{
    LIST_EACH(item, &client->calls)
    {
        struct client_call *call = LIST_OWNER(item, struct client_call, in_client);
        if (call->sent == sent) {
            return call;
        }
    }
    return NULL;
}

void client_waiting_fail(struct raft_client *client, int rc, const struct error *err)
{
    uint64_t before = client->number_next;
    for (;;) {
        struct client_call *call = client_call_first(client, false);
        if (call == NULL || call->number >= before || client->closing) {
            return;
        }
        client_call_fail(client, call, rc, err);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

static void deadlines_check(struct raft_client *client)
{
    uint64_t now_ms = uv_now(client->loop);
    struct error err = {0};
    error_set(&err, ERR_TIMEOUT, "no answer in time");
    for (;;) {
        struct client_call *late = NULL;
        LIST_EACH(item, &client->calls)
        {
            struct client_call *call = LIST_OWNER(item, struct client_call, in_client);
            if (call->deadline_ms <= now_ms) {
                late = call;
                break;
            }
        }
        if (late == NULL || client->closing) {
            return;
        }
        bool unknown = client_kind_changes(late->kind) && late->sent;
        if (late->sent && client->address_count > 1) {
            client->leaving = true;
        }
        client_call_fail(client, late, unknown ? ERR_UNKNOWN : ERR_UNAVAILABLE, &err);
    }
}

/* The member is looked at first: one that lets a deadline pass in silence loses its connection with
 * the call, or the next call would begin there. */
static void on_timer(uv_timer_t *timer)
{
    struct raft_client *client = timer->data;
    client_look(client);
    if (!client->closing) {
        deadlines_check(client);
    }
    if (!client->closing) {
        client_step(client);
    }
}

void client_timer_arm(struct raft_client *client, bool soon)
{
    uint64_t now_ms = uv_now(client->loop);
    uint64_t due_ms = client_look_ms(client);
    LIST_EACH(item, &client->calls)
    {
        const struct client_call *call = LIST_OWNER(item, struct client_call, in_client);
        due_ms = call->deadline_ms < due_ms ? call->deadline_ms : due_ms;
    }
    uint64_t delay_ms = soon || due_ms < now_ms ? 0 : due_ms - now_ms;
    int rc = due_ms == UINT64_MAX ? uv_timer_stop(&client->timer)
                                  : uv_timer_start(&client->timer, on_timer, delay_ms, 0);
    ASSERT(rc == 0);
}

/* --- use -------------------------------------------------------------------------------------- */

static int call_new(struct raft_client *client, enum client_kind kind, int64_t timeout_ms,
                    struct client_call **ret_call, struct error *err)
{
    if (client->closing) {
        return error_set(err, ERR_CANCELED, "the client was closed");
    }
    if (client->call_count >= RAFT_CLIENT_REQUESTS_MAX) {
        return error_set(err, ERR_LIMIT, "%d requests wait already", RAFT_CLIENT_REQUESTS_MAX);
    }
    if (timeout_ms <= 0 || timeout_ms > CLIENT_TIMEOUT_MAX_MS) {
        return error_set(err, ERR_INVALID, "a deadline of %lld ms (1 to %d are allowed)",
                         (long long)timeout_ms, CLIENT_TIMEOUT_MAX_MS);
    }
    struct client_call *call = mem_new(struct client_call);
    call->number = client->number_next++;
    call->kind = kind;
    call->timeout_ms = (uint64_t)timeout_ms;
    uv_update_time(client->loop);
    call->deadline_ms = uv_now(client->loop) + call->timeout_ms;
    *ret_call = call;
    return 0;
}

/* Whatever comes next comes from the timer: no callback inside the call. */
static int call_start(struct raft_client *client, struct client_call *call)
{
    list_append(&client->calls, &call->in_client);
    client->call_count++;
    client_timer_arm(client, true);
    return 0;
}

int raft_client_read_prefix(struct raft_client *client, struct span prefix, int64_t timeout_ms,
                            raft_client_read_done done, void *arg, struct error *err)
{
    struct client_call *call;
    if (prefix.len > STORE_KEY_BYTES_MAX) {
        return error_set(err, ERR_INVALID, "the prefix is longer than %d bytes",
                         STORE_KEY_BYTES_MAX);
    }
    int rc = call_new(client, CLIENT_READ, timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    call->read_done = done;
    call->arg = arg;
    buf_put_span(&call->body, prefix);
    return call_start(client, call);
}

/* `actor` empty: in nobody's name. */
static int command_new(struct raft_client *client, const struct store_command *command,
                       struct span actor, int64_t timeout_ms, struct client_call **ret_call,
                       struct error *err)
{
    struct store_command plain = *command;
    plain.client = 0;
    plain.sequence = 0;
    plain.floor = 0;
    plain.actor = actor;
    struct buf body = BUF_INIT;
    int rc = store_command_encode(&plain, &body, err);
    if (rc == 0) {
        rc = call_new(client, actor.len > 0 ? CLIENT_COMMAND_AS : CLIENT_COMMAND, timeout_ms,
                      ret_call, err);
    }
    if (rc != 0) {
        buf_free(&body);
        return rc;
    }
    (*ret_call)->body = body;
    return 0;
}

int raft_client_command(struct raft_client *client, const struct store_command *command,
                        int64_t timeout_ms, raft_client_command_done done, void *arg,
                        struct error *err)
{
    struct client_call *call;
    int rc = command_new(client, command, span_of(NULL, 0), timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    call->command_done = done;
    call->arg = arg;
    return call_start(client, call);
}

int raft_client_command_as(struct raft_client *client, const struct store_command *command,
                           int64_t timeout_ms, raft_client_command_done done, void *arg,
                           struct error *err)
{
    struct client_call *call;
    ASSERT(client->identity.name[0] != '\0');
    int rc = command_new(client, command, span_str(client->identity.name), timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    call->command_done = done;
    call->arg = arg;
    return call_start(client, call);
}

int raft_client_watch(struct raft_client *client, const struct raft_client_watch *watch,
                      int64_t timeout_ms, raft_client_read_done done, void *arg, struct error *err)
{
    struct client_call *call;
    ASSERT(client->identity.name[0] != '\0');
    if (watch->prefix.len > STORE_KEY_BYTES_MAX || watch->revision < 0 || watch->hold_ms < 0 ||
        watch->hold_ms >= timeout_ms) {
        return error_set(err, ERR_INVALID, "a watch for %lld ms with a deadline of %lld ms",
                         (long long)watch->hold_ms, (long long)timeout_ms);
    }
    int rc = call_new(client, CLIENT_WATCH, timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    struct client_watch message = {.cluster = watch->cluster,
                                   .revision = watch->revision,
                                   .hold_ms = (uint32_t)watch->hold_ms,
                                   .prefix = watch->prefix};
    client_watch_encode(&message, &call->body);
    call->read_done = done;
    call->arg = arg;
    return call_start(client, call);
}

int raft_client_remove(struct raft_client *client, uint64_t id, int64_t timeout_ms,
                       raft_client_command_done done, void *arg, struct error *err)
{
    struct client_call *call;
    int rc = call_new(client, CLIENT_REMOVE, timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    call->command_done = done;
    call->arg = arg;
    buf_put_u64(&call->body, id);
    return call_start(client, call);
}

int raft_client_status(struct raft_client *client, int64_t timeout_ms, raft_client_status_done done,
                       void *arg, struct error *err)
{
    struct client_call *call;
    int rc = call_new(client, CLIENT_STATUS, timeout_ms, &call, err);
    if (rc != 0) {
        return rc;
    }
    call->status_done = done;
    call->arg = arg;
    return call_start(client, call);
}

const char *raft_client_connected(const struct raft_client *client, char *ret_text, size_t size)
{
    char text[NET_ADDR_TEXT_BYTES];
    if (client->state != CLIENT_OPEN) {
        return NULL;
    }
    (void)snprintf(ret_text, size, "%s",
                   net_addr_format(&client->addresses[client->address], text));
    return ret_text;
}

/* --- life ------------------------------------------------------------------------------------- */

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
    list_init(&client->calls);
    int rc = uv_timer_init(loop, &client->timer);
    ASSERT(rc == 0);
    client->timer.data = client;
    client->parts = 1;
    *ret_client = client;
    return 0;
}

int raft_client_set_name(struct raft_client *client, const char *name, struct error *err)
{
    ASSERT(client->state == CLIENT_IDLE);
    if (name[0] == '\0' || strlen(name) >= sizeof client->identity.name) {
        return error_set(err, ERR_INVALID, "the name has to have 1 to %zu bytes",
                         sizeof client->identity.name - 1);
    }
    (void)snprintf(client->identity.name, sizeof client->identity.name, "%s", name);
    return 0;
}

void raft_client_set_events(struct raft_client *client, const struct raft_client_events *events)
{
    ASSERT(client->state == CLIENT_IDLE);
    client->events = *events;
}

int raft_client_use_tls(struct raft_client *client, const char *certfile, const char *keyfile,
                        const char *cafile, struct error *err)
{
    struct tls_config config = {.certfile = certfile,
                                .keyfile = keyfile,
                                .cafile = cafile,
                                .verify = TLS_VERIFY_REQUIRED,
                                .mutual = true};
    struct tls_context *tls = NULL;
    ASSERT(client->tls != NULL || client->state == CLIENT_IDLE);
    int rc = tls_context_new(&config, &tls, err);
    if (rc != 0) {
        error_wrap(err, "raft");
        return rc;
    }
    tls_context_free(client->tls); /* connections hold theirs */
    client->tls = tls;
    return 0;
}

void client_part_closed(void *arg)
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
    tls_context_free(client->tls);
    group_warnings_free(&client->warnings);
    mem_free(client);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    client_part_closed(handle->data);
}

void raft_client_close(struct raft_client *client, void (*closed)(void *arg), void *arg)
{
    ASSERT(!client->closing);
    client->closing = true;
    client->closed = closed;
    client->closed_arg = arg;
    struct error err = {0};
    error_set(&err, ERR_CANCELED, "the client was closed");
    while (!list_empty(&client->calls)) {
        struct client_call *call =
            LIST_OWNER(list_first(&client->calls), struct client_call, in_client);
        client_call_fail(client, call, ERR_CANCELED, &err);
    }
    client_link_close(client);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}
