/* PURE. Who is synchronous, and how that changes without losing a row (docs/consensus.md).
 *
 * Two pairs say it. /sync, the *published* pair: a candidate needs the reports of quorum + 1 of its
 * members, which are the voters and the holder of the key. PostgreSQL's
 * `synchronous_standby_names`, the *setting*: a commit is answered when numsync of the names have
 * flushed it. Any reports that suffice meet every answered commit as long as
 *
 *     |voters and names together| <= quorum + numsync
 *
 * so this holds before and after every step, and while PostgreSQL's processes take a step one by
 * one. ha_sync_next gives one step at a time; what has to be known of the steps before it stands in
 * `struct ha_sync`, which lives as long as a run of the agent in one term of office.
 *
 * Sets are bits: bit i is name i of a list that the caller keeps; the holder of the key is in no
 * set. Bit 0 is a name that nobody bears: waiting for it, a primary in strict mode answers no
 * commit while it has no standby. */
#ifndef AGENT_HA_SYNC_H
#define AGENT_HA_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HA_SYNC_NAMES_MAX      32
#define HA_SYNC_WALSENDERS_MAX 32
#define HA_SYNC_NOBODY         1U

/* /sync as it was last read. */
struct ha_sync_published {
    bool known;       /* it was read, and every name in it has a bit */
    bool present;     /* absent, or not readable: nothing is promised to anybody */
    int64_t revision; /* 0 = absent */
    uint32_t voters;  /* its leader and its standbys, without ourselves */
    unsigned quorum;
    bool unannounced; /* the cluster has no name in the store: another member may make it anew */
};

struct ha_sync_setting {
    uint32_t names; /* none: nobody is waited for */
    unsigned numsync;
};

struct ha_sync_walsender {
    unsigned name;  /* its bit's number; HA_SYNC_NAMES_MAX = none of the names */
    bool counts;    /* sync_priority is not 0 */
    bool streaming; /* has caught up */
    bool stranger;  /* bears the name, and is another's */
    bool older;     /* may have been forked before the last setting was in force */
    uint64_t flushed;
};

/* What PostgreSQL says of itself, read in this order: setting, walsenders, position. */
struct ha_sync_look {
    bool fresh;      /* it began after the last setting had been put in place */
    bool late;       /* and long after it: who has not taken it does not take it by itself */
    bool understood; /* the setting can be written as names and a number, and each has a bit */
    struct ha_sync_setting setting; /* as a connection that was made for the look sees it */
    size_t count;                   /* oldest first */
    struct ha_sync_walsender walsenders[HA_SYNC_WALSENDERS_MAX];
    uint64_t position; /* the primary has written so far */
};

struct ha_sync {
    int64_t revision;               /* of /sync as this run wrote it last; 0 = somebody else did */
    bool writing;                   /* a write of it is not answered */
    bool set;                       /* this run has put `setting` in place */
    struct ha_sync_setting setting; /* the last one */
    bool renumbered;                /* with another number than before, as far as is known */
    bool taken;                     /* every walsender has it ... */
    uint64_t mark;                  /* ... and the primary had written so far when that was seen */
};

/* Who is wanted. */
struct ha_sync_target {
    bool on;     /* synchronous_mode */
    bool strict; /* synchronous_mode_strict: without a standby, no commit is answered */
    uint32_t names;
    unsigned numsync;
};

enum ha_sync_step {
    HA_SYNC_STEADY,    /* all is as wanted */
    HA_SYNC_WAIT,      /* for an answer, a look, or a standby */
    HA_SYNC_PUBLISH,   /* write `voters` and `quorum`, ourselves the leader, if at the revision read
                        */
    HA_SYNC_DELETE,    /* delete /sync, if at the revision read */
    HA_SYNC_SET,       /* put `setting` in place and reload */
    HA_SYNC_TERMINATE, /* end the walsenders whose places in the look are the bits of `walsenders`
                        */
};

struct ha_sync_move {
    enum ha_sync_step step;
    uint32_t voters;
    unsigned quorum;
    struct ha_sync_setting setting;
    uint32_t walsenders;
    const char *reason; /* static text */
};

/* A member that could be synchronous: running, streaming, not nosync, fed by the primary itself. */
struct ha_sync_candidate {
    unsigned name;
    int priority; /* sync_priority */
    bool chosen;  /* is one of the names now */
    bool nofailover;
    uint64_t lsn; /* flushed, written or replayed, by what a commit waits for */
};

struct ha_sync_wishes {
    bool any;            /* mode quorum: whoever can be; else the first `node_count` */
    unsigned node_count; /* synchronous_node_count, at least 1 */
    int64_t lag_max;     /* maximum_lag_on_syncnode; 0 or less = no limit */
    uint64_t position;   /* of the primary */
};

/* The inequality. */
bool ha_sync_fits(uint32_t voters, unsigned quorum, struct ha_sync_setting setting);

/* A run of the agent, or a term, begins: nothing is known to have been done. */
void ha_sync_init(struct ha_sync *ret_sync);
/* A write of /sync (a deletion, too) goes out ... */
void ha_sync_writing(struct ha_sync *sync);
/* ... and has an outcome: the revision it made; 0 = refused, deleted, or nobody knows. */
void ha_sync_written(struct ha_sync *sync, int64_t revision);
/* `setting` is about to be put in place. No look that began before it is there is fresh. */
void ha_sync_set(struct ha_sync *sync, struct ha_sync_setting setting);
/* Takes note of a look. */
void ha_sync_see(struct ha_sync *sync, const struct ha_sync_look *look);

/* With what a new primary begins, put in place before it is promoted: the members of before that
 * are not itself, and the quorum of before. */
struct ha_sync_setting ha_sync_first(const struct ha_sync_published *published, bool strict);
/* Whom one would choose: `names` and `numsync` of the target. `candidates` are sorted. */
void ha_sync_pick(struct ha_sync_candidate *candidates, size_t count,
                  const struct ha_sync_wishes *wishes, struct ha_sync_target *target);
/* The next step on the way to the target. */
void ha_sync_next(const struct ha_sync *sync, const struct ha_sync_published *published,
                  const struct ha_sync_look *look, const struct ha_sync_target *target,
                  struct ha_sync_move *ret_move);

#endif
