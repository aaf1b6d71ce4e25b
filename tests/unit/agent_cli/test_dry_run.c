/* --dry-run: the same checks and refusals as without it, and nothing that changes is sent. */
#include "tests/unit/agent_cli/verbs_fixture.h"

static void config_is(const char *expected)
{
    char *config = get("config");
    assert_string_equal(config, expected);
    mem_free(config);
}

#define BEFORE "{\"ttl\":30,\"loop_wait\":10}"

static void edit_config_shows_the_change_and_does_not_make_it(void **state)
{
    (void)state;
    assert_int_equal(RUN("edit-config", "-s", "ttl=40", "--dry-run"), 0); /* asks nothing */
    assert_string_equal(world.out,
                        "--- \n+++ \n@@ -1,2 +1,2 @@\n loop_wait: 10\n-ttl: 30\n+ttl: 40\n"
                        "Dry run: nothing was sent. The configuration would be changed\n");
    assert_int_equal(RUN("edit-config", "-q", "-s", "ttl=40", "--force", "--dry-run"), 0);
    assert_string_equal(world.out, "Dry run: nothing was sent. The configuration would be "
                                   "changed\n");
    assert_int_equal(RUN_ANSWERING("ttl: 60\n", "edit-config", "--apply", "-", "--dry-run"), 0);
    says(world.out, "+ttl: 60\nDry run: nothing was sent.");
    config_is(BEFORE);
}

static void edit_config_refuses_as_it_would(void **state)
{
    (void)state;
    assert_int_equal(RUN("edit-config", "-s", "ttl=2", "--dry-run"), 1);
    says(world.err, "Error: ttl: 2 is not right");
    assert_int_equal(RUN("edit-config", "-s", "ttl=30", "--dry-run"), 0);
    assert_string_equal(world.out, "Not changed\n");
    assert_int_equal(RUN("edit-config", "another", "-s", "ttl=40", "--dry-run"), 1);
    says(world.err, "The config key does not exist in the cluster another");
    config_is(BEFORE);
}

static void pause_and_resume_tell_what_they_would_write(void **state)
{
    (void)state;
    assert_int_equal(RUN("resume", "--dry-run"), 1);
    says(world.err, "Cluster is not paused");
    assert_int_equal(RUN("pause", "--dry-run", "--wait"), 0); /* there is nothing to wait for */
    assert_string_equal(world.out, "Dry run: nothing was sent. 'pause: true' would be written into "
                                   "the configuration\n");
    config_is(BEFORE);
    put("config", "{\"ttl\":30,\"pause\":true}");
    assert_int_equal(RUN("pause", "--dry-run"), 1);
    says(world.err, "Cluster is already paused");
    assert_int_equal(RUN("resume", "--dry-run"), 0);
    assert_string_equal(world.out, "Dry run: nothing was sent. 'pause' would be taken out of the "
                                   "configuration\n");
    config_is("{\"ttl\":30,\"pause\":true}");
    put("config", BEFORE);
    assert_int_equal(RUN("pause", "nobody", "--dry-run"), 1);
    says(world.err, "config key does not exist");
}

static void reload_names_whom_it_would_ask_and_asks_nobody(void **state)
{
    (void)state;
    unlink(world.request);
    assert_int_equal(RUN("reload", "batman", "-r", "replica", "--dry-run"), 0);
    says(world.out, "+ Cluster: batman");
    says(world.out,
         "\nDry run: nothing was sent. These members would be asked to reload: n2, n3\n");
    assert_int_equal(RUN("reload", "batman", "n1", "--force", "--dry-run"), 0);
    assert_string_equal(below_table(), "Dry run: nothing was sent. These members would be asked "
                                       "to reload: n1\n");
    assert_int_equal(RUN("reload", "batman", "nobody", "--dry-run"), 1);
    says(world.err, "Error: no member 'nobody' in cluster batman");
    assert_int_equal(access(world.request, F_OK), -1);
    assert_int_equal(RUN("reload", "batman", "n1", "--force"), 0); /* and that is how one is seen */
    assert_int_equal(access(world.request, F_OK), 0);
}

/* In the order in which it would be done; the one that leads is the last. */
static void reexec_asks_each_what_it_would_do_and_stops_at_the_first_that_cannot(void **state)
{
    (void)state;
    assert_int_equal(RUN("reexec", "batman", "--dry-run"), 0);
    assert_string_equal(below_table(),
                        "Dry run: nothing is executed. One after the other, and not the next "
                        "before the one before is back:\n"
                        "n2: '/usr/bin/pgquorum' would be executed in place\n"
                        "n3: '/usr/bin/pgquorum' would be executed in place\n"
                        "n1: '/usr/bin/pgquorum' would be executed in place\n");
    assert_int_equal(RUN("reexec", "batman", "--force"), 1);
    assert_string_equal(world.err, "Error: member n2: not executed anew: it would not start here\n"
                                   "Error: 2 more were not asked\n");
    assert_int_equal(RUN_ANSWERING("n\n", "reexec", "batman", "n1"), 1);
    says(world.err, "Aborted execute anew");
    assert_int_equal(RUN("reexec", "batman", "nobody", "--dry-run"), 1);
    says(world.err, "nobody");
    assert_int_equal(RUN("reexec"), 2);
    says(world.err, "name the cluster");
}

/* What was asked of the member, after its first line. */
static void asked(const char *words)
{
    char request[4096] = "";
    FILE *file = fopen(world.request, "r");
    assert_non_null(file);
    size_t len = fread(request, 1, sizeof(request) - 1, file);
    request[len] = '\0';
    fclose(file);
    says(request, words);
}

static void asks_nobody(void)
{
    assert_int_equal(access(world.request, F_OK), -1);
}

static void switchover_tells_what_the_leader_would_decide(void **state)
{
    (void)state;
    unlink(world.request);
    assert_int_equal(RUN("switchover", "--candidate", "n2", "--dry-run"), 0); /* asks nothing */
    says(world.out, "\nDry run: nothing was sent. n1 would be asked for a switchover to n2; as "
                    "things are now,\nn1 would decide by the rule leader/failover: stepping down "
                    "(checkpoint, stop_fast)\n");
    asked("POST /dry-run/switchover HTTP/1.1\r\n");
    asked("{\"candidate\":\"n2\",\"leader\":\"n1\"}");
    assert_int_equal(RUN("switchover", "--candidate", "n3", "--dry-run"), 0);
    says(world.out, "n1 would refuse it: 412, not here\n");
    assert_int_equal(RUN("switchover", "--scheduled", "2031-01-01T00:00Z", "--dry-run"), 0);
    says(world.out, "a switchover at 2031-01-01T00:00:00+00:00; as");
    unlink(world.request);
    assert_int_equal(RUN("switchover", "--leader", "n2", "--dry-run"), 1);
    says(world.err, "Member n2 is not the leader of cluster batman");
    asks_nobody();
}

static void who_does_not_know_the_question_is_named(void **state)
{
    (void)state;
    assert_int_equal(RUN("failover", "--candidate", "n2", "--dry-run"), 0);
    says(world.out, "n1 does not say what it would decide: it is Patroni, or of a release");
    assert_int_equal(RUN("reinit", "batman", "n2", "--from-leader", "--dry-run"), 0);
    says(world.out, "Dry run: nothing was sent. The data directory of n2 would be removed, and "
                    "copied anew from the leader; as things are now,\nn2 does not say what");
    asked("{\"force\":true,\"from_leader\":true}");
    unlink(world.request);
    assert_int_equal(RUN("reinit", "batman", "--dry-run"), 0);
    says(world.out, "Dry run: no member is named, so nothing would happen\n");
    put_member("n4", "replica", free_port());
    assert_int_equal(RUN("reinit", "batman", "n4", "--dry-run"), 1);
    says(world.err, "Error: member n4 does not say what it would do: asking http://");
    asks_nobody();
}

static void restart_asks_each_for_its_decision(void **state)
{
    (void)state;
    assert_int_equal(RUN("restart", "batman", "n2", "n3", "--pending", "--scheduled",
                         "2030-01-01T00:00Z", "--dry-run"),
                     0);
    says(world.out, "Dry run: nothing was sent. n2, n3 would be asked to restart at "
                    "2030-01-01T00:00:00+00:00, one after the other; as things are now,\n");
    assert_int_equal(RUN("restart", "batman", "n2", "n3", "--dry-run"), 0);
    says(world.out,
         "n2 would decide by the rule replica/no_restart: all is well (nothing to do)\n"
         "n3 would decide by the rule replica/no_restart: all is well (nothing to do)\n");
    asked("POST /dry-run/restart HTTP/1.1\r\n");
    assert_int_equal(RUN("restart", "batman", "n2", "--timeout", "7", "--dry-run"), 0);
    says(world.out, "n2 would refuse it: 503, postgres is still starting\n");
}

static void flush_tells_what_it_would_delete(void **state)
{
    (void)state;
    put("members/n2",
        "{\"role\":\"replica\",\"state\":\"running\",\"api_url\":\"http://127.0.0.1:1/patroni\","
        "\"scheduled_restart\":{\"schedule\":\"2031-01-01T00:00:00+00:00\"}}");
    put("failover", "{\"leader\":\"n1\",\"scheduled_at\":\"2032-01-01T00:00:00+00:00\"}");
    unlink(world.request);
    assert_int_equal(RUN("flush", "batman", "restart", "--force", "--dry-run"), 0);
    says(world.out, "Dry run: nothing was sent. The restart of n2 at 2031-01-01T00:00:00+00:00 "
                    "would be deleted\n");
    says(world.out, "No scheduled restart for member n3\n");
    assert_int_equal(RUN("flush", "batman", "switchover", "--dry-run"), 0);
    assert_string_equal(world.out, "Dry run: nothing was sent. The switchover at "
                                   "2032-01-01T00:00:00+00:00 would be deleted\n");
    asks_nobody();
    put("failover", "{}");
    put_member("n2", "replica", world.rest_port);
}

static void a_cluster_that_would_change_its_role_is_not_asked(void **state)
{
    (void)state;
    unlink(world.request);
    assert_int_equal(RUN("demote-cluster", "--host", "h", "--port", "5", "--dry-run"), 0);
    says(world.out, "Dry run: nothing was sent. The leader n1 would be asked to write this as "
                    "standby_cluster: {\"host\": \"h\", \"port\": 5}, and would go on as a "
                    "standby\n");
    assert_int_equal(RUN("promote-cluster", "--dry-run"), 1);
    says(world.err, "Cluster is already in the required state");
    put("config", "{\"standby_cluster\":{\"host\":\"h\"}}");
    assert_int_equal(RUN("promote-cluster", "--dry-run"), 0);
    says(world.out, "would be asked to take standby_cluster out of the configuration, and would be "
                    "promoted\n");
    asks_nobody();
    put("config", BEFORE);
}

static void the_raft_group_stays_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(RUN("raft", "status", "--dry-run"), 2);
    says(world.err, "--dry-run goes with remove and recover");
    assert_int_equal(RUN("raft", "remove", "n1", "--dry-run"), 1);
    says(world.err, "'n1' holds the leader key of cluster batman");
    put("leader", "n2");
    assert_int_equal(RUN("raft", "remove", "n1", "--dry-run"), 0);
    says(world.out, "Dry run: nothing was sent. The leader would be asked to remove 'n1' (");
    says(world.out, "); 0 voters would be left, of which 1 have to be there\n");
    put("leader", "n1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edit_config_shows_the_change_and_does_not_make_it),
        cmocka_unit_test(edit_config_refuses_as_it_would),
        cmocka_unit_test(reload_names_whom_it_would_ask_and_asks_nobody),
        cmocka_unit_test(reexec_asks_each_what_it_would_do_and_stops_at_the_first_that_cannot),
        cmocka_unit_test(switchover_tells_what_the_leader_would_decide),
        cmocka_unit_test(who_does_not_know_the_question_is_named),
        cmocka_unit_test(restart_asks_each_for_its_decision),
        cmocka_unit_test(flush_tells_what_it_would_delete),
        cmocka_unit_test(a_cluster_that_would_change_its_role_is_not_asked),
        cmocka_unit_test(the_raft_group_stays_as_it_is),
        cmocka_unit_test(pause_and_resume_tell_what_they_would_write),
    };
    return cmocka_run_group_tests(tests, start, end);
}
