/* A configuration is read up to its first mistake. To find the others, what is wrong is taken out
 * and the rest read again: the line itself says where it is ("FILE: restapi.listen: ..."). What has
 * to be there gets a value that would be right, so that it is told once. */
#include "agent/config/config_faults.h"

#include "agent/config/dynamic.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 512
#define DCS        "bootstrap.dcs"

/* Addresses for documentation (RFC 5737): nobody is there. */
static const struct {
    const char *path;
    const char *value; /* JSON */
} stand_ins[] = {
    {"scope", "\"scope\""},
    {"name", "\"name\""},
    {"state_dir", "\"/nonexistent/state\""},
    {"restapi.listen", "\"192.0.2.1:1\""},
    {"restapi.connect_address", "\"192.0.2.1:1\""},
    {"restapi.certfile", "\"/nonexistent/cert\""},
    {"restapi.cafile", "\"/nonexistent/ca\""},
    {"restapi.authentication.username", "\"x\""},
    {"restapi.authentication.password", "\"x\""},
    {"ctl.certfile", "\"/nonexistent/cert\""},
    {"ctl.authentication.username", "\"x\""},
    {"ctl.authentication.password", "\"x\""},
    {"raft", "{\"data_dir\": \"/nonexistent/raft\", \"self_addr\": \"192.0.2.1:2\"}"},
    {"raft.data_dir", "\"/nonexistent/raft\""},
    {"raft.self_addr", "\"192.0.2.1:2\""},
    {"raft.cafile", "\"/nonexistent/ca\""},
    {"raft.certfile", "\"/nonexistent/cert\""},
    {"etcd.hosts", "[\"192.0.2.1\"]"},
    {"etcd.username", "\"x\""},
    {"etcd.password", "\"x\""},
    {"etcd3.hosts", "[\"192.0.2.1\"]"},
    {"etcd3.username", "\"x\""},
    {"etcd3.password", "\"x\""},
    {"etcd_server.listen", "\"192.0.2.1:3\""},
    {"etcd_server.certfile", "\"/nonexistent/cert\""},
    {"etcd_server.cafile", "\"/nonexistent/ca\""},
    {"etcd_server.authentication.username", "\"x\""},
    {"etcd_server.authentication.password", "\"x\""},
    {"postgresql", "{\"listen\": \"192.0.2.1:4\", \"data_dir\": \"/nonexistent/data\", "
                   "\"authentication\": {\"replication\": {\"username\": \"x\"}}}"},
    {"postgresql.listen", "\"192.0.2.1:4\""},
    {"postgresql.connect_address", "\"192.0.2.1:4\""},
    {"postgresql.data_dir", "\"/nonexistent/data\""},
    {"postgresql.pgpass", "\"/nonexistent/pgpass\""},
    {"postgresql.authentication.replication.username", "\"x\""},
};

/* The key that a line speaks of; false: it speaks of none. */
static bool path_of(const char *line, char *ret_path)
{
    size_t len = strcspn(line, ": (");
    if (len == 0 || len >= PATH_BYTES || line[len] == '\0') {
        return false;
    }
    (void)snprintf(ret_path, PATH_BYTES, "%.*s", (int)len, line);
    return true;
}

/* What is there under that path, or the part of it that comes nearest to it, out of the tree.
 * False: nothing is there. Names of parameters may have dots themselves. */
static bool take_out(json_t *tree, const char *path, bool whole)
{
    while (json_is_object(tree)) {
        if (json_object_get(tree, path) != NULL) {
            return json_object_del(tree, path) == 0;
        }
        size_t len = strcspn(path, ".");
        char part[PATH_BYTES];
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        json_t *below = json_object_get(tree, part);
        if (below == NULL || path[len] == '\0') {
            return false;
        }
        if (!json_is_object(below)) {
            return !whole && json_object_del(tree, part) == 0;
        }
        tree = below;
        path += len + 1;
    }
    return false;
}

static bool put_in_place(json_t *tree, const char *path)
{
    const char *value = NULL;
    const char *key = path;
    for (size_t i = 0; i < sizeof stand_ins / sizeof stand_ins[0]; i++) {
        value = strcmp(stand_ins[i].path, path) == 0 ? stand_ins[i].value : value;
    }
    while (value != NULL && strchr(key, '.') != NULL) {
        char part[PATH_BYTES];
        size_t len = strcspn(key, ".");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, key);
        json_t *below = json_object_get(tree, part);
        if (!json_is_object(below)) {
            below = json_object();
            (void)json_object_set_new(tree, part, below);
        }
        tree = below;
        key += len + 1;
    }
    return value != NULL &&
           json_object_set_new(tree, key, json_loads(value, JSON_DECODE_ANY, NULL)) == 0;
}

struct search {
    json_t *tree;
    json_t *faults;
    json_t *seen; /* path -> how often */
};

void config_faults_add(json_t *faults, const char *line)
{
    char *clean = mem_strdup(line);
    utf8_clean(clean);
    ASSERT(json_array_append_new(faults, json_string(clean)) == 0);
    mem_free(clean);
}

static void note(const struct search *search, const char *line)
{
    if (json_array_size(search->faults) < CONFIG_FAULTS_MAX) {
        config_faults_add(search->faults, line);
    }
}

/* Notes the line, unless its key was told of already, and makes the next reading get further.
 * False: it would not. */
static bool go_on(struct search *search, const char *line, const char *path)
{
    json_int_t count = json_integer_value(json_object_get(search->seen, path));
    if (count == 0) {
        note(search, line);
    }
    (void)json_object_set_new(search->seen, path, json_integer(count + 1));
    return count < 3 && json_array_size(search->faults) < CONFIG_FAULTS_MAX &&
           (take_out(search->tree, path, true) || put_in_place(search->tree, path) ||
            take_out(search->tree, path, false));
}

/* As strictly as whoever wants to store it later is answered. */
static void search_dynamic(struct search *search, const struct config_source *source,
                           int64_t ttl_min_ms)
{
    const json_t *bootstrap = json_object_get(search->tree, "bootstrap");
    const json_t *dcs = json_object_get(bootstrap, "dcs");
    struct error err = {0};
    bool on = json_is_object(dcs);
    while (on && dynamic_config_validate(dcs, ttl_min_ms, NULL, &err) != 0) {
        char path[PATH_BYTES];
        char *line = mem_printf("%s: " DCS ".%s", source->path, err.text);
        on = path_of(line + strlen(source->path) + 2, path) && go_on(search, line, path);
        mem_free(line);
        err = (struct error){0};
    }
    if (json_is_object(bootstrap) && dcs == NULL) {
        char *line = mem_printf("%s: " DCS ": is not there, and a 'bootstrap' section is: give the "
                                "first dynamic configuration, or {} for the defaults",
                                source->path);
        note(search, line);
        mem_free(line);
    }
}

void config_faults(const struct config_source *source, json_t *tree, json_t *faults,
                   struct config *ret_config, struct config_warnings *warnings)
{
    struct search search = {.tree = tree, .faults = faults, .seen = json_object()};
    bool etcd = json_object_get(tree, "etcd") != NULL || json_object_get(tree, "etcd3") != NULL;
    struct error err = {0};
    char path[PATH_BYTES];
    bool on = json_is_object(tree);
    *ret_config = (struct config){0};
    search_dynamic(&search, source, etcd ? DYNAMIC_TTL_MS_MIN_ETCD : DYNAMIC_TTL_MS_MIN_RAFT);
    while (config_from_json(source, tree, ret_config, warnings, &err) != 0) {
        size_t skipped = strlen(source->path) + 2;
        on = on && strlen(err.text) > skipped && path_of(err.text + skipped, path);
        if (!on) {
            note(&search, err.text);
        }
        on = on && go_on(&search, err.text, path);
        if (!on) {
            break;
        }
        config_warnings_free(warnings);
        err = (struct error){0};
    }
    json_decref(search.seen);
    if (json_array_size(faults) == CONFIG_FAULTS_MAX) {
        char *line = mem_printf("%s: there may be more faults: these are the first %d",
                                source->path, CONFIG_FAULTS_MAX);
        config_faults_add(faults, line);
        mem_free(line);
    }
}

/* --- secrets ---------------------------------------------------------------------------------- */

/* In names of keys, and in texts where a value follows: "ldapbindpasswd=...". */
static const char *const secret_words[] = {
    "password",   "passwd",  "passphrase", "secret",      "token",
    "credential", "api_key", "access_key", "private_key",
};

/* Of whatever case. NULL: none. */
static const char *find_secret_word(const char *text)
{
    const char *first = NULL;
    for (size_t i = 0; i < sizeof secret_words / sizeof secret_words[0]; i++) {
        const char *found = strcasestr(text, secret_words[i]);
        first = found != NULL && (first == NULL || found < first) ? found : first;
    }
    return first;
}

static bool is_secret(const char *key)
{
    return find_secret_word(key) != NULL && strcmp(key, "password_encryption") != 0 &&
           strcmp(key, "server_tokens") != 0;
}

/* Keys of ours and parameters of PostgreSQL. */
static bool is_command(const char *key)
{
    static const char *const others[] = {"pre_promote", "before_stop", "post_bootstrap",
                                         "post_init"};
    static const char end[] = "command";
    size_t len = strlen(key);
    bool found = len >= sizeof end - 1 && strcmp(key + len - (sizeof end - 1), end) == 0;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        found = found || strcmp(key, others[i]) == 0;
    }
    return found;
}

/* So much of a text can be shown: up to the value behind a word of above. */
static size_t shown_len(const char *text)
{
    const char *at = text;
    while ((at = find_secret_word(at)) != NULL) {
        at += strcspn(at, " =:,;\"'"); /* to the end of the name */
        const char *value = at + strspn(at, "\"' ");
        if (*value == '=' || *value == ':') {
            return (size_t)(value + 1 - text);
        }
    }
    return strlen(text);
}

/* "http://u:***@h:1": of more than one URL what lies between the first colon and the last password.
 */
static json_t *url_without_secret(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *at = scheme != NULL ? strrchr(scheme, '@') : NULL;
    const char *colon = scheme != NULL ? strchr(scheme + 3, ':') : NULL;
    return at != NULL && colon != NULL && colon < at
               ? json_sprintf("%.*s:***%s", (int)(colon - text), text, at)
               : json_string(text);
}

/* The program, or the name of the variable that is set for it. */
static size_t command_len(const char *text)
{
    size_t len = strspn(text, " \t\n");
    len += strcspn(text + len, " \t\n=");
    return len + strspn(text + len, "=");
}

static json_t *text_without_secret(const char *key, const char *text)
{
    bool command = is_command(key);
    size_t len = command ? command_len(text) : shown_len(text);
    if (is_secret(key) && !command) {
        return json_string("***");
    }
    char *shown = mem_printf("%.*s%s%s", (int)len, text, command && text[len] == ' ' ? " " : "",
                             text[len] != '\0' ? "***" : "");
    json_t *copy = url_without_secret(shown);
    mem_free(shown);
    return copy;
}

static json_t *without_secrets(const char *key, const json_t *node, unsigned depth)
{
    json_t *copy = NULL;
    if (json_is_object(node) && depth > 0) {
        bool callbacks = strcmp(key, "callbacks") == 0;
        const char *name;
        json_t *value;
        copy = json_object();
        json_object_foreach((json_t *)(uintptr_t)node, name, value)
        {
            const char *as = callbacks ? "command" : is_secret(key) ? key : name;
            (void)json_object_set_new(copy, name, without_secrets(as, value, depth - 1));
        }
    } else if (json_is_array(node) && depth > 0) {
        copy = json_array();
        for (size_t i = 0; i < json_array_size(node); i++) {
            (void)json_array_append_new(copy,
                                        without_secrets(key, json_array_get(node, i), depth - 1));
        }
    } else if (json_is_string(node)) {
        copy = text_without_secret(key, json_string_value(node));
    } else {
        copy = is_secret(key) && json_is_number(node) ? json_string("***")
               : depth > 0                            ? json_deep_copy(node)
                                                      : json_null();
    }
    return copy;
}

json_t *config_without_secrets(const json_t *tree)
{
    return without_secrets("", tree, 64); /* as deep as a file can be */
}
