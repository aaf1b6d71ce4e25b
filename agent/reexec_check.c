/* Each question is one child with a pipe for what it says, and a deadline: a program that hangs is
 * killed. Everything here waits, on a thread of libuv's pool. */
#include "agent/reexec_check.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { SAID_BYTES = 4096, LOOK_MS = 50 };

#define VERSION_BEGIN "pgquorum "

struct question {
    const char *program;
    char *const *argv;
    char *const *env;
    int64_t limit_ms;
    const atomic_bool *cancel;
    char said[SAID_BYTES]; /* the beginning of it */
    size_t said_len;
};

bool reexec_check_asked(void)
{
    const char *asked = getenv(REEXEC_ENV_CHECK);
    return asked != NULL && strcmp(asked, "1") == 0;
}

const char *reexec_check_running(void)
{
    return getenv(REEXEC_ENV_RUNNING);
}

/* Signals as they are for a program that is started by hand: ours are ignored or blocked. */
static int spawn(const struct question *question, int write_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;

    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    int failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    failed =
        failed != 0 ? failed : posix_spawn_file_actions_adddup2(&actions, write_fd, STDOUT_FILENO);
    failed =
        failed != 0 ? failed : posix_spawn_file_actions_adddup2(&actions, write_fd, STDERR_FILENO);
    failed = failed != 0 ? failed
                         : posix_spawn(ret_pid, question->program, &actions, &attributes,
                                       question->argv, question->env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* The pipe's end is no end of the child: it may close it and go on. */
static bool hear(struct question *question, int read_fd)
{
    char rest[512];
    size_t room = sizeof question->said - 1 - question->said_len;
    ssize_t len = room > 0 ? read(read_fd, question->said + question->said_len, room)
                           : read(read_fd, rest, sizeof rest);
    if (len > 0 && room > 0) {
        question->said_len += (size_t)len;
        question->said[question->said_len] = '\0';
    }
    return len > 0 || (len < 0 && errno == EINTR);
}

/* 0 and *ret_status as waitpid gives it; ERR_TIMEOUT and ERR_CANCELED: it was killed. */
static int follow(struct question *question, pid_t pid, int read_fd, int *ret_status)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + question->limit_ms;
    bool open = true;
    int rc = 0;
    for (;;) {
        struct pollfd heard = {.fd = open ? read_fd : -1, .events = POLLIN};
        if (poll(&heard, 1, LOOK_MS) > 0) {
            open = hear(question, read_fd);
            continue;
        }
        if (waitpid(pid, ret_status, WNOHANG) == pid) {
            return 0;
        }
        rc = atomic_load(question->cancel)             ? ERR_CANCELED
             : clock_mono_ms(clock_real()) >= until_ms ? ERR_TIMEOUT
                                                       : 0;
        if (rc != 0) {
            break;
        }
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, ret_status, 0);
    return rc;
}

/* What it said as one line. */
static void make_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) {
        text[--len] = '\0';
    }
    for (char *at = strchr(text, '\n'); at != NULL; at = strchr(at, '\n')) {
        *at = ';';
    }
}

static int ask(struct question *question, const char *what, struct error *err)
{
    int pair[2];
    int status = 0;
    pid_t pid = 0;
    if (pipe2(pair, O_CLOEXEC) != 0) {
        return error_set(err, err_from_errno(errno), "making a pipe: %s", strerror(errno));
    }
    int failed = spawn(question, pair[1], &pid);
    (void)close(pair[1]);
    int rc = failed != 0 ? error_set(err, ERR_REFUSED, "'%s' cannot be executed: %s",
                                     question->program, strerror(failed))
                         : follow(question, pid, pair[0], &status);
    (void)close(pair[0]);
    if (failed != 0) {
        return rc;
    }
    make_line(question->said);
    const char *said = question->said[0] != '\0' ? question->said : "it said nothing";
    if (rc == ERR_CANCELED) {
        return error_set(err, rc, "the agent is stopping");
    }
    if (rc == ERR_TIMEOUT) {
        return error_set(err, ERR_REFUSED, "'%s' %s in %d s: %s", question->program, what,
                         (int)(question->limit_ms / 1000), said);
    }
    if (WIFSIGNALED(status)) {
        return error_set(err, ERR_REFUSED, "'%s' %s: killed by signal %d: %s", question->program,
                         what, WTERMSIG(status), said);
    }
    return WEXITSTATUS(status) == 0
               ? 0
               : error_set(err, ERR_REFUSED, "'%s' %s: %s", question->program, what, said);
}

static int check_version(const char *program, const atomic_bool *cancel,
                         char ret_version[REEXEC_VERSION_BYTES], struct error *err)
{
    char name[] = "pgquorum";
    char option[] = "--version";
    char *argv[] = {name, option, NULL};
    struct question question = {.program = program,
                                .argv = argv,
                                .env = environ,
                                .limit_ms = REEXEC_VERSION_MS,
                                .cancel = cancel};
    int rc = ask(&question, "has not said which release it is", err);
    if (rc != 0) {
        return rc;
    }
    const char *version = question.said + strlen(VERSION_BEGIN);
    if (strncmp(question.said, VERSION_BEGIN, strlen(VERSION_BEGIN)) != 0 ||
        version[strspn(version, "0123456789.")] != '\0' ||
        strlen(version) >= REEXEC_VERSION_BYTES || version[0] == '\0') {
        return error_set(err, ERR_REFUSED, "'%s' is no pgquorum: asked for its release it said: %s",
                         program, question.said);
    }
    (void)snprintf(ret_version, REEXEC_VERSION_BYTES, "%s", version);
    return 0;
}

static int check_start(const struct reexec_program *program, const atomic_bool *cancel,
                       struct error *err)
{
    char *running = program->identity == NULL
                        ? NULL
                        : mem_printf("%s=%s", REEXEC_ENV_RUNNING, program->identity);
    const char *const more[] = {REEXEC_ENV_CHECK "=1", running, NULL};
    char **env = reexec_program_environment(program, more);
    struct question question = {.program = program->path,
                                .argv = program->argv,
                                .env = env,
                                .limit_ms = REEXEC_START_MS,
                                .cancel = cancel};
    int rc = ask(&question, "would not start here", err);
    mem_free(env);
    mem_free(running);
    return rc;
}

int reexec_check(const struct reexec_program *program, const atomic_bool *cancel,
                 char ret_version[REEXEC_VERSION_BYTES], struct error *err)
{
    int rc = check_version(program->path, cancel, ret_version, err);
    return rc != 0 ? rc : check_start(program, cancel, err);
}
