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
 * has moved on to that, and what its consumer has confirmed is replayed here. A copy that is not is
 * dropped by a promotion: its consumer would read with the wrong catalog, and not notice. So is one
 * that a former primary has left, once another one has been followed.
 *
 * A mark beside the slot remembers that over a restart of the agent, and of which timeline it is
 * (pgctl/jobs/slot_mark.h): what was good under the primary before the last one is not known to be
 * good any more. Whoever promotes by hand leaves a mark "in doubt" on a primary: that slot is made
 * anew, as soon as nobody reads from it.
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

bool logical_is_members(const struct agent *agent, const char *name)
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
            if (logical_is_members(agent, wanted[i].name)) {
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

/* Somebody has it in use that could not be ended, or was faster. It is made anew once he is gone.
 */
static void note_used(const struct agent *agent, struct loop_logical *item,
                      const struct pg_slot *slot)
{
    bool used = item->copied && slot->active && !logical_is_standby(agent);
    if (used && !item->told_used) {
        log_error("the logical replication slot '%s' is in use, and its copy was not safe yet: "
                  "what its consumer reads may be wrong; end him: then it is made anew, and he has "
                  "to begin anew, too",
                  item->name);
    }
    item->told_used = used;
}

/* Whoever was promoted by hand, or has restarted its agent, knows of a copy by its mark alone. What
 * the agent knows itself is newer. */
static void note_marked(const struct agent *agent, struct loop_logical *item,
                        const struct pg_slot *slot)
{
    bool fresh = !agent->logical.changing && agent->facts.probe.asked_ms > item->remade_mono_ms;
    if (fresh && slot->marked && slot->good_timeline == 0 && !item->safe && !item->kept) {
        item->copied = true;
    }
}

/* 17: nothing changes one that is in use, so it stays without `failover`. */
static void note_unmarked(const struct agent *agent, struct loop_logical *item,
                          const struct pg_slot *slot)
{
    bool waits = logical_waits_for_consumer(agent, item, slot);
    if (waits && !item->told_unmarked) {
        log_warning("the logical replication slot '%s' is not carried over a failover: it was made "
                    "without 'failover', which can be given while nobody reads from it: stop its "
                    "consumer for some seconds",
                    item->name);
    }
    item->told_unmarked = waits;
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
            item->told_fault[0] = '\0';
            note_arrived(agent, item);
            note_remade(agent, item, slot);
            note_marked(agent, item, slot);
            note_used(agent, item, slot);
            note_unmarked(agent, item, slot);
        } else {
            item->copied = item->safe = item->was_safe = item->kept = item->doubted = false;
            item->told_used = item->told_unmarked = false;
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
            item->safe = item->was_safe = item->kept = false;
            item->horizon = 0;
        }
        all->epoch = facts->cluster.leader_epoch;
        return;
    }
    if (same && (facts->upstream.streaming || !logical_is_standby(agent))) {
        for (size_t i = 0; i < all->count && logical_is_standby(agent); i++) {
            struct loop_logical *item = &all->items[i];
            item->was_safe = false; /* what comes now has to be looked at */
            item->kept = item->kept && item->safe;
        }
        return;
    }
    all->epoch = facts->cluster.leader_epoch;
    all->seen_timeline = 0;
    bool takes_over =
        facts->cluster.leader[0] == '\0' || strcmp(facts->cluster.leader, agent->config->name) == 0;
    for (size_t i = 0; i < all->count; i++) {
        struct loop_logical *item = &all->items[i];
        item->was_safe = (same || takes_over) && (item->safe || item->was_safe);
        item->kept = item->kept && item->was_safe;
        item->safe = item->doubted = false;
        item->horizon = 0;
    }
}

static void forget_strangers(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    size_t kept = 0;
    for (size_t i = 0; i < all->stranger_count; i++) {
        if (logical_slot(agent, all->strangers[i]) != NULL) {
            memmove(all->strangers[kept++], all->strangers[i], PG_NAME_BYTES);
        }
    }
    all->stranger_count = kept;
}

/* Who has made it expects it to be there after a failover, or has forgotten it. */
static void tell_strangers(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    const struct pg_probe_result *probe = &agent->facts.probe;
    forget_strangers(agent);
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

/* The server's worker ends it below wal_level logical (before its fix of 17): it is switched on
 * when the server was seen to decode. */
static void note_decodes(struct agent *agent)
{
    bool decodes = agent->facts.probe.logical_decoding;
    bool wanted = dynamic_slots_has_logical(&agent->dynamic) || logical_has_synced(agent);
    if (logical_is_native(agent) && wanted && decodes != agent->logical.decodes_given) {
        agent->logical.decodes_given = decodes; /* once, whatever becomes of it */
        parameters_again(agent);
    }
}

/* One that is not seen would be taken for one that is lost. */
static bool is_cut(struct agent *agent)
{
    bool cut = agent->facts.probe.slots_cut;
    if (cut && !agent->logical.told_cut) {
        log_warning("PostgreSQL has more than %d replication slots: logical ones of 'slots' are "
                    "not looked after until there are fewer; drop those that nobody needs",
                    PG_SLOTS_MAX);
    }
    agent->logical.told_cut = cut;
    return cut;
}

void logical_note(struct agent *agent)
{
    if (agent->facts.probe.asked_ms == 0 || agent->facts.config_revision < 0 || is_cut(agent)) {
        return; /* nothing can be told to be missing, or nobody's */
    }
    note_configured(agent);
    note_presence(agent);
    note_leader(agent);
    note_synced(agent);
    note_decodes(agent);
    tell_strangers(agent);
}

/* --- what may be used ------------------------------------------------------------------------- */

/* As the promotion itself sees it by the mark (pgctl/jobs/promote_slots.h). */
static bool is_doubtful(const struct agent *agent, const struct loop_logical *item,
                        const struct pg_slot *slot)
{
    return slot->marked && slot->good_timeline < agent->facts.probe.timeline && !item->kept;
}

size_t logical_unsafe(const struct agent *agent, const char *ret_names[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < agent->logical.count && count < DYNAMIC_SLOTS_MAX; i++) {
        const struct loop_logical *item = &agent->logical.items[i];
        const struct pg_slot *slot = logical_slot(agent, item->name);
        if (item->copied || (slot != NULL && is_doubtful(agent, item, slot))) {
            ret_names[count++] = item->name;
            log_error("the logical replication slot '%s' was copied, and not seen to be safe yet: "
                      "it is dropped before the promotion",
                      item->name);
        } else if (!logical_is_native(agent) && slot != NULL && !slot->marked && !item->safe &&
                   !item->was_safe) {
            log_warning("the logical replication slot '%s' was not compared with the last "
                        "primary's: rows of catalogs that it needs may be gone",
                        item->name);
        }
    }
    return count;
}

void logical_promoted(struct agent *agent)
{
    const char *left = pg_instance_undropped(agent->pg);
    if (left[0] != '\0') {
        log_error("logical replication slots that were not seen to be safe could not be dropped "
                  "before the promotion, since they are in use: %s: end their consumers; then they "
                  "are made anew",
                  left);
    }
}

bool logical_waits_for_consumer(const struct agent *agent, const struct loop_logical *item,
                                const struct pg_slot *slot)
{
    return logical_is_native(agent) && !logical_is_standby(agent) && item->configured &&
           slot->active && !slot->failover;
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

static const char *primary_fault(const struct agent *agent, const struct loop_logical *item,
                                 const struct pg_slot *slot)
{
    if (slot == NULL) {
        return agent->facts.probe.logical_decoding
                   ? "it is not made yet"
                   : "it is not made yet: wal_level logical needs a restart";
    }
    if (item->copied) {
        return slot->active ? "it was copied, and not seen to be safe: what its consumer reads may "
                              "be wrong; it is made anew when he is gone"
                            : "it was copied, and not seen to be safe: it is made anew";
    }
    return logical_waits_for_consumer(agent, item, slot)
               ? "it is not carried over a failover: stop its consumer for some seconds, and it is"
               : NULL;
}

static const char *standby_fault(const struct agent *agent, const struct loop_logical *item,
                                 const struct pg_slot *slot)
{
    if (!agent->facts.probe.feedback) {
        return "hot_standby_feedback is off here: take it out of postgresql.auto.conf";
    }
    if (slot == NULL && item->told_fault[0] != '\0') {
        return item->told_fault;
    }
    if (slot == NULL) {
        return "there is no copy yet";
    }
    return item->safe || logical_is_native(agent)
               ? "the copy is about to be taken over"
               : "the primary was not yet seen to keep what the copy needs";
}

const char *logical_fault(const struct agent *agent, const char *name)
{
    const struct loop_logical *item = logical_item(agent, name);
    const struct pg_slot *slot = logical_slot(agent, name);
    if (item == NULL || !item->configured || agent->facts.probe.asked_ms == 0) {
        return NULL;
    }
    if (agent->facts.probe.slots_cut) {
        return "PostgreSQL has more replication slots than are looked at: drop those that nobody "
               "needs";
    }
    if (slot != NULL && pg_slot_is_lost(slot)) {
        return "it is lost: it is made anew";
    }
    if (!logical_is_standby(agent)) {
        return primary_fault(agent, item, slot);
    }
    return logical_is_safe(agent, name) ? NULL : standby_fault(agent, item, slot);
}
