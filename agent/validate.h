/* `pgquorum --validate-config`: all that is wrong with a configuration on this host. */
#ifndef AGENT_VALIDATE_H
#define AGENT_VALIDATE_H

#include <stdbool.h>

struct validate_options {
    const char *path;         /* NULL: the environment alone */
    bool ignore_listen_ports; /* they may be in use: by the agent that runs already */
    bool print;               /* what was read, without secrets, if it is right */
};

/* 0, or 1 with one line for each fault on standard error. Warnings go there, too. Waits: never on a
 * running loop. */
int validate_run(const struct validate_options *options);

#endif
