#include "agent/config/environment.h"

#include "agent/config/yaml.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const struct {
    const char *prefix;
    const char *section;
} sections[] = {{"PATRONI_ETCD_", "etcd"}, {"PATRONI_ETCD3_", "etcd3"}};

static const struct {
    const char *name;
    const char *key;
} keys[] = {{"HOST", "host"},
            {"HOSTS", "hosts"},
            {"URL", "url"},
            {"PROXY", "proxy"},
            {"USE_PROXIES", "use_proxies"},
            {"PROTOCOL", "protocol"},
            {"SRV", "srv"},
            {"SRV_SUFFIX", "srv_suffix"},
            {"USERNAME", "username"},
            {"PASSWORD", "password"},
            {"CACERT", "cacert"},
            {"CERT", "cert"},
            {"KEY", "key"}};

/* 'a:2379','b:2379' is how Patroni documents it: a list of YAML without its brackets. What is none
 * is read as a text with commas. */
static json_t *hosts_of(const char *value)
{
    bool whole = strchr(value, '[') != NULL || value[strspn(value, " ")] == '-';
    char *text = whole ? mem_strdup(value) : mem_printf("[%s]", value);
    json_t *list = NULL;
    struct error ignored = {0};
    if (yaml_parse_value(text, &list, &ignored) != 0 || !json_is_array(list)) {
        json_decref(list);
        list = json_string(value);
    }
    mem_free(text);
    return list;
}

/* False: the value is no UTF-8. */
static bool set_key(json_t *tree, const char *section, const char *key, const char *value)
{
    const json_t *old = json_object_get(tree, section);
    if (old != NULL && !json_is_null(old) && !json_is_object(old)) {
        return true; /* no section: that is what will be said */
    }
    json_t *copy = json_is_object(old) ? json_copy((json_t *)(uintptr_t)old) : json_object();
    json_t *given = strcmp(key, "hosts") == 0 ? hosts_of(value) : json_string(value);
    bool set = json_object_set_new(copy, key, given) == 0;
    (void)json_object_set_new(tree, section, copy);
    return set;
}

static bool take(json_t *tree, const char *variable)
{
    bool good = true;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        size_t len = strlen(sections[i].prefix);
        if (strncmp(variable, sections[i].prefix, len) != 0) {
            continue;
        }
        for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
            size_t name_len = strlen(keys[j].name);
            const char *rest = variable + len + name_len;
            if (strncmp(variable + len, keys[j].name, name_len) == 0 && rest[0] == '=' &&
                rest[1] != '\0') {
                good = set_key(tree, sections[i].section, keys[j].key, rest + 1);
            }
        }
    }
    return good;
}

int environment_merge(const json_t *tree, const char *const *environment, json_t **ret_tree,
                      struct error *err)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)tree);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (!take(copy, *environment)) {
            json_decref(copy);
            return error_set(err, ERR_INVALID, "%.*s (environment): is no UTF-8: give it in UTF-8",
                             (int)strcspn(*environment, "="), *environment);
        }
    }
    *ret_tree = copy;
    return 0;
}
