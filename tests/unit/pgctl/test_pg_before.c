/* Commands of the operator before a stop and before a promotion, on a real PostgreSQL. */
#include "pg_stage.h"

static const char *const fails[] = {"sh", "-c", "exit 3"};
static const char *const hangs[] = {"sleep", "600"};

static struct pg_command command(const char *const *words, size_t count, int64_t timeout_ms)
{
    return (struct pg_command){.what = "test", .words = {words, count}, .timeout_ms = timeout_ms};
}

static int64_t stop_after(struct node *node, const struct pg_command *before)
{
    struct outcome outcome = {0};
    struct error err;
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS, .before = before};
    int64_t began_ms = now_ms();
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    return now_ms() - began_ms;
}

static void a_stop_follows_whatever_becomes_of_the_command(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct pg_command before = command(fails, 3, 5000);
    (void)stop_after(node, &before);
    node_start_well(node, PG_START_PRIMARY, NULL);
    before = command(hangs, 2, 300);
    int64_t took_ms = stop_after(node, &before);
    assert_true(took_ms >= 300 && took_ms < 15000);
    before = command(hangs, 2, 60000);
    assert_true(stop_after(node, &before) < 10000); /* nothing runs: nothing is to be asked */
    node_free(node);
}

/* A kill does not wait for what runs before a stop. */
static void another_stop_ends_the_command(void **state)
{
    (void)state;
    struct outcome first = {0};
    struct error err;
    struct node *node = primary_new("n1");
    struct pg_command before = command(hangs, 2, 60000);
    struct pg_stop stop = {.mode = FENCE_STOP_FAST, .kill_after_ms = LONG_MS, .before = &before};
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &first, &err), 0);
    struct pg_job_status job = {0};
    WAIT_FOR((pg_instance_job(node->pg, &job), strcmp(job.step, "test") == 0));
    int64_t began_ms = now_ms();
    node_stop(node, FENCE_STOP_IMMEDIATE, 0);
    assert_true(now_ms() - began_ms < 10000);
    WAIT_FOR(first.calls > 0);
    assert_int_equal(first.rc, ERR_CANCELED);
    node_free(node);
}

static void promote_after(struct node *node, const struct pg_command *before, int rc)
{
    struct outcome outcome = {0};
    struct error err;
    struct pg_promote promote = {.timeline = 2, .before = before};
    assert_int_equal(pg_instance_promote(node->pg, &promote, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, rc);
}

static void a_promotion_needs_the_command_to_succeed(void **state)
{
    (void)state;
    static const char *const succeeds[] = {"true"};
    struct node *primary = primary_new("n1");
    struct node *standby = standby_new("n2", primary);
    struct pg_command before = command(fails, 3, 5000);
    promote_after(standby, &before, ERR_REFUSED);
    before = command(hangs, 2, 300);
    promote_after(standby, &before, ERR_REFUSED);
    assert_false(pg_instance_promote_sent(standby->pg));
    PROBE_UNTIL(standby, probed.role == PG_STANDBY);
    before = command(succeeds, 1, 5000);
    promote_after(standby, &before, 0);
    PROBE_UNTIL(standby, probed.role == PG_PRIMARY && probed.timeline == 2);
    node_free(standby);
    node_free(primary);
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        ON_STAGE(a_stop_follows_whatever_becomes_of_the_command),
        ON_STAGE(another_stop_ends_the_command),
        ON_STAGE(a_promotion_needs_the_command_to_succeed),
    };
    return cmocka_run_group_tests(list, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, tests);
}
