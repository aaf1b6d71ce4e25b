/* The command line: what `pgquorum` does with its arguments. As `patronictl` where there is a verb
 * of that name: flags, prompts, output, exit status (0 done; also when a member's REST interface
 * answered with a failure, which is printed; 1 refused, declined, or an error on standard error; 2
 * wrong usage). */
#ifndef AGENT_CLI_CLI_H
#define AGENT_CLI_CLI_H

#include <stdbool.h>

/* Returns the exit status. Called as `patroni` it is the agent, as `patronictl` only the verbs. */
int cli_main(int argc, char **argv);

/* The command is one in which libpq is the user's own: query. PGPASSWORD and the like are for it.
 */
bool cli_is_client_of_postgresql(int argc, char **argv);

#endif
