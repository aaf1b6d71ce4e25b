/* Which callback is due: lives of instances as tables, and every state with everything that can be
 * seen. */
#include "agent/ha/ha_callback.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEPS_MAX 12

/* What is seen, a letter each, and what is told then: "." = nothing.
 *   - between  0 no data  p stopped primary  r stopped replica  P, R up
 *   x crashed primary, the key still ours  X crashed primary  y crashed replica
 *   a, b stopped primary, replica, for a restart
 *   L up, leads a standby cluster   O up as a replica, nobody leads */
struct life {
    const char *name;
    const char *seen;
    const char *told[STEPS_MAX];
};

static const struct life lives[] = {
    {"bootstrapped, told to stop", "0-Pp", {".", ".", "on_start primary", "on_stop primary"}},
    {"copied, promoted", "0-R-P", {".", ".", "on_start replica", ".", "on_role_change primary"}},
    {"up when the agent starts", "-P", {".", "on_start primary"}},
    {"a replica up when the agent starts", "R", {"on_start replica"}},
    {"down when the agent starts", "p-P", {".", ".", "on_start primary"}},
    {"a primary that was down joins", "p-R", {".", ".", "on_role_change replica"}},
    {"a replica that was down", "r-R", {".", ".", "on_start replica"}},
    {"demoted", "Pp-R", {"on_start primary", "on_stop primary", ".", "on_role_change replica"}},
    {"stopped and started",
     "Rr-R",
     {"on_start replica", "on_stop replica", ".", "on_start replica"}},
    {"restarted", "Pa-P", {"on_start primary", ".", ".", "on_restart primary"}},
    {"a replica restarted", "Rb-R", {"on_start replica", ".", ".", "on_restart replica"}},
    {"not the same after a restart",
     "Pa-R",
     {"on_start primary", ".", ".", "on_role_change replica"}},
    {"crashed, in place again", "Pxx-P", {"on_start primary", ".", ".", ".", "on_start primary"}},
    {"crashed, given up", "PxX-X", {"on_start primary", ".", "on_role_change demoted", ".", "."}},
    {"crashed, given up, joins",
     "PX-R",
     {"on_start primary", "on_role_change demoted", ".", "on_role_change replica"}},
    {"crashed, given up, takes the key again",
     "PX-P",
     {"on_start primary", "on_role_change demoted", ".", "on_role_change primary"}},
    {"a replica crashed", "Ry-R", {"on_start replica", ".", ".", "on_start replica"}},
    {"crashed before the agent came", "X-P", {".", ".", "on_start primary"}},
    {"its data is gone",
     "P-0-R",
     {"on_start primary", ".", "on_stop uninitialized", ".", "on_start replica"}},
    {"it stays as it is", "PPPppp", {"on_start primary", ".", ".", "on_stop primary", ".", "."}},
    {"leads a standby cluster", "RL", {"on_start replica", "on_role_change standby_leader"}},
    {"a standby cluster from the beginning", "0-L", {".", ".", "on_start standby_leader"}},
    {"promoted with its cluster",
     "LOO-P",
     {"on_start standby_leader", ".", ".", ".", "on_role_change primary"}},
    {"demoted with its cluster",
     "Pp-L",
     {"on_start primary", "on_stop primary", ".", "on_role_change standby_leader"}},
    {"another one leads the standby cluster",
     "LOR",
     {"on_start standby_leader", ".", "on_role_change replica"}},
    {"its data is removed to be copied", "pp0-R", {".", ".", ".", ".", "on_start replica"}},
};

static struct ha_seen seen_of(char c)
{
    struct ha_seen seen = {.primary = strchr("pPxXa", c) != NULL, .key_is_ours = c == 'x'};
    seen.standby_leader = c == 'L';
    seen.led_by_other = c == 'R';
    seen.run = strchr("PRLO", c) != NULL   ? HA_SEEN_UP
               : strchr("prab", c) != NULL ? HA_SEEN_STOPPED
               : strchr("xXy", c) != NULL  ? HA_SEEN_CRASHED
               : c == '0'                  ? HA_SEEN_NO_DATA
                                           : HA_SEEN_BETWEEN;
    seen.restarting = strchr("ab", c) != NULL;
    return seen;
}

static void lives_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        struct ha_told told = {0};
        for (size_t step = 0; lives[i].seen[step] != '\0'; step++) {
            char text[64] = ".";
            struct ha_seen seen = seen_of(lives[i].seen[step]);
            enum ha_callback callback = ha_callback_next(&told, &seen);
            if (callback != HA_CALLBACK_NONE) {
                snprintf(text, sizeof text, "%s %s", ha_callback_name(callback),
                         ha_told_role_name(told.role));
            }
            const char *expected = lives[i].told[step] == NULL ? "-" : lives[i].told[step];
            if (strcmp(text, expected) != 0) {
                fail_msg("%s, step %zu: %s, expected %s", lives[i].name, step, text, expected);
            }
        }
    }
}

/* What holds whatever was told before. */
static void check(struct ha_told before, const struct ha_seen *seen)
{
    struct ha_told told = before;
    enum ha_callback first = ha_callback_next(&told, seen);
    struct ha_told after = told;

    assert_int_equal(ha_callback_next(&told, seen), HA_CALLBACK_NONE); /* each is told once */
    assert_memory_equal(&told, &after, sizeof told);
    if (seen->run == HA_SEEN_BETWEEN) {
        assert_int_equal(first, HA_CALLBACK_NONE);
        assert_memory_equal(&told, &before, sizeof told);
    } else {
        assert_true(told.known);
        assert_int_equal(told.up, seen->run == HA_SEEN_UP);
    }
    if (seen->run == HA_SEEN_UP) {
        bool stays = before.role == HA_TOLD_STANDBY_LEADER && !seen->led_by_other;
        assert_int_equal(told.role, seen->primary                   ? HA_TOLD_PRIMARY
                                    : seen->standby_leader || stays ? HA_TOLD_STANDBY_LEADER
                                                                    : HA_TOLD_REPLICA);
        bool changed =
            before.known && before.role != HA_TOLD_UNINITIALIZED && before.role != told.role;
        assert_int_equal(first == HA_CALLBACK_ROLE_CHANGE, changed);
    }
    if (first == HA_CALLBACK_STOP) {
        assert_true(before.up && !told.up);
    }
}

static void every_state_is_told_once(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 5 * 5 * 512; bits++) {
        struct ha_told told = {
            .known = bits & 1, .up = bits & 2, .crashed = bits & 4, .restarting = bits & 8};
        struct ha_seen seen = {.primary = bits & 16,
                               .key_is_ours = bits & 32,
                               .restarting = bits & 64,
                               .standby_leader = (bits & 144) == 128,
                               .led_by_other = bits & 256};
        told.role = (enum ha_told_role)(bits / 512 % 5);
        seen.run = (enum ha_seen_run)(bits / 512 / 5);
        bool makes_sense = told.known
                               ? !told.up || (!told.crashed && told.role != HA_TOLD_DEMOTED &&
                                              told.role != HA_TOLD_UNINITIALIZED)
                               : !told.up && !told.crashed && !told.restarting &&
                                     told.role == HA_TOLD_UNINITIALIZED;
        if (makes_sense) {
            check(told, &seen);
        }
    }
}

static struct ha_snapshot s; /* large: not on the stack */

static void runs(enum ha_run run, enum pg_role role)
{
    ha_snapshot_init(&s);
    s.self.run = run;
    s.self.role = role;
    s.self.directory_known = true;
    s.self.directory = PG_DIR_VALID;
}

static void expect(enum ha_seen_run run, bool primary)
{
    struct ha_seen seen;
    ha_callback_look(&s, &seen);
    assert_int_equal(seen.run, run);
    assert_int_equal(seen.primary, primary);
}

static void snapshots_are_looked_at(void **state)
{
    (void)state;
    runs(HA_RUN_RUNNING, PG_PRIMARY);
    expect(HA_SEEN_UP, true);
    s.job.running = true;
    s.job.kind = HA_JOB_PROMOTE;
    expect(HA_SEEN_UP, true);
    s.job.kind = HA_JOB_BOOTSTRAP;
    expect(HA_SEEN_BETWEEN, true);
    runs(HA_RUN_RUNNING, PG_STANDBY);
    expect(HA_SEEN_UP, false);
    runs(HA_RUN_RUNNING, PG_ROLE_UNKNOWN);
    expect(HA_SEEN_BETWEEN, false);
    static const enum ha_run between[] = {HA_RUN_UNKNOWN, HA_RUN_STARTING, HA_RUN_STOPPING};
    for (size_t i = 0; i < 3; i++) {
        runs(between[i], PG_PRIMARY);
        expect(HA_SEEN_BETWEEN, false);
    }
    runs(HA_RUN_STOPPED, PG_ROLE_UNKNOWN);
    s.self.control_state = PG_CONTROL_SHUT_DOWN;
    expect(HA_SEEN_STOPPED, true);
    s.self.run = HA_RUN_CRASHED;
    expect(HA_SEEN_CRASHED, true);
    s.self.directory = PG_DIR_UNFINISHED;
    s.self.unfinished = PG_UNFINISHED_REWIND;
    expect(HA_SEEN_CRASHED, true);
    s.self.unfinished = PG_UNFINISHED_CLONE;
    expect(HA_SEEN_NO_DATA, true);
    s.self.directory = PG_DIR_MISSING;
    expect(HA_SEEN_NO_DATA, true);
    s.self.run = HA_RUN_STOPPED;
    s.self.directory = PG_DIR_EMPTY;
    expect(HA_SEEN_NO_DATA, true);
    s.self.directory_known = false;
    expect(HA_SEEN_BETWEEN, true);
}

static void nothing_is_nameless(void **state)
{
    (void)state;
    assert_string_equal(ha_callback_name(HA_CALLBACK_NONE), "");
    assert_string_equal(ha_callback_name(HA_CALLBACK_RESTART), "on_restart");
    assert_string_equal(ha_told_role_name(HA_TOLD_DEMOTED), "demoted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_are_told),
        cmocka_unit_test(every_state_is_told_once),
        cmocka_unit_test(snapshots_are_looked_at),
        cmocka_unit_test(nothing_is_nameless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
