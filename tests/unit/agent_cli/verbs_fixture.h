/* The verbs of the command line on a real Raft group of one member in a process of its own, and a
 * member's REST interface played by another. Included by one source. */
#ifndef TESTS_UNIT_AGENT_CLI_VERBS_FIXTURE_H
#define TESTS_UNIT_AGENT_CLI_VERBS_FIXTURE_H

#include "agent/app.h"
#include "agent/cli/cli.h"
#include "agent/cli/cli_session.h"
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/generate.h"
#include "agent/validate.h"
#include "agent/witness.h"
#include "base/buf.h"
#include "base/mem.h"
#include "raft/group.h"
#include "raft/storage.h"
#include "tests/harness/free_port.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"
#include "tests/harness/tls_files.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define OUTPUT_BYTES 16384
#define START_TRIES  200

/* What cli.c runs for a file; here it only tells that it was asked. */
int agent_run(const char *path)
{
    printf("agent on %s\n", path);
    return 0;
}

int witness_run(const char *path)
{
    printf("witness on %s\n", path);
    return 0;
}
int validate_run(const struct validate_options *options)
{
    printf("validate %s%s%s\n", options->path, options->ignore_listen_ports ? " -i" : "",
           options->print ? " -p" : "");
    return 0;
}
int generate_sample(const char *path)
{
    printf("sample %s\n", path != NULL ? path : "here");
    return 0;
}
int generate_from_instance(const char *path, const char *dsn)
{
    printf("generate %s of %s\n", path != NULL ? path : "here",
           dsn != NULL ? dsn : "the local one");
    return 0;
}

static struct {
    char directory[64];
    char file[128];
    char request[128]; /* what the REST interface was asked last */
    int raft_port;
    int rest_port;
    pid_t raft;
    pid_t rest;
    char out[OUTPUT_BYTES];
    char err[OUTPUT_BYTES];
} world;

/* --- the two processes --------------------------------------------------------------------------
 */

static void ignored(void *arg)
{
    (void)arg;
}

static void text_ignored(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

static void fatal(void *arg, const struct error *err)
{
    (void)arg;
    fprintf(stderr, "raft: %s\n", err->text);
    _exit(1);
}

static void raft_process(const char *directory, int port, bool witness)
{
    char data_dir[128];
    char address[64];
    uv_loop_t loop;
    struct raft_group *group = NULL;
    struct error err = {0};
    snprintf(data_dir, sizeof(data_dir), "%s/%s", world.directory, directory);
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    struct raft_group_config config = {.data_dir = data_dir,
                                       .name = "n1",
                                       .self_addr = address,
                                       .password = "secret",
                                       .witness = witness,
                                       .election_timeout_ms = 300,
                                       .heartbeat_ms = 30};
    struct raft_group_callbacks callbacks = {.on_ready = ignored,
                                             .on_change = ignored,
                                             .on_waiting = text_ignored,
                                             .on_warning = text_ignored,
                                             .on_fatal = fatal};
    uv_loop_init(&loop);
    if (raft_group_open(&loop, &config, &callbacks, &group, &err) != 0) {
        fatal(NULL, &err);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

struct answer {
    const char *request; /* in the request line or body */
    const char *status;
    const char *body;
};

/* The first that fits. */
static const struct answer answers[] = {
    {"\"candidate\":\"n3\"", "412 Precondition Failed", "not here"},
    {"\"timeout\":\"7\"", "503 Service Unavailable", "postgres is still starting"},
    {"\"schedule\":\"2031", "409 Conflict", "Another restart is already scheduled"},
    {"\"schedule\":", "202 Accepted", "Restart scheduled"},
    {"{\"force\":false,\"from_leader\":true}", "503 Service Unavailable",
     "creating replica already in progress"},
    {"\"host\":\"nowhere\"", "400 Bad Request", "standby_cluster.host: not right"},
    {"POST /dry-run/switchover", "200 OK",
     "{\"rule\":\"leader/failover\",\"reason\":\"stepping down\",\"actions\":[\"checkpoint\","
     "\"stop_fast\"]}"},
    {"POST /dry-run/failover", "200 OK", "all is well"},
    {"POST /dry-run/restart", "200 OK",
     "{\"rule\":\"replica/no_restart\",\"reason\":\"all is well\",\"actions\":[]}"},
    {"POST /dry-run/reexec", "200 OK", "'/usr/bin/pgquorum' would be executed in place"},
    {"POST /reexec", "412 Precondition Failed", "not executed anew: it would not start here"},
    {"POST /dry-run/", "501 Not Implemented", "Server does not support this operation"},
    {"PATCH /config", "200 OK", "{}"},
    {"POST /reinitialize", "200 OK", "reinitialize started"},
    {"POST /restart", "200 OK", "restarted successfully"},
    {"DELETE /restart", "200 OK", "scheduled restart deleted"},
    {"DELETE /switchover", "200 OK", "scheduled switchover deleted"},
    {"POST /reload", "202 Accepted", "reload scheduled"},
    {"POST /switchover", "200 OK", "Successfully switched over to \"n2\""},
    {"GET /explain", "200 OK",
     "{\"name\":\"n1\",\"decisions\":[{\"time\":\"2026-11-24 "
     "10:00:00\",\"rule\":\"lease_lost\",\"reason\":\"held by n2\","
     "\"plan\":\"rule leader/lease_lost\\nbecause held by "
     "n2\\ndemote\\nwait\\n\",\"outcome\":\"done\",\"repeats\":0,\"snapshot\":"
     "\"now 1\\nself n1\\n\"},{\"time\":\"2026-11-24 "
     "10:00:01\",\"rule\":\"healthy\",\"reason\":\"all is well\",\"plan\":"
     "\"rule a\\nbecause b\\nwait\\n\",\"repeats\":7}],"
     "\"logical_slots\":[{\"name\":\"app\",\"fault\":\"it is not made yet\"}],"
     "\"copy\":{\"percent\":18,\"bytes\":1237319680,\"total_bytes\":6870269952}}"},
    {"GET /patroni", "200 OK", "{\"server_version\":150004,\"patroni\":{\"version\":\"4.1.4\"}}"},
    {"", "404 Not Found", ""},
};

/* More than a client of ours takes. */
static void answer_without_end(int fd)
{
    static const char piece[65536];
    size_t sent = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    dprintf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while (sent <= CLI_REPLY_BYTES_MAX && write(fd, piece, sizeof piece) > 0) {
        sent += sizeof piece;
    }
}

static void answer(int fd, const char *request)
{
    const struct answer *one = answers;
    if (strstr(request, "\"candidate\":\"n2\",\"leader\":\"n1\",\"scheduled_at\"") != NULL ||
        strstr(request, "\"timeout\":\"9\"") != NULL) {
        answer_without_end(fd);
        return;
    }
    while (strstr(request, one->request) == NULL) {
        one++;
    }
    dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", one->status,
            strlen(one->body), one->body);
}

static void rest_process(int listener)
{
    for (;;) {
        char request[4096];
        size_t len = 0;
        int fd = accept(listener, NULL, NULL);
        while (len < sizeof(request) - 1) {
            ssize_t got = read(fd, request + len, sizeof(request) - 1 - len);
            if (got <= 0) {
                break;
            }
            len += (size_t)got;
            request[len] = '\0';
            const char *body = strstr(request, "\r\n\r\n");
            if (body != NULL && (request[0] != 'P' || strchr(body, '}') != NULL)) {
                break;
            }
        }
        request[len] = '\0';
        FILE *log = fopen(world.request, "w");
        fputs(request, log);
        fclose(log);
        answer(fd, request);
        close(fd);
    }
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* --- running a verb ------------------------------------------------------------------------------
 */

static void slurp(FILE *file, char *ret_text)
{
    rewind(file);
    size_t len = fread(ret_text, 1, OUTPUT_BYTES - 1, file);
    ret_text[len] = '\0';
    fclose(file);
}

static int run_with(const char *input, const char **argv)
{
    FILE *in = tmpfile();
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    int saved[3] = {dup(0), dup(1), dup(2)};
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    fputs(input, in);
    rewind(in);
    fflush(stdout);
    fflush(stderr);
    dup2(fileno(in), 0);
    dup2(fileno(out), 1);
    dup2(fileno(err), 2);
    clearerr(stdin);
    __fpurge(stdin); /* what an earlier run left unread */
    int status = cli_main(argc, (char **)argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    fclose(in);
    slurp(out, world.out);
    slurp(err, world.err);
    return status;
}

#define RUN(...) run_with("", (const char *[]){"pgquorum", "-c", world.file, __VA_ARGS__, NULL})
#define RUN_ANSWERING(input, ...) \
    run_with(input, (const char *[]){"pgquorum", "-c", world.file, __VA_ARGS__, NULL})

static void says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        fail_msg("'%s' is not in:\n%s", words, text);
    }
}

/* What was printed, without the table of members before it. */
static inline const char *below_table(void)
{
    const char *at = world.out;
    while (*at == '+' || *at == '|') {
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    assert_true(at > world.out);
    return at;
}

static void put_in(const char *cluster, const char *key, const char *value)
{
    struct cli_session *session = NULL;
    struct error err = {0};
    assert_int_equal(cli_session_open(world.file, NULL, &session, &err), 0);
    if (cli_session_put(session, cluster, key, value, DCS_ANY, &err) != 0) {
        fail_msg("%s", err.text);
    }
    cli_session_close(session);
}

static void put(const char *key, const char *value)
{
    put_in("batman", key, value);
}

static char *get_from(const char *cluster, const char *key)
{
    struct cli_session *session = NULL;
    struct dcs_view *view = NULL;
    struct error err = {0};
    assert_int_equal(cli_session_open(world.file, NULL, &session, &err), 0);
    assert_int_equal(cli_session_read(session, cluster, &view, &err), 0);
    char *value = mem_strdup(cluster_doc_text(view, key));
    dcs_view_unref(view);
    cli_session_close(session);
    return value;
}

static inline char *get(const char *key)
{
    return get_from("batman", key);
}

static void put_member(const char *name, const char *role, int port)
{
    char key[64];
    char value[256];
    snprintf(key, sizeof(key), "members/%s", name);
    snprintf(value, sizeof(value),
             "{\"conn_url\":\"postgres://127.0.0.1:5432/postgres\",\"api_url\":\"http://"
             "127.0.0.1:%d/patroni\",\"state\":"
             "\"running\",\"role\":\"%s\"}",
             port, role);
    put(key, value);
}

static void write_file_of(const char *password, int partner)
{
    FILE *file = fopen(world.file, "w");
    fprintf(file,
            "scope: batman\nname: n1\nrestapi: {listen: '127.0.0.1:%d'}\nraft: {self_addr: "
            "'127.0.0.1:%d', partner_addrs: '127.0.0.1:%d', password: %s}\n",
            world.rest_port, world.raft_port, partner, password);
    fclose(file);
}

static void write_file(const char *password)
{
    write_file_of(password, world.raft_port); /* itself alone */
}

/* Anew, on the directory that is there. */
static void start_raft(bool witness)
{
    if (world.raft > 0) {
        kill(world.raft, SIGKILL);
        waitpid(world.raft, NULL, 0);
    }
    world.raft = fork_in_test();
    if (world.raft == 0) {
        raft_process("raft", world.raft_port, witness);
    }
    for (int i = 0; i < START_TRIES; i++) {
        if (RUN("raft", "status") == 0 && strstr(world.out, "Leader") != NULL) {
            return;
        }
        poll(NULL, 0, 50);
    }
    fail_msg("the group does not start: %s%s", world.out, world.err);
}

static int start(void **state)
{
    (void)state;
    scratch_make(world.directory, sizeof world.directory, "/tmp", "cli");
    snprintf(world.file, sizeof(world.file), "%s/c.yml", world.directory);
    snprintf(world.request, sizeof(world.request), "%s/request", world.directory);
    world.raft_port = free_port();
    world.rest_port = free_port();
    write_file("secret");
    start_raft(false);
    int listener = listen_on(world.rest_port);
    world.rest = fork_in_test();
    if (world.rest == 0) {
        rest_process(listener);
    }
    close(listener);
    put("config", "{\"ttl\":30,\"loop_wait\":10}");
    put("initialize", "7277694203142172922");
    put("leader", "n1");
    put("history", "[[1,25165984,\"no recovery target "
                   "specified\",\"2026-11-24T10:00:00+00:00\",\"n1\"],[2,5,\"x\"]]");
    put_member("n1", "primary", world.rest_port);
    put_member("n2", "replica", world.rest_port);
    put_member("n3", "replica", world.rest_port);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    kill(world.raft, SIGKILL);
    kill(world.rest, SIGKILL);
    waitpid(world.raft, NULL, 0);
    waitpid(world.rest, NULL, 0);
    snprintf(command, sizeof(command), "rm -rf %s", world.directory);
    return system(command);
}

#endif
