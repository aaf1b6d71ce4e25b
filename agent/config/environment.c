/* Which variable stands for which key: single ones by a table, whole sections by the names in
 * keys.def. A value is a text, and read as the same text in the file would be; of lists and
 * mappings it is YAML that may lack its brackets. */
#include "agent/config/environment.h"

#include "agent/config/known_keys.h"
#include "agent/config/yaml.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PREFIX         "PATRONI_"
#define KEY_BYTES      64 /* longer ones are no names of keys */
#define CONFIG_LITERAL "PATRONI_CONFIGURATION"

/* What a variable is called in the file. */
struct place {
    const char *path; /* of the section, "" = top level */
    char key[KEY_BYTES];
    const char *value;
    bool old_name; /* gives way to the newer one */
};

static const struct {
    const char *name;
    const char *path;
    const char *key;
    bool old_name;
} single[] = {
    {"SCOPE", "", "scope", false},
    {"NAMESPACE", "", "namespace", false},
    {"NAME", "", "name", false},
    {"THREAD_POOL_SIZE", "", "thread_pool_size", false},
    {"THREAD_STACK_SIZE", "", "thread_stack_size", false},
    {"LOGLEVEL", "log", "level", true},
    {"LOGFORMAT", "log", "format", true},
    {"LOG_DATEFMT", "log", "dateformat", true},
    {"RESTAPI_USERNAME", "restapi.authentication", "username", false},
    {"RESTAPI_PASSWORD", "restapi.authentication", "password", false},
    {"CTL_USERNAME", "ctl.authentication", "username", false},
    {"CTL_PASSWORD", "ctl.authentication", "password", false},
    {"POSTGRESQL_LISTEN", "postgresql", "listen", false},
    {"POSTGRESQL_CONNECT_ADDRESS", "postgresql", "connect_address", false},
    {"POSTGRESQL_PROXY_ADDRESS", "postgresql", "proxy_address", false},
    {"POSTGRESQL_CONFIG_DIR", "postgresql", "config_dir", false},
    {"POSTGRESQL_DATA_DIR", "postgresql", "data_dir", false},
    {"POSTGRESQL_PGPASS", "postgresql", "pgpass", false},
    {"POSTGRESQL_BIN_DIR", "postgresql", "bin_dir", false},
    {"POSTGRESQL_BIN_PG_CTL", "postgresql.bin_name", "pg_ctl", false},
    {"POSTGRESQL_BIN_INITDB", "postgresql.bin_name", "initdb", false},
    {"POSTGRESQL_BIN_PG_CONTROLDATA", "postgresql.bin_name", "pg_controldata", false},
    {"POSTGRESQL_BIN_PG_BASEBACKUP", "postgresql.bin_name", "pg_basebackup", false},
    {"POSTGRESQL_BIN_POSTGRES", "postgresql.bin_name", "postgres", false},
    {"POSTGRESQL_BIN_PG_ISREADY", "postgresql.bin_name", "pg_isready", false},
    {"POSTGRESQL_BIN_PG_REWIND", "postgresql.bin_name", "pg_rewind", false},
};

static const struct {
    const char *prefix;
    const char *path;
    const char *list; /* of keys.def; NULL: whatever it is, the section is refused */
} groups[] = {
    {"LOG_", "log", "log"},
    {"RESTAPI_", "restapi", "restapi"},
    {"CTL_", "ctl", "ctl"},
    {"RAFT_", "raft", "raft"},
    {"ETCD_", "etcd", "etcd"},
    {"ETCD3_", "etcd3", "etcd"},
    {"SUPERUSER_", "postgresql.authentication.superuser", "account"},
    {"REPLICATION_", "postgresql.authentication.replication", "account"},
    {"REWIND_", "postgresql.authentication.rewind", "account"},
    {"CITUS_", "citus", NULL},
    {"CONSUL_", "consul", NULL},
    {"ZOOKEEPER_", "zookeeper", NULL},
    {"EXHIBITOR_", "exhibitor", NULL},
    {"KUBERNETES_", "kubernetes", NULL},
};

static const char *const lists[] = {"hosts", "partner_addrs", "allowlist", NULL};
static const char *const mappings[] = {"static_fields", "loggers", "http_extra_headers",
                                       "https_extra_headers", NULL};

static bool is_among(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

static bool find_single(const char *name, size_t len, struct place *ret_place)
{
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (strlen(single[i].name) == len && strncmp(single[i].name, name, len) == 0) {
            ret_place->path = single[i].path;
            ret_place->old_name = single[i].old_name;
            (void)snprintf(ret_place->key, sizeof ret_place->key, "%s", single[i].key);
            return true;
        }
    }
    return false;
}

static bool find_in_group(const char *name, size_t len, struct place *ret_place)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        size_t prefix_len = strlen(groups[i].prefix);
        if (len <= prefix_len || len - prefix_len >= KEY_BYTES ||
            strncmp(name, groups[i].prefix, prefix_len) != 0) {
            continue;
        }
        for (size_t j = 0; j <= len - prefix_len; j++) {
            ret_place->key[j] =
                j < len - prefix_len ? (char)tolower((unsigned char)name[prefix_len + j]) : '\0';
        }
        ret_place->path = groups[i].path;
        ret_place->old_name = false;
        return groups[i].list == NULL || known_keys_has(groups[i].list, ret_place->key);
    }
    return false;
}

/* False: it is none of Patroni's, or empty. */
static bool is_given(const char *variable)
{
    size_t len = strcspn(variable, "=");
    return strncmp(variable, PREFIX, strlen(PREFIX)) == 0 && variable[len] == '=' &&
           variable[len + 1] != '\0';
}

static bool find(const char *variable, struct place *ret_place)
{
    size_t len = strcspn(variable, "=");
    if (!is_given(variable)) {
        return false;
    }
    const char *name = variable + strlen(PREFIX);
    size_t name_len = len - strlen(PREFIX);
    ret_place->value = variable + len + 1;
    return find_single(name, name_len, ret_place) || find_in_group(name, name_len, ret_place);
}

/* --- values ----------------------------------------------------------------------------------- */

/* YAML with or without its brackets; NULL: it is none of that kind. */
static json_t *in_brackets(const char *value, bool whole, bool mapping)
{
    char *text = whole     ? mem_strdup(value)
                 : mapping ? mem_printf("{%s}", value)
                           : mem_printf("[%s]", value);
    json_t *tree = NULL;
    struct error ignored = {0};
    if (yaml_parse_value(text, &tree, &ignored) != 0 ||
        !(mapping ? json_is_object(tree) : json_is_array(tree))) {
        json_decref(tree);
        tree = NULL;
    }
    mem_free(text);
    return tree;
}

/* 'a:2379','b:2379' is how Patroni documents a list. What is neither list nor mapping stays the
 * text that it is: whoever reads the section says what is wrong with it. */
static json_t *value_of(const struct place *place)
{
    const char *start = place->value + strspn(place->value, " ");
    json_t *value = NULL;
    if (is_among(lists, place->key)) {
        value =
            in_brackets(place->value, strchr(place->value, '[') != NULL || *start == '-', false);
    } else if (is_among(mappings, place->key)) {
        value = in_brackets(place->value, *start == '{', true);
    } else if (strcmp(place->key, "format") == 0 && (*start == '[' || *start == '-')) {
        value = in_brackets(place->value, true, false);
    }
    return value != NULL ? value : json_string(place->value);
}

/* The section of that path, made where there is none. NULL: something else is in its place, and
 * that is what will be said. */
static json_t *section_at(json_t *tree, const char *path)
{
    while (*path != '\0' && json_is_object(tree)) {
        char part[KEY_BYTES];
        size_t len = strcspn(path, ".");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        json_t *below = json_object_get(tree, part);
        if (below == NULL || json_is_null(below)) {
            below = json_object();
            (void)json_object_set_new(tree, part, below);
        }
        tree = below;
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return json_is_object(tree) ? tree : NULL;
}

/* False: the value is no UTF-8. */
static bool set_key(json_t *tree, const struct place *place)
{
    json_t *section = section_at(tree, place->path);
    json_t *value = value_of(place);
    json_t *old = json_object_get(section, place->key);
    if (section == NULL || value == NULL) {
        json_decref(value);
        return value != NULL;
    }
    if (json_is_object(value) && json_is_object(old)) {
        bool set = json_object_update_recursive(old, value) == 0;
        json_decref(value);
        return set;
    }
    return json_object_set_new(section, place->key, value) == 0;
}

/* --- for others ------------------------------------------------------------------------------- */

int environment_merge(const json_t *tree, const char *const *environment, json_t **ret_tree,
                      struct error *err)
{
    json_t *copy = json_deep_copy(tree);
    for (int newer = 0; newer < 2; newer++) {
        for (const char *const *at = environment; at != NULL && *at != NULL; at++) {
            struct place place;
            if (find(*at, &place) && place.old_name == (newer == 0) && !set_key(copy, &place)) {
                json_decref(copy);
                return error_set(err, ERR_INVALID,
                                 "%.*s (environment): is no UTF-8: give it in UTF-8",
                                 (int)strcspn(*at, "="), *at);
            }
        }
    }
    *ret_tree = copy;
    return 0;
}

const char *environment_name(const char *const *environment, const char *section, const char *key,
                             int *ret_len)
{
    const char *found = NULL;
    for (; environment != NULL && *environment != NULL; environment++) {
        struct place place;
        if (find(*environment, &place) && strcmp(place.path, section) == 0 &&
            strcmp(place.key, key) == 0 && (found == NULL || !place.old_name)) {
            found = *environment;
            *ret_len = (int)strcspn(found, "=");
        }
    }
    return found;
}

bool environment_has_any(const char *const *environment)
{
    struct place unused;
    while (environment != NULL && *environment != NULL && !find(*environment, &unused)) {
        environment++;
    }
    return environment != NULL && *environment != NULL;
}

const char *environment_document(const char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        if (is_given(*environment) &&
            strncmp(*environment, CONFIG_LITERAL "=", strlen(CONFIG_LITERAL "=")) == 0) {
            return *environment + strlen(CONFIG_LITERAL "=");
        }
    }
    return NULL;
}

void environment_warn(const struct reader *r, const char *const *environment)
{
    const struct section none = {.name = ""};
    for (; environment != NULL && *environment != NULL; environment++) {
        struct place unused;
        size_t len = strcspn(*environment, "=");
        if (is_given(*environment) && !find(*environment, &unused)) {
            char *name = mem_printf("%.*s (environment)", (int)len, *environment);
            bool document = strncmp(*environment, CONFIG_LITERAL "=", len + 1) == 0;
            reader_warn(r, &none, name,
                        document ? "is for a start without a file, ignoring it"
                                 : "is no variable that is known here, ignoring it: give it in "
                                   "the file");
            mem_free(name);
        }
    }
}
