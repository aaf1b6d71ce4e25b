/* A command's requests to a member's REST interface: with which certificate, name and password. The
 * other side is the real HTTP server in a thread of its own. */
#include "agent/cli/cli_session.h"
#include "base/mem.h"
#include "base/net/http1.h"
#include "tests/harness/tls_files.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

static char dir[64];
static char url[64];
static char paths[8][96];
static uv_loop_t loop;
static uv_async_t stop;
static pthread_t thread;
static struct http1_server *server;
static struct tls_context *context;
static struct config_ctl ctl;

/* --- the member ------------------------------------------------------------------------------- */

static void on_request(void *arg, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    const struct stream_peer *peer = http1_request_peer(exchange);
    struct span user = http1_request_header(exchange, "Authorization");
    char text[256];
    (void)arg;
    (void)request;
    (void)snprintf(text, sizeof text, "%.*s|%s", (int)user.len,
                   user.data == NULL ? "" : (const char *)user.data,
                   peer->is_verified ? peer->name : "");
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str(text)};
    http1_respond(exchange, &response);
}

static void on_stop(uv_async_t *handle)
{
    uv_close((uv_handle_t *)handle, NULL);
    http1_server_stop(server, NULL, NULL);
}

static void *run(void *arg)
{
    (void)arg;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

static const char *file(size_t slot, const char *name)
{
    (void)snprintf(paths[slot], sizeof paths[slot], "%s/%s", dir, name);
    return paths[slot];
}

/* `verify` NONE without certificates of the server's: plain HTTP. */
static void serve(bool tls, enum tls_verify verify)
{
    struct net_addr listen = {.host = "127.0.0.1"};
    struct tls_config config = {.certfile = file(0, "server.crt"),
                                .keyfile = file(1, "server.key"),
                                .cafile = file(2, "ca.crt"),
                                .verify = verify};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_async_init(&loop, &stop, on_stop), 0);
    assert_int_equal(http1_server_start(&loop, &listen, on_request, NULL, &server, NULL), 0);
    if (tls) {
        assert_int_equal(tls_context_new(&config, &context, NULL), 0);
        http1_server_set_tls(server, context);
        tls_context_free(context);
    }
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u/patroni", tls ? "https" : "http",
                   http1_server_port(server));
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    ctl = (struct config_ctl){0};
    cli_request_as(&ctl);
}

static void serve_no_more(void)
{
    (void)uv_async_send(&stop);
    (void)pthread_join(thread, NULL);
    assert_int_equal(uv_loop_close(&loop), 0);
    cli_request_as(NULL);
    cli_request_insecure(false);
}

/* --- the command ------------------------------------------------------------------------------ */

static void answers(const char *body, const char *text)
{
    struct cli_reply reply;
    struct error err = {0};
    if (cli_request(url, "/x", body, 20000, &reply, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(reply.text, text);
    mem_free(reply.text);
}

static void fails(const char *words)
{
    struct cli_reply reply;
    struct error err = {0};
    assert_int_not_equal(cli_request(url, "/x", NULL, 20000, &reply, &err), 0);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
}

static void a_certificate_has_to_be_good_unless_any_will_do(void **state)
{
    (void)state;
    serve(true, TLS_VERIFY_NONE);
    fails("give its authority as ctl.cacert, or take any certificate with -k");
    ctl.tls.cafile = file(3, "other.crt");
    fails("give its authority as ctl.cacert");
    ctl.tls.cafile = file(3, "none.crt");
    fails("ctl.cacert");
    ctl.tls.cafile = file(3, "ca.crt");
    answers(NULL, "|");
    ctl.tls.cafile = NULL;
    ctl.insecure = true;
    answers(NULL, "|");
    ctl.insecure = false;
    cli_request_insecure(true);
    answers(NULL, "|");
    serve_no_more();
}

static void what_changes_something_is_asked_with_name_and_password(void **state)
{
    struct cli_reply reply;
    (void)state;
    serve(false, TLS_VERIFY_NONE);
    ctl.username = "admin";
    ctl.password.hidden = "secret";
    answers(NULL, "|"); /* reading needs none */
    answers("{}", "Basic YWRtaW46c2VjcmV0|");
    assert_int_equal(cli_request_delete(url, "/x", 20000, &reply, NULL), 0);
    assert_string_equal(reply.text, "Basic YWRtaW46c2VjcmV0|");
    mem_free(reply.text);
    assert_int_equal(cli_request_patch(url, "/x", "{}", 20000, &reply, NULL), 0);
    assert_string_equal(reply.text, "Basic YWRtaW46c2VjcmV0|");
    mem_free(reply.text);
    serve_no_more();
}

static void a_certificate_of_ours_is_shown(void **state)
{
    (void)state;
    serve(true, TLS_VERIFY_REQUIRED);
    ctl.tls.cafile = file(3, "ca.crt");
    fails("asking https://");
    ctl.tls.certfile = file(4, "client.crt");
    ctl.tls.keyfile = file(5, "client.key");
    answers(NULL, "|a client");
    ctl.tls.keyfile = file(5, "none.key");
    fails("give ctl.certfile, ctl.keyfile and ctl.keyfile_password that go together");
    serve_no_more();
}

static void a_key_may_be_locked(void **state)
{
    (void)state;
    EVP_PKEY *key = tls_read_key(dir, "client");
    tls_write_key(dir, "locked", key, "open sesame");
    EVP_PKEY_free(key);
    serve(true, TLS_VERIFY_REQUIRED);
    ctl.tls.cafile = file(3, "ca.crt");
    ctl.tls.certfile = file(4, "client.crt");
    ctl.tls.keyfile = file(5, "locked.key");
    fails("give ctl.certfile, ctl.keyfile and ctl.keyfile_password that go together");
    ctl.tls.keyfile_password.hidden = "open sesame";
    answers(NULL, "|a client");
    serve_no_more();
}

static int make_files(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make_ca(dir, "other");
    tls_make(dir, &(struct tls_leaf){.file = "server", .name = "s", .alt = "IP:127.0.0.1"});
    tls_make(dir, &(struct tls_leaf){.file = "client", .name = "a client"});
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_dir_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_has_to_be_good_unless_any_will_do),
        cmocka_unit_test(what_changes_something_is_asked_with_name_and_password),
        cmocka_unit_test(a_certificate_of_ours_is_shown),
        cmocka_unit_test(a_key_may_be_locked),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
