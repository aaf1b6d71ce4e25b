/* The fence: a process of its own (pgquorum-fence) that is the parent of the postmaster and ends
 * the instance when the lease that allows it to write has run out, whatever has become of the agent
 * (docs/consensus.md).
 *
 * Agent and fence share a page in memory: the agent writes how long the instance may run, the fence
 * reads it and does nothing else with it. They talk over a socket about everything else: start,
 * stop, kill, status. Both outlive each other: the fence keeps the instance within the page's
 * deadlines when the agent is gone, and a new agent that connects gets the same page back.
 *
 * Three parts: the page and the decision (PURE; the simulator links them), the client for the
 * agent's loop, and the files of the runtime directory. */
#ifndef PGCTL_FENCE_H
#define PGCTL_FENCE_H

#include "base/err.h"
#include "pgctl/pg_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;

/* --- the page --------------------------------------------------------------------------------- */

#define FENCE_PAGE_BYTES   4096
#define FENCE_PAGE_VERSION 1
#define FENCE_NO_DEADLINE  INT64_MAX
#define FENCE_OVER                                                                \
    INT64_MIN /* as `deadline_ms`: the epoch has ended, as if the fence had fired \
               */

struct fence_epoch {
    uint64_t cluster;
    int64_t revision; /* 0 = no epoch: the instance is a standby or not running */
};

static inline bool fence_epoch_equal(struct fence_epoch a, struct fence_epoch b)
{
    return a.cluster == b.cluster && a.revision == b.revision;
}

/* What the page says. Deadlines are absolute, on the lease clock of this host (base/clock.h), so
 * that a write that comes late harms nobody. Standby: all zero but the three FENCE_NO_DEADLINE
 * (fence_lease_standby). An epoch without deadlines is a paused primary. */
struct fence_lease {
    struct fence_epoch epoch;
    int64_t soft_ms; /* from here on: fast shutdown, and no new commits where the guard module is
                        loaded */
    int64_t deadline_ms; /* from here on: every process of the instance is killed */
    int64_t watchdog_ms; /* before this moment the watchdog device has to fire, if it fires at all;
                            FENCE_NO_DEADLINE = at any time */
};

struct fence_page; /* the shared mapping: FENCE_PAGE_BYTES, fence_page.c knows its layout */

struct fence_lease fence_lease_standby(void);
/* True if the lease has an epoch and a deadline: the fence will kill for it. */
bool fence_lease_armed(const struct fence_lease *lease);
/* An epoch without a deadline: in pause. */
bool fence_lease_open(const struct fence_lease *lease);

/* Makes zeroed memory of FENCE_PAGE_BYTES a page that says standby. */
void fence_page_init(struct fence_page *page);
/* One writer at a time. Two copies and a sequence number: a writer that dies inside a write leaves
 * the copy before it in force. Plain stores, no system call: never fails, never blocks. */
void fence_page_write(struct fence_page *page, const struct fence_lease *lease);
/* The copy in force. False, and nothing is changed, if the layout is not ours or a whole copy could
 * not be had in FENCE_PAGE_TRIES_MAX tries (a writer that never rests): the caller goes on with
 * what it read last. */
#define FENCE_PAGE_TRIES_MAX 100
bool fence_page_read(const struct fence_page *page, struct fence_lease *ret_lease);

/* --- the decision (PURE) ---------------------------------------------------------------------- */

enum fence_action {
    FENCE_NONE,
    FENCE_SOFT_STOP, /* ask the postmaster for a fast shutdown; answered once per epoch */
    FENCE_KILL, /* kill every process; answered again and again while the page names a fired epoch
                 */
};

struct fence_state { /* zeroed at start */
    struct fence_epoch
        fired; /* last epoch that was killed; it and older ones of its cluster are over for ever */
    struct fence_epoch stopped; /* last epoch whose soft stop was answered */
};

/* True if nothing may run for this epoch any more. */
bool fence_epoch_over(const struct fence_state *state, struct fence_epoch epoch);
/* `state` remembers what was answered. After FENCE_KILL no deadline revives that epoch: only a new
 * one, or the standby page, ends the answer FENCE_KILL. */
enum fence_action fence_decide(const struct fence_lease *lease, int64_t now_ms,
                               struct fence_state *state);
/* How long to sleep before looking again: half of what remains, at least FENCE_WAIT_MIN_MS, at most
 * FENCE_WAIT_MAX_MS (the page can change without notice). */
#define FENCE_WAIT_MIN_MS 5
#define FENCE_WAIT_MAX_MS 100
int64_t fence_wait_ms(const struct fence_lease *lease, int64_t now_ms,
                      const struct fence_state *state);

/* Neither agent nor instance for so long: the fence ends, and the next agent starts a new one. Not
 * with an open page, which nobody could make again: it is kept for what is started by hand, and for
 * the agent that comes to see it. */
#define FENCE_IDLE_MS 30000
bool fence_idle_ends(const struct fence_lease *lease, int64_t idle_ms);

/* --- the watchdog device: what is to be done with it (PURE) ----------------------------------- */

/* Lowers the deadlines of an armed lease so that the device does not fire at a fence that does its
 * work. The agent has done the same; one of a release before does not know of the device. 0 =
 * there is none. */
void fence_watchdog_clamp(struct fence_lease *lease, int64_t timeout_ms);

enum fence_watchdog_step {
    FENCE_WATCHDOG_DISARM, /* nothing of the instance may write, or it may without a deadline */
    FENCE_WATCHDOG_PET,    /* arm it, or pet it */
    FENCE_WATCHDOG_LEAVE,  /* it is to fire, unless the instance is gone before */
};

/* `over`: the lease's epoch is (fence_epoch_over). `empty`: a look found no process of the
 * instance, and none was started since. *until_ms is the caller's memory: the watchdog deadline of
 * the last page that was armed.
 *
 * It is petted only while now + 2 timeouts <= that deadline: whoever is stopped between this look
 * and the petting comes to it before the device fires, one timeout later at most, and it fires one
 * timeout after that. */
enum fence_watchdog_step fence_watchdog_decide(const struct fence_lease *lease, bool over,
                                               bool empty, int64_t timeout_ms, int64_t now_ms,
                                               int64_t *until_ms);

/* --- the client, on the agent's loop ---------------------------------------------------------- */

enum fence_kill_way {
    FENCE_KILL_AUTO,   /* a cgroup of its own where one can be made, else the loop */
    FENCE_KILL_CGROUP, /* refuse to start without one */
    FENCE_KILL_LOOP, /* SIGSTOP the postmaster, SIGKILL every other process, repeat, the postmaster
                        last */
};

enum fence_stop_mode { FENCE_STOP_SMART, FENCE_STOP_FAST, FENCE_STOP_IMMEDIATE };

#define FENCE_PATH_BYTES  1024
#define FENCE_ARGS_MAX    64
#define FENCE_ENV_MAX     256
#define FENCE_MESSAGE_MAX 65536 /* a start request with all its strings */
#define FENCE_PENDING_MAX 16    /* requests without an answer; beyond it ERR_LIMIT */
/* In the postmaster's environment: number of an inherited, read-only descriptor of the page. */
#define FENCE_ENV_PAGE_FD "PGQUORUM_FENCE_PAGE_FD"

struct fence_start {
    const char *data_dir; /* working directory of every process of the instance */
    const char
        *log_path; /* postmaster's stdout and stderr are appended here; NULL = the fence's own */
    const char *const *argv; /* argv[0] = path of postgres; ends with NULL */
    const char *const *env; /* the whole environment; ends with NULL. PGSERVICEFILE belongs in it */
    enum fence_kill_way kill_way;
};

enum fence_watchdog_state {
    FENCE_WATCHDOG_NONE,    /* nobody has asked for one, or the fence knows of none */
    FENCE_WATCHDOG_READY,   /* the device is there and may be opened; it does not run */
    FENCE_WATCHDOG_PENDING, /* being looked at, or armed */
    FENCE_WATCHDOG_ARMED,   /* it fires if it is not petted */
    FENCE_WATCHDOG_FAILED,  /* `watchdog_why` */
};

#define FENCE_WATCHDOG_WHY_BYTES 160

#define FENCE_QUERY_MS           1000
#define FENCE_SILENT_MS          2000 /* it answers at once; one that is stopped, or hangs, does not */

struct fence_status {
    int32_t fence_pid;
    int32_t postmaster_pid; /* 0 = none was started, or it was reaped */
    bool running;  /* the postmaster runs (or is stopped by a signal), it is not a zombie */
    bool exited;   /* a postmaster was started and has exited: wait_status holds */
    bool killing;  /* a kill is under way: not everything is gone yet */
    bool all_gone; /* a look at every process found none of the instance, and the fence has started
                      none since; it does not know when one that was adopted ends */
    bool starting; /* the client's: a start was sent, and no answer has come since; `all_gone` is
                      false meanwhile, also when its time is over: the fence may stand still */
    bool silent; /* the client's: it has been asked and has not answered for FENCE_SILENT_MS; it is
                    asked every FENCE_QUERY_MS when nothing else is */
    bool by_cgroup;      /* the instance has its cgroup */
    bool memory_locked;  /* mlockall worked */
    bool real_time;      /* SCHED_FIFO worked */
    bool oom_protected;  /* oom_score_adj -1000 worked */
    int32_t wait_status; /* as waitpid gives it */
    uint32_t starts;     /* how many postmasters this fence has started */
    int64_t kill_ms; /* how long the last complete kill took, from its decision; -1 = none yet */
    struct fence_epoch fired;
    struct fence_epoch stopped;
    enum fence_watchdog_state watchdog;
    int64_t watchdog_timeout_ms; /* that the device has, while it is open; else 0 */
    char watchdog_why[FENCE_WATCHDOG_WHY_BYTES];
};

enum fence_event {
    FENCE_EVENT_POSTMASTER_EXITED, /* the rest of the instance is ended by the fence, and then: */
    FENCE_EVENT_ALL_GONE,          /* no process of the instance is left */
    FENCE_EVENT_SOFT_STOP,         /* the soft deadline passed, fast shutdown was asked for */
    FENCE_EVENT_FIRED,             /* the deadline passed, the kill has begun */
    FENCE_EVENT_WATCHDOG,          /* the status says something else of it */
    FENCE_EVENT_LOST, /* the fence is gone, and with it the postmaster: connect anew, then kill */
    FENCE_EVENT_SILENCE, /* it stands still, or answers again: the status says it */
};

struct fence_client;

typedef void (*fence_event_cb)(void *arg, enum fence_event event,
                               const struct fence_status *status);
/* rc 0 and the status after the request was taken; ERR_REFUSED, ERR_BUSY ...: `err` says why;
 * ERR_CLOSED: the fence is gone; ERR_CANCELED: fence_client_free. Once per request, never inside
 * the call that asked. */
typedef void (*fence_done_cb)(void *arg, int rc, const struct fence_status *status,
                              const struct error *err);

struct fence_client_config {
    const char *runtime_dir; /* fence_runtime_prepare has accepted it */
    const char *fence_path;  /* path of pgquorum-fence */
    fence_event_cb on_event;
    void *arg;
};

/* Connects to the fence that runs in the runtime directory, or starts one (detached: it outlives
 * the agent). `done` comes when page and status are here (fence_client_page works from then on); on
 * failure the client is still to be freed. Strings are copied. */
int fence_client_connect(struct uv_loop_s *loop, const struct fence_client_config *config,
                         fence_done_cb done, void *arg, struct fence_client **ret_client,
                         struct error *err) MUST_CHECK;
/* Ends pending requests with ERR_CANCELED (callbacks come from the loop), leaves fence and instance
 * as they are. NULL is accepted. `freed` (may be NULL) is called when the loop holds nothing of it
 * any more. The page is unmapped at once. */
void fence_client_free(struct fence_client *client, void (*freed)(void *arg), void *arg);

/* True if connect found a fence that was running already. */
bool fence_client_found_running(const struct fence_client *client);
/* Owned by the client; NULL before connected. Stays mapped after FENCE_EVENT_LOST, but nobody reads
 * it then. */
struct fence_page *fence_client_page(const struct fence_client *client);
/* The last status heard; zeroed before connected. */
const struct fence_status *fence_client_status(const struct fence_client *client);
/* False from FENCE_EVENT_LOST on: every request fails with ERR_CLOSED. */
bool fence_client_connected(const struct fence_client *client);

/* Refused (ERR_REFUSED) if the page names an epoch that is over, or another one than now, or if it
 * is read when its caller has had ERR_TIMEOUT, or is about to: a start that is carried out late
 * (the fence was stopped, and the agent has gone on without an answer) may not run under a page
 * that was written for something else, nor in a directory that is being rewound. From now on and
 * until an answer to this or to a later request the status says `starting`. ERR_BUSY while a
 * process of the instance is left (fence_client_kill ends those). ERR_IO: fork or exec failed;
 * `err` has the reason. */
int fence_client_start(struct fence_client *client, const struct fence_start *start,
                       fence_done_cb done, void *arg, struct error *err) MUST_CHECK;
/* Answered when the signal was sent; the end comes as events. `kill_at_ms` (lease clock, or
 * FENCE_NO_DEADLINE): what is left then is killed. With no postmaster: answered, nothing is done.
 */
int fence_client_stop(struct fence_client *client, enum fence_stop_mode mode, int64_t kill_at_ms,
                      fence_done_cb done, void *arg, struct error *err) MUST_CHECK;
/* Kills now. `data_dir` names the instance for a fence that has not started it (its predecessor
 * died). Answered when begun; FENCE_EVENT_ALL_GONE follows, also if there was nothing to kill. */
int fence_client_kill(struct fence_client *client, const char *data_dir, fence_done_cb done,
                      void *arg, struct error *err) MUST_CHECK;
/* An instance that somebody else has started runs in `data_dir`: from now on the page's deadline
 * holds for its processes. ERR_BUSY: one that the fence has started is not stopped yet.
 * ERR_NOT_FOUND: there is no such directory. ERR_UNSUPPORTED: the fence is of a release that adopts
 * none. */
int fence_client_adopt(struct fence_client *client, const char *data_dir, fence_done_cb done,
                       void *arg, struct error *err) MUST_CHECK;
/* SIGHUP to the postmaster. ERR_NOT_FOUND if there is none. */
int fence_client_reload(struct fence_client *client, fence_done_cb done, void *arg,
                        struct error *err) MUST_CHECK;
int fence_client_query(struct fence_client *client, fence_done_cb done, void *arg,
                       struct error *err) MUST_CHECK;

struct fence_watchdog_config {
    const char *device; /* absolute; "" = none: what is open is disarmed */
    const char *data_dir;
    int64_t timeout_ms;     /* that the device is to get: whole seconds, at least one */
    int64_t timeout_ms_max; /* what it may make of that at most */
};
/* From now on the fence arms that device whenever the page is armed, and disarms it when nothing
 * may write: fence_watchdog_decide. Answered when it was taken; what comes of it is in the status,
 * with FENCE_EVENT_WATCHDOG. The same again makes it look again whether the device can be used.
 * ERR_UNSUPPORTED: the fence is of a release that knows no watchdog. */
int fence_client_watchdog(struct fence_client *client, const struct fence_watchdog_config *config,
                          fence_done_cb done, void *arg, struct error *err) MUST_CHECK;
/* The fence exits. ERR_BUSY while a process of the instance is left; ERR_REFUSED if it has a
 * watchdog device that cannot be stopped: it stays to pet it. */
int fence_client_quit(struct fence_client *client, fence_done_cb done, void *arg,
                      struct error *err) MUST_CHECK;
/* For a fence that is silent: its caller has looked at every process himself, and none of the
 * instance is left (pgctl/proc/pg_remains.h). The status says so until the fence says something
 * itself. False, and nothing is changed: it is not silent, or a start may still be carried out. */
bool fence_client_note_gone(struct fence_client *client);
/* SIGKILL to a silent fence, stopped or not, of whose instance nothing is left: another one can be
 * started then. FENCE_EVENT_LOST follows, unless it hangs in the kernel. ERR_BUSY: it answers, or
 * something may be left. */
int fence_client_end(struct fence_client *client, struct error *err) MUST_CHECK;

/* --- the runtime directory -------------------------------------------------------------------- */

/* Holds agent.lock, fence.lock and fence.sock; outside the data directory. Makes it if it is
 * missing (its parent must exist), and refuses one that is not ours alone (owner, mode 0700), or
 * too long for a socket's address. */
int fence_runtime_prepare(const char *runtime_dir, struct error *err) MUST_CHECK;
/* One agent per node: takes agent.lock, as lock_file_take does (base/lock_file.h), or goes on with
 * the one that was passed (fence_lock_pass). ERR_BUSY names who has it. */
int fence_lock_agent(const char *runtime_dir, int64_t wait_ms, int *ret_fd,
                     struct error *err) MUST_CHECK;
/* For the program that is executed in our place, right before that (true); false takes it back. It
 * has the lock without a moment in which nobody has, and its own fence_lock_agent finds it. */
void fence_lock_pass(int fd, bool on);

#endif
