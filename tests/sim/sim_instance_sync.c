/* pg_sync.h on the machine model. */
#include "sim_instance.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

/* --- set -------------------------------------------------------------------------------------- */

/* A new connection sees the value; and, where backends may not have waited before, the checkpointer
 * has taken it. */
static void finish_set(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    bool waits = machine->sync_file.number == 0 || machine->checkpointer_took >= call->written ||
                 call->instance->sync_taken_by == machine->run;
    if (machine->run != call->run || machine->phase == SIM_DOWN) {
        sim_call_end(call, call->run_was_up ? ERR_UNAVAILABLE : 0, "the server has ended");
    } else if (machine->postmaster_took >= call->written && machine->phase == SIM_UP && waits) {
        call->instance->sync_taken_by = machine->sync_file.number == 0 ? 0 : machine->run;
        sim_call_end(call, 0, "");
    } else if (machine->node->world->now >= call->until) {
        sim_call_end(call, ERR_TIMEOUT, "not taken");
    } else {
        sim_call_later(call, 10);
    }
}

static void order_set(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    sim_sync_write(machine, call->setting);
    call->run = machine->run;
    call->run_was_up = machine->phase != SIM_DOWN;
    call->written = machine->sync_written;
    call->finish = finish_set;
    sim_call_later(call, 10);
}

int pg_instance_set_sync(struct pg_instance *instance, const char *value, int64_t timeout_ms,
                         pg_done_cb done, void *arg, struct error *err)
{
    int rc = sim_call_owner_refused(instance, err);
    if (rc != 0) {
        return rc;
    }
    struct sim_call *call = sim_call_new(instance, order_set, done, arg);
    call->is_reload = true;
    call->until = instance->machine->node->world->now + timeout_ms;
    (void)snprintf(call->setting, sizeof(call->setting), "%s", value == NULL ? "" : value);
    sim_call_later(call, sim_call_takes(instance, 1, 20));
    return 0;
}

/* --- look ------------------------------------------------------------------------------------- */

static void finish_look(struct sim_call *call)
{
    static struct pg_sync_look look;
    const struct pg_instance *instance = call->instance;
    const struct sim_machine *machine = instance->machine;
    const struct sim_world *world = machine->node->world;
    if (machine->run != call->run || machine->phase != SIM_UP) {
        sim_call_end(call, ERR_CLOSED, "the server has ended");
        return;
    }
    look = (struct pg_sync_look){.asked_ms =
                                     sim_node_clock(machine->node) - (world->now - call->begun),
                                 .position = machine->wal.end};
    (void)snprintf(look.setting, sizeof(look.setting), "%s", call->setting);
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        const struct sim_walsender *from = &machine->walsenders[i];
        if (!from->alive) {
            continue;
        }
        size_t at = look.count++;
        while (at > 0 && look.walsenders[at - 1].start_us > from->start_us) {
            look.walsenders[at] = look.walsenders[at - 1];
            at--;
        }
        look.walsenders[at] = (struct pg_walsender){.pid = from->pid,
                                                    .start_us = from->start_us,
                                                    .streaming = from->streaming,
                                                    .counts = from->priority != 0,
                                                    .write_lsn = from->flushed,
                                                    .flush_lsn = from->flushed,
                                                    .replay_lsn = from->flushed};
        (void)snprintf(look.walsenders[at].name, sizeof(look.walsenders[at].name), "%s",
                       world->nodes[from->standby].name);
        pg_slot_name(look.walsenders[at].name, look.walsenders[at].slot);
    }
    pg_sync_look_cb done = call->look_done;
    void *arg = call->arg;
    sim_call_free(call);
    done(arg, 0, &look, NULL);
}

static void order_look(struct sim_call *call)
{
    const struct sim_machine *machine = call->instance->machine;
    if (machine->phase != SIM_UP || machine->recovery || sim_machine_hangs(machine)) {
        sim_call_end(call, machine->phase == SIM_UP ? ERR_REFUSED : ERR_CLOSED, "not a primary");
        return;
    }
    call->run = machine->run;
    (void)snprintf(call->setting, sizeof(call->setting), "%s", machine->postmaster_text);
    call->finish = finish_look;
    sim_call_later(call, sim_call_takes(call->instance, 0, 10));
}

int pg_instance_look_sync(struct pg_instance *instance, int64_t timeout_ms, pg_sync_look_cb done,
                          void *arg, struct error *err)
{
    (void)timeout_ms;
    (void)err;
    struct sim_call *call = sim_call_new(instance, order_look, NULL, arg);
    call->look_done = done;
    sim_call_later(call, sim_call_takes(instance, 1, 20));
    return 0;
}

/* --- the end of walsenders -------------------------------------------------------------------- */

static void finish_end(struct sim_call *call)
{
    for (size_t i = 0; i < call->ended_count; i++) {
        sim_walsender_end(call->instance->machine, call->ended[i].pid, call->ended[i].start_us);
    }
    sim_call_end(call, 0, "");
}

int pg_instance_end_walsenders(struct pg_instance *instance, const struct pg_walsender *walsenders,
                               size_t count, int64_t timeout_ms, pg_done_cb done, void *arg,
                               struct error *err)
{
    (void)timeout_ms;
    (void)err;
    struct sim_call *call = sim_call_new(instance, finish_end, done, arg);
    ASSERT(count <= SIM_WALSENDERS_MAX);
    memcpy(call->ended, walsenders, count * sizeof(walsenders[0]));
    call->ended_count = count;
    sim_call_later(call, sim_call_takes(instance, 1, 30));
    return 0;
}
