/* Addresses as text and bytes, and lookups off the loop. */
#include "base/net/addr.h"

#include "tests/unit/base_net/hung_pool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

/* --- text ------------------------------------------------------------------------------------- */

static void addresses_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        int default_port;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"10.0.0.1:5432", NET_PORT_REQUIRED, "10.0.0.1", 5432},
        {"10.0.0.1:5432", 2380, "10.0.0.1", 5432},
        {"10.0.0.1", 2380, "10.0.0.1", 2380},
        {"node-1.example.org:1", NET_PORT_REQUIRED, "node-1.example.org", 1},
        {"node_1:65535", NET_PORT_REQUIRED, "node_1", 65535},
        {"node_1:00080", NET_PORT_REQUIRED, "node_1", 80},
        {"[::1]:80", NET_PORT_REQUIRED, "::1", 80},
        {"[::1]", 80, "::1", 80},
        {"[fe80::1%eth0]:80", NET_PORT_REQUIRED, "fe80::1%eth0", 80},
        {"[::ffff:1.2.3.4]:80", NET_PORT_REQUIRED, "::ffff:1.2.3.4", 80},
        {"*:8008", NET_PORT_REQUIRED, "*", 8008},
        {":8008", NET_PORT_REQUIRED, "*", 8008},
        {"*", 8008, "*", 8008},
        {"host", 0, "host", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_addr addr;
        struct error err = {0};
        if (net_addr_parse(cases[i].text, cases[i].default_port, &addr, &err) != 0) {
            fail_msg("%s", err.text);
        }
        assert_string_equal(addr.host, cases[i].host);
        assert_int_equal(addr.port, cases[i].port);
    }
}

static void junk_is_refused_with_what_would_be_right(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "the address is empty"},
        {"host", "has no port, expected host:port"},
        {"host:", "'' is no port, expected a number from 1 to 65535"},
        {"host:0", "'0' is no port"},
        {"host:65536", "'65536' is no port"},
        {"host:99999999999999999999", "is no port"},
        {"host:-1", "'-1' is no port"},
        {"host:+1", "'+1' is no port"},
        {"host: 1", "' 1' is no port"},
        {"host:1 ", "'1 ' is no port"},
        {"host:0x10", "'0x10' is no port"},
        {"host:http", "'http' is no port"},
        {"::1", "written in brackets: [address]:port"},
        {"::1:80", "written in brackets"},
        {"a:b:80", "written in brackets"},
        {"[::1:80", "the bracket is not closed"},
        {"[::1]80", "expected ':' and a port after the bracket"},
        {"[::1]", "has no port"},
        {"[]:80", "no IPv6 address within the brackets"},
        {"[host]:80", "no IPv6 address within the brackets"},
        {"[1.2.3.4]:80", "no IPv6 address within the brackets"},
        {"[*]:80", "no IPv6 address within the brackets"},
        {"[%eth0]:80", "no IPv6 address within the brackets"},
        {"http://host:80", "written in brackets"},
        {"ho st:80", "is no address, expected host:port"},
        {"host/x:80", "is no address"},
        {"user@host:80", "is no address"},
        {"h\xc3\xb6st:80", "is no address"},
        {"host\n:80", "is no address"},
        {"a,b:80", "is no address"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_addr addr = {.host = "untouched", .port = 7};
        struct error err = {0};
        assert_int_equal(net_addr_parse(cases[i].text, NET_PORT_REQUIRED, &addr, &err),
                         ERR_INVALID);
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.text, cases[i].says) == NULL) {
            fail_msg("'%s': '%s'", cases[i].text, err.text);
        }
        if (cases[i].text[0] != '\0' && strstr(err.text, cases[i].text) == NULL) {
            fail_msg("'%s' does not quote '%s'", err.text, cases[i].text);
        }
        assert_string_equal(addr.host, "untouched"); /* set only on success */
        assert_int_equal(addr.port, 7);
    }
}

static void a_host_may_have_255_bytes_and_no_more(void **state)
{
    char text[NET_HOST_BYTES + 8];
    struct net_addr addr;
    struct error err;
    (void)state;
    for (size_t len = NET_HOST_BYTES - 2; len < NET_HOST_BYTES + 2; len++) {
        memset(text, 'h', len);
        (void)snprintf(text + len, sizeof text - len, ":80");
        int rc = net_addr_parse(text, NET_PORT_REQUIRED, &addr, &err);
        assert_int_equal(rc, len < NET_HOST_BYTES ? 0 : ERR_INVALID);
        if (rc == 0) {
            assert_int_equal(strlen(addr.host), len);
        }
        memset(text, '1', len);
        text[0] = '[';
        (void)snprintf(text + len, sizeof text - len, "]:80");
        assert_int_equal(net_addr_parse(text, NET_PORT_REQUIRED, &addr, &err), ERR_INVALID);
    }
}

/* Every text of up to six characters of this alphabet: refused, or read again as it is written. */
static void what_is_accepted_reads_the_same_when_written(void **state)
{
    static const char alphabet[] = "[]:1a*%";
    enum { LETTERS = sizeof alphabet - 1, LENGTH = 6 };
    unsigned long accepted = 0;
    (void)state;
    for (size_t len = 0; len <= LENGTH; len++) {
        unsigned long count = 1;
        for (size_t i = 0; i < len; i++) {
            count *= LETTERS;
        }
        for (unsigned long code = 0; code < count; code++) {
            char text[LENGTH + 1] = "";
            char written[NET_ADDR_TEXT_BYTES];
            struct net_addr addr;
            struct net_addr again;
            unsigned long rest = code;
            for (size_t i = 0; i < len; i++, rest /= LETTERS) {
                text[i] = alphabet[rest % LETTERS];
            }
            if (net_addr_parse(text, 80, &addr, NULL) != 0) {
                continue;
            }
            accepted++;
            assert_int_equal(
                net_addr_parse(net_addr_format(&addr, written), NET_PORT_REQUIRED, &again, NULL),
                0);
            assert_string_equal(again.host, addr.host);
            assert_int_equal(again.port, addr.port);
        }
    }
    assert_true(accepted > 100);
}

static void ip6_is_written_in_brackets(void **state)
{
    char text[NET_ADDR_TEXT_BYTES];
    struct net_addr ip6 = {.host = "fe80::1%eth0", .port = 65535};
    struct net_addr name = {.host = "n1", .port = 1};
    (void)state;
    assert_string_equal(net_addr_format(&ip6, text), "[fe80::1%eth0]:65535");
    assert_string_equal(net_addr_format(&name, text), "n1:1");
}

/* --- bytes ------------------------------------------------------------------------------------ */

static struct sockaddr_storage numeric(const char *host, uint16_t port)
{
    struct net_addr addr = {.port = port};
    struct sockaddr_storage address;
    (void)snprintf(addr.host, sizeof addr.host, "%s", host);
    assert_true(net_addr_numeric(&addr, &address));
    return address;
}

static struct net_ip ip_of(const char *host)
{
    struct sockaddr_storage address = numeric(host, 1);
    return net_ip_of((struct sockaddr *)&address);
}

static void one_address_in_two_forms_is_equal(void **state)
{
    (void)state;
    assert_true(net_ip_equal(ip_of("10.1.2.3"), ip_of("::ffff:10.1.2.3")));
    assert_true(net_ip_equal(ip_of("::1"), ip_of("0:0:0:0:0:0:0:1")));
    assert_false(net_ip_equal(ip_of("10.1.2.3"), ip_of("10.1.2.4")));
    assert_false(net_ip_equal(ip_of("127.0.0.1"), ip_of("::1")));
    assert_false(net_ip_equal(ip_of("1.2.3.4"), ip_of("::1.2.3.4")));
}

static void a_numeric_host_is_told_from_a_name(void **state)
{
    static const char *const names[] = {"",          "n1",  "1.2.3", "1.2.3.4.5",
                                        "1.2.3.256", "::g", "1:2",   "localhost"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct net_addr addr = {.port = 1};
        struct sockaddr_storage address;
        (void)snprintf(addr.host, sizeof addr.host, "%s", names[i]);
        assert_false(net_addr_numeric(&addr, &address));
    }
    struct sockaddr_storage any = numeric("*", 8008);
    const struct sockaddr_in6 *in6 = (const void *)&any;
    assert_int_equal(any.ss_family, AF_INET6);
    assert_int_equal(ntohs(in6->sin6_port), 8008);
    assert_memory_equal(&in6->sin6_addr, &in6addr_any, sizeof in6addr_any);
}

static void a_socket_address_is_written_as_it_is_configured(void **state)
{
    static const struct {
        const char *host;
        const char *text;
    } cases[] = {
        {"10.0.0.2", "10.0.0.2:50123"},
        {"::1", "[::1]:50123"},
        {"::ffff:10.0.0.2", "10.0.0.2:50123"}, /* who came over IPv4 to a socket of both */
        {"2001:db8::1", "[2001:db8::1]:50123"},
    };
    char text[NET_ADDR_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sockaddr_storage address = numeric(cases[i].host, 50123);
        assert_string_equal(net_sockaddr_format((struct sockaddr *)&address, text), cases[i].text);
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_string_equal(net_sockaddr_format((struct sockaddr *)&local, text), "?:0");
}

static void libuvs_codes_become_ours(void **state)
{
    static const struct {
        int status;
        int code;
    } cases[] = {
        {UV_EOF, ERR_CLOSED},
        {UV_ECANCELED, ERR_CANCELED},
        {UV_EAI_CANCELED, ERR_CANCELED},
        {UV_EAI_AGAIN, ERR_NOT_FOUND},
        {UV_EAI_FAIL, ERR_NOT_FOUND},
        {UV_EAI_NODATA, ERR_NOT_FOUND},
        {UV_EAI_NONAME, ERR_NOT_FOUND},
        {UV_EAI_MEMORY, ERR_NOMEM},
        {UV_ECONNREFUSED, ERR_REFUSED},
        {UV_ETIMEDOUT, ERR_TIMEOUT},
        {UV_EADDRINUSE, ERR_BUSY},
        {UV_EMFILE, ERR_IO},
        {UV_EAI_SERVICE, ERR_IO},
        {UV_UNKNOWN, ERR_IO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(net_err_code(cases[i].status), cases[i].code);
    }
}

/* --- lookup ----------------------------------------------------------------------------------- */

enum { LONG_MS = 60000 };

static uv_loop_t loop;

struct lookup {
    int calls;
    int rc;
    struct net_resolved resolved;
    struct error err;
};

static int loop_open(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

/* Whatever a test did, it leaves nothing in the loop. */
static int loop_ended(void **state)
{
    (void)state;
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void lookup_done(void *arg, int rc, const struct net_resolved *resolved,
                        const struct error *err)
{
    struct lookup *lookup = arg;
    lookup->calls++;
    lookup->rc = rc;
    assert_true((resolved != NULL) == (rc == 0));
    if (resolved != NULL) {
        lookup->resolved = *resolved;
    }
    lookup->err = *err;
}

static struct net_resolve *look_up(const char *host, int64_t timeout_ms, struct lookup *lookup)
{
    struct net_addr addr = {.port = 4321};
    struct net_resolve *resolve = NULL;
    struct error err = {0};
    (void)snprintf(addr.host, sizeof addr.host, "%s", host);
    *lookup = (struct lookup){0};
    if (net_resolve_start(&loop, &addr, timeout_ms, lookup_done, lookup, &resolve, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(lookup->calls, 0); /* never from inside the call */
    return resolve;
}

static void a_numeric_address_is_its_own_answer(void **state)
{
    struct lookup lookup;
    char text[NET_ADDR_TEXT_BYTES];
    (void)state;
    (void)look_up("::1", 0, &lookup); /* no time is needed */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 1);
    assert_int_equal(lookup.rc, 0);
    assert_int_equal(lookup.resolved.count, 1);
    assert_string_equal(net_sockaddr_format((struct sockaddr *)&lookup.resolved.addresses[0], text),
                        "[::1]:4321");
}

static void a_name_is_looked_up_with_the_port_that_was_asked_for(void **state)
{
    struct lookup lookup;
    char text[NET_ADDR_TEXT_BYTES];
    (void)state;
    (void)look_up("localhost", LONG_MS, &lookup);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 1);
    if (lookup.rc == ERR_NOT_FOUND) {
        skip(); /* a host without a hosts file */
    }
    assert_int_equal(lookup.rc, 0);
    assert_in_range(lookup.resolved.count, 1, NET_RESOLVED_MAX);
    for (size_t i = 0; i < lookup.resolved.count; i++) {
        (void)net_sockaddr_format((struct sockaddr *)&lookup.resolved.addresses[i], text);
        assert_non_null(strstr(text, ":4321"));
    }
}

/* A label of 64 bytes: no resolver asks anybody for it. */
#define NO_NAME "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd.invalid"

static void an_unknown_name_is_not_found(void **state)
{
    struct lookup lookup;
    (void)state;
    (void)look_up(NO_NAME, LONG_MS, &lookup);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 1);
    assert_int_equal(lookup.rc, ERR_NOT_FOUND);
    assert_int_equal(lookup.err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(lookup.err.text, "looking up '" NO_NAME "'"));
}

static void a_hung_name_server_keeps_its_thread_not_the_caller(void **state)
{
    struct lookup lookup;
    (void)state;
    pool_hang(&loop);
    (void)look_up("localhost", 20, &lookup);
    while (lookup.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(lookup.rc, ERR_TIMEOUT);
    assert_string_equal(lookup.err.text, "looking up 'localhost': timed out");
    pool_go_on(&loop); /* the late answer finds nobody, and the memory is freed then */
    assert_int_equal(lookup.calls, 1);
}

/* Else whoever asks again and again for a name whose server is dead fills the pool's queue, and
 * what else waits in it stands behind them. */
static void a_lookup_that_timed_out_no_longer_waits_for_a_thread(void **state)
{
    static struct lookup lookups[20];
    (void)state;
    pool_hang(&loop);
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        (void)look_up("localhost", 10, &lookups[i]);
        while (lookups[i].calls == 0) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_int_equal(lookups[i].rc, ERR_TIMEOUT);
        assert_string_equal(lookups[i].err.text, "looking up 'localhost': timed out");
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* what was canceled comes back */
    assert_int_equal(loop.active_reqs.count, hung_count);
    pool_go_on(&loop);
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        assert_int_equal(lookups[i].calls, 1);
    }
}

static void more_lookups_than_there_may_be_are_refused(void **state)
{
    static struct lookup lookups[NET_RESOLVES_MAX];
    static struct net_resolve *handles[NET_RESOLVES_MAX];
    struct net_addr addr = {.host = "localhost", .port = 1};
    static struct lookup refused;
    struct net_resolve *handle = NULL;
    struct error err = {0};
    (void)state;
    pool_hang(&loop);
    for (size_t i = 0; i < NET_RESOLVES_MAX; i++) {
        handles[i] = look_up("localhost", LONG_MS, &lookups[i]);
    }
    assert_int_equal(net_resolve_start(&loop, &addr, LONG_MS, lookup_done, &refused, &handle, &err),
                     ERR_LIMIT);
    assert_non_null(strstr(err.text, "looking up 'localhost'"));
    assert_null(handle);
    (void)look_up("127.0.0.1", LONG_MS, &refused); /* takes no thread */
    while (refused.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(refused.rc, 0);
    for (size_t i = 0; i < NET_RESOLVES_MAX; i++) {
        net_resolve_cancel(handles[i]);
    }
    while (loop.active_reqs.count > hung_count) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    static struct lookup again;
    net_resolve_cancel(look_up("localhost", LONG_MS, &again)); /* there is room again */
    pool_go_on(&loop);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(again.calls, 1);
}

static void canceling_ends_a_lookup_wherever_it_is(void **state)
{
    struct lookup lookup;
    (void)state;
    net_resolve_cancel(look_up("::1", LONG_MS, &lookup));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 1);
    assert_int_equal(lookup.rc, ERR_CANCELED);

    pool_hang(&loop); /* waits for a thread */
    net_resolve_cancel(look_up("localhost", LONG_MS, &lookup));
    assert_int_equal(lookup.calls, 0);
    while (lookup.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(lookup.rc, ERR_CANCELED);
    assert_string_equal(lookup.err.text, "looking up 'localhost': canceled");
    pool_go_on(&loop);

    net_resolve_cancel(look_up(NO_NAME, LONG_MS, &lookup)); /* may be in its thread already */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 1);
    assert_int_equal(lookup.rc, ERR_CANCELED);
}

static void a_name_that_cannot_be_one_fails_at_once(void **state)
{
    struct lookup lookup = {0};
    struct net_addr addr = {.host = "\xff\xfe", .port = 1}; /* no UTF-8: has no form in ASCII */
    struct net_resolve *resolve = NULL;
    struct error err = {0};
    (void)state;
    int rc = net_resolve_start(&loop, &addr, LONG_MS, lookup_done, &lookup, &resolve, &err);
    assert_int_not_equal(rc, 0);
    assert_int_equal(rc, err.code);
    assert_null(resolve);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(lookup.calls, 0); /* never if the call failed */
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_open, loop_ended)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(junk_is_refused_with_what_would_be_right),
        cmocka_unit_test(a_host_may_have_255_bytes_and_no_more),
        cmocka_unit_test(what_is_accepted_reads_the_same_when_written),
        cmocka_unit_test(ip6_is_written_in_brackets),
        cmocka_unit_test(one_address_in_two_forms_is_equal),
        cmocka_unit_test(a_numeric_host_is_told_from_a_name),
        cmocka_unit_test(a_socket_address_is_written_as_it_is_configured),
        cmocka_unit_test(libuvs_codes_become_ours),
        LOOP_TEST(a_numeric_address_is_its_own_answer),
        LOOP_TEST(a_name_is_looked_up_with_the_port_that_was_asked_for),
        LOOP_TEST(an_unknown_name_is_not_found),
        LOOP_TEST(a_hung_name_server_keeps_its_thread_not_the_caller),
        LOOP_TEST(a_lookup_that_timed_out_no_longer_waits_for_a_thread),
        LOOP_TEST(more_lookups_than_there_may_be_are_refused),
        LOOP_TEST(canceling_ends_a_lookup_wherever_it_is),
        LOOP_TEST(a_name_that_cannot_be_one_fails_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
