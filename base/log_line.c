/* PURE. A line is made twice: first without its message, to see what room that has. */
#include "base/log_line.h"

#include "base/assert.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DOTS "..."

static const struct {
    const char *name;
    int number; /* Python's */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"ERROR", 40},
    [LOG_LEVEL_WARNING] = {"WARNING", 30},
    [LOG_LEVEL_INFO] = {"INFO", 20},
    [LOG_LEVEL_DEBUG] = {"DEBUG", 10},
};

void log_message_clean(char *message)
{
    unsigned char *p = (unsigned char *)message;
    while (*p != '\0') {
        size_t len = utf8_char_len(p);
        if (*p == '\n' || *p == '\r' || *p == '\t') {
            *p = ' ';
        } else if (len == 0 || *p < 0x20 || *p == 0x7f) {
            *p = '?';
            len = 1;
        } else if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
            p[0] = '?'; /* U+0080 to U+009F: controls of eight-bit terminals */
            p[1] = '?';
        }
        p += len;
    }
}

/* --- where it is put -------------------------------------------------------------------------- */

struct out {
    char *line; /* NULL: it is only counted */
    size_t len;
};

static void put(struct out *out, const char *text, size_t len)
{
    if (out->line != NULL) {
        ASSERT(out->len + len < LOG_LINE_BYTES);
        memcpy(out->line + out->len, text, len);
    }
    out->len += len;
}

static void put_str(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_fill(struct out *out, char fill, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(out, &fill, 1);
    }
}

static size_t char_bytes(const char *at)
{
    size_t len = utf8_char_len((const unsigned char *)at);
    return len == 0 ? 1 : len;
}

/* `message` as it is to stand in the line, in `room` bytes and a terminator. */
static void fit(char *out, size_t room, const char *message, bool json)
{
    size_t dots = strlen(DOTS);
    size_t len = 0;
    size_t cut_at = 0; /* where the dots would stand */
    const char *p = message;
    while (*p != '\0') {
        bool escaped = json && (*p == '"' || *p == '\\');
        size_t bytes = char_bytes(p);
        if (len + bytes + (escaped ? 1 : 0) > room) {
            break;
        }
        if (escaped) {
            out[len++] = '\\';
        }
        memcpy(out + len, p, bytes);
        len += bytes;
        p += bytes;
        cut_at = len + dots <= room ? len : cut_at;
    }
    if (*p != '\0') {
        memcpy(out + cut_at, DOTS, dots);
        len = cut_at + dots;
    }
    out[len] = '\0';
}

/* --- values ----------------------------------------------------------------------------------- */

enum { NUMBER_BYTES = 64 };

/* Text of a field; `number` is room for one. */
static const char *value_of(enum log_value value, const struct log_record *record,
                            const char *message, char number[static NUMBER_BYTES])
{
    switch (value) {
    case LOG_VALUE_STAMP: return record->stamp;
    case LOG_VALUE_MESSAGE: return message;
    case LOG_VALUE_LEVEL: return levels[record->level].name;
    case LOG_VALUE_NAME: return "pgquorum";
    case LOG_VALUE_MAIN_PROCESS: return "MainProcess";
    case LOG_VALUE_MAIN_THREAD: return "MainThread";
    case LOG_VALUE_NONE: return NULL;
    case LOG_VALUE_CREATED:
        (void)snprintf(number, NUMBER_BYTES, "%" PRId64 ".%03d", record->wall_ms / 1000,
                       (int)(record->wall_ms % 1000));
        break;
    case LOG_VALUE_MSECS:
        (void)snprintf(number, NUMBER_BYTES, "%d", (int)(record->wall_ms % 1000));
        break;
    case LOG_VALUE_LEVELNO:
        (void)snprintf(number, NUMBER_BYTES, "%d", levels[record->level].number);
        break;
    case LOG_VALUE_PID: (void)snprintf(number, NUMBER_BYTES, "%d", record->pid); break;
    }
    return number;
}

/* As many decimals as are asked for (%f: six); of a whole number, %d and %s, none more. */
static void shape_number(const struct log_part *part, char number[static NUMBER_BYTES])
{
    char *point = strchr(number, '.');
    size_t decimals = part->precision >= 0 ? (size_t)part->precision : 6;
    if (part->conversion == 'd' || part->conversion == 'i') {
        number[point == NULL ? strlen(number) : (size_t)(point - number)] = '\0';
    } else if (part->conversion == 'f') {
        size_t len = strlen(number);
        if (point == NULL) {
            point = number + len;
            number[len++] = '.';
        }
        while (len < (size_t)(point - number) + 1 + decimals) {
            number[len++] = '0';
        }
        number[(size_t)(point - number) + (decimals == 0 ? 0 : 1 + decimals)] = '\0';
    }
}

static void put_plain(struct out *out, const struct log_part *part, const struct log_record *record,
                      const char *message)
{
    char number[NUMBER_BYTES] = "0";
    const struct log_field *field = log_format_field(part);
    const char *text = value_of(field->value, record, message, number);
    text = text != NULL ? text : field->is_number ? number : "-";
    if (field->is_number) {
        shape_number(part, number);
    }
    size_t len = strlen(text);
    if (part->conversion == 's' && part->precision >= 0) {
        size_t kept = 0;
        for (int i = 0; i < part->precision && kept < len; i++) {
            kept += char_bytes(text + kept);
        }
        len = kept;
    }
    size_t pad = part->width > len ? part->width - len : 0;
    bool zeros = part->zeros && !part->left && part->conversion != 's';
    put_fill(out, zeros ? '0' : ' ', part->left ? 0 : pad);
    put(out, text, len);
    put_fill(out, ' ', part->left ? pad : 0);
}

static void put_json(struct out *out, const struct log_format *format, const struct log_part *part,
                     const struct log_record *record, const char *message)
{
    char number[NUMBER_BYTES] = "0";
    const struct log_field *field = log_format_field(part);
    const char *text = value_of(field->value, record, message, number);
    text = text != NULL ? text : field->is_number ? number : "-";
    put_str(out, "\"");
    put_str(out, format->text + part->text);
    put_str(out, field->is_number ? "\": " : "\": \"");
    put_str(out, text);
    put_str(out, field->is_number ? "" : "\"");
}

/* --- the line --------------------------------------------------------------------------------- */

static void put_line(struct out *out, const struct log_format *format,
                     const struct log_record *record, const char *message)
{
    put_str(out, format->json ? "{" : "");
    for (size_t i = 0; i < format->part_count; i++) {
        const struct log_part *part = &format->parts[i];
        if (format->json) {
            put_str(out, i > 0 ? ", " : "");
            put_json(out, format, part, record, message);
        } else if (part->field == LOG_PART_TEXT) {
            put_str(out, format->text + part->text);
        } else {
            put_plain(out, part, record, message);
        }
    }
    if (format->json) {
        put_str(out, format->fields);
        put_str(out, "}");
    }
    put_str(out, "\n");
}

static size_t messages_in(const struct log_format *format)
{
    size_t count = 0;
    for (size_t i = 0; i < format->part_count; i++) {
        const struct log_part *part = &format->parts[i];
        count += part->field != LOG_PART_TEXT && log_format_field(part)->value == LOG_VALUE_MESSAGE;
    }
    return count;
}

size_t log_line_make(char line[static LOG_LINE_BYTES], const struct log_format *format,
                     const struct log_record *record)
{
    char message[LOG_LINE_BYTES];
    struct out counted = {.line = NULL};
    struct out out = {.line = line};
    size_t count = messages_in(format);

    ASSERT(count > 0);
    ASSERT(strlen(record->stamp) < LOG_STAMP_BYTES);
    put_line(&counted, format, record, "");
    ASSERT(counted.len + sizeof DOTS * count < LOG_LINE_BYTES);
    fit(message, (LOG_LINE_BYTES - 1 - counted.len) / count, record->message, format->json);
    put_line(&out, format, record, message);
    line[out.len] = '\0';
    return out.len;
}
