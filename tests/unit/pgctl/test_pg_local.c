/* How the own server is reached, and where its configuration is, with a real PostgreSQL. */
#include "tests/unit/pgctl/pg_stage.h"

#define LOGIN     "connection authorized.*pgquorum"
#define WALSENDER "replication connection authorized: user=postgres"

/* What PostgreSQL has written of each connection: "[local]" or its address. */
static int connections(const struct node *node, const char *from, const char *what)
{
    char command[512];
    FILE *lines;
    int count = -1;
    snprintf(command, sizeof command, "grep -c 'from %s .* %s' %s/postgres.log", from, what,
             node->dir);
    lines = popen(command, "r");
    assert_non_null(lines);
    assert_int_equal(fscanf(lines, "%d", &count), 1);
    pclose(lines);
    return count;
}

static void reach(struct node *node, enum pg_local_way way, enum pg_local_way repl_way)
{
    char sockets[96];
    snprintf(sockets, sizeof sockets, "%s/state", node->dir);
    const struct pg_parameter parameters[] = {{"unix_socket_directories", sockets},
                                              {"max_connections", "25"},
                                              {"shared_buffers", "16MB"},
                                              {"fsync", "off"},
                                              {"log_connections", "on"},
                                              {"log_line_prefix", "from %h "},
                                              {"dynamic_shared_memory_type", "mmap"}};
    static const char *const lines[] = {"local all all md5",
                                        "host replication replicator 127.0.0.1/32 md5",
                                        "host all all 127.0.0.1/32 md5"};
    struct pg_reload request = {.parameters = {parameters, sizeof parameters / sizeof *parameters},
                                .pg_hba = {lines, 3},
                                .use_slots = true,
                                .local_way = way,
                                .local_repl_way = repl_way};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_reload(node->pg, &request, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

/* A connection for this question alone. */
static void ask(struct node *node)
{
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_checkpoint(node->pg, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static void the_way_to_the_own_server_is_the_one_that_is_given(void **state)
{
    static const struct {
        enum pg_local_way way;
        bool socket;
    } cases[] = {{PG_LOCAL_EITHER, true}, {PG_LOCAL_TCP, false}, {PG_LOCAL_SOCKET, true}};
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reach(node, cases[i].way, PG_LOCAL_EITHER);
        int local = connections(node, "\\[local\\]", LOGIN);
        int tcp = connections(node, "127.0.0.1", LOGIN);
        ask(node);
        node_ping(node, &outcome);
        CHECK_RC(&outcome, 0);
        WAIT_FOR(connections(node, "\\[local\\]", LOGIN) + connections(node, "127.0.0.1", LOGIN) >
                 local + tcp);
        assert_int_equal(connections(node, "\\[local\\]", LOGIN) > local, cases[i].socket);
        assert_int_equal(connections(node, "127.0.0.1", LOGIN) > tcp, !cases[i].socket);
    }
    node_free(node);
}

/* Where the one way is closed, the other is not tried. */
static void nothing_but_the_given_way_is_tried(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct outcome outcome = {0};
    struct error err;
    reach(node, PG_LOCAL_SOCKET, PG_LOCAL_EITHER);
    assert_int_equal(run("mv %s/state/.s.PGSQL.%u %s/state/away", node->dir, node->port, node->dir),
                     0);
    assert_int_equal(pg_instance_checkpoint(node->pg, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CLOSED);
    reach(node, PG_LOCAL_EITHER, PG_LOCAL_EITHER);
    ask(node);
    node_free(node);
}

/* A standby that streams from nobody is asked as a walsender what its timeline is. */
static void the_way_of_a_walsender_is_its_own(void **state)
{
    static const enum pg_local_way ways[] = {PG_LOCAL_TCP, PG_LOCAL_SOCKET};
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *node = standby_new("n2", primary);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        reach(node, ways[1 - i], ways[i]);
        node_stop(node, FENCE_STOP_FAST, LONG_MS);
        assert_int_equal(run(": > %s/postgres.log", node->dir), 0);
        node_start_well(node, PG_START_STANDBY, NULL);
        PROBE_UNTIL(node, probed.timeline_exact);
        assert_int_equal(connections(node, "\\[local\\]", WALSENDER) > 0,
                         ways[i] == PG_LOCAL_SOCKET);
        assert_int_equal(connections(node, "127.0.0.1", WALSENDER) > 0, ways[i] == PG_LOCAL_TCP);
    }
    node_free(node);
    node_free(primary);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(the_way_to_the_own_server_is_the_one_that_is_given),
        ON_STAGE(nothing_but_the_given_way_is_tried),
        ON_STAGE(the_way_of_a_walsender_is_its_own),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
