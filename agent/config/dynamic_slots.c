/* Patroni's forms: `slots` maps a name to {type, database, plugin, cluster_type}, where an empty
 * value means a physical slot, and a type that is not given follows from database and plugin;
 * `ignore_slots` lists what has to match, where what is not given matches all. */
#include "agent/config/dynamic_slots.h"

#include <string.h>

static const char *const slots_keys[] = {"slots", "permanent_slots", "permanent_replication_slots"};
#define SLOTS_KEY_COUNT (sizeof slots_keys / sizeof slots_keys[0])

static bool is_given(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool is_logical(const json_t *slot)
{
    const json_t *type = json_object_get(slot, "type");
    return is_given(type) ? is_text(type, "logical")
                          : is_given(json_object_get(slot, "database")) &&
                                is_given(json_object_get(slot, "plugin"));
}

static bool is_physical_here(const json_t *slot)
{
    const json_t *type = json_object_get(slot, "type");
    const json_t *cluster_type = json_object_get(slot, "cluster_type");
    return !is_logical(slot) && (!is_given(type) || is_text(type, "physical")) &&
           (!is_given(cluster_type) || is_text(cluster_type, "primary"));
}

/* As ReplicationSlotValidateName has it. */
static bool is_slot_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len < PG_NAME_BYTES && name[len] == '\0';
}

size_t dynamic_slots_physical(const struct dynamic_config *config,
                              const char *ret_names[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const char *name;
        json_t *slot;
        json_object_foreach(json_object_get(config->document, slots_keys[i]), name, slot)
        {
            if (count < DYNAMIC_SLOTS_MAX && is_slot_name(name) && is_physical_here(slot)) {
                ret_names[count++] = name;
            }
        }
    }
    return count;
}

/* A physical slot has neither database nor plugin. */
static bool is_match(const json_t *rule, const char *name)
{
    const json_t *wanted = json_object_get(rule, "name");
    const json_t *type = json_object_get(rule, "type");
    return json_is_object(rule) &&
           (wanted == NULL || json_is_null(wanted) || is_text(wanted, name)) &&
           (!is_given(type) || is_text(type, "physical")) &&
           !is_given(json_object_get(rule, "database")) &&
           !is_given(json_object_get(rule, "plugin"));
}

bool dynamic_slots_is_operators(const struct dynamic_config *config, const char *name)
{
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        if (json_object_get(json_object_get(config->document, slots_keys[i]), name) != NULL) {
            return true;
        }
    }
    size_t at = 0;
    json_t *rule = NULL;
    json_array_foreach(json_object_get(config->document, "ignore_slots"), at, rule)
    {
        if (is_match(rule, name)) {
            return true;
        }
    }
    return false;
}

const char *dynamic_slots_logical(const json_t *document)
{
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const char *name;
        json_t *slot;
        json_object_foreach(json_object_get(document, slots_keys[i]), name, slot)
        {
            if (is_logical(slot)) {
                return name;
            }
        }
    }
    return NULL;
}
