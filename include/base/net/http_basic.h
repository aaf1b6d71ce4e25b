/* HTTP's basic authentication (RFC 7617). */
#ifndef BASE_NET_HTTP_BASIC_H
#define BASE_NET_HTTP_BASIC_H

#include "base/span.h"

#include <stdbool.h>

/* What a client sends for these two: base64 of "user:password". Free with mem_free. */
char *http_basic_encode(const char *user, const char *password);
/* Whether `header`, the value of Authorization (data NULL: there is none), bears exactly these
 * credentials. Takes as long whatever of them is wrong. */
bool http_basic_matches(struct span header, const char *credentials);

#endif
