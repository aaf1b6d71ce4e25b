/* Do the disks that the instance writes to take writes? A child process tries, once in a second and
 * with a thread for each file system (data directory, pg_wal, tablespaces, and what else is named),
 * so that neither a stalled disk nor its look at one can hold up the loop: nothing here opens,
 * reads or writes in those directories.
 *
 * A probe leaves nothing behind: it writes 8 KiB into a file without a name (O_TMPFILE), syncs and
 * forgets it. Where a file system has no such files, the directory is synced.
 *
 * A child that is stuck (uninterruptible sleep) cannot be ended. Nobody waits for it, and no other
 * one is started beside it, also not by the next run of the program: that one takes the stuck
 * predecessor for a stall. One thread. */
#ifndef PGCTL_PG_DISK_H
#define PGCTL_PG_DISK_H

#include "base/clock.h"
#include "base/err.h"
#include "base/span.h"
#include "pgctl/pg_types.h"

struct uv_loop_s;
struct pg_disk;

#define PG_DISK_PLACES_MAX 8
/* A report that is older says nothing: the child does not get the processor, or was stopped. */
#define PG_DISK_REPORT_MS_MAX 5000

struct pg_disk_place {
    char name[PG_DISK_PLACE_BYTES];
    bool instance; /* commits need it; false: a tablespace, or `more`: it is only told of */
    enum pg_disk_kind kind;
    int64_t since_ms;    /* mono clock: since when it is of that kind, as nearly as is known */
    int64_t busy_ms;     /* of the write that has not come back; 0 = none is under way */
    uint64_t free_bytes; /* to users other than root */
    int errno_value;     /* of the last write; 0 = it went well */
};

struct pg_disk_state {
    size_t count;
    struct pg_disk_place places[PG_DISK_PLACES_MAX];
    char error[ERROR_TEXT_BYTES]; /* why nothing is known; "" = it is */
};

struct pg_disk_limits {
    int64_t stall_ms;        /* a write that takes longer is a stall */
    uint64_t free_bytes_min; /* less is low; it is good again from twice as much on */
};

/* --- PURE ------------------------------------------------------------------------------------- */

/* One line of the child: "NAME: errno busy_ms free_bytes", of `more` with a '+' before the name.
 * False: it is no such line. */
bool pg_disk_line_parse(struct span line, struct pg_disk_place *ret_place);
/* The state after a report: kinds by the limits, `since_ms` from the state before where the kind is
 * the same. */
void pg_disk_judge(const struct pg_disk_limits *limits, const struct pg_disk_state *before,
                   int64_t now_ms, struct pg_disk_state *report);
/* Of the instance's places the one in the gravest state; NULL = there is none. */
const struct pg_disk_place *pg_disk_worst(const struct pg_disk_state *state);

/* --- the watch -------------------------------------------------------------------------------- */

struct pg_disk_config {
    const char *self_exe; /* this program */
    const char *data_dir;
    const char *more; /* "NAME=PATH" of another directory to look at; NULL = none */
    const struct clock *clock;
    struct pg_disk_limits limits;
    /* After each report, and when reports have stopped (all kinds unknown then). */
    void (*on_state)(void *arg, const struct pg_disk_state *state);
    void *arg;
};

/* Strings are copied. A child that ends, or cannot be started, is tried again after a while. */
struct pg_disk *pg_disk_start(struct uv_loop_s *loop, const struct pg_disk_config *config);
void pg_disk_set_limits(struct pg_disk *disk, const struct pg_disk_limits *limits);
/* Kills the child and does not wait for its end. on_state is called no more. NULL is accepted. */
void pg_disk_stop(struct pg_disk *disk);

/* main() calls this early: when the program was executed as the child (argv[1] = "--pg-disk"), it
 * is that and does not return. */
void pg_disk_main(int argc, char **argv);

#endif
