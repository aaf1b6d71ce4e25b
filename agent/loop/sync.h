/* Synchronous modes: carries out what agent/ha/ha_sync.h decides, one step at a time: a look at
 * PostgreSQL, a write of the key `sync`, a change of synchronous_standby_names, the end of
 * walsenders. It runs apart from the plans, as the keeper does, while this node is the primary with
 * a valid lease; a standby only has a name that nobody bears in its setting, so that it waits for
 * somebody from the moment on at which it is promoted. */
#ifndef AGENT_LOOP_SYNC_H
#define AGENT_LOOP_SYNC_H

#include "agent/ha/ha_snapshot.h"
#include "agent/ha/ha_sync.h"
#include "base/err.h"
#include "pgctl/pg_sync.h"

struct agent;

#define SYNC_LOOK_MS      1000  /* between two looks while all is as wanted, or has long not been */
#define SYNC_LOOK_SOON_MS 100   /* ... and otherwise */
#define SYNC_LATE_MS      10000 /* who has not taken a setting by then does not take it by itself */
/* A change of the setting: it may wait for the end of somebody else's checkpoint. */
#define SYNC_SET_MS      60000
#define SYNC_NOBODY_NAME PG_SYNC_NOBODY

int sync_start(struct agent *agent);
void sync_stop(struct agent *agent); /* also if it was never started */
/* Something changed that the next step may hang on. */
void sync_kick(struct agent *agent);

/* Before a promotion: puts the setting in place with which a new primary begins (rule 8 of
 * docs/consensus.md). 0: it is there already; 1: `done` comes; < 0: not taken. */
int sync_before_promotion(struct agent *agent, pg_done_cb done, struct error *err) MUST_CHECK;

/* synchronous_mode: on or quorum; quorum. */
bool sync_is_on(const struct agent *agent);
bool sync_is_quorum(const struct agent *agent);

/* --- sync_names.c: names to bits and back ----------------------------------------------------- */

struct sync_names { /* bit i is names[i]; bit 0 is SYNC_NOBODY_NAME */
    size_t count;
    char names[HA_SYNC_NAMES_MAX][HA_NAME_BYTES];
};

void sync_names_init(struct sync_names *names);
/* Forgets all but those in `kept`; the bits of these stay. */
void sync_names_keep(struct sync_names *names, uint32_t kept);
/* Its bit's number, made if there is none; HA_SYNC_NAMES_MAX: there is no room for it. */
unsigned sync_names_bit(struct sync_names *names, const char *name);
/* The same, but never made. */
unsigned sync_names_find(const struct sync_names *names, const char *name);
/* Value of synchronous_standby_names; "" for nobody. `any`: mode quorum. Free with mem_free. */
char *sync_names_value(const struct sync_names *names, struct ha_sync_setting setting, bool any);
/* False: it cannot be written as a number of names that have room, or takes anybody. */
bool sync_names_setting(struct sync_names *names, const char *value,
                        struct ha_sync_setting *ret_setting);
/* The key as `self` sees it: itself is no voter. */
void sync_names_published(struct sync_names *names, const struct ha_cluster *cluster,
                          const char *self, struct ha_sync_published *ret_published);
/* The key as `self` writes it. */
void sync_names_key(const struct sync_names *names, const char *self, uint32_t voters,
                    unsigned quorum, struct ha_sync_key *ret_key);
/* "n1, n2": for the log. */
void sync_names_text(const struct sync_names *names, uint32_t set, char *ret_text, size_t bytes);

/* --- sync_target.c ---------------------------------------------------------------------------- */

/* Streams under a member's name, and is not that member: who streams for one holds its slot. Where
 * members have no slots (use_slots), nobody can tell. */
bool sync_is_stranger(const struct agent *agent, const struct pg_walsender *walsender);

/* Whom one would choose, by the last look (NULL: there is none, nobody); whoever could be chosen
 * gets a bit. `now`: who is chosen. */
void sync_target(const struct agent *agent, struct sync_names *names,
                 const struct pg_sync_look *look, struct ha_sync_setting now,
                 struct ha_sync_target *ret_target);

#endif
