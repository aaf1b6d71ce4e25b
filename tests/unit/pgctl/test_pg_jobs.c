/* The long jobs with a real PostgreSQL: made, copied, promoted; cancelled in the middle, hung,
 * failed; and what the directory is afterwards (pgctl/pg_instance.h says it). Rewinds:
 * test_pg_rewind.c. */
#include "pgctl/proc/pg_marker.h"
#include "tests/unit/pgctl/pg_stage.h"

/* --- jobs that end well ----------------------------------------------------------------------- */

static void bootstrap_makes_the_cluster_of_the_document(void **state)
{
    (void)state;
    struct node *node = node_new("boot");
    struct outcome outcome;
    struct pg_job_status job;
    char value[256];

    node_agent(node, false); /* the document's lines are added to initdb's file */
    node_bootstrap(node, LONG_MS, &outcome);
    pg_instance_job(node->pg, &job);
    assert_int_equal(job.kind, PG_JOB_BOOTSTRAP);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    pg_instance_job(node->pg, &job);
    assert_int_equal(job.kind, PG_JOB_NONE);
    assert_int_equal(node_probe(node), 0);
    assert_int_equal(probed.role, PG_PRIMARY);
    assert_int_equal(probed.timeline, 1);
    assert_true(probed.timeline_exact);
    assert_int_equal(probed.server_version / 10000, PG_HERE);
    assert_true(probed.flush_lsn > 0);
    node_sql(node, "SELECT system_identifier FROM pg_control_system()", value, sizeof value);
    assert_int_equal(probed.system_identifier, strtoull(value, NULL, 10));

    node_sql(node, "SHOW data_checksums", value, sizeof value);
    assert_string_equal(value, "on");
    node_sql(node, "SHOW server_encoding", value, sizeof value);
    assert_string_equal(value, "UTF8");
    node_sql(node,
             "SELECT string_agg(format('%s %s%s%s', rolname, rolcreaterole, rolcreatedb,"
             " rolreplication), ',' ORDER BY rolname) FROM pg_authid WHERE rolcanlogin",
             value, sizeof value);
    assert_string_equal(value, "admin ttf,postgres ttt,replicator fft,rewind_user fff");
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_true(inspected.running);
    assert_true(inspected.service_in_force);
    assert_false(file_there("%s/state/initdb.pw", node->dir));
    assert_int_equal(run("grep -qx 'host all all 0.0.0.0/0 md5' %s/pg_hba.conf", node->data), 0);

    assert_int_equal(inspected.unannounced_system_id, probed.system_identifier);
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_announced(node->pg, LONG_MS, on_done, &outcome, NULL), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_inspect(node);
    assert_true(inspected.unannounced_system_id == 0);

    for (int paused = 1; paused >= 0; paused--) {
        outcome = (struct outcome){0};
        assert_int_equal(
            pg_instance_note_pause(node->pg, paused == 1, LONG_MS, on_done, &outcome, NULL), 0);
        outcome_wait(&outcome);
        CHECK_RC(&outcome, 0);
        node_inspect(node);
        assert_int_equal(inspected.noted_pause, paused == 1);
    }
    node_free(node);
}

static bool slot_is_active(const char *name)
{
    for (size_t i = 0; i < probed.slot_count; i++) {
        if (strcmp(probed.slots[i].name, name) == 0) {
            return probed.slots[i].active && probed.slots[i].physical;
        }
    }
    return false;
}

static void standby_streams_through_its_slot_and_is_promoted_to_the_number_asked_for(void **state)
{
    (void)state;
    struct node *old = primary_new("n1");
    struct node *node = standby_new("n2", old);
    struct outcome outcome;
    char value[64];

    assert_int_equal(probed.role, PG_STANDBY);
    assert_int_equal(probed.timeline, 1);
    assert_int_equal(probed.receiver_port, old->port);
    PROBE_UNTIL(old, slot_is_active("n2"));
    assert_string_equal(probed.replicas[0].application_name, "n2");
    assert_string_equal(probed.replicas[0].user, "replicator");
    assert_string_equal(probed.replicas[0].client_addr, "127.0.0.1");
    assert_string_equal(probed.replicas[0].sync_state, "async");
    assert_int_equal(probed.replicas[0].sync_priority, 0);
    node_do(old, "CREATE TABLE t AS SELECT 1 AS a");
    assert_int_equal(node_probe(old), 0);
    uint64_t written = probed.flush_lsn;
    PROBE_UNTIL(node, probed.replay_lsn >= written);

    node_stop(old, FENCE_STOP_FAST, LONG_MS);
    node_promote(node, 1, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_promote(node, 5, &outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(node), 0);
    assert_int_equal(probed.role, PG_PRIMARY);
    assert_int_equal(probed.timeline, 5);
    node_sql(node, "SELECT a FROM t", value, sizeof value);
    assert_string_equal(value, "1");
    node_free(node);
    node_free(old);
}

/* --- jobs cut off ----------------------------------------------------------------------------- */

/* A program that has begun, has a child of its own, and hangs. */
#define HANGS                                   \
    "sleep 1000 & echo $! > grandchild.tmp\n"   \
    "mv grandchild.tmp grandchild\n"            \
    "echo $$ > child.tmp; mv child.tmp child\n" \
    "wait"
#define BEGINS "mkdir -p data; echo " PG_HERE_TEXT " > data/PG_VERSION\n"

enum way { CANCELED, PAST_DEADLINE, FREED };

struct cut {
    const char *title;
    const char *program; /* replaced by: */
    const char *script;
    void (*begin)(struct node *node, struct node *source, int64_t timeout_ms,
                  struct outcome *outcome);
    bool has_data;
    enum pg_dir_kind kind; /* afterwards */
    enum pg_unfinished unfinished;
};

static void begin_bootstrap(struct node *node, struct node *source, int64_t timeout_ms,
                            struct outcome *outcome)
{
    (void)source;
    node_bootstrap(node, timeout_ms, outcome);
}

static void begin_clone(struct node *node, struct node *source, int64_t timeout_ms,
                        struct outcome *outcome)
{
    node_clone(node, source, template_id, timeout_ms, outcome);
}

static void begin_rewind(struct node *node, struct node *source, int64_t timeout_ms,
                         struct outcome *outcome)
{
    node_rewind(node, source, template_id, timeout_ms, outcome);
}

static void begin_inspect(struct node *node, struct node *source, int64_t timeout_ms,
                          struct outcome *outcome)
{
    struct error err;
    (void)source;
    *outcome = (struct outcome){0};
    assert_int_equal(pg_instance_inspect(node->pg, timeout_ms, on_inspected, outcome, &err), 0);
}

/* clang-format off */
static const struct cut cuts[] = {
    {"initdb", "initdb", BEGINS HANGS, begin_bootstrap, false,
     PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP},
    {"copy", "pg_basebackup", BEGINS HANGS, begin_clone, false,
     PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE},
    {"trial of a rewind", "pg_rewind", HANGS, begin_rewind, true,
     PG_DIR_VALID, PG_UNFINISHED_NONE},
    {"rewind", "pg_rewind", "case \"$*\" in *--dry-run*) exit 0;; esac\n" HANGS, begin_rewind, true,
     PG_DIR_UNFINISHED, PG_UNFINISHED_REWIND},
    {"look", "pg_controldata", HANGS, begin_inspect, true,
     PG_DIR_VALID, PG_UNFINISHED_NONE},
};
/* clang-format on */

static void cut_off(const struct cut *cut, struct node *node, struct node *source, enum way way)
{
    struct outcome outcome;

    print_message("%s, %s\n", cut->title,
                  way == CANCELED ? "cancelled"
                  : way == FREED  ? "freed"
                                  : "past its deadline");
    node_program(node, cut->program, cut->script);
    cut->begin(node, source, way == PAST_DEADLINE ? 4000 : LONG_MS, &outcome);
    WAIT_FOR(file_number(node->dir, "child") != 0 || outcome.calls > 0);
    pid_t child = file_number(node->dir, "child");
    pid_t grandchild = file_number(node->dir, "grandchild");
    if (child == 0) {
        fail_msg("the program was not reached: %s", outcome.err.text);
    }
    if (way == CANCELED) {
        struct pg_start start = {.role = PG_START_STANDBY};
        struct error err;
        assert_int_equal(pg_instance_start(node->pg, &start, 1000, on_done, NULL, &err), ERR_BUSY);
        pg_instance_cancel_job(node->pg);
        pg_instance_cancel_job(node->pg);
        assert_int_equal(outcome.calls, 0); /* never inside the call */
    } else if (way == FREED) {
        node_agent(node, true);
        assert_int_equal(outcome.calls, 1);
    }
    outcome_wait(&outcome);
    CHECK_RC(&outcome, way == PAST_DEADLINE ? ERR_TIMEOUT : ERR_CANCELED);
    assert_false(pid_lives(child));
    WAIT_FOR(!pid_lives(grandchild)); /* its signal is sent; nobody waits for it but an init */
    node_program_back(node, cut->program);
    expect_dir(node, cut->kind, cut->unfinished);
    assert_int_equal(outcome.calls, 1);
    /* As it was. */
    assert_int_equal(run("cd %s && rm -rf state/unfinished child grandchild %s", node->dir,
                         cut->has_data ? "" : "data"),
                     0);
}

static void job_that_is_cut_off_leaves_no_process_and_the_directory_as_documented(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct node *node = cuts[i].has_data ? node_of_template("cut") : node_new("cut");
        cut_off(&cuts[i], node, source, CANCELED);
        cut_off(&cuts[i], node, source, PAST_DEADLINE);
        cut_off(&cuts[i], node, source, FREED);
        node_free(node);
    }
    node_free(source);
}

static void unfinished_copy_is_emptied_by_the_next(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;

    node_program(node, "pg_basebackup", BEGINS "touch data/stale; echo no space left >&2; exit 1");
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "pg_basebackup: exit status 1: no space left");
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    node_start(node, PG_START_STANDBY, source, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);

    /* A copy of another cluster touches nothing. */
    node_clone(node, source, 42, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CONFLICT);
    assert_true(file_there("%s/stale", node->data));

    node_program_back(node, "pg_basebackup");
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_false(file_there("%s/stale", node->data));
    node_free(node);
    node_free(source);
}

/* --- progress of a copy ----------------------------------------------------------------------- */

struct told {
    unsigned calls;
    unsigned ends;
    struct pg_copy_progress first;
    struct pg_copy_progress last;
};

static void on_progress(void *arg, const struct pg_copy_progress *progress)
{
    struct told *told = arg;
    if (progress == NULL) {
        told->ends++;
        told->last = (struct pg_copy_progress){0};
        return;
    }
    if (told->calls++ == 0) {
        told->first = *progress;
    }
    assert_true(progress->bytes >= told->last.bytes);
    told->last = *progress;
}

static void clone_told(struct node *node, const struct node *source, struct told *told,
                       struct outcome *outcome)
{
    const struct pg_clone clone = {.host = "127.0.0.1",
                                   .port = source->port,
                                   .system_identifier = template_id,
                                   .on_progress = on_progress,
                                   .on_progress_arg = told};
    struct error err;
    *told = (struct told){0};
    *outcome = (struct outcome){0};
    assert_int_equal(pg_instance_clone(node->pg, &clone, LONG_MS, on_done, outcome, &err), 0);
    outcome_wait(outcome);
}

static void copy_tells_how_far_it_is(void **state)
{
    static const struct {
        const char *options[3];
        bool tells;
        bool slow; /* it takes longer than a second */
    } rows[] = {
        {{"--max-rate=8M"}, true, true},
        {{"--progress", "--verbose"}, true, false},
        {{"--no-estimate-size"}, false, false},
        {{"--no-est"}, false, false},
    };
    (void)state;
    struct node *source = primary_new("n1");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node *node = node_new("n2");
        struct outcome outcome;
        struct told told;
        memcpy(node->basebackup, rows[i].options, sizeof rows[i].options);
        node_agent(node, true);
        clone_told(node, source, &told, &outcome);
        CHECK_RC(&outcome, 0);
        if (rows[i].tells) {
            assert_true(told.calls >= 2);
            assert_true(!rows[i].slow || told.first.percent < 100);
            assert_true(told.first.total_bytes > 1 << 20);
            assert_int_equal(told.last.percent, 100);
            assert_true(told.last.bytes == told.last.total_bytes);
        } else {
            assert_int_equal(told.calls, 0);
        }
        assert_int_equal(told.ends, 0);
        node_free(node);
    }
    node_free(source);
}

#define TELLS "for i in 1 2 3; do echo \"  ${i}00/1000 kB (${i}0%), 0/1 tablespace\" >&2; done\n"

static void progress_is_no_reason_and_ends_with_its_method(void **state)
{
    static const struct pg_method twice[] = {{.name = "basebackup"}, {.name = "basebackup"}};
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;
    struct told told;

    node_program(node, "pg_basebackup",
                 BEGINS "echo no space left >&2; echo waiting for checkpoint >&2\n" TELLS "exit 1");
    clone_told(node, source, &told, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "pg_basebackup: exit status 1: no space left");
    assert_int_equal(told.calls, 3);
    assert_int_equal(told.first.percent, 10);
    assert_true(told.first.bytes == 100 << 10 && told.first.total_bytes == 1000 << 10);
    assert_int_equal(told.ends, 1);

    node->methods = twice;
    node->method_count = 2;
    node_agent(node, true);
    clone_told(node, source, &told, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    assert_int_equal(told.calls, 6);
    assert_int_equal(told.ends, 2);
    node_free(node);
    node_free(source);
}

static void bootstrap_cut_off_while_its_server_runs_leaves_none(void **state)
{
    (void)state;
    struct node *node = node_new("boot");
    struct outcome outcome;
    struct pg_job_status job;

    node_bootstrap(node, LONG_MS, &outcome);
    WAIT_FOR((pg_instance_job(node->pg, &job), strcmp(job.step, "making accounts") == 0));
    pg_instance_cancel_job(node->pg);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CANCELED);
    WAIT_FOR(fence_client_status(node->fence)->all_gone);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_free(node);
}

static bool refuses(void *arg)
{
    (void)arg;
    return false;
}

static void promotion_that_is_not_sent_leaves_no_trace(void **state)
{
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *node = standby_new("n2", primary);
    struct pg_promote promote = {.timeline = 4, .still_allowed = refuses};
    struct outcome outcome = {0};
    struct error err;

    assert_int_equal(pg_instance_promote(node->pg, &promote, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    assert_int_equal(run("! ls %s/pg_wal/*.history 2>/dev/null", node->data), 0);
    assert_false(file_there("%s/promote", node->data));
    assert_false(pg_instance_promote_sent(node->pg));

    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_promote(node->pg, &promote, LONG_MS, on_done, &outcome, &err), 0);
    uv_run(&loop, UV_RUN_ONCE); /* under way */
    pg_instance_cancel_job(node->pg);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CANCELED);
    assert_int_equal(run("! ls %s/pg_wal/*.history 2>/dev/null", node->data), 0);
    PROBE_UNTIL(node, probed.role == PG_STANDBY && probed.receiver_alive);
    node_free(node);
    node_free(primary);
}

static void start_that_is_cancelled_or_fails_says_so(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct pg_start start = {.role = PG_START_PRIMARY};
    struct outcome outcome = {0};
    struct error err;

    node_program(node, "postgres", "echo $$ > child.tmp; mv child.tmp child; exec sleep 1000");
    assert_int_equal(pg_instance_start(node->pg, &start, LONG_MS, on_done, &outcome, &err), 0);
    WAIT_FOR(file_number(node->dir, "child") != 0);
    pg_instance_cancel_job(node->pg);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CANCELED);
    node_stop(node, FENCE_STOP_FAST, 100); /* it ignores that, and is killed */
    assert_false(pid_lives(file_number(node->dir, "child")));

    node_program(node, "postgres", "exit 1");
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "ended while it started");

    node_program_back(node, "postgres");
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    node_free(node);
}

/* --- what is left running --------------------------------------------------------------------- */

/* A single-user server in the node's directory that waits for input. */
static pid_t single_user(const struct node *node, int *ret_input)
{
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(pipe_fds[0], STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execl(PG_BIN "/postgres", PG_BIN "/postgres", "--single", "-D", node->data, "postgres",
              (char *)NULL);
        _exit(127);
    }
    close(pipe_fds[0]);
    *ret_input = pipe_fds[1];
    return pid;
}

static void single_user_server_is_ended_only_where_a_job_of_ours_did_not_end(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    char marker[128];
    struct outcome outcome = {0};
    struct error err;
    int input;
    pid_t pid = single_user(node, &input);

    /* An operator's: nothing is done to it, and nothing is done under it. */
    WAIT_FOR((node_inspect(node), inspected.running)); /* its pid file is written by and by */
    assert_int_equal(inspected.pidfile_pid, pid);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    node_rewind(node, node, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_remove(node, &outcome);
    CHECK_RC(&outcome, ERR_BUSY);
    assert_true(pid_lives(pid));

    snprintf(marker, sizeof marker, "%s/state/unfinished", node->dir);
    assert_int_equal(pg_marker_write(marker, PG_UNFINISHED_REWIND, node->data, &err), 0);
    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_REWIND);
    assert_false(inspected.running);
    assert_false(pid_lives(pid));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(input);
    node_free(node);
}

static pid_t worker_in(const char *data_dir)
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    while (found == 0 && (entry = readdir(proc)) != NULL) {
        char path[280];
        char cwd[256];
        snprintf(path, sizeof path, "/proc/%s/cwd", entry->d_name);
        ssize_t len = readlink(path, cwd, sizeof cwd - 1);
        cwd[len > 0 ? len : 0] = '\0';
        found = len > 0 && strcmp(cwd, data_dir) == 0 ? atoi(entry->d_name) : 0;
    }
    closedir(proc);
    return found;
}

/* initdb starts several servers, one after the other: the one found may be at its end. */
static pid_t stopped_worker_in(const char *data_dir)
{
    for (;;) {
        pid_t worker;
        char state = 'R';
        WAIT_FOR((worker = worker_in(data_dir)) != 0);
        (void)kill(worker, SIGSTOP);
        while (state != 'T' && state != 'Z' && state != '\0') {
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/stat", (int)worker);
            FILE *file = fopen(path, "re");
            state = '\0';
            if (file != NULL) {
                if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) {
                    state = '\0';
                }
                fclose(file);
            }
        }
        if (state == 'T') {
            return worker;
        }
    }
}

/* initdb dies with its agent; the server that it feeds is stopped here, so that it cannot notice.
 */
static void what_a_killed_agent_leaves_working_is_ended_by_the_next(void **state)
{
    (void)state;
    struct node *node = node_new("boot");
    struct outcome outcome;
    pid_t worker;

    pid_t agent = fork_in_test();
    if (agent == 0) {
        assert_int_equal(uv_loop_fork(&loop), 0);
        node_bootstrap(node, LONG_MS, &outcome);
        WAIT_FOR(false);
        _exit(1);
    }
    worker = stopped_worker_in(node->data);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    assert_true(pid_lives(worker));

    expect_dir(node, PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP);
    assert_false(inspected.running);
    assert_false(pid_lives(worker));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    node_remove(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_free(node);
}

/* --- disks and directories -------------------------------------------------------------------- */

static void directory_of_something_else_is_never_touched(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;
    struct error err;
    char path[128];

    assert_int_equal(mkdir(node->data, 0700), 0);
    snprintf(path, sizeof path, "%s/thesis.tex", node->data);
    file_put(path, "ten years of work", 0600);
    expect_dir(node, PG_DIR_FOREIGN, PG_UNFINISHED_NONE);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    node_rewind(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_remove(node->pg, "", LONG_MS, on_done, &outcome, &err),
                     ERR_INVALID);
    node_remove(node, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    assert_true(file_there("%s", path));
    expect_dir(node, PG_DIR_FOREIGN, PG_UNFINISHED_NONE);
    node_free(node);
    node_free(source);
}

static void directories_that_cannot_be_written_are_named(void **state)
{
    (void)state;
    struct node *source = primary_new("n1");
    struct node *node = node_new("n2");
    struct outcome outcome;

    /* The data directory cannot be made. */
    assert_int_equal(chmod(node->dir, 0500), 0);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    assert_int_equal(chmod(node->dir, 0700), 0);
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_text(&outcome, "creating the directory");
    expect_dir(node, PG_DIR_MISSING, PG_UNFINISHED_NONE);

    /* It is there; the password file that lies beside it cannot be made. */
    assert_int_equal(run("mkdir -m 0700 %s && chmod 0500 %s", node->data, node->dir), 0);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    assert_int_equal(chmod(node->dir, 0700), 0);
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_text(&outcome, "pgpass");
    expect_dir(node, PG_DIR_EMPTY, PG_UNFINISHED_CLONE);

    /* Not even the marker can be written: then nothing is begun. */
    assert_int_equal(run("rm %s/state/unfinished && rmdir %s && chmod 0500 %s/state", node->dir,
                         node->data, node->dir),
                     0);
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_text(&outcome, "unfinished");
    expect_dir(node, PG_DIR_MISSING, PG_UNFINISHED_NONE);

    assert_int_equal(run("chmod 0700 %s/state && mkdir -m 0000 %s", node->dir, node->data), 0);
    expect_dir(node, PG_DIR_UNREADABLE, PG_UNFINISHED_NONE);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    assert_int_equal(run("chmod 0500 %s", node->data), 0);
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "pg_basebackup: exit status 1");
    node_free(node);
    node_free(source);
}

static void directory_moved_aside_makes_room_and_replaces_the_one_before(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome outcome = {0};

    assert_int_equal(run("mkdir -p %s.failed/older", node->data), 0);
    node_move_aside(node, &outcome);
    CHECK_RC(&outcome, 0);
    expect_dir(node, PG_DIR_MISSING, PG_UNFINISHED_NONE);
    assert_true(file_there("%s.failed/PG_VERSION", node->data));
    assert_false(file_there("%s.failed/older", node->data));
    node_free(node);
}

static void program_that_is_gone_fails_the_job(void **state)
{
    (void)state;
    struct node *node = node_new("n1");
    struct outcome outcome;

    assert_int_equal(run("rm %s/initdb", node->bin), 0);
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "cannot execute");
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(bootstrap_makes_the_cluster_of_the_document),
        ON_STAGE(standby_streams_through_its_slot_and_is_promoted_to_the_number_asked_for),
        ON_STAGE(job_that_is_cut_off_leaves_no_process_and_the_directory_as_documented),
        ON_STAGE(unfinished_copy_is_emptied_by_the_next),
        ON_STAGE(copy_tells_how_far_it_is),
        ON_STAGE(progress_is_no_reason_and_ends_with_its_method),
        ON_STAGE(bootstrap_cut_off_while_its_server_runs_leaves_none),
        ON_STAGE(promotion_that_is_not_sent_leaves_no_trace),
        ON_STAGE(start_that_is_cancelled_or_fails_says_so),
        ON_STAGE(single_user_server_is_ended_only_where_a_job_of_ours_did_not_end),
        ON_STAGE(what_a_killed_agent_leaves_working_is_ended_by_the_next),
        ON_STAGE(directory_of_something_else_is_never_touched),
        ON_STAGE(directories_that_cannot_be_written_are_named),
        ON_STAGE(directory_moved_aside_makes_room_and_replaces_the_one_before),
        ON_STAGE(program_that_is_gone_fails_the_job),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
