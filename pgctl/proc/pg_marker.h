/* The marker of an unfinished job: a file of ours, outside the data directory, that stands while a
 * bootstrap, a copy, a rewind or a removal writes there. Everything here blocks.
 *
 * It says which directory it means by path *and* by what tells the directory itself: the operator
 * may change data_dir, mount another disk there, put a restored backup in its place. Only the very
 * directory that a job of ours has taken may be emptied. One that is not proven to be it, while
 * there may be something to lose, is neither started nor written: a human has to look.
 *
 *     clone
 *     /var/lib/postgresql/data
 *     device 2049 inode 131073 born 1790000000.123456789
 *
 * `born` is when the directory was made (statx): with the inode it is the same after a reboot, when
 * the numbers of devices may be others; a file system that does not tell says 0.0, and then the
 * device counts. A marker without the third line proves nothing. */
#ifndef PGCTL_PROC_PG_MARKER_H
#define PGCTL_PROC_PG_MARKER_H

#include "base/err.h"
#include "pgctl/pg_types.h"

struct pg_dir_id {
    uint64_t device;
    uint64_t inode;
    int64_t born_s; /* 0 = not known */
    uint32_t born_ns;
};

struct pg_marker {
    enum pg_unfinished job;       /* NONE: there is no marker */
    char data_dir[PG_PATH_BYTES]; /* "" = it cannot be read */
    bool has_id;
    struct pg_dir_id id;
};

enum pg_marker_says {
    PG_MARKER_NOTHING,   /* none, or of a directory that holds nothing any more */
    PG_MARKER_THIS,      /* the job took this directory; or took its place, where none is now */
    PG_MARKER_ANOTHER,   /* at this path it took another one, or the marker does not say which */
    PG_MARKER_ELSEWHERE, /* it took one at another path, and that may be there still */
};

/* `job` for people: "copy". */
const char *pg_marker_job_name(enum pg_unfinished job);

/* A marker that cannot be read is one of a rewind, which leaves the most behind, of no directory.
 */
void pg_marker_read(const char *marker_path, struct pg_marker *ret_marker);
/* `kind` as the directory is by its content alone: of one that is missing or empty there is nothing
 * to lose. */
enum pg_marker_says pg_marker_about(const struct pg_marker *marker, const char *data_dir,
                                    enum pg_dir_kind kind);
/* Of a directory that is there. */
int pg_marker_write(const char *marker_path, enum pg_unfinished job, const char *data_dir,
                    struct error *err) MUST_CHECK;
/* For a job that makes a data directory: makes the directory if there is none (where a link leads
 * nowhere, at its target), then writes the marker. ERR_EXISTS, and nothing is done, unless it is
 * quite empty or the unfinished work of such a job; `*ret_left`: of one, so it has to be emptied.
 * `*ret_made`: it was not there. */
int pg_marker_take(const char *marker_path, enum pg_unfinished job, const char *data_dir,
                   bool *ret_made, bool *ret_left, struct error *err) MUST_CHECK;

#endif
