/* Finding the programs. A directory counts only if all of them are there: psql alone (a client
 * package in /usr/bin) does not make an installation. */
#include "pgctl/proc/pg_bin.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/pg_instance.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_child.h"
#include "pgctl/proc/pg_env.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define DEBIAN_DIR         "/usr/lib/postgresql"
#define VERSION_TIMEOUT_MS 5000
#define MAJOR_LIMIT        99

static const char *name_of(enum pg_program program, const struct pg_program_names *names)
{
    static const struct pg_program_names none;
    const struct pg_program_names *given = names == NULL ? &none : names;
    switch (program) {
    case PG_POSTGRES: return given->postgres != NULL ? given->postgres : "postgres";
    case PG_INITDB: return given->initdb != NULL ? given->initdb : "initdb";
    case PG_CONTROLDATA:
        return given->pg_controldata != NULL ? given->pg_controldata : "pg_controldata";
    case PG_BASEBACKUP:
        return given->pg_basebackup != NULL ? given->pg_basebackup : "pg_basebackup";
    case PG_REWIND: return given->pg_rewind != NULL ? given->pg_rewind : "pg_rewind";
    case PG_PROGRAM_COUNT: break;
    }
    ASSERT(false);
    return NULL;
}

/* The first program that is missing in `dir`; NULL if they are all there (then the paths are set).
 */
static const char *missing_in(const char *dir, const struct pg_program_names *names,
                              struct pg_bin *bin)
{
    for (size_t i = 0; i < PG_PROGRAM_COUNT; i++) {
        const char *name = name_of((enum pg_program)i, names);
        (void)snprintf(bin->paths[i], sizeof bin->paths[i], "%s/%s", dir, name);
        if (access(bin->paths[i], X_OK) != 0) {
            return name;
        }
    }
    (void)snprintf(bin->dir, sizeof bin->dir, "%s", dir);
    return NULL;
}

static bool find_in_path(const struct pg_program_names *names, struct pg_bin *bin)
{
    const char *path = getenv("PATH");
    char *copy = mem_strdup(path == NULL ? "" : path);
    char *rest = NULL;
    bool found = false;

    for (char *dir = strtok_r(copy, ":", &rest); dir != NULL && !found;
         dir = strtok_r(NULL, ":", &rest)) {
        found = missing_in(dir, names, bin) == NULL;
    }
    mem_free(copy);
    return found;
}

static bool find_newest(const struct pg_program_names *names, struct pg_bin *bin)
{
    for (int major = MAJOR_LIMIT; major > 0; major--) {
        char dir[64];
        (void)snprintf(dir, sizeof dir, DEBIAN_DIR "/%d/bin", major);
        if (major <= PG_MAJOR_MAX && missing_in(dir, names, bin) == NULL) {
            return true;
        }
    }
    return false;
}

struct version_answer {
    int rc;
    struct error err;
    int major;
};

static void on_version(void *arg, int rc, const struct pg_child_result *result,
                       const struct error *err)
{
    struct version_answer *answer = arg;
    char text[128];

    (void)snprintf(text, sizeof text, "%.*s", (int)result->out.len,
                   result->out.data == NULL ? "" : (const char *)result->out.data);
    answer->rc = rc;
    answer->err = *err;
    if (rc == 0) {
        answer->rc = pg_version_parse(text, &answer->major, &answer->err);
    }
}

/* A loop of its own, so that it can wait without turning the caller's. */
static int ask_version(struct pg_bin *bin, struct error *err)
{
    struct version_answer answer = {.rc = ERR_BUG};
    const char *const argv[] = {bin->paths[PG_POSTGRES], "--version", NULL};
    const char *const locale = "LC_ALL=C";
    char **env = pg_env_make(PG_ENV_PROGRAM, &locale, 1);
    struct pg_child_spec spec = {
        .argv = argv, .env = (const char *const *)env, .timeout_ms = VERSION_TIMEOUT_MS};
    struct pg_child *child;
    uv_loop_t loop;

    (void)uv_loop_init(&loop);
    int rc = pg_child_start(&loop, &spec, on_version, &answer, &child, err);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    pg_env_free(env);
    if (rc == 0 && answer.rc != 0) {
        rc = error_set(err, answer.rc, "%s", answer.err.text);
    }
    bin->major = answer.major;
    return rc;
}

/* It loads from beside its program, as Debian has it, or from "postgresql" there; links are
 * followed. */
int pg_bin_check_guard(const struct pg_bin *bin, struct error *err)
{
    static const char *const dirs[] = {"lib", "lib/postgresql"};
    char program[PATH_MAX];
    char *slash = realpath(bin->paths[PG_POSTGRES], program) != NULL ? strrchr(program, '/') : NULL;
    bool found = false;

    for (size_t i = 0; slash != NULL && i < sizeof dirs / sizeof dirs[0]; i++) {
        char *path =
            mem_printf("%.*s/../%s/pgquorum_guard.so", (int)(slash - program), program, dirs[i]);
        found = found || access(path, R_OK) == 0;
        mem_free(path);
    }
    return found ? 0
                 : error_set(err, ERR_NOT_FOUND,
                             "postgresql.guard: the module pgquorum_guard is not installed for the "
                             "PostgreSQL of '%.200s': install the package pgquorum-guard-%d, or "
                             "take the key out",
                             bin->paths[PG_POSTGRES], bin->major);
}

int pg_bin_find(const char *bin_dir, const struct pg_program_names *names, struct pg_bin *ret_bin,
                struct error *err)
{
    struct pg_bin *bin = mem_new(struct pg_bin);
    int rc = 0;

    if (bin_dir != NULL && bin_dir[0] != '\0') {
        const char *missing = missing_in(bin_dir, names, bin);
        if (missing != NULL) {
            rc = error_set(err, ERR_NOT_FOUND,
                           "postgresql.bin_dir '%s' has no program '%s': name the directory that "
                           "has postgres, initdb, "
                           "pg_controldata, pg_basebackup and pg_rewind",
                           bin_dir, missing);
        }
    } else if (!find_in_path(names, bin) && !find_newest(names, bin)) {
        rc = error_set(err, ERR_NOT_FOUND,
                       "no PostgreSQL server found in PATH nor below " DEBIAN_DIR
                       ": install postgresql, or name its "
                       "directory in postgresql.bin_dir");
    }
    rc = rc != 0 ? rc : ask_version(bin, err);
    rc = rc != 0 ? rc : pg_version_check(bin->major, bin->paths[PG_POSTGRES], err);
    if (rc == 0) {
        *ret_bin = *bin;
    }
    mem_free(bin);
    return rc;
}
