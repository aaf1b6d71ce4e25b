/* The agent's inside: what has been seen (facts), what is under way (lease, plan, job), and the
 * handles that observe and act. One thread, one uv loop; nothing here blocks.
 *
 *   observe -> facts -> cycle (ha_decide) -> execute -> outcomes come back as facts;  publish tells
 * the others
 *
 * Only the files of agent/loop and agent/app.c see this struct. */
#ifndef AGENT_LOOP_LOOP_H
#define AGENT_LOOP_LOOP_H

#include "agent/config/config.h"
#include "agent/config/config_effective.h"
#include "agent/config/dynamic.h"
#include "agent/config/dynamic_slots.h"
#include "agent/dcs/dcs.h"
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_callback.h"
#include "agent/ha/ha_lease.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_snapshot.h"
#include "agent/ha/ha_takeover.h"
#include "agent/loop/follow.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "pgctl/fence.h"
#include "pgctl/pg_disk.h"
#include "pgctl/pg_instance.h"
#include "raft/group.h"

#include <uv.h>

struct api_server;
struct loop_peers;
struct loop_failsafe;
struct loop_sync;
struct loop_silence;
struct pg_disk;

#define LOOP_PROBE_MS_MAX      1000 /* between two probes of a running instance */
#define LOOP_PROBE_STARTING_MS 100
#define LOOP_PROBE_AGAIN_MS    5
#define LOOP_PROBE_TIMEOUT_MS  2000
#define LOOP_PROBE_FRESH_MS    2500  /* an older answer says nothing of this moment */
#define LOOP_INSPECT_MS        10000 /* deadline of one look at the data directory */
#define LOOP_INSPECT_AGAIN_MS  5000  /* after one that found it of no use */
#define LOOP_DCS_MS            2000 /* deadline of a write to the store that is no lease operation */
#define LOOP_HEARTBEAT_MS      1000 /* a store outside this process is asked at least so often */
#define LOOP_RETRY_MS          200  /* after an action that failed, before the next decision */
#define LOOP_DECISIONS_MAX     64   /* ring that `explain` shows */
#define LOOP_SETTLED_MS        5000 /* an instance that is up for so long is out of a crash loop */
#define LOOP_DISK_GOOD_MS      3000 /* good for so long: told to the others */
#define LOOP_DISK_ANSWER_MS    1500 /* idle after so long: it has taken a write meanwhile */
#define LOOP_COMMITS_LOST_MAX  16   /* in one trouble: each may be a backend that hangs */
#define LOOP_REPLAY_STUCK_MS   60000
#define LOOP_PAUSE_MS          2500 /* the probe timer is late by more: this process stood still */
#define LOOP_SLOT_AGES_MAX     (PG_SLOTS_MAX + 2 * HA_MEMBERS_MAX)

#ifndef LOOP_TRANSFER_MS /* a build of tests/bench leaves Raft leadership where it is */
#define LOOP_TRANSFER_MS 2000
#endif

/* One decision that changed something, as `explain` shows it. */
struct loop_decision {
    int64_t wall_ms;
    unsigned repeats; /* the same rule with the same reason again */
    char *rule;
    char *reason;
    char *plan;     /* ha_plan_print */
    char *snapshot; /* ha_snapshot_print */
    char *outcome;  /* NULL while it is carried out */
};

struct loop_facts {
    struct ha_cluster cluster; /* of the last view */
    struct dcs_view *view;     /* a reference; NULL before the first */
    int64_t config_revision;   /* the one that `dynamic` was made of; -1 = none yet */

    bool inspected;
    struct pg_inspection inspection;
    int64_t inspected_mono_ms;

    int probe_rc; /* of the last answer; ERR_UNAVAILABLE before the first */
    struct pg_probe_result
        probe; /* last good one; asked_ms 0 = none since the postmaster started */
    struct pg_local_position shutdown; /* of the last look after a clean stop */

    enum ha_run run;
    int64_t run_since_mono_ms;
    bool stop_ordered;  /* the last stop was asked for by us */
    bool stopping;      /* and has not ended */
    bool adopted;       /* what runs was not started by the fence that is there */
    bool start_ordered; /* a start is under way: between two looks it may not have a process yet */
    bool ever_ran;      /* a postmaster was seen by this run of the agent */
    enum pg_start_role started_as;
    int64_t crash_since_mono_ms;
    int64_t crashed_mono_ms[HA_CRASHES_MAX]; /* the last ones, the newest first; HA_NEVER */
    unsigned hangs;
    unsigned start_failures;
    int64_t start_failed_mono_ms;
    int64_t stop_failed_mono_ms; /* see ha_self */
    int64_t promote_failed_mono_ms;

    struct ha_upstream upstream;
    int64_t cascade_left_mono_ms; /* see ha_self */
    struct ha_rejoin rejoin;
    struct ha_epoch open_told_epoch;     /* told that a comparison has to wait for replay */
    struct pg_local_position asked_from; /* where this standby was for certain when the primary was
                                            asked for the last time; lsn 0 = that is not known */
    uint64_t ahead_lsn;                  /* where this standby is, further than its leader tells */
    int64_t ahead_since_mono_ms;         /* since then */
    bool ahead;                          /* see ha_self */
    int64_t replay_stands_since_mono_ms; /* with WAL here that is not replayed; HA_NEVER */
    bool replay_stuck;                   /* see ha_self */
    struct ha_epoch withdrawn_epoch;
    int64_t term_since_mono_ms;     /* of the epoch that the lease machine holds, or held last */
    int64_t silent_since_mono_ms;   /* liveness.c */
    int64_t refusing_since_mono_ms; /* likewise */
    enum pg_disk_kind disk;         /* disk.c: the worst one */
    enum pg_disk_kind disk_before;  /* of before the last change */
    int64_t disk_since_mono_ms;
    char disk_place[PG_DISK_PLACE_BYTES];
    struct pg_disk_state disks;
    bool disk_has_wal;         /* the worst one is that of the WAL */
    int64_t committed_mono_ms; /* the last one */
    int64_t trouble_floor;     /* revision of the view when the trouble with the disk began */
    int64_t trouble_revision;  /* see ha_self */
    int64_t asked_revision;    /* the leader's record that told of its trouble; 0 = none does */
    int64_t asked_mono_ms;     /* when it was read here */
    int64_t failover_revision; /* of the request that was read last; 0 = none */
    int64_t failover_mono_ms;  /* when it was read here */
    int64_t disk_answers;      /* see ha_member; 0 = nothing is to be answered yet */
    struct ha_job job;
    bool copying; /* a copy is under way that tells how far it is: */
    struct pg_copy_progress copy;
    struct ha_action destruction; /* the last HA_REMOVE_DATA or HA_REWIND, for the look before it */
    enum ha_request request;
    int64_t request_mono_ms;
    int64_t unlocked_since_mono_ms;
    struct ha_owner owner;
    int64_t partner_gone_mono_ms;
    struct ha_peer peers[HA_MEMBERS_MAX]; /* whom peers.c asks */
    size_t peer_count;
    struct ha_peer heard[HA_MEMBERS_MAX]; /* whom our Raft member hears */
    size_t heard_count;
};

struct loop_slot_age { /* of a slot that is there, or that a member needs: for member_slots_ttl */
    char slot[PG_NAME_BYTES];
    bool member;            /* of a member that this run of the agent has seen */
    int64_t needed_mono_ms; /* last: its member was there, somebody streamed, or it was new to us */
};

struct loop_slot_lsn { /* as the leader has published it */
    char slot[PG_NAME_BYTES];
    uint64_t lsn;
};

/* logical.c */
struct loop_logical { /* a logical slot that the configuration names, or named until lately */
    char name[PG_NAME_BYTES];
    bool configured;
    bool coming;        /* a copy was fetched, and PostgreSQL is restarted for it */
    bool missing;       /* on a standby that has none by itself: what comes is a copy */
    bool copied;        /* it was put here, and never seen to be safe yet */
    bool safe;          /* what it needs was kept by this primary */
    bool was_safe;      /* likewise by the last one, when we heard of it last */
    bool doubted;       /* the present primary was seen not to keep what it needs */
    bool keeping;       /* the question under way notes that it is good: */
    bool kept;          /* that is noted: a promotion keeps it (pg_logical_ask) */
    bool told_lost;     /* the operator knows that it is made anew */
    bool told_used;     /* and that somebody reads from what is not good */
    bool told_unmarked; /* 17: and that it is not copied while its consumer is there */
    char told_fault[PG_VALUE_BYTES]; /* and why it cannot be copied; "" = it was not asked */
    uint64_t remade_from; /* it is being made anew: then it begins there, or later; 0 = it is not */
    int64_t remade_mono_ms; /* the end of that: what was seen before says nothing */
    uint32_t horizon; /* it is so once its catalog_xmin is not before that; 0 = not known yet */
};

struct loop_logicals {
    size_t count;
    struct loop_logical items[2 * DYNAMIC_SLOTS_MAX];
    size_t stranger_count;
    char strangers[PG_SLOTS_MAX][PG_NAME_BYTES]; /* that were told of */
    bool synced;                                 /* logical_has_synced, as it was last */
    bool changing;
    bool failed;           /* the last change */
    int64_t set_mono_ms;   /* when it was begun */
    struct ha_epoch epoch; /* that what is known of the primary is of */
    bool asking;
    bool ask_failed;
    bool asked_copies;
    bool asked_marks;
    int64_t asked_mono_ms;
    struct ha_epoch asked_epoch;
    int64_t wanted_mono_ms;     /* since when copies are missing; 0 = none is */
    int64_t copy_again_mono_ms; /* not before */
    int64_t copy_wait_ms;       /* after the last restart for it */
    uint32_t seen_timeline;     /* of the primary, as it said last; 0 = not since it leads */
    bool told_cut;              /* there are more slots than are seen */
    bool decodes_given;         /* the settings in force are for a server that decodes */
};

/* The settings of the configuration on their way to the instance. */
struct loop_reload {
    bool wanted; /* they are not given to it yet */
    bool running;
    bool withheld;                /* from what is not known to be this cluster's */
    unsigned failures;            /* in a row, for passing reasons */
    int64_t again_mono_ms;        /* not before */
    char error[ERROR_TEXT_BYTES]; /* why what is in force is not what is configured; "" = it is */
    char file_error[ERROR_TEXT_BYTES]; /* why the file of now is not taken; "" = it is */
    bool receiver_changed;             /* the service file is to be written with another account */
};

/* restart.h */
struct loop_restart {
    struct ha_restart now;
    bool of_leader;  /* the one under way: of the holder of the key */
    unsigned number; /* of the last order of this run */
    unsigned ended;  /* of the last one that has an outcome: */
    bool done;
    char outcome[ERROR_TEXT_BYTES + 32];
    json_t *scheduled; /* as it is shown; NULL = none is */
    int64_t scheduled_timeout_ms;
    char scheduled_start[48]; /* of the postmaster that it was meant for */
};

/* adoption.c */
struct loop_adoption {
    bool asking;
    bool answered; /* about `pid` by the fence `fence_pid`: with `rc` */
    int rc;
    int32_t pid;
    int32_t fence_pid;
    /* One of others has run, and the fence has not looked since whether anything of it is left:
     * what it says of `all_gone` is of before. */
    bool unlooked;
    int32_t own_pid; /* of the last postmaster that the fence has started; 0 = none was seen */
};

/* watchdog.c */
struct loop_watchdog {
    char device[FENCE_PATH_BYTES]; /* that the fence is to have; "" = none */
    int64_t timeout_ms;
    bool due; /* the fence is to be told */
    bool asking;
    int64_t asked_mono_ms; /* 0 = never yet */
    bool unknown_to_fence; /* which is of an earlier release */
    enum ha_watchdog_state state;
    enum ha_watchdog_state told; /* to the operator */
    int64_t awaited_mono_ms;     /* since then the page is armed and it is not; HA_NEVER */
    int64_t failed_mono_ms;      /* see ha_watchdog */
    char why[FENCE_WATCHDOG_WHY_BYTES];
    char failed_why[FENCE_WATCHDOG_WHY_BYTES];
};

/* namesake.h */
struct loop_namesake {
    bool free;                 /* NAMED */
    bool over;                 /* the other one lives: this agent is to end */
    bool waits;                /* WAITING, ... */
    int64_t waited_ms;         /* ... for so long, ... */
    int64_t counted_mono_ms;   /* ... up to this word of the store */
    int64_t told_mono_ms;      /* 0 = not yet */
    char where[HA_TEXT_BYTES]; /* of the snapshot: self.namesake */
};

/* reinit.h */
struct loop_reinit {
    struct ha_reinit now;
};

struct agent {
    uv_loop_t *loop;
    const struct clock *clock;
    /* Which agent of its name this one is: 16 hex digits, of its state directory; "" = it has none
     * (tests): then all are the same. */
    char instance[HA_INSTANCE_BYTES];
    int64_t started_wall_ms;     /* this program, in its place */
    bool fence_is_old;           /* the file beside it is another one than the fence that runs */
    const struct config *config; /* may become another one between two turns of the loop */
    struct config_effective effective; /* of both; empty before the first: agent_postgresql */
    struct dynamic_config dynamic;
    char refused[HA_TEXT_BYTES]; /* see ha_settings.refused */
    bool unconfigured;  /* there is a key `config`, and nothing that it ever said could be read in
                           this run: `dynamic` is what the file or we ourselves have made up */
    bool pause_unknown; /* and not even `pause` in it can be read */
    struct raft_group *group;
    struct dcs *dcs;
    struct pg_instance *pg;
    struct fence_client *fence;
    struct pg_disk *disk; /* NULL: nobody looks at the disks (tests) */
    struct api_server *api;
    struct loop_peers *peers;       /* NULL: nobody is asked who is alive (tests) */
    struct loop_failsafe *failsafe; /* NULL: failsafe_mode has no effect */
    struct loop_silence *silence;   /* NULL: nobody looks whether the leader is silent (tests) */
    struct loop_sync *sync;         /* NULL: nobody looks after synchronous standbys (tests) */

    struct loop_facts facts;
    struct ha_lease lease;
    bool acquiring;
    int64_t acquire_ttl_ms;      /* of the acquisition that is under way */
    struct ha_epoch depose_told; /* whose end was asked for last: it is said once */

    /* observe.c */
    uv_timer_t probe_timer;
    bool probing;
    int64_t probe_sent_mono_ms;
    bool probe_wanted; /* an answer asked for from now on */
    bool inspecting;
    bool inspect_wanted;
    bool inspect_stale; /* the look under way began before what it is to tell of */
    /* observe_store.c */
    size_t left_out; /* keys of members and reports that the last view had no room for */
    bool announcing; /* the note of a bootstrap is being removed */
    bool noting_pause;
    bool pause_to_note; /* what the note is to say */
    /* liveness.c */
    uv_timer_t ping_timer;
    bool pinging;
    int64_t ping_sent_mono_ms;
    int64_t awake_mono_ms;  /* when it was last looked whether this process runs */
    int64_t paused_mono_ms; /* the end of the last time when it did not; HA_NEVER */
    /* disk.c */
    bool committing;
    int64_t commit_sent_mono_ms;
    unsigned commits_lost; /* that did not go through, since the disks took writes */
    /* parameters.c */
    struct loop_reload reload;
    /* remote.c */
    bool follows_remote;      /* PostgreSQL has the settings of who follows the other cluster */
    size_t remote_index;      /* of the host that is asked next */
    uint32_t remote_timeline; /* that its primary is on, of the last look */
    /* restart.c */
    struct loop_restart restart;
    /* adoption.c */
    struct loop_adoption adoption;
    /* watchdog.c */
    struct loop_watchdog watchdog;
    /* namesake.c */
    struct loop_namesake namesake;
    bool fence_silent;                  /* and the operator was told */
    int64_t fence_silent_since_mono_ms; /* while it is so */
    int32_t fence_ended_pid;            /* of the last one that was ended here; 0 = none */
    /* reinit.c */
    struct loop_reinit reinit;
    /* cycle.c */
    uv_timer_t cycle_timer;
    bool cycle_due;
    bool executing;
    struct ha_snapshot snapshot; /* of the plan that is carried out */
    struct ha_plan plan;
    size_t action_index;
    int64_t history_again_mono_ms;  /* one that could not be written: not before */
    uint32_t history_told_timeline; /* of the last one written, or being written */
    int64_t history_told_revision;  /* 0 = none yet */
    unsigned stops_under_way;       /* the newest has cancelled the others */
    bool checkpointing;
    bool checkpoint_waited; /* by the plan */
    char last_rule[64];
    char last_reason[HA_REASON_BYTES];
    struct loop_decision decisions[LOOP_DECISIONS_MAX];
    size_t decision_count;    /* ever made; the ring holds the last ones */
    int64_t cycle_mono_ms;    /* when the last one ran: liveness */
    int64_t cycle_at_mono_ms; /* when the next one is due, as the timer was told */
    struct histogram turn_ms;
    struct histogram late_ms;
    struct ha_takeovers takeovers;
    /* keeper.c */
    uv_timer_t lease_timer;
    int64_t renewed_lease_ms; /* when the last renewal that was answered was sent; 0 = none yet */
    uint64_t raft_leader_seen;
    struct follow follow;
    /* peers.c */
    uv_timer_t peers_timer;
    /* publish.c */
    uv_timer_t publish_timer;
    bool publishing;
    bool publish_due;
    char *published; /* last value of the member key that was accepted */
    int64_t published_mono_ms;
    int64_t published_ttl_ms;
    int64_t status_mono_ms; /* when `status` was written last */
    char *status_written;
    int64_t dcs_seen_wall_ms;
    /* commands.c */
    struct ha_told told; /* what callbacks were told last */
    unsigned callbacks_running;
    int64_t exit_wanted_mono_ms; /* 0 = not yet */
    /* slots.c */
    bool slots_changing;
    int64_t slots_set_mono_ms; /* when the last change was begun */
    struct loop_slot_age slot_ages[LOOP_SLOT_AGES_MAX];
    size_t slot_age_count;
    struct loop_slot_lsn slot_lsns[PG_SLOTS_MAX];
    size_t slot_lsn_count;
    int64_t slot_lsns_revision; /* of the key `status` that they are of */
    /* logical.c */
    struct loop_logicals logical;

    bool stopping;
    struct ha_snapshot *shown; /* of the last picture; app_api.c has it */
    /* A new picture for REST; NULL = nobody looks. */
    void (*on_picture)(struct agent *agent, const struct ha_snapshot *s);
    void (*on_reload)(struct agent *agent); /* the file is to be read again; NULL = by nobody */
    /* The program is to be exchanged in place; NULL = by nobody. */
    int (*on_reexec)(struct agent *agent, bool dry_run, struct error *err);
    void (*on_exit)(struct agent *agent,
                    int status); /* the plan said HA_EXIT, or nothing can go on */
};

/* --- observe.c: looks at the instance, the fence; puts facts; decides nothing ----------------- */
int observe_start(struct agent *agent);
void observe_stop(struct agent *agent);
void observe_fence_event(struct agent *agent, enum fence_event event,
                         const struct fence_status *status);
/* Asks for a fresh look at the data directory as soon as no job runs. */
void observe_inspect(struct agent *agent);
/* The same of one thing in it alone: meanwhile what was seen counts. */
void observe_inspect_again(struct agent *agent);
void observe_probe_soon(struct agent *agent);
/* Works `run` out from what is known. */
void observe_run(struct agent *agent);
/* The instance went down, restarted itself, or has to be killed. */
void observe_crash(struct agent *agent);

/* --- observe_store.c: likewise of the store --------------------------------------------------- */
void observe_store_changed(struct agent *agent);
/* The data directory was looked at: what the store has said since may be to be noted there. */
void observe_notes(struct agent *agent);

/* --- liveness.c: does the running server let somebody new in? --------------------------------- */
int liveness_start(struct agent *agent);
void liveness_stop(struct agent *agent);
/* Called wherever time that has passed counts against somebody else: where this process itself did
 * not run (stopped, frozen, starved) for some of it, that is no silence of his. */
void liveness_awake(struct agent *agent);
/* How a probe ended: whether somebody is let in it says by the way. */
void liveness_take_probe(struct agent *agent, int rc, const struct error *err);

/* --- disk.c: do the disks take writes? -------------------------------------------------------- */
/* What pgctl/pg_disk.h has found. */
void disk_take(struct agent *agent, const struct pg_disk_state *state);
struct pg_disk_limits disk_limits(const struct agent *agent);
/* What the others are told. Good news is told late: when space comes back everywhere, nobody is to
 * be better for a moment. */
enum pg_disk_kind disk_published(const struct agent *agent);
/* Of a new view: the leader tells of trouble with its disk, or our own record does. */
void disk_take_view(struct agent *agent);
/* The configuration may have others. */
void disk_limits_changed(struct agent *agent);

/* --- parameters.c: settings of the configuration -> reloads of the instance --------------------
 */
/* There is another configuration, of the store or of the file. */
void parameters_changed(struct agent *agent);
/* The same ones are to be tried and written once more. */
void parameters_again(struct agent *agent);
/* Merges both, without a reload: what pg_instance_new is given, and what agent_postgresql gives. */
void parameters_merge(struct agent *agent);
/* What the instance is to have by both configurations; `pg` as agent_postgresql. The parameters own
 * what `ret_reload` borrows: dynamic_parameters_free. `warning` has DYNAMIC_WARNING_BYTES. */
int parameters_wanted(const struct dynamic_config *dynamic, const struct config_postgresql *pg,
                      struct dynamic_parameters *ret_parameters, struct pg_reload *ret_reload,
                      char *warning, struct error *err) MUST_CHECK;
/* What is in the data directory, or runs, is known to be this cluster's: nothing is written to
 * another. */
bool parameters_are_for_ours(const struct agent *agent);
/* Gives the instance what it does not have yet, if that is due and no job runs. */
void parameters_apply(struct agent *agent);
/* Before PostgreSQL is started: begins what is due; ERR_BUSY while a reload runs. A cycle comes
 * when it has ended. */
int parameters_settle(struct agent *agent, struct error *err);

/* --- facts.c: facts -> const struct ha_snapshot ----------------------------------------------- */
void facts_snapshot(const struct agent *agent, struct ha_snapshot *ret_snapshot);
/* How often PostgreSQL went down by itself in the last crash_loop_window; HA_CRASHES_MAX at most.
 */
unsigned facts_crashes(const struct agent *agent);

/* --- cycle.c ---------------------------------------------------------------------------------- */
int cycle_start(struct agent *agent);
void cycle_stop(struct agent *agent);
void cycle_request(struct agent *agent);
/* The plan ended: `failure` NULL = all actions done. */
void cycle_plan_done(struct agent *agent, const char *failure);

/* --- execute.c, execute_pg.c ------------------------------------------------------------------ */
void execute_plan(struct agent *agent);
/* An action that is waited for ended. */
void execute_continue(struct agent *agent, int rc, const struct error *err);
/* The fence is silent: a plan that waits for a checkpoint before a stop goes on without it. */
void execute_fence_stands(struct agent *agent);
/* Actions on the instance: 0 = done or under way, 1 = execute_continue will come, < 0 = failed. */
int execute_pg(struct agent *agent, const struct ha_action *action, struct error *err);
bool execute_is_pg(enum ha_action_type type);

/* --- keeper.c: the lease is renewed apart from the cycle -------------------------------------- */
int keeper_start(struct agent *agent);
void keeper_stop(struct agent *agent);
/* The lease, the Raft leader or the ttl changed: look at once when the next renewal is due. */
void keeper_kick(struct agent *agent);
/* Writes the page from the lease, if it holds that epoch. */
void keeper_page(struct agent *agent);
/* Is the page armed for the epoch that we hold, and S not reached? */
bool keeper_may_write(const struct agent *agent);
/* The page has the epoch that we hold, armed or open (in pause), and S is not reached: what
 * compares that epoch in the store may be written. */
bool keeper_leads(const struct agent *agent);
/* Until when (lease clock) a health check may call the running instance the primary; 0 = not at
 * all. While an agent that has just started has not caught up with the store, that is the page's S:
 * the instance takes writes until then, and a 503 would make HAProxy cut its clients off though
 * nothing is wrong. */
int64_t keeper_serves_until_ms(const struct agent *agent, const struct ha_snapshot *s);

/* --- watchdog.c: the device behind the fence -------------------------------------------------- */
void watchdog_start(struct agent *agent);
/* Tells the fence what is wanted, takes what it says, and lets the lease leave the device its time.
 */
void watchdog_look(struct agent *agent);
/* The page was armed: the fence is to look at once. */
void watchdog_hurry(struct agent *agent);
/* For the next renewal: a shorter ttl waits until the device has a timeout that goes with it. */
int64_t watchdog_ttl_ms(const struct agent *agent);
void watchdog_fill(const struct agent *agent, struct ha_watchdog *ret_watchdog);

/* --- publish.c -------------------------------------------------------------------------------- */
int publish_start(struct agent *agent);
void publish_stop(struct agent *agent);
void publish_request(struct agent *agent);
/* on_progress of a clone: shown to people, about once a second; no rule looks at it. */
void publish_copy(void *arg, const struct pg_copy_progress *progress);
/* `conn_url` and `api_url` of our record; each has HA_URL_BYTES. */
void publish_urls(const struct agent *agent, char *ret_conn_url, char *ret_api_url);
/* "streaming", "in archive recovery", or NULL. */
const char *publish_replication_state(const struct agent *agent);
/* {setting: {old_value, new_value}} of those that wait for a restart. A new reference. */
json_t *publish_pending_reason(const struct pg_probe_result *probe);
/* Value of `status`; NULL if it equals the last one written or is too early. Free with mem_free. */
char *publish_status_value(struct agent *agent, uint64_t lsn, bool force);
/* Value of `history` for the present timeline from the text of its .history file (NULL on timeline
 * 1). */
char *publish_history_value(const struct agent *agent, const struct pg_history *history);

/* --- small shared ----------------------------------------------------------------------------- */
int64_t agent_mono_ms(const struct agent *agent);
/* `postgresql` of the file, with what the dynamic configuration adds. */
const struct config_postgresql *agent_postgresql(const struct agent *agent);
int64_t agent_lease_ms(const struct agent *agent);
/* By the configuration in force; where none was ever read in this run, by what the others and the
 * key `unfenced` say. */
bool agent_is_paused(const struct agent *agent);
/* Nothing was heard of the store in this run of the agent, and the cluster was paused when this
 * node last heard of it: it may be over since. */
bool agent_was_paused(const struct agent *agent);

#endif
