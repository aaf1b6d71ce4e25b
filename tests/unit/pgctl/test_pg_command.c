/* Commands of the operator: what becomes of them, and of what they have started. */
#include "base/mem.h"
#include "pgctl/jobs/command.h"
#include "pgctl/jobs/pg_private.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BOUND_MS 10000 /* of every wait: red, not slow */

struct outcome {
    bool told;
    int rc;
};

static struct {
    uv_loop_t loop;
    struct pg_instance pg;
    char *env[3];
    char dir[64];
    unsigned ends; /* told to on_command */
    int rc;
    char what[64];
    char error[ERROR_TEXT_BYTES];
    char out[256];
    size_t out_len;
    char errors[256];
    int64_t took_ms;
} stage;

static void on_command(void *arg, const struct pg_command_end *end)
{
    assert_ptr_equal(arg, &stage);
    stage.ends++;
    stage.rc = end->rc;
    stage.took_ms = end->took_ms;
    stage.out_len = end->out.len;
    snprintf(stage.what, sizeof stage.what, "%s", end->what);
    snprintf(stage.error, sizeof stage.error, "%s", end->rc == 0 ? "" : end->err->text);
    snprintf(stage.out, sizeof stage.out, "%.*s", (int)end->out.len, (const char *)end->out.data);
    snprintf(stage.errors, sizeof stage.errors, "%.*s", (int)end->errors.len,
             (const char *)end->errors.data);
}

static void on_done(void *arg, int rc, const struct error *err)
{
    struct outcome *outcome = arg;
    (void)err;
    outcome->told = true;
    outcome->rc = rc;
}

static int stage_open(void **state)
{
    (void)state;
    memset(&stage, 0, sizeof stage);
    snprintf(stage.dir, sizeof stage.dir, "/tmp/pg_command_XXXXXX");
    assert_non_null(mkdtemp(stage.dir));
    assert_int_equal(uv_loop_init(&stage.loop), 0);
    stage.env[0] = mem_printf("PATH=%s", getenv("PATH"));
    stage.env[1] = mem_printf("DIR=%s", stage.dir);
    stage.pg.loop = &stage.loop;
    stage.pg.clock = clock_real();
    stage.pg.command_env = stage.env;
    stage.pg.config.on_command = on_command;
    stage.pg.config.on_command_arg = &stage;
    list_init(&stage.pg.tasks);
    return 0;
}

static int stage_close(void **state)
{
    char command[96];
    (void)state;
    uv_run(&stage.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&stage.loop), 0);
    assert_int_equal(stage.pg.task_count, 0);
    assert_null(stage.pg.calls[PG_CALL_EVENT]);
    assert_null(stage.pg.calls[PG_CALL_RELOAD]);
    mem_free(stage.env[0]);
    mem_free(stage.env[1]);
    snprintf(command, sizeof command, "rm -rf %s", stage.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

/* "$DIR" is the stage's; `action` is $1. */
static void call(enum pg_call kind, const char *script, const char *action, int64_t timeout_ms,
                 struct outcome *ret_outcome)
{
    const char *const words[] = {"sh", "-c", script, "script", action};
    struct pg_command command = {.what = "a call", .words = {words, 5}, .timeout_ms = timeout_ms};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_call(&stage.pg, kind, &command, on_done, ret_outcome, &err), 0);
}

static bool has(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", stage.dir, name);
    return access(path, F_OK) == 0;
}

#define WAIT_FOR(condition)                                         \
    do {                                                            \
        int64_t until_ms_ = clock_mono_ms(clock_real()) + BOUND_MS; \
        while (!(condition)) {                                      \
            assert_true(clock_mono_ms(clock_real()) < until_ms_);   \
            uv_run(&stage.loop, UV_RUN_NOWAIT);                     \
            usleep(1000);                                           \
        }                                                           \
    } while (0)

/* Of a process whose number a script has written there. */
static bool lives(const char *name)
{
    char path[128];
    char text[32] = "";
    snprintf(path, sizeof path, "%s/%s", stage.dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    char stat[64];
    snprintf(stat, sizeof stat, "/proc/%ld/stat", strtol(text, NULL, 10));
    file = fopen(stat, "r");
    if (file == NULL) {
        return false;
    }
    char state = 0;
    int read = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return read == 1 && state != 'Z' && state != 'X';
}

static void end_of(const char *name)
{
    char command[128];
    snprintf(command, sizeof command, "kill -9 $(cat %s/%s)", stage.dir, name);
    assert_int_equal(system(command), 0);
}

static void what_a_command_wrote_and_its_exit_status_are_told(void **state)
{
    struct outcome outcome;
    (void)state;
    call(PG_CALL_EVENT, "echo \"to $1\"; echo why >&2; exit 3", "on_start", 5000, &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, ERR_IO);
    assert_int_equal(stage.ends, 1);
    assert_string_equal(stage.what, "a call");
    assert_string_equal(stage.out, "to on_start\n");
    assert_string_equal(stage.errors, "why\n");
    assert_string_equal(stage.error, "sh: exit status 3: why");
    call(PG_CALL_EVENT, "kill -TERM $$", "", 5000, &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, ERR_IO);
    assert_non_null(strstr(stage.error, "ended by signal 15"));
    call(PG_CALL_EVENT, "exit 0", "", 5000, &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, 0);
    assert_int_equal(stage.ends, 3);
}

static void a_command_that_is_late_is_killed_with_what_it_has_started(void **state)
{
    struct outcome outcome;
    (void)state;
    call(PG_CALL_EVENT, "sleep 600 & echo $! > $DIR/child; touch $DIR/begun; wait", "", 300,
         &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, ERR_TIMEOUT);
    assert_true(stage.took_ms >= 300 && stage.took_ms < BOUND_MS);
    assert_non_null(strstr(stage.error, "not done in time, killed"));
    WAIT_FOR(!lives("child"));
}

static void another_call_kills_the_one_that_runs(void **state)
{
    struct outcome first;
    struct outcome second;
    struct outcome reload;
    (void)state;
    call(PG_CALL_EVENT, "sleep 600 & echo $! > $DIR/child; touch $DIR/begun; wait", "", 60000,
         &first);
    call(PG_CALL_RELOAD, "sleep 600 & echo $! > $DIR/other; touch $DIR/reloads; wait", "", 60000,
         &reload);
    WAIT_FOR(has("begun") && has("reloads"));
    call(PG_CALL_EVENT, "true", "", 5000, &second);
    WAIT_FOR(first.told && second.told);
    assert_int_equal(first.rc, ERR_CANCELED);
    assert_int_equal(second.rc, 0);
    WAIT_FOR(!lives("child"));
    assert_false(reload.told); /* it has a place of its own */
    assert_true(lives("other"));
    call(PG_CALL_RELOAD, "true", "", 5000, &second);
    WAIT_FOR(reload.told && second.told);
    assert_int_equal(reload.rc, ERR_CANCELED);
    WAIT_FOR(!lives("other"));
}

static void what_a_callback_leaves_in_the_background_lives_on(void **state)
{
    struct outcome outcome;
    (void)state;
    call(PG_CALL_EVENT, "sleep 600 > /dev/null 2>&1 & echo $! > $DIR/child", "", 5000, &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, 0);
    assert_true(lives("child"));
    end_of("child");
}

static void of_much_output_the_end_is_kept(void **state)
{
    struct outcome outcome;
    (void)state;
    call(PG_CALL_EVENT, "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done", "",
         BOUND_MS, &outcome);
    WAIT_FOR(outcome.told);
    assert_int_equal(outcome.rc, 0);
    assert_true(stage.out_len > 0 && stage.out_len <= 64 * 1024);
}

static void a_program_that_is_not_there_is_told(void **state)
{
    static const char *const words[] = {"/nowhere/program"};
    struct pg_command command = {.what = "a call", .words = {words, 1}, .timeout_ms = 5000};
    struct outcome outcome = {0};
    struct error err;
    (void)state;
    assert_int_equal(pg_instance_call(&stage.pg, PG_CALL_EVENT, &command, on_done, &outcome, &err),
                     0);
    WAIT_FOR(outcome.told);
    assert_int_not_equal(outcome.rc, 0);
    assert_int_equal(stage.ends, 1);
    assert_non_null(strstr(stage.error, "/nowhere/program"));
}

int main(void)
{
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)
    const struct CMUnitTest tests[] = {
        ON_STAGE(what_a_command_wrote_and_its_exit_status_are_told),
        ON_STAGE(a_command_that_is_late_is_killed_with_what_it_has_started),
        ON_STAGE(another_call_kills_the_one_that_runs),
        ON_STAGE(what_a_callback_leaves_in_the_background_lives_on),
        ON_STAGE(of_much_output_the_end_is_kept),
        ON_STAGE(a_program_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
