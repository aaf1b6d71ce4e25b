/* Entry of the program. What has to happen before anything else: becoming the wrapper of a child
 * when executed as one, and settings of the process that libraries read at their first use. */
#include "agent/cli/cli.h"
#include "pgctl/pg_disk.h"
#include "pgctl/pg_instance.h"

#include <signal.h>
#include <stdlib.h>

/* Name lookups and file operations of libuv share these threads; four hung lookups must not stop
 * the rest. */
#define THREADPOOL_SIZE "8"

int main(int argc, char **argv)
{
    pg_exec_main(argc, argv);
    pg_disk_main(argc, argv);
    if (!cli_is_client_of_postgresql(argc, argv)) {
        pg_env_clear();
    }
    (void)setenv("UV_THREADPOOL_SIZE", THREADPOOL_SIZE, 0);
    (void)signal(SIGPIPE,
                 SIG_IGN); /* a peer that went away is an error of its write, not our end */
    return cli_main(argc, argv);
}
