/* What an unfinished job left running. A job's program dies with the agent (pg_exec) and its
 * process group with a cancel (pg_child); but a grandchild of an agent that was killed, as the
 * `postgres
 * --single` of an initdb, ends only when it notices, and a process in an uninterruptible wait ends
 * when the disk lets it. None of them may write while another job, or a server, works in the
 * directory.
 *
 * They are told by their command lines, which none of these programs changes: a receiver that
 * pg_basebackup has forked neither works in the directory nor has a parent any more. A server is
 * left alone: the fence and the stop job know how to end one. */
#include "pgctl/proc/pg_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMMAND_BYTES_MAX 65536
#define DEATH_WAIT_MS     2000 /* of each; SIGKILL takes a millisecond, a stuck disk any time */

/* The arguments of a command line, one after another; NULL at its end. */
static const char *next_argument(const struct buf *line, const char *argument)
{
    const char *end = (const char *)line->data + line->len;
    const char *next = argument + strlen(argument) + 1;
    return next < end ? next : NULL;
}

static bool is_job_program(const char *path, const char *first)
{
    static const char *const programs[] = {"initdb", "pg_basebackup", "pg_rewind"};
    static const char *const modes[] = {"--single", "--boot", "--check"};
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (strcmp(name, programs[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(name, "postgres") == 0 && first != NULL && strcmp(first, modes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* initdb names the directory to its `postgres --boot` with -D too, but puts it into PGDATA for the
 * `postgres --single` that follows: that one works in the directory. */
static bool is_for(const struct buf *line, int32_t pid, const char *data_dir)
{
    static const char option[] = "--target-pgdata=";
    const char *argument = (const char *)line->data;

    while ((argument = next_argument(line, argument)) != NULL) {
        const char *value =
            strncmp(argument, option, strlen(option)) == 0 ? argument + strlen(option) : argument;
        if (strcmp(value, data_dir) == 0) {
            return true;
        }
    }
    return pg_process_works_in(pid, data_dir);
}

static bool is_orphan(int32_t pid, const char *data_dir)
{
    char path[64];
    struct buf line = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/cmdline", pid);
    /* A zombie has no command line any more. */
    bool found = pg_file_read(path, COMMAND_BYTES_MAX, &line, NULL) == 0 && line.len > 0;
    if (found) {
        const char *program = buf_str(&line);
        found =
            is_job_program(program, next_argument(&line, program)) && is_for(&line, pid, data_dir);
    }
    buf_free(&line);
    return found;
}

/* True when it is gone. */
static bool end_orphan(int32_t pid, const char *data_dir)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return errno == ESRCH;
    }
    bool gone = true;
    if (is_orphan(pid, data_dir)) { /* again, now that the number cannot go to another */
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        gone = poll(&ended, 1, DEATH_WAIT_MS) == 1;
    }
    (void)close(fd);
    return gone;
}

int32_t pg_orphans_end(const char *data_dir)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc");
    int32_t left = 0;

    while (dir != NULL && left == 0 && (entry = readdir(dir)) != NULL) {
        int32_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (int32_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && pid != getpid() && is_orphan(pid, data_dir) && !end_orphan(pid, data_dir)) {
            left = pid;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return left;
}
