/* What the disks of this node say, as a fact: the gravest one's kind, and since when. A change is
 * logged once, with the cause; while something is wrong each report asks for a decision, because
 * the limits that count from then on are no event of their own. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct pg_disk_limits disk_limits(const struct agent *agent)
{
    const struct dynamic_config *dynamic = &agent->dynamic;
    /* A write that takes as long as the rules ask for at least is told of well before that. */
    return (struct pg_disk_limits){
        .stall_ms = dynamic_disk_stall_timeout_ms(dynamic) / 2,
        .free_bytes_min = (uint64_t)dynamic->minimum_free_disk_bytes,
    };
}

void disk_limits_changed(struct agent *agent)
{
    if (agent->disk != NULL) {
        struct pg_disk_limits limits = disk_limits(agent);
        pg_disk_set_limits(agent->disk, &limits);
    }
}

enum pg_disk_kind disk_published(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool lately = agent_mono_ms(agent) - facts->disk_since_mono_ms < LOOP_DISK_GOOD_MS;
    bool was_bad = ha_disk_is_low_or_worse(facts->disk_before);
    return !ha_disk_is_low_or_worse(facts->disk) && was_bad && lately ? facts->disk_before
                                                                      : facts->disk;
}

static const struct pg_disk_place *find(const struct pg_disk_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++) {
        if (strcmp(state->places[i].name, name) == 0) {
            return &state->places[i];
        }
    }
    return NULL;
}

static void tell_place(const struct pg_disk_place *place)
{
    char cause[96] = "";

    if (place->kind == PG_DISK_UNKNOWN) {
        log_warning("the disk of '%s' cannot be tried: %s", place->name,
                    strerror(place->errno_value));
        return;
    }
    if (!ha_disk_is_low_or_worse(place->kind)) {
        log_info("the disk of '%s' takes writes again, %" PRIu64 " MiB are free", place->name,
                 place->free_bytes >> 20);
        return;
    }
    if (place->kind == PG_DISK_STALLED) {
        (void)snprintf(cause, sizeof cause, "a write has not come back for %" PRId64 " ms",
                       place->busy_ms);
    } else if (place->kind == PG_DISK_LOW) {
        (void)snprintf(cause, sizeof cause, "%" PRIu64 " MiB are free, see minimum_free_disk",
                       place->free_bytes >> 20);
    } else {
        (void)snprintf(cause, sizeof cause, "%s", strerror(place->errno_value));
    }
    log_error("the disk of '%s' is %s: %s", place->name, ha_disk_name(place->kind), cause);
}

static void tell(const struct agent *agent, const struct pg_disk_state *state)
{
    const struct pg_disk_state *before = &agent->facts.disks;

    if (state->error[0] != '\0') {
        if (strcmp(state->error, before->error) != 0) {
            log_warning("%s: what the disks do is not known until it is back", state->error);
        }
        return;
    }
    for (size_t i = 0; i < state->count; i++) {
        const struct pg_disk_place *place = &state->places[i];
        const struct pg_disk_place *known = find(before, place->name);
        bool was_wrong = known != NULL && ha_disk_is_low_or_worse(known->kind);
        /* A directory that is not made yet is none of its disk's troubles. */
        bool untried = place->kind == PG_DISK_UNKNOWN && place->errno_value != ENOENT &&
                       place->errno_value != EINPROGRESS;
        bool is_wrong = untried || ha_disk_is_low_or_worse(place->kind);
        if ((known == NULL || known->kind != place->kind) && (was_wrong || is_wrong)) {
            tell_place(place);
        }
    }
}

/* --- does the primary work all the same? ------------------------------------------------------ */

static void on_committed(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;

    agent->committing = false;
    agent->commits_lost += rc != 0 && rc != ERR_CANCELED ? 1 : 0;
    if (rc == 0 && agent->commit_sent_mono_ms >= agent->facts.run_since_mono_ms) {
        agent->facts.committed_mono_ms = agent->commit_sent_mono_ms;
    } else if (rc != 0 && rc != ERR_CANCELED) {
        log_debug("the disk seems not to take writes, and a commit does not go through: %s",
                  err->text);
    }
    if (agent->commits_lost == LOOP_COMMITS_LOST_MAX) {
        log_info("%d commits have not gone through: none is tried any more before the disk takes "
                 "writes",
                 LOOP_COMMITS_LOST_MAX);
    }
}

/* A write of the child is not what a primary is there for: before its term ends over one, a commit
 * is tried, of none but this cluster's. One at a time, and not without end: each that hangs leaves
 * a backend that does. In pause no term ends. */
static void try_commit(struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    struct error err = {0};

    if (agent->committing || agent->pg == NULL || agent->stopping || agent_is_paused(agent) ||
        !parameters_are_for_ours(agent) || facts->run != HA_RUN_RUNNING ||
        facts->probe.role != PG_PRIMARY || ha_disk_takes_writes(facts->disk) ||
        facts->disk == PG_DISK_FULL || !facts->disk_has_wal ||
        agent->commits_lost >= LOOP_COMMITS_LOST_MAX) {
        return;
    }
    agent->commit_sent_mono_ms = agent_mono_ms(agent);
    agent->committing =
        pg_instance_try_commit(agent->pg, dynamic_disk_stall_timeout_ms(&agent->dynamic),
                               on_committed, agent, &err) == 0;
}

/* A commit speaks for the disk of the WAL, and for no other one. */
static bool has_wal(const struct pg_disk_state *state, const struct pg_disk_place *worst)
{
    return worst != NULL && (strcmp(worst->name, "pg_wal") == 0 || find(state, "pg_wal") == NULL);
}

/* --- are the others' disks well? -------------------------------------------------------------- */

/* The leader's record asks all the others: who has read it, and has a disk that has taken a write
 * since, says so in its own. */
void disk_take_view(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    const struct ha_member *own = ha_cluster_member(&facts->cluster, agent->config->name);
    const struct ha_member *leader = ha_cluster_member(&facts->cluster, facts->cluster.leader);
    bool told = own != NULL && ha_disk_is_low_or_worse(own->disk) &&
                ha_disk_is_low_or_worse(facts->disk) && own->mod_revision > facts->trouble_floor;
    bool asked = leader != NULL && leader != own && ha_disk_is_low_or_worse(leader->disk);

    if (facts->trouble_floor == 0) { /* it began before there was a view: that may be an old one */
        facts->trouble_floor = facts->cluster.revision;
    } else if (told && facts->trouble_revision == 0) {
        facts->trouble_revision = own->mod_revision;
    }
    if (!asked) {
        facts->asked_revision = 0;
        facts->disk_answers = 0;
    } else if (facts->asked_revision == facts->disk_answers) { /* one after the other */
        facts->asked_revision = leader->mod_revision;
        facts->asked_mono_ms = agent_mono_ms(agent);
    }
}

/* A write that is under way may have begun before, and hang. */
static void answer(struct agent *agent, enum pg_disk_kind kind, const struct pg_disk_state *state)
{
    struct loop_facts *facts = &agent->facts;
    bool idle = kind == PG_DISK_GOOD;

    for (size_t i = 0; i < state->count; i++) {
        idle = idle && (!state->places[i].instance || state->places[i].busy_ms == 0);
    }
    if (facts->asked_revision != facts->disk_answers && idle &&
        agent_mono_ms(agent) - facts->asked_mono_ms >= LOOP_DISK_ANSWER_MS) {
        facts->disk_answers = facts->asked_revision;
        publish_request(agent);
    }
}

/* --- the fact --------------------------------------------------------------------------------- */

/* What is wrong, by what is done about it: each has its own time. One that stalls after an error
 * is the same trouble; one that was full and stalls has just begun to. */
static bool is_same_trouble(enum pg_disk_kind kind, enum pg_disk_kind before)
{
    return kind == before || (kind >= PG_DISK_FULL && before >= PG_DISK_STALLED);
}

void disk_take(struct agent *agent, const struct pg_disk_state *state)
{
    struct loop_facts *facts = &agent->facts;
    const struct pg_disk_place *worst = pg_disk_worst(state);
    enum pg_disk_kind kind = worst == NULL ? PG_DISK_UNKNOWN : worst->kind;
    bool changed =
        kind != facts->disk || (worst != NULL && strcmp(worst->name, facts->disk_place) != 0);
    bool another = changed && !is_same_trouble(kind, facts->disk);

    liveness_awake(agent);
    tell(agent, state);
    facts->disks = *state;
    if (another) {
        facts->disk_since_mono_ms = worst == NULL ? HA_NEVER : worst->since_ms;
    }
    if (another || !ha_disk_is_low_or_worse(facts->disk)) {
        /* Whoever answers that one of before may have its own disk stall by now. */
        facts->trouble_floor = facts->cluster.revision;
        facts->trouble_revision = 0;
    }
    if (ha_disk_takes_writes(kind)) {
        agent->commits_lost = 0;
    }
    facts->disk_before = kind == facts->disk ? facts->disk_before : facts->disk;
    facts->disk = kind;
    facts->disk_has_wal = has_wal(state, worst);
    (void)snprintf(facts->disk_place, sizeof facts->disk_place, "%s",
                   worst == NULL ? "" : worst->name);
    if (changed || ha_disk_is_low_or_worse(kind)) {
        cycle_request(agent);
    }
    if (changed) {
        publish_request(agent);
    }
    try_commit(agent);
    answer(agent, kind, state);
}
