/* strftime of the C locale: this program sets no other one. The time zone is read once. */
#include "base/log_stamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static size_t print(char *out, size_t room, const char *dateformat, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;
    (void)localtime_r(&seconds, &local);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* it was looked at: log_stamp_check */
    return strftime(out, room, dateformat, &local);
#pragma GCC diagnostic pop
}

void log_stamp_make(char ret_stamp[static LOG_STAMP_BYTES], const char *dateformat, int64_t wall_ms)
{
    if (dateformat[0] != '\0') {
        ret_stamp[print(ret_stamp, LOG_STAMP_BYTES, dateformat, wall_ms)] = '\0';
    } else {
        size_t len = print(ret_stamp, LOG_STAMP_BYTES - 4, "%Y-%m-%d %H:%M:%S", wall_ms);
        (void)snprintf(ret_stamp + len, LOG_STAMP_BYTES - len, ",%03d", (int)(wall_ms % 1000));
    }
}

int log_stamp_check(const char *dateformat, struct error *err)
{
    static const int64_t longest_ms = INT64_C(1796256000000) + 8 * INT64_C(3600000);
    char stamp[LOG_STAMP_BYTES - 8]; /* names of months and zones differ in length */
    if (strlen(dateformat) >= LOG_DATEFORMAT_BYTES) {
        return error_set(err, ERR_INVALID, "is longer than %d bytes: give less",
                         LOG_DATEFORMAT_BYTES - 1);
    }
    for (const char *p = dateformat; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e || *p == '"' || *p == '\\') {
            return error_set(err, ERR_INVALID,
                             "has more than plain characters without quotes: give one such as "
                             "'%%Y-%%m-%%d %%H:%%M:%%S'");
        }
    }
    if (print(stamp, sizeof stamp, dateformat, longest_ms) == 0) {
        return error_set(err, ERR_INVALID,
                         "makes no time, or one of more than %zu bytes: give one such as "
                         "'%%Y-%%m-%%d %%H:%%M:%%S'",
                         sizeof stamp - 1);
    }
    for (const char *p = stamp; *p != '\0'; p++) { /* %n, %t */
        if ((unsigned char)*p < 0x20) {
            return error_set(err, ERR_INVALID, "makes a control character: take it out");
        }
    }
    return 0;
}
