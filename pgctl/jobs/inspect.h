/* The look at a data directory, as a part of other jobs. */
#ifndef PGCTL_JOBS_INSPECT_H
#define PGCTL_JOBS_INSPECT_H

#include "pgctl/jobs/conf_files.h"
#include "pgctl/jobs/pg_task.h"
#include "pgctl/pg_parse.h"

enum pg_look_state { PG_LOOK_FILES, PG_LOOK_CONTROL, PG_LOOK_READ };

struct pg_look {
    enum pg_look_state state;
    const char *data_dir; /* the instance's, which outlives its tasks */
    const char *marker_path;
    const char *service_path;
    const char *unannounced_path;
    const char *pause_note_path;
    const struct pg_conf_files *places;
    struct pg_inspection found;
    struct pg_pidfile pidfile; /* of what runs there */
};

void pg_look_begin(struct pg_look *look, const struct pg_instance *pg);
/* True when `look->found` is complete; else a sub-operation has begun, call again in the next step.
 */
bool pg_look_step(struct pg_task *task, struct pg_look *look);

#endif
