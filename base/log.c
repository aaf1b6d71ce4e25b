/* Lines are made on the stack and written with one write(2), so that two processes that share the
 * sink do not mix. A sink that would block loses lines, never time: with a writer (the agent) the
 * ring takes them and its thread alone waits; without one (a command, a child) standard error is
 * asked first, which a file on a file system that stands still answers wrongly. */
#include "base/log.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LOG_LINE_BYTES <= PIPE_BUF, "a pipe takes a line whole or not at all");
_Static_assert(LOG_LINE_BYTES <= LOG_WRITER_LINE_BYTES, "the writer takes every line");

#define RING_BYTES (128 * 1024) /* a burst at level debug, before its thread comes round */

static enum log_level level_max = LOG_LEVEL_INFO;
static bool as_json;
static unsigned long dropped_count;
static struct log_repeat last;
static struct log_writer writer;
static pid_t writer_pid; /* whose process has the thread; 0 = none was started */

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

void log_level_set(enum log_level level)
{
    level_max = level;
}

void log_json_set(bool on)
{
    as_json = on;
}

static void flush_at_exit(void)
{
    (void)log_flush(LOG_FLUSH_MS);
}

int log_start_writer(void)
{
    static unsigned char ring[RING_BYTES];
    static _Alignas(16) unsigned char stack[LOG_WRITER_STACK_BYTES];
    const struct log_writer_config config = {
        .ring = ring, .ring_bytes = sizeof ring, .stack = stack};

    if (writer_pid == getpid()) {
        return 0;
    }
    if (atexit(flush_at_exit) != 0) {
        return ENOMEM;
    }
    int rc = log_writer_start(&writer, &config);
    if (rc == 0) {
        writer_pid = getpid();
        assert_last_words(flush_at_exit); /* what led to it */
    }
    return rc;
}

bool log_flush(int timeout_ms)
{
    return writer_pid != getpid() || log_writer_flush(&writer, timeout_ms);
}

static bool emit(const char *line, size_t len)
{
    struct pollfd sink = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (writer_pid == getpid()) {
        return log_writer_put(&writer, line, len);
    }
    return poll(&sink, 1, 0) == 1 && (sink.revents & POLLOUT) != 0 &&
           write(STDERR_FILENO, line, len) >= 0;
}

/* Puts `note` behind the message, whose end gives way to it where there is no room. */
static void message_note(char message[static LOG_MESSAGE_BYTES], const char *note)
{
    size_t len = strnlen(message, LOG_MESSAGE_BYTES - 1 - strlen(note));
    (void)snprintf(message + len, LOG_MESSAGE_BYTES - len, "%s", note);
}

static bool put(enum log_level level, char message[static LOG_MESSAGE_BYTES])
{
    char line[LOG_LINE_BYTES];
    char seconds[LOG_STAMP_BYTES];
    char stamp[LOG_STAMP_BYTES];
    struct timespec now;
    struct tm utc;

    dropped_count += writer_pid == getpid() ? log_writer_take_lost(&writer) : 0;
    if (dropped_count > 0) {
        char note[48];
        (void)snprintf(note, sizeof note, " dropped_lines=%lu", dropped_count);
        message_note(message, note);
    }
    log_message_clean(message); /* last: what was cut may end within a character */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%d %H:%M:%S", &utc);
    (void)snprintf(stamp, sizeof stamp, "%.24s,%03ld", seconds, now.tv_nsec / 1000000);
    if (!emit(line, log_line_make(line, as_json, stamp, level, message))) {
        dropped_count++;
        return false;
    }
    dropped_count = 0;
    return true;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[LOG_MESSAGE_BYTES];
    enum log_level last_level = last.level;
    unsigned long untold_count = 0;
    va_list args;

    if (level > level_max) {
        return;
    }
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (len >= (int)sizeof message) {
        message_note(message, "...");
    }
    if (log_repeat_note(&last, level, message, clock_mono_ms(clock_real()), &untold_count)) {
        return;
    }
    if (untold_count > 0) {
        char note[LOG_MESSAGE_BYTES];
        (void)snprintf(note, sizeof note, "the line before came again, repeats=%lu", untold_count);
        (void)put(last_level, note);
    }
    last.told = put(level, message); /* a line that was lost is not repeated but tried again */
}
