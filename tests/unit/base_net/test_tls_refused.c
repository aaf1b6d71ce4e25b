/* Whom TLS believes: certificates of every bad kind, in either direction, and what each side is
 * told. */
#include "tests/unit/base_net/tls_fixture.h"

static struct end *client;
static struct end *server;

struct side {
    const char *leaf; /* its certificate; NULL = none */
    const char *ca;   /* what it believes; NULL = nothing is asked */
    const char *host; /* of a client */
    enum tls_verify verify;
};

static void meet(const struct side *caller, const struct side *called, int version)
{
    struct tls_context *caller_context = context_of(
        caller->leaf, caller->ca, caller->ca != NULL ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE);
    struct tls_context *called_context =
        context_of(called->leaf, called->ca,
                   called->ca == NULL ? TLS_VERIFY_NONE
                                      : (called->verify != TLS_VERIFY_NONE ? called->verify
                                                                           : TLS_VERIFY_REQUIRED));
    ends_meet((struct tls_options){.loop = &loop, .context = caller_context, .host = caller->host},
              (struct tls_options){.loop = &loop, .context = called_context}, &client, &server);
    assert_int_equal(SSL_set_max_proto_version(ssl_of(server), version), 1);
    tls_context_free(caller_context); /* the streams have a hold on them */
    tls_context_free(called_context);
    end_read(client);
    end_read(server);
    assert_int_equal(end_write(client, span_str("hello")), 0);
}

static void assert_says(const struct end *end, const char *text)
{
    if (end->err.code != ERR_PERMISSION || strstr(end->err.text, text) == NULL) {
        fail_msg("expected '%s', got %d '%s'", text, end->err.code, end->err.text);
    }
}

static void assert_refused(const struct side *caller, const struct side *called,
                           const char *client_says, const char *server_says)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        meet(caller, called, version);
        TURN_UNTIL(client->ends > 0 && server->ends > 0);
        assert_says(client, client_says);
        assert_says(server, server_says);
        assert_int_equal(server->got.len, 0);
        assert_false(stream_peer(server->stream)->is_verified);
        wires_part(client, server);
    }
}

static void assert_welcome(const struct side *caller, const struct side *called,
                           const char *client_name)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        meet(caller, called, version);
        TURN_UNTIL(server->got.len == 5 || server->ends + client->ends > 0);
        if (server->got.len != 5) {
            fail_msg("client: %s\nserver: %s", client->err.text, server->err.text);
        }
        assert_string_equal(stream_peer(server->stream)->name, client_name);
        assert_int_equal(stream_peer(server->stream)->is_verified, client_name[0] != '\0');
        wires_part(client, server);
    }
}

static const struct side good = {.leaf = "here", .ca = "ca"};

static void members_of_one_authority_take_one_another(void **state)
{
    (void)state;
    assert_welcome(&good, &good, "here");
}

static void an_authority_that_is_not_believed_is_refused(void **state)
{
    static const struct side foreign = {.leaf = "foreign", .ca = "ca"};
    (void)state;
    assert_refused(&good, &foreign,
                   "the certificate of the other side (foreign, localhost) is not "
                   "signed by an authority of '/tmp/",
                   "foreign.crt': no authority that the other side believes has signed it");
    assert_refused(&foreign, &good, "the other side refuses our certificate '/tmp/",
                   "the certificate of the other side (foreign, localhost) is not signed");
}

static void a_certificate_that_signed_itself_is_refused(void **state)
{
    static const struct side alone = {.leaf = "alone", .ca = "ca"};
    (void)state;
    assert_refused(&alone, &good, "the other side refuses our certificate",
                   "(alone) is not signed by an authority of");
}

static void an_expired_certificate_is_refused_with_its_date(void **state)
{
    static const struct side expired = {.leaf = "expired", .ca = "ca"};
    (void)state;
    assert_refused(&good, &expired, "(expired) has expired: it was valid until 20",
                   "expired.crt': it has expired, or is not valid yet");
    assert_refused(&expired, &good, "expired.crt': it has expired, or is not valid yet",
                   "(expired) has expired: it was valid until 20");
}

static void a_certificate_of_tomorrow_is_refused_with_its_date(void **state)
{
    static const struct side future = {.leaf = "future", .ca = "ca"};
    (void)state;
    assert_refused(&good, &future, "(future) is not valid yet: it will be from 20",
                   "future.crt': it is damaged, not valid yet");
    assert_refused(&future, &good, "future.crt': it is damaged, not valid yet",
                   "(future) is not valid yet: it will be from 20");
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    static const struct side other = {.leaf = "other", .ca = "ca"};
    static const struct side by_name = {.leaf = "here", .ca = "ca", .host = "localhost"};
    static const struct side by_address = {.leaf = "here", .ca = "ca", .host = "127.0.0.1"};
    static const struct side by_address_6 = {.leaf = "here", .ca = "ca", .host = "::1"};
    (void)state;
    assert_refused(
        &by_name, &other,
        "the certificate of the other side (other, other.test, *.wild.test, 10.9.8.7) is "
        "not for 'localhost'",
        "the other side refuses our certificate");
    assert_refused(&by_address, &other, "is not for '127.0.0.1'",
                   "the other side refuses our certificate");
    assert_refused(&by_address_6, &good, "is not for '::1'",
                   "the other side refuses our certificate");
}

static void a_certificate_for_the_name_that_was_called_is_taken(void **state)
{
    static const struct {
        const char *leaf;
        const char *host;
    } rows[] = {{"here", "localhost"},
                {"here", "127.0.0.1"},
                {"other", "other.test"},
                {"other", "10.9.8.7"},
                {"other", "a.wild.test"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct side caller = {.leaf = "here", .ca = "ca", .host = rows[i].host};
        struct side called = {.leaf = rows[i].leaf, .ca = "ca"};
        assert_welcome(&caller, &called, "here");
    }
}

static void a_client_without_a_certificate_is_refused_where_one_is_required(void **state)
{
    static const struct side bare = {.ca = "ca"};
    (void)state;
    meet(&bare, &good, TLS1_3_VERSION);
    TURN_UNTIL(client->ends > 0 && server->ends > 0);
    assert_says(server, "the other side has no certificate, and one of '/tmp/");
    assert_says(client, "the other side refuses us without a certificate: there is none, and the "
                        "other side requires one");
    wires_part(client, server);
    meet(&bare, &good, TLS1_2_VERSION); /* which has no word for it */
    TURN_UNTIL(client->ends > 0 && server->ends > 0);
    assert_says(server, "the other side has no certificate");
    assert_int_equal(client->err.code, ERR_REFUSED);
    assert_non_null(strstr(client->err.text, "the other side ended TLS: handshake failure"));
    wires_part(client, server);
}

static void a_client_without_a_certificate_is_welcome_where_it_is_optional(void **state)
{
    static const struct side bare = {.ca = "ca"};
    static const struct side foreign = {.leaf = "foreign", .ca = "ca"};
    static const struct side asks = {.leaf = "here", .ca = "ca", .verify = TLS_VERIFY_OPTIONAL};
    static const struct side silent = {.leaf = "here"};
    (void)state;
    assert_welcome(&bare, &asks, "");
    assert_welcome(&good, &asks, "here");
    assert_refused(&foreign, &asks, "the other side refuses our certificate",
                   "(foreign, localhost) is not signed");
    assert_welcome(&good, &silent, ""); /* not asked for */
    assert_welcome(&foreign, &silent, "");
}

static void a_client_that_asks_nothing_believes_everybody(void **state)
{
    static const struct side credulous = {.leaf = "here", .host = "nobody.test"};
    static const struct side expired = {.leaf = "expired", .ca = "ca"};
    (void)state;
    assert_welcome(&credulous, &expired, "here");
}

static void a_certificate_for_servers_is_none_for_clients(void **state)
{
    static const struct side serves = {.leaf = "serves", .ca = "ca"};
    (void)state;
    assert_welcome(&good, &serves, "here");
    assert_refused(&serves, &good, "the other side refuses our certificate",
                   "(serves) may not be used in this direction (extendedKeyUsage)");
}

static void a_chain_leads_to_the_authority(void **state)
{
    static const struct side chained = {.leaf = "chained", .ca = "ca"};
    static const struct side cut = {.leaf = "cut", .ca = "ca"};
    static const struct side believes_middle = {.leaf = "here", .ca = "middle"};
    (void)state;
    assert_welcome(&chained, &good, "chained");
    assert_refused(&cut, &good, "the other side refuses our certificate", "(cut) is not signed by");
    assert_welcome(&cut, &(struct side){.leaf = "cut", .ca = "middle"}, "cut");
    assert_refused(&good, &believes_middle, "the other side refuses our certificate",
                   "(here, localhost, 127.0.0.1) is not signed by");
}

static void two_authorities_in_one_file_are_both_believed(void **state)
{
    static const struct side either = {.leaf = "foreign", .ca = "two"};
    static const struct side foreign = {.leaf = "foreign", .ca = "two"};
    static const struct side known = {.leaf = "here", .ca = "two"};
    (void)state;
    assert_welcome(&foreign, &either, "foreign");
    assert_welcome(&known, &either, "here");
}

static void who_was_revoked_is_refused(void **state)
{
    /* Also when the list is too old, and when it is of a clock that is ahead of ours. */
    static const char *const lists[] = {"lists", "old_lists", "early_lists"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct side called = {.leaf = "here", .ca = lists[i]};
        struct side revoked = {.leaf = "revoked", .ca = "ca"};
        assert_refused(&revoked, &called, "revoked.crt': it was revoked",
                       "the certificate of the other side (revoked) was revoked");
        assert_welcome(&good, &called, "here");
    }
    static const struct side without_list = {.leaf = "foreign", .ca = "one_has_lists"};
    assert_welcome(&without_list, &without_list, "foreign"); /* its authority has none */
}

static void who_was_signed_by_a_revoked_authority_is_refused(void **state)
{
    static const struct side called = {.leaf = "here", .ca = "fallen_lists"};
    static const struct side fallen = {.leaf = "of_fallen", .ca = "ca"};
    static const struct side believes_middle = {.leaf = "cut", .ca = "middle_has_lists"};
    (void)state;
    assert_refused(&fallen, &called, "of_fallen.crt': it was revoked",
                   "the certificate of its authority (fallen) was revoked");
    assert_welcome(&good, &called, "here");
    assert_welcome(&fallen, &good, "of_fallen"); /* here it is in no list */
    /* Who stands in the file is believed, although nobody can tell who signed the list of it. */
    assert_welcome(&believes_middle, &believes_middle, "cut");
}

static void the_other_sides_names_can_be_asked(void **state)
{
    static const struct side other = {.leaf = "other", .ca = "ca"};
    char names[128];
    (void)state;
    meet(&good, &other, TLS1_3_VERSION);
    assert_false(tls_stream_peer_has(client->stream, "other")); /* not yet */
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(tls_stream_peer_names(client->stream, names, sizeof names),
                        "other, other.test, *.wild.test, 10.9.8.7");
    assert_true(tls_stream_peer_has(client->stream, "other"));
    assert_true(tls_stream_peer_has(client->stream, "other.test"));
    assert_true(tls_stream_peer_has(client->stream, "10.9.8.7"));
    assert_true(tls_stream_peer_has(client->stream, "x.wild.test"));
    assert_false(tls_stream_peer_has(client->stream, "othe"));
    assert_false(tls_stream_peer_has(client->stream, ""));
    assert_false(tls_stream_peer_has(client->stream, ".test")); /* OpenSSL: any name below it */
    assert_false(tls_stream_peer_has(client->stream, "10.9.8.8"));
    assert_true(tls_stream_peer_has(server->stream, "127.0.0.1"));
    assert_string_equal(tls_stream_peer_names(client->stream, names, 12), "other, othe");
    wires_part(client, server);
    meet(&(struct side){.leaf = "here"}, &other, TLS1_3_VERSION); /* believes without a look */
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_false(tls_stream_peer_has(client->stream, "other"));
    assert_string_equal(tls_stream_peer_names(client->stream, names, sizeof names), "");
    wires_part(client, server);
}

static void a_name_cannot_make_a_second_line(void **state)
{
    static const struct side odd = {.leaf = "odd", .ca = "ca"};
    char names[128];
    (void)state;
    meet(&odd, &good, TLS1_3_VERSION);
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(tls_stream_peer_names(server->stream, names, sizeof names), "a?b??c");
    assert_string_equal(stream_peer(server->stream)->name, "a?b??c");
    wires_part(client, server);
}

/* --- ALPN ------------------------------------------------------------------------------------- */

static struct tls_context *context_with(const char *const *protocols, size_t count)
{
    struct tls_config config = {.certfile = tls_path(dir, "here", ".crt"),
                                .keyfile = tls_path(dir, "here", ".key"),
                                .protocols = protocols,
                                .protocol_count = count};
    struct tls_context *context = NULL;
    assert_int_equal(tls_context_new(&config, &context, NULL), 0);
    return context;
}

static void meet_with(const char *const *offered, size_t offered_count)
{
    static const char *const ours[] = {"h2", "http/1.1"};
    struct tls_options caller = {.loop = &loop, .context = context_with(offered, offered_count)};
    struct tls_options called = {.loop = &loop, .context = context_with(ours, 2)};
    ends_meet(caller, called, &client, &server);
    tls_context_free(caller.context);
    tls_context_free(called.context);
    end_read(client);
    end_read(server);
}

static void the_server_chooses_the_protocol_it_likes_best(void **state)
{
    static const char *const offers[] = {"http/1.1", "h2"};
    (void)state;
    meet_with(offers, 2);
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(tls_stream_protocol(server->stream), "h2");
    assert_string_equal(tls_stream_protocol(client->stream), "h2");
    wires_part(client, server);
    meet_with(offers, 1);
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(tls_stream_protocol(server->stream), "http/1.1");
    wires_part(client, server);
    meet_with(NULL, 0);
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(tls_stream_protocol(server->stream), "");
    wires_part(client, server);
}

static void a_client_that_speaks_none_of_the_protocols_is_refused(void **state)
{
    static const char *const offers[] = {"spdy/3"};
    (void)state;
    meet_with(offers, 1);
    TURN_UNTIL(client->ends > 0 && server->ends > 0);
    assert_int_equal(server->err.code, ERR_UNSUPPORTED);
    assert_int_equal(client->err.code, ERR_REFUSED);
    assert_non_null(strstr(client->err.text, "the other side ended TLS: no application protocol"));
    wires_part(client, server);
}

static void versions_before_1_2_are_refused(void **state)
{
    struct tls_options caller = {.loop = &loop, .context = context_of(NULL, NULL, TLS_VERIFY_NONE)};
    struct tls_options called = {.loop = &loop,
                                 .context = context_of("here", NULL, TLS_VERIFY_NONE)};
    SSL_CTX *old = caller.context->material.ctx;
    (void)state;
    SSL_CTX_set_security_level(old, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(old, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(old, "ALL"), 1);
    ends_meet(caller, called, &client, &server);
    tls_context_free(caller.context);
    tls_context_free(called.context);
    TURN_UNTIL(client->ends > 0 && server->ends > 0);
    assert_int_equal(server->err.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(server->err.text, "nothing in common in TLS: unsupported protocol"));
    assert_int_equal(client->err.code, ERR_UNSUPPORTED);
    wires_part(client, server);
}

/* --- set up ----------------------------------------------------------------------------------- */

static void make(const struct tls_leaf *leaves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tls_make(dir, &leaves[i]);
    }
}

static void copy_of(const char *file, const char *ret_file)
{
    struct tls_leaf leaf = {.file = ret_file};
    X509 *certificate = tls_read_certificate(dir, file);
    tls_write_certificate(dir, &leaf, certificate);
    X509_free(certificate);
}

static void append(const char *to, const char *file)
{
    X509 *certificate = tls_read_certificate(dir, file);
    FILE *out = tls_open(dir, to, ".crt", "a");
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    assert_int_equal(fclose(out), 0);
    X509_free(certificate);
}

static int files_make(void **state)
{
    static const struct tls_leaf leaves[] = {
        {.file = "here", .name = "here", .alt = "DNS:localhost,IP:127.0.0.1"},
        {.file = "other", .name = "other", .alt = "DNS:other.test,DNS:*.wild.test,IP:10.9.8.7"},
        {.file = "foreign", .ca = "stranger", .name = "foreign", .alt = "DNS:localhost"},
        {.file = "expired", .name = "expired", .from_s = -2 * TLS_DAY_S, .until_s = -60},
        {.file = "future", .name = "future", .from_s = TLS_DAY_S},
        {.file = "serves", .name = "serves", .usage = "serverAuth"},
        {.file = "revoked", .name = "revoked"},
        {.file = "odd",
         .name = "a\nb\xc3\xa9"
                 "c"},
        {.file = "middle", .name = "middle", .is_authority = true},
        {.file = "chained", .ca = "middle", .name = "chained", .chain = "middle"},
        {.file = "cut", .ca = "middle", .name = "cut"},
        {.file = "fallen", .name = "fallen", .is_authority = true},
        {.file = "of_fallen", .ca = "fallen", .name = "of_fallen", .chain = "fallen"},
    };
    static const struct tls_list lists[] = {
        {.file = "lists", .revoked = "revoked"},
        {.file = "old_lists", .revoked = "revoked", .until_s = -60},
        {.file = "early_lists", .revoked = "revoked", .from_s = 60, .until_s = TLS_DAY_S},
        {.file = "one_has_lists", .revoked = "revoked"},
        {.file = "fallen_lists", .revoked = "fallen"},
        {.file = "middle_has_lists", .revoked = "fallen"},
    };
    (void)state;
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make_ca(dir, "stranger");
    make(leaves, sizeof leaves / sizeof leaves[0]);
    tls_make_root(dir, &(struct tls_leaf){.file = "alone", .name = "alone"});
    tls_join(dir, "two", "ca", "stranger");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        copy_of(strcmp(lists[i].file, "middle_has_lists") == 0 ? "middle" : "ca", lists[i].file);
        tls_revoke(dir, &lists[i]);
    }
    append("one_has_lists", "stranger");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(members_of_one_authority_take_one_another),
        WIRE_TEST(an_authority_that_is_not_believed_is_refused),
        WIRE_TEST(a_certificate_that_signed_itself_is_refused),
        WIRE_TEST(an_expired_certificate_is_refused_with_its_date),
        WIRE_TEST(a_certificate_of_tomorrow_is_refused_with_its_date),
        WIRE_TEST(a_certificate_for_another_name_is_refused),
        WIRE_TEST(a_certificate_for_the_name_that_was_called_is_taken),
        WIRE_TEST(a_client_without_a_certificate_is_refused_where_one_is_required),
        WIRE_TEST(a_client_without_a_certificate_is_welcome_where_it_is_optional),
        WIRE_TEST(a_client_that_asks_nothing_believes_everybody),
        WIRE_TEST(a_certificate_for_servers_is_none_for_clients),
        WIRE_TEST(a_chain_leads_to_the_authority),
        WIRE_TEST(two_authorities_in_one_file_are_both_believed),
        WIRE_TEST(who_was_revoked_is_refused),
        WIRE_TEST(who_was_signed_by_a_revoked_authority_is_refused),
        WIRE_TEST(the_other_sides_names_can_be_asked),
        WIRE_TEST(a_name_cannot_make_a_second_line),
        WIRE_TEST(the_server_chooses_the_protocol_it_likes_best),
        WIRE_TEST(a_client_that_speaks_none_of_the_protocols_is_refused),
        WIRE_TEST(versions_before_1_2_are_refused),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
