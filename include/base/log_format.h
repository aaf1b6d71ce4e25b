/* PURE. What a line of the log is made of: the text that Python's logging takes, `%(asctime)s
 * %(levelname)s: %(message)s`, or an object of JSON with fields of the same names. A format has
 * bounds, so that every line has room for a message of some KiB. */
#ifndef BASE_LOG_FORMAT_H
#define BASE_LOG_FORMAT_H

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_FORMAT_PARTS_MAX    24
#define LOG_FORMAT_TEXT_BYTES   512  /* what stands between the fields; the keys of JSON */
#define LOG_FORMAT_STATIC_BYTES 1024 /* static fields, as JSON */
#define LOG_FORMAT_WIDTH_MAX    40
#define LOG_DATEFORMAT_BYTES    64
#define LOG_STAMP_BYTES         64 /* of a time that is printed */
#define LOG_DEFAULT_FORMAT      "%(asctime)s %(levelname)s: %(message)s"

/* One field, or text as it stands. */
struct log_part {
    unsigned field; /* index of the table in log_format.c; LOG_PART_TEXT = text */
    char conversion;
    bool left;
    bool zeros;
    unsigned width;
    int precision; /* -1 = none */
    size_t text;   /* where it begins in `text`, or the key does; ends with a zero */
};

struct log_format {
    bool json;
    size_t part_count;
    struct log_part parts[LOG_FORMAT_PARTS_MAX];
    size_t text_len;
    char text[LOG_FORMAT_TEXT_BYTES];
    char fields[LOG_FORMAT_STATIC_BYTES];  /* `, "key": "value"`; of JSON alone */
    char dateformat[LOG_DATEFORMAT_BYTES]; /* of strftime; "" = Python's, with milliseconds */
};

struct log_record {
    const char *stamp; /* the time as text; shorter than LOG_STAMP_BYTES */
    int64_t wall_ms;
    enum log_level level;
    int pid;
    const char *message; /* clean (base/log_line.h) */
};

/* Zeroed; nothing in it yet. */
void log_format_init(struct log_format *format, bool json);
/* Takes a format in Python's words: a plain one as it is, of one for JSON the fields, in order.
 * ERR_INVALID: `err` says what is wrong with it; then the format is not to be used. */
int log_format_parse(struct log_format *format, const char *text, struct error *err) MUST_CHECK;
/* One more field of JSON, under `key`. */
int log_format_add(struct log_format *format, const char *field, const char *key,
                   struct error *err) MUST_CHECK;
/* One more that is always the same; `value` is JSON (a text in its quotes, a number). */
int log_format_add_static(struct log_format *format, const char *key, const char *value,
                          struct error *err) MUST_CHECK;
/* True once it has the message. */
bool log_format_has_message(const struct log_format *format);
/* Name of a field that is there for Python's sake and says nothing here; NULL = there is none. */
const char *log_format_idle_field(const struct log_format *format);

#endif
