/* One agent on two fake members, with and without the leader key. */
#ifndef TESTS_UNIT_AGENT_DCS_LEASE_FIXTURE_H
#define TESTS_UNIT_AGENT_DCS_LEASE_FIXTURE_H

#include "tests/unit/agent_dcs/fake_etcd.h"

#include "tests/unit/agent_dcs/dcs_fixture.h"

#define LEADER "L3MveC9sZWFkZXI=" /* /s/x/leader */
#define N1     "bjE="
#define N2     "bjI="
#define TTL_MS 10000

static struct dcs *dcs;
static int64_t epoch;

static inline bool is_path(const struct fake_request *request, const char *path)
{
    return strcmp(request->path, path) == 0;
}

static inline void open_dcs(void)
{
    const char *urls[] = {fakes[0].url, fakes[1].url};
    dcs = dcs_start(ETCD_V3, urls, (size_t)fake_count, "n1", 100);
    RUN_UNTIL(view_of(dcs) != NULL);
}

static inline void close_dcs(void)
{
    dcs->ops->free(dcs);
    dcs = NULL;
}

static inline int setup(void **state)
{
    (void)state;
    fakes_open(2);
    open_dcs();
    return 0;
}

static inline int setup_leader(void **state)
{
    setup(state);
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    struct result result = acquire(dcs, &wanted);
    assert_int_equal(result.is.rc, 0);
    epoch = result.is.revision;
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    buf_clear(&seen);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    hook = NULL;
    if (dcs != NULL) {
        close_dcs();
    }
    fakes_close();
    buf_free(&dcs_notes);
    return 0;
}

static inline size_t grants(void)
{
    return seen_count("/lease/grant");
}

static inline uint64_t lease_of_key(void)
{
    const struct fake_kv *kv = store_find(LEADER);
    return kv == NULL ? 0 : kv->lease;
}

static int no_status;
static const char *no_words;
static const char *no_path;

static inline bool says_no(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, no_path)) {
        return false;
    }
    fake_answer(request->peer, no_status, "%s", no_words);
    return true;
}

static json_t *open_txn;
static struct fake_peer *open_peer;
static int txns_to_hold;

static inline bool txn_is_held(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/kv/txn") || txns_to_hold == 0) {
        return false;
    }
    txns_to_hold--;
    open_txn = json_incref(request->body);
    open_peer = request->peer;
    return true;
}

/* The held transaction comes through after all. */
static inline bool apply_held(void)
{
    bool succeeded = false;
    bool there = txn_apply(open_txn, &succeeded);
    json_decref(open_txn);
    open_txn = NULL;
    return there && succeeded;
}

#define LED(name) cmocka_unit_test_setup_teardown(name, setup_leader, teardown)
#define NEW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
