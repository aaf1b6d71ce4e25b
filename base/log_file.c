/* name -> name.1 -> name.2 ... -> gone. The chain is moved from its end, so that a crash in the
 * middle leaves a gap and loses nothing. Where it cannot be moved the present file goes on, and it
 * is tried again when that has grown by an eighth. */
#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = LOG_DIR_BYTES + 32, RETRY_SHARE = 8 };
_Static_assert(PATH_BYTES <= PATH_MAX, "a path of the system's");

/* `number` 0: the present one. */
static void path_of(const struct log_file_settings *settings, int number,
                    char ret_path[static PATH_BYTES])
{
    int len = snprintf(ret_path, PATH_BYTES, "%s/%s", settings->dir, LOG_FILE_NAME);
    if (number > 0) {
        (void)snprintf(ret_path + len, PATH_BYTES - (size_t)len, ".%d", number);
    }
}

static int fail(struct error *err, const char *doing, const char *path)
{
    int errnum = errno;
    return error_set(err, err_from_errno(errnum), "log.dir: %s '%s': %s", doing, path,
                     strerror(errnum));
}

static int open_at(struct log_file *file, const char *path, struct error *err)
{
    int mode = file->settings.mode;
    struct stat found;
    /* Not to block: a pipe of that name, which nobody reads. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  mode >= 0 ? mode : 0666);
    if (fd < 0) {
        return fail(err, "opening", path);
    }
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
        errno = EINVAL;
        (void)close(fd);
        return fail(err, "no plain file is", path);
    }
    if (mode >= 0 && (found.st_mode & 07777) != (mode_t)mode && fchmod(fd, (mode_t)mode) != 0) {
        int rc = fail(err, "setting the mode of", path);
        (void)close(fd);
        return rc;
    }
    file->fd = fd;
    file->bytes = found.st_size;
    file->rotate_at_bytes = file->settings.size_bytes;
    return 0;
}

int log_file_open(struct log_file *file, const struct log_file_settings *settings,
                  struct error *err)
{
    char path[PATH_BYTES];
    *file = (struct log_file){.fd = -1, .settings = *settings};
    path_of(settings, 0, path);
    return open_at(file, path, err);
}

void log_file_close(struct log_file *file)
{
    if (file->fd >= 0) {
        (void)close(file->fd);
    }
    file->fd = -1;
}

/* What is not there leaves a gap. */
static int move_chain(const struct log_file_settings *settings, struct error *err)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    for (int number = settings->num; number > 0; number--) {
        path_of(settings, number - 1, from);
        path_of(settings, number, to);
        if (rename(from, to) != 0 && errno != ENOENT) {
            return fail(err, "renaming", from);
        }
    }
    return 0;
}

static int rotate(struct log_file *file, struct error *err)
{
    struct log_file next = {.fd = -1, .settings = file->settings};
    char path[PATH_BYTES];
    path_of(&file->settings, 0, path);
    int rc = move_chain(&file->settings, err);
    rc = rc != 0 ? rc : open_at(&next, path, err);
    if (rc != 0) {
        int64_t share = file->settings.size_bytes / RETRY_SHARE;
        file->rotate_at_bytes = file->bytes + (share > 0 ? share : 1);
        return rc;
    }
    (void)close(file->fd);
    *file = next;
    return 0;
}

/* The beginning of a line that did not fit on the disk goes again: the next one is to have a line
 * of its own. */
static void take_back(int fd, size_t len)
{
    struct stat found;
    if (len > 0 && fstat(fd, &found) == 0 && found.st_size >= (off_t)len) {
        (void)!ftruncate(fd, found.st_size - (off_t)len);
    }
}

static int write_whole(int fd, const char *line, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t written = write(fd, line + done, len - done);
        if (written < 0 && errno != EINTR) {
            int errnum = errno;
            take_back(fd, done);
            errno = errnum;
            return -1;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return 0;
}

int log_file_write(struct log_file *file, const char *line, size_t len, struct error *err)
{
    char path[PATH_BYTES];
    bool full = file->settings.num > 0 && file->settings.size_bytes > 0 && file->bytes > 0 &&
                file->bytes + (int64_t)len >= file->rotate_at_bytes;
    err->code = 0;
    if (full) {
        (void)rotate(file, err);
    }
    if (write_whole(file->fd, line, len) != 0) {
        path_of(&file->settings, 0, path);
        return fail(err, "writing to", path);
    }
    file->bytes += (int64_t)len;
    return 0;
}
