/* The agent's side of the fence's socket.
 *
 *     CONNECTING --hello answered, page mapped--> CONNECTED --end of file--> LOST
 *          \------- end of file, deadline, bad answer ------------------------/^
 *
 * A fence that runs is found by its socket; otherwise one is spawned with the other end of a socket
 * pair as its first client, so that there is nothing to wait for and nothing to try again. Messages
 * are datagrams: one send, one request. A request that could not be sent fails in the call; one
 * that was sent gets exactly one callback. */
#include "pgctl/fence.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/fence/fence_client_runtime.h"
#include "pgctl/fence/fence_wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define ANSWER_TIMEOUT_MS \
    5000 /* the fence answers at once; one that is stopped does not answer at all */
#define TICK_MS        500
#define START_TAKES_MS 1000 /* of what it waits: one that is begun is to be answered in time */
#define READS_MAX      32   /* datagrams a turn of the loop */
#define FENCE_CHILD_FD 3    /* the fence's end of the socket pair */

enum client_state { CLIENT_CONNECTING, CLIENT_CONNECTED, CLIENT_LOST };

struct pending {
    uint32_t id; /* 0 = free */
    uint64_t deadline_ms;
    fence_done_cb done;
    void *arg;
};

struct fence_client {
    uv_loop_t *loop;
    enum client_state state;
    fence_event_cb on_event;
    void *arg;
    int fd;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_process_t process;
    bool found_running;
    bool closing;
    unsigned open_handles;
    uint32_t last_id;
    uint32_t hello_id;
    uint32_t
        start_id; /* of the last start, until an answer to it or to a later request; 0 = none */
    struct pending pending[FENCE_PENDING_MAX];
    uint64_t heard_ms;   /* when it last said anything */
    unsigned late_ticks; /* one after the other that found it silent: what it has said may lie in
                            the socket when this loop comes round late */
    struct fence_page *page;
    struct fence_status status;
    void (*freed)(void *arg);
    void *freed_arg;
};

/* --- pending requests ------------------------------------------------------------------------- */

static struct pending *pending_find(struct fence_client *client, uint32_t id)
{
    for (size_t i = 0; i < FENCE_PENDING_MAX; i++) {
        if (client->pending[i].id == id) {
            return &client->pending[i];
        }
    }
    return NULL;
}

/* The callback may ask anew, or free the client: nothing of either is touched after it. */
static void pending_end(struct fence_client *client, struct pending *pending, int rc,
                        const char *text)
{
    struct pending ended = *pending;
    struct error err = {0};
    struct fence_status status = client->status;

    memset(pending, 0, sizeof *pending);
    if (rc != 0) {
        (void)error_set(&err, rc, "%s", text);
    }
    ended.done(ended.arg, rc, &status, &err);
}

static void pending_end_all(struct fence_client *client, int rc, const char *text)
{
    for (size_t i = 0; i < FENCE_PENDING_MAX; i++) {
        if (client->pending[i].id != 0) {
            pending_end(client, &client->pending[i], rc, text);
        }
    }
}

/* --- the connection --------------------------------------------------------------------------- */

static void client_lost(struct fence_client *client, int rc, const char *text)
{
    bool was_connected = client->state == CLIENT_CONNECTED;

    if (client->state == CLIENT_LOST) {
        return;
    }
    client->state = CLIENT_LOST;
    (void)uv_poll_stop(&client->poll);
    (void)uv_timer_stop(&client->timer);
    (void)close(client->fd);
    client->fd = -1;
    client->status.running = false;
    client->status.starting = false;
    client->status.silent = false;
    pending_end_all(client, rc, text);
    if (was_connected && !client->closing) {
        client->on_event(client->arg, FENCE_EVENT_LOST, &client->status);
    }
}

/* Makes the page ours, if it is one. */
static bool page_map(struct fence_client *client, int fd)
{
    struct fence_lease lease;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < FENCE_PAGE_BYTES) {
        return false;
    }
    void *page = mmap(NULL, FENCE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        return false;
    }
    if (!fence_page_read(page, &lease)) {
        (void)munmap(page, FENCE_PAGE_BYTES);
        return false;
    }
    client->page = page;
    return true;
}

static void on_hello_answer(struct fence_client *client, int page_fd)
{
    if (!page_map(client, page_fd)) {
        client_lost(client, ERR_UNSUPPORTED,
                    "the fence's page has a layout that this release does not know");
        return;
    }
    client->state = CLIENT_CONNECTED;
    pending_end(client, pending_find(client, client->hello_id), 0, "");
}

/* What was said before the fence has read the start may not be taken for what holds: that nothing
 * of the instance is left. An answer to whatever was asked later ends the doubt, too. */
static void status_take(struct fence_client *client, const struct fence_reply *reply)
{
    bool is_answer = reply->event == FENCE_ANSWER && reply->id != 0;
    if (is_answer && (int32_t)(reply->id - client->start_id) >= 0) {
        client->start_id = 0;
    }
    client->heard_ms = uv_now(client->loop);
    client->late_ticks = 0;
    bool silent = client->status.silent;
    client->status = reply->status;
    client->status.silent = silent;
    client->status.starting = client->start_id != 0;
    client->status.all_gone = client->status.all_gone && !client->status.starting;
}

static void silence_set(struct fence_client *client, bool silent)
{
    if (client->status.silent != silent) {
        client->status.silent = silent;
        client->on_event(client->arg, FENCE_EVENT_SILENCE, &client->status);
    }
}

static void on_reply(struct fence_client *client, const struct fence_reply *reply, int page_fd)
{
    status_take(client, reply);
    silence_set(client, false);
    if (reply->event != FENCE_ANSWER) {
        if (client->state == CLIENT_CONNECTED) { /* before, the answer to hello will say it all */
            client->on_event(client->arg, (enum fence_event)reply->event, &client->status);
        }
        return;
    }
    struct pending *pending = reply->id == 0 ? NULL : pending_find(client, reply->id);
    if (pending == NULL) {
        return; /* its deadline passed before */
    }
    if (reply->id == client->hello_id) {
        on_hello_answer(client, page_fd);
        return;
    }
    pending_end(client, pending, reply->code, reply->text);
}

/* One datagram. False when there is none, or the connection ended. */
static bool client_read(struct fence_client *client)
{
    uint8_t bytes[4096];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct fence_reply reply;
    int page_fd = -1;

    ssize_t len = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (len <= 0) {
        client_lost(client, ERR_CLOSED,
                    client->state == CLIENT_CONNECTING ? "the fence could not start"
                                                       : "the fence is gone");
        return false;
    }
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        memcpy(&page_fd, CMSG_DATA(head), sizeof page_fd);
    }
    if (fence_wire_get_reply(bytes, (size_t)len, &reply)) {
        on_reply(client, &reply, page_fd);
    } else {
        client_lost(client, ERR_CORRUPT, "the fence sent what is no status");
    }
    if (page_fd >= 0) {
        (void)close(page_fd);
    }
    return client->state != CLIENT_LOST && !client->closing;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct fence_client *client = handle->data;

    (void)events;
    if (status < 0) {
        client_lost(client, ERR_CLOSED, "the fence's socket failed");
        return;
    }
    for (int i = 0; i < READS_MAX && client_read(client); i++) {
    }
}

static void on_queried(void *arg, int rc, const struct fence_status *status,
                       const struct error *err)
{
    (void)arg; /* what it has said is in the status, and that it says nothing, too */
    (void)rc;
    (void)status;
    (void)err;
}

static bool is_late(const struct fence_client *client, const struct pending *pending,
                    uint64_t now_ms)
{
    return pending->id != 0 && pending->id != client->start_id &&
           pending->deadline_ms + FENCE_SILENT_MS <= now_ms + ANSWER_TIMEOUT_MS;
}

static bool any_is_late(const struct fence_client *client, uint64_t now_ms)
{
    for (size_t i = 0; i < FENCE_PENDING_MAX; i++) {
        if (is_late(client, &client->pending[i], now_ms)) {
            return true;
        }
    }
    return false;
}

/* A fence that stands still looks like one that is content: nothing comes from either. A start is
 * answered when its program runs, which may take as long as the disk likes: it is asked beside it.
 */
static void look_for_silence(struct fence_client *client, uint64_t now_ms)
{
    bool waits = false;
    if (client->state != CLIENT_CONNECTED) {
        return;
    }
    client->late_ticks = any_is_late(client, now_ms) ? client->late_ticks + 1 : client->late_ticks;
    silence_set(client, client->late_ticks >= 2);
    if (client->closing) {
        return;
    }
    for (size_t i = 0; i < FENCE_PENDING_MAX; i++) {
        waits = waits || (client->pending[i].id != 0 && client->pending[i].id != client->start_id);
    }
    if (!waits && now_ms - client->heard_ms >= FENCE_QUERY_MS) {
        (void)!fence_client_query(client, on_queried, NULL, NULL);
    }
}

static void on_tick(uv_timer_t *handle)
{
    struct fence_client *client = handle->data;
    uint64_t now_ms = uv_now(client->loop);
    struct pending *hello = pending_find(client, client->hello_id);

    if (client->state == CLIENT_CONNECTING && hello->deadline_ms <= now_ms) {
        client_lost(client, ERR_TIMEOUT, "the fence does not answer");
        return;
    }
    look_for_silence(client, now_ms);
    /* Whoever asked one that is known to stand still has to do without it, and at once. */
    for (size_t i = 0; i < FENCE_PENDING_MAX && !client->closing; i++) {
        struct pending *pending = &client->pending[i];
        bool given_up = client->status.silent && is_late(client, pending, now_ms);
        if (pending->id != 0 && (pending->deadline_ms <= now_ms || given_up)) {
            pending_end(client, pending, ERR_TIMEOUT, "the fence does not answer");
        }
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static int client_send(struct fence_client *client, struct fence_request *request,
                       fence_done_cb done, void *arg, struct error *err)
{
    if (client->state == CLIENT_LOST || client->closing) {
        return error_set(err, ERR_CLOSED, "the fence is gone");
    }
    struct pending *pending = pending_find(client, 0);
    if (pending == NULL) {
        return error_set(err, ERR_LIMIT, "%d requests to the fence have no answer yet",
                         FENCE_PENDING_MAX);
    }
    client->last_id = client->last_id == UINT32_MAX ? 1 : client->last_id + 1;
    request->id = client->last_id;
    uint8_t *bytes = mem_alloc(FENCE_MESSAGE_MAX);
    size_t len = fence_wire_put_request(bytes, FENCE_MESSAGE_MAX, request);
    ssize_t sent = len == 0 ? 0 : send(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    int send_errno = errno;
    mem_free(bytes);
    if (len == 0) {
        return error_set(err, ERR_LIMIT, "the request to the fence is larger than %d bytes",
                         FENCE_MESSAGE_MAX);
    }
    if (sent < 0) {
        return error_set(err, send_errno == EAGAIN ? ERR_BUSY : ERR_CLOSED, "asking the fence: %s",
                         strerror(send_errno));
    }
    pending->id = request->id;
    pending->deadline_ms = uv_now(client->loop) + ANSWER_TIMEOUT_MS;
    pending->done = done;
    pending->arg = arg;
    return 0;
}

int fence_client_start(struct fence_client *client, const struct fence_start *start,
                       fence_done_cb done, void *arg, struct error *err)
{
    struct fence_request request = {.type = FENCE_TYPE_START,
                                    .kill_way = start->kill_way,
                                    .data_dir = start->data_dir,
                                    .log_path = start->log_path == NULL ? "" : start->log_path};
    size_t argc = 0;
    size_t envc = 0;

    while (start->argv[argc] != NULL && argc < FENCE_ARGS_MAX) {
        request.argv[argc] = (char *)(uintptr_t)start->argv[argc];
        argc++;
    }
    while (start->env[envc] != NULL && envc < FENCE_ENV_MAX) {
        request.env[envc] = (char *)(uintptr_t)start->env[envc];
        envc++;
    }
    if (start->argv[argc] != NULL || start->env[envc] != NULL) {
        return error_set(err, ERR_LIMIT,
                         "more than %d arguments or %d variables for the postmaster",
                         FENCE_ARGS_MAX, FENCE_ENV_MAX);
    }
    ASSERT(argc > 0 && start->data_dir[0] == '/');
    struct fence_lease page = fence_lease_standby();
    if (client->page != NULL) {
        (void)fence_page_read(client->page, &page);
    }
    request.epoch = page.epoch;
    request.argc = argc;
    request.envc = envc;
    request.not_after_ms = clock_lease_ms(clock_real()) + ANSWER_TIMEOUT_MS - START_TAKES_MS;
    int rc = client_send(client, &request, done, arg, err);
    if (rc == 0) {
        client->start_id = request.id;
        client->status.starting = true;
        client->status.all_gone = false;
    }
    return rc;
}

int fence_client_stop(struct fence_client *client, enum fence_stop_mode mode, int64_t kill_at_ms,
                      fence_done_cb done, void *arg, struct error *err)
{
    struct fence_request request = {
        .type = FENCE_TYPE_STOP, .stop_mode = mode, .kill_at_ms = kill_at_ms};
    return client_send(client, &request, done, arg, err);
}

int fence_client_kill(struct fence_client *client, const char *data_dir, fence_done_cb done,
                      void *arg, struct error *err)
{
    struct fence_request request = {.type = FENCE_TYPE_KILL, .data_dir = data_dir};
    return client_send(client, &request, done, arg, err);
}

int fence_client_adopt(struct fence_client *client, const char *data_dir, fence_done_cb done,
                       void *arg, struct error *err)
{
    struct fence_request request = {.type = FENCE_TYPE_ADOPT, .data_dir = data_dir};
    return client_send(client, &request, done, arg, err);
}

static int send_plain(struct fence_client *client, enum fence_type type, fence_done_cb done,
                      void *arg, struct error *err)
{
    struct fence_request request = {.type = type};
    return client_send(client, &request, done, arg, err);
}

int fence_client_reload(struct fence_client *client, fence_done_cb done, void *arg,
                        struct error *err)
{
    return send_plain(client, FENCE_TYPE_RELOAD, done, arg, err);
}

int fence_client_query(struct fence_client *client, fence_done_cb done, void *arg,
                       struct error *err)
{
    return send_plain(client, FENCE_TYPE_QUERY, done, arg, err);
}

int fence_client_watchdog(struct fence_client *client, const struct fence_watchdog_config *config,
                          fence_done_cb done, void *arg, struct error *err)
{
    bool none = config->device[0] == '\0';
    ASSERT(none || (config->timeout_ms >= 1000 && config->timeout_ms <= config->timeout_ms_max));
    struct fence_request request = {.type = FENCE_TYPE_WATCHDOG,
                                    .watchdog_s = none ? 0 : (int)(config->timeout_ms / 1000),
                                    .watchdog_s_max =
                                        none ? 0 : (int)(config->timeout_ms_max / 1000),
                                    .device = config->device,
                                    .data_dir = config->data_dir};
    return client_send(client, &request, done, arg, err);
}

int fence_client_quit(struct fence_client *client, fence_done_cb done, void *arg, struct error *err)
{
    return send_plain(client, FENCE_TYPE_QUIT, done, arg, err);
}

/* --- a fence that stands still ------------------------------------------------------------------
 */

/* A start that has had no answer in its time is read too late by now, and refused. */
bool fence_client_note_gone(struct fence_client *client)
{
    struct fence_status *status = &client->status;
    bool begins = client->start_id != 0 && pending_find(client, client->start_id) != NULL;

    if (client->state != CLIENT_CONNECTED || !status->silent || begins) {
        return false;
    }
    client->start_id = 0;
    status->starting = false;
    status->exited = status->exited || status->running;
    status->running = false;
    status->killing = false;
    status->postmaster_pid = 0;
    status->all_gone = true;
    return true;
}

/* Our end of its socket is open for as long as it lives. So a number that is looked up between two
 * looks at that is its own. What lies unread there says that it does not stand still any more. */
static int look_at_socket(const struct fence_client *client, struct error *err)
{
    char byte;
    ssize_t len = recv(client->fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_PEEK);
    if (len > 0) {
        return error_set(err, ERR_BUSY, "the fence answers");
    }
    bool lives = len < 0 && (errno == EAGAIN || errno == EINTR);
    return lives ? 0 : error_set(err, ERR_CLOSED, "the fence is gone");
}

int fence_client_end(struct fence_client *client, struct error *err)
{
    const struct fence_status *status = &client->status;
    int rc = 0;

    if (client->state != CLIENT_CONNECTED || !status->silent || !status->all_gone) {
        return error_set(err, ERR_BUSY, "the fence answers, or processes of the instance are left");
    }
    int fd = (int)syscall(SYS_pidfd_open, status->fence_pid, 0);
    if (fd < 0) {
        return error_set(err, ERR_CLOSED, "the fence is gone");
    }
    rc = look_at_socket(client, err);
    if (rc == 0 && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) != 0) {
        rc = error_set(err, err_from_errno(errno), "ending the fence: %s", strerror(errno));
    }
    (void)close(fd);
    return rc;
}

/* --- life ------------------------------------------------------------------------------------- */

/* A local connect does not wait: it is taken into the backlog, or refused. *ret_fd stays -1 where
 * no fence listens. */
static int connect_running(const char *runtime_dir, int *ret_fd, struct error *err)
{
    struct sockaddr_un address;
    int rc = fence_runtime_address(runtime_dir, &address, err);
    if (rc != 0) {
        return rc;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set(err, err_from_errno(errno), "making a socket: %s", strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        *ret_fd = fd;
        return 0;
    }
    int reason = errno;
    (void)close(fd);
    if (reason == ENOENT || reason == ECONNREFUSED) {
        return 0;
    }
    return error_set(err, err_from_errno(reason), "connecting to the fence at '%s': %s",
                     address.sun_path, strerror(reason));
}

static void on_fence_exit(uv_process_t *process, int64_t exit_status, int term_signal)
{
    /* Only so that it is reaped; that it is gone is told by the end of its socket. */
    (void)process;
    (void)exit_status;
    (void)term_signal;
}

static int spawn(struct fence_client *client, const struct fence_client_config *config, int *ret_fd,
                 struct error *err)
{
    int pair[2];
    char fd_text[] = "3";
    char *args[] = {(char *)(uintptr_t)config->fence_path, (char *)(uintptr_t)config->runtime_dir,
                    fd_text, NULL};

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        return error_set(err, err_from_errno(errno), "making a socket pair: %s", strerror(errno));
    }
    uv_stdio_container_t stdio[FENCE_CHILD_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = pair[1]},
    };
    uv_process_options_t options = {.file = config->fence_path,
                                    .args = args,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = FENCE_CHILD_FD + 1,
                                    .exit_cb = on_fence_exit};
    int rc = uv_spawn(client->loop, &client->process, &options);
    (void)close(pair[1]);
    client->process.data = client;
    client->open_handles++; /* the handle exists even if the spawn failed */
    if (rc != 0) {
        (void)close(pair[0]);
        return error_set(err, err_from_errno(-rc), "starting '%s': %s", config->fence_path,
                         uv_strerror(rc));
    }
    uv_unref((uv_handle_t *)&client->process);
    *ret_fd = pair[0];
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct fence_client *client = handle->data;

    ASSERT(client->open_handles > 0);
    client->open_handles--;
    if (client->open_handles > 0) {
        return;
    }
    pending_end_all(client, ERR_CANCELED, "the client was closed");
    void (*freed)(void *arg) = client->freed;
    void *freed_arg = client->freed_arg;
    mem_free(client);
    if (freed != NULL) {
        freed(freed_arg);
    }
}

int fence_client_connect(struct uv_loop_s *loop, const struct fence_client_config *config,
                         fence_done_cb done, void *arg, struct fence_client **ret_client,
                         struct error *err)
{
    struct fence_client *client = mem_new(struct fence_client);
    int rc;

    client->loop = loop;
    client->on_event = config->on_event;
    client->arg = config->arg;
    client->fd = -1;
    client->timer.data = client;
    client->poll.data = client;
    (void)uv_timer_init(loop, &client->timer);
    client->open_handles = 1;
    rc = connect_running(config->runtime_dir, &client->fd, err);
    client->found_running = client->fd >= 0;
    if (rc == 0 && client->fd < 0) {
        rc = spawn(client, config, &client->fd, err);
    }
    if (rc == 0) {
        rc = uv_poll_init(loop, &client->poll, client->fd);
        if (rc != 0) {
            rc = error_set(err, err_from_errno(-rc), "watching the fence's socket: %s",
                           uv_strerror(rc));
        }
    }
    if (rc == 0) {
        client->open_handles++;
        struct fence_request hello = {.type = FENCE_TYPE_HELLO};
        rc = client_send(client, &hello, done, arg, err);
        client->hello_id = hello.id;
    }
    if (rc != 0) {
        client->state = CLIENT_LOST;
        if (client->fd >= 0) {
            (void)close(client->fd);
        }
        fence_client_free(client, NULL, NULL);
        return rc;
    }
    (void)uv_poll_start(&client->poll, UV_READABLE, on_poll);
    (void)uv_timer_start(&client->timer, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&client->timer);
    *ret_client = client;
    return 0;
}

void fence_client_free(struct fence_client *client, void (*freed)(void *arg), void *arg)
{
    if (client == NULL) {
        return;
    }
    ASSERT(!client->closing);
    client->closing = true;
    client->freed = freed;
    client->freed_arg = arg;
    if (client->state != CLIENT_LOST) {
        (void)uv_poll_stop(&client->poll);
        (void)close(client->fd);
        client->state = CLIENT_LOST;
    }
    if (client->page != NULL) {
        (void)munmap(client->page, FENCE_PAGE_BYTES);
        client->page = NULL;
    }
    if (client->poll.type == UV_POLL) {
        uv_close((uv_handle_t *)&client->poll, on_handle_closed);
    }
    if (client->process.type == UV_PROCESS) {
        uv_close((uv_handle_t *)&client->process, on_handle_closed);
    }
    uv_close((uv_handle_t *)&client->timer, on_handle_closed);
}

bool fence_client_found_running(const struct fence_client *client)
{
    return client->found_running;
}

struct fence_page *fence_client_page(const struct fence_client *client)
{
    return client->page;
}

const struct fence_status *fence_client_status(const struct fence_client *client)
{
    return &client->status;
}

bool fence_client_connected(const struct fence_client *client)
{
    return client->state == CLIENT_CONNECTED;
}
