/* The time that a line of the log bears: local time, as Python's logging has it. */
#ifndef BASE_LOG_STAMP_H
#define BASE_LOG_STAMP_H

#include "base/log_format.h"

/* `dateformat` as in struct log_format, a good one. */
void log_stamp_make(char ret_stamp[static LOG_STAMP_BYTES], const char *dateformat,
                    int64_t wall_ms);
/* ERR_INVALID: `err` says what is wrong with it. */
int log_stamp_check(const char *dateformat, struct error *err) MUST_CHECK;

#endif
