/* Directories made, and emptied. What is removed is named relative to an open directory: a disk
 * that is mounted over it meanwhile is not touched, and a link is never followed but for the
 * directory itself and the places that pg_places.h knows. */
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* each level holds a descriptor; a data directory has four */
#define LINKS_MAX 8

static int fail(struct error *err, const char *doing, const char *path)
{
    int errnum = errno;
    return error_set(err, err_from_errno(errnum), "%s '%s': %s", doing, path, strerror(errnum));
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* --- making ----------------------------------------------------------------------------------- */

/* Where a link that leads nowhere wants to lead; `path` itself where it is none. */
static int follow(const char *path, char *ret_path, struct error *err)
{
    char target[PATH_MAX];

    (void)snprintf(ret_path, PATH_MAX, "%s", path);
    for (int links = 0; links < LINKS_MAX; links++) {
        ssize_t len = readlink(ret_path, target, sizeof target - 1);
        if (len < 0) {
            return 0;
        }
        target[len] = '\0';
        char *slash = target[0] == '/' ? NULL : strrchr(ret_path, '/');
        size_t kept = slash == NULL ? 0 : (size_t)(slash - ret_path) + 1;
        if (snprintf(ret_path + kept, PATH_MAX - kept, "%s", target) >= (int)(PATH_MAX - kept)) {
            break;
        }
    }
    return error_set(err, ERR_LIMIT, "'%s': too many links, or too long ones", path);
}

int pg_dir_make(const char *dir, bool *ret_made, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;

    *ret_made = false;
    if (stat(dir, &st) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode) ? 0 : fail(err, "opening", dir);
    }
    if (errno != ENOENT) {
        return fail(err, "opening", dir);
    }
    int rc = follow(dir, path, err);
    if (rc != 0) {
        return rc;
    }
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return fail(err, "creating the directory", path);
        }
        *slash = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail(err, "creating the directory", path);
    }
    *ret_made = true;
    return 0;
}

/* --- emptying --------------------------------------------------------------------------------- */

struct walk {
    char path[PATH_MAX]; /* of the entry at hand, for people */
    struct error *err;
};

// NOLINTBEGIN(misc-no-recursion): as deep as DEPTH_MAX
static int clear_open(int fd, struct walk *walk, int depth);

/* A directory that may not be read goes if it is empty: lost+found belongs to root. */
static int remove_dir(int parent, const char *name, struct walk *walk, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno != EACCES) {
        return errno == ENOENT ? 0 : fail(walk->err, "removing", walk->path);
    }
    int rc = fd < 0 ? 0 : clear_open(fd, walk, depth + 1);
    if (rc == 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        rc = fail(walk->err, "removing", walk->path);
    }
    return rc;
}

static int remove_entry(int parent, const char *name, struct walk *walk, int depth)
{
    struct stat st;
    size_t len = strlen(walk->path);
    int rc = 0;

    if (snprintf(walk->path + len, sizeof walk->path - len, "/%s", name) >=
        (int)(sizeof walk->path - len)) {
        rc = error_set(walk->err, ERR_LIMIT, "the path '%.100s...' is too long", walk->path);
    } else if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = errno == ENOENT ? 0 : fail(walk->err, "removing", walk->path);
    } else if (S_ISDIR(st.st_mode)) {
        rc = remove_dir(parent, name, walk, depth);
    } else if (unlinkat(parent, name, 0) != 0 && errno != ENOENT) {
        rc = fail(walk->err, "removing", walk->path);
    }
    walk->path[len] = '\0';
    return rc;
}

/* Takes the descriptor. */
static int clear_open(int fd, struct walk *walk, int depth)
{
    const struct dirent *entry;
    DIR *dir = depth > DEPTH_MAX ? NULL : fdopendir(fd);
    int rc = 0;

    if (dir == NULL) {
        rc = depth > DEPTH_MAX ? error_set(walk->err, ERR_LIMIT, "'%.300s' is too deep", walk->path)
                               : fail(walk->err, "reading", walk->path);
        (void)close(fd);
        return rc;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_dots(entry->d_name)) {
            rc = remove_entry(dirfd(dir), entry->d_name, walk, depth);
        }
    }
    (void)closedir(dir);
    return rc;
}

// NOLINTEND(misc-no-recursion)

int pg_dir_first(const char *path, char *ret_name, struct error *err)
{
    const struct dirent *entry;
    DIR *dir = opendir(path);
    int found = 0;

    if (dir == NULL) {
        return fail(err, "opening", path);
    }
    while (found == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_dots(entry->d_name)) {
            (void)snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
            found = 1;
        }
    }
    (void)closedir(dir);
    return found;
}

int pg_tree_clear(const char *dir, struct error *err)
{
    struct walk walk = {.err = err};
    char name[NAME_MAX + 1];
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? 0 : fail(err, "opening", dir);
    }
    (void)snprintf(walk.path, sizeof walk.path, "%s", dir);
    int rc = clear_open(fd, &walk, 0);
    if (rc != 0) {
        return rc;
    }
    rc = pg_dir_first(dir, name, err); /* by its path: it may be another directory now */
    return rc <= 0
               ? rc
               : error_set(err, ERR_BUSY,
                           "'%s' was emptied, and '%.100s' is in it: somebody else writes there",
                           dir, name);
}

/* --- a data directory ------------------------------------------------------------------------- */

static int check_place(void *arg, const struct pg_place *place, struct error *err)
{
    (void)arg;
    return pg_place_may_be_own(place)
               ? 0
               : error_set(
                     err, ERR_REFUSED,
                     "'%.150s' leads to '%.150s', which has WAL of another cluster: nothing is "
                     "removed. Remove the link if it is wrong",
                     place->link, place->target);
}

static int clear_place(void *arg, const struct pg_place *place, struct error *err)
{
    struct walk walk = {.err = err};
    const struct dirent *entry;
    DIR *dir = place->target[0] == '\0' ? NULL : opendir(place->target);
    int rc = 0;

    (void)arg;
    if (dir == NULL) {
        return place->target[0] == '\0' ? 0 : fail(err, "opening", place->target);
    }
    (void)snprintf(walk.path, sizeof walk.path, "%s", place->target);
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (pg_place_is_own(place, entry->d_name)) {
            rc = remove_entry(dirfd(dir), entry->d_name, &walk, 0);
        }
    }
    (void)closedir(dir);
    return rc;
}

int pg_dir_clear(const char *data_dir, struct error *err)
{
    int rc = pg_places_each(data_dir, check_place, NULL, err);
    rc = rc != 0 ? rc : pg_places_each(data_dir, clear_place, NULL, err);
    return rc != 0 ? rc : pg_tree_clear(data_dir, err);
}
