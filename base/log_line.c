/* PURE. Lines are made here, byte by byte; log.c gives time and sink. */
#include "base/log_line.h"

#include "base/assert.h"
#include "base/utf8.h"

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
