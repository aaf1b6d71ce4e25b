/* The program, exchanged in place: SIGUSR2, or POST /reexec. The pid stays, PostgreSQL and the
 * fence run on, and nobody notices more than that REST and the Raft port are closed for a moment.
 *
 *   IDLE -> CHECKING -> WAITING -> HANDING_OVER -> RENEWING -> LEAVING -> (the new program)
 *
 * From each state it goes back to IDLE, with the reason told, and then all is as it was: nothing
 * is closed before the new program runs. */
#ifndef AGENT_REEXEC_H
#define AGENT_REEXEC_H

#include "agent/reexec_check.h"
#include "agent/reexec_exec.h"
#include "base/clock.h"
#include "raft/node.h"

#include <stdbool.h>
#include <uv.h>

#define REEXEC_WAIT_MS 30000 /* for what stands in the way, after the check */
#define REEXEC_LOOK_MS 20
#define REEXEC_LAST_MS 50 /* for the last answers to leave */

enum reexec_state {
    REEXEC_IDLE,
    REEXEC_CHECKING,     /* the new program is asked whether it would start */
    REEXEC_WAITING,      /* for what the agent is in the middle of */
    REEXEC_HANDING_OVER, /* Raft leadership, if there is somebody to take it */
    REEXEC_RENEWING,     /* the lease, if it is ours */
    REEXEC_LEAVING,      /* all is told */
    REEXEC_STATES
};

struct reexec_ports {
    const struct clock *clock;
    const char *identity; /* these two outlive it: see reexec_program.h */
    const char *const *taken;
    /* Why not now; NULL = it may be. See reexec_hindrance. */
    const char *(*hindrance)(void *arg, bool leaving);
    struct raft_node *(*node)(void *arg);  /* NULL = there is no group */
    int (*handover_ms)(void *arg);         /* what handing over may take */
    int (*lock_fd)(void *arg);             /* -1 = none */
    void (*leaving)(void *arg, bool does); /* the program ends now; false: it does not after all */
    /* Once for each that was asked for: 0; ERR_REFUSED: the new program would not start; ERR_BUSY;
     * ERR_CANCELED. `text` is for people. */
    void (*told)(void *arg, int rc, const char *text);
    void *arg;
};

struct reexec {
    struct reexec_ports ports;
    struct reexec_program program;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t work;
    unsigned state; /* enum reexec_state */
    bool open;
    bool dry_run;
    bool answered;
    int64_t until_ms;
    const char *waits_for;    /* as it was told last */
    raft_done after_handover; /* for who has to hand over, too */
    void *after_arg;
    /* Of the thread, while it runs. */
    atomic_bool cancel;
    int rc;
    char version[REEXEC_VERSION_BYTES];
    struct error err;
};

/* At the start of the process. */
int reexec_open(struct reexec *reexec, uv_loop_t *loop, const struct reexec_ports *ports,
                struct error *err) MUST_CHECK;
/* With `dry_run` it is told whether it would be done, and nothing is. ERR_BUSY: one is under way.
 */
int reexec_ask(struct reexec *reexec, const char *by, bool dry_run, struct error *err) MUST_CHECK;
/* The end of the process has begun: nothing is exchanged any more. The loop turns on until the
 * timer is closed and the check has ended. */
void reexec_close(struct reexec *reexec);
/* True: Raft leadership is being handed over, and `done` comes at the end of that. */
bool reexec_hands_over(struct reexec *reexec, raft_done done, void *arg);
/* When the loop has ended. */
void reexec_free(struct reexec *reexec);

#endif
