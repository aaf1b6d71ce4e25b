/* What one member keeps on disk: term, vote, log and newest snapshot, in one SQLite file on a
 * thread of its own (docs/consensus.md). It implements raft_storage_ops: jobs are taken in order,
 * everything that waits becomes one transaction, and completions come back in order on the loop's
 * thread.
 *
 * Failures. Disk full: the same jobs are tried again each second, nothing overtakes them, and
 * on_full tells (raft_node_storage_full makes the member silent meanwhile). Any other error:
 * on_fatal, once, and nothing is written any more; the process has to end, because after a failed
 * fsync the kernel may have dropped the pages. Damage that the start checks find is reported as
 * ERR_CORRUPT; nothing is repaired or deleted. */
#ifndef RAFT_STORAGE_H
#define RAFT_STORAGE_H

#include "base/err.h"
#include "base/random.h"
#include "raft/node.h"

#include <stdbool.h>

struct uv_loop_s;
struct raft_storage;

#define RAFT_STORAGE_FILE      "raft.db"
#define RAFT_STORAGE_LOCK_FILE "lock"

struct raft_storage_callbacks {
    void (*on_full)(void *arg, bool full); /* may be NULL */
    void (*on_fatal)(void *arg, const struct error *err);
    void *arg;
};

/* Opens `dir` (made with mode 0700 if it is not there) for the member `name`, takes its lock, moves
 * everything from the WAL into synced pages, checks and loads. An empty directory gets a random id
 * and the name, and no cluster. Blocks: for the start of the process only. ERR_BUSY: another
 * process has it; ERR_INVALID: it belongs to another member's name (a cloned host); ERR_CORRUPT;
 * ERR_UNSUPPORTED: a format of another release; ERR_PERMISSION; ERR_IO. */
int raft_storage_open(struct uv_loop_s *loop, const char *dir, const char *name,
                      const struct random *random, const struct raft_storage_callbacks *callbacks,
                      struct raft_storage **ret_storage, struct error *err) MUST_CHECK;

/* Before raft_storage_open, and nothing is taken yet: 0 if no process has `dir`, or it is not
 * there. `wait_ms`: see lock_file_take. Blocks. ERR_BUSY; ERR_PERMISSION; ERR_IO. */
int raft_storage_await(const char *dir, int64_t wait_ms, struct error *err) MUST_CHECK;

/* What the directory holds. Borrowed until raft_storage_boot_release or raft_storage_close. */
const struct raft_boot *raft_storage_boot(const struct raft_storage *storage);
/* Frees the loaded log and snapshot; call it after raft_node_start, which copies. */
void raft_storage_boot_release(struct raft_storage *storage);
/* Never stored a term, vote, entry or snapshot. Such a directory may still start a group under its
 * id. */
bool raft_storage_is_empty(const struct raft_storage *storage);

/* First member of a new group: cluster id, term 1 and entry 1 (bytes of raft_first_configuration)
 * in one transaction; the boot says so afterwards. Joining: only the cluster id, once the group has
 * told it. Both before the first job, both block; ERR_REFUSED if the directory is not empty, or
 * belongs to another cluster. */
int raft_storage_create(struct raft_storage *storage, uint64_t cluster, struct span configuration,
                        struct error *err) MUST_CHECK;
int raft_storage_join(struct raft_storage *storage, uint64_t cluster, struct error *err) MUST_CHECK;

/* After the loss of the group's majority (raft/recover.h): the log goes on, in one transaction,
 * under the id `cluster`, in a new term, with `command` (entry data) and a configuration of this
 * member alone. Before the first job, blocks. The boot says so afterwards. */
int raft_storage_recover(struct raft_storage *storage, uint64_t cluster, struct span command,
                         struct error *err) MUST_CHECK;

/* `storage_arg` of it is the storage. */
extern const struct raft_storage_ops raft_storage_sqlite_ops;

/* How long a job has been waiting without the disk finishing anything, in ms; 0 if none waits. On a
 * full disk: how long the present try takes. For the watchdog: a disk that hangs makes this member
 * refuse votes without end. */
int64_t raft_storage_age_ms(const struct raft_storage *storage);

/* Finishes the queued jobs (not while the disk is full), checkpoints, lets the lock go, then calls
 * `closed` once. Call raft_node_stop first: completions of jobs that were still queued only free
 * them. */
void raft_storage_close(struct raft_storage *storage, void (*closed)(void *arg), void *arg);

#endif
