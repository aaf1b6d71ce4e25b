/* What lives on a host beside the agent, and outlives its crash: the data directory, PostgreSQL and
 * the fence.
 *
 * PostgreSQL is WAL: a list of segments, each a timeline from its start on and a branch that no
 * other promotion has, so that two histories under one timeline number are told apart as the real
 * bytes would be. A standby's walreceiver copies it over one connection to a walsender of its
 * upstream, and its answers release the commits that wait there (sim_replication.c, sim_sync.c). */
#ifndef TESTS_SIM_MACHINE_H
#define TESTS_SIM_MACHINE_H

#include "pgctl/fence.h"
#include "pgctl/pg_instance.h"
#include "sim.h"

#define SIM_SEGMENTS_MAX   256
#define SIM_NO_UPSTREAM    (-1)
#define SIM_LAG_BYTES_MAX  262144 /* maximum_lag_on_failover: some 6 s of writing */
#define SIM_POSTMASTER_PID 1000   /* and one more with each start */

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

#define SIM_WALSENDERS_MAX 8
#define SIM_WAITERS_MAX    24 /* clients of a primary: who waits writes nothing more */

/* synchronous_standby_names as a process has it: in the order of the value; -1 = nobody here. */
struct sim_setting {
    bool any;
    unsigned number; /* 0 = nobody is waited for */
    size_t count;
    int names[SIM_NODES_MAX + 1];
};

struct sim_walsender {
    bool alive;
    int32_t pid;
    int64_t start_us;
    unsigned standby;
    uint64_t connection;
    struct sim_setting setting; /* its own copy: only it sees the number ... */
    unsigned priority;          /* ... all see this */
    bool streaming;             /* has caught up */
    uint64_t flushed;           /* as the standby last said; 0 = nothing yet */
    int64_t heard_ms;
};

enum sim_receiver { SIM_RECEIVER_NONE, SIM_RECEIVER_CONNECTING, SIM_RECEIVER_STREAMING };

enum sim_phase { SIM_DOWN, SIM_STARTING, SIM_UP, SIM_STOPPING };

struct sim_machine {
    struct sim_node *node;
    /* Data directory. */
    enum pg_dir_kind dir;
    enum pg_unfinished unfinished;
    uint64_t system_id;
    bool unannounced;  /* made by initdb here, and the store was not seen to name it */
    bool noted_pause;  /* the agent's note, beside it */
    int64_t paused_ms; /* true time: since when an agent here knows of a pause; -1 = of none */
    bool standby_signal;
    bool backup_label;
    enum pg_control_state control;
    uint32_t control_timeline;
    uint64_t checkpoint_lsn;
    struct sim_wal wal;
    bool off;          /* the host has no power */
    int64_t erased_ms; /* true time when its directory was lost or removed last; 0 = never */
    /* Process. */
    enum sim_phase phase;
    uint64_t run; /* of the postmaster: events of an earlier one are dropped */
    bool recovery;
    bool writable; /* some backend could still commit */
    bool orphans;  /* backends without a postmaster */
    bool by_hand;  /* somebody else has started it: no child of the fence */
    int32_t by_hand_pid;
    int64_t hangs_until_ms; /* true time: nothing is written, and nobody gets in */
    bool promote_sent;
    bool replayed; /* all local WAL, in this start */
    uint64_t replayed_lsn;
    int64_t replay_stands_until_ms; /* true time: paused, or very slow */
    /* Walreceiver. `upstream` is what the service file says; `source` is whose entry it has read.
     */
    int upstream;
    bool receiving; /* it streams */
    enum sim_receiver receiver;
    int source;
    uint64_t connection;
    int64_t heard_ms;
    int64_t message_ms;    /* on the node's clock: it sent something last; 0 = never */
    int64_t slow_until_ms; /* true time: flushes rarely */
    bool flushed_known;    /* since this start a walreceiver has been there */
    /* Walsenders, and who has taken which value of the setting. */
    struct sim_walsender walsenders[SIM_WALSENDERS_MAX];
    int32_t pid_next;
    char sync_text[256];          /* what the file says */
    struct sim_setting sync_file; /* the same */
    uint64_t sync_written;        /* how often the file was written */
    char postmaster_text[256];
    struct sim_setting postmaster; /* and all that it forks from now on */
    uint64_t postmaster_took;
    uint64_t checkpointer_took;
    bool waits;                        /* backends wait: the checkpointer says so */
    uint64_t waiters[SIM_WAITERS_MAX]; /* positions of commits, in order */
    size_t waiter_count;
    /* Fence. */
    struct fence_page *page;
    struct fence_state fence_state;
    int64_t kill_at_ms; /* of a stop that the agent asked for, on the lease clock */
    struct fence_status status;
    bool fence_stood;          /* it stands still, or has done nothing yet since: sim_fence.h */
    uint64_t fence_stops;      /* how often it was stopped */
    struct fence_status heard; /* by its agent, while it stands */
    int64_t start_sent_ms;     /* true time: of the last start that it has not read */
    bool knows_directory;      /* the fence was told where one runs that it has not started */
    struct sim_dog {
        int64_t wanted_ms; /* timeout; 0 = no watchdog */
        int64_t timeout_ms;
        bool open;
        bool pet_due;                  /* decided, and not done yet */
        int64_t petted_ms;             /* true time */
        int64_t until_ms;              /* fence_watchdog_decide's memory */
        bool fired;                    /* ever */
        int64_t fence_stands_until_ms; /* true time: the fence process is stopped */
    } dog;
};

struct sim_machine *sim_machine_of(struct sim_node *node);
void sim_machine_trace(const struct sim_machine *machine);
void sim_machines_open(struct sim_world *world);
void sim_machines_close(struct sim_world *world);
uint32_t sim_wal_timeline(const struct sim_wal *wal);
/* How far `a` and `b` are the same; both ends if one is a prefix of the other. */
uint64_t sim_wal_common(const struct sim_wal *a, const struct sim_wal *b);
/* Text of the history file of its newest timeline. */
void sim_wal_history(const struct sim_wal *wal, struct buf *out);
void sim_wal_branch(struct sim_wal *wal, uint32_t timeline);
uint64_t sim_wal_last_branch(const struct sim_wal *wal); /* 0 = no WAL */
/* What was written up to `lsn` on that branch is in `wal`. */
bool sim_wal_has(const struct sim_wal *wal, uint64_t branch, uint64_t lsn);

void sim_machine_start(struct sim_machine *machine, enum pg_start_role role, int upstream);
/* Somebody else starts it as a standby, where neither an agent nor its fence is: what those had
 * started went with them, and the fence of the next agent knows nothing. */
void sim_machine_start_by_hand(struct sim_machine *machine);
/* Begins a stop; the instance is gone a while later. */
void sim_machine_stop(struct sim_machine *machine, enum fence_stop_mode mode);
/* The order of an agent: the fence kills what is left then, whatever has become of the agent. */
void sim_machine_stop_within(struct sim_machine *machine, enum fence_stop_mode mode,
                             int64_t kill_after_ms);
void sim_machine_kill(struct sim_machine *machine, int64_t within_ms);
void sim_machine_kill_postmaster(struct sim_machine *machine);
bool sim_machine_hangs(const struct sim_machine *machine);
void sim_machine_heal(struct sim_machine *machine);
void sim_machine_promote(struct sim_machine *machine, uint32_t timeline);
void sim_machine_up(struct sim_machine *machine); /* accepts connections from now on */
/* Host crash: everything on it is gone at once, the page with it. */
void sim_machine_power_off(struct sim_machine *machine);

/* The fence process has ended, with nothing running: another one has the page anew. */
void sim_machine_lose_fence(struct sim_machine *machine);

void sim_machine_erase(struct sim_machine *machine);          /* no data directory any more */
void sim_machine_init_directory(struct sim_machine *machine); /* initdb */
/* How long something of PostgreSQL takes. In a drill the machine is idle and quick. */
int64_t sim_machine_takes(const struct sim_machine *machine, int64_t low, int64_t high);
void sim_check_loss(const struct sim_machine *machine);
void sim_check_removal(const struct sim_machine *machine);

/* An event of the host: `run` of the postmaster goes along as `a`. */
void sim_machine_at(struct sim_machine *machine, int64_t delay_ms, sim_fn fn, uint64_t b);

/* sim_replication.c */
void sim_replication_open(struct sim_machine *machine);
void sim_replication_started(struct sim_machine *machine);
void sim_replication_stop(struct sim_machine *machine); /* all processes are gone */
void sim_receiver_end(struct sim_machine *machine);
void sim_walsender_end(struct sim_machine *machine, int32_t pid, int64_t start_us);
bool sim_receiver_is_fed(const struct sim_machine *machine); /* its upstream's walsender lives */

/* sim_sync.c */
int sim_setting_parse(const struct sim_world *world, const char *text,
                      struct sim_setting *ret_setting);
unsigned sim_setting_priority(const struct sim_setting *setting, unsigned standby);
/* The file says this from now on; if the postmaster runs, it and its children take it in time. */
void sim_sync_write(struct sim_machine *machine, const char *text);
void sim_sync_started(struct sim_machine *machine); /* a postmaster reads the file */
void sim_sync_commit(struct sim_machine *machine, uint64_t lsn);
void sim_sync_answered(struct sim_machine *machine, const struct sim_walsender *walsender);
void sim_sync_drop_waiters(struct sim_machine *machine); /* nobody is told */

/* sim_commits.c: what clients were told, and what every later primary has (I2, I2b, I3). */
void sim_commits_open(struct sim_world *world);
void sim_commits_close(struct sim_world *world);
void sim_commits_told(struct sim_machine *machine, uint64_t lsn);
void sim_commits_primary(struct sim_machine *machine); /* it is writable from now on */
uint64_t sim_commits_count(const struct sim_world *world);
int64_t sim_commits_epoch(const struct sim_machine *machine); /* in which it became writable last */
size_t sim_commits_reigns(const struct sim_world *world);     /* how many primaries began */

/* To the agent, if one runs (sim_agent.c). */
bool sim_agent_has_view(const struct sim_node *node); /* it has read the store since its start */
void sim_agent_fence_event(struct sim_node *node, enum fence_event event);
/* The same of what its client finds out, and no fence says. */
void sim_agent_fence_said(struct sim_node *node, enum fence_event event);
/* What its last decision took PostgreSQL for; unknown = no agent runs. */
enum pg_role sim_agent_decided_on(const struct sim_node *node);
/* To what it has asked the fence for its watchdog. */
void sim_agent_watchdog_answer(struct sim_node *node);
/* To what it has asked the fence about a server that others have started. */
void sim_agent_adopt_answer(struct sim_node *node);

#endif
