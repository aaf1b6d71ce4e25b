/* The note that a cluster was made here of which nobody knows yet. It stands from before the marker
 * of the bootstrap goes until the store names that cluster's system identifier; so a directory that
 * has the identifier of the note was made by initdb here, and was never anybody else's. */
#ifndef PGCTL_JOBS_UNANNOUNCED_H
#define PGCTL_JOBS_UNANNOUNCED_H

#include "base/err.h"

#include <stdint.h>

/* Blocking, for threads of the pool. */
int pg_unannounced_write(const char *path, uint64_t system_id, const char *data_dir,
                         struct error *err) MUST_CHECK;
/* The system identifier of the note for that directory; 0 = there is none, or it is not readable:
 * then a human has to look. */
uint64_t pg_unannounced_read(const char *path, const char *data_dir);

#endif
