/* The fence where the system round it stands still or fails (tests/chaos/stall_preload.c): its
 * standard error, a look at a working directory, the list of all processes. */
#include "tests/unit/pgctl/fence_rig.h"

#include <fcntl.h>
#include <sys/wait.h>

static void broken(const char *what, bool is)
{
    char *path = mem_printf("%s/%s", rig_dir, what);
    if (is) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    } else {
        (void)unlink(path);
    }
    mem_free(path);
}

static int as_it_was(void **state)
{
    (void)state;
    broken("stderr", false);
    broken("cwd", false);
    broken("proc", false);
    broken("join", false);
    return 0;
}

/* A fence whose standard error is that file. */
static struct rig *rig_saying_to(const char *name)
{
    char *path = mem_printf("%s/%s", rig_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    int real = dup(STDERR_FILENO);
    assert_true(real >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    struct rig *rig = rig_new();
    (void)dup2(real, STDERR_FILENO);
    (void)close(real);
    (void)close(fd);
    mem_free(path);
    return rig;
}

static void said(const char *name, char *ret_text, size_t size)
{
    char *path = mem_printf("%s/%s", rig_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, ret_text, size - 1);
    ret_text[len > 0 ? len : 0] = '\0';
    (void)close(fd);
    mem_free(path);
}

static void log_that_stands_still_holds_up_no_kill(void **state)
{
    char text[4096];
    (void)state;
    struct rig *rig = rig_saying_to("fence.log");
    assert_int_equal(rig_start(rig), 0);
    broken("stderr", true);
    struct fence_lease last = rig_lease(5, 400);
    rig_page(rig, last);
    RIG_WAIT(rig, rig->seen[FENCE_EVENT_ALL_GONE] > 0, 5000);
    assert_true(now_ms() - last.deadline_ms < 2000);
    said("fence.log", text, sizeof text);
    assert_string_equal(text, "");
    broken("stderr", false);
    rig_end(rig);
    said("fence.log", text, sizeof text); /* and what it had to say was only late */
    assert_non_null(strstr(text, "pgquorum-fence: the lease ends soon"));
    assert_non_null(strstr(text, "pgquorum-fence: the lease has ended"));
    assert_non_null(strstr(text, "pgquorum-fence: every process of the instance is gone after"));
}

static void working_directory_whose_server_is_silent_holds_up_no_kill(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start(rig), 0);
    broken("cwd", true);
    struct fence_lease last = rig_lease(5, 400);
    rig_page(rig, last);
    RIG_WAIT(rig, rig->seen[FENCE_EVENT_ALL_GONE] > 0, 5000);
    assert_true(now_ms() - last.deadline_ms < 2000);
    broken("cwd", false);
    rig_end(rig);
}

static void list_of_processes_that_cannot_be_read_is_not_an_empty_one(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start(rig), 0);
    broken("proc", true);
    rig_page(rig, rig_lease(5, 300));
    RIG_WAIT(rig, rig->seen[FENCE_EVENT_POSTMASTER_EXITED] > 0, 5000);
    rig_run_for(rig, 300);
    assert_int_equal(rig->seen[FENCE_EVENT_ALL_GONE], 0);
    assert_false(rig_status(rig)->all_gone);
    assert_true(rig_status(rig)->killing);
    broken("proc", false);
    RIG_WAIT(rig, rig->seen[FENCE_EVENT_ALL_GONE] > 0, 5000);
    /* Nor is anything started meanwhile. */
    rig_page(rig, fence_lease_standby());
    broken("proc", true);
    assert_int_equal(rig_start(rig), ERR_BUSY);
    assert_non_null(strstr(rig->err.text, "/proc"));
    broken("proc", false);
    rig_end(rig);
}

/* Started by hand: found by its working directory alone. At the soft deadline it does not end. */
static pid_t by_hand(void)
{
    pid_t pid = fork_in_test();
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        (void)signal(SIGINT, SIG_IGN);
        _exit(chdir(rig_data_dir) == 0 ? execl("/bin/sleep", "sleep", "60", (char *)NULL) : 1);
    }
    return pid;
}

static void directory_that_cannot_be_looked_at_is_not_forgotten(void **state)
{
    int status = 0;
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start(rig), 0);
    rig_kill(rig);
    assert_int_equal(rig_start_program(rig, "/nowhere", NULL, rig_sleeper()), ERR_IO);
    assert_non_null(strstr(rig->err.text, "'/nowhere'"));
    pid_t pid = by_hand();
    rig_run_for(rig, 200);
    rig_page(rig, rig_lease(7, 300));
    RIG_WAIT(rig, !pid_lives(pid), 5000);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    rig_end(rig);
}

/* As `systemctl kill -s USR2` of the agent's unit sends them. */
static void signals_for_the_agent_end_nothing(void **state)
{
    static const int numbers[] = {SIGHUP, SIGUSR1, SIGUSR2};
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start(rig), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_int_equal(kill(rig_status(rig)->fence_pid, numbers[i]), 0);
    }
    rig_run_for(rig, 200);
    assert_int_equal(rig->seen[FENCE_EVENT_LOST], 0);
    assert_true(rig_status(rig)->running);
    rig_end(rig);
}

static void start_that_is_read_late_starts_nothing(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start(rig), 0);
    rig_kill(rig);
    assert_true(rig_status(rig)->all_gone);
    const char *env[] = {NULL};
    struct fence_start start = {
        .data_dir = rig_data_dir, .argv = rig_sleeper(), .env = env, .kill_way = FENCE_KILL_LOOP};
    kill(rig_status(rig)->fence_pid, SIGSTOP);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    /* It may begin at any moment: nobody may rewind or remove the directory now. */
    assert_false(rig_status(rig)->all_gone);
    assert_true(rig_status(rig)->starting);
    assert_int_equal(rig_answer(rig), ERR_TIMEOUT);
    assert_false(rig_status(rig)->all_gone);
    assert_true(rig_status(rig)->starting);
    kill(rig_status(rig)->fence_pid, SIGCONT);
    assert_int_equal(fence_client_query(rig->client, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_int_equal(rig_status(rig)->starts, 1);
    assert_false(rig_status(rig)->running);
    assert_true(rig_status(rig)->all_gone);
    assert_false(rig_status(rig)->starting);
    assert_int_equal(rig_start(rig), 0);
    assert_int_equal(rig_status(rig)->starts, 2);
    rig_end(rig);
}

/* Its answer would come when nobody waits for it any more. */
static void start_that_is_read_when_its_time_is_almost_over_starts_nothing(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    const char *env[] = {NULL};
    struct fence_start start = {
        .data_dir = rig_data_dir, .argv = rig_sleeper(), .env = env, .kill_way = FENCE_KILL_LOOP};
    kill(rig_status(rig)->fence_pid, SIGSTOP);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    rig_run_for(rig, 4300);
    kill(rig_status(rig)->fence_pid, SIGCONT);
    int rc = rig_answer(rig);
    assert_true(rc == ERR_REFUSED || rc == ERR_TIMEOUT); /* where this one was late itself */
    assert_int_equal(rig_status(rig)->starts, 0);
    rig_end(rig);
}

/* A start whose child waits where it opens its log, a pipe that nobody reads. */
static void start_and_hang(struct rig *rig)
{
    struct error err;
    char *fifo = mem_printf("%s/fifo", rig_dir);
    const char *env[] = {NULL};
    struct fence_start start = {.data_dir = rig_data_dir,
                                .log_path = fifo,
                                .argv = rig_sleeper(),
                                .env = env,
                                .kill_way = FENCE_KILL_LOOP};
    (void)unlink(fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    rig_run_for(rig, 200);
    assert_false(rig->answered);
    mem_free(fifo);
}

static void child_that_was_killed_before_its_program_ran_is_no_start(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    start_and_hang(rig);
    struct rig other = {0};
    assert_int_equal(fence_client_query(rig->client, rig_on_done, &other, &err), 0);
    RIG_WAIT(rig, other.answered, 5000);
    assert_true(rig_status(rig)->postmaster_pid > 0);
    kill(rig_status(rig)->postmaster_pid, SIGKILL);
    assert_int_equal(rig_answer(rig), ERR_IO);
    assert_non_null(strstr(rig->err.text, "signal 9"));
    rig_end(rig);
}

/* Numbers of requests begin anew with each agent. */
static void outcome_of_a_start_is_no_answer_to_the_next_agent(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    start_and_hang(rig);
    rig_free(rig);

    rig = rig_new();
    assert_true(fence_client_found_running(rig->client));
    pid_t child = rig_status(rig)->postmaster_pid;
    pid_t fence = rig_status(rig)->fence_pid;
    assert_true(child > 0);
    kill(fence, SIGSTOP); /* so that it finds both at once */
    assert_int_equal(fence_client_query(rig->client, rig_on_done, rig, &err), 0);
    kill(child, SIGKILL);
    usleep(50000);
    kill(fence, SIGCONT);
    assert_int_equal(rig_answer(rig), 0);
    rig_end(rig);
}

static void failed_start_names_place_and_remedy(void **state)
{
    const char *argv[] = {"/nowhere/postgres", NULL};
    (void)state;
    struct rig *rig = rig_new();
    assert_int_equal(rig_start_program(rig, rig_data_dir, NULL, argv), ERR_IO);
    assert_non_null(strstr(rig->err.text, "executing '/nowhere/postgres': No such file"));
    assert_non_null(strstr(rig->err.text, "bin_dir"));
    RIG_WAIT(rig, rig_status(rig)->all_gone, 5000);
    assert_int_equal(rig_start_program(rig, rig_data_dir, "/nowhere/log", rig_sleeper()), ERR_IO);
    assert_non_null(strstr(rig->err.text, "opening the log '/nowhere/log': No such file"));
    rig_end(rig);
}

static void group_that_was_not_joined_is_not_told(void **state)
{
    struct error err;
    (void)state;
    struct rig *rig = rig_new();
    const char *env[] = {NULL};
    struct fence_start start = {
        .data_dir = rig_data_dir, .argv = rig_sleeper(), .env = env, .kill_way = FENCE_KILL_AUTO};
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    bool has_cgroup = rig_status(rig)->by_cgroup;
    rig_kill(rig);
    if (!has_cgroup) {
        rig_end(rig);
        skip();
    }
    broken("join", true);
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_false(rig_status(rig)->by_cgroup);
    rig_kill(rig);
    /* Asked for, it is a reason not to start. */
    start.kill_way = FENCE_KILL_CGROUP;
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), ERR_IO);
    assert_non_null(strstr(rig->err.text, "cgroup"));
    rig_end(rig);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (rig_open("stall") != 0) {
        return 1;
    }
    char *stub = mem_printf("%s/stall_preload.so", rig_build);
    setenv("LD_PRELOAD", stub, 1);
    setenv("STALL_STUB", rig_dir, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
    mem_free(stub);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(log_that_stands_still_holds_up_no_kill, as_it_was),
        cmocka_unit_test_teardown(working_directory_whose_server_is_silent_holds_up_no_kill,
                                  as_it_was),
        cmocka_unit_test_teardown(list_of_processes_that_cannot_be_read_is_not_an_empty_one,
                                  as_it_was),
        cmocka_unit_test_teardown(directory_that_cannot_be_looked_at_is_not_forgotten, as_it_was),
        cmocka_unit_test_teardown(signals_for_the_agent_end_nothing, as_it_was),
        cmocka_unit_test_teardown(start_that_is_read_late_starts_nothing, as_it_was),
        cmocka_unit_test_teardown(start_that_is_read_when_its_time_is_almost_over_starts_nothing,
                                  as_it_was),
        cmocka_unit_test_teardown(child_that_was_killed_before_its_program_ran_is_no_start,
                                  as_it_was),
        cmocka_unit_test_teardown(outcome_of_a_start_is_no_answer_to_the_next_agent, as_it_was),
        cmocka_unit_test_teardown(failed_start_names_place_and_remedy, as_it_was),
        cmocka_unit_test_teardown(group_that_was_not_joined_is_not_told, as_it_was),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    rig_close();
    return rc == 0 ? 0 : 1;
}
