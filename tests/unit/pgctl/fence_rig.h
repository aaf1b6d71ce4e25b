/* A fence with a small agent in this process. Whoever needs no PostgreSQL has a program that
 * sleeps, or any other, stand for the postmaster. Included by the one test that uses it. */
#ifndef TESTS_UNIT_PGCTL_FENCE_RIG_H
#define TESTS_UNIT_PGCTL_FENCE_RIG_H

#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/fence.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

static char rig_dir[64];
static char *rig_data_dir;
static char *rig_runtime_dir;
static char *rig_fence_path;
static char *rig_build;

struct rig {
    uv_loop_t loop;
    uv_timer_t tick;
    struct fence_client *client;
    bool answered;
    int rc;
    struct error err;
    unsigned seen[FENCE_EVENT_SILENCE + 1];
    int64_t seen_ms[FENCE_EVENT_SILENCE + 1];
};

static int64_t now_ms(void)
{
    return clock_lease_ms(clock_real());
}

static void rig_on_event(void *arg, enum fence_event event, const struct fence_status *status)
{
    struct rig *rig = arg;
    (void)status;
    rig->seen[event]++;
    rig->seen_ms[event] = now_ms();
}

static void rig_on_done(void *arg, int rc, const struct fence_status *status,
                        const struct error *err)
{
    struct rig *rig = arg;
    (void)status;
    assert_false(rig->answered);
    rig->answered = true;
    rig->rc = rc;
    rig->err = *err;
}

static void rig_on_tick(uv_timer_t *timer)
{
    (void)timer; /* uv_run returns, and the condition is looked at */
}

#define RIG_WAIT(rig, condition, bound_ms)             \
    do {                                               \
        int64_t until_ms_ = now_ms() + (bound_ms);     \
        while (!(condition) && now_ms() < until_ms_) { \
            uv_run(&(rig)->loop, UV_RUN_ONCE);         \
        }                                              \
        assert_true(condition);                        \
    } while (0)

static inline bool rig_saw(struct rig *rig, enum fence_event event, int64_t bound_ms)
{
    int64_t until_ms = now_ms() + bound_ms;
    while (rig->seen[event] == 0 && now_ms() < until_ms) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
    return rig->seen[event] > 0;
}

static inline int rig_answer(struct rig *rig)
{
    RIG_WAIT(rig, rig->answered, 10000);
    rig->answered = false;
    return rig->rc;
}

static inline void rig_run_for(struct rig *rig, int64_t ms)
{
    int64_t until_ms = now_ms() + ms;
    while (now_ms() < until_ms) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

static inline const struct fence_status *rig_status(const struct rig *rig)
{
    return fence_client_status(rig->client);
}

static struct rig *rig_new(void)
{
    struct rig *rig = mem_new(struct rig);
    struct fence_client_config config = {.runtime_dir = rig_runtime_dir,
                                         .fence_path = rig_fence_path,
                                         .on_event = rig_on_event,
                                         .arg = rig};
    struct error err = {0};

    assert_int_equal(uv_loop_init(&rig->loop), 0);
    uv_timer_init(&rig->loop, &rig->tick);
    uv_timer_start(&rig->tick, rig_on_tick, 5, 5);
    int rc = fence_client_connect(&rig->loop, &config, rig_on_done, rig, &rig->client, &err);
    if (rc != 0 || rig_answer(rig) != 0) {
        fail_msg("connecting: %s", rc != 0 ? err.text : rig->err.text);
    }
    return rig;
}

static void rig_free(struct rig *rig)
{
    fence_client_free(rig->client, NULL, NULL);
    uv_close((uv_handle_t *)&rig->tick, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    mem_free(rig);
}

static inline void rig_page(struct rig *rig, struct fence_lease lease)
{
    fence_page_write(fence_client_page(rig->client), &lease);
}

/* Armed, for `ms` from now on. */
static inline struct fence_lease rig_lease(int64_t revision, int64_t ms)
{
    struct fence_lease lease = {.epoch = {.cluster = 1, .revision = revision},
                                .soft_ms = now_ms() + ms - 100,
                                .deadline_ms = now_ms() + ms,
                                .watchdog_ms = now_ms() + ms + 400};
    return lease;
}

static inline int rig_start_program(struct rig *rig, const char *data_dir, const char *log_path,
                                    const char *const *argv)
{
    const char *env[] = {"PATH=/usr/bin:/bin", NULL};
    struct fence_start start = {.data_dir = data_dir,
                                .log_path = log_path,
                                .argv = argv,
                                .env = env,
                                .kill_way = FENCE_KILL_LOOP};
    struct error err;
    assert_int_equal(fence_client_start(rig->client, &start, rig_on_done, rig, &err), 0);
    return rig_answer(rig);
}

static inline const char *const *rig_sleeper(void)
{
    /* Not to be impressed by a soft stop. */
    static const char *const argv[] = {
        "/bin/sh", "-c", "trap '' INT TERM; cd \"$0\"; while :; do sleep 1; done", NULL, NULL};
    static const char *with_dir[sizeof argv / sizeof argv[0]];
    memcpy(with_dir, argv, sizeof argv);
    with_dir[3] = rig_data_dir;
    return with_dir;
}

static inline int rig_start(struct rig *rig)
{
    return rig_start_program(rig, rig_data_dir, NULL, rig_sleeper());
}

static inline void rig_kill(struct rig *rig)
{
    struct error err;
    rig->seen[FENCE_EVENT_ALL_GONE] = 0;
    assert_int_equal(fence_client_kill(rig->client, rig_data_dir, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, 10000));
}

/* Busy for a while: a device is to be stopped yet. */
static inline int rig_quit(struct rig *rig)
{
    struct error err;
    int rc = ERR_BUSY;
    for (int i = 0; i < 100 && rc == ERR_BUSY; i++) {
        assert_int_equal(fence_client_quit(rig->client, rig_on_done, rig, &err), 0);
        rc = rig_answer(rig);
        rig_run_for(rig, 20);
    }
    return rc;
}

/* The end of a test: nothing of the instance and no fence is left. */
static void rig_end(struct rig *rig)
{
    rig_page(rig, fence_lease_standby());
    rig_kill(rig);
    assert_int_equal(rig_quit(rig), 0);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 5000));
    rig_free(rig);
}

/* Where everything is to be, and the fence of this build is. */
static int rig_places(const char *what)
{
    char *self = realpath("/proc/self/exe", NULL);

    if (self == NULL) {
        return -1;
    }
    for (int i = 0; i < 4; i++) { /* .../tests/unit/pgctl/test_x */
        *strrchr(self, '/') = '\0';
    }
    rig_build = mem_strdup(self);
    free(self);
    scratch_make(rig_dir, sizeof rig_dir, "/tmp", what);
    rig_data_dir = mem_printf("%s/data", rig_dir);
    rig_runtime_dir = mem_printf("%s/run", rig_dir);
    rig_fence_path = mem_printf("%s/pgquorum-fence", rig_build);
    return 0;
}

/* Before the tests: directories for the user that this process has. */
static inline int rig_open(const char *what)
{
    struct error err;

    if (rig_places(what) != 0) {
        return -1;
    }
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return mkdir(rig_data_dir, 0700) == 0 && fence_runtime_prepare(rig_runtime_dir, &err) == 0 ? 0
                                                                                               : -1;
}

static void rig_close(void)
{
    char *cleanup = mem_printf("rm -rf '%s'", rig_dir);
    unsetenv("LD_PRELOAD");
    (void)!system(cleanup);
    mem_free(cleanup);
    mem_free(rig_data_dir);
    mem_free(rig_runtime_dir);
    mem_free(rig_fence_path);
    mem_free(rig_build);
}

#endif
