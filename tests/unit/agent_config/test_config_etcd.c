/* The sections `etcd` and `etcd3`: every key, which goes before which, what is said of a mistake,
 * and what the environment puts over them. */
#include "agent/config/dynamic.h"
#include "base/buf.h"
#include "tests/unit/agent_config/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const none[] = {NULL};

/* `store`: the lines in place of a `raft` section. */
static int load_warned(const char *store, const char *const *environment, const char *home,
                       bool client, struct config *ret_config, struct config_warnings *warnings,
                       struct error *err)
{
    struct config_source source = {.path = "node1.yml",
                                   .cwd = "/etc/pg",
                                   .home = home,
                                   .environment = environment,
                                   .use = client ? CONFIG_CLIENT : CONFIG_AGENT};
    char *text = mem_printf("scope: postgres\n"
                            "name: node1\n"
                            "restapi: {listen: '172.20.0.10:8008'}\n"
                            "%s\n"
                            "postgresql:\n"
                            "  listen: 172.20.0.10:5432\n"
                            "  data_dir: /data/pg\n"
                            "  pgpass: /tmp/pgpass0\n"
                            "  authentication:\n"
                            "    replication: {username: replicator, password: rep-pass}\n"
                            "    superuser: {username: postgres, password: zalando}\n",
                            store);
    return config_load_text(&source, text, ret_config, warnings, err);
}

static int load(const char *store, const char *const *environment, const char *home, bool client,
                struct config *ret_config, struct error *err)
{
    return load_warned(store, environment, home, client, ret_config, NULL, err);
}

static struct config loaded(const char *store, const char *const *environment)
{
    struct config config;
    struct error err = {0};
    if (load(store, environment, "/home/pg", false, &config, &err) != 0) {
        fail_msg("%s: %s", store, err.text);
    }
    return config;
}

static void refused(const char *store, const char *const *environment, const char *words)
{
    struct config config;
    struct error err = {0};
    if (load(store, environment, "/home/pg", false, &config, &err) == 0) {
        fail_msg("'%s' was taken", store);
    }
    if (strncmp(err.text, "node1.yml: ", 11) != 0 || strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_null(strchr(err.text, '\n'));
    assert_null(strstr(err.text, "s3cret"));
    assert_null(config.memory);
}

/* The addresses, one after the other. */
static void addresses_are(const char *store, const char *const *environment, const char *wanted)
{
    struct config config = loaded(store, environment);
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < config.etcd.url_count; i++) {
        buf_printf(&text, "%s%s", i > 0 ? " " : "", config.etcd.urls[i]);
    }
    assert_string_equal(buf_str(&text), wanted);
    buf_free(&text);
    config_free(&config);
}

static void section_says_which_dialect(void **state)
{
    (void)state;
    struct config config = loaded("etcd: {host: 10.0.0.4}", none);
    assert_int_equal(config.store, CONFIG_STORE_ETCD2);
    assert_string_equal(config.prefix, "/service/postgres/");
    config_free(&config);
    config = loaded("etcd3: {host: 10.0.0.4}", none);
    assert_int_equal(config.store, CONFIG_STORE_ETCD3);
    assert_false(config.etcd.use_proxies);
    assert_null(config.etcd.username);
    assert_null(config.etcd.password.hidden);
    assert_null(config.etcd.cacert);
    assert_null(config.etcd.cert);
    assert_null(config.etcd.key);
    config_free(&config);
}

static void addresses_are_given_in_many_ways(void **state)
{
    (void)state;
    addresses_are("etcd3: {host: 10.0.0.4}", none, "http://10.0.0.4:2379");
    addresses_are("etcd3: {host: 'etcd.example:1234'}", none, "http://etcd.example:1234");
    addresses_are("etcd3: {host: '[fd00::4]:1234', protocol: https}", none,
                  "https://[fd00::4]:1234");
    addresses_are("etcd: {hosts: ['10.0.0.4', '10.0.0.5:99']}", none,
                  "http://10.0.0.4:2379 http://10.0.0.5:99");
    addresses_are("etcd: {hosts: '10.0.0.4:1, 10.0.0.5,10.0.0.6:3'}", none,
                  "http://10.0.0.4:1 http://10.0.0.5:2379 http://10.0.0.6:3");
    addresses_are("etcd3: {url: 'https://10.0.0.4'}", none, "https://10.0.0.4:2379");
    addresses_are("etcd3: {url: 'http://10.0.0.4:99/'}", none, "http://10.0.0.4:99");
    addresses_are("etcd3: {proxy: 'http://10.0.0.4:99'}", none, "http://10.0.0.4:99");
}

static void port_is_of_hosts_that_name_none(void **state)
{
    (void)state;
    addresses_are("etcd3: {host: 10.0.0.4, port: 99}", none, "http://10.0.0.4:99");
    addresses_are("etcd3: {host: '10.0.0.4:99', port: 99}", none, "http://10.0.0.4:99");
    refused("etcd3: {host: '10.0.0.4:1', port: 99}", none,
            "etcd3.port: is 99, and 'host' has port 1");
    refused("etcd3: {host: h, port: 70000}", none, "etcd3.port: is out of range");
    addresses_are("etcd: {hosts: ['10.0.0.4', '10.0.0.5:1'], port: '99'}", none,
                  "http://10.0.0.4:99 http://10.0.0.5:1");
    addresses_are("etcd3: {url: 'http://10.0.0.4', port: 99}", none, "http://10.0.0.4:2379");
}

static void proxy_goes_before_url_before_hosts_before_host(void **state)
{
    (void)state;
    const char *all = "etcd3: {proxy: 'http://p', url: 'http://u', hosts: [h1, h2], host: h}";
    struct config config = loaded(all, none);
    assert_true(config.etcd.use_proxies);
    config_free(&config);
    addresses_are(all, none, "http://p:2379");
    addresses_are("etcd3: {url: 'http://u', hosts: [h1, h2], host: h}", none, "http://u:2379");
    addresses_are("etcd3: {hosts: [h1, h2], host: h}", none, "http://h1:2379 http://h2:2379");
    addresses_are("etcd3: {proxy: , url: null, hosts: , host: h}", none, "http://h:2379");
    /* protocol is for host and hosts */
    addresses_are("etcd3: {url: 'http://u', protocol: https}", none, "http://u:2379");
}

static void credentials_and_files_are_read(void **state)
{
    (void)state;
    struct config config = loaded("etcd3: {host: h, use_proxies: on, username: root, password: "
                                  "s3cret, cacert: ca.pem, cert: /x/c.pem, key: ../k.pem}",
                                  none);
    assert_true(config.etcd.use_proxies);
    assert_string_equal(config.etcd.username, "root");
    assert_string_equal(config.etcd.password.hidden, "s3cret");
    assert_string_equal(config.etcd.cacert, "/etc/pg/ca.pem");
    assert_string_equal(config.etcd.cert, "/x/c.pem");
    assert_string_equal(config.etcd.key, "/etc/k.pem");
    config_free(&config);
    config = loaded("etcd3: {url: 'https://ro%40ot:s3%2Fcr%zet@h:1'}", none);
    assert_string_equal(config.etcd.urls[0], "https://h:1");
    assert_string_equal(config.etcd.username, "ro@ot");
    assert_string_equal(config.etcd.password.hidden, "s3/cr%zet");
    config_free(&config);
    /* what is given apart goes before what the URL has */
    config = loaded("etcd3: {url: 'http://a:b@h', username: root, password: 1234}", none);
    assert_string_equal(config.etcd.username, "root");
    assert_string_equal(config.etcd.password.hidden, "1234");
    config_free(&config);
}

static void mistakes_are_told_in_one_line(void **state)
{
    static const struct {
        const char *keys;
        const char *words;
    } cases[] = {
        {"", ".hosts: names nobody"},
        {"hosts: []", ".hosts: names nobody"},
        {"hosts: ''", ".hosts: names nobody"},
        {"hosts: {a: b}", ".hosts: is no list"},
        {"hosts: [7.5, h]", ".hosts: its item 1 is no text"},
        {"hosts: [h, 'h:0']", ".hosts: "},
        {"hosts: ['h:65536']", ".hosts: "},
        {"hosts: ['h:x']", ".hosts: "},
        {"hosts: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]",
         ".hosts: has more than 16 addresses"},
        {"host: [h]", ".host: "},
        {"host: 'http://h'", ".host: "},
        {"host: h, protocol: gopher", ".protocol: 'gopher' is none: give http or https"},
        {"url: 'h:2379'", ".url: is no URL of http or https"},
        {"url: 'ftp://h'", ".url: is no URL of http or https"},
        {"url: 'http://'", ".url: "},
        {"url: 'http://a:s3cret@'", ".url: "},
        {"url: 'http://h/etcd'", ".url: has a path behind host and port"},
        {"url: 'http://h?x=1'", ".url: has a path behind host and port"},
        {"url: 'http://u%00x:p@h'", ".url: has %00 in its name or password"},
        {"url: 'http://u:p%00x@h'", ".url: has %00 in its name or password"},
        {"proxy: 'h'", ".proxy: is no URL of http or https"},
        {"host: h, use_proxies: perhaps", ".use_proxies: "},
        {"host: h, username: root", ".password: is not there, and the other one is"},
        {"host: h, password: s3cret", ".username: is not there, and the other one is"},
        {"url: 'http://root@h'", ".password: is not there, and the other one is"},
        {"host: h, key: k.pem", ".key: is there without 'cert'"},
        {"host: h, cacert: [a]", ".cacert: "},
        {"srv: 'a b'", ".srv: 'a b' is no domain"},
        {"srv: a..b", ".srv: 'a..b' is no domain"},
        {"srv: .b", ".srv: '.b' is no domain"},
        {"discovery_srv: 'a/b'", ".discovery_srv: 'a/b' is no domain"},
        {"srv: a, srv_domain: b", ".srv_domain: says the same as 'srv': give one of them"},
        {"srv: a, srv_suffix: b.c", ".srv_suffix: 'b.c' is no part of a name"},
        {"srv: a, srv_suffix: x1234567890123456789012345678901234567890", ".srv_suffix: 'x1"},
        {"srv_suffix: a", ".hosts: names nobody"},
        {"hots: h", ".hots: there is no key of that name: did you mean 'host"},
        {"host: h, usernmae: h",
         ".usernmae: there is no key of that name: did you mean 'username'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const char *const sections[] = {"etcd", "etcd3"};
        for (size_t j = 0; j < 2; j++) {
            char *store = mem_printf("%s: {%s}", sections[j], cases[i].keys);
            char *words = mem_printf("%s%s", sections[j], cases[i].words);
            refused(store, none, words);
            mem_free(store);
            mem_free(words);
        }
    }
    refused("etcd3: h:2379", none, "etcd3: ");
    refused("", none, "raft: is not there");
}

static void there_is_one_store(void **state)
{
    (void)state;
    refused("etcd: {host: h}\netcd3: {host: h}", none, "etcd: stands beside 'etcd3'");
    refused("raft: {data_dir: /r}\netcd3: {host: h}", none, "etcd3: stands beside 'raft'");
    refused("raft: {data_dir: /r}\netcd: {host: h}", none, "etcd: stands beside 'raft'");
    refused("etcd3: {host: h}\nconsul: {}", none, "consul: not served");
    addresses_are("raft:\netcd3: {host: h}", none, "http://h:2379"); /* empty: not given */
}

static void state_dir_is_where_a_node_remembers(void **state)
{
    struct config config;
    struct error err = {0};
    (void)state;
    config = loaded("etcd3: {host: h}", none);
    assert_string_equal(config.state_dir, "/home/pg/.pgquorum/postgres-node1");
    config_free(&config);
    config = loaded("state_dir: state\netcd3: {host: h}", none);
    assert_string_equal(config.state_dir, "/etc/pg/state");
    config_free(&config);
    refused("state_dir: /data/pg/state\netcd3: {host: h}", none,
            "state_dir: '/data/pg/state' lies in postgresql.data_dir");
    refused("state_dir: /data\netcd3: {host: h}", none, "lies in state_dir '/data'");
    refused("state_dir: [x]\netcd3: {host: h}", none, "state_dir: ");
    assert_int_not_equal(load("etcd3: {host: h}", none, NULL, false, &config, &err), 0);
    assert_non_null(strstr(err.text, "state_dir: is not there, and this user has no home"));
    assert_int_equal(load("etcd3: {host: h}", none, NULL, true, &config, &err), 0);
    config_free(&config); /* a client remembers nothing */
}

/* --- the environment -------------------------------------------------------------------------- */

static void environment_goes_before_the_file_key_by_key(void **state)
{
    static const char *const environment[] = {
        "PATH=/bin",
        "PATRONI_ETCD3_HOST=e",
        "PATRONI_ETCD3_USERNAME=root",
        "PATRONI_ETCD3_PASSWORD=s3cret",
        "PATRONI_ETCD3_CACERT=/e/ca.pem",
        "PATRONI_ETCD3_CERT=c.pem",
        "PATRONI_ETCD3_KEY=k.pem",
        "PATRONI_ETCD3_PROTOCOL=https",
        "PATRONI_ETCD3_USE_PROXIES=true",
        "PATRONI_ETCD3_SOMETHING=else",
        "PATRONI_ETCD_HOSTS=",
        "PATRONI_ETCD3_URL=",
        NULL,
    };
    (void)state;
    struct config config = loaded(
        "etcd3: {host: f, username: u, password: p, cacert: f.pem, protocol: http}", environment);
    assert_int_equal(config.etcd.url_count, 1);
    assert_string_equal(config.etcd.urls[0], "https://e:2379");
    assert_string_equal(config.etcd.username, "root");
    assert_string_equal(config.etcd.password.hidden, "s3cret");
    assert_string_equal(config.etcd.cacert, "/e/ca.pem");
    assert_string_equal(config.etcd.cert, "/etc/pg/c.pem");
    assert_string_equal(config.etcd.key, "/etc/pg/k.pem");
    assert_true(config.etcd.use_proxies);
    config_free(&config);
    /* key by key: the file's hosts go before the environment's host */
    addresses_are("etcd3: {hosts: [f1, f2]}", environment, "https://f1:2379 https://f2:2379");
}

static void environment_alone_makes_the_section(void **state)
{
    static const char *const url[] = {"PATRONI_ETCD_URL=http://root:s3cret@e:1", NULL};
    static const char *const proxy[] = {"PATRONI_ETCD3_PROXY=http://e:1", NULL};
    (void)state;
    struct config config = loaded("", url);
    assert_int_equal(config.store, CONFIG_STORE_ETCD2);
    assert_string_equal(config.etcd.urls[0], "http://e:1");
    assert_string_equal(config.etcd.password.hidden, "s3cret");
    config_free(&config);
    config = loaded("etcd3:", proxy);
    assert_int_equal(config.store, CONFIG_STORE_ETCD3);
    assert_true(config.etcd.use_proxies);
    config_free(&config);
}

static void variables_that_are_no_text_are_refused_by_name(void **state)
{
    static const char *const variables[][2] = {
        {"PATRONI_ETCD3_PASSWORD=s3cret\xe9",
         "node1.yml: PATRONI_ETCD3_PASSWORD (environment): is no"},
        {"PATRONI_ETCD3_HOSTS=s3cret\xe9",
         "node1.yml: PATRONI_ETCD3_HOSTS (environment): is no UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *const environment[] = {"PATRONI_ETCD3_HOST=h", variables[i][0],
                                           "PATRONI_ETCD3_USERNAME=u", NULL};
        refused("etcd3: {username: a, password: b}", environment, variables[i][1]);
    }
}

static void variables_that_are_not_read_are_warned_of(void **state)
{
    static const char *const environment[] = {"PATRONI_SUPERUSR_PASSWORD=s3cret",
                                              "PATRONI_ETCD3_PORTS=1",
                                              "PATRONI_NAME=",
                                              "PATRONI_ETCD3_HOST=h",
                                              "PATRONICTL_CONFIG_FILE=x",
                                              "PATH=/bin",
                                              "PATRONI_",
                                              NULL};
    struct config_warnings warnings = {0};
    struct config config;
    struct error err = {0};
    (void)state;
    assert_int_equal(load_warned("", environment, "/home/pg", false, &config, &warnings, &err), 0);
    assert_int_equal(warnings.count, 2);
    assert_string_equal(warnings.texts[0],
                        "node1.yml: PATRONI_SUPERUSR_PASSWORD (environment): is no variable that "
                        "is known here, ignoring it: give it in the file");
    assert_non_null(strstr(warnings.texts[1], "PATRONI_ETCD3_PORTS (environment): is no variable"));
    config_warnings_free(&warnings);
    config_free(&config);
}

static void hosts_of_the_environment_are_a_list_in_any_form(void **state)
{
    static const struct {
        const char *variable;
        const char *wanted;
    } cases[] = {
        {"PATRONI_ETCD3_HOSTS='a:1','b:2'", "http://a:1 http://b:2"}, /* as Patroni documents it */
        {"PATRONI_ETCD3_HOSTS=a:1,b:2", "http://a:1 http://b:2"},
        {"PATRONI_ETCD3_HOSTS=a:1, b", "http://a:1 http://b:2379"},
        {"PATRONI_ETCD3_HOSTS=[a:1, 'b:2']", "http://a:1 http://b:2"},
        {"PATRONI_ETCD3_HOSTS=- a:1\n- b:2", "http://a:1 http://b:2"},
        {"PATRONI_ETCD3_HOSTS=[fd00::4]:1,b:2", "http://[fd00::4]:1 http://b:2"},
        {"PATRONI_ETCD3_HOSTS=a", "http://a:2379"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const environment[] = {cases[i].variable, NULL};
        addresses_are("", environment, cases[i].wanted);
    }
}

static void srv_is(const char *store, const char *const *environment, const char *srv,
                   const char *suffix, size_t urls)
{
    struct config config = loaded(store, environment);
    assert_int_equal(config.etcd.url_count, urls);
    if (srv == NULL) {
        assert_null(config.etcd.srv);
    } else {
        assert_string_equal(config.etcd.srv, srv);
    }
    assert_string_equal(config.etcd.srv_suffix == NULL ? "" : config.etcd.srv_suffix, suffix);
    config_free(&config);
}

static void domain_of_srv_records_is_read_under_its_three_names(void **state)
{
    static const char *const two[] = {"PATRONI_ETCD3_SRV=e.org", "PATRONI_ETCD3_SRV_SUFFIX=blue",
                                      NULL};
    (void)state;
    srv_is("etcd: {srv: example.org}", none, "example.org", "", 0);
    srv_is("etcd3: {discovery_srv: example.org.}", none, "example.org.", "", 0);
    srv_is("etcd3: {srv_domain: a, srv_suffix: x_1-b}", none, "a", "x_1-b", 0);
    srv_is("etcd3: {srv: a, hosts: 'h,i'}", none, "a", "", 2);
    srv_is("etcd3: {srv: a, proxy: 'http://h'}", none, NULL, "", 1);
    srv_is("etcd3: {srv: a}", two, "e.org", "blue", 0);
    srv_is("", two, "e.org", "blue", 0);
}

static void mistakes_in_the_environment_are_told_like_those_in_the_file(void **state)
{
    static const char *const two[] = {"PATRONI_ETCD_HOST=e", NULL};
    static const char *const srv[] = {"PATRONI_ETCD3_SRV=example/org", NULL};
    static const char *const protocol[] = {"PATRONI_ETCD3_PROTOCOL=gopher", NULL};
    static const char *const hosts[] = {"PATRONI_ETCD3_HOSTS={a: b}", NULL};
    (void)state;
    refused("etcd3: {host: h}", two, "etcd: stands beside 'etcd3'");
    refused("raft: {data_dir: /r}", two, "etcd: stands beside 'raft'");
    refused("etcd3: {host: h}", srv, "etcd3.srv (PATRONI_ETCD3_SRV): 'example/org' is no domain");
    refused("etcd3: {host: h}", protocol,
            "etcd3.protocol (PATRONI_ETCD3_PROTOCOL): 'gopher' is none");
    refused("etcd3: {host: h}", hosts, "etcd3.hosts (PATRONI_ETCD3_HOSTS): ");
    refused("etcd3: text", srv, "etcd3: ");
}

static void environment_of_the_process_is_read_with_the_file(void **state)
{
    char path[] = "/tmp/test_config_etcd.XXXXXX";
    static const char text[] = "scope: postgres\netcd3: {host: f}\n";
    struct config config;
    struct error err = {0};
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    close(fd);
    assert_int_equal(config_load_client(path, NULL, &config, NULL, &err), 0);
    assert_string_equal(config.etcd.urls[0], "http://f:2379");
    config_free(&config);
    setenv("PATRONI_ETCD3_HOST", "e", 1);
    assert_int_equal(config_load_client(path, NULL, &config, NULL, &err), 0);
    assert_string_equal(config.etcd.urls[0], "http://e:2379");
    config_free(&config);
    setenv("PATRONI_ETCD3_HOST", "", 1); /* it was taken out, and counts until it is empty */
    unlink(path);
}

/* --- patronictl's --dcs-url ------------------------------------------------------------------- */

static void url_of_the_command_goes_before_every_store(void **state)
{
    static const struct {
        const char *url;
        enum config_store store;
        const char *address;
        const char *namespace_;
    } rows[] = {
        {"etcd3://h:1234/db", CONFIG_STORE_ETCD3, "http://h:1234", "/db"},
        {"etcd3://h", CONFIG_STORE_ETCD3, "http://h:2379", "/service"},
        {"etcd://[::1]:99/", CONFIG_STORE_ETCD2, "http://[::1]:99", "/service"},
        {"h:2379", CONFIG_STORE_ETCD2, "http://h:2379", "/service"},
        {"h", CONFIG_STORE_ETCD2, "http://h:2379", "/service"},
    };
    (void)state;
    setenv("PATRONI_ETCD3_HOST", "of-the-environment", 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[] = "/tmp/test_config_etcd.XXXXXX";
        static const char text[] = "scope: x\nraft: {partner_addrs: h}\netcd: {host: f}\n";
        struct config config;
        struct error err = {0};
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
        close(fd);
        if (config_load_client(path, rows[i].url, &config, NULL, &err) != 0) {
            fail_msg("%s: %s", rows[i].url, err.text);
        }
        assert_int_equal(config.store, rows[i].store);
        assert_string_equal(config.etcd.urls[0], rows[i].address);
        assert_string_equal(config.namespace_, rows[i].namespace_);
        config_free(&config);
        unlink(path);
        assert_int_equal(config_load_client(NULL, rows[i].url, &config, NULL, &err), 0);
        assert_string_equal(config.etcd.urls[0], rows[i].address); /* without a file */
        assert_null(config.scope);
        config_free(&config);
    }
    setenv("PATRONI_ETCD3_HOST", "", 1);
}

static void url_that_is_none_of_a_store_is_refused(void **state)
{
    static const char *const urls[] = {"consul://h:8500", "etcd4://h", "etcd3://",
                                       "etcd3:///db",     "",          "/db",
                                       "etcd3://u:p@h",   "h?x=1"};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct config config;
        struct error err = {0};
        assert_int_equal(config_load_client(NULL, urls[i], &config, NULL, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "give etcd3://host:port/namespace, or etcd://"));
    }
}

/* --- ttl -------------------------------------------------------------------------------------- */

static void smallest_ttl_is_the_store_s(void **state)
{
    (void)state;
    struct config config = loaded("bootstrap: {dcs: {ttl: 3, loop_wait: 1, retry_timeout: 1}}\n"
                                  "etcd3: {host: h}",
                                  none);
    assert_int_equal(config_ttl_min_ms(&config), DYNAMIC_TTL_MS_MIN_ETCD);
    assert_int_equal(json_integer_value(json_object_get(config.bootstrap.dcs, "ttl")), 5);
    config_free(&config);
    config = loaded("bootstrap: {dcs: {ttl: 3, loop_wait: 1, retry_timeout: 1}}\n"
                    "raft: {data_dir: /r, self_addr: '172.20.0.10:2222'}",
                    none);
    assert_int_equal(config_ttl_min_ms(&config), DYNAMIC_TTL_MS_MIN_RAFT);
    assert_int_equal(json_integer_value(json_object_get(config.bootstrap.dcs, "ttl")), 3);
    config_free(&config);
    refused("bootstrap: {dcs: {ttl: soon}}\netcd3: {host: h}", none, "a time from 5 to");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_says_which_dialect),
        cmocka_unit_test(addresses_are_given_in_many_ways),
        cmocka_unit_test(port_is_of_hosts_that_name_none),
        cmocka_unit_test(proxy_goes_before_url_before_hosts_before_host),
        cmocka_unit_test(credentials_and_files_are_read),
        cmocka_unit_test(mistakes_are_told_in_one_line),
        cmocka_unit_test(there_is_one_store),
        cmocka_unit_test(state_dir_is_where_a_node_remembers),
        cmocka_unit_test(environment_goes_before_the_file_key_by_key),
        cmocka_unit_test(environment_alone_makes_the_section),
        cmocka_unit_test(variables_that_are_no_text_are_refused_by_name),
        cmocka_unit_test(variables_that_are_not_read_are_warned_of),
        cmocka_unit_test(hosts_of_the_environment_are_a_list_in_any_form),
        cmocka_unit_test(domain_of_srv_records_is_read_under_its_three_names),
        cmocka_unit_test(mistakes_in_the_environment_are_told_like_those_in_the_file),
        cmocka_unit_test(environment_of_the_process_is_read_with_the_file),
        cmocka_unit_test(url_of_the_command_goes_before_every_store),
        cmocka_unit_test(url_that_is_none_of_a_store_is_refused),
        cmocka_unit_test(smallest_ttl_is_the_store_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
