/* What a copy and a rewind have in common: another member as the source, a look at the directory
 * before anything is done to it, the marker while it is being changed, the tidying afterwards. */
#ifndef PGCTL_JOBS_SOURCE_H
#define PGCTL_JOBS_SOURCE_H

#include "pgctl/jobs/command.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/pg_private.h"

struct pg_source { /* data of the task */
    struct pg_look look;
    struct pg_file_set files; /* its service is the program's, which has a file of its own */
    char host[PG_HOST_BYTES];
    uint16_t port;
    uint64_t system_identifier; /* 0 = any */
    const char *data_dir;       /* the instance's, which outlives its tasks */
    const char *marker_path;
    const char *service_path; /* likewise */
    const char *started_path; /* likewise, of a rewind */
    int32_t fence_pid;        /* likewise; 0 = there is none */
    bool made;                /* by a copy: the data directory was not there */
    int looks;                /* of a rewind, for the source's checkpoint */
    bool tried;               /* a rewind: all that is left is to write */
    uint64_t left_lsn; /* likewise: where the source left our timeline; 0 = it did not, or its
                          history does not have it */
    /* Of a copy. */
    const struct pg_method *method; /* that is tried; the instance's */
    size_t next;                    /* index of the one after it */
    bool basebackup_only;
    struct pg_lines names;     /* of methods: these alone; none: all. Ours */
    struct pg_command command; /* of a method of the operator's */
    struct error failed;       /* the last method that did; code 0 = none yet */
    int32_t left_pid;          /* of a server that it has left; 0 = none */
    int64_t gone_until_ms;     /* mono; 0 = nothing is being killed */
    bool told_progress;        /* of pg_basebackup, which is under way */
    void (*on_progress)(void *arg, const struct pg_copy_progress *progress); /* may be NULL */
    void *on_progress_arg;
    bool (*still_allowed)(void *arg); /* the caller's; may be NULL */
    void *still_allowed_arg;
};

/* *ret_source (may be NULL): it lives as long as the task. Starts a task whose data is a pg_source
 * and whose release is pg_source_release. */
int pg_source_start(struct pg_instance *pg, const struct pg_task_ops *ops,
                    const struct pg_rewind *from, int64_t timeout_ms, pg_done_cb done, void *arg,
                    struct pg_source **ret_source, struct error *err) MUST_CHECK;
void pg_source_release(struct pg_task *task);

/* Makes the texts of the files that tell the job's program where to connect, and as whom. No
 * secret, and nothing that leads to one, stands on a command line. */
void pg_source_make_files(struct pg_source *source, const struct pg_instance *pg,
                          const struct pg_account *account);
/* For worker threads. Writes the password file and the program's service file. */
int pg_source_write_secrets(const struct pg_source *source, struct error *err) MUST_CHECK;
/* The job's program has ended well: locks that came along go, then the marker. */
int pg_source_tidy(void *arg, struct error *err) MUST_CHECK;

#endif
