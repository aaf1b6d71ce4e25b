/* The listener over TLS, in front of a group of one: certificates of clients, who of them needs no
 * name and password, and new certificates while it runs. */
#include "tests/unit/raft_engine/group_fixture.h"

#include "base/buf.h"
#include "base/net/tcp.h"
#include "base/net/tls.h"
#include "raft/etcd_server.h"
#include "tests/harness/tls_files.h"

#include <signal.h>

static struct rig rig;
static struct etcd_server *server;
static bool stopped;
static char warnings[2048];
static char notes[2048];

static struct raft_node *node_now(void *arg)
{
    (void)arg;
    return rig.members[0].closed ? NULL : raft_group_node(rig.members[0].group);
}

static void append(char *texts, size_t size, const char *text)
{
    size_t used = strlen(texts);
    (void)snprintf(texts + used, size - used, "%s\n", text);
}

static void on_server_warning(void *arg, const char *text)
{
    (void)arg;
    append(warnings, sizeof warnings, text);
}

static void on_server_note(void *arg, const char *text)
{
    (void)arg;
    append(notes, sizeof notes, text);
}

static void on_stopped(void *arg)
{
    (void)arg;
    stopped = true;
}

static bool has_stopped(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return stopped;
}

static void make(const char *file, const char *ca, const char *name)
{
    struct tls_leaf leaf = {.file = file, .ca = ca, .name = name, .alt = "IP:127.0.0.1"};
    tls_make(rig.dir, &leaf);
}

static void files_begin(void)
{
    rig_init(&rig, 1, "secret");
    warnings[0] = notes[0] = '\0';
    tls_make_ca(rig.dir, "ca");
    tls_make_ca(rig.dir, "stranger");
    make("here", "ca", "here");
    make("client", "ca", "root");
    make("foreign", "stranger", "root");
}

static int serve(bool asks, bool requires, struct error *err)
{
    char texts[4][160];
    (void)snprintf(texts[0], sizeof texts[0], "127.0.0.1:%u", free_port());
    (void)snprintf(texts[1], sizeof texts[1], "%s/here.crt", rig.dir);
    (void)snprintf(texts[2], sizeof texts[2], "%s/here.key", rig.dir);
    (void)snprintf(texts[3], sizeof texts[3], "%s/ca.crt", rig.dir);
    struct etcd_server_config config = {.listen = texts[0],
                                        .advertise = "https://127.0.0.1:2379",
                                        .certfile = texts[1],
                                        .keyfile = texts[2],
                                        .cafile = asks ? texts[3] : NULL,
                                        .client_cert_auth = requires,
                                        .username = "root",
                                        .password = "word",
                                        .election_timeout_ms = ELECTION_MS,
                                        .clock = clock_real(),
                                        .random = random_real(),
                                        .node = node_now,
                                        .on_warning = on_server_warning,
                                        .on_note = on_server_note};
    stopped = false;
    return etcd_server_start(&rig.loop, &config, &server, err);
}

static void end(void)
{
    etcd_server_stop(server, on_stopped, NULL);
    wait_for(&rig, has_stopped, NULL, 4000, "the listener has stopped");
    rig_free(&rig);
}

/* --- a client --------------------------------------------------------------------------------- */

static struct {
    struct stream *stream;
    struct buf got;
    struct error err;
    bool connected;
    bool ended;
    bool closed;
} client;

static void on_connected(void *arg, int rc, struct stream *stream, const struct error *err)
{
    (void)arg;
    (void)err;
    assert_int_equal(rc, 0);
    client.stream = stream;
    client.connected = true;
}

static void on_read(void *arg, struct span bytes)
{
    (void)arg;
    buf_put_span(&client.got, bytes);
}

static void on_end(void *arg, int rc, const struct error *err)
{
    (void)arg;
    (void)rc;
    client.ended = true;
    client.err = *err;
}

static void on_closed(void *arg)
{
    (void)arg;
    client.closed = true;
}

static bool is_true(struct rig *of, void *fact)
{
    (void)of;
    return *(bool *)fact;
}

static struct tls_context *context_of(const char *leaf)
{
    struct tls_config config = {.certfile = leaf != NULL ? tls_path(rig.dir, leaf, ".crt") : NULL,
                                .keyfile = leaf != NULL ? tls_path(rig.dir, leaf, ".key") : NULL,
                                .cafile = tls_path(rig.dir, "ca", ".crt"),
                                .verify = TLS_VERIFY_REQUIRED};
    struct tls_context *context = NULL;
    assert_int_equal(tls_context_new(&config, &context, NULL), 0);
    return context;
}

/* The whole answer to a request of HTTP/1.0; "" where there was none, then client.err says why. */
static const char *ask(const char *leaf, const char *path, const char *body, const char *headers)
{
    static const struct stream_events events = {.on_read = on_read, .on_end = on_end};
    struct tcp_connect_options options = {.to = {.host = "127.0.0.1"}, .timeout_ms = 5000};
    struct tcp_connect *connect = NULL;
    char request[1024];
    buf_free(&client.got);
    memset(&client, 0, sizeof client);
    options.to.port = etcd_server_port(server);
    assert_int_equal(tcp_connect_start(&rig.loop, &options, on_connected, NULL, &connect, NULL), 0);
    wait_for(&rig, is_true, &client.connected, 5000, "connected");
    struct tls_options tls = {.loop = &rig.loop, .context = context_of(leaf), .host = "127.0.0.1"};
    client.stream = tls_stream_new(client.stream, &tls);
    tls_context_free(tls.context);
    stream_attach(client.stream, &events, NULL);
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.0\r\n%sContent-Length: %zu\r\n\r\n%s",
                   body[0] != '\0' ? "POST" : "GET", path, headers, strlen(body), body);
    assert_int_equal(stream_read_start(client.stream, NULL), 0);
    assert_int_equal(stream_write(client.stream, span_str(request), NULL, NULL, NULL), 0);
    wait_for(&rig, is_true, &client.ended, 8000, "an answer, and its end");
    stream_close(client.stream, on_closed, NULL);
    wait_for(&rig, is_true, &client.closed, 5000, "closed");
    return buf_str(&client.got);
}

static bool is_ok(const char *answer)
{
    return strncmp(answer, "HTTP/1.0 200 ", 13) == 0;
}

static void on_change_of_group(void *arg)
{
    (void)arg;
    if (server != NULL && !stopped) {
        etcd_server_on_change(server);
    }
}

static bool serves(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return strstr(ask("client", "/health", "", ""), "{\"health\":\"true\"") != NULL;
}

static void begin(bool asks, bool requires)
{
    struct error err = {0};
    files_begin();
    server = NULL;
    rig.members[0].changed = on_change_of_group;
    member_start(&rig, 0);
    if (serve(asks, requires, &err) != 0) {
        fail_msg("%s", err.text);
    }
    wait_for(&rig, serves, NULL, 10000, "it serves");
}

static const char range[] = "{\"key\":\"L2E=\"}";

/* --- tests ------------------------------------------------------------------------------------ */

static void a_good_certificate_stands_for_name_and_password(void **state)
{
    (void)state;
    begin(true, false);
    assert_true(is_ok(ask("client", "/v3/kv/range", range, "")));
    assert_int_equal(client.err.code, ERR_CLOSED); /* in order */
    assert_non_null(strstr(ask(NULL, "/v3/kv/range", range, ""), "user name is empty"));
    assert_false(is_ok(buf_str(&client.got)));
    assert_int_equal(strncmp(ask(NULL, "/v2/keys/", "", ""), "HTTP/1.0 401 ", 13), 0);
    assert_true(is_ok(ask("client", "/v2/keys/", "", "")));
    assert_true(is_ok(ask(NULL, "/v2/keys/", "", "Authorization: Basic cm9vdDp3b3Jk\r\n")));
    assert_string_equal(ask("foreign", "/v2/keys/", "", ""), "");
    assert_int_equal(client.err.code, ERR_PERMISSION); /* none is better than a bad one */
    end();
}

static void where_one_is_required_nobody_connects_without(void **state)
{
    (void)state;
    begin(true, true);
    assert_string_equal(ask(NULL, "/version", "", ""), "");
    assert_int_equal(client.err.code, ERR_PERMISSION);
    assert_true(is_ok(ask("client", "/v2/keys/", "", "")));
    end();
}

static void where_none_is_asked_for_it_counts_nothing(void **state)
{
    (void)state;
    begin(false, false);
    assert_true(is_ok(ask(NULL, "/version", "", "")));
    assert_int_equal(strncmp(ask("client", "/v2/keys/", "", ""), "HTTP/1.0 401 ", 13), 0);
    end();
}

static bool is_noted(struct rig *of, void *text)
{
    (void)of;
    return strstr(notes, text) != NULL || strstr(warnings, text) != NULL;
}

static void await_noted(const char *text)
{
    wait_for(&rig, is_noted, (void *)(uintptr_t)text, 10000, text);
}

static void new_certificates_are_used_and_bad_ones_are_not(void **state)
{
    (void)state;
    begin(true, true);
    make("new", "ca", "another");
    tls_move(rig.dir, "new", "here");
    etcd_server_reload(server);
    await_noted("certificates were read again, 'another' is valid until 20");
    assert_true(is_ok(ask("client", "/version", "", "")));
    tls_write_text(rig.dir, "here.key", "");
    etcd_server_reload(server);
    await_noted("the certificates that were read before stay in use: key file '");
    assert_true(is_ok(ask("client", "/version", "", "")));
    end();
}

static void files_that_are_no_good_end_the_start(void **state)
{
    struct error err = {0};
    (void)state;
    files_begin();
    tls_write_text(rig.dir, "here.crt", "");
    assert_int_equal(serve(true, true, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "etcd_server: certificate file '"));
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_stands_for_name_and_password),
        cmocka_unit_test(where_one_is_required_nobody_connects_without),
        cmocka_unit_test(where_none_is_asked_for_it_counts_nothing),
        cmocka_unit_test(new_certificates_are_used_and_bad_ones_are_not),
        cmocka_unit_test(files_that_are_no_good_end_the_start),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&client.got);
    return failed;
}
