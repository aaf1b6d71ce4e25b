/* PURE. Lines of pg_hba.conf and pg_ident.conf, as PostgreSQL 13 to 17 read them. A server that
 * runs keeps its old rules when it cannot read a line of the new ones; one that starts does not
 * start. So a line is looked at before it is written. */
#ifndef PGCTL_PG_HBA_H
#define PGCTL_PG_HBA_H

#include "base/err.h"

#include <stdbool.h>

/* `everywhere`: the line is for all members, so what depends on the files of one of them is
 * refused, too: included files. A pattern is never compiled: its brackets are paired, that is all.
 * An empty line, or a comment, is right. What is told has no option's value in it. */
int pg_hba_line_check(const char *line, bool everywhere, struct error *err) MUST_CHECK;
int pg_ident_line_check(const char *line, bool everywhere, struct error *err) MUST_CHECK;

#endif
