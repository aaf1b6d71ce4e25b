/* What is asked for by options alone, as of Patroni: --validate-config, --generate-config and
 * --generate-sample-config. */
#ifndef AGENT_CLI_CLI_SETUP_H
#define AGENT_CLI_CLI_SETUP_H

#include <stdbool.h>

/* One of the three stands among the arguments, before any "--". */
bool cli_setup_asked(int argc, char **argv);

/* Exit status, CLI_... */
int cli_setup(int argc, char **argv);

#endif
