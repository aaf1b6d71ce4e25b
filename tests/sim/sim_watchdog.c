/* The watchdog device of a machine: the fence's rule is the shipping one (fence_watchdog_decide),
 * and the shipping agent says what it is to be. It runs while its host does, whatever process
 * stands still; one that fires takes the host away, until everything heals.
 *
 * Held here: it fires at no fence that works; the checkers of the machine then see that it fires in
 * time where the fence does not. */
#include "sim_watchdog.h"

#include "base/assert.h"
#include "sim_instance.h"

enum {
    LOOK_MS = 20,  /* of the device at its own clock */
    TAKES_MS = 30, /* what is asked of it */
};

static void told(struct sim_machine *machine, enum fence_watchdog_state state)
{
    int64_t timeout_ms = machine->dog.open ? machine->dog.timeout_ms : 0;
    if (machine->status.watchdog == state && machine->status.watchdog_timeout_ms == timeout_ms) {
        return;
    }
    machine->status.watchdog = state;
    machine->status.watchdog_timeout_ms = timeout_ms;
    sim_agent_fence_event(machine->node, FENCE_EVENT_WATCHDOG);
}

static void close_it(struct sim_machine *machine)
{
    machine->dog.open = false;
    told(machine, machine->dog.wanted_ms > 0 ? FENCE_WATCHDOG_READY : FENCE_WATCHDOG_NONE);
}

static void pet(struct sim_machine *machine)
{
    struct sim_dog *dog = &machine->dog;
    if (!dog->open || dog->timeout_ms != dog->wanted_ms) {
        sim_trace(machine->node->world, "%s: the watchdog is armed, %lld ms", machine->node->name,
                  (long long)dog->wanted_ms);
    }
    dog->open = true;
    dog->timeout_ms = dog->wanted_ms;
    dog->petted_ms = machine->node->world->now;
    told(machine, FENCE_WATCHDOG_ARMED);
}

static void late_pet(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)a;
    (void)b;
    if (machine->dog.pet_due && !machine->off) {
        machine->dog.pet_due = false;
        if (!machine->dog.open || machine->dog.timeout_ms > 0) {
            pet(machine);
        }
    }
}

void sim_watchdog_turn(struct sim_machine *machine, const struct fence_lease *lease, int64_t now_ms)
{
    struct sim_dog *dog = &machine->dog;
    if (dog->wanted_ms == 0 || machine->off) {
        close_it(machine);
        return;
    }
    bool over = fence_epoch_over(&machine->fence_state, lease->epoch);
    switch (fence_watchdog_decide(lease, over, machine->phase == SIM_DOWN, dog->wanted_ms, now_ms,
                                  &dog->until_ms)) {
    case FENCE_WATCHDOG_DISARM:
        dog->pet_due = false;
        close_it(machine);
        break;
    case FENCE_WATCHDOG_PET:
        if (!dog->pet_due &&
            (!dog->open || dog->timeout_ms != dog->wanted_ms ||
             machine->node->world->now - dog->petted_ms >= dog->timeout_ms / PG_WATCHDOG_PETS)) {
            dog->pet_due = true; /* by then the fence may stand still */
            sim_host_at(machine->node, (int64_t)sim_below(machine->node->world, TAKES_MS), late_pet,
                        machine, 0, 0);
        }
        break;
    case FENCE_WATCHDOG_LEAVE: break;
    }
}

static void look(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    struct sim_world *world = machine->node->world;
    struct sim_dog *dog = &machine->dog;
    (void)a;
    (void)b;
    if (dog->open && world->now - dog->petted_ms > dog->timeout_ms) {
        sim_trace(world, "%s: the watchdog fires", machine->node->name);
        if (world->now >= dog->fence_stands_until_ms) {
            sim_fail(world, "the watchdog fires at no fence that works", "%s", machine->node->name);
        }
        dog->open = dog->pet_due = false;
        dog->fired = true;
        dog->fence_stands_until_ms = 0;
        sim_member_crash(machine->node);
        sim_machine_power_off(machine);
    }
    sim_host_at(machine->node, LOOK_MS, look, machine, 0, 0);
}

void sim_watchdog_open(struct sim_machine *machine)
{
    if (machine->node->world->setup.watchdog) {
        sim_host_at(machine->node, LOOK_MS, look, machine, 0, 0);
    }
}

/* --- what the agent asks for ------------------------------------------------------------------ */

static void answer(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->agent != NULL) {
        sim_agent_watchdog_answer(node);
    }
}

int fence_client_watchdog(struct fence_client *client, const struct fence_watchdog_config *config,
                          fence_done_cb done, void *arg, struct error *err)
{
    (void)err;
    ASSERT(client->dog_done == NULL);
    client->machine->dog.wanted_ms = config->device[0] == '\0' ? 0 : config->timeout_ms;
    client->dog_done = done;
    client->dog_arg = arg;
    sim_node_at(client->machine->node, 1, answer, client->machine->node, 0, 0);
    return 0;
}
