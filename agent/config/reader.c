/* Every getter has the same three ends: not given, right, or one line for the operator. The line is
 * made in reader_fail, so that all of them look alike: "FILE: section.key: what is wrong: what
 * would be right". */
#include "agent/config/reader.h"

#include "agent/config/dynamic.h"
#include "agent/config/environment.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_memory {
    void **items;
    size_t count;
    size_t capacity;
    json_t *jsons; /* array */
};

struct config_memory *config_memory_new(void)
{
    struct config_memory *memory = mem_new(struct config_memory);
    memory->jsons = json_array();
    return memory;
}

void config_memory_free(struct config_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    for (size_t i = 0; i < memory->count; i++) {
        mem_free(memory->items[i]);
    }
    mem_free(memory->items);
    json_decref(memory->jsons);
    mem_free(memory);
}

void *config_keep(struct config_memory *memory, void *ptr)
{
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity == 0 ? 64 : memory->capacity * 2;
        memory->items = mem_resize(memory->items, memory->capacity * sizeof(*memory->items));
    }
    memory->items[memory->count++] = ptr;
    return ptr;
}

const char *config_keep_text(struct config_memory *memory, char *text)
{
    return config_keep(memory, text);
}

json_t *config_keep_json(struct config_memory *memory, json_t *json)
{
    (void)json_array_append_new(memory->jsons, json);
    return json;
}

static char *message(const struct reader *r, const struct section *s, const char *key,
                     const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));
static char *message(const struct reader *r, const struct section *s, const char *key,
                     const char *fmt, va_list args)
{
    char text[ERROR_TEXT_BYTES];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    int len = 0;
    const char *variable =
        key != NULL ? environment_name(r->environment, s->name, key, &len) : NULL;
    return mem_printf("%s%s%s%s%s%s%.*s%s: %s", r->path != NULL ? r->path : "",
                      r->path != NULL ? ": " : "", s->name,
                      s->name[0] != '\0' && key != NULL ? "." : "", key != NULL ? key : "",
                      variable != NULL ? " (" : "", len, variable != NULL ? variable : "",
                      variable != NULL ? ")" : "", text);
}

int reader_fail(const struct reader *r, const struct section *s, const char *key, const char *fmt,
                ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = message(r, s, key, fmt, args);
    va_end(args);
    int rc = error_set(r->err, ERR_INVALID, "%s", text);
    mem_free(text);
    return rc;
}

void reader_warn(const struct reader *r, const struct section *s, const char *key, const char *fmt,
                 ...)
{
    if (r->warnings == NULL) {
        return;
    }
    if (r->warnings->count < CONFIG_WARNINGS_MAX) {
        va_list args;
        va_start(args, fmt);
        r->warnings->texts[r->warnings->count] = message(r, s, key, fmt, args);
        va_end(args);
    }
    r->warnings->count++;
}

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "a mapping";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a text";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "nothing";
    }
    return "nothing";
}

const json_t *reader_get(const struct section *s, const char *key)
{
    const json_t *value = json_object_get(s->object, key);
    return json_is_null(value) ? NULL : value;
}

int reader_section(const struct reader *r, const struct section *s, const char *key,
                   const char *path, struct section *ret_section)
{
    const json_t *value = reader_get(s, key);
    if (value != NULL && !json_is_object(value)) {
        return reader_fail(r, s, key, "is %s: give a mapping of keys and values", kind_name(value));
    }
    *ret_section = (struct section){.name = path, .object = value};
    return 0;
}

int reader_text(const struct reader *r, const struct section *s, const char *key,
                enum reader_need need, const char **ret_text)
{
    const json_t *value = reader_get(s, key);
    if (value == NULL || (json_is_string(value) && json_string_length(value) == 0)) {
        return need == READER_OPTIONAL ? 0
                                       : reader_fail(r, s, key, "is not there: it has to be given");
    }
    if (json_is_integer(value)) {
        *ret_text = config_keep_text(
            r->memory, mem_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value)));
        return 0;
    }
    if (!json_is_string(value)) {
        return reader_fail(r, s, key,
                           "is %s: give a text (in quotes if it looks like something else)",
                           kind_name(value));
    }
    if (strpbrk(json_string_value(value), "\r\n") != NULL) {
        return reader_fail(r, s, key, "has a line break in it: give one line");
    }
    *ret_text = config_keep_text(r->memory, mem_strdup(json_string_value(value)));
    return 0;
}

int reader_bool(const struct reader *r, const struct section *s, const char *key, bool *ret_value)
{
    const json_t *value = reader_get(s, key);
    if (value != NULL && !dynamic_bool(value, ret_value)) {
        return reader_fail(r, s, key, "is %s, and no truth value: give true or false",
                           kind_name(value));
    }
    return 0;
}

int reader_int(const struct reader *r, const struct section *s, const char *key, int minimum,
               int maximum, int *ret_value)
{
    const json_t *value = reader_get(s, key);
    if (value == NULL) {
        return 0;
    }
    char *end = NULL;
    bool is_text = json_is_string(value) && json_string_length(value) > 0;
    long long number =
        is_text ? strtoll(json_string_value(value), &end, 10) : json_integer_value(value);
    bool is_number = json_is_integer(value) || (is_text && *end == '\0');
    if (!is_number || number < minimum || number > maximum) {
        return reader_fail(r, s, key, "is %s: give a whole number from %d to %d",
                           is_number ? "out of range" : kind_name(value), minimum, maximum);
    }
    *ret_value = (int)number;
    return 0;
}

/* --- addresses -------------------------------------------------------------------------------- */

int reader_address(const struct reader *r, const struct section *s, const char *key,
                   struct address_form form, enum reader_need need,
                   struct config_address *ret_address)
{
    const char *text = NULL;
    struct config_address address = {0};
    struct error why = {0};
    int rc = reader_text(r, s, key, need, &text);
    if (rc != 0 || text == NULL) {
        return rc;
    }
    if (address_parse(text, &form, &address, &why) != 0) {
        return reader_fail(r, s, key, "%s", why.text);
    }
    (void)config_keep(r->memory, (void *)(uintptr_t)address.text);
    (void)config_keep(r->memory, (void *)(uintptr_t)address.host);
    *ret_address = address;
    return 0;
}

int reader_listener_one(const struct reader *r, const struct section *s, const char *key,
                        uint16_t usual_port, enum reader_need need,
                        struct config_address *ret_address)
{
    struct config_address address = {.host = ""};
    struct address_form form = {.listener = true, .usual_port = usual_port};
    int rc = reader_address(r, s, key, form, need, &address);
    if (rc != 0 || address.text == NULL) {
        return rc;
    }
    if (strchr(address.host, ',') != NULL) {
        return reader_fail(
            r, s, key,
            "'%.100s' is a list, and one address is listened on: give one, or '*:%u' "
            "for every address of the host",
            address.text, address.port);
    }
    *ret_address = address;
    return 0;
}

int reader_check_url(const struct reader *r, const struct section *s, const char *key,
                     const char *before, const struct config_address *address, const char *after)
{
    size_t len = strlen(before) + strlen(address->text) + strlen(after);
    return len <= CONFIG_URL_BYTES_MAX
               ? 0
               : reader_fail(r, s, key,
                             "%s%.30s...%.70s is longer than %d bytes: give a shorter one", before,
                             address->text, after, CONFIG_URL_BYTES_MAX);
}

/* --- paths ------------------------------------------------------------------------------------ */

static void append_parts(struct buf *out, const char *path)
{
    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) {
            while (out->len > 0 && out->data[out->len - 1] != '/') {
                out->len--;
            }
            out->len -= out->len > 0 ? 1 : 0;
        } else if (len > 0 && !(len == 1 && path[0] == '.')) {
            buf_put_u8(out, '/');
            buf_put(out, path, len);
        }
        path += len + (path[len] == '/' ? 1 : 0);
    }
}

char *reader_path_normal(const char *cwd, const char *path)
{
    struct buf out = BUF_INIT;
    if (path[0] != '/') {
        append_parts(&out, cwd);
    }
    append_parts(&out, path);
    if (out.len == 0) {
        buf_put_u8(&out, '/');
    }
    return buf_take(&out);
}

bool reader_path_inside(const char *inner, const char *outer)
{
    size_t len = strlen(outer);
    if (strcmp(outer, "/") == 0) {
        return true;
    }
    return strncmp(inner, outer, len) == 0 && (inner[len] == '\0' || inner[len] == '/');
}

int reader_path(const struct reader *r, const struct section *s, const char *key, const char *cwd,
                enum reader_need need, const char **ret_path)
{
    const char *text = NULL;
    int rc = reader_text(r, s, key, need, &text);
    if (rc != 0 || text == NULL) {
        return rc;
    }
    char *path = reader_path_normal(cwd, text);
    if (strlen(path) >= PG_PATH_BYTES - 128 || strcmp(path, "/") == 0) {
        mem_free(path);
        return reader_fail(
            r, s, key,
            "'%.100s' is too long, or the root itself: give a directory or file of its own", text);
    }
    *ret_path = config_keep_text(r->memory, path);
    return 0;
}

/* --- lists ------------------------------------------------------------------------------------ */

int reader_lines(const struct reader *r, const struct section *s, const char *key,
                 struct pg_lines *ret_lines)
{
    const json_t *list = reader_get(s, key);
    if (list == NULL) {
        return 0;
    }
    if (!json_is_array(list) || json_array_size(list) > PG_LINES_MAX) {
        return reader_fail(r, s, key, "is %s: give a list of lines, %d at most",
                           json_is_array(list) ? "too long" : kind_name(list), PG_LINES_MAX);
    }
    size_t count = json_array_size(list);
    const char **items = config_keep(r->memory, mem_new_array(const char *, count + 1));
    for (size_t i = 0; i < count; i++) {
        const char *line = json_string_value(json_array_get(list, i));
        if (line == NULL || strpbrk(line, "\r\n") != NULL) {
            return reader_fail(r, s, key, "its item %zu is %s: give a text on one line", i + 1,
                               line == NULL ? kind_name(json_array_get(list, i))
                                            : "more than one line");
        }
        items[i] = config_keep_text(r->memory, mem_strdup(line));
    }
    *ret_lines = (struct pg_lines){.items = items, .count = count};
    return 0;
}

struct options {
    const struct reader *r;
    const struct section *s;
    const char *key;
    const char *dashes;
    const char *const *forbidden;
    const char **items;
    size_t count;
};

static int option_add(struct options *o, const char *name, const json_t *value)
{
    while (*name == '-') {
        name++;
    }
    for (const char *const *no = o->forbidden; *no != NULL; no++) {
        size_t len = strlen(*no);
        if (strncmp(name, *no, len) == 0 && (name[len] == '\0' || name[len] == '=')) {
            return reader_fail(o->r, o->s, o->key,
                               "'%s' may not be given: pgquorum sets it itself: take it out", *no);
        }
    }
    if (*name == '\0' || strpbrk(name, "\r\n") != NULL) {
        return reader_fail(o->r, o->s, o->key,
                           "has an empty or broken option: give items such as 'data-checksums' "
                           "or 'encoding: UTF8'");
    }
    char *text = NULL;
    if (value == NULL) {
        text = mem_printf("%s%s", o->dashes, name);
    } else if (json_is_string(value)) {
        text = mem_printf("%s%s=%s", o->dashes, name, json_string_value(value));
    } else if (json_is_integer(value)) {
        text = mem_printf("%s%s=%" JSON_INTEGER_FORMAT, o->dashes, name, json_integer_value(value));
    } else {
        return reader_fail(o->r, o->s, o->key,
                           "the value of '%.60s' is %s: give a text, or the name alone", name,
                           kind_name(value));
    }
    o->items[o->count++] = config_keep_text(o->r->memory, text);
    return 0;
}

static int options_of_mapping(struct options *o, const json_t *mapping)
{
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)mapping, name, value)
    {
        rc = rc != 0 ? rc : option_add(o, name, value);
    }
    return rc;
}

static int options_of_list(struct options *o, const json_t *list)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item)) {
            rc = option_add(o, json_string_value(item), NULL);
        } else if (json_is_object(item) && json_object_size(item) == 1) {
            rc = options_of_mapping(o, item);
        } else {
            rc = reader_fail(o->r, o->s, o->key,
                             "its item %zu is %s: give a name, or one 'name: value'", i + 1,
                             json_is_object(item) ? "more than one pair" : kind_name(item));
        }
    }
    return rc;
}

int reader_options(const struct reader *r, const struct section *s, const char *key,
                   const char *dashes, const char *const *forbidden, struct pg_lines *ret_lines)
{
    const json_t *value = reader_get(s, key);
    size_t size = json_is_object(value) ? json_object_size(value) : json_array_size(value);
    if (value == NULL) {
        return 0;
    }
    if ((!json_is_object(value) && !json_is_array(value)) || size > PG_LINES_MAX) {
        return reader_fail(r, s, key, "is %s: give a list of options, %d at most",
                           size > PG_LINES_MAX ? "too long" : kind_name(value), PG_LINES_MAX);
    }
    struct options o = {.r = r, .s = s, .key = key, .dashes = dashes, .forbidden = forbidden};
    o.items = config_keep(r->memory, mem_new_array(const char *, size + 1));
    int rc = json_is_object(value) ? options_of_mapping(&o, value) : options_of_list(&o, value);
    if (rc == 0) {
        *ret_lines = (struct pg_lines){.items = o.items, .count = o.count};
    }
    return rc;
}
