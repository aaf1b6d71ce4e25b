/* What pgquorum-fence knows while it runs, and the parts that work on it. Private to the program:
 *
 *     fence_main.c     sockets, signals, the loop
 *     fence_talk.c     what the agent hears
 *     fence_phase.c    the instance: what the page says of it, its end
 *     fence_start.c    a postmaster is started
 *     fence_request.c  what the agent asks for
 *
 * One thread, no allocation, and nothing here waits. */
#ifndef PGCTL_FENCE_FENCE_CORE_H
#define PGCTL_FENCE_FENCE_CORE_H

#include "pgctl/fence/fence_child.h"
#include "pgctl/fence/fence_dog.h"
#include "pgctl/fence/fence_kill.h"
#include "pgctl/fence/fence_setup.h"
#include "pgctl/fence/fence_wire.h"

/*     IDLE --start--> UP --postmaster exits--> DRAINING --none left--> GONE --start--> UP
 *      any --deadline, kill, or DRAINING too long--> KILLING --none left--> GONE */
enum fence_phase {
    FENCE_PHASE_IDLE,
    FENCE_PHASE_UP,
    FENCE_PHASE_DRAINING,
    FENCE_PHASE_KILLING,
    FENCE_PHASE_GONE
};

/* The start under way, or the last one. */
struct fence_starting {
    int words_fd; /* fence_child_start's; -1 = none, or the child has said all */
    bool ends;    /* it said nothing, and does not run: its wait status is awaited */
    uint32_t id;  /* 0 = its client is gone */
    char program[FENCE_PATH_BYTES];
    char data_dir[FENCE_PATH_BYTES];
    char log_path[FENCE_PATH_BYTES];
};

struct fence {
    struct fence_setup setup; /* page, sockets: made once */
    int client_fd;            /* -1 = no agent */
    struct fence_starting starting;
    struct fence_lease lease; /* the last whole copy */
    struct fence_state state;
    struct fence_instance instance;
    struct fence_status status;
    struct fence_dog dog;
    int64_t dog_until_ms; /* fence_watchdog_decide's memory */
    bool client_knows_dog;
    enum fence_phase phase;
    int64_t phase_since_ms;
    int64_t next_round_ms;
    int64_t kill_at_ms; /* of a stop that the agent asked for */
    int64_t idle_since_ms;
    bool quitting;
};

/* --- fence_talk.c: an agent that does not read loses its connection, and hears the status when it
 * is back */
void fence_talk_close(struct fence *fence);
void fence_talk_answer(struct fence *fence, uint32_t id, int code, const char *text);
void fence_talk_event(struct fence *fence, enum fence_event what);
/* The answer to hello: with the page. */
void fence_talk_hello(struct fence *fence, uint32_t id);

/* --- fence_phase.c */
void fence_phase_set(struct fence *fence, enum fence_phase phase, int64_t now_ms);
void fence_phase_signal(struct fence *fence, enum fence_stop_mode mode);
void fence_phase_kill(struct fence *fence, int64_t now_ms);
void fence_phase_reap(struct fence *fence, int64_t now_ms);
/* The page first: whatever else is to be done, it comes after the deadline was looked at. */
void fence_phase_look(struct fence *fence, int64_t now_ms);
/* Moves DRAINING and KILLING on. */
void fence_phase_step(struct fence *fence, int64_t now_ms);
/* The watchdog's turn, after a look: it goes by the same copy of the page. */
void fence_phase_dog(struct fence *fence, int64_t now_ms);
/* A primary that was started by hand is no child of this fence, and the page's deadline binds it
 * all the same. */
bool fence_phase_binds_others(const struct fence *fence);

/* --- fence_start.c */
void fence_start_do(struct fence *fence, struct fence_request *request);
/* The child's words can be read. */
void fence_start_outcome(struct fence *fence);
/* After a child was reaped: a start that has waited for that is answered. */
void fence_start_ended(struct fence *fence);

/* --- fence_request.c: `request` was decoded, and the page looked at */
void fence_request_do(struct fence *fence, struct fence_request *request);

#endif
