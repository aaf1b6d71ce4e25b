/* A standby's look at its primary: which slots that has, what it keeps for ours, and from that
 * whether a copy is due, and may be used. Why, logical.c says. */
#include "agent/loop/logical_private.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/member_url.h"
#include "agent/loop/restart.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <stdio.h>
#include <string.h>

enum {
    ASK_MS = 10000,
    COPY_AGAIN_MS_MIN = 60000,
    COPY_AGAIN_MS_MAX = 3600000,
    COPY_TURN_MS = 10000, /* standbys restart one after the other */
};

static size_t rank(const struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    size_t before = 0;
    for (size_t i = 0; i < cluster->member_count; i++) {
        const char *name = cluster->members[i].name;
        before += strcmp(name, cluster->leader) != 0 && strcmp(name, agent->config->name) < 0;
    }
    return before;
}

static bool others_run(const struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    bool run = true;
    for (size_t i = 0; i < cluster->member_count; i++) {
        run = run && strcmp(cluster->members[i].state, "running") == 0;
    }
    return run;
}

/* The others are there while this one is not. Who waits in vain goes all the same: one that is down
 * for good is no reason to have no slots. */
static bool is_my_turn(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    int64_t now = agent_mono_ms(agent);
    if (all->wanted_mono_ms == 0) {
        all->wanted_mono_ms = now;
    }
    int64_t waited_ms = now - all->wanted_mono_ms;
    int64_t turn_ms = (int64_t)rank(agent) * (COPY_TURN_MS / 2 + 3 * agent->dynamic.loop_wait_ms);
    return (waited_ms >= turn_ms && others_run(agent)) ||
           waited_ms >= 6 * turn_ms + COPY_AGAIN_MS_MIN;
}

static bool may_copy(struct agent *agent, const struct logical_plan *plan)
{
    const struct loop_logicals *all = &agent->logical;
    bool missing = false;
    for (size_t i = 0; i < plan->wish_count; i++) {
        missing = missing || logical_next_of(agent, &plan->wishes[i]) == PG_LOGICAL_COPY;
    }
    if (!missing) {
        agent->logical.wanted_mono_ms = 0;
        return false;
    }
    return agent->facts.probe.feedback && !agent_is_paused(agent) &&
           agent->restart.now.phase == HA_RESTART_NONE &&
           agent_mono_ms(agent) >= all->copy_again_mono_ms && is_my_turn(agent);
}

static bool is_all_safe(const struct agent *agent, const struct logical_plan *plan)
{
    bool safe = true;
    for (size_t i = 0; i < plan->wish_count; i++) {
        const struct loop_logical *item = logical_item(agent, plan->wishes[i].name);
        bool there = logical_slot(agent, plan->wishes[i].name) != NULL;
        safe = safe && (!there || (item != NULL && item->safe && item->kept));
    }
    return safe;
}

/* A restart that did not bring it: its WAL was removed meanwhile, say. */
static void look_failed(struct agent *agent)
{
    for (size_t i = 0; i < agent->logical.count; i++) {
        struct loop_logical *item = &agent->logical.items[i];
        if (item->coming && agent->restart.now.phase == HA_RESTART_NONE) {
            const char *fault = pg_instance_copy_fault(agent->pg, item->name);
            item->coming = false;
            log_warning("the logical replication slot '%s' was not copied: %s", item->name,
                        fault[0] == '\0' ? "PostgreSQL was not restarted, or has it not" : fault);
        }
    }
}

/* The same words once for each. */
static void tell_fault(struct loop_logical *item, const char *fault)
{
    char text[sizeof item->told_fault];
    (void)snprintf(text, sizeof text, "%s", fault);
    if (strcmp(text, item->told_fault) != 0) {
        memcpy(item->told_fault, text, sizeof text);
        log_warning("the logical replication slot '%s' cannot be copied: %s", item->name, text);
    }
}

static bool order_restart(struct agent *agent)
{
    struct loop_logicals *all = &agent->logical;
    const struct restart_wish wish = {.filter = {.role = "replica"}};
    struct error err = {0};
    unsigned number = 0;
    int64_t wait_ms = 0;
    int64_t now = agent_mono_ms(agent);

    int rc = restart_order(agent, &wish, &number, &wait_ms, &err);
    if (rc != 0) {
        all->copy_again_mono_ms = now + agent->dynamic.loop_wait_ms;
        log_info("copying logical replication slots needs a restart, which has to wait: %s",
                 err.text);
        return false;
    }
    log_info("restarting PostgreSQL to copy logical replication slots");
    /* Also where each one comes, and is lost again soon: a standby that restarts every minute would
     * be worse than one without the slot. */
    bool often = all->copy_wait_ms != 0 && now - all->copy_again_mono_ms < COPY_AGAIN_MS_MAX;
    all->copy_wait_ms = !often                                      ? COPY_AGAIN_MS_MIN
                        : all->copy_wait_ms * 2 < COPY_AGAIN_MS_MAX ? all->copy_wait_ms * 2
                                                                    : COPY_AGAIN_MS_MAX;
    all->copy_again_mono_ms = now + all->copy_wait_ms;
    return true;
}

static void take_copies(struct agent *agent, const struct pg_logical_seen *seen)
{
    struct loop_logical *fetched[PG_SLOTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < seen->count; i++) {
        const struct pg_logical_there *there = &seen->slots[i];
        struct loop_logical *item = logical_item(agent, there->name);
        bool missing = item != NULL && logical_slot(agent, there->name) == NULL;
        if (missing && there->fetched) {
            fetched[count++] = item;
        } else if (missing) {
            tell_fault(item, there->fault);
        }
    }
    bool ordered = count > 0 && order_restart(agent);
    for (size_t i = 0; ordered && i < count; i++) {
        fetched[i]->coming = true;
    }
}

static void doubt(struct loop_logical *item)
{
    item->safe = item->kept = false;
    item->doubted = true;
    item->horizon = 0;
}

/* The primary has none of that name: ours is of one that is gone. */
static void doubt_absent(struct agent *agent, const struct pg_logical_seen *seen)
{
    for (size_t i = 0; i < agent->logical.count; i++) {
        struct loop_logical *item = &agent->logical.items[i];
        bool there = false;
        for (size_t j = 0; j < seen->count; j++) {
            there = there || strcmp(seen->slots[j].name, item->name) == 0;
        }
        if (!there) {
            doubt(item);
        }
    }
}

static void compare(struct agent *agent, const struct pg_logical_seen *seen,
                    const struct pg_logical_there *there)
{
    struct loop_logical *item = logical_item(agent, there->name);
    const struct pg_slot *slot = logical_slot(agent, there->name);
    if (item == NULL || slot == NULL || slot->catalog_xmin == 0) {
        return;
    }
    if (seen->physical_xmin == 0 || there->lost) {
        if (item->safe) {
            log_warning("the primary keeps nothing for the logical replication slot '%s' any more",
                        item->name);
        }
        doubt(item);
        return;
    }
    if (item->horizon == 0 && !pg_xid_before(slot->catalog_xmin, seen->physical_xmin)) {
        item->horizon = there->catalog_xmin;
    }
    /* A consumer that has confirmed more than is replayed here would miss what a promotion puts in
     * its place. */
    if (!item->safe && item->horizon != 0 && !pg_xid_before(slot->catalog_xmin, item->horizon) &&
        slot->confirmed_lsn <= agent->facts.probe.replay_lsn) {
        item->safe = true;
        item->copied = item->doubted = false;
        agent->logical.asked_mono_ms = 0; /* that is to be noted at once */
        log_info("the logical replication slot '%s' is good for a failover", item->name);
    }
}

static void on_seen(void *arg, int rc, const struct pg_logical_seen *seen, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_logicals *all = &agent->logical;

    all->asking = false;
    if (rc != 0) {
        if (rc != ERR_CANCELED && !all->ask_failed) {
            log_warning("%s, retrying", err->text);
        }
        all->ask_failed = rc != ERR_CANCELED;
        return;
    }
    all->ask_failed = false;
    for (size_t i = 0; i < all->count; i++) {
        all->items[i].kept = all->items[i].kept || (all->items[i].keeping && all->items[i].safe);
    }
    if (all->asked_marks) {
        observe_probe_soon(agent); /* which reads them */
    }
    if (!logical_is_standby(agent) || agent->facts.run != HA_RUN_RUNNING ||
        !ha_epoch_equal(all->asked_epoch, agent->facts.cluster.leader_epoch)) {
        return;
    }
    if (seen->timeline == 0) {
        return; /* it leads no longer */
    }
    all->seen_timeline = seen->timeline;
    doubt_absent(agent, seen);
    for (size_t i = 0; i < seen->count; i++) {
        compare(agent, seen, &seen->slots[i]);
    }
    if (all->asked_copies) {
        take_copies(agent, seen);
    }
}

/* What is to be noted: `good` ones, */
static size_t good_ones(struct agent *agent, const char *ret_names[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < agent->logical.count; i++) {
        struct loop_logical *item = &agent->logical.items[i];
        item->keeping = item->safe && !item->kept && agent->logical.seen_timeline != 0 &&
                        count < DYNAMIC_SLOTS_MAX;
        if (item->keeping) {
            ret_names[count++] = item->name;
        }
    }
    return count;
}

/* and others, of which that is not noted yet. One that was good under this very primary, before the
 * agent was started, is so until something else is seen. */
static size_t doubted_ones(const struct agent *agent, const char *ret_names[DYNAMIC_SLOTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < agent->logical.count && count < DYNAMIC_SLOTS_MAX; i++) {
        const struct loop_logical *item = &agent->logical.items[i];
        const struct pg_slot *slot = logical_slot(agent, item->name);
        bool good = slot != NULL && slot->marked &&
                    slot->good_timeline >= agent->facts.probe.timeline && !item->copied &&
                    !item->doubted;
        bool noted = slot != NULL && slot->marked && slot->good_timeline == 0;
        if (slot != NULL && !item->safe && !good && !noted) {
            ret_names[count++] = item->name;
        }
    }
    return count;
}

static bool is_streaming_standby(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    return facts->run == HA_RUN_RUNNING && facts->probe.asked_ms > 0 && logical_is_standby(agent) &&
           facts->config_revision >= 0 && facts->upstream.streaming && !agent->lease.held &&
           facts->cluster.leader[0] != '\0' &&
           strcmp(facts->cluster.leader, agent->config->name) != 0;
}

void logical_look(struct agent *agent)
{
    enum { POSTGRES_PORT = 5432 };
    struct loop_logicals *all = &agent->logical;
    const struct ha_cluster *cluster = &agent->facts.cluster;
    char host[PG_HOST_BYTES];
    char physical[PG_NAME_BYTES];
    struct logical_plan plan;
    struct error err = {0};
    bool streams = false;

    if (all->asking || agent->stopping || !is_streaming_standby(agent) ||
        logical_is_native(agent) ||
        agent_mono_ms(agent) - all->asked_mono_ms < agent->dynamic.loop_wait_ms) {
        return;
    }
    look_failed(agent);
    logical_decide(agent, &plan);
    all->asked_copies = may_copy(agent, &plan);
    if (plan.wish_count == 0 || (is_all_safe(agent, &plan) && !all->asked_copies)) {
        return;
    }
    struct pg_logical_ask ask = {.host = host,
                                 .physical = physical,
                                 .wishes = plan.wishes,
                                 .wish_count = plan.wish_count,
                                 .copy = all->asked_copies};
    const char *good[DYNAMIC_SLOTS_MAX];
    const char *doubted[DYNAMIC_SLOTS_MAX];
    ask.good = (struct pg_lines){good, good_ones(agent, good)};
    ask.good_timeline = all->seen_timeline;
    ask.doubted = (struct pg_lines){doubted, doubted_ones(agent, doubted)};
    all->asked_marks = ask.good.count + ask.doubted.count > 0;
    const struct ha_member *leader = ha_cluster_member(cluster, cluster->leader);
    if (leader == NULL || !member_url_address(leader->conn_url, POSTGRES_PORT, host, &ask.port)) {
        return;
    }
    pg_slot_name(logical_next_to_leader(agent, &streams), physical);
    all->asked_mono_ms = agent_mono_ms(agent);
    all->asked_epoch = cluster->leader_epoch;
    all->asking = pg_instance_ask_logical(agent->pg, &ask, ASK_MS, on_seen, agent, &err) == 0;
}
