/* What the disks of this node say, as a fact: the gravest one's kind, and since when. A change is
 * logged once, with the cause; while something is wrong each report asks for a decision, because
 * the limits that count from then on are no event of their own. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_able.h"
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

void disk_take(struct agent *agent, const struct pg_disk_state *state)
{
    struct loop_facts *facts = &agent->facts;
    const struct pg_disk_place *worst = pg_disk_worst(state);
    enum pg_disk_kind kind = worst == NULL ? PG_DISK_UNKNOWN : worst->kind;
    bool changed =
        kind != facts->disk || (worst != NULL && strcmp(worst->name, facts->disk_place) != 0);

    tell(agent, state);
    facts->disks = *state;
    /* From bad to worse is one trouble; what takes no writes counts from when that began. */
    bool same = ha_disk_is_low_or_worse(kind) && ha_disk_is_low_or_worse(facts->disk) &&
                ha_disk_takes_writes(kind) == ha_disk_takes_writes(facts->disk);
    if (changed && !same) {
        facts->disk_since_mono_ms = worst == NULL ? HA_NEVER : worst->since_ms;
    }
    facts->disk_before = kind == facts->disk ? facts->disk_before : facts->disk;
    facts->disk = kind;
    (void)snprintf(facts->disk_place, sizeof facts->disk_place, "%s",
                   worst == NULL ? "" : worst->name);
    if (changed || ha_disk_is_low_or_worse(kind)) {
        cycle_request(agent);
    }
    if (changed) {
        publish_request(agent);
    }
}
