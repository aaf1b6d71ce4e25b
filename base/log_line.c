/* PURE. Lines are made here, byte by byte; log.c gives time and sink. */
#include "base/log_line.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "ERROR",
    [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_INFO] = "INFO",
    [LOG_LEVEL_DEBUG] = "DEBUG",
};

/* Everything but the escape of JSON itself: stamp, names, braces. */
#define LINE_FRAME_BYTES 160
_Static_assert(2 * LOG_MESSAGE_BYTES + LINE_FRAME_BYTES <= LOG_LINE_BYTES, "the longest line fits");

/* Length of the character at `p` in well-formed UTF-8 (RFC 3629); 0 if there is none. */
static size_t utf8_len(const unsigned char *p)
{
    static const struct {
        unsigned char first, last, second_min, second_max;
        size_t len;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last) {
            continue;
        }
        if (forms[i].len > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max)) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].len; k++) {
            if ((p[k] & 0xc0) != 0x80) {
                return 0; /* a terminator is none either: nothing is read beyond it */
            }
        }
        return forms[i].len;
    }
    return 0;
}

void log_message_clean(char *message)
{
    unsigned char *p = (unsigned char *)message;
    while (*p != '\0') {
        size_t len = utf8_len(p);
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

static void json_escape(char *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            *out++ = '\\';
        }
        *out++ = *p;
    }
    *out = '\0';
}

size_t log_line_make(char line[static LOG_LINE_BYTES], bool json, const char *stamp,
                     enum log_level level, const char *message)
{
    char escaped[2 * LOG_MESSAGE_BYTES];
    int len = 0;

    ASSERT(strlen(message) < LOG_MESSAGE_BYTES);
    ASSERT(strlen(stamp) < LOG_STAMP_BYTES);
    if (json) {
        json_escape(escaped, message);
        len = snprintf(line, LOG_LINE_BYTES,
                       "{\"asctime\": \"%s\", \"levelname\": \"%s\", \"message\": \"%s\"}\n", stamp,
                       level_names[level], escaped);
    } else {
        len = snprintf(line, LOG_LINE_BYTES, "%s %s: %s\n", stamp, level_names[level], message);
    }
    ASSERT(len > 0 && len < LOG_LINE_BYTES);
    return (size_t)len;
}

bool log_repeat_note(struct log_repeat *repeat, enum log_level level, const char *message,
                     int64_t now_ms, unsigned long *ret_untold_count)
{
    bool same = repeat->told && repeat->level == level && strcmp(repeat->message, message) == 0;
    if (same && now_ms - repeat->told_ms < LOG_REPEAT_MS) {
        repeat->count++;
        return true;
    }
    *ret_untold_count = repeat->count;
    repeat->told = true;
    repeat->level = level;
    repeat->told_ms = now_ms;
    repeat->count = 0;
    if (!same) {
        (void)snprintf(repeat->message, sizeof repeat->message, "%s", message);
    }
    return false;
}
