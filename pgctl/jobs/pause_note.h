/* The note that the cluster was paused when this node last heard of it: an agent that starts anew
 * and hears nobody leaves to the operator what it may leave. */
#ifndef PGCTL_JOBS_PAUSE_NOTE_H
#define PGCTL_JOBS_PAUSE_NOTE_H

#include "base/err.h"

#include <stdbool.h>

/* Blocking, for threads of the pool. */
int pg_pause_note_write(const char *path, bool paused, struct error *err) MUST_CHECK;
bool pg_pause_note_read(const char *path);

#endif
