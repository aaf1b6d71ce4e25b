/* LSNs as PostgreSQL prints them: two hexadecimal numbers of 32 bits. */
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <stdio.h>

/* One hexadecimal number of 1 to 8 digits; moves *cursor behind it. */
static bool take_half(const char **cursor, uint64_t *ret_half)
{
    uint64_t half = 0;
    int digits = 0;

    for (;; digits++, (*cursor)++) {
        char c = **cursor;
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned)(c - 'A') + 10;
        } else {
            break;
        }
        if (digits == 8) {
            return false;
        }
        half = half << 4 | digit;
    }
    *ret_half = half;
    return digits > 0;
}

bool pg_lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint64_t high;
    uint64_t low;

    if (text == NULL || !take_half(&text, &high) || *text++ != '/' || !take_half(&text, &low) ||
        *text != '\0') {
        return false;
    }
    *ret_lsn = high << 32 | low;
    return true;
}

const char *pg_lsn_format(uint64_t lsn, char *ret_text)
{
    (void)snprintf(ret_text, PG_LSN_BYTES, "%" PRIX64 "/%" PRIX64, lsn >> 32, lsn & UINT32_MAX);
    return ret_text;
}
