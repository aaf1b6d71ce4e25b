/* PURE. See the header. A takeover begins when another node's key is seen to be gone, or, where it
 * was deposed, when ours is there in its place; it counts once PostgreSQL here takes writes. What
 * is given up before that counts for nothing. */
#include "agent/ha/ha_takeover.h"

#include "agent/ha/ha_facts.h"

#include <stdio.h>
#include <string.h>

static void saw_other_leader(struct ha_takeovers *t, const struct ha_snapshot *s)
{
    const struct ha_peer *peer = ha_peer(s, s->cluster.leader);
    (void)snprintf(t->leader, sizeof t->leader, "%s", s->cluster.leader);
    t->heard_mono_ms = peer == NULL ? HA_NEVER : peer->heard_mono_ms;
    t->gone = false;
    t->taking = false;
}

static enum ha_takeover_cause cause_of(const struct ha_takeovers *t, const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (failover->present && failover->scheduled_wall_ms <= s->now_wall_ms) {
        return failover->leader[0] != '\0' ? HA_TAKEOVER_SWITCHOVER : HA_TAKEOVER_FAILOVER;
    }
    bool heard = t->heard_mono_ms != HA_NEVER &&
                 t->gone_mono_ms - t->heard_mono_ms <= s->settings.election_timeout_ms;
    return heard ? HA_TAKEOVER_RELEASED : HA_TAKEOVER_EXPIRED;
}

static void saw_no_leader(struct ha_takeovers *t, const struct ha_snapshot *s)
{
    if (t->leader[0] != '\0' && !t->gone) {
        t->gone = true;
        t->gone_mono_ms =
            s->unlocked_since_mono_ms == HA_NEVER ? s->now_mono_ms : s->unlocked_since_mono_ms;
        t->cause = cause_of(t, s);
    }
}

static void took(struct ha_takeovers *t, const struct ha_snapshot *s)
{
    t->epoch = s->holding.epoch;
    t->acquired_mono_ms = s->holding.since_mono_ms;
    t->taking = t->leader[0] != '\0'; /* else the key was ours before, or nobody's */
    if (!t->gone) {
        t->gone_mono_ms = t->acquired_mono_ms;
        t->cause = HA_TAKEOVER_DEPOSED;
    }
}

static void count(struct ha_takeovers *t, int64_t now_mono_ms)
{
    int64_t *sum_ms = t->by_cause[t->cause].sum_ms;
    t->by_cause[t->cause].count++;
    if (t->heard_mono_ms != HA_NEVER && t->gone_mono_ms > t->heard_mono_ms) {
        sum_ms[HA_PHASE_LEASE] += t->gone_mono_ms - t->heard_mono_ms;
    }
    sum_ms[HA_PHASE_ELECTION] += t->acquired_mono_ms - t->gone_mono_ms;
    sum_ms[HA_PHASE_PROMOTION] += now_mono_ms - t->acquired_mono_ms;
}

void ha_takeovers_look(struct ha_takeovers *t, const struct ha_snapshot *s)
{
    const struct ha_holding *holding = &s->holding;
    bool ours = holding->held && ha_epoch_equal(holding->epoch, holding->acquired);
    if (ours && !ha_epoch_equal(holding->epoch, t->epoch)) {
        took(t, s);
        t->leader[0] = '\0';
        t->gone = false;
    }
    if (t->taking && (!holding->held || s->settings.standby_cluster)) {
        t->taking = false;
    }
    if (t->taking && s->self.run == HA_RUN_RUNNING && s->self.role == PG_PRIMARY) {
        t->taking = false;
        count(t, s->now_mono_ms);
    }
    if (holding->held || !s->cluster.known) {
        return;
    }
    if (s->cluster.leader[0] == '\0') {
        saw_no_leader(t, s);
    } else if (strcmp(s->cluster.leader, s->self.name) != 0) {
        saw_other_leader(t, s);
    }
}

const char *ha_takeover_cause_name(enum ha_takeover_cause cause)
{
    static const char *const names[] = {
#define HA_TAKEOVER_NAME(name, word) word,
        HA_TAKEOVER_CAUSES(HA_TAKEOVER_NAME)};
    return names[cause];
}

const char *ha_takeover_phase_name(enum ha_takeover_phase phase)
{
    static const char *const names[] = {HA_TAKEOVER_PHASES(HA_TAKEOVER_NAME)
#undef HA_TAKEOVER_NAME
    };
    return names[phase];
}
