/* One loop, and a watchdog that ticks instead of sleeps: a turn in which only a timer did something
 * ends, too. */
#ifndef TESTS_UNIT_AGENT_DCS_WATCHED_LOOP_H
#define TESTS_UNIT_AGENT_DCS_WATCHED_LOOP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <cmocka.h>

static uv_loop_t loop;
static uv_timer_t watchdog;
static bool watchdog_fired;
static uint64_t watchdog_at_ms;

static void on_watchdog(uv_timer_t *timer)
{
    watchdog_fired = uv_now(timer->loop) > watchdog_at_ms;
}

static inline void loop_open(uint64_t watchdog_ms, uint64_t tick_ms)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    watchdog_fired = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &watchdog), 0);
    watchdog_at_ms = uv_now(&loop) + watchdog_ms;
    assert_int_equal(uv_timer_start(&watchdog, on_watchdog, tick_ms, tick_ms), 0);
}

/* Nothing may be left in it. */
static inline void loop_end(void)
{
    uv_close((uv_handle_t *)&watchdog, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

#endif
