/* Commands of the operator: split into words here, so that a quote that is not closed is told at
 * the start and not in the middle of a failover. */
#include "agent/config/sections.h"

#include "base/mem.h"
#include "pgctl/pg_parse.h"

#include <string.h>

#define METHODS_MAX 16

/* A command as words; not given, or empty: the output is left alone. */
static int read_command(const struct reader *r, const struct section *s, const char *key,
                        struct pg_lines *ret_words)
{
    const char *text = NULL;
    struct error why = {0};
    size_t count = 0;
    int rc = reader_text(r, s, key, READER_OPTIONAL, &text);
    if (rc != 0 || text == NULL) {
        return rc;
    }
    const char **words = config_keep(r->memory, mem_new_array(const char *, PG_WORDS_MAX));
    char *memory = config_keep(r->memory, mem_alloc(strlen(text) + 1));
    if (pg_words_split(text, memory, words, &count, &why) != 0) {
        return reader_fail(r, s, key, "is no command: %s", why.text); /* it may have secrets */
    }
    if (count == 0) {
        return reader_fail(r, s, key, "has spaces alone: give a command, or take it out");
    }
    *ret_words = (struct pg_lines){.items = words, .count = count};
    return 0;
}

static int read_callbacks(const struct reader *r, const struct section *postgresql,
                          struct config_hooks *hooks)
{
    static const char *const names[] = {
        [CONFIG_ON_START] = "on_start",
        [CONFIG_ON_STOP] = "on_stop",
        [CONFIG_ON_RESTART] = "on_restart",
        [CONFIG_ON_RELOAD] = "on_reload",
        [CONFIG_ON_ROLE_CHANGE] = "on_role_change",
    };
    struct section s;
    int rc = reader_section(r, postgresql, "callbacks", "postgresql.callbacks", &s);
    for (int i = 0; rc == 0 && i < CONFIG_CALLBACKS; i++) {
        rc = read_command(r, &s, names[i], &hooks->callbacks[i]);
    }
    return rc;
}

int section_hooks(const struct reader *r, const struct section *postgresql,
                  struct config_hooks *ret_hooks)
{
    int seconds = ret_hooks->timeout_ms / 1000;
    int rc = read_callbacks(r, postgresql, ret_hooks);
    rc = rc != 0 ? rc : read_command(r, postgresql, "pre_promote", &ret_hooks->pre_promote);
    rc = rc != 0 ? rc : read_command(r, postgresql, "before_stop", &ret_hooks->before_stop);
    rc = rc != 0 ? rc : reader_int(r, postgresql, "hook_timeout", 1, 3600, &seconds);
    ret_hooks->timeout_ms = seconds * 1000;
    return rc;
}

/* --- methods ---------------------------------------------------------------------------------- */

static bool is_among(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

/* As Patroni, which is a Python program, puts them on the command line. */
static int param_of(const struct reader *r, const struct section *s, const char *key,
                    const json_t *value, const char **ret_param)
{
    const char *text = NULL;
    int rc = 0;
    if (json_is_boolean(value)) {
        text = json_is_true(value) ? "True" : "False";
    } else {
        rc = reader_text(r, s, key, READER_OPTIONAL, &text);
    }
    *ret_param =
        rc != 0 ? NULL
                : config_keep_text(r->memory, mem_printf("--%s=%s", key, text == NULL ? "" : text));
    return rc;
}

/* Every key of the section that is none of `ours`. */
static int read_params(const struct reader *r, const struct section *s, const char *const *ours,
                       struct pg_lines *ret_params)
{
    const char *key;
    json_t *value;
    size_t size = json_object_size(s->object);
    size_t count = 0;
    if (size > PG_WORDS_MAX) {
        return reader_fail(r, s, NULL, "has more than %d keys: give fewer", PG_WORDS_MAX);
    }
    const char **params = config_keep(r->memory, mem_new_array(const char *, size + 1));
    json_object_foreach((json_t *)(uintptr_t)s->object, key, value)
    {
        if (is_among(ours, key)) {
            continue;
        }
        int rc = param_of(r, s, key, value, &params[count]);
        if (rc != 0) {
            return rc;
        }
        count++;
    }
    *ret_params = (struct pg_lines){.items = params, .count = count};
    return 0;
}

static int read_bootstrap_method(const struct reader *r, const struct section *bootstrap,
                                 const char *name, struct pg_method *ret_method)
{
    static const char *const ours[] = {
        "command", "no_params", "keep_existing_recovery_conf", "recovery_conf", "scope",
        "datadir", NULL};
    struct section s;
    const char *path = config_keep_text(r->memory, mem_printf("bootstrap.%s", name));
    const char *recovery = config_keep_text(r->memory, mem_printf("%s.recovery_conf", path));
    int rc = reader_section(r, bootstrap, name, path, &s);
    ret_method->name = name;
    rc = rc != 0 ? rc : read_command(r, &s, "command", &ret_method->words);
    if (rc == 0 && ret_method->words.count == 0) {
        return reader_fail(r, bootstrap, "method",
                           "'%.60s' has no command: give it as bootstrap.%.60s.command, or give "
                           "'initdb'",
                           name, name);
    }
    rc = rc != 0 ? rc : reader_bool(r, &s, "no_params", &ret_method->no_params);
    rc = rc != 0
             ? rc
             : reader_bool(r, &s, "keep_existing_recovery_conf", &ret_method->keep_recovery_conf);
    rc = rc != 0 ? rc : section_recovery_conf(r, &s, recovery, &ret_method->recovery_conf);
    return rc != 0 ? rc : read_params(r, &s, ours, &ret_method->params);
}

int section_bootstrap_hooks(const struct reader *r, const struct section *bootstrap,
                            struct config_bootstrap *b)
{
    const char *name = "initdb";
    int rc = reader_text(r, bootstrap, "method", READER_OPTIONAL, &name);
    if (rc == 0 && strcmp(name, "initdb") != 0) {
        rc = read_bootstrap_method(r, bootstrap, name, &b->method);
    }
    rc = rc != 0 ? rc : read_command(r, bootstrap, "post_init", &b->post_init);
    return rc != 0 ? rc : read_command(r, bootstrap, "post_bootstrap", &b->post_init);
}

static int read_replica_method(const struct reader *r, const struct section *postgresql,
                               const char *name, struct pg_method *ret_method)
{
    static const char *const ours[] = {"command",   "no_params", "no_leader", "no_master",  "scope",
                                       "keep_data", "role",      "datadir",   "connstring", NULL};
    struct section s;
    const char *path = config_keep_text(r->memory, mem_printf("postgresql.%s", name));
    ret_method->name = name;
    if (strcmp(name, "basebackup") == 0) {
        return 0; /* its section has options of pg_basebackup */
    }
    int rc = reader_section(r, postgresql, name, path, &s);
    rc = rc != 0 ? rc : read_command(r, &s, "command", &ret_method->words);
    if (rc == 0 && ret_method->words.count == 0) { /* the name is the command, as with Patroni */
        const char **word = config_keep(r->memory, mem_new_array(const char *, 1));
        word[0] = name;
        ret_method->words = (struct pg_lines){.items = word, .count = 1};
    }
    rc = rc != 0 ? rc : reader_bool(r, &s, "no_params", &ret_method->no_params);
    rc = rc != 0 ? rc : reader_bool(r, &s, "no_master", &ret_method->no_leader);
    rc = rc != 0 ? rc : reader_bool(r, &s, "no_leader", &ret_method->no_leader);
    rc = rc != 0 ? rc : reader_bool(r, &s, "keep_data", &ret_method->keep_data);
    return rc != 0 ? rc : read_params(r, &s, ours, &ret_method->params);
}

int section_replica_methods(const struct reader *r, const struct section *postgresql,
                            struct config_postgresql *p)
{
    const char *key = reader_get(postgresql, "create_replica_methods") != NULL
                          ? "create_replica_methods"
                          : "create_replica_method"; /* its older name */
    struct pg_lines names = {0};
    int rc = reader_lines(r, postgresql, key, &names);
    if (rc == 0 && names.count > METHODS_MAX) {
        return reader_fail(r, postgresql, key, "has more than %d methods: give fewer", METHODS_MAX);
    }
    struct pg_method *methods =
        config_keep(r->memory, mem_new_array(struct pg_method, names.count + 1));
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        rc = names.items[i][0] == '\0'
                 ? reader_fail(r, postgresql, key, "has an empty name: take it out")
                 : read_replica_method(r, postgresql, names.items[i], &methods[i]);
    }
    p->replica_methods = methods;
    p->replica_method_count = rc == 0 ? names.count : 0;
    return rc;
}

bool section_is_method(const json_t *tree, const char *section, const char *key)
{
    const json_t *own = json_object_get(tree, section);
    if (strcmp(section, "bootstrap") == 0) {
        const char *method = json_string_value(json_object_get(own, "method"));
        return method != NULL && strcmp(method, key) == 0;
    }
    if (strcmp(section, "postgresql") != 0) {
        return false;
    }
    static const char *const lists[] = {"create_replica_methods", "create_replica_method"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *list = json_object_get(own, lists[i]);
        for (size_t j = 0; j < json_array_size(list); j++) {
            const char *name = json_string_value(json_array_get(list, j));
            if (name != NULL && strcmp(name, key) == 0) {
                return true;
            }
        }
    }
    return false;
}
