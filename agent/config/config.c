/* From the tree of the file to plain data, section by section. First what would be dangerous to
 * overlook: names that are nearly right, and keys that we do not serve. Then the values, and last
 * what has to fit together. The first mistake ends it. */
#include "agent/config/config.h"

#include "agent/config/dynamic.h"
#include "agent/config/known_keys.h"
#include "agent/config/reader.h"
#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define POSTGRES_PORT          5432
#define PREFIX_BYTES_MAX       512
#define PG_CTL_TIMEOUT_S       60
#define ELECTION_TIMEOUT_MIN   100
#define ELECTION_TIMEOUT_MAX   60000
#define HEARTBEAT_MIN          10
#define HEARTBEATS_PER_TIMEOUT 3

/* --- names
 * --------------------------------------------------------------------------------------------------
 */

static const json_t *at_path(const json_t *tree, const char *path)
{
    while (*path != '\0' && tree != NULL) {
        char part[64];
        size_t len = strcspn(path, ".");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        tree = json_object_get(tree, part);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return tree;
}

static int check_names(const struct reader *r, const json_t *tree)
{
    for (const struct known_section *known = known_sections; known->path != NULL; known++) {
        struct section s = {.name = known->path, .object = at_path(tree, known->path)};
        bool free_names = strcmp(known->path, "tags") == 0;
        const char *key;
        json_t *unused;
        json_object_foreach((json_t *)(uintptr_t)s.object, key, unused)
        {
            const char *near = known_keys_near(known->keys, key);
            if (near != NULL) {
                return reader_fail(r, &s, key, "there is no key of that name: did you mean '%s'?",
                                   near);
            }
            if (!free_names && !known_keys_has(known->keys, key)) {
                reader_warn(r, &s, key, "no key that is known here, ignoring it");
            }
        }
    }
    return 0;
}

/* A value that switches nothing on: false, off, empty. */
static bool is_off(const json_t *value)
{
    bool on = false;
    return value == NULL || (dynamic_bool(value, &on) && !on) ||
           (json_is_string(value) && (json_string_length(value) == 0 ||
                                      strcasecmp(json_string_value(value), "none") == 0)) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

struct key_note {
    const char *section;
    const char *key;
    const char *instead;
};

static const struct key_note refused[] = {
    {"", "etcd", "give a 'raft' section instead"},
    {"", "etcd3", "give a 'raft' section instead"},
    {"", "consul", "give a 'raft' section instead"},
    {"", "zookeeper", "give a 'raft' section instead"},
    {"", "exhibitor", "give a 'raft' section instead"},
    {"", "kubernetes", "give a 'raft' section instead"},
    {"", "etcd_server", "take it out"},
    {"", "citus", "take it out"},
    {"", "standby_cluster", "take it out"},
    {"restapi", "certfile", "take it out: the REST interface speaks plain HTTP"},
    {"restapi", "keyfile", "take it out: the REST interface speaks plain HTTP"},
    {"restapi", "cafile", "take it out: the REST interface speaks plain HTTP"},
    {"restapi", "verify_client", "take it out, or give 'none'"},
    {"restapi", "authentication", "take it out, and let only trusted hosts reach the port"},
    {"restapi", "allowlist", "take it out, and let only trusted hosts reach the port"},
    {"restapi", "allowlist_include_members", "take it out, or give false"},
    {"raft", "certfile", "take it out, and give 'password'"},
    {"raft", "keyfile", "take it out, and give 'password'"},
    {"raft", "cafile", "take it out, and give 'password'"},
    {"bootstrap.dcs", "standby_cluster", "take it out"},
    {"bootstrap.dcs", "synchronous_mode", "take it out, or give false"},
    {"bootstrap.dcs", "synchronous_mode_strict", "take it out, or give false"},
    {"bootstrap.dcs", "pause", "take it out, or give false"},
    {"bootstrap.dcs", "failsafe_mode", "take it out, or give false"},
};

/* Patroni's keys that do nothing here yet and harm nobody by that. */
static const struct key_note without_effect[] = {
    {"restapi", "http_extra_headers", ""},
    {"restapi", "ciphers", ""},
    {"ctl", "authentication", ""},
    {"ctl", "certfile", ""},
    {"bootstrap", "post_bootstrap", ""},
    {"bootstrap", "post_init", ""},
    {"bootstrap.dcs", "slots", ""},
    {"bootstrap.dcs", "ignore_slots", ""},
    {"raft", "min_timeout", ": election_timeout and heartbeat are the keys here"},
    {"raft", "max_timeout", ": election_timeout and heartbeat are the keys here"},
    {"postgresql", "proxy_address", ""},
    {"postgresql", "callbacks", ""},
    {"postgresql", "custom_conf", ""},
    {"postgresql", "pre_promote", ""},
    {"postgresql", "before_stop", ""},
    {"postgresql", "config_base_name", ""},
    {"postgresql", "bin_name", ""},
    {"postgresql", "rewind", ""},
    {"postgresql", "krbsrvname", ""},
    {"postgresql", "parameters_primary", ""},
    {"postgresql", "parameters_replica", ""},
    {"postgresql", "create_replica_methods", ": replicas are made by pg_basebackup"},
    {"postgresql", "create_replica_method", ": replicas are made by pg_basebackup"},
    {"log", "dir", ": lines go to standard error"},
    {"log", "format", ": a line has one form"},
    {"log", "loggers", ""},
};

static int check_served(const struct reader *r, const json_t *tree)
{
    /* Two stores at once is the more telling mistake: name both. */
    struct section top = {.name = "", .object = tree};
    const char *stores[] = {"etcd", "etcd3"};
    for (size_t i = 0; i < 2; i++) {
        if (reader_get(&top, "raft") != NULL && reader_get(&top, stores[i]) != NULL) {
            return reader_fail(
                r, &top, stores[i],
                "stands beside 'raft': there is one store: keep 'raft', take out '%s'", stores[i]);
        }
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct section s = {.name = refused[i].section,
                            .object = at_path(tree, refused[i].section)};
        const json_t *value = reader_get(&s, refused[i].key);
        bool present_counts = i < 6; /* the stores: even an empty section asks for one */
        if (present_counts ? json_object_get(s.object, refused[i].key) != NULL : !is_off(value)) {
            return reader_fail(r, &s, refused[i].key, "not served by this release: %s",
                               refused[i].instead);
        }
    }
    for (size_t i = 0; i < sizeof(without_effect) / sizeof(without_effect[0]); i++) {
        struct section s = {.name = without_effect[i].section,
                            .object = at_path(tree, without_effect[i].section)};
        if (!is_off(reader_get(&s, without_effect[i].key))) {
            reader_warn(r, &s, without_effect[i].key,
                        "has no effect in this release%s, ignoring it", without_effect[i].instead);
        }
    }
    return 0;
}

/* --- top level, restapi
 * ---------------------------------------------------------------------------------------- */

static int check_plain_name(const struct reader *r, const struct section *s, const char *key,
                            const char *name, size_t bytes_max)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '/' || (unsigned char)*at < ' ' || *at == 0x7f) {
            return reader_fail(r, s, key,
                               "'%.100s' has a slash or a control character: give a name without",
                               name);
        }
    }
    if (strlen(name) > bytes_max) {
        return reader_fail(r, s, key, "is longer than %zu bytes: give a shorter name", bytes_max);
    }
    return 0;
}

static const char *namespace_normal(const struct reader *r, const char *given)
{
    char *path = reader_path_normal("/", given);
    if (strcmp(path, "/") == 0) {
        path[0] = '\0';
    }
    return config_keep_text(r->memory, path);
}

static int read_top(const struct reader *r, const struct section *top, bool client,
                    struct config *c)
{
    const char *given = "/service";
    int rc = reader_text(r, top, "scope", READER_REQUIRED, &c->scope);
    rc = rc != 0 ? rc : reader_text(r, top, "namespace", READER_OPTIONAL, &given);
    rc = rc != 0
             ? rc
             : reader_text(r, top, "name", client ? READER_OPTIONAL : READER_REQUIRED, &c->name);
    rc = rc != 0 ? rc : check_plain_name(r, top, "scope", c->scope, PREFIX_BYTES_MAX / 2);
    rc = rc != 0 || c->name == NULL
             ? rc
             : check_plain_name(r, top, "name", c->name, CONFIG_NAME_BYTES_MAX);
    if (rc != 0) {
        return rc;
    }
    c->namespace_ = namespace_normal(r, given);
    if (strlen(c->namespace_) > PREFIX_BYTES_MAX / 2) {
        return reader_fail(r, top, "namespace", "is longer than %d bytes: give a shorter one",
                           PREFIX_BYTES_MAX / 2);
    }
    c->prefix = config_keep_text(r->memory, mem_printf("%s/%s/", c->namespace_, c->scope));
    return 0;
}

static int read_restapi(const struct reader *r, const struct section *top, bool client,
                        struct config *c)
{
    struct section s;
    enum reader_need need = client ? READER_OPTIONAL : READER_REQUIRED;
    int rc = reader_section(r, top, "restapi", "restapi", &s);
    rc = rc != 0 ? rc : reader_address(r, &s, "listen", true, 0, need, &c->restapi_listen);
    c->restapi_connect = c->restapi_listen;
    rc = rc != 0 ? rc
                 : reader_address(r, &s, "connect_address", false, 0, READER_OPTIONAL,
                                  &c->restapi_connect);
    if (rc == 0 && !client &&
        (c->restapi_connect.host[0] == '\0' || strcmp(c->restapi_connect.host, "0.0.0.0") == 0 ||
         strcmp(c->restapi_connect.host, "::") == 0)) {
        return reader_fail(
            r, &s, "connect_address",
            "every address is listened on, and no one is told to the others: give the address that "
            "reaches this node, such as 10.0.0.1:8008");
    }
    return rc;
}

/* --- raft
 * -------------------------------------------------------------------------------------------------------
 */

static int add_partner(const struct reader *r, const struct section *s, const char *text,
                       struct config_raft *raft)
{
    struct config_address address = {0};
    struct error why = {0};
    if (config_address_parse(text, false, 0, &address, &why) != 0) {
        return reader_fail(r, s, "partner_addrs", "%s", why.text);
    }
    (void)config_keep(r->memory, (void *)(uintptr_t)address.text);
    (void)config_keep(r->memory, (void *)(uintptr_t)address.host);
    if (raft->self.text != NULL && strcmp(address.text, raft->self.text) == 0) {
        return 0; /* one list for all nodes is a convenience, not a mistake */
    }
    for (size_t i = 0; i < raft->partner_count; i++) {
        if (strcmp(raft->partners[i].text, address.text) == 0) {
            return reader_fail(r, s, "partner_addrs", "'%s' is there twice: keep one of them",
                               text);
        }
    }
    if (raft->partner_count == CONFIG_PARTNERS_MAX) {
        return reader_fail(r, s, "partner_addrs", "has more than %d addresses: give fewer",
                           CONFIG_PARTNERS_MAX);
    }
    raft->partners[raft->partner_count++] = address;
    return 0;
}

static int read_partners(const struct reader *r, const struct section *s, struct config_raft *raft)
{
    const json_t *list = reader_get(s, "partner_addrs");
    int rc = 0;
    if (json_is_string(list)) { /* "a:1, b:1", as in the environment of Patroni */
        char *text = mem_strdup(json_string_value(list));
        char *rest = NULL;
        for (char *part = strtok_r(text, ", ", &rest); rc == 0 && part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            rc = add_partner(r, s, part, raft);
        }
        mem_free(text);
        return rc;
    }
    if (list != NULL && !json_is_array(list)) {
        return reader_fail(r, s, "partner_addrs",
                           "is no list: give a list such as ['10.0.0.2:2222', '10.0.0.3:2222']");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = text != NULL ? add_partner(r, s, text, raft)
                          : reader_fail(r, s, "partner_addrs",
                                        "its item %zu is no text: give host:port", i + 1);
    }
    return rc;
}

static int read_raft_times(const struct reader *r, const struct section *s,
                           struct config_raft *raft)
{
    int rc = reader_int(r, s, "election_timeout", ELECTION_TIMEOUT_MIN, ELECTION_TIMEOUT_MAX,
                        &raft->election_timeout_ms);
    rc = rc != 0 ? rc
                 : reader_int(r, s, "heartbeat", HEARTBEAT_MIN, ELECTION_TIMEOUT_MAX,
                              &raft->heartbeat_ms);
    if (rc == 0 && raft->heartbeat_ms != 0 && raft->election_timeout_ms != 0 &&
        raft->heartbeat_ms * HEARTBEATS_PER_TIMEOUT > raft->election_timeout_ms) {
        return reader_fail(r, s, "heartbeat",
                           "%d ms is more than a third of election_timeout %d ms: give %d or less",
                           raft->heartbeat_ms, raft->election_timeout_ms,
                           raft->election_timeout_ms / HEARTBEATS_PER_TIMEOUT);
    }
    return rc;
}

static int read_raft(const struct reader *r, const struct config_source *source,
                     const struct section *top, struct config *c)
{
    struct section s;
    struct config_raft *raft = &c->raft;
    enum reader_need need = source->client ? READER_OPTIONAL : READER_REQUIRED;
    int rc = reader_section(r, top, "raft", "raft", &s);
    if (rc != 0) {
        return rc;
    }
    if (s.object == NULL) {
        return reader_fail(r, top, "raft",
                           "is not there: the cluster keeps its state in it: give a section with "
                           "data_dir, self_addr and partner_addrs");
    }
    rc = reader_path(r, &s, "data_dir", source->cwd, need, &raft->data_dir);
    rc = rc != 0 ? rc : reader_address(r, &s, "self_addr", false, 0, need, &raft->self);
    raft->bind = raft->self;
    rc = rc != 0 ? rc : reader_address(r, &s, "bind_addr", true, 0, READER_OPTIONAL, &raft->bind);
    rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &raft->password.hidden);
    rc = rc != 0 ? rc : read_partners(r, &s, raft);
    rc = rc != 0 ? rc : read_raft_times(r, &s, raft);
    if (rc == 0 && source->client && raft->self.text == NULL && raft->partner_count == 0) {
        return reader_fail(r, &s, "partner_addrs",
                           "names nobody, and self_addr is not there: give the addresses of "
                           "the members");
    }
    if (rc == 0 && !source->client && raft->partner_count == 1) {
        reader_warn(r, &s, "partner_addrs",
                    "two members: the loss of either stops the cluster; three survive one");
    }
    return rc;
}

/* --- bootstrap
 * -----------------------------------------------------------------------------------------------------
 */

static int read_user_options(const struct reader *r, const struct section *s, struct pg_user *user)
{
    int rc = reader_lines(r, s, "options", &user->options);
    for (size_t i = 0; rc == 0 && i < user->options.count; i++) {
        /* ours alone until the configuration is handed out */
        for (char *at = (char *)(uintptr_t)user->options.items[i]; *at != '\0'; at++) {
            *at = (char)toupper((unsigned char)*at);
            if (!isalnum((unsigned char)*at) && strchr("_ ", *at) == NULL) {
                return reader_fail(
                    r, s, "options",
                    "'%.60s' is no option of CREATE ROLE: give words such as createdb",
                    user->options.items[i]);
            }
        }
    }
    return rc;
}

static int read_users(const struct reader *r, const struct section *bootstrap,
                      struct config_bootstrap *b)
{
    struct section all;
    int rc = reader_section(r, bootstrap, "users", "bootstrap.users", &all);
    size_t count = json_object_size(all.object);
    if (rc != 0 || count == 0) {
        return rc;
    }
    if (count > PG_USERS_MAX) {
        return reader_fail(r, bootstrap, "users", "has more than %d users: give fewer",
                           PG_USERS_MAX);
    }
    struct pg_user *users = config_keep(r->memory, mem_new_array(struct pg_user, count));
    const char *name;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)all.object, name, unused)
    {
        struct section s;
        struct pg_user *user = &users[b->user_count];
        const char *path = config_keep_text(r->memory, mem_printf("bootstrap.users.%s", name));
        user->name = config_keep_text(r->memory, mem_strdup(name));
        rc = reader_section(r, &all, name, path, &s);
        rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &user->password);
        rc = rc != 0 ? rc : read_user_options(r, &s, user);
        rc = rc != 0 || strlen(name) < PG_NAME_BYTES
                 ? rc
                 : reader_fail(r, &all, name, "is too long for a role's name");
        if (rc != 0) {
            return rc;
        }
        b->user_count++;
    }
    b->users = users;
    return 0;
}

static int read_dcs(const struct reader *r, const struct section *bootstrap,
                    struct config_bootstrap *b)
{
    struct section s;
    struct error why = {0};
    char warning[DYNAMIC_WARNING_BYTES];
    json_t *adjusted = NULL;
    json_t *empty = config_keep_json(r->memory, json_object());
    int rc = reader_section(r, bootstrap, "dcs", "bootstrap.dcs", &s);
    if (rc != 0) {
        return rc;
    }
    const json_t *given = s.object != NULL ? s.object : empty;
    if (dynamic_config_check_types(given, &why) != 0 ||
        dynamic_config_adjusted(given, &adjusted, warning, &why) != 0) {
        return error_set(r->err, ERR_INVALID, "%s: bootstrap.dcs.%s", r->path, why.text);
    }
    if (warning[0] != '\0') {
        reader_warn(r, &s, NULL, "%s", warning);
    }
    b->dcs = config_keep_json(r->memory, adjusted);
    return 0;
}

static int read_bootstrap(const struct reader *r, const struct section *top, struct config *c)
{
    static const char *const forbidden[] = {"pgdata",    "nosync",  "pwfile",
                                            "sync-only", "version", NULL};
    struct section s;
    const char *method = "initdb";
    int rc = reader_section(r, top, "bootstrap", "bootstrap", &s);
    rc = rc != 0 ? rc : reader_text(r, &s, "method", READER_OPTIONAL, &method);
    if (rc == 0 && strcmp(method, "initdb") != 0) {
        return reader_fail(
            r, &s, "method",
            "'%.60s': a method of your own is not served by this release: take it out, "
            "or give 'initdb'",
            method);
    }
    rc = rc != 0 ? rc : read_dcs(r, &s, &c->bootstrap);
    rc = rc != 0 ? rc : reader_options(r, &s, "initdb", "", forbidden, &c->bootstrap.initdb);
    rc = rc != 0 ? rc : reader_lines(r, &s, "pg_hba", &c->bootstrap.pg_hba);
    return rc != 0 ? rc : read_users(r, &s, &c->bootstrap);
}

/* --- postgresql
 * ------------------------------------------------------------------------------------------------------
 */

static int read_account(const struct reader *r, const struct section *authentication,
                        const char *key, bool required, struct pg_account *ret_account)
{
    struct section s;
    const char *path = config_keep_text(r->memory, mem_printf("postgresql.authentication.%s", key));
    int rc = reader_section(r, authentication, key, path, &s);
    rc = rc != 0 ? rc
                 : reader_text(r, &s, "username", required ? READER_REQUIRED : READER_OPTIONAL,
                               &ret_account->username);
    rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &ret_account->password);
    if (rc == 0 && ret_account->username != NULL &&
        strlen(ret_account->username) >= PG_NAME_BYTES) {
        return reader_fail(r, &s, "username",
                           "is too long for a role's name: give less than %d bytes", PG_NAME_BYTES);
    }
    const char *name;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)s.object, name, unused)
    {
        if (rc == 0 && strcmp(name, "username") != 0 && strcmp(name, "password") != 0) {
            reader_warn(r, &s, name, "has no effect in this release, ignoring it");
        }
    }
    return rc;
}

static int read_authentication(const struct reader *r, const struct section *postgresql,
                               struct config_postgresql *p)
{
    struct section s;
    int rc = reader_section(r, postgresql, "authentication", "postgresql.authentication", &s);
    rc = rc != 0 ? rc : read_account(r, &s, "superuser", false, &p->superuser);
    rc = rc != 0 ? rc : read_account(r, &s, "replication", true, &p->replication);
    return rc != 0 ? rc : read_account(r, &s, "rewind", false, &p->rewind);
}

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

static int read_parameters(const struct reader *r, const struct section *s,
                           struct config_postgresql *p)
{
    struct section parameters;
    const char *name;
    json_t *value;
    int rc = reader_section(r, s, "parameters", "postgresql.parameters", &parameters);
    if (rc != 0) {
        return rc;
    }
    json_object_foreach((json_t *)(uintptr_t)parameters.object, name, value)
    {
        if (!is_scalar(value)) {
            return reader_fail(
                r, &parameters, name,
                "a list or mapping is no value of a parameter: give a text, a number, "
                "true or false");
        }
    }
    p->parameters =
        parameters.object != NULL ? parameters.object : config_keep_json(r->memory, json_object());
    return 0;
}

static int read_recovery_conf(const struct reader *r, const struct section *postgresql,
                              struct config_postgresql *p)
{
    struct section s;
    const char *name;
    json_t *value;
    int rc = reader_section(r, postgresql, "recovery_conf", "postgresql.recovery_conf", &s);
    if (rc != 0 || s.object == NULL) {
        return rc;
    }
    struct pg_parameter *items =
        config_keep(r->memory, mem_new_array(struct pg_parameter, json_object_size(s.object) + 1));
    size_t count = 0;
    json_object_foreach((json_t *)(uintptr_t)s.object, name, value)
    {
        bool on = false;
        items[count].name = config_keep_text(r->memory, mem_strdup(name));
        if (json_is_boolean(value) && dynamic_bool(value, &on)) {
            items[count].value = on ? "on" : "off";
        } else {
            rc = reader_text(r, &s, name, READER_OPTIONAL, &items[count].value);
        }
        if (rc != 0) {
            return rc;
        }
        count += items[count].value != NULL ? 1 : 0;
    }
    p->recovery_conf = (struct pg_parameters){.items = items, .count = count};
    return 0;
}

static int read_switches(const struct reader *r, const struct section *s,
                         struct config_postgresql *p)
{
    int seconds = PG_CTL_TIMEOUT_S;
    p->use_pg_rewind_given = reader_get(s, "use_pg_rewind") != NULL;
    int rc = reader_bool(r, s, "use_pg_rewind", &p->use_pg_rewind);
    rc = rc != 0 ? rc : reader_bool(r, s, "use_unix_socket", &p->use_unix_socket);
    rc = rc != 0 ? rc : reader_bool(r, s, "use_unix_socket_repl", &p->use_unix_socket_repl);
    rc = rc != 0 ? rc
                 : reader_bool(r, s, "remove_data_directory_on_rewind_failure",
                               &p->remove_data_directory_on_rewind_failure);
    rc = rc != 0 ? rc
                 : reader_bool(r, s, "remove_data_directory_on_diverged_timelines",
                               &p->remove_data_directory_on_diverged_timelines);
    rc = rc != 0 ? rc : reader_int(r, s, "pg_ctl_timeout", 1, 86400, &seconds);
    p->pg_ctl_timeout_ms = seconds * 1000;
    return rc;
}

/* What the others can reach when only `listen` is given: its first address, unless that is every
 * address. */
static int default_connect(const struct reader *r, const struct section *s,
                           struct config_postgresql *p)
{
    size_t len = strcspn(p->listen.host, ",");
    char *host = mem_strndup(p->listen.host, len);
    struct error why = {0};
    bool every = len == 0 || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 ||
                 strcmp(host, "::") == 0;
    char *text = mem_printf(strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, p->listen.port);
    int rc = every ? ERR_INVALID : config_address_parse(text, false, 0, &p->connect, &why);
    mem_free(host);
    mem_free(text);
    if (rc != 0) {
        return reader_fail(r, s, "connect_address",
                           "is not there, and 'listen' names no address that the others can "
                           "reach: give one, such as 10.0.0.1:5432");
    }
    (void)config_keep(r->memory, (void *)(uintptr_t)p->connect.text);
    (void)config_keep(r->memory, (void *)(uintptr_t)p->connect.host);
    return 0;
}

static int read_places(const struct reader *r, const struct config_source *source,
                       const struct section *s, struct config_postgresql *p)
{
    int rc = reader_address(r, s, "listen", true, POSTGRES_PORT, READER_REQUIRED, &p->listen);
    rc = rc != 0 ? rc
                 : reader_address(r, s, "connect_address", false, POSTGRES_PORT, READER_OPTIONAL,
                                  &p->connect);
    rc = rc != 0 || p->connect.text != NULL ? rc : default_connect(r, s, p);
    rc = rc != 0 ? rc : reader_path(r, s, "data_dir", source->cwd, READER_REQUIRED, &p->data_dir);
    p->config_dir = p->data_dir;
    rc = rc != 0 ? rc
                 : reader_path(r, s, "config_dir", source->cwd, READER_OPTIONAL, &p->config_dir);
    rc = rc != 0 ? rc : reader_path(r, s, "bin_dir", source->cwd, READER_OPTIONAL, &p->bin_dir);
    if (source->home != NULL) {
        p->pgpass = config_keep_text(r->memory, reader_path_normal(source->home, "pgpass"));
    }
    enum reader_need need = source->home != NULL ? READER_OPTIONAL : READER_REQUIRED;
    rc = rc != 0 ? rc : reader_path(r, s, "pgpass", source->cwd, need, &p->pgpass);
    if (rc == 0 && strcmp(p->config_dir, p->data_dir) != 0) {
        return reader_fail(r, s, "config_dir",
                           "a directory apart from data_dir is not served by this release: take it "
                           "out");
    }
    return rc;
}

static int read_postgresql(const struct reader *r, const struct config_source *source,
                           const struct section *top, struct config *c)
{
    static const char *const forbidden[] = {
        "pgdata", "format", "wal-method", "xlog-method", "gzip",     "compress", "version",
        "dbname", "host",   "port",       "username",    "password", NULL};
    struct section s;
    struct config_postgresql *p = &c->postgresql;
    int rc = reader_section(r, top, "postgresql", "postgresql", &s);
    p->section = s.object != NULL ? s.object : config_keep_json(r->memory, json_object());
    p->database = "postgres";
    rc = rc != 0 ? rc : read_places(r, source, &s, p);
    rc = rc != 0 ? rc : reader_text(r, &s, "database", READER_OPTIONAL, &p->database);
    rc = rc != 0 ? rc : read_authentication(r, &s, p);
    rc = rc != 0 ? rc : read_parameters(r, &s, p);
    rc = rc != 0 ? rc : reader_lines(r, &s, "pg_hba", &p->pg_hba);
    rc = rc != 0 ? rc : reader_lines(r, &s, "pg_ident", &p->pg_ident);
    rc = rc != 0 ? rc : read_recovery_conf(r, &s, p);
    rc = rc != 0 ? rc : reader_options(r, &s, "basebackup", "--", forbidden, &p->basebackup);
    return rc != 0 ? rc : read_switches(r, &s, p);
}

/* --- tags, watchdog, log
 * ------------------------------------------------------------------------------------------------
 */

/* As Python would: empty and zero are false, any other text is true, "false" included. */
static bool truthy(const json_t *value)
{
    if (value == NULL || json_is_null(value) || json_is_false(value)) {
        return false;
    }
    if (json_is_number(value)) {
        return json_number_value(value) < 0 || json_number_value(value) > 0;
    }
    if (json_is_string(value)) {
        return json_string_length(value) > 0;
    }
    return json_is_true(value) || json_array_size(value) > 0 || json_object_size(value) > 0;
}

static bool read_tag(const struct reader *r, const struct section *s, const char *key)
{
    const json_t *value = reader_get(s, key);
    bool on = false;
    bool set = truthy(value);
    if (json_is_string(value) && set && dynamic_bool(value, &on) && !on) {
        if (strcmp(key, "nostream") == 0) {
            return false; /* Patroni reads this one's text */
        }
        reader_warn(
            r, s, key,
            "is the text '%s', which counts as true: write it without quotes if false is meant",
            json_string_value(value));
    }
    return set;
}

/* A predefined truth value that is false is not told to anybody, except beside the priority that it
 * overrules. */
static json_t *tags_published(const struct section *s)
{
    static const char *const predefined[] = {"nofailover", "noloadbalance", "clonefrom", "nosync",
                                             "nostream"};
    json_t *published =
        s->object != NULL ? json_copy((json_t *)(uintptr_t)s->object) : json_object();
    for (size_t i = 0; i < sizeof(predefined) / sizeof(predefined[0]); i++) {
        const json_t *value = json_object_get(published, predefined[i]);
        bool kept =
            (strcmp(predefined[i], "nofailover") == 0 &&
             reader_get(s, "failover_priority") != NULL) ||
            (strcmp(predefined[i], "nosync") == 0 && reader_get(s, "sync_priority") != NULL);
        if (value != NULL && !truthy(value) && !kept) {
            (void)json_object_del(published, predefined[i]);
        }
    }
    return published;
}

static int read_tags(const struct reader *r, const struct section *top, struct config *c)
{
    struct section s;
    struct config_tags *tags = &c->tags;
    int sync_priority = 1;
    int rc = reader_section(r, top, "tags", "tags", &s);
    tags->failover_priority = 1;
    rc = rc != 0 ? rc
                 : reader_int(r, &s, "failover_priority", INT32_MIN, INT32_MAX,
                              &tags->failover_priority);
    rc = rc != 0 ? rc : reader_int(r, &s, "sync_priority", INT32_MIN, INT32_MAX, &sync_priority);
    rc = rc != 0 ? rc : reader_text(r, &s, "replicatefrom", READER_OPTIONAL, &tags->replicatefrom);
    if (rc != 0) {
        return rc;
    }
    bool by_priority = tags->failover_priority <= 0;
    bool given = reader_get(&s, "nofailover") != NULL;
    tags->nofailover = given ? read_tag(r, &s, "nofailover") : by_priority;
    if (given && reader_get(&s, "failover_priority") != NULL && tags->nofailover != by_priority) {
        reader_warn(r, &s, "nofailover",
                    "and failover_priority %d contradict each other: nofailover holds",
                    tags->failover_priority);
    }
    if (tags->nofailover || by_priority) {
        tags->failover_priority = tags->nofailover ? 0 : 1;
    }
    tags->noloadbalance = read_tag(r, &s, "noloadbalance");
    tags->clonefrom = read_tag(r, &s, "clonefrom");
    tags->nosync =
        reader_get(&s, "nosync") != NULL ? read_tag(r, &s, "nosync") : sync_priority <= 0;
    tags->nostream = read_tag(r, &s, "nostream");
    tags->published = config_keep_json(r->memory, tags_published(&s));
    return 0;
}

static int read_watchdog(const struct reader *r, const struct section *top, struct config *c)
{
    struct section s;
    int rc = reader_section(r, top, "watchdog", "watchdog", &s);
    const json_t *mode = rc == 0 ? reader_get(&s, "mode") : NULL;
    const char *text = json_is_string(mode) ? json_string_value(mode) : "";
    c->watchdog = CONFIG_WATCHDOG_AUTOMATIC;
    if (rc != 0 || s.object == NULL) {
        return rc;
    }
    if (json_is_false(mode) || strcasecmp(text, "off") == 0 ||
        strncasecmp(text, "disable", 7) == 0) {
        c->watchdog = CONFIG_WATCHDOG_OFF;
        return 0;
    }
    if (strncasecmp(text, "require", 7) == 0) {
        return reader_fail(r, &s, "mode",
                           "'required' is not served by this release: give 'off' or 'automatic'");
    }
    if (mode != NULL && strncasecmp(text, "auto", 4) != 0) {
        return reader_fail(r, &s, "mode", "is none of the modes: give 'off' or 'automatic'");
    }
    reader_warn(r, &s, "mode",
                "'automatic': no watchdog device is used by this release; the fence process kills "
                "PostgreSQL at the deadline");
    return 0;
}

static int read_log(const struct reader *r, const struct section *top, struct config *c)
{
    struct section s;
    const char *level = NULL;
    const char *type = NULL;
    c->log.level = LOG_LEVEL_INFO;
    int rc = reader_section(r, top, "log", "log", &s);
    rc = rc != 0 ? rc : reader_text(r, &s, "level", READER_OPTIONAL, &level);
    rc = rc != 0 ? rc : reader_text(r, &s, "type", READER_OPTIONAL, &type);
    if (rc == 0 && level != NULL && !log_level_parse(level, &c->log.level)) {
        return reader_fail(r, &s, "level",
                           "'%.40s' is no level: give ERROR, WARNING, INFO or DEBUG", level);
    }
    if (rc == 0 && type != NULL && strcmp(type, "plain") != 0 && strcmp(type, "json") != 0) {
        return reader_fail(r, &s, "type", "'%.40s' is no form of a line: give plain or json", type);
    }
    c->log.json = type != NULL && strcmp(type, "json") == 0;
    return rc;
}

/* --- what has to fit together
 * ------------------------------------------------------------------------------------------------
 */

static int check_directories(const struct reader *r, const struct config *c)
{
    struct section raft = {.name = "raft", .object = NULL};
    const char *a = c->raft.data_dir;
    const char *b = c->postgresql.data_dir;
    if (reader_path_inside(a, b)) {
        return reader_fail(r, &raft, "data_dir",
                           "'%.200s' lies in postgresql.data_dir '%.200s', which a clone empties: "
                           "give one outside",
                           a, b);
    }
    if (reader_path_inside(b, a)) {
        struct section postgresql = {.name = "postgresql", .object = NULL};
        return reader_fail(
            r, &postgresql, "data_dir",
            "'%.200s' lies in raft.data_dir '%.200s': give each a directory of its own", b, a);
    }
    return 0;
}

static int check_ports(const struct reader *r, const struct config *c)
{
    struct section raft = {.name = "raft", .object = NULL};
    struct section restapi = {.name = "restapi", .object = NULL};
    if (strcmp(c->raft.self.host, c->restapi_listen.host) == 0 &&
        c->raft.bind.port == c->restapi_listen.port) {
        return reader_fail(r, &raft, "self_addr",
                           "has the address of restapi.listen: give it a port of its own");
    }
    if (strcmp(c->restapi_listen.host, c->postgresql.listen.host) == 0 &&
        c->restapi_listen.port == c->postgresql.listen.port) {
        return reader_fail(r, &restapi, "listen",
                           "has the address of postgresql.listen: give it a port of its own");
    }
    return 0;
}

static int read_all(const struct reader *r, const struct config_source *source, const json_t *tree,
                    struct config *c)
{
    struct section top = {.name = "", .object = tree};
    int rc = check_names(r, tree);
    rc = rc != 0 ? rc : check_served(r, tree);
    rc = rc != 0 ? rc : read_top(r, &top, source->client, c);
    rc = rc != 0 ? rc : read_raft(r, source, &top, c);
    rc = rc != 0 ? rc : read_restapi(r, &top, source->client, c);
    rc = rc != 0 ? rc : read_log(r, &top, c);
    if (rc != 0 || source->client) {
        return rc;
    }
    rc = read_bootstrap(r, &top, c);
    rc = rc != 0 ? rc : read_postgresql(r, source, &top, c);
    rc = rc != 0 ? rc : read_tags(r, &top, c);
    rc = rc != 0 ? rc : read_watchdog(r, &top, c);
    rc = rc != 0 ? rc : check_directories(r, c);
    return rc != 0 ? rc : check_ports(r, c);
}

int config_from_json(const struct config_source *source, json_t *tree, struct config *ret_config,
                     struct config_warnings *warnings, struct error *err)
{
    struct config config = {.memory = config_memory_new()};
    struct reader r = {
        .path = source->path, .memory = config.memory, .warnings = warnings, .err = err};
    int rc = 0;
    *ret_config = (struct config){0};
    if (!json_is_object(tree)) {
        rc = error_set(
            err, ERR_INVALID,
            "%s: holds no mapping of keys and values: give a configuration, with scope, name, "
            "raft, restapi and postgresql",
            source->path);
    } else {
        config.path = config_keep_text(config.memory, mem_strdup(source->path));
        (void)config_keep_json(config.memory, json_incref(tree));
        rc = read_all(&r, source, tree, &config);
    }
    if (rc != 0) {
        config_free(&config);
        return rc;
    }
    *ret_config = config;
    return 0;
}

void config_free(struct config *config)
{
    if (config != NULL) {
        config_memory_free(config->memory);
        *config = (struct config){0};
    }
}

void config_warnings_free(struct config_warnings *warnings)
{
    for (size_t i = 0; i < warnings->count && i < CONFIG_WARNINGS_MAX; i++) {
        mem_free(warnings->texts[i]);
    }
    *warnings = (struct config_warnings){0};
}

void config_raft_timeouts(const struct config_raft *raft, int64_t ttl_ms,
                          int *ret_election_timeout_ms, int *ret_heartbeat_ms)
{
    int64_t election = ttl_ms / 6 < 500 ? 500 : ttl_ms / 6 > 1000 ? 1000 : ttl_ms / 6;
    *ret_election_timeout_ms =
        raft->election_timeout_ms != 0 ? raft->election_timeout_ms : (int)election;
    *ret_heartbeat_ms =
        raft->heartbeat_ms != 0 ? raft->heartbeat_ms : *ret_election_timeout_ms / 10;
}
