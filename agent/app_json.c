/* See the header. */
#include "agent/app_json.h"

#include "agent/loop/loop.h"
#include "base/mem.h"
#include "base/utf8.h"

void app_json_set_text(json_t *object, const char *key, const char *text)
{
    char *clean = mem_strdup(text);
    utf8_clean(clean);
    (void)json_object_set_new(object, key, json_string(clean));
    mem_free(clean);
}

void app_json_set_number(json_t *object, const char *key, int64_t value)
{
    (void)json_object_set_new(object, key, json_integer(value));
}

void app_json_set_decision(json_t *object, const struct loop_decision *decision, bool snapshot)
{
    app_json_set_text(object, "rule", decision->rule);
    app_json_set_text(object, "reason", decision->reason);
    app_json_set_text(object, "plan", decision->plan);
    if (snapshot) {
        app_json_set_text(object, "snapshot", decision->snapshot);
    }
    app_json_set_text(object, "outcome",
                      decision->outcome == NULL ? "under way" : decision->outcome);
    app_json_set_number(object, "repeats", decision->repeats);
}
