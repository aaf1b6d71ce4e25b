/* Stands in for the HTTP client: what is sent waits until the test ends it. */
#ifndef TESTS_HTTP_CLIENT_FAKE_H
#define TESTS_HTTP_CLIENT_FAKE_H

#include "loop_fixture.h"

#include "base/net/http_client.h"

enum { EXCHANGES_MAX = 16 };

struct http_client_exchange {
    bool used;
    bool canceled;
    struct http_client_request request;
    char url[HA_URL_BYTES];
    char body[512];
};

static struct http_client_exchange exchanges[EXCHANGES_MAX];
static unsigned sent;
static bool refuse; /* to send */
static int answer_status = 503;

int http_client_new(uv_loop_t *loop, const struct http_client_config *config,
                    struct http_client **ret_client, struct error *err)
{
    (void)loop;
    (void)config;
    (void)err;
    *ret_client = (struct http_client *)(void *)exchanges;
    return 0;
}

static void end_canceled(void);

void http_client_free(struct http_client *client, void (*done)(void *arg), void *arg)
{
    (void)client;
    end_canceled();
    done(arg);
}

int http_client_send(struct http_client *client, const struct http_client_request *request,
                     struct http_client_exchange **ret_exchange, struct error *err)
{
    (void)client;
    if (refuse) {
        return error_set(err, ERR_LIMIT, "as the test says");
    }
    size_t at = 0;
    while (at < EXCHANGES_MAX && exchanges[at].used) {
        at++;
    }
    assert_true(at < EXCHANGES_MAX);
    exchanges[at] = (struct http_client_exchange){.used = true, .request = *request};
    (void)snprintf(exchanges[at].url, sizeof exchanges[at].url, "%s", request->url);
    (void)snprintf(exchanges[at].body, sizeof exchanges[at].body, "%.*s", (int)request->body.len,
                   request->body.data == NULL ? "" : (const char *)request->body.data);
    *ret_exchange = &exchanges[at];
    sent++;
    return 0;
}

void http_client_cancel(struct http_client_exchange *exchange)
{
    exchange->canceled = true;
}

static struct http_client_exchange *asked(const char *host)
{
    for (size_t i = 0; i < EXCHANGES_MAX; i++) {
        if (exchanges[i].used && !exchanges[i].canceled && strstr(exchanges[i].url, host) != NULL) {
            return &exchanges[i];
        }
    }
    return NULL;
}

static void end(struct http_client_exchange *exchange, int rc, bool was_sent, const char *body)
{
    struct error err = {0};
    struct http_client_response response = {
        .status = rc == 0 ? answer_status : 0, .sent = was_sent, .body = span_str(body)};
    assert_non_null(exchange);
    exchange->used = false;
    (void)error_set(&err, rc, "as the test says");
    exchange->request.on_done(exchange->request.arg, rc, &response, &err);
}

/* Cancelled exchanges end in some later turn of the loop. */
static void end_canceled(void)
{
    for (size_t i = 0; i < EXCHANGES_MAX; i++) {
        if (exchanges[i].used && exchanges[i].canceled) {
            end(&exchanges[i], ERR_CANCELED, true, "");
        }
    }
}

static inline void member(const char *name, const char *address)
{
    char key[64];
    char value[200];
    (void)snprintf(key, sizeof key, "members/%s", name);
    (void)snprintf(value, sizeof value, "{\"api_url\":\"http://%s:8008/patroni\"}", address);
    key_set(key, value);
}

#endif
