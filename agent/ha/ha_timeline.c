/* See ha_timeline.h and tests/models/timeline.pml. */
#include "agent/ha/ha_timeline.h"

#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_partners.h"

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t ha_timeline_own(const struct ha_snapshot *s)
{
    return larger(s->self.timeline, s->self.control_timeline);
}

uint32_t ha_timeline_retaken(const struct ha_snapshot *s)
{
    return larger(s->cluster.epoch_timeline, ha_timeline_own(s));
}

bool ha_timeline_is_unreserved(const struct ha_snapshot *s)
{
    return !s->settings.standby_cluster && s->cluster.epoch_timeline > 0 &&
           ha_timeline_own(s) > s->cluster.epoch_timeline;
}

uint32_t ha_timeline_next(const struct ha_snapshot *s)
{
    uint32_t highest = ha_timeline_own(s);
    highest = larger(highest, s->cluster.epoch_timeline);
    highest = larger(highest, s->cluster.history_timeline);
    for (size_t i = 0; i < s->cluster.report_count; i++) {
        const struct ha_report *report = &s->cluster.reports[i];
        if (ha_report_is_current(s, report)) {
            highest = larger(highest, report->timeline);
        }
    }
    for (size_t i = 0; i < s->cluster.member_count; i++) {
        /* Patroni's reserve no number, and a server that is down may have one of an earlier store.
         */
        highest = larger(highest, ha_partner_timeline(&s->cluster.members[i]));
    }
    for (size_t i = 0; i < s->peer_count; i++) {
        highest = larger(highest, s->peers[i].timeline);
    }
    return highest + 1;
}
