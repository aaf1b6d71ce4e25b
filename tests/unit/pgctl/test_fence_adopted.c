/* A server that the fence has adopted, as Patroni or somebody by hand has started it: no child of
 * its own, but found by its directory, and bound by the page (docs/safety.md). FS-19, FS-21 and
 * FS-24 with one: at K every process of it is gone.
 *
 * The fence adopts after it has killed in either way, and as its first; nothing of an instance
 * before may stand in for what is found now. */
#include "tests/unit/pgctl/fence_stage.h"

enum { K_MS = 1500, FROZEN_MS = 700 };

static struct before {
    bool had_own;
    enum fence_kill_way way;
} befores[] = {{true, FENCE_KILL_CGROUP}, {true, FENCE_KILL_LOOP}, {false, FENCE_KILL_AUTO}};

/* --- one that is adopted ---------------------------------------------------------------------- */

/* As a fence of another release, or after a pause, it has had an instance of its own. */
static void end_own(struct rig *rig, enum fence_kill_way way)
{
    struct error err;
    assert_int_equal(agent_start(rig, way), 0);
    (void)backend_open();
    backends_close();
    assert_int_equal(rig_status(rig)->by_cgroup, way == FENCE_KILL_CGROUP);
    assert_int_equal(
        fence_client_stop(rig->client, FENCE_STOP_FAST, FENCE_NO_DEADLINE, rig_on_done, rig, &err),
        0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    rig->seen[FENCE_EVENT_ALL_GONE] = 0;
}

/* With a backend that computes, and two that are idle. */
static void adopt(struct rig *rig, const struct before *before)
{
    struct error err;
    if (before->had_own) {
        end_own(rig, before->way);
    }
    start_by_hand();
    backends_open(3);
    assert_int_equal(fence_client_adopt(rig->client, rig_data_dir, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_false(rig_status(rig)->running);
    assert_true(processes() > 3);
}

static const struct before *before_of(void **state)
{
    struct before *before = *state;
    if (before->had_own) {
        void *way = &before->way;
        (void)way_of(&way);
    }
    return before;
}

static pid_t postmaster_pid(void)
{
    char path[256];
    int pid = 0;
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", rig_data_dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    (void)fclose(file);
    return pid;
}

/* All of it, and when that was seen; without the loop, as where nobody asks the fence. */
static int64_t wait_empty(int64_t until_ms)
{
    while (processes() > 0 && now_ms() < until_ms) {
        usleep(2000);
    }
    int64_t seen_ms = now_ms();
    assert_int_equal(processes(), 0);
    return seen_ms;
}

static void end(struct rig *rig)
{
    backends_close();
    rig_end(rig);
    remove_locks();
}

/* --- at K ------------------------------------------------------------------------------------- */

static void deadline_ends_all_of_it(void **state)
{
    struct rig *rig = rig_new();
    adopt(rig, before_of(state));
    agent_arm(rig, 5, FENCE_NO_DEADLINE, K_MS);
    int64_t deadline_ms = now_ms() + K_MS;
    assert_false(rig_saw(rig, FENCE_EVENT_FIRED, K_MS - 300)); /* not before it */
    assert_true(processes() > 3);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    assert_int_equal(processes(), 0);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 1);
    assert_true(rig->seen_ms[FENCE_EVENT_ALL_GONE] - deadline_ms <= LOADED(KILL_MS));
    end(rig);
}

/* FS-19. The agent in a process of its own: it adopts, arms, and stands still. */
static void agent_that_stands_still_leaves_nothing_after_k(void **state)
{
    const struct before *before = before_of(state);
    int status = 0;
    pid_t agent = fork_in_test();
    if (agent == 0) {
        struct rig *rig = rig_new();
        adopt(rig, before);
        agent_arm(rig, 5, FENCE_NO_DEADLINE, K_MS);
        raise(SIGSTOP);
        _exit(1);
    }
    assert_int_equal(waitpid(agent, &status, WUNTRACED), agent);
    assert_true(WIFSTOPPED(status));
    int64_t stood_ms = now_ms();
    assert_true(processes() > 3);
    (void)wait_empty(stood_ms + K_MS + LOADED(KILL_MS));
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    struct rig *rig = rig_new();
    assert_true(fence_client_found_running(rig->client));
    assert_int_equal(rig_status(rig)->fired.revision, 5);
    end(rig);
}

/* FS-21. All of the node stands still beyond K, and the fence is the last to go on. */
static void what_thaws_after_k_is_ended_at_once(void **state)
{
    struct rig *rig = rig_new();
    adopt(rig, before_of(state));
    pid_t fence = rig_status(rig)->fence_pid;
    agent_arm(rig, 5, FENCE_NO_DEADLINE, K_MS);
    assert_int_equal(kill(fence, SIGSTOP), 0);
    int count = processes_signal(SIGSTOP);
    assert_true(count > 3);
    for (int64_t until_ms = now_ms() + K_MS + FROZEN_MS; now_ms() < until_ms;) {
        usleep(10000); /* one that is stopped may be a child of ours: SIGCHLD ends it early */
    }
    assert_int_equal(processes(), count);
    assert_int_equal(processes_signal(SIGCONT), count);
    assert_int_equal(kill(fence, SIGCONT), 0);
    int64_t thawed_ms = now_ms();
    int64_t empty_ms = wait_empty(thawed_ms + LOADED(KILL_MS));
    print_message("adopted: gone %lld ms after the thaw\n", (long long)(empty_ms - thawed_ms));
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 1);
    end(rig);
}

/* FS-24. The backend that computes does not see its postmaster's end, and the fence is told of it
 * by nobody. */
static void backend_that_outlives_its_postmaster_ends_at_k(void **state)
{
    struct rig *rig = rig_new();
    adopt(rig, before_of(state));
    agent_arm(rig, 5, FENCE_NO_DEADLINE, K_MS);
    int64_t deadline_ms = now_ms() + K_MS;
    pid_t postmaster = postmaster_pid();
    assert_int_equal(kill(postmaster, SIGKILL), 0);
    assert_false(rig_saw(rig, FENCE_EVENT_FIRED, K_MS - 300));
    assert_true(processes() > 0); /* that one */
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    assert_int_equal(processes(), 0);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 1);
    assert_true(rig->seen_ms[FENCE_EVENT_ALL_GONE] - deadline_ms <= LOADED(KILL_MS));
    (void)waitpid(postmaster, NULL, WNOHANG); /* ours, as an init's */
    end(rig);
}

/* --- at S, and without a deadline ------------------------------------------------------------- */

/* The fast shutdown of S reaches a postmaster that is no child of the fence. */
static void adopted_one_is_shut_down_at_the_soft_deadline(void **state)
{
    struct rig *rig = rig_new();
    adopt(rig, before_of(state));
    backends_close();
    agent_arm(rig, 5, 300, 60000);
    assert_true(rig_saw(rig, FENCE_EVENT_SOFT_STOP, 10000));
    (void)wait_empty(now_ms() + LOADED(5000));
    char *command =
        mem_printf(PG_BIN "/pg_controldata '%s' | grep -q 'state: *shut down$'", rig_data_dir);
    assert_int_equal(run(command), 0); /* in order, not by a kill */
    mem_free(command);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 0);
    rig_end(rig);
}

/* Told to end, it stays as long as the page binds what it has adopted. */
static void a_fence_with_one_that_is_bound_does_not_quit(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct error err;
    start_by_hand();
    (void)backend_open();
    backends_close();

    assert_int_equal(fence_client_adopt(rig->client, "/nowhere", rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_NOT_FOUND);
    assert_int_equal(fence_client_adopt(rig->client, rig_data_dir, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_false(rig_status(rig)->running);
    assert_false(rig_status(rig)->all_gone);
    agent_arm(rig, 5, FENCE_NO_DEADLINE, 1000);
    assert_int_equal(fence_client_quit(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_BUSY); /* it is bound by the page */
    assert_true(processes() > 0);
    assert_true(rig_saw(rig, FENCE_EVENT_FIRED, 5000));
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    assert_int_equal(processes(), 0);
    end(rig);
}

/* ---------------------------------------------------------------------------------------------- */

static int all_tests(void)
{
/* clang-format off */
#define EACH(test) \
    {#test " (cgroup)", test, NULL, NULL, &befores[0]}, {#test " (loop)", test, NULL, NULL, &befores[1]}, \
    {#test " (first)", test, NULL, NULL, &befores[2]}
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        EACH(deadline_ends_all_of_it),
        EACH(agent_that_stands_still_leaves_nothing_after_k),
        EACH(what_thaws_after_k_is_ended_at_once),
        EACH(backend_that_outlives_its_postmaster_ends_at_k),
        EACH(adopted_one_is_shut_down_at_the_soft_deadline),
        cmocka_unit_test(a_fence_with_one_that_is_bound_does_not_quit),
    };
    return cmocka_run_group_tests(tests, make_instance, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, "adopted", all_tests);
}
