/* Jobs on data directories that are not one plain directory: a link, WAL and tablespaces that lie
 * elsewhere; on one that is exchanged; and the last looks before something is promised.
 */
#include "tests/unit/pgctl/pg_stage.h"

/* --- places ----------------------------------------------------------------------------------- */

/* A standby whose WAL and whose copy of the tablespace lie beside its data directory. */
static struct node *spread_new(const char *name, struct node *source, char *options[2])
{
    struct node *node = node_new(name);
    options[0] = mem_printf("--waldir=%s/wal", node->dir);
    options[1] = mem_printf("--tablespace-mapping=%s/space=%s/space", source->dir, node->dir);
    node->basebackup[0] = options[0];
    node->basebackup[1] = options[1];
    node_agent(node, true);
    return node;
}

static struct node *source_with_tablespace(void)
{
    struct node *source = primary_new("n1");
    char *sql = mem_printf("CREATE TABLESPACE space LOCATION '%s/space'", source->dir);
    assert_int_equal(run("mkdir -m 0700 %s/space", source->dir), 0);
    node_do(source, sql);
    node_do(source, "CREATE TABLE t TABLESPACE space AS SELECT 1 AS a");
    mem_free(sql);
    return source;
}

static void expect_table(struct node *node)
{
    char value[64];
    node_sql(node, "SELECT a FROM t", value, sizeof value);
    assert_string_equal(value, "1");
    assert_true(file_there("%s/space/" PG_HERE_SPACE, node->dir));
}

static void directory_with_wal_and_tablespace_elsewhere_is_removed_and_copied_again(void **state)
{
    (void)state;
    struct node *source = source_with_tablespace();
    char *options[2];
    struct node *node = spread_new("n2", source, options);
    struct outcome outcome;

    node_clone_well(node, source);
    node_start_well(node, PG_START_STANDBY, source);
    expect_table(node);
    assert_true(file_there("%s/wal/archive_status", node->dir));
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_remove(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    assert_int_equal(run("test -z \"$(ls -A %s/wal %s/space | grep -v :)\"", node->dir, node->dir),
                     0);
    node_clone_well(node, source);
    node_start_well(node, PG_START_STANDBY, source);
    expect_table(node);
    expect_table(source); /* nothing of its own was touched */
    node_free(node);
    node_free(source);
    mem_free(options[0]);
    mem_free(options[1]);
}

static void copy_that_was_cut_off_is_done_again_in_the_same_places(void **state)
{
    (void)state;
    struct node *source = source_with_tablespace();
    char *options[2];
    struct node *node = spread_new("n2", source, options);
    struct outcome outcome;

    /* Complete, and then it is killed. */
    node_program(node, "pg_basebackup", PG_BIN "/pg_basebackup \"$@\" || exit\nkill -9 $$");
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    node_program_back(node, "pg_basebackup");
    node_clone_well(node, source);
    node_start_well(node, PG_START_STANDBY, source);
    expect_table(node);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);

    /* What no link of ours leads to is the operator's to remove, and is said to be. */
    assert_int_equal(run("rm -rf %s", node->data), 0);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "exists but is not empty");
    expect_text(&outcome, "by hand");
    assert_true(file_there("%s/space/" PG_HERE_SPACE, node->dir));
    assert_int_equal(run("rm -rf %s/space/* %s/wal/*", node->dir, node->dir), 0);
    node_clone_well(node, source);
    node_free(node);
    node_free(source);
    mem_free(options[0]);
    mem_free(options[1]);
}

static void cluster_with_wal_elsewhere_is_moved_aside_and_made_again(void **state)
{
    (void)state;
    struct node *node = node_new("boot");
    char *waldir = mem_printf("waldir=%s/wal", node->dir);
    struct outcome outcome;

    node->initdb[0] = waldir;
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_inspect(node);
    uint64_t first_id = inspected.control.system_identifier;
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_MISSING, PG_UNFINISHED_NONE);
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);

    /* What was put beside is whole: it starts where it lies. */
    assert_int_equal(
        run("mv %s %s.second && mv %s.failed %s", node->data, node->data, node->data, node->data),
        0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_inspect(node);
    assert_true(inspected.control.system_identifier == first_id);
    assert_true(file_there("%s/wal.failed/archive_status", node->dir));
    node_free(node);
    mem_free(waldir);
}

static void data_directory_that_is_a_link_stays_where_it_leads_to(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;

    assert_int_equal(
        run("mkdir -m 0700 %s/disk && ln -s %s/disk/pg %s", node->dir, node->dir, node->data), 0);
    node_clone_well(node, source);
    assert_true(file_there("%s/disk/pg/PG_VERSION", node->dir));
    node_start_well(node, PG_START_STANDBY, source);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_remove(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    node_clone_well(node, source);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    assert_true(file_there("%s/disk/pg.failed/PG_VERSION", node->dir));
    node_clone_well(node, source);
    assert_int_equal(run("test -L %s && test -f %s/disk/pg/PG_VERSION", node->data, node->dir), 0);
    assert_int_equal(run("rm -rf %s/disk/pg", node->dir), 0); /* nothing is there to be removed */
    node_remove(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_MISSING, PG_UNFINISHED_NONE);
    node_free(node);
    node_free(source);
}

/* --- exchanged -------------------------------------------------------------------------------- */

static void directory_put_in_place_of_an_unfinished_one_is_neither_started_nor_emptied(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;

    node_program(node, "pg_basebackup", "echo " PG_HERE_TEXT " > data/PG_VERSION; exit 1");
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    node_program_back(node, "pg_basebackup");
    assert_int_equal(
        run("mv %s %s/half && cp -a %s %s", node->data, node->dir, template_dir, node->data), 0);
    expect_dir(node, PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    node_start(node, PG_START_STANDBY, source, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_remove(node, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_rewind(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    assert_true(file_there("%s/global/pg_control", node->data));

    /* The operator has looked. */
    assert_int_equal(run("rm %s/state/unfinished", node->dir), 0);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
    node_free(source);
}

/* The source answers, and while it does a disk comes up where the copy was to go. */
static void directory_that_appears_after_the_look_is_not_emptied(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;
    struct pg_job_status job;

    node_clone(node, source, template_id, LONG_MS, &outcome);
    WAIT_FOR((pg_instance_job(node->pg, &job), strncmp(job.step, "asking", 6) == 0));
    assert_int_equal(run("cp -a %s %s", template_dir, node->data), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
    node_free(source);
}

/* What is left of a removal might look like a data directory, and starts as one. */
static void removal_that_was_cut_off_goes_on_as_a_copy(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_of_template("n2");
    struct outcome outcome;

    if (geteuid() == 0) {
        skip(); /* root may remove anything */
    }
    assert_int_equal(run("mkdir %s/base/0 && touch %s/base/0/1 && chmod 0500 %s/base/0", node->data,
                         node->data, node->data),
                     0);
    node_remove(node, &outcome);
    assert_int_equal(run("chmod 0700 %s/base/0", node->data), 0);
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    node_clone_well(node, source);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
    node_free(source);
}

/* --- bootstrap -------------------------------------------------------------------------------- */

static void password_of_the_superuser_goes_with_a_bootstrap_that_fails(void **state)
{
    (void)state;
    struct node *node = node_new("boot");
    struct outcome outcome;

    node_program(node, "initdb",
                 "stat -c %a state/initdb.pw > mode; echo " PG_HERE_TEXT
                 " > data/PG_VERSION; exit 1");
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "initdb: exit status 1");
    assert_int_equal(file_number(node->dir, "mode"), 600);
    assert_false(file_there("%s/state/initdb.pw", node->dir));

    /* Of an agent that died: with the directory. */
    assert_int_equal(run("touch %s/state/initdb.pw", node->dir), 0);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, 0);
    assert_false(file_there("%s/state/initdb.pw", node->dir));
    node_free(node);
}

/* --- stop ------------------------------------------------------------------------------------- */

static void stop_gives_up_on_a_job_that_does_not_end_and_no_other_begins(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome look = {0};
    struct outcome stopped = {0};
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = 100};
    struct error err;
    char marker[128];

    /* A disk that does not answer: nobody writes into this pipe. */
    snprintf(marker, sizeof marker, "%s/state/unfinished", node->dir);
    assert_int_equal(mkfifo(marker, 0600), 0);
    assert_int_equal(pg_instance_inspect(node->pg, LONG_MS, on_inspected, &look, &err), 0);
    uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &stopped, &err), 0);
    outcome_wait(&stopped);
    CHECK_RC(&stopped, ERR_TIMEOUT);
    assert_int_equal(look.calls, 0);
    assert_int_equal(pg_instance_remove(node->pg, "a test", LONG_MS, on_done, &stopped, &err),
                     ERR_BUSY);
    int fd = open(marker, O_WRONLY | O_CLOEXEC);
    close(fd);
    outcome_wait(&look);
    CHECK_RC(&look, ERR_CANCELED);
    assert_int_equal(unlink(marker), 0);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
}

static void stop_that_cannot_begin_leaves_the_job_in_its_place(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    static struct outcome asked[128]; /* large */
    struct outcome look = {0};
    struct outcome stopped = {0};
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = 100};
    struct pg_job_status job;
    struct error err;
    size_t count = 0;

    assert_int_equal(pg_instance_inspect(node->pg, LONG_MS, on_inspected, &look, &err), 0);
    while (count < 128 && pg_instance_ask_peer(node->pg, "127.0.0.1", node->port, 1000, on_peer,
                                               &asked[count], &err) == 0) {
        count++;
    }
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &stopped, &err), ERR_LIMIT);
    pg_instance_job(node->pg, &job);
    assert_int_equal(job.kind, PG_JOB_INSPECT);
    outcome_wait(&look);
    CHECK_RC(&look, ERR_CANCELED);
    for (size_t i = 0; i < count; i++) {
        outcome_wait(&asked[i]);
    }
    assert_int_equal(stopped.calls, 0);
    node_free(node);
}

/* --- promises --------------------------------------------------------------------------------- */

static void nothing_is_promised_for_a_server_without_its_pid_file(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = standby_new("n2", source);
    struct outcome outcome;

    assert_int_equal(run("mv %s/postmaster.pid %s/pid", node->data, node->dir), 0);
    node_follow(node, NULL, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    expect_text(&outcome, "postmaster.pid");
    /* The fence knows of it, also when the directory was exchanged. */
    assert_int_equal(run("mv %s %s/moved && mkdir -m 0700 %s", node->data, node->dir, node->data),
                     0);
    node_follow(node, NULL, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    assert_int_equal(run("rmdir %s && mv %s/moved %s && mv %s/pid %s/postmaster.pid", node->data,
                         node->dir, node->data, node->dir, node->data),
                     0);
    node_follow(node, NULL, &outcome);
    CHECK_RC(&outcome, 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_follow(node, NULL, &outcome);
    CHECK_RC(&outcome, 0);
    node_free(node);
    node_free(source);
}

static void numbers_left_out_for_a_promotion_that_was_not_sent_go_with_the_next_start(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = standby_new("n2", source);
    char path[192];

    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    snprintf(path, sizeof path, "%s/pg_wal/00000002.history", node->data);
    file_put(path, "1\t0/1\tnumber left out by pgquorum\n", 0600);
    snprintf(path, sizeof path, "%s/pg_wal/00000007.history", node->data);
    file_put(path, "1\t0/1\tno recovery target specified\n", 0600);
    node_start_well(node, PG_START_STANDBY, source);
    assert_false(file_there("%s/pg_wal/00000002.history", node->data));
    assert_true(file_there("%s/pg_wal/00000007.history", node->data));
    node_free(node);
    node_free(source);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(directory_with_wal_and_tablespace_elsewhere_is_removed_and_copied_again),
        ON_STAGE(copy_that_was_cut_off_is_done_again_in_the_same_places),
        ON_STAGE(cluster_with_wal_elsewhere_is_moved_aside_and_made_again),
        ON_STAGE(data_directory_that_is_a_link_stays_where_it_leads_to),
        ON_STAGE(directory_put_in_place_of_an_unfinished_one_is_neither_started_nor_emptied),
        ON_STAGE(directory_that_appears_after_the_look_is_not_emptied),
        ON_STAGE(removal_that_was_cut_off_goes_on_as_a_copy),
        ON_STAGE(password_of_the_superuser_goes_with_a_bootstrap_that_fails),
        ON_STAGE(stop_gives_up_on_a_job_that_does_not_end_and_no_other_begins),
        ON_STAGE(stop_that_cannot_begin_leaves_the_job_in_its_place),
        ON_STAGE(nothing_is_promised_for_a_server_without_its_pid_file),
        ON_STAGE(numbers_left_out_for_a_promotion_that_was_not_sent_go_with_the_next_start),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
