#include "pgctl/proc/pg_places.h"

#include "base/mem.h"
#include "pgctl/proc/pg_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* pg_control begins with the system identifier (8 bytes), its own version and the catalog's (4
 * each); a WAL segment has the system identifier in the long header of its first page, behind
 * magic, flags, timeline, address and remaining length (XLogLongPageHeaderData). Both in the byte
 * order of the machine, all versions that we serve. */
enum {
    CONTROL_CATALOG_AT = 12,
    CONTROL_HEAD_BYTES = 16,
    SEGMENT_SYSTEM_AT = 24,
    SEGMENT_HEAD_BYTES = 32,
    SEGMENT_FLAGS_AT = 2,
    SEGMENT_LONG_HEADER = 0x0002, /* XLP_LONG_HEADER */
};
#define HEX_DIGITS "0123456789ABCDEF"

static bool read_head(const char *path, unsigned char *head, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool whole = fd >= 0 && read(fd, head, len) == (ssize_t)len;
    if (fd >= 0) {
        (void)close(fd);
    }
    return whole;
}

static struct pg_owner owner_of(const char *data_dir)
{
    char path[PG_PATH_BYTES];
    unsigned char head[CONTROL_HEAD_BYTES];
    struct pg_inspection *inspection = mem_new(struct pg_inspection);
    struct pg_owner owner = {0};

    (void)pg_dir_content(data_dir, inspection);
    owner.major = inspection->major;
    mem_free(inspection);
    (void)snprintf(path, sizeof path, "%.1000s/global/pg_control", data_dir);
    if (read_head(path, head, sizeof head)) {
        memcpy(&owner.system_identifier, head, sizeof owner.system_identifier);
        memcpy(&owner.catalog_version, head + CONTROL_CATALOG_AT, sizeof owner.catalog_version);
    }
    return owner;
}

/* --- what is whose ---------------------------------------------------------------------------- */

/* "000000010000000000000001", also with ".partial" or ".00000028.backup" behind it. */
static bool is_segment(const char *name, bool whole)
{
    return strspn(name, HEX_DIGITS) == 24 && (name[24] == '\0' || (!whole && name[24] == '.'));
}

static bool is_wal(const char *name)
{
    static const char *const others[] = {"archive_status", "summaries", "RECOVERYHISTORY",
                                         "RECOVERYXLOG"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(name, others[i]) == 0) {
            return true;
        }
    }
    bool history =
        strspn(name, HEX_DIGITS) == 8 && strncmp(name + 8, ".history", strlen(".history")) == 0;
    return history || is_segment(name, false) || strncmp(name, "xlogtemp.", 9) == 0;
}

static bool is_version_dir(const struct pg_owner *owner, const char *name)
{
    char wanted[64];

    if (owner->major == 0) {
        return false;
    }
    if (owner->catalog_version == 0) { /* of half a copy, the control file comes last */
        int length = snprintf(wanted, sizeof wanted, "PG_%d_", owner->major);
        return strncmp(name, wanted, (size_t)length) == 0;
    }
    (void)snprintf(wanted, sizeof wanted, "PG_%d_%" PRIu32, owner->major, owner->catalog_version);
    return strcmp(name, wanted) == 0;
}

bool pg_place_is_own(const struct pg_place *place, const char *name)
{
    return place->kind == PG_PLACE_WAL ? is_wal(name) : is_version_dir(place->owner, name);
}

static bool is_of_another(const struct pg_owner *owner, const char *segment)
{
    unsigned char head[SEGMENT_HEAD_BYTES];
    uint64_t system_identifier;
    uint16_t flags;

    if (!read_head(segment, head, sizeof head)) {
        return false;
    }
    memcpy(&flags, head + SEGMENT_FLAGS_AT, sizeof flags);
    memcpy(&system_identifier, head + SEGMENT_SYSTEM_AT, sizeof system_identifier);
    return (flags & SEGMENT_LONG_HEADER) != 0 && system_identifier != owner->system_identifier;
}

bool pg_place_may_be_own(const struct pg_place *place)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    bool another = false;
    DIR *dir = place->kind == PG_PLACE_WAL && place->owner->system_identifier != 0
                   ? opendir(place->target)
                   : NULL;

    if (dir == NULL) {
        return true;
    }
    while (!another && (entry = readdir(dir)) != NULL) {
        if (is_segment(entry->d_name, true)) {
            (void)snprintf(path, sizeof path, "%s/%s", place->target, entry->d_name);
            another = is_of_another(place->owner, path);
        }
    }
    (void)closedir(dir);
    return !another;
}

/* --- the links -------------------------------------------------------------------------------- */

struct visitor {
    const char *root; /* the data directory, without links */
    const struct pg_owner *owner;
    int (*visit)(void *arg, const struct pg_place *place, struct error *err);
    void *arg;
};

static bool is_inside(const char *path, const char *root)
{
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int visit_link(const struct visitor *visitor, enum pg_place_kind kind, const char *link,
                      struct error *err)
{
    char target[PATH_MAX];
    struct stat st;

    if (lstat(link, &st) != 0 || !S_ISLNK(st.st_mode)) {
        return 0;
    }
    if (realpath(link, target) == NULL) {
        target[0] = '\0';
    }
    if (target[0] != '\0' &&
        (is_inside(target, visitor->root) || is_inside(visitor->root, target))) {
        return 0; /* a tablespace in the data directory goes with it */
    }
    const struct pg_place place = {
        .kind = kind, .owner = visitor->owner, .link = link, .target = target};
    return visitor->visit(visitor->arg, &place, err);
}

static int visit_tablespaces(const struct visitor *visitor, struct error *err)
{
    char parent[PG_PATH_BYTES];
    char link[PG_PATH_BYTES];
    const struct dirent *entry;
    int rc = 0;

    (void)snprintf(parent, sizeof parent, "%s/pg_tblspc", visitor->root);
    DIR *dir = opendir(parent);
    if (dir == NULL) {
        return 0;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        size_t digits = strspn(entry->d_name, "0123456789");
        if (digits > 0 && entry->d_name[digits] == '\0' &&
            snprintf(link, sizeof link, "%s/%s", parent, entry->d_name) < (int)sizeof link) {
            rc = visit_link(visitor, PG_PLACE_TABLESPACE, link, err);
        }
    }
    (void)closedir(dir);
    return rc;
}

int pg_places_each(const char *data_dir,
                   int (*visit)(void *arg, const struct pg_place *place, struct error *err),
                   void *arg, struct error *err)
{
    char root[PATH_MAX];
    char link[PG_PATH_BYTES];

    if (realpath(data_dir, root) == NULL) {
        return 0;
    }
    const struct pg_owner owner = owner_of(root);
    const struct visitor visitor = {.root = root, .owner = &owner, .visit = visit, .arg = arg};
    int length = snprintf(link, sizeof link, "%s/pg_wal", root);
    if (length + NAME_MAX >= (int)sizeof link) { /* then the others fit, too */
        return error_set(err, ERR_LIMIT, "the path '%.100s...' is too long", root);
    }
    int rc = visit_link(&visitor, PG_PLACE_WAL, link, err);
    return rc != 0 ? rc : visit_tablespaces(&visitor, err);
}
