/* Lines are made on the stack and written with one write(2), so that two processes that share the
 * sink do not mix. A sink that would block loses lines, never time. */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_BYTES = 2048, LOG_JSON_BYTES = 2 * LOG_LINE_BYTES + 128 };

static enum log_level level_max = LOG_LEVEL_INFO;
static bool as_json;
static unsigned long dropped_count;

static const char *const level_names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    if (strcasecmp(text, "critical") == 0) {
        *ret_level = LOG_LEVEL_ERROR;
        return true;
    }
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        if (strcasecmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_level_set(enum log_level level)
{
    level_max = level;
}

void log_json_set(bool on)
{
    as_json = on;
}

static size_t json_escape(char *out, size_t size, const char *text)
{
    size_t len = 0;
    for (const char *p = text; *p != '\0' && len + 8 < size; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            out[len++] = '\\';
            out[len++] = (char)c;
        } else if (c < 0x20) {
            len += (size_t)snprintf(out + len, size - len, "\\u%04x", c);
        } else {
            out[len++] = (char)c;
        }
    }
    out[len] = '\0';
    return len;
}

static void emit(const char *line, size_t len)
{
    struct pollfd sink = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&sink, 1, 0) != 1 || (sink.revents & POLLOUT) == 0) {
        dropped_count++;
        return;
    }
    if (write(STDERR_FILENO, line, len) < 0) {
        dropped_count++;
    }
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[LOG_LINE_BYTES];
    char line[LOG_JSON_BYTES];
    char stamp[32];
    struct timespec now;
    struct tm utc;
    va_list args;

    if (level > level_max) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &utc);
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    for (char *p = message; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' '; /* one fact, one line, whatever a message from outside contains */
        }
    }
    unsigned long dropped = dropped_count;
    dropped_count = 0;
    int len = 0;
    if (as_json) {
        char escaped[2 * LOG_LINE_BYTES];
        (void)json_escape(escaped, sizeof escaped, message);
        len = snprintf(line, sizeof line,
                       "{\"asctime\": \"%s,%03ld\", \"levelname\": \"%s\", \"message\": \"%s\"}\n",
                       stamp, now.tv_nsec / 1000000, level_names[level], escaped);
    } else if (dropped > 0) {
        len = snprintf(line, sizeof line, "%s,%03ld %s: %s dropped_lines=%lu\n", stamp,
                       now.tv_nsec / 1000000, level_names[level], message, dropped);
    } else {
        len = snprintf(line, sizeof line, "%s,%03ld %s: %s\n", stamp, now.tv_nsec / 1000000,
                       level_names[level], message);
    }
    emit(line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}
