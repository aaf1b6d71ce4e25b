/* Whose handshakes go on in one turn of the loop. */
#include "base/net/tls_turn.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct net_ip ip_of(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return net_ip_of((const struct sockaddr *)&v4);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return net_ip_of((const struct sockaddr *)&v6);
}

/* How many steps it gets at that time, of very many. */
static unsigned takes(struct tls_turn *turn, uint64_t now_ms, const char *ip)
{
    unsigned count = 0;
    for (int i = 0; i < 1000; i++) {
        count += tls_turn_take(turn, now_ms, ip_of(ip));
    }
    return count;
}

static void an_address_has_a_few_and_leaves_the_rest_to_others(void **state)
{
    struct tls_turn turn = {0};
    (void)state;
    assert_int_equal(takes(&turn, 5, "10.0.0.1"), TLS_TURN_ADDRESS_MAX);
    assert_int_equal(takes(&turn, 5, "10.0.0.2"), TLS_TURN_ADDRESS_MAX);
    assert_int_equal(takes(&turn, 5, "10.0.0.1"), 0);
    assert_int_equal(takes(&turn, 6, "10.0.0.1"), TLS_TURN_ADDRESS_MAX);
}

static void a_port_has_some_more_however_many_ask(void **state)
{
    struct tls_turn turn = {0};
    unsigned count = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        char ip[32];
        (void)snprintf(ip, sizeof ip, "10.0.1.%d", i);
        count += takes(&turn, 9, ip);
    }
    assert_int_equal(count, TLS_TURN_MAX);
    assert_int_equal(takes(&turn, 10, "10.0.2.1"), TLS_TURN_ADDRESS_MAX);
}

static void a_network_of_ipv6_is_one_address(void **state)
{
    struct tls_turn turn = {0};
    (void)state;
    assert_int_equal(takes(&turn, 5, "2001:db8:0:1::1"), TLS_TURN_ADDRESS_MAX);
    assert_int_equal(takes(&turn, 5, "2001:db8:0:1::2"), 0);
    assert_int_equal(takes(&turn, 5, "2001:db8:0:2::1"), TLS_TURN_ADDRESS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_a_few_and_leaves_the_rest_to_others),
        cmocka_unit_test(a_port_has_some_more_however_many_ask),
        cmocka_unit_test(a_network_of_ipv6_is_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
