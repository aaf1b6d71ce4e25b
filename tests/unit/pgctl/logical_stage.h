/* A primary and a standby with wal_level logical, before 17, for tests of logical slots. Included
 * by one source. */
#ifndef TESTS_UNIT_PGCTL_LOGICAL_STAGE_H
#define TESTS_UNIT_PGCTL_LOGICAL_STAGE_H

#include "tests/unit/pgctl/pg_stage.h"

static const struct pg_logical_wish app = {
    .name = "app", .database = "postgres", .plugin = "test_decoding"};
static const struct pg_logical_wish shop = {
    .name = "shop", .database = "shop", .plugin = "test_decoding"};

/* --- nodes with wal_level logical ------------------------------------------------------------- */

static inline void keep_logical_with(struct node *node, struct pg_parameters parameters)
{
    struct pg_reload request = {.parameters = parameters, .use_slots = true, .keeps_logical = true};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_reload(node->pg, &request, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static inline void keep_logical(struct node *node)
{
    static const struct pg_parameter parameters[] = {
        {"unix_socket_directories", "."},
        {"shared_buffers", "16MB"},
        {"max_connections", "25"},
        {"wal_retrieve_retry_interval", "100ms"},
        {"wal_level", "logical"},
        {"wal_keep_size", "16MB"},
        {"wal_receiver_status_interval", "100ms"},
        {"fsync", "off"},
        {"autovacuum", "off"},
        {"hot_standby_feedback", "off"}, /* ours wins */
    };
    keep_logical_with(node,
                      (struct pg_parameters){parameters, sizeof parameters / sizeof parameters[0]});
}

/* Skips the test from 17 on, where the server copies slots itself. */
static inline struct node *logical_primary(void)
{
    if (PG_HERE >= PG_LOGICAL_NATIVE_MAJOR) {
        skip();
    }
    struct node *node = primary_new("n1");
    keep_logical(node);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_do(node, "CREATE DATABASE shop");
    node_do(node, "CREATE TABLE t (n int)");
    return node;
}

static inline struct node *standby_of(struct node *primary, struct node *node)
{
    node_slot(primary, "n2");
    node_clone_well(node, primary);
    keep_logical(node);
    node_start_well(node, PG_START_STANDBY, primary);
    PROBE_UNTIL(node, probed.receiver_alive && probed.feedback && probed.logical_decoding);
    return node;
}

static inline struct node *logical_standby(struct node *primary)
{
    return standby_of(primary, node_new("n2"));
}

/* --- what is asked ---------------------------------------------------------------------------- */

static struct pg_logical_seen seen; /* large */

static inline void on_seen(void *arg, int rc, const struct pg_logical_seen *found,
                           const struct error *err)
{
    if (found != NULL) {
        seen = *found;
    }
    on_done(arg, rc, err);
}

static inline void ask(struct node *node, const struct node *primary, bool copy,
                       struct outcome *ret_outcome)
{
    struct pg_logical_wish wishes[] = {app, shop};
    struct pg_logical_ask request = {.host = "127.0.0.1",
                                     .port = primary->port,
                                     .physical = "n2",
                                     .wishes = wishes,
                                     .wish_count = 2,
                                     .copy = copy};
    struct error err;
    *ret_outcome = (struct outcome){0};
    memset(&seen, 0, sizeof seen);
    assert_int_equal(
        pg_instance_ask_logical(node->pg, &request, LONG_MS, on_seen, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

/* The copy "app" is good on that timeline, another one in doubt. */
static inline void note_app(struct node *node, const struct node *primary, uint32_t timeline,
                            const char *doubted)
{
    static const char *const good[] = {"app", "never there"};
    struct pg_logical_ask request = {.host = "127.0.0.1",
                                     .port = primary->port,
                                     .physical = "n2",
                                     .wishes = &app,
                                     .wish_count = 1,
                                     .good = {good, 2},
                                     .good_timeline = timeline,
                                     .doubted = {&doubted, doubted == NULL ? 0 : 1}};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_ask_logical(node->pg, &request, LONG_MS, on_seen, &outcome, &err),
                     0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static inline void ask_well(struct node *node, const struct node *primary, bool copy)
{
    struct outcome outcome;
    ask(node, primary, copy, &outcome);
    CHECK_RC(&outcome, 0);
}

static const struct pg_logical_there *there(const char *name)
{
    for (size_t i = 0; i < seen.count; i++) {
        if (strcmp(seen.slots[i].name, name) == 0) {
            return &seen.slots[i];
        }
    }
    fail_msg("no slot '%s' on the primary", name);
    return NULL;
}

static inline void set_logical(struct node *node, const struct pg_logical_wish *wishes,
                               size_t count, const char *drop, struct outcome *ret_outcome)
{
    struct pg_logical_slots slots = {
        .wishes = wishes, .wish_count = count, .drop = {&drop, drop == NULL ? 0 : 1}};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_set_logical(node->pg, &slots, LONG_MS, on_done, ret_outcome, &err),
                     0);
    outcome_wait(ret_outcome);
    assert_int_equal(node_probe(node), 0);
}

static inline void set_well(struct node *node, const struct pg_logical_wish *wishes, size_t count,
                            const char *drop)
{
    struct outcome outcome;
    set_logical(node, wishes, count, drop, &outcome);
    CHECK_RC(&outcome, 0);
}

static const struct pg_slot *slot_of(const char *name)
{
    for (size_t i = 0; i < probed.slot_count; i++) {
        if (strcmp(probed.slots[i].name, name) == 0) {
            return &probed.slots[i];
        }
    }
    return NULL;
}

/* Changes that the slot "app" has for its consumer, who then has them. */
static inline int consume(struct node *node)
{
    char value[16];
    node_sql(node,
             "SELECT count(*) FROM pg_logical_slot_get_changes('app', NULL, NULL)"
             " WHERE data LIKE 'table public.t: INSERT%'",
             value, sizeof value);
    return atoi(value);
}

static inline void insert(struct node *node, int first, int last)
{
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO t SELECT generate_series(%d, %d)", first, last);
    node_do(node, sql);
}

static inline uint64_t replayed_all(struct node *primary, struct node *standby)
{
    assert_int_equal(node_probe(primary), 0);
    uint64_t lsn = probed.flush_lsn;
    PROBE_UNTIL(standby, probed.replay_lsn >= lsn);
    return lsn;
}

static inline void copy_by_restart(struct node *standby, struct node *primary)
{
    (void)replayed_all(primary, standby); /* what it begins with is here */
    ask_well(standby, primary, true);
    assert_true(there("app")->fetched);
    node_stop(standby, FENCE_STOP_FAST, LONG_MS);
    node_start_well(standby, PG_START_STANDBY, primary);
    assert_string_equal(pg_instance_copy_fault(standby->pg, "app"), "");
    PROBE_UNTIL(standby, probed.receiver_alive);
}

#endif
