#include "agent/reexec_program.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { CMDLINE_BYTES_MAX = 65536, ARGS_MAX = 64 };

static bool is_same(const char *path, const struct stat *exe)
{
    struct stat found;
    return stat(path, &found) == 0 && found.st_dev == exe->st_dev && found.st_ino == exe->st_ino;
}

static bool take(struct reexec_program *program, const char *dir, size_t dir_len, const char *name,
                 const struct stat *exe)
{
    int len = snprintf(program->path, sizeof program->path, "%.*s/%s", (int)dir_len, dir, name);
    return len > 0 && (size_t)len < sizeof program->path && is_same(program->path, exe);
}

static bool find_in_path(struct reexec_program *program, const char *name, const struct stat *exe)
{
    const char *dirs = getenv("PATH");
    while (dirs != NULL && *dirs != '\0') {
        size_t len = strcspn(dirs, ":");
        if (dirs[0] == '/' && take(program, dirs, len, name, exe)) {
            return true;
        }
        dirs += len + (dirs[len] == ':' ? 1 : 0);
    }
    return false;
}

/* The name that it was called by, if it is that file: a link to the release in use leads to the new
 * one when it is changed, and the file itself would still be the old one. */
static bool find_called(struct reexec_program *program, const char *called, const struct stat *exe)
{
    char cwd[PATH_MAX];
    if (called[0] == '/') {
        return take(program, "", 0, called + 1, exe);
    }
    if (strchr(called, '/') == NULL) {
        return find_in_path(program, called, exe);
    }
    return getcwd(cwd, sizeof cwd) != NULL && take(program, cwd, strlen(cwd), called, exe);
}

static int find(struct reexec_program *program, struct error *err)
{
    struct stat exe;
    if (stat("/proc/self/exe", &exe) != 0) {
        return error_set(err, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    }
    if (find_called(program, program->argv[0], &exe)) {
        return 0;
    }
    ssize_t len = readlink("/proc/self/exe", program->path, sizeof program->path - 1);
    if (len <= 0) {
        return error_set(err, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    }
    program->path[len] = '\0';
    return 0;
}

static int read_arguments(struct reexec_program *program, struct error *err)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = 1;
    program->cmdline = mem_alloc(CMDLINE_BYTES_MAX + 1);
    while (fd >= 0 && got > 0 && len < CMDLINE_BYTES_MAX) {
        got = read(fd, program->cmdline + len, CMDLINE_BYTES_MAX - len);
        len += got > 0 ? (size_t)got : 0;
    }
    int failed = fd < 0 || got < 0 ? errno : len == CMDLINE_BYTES_MAX ? E2BIG : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    program->argv = mem_new_array(char *, ARGS_MAX + 1);
    size_t count = 0;
    for (size_t at = 0; failed == 0 && at < len; at += strlen(program->cmdline + at) + 1) {
        if (count == ARGS_MAX) {
            failed = E2BIG;
        } else {
            program->argv[count++] = program->cmdline + at;
        }
    }
    failed = failed == 0 && count == 0 ? EINVAL : failed;
    return failed == 0
               ? 0
               : error_set(err, err_from_errno(failed), "/proc/self/cmdline: %s", strerror(failed));
}

int reexec_program_open(struct reexec_program *program, struct error *err)
{
    *program = (struct reexec_program){.cmdline = NULL};
    int rc = read_arguments(program, err);
    rc = rc != 0 ? rc : find(program, err);
    if (rc != 0) {
        reexec_program_close(program);
    }
    return rc;
}

void reexec_program_close(struct reexec_program *program)
{
    mem_free(program->argv);
    mem_free(program->cmdline);
    *program = (struct reexec_program){.cmdline = NULL};
}

char **reexec_program_environment(const struct reexec_program *program, const char *const *more)
{
    const char *const *const lists[] = {more, program->taken, (const char *const *)environ};
    enum { LISTS = sizeof lists / sizeof lists[0] };
    size_t count = 0;
    for (size_t i = 0; i < LISTS; i++) {
        for (const char *const *at = lists[i]; at != NULL && *at != NULL; at++) {
            count++;
        }
    }
    char **environment = mem_new_array(char *, count + 1);
    count = 0;
    for (size_t i = 0; i < LISTS; i++) {
        for (const char *const *at = lists[i]; at != NULL && *at != NULL; at++) {
            environment[count++] = (char *)(uintptr_t)*at; /* execve changes none */
        }
    }
    return environment;
}
