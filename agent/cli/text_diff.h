/* PURE. Unified difference of two texts, three lines of context. */
#ifndef AGENT_CLI_TEXT_DIFF_H
#define AGENT_CLI_TEXT_DIFF_H

#include "base/buf.h"

#define TEXT_DIFF_LINES_MAX 2000 /* of each side; longer texts are shown as replaced whole */

/* Appends "--- \n+++ \n" and the hunks; nothing if the texts are equal. */
void text_diff(const char *before, const char *after, struct buf *out);

#endif
