/* The agent as a program: everything is made here, started in order, and taken down in order. */
#ifndef AGENT_APP_H
#define AGENT_APP_H

/* Runs the agent on the configuration file until it is told to end (SIGTERM, SIGINT). Returns the
 * exit status: 0 after an orderly end; 1 when it could not start or go on, with the reason in the
 * log. Only asked whether it would start (agent/reexec_check.h), it does no more than that. */
int agent_run(const char *path);

#endif
