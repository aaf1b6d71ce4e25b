/* Random commands on the store and on a naive one: the same answers, the same events, the same
 * bytes on every member, however often a member starts again from a snapshot. The seed of a failure
 * is printed. */
#include "naive_client.h"
#include "naive_v2.h"

enum { ROUNDS = 24, COMMANDS = 1500 };
/* Rounds without compaction, until the window is full. */
enum { LONG_ROUNDS = 1, LONG_COMMANDS = 20000 };
enum { LEASE_IDS = 5 }; /* that come again and again */

struct world {
    struct pair *pair;
    struct naive *naive;
    uint64_t random;
    uint64_t next_lease;
    uint64_t ended[LEASE_IDS + 1]; /* the last number of a lease that had this id; 0 = none yet */
    bool compacts;
    char values[64][16];
    size_t value_count;
};

static uint64_t below(struct world *world, uint64_t bound)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (world->random >> 33) % bound;
}

static struct span some_value(struct world *world)
{
    char *text = world->values[world->value_count++ % COUNT(world->values)];
    (void)snprintf(text, 16, "%d", (int)below(world, 20));
    return span_str(text);
}

static struct span some_key(struct world *world)
{
    return span_str(naive_names[below(world, NAMES)]);
}

static void some_range(struct world *world, struct span *key, struct span *end)
{
    *key = some_key(world);
    *end = span_of(NULL, 0);
    if (below(world, 2) == 0) {
        *end = below(world, 6) == 0 ? span_of("\0", 1) : some_key(world);
    }
}

static int64_t some_revision(struct world *world)
{
    int64_t back = (int64_t)below(world, 40);
    return below(world, 2) == 0 ? 0 : world->naive->revision + 2 - back;
}

static struct store_compare some_compare(struct world *world)
{
    struct store_compare compare = {
        .target = (enum store_compare_target)(1 + below(world, 5)),
        .relation = (enum store_compare_relation)(1 + below(world, 4)),
    };
    some_range(world, &compare.key, &compare.range_end);
    if (compare.target == STORE_CMP_VALUE) {
        compare.bytes = some_value(world);
    } else if (below(world, 2) == 0) {
        compare.number = compare.target == STORE_CMP_VERSION || compare.target == STORE_CMP_LEASE
                             ? (int64_t)below(world, 4)
                             : some_revision(world);
    }
    return compare;
}

static void some_range_op(struct world *world, struct store_range *range)
{
    range->revision = some_revision(world);
    range->limit = (int64_t)below(world, 4);
    range->order = (enum store_sort_order)below(world, 3);
    range->target = (enum store_sort_target)below(world, 5);
    range->count_only = below(world, 8) == 0;
    range->min_mod = below(world, 6) == 0 ? some_revision(world) : 0;
    range->max_mod = below(world, 6) == 0 ? some_revision(world) : 0;
    range->min_create = below(world, 6) == 0 ? some_revision(world) : 0;
    range->max_create = below(world, 6) == 0 ? some_revision(world) : 0;
}

/* Three levels at most: the arrays are the caller's. */
struct drawn {
    struct store_client_txn txns[8];
    size_t txn_count;
    struct store_compare compares[32];
    size_t compare_count;
    struct store_client_op ops[64];
    size_t op_count;
};

static const struct store_client_txn *some_txn(struct world *world, struct drawn *drawn);

static struct store_client_op some_op(struct world *world, struct drawn *drawn)
{
    struct store_client_op op = {.type = (enum store_client_op_type)(1 + below(world, 4))};
    some_range(world, &op.range.key, &op.range.range_end);
    op.prev_kv = below(world, 2) == 0;
    if (op.type == STORE_CLIENT_NESTED && drawn->txn_count < COUNT(drawn->txns)) {
        op.txn = some_txn(world, drawn);
        return op;
    }
    if (op.type == STORE_CLIENT_RANGE) {
        some_range_op(world, &op.range);
    } else if (op.type != STORE_CLIENT_DELETE) {
        op.type = STORE_CLIENT_PUT;
        op.range.range_end = span_of(NULL, 0);
        op.ignore_value = below(world, 8) == 0;
        op.ignore_lease = below(world, 8) == 0;
        op.value = op.ignore_value ? span_of(NULL, 0) : some_value(world);
        op.lease = !op.ignore_lease && below(world, 3) == 0 ? below(world, 6) : 0;
    }
    return op;
}

static const struct store_client_txn *some_txn(struct world *world, struct drawn *drawn)
{
    struct store_client_txn *txn = &drawn->txns[drawn->txn_count++];
    txn->compare_count = below(world, 3);
    txn->success_count = below(world, 4);
    txn->failure_count = below(world, 3);
    struct store_compare *compares = &drawn->compares[drawn->compare_count];
    struct store_client_op *ops = &drawn->ops[drawn->op_count];
    drawn->compare_count += txn->compare_count;
    drawn->op_count += txn->success_count + txn->failure_count;
    txn->compares = compares;
    txn->success = ops;
    txn->failure = ops + txn->success_count;
    for (size_t i = 0; i < txn->compare_count; i++) {
        compares[i] = some_compare(world);
    }
    for (size_t i = 0; i < txn->success_count + txn->failure_count; i++) {
        ops[i] = some_op(world, drawn);
    }
    return txn;
}

static void assert_same_text(struct buf *expected, struct buf *found)
{
    assert_string_equal(buf_str(found), buf_str(expected));
    buf_free(expected);
    buf_free(found);
}

static void step_txn(struct world *world)
{
    struct drawn *drawn = mem_new(struct drawn);
    const struct store_client_txn *txn = some_txn(world, drawn);
    struct buf expected = BUF_INIT;
    struct buf found = BUF_INIT;
    if (store_client_txn_reason(txn) == STORE_NO_REASON) {
        struct store_output *output = store_output_new();
        struct store_result result = apply_pair(
            world->pair, &(struct store_command){.type = STORE_CLIENT_TXN, .client_txn = txn},
            output);
        naive_client_txn(world->naive, txn, &expected);
        put_result(&found, &result);
        assert_same_text(&expected, &found);
        store_output_unref(output);
    }
    mem_free(drawn);
}

static void step_v2(struct world *world)
{
    static const enum store_v2_type types[] = {STORE_V2_SET,    STORE_V2_CREATE,
                                               STORE_V2_UPDATE, STORE_V2_SWAP,
                                               STORE_V2_DELETE, STORE_V2_COMPARE_DELETE};
    struct store_v2 v2 = {.type = types[below(world, COUNT(types))]};
    unsigned name = (unsigned)below(world, NAIVE_SLASHED + 1);
    v2.path = span_str(name == NAIVE_SLASHED || name == NAIVE_DIRTY ? "/" : naive_names[name]);
    v2.directory = below(world, 4) == 0;
    v2.recursive = v2.type == STORE_V2_DELETE && below(world, 2) == 0;
    v2.refresh = below(world, 8) == 0;
    v2.value = v2.directory ? span_of(NULL, 0) : some_value(world);
    if (below(world, 3) == 0) {
        v2.ttl_ms = 1000 + (int64_t)below(world, 9);
        v2.lease = world->next_lease++;
    }
    if (v2.type == STORE_V2_SWAP || v2.type == STORE_V2_COMPARE_DELETE) {
        v2.prev_value = below(world, 3) != 0 ? some_value(world) : span_of(NULL, 0);
        v2.prev_index = below(world, 3) == 0 ? (uint64_t)world->naive->revision : 0;
    }
    struct buf expected = BUF_INIT;
    struct buf found = BUF_INIT;
    struct store_output *output = store_output_new();
    struct store_result result =
        apply_pair(world->pair, &(struct store_command){.type = STORE_V2, .v2 = &v2}, output);
    naive_v2(world->naive, &v2, &expected);
    if (result.code != 0) {
        buf_printf(&found, "%d %s", (int)result.reason, buf_str(&output->cause));
    } else {
        put_node(&found, &output->node);
        if (output->prev.there) {
            buf_put_str(&found, " <- ");
            put_node(&found, &output->prev);
        }
    }
    assert_same_text(&expected, &found);
    store_output_unref(output);
}

/* Seen now, of before the last renewal, or of a lease that had the id before. */
static uint64_t some_number(struct world *world, const struct naive_lease *lease, uint64_t id)
{
    uint64_t ended = id <= LEASE_IDS ? world->ended[id] : 0;
    assert_true(lease == NULL || lease->number > ended);
    if (ended != 0 && below(world, 2) == 0) {
        return ended;
    }
    return lease == NULL ? 1 : lease->number - below(world, 2);
}

static void step_lease(struct world *world)
{
    struct naive *naive = world->naive;
    struct store_command command = {.lease = 1 + below(world, LEASE_IDS), .ttl_ms = 5000};
    if (below(world, 2) == 0 && world->next_lease > 100) {
        command.lease = world->next_lease - 1 - below(world, world->next_lease - 100);
    }
    struct naive_lease *lease = naive_lease(naive, command.lease);
    int code = lease == NULL ? ERR_NOT_FOUND : 0;
    switch (below(world, 4)) {
    case 0:
        command.type = STORE_LEASE_GRANT;
        code = lease == NULL ? 0 : ERR_EXISTS;
        break;
    case 1:
        command.type = STORE_LEASE_KEEPALIVE;
        code = lease != NULL && lease->holder ? ERR_REFUSED : code;
        break;
    case 2:
        command.type = STORE_LEASE_REVOKE;
        code = lease != NULL && lease->holder ? ERR_REFUSED : code;
        break;
    default:
        command.type = STORE_LEASE_EXPIRE;
        command.number = some_number(world, lease, command.lease);
        code = lease != NULL && lease->number != command.number ? ERR_NOT_FOUND : code;
        break;
    }
    if (command.type == STORE_LEASE_GRANT && command.lease >= 100) {
        return;
    }
    assert_int_equal(apply_pair(world->pair, &command, NULL).code, code);
    if (code != 0) {
        return;
    }
    if (command.type == STORE_LEASE_GRANT) {
        naive_grant(naive, command.lease, command.ttl_ms, false, false);
    } else if (command.type == STORE_LEASE_KEEPALIVE) {
        lease->number++;
    } else {
        if (command.lease <= LEASE_IDS) {
            world->ended[command.lease] = lease->number;
        }
        naive_lease_end(naive, lease, STORE_ACTION_NONE);
    }
}

/* A member's own: a holder lease, and a key on it, or its end. */
static void step_holder(struct world *world)
{
    struct naive *naive = world->naive;
    int name = (int)below(world, NAMES);
    struct naive_lease *lease = naive_lease(naive, 50);
    struct store_op acquire[] = {op_grant(50, 3000, STORE_LEASE_HOLDER, 1),
                                 op_put(naive_names[name], "7", 50)};
    struct store_op release = op_end(50);
    struct store_command command = {.type = STORE_TXN,
                                    .actor = span_str("n1"),
                                    .success = lease == NULL ? acquire : &release,
                                    .success_count = lease == NULL ? 2 : 1};
    assert_int_equal(apply_pair(world->pair, &command, NULL).code, 0);
    if (lease != NULL) {
        naive_lease_end(naive, lease, STORE_ACTION_NONE);
        return;
    }
    naive_grant(naive, 50, 3000, false, true);
    naive_put(naive, false, name, 7, 50, STORE_ACTION_NONE);
    naive_settle(naive);
}

static void step_compact(struct world *world)
{
    struct naive *naive = world->naive;
    int64_t revision = some_revision(world);
    struct store_command command = {.type = STORE_COMPACT,
                                    .number = (uint64_t)(revision < 0 ? 0 : revision)};
    struct store_result result = apply_pair(world->pair, &command, NULL);
    enum store_reason reason = (int64_t)command.number > naive->revision     ? STORE_FUTURE
                               : (int64_t)command.number <= naive->compacted ? STORE_COMPACTED
                                                                             : STORE_NO_REASON;
    assert_int_equal(result.reason, reason);
    if (reason == STORE_NO_REASON) {
        naive->compacted = (int64_t)command.number;
    }
}

static void look_at_all(struct world *world)
{
    struct buf expected = BUF_INIT;
    struct buf found = BUF_INIT;
    struct store_events events;
    struct store_watch watch = {EVERYTHING, .prev_kv = true, .directories = true};
    const struct store *store = world->pair->other;
    assert_int_equal(store_revision(store), world->naive->revision);
    assert_int_equal(store_compacted(store), world->naive->compacted);
    assert_int_equal(
        store_events(store, &watch, world->naive->compacted, SIZE_MAX, SIZE_MAX, &events, NULL), 0);
    for (size_t i = 0; i < events.kvs.count; i++) {
        struct store_event event;
        struct store_kv prev;
        struct store_events one = {
            .kvs = {.records = events.kvs.records + i, .count = 1},
            .prev_kvs = {.records = events.prev_kvs.records + i, .count = 1}};
        if (store_events_get(&events, i, &event, &prev) && event.kv.directory) {
            one.prev_kvs.count = 0; /* the naive one does not know */
        }
        put_events(&found, &one);
    }
    store_events_close(&events);
    naive_put_events(world->naive, &expected);
    assert_same_text(&expected, &found);
}

static void step(struct world *world)
{
    uint64_t what = below(world, 100);
    world->naive->index = store_applied(world->pair->store) + 1; /* one command a step */
    if (what < 50) {
        step_txn(world);
    } else if (what < 80) {
        step_v2(world);
    } else if (what < 92) {
        step_lease(world);
    } else if (what < 95) {
        step_holder(world);
    } else if (what < 96) {
        if (world->compacts) {
            step_compact(world);
        }
    } else if (what < 98) {
        look_at_all(world);
    } else {
        restart_other(world->pair);
    }
}

static void run(uint64_t seed, bool compacts, int commands)
{
    struct world world = {
        .random = seed * 77, .next_lease = 100, .compacts = compacts, .naive = naive_new()};
    void *pair = NULL;
    print_message("seed %llu\n", (unsigned long long)seed);
    (void)pair_setup(&pair);
    world.pair = pair;
    (void)open_format_2(world.pair);
    naive_settle(world.naive);
    for (int i = 0; i < commands; i++) {
        step(&world);
    }
    look_at_all(&world);
    restart_other(world.pair);
    assert_true(compacts || world.naive->event_count > STORE_HISTORY_EVENTS_MAX);
    (void)pair_teardown(&pair);
    naive_free(world.naive);
}

static void random_commands_match_the_naive_store(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        run(seed, true, COMMANDS);
    }
}

static void a_full_window_moves_as_the_naive_one_does(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 100 + LONG_ROUNDS; seed++) {
        run(seed, false, LONG_COMMANDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_match_the_naive_store),
        cmocka_unit_test(a_full_window_moves_as_the_naive_one_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
