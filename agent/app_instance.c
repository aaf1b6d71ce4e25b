#include "agent/app_instance.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIGITS (HA_INSTANCE_BYTES - 1)

static int fail(struct error *err, const char *doing, const char *path, int number)
{
    return error_set(err, err_from_errno(number), "%s '%s': %s", doing, path, strerror(number));
}

/* ERR_NOT_FOUND: there is none. */
static int instance_read(const char *path, char *ret_instance, struct error *err)
{
    char text[DIGITS + 3] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, "reading", path, errno);
    }
    ssize_t len = read(fd, text, sizeof text - 1);
    int failed = errno;
    (void)close(fd);
    if (len < 0) {
        return fail(err, "reading", path, failed);
    }
    if (len != DIGITS + 1 || text[DIGITS] != '\n' ||
        strspn(text, "0123456789abcdef") != (size_t)DIGITS) {
        return error_set(err, ERR_CORRUPT,
                         "'%s' has to be a line of %d hex digits, and is not: put it back from a "
                         "copy, or remove it: then this agent is another one, and goes on when the "
                         "record of before has ended",
                         path, DIGITS);
    }
    memcpy(ret_instance, text, DIGITS);
    ret_instance[DIGITS] = '\0';
    return 0;
}

static int directory_sync(const char *state_dir, struct error *err)
{
    int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed == 0 ? 0 : fail(err, "syncing", state_dir, failed);
}

/* Under another name first: what has the name is whole, wherever this is cut off. */
static int instance_write(const char *state_dir, const char *path, const char *instance,
                          struct error *err)
{
    char *temporary = mem_printf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = 0;
    if (fd < 0) {
        rc = fail(err, "making", temporary, errno);
    } else {
        char line[DIGITS + 2];
        (void)snprintf(line, sizeof line, "%s\n", instance);
        errno = ENOSPC; /* of a short write */
        if (write(fd, line, DIGITS + 1) != DIGITS + 1 || fsync(fd) != 0) {
            rc = fail(err, "writing", temporary, errno);
        }
        (void)close(fd);
    }
    if (rc == 0 && rename(temporary, path) != 0) {
        rc = fail(err, "making", path, errno);
    }
    mem_free(temporary);
    return rc != 0 ? rc : directory_sync(state_dir, err);
}

int app_instance_open(const char *state_dir, const struct random *random,
                      char ret_instance[HA_INSTANCE_BYTES], struct error *err)
{
    char *path = mem_printf("%s/instance", state_dir);
    char made[HA_INSTANCE_BYTES];
    int rc = instance_read(path, ret_instance, err);
    if (rc == ERR_NOT_FOUND) {
        (void)snprintf(made, sizeof made, "%016" PRIx64, random_next(random));
        rc = instance_write(state_dir, path, made, err);
        if (rc == 0) {
            memcpy(ret_instance, made, sizeof made);
        }
    }
    mem_free(path);
    return rc;
}
