/* The real REST server on a loopback port, its loop in a thread of its own; the picture, the clock
 * and what the ports do are the test's. Plain blocking clients on this side.
 *
 * Every write that REST asks for is recorded and held until the test answers it. */
#ifndef TESTS_AGENT_API_FIXTURE_H
#define TESTS_AGENT_API_FIXTURE_H

#include "agent/api/api_server.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum {
    RIG_REPLY_BYTES = 1 << 17,
    RIG_WAIT_MS = 20000,
    RIG_WRITES_MAX = 64,
    RIG_TTL_MS = 30000,
    RIG_LOOP_WAIT_MS = 10000,
    RIG_RESTART_MS = 400000,
};

struct rig_write {
    api_written written;
    void *ctx;
    char *text;       /* what was to be written */
    int64_t revision; /* of the compare */
    bool replace;
    bool answered;
};

static struct {
    uv_loop_t loop;
    uv_async_t async;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*call)(void *arg); /* for the loop's thread; NULL = nothing to do */
    void *call_arg;
    bool stopped; /* the server says so */
    struct api_server *server;
    uint16_t port;
    struct clock clock;
    atomic_llong lease_ms;
    atomic_llong mono_ms;
    atomic_llong wall_ms;
    struct rig_write writes[RIG_WRITES_MAX];
    size_t write_count;
    int refuse_rc; /* the next writes fail at once */
    const char *refuse_text;
    bool unchanged;
    int burn_ms; /* what a change of the configuration costs the loop */
    unsigned explained;
    unsigned looked; /* at the page */
    unsigned reloads;
    const char *metrics; /* NULL: a short text */
    int failsafe_rc;     /* what POST /failsafe gives */
    uint64_t failsafe_lsn;
    char failsafe_name[64];
    int restart_rc; /* what an order for a restart gives, now or scheduled */
    const char *restart_why;
    unsigned restarts;          /* begun */
    struct api_restart restart; /* the last one that was asked for */
    unsigned reinits;           /* asked for, and taken: the last one */
    bool reinit_force;
    bool reinit_from_leader;
    atomic_uint reexecs; /* asked for, and taken: the last one */
    bool reexec_dry_run;
    struct api_supposed supposed;        /* of the last dry run */
    struct api_restart supposed_restart; /* likewise */
    unsigned dry_runs;
    unsigned refusals; /* told of */
    char refusal[512]; /* the last of them */
    char *scheduled;   /* what is shown of the scheduled one; NULL = none is */
} rig;

/* --- the loop's side -------------------------------------------------------------------------- */

static inline int64_t rig_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void rig_signal(void)
{
    (void)pthread_cond_broadcast(&rig.changed);
}

static inline void rig_on_async(uv_async_t *async)
{
    (void)async;
    (void)pthread_mutex_lock(&rig.lock);
    void (*call)(void *arg) = rig.call;
    (void)pthread_mutex_unlock(&rig.lock);
    if (call == NULL) {
        return;
    }
    call(rig.call_arg);
    (void)pthread_mutex_lock(&rig.lock);
    rig.call = NULL;
    rig_signal();
    (void)pthread_mutex_unlock(&rig.lock);
}

static inline void *rig_run(void *arg)
{
    (void)arg;
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline int64_t rig_mono(void *arg)
{
    (void)arg;
    return rig.mono_ms;
}

static inline int64_t rig_lease(void *arg)
{
    (void)arg;
    return rig.lease_ms;
}

static inline int64_t rig_suspended(void *arg)
{
    (void)arg;
    return 0;
}

static inline int64_t rig_wall(void *arg)
{
    (void)arg;
    return rig.wall_ms;
}

static inline int rig_record(const struct rig_write *write, struct error *err)
{
    (void)pthread_mutex_lock(&rig.lock);
    int rc = rig.refuse_rc;
    if (rc == 0) {
        assert_true(rig.write_count < RIG_WRITES_MAX);
        rig.writes[rig.write_count++] = *write;
        rig_signal();
    } else {
        (void)error_set(err, rc, "%s", rig.refuse_text);
    }
    (void)pthread_mutex_unlock(&rig.lock);
    return rc;
}

static inline int rig_change_config(void *arg, const json_t *patch, bool replace,
                                    api_written written, void *ctx, json_t **ret_merged,
                                    bool *ret_unchanged, struct error *err)
{
    (void)arg;
    struct rig_write write = {.written = written,
                              .ctx = ctx,
                              .text = json_dumps(patch, JSON_COMPACT),
                              .replace = replace};
    int64_t until_ms = rig_now_ms() + rig.burn_ms;
    while (rig.burn_ms > 0 && rig_now_ms() < until_ms) {
    }
    *ret_unchanged = rig.unchanged;
    int rc = rig.unchanged ? 0 : rig_record(&write, err);
    if (rc != 0 || rig.unchanged) {
        mem_free(write.text);
    }
    if (rc == 0) {
        *ret_merged = json_deep_copy(patch);
    }
    return rc;
}

static inline int rig_write_failover(void *arg, const char *value, int64_t revision,
                                     api_written written, void *ctx, struct error *err)
{
    (void)arg;
    struct rig_write write = {
        .written = written, .ctx = ctx, .text = mem_strdup(value), .revision = revision};
    int rc = rig_record(&write, err);
    if (rc != 0) {
        mem_free(write.text);
    }
    return rc;
}

static inline int rig_failsafe(void *arg, const json_t *question, uint64_t *ret_lsn,
                               struct error *err)
{
    (void)arg;
    (void)snprintf(rig.failsafe_name, sizeof rig.failsafe_name, "%s",
                   json_string_value(json_object_get(question, "name")));
    *ret_lsn = rig.failsafe_lsn;
    return rig.failsafe_rc == 0 ? 0 : error_set(err, rig.failsafe_rc, "as the test says");
}

static inline int rig_restart(void *arg, const struct api_restart *restart, unsigned *ret_number,
                              int64_t *ret_wait_ms, struct error *err)
{
    (void)arg;
    (void)pthread_mutex_lock(&rig.lock);
    int rc = rig.restart_rc;
    if (rc == 0) {
        rig.restart = *restart;
        *ret_number = ++rig.restarts;
        *ret_wait_ms = RIG_RESTART_MS;
        rig_signal();
    } else {
        (void)error_set(err, rc, "%s", rig.restart_why);
    }
    (void)pthread_mutex_unlock(&rig.lock);
    return rc;
}

static inline int rig_schedule_restart(void *arg, const struct api_restart *restart,
                                       struct error *err)
{
    (void)arg;
    if (rig.scheduled != NULL) {
        return error_set(err, ERR_EXISTS, "Another restart is already scheduled");
    }
    rig.restart = *restart;
    rig.scheduled = json_dumps(restart->object, JSON_COMPACT);
    return 0;
}

static inline bool rig_unschedule_restart(void *arg)
{
    bool was = rig.scheduled != NULL;
    (void)arg;
    mem_free(rig.scheduled);
    rig.scheduled = NULL;
    return was;
}

static inline int rig_reinitialize(void *arg, bool force, bool from_leader, struct error *err)
{
    (void)arg;
    if (rig.restart_rc != 0) {
        return error_set(err, rig.restart_rc, "%s", rig.restart_why);
    }
    rig.reinits++;
    rig.reinit_force = force;
    rig.reinit_from_leader = from_leader;
    return 0;
}

static inline int rig_reexec(void *arg, bool dry_run, struct error *err)
{
    (void)arg;
    if (rig.restart_rc != 0) {
        return error_set(err, rig.restart_rc, "%s", rig.restart_why);
    }
    rig.reexec_dry_run = dry_run;
    rig.reexecs++;
    return 0;
}

static inline void rig_reload(void *arg)
{
    (void)arg;
    rig.reloads++;
}

static inline void rig_refused(void *arg, const char *text)
{
    (void)arg;
    rig.refusals++;
    (void)snprintf(rig.refusal, sizeof rig.refusal, "%s", text);
}

static inline char *rig_explain(void *arg)
{
    (void)arg;
    return mem_printf("{\"asked\": %u}", ++rig.explained);
}

static inline char *rig_ui(void *arg)
{
    (void)arg;
    return mem_printf("{\"looked\": %u}", ++rig.looked);
}

static inline char *rig_dry_run(void *arg, const struct api_supposed *supposed, struct error *err)
{
    (void)arg;
    rig.dry_runs++;
    rig.supposed = *supposed;
    if (supposed->restart != NULL) {
        rig.supposed_restart = *supposed->restart;
    }
    if (rig.restart_rc != 0) {
        (void)error_set(err, rig.restart_rc, "%s", rig.restart_why);
        return NULL;
    }
    return mem_strdup("{\"rule\": \"a/b\"}");
}

static inline char *rig_metrics(void *arg)
{
    (void)arg;
    return mem_strdup(rig.metrics != NULL ? rig.metrics : "# HELP m h\n# TYPE m gauge\nm{} 1\n");
}

/* --- the test's side -------------------------------------------------------------------------- */

/* Waits for the loop; fails the test if it does not come. Called and returns with the lock held. */
static inline void rig_wait(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RIG_WAIT_MS / 1000;
    if (pthread_cond_timedwait(&rig.changed, &rig.lock, &until) != 0) {
        (void)pthread_mutex_unlock(&rig.lock);
        fail_msg("the loop's thread did not come");
    }
}

/* Runs `call` in the loop's thread, and returns when it has run. */
static inline void rig_call(void (*call)(void *arg), void *arg)
{
    (void)pthread_mutex_lock(&rig.lock);
    rig.call = call;
    rig.call_arg = arg;
    (void)uv_async_send(&rig.async);
    while (rig.call != NULL) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

/* Returns when `count` writes have been asked for. */
static inline void rig_wait_writes(size_t count)
{
    (void)pthread_mutex_lock(&rig.lock);
    while (rig.write_count < count) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

struct rig_answer {
    size_t index;
    int rc;
    int64_t revision;
};

static inline void rig_answer_now(void *arg)
{
    const struct rig_answer *answer = arg;
    struct rig_write *write = &rig.writes[answer->index];
    struct error err = {0};
    assert_false(write->answered);
    write->answered = true;
    if (answer->rc != 0) {
        (void)error_set(&err, answer->rc, "the store says: %s", err_name(answer->rc));
    }
    write->written(write->ctx, answer->rc, answer->revision, &err);
}

static inline void rig_answer(size_t index, int rc, int64_t revision)
{
    struct rig_answer answer = {.index = index, .rc = rc, .revision = revision};
    rig_call(rig_answer_now, &answer);
}

static inline void rig_publish_now(void *arg)
{
    api_server_publish(rig.server, arg);
    api_status_unref(arg);
}

/* Takes the picture over. */
static inline void rig_publish(struct api_status *status)
{
    rig_call(rig_publish_now, status);
}

static inline void rig_member(struct api_status *status, const char *name)
{
    struct ha_member *member = &status->cluster.members[status->cluster.member_count++];
    (void)snprintf(member->name, sizeof member->name, "%s", name);
    (void)snprintf(member->api_url, sizeof member->api_url, "http://%s:8008/patroni", name);
}

/* A cluster of n1 (leader), n2 and n3 at revision 100; role and documents are of a node that knows
 * nothing else. */
static inline struct api_status *rig_status(void)
{
    struct api_status *status = api_status_new();
    status->ttl_ms = RIG_TTL_MS;
    status->loop_wait_ms = RIG_LOOP_WAIT_MS;
    status->cycle_mono_ms = rig.mono_ms;
    status->initialized = true;
    status->cluster.known = true;
    status->cluster.read_mono_ms = rig.mono_ms;
    status->cluster.revision = 100;
    (void)snprintf(status->cluster.leader, sizeof status->cluster.leader, "n1");
    rig_member(status, "n1");
    rig_member(status, "n2");
    rig_member(status, "n3");
    status->document = mem_strdup("{\"state\": \"running\"}");
    status->cluster_document = mem_strdup("{\"members\": [], \"scope\": \"s\"}");
    status->history = mem_strdup("[[1, 2, \"r\"]]");
    status->config = mem_strdup("{\"ttl\": 30}");
    status->failsafe = mem_strdup("{\"n1\": \"u\"}");
    return status;
}

static inline struct api_status *rig_primary(void)
{
    struct api_status *status = rig_status();
    status->running = status->writable = status->was_primary = true;
    status->lease_valid_until_ms = rig.lease_ms + 1000;
    return status;
}

static inline struct api_status *rig_replica(void)
{
    struct api_status *status = rig_status();
    status->running = status->replica = status->streaming = true;
    status->leader_lsn = 1000;
    status->replayed_lsn = 900;
    status->received_lsn = 1000;
    status->maximum_lag_bytes = 1000;
    return status;
}

/* Everything but the server and the thread. */
static inline void rig_init(void)
{
    memset(&rig, 0, sizeof rig);
    json_set_alloc_funcs(mem_try, mem_free);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_init(&rig.lock, NULL);
    (void)pthread_cond_init(&rig.changed, NULL);
    rig.clock = (struct clock){.mono_ms = rig_mono,
                               .lease_ms = rig_lease,
                               .suspended_ms = rig_suspended,
                               .wall_ms = rig_wall};
    rig.lease_ms = 5000000;
    rig.mono_ms = 1000000;
    rig.wall_ms = 1700000000000; /* 2023-11-14T22:13:20Z */
    (void)uv_loop_init(&rig.loop);
    (void)uv_async_init(&rig.loop, &rig.async, rig_on_async);
}

static inline int rig_start(void **state)
{
    struct net_addr listen_on = {.host = "127.0.0.1", .port = 0};
    struct api_ports ports = {.clock = &rig.clock,
                              .change_config = rig_change_config,
                              .write_failover = rig_write_failover,
                              .restart = rig_restart,
                              .schedule_restart = rig_schedule_restart,
                              .unschedule_restart = rig_unschedule_restart,
                              .reinitialize = rig_reinitialize,
                              .failsafe = rig_failsafe,
                              .reload = rig_reload,
                              .reexec = rig_reexec,
                              .refused = rig_refused,
                              .explain = rig_explain,
                              .ui = rig_ui,
                              .dry_run = rig_dry_run,
                              .metrics = rig_metrics};
    struct error err = {0};
    (void)state;
    rig_init();
    if (api_server_start(&rig.loop, &listen_on, &ports, &rig.server, &err) != 0) {
        return -1;
    }
    rig.port = api_server_port(rig.server);
    return pthread_create(&rig.thread, NULL, rig_run, NULL);
}

static inline void rig_on_stopped(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&rig.lock);
    rig.stopped = true;
    rig_signal();
    (void)pthread_mutex_unlock(&rig.lock);
}

static inline void rig_stop_now(void *arg)
{
    (void)arg;
    api_server_stop(rig.server, rig_on_stopped, NULL);
    rig.server = NULL;
}

static inline void rig_cancel_writes(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < rig.write_count; i++) {
        if (!rig.writes[i].answered) {
            struct rig_answer answer = {.index = i, .rc = ERR_CANCELED};
            rig_answer_now(&answer);
        }
    }
}

static inline void rig_close_now(void *arg)
{
    (void)arg;
    uv_close((uv_handle_t *)&rig.async, NULL);
}

/* Stops the server if the test has not, then answers what it has left (as the store does when it
 * is closed), and wants an empty loop. */
static inline int rig_finish(void **state)
{
    (void)state;
    if (rig.server != NULL) {
        rig_call(rig_stop_now, NULL);
    }
    rig_call(rig_cancel_writes, NULL);
    (void)pthread_mutex_lock(&rig.lock);
    while (!rig.stopped) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
    rig.call = rig_close_now;
    (void)uv_async_send(&rig.async);
    (void)pthread_join(rig.thread, NULL);
    for (size_t i = 0; i < rig.write_count; i++) {
        mem_free(rig.writes[i].text);
    }
    mem_free(rig.scheduled);
    (void)pthread_mutex_destroy(&rig.lock);
    (void)pthread_cond_destroy(&rig.changed);
    return uv_loop_close(&rig.loop);
}

/* --- clients ---------------------------------------------------------------------------------- */

static inline int rig_client(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(rig.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void rig_say_bytes(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* refused early: the answer is read all the same */
        }
        text += sent;
        len -= (size_t)sent;
    }
}

static inline void rig_say(int fd, const char *text)
{
    rig_say_bytes(fd, text, strlen(text));
}

/* Reads until `until` has been seen `times` times (NULL: until the end). */
static inline const char *rig_hear(int fd, const char *until, int times)
{
    static char reply[RIG_REPLY_BYTES];
    size_t len = 0;
    struct pollfd in = {.fd = fd, .events = POLLIN};
    reply[0] = '\0';
    while (len < sizeof reply - 1) {
        int seen = 0;
        for (const char *at = reply; until != NULL && (at = strstr(at, until)) != NULL; at++) {
            seen++;
        }
        if (until != NULL && seen >= times) {
            break;
        }
        if (poll(&in, 1, RIG_WAIT_MS) != 1) {
            fail_msg("no answer in time, only '%s'", reply);
        }
        ssize_t got = recv(fd, reply + len, sizeof reply - 1 - len, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        reply[len] = '\0';
    }
    return reply;
}

/* Date is the only thing in a reply that a test cannot know. */
static inline const char *rig_dateless(const char *reply)
{
    static char text[RIG_REPLY_BYTES];
    const char *date = strstr(reply, "Date: ");
    const char *end = date == NULL ? NULL : strstr(date, "\r\n");
    if (end == NULL) {
        return reply;
    }
    assert_int_equal(end - date, strlen("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
    (void)snprintf(text, sizeof text, "%.*s%s", (int)(date - reply), reply, end + 2);
    return text;
}

/* What is asked on a connection of its own, and heard to the end. */
static inline const char *rig_ask(const char *request)
{
    int fd = rig_client();
    rig_say(fd, request);
    const char *reply = rig_dateless(rig_hear(fd, NULL, 0));
    (void)close(fd);
    return reply;
}

/* "METHOD PATH" with a body, HTTP/1.0. */
static inline void rig_send(int fd, const char *what, const char *body)
{
    char head[512];
    (void)snprintf(head, sizeof head, "%s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", what,
                   strlen(body));
    rig_say(fd, head);
    rig_say(fd, body);
}

static inline int rig_post(const char *what, const char *body)
{
    int fd = rig_client();
    rig_send(fd, what, body);
    return fd;
}

/* Hears to the end and closes. */
static inline const char *rig_reply(int fd)
{
    const char *reply = rig_dateless(rig_hear(fd, NULL, 0));
    (void)close(fd);
    return reply;
}

static inline int rig_code(const char *reply)
{
    int code = 0;
    return sscanf(reply, "HTTP/%*d.%*d %d", &code) == 1 ? code : 0;
}

static inline const char *rig_body(const char *reply)
{
    const char *body = strstr(reply, "\r\n\r\n");
    return body == NULL ? "" : body + 4;
}

/* The small HTML page of an error. */
static inline void rig_expect_page(const char *reply, int code, const char *message)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "<p>Error code: %d</p><p>Message: %s.</p>", code, message);
    assert_int_equal(rig_code(reply), code);
    assert_non_null(strstr(reply, "Content-Type: text/html;charset=utf-8\r\n"));
    if (strstr(reply, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, reply);
    }
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_finish)

#endif
