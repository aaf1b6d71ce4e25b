/* A long text on a terminal goes through a pager: $PAGER, less or more. On a pipe or in a file it
 * is written as it is. */
#include "agent/cli/cli_verbs.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct key_actions {
    struct sigaction interrupt, quit;
};

static bool is_on_path(const char *program)
{
    const char *path = getenv("PATH");
    bool found = false;
    while (path != NULL && *path != '\0' && !found) {
        size_t len = strcspn(path, ":");
        char *file = mem_printf("%.*s/%s", (int)len, path, program);
        found = access(file, X_OK) == 0;
        mem_free(file);
        path += len + (path[len] == ':' ? 1 : 0);
    }
    return found;
}

/* NULL: there is none. */
static const char *pager_command(void)
{
    const char *pager = getenv("PAGER");
    if (pager != NULL && pager[0] != '\0') {
        return pager;
    }
    return is_on_path("less") ? "less" : is_on_path("more") ? "more" : NULL;
}

/* Ends early where the reader has seen enough. */
static void write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(fd, text, left);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return;
        }
        text += written;
        left -= (size_t)written;
    }
}

/* Ctrl-C is the pager's as long as there is one: who ended before it would leave the terminal to
 * two programs, in the pager's mode. */
static void leave_keys_to_pager(struct key_actions *ret_before)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &ignore, &ret_before->interrupt);
    (void)sigaction(SIGQUIT, &ignore, &ret_before->quit);
}

static void take_keys_back(const struct key_actions *before)
{
    (void)sigaction(SIGINT, &before->interrupt, NULL);
    (void)sigaction(SIGQUIT, &before->quit, NULL);
}

/* One that was ended by Ctrl-C has shown enough. */
static bool has_shown(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) != 127
                                  : WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGINT;
}

static int run_pager(const char *command, const char *text, struct error *err)
{
    int ends[2];
    int wait_status = 0;
    struct key_actions before;
    if (pipe(ends) != 0) {
        return error_set(err, ERR_IO, "cannot start the pager '%s': %s", command, strerror(errno));
    }
    leave_keys_to_pager(&before);
    pid_t child = fork();
    if (child == 0) {
        take_keys_back(&before);
        (void)dup2(ends[0], STDIN_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)setenv("LESS", "FRX", 0); /* a text that fits stays on the screen, without a key */
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    if (child > 0) {
        write_all(ends[1], text);
    }
    (void)close(ends[1]);
    bool ended = child > 0 && waitpid(child, &wait_status, 0) == child;
    take_keys_back(&before);
    return ended && has_shown(wait_status)
               ? 0
               : error_set(err, ERR_IO, "the pager '%s' cannot be run: set PAGER to one that can",
                           command);
}

int cli_page(const char *text, struct error *err)
{
    if (!isatty(STDOUT_FILENO)) {
        (void)printf("%s", text);
        return 0;
    }
    const char *command = pager_command();
    if (command == NULL) {
        return error_set(err, ERR_NOT_FOUND,
                         "No pager could be found. Either set PAGER environment variable with "
                         "your pager or install either \"less\" or \"more\" in the host.");
    }
    (void)fflush(stdout);
    return run_pager(command, text, err);
}
