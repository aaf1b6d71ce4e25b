/* A call is a list entry that tries one member after another, once what every call needs first is
 * known (etcd_setup.c). Whatever comes of a try, the client's step looks from the loop at what is
 * due: the next setup call, the waiting calls, the timer. */
#include "agent/dcs/etcd_client.h"

#include "agent/dcs/etcd2_codec.h"
#include "agent/dcs/etcd3_codec.h"
#include "agent/dcs/etcd_client_impl.h"
#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX \
    ((size_t)16 * 1024 * 1024) /* a range over everything below the base path */
#define REAUTHENTICATE_MAX 1   /* times in one call */
#define RETRY_MS_MIN       20  /* less is left: not worth another try */

static void client_step(struct etcd_client *client);

int64_t etcd_client_now_ms(const struct etcd_client *client)
{
    return clock_mono_ms(client->clock);
}

static void on_timer(uv_timer_t *timer)
{
    client_step(timer->data);
}

void etcd_client_wake(struct etcd_client *client)
{
    if (!client->closing) {
        (void)uv_timer_start(&client->timer, on_timer, 0, 0);
    }
}

void etcd_client_note(struct etcd_client *client, enum log_level level, const char *fmt, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    if (client->on_note != NULL) {
        va_start(args, fmt);
        (void)vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        client->on_note(client->arg, level, text);
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

static void call_free(struct etcd_client_call *call)
{
    list_remove(&call->in_client);
    call->client->call_count--;
    mem_free(call->method);
    mem_free(call->path);
    mem_free(call->body);
    mem_free(call->url);
    mem_free(call);
}

static void call_end(struct etcd_client_call *call, int rc, const struct etcd_answer *answer,
                     const struct error *err)
{
    call->done(call->arg, rc, answer, err);
    call_free(call);
}

/* A no, or a try that could not be made: neither undoes what an earlier try may have done. */
static void call_end_definite(struct etcd_client_call *call, int rc,
                              const struct etcd_answer *answer, const struct error *err)
{
    struct error own = *err;
    if (call->maybe_done && (rc == ERR_REFUSED || rc == ERR_LIMIT || rc == ERR_UNAVAILABLE)) {
        rc = ERR_UNKNOWN;
    }
    own.code = rc;
    call_end(call, rc, answer, &own);
}

/* No more tries: what can be said of it. */
static void call_give_up(struct etcd_client_call *call)
{
    struct error err = call->last;
    if (err.code == 0) {
        const struct error *last = &call->client->last; /* of somebody else's try */
        (void)error_set(&err, ERR_UNAVAILABLE, "etcd: no member could be asked in time%s%s%s",
                        last->code == 0 ? "" : " (last: ", last->text, last->code == 0 ? "" : ")");
    }
    err.code = call->maybe_done ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    call_end(call, err.code, NULL, &err);
}

void etcd_client_member_failed(struct etcd_client *client, const char *url, const struct error *err)
{
    client->last = *err;
    char *failed = mem_strdup(url); /* it may be one of the list's own, which may go */
    if (etcd_hosts_failed(&client->hosts, failed)) {
        client->switched = true;
        client->members_due_ms = etcd_client_now_ms(client);
    } else if (strcmp(etcd_hosts_current(&client->hosts), failed) != 0) {
        mem_free(failed);
        return; /* somebody has moved on already */
    }
    mem_free(failed);
    int64_t pause_ms = etcd_hosts_pause_ms(&client->hosts, random_next(client->random));
    client->pause_until_ms = etcd_client_now_ms(client) + pause_ms;
    if (pause_ms > 0) {
        etcd_srv_want(client);
    }
    if (pause_ms > 0 && !client->said_waiting) {
        client->said_waiting = true;
        etcd_client_note(client, LOG_LEVEL_WARNING,
                         "etcd: no member answers as it should (last: %s), trying on", err->text);
    }
    etcd_client_wake(client);
}

void etcd_client_member_worked(struct etcd_client *client)
{
    etcd_hosts_worked(&client->hosts);
    client->pause_until_ms = 0;
    client->last = (struct error){0};
    if (client->said_waiting) {
        client->said_waiting = false;
        etcd_client_note(client, LOG_LEVEL_INFO, "etcd: '%s' answers",
                         etcd_hosts_current(&client->hosts));
    }
}

/* The try failed in a way that another one may mend. */
static void call_again(struct etcd_client_call *call, bool maybe_done, const struct error *err)
{
    struct etcd_client *client = call->client;
    call->maybe_done = call->maybe_done || maybe_done;
    call->last = *err;
    if ((call->maybe_done && !call->repeatable) || client->closing) {
        call_give_up(call);
        return;
    }
    etcd_client_wake(client); /* it waits again */
}

/* What an answer means, in either dialect. */
struct verdict {
    int rc;            /* 0, or what the caller is told */
    bool elsewhere;    /* another member may do */
    bool maybe_done;   /* and this one may have done it */
    bool authenticate; /* the token is not known (any more); nothing was done */
};

static struct verdict verdict_of3(enum etcd3_failure failure)
{
    switch (failure) {
    case ETCD3_OK: return (struct verdict){0};
    case ETCD3_AUTHENTICATE: return (struct verdict){.rc = ERR_REFUSED, .authenticate = true};
    case ETCD3_ELSEWHERE:
        return (struct verdict){.rc = ERR_UNAVAILABLE, .elsewhere = true, .maybe_done = true};
    case ETCD3_LEASE_NOT_FOUND: return (struct verdict){.rc = ERR_NOT_FOUND};
    case ETCD3_ABSENT: return (struct verdict){.rc = ERR_UNSUPPORTED, .elsewhere = true};
    case ETCD3_FULL: return (struct verdict){.rc = ERR_LIMIT};
    case ETCD3_COMPACTED:
    case ETCD3_AUTH_OFF:
    case ETCD3_DENIED:
    case ETCD3_BAD: return (struct verdict){.rc = ERR_REFUSED};
    }
    return (struct verdict){.rc = ERR_REFUSED};
}

static struct verdict verdict_of(const struct etcd_client *client, int status, const json_t *body,
                                 char *ret_text)
{
    if (client->dialect == ETCD_V3) {
        return verdict_of3(etcd3_failure_of(status, body, ret_text));
    }
    int rc = etcd2_outcome(status, body, ret_text);
    return (struct verdict){.rc = rc,
                            .elsewhere = rc == ERR_UNAVAILABLE || rc == ERR_UNSUPPORTED,
                            .maybe_done = rc == ERR_UNAVAILABLE};
}

static void call_failed(struct etcd_client_call *call, const struct verdict *verdict,
                        const struct etcd_answer *answer, const char *text)
{
    struct etcd_client *client = call->client;
    struct error err = {0};
    bool told = call->own && verdict->rc == ERR_UNSUPPORTED; /* what the setup wants to know */

    (void)error_set(&err, verdict->rc, "etcd '%s'%s: %s", call->url, call->path,
                    text[0] != '\0' ? text : "the answer is none of etcd's");
    if (verdict->elsewhere && !told) {
        etcd_client_member_failed(client, call->url, &err);
        call_again(call, verdict->maybe_done, &err);
    } else if (verdict->authenticate && client->username != NULL &&
               call->reauthenticated < REAUTHENTICATE_MAX) {
        call->reauthenticated++;
        if (call->token_number == client->token_number) { /* else there is a newer one already */
            etcd_setup_need_token(client);
        }
        call_again(call, false, &err);
    } else {
        call_end_definite(call, verdict->rc, answer, &err);
    }
}

static void on_answer(void *arg, int rc, const struct http_client_response *response,
                      const struct error *err)
{
    struct etcd_client_call *call = arg;
    struct etcd_client *client = call->client;

    call->exchange = NULL;
    if (client->closing) {
        call_end(call, ERR_CANCELED, NULL, err);
        return;
    }
    if (rc != 0) {
        etcd_client_member_failed(client, call->url, err);
        call_again(call, rc != ERR_UNAVAILABLE, err);
        return;
    }
    char text[ERROR_TEXT_BYTES];
    json_t *body = call->own && client->dialect == ETCD_V2
                       ? etcd2_machines_read(response->body) /* no JSON */
                       : json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    struct verdict verdict = verdict_of(client, response->status, body, text);
    struct etcd_answer answer = {.body = body, .sent_ms = call->sent_ms, .url = call->url};
    if (client->dialect == ETCD_V2) {
        etcd2_head_read(http_client_header(response, "X-Etcd-Index"),
                        http_client_header(response, "X-Etcd-Cluster-Id"), &answer.index,
                        &answer.cluster);
    }
    if (verdict.rc == 0) {
        struct error none = {0};
        if (!call->own) {
            etcd_client_member_worked(client);
        }
        call_end(call, 0, &answer, &none);
    } else {
        call_failed(call, &verdict, &answer, text);
    }
    json_decref(body);
}

void etcd_client_headers(const struct etcd_client *client, const char **ret_headers,
                         char **ret_token)
{
    *ret_token = client->token == NULL ? NULL : mem_printf("Authorization: %s", client->token);
    ret_headers[0] = client->dialect == ETCD_V3 ? "Content-Type: application/json"
                                                : "Content-Type: application/x-www-form-urlencoded";
    ret_headers[1] = *ret_token;
    ret_headers[2] = NULL;
}

static void call_send(struct etcd_client_call *call)
{
    struct etcd_client *client = call->client;
    bool v2 = client->dialect == ETCD_V2;
    int64_t left_ms = call->until_ms - etcd_client_now_ms(client);
    const char *headers[3];
    char *token = NULL;
    struct error err = {0};

    etcd_client_headers(client, headers, &token);
    mem_free(call->url);
    call->url = mem_strdup(etcd_hosts_current(&client->hosts));
    char *url = mem_printf("%s%s%s", call->url, call->absolute ? "" : client->prefix, call->path);
    int64_t try_ms = etcd_hosts_try_ms(&client->hosts, left_ms);
    struct http_client_request request = {.method = call->method,
                                          .url = url,
                                          .headers = headers,
                                          .body = span_of(call->body, call->body_len),
                                          .user = v2 ? client->username : NULL,
                                          .password = v2 ? client->password : NULL,
                                          .timeout_ms = try_ms,
                                          .connect_timeout_ms = try_ms,
                                          .response_bytes_max = ANSWER_BYTES_MAX,
                                          .repeatable = call->repeatable,
                                          .on_done = on_answer,
                                          .arg = call};
    call->token_number = client->token_number;
    call->sent_ms = clock_lease_ms(client->clock);
    int rc = http_client_send(client->http, &request, &call->exchange, &err);
    mem_free(url);
    mem_free(token);
    if (rc != 0) {
        call->exchange = NULL;
        client->pause_until_ms = etcd_client_now_ms(client) + ETCD_PAUSE_MS_FIRST;
        call_end_definite(call, ERR_UNAVAILABLE, NULL, &err);
    }
}

static struct etcd_client_call *call_new(struct etcd_client *client, const struct etcd_call *wanted,
                                         etcd_done done, void *arg)
{
    struct etcd_client_call *call = mem_new(struct etcd_client_call);
    call->client = client;
    call->method = mem_strdup(wanted->method == NULL ? "POST" : wanted->method);
    call->path = mem_strdup(wanted->path);
    call->absolute = client->dialect == ETCD_V2;
    call->repeatable = wanted->repeatable;
    call->body = mem_memdup(wanted->body.data, wanted->body.len);
    call->body_len = wanted->body.len;
    call->until_ms = etcd_client_now_ms(client) + wanted->timeout_ms;
    call->done = done;
    call->arg = arg;
    list_append(&client->calls, &call->in_client);
    client->call_count++;
    return call;
}

int etcd_client_call(struct etcd_client *client, const struct etcd_call *call, etcd_done done,
                     void *arg, struct error *err)
{
    if (client->closing) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: the client is being closed");
    }
    if (client->call_count >= ETCD_CALLS_MAX) {
        return error_set(err, ERR_LIMIT, "etcd: %d calls are waiting already", ETCD_CALLS_MAX);
    }
    (void)call_new(client, call, done, arg);
    etcd_client_wake(client);
    return 0;
}

void etcd_client_own_call(struct etcd_client *client, const struct etcd_call *wanted, bool absolute,
                          etcd_done done)
{
    struct etcd_client_call *call = call_new(client, wanted, done, client);
    call->own = true;
    call->absolute = call->absolute || absolute;
    call_send(call);
}

/* Not those that come in meanwhile: whoever asks again at once would be told for ever. */
void etcd_client_tell_waiting(struct etcd_client *client, int rc, const struct error *err)
{
    const struct list *last = client->calls.prev;
    bool more = true;
    LIST_EACH(item, &client->calls)
    {
        struct etcd_client_call *call = LIST_OWNER(item, struct etcd_client_call, in_client);
        if (!more) {
            break;
        }
        more = item != last;
        if (call->exchange == NULL && !call->own) {
            call_end_definite(call, rc, NULL, err);
        }
    }
}

/* --- the client's step ------------------------------------------------------------------------ */

static bool may_send(const struct etcd_client *client, const struct etcd_client_call *call)
{
    return (call->own || etcd_setup_done(client)) &&
           etcd_client_now_ms(client) >= client->pause_until_ms;
}

static void send_waiting(struct etcd_client *client)
{
    LIST_EACH(item, &client->calls)
    {
        struct etcd_client_call *call = LIST_OWNER(item, struct etcd_client_call, in_client);
        if (call->exchange != NULL) {
            continue;
        }
        if (call->until_ms - etcd_client_now_ms(client) < RETRY_MS_MIN) {
            call_give_up(call);
        } else if (may_send(client, call)) {
            call_send(call);
        }
    }
}

static void arm(struct etcd_client *client)
{
    int64_t now = etcd_client_now_ms(client);
    int64_t next =
        client->setup == SETUP_READY && !client->use_proxies ? client->members_due_ms : INT64_MAX;

    LIST_EACH(item, &client->calls)
    {
        struct etcd_client_call *call = LIST_OWNER(item, struct etcd_client_call, in_client);
        if (call->exchange != NULL) {
            continue;
        }
        /* One that may be sent came in while the others were told: it is next, not its end. */
        int64_t due_ms = may_send(client, call) ? now : call->until_ms - RETRY_MS_MIN;
        next = due_ms < next ? due_ms : next;
    }
    int64_t srv_ms = etcd_srv_next_ms(client);
    next = srv_ms < next ? srv_ms : next;
    if (client->pause_until_ms > now && client->pause_until_ms < next) {
        next = client->pause_until_ms;
    }
    if (next != INT64_MAX && !client->closing) {
        (void)uv_timer_start(&client->timer, on_timer, next > now ? (uint64_t)(next - now) : 1, 0);
    }
}

static void client_step(struct etcd_client *client)
{
    if (client->closing) {
        return;
    }
    if (client->switched) {
        client->switched = false;
        etcd_streams_end(client);
        if (client->on_switch != NULL) {
            client->on_switch(client->arg);
        }
    }
    etcd_srv_step(client);
    etcd_setup_step(client);
    send_waiting(client);
    arm(client);
}

void etcd_client_leave(struct etcd_client *client, const char *url, const char *reason)
{
    struct error err = {0};
    (void)error_set(&err, ERR_UNAVAILABLE, "'%s': %s", url, reason);
    etcd_client_member_failed(client, url, &err);
}

/* --- life ------------------------------------------------------------------------------------- */

int etcd_client_new(uv_loop_t *loop, const struct etcd_client_config *config,
                    struct etcd_client **ret_client, struct error *err)
{
    struct http_client_config http = {.tls_ca = config->cacert,
                                      .tls_cert = config->cert,
                                      .tls_key = config->key,
                                      .keepalive_idle_s = (unsigned)(config->idle_ms / 1000),
                                      .user_timeout_ms = (unsigned)config->idle_ms * 2};
    int rc = etcd_srv_check(config, err);
    if (rc != 0) {
        return rc;
    }
    struct etcd_client *client = mem_new(struct etcd_client);
    rc = http_client_new(loop, &http, &client->http, err);
    if (rc == 0 && uv_timer_init(loop, &client->timer) != 0) {
        http_client_free(client->http, NULL, NULL);
        rc = error_set(err, ERR_IO, "making a timer failed");
    }
    if (rc != 0) {
        mem_free(client);
        return rc;
    }
    client->loop = loop;
    client->dialect = config->dialect;
    client->clock = config->clock;
    client->random = config->random;
    client->use_proxies = config->use_proxies;
    etcd_srv_init(client, config);
    etcd_setup_init(client);
    client->username = mem_strdup(config->username);
    client->password = mem_strdup(config->password == NULL ? "" : config->password);
    client->on_switch = config->on_switch;
    client->on_note = config->on_note;
    client->arg = config->arg;
    client->timer.data = client;
    etcd_hosts_init(&client->hosts, config->urls, config->srv != NULL ? 0 : config->url_count);
    list_init(&client->calls);
    list_init(&client->streams);
    *ret_client = client;
    etcd_client_wake(client);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct etcd_client *client = handle->data;
    struct error err = {0};
    (void)error_set(&err, ERR_CANCELED, "etcd: the client was closed");
    LIST_EACH(item, &client->calls) /* those that were waiting */
    {
        call_end(LIST_OWNER(item, struct etcd_client_call, in_client), ERR_CANCELED, NULL, &err);
    }
    etcd_hosts_free(&client->hosts);
    etcd_srv_free(client);
    mem_free(client->username);
    mem_free(client->password);
    mem_free(client->token);
    void (*closed)(void *arg) = client->closed;
    void *arg = client->closed_arg;
    mem_free(client);
    if (closed != NULL) {
        closed(arg);
    }
}

static void on_http_freed(void *arg)
{
    struct etcd_client *client = arg;
    client->http = NULL;
    etcd_client_part_closed(client);
}

void etcd_client_part_closed(struct etcd_client *client)
{
    if (client->http == NULL && client->srv.lookup == NULL) {
        uv_close((uv_handle_t *)&client->timer, on_timer_closed);
    }
}

void etcd_client_free(struct etcd_client *client, void (*done)(void *arg), void *arg)
{
    ASSERT(!client->closing);
    client->closing = true;
    client->closed = done;
    client->closed_arg = arg;
    (void)uv_timer_stop(&client->timer);
    etcd_srv_close(client);
    http_client_free(client->http, on_http_freed, client);
}
