/* A call is a list entry that tries one member after another. What every call needs first (the
 * gateway's prefix, a token, the list of members) is asked for by calls of the client's own, one at
 * a time:
 *
 *   VERSION --answered--> AUTHENTICATE (only with a user name) --> MEMBERS (not with use_proxies)
 * --> READY ^                        |  refused: waiting calls are told, asked again later | v
 *      +---- a member does not do: the next one, after a pause when all have failed
 *
 *   READY --token unknown--> AUTHENTICATE     READY --a member failed, or ETCD_DISCOVER_MS
 * passed--> MEMBERS
 *
 * Calls wait in VERSION and AUTHENTICATE; in MEMBERS they go on, and a list that cannot be had
 * changes nothing. */
#include "agent/dcs/etcd_client.h"

#include "agent/dcs/etcd2_codec.h"
#include "agent/dcs/etcd3_codec.h"
#include "agent/dcs/etcd_hosts.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/net/http_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX \
    ((size_t)16 * 1024 * 1024)  /* a range over everything below the base path */
#define SETUP_MS           3000 /* one step of the client's own */
#define REAUTHENTICATE_MAX 1    /* times in one call */
#define RETRY_MS_MIN       20   /* less is left: not worth another try */

enum setup { SETUP_VERSION, SETUP_AUTHENTICATE, SETUP_MEMBERS, SETUP_READY };

struct etcd_client {
    uv_loop_t *loop;
    struct http_client *http;
    const struct clock *clock;
    const struct random *random;
    enum etcd_dialect dialect;
    struct etcd_hosts hosts;
    bool use_proxies;
    char *username;
    char *password;
    void (*on_switch)(void *arg);
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *arg;

    enum setup setup;
    bool setting_up; /* its call is under way */
    bool version_known;
    const char *prefix;
    char *token;
    int64_t members_due_ms; /* mono */
    int64_t pause_until_ms; /* mono: nobody is asked before */
    bool said_waiting;
    bool switched; /* on_switch is due */

    struct list calls;
    size_t call_count;
    struct list streams;
    uv_timer_t timer;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct call {
    struct list in_client;
    struct etcd_client *client;
    struct http_exchange *exchange; /* NULL: it waits */
    char *method;
    char *path;
    bool absolute; /* without the gateway's prefix */
    bool own;      /* a step of the setup */
    bool repeatable;
    bool maybe_done; /* a try ended without a word of what became of it */
    unsigned reauthenticated;
    char *body;
    size_t body_len;
    int64_t until_ms; /* mono */
    int64_t sent_ms;  /* lease clock, of the last send */
    char *url;        /* of the member it was sent to */
    etcd_done done;
    void *arg;
    struct error last; /* why the last try failed */
};

struct etcd_stream {
    struct list in_client;
    struct etcd_client *client;
    struct http_exchange *exchange;
    struct etcd3_splitter splitter;
    etcd_on_object on_object;
    etcd_on_end on_end;
    void *arg;
};

static void client_step(struct etcd_client *client);

static int64_t now_ms(const struct etcd_client *client)
{
    return clock_mono_ms(client->clock);
}

static void on_timer(uv_timer_t *timer)
{
    client_step(timer->data);
}

/* Runs client_step from the loop: as soon as possible, or when the pause, the first waiting call's
 * time or the next discovery is due. */
static void wake(struct etcd_client *client)
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

static void call_free(struct call *call)
{
    list_remove(&call->in_client);
    call->client->call_count--;
    mem_free(call->method);
    mem_free(call->path);
    mem_free(call->body);
    mem_free(call->url);
    mem_free(call);
}

static void call_end(struct call *call, int rc, const struct etcd_answer *answer,
                     const struct error *err)
{
    call->done(call->arg, rc, answer, err);
    call_free(call);
}

/* No more tries: what can be said of it. */
static void call_give_up(struct call *call)
{
    struct error err = call->last;
    if (err.code == 0) {
        (void)error_set(&err, ERR_UNAVAILABLE, "etcd: no member could be asked in time");
    }
    err.code = call->maybe_done ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    call_end(call, err.code, NULL, &err);
}

static void member_failed(struct etcd_client *client, const char *url, const struct error *err)
{
    int64_t pause_ms = 0;
    if (!etcd_hosts_failed(&client->hosts, url)) {
        if (strcmp(etcd_hosts_current(&client->hosts), url) != 0) {
            return; /* somebody has moved on already */
        }
    } else {
        client->switched = true;
        client->members_due_ms = now_ms(client);
    }
    pause_ms = etcd_hosts_pause_ms(&client->hosts, random_next(client->random));
    client->pause_until_ms = now_ms(client) + pause_ms;
    if (pause_ms > 0 && !client->said_waiting) {
        client->said_waiting = true;
        etcd_client_note(client, LOG_LEVEL_WARNING,
                         "etcd: no member answers as it should (last: %s), trying on", err->text);
    }
    wake(client);
}

static void member_worked(struct etcd_client *client)
{
    etcd_hosts_worked(&client->hosts);
    client->pause_until_ms = 0;
    if (client->said_waiting) {
        client->said_waiting = false;
        etcd_client_note(client, LOG_LEVEL_INFO, "etcd: '%s' answers",
                         etcd_hosts_current(&client->hosts));
    }
}

/* The try failed in a way that another one may mend. */
static void call_again(struct call *call, bool maybe_done, const struct error *err)
{
    struct etcd_client *client = call->client;
    call->maybe_done = call->maybe_done || maybe_done;
    call->last = *err;
    if ((call->maybe_done && !call->repeatable) || client->closing) {
        call_give_up(call);
        return;
    }
    wake(client); /* it waits again */
}

static void need_token(struct etcd_client *client)
{
    mem_free(client->token);
    client->token = NULL;
    if (client->version_known && client->setup > SETUP_AUTHENTICATE) {
        client->setup = SETUP_AUTHENTICATE;
    }
}

/* What an answer means, in either dialect. */
struct verdict {
    int rc;            /* 0, or what the caller is told */
    bool elsewhere;    /* another member may do; this one may have done it */
    bool authenticate; /* the token is not known (any more); nothing was done */
};

static struct verdict verdict_of3(enum etcd3_failure failure)
{
    switch (failure) {
    case ETCD3_OK: return (struct verdict){0};
    case ETCD3_AUTHENTICATE: return (struct verdict){.rc = ERR_REFUSED, .authenticate = true};
    case ETCD3_ELSEWHERE: return (struct verdict){.rc = ERR_UNAVAILABLE, .elsewhere = true};
    case ETCD3_LEASE_NOT_FOUND:
    case ETCD3_ABSENT: return (struct verdict){.rc = ERR_NOT_FOUND};
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
    return (struct verdict){.rc = rc, .elsewhere = rc == ERR_UNAVAILABLE};
}

static void call_failed(struct call *call, const struct verdict *verdict,
                        const struct etcd_answer *answer, const char *text)
{
    struct etcd_client *client = call->client;
    struct error err = {0};

    (void)error_set(&err, verdict->rc, "etcd '%s'%s: %s", call->url, call->path,
                    text[0] != '\0' ? text : "the answer is none of etcd's");
    if (verdict->elsewhere) {
        member_failed(client, call->url, &err);
        call_again(call, true, &err);
    } else if (verdict->authenticate && client->username != NULL &&
               call->reauthenticated < REAUTHENTICATE_MAX) {
        call->reauthenticated++;
        need_token(client);
        call_again(call, false, &err);
    } else {
        call_end(call, verdict->rc, answer, &err);
    }
}

static void on_answer(void *arg, int rc, const struct http_client_response *response,
                      const struct error *err)
{
    struct call *call = arg;
    struct etcd_client *client = call->client;

    call->exchange = NULL;
    if (client->closing) {
        call_end(call, ERR_CANCELED, NULL, err);
        return;
    }
    if (rc != 0) {
        member_failed(client, call->url, err);
        call_again(call, rc != ERR_UNAVAILABLE, err);
        return;
    }
    char text[ERROR_TEXT_BYTES];
    json_t *body = call->own && client->dialect == ETCD_V2
                       ? etcd2_machines_read(response->body) /* no JSON */
                       : json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    struct verdict verdict = verdict_of(client, response->status, body, text);
    struct etcd_answer answer = {.body = body, .sent_ms = call->sent_ms};
    if (client->dialect == ETCD_V2) {
        etcd2_head_read(http_client_header(response, "X-Etcd-Index"),
                        http_client_header(response, "X-Etcd-Cluster-Id"), &answer.index,
                        &answer.cluster);
    }
    if (verdict.rc == 0) {
        struct error none = {0};
        member_worked(client);
        call_end(call, 0, &answer, &none);
    } else {
        call_failed(call, &verdict, &answer, text);
    }
    json_decref(body);
}

static const char *content_type(const struct etcd_client *client)
{
    return client->dialect == ETCD_V3 ? "Content-Type: application/json"
                                      : "Content-Type: application/x-www-form-urlencoded";
}

static void call_send(struct call *call)
{
    struct etcd_client *client = call->client;
    bool v2 = client->dialect == ETCD_V2;
    int64_t left_ms = call->until_ms - now_ms(client);
    char *token = client->token == NULL ? NULL : mem_printf("Authorization: %s", client->token);
    const char *headers[] = {content_type(client), token, NULL};
    struct error err = {0};

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
    call->sent_ms = clock_lease_ms(client->clock);
    int rc = http_client_send(client->http, &request, &call->exchange, &err);
    mem_free(url);
    mem_free(token);
    if (rc != 0) {
        call->exchange = NULL;
        call_end(call, ERR_UNAVAILABLE, NULL, &err);
    }
}

static struct call *call_new(struct etcd_client *client, const struct etcd_call *wanted,
                             etcd_done done, void *arg)
{
    struct call *call = mem_new(struct call);
    call->client = client;
    call->method = mem_strdup(wanted->method == NULL ? "POST" : wanted->method);
    call->path = mem_strdup(wanted->path);
    call->absolute = client->dialect == ETCD_V2;
    call->repeatable = wanted->repeatable;
    call->body = mem_memdup(wanted->body.data, wanted->body.len);
    call->body_len = wanted->body.len;
    call->until_ms = now_ms(client) + wanted->timeout_ms;
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
    wake(client);
    return 0;
}

/* --- what every call needs first -------------------------------------------------------------- */

static void setup_to(struct etcd_client *client, enum setup next)
{
    client->setup = next;
    client->setting_up = false;
    wake(client);
}

static void on_version(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_client *client = arg;
    char version[32];

    client->setting_up = false;
    if (rc != 0) {
        if (rc != ERR_CANCELED && rc != ERR_UNAVAILABLE && rc != ERR_UNKNOWN) {
            member_failed(client, etcd_hosts_current(&client->hosts), err);
        }
        wake(client);
        return;
    }
    client->prefix = etcd3_prefix_of(answer->body, version);
    if (client->prefix == NULL) {
        struct error own = {0};
        (void)error_set(&own, ERR_UNSUPPORTED,
                        "'%s' is etcd '%s': 3.3 or newer is needed for the section etcd3",
                        etcd_hosts_current(&client->hosts), version);
        member_failed(client, etcd_hosts_current(&client->hosts), &own);
        wake(client);
        return;
    }
    client->version_known = true;
    etcd_client_note(client, LOG_LEVEL_INFO, "etcd: '%s' is version %s",
                     etcd_hosts_current(&client->hosts), version);
    setup_to(client, client->username != NULL ? SETUP_AUTHENTICATE
                     : client->use_proxies    ? SETUP_READY
                                              : SETUP_MEMBERS);
}

/* A wrong password is a definite no: what waits is told instead of being held until its time is
 * over. */
static void tell_waiting(struct etcd_client *client, int rc, const struct error *err)
{
    LIST_EACH(item, &client->calls)
    {
        struct call *call = LIST_OWNER(item, struct call, in_client);
        if (call->exchange == NULL && !call->own) {
            call_end(call, rc, NULL, err);
        }
    }
}

static void on_authenticated(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    struct etcd_client *client = arg;
    const char *token = rc == 0 ? json_string_value(json_object_get(answer->body, "token")) : NULL;

    client->setting_up = false;
    if (token != NULL && strpbrk(token, "\r\n") == NULL) {
        client->token = mem_strdup(token);
    } else if (rc == ERR_REFUSED && strstr(err->text, "authentication is not enabled") == NULL) {
        etcd_client_note(client, LOG_LEVEL_ERROR,
                         "etcd: the user name or password of the configuration is not accepted: %s",
                         err->text);
        client->pause_until_ms = now_ms(client) + ETCD_PAUSE_MS_MAX;
        tell_waiting(client, ERR_REFUSED, err);
        wake(client);
        return;
    } else if (rc != 0 && rc != ERR_REFUSED) {
        wake(client);
        return;
    }
    setup_to(client, client->use_proxies ? SETUP_READY : SETUP_MEMBERS);
}

static void take_members(struct etcd_client *client, const json_t *urls)
{
    client->members_due_ms = now_ms(client) + ETCD_DISCOVER_MS;
    if (urls != NULL && etcd_hosts_discovered(&client->hosts, urls, random_next(client->random))) {
        client->switched = true;
    }
    setup_to(client, SETUP_READY);
}

/* v2: the list is the first thing asked for, so it is also what tells whether this is etcd with its
 * v2 API. */
static void on_machines(void *arg, int rc, const struct etcd_answer *answer,
                        const struct error *err)
{
    struct etcd_client *client = arg;
    struct error own = *err;

    client->setting_up = false;
    if (rc == 0 || client->version_known) {
        client->version_known = true;
        take_members(client, rc == 0 ? answer->body : NULL);
        return;
    }
    if (rc == ERR_NOT_FOUND) {
        (void)error_set(&own, ERR_UNSUPPORTED,
                        "'%s' does not serve the v2 API: start etcd (below 3.6) with --enable-v2, "
                        "or use the section "
                        "etcd3",
                        etcd_hosts_current(&client->hosts));
    }
    if (rc != ERR_CANCELED && rc != ERR_UNAVAILABLE && rc != ERR_UNKNOWN) {
        member_failed(client, etcd_hosts_current(&client->hosts), &own);
    }
    wake(client);
}

static void on_members(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_client *client = arg;
    json_t *urls = rc == 0 ? etcd3_members_read(answer->body) : NULL;

    (void)err;
    take_members(client, urls);
    json_decref(urls);
}

static void setup_call(struct etcd_client *client, const char *method, const char *path,
                       struct buf *body, etcd_done done)
{
    struct etcd_call wanted = {.method = method,
                               .path = path,
                               .body = buf_span(body),
                               .repeatable = true,
                               .timeout_ms = SETUP_MS};
    struct call *call = call_new(client, &wanted, done, client);
    call->own = true;
    call->absolute = call->absolute || client->setup == SETUP_VERSION;
    client->setting_up = true;
    call_send(call);
}

static void setup_step(struct etcd_client *client)
{
    struct buf body = BUF_INIT;

    if (client->setup == SETUP_READY && !client->use_proxies &&
        now_ms(client) >= client->members_due_ms) {
        client->setup = SETUP_MEMBERS;
    }
    if (client->setting_up || now_ms(client) < client->pause_until_ms) {
        return;
    }
    switch (client->setup) {
    case SETUP_VERSION: setup_call(client, "GET", "/version", &body, on_version); break;
    case SETUP_AUTHENTICATE:
        etcd3_authenticate(&body, client->username, client->password);
        setup_call(client, "POST", "/auth/authenticate", &body, on_authenticated);
        break;
    case SETUP_MEMBERS:
        if (client->dialect == ETCD_V2) {
            setup_call(client, "GET", "/v2/machines", &body, on_machines);
        } else {
            buf_put_str(&body, "{}");
            setup_call(client, "POST", "/cluster/member/list", &body, on_members);
        }
        break;
    case SETUP_READY: break;
    }
    buf_free(&body);
}

/* --- the client's step ------------------------------------------------------------------------ */

static bool may_send(const struct etcd_client *client, const struct call *call)
{
    return (call->own || (client->version_known && client->setup >= SETUP_MEMBERS)) &&
           now_ms(client) >= client->pause_until_ms;
}

static void send_waiting(struct etcd_client *client)
{
    LIST_EACH(item, &client->calls)
    {
        struct call *call = LIST_OWNER(item, struct call, in_client);
        if (call->exchange != NULL) {
            continue;
        }
        if (call->until_ms - now_ms(client) < RETRY_MS_MIN) {
            call_give_up(call);
        } else if (may_send(client, call)) {
            call_send(call);
        }
    }
}

static void arm(struct etcd_client *client)
{
    int64_t now = now_ms(client);
    int64_t next =
        client->setup == SETUP_READY && !client->use_proxies ? client->members_due_ms : INT64_MAX;

    LIST_EACH(item, &client->calls)
    {
        struct call *call = LIST_OWNER(item, struct call, in_client);
        if (call->exchange == NULL && call->until_ms - RETRY_MS_MIN < next) {
            next = call->until_ms - RETRY_MS_MIN;
        }
    }
    if (client->pause_until_ms > now && client->pause_until_ms < next) {
        next = client->pause_until_ms;
    }
    if (next != INT64_MAX && !client->closing) {
        (void)uv_timer_start(&client->timer, on_timer, next > now ? (uint64_t)(next - now) : 1, 0);
    }
}

static void end_streams(struct etcd_client *client)
{
    LIST_EACH(item, &client->streams)
    {
        etcd_stream_cancel(LIST_OWNER(item, struct etcd_stream, in_client));
    }
}

static void client_step(struct etcd_client *client)
{
    if (client->closing) {
        return;
    }
    if (client->switched) {
        client->switched = false;
        end_streams(client);
        if (client->on_switch != NULL) {
            client->on_switch(client->arg);
        }
    }
    setup_step(client);
    send_waiting(client);
    arm(client);
}

void etcd_client_leave(struct etcd_client *client, const char *reason)
{
    struct error err = {0};
    char *url = mem_strdup(etcd_hosts_current(&client->hosts));
    (void)error_set(&err, ERR_UNAVAILABLE, "'%s': %s", url, reason);
    member_failed(client, url, &err);
    mem_free(url);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void on_stream_data(void *arg, int status, struct span piece)
{
    struct etcd_stream *stream = arg;
    bool bad = false;
    (void)status; /* an answer that is no stream is one object that says so */
    etcd3_splitter_feed(&stream->splitter, piece);
    while (stream->exchange != NULL) {
        json_t *object = etcd3_splitter_next(&stream->splitter, &bad);
        if (object == NULL) {
            break;
        }
        stream->on_object(stream->arg, object);
        json_decref(object);
    }
    if (bad) {
        etcd_stream_cancel(stream);
    }
}

static void on_stream_end(void *arg, int rc, const struct http_client_response *response,
                          const struct error *err)
{
    struct etcd_stream *stream = arg;
    struct error own = *err;

    (void)response;
    if (rc == 0) {
        rc = error_set(&own, ERR_CLOSED, "etcd ended the stream");
    }
    list_remove(&stream->in_client);
    stream->on_end(stream->arg, rc, &own);
    etcd3_splitter_free(&stream->splitter);
    mem_free(stream);
}

int etcd_client_stream(struct etcd_client *client, const struct etcd_call *call,
                       etcd_on_object on_object, etcd_on_end on_end, void *arg,
                       struct etcd_stream **ret_stream, struct error *err)
{
    bool v2 = client->dialect == ETCD_V2;
    if (client->closing || !client->version_known || client->setup < SETUP_MEMBERS) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: not reached yet");
    }
    struct etcd_stream *stream = mem_new(struct etcd_stream);
    char *token = client->token == NULL ? NULL : mem_printf("Authorization: %s", client->token);
    const char *headers[] = {content_type(client), token, NULL};
    char *url = mem_printf("%s%s%s", etcd_hosts_current(&client->hosts), v2 ? "" : client->prefix,
                           call->path);
    *stream = (struct etcd_stream){
        .client = client, .on_object = on_object, .on_end = on_end, .arg = arg};
    struct http_client_request request = {.method = call->method == NULL ? "POST" : call->method,
                                          .url = url,
                                          .headers = headers,
                                          .body = call->body,
                                          .user = v2 ? client->username : NULL,
                                          .password = v2 ? client->password : NULL,
                                          .timeout_ms = call->timeout_ms,
                                          .connect_timeout_ms = SETUP_MS,
                                          .on_data = on_stream_data,
                                          .on_done = on_stream_end,
                                          .arg = stream};
    int rc = http_client_send(client->http, &request, &stream->exchange, err);
    mem_free(url);
    mem_free(token);
    if (rc != 0) {
        mem_free(stream);
        return rc;
    }
    list_append(&client->streams, &stream->in_client);
    *ret_stream = stream;
    return 0;
}

void etcd_stream_cancel(struct etcd_stream *stream)
{
    if (stream->exchange != NULL) {
        http_exchange_cancel(stream->exchange);
        stream->exchange = NULL;
    }
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
    struct etcd_client *client = mem_new(struct etcd_client);
    int rc = http_client_new(loop, &http, &client->http, err);
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
    client->setup = config->dialect == ETCD_V3 ? SETUP_VERSION
                    : config->use_proxies      ? SETUP_READY
                                               : SETUP_MEMBERS;
    client->version_known = client->setup == SETUP_READY;
    client->clock = config->clock;
    client->random = config->random;
    client->use_proxies = config->use_proxies;
    client->username = mem_strdup(config->username);
    client->password = mem_strdup(config->password == NULL ? "" : config->password);
    client->on_switch = config->on_switch;
    client->on_note = config->on_note;
    client->arg = config->arg;
    client->timer.data = client;
    etcd_hosts_init(&client->hosts, config->urls, config->url_count);
    list_init(&client->calls);
    list_init(&client->streams);
    *ret_client = client;
    wake(client);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct etcd_client *client = handle->data;
    struct error err = {0};
    (void)error_set(&err, ERR_CANCELED, "etcd: the client was closed");
    LIST_EACH(item, &client->calls) /* those that were waiting */
    {
        call_end(LIST_OWNER(item, struct call, in_client), ERR_CANCELED, NULL, &err);
    }
    etcd_hosts_free(&client->hosts);
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
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

void etcd_client_free(struct etcd_client *client, void (*done)(void *arg), void *arg)
{
    ASSERT(!client->closing);
    client->closing = true;
    client->closed = done;
    client->closed_arg = arg;
    (void)uv_timer_stop(&client->timer);
    http_client_free(client->http, on_http_freed, client);
}
