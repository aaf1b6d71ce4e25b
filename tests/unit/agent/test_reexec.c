/* From the question to the exchange, and back from every state: with the check, the handing over
 * and the exec played by the test. */
#include "agent/reexec.h"
#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
    uv_loop_t loop;
    struct reexec reexec;
    struct clock clock;
    int64_t now_ms;
    int check_rc;
    const char *why;      /* stands in the way until */
    int why_looks;        /* so many looks have been made; -1 = for ever */
    const char *last_why; /* at the last moment */
    bool has_node;
    raft_done handed_over;
    void *handed_arg;
    int handovers;
    int execs;
    int exec_looks; /* that many before it was executed */
    int exec_fd;
    bool exec_held; /* signals, by then */
    int looks;
    int leaving;
    int not_leaving;
    int told;
    int told_rc;
    char told_text[ERROR_TEXT_BYTES];
} rig;

/* --- what is played --------------------------------------------------------------------------- */

static const char *const taken[] = {"PATRONI_NAME=n1", NULL};

int reexec_check(const struct reexec_program *program, const atomic_bool *cancel,
                 char ret_version[REEXEC_VERSION_BYTES], struct error *err)
{
    assert_true(program->path[0] == '/' && program->argv[0] != NULL && cancel != NULL);
    assert_string_equal(program->identity, "n1");
    assert_ptr_equal(program->taken, taken);
    (void)snprintf(ret_version, REEXEC_VERSION_BYTES, "9.9");
    return rig.check_rc == 0 ? 0 : error_set(err, rig.check_rc, "it would not start here: no");
}

static bool is_held(void)
{
    sigset_t now;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &now);
    return sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGUSR2) == 1;
}

int reexec_exec(const struct reexec_program *program, int lock_fd, struct error *err)
{
    assert_ptr_equal(program->taken, taken);
    rig.execs++;
    rig.exec_fd = lock_fd;
    rig.exec_looks = rig.looks;
    rig.exec_held = is_held();
    return error_set(err, ERR_NOT_FOUND, "executing it: gone");
}

void raft_node_retire(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg)
{
    assert_non_null(node);
    assert_int_equal(timeout_ms, 300);
    rig.handovers++;
    rig.handed_over = done;
    rig.handed_arg = arg;
}

static int64_t mono(void *arg)
{
    (void)arg;
    return rig.now_ms;
}

static const char *hindrance(void *arg, bool leaving)
{
    (void)arg;
    rig.looks++;
    if (rig.why != NULL && rig.why_looks != 0) {
        rig.why_looks -= rig.why_looks > 0;
        rig.now_ms += rig.why_looks < 0 ? 1000 : 0;
        return rig.why;
    }
    return leaving ? rig.last_why : NULL;
}

static struct raft_node *node(void *arg)
{
    (void)arg;
    return rig.has_node ? (struct raft_node *)(void *)&rig : NULL;
}

static int handover_ms(void *arg)
{
    (void)arg;
    return 300;
}

static int lock_fd(void *arg)
{
    (void)arg;
    return 77;
}

static void leaving(void *arg, bool does)
{
    (void)arg;
    rig.leaving += does;
    rig.not_leaving += !does;
}

static void told(void *arg, int rc, const char *text)
{
    (void)arg;
    rig.told++;
    rig.told_rc = rc;
    (void)snprintf(rig.told_text, sizeof rig.told_text, "%s", text);
}

/* --- the tests -------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    struct error err;
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.clock = *clock_real();
    rig.clock.mono_ms = mono;
    struct reexec_ports ports = {.clock = &rig.clock,
                                 .identity = "n1",
                                 .taken = taken,
                                 .hindrance = hindrance,
                                 .node = node,
                                 .handover_ms = handover_ms,
                                 .lock_fd = lock_fd,
                                 .leaving = leaving,
                                 .told = told};
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    return reexec_open(&rig.reexec, &rig.loop, &ports, &err);
}

static int tear_down(void **state)
{
    (void)state;
    reexec_close(&rig.reexec);
    reexec_close(&rig.reexec);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    reexec_free(&rig.reexec);
    return uv_loop_close(&rig.loop);
}

static void ask(bool dry_run)
{
    struct error err;
    assert_int_equal(reexec_ask(&rig.reexec, "a test", dry_run, &err), 0);
}

static void turn(void)
{
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
}

static void ended(int rc, const char *words)
{
    assert_int_equal(rig.reexec.state, REEXEC_IDLE);
    assert_int_equal(rig.told, 1);
    assert_int_equal(rig.told_rc, rc);
    if (strstr(rig.told_text, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, rig.told_text);
    }
    rig.told = 0;
}

static void an_exec_that_fails_leaves_everything_as_it_was(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) { /* and can be asked for again */
        ask(false);
        turn();
        ended(0, "is executed in place, version 9.9 after ");
        assert_int_equal(rig.execs, i);
        assert_int_equal(rig.exec_fd, 77);
        assert_true(rig.leaving == i && rig.not_leaving == i);
    }
}

static void watch_hold(uv_prepare_t *prepare)
{
    *(int *)prepare->data += rig.reexec.state == REEXEC_LEAVING && is_held();
}

/* What comes from then on is the new program's; what came before, the loop has told by then. */
static void signals_are_held_a_turn_before_it(void **state)
{
    static uv_prepare_t prepare;
    int turns = 0;
    (void)state;
    (void)uv_prepare_init(&rig.loop, &prepare);
    prepare.data = &turns;
    (void)uv_prepare_start(&prepare, watch_hold);
    uv_unref((uv_handle_t *)&prepare);
    ask(false);
    turn();
    ended(0, "is executed in place");
    assert_int_equal(rig.execs, 1);
    assert_true(turns > 0 && rig.exec_held);
    assert_false(is_held()); /* it could not be executed */
    uv_close((uv_handle_t *)&prepare, NULL);
}

static void signals_are_taken_when_it_has_to_wait_again(void **state)
{
    (void)state;
    ask(false);
    while (rig.reexec.state != REEXEC_LEAVING) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    assert_true(is_held());
    rig.last_why = "much has come in a moment";
    while (rig.reexec.state == REEXEC_LEAVING) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    assert_false(is_held());
    rig.last_why = NULL;
    while (rig.reexec.state != REEXEC_LEAVING) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    reexec_close(&rig.reexec); /* the agent stops */
    assert_false(is_held());
    assert_int_equal(rig.execs, 0);
}

static void a_program_that_would_not_start_is_not_executed(void **state)
{
    (void)state;
    rig.check_rc = ERR_REFUSED;
    ask(false);
    turn();
    ended(ERR_REFUSED, "not executed anew: it would not start here: no");
    ask(true);
    turn();
    ended(ERR_REFUSED, "not executed anew: it would not start here: no");
    assert_int_equal(rig.execs + rig.leaving + rig.handovers, 0);
}

static void a_dry_run_tells_what_it_would_wait_for(void **state)
{
    (void)state;
    rig.has_node = true;
    ask(true);
    turn();
    ended(0, "would be executed in place, version 9.9 after ");
    rig.why = "a callback runs";
    rig.why_looks = -1;
    ask(true);
    turn();
    ended(0, "; it would wait at first: a callback runs");
    assert_int_equal(rig.execs + rig.leaving + rig.handovers, 0);
}

static void what_stands_in_the_way_is_waited_for(void **state)
{
    (void)state;
    rig.why = "a callback runs";
    rig.why_looks = 3;
    ask(false);
    turn();
    ended(0, "is executed in place");
    assert_int_equal(rig.execs, 1);
    assert_true(rig.exec_looks > 3);
}

static void what_stands_in_the_way_for_ever_is_named_in_the_end(void **state)
{
    (void)state;
    rig.why = "a callback runs";
    rig.why_looks = -1;
    ask(false);
    turn();
    ended(ERR_BUSY, "not executed anew: a callback runs");
    assert_int_equal(rig.execs, 0);
    assert_true(rig.now_ms >= REEXEC_WAIT_MS);
}

static void leadership_is_handed_over_before_the_last_moment(void **state)
{
    (void)state;
    rig.has_node = true;
    ask(false);
    turn();
    assert_int_equal(rig.reexec.state, REEXEC_HANDING_OVER);
    assert_int_equal(rig.handovers, 1);
    rig.handed_over(rig.handed_arg, ERR_TIMEOUT, NULL); /* nobody was there in time: go on */
    turn();
    ended(0, "is executed in place");
    assert_int_equal(rig.execs, 1);
}

static void only_one_is_under_way(void **state)
{
    struct error err;
    (void)state;
    rig.has_node = true;
    ask(false);
    turn();
    assert_int_equal(reexec_ask(&rig.reexec, "another", true, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "already (handing over)"));
    rig.handed_over(rig.handed_arg, 0, NULL);
    turn();
    ended(0, "is executed in place");
}

static int stopped_with;
static void on_stopped(void *arg, int rc, const struct store_result *result)
{
    (void)result;
    assert_ptr_equal(arg, &stopped_with);
    stopped_with = rc;
}

/* A stop hands leadership over, too, and the node does it for one at a time. */
static void a_stop_waits_for_the_handing_over_that_is_under_way(void **state)
{
    struct error err;
    (void)state;
    stopped_with = 1;
    assert_false(reexec_hands_over(&rig.reexec, on_stopped, &stopped_with));
    rig.has_node = true;
    ask(false);
    turn();
    reexec_close(&rig.reexec);
    assert_true(reexec_hands_over(&rig.reexec, on_stopped, &stopped_with));
    rig.handed_over(rig.handed_arg, 0, NULL);
    turn();
    assert_int_equal(stopped_with, 0);
    assert_int_equal(rig.execs, 0);
    assert_int_equal(reexec_ask(&rig.reexec, "late", false, &err), ERR_BUSY);
    assert_string_equal(err.text, "the agent is stopping");
}

static void a_stop_while_it_is_checked_ends_it(void **state)
{
    (void)state;
    ask(false);
    reexec_close(&rig.reexec);
    rig.check_rc = ERR_CANCELED;
    turn();
    ended(ERR_CANCELED, "the agent is stopping");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_exec_that_fails_leaves_everything_as_it_was),
        TEST(signals_are_held_a_turn_before_it),
        TEST(signals_are_taken_when_it_has_to_wait_again),
        TEST(a_program_that_would_not_start_is_not_executed),
        TEST(a_dry_run_tells_what_it_would_wait_for),
        TEST(what_stands_in_the_way_is_waited_for),
        TEST(what_stands_in_the_way_for_ever_is_named_in_the_end),
        TEST(leadership_is_handed_over_before_the_last_moment),
        TEST(only_one_is_under_way),
        TEST(a_stop_waits_for_the_handing_over_that_is_under_way),
        TEST(a_stop_while_it_is_checked_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
