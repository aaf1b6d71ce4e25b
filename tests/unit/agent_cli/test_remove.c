/* remove: what is asked, what is refused, and that nothing else is deleted. */
#include "tests/unit/agent_cli/verbs_fixture.h"

static size_t keys_of(const char *cluster)
{
    struct cli_session *session = NULL;
    struct dcs_view *view = NULL;
    struct error err = {0};
    assert_int_equal(cli_session_open(world.file, NULL, &session, &err), 0);
    assert_int_equal(cli_session_read(session, cluster, &view, &err), 0);
    size_t count = view->count;
    dcs_view_unref(view);
    cli_session_close(session);
    return count;
}

static void old_cluster(bool led)
{
    put_in("robin", "initialize", "1");
    put_in("robin", "config", "{}");
    put_in("robin", "status", "{}");
    put_in("robin", "members/a", "{\"state\":\"running\",\"role\":\"primary\"}"); /* Patroni's */
    if (led) {
        put_in("robin", "leader", "a");
    }
}

static void every_answer_has_to_be_exact(void **state)
{
    (void)state;
    old_cluster(true);
    assert_int_equal(RUN_ANSWERING("batman\n", "remove", "robin"), 1);
    says(world.out, "+ Cluster: robin (1) ");
    says(world.out, "Please confirm the cluster name to remove: ");
    says(world.err, "Error: Cluster names specified do not match\n");
    assert_int_equal(RUN_ANSWERING("robin\nyes\n", "remove", "robin"), 1);
    says(world.out, "You are about to remove all information in DCS for robin, please type: \"Yes "
                    "I am aware\": ");
    says(world.err, "Error: You did not exactly type \"Yes I am aware\"\n");
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\nb\n", "remove", "robin"), 1);
    says(world.out, "This cluster currently is healthy. Please specify the leader name to "
                    "continue: ");
    says(world.err, "Error: You did not specify the current leader of the cluster\n");
    assert_int_equal(RUN_ANSWERING("robin\n", "remove", "robin"), 1);
    says(world.err, "Aborted!\n");
    assert_int_equal(keys_of("robin"), 5);
}

static void all_of_a_cluster_goes_and_nothing_of_another(void **state)
{
    (void)state;
    old_cluster(true);
    size_t before = keys_of("batman");
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\na\n", "remove", "robin"), 0);
    assert_int_equal(keys_of("robin"), 0);
    assert_int_equal(keys_of("batman"), before);
    old_cluster(false); /* nobody leads: one question less */
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\n", "remove", "robin", "-f", "json"), 0);
    says(world.out, "[{\"Cluster\": \"robin\", \"Member\": \"a\"");
    assert_int_equal(keys_of("robin"), 0);
}

static void a_living_agent_of_ours_keeps_its_cluster(void **state)
{
    (void)state;
    old_cluster(true);
    put_in("robin", "members/a", "{\"state\":\"running\",\"role\":\"primary\",\"reports\":true}");
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\na\n", "remove", "robin"), 1);
    says(world.err, "Error: 'a' leads cluster robin, and its agent lives: stop the agents first\n");
    put_in("robin", "leader", ""); /* between two leaders */
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\n", "remove", "robin"), 1);
    says(world.err, "Error: agents of cluster robin live: a: stop them, and wait until list shows "
                    "them no more, or as stopped\n");
    assert_int_equal(keys_of("robin"), 5);
    put_in("robin", "members/a", "{\"state\":\"stopped\",\"role\":\"replica\",\"reports\":true}");
    assert_int_equal(RUN_ANSWERING("robin\nYes I am aware\n", "remove", "robin"), 0);
    assert_int_equal(keys_of("robin"), 0);
}

static void dry_run_lists_the_keys(void **state)
{
    (void)state;
    old_cluster(true);
    assert_int_equal(RUN("remove", "robin", "--dry-run"), 0);
    says(world.out, "Dry run: nothing was sent. 5 keys of cluster robin would be deleted:\n"
                    "  config\n  initialize\n  leader\n  members/a\n  status\n");
    assert_int_equal(keys_of("robin"), 5);
    assert_int_equal(RUN("remove"), 2);
    says(world.err, "Error: name the cluster; ");
    assert_int_equal(RUN("remove", "robin", "a"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_to_be_exact),
        cmocka_unit_test(all_of_a_cluster_goes_and_nothing_of_another),
        cmocka_unit_test(a_living_agent_of_ours_keeps_its_cluster),
        cmocka_unit_test(dry_run_lists_the_keys),
    };
    return cmocka_run_group_tests(tests, start, end);
}
