/* PURE. Rows -> text, in patronictl's four forms: a table with its title in the first rule, tab
 * separated, JSON on one line, YAML. */
#ifndef AGENT_CLI_CLI_TABLE_H
#define AGENT_CLI_CLI_TABLE_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

enum cli_format { CLI_PRETTY, CLI_TSV, CLI_JSON, CLI_YAML };

/* "pretty", "tsv", "json", "yaml" or "yml". */
bool cli_format_parse(const char *text, enum cli_format *ret_format);

struct cli_column {
    const char *key;   /* in JSON, YAML and the header of TSV */
    const char *title; /* over a pretty column */
    bool right;
    bool not_pretty; /* left out of the table */
};

struct cli_table {
    const struct cli_column *columns;
    size_t column_count;
    json_t
        *rows; /* array of arrays; a cell is a text, a number, null, or an object (shown as YAML) */
    const char *title;     /* " Cluster: x (1) "; NULL = none */
    bool omit_empty;       /* JSON, YAML: leave keys out whose value is empty */
    const char *delimiter; /* of tsv; NULL = a tab */
    bool no_header;        /* in tsv */
    bool flow;             /* objects in a pretty table on one line, not as a block */
};

/* Appends the text with its last line end. */
int cli_table_print(const struct cli_table *table, enum cli_format format, struct buf *out,
                    struct error *err) MUST_CHECK;

#endif
