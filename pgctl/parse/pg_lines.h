/* Lines of a text that comes from outside. */
#ifndef PGCTL_PARSE_PG_LINES_H
#define PGCTL_PARSE_PG_LINES_H

#include "base/span.h"

#define PG_LINE_BYTES 1024

/* Takes the first line from *text, without its end, spaces at both ends removed, cut at
 * PG_LINE_BYTES - 1, into `ret_line`. A zero byte ends the line's text. False when nothing is left.
 */
bool pg_lines_next(struct span *text, char *ret_line);

#endif
