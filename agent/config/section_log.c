/* `log`: Patroni's keys, with Python's words for a line. */
#include "agent/config/sections.h"

#include "base/log_stamp.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 1000000, MODE_MAX = 0777, FILE_SIZE_MIN = 4096 };

static int read_level(const struct reader *r, const struct section *s, struct log_settings *log)
{
    const char *level = NULL;
    const char *type = NULL;
    int rc = reader_text(r, s, "level", READER_OPTIONAL, &level);
    rc = rc != 0 ? rc : reader_text(r, s, "type", READER_OPTIONAL, &type);
    if (rc == 0 && level != NULL && !log_level_parse(level, &log->level)) {
        return reader_fail(r, s, "level", "'%.40s' is no level: give ERROR, WARNING, INFO or DEBUG",
                           level);
    }
    if (rc == 0 && type != NULL && strcmp(type, "plain") != 0 && strcmp(type, "json") != 0) {
        return reader_fail(r, s, "type", "'%.40s' is no form of a line: give plain or json", type);
    }
    log->format.json = type != NULL && strcmp(type, "json") == 0;
    return rc;
}

/* --- what a line is made of ------------------------------------------------------------------- */

/* An item is a field, or {field: key, ...}. */
static int add_item(struct log_format *format, const json_t *item, struct error *err)
{
    const char *field;
    json_t *key;
    int rc = 0;
    if (json_is_string(item)) {
        return log_format_add(format, json_string_value(item), json_string_value(item), err);
    }
    if (!json_is_object(item)) {
        return error_set(err, ERR_INVALID,
                         "has an item that is neither a field nor {field: key}: give one such as "
                         "message, or {asctime: '@timestamp'}");
    }
    json_object_foreach((json_t *)(uintptr_t)item, field, key)
    {
        rc = rc != 0 ? rc
             : !json_is_string(key)
                 ? error_set(err, ERR_INVALID, "'%.40s' has no text for its key: give one", field)
                 : log_format_add(format, field, json_string_value(key), err);
    }
    return rc;
}

static int add_items(struct log_format *format, const json_t *list, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        rc = add_item(format, json_array_get(list, i), err);
    }
    if (rc == 0 && !log_format_has_message(format)) {
        return error_set(err, ERR_INVALID, "has no 'message': give it");
    }
    return rc;
}

static int read_format(const struct reader *r, const struct section *s, struct log_format *format)
{
    const json_t *value = reader_get(s, "format");
    struct error err = {0};
    int rc = 0;
    log_format_init(format, format->json);
    if (value == NULL || json_is_string(value)) {
        rc = log_format_parse(format, value == NULL ? LOG_DEFAULT_FORMAT : json_string_value(value),
                              &err);
    } else if (!json_is_array(value)) {
        rc = error_set(&err, ERR_INVALID, "is neither a text nor a list: give one such as '%s'",
                       LOG_DEFAULT_FORMAT);
    } else if (!format->json) {
        rc = error_set(&err, ERR_INVALID, "is a list, which is for 'type: json': give '%s'",
                       LOG_DEFAULT_FORMAT);
    } else {
        rc = add_items(format, value, &err);
    }
    if (rc != 0) {
        return reader_fail(r, s, "format", "%s", err.text);
    }
    if (log_format_idle_field(format) != NULL) {
        reader_warn(r, s, "format", "'%s' says nothing here: it is always - or 0",
                    log_format_idle_field(format));
    }
    return 0;
}

static int read_dateformat(const struct reader *r, const struct section *s,
                           struct log_format *format)
{
    const char *text = NULL;
    struct error err = {0};
    int rc = reader_text(r, s, "dateformat", READER_OPTIONAL, &text);
    if (rc != 0 || text == NULL) {
        return rc;
    }
    if (log_stamp_check(text, &err) != 0) {
        return reader_fail(r, s, "dateformat", "%s", err.text);
    }
    (void)snprintf(format->dateformat, sizeof format->dateformat, "%s", text);
    return 0;
}

static int read_static_fields(const struct reader *r, const struct section *s,
                              struct log_format *format)
{
    const json_t *object = reader_get(s, "static_fields");
    const char *key;
    json_t *value;
    if (object == NULL) {
        return 0;
    }
    if (!json_is_object(object)) {
        return reader_fail(r, s, "static_fields",
                           "is no mapping: give one such as {app: pgquorum}");
    }
    if (!format->json && json_object_size(object) > 0) {
        reader_warn(r, s, "static_fields", "has no effect without 'type: json'");
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        struct error err = {0};
        bool scalar = !json_is_object(value) && !json_is_array(value);
        char *text = scalar ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
        int rc = text == NULL ? error_set(&err, ERR_INVALID,
                                          "'%.40s' is no text and no number: give one", key)
                              : log_format_add_static(format, key, text, &err);
        mem_free(text);
        if (rc != 0) {
            return reader_fail(r, s, "static_fields", "%s", err.text);
        }
    }
    return 0;
}

/* --- where it goes ---------------------------------------------------------------------------- */

/* 0644 is a number of base eight in YAML; a text of such digits is taken for the same. */
static int read_mode(const struct reader *r, const struct section *s,
                     struct log_file_settings *file)
{
    const json_t *value = reader_get(s, "mode");
    const char *text = json_string_value(value);
    char *end = NULL;
    if (value == NULL) {
        return 0;
    }
    json_int_t mode = text == NULL ? json_integer_value(value) : strtol(text, &end, 8);
    bool good = text != NULL ? text[0] != '\0' && *end == '\0' : json_is_integer(value);
    if (!good || mode < 0 || mode > MODE_MAX) {
        return reader_fail(r, s, "mode",
                           "is no mode of a file: give one in base eight, with a 0 in front, such "
                           "as 0644");
    }
    file->mode = (int)mode;
    return 0;
}

static int read_file(const struct reader *r, const struct config_source *source,
                     const struct section *s, struct log_file_settings *file)
{
    const char *dir = NULL;
    int size = (int)file->size_bytes;
    int rc = reader_path(r, s, "dir", source->cwd, READER_OPTIONAL, &dir);
    rc = rc != 0 ? rc : read_mode(r, s, file);
    rc = rc != 0 ? rc : reader_int(r, s, "file_num", 0, LOG_FILE_NUM_MAX, &file->num);
    rc = rc != 0 ? rc : reader_int(r, s, "file_size", FILE_SIZE_MIN, LOG_FILE_SIZE_MAX, &size);
    if (rc == 0 && dir != NULL && strlen(dir) >= sizeof file->dir) {
        return reader_fail(r, s, "dir", "is longer than %zu bytes: give a shorter path",
                           sizeof file->dir - 1);
    }
    if (rc == 0 && dir != NULL) {
        (void)snprintf(file->dir, sizeof file->dir, "%s", dir);
    }
    file->size_bytes = size;
    return rc;
}

int section_log(const struct reader *r, const struct config_source *source,
                const struct section *top, struct config *c)
{
    struct section s;
    struct log_settings *log = config_keep(r->memory, mem_new(struct log_settings));
    log_settings_init(log);
    c->log = log;
    int rc = reader_section(r, top, "log", "log", &s);
    rc = rc != 0 ? rc : read_level(r, &s, log);
    rc = rc != 0 ? rc : read_format(r, &s, &log->format);
    rc = rc != 0 ? rc : read_dateformat(r, &s, &log->format);
    rc = rc != 0 ? rc : read_static_fields(r, &s, &log->format);
    rc = rc != 0 ? rc : reader_int(r, &s, "max_queue_size", 1, QUEUE_MAX, &log->queue_max);
    return rc != 0 ? rc : read_file(r, source, &s, &log->file);
}
