/* libpq without its blocking parts.
 *
 *   RESOLVING -> CONNECTING -> IDLE <-> ASKING      any of them -> DEAD
 *
 * libpq resolves names inside PQconnectStart, and that blocks: a name is resolved here first and
 * given as hostaddr. Its connect_timeout works in blocking calls only: one timer of ours covers
 * each call. Its socket may change with every PQconnectPoll (another address, SSL refused): the
 * poll handle is made anew each time.
 *
 * The handles close after the connection is freed, so they live in a struct of their own. */
#include "pgctl/sql/pg_conn.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/sql/pg_conn_error.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum state { RESOLVING, CONNECTING, IDLE, ASKING, DEAD };

/* Passwords come as arguments, never from a file in the user's home. Nothing can have this path: of
 * a file that is there and is none libpq speaks, on stderr, at each connection. */
#define NO_PASSFILE "/dev/null/none"

#define PARAMS_MAX  (16 + PG_SECURITY_COUNT)

struct pg_conn {
    uv_loop_t *loop;
    enum state state;
    PGconn *pg;
    uv_poll_t *poll;          /* heap: freed in its close callback */
    uv_timer_t *timer;        /* likewise */
    uv_getaddrinfo_t *lookup; /* heap; data is NULL once we are freed */
    pg_conn_cb done;
    void *arg;
    struct pg_answer answer;
    struct error asked_err; /* the first error among the results */
    int asked_rc;
    size_t param_count;
    const char *names[PARAMS_MAX + 1];
    char *values[PARAMS_MAX + 1]; /* ours */
    int fail_rc;                  /* an outcome that is told from the timer */
    struct error fail_err;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static void on_handle_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

static void close_poll(struct pg_conn *conn)
{
    if (conn->poll != NULL) {
        (void)uv_poll_stop(conn->poll);
        conn->poll->data = NULL;
        uv_close((uv_handle_t *)conn->poll, on_handle_closed);
        conn->poll = NULL;
    }
}

static void clear_answer(struct pg_conn *conn)
{
    for (int i = 0; i < conn->answer.count; i++) {
        PQclear(conn->answer.results[i]);
    }
    conn->answer = (struct pg_answer){0};
}

void pg_conn_free(struct pg_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    close_poll(conn);
    if (conn->timer != NULL) {
        uv_close((uv_handle_t *)conn->timer, on_handle_closed);
    }
    if (conn->lookup != NULL) {
        conn->lookup->data = NULL;
        (void)uv_cancel((uv_req_t *)conn->lookup);
    }
    clear_answer(conn);
    if (conn->pg != NULL) {
        PQfinish(conn->pg); /* after the poll: it closes the socket */
    }
    for (size_t i = 0; i < conn->param_count; i++) {
        mem_free(conn->values[i]);
    }
    mem_free(conn);
}

bool pg_conn_usable(const struct pg_conn *conn)
{
    return conn != NULL && conn->state == IDLE;
}

/* The one place where a callback is called. The callback may free the connection. */
static void finish(struct pg_conn *conn, enum state state, int rc, const struct error *err)
{
    pg_conn_cb done = conn->done;
    struct error copy = err == NULL ? (struct error){0} : *err;
    struct pg_answer answer = conn->answer;

    conn->state = state;
    conn->done = NULL;
    conn->answer = (struct pg_answer){0};
    (void)uv_timer_stop(conn->timer);
    close_poll(conn);
    ASSERT(done != NULL);
    done(conn->arg, rc, &answer, &copy);
    for (int i = 0; i < answer.count; i++) {
        PQclear(answer.results[i]);
    }
}

static void fail(struct pg_conn *conn, int rc, const char *text)
{
    struct error err;

    (void)pg_conn_error_read(text, false, &err); /* its words on one line */
    err.code = rc;
    finish(conn, DEAD, rc, &err);
}

static void fail_connect(struct pg_conn *conn)
{
    struct error err;
    int rc = pg_conn_error_read(PQerrorMessage(conn->pg), PQconnectionNeedsPassword(conn->pg) == 1,
                                &err);
    finish(conn, DEAD, rc, &err);
}

/* From the timer, in the next turn: the caller may be the one who has just asked. */
static void fail_later(struct pg_conn *conn, int rc, const char *text)
{
    (void)pg_conn_error_read(text, false, &conn->fail_err); /* its words on one line */
    conn->fail_rc = conn->fail_err.code = rc;
    (void)uv_timer_start(conn->timer, on_timer, 0, 0);
}

static void watch(struct pg_conn *conn, int events)
{
    int fd = PQsocket(conn->pg);

    close_poll(conn);
    if (fd < 0) {
        fail_later(conn, ERR_CLOSED, PQerrorMessage(conn->pg));
        return;
    }
    conn->poll = mem_new(uv_poll_t);
    if (uv_poll_init(conn->loop, conn->poll, fd) != 0) {
        mem_free(conn->poll);
        conn->poll = NULL;
        fail_later(conn, ERR_IO, "the socket cannot be polled");
        return;
    }
    conn->poll->data = conn;
    (void)uv_poll_start(conn->poll, events, on_poll);
}

static void step_connect(struct pg_conn *conn)
{
    close_poll(
        conn); /* PQconnectPoll may close the socket and open another under the same number */
    PostgresPollingStatusType next = PQconnectPoll(conn->pg);
    switch (next) {
    case PGRES_POLLING_OK:
        (void)PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
        (void)PQsetnonblocking(conn->pg, 1);
        finish(conn, IDLE, 0, NULL);
        break;
    case PGRES_POLLING_FAILED: fail_connect(conn); break;
    case PGRES_POLLING_READING: watch(conn, UV_READABLE); break;
    case PGRES_POLLING_WRITING: watch(conn, UV_WRITABLE); break;
    case PGRES_POLLING_ACTIVE: watch(conn, UV_READABLE); break;
    }
}

static void keep_result(struct pg_conn *conn, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
        if (conn->asked_rc == 0) {
            const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
            const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
            conn->asked_rc = error_set(&conn->asked_err, ERR_REFUSED, "%s (SQLSTATE %s)",
                                       primary == NULL ? PQresultErrorMessage(result) : primary,
                                       sqlstate == NULL ? "unknown" : sqlstate);
        }
        PQclear(result);
    } else if (conn->answer.count == PG_CONN_RESULTS_MAX) {
        conn->asked_rc =
            error_set(&conn->asked_err, ERR_LIMIT, "more than %d results", PG_CONN_RESULTS_MAX);
        PQclear(result);
    } else {
        conn->answer.results[conn->answer.count++] = result;
    }
}

static void step_ask(struct pg_conn *conn)
{
    if (PQconsumeInput(conn->pg) == 0) {
        fail(conn, ERR_CLOSED, PQerrorMessage(conn->pg));
        return;
    }
    int unsent = PQflush(conn->pg);
    if (unsent < 0) {
        fail(conn, ERR_CLOSED, PQerrorMessage(conn->pg));
        return;
    }
    while (PQisBusy(conn->pg) == 0) {
        PGresult *result = PQgetResult(conn->pg);
        if (result == NULL) {
            bool alive = PQstatus(conn->pg) == CONNECTION_OK;
            int rc = conn->asked_rc != 0 && !alive ? ERR_CLOSED : conn->asked_rc;
            finish(conn, alive ? IDLE : DEAD, rc, rc == 0 ? NULL : &conn->asked_err);
            return;
        }
        keep_result(conn, result);
    }
    int events = unsent > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE;
    (void)uv_poll_start(conn->poll, events, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pg_conn *conn = poll->data;
    (void)status; /* libpq finds out itself what is wrong with the socket */
    (void)events;
    if (conn->state == CONNECTING) {
        step_connect(conn);
    } else if (conn->state == ASKING) {
        step_ask(conn);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_conn *conn = timer->data;
    if (conn->fail_rc != 0) {
        finish(conn, DEAD, conn->fail_rc, &conn->fail_err);
        return;
    }
    fail(conn, ERR_TIMEOUT, conn->state == ASKING ? "no answer in time" : "no connection in time");
}

static void put_param(struct pg_conn *conn, const char *name, char *value_take)
{
    ASSERT(conn->param_count < PARAMS_MAX);
    conn->names[conn->param_count] = name;
    conn->values[conn->param_count++] = value_take;
}

/* Not on a socket: there libpq encrypts nothing, and would refuse to if it had to bind to it. */
static void put_security(struct pg_conn *conn, const struct pg_conn_target *target)
{
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        const char *value = target->security == NULL ? NULL : target->security->values[i];
        if (value != NULL && target->host[0] != '/') {
            put_param(conn, pg_security_rows[i].name, mem_strdup(value));
        }
    }
}

static void put_params(struct pg_conn *conn, const struct pg_conn_target *target)
{
    put_param(conn, "host", mem_strdup(target->host));
    put_param(conn, "port", mem_printf("%u", target->port));
    put_param(conn, "user", mem_strdup(target->user));
    if (target->password != NULL) {
        put_param(conn, "password", mem_strdup(target->password));
    }
    put_param(conn, "dbname", mem_strdup(target->database));
    put_param(conn, "application_name", mem_strdup(target->application_name));
    put_param(conn, "client_encoding", mem_strdup("UTF8"));
    put_security(conn, target);
    put_param(conn, "passfile", mem_strdup(NO_PASSFILE));
    put_param(conn, "tcp_user_timeout", mem_strdup("5000"));
    put_param(conn, "keepalives_idle", mem_strdup("5"));
    if (target->walsender != PG_CONN_BACKEND) {
        put_param(conn, "replication",
                  mem_strdup(target->walsender == PG_CONN_PHYSICAL ? "true" : "database"));
    } else {
        put_param(conn, "options",
                  mem_printf("-c search_path=pg_catalog -c statement_timeout=%d",
                             target->statement_timeout_ms));
    }
}

/* libpq's own connect start, after the address is known. False: `conn` has failed, the timer tells.
 */
static void start_libpq(struct pg_conn *conn)
{
    conn->names[conn->param_count] = NULL;
    conn->pg = PQconnectStartParams(conn->names, (const char *const *)conn->values, 0);
    conn->state = CONNECTING;
    if (conn->pg == NULL || PQstatus(conn->pg) == CONNECTION_BAD) {
        fail_later(conn, conn->pg == NULL ? ERR_NOMEM : ERR_CLOSED,
                   conn->pg == NULL ? "out of memory" : PQerrorMessage(conn->pg));
        return;
    }
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE); /* pg_conn_error reads the SQLSTATE */
    watch(conn, UV_WRITABLE);
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
    struct pg_conn *conn = lookup->data;
    char address[INET6_ADDRSTRLEN] = "";

    if (conn != NULL) {
        conn->lookup = NULL;
    }
    mem_free(lookup);
    if (status == 0 && list != NULL) {
        (void)getnameinfo(list->ai_addr, list->ai_addrlen, address, sizeof address, NULL, 0,
                          NI_NUMERICHOST);
    }
    uv_freeaddrinfo(list);
    if (conn == NULL) {
        return;
    }
    if (address[0] == '\0') {
        char text[320];
        (void)snprintf(text, sizeof text, "looking up '%.200s': %s", conn->values[0],
                       status == 0 ? "no address" : uv_strerror(status));
        fail(conn, ERR_NOT_FOUND, text);
        return;
    }
    put_param(conn, "hostaddr", mem_strdup(address));
    start_libpq(conn);
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static int start_lookup(struct pg_conn *conn, const char *host, struct error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    conn->lookup = mem_new(uv_getaddrinfo_t);
    conn->lookup->data = conn;
    int rc = uv_getaddrinfo(conn->loop, conn->lookup, on_resolved, host, NULL, &hints);
    if (rc != 0) {
        mem_free(conn->lookup);
        conn->lookup = NULL;
        return error_set(err, err_from_errno(-rc), "looking up '%s': %s", host, uv_strerror(rc));
    }
    return 0;
}

int pg_conn_open(struct uv_loop_s *loop, const struct pg_conn_target *target, int64_t timeout_ms,
                 pg_conn_cb done, void *arg, struct pg_conn **ret_conn, struct error *err)
{
    struct pg_conn *conn = mem_new(struct pg_conn);

    ASSERT(target->host != NULL && target->user != NULL && done != NULL);
    conn->loop = loop;
    conn->done = done;
    conn->arg = arg;
    conn->state = RESOLVING;
    conn->timer = mem_new(uv_timer_t);
    (void)uv_timer_init(loop, conn->timer);
    conn->timer->data = conn;
    put_params(conn, target);
    (void)uv_timer_start(conn->timer, on_timer, (uint64_t)(timeout_ms > 0 ? timeout_ms : 0), 0);
    if (target->host[0] == '/') {
        start_libpq(conn);
    } else if (is_address(target->host)) {
        put_param(conn, "hostaddr", mem_strdup(target->host));
        start_libpq(conn);
    } else {
        int rc = start_lookup(conn, target->host, err);
        if (rc != 0) {
            pg_conn_free(conn);
            return rc;
        }
    }
    *ret_conn = conn;
    return 0;
}

int pg_conn_query(struct pg_conn *conn, const char *sql, int64_t timeout_ms, pg_conn_cb done,
                  void *arg, struct error *err)
{
    ASSERT(done != NULL);
    if (conn->state != IDLE) {
        return error_set(err, conn->state == DEAD ? ERR_CLOSED : ERR_BUSY,
                         "the connection cannot take a query");
    }
    if (PQsendQuery(conn->pg, sql) == 0) {
        conn->state = DEAD;
        return error_set(err, ERR_CLOSED, "%s", PQerrorMessage(conn->pg));
    }
    conn->done = done;
    conn->arg = arg;
    conn->asked_rc = 0;
    conn->state = ASKING;
    conn->fail_rc = 0;
    (void)uv_timer_start(conn->timer, on_timer, (uint64_t)(timeout_ms > 0 ? timeout_ms : 0), 0);
    conn->poll = mem_new(uv_poll_t);
    int rc = uv_poll_init(conn->loop, conn->poll, PQsocket(conn->pg));
    if (rc != 0) {
        mem_free(conn->poll);
        conn->poll = NULL;
        conn->state = DEAD;
        (void)uv_timer_stop(conn->timer);
        return error_set(err, ERR_IO, "polling the connection: %s", uv_strerror(rc));
    }
    conn->poll->data = conn;
    (void)uv_poll_start(conn->poll, UV_READABLE | UV_WRITABLE, on_poll);
    return 0;
}

int pg_conn_verifier(struct pg_conn *conn, const char *role, const char *password,
                     const char *encryption, char **ret_verifier, struct error *err)
{
    ASSERT(conn->pg != NULL && conn->state == IDLE);
    char *verifier = PQencryptPasswordConn(conn->pg, password, role, encryption);
    if (verifier == NULL) {
        struct error why;
        (void)pg_conn_error_read(PQerrorMessage(conn->pg), false, &why); /* on one line */
        return error_set(err, ERR_UNSUPPORTED, "the password of role '%s': %s", role, why.text);
    }
    *ret_verifier = mem_strdup(verifier);
    PQfreemem(verifier);
    return 0;
}
