/* Lines are made on the stack and written with one write(2), so that two processes that share the
 * sink do not mix. A sink that would block loses lines, never time: with a writer (the agent) the
 * ring takes them and its thread alone waits; without one (a command, a child) standard error is
 * asked first, which a file on a file system that stands still answers wrongly. */
#include "base/log.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log_repeat.h"
#include "base/log_settings.h"
#include "base/log_sink.h"
#include "base/log_stamp.h"
#include "base/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(LOG_LINE_BYTES <= PIPE_BUF, "a pipe takes a line whole or not at all");
_Static_assert(1 + LOG_LINE_BYTES - 1 <= LOG_WRITER_LINE_BYTES,
               "the writer takes every line: a digit before it, and no terminator");

#define THREAD_LOCAL_BYTES (192 * 1024) /* buffers of base/net; untouched pages cost nothing */
#define RING_BYTES         (128 * 1024) /* a burst at level debug, before its thread comes round */

static struct log_settings settings;
static bool configured;
static bool sink_due; /* settings.file is not given to the thread yet */
static unsigned long dropped_count;
static unsigned long put_count; /* into the ring */
static struct log_repeat last;
static struct log_rate rates[2]; /* of errors and warnings, of the rest */
static struct log_writer writer;
static pid_t writer_pid; /* whose process has the thread; 0 = none was started */

/* The ring may be full: then before the next line. */
static void give_settings(void)
{
    char record[LOG_SINK_RECORD_BYTES];
    if (sink_due && writer_pid == getpid()) {
        log_sink_settings(&settings.file, record);
        sink_due = !log_writer_put(&writer, record, sizeof record);
        put_count += sink_due ? 0 : 1;
    }
}

void log_configure(const struct log_settings *wanted)
{
    settings = *wanted;
    configured = true;
    sink_due = true;
    give_settings();
}

static const struct log_settings *in_force(void)
{
    if (!configured) {
        log_settings_init(&settings);
        configured = true;
    }
    return &settings;
}

static void flush_at_exit(void)
{
    (void)log_flush(LOG_FLUSH_MS);
}

int log_start_writer(void)
{
    static unsigned char ring[RING_BYTES];
    static _Alignas(16) unsigned char stack[LOG_WRITER_STACK_BYTES + THREAD_LOCAL_BYTES];
    const struct log_writer_config config = {.ring = ring,
                                             .ring_bytes = sizeof ring,
                                             .stack = stack,
                                             .stack_bytes = sizeof stack,
                                             .write = log_sink_write};

    if (writer_pid == getpid()) {
        return 0;
    }
    if (atexit(flush_at_exit) != 0) {
        return ENOMEM;
    }
    log_sink_look_for_journal();
    int rc = log_writer_start(&writer, &config);
    if (rc == 0) {
        writer_pid = getpid();
        give_settings();
        assert_last_words(flush_at_exit); /* what led to it */
    }
    return rc;
}

bool log_flush(int timeout_ms)
{
    return writer_pid != getpid() || log_writer_flush(&writer, timeout_ms);
}

enum log_file_state log_file_wait(int timeout_ms, char ret_why[static LOG_FILE_WHY_BYTES])
{
    if (in_force()->file.dir[0] == '\0' || writer_pid != getpid()) {
        return LOG_FILE_OPEN;
    }
    if (!log_flush(timeout_ms)) {
        return LOG_FILE_UNANSWERED;
    }
    return log_sink_take_fault(ret_why) ? LOG_FILE_REFUSED : LOG_FILE_OPEN;
}

/* `line` begins with a digit for the sink: the level as syslog numbers it. */
static bool emit(const char *line, size_t len)
{
    struct pollfd sink = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (writer_pid == getpid()) {
        give_settings();
        bool room = !sink_due &&
                    put_count - log_sink_done() < (unsigned long)in_force()->queue_max &&
                    log_writer_put(&writer, line, len);
        put_count += room ? 1 : 0;
        return room;
    }
    return poll(&sink, 1, 0) == 1 && (sink.revents & POLLOUT) != 0 &&
           write(STDERR_FILENO, line + 1, len - 1) >= 0;
}

/* Puts `note` behind the message, whose end gives way to it where there is no room. */
static void message_note(char message[static LOG_MESSAGE_BYTES], const char *note)
{
    size_t len = strnlen(message, LOG_MESSAGE_BYTES - 1 - strlen(note));
    (void)snprintf(message + len, LOG_MESSAGE_BYTES - len, "%s", note);
}

static bool put(enum log_level level, char message[static LOG_MESSAGE_BYTES])
{
    static const char syslog_digits[] = {[LOG_LEVEL_ERROR] = '3',
                                         [LOG_LEVEL_WARNING] = '4',
                                         [LOG_LEVEL_INFO] = '6',
                                         [LOG_LEVEL_DEBUG] = '7'};
    char line[1 + LOG_LINE_BYTES];
    char stamp[LOG_STAMP_BYTES];
    struct log_record record = {.stamp = stamp,
                                .wall_ms = clock_wall_ms(clock_real()),
                                .level = level,
                                .pid = (int)getpid(),
                                .message = message};

    dropped_count += writer_pid == getpid() ? log_writer_take_lost(&writer) : 0;
    if (dropped_count > 0) {
        char note[48];
        (void)snprintf(note, sizeof note, " dropped_lines=%lu", dropped_count);
        message_note(message, note);
    }
    log_message_clean(message); /* last: what was cut may end within a character */
    log_stamp_make(stamp, in_force()->format.dateformat, record.wall_ms);
    line[0] = syslog_digits[level];
    if (!emit(line, 1 + log_line_make(line + 1, &in_force()->format, &record))) {
        dropped_count++;
        return false;
    }
    dropped_count = 0;
    return true;
}

static void put_note(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put_note(enum log_level level, const char *fmt, ...)
{
    char note[LOG_MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(note, sizeof note, fmt, args);
    va_end(args);
    (void)put(level, note);
}

/* True: this line is one too many. What was held back before it is told first. */
static bool is_too_many(enum log_level level, int64_t now_ms)
{
    struct log_rate *rate = &rates[level <= LOG_LEVEL_WARNING ? 0 : 1];
    if (!log_rate_take(rate, now_ms)) {
        return true;
    }
    unsigned long held_back = log_rate_take_held_back(rate);
    if (held_back > 0) {
        put_note(LOG_LEVEL_WARNING, "more than %d lines a second: %lu were not written",
                 LOG_RATE_PER_S, held_back);
    }
    return false;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[LOG_MESSAGE_BYTES];
    char fault[LOG_SINK_FAULT_BYTES];
    enum log_level last_level = last.level;
    unsigned long untold_count = 0;
    int64_t now_ms = clock_mono_ms(clock_real());
    va_list args;

    if (level > in_force()->level) {
        return;
    }
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (len >= (int)sizeof message) {
        message_note(message, "...");
    }
    if (log_repeat_note(&last, level, message, now_ms, &untold_count)) {
        return;
    }
    if (untold_count > 0) {
        put_note(last_level, "the line before came again, repeats=%lu", untold_count);
    }
    if (writer_pid == getpid() && log_sink_take_fault(fault)) {
        put_note(LOG_LEVEL_WARNING,
                 "%s; lines that do not get there go to the file of before, or to standard error",
                 fault);
    }
    /* A line that was lost is not repeated but tried again. */
    last.told = !is_too_many(level, now_ms) && put(level, message);
}
