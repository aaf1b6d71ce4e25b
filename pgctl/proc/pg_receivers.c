/* Walreceivers, found among the postmaster's children rather than in pg_stat_activity: a
 * walreceiver shows there only after it has begun to work, and the promise not to receive any more
 * must not miss one that was forked just before. A child without a title has the postmaster's own
 * command line. */
#include "pgctl/proc/pg_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t pg_process_parent(int32_t pid)
{
    char path[64];
    struct buf text = BUF_INIT;
    int32_t parent = -1;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    if (pg_file_read(path, 4096, &text, NULL) == 0) {
        const char *paren = strrchr(buf_str(&text), ')');
        if (paren != NULL && strlen(paren) > 4 && paren[2] != 'Z') {
            parent = (int32_t)strtol(paren + 3, NULL, 10);
        }
    }
    buf_free(&text);
    return parent;
}

static bool is_receiver(const char *title)
{
    /* "postgres: walreceiver ..." or "postgres: <cluster_name>: walreceiver ..." */
    const char *word = strstr(title, ": walreceiver");
    return strncmp(title, "postgres: ", strlen("postgres: ")) == 0 && word != NULL;
}

static void look_at(int32_t pid, struct pg_receivers *receivers)
{
    char path[64];
    struct buf text = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/cmdline", pid);
    if (pg_file_read(path, 65536, &text, NULL) == 0 && text.len > 0) {
        const char *title = buf_str(&text);
        if (is_receiver(title)) {
            if (receivers->count < PG_UNTITLED_MAX) {
                receivers->pids[receivers->count] = pid;
            }
            receivers->count++;
        } else if (strncmp(title, "postgres: ", strlen("postgres: ")) != 0) {
            if (receivers->untitled_count < PG_UNTITLED_MAX) {
                receivers->untitled[receivers->untitled_count] = pid;
            }
            receivers->untitled_count++;
        }
    }
    buf_free(&text);
}

/* One that is gone, or somebody else's, is none; < 0 = that is not known. */
static int is_server_process(int32_t pid, struct error *err)
{
    char path[64];
    struct buf name = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/comm", pid);
    int rc = pg_file_read(path, 64, &name, err);
    bool is = rc == 0 && span_equal(buf_span(&name), span_str("postgres\n"));
    buf_free(&name);
    return rc == 0 || rc == ERR_NOT_FOUND || rc == ERR_PERMISSION ? is : rc;
}

static int find_server(const char *data_dir, bool head, int32_t *ret_pid, struct error *err)
{
    const struct dirent *entry;
    struct error blind = {0}; /* why one was not seen */
    DIR *dir = opendir("/proc");

    *ret_pid = 0;
    if (dir == NULL) {
        return error_set(err, err_from_errno(errno), "opening /proc: %s", strerror(errno));
    }
    while (*ret_pid == 0 && (entry = readdir(dir)) != NULL) {
        int32_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (int32_t)strtol(entry->d_name, NULL, 10) : 0;
        struct error why = {0};
        int is = pid > 0 ? is_server_process(pid, &why) : 0;
        if (is < 0 && blind.code == 0) {
            blind = why;
        }
        if (is > 0 && pg_process_works_in(pid, data_dir) &&
            !(head && pg_process_works_in(pg_process_parent(pid), data_dir))) {
            *ret_pid = pid;
        }
    }
    (void)closedir(dir);
    return *ret_pid != 0 || blind.code == 0 ? 0 : error_set(err, blind.code, "%s", blind.text);
}

int pg_dir_server_process(const char *data_dir, int32_t *ret_pid, struct error *err)
{
    return find_server(data_dir, false, ret_pid, err);
}

int pg_dir_server_head(const char *data_dir, int32_t *ret_pid, struct error *err)
{
    return find_server(data_dir, true, ret_pid, err);
}

int pg_receivers_look(int32_t postmaster_pid, struct pg_receivers *ret_receivers, struct error *err)
{
    struct pg_receivers receivers = {0};
    const struct dirent *entry;
    DIR *dir = opendir("/proc");

    if (dir == NULL) {
        return error_set(err, err_from_errno(errno), "opening /proc: %s", strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        int32_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (int32_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && pg_process_parent(pid) == postmaster_pid) {
            look_at(pid, &receivers);
        }
    }
    (void)closedir(dir);
    *ret_receivers = receivers;
    return 0;
}

void pg_receiver_end(int32_t postmaster_pid, int32_t pid)
{
    /* The pidfd holds the process: a number that is used again cannot be hit. */
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return;
    }
    if (pg_process_parent(pid) == postmaster_pid) {
        (void)syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    }
    (void)close(fd);
}
