/* How settings reach a real PostgreSQL: a reload beside starts and stops, what it changes under a
 * running server and what only with the next start, and where that server's socket is then. */
#include "tests/unit/pgctl/pg_stage.h"

/* A reload with the stage's settings and these, which are whole items of the list. */
struct wish {
    const char *max_connections;
    const char *sockets; /* NULL: as before */
    bool no_slots;
    bool only_sockets; /* pg_hba lets nobody in over TCP */
    bool guard;
    bool foreign;
};

static int reload(struct node *node, const struct wish *wish, struct outcome *ret_outcome,
                  struct error *err)
{
    const struct pg_parameter parameters[] = {
        {"unix_socket_directories", wish->sockets == NULL ? "." : wish->sockets},
        {"shared_buffers", "16MB"},
        {"max_connections", wish->max_connections == NULL ? "25" : wish->max_connections},
        {"wal_retrieve_retry_interval", "100ms"},
        {"fsync", "off"},
    };
    static const char *const lines[] = {"local all all md5",
                                        "host replication replicator 127.0.0.1/32 md5",
                                        "host all all 127.0.0.1/32 md5"};
    struct pg_reload request = {.parameters = {parameters, 5},
                                .pg_hba = {lines, wish->only_sockets ? 2 : 3},
                                .use_slots = !wish->no_slots,
                                .guard = wish->guard,
                                .foreign = wish->foreign};
    *ret_outcome = (struct outcome){0};
    return pg_instance_reload(node->pg, &request, LONG_MS, on_done, ret_outcome, err);
}

static void reload_well(struct node *node, const struct wish *wish)
{
    struct outcome outcome;
    struct error err;
    assert_int_equal(reload(node, wish, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

/* `postgres -C` hangs until `let_go`; a server is started as ever. */
static void hold_the_check(const struct node *node)
{
    node_program(node, "postgres",
                 "case \"$*\" in *' -C '*)\n"
                 "echo $$ > checking.tmp; mv checking.tmp checking\n"
                 "until [ -e go ]; do sleep 0.02; done; rm -f go checking;; esac\n"
                 "exec " PG_BIN "/postgres \"$@\"");
}

static void let_go(const struct node *node)
{
    assert_int_equal(run("touch %s/go", node->dir), 0);
}

static int start_asked(struct node *node, struct outcome *ret_outcome, struct error *err)
{
    struct pg_start start = {.role = PG_START_PRIMARY};
    *ret_outcome = (struct outcome){0};
    return pg_instance_start(node->pg, &start, LONG_MS, on_done, ret_outcome, err);
}

/* Both write the configuration, and the server would have had the old one. */
static void start_waits_for_a_reload_and_has_its_values(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome reloaded;
    struct outcome started;
    struct outcome other;
    struct error err;
    char value[64];

    hold_the_check(node);
    assert_int_equal(reload(node, &(struct wish){.max_connections = "41"}, &reloaded, &err), 0);
    WAIT_FOR(file_number(node->dir, "checking") != 0 || reloaded.calls > 0);
    assert_int_equal(start_asked(node, &started, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "reload is running"));
    assert_int_equal(pg_instance_remove(node->pg, "a test", LONG_MS, on_done, &other, &err),
                     ERR_BUSY);
    assert_int_equal(reload(node, &(struct wish){.max_connections = "42"}, &other, &err), ERR_BUSY);
    node_inspect(node); /* who only looks need not wait */
    let_go(node);
    outcome_wait(&reloaded);
    CHECK_RC(&reloaded, 0);

    assert_int_equal(start_asked(node, &started, &err), 0);
    assert_int_equal(reload(node, &(struct wish){.max_connections = "43"}, &other, &err),
                     ERR_BUSY); /* and the other way round */
    outcome_wait(&started);
    CHECK_RC(&started, 0);
    node_sql(node, "SHOW max_connections", value, sizeof value);
    assert_string_equal(value, "41");
    node_free(node);
}

/* A primary that has to go is not kept by a program that hangs. */
static void stop_does_not_wait_for_a_reload(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome reloaded;
    struct outcome started;
    struct error err;

    hold_the_check(node);
    assert_int_equal(reload(node, &(struct wish){.max_connections = "41"}, &reloaded, &err), 0);
    WAIT_FOR(file_number(node->dir, "checking") != 0 || reloaded.calls > 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(reloaded.calls, 0);
    assert_int_equal(start_asked(node, &started, &err), ERR_BUSY);
    let_go(node);
    outcome_wait(&reloaded);
    CHECK_RC(&reloaded, 0);
    node_free(node);
}

static void refusal_of_values_is_told_from_a_failure_of_this_moment(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    struct error err;
    char value[64];

    assert_int_equal(
        reload(node, &(struct wish){.max_connections = "41", .sockets = "/x\\0"}, &outcome, &err),
        0);
    outcome_wait(&outcome); /* any text is a directory's name */
    CHECK_RC(&outcome, 0);
    const struct pg_parameter wrong = {"work_mem", "much"};
    struct pg_reload request = {.parameters = {&wrong, 1}};
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_reload(node->pg, &request, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_INVALID);
    expect_text(&outcome, "work_mem");

    node_program(node, "postgres", "echo 'could not fork: Cannot allocate memory' >&2; exit 1");
    assert_int_equal(reload(node, &(struct wish){.max_connections = "42"}, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "Cannot allocate memory");
    assert_false(file_there("%s/postgresql.conf.candidate", node->data));
    node_program_back(node, "postgres");
    reload_well(node, &(struct wish){.max_connections = "43"});
    node_sql(node,
             "SELECT setting FROM pg_file_settings WHERE name = 'max_connections' AND applied"
             " IS NOT NULL ORDER BY seqno DESC LIMIT 1",
             value, sizeof value);
    assert_string_equal(value, "43");
    node_free(node);
}

/* Another cluster's agent has had it, whose base is there; or nobody ever: its own postgresql.conf,
 * and no base. */
static void a_server_of_another_cluster_keeps_its_files(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    char base[160];
    char conf[160];

    snprintf(base, sizeof base, "%s/postgresql.base.conf", node->data);
    snprintf(conf, sizeof conf, "%s/postgresql.conf", node->data);
    assert_int_equal(run("cp -p %s %s/before; cp -p %s/pg_hba.conf %s/rules", conf, node->dir,
                         node->data, node->dir),
                     0);
    reload_well(node,
                &(struct wish){.max_connections = "40", .only_sockets = true, .foreign = true});
    assert_int_equal(run("cmp -s %s %s/before && cmp -s %s/pg_hba.conf %s/rules", conf, node->dir,
                         node->data, node->dir),
                     0);
    assert_int_equal(rename(base, conf), 0);
    assert_int_equal(run("cp -p %s %s/before", conf, node->dir), 0);
    reload_well(node, &(struct wish){.max_connections = "41", .foreign = true});
    assert_int_equal(run("cmp -s %s %s/before", conf, node->dir), 0);
    assert_false(file_there("%s", base));
    reload_well(node, &(struct wish){.max_connections = "41"});
    assert_int_equal(run("cmp -s %s %s/before", base, node->dir), 0);
    assert_int_not_equal(run("cmp -s %s %s/before", conf, node->dir), 0);
    node_free(node);
}

static const struct pg_parameter sockets_inside = {"unix_socket_directories", "."};

/* One more parameter or two, beside the sockets that the stage has. */
static int with_settings(struct node *node, const struct pg_parameter *a,
                         const struct pg_parameter *b, bool try, struct outcome *ret_outcome)
{
    struct error err;
    const struct pg_parameter parameters[] = {sockets_inside, *a, *b};
    const struct pg_reload request = {.parameters = {parameters, 3}};
    *ret_outcome = (struct outcome){0};
    assert_int_equal(
        try ? pg_instance_try_settings(node->pg, &request, LONG_MS, on_done, ret_outcome, &err)
            : pg_instance_reload(node->pg, &request, LONG_MS, on_done, ret_outcome, &err),
        0);
    outcome_wait(ret_outcome);
    return ret_outcome->rc;
}

static void shows(struct node *node, const char *name, const char *expected)
{
    char value[64] = "";
    char sql[64];
    snprintf(sql, sizeof sql, "SHOW %s", name);
    WAIT_FOR((node_sql(node, sql, value, sizeof value), strcmp(value, expected) == 0));
}

/* One wrong value keeps neither the others nor a later start from going on. */
static void what_is_refused_is_left_out_and_the_rest_is_taken(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    const struct pg_parameter good = {"maintenance_work_mem", "77MB"};
    const struct pg_parameter better = {"maintenance_work_mem", "78MB"};
    const struct pg_parameter wrong = {"work_mem", "much"};
    const struct pg_parameter right = {"work_mem", "8MB"};
    const struct pg_parameter unknown = {"no_such_parameter", "1"};

    assert_int_equal(with_settings(node, &good, &wrong, false, &outcome), ERR_INVALID);
    expect_text(&outcome, "postgresql.parameters.work_mem: invalid value");
    expect_text(&outcome, "left out, the rest is in force");
    shows(node, "maintenance_work_mem", "77MB");
    shows(node, "work_mem", "4MB");
    assert_int_equal(with_settings(node, &right, &unknown, false, &outcome), ERR_INVALID);
    expect_text(&outcome, "no_such_parameter: unrecognized configuration parameter");
    shows(node, "work_mem", "8MB");
    assert_int_equal(with_settings(node, &better, &wrong, false, &outcome), ERR_INVALID);
    shows(node, "maintenance_work_mem", "78MB");
    shows(node, "work_mem", "8MB"); /* as it was */
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_start_well(node, PG_START_PRIMARY, NULL);
    shows(node, "maintenance_work_mem", "78MB");
    node_free(node);
}

static void with_custom_conf(struct node *node, const char *path, bool try, int rc,
                             const char *words)
{
    struct error err;
    struct outcome outcome = {0};
    const struct pg_parameter parameters[] = {sockets_inside, {"work_mem", "9MB"}};
    const struct pg_reload request = {.parameters = {parameters, 2}, .custom_conf = path};
    assert_int_equal(
        try ? pg_instance_try_settings(node->pg, &request, LONG_MS, on_done, &outcome, &err)
            : pg_instance_reload(node->pg, &request, LONG_MS, on_done, &outcome, &err),
        0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, rc);
    if (words != NULL) {
        expect_text(&outcome, words);
    }
}

/* A file that one member does not have, or that PostgreSQL cannot read, is as a value that it
 * refuses: the one of before, or the base file, takes its place. */
static void custom_conf_that_cannot_be_read_is_left_out(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    char path[160];

    with_custom_conf(node, "/no/such.conf", true, ERR_INVALID, "custom_conf: could not open");
    with_custom_conf(node, "/no/such.conf", false, ERR_NOT_FOUND, "custom_conf: could not open");
    shows(node, "work_mem", "9MB"); /* the rest */
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_start_well(node, PG_START_PRIMARY, NULL);

    snprintf(path, sizeof path, "%s/custom.conf", node->dir);
    file_put(path, "maintenance_work_mem = 77MB\n", 0600);
    with_custom_conf(node, path, false, 0, NULL);
    shows(node, "maintenance_work_mem", "77MB");
    with_custom_conf(node, "/no/such.conf", false, ERR_NOT_FOUND, "custom_conf: could not open");
    shows(node, "maintenance_work_mem", "77MB"); /* as it was */
    file_put(path, "maintenance_work_mem =\n", 0600);
    with_custom_conf(node, path, false, ERR_INVALID, "syntax error");
    shows(node, "maintenance_work_mem", "77MB"); /* it runs with what it has read of it */
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    with_custom_conf(node, path, false, ERR_INVALID, "custom_conf: syntax error");
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_free(node);
}

/* A mount that is late, or a file that is being replaced: the server that runs with it keeps what
 * it has of it, one that is started goes on without it, and both have it when it is there again. */
static void custom_conf_that_is_away_for_a_moment_is_not_given_up(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    char path[160];

    snprintf(path, sizeof path, "%s/custom.conf", node->dir);
    file_put(path, "maintenance_work_mem = 77MB\n", 0600);
    with_custom_conf(node, path, false, 0, NULL);
    shows(node, "maintenance_work_mem", "77MB");
    assert_int_equal(unlink(path), 0);
    with_custom_conf(node, path, false, ERR_UNAVAILABLE, "what was in force stays");
    shows(node, "maintenance_work_mem", "77MB");
    file_put(path, "maintenance_work_mem = 78MB\n", 0600);
    with_custom_conf(node, path, false, 0, NULL);
    shows(node, "maintenance_work_mem", "78MB");

    assert_int_equal(unlink(path), 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    with_custom_conf(node, path, false, ERR_NOT_FOUND, "left out, the rest is in force");
    node_start_well(node, PG_START_PRIMARY, NULL);
    shows(node, "work_mem", "9MB");
    with_custom_conf(node, path, false, ERR_NOT_FOUND, "left out, the rest is in force");
    file_put(path, "maintenance_work_mem = 79MB\n", 0600);
    with_custom_conf(node, path, false, 0, NULL);
    shows(node, "maintenance_work_mem", "79MB");
    node_free(node);
}

/* A copy takes settings that nothing could be tried with: its start fails once. */
static void custom_conf_of_a_new_copy_is_left_out_after_its_start(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome started;
    struct error err;
    char path[160];
    char aside[160];

    snprintf(path, sizeof path, "%s/postgresql.base.conf", node->data);
    snprintf(aside, sizeof aside, "%s/base.aside", node->dir);
    assert_int_equal(rename(path, aside), 0);
    with_custom_conf(node, "/no/such.conf", false, 0, NULL);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(start_asked(node, &started, &err), 0);
    outcome_wait(&started);
    assert_int_not_equal(started.rc, 0);
    with_custom_conf(node, "/no/such.conf", false, ERR_NOT_FOUND, "custom_conf: could not open");
    node_start_well(node, PG_START_PRIMARY, NULL);
    shows(node, "work_mem", "9MB");
    node_free(node);
}

static void settings_are_tried_and_nothing_is_changed(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    const struct pg_parameter wrong = {"work_mem", "much"};
    const struct pg_parameter right = {"work_mem", "8MB"};
    const struct pg_parameter other = {"maintenance_work_mem", "77MB"};

    assert_int_equal(with_settings(node, &right, &other, true, &outcome), 0);
    assert_int_equal(with_settings(node, &wrong, &other, true, &outcome), ERR_INVALID);
    expect_text(&outcome, "work_mem: invalid value for parameter");
    expect_text(&outcome, "give what PostgreSQL takes");
    shows(node, "maintenance_work_mem", "64MB");
    assert_int_equal(run("ls %s/state/trial.* >/dev/null 2>&1", node->dir), 2);
    assert_false(file_there("%s/postgresql.conf.candidate", node->data));
    node_free(node);
}

static void slot_of_a_standby_comes_and_goes_with_the_setting(void **state)
{
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *node = standby_new("n2", primary);
    char value[64] = "";
    static const char slot[] = "SELECT setting FROM pg_settings WHERE name = 'primary_slot_name'";

    node_sql(node, slot, value, sizeof value);
    assert_string_equal(value, "n2");
    reload_well(node, &(struct wish){.no_slots = true});
    WAIT_FOR((node_sql(node, slot, value, sizeof value), value[0] == '\0'));
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_start_well(node, PG_START_STANDBY, primary);
    node_sql(node, slot, value, sizeof value); /* kept for later starts */
    assert_string_equal(value, "");
    PROBE_UNTIL(node, probed.receiver_alive);
    reload_well(node, &(struct wish){.no_slots = false});
    WAIT_FOR((node_sql(node, slot, value, sizeof value), strcmp(value, "n2") == 0));
    node_free(node);
    node_free(primary);
}

/* Nobody gets in over TCP, so that the socket has to be found. */
static void socket_is_looked_for_where_the_running_server_has_it(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    char sockets[96];

    snprintf(sockets, sizeof sockets, "%s/sockets", node->dir);
    assert_int_equal(mkdir(sockets, 0700), 0);
    reload_well(node, &(struct wish){.sockets = sockets, .only_sockets = true});
    /* A new setting moves no socket before the next start. */
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_start_well(node, PG_START_PRIMARY, NULL);
    assert_true(file_there("%s/.s.PGSQL.%u", sockets, node->port));
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);

    /* The next run of the agent has another configuration than the server. */
    node_agent(node, true);
    node_inspect(node);
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);
    node_free(node);
}

/* Started by hand: its walreceivers read no file of ours. */
static void who_does_not_read_the_service_file_is_never_said_to_follow(void **state)
{
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *node = standby_new("n2", primary);
    struct outcome outcome;

    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(run("cd / && " PG_BIN "/pg_ctl -D %s -w -l %s/by-hand.log start >/dev/null",
                         node->data, node->dir),
                     0);
    for (int i = 0; i < 2; i++) { /* the file is the same, the second time at the latest */
        node_follow(node, primary, &outcome);
        CHECK_RC(&outcome, ERR_REFUSED);
        expect_text(&outcome, "was started without our service file");
    }
    node_free(node);
    node_free(primary);
}

/* Without the module the next start would fail. */
static void guard_is_taken_where_it_is_installed(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    struct error err;
    char value[64];

    node_program(node, "postgres",
                 "exec " PG_BIN "/postgres \"$@\""); /* no link to where it may be */
    assert_int_equal(reload(node, &(struct wish){.guard = true}, &outcome, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "postgresql.guard: the module pgquorum_guard is not"));
    assert_int_equal(run("mkdir %s/lib && touch %s/lib/pgquorum_guard.so", node->dir, node->dir),
                     0);
    reload_well(node, &(struct wish){.guard = true});
    assert_int_equal(run("grep -qx \"shared_preload_libraries = 'pgquorum_guard'\" "
                         "%s/postgresql.conf",
                         node->data),
                     0);
    static const char waits[] =
        "SELECT pending_restart FROM pg_settings WHERE name = 'shared_preload_libraries'";
    for (int64_t until_ms = now_ms() + BOUND_MS; now_ms() < until_ms;) {
        node_sql(node, waits, value, sizeof value);
        if (strcmp(value, "t") == 0) {
            break;
        }
    }
    assert_string_equal(value, "t");
    assert_int_equal(run("rm -r %s/lib", node->dir), 0);
    reload_well(node, &(struct wish){.guard = true}); /* as before: other values are not held up */
    reload_well(node, &(struct wish){.guard = false});
    assert_int_equal(run("grep -q pgquorum_guard %s/postgresql.conf", node->data), 1);
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(start_waits_for_a_reload_and_has_its_values),
        ON_STAGE(stop_does_not_wait_for_a_reload),
        ON_STAGE(refusal_of_values_is_told_from_a_failure_of_this_moment),
        ON_STAGE(a_server_of_another_cluster_keeps_its_files),
        ON_STAGE(what_is_refused_is_left_out_and_the_rest_is_taken),
        ON_STAGE(custom_conf_that_cannot_be_read_is_left_out),
        ON_STAGE(custom_conf_that_is_away_for_a_moment_is_not_given_up),
        ON_STAGE(custom_conf_of_a_new_copy_is_left_out_after_its_start),
        ON_STAGE(settings_are_tried_and_nothing_is_changed),
        ON_STAGE(slot_of_a_standby_comes_and_goes_with_the_setting),
        ON_STAGE(socket_is_looked_for_where_the_running_server_has_it),
        ON_STAGE(who_does_not_read_the_service_file_is_never_said_to_follow),
        ON_STAGE(guard_is_taken_where_it_is_installed),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
