/* One line after the other, trimmed. */
#include "pgctl/parse/pg_lines.h"

#include <string.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool pg_lines_next(struct span *text, char *ret_line)
{
    if (text->len == 0) {
        return false;
    }
    const uint8_t *newline = memchr(text->data, '\n', text->len);
    size_t len = newline == NULL ? text->len : (size_t)(newline - text->data);
    const uint8_t *start = text->data;
    size_t taken = newline == NULL ? len : len + 1;

    text->data += taken;
    text->len -= taken;
    while (len > 0 && is_blank(start[0])) {
        start++;
        len--;
    }
    while (len > 0 && is_blank(start[len - 1])) {
        len--;
    }
    if (len > PG_LINE_BYTES - 1) {
        len = PG_LINE_BYTES - 1;
    }
    if (len > 0) {
        memcpy(ret_line, start, len);
    }
    ret_line[len] = '\0';
    return true;
}
