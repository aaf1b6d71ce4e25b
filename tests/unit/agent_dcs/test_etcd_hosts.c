#include "agent/dcs/etcd_hosts.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct etcd_hosts make(size_t count)
{
    static const char *const urls[] = {"http://a:2379", "http://b:2379", "http://c:2379"};
    struct etcd_hosts hosts = {0};
    etcd_hosts_init(&hosts, urls, count);
    return hosts;
}

static void next_member_is_asked_when_one_fails(void **state)
{
    struct etcd_hosts hosts = make(3);
    (void)state;
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    assert_true(etcd_hosts_failed(&hosts, "http://a:2379"));
    assert_string_equal(etcd_hosts_current(&hosts), "http://b:2379");
    etcd_hosts_free(&hosts);
}

static void failure_of_another_member_moves_nobody(void **state)
{
    struct etcd_hosts hosts = make(3);
    (void)state;
    assert_true(etcd_hosts_failed(&hosts, "http://a:2379"));
    assert_false(etcd_hosts_failed(&hosts, "http://a:2379")); /* a second call of the same outage */
    assert_string_equal(etcd_hosts_current(&hosts), "http://b:2379");
    etcd_hosts_free(&hosts);
}

static void nobody_waits_before_all_have_failed(void **state)
{
    struct etcd_hosts hosts = make(3);
    (void)state;
    (void)etcd_hosts_failed(&hosts, "http://a:2379");
    (void)etcd_hosts_failed(&hosts, "http://b:2379");
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 12345), 0);
    (void)etcd_hosts_failed(&hosts, "http://c:2379");
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 0), ETCD_PAUSE_MS_FIRST);
    etcd_hosts_worked(&hosts);
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 0), 0);
    etcd_hosts_free(&hosts);
}

static void pause_grows_to_its_limit(void **state)
{
    struct etcd_hosts hosts = make(1);
    int64_t last = 0;
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)etcd_hosts_failed(&hosts, "http://a:2379");
        int64_t pause = etcd_hosts_pause_ms(&hosts, 0);
        assert_true(pause >= last);
        last = pause;
        for (uint64_t r = 0; r < 1000; r += 37) {
            assert_true(etcd_hosts_pause_ms(&hosts, r) <= ETCD_PAUSE_MS_MAX * 3 / 2);
        }
    }
    assert_int_equal(last, ETCD_PAUSE_MS_MAX);
    etcd_hosts_free(&hosts);
}

static void discovered_members_replace_the_configured_ones(void **state)
{
    struct etcd_hosts hosts = make(1);
    json_t *urls =
        json_pack("[s, s, s, s]", "http://x:1/", "unix:///y", "http://x:1", "https://z:2");
    (void)state;
    assert_true(etcd_hosts_discovered(&hosts, urls, 7));
    assert_int_equal(hosts.count, 2);
    assert_true(strcmp(hosts.urls[0], "http://x:1") == 0 ||
                strcmp(hosts.urls[1], "http://x:1") == 0);
    json_decref(urls);
    etcd_hosts_free(&hosts);
}

static void present_member_stays_while_it_is_listed(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 20; random++) {
        struct etcd_hosts hosts = make(2);
        json_t *urls = json_pack("[s, s, s]", "http://q:1", "http://r:1", "http://a:2379");
        assert_false(etcd_hosts_discovered(&hosts, urls, random));
        assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
        json_decref(urls);
        etcd_hosts_free(&hosts);
    }
}

static void list_that_names_nobody_changes_nothing(void **state)
{
    struct etcd_hosts hosts = make(3);
    json_t *urls = json_pack("[i, n, s]", 1, "ftp://a");
    (void)state;
    assert_false(etcd_hosts_discovered(&hosts, urls, 1));
    assert_false(etcd_hosts_discovered(&hosts, NULL, 1));
    assert_int_equal(hosts.count, 3);
    json_decref(urls);
    etcd_hosts_free(&hosts);
}

static void list_of_hundreds_is_cut(void **state)
{
    struct etcd_hosts hosts = make(3);
    json_t *urls = json_array();
    (void)state;
    for (int i = 0; i < 300; i++) {
        char *url = mem_printf("http://h%d:1", i);
        json_array_append_new(urls, json_string(url));
        mem_free(url);
    }
    assert_true(etcd_hosts_discovered(&hosts, urls, 1));
    assert_int_equal(hosts.count, ETCD_HOSTS_MAX);
    json_decref(urls);
    etcd_hosts_free(&hosts);
}

static void configured_members_come_back_when_all_discovered_fail(void **state)
{
    struct etcd_hosts hosts = make(1);
    json_t *urls = json_pack("[s, s]", "http://x:1", "http://y:1");
    (void)state;
    (void)etcd_hosts_discovered(&hosts, urls, 1);
    for (int i = 0; i < 2; i++) {
        char *present = mem_strdup(etcd_hosts_current(&hosts));
        assert_true(etcd_hosts_failed(&hosts, present));
        mem_free(present);
    }
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    assert_int_equal(hosts.count, 3); /* those that were heard of are not forgotten */
    json_decref(urls);
    etcd_hosts_free(&hosts);
}

/* --advertise-client-urls=http://localhost:2379, and the agents are elsewhere. */
static void names_that_led_nowhere_are_not_gone_after_again(void **state)
{
    struct etcd_hosts hosts = make(2);
    json_t *urls = json_pack("[s]", "http://localhost:2379");
    json_t *more = json_pack("[s, s]", "http://localhost:2379", "http://new:2379");
    (void)state;
    assert_true(etcd_hosts_discovered(&hosts, urls, 1));
    assert_true(etcd_hosts_failed(&hosts, "http://localhost:2379"));
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    etcd_hosts_worked(&hosts);
    assert_false(etcd_hosts_discovered(&hosts, urls, 1));
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    assert_int_equal(hosts.count, 3);
    assert_true(etcd_hosts_discovered(&hosts, more, 1)); /* that is news */
    assert_int_equal(hosts.count, 2);
    json_decref(urls);
    json_decref(more);
    etcd_hosts_free(&hosts);
}

static void url_that_failed_may_be_the_list_s_own(void **state)
{
    struct etcd_hosts hosts = make(1);
    (void)state;
    assert_false(etcd_hosts_failed(&hosts, etcd_hosts_current(&hosts)));
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    etcd_hosts_free(&hosts);
}

static void each_member_gets_its_share_and_a_second_at_least(void **state)
{
    struct etcd_hosts three = make(3);
    struct etcd_hosts one = make(1);
    (void)state;
    assert_int_equal(etcd_hosts_try_ms(&three, 10000), 3333);
    assert_int_equal(etcd_hosts_try_ms(&three, 2000), ETCD_TRY_MS_MIN);
    assert_int_equal(etcd_hosts_try_ms(&three, 600), 600);
    assert_int_equal(etcd_hosts_try_ms(&one, 10000), 10000);
    etcd_hosts_free(&three);
    etcd_hosts_free(&one);
}

static void list_may_begin_empty(void **state)
{
    static const char *const urls[] = {"http://x:1", "http://y:1"};
    struct etcd_hosts hosts = make(0);
    (void)state;
    assert_string_equal(etcd_hosts_current(&hosts), "");
    assert_false(etcd_hosts_failed(&hosts, ""));
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 7), 0);
    assert_int_equal(etcd_hosts_try_ms(&hosts, 5000), 5000);
    assert_true(etcd_hosts_configure(&hosts, urls, 2));
    assert_string_equal(etcd_hosts_current(&hosts), "http://x:1");
    assert_int_equal(hosts.count, 2);
    etcd_hosts_free(&hosts);
}

static void new_names_move_nobody_from_a_member_that_works(void **state)
{
    static const char *const urls[] = {"http://x:1"};
    struct etcd_hosts hosts = make(2);
    (void)state;
    assert_false(etcd_hosts_configure(&hosts, urls, 1));
    assert_string_equal(etcd_hosts_current(&hosts), "http://a:2379");
    (void)etcd_hosts_failed(&hosts, "http://a:2379");
    (void)etcd_hosts_failed(&hosts, "http://b:2379"); /* all have failed: the new ones count */
    assert_string_equal(etcd_hosts_current(&hosts), "http://x:1");
    etcd_hosts_free(&hosts);
}

static void new_names_come_first_when_members_fail(void **state)
{
    static const char *const old[] = {"http://b:2379", "http://a:2379"};
    static const char *const urls[] = {"http://b:2379", "http://x:1"};
    struct etcd_hosts hosts = make(2);
    (void)state;
    (void)etcd_hosts_failed(&hosts, "http://a:2379");
    (void)etcd_hosts_failed(&hosts, "http://b:2379");
    assert_false(etcd_hosts_configure(&hosts, old, 2)); /* the same, in another order */
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 0), ETCD_PAUSE_MS_FIRST);
    assert_true(etcd_hosts_configure(&hosts, urls, 2));
    assert_string_equal(etcd_hosts_current(&hosts), "http://b:2379");
    assert_int_equal(hosts.count, 3);
    assert_int_equal(etcd_hosts_pause_ms(&hosts, 0), 0); /* they have not been tried */
    etcd_hosts_free(&hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_member_is_asked_when_one_fails),
        cmocka_unit_test(failure_of_another_member_moves_nobody),
        cmocka_unit_test(nobody_waits_before_all_have_failed),
        cmocka_unit_test(pause_grows_to_its_limit),
        cmocka_unit_test(discovered_members_replace_the_configured_ones),
        cmocka_unit_test(present_member_stays_while_it_is_listed),
        cmocka_unit_test(list_that_names_nobody_changes_nothing),
        cmocka_unit_test(list_of_hundreds_is_cut),
        cmocka_unit_test(configured_members_come_back_when_all_discovered_fail),
        cmocka_unit_test(names_that_led_nowhere_are_not_gone_after_again),
        cmocka_unit_test(url_that_failed_may_be_the_list_s_own),
        cmocka_unit_test(list_may_begin_empty),
        cmocka_unit_test(new_names_move_nobody_from_a_member_that_works),
        cmocka_unit_test(new_names_come_first_when_members_fail),
        cmocka_unit_test(each_member_gets_its_share_and_a_second_at_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
