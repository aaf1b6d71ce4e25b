/* Networks of an allowlist, and HTTP's basic authentication. */
#include "base/mem.h"
#include "base/net/addr.h"
#include "base/net/http_basic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct net_ip ip_of(const char *text)
{
    struct net_addr addr = {.port = 1};
    struct sockaddr_storage address;
    (void)snprintf(addr.host, sizeof addr.host, "%s", text);
    assert_true(net_addr_numeric(&addr, &address));
    return net_ip_of((const struct sockaddr *)&address);
}

static void addresses_are_in_networks(void **state)
{
    static const struct {
        const char *network;
        const char *ip;
        bool in;
    } rows[] = {
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.4", false},
        {"10.1.2.3/32", "10.1.2.3", true},
        {"10.1.2.3/8", "10.255.0.1", true}, /* what is behind the prefix does not matter */
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.2.128/25", "10.1.2.127", false},
        {"10.1.2.128/25", "10.1.2.128", true},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "10.0.0.1", false},
        {"::ffff:10.0.0.1", "10.0.0.1", true},
        {"::ffff:0.0.0.0/96", "10.0.0.1", true},
        {"fd00::/8", "fd12::1", true},
        {"fd00::/8", "fe80::1", false},
        {"fd00::/9", "fd80::1", false},
        {"fd00::1/127", "fd00::", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_network network;
        assert_int_equal(net_network_parse(rows[i].network, &network, NULL), 0);
        if (net_network_has(&network, ip_of(rows[i].ip)) != rows[i].in) {
            fail_msg("%s in %s", rows[i].ip, rows[i].network);
        }
    }
}

static void what_is_no_network_is_told(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } rows[] = {{"host", ERR_NOT_FOUND},
                {"", ERR_NOT_FOUND},
                {"10.0.0", ERR_NOT_FOUND},
                {"10.0.0.0/33", ERR_INVALID},
                {"10.0.0.0/", ERR_INVALID},
                {"10.0.0.0/-1", ERR_INVALID},
                {"10.0.0.0/8x", ERR_INVALID},
                {"10.0.0.0/0000", ERR_INVALID},
                {"fd00::/129", ERR_INVALID},
                {"host/8", ERR_INVALID},
                {"10.0.0.0/255.0.0.0", ERR_INVALID}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_network network;
        struct error err;
        assert_int_equal(net_network_parse(rows[i].text, &network, &err), rows[i].rc);
    }
}

static void credentials_are_compared_whole(void **state)
{
    char *credentials = http_basic_encode("user", "a:b");
    (void)state;
    assert_string_equal(credentials, "dXNlcjphOmI=");
    assert_true(http_basic_matches(span_str("Basic dXNlcjphOmI="), credentials));
    assert_true(http_basic_matches(span_str("bASIC dXNlcjphOmI="), credentials));
    assert_false(http_basic_matches(span_str("Basic dXNlcjphOmI"), credentials));
    assert_false(http_basic_matches(span_str("Basic dXNlcjphOmI=="), credentials));
    assert_false(http_basic_matches(span_str("Basic"), credentials));
    assert_false(http_basic_matches(span_str(""), credentials));
    assert_false(http_basic_matches(span_of(NULL, 0), credentials));
    mem_free(credentials);
    credentials = http_basic_encode("", "");
    assert_string_equal(credentials, "Og==");
    mem_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_in_networks),
        cmocka_unit_test(what_is_no_network_is_told),
        cmocka_unit_test(credentials_are_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
