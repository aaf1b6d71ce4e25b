/* Where a command of the line has its configuration from: the file, the environment, a URL. */
#include "tests/unit/agent_cli/verbs_fixture.h"

static void a_missing_file_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(
        run_with("", (const char *[]){"pgquorum", "-c", "/nonexistent.yml", "list", NULL}), 1);
    says(world.err, "Error: /nonexistent.yml: cannot be read");
    /* nor does another cluster stand in for it, be it that of the container */
    char *document = mem_printf("{scope: batman, name: n1, raft: {self_addr: '127.0.0.1:%d', "
                                "password: secret}}",
                                world.raft_port);
    setenv("PATRONI_CONFIGURATION", document, 1);
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "list", NULL}), 0);
    says(world.out, "n1");
    assert_int_equal(
        run_with("", (const char *[]){"pgquorum", "-c", "/nonexistent.yml", "list", NULL}), 1);
    says(world.err, "Error: /nonexistent.yml: cannot be read");
    setenv("PATRONI_CONFIGURATION", "", 1);
    mem_free(document);
}

static void a_variable_that_is_empty_is_not_given(void **state)
{
    (void)state;
    setenv("DCS_URL", "", 1);
    assert_int_equal(RUN("list"), 0);
    setenv("PATRONICTL_CONFIG_FILE", "", 1);
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "list", NULL}), 1);
    says(world.err, "no configuration file: give the agent's with -c FILE");
    unsetenv("DCS_URL");
    unsetenv("PATRONICTL_CONFIG_FILE");
    unsetenv("XDG_CONFIG_HOME");
}

static void a_cluster_is_named_by_the_file_or_the_command(void **state)
{
    static const char *const verbs[] = {"history",     "dsn",        "show-config",
                                        "edit-config", "switchover", "failover"};
    (void)state;
    FILE *file = fopen(world.file, "w");
    assert_non_null(file);
    fprintf(file, "raft: {partner_addrs: '127.0.0.1:%d', password: secret}\n", world.raft_port);
    fclose(file);
    assert_int_equal(RUN("list", "batman"), 0);
    says(world.out, "| n1     | 127.0.0.1:5432 | Leader ");
    assert_int_equal(RUN("list"), 0);
    says(world.err, "Listing members: No cluster names were provided\n");
    assert_string_equal(world.out, "");
    assert_int_equal(RUN("topology"), 0);
    says(world.err, "No cluster names were provided");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        assert_int_equal(RUN(verbs[i]), 1);
        says(world.err, "Error: no cluster: name one, or give 'scope' in the file\n");
        assert_string_equal(world.out, "");
    }
    assert_int_equal(RUN("explain", "n2"), 1);
    says(world.err, "Error: no cluster: give 'scope' in the file\n");
    assert_int_equal(RUN("raft", "status"), 0);
    write_file("secret");
}

static void a_url_goes_before_the_store_of_the_file(void **state)
{
    static const char *const forms[] = {"-d", "--dcs-url", "--dcs"};
    struct cli_session *session = NULL;
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(RUN(forms[i], "consul://h", "history"), 1);
        says(world.err, "Error: --dcs-url 'consul://h' has another scheme");
    }
    assert_int_equal(RUN("-d"), 2);
    setenv("DCS_URL", "consul://of-the-environment", 1);
    assert_int_equal(RUN("history"), 1);
    says(world.err, "--dcs-url 'consul://of-the-environment'");
    unsetenv("DCS_URL");
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    const char *const files[] = {world.file, NULL}; /* the default one is not there */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(cli_session_open(files[i], "etcd3://h:1234", &session, &err), 0);
        assert_int_equal(cli_session_config(session)->store, CONFIG_STORE_ETCD3);
        assert_string_equal(cli_session_config(session)->etcd.urls[0], "http://h:1234");
        cli_session_close(session);
    }
    assert_int_equal(cli_session_open("/nonexistent.yml", "etcd3://h", &session, &err),
                     ERR_NOT_FOUND);
    unsetenv("XDG_CONFIG_HOME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_file_is_an_error),
        cmocka_unit_test(a_variable_that_is_empty_is_not_given),
        cmocka_unit_test(a_cluster_is_named_by_the_file_or_the_command),
        cmocka_unit_test(a_url_goes_before_the_store_of_the_file),
    };
    return cmocka_run_group_tests(tests, start, end);
}
