/* The document's file with a raft section, and edits of it. Included by one source. */
#ifndef TESTS_UNIT_AGENT_CONFIG_CONFIG_FIXTURE_H
#define TESTS_UNIT_AGENT_CONFIG_CONFIG_FIXTURE_H

#include "tests/unit/agent_config/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char good[] = "scope: postgres\n"
                           "namespace: /db/\n"
                           "name: node1\n"
                           "restapi:\n"
                           "  listen: 172.20.0.10:8008\n"
                           "  connect_address: 172.20.0.10:8008\n"
                           "raft:\n"
                           "  data_dir: /data/raft\n"
                           "  self_addr: 172.20.0.10:2222\n"
                           "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n"
                           "bootstrap:\n"
                           "  dcs:\n"
                           "    ttl: 30\n"
                           "    loop_wait: 10\n"
                           "    retry_timeout: 10\n"
                           "    maximum_lag_on_failover: 1048576\n"
                           "    postgresql:\n"
                           "      use_pg_rewind: true\n"
                           "  initdb:\n"
                           "    - encoding: UTF8\n"
                           "    - data-checksums\n"
                           "  pg_hba:\n"
                           "    - host replication replicator 127.0.0.1/32 md5\n"
                           "    - host all all 0.0.0.0/0 md5\n"
                           "  users:\n"
                           "    admin:\n"
                           "      password: admin\n"
                           "      options: [createrole, createdb]\n"
                           "postgresql:\n"
                           "  listen: 172.20.0.10:5432\n"
                           "  connect_address: 172.20.0.10:5432\n"
                           "  data_dir: /data/patroni\n"
                           "  pgpass: /tmp/pgpass0\n"
                           "  authentication:\n"
                           "    replication: {username: replicator, password: rep-pass}\n"
                           "    superuser: {username: postgres, password: zalando}\n"
                           "    rewind: {username: rewind_user, password: rewind_password}\n"
                           "  parameters:\n"
                           "    unix_socket_directories: '.'\n"
                           "tags:\n"
                           "  nofailover: false\n"
                           "  noloadbalance: false\n"
                           "  clonefrom: false\n"
                           "  nosync: false\n";

/* The good file with the first `from` replaced; NULL = unchanged. Free with mem_free. */
static inline char *edited(const char *from, const char *to)
{
    const char *at = from != NULL ? strstr(good, from) : NULL;
    if (from == NULL) {
        return mem_strdup(good);
    }
    if (at == NULL) {
        fail_msg("the good file has no '%s'", from);
    }
    return mem_printf("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static inline int load(const char *from, const char *to, bool client, struct config *ret_config,
                       struct config_warnings *warnings, struct error *err)
{
    struct config_source source = {.path = "node1.yml",
                                   .cwd = "/var/lib/pg",
                                   .home = "/home/pg",
                                   .use = client ? CONFIG_CLIENT : CONFIG_AGENT};
    return config_load_text(&source, edited(from, to), ret_config, warnings, err);
}

static inline struct config loaded(const char *from, const char *to)
{
    struct config config;
    struct error err = {0};
    if (load(from, to, false, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return config;
}

static inline void refused(const char *from, const char *to, const char *words)
{
    struct config config;
    struct error err = {0};
    if (load(from, to, false, &config, NULL, &err) == 0) {
        fail_msg("'%s' was taken", to);
    }
    if (strncmp(err.text, "node1.yml: ", 11) != 0 || strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_null(strchr(err.text, '\n'));
    assert_null(config.memory);
}

static inline void warned(const char *from, const char *to, const char *words)
{
    struct config config;
    struct config_warnings warnings = {0};
    struct error err = {0};
    if (load(from, to, false, &config, &warnings, &err) != 0) {
        fail_msg("%s", err.text);
    }
    bool found = false;
    for (size_t i = 0; i < warnings.count; i++) {
        found = found || strstr(warnings.texts[i], words) != NULL;
    }
    if (!found) {
        fail_msg("no warning says '%s' (the first of %zu: %s)", words, warnings.count,
                 warnings.count > 0 ? warnings.texts[0] : "");
    }
    config_free(&config);
    config_warnings_free(&warnings);
}

#endif
