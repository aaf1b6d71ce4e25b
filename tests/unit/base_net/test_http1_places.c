/* Connections of each address, counted. */
#include "base/net/http1_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct http1_places places;

static struct net_ip ip_of(unsigned number)
{
    struct net_ip ip = {{0}};
    memcpy(ip.bytes, &number, sizeof number);
    return ip;
}

static void each_address_is_counted_apart(void **state)
{
    (void)state;
    places = (struct http1_places){0};
    struct http1_place *one = http1_place_take(&places, ip_of(1));
    struct http1_place *two = http1_place_take(&places, ip_of(2));
    assert_ptr_not_equal(one, two);
    assert_ptr_equal(http1_place_take(&places, ip_of(1)), one);
    assert_int_equal(http1_places_of(&places, ip_of(1)), 2);
    assert_int_equal(http1_places_of(&places, ip_of(2)), 1);
    assert_int_equal(http1_places_of(&places, ip_of(3)), 0);
    http1_place_leave(&places, one);
    assert_int_equal(http1_places_of(&places, ip_of(1)), 1);
    http1_place_leave(&places, one);
    assert_int_equal(http1_places_of(&places, ip_of(1)), 0);
    assert_int_equal(http1_places_of(&places, ip_of(2)), 1);
    http1_place_leave(&places, two);
    assert_int_equal(places.used, 0);
}

/* As many addresses as connections, who come and go in any order: the count of each is right. */
static void as_many_as_there_may_be_come_and_go(void **state)
{
    static struct http1_place *held[HTTP1_CONNECTIONS_MAX];
    unsigned random = 1;
    (void)state;
    places = (struct http1_places){0};
    for (unsigned i = 0; i < HTTP1_CONNECTIONS_MAX; i++) {
        held[i] = http1_place_take(&places, ip_of(i));
    }
    for (unsigned step = 0; step < 100000; step++) {
        random = random * 1103515245 + 12345;
        unsigned at = (random >> 8) % HTTP1_CONNECTIONS_MAX;
        http1_place_leave(&places, held[at]);
        held[at] = http1_place_take(&places, ip_of((random >> 4) % 700));
    }
    for (unsigned number = 0; number < 700; number++) {
        size_t want = 0;
        for (unsigned i = 0; i < HTTP1_CONNECTIONS_MAX; i++) {
            want += net_ip_equal(held[i]->ip, ip_of(number));
        }
        assert_int_equal(http1_places_of(&places, ip_of(number)), want);
    }
    for (unsigned i = 0; i < HTTP1_CONNECTIONS_MAX; i++) {
        http1_place_leave(&places, held[i]);
    }
    assert_int_equal(places.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_counted_apart),
        cmocka_unit_test(as_many_as_there_may_be_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
