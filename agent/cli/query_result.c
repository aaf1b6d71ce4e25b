#include "agent/cli/query_result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* OIDs that have been the same since they were given (pg_type.dat). */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26 };
enum { OID_FLOAT4 = 700, OID_FLOAT8 = 701 };

static json_t *text_or_null(const char *text)
{
    json_t *cell = json_string(text);
    return cell != NULL ? cell : json_string("(no UTF-8)");
}

static json_t *number(const char *text)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? json_integer(value) : text_or_null(text);
}

/* NaN and Infinity are no numbers of JSON. */
static json_t *real(const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    json_t *cell = end != text && *end == '\0' ? json_real(value) : NULL;
    return cell != NULL ? cell : text_or_null(text);
}

static json_t *typed_cell(const char *text, unsigned type)
{
    switch (type) {
    case OID_BOOL: return json_boolean(text[0] == 't');
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID: return number(text);
    case OID_FLOAT4:
    case OID_FLOAT8: return real(text);
    default: return text_or_null(text);
    }
}

json_t *query_cell(const char *text, unsigned type, bool typed)
{
    if (typed) {
        return text == NULL ? json_null() : typed_cell(text, type);
    }
    if (text == NULL) {
        return json_string("None");
    }
    if (type == OID_BOOL) {
        return json_string(text[0] == 't' ? "True" : "False");
    }
    return text_or_null(text);
}
