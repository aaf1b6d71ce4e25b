/* Two members' views of one real etcd, in one loop. */
#ifndef TESTS_UNIT_AGENT_DCS_REAL_DCS_H
#define TESTS_UNIT_AGENT_DCS_REAL_DCS_H

#include "tests/unit/agent_dcs/real_etcd.h"
#include "tests/unit/agent_dcs/watched_loop.h"

#define RUN_UNTIL(fact)                   \
    while (!(fact)) {                     \
        if (watchdog_fired) {             \
            fail_msg("never: %s", #fact); \
        }                                 \
        (void)uv_run(&loop, UV_RUN_ONCE); \
    }

#include "tests/unit/agent_dcs/dcs_fixture.h"

enum { WATCHDOG_MS = 40000, TICK_MS = 10 };

#define REAL(name) cmocka_unit_test_setup_teardown(name, real_setup, real_teardown)

static enum etcd_dialect dialect;
static struct dcs *a; /* of the member n1 */
static struct dcs *b; /* of n2 */

static inline void run_ms(uint64_t ms)
{
    uint64_t until = uv_now(&loop) + ms;
    RUN_UNTIL(uv_now(&loop) >= until);
}

static inline struct dcs *open_dcs(const char *name)
{
    const char *urls[] = {etcd_url};
    struct dcs *dcs = dcs_start(dialect, urls, 1, name, 300);
    RUN_UNTIL(view_of(dcs) != NULL);
    return dcs;
}

static inline int real_setup(void **state)
{
    (void)state;
    if (!etcd_is_installed()) {
        print_message("/usr/bin/etcd is not installed (make deps): not run\n");
        skip();
    }
    if (etcd_pid == 0) {
        etcd_start();
    }
    (void)kill(etcd_pid, SIGCONT); /* a test that failed may have left it stopped */
    if (dialect == ETCD_V3) {
        v3_by_hand("/v3/kv/deleterange", "{\"key\":\"L3MveC8=\",\"range_end\":\"L3MveDA=\"}");
    } else {
        v2_by_hand("DELETE", "/v2/keys/s/x?recursive=true", "");
    }
    loop_open(WATCHDOG_MS, TICK_MS);
    a = open_dcs("n1");
    b = open_dcs("n2");
    return 0;
}

static inline int real_teardown(void **state)
{
    (void)state;
    if (a == NULL) {
        return 0;
    }
    a->ops->free(a);
    b->ops->free(b);
    a = NULL;
    b = NULL;
    loop_end();
    buf_free(&dcs_notes);
    return 0;
}

static inline int64_t lead(struct dcs *dcs, const char *name, int64_t ttl_ms)
{
    struct dcs_acquire wanted = wish(dcs, name, ttl_ms);
    int64_t before = clock_lease_ms(clock_real());
    struct result result = acquire(dcs, &wanted);
    if (result.is.rc != 0) {
        fail_msg("%s", result.text);
    }
    assert_true(result.is.sent_ms >= before && result.is.answered_ms >= result.is.sent_ms);
    return result.is.revision;
}

#endif
