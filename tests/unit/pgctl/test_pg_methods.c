/* Data directories that are filled by commands of the operator, on a real PostgreSQL. */
#include "pg_stage.h"
#include "pgctl/proc/pg_files.h"

#define SHELL_MAX 512

static char script[SHELL_MAX]; /* "$d" is the data directory, "$c" the connection string */
static const char *words[4] = {"sh", "-c", script, "method"};

static struct pg_method method(const char *name, const char *then)
{
    snprintf(script, sizeof script,
             "for a; do case $a in --datadir=*) d=${a#*=};; --connstring=*) c=${a#*=};; esac; "
             "done; %s",
             then);
    return (struct pg_method){.name = name, .words = {words, 4}};
}

static void make_by(struct node *node, const struct pg_method *by, const struct pg_command *post,
                    struct outcome *ret_outcome)
{
    static const char *const options[] = {"CREATEDB"};
    const struct pg_user users[] = {{"admin", "another", {options, 1}}};
    struct pg_bootstrap bootstrap = {
        .users = users, .user_count = 1, .method = by, .post_init = post};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(
        pg_instance_bootstrap(node->pg, &bootstrap, LONG_MS, on_done, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

/* The template has the accounts already: they are altered. */
static void a_cluster_is_made_of_what_a_command_has_left(void **state)
{
    (void)state;
    char then[256];
    char value[64];
    struct outcome outcome;
    struct node *node = node_new("n1");
    /* Of a cluster whose commits waited for standbys, which are nobody here. */
    snprintf(then, sizeof then,
             "cp -a %s/. $d/ && echo \"synchronous_standby_names = 'gone'\" > "
             "$d/postgresql.sync.conf",
             template_dir);
    struct pg_method by = method("copied", then);
    make_by(node, &by, NULL, &outcome);
    CHECK_RC(&outcome, 0);
    node_sql(node, "SHOW synchronous_standby_names", value, sizeof value);
    assert_string_equal(value, "");
    node_inspect(node);
    assert_true(inspected.control.system_identifier == template_id);
    assert_true(inspected.unannounced_system_id == template_id);
    node_sql(node, "SELECT rolcreatedb FROM pg_roles WHERE rolname = 'admin'", value, sizeof value);
    assert_string_equal(value, "t");
    node_free(node);
}

static void what_is_no_data_directory_is_not_started(void **state)
{
    (void)state;
    struct outcome outcome;
    struct node *node = node_new("n1");
    struct pg_method by = method("nothing", "touch $d/PG_VERSION");
    make_by(node, &by, NULL, &outcome);
    CHECK_RC(&outcome, ERR_INVALID);
    assert_non_null(strstr(outcome.err.text, "custom bootstrap nothing: it has ended well"));
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, 0);
    by = method("fails", "exit 3");
    make_by(node, &by, NULL, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    assert_false(fence_client_status(node->fence)->running);
    node_free(node);
}

static void copy_without_source(struct node *node, struct outcome *ret_outcome)
{
    struct pg_clone clone = {.system_identifier = template_id};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

static void a_directory_that_was_replaced_is_told(void **state)
{
    (void)state;
    char then[320];
    struct outcome outcome;
    struct node *node = node_new("n1");
    snprintf(then, sizeof then, "cp -a %s $d.new && rm -rf $d && mv $d.new $d", template_dir);
    struct pg_method methods[1] = {method("replaced", then)};
    make_by(node, &methods[0], NULL, &outcome);
    CHECK_RC(&outcome, ERR_INVALID);
    assert_non_null(strstr(outcome.err.text, "is another directory than before"));
    node_free(node);
    node = node_new("n2");
    methods[0].no_leader = true;
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, ERR_INVALID);
    assert_non_null(strstr(outcome.err.text, "is another directory than before"));
    node_free(node);
}

static void a_cluster_that_post_bootstrap_refuses_is_not_left_running(void **state)
{
    (void)state;
    char then[256];
    struct outcome outcome;
    static const char *const no[] = {"false"};
    const struct pg_command post = {.what = "post", .words = {no, 1}, .timeout_ms = 5000};
    struct node *node = node_new("n1");
    snprintf(then, sizeof then, "cp -a %s/. $d/", template_dir);
    struct pg_method by = method("copied", then);
    make_by(node, &by, &post, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    assert_false(fence_client_status(node->fence)->running);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP);
    node_free(node);
}

/* --- copies ----------------------------------------------------------------------------------- */

static void is_a_standbys_copy(struct node *node)
{
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_true(inspected.standby_signal);
    assert_true(inspected.control.system_identifier == template_id);
}

static void a_copy_without_a_source_is_a_method_s_that_needs_none(void **state)
{
    (void)state;
    char then[256];
    struct outcome outcome;
    struct pg_method methods[3] = {{.name = "basebackup"}};
    struct node *node = node_new("n1");
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, ERR_UNSUPPORTED);
    snprintf(then, sizeof then, "test -z \"$c\" && cp -a %s/. $d/", template_dir);
    methods[1] = method("archive", then);
    node->method_count = 2;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, ERR_UNSUPPORTED);
    methods[1].no_leader = true;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, 0);
    is_a_standbys_copy(node); /* though it was a primary's, shut down in order */
    node_start_well(node, PG_START_STANDBY, NULL);
    node_free(node);
}

/* What the first has left is gone, and the second's is another cluster's. */
static void a_method_that_fails_is_followed_by_the_next(void **state)
{
    (void)state;
    struct outcome outcome;
    static const char *const leaves[] = {"sh", "-c", "touch ${3#*=}/left; exit 1", "m"};
    struct node *primary = primary_new("n1");
    struct pg_method methods[3] = {
        {.name = "leaves", .words = {leaves, 4}},
        method("foreign", "test ! -e $d/left && " PG_BIN "/initdb --no-sync -D $d > /dev/null"),
        {.name = "basebackup"}};
    struct node *node = node_new("n2");
    node->methods = methods;
    node->method_count = 2;
    node_agent(node, true);
    node_clone(node, primary, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CONFLICT);
    assert_non_null(strstr(outcome.err.text, "replica method foreign: what it has made has"));
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    node->method_count = 3;
    node_agent(node, true);
    node_clone_well(node, primary);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_true(inspected.control.system_identifier == template_id);
    node_free(node);
    node_free(primary);
}

/* Of a standby cluster: the section says which, in its order. */
static void only_the_methods_that_are_named_are_tried(void **state)
{
    (void)state;
    struct error err;
    struct outcome outcome = {0};
    static const char *const marks[] = {"sh", "-c", "touch ${3#*=}/tried; exit 1", "m"};
    static const char *const names[] = {"unknown", "basebackup"};
    struct node *primary = primary_new("n1");
    struct pg_method methods[1] = {{.name = "marks", .words = {marks, 4}}};
    struct node *node = node_new("n2");
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    struct pg_clone clone = {.host = "127.0.0.1",
                             .port = primary->port,
                             .system_identifier = template_id,
                             .methods = {names, 1}};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_NOT_FOUND);
    assert_non_null(
        strstr(outcome.err.text, "create_replica_methods of this member does not name 'unknown'"));
    clone.methods.count = 2;
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_inspect(node);
    assert_true(inspected.control.system_identifier == template_id);
    char path[PG_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tried", node->data);
    assert_int_equal(access(path, F_OK), -1);
    node_free(node);
    node_free(primary);
}

/* Whether it says that it has ended well or not. */
static void a_server_that_a_method_has_left_is_ended_before_the_next(void **state)
{
    (void)state;
    char then[2][640];
    char log[2][80];
    struct outcome outcome;
    struct node *node = node_new("n1");
    struct pg_method methods[2] = {{.no_leader = true}, {.no_leader = true}};
    for (int i = 0; i < 2; i++) { /* the server that runs has all files that it had */
        snprintf(log[i], sizeof log[i], "%s/left%d", stage_dir, i);
        snprintf(then[i], sizeof then[i],
                 "d=${3#*=}; test -e $d/PG_VERSION && exit 5; cp -a %s/. $d/ && " PG_BIN
                 "/pg_ctl -s -w -D $d -l %s -o \"-p %d -k %s -h ''\" start; exit %d",
                 template_dir, log[i], i + 1, stage_dir, i);
    }
    const char *const first[] = {"sh", "-c", then[0], "m"};
    const char *const second[] = {"sh", "-c", then[1], "m"};
    methods[0].name = "well";
    methods[0].words = (struct pg_lines){first, 4};
    methods[1].name = "badly";
    methods[1].words = (struct pg_lines){second, 4};
    node->methods = methods;
    node->method_count = 2;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run("grep -q 'ready to accept' %s", log[i]), 0);
        assert_int_equal(run("grep -q -e PANIC -e 'lock file' %s", log[i]), 1);
    }
    node_inspect(node);
    assert_false(inspected.running);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    node_free(node);
}

/* By its pid file it is none, and it would go on in the directory that the next one clears. */
static void a_server_without_a_pid_file_is_ended_too(void **state)
{
    (void)state;
    char then[640];
    struct outcome outcome;
    struct error err;
    int32_t pid = 0;
    struct node *node = node_new("n1");
    snprintf(then, sizeof then,
             "d=${3#*=}; cp -a %s/. $d/ && " PG_BIN
             "/pg_ctl -s -w -D $d -l %s/left -o \"-p 3 -k %s -h ''\" start && "
             "rm $d/postmaster.pid; exit 1",
             template_dir, stage_dir, stage_dir);
    const char *const leaving[] = {"sh", "-c", then, "m"};
    struct pg_method methods[1] = {{.name = "badly", .no_leader = true, .words = {leaving, 4}}};
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    assert_int_equal(run("grep -q 'ready to accept' %s/left", stage_dir), 0);
    assert_int_equal(pg_dir_server_process(node->data, &pid, &err), 0);
    assert_int_equal(pid, 0);
    node_free(node);
}

static bool refuses(void *arg)
{
    (void)arg;
    return false;
}

/* It was counted on while it was copied. */
static void a_copy_that_will_not_do_any_more_is_not_taken(void **state)
{
    (void)state;
    char then[256];
    struct outcome outcome;
    struct error err;
    struct node *node = node_new("n1");
    snprintf(then, sizeof then, "cp -a %s/. $d/", template_dir);
    struct pg_method methods[1] = {method("archive", then)};
    methods[0].no_leader = true;
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    struct pg_clone clone = {.system_identifier = template_id, .still_allowed = refuses};
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    copy_without_source(node, &outcome);
    CHECK_RC(&outcome, 0);
    is_a_standbys_copy(node);
    node_free(node);
}

static void an_exact_copy_is_pg_basebackup_s(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct error err;
    struct node *primary = primary_new("n1");
    struct pg_method methods[1] = {method("never", "touch $d/never")};
    struct node *node = node_new("n2");
    node->methods = methods;
    node->method_count = 1;
    node_agent(node, true);
    struct pg_clone clone = {.host = "127.0.0.1",
                             .port = primary->port,
                             .system_identifier = template_id,
                             .basebackup_only = true};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_true(inspected.backup_label);
    node_free(node);
    node_free(primary);
}

static void a_group_dies_with_the_agent(void **state)
{
    (void)state;
    char agent_path[80];
    char file[80];
    char child_script[160];
    char parent[16];
    snprintf(agent_path, sizeof agent_path, "%s/agent", stage_dir);
    snprintf(file, sizeof file, "%s/child", stage_dir);
    snprintf(child_script, sizeof child_script, "sleep 600 & echo $! > %s.new; mv %s.new %s; wait",
             file, file, file);
    pid_t agent = fork();
    if (agent == 0) {
        snprintf(parent, sizeof parent, "%d", (int)getpid());
        if (fork() == 0) {
            (void)setsid();
            execl(agent_path, "agent", "--pg-group", parent, "sh", "-c", child_script,
                  (char *)NULL);
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    WAIT_FOR(access(file, F_OK) == 0);
    assert_int_equal(kill(agent, SIGKILL), 0);
    /* Whoever is left is stopped by then, or a zombie of ours. */
    WAIT_FOR(run("test ! -d /proc/$(cat %s) || grep -q '^State:.Z' /proc/$(cat %s)/status", file,
                 file) == 0);
    assert_int_equal(unlink(file), 0);
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        ON_STAGE(a_cluster_is_made_of_what_a_command_has_left),
        ON_STAGE(what_is_no_data_directory_is_not_started),
        ON_STAGE(a_directory_that_was_replaced_is_told),
        ON_STAGE(a_cluster_that_post_bootstrap_refuses_is_not_left_running),
        ON_STAGE(a_copy_without_a_source_is_a_method_s_that_needs_none),
        ON_STAGE(a_method_that_fails_is_followed_by_the_next),
        ON_STAGE(only_the_methods_that_are_named_are_tried),
        ON_STAGE(a_server_that_a_method_has_left_is_ended_before_the_next),
        ON_STAGE(a_server_without_a_pid_file_is_ended_too),
        ON_STAGE(a_copy_that_will_not_do_any_more_is_not_taken),
        ON_STAGE(an_exact_copy_is_pg_basebackup_s),
        ON_STAGE(a_group_dies_with_the_agent),
    };
    return cmocka_run_group_tests(list, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, tests);
}
