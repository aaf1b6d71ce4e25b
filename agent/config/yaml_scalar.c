/* PyYAML decides by regular expressions; these are the same languages, matched by hand on a cursor.
 * Each matcher takes as much as it can and the whole text has to be used up. Its order is kept:
 * boolean, float, int, merge, null, timestamp, value. The languages do not overlap, so order
 * matters only for reading along. */
#include "agent/config/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 128 /* longer digits cannot be a number that we take */

struct cursor {
    const char *at;
    const char *end;
};

static bool take_char(struct cursor *c, const char *set)
{
    if (c->at < c->end && *c->at != '\0' && strchr(set, *c->at) != NULL) {
        c->at++;
        return true;
    }
    return false;
}

static size_t take_all(struct cursor *c, const char *set)
{
    const char *start = c->at;
    while (take_char(c, set)) {
    }
    return (size_t)(c->at - start);
}

static bool take_digits(struct cursor *c, unsigned at_least, unsigned at_most)
{
    unsigned count = 0;
    while (count < at_most && take_char(c, "0123456789")) {
        count++;
    }
    return count >= at_least;
}

static bool at_end(const struct cursor *c)
{
    return c->at == c->end;
}

static bool is_one_of(const char *text, size_t len, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strlen(*words) == len && memcmp(*words, text, len) == 0) {
            return true;
        }
    }
    return false;
}

static const char *const true_words[] = {"yes",  "Yes", "YES", "true", "True",
                                         "TRUE", "on",  "On",  "ON",   NULL};
static const char *const false_words[] = {"no",    "No",  "NO",  "false", "False",
                                          "FALSE", "off", "Off", "OFF",   NULL};
static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const unsigned_words[] = {".nan", ".NaN", ".NAN", NULL};
static const char *const infinity_words[] = {".inf", ".Inf", ".INF", NULL};

/* (:[0-5]?[0-9])+ */
static bool take_base60(struct cursor *c)
{
    bool any = false;
    while (take_char(c, ":")) {
        if (!take_digits(c, 1, 2)) {
            return false;
        }
        if (c->at[-2] != ':' && c->at[-2] > '5') {
            return false;
        }
        any = true;
    }
    return any;
}

static void take_exponent(struct cursor *c)
{
    struct cursor ahead = *c;
    if (take_char(&ahead, "eE") && take_char(&ahead, "-+") && take_digits(&ahead, 1, UINT16_MAX)) {
        *c = ahead;
    }
}

static bool is_float(struct cursor c)
{
    struct cursor whole = c;
    bool sign = take_char(&c, "-+");
    if (is_one_of(c.at, (size_t)(c.end - c.at), infinity_words) ||
        is_one_of(whole.at, (size_t)(whole.end - whole.at), unsigned_words)) {
        return true;
    }
    if (!sign && take_char(&c, ".")) {
        if (!take_digits(&c, 1, 1)) {
            return false;
        }
        (void)take_all(&c, "0123456789_");
        take_exponent(&c);
        return at_end(&c);
    }
    if (!take_digits(&c, 1, 1)) {
        return false;
    }
    (void)take_all(&c, "0123456789_");
    bool base60 = take_base60(&c);
    if (!take_char(&c, ".")) {
        return false;
    }
    (void)take_all(&c, "0123456789_");
    if (!base60) {
        take_exponent(&c);
    }
    return at_end(&c);
}

static bool is_int(struct cursor c)
{
    (void)take_char(&c, "-+");
    if (take_char(&c, "0")) {
        if (at_end(&c)) {
            return true;
        }
        if (take_char(&c, "b")) {
            return take_all(&c, "01_") > 0 && at_end(&c);
        }
        if (take_char(&c, "x")) {
            return take_all(&c, "0123456789abcdefABCDEF_") > 0 && at_end(&c);
        }
        return take_all(&c, "01234567_") > 0 && at_end(&c);
    }
    if (!take_digits(&c, 1, 1)) {
        return false;
    }
    (void)take_all(&c, "0123456789_");
    return at_end(&c) || (take_base60(&c) && at_end(&c));
}

static bool take_zone(struct cursor *c)
{
    (void)take_all(c, " \t");
    if (take_char(c, "Z")) {
        return true;
    }
    if (!take_char(c, "-+") || !take_digits(c, 1, 2)) {
        return false;
    }
    return !take_char(c, ":") || take_digits(c, 2, 2);
}

static bool is_timestamp(struct cursor c)
{
    if (!take_digits(&c, 4, 4) || !take_char(&c, "-")) {
        return false;
    }
    const char *month = c.at;
    if (!take_digits(&c, 1, 2) || !take_char(&c, "-") || !take_digits(&c, 1, 2)) {
        return false;
    }
    if (at_end(&c)) {
        return c.at - month == 5; /* a date alone needs two digits in both places */
    }
    if (!take_char(&c, "Tt") && take_all(&c, " \t") == 0) {
        return false;
    }
    if (!take_digits(&c, 1, 2) || !take_char(&c, ":") || !take_digits(&c, 2, 2) ||
        !take_char(&c, ":") || !take_digits(&c, 2, 2)) {
        return false;
    }
    if (take_char(&c, ".")) {
        (void)take_digits(&c, 0, UINT16_MAX);
    }
    return at_end(&c) || (take_zone(&c) && at_end(&c));
}

enum yaml_plain yaml_plain_kind(const char *text, size_t len)
{
    struct cursor c = {.at = text, .end = text + len};
    if (is_one_of(text, len, true_words) || is_one_of(text, len, false_words)) {
        return YAML_PLAIN_BOOL;
    }
    if (is_float(c)) {
        return YAML_PLAIN_FLOAT;
    }
    if (is_int(c)) {
        return YAML_PLAIN_INT;
    }
    if (is_one_of(text, len, (const char *const[]){"<<", NULL})) {
        return YAML_PLAIN_MERGE;
    }
    if (is_one_of(text, len, null_words)) {
        return YAML_PLAIN_NULL;
    }
    if (is_timestamp(c)) {
        return YAML_PLAIN_TIMESTAMP;
    }
    if (is_one_of(text, len, (const char *const[]){"=", NULL})) {
        return YAML_PLAIN_VALUE;
    }
    return YAML_PLAIN_TEXT;
}

/* Without underscores and sign, lower case not needed: strtod and we know both. */
static bool digits_of(const char *text, size_t len, char *ret_digits, bool *ret_negative)
{
    size_t out = 0;
    *ret_negative = len > 0 && text[0] == '-';
    size_t start = len > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    for (size_t i = start; i < len; i++) {
        if (text[i] == '_') {
            continue;
        }
        if (out + 1 >= NUMBER_BYTES_MAX) {
            return false;
        }
        ret_digits[out++] = text[i];
    }
    ret_digits[out] = '\0';
    return out > 0;
}

static bool parse_magnitude(const char *digits, int base, uint64_t *ret_value)
{
    errno = 0;
    char *end = NULL;
    if (*digits == '\0') {
        return false;
    }
    uint64_t value = strtoull(digits, &end, base);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool parse_base60(char *digits, uint64_t *ret_value)
{
    uint64_t value = 0;
    char *rest = NULL;
    for (char *part = strtok_r(digits, ":", &rest); part != NULL;
         part = strtok_r(NULL, ":", &rest)) {
        uint64_t digit = 0;
        if (!parse_magnitude(part, 10, &digit) || value > (UINT64_MAX - digit) / 60) {
            return false;
        }
        value = value * 60 + digit;
    }
    *ret_value = value;
    return true;
}

static json_t *int_value(char *digits, bool negative)
{
    uint64_t value = 0;
    bool ok;
    if (strchr(digits, ':') != NULL) {
        ok = parse_base60(digits, &value);
    } else if (strncmp(digits, "0b", 2) == 0) {
        ok = parse_magnitude(digits + 2, 2, &value);
    } else if (strncmp(digits, "0x", 2) == 0) {
        ok = parse_magnitude(digits + 2, 16, &value);
    } else if (digits[0] == '0') {
        ok = parse_magnitude(digits, 8, &value);
    } else {
        ok = parse_magnitude(digits, 10, &value);
    }
    if (!ok || value > (uint64_t)INT64_MAX) {
        return NULL;
    }
    return json_integer(negative ? -(json_int_t)value : (json_int_t)value);
}

static json_t *float_value(char *digits, bool negative)
{
    double value = 0;
    char *rest = NULL;
    for (char *part = strtok_r(digits, ":", &rest); part != NULL;
         part = strtok_r(NULL, ":", &rest)) {
        char *end = NULL;
        double digit = strtod(part, &end);
        if (*end != '\0') {
            return NULL;
        }
        value = value * 60 + digit;
    }
    return isfinite(value) ? json_real(negative ? -value : value)
                           : NULL; /* JSON has no inf and nan */
}

int yaml_plain_value(enum yaml_plain kind, const char *text, size_t len, json_t **ret_value,
                     struct error *err)
{
    char digits[NUMBER_BYTES_MAX] = "";
    bool negative = false;
    json_t *value = NULL;
    switch (kind) {
    case YAML_PLAIN_NULL: value = json_null(); break;
    case YAML_PLAIN_BOOL: value = json_boolean(is_one_of(text, len, true_words)); break;
    case YAML_PLAIN_INT:
        value = digits_of(text, len, digits, &negative) ? int_value(digits, negative) : NULL;
        break;
    case YAML_PLAIN_FLOAT:
        value = digits_of(text, len, digits, &negative) ? float_value(digits, negative) : NULL;
        break;
    case YAML_PLAIN_TEXT:
    case YAML_PLAIN_TIMESTAMP:
    case YAML_PLAIN_MERGE:
    case YAML_PLAIN_VALUE:
        value = json_stringn(text, len);
        if (value == NULL) {
            return error_set(err, ERR_CORRUPT, "a text that is not UTF-8");
        }
        break;
    }
    if (value == NULL) { /* it may be a password: it is not quoted */
        return error_set(err, ERR_INVALID,
                         "a number does not fit: quote it if it is meant as text");
    }
    *ret_value = value;
    return 0;
}
