/* See sim_fence.h. While it stands the machine goes on: a postmaster that ends is a zombie,
 * backends that have lost theirs run on, a deadline passes. What the agent's client knows is a copy
 * of what was said last, and what the agent has seen itself (fence_client_note_gone). */
#include "sim_fence.h"

#include "base/assert.h"
#include "sim_instance.h"

#include <string.h>

enum {
    SILENT_MS = 2500,     /* until its agent is sure */
    KILLED_MS = 180,      /* what had lost its postmaster meanwhile */
    START_READ_MS = 4000, /* a start that is read later is refused */
    START_ANSWER_MS = 5000,
    LOOK_MS = 10,
    KILL_MS = 50,
};

bool sim_fence_stands(const struct sim_machine *machine)
{
    return machine->fence_stood;
}

bool sim_fence_is_silent(const struct sim_machine *machine)
{
    return machine->fence_stood && machine->heard.silent;
}

const struct fence_status *sim_fence_heard(const struct sim_machine *machine)
{
    return machine->fence_stood ? &machine->heard : &machine->status;
}

static void known(void *arg, uint64_t stop, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->fence_stood && machine->fence_stops == stop && !machine->heard.silent) {
        machine->heard.silent = true;
        sim_trace(machine->node->world, "%s: the fence does not answer", machine->node->name);
        sim_agent_fence_said(machine->node, FENCE_EVENT_SILENCE);
    }
}

void sim_fence_stop(struct sim_machine *machine, int64_t ms)
{
    machine->dog.fence_stands_until_ms = machine->node->world->now + ms;
    if (machine->fence_stood) {
        return;
    }
    sim_trace(machine->node->world, "%s: the fence stands still", machine->node->name);
    machine->fence_stood = true;
    machine->fence_stops++;
    machine->heard = machine->status;
    sim_host_at(machine->node, SILENT_MS, known, machine, machine->fence_stops, 0);
}

/* It reaps, and ends what is left, before it reads what it was asked. */
void sim_fence_goes_on(struct sim_machine *machine)
{
    bool silent = machine->heard.silent;
    bool ran = machine->heard.running;
    machine->fence_stood = false;
    sim_trace(machine->node->world, "%s: the fence goes on", machine->node->name);
    if (machine->orphans && !machine->status.killing) {
        sim_machine_kill(machine, KILLED_MS);
    }
    if (silent) {
        sim_agent_fence_event(machine->node, FENCE_EVENT_SILENCE);
    }
    if (ran && !machine->status.running) {
        sim_agent_fence_event(machine->node, FENCE_EVENT_POSTMASTER_EXITED);
    }
    if (machine->status.all_gone) {
        sim_agent_fence_event(machine->node, FENCE_EVENT_ALL_GONE);
    }
}

/* --- what its agent does ---------------------------------------------------------------------- */

bool sim_fence_reads_start(struct sim_machine *machine, int64_t sent_ms)
{
    machine->heard.starting = machine->fence_stood;
    machine->heard.all_gone = machine->heard.all_gone && !machine->heard.starting;
    machine->start_sent_ms = sent_ms;
    return machine->node->world->now - sent_ms < START_READ_MS;
}

/* Its client's fence_client_note_gone. */
static bool note_gone(struct sim_machine *machine)
{
    struct fence_status *heard = &machine->heard;
    bool begins =
        heard->starting && machine->node->world->now - machine->start_sent_ms < START_ANSWER_MS;
    if (!sim_fence_is_silent(machine) || begins) {
        return false;
    }
    sim_coverage_state(SIM_STATE_SILENT_STOP);
    heard->exited = heard->exited || heard->running;
    heard->running = heard->killing = heard->starting = false;
    heard->postmaster_pid = 0;
    heard->all_gone = true;
    return true;
}

static bool is_overdue(const struct sim_machine *machine)
{
    struct fence_lease page;
    return fence_page_read(machine->page, &page) && fence_lease_armed(&page) &&
           page.deadline_ms <= sim_node_clock(machine->node);
}

void sim_fence_finish_stop(struct sim_call *call)
{
    struct sim_machine *machine = call->instance->machine;
    bool late = machine->orphans || machine->node->world->now >= call->until || is_overdue(machine);
    if (machine->phase == SIM_DOWN && note_gone(machine)) {
        sim_call_end(call, 0, "");
        return;
    }
    if (sim_fence_is_silent(machine) && machine->phase != SIM_DOWN && late &&
        !machine->status.killing) {
        sim_coverage_state(SIM_STATE_SILENT_KILL);
        sim_machine_kill(machine, KILL_MS);
    }
    sim_call_later(call, LOOK_MS);
}

/* The next agent finds a fence that knows of nothing. */
int fence_client_end(struct fence_client *client, struct error *err)
{
    struct sim_machine *machine = client->machine;
    if (!sim_fence_is_silent(machine) || !machine->heard.all_gone) {
        return error_set(err, ERR_BUSY, "the fence answers, or something is left");
    }
    if (machine->phase != SIM_DOWN) {
        sim_fail(machine->node->world, "a fence is ended when nothing of its instance is left",
                 "%s", machine->node->name);
        return 0;
    }
    sim_coverage_state(SIM_STATE_SILENT_END);
    sim_trace(machine->node->world, "%s: the fence is ended", machine->node->name);
    sim_machine_lose_fence(machine);
    sim_agent_fence_event(machine->node, FENCE_EVENT_LOST);
    return 0;
}
