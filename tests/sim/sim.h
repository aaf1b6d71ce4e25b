/* The simulator: the shipping engine, store, HA loop and fence logic of several nodes in one
 * process, on models of clock, disk, network and PostgreSQL. One event heap in virtual time and one
 * generator from the seed are the only sources of order, so a seed replays exactly.
 *
 *   sim_world.c   event heap, generator, clocks, network
 *   sim_disk.c    what a member stored, and what a crash leaves of it
 *   sim_member.c  one Raft member: start, crash, damage, an empty directory
 *   sim_group.c   who joins and who was removed: the shipping rules of the group on models of peers
 *   sim_store.c   what is applied: hash chain, exactly once, lease log
 *   sim_load.c    clients with unique commands
 *   sim_machine.c what outlives an agent on its host: PostgreSQL's life and the fence
 *   sim_wal.c, sim_replication.c, sim_sync.c   WAL, who copies it, who waits for whom
 *   sim_connect.c whether servers on other hosts answer;  sim_depose.c leases that are ended early
 *   sim_commits.c what clients were told to be committed, and who has it
 *   sim_instance.c, sim_instance_sync.c, sim_agent.c   the shipping HA loop on models of its
 * handles sim_script.c  setup and script of faults: drawn from the seed, or read from a trace
 *   sim_faults.c, sim_faults_*.c   what breaks, and the healing
 *   sim_bend.c    rules bent on purpose
 *   sim_coverage.c   what was hit at all: rules, steps, messages, faults
 *   sim_run.c     one run: faults, healing, convergence;   sim_shrink.c   the least that fails
 *   sim_drill.c, sim_drills_*.c   hand-written sequences with exact expectations and time limits
 *   sim_main.c    options and runs
 *
 * Time: `now` is true time in ms, which no node can see. A node's clocks have an offset and a rate
 * of their own. */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/random.h"
#include "raft/node.h"
#include "sim_coverage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NODES_MAX   5
#define SIM_ELECTION_MS 500
#define SIM_CLUSTER_ID  0xc1057e4u

enum sim_mode { SIM_STORE, SIM_CLUSTER };

enum sim_replication { /* synchronous_mode, and _strict */
                       SIM_ASYNC,
                       SIM_SYNC,
                       SIM_SYNC_STRICT,
                       SIM_QUORUM,
                       SIM_QUORUM_STRICT,
                       SIM_REPLICATIONS
};

enum sim_port { SIM_PORT_RAFT, SIM_PORT_POSTGRES, SIM_PORT_REST, SIM_PORTS };

/* What may be left out or bent on purpose: each must make a run fail. */
struct sim_mutation {
    bool without_fence;    /* the fence never acts */
    bool expire_early;     /* a member proposes Expire after half of the ttl */
    bool amnesia;          /* a crash loses the whole disk queue and what was synced last */
    bool forget_vote;      /* whom a member voted for is not stored */
    bool stale_read;       /* reads are answered from the own copy, nobody is asked */
    bool still_receiving;  /* a standby reports before its walreceivers are gone */
    bool one_report;       /* the reports of one member are enough, whatever `sync` says */
    bool unconfirmed;      /* nobody has to confirm before fewer reports are asked for */
    bool set_first;        /* the setting is changed before more reports are asked for */
    bool without_unfenced; /* the key is taken away: nobody knows who runs without a deadline */
    bool without_watchdog; /* nobody has one, and a fence may stand still */
    bool slow_clock;       /* the lease clock of each primary is slower than rho allows */
};

struct sim_drill;
struct sim_script;

#define SIM_CASCADES 18 /* of three nodes one names one, or they name each other */

struct sim_setup {
    unsigned nodes;
    int64_t ttl_ms; /* of the leader lease */
    unsigned loss_permille;
    unsigned duplicate_permille;
    unsigned straggler_permille; /* frames that take up to ... */
    unsigned straggle_ms;
    unsigned snapshot_entries; /* in the log before it is compacted */
    enum sim_replication replication;
    unsigned sync_nodes; /* synchronous_node_count */
    bool early_failover;
    unsigned cascade; /* who has the tag replicatefrom, 1 to SIM_CASCADES; 0 = nobody */
    int64_t hang_ms;  /* postmaster_hang_timeout; 0 = its default */
    bool one_writer;  /* what I1 needs is given: fences act, clocks go with the hosts */
    bool fence;
    bool watchdog; /* each node has one */
};

struct sim_options {
    uint64_t seed;
    const struct sim_drill *drill; /* NULL: a script of faults */
    enum sim_mode mode;
    int64_t fault_ms; /* length of the safety phase */
    bool trace;
    struct sim_mutation mutation;
};

struct sim_world;

typedef void (*sim_fn)(void *arg, uint64_t a, uint64_t b);

/* --- one disk: what a crash leaves ------------------------------------------------------------ */

struct sim_entry {
    uint64_t index;
    uint64_t term;
    uint16_t type;
    struct buf data;
};

struct sim_job {
    struct list link;
    struct raft_storage_job job; /* borrowed until done */
    void (*done)(void *arg);
    void *arg;
};

struct sim_disk {
    uint64_t term;
    uint64_t voted_for;
    struct sim_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    bool has_snapshot;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t configuration_index;
    struct buf configuration;
    struct buf snapshot;
    struct list queue; /* struct sim_job, not durable yet */
    size_t queue_count;
    bool syncing;
    bool slow;
    bool full;                /* nothing can be written */
    bool full_told;           /* the member knows */
    bool failing;             /* the next sync ends in an I/O error */
    int64_t stalled_until_ms; /* true time */
};

/* --- one node --------------------------------------------------------------------------------- */

struct sim_agent; /* sim_agent.c: the HA loop on this node */
struct sim_group; /* sim_group.c */
struct sim_holder;

struct sim_node {
    struct sim_world *world;
    unsigned index;
    uint64_t id;
    uint64_t instance; /* of the agent: outlives its Raft database, and is lost with the host; 0 =
                          there is none yet */
    char name[16];
    struct sim_disk disk;
    struct raft_node *raft; /* NULL = crashed */
    uint64_t incarnation;   /* events of an earlier one are dropped */
    bool paused;            /* the process does not run; its clocks do */
    int64_t resume_ms;
    int64_t restart_due_ms; /* of a restart that was asked for and not begun; 0 = none; ... */
    int64_t restart_at_ms;  /* ... of one that is scheduled */
    struct list held;       /* struct sim_held: events that wait for the resume */
    /* The whole host stands still, PostgreSQL and fence with it; its clock too, or not. */
    bool frozen;
    bool clock_stands;
    int64_t frozen_ms;  /* true time */
    int64_t stopped_ms; /* for how long its clock has stood still, of all times */
    struct list host_held;
    /* Clocks. */
    struct clock clock;
    struct random random;
    int64_t offset_ms;
    int64_t rate_ppm;
    /* Timer. */
    uint64_t timer_number;
    unsigned crash_in; /* so many operations of the agent; 0 = not */
    unsigned spins;    /* ticks at one instant */
    int64_t spun_ms;
    uint64_t commit_seen;
    struct sim_holder *holder; /* sim_load.c: it competes for the lease */
    struct sim_agent *agent;
    struct sim_group *group;
};

struct sim_world {
    struct sim_options options;
    int64_t now;
    uint64_t random_state;
    struct sim_event *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint64_t event_number;
    size_t node_count;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_setup setup;
    const struct sim_script *script; /* NULL = a drill */
    int64_t ttl_ms;                  /* as configured last, and ... */
    int64_t ttl_most_ms;             /* ... the longest that ever was */
    unsigned sync_nodes;             /* as configured last, */
    int64_t hang_ms;                 /* ... too; ... */
    bool maintenance;                /* ... `pause` as well, ... */
    bool maintained;                 /* ... once at least */
    int64_t paused_ms;               /* since when the store has said so; -1 = it does not */
    int64_t resumed_ms;              /* after everything has healed: when it was last so */
    int64_t ordered_ms;              /* when a failover was last asked for */
    uint64_t hash;                   /* of all events so far */
    /* Network: cut[from][to] = nothing passes. */
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];
    bool port_cut[SIM_PORTS][SIM_NODES_MAX][SIM_NODES_MAX]; /* of one service alone */
    int64_t late_ms[SIM_NODES_MAX][SIM_NODES_MAX];          /* added to the way of each frame */
    struct list frames;                                     /* on their way */
    bool recording;
    struct list recorded; /* what was sent since sim_record */
    bool slow_network;
    bool faults_on;
    bool agents_off;
    bool membership;       /* somebody was wiped or removed: the group's rules have work to do */
    bool stops_hang;       /* each fast stop of PostgreSQL does */
    bool backends_linger;  /* after their postmaster was killed */
    bool primaries_silent; /* nothing is written */
    struct sim_log *log;   /* sim_store.c */
    struct sim_load *load; /* sim_load.c */
    struct sim_commits *commits; /* sim_commits.c */
    const char *failure;         /* first broken rule; NULL = none */
    char failure_text[512];
};

/* sim_world.c */
extern struct sim_node *sim_running; /* whose event this is; NULL = the world's */
void sim_world_init(struct sim_world *world, const struct sim_options *options,
                    const struct sim_setup *setup, const struct sim_script *script);
void sim_world_close(struct sim_world *world);
uint64_t sim_random(struct sim_world *world);
uint64_t sim_below(struct sim_world *world, uint64_t bound); /* 0 .. bound-1 */
bool sim_chance(struct sim_world *world, unsigned permille);
int64_t sim_ttl_ms(const struct sim_world *world); /* of the leader lease */
void sim_at(struct sim_world *world, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a,
            uint64_t b);
/* As the node's process would run it: dropped after a crash, held while paused. Delay in the node's
 * own ms. */
void sim_node_at(struct sim_node *node, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a,
                 uint64_t b);
/* As something on the host beside the agent: it outlives the agent, and waits while the host is
 * frozen. Delay in true ms. */
void sim_host_at(struct sim_node *node, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a,
                 uint64_t b);
void sim_host_freeze(struct sim_node *node, int64_t ms, bool clock_stands);
void sim_host_thaw(struct sim_node *node);
void sim_node_held_drop(struct sim_node *node);
void sim_node_pause(struct sim_node *node, int64_t ms);
void sim_node_resume(struct sim_node *node);
void sim_run_until(struct sim_world *world, int64_t until_ms);
int64_t sim_node_clock(const struct sim_node *node);
void sim_node_set_rate(struct sim_node *node, int64_t rate_ppm);
void sim_hash(struct sim_world *world, uint64_t value);
void sim_send(struct sim_world *world, unsigned from, unsigned to, struct span frame);
/* Everything sent between the two, or up to the end, once more to whoever still runs; what is
 * recorded is gone then. */
void sim_record(struct sim_world *world);
void sim_record_end(struct sim_world *world);
void sim_replay(struct sim_world *world, unsigned times);
void sim_fail(struct sim_world *world, const char *rule, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sim_trace(const struct sim_world *world, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* sim_disk.c */
extern const struct raft_storage_ops sim_disk_ops;
void sim_disk_append(struct sim_node *node, const struct raft_entry_rec *entry);
void sim_disk_crash(struct sim_node *node);          /* some of the queue is durable */
void sim_disk_give_back(struct sim_disk *disk);      /* the member has stopped */
bool sim_disk_is_blank(const struct sim_disk *disk); /* no term, vote or entry was ever stored */
void sim_disk_empty(struct sim_disk *disk);

/* sim_member.c */
void sim_member_found(struct sim_world *world); /* entry 1 on every disk */
void sim_member_start(struct sim_node *node);
void sim_member_crash(struct sim_node *node);
void sim_member_damage(struct sim_node *node); /* what it stored; it is down */
void sim_member_wipe(struct sim_node *node);   /* empties its directory: a new member; it is down */
void sim_member_free(struct sim_node *node);
void sim_member_trace(const struct sim_node *node);
struct sim_node *sim_node_of_id(struct sim_world *world, uint64_t id);
/* Whatever runs there: one way, and both ways. */
bool sim_world_passes(const struct sim_world *world, enum sim_port port, unsigned from,
                      unsigned to);
bool sim_world_linked(const struct sim_world *world, enum sim_port port, unsigned a, unsigned b);
bool sim_member_reachable(const struct sim_world *world, unsigned from, unsigned to);
struct sim_node *sim_leader(struct sim_world *world); /* that of the highest term; NULL = none */

/* sim_group.c */
bool sim_group_found(struct sim_node *node); /* a partner that has a group can be reached */
void sim_group_started(struct sim_node *node);
void sim_group_stopping(struct sim_node *node); /* before the member stops, and ... */
void sim_group_free(struct sim_node *node);     /* ... after it */
void sim_group_heard(struct sim_node *node, uint64_t from);
/* Everybody runs, and all know the same group: these members, all of them voters. */
bool sim_group_whole(struct sim_world *world);

/* sim_store.c: one world at a time, the hooks of the wrapped store functions find it here. */
void sim_log_open(struct sim_world *world);
void sim_log_close(struct sim_world *world);
void sim_log_acknowledged(struct sim_world *world, uint64_t op,
                          int code); /* `code` as the store said */
void sim_log_never_sent(struct sim_world *world, uint64_t op);
void sim_log_leader(struct sim_world *world, uint64_t term, uint64_t id);
void sim_log_finish(struct sim_world *world);           /* after healing: all members alike */
uint64_t sim_log_length(const struct sim_world *world); /* index of the last applied entry + 1 */

/* sim_load.c */
void sim_load_open(struct sim_world *world);
void sim_load_close(struct sim_world *world);
void sim_load_started(struct sim_node *node);
void sim_load_crashed(struct sim_node *node);
void sim_load_healed(struct sim_world *world);
bool sim_load_progressed(const struct sim_world *world); /* something was acknowledged since then */
void sim_load_stop(struct sim_world *world);
/* Right after an entry was applied for the first time anywhere: nobody may hold the lease beside a
 * new holder. */
void sim_lease_applied(struct sim_world *world, const struct store *store);

/* sim_commits.c: the key `sync` says this now; empty = it is not there. */
void sim_commits_promised(struct sim_world *world, struct span value);

/* sim_faults.c */
void sim_faults_start(struct sim_world *world);
void sim_faults_heal(struct sim_world *world);
void sim_faults_restart(struct sim_node *node, int64_t delay_ms);
void sim_faults_isolate(struct sim_node *node);
/* The configuration has this ttl from now on; false: nobody could be told. */
bool sim_faults_ttl(struct sim_world *world, int64_t ttl_ms);
bool sim_faults_print(void); /* how often what was done; false if something never was */
void sim_faults_mend(struct sim_world *world); /* the network */

/* sim_agent.c */
void sim_agents_open(struct sim_world *world);
void sim_agents_close(struct sim_world *world);
void sim_agent_started(struct sim_node *node); /* the member has started */
void sim_agent_crashed(struct sim_node *node);
void sim_agent_changed(struct sim_node *node);
void sim_agent_thaws(const struct sim_node *node);
void sim_agents_trace(struct sim_node *node);
void sim_agents_stop(struct sim_world *world);
bool sim_agents_serve(struct sim_world *world);       /* a primary is writable */
bool sim_agents_settled(struct sim_world *world);     /* one primary, everybody streams from it */
bool sim_agent_acquires(const struct sim_node *node); /* has asked for the key, no answer yet */
void sim_agent_terminate(struct sim_node *node);      /* SIGTERM */
/* POST /restart there, `in_ms` ahead (0 = now); false: it was refused. */
/* POST /reinitialize there; false: it was refused. */
bool sim_agent_reinit(struct sim_node *node, bool force, bool from_leader);
bool sim_agent_reinits(const struct sim_node *node); /* one is under way */
/* The page arms an epoch that an earlier run of the agent acquired: it may have promoted already.
 */
bool sim_agent_resumed(struct sim_node *node);
bool sim_agent_restart(struct sim_node *node, int64_t in_ms, int64_t timeout_ms);
void sim_agent_steps(struct sim_node *node); /* before each operation: it may be its last */
struct json_t *sim_agent_dynamic(const struct sim_world *world); /* the configuration */
/* The leader key was acquired by `holder`: nobody else can commit any more. */
void sim_agents_acquired(struct sim_world *world, struct span holder);
/* The host of this node is lost, its data too if another primary has them. */
void sim_agent_host_lost(struct sim_node *node);

/* sim_drill.c */
void sim_drill_run(struct sim_world *world);
void sim_drill_setup(const struct sim_options *options, struct sim_setup *ret_setup);

#endif
