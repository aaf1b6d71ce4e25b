/* The reader of the file's section reads the dynamic one, too, one key at a time: what it does not
 * find it leaves as it is, so that reading over a copy of the file's values is the merge. */
#include "agent/config/config_effective.h"

#include "agent/config/dynamic.h"
#include "agent/config/known_keys.h"
#include "agent/config/sections.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

/* A member's own. */
static const char *const local_only[] = {"listen",        "connect_address", "proxy_address",
                                         "data_dir",      "config_dir",      "pgpass",
                                         "authentication"};

/* Keys of the dynamic section that others read. */
static const char *const elsewhere[] = {"parameters", "use_slots", "use_pg_rewind"};

#define HAS(array, key) has(array, sizeof(array) / sizeof((array)[0]), key)

static bool has(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_ours(const char *key)
{
    return known_keys_has("dynamic_postgresql", key) && !HAS(elsewhere, key);
}

static bool is_given(const json_t *section, const char *key)
{
    const json_t *value = json_object_get(section, key);
    return value != NULL && !json_is_null(value);
}

/* A name with a slip of the finger in it would never be called. */
static int check_callbacks(const struct reader *r, const json_t *value)
{
    const struct section s = {.name = "postgresql.callbacks"};
    const char *name;
    json_t *command;
    json_object_foreach((json_t *)(uintptr_t)value, name, command)
    {
        if (!known_keys_has("callbacks", name)) {
            return reader_fail(r, &s, name, "is no callback");
        }
    }
    return 0;
}

/* A section of this key alone. */
static int read_key(const struct reader *r, const char *key, json_t *value,
                    struct config_postgresql *p)
{
    json_t *alone = config_keep_json(r->memory, json_object());
    const struct section s = {.name = "postgresql", .object = alone};
    (void)json_object_set(alone, key, value);
    struct config_postgresql read = *p;
    int rc = strcmp(key, "callbacks") == 0 ? check_callbacks(r, value) : 0;
    rc = rc != 0 ? rc : section_postgresql_shared(r, &s, true, &read);
    if (rc == 0) {
        *p = read;
    }
    return rc;
}

void config_effective_make(const struct config_postgresql *local, const json_t *dynamic,
                           struct config_effective *ret_effective, char *warning)
{
    struct error err = {0};
    struct buf warnings = BUF_INIT;
    struct config_effective effective = {.postgresql = *local, .memory = config_memory_new()};
    const struct reader r = {.memory = effective.memory, .err = &err};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)dynamic, key, value)
    {
        if (!is_given(dynamic, key) || is_given(local->section, key) || !is_ours(key)) {
            continue;
        }
        if (read_key(&r, key, value, &effective.postgresql) != 0) {
            buf_printf(&warnings, "%s%s", warnings.len > 0 ? "; " : "", err.text);
        }
    }
    dynamic_warning_give(buf_str(&warnings), warning);
    buf_free(&warnings);
    *ret_effective = effective;
}

void config_effective_free(struct config_effective *effective)
{
    if (effective != NULL) {
        config_memory_free(effective->memory);
        *effective = (struct config_effective){0};
    }
}

int config_effective_check(const json_t *section, const json_t *before, struct error *err)
{
    struct config_memory *memory = config_memory_new();
    const struct reader r = {.memory = memory, .err = err};
    struct config_postgresql unused = {0};
    const char *key;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)section, key, value)
    {
        bool stored = json_equal(value, json_object_get(before, key)) != 0;
        if (rc == 0 && !stored && !json_is_null(value) && is_ours(key)) {
            rc = read_key(&r, key, value, &unused);
        }
    }
    config_memory_free(memory);
    return rc;
}

static bool is_switched_off(const json_t *value)
{
    bool on = false;
    return json_is_null(value) || (dynamic_bool(value, &on) && !on) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

char *config_effective_idle(const json_t *section)
{
    struct buf names = BUF_INIT;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)section, key, value)
    {
        if (!is_switched_off(value) && !known_keys_has("dynamic_postgresql", key)) {
            buf_printf(&names, "%spostgresql.%.60s%s", names.len > 0 ? ", " : "", key,
                       HAS(local_only, key) ? " (each member's own)" : "");
        }
    }
    char *text = names.len > 0 ? mem_strdup(buf_str(&names)) : NULL;
    buf_free(&names);
    return text;
}
