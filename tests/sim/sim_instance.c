/* pg_instance.h and the client side of fence.h on the machine model. Jobs die with the agent; what
 * was signalled to the postmaster goes on. */
#include "sim_instance.h"
#include "sim_fence.h"
#include "sim_pause.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/pg_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBE_TIMEOUT_MS = 2000,
    HANG_LOOK_MS = 50,
    START_LOOK_MS = 20,
    OPERATOR_LOOK_MS = 20,
    BOOTSTRAP_KILL_MS = 50,
    ADOPT_MS = 20,
};

/* --- calls ------------------------------------------------------------------------------------ */

struct sim_call *sim_call_new(struct pg_instance *instance, void (*finish)(struct sim_call *call),
                              pg_done_cb done, void *arg)
{
    struct sim_call *call = mem_new(struct sim_call);
    call->instance = instance;
    call->finish = finish;
    call->done = done;
    call->arg = arg;
    call->run = instance->machine->run;
    call->peer = SIM_NO_UPSTREAM;
    call->begun = instance->machine->node->world->now;
    list_append(&instance->calls, &call->link);
    sim_agent_steps(instance->machine->node);
    return call;
}

void sim_call_free(struct sim_call *call)
{
    list_remove(&call->link);
    mem_free(call);
}

/* Answers with rc and ends the call. */
void sim_call_end(struct sim_call *call, int rc, const char *text)
{
    struct error err = {0};
    struct sim_call copy = *call;
    sim_call_free(call);
    (void)error_set(&err, rc, "%s", text);
    if (copy.done != NULL) {
        copy.done(copy.arg, rc, &err);
    } else if (copy.inspect_done != NULL) {
        copy.inspect_done(copy.arg, rc, NULL, &err);
    } else if (copy.probe_done != NULL) {
        copy.probe_done(copy.arg, rc, NULL, &err);
    } else if (copy.peer_done != NULL) {
        copy.peer_done(copy.arg, rc, NULL, &err);
    } else if (copy.look_done != NULL) {
        copy.look_done(copy.arg, rc, NULL, &err);
    }
}

static void call_fire(void *arg, uint64_t number, uint64_t b)
{
    struct sim_call *call = arg;
    (void)number;
    (void)b;
    call->finish(call);
}

void sim_call_later(struct sim_call *call, int64_t delay_ms)
{
    sim_node_at(call->instance->machine->node, delay_ms, call_fire, call, 0, 0);
}

int64_t sim_call_takes(const struct pg_instance *instance, int64_t low, int64_t high)
{
    return sim_machine_takes(instance->machine, low, high);
}

void sim_call_finish_rc(struct sim_call *call)
{
    sim_call_end(call, call->rc, call->text == NULL ? "" : call->text);
}

static struct sim_call *job_of(const struct pg_instance *instance)
{
    LIST_EACH(item, &instance->calls)
    {
        struct sim_call *call = LIST_OWNER(item, struct sim_call, link);
        if (call->is_job && call->rc != ERR_CANCELED) {
            return call;
        }
    }
    return NULL;
}

static int job_refused(const struct pg_instance *instance, struct error *err)
{
    return job_of(instance) == NULL ? 0 : error_set(err, ERR_BUSY, "another job runs");
}

/* The same for what starts, makes or removes the instance. */
int sim_call_owner_refused(const struct pg_instance *instance, struct error *err)
{
    LIST_EACH(item, &instance->calls)
    {
        if (LIST_OWNER(item, struct sim_call, link)->is_reload) {
            return error_set(err, ERR_BUSY, "a reload runs");
        }
    }
    return job_refused(instance, err);
}

static struct sim_machine *peer_of(const struct sim_call *call)
{
    return call->peer < 0
               ? NULL
               : sim_machine_of(&call->instance->machine->node->world->nodes[call->peer]);
}

static bool peer_answers(const struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    const struct sim_machine *peer = peer_of(call);
    return peer != NULL && peer->phase == SIM_UP && !peer->node->frozen &&
           !sim_machine_hangs(peer) &&
           sim_world_linked(machine->node->world, SIM_PORT_POSTGRES, machine->node->index,
                            peer->node->index);
}

void sim_instance_init(struct pg_instance *instance, struct sim_machine *machine)
{
    instance->machine = machine;
    list_init(&instance->calls);
}

void sim_instance_drop(struct pg_instance *instance)
{
    struct sim_call *job = job_of(instance);
    if (job != NULL && job->role == PG_START_STANDBY && job->timeline == UINT32_MAX) {
        instance->machine->dir = PG_DIR_UNFINISHED; /* clone or rewind cut off */
    }
    if (job != NULL && job->is_bootstrap) { /* until its users are made, too */
        if (instance->machine->dir == PG_DIR_EMPTY) {
            sim_machine_init_directory(instance->machine);
        }
    }
    while (!list_empty(&instance->calls)) {
        sim_call_free(LIST_OWNER(list_first(&instance->calls), struct sim_call, link));
    }
}

int sim_host_index(const struct sim_world *world, const char *host)
{
    const char *dot = strrchr(host, '.');
    int number = dot == NULL ? 0 : atoi(dot + 1);
    return number >= 1 && (size_t)number <= world->node_count ? number - 1 : -1;
}

/* --- looking ---------------------------------------------------------------------------------- */

static void finish_inspect(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    struct pg_inspection inspection = {.kind = machine->dir, .unfinished = machine->unfinished};
    pg_inspect_cb done = call->inspect_done;
    void *arg = call->arg;
    inspection.running = machine->phase != SIM_DOWN && !machine->orphans;
    inspection.stopping = machine->phase == SIM_STOPPING && !machine->orphans;
    inspection.pidfile_pid =
        machine->by_hand ? machine->by_hand_pid : machine->status.postmaster_pid;
    inspection.service_in_force = true;
    inspection.noted_pause = machine->noted_pause;
    if (machine->dir == PG_DIR_VALID || machine->dir == PG_DIR_UNFINISHED) {
        inspection.wal_timeline = sim_wal_timeline(&machine->wal);
        inspection.standby_signal = machine->standby_signal;
        inspection.unannounced_system_id = machine->unannounced ? machine->system_id : 0;
        inspection.backup_label = machine->backup_label;
        inspection.control = (struct pg_control){.system_identifier = machine->system_id,
                                                 .state = machine->control,
                                                 .timeline = machine->control_timeline,
                                                 .checkpoint_lsn = machine->checkpoint_lsn,
                                                 .data_checksums = true};
        if (machine->control == PG_CONTROL_IN_ARCHIVE_RECOVERY ||
            machine->control == PG_CONTROL_SHUT_DOWN_IN_RECOVERY) {
            inspection.control.min_recovery_lsn = machine->wal.end;
            inspection.control.min_recovery_timeline = sim_wal_timeline(&machine->wal);
        }
    }
    sim_call_free(call);
    done(arg, 0, &inspection, NULL);
}

int pg_instance_inspect(struct pg_instance *instance, int64_t timeout_ms, pg_inspect_cb done,
                        void *arg, struct error *err)
{
    (void)timeout_ms;
    int rc = job_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    struct sim_call *call = sim_call_new(instance, finish_inspect, NULL, arg);
    call->inspect_done = done;
    call->is_job = true;
    sim_call_later(call, sim_call_takes(instance, 1, 20));
    return 0;
}

static void fill_probe(const struct sim_machine *machine, struct pg_probe_result *result)
{
    result->role = machine->recovery ? PG_STANDBY : PG_PRIMARY;
    result->server_version = 150004;
    result->system_identifier = machine->system_id;
    result->timeline = sim_wal_timeline(&machine->wal);
    /* Of a standby: NULL until a walreceiver has been there in this start. */
    if (machine->recovery && !machine->flushed_known) {
        sim_coverage_state(SIM_STATE_POSITION_NULL);
    }
    result->flush_lsn = machine->recovery && !machine->flushed_known ? 0 : machine->wal.end;
    result->receive_lsn = machine->recovery ? result->flush_lsn : 0;
    result->replay_lsn = machine->recovery ? machine->replayed_lsn : 0;
    result->current_lsn = machine->recovery ? 0 : machine->wal.end;
    result->control_timeline = machine->control_timeline;
    result->receiver_alive = machine->receiving;
    result->receiver_last_ms = machine->receiving ? machine->message_ms : 0;
    (void)snprintf(result->receiver_status, sizeof(result->receiver_status), "%s",
                   machine->receiving ? "streaming" : "");
    result->timeline_exact = true;
    result->local_wal_replayed = machine->recovery && machine->replayed;
}

/* pg_stat_replication: who receives from us. */
static void fill_replicas(const struct sim_machine *machine, struct pg_probe_result *result)
{
    struct sim_world *world = machine->node->world;
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        const struct sim_walsender *walsender = &machine->walsenders[i];
        if (!walsender->alive) {
            continue;
        }
        struct pg_replica *replica = &result->replicas[result->replica_count++];
        (void)snprintf(replica->application_name, sizeof(replica->application_name), "%s",
                       world->nodes[walsender->standby].name);
        (void)snprintf(replica->state, sizeof(replica->state), "%s",
                       walsender->streaming ? "streaming" : "catchup");
        replica->sent_lsn = machine->wal.end;
        replica->write_lsn = walsender->flushed;
        replica->flush_lsn = walsender->flushed;
        replica->replay_lsn = walsender->flushed;
    }
}

static void finish_probe(struct sim_call *call)
{
    struct pg_instance *instance = call->instance;
    static struct pg_probe_result result;
    if (sim_machine_hangs(instance->machine) && instance->machine->phase != SIM_DOWN) {
        if (instance->machine->node->world->now - call->begun < PROBE_TIMEOUT_MS) {
            sim_call_later(call, HANG_LOOK_MS);
        } else {
            sim_call_end(call, ERR_TIMEOUT, "no answer");
        }
        return;
    }
    if (instance->machine->phase != SIM_UP) {
        bool nobody = instance->machine->phase == SIM_DOWN || instance->machine->orphans;
        sim_call_end(call, nobody ? ERR_CLOSED : ERR_UNAVAILABLE, "not accepting connections");
        return;
    }
    pg_probe_cb done = call->probe_done;
    void *arg = call->arg;
    result = (struct pg_probe_result){.answered_ms = sim_node_clock(instance->machine->node)};
    result.asked_ms = result.answered_ms - (instance->machine->node->world->now - call->begun);
    fill_probe(instance->machine, &result);
    fill_replicas(instance->machine, &result);
    sim_call_free(call);
    done(arg, 0, &result, NULL);
}

int pg_instance_probe(struct pg_instance *instance, int64_t timeout_ms, pg_probe_cb done, void *arg,
                      struct error *err)
{
    (void)timeout_ms;
    (void)err;
    struct sim_call *call = sim_call_new(instance, finish_probe, NULL, arg);
    call->probe_done = done;
    sim_call_later(call, sim_call_takes(instance, 1, 10));
    return 0;
}

static void finish_ping(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    const struct sim_world *world = machine->node->world;
    if (sim_machine_hangs(machine) && machine->phase != SIM_DOWN && world->now < call->until) {
        sim_call_later(call, HANG_LOOK_MS);
    } else if (sim_machine_hangs(machine)) {
        sim_call_end(call, ERR_TIMEOUT, "no answer");
    } else {
        sim_call_end(call, machine->phase == SIM_UP ? 0 : ERR_CLOSED, "not accepting connections");
    }
}

int pg_instance_ping(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done, void *arg,
                     struct error *err)
{
    (void)err;
    struct sim_call *call = sim_call_new(instance, finish_ping, done, arg);
    call->until = instance->machine->node->world->now + timeout_ms;
    sim_call_later(call, sim_call_takes(instance, 1, 10));
    return 0;
}

/* Asked for only where a watch over the disks tells of trouble. */
int pg_instance_try_commit(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    (void)done;
    (void)arg;
    return error_set(err, ERR_UNSUPPORTED, "no disks are looked at here");
}

/* No agent of the simulator has a watch over its disks. */
void pg_disk_set_limits(struct pg_disk *disk, const struct pg_disk_limits *limits)
{
    (void)disk;
    (void)limits;
}

static void finish_ask_peer(struct sim_call *call)
{
    const struct sim_machine *peer = peer_of(call);
    struct pg_peer_facts facts = {0};
    struct buf text = BUF_INIT;
    struct error err;
    if (!peer_answers(call)) {
        sim_call_end(call, ERR_TIMEOUT, "no answer");
        return;
    }
    facts.role = peer->recovery ? PG_STANDBY : PG_PRIMARY;
    facts.system_identifier = peer->system_id;
    facts.timeline = sim_wal_timeline(&peer->wal);
    facts.control_timeline = peer->control_timeline;
    facts.lsn = peer->wal.end;
    sim_wal_history(&peer->wal, &text);
    int rc = pg_history_parse(facts.timeline, buf_span(&text), &facts.history, &err);
    ASSERT(rc == 0);
    pg_peer_cb done = call->peer_done;
    void *arg = call->arg;
    sim_call_free(call);
    done(arg, 0, &facts, NULL);
    pg_history_free(&facts.history);
    buf_free(&text);
}

int pg_instance_ask_peer(struct pg_instance *instance, const char *host, uint16_t port,
                         int64_t timeout_ms, pg_peer_cb done, void *arg, struct error *err)
{
    (void)port;
    (void)err;
    struct sim_call *call = sim_call_new(instance, finish_ask_peer, NULL, arg);
    call->peer_done = done;
    call->peer = sim_host_index(instance->machine->node->world, host);
    sim_call_later(call, peer_answers(call) ? sim_call_takes(instance, 2, 30) : timeout_ms);
    return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

/* A bootstrap that fails ends what runs before it says so. */
static void bootstrap_gone(struct sim_call *call)
{
    if (call->instance->machine->phase == SIM_DOWN) {
        sim_call_finish_rc(call);
    } else {
        sim_machine_kill(call->instance->machine, BOOTSTRAP_KILL_MS);
        sim_call_later(call, START_LOOK_MS);
    }
}

static void accounts_made(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (machine->run != call->run || machine->phase != SIM_UP) {
        call->rc = ERR_CLOSED;
        bootstrap_gone(call);
        return;
    }
    machine->dir = PG_DIR_VALID;
    machine->unfinished = PG_UNFINISHED_NONE;
    machine->unannounced = true;
    sim_call_end(call, 0, "");
}

static void start_end(struct sim_call *call, int rc, const char *text)
{
    if (!call->is_bootstrap) {
        sim_call_end(call, rc, text);
        return;
    }
    call->rc = rc;
    call->text = text;
    call->finish = rc == 0 ? accounts_made : bootstrap_gone;
    sim_call_later(call, rc == 0 ? sim_call_takes(call->instance, 5, 60) : START_LOOK_MS);
}

/* Polls until the instance is up, gone, or the deadline is reached. */
static void finish_start(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    if (machine->run != call->run) {
        start_end(call, ERR_IO, "the postmaster exited");
    } else if (machine->phase == SIM_UP) {
        start_end(call, 0, "");
    } else if (machine->node->world->now >= call->until) {
        start_end(call, ERR_TIMEOUT, "still starting");
    } else {
        sim_call_later(call, START_LOOK_MS);
    }
}

/* The order is on its way to the fence, which looks at its page once more. */
static void order_start(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    struct fence_lease lease;
    bool whole = fence_page_read(machine->page, &lease);
    if (sim_fence_stands(machine)) { /* it reads the order when it goes on, or too late */
        if (sim_fence_reads_start(machine, call->begun)) {
            sim_call_later(call, START_LOOK_MS);
        } else {
            start_end(call, ERR_TIMEOUT, "the fence does not answer");
        }
        return;
    }
    if (machine->phase != SIM_DOWN) {
        start_end(call, ERR_BUSY, "a process of the instance is left");
        return;
    }
    if (!whole || fence_epoch_over(&machine->fence_state, lease.epoch) ||
        lease.deadline_ms == FENCE_OVER) {
        start_end(call, ERR_REFUSED, "the page names an epoch that is over");
        return;
    }
    sim_machine_start(machine, call->role, call->peer);
    call->run = machine->run;
    call->finish = finish_start;
    sim_call_later(call, START_LOOK_MS);
}

int pg_instance_start(struct pg_instance *instance, const struct pg_start *start,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    const struct sim_machine *machine = instance->machine;
    int rc = sim_call_owner_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    if (machine->dir != PG_DIR_VALID || machine->phase != SIM_DOWN) {
        return error_set(err, ERR_REFUSED, "nothing to start, or it runs");
    }
    struct sim_call *call = sim_call_new(instance, order_start, done, arg);
    call->is_job = true;
    call->role = start->role;
    call->until = machine->node->world->now + timeout_ms;
    call->peer = start->upstream == NULL
                     ? SIM_NO_UPSTREAM
                     : sim_host_index(machine->node->world, start->upstream->host);
    sim_call_later(call, sim_call_takes(instance, 5, 50));
    return 0;
}

static void finish_stop(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (sim_fence_stands(machine)) {
        sim_fence_finish_stop(call);
        return;
    }
    if (machine->phase == SIM_DOWN && (call->unlooked || !machine->status.all_gone)) {
        call->unlooked = false;
        machine->status.all_gone = true;
        sim_agent_fence_event(machine->node, FENCE_EVENT_ALL_GONE);
        sim_call_later(call, 10);
        return;
    }
    if (machine->phase == SIM_DOWN) {
        sim_call_end(call, 0, "");
        return;
    }
    if (machine->node->world->now >= call->until) {
        sim_machine_kill(machine, 50);
    }
    sim_call_later(call, 10);
}

static void cancel_job(struct pg_instance *instance)
{
    struct sim_call *job = job_of(instance);
    if (job == NULL) {
        return;
    }
    if (job->timeline == UINT32_MAX) {
        instance->machine->dir = PG_DIR_UNFINISHED;
    }
    /* The event under way finds this: it only answers. */
    job->rc = ERR_CANCELED;
    job->text = "canceled";
    job->finish = sim_call_finish_rc;
}

int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err)
{
    struct sim_machine *machine = instance->machine;
    (void)err;
    sim_pause_check_stop(machine->node);
    cancel_job(instance);
    struct sim_call *call = sim_call_new(instance, finish_stop, done, arg);
    call->is_job = true;
    int64_t kill_after_ms = stop->kill_after_ms > 3000 ? 3000 : stop->kill_after_ms;
    call->unlooked = stop->unlooked;
    call->until = machine->node->world->now + kill_after_ms;
    sim_machine_stop_within(machine, stop->mode, kill_after_ms);
    sim_call_later(call, 2);
    return 0;
}

static void finish_promote(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    if (machine->run != call->run) {
        sim_call_end(call, ERR_IO, "the instance is gone");
    } else if (!machine->recovery) {
        bool right = sim_wal_timeline(&machine->wal) == call->timeline;
        sim_call_end(call, right ? 0 : ERR_CONFLICT, "");
    } else if (machine->node->world->now >= call->until) {
        sim_call_end(call, ERR_TIMEOUT, "still in recovery");
    } else {
        sim_call_later(call, 20);
    }
}

static void order_promote(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (machine->run != call->run || machine->phase != SIM_UP || !machine->recovery) {
        sim_call_end(call, ERR_REFUSED, "not a running standby");
        return;
    }
    if (!call->promote.still_allowed(call->promote.still_allowed_arg)) {
        sim_call_end(call, ERR_REFUSED, "not allowed any more");
        return;
    }
    sim_machine_promote(machine, call->timeline);
    call->finish = finish_promote;
    sim_call_later(call, 20);
}

/* pre_promote: while there are faults it may be slow, and may say no; with them it ends. */
static void ask_operator(struct sim_call *call)
{
    struct sim_world *world = call->instance->machine->node->world;
    if (world->now < call->operator_until) {
        sim_call_later(call, OPERATOR_LOOK_MS);
    } else if (call->operator_refuses) {
        sim_call_end(call, ERR_REFUSED, "pre_promote says no");
    } else {
        order_promote(call);
    }
}

static void operator_asked(struct sim_call *call)
{
    struct sim_world *world = call->instance->machine->node->world;
    bool calm = world->now >= world->options.fault_ms;
    bool slow = !calm && sim_below(world, 2) == 0;
    call->operator_refuses = !calm && sim_below(world, 5) == 0;
    call->operator_until =
        world->now + (int64_t)sim_below(world, slow ? 6 * (uint64_t)sim_ttl_ms(world) : 100);
    if (slow && call->operator_until > world->options.fault_ms) {
        call->operator_until = world->options.fault_ms;
    }
    call->finish = ask_operator;
}

void pg_instance_cancel_job(struct pg_instance *instance)
{
    cancel_job(instance);
}

int pg_instance_promote(struct pg_instance *instance, const struct pg_promote *promote,
                        int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    int rc = job_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    sim_pause_check_promotion(instance->machine->node);
    struct sim_call *call = sim_call_new(instance, order_promote, done, arg);
    call->is_job = true;
    call->promote = *promote;
    call->timeline = promote->timeline;
    call->until = instance->machine->node->world->now + timeout_ms;
    if (promote->before != NULL) {
        call->until += promote->before->timeout_ms;
        operator_asked(call);
    }
    sim_call_later(call, sim_call_takes(instance, 2, 40));
    return 0;
}

/* No agent of the simulator has callbacks. */
int pg_instance_call(struct pg_instance *instance, enum pg_call kind,
                     const struct pg_command *command, pg_done_cb done, void *arg,
                     struct error *err)
{
    (void)instance;
    (void)kind;
    (void)command;
    (void)done;
    (void)arg;
    return error_set(err, ERR_UNSUPPORTED, "nothing is called here");
}

bool pg_instance_promote_sent(const struct pg_instance *instance)
{
    return instance->machine->promote_sent;
}

/* Every walreceiver that was made before the service file was replaced is ended; detaching waits
 * until it is gone. */
static void finish_upstream(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    bool early = machine->node->world->options.mutation.still_receiving;
    if (machine->run == call->run && machine->receiver != SIM_RECEIVER_NONE &&
        machine->connection == call->connection && !early) {
        sim_receiver_end(machine);
        sim_call_later(call, 10);
        return;
    }
    sim_call_end(call, 0, "");
}

int pg_instance_set_upstream(struct pg_instance *instance, const struct pg_upstream *upstream,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    struct sim_machine *machine = instance->machine;
    (void)timeout_ms;
    (void)err;
    machine->upstream =
        upstream == NULL ? SIM_NO_UPSTREAM : sim_host_index(machine->node->world, upstream->host);
    struct sim_call *call = sim_call_new(instance, finish_upstream, done, arg);
    call->connection = machine->connection;
    sim_call_later(call, sim_call_takes(instance, 2, 60));
    return 0;
}

static int upkeep(struct pg_instance *instance, int64_t high_ms, pg_done_cb done, void *arg)
{
    sim_call_later(sim_call_new(instance, sim_call_finish_rc, done, arg),
                   sim_call_takes(instance, 1, high_ms));
    return 0;
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)reload;
    (void)timeout_ms;
    int rc = sim_call_owner_refused(instance, err);
    if (rc == 0) {
        struct sim_call *call = sim_call_new(instance, sim_call_finish_rc, done, arg);
        call->is_reload = true;
        sim_call_later(call, sim_call_takes(instance, 20, 200));
    }
    return rc;
}

int pg_instance_set_slots(struct pg_instance *instance, const struct pg_slots *slots,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)slots;
    (void)timeout_ms;
    (void)err;
    return upkeep(instance, 20, done, arg);
}

int pg_instance_set_logical(struct pg_instance *instance, const struct pg_logical_slots *slots,
                            int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)slots;
    (void)timeout_ms;
    (void)err;
    return upkeep(instance, 20, done, arg);
}

/* No model of them: the configurations of the simulated clusters have none. */
int pg_instance_ask_logical(struct pg_instance *instance, const struct pg_logical_ask *ask,
                            int64_t timeout_ms, pg_logical_seen_cb done, void *arg,
                            struct error *err)
{
    (void)instance;
    (void)ask;
    (void)timeout_ms;
    (void)done;
    (void)arg;
    return error_set(err, ERR_UNSUPPORTED, "logical slots are not simulated");
}

const char *pg_instance_copy_fault(const struct pg_instance *instance, const char *name)
{
    (void)instance;
    (void)name;
    return "";
}

const char *pg_instance_undropped(const struct pg_instance *instance)
{
    (void)instance;
    return "";
}

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    struct sim_machine *machine = instance->machine;
    (void)timeout_ms;
    (void)err;
    if (machine->writable) {
        machine->control_timeline = sim_wal_timeline(&machine->wal);
        machine->checkpoint_lsn = machine->wal.end;
    }
    return upkeep(instance, 100, done, arg);
}

/* --- making, copying, repairing --------------------------------------------------------------- */

static void finish_bootstrap(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (machine->phase != SIM_DOWN || machine->dir != PG_DIR_EMPTY) {
        sim_call_end(call, ERR_IO, "the directory is not empty");
        return;
    }
    sim_machine_init_directory(machine);
    call->role = PG_START_PRIMARY;
    call->timeline = 0;
    order_start(call);
}

int pg_instance_bootstrap(struct pg_instance *instance, const struct pg_bootstrap *bootstrap,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)bootstrap;
    int rc = sim_call_owner_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    sim_pause_check(instance->machine->node, "a bootstrap");
    struct sim_call *call = sim_call_new(instance, finish_bootstrap, done, arg);
    call->is_job = true;
    call->is_bootstrap = true;
    call->until = instance->machine->node->world->now + timeout_ms;
    sim_call_later(call, sim_call_takes(instance, 200, 800));
    return 0;
}

/* Both end with the WAL of the primary; a rewind keeps the directory its own. */
static void finish_copy(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    const struct sim_machine *peer = peer_of(call);
    const struct pg_rewind *rewind = &call->rewind;
    if (rewind->still_allowed != NULL && !rewind->still_allowed(rewind->still_allowed_arg)) {
        if (machine->dir != PG_DIR_UNFINISHED) { /* nothing was written */
            machine->unfinished = PG_UNFINISHED_NONE;
        }
        sim_call_end(call, ERR_REFUSED, "it does not lead any more");
        return;
    }
    if (!peer_answers(call) || peer->recovery) {
        machine->dir = PG_DIR_UNFINISHED;
        sim_call_end(call, ERR_IO, "the primary went away");
        return;
    }
    if (call->system_id != 0 && peer->system_id != call->system_id) {
        sim_call_end(call, ERR_CONFLICT, "another cluster");
        return;
    }
    machine->dir = PG_DIR_VALID;
    machine->unfinished = PG_UNFINISHED_NONE;
    machine->system_id = peer->system_id;
    machine->unannounced = false;
    machine->wal = peer->wal;
    machine->control = PG_CONTROL_IN_ARCHIVE_RECOVERY;
    machine->control_timeline = sim_wal_timeline(&peer->wal);
    machine->checkpoint_lsn = peer->wal.end;
    machine->standby_signal = true;
    machine->backup_label = true;
    sim_sync_write(machine, peer->sync_text); /* it is in the data directory */
    sim_call_end(call, 0, "");
}

static int copy_begin(struct pg_instance *instance, const struct pg_rewind *from, int64_t delay,
                      enum pg_unfinished unfinished, pg_done_cb done, void *arg, struct error *err)
{
    struct sim_machine *machine = instance->machine;
    int rc = sim_call_owner_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    if (machine->phase != SIM_DOWN) {
        return error_set(err, ERR_BUSY, "it runs");
    }
    sim_pause_check(machine->node, unfinished == PG_UNFINISHED_REWIND ? "a rewind" : "a clone");
    struct sim_call *call = sim_call_new(instance, finish_copy, done, arg);
    call->is_job = true;
    call->peer = sim_host_index(machine->node->world, from->host);
    call->system_id = from->system_identifier;
    call->rewind = *from;
    call->role = PG_START_STANDBY;
    call->timeline = UINT32_MAX; /* cut off, it leaves the directory unfinished */
    machine->unfinished = unfinished;
    sim_call_later(call, delay);
    return 0;
}

int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    const struct pg_rewind from = {.host = clone->host,
                                   .system_identifier = clone->system_identifier};
    (void)timeout_ms;
    return copy_begin(instance, &from, sim_call_takes(instance, 300, 1500), PG_UNFINISHED_CLONE,
                      done, arg, err);
}

int pg_instance_rewind(struct pg_instance *instance, const struct pg_rewind *rewind,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)timeout_ms;
    return copy_begin(instance, rewind, sim_call_takes(instance, 200, 900), PG_UNFINISHED_REWIND,
                      done, arg, err);
}

static void finish_remove(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (machine->phase != SIM_DOWN) {
        sim_call_end(call, ERR_BUSY, "it runs");
        return;
    }
    sim_machine_erase(machine);
    sim_call_end(call, 0, "");
}

/* Invariant I10: only what never was the cluster's. */
static void finish_move_aside(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    if (machine->phase != SIM_DOWN) {
        sim_call_end(call, ERR_BUSY, "it runs");
        return;
    }
    if (machine->dir == PG_DIR_VALID && !machine->unannounced) {
        sim_fail(machine->node->world, "no data of the cluster is moved aside", "%s",
                 machine->node->name);
    }
    sim_machine_erase(machine);
    sim_call_end(call, 0, "");
}

static int remove_begin(struct pg_instance *instance, void (*finish)(struct sim_call *call),
                        pg_done_cb done, void *arg, struct error *err)
{
    int rc = sim_call_owner_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    sim_pause_check(instance->machine->node, "a removal");
    struct sim_call *call = sim_call_new(instance, finish, done, arg);
    call->is_job = true;
    sim_call_later(call, sim_call_takes(instance, 10, 100));
    return 0;
}

int pg_instance_remove(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                       pg_done_cb done, void *arg, struct error *err)
{
    (void)reason;
    (void)timeout_ms;
    if (instance->machine->dir == PG_DIR_VALID) {
        sim_check_removal(instance->machine);
    }
    return remove_begin(instance, finish_remove, done, arg, err);
}

int pg_instance_move_aside(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err)
{
    (void)reason;
    (void)timeout_ms;
    return remove_begin(instance, finish_move_aside, done, arg, err);
}

static void finish_announced(struct sim_call *call)
{
    call->instance->machine->unannounced = false;
    sim_call_end(call, 0, "");
}

int pg_instance_announced(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                          void *arg, struct error *err)
{
    (void)timeout_ms;
    (void)err;
    sim_call_later(sim_call_new(instance, finish_announced, done, arg),
                   sim_call_takes(instance, 1, 20));
    return 0;
}

static void finish_note(struct sim_call *call)
{
    call->instance->machine->noted_pause = call->timeline != 0;
    sim_call_end(call, 0, "");
}

int pg_instance_note_pause(struct pg_instance *instance, bool paused, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err)
{
    (void)timeout_ms;
    (void)err;
    struct sim_call *call = sim_call_new(instance, finish_note, done, arg);
    call->timeline = paused;
    sim_call_later(call, sim_call_takes(instance, 1, 20));
    return 0;
}

void pg_instance_on_fence_event(struct pg_instance *instance, enum fence_event event,
                                const struct fence_status *status)
{
    (void)instance; /* the model looks at the machine itself */
    (void)event;
    (void)status;
}

/* --- the fence's client and the group --------------------------------------------------------- */

struct fence_page *fence_client_page(const struct fence_client *client)
{
    return client->machine->page;
}

const struct fence_status *fence_client_status(const struct fence_client *client)
{
    return sim_fence_heard(client->machine);
}

static void answer_adopt(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_agent_adopt_answer(node);
}

int fence_client_adopt(struct fence_client *client, const char *data_dir, fence_done_cb done,
                       void *arg, struct error *err)
{
    struct sim_node *node = client->machine->node;
    (void)data_dir;
    (void)err;
    ASSERT(client->adopt_done == NULL);
    client->adopt_done = done;
    client->adopt_arg = arg;
    sim_node_at(node, 1 + (int64_t)sim_below(node->world, ADOPT_MS), answer_adopt, node, 0, 0);
    return 0;
}

bool fence_client_connected(const struct fence_client *client)
{
    (void)client;
    return true;
}
