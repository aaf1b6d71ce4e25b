/* Who is wanted as a synchronous standby, by what its member says and what PostgreSQL shows. */
#include "agent/loop/sync.h"

#include "agent/ha/ha_able.h"
#include "agent/loop/loop.h"
#include "pgctl/pg_parse.h"

#include <string.h>
#include <strings.h>

/* Also one whose key has run out. Others have no slot by their name, and may be waited for by the
 * setting of before. */
static bool is_members_name(const struct ha_cluster *cluster, const char *name)
{
    bool is = strcasecmp(cluster->sync.leader, name) == 0;
    for (size_t i = 0; !is && i < cluster->sync.standby_count; i++) {
        is = strcasecmp(cluster->sync.standbys[i].name, name) == 0;
    }
    for (size_t i = 0; !is && i < cluster->member_count; i++) {
        is = strcasecmp(cluster->members[i].name, name) == 0;
    }
    return is;
}

bool sync_is_stranger(const struct agent *agent, const struct pg_walsender *walsender)
{
    char slot[PG_NAME_BYTES];
    pg_slot_name(walsender->name, slot);
    return agent->dynamic.use_slots && walsender->streaming && strcmp(walsender->slot, slot) != 0 &&
           is_members_name(&agent->facts.cluster, walsender->name);
}

static const struct pg_walsender *streams(const struct agent *agent,
                                          const struct pg_sync_look *look, const char *name)
{
    for (size_t i = 0; i < look->count; i++) {
        const struct pg_walsender *walsender = &look->walsenders[i];
        if (walsender->streaming && walsender->flush_lsn > 0 &&
            strcasecmp(walsender->name, name) == 0 && !sync_is_stranger(agent, walsender)) {
            return walsender;
        }
    }
    return NULL;
}

/* A name that says the same to PostgreSQL, which takes capitals for small letters, as to whoever
 * reads the key `sync`, a list with commas. Of two members that are one to PostgreSQL, it would be
 * the wrong one that runs for the key. */
static bool is_unambiguous(const struct ha_cluster *cluster, const struct ha_member *member)
{
    const char *name = member->name;
    size_t len = strlen(name);
    bool alone = true;
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct ha_member *other = &cluster->members[i];
        alone = alone && (other == member || strcasecmp(other->name, name) != 0);
    }
    return alone && len > 0 && strcmp(name, "*") != 0 && strcasecmp(name, SYNC_NOBODY_NAME) != 0 &&
           strchr(name, ',') == NULL && name[0] != ' ' && name[len - 1] != ' ';
}

/* Whoever writes no reports could not say at an election how far it is; whose disk takes no writes
 * would hold up every commit. */
static bool can_confirm(const struct ha_cluster *cluster, const struct ha_member *member)
{
    return member->reports && !member->tags.nosync && !member->tags.nostream &&
           strcmp(member->state, "running") == 0 && ha_disk_takes_writes(member->disk) &&
           is_unambiguous(cluster, member);
}

void sync_target(const struct agent *agent, struct sync_names *names,
                 const struct pg_sync_look *look, struct ha_sync_setting now,
                 struct ha_sync_target *ret_target)
{
    const struct dynamic_config *dynamic = &agent->dynamic;
    const struct ha_cluster *cluster = &agent->facts.cluster;
    struct ha_sync_candidate candidates[HA_MEMBERS_MAX];
    size_t count = 0;
    const struct ha_sync_wishes wishes = {
        .any = sync_is_quorum(agent),
        .node_count = (unsigned)dynamic->synchronous_node_count,
        .lag_max = dynamic->maximum_lag_on_syncnode_bytes,
        .position = look == NULL ? 0 : look->position,
    };

    *ret_target = (struct ha_sync_target){.on = sync_is_on(agent),
                                          .strict = dynamic->synchronous_mode_strict};
    for (size_t i = 0; ret_target->on && look != NULL && i < cluster->member_count; i++) {
        const struct ha_member *member = &cluster->members[i];
        const struct pg_walsender *walsender = streams(agent, look, member->name);
        bool self = strcmp(member->name, agent->config->name) == 0;
        unsigned name = self || walsender == NULL || !can_confirm(cluster, member)
                            ? HA_SYNC_NAMES_MAX
                            : sync_names_bit(names, member->name);
        if (name != HA_SYNC_NAMES_MAX) {
            memcpy(names->names[name], member->name, sizeof member->name); /* capitals as here */
            candidates[count++] = (struct ha_sync_candidate){.name = name,
                                                             .priority = member->tags.sync_priority,
                                                             .chosen = (now.names >> name & 1) != 0,
                                                             .nofailover = member->tags.nofailover,
                                                             .lsn = walsender->flush_lsn};
        }
    }
    ha_sync_pick(candidates, count, &wishes, ret_target);
}
