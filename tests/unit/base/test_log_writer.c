/* The thread that alone waits for the sink of the log. The sink here is a gate that tests open and
 * shut. */
#include "base/log_writer.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { RING = 8192, TAKEN = 1 << 20, PROMPT_MS = 500 };

static struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool shut;
    bool refusing;
    char taken[TAKEN];
    size_t len;
    pthread_t by;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static struct log_writer writer;

static bool through_the_gate(void *arg, const char *line, size_t len)
{
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    while (g->shut) {
        pthread_cond_wait(&g->moved, &g->lock);
    }
    bool takes = !g->refusing;
    if (takes) {
        memcpy(g->taken + g->len, line, len);
        g->len += len;
    }
    g->by = pthread_self();
    pthread_mutex_unlock(&g->lock);
    return takes;
}

static void gate_set(bool shut, bool refusing)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    gate.refusing = refusing;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.lock);
}

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

static int start(void **state)
{
    static unsigned char ring[RING];
    static _Alignas(16) unsigned char stack[LOG_WRITER_STACK_BYTES];
    const struct log_writer_config config = {.ring = ring,
                                             .ring_bytes = sizeof ring,
                                             .stack = stack,
                                             .stack_bytes = sizeof stack,
                                             .write = through_the_gate,
                                             .arg = &gate};
    (void)state;
    assert_true(log_writer_flush(&writer, 0)); /* of one that never began */
    return log_writer_start(&writer, &config);
}

static int empty(void **state)
{
    (void)state;
    gate_set(false, false);
    if (!log_writer_flush(&writer, 5000)) {
        return -1;
    }
    gate.len = 0;
    (void)log_writer_take_lost(&writer);
    return 0;
}

static void every_line_arrives_whole_and_in_order(void **state)
{
    static char expected[TAKEN];
    size_t len = 0;
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        char line[256];
        int bytes = snprintf(line, sizeof line, "%u %.*s\n", i, (int)(i % 100),
                             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        while (!log_writer_put(&writer, line, (size_t)bytes)) {
            assert_true(log_writer_flush(&writer, 5000));
        }
        memcpy(expected + len, line, (size_t)bytes);
        len += (size_t)bytes;
    }
    assert_true(log_writer_flush(&writer, 5000));
    assert_int_equal(gate.len, len);
    assert_memory_equal(gate.taken, expected, len);
    assert_false(pthread_equal(gate.by, pthread_self()));
}

static void sink_that_stands_still_takes_no_time_from_who_puts(void **state)
{
    char line[100];
    unsigned put = 0;
    (void)state;
    memset(line, 'y', sizeof line);
    gate_set(true, false);
    int64_t began_ms = now_ms();
    while (log_writer_put(&writer, line, sizeof line)) {
        put++;
    }
    assert_int_equal(put, RING / (sizeof line + 4)); /* bounded; one of them is on its way */
    assert_false(log_writer_flush(&writer, 50));
    assert_true(now_ms() - began_ms < PROMPT_MS + 50);
    assert_int_equal(gate.len, 0);
    gate_set(false, false);
    assert_true(log_writer_flush(&writer, 5000)); /* late, and nothing that was taken is lost */
    assert_int_equal(gate.len, put * sizeof line);
    assert_true(log_writer_put(&writer, line, sizeof line));
}

static void what_the_sink_refuses_is_counted(void **state)
{
    (void)state;
    gate_set(false, true);
    for (int i = 0; i < 7; i++) {
        assert_true(log_writer_put(&writer, "no\n", 3));
    }
    assert_true(log_writer_flush(&writer, 5000));
    assert_int_equal(log_writer_take_lost(&writer), 7);
    assert_int_equal(log_writer_take_lost(&writer), 0);
    assert_int_equal(gate.len, 0);
}

static void a_line_that_is_too_long_is_not_taken(void **state)
{
    static char line[LOG_WRITER_LINE_BYTES + 1];
    (void)state;
    memset(line, 'z', sizeof line);
    assert_false(log_writer_put(&writer, line, sizeof line));
    assert_true(log_writer_put(&writer, line, sizeof line - 1));
    assert_true(log_writer_flush(&writer, 5000));
    assert_int_equal(gate.len, LOG_WRITER_LINE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_line_arrives_whole_and_in_order, empty),
        cmocka_unit_test_teardown(sink_that_stands_still_takes_no_time_from_who_puts, empty),
        cmocka_unit_test_teardown(what_the_sink_refuses_is_counted, empty),
        cmocka_unit_test_teardown(a_line_that_is_too_long_is_not_taken, empty),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
