/* What `restapi` and `ctl` say of safety. */
#include "tests/unit/agent_config/config_fixture.h"

#include "base/buf.h"

#define AT  "  connect_address: 172.20.0.10:8008\n"
#define TLS "  certfile: tls/a.crt\n  cafile: /ca.crt\n"

static void files_user_and_rules_are_read(void **state)
{
    (void)state;
    struct config c =
        loaded(AT, AT TLS "  keyfile: a.key\n  keyfile_password: 123\n  ciphers: HIGH\n"
                          "  verify_client: Optional\n"
                          "  authentication: {username: admin, password: secret}\n"
                          "  allowlist: [10.0.0.5, '10.1.0.0/16', host.example]\n"
                          "  allowlist_include_members: true\n  server_tokens: minimal\n");
    const struct config_restapi *a = &c.restapi;
    assert_string_equal(a->tls.certfile, "/var/lib/pg/tls/a.crt");
    assert_string_equal(a->tls.keyfile, "/var/lib/pg/a.key");
    assert_string_equal(a->tls.keyfile_password.hidden, "123");
    assert_string_equal(a->tls.cafile, "/ca.crt");
    assert_string_equal(a->ciphers, "HIGH");
    assert_int_equal(a->verify, CONFIG_VERIFY_OPTIONAL);
    assert_string_equal(a->username, "admin");
    assert_string_equal(a->password.hidden, "secret");
    assert_int_equal(a->allowlist_count, 3);
    assert_string_equal(a->allowlist[2], "host.example");
    assert_true(a->include_members);
    assert_int_equal(a->tokens, CONFIG_TOKENS_MINIMAL);
    assert_string_equal(c.ctl.username, "admin"); /* what ctl does not say */
    assert_string_equal(c.ctl.tls.cafile, "/ca.crt");
    assert_false(c.ctl.own_cacert);
    assert_null(c.ctl.tls.certfile);
    config_free(&c);
    c = loaded(AT, AT "  allowlist: '10.0.0.5, 10.0.0.6'\n");
    assert_int_equal(c.restapi.allowlist_count, 2);
    assert_null(c.restapi.username);
    assert_null(c.restapi.headers);
    assert_true(c.restapi.ui);
    config_free(&c);
    c = loaded(AT, AT "  ui: off\n");
    assert_false(c.restapi.ui);
    config_free(&c);
}

static void commands_and_members_may_ask_as_somebody_else(void **state)
{
    (void)state;
    struct config c = loaded(
        "tags:\n", "ctl:\n  insecure: on\n  cacert: ca2\n  certfile: c\n  keyfile: k\n"
                   "  keyfile_password: p\n  authentication: {username: u, password: w}\ntags:\n");
    assert_true(c.ctl.insecure);
    assert_true(c.ctl.own_cacert);
    assert_string_equal(c.ctl.tls.cafile, "/var/lib/pg/ca2");
    assert_string_equal(c.ctl.tls.certfile, "/var/lib/pg/c");
    assert_string_equal(c.ctl.tls.keyfile, "/var/lib/pg/k");
    assert_string_equal(c.ctl.tls.keyfile_password.hidden, "p");
    assert_string_equal(c.ctl.username, "u");
    assert_string_equal(c.ctl.password.hidden, "w");
    config_free(&c);
}

static void half_of_it_is_refused(void **state)
{
    static const struct {
        const char *lines;
        const char *words;
    } rows[] = {
        {"  keyfile: k\n", "restapi.keyfile: is given without 'certfile'"},
        {"  verify_client: optional\n", "restapi.verify_client: is 'optional' without 'certfile'"},
        {"  certfile: c\n  verify_client: required\n",
         "restapi.verify_client: is 'required' without 'cafile'"},
        {TLS "  verify_client: require\n", "give 'none', 'optional' or 'required'"},
        {TLS "  verify_client: 1\n", "give 'none', 'optional' or 'required'"},
        {"  authentication: {username: u}\n", "restapi.authentication.password: is not there"},
        {"  authentication: {password: p}\n", "restapi.authentication.username: is not there"},
        {"  authentication: {username: 'a:b', password: p}\n", "has a colon"},
        {"  authentication: text\n", "restapi.authentication"},
        {"  allowlist: {a: b}\n", "restapi.allowlist: is no list"},
        {"  allowlist: [1]\n", "restapi.allowlist: its item 1 is no text"},
        {"  allowlist_include_members: maybe\n", "restapi.allowlist_include_members"},
        {"  ui: maybe\n", "restapi.ui: is a text, and no truth value"},
        {"  http_extra_headers: [a]\n", "restapi.http_extra_headers: is no mapping"},
        {"  http_extra_headers: {'a b': c}\n", "'a b' is no name of a header"},
        {"  http_extra_headers: {Content-Length: 5}\n", "'Content-Length' says how an answer"},
        {"  http_extra_headers: {X: [1]}\n", "the value of 'X' is no line of text"},
        {"  https_extra_headers: {X: \"a\\r\\nb\"}\n", "the value of 'X' is no line of text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *lines = mem_printf("%s%s", AT, rows[i].lines);
        refused(AT, lines, rows[i].words);
        mem_free(lines);
    }
    refused("tags:\n", "ctl: {keyfile: k}\ntags:\n", "ctl.keyfile: is given without 'certfile'");
    refused("tags:\n", "ctl: {authentication: {username: u}}\ntags:\n",
            "ctl.authentication.password: is not there");
    refused("tags:\n", "ctl: text\ntags:\n", "ctl");
    warned(AT, AT "  server_tokens: all\n", "restapi.server_tokens: 'all' is none of");
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct buf lines = BUF_INIT;
    buf_put_str(&lines, AT "  allowlist: [");
    for (int i = 0; i <= CONFIG_ALLOWLIST_MAX; i++) {
        buf_printf(&lines, "h%d,", i);
    }
    buf_put_str(&lines, "]\n");
    refused(AT, buf_str(&lines), "restapi.allowlist: has more than 128 entries");
    buf_clear(&lines);
    buf_put_str(&lines, AT "  http_extra_headers: {");
    for (int i = 0; i < 33; i++) {
        buf_printf(&lines, "%sX-%d: a", i > 0 ? ", " : "", i);
    }
    buf_put_str(&lines, "}\n");
    refused(AT, buf_str(&lines), "restapi.http_extra_headers: has more than 32 headers");
    buf_clear(&lines);
    buf_printf(&lines, AT "  https_extra_headers: {X: '%09000d'}\n" TLS, 1);
    refused(AT, buf_str(&lines), "more than 8192 bytes");
    buf_free(&lines);
}

static void headers_of_https_go_over_those_of_http(void **state)
{
    (void)state;
    struct config c = loaded(AT, AT "  http_extra_headers: {X-A: 1, X-B: deny}\n"
                                    "  https_extra_headers: {X-A: 2, X-C: true}\n");
    assert_string_equal(c.restapi.headers, "X-A: 1\r\nX-B: deny\r\n");
    config_free(&c);
    c = loaded(AT, AT TLS "  http_extra_headers: {X-A: 1, X-B: deny}\n"
                          "  https_extra_headers: {X-A: 2, X-C: true}\n");
    assert_string_equal(c.restapi.headers, "X-A: 2\r\nX-B: deny\r\nX-C: True\r\n");
    config_free(&c);
}

static void entries_of_the_list_have_to_mean_something(void **state)
{
    static const struct {
        const char *entry;
        bool good;
    } rows[] = {
        {"10.0.0.1", true}, {"10.0.0.0/8", true},  {"fd00::/8", true}, {"::1", true},
        {"host", true},     {"a-b.example", true}, {"1host", true},    {"10.0.0.0/33", false},
        {"10.0.0", false},  {"a/8", false},        {"a b", false},     {"http://a", false},
        {"", false},        {"*", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        struct config c = {.path = "f",
                           .restapi = {.allowlist = {rows[i].entry}, .allowlist_count = 1}};
        assert_true(config_check_place(&c, 0, &err));
        if ((err.code == 0) != rows[i].good) {
            fail_msg("'%s': %s", rows[i].entry, err.text);
        }
        assert_true(rows[i].good || strstr(err.text, "f: restapi.allowlist: '") == err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_user_and_rules_are_read),
        cmocka_unit_test(commands_and_members_may_ask_as_somebody_else),
        cmocka_unit_test(half_of_it_is_refused),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(headers_of_https_go_over_those_of_http),
        cmocka_unit_test(entries_of_the_list_have_to_mean_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
