/* PURE. The cluster document as the table of `list` and `topology`. */
#ifndef AGENT_CLI_MEMBERS_TABLE_H
#define AGENT_CLI_MEMBERS_TABLE_H

#include "agent/cli/cli_table.h"

struct members_print {
    const char *cluster;    /* its name */
    const char *initialize; /* value of the key; NULL = absent */
    bool citus;             /* this is one group of it, `group` */
    long group;
    bool extended; /* all columns */
    bool topology; /* as a tree */
    enum cli_format format;
};

/* `doc` as cluster_doc makes it. Appends the table and, in a pretty one, the lines below it
 * (maintenance mode, a scheduled switchover). */
int members_table_print(const json_t *doc, const struct members_print *print, struct buf *out,
                        struct error *err) MUST_CHECK;

#endif
