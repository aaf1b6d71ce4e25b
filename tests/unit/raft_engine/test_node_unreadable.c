/* What a member cannot read: a snapshot is refused before it is stored, an entry of a newer release
 * stops it before it applies anything else than the others, and malformed bytes are nothing to all
 * alike. */
#include "raft/engine/log_command.h"
#include "tests/unit/raft_engine/fake_wire.h"

#include "raft/store_client.h"

#define NEWER 200

/* --- snapshots -------------------------------------------------------------------------------- */

static void snapshot_of(uint64_t index, struct buf *out)
{
    struct store *store = store_new();
    store_skip(store, index);
    store_snapshot(store, out);
    store_free(store);
}

static void inject_snapshot(struct fake_node *fake, uint64_t term, struct span data)
{
    struct peer_message message = {.kind = PEER_SNAPSHOT, .term = term};
    message.snapshot = (struct peer_snapshot){.last_index = 50,
                                              .last_term = term,
                                              .configuration_index = 1,
                                              .configuration = fake->disk.entries[0].data,
                                              .data = data};
    fake_inject(fake, 2, &message);
    fake_finish_jobs(fake);
}

static void assert_refused(struct fake_node *fake, struct span data, const char *why)
{
    fake->warning[0] = '\0';
    inject_snapshot(fake, 2, data);
    assert_false(fake->disk.has_snapshot);
    assert_int_equal(fake->disk.entry_count, 1);
    assert_int_equal(fake->fatal.code, 0);
    assert_non_null(strstr(fake->warning, why));
}

static void a_snapshot_that_cannot_be_read_is_not_stored(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct fake_node *fake = &group->nodes[0];
    struct buf data = BUF_INIT;
    fake_start_node(fake);
    assert_refused(fake, span_of(NULL, 0), "snapshot");
    snapshot_of(49, &data);
    assert_refused(fake, buf_span(&data), "says entry 50 and holds entry 49");
    buf_clear(&data);
    snapshot_of(50, &data);
    assert_refused(fake, span_of(data.data, data.len - 1), "snapshot");
    data.data[0] = NEWER;
    assert_refused(fake, buf_span(&data), "another release: upgrade this member");
    fake_crash(fake, 99);
    fake_start_node(fake); /* as before */
    data.data[0] = 1;
    inject_snapshot(fake, 3, buf_span(&data));
    assert_true(fake->disk.has_snapshot);
    assert_int_equal(store_applied(raft_node_store(fake->node)), 50);
    buf_free(&data);
    fake_group_free(group);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* Entry 2, committed. */
static void inject_command(struct fake_node *fake, struct span data)
{
    struct raft_entry_rec entry = {2, 2, RAFT_COMMAND, data};
    struct peer_message message = {.kind = PEER_APPEND, .term = 2};
    message.append = (struct peer_append){1, 1, 2, &entry, 1};
    fake_inject(fake, 2, &message);
}

static void put_command(struct buf *out, uint8_t log_version, uint8_t store_version)
{
    log_command_header(9, 1, out);
    out->data[0] = log_version;
    buf_put_u8(out, store_version);
    buf_put_str(out, "whatever it says");
}

static void an_entry_of_a_newer_release_stops_the_member(void **state)
{
    (void)state;
    const uint8_t versions[2][2] = {{NEWER, 1}, {LOG_COMMAND_VERSION, NEWER}};
    for (size_t i = 0; i < 2; i++) {
        struct fake_group *group = fake_group_new(3, 2);
        struct fake_node *fake = &group->nodes[0];
        struct buf data = BUF_INIT;
        fake_start_node(fake);
        put_command(&data, versions[i][0], versions[i][1]);
        inject_command(fake, buf_span(&data));
        assert_int_equal(fake->fatal.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(fake->fatal.text,
                               "entry 2 was written by a newer release: upgrade this member"));
        assert_int_equal(store_applied(raft_node_store(fake->node)), 1);
        fake_finish_jobs(fake);
        fake_crash(fake, 99);
        fake_start_node(fake); /* the same again, as long as it is not upgraded */
        inject_command(fake, buf_span(&data));
        assert_int_equal(fake->fatal.code, ERR_UNSUPPORTED);
        buf_free(&data);
        fake_group_free(group);
    }
}

static void malformed_bytes_of_a_known_version_are_nothing(void **state)
{
    (void)state;
    struct buf data[4] = {BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT};
    put_command(&data[0], LOG_COMMAND_VERSION, STORE_COMMAND_VERSION_MAX);
    put_command(&data[1], LOG_COMMAND_VERSION, 0);
    put_command(&data[2], 0, NEWER);
    log_command_header(9, 1, &data[3]); /* and no command */
    for (size_t i = 0; i < 4; i++) {
        struct fake_group *group = fake_group_new(3, 3);
        struct fake_node *fake = &group->nodes[0];
        fake_start_node(fake);
        inject_command(fake, buf_span(&data[i]));
        assert_int_equal(fake->fatal.code, 0);
        assert_int_equal(store_applied(raft_node_store(fake->node)), 2);
        buf_free(&data[i]);
        fake_group_free(group);
    }
}

/* It would stop itself by it. */
static void a_leader_takes_no_command_of_a_newer_release(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 4);
    struct fake_group *group = leader->group;
    struct peer_message message = {.kind = PEER_PROPOSE};
    static struct raft_status before;
    static struct raft_status after;
    struct buf data = BUF_INIT;
    fake_run(group, 4 * FAKE_ET);
    raft_node_status(leader->node, &before);
    put_command(&data, LOG_COMMAND_VERSION, NEWER);
    message.propose = buf_span(&data);
    fake_inject(leader, leader->id % 3 + 1, &message);
    data.data[0] = NEWER;
    fake_inject(leader, leader->id % 3 + 1, &message);
    fake_run(group, FAKE_ET);
    raft_node_status(leader->node, &after);
    assert_int_equal(after.last_index, before.last_index);
    assert_int_equal(leader->fatal.code, 0);
    buf_free(&data);
    fake_group_free(group);
}

/* What this release writes it can read: no type has a version above the one that is told. */
static void our_own_commands_are_of_a_known_version(void **state)
{
    (void)state;
    unsigned types = 0;
    struct store_client_txn txn = {.success = NULL};
    struct store_v2 v2 = {.type = STORE_V2_SET, .path = span_str("/a")};
    for (unsigned type = 1; type <= UINT8_MAX; type++) {
        struct store_command command = {.type = (enum store_command_type)type,
                                        .client = 1,
                                        .sequence = 1,
                                        .floor = 1,
                                        .lease = 7,
                                        .ttl_ms = 1000,
                                        .stamp = 1,
                                        .number = 1,
                                        .member = {1, span_str("n1"), span_str("h:1")},
                                        .client_txn = &txn,
                                        .v2 = &v2};
        struct buf bytes = BUF_INIT;
        struct log_command decoded;
        log_command_header(1, 1, &bytes);
        if (store_command_encode(&command, &bytes, NULL) == 0) {
            types++;
            assert_int_equal(log_command_decode(buf_span(&bytes), &decoded), 0);
        }
        buf_free(&bytes);
    }
    assert_true(types >= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_that_cannot_be_read_is_not_stored),
        cmocka_unit_test(an_entry_of_a_newer_release_stops_the_member),
        cmocka_unit_test(malformed_bytes_of_a_known_version_are_nothing),
        cmocka_unit_test(a_leader_takes_no_command_of_a_newer_release),
        cmocka_unit_test(our_own_commands_are_of_a_known_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
