/* Logical slots that outlive their primary.
 *
 * On the primary a slot of the configuration is made. A standby of before 17 has it copied:
 *
 *   missing --(the primary has it, and its WAL is here)--> fetched --(restart)--> copied
 *     copied --(the primary keeps what it needs, and it has moved on to there)--> safe
 *     safe --(another primary, or nothing is received any more)--> to be looked at again
 *
 * Why a copy is not safe at once: it needs the rows of catalogs from its catalog_xmin on. Until the
 * feedback of this standby has reached the primary, that keeps only what its own slot needs, which
 * goes on meanwhile. So once the primary is seen to keep rows for us (catalog_xmin of our physical
 * slot), not later ones than the copy needs, its slot's catalog_xmin of that moment is noted: from
 * there on everything was kept, before by its slot and since then by ours. The copy is safe when it
 * has moved on to that, and what its consumer has confirmed is replayed here. A copy that never was
 * is dropped by a promotion: its consumer would read with the wrong catalog, and not notice. A mark
 * beside it remembers that over a restart of the agent (pgctl/jobs/slot_copy.h).
 *
 * From 17 on the server does all this itself. */
#include "agent/loop/logical.h"

#include "agent/loop/logical_private.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/slots.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <stdio.h>
#include <string.h>

enum { LOGICAL_MS = 600000 }; /* of one statement: making one waits for all transactions that run */

_Static_assert(sizeof((struct loop_logicals){0}.items) / sizeof(struct loop_logical) >=
                   2 * (size_t)DYNAMIC_SLOTS_MAX,
               "those of the configuration, and those that are to go");

/* --- what is known ---------------------------------------------------------------------------- */

struct loop_logical *logical_item(const struct agent *agent, const char *name)
{
    const struct loop_logicals *all = &agent->logical;
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].name, name) == 0) {
            return (struct loop_logical *)(uintptr_t)&all->items[i];
        }
    }
    return NULL;
}

const struct pg_slot *logical_slot(const struct agent *agent, const char *name)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    for (size_t i = 0; i < probe->slot_count; i++) {
        if (!probe->slots[i].physical && strcmp(probe->slots[i].name, name) == 0) {
            return &probe->slots[i];
        }
    }
    return NULL;
}

bool logical_is_native(const struct agent *agent)
{
    return agent->facts.probe.server_version / 10000 >= PG_LOGICAL_NATIVE_MAJOR;
}

bool logical_is_standby(const struct agent *agent)
{
    return agent->facts.probe.role == PG_STANDBY;
}

const char *logical_next_to_leader(const struct agent *agent, bool *ret_streams)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const char *name = agent->config->name;
    const char *from = agent->config->tags.replicatefrom;

    *ret_streams = !agent->config->tags.nostream;
    for (size_t i = 0; i < HA_MEMBERS_MAX && from != NULL && from[0] != '\0'; i++) {
        const struct ha_member *upstream = ha_cluster_cascade(cluster, name, from);
        if (upstream == NULL || strcmp(upstream->name, cluster->leader) == 0) {
            break;
        }
        *ret_streams = *ret_streams && !upstream->tags.nostream;
        name = upstream->name;
        from = upstream->tags.replicatefrom;
    }
    return name;
}

/* A standby that is never promoted, or whose feedback does not reach the primary, has none. */
static bool has_use(const struct agent *agent)
{
    bool streams = false;
    (void)logical_next_to_leader(agent, &streams);
    return !logical_is_standby(agent) || (streams && !agent->config->tags.nofailover);
}

static bool is_members(const struct agent *agent, const char *name)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    char slot[PG_NAME_BYTES];
    pg_slot_name(agent->config->name, slot);
    bool is = strcmp(slot, name) == 0;
    for (size_t i = 0; i < cluster->member_count; i++) {
        pg_slot_name(cluster->members[i].name, slot);
        is = is || strcmp(slot, name) == 0;
    }
    return is;
}

static void note_configured(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    struct dynamic_logical wanted[DYNAMIC_SLOTS_MAX];
    size_t count = dynamic_slots_logical(&agent->dynamic, wanted);

    for (size_t i = 0; i < all->count; i++) {
        all->items[i].configured = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct loop_logical *item = logical_item(agent, wanted[i].name);
        if (item == NULL && all->count < sizeof all->items / sizeof all->items[0]) {
            item = &all->items[all->count++];
            *item = (struct loop_logical){0};
            (void)snprintf(item->name, sizeof item->name, "%s", wanted[i].name);
            if (is_members(agent, wanted[i].name)) {
                log_warning("slots.%s: a member's slot has that name, so no logical one is made",
                            wanted[i].name);
            }
        }
        if (item != NULL) {
            item->configured = true;
        }
    }
}

static void note_arrived(struct agent *agent, struct loop_logical *item)
{
    bool copied =
        logical_is_standby(agent) && !logical_is_native(agent) && (item->coming || item->missing);
    item->missing = false;
    if (!copied) {
        return;
    }
    item->coming = false;
    item->copied = true;
    log_info("the logical replication slot '%s' was copied from '%s'; for a failover it is good "
             "when the primary is seen to keep what it needs",
             item->name, agent->facts.cluster.leader);
}

/* Somebody was faster than the promotion's statement. To take it from him later does him no good.
 */
static void note_used(const struct agent *agent, struct loop_logical *item,
                      const struct pg_slot *slot)
{
    if (item->copied && slot->active && !logical_is_standby(agent)) {
        item->copied = false;
        log_error("the logical replication slot '%s' is in use, and its copy was not safe yet: "
                  "what its consumer has read may be wrong",
                  item->name);
    }
}

/* A new one begins behind the last look at the old one. Who had that in use has kept it from being
 * made anew. */
static void note_remade(const struct agent *agent, struct loop_logical *item,
                        const struct pg_slot *slot)
{
    if (item->remade_from == 0 || agent->logical.changing ||
        agent->facts.probe.asked_ms <= item->remade_mono_ms) {
        return;
    }
    item->copied = slot->restart_lsn + 1 < item->remade_from;
    item->remade_from = 0;
}

static void note_presence(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct loop_logical *item = &all->items[i];
        const struct pg_slot *slot = logical_slot(agent, item->name);
        if (slot != NULL) {
            item->told_lost = false;
            note_arrived(agent, item);
            note_remade(agent, item, slot);
            note_used(agent, item, slot);
        } else {
            item->copied = item->safe = item->was_safe = item->kept = false;
            item->remade_from = 0;
            item->missing = logical_is_standby(agent);
            item->horizon = 0;
        }
        if (item->configured || slot != NULL) {
            all->items[kept++] = *item;
        }
    }
    all->count = kept;
}

/* hot_standby_feedback was turned off behind our back: the primary removes what copies need. */
static bool is_unkept(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    return logical_is_standby(agent) && !logical_is_native(agent) && probe->asked_ms > 0 &&
           !probe->feedback;
}

/* What a primary has kept is nothing that another one has. */
static void note_leader(struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    struct loop_logicals *all = &agent->logical;
    bool same = ha_epoch_equal(all->epoch, facts->cluster.leader_epoch);
    if (is_unkept(agent)) {
        for (size_t i = 0; i < all->count; i++) {
            struct loop_logical *item = &all->items[i];
            item->copied = item->copied || logical_slot(agent, item->name) != NULL;
            item->safe = item->was_safe = false;
            item->horizon = 0;
        }
        all->epoch = facts->cluster.leader_epoch;
        return;
    }
    if (same && (facts->upstream.streaming || !logical_is_standby(agent))) {
        for (size_t i = 0; i < all->count && logical_is_standby(agent); i++) {
            all->items[i].was_safe = false; /* what comes now has to be looked at */
        }
        return;
    }
    all->epoch = facts->cluster.leader_epoch;
    bool takes_over =
        facts->cluster.leader[0] == '\0' || strcmp(facts->cluster.leader, agent->config->name) == 0;
    for (size_t i = 0; i < all->count; i++) {
        struct loop_logical *item = &all->items[i];
        item->was_safe = (same || takes_over) && (item->safe || item->was_safe);
        item->safe = false;
        item->horizon = 0;
    }
}

/* Who has made it expects it to be there after a failover, or has forgotten it. */
static void tell_strangers(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    const struct pg_probe_result *probe = &agent->facts.probe;
    for (size_t i = 0; i < probe->slot_count; i++) {
        const struct pg_slot *slot = &probe->slots[i];
        bool of_the_server = strncmp(slot->name, "pg_", 3) == 0 || slot->synced;
        bool told = false;
        for (size_t j = 0; j < all->stranger_count; j++) {
            told = told || strcmp(all->strangers[j], slot->name) == 0;
        }
        if (slot->physical || of_the_server || told || logical_item(agent, slot->name) != NULL ||
            dynamic_slots_is_operators_logical(&agent->dynamic, slot) ||
            all->stranger_count == PG_SLOTS_MAX) {
            continue;
        }
        (void)snprintf(all->strangers[all->stranger_count++], PG_NAME_BYTES, "%s", slot->name);
        log_warning("the logical replication slot '%s' is in no configuration: %s", slot->name,
                    logical_is_standby(agent)
                        ? "it holds back WAL here and dead rows of catalogs on the primary, and is "
                          "dropped when nobody has used it for member_slots_ttl"
                        : "it does not outlive this primary, and holds back WAL and dead rows for "
                          "as long as it is here; 'slots' or 'ignore_slots' may name it");
    }
}

bool logical_has_synced(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    bool synced = false;
    for (size_t i = 0; i < probe->slot_count; i++) {
        synced = synced || (probe->slots[i].synced && logical_is_standby(agent));
    }
    return synced;
}

/* The settings of the server's worker stay for as long as it has something to take away. */
static void note_synced(struct agent *agent)
{
    bool synced = logical_has_synced(agent);
    if (agent->logical.synced && !synced && !dynamic_slots_has_logical(&agent->dynamic)) {
        parameters_again(agent);
    }
    agent->logical.synced = synced;
}

void logical_note(struct agent *agent)
{
    if (agent->facts.probe.asked_ms == 0 || agent->facts.config_revision < 0) {
        return; /* nothing can be told to be missing, or nobody's */
    }
    note_configured(agent);
    note_presence(agent);
    note_leader(agent);
    note_synced(agent);
    tell_strangers(agent);
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
        if (!spared && !is_members(agent, wish.name)) {
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

/* Moving on can wait for the next loop_wait, and so can what has just failed. */
static bool is_due(const struct agent *agent, const struct logical_plan *plan)
{
    const struct loop_logicals *all = &agent->logical;
    bool waited = agent_mono_ms(agent) - all->set_mono_ms >= agent->dynamic.loop_wait_ms;
    bool due = plan->drop_count > 0 && (waited || !all->failed);

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
    if (agent->facts.probe.asked_ms == 0 || agent->facts.config_revision < 0) {
        return;
    }
    if (has_use(agent)) {
        wish_all(agent, ret_plan);
    }
    drop_all(agent, ret_plan);
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
                                     .drop = {.items = plan.drops, .count = plan.drop_count}};
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

size_t logical_unsafe(const struct agent *agent, const char *ret_names[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < agent->logical.count && count < DYNAMIC_SLOTS_MAX; i++) {
        const struct loop_logical *item = &agent->logical.items[i];
        if (item->copied) {
            ret_names[count++] = item->name;
            log_error("the logical replication slot '%s' was copied, and not seen to be safe yet: "
                      "it is dropped before the promotion",
                      item->name);
        } else if (!logical_is_native(agent) && logical_slot(agent, item->name) != NULL &&
                   !item->safe && !item->was_safe) {
            log_warning("the logical replication slot '%s' was not compared with the last "
                        "primary's: rows of catalogs that it needs may be gone",
                        item->name);
        }
    }
    return count;
}

bool logical_is_safe(const struct agent *agent, const char *name)
{
    const struct loop_logical *item = logical_item(agent, name);
    const struct pg_slot *slot = logical_slot(agent, name);
    if (item == NULL || slot == NULL || pg_slot_is_lost(slot)) {
        return false;
    }
    if (!logical_is_standby(agent)) {
        return !item->copied;
    }
    return logical_is_native(agent) ? slot->synced : item->safe && item->kept;
}
