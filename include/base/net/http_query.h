/* Query strings of URLs. PURE. */
#ifndef BASE_NET_HTTP_QUERY_H
#define BASE_NET_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>

/* First value of `name` in "a=b&c=d" that is not blank, decoded into `ret_value`; false if there is
 * none, or if it is longer than `size` or holds a zero byte (%00). `ret_value` then is undefined.
 */
bool http_query_get(const char *query, const char *name, char *ret_value, size_t size);

#endif
