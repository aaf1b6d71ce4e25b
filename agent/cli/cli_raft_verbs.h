/* What `raft` does beside its status. */
#ifndef AGENT_CLI_CLI_RAFT_VERBS_H
#define AGENT_CLI_CLI_RAFT_VERBS_H

#include "agent/cli/cli_table.h"
#include "agent/cli/cli_verbs.h"

/* Exit statuses. */
int cli_raft_members(struct cli *cli, enum cli_format format);
/* `name`: of a member, or its id in 16 hexadecimal digits. */
int cli_raft_remove(struct cli *cli, const char *name, bool force, bool dry_run);
int cli_raft_recover(struct cli *cli, bool dry_run);

#endif
