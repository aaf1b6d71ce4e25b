/* The agent's end of the watch: the child, its reports, and what they mean (pg_disk_report.c).
 *
 *     the child runs --ends--> wait --RESTART_MS--> another one
 *
 * Each child is an object of its own that goes when its handles are closed, which needs no end of
 * the process: one that is stuck is left to itself. */
#include "pgctl/pg_disk.h"

#include "base/buf.h"
#include "base/mem.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum {
    RESTART_MS = 5000,
    LOOK_MS = 1000,
    LINES_BYTES_MAX = 4096,
};

struct child {
    struct pg_disk *disk; /* NULL = it was stopped */
    uv_process_t process;
    uv_pipe_t in;
    uv_pipe_t out;
    struct buf lines;
    int open_handles;
    char chunk[1024];
};

struct pg_disk {
    uv_loop_t *loop;
    const struct clock *clock;
    char *self_exe;
    char *data_dir;
    char *more;
    struct pg_disk_limits limits;
    void (*on_state)(void *arg, const struct pg_disk_state *state);
    void *arg;
    uv_timer_t timer;
    struct child *child; /* NULL = none runs */
    int64_t started_ms;
    int64_t heard_ms; /* last whole report; 0 = none yet, or it was said that there are none */
    struct pg_disk_state next; /* the report that is coming in */
    struct pg_disk_state state;
};

static void on_child_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->open_handles == 0) {
        buf_free(&child->lines);
        mem_free(child);
    }
}

static void close_child(struct child *child)
{
    child->disk = NULL;
    uv_close((uv_handle_t *)&child->process, on_child_closed);
    uv_close((uv_handle_t *)&child->in, on_child_closed);
    uv_close((uv_handle_t *)&child->out, on_child_closed);
}

static void drop_child(struct pg_disk *disk)
{
    if (disk->child != NULL) {
        close_child(disk->child);
        disk->child = NULL;
    }
}

__attribute__((format(printf, 2, 3))) static void forget(struct pg_disk *disk, const char *fmt, ...)
{
    va_list args;

    disk->heard_ms = 0;
    for (size_t i = 0; i < disk->state.count; i++) {
        disk->state.places[i].kind = PG_DISK_UNKNOWN;
        disk->state.places[i].since_ms = clock_mono_ms(disk->clock);
    }
    va_start(args, fmt);
    (void)vsnprintf(disk->state.error, sizeof disk->state.error, fmt, args);
    va_end(args);
    disk->on_state(disk->arg, &disk->state);
}

static void on_exit_child(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct child *child = process->data;
    struct pg_disk *disk = child->disk;
    if (disk != NULL) {
        disk->started_ms = clock_mono_ms(disk->clock);
        drop_child(disk);
        forget(disk, "the process that looks at the disks has ended (status %d, signal %d)",
               (int)exit_status, term_signal);
    }
}

static void take_line(struct pg_disk *disk, struct span line)
{
    struct pg_disk_place place;
    int64_t now = clock_mono_ms(disk->clock);

    if (pg_disk_line_parse(line, &place)) {
        if (disk->next.count < PG_DISK_PLACES_MAX) {
            disk->next.places[disk->next.count++] = place;
        }
        return;
    }
    if (line.len != strlen("end") || memcmp(line.data, "end", line.len) != 0) {
        disk->next.count = 0; /* not what it says: nothing of this report counts */
        return;
    }
    if (disk->next.count > 0) {
        pg_disk_judge(&disk->limits, &disk->state, now, &disk->next);
        disk->state = disk->next;
        disk->next.count = 0;
        disk->state.error[0] = '\0';
        disk->heard_ms = now;
        disk->on_state(disk->arg, &disk->state);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct child *child = handle->data;
    (void)suggested;
    *buf = uv_buf_init(child->chunk, sizeof child->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct child *child = stream->data;
    const uint8_t *end;

    if (count < 0) {
        (void)uv_read_stop(stream); /* its exit says the rest */
        return;
    }
    buf_put(&child->lines, buf->base, (size_t)count);
    while (child->disk != NULL && child->lines.len > 0 &&
           (end = memchr(child->lines.data, '\n', child->lines.len)) != NULL) {
        size_t len = (size_t)(end - child->lines.data);
        take_line(child->disk, span_of(child->lines.data, len));
        buf_drop(&child->lines, len + 1);
    }
    if (child->lines.len > LINES_BYTES_MAX) {
        buf_clear(&child->lines);
    }
}

static struct child *child_new(struct pg_disk *disk)
{
    struct child *child = mem_new(struct child);
    child->disk = disk;
    (void)uv_pipe_init(disk->loop, &child->in, 0);
    (void)uv_pipe_init(disk->loop, &child->out, 0);
    child->process.data = child;
    child->in.data = child;
    child->out.data = child;
    child->open_handles = 3;
    return child;
}

static int start_child(struct pg_disk *disk, struct error *err)
{
    char parent[16];
    char flag[] = "--pg-disk";
    char *argv[] = {disk->self_exe, flag, parent, disk->data_dir, disk->more, NULL};
    struct child *child = child_new(disk);

    (void)snprintf(parent, sizeof parent, "%d", (int)getpid());
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->out},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_child,
        .file = disk->self_exe,
        .args = argv,
        .cwd = "/", /* the fence kills whoever works in the data directory */
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
    };
    disk->started_ms = clock_mono_ms(disk->clock);
    int rc = uv_spawn(disk->loop, &child->process, &options);
    if (rc != 0) {
        close_child(child);
        return error_set(err, err_from_errno(-rc), "starting %s to look at the disks: %s",
                         disk->self_exe, uv_strerror(rc));
    }
    (void)uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    disk->child = child;
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_disk *disk = timer->data;
    struct error err = {0};
    int64_t now = clock_mono_ms(disk->clock);

    if (disk->heard_ms != 0 && now - disk->heard_ms > PG_DISK_REPORT_MS_MAX) {
        forget(disk, "nothing is heard of the process that looks at the disks");
    }
    if (disk->child == NULL && now - disk->started_ms >= RESTART_MS &&
        start_child(disk, &err) != 0) { /* from here on another RESTART_MS */
        forget(disk, "%s", err.text);
    }
}

struct pg_disk *pg_disk_start(struct uv_loop_s *loop, const struct pg_disk_config *config)
{
    struct pg_disk *disk = mem_new(struct pg_disk);
    disk->loop = loop;
    disk->clock = config->clock;
    disk->self_exe = mem_strdup(config->self_exe);
    disk->data_dir = mem_strdup(config->data_dir);
    disk->more = config->more == NULL ? NULL : mem_strdup(config->more);
    disk->limits = config->limits;
    disk->on_state = config->on_state;
    disk->arg = config->arg;
    (void)uv_timer_init(loop, &disk->timer);
    disk->timer.data = disk;
    disk->started_ms = clock_mono_ms(disk->clock) - RESTART_MS;
    (void)uv_timer_start(&disk->timer, on_timer, 0, LOOK_MS);
    return disk;
}

void pg_disk_set_limits(struct pg_disk *disk, const struct pg_disk_limits *limits)
{
    disk->limits = *limits;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pg_disk *disk = handle->data;
    mem_free(disk->self_exe);
    mem_free(disk->data_dir);
    mem_free(disk->more);
    mem_free(disk);
}

void pg_disk_stop(struct pg_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    if (disk->child != NULL) {
        (void)uv_process_kill(&disk->child->process, SIGKILL);
    }
    drop_child(disk);
    uv_close((uv_handle_t *)&disk->timer, on_timer_closed);
}
