/* PURE. Formats are taken apart once; a line is then made part by part (log_line.c). */
#include "base/log_format.h"

#include "base/assert.h"
#include "base/log_line.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Python's names. Those without a value here are taken, since files have them. */
static const struct log_field fields[] = {
    {"asctime", LOG_VALUE_STAMP, false},
    {"created", LOG_VALUE_CREATED, true},
    {"msecs", LOG_VALUE_MSECS, true},
    {"levelname", LOG_VALUE_LEVEL, false},
    {"levelno", LOG_VALUE_LEVELNO, true},
    {"message", LOG_VALUE_MESSAGE, false},
    {"name", LOG_VALUE_NAME, false},
    {"process", LOG_VALUE_PID, true},
    {"processName", LOG_VALUE_MAIN_PROCESS, false},
    {"threadName", LOG_VALUE_MAIN_THREAD, false},
    {"module", LOG_VALUE_NONE, false},
    {"filename", LOG_VALUE_NONE, false},
    {"pathname", LOG_VALUE_NONE, false},
    {"funcName", LOG_VALUE_NONE, false},
    {"taskName", LOG_VALUE_NONE, false},
    {"lineno", LOG_VALUE_NONE, true},
    {"thread", LOG_VALUE_NONE, true},
    {"relativeCreated", LOG_VALUE_NONE, true},
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

_Static_assert(LOG_FORMAT_PARTS_MAX *(LOG_STAMP_BYTES + 8) + LOG_FORMAT_TEXT_BYTES +
                       LOG_FORMAT_STATIC_BYTES + 256 <
                   LOG_LINE_BYTES,
               "whatever a format asks for, a line has room for some of the message");

const struct log_field *log_format_field(const struct log_part *part)
{
    ASSERT(part->field < FIELDS);
    return &fields[part->field];
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"error", LOG_LEVEL_ERROR},     {"critical", LOG_LEVEL_ERROR}, {"fatal", LOG_LEVEL_ERROR},
        {"warning", LOG_LEVEL_WARNING}, {"warn", LOG_LEVEL_WARNING},   {"info", LOG_LEVEL_INFO},
        {"debug", LOG_LEVEL_DEBUG},     {"notset", LOG_LEVEL_DEBUG},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *ret_level = names[i].level;
            return true;
        }
    }
    return false;
}

void log_format_init(struct log_format *format, bool json)
{
    *format = (struct log_format){.json = json};
}

static size_t field_of(const char *name, size_t len)
{
    size_t i = 0;
    while (i < FIELDS &&
           (strlen(fields[i].name) != len || strncmp(fields[i].name, name, len) != 0)) {
        i++;
    }
    return i;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Text of a new part, with its end; more of it follows by put_text. */
static int put_text(struct log_format *format, const char *text, size_t len, struct error *err)
{
    if (format->text_len + len + 1 > sizeof format->text) {
        return error_set(err, ERR_INVALID, "is longer than %zu bytes: give less",
                         sizeof format->text - 1);
    }
    memcpy(format->text + format->text_len, text, len);
    format->text_len += len;
    format->text[format->text_len] = '\0';
    return 0;
}

static int add_part(struct log_format *format, struct log_part part, struct error *err)
{
    if (format->part_count == LOG_FORMAT_PARTS_MAX) {
        return error_set(err, ERR_INVALID, "has more than %d parts: give fewer",
                         LOG_FORMAT_PARTS_MAX);
    }
    format->parts[format->part_count++] = part;
    return 0;
}

/* Of JSON, as what stands in quotes. */
static int put_key(struct log_format *format, const char *key, size_t len, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < len; i++) {
        if (key[i] == '"' || key[i] == '\\') {
            rc = put_text(format, "\\", 1, err);
        }
        rc = rc != 0 ? rc : put_text(format, key + i, 1, err);
    }
    return rc;
}

static int add_key(struct log_format *format, size_t field, const char *key, size_t len,
                   struct error *err)
{
    struct log_part part = {
        .field = (unsigned)field, .conversion = 's', .precision = -1, .text = format->text_len};
    int rc = put_key(format, key, len, err);
    rc = rc != 0 ? rc : add_part(format, part, err);
    format->text_len += rc == 0 ? 1 : 0; /* the zero behind it stays */
    return rc;
}

/* --- a format of Python's --------------------------------------------------------------------- */

static int add_literal(struct log_format *format, const char *text, size_t len, struct error *err)
{
    struct log_part *last = format->part_count > 0 ? &format->parts[format->part_count - 1] : NULL;
    if (format->json) {
        return 0;
    }
    if (last != NULL && last->field == LOG_PART_TEXT) { /* goes on */
        format->text_len--;
    } else {
        struct log_part part = {.field = LOG_PART_TEXT, .text = format->text_len};
        int rc = add_part(format, part, err);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = put_text(format, text, len, err);
    format->text_len += rc == 0 ? 1 : 0;
    return rc;
}

/* Up to one that is too large in any case. */
static unsigned take_number(const char **at)
{
    unsigned number = 0;
    for (; isdigit((unsigned char)**at); (*at)++) {
        number = number > LOG_FORMAT_WIDTH_MAX ? number : number * 10 + (unsigned)(**at - '0');
    }
    return number;
}

/* Behind "%(name)": flags, width, precision. Returns where the conversion stands. */
static const char *take_shape(const char *at, struct log_part *part)
{
    for (; *at == '-' || *at == '0'; at++) {
        part->left = part->left || *at == '-';
        part->zeros = part->zeros || *at == '0';
    }
    if (isdigit((unsigned char)*at)) {
        part->width = take_number(&at);
    }
    if (*at == '.' && isdigit((unsigned char)at[1])) {
        at++;
        part->precision = (int)take_number(&at);
    }
    return at;
}

/* At "%(". Returns where it goes on; NULL: `err` says what is wrong. */
static const char *take_field(struct log_format *format, const char *at, struct error *err)
{
    const char *name = at + 2;
    size_t len = strcspn(name, ")");
    size_t field = field_of(name, len);
    struct log_part part = {.field = (unsigned)field, .precision = -1};
    if (name[len] == '\0') {
        (void)error_set(err, ERR_INVALID, "'%.40s' has no end: give one such as %%(message)s", at);
        return NULL;
    }
    if (field == FIELDS) {
        (void)error_set(err, ERR_INVALID,
                        "'%.*s' is no field: give asctime, levelname, message, name or process",
                        len < 40 ? (int)len : 40, name);
        return NULL;
    }
    const char *end = take_shape(name + len + 1, &part);
    part.conversion = *end;
    if (*end == '\0' || strchr("sdif", *end) == NULL) {
        (void)error_set(err, ERR_INVALID, "'%.*s' ends in none of s, d, i and f: give s",
                        (int)(end - at) + (*end == '\0' ? 0 : 1), at);
        return NULL;
    }
    if (part.width > LOG_FORMAT_WIDTH_MAX || part.precision > LOG_FORMAT_WIDTH_MAX) {
        (void)error_set(err, ERR_INVALID, "'%.*s' is wider than %d: give less", (int)(end - at) + 1,
                        at, LOG_FORMAT_WIDTH_MAX);
        return NULL;
    }
    if (*end != 's' && !fields[field].is_number) {
        (void)error_set(err, ERR_INVALID, "'%.*s' asks for a number, and it is text: give s",
                        (int)(end - at) + 1, at);
        return NULL;
    }
    int rc = format->json ? add_key(format, field, name, len, err) : add_part(format, part, err);
    return rc == 0 ? end + 1 : NULL;
}

static int check_text(const char *text, struct error *err)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        size_t len = utf8_char_len(p);
        if (len == 0) {
            return error_set(err, ERR_INVALID, "is no UTF-8");
        }
        if (*p < 0x20 || *p == 0x7f || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)) {
            return error_set(err, ERR_INVALID, "has a control character: take it out");
        }
        p += len;
    }
    return 0;
}

int log_format_parse(struct log_format *format, const char *text, struct error *err)
{
    int rc = check_text(text, err);
    for (const char *at = text; rc == 0 && *at != '\0';) {
        size_t plain = strcspn(at, "%");
        if (plain > 0) {
            rc = add_literal(format, at, plain, err);
            at += plain;
        } else if (at[1] == '%') {
            rc = add_literal(format, "%", 1, err);
            at += 2;
        } else if (at[1] == '(') {
            at = take_field(format, at, err);
            if (at == NULL) {
                return ERR_INVALID;
            }
        } else {
            return error_set(err, ERR_INVALID, "'%.40s' is no field: give %%%% for a percent sign",
                             at);
        }
    }
    if (rc == 0 && !log_format_has_message(format)) {
        return error_set(err, ERR_INVALID, "has no %%(message)s: give it");
    }
    return rc;
}

/* --- JSON, field by field --------------------------------------------------------------------- */

int log_format_add(struct log_format *format, const char *field, const char *key, struct error *err)
{
    size_t found = field_of(field, strlen(field));
    if (found == FIELDS) {
        return error_set(err, ERR_INVALID,
                         "'%.40s' is no field: give asctime, levelname, message, name or process",
                         field);
    }
    int rc = check_text(key, err);
    return rc != 0 ? rc : add_key(format, found, key, strlen(key), err);
}

static size_t key_bytes(const char *key)
{
    size_t bytes = 0;
    for (; *key != '\0'; key++) {
        bytes += *key == '"' || *key == '\\' ? 2 : 1;
    }
    return bytes;
}

int log_format_add_static(struct log_format *format, const char *key, const char *value,
                          struct error *err)
{
    size_t len = strlen(format->fields);
    int rc = check_text(key, err);
    rc = rc != 0 ? rc : check_text(value, err);
    if (rc != 0) {
        return rc;
    }
    if (len + key_bytes(key) + strlen(value) + sizeof ", \"\": " > sizeof format->fields) {
        return error_set(err, ERR_INVALID, "is, in all, longer than %zu bytes: give less",
                         sizeof format->fields);
    }
    len += (size_t)snprintf(format->fields + len, sizeof format->fields - len, ", \"");
    for (; *key != '\0'; key++) {
        if (*key == '"' || *key == '\\') {
            format->fields[len++] = '\\';
        }
        format->fields[len++] = *key;
    }
    (void)snprintf(format->fields + len, sizeof format->fields - len, "\": %s", value);
    return 0;
}

/* --- what is in it ---------------------------------------------------------------------------- */

bool log_format_has_message(const struct log_format *format)
{
    bool found = false;
    for (size_t i = 0; i < format->part_count; i++) {
        const struct log_part *part = &format->parts[i];
        found = found ||
                (part->field != LOG_PART_TEXT && fields[part->field].value == LOG_VALUE_MESSAGE);
    }
    return found;
}

const char *log_format_idle_field(const struct log_format *format)
{
    for (size_t i = 0; i < format->part_count; i++) {
        const struct log_part *part = &format->parts[i];
        if (part->field != LOG_PART_TEXT && fields[part->field].value == LOG_VALUE_NONE) {
            return fields[part->field].name;
        }
    }
    return NULL;
}
