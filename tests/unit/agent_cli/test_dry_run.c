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
                        "--- \n+++ \n@@ -1,2 +1,2 @@\n loop_wait: 10\n-ttl: 30\n+ttl: 40\n\n"
                        "Dry run: nothing was sent. The configuration would be changed\n");
    assert_int_equal(RUN("edit-config", "-q", "-s", "ttl=40", "--force", "--dry-run"), 0);
    assert_string_equal(world.out, "Dry run: nothing was sent. The configuration would be "
                                   "changed\n");
    assert_int_equal(RUN_ANSWERING("ttl: 60\n", "edit-config", "--apply", "-", "--dry-run"), 0);
    says(world.out, "+ttl: 60\n\nDry run: nothing was sent.");
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
    assert_string_equal(world.out, "Dry run: nothing was sent. These members would be asked to "
                                   "reload: n1\n");
    assert_int_equal(RUN("reload", "batman", "nobody", "--dry-run"), 1);
    says(world.err, "Error: no member 'nobody' in cluster batman");
    assert_int_equal(access(world.request, F_OK), -1);
    assert_int_equal(RUN("reload", "batman", "n1", "--force"), 0); /* and that is how one is seen */
    assert_int_equal(access(world.request, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edit_config_shows_the_change_and_does_not_make_it),
        cmocka_unit_test(edit_config_refuses_as_it_would),
        cmocka_unit_test(reload_names_whom_it_would_ask_and_asks_nobody),
        cmocka_unit_test(pause_and_resume_tell_what_they_would_write),
    };
    return cmocka_run_group_tests(tests, start, end);
}
