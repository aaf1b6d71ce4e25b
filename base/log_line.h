/* PURE. What a line of the log looks like, and which lines only repeat. Private to base. */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line is at most PIPE_BUF (4096 on Linux), so that a pipe that polls writable takes it whole
 * without blocking, and lines of two processes do not mix. Quotes double in JSON. */
#define LOG_MESSAGE_BYTES 1920
#define LOG_LINE_BYTES    4096
#define LOG_STAMP_BYTES   32
#define LOG_REPEAT_MS     10000 /* a line that goes on repeating is told so often */

/* Makes a message from outside harmless: one line, valid UTF-8, nothing that steers a terminal. */
void log_message_clean(char *message);

/* Writes the line with its end and a terminator; returns its length. `message` is clean and shorter
 * than LOG_MESSAGE_BYTES. */
size_t log_line_make(char line[static LOG_LINE_BYTES], bool json, const char *stamp,
                     enum log_level level, const char *message);

/* Zeroed: no line yet. */
struct log_repeat {
    bool told; /* the line below was written */
    enum log_level level;
    int64_t told_ms;
    unsigned long count; /* how often it came since, and was not written */
    char message[LOG_MESSAGE_BYTES];
};

/* True if the line is the one before again and need not be written: it is counted. Otherwise the
 * count of the line before is to be told first, if it is not 0. */
bool log_repeat_note(struct log_repeat *repeat, enum log_level level, const char *message,
                     int64_t now_ms, unsigned long *ret_untold_count);

#endif
