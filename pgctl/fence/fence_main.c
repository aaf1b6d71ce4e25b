/* pgquorum-fence RUNTIME_DIR [CLIENT_FD]
 *
 * Parent of the postmaster, and the last to act when everything else has failed: it looks at the
 * page, asks for a fast shutdown at the soft deadline and kills every process of the instance at
 * the deadline. It touches neither the network nor a data file, allocates nothing once it runs, and
 * depends on nobody: the agent may come and go.
 *
 *     IDLE --start--> UP --postmaster exits--> DRAINING --none left--> GONE --start--> UP
 *      any --deadline, kill, or DRAINING too long--> KILLING --none left--> GONE
 *
 * A watchdog device, where there is one, stands behind it (fence_dog.h): if this loop does not come
 * round any more, the host is reset before anybody else can be primary.
 *
 * If the fence itself dies, the kernel kills the postmaster (PR_SET_PDEATHSIG). */
#include "pgctl/fence/fence_channel.h"
#include "pgctl/fence/fence_dog.h"
#include "pgctl/fence/fence_kill.h"
#include "pgctl/fence/fence_setup.h"
#include "pgctl/fence/fence_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MAX_MS                                                                               \
    100 /* backends see their postmaster's death at once unless they are busy; the logger has last \
           lines */
#define DRAIN_LOOK_MS 5
#define KILL_ROUND_MS 2 /* slower when a process does not die (uninterruptible sleep) */

enum phase { PHASE_IDLE, PHASE_UP, PHASE_DRAINING, PHASE_KILLING, PHASE_GONE };

static struct fence {
    struct fence_setup setup; /* page, sockets: made once */
    int client_fd;            /* -1 = no agent */
    int start_fd; /* exec's outcome: closed = it worked, else errno; -1 = no start under way */
    uint32_t start_id;
    struct fence_lease lease; /* the last whole copy */
    struct fence_state state;
    struct fence_instance instance;
    struct fence_status status;
    struct fence_dog dog;
    int64_t dog_until_ms; /* fence_watchdog_decide's memory */
    bool client_knows_dog;
    enum phase phase;
    int64_t phase_since_ms;
    int64_t next_round_ms;
    int64_t kill_at_ms; /* of a stop that the agent asked for */
    int64_t idle_since_ms;
    bool quitting;
} fence;

/* --- talking to the agent --------------------------------------------------------------------- */

static void client_close(void)
{
    if (fence.client_fd >= 0) {
        (void)close(fence.client_fd);
    }
    fence.client_fd = -1;
    fence.client_knows_dog = false;
    fence.instance.spared = 0;
    fence.idle_since_ms = fence_lease_now_ms();
}

/* A client that does not read loses its connection, and hears the status when it is back. */
static void client_send(const struct fence_reply *reply, bool with_page)
{
    int page_fd = with_page ? fence.setup.page_fd : -1;
    if (fence.client_fd >= 0 && !fence_channel_send(fence.client_fd, reply, page_fd)) {
        client_close();
    }
}

static struct fence_status status_now(void)
{
    struct fence_status status = fence.status;
    status.postmaster_pid = fence.instance.postmaster;
    status.running = fence.instance.postmaster > 0;
    status.killing = fence.phase == PHASE_KILLING;
    status.all_gone = fence.phase == PHASE_GONE;
    status.by_cgroup = fence.instance.cgroup_kill_fd >= 0;
    status.fired = fence.state.fired;
    status.stopped = fence.state.stopped;
    fence_dog_status(&fence.dog, &status);
    return status;
}

static void answer(uint32_t id, int code, const char *text)
{
    struct fence_reply reply = {
        .id = id, .code = code, .event = FENCE_ANSWER, .status = status_now()};
    (void)snprintf(reply.text, sizeof reply.text, "%s", text);
    client_send(&reply, false);
}

static void event(enum fence_event what)
{
    struct fence_reply reply = {.event = (int)what, .status = status_now()};
    client_send(&reply, false);
}

/* --- the instance ----------------------------------------------------------------------------- */

static void phase_set(enum phase phase, int64_t now_ms)
{
    fence.phase = phase;
    fence.phase_since_ms = now_ms;
    fence.next_round_ms = now_ms;
}

static void postmaster_signal(enum fence_stop_mode mode)
{
    static const int signals[] = {
        [FENCE_STOP_SMART] = SIGTERM, [FENCE_STOP_FAST] = SIGINT, [FENCE_STOP_IMMEDIATE] = SIGQUIT};
    if (fence.instance.postmaster > 0) {
        (void)kill(fence.instance.postmaster, signals[mode]);
    }
}

static void gone(int64_t now_ms)
{
    if (fence.phase == PHASE_KILLING) {
        fence.status.kill_ms = now_ms - fence.phase_since_ms;
        fence_say("every process of the instance is gone after %lld ms",
                  (long long)fence.status.kill_ms);
    }
    fence_cgroup_remove(&fence.instance);
    fence.instance.stopped = false;
    fence.kill_at_ms = FENCE_NO_DEADLINE;
    fence.idle_since_ms = now_ms;
    phase_set(PHASE_GONE, now_ms);
    event(FENCE_EVENT_ALL_GONE);
}

static void kill_begin(int64_t now_ms)
{
    if (fence.phase != PHASE_KILLING) {
        phase_set(PHASE_KILLING, now_ms);
    }
}

static void reap(int64_t now_ms)
{
    int wait_status = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        if (pid != fence.instance.postmaster) {
            continue; /* an orphan of the instance */
        }
        fence.instance.postmaster = 0;
        fence.status.exited = true;
        fence.status.wait_status = wait_status;
        if (fence.phase == PHASE_UP) {
            phase_set(PHASE_DRAINING, now_ms);
        }
        event(FENCE_EVENT_POSTMASTER_EXITED);
    }
}

/* A primary that was started by hand is no child of this fence, and the page's deadline binds it
 * all the same. */
static bool binds_others(void)
{
    return fence_lease_armed(&fence.lease) && !fence_epoch_over(&fence.state, fence.lease.epoch) &&
           fence_count(&fence.instance) > 0;
}

/* The page first: whatever else is to be done, it comes after the deadline was looked at. */
static void look(int64_t now_ms)
{
    struct fence_epoch fired = fence.state.fired;

    (void)fence_page_read(fence.setup.page,
                          &fence.lease); /* unreadable: the last whole copy stays in force */
    fence_watchdog_clamp(&fence.lease, fence_dog_timeout_ms(&fence.dog));
    switch (fence_decide(&fence.lease, now_ms, &fence.state)) {
    case FENCE_NONE: break;
    case FENCE_SOFT_STOP:
        postmaster_signal(FENCE_STOP_FAST);
        fence_say("the lease ends soon and was not renewed: fast shutdown");
        event(FENCE_EVENT_SOFT_STOP);
        break;
    case FENCE_KILL:
        if (!fence_epoch_equal(fired, fence.state.fired)) {
            kill_begin(now_ms);
            fence_say("the lease has ended: killing every process of the instance");
            event(FENCE_EVENT_FIRED);
        } else if (fence.phase != PHASE_GONE) {
            kill_begin(now_ms);
        }
        break;
    }
    if (now_ms >= fence.kill_at_ms && (fence.phase == PHASE_UP || fence.phase == PHASE_DRAINING)) {
        kill_begin(now_ms);
        fence_say("the instance did not stop in time: killing every process of it");
    }
}

/* Moves DRAINING and KILLING on. */
static void step(int64_t now_ms)
{
    if ((fence.phase != PHASE_DRAINING && fence.phase != PHASE_KILLING) ||
        now_ms < fence.next_round_ms) {
        return;
    }
    int64_t elapsed_ms = now_ms - fence.phase_since_ms;
    if (fence.phase == PHASE_DRAINING && elapsed_ms >= DRAIN_MAX_MS) {
        kill_begin(now_ms);
    }
    bool killing = fence.phase == PHASE_KILLING;
    /* A fork of the postmaster that was under way when it was stopped may show up as long as it
     * lives: only a look without it counts. */
    bool headless = fence.instance.postmaster == 0;
    size_t left = killing ? fence_kill_round(&fence.instance) : fence_count(&fence.instance);
    reap(now_ms);
    now_ms = fence_lease_now_ms();
    if (left == 0 && headless) {
        gone(now_ms);
        return;
    }
    int64_t pause_ms = killing ? KILL_ROUND_MS + elapsed_ms / 20 : DRAIN_LOOK_MS;
    fence.next_round_ms = now_ms + (pause_ms > FENCE_WAIT_MAX_MS ? FENCE_WAIT_MAX_MS : pause_ms);
}

/* After look: it goes by the same copy of the page. */
static void dog_turn(int64_t now_ms)
{
    bool none_seen = fence.phase == PHASE_GONE && fence.instance.has_dir;
    bool over = fence_epoch_over(&fence.state, fence.lease.epoch) || fence.quitting;
    enum fence_watchdog_step step =
        fence_watchdog_decide(&fence.lease, over, none_seen, fence_dog_wanted_ms(&fence.dog),
                              now_ms, &fence.dog_until_ms);
    if (fence_dog_turn(&fence.dog, step, fence.dog_until_ms, none_seen, now_ms) &&
        fence.client_knows_dog) {
        event(FENCE_EVENT_WATCHDOG);
    }
}

/* --- starting a postmaster -------------------------------------------------------------------- */

static void start_fork(struct fence_request *request)
{
    pid_t pid = fence_child_start(&fence.setup, &fence.instance, request, &fence.start_fd);

    if (pid < 0) {
        answer(request->id, ERR_IO, strerror(errno));
        return;
    }
    fence.instance.postmaster = pid;
    fence.instance.stopped = false;
    fence.start_id = request->id;
    fence.status.starts++;
    fence.status.exited = false;
    fence.status.wait_status = 0;
    fence.kill_at_ms = FENCE_NO_DEADLINE;
    phase_set(PHASE_UP, fence_lease_now_ms());
}

static void start_outcome(void)
{
    int reason = 0;
    ssize_t len = read(fence.start_fd, &reason, sizeof reason);

    (void)close(fence.start_fd);
    fence.start_fd = -1;
    if (len == (ssize_t)sizeof reason) {
        answer(fence.start_id, ERR_IO, strerror(reason));
    } else {
        answer(fence.start_id, 0, "");
    }
}

static void on_start(struct fence_request *request)
{
    if (fence_epoch_over(&fence.state, fence.lease.epoch)) {
        answer(request->id, ERR_REFUSED, "the epoch on the page is over");
    } else if (!fence_epoch_equal(request->epoch, fence.lease.epoch)) {
        answer(request->id, ERR_REFUSED,
               "the page says another epoch than when this was asked for");
    } else if (fence.quitting) {
        answer(request->id, ERR_REFUSED, "the fence is about to exit");
    } else if (fence.instance.postmaster > 0 || fence.phase == PHASE_KILLING ||
               fence.start_fd >= 0) {
        answer(request->id, ERR_BUSY, "a postmaster is running, or is not gone yet");
    } else if (fence_lease_armed(&fence.lease) && !fence_dog_is_settled(&fence.dog)) {
        answer(request->id, ERR_BUSY, "the watchdog is not armed yet");
    } else if (!fence_instance_set_dir(&fence.instance, request->data_dir)) {
        answer(request->id, ERR_IO, strerror(errno));
    } else if (fence_count(&fence.instance) > 0) {
        answer(request->id, ERR_BUSY, "processes of the instance are still there");
    } else if (request->kill_way != FENCE_KILL_LOOP && !fence_cgroup_make(&fence.instance) &&
               request->kill_way == FENCE_KILL_CGROUP) {
        answer(request->id, ERR_UNSUPPORTED, "no cgroup v2 group can be made here");
    } else {
        start_fork(request);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static void on_hello(const struct fence_request *request)
{
    struct fence_reply reply = {.id = request->id, .event = FENCE_ANSWER, .status = status_now()};
    client_send(&reply, true);
}

static void on_kill(const struct fence_request *request)
{
    if (request->data_dir[0] != '\0' && fence.phase == PHASE_IDLE &&
        fence_instance_set_dir(&fence.instance, request->data_dir)) {
        (void)fence_cgroup_make(&fence.instance); /* the predecessor's group has the same name */
    }
    kill_begin(fence_lease_now_ms());
    answer(request->id, 0, "");
}

/* The directory, too: of an instance that it has not started it must know when it is gone. */
static void on_watchdog(const struct fence_request *request)
{
    if (fence.phase == PHASE_IDLE && request->data_dir[0] != '\0') {
        (void)fence_instance_set_dir(&fence.instance, request->data_dir);
    }
    fence_dog_want(&fence.dog, request->device, request->watchdog_s, request->watchdog_s_max);
    fence.client_knows_dog = true;
    answer(request->id, 0, "");
}

static void on_quit(const struct fence_request *request, bool has_instance)
{
    if (has_instance || binds_others()) {
        answer(request->id, ERR_BUSY, "the instance is not stopped");
    } else if (fence.dog.stays) {
        answer(request->id, ERR_REFUSED, fence.dog.stays_why);
    } else if (fence_dog_holds(&fence.dog)) {
        answer(request->id, ERR_BUSY, "the watchdog is not disarmed yet");
    } else {
        fence.quitting = true;
        answer(request->id, 0, "");
    }
}

static void on_request(struct fence_request *request)
{
    bool has_instance = fence.phase != PHASE_IDLE && fence.phase != PHASE_GONE;

    switch (request->type) {
    case FENCE_TYPE_HELLO: on_hello(request); break;
    case FENCE_TYPE_START: on_start(request); break;
    case FENCE_TYPE_STOP:
        postmaster_signal(request->stop_mode);
        fence.kill_at_ms = has_instance ? request->kill_at_ms : FENCE_NO_DEADLINE;
        answer(request->id, 0, "");
        break;
    case FENCE_TYPE_KILL: on_kill(request); break;
    case FENCE_TYPE_RELOAD:
        if (fence.instance.postmaster > 0 && kill(fence.instance.postmaster, SIGHUP) == 0) {
            answer(request->id, 0, "");
        } else {
            answer(request->id, ERR_NOT_FOUND, "no postmaster is running");
        }
        break;
    case FENCE_TYPE_QUERY: answer(request->id, 0, ""); break;
    case FENCE_TYPE_QUIT: on_quit(request, has_instance); break;
    case FENCE_TYPE_WATCHDOG: on_watchdog(request); break;
    case FENCE_TYPE_STATUS: break; /* the decoder lets no status through */
    }
}

static void on_client(void)
{
    static uint8_t bytes[FENCE_MESSAGE_MAX];
    static struct fence_request request;
    ssize_t len = recv(fence.client_fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0 || (size_t)len > sizeof bytes) {
        client_close();
        return;
    }
    look(fence_lease_now_ms()); /* what is answered rests on the page as it is now */
    if (fence_wire_get_request(bytes, (size_t)len, &request)) {
        on_request(&request);
    } else {
        answer(request.id, ERR_UNSUPPORTED, "the fence does not know this request");
    }
}

/* One agent at a time. A new one holds the node's lock, so the connection before it is a dead
 * one's. */
static void client_set(int fd)
{
    pid_t pid = 0;
    if (!fence_channel_is_ours(fd, &pid)) {
        (void)close(fd);
        return;
    }
    client_close();
    /* The agent's end must close with the fence alone: a backend that outlives it may not hold
     * this. */
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    fence.client_fd = fd;
    fence.instance.spared = pid;
}

static void on_connection(void)
{
    int fd = accept4(fence.setup.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        client_set(fd);
    }
}

static void on_signal(void)
{
    struct signalfd_siginfo info;

    while (read(fence.setup.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            fence.quitting = true; /* the machine goes down: an orderly end, while there is time */
            postmaster_signal(FENCE_STOP_FAST);
        }
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static int wait_for_ms(int64_t now_ms)
{
    int64_t wait_ms = fence_wait_ms(&fence.lease, now_ms, &fence.state);
    if (fence.phase == PHASE_DRAINING || fence.phase == PHASE_KILLING) {
        int64_t round_ms = fence.next_round_ms - now_ms;
        wait_ms = round_ms < wait_ms ? round_ms : wait_ms;
    }
    return wait_ms < 1 ? 1 : (int)wait_ms;
}

static bool may_exit(int64_t now_ms)
{
    if (fence.phase != PHASE_IDLE && fence.phase != PHASE_GONE) {
        return false;
    }
    if (fence_dog_holds(&fence.dog) && !(fence.quitting && fence.dog.stays)) {
        return false;
    }
    bool idle = fence.client_fd < 0 && fence_idle_ends(&fence.lease, now_ms - fence.idle_since_ms);
    return (fence.quitting || idle) && !binds_others();
}

static void run(void)
{
    int64_t now_ms = fence_lease_now_ms();

    while (!may_exit(now_ms)) {
        struct pollfd fds[] = {{.fd = fence.setup.signal_fd, .events = POLLIN},
                               {.fd = fence.setup.listen_fd, .events = POLLIN},
                               {.fd = fence.client_fd, .events = POLLIN},
                               {.fd = fence.start_fd, .events = POLLIN},
                               {.fd = fence.dog.done_fd, .events = POLLIN}};
        (void)poll(fds, sizeof fds / sizeof fds[0], wait_for_ms(now_ms));
        now_ms = fence_lease_now_ms();
        look(now_ms);
        if (fds[0].revents != 0) {
            on_signal();
        }
        reap(now_ms);
        if (fds[3].revents != 0) {
            start_outcome();
        }
        if (fds[2].revents != 0) {
            on_client();
        }
        if (fds[1].revents != 0) {
            on_connection();
        }
        now_ms = fence_lease_now_ms();
        step(now_ms);
        dog_turn(now_ms);
    }
}

int main(int argc, char **argv)
{
    char reason[FENCE_TEXT_BYTES] = "no /proc";

    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: pgquorum-fence RUNTIME_DIR [CLIENT_FD]\n");
        return 2;
    }
    fence.client_fd = -1;
    fence.start_fd = -1;
    fence.kill_at_ms = FENCE_NO_DEADLINE;
    fence.lease = fence_lease_standby();
    fence_instance_init(&fence.instance);
    if (!fence_kill_open() || !fence_setup_open(&fence.setup, argv[1], reason, sizeof reason)) {
        (void)fprintf(stderr, "pgquorum-fence: cannot start: %s\n", reason);
        return 1;
    }
    fence.status.fence_pid = getpid();
    fence.status.kill_ms = -1;
    fence.status.memory_locked = fence.setup.memory_locked;
    fence.status.real_time = fence.setup.real_time;
    fence.status.oom_protected = fence.setup.oom_protected;
    fence.idle_since_ms = fence_lease_now_ms();
    fence_dog_init(&fence.dog, argv[1]);
    if (argc == 3) {
        client_set((int)strtol(argv[2], NULL, 10));
    }
    run();
    fence_setup_close(&fence.setup);
    return 0;
}
