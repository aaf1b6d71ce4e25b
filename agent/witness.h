/* A member of the Raft group that votes, and does nothing else: no PostgreSQL, no lease, no fence.
 * With `etcd_server` it serves etcd's API from its copy of the store, with `restapi` it answers
 * /liveness and /metrics. */
#ifndef AGENT_WITNESS_H
#define AGENT_WITNESS_H

/* Runs until SIGTERM or SIGINT, which hand Raft leadership over first. Returns the exit status: 0
 * after an orderly end; 1 when it could not start, with the reason in the log. Only asked whether
 * it would start (agent/reexec_check.h), it does no more than that. */
int witness_run(const char *path);

#endif
