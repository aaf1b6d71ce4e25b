/* Patroni's forms: `slots` maps a name to {type, database, plugin, cluster_type}, where an empty
 * value means a physical slot, and a type that is not given follows from database and plugin;
 * `ignore_slots` lists what has to match, where what is not given matches all. */
#include "agent/config/dynamic_slots.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static bool is_physical_here(const json_t *slot, bool standby_cluster)
{
    const json_t *type = json_object_get(slot, "type");
    const json_t *cluster_type = json_object_get(slot, "cluster_type");
    return !is_logical(slot) && (!is_given(type) || is_text(type, "physical")) &&
           (!is_given(cluster_type) ||
            is_text(cluster_type, standby_cluster ? "standby" : "primary"));
}

/* As ReplicationSlotValidateName has it. */
static bool is_slot_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len < PG_NAME_BYTES && name[len] == '\0';
}

/* An older key's slot of the same name counts for nothing. */
static bool is_first(const json_t *document, size_t key, const char *name)
{
    bool first = true;
    for (size_t i = 0; i < key; i++) {
        first = first && json_object_get(json_object_get(document, slots_keys[i]), name) == NULL;
    }
    return first;
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
            if (count < DYNAMIC_SLOTS_MAX && is_slot_name(name) &&
                is_first(config->document, i, name) &&
                is_physical_here(slot, config->standby_cluster)) {
                ret_names[count++] = name;
            }
        }
    }
    return count;
}

static bool is_short_text(const json_t *value)
{
    return is_given(value) && json_string_length(value) < PG_NAME_BYTES &&
           strlen(json_string_value(value)) == json_string_length(value);
}

/* One that can be made. */
static bool is_logical_here(const json_t *slot)
{
    const json_t *cluster_type = json_object_get(slot, "cluster_type");
    return is_logical(slot) && is_short_text(json_object_get(slot, "database")) &&
           is_short_text(json_object_get(slot, "plugin")) &&
           (!is_given(cluster_type) || is_text(cluster_type, "primary"));
}

size_t dynamic_slots_logical(const struct dynamic_config *config,
                             struct dynamic_logical ret_slots[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    bool kept = config->use_slots && !config->standby_cluster;
    for (size_t i = 0; kept && i < SLOTS_KEY_COUNT; i++) {
        const char *name;
        json_t *slot;
        json_object_foreach(json_object_get(config->document, slots_keys[i]), name, slot)
        {
            if (count < DYNAMIC_SLOTS_MAX && is_slot_name(name) &&
                is_first(config->document, i, name) && is_logical_here(slot)) {
                ret_slots[count++] = (struct dynamic_logical){
                    .name = name,
                    .database = json_string_value(json_object_get(slot, "database")),
                    .plugin = json_string_value(json_object_get(slot, "plugin"))};
            }
        }
    }
    return count;
}

bool dynamic_slots_has_logical(const struct dynamic_config *config)
{
    struct dynamic_logical slots[DYNAMIC_SLOTS_MAX];
    return dynamic_slots_logical(config, slots) > 0;
}

/* --- what cannot be read ---------------------------------------------------------------------- */

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static bool is_type(const json_t *type)
{
    return is_empty(type) || is_text(type, "physical") || is_text(type, "logical");
}

/* What a rule says has to be text, or it would match nothing, and its slot be dropped: `name: 7`.
 */
static bool is_rule(const json_t *rule)
{
    static const char *const keys[] = {"name", "database", "plugin"};
    bool right = json_is_object(rule) && is_type(json_object_get(rule, "type"));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = json_object_get(rule, keys[i]);
        right = right && (is_empty(value) || json_is_string(value));
    }
    return right;
}

/* Place of the first rule that is none, from 1 on; 0 = all are. */
static size_t wrong_rule(const json_t *rules)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        if (!is_rule(json_array_get(rules, i))) {
            return i + 1;
        }
    }
    return 0;
}

bool dynamic_slots_unreadable(const json_t *document)
{
    const json_t *rules = json_object_get(document, "ignore_slots");
    bool wrong = (!is_empty(rules) && !json_is_array(rules)) || wrong_rule(rules) > 0;
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const json_t *slots = json_object_get(document, slots_keys[i]);
        wrong = wrong || (!is_empty(slots) && !json_is_object(slots));
    }
    return wrong;
}

/* Always true. */
static bool say(char *ret_text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool say(char *ret_text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(ret_text, DYNAMIC_SLOTS_FAULT_BYTES, fmt, args);
    va_end(args);
    return true;
}

static bool slots_fault(const char *key, const json_t *slots, char *ret_text)
{
    const char *name;
    json_t *slot;
    if (!is_empty(slots) && !json_is_object(slots)) {
        return say(ret_text,
                   "%s: no mapping of names: give one such as {\"my_slot\": {\"type\": "
                   "\"physical\"}}",
                   key);
    }
    json_object_foreach((json_t *)(uintptr_t)slots, name, slot)
    {
        if (!is_slot_name(name)) {
            return say(ret_text,
                       "%s.%.80s: no name of a slot: give one of a-z, 0-9 and _, %d at most", key,
                       name, PG_NAME_BYTES - 1);
        }
        if (!is_type(json_object_get(slot, "type"))) {
            return say(ret_text, "%s.%s: its type is none: give physical or logical", key, name);
        }
        if (is_logical(slot) && !(is_short_text(json_object_get(slot, "database")) &&
                                  is_short_text(json_object_get(slot, "plugin")))) {
            return say(ret_text,
                       "%s.%s: a logical slot has a database and a plugin: give both, such as "
                       "{\"type\": \"logical\", \"database\": \"app\", \"plugin\": \"pgoutput\"}",
                       key, name);
        }
    }
    return false;
}

static bool rules_fault(const json_t *rules, char *ret_text)
{
    size_t wrong = wrong_rule(rules);
    if (!is_empty(rules) && !json_is_array(rules)) {
        return say(ret_text, "ignore_slots: no list: give one such as [{\"name\": \"my_slot\"}]");
    }
    return wrong > 0 &&
           say(ret_text,
               "ignore_slots: its item %zu is no rule: give name, database and plugin as text, and "
               "type as physical or logical, such as {\"name\": \"my_slot\"}",
               wrong);
}

/* Of all keys together: each counts. */
static bool count_fault(const json_t *document, const json_t *before, char *ret_text)
{
    size_t count = 0;
    size_t logical_count = 0;
    bool changed = false;
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const json_t *slots = json_object_get(document, slots_keys[i]);
        const char *name;
        json_t *slot;
        changed = changed ||
                  (slots != NULL && !json_equal(slots, json_object_get(before, slots_keys[i])));
        json_object_foreach((json_t *)(uintptr_t)slots, name, slot)
        {
            bool physical_here = is_physical_here(slot, false) || is_physical_here(slot, true);
            bool counts = is_slot_name(name) && is_first(document, i, name);
            count += counts && physical_here;
            logical_count += counts && is_logical_here(slot);
        }
    }
    bool physical = count > DYNAMIC_SLOTS_MAX;
    return changed && (physical || logical_count > DYNAMIC_SLOTS_MAX) &&
           say(ret_text, "slots: %zu %s ones: at most %d are made: give fewer",
               physical ? count : logical_count, physical ? "physical" : "logical",
               DYNAMIC_SLOTS_MAX);
}

bool dynamic_slots_fault(const json_t *document, const json_t *before,
                         char ret_text[DYNAMIC_SLOTS_FAULT_BYTES])
{
    const json_t *rules = json_object_get(document, "ignore_slots");
    ret_text[0] = '\0';
    if (!json_equal(rules, json_object_get(before, "ignore_slots")) &&
        rules_fault(rules, ret_text)) {
        return true;
    }
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const json_t *slots = json_object_get(document, slots_keys[i]);
        if (!json_equal(slots, json_object_get(before, slots_keys[i])) &&
            slots_fault(slots_keys[i], slots, ret_text)) {
            return true;
        }
    }
    return count_fault(document, before, ret_text);
}

/* --- whose a slot is -------------------------------------------------------------------------- */

/* A physical slot has neither database nor plugin: both are "" then. */
static bool matches(const json_t *rule, const char *key, const char *value)
{
    const json_t *wanted = json_object_get(rule, key);
    return !is_given(wanted) || is_text(wanted, value);
}

static bool is_match(const json_t *rule, const struct pg_slot *slot)
{
    const json_t *wanted = json_object_get(rule, "name");
    return json_is_object(rule) &&
           (wanted == NULL || json_is_null(wanted) || is_text(wanted, slot->name)) &&
           matches(rule, "type", slot->physical ? "physical" : "logical") &&
           matches(rule, "database", slot->database) && matches(rule, "plugin", slot->plugin);
}

static bool is_named(const struct dynamic_config *config, const char *name)
{
    bool named = false;
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        named = named ||
                json_object_get(json_object_get(config->document, slots_keys[i]), name) != NULL;
    }
    return named;
}

static bool is_operators(const struct dynamic_config *config, const struct pg_slot *slot)
{
    if (dynamic_slots_unreadable(config->document) || is_named(config, slot->name)) {
        return true; /* it may have been meant: a dropped slot does not come back */
    }
    size_t at = 0;
    json_t *rule = NULL;
    json_array_foreach(json_object_get(config->document, "ignore_slots"), at, rule)
    {
        if (is_match(rule, slot)) {
            return true;
        }
    }
    return false;
}

bool dynamic_slots_is_operators(const struct dynamic_config *config, const char *name)
{
    struct pg_slot slot = {.physical = true};
    (void)snprintf(slot.name, sizeof slot.name, "%s", name);
    return is_operators(config, &slot);
}

bool dynamic_slots_is_operators_logical(const struct dynamic_config *config,
                                        const struct pg_slot *slot)
{
    return is_operators(config, slot);
}

/* --- what logical ones need ------------------------------------------------------------------- */

/* Names of parameters are the same in any case. */
static bool is_wal_level_logical(const json_t *document)
{
    const json_t *parameters =
        json_object_get(json_object_get(document, "postgresql"), "parameters");
    const char *name;
    json_t *value;
    bool logical = false;
    json_object_foreach((json_t *)(uintptr_t)parameters, name, value)
    {
        logical = logical || (strcasecmp(name, "wal_level") == 0 && is_text(value, "logical"));
    }
    return logical;
}

static bool has_no_slots(const json_t *document)
{
    const json_t *value = json_object_get(json_object_get(document, "postgresql"), "use_slots");
    bool on = true;
    return value != NULL && dynamic_bool(value, &on) && !on;
}

bool dynamic_slots_unmet(const json_t *document, const json_t *before,
                         char ret_text[DYNAMIC_SLOTS_FAULT_BYTES])
{
    bool no_slots = has_no_slots(document);
    ret_text[0] = '\0';
    if (!no_slots && is_wal_level_logical(document)) {
        return false;
    }
    bool was_so = has_no_slots(before) == no_slots &&
                  is_wal_level_logical(before) == is_wal_level_logical(document);
    for (size_t i = 0; i < SLOTS_KEY_COUNT; i++) {
        const json_t *slots = json_object_get(document, slots_keys[i]);
        bool stored =
            before != NULL && was_so && json_equal(slots, json_object_get(before, slots_keys[i]));
        const char *name;
        json_t *slot;
        json_object_foreach((json_t *)(uintptr_t)slots, name, slot)
        {
            if (!stored && is_slot_name(name) && is_logical_here(slot)) {
                return say(ret_text, "%s.%.63s: a logical slot needs %s", slots_keys[i], name,
                           no_slots
                               ? "slots of members: take postgresql.use_slots out, or give true"
                               : "wal_level logical: give postgresql.parameters.wal_level: "
                                 "logical");
            }
        }
    }
    return false;
}
