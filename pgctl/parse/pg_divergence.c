/* Has this data directory WAL that the primary does not have? Then it must be rewound (or copied
 * anew) before it follows; if it followed as it is, it would serve rows that exist nowhere else, or
 * fail to start.
 *
 * A standby has diverged if it is past the point where the primary left its timeline. A former
 * primary has written a last checkpoint of its own: cleanly shut down it has diverged unless the
 * primary has that record too. One that died may have written anything behind its checkpoint, and
 * its crash recovery writes one more: it counts as diverged. */
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static enum pg_divergence because(char *ret_reason, enum pg_divergence divergence, const char *fmt,
                                  ...) __attribute__((format(printf, 3, 4)));

static enum pg_divergence because(char *ret_reason, enum pg_divergence divergence, const char *fmt,
                                  ...)
{
    if (ret_reason != NULL) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(ret_reason, PG_VALUE_BYTES, fmt, args);
        va_end(args);
    }
    return divergence;
}

struct pg_local_position pg_local_position_of(const struct pg_control *control)
{
    struct pg_local_position position = {.timeline = control->timeline,
                                         .lsn = control->checkpoint_lsn};

    switch (control->state) {
    case PG_CONTROL_SHUT_DOWN:
        position.was_primary = true;
        position.clean = true;
        break;
    case PG_CONTROL_IN_ARCHIVE_RECOVERY:
    case PG_CONTROL_SHUT_DOWN_IN_RECOVERY:
        position.clean = control->state == PG_CONTROL_SHUT_DOWN_IN_RECOVERY;
        if (control->min_recovery_lsn != 0) {
            position.lsn = control->min_recovery_lsn;
            position.timeline = control->min_recovery_timeline;
        } else { /* it has not replayed anything yet: what is there is what a primary left */
            position.was_primary = true;
            position.clean = true;
        }
        break;
    case PG_CONTROL_UNKNOWN:
    case PG_CONTROL_STARTING_UP:
    case PG_CONTROL_SHUTTING_DOWN:
    case PG_CONTROL_IN_CRASH_RECOVERY:
    case PG_CONTROL_IN_PRODUCTION: position.was_primary = true; break;
    }
    return position;
}

static enum pg_divergence decide_ancestor(const struct pg_local_position *local,
                                          uint64_t switch_lsn, char *ret_reason)
{
    char here[PG_LSN_BYTES];
    char there[PG_LSN_BYTES];
    (void)pg_lsn_format(local->lsn, here);
    (void)pg_lsn_format(switch_lsn, there);

    if (local->was_primary && !local->clean) {
        return because(ret_reason, PG_DIVERGENCE_REWIND,
                       "was a primary on timeline %" PRIu32
                       " and was not shut down; the primary left it at %s",
                       local->timeline, there);
    }
    if (local->was_primary ? local->lsn >= switch_lsn : local->lsn > switch_lsn) {
        return because(ret_reason, PG_DIVERGENCE_REWIND,
                       "at %s on timeline %" PRIu32 ", which the primary left at %s", here,
                       local->timeline, there);
    }
    return because(ret_reason, PG_DIVERGENCE_NONE,
                   "at %s on timeline %" PRIu32 ", before the primary left it at %s", here,
                   local->timeline, there);
}

enum pg_divergence pg_divergence_decide(const struct pg_local_position *local,
                                        uint32_t primary_timeline,
                                        const struct pg_history *primary_history, char *ret_reason)
{
    uint64_t switch_lsn = 0;

    if (local->timeline == 0 || local->lsn == 0 || primary_timeline == 0) {
        return because(ret_reason, PG_DIVERGENCE_UNKNOWN,
                       "position or the primary's timeline is not known");
    }
    if (local->timeline > primary_timeline) {
        return because(ret_reason, PG_DIVERGENCE_REWIND,
                       "on timeline %" PRIu32 ", the primary on the older %" PRIu32,
                       local->timeline, primary_timeline);
    }
    if (local->timeline == primary_timeline) {
        return because(ret_reason, PG_DIVERGENCE_NONE, "on the primary's timeline %" PRIu32,
                       primary_timeline);
    }
    if (primary_history == NULL || primary_history->timeline != primary_timeline) {
        return because(ret_reason, PG_DIVERGENCE_UNKNOWN,
                       "the history of timeline %" PRIu32 " is not known", primary_timeline);
    }
    if (!pg_history_switch_lsn(primary_history, local->timeline, &switch_lsn)) {
        return because(ret_reason, PG_DIVERGENCE_REWIND,
                       "timeline %" PRIu32 " is no ancestor of the primary's %" PRIu32,
                       local->timeline, primary_timeline);
    }
    return decide_ancestor(local, switch_lsn, ret_reason);
}

bool pg_divergence_is_lost(const struct pg_local_position *local, uint32_t primary_timeline,
                           uint64_t primary_lsn, char *ret_reason)
{
    char here[PG_LSN_BYTES];
    char there[PG_LSN_BYTES];

    if (local->was_primary || local->timeline == 0 || local->timeline != primary_timeline ||
        primary_lsn == 0 || local->lsn <= primary_lsn) {
        return false;
    }
    (void)pg_lsn_format(local->lsn, here);
    (void)pg_lsn_format(primary_lsn, there);
    (void)because(ret_reason, PG_DIVERGENCE_NONE,
                  "at %s on the primary's timeline %" PRIu32 ", and the primary is only at %s",
                  here, local->timeline, there);
    return true;
}
