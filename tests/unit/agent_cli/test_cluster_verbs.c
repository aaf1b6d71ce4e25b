/* demote-cluster and promote-cluster: what is asked of the leader, and what is waited for. */
#include "tests/unit/agent_cli/verbs_fixture.h"

static void was_asked(const char *words)
{
    char request[4096];
    FILE *file = fopen(world.request, "r");
    assert_non_null(file);
    size_t len = fread(request, 1, sizeof(request) - 1, file);
    request[len] = '\0';
    fclose(file);
    says(request, words);
}

/* A process that makes the cluster what was asked for, once the leader was asked. */
static pid_t obeys(const char *role, const char *config)
{
    unlink(world.request);
    pid_t pid = fork_in_test();
    if (pid != 0) {
        return pid;
    }
    for (int i = 0; i < 200 && access(world.request, F_OK) != 0; i++) {
        poll(NULL, 0, 50);
    }
    poll(NULL, 0, 500); /* it is looked at once before that */
    put("config", config);
    put_member("n1", role, world.rest_port);
    _exit(0);
}

static void obeyed(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define OWN     "{\"ttl\":30,\"loop_wait\":10}"
#define STANDBY "{\"ttl\":30,\"loop_wait\":10,\"standby_cluster\":{\"host\":\"10.9.0.1\"}}"

static void a_cluster_is_demoted_and_promoted(void **state)
{
    (void)state;
    pid_t pid = obeys("standby_leader", STANDBY);
    assert_int_equal(RUN("demote-cluster", "--host", "10.9.0.1", "--port", "6432",
                         "--primary-slot-name", "site_b", "--restore-command", "cp %f %p",
                         "--force"),
                     0);
    obeyed(pid);
    was_asked("PATCH /config HTTP/1.1\r\n");
    was_asked("{\"standby_cluster\":{\"host\":\"10.9.0.1\",\"port\":6432,\"primary_slot_name\":"
              "\"site_b\",\"restore_command\":\"cp %f %p\"}}");
    says(world.out, "Current cluster topology\n+ Cluster: batman");
    says(world.out, " cluster is unlocked: False, leader role: primary, leader state: running\n");
    says(world.out,
         " cluster is unlocked: False, leader role: standby_leader, leader state: running\n");
    says(world.out, "| Standby Leader |");
    char *config = get("config");
    says(config, "standby_cluster");
    mem_free(config);
    assert_int_equal(RUN("demote-cluster", "--host", "10.9.0.1", "--force"), 1);
    says(world.err, "Error: Cluster is already in the required state");
    pid = obeys("primary", OWN);
    assert_int_equal(RUN_ANSWERING("y\n", "promote-cluster", "batman"), 0);
    obeyed(pid);
    was_asked("{\"standby_cluster\":null}");
    says(world.out, "Are you sure you want to promote batman cluster? [y/N]: ");
    says(world.out, "leader role: primary, leader state: running\n+ Cluster: batman");
    assert_int_equal(RUN("promote-cluster", "--force"), 1);
    says(world.err, "Error: Cluster is already in the required state");
}

static void what_cannot_be_asked_is_told(void **state)
{
    (void)state;
    assert_int_equal(RUN("demote-cluster", "--force"), 1);
    says(world.err, "Error: At least --host, --port or --restore-command should be specified");
    assert_int_equal(RUN("demote-cluster", "--port", "x"), 2);
    says(world.err, "Error: --port: give a number");
    assert_int_equal(RUN("promote-cluster", "--host", "x"), 2);
    assert_int_equal(RUN("promote-cluster", "a", "b"), 2);
    assert_int_equal(RUN_ANSWERING("n\n", "demote-cluster", "--port", "5433"), 1);
    says(world.out, "Are you sure you want to demote batman cluster? [y/N]: ");
    says(world.err, "Error: Aborted cluster demotion");
    assert_int_equal(RUN("demote-cluster", "--host", "nowhere", "--force"), 1);
    says(world.err, "Error: Failed to demote batman cluster: /config PATCH status code=400, "
                    "(standby_cluster.host: not right)");
    put("leader", "");
    assert_int_equal(RUN("demote-cluster", "--host", "x", "--force"), 1);
    says(world.err, "Error: Cluster has no leader, demotion is not possible");
    put("leader", "n1");
    put_member("n1", "primary", 1); /* nobody listens there */
    assert_int_equal(RUN("demote-cluster", "--host", "x", "--force"), 1);
    says(world.err, "Error: Failed to demote batman cluster: asking http://");
    put_member("n1", "primary", world.rest_port);
    assert_int_equal(RUN("edit-config", "-s", "standby_cluster.port=x", "--force"), 1);
    says(world.err, "standby_cluster.port: not right");
}

static void a_switchover_names_who_leads_a_standby_cluster(void **state)
{
    (void)state;
    put("config", STANDBY);
    assert_int_equal(RUN_ANSWERING("\nn2\nnow\nn\n", "switchover"), 1);
    says(world.out, "Standby Leader [n1]: ");
    put("config", OWN);
    assert_int_equal(RUN_ANSWERING("\nn2\nnow\nn\n", "switchover"), 1);
    says(world.out, "Primary [n1]: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_demoted_and_promoted),
        cmocka_unit_test(what_cannot_be_asked_is_told),
        cmocka_unit_test(a_switchover_names_who_leads_a_standby_cluster),
    };
    return cmocka_run_group_tests(tests, start, end);
}
