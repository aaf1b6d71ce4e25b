/* Files and processes of a data directory. Everything here blocks: call it on a thread of the pool
 * (pg_task_work), or at program start. */
#ifndef PGCTL_PROC_PG_FILES_H
#define PGCTL_PROC_PG_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "pgctl/pg_types.h"

/* Appends the file's bytes. ERR_NOT_FOUND, ERR_LIMIT (more than `bytes_max`), ... */
int pg_file_read(const char *path, size_t bytes_max, struct buf *out, struct error *err) MUST_CHECK;
/* Whole or not at all: written beside it under a name of its own, synced, renamed, the directory
 * synced. What a process that died had written beside it is removed. */
int pg_file_write(const char *path, struct span bytes, unsigned mode, struct error *err) MUST_CHECK;
/* 0 also if there is none. The directory is synced. */
int pg_file_remove(const char *path, struct error *err) MUST_CHECK;
/* The directory that it is in. */
int pg_file_sync_parent(const char *path, struct error *err) MUST_CHECK;
bool pg_file_exists(const char *path);

/* MISSING, EMPTY, VALID, FOREIGN, BROKEN or UNREADABLE: by its content alone. VALID where
 * PG_VERSION and the control file are there. Writes `major` and `reason` of the inspection, which
 * may be NULL.
 */
enum pg_dir_kind pg_dir_content(const char *data_dir, struct pg_inspection *inspection);
/* All of pg_inspection but what pg_controldata tells, with the marker (pg_marker.h) in view. */
void pg_dir_look(const char *data_dir, const char *marker_path, const char *service_path,
                 struct pg_inspection *ret_inspection);
/* The same for the beginning of a job, when no other is at work: where the marker says that an
 * earlier one did not end, what it left running is ended first. What cannot be ended is `running`.
 */
void pg_dir_look_alone(const char *data_dir, const char *marker_path, const char *service_path,
                       struct pg_inspection *ret_inspection);
/* The process of postmaster.pid if it is alive and works in this directory; 0 = none. Where that
 * file cannot be read, the server that is seen to work there. An error: neither can be seen. */
int pg_dir_postmaster(const char *data_dir, int32_t *ret_pid, struct error *err) MUST_CHECK;
/* True if that process has this directory as its working directory and is not known to have ended.
 */
bool pg_process_works_in(int32_t pid, const char *data_dir);
/* -1: it is gone, or a zombie. */
int32_t pg_process_parent(int32_t pid);
/* A `postgres` that works in this directory, whatever postmaster.pid says: a server whose pid file
 * is gone, or a process that a dead one has left; 0 = there is none. */
int pg_dir_server_process(const char *data_dir, int32_t *ret_pid, struct error *err) MUST_CHECK;
/* SIGKILL to the programs of jobs that work on this directory, and to their single-user servers.
 * Returns one that does not end within seconds; 0 = none is left. */
int32_t pg_orphans_end(const char *data_dir);
/* Makes it (0700) with its parents where it is missing; at its target where it is a link that leads
 * nowhere. `*ret_made`: it was missing. */
int pg_dir_make(const char *dir, bool *ret_made, struct error *err) MUST_CHECK;
/* The name of anything in it (NAME_MAX + 1 bytes) and 1; 0 = it is quite empty. */
int pg_dir_first(const char *dir, char *ret_name, struct error *err) MUST_CHECK;
/* Removes what is in it; the directory stays, and what links in it lead to. It may be a link
 * itself. Missing is fine. 0 only if it was found empty afterwards. */
int pg_tree_clear(const char *dir, struct error *err) MUST_CHECK;
/* The same for a data directory, and what is this instance's in the places that its links lead to:
 * WAL in a pg_wal that lies elsewhere, "PG_<major>_<catalog version>" in tablespaces. ERR_REFUSED,
 * before anything is removed, where that WAL is another cluster's. */
int pg_dir_clear(const char *data_dir, struct error *err) MUST_CHECK;
/* Renames it to `<name>.failed`, and likewise the places of its WAL and its tablespaces; older ones
 * of these names are removed. Its links then lead to the new names. A data directory that is a link
 * stays one, to a new, empty directory. ERR_REFUSED where something cannot be renamed (a mount
 * point, a tablespace that is not this instance's alone): the data directory is where it was. Done
 * again after a crash, it goes on. Missing is fine. */
int pg_dir_move_aside(const char *data_dir, struct error *err) MUST_CHECK;
/* Removes sockets and their ".s.PGSQL.<port>.lock" files: of a server that is gone, or brought
 * along by a base backup or a rewind. A postmaster.pid stays: PostgreSQL alone may judge it, since
 * processes of another container are not seen here. */
int pg_dir_remove_sockets(const char *data_dir, struct error *err) MUST_CHECK;

/* The one of them whose parent is none. */
int pg_dir_server_head(const char *data_dir, int32_t *ret_pid, struct error *err) MUST_CHECK;

/* One pass over the children of a postmaster, looking for walreceivers. A child that was forked
 * just now has no title yet: it may become one. */
#define PG_UNTITLED_MAX 64
struct pg_receivers {
    int count;          /* walreceivers seen */
    int untitled_count; /* children without a title; at most PG_UNTITLED_MAX are named */
    int32_t pids[PG_UNTITLED_MAX];
    int32_t untitled[PG_UNTITLED_MAX];
};
int pg_receivers_look(int32_t postmaster_pid, struct pg_receivers *ret_receivers,
                      struct error *err) MUST_CHECK;
/* SIGTERM, if it still is a child of that postmaster. */
void pg_receiver_end(int32_t postmaster_pid, int32_t pid);

#endif
