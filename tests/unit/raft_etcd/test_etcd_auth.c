/* The static user: passwords, tokens that hold on every member, HTTP Basic. */
#include "raft/etcd/etcd_auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER 0x1122334455667788U
#define NOW     1764374400000

static struct etcd_auth auth_of(const char *username, const char *password)
{
    return (struct etcd_auth){.username = span_str(username), .password = span_str(password)};
}

static void only_name_and_password_together_are_the_user(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    assert_true(etcd_auth_user(&auth, span_str("patroni"), span_str("secret")));
    static const char *const others[][2] = {
        {"patroni", "secreT"}, {"patroni", "secre"},  {"patroni", "secrets"}, {"patroni", ""},
        {"Patroni", "secret"}, {"patron", "secret"},  {"", "secret"},         {"", ""},
        {"secret", "patroni"}, {"patronisecret", ""},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(etcd_auth_user(&auth, span_str(others[i][0]), span_str(others[i][1])));
    }
}

static void a_token_holds_until_its_end_on_every_member(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    struct etcd_auth elsewhere = auth_of("patroni", "secret");
    struct buf token = BUF_INIT;
    etcd_auth_token(&auth, CLUSTER, NOW + 1000, &token);
    for (size_t i = 0; i < token.len; i++) {
        assert_true(token.data[i] > ' ' && token.data[i] < 0x7f);
    }
    assert_true(etcd_auth_token_is_good(&elsewhere, CLUSTER, buf_span(&token), NOW));
    assert_true(etcd_auth_token_is_good(&elsewhere, CLUSTER, buf_span(&token), NOW + 999));
    assert_false(etcd_auth_token_is_good(&elsewhere, CLUSTER, buf_span(&token), NOW + 1000));
    buf_free(&token);
}

static void a_token_of_another_user_password_or_cluster_is_none(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    struct etcd_auth renamed = auth_of("patron1", "secret");
    struct etcd_auth changed = auth_of("patroni", "changed");
    struct buf token = BUF_INIT;
    etcd_auth_token(&auth, CLUSTER, NOW + 1000, &token);
    assert_false(etcd_auth_token_is_good(&renamed, CLUSTER, buf_span(&token), NOW));
    assert_false(etcd_auth_token_is_good(&changed, CLUSTER, buf_span(&token), NOW));
    assert_false(etcd_auth_token_is_good(&auth, CLUSTER + 1, buf_span(&token), NOW));
    buf_free(&token);
}

static void every_changed_byte_spoils_a_token(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    struct buf token = BUF_INIT;
    etcd_auth_token(&auth, CLUSTER, NOW + 1000, &token);
    for (size_t i = 0; i < token.len; i++) {
        uint8_t was = token.data[i];
        token.data[i] = was == 'a' ? 'b' : 'a';
        if (token.data[i] != was) {
            assert_false(etcd_auth_token_is_good(&auth, CLUSTER, buf_span(&token), NOW));
        }
        token.data[i] = was;
    }
    for (size_t len = 0; len < token.len; len++) {
        assert_false(etcd_auth_token_is_good(&auth, CLUSTER, span_of(token.data, len), NOW));
    }
    buf_put_u8(&token, '0');
    assert_false(etcd_auth_token_is_good(&auth, CLUSTER, buf_span(&token), NOW));
    assert_false(etcd_auth_token_is_good(&auth, CLUSTER, span_str("Bearer"), NOW));
    assert_false(etcd_auth_token_is_good(&auth, CLUSTER, span_of(NULL, 0), NOW));
    buf_free(&token);
}

static void an_end_of_before_the_epoch_has_passed(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    struct buf token = BUF_INIT;
    etcd_auth_token(&auth, CLUSTER, -1, &token);
    assert_false(etcd_auth_token_is_good(&auth, CLUSTER, buf_span(&token), NOW));
    buf_free(&token);
}

static bool basic(const char *header)
{
    struct etcd_auth auth = auth_of("patroni", "secret");
    return etcd_auth_basic(&auth, span_str(header));
}

static void basic_names_the_user_in_base64(void **state)
{
    (void)state;
    assert_true(basic("Basic cGF0cm9uaTpzZWNyZXQ="));
    assert_true(basic("basic cGF0cm9uaTpzZWNyZXQ=")); /* a scheme has no case */
    assert_false(basic("Basic cGF0cm9uaTpzZWNyZXQ"));
    assert_false(basic("Basic cGF0cm9uaTpzZWNyZXU=")); /* patroni:secreu */
    assert_false(basic("Basic cGF0cm9uaTpzZWNyZXQh"));
    assert_false(basic("Basic cGF0cm9uaQ==")); /* no colon */
    assert_false(basic("Basic ===="));
    assert_false(basic("Basic    cGF0cm9uaTpzZWNyZXQ="));
    assert_false(basic("Basic cGF0 cm9uaTpzZWNyZXQ="));
    assert_false(basic("Basic \xff\xff\xff\xff"));
    assert_false(basic("Basic "));
    assert_false(basic("Basic"));
    assert_false(basic(""));
    assert_false(basic("Bearer cGF0cm9uaTpzZWNyZXQ="));
}

static void a_password_may_have_colons_and_any_length_of_padding(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("u", "a:b");
    assert_true(etcd_auth_basic(&auth, span_str("Basic dTphOmI="))); /* u:a:b */
    auth = auth_of("u", "a:bc");
    assert_true(etcd_auth_basic(&auth, span_str("Basic dTphOmJj"))); /* u:a:bc */
    auth = auth_of("u", "ab");
    assert_true(etcd_auth_basic(&auth, span_str("Basic dTphYg=="))); /* u:ab */
}

static void a_header_as_long_as_a_head_may_be_is_refused(void **state)
{
    (void)state;
    struct etcd_auth auth = auth_of("patroni", "secret");
    struct buf header = BUF_INIT;
    buf_put_str(&header, "Basic ");
    for (size_t i = 0; i < 4096; i++) {
        buf_put_str(&header, "YWFh");
    }
    assert_false(etcd_auth_basic(&auth, buf_span(&header)));
    buf_free(&header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_name_and_password_together_are_the_user),
        cmocka_unit_test(a_token_holds_until_its_end_on_every_member),
        cmocka_unit_test(a_token_of_another_user_password_or_cluster_is_none),
        cmocka_unit_test(every_changed_byte_spoils_a_token),
        cmocka_unit_test(an_end_of_before_the_epoch_has_passed),
        cmocka_unit_test(basic_names_the_user_in_base64),
        cmocka_unit_test(a_password_may_have_colons_and_any_length_of_padding),
        cmocka_unit_test(a_header_as_long_as_a_head_may_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
