/* PURE. UTF-8 (RFC 3629) of texts that end with a terminator. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length of the well-formed character at `text`; 0 if there is none. Nothing is read beyond a
 * terminator. */
size_t utf8_char_len(const unsigned char *text);

/* Makes well-formed what was cut within a character, or is of another encoding: each byte that
 * belongs to no character becomes '?'. The length stays. */
void utf8_clean(char *text);

#endif
