/* Starts on lock files that a server has left and whose number somebody else has now (FS-66), with
 * a real PostgreSQL. */
#include "pgctl/proc/pg_dir_lock.h"
#include "tests/unit/pgctl/pg_stage.h"

#include <fcntl.h>
#include <sys/file.h>

static char pidfile_path[128];
static char socket_lock_path[128];
static char note_path[128];

static void paths_of(const struct node *node)
{
    snprintf(pidfile_path, sizeof pidfile_path, "%s/postmaster.pid", node->data);
    /* "." is replaced by the state directory (pg_keep_sockets_outside) */
    snprintf(socket_lock_path, sizeof socket_lock_path, "%s/state/.s.PGSQL.%u.lock", node->dir,
             node->port);
    snprintf(note_path, sizeof note_path, "%s/state/started", node->dir);
}

/* Runs `program`, which is not this one once it runs. */
static pid_t sleeper_new(const char *program)
{
    int words[2];
    char end = 0;
    assert_int_equal(pipe2(words, O_CLOEXEC), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        (void)execl(program, "sleep", "600", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    close(words[1]);
    assert_int_equal(read(words[0], &end, 1), 0); /* closed by exec */
    close(words[0]);
    return pid;
}

static pid_t stranger_new(void)
{
    return sleeper_new("/bin/sleep");
}

static void stranger_end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* As if the server that has left them had had this number. */
static void files_name(pid_t pid)
{
    assert_int_equal(run("sed -i '1s/.*/%d/' %s %s", (int)pid, pidfile_path, socket_lock_path), 0);
    assert_int_equal(run("sed -i '2s/.*/%d/' %s", (int)pid, note_path), 0);
}

static char *text_of(const char *path)
{
    char text[2048] = "";
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    return mem_strdup(text);
}

/* The whole instance at once, and its files stay. */
static void power_fails(struct node *node)
{
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(fence_client_kill(node->fence, node->data, on_fence_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    WAIT_FOR(fence_client_status(node->fence)->all_gone);
    assert_int_equal(access(pidfile_path, F_OK), 0);
    assert_int_equal(access(socket_lock_path, F_OK), 0);
}

static bool is_locked(const struct node *node)
{
    int fd = open(node->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return locked;
}

static void expect_refused(struct node *node, int rc, const char *part)
{
    struct outcome outcome;
    char *before = text_of(pidfile_path);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, rc);
    if (part != NULL) {
        expect_text(&outcome, part);
    }
    char *after = text_of(pidfile_path);
    assert_string_equal(before, after);
    mem_free(before);
    mem_free(after);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void number_of_a_lost_server_that_another_has_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    pid_t stranger = stranger_new();

    paths_of(node);
    for (int round = 0; round < 2; round++) { /* the second time the number of the second server */
        assert_true(is_locked(node));
        power_fails(node);
        assert_false(is_locked(node));
        files_name(stranger);
        node_start_well(node, PG_START_PRIMARY, NULL);
    }
    assert_int_equal(kill(stranger, 0), 0);
    stranger_end(stranger);
    node_free(node);
}

/* A single-user backend, as pg_rewind starts one, takes postmaster.pid with it, and leaves the
 * socket's. */
static void lock_file_of_the_socket_alone_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    pid_t stranger = stranger_new();

    paths_of(node);
    power_fails(node);
    files_name(stranger);
    assert_int_equal(unlink(pidfile_path), 0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    assert_int_equal(kill(stranger, 0), 0);
    stranger_end(stranger);
    node_free(node);
}

/* The crash recovery before a rewind goes by them, too; it leaves the socket's to the start. */
static void number_that_another_has_does_not_stop_a_rewind(void **state)
{
    (void)state;
    struct node *old = primary_new("n1");
    struct node *new = standby_new("n2", old);
    struct outcome outcome;
    pid_t stranger = stranger_new();

    node_promote(new, 2, &outcome);
    CHECK_RC(&outcome, 0);
    paths_of(old);
    power_fails(old);
    files_name(stranger);
    node_rewind(old, new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_start_well(old, PG_START_STANDBY, new);
    assert_int_equal(kill(stranger, 0), 0);
    stranger_end(stranger);
    node_free(old);
    node_free(new);
}

/* A server that did not hold the lock when it ran: by hand, elsewhere, before there was a lock. */
static void lock_files_of_who_was_not_noted_stay(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    pid_t stranger = stranger_new();

    paths_of(node);
    power_fails(node);
    files_name(stranger);
    assert_int_equal(run("sed -i '4s/.*/17/' %s", note_path), 0); /* started at another time */
    expect_refused(node, ERR_IO, NULL);
    assert_int_equal(unlink(note_path), 0);
    expect_refused(node, ERR_IO, NULL);
    stranger_end(stranger);
    node_start_well(node, PG_START_PRIMARY, NULL); /* PostgreSQL removes them */
    node_free(node);
}

/* --- the note is lost, and one of ours has the number ----------------------------------------- */

static pid_t thread_of(pid_t pid)
{
    char path[64];
    pid_t thread = 0;
    const struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        pid_t number = (pid_t)strtol(entry->d_name, NULL, 10);
        thread = number > 0 && number != pid ? number : thread;
    }
    closedir(dir);
    assert_true(thread > 0);
    return thread;
}

static void note_is_lost(const struct node *node, pid_t number)
{
    file_put(note_path, "", 0600);
    files_name(number);
    assert_int_equal(unlink(note_path), 0);
    assert_int_equal(kill(number, 0), 0); /* PostgreSQL would take it for a living server */
    assert_false(is_locked(node));
}

static void number_that_is_a_thread_of_the_agent_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    paths_of(node);
    power_fails(node);
    note_is_lost(node, thread_of(getpid())); /* of libuv's pool */
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

static void number_that_is_a_thread_of_the_fence_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    paths_of(node);
    power_fails(node);
    note_is_lost(node, thread_of(fence_client_status(node->fence)->fence_pid));
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* A rewind has taken postmaster.pid with it. Another server's file is left alone. */
static void number_of_ours_in_the_lock_file_of_the_socket_alone_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct error err;
    bool cleared = true;
    paths_of(node);
    power_fails(node);
    note_is_lost(node, thread_of(getpid()));
    assert_int_equal(unlink(pidfile_path), 0);
    assert_int_equal(pg_dir_lock_clear(note_path, node->dir, socket_lock_path, 0, &cleared, &err),
                     0);
    assert_false(cleared);
    pid_t stranger = stranger_new();
    assert_int_equal(run("sed -i '1s/.*/%d/' %s", (int)stranger, socket_lock_path), 0);
    assert_int_equal(pg_dir_lock_clear(note_path, node->data, socket_lock_path, 0, &cleared, &err),
                     0);
    assert_false(cleared);
    assert_int_equal(run("sed -i '1s/.*/%d/' %s", (int)thread_of(getpid()), socket_lock_path), 0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    stranger_end(stranger);
    node_free(node);
}

/* Cut off in the recovery before a rewind: the number of a single-user backend stands there. */
static void number_of_a_lost_single_user_backend_does_not_keep_it_down(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    paths_of(node);
    power_fails(node);
    note_is_lost(node, thread_of(getpid()));
    assert_int_equal(unlink(socket_lock_path), 0);
    assert_int_equal(run("sed -i '1s/^/-/' %s", pidfile_path), 0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* The fence goes on with the program that it was started with, whose file is another one now. */
static void program_of_the_fence_may_have_been_replaced(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct error err;
    char old[96];
    bool cleared = true;

    paths_of(node);
    power_fails(node);
    snprintf(old, sizeof old, "%s/old", node->dir);
    assert_int_equal(run("cp /bin/sleep %s", old), 0);
    pid_t fence = sleeper_new(old);
    pid_t other = sleeper_new(old);
    assert_int_equal(unlink(old), 0);
    note_is_lost(node, other);
    assert_int_equal(pg_dir_lock_clear(note_path, node->data, "", 0, &cleared, &err), 0);
    assert_false(cleared);
    assert_int_equal(pg_dir_lock_clear(note_path, node->data, "", fence, &cleared, &err), 0);
    assert_true(cleared);
    node_start_well(node, PG_START_PRIMARY, NULL);
    stranger_end(other);
    stranger_end(fence);
    node_free(node);
}

/* No lock tells of a server that was started by hand: its memory does, while one of it lives. */
static void living_backends_keep_it_down_whoever_has_the_number(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    char value[16];

    paths_of(node);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(run(PG_BIN "/pg_ctl -s -w -D %s -l %s/own.log -o '-p %u -k %s/state' start",
                         node->data, node->dir, node->port, node->dir),
                     0);
    assert_int_equal(unlink(note_path), 0);
    node_sql(node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'", value,
             sizeof value);
    pid_t checkpointer = (pid_t)strtol(value, NULL, 10);
    assert_int_equal(kill(checkpointer, SIGSTOP), 0);
    assert_int_equal(run("kill -9 $(head -1 %s)", pidfile_path), 0);
    assert_int_equal(
        run("sed -i '1s/.*/%d/' %s %s", (int)thread_of(getpid()), pidfile_path, socket_lock_path),
        0);
    assert_false(is_locked(node));
    struct outcome outcome;
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_BUSY); /* the fence sees them; who does not goes by the file */
    assert_int_equal(run("! " PG_BIN "/postgres -D %s -p %u -k %s/state >%s/own.log 2>&1",
                         node->data, node->port, node->dir, node->dir),
                     0);
    assert_int_equal(run("grep -q 'pre-existing shared memory block' %s/own.log", node->dir), 0);
    assert_int_equal(kill(checkpointer, SIGKILL), 0);
    WAIT_FOR(run("grep -q '^State:.[RSDT]' /proc/%d/status", (int)checkpointer) != 0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* Who has it is not seen: neither its number nor its memory says that it lives. */
static void nothing_is_started_while_somebody_holds_the_lock(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    paths_of(node);
    power_fails(node);
    int fd = open(node->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    expect_refused(node, ERR_BUSY, "somebody holds the lock");
    close(fd);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* The one that must not be: two servers in one directory. One that was started by hand has no lock,
 * and its pid file is not the noted one. */
static void server_that_was_started_by_hand_is_left_alone(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct error err;
    bool cleared = true;

    paths_of(node);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(run(PG_BIN "/pg_ctl -s -w -D %s -l %s/own.log -o '-p %u -k %s/state' start",
                         node->data, node->dir, node->port, node->dir),
                     0);
    char *before = text_of(pidfile_path);
    assert_int_equal(pg_dir_lock_clear(note_path, node->data, "", 0, &cleared, &err), 0);
    assert_false(cleared);
    expect_refused(node, ERR_EXISTS, "works in the data directory already");
    pid_t stranger = stranger_new(); /* as it looks from another container */
    assert_int_equal(run("sed -i '1s/.*/%d/' %s", (int)stranger, pidfile_path), 0);
    assert_int_equal(pg_dir_lock_clear(note_path, node->data, "", 0, &cleared, &err), 0);
    assert_false(cleared);
    file_put(pidfile_path, before, 0600);
    assert_int_equal(run(PG_BIN "/pg_ctl -s -w -m fast -D %s stop", node->data), 0);
    stranger_end(stranger);
    mem_free(before);
    node_free(node);
}

/* The fence is lost, and a backend outlives everything: it holds the lock as long as it lives. */
static void every_process_of_a_server_holds_the_lock(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    char value[16];

    paths_of(node);
    node_sql(node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'", value,
             sizeof value);
    pid_t checkpointer = (pid_t)strtol(value, NULL, 10);
    int32_t postmaster = fence_client_status(node->fence)->postmaster_pid;
    pid_t fence = fence_client_status(node->fence)->fence_pid;
    assert_int_equal(kill(fence, SIGSTOP), 0); /* it would end the rest */
    assert_int_equal(kill(checkpointer, SIGSTOP), 0);
    assert_int_equal(kill(postmaster, SIGKILL), 0);
    for (int i = 0; i < 20; i++) {
        assert_true(is_locked(node));
        usleep(10000);
    }
    assert_int_equal(kill(fence, SIGCONT), 0);
    WAIT_FOR(fence_client_status(node->fence)->all_gone);
    assert_false(is_locked(node));
    node_free(node);
}

static int all_tests(void)
{
/* clang-format off */
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        ON_STAGE(number_of_a_lost_server_that_another_has_does_not_keep_it_down),
        ON_STAGE(lock_file_of_the_socket_alone_does_not_keep_it_down),
        ON_STAGE(number_that_another_has_does_not_stop_a_rewind),
        ON_STAGE(lock_files_of_who_was_not_noted_stay),
        ON_STAGE(number_that_is_a_thread_of_the_agent_does_not_keep_it_down),
        ON_STAGE(number_that_is_a_thread_of_the_fence_does_not_keep_it_down),
        ON_STAGE(number_of_ours_in_the_lock_file_of_the_socket_alone_does_not_keep_it_down),
        ON_STAGE(number_of_a_lost_single_user_backend_does_not_keep_it_down),
        ON_STAGE(program_of_the_fence_may_have_been_replaced),
        ON_STAGE(living_backends_keep_it_down_whoever_has_the_number),
        ON_STAGE(nothing_is_started_while_somebody_holds_the_lock),
        ON_STAGE(server_that_was_started_by_hand_is_left_alone),
        ON_STAGE(every_process_of_a_server_holds_the_lock),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
