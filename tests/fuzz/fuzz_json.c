/* Two JSON texts, a stored configuration and a change of it, separated by a zero byte: as PATCH
 * /config takes them. The change is refused with a line, or merged; merged once more it changes
 * nothing, and nothing that the change deleted is left. */
#include "agent/config/dynamic.h"
#include "agent/config/dynamic_slots.h"
#include "base/assert.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_deleted(const json_t *merged, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        const json_t *there = json_object_get(merged, key);
        ASSERT(!json_is_null(value) || there == NULL);
        if (json_is_object(value)) {
            check_deleted(there, value); /* NULL has no members */
        }
    }
}

static void check_merge(const json_t *stored, const json_t *patch)
{
    json_t *merged = NULL;
    json_t *again = NULL;
    bool changed = false;
    struct error err = {0};

    if (dynamic_config_merge(stored, patch, &merged, &changed, &err) != 0) {
        ASSERT(err.code != 0 && err.text[0] != '\0' && merged == NULL);
        return;
    }
    ASSERT(json_is_object(merged));
    check_deleted(merged, patch);
    ASSERT(dynamic_config_merge(merged, patch, &again, &changed, &err) == 0);
    ASSERT(!changed && json_equal(merged, again));
    err = (struct error){0};
    if (dynamic_config_validate(merged, DYNAMIC_TTL_MS_MIN_RAFT, stored, &err) != 0) {
        ASSERT(err.code != 0 && err.text[0] != '\0');
    } else {
        struct dynamic_config config;
        char warning[DYNAMIC_WARNING_BYTES];
        if (dynamic_config_parse(merged, DYNAMIC_TTL_MS_MIN_RAFT, &config, warning, &err) == 0) {
            ASSERT(config.loop_wait_ms + 2 * config.retry_timeout_ms <= config.ttl_ms);
            dynamic_config_free(&config);
        }
    }
    json_decref(merged);
    json_decref(again);
}

/* Stored by whatever means: it is taken with its faults, and gives parameters and slots. */
static void check_stored(const json_t *stored)
{
    struct dynamic_config config;
    struct dynamic_parameters parameters;
    const char *names[DYNAMIC_SLOTS_MAX];
    char warning[DYNAMIC_WARNING_BYTES];
    struct error err = {0};
    if (dynamic_config_parse(stored, DYNAMIC_TTL_MS_MIN_RAFT, &config, warning, &err) != 0) {
        ASSERT(err.text[0] != '\0');
        return;
    }
    ASSERT(config.loop_wait_ms + 2 * config.retry_timeout_ms <= config.ttl_ms);
    size_t count = dynamic_slots_physical(&config, names);
    for (size_t i = 0; i < count; i++) {
        ASSERT(dynamic_slots_is_operators(&config, names[i]));
    }
    if (dynamic_parameters_merge(&config, NULL, &parameters, warning, &err) == 0) {
        for (size_t i = 1; i < parameters.view.count; i++) {
            ASSERT(strcmp(parameters.view.items[i - 1].name, parameters.view.items[i].name) < 0);
        }
        dynamic_parameters_free(&parameters);
    }
    dynamic_config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    size_t first = zero == NULL ? 0 : (size_t)(zero - data);
    const uint8_t *second = zero == NULL ? data : zero + 1;
    json_t *stored = json_loadb((const char *)data, first, 0, NULL);
    json_t *patch = json_loadb((const char *)second, size - (size_t)(second - data),
                               JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(stored)) {
        check_stored(stored);
    }
    if (patch != NULL) {
        check_merge(json_is_object(stored) ? stored : NULL, patch);
    }
    json_decref(stored);
    json_decref(patch);
    return 0;
}
