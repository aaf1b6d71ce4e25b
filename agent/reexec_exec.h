/* The program in our place. The pid stays, with it what a service manager watches, and so do our
 * children (agent/reexec_children.h). */
#ifndef AGENT_REEXEC_EXEC_H
#define AGENT_REEXEC_EXEC_H

#include "agent/reexec_program.h"

/* Returns only if it failed; then all is as before. `lock_fd` (fence_lock_agent; -1 = none) goes
 * over without a moment in which nobody has the lock, everything else that is open is closed.
 * Signals that come meanwhile wait until the new program has handlers (agent/reexec_signals.h). */
int reexec_exec(const struct reexec_program *program, int lock_fd, struct error *err) MUST_CHECK;

#endif
