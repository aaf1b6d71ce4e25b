/* Wrapper through which children are run: "<program> --pg-exec <pid of the agent> <path>
 * <arguments>". */
#ifndef PGCTL_PROC_PG_EXEC_H
#define PGCTL_PROC_PG_EXEC_H

#define PG_EXEC_FLAG "--pg-exec"

#endif
