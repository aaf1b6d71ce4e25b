/* What is to be done about permanent logical slots, and its beginning. What is known of them is
 * logical.c's. */
#include "agent/loop/logical_private.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/slots.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <string.h>

enum { LOGICAL_MS = 600000 }; /* of one statement: making one waits for all transactions that run */

/* A standby that is never promoted, or whose feedback does not reach the primary, has none. */
static bool has_use(const struct agent *agent)
{
    bool streams = false;
    (void)logical_next_to_leader(agent, &streams);
    return !logical_is_standby(agent) || (streams && !agent->config->tags.nofailover);
}

/* --- the decision ----------------------------------------------------------------------------- */

static struct pg_logical_here here_of(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    return (struct pg_logical_here){.role = probe->role,
                                    .major = probe->server_version / 10000,
                                    .decodes = probe->logical_decoding,
                                    .own_lsn = probe->replay_lsn};
}

enum pg_logical_next logical_next_of(const struct agent *agent, const struct pg_logical_wish *wish)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    const struct pg_logical_here here = here_of(agent);
    const struct pg_slot *slot = NULL;
    uint64_t lsn = 0;
    for (size_t i = 0; i < probe->slot_count; i++) {
        slot = strcmp(probe->slots[i].name, wish->name) == 0 ? &probe->slots[i] : slot;
    }
    return pg_logical_next(slot, wish, &here, &lsn);
}

static bool destroys(enum pg_logical_next next)
{
    return next == PG_LOGICAL_REMAKE || next == PG_LOGICAL_DROP;
}

static void wish_all(const struct agent *agent, struct logical_plan *plan)
{
    struct dynamic_logical wanted[DYNAMIC_SLOTS_MAX];
    size_t count = dynamic_slots_logical(&agent->dynamic, wanted);

    for (size_t i = 0; i < count; i++) {
        const struct loop_logical *item = logical_item(agent, wanted[i].name);
        struct pg_logical_wish wish = {.name = wanted[i].name,
                                       .database = wanted[i].database,
                                       .plugin = wanted[i].plugin,
                                       .lsn = slots_published_lsn(agent, wanted[i].name),
                                       .unsafe = !logical_is_standby(agent) && item != NULL &&
                                                 item->copied};
        bool spared = agent_is_paused(agent) && destroys(logical_next_of(agent, &wish));
        if (!spared && !logical_is_members(agent, wish.name)) {
            plan->wishes[plan->wish_count++] = wish;
        }
    }
}

/* It was of the configuration, or is of no use to this member; or nobody knows what a standby has
 * it for, and nobody has used it for long. */
static bool is_to_go(const struct agent *agent, const struct pg_slot *slot)
{
    const struct loop_logical *item = logical_item(agent, slot->name);
    /* On a standby the server lets nobody else drop it; a promotion leaves the mark. */
    if (slot->physical || slot->active || (slot->synced && logical_is_standby(agent))) {
        return false;
    }
    if (item != NULL && item->configured) {
        return !has_use(agent);
    }
    if (dynamic_slots_is_operators_logical(&agent->dynamic, slot)) {
        return false;
    }
    return item != NULL || (logical_is_standby(agent) && slots_is_outlived(agent, slot->name));
}

static void drop_all(const struct agent *agent, struct logical_plan *plan)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    for (size_t i = 0; i < probe->slot_count && !agent_is_paused(agent); i++) {
        if (is_to_go(agent, &probe->slots[i])) {
            plan->drops[plan->drop_count++] = probe->slots[i].name;
        }
    }
}

/* Whoever was a standby once more would take the mark for one of then. */
static void real_all(const struct agent *agent, struct logical_plan *plan)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    for (size_t i = 0; i < probe->slot_count && !logical_is_standby(agent); i++) {
        const struct pg_slot *slot = &probe->slots[i];
        const struct loop_logical *item = logical_item(agent, slot->name);
        if (slot->marked && slot->good_timeline != 0 && (item == NULL || !item->copied)) {
            plan->real[plan->real_count++] = slot->name;
        }
    }
}

/* Moving on can wait for the next loop_wait, and so can what has just failed. */
static bool is_due(const struct agent *agent, const struct logical_plan *plan)
{
    const struct loop_logicals *all = &agent->logical;
    bool waited = agent_mono_ms(agent) - all->set_mono_ms >= agent->dynamic.loop_wait_ms;
    bool due = plan->drop_count + plan->real_count > 0 && (waited || !all->failed);

    for (size_t i = 0; i < plan->wish_count; i++) {
        switch (logical_next_of(agent, &plan->wishes[i])) {
        case PG_LOGICAL_STAYS:
        case PG_LOGICAL_COPY: break;
        case PG_LOGICAL_MAKE:
        case PG_LOGICAL_REMAKE:
        case PG_LOGICAL_FAILOVER:
        case PG_LOGICAL_DROP: due = due || waited || !all->failed; break;
        case PG_LOGICAL_ADVANCE: due = due || waited; break;
        }
    }
    return due && !all->changing;
}

void logical_decide(const struct agent *agent, struct logical_plan *ret_plan)
{
    memset(ret_plan, 0, sizeof *ret_plan);
    if (agent->facts.probe.asked_ms == 0 || agent->facts.config_revision < 0 ||
        agent->facts.probe.slots_cut) {
        return;
    }
    if (has_use(agent)) {
        wish_all(agent, ret_plan);
    }
    drop_all(agent, ret_plan);
    real_all(agent, ret_plan);
    ret_plan->due = is_due(agent, ret_plan);
}

/* --- carrying it out -------------------------------------------------------------------------- */

static void tell_wish(const struct agent *agent, const struct pg_logical_wish *wish)
{
    char lsn[PG_LSN_BYTES];
    struct loop_logical *item = logical_item(agent, wish->name);
    (void)pg_lsn_format(wish->lsn, lsn);
    switch (logical_next_of(agent, wish)) {
    case PG_LOGICAL_MAKE:
        if (wish->lsn == 0) {
            log_info("making the logical replication slot '%s' of database '%s'", wish->name,
                     wish->database);
        } else if (item == NULL || !item->told_lost) {
            /* it was there, on this primary or on the one before */
            log_error("the logical replication slot '%s' is lost: it is made anew, and what was "
                      "changed since %s is not in it; its consumer has to be made anew, too",
                      wish->name, lsn);
        }
        if (item != NULL) {
            item->told_lost = wish->lsn != 0; /* each try again is no news */
        }
        break;
    case PG_LOGICAL_REMAKE:
        log_error("the logical replication slot '%s' is made anew, since %s: what was changed "
                  "since %s is not in it; its consumer has to be made anew, too",
                  wish->name,
                  wish->unsafe ? "its copy may lack rows of catalogs"
                               : "it is lost, or one of another database or plugin",
                  lsn);
        break;
    case PG_LOGICAL_DROP:
        log_info("dropping the logical replication slot '%s', which is of no use here: it is "
                 "copied anew",
                 wish->name);
        break;
    case PG_LOGICAL_FAILOVER:
    case PG_LOGICAL_STAYS:
    case PG_LOGICAL_COPY:
    case PG_LOGICAL_ADVANCE: break;
    }
}

static void on_set(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    agent->logical.changing = false;
    agent->logical.failed = rc != 0;
    if (rc != 0 && rc != ERR_CANCELED) {
        log_warning("%s, retrying", err->text);
    }
    for (size_t i = 0; i < agent->logical.count; i++) {
        struct loop_logical *item = &agent->logical.items[i];
        item->remade_mono_ms = agent_mono_ms(agent);
        /* Whether it was, of all that were to be, where it begins tells: note_remade. */
        item->copied = item->copied && item->remade_from == 0;
    }
    observe_probe_soon(agent);
}

void logical_apply(struct agent *agent)
{
    struct logical_plan plan;
    struct error err = {0};
    logical_decide(agent, &plan);
    if (!plan.due) {
        return;
    }
    struct pg_logical_slots slots = {.wishes = plan.wishes,
                                     .wish_count = plan.wish_count,
                                     .drop = {.items = plan.drops, .count = plan.drop_count},
                                     .role = agent->facts.probe.role,
                                     .real = {.items = plan.real, .count = plan.real_count}};
    int rc = pg_instance_set_logical(agent->pg, &slots, LOGICAL_MS, on_set, agent, &err);
    agent->logical.set_mono_ms = agent_mono_ms(agent);
    agent->logical.changing = rc == 0;
    agent->logical.failed = rc != 0;
    if (rc != 0) {
        log_warning("%s, retrying", err.text);
        return;
    }
    for (size_t i = 0; i < plan.wish_count; i++) {
        struct loop_logical *item = logical_item(agent, plan.wishes[i].name);
        if (item != NULL && plan.wishes[i].unsafe &&
            logical_next_of(agent, &plan.wishes[i]) == PG_LOGICAL_REMAKE) {
            item->remade_from = agent->facts.probe.current_lsn + 1;
        }
        tell_wish(agent, &plan.wishes[i]);
    }
    for (size_t i = 0; i < plan.drop_count; i++) {
        log_info("dropping the logical replication slot '%s': it is not to be here any more",
                 plan.drops[i]);
    }
}
