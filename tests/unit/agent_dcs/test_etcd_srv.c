/* etcd found by SRV records: which are asked for, what their answers may be, and when again. */
#include "tests/unit/agent_dcs/client_fixture.h"

#include "tests/unit/agent_dcs/fake_dns.h"

#define DOMAIN "example.org"

static void srv_open(const char *suffix, int configured)
{
    client_open_as(
        (struct etcd_client_config){
            .dialect = ETCD_V3, .srv = DOMAIN, .srv_suffix = suffix, .nameserver = &dns_address},
        configured);
}

static int setup(void **state)
{
    (void)state;
    fakes_open(2);
    dns_open(&loop);
    return 0;
}

static int teardown(void **state)
{
    client_close();
    dns_close();
    return client_teardown(state);
}

/* The questions of one lookup, in order. */
static const char all_kinds[] =
    "_etcd-client-ssl._tcp.example.org\n_etcd-client._tcp.example.org\n"
    "_etcd-ssl._tcp.example.org\n_etcd._tcp.example.org\n"
    "_etcd-server-ssl._tcp.example.org\n_etcd-server._tcp.example.org\n";

static void found_by(const char *kind)
{
    struct dns_record records[] = {{kind, 0, fakes[0].port, 60, "127.0.0.1"}, {0}};
    dns_records = records;
    srv_open(NULL, 0);
    assert_int_equal(range(), 0);
    dns_records = NULL;
    client_close();
}

static void client_kinds_name_the_members(void **state)
{
    (void)state;
    found_by("_etcd-client");
    assert_string_equal(buf_str(&dns_questions),
                        "_etcd-client-ssl._tcp.example.org\n_etcd-client._tcp.example.org\n");
    assert_int_equal(seen_count("/members"), 0);
    buf_drop(&dns_questions, dns_questions.len);
    found_by("_etcd");
    assert_ptr_equal(strstr(all_kinds, buf_str(&dns_questions)), all_kinds);
}

static bool serves_members(struct fake *fake, struct fake_request *request)
{
    if (strcmp(request->path, "/members") == 0) {
        fake_answer(request->peer, 200, "[{\"id\":13803658152347727308,\"clientURLs\":[\"%s\"]}]",
                    fake->url);
        return true;
    }
    return false;
}

static bool serves_no_members(struct fake *fake, struct fake_request *request)
{
    if (fake == &fakes[0] && strcmp(request->path, "/members") == 0) {
        fake_answer(request->peer, 200, "[]");
        return true;
    }
    return serves_members(fake, request);
}

static void server_kinds_name_peers_which_name_the_members(void **state)
{
    (void)state;
    hook = serves_members;
    found_by("_etcd-server");
    assert_string_equal(buf_str(&dns_questions), all_kinds);
    assert_ptr_equal(strstr(buf_str(&seen), "a GET /members\na GET /version\n"), buf_str(&seen));
}

static void peer_that_names_none_is_followed_by_the_next(void **state)
{
    struct dns_record records[] = {{"_etcd-server", 1, fakes[0].port, 60, "127.0.0.1"},
                                   {"_etcd-server", 2, fakes[1].port, 60, "127.0.0.1"},
                                   {0}};
    (void)state;
    hook = serves_no_members;
    dns_records = records;
    srv_open(NULL, 0);
    assert_int_equal(range(), 0);
    assert_ptr_equal(strstr(buf_str(&seen), "a GET /members\nb GET /members\nb GET /version\n"),
                     buf_str(&seen));
}

static bool is_silent(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    (void)request;
    return true;
}

static void ssl_kinds_mean_https(void **state)
{
    static const char *const wanted[] = {"_etcd-client-ssl", "_etcd-ssl"};
    (void)state;
    hook = is_silent;
    for (size_t i = 0; i < 2; i++) {
        struct dns_record records[] = {{wanted[i], 0, fakes[0].port, 60, "127.0.0.1"}, {0}};
        char *note = mem_printf("addresses=1, the first is 'https://127.0.0.1:%u'", fakes[0].port);
        buf_drop(&notes, notes.len);
        dns_records = records;
        srv_open(NULL, 0);
        RUN_UNTIL(notes_count(note) == 1);
        client_close();
        mem_free(note);
    }
    assert_int_equal(seen_count("GET"), 0); /* TLS is no request */
}

static void suffix_stands_behind_the_kind(void **state)
{
    struct dns_record records[] = {{"_etcd-client-blue", 0, fakes[0].port, 60, "127.0.0.1"}, {0}};
    (void)state;
    dns_records = records;
    srv_open("blue", 0);
    assert_int_equal(range(), 0);
    assert_string_equal(
        buf_str(&dns_questions),
        "_etcd-client-ssl-blue._tcp.example.org\n_etcd-client-blue._tcp.example.org\n");
}

static void records_come_before_the_addresses_of_the_file(void **state)
{
    struct dns_record records[] = {{"_etcd-client", 0, fakes[1].port, 60, "127.0.0.1"}, {0}};
    (void)state;
    dns_records = records;
    srv_open(NULL, 1);
    assert_int_equal(range(), 0);
    assert_ptr_equal(strstr(buf_str(&seen), "b GET /version\n"), buf_str(&seen));
}

static void lower_priority_is_asked_first(void **state)
{
    struct dns_record records[] = {{"_etcd-client", 7, fakes[0].port, 60, "127.0.0.1"},
                                   {"_etcd-client", 3, fakes[1].port, 60, "127.0.0.1"},
                                   {0}};
    (void)state;
    dns_records = records;
    srv_open(NULL, 0);
    assert_int_equal(range(), 0);
    assert_ptr_equal(strstr(buf_str(&seen), "b GET /version\n"), buf_str(&seen));
}

static void file_counts_when_no_kind_has_records(void **state)
{
    (void)state;
    srv_open(NULL, 1);
    assert_int_equal(range(), 0);
    assert_string_equal(buf_str(&dns_questions), all_kinds);
    assert_int_equal(notes_count("looking up _etcd*._tcp.example.org: no kind has SRV records; "
                                 "using the addresses of the file"),
                     1);
}

/* Nobody is known: a call ends in its time, and says what the lookup said. */
static void call_fails_with(const char *words)
{
    struct outcome outcome;
    srv_open(NULL, 0);
    RUN_UNTIL(notes_count("waiting for etcd") == 1);
    assert_int_equal(call_run(&outcome, "/kv/range", true, 100), ERR_UNAVAILABLE);
    if (strstr(outcome.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", outcome.text, words);
    }
    client_close();
    buf_drop(&notes, notes.len);
}

static void what_is_wrong_with_the_records_is_said(void **state)
{
    (void)state;
    call_fails_with("looking up _etcd*._tcp.example.org: no kind has SRV records");
    dns_fault = DNS_SERVFAIL;
    call_fails_with("looking up _etcd-server._tcp.example.org: the name servers fail, or do not "
                    "answer");
    dns_fault = 0;
    dns_flags = DNS_TRUNCATED;
    call_fails_with("looking up _etcd-server._tcp.example.org: the answer is cut off before its "
                    "first record");
}

static void name_that_points_at_itself_is_refused(void **state)
{
    /* SRV; in the answers to -client and -server its target is a pointer to that pointer */
    static const uint8_t loops[] = {0xc0, 0x0c, 0, 33, 0, 1, 0, 0,  0,    60,
                                    0,    8,    0, 0,  0, 1, 9, 75, 0xc0, 65};
    (void)state;
    dns_tail = span_of(loops, sizeof loops);
    call_fails_with("looking up _etcd-server._tcp.example.org: record 1 of the answer is broken");
}

static void name_that_would_be_too_long_is_refused(void **state)
{
    char domain[256];
    struct etcd_client_config config = {.dialect = ETCD_V3,
                                        .srv = domain,
                                        .srv_suffix = "blue",
                                        .nameserver = &dns_address,
                                        .clock = clock_real(),
                                        .random = random_real()};
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof domain - 1; i++) {
        domain[i] = i % 40 == 39 ? '.' : 'd';
    }
    size_t room = 255 - strlen("_etcd-client-ssl-blue._tcp.");
    domain[room + 1] = '\0';
    assert_int_equal(etcd_client_new(&loop, &config, &client, &err), ERR_INVALID);
    assert_null(client);
    assert_non_null(strstr(err.text, "with '_etcd-client-ssl-blue._tcp.' in front that is longer "
                                     "than a name may be, 255 bytes"));
    domain[room] = '\0';
    assert_int_equal(etcd_client_new(&loop, &config, &client, &err), 0);
    client_closed = false;
}

static void silent_name_server_ends_the_lookup_in_time(void **state)
{
    int64_t began = clock_mono_ms(clock_real());
    (void)state;
    dns_fault = -1;
    watchdog_at_ms += 20000;
    call_fails_with("the name servers fail, or do not answer");
    assert_in_range(clock_mono_ms(clock_real()) - began, 2000, 16000);
}

static void truncated_answer_counts_as_far_as_it_goes(void **state)
{
    (void)state;
    dns_flags = DNS_TRUNCATED;
    found_by("_etcd-client");
}

static void too_many_records_are_cut(void **state)
{
    struct dns_record records[] = {{"_etcd-client", 0, fakes[0].port, 60, "127.0.0.1"}, {0}};
    (void)state;
    dns_records = records;
    dns_repeat = 20; /* 560 bytes: only with EDNS0 */
    srv_open(NULL, 0);
    assert_int_equal(range(), 0);
    assert_int_equal(notes_count("addresses=16, the first"), 1);
}

static void closing_does_not_lose_a_lookup_that_is_under_way(void **state)
{
    (void)state;
    dns_fault = -1;
    srv_open(NULL, 0);
    RUN_UNTIL(dns_questions.len > 0);
    client_close();
}

static void records_are_looked_up_again_when_all_members_have_failed(void **state)
{
    struct dns_record records[] = {{"_etcd-client", 0, fakes[0].port, 1, "127.0.0.1"}, {0}};
    struct outcome outcome;
    (void)state;
    fake_count = 1; /* the cluster names only the first */
    dns_records = records;
    srv_open(NULL, 0);
    assert_int_equal(range(), 0);
    size_t asked = dns_questions.len;
    assert_int_equal(call_run(&outcome, "/kv/range", true, 5000), 0);
    assert_int_equal(dns_questions.len, asked); /* not while a member works */
    fake_count = 2;
    fake_stop(&fakes[0]);
    records[0].port = fakes[1].port;
    assert_int_equal(call_run(&outcome, "/kv/range", true, 10000), 0);
    assert_true(seen_count("b POST /v3/kv/range") == 1);
    assert_true(dns_questions.len > asked);
    assert_int_equal(switches > 0, 1);
}

static void name_server_that_comes_late_is_asked_again(void **state)
{
    struct dns_record records[] = {{"_etcd-client", 0, fakes[0].port, 60, "127.0.0.1"}, {0}};
    (void)state;
    srv_open(NULL, 0);
    RUN_UNTIL(notes_count("waiting for etcd") == 1);
    dns_records = records;
    struct outcome outcome;
    assert_int_equal(call_run(&outcome, "/kv/range", true, 15000), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(client_kinds_name_the_members),
        TEST(server_kinds_name_peers_which_name_the_members),
        TEST(peer_that_names_none_is_followed_by_the_next),
        TEST(ssl_kinds_mean_https),
        TEST(suffix_stands_behind_the_kind),
        TEST(records_come_before_the_addresses_of_the_file),
        TEST(lower_priority_is_asked_first),
        TEST(file_counts_when_no_kind_has_records),
        TEST(what_is_wrong_with_the_records_is_said),
        TEST(name_that_points_at_itself_is_refused),
        TEST(name_that_would_be_too_long_is_refused),
        TEST(silent_name_server_ends_the_lookup_in_time),
        TEST(truncated_answer_counts_as_far_as_it_goes),
        TEST(too_many_records_are_cut),
        TEST(closing_does_not_lose_a_lookup_that_is_under_way),
        TEST(records_are_looked_up_again_when_all_members_have_failed),
        TEST(name_server_that_comes_late_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
