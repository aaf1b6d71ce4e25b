/* The steps between two sets of synchronous standbys.
 *
 * Three things make a step safe. The inequality (ha_sync.h). That a reload is not one step:
 * PostgreSQL's walsenders take it one by one, and a number of before meets the names of after; so
 * one reload changes the number, or only adds names, or only removes some, and the inequality is
 * asserted over the names of both and the smaller number. And that a pair which asks for fewer
 * reports is published only when the standbys have confirmed what was answered before the setting
 * was everywhere: numsync of the names have flushed the position that the primary had by then.
 *
 * A publication that asks for so many more reports that any old members enough of before are still
 * needed is safe at once. That is how one gets out of everything: publish the union, change the
 * setting, wait for the standbys, publish what is wanted. tests/unit/agent_ha/test_sync_world.c
 * drives this against a model of PostgreSQL and of a store whose answers come late. */
#include "agent/ha/ha_sync.h"

#include "base/assert.h"

#include <string.h>

static unsigned size(uint32_t set)
{
    return (unsigned)__builtin_popcount(set);
}

static uint32_t bit(unsigned name)
{
    return name < HA_SYNC_NAMES_MAX ? UINT32_C(1) << name : 0;
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned less(unsigned a, unsigned b)
{
    return a > b ? a - b : 0;
}

static bool same(struct ha_sync_setting a, struct ha_sync_setting b)
{
    return a.names == b.names && a.numsync == b.numsync;
}

bool ha_sync_fits(uint32_t voters, unsigned quorum, struct ha_sync_setting setting)
{
    return size(voters | setting.names) <= quorum + setting.numsync;
}

/* What is in force while some walsenders have the one and some the other. */
static struct ha_sync_setting between(struct ha_sync_setting a, struct ha_sync_setting b)
{
    return (struct ha_sync_setting){a.names | b.names, smaller(a.numsync, b.numsync)};
}

/* --- what this run has done ------------------------------------------------------------------- */

static void check(const struct ha_sync *sync)
{
    ASSERT(!sync->writing || sync->revision == 0);
    ASSERT(!sync->taken || sync->set);
    ASSERT((sync->setting.names == 0) == (sync->setting.numsync == 0));
    ASSERT(sync->setting.numsync <= size(sync->setting.names));
}

void ha_sync_init(struct ha_sync *ret_sync)
{
    memset(ret_sync, 0, sizeof *ret_sync);
}

void ha_sync_writing(struct ha_sync *sync)
{
    ASSERT(!sync->writing);
    sync->writing = true;
    sync->revision = 0; /* until it is known what became of it */
    check(sync);
}

void ha_sync_written(struct ha_sync *sync, int64_t revision)
{
    ASSERT(sync->writing);
    sync->writing = false;
    sync->revision = revision;
    check(sync);
}

void ha_sync_set(struct ha_sync *sync, struct ha_sync_setting setting)
{
    ASSERT(!sync->writing);
    sync->renumbered = !sync->set || sync->setting.numsync != setting.numsync ||
                       (sync->renumbered && !sync->taken);
    sync->set = true;
    sync->setting = setting;
    sync->taken = false;
    check(sync);
}

/* PostgreSQL counts connections, not standbys: two under one name confirm for two. */
static uint32_t doubles(const struct ha_sync_look *look)
{
    uint32_t seen = 0;
    uint32_t found = 0;
    for (size_t i = look->count; look->setting.numsync > 1 && i > 0; i--) {
        const struct ha_sync_walsender *walsender = &look->walsenders[i - 1];
        bool counts = walsender->counts && !walsender->stranger;
        if (counts && (seen & bit(walsender->name)) != 0) {
            found |= UINT32_C(1) << (i - 1); /* a younger one is there */
        }
        seen |= counts ? bit(walsender->name) : 0;
    }
    return found;
}

/* Walsenders that confirm by names of before: their sync_priority shows it. */
static uint32_t misnamed(const struct ha_sync *sync, const struct ha_sync_look *look)
{
    uint32_t found = 0;
    for (size_t i = 0; i < look->count; i++) {
        const struct ha_sync_walsender *walsender = &look->walsenders[i];
        bool named = (sync->setting.names & bit(walsender->name)) != 0;
        found |= named != walsender->counts ? UINT32_C(1) << i : 0;
    }
    return found;
}

/* Walsenders that may confirm by a number of before: nothing shows it, but that they are older. */
static uint32_t misnumbered(const struct ha_sync *sync, const struct ha_sync_look *look)
{
    uint32_t found = 0;
    for (size_t i = 0; sync->renumbered && i < look->count; i++) {
        const struct ha_sync_walsender *walsender = &look->walsenders[i];
        /* Before it has told where it is, PostgreSQL shows a named one as if it counted for
         * nothing. */
        bool untold = walsender->flushed == 0 && (bit(walsender->name) & look->setting.names) != 0;
        found |= walsender->older && (walsender->counts || untold) ? UINT32_C(1) << i : 0;
    }
    return found;
}

static bool shows(const struct ha_sync *sync, const struct ha_sync_look *look)
{
    return look->fresh && look->understood && same(look->setting, sync->setting);
}

void ha_sync_see(struct ha_sync *sync, const struct ha_sync_look *look)
{
    ASSERT(look->count <= HA_SYNC_WALSENDERS_MAX);
    if (!sync->set || sync->taken || !shows(sync, look)) {
        return;
    }
    if ((misnamed(sync, look) | misnumbered(sync, look) | doubles(look)) == 0) {
        sync->taken = true;
        sync->mark = look->position;
        check(sync);
    }
}

static bool is_confirmed(const struct ha_sync *sync, const struct ha_sync_look *look)
{
    uint32_t holders = 0;
    for (size_t i = 0; i < look->count; i++) {
        const struct ha_sync_walsender *walsender = &look->walsenders[i];
        if (walsender->counts && !walsender->stranger && walsender->streaming &&
            walsender->flushed >= sync->mark) {
            holders |= bit(walsender->name) & sync->setting.names;
        }
    }
    return sync->taken && size(holders) >= sync->setting.numsync;
}

/* --- whom one would choose -------------------------------------------------------------------- */

struct ha_sync_setting ha_sync_first(const struct ha_sync_published *published, bool strict)
{
    uint32_t voters = published->present ? published->voters : 0;
    unsigned numsync = less(size(voters), published->present ? published->quorum : 0);
    if (strict) {
        voters = voters == 0 ? HA_SYNC_NOBODY : voters;
        numsync = larger(numsync, 1);
    }
    return (struct ha_sync_setting){numsync == 0 ? 0 : voters, numsync};
}

static bool is_before(const struct ha_sync_candidate *a, const struct ha_sync_candidate *b)
{
    if (a->nofailover != b->nofailover) {
        return b->nofailover;
    }
    if (a->priority != b->priority) {
        return a->priority > b->priority;
    }
    if (a->chosen != b->chosen) {
        return a->chosen; /* no change for the sake of a few bytes */
    }
    return a->lsn > b->lsn;
}

static void sort(struct ha_sync_candidate *candidates, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ha_sync_candidate one = candidates[i];
        size_t place = i;
        for (; place > 0 && is_before(&one, &candidates[place - 1]); place--) {
            candidates[place] = candidates[place - 1];
        }
        candidates[place] = one;
    }
}

void ha_sync_pick(struct ha_sync_candidate *candidates, size_t count,
                  const struct ha_sync_wishes *wishes, struct ha_sync_target *target)
{
    ASSERT(wishes->node_count >= 1);
    uint64_t best = count == 1 ? wishes->position : 0;
    for (size_t i = 0; count > 1 && i < count; i++) {
        best = candidates[i].lsn > best ? candidates[i].lsn : best;
    }
    sort(candidates, count);
    target->names = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ha_sync_candidate *one = &candidates[i];
        bool lags =
            wishes->lag_max > 0 && best > one->lsn && best - one->lsn > (uint64_t)wishes->lag_max;
        bool enough = size(target->names) >= wishes->node_count;
        if (!lags && (!enough || (wishes->any && !one->nofailover))) {
            target->names |= bit(one->name);
        }
    }
    target->numsync = smaller(wishes->node_count, size(target->names));
}

/* --- the next step ---------------------------------------------------------------------------- */

static void answer(struct ha_sync_move *move, enum ha_sync_step step, const char *reason)
{
    move->step = step;
    move->reason = reason;
}

static void publish(struct ha_sync_move *move, uint32_t voters, unsigned quorum, const char *reason)
{
    answer(move, HA_SYNC_PUBLISH, reason);
    move->voters = voters;
    move->quorum = quorum;
}

static void set(struct ha_sync_move *move, struct ha_sync_setting setting, const char *reason)
{
    answer(move, HA_SYNC_SET, reason);
    move->setting = setting;
}

/* In strict mode the last standbys stay, gone or not, until there are others: commits wait. */
static struct ha_sync_setting wanted(const struct ha_sync_target *target,
                                     struct ha_sync_setting now)
{
    if (target->names != 0 || !target->strict) {
        return (struct ha_sync_setting){target->names, target->numsync};
    }
    uint32_t names = now.names & ~HA_SYNC_NOBODY;
    if (names == 0) {
        return (struct ha_sync_setting){HA_SYNC_NOBODY, 1};
    }
    return (struct ha_sync_setting){names, smaller(now.numsync, size(names))};
}

static bool is_published(const struct ha_sync_published *published, struct ha_sync_setting want)
{
    uint32_t voters = want.names & ~HA_SYNC_NOBODY;
    /* Without voters only the last holder can lead, whatever the quorum. */
    return published->voters == voters &&
           (voters == 0 || published->quorum == size(voters) - want.numsync);
}

/* One reload nearer to `want`: names are added, the number changed, names removed, in this order.
 */
static struct ha_sync_setting nearer(struct ha_sync_setting now, struct ha_sync_setting want)
{
    if (now.names == 0 || want.names == 0) {
        return want; /* nobody is waited for on one side: no number meets other names */
    }
    if ((want.names & ~now.names) != 0) {
        return (struct ha_sync_setting){now.names | want.names, now.numsync};
    }
    if (now.numsync != want.numsync) {
        return (struct ha_sync_setting){now.names, want.numsync};
    }
    return want;
}

static void change_setting(const struct ha_sync *sync, const struct ha_sync_published *published,
                           struct ha_sync_setting want, struct ha_sync_move *move)
{
    struct ha_sync_setting next = nearer(sync->setting, want);
    if (ha_sync_fits(published->voters, published->quorum, between(sync->setting, next))) {
        set(move, next, "one reload nearer to who is wanted");
        return;
    }
    uint32_t more = want.names & ~HA_SYNC_NOBODY & ~published->voters;
    uint32_t voters = published->voters | more;
    struct ha_sync_setting way = between(sync->setting, want);
    unsigned quorum =
        larger(published->quorum + size(more), less(size(voters | way.names), way.numsync));
    publish(move, voters, quorum, "more reports are asked for, so that the setting may change");
    ASSERT(voters != published->voters || quorum != published->quorum);
    ASSERT(ha_sync_fits(voters, quorum, sync->setting));
    ASSERT(ha_sync_fits(voters, quorum, between(sync->setting, next)));
}

static void change_published(const struct ha_sync *sync, const struct ha_sync_published *published,
                             const struct ha_sync_look *look, struct ha_sync_move *move)
{
    uint32_t voters = sync->setting.names & ~HA_SYNC_NOBODY;
    unsigned quorum = less(size(sync->setting.names), sync->setting.numsync);
    bool no_fewer = quorum >= published->quorum + size(voters & ~published->voters);
    if (!no_fewer && !is_confirmed(sync, look)) {
        answer(move, HA_SYNC_WAIT, "the standbys have not confirmed what was written before");
        return;
    }
    publish(move, voters, quorum, "the setting is everywhere and confirmed");
    ASSERT(ha_sync_fits(voters, quorum, sync->setting));
}

/* The setting is to be everywhere before anything else is changed. False = it is. */
static bool is_being_taken(const struct ha_sync *sync, const struct ha_sync_look *look,
                           struct ha_sync_move *move)
{
    if (!look->fresh) {
        answer(move, HA_SYNC_WAIT, "the setting is being put in place");
        return true;
    }
    if (!shows(sync, look)) {
        answer(move, HA_SYNC_WAIT, "PostgreSQL has not taken the setting");
        if (look->late) {
            set(move, sync->setting, "PostgreSQL has another setting than it was given");
        }
        return true;
    }
    move->walsenders = misnumbered(sync, look) | doubles(look);
    move->walsenders |= look->late ? misnamed(sync, look) : 0;
    if (move->walsenders != 0) {
        answer(move, HA_SYNC_TERMINATE, "walsenders that may confirm by an earlier setting");
        return true;
    }
    answer(move, HA_SYNC_WAIT, "walsenders have not taken the setting");
    return !sync->taken;
}

/* In strict mode the key promises from its first write on that whoever is answered has a standby:
 * so commits wait before it is written. False = they do. */
static bool is_to_hold(const struct ha_sync *sync, const struct ha_sync_look *look,
                       const struct ha_sync_target *target, struct ha_sync_move *move)
{
    static const struct ha_sync_setting nobody;
    if (sync->set && sync->setting.names != 0) {
        return is_being_taken(sync, look, move);
    }
    bool stands = !sync->set && look->understood && look->setting.names != 0;
    set(move, stands ? look->setting : wanted(target, nobody),
        "commits wait before strict mode is published");
    return true;
}

/* Nothing is done by what an earlier run, or somebody else, may have left under way. False = all
 * that is there was written by this run. */
static bool is_being_claimed(const struct ha_sync *sync, const struct ha_sync_published *published,
                             const struct ha_sync_look *look, const struct ha_sync_target *target,
                             struct ha_sync_move *move)
{
    struct ha_sync_setting now = sync->set ? sync->setting : look->setting;
    if (!sync->set && !look->fresh) {
        answer(move, HA_SYNC_WAIT, "PostgreSQL has not been looked at");
    } else if (!published->present && target->strict && is_to_hold(sync, look, target, move)) {
        return true;
    } else if (!published->present && (sync->set || look->understood)) {
        /* Without voters only we can lead: nothing is asked of anybody yet. */
        publish(move, 0, less(size(now.names), now.numsync),
                "synchronous mode begins, without a standby");
    } else if (published->present && published->revision != sync->revision) {
        publish(move, published->voters, published->quorum,
                "as it stands, so that no late write of before is accepted");
    } else if (!sync->set && !look->understood) {
        set(move, ha_sync_first(published, target->strict), "the setting is not one of ours");
    } else {
        return false;
    }
    return true;
}

static void next(const struct ha_sync *sync, const struct ha_sync_published *published,
                 const struct ha_sync_look *look, const struct ha_sync_target *target,
                 struct ha_sync_move *ret_move)
{
    ASSERT(target->numsync <= size(target->names));
    ASSERT((target->names == 0) == (target->numsync == 0));
    check(sync);
    memset(ret_move, 0, sizeof *ret_move);
    if (sync->writing || !published->known) {
        answer(ret_move, HA_SYNC_WAIT, "/sync is being written, or was not read");
        return;
    }
    if (!target->on) {
        bool there = published->revision != 0;
        answer(ret_move, there ? HA_SYNC_DELETE : HA_SYNC_STEADY, "synchronous mode is off");
        return;
    }
    if (is_being_claimed(sync, published, look, target, ret_move)) {
        return;
    }
    struct ha_sync_setting now = sync->set ? sync->setting : look->setting;
    struct ha_sync_setting want = wanted(target, now);
    bool is_set = look->understood && same(look->setting, want) && same(now, want);
    if (is_set && is_published(published, want) && doubles(look) == 0) {
        answer(ret_move, HA_SYNC_STEADY, "setting and /sync are as wanted");
    } else if (!sync->set) {
        set(ret_move, look->setting, "as it stands: an earlier run may have left another one");
    } else if (is_being_taken(sync, look, ret_move)) {
        return;
    } else if (same(now, want)) {
        change_published(sync, published, look, ret_move);
    } else {
        change_setting(sync, published, want, ret_move);
    }
}

/* The key would be about a cluster that whoever makes it anew does not have. */
void ha_sync_next(const struct ha_sync *sync, const struct ha_sync_published *published,
                  const struct ha_sync_look *look, const struct ha_sync_target *target,
                  struct ha_sync_move *ret_move)
{
    next(sync, published, look, target, ret_move);
    if (ret_move->step == HA_SYNC_PUBLISH && published->unannounced) {
        memset(ret_move, 0, sizeof *ret_move);
        answer(ret_move, HA_SYNC_WAIT, "the cluster is not announced yet");
    }
}
