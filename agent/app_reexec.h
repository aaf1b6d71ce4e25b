/* The agent's side of its program's exchange in place: what it is in the middle of, and who is
 * told. */
#ifndef AGENT_APP_REEXEC_H
#define AGENT_APP_REEXEC_H

#include "agent/reexec.h"
#include "agent/reexec_children.h"

struct agent;
struct notify;

/* Zeroed at first. */
struct app_reexec {
    struct reexec reexec;
    struct reexec_children children;
    struct agent *agent;
    struct notify *notify;
    char *identity;
    const int *lock_fd;
};

/* Before the first child is started. *lock_fd is looked at when it is needed. */
int app_reexec_open(struct app_reexec *app, struct agent *agent, struct notify *notify,
                    const int *lock_fd, struct error *err) MUST_CHECK;
/* SIGUSR2 */
void app_reexec_signal(struct app_reexec *app);
/* POST /reexec: the outcome goes to the REST server. Not 0: it is not begun. */
int app_reexec_ask(struct app_reexec *app, bool dry_run, struct error *err) MUST_CHECK;
void app_reexec_close(struct app_reexec *app);
void app_reexec_free(struct app_reexec *app);

#endif
