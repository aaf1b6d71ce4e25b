/* The handles that the shipping loop holds, as models: same names, same contracts (include/pgctl).
 */
#ifndef TESTS_SIM_INSTANCE_H
#define TESTS_SIM_INSTANCE_H

#include "base/list.h"
#include "pgctl/pg_sync.h"
#include "sim_machine.h"

struct pg_instance {
    struct sim_machine *machine;
    struct list calls; /* struct instance_call: not answered yet */
    uint64_t
        sync_taken_by; /* the postmaster whose checkpointer was seen to have a value; 0 = none */
};

struct fence_client {
    struct sim_machine *machine;
    fence_done_cb dog_done; /* a request without an answer; NULL = none */
    void *dog_arg;
    fence_done_cb adopt_done; /* likewise */
    void *adopt_arg;
};

struct raft_group {
    struct sim_node *node;
};

/* --- one operation under way: sim_instance.c, sim_instance_sync.c -------------------------------
 */

struct sim_call {
    struct list link;
    struct pg_instance *instance;
    void (*finish)(struct sim_call *call); /* the work; calls back itself */
    pg_done_cb done;
    pg_inspect_cb inspect_done;
    pg_probe_cb probe_done;
    pg_peer_cb peer_done;
    pg_sync_look_cb look_done;
    void *arg;
    int rc;
    const char *text;
    bool is_job;
    bool is_reload;
    bool is_bootstrap;
    bool unlooked; /* a stop: the fence is to look whether all is gone */
    int peer;
    uint64_t run;
    uint32_t timeline;
    enum pg_start_role role;
    uint64_t system_id;
    struct pg_promote promote;
    int64_t operator_until; /* pre_promote runs until then: true time */
    bool operator_refuses;
    struct pg_rewind rewind;
    int64_t until; /* polls: true time */
    int64_t begun;
    uint64_t connection; /* of the walreceiver that was there */
    uint64_t written;    /* of the setting */
    bool run_was_up;
    char setting[256]; /* a look has read it */
    struct pg_walsender ended[SIM_WALSENDERS_MAX];
    size_t ended_count;
};

struct sim_call *sim_call_new(struct pg_instance *instance, void (*finish)(struct sim_call *call),
                              pg_done_cb done, void *arg);
void sim_call_free(struct sim_call *call);
void sim_call_later(struct sim_call *call, int64_t delay_ms); /* `finish` is called */
/* Answers with rc and ends the call. */
void sim_call_end(struct sim_call *call, int rc, const char *text);
void sim_call_finish_rc(struct sim_call *call); /* answers with call->rc */
int64_t sim_call_takes(const struct pg_instance *instance, int64_t low, int64_t high);
/* ERR_BUSY while a job or a reload runs. */
int sim_call_owner_refused(const struct pg_instance *instance, struct error *err);

/* --- all of it -------------------------------------------------------------------------------- */

void sim_instance_init(struct pg_instance *instance, struct sim_machine *machine);
void sim_instance_drop(struct pg_instance *instance); /* the process died: nobody is called */
/* By the address that members publish, "10.0.0.<n>"; -1 = nobody's. */
int sim_host_index(const struct sim_world *world, const char *host);

#endif
