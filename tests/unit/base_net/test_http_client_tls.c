/* The HTTP client over TLS: whom it believes, what it shows, and what a server's leave does. The
 * server is OpenSSL's plain, waiting form on a thread. */
#include "http_fixture.h"
#include "tests/harness/scratch.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/wait.h>

/* Its -CA is OpenSSL 3. */
static const char make_files[] =
    "set -e; cd \"$0\"; exec 2>make.log\n"
    "key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'\n"
    "for ca in ca stranger; do\n"
    "  openssl req -x509 $key -keyout $ca.key -out $ca.pem -subj /CN=$ca\n"
    "done\n"
    "leaf() { openssl req -x509 $key -CA ca.pem -CAkey ca.key -keyout $1.key -out $1.pem \\\n"
    "  -subj /CN=$1 -addext subjectAltName=$2; }\n"
    "leaf here IP:127.0.0.1,DNS:localhost; leaf other DNS:other.test; leaf client DNS:client.test\n"
    "cat client.pem client.key > both.pem\n"
    "openssl pkey -in client.key -aes128 -passout pass:x -out locked.key\n";

static char directory[64];

/* One of a few at a time; each stays until the test's end. */
static const char *file(const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static int run(const char *script_text)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("sh", "sh", "-c", script_text, directory, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static int files_make(void **state)
{
    (void)state;
    scratch_make(directory, sizeof directory, "/tmp", "tls");
    return run(make_files) != 0;
}

static int files_remove(void **state)
{
    (void)state;
    return run("rm -rf -- \"$0\"");
}

/* --- server ----------------------------------------------------------------------------------- */

enum tls_way { TLS_KEEP, TLS_LEAVE, TLS_CUT }; /* after an answer */

static struct {
    SSL_CTX *ctx;
    int fd;
    enum tls_way way;
    pthread_t thread;
    int connections; /* agreed on */
    int requests;
    int ends; /* connections that are over */
} tls;

static bool answer_one(SSL *ssl)
{
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    char bytes[4096];
    size_t len = 0;
    while (memmem(bytes, len, "\r\n\r\n", 4) == NULL) {
        int count = SSL_read(ssl, bytes + len, (int)(sizeof bytes - len));
        if (count <= 0) {
            return false;
        }
        len += (size_t)count;
    }
    (void)__atomic_add_fetch(&tls.requests, 1, __ATOMIC_SEQ_CST);
    const char *answer = tls.way == TLS_CUT ? cut : whole;
    return SSL_write(ssl, answer, (int)strlen(answer)) > 0 && tls.way == TLS_KEEP;
}

static void *tls_serve(void *arg)
{
    (void)arg;
    for (int fd = accept(tls.fd, NULL, NULL); fd >= 0; fd = accept(tls.fd, NULL, NULL)) {
        SSL *ssl = SSL_new(tls.ctx);
        if (SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
            (void)__atomic_add_fetch(&tls.connections, 1, __ATOMIC_SEQ_CST);
            while (answer_one(ssl)) {
            }
            if (tls.way == TLS_LEAVE) {
                (void)SSL_shutdown(ssl);
            }
        }
        ERR_clear_error();
        SSL_free(ssl);
        (void)close(fd);
        (void)__atomic_add_fetch(&tls.ends, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void tls_open(const char *name, bool wants_client, enum tls_way way)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char file_name[64];

    memset(&tls, 0, sizeof tls);
    tls.way = way;
    tls.ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(tls.ctx);
    (void)snprintf(file_name, sizeof file_name, "%s.pem", name);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(tls.ctx, file(file_name)), 1);
    (void)snprintf(file_name, sizeof file_name, "%s.key", name);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls.ctx, file(file_name), SSL_FILETYPE_PEM), 1);
    if (wants_client) {
        assert_int_equal(SSL_CTX_load_verify_locations(tls.ctx, file("ca.pem"), NULL), 1);
        SSL_CTX_set_verify(tls.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(SSL_CTX_set_session_id_context(tls.ctx, (const uint8_t *)"t", 1), 1);
    }
    tls.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(tls.fd >= 0);
    assert_int_equal(bind(tls.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(tls.fd, 16), 0);
    assert_int_equal(getsockname(tls.fd, (struct sockaddr *)&address, &len), 0);
    server_port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&tls.thread, NULL, tls_serve, NULL), 0);
}

/* The client has to be gone before: the thread serves its connection. */
static void tls_close(void)
{
    if (client != NULL) {
        int closes = client_closes;
        client_free();
        RUN_UNTIL(client_closes > closes);
    }
    (void)shutdown(tls.fd, SHUT_RDWR);
    assert_int_equal(pthread_join(tls.thread, NULL), 0);
    (void)close(tls.fd);
    SSL_CTX_free(tls.ctx);
}

static struct http_client_request put(const char *host)
{
    static char url[128];
    (void)snprintf(url, sizeof url, "https://%s:%u/", host, server_port);
    return (struct http_client_request){.method = "PUT", .url = url, .timeout_ms = LONG_MS};
}

/* A client of that configuration puts once. */
static void put_with(struct call *call, const struct http_client_config *config)
{
    struct http_client_request request = put("127.0.0.1");
    client_open_anew(config);
    call_run(call, &request);
}

static void sent_nothing(const struct call *call)
{
    if (call->rc != ERR_UNAVAILABLE) {
        fail_msg("%s: %s", err_name(call->rc), call->err.text);
    }
    assert_false(call->sent);
    assert_non_null(strstr(call->err.text, "127.0.0.1:"));
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_server_of_the_ca_is_believed_and_its_connection_used_again(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", false, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem")});
    for (int i = 0; i < 3; i++) {
        struct http_client_request request = put("127.0.0.1");
        call_run(&call, &request);
        assert_int_equal(call.rc, 0);
        assert_true(body_is(&call, "ok"));
    }
    assert_int_equal(tls.connections, 1);
    assert_int_equal(tls.requests, 4);
    struct http_client_request by_name = put("localhost");
    tls_close();
    tls_open("here", false, TLS_KEEP);
    by_name = put("localhost");
    client_open(&(struct http_client_config){.tls_ca = file("ca.pem")});
    call_run(&call, &by_name);
    assert_int_equal(call.rc, 0);
    tls_close();
    buf_free(&call.body);
}

static void a_server_of_another_ca_is_sent_nothing(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", false, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("stranger.pem")});
    sent_nothing(&call);
    put_with(&call, &(struct http_client_config){0}); /* the system's */
    sent_nothing(&call);
    tls_close();
    assert_int_equal(tls.requests, 0);
}

static void a_server_of_another_name_is_sent_nothing(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("other", false, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem")});
    sent_nothing(&call);
    assert_int_equal(tls.requests, 0);
    put_with(&call, &(struct http_client_config){.tls_no_verify = true});
    assert_int_equal(call.rc, 0);
    tls_close();
    buf_free(&call.body);
}

static void a_client_certificate_is_shown(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", true, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem"),
                                                 .tls_cert = file("client.pem"),
                                                 .tls_key = file("client.key")});
    assert_int_equal(call.rc, 0);
    put_with(&call,
             &(struct http_client_config){.tls_ca = file("ca.pem"), .tls_cert = file("both.pem")});
    assert_int_equal(call.rc, 0);
    tls_close();
    assert_int_equal(tls.requests, 2);
    buf_free(&call.body);
}

/* TLS 1.2 says so in the handshake, 1.3 when the request is on its way. */
static void a_client_certificate_that_is_missing_is_told_by_the_server(void **state)
{
    struct call call = {0};
    (void)state;
    for (int old = 0; old <= 1; old++) {
        tls_open("here", true, TLS_KEEP);
        if (old) {
            assert_int_equal(SSL_CTX_set_max_proto_version(tls.ctx, TLS1_2_VERSION), 1);
        }
        if (client == NULL) {
            client_open(&(struct http_client_config){0});
        }
        put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem")});
        assert_int_equal(call.rc, old ? ERR_UNAVAILABLE : ERR_UNKNOWN);
        tls_close();
        assert_int_equal(tls.requests, 0);
    }
}

static void files_that_cannot_be_read_are_named(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", false, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("none.pem")});
    sent_nothing(&call);
    assert_non_null(strstr(call.err.text, "none.pem"));
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem"),
                                                 .tls_cert = file("client.pem"),
                                                 .tls_key = file("none.key")});
    sent_nothing(&call);
    assert_non_null(strstr(call.err.text, "none.key"));
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem"),
                                                 .tls_cert = file("client.pem"),
                                                 .tls_key = file("here.key")}); /* not its key */
    sent_nothing(&call);
    tls_close();
}

/* OpenSSL would ask at the terminal, or on standard input where there is none, and wait. */
static void nobody_is_asked_for_the_passphrase_of_a_key(void **state)
{
    struct call call = {0};
    int ends[2];
    int input = dup(STDIN_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x\n", 2), 2);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    tls_open("here", false, TLS_KEEP);
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem"),
                                                 .tls_cert = file("client.pem"),
                                                 .tls_key = file("locked.key")});
    tls_close();
    assert_int_equal(input >= 0 ? dup2(input, STDIN_FILENO) : close(STDIN_FILENO), 0);
    (void)close(input);
    (void)close(ends[0]);
    (void)close(ends[1]);
    sent_nothing(&call);
}

/* The close notify makes the socket readable, and Debian 12's libcurl believe in it. */
static void a_connection_that_the_server_left_is_replaced(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", false, TLS_LEAVE);
    client_open_anew(&(struct http_client_config){.tls_ca = file("ca.pem")});
    for (int i = 1; i <= 3; i++) {
        struct http_client_request request = put("127.0.0.1");
        call_run(&call, &request);
        if (call.rc != 0) {
            fail_msg("%d: %s", i, call.err.text);
        }
        RUN_UNTIL(__atomic_load_n(&tls.ends, __ATOMIC_SEQ_CST) == i);
    }
    tls_close();
    assert_int_equal(tls.requests, 3);
    assert_int_equal(tls.connections, 3);
    buf_free(&call.body);
}

static void an_answer_cut_short_leaves_the_outcome_unknown(void **state)
{
    struct call call = {0};
    (void)state;
    tls_open("here", false, TLS_CUT);
    put_with(&call, &(struct http_client_config){.tls_ca = file("ca.pem")});
    assert_int_equal(call.rc, ERR_UNKNOWN);
    tls_close();
}

static void plain_http_is_no_tls(void **state)
{
    struct call call = {0};
    struct http_client_request request = {.timeout_ms = LONG_MS};
    (void)state;
    tls_open("here", false, TLS_KEEP);
    request.url = url_of("/");
    call_run(&call, &request);
    assert_int_equal(call.rc, ERR_UNKNOWN);
    tls_close();
    assert_int_equal(tls.connections, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_server_of_the_ca_is_believed_and_its_connection_used_again),
        HTTP_TEST(a_server_of_another_ca_is_sent_nothing),
        HTTP_TEST(a_server_of_another_name_is_sent_nothing),
        HTTP_TEST(a_client_certificate_is_shown),
        HTTP_TEST(a_client_certificate_that_is_missing_is_told_by_the_server),
        HTTP_TEST(files_that_cannot_be_read_are_named),
        HTTP_TEST(nobody_is_asked_for_the_passphrase_of_a_key),
        HTTP_TEST(a_connection_that_the_server_left_is_replaced),
        HTTP_TEST(an_answer_cut_short_leaves_the_outcome_unknown),
        HTTP_TEST(plain_http_is_no_tls),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
