/* A program run to its end: output kept (its end, if there is much), a deadline, and a kill that
 * reaches it also when the agent dies: it is run through the wrapper of pg_exec.c. */
#ifndef PGCTL_PROC_PG_CHILD_H
#define PGCTL_PROC_PG_CHILD_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

struct uv_loop_s;
struct pg_child;

#define PG_CHILD_OUTPUT_MAX (64 * 1024) /* of each stream; what came first is dropped */
#define PG_CHILD_ARGS_MAX   160

struct pg_child_spec {
    const char *self_exe; /* wrapper; NULL = run the program directly (no death with the parent) */
    const char *const *argv; /* argv[0] = path; ends with NULL */
    const char *const *env;  /* ends with NULL */
    const char *cwd;         /* NULL = ours */
    const char
        *input; /* standard input; NULL = empty. At most 4096 bytes (a pipe takes it at once) */
    int64_t timeout_ms;
    bool is_group;    /* what it has started dies with the agent, too */
    bool spares_rest; /* what it has left in the background when it has ended by itself lives on */
    /* Is shown each line of standard error, without its end, when it is whole; true: it is not
     * kept. With the callback's `arg`; it must not end the child. NULL: all is kept. */
    bool (*take_line)(void *arg, struct span line);
};

struct pg_child_result {
    int exit_code; /* 0..255; -1 = ended by a signal */
    int signal;
    struct span out; /* borrowed, until the callback returns */
    struct span err;
};

/* rc 0: exit status 0. ERR_IO: another status or signal, `err` names program, status and its last
 * line of standard error. ERR_TIMEOUT, ERR_CANCELED: killed. `result` is always given. */
typedef void (*pg_child_cb)(void *arg, int rc, const struct pg_child_result *result,
                            const struct error *err);

int pg_child_start(struct uv_loop_s *loop, const struct pg_child_spec *spec, pg_child_cb done,
                   void *arg, struct pg_child **ret_child, struct error *err) MUST_CHECK;
/* SIGKILL to it and to what it has started; done comes with ERR_CANCELED once it is reaped. */
void pg_child_kill(struct pg_child *child);

#endif
