/* One step of ha_sync.h at a time, by hand; test_sync_world.c has the long walks. Names: bit 1 is
 * `a`, bit 2 is `b`, bit 3 is `c`. */
#include "agent/ha/ha_sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A     2U
#define B     4U
#define C     8U
#define STEPS 20 /* more than any way from one set to another has */

/* --- a small, obedient world ------------------------------------------------------------------ */

struct world {
    struct ha_sync sync;
    struct ha_sync_published published;
    struct ha_sync_look look;
    struct ha_sync_target target;
    struct ha_sync_move move;
};

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    ha_sync_init(&world->sync);
    world->published.known = true;
    world->look.fresh = true;
    world->look.understood = true;
    world->look.position = 100;
    world->target.on = true;
}

static void want(struct world *world, uint32_t names, unsigned numsync)
{
    world->target.names = names;
    world->target.numsync = numsync;
}

static void publish(struct world *world, uint32_t voters, unsigned quorum)
{
    world->published = (struct ha_sync_published){.known = true,
                                                  .present = true,
                                                  .revision = world->published.revision + 1,
                                                  .voters = voters,
                                                  .quorum = quorum};
}

/* As if this run had written it. */
static void publish_own(struct world *world, uint32_t voters, unsigned quorum)
{
    publish(world, voters, quorum);
    ha_sync_writing(&world->sync);
    ha_sync_written(&world->sync, world->published.revision);
}

static struct ha_sync_walsender *connect_one(struct world *world, unsigned name)
{
    struct ha_sync_walsender *one = &world->look.walsenders[world->look.count++];
    *one = (struct ha_sync_walsender){.name = name,
                                      .counts = (world->look.setting.names >> name & 1U) != 0,
                                      .streaming = true,
                                      .flushed = world->look.position};
    return one;
}

static enum ha_sync_step next(struct world *world)
{
    ha_sync_see(&world->sync, &world->look);
    ha_sync_next(&world->sync, &world->published, &world->look, &world->target, &world->move);
    assert_non_null(world->move.reason);
    return world->move.step;
}

static void put(struct world *world, struct ha_sync_setting setting)
{
    ha_sync_set(&world->sync, setting);
    world->look.setting = setting;
    for (size_t i = 0; i < world->look.count; i++) {
        struct ha_sync_walsender *one = &world->look.walsenders[i];
        one->counts = (setting.names >> one->name & 1U) != 0;
        one->older = true;
    }
}

static void terminate(struct world *world)
{
    for (size_t i = 0; i < world->look.count; i++) {
        if ((world->move.walsenders >> i & 1U) != 0) { /* it connects again at once */
            world->look.walsenders[i].older = false;
        }
    }
}

/* Does what is asked until nothing more is; the number of steps. */
static unsigned settle(struct world *world)
{
    for (unsigned steps = 0; steps < STEPS; steps++) {
        switch (next(world)) {
        case HA_SYNC_STEADY: return steps;
        case HA_SYNC_WAIT: fail_msg("waits: %s", world->move.reason);
        case HA_SYNC_PUBLISH: publish_own(world, world->move.voters, world->move.quorum); break;
        case HA_SYNC_DELETE:
            world->published = (struct ha_sync_published){.known = true};
            ha_sync_writing(&world->sync);
            ha_sync_written(&world->sync, 0);
            break;
        case HA_SYNC_SET: put(world, world->move.setting); break;
        case HA_SYNC_TERMINATE: terminate(world); break;
        }
    }
    fail_msg("not there after %d steps: %s", STEPS, world->move.reason);
    return STEPS;
}

static void assert_is(const struct world *world, uint32_t names, unsigned numsync, uint32_t voters,
                      unsigned quorum)
{
    assert_int_equal(world->look.setting.names, names);
    assert_int_equal(world->look.setting.numsync, numsync);
    assert_int_equal(world->published.voters, voters);
    assert_int_equal(world->published.quorum, quorum);
}

/* --- where nothing is in the way, every set is reached from every other -------------------------
 */

static void every_set_is_reached_from_every_other(void **state)
{
    (void)state;
    static const struct ha_sync_setting sets[] = {
        {0, 0},         {A, 1},         {B, 1},     {A | B, 1},     {A | B, 2},
        {A | B | C, 1}, {A | B | C, 2}, {B | C, 2}, {A | B | C, 3},
    };
    const size_t count = sizeof sets / sizeof sets[0];
    for (size_t from = 0; from < count; from++) {
        for (size_t to = 0; to < count; to++) {
            struct world world;
            begin(&world);
            for (unsigned name = 1; name <= 3; name++) {
                (void)connect_one(&world, name);
            }
            want(&world, sets[from].names, sets[from].numsync);
            (void)settle(&world);
            want(&world, sets[to].names, sets[to].numsync);
            (void)settle(&world);
            unsigned names = (unsigned)__builtin_popcount(sets[to].names);
            assert_is(&world, sets[to].names, sets[to].numsync, sets[to].names,
                      names == 0 ? world.published.quorum : names - sets[to].numsync);
            assert_int_equal(settle(&world), 0);
        }
    }
}

/* --- off, absent, unreadable --------------------------------------------------------------------
 */

static void off_deletes_what_was_published(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish(&world, A, 0);
    world.target.on = false;
    assert_int_equal(next(&world), HA_SYNC_DELETE);
    (void)settle(&world);
    assert_int_equal(world.published.revision, 0);
    assert_int_equal(next(&world), HA_SYNC_STEADY);
}

static void an_unreadable_sync_is_deleted_too(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.published.revision = 7; /* there, but not to be read */
    world.target.on = false;
    assert_int_equal(next(&world), HA_SYNC_DELETE);
}

static void what_was_not_read_is_waited_for(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.published.known = false;
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    begin(&world);
    ha_sync_writing(&world.sync);
    assert_int_equal(next(&world), HA_SYNC_WAIT);
}

static void it_begins_without_a_standby(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.look.fresh = false;
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    world.look.fresh = true;
    want(&world, A, 1);
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
    assert_int_equal(world.move.voters, 0);
    assert_int_equal(world.move.quorum, 0);
}

static void what_somebody_else_wrote_is_written_again_as_it_stands(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish(&world, A | B, 1);
    want(&world, A, 1);
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
    assert_int_equal(world.move.voters, A | B);
    assert_int_equal(world.move.quorum, 1);
}

static void a_foreign_setting_makes_way_for_the_first_one(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.look.understood = false;
    publish_own(&world, A | B, 1);
    want(&world, A | B, 1);
    assert_int_equal(next(&world), HA_SYNC_SET);
    assert_int_equal(world.move.setting.names, A | B);
    assert_int_equal(world.move.setting.numsync, 1);
    begin(&world);
    world.look.understood = false; /* and nothing is published: no voter can be asked for */
    assert_int_equal(next(&world), HA_SYNC_SET);
    assert_int_equal(world.move.setting.names, 0);
}

/* --- a setting is everywhere before anything else is changed ------------------------------------
 */

/* `a` is named by this run, and wanted with `b`. */
static void named_a(struct world *world)
{
    begin(world);
    publish_own(world, A, 0);
    put(world, (struct ha_sync_setting){A, 1});
    want(world, A | B, 1);
}

static void a_setting_that_is_not_seen_is_waited_for_and_put_again(void **state)
{
    (void)state;
    struct world world;
    named_a(&world);
    world.look.fresh = false;
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    world.look.fresh = true;
    world.look.setting = (struct ha_sync_setting){B, 1};
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    world.look.late = true;
    assert_int_equal(next(&world), HA_SYNC_SET);
    assert_int_equal(world.move.setting.names, A);
    world.look.understood = false;
    assert_int_equal(next(&world), HA_SYNC_SET);
}

static void walsender_with_names_of_before_is_waited_for_then_ended(void **state)
{
    (void)state;
    struct world world;
    named_a(&world);
    (void)connect_one(&world, 1);
    connect_one(&world, 2)->counts = true; /* it is not named */
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    world.look.late = true;
    assert_int_equal(next(&world), HA_SYNC_TERMINATE);
    assert_int_equal(world.move.walsenders, 2);
    world.look.walsenders[1].counts = false;
    assert_int_equal(next(&world), HA_SYNC_PUBLISH); /* more reports first: `b` is to be named */
    assert_int_equal(world.move.voters, A | B);
    assert_int_equal(world.move.quorum, 1);
}

static void walsender_that_may_have_the_number_of_before_is_ended(void **state)
{
    (void)state;
    struct world world;
    named_a(&world);
    connect_one(&world, 1)->older = true;
    connect_one(&world, 2)->older = true; /* counts for nothing, whatever its number */
    assert_int_equal(next(&world), HA_SYNC_TERMINATE);
    assert_int_equal(world.move.walsenders, 1);
    world.look.walsenders[0].older = false;
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
}

/* PostgreSQL shows priority 0 for whoever has not told a position yet; it has the old number all
 * the same, and confirms by it as soon as it does. */
static void walsender_that_has_told_nothing_yet_is_ended_too(void **state)
{
    (void)state;
    struct world world;
    named_a(&world);
    struct ha_sync_walsender *named = connect_one(&world, 1);
    named->older = true;
    named->counts = false;
    named->flushed = 0;
    struct ha_sync_walsender *other = connect_one(&world, 2); /* a copy that somebody makes */
    other->older = true;
    other->flushed = 0;
    assert_int_equal(next(&world), HA_SYNC_TERMINATE);
    assert_int_equal(world.move.walsenders, 1);
}

static void two_connections_of_one_name_are_one_too_many(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish_own(&world, A | B, 0);
    put(&world, (struct ha_sync_setting){A | B, 2});
    want(&world, A | B, 2);
    (void)connect_one(&world, 1);
    (void)connect_one(&world, 1);
    assert_int_equal(next(&world), HA_SYNC_TERMINATE);
    assert_int_equal(world.move.walsenders, 1); /* the older one */
    world.look.count = 1;
    assert_int_equal(next(&world), HA_SYNC_STEADY);
}

static void one_number_does_not_mind_two_connections(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish_own(&world, A, 0);
    put(&world, (struct ha_sync_setting){A, 1});
    want(&world, A, 1);
    (void)connect_one(&world, 1);
    (void)connect_one(&world, 1);
    assert_int_equal(next(&world), HA_SYNC_STEADY);
}

/* --- fewer reports are asked for only after the standbys have confirmed --------------------------
 */

static void fewer_reports_wait_for_confirmations(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish_own(&world, A | B, 1);
    put(&world, (struct ha_sync_setting){A, 1});
    want(&world, A, 1);
    struct ha_sync_walsender *one = connect_one(&world, 1);
    one->flushed = 99;
    assert_int_equal(next(&world), HA_SYNC_WAIT); /* behind what was written by then */
    one->flushed = 100;
    one->streaming = false;
    assert_int_equal(next(&world), HA_SYNC_WAIT); /* it has not caught up */
    one->streaming = true;
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
    assert_int_equal(world.move.voters, A);
    assert_int_equal(world.move.quorum, 0);
}

static void a_stranger_under_the_name_of_a_standby_confirms_nothing(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish_own(&world, A | B, 2);
    world.look.setting = (struct ha_sync_setting){A | B, 1};
    put(&world, world.look.setting);
    want(&world, A | B, 1);
    connect_one(&world, 1)->stranger = true;
    connect_one(&world, 2)->flushed = 1;
    assert_int_equal(next(&world), HA_SYNC_WAIT);
    connect_one(&world, 1)->counts = true;
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
}

/* Of two under one name the older goes; unless it is the one that bears it. */
static void a_stranger_is_no_younger_one_of_a_standby(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    publish_own(&world, A | B, 0);
    put(&world, (struct ha_sync_setting){A | B, 2});
    want(&world, A | B, 2);
    (void)connect_one(&world, 1);
    (void)connect_one(&world, 2);
    struct ha_sync_walsender *other = connect_one(&world, 1);
    other->stranger = true;
    assert_int_equal(next(&world), HA_SYNC_STEADY);
    other->stranger = false;
    assert_int_equal(next(&world), HA_SYNC_TERMINATE);
    assert_int_equal(world.move.walsenders, 1);
}

/* --- strict -------------------------------------------------------------------------------------
 */

static void strict_names_nobody_while_there_is_no_standby(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.target.strict = true;
    (void)settle(&world);
    assert_is(&world, HA_SYNC_NOBODY, 1, 0, world.published.quorum);
    (void)connect_one(&world, 1);
    want(&world, A, 1);
    (void)settle(&world);
    assert_is(&world, A, 1, A, 0);
}

/* What is set first: who is wanted, what is set already, nobody. */
static void strict_waits_before_the_key_is_there(void **state)
{
    static const struct {
        uint32_t stands;
        bool understood;
        uint32_t target;
        uint32_t set;
    } rows[] = {
        {0, true, A, A},  {0, true, 0, HA_SYNC_NOBODY},  {B, true, A, B},
        {0, false, A, A}, {0, false, 0, HA_SYNC_NOBODY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        begin(&world);
        world.target.strict = true;
        world.look.understood = rows[i].understood;
        world.look.setting = (struct ha_sync_setting){rows[i].stands, rows[i].stands != 0};
        (void)connect_one(&world, 1);
        want(&world, rows[i].target, rows[i].target != 0);
        world.look.fresh = false;
        assert_int_equal(next(&world), HA_SYNC_WAIT);
        world.look.fresh = true;
        assert_int_equal(next(&world), HA_SYNC_SET);
        assert_int_equal(world.move.setting.names, rows[i].set);
        assert_int_equal(world.move.setting.numsync, 1);
        put(&world, world.move.setting);
        world.look.understood = true;
        world.look.fresh = false;
        assert_int_equal(next(&world), HA_SYNC_WAIT);
        world.look.fresh = true;
        world.look.walsenders[0].counts = !world.look.walsenders[0].counts; /* has not taken it */
        assert_int_not_equal(next(&world), HA_SYNC_PUBLISH);
        world.look.walsenders[0].counts = !world.look.walsenders[0].counts;
        world.look.walsenders[0].older = false;
        assert_int_equal(next(&world), HA_SYNC_PUBLISH);
        assert_int_equal(world.move.voters, 0);
        (void)settle(&world);
    }
}

/* A mode that was not strict when it began to be set. */
static void strict_that_comes_before_the_key_waits_too(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    put(&world, (struct ha_sync_setting){0, 0});
    world.target.strict = true;
    assert_int_equal(next(&world), HA_SYNC_SET);
    assert_int_equal(world.move.setting.names, HA_SYNC_NOBODY);
}

/* What is published would be about a cluster that whoever makes it anew does not have. */
static void nothing_is_published_before_the_cluster_is_announced(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        for (int present = 0; present < 2; present++) {
            struct world world;
            begin(&world);
            if (present) {
                publish(&world, A, 0); /* of somebody before us */
            }
            world.target.strict = strict;
            world.published.unannounced = true;
            if (strict && !present) { /* commits wait all the same */
                assert_int_equal(next(&world), HA_SYNC_SET);
                assert_int_equal(world.move.setting.names, HA_SYNC_NOBODY);
                put(&world, world.move.setting);
            }
            assert_int_equal(next(&world), HA_SYNC_WAIT);
            world.published.unannounced = false;
            assert_int_equal(next(&world), HA_SYNC_PUBLISH);
        }
    }
}

static void strict_keeps_the_last_standby_when_it_goes(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    world.target.strict = true;
    (void)connect_one(&world, 1);
    want(&world, A, 1);
    (void)settle(&world);
    world.look.count = 0;
    want(&world, 0, 0);
    assert_int_equal(next(&world), HA_SYNC_STEADY);
    assert_is(&world, A, 1, A, 0);
    world.target.strict = false;
    /* Without it writes go on, after it was said that the standby may not have them. */
    assert_int_equal(next(&world), HA_SYNC_PUBLISH);
    assert_int_equal(world.move.voters, A);
    assert_int_equal(world.move.quorum, 1);
    (void)settle(&world);
    assert_is(&world, 0, 0, 0, world.published.quorum);
}

static void a_new_primary_begins_with_the_members_of_before(void **state)
{
    (void)state;
    struct ha_sync_published published = {
        .known = true, .present = true, .revision = 3, .voters = A | B, .quorum = 1};
    struct ha_sync_setting first = ha_sync_first(&published, true);
    assert_int_equal(first.names, A | B);
    assert_int_equal(first.numsync, 1);
    published.quorum = 2; /* nobody need have it: only strict mode waits all the same */
    assert_int_equal(ha_sync_first(&published, false).names, 0);
    assert_int_equal(ha_sync_first(&published, true).names, A | B);
    assert_int_equal(ha_sync_first(&published, true).numsync, 1);
    published.present = false;
    assert_int_equal(ha_sync_first(&published, false).names, 0);
    assert_int_equal(ha_sync_first(&published, true).names, HA_SYNC_NOBODY);
}

/* --- whom one would choose ----------------------------------------------------------------------
 */

struct choice {
    const char *title;
    struct ha_sync_wishes wishes;
    struct ha_sync_candidate candidates[3];
    uint32_t names;
    unsigned numsync;
};

static const struct choice choices[] = {
    {"nobody is there", {.node_count = 2}, {{0}}, 0, 0},
    {"the furthest", {.node_count = 1}, {{.name = 1, .lsn = 10}, {.name = 2, .lsn = 20}}, B, 1},
    {"the higher sync_priority, though behind",
     {.node_count = 1},
     {{.name = 1, .lsn = 10, .priority = 2}, {.name = 2, .lsn = 20, .priority = 1}},
     A,
     1},
    {"who is named already stays",
     {.node_count = 1},
     {{.name = 1, .lsn = 10, .chosen = true}, {.name = 2, .lsn = 20}},
     A,
     1},
    {"nofailover comes last",
     {.node_count = 1},
     {{.name = 1, .lsn = 30, .priority = 9, .nofailover = true}, {.name = 2, .lsn = 20}},
     B,
     1},
    {"nofailover fills up",
     {.node_count = 2},
     {{.name = 1, .lsn = 30, .nofailover = true}, {.name = 2, .lsn = 20}},
     A | B,
     2},
    {"any: all of them but nofailover",
     {.node_count = 1, .any = true},
     {{.name = 1, .lsn = 9}, {.name = 2, .lsn = 20}, {.name = 3, .lsn = 5, .nofailover = true}},
     A | B,
     1},
    {"who lags behind the best is left out",
     {.node_count = 2, .lag_max = 5},
     {{.name = 1, .lsn = 14}, {.name = 2, .lsn = 20}, {.name = 3, .lsn = 15}},
     B | C,
     2},
    {"one alone is measured by the primary",
     {.node_count = 1, .lag_max = 5, .position = 30},
     {{.name = 1, .lsn = 20}},
     0,
     0},
    {"a lag limit of nothing is none",
     {.node_count = 1, .position = 30},
     {{.name = 1, .lsn = 20}},
     A,
     1},
};

static void standbys_are_chosen_by_what_is_wished(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        struct choice choice = choices[i];
        struct ha_sync_target target = {.on = true};
        size_t count = 0;
        while (count < 3 && choice.candidates[count].name != 0) {
            count++;
        }
        ha_sync_pick(choice.candidates, count, &choice.wishes, &target);
        if (target.names != choice.names || target.numsync != choice.numsync) {
            fail_msg("%s: names %#x, numsync %u", choice.title, target.names, target.numsync);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_is_reached_from_every_other),
        cmocka_unit_test(off_deletes_what_was_published),
        cmocka_unit_test(an_unreadable_sync_is_deleted_too),
        cmocka_unit_test(what_was_not_read_is_waited_for),
        cmocka_unit_test(it_begins_without_a_standby),
        cmocka_unit_test(what_somebody_else_wrote_is_written_again_as_it_stands),
        cmocka_unit_test(a_foreign_setting_makes_way_for_the_first_one),
        cmocka_unit_test(a_setting_that_is_not_seen_is_waited_for_and_put_again),
        cmocka_unit_test(walsender_with_names_of_before_is_waited_for_then_ended),
        cmocka_unit_test(walsender_that_may_have_the_number_of_before_is_ended),
        cmocka_unit_test(walsender_that_has_told_nothing_yet_is_ended_too),
        cmocka_unit_test(two_connections_of_one_name_are_one_too_many),
        cmocka_unit_test(one_number_does_not_mind_two_connections),
        cmocka_unit_test(fewer_reports_wait_for_confirmations),
        cmocka_unit_test(a_stranger_under_the_name_of_a_standby_confirms_nothing),
        cmocka_unit_test(a_stranger_is_no_younger_one_of_a_standby),
        cmocka_unit_test(strict_names_nobody_while_there_is_no_standby),
        cmocka_unit_test(strict_waits_before_the_key_is_there),
        cmocka_unit_test(strict_that_comes_before_the_key_waits_too),
        cmocka_unit_test(nothing_is_published_before_the_cluster_is_announced),
        cmocka_unit_test(strict_keeps_the_last_standby_when_it_goes),
        cmocka_unit_test(a_new_primary_begins_with_the_members_of_before),
        cmocka_unit_test(standbys_are_chosen_by_what_is_wished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
