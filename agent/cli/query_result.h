/* PURE. What SQL gave -> cells of a table: JSON and YAML get numbers, truth values and null as
 * such, the other forms the words that patronictl has for them. */
#ifndef AGENT_CLI_QUERY_RESULT_H
#define AGENT_CLI_QUERY_RESULT_H

#include <jansson.h>
#include <stdbool.h>

/* `text`: as PostgreSQL sent it, NULL = null; `type`: the type's OID. A new reference. */
json_t *query_cell(const char *text, unsigned type, bool typed);

#endif
