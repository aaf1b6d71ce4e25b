/* Synchronous replication of one instance: the setting synchronous_standby_names, which stands in a
 * file of its own, and what PostgreSQL says about who confirms its commits.
 *
 * The file (postgresql.sync.conf, included last by our postgresql.conf) outlives agents, restarts
 * and reloads of everything else: a primary that waits for its standbys must not pass through a
 * moment in which it waits for nobody (docs/consensus.md, rule 8). A file that somebody has removed
 * comes back at the next start or reload: as it was written last, or, where this run of the agent
 * has not written it yet, with PG_SYNC_NOBODY. */
#ifndef PGCTL_PG_SYNC_H
#define PGCTL_PG_SYNC_H

#include "base/buf.h"
#include "pgctl/pg_instance.h"

#define PG_SYNC_NAMES_MAX   32
#define PG_SYNC_NOBODY      "__pgquorum_nobody__" /* a name that nobody bears */
#define PG_SYNC_VALUE_BYTES (PG_SYNC_NAMES_MAX * (2 * PG_NAME_BYTES + 3) + 32)

/* --- PURE: the value -------------------------------------------------------------------------- */

struct pg_sync_names {
    bool any;        /* ANY n: any n of the names; else the first n that are connected */
    unsigned number; /* of standbys that a commit waits for; 0 = none, nobody is waited for */
    size_t count;
    char names[PG_SYNC_NAMES_MAX][PG_NAME_BYTES];
};

/* As Patroni writes it: "" for none, a name alone, `2 ("a","b")`, `ANY 1 ("a","b")`. Names are
 * always quoted. */
void pg_sync_names_put(struct buf *out, const struct pg_sync_names *names);
/* PostgreSQL's grammar (syncrep_gram.y). ERR_INVALID: not a value of it; ERR_LIMIT: more names, or
 * longer ones, than fit. `*` comes out as the name "*". */
int pg_sync_names_parse(const char *text, struct pg_sync_names *ret_names,
                        struct error *err) MUST_CHECK;

/* --- the instance ----------------------------------------------------------------------------- */

/* Puts `value` into the file ("" = nobody is waited for, NULL = the setting is not ours:
 * postgresql.parameters say it) and, if a server runs, has it reload. Done (0): a new connection
 * sees the value, so the postmaster has told every process; and the checkpointer has taken it where
 * it may have had none before (then a checkpoint is begun, and goes on: it is the one that tells
 * backends whether they wait at all). Not running: only the file. ERR_CONFLICT names the setting
 * that is in force instead (ALTER SYSTEM, an argument). Excludes what pg_instance_reload does. */
int pg_instance_set_sync(struct pg_instance *instance, const char *value, int64_t timeout_ms,
                         pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

#define PG_WALSENDERS_MAX 64

struct pg_walsender {
    int32_t pid;
    int64_t start_us; /* wall clock; with the pid it names one process */
    char name[PG_NAME_BYTES];
    char slot[PG_NAME_BYTES]; /* that it holds; "" = none, or not yet */
    bool streaming;           /* has caught up */
    bool counts;              /* sync_priority is not 0: it confirms commits */
    uint64_t write_lsn;
    uint64_t flush_lsn;
    uint64_t replay_lsn;
};

struct pg_sync_look {                  /* read in this order */
    int64_t asked_ms;                  /* mono clock, before the connection was made */
    char setting[PG_SYNC_VALUE_BYTES]; /* as a connection that was made for the look has it; cut
                                          values do not parse */
    size_t count;                      /* oldest first */
    bool too_many;                     /* more than there is room for: `walsenders` is not all */
    struct pg_walsender walsenders[PG_WALSENDERS_MAX];
    uint64_t position; /* written so far */
};

typedef void (*pg_sync_look_cb)(void *arg, int rc, const struct pg_sync_look *look,
                                const struct error *err);
/* Of a running primary, over a connection of its own (a standby: ERR_REFUSED). */
int pg_instance_look_sync(struct pg_instance *instance, int64_t timeout_ms, pg_sync_look_cb done,
                          void *arg, struct error *err) MUST_CHECK;
/* Ends those of them that still run; others are left alone. `walsenders` is read during the call
 * only. */
int pg_instance_end_walsenders(struct pg_instance *instance, const struct pg_walsender *walsenders,
                               size_t count, int64_t timeout_ms, pg_done_cb done, void *arg,
                               struct error *err) MUST_CHECK;

#endif
