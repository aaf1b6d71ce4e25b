/* The fence with a real PostgreSQL, in both ways of killing (fence_stage.h).
 *
 * The agent's part is in this process; where it has to be killed, in a child (agent_fork). */
#include "tests/unit/pgctl/fence_stage.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

/* --- the tests, each in both ways ------------------------------------------------------------- */

static void kill_with_backends(enum fence_kill_way way, int count)
{
    struct rig *rig = rig_new();
    assert_int_equal(agent_start(rig, way), 0);
    backends_open(count);
    assert_true(processes() > count);
    assert_int_equal(rig_status(rig)->by_cgroup, way == FENCE_KILL_CGROUP);

    agent_arm(rig, 5, FENCE_NO_DEADLINE, 300);
    int64_t deadline_ms = now_ms() + 300;
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    assert_int_equal(processes(), 0);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 1);
    assert_int_equal(rig->seen[FENCE_EVENT_SOFT_STOP], 0);
    assert_int_equal(rig->seen[FENCE_EVENT_POSTMASTER_EXITED], 1);
    int64_t took_ms = rig->seen_ms[FENCE_EVENT_ALL_GONE] - deadline_ms;
    print_message("dF way=%s backends=%d from deadline to all gone: %lld ms (kill alone %lld ms)\n",
                  way == FENCE_KILL_CGROUP ? "cgroup" : "loop", count, (long long)took_ms,
                  (long long)rig_status(rig)->kill_ms);
    assert_true(took_ms <= LOADED(KILL_MS));
    assert_true(rig_status(rig)->all_gone);
    backends_close();
    rig_end(rig);
}

static void deadline_kills_busy_and_idle_backends(void **state)
{
    kill_with_backends(way_of(state), 5);
}

static void deadline_kills_500_backends(void **state)
{
    kill_with_backends(way_of(state), 500);
}

static void soft_deadline_shuts_down_in_order(void **state)
{
    enum fence_kill_way way = way_of(state);
    struct rig *rig = rig_new();
    assert_int_equal(agent_start(rig, way), 0);
    (void)backend_open();
    agent_arm(rig, 5, 200, 60000);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    assert_int_equal(rig->seen[FENCE_EVENT_SOFT_STOP], 1);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 0);
    const struct fence_status *status = rig_status(rig);
    assert_true(status->exited);
    assert_int_equal(status->wait_status, 0);
    backends_close();
    rig_end(rig);
}

/* The agent in a process of its own: starts, arms, tells its postmaster's pid, then dies or stops.
 */
static pid_t agent_fork(enum fence_kill_way way, bool hang, int64_t soft_ms, int64_t kill_ms,
                        pid_t *ret_postmaster)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        struct rig *rig = rig_new();
        bool started = agent_start(rig, way) == 0;
        pid_t postmaster = rig_status(rig)->postmaster_pid;
        (void)backend_open();
        PGconn *busy = connections[0];
        (void)PQsendQuery(busy, "do $$ begin loop end loop; end $$");
        agent_arm(rig, 5, soft_ms, kill_ms);
        if (!started || write(pipe_fds[1], &postmaster, sizeof postmaster) != sizeof postmaster) {
            _exit(1);
        }
        raise(hang ? SIGSTOP : SIGKILL);
        _exit(1);
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], ret_postmaster, sizeof *ret_postmaster),
                     sizeof *ret_postmaster);
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    return pid;
}

static void agent_crash(enum fence_kill_way way, bool hang)
{
    pid_t postmaster = 0;
    pid_t pid = agent_fork(way, hang, 1000, 1500, &postmaster);
    assert_true(pid_lives(postmaster));
    /* The shutdown of S may end it before K; a busy backend is ended by it too. */
    (void)wait_dead(postmaster, 1500 + LOADED(KILL_MS));
    int64_t until_ms = now_ms() + LOADED(KILL_MS);
    while (processes() > 0 && now_ms() < until_ms) {
        usleep(5000);
    }
    assert_int_equal(processes(), 0);
    if (hang) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    struct rig *rig = rig_new();
    assert_true(fence_client_found_running(rig->client));
    assert_int_equal(rig_status(rig)->stopped.revision, 5);
    rig_end(rig);
}

static void dead_agent_leaves_nothing_running_after_the_deadline(void **state)
{
    agent_crash(way_of(state), false);
}

static void hung_agent_leaves_nothing_running_after_the_deadline(void **state)
{
    agent_crash(way_of(state), true);
}

static void restarted_agent_goes_on_with_page_and_postmaster(void **state)
{
    pid_t postmaster = 0;
    (void)agent_fork(way_of(state), false, 2500, 3000, &postmaster);
    struct rig *rig = rig_new();
    struct fence_lease lease;
    assert_true(fence_client_found_running(rig->client));
    assert_true(fence_page_read(fence_client_page(rig->client), &lease));
    assert_int_equal(lease.epoch.revision, 5);
    assert_true(fence_lease_armed(&lease));
    assert_int_equal(rig_status(rig)->postmaster_pid, postmaster);
    for (int i = 0; i < 7; i++) { /* renewals, beyond the deadline of the page that was found */
        agent_arm(rig, 5, 2500, 3000);
        assert_false(rig_saw(rig, FENCE_EVENT_SOFT_STOP, 500));
    }
    assert_true(pid_lives(postmaster));
    rig_end(rig);
}

static void dead_fence_takes_the_postmaster_along_and_the_next_fence_the_rest(void **state)
{
    struct rig *rig = rig_new();
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    backends_open(3);
    pid_t postmaster = rig_status(rig)->postmaster_pid;
    kill(rig_status(rig)->fence_pid, SIGKILL);
    int64_t took_ms = wait_dead(postmaster, LOADED(KILL_MS));
    print_message("postmaster gone %lld ms after its fence\n", (long long)took_ms);
    /* This process is a subreaper, as an init is: a zombie would look alive to the next postmaster.
     * It becomes ours when the last thread of its fence is gone, and it dies with the first. */
    pid_t reaped = -1;
    for (int i = 0; i < 1000 && reaped < 0; i++) {
        reaped = waitpid(postmaster, NULL, 0);
        if (reaped < 0) {
            usleep(5000);
        }
    }
    assert_int_equal(reaped, postmaster);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 5000));
    assert_false(fence_client_connected(rig->client));
    assert_true(processes() > 0); /* the backend that computes */
    rig_free(rig);

    rig = rig_new();
    assert_false(fence_client_found_running(rig->client));
    assert_int_equal(agent_start(rig, FENCE_KILL_AUTO), ERR_BUSY);
    rig_kill(rig);
    assert_int_equal(processes(), 0);
    backends_close();
    rig_end(rig);
}

static void dead_postmaster_is_followed_by_its_busy_backends(void **state)
{
    struct rig *rig = rig_new();
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    backends_open(3);
    int64_t from = now_ms();
    kill(rig_status(rig)->postmaster_pid, SIGKILL);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    print_message("all gone %lld ms after the postmaster was killed\n",
                  (long long)(rig->seen_ms[FENCE_EVENT_ALL_GONE] - from));
    assert_int_equal(processes(), 0);
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 0);
    assert_true(WIFSIGNALED(rig_status(rig)->wait_status));
    backends_close();
    rig_end(rig);
}

static void stopped_postmaster_and_a_stop_that_takes_too_long_are_killed(void **state)
{
    struct rig *rig = rig_new();
    struct error err;
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    backends_open(3);
    kill(rig_status(rig)->postmaster_pid, SIGSTOP);
    assert_int_equal(
        fence_client_stop(rig->client, FENCE_STOP_FAST, now_ms() + 300, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    assert_int_equal(processes(), 0);
    backends_close();
    rig_end(rig);
}

static void late_write_after_the_fire_starts_nothing(void **state)
{
    enum fence_kill_way way = way_of(state);
    struct rig *rig = rig_new();
    assert_int_equal(agent_start(rig, way), 0);
    agent_arm(rig, 5, FENCE_NO_DEADLINE, 50);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    agent_arm(rig, 5, 60000, 60000);
    assert_int_equal(agent_start(rig, way), ERR_REFUSED);
    assert_string_equal(rig->err.text, "the epoch on the page is over");
    agent_arm(rig, 6, 60000, 60000);
    assert_int_equal(agent_start(rig, way), 0);
    (void)backend_open();
    agent_arm(rig, 5, 60000, 60000); /* a page that falls back kills what runs */
    rig->seen[FENCE_EVENT_ALL_GONE] = 0;
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    assert_int_equal(rig->seen[FENCE_EVENT_FIRED], 1);
    backends_close();
    rig_end(rig);
}

/* The fence is stopped while a start is on its way to it, and the agent gives the epoch up. */
static void start_that_comes_late_does_not_run_under_another_page(void **state)
{
    struct rig *rig = rig_new();
    struct fence_lease standby = fence_lease_standby();
    struct error err;
    pid_t fence = rig_status(rig)->fence_pid;
    const char *argv[] = {PG_BIN "/postgres", "-D", rig_data_dir, NULL};
    const char *env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};
    struct fence_start start = {
        .data_dir = rig_data_dir, .argv = argv, .env = env, .kill_way = way_of(state)};

    agent_arm(rig, 5, 60000, 60000);
    kill(fence, SIGSTOP);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    fence_page_write(fence_client_page(rig->client), &standby);
    kill(fence, SIGCONT);
    assert_int_equal(rig_answer(rig), ERR_REFUSED);
    assert_int_equal(rig_status(rig)->starts, 0);
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    rig_end(rig);
}

/* --- once each -------------------------------------------------------------------------------- */

static void start_that_cannot_work_says_why(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    const char *argv[] = {"/nowhere/postgres", NULL};
    const char *env[] = {NULL};
    struct fence_start start = {.data_dir = rig_data_dir, .argv = argv, .env = env};
    struct error err;
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_IO);
    assert_non_null(strstr(rig->err.text, strerror(ENOENT)));
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    start.data_dir = "/nowhere";
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_IO);
    rig_end(rig);
}

/* Whoever it is: it may work in the directory where nobody sees it. */
static void start_beside_the_holder_of_the_directory_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    const char *argv[] = {"/nowhere/postgres", NULL};
    const char *env[] = {NULL};
    struct fence_start start = {.data_dir = rig_data_dir, .argv = argv, .env = env};
    struct error err;
    char path[256];

    (void)snprintf(path, sizeof path, "%s/postmaster.pid", rig_data_dir);
    (void)unlink(path); /* of a test before */
    int lock = open(rig_data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_IO);
    assert_non_null(strstr(rig->err.text, "executing '/nowhere/postgres'")); /* so far it got */
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    (void)close(file);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_IO);
    assert_non_null(strstr(rig->err.text, "another server works in it"));
    (void)close(lock);
    assert_int_equal(unlink(path), 0);
    rig_end(rig);
}

static void second_start_and_early_quit_are_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct error err;
    assert_int_equal(fence_client_reload(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_NOT_FOUND);
    assert_int_equal(agent_start(rig, FENCE_KILL_LOOP), 0);
    assert_int_equal(agent_start(rig, FENCE_KILL_LOOP), ERR_BUSY);
    assert_int_equal(fence_client_reload(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_int_equal(fence_client_quit(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_BUSY);
    (void)backend_open();
    assert_int_equal(
        fence_client_stop(rig->client, FENCE_STOP_FAST, FENCE_NO_DEADLINE, rig_on_done, rig, &err),
        0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    assert_int_equal(rig_status(rig)->wait_status, 0);
    backends_close();
    assert_int_equal(fence_client_quit(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0); /* at once: nothing is left */
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 5000));
    rig_free(rig);
}

/* In pause the operator starts it; with the end of the pause the page binds it. No child of the
 * fence, it is the fence's to kill: told to quit, by its agent or by the system, it stays for that.
 */
static void primary_started_by_hand_keeps_the_fence(void **state)
{
    struct rig *rig = rig_new();
    struct error err;
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    (void)backend_open();
    backends_close();
    assert_int_equal(
        fence_client_stop(rig->client, FENCE_STOP_FAST, FENCE_NO_DEADLINE, rig_on_done, rig, &err),
        0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    start_by_hand();
    assert_true(processes() > 0);

    agent_arm(rig, 5, FENCE_NO_DEADLINE, 2000);
    rig->seen[FENCE_EVENT_ALL_GONE] = 0;
    assert_int_equal(fence_client_quit(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_BUSY);
    assert_int_equal(kill(rig_status(rig)->fence_pid, SIGTERM), 0);
    assert_false(rig_saw(rig, FENCE_EVENT_LOST, 1000));
    assert_true(processes() > 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 5000));
    assert_int_equal(processes(), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 5000)); /* and then it goes, as it was told */
    rig_free(rig);
    remove_locks();
}

static void own_instance_is_not_left_for_another(void **state)
{
    struct rig *rig = rig_new();
    struct error err;
    assert_int_equal(agent_start(rig, way_of(state)), 0);
    assert_int_equal(fence_client_adopt(rig->client, rig_data_dir, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_BUSY);
    assert_int_equal(
        fence_client_stop(rig->client, FENCE_STOP_FAST, FENCE_NO_DEADLINE, rig_on_done, rig, &err),
        0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
    rig_end(rig);
}

static void freed_client_ends_its_requests_as_canceled(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct error err;
    assert_int_equal(fence_client_query(rig->client, rig_on_done, rig, &err), 0);
    assert_false(rig->answered);
    fence_client_free(rig->client, NULL, NULL);
    assert_int_equal(rig_answer(rig), ERR_CANCELED);
    rig->client = NULL;
    rig_free(rig);
    rig_end(rig_new());
}

static void fence_that_stands_still_or_answers_again_is_told(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    pid_t fence = rig_status(rig)->fence_pid;
    kill(fence, SIGSTOP);
    assert_true(rig_saw(rig, FENCE_EVENT_SILENCE, 20000));
    assert_true(rig_status(rig)->silent);
    rig->seen[FENCE_EVENT_SILENCE] = 0;
    kill(fence, SIGCONT);
    assert_true(rig_saw(rig, FENCE_EVENT_SILENCE, 20000));
    assert_false(rig_status(rig)->silent);
    assert_int_equal(rig->seen[FENCE_EVENT_SILENCE], 1);
    rig_end(rig);
}

static void fence_is_ended_only_where_it_stands_still_and_nothing_is_left(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    pid_t fence = rig_status(rig)->fence_pid;
    assert_int_equal(rig_start(rig), 0);
    pid_t postmaster = rig_status(rig)->postmaster_pid;
    assert_false(fence_client_note_gone(rig->client)); /* it answers, and is believed */
    assert_int_equal(fence_client_end(rig->client, &err), ERR_BUSY);
    kill(fence, SIGSTOP);
    assert_true(rig_saw(rig, FENCE_EVENT_SILENCE, 20000));
    assert_int_equal(fence_client_end(rig->client, &err), ERR_BUSY);
    assert_true(pid_lives(postmaster));
    kill(postmaster, SIGKILL);
    RIG_WAIT(rig, !pid_lives(postmaster), 5000);
    assert_true(rig_status(rig)->running); /* as it has last said */
    assert_true(fence_client_note_gone(rig->client));
    assert_false(rig_status(rig)->running);
    assert_true(rig_status(rig)->all_gone);
    kill(fence, SIGCONT);
    for (int64_t until_ms = now_ms() + 1000; now_ms() < until_ms;) {
        (void)usleep(10000); /* what it says lies unread */
    }
    assert_int_equal(fence_client_end(rig->client, &err), ERR_BUSY);
    assert_true(pid_lives(fence));
    RIG_WAIT(rig, !rig_status(rig)->silent && rig_status(rig)->all_gone, 5000);
    kill(fence, SIGSTOP);
    RIG_WAIT(rig, rig_status(rig)->silent, 20000);
    assert_int_equal(fence_client_end(rig->client, &err), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 5000));
    assert_false(pid_lives(fence));
    rig_free(rig);
}

static void start_under_way_is_not_passed_over(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    const char *env[] = {NULL};
    struct fence_start start = {
        .data_dir = rig_data_dir, .argv = rig_sleeper(), .env = env, .kill_way = FENCE_KILL_LOOP};
    pid_t fence = rig_status(rig)->fence_pid;
    kill(fence, SIGSTOP);
    assert_true(rig_saw(rig, FENCE_EVENT_SILENCE, 20000));
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_false(fence_client_note_gone(rig->client));
    assert_int_equal(rig_answer(rig), ERR_TIMEOUT);
    assert_true(fence_client_note_gone(rig->client)); /* it would be read too late */
    assert_false(rig_status(rig)->starting);
    kill(fence, SIGCONT);
    assert_int_equal(fence_client_query(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_int_equal(rig_status(rig)->starts, 0);
    rig_end(rig);
}

static void one_fence_and_one_agent_per_runtime_directory(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct error err;
    int lock = -1;
    int second = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(98);
        }
        execl(rig_fence_path, rig_fence_path, rig_runtime_dir, (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);

    assert_int_equal(fence_lock_agent(rig_runtime_dir, 0, &lock, &err), 0);
    assert_int_equal(fence_lock_agent(rig_runtime_dir, 0, &second, &err), ERR_BUSY);
    char *want = mem_printf("process %d", (int)getpid());
    assert_non_null(strstr(err.text, want));
    mem_free(want);
    close(lock);
    assert_int_equal(fence_lock_agent(rig_runtime_dir, 0, &second, &err), 0);
    close(second);
    rig_end(rig);
}

static void runtime_directory_of_others_is_refused(void **state)
{
    (void)state;
    struct error err;
    char *open_dir = mem_printf("%s/open", rig_dir);
    char *long_dir = mem_printf("%s/%0100d", rig_dir, 1);
    assert_int_equal(mkdir(open_dir, 0755), 0);
    assert_int_equal(chmod(open_dir, 0755), 0);
    assert_int_equal(fence_runtime_prepare(open_dir, &err), ERR_PERMISSION);
    assert_int_equal(fence_runtime_prepare(long_dir, &err), ERR_LIMIT);
    assert_int_equal(fence_runtime_prepare("relative", &err), ERR_INVALID);
    assert_int_equal(fence_runtime_prepare("/nowhere/there", &err), ERR_NOT_FOUND);
    assert_int_equal(fence_runtime_prepare("/", &err), ERR_PERMISSION);
    mem_free(open_dir);
    mem_free(long_dir);
}

static void postmaster_inherits_nothing_of_the_fence(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    char path[64];
    char text[4096] = "";
    assert_int_equal(agent_start(rig, FENCE_KILL_LOOP), 0);
    (void)backend_open();
    int postmaster = rig_status(rig)->postmaster_pid;
    snprintf(path, sizeof path, "/proc/%d/environ", postmaster);
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    assert_non_null(
        memmem(text, (size_t)len, FENCE_ENV_PAGE_FD "=", strlen(FENCE_ENV_PAGE_FD "=")));
    assert_non_null(memmem(text, (size_t)len, "PGSERVICEFILE=", 14));
    assert_null(memmem(text, (size_t)len, "HOME=", 5));
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", postmaster);
    FILE *file = fopen(path, "r");
    int score = -1;
    assert_int_equal(fscanf(file, "%d", &score), 1);
    fclose(file);
    assert_int_equal(score, 0);
    assert_int_equal(sched_getscheduler(postmaster), SCHED_OTHER);
    backends_close();
    rig_end(rig);
}

static int all_tests(void)
{
    static enum fence_kill_way ways[] = {FENCE_KILL_CGROUP, FENCE_KILL_LOOP};
/* clang-format off */
#define BOTH(test) \
    {#test " (cgroup)", test, NULL, NULL, &ways[0]}, {#test " (loop)", test, NULL, NULL, &ways[1]}
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        BOTH(deadline_kills_busy_and_idle_backends),
        BOTH(deadline_kills_500_backends),
        BOTH(soft_deadline_shuts_down_in_order),
        BOTH(dead_agent_leaves_nothing_running_after_the_deadline),
        BOTH(hung_agent_leaves_nothing_running_after_the_deadline),
        BOTH(restarted_agent_goes_on_with_page_and_postmaster),
        BOTH(dead_fence_takes_the_postmaster_along_and_the_next_fence_the_rest),
        BOTH(dead_postmaster_is_followed_by_its_busy_backends),
        BOTH(stopped_postmaster_and_a_stop_that_takes_too_long_are_killed),
        BOTH(late_write_after_the_fire_starts_nothing),
        BOTH(start_that_comes_late_does_not_run_under_another_page),
        BOTH(primary_started_by_hand_keeps_the_fence),
        BOTH(own_instance_is_not_left_for_another),
        cmocka_unit_test(start_that_cannot_work_says_why),
        cmocka_unit_test(start_beside_the_holder_of_the_directory_is_refused),
        cmocka_unit_test(second_start_and_early_quit_are_refused),
        cmocka_unit_test(freed_client_ends_its_requests_as_canceled),
        cmocka_unit_test(fence_that_stands_still_or_answers_again_is_told),
        cmocka_unit_test(fence_is_ended_only_where_it_stands_still_and_nothing_is_left),
        cmocka_unit_test(start_under_way_is_not_passed_over),
        cmocka_unit_test(one_fence_and_one_agent_per_runtime_directory),
        cmocka_unit_test(runtime_directory_of_others_is_refused),
        cmocka_unit_test(postmaster_inherits_nothing_of_the_fence),
    };
    return cmocka_run_group_tests(tests, make_instance, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, "fence", all_tests);
}
