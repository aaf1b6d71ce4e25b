/* Would another program start in our place? Asked before it is executed there, since afterwards
 * nobody is left to say so. The program itself says which release it is, and then goes the way of a
 * start with the same arguments and environment, up to where it would take the node's lock, and
 * looks whether it would be the same one still (agent/config/config_identity.h). */
#ifndef AGENT_REEXEC_CHECK_H
#define AGENT_REEXEC_CHECK_H

#include "agent/reexec_program.h"

#include <stdatomic.h>
#include <stdbool.h>

#define REEXEC_VERSION_BYTES 32
#define REEXEC_VERSION_MS    5000  /* until it has said which release it is */
#define REEXEC_START_MS      15000 /* and until it has read its configuration */

/* In the environment of who is only asked: `1`. */
#define REEXEC_ENV_CHECK "PGQUORUM_CHECK_START"
/* True: this process is to check that it could start, and to end with 0 then. */
bool reexec_check_asked(void);
/* And then: the config_identity of what runs. */
#define REEXEC_ENV_RUNNING "PGQUORUM_CHECK_RUNNING"
/* NULL = nothing was said of it. */
const char *reexec_check_running(void);

/* Blocks, up to both times together: on a thread. When *cancel becomes true it ends soon.
 * ERR_REFUSED: it does not start, or not with this configuration; `err` has its own words.
 * ERR_CANCELED. */
int reexec_check(const struct reexec_program *program, const atomic_bool *cancel,
                 char ret_version[REEXEC_VERSION_BYTES], struct error *err) MUST_CHECK;

#endif
