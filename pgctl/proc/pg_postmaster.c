/* A pid that was read a while ago may be anybody's by now. So a signal goes by pidfd: it holds the
 * process while the pid file is read (again) and the process is looked at, as the fence does. */
#include "pgctl/proc/pg_postmaster.h"

#include "base/mem.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIDFILE_BYTES_MAX 8192

int pg_pidfile_read(const char *data_dir, struct pg_pidfile *ret_pidfile, struct error *err)
{
    char path[PG_PATH_BYTES];
    struct buf text = BUF_INIT;

    (void)snprintf(path, sizeof path, "%s/postmaster.pid", data_dir);
    int rc = pg_file_read(path, PIDFILE_BYTES_MAX, &text, err);
    rc = rc != 0 ? rc : pg_pidfile_parse(buf_span(&text), ret_pidfile, err);
    buf_free(&text);
    return rc;
}

static int32_t named(const char *data_dir, bool *ret_single_user, struct error *ret_why)
{
    struct pg_pidfile *pidfile = mem_new(struct pg_pidfile);
    struct error why = {0};
    int32_t pid = 0;
    int rc = pg_pidfile_read(data_dir, pidfile, &why);

    *ret_single_user = rc == 0 && pidfile->single_user;
    if (rc == 0) {
        pid = pidfile->pid;
    } else if (rc != ERR_NOT_FOUND && pg_dir_server_head(data_dir, &pid, NULL) != 0) {
        pid = -1;
    }
    if (rc == ERR_NOT_FOUND) {
        why = (struct error){0};
    }
    *ret_why = why;
    mem_free(pidfile);
    return pid;
}

int32_t pg_postmaster_named(const char *data_dir, struct error *ret_why)
{
    bool single_user;
    return named(data_dir, &single_user, ret_why);
}

/* 0 = none, -1 = not known. */
static int32_t named_postmaster(const char *data_dir, struct error *ret_why)
{
    bool single_user;
    int32_t pid = named(data_dir, &single_user, ret_why);
    return single_user ? 0 : pid;
}

/* What cannot be seen says nothing against it. */
static bool is_still(int32_t pid, const char *data_dir)
{
    struct error why;
    int32_t now = named_postmaster(data_dir, &why);
    return (now == pid || now < 0) && pg_process_works_in(pid, data_dir);
}

static int send_signal(int fd, int32_t pid, int number)
{
    /* No pidfd to be had (an old kernel, no descriptor left): the process was just looked at. */
    return fd >= 0 ? (int)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) : kill(pid, number);
}

int pg_postmaster_signal(const char *data_dir, int32_t pid, int number, struct error *err)
{
    struct error why = {0};
    int32_t target = pid != 0 ? pid : named_postmaster(data_dir, &why);
    if (target < 0) {
        return error_set(err, why.code, "%s", why.text);
    }
    int fd = target > 0 ? (int)syscall(SYS_pidfd_open, target, 0) : -1;
    bool gone = target == 0 || (fd < 0 && errno == ESRCH) || !is_still(target, data_dir);
    int rc = 0;

    if (!gone && send_signal(fd, target, number) != 0) {
        gone = errno == ESRCH;
        rc = gone ? 0
                  : error_set(err, err_from_errno(errno), "signalling process %" PRId32 ": %s",
                              target, strerror(errno));
    }
    if (gone) {
        rc = error_set(err, ERR_NOT_FOUND, "no postmaster works in '%s'", data_dir);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

bool pg_postmaster_signal_child(int32_t pid, int32_t fence_pid, int number)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    bool gone = pid <= 0 || (fd < 0 && errno == ESRCH) || pg_process_parent(pid) != fence_pid;
    bool sent = !gone && send_signal(fd, pid, number) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return sent;
}
