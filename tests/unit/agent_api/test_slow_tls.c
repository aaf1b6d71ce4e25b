/* As test_slow_clients, where the port speaks TLS: those who stop within the handshake, those who
 * speak anything but TLS, and those who are through it. */
#include "tests/harness/tls_files.h"
#include "tests/unit/agent_api/slow_clients.h"

static char dir[64];
static struct tls_context *context;
static struct api_security security;
static char hello[4096]; /* a handshake's first message, as it is sent */
static size_t hello_len;

/* --- the server's side ------------------------------------------------------------------------ */

static void secure_now(void *arg)
{
    api_server_secure(rig.server, arg);
}

static int start_tls(void **state)
{
    static const char *const protocols[] = HTTP1_PROTOCOLS;
    struct error err;
    struct tls_config config = {.certfile = tls_path(dir, "server", ".crt"),
                                .keyfile = tls_path(dir, "server", ".key"),
                                .verify = TLS_VERIFY_NONE,
                                .protocols = protocols,
                                .protocol_count = HTTP1_PROTOCOL_COUNT};
    if (slow_start(state) != 0 || tls_context_new(&config, &context, &err) != 0) {
        return -1;
    }
    security = (struct api_security){.tls = context};
    rig_call(secure_now, &security);
    return 0;
}

static int finish_tls(void **state)
{
    int rc = slow_finish(state);
    tls_context_free(context);
    return rc;
}

static void take_hello(void)
{
    SSL *tls = SSL_new(attackers.tls);
    SSL_set_bio(tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    (void)SSL_connect(tls);
    int len = BIO_read(SSL_get_wbio(tls), hello, (int)sizeof hello);
    assert_true(len > 100 && len < (int)sizeof hello);
    hello_len = (size_t)len;
    SSL_free(tls);
}

static int make(void **state)
{
    static const struct tls_leaf server = {
        .file = "server", .name = "server", .alt = "IP:127.0.0.1"};
    (void)state;
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make(dir, &server);
    attackers.tls = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_mode(attackers.tls,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    take_hello();
    return 0;
}

static int take_away(void **state)
{
    (void)state;
    SSL_CTX_free(attackers.tls);
    tls_dir_remove(dir);
    return 0;
}

/* --- within the handshake --------------------------------------------------------------------- */

static void silence_instead_of_a_handshake(void **state)
{
    static const struct attack attack = {.opening = "", .plain = true, .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void a_first_message_that_comes_byte_by_byte(void **state)
{
    struct attack attack = {.opening = hello,
                            .opening_len = 40,
                            .piece = hello + 40,
                            .piece_len = 1,
                            .plain = true,
                            .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

/* The dear part of it is done for them. */
static void silence_after_the_first_message(void **state)
{
    struct attack attack = {.opening = hello,
                            .opening_len = hello_len,
                            .plain = true,
                            .restless = true,
                            .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void a_flood_instead_of_the_second_message(void **state)
{
    struct attack attack = {.opening = hello,
                            .opening_len = hello_len,
                            .piece = slow_filler,
                            .piece_len = 4096,
                            .plain = true,
                            .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void plain_text_without_end(void **state)
{
    static const struct attack attack = {.opening = "GET /primary HTTP/1.1\r\nX: ",
                                         .piece = slow_filler,
                                         .piece_len = 4096,
                                         .plain = true,
                                         .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

/* --- behind it -------------------------------------------------------------------------------- */

static void silence_after_the_handshake(void **state)
{
    static const struct attack attack = {.opening = "", .restless = true, .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void heads_that_come_byte_by_byte(void **state)
{
    (void)state;
    expect_health_under(&slow_heads);
}

static void large_answers_that_nobody_reads(void **state)
{
    (void)state;
    expect_health_under(&unread_metrics);
}

static void bodies_of_a_mebibyte_that_do_not_end(void **state)
{
    (void)state;
    expect_health_under(&endless_bodies);
}

int main(void)
{
#define OVER_TLS(name) cmocka_unit_test_setup_teardown(name, start_tls, finish_tls)
    const struct CMUnitTest tests[] = {
        OVER_TLS(silence_instead_of_a_handshake),
        OVER_TLS(a_first_message_that_comes_byte_by_byte),
        OVER_TLS(silence_after_the_first_message),
        OVER_TLS(a_flood_instead_of_the_second_message),
        OVER_TLS(plain_text_without_end),
        OVER_TLS(silence_after_the_handshake),
        OVER_TLS(heads_that_come_byte_by_byte),
        OVER_TLS(large_answers_that_nobody_reads),
        OVER_TLS(bodies_of_a_mebibyte_that_do_not_end),
    };
    return cmocka_run_group_tests(tests, make, take_away);
}
