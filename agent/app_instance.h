/* Which agent of its name this one is: a random number that is made with the state directory and
 * stays in its file `instance`. Another agent of the same name, on another host or with a directory
 * of its own, has another one; the same agent has it again after a restart. */
#ifndef AGENT_APP_INSTANCE_H
#define AGENT_APP_INSTANCE_H

#include "agent/ha/ha_snapshot.h"
#include "base/err.h"
#include "base/random.h"

/* Reads it, or makes it where there is none (synced before this returns). A file that says
 * something else is refused, by name: made anew, it would be that of an agent that nobody knows.
 * `ret_instance` gets 16 hex digits. */
int app_instance_open(const char *state_dir, const struct random *random,
                      char ret_instance[HA_INSTANCE_BYTES], struct error *err) MUST_CHECK;

#endif
