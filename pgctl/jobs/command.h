/* A command of the operator as a sub-operation of a task: with an environment and a time limit of
 * its own, and told to the instance's on_command however it ends. */
#ifndef PGCTL_JOBS_COMMAND_H
#define PGCTL_JOBS_COMMAND_H

#include "pgctl/jobs/pg_task.h"

/* A copy; the caller's may be NULL, and then it has no words. */
struct pg_command pg_command_dup(const struct pg_command *command);
void pg_command_free(struct pg_command *command);
bool pg_command_given(const struct pg_command *command);

extern const struct pg_lines pg_command_no_words;
/* Runs it with `more` words behind its own. `command` has to live as long as the task. `env`: NULL
 * = nothing of ours in it. */
void pg_task_command(struct pg_task *task, const struct pg_command *command,
                     const struct pg_lines *more, char *const *env);
/* The child of a task has ended, and was such a command. */
void pg_command_tell(struct pg_task *task, int rc, const struct error *err);

#endif
