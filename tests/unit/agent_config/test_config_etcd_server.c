/* The section `etcd_server`, and the file of a witness. */
#include "tests/unit/agent_config/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define POSTGRESQL                                                                            \
    "postgresql:\n"                                                                           \
    "  listen: 172.20.0.10:5432\n"                                                            \
    "  data_dir: /data/pg\n"                                                                  \
    "  pgpass: /tmp/pgpass0\n"                                                                \
    "  authentication: {replication: {username: r, password: p}, superuser: {password: z}}\n" \
    "restapi: {listen: '172.20.0.10:8008'}\n"
#define RAFT "raft: {data_dir: /data/raft, self_addr: '172.20.0.10:2222', password: raft-secret}\n"

static int load(enum config_use use, const char *rest, struct config *ret_config,
                struct config_warnings *warnings, struct error *err)
{
    struct config_source source = {
        .path = "node1.yml", .cwd = "/etc/pg", .home = "/home/pg", .use = use};
    char *text = mem_printf("scope: postgres\nname: node1\n%s", rest);
    return config_load_text(&source, text, ret_config, warnings, err);
}

static struct config loaded(enum config_use use, const char *rest)
{
    struct config config;
    struct error err = {0};
    if (load(use, rest, &config, NULL, &err) != 0) {
        fail_msg("%s: %s", rest, err.text);
    }
    return config;
}

static void refused_as(enum config_use use, const char *rest, const char *words)
{
    struct config config;
    struct error err = {0};
    if (load(use, rest, &config, NULL, &err) == 0) {
        fail_msg("'%s' was taken", rest);
    }
    if (strncmp(err.text, "node1.yml: ", 11) != 0 || strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_null(strchr(err.text, '\n'));
    assert_null(config.memory);
}

/* Of an agent's file with this section. */
static struct config section(const char *lines)
{
    char *rest = mem_printf(POSTGRESQL RAFT "etcd_server:\n%s", lines);
    struct config config = loaded(CONFIG_AGENT, rest);
    mem_free(rest);
    return config;
}

static void refused(const char *lines, const char *words)
{
    char *rest = mem_printf(POSTGRESQL RAFT "etcd_server:\n%s", lines);
    refused_as(CONFIG_AGENT, rest, words);
    mem_free(rest);
}

static void without_the_section_nothing_is_served(void **state)
{
    (void)state;
    struct config c = loaded(CONFIG_AGENT, POSTGRESQL RAFT);
    assert_false(c.etcd_server.given);
    assert_null(c.etcd_server.listen.text);
    config_free(&c);
    c = loaded(CONFIG_AGENT, POSTGRESQL RAFT "etcd_server:\n");
    assert_false(c.etcd_server.given);
    config_free(&c);
}

static void what_is_advertised_follows_from_the_other_addresses(void **state)
{
    (void)state;
    struct config c = section("  listen: '*:2379'\n");
    assert_true(c.etcd_server.given);
    assert_string_equal(c.etcd_server.listen.host, "");
    assert_int_equal(c.etcd_server.listen.port, 2379);
    assert_string_equal(c.etcd_server.advertise, "http://172.20.0.10:2379");
    assert_null(c.etcd_server.username);
    config_free(&c);
    c = section("  listen: 127.0.0.1:4001\n  certfile: tls/a.crt\n");
    assert_string_equal(c.etcd_server.advertise, "https://172.20.0.10:4001");
    assert_string_equal(c.etcd_server.certfile, "/etc/pg/tls/a.crt");
    config_free(&c);
    c = loaded(CONFIG_AGENT, POSTGRESQL "raft: {data_dir: /r, self_addr: '[fd00::1]:2222'}\n"
                                        "etcd_server: {listen: '*:2379'}\n");
    assert_string_equal(c.etcd_server.advertise, "http://[fd00::1]:2379");
    config_free(&c);
}

static void urls_are_a_list_or_a_text_with_commas(void **state)
{
    (void)state;
    struct config c = section("  listen: '*:2379'\n"
                              "  advertise: ['http://10.0.0.1:2379', 'http://[fd00::1]:2380']\n");
    assert_string_equal(c.etcd_server.advertise, "http://10.0.0.1:2379,http://[fd00::1]:2380");
    config_free(&c);
    c = section("  listen: '*:2379'\n  advertise: http://a:1, http://b.example:2\n");
    assert_string_equal(c.etcd_server.advertise, "http://a:1,http://b.example:2");
    config_free(&c);
    c = section("  listen: '*:2379'\n  advertise: https://proxy:443\n"); /* TLS ends elsewhere */
    assert_string_equal(c.etcd_server.advertise, "https://proxy:443");
    config_free(&c);
}

static void urls_that_clients_could_not_use_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"10.0.0.1:2379", "etcd_server.advertise: '10.0.0.1:2379' has no scheme"},
        {"http://10.0.0.1", "etcd_server.advertise: '10.0.0.1' has no port"},
        {"http://10.0.0.1:0", "no port from 1 to 65535"},
        {"http://10.0.0.1:2379/", "has more than scheme, host and port"},
        {"http://10.0.0.1:2379/v3", "has more than scheme, host and port"},
        {"http://u:p@10.0.0.1:2379", "has more than scheme, host and port"},
        {"http://*:2379", "is every address of a host"},
        {"http://0.0.0.0:2379", "'0.0.0.0:2379' is every address of a host, and none to connect "
                                "to: give the one that reaches it, such as 10.0.0.1:2379"},
        {"'http://[::]:2379'", "is every address of a host"},
        {"http://:2379", "is every address of a host"},
        {"5", "is neither a URL nor a list of them"},
        {"[5]", "its item 1 is no text"},
        {"['http://a:1', 'b:2']", "'b:2' has no scheme"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *lines = mem_printf("  listen: '*:2379'\n  advertise: %s\n", cases[i][0]);
        refused(lines, cases[i][1]);
        mem_free(lines);
    }
    refused("  listen: '*:2379'\n  certfile: /a\n  advertise: http://a:1\n",
            "'http://a:1' is plain http, and 'certfile' is given: give https");
    char *many = mem_printf("  listen: '*:2379'\n  advertise: http://%0*d:1,http://%0*d:1\n", 240,
                            1, 253, 2);
    refused(many, "etcd_server.advertise: is longer than 511 bytes");
    mem_free(many);
}

static void the_listener_needs_a_port_of_its_own(void **state)
{
    (void)state;
    refused("  advertise: http://a:1\n", "etcd_server.listen: is not there");
    refused("  listen: 10.0.0.1\n", "etcd_server.listen: '10.0.0.1' has no port: give host:port, "
                                    "such as 0.0.0.0:2379");
    refused("  listen: http://0.0.0.0:2379\n",
            "etcd_server.listen: 'http://0.0.0.0:2379' is a URL: give host:port, such as "
            "0.0.0.0:2379");
    refused("  listen: '10.0.0.1,10.0.0.2:2379'\n", "is a list, and one address is listened on");
    refused("  listen: 172.20.0.10:8008\n",
            "etcd_server.listen: has the address of restapi.listen");
    refused("  listen: '*:2222'\n", "etcd_server.listen: has the address of raft.self_addr");
    refused("  listen: 172.20.0.10:5432\n",
            "etcd_server.listen: has the address of postgresql.listen");
}

static void certificates_and_users_are_whole_or_not_there(void **state)
{
    (void)state;
    struct config c = section("  listen: '*:2379'\n"
                              "  certfile: /a.crt\n"
                              "  keyfile: /a.key\n"
                              "  cafile: /ca.crt\n"
                              "  client_cert_auth: on\n"
                              "  authentication: {username: patroni, password: s3cret}\n");
    assert_string_equal(c.etcd_server.keyfile, "/a.key");
    assert_string_equal(c.etcd_server.cafile, "/ca.crt");
    assert_true(c.etcd_server.client_cert_auth);
    assert_string_equal(c.etcd_server.username, "patroni");
    assert_string_equal(c.etcd_server.password.hidden, "s3cret");
    config_free(&c);
    refused("  listen: '*:2379'\n  keyfile: /a\n", "etcd_server.keyfile: is given without 'certf");
    refused("  listen: '*:2379'\n  cafile: /a\n",
            "etcd_server.cafile: is given without 'certfile'");
    refused("  listen: '*:2379'\n  client_cert_auth: true\n",
            "etcd_server.client_cert_auth: is given without 'certfile'");
    refused("  listen: '*:2379'\n  certfile: /a\n  client_cert_auth: true\n",
            "etcd_server.client_cert_auth: is given without 'cafile'");
    refused("  listen: '*:2379'\n  client_cert_auth: sometimes\n", "no truth value");
    refused("  listen: '*:2379'\n  authentication: {username: a}\n",
            "etcd_server.authentication.password: is not there: give both");
    refused("  listen: '*:2379'\n  authentication: {password: a}\n",
            "etcd_server.authentication.username: is not there: give both");
    refused("  listen: '*:2379'\n  authentication: {username: 'a:b', password: c}\n",
            "etcd_server.authentication.username: has a colon");
    refused("  listen: '*:2379'\n  authentication: root\n",
            "etcd_server.authentication: is a text: give a mapping");
}

static void wrong_names_say_what_is_right(void **state)
{
    (void)state;
    refused("  lisen: '*:2379'\n", "etcd_server.lisen: there is no key of that name: did you mean "
                                   "'listen'?");
    refused("  listen: '*:2379'\n  authentication: {user_name: a, password: b}\n",
            "did you mean 'username'?");
    refused_as(CONFIG_AGENT, POSTGRESQL RAFT "etcdserver: {listen: '*:2379'}\n",
               "did you mean 'etcd_server'?");
    refused_as(CONFIG_AGENT, POSTGRESQL RAFT "etcd_server: '*:2379'\n",
               "etcd_server: is a text: give a mapping");
}

static void it_is_the_face_of_a_raft_group_only(void **state)
{
    (void)state;
    refused_as(CONFIG_AGENT,
               POSTGRESQL "etcd3: {host: 10.0.0.4}\netcd_server: {listen: '*:2379'}\n",
               "etcd_server: is given beside 'etcd3': it serves the Raft group's store");
    refused_as(CONFIG_AGENT, POSTGRESQL "etcd: {host: 10.0.0.4}\netcd_server: {listen: '*:2379'}\n",
               "etcd_server: is given beside 'etcd'");
}

static void a_client_does_not_look_at_it(void **state)
{
    (void)state;
    struct config c = loaded(CONFIG_CLIENT, RAFT "etcd_server: {listen: nonsense}\n");
    assert_false(c.etcd_server.given);
    config_free(&c);
}

static void a_witness_needs_its_raft_section_only(void **state)
{
    (void)state;
    struct config c = loaded(CONFIG_WITNESS, RAFT);
    assert_string_equal(c.name, "node1");
    assert_string_equal(c.raft.self.text, "172.20.0.10:2222");
    assert_null(c.restapi_listen.text);
    assert_false(c.etcd_server.given);
    config_free(&c);
    c = loaded(CONFIG_WITNESS, RAFT "restapi: {listen: '*:8008'}\n"
                                    "etcd_server: {listen: '*:2379'}\n"
                                    "bootstrap: {dcs: {ttl: 5, loop_wait: 1, retry_timeout: 1}}\n");
    assert_string_equal(c.restapi_listen.text, ":8008");
    assert_string_equal(c.etcd_server.advertise, "http://172.20.0.10:2379");
    assert_int_equal(json_integer_value(json_object_get(c.bootstrap.dcs, "ttl")), 5);
    config_free(&c);
}

static void a_file_that_is_no_witness_s_is_refused(void **state)
{
    (void)state;
    refused_as(CONFIG_WITNESS, RAFT POSTGRESQL,
               "postgresql: a witness runs no PostgreSQL: take the section out, or start the "
               "agent: pgquorum FILE");
    refused_as(CONFIG_WITNESS, "etcd3: {host: a}\n", "etcd3: a witness votes in a Raft group");
    refused_as(CONFIG_WITNESS, "etcd: {host: a}\n", "etcd: a witness votes in a Raft group");
    refused_as(CONFIG_WITNESS, "\n", "raft: is not there");
    refused_as(CONFIG_WITNESS, "raft: {data_dir: /r}\n", "raft.self_addr: is not there");
    refused_as(CONFIG_WITNESS, RAFT "restapi: {listen: '*:2222'}\n",
               "raft.self_addr: has the address of restapi.listen");
    refused_as(CONFIG_WITNESS, RAFT "etcd_server: {listen: '*:2222'}\n",
               "etcd_server.listen: has the address of raft.self_addr");
}

static void what_a_witness_does_not_do_is_told(void **state)
{
    (void)state;
    struct config config;
    struct config_warnings warnings = {0};
    struct error err = {0};
    assert_int_equal(
        load(CONFIG_WITNESS, RAFT "tags: {nofailover: true}\n", &config, &warnings, &err), 0);
    assert_int_equal(warnings.count, 1);
    assert_string_equal(warnings.texts[0],
                        "node1.yml: tags: has no effect on a witness, ignoring it");
    config_free(&config);
    config_warnings_free(&warnings);
}

static void an_agent_without_postgresql_hears_of_the_witness(void **state)
{
    (void)state;
    refused_as(CONFIG_AGENT, RAFT "restapi: {listen: '172.20.0.10:8008'}\n",
               "postgresql: is not there: give a section with listen, data_dir and authentication, "
               "or start a member without PostgreSQL: pgquorum witness FILE");
}

static void a_witness_s_file_is_read_from_disk(void **state)
{
    (void)state;
    char path[] = "/tmp/witness-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "scope: s\nname: w\n" RAFT;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(close(fd), 0);
    struct config config;
    struct error err = {0};
    assert_int_equal(config_load_witness(path, &config, NULL, &err), 0);
    assert_string_equal(config.state_dir, "/data/raft");
    config_free(&config);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(config_load_witness(path, &config, NULL, &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_section_nothing_is_served),
        cmocka_unit_test(what_is_advertised_follows_from_the_other_addresses),
        cmocka_unit_test(urls_are_a_list_or_a_text_with_commas),
        cmocka_unit_test(urls_that_clients_could_not_use_are_refused),
        cmocka_unit_test(the_listener_needs_a_port_of_its_own),
        cmocka_unit_test(certificates_and_users_are_whole_or_not_there),
        cmocka_unit_test(wrong_names_say_what_is_right),
        cmocka_unit_test(it_is_the_face_of_a_raft_group_only),
        cmocka_unit_test(a_client_does_not_look_at_it),
        cmocka_unit_test(a_witness_needs_its_raft_section_only),
        cmocka_unit_test(a_file_that_is_no_witness_s_is_refused),
        cmocka_unit_test(what_a_witness_does_not_do_is_told),
        cmocka_unit_test(an_agent_without_postgresql_hears_of_the_witness),
        cmocka_unit_test(a_witness_s_file_is_read_from_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
