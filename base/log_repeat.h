/* PURE. Which lines only repeat, and which are too many. Private to base. */
#ifndef BASE_LOG_REPEAT_H
#define BASE_LOG_REPEAT_H

#include "base/log_line.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_REPEAT_MS  10000 /* a line that goes on repeating is told so often */
#define LOG_RATE_BURST 500   /* lines at once; of each kind, see log_rate_take */
#define LOG_RATE_PER_S 100   /* and in the long run */

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

/* Zeroed: nothing was written yet. */
struct log_rate {
    bool started;
    int64_t at_ms;
    int64_t left; /* thousandths of lines that may come at once */
    unsigned long held_back;
};

/* One for errors and warnings, one for the rest, so that the rest never takes their places. False:
 * the line is one too many, and counted. */
bool log_rate_take(struct log_rate *rate, int64_t now_ms);
/* How many were held back; then 0 again. */
unsigned long log_rate_take_held_back(struct log_rate *rate);

#endif
