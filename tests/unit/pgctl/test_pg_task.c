/* How a task ends that did not get through: what it made is undone on a thread, and then it tells
 * why. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
    uv_loop_t loop;
    struct pg_instance pg;
    uv_thread_t loop_thread;
    uv_sem_t go; /* undoing waits for it */
    bool told;
    int rc;
    char text[128];
};

struct made {
    struct fixture *fixture;
    bool fails; /* in its first step; else it waits */
    bool *ret_undone;
};

static void on_told(void *arg, int rc, const struct error *err)
{
    struct fixture *fixture = arg;
    fixture->told = true;
    fixture->rc = rc;
    (void)snprintf(fixture->text, sizeof fixture->text, "%s", err->text);
}

static int undo_files(void *arg, struct error *err)
{
    const struct made *made = arg;
    uv_thread_t here = uv_thread_self();
    uv_sem_wait(&made->fixture->go);
    *made->ret_undone = !uv_thread_equal(&here, &made->fixture->loop_thread);
    return error_set(err, ERR_IO, "what goes wrong here is not told");
}

static void step(struct pg_task *task)
{
    const struct made *made = task->data;
    if (made->fails) {
        task->rc = error_set(&task->err, ERR_REFUSED, "the reason");
        pg_task_undo_and_fail(task);
        return;
    }
    pg_task_wait(task, 60000);
}

static struct pg_task *start(struct fixture *fixture, bool fails, bool *ret_undone)
{
    static const struct pg_task_ops ops = {.name = "test", .step = step, .undo_files = undo_files};
    struct made *made = mem_new(struct made);
    struct pg_task *task = NULL;

    *fixture = (struct fixture){.loop_thread = uv_thread_self()};
    assert_int_equal(uv_sem_init(&fixture->go, 0), 0);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->pg.loop = &fixture->loop;
    fixture->pg.clock = clock_real();
    list_init(&fixture->pg.tasks);
    *made = (struct made){.fixture = fixture, .fails = fails, .ret_undone = ret_undone};
    assert_int_equal(pg_task_start(&fixture->pg, &ops, made, 60000, on_told, fixture, &task, NULL),
                     0);
    return task;
}

static void finish(struct fixture *fixture)
{
    uv_sem_post(&fixture->go);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    uv_sem_destroy(&fixture->go);
    assert_true(fixture->told);
    assert_int_equal(fixture->pg.task_count, 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

static void a_canceled_task_undoes_its_files_on_a_thread_first(void **state)
{
    (void)state;
    static struct fixture fixture; /* an instance is large */
    bool undone = false;
    struct pg_task *task = start(&fixture, false, &undone);
    (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
    pg_task_cancel(task);
    finish(&fixture);
    assert_true(undone);
    assert_int_equal(fixture.rc, ERR_CANCELED);
}

static void a_task_that_fails_tells_its_own_reason_after_undoing(void **state)
{
    (void)state;
    static struct fixture fixture; /* an instance is large */
    bool undone = false;
    (void)start(&fixture, true, &undone);
    finish(&fixture);
    assert_true(undone);
    assert_int_equal(fixture.rc, ERR_REFUSED);
    assert_string_equal(fixture.text, "the reason");
}

static void one_that_is_canceled_while_it_undoes_is_told_so(void **state)
{
    (void)state;
    static struct fixture fixture; /* an instance is large */
    bool undone = false;
    struct pg_task *task = start(&fixture, true, &undone);
    while (!task->undoing) {
        (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    pg_task_cancel(task);
    finish(&fixture);
    assert_true(undone);
    assert_int_equal(fixture.rc, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_canceled_task_undoes_its_files_on_a_thread_first),
        cmocka_unit_test(a_task_that_fails_tells_its_own_reason_after_undoing),
        cmocka_unit_test(one_that_is_canceled_while_it_undoes_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
