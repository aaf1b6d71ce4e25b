/* Ways of the operator's to fill the data directory. */
#ifndef PGCTL_JOBS_METHOD_H
#define PGCTL_JOBS_METHOD_H

#include "pgctl/jobs/command.h"

struct pg_method pg_method_dup(const struct pg_method *method); /* NULL: without words */
void pg_method_free(struct pg_method *method);

/* Words for a data directory that the command has left and that cannot be used. */
const char *pg_method_fault(enum pg_dir_kind kind);
/* Its command, which is not late before the task is. `what` goes before the name. */
struct pg_command pg_method_command(const struct pg_method *method, const char *what);
/* Runs that, with `own` options and then the method's. */
void pg_task_method(struct pg_task *task, const struct pg_method *method,
                    const struct pg_command *command, const struct pg_lines *own, char *const *env);

#endif
