/* Numbers with and without units, and truth values: what Patroni's parse_int and parse_bool take,
 * but in hexadecimal or with an exponent, which nobody writes on purpose. */
#include "agent/config/dynamic.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_BYTES_MAX 64

void dynamic_warning_give(const char *text, char *ret_warning)
{
    static const char mark[] = "...";
    if (ret_warning != NULL &&
        (size_t)snprintf(ret_warning, DYNAMIC_WARNING_BYTES, "%s", text) >= DYNAMIC_WARNING_BYTES) {
        memcpy(ret_warning + DYNAMIC_WARNING_BYTES - sizeof(mark), mark, sizeof(mark));
    }
}

struct unit {
    const char *name;
    double factor;
};

static const struct unit time_units[] = {
    {"us", 0.001},         {"ms", 1}, {"s", 1000}, {"min", 60 * 1000.0}, {"h", 3600 * 1000.0},
    {"d", 86400 * 1000.0}, {NULL, 0}};
static const struct unit size_units[] = {{"B", 1},
                                         {"kB", 1024.0},
                                         {"MB", 1024.0 * 1024},
                                         {"GB", 1024.0 * 1024 * 1024},
                                         {"TB", 1024.0 * 1024 * 1024 * 1024},
                                         {NULL, 0}};

static const char *skip_spaces(const char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    return text;
}

/* "10", "1.5 min", " 2GB "; a bare number is in units of `base`. */
static bool number_with_unit(const char *text, const struct unit *units, double base,
                             double *ret_value)
{
    text = skip_spaces(text);
    size_t len = strspn(text, "+-.0123456789"); /* no hex, inf and nan, which strtod would take */
    char *end = NULL;
    char number[NUMBER_BYTES_MAX];
    if (len == 0 || len >= sizeof(number)) {
        return false;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    double value = strtod(number, &end);
    if (*end != '\0' || end == number) {
        return false;
    }
    text = skip_spaces(text + len);
    size_t unit_len = strcspn(text, " \t\n\r\f\v");
    if (*skip_spaces(text + unit_len) != '\0') {
        return false;
    }
    if (unit_len == 0) {
        *ret_value = value * base;
        return true;
    }
    for (; units->name != NULL; units++) {
        if (strlen(units->name) == unit_len && strncmp(units->name, text, unit_len) == 0) {
            *ret_value = value * units->factor;
            return true;
        }
    }
    return false;
}

static bool number_of(const json_t *value, const struct unit *units, double base,
                      int64_t *ret_number)
{
    double number = 0;
    if (json_is_number(value)) {
        number = json_number_value(value) * base;
    } else if (!json_is_string(value) ||
               !number_with_unit(json_string_value(value), units, base, &number)) {
        return false;
    }
    number = round(number);
    if (!(fabs(number) < 9.0e18)) {
        return false;
    }
    *ret_number = (int64_t)number;
    return true;
}

bool dynamic_time_ms(const json_t *value, int64_t *ret_ms)
{
    return number_of(value, time_units, 1000, ret_ms);
}

bool dynamic_size_bytes(const json_t *value, int64_t *ret_bytes)
{
    return number_of(value, size_units, 1, ret_bytes);
}

bool dynamic_bool(const json_t *value, bool *ret_value)
{
    static const char *const yes[] = {"on", "true", "yes", "1"};
    static const char *const no[] = {"off", "false", "no", "0"};
    if (json_is_boolean(value)) {
        *ret_value = json_is_true(value);
        return true;
    }
    if (json_is_integer(value) &&
        (json_integer_value(value) == 0 || json_integer_value(value) == 1)) {
        *ret_value = json_integer_value(value) == 1;
        return true;
    }
    for (size_t i = 0; json_is_string(value) && i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(json_string_value(value), yes[i]) == 0) {
            *ret_value = true;
            return true;
        }
        if (strcasecmp(json_string_value(value), no[i]) == 0) {
            *ret_value = false;
            return true;
        }
    }
    return false;
}
