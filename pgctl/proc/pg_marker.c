#include "pgctl/proc/pg_marker.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MARKER_BYTES_MAX (PG_PATH_BYTES + 256)

/* The first line of the file, and what people read. */
static const struct {
    const char *word;
    const char *name;
} jobs[] = {
    [PG_UNFINISHED_NONE] = {"", ""},
    [PG_UNFINISHED_BOOTSTRAP] = {"bootstrap", "bootstrap"},
    [PG_UNFINISHED_CLONE] = {"clone", "copy"},
    [PG_UNFINISHED_REWIND] = {"rewind", "rewind"},
};
enum { JOBS = sizeof jobs / sizeof jobs[0] };

const char *pg_marker_job_name(enum pg_unfinished job)
{
    return jobs[job].name;
}

/* --- which directory -------------------------------------------------------------------------- */

static int read_id(const char *data_dir, struct pg_dir_id *ret_id, struct error *err)
{
    struct statx found;

    if (statx(AT_FDCWD, data_dir, 0, STATX_INO | STATX_BTIME, &found) != 0) {
        return error_set(err, err_from_errno(errno), "looking at '%s': %s", data_dir,
                         strerror(errno));
    }
    bool born = (found.stx_mask & STATX_BTIME) != 0;
    *ret_id = (struct pg_dir_id){
        .device = makedev(found.stx_dev_major, found.stx_dev_minor),
        .inode = found.stx_ino,
        .born_s = born ? found.stx_btime.tv_sec : 0,
        .born_ns = born ? found.stx_btime.tv_nsec : 0,
    };
    return 0;
}

static bool is_same(const struct pg_dir_id *a, const struct pg_dir_id *b)
{
    if (a->inode != b->inode) {
        return false;
    }
    return a->born_s != 0 && b->born_s != 0 ? a->born_s == b->born_s && a->born_ns == b->born_ns
                                            : a->device == b->device;
}

/* --- the file --------------------------------------------------------------------------------- */

/* The text up to the end of the line, and the cursor behind it. */
static struct span next_line(struct span *text)
{
    const void *end = text->len == 0 ? NULL : memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)((const unsigned char *)end - text->data);
    struct span line = {.data = text->data, .len = len};
    size_t taken = end == NULL ? len : len + 1;
    text->data += taken;
    text->len -= taken;
    return line;
}

static bool parse_id(struct span line, struct pg_dir_id *ret_id)
{
    char text[128];
    int end = 0;

    if (line.len == 0 || line.len >= sizeof text) {
        return false;
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    return sscanf(text, "device %" SCNu64 " inode %" SCNu64 " born %" SCNd64 ".%" SCNu32 "%n",
                  &ret_id->device, &ret_id->inode, &ret_id->born_s, &ret_id->born_ns, &end) == 4 &&
           text[end] == '\0';
}

static void parse(struct span text, struct pg_marker *marker)
{
    struct span word = next_line(&text);
    struct span path = next_line(&text);

    marker->job = PG_UNFINISHED_REWIND;
    for (int job = PG_UNFINISHED_BOOTSTRAP; job < JOBS; job++) {
        if (span_equal(word, span_str(jobs[job].word)) && path.len < sizeof marker->data_dir) {
            marker->job = (enum pg_unfinished)job;
            (void)snprintf(marker->data_dir, sizeof marker->data_dir, "%.*s", (int)path.len,
                           path.len == 0 ? "" : (const char *)path.data);
            marker->has_id = path.len > 0 && parse_id(next_line(&text), &marker->id);
        }
    }
}

void pg_marker_read(const char *marker_path, struct pg_marker *ret_marker)
{
    struct buf text = BUF_INIT;

    *ret_marker = (struct pg_marker){.job = PG_UNFINISHED_NONE};
    if (pg_file_read(marker_path, MARKER_BYTES_MAX, &text, NULL) != ERR_NOT_FOUND) {
        parse(buf_span(&text), ret_marker);
    }
    buf_free(&text);
}

int pg_marker_write(const char *marker_path, enum pg_unfinished job, const char *data_dir,
                    struct error *err)
{
    struct buf text = BUF_INIT;
    struct pg_dir_id id;
    int rc = read_id(data_dir, &id, err);

    ASSERT(job != PG_UNFINISHED_NONE);
    if (rc != 0) {
        return rc;
    }
    buf_printf(&text,
               "%s\n%s\ndevice %" PRIu64 " inode %" PRIu64 " born %" PRId64 ".%09" PRIu32 "\n",
               jobs[job].word, data_dir, id.device, id.inode, id.born_s, id.born_ns);
    rc = pg_file_write(marker_path, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc;
}

/* --- what it says ----------------------------------------------------------------------------- */

/* What was taken there is gone, or nothing is in it. */
static bool is_spent(const char *data_dir)
{
    enum pg_dir_kind kind = pg_dir_content(data_dir, NULL);
    return kind == PG_DIR_MISSING || kind == PG_DIR_EMPTY;
}

enum pg_marker_says pg_marker_about(const struct pg_marker *marker, const char *data_dir,
                                    enum pg_dir_kind kind)
{
    struct pg_dir_id id;

    if (marker->job == PG_UNFINISHED_NONE) {
        return PG_MARKER_NOTHING;
    }
    if (marker->has_id && read_id(data_dir, &id, NULL) == 0 && is_same(&id, &marker->id)) {
        return PG_MARKER_THIS;
    }
    if (marker->data_dir[0] == '\0') {
        return PG_MARKER_ANOTHER;
    }
    if (strcmp(marker->data_dir, data_dir) != 0) {
        return is_spent(marker->data_dir) ? PG_MARKER_NOTHING : PG_MARKER_ELSEWHERE;
    }
    return kind == PG_DIR_MISSING ? PG_MARKER_THIS
           : kind == PG_DIR_EMPTY ? PG_MARKER_NOTHING
                                  : PG_MARKER_ANOTHER;
}

/* --- taking a directory ----------------------------------------------------------------------- */

static int check_free(const char *marker_path, enum pg_unfinished job, const char *data_dir,
                      bool *ret_left, struct error *err)
{
    char name[NAME_MAX + 1];
    struct pg_marker *marker = mem_new(struct pg_marker);
    enum pg_dir_kind kind = pg_dir_content(data_dir, NULL);

    pg_marker_read(marker_path, marker);
    enum pg_marker_says says = pg_marker_about(marker, data_dir, kind);
    bool half_cloned = job == PG_UNFINISHED_CLONE && marker->job == PG_UNFINISHED_CLONE;
    *ret_left =
        says == PG_MARKER_THIS && kind != PG_DIR_MISSING && (kind == PG_DIR_EMPTY || half_cloned);
    mem_free(marker);
    if (says == PG_MARKER_ANOTHER || says == PG_MARKER_ELSEWHERE) {
        return error_set(err, ERR_EXISTS, "'%s' is of another directory than '%s'", marker_path,
                         data_dir);
    }
    if (kind == PG_DIR_MISSING || *ret_left) {
        return 0;
    }
    int rc = pg_dir_first(data_dir, name, err);
    if (rc > 0) {
        return error_set(
            err, ERR_EXISTS, "'%s' must be empty, and '%.100s' is in it%s", data_dir, name,
            strcmp(name, "lost+found") == 0 ? ": it is a mount point, give a directory below it"
                                            : "");
    }
    return rc;
}

int pg_marker_take(const char *marker_path, enum pg_unfinished job, const char *data_dir,
                   bool *ret_made, bool *ret_left, struct error *err)
{
    bool made = false;
    bool left = false;
    int rc = check_free(marker_path, job, data_dir, &left, err);

    rc = rc != 0 ? rc : pg_dir_make(data_dir, &made, err);
    if (rc != 0) {
        return rc;
    }
    rc = pg_marker_write(marker_path, job, data_dir, err);
    if (rc != 0) {
        if (made) {
            (void)rmdir(data_dir);
        }
        return rc;
    }
    *ret_made = made;
    *ret_left = left;
    return 0;
}
