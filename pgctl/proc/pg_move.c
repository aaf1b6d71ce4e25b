/* A data directory is put beside: renamed, with the places that its links lead to, so that the next
 * one may have all of them.
 *
 * Order: the older `.failed` goes whole, then each place is renamed and its link made anew, then
 * the directory. Cut off anywhere, the same steps go on from there: a link that leads to a
 * `.failed` is done, and one that leads nowhere while its `.failed` is there was between the two.
 */
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".failed"

static int refuse(struct error *err, const char *from, const char *to, const char *why)
{
    return error_set(
        err, ERR_REFUSED,
        "renaming '%.120s' to '%.120s': %s: move what is in it elsewhere yourself, then "
        "it goes on",
        from, to, why);
}

static int aside_name(const char *path, char *ret_name, struct error *err)
{
    return snprintf(ret_name, PATH_MAX, "%s" SUFFIX, path) < PATH_MAX
               ? 0
               : error_set(err, ERR_LIMIT, "the name of '%.100s...' is too long", path);
}

static bool has_suffix(const char *path)
{
    size_t len = strlen(path);
    return len > strlen(SUFFIX) && strcmp(path + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* Not by the device: a subvolume has its own, and can be renamed. */
static bool is_mount_point(const char *dir)
{
    struct statx found;
    return statx(AT_FDCWD, dir, 0, STATX_BASIC_STATS, &found) == 0 &&
           (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int rename_dir(const char *from, const char *to, struct error *err)
{
    if (is_mount_point(from)) {
        return refuse(err, from, to, "it is a mount point");
    }
    return rename(from, to) == 0 ? 0 : refuse(err, from, to, strerror(errno));
}

/* A link goes, and not what it leads to. */
static int remove_whole(const char *path, struct error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? 0
                               : error_set(err, err_from_errno(errno), "looking at '%s': %s", path,
                                           strerror(errno));
    }
    bool is_dir = S_ISDIR(st.st_mode);
    int rc = is_dir ? pg_tree_clear(path, err) : 0;
    if (rc == 0 && (is_dir ? rmdir(path) : unlink(path)) != 0) {
        rc = error_set(err, err_from_errno(errno), "removing '%s': %s", path, strerror(errno));
    }
    return rc;
}

/* --- places ----------------------------------------------------------------------------------- */

/* In the way is what is not the instance's; of what is left of an earlier move, too. */
static int check_own(const struct pg_place *place, const char *dir_path, struct error *err)
{
    const struct dirent *entry;
    DIR *dir = opendir(dir_path);
    int rc = 0;

    if (dir == NULL) {
        return error_set(err, err_from_errno(errno), "opening '%s': %s", dir_path, strerror(errno));
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !pg_place_is_own(place, entry->d_name)) {
            rc = error_set(
                err, ERR_REFUSED,
                "'%.150s' has '%.100s' in it, which is not this data directory's: move it "
                "elsewhere yourself, then it goes on",
                dir_path, entry->d_name);
        }
    }
    (void)closedir(dir);
    return rc;
}

static int relink(const char *link, const char *target, struct error *err)
{
    char temporary[PATH_MAX + 16];

    (void)snprintf(temporary, sizeof temporary, "%s.pgquorum-link", link);
    (void)unlink(temporary);
    if (symlink(target, temporary) != 0 || rename(temporary, link) != 0) {
        return error_set(err, err_from_errno(errno), "making '%s' a link to '%s': %s", link, target,
                         strerror(errno));
    }
    return 0;
}

static int move_place(void *arg, const struct pg_place *place, struct error *err)
{
    char target[PATH_MAX];
    char aside[PATH_MAX];

    (void)arg;
    (void)snprintf(target, sizeof target, "%s", place->target);
    if (target[0] == '\0') {
        ssize_t len = readlink(place->link, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
    }
    if (has_suffix(target)) {
        return 0;
    }
    int rc = aside_name(target, aside, err);
    if (rc != 0 || (place->target[0] == '\0' && !pg_file_exists(aside))) {
        return rc;
    }
    if (place->target[0] != '\0') {
        rc = check_own(place, target, err);
        rc = rc != 0 || !pg_file_exists(aside) ? rc : check_own(place, aside, err);
        rc = rc != 0 ? rc : remove_whole(aside, err);
        rc = rc != 0 ? rc : rename_dir(target, aside, err);
    }
    return rc != 0 ? rc : relink(place->link, aside, err);
}

/* --- the directory ---------------------------------------------------------------------------- */

static int move(const char *real, struct error *err)
{
    char aside[PATH_MAX];
    int rc = aside_name(real, aside, err);

    if (rc == 0 && is_mount_point(real)) { /* before anything is done */
        return refuse(err, real, aside, "it is a mount point");
    }
    /* Not what its links lead to: another data directory may use that by now. */
    rc = rc != 0 ? rc : remove_whole(aside, err);
    rc = rc != 0 ? rc : pg_places_each(real, move_place, NULL, err);
    return rc != 0 ? rc : rename_dir(real, aside, err);
}

int pg_dir_move_aside(const char *data_dir, struct error *err)
{
    char real[PATH_MAX];
    struct stat st;
    bool made;

    if (realpath(data_dir, real) == NULL) {
        if (errno != ENOENT) {
            return error_set(err, err_from_errno(errno), "opening '%s': %s", data_dir,
                             strerror(errno));
        }
    } else {
        int rc = move(real, err);
        if (rc != 0) {
            return rc;
        }
    }
    bool is_link = lstat(data_dir, &st) == 0 && S_ISLNK(st.st_mode);
    return is_link ? pg_dir_make(data_dir, &made, err) : 0;
}
