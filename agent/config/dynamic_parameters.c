/* Effective parameters = defaults <- dynamic <- local, by lower-cased name, as PostgreSQL compares
 * names. Three kinds of parameter are apart: those that follow from the file's addresses and the
 * scope (taken from nowhere here), those that all members must have alike because a standby refuses
 * to start with less than its primary (dynamic only), and the rest. */
#include "agent/config/dynamic.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 128

enum check { CHECK_COUNT, CHECK_ON, CHECK_BOOL, CHECK_WAL_LEVEL, CHECK_MEGABYTES };

struct controlled {
    const char *name;
    const char *fallback;
    enum check check;
    int64_t minimum;
};

#define PARAMETER(name, fallback, check, minimum, values, test) {#name, fallback, check, minimum},
static const struct controlled controlled[] = {
#include "agent/config/keys.def"
};
#define CONTROLLED_COUNT (sizeof(controlled) / sizeof(controlled[0]))

const char *dynamic_parameters_controlled(size_t index, const char **ret_fallback)
{
    if (index >= CONTROLLED_COUNT) {
        return NULL;
    }
    *ret_fallback = controlled[index].fallback;
    return controlled[index].name;
}

/* Set by us from `listen` and `scope`. */
static const char *const never_taken[] = {"listen_addresses", "port", "cluster_name", NULL};

static const struct controlled *controlled_find(const char *name)
{
    for (size_t i = 0; i < CONTROLLED_COUNT; i++) {
        if (strcmp(controlled[i].name, name) == 0) {
            return &controlled[i];
        }
    }
    return NULL;
}

static bool is_never_taken(const char *name)
{
    for (const char *const *at = never_taken; *at != NULL; at++) {
        if (strcmp(*at, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool name_fold(const char *name, char *ret_name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i <= len; i++) {
        ret_name[i] = (char)tolower((unsigned char)name[i]);
    }
    return true;
}

/* Text of a value as PostgreSQL's files take it; NULL for what is none. Free with mem_free. */
static char *value_text(const json_t *value)
{
    if (json_is_string(value)) {
        return mem_strdup(json_string_value(value));
    }
    if (json_is_boolean(value)) {
        return mem_strdup(json_is_true(value) ? "on" : "off");
    }
    if (json_is_integer(value)) {
        return mem_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
    return json_is_real(value) ? mem_printf("%.15g", json_real_value(value)) : NULL;
}

static bool is_allowed(const struct controlled *rule, const char *text)
{
    json_t *value = json_string(text);
    bool on = false;
    bool is_bool = dynamic_bool(value, &on);
    json_decref(value);
    char *end = NULL;
    long number = strtol(text, &end, 10);
    bool is_number = end != text && *end == '\0' && number >= INT32_MIN && number <= INT32_MAX;
    switch (rule->check) {
    case CHECK_COUNT: return is_number && number >= rule->minimum;
    case CHECK_ON: return is_bool && on;
    case CHECK_BOOL: return is_bool;
    case CHECK_WAL_LEVEL:
        return strcmp(text, "replica") == 0 || strcmp(text, "logical") == 0 ||
               strcmp(text, "hot_standby") == 0;
    case CHECK_MEGABYTES: {
        /* a bare number is in megabytes, the base unit of wal_keep_size */
        json_t *size = is_number ? NULL : json_string(text);
        int64_t bytes = is_number ? (int64_t)number * 1048576 : 0;
        bool ok =
            (is_number || dynamic_size_bytes(size, &bytes)) && bytes >= rule->minimum * 1048576;
        json_decref(size);
        return ok;
    }
    }
    return false;
}

struct merge {
    json_t *values; /* lower-cased name -> string */
    struct buf warnings;
    struct error *err;
};

static void warn(struct merge *merge, const char *name, const char *text, const char *used)
{
    buf_printf(&merge->warnings, "%spostgresql.parameters.%s is %.80s, taken as %s",
               merge->warnings.len > 0 ? "; " : "", name, text, used);
}

/* hot_standby was the name of wal_level `replica` before 9.6. */
static const char *normalised(const char *name, const char *text)
{
    return strcmp(name, "wal_level") == 0 && strcmp(text, "hot_standby") == 0 ? "replica" : text;
}

static int take_one(struct merge *merge, const char *given_name, const json_t *value, bool local)
{
    char name[NAME_BYTES_MAX];
    if (!name_fold(given_name, name)) {
        return error_set(merge->err, ERR_INVALID,
                         "postgresql.parameters.%.100s: no name of a parameter", given_name);
    }
    const struct controlled *rule = controlled_find(name);
    if (json_is_null(value) || is_never_taken(name) || (local && rule != NULL)) {
        return 0;
    }
    char *text = value_text(value);
    if (text == NULL) {
        return error_set(merge->err, ERR_INVALID,
                         "postgresql.parameters.%s: a list or mapping is no value of a parameter: "
                         "give a text, a "
                         "number, true or false",
                         name);
    }
    if (rule != NULL && !is_allowed(rule, text)) {
        warn(merge, name, text, rule->fallback);
    } else {
        (void)json_object_set_new(merge->values, name, json_string(normalised(name, text)));
    }
    mem_free(text);
    return 0;
}

static int take_all(struct merge *merge, const json_t *parameters, bool local)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)parameters, name, value)
    {
        int rc = take_one(merge, name, value, local);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* PostgreSQL 12 and older counted segments of 16 MB; a cluster that was upgraded may still say so.
 */
static void take_segments(struct merge *merge, const json_t *parameters)
{
    const json_t *segments = json_object_get(parameters, "wal_keep_segments");
    int64_t count = 0;
    if (segments != NULL && json_object_get(parameters, "wal_keep_size") == NULL &&
        dynamic_size_bytes(segments, &count) && count >= 1 && count < INT32_MAX / 16) {
        char *text = mem_printf("%lldMB", (long long)count * 16);
        (void)json_object_set_new(merge->values, "wal_keep_size", json_string(text));
        mem_free(text);
    }
    (void)json_object_del(merge->values, "wal_keep_segments");
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct pg_parameter *)a)->name, ((const struct pg_parameter *)b)->name);
}

static void give(const json_t *values, struct dynamic_parameters *ret_parameters)
{
    size_t count = json_object_size(values);
    struct pg_parameter *items = mem_new_array(struct pg_parameter, count + 1);
    size_t i = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)values, name, value)
    {
        items[i].name = mem_strdup(name);
        items[i].value = mem_strdup(json_string_value(value));
        i++;
    }
    qsort(items, count, sizeof(*items), compare_items);
    ret_parameters->items = items;
    ret_parameters->view = (struct pg_parameters){.items = items, .count = count};
}

int dynamic_parameters_merge(const struct dynamic_config *config, const json_t *local,
                             struct dynamic_parameters *ret_parameters, char *warning,
                             struct error *err)
{
    struct merge merge = {.values = json_object(), .err = err};
    const json_t *dynamic =
        json_object_get(json_object_get(config->document, "postgresql"), "parameters");
    for (size_t i = 0; i < CONTROLLED_COUNT; i++) {
        (void)json_object_set_new(merge.values, controlled[i].name,
                                  json_string(controlled[i].fallback));
    }
    int rc = take_all(&merge, dynamic, false);
    if (rc == 0) {
        take_segments(&merge, dynamic);
        rc = take_all(&merge, local, true);
    }
    (void)json_object_del(merge.values, "wal_keep_segments");
    if (rc == 0 && json_object_size(merge.values) > PG_PARAMETERS_MAX) {
        rc = error_set(err, ERR_LIMIT, "postgresql.parameters: more than %d in all",
                       PG_PARAMETERS_MAX);
    }
    if (rc == 0) {
        give(merge.values, ret_parameters);
    }
    dynamic_warning_give(buf_str(&merge.warnings), warning);
    buf_free(&merge.warnings);
    json_decref(merge.values);
    return rc;
}

int dynamic_parameters_check(const json_t *parameters, const json_t *before, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)parameters, name, value)
    {
        char *text = value_text(value);
        struct pg_parameter item = {.name = name, .value = text};
        struct pg_parameters one = {.items = &item, .count = 1};
        bool stored = json_equal(value, json_object_get(before, name)) != 0;
        int rc = text != NULL && !stored ? pg_parameters_check(&one, err) : 0;
        mem_free(text);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void dynamic_parameters_free(struct dynamic_parameters *parameters)
{
    if (parameters == NULL) {
        return;
    }
    for (size_t i = 0; i < parameters->view.count; i++) {
        mem_free((char *)(uintptr_t)parameters->items[i].name);
        mem_free((char *)(uintptr_t)parameters->items[i].value);
    }
    mem_free(parameters->items);
    *parameters = (struct dynamic_parameters){0};
}
