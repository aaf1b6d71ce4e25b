/* Who has said yes does not run for one ttl from then; who is not in the key never runs, because
 * the primary does not ask it; and who has just started does not know what it said before. Any of
 * these left out, and somebody takes the key while the primary believes that nobody will.
 *
 * So the key must not get a name behind the back of a round. A leader writes it anew at the
 * beginning of its epoch (what an earlier one has sent compares an older revision and fails), and
 * not while its lease stands by such a round. An agent that was started again cannot know by what
 * the lease that it finds stands: it writes nothing before a renewal of its own.
 *
 * Nor is it enough that the mode is off: a primary that has lost the store does not hear of that.
 * The key tells: while it has names, and is of the last epoch, its leader may go by them; and where
 * it is older, the last leader may have made that epoch without having heard of it, and go on in
 * the one before. A leader that knows that the mode is off empties the key. */
#include "agent/ha/ha_failsafe.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"

#include <string.h>

bool ha_failsafe_binds(const struct ha_snapshot *s)
{
    return s->now_lease_ms < s->failsafe.until_lease_ms;
}

int64_t ha_failsafe_until_mono_ms(const struct ha_snapshot *s, int64_t until_lease_ms)
{
    return s->now_mono_ms + (until_lease_ms - s->now_lease_ms) + 1;
}

static bool last_leader_may_ask(const struct ha_snapshot *s)
{
    const char *holder = ha_cluster_last_holder(&s->cluster);
    return s->failsafe.possible && s->cluster.failsafe_count > 0 &&
           (s->cluster.failsafe_revision > ha_cluster_epoch(&s->cluster).revision ||
            ha_cluster_failsafe(&s->cluster, holder) != NULL);
}

const char *ha_failsafe_obstacle(const struct ha_snapshot *s, int64_t *ret_until_mono_ms)
{
    int64_t forgotten_until_ms = s->failsafe.start_lease_ms + s->settings.ttl_ms;
    if (ha_failsafe_binds(s)) {
        *ret_until_mono_ms = ha_failsafe_until_mono_ms(s, s->failsafe.until_lease_ms);
        return "a primary in failsafe mode was promised to be left alone";
    }
    if (s->cluster.failsafe_count == 0 || (!s->settings.failsafe_mode && !last_leader_may_ask(s))) {
        return NULL;
    }
    if (ha_cluster_failsafe(&s->cluster, s->self.name) == NULL) {
        *ret_until_mono_ms = HA_NEVER;
        return s->settings.failsafe_mode
                   ? "failsafe_mode: not in the key failsafe, so a primary would not have asked us"
                   : "failsafe_mode was on: not in the key failsafe, and the last primary may not "
                     "know yet that it is off; remove the key if that primary has stopped";
    }
    if (s->now_lease_ms < forgotten_until_ms) {
        *ret_until_mono_ms = ha_failsafe_until_mono_ms(s, forgotten_until_ms);
        return "failsafe_mode: started less than a ttl ago, and may have promised something before";
    }
    return NULL;
}

static bool is_listed(const struct ha_snapshot *s, const struct ha_member *member)
{
    const struct ha_failsafe_member *listed = ha_cluster_failsafe(&s->cluster, member->name);
    return listed != NULL && strcmp(listed->api_url, member->api_url) == 0;
}

bool ha_failsafe_is_outdated(const struct ha_snapshot *s)
{
    size_t reachable = 0;
    bool outdated = false;
    if (s->failsafe.active || !s->holding.renewed) {
        return false;
    }
    if (!s->settings.failsafe_mode) {
        return s->failsafe.possible && s->cluster.failsafe_count > 0;
    }
    if (ha_cluster_member(&s->cluster, s->self.name) == NULL) {
        return false; /* without our own key our address is not known yet */
    }
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        const struct ha_member *member = &s->cluster.members[i];
        if (member->api_url[0] != '\0') {
            reachable++;
            outdated = outdated || !is_listed(s, member);
        }
    }
    return outdated || s->failsafe.unsure || reachable != s->cluster.failsafe_count ||
           s->cluster.failsafe_revision < s->cluster.leader_epoch.revision;
}
