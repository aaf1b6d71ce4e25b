/* The configuration file, read again: what is taken of it, and what it may be that is not taken. */
#include "agent/app_reload.h"
#include "agent/app_start.h"
#include "tests/harness/scratch.h"
#include "tests/unit/agent_loop/loop_fixture.h"

#include <stdlib.h>
#include <unistd.h>

static char directory[256];
static char path[300];
static struct app_reload reload;
static struct config config;
static size_t warnings_told;
static struct log_settings logged_to;
static bool log_dir_is_bad;

static const char document[] = "scope: s\nname: n\n"
                               "restapi: {listen: '10.0.0.1:8008'}\n"
                               "raft: {data_dir: /var/lib/r, self_addr: '10.0.0.1:2222'}\n"
                               "postgresql:\n"
                               "  listen: '10.0.0.1:5432'\n"
                               "  data_dir: /var/lib/d\n"
                               "  authentication: {replication: {username: r, password: s3cret}}\n";

/* What the fixture has no need of itself. */
int pg_instance_check_reload(const struct pg_instance *instance, const struct pg_reload *wanted,
                             struct error *err)
{
    (void)instance;
    (void)wanted;
    (void)err;
    return 0;
}

int app_start_check_log(const struct config *config_read, struct error *err)
{
    return log_dir_is_bad && config_read->log->file.dir[0] != '\0'
               ? error_set(err, ERR_PERMISSION, "log.dir: opening it: no")
               : 0;
}

void log_configure(const struct log_settings *settings)
{
    logged_to = *settings;
}

void app_start_tell(const struct config_warnings *warnings)
{
    warnings_told = warnings->count;
}

static void put(const char *more)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(document, file) >= 0 && fputs(more, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void start_with(const char *from)
{
    struct error err = {0};
    if (config_load(from, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    rig.agent.config = &config;
    app_reload_init(&reload, &rig.agent, &config, path);
}

static void read_again(void)
{
    app_reload_ask(&reload);
    while (reload.running) {
        assert_true(run_one(rig.now_ms));
    }
}

static int start_test(void **state)
{
    scratch_make(directory, sizeof directory, "/tmp", "reload");
    (void)snprintf(path, sizeof path, "%s/n.yml", directory);
    (void)state;
    rig_settle();
    return 0;
}

static int end_test(void **state)
{
    (void)state;
    rig_free();
    app_reload_free(&reload);
    setenv("PATRONI_CONFIGURATION", "", 1);
    assert_false(config_environment_given());
    (void)unlink(path);
    return rmdir(directory);
}

static void what_can_change_is_taken(void **state)
{
    (void)state;
    put("tags: {nofailover: true}\n");
    start_with(path);
    put("tags: {noloadbalance: true}\n");
    read_again();
    assert_string_equal(rig.agent.reload.file_error, "");
    assert_false(config.tags.nofailover);
    assert_true(config.tags.noloadbalance);
}

/* A deployment takes the file away and writes it anew: until then nofailover stays, even where the
 * environment would be a whole configuration. */
static void a_file_that_is_gone_is_not_replaced_by_the_environment(void **state)
{
    (void)state;
    put("tags: {nofailover: true}\n");
    start_with(path);
    setenv("PATRONI_CONFIGURATION", document, 1);
    assert_int_equal(unlink(path), 0);
    read_again();
    assert_non_null(strstr(rig.agent.reload.file_error, "n.yml: cannot be read: No such file"));
    assert_true(config.tags.nofailover);
    assert_string_equal(config.path, path);
    put("tags: {nofailover: true, noloadbalance: true}\n");
    read_again();
    assert_string_equal(rig.agent.reload.file_error, "");
    assert_true(config.tags.noloadbalance);
}

static void a_file_may_come_to_the_environment(void **state)
{
    (void)state;
    setenv("PATRONI_CONFIGURATION", document, 1);
    start_with(path);
    assert_string_equal(config.path, "PATRONI_CONFIGURATION");
    read_again();
    assert_string_equal(rig.agent.reload.file_error, "");
    assert_int_equal(warnings_told, 1); /* there is no such file */
    put("tags: {nofailover: true}\n");
    read_again();
    assert_true(config.tags.nofailover);
    (void)unlink(path); /* from now on it is the file that counts */
    read_again();
    assert_true(config.tags.nofailover);
    assert_non_null(strstr(rig.agent.reload.file_error, "n.yml: cannot be read: No such file"));
}

static void the_log_goes_by_the_new_file_unless_that_cannot_be_written(void **state)
{
    (void)state;
    put("log: {level: ERROR}\n");
    start_with(path);
    put("log: {level: DEBUG, type: json, dir: /var/log/pg, file_num: 2}\n");
    read_again();
    assert_string_equal(rig.agent.reload.file_error, "");
    assert_int_equal(logged_to.level, LOG_LEVEL_DEBUG);
    assert_true(logged_to.format.json);
    assert_string_equal(logged_to.file.dir, "/var/log/pg");
    assert_int_equal(logged_to.file.num, 2);
    log_dir_is_bad = true;
    put("log: {level: WARNING, dir: /nowhere}\n");
    read_again();
    log_dir_is_bad = false;
    assert_non_null(strstr(rig.agent.reload.file_error, "log.dir: opening it: no"));
    assert_int_equal(logged_to.level, LOG_LEVEL_DEBUG); /* all of it stays */
    assert_int_equal(config.log->level, LOG_LEVEL_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_can_change_is_taken, start_test, end_test),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_is_not_replaced_by_the_environment,
                                        start_test, end_test),
        cmocka_unit_test_setup_teardown(a_file_may_come_to_the_environment, start_test, end_test),
        cmocka_unit_test_setup_teardown(the_log_goes_by_the_new_file_unless_that_cannot_be_written,
                                        start_test, end_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
