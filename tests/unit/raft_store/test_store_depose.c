/* Depose: one shape, refused as soon as anything that it names is not so any more, and one revision
 * in which a lease that still runs ends and another member has the key. */
#include "golden_fixture.h"

#define BASE "/service/pg/"

enum { OLD = 5, NEW = 6 };

/* The command, and every part of it to bend. */
struct depose {
    struct store_compare compares[7];
    struct store_op ops[3];
    struct store_command command;
};

static struct store_compare equal(enum store_compare_target target, const char *key, int64_t number)
{
    return (struct store_compare){
        .target = target, .relation = STORE_EQUAL, .key = span_str(key), .number = number};
}

static void depose_init(struct depose *depose, int64_t epoch, int64_t own, int64_t other)
{
    *depose = (struct depose){
        .compares = {equal(STORE_CMP_CREATE, BASE "leader", epoch),
                     equal(STORE_CMP_MOD, BASE "epoch", epoch),
                     equal(STORE_CMP_MOD, BASE "config", 2), equal(STORE_CMP_MOD, BASE "sync", 3),
                     equal(STORE_CMP_CREATE, BASE "unfenced", 0),
                     equal(STORE_CMP_MOD, BASE "reports/n2", own),
                     equal(STORE_CMP_MOD, BASE "reports/n3", other)},
        .ops = {op_grant(NEW, 3000, STORE_LEASE_HOLDER, 100), op_put(BASE "leader", "n2", NEW),
                op_put(BASE "epoch", "{\"holder\":\"n2\"}", 0)},
    };
    depose->command = (struct store_command){.type = STORE_DEPOSE,
                                             .actor = span_str("n2"),
                                             .lease = OLD,
                                             .compares = depose->compares,
                                             .compare_count = COUNT(depose->compares),
                                             .success = depose->ops,
                                             .success_count = COUNT(depose->ops)};
}

/* n1 leads in the epoch of revision 4; n2 and n3 have reported. */
static void make_cluster(struct store *store)
{
    struct store_op acquire[] = {op_grant(OLD, 30000, STORE_LEASE_HOLDER, 50),
                                 op_put(BASE "leader", "n1", OLD),
                                 op_put(BASE "epoch", "{\"holder\":\"n1\"}", 0)};
    put(store, "n1", BASE "config", "{}", 0);
    put(store, "n1", BASE "sync", "{}", 0);
    assert_int_equal(apply_ops(store, "n1", acquire, COUNT(acquire)).revision, 4);
    assert_int_equal(put(store, "n2", BASE "reports/n2", "r", 0).revision, 5);
    assert_int_equal(put(store, "n3", BASE "reports/n3", "r", 0).revision, 6);
    store_leases_note(store, 1000);
}

static void a_lease_that_runs_ends_and_the_key_is_the_proposers(void **state)
{
    struct store *store = *state;
    struct depose depose;
    make_cluster(store);
    depose_init(&depose, 4, 5, 6);
    assert_int_equal(store_lease_remaining_ms(store, OLD, 1001), 29999);
    struct store_result result = apply(store, &depose.command);
    assert_int_equal(result.code, 0);
    assert_true(result.succeeded);
    /* Opening format 2 has a revision of its own before. */
    assert_int_equal(result.revision, 8);
    struct store_kv leader = get(store, BASE "leader");
    assert_true(span_equal_str(leader.value, "n2"));
    assert_int_equal(leader.create_revision, 8);
    assert_int_equal(leader.mod_revision, 8);
    assert_int_equal(leader.lease, NEW);
    assert_int_equal(get(store, BASE "epoch").mod_revision, 8);
    struct store_lease lease;
    assert_false(store_lease_get(store, OLD, &lease));
    lease = lease_of(store, NEW);
    assert_int_equal(lease.ttl_ms, 3000);
    assert_int_equal(lease.stamp, 100);
    assert_true(span_equal_str(lease.owner, "n2"));
    assert_events(store, 8, BASE,
                  "delete " BASE "leader=@8 put " BASE "leader=n2@8 put " BASE
                  "epoch={\"holder\":\"n2\"}@8 ");
    /* Whatever the deposed one still sends is refused. */
    assert_int_equal(renew(store, "n1", OLD, 30000, 60).code, ERR_NOT_FOUND);
    assert_int_equal(renew(store, "n1", NEW, 30000, 200).code, ERR_REFUSED);
    assert_int_equal(put(store, "n1", BASE "leader", "n1", 0).code, ERR_REFUSED);
}

static void what_is_not_so_any_more_refuses_it(void **state)
{
    for (size_t i = 0; i < 7; i++) {
        struct store *store = store_new();
        struct depose depose;
        make_cluster(store);
        depose_init(&depose, 4, 5, 6);
        switch (i) {
        case 0: /* the epoch is over, and another one of the same holder began */
            revoke(store, "n1", OLD);
            {
                struct store_op again[] = {op_grant(OLD, 30000, STORE_LEASE_HOLDER, 50),
                                           op_put(BASE "leader", "n1", OLD)};
                apply_ops(store, "n1", again, COUNT(again));
            }
            break;
        case 1: put(store, "n1", BASE "epoch", "{}", 0); break;
        case 2: put(store, "n1", BASE "config", "{}", 0); break;
        case 3: put(store, "n1", BASE "sync", "{}", 0); break;
        case 4: put(store, "n1", BASE "unfenced", "x", 0); break;
        case 5: put(store, "n2", BASE "reports/n2", "none", 0); break;
        default: put(store, "n3", BASE "reports/n3", "none", 0); break;
        }
        int64_t revision = store_revision(store);
        assert_int_equal(apply(store, &depose.command).code, ERR_CONFLICT);
        assert_int_equal(store_revision(store), revision + 1); /* format 2, and nothing else */
        assert_true(span_equal_str(get(store, BASE "leader").value, "n1"));
        store_free(store);
    }
    (void)state;
}

static void nobody_ends_his_own_lease_with_it_nor_one_of_a_client(void **state)
{
    struct store *store = *state;
    struct depose depose;
    make_cluster(store);
    assert_int_equal(put(store, "n1", BASE "reports/n1", "r", 0).revision, 7);
    depose_init(&depose, 4, 5, 6);
    depose.command.actor = span_str("n1");
    depose.compares[5] = equal(STORE_CMP_MOD, BASE "reports/n1", 7);
    depose.ops[1].value = span_str("n1");
    assert_int_equal(apply(store, &depose.command).code, ERR_REFUSED);

    depose_init(&depose, 4, 5, 6);
    depose.command.lease = 77; /* not the key's */
    assert_int_equal(apply(store, &depose.command).code, ERR_CONFLICT);

    revoke(store, "n1", OLD);
    grant(store, "", OLD, 30000, 0, 0);
    int64_t created = put(store, "", BASE "leader", "n1", OLD).revision;
    int64_t epoch = put(store, "", BASE "epoch", "{}", 0).revision;
    depose_init(&depose, created, 5, 6);
    depose.compares[1].number = epoch; /* a Patroni's: no epoch of its own */
    struct error err = {0};
    struct buf bytes = BUF_INIT;
    depose.compares[1].number = created;
    assert_int_equal(store_command_encode(&depose.command, &bytes, &err), 0);
    buf_free(&bytes);
    assert_int_equal(apply(store, &depose.command).code, ERR_CONFLICT);
}

static void a_new_lease_needs_an_id_of_its_own(void **state)
{
    struct store *store = *state;
    struct depose depose;
    make_cluster(store);
    grant(store, "", NEW, 1000, 0, 0);
    depose_init(&depose, 4, 5, 6);
    assert_int_equal(apply(store, &depose.command).code, ERR_EXISTS);
    assert_true(span_equal_str(get(store, BASE "leader").value, "n1"));
}

/* Each line bends one part of it. */
static void bend(struct depose *depose, size_t i)
{
    static const struct store_op extra[] = {{.type = STORE_OP_DELETE, .key = BYTES("/x")}};
    struct store_compare *compares = depose->compares;
    struct store_op *ops = depose->ops;
    switch (i) {
    case 0: depose->command.lease = 0; break;
    case 1: depose->command.actor = span_of(NULL, 0); break;
    case 2: compares[0].number = 0; break;
    case 3: compares[0].target = STORE_CMP_MOD; break;
    case 4: compares[0].relation = STORE_NOT_EQUAL; break;
    case 5: compares[0].key = span_str(BASE "follower"); break;
    case 6: compares[1].number = 3; break; /* an epoch that is not the leader key's */
    case 7: compares[1].key = span_str("/service/other/epoch"); break;
    case 8: compares[2].key = span_str(BASE "configs"); break;
    case 9: compares[3].number = 0; break; /* no synchronous set */
    case 10: compares[4].number = 1; break;
    case 11: compares[4].relation = STORE_NOT_EQUAL; break;
    case 12: compares[5].number = 0; break;
    case 13: compares[5].key = span_str(BASE "reports/n22"); break;
    case 14: compares[5].relation = STORE_GREATER; break;
    case 15: depose->command.success_count = 2; break;
    case 16:
        depose->command.failure = extra;
        depose->command.failure_count = 1;
        break;
    case 17: ops[0].flags = 0; break;
    case 18: ops[0].lease = OLD; break;
    case 19: ops[1].lease = 0; break;
    case 20: ops[1].value = span_str("n3"); break;
    case 21: ops[1].key = span_str(BASE "leaders"); break;
    case 22: ops[2].key = span_str(BASE "sync"); break;
    case 24: compares[4] = equal(STORE_CMP_MOD, BASE "unfenced", 7); break; /* one that stands */
    case 23: ops[2].lease = NEW; break;
    default: depose->command.compare_count = 0; break;
    }
}

static void another_shape_is_no_command(void **state)
{
    enum { BENT = 26 };
    (void)state;
    for (size_t i = 0; i < BENT; i++) {
        struct depose depose;
        struct buf bytes = BUF_INIT;
        struct error err = {0};
        depose_init(&depose, 4, 5, 6);
        assert_int_equal(store_command_encode(&depose.command, &bytes, &err), 0);
        buf_clear(&bytes);
        bend(&depose, i);
        assert_int_equal(store_command_encode(&depose.command, &bytes, &err), ERR_INVALID);
        assert_int_equal(bytes.len, 0);
        buf_free(&bytes);
    }
}

static void it_has_its_golden_bytes_and_survives_the_round_trip(void **state)
{
    struct store *store = *state;
    struct store *other = store_new();
    struct depose depose;
    depose_init(&depose, 4, 5, 6);
    struct golden_command golden = {"depose", depose.command};
    assert_golden_commands(GOLDEN_DIR "command_depose.hex", &golden, 1);
    assert_round_trip(&depose.command);
    make_cluster(store);
    make_cluster(other);
    assert_damage_is_alike(&depose.command, store, other);
    assert_same_state(store, other);
    store_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_lease_that_runs_ends_and_the_key_is_the_proposers),
        STORE_TEST(what_is_not_so_any_more_refuses_it),
        STORE_TEST(nobody_ends_his_own_lease_with_it_nor_one_of_a_client),
        STORE_TEST(a_new_lease_needs_an_id_of_its_own),
        STORE_TEST(another_shape_is_no_command),
        STORE_TEST(it_has_its_golden_bytes_and_survives_the_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
