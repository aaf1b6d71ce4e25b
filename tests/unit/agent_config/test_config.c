/* The document's file with a raft section, and every mistake that is told in one line: file, key,
 * what is wrong, what would be right. Each mistake is an edit of the good file. */
#include "agent/config/reader.h"
#include "base/buf.h"
#include "tests/harness/scratch.h"
#include "tests/unit/agent_config/config_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void the_file_of_the_document_is_read_whole(void **state)
{
    (void)state;
    struct config_warnings warnings = {0};
    struct error err = {0};
    struct config c;
    assert_int_equal(load(NULL, NULL, false, &c, &warnings, &err), 0);
    assert_int_equal(warnings.count, 0);
    assert_string_equal(c.scope, "postgres");
    assert_string_equal(c.namespace_, "/db");
    assert_string_equal(c.prefix, "/db/postgres/");
    assert_string_equal(c.name, "node1");
    assert_string_equal(c.restapi_listen.host, "172.20.0.10");
    assert_int_equal(c.restapi_listen.port, 8008);
    assert_string_equal(c.raft.data_dir, "/data/raft");
    assert_string_equal(c.raft.bind.text, "172.20.0.10:2222");
    assert_int_equal(c.raft.partner_count, 2);
    assert_string_equal(c.raft.partners[1].text, "172.20.0.12:2222");
    assert_string_equal(c.bootstrap.initdb.items[0], "encoding=UTF8");
    assert_string_equal(c.bootstrap.initdb.items[1], "data-checksums");
    assert_string_equal(c.bootstrap.pg_hba.items[1], "host all all 0.0.0.0/0 md5");
    assert_int_equal(c.bootstrap.user_count, 1);
    assert_string_equal(c.bootstrap.users[0].name, "admin");
    assert_string_equal(c.bootstrap.users[0].options.items[1], "CREATEDB");
    assert_int_equal(json_integer_value(json_object_get(c.bootstrap.dcs, "ttl")), 30);
    assert_string_equal(c.postgresql.listen.host, "172.20.0.10");
    assert_string_equal(c.postgresql.rewind.username, "rewind_user");
    assert_string_equal(c.postgresql.config_dir, "/data/patroni");
    assert_string_equal(c.postgresql.config_base_name, "postgresql");
    assert_int_equal(c.postgresql.local_way, PG_LOCAL_EITHER);
    assert_int_equal(c.postgresql.local_repl_way, PG_LOCAL_EITHER);
    assert_string_equal(c.postgresql.database, "postgres");
    assert_int_equal(c.postgresql.pg_ctl_timeout_ms, 60000);
    assert_false(c.postgresql.use_pg_rewind_given);
    assert_int_equal(json_object_size(c.tags.published), 0);
    assert_false(c.tags.nofailover);
    assert_int_equal(c.tags.failover_priority, 1);
    assert_int_equal(c.watchdog.mode, CONFIG_WATCHDOG_AUTOMATIC);
    config_free(&c);
}

static void the_guard_is_for_who_asks_for_it(void **state)
{
    static const char *const words[] = {"true", "on", "false"};
    (void)state;
    struct config c = loaded(NULL, NULL);
    assert_false(c.postgresql.guard);
    config_free(&c);
    for (size_t i = 0; i < 3; i++) {
        char *text = mem_printf("  pgpass: /tmp/pgpass0\n  guard: %s\n", words[i]);
        c = loaded("  pgpass: /tmp/pgpass0\n", text);
        assert_int_equal(c.postgresql.guard, i < 2);
        config_free(&c);
        mem_free(text);
    }
    refused("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  guard: 15\n",
            "postgresql.guard");
    refused("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  gaurd: true\n", "'guard'?");
}

static void certificates_of_the_raft_port_are_files(void **state)
{
    (void)state;
    struct config c =
        loaded("  data_dir: /data/raft", "  certfile: tls/node1.crt\n  keyfile: /etc/node1.key\n"
                                         "  cafile: /etc/ca.crt\n  data_dir: /data/raft");
    assert_string_equal(c.raft.certfile, "/var/lib/pg/tls/node1.crt");
    assert_string_equal(c.raft.keyfile, "/etc/node1.key");
    assert_string_equal(c.raft.cafile, "/etc/ca.crt");
    config_free(&c);
    c = loaded("  data_dir: /data/raft", "  certfile: /a\n  cafile: /b\n  data_dir: /data/raft");
    assert_null(c.raft.keyfile); /* in certfile */
    config_free(&c);
}

static void addresses_need_a_port_and_one_host(void **state)
{
    (void)state;
    refused("self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10",
            "raft.self_addr: '172.20.0.10' has no port: give host:port");
    refused("self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10:0", "no port from 1 to 65535");
    refused("self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10:65536",
            "no port from 1 to 65535");
    refused("self_addr: 172.20.0.10:2222", "self_addr: '*:2222'",
            "raft.self_addr: '*:2222' is every address of a host");
    refused("self_addr: 172.20.0.10:2222", "self_addr: 'fd00::1'", "has no port");
    refused("'172.20.0.11:2222'", "'172.20.0.11'", "raft.partner_addrs: '172.20.0.11' has no port");
    refused("'172.20.0.11:2222'", "5", "raft.partner_addrs: its item 1 is no text");
    refused("'172.20.0.11:2222'", "'172.20.0.12:2222'", "is there twice");
    refused("listen: 172.20.0.10:8008", "listen: 172.20.0.10",
            "restapi.listen: '172.20.0.10' has no port");
    refused("listen: 172.20.0.10:5432", "listen: 172.20.0.10:x",
            "postgresql.listen: '172.20.0.10:x' has no port");
    struct config c = loaded("self_addr: 172.20.0.10:2222", "self_addr: '[fd00::1]:2222'");
    assert_string_equal(c.raft.self.host, "fd00::1");
    assert_string_equal(c.raft.self.text, "[fd00::1]:2222");
    config_free(&c);
    c = loaded("  listen: 172.20.0.10:5432", "  listen: '172.20.0.10,127.0.0.1'");
    assert_string_equal(c.postgresql.listen.host, "172.20.0.10,127.0.0.1");
    assert_int_equal(c.postgresql.listen.port, 5432);
    config_free(&c);
    refused(
        "listen: 172.20.0.10:8008", "listen: '172.20.0.10,127.0.0.1:8008'",
        "restapi.listen: '172.20.0.10,127.0.0.1:8008' is a list, and one address is listened on");
    refused(
        "  self_addr: 172.20.0.10:2222\n",
        "  self_addr: 172.20.0.10:2222\n  bind_addr: '172.20.0.10,127.0.0.1:2222'\n",
        "raft.bind_addr: '172.20.0.10,127.0.0.1:2222' is a list, and one address is listened on");
    c = loaded("  listen: 172.20.0.10:8008", "  listen: '*:8008'");
    assert_string_equal(c.restapi_listen.host, "");
    config_free(&c);
}

/* What others connect to is one address; the refusal gives one with the port of that key. */
static void every_address_is_none_to_connect_to(void **state)
{
    static const char *const every[] = {"0.0.0.0", "[::]"};
    static const struct {
        const char *from;
        const char *to;
        const char *key;
        int port;
    } keys[] = {
        {"self_addr: 172.20.0.10:2222", "self_addr: ", "raft.self_addr", 2222},
        {"'172.20.0.11:2222'", "", "raft.partner_addrs", 2222},
        {"  connect_address: 172.20.0.10:8008", "  connect_address: ", "restapi.connect_address",
         8008},
        {"  connect_address: 172.20.0.10:5432", "  connect_address: ", "postgresql.connect_address",
         5432},
    };
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (size_t j = 0; j < sizeof every / sizeof every[0]; j++) {
            char address[32];
            char to[80];
            char words[160];
            snprintf(address, sizeof address, "'%s:%d'", every[j], keys[i].port);
            snprintf(to, sizeof to, "%s%s", keys[i].to, address);
            snprintf(words, sizeof words,
                     "%s: %s is every address of a host, and none to connect to: give the one that "
                     "reaches it, such as 10.0.0.1:%d",
                     keys[i].key, address, keys[i].port);
            refused(keys[i].from, to, words);
        }
    }
}

/* Cut, they would lead somewhere else. */
static void urls_that_are_published_fit(void **state)
{
    static const struct {
        const char *from;
        int port;
        int longest; /* bytes of the host */
        const char *words;
    } urls[] = {
        {"  connect_address: 172.20.0.10:8008", 8008, 255 - (int)sizeof("http://:8008/patroni") + 1,
         "restapi.connect_address: http://hhh"},
        {"  connect_address: 172.20.0.10:5432", 5432,
         255 - (int)sizeof("postgres://:5432/postgres") + 1,
         "postgresql.connect_address: postgres://hhh"},
    };
    char host[256];
    (void)state;
    memset(host, 'h', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        for (int more = 0; more <= 1; more++) {
            char *to = mem_printf("  connect_address: %.*s:%d", urls[i].longest + more, host,
                                  urls[i].port);
            if (more == 0) {
                struct config c = loaded(urls[i].from, to);
                config_free(&c);
            } else {
                refused(urls[i].from, to, urls[i].words);
                refused(urls[i].from, to, "is longer than 255 bytes");
            }
            mem_free(to);
        }
    }
}

static void a_listener_is_told_an_address_with_its_own_port(void **state)
{
    (void)state;
    refused("  listen: 172.20.0.10:8008", "  listen: 8008",
            "restapi.listen: '8008' has no port: give host:port, such as 0.0.0.0:8008");
    refused("  listen: 172.20.0.10:8008", "  listen: http://0.0.0.0:8008",
            "restapi.listen: 'http://0.0.0.0:8008' is a URL: give host:port, such as 0.0.0.0:8008");
    refused("  listen: 172.20.0.10:5432", "  listen: 172.20.0.10:0", "such as 0.0.0.0:5432");
    refused("self_addr: 172.20.0.10:2222", "bind_addr: 1\n  self_addr: 172.20.0.10:2222",
            "raft.bind_addr: '1' has no port: give host:port, such as 0.0.0.0:2222");
}

/* As Patroni takes them: spaces and brackets in a list do not reach PostgreSQL. */
static void hosts_of_a_list_are_bare(void **state)
{
    (void)state;
    struct config c =
        loaded("  listen: 172.20.0.10:5432", "  listen: '172.20.0.10, [::1] ,localhost:5433'");
    assert_string_equal(c.postgresql.listen.host, "172.20.0.10,::1,localhost");
    assert_int_equal(c.postgresql.listen.port, 5433);
    config_free(&c);
    refused("  listen: 172.20.0.10:5432", "  listen: '172.20.0.10,:5432'",
            "names no host or list of hosts");
    /* the port is not there: the address lost its end to it */
    refused("  listen: 172.20.0.10:5432", "  listen: '172.20.0.10,fd00::1'",
            "names no host or list of hosts");
    refused("  listen: 172.20.0.10:5432", "  listen: '172.20.0.10,a b:5432'",
            "names no host or list of hosts");
}

static void one_partner_list_may_serve_all_nodes(void **state)
{
    (void)state;
    struct config c = loaded("['172.20.0.11:2222', '172.20.0.12:2222']",
                             "172.20.0.10:2222,172.20.0.11:2222, 172.20.0.12:2222");
    assert_int_equal(c.raft.partner_count, 2);
    config_free(&c);
    warned("['172.20.0.11:2222', '172.20.0.12:2222']", "['172.20.0.11:2222']", "two members");
}

static void names_that_are_nearly_right_are_refused(void **state)
{
    (void)state;
    refused("retry_timeout:", "retry_timeuot:",
            "bootstrap.dcs.retry_timeuot: there is no key of that name: did you mean "
            "'retry_timeout'?");
    refused("use_pg_rewind:", "use_pg_rewnd:",
            "bootstrap.dcs.postgresql.use_pg_rewnd: there is no key of that name: did you mean "
            "'use_pg_rewind'?");
    refused("self_addr:", "selfaddr:", "did you mean 'self_addr'?");
    refused("partner_addrs:", "partner_adrs:", "did you mean 'partner_addrs'?");
    refused("scope:", "scop:", "scop: there is no key of that name: did you mean 'scope'?");
    refused("data_dir: /data/patroni", "data-dir: /data/patroni", "did you mean 'data_dir'?");
    refused("replication: {username", "replication: {user_name", "did you mean 'username'?");
    refused("noloadbalance:", "noloadbalanse:", "tags.noloadbalanse");
    warned("tags:", "my_own_section: 1\ntags:", "my_own_section: no key that is known here");
    warned("  pgpass:", "  wal_e: {command: x}\n  pgpass:",
           "postgresql.wal_e: no key that is known here");
}

static void tags_of_ones_own_are_published(void **state)
{
    (void)state;
    struct config c = loaded("  clonefrom: false\n",
                             "  clonefrom: true\n  region: 'north'\n  failover_priority: 5\n");
    assert_string_equal(json_string_value(json_object_get(c.tags.published, "region")), "north");
    assert_true(json_is_true(json_object_get(c.tags.published, "clonefrom")));
    assert_true(json_is_false(
        json_object_get(c.tags.published, "nofailover"))); /* kept beside the priority */
    assert_null(json_object_get(c.tags.published, "nosync"));
    assert_true(c.tags.clonefrom);
    assert_int_equal(c.tags.failover_priority, 5);
    config_free(&c);
}

static void nofailover_and_priority_agree_or_warn(void **state)
{
    (void)state;
    struct config c = loaded("  nofailover: false\n", "  failover_priority: 0\n");
    assert_true(c.tags.nofailover);
    assert_int_equal(c.tags.failover_priority, 0);
    config_free(&c);
    warned("  nofailover: false\n", "  nofailover: true\n  failover_priority: 3\n", "contradict");
    warned("  nofailover: false\n", "  nofailover: 'false'\n", "counts as true");
    c = loaded("  nosync: false\n",
               "  sync_priority: 0\n  nostream: 'off'\n  replicatefrom: node2\n");
    assert_true(c.tags.nosync);
    assert_false(c.tags.nostream);
    assert_string_equal(c.tags.replicatefrom, "node2");
    config_free(&c);
    refused("  nofailover: false\n", "  failover_priority: high\n", "tags.failover_priority");
}

static void values_of_the_wrong_type_are_refused(void **state)
{
    (void)state;
    refused("name: node1", "name: [a]", "name: is a list: give a text");
    refused("name: node1", "name: on", "name: is true or false: give a text");
    refused("name: node1\n", "", "name: is not there");
    refused("scope: postgres\n", "", "scope: is not there");
    refused("scope: postgres", "scope: a/b", "scope: 'a/b' has a slash");
    refused("name: node1", "name: n234567890123456789012345678901234567890123456789012345678901234",
            "longer than 63 bytes");
    refused("name: node1", "name: ..", "name: '..' is a step in a path, and keys are paths");
    refused("scope: postgres", "scope: .", "scope: '.' is a step in a path");
    refused("ttl: 30", "ttl: soon", "bootstrap.dcs.ttl: \"soon\" is not right: give a time from 3");
    refused("use_pg_rewind: true", "use_pg_rewind: maybe",
            "bootstrap.dcs.postgresql.use_pg_rewind");
    refused("  parameters:\n    unix_socket_directories: '.'\n", "  parameters: [a]\n",
            "postgresql.parameters: is a list: give a mapping");
    refused("unix_socket_directories: '.'", "unix_socket_directories: ['.']",
            "postgresql.parameters.unix_socket_directories");
    refused("['172.20.0.11:2222', '172.20.0.12:2222']", "{a: b}", "raft.partner_addrs: is no list");
    refused("options: [createrole, createdb]", "options: createrole",
            "bootstrap.users.admin.options: is a text");
    refused("options: [createrole, createdb]", "options: ['createrole; drop']",
            "no option of CREATE ROLE");
    refused("  dcs:\n", "  dcs: 5\n  ignored:\n", "bootstrap.dcs: is a number: give a mapping");
    refused("- encoding: UTF8", "- [a]", "bootstrap.initdb: its item 1 is a list");
    refused("- encoding: UTF8", "- {a: b, c: d}", "more than one pair");
    refused("- encoding: UTF8", "- pwfile: /x", "'pwfile' may not be given");
    refused("- encoding: UTF8", "- data-checksums: true",
            "the value of 'data-checksums' is true or false");
    refused("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  pg_ctl_timeout: 0\n",
            "postgresql.pg_ctl_timeout: is out of range");
    refused("  pgpass: /tmp/pgpass0\n", "  use_pg_rewind: maybe\n", "postgresql.use_pg_rewind");
    refused("  pgpass: /tmp/pgpass0\n", "  basebackup: [{format: t}]\n",
            "postgresql.basebackup: 'format' may not be given");
    refused("  pgpass: /tmp/pgpass0\n", "  pg_hba: [\"a\\nb\"]\n",
            "postgresql.pg_hba: its item 1 is more than one line");
}

static void lists_have_an_end(void **state)
{
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, "  basebackup: [");
    for (int i = 0; i <= PG_LINES_MAX; i++) {
        buf_put_str(&text, "verbose,");
    }
    buf_put_str(&text, "]\n  pgpass: /tmp/p\n");
    refused("  pgpass: /tmp/pgpass0\n", buf_str(&text),
            "postgresql.basebackup: is too long: give a list of options, 1024 at most");
    buf_free(&text);
}

static void missing_sections_are_named(void **state)
{
    (void)state;
    refused("raft:\n  data_dir: /data/raft\n  self_addr: 172.20.0.10:2222\n"
            "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n",
            "", "raft: is not there");
    refused("  self_addr: 172.20.0.10:2222\n", "", "raft.self_addr: is not there");
    refused("  data_dir: /data/raft\n", "", "raft.data_dir: is not there");
    refused("  data_dir: /data/patroni\n", "", "postgresql.data_dir: is not there");
    refused("username: replicator, ", "",
            "postgresql.authentication.replication.username: is not there");
}

static void without_an_address_of_its_own_it_is_a_client_of_the_group(void **state)
{
    static const char self[] = "  self_addr: 172.20.0.10:2222\n";
    (void)state;
    struct config c = loaded(NULL, NULL);
    assert_false(c.raft.client);
    assert_true(config_is_raft_member(&c) && config_state_in_raft(&c));
    config_free(&c);
    c = loaded(self, "  password: secret\n");
    assert_true(c.raft.client && c.store == CONFIG_STORE_RAFT);
    assert_false(config_is_raft_member(&c));
    assert_null(c.raft.self.text);
    assert_int_equal(c.raft.partner_count, 2);
    assert_string_equal(c.state_dir,
                        "/data/raft"); /* what it has to remember, where no state_dir is */
    config_free(&c);
    c = loaded("raft:\n  data_dir: /data/raft\n  self_addr: 172.20.0.10:2222\n",
               "state_dir: /data/state\nraft:\n  password: secret\n");
    assert_true(c.raft.client);
    assert_string_equal(c.state_dir, "/data/state");
    assert_false(config_state_in_raft(&c));
    config_free(&c);
    refused(self, "",
            "raft.self_addr: is not there: give it for a member of the group; without it "
            "this node is a client, which needs the group's raft.password");
    refused(self, "  password: secret\n  bind_addr: 172.20.0.10:2222\n",
            "raft.bind_addr: is there, and self_addr is not");
    refused("  self_addr: 172.20.0.10:2222\n"
            "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n",
            "  password: secret\n  partner_addrs: []\n", "raft.partner_addrs: names nobody");
    refused("  self_addr: 172.20.0.10:2222\n"
            "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n",
            "  password: secret\n", "raft.self_addr: is not there");
    refused("  self_addr: 172.20.0.10:2222\n"
            "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n",
            "  password: secret\n  partner_addrs: ['172.20.0.11:2222']\n"
            "etcd_server:\n  listen: 172.20.0.10:2379\n",
            "etcd_server: is given, and raft.self_addr is not");
}

static void stores_that_are_not_served_are_refused_by_name(void **state)
{
    (void)state;
    refused("raft:\n", "etcd: {host: '172.20.0.13:2379'}\nraft:\n", "etcd: stands beside 'raft'");
    refused("raft:\n", "etcd3: {host: '172.20.0.13:2379'}\nraft:\n", "etcd3: stands beside 'raft'");
    refused("raft:\n", "consul: {host: x}\nraft:\n", "consul: not served by this release");
    refused("raft:\n", "zookeeper: {hosts: x}\nraft:\n", "zookeeper: not served by this release");
    refused("raft:\n", "exhibitor:\nraft:\n", "exhibitor: not served by this release");
    refused("raft:\n", "kubernetes: {}\nraft:\n", "kubernetes: not served by this release");
}

static void what_is_off_is_not_asked_for(void **state)
{
    static const char *const lines[] = {"citus:", "citus: {}", "citus: off"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *text = mem_printf("%s\nraft:\n", lines[i]);
        struct config config = loaded("raft:\n", text);
        config_free(&config);
        mem_free(text);
    }
}

static void keys_that_would_do_harm_if_ignored_are_refused_by_name(void **state)
{
    (void)state;
    refused("    ttl: 30", "    citus: {group: 0}\n    ttl: 30", "bootstrap.dcs.citus: not served");
    refused("    ttl: 30", "    standby_cluster: {primary_slot_name: x}\n    ttl: 30",
            "standby_cluster: incomplete: give host, port or restore_command");
    refused("    ttl: 30", "    synchronous_mode: sometimes\n    ttl: 30", "on, off or quorum");
    refused("    ttl: 30", "    pause: true\n    ttl: 30", "bootstrap.dcs.pause");
    refused("    ttl: 30", "    failsafe_mode: maybe\n    ttl: 30", "failsafe_mode");
    refused("tags:\n", "watchdog: {mode: sometimes}\ntags:\n",
            "watchdog.mode: is none of the modes");
    refused("tags:\n", "citus: {group: 0, database: x}\ntags:\n", "citus: not served");
    refused("  data_dir: /data/raft", "  certfile: /x\n  data_dir: /data/raft",
            "raft.cafile: is not there, and certfile is");
    refused("  data_dir: /data/raft", "  cafile: /x\n  data_dir: /data/raft",
            "raft.certfile: is not there, and cafile is");
    refused("  data_dir: /data/raft", "  keyfile: /x\n  data_dir: /data/raft",
            "raft.certfile: is not there, and keyfile is");
    refused("bootstrap:\n", "bootstrap:\n  method: wal_e\n", "bootstrap.method");
}

#define PGPASS "  pgpass: /tmp/pgpass0\n"

static void the_configuration_may_be_apart_from_the_data(void **state)
{
    (void)state;
    struct config c =
        loaded(PGPASS, PGPASS "  config_dir: etc/../conf\n  config_base_name: pg15\n");
    assert_string_equal(c.postgresql.config_dir, "/var/lib/pg/conf");
    assert_string_equal(c.postgresql.config_base_name, "pg15");
    config_free(&c);
    c = loaded(PGPASS, PGPASS "  config_dir: /data/patroni/\n");
    assert_string_equal(c.postgresql.config_dir, "/data/patroni");
    config_free(&c);
    c = loaded(PGPASS, PGPASS "  config_dir: /data\n"); /* around it nothing is lost */
    assert_string_equal(c.postgresql.config_dir, "/data");
    config_free(&c);
    refused(PGPASS, PGPASS "  config_dir: /data/patroni/conf\n",
            "postgresql.config_dir: '/data/patroni/conf' lies in data_dir '/data/patroni'");
    refused(PGPASS, PGPASS "  config_base_name: a/b\n",
            "postgresql.config_base_name: 'a/b' is no name");
    refused(PGPASS, PGPASS "  config_base_name: .conf\n", "postgresql.config_base_name");
    refused(PGPASS,
            PGPASS "  config_base_name: "
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
            "at most 63 bytes");
}

static void how_the_own_server_is_reached_may_be_given(void **state)
{
    (void)state;
    struct config c = loaded(PGPASS, PGPASS "  use_unix_socket: true\n  use_unix_socket_repl: off\n"
                                            "  krbsrvname: pg\n");
    assert_int_equal(c.postgresql.local_way, PG_LOCAL_SOCKET);
    assert_int_equal(c.postgresql.local_repl_way, PG_LOCAL_TCP);
    assert_string_equal(c.postgresql.superuser.security.values[PG_SECURITY_KRBSRVNAME], "pg");
    assert_string_equal(c.postgresql.replication.security.values[PG_SECURITY_KRBSRVNAME], "pg");
    assert_string_equal(c.postgresql.rewind.security.values[PG_SECURITY_KRBSRVNAME], "pg");
    config_free(&c);
    refused(PGPASS, PGPASS "  use_unix_socket: perhaps\n", "postgresql.use_unix_socket");
    refused(PGPASS, PGPASS "  use_unix_socket_repl: [a]\n", "postgresql.use_unix_socket_repl");
    refused(PGPASS, PGPASS "  krbsrvname: [a]\n", "postgresql.krbsrvname");
}

static void switched_off_they_are_taken(void **state)
{
    (void)state;
    struct config c = loaded(
        "    ttl: 30",
        "    synchronous_mode: quorum\n    failsafe_mode: true\n    pause: null\n    ttl: 30");
    config_free(&c);
    c = loaded("  connect_address: 172.20.0.10:8008",
               "  verify_client: none\n  allowlist: []\n  authentication: {}");
    config_free(&c);
    c = loaded("tags:\n", "watchdog: {mode: off}\ntags:\n");
    assert_int_equal(c.watchdog.mode, CONFIG_WATCHDOG_OFF);
    config_free(&c);
}

static void watchdog_is_read_as_patroni_does(void **state)
{
    static const struct {
        const char *text;
        enum config_watchdog_mode mode;
    } modes[] = {
        {"off", CONFIG_WATCHDOG_OFF},
        {"disable", CONFIG_WATCHDOG_OFF},
        {"Disabled", CONFIG_WATCHDOG_OFF},
        {"false", CONFIG_WATCHDOG_OFF},
        {"'false'", CONFIG_WATCHDOG_OFF},
        {"auto", CONFIG_WATCHDOG_AUTOMATIC},
        {"require", CONFIG_WATCHDOG_REQUIRED},
        {"required", CONFIG_WATCHDOG_REQUIRED},
        {"Automatic", CONFIG_WATCHDOG_AUTOMATIC},
    };
    (void)state;
    struct config c = loaded("tags:\n", "tags:\n");
    assert_false(c.watchdog.given);
    assert_string_equal(c.watchdog.device, "/dev/watchdog");
    assert_int_equal(c.watchdog.safety_margin_s, 5);
    config_free(&c);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        char text[96];
        (void)snprintf(text, sizeof text, "watchdog: {mode: %s}\ntags:\n", modes[i].text);
        c = loaded("tags:\n", text);
        assert_true(c.watchdog.given);
        assert_int_equal(c.watchdog.mode, modes[i].mode);
        config_free(&c);
    }
    c = loaded("tags:\n", "watchdog: {device: /dev/watchdog1, safety_margin: -1}\ntags:\n");
    assert_int_equal(c.watchdog.mode, CONFIG_WATCHDOG_AUTOMATIC);
    assert_string_equal(c.watchdog.device, "/dev/watchdog1");
    assert_int_equal(c.watchdog.safety_margin_s, -1);
    config_free(&c);
    refused("tags:\n", "watchdog: {device: watchdog}\ntags:\n",
            "watchdog.device: must be an absolute path");
    refused("tags:\n", "watchdog: {safety_margin: -2}\ntags:\n", "watchdog.safety_margin");
    refused("tags:\n", "watchdog: {mode: true}\ntags:\n", "watchdog.mode: is none of the modes");
}

static void directories_may_not_lie_in_each_other(void **state)
{
    (void)state;
    refused("/data/raft", "/data/patroni/raft",
            "raft.data_dir: '/data/patroni/raft' lies in postgresql.data_dir '/data/patroni'");
    refused("/data/raft", "/data/patroni", "lies in postgresql.data_dir");
    refused("/data/raft", "/data",
            "postgresql.data_dir: '/data/patroni' lies in raft.data_dir '/data'");
    refused("/data/raft", "/data/x/../patroni/./raft/", "raft.data_dir: '/data/patroni/raft'");
    refused("/data/raft", "/", "raft.data_dir: '/' is too long, or the root itself");
    struct config c = loaded("/data/raft", "/data/patroni2");
    config_free(&c);
    c = loaded("/data/raft", "raft");
    assert_string_equal(c.raft.data_dir, "/var/lib/pg/raft");
    config_free(&c);
}

static void ports_may_not_meet(void **state)
{
    (void)state;
    refused("self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10:8008",
            "raft.self_addr: has the address of restapi.listen");
    refused("  listen: 172.20.0.10:8008\n", "  listen: 172.20.0.10:5432\n",
            "restapi.listen: has the address of postgresql.listen");
    refused("  listen: 172.20.0.10:8008\n", "  listen: '*:5432'\n",
            "restapi.listen: has the address of postgresql.listen");
    refused("  listen: 172.20.0.10:8008\n", "  listen: '0.0.0.0:2222'\n",
            "raft.self_addr: has the address of restapi.listen");
    refused("  listen: 172.20.0.10:5432", "  listen: '127.0.0.1,172.20.0.10:8008'",
            "restapi.listen: has the address of postgresql.listen");
    struct config c = loaded("  listen: 172.20.0.10:8008\n", "  listen: 172.20.0.11:2222\n");
    config_free(&c);
    c = loaded("self_addr: 172.20.0.10:2222\n",
               "self_addr: '[fd00::1]:2222'\n  bind_addr: '[fd00::1]:5432'\n");
    config_free(&c);
}

static void every_address_cannot_be_told_to_others(void **state)
{
    (void)state;
    refused("  listen: 172.20.0.10:8008\n  connect_address: 172.20.0.10:8008\n",
            "  listen: '*:8008'\n", "restapi.connect_address");
    refused("  listen: 172.20.0.10:5432\n  connect_address: 172.20.0.10:5432\n",
            "  listen: '*:5432'\n", "postgresql.connect_address");
    struct config c = loaded("  listen: 172.20.0.10:5432\n  connect_address: 172.20.0.10:5432\n",
                             "  listen: '172.20.0.10,::1:5433'\n");
    assert_string_equal(c.postgresql.connect.text, "172.20.0.10:5433");
    config_free(&c);
}

static void timeouts_of_raft_follow_the_ttl(void **state)
{
    (void)state;
    int election = 0;
    int heartbeat = 0;
    struct config_raft raft = {0};
    config_raft_timeouts(&raft, 30000, &election, &heartbeat);
    assert_int_equal(election, 1000);
    assert_int_equal(heartbeat, 100);
    config_raft_timeouts(&raft, 3000, &election, &heartbeat);
    assert_int_equal(election, 500);
    assert_int_equal(heartbeat, 50);
    config_raft_timeouts(&raft, 4200, &election, &heartbeat);
    assert_int_equal(election, 700);
    struct config c = loaded("  data_dir: /data/raft",
                             "  election_timeout: 300\n  heartbeat: 60\n  data_dir: /data/raft");
    config_raft_timeouts(&c.raft, 30000, &election, &heartbeat);
    assert_int_equal(election, 300);
    assert_int_equal(heartbeat, 60);
    config_free(&c);
    refused("  data_dir: /data/raft",
            "  election_timeout: 300\n  heartbeat: 200\n  data_dir: /data/raft", "raft.heartbeat");
}

static void timeouts_out_of_their_rule_are_adjusted_with_one_warning(void **state)
{
    (void)state;
    struct config_warnings warnings = {0};
    struct error err = {0};
    struct config c;
    assert_int_equal(load("ttl: 30", "ttl: 20", false, &c, &warnings, &err), 0);
    assert_int_equal(warnings.count, 1);
    assert_int_equal(json_integer_value(json_object_get(c.bootstrap.dcs, "loop_wait")), 1);
    assert_int_equal(json_integer_value(json_object_get(c.bootstrap.dcs, "retry_timeout")), 9);
    config_free(&c);
    config_warnings_free(&warnings);
}

/* By that it makes no cluster; defaults that are filled in are not what the file gives. */
static void without_the_section_there_is_no_first_configuration(void **state)
{
    struct config_warnings warnings = {0};
    struct error err = {0};
    struct config c;
    (void)state;
    assert_int_equal(load("bootstrap:\n", "unknown:\n", false, &c, &warnings, &err), 0);
    assert_int_equal(json_object_size(c.bootstrap.dcs), 0);
    config_free(&c);
    config_warnings_free(&warnings);
}

/* As with all its keys commented out. */
static void an_empty_section_makes_a_cluster(void **state)
{
    struct config_warnings warnings = {0};
    struct error err = {0};
    struct config c;
    (void)state;
    const char *empty = "bootstrap:\nunknown:\n";
    assert_int_equal(load("bootstrap:\n", empty, false, &c, &warnings, &err), 0);
    assert_true(json_object_size(c.bootstrap.dcs) > 0);
    config_free(&c);
    config_warnings_free(&warnings);
}

static void a_client_needs_less(void **state)
{
    (void)state;
    struct config_source source = {.path = "c.yml", .cwd = "/", .use = CONFIG_CLIENT};
    struct error err = {0};
    struct config c;
    json_t *tree = json_pack("{s:s, s:{s:[s]}}", "scope", "x", "raft", "partner_addrs", "n1:2222");
    assert_int_equal(config_from_json(&source, tree, &c, NULL, &err), 0);
    assert_string_equal(c.prefix, "/service/x/");
    config_free(&c);
    json_object_del(tree, "scope"); /* the command names the cluster */
    assert_int_equal(config_from_json(&source, tree, &c, NULL, &err), 0);
    assert_null(c.scope);
    config_free(&c);
    json_object_set_new(tree, "raft", json_object());
    assert_int_equal(config_from_json(&source, tree, &c, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "raft.partner_addrs"));
    json_decref(tree);
    assert_int_equal(config_from_json(&source, json_null(), &c, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "c.yml: holds no mapping"));
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    struct config c = loaded("  data_dir: /data/raft", "  password: 12345\n  data_dir: /data/raft");
    assert_string_equal(secret_shown(&c.raft.password), "***");
    assert_string_equal(c.raft.password.hidden, "12345");
    config_free(&c);
}

static void options_of_programs_get_their_dashes(void **state)
{
    (void)state;
    struct config c = loaded("  pgpass: /tmp/pgpass0\n",
                             "  basebackup:\n    - max-rate: 100M\n    - verbose\n"
                             "  recovery_conf: {restore_command: 'cp %p', x: on, n: 3}\n"
                             "  pg_ident: ['a b c']\n");
    assert_string_equal(c.postgresql.basebackup.items[0], "--max-rate=100M");
    assert_string_equal(c.postgresql.basebackup.items[1], "--verbose");
    assert_int_equal(c.postgresql.recovery_conf.count, 3);
    assert_string_equal(c.postgresql.recovery_conf.items[1].value, "on");
    assert_string_equal(c.postgresql.recovery_conf.items[2].value, "3");
    assert_string_equal(c.postgresql.pgpass, "/home/pg/pgpass");
    assert_int_equal(c.postgresql.pg_ident.count, 1);
    config_free(&c);
    c = loaded("  initdb:\n    - encoding: UTF8\n    - data-checksums\n",
               "  initdb: {encoding: UTF8, wal-segsize: 64}\n");
    assert_string_equal(c.bootstrap.initdb.items[1], "wal-segsize=64");
    config_free(&c);
}

static void log_level_and_form_are_checked(void **state)
{
    (void)state;
    struct config c = loaded("tags:\n", "log: {level: DEBUG, type: json}\ntags:\n");
    assert_int_equal(c.log->level, LOG_LEVEL_DEBUG);
    assert_true(c.log->format.json);
    config_free(&c);
    refused("tags:\n", "log: {level: LOUD}\ntags:\n", "log.level: 'LOUD' is no level");
    refused("tags:\n", "log: {type: xml}\ntags:\n", "log.type: 'xml' is no form");
}

static void warnings_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct config c;
    struct config_warnings warnings = {0};
    struct error err = {0};
    for (int i = 0; i < CONFIG_WARNINGS_MAX + 5; i++) {
        buf_printf(&text, "strange_key_number_%d: 1\n", i);
    }
    buf_put_str(&text, "tags:\n");
    assert_int_equal(load("tags:\n", buf_str(&text), false, &c, &warnings, &err), 0);
    assert_int_equal(warnings.count, CONFIG_WARNINGS_MAX + 5);
    config_free(&c);
    config_warnings_free(&warnings);
    buf_free(&text);
}

static void unreadable_files_are_told(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    assert_int_equal(config_load("/nonexistent/x.yml", &c, NULL, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x.yml: cannot be read: No such file"));
    assert_int_equal(config_load("/dev/zero", &c, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "/dev/zero: is no regular file"));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Before anything listens or is written. */
static void a_file_that_the_configuration_names_has_to_be_readable(void **state)
{
    static const char *const keys[] = {"certfile", "keyfile", "cafile"};
    char directory[64];
    char path[100];
    char here[100];
    struct config c;
    struct error err = {0};
    (void)state;
    scratch_make(directory, sizeof directory, "/tmp", "config");
    snprintf(path, sizeof path, "%s/c.yml", directory);
    snprintf(here, sizeof here, "%s/here.pem", directory);
    write_file(here, "");
    for (size_t missing = 0; missing <= 3; missing++) {
        char *more = mem_printf(
            "  certfile: %s\n  keyfile: %s\n  cafile: %s\n  data_dir: /data/raft",
            missing == 0 ? "/nowhere/a.pem" : here, missing == 1 ? "/nowhere/a.pem" : here,
            missing == 2 ? "/nowhere/a.pem" : here);
        char *text = edited("  data_dir: /data/raft", more);
        write_file(path, text);
        int rc = config_load(path, &c, NULL, &err);
        if (missing == 3) {
            assert_int_equal(rc, 0);
            config_free(&c);
        } else {
            char *wanted = mem_printf("c.yml: raft.%s: '/nowhere/a.pem' cannot be read: No such "
                                      "file or directory: give the path",
                                      keys[missing]);
            assert_int_equal(rc, ERR_NOT_FOUND);
            assert_non_null(strstr(err.text, wanted));
            mem_free(wanted);
        }
        mem_free(text);
        mem_free(more);
    }
    assert_int_equal(unlink(here) | unlink(path) | rmdir(directory), 0);
}

static void a_link_does_not_hide_that_directories_meet(void **state)
{
    (void)state;
    char directory[64];
    struct config c;
    struct error err = {0};
    char path[100];
    char link[100];
    char real[100];
    scratch_make(directory, sizeof directory, "/tmp", "config");
    snprintf(path, sizeof(path), "%s/c.yml", directory);
    snprintf(real, sizeof(real), "%s/data", directory);
    snprintf(link, sizeof(link), "%s/link", directory);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, link), 0);
    char *with_raft = edited("/data/raft", link);
    char *at = strstr(with_raft, "/data/patroni");
    char *both = mem_printf("%.*s%s%s", (int)(at - with_raft), with_raft, real,
                            at + strlen("/data/patroni"));
    write_file(path, both);
    assert_int_equal(config_load(path, &c, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "lie one in the other"));
    write_file(path, good);
    assert_int_equal(config_load(path, &c, NULL, &err), 0);
    assert_string_equal(c.path, path);
    config_free(&c);
    write_file(path, "a: [\n");
    assert_int_equal(config_load_client(path, NULL, &c, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "c.yml: line 2: no valid YAML"));
    mem_free(with_raft);
    mem_free(both);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(real), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_of_the_document_is_read_whole),
        cmocka_unit_test(the_guard_is_for_who_asks_for_it),
        cmocka_unit_test(certificates_of_the_raft_port_are_files),
        cmocka_unit_test(addresses_need_a_port_and_one_host),
        cmocka_unit_test(every_address_is_none_to_connect_to),
        cmocka_unit_test(urls_that_are_published_fit),
        cmocka_unit_test(a_listener_is_told_an_address_with_its_own_port),
        cmocka_unit_test(hosts_of_a_list_are_bare),
        cmocka_unit_test(one_partner_list_may_serve_all_nodes),
        cmocka_unit_test(names_that_are_nearly_right_are_refused),
        cmocka_unit_test(tags_of_ones_own_are_published),
        cmocka_unit_test(nofailover_and_priority_agree_or_warn),
        cmocka_unit_test(values_of_the_wrong_type_are_refused),
        cmocka_unit_test(lists_have_an_end),
        cmocka_unit_test(missing_sections_are_named),
        cmocka_unit_test(without_an_address_of_its_own_it_is_a_client_of_the_group),
        cmocka_unit_test(stores_that_are_not_served_are_refused_by_name),
        cmocka_unit_test(what_is_off_is_not_asked_for),
        cmocka_unit_test(keys_that_would_do_harm_if_ignored_are_refused_by_name),
        cmocka_unit_test(the_configuration_may_be_apart_from_the_data),
        cmocka_unit_test(how_the_own_server_is_reached_may_be_given),
        cmocka_unit_test(switched_off_they_are_taken),
        cmocka_unit_test(watchdog_is_read_as_patroni_does),
        cmocka_unit_test(directories_may_not_lie_in_each_other),
        cmocka_unit_test(ports_may_not_meet),
        cmocka_unit_test(every_address_cannot_be_told_to_others),
        cmocka_unit_test(timeouts_of_raft_follow_the_ttl),
        cmocka_unit_test(timeouts_out_of_their_rule_are_adjusted_with_one_warning),
        cmocka_unit_test(without_the_section_there_is_no_first_configuration),
        cmocka_unit_test(an_empty_section_makes_a_cluster),
        cmocka_unit_test(a_client_needs_less),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(options_of_programs_get_their_dashes),
        cmocka_unit_test(log_level_and_form_are_checked),
        cmocka_unit_test(warnings_beyond_the_limit_are_counted),
        cmocka_unit_test(unreadable_files_are_told),
        cmocka_unit_test(a_file_that_the_configuration_names_has_to_be_readable),
        cmocka_unit_test(a_link_does_not_hide_that_directories_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
