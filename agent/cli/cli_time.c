/* Times on the command line: what is printed beside answers, and what people type for
 * `--scheduled`. */
#include "agent/cli/cli_verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

const char *cli_timestamp(int digits, char *ret_text)
{
    struct timeval now;
    struct tm local;
    (void)gettimeofday(&now, NULL);
    (void)localtime_r(&now.tv_sec, &local);
    size_t len = strftime(ret_text, CLI_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &local);
    if (digits > 0) {
        char fraction[16];
        (void)snprintf(fraction, sizeof(fraction), ".%06ld", (long)now.tv_usec);
        (void)snprintf(ret_text + len, CLI_TIME_BYTES - len, "%.*s", digits + 1, fraction);
    }
    return ret_text;
}

static bool take_two_digits(const char **at, long *ret_number)
{
    const char *text = *at;
    if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1])) {
        return false;
    }
    *ret_number = (text[0] - '0') * 10 + (text[1] - '0');
    *at += 2;
    return true;
}

/* "Z", "+01", "+0100", "+01:00" or nothing. */
static bool zone_parse(const char *text, bool *ret_given, long *ret_offset_s)
{
    long hours = 0;
    long minutes = 0;
    *ret_given = *text != '\0';
    *ret_offset_s = 0;
    if (*text == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
        return true;
    }
    bool west = *text == '-';
    if (*text++ != '+' && !west) {
        return false;
    }
    if (!take_two_digits(&text, &hours) || hours > 15) {
        return false;
    }
    if (*text != '\0') {
        text += *text == ':' ? 1 : 0;
        if (!take_two_digits(&text, &minutes) || minutes > 59 || *text != '\0') {
            return false;
        }
    }
    *ret_offset_s = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

/* Date and time of day; a time alone is today's. Gives where the zone begins. */
static const char *fields_parse(const char *text, struct tm *ret_fields)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M",    "%H:%M:%S",          "%H:%M"};
    time_t now = time(NULL);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm fields;
        (void)localtime_r(&now, &fields);
        fields.tm_sec = 0;
        const char *rest = strptime(text, forms[i], &fields);
        if (rest != NULL) {
            if (*rest == '.') { /* fractions of a second are not what a switchover is planned by */
                rest += 1 + strspn(rest + 1, "0123456789");
            }
            *ret_fields = fields;
            return rest + strspn(rest, " ");
        }
    }
    return NULL;
}

/* mktime would make 2 March of 30 February. */
static bool day_exists(const struct tm *fields)
{
    struct tm real = *fields;
    real.tm_isdst = 0;
    (void)timegm(&real);
    return real.tm_mon == fields->tm_mon && real.tm_mday == fields->tm_mday;
}

bool cli_time_parse(const char *text, char *ret_iso)
{
    struct tm fields = {0};
    bool zone_given = false;
    long offset_s = 0;
    const char *zone = fields_parse(text, &fields);
    if (zone == NULL || !zone_parse(zone, &zone_given, &offset_s) || !day_exists(&fields)) {
        return false;
    }
    fields.tm_isdst = -1;
    if (!zone_given) {
        if (mktime(&fields) == (time_t)-1) {
            return false;
        }
        offset_s = fields.tm_gmtoff;
    }
    long minutes = labs(offset_s) / 60;
    size_t len = strftime(ret_iso, CLI_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &fields);
    (void)snprintf(ret_iso + len, CLI_TIME_BYTES - len, "%c%02ld:%02ld", offset_s < 0 ? '-' : '+',
                   minutes / 60, minutes % 60);
    return len > 0;
}
