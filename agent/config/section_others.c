/* `tags`, `watchdog`. */
#include "agent/config/sections.h"

#include "agent/config/dynamic.h"

#include <string.h>
#include <strings.h>

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

int section_tags(const struct reader *r, const struct section *top, struct config *c)
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
    tags->sync_priority = tags->nosync ? 0 : sync_priority <= 0 ? 1 : sync_priority;
    tags->nostream = read_tag(r, &s, "nostream");
    tags->published = config_keep_json(r->memory, tags_published(&s));
    return 0;
}

static bool watchdog_mode(const json_t *value, enum config_watchdog_mode *ret_mode)
{
    static const struct {
        const char *word;
        enum config_watchdog_mode mode;
    } words[] = {
        {"off", CONFIG_WATCHDOG_OFF},          {"disable", CONFIG_WATCHDOG_OFF},
        {"disabled", CONFIG_WATCHDOG_OFF},     {"false", CONFIG_WATCHDOG_OFF},
        {"auto", CONFIG_WATCHDOG_AUTOMATIC},   {"automatic", CONFIG_WATCHDOG_AUTOMATIC},
        {"require", CONFIG_WATCHDOG_REQUIRED}, {"required", CONFIG_WATCHDOG_REQUIRED},
    };
    const char *text = json_is_string(value)  ? json_string_value(value)
                       : json_is_false(value) ? "off" /* as YAML has `off` */
                                              : "";
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret_mode = words[i].mode;
            return true;
        }
    }
    return false;
}

int section_watchdog(const struct reader *r, const struct section *top, struct config *c)
{
    enum { MARGIN_S_MAX = 86400 };
    struct section s;
    struct config_watchdog *watchdog = &c->watchdog;
    watchdog->mode = CONFIG_WATCHDOG_AUTOMATIC;
    watchdog->device = "/dev/watchdog";
    watchdog->safety_margin_s = 5;
    int rc = reader_section(r, top, "watchdog", "watchdog", &s);
    if (rc != 0 || s.object == NULL) {
        return rc;
    }
    const json_t *mode = reader_get(&s, "mode");
    watchdog->given = true;
    if (mode != NULL && !watchdog_mode(mode, &watchdog->mode)) {
        return reader_fail(r, &s, "mode",
                           "is none of the modes: give 'off', 'automatic' or 'required'");
    }
    rc = reader_text(r, &s, "device", READER_OPTIONAL, &watchdog->device);
    rc = rc != 0 ? rc
                 : reader_int(r, &s, "safety_margin", -1, MARGIN_S_MAX, &watchdog->safety_margin_s);
    if (rc == 0 && (watchdog->device == NULL || watchdog->device[0] != '/')) {
        return reader_fail(r, &s, "device", "must be an absolute path: /dev/watchdog");
    }
    return rc;
}
