/* Which physical slots are to be there, where they are to stand, and which are to go.
 *
 * Every member has a slot on every other one, so that whoever is promoted holds the WAL that the
 * others still need. Where nobody streams from it, the slot follows what its member is known to
 * have: on the leader's slot, as `status` tells, else by its own member key. A slot that nobody has
 * needed for member_slots_ttl goes: then its member does not come back, and WAL would be kept for
 * nobody, for ever. That counts from when this run of the agent saw it needed, or saw it first: who
 * knows what was before. */
#include "agent/loop/slots.h"

#include "agent/config/dynamic_slots.h"
#include "agent/ha/ha_cluster.h"
#include "agent/loop/logical.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* --- who needs one ---------------------------------------------------------------------------- */

static bool is_never_promoted(const struct agent *agent)
{
    return agent->facts.probe.role == PG_STANDBY && agent->config->tags.nofailover;
}

/* Of a standby cluster, too: the others receive from its leader. */
static bool leads(const struct agent *agent)
{
    return agent->facts.probe.role == PG_PRIMARY ||
           (agent->dynamic.standby_cluster &&
            strcmp(agent->facts.cluster.leader, agent->config->name) == 0);
}

static bool streams_from_us(const struct agent *agent, const struct ha_member *member)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const struct ha_member *upstream =
        ha_cluster_cascade(cluster, member->name, member->tags.replicatefrom);

    if (upstream == NULL) {
        return leads(agent);
    }
    return strcmp(upstream->name, agent->config->name) == 0 &&
           strcmp(member->name, cluster->leader) != 0;
}

/* Everybody may come to the primary, whomever he names, but who does not stream at all. A standby
 * has slots for what may come: unless it is never promoted, or slots are not kept for who is absent
 * (member_slots_ttl 0). */
static bool needs_slot(const struct agent *agent, const struct ha_member *member)
{
    bool spare =
        leads(agent) || (agent->dynamic.member_slots_ttl_ms > 0 && !is_never_promoted(agent));
    return agent->dynamic.use_slots && strcmp(member->name, agent->config->name) != 0 &&
           !member->tags.nostream && (spare || streams_from_us(agent, member));
}

/* --- when each was needed last ---------------------------------------------------------------- */

/* slot_age_count = there is none. */
static size_t age_index(const struct agent *agent, const char *slot)
{
    size_t i = 0;
    while (i < agent->slot_age_count && strcmp(agent->slot_ages[i].slot, slot) != 0) {
        i++;
    }
    return i;
}

/* NULL: no room. Then a slot stays, and none is made for a member while it is absent. */
static struct loop_slot_age *touch(struct agent *agent, const char *slot)
{
    size_t i = age_index(agent, slot);
    if (i == LOOP_SLOT_AGES_MAX) {
        return NULL;
    }
    struct loop_slot_age *age = &agent->slot_ages[i];
    if (i == agent->slot_age_count) {
        agent->slot_age_count++;
        *age = (struct loop_slot_age){0};
        (void)snprintf(age->slot, sizeof age->slot, "%s", slot);
    }
    age->needed_mono_ms = agent_mono_ms(agent);
    return age;
}

static const struct pg_slot *find_slot(const struct agent *agent, const char *name)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    return pg_slot_find(probe->slots, probe->slot_count, name);
}

static bool is_outlived(const struct agent *agent, const struct loop_slot_age *age)
{
    return agent_mono_ms(agent) - age->needed_mono_ms > agent->dynamic.member_slots_ttl_ms;
}

bool slots_is_outlived(const struct agent *agent, const char *slot)
{
    size_t age = age_index(agent, slot);
    return age < agent->slot_age_count && is_outlived(agent, &agent->slot_ages[age]);
}

void slots_note(struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const struct pg_probe_result *probe = &agent->facts.probe;
    char slot[PG_NAME_BYTES];
    size_t kept = 0;

    for (size_t i = 0; i < agent->slot_age_count; i++) {
        const struct loop_slot_age *age = &agent->slot_ages[i];
        bool member = age->member && !is_outlived(agent, age);
        if (member || find_slot(agent, age->slot) != NULL) {
            agent->slot_ages[kept++] = *age;
        }
    }
    agent->slot_age_count = kept;
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (needs_slot(agent, &cluster->members[i])) {
            pg_slot_name(cluster->members[i].name, slot);
            struct loop_slot_age *age = touch(agent, slot);
            if (age != NULL) {
                age->member = true;
            }
        }
    }
    for (size_t i = 0; i < probe->slot_count; i++) {
        const struct pg_slot *found = &probe->slots[i];
        bool known = age_index(agent, found->name) < agent->slot_age_count;
        if (found->active || !known) {
            (void)touch(agent, found->name);
        }
    }
    logical_note(agent);
}

void slots_note_start(struct agent *agent)
{
    for (size_t i = 0; i < agent->slot_age_count; i++) {
        if (!agent->slot_ages[i].member) {
            agent->slot_ages[i].needed_mono_ms = agent_mono_ms(agent);
        }
    }
}

/* --- what the leader says of its slots -------------------------------------------------------- */

void slots_take_status(struct agent *agent)
{
    const struct dcs_kv *kv = dcs_view_get(agent->facts.view, "status");
    const char *name;
    json_t *lsn;

    if (kv != NULL && kv->mod_revision == agent->slot_lsns_revision) {
        return;
    }
    agent->slot_lsns_revision = kv == NULL ? 0 : kv->mod_revision;
    agent->slot_lsn_count = 0;
    json_t *status = kv == NULL ? NULL : json_loadb(kv->value, kv->value_len, 0, NULL);
    json_t *slots = json_incref(json_object_get(status, "slots"));
    if (json_is_string(slots)) { /* as some write it */
        json_t *text = slots;
        slots = json_loads(json_string_value(text), 0, NULL);
        json_decref(text);
    }
    json_object_foreach(slots, name, lsn)
    {
        if (json_integer_value(lsn) > 0 && agent->slot_lsn_count < PG_SLOTS_MAX) {
            struct loop_slot_lsn *item = &agent->slot_lsns[agent->slot_lsn_count++];
            (void)snprintf(item->slot, sizeof item->slot, "%s", name);
            item->lsn = (uint64_t)json_integer_value(lsn);
        }
    }
    json_decref(slots);
    json_decref(status);
}

uint64_t slots_published_lsn(const struct agent *agent, const char *slot)
{
    for (size_t i = 0; i < agent->slot_lsn_count; i++) {
        if (strcmp(agent->slot_lsns[i].slot, slot) == 0) {
            return agent->slot_lsns[i].lsn;
        }
    }
    return 0;
}

/* --- the decision ----------------------------------------------------------------------------- */

/* The leader's slot of a member that streams from elsewhere does not move by itself. */
static uint64_t member_lsn(const struct agent *agent, const struct ha_member *member,
                           const char *slot)
{
    uint64_t published = slots_published_lsn(agent, slot);
    if (member->tags.replicatefrom[0] != '\0') {
        return member->lsn > published ? member->lsn : published;
    }
    return published != 0 ? published : member->lsn;
}

static const struct pg_slot_wish *find_wish(const struct slots_plan *plan, const char *slot)
{
    for (size_t i = 0; i < plan->wish_count; i++) {
        if (strcmp(plan->wishes[i].name, slot) == 0) {
            return &plan->wishes[i];
        }
    }
    return NULL;
}

static void wish(struct slots_plan *plan, const char *slot, bool idle, uint64_t lsn)
{
    if (plan->wish_count == PG_SLOTS_MAX || find_wish(plan, slot) != NULL) {
        return; /* two members' names may make one slot's */
    }
    char *name = plan->names[plan->wish_count];
    (void)snprintf(name, PG_NAME_BYTES, "%s", slot);
    plan->wishes[plan->wish_count++] =
        (struct pg_slot_wish){.name = name, .idle = idle, .lsn = idle ? lsn : 0};
}

static void wish_members(const struct agent *agent, struct slots_plan *plan)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    char slot[PG_NAME_BYTES];

    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct ha_member *member = &cluster->members[i];
        if (needs_slot(agent, member)) {
            pg_slot_name(member->name, slot);
            wish(plan, slot, !streams_from_us(agent, member), member_lsn(agent, member, slot));
        }
    }
}

/* Whom they streamed from is not known any more. On the leader their slots stay where they are;
 * others follow it in that. */
static void wish_absent(const struct agent *agent, struct slots_plan *plan)
{
    bool standby = !leads(agent);

    for (size_t i = 0; i < agent->slot_age_count; i++) {
        const struct loop_slot_age *age = &agent->slot_ages[i];
        if (age->member && !is_outlived(agent, age) && !is_never_promoted(agent)) {
            wish(plan, age->slot, standby, slots_published_lsn(agent, age->slot));
        }
    }
}

static void wish_permanent(const struct agent *agent, struct slots_plan *plan)
{
    bool standby = !leads(agent);
    const char *names[DYNAMIC_SLOTS_MAX];
    char own[PG_NAME_BYTES];

    if (is_never_promoted(agent)) {
        return;
    }
    pg_slot_name(agent->config->name, own);
    size_t count = dynamic_slots_physical(&agent->dynamic, names);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], own) != 0) {
            wish(plan, names[i], standby, slots_published_lsn(agent, names[i]));
        }
    }
}

static void drop_outlived(const struct agent *agent, struct slots_plan *plan)
{
    if (agent_is_paused(agent)) {
        return;
    }
    const struct pg_probe_result *probe = &agent->facts.probe;

    for (size_t i = 0; i < probe->slot_count; i++) {
        const struct pg_slot *slot = &probe->slots[i];
        size_t age = age_index(agent, slot->name);
        if (slot->physical && !slot->active && age < agent->slot_age_count &&
            is_outlived(agent, &agent->slot_ages[age]) && find_wish(plan, slot->name) == NULL &&
            !dynamic_slots_is_operators(&agent->dynamic, slot->name)) {
            plan->drops[plan->drop_count++] = slot->name;
        }
    }
}

static enum pg_slot_next next_of(const struct agent *agent, const struct pg_slot_wish *wanted)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    uint64_t lsn = 0;
    return pg_slot_next(find_slot(agent, wanted->name), wanted,
                        probe->role == PG_STANDBY ? probe->replay_lsn : probe->flush_lsn, &lsn);
}

/* Moving on can wait for the next loop_wait, the rest not. */
static bool is_due(const struct agent *agent, const struct slots_plan *plan)
{
    bool moving = agent_mono_ms(agent) - agent->slots_set_mono_ms >= agent->dynamic.loop_wait_ms;

    for (size_t i = 0; i < plan->wish_count; i++) {
        switch (next_of(agent, &plan->wishes[i])) {
        case PG_SLOT_STAYS: break;
        case PG_SLOT_MAKE:
        case PG_SLOT_REMAKE: return true;
        case PG_SLOT_ADVANCE:
            if (moving) {
                return true;
            }
            break;
        }
    }
    return plan->drop_count > 0;
}

void slots_decide(const struct agent *agent, struct slots_plan *ret_plan)
{
    memset(ret_plan, 0, sizeof *ret_plan);
    if (agent->dynamic.use_slots) {
        wish_members(agent, ret_plan);
        wish_permanent(agent, ret_plan);
        wish_absent(agent, ret_plan);
    }
    drop_outlived(agent, ret_plan);
    ret_plan->due = is_due(agent, ret_plan);
}

void slots_tell(const struct agent *agent, const struct slots_plan *plan)
{
    for (size_t i = 0; i < plan->drop_count; i++) {
        log_info("dropping the replication slot '%s': nobody has needed it for %lld s",
                 plan->drops[i], (long long)(agent->dynamic.member_slots_ttl_ms / 1000));
    }
    for (size_t i = 0; i < plan->wish_count; i++) {
        const struct pg_slot_wish *wanted = &plan->wishes[i];
        if (next_of(agent, wanted) != PG_SLOT_REMAKE) {
            continue;
        }
        const struct pg_slot *slot = find_slot(agent, wanted->name);
        if (slot->restart_lsn != 0 && slot->has_xmin && wanted->idle) {
            log_info("making the replication slot '%s' anew: nobody streams from it here, and it "
                     "would hold back the removal of dead rows",
                     wanted->name);
        } else {
            log_warning("making the replication slot '%s' anew: the WAL that it held is gone, and "
                        "whoever needs it has to be copied anew or needs an archive",
                        wanted->name);
        }
    }
}
