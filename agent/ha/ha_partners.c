/* By what their records say. The Raft group has no records of those that are down, but knows that
 * they are there; an etcd knows nothing of who has not come yet. */
#include "agent/ha/ha_partners.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_timeline.h"

#include <stdio.h>
#include <string.h>

const char *ha_data_name(enum ha_data data)
{
    switch (data) {
    case HA_DATA_NONE: return "none";
    case HA_DATA_VALID: return "valid";
    case HA_DATA_UNUSABLE: return "unusable";
    case HA_DATA_NOT_TOLD: break;
    }
    return "not_told";
}

enum ha_data ha_data_own(const struct ha_snapshot *s)
{
    if (!s->self.directory_known) {
        return HA_DATA_NOT_TOLD;
    }
    switch (s->self.directory) {
    case PG_DIR_MISSING:
    case PG_DIR_EMPTY: return HA_DATA_NONE;
    case PG_DIR_VALID: return s->self.system_id[0] == '\0' ? HA_DATA_NOT_TOLD : HA_DATA_VALID;
    case PG_DIR_UNFINISHED:
        return s->self.unfinished == PG_UNFINISHED_REWIND ? HA_DATA_UNUSABLE : HA_DATA_NONE;
    case PG_DIR_FOREIGN: return HA_DATA_UNUSABLE;
    case PG_DIR_BROKEN: /* these may pass: a disk that is not mounted yet, an owner to be mended */
    case PG_DIR_UNREADABLE:
    case PG_DIR_DOUBTFUL: break;
    }
    return HA_DATA_NOT_TOLD;
}

/* What it told before its node went away may be so no more when it comes back: somebody may be
 * restoring its data. Of who is asked by REST the end of its record has to do. */
static bool is_gone(const struct ha_snapshot *s, const struct ha_member *member)
{
    const struct ha_peer *peer = ha_peer(s, member->name);
    return !ha_is_me(s, member->name) && peer != NULL && peer->silent_ms == 0 &&
           !ha_is_heard(s, member->name);
}

/* Until then a record may be the one of before. */
static int64_t told_anew_ms(const struct ha_snapshot *s)
{
    return s->partner_gone_mono_ms == HA_NEVER ? HA_NEVER
                                               : s->partner_gone_mono_ms + s->settings.ttl_ms;
}

static bool has_told(const struct ha_snapshot *s, const struct ha_member *member)
{
    return member->data != HA_DATA_NOT_TOLD && !is_gone(s, member) &&
           s->now_mono_ms >= told_anew_ms(s);
}

bool ha_nobody_has_led(const struct ha_snapshot *s)
{
    return s->cluster.known && ha_cluster_epoch(&s->cluster).revision == 0;
}

bool ha_data_is_of_primary(const struct ha_snapshot *s)
{
    return s->self.run == HA_RUN_RUNNING || s->self.run == HA_RUN_STARTING
               ? s->self.role == PG_PRIMARY
               : ha_was_primary(s);
}

uint32_t ha_data_timeline(const struct ha_snapshot *s)
{
    uint32_t known = ha_timeline_own(s);
    return s->self.wal_timeline > known ? s->self.wal_timeline : known;
}

uint32_t ha_partner_timeline(const struct ha_member *member)
{
    return member->data_timeline > member->timeline ? member->data_timeline : member->timeline;
}

/* < 0: theirs are older, > 0: newer; 0: neither, or of another cluster, or nobody can tell. */
static int compare(const struct ha_snapshot *s, const struct ha_member *member)
{
    uint32_t timeline = ha_partner_timeline(member);
    uint64_t lsn = member->data_lsn != 0 ? member->data_lsn : member->lsn;
    uint32_t own = ha_data_timeline(s);
    bool primary = ha_data_is_of_primary(s);
    if (member->data != HA_DATA_VALID || timeline == 0 || own == 0 ||
        strcmp(member->data_system_id, s->self.system_id) != 0) {
        return 0;
    }
    if (timeline != own) {
        return timeline < own ? -1 : 1;
    }
    if (member->data_of_primary != primary) {
        return primary ? -1 : 1; /* whatever a standby has of a timeline comes from its primary */
    }
    return lsn < s->self.lsn ? -1 : lsn > s->self.lsn ? 1 : 0;
}

/* Of data of ours beside those of others. */
static bool age_counts(const struct ha_snapshot *s)
{
    return ha_nobody_has_led(s) && !s->settings.standby_cluster && ha_data_own(s) == HA_DATA_VALID;
}

const struct ha_member *ha_partner_newer(const struct ha_snapshot *s)
{
    if (!age_counts(s)) {
        return NULL;
    }
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (!ha_is_me(s, member->name) && compare(s, member) > 0) {
            return member;
        }
    }
    return NULL;
}

bool ha_partners_prove_newest(const struct ha_snapshot *s)
{
    bool older_primary = false;
    if (!age_counts(s)) {
        return false;
    }
    for (size_t i = 0; i < s->peer_count; i++) {
        const struct ha_peer *peer = &s->peers[i];
        const struct ha_member *member = ha_cluster_member(&s->cluster, peer->name);
        if (peer->witness || ha_is_me(s, peer->name)) {
            continue;
        }
        if (member == NULL || peer->silent_ms != 0 || !has_told(s, member)) {
            return false;
        }
        if (member->data == HA_DATA_VALID &&
            (member->data_system_id[0] == '\0' || ha_partner_timeline(member) == 0)) {
            return false; /* of an earlier release, which does not say how old they are */
        }
        older_primary = older_primary || (member->data_of_primary && compare(s, member) < 0);
    }
    return older_primary && ha_partner_newer(s) == NULL;
}

const struct ha_member *ha_partner_with_data(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (!ha_is_me(s, member->name) && member->data == HA_DATA_VALID) {
            return member;
        }
    }
    return NULL;
}

bool ha_partner_is_gone(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        if (is_gone(s, &s->cluster.members[i])) {
            return true;
        }
    }
    return false;
}

/* Names that do not fit are still waited for. */
static void add(char names[HA_PARTNERS_BYTES], const char *name)
{
    size_t len = strlen(names);
    (void)snprintf(names + len, HA_PARTNERS_BYTES - len, "%s'%s'", len == 0 ? "" : ", ", name);
}

/* Records that may be of members of the group which have not said their names there: that comes an
 * election timeout after the group, and is not waited for. */
static size_t records_of_unnamed(const struct ha_snapshot *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const char *name = s->cluster.members[i].name;
        count += !ha_is_me(s, name) && ha_peer(s, name) == NULL;
    }
    return count;
}

bool ha_partners_are_awaited(const struct ha_snapshot *s, char ret_names[HA_PARTNERS_BYTES],
                             int64_t *ret_until_mono_ms)
{
    size_t accounted = records_of_unnamed(s);
    int64_t since_ms = s->owner.seen_mono_ms > s->unlocked_since_mono_ms
                           ? s->owner.seen_mono_ms
                           : s->unlocked_since_mono_ms;
    int64_t until_ms = since_ms + HA_PARTNERS_TTLS * s->settings.ttl_ms;
    ret_names[0] = '\0';
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (!ha_is_me(s, member->name) && !has_told(s, member)) {
            add(ret_names, member->name);
        }
    }
    for (size_t i = 0; i < s->peer_count; i++) {
        const struct ha_peer *peer = &s->peers[i];
        if (peer->witness || ha_is_me(s, peer->name) ||
            ha_cluster_member(&s->cluster, peer->name) != NULL) {
            continue;
        }
        if (peer->unnamed && accounted > 0) {
            accounted--;
        } else {
            add(ret_names, peer->name);
        }
    }
    if (s->owner.name[0] != '\0' && ha_cluster_member(&s->cluster, s->owner.name) == NULL &&
        ha_peer(s, s->owner.name) == NULL) {
        add(ret_names, s->owner.name);
    }
    int64_t anew_ms = told_anew_ms(s);
    bool sooner = anew_ms > s->now_mono_ms && anew_ms < until_ms;
    *ret_until_mono_ms = sooner ? anew_ms : until_ms;
    return ret_names[0] != '\0' && s->now_mono_ms < until_ms;
}
