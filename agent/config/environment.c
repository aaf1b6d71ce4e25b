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

/* What the variable is called in the file, and its value; false = it is none of ours, or empty. */
static bool find(const char *variable, const char **ret_section, const char **ret_key,
                 const char **ret_value)
{
    size_t name_len = strcspn(variable, "=");
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        size_t len = strlen(sections[i].prefix);
        if (strncmp(variable, sections[i].prefix, len) != 0) {
            continue;
        }
        for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
            if (strlen(keys[j].name) == name_len - len &&
                strncmp(variable + len, keys[j].name, name_len - len) == 0) {
                *ret_section = sections[i].section;
                *ret_key = keys[j].key;
                *ret_value = variable + name_len + 1;
                return variable[name_len] == '=' && **ret_value != '\0';
            }
        }
    }
    return false;
}

/* One of Patroni's that is given. */
static bool is_unread(const char *variable)
{
    const char *section = NULL;
    const char *key = NULL;
    const char *value = NULL;
    const char *equals = strchr(variable, '=');
    return strncmp(variable, "PATRONI_", strlen("PATRONI_")) == 0 && equals != NULL &&
           equals[1] != '\0' && !find(variable, &section, &key, &value);
}

int environment_merge(const json_t *tree, const char *const *environment, json_t **ret_tree,
                      struct error *err)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)tree);
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *section = NULL;
        const char *key = NULL;
        const char *value = NULL;
        if (find(*environment, &section, &key, &value) && !set_key(copy, section, key, value)) {
            json_decref(copy);
            return error_set(err, ERR_INVALID, "%.*s (environment): is no UTF-8: give it in UTF-8",
                             (int)strcspn(*environment, "="), *environment);
        }
    }
    *ret_tree = copy;
    return 0;
}

void environment_warn(const struct reader *r, const char *const *environment)
{
    const struct section none = {.name = ""};
    for (; environment != NULL && *environment != NULL; environment++) {
        if (is_unread(*environment)) {
            char *name =
                mem_printf("%.*s (environment)", (int)strcspn(*environment, "="), *environment);
            reader_warn(r, &none, name,
                        "is not read in this release, ignoring it: give it in the file");
            mem_free(name);
        }
    }
}
