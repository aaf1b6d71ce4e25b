/* uv_spawn with both outputs on pipes. Done = exited *and* both pipes at their end (or, when a
 * grandchild keeps a pipe open, PIPES_WAIT_MS after the exit). The object frees itself when its
 * handles are closed, after the callback.
 *
 * The child leads a session and process group of its own. initdb and pg_rewind run `postgres
 * --single`, pg_basebackup a receiver of WAL: killing the group ends those with it, and the kernel
 * lets no fork slip through (a fork while the group's signal is on its way is tried again). Whoever
 * is left in the group after the child has ended has no business any more, and is killed too; but
 * what a command of the operator starts in the background may be meant to stay (spares_rest). */
#include "pgctl/proc/pg_child.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/proc/pg_exec.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define PIPES_WAIT_MS 500

struct stream {
    struct pg_child *child;
    uv_pipe_t pipe;
    struct buf buf;
    size_t line; /* where the one begins that is not whole yet, if lines are shown */
    bool ended;
    char chunk[4096];
};

struct pg_child {
    uv_process_t process;
    uv_timer_t timer;
    struct stream out;
    struct stream err;
    uv_pipe_t in;
    uv_write_t write;
    char *input;
    char *name;
    bool exited;
    bool killed;
    bool spares_rest;
    bool timed_out;
    bool told;
    int64_t exit_status;
    int signal;
    pid_t pid; /* and process group */
    int open_handles;
    pg_child_cb done;
    bool (*take_line)(void *arg, struct span line);
    void *arg;
};

static void free_child(struct pg_child *child)
{
    buf_free(&child->out.buf);
    buf_free(&child->err.buf);
    mem_free(child->input);
    mem_free(child->name);
    mem_free(child);
}

static void on_closed(uv_handle_t *handle)
{
    struct pg_child *child = handle->data;
    child->open_handles--;
    if (child->open_handles == 0) {
        free_child(child);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_closed);
    }
}

static void close_all(struct pg_child *child)
{
    close_handle((uv_handle_t *)&child->process);
    close_handle((uv_handle_t *)&child->timer);
    close_handle((uv_handle_t *)&child->out.pipe);
    close_handle((uv_handle_t *)&child->err.pipe);
    close_handle((uv_handle_t *)&child->in);
}

static bool names_reason(struct span line)
{
    return memmem(line.data, line.len, ": error: ", strlen(": error: ")) != NULL ||
           memmem(line.data, line.len, ": fatal: ", strlen(": fatal: ")) != NULL;
}

/* The last line in which a program of PostgreSQL calls something an error: behind it initdb and
 * pg_basebackup tell what they tidy up. Else the last line that says something. */
static void last_words(struct span text, char *ret_line, size_t size)
{
    struct span line = {.data = text.data, .len = 0};
    bool reason = false;

    for (size_t start = 0, end = 0; start < text.len; start = end + 1) {
        for (end = start; end < text.len && text.data[end] != '\n' && text.data[end] != '\r';) {
            end++;
        }
        struct span found = {.data = text.data + start, .len = end - start};
        while (found.len > 0 && found.data[found.len - 1] == ' ') {
            found.len--;
        }
        if (found.len > 0 && (names_reason(found) || !reason)) {
            line = found;
            reason = names_reason(found);
        }
    }
    (void)snprintf(ret_line, size, "%.*s", (int)line.len,
                   line.len == 0 ? "" : (const char *)line.data);
}

static int judge(const struct pg_child *child, struct error *err)
{
    char line[256];

    last_words(buf_span(&child->err.buf), line, sizeof line);
    if (child->timed_out) {
        return error_set(err, ERR_TIMEOUT, "%s: not done in time, killed: %s", child->name, line);
    }
    if (child->killed) {
        return error_set(err, ERR_CANCELED, "%s: killed on request", child->name);
    }
    if (child->signal != 0) {
        return error_set(err, ERR_IO, "%s: ended by signal %d: %s", child->name, child->signal,
                         line);
    }
    if (child->exit_status != 0) {
        return error_set(err, ERR_IO, "%s: exit status %" PRId64 ": %s", child->name,
                         child->exit_status, line);
    }
    return 0;
}

static void tell(struct pg_child *child)
{
    struct error err = {0};
    struct pg_child_result result = {
        .exit_code = child->signal != 0 ? -1 : (int)child->exit_status,
        .signal = child->signal,
        .out = buf_span(&child->out.buf),
        .err = buf_span(&child->err.buf),
    };
    if (child->told) {
        return;
    }
    child->told = true;
    int rc = judge(child, &err);
    child->done(child->arg, rc, &result, &err);
    close_all(child);
}

static void tell_if_over(struct pg_child *child)
{
    if (child->exited && child->out.ended && child->err.ended) {
        tell(child);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_child *child = timer->data;
    if (child->exited) {
        tell(child); /* a grandchild still has the pipe */
        return;
    }
    child->timed_out = true;
    (void)kill(-child->pid, SIGKILL);
}

static void on_exit_child(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct pg_child *child = process->data;
    child->exited = true;
    child->exit_status = exit_status;
    child->signal = term_signal;
    if (!child->spares_rest || child->killed || child->timed_out) {
        /* Its number was given back by a wait of a moment ago, unless somebody is in the group. */
        (void)kill(-child->pid, SIGKILL);
    }
    (void)uv_timer_start(&child->timer, on_timer, PIPES_WAIT_MS, 0);
    tell_if_over(child);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct pg_child *child = handle->data;
    struct stream *stream = handle == (uv_handle_t *)&child->out.pipe ? &child->out : &child->err;
    (void)suggested;
    *buf = uv_buf_init(stream->chunk, sizeof stream->chunk);
}

static size_t find_line_end(const struct buf *buf, size_t at)
{
    while (at < buf->len && buf->data[at] != '\n' && buf->data[at] != '\r') {
        at++;
    }
    return at;
}

/* Shows the lines that have become whole; those that are taken go, with their ends. */
static void show_lines(struct pg_child *child, struct stream *stream)
{
    struct buf *buf = &stream->buf;
    size_t kept = stream->line;
    size_t start = stream->line;
    size_t end = 0;

    while ((end = find_line_end(buf, start)) < buf->len) {
        size_t len = end + 1 - start;
        if (!child->take_line(child->arg, span_of(buf->data + start, end - start))) {
            memmove(buf->data + kept, buf->data + start, len);
            kept += len;
        }
        start = end + 1;
    }
    memmove(buf->data + kept, buf->data + start, buf->len - start);
    buf->len -= start - kept;
    stream->line = kept;
}

static void put_output(struct pg_child *child, struct stream *stream, struct span bytes)
{
    struct buf *buf = &stream->buf;
    buf_put_span(buf, bytes);
    if (stream == &child->err && child->take_line != NULL) {
        show_lines(child, stream);
    }
    if (buf->len > PG_CHILD_OUTPUT_MAX) {
        size_t over = buf->len - PG_CHILD_OUTPUT_MAX;
        buf_drop(buf, over);
        stream->line -= over < stream->line ? over : stream->line;
    }
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    struct pg_child *child = handle->data;
    struct stream *stream = handle == (uv_stream_t *)&child->out.pipe ? &child->out : &child->err;

    if (count > 0) {
        put_output(child, stream, span_of(buf->base, (size_t)count));
    } else if (count < 0) {
        stream->ended = true;
        (void)uv_read_stop(handle);
        tell_if_over(child);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct pg_child *child = write->data;
    (void)status; /* a program that does not read its input says so by its exit status */
    close_handle((uv_handle_t *)&child->in);
}

static void init_handles(uv_loop_t *loop, struct pg_child *child)
{
    (void)uv_timer_init(loop, &child->timer);
    (void)uv_pipe_init(loop, &child->out.pipe, 0);
    (void)uv_pipe_init(loop, &child->err.pipe, 0);
    (void)uv_pipe_init(loop, &child->in, 0);
    child->timer.data = child;
    child->out.pipe.data = child;
    child->err.pipe.data = child;
    child->in.data = child;
    child->process.data = child;
    child->open_handles = 5;
}

static int spawn(uv_loop_t *loop, struct pg_child *child, const struct pg_child_spec *spec)
{
    const char *argv[PG_CHILD_ARGS_MAX + 4];
    char parent[16];
    size_t count = 0;

    if (spec->self_exe != NULL) {
        (void)snprintf(parent, sizeof parent, "%d", (int)getpid());
        argv[count++] = spec->self_exe;
        argv[count++] = spec->is_group ? PG_GROUP_FLAG : PG_EXEC_FLAG;
        argv[count++] = parent;
    }
    for (size_t i = 0; spec->argv[i] != NULL; i++) {
        argv[count++] = spec->argv[i];
    }
    argv[count] = NULL;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&child->out.pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&child->err.pipe},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_child,
        .file = argv[0],
        .args = (char **)(uintptr_t)argv,
        .env = (char **)(uintptr_t)spec->env,
        .cwd = spec->cwd,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
    };
    return uv_spawn(loop, &child->process, &options);
}

static void write_input(struct pg_child *child, const char *input)
{
    if (input == NULL || input[0] == '\0') {
        close_handle((uv_handle_t *)&child->in);
        return;
    }
    child->input = mem_strdup(input);
    child->write.data = child;
    uv_buf_t buf = uv_buf_init(child->input, (unsigned)strlen(child->input));
    if (uv_write(&child->write, (uv_stream_t *)&child->in, &buf, 1, on_written) != 0) {
        close_handle((uv_handle_t *)&child->in);
    }
}

int pg_child_start(struct uv_loop_s *loop, const struct pg_child_spec *spec, pg_child_cb done,
                   void *arg, struct pg_child **ret_child, struct error *err)
{
    size_t count = 0;
    while (spec->argv[count] != NULL) {
        count++;
    }
    if (count == 0 || count > PG_CHILD_ARGS_MAX) {
        return error_set(err, ERR_LIMIT, "%zu arguments for a program, at most %d are allowed",
                         count, PG_CHILD_ARGS_MAX);
    }
    struct pg_child *child = mem_new(struct pg_child);
    const char *slash = strrchr(spec->argv[0], '/');
    child->name = mem_strdup(slash == NULL ? spec->argv[0] : slash + 1);
    child->done = done;
    child->arg = arg;
    child->take_line = spec->take_line;
    child->spares_rest = spec->spares_rest;
    init_handles(loop, child);
    int rc = spawn(loop, child, spec);
    if (rc != 0) {
        rc = error_set(err, err_from_errno(-rc), "starting %s: %s", spec->argv[0], uv_strerror(rc));
        close_all(child);
        return rc;
    }
    child->pid = uv_process_get_pid(&child->process);
    (void)uv_read_start((uv_stream_t *)&child->out.pipe, on_alloc, on_read);
    (void)uv_read_start((uv_stream_t *)&child->err.pipe, on_alloc, on_read);
    (void)uv_timer_start(&child->timer, on_timer,
                         (uint64_t)(spec->timeout_ms > 0 ? spec->timeout_ms : 0), 0);
    write_input(child, spec->input);
    *ret_child = child;
    return 0;
}

void pg_child_kill(struct pg_child *child)
{
    if (!child->exited) {
        child->killed = true;
        (void)kill(-child->pid, SIGKILL);
    }
}
