/* The inside of an instance, shared by the files of this room. */
#ifndef PGCTL_JOBS_PG_PRIVATE_H
#define PGCTL_JOBS_PG_PRIVATE_H

#include "base/buf.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/jobs/conf_files.h"
#include "pgctl/jobs/pg_task.h"
#include "pgctl/pg_instance.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_bin.h"

#define PG_TASKS_MAX 64

struct pg_instance {
    uv_loop_t *loop;
    const struct clock *clock;
    struct fence_client *fence;       /* borrowed; may be NULL */
    struct pg_instance_config config; /* every pointer in it is ours */
    struct pg_bin bin;
    struct pg_conf_files files; /* of the configuration: where they are */
    char *self_exe;
    char **child_env; /* for our programs */
    char **initdb_env;
    char **postmaster_env;
    char **command_env;    /* for commands of the operator: no secret of ours is in it */
    char **command_pg_env; /* for those that connect to PostgreSQL: with our password file */
    char **post_init_env;  /* likewise, and no commit waits for standbys */
    char slot_name[PG_NAME_BYTES];
    char receive_slot[PG_NAME_BYTES]; /* in place of that; "" = none, where ... */
    bool receive_slot_given;          /* ... it is given */
    char service_path[PG_PATH_BYTES]; /* of walreceivers: the upstream */
    char source_path[PG_PATH_BYTES];  /* of pg_basebackup and pg_rewind */
    char marker_path[PG_PATH_BYTES];
    char unannounced_path[PG_PATH_BYTES];
    char pause_note_path[PG_PATH_BYTES];
    char started_path[PG_PATH_BYTES]; /* pgctl/proc/pg_dir_lock.h */
    char pgpass[PG_PATH_BYTES];
    char socket_dir[PG_PATH_BYTES]; /* pg_take_socket; "" = none usable */
    char tcp_host[PG_HOST_BYTES];   /* of local connections where the socket does not do */
    bool avoid_socket;              /* the socket was refused (pg_hba, missing) and TCP worked */

    struct list tasks; /* struct pg_task, by link */
    int task_count;
    struct pg_task *job;             /* the one that runs */
    struct pg_task *calls[PG_CALLS]; /* the last ones; NULL = none runs */

    unsigned trials; /* of settings, ever: each has a file of its own */
    bool has_control;
    struct pg_control control; /* of the last inspection or start */
    bool decodes; /* wal_level logical is in effect, as the last reload said, or will be */
    bool promote_sent;
    struct buf undropped; /* pg_instance_undropped */
    /* The postmaster whose checkpointer is known to have taken a synchronous_standby_names that is
     * not empty; 0 = none is. */
    int32_t sync_taken_by;
    struct pg_checkpoint_asked { /* the last one that pgctl/jobs/taken.c has asked for */
        uint32_t number;
        int32_t backend; /* who waits for its end; 0 = not known yet */
        bool ended;
        struct error err; /* of the end; code 0 = it is done */
    } checkpoint;
    struct buf sync_conf; /* postgresql.sync.conf as this run has written it last; empty: not yet */

    struct pg_probe *probe;

    struct pg_slot_copies *copies; /* pgctl/jobs/slot_copy.h; NULL = none wait for a start */
    struct pg_slot_copies *placed; /* what the last start had, with their faults; NULL = none */

    bool closing;
    void (*freed)(void *arg);
    void *freed_arg;
};

/* The last task's memory has been given back: ends pg_instance_free. */
void pg_instance_task_gone(struct pg_instance *pg);

/* Where local clients of ours connect, as the superuser. `second`: the way to try when the first
 * was refused. */
struct pg_conn_target pg_local_target(const struct pg_instance *pg, enum pg_local_way way,
                                      bool second);
bool pg_local_has_second(const struct pg_instance *pg, enum pg_local_way way);
/* Where the socket of local connections is: as the pid file of the server that runs says, which may
 * have been started with another value than the present one; NULL, or a pid file that does not say
 * it yet: as configured. */
void pg_take_socket(struct pg_instance *pg, const struct pg_pidfile *running);
/* The account for questions and rewinds on other members. */
const struct pg_account *pg_rewind_account(const struct pg_instance *pg);
/* Where they are asked, with that account. `host` is borrowed. */
struct pg_conn_target pg_peer_target(const struct pg_instance *pg, const char *host, uint16_t port);

/* Socket directories inside the data directory become ours; values are the set's own
 * (pg_parameters_dup). */
void pg_keep_sockets_outside(const struct pg_instance *pg, struct pg_parameters *parameters);

/* Copy of the texts that a conf is made of; valid as long as the instance's configuration does not
 * change. */
struct pg_conf pg_instance_conf(const struct pg_instance *pg, bool standby);

/* The slot of a standby: `given` as in struct pg_reload; NULL = it uses none. */
const char *pg_receive_slot(const struct pg_instance *pg, bool use_slots, const char *given);

/* Where initdb reads the superuser's password, for as long as it runs. */
void pg_initdb_pwfile(const struct pg_instance *pg, char *ret_path); /* PG_PATH_BYTES */

/* What a worker thread writes before a start: texts made on the loop, paths. */
struct pg_file_set {
    const struct pg_conf_files *places; /* the instance's, which outlives its tasks */
    char *service_path;
    char *pgpass_path;
    struct buf conf;
    struct buf hba; /* empty = leave */
    struct buf ident;
    struct buf service; /* empty = leave */
    struct buf pgpass;
    struct buf sync_conf; /* where there is none; empty = not known */
    bool keep_auto;       /* postgresql.auto.conf stays as it is */
    enum { PG_SIGNAL_KEEP, PG_SIGNAL_STANDBY, PG_SIGNAL_RECOVERY, PG_SIGNAL_NONE } signal;
};

/* A history file that a promotion of ours has left (its number stands for no timeline), or one that
 * is gone by now. What cannot be read is PostgreSQL's own: nobody's timeline is forgotten for a
 * disk that fails. */
bool pg_history_is_skipped(const char *path);
void pg_file_set_make(struct pg_file_set *set, const struct pg_instance *pg, bool standby);
void pg_file_set_service(struct pg_file_set *set, const struct pg_instance *pg,
                         const struct pg_upstream *upstream);
void pg_file_set_free(struct pg_file_set *set);
int pg_file_set_write(void *arg, struct error *err); /* for pg_task_work */
/* postgresql.conf, and what it includes, alone: for who runs a server to be rid of it. */
int pg_file_set_write_conf(const struct pg_file_set *set, struct error *err) MUST_CHECK;

/* postgresql.sync.conf with this value of synchronous_standby_names; NULL = without it. */
void pg_sync_conf_put(struct buf *out, const char *value);
/* Makes one where there is none: the include has to be valid. One that was there, and was taken
 * away by somebody, comes back as `known`; where that is empty nobody is to confirm commits, for
 * nobody knows who was to. On a thread of the pool. */
int pg_sync_conf_keep(const struct pg_conf_files *files, struct span known, struct error *err);
/* As for data of which nobody has said who confirms commits. */
int pg_sync_conf_reset(const struct pg_conf_files *files, struct error *err);

/* max_replication_slots of the next start. */
size_t pg_slots_max(const struct pg_instance *pg);

struct pg_logical_wish *pg_logical_wishes_dup(const struct pg_logical_wish *wishes, size_t count);
void pg_logical_wishes_free(struct pg_logical_wish *wishes, size_t count);

#endif
