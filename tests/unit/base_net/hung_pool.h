/* All threads of libuv's pool hang, as they do on a dead name server. */
#ifndef TESTS_UNIT_BASE_NET_HUNG_POOL_H
#define TESTS_UNIT_BASE_NET_HUNG_POOL_H

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <uv.h>

#include <cmocka.h>

enum { BLOCKERS_MAX = 1024 };

static sem_t hung;
static uv_work_t blockers[BLOCKERS_MAX];
static size_t hung_count;

static inline void hang(uv_work_t *work)
{
    (void)work;
    while (sem_wait(&hung) != 0) {
        assert_int_equal(errno, EINTR);
    }
}

static inline void hung_over(uv_work_t *work, int status)
{
    (void)work;
    assert_int_equal(status, 0);
    hung_count--;
}

static inline void pool_hang(uv_loop_t *loop)
{
    const char *size = getenv("UV_THREADPOOL_SIZE");
    hung_count = size == NULL ? 4 : strtoul(size, NULL, 10);
    assert_in_range(hung_count, 1, BLOCKERS_MAX);
    assert_int_equal(sem_init(&hung, 0, 0), 0);
    for (size_t i = 0; i < hung_count; i++) {
        assert_int_equal(uv_queue_work(loop, &blockers[i], hang, hung_over), 0);
    }
}

static inline void pool_go_on(uv_loop_t *loop)
{
    for (size_t i = 0; i < hung_count; i++) {
        assert_int_equal(sem_post(&hung), 0);
    }
    while (hung_count > 0) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    assert_int_equal(sem_destroy(&hung), 0);
}

#endif
