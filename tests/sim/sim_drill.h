/* Drills: hand-written sequences on a calm cluster, with exact expectations and a stopwatch. What
 * the sweep of random faults cannot hold, because several things are broken at once there, is held
 * here: how long nobody serves, that nobody else is disturbed, that what is planned loses nothing.
 * The checkers of safety run as always. */
#ifndef TESTS_SIM_DRILL_H
#define TESTS_SIM_DRILL_H

#include "sim_machine.h"

#define DRILL_NO_BUDGET INT64_MAX
#define DRILL_NO_GAP    INT64_MIN /* was not measured */

/* What a drill sees; `primary` is who was it when the drill began. */
struct scene {
    struct sim_world *world;
    struct sim_machine *primary;
    struct sim_machine *standbys[2]; /* by name */
    bool primary_leads;              /* the Raft group, too, when the stopwatch started */
    uint64_t run;                    /* of the primary's postmaster */
    uint32_t timeline;
    int64_t ttl_ms;
    int64_t soft_ms; /* S and K of docs/consensus.md */
    int64_t kill_ms;
    int64_t began_ms;
    int64_t gap_ms; /* how long nobody served clients */
};

struct sim_drill {
    const char *name;
    enum sim_mode mode;
    bool by_ttl; /* the lease of a lost holder has to run out first: the budget comes on top */
    int64_t budget_ms; /* median of the gaps; DRILL_NO_BUDGET = none is measured */
    void (*run)(struct scene *scene);
    enum sim_replication replication;
    bool without_fence; /* and two writers are no failure: no answered commit may be lost all the
                           same */
    bool early_failover;
    bool freezes;  /* a whole host: until its fence has a processor again two may write, too */
    bool watchdog; /* each node has one */
};

extern const struct sim_drill sim_drills_failover[];
extern const size_t sim_drills_failover_count;
extern const struct sim_drill sim_drills_planned[];
extern const size_t sim_drills_planned_count;
extern const struct sim_drill sim_drills_sync[];
extern const size_t sim_drills_sync_count;
extern const struct sim_drill sim_drills_early[];
extern const size_t sim_drills_early_count;
extern const struct sim_drill sim_drills_pause[];
extern const size_t sim_drills_pause_count;
extern const struct sim_drill sim_drills_watchdog[];
extern const size_t sim_drills_watchdog_count;
extern const struct sim_drill sim_drills_fence[];
extern const size_t sim_drills_fence_count;
extern const struct sim_drill sim_drills_storage[];
extern const size_t sim_drills_storage_count;

/* The gap of the drill that ran last, or DRILL_NO_GAP. */
int64_t sim_drill_gap(void);

/* --- for the drills --------------------------------------------------------------------------- */

typedef bool (*scene_test)(const struct scene *scene);

bool drill_good(const struct scene *scene); /* nothing has failed yet */
void drill_expect(const struct scene *scene, bool good, const char *what);
void drill_pass(struct scene *scene, int64_t ms);
/* Until it is so, or the drill fails. */
void drill_until(struct scene *scene, scene_test reached, int64_t limit_ms, const char *what);
/* It is so at every step. */
void drill_while(struct scene *scene, scene_test holds, int64_t ms, const char *what);
/* One primary, everybody streams, the group is whole; then some calm, and the scene is looked at
 * anew. */
void drill_settle(struct scene *scene);
/* Raft leadership goes to this node, and the stopwatch starts. */
void drill_lead(struct scene *scene, struct sim_machine *machine);
void drill_begin(struct scene *scene);
/* Somebody but the former primary serves, within `beyond_ms` after the lease's end (by_ttl; an
 * election more if the primary led the Raft group), or after the beginning. Sets the gap. */
void drill_taken_over(struct scene *scene, bool by_ttl, int64_t beyond_ms);
void drill_crash(struct sim_machine *machine);     /* the agent */
void drill_power_off(struct sim_machine *machine); /* the host */
void drill_start(struct sim_machine *machine);     /* the agent again */
void drill_cut(struct scene *scene, const struct sim_machine *from, const struct sim_machine *to);
/* Puts the key `failover`, through this member. */
void drill_order(struct scene *scene, const struct sim_machine *through, const char *leader,
                 const char *candidate);

struct sim_machine *drill_primary(const struct scene *scene); /* who serves now; NULL = nobody */
bool drill_undisturbed(const struct scene *scene);            /* the same postmaster, writable */
bool drill_nobody_serves(const struct scene *scene);
bool drill_settled(const struct scene *scene);
bool drill_whole(const struct scene *scene);

#endif
