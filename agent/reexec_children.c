#include "agent/reexec_children.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN_BYTES = 1024 };

static void on_child(uv_signal_t *signal, int number)
{
    struct reexec_children *children = signal->data;
    size_t left = 0;
    (void)number;
    for (size_t i = 0; i < children->count; i++) {
        if (waitpid(children->pids[i], NULL, WNOHANG) == 0) {
            children->pids[left++] = children->pids[i];
        }
    }
    children->count = left;
    if (left == 0) {
        reexec_children_close(children);
    }
}

/* Without the file (a kernel without CONFIG_PROC_CHILDREN) they stay zombies until we end. */
static void find_children(struct reexec_children *children)
{
    char path[64];
    char text[CHILDREN_BYTES];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    char *end = text;
    for (long pid = strtol(text, &end, 10); pid > 0 && children->count < REEXEC_CHILDREN_MAX;
         pid = strtol(end, &end, 10)) {
        children->pids[children->count++] = (int)pid;
    }
}

void reexec_children_take(struct reexec_children *children, uv_loop_t *loop)
{
    find_children(children);
    children->signal.data = children;
    if (children->count == 0 || uv_signal_init(loop, &children->signal) != 0) {
        return;
    }
    children->open = true;
    uv_unref((uv_handle_t *)&children->signal);
    (void)uv_signal_start(&children->signal, on_child, SIGCHLD);
    on_child(&children->signal, SIGCHLD); /* who has ended already */
}

void reexec_children_close(struct reexec_children *children)
{
    if (children->open) {
        children->open = false;
        uv_close((uv_handle_t *)&children->signal, NULL);
    }
}
