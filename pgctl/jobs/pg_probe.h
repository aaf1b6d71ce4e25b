/* The probe: one question to the running server, over a connection that is kept. */
#ifndef PGCTL_JOBS_PG_PROBE_H
#define PGCTL_JOBS_PG_PROBE_H

#include "pgctl/pg_instance.h"

struct pg_probe;

struct pg_probe *pg_probe_new(struct pg_instance *pg);
/* The answer under way is told with ERR_CANCELED from the loop by its task. */
void pg_probe_free(struct pg_probe *probe);
/* The server is gone: the kept connection is of no use. Not inside a probe. */
void pg_probe_disconnect(struct pg_probe *probe);

#endif
