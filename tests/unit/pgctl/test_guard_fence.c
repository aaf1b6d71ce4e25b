/* The guard in a server that the fence has started, on the page that it hands over: what the guard
 * is for is the time in which the fence should have acted, and has not. Skipped where `make guard`
 * has not built it. */
#include "tests/unit/pgctl/pg_stage.h"

#include <sys/sendfile.h>

#define MODULE  "build/guard/" PG_HERE_TEXT "/pgquorum_guard.so"
#define HOUR_MS 3600000

static int module_fd = -1;

static void module_copy(char *ret_path, size_t size)
{
    struct stat about;
    snprintf(ret_path, size, "%s/pgquorum_guard.so", stage_dir);
    assert_int_equal(fstat(module_fd, &about), 0);
    int to = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    assert_true(to >= 0);
    for (off_t at = 0; at < about.st_size;) {
        assert_true(sendfile(to, module_fd, &at, (size_t)(about.st_size - at)) > 0);
    }
    assert_int_equal(close(to), 0);
}

static struct node *primary_with(const char *name, const char *library)
{
    struct outcome outcome;
    struct node *node = node_of_template(name);
    assert_int_equal(run("echo \"shared_preload_libraries = '%s'\" >> %s/postgresql.base.conf",
                         library, node->data),
                     0);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, 0);
    return node;
}

static void page_say(struct node *node, int64_t soft_in_ms)
{
    int64_t lease_now_ms = clock_lease_ms(clock_real());
    const struct fence_lease lease = {.epoch = {.cluster = 1, .revision = 9},
                                      .soft_ms = lease_now_ms + soft_in_ms,
                                      .deadline_ms = lease_now_ms + 2 * (int64_t)HOUR_MS,
                                      .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(node->fence), &lease);
}

/* NULL = it was committed, else its SQLSTATE. */
static const char *insert(PGconn *conn)
{
    static char code[8];
    PGresult *result = PQexec(conn, "INSERT INTO t VALUES (1)");
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(code, sizeof code, "%s", said != NULL ? said : "none");
    PQclear(result);
    return done ? NULL : code;
}

/* It does not stop before the signal has reached it. */
static void stop_and_see(pid_t pid)
{
    char path[64];
    char state = '?';
    int64_t until_ms = now_ms() + BOUND_MS;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (state != 'T') {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        fclose(file);
        assert_true(now_ms() < until_ms);
    }
}

/* The fence stands still over its soft deadline, as on a host that starves it. */
static void commit_past_a_fence_that_hangs(const char *name, const char *library, bool guarded)
{
    struct node *node = primary_with(name, library);
    PGconn *conn = node_connect(node);
    PQclear(PQexec(conn, "CREATE TABLE t (n int)"));
    page_say(node, HOUR_MS);
    assert_null(insert(conn));
    pid_t fence = fence_client_status(node->fence)->fence_pid;
    stop_and_see(fence);
    page_say(node, -1);
    const char *refused = insert(conn);
    if (guarded) {
        assert_non_null(refused);
        assert_string_equal(refused, "25006");
    } else {
        assert_null(refused);
    }
    page_say(node, HOUR_MS);
    assert_null(insert(conn));
    assert_int_equal(kill(fence, SIGCONT), 0);
    PQfinish(conn);
    node_free(node);
}

static void a_fence_that_hangs_lets_no_commit_pass(void **state)
{
    char path[96];
    (void)state;
    if (module_fd < 0) {
        skip();
    }
    module_copy(path, sizeof path);
    commit_past_a_fence_that_hangs("guarded", path, true);
}

static void without_the_guard_it_does(void **state)
{
    (void)state;
    commit_past_a_fence_that_hangs("plain", "", false);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {ON_STAGE(a_fence_that_hangs_lets_no_commit_pass),
                                       ON_STAGE(without_the_guard_it_does)};
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    module_fd = open(MODULE, O_RDONLY | O_CLOEXEC);
    return stage_main(argc, argv, all_tests);
}
