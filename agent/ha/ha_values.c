/* PURE. */
#include "agent/ha/ha_values.h"

#include <jansson.h>
#include <string.h>

static bool is_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < HA_NAME_BYTES && strpbrk(text, "/\n\r") == NULL;
}

/* As one member writes it while it makes the cluster, "" is right, too. */
static bool is_initialize(const char *text)
{
    return text[0] == '\0' || ha_initialize_is_valid(text);
}

static bool is_failover(const struct ha_kv *kv, const json_t *value)
{
    const char *at = json_string_value(json_object_get(value, "scheduled_at"));
    int64_t unused = 0;
    if (json_is_object(value)) {
        return at == NULL || ha_time_parse(at, &unused);
    }
    return kv->value[0] == '\0' || (value == NULL && kv->value[0] != '{' && /* old Patroni */
                                    strchr(kv->value, ':') != NULL);
}

static bool is_report(const struct ha_kv *kv, const json_t *value)
{
    const char *epoch = json_string_value(json_object_get(value, "epoch"));
    struct ha_epoch unused;
    return strcmp(kv->value, "none") == 0 || (epoch != NULL && ha_epoch_parse(epoch, &unused));
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *wanted(const struct ha_kv *kv, const json_t *value)
{
    static const char *const objects[] = {"sync", "epoch", "failsafe"};
    const char *key = kv->key;
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        if (strcmp(key, objects[i]) == 0) {
            return json_is_object(value) ? NULL : "a JSON object";
        }
    }
    if (strcmp(key, "leader") == 0) {
        return is_name(kv->value) ? NULL : "the name of a member";
    }
    if (strcmp(key, "initialize") == 0) {
        return is_initialize(kv->value) ? NULL : "a system identifier";
    }
    if (strcmp(key, "failover") == 0) {
        return is_failover(kv, value) ? NULL : "a JSON object with leader, member, scheduled_at";
    }
    if (strcmp(key, "status") == 0) {
        return json_is_object(value) || json_is_integer(value) ? NULL : "a JSON object with optime";
    }
    if (strcmp(key, "history") == 0) {
        return json_is_array(value) ? NULL : "a JSON list";
    }
    if (strcmp(key, "unfenced") == 0) {
        struct ha_epoch unused;
        return ha_epoch_parse(kv->value, &unused)
                   ? NULL
                   : "an epoch (while it stands, nobody becomes primary by himself)";
    }
    if (starts_with(key, "members/")) {
        bool right = is_name(key + strlen("members/")) && json_is_object(value);
        return right ? NULL : "a member's name, and a JSON object";
    }
    if (starts_with(key, "reports/")) {
        bool right = is_name(key + strlen("reports/")) && is_report(kv, value);
        return right ? NULL : "a member's name, and 'none' or a JSON object with its epoch";
    }
    return NULL;
}

const char *ha_value_wanted(const struct ha_kv *kv)
{
    json_t *value = json_loads(kv->value, JSON_DECODE_ANY, NULL);
    const char *text = wanted(kv, value);
    json_decref(value);
    return text;
}
