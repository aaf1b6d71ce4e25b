/* Query strings, decoded one value at a time. PURE. */
#include "base/net/http_query.h"

#include <string.h>

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool http_query_get(const char *query, const char *name, char *ret_value, size_t size)
{
    size_t name_len = strlen(name);
    while (*query != '\0') {
        size_t part = strcspn(query, "&");
        if (part > name_len + 1 && strncmp(query, name, name_len) == 0 && query[name_len] == '=') {
            size_t len = 0;
            for (size_t i = name_len + 1; i < part; i++) {
                char c = query[i] == '+' ? ' ' : query[i];
                if (c == '%' && i + 2 < part && hex_of(query[i + 1]) >= 0 &&
                    hex_of(query[i + 2]) >= 0) {
                    c = (char)(hex_of(query[i + 1]) * 16 + hex_of(query[i + 2]));
                    i += 2;
                }
                if (c == '\0' || len + 1 >= size) {
                    return false;
                }
                ret_value[len++] = c;
            }
            ret_value[len] = '\0';
            return true;
        }
        query += part + (query[part] == '&');
    }
    return false;
}
