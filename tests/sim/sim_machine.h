/* What lives on a host beside the agent, and outlives its crash: the data directory, PostgreSQL and
 * the fence.
 *
 * PostgreSQL is WAL: a list of segments, each a timeline from its start on and a branch that no
 * other promotion has, so that two histories under one timeline number are told apart as the real
 * bytes would be. */
#ifndef TESTS_SIM_MACHINE_H
#define TESTS_SIM_MACHINE_H

#include "pgctl/fence.h"
#include "pgctl/pg_instance.h"
#include "sim.h"

#define SIM_SEGMENTS_MAX  256
#define SIM_NO_UPSTREAM   (-1)
#define SIM_LAG_BYTES_MAX 262144 /* maximum_lag_on_failover: some 6 s of writing */

struct sim_segment {
    uint32_t timeline;
    uint64_t start;
    uint64_t branch;
};

struct sim_wal {
    struct sim_segment segments[SIM_SEGMENTS_MAX];
    size_t count;
    uint64_t end;
};

enum sim_phase { SIM_DOWN, SIM_STARTING, SIM_UP, SIM_STOPPING };

struct sim_machine {
    struct sim_node *node;
    /* Data directory. */
    enum pg_dir_kind dir;
    enum pg_unfinished unfinished;
    uint64_t system_id;
    bool unannounced; /* made by initdb here, and the store was not seen to name it */
    bool standby_signal;
    bool backup_label;
    enum pg_control_state control;
    uint32_t control_timeline;
    uint64_t checkpoint_lsn;
    struct sim_wal wal;
    /* Process. */
    enum sim_phase phase;
    uint64_t run; /* of the postmaster: events of an earlier one are dropped */
    bool recovery;
    bool writable; /* some backend could still commit */
    bool promote_sent;
    int upstream;
    bool receiving;
    bool replayed; /* all local WAL, in this start */
    /* Fence. */
    struct fence_page *page;
    struct fence_state fence_state;
    int64_t kill_at_ms; /* of a stop that the agent asked for, on the lease clock */
    struct fence_status status;
};

struct sim_machine *sim_machine_of(struct sim_node *node);
void sim_machines_open(struct sim_world *world);
void sim_machines_close(struct sim_world *world);
uint32_t sim_wal_timeline(const struct sim_wal *wal);
/* How far `a` and `b` are the same; both ends if one is a prefix of the other. */
uint64_t sim_wal_common(const struct sim_wal *a, const struct sim_wal *b);
/* Text of the history file of its newest timeline. */
void sim_wal_history(const struct sim_wal *wal, struct buf *out);

void sim_machine_start(struct sim_machine *machine, enum pg_start_role role, int upstream);
/* Begins a stop; the instance is gone a while later. */
void sim_machine_stop(struct sim_machine *machine, enum fence_stop_mode mode);
/* The order of an agent: the fence kills what is left then, whatever has become of the agent. */
void sim_machine_stop_within(struct sim_machine *machine, enum fence_stop_mode mode,
                             int64_t kill_after_ms);
void sim_machine_kill(struct sim_machine *machine, int64_t within_ms);
void sim_machine_promote(struct sim_machine *machine, uint32_t timeline);
void sim_machine_up(struct sim_machine *machine); /* accepts connections from now on */
/* Host crash: everything on it is gone at once, the page with it. */
void sim_machine_power_off(struct sim_machine *machine);

void sim_machine_erase(struct sim_machine *machine);          /* no data directory any more */
void sim_machine_init_directory(struct sim_machine *machine); /* initdb */
/* How long something of PostgreSQL takes. In a drill the machine is idle and quick. */
int64_t sim_machine_takes(const struct sim_machine *machine, int64_t low, int64_t high);
void sim_check_loss(const struct sim_machine *machine);
void sim_check_removal(const struct sim_machine *machine);

/* To the agent, if one runs (sim_agent.c). */
void sim_agent_fence_event(struct sim_node *node, enum fence_event event);

#endif
