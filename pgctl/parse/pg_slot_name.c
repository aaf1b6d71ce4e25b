/* Member name to slot name: Patroni's rule, since both work with each other's slots. */
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One code point of UTF-8; a byte that begins none stands for itself. */
static uint32_t take_code_point(const unsigned char **cursor)
{
    const unsigned char *c = *cursor;
    int more = c[0] >= 0xF0 ? 3 : c[0] >= 0xE0 ? 2 : c[0] >= 0xC0 ? 1 : 0;
    uint32_t point = more == 3   ? c[0] & 0x07U
                     : more == 2 ? c[0] & 0x0FU
                     : more == 1 ? c[0] & 0x1FU
                                 : c[0];

    for (int i = 1; i <= more; i++) {
        if ((c[i] & 0xC0) != 0x80) {
            *cursor = c + 1;
            return c[0];
        }
        point = point << 6 | (c[i] & 0x3FU);
    }
    *cursor = c + 1 + more;
    return point;
}

void pg_slot_name(const char *member, char *ret_name)
{
    const unsigned char *cursor = (const unsigned char *)member;
    char name[PG_NAME_BYTES + 16];
    size_t len = 0;

    while (*cursor != '\0' && len < PG_NAME_BYTES) {
        uint32_t point = take_code_point(&cursor);
        if (point >= 'A' && point <= 'Z') {
            name[len++] = (char)(point - 'A' + 'a');
        } else if ((point >= 'a' && point <= 'z') || (point >= '0' && point <= '9') ||
                   point == '_') {
            name[len++] = (char)point;
        } else if (point == '-' || point == '.') {
            name[len++] = '_';
        } else {
            len += (size_t)snprintf(name + len, sizeof name - len, "u%04" PRIu32, point);
        }
    }
    len = len < PG_NAME_BYTES ? len : PG_NAME_BYTES - 1;
    memcpy(ret_name, name, len);
    ret_name[len] = '\0';
}
