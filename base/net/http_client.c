/* libcurl's multi interface on a uv loop, and the life of an exchange.
 *
 *   WAITING --(turn)--> UNDER_WAY --(libcurl is done, cancel)--> ENDED --(turn)--> TOLD
 *      |                                                           ^
 *      +--(cancel)-------------------------------------------------+
 *
 * Three things call libcurl: a socket that is ready, libcurl's own timer, and the turn. libcurl may
 * not be called from inside its callbacks, and those call our user (on_data). So what a user asks
 * for only moves an exchange to another list and makes the turn due; the turn, which no callback of
 * libcurl is below, carries it out and tells the outcomes. That also keeps on_done out of every
 * call of the user.
 *
 * A socket of libcurl's is watched by one handle, from the first time it asks until it says remove,
 * in the same call in which it closes the socket. Connections that wait for their next request are
 * not watched; what came on them meanwhile is looked at right before a request may go out
 * (http_connections.c).
 */
#include "base/net/http_client.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/net/http_connections.h"
#include "base/net/http_easy.h"
#include "base/sm.h"

enum exchange_state {
    EXCHANGE_WAITING,
    EXCHANGE_UNDER_WAY,
    EXCHANGE_ENDED,
    EXCHANGE_TOLD,
    EXCHANGE_STATES
};

static const struct sm_state exchange_moves[EXCHANGE_STATES] = {
    [EXCHANGE_WAITING] = {"waiting", SM(EXCHANGE_UNDER_WAY) | SM(EXCHANGE_ENDED)},
    [EXCHANGE_UNDER_WAY] = {"under way", SM(EXCHANGE_ENDED)},
    [EXCHANGE_ENDED] = {"ended", SM(EXCHANGE_TOLD)},
    [EXCHANGE_TOLD] = {"told", 0},
};

struct http_client_exchange {
    struct list link; /* in the client's list of its state */
    struct http_client *client;
    struct http_easy easy;
    unsigned state; /* enum exchange_state */
    bool in_multi;
    bool canceled;
    CURLcode result;  /* ENDED: libcurl's word for it */
    struct error err; /* ENDED: ours, if the fault is on our side; code 0 = none */
    http_client_done on_done;
    void *arg;
};

struct http_client {
    uv_loop_t *loop;
    struct http_client_config config; /* defaults filled in, texts are ours */
    CURLM *multi;                     /* NULL once closed */
    uv_timer_t curl_timer;            /* when libcurl wants to be called */
    uv_timer_t turn_timer;
    struct list waiting;
    struct list under_way;
    struct list ended;
    size_t exchange_count; /* of all three lists */
    struct http_connections connections;
    bool nudge; /* call libcurl for every exchange in the next turn */
    size_t open_handles;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct http_socket {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
    int events; /* UV_READABLE | UV_WRITABLE: what libcurl waits for */
};

/* --- handles ---------------------------------------------------------------------------------- */

static void free_client(struct http_client *client)
{
    void (*closed)(void *arg) = client->closed;
    void *arg = client->closed_arg;
    mem_free((char *)(uintptr_t)client->config.tls_ca);
    mem_free((char *)(uintptr_t)client->config.tls_cert);
    mem_free((char *)(uintptr_t)client->config.tls_key);
    mem_free((char *)(uintptr_t)client->config.tls_key_password);
    mem_free((char *)(uintptr_t)client->config.user_agent);
    mem_free(client);
    if (closed != NULL) {
        closed(arg);
    }
}

static void handle_closed(struct http_client *client)
{
    ASSERT(client->open_handles > 0);
    if (--client->open_handles == 0) {
        ASSERT(client->multi == NULL);
        free_client(client);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct http_socket *socket = handle->data;
    struct http_client *client = socket->client;
    mem_free(socket);
    handle_closed(client);
}

/* --- exchanges -------------------------------------------------------------------------------- */

static void turn_soon(struct http_client *client);

static void end(struct http_client_exchange *exchange, CURLcode result)
{
    sm_move(exchange_moves, EXCHANGE_STATES, &exchange->state, EXCHANGE_ENDED);
    exchange->result = result;
    list_remove(&exchange->link);
    list_append(&exchange->client->ended, &exchange->link);
}

static void tell(struct http_client_exchange *exchange)
{
    struct http_client *client = exchange->client;
    struct error err = exchange->err;
    int rc = err.code;

    sm_move(exchange_moves, EXCHANGE_STATES, &exchange->state, EXCHANGE_TOLD);
    list_remove(&exchange->link);
    client->exchange_count--;
    if (exchange->in_multi) {
        ASSERT(curl_multi_remove_handle(client->multi, exchange->easy.curl) == CURLM_OK);
    }
    if (exchange->canceled) {
        rc = error_set(&err, ERR_CANCELED, "%s: canceled", exchange->easy.where);
    } else if (rc == 0) {
        rc = http_easy_outcome(&exchange->easy, exchange->result, &err);
    }
    struct http_client_response response = http_easy_response(&exchange->easy);
    if (rc != 0) {
        response.body = span_of(NULL, 0);
    }
    exchange->on_done(exchange->arg, rc, &response, &err);
    http_easy_close(&exchange->easy);
    mem_free(exchange);
}

void http_client_cancel(struct http_client_exchange *exchange)
{
    ASSERT(exchange->state != EXCHANGE_TOLD);
    if (exchange->canceled) {
        return;
    }
    exchange->canceled = true;
    http_easy_stop(&exchange->easy);
    if (exchange->state != EXCHANGE_ENDED) {
        end(exchange, CURLE_ABORTED_BY_CALLBACK);
    }
    turn_soon(exchange->client);
}

/* --- what libcurl asks for -------------------------------------------------------------------- */

static struct http_client_exchange *exchange_of(CURL *curl)
{
    char *owner = NULL;
    (void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, &owner);
    ASSERT(owner != NULL);
    return (struct http_client_exchange *)(void *)owner;
}

static void turn(struct http_client *client);

/* libuv stops watching a socket on which an error waits. libcurl is told no events then and looks
 * for itself, which finds the error; it would say nothing again if it wanted the same events.
 * It is not asked how it went: what happens to an exchange comes as a message. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct http_socket *socket = poll->data;
    struct http_client *client = socket->client;
    int mask = ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    int running = 0;
    if (status < 0) {
        mask = 0;
        (void)uv_poll_start(poll, socket->events, on_ready);
    }
    (void)curl_multi_socket_action(client->multi, socket->fd, mask, &running);
    turn(client);
}

/* A socket was closed. If that was one of several addresses of a name, libcurl before 8.0 means to
 * try the next, and forgets to ask to be called. */
static void on_connection_closed(void *arg)
{
    struct http_client *client = arg;
    if (!list_empty(&client->under_way)) {
        client->nudge = true;
        turn_soon(client);
    }
}

static void unwatch(struct http_socket *socket)
{
    http_connections_watched(&socket->client->connections, socket->fd, false);
    (void)curl_multi_assign(socket->client->multi, socket->fd, NULL);
    (void)uv_poll_stop(&socket->poll);
    uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
}

static int watch(struct http_client *client, curl_socket_t fd, struct http_socket **ret_socket)
{
    struct http_socket *socket = mem_new(struct http_socket);
    socket->client = client;
    socket->fd = fd;
    socket->poll.data = socket;
    int status = uv_poll_init_socket(client->loop, &socket->poll, fd);
    if (status != 0) {
        mem_free(socket);
        return status;
    }
    client->open_handles++;
    http_connections_watched(&client->connections, fd, true);
    (void)curl_multi_assign(client->multi, fd, socket);
    *ret_socket = socket;
    return 0;
}

/* A refusal by the kernel ends the exchange, not the client: a failure told to libcurl from here
 * would be the end of everything in it. */
static int on_socket_wish(CURL *curl, curl_socket_t fd, int what, void *arg, void *fd_arg)
{
    struct http_client *client = arg;
    struct http_socket *socket = fd_arg;
    int status = 0;

    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            unwatch(socket);
        }
        return 0;
    }
    if (socket == NULL) {
        status = watch(client, fd, &socket);
    }
    if (status == 0) {
        socket->events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) |
                         ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
        status = uv_poll_start(&socket->poll, socket->events, on_ready);
    }
    struct http_client_exchange *exchange = status == 0 ? NULL : exchange_of(curl);
    if (exchange != NULL && exchange->state == EXCHANGE_UNDER_WAY) {
        (void)error_set(&exchange->err, exchange->easy.sent ? ERR_UNKNOWN : ERR_UNAVAILABLE,
                        "%s: watching its socket: %s", exchange->easy.where, uv_strerror(status));
        http_easy_stop(&exchange->easy);
        end(exchange, CURLE_ABORTED_BY_CALLBACK);
        turn_soon(client);
    }
    return 0;
}

static void on_curl_timer(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    int running = 0;
    (void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    turn(client);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *client = arg;
    (void)multi;
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&client->curl_timer);
    } else {
        ASSERT(uv_timer_start(&client->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0) == 0);
    }
    return 0;
}

/* --- the turn --------------------------------------------------------------------------------- */

static void collect(struct http_client *client)
{
    int left = 0;
    CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_client_exchange *exchange = exchange_of(message->easy_handle);
        if (message->msg == CURLMSG_DONE && exchange->state == EXCHANGE_UNDER_WAY) {
            end(exchange, message->data.result);
        }
    }
}

static void begin_waiting(struct http_client *client)
{
    if (!list_empty(&client->waiting)) {
        http_connections_end_spoilt(&client->connections);
    }
    LIST_EACH(item, &client->waiting)
    {
        struct http_client_exchange *exchange = LIST_OWNER(item, struct http_client_exchange, link);
        sm_move(exchange_moves, EXCHANGE_STATES, &exchange->state, EXCHANGE_UNDER_WAY);
        list_remove(&exchange->link);
        list_append(&client->under_way, &exchange->link);
        exchange->in_multi = curl_multi_add_handle(client->multi, exchange->easy.curl) == CURLM_OK;
        if (!exchange->in_multi) {
            end(exchange, CURLE_OUT_OF_MEMORY);
        }
    }
}

static void close_multi(struct http_client *client)
{
    ASSERT(list_empty(&client->waiting) && list_empty(&client->under_way) &&
           list_empty(&client->ended));
    ASSERT(curl_multi_cleanup(client->multi) == CURLM_OK); /* ends by unwatching every socket */
    http_connections_close(&client->connections);
    client->multi = NULL;
    uv_close((uv_handle_t *)&client->curl_timer, on_timer_closed);
    uv_close((uv_handle_t *)&client->turn_timer, on_timer_closed);
}

static void nudge(struct http_client *client)
{
    int running = 0;
    client->nudge = false;
    /* The one call that steps all exchanges and says what sockets they want then. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    (void)curl_multi_socket_all(client->multi, &running);
#pragma GCC diagnostic pop
}

static void turn(struct http_client *client)
{
    if (client->nudge) {
        nudge(client);
    }
    collect(client);
    begin_waiting(client);
    while (!list_empty(&client->ended)) {
        tell(LIST_OWNER(list_first(&client->ended), struct http_client_exchange, link));
    }
    if (client->closing && client->exchange_count == 0) {
        close_multi(client);
    }
}

static void on_turn(uv_timer_t *timer)
{
    turn(timer->data);
}

static void turn_soon(struct http_client *client)
{
    ASSERT(client->multi != NULL);
    ASSERT(uv_timer_start(&client->turn_timer, on_turn, 0, 0) == 0);
}

/* --- public ----------------------------------------------------------------------------------- */

static struct http_client_config config_dup(const struct http_client_config *config)
{
    struct http_client_config copy = *config;
    copy.tls_ca = mem_strdup(config->tls_ca);
    copy.tls_cert = mem_strdup(config->tls_cert);
    copy.tls_key = mem_strdup(config->tls_key);
    copy.tls_key_password = mem_strdup(config->tls_key_password);
    copy.user_agent = mem_strdup(config->user_agent);
    if (copy.idle_connections_max == 0) {
        copy.idle_connections_max = HTTP_CLIENT_IDLE_CONNECTIONS;
    }
    if (copy.keepalive_idle_s == 0) {
        copy.keepalive_idle_s = HTTP_CLIENT_KEEPALIVE_IDLE_S;
    }
    if (copy.connect_timeout_ms == 0) {
        copy.connect_timeout_ms = HTTP_CLIENT_CONNECT_MS;
    }
    if (copy.response_bytes_max == 0) {
        copy.response_bytes_max = HTTP_CLIENT_RESPONSE_BYTES;
    }
    return copy;
}

static bool set_multi(struct http_client *client)
{
    CURLM *multi = client->multi;
    return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
                             (long)client->config.idle_connections_max) == CURLM_OK;
}

int http_client_new(uv_loop_t *loop, const struct http_client_config *config,
                    struct http_client **ret_client, struct error *err)
{
    ASSERT(config->connect_timeout_ms >= 0);
    if (config->tls_key != NULL && config->tls_cert == NULL) {
        return error_set(err, ERR_INVALID, "a TLS key needs its certificate");
    }
    /* Counted by libcurl, and never taken back: a lookup may still be on its thread. */
    CURLM *multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (multi == NULL) {
        return error_set(err, ERR_NOMEM, "libcurl does not start");
    }
    struct http_client *client = mem_new(struct http_client);
    client->loop = loop;
    client->multi = multi;
    client->config = config_dup(config);
    ASSERT(set_multi(client));
    list_init(&client->waiting);
    list_init(&client->under_way);
    list_init(&client->ended);
    http_connections_init(&client->connections, on_connection_closed, client);
    ASSERT(uv_timer_init(loop, &client->curl_timer) == 0);
    ASSERT(uv_timer_init(loop, &client->turn_timer) == 0);
    client->curl_timer.data = client;
    client->turn_timer.data = client;
    client->open_handles = 2;
    *ret_client = client;
    return 0;
}

static void cancel_all(struct list *head)
{
    LIST_EACH(item, head)
    {
        http_client_cancel(LIST_OWNER(item, struct http_client_exchange, link));
    }
}

void http_client_free(struct http_client *client, void (*done)(void *arg), void *arg)
{
    ASSERT(!client->closing);
    client->closing = true;
    client->closed = done;
    client->closed_arg = arg;
    cancel_all(&client->waiting);
    cancel_all(&client->under_way);
    cancel_all(&client->ended);
    turn_soon(client);
}

int http_client_send(struct http_client *client, const struct http_client_request *request,
                     struct http_client_exchange **ret_exchange, struct error *err)
{
    ASSERT(request->on_done != NULL);
    if (client->closing) {
        return error_set(err, ERR_CLOSED, "the HTTP client is being closed");
    }
    if (client->exchange_count == HTTP_CLIENT_EXCHANGES_MAX) {
        return error_set(err, ERR_LIMIT, "%d HTTP requests are under way already",
                         HTTP_CLIENT_EXCHANGES_MAX);
    }
    struct http_client_exchange *exchange = mem_new(struct http_client_exchange);
    int rc = http_easy_open(&exchange->easy, &client->config, request, err);
    if (rc == 0) {
        ASSERT(curl_easy_setopt(exchange->easy.curl, CURLOPT_PRIVATE, (void *)exchange) ==
               CURLE_OK);
        http_connections_own(&client->connections, exchange->easy.curl);
    }
    if (rc != 0) {
        http_easy_close(&exchange->easy);
        mem_free(exchange);
        return rc;
    }
    exchange->client = client;
    exchange->state = EXCHANGE_WAITING;
    exchange->on_done = request->on_done;
    exchange->arg = request->arg;
    list_append(&client->waiting, &exchange->link);
    client->exchange_count++;
    turn_soon(client);
    if (ret_exchange != NULL) {
        *ret_exchange = exchange;
    }
    return 0;
}
