/* What a fence that died has left behind: the kernel takes the postmaster along, and a backend that
 * computes notices nothing. It can commit until somebody ends it. */
#include "tests/unit/pgctl/pg_stage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SIGNALLED_MS 1900 /* before a silent fence is known for one */

static pid_t busy_backend(const struct node *node, PGconn **ret_conn)
{
    PGconn *conn = node_connect(node);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    assert_int_equal(PQsendQuery(conn, "do $$ begin loop end loop; end $$"), 1);
    *ret_conn = conn;
    pid_t pid = PQbackendPID(conn);
    char *sql = mem_printf("SELECT state FROM pg_stat_activity WHERE pid = %d", (int)pid);
    char value[64] = "";
    WAIT_FOR((node_sql(node, sql, value, sizeof value), strcmp(value, "active") == 0));
    mem_free(sql);
    return pid;
}

/* The next agent's part: a fence that has started nothing and knows of nothing. */
static void fence_replace(struct node *node)
{
    bool freed = false;
    fence_client_free(node->fence, on_freed, &freed);
    WAIT_FOR(freed);
    node_connect_fence(node);
    node_agent(node, true);
}

static void stop_ends_what_a_dead_fence_has_left(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    PGconn *conn = NULL;
    pid_t backend = busy_backend(node, &conn);
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;

    kill(fence_client_status(node->fence)->fence_pid, SIGKILL);
    WAIT_FOR(!fence_client_connected(node->fence) && !pid_lives(postmaster));
    assert_true(pid_lives(backend));
    fence_replace(node);
    assert_int_equal(fence_client_status(node->fence)->starts, 0);
    assert_false(fence_client_status(node->fence)->all_gone);

    node_stop(node, FENCE_STOP_IMMEDIATE, LONG_MS / 2);
    assert_false(pid_lives(backend));
    assert_true(fence_client_status(node->fence)->all_gone);
    PQfinish(conn);
    node_free(node);
}

/* The same for a node on which nothing ever ran: the answer is there at once. */
static void stop_with_nothing_to_stop_says_that_all_are_gone(void **state)
{
    (void)state;
    struct node *node = node_new("n1");
    assert_false(fence_client_status(node->fence)->all_gone);
    node_stop(node, FENCE_STOP_IMMEDIATE, LONG_MS / 2);
    assert_true(fence_client_status(node->fence)->all_gone);
    node_free(node);
}

static void loop_run_ms(int64_t time_ms)
{
    for (int64_t until_ms = now_ms() + time_ms; now_ms() < until_ms;) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

/* Without descriptors there may be a server to be asked, and there is no haste. */
static void stop_that_sees_nothing_neither_kills_nor_ends(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS / 2};
    struct outcome outcome = {0};
    struct error err;
    struct rlimit before;
    int next = dup(STDIN_FILENO); /* the lowest one that is free */
    assert_true(next > 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {(rlim_t)next, before.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    loop_run_ms(500);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(outcome.calls, 0);
    assert_false(fence_client_status(node->fence)->all_gone);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_true(fence_client_status(node->fence)->all_gone);
    node_free(node);
}

/* What became of PostgreSQL nobody knows: its log would have no reason of an end. */
static void start_that_loses_the_fence_says_what_is_lost(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct pg_start start = {.role = PG_START_PRIMARY};
    struct outcome outcome = {0};
    struct pg_job_status job;
    struct error err;

    node_program(node, "postgres", "echo $$ > child.tmp; mv child.tmp child; exec sleep 1000");
    assert_int_equal(pg_instance_start(node->pg, &start, LONG_MS, on_done, &outcome, &err), 0);
    WAIT_FOR((pg_instance_job(node->pg, &job), strncmp(job.step, "waiting", 7) == 0) &&
             file_number(node->dir, "child") != 0);
    kill(fence_client_status(node->fence)->fence_pid, SIGKILL);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CLOSED);
    expect_text(&outcome, "the connection to the fence process was lost while PostgreSQL started, "
                          "and with the process PostgreSQL ends, too: the next fence stops what is "
                          "left, and then it can be started again");
    WAIT_FOR(!pid_lives(file_number(node->dir, "child")));
    node_program_back(node, "postgres");
    fence_replace(node);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* Its agent lives, and may have lost the lease. */
static void fence_that_stands_still_keeps_nobody_from_stopping(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    for (int known = 0; known <= 1; known++) {
        struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = known ? 0 : LONG_MS / 2};
        struct outcome outcome = {0};
        struct error err;
        pid_t fence = fence_client_status(node->fence)->fence_pid;
        pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;

        assert_false(fence_client_status(node->fence)->silent);
        kill(fence, SIGSTOP);
        if (known) {
            WAIT_FOR(fence_client_status(node->fence)->silent);
        }
        assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
        WAIT_FOR(!pid_lives(postmaster));
        /* It is over without a word of the fence, which has not even reaped its child. */
        outcome_wait(&outcome);
        CHECK_RC(&outcome, 0);
        assert_true(fence_client_status(node->fence)->silent);
        assert_true(fence_client_status(node->fence)->all_gone);
        assert_false(fence_client_status(node->fence)->running);
        kill(fence, SIGCONT);
        WAIT_FOR(!fence_client_status(node->fence)->silent &&
                 fence_client_status(node->fence)->all_gone);
        if (!known) {
            node_start_well(node, PG_START_PRIMARY, NULL);
        }
    }
    node_free(node);
}

/* How long the postmaster outlives a stop, whose fence has stood still for no time yet. */
static int64_t outlives(struct node *node, const struct pg_stop *stop, struct outcome *outcome)
{
    struct error err;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;
    int64_t began = now_ms();

    assert_int_equal(pg_instance_stop(node->pg, stop, on_done, outcome, &err), 0);
    assert_false(fence_client_status(node->fence)->silent);
    WAIT_FOR(!pid_lives(postmaster));
    return now_ms() - began;
}

/* Whoever stops it does not wait until it is known that the fence stands still. */
static void postmaster_gets_its_signal_before_the_fence_has_answered(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    for (int i = 0; i < 3; i++) {
        struct pg_stop stop = {.mode = i == 0 ? FENCE_STOP_FAST : FENCE_STOP_IMMEDIATE,
                               .kill_after_ms = i == 1 ? 0 : LONG_MS};
        struct outcome outcome = {0};
        pid_t fence = fence_client_status(node->fence)->fence_pid;

        kill(fence, SIGSTOP);
        assert_in_range(outlives(node, &stop, &outcome), 0, SIGNALLED_MS);
        if (i == 0) { /* and is over as soon as it is known */
            outcome_wait(&outcome);
            CHECK_RC(&outcome, 0);
        }
        kill(fence, SIGCONT);
        outcome_wait(&outcome);
        CHECK_RC(&outcome, 0);
        WAIT_FOR(!fence_client_status(node->fence)->silent &&
                 fence_client_status(node->fence)->all_gone);
        if (i < 2) {
            node_start_well(node, PG_START_PRIMARY, NULL);
        }
    }
    node_free(node);
}

/* A stop that a session holds up, whose request lies unread: that job ends when the fence answers,
 * and the next one takes its place. */
static void stop_does_not_wait_for_the_job_before_to_signal(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct pg_stop smart = {.mode = FENCE_STOP_SMART, .kill_after_ms = LONG_MS};
    struct pg_stop fast = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS};
    struct outcome outcomes[2] = {{0}, {0}};
    struct pg_job_status job;
    struct error err;
    pid_t fence = fence_client_status(node->fence)->fence_pid;
    PGconn *session = node_connect(node);

    kill(fence, SIGSTOP);
    assert_int_equal(pg_instance_stop(node->pg, &smart, on_done, &outcomes[0], &err), 0);
    WAIT_FOR((pg_instance_job(node->pg, &job), strcmp(job.step, "stopping PostgreSQL") == 0));
    assert_in_range(outlives(node, &fast, &outcomes[1]), 0, SIGNALLED_MS);
    kill(fence, SIGCONT);
    outcome_wait(&outcomes[0]);
    CHECK_RC(&outcomes[0], ERR_CANCELED);
    outcome_wait(&outcomes[1]);
    CHECK_RC(&outcomes[1], 0);
    PQfinish(session);
    node_free(node);
}

/* Neither the postmaster nor a session hears the signals of a shutdown. */
static void what_does_not_end_is_killed_beside_a_fence_that_stands_still(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = 300};
    struct outcome outcome = {0};
    struct error err;
    pid_t fence = fence_client_status(node->fence)->fence_pid;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;
    PGconn *session = node_connect(node);
    pid_t backend = PQbackendPID(session);

    kill(fence, SIGSTOP);
    WAIT_FOR(fence_client_status(node->fence)->silent);
    kill(backend, SIGSTOP);
    kill(postmaster, SIGSTOP);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_false(pid_lives(postmaster));
    assert_false(pid_lives(backend));
    assert_true(fence_client_status(node->fence)->all_gone);
    PQfinish(session);

    /* Nothing is left that it would guard. */
    assert_int_equal(fence_client_end(node->fence, &err), 0);
    WAIT_FOR(!fence_client_connected(node->fence));
    fence_replace(node);
    assert_int_not_equal(fence_client_status(node->fence)->fence_pid, fence);
    node_stop(node, FENCE_STOP_IMMEDIATE, LONG_MS / 2);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

static void lease_ends_in(struct node *node, int64_t left_ms)
{
    struct fence_lease page = {.epoch = {.cluster = 1, .revision = 7},
                               .soft_ms = FENCE_NO_DEADLINE,
                               .deadline_ms = clock_lease_ms(clock_real()) + left_ms,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(node->fence), &page);
}

/* A server that no shutdown ends, beside a fence that is known to stand still. */
static PGconn *deaf_node(struct node **ret_node)
{
    struct node *node = *ret_node = primary_new("n1");
    PGconn *session = node_connect(node);
    assert_int_equal(PQstatus(session), CONNECTION_OK);
    kill(fence_client_status(node->fence)->fence_pid, SIGSTOP);
    WAIT_FOR(fence_client_status(node->fence)->silent);
    kill(PQbackendPID(session), SIGSTOP);
    return session;
}

/* Its pid file is a pipe, at which whoever opens it stands still. */
static void disk_that_hangs_keeps_nobody_from_killing(void **state)
{
    (void)state;
    struct node *node = NULL;
    PGconn *session = deaf_node(&node);
    struct pg_stop stop = {.mode = FENCE_STOP_IMMEDIATE};
    struct outcome outcome = {0};
    struct error err;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;
    pid_t backend = PQbackendPID(session);
    char *path = mem_printf("%s/postmaster.pid", node->data);
    char *aside = mem_printf("%s/aside", node->dir);

    kill(postmaster, SIGSTOP);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    WAIT_FOR(!pid_lives(backend) && !pid_lives(postmaster));
    assert_int_equal(outcome.calls, 0);
    int fd = -1;
    WAIT_FOR((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0);
    assert_int_equal(rename(aside, path), 0);
    (void)close(fd);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    PQfinish(session);
    kill(fence_client_status(node->fence)->fence_pid, SIGCONT);
    mem_free(path);
    mem_free(aside);
    node_free(node);
}

/* The lease is renewed while it stops, and then is not any more: the page is read again and again.
 */
static void deadline_of_the_page_is_kept_in_the_place_of_a_silent_fence(void **state)
{
    (void)state;
    struct node *node = NULL;
    PGconn *session = deaf_node(&node);
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS};
    struct outcome outcome = {0};
    struct error err;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;

    lease_ends_in(node, 500);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    for (int64_t until_ms = now_ms() + 1500; now_ms() < until_ms;) {
        lease_ends_in(node, 500);
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_true(pid_lives(postmaster) && outcome.calls == 0);
    int64_t began_ms = now_ms();
    WAIT_FOR(!pid_lives(postmaster));
    assert_in_range(now_ms() - began_ms, 0, 2000);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    PQfinish(session);
    kill(fence_client_status(node->fence)->fence_pid, SIGCONT);
    node_free(node);
}

/* A command before the stop is no reason to let commits through after the deadline. */
static void command_before_a_stop_ends_at_the_deadline_of_a_silent_fence(void **state)
{
    (void)state;
    struct node *node = NULL;
    PGconn *session = deaf_node(&node);
    const char *const words[] = {"/bin/sleep", "1000"};
    struct pg_command before = {.what = "before_stop", .words = {words, 2}, .timeout_ms = LONG_MS};
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS, .before = &before};
    struct outcome outcome = {0};
    struct error err;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;

    lease_ends_in(node, 500);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    int64_t began_ms = now_ms();
    WAIT_FOR(!pid_lives(postmaster));
    assert_in_range(now_ms() - began_ms, 400, 3000);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    PQfinish(session);
    kill(fence_client_status(node->fence)->fence_pid, SIGCONT);
    node_free(node);
}

static bool is_stopped(pid_t pid)
{
    char path[64];
    char text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        (void)!fread(text, 1, sizeof text - 1, file);
        (void)fclose(file);
    }
    const char *paren = strrchr(text, ')');
    return paren != NULL && strlen(paren) > 2 && paren[2] == 'T';
}

/* Its postmaster is stopped by then, and would end by nothing else. */
static void fence_that_answers_again_ends_a_kill_that_was_begun(void **state)
{
    (void)state;
    struct node *node = NULL;
    PGconn *session = deaf_node(&node);
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = 300};
    struct outcome outcome = {0};
    struct error err;
    pid_t postmaster = fence_client_status(node->fence)->postmaster_pid;

    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    WAIT_FOR(is_stopped(postmaster) || outcome.calls > 0);
    kill(fence_client_status(node->fence)->fence_pid, SIGCONT);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_false(pid_lives(postmaster));
    PQfinish(session);
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(stop_ends_what_a_dead_fence_has_left),
        ON_STAGE(start_that_loses_the_fence_says_what_is_lost),
        ON_STAGE(fence_that_stands_still_keeps_nobody_from_stopping),
        ON_STAGE(what_does_not_end_is_killed_beside_a_fence_that_stands_still),
        ON_STAGE(disk_that_hangs_keeps_nobody_from_killing),
        ON_STAGE(deadline_of_the_page_is_kept_in_the_place_of_a_silent_fence),
        ON_STAGE(command_before_a_stop_ends_at_the_deadline_of_a_silent_fence),
        ON_STAGE(fence_that_answers_again_ends_a_kill_that_was_begun),
        ON_STAGE(postmaster_gets_its_signal_before_the_fence_has_answered),
        ON_STAGE(stop_does_not_wait_for_the_job_before_to_signal),
        ON_STAGE(stop_that_sees_nothing_neither_kills_nor_ends),
        ON_STAGE(stop_with_nothing_to_stop_says_that_all_are_gone),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
