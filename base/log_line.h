/* PURE. A line of the log, made of a format and a record. Private to base. */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "base/log_format.h"

#include <stddef.h>

/* A line is at most PIPE_BUF (4096 on Linux), so that a pipe that polls writable takes it whole
 * without blocking, and lines of two processes do not mix. Quotes double in JSON. */
#define LOG_MESSAGE_BYTES 1920
#define LOG_LINE_BYTES    4096
#define LOG_PART_TEXT     255 /* log_part.field of what is no field */

enum log_value {
    LOG_VALUE_NONE, /* "-", or 0 */
    LOG_VALUE_STAMP,
    LOG_VALUE_CREATED, /* seconds since 1970, with a fraction */
    LOG_VALUE_MSECS,
    LOG_VALUE_LEVEL,
    LOG_VALUE_LEVELNO,
    LOG_VALUE_MESSAGE,
    LOG_VALUE_NAME,
    LOG_VALUE_PID,
    LOG_VALUE_MAIN_PROCESS,
    LOG_VALUE_MAIN_THREAD
};

struct log_field {
    const char *name;
    enum log_value value;
    bool is_number;
};

const struct log_field *log_format_field(const struct log_part *part);

/* Makes a message from outside harmless: one line, valid UTF-8, nothing that steers a terminal. */
void log_message_clean(char *message);

/* Writes the line with its end and a terminator; returns its length. Where there is no room for the
 * whole message it is cut, and ends in three dots. */
size_t log_line_make(char line[static LOG_LINE_BYTES], const struct log_format *format,
                     const struct log_record *record);

#endif
