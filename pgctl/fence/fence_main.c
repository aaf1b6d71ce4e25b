/* pgquorum-fence RUNTIME_DIR [CLIENT_FD]
 *
 * Parent of the postmaster, and the last to act when everything else has failed: it looks at the
 * page, asks for a fast shutdown at the soft deadline and kills every process of the instance at
 * the deadline. It touches neither the network nor a data file, allocates nothing once it runs, and
 * depends on nobody: the agent may come and go.
 *
 * A watchdog device, where there is one, stands behind it (fence_dog.h): if this loop does not come
 * round any more, the host is reset before anybody else can be primary.
 *
 * If the fence itself dies, the kernel kills the postmaster (PR_SET_PDEATHSIG). */
#include "pgctl/fence/fence_channel.h"
#include "pgctl/fence/fence_core.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_client(struct fence *fence)
{
    static uint8_t bytes[FENCE_MESSAGE_MAX];
    static struct fence_request request;
    ssize_t len = recv(fence->client_fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0 || (size_t)len > sizeof bytes) {
        fence_talk_close(fence);
        return;
    }
    fence_phase_look(fence,
                     fence_lease_now_ms()); /* what is answered rests on the page as it is now */
    if (fence_wire_get_request(bytes, (size_t)len, &request)) {
        fence_request_do(fence, &request);
    } else {
        fence_talk_answer(fence, request.id, ERR_UNSUPPORTED,
                          "the fence does not know this request");
    }
}

/* One agent at a time. A new one holds the node's lock, so the connection before it is a dead
 * one's. */
static void client_set(struct fence *fence, int fd)
{
    pid_t pid = 0;
    if (!fence_channel_is_ours(fd, &pid)) {
        (void)close(fd);
        return;
    }
    fence_talk_close(fence);
    /* The agent's end must close with the fence alone: a backend that outlives it may not hold
     * this. */
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    fence->client_fd = fd;
    fence->instance.spared = pid;
}

static void on_connection(struct fence *fence)
{
    int fd = accept4(fence->setup.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        client_set(fence, fd);
    }
}

static void on_signal(struct fence *fence)
{
    struct signalfd_siginfo info;

    while (read(fence->setup.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            fence->quitting = true; /* the machine goes down: an orderly end, while there is time */
            fence_phase_signal(fence, FENCE_STOP_FAST);
        }
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static int wait_for_ms(const struct fence *fence, int64_t now_ms)
{
    int64_t wait_ms = fence_wait_ms(&fence->lease, now_ms, &fence->state);
    if (fence->phase == FENCE_PHASE_DRAINING || fence->phase == FENCE_PHASE_KILLING) {
        int64_t round_ms = fence->next_round_ms - now_ms;
        wait_ms = round_ms < wait_ms ? round_ms : wait_ms;
    }
    return wait_ms < 1 ? 1 : (int)wait_ms;
}

static bool may_exit(const struct fence *fence, int64_t now_ms)
{
    if (fence->phase != FENCE_PHASE_IDLE && fence->phase != FENCE_PHASE_GONE) {
        return false;
    }
    if (fence_dog_holds(&fence->dog) && !(fence->quitting && fence->dog.stays)) {
        return false;
    }
    bool idle =
        fence->client_fd < 0 && fence_idle_ends(&fence->lease, now_ms - fence->idle_since_ms);
    return (fence->quitting || idle) && !fence_phase_binds_others(fence);
}

static void run(struct fence *fence)
{
    int64_t now_ms = fence_lease_now_ms();

    while (!may_exit(fence, now_ms)) {
        struct pollfd fds[] = {{.fd = fence->setup.signal_fd, .events = POLLIN},
                               {.fd = fence->setup.listen_fd, .events = POLLIN},
                               {.fd = fence->client_fd, .events = POLLIN},
                               {.fd = fence->starting.words_fd, .events = POLLIN},
                               {.fd = fence->dog.done_fd, .events = POLLIN}};
        (void)poll(fds, sizeof fds / sizeof fds[0], wait_for_ms(fence, now_ms));
        now_ms = fence_lease_now_ms();
        fence_phase_look(fence, now_ms);
        if (fds[0].revents != 0) {
            on_signal(fence);
        }
        fence_phase_reap(fence, now_ms);
        if (fds[3].revents != 0) {
            fence_start_outcome(fence);
        }
        if (fds[2].revents != 0) {
            on_client(fence);
        }
        if (fds[1].revents != 0) {
            on_connection(fence);
        }
        now_ms = fence_lease_now_ms();
        fence_phase_step(fence, now_ms);
        fence_phase_dog(fence, now_ms);
    }
}

int main(int argc, char **argv)
{
    static struct fence core;
    struct fence *fence = &core;
    char reason[FENCE_TEXT_BYTES] = "no /proc";

    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: pgquorum-fence RUNTIME_DIR [CLIENT_FD]\n");
        return 2;
    }
    fence->client_fd = -1;
    fence->starting.words_fd = -1;
    fence->kill_at_ms = FENCE_NO_DEADLINE;
    fence->lease = fence_lease_standby();
    fence_instance_init(&fence->instance);
    if (!fence_kill_open() || !fence_setup_open(&fence->setup, argv[1], reason, sizeof reason)) {
        (void)fprintf(stderr, "pgquorum-fence: cannot start: %s\n", reason);
        return 1;
    }
    fence->status.fence_pid = getpid();
    fence->status.kill_ms = -1;
    fence->status.memory_locked = fence->setup.memory_locked;
    fence->status.real_time = fence->setup.real_time;
    fence->status.oom_protected = fence->setup.oom_protected;
    fence->idle_since_ms = fence_lease_now_ms();
    fence_dog_init(&fence->dog, argv[1]);
    if (argc == 3) {
        client_set(fence, (int)strtol(argv[2], NULL, 10));
    }
    run(fence);
    fence_setup_close(&fence->setup);
    return 0;
}
