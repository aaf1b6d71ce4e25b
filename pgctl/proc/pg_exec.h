/* Wrapper through which children are run: "<program> --pg-exec <pid of the agent> <program>
 * <arguments>". */
#ifndef PGCTL_PROC_PG_EXEC_H
#define PGCTL_PROC_PG_EXEC_H

#define PG_EXEC_FLAG "--pg-exec"
/* The same for a command of the operator: the wrapper stays as its parent, and whatever is left in
 * its process group dies with the agent, too. */
#define PG_GROUP_FLAG "--pg-group"

#endif
