/* PURE. See the header. */
#include "base/log_repeat.h"

#include <stdio.h>
#include <string.h>

#define LINE 1000

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

/* A second brings LOG_RATE_PER_S lines, a millisecond as many thousandths. */
bool log_rate_take(struct log_rate *rate, int64_t now_ms)
{
    const int64_t full = (int64_t)LOG_RATE_BURST * LINE;
    int64_t passed_ms = now_ms - rate->at_ms;
    if (!rate->started || passed_ms >= full / LOG_RATE_PER_S) {
        rate->left = full;
    } else if (passed_ms > 0) {
        rate->left += passed_ms * LOG_RATE_PER_S;
        rate->left = rate->left > full ? full : rate->left;
    }
    rate->started = true;
    rate->at_ms = now_ms;
    if (rate->left < LINE) {
        rate->held_back++;
        return false;
    }
    rate->left -= LINE;
    return true;
}

unsigned long log_rate_take_held_back(struct log_rate *rate)
{
    unsigned long count = rate->held_back;
    rate->held_back = 0;
    return count;
}
