/* What a run is made of: its setup, and a script of faults. Both are drawn from the seed (swarm
 * testing: each seed has its own few kinds of faults, at its own rates), or read from a trace,
 * which is a script that was cut down to what still fails. A fault has dice of its own, so that
 * leaving one out changes nothing of what the others do. */
#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include "sim.h"

#include <stdio.h>

#define SIM_SCRIPT_MAX 2000

/* X(constant, name, function, where). `where`: 'a' = everywhere, 'c' = where there are PostgreSQLs,
 * 'b' = there, too, but at the beginning or never, 'o' = there, too, drawn apart (a kind that is
 * added so leaves the scripts without it what they were), 's' = with synchronous replication, 'w' =
 * breaks what I1 needs, so only where it is not checked.
 */
#define SIM_FAULTS(X)                                                        \
    X(CUT, "one_way_cut", sim_fault_cut, 'a')                                \
    X(PAIR, "pair_cut", sim_fault_pair, 'a')                                 \
    X(ISOLATION, "isolation", sim_fault_isolation, 'a')                      \
    X(DEAF, "deaf", sim_fault_deaf, 'a')                                     \
    X(MUTE, "mute", sim_fault_mute, 'a')                                     \
    X(NOBODY, "all_cut", sim_fault_all_cut, 'a')                             \
    X(RING, "ring", sim_fault_ring, 'a')                                     \
    X(FLAP, "flapping", sim_fault_flap, 'a')                                 \
    X(SWIZZLE, "swizzle", sim_fault_swizzle, 'a')                            \
    X(RAFT_CUT, "raft_cut", sim_fault_raft_cut, 'c')                         \
    X(COPY_CUT, "replication_cut", sim_fault_copy_cut, 'c')                  \
    X(MEND, "mend", sim_fault_mend, 'a')                                     \
    X(SLOW_NETWORK, "slow_network", sim_fault_slow_network, 'a')             \
    X(CRASH, "crash", sim_fault_crash, 'a')                                  \
    X(CRASH_LEADER, "crash_of_leader", sim_fault_crash_leader, 'a')          \
    X(CRASH_STEP, "crash_at_step", sim_fault_crash_step, 'c')                \
    X(CRASH_PROMOTION, "crash_in_promotion", sim_fault_crash_promotion, 'c') \
    X(CRASH_BOOTSTRAP, "loss_in_bootstrap", sim_fault_bootstrap, 'b')        \
    X(TERMINATE, "sigterm", sim_fault_terminate, 'c')                        \
    X(CRASH_ALL, "crash_of_all", sim_fault_crash_all, 'a')                   \
    X(POWER, "power_loss", sim_fault_power, 'c')                             \
    X(POWER_ALL, "power_loss_of_all", sim_fault_power_all, 'c')              \
    X(DOUBLE, "double_failure", sim_fault_double, 'c')                       \
    X(PAUSE, "pause", sim_fault_pause, 'a')                                  \
    X(POSTMASTER, "postmaster_killed", sim_fault_postmaster, 'c')            \
    X(CRASH_LOOP, "crash_loop", sim_fault_crash_loop, 'c')                   \
    X(HANG, "hanging_postgres", sim_fault_hang, 'c')                         \
    X(REPLAY, "replay_stands", sim_fault_replay, 'c')                        \
    X(SLOW_STANDBY, "slow_standby", sim_fault_slow_standby, 'c')             \
    X(TRANSFER, "transfer", sim_fault_transfer, 'a')                         \
    X(REMOVAL, "removal", sim_fault_removal, 'a')                            \
    X(SLOW_DISK, "slow_disk", sim_fault_slow_disk, 'a')                      \
    X(STALL, "disk_stall", sim_fault_stall, 'a')                             \
    X(FULL_DISK, "full_disk", sim_fault_full_disk, 'a')                      \
    X(IO_ERROR, "io_error", sim_fault_io_error, 'a')                         \
    X(TORN, "torn_tail", sim_fault_torn, 'a')                                \
    X(DAMAGE, "damage", sim_fault_damage, 'a')                               \
    X(WIPE, "lost_directory", sim_fault_wipe, 'a')                           \
    X(TTL, "ttl_change", sim_fault_ttl, 'c')                                 \
    X(HANG_LIMIT, "hang_timeout_change", sim_fault_hang_limit, 'c')          \
    X(MAINTENANCE, "maintenance", sim_fault_maintenance, 'c')                \
    X(BY_HAND, "stopped_by_hand", sim_fault_by_hand, 'c')                    \
    X(SYNC_NODES, "sync_nodes_change", sim_fault_sync_nodes, 's')            \
    X(SWITCHOVER, "switchover", sim_fault_switchover, 'c')                   \
    X(RESTART, "restart_on_request", sim_fault_restart, 'c')                 \
    X(RATE, "clock_rate", sim_fault_rate, 'a')                               \
    X(RATE_BEYOND, "clock_rate_beyond_rho", sim_fault_rate_beyond, 'w')      \
    X(FREEZE, "frozen_host", sim_fault_freeze, 'w')                          \
    X(FREEZE_CLOCK, "frozen_clock", sim_fault_freeze_clock, 'w')             \
    X(REINIT, "reinit_on_request", sim_fault_reinit, 'c')                    \
    X(ADOPTION, "started_by_others", sim_fault_adoption, 'o')                \
    X(SILENT_FENCE, "silent_fence", sim_fault_silent_fence, 'o')

enum sim_fault_kind {
#define KIND(constant, name, function, where) SIM_##constant,
    SIM_FAULTS(KIND)
#undef KIND
        SIM_FAULT_KINDS
};

struct sim_fault {
    int64_t at_ms;
    enum sim_fault_kind kind;
    uint64_t dice;
};

struct sim_script {
    size_t count;
    struct sim_fault faults[SIM_SCRIPT_MAX]; /* by time */
};

const char *sim_fault_name(enum sim_fault_kind kind);
/* By the seed. */
void sim_setup_draw(const struct sim_options *options, struct sim_setup *ret_setup);
void sim_script_draw(const struct sim_options *options, const struct sim_setup *setup,
                     struct sim_script *ret_script);

/* A trace: options, setup and script as text. `err` names the line. */
void sim_trace_write(FILE *out, const struct sim_options *options, const struct sim_setup *setup,
                     const struct sim_script *script);
int sim_trace_read(const char *path, struct sim_options *ret_options, struct sim_setup *ret_setup,
                   struct sim_script *ret_script, struct error *err);

/* --- dice of one fault ------------------------------------------------------------------------ */

struct sim_dice {
    uint64_t state;
};

uint64_t sim_dice_below(struct sim_dice *dice, uint64_t bound); /* 0 .. bound-1 */
int64_t sim_dice_between(struct sim_dice *dice, int64_t low, int64_t high);
bool sim_dice_chance(struct sim_dice *dice, unsigned permille);

/* --- what each does: true if it could be done (sim_faults_*.c) -------------------------------- */

typedef bool (*sim_fault_fn)(struct sim_world *world, struct sim_dice *dice);
#define DECLARE(constant, name, function, where) \
    bool function(struct sim_world *world, struct sim_dice *dice);
SIM_FAULTS(DECLARE)
#undef DECLARE

/* Mostly the one that matters now: the primary, the Raft leader; else any. */
struct sim_node *sim_fault_victim(struct sim_world *world, struct sim_dice *dice);
struct sim_node *sim_fault_any(struct sim_world *world, struct sim_dice *dice);
/* NULL = nobody, or no PostgreSQL here. */
struct sim_node *sim_fault_primary(struct sim_world *world);
/* The network is whole again after a while, mostly; else the next mending mends it, too. */
void sim_fault_passes(struct sim_world *world, struct sim_dice *dice);

#endif
