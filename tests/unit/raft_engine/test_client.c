/* Clients of a group on loopback: reads, commands, status, and what becomes of them when members
 * go. */
#include "group_fixture.h"

#include "raft/client.h"
#include "raft/engine/client_frame.h"

#include <signal.h>

struct seen {
    bool done;
    int calls;
    int rc;
    size_t count;
    char value[64];
    int64_t revision;
    uint64_t cluster;
    struct store_result result;
    size_t member_count;
    char text[256];
};

static struct rig rig;
static struct raft_client *client;

static void note(struct seen *seen, int rc, const struct error *err)
{
    seen->done = true;
    seen->calls++;
    seen->rc = rc;
    snprintf(seen->text, sizeof seen->text, "%s", rc != 0 ? err->text : "");
}

static void on_read(void *arg, int rc, const struct raft_client_view *view, const struct error *err)
{
    struct seen *seen = arg;
    note(seen, rc, err);
    if (rc == 0) {
        seen->count = view->count;
        seen->revision = view->revision;
        seen->cluster = view->cluster;
        if (view->count > 0) {
            snprintf(seen->value, sizeof seen->value, "%.*s", (int)view->kvs[0].value.len,
                     (const char *)view->kvs[0].value.data);
        }
    }
}

static void on_command(void *arg, int rc, const struct store_result *result,
                       const struct error *err)
{
    struct seen *seen = arg;
    note(seen, rc, err);
    if (rc == 0) {
        seen->result = *result;
    }
}

static void on_status(void *arg, int rc, const struct raft_status *status, const struct error *err)
{
    struct seen *seen = arg;
    note(seen, rc, err);
    if (rc == 0) {
        seen->member_count = status->member_count;
    }
}

static bool is_seen(struct rig *same, void *arg)
{
    (void)same;
    return ((struct seen *)arg)->done;
}

static void await(struct seen *seen)
{
    wait_for(&rig, is_seen, seen, 10000, "the client is answered");
    assert_int_equal(seen->calls, 1);
}

static void setup(size_t count, const char *client_password)
{
    rig_init(&rig, count, PASSWORD);
    members_start(&rig);
    wait_for(&rig, has_leader, NULL, 10000, "a leader");
    const char *addresses[MEMBERS_MAX];
    for (size_t i = 0; i < count; i++) {
        addresses[i] = rig.members[i].address;
    }
    assert_int_equal(raft_client_new(&rig.loop, addresses, count, client_password, &client, NULL),
                     0);
}

static void on_client_closed(void *arg)
{
    *(bool *)arg = true;
}

static void teardown(void)
{
    bool closed = false;
    raft_client_close(client, on_client_closed, &closed);
    while (!closed) {
        uv_run(&rig.loop, UV_RUN_ONCE);
    }
    rig_free(&rig);
}

static int start_put(const char *key, const char *value, int timeout_ms, struct seen *seen)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    return raft_client_command(client, &command, timeout_ms, on_command, seen, NULL);
}

static void a_client_writes_and_reads(void **state)
{
    (void)state;
    setup(3, PASSWORD);
    struct seen seen = {0};
    assert_int_equal(start_put("/x/a", "one", 3000, &seen), 0);
    assert_false(seen.done);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(seen.result.code, 0);
    int64_t revision = seen.result.revision;
    seen = (struct seen){0};
    assert_int_equal(raft_client_read_prefix(client, span_str("/x/"), 3000, on_read, &seen, NULL),
                     0);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.value, "one");
    assert_true(seen.revision >= revision);
    assert_true(seen.cluster == raft_group_cluster(rig.members[0].group));
    seen = (struct seen){0};
    assert_int_equal(raft_client_status(client, 3000, on_status, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(seen.member_count, 3);
    teardown();
}

static void a_failed_compare_comes_back_as_such(void **state)
{
    (void)state;
    setup(1, PASSWORD);
    struct store_compare compare = {
        .target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = span_str("/x"), .number = 17};
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("/x"), .value = span_str("v")};
    struct store_command command = {.type = STORE_TXN,
                                    .compares = &compare,
                                    .compare_count = 1,
                                    .success = &op,
                                    .success_count = 1};
    struct seen seen = {0};
    assert_int_equal(raft_client_command(client, &command, 3000, on_command, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(seen.result.code, ERR_CONFLICT);
    teardown();
}

static uint64_t number_of_lease(uint64_t id)
{
    struct store_lease lease;
    assert_true(store_lease_get(raft_node_store(node_of(&rig, 0)), id, &lease));
    return lease.renewal_number;
}

/* It has no name by which it could end another's lease: its command is none. */
static void no_client_deposes(int64_t epoch)
{
    struct store_compare deposes[] = {
        {.target = STORE_CMP_CREATE,
         .relation = STORE_EQUAL,
         .key = span_str("/leader"),
         .number = epoch},
        {.target = STORE_CMP_MOD,
         .relation = STORE_EQUAL,
         .key = span_str("/epoch"),
         .number = epoch},
        {.target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = span_str("/config")},
        {.target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = span_str("/sync"), .number = 2},
        {.target = STORE_CMP_CREATE, .relation = STORE_EQUAL, .key = span_str("/unfenced")},
        {.target = STORE_CMP_MOD,
         .relation = STORE_EQUAL,
         .key = span_str("/reports/client"),
         .number = 2},
    };
    struct store_op takes[] = {
        {.type = STORE_OP_LEASE_GRANT, .lease = 6, .ttl_ms = 3000, .flags = STORE_LEASE_HOLDER},
        {.type = STORE_OP_PUT, .key = span_str("/leader"), .value = span_str("client"), .lease = 6},
        {.type = STORE_OP_PUT, .key = span_str("/epoch"), .value = span_str("{}")},
    };
    struct seen seen = {0};
    struct store_command ends = {.type = STORE_DEPOSE,
                                 .actor = span_str("client"),
                                 .lease = 5,
                                 .compares = deposes,
                                 .compare_count = sizeof deposes / sizeof deposes[0],
                                 .success = takes,
                                 .success_count = sizeof takes / sizeof takes[0]};
    struct buf bytes = BUF_INIT;
    assert_int_equal(store_command_encode(&ends, &bytes, NULL), 0);
    buf_free(&bytes);
    assert_int_equal(raft_client_command(client, &ends, 3000, on_command, &seen, NULL),
                     ERR_INVALID);
}

static void a_client_does_not_touch_a_holders_key_or_the_members(void **state)
{
    (void)state;
    setup(1, PASSWORD);
    struct store_op ops[] = {
        {.type = STORE_OP_LEASE_GRANT,
         .lease = 5,
         .ttl_ms = 30000,
         .stamp = 1,
         .flags = STORE_LEASE_HOLDER},
        {.type = STORE_OP_PUT, .key = span_str("/leader"), .value = span_str("node1"), .lease = 5}};
    struct store_command command = {.type = STORE_TXN, .success = ops, .success_count = 2};
    struct answer answer = {0};
    assert_int_equal(
        raft_node_propose(node_of(&rig, 0), &command, 3000, 0, on_answer, &answer, NULL), 0);
    wait_for(&rig, is_answered, &answer, 5000, "the lease is held");
    assert_int_equal(answer.result.code, 0);
    struct seen seen = {0};
    assert_int_equal(start_put("/leader", "stray", 3000, &seen), 0);
    await(&seen);
    assert_int_equal(seen.result.code, ERR_REFUSED);
    struct store_command not_theirs[] = {
        {.type = STORE_MEMBER_SET,
         .member = {.id = 1, .name = span_str("x"), .address = span_str("h:1")}},
        {.type = STORE_MEMBER_REMOVE, .member = {.id = 1}},
        {.type = STORE_LEASE_EXPIRE, .lease = 5, .number = number_of_lease(5)},
    };
    for (size_t i = 0; i < sizeof not_theirs / sizeof not_theirs[0]; i++) {
        seen = (struct seen){0};
        assert_int_equal(raft_client_command(client, &not_theirs[i], 3000, on_command, &seen, NULL),
                         0);
        await(&seen);
        assert_int_equal(seen.rc, ERR_REFUSED);
    }
    no_client_deposes(answer.result.revision);
    struct store_kv kv;
    assert_true(store_get(raft_node_store(node_of(&rig, 0)), span_str("/leader"), &kv));
    assert_true(span_equal_str(kv.value, "node1"));
    teardown();
}

/* Members 1 and 2 are gone, so that nothing is committed any more; the client knows member 0 only.
 */
static void setup_without_majority(void)
{
    setup(3, PASSWORD);
    bool closed = false;
    raft_client_close(client, on_client_closed, &closed);
    while (!closed) {
        uv_run(&rig.loop, UV_RUN_ONCE);
    }
    const char *address = rig.members[0].address;
    assert_int_equal(raft_client_new(&rig.loop, &address, 1, PASSWORD, &client, NULL), 0);
    struct seen seen = {0};
    assert_int_equal(raft_client_status(client, 3000, on_status, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, 0); /* it is connected */
    member_stop(&rig, 1);
    member_stop(&rig, 2);
}

/* It may be in somebody's log, and be committed when the others are back: canceled is no word for
 * it, and refused even less. */
static void what_a_stopping_member_has_taken_is_unknown(void **state)
{
    (void)state;
    setup_without_majority();
    struct seen command = {0};
    struct seen read = {0};
    assert_int_equal(start_put("/x", "one", 30000, &command), 0);
    assert_int_equal(raft_client_read_prefix(client, span_str("/"), 30000, on_read, &read, NULL),
                     0);
    run_for(&rig, 50);
    assert_false(command.done);
    assert_false(read.done);
    member_stop(&rig, 0);
    await(&command);
    assert_int_equal(command.rc, ERR_UNKNOWN);
    await(&read);
    assert_int_equal(read.rc, ERR_UNAVAILABLE);
    teardown();
}

static void a_wrong_password_is_told_at_once(void **state)
{
    (void)state;
    setup(3, "wrong");
    struct seen seen = {0};
    uint64_t before = uv_hrtime();
    assert_int_equal(start_put("/x", "one", 30000, &seen), 0);
    await(&seen);
    assert_int_equal(seen.rc, ERR_PERMISSION);
    assert_non_null(strstr(seen.text, "password"));
    assert_true(uv_hrtime() - before < 5000000000u);
    teardown();
}

static void a_dead_member_is_passed_over(void **state)
{
    (void)state;
    setup(3, PASSWORD);
    member_stop(&rig, 0);
    struct seen seen = {0};
    assert_int_equal(start_put("/x", "one", 5000, &seen), 0);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    teardown();
}

/* Whose data the second has would otherwise be taken for the store's. */
static void a_member_of_another_cluster_is_passed_over(void **state)
{
    (void)state;
    rig_init(&rig, 2, PASSWORD);
    const char *addresses[] = {rig.members[0].address, rig.members[1].address};
    struct member second = rig.members[1];
    for (size_t i = 0; i < 2; i++) {
        rig.count = 1; /* no partners: a group of its own */
        struct member first = rig.members[0];
        rig.members[0] = i == 0 ? first : second;
        member_start(&rig, 0);
        wait_for(&rig, has_leader, NULL, 5000, "a group of one");
        member_stop(&rig, 0);
        rig.members[0] = first;
    }
    rig.count = 2;
    members_start(&rig);
    wait_for(&rig, has_leader, NULL, 5000, "both lead");
    assert_int_equal(raft_client_new(&rig.loop, addresses, 2, PASSWORD, &client, NULL), 0);
    struct seen seen = {0};
    assert_int_equal(raft_client_read_prefix(client, span_str("/"), 3000, on_read, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, 0);
    member_stop(&rig, 0);
    seen = (struct seen){0};
    assert_int_equal(raft_client_read_prefix(client, span_str("/"), 3000, on_read, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    seen = (struct seen){0};
    assert_int_equal(start_put("/x", "v", 1000, &seen), 0);
    await(&seen);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    teardown();
}

static void without_any_member_it_is_unavailable_and_nothing_is_unknown(void **state)
{
    (void)state;
    setup(1, PASSWORD);
    member_stop(&rig, 0);
    struct seen seen = {0};
    assert_int_equal(start_put("/x", "one", 30000, &seen), 0);
    await(&seen);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    teardown();
}

/* Two of three are gone: the last one takes the command and can say nothing about it. */
static void without_a_majority_a_command_ends_at_its_deadline(void **state)
{
    (void)state;
    setup(3, PASSWORD);
    member_stop(&rig, 0);
    member_stop(&rig, 1);
    struct seen seen = {0};
    assert_int_equal(start_put("/x", "one", 1500, &seen), 0);
    await(&seen);
    assert_true(seen.rc == ERR_UNKNOWN || seen.rc == ERR_UNAVAILABLE);
    seen = (struct seen){0};
    assert_int_equal(raft_client_read_prefix(client, span_str("/"), 1000, on_read, &seen, NULL), 0);
    await(&seen);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    teardown();
}

static void closing_cancels_what_waits(void **state)
{
    (void)state;
    setup(1, PASSWORD);
    struct seen seen = {0};
    assert_int_equal(start_put("/x", "one", 3000, &seen), 0);
    teardown();
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.rc, ERR_CANCELED);
}

static void too_many_requests_are_refused(void **state)
{
    (void)state;
    setup(1, PASSWORD);
    static struct seen seen[RAFT_CLIENT_REQUESTS_MAX + 1];
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < RAFT_CLIENT_REQUESTS_MAX; i++) {
        assert_int_equal(start_put("/x", "one", 5000, &seen[i]), 0);
    }
    assert_int_equal(start_put("/x", "one", 5000, &seen[RAFT_CLIENT_REQUESTS_MAX]), ERR_LIMIT);
    for (size_t i = 0; i < RAFT_CLIENT_REQUESTS_MAX; i++) {
        await(&seen[i]);
        assert_int_equal(seen[i].rc, 0);
    }
    assert_int_equal(seen[RAFT_CLIENT_REQUESTS_MAX].calls, 0);
    teardown();
}

static void expect_hex(struct buf *bytes, const char *expected)
{
    char hex[512] = "";
    for (size_t i = 0; i < bytes->len; i++) {
        sprintf(hex + 2 * i, "%02x", bytes->data[i]);
    }
    assert_string_equal(hex, expected);
    buf_clear(bytes);
}

/* A command line of one release talks to members of the next. */
static void remove_at(size_t at, uint64_t id, struct seen *seen)
{
    const char *address = rig.members[at].address;
    struct raft_client *one = NULL;
    *seen = (struct seen){0};
    assert_int_equal(raft_client_new(&rig.loop, &address, 1, PASSWORD, &one, NULL), 0);
    assert_int_equal(raft_client_remove(one, id, 3000, on_command, seen, NULL), 0);
    await(seen);
    raft_client_close(one, NULL, NULL);
}

static bool is_told(struct rig *same, void *arg)
{
    (void)same;
    return ((struct member *)arg)->fatal[0] != '\0';
}

/* As the command line does: the leader is asked; the leader itself leaves once another one leads.
 */
static void a_client_removes_members_also_the_leader(void **state)
{
    (void)state;
    static struct raft_status status;
    struct seen seen;
    setup(3, PASSWORD);
    wait_for(&rig, all_connected, NULL, 10000, "all are connected");
    size_t leader = (size_t)leader_of(&rig);
    raft_node_status(node_of(&rig, leader), &status);
    uint64_t id = status.id;
    remove_at((leader + 1) % 3, id, &seen);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE); /* no leader */
    remove_at(leader, 12345, &seen);
    assert_int_equal(seen.rc, ERR_NOT_FOUND);
    for (int tries = 0; tries < 50 && (seen.rc != 0 || tries == 0); tries++) {
        int at = leader_of(&rig);
        if (at >= 0) {
            remove_at((size_t)at, id, &seen);
            assert_true(seen.rc == 0 || seen.rc == ERR_BUSY || seen.rc == ERR_UNAVAILABLE);
        }
        run_for(&rig, 50);
    }
    assert_int_equal(seen.rc, 0);
    wait_for(&rig, is_told, &rig.members[leader], 10000, "it runs on, and is told");
    assert_non_null(strstr(rig.members[leader].fatal, "was removed from the group"));
    assert_true(leader_of(&rig) >= 0 && leader_of(&rig) != (int)leader);
    assert_int_equal(put(&rig, (leader + 1) % 3, "/after", "1", 3000), 0);
    raft_node_status(node_of(&rig, (size_t)leader_of(&rig)), &status);
    assert_int_equal(status.member_count, 2);
    remove_at((size_t)leader_of(&rig), status.members[0].id, &seen);
    assert_true(seen.rc == ERR_REFUSED || seen.rc == ERR_BUSY); /* two voters, or the leader */
    teardown();
}

static void golden_bytes_of_requests_and_answers(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct client_request request = {
        .number = 7, .kind = CLIENT_READ, .timeout_ms = 1000, .body = span_str("/a")};
    client_request_encode(&request, &bytes);
    expect_hex(&bytes, "070000000000000001e8030000020000002f61");
    struct client_answer answer = {
        .number = 7, .kind = CLIENT_COMMAND, .code = ERR_LIMIT, .text = span_str("no")};
    client_answer_encode(&answer, &bytes);
    expect_hex(&bytes, "070000000000000002fcffffff020000006e6f00000000");
    struct client_watch watch = {
        .cluster = 5, .revision = 9, .hold_ms = 1000, .prefix = span_str("/a")};
    struct client_watch watched;
    client_watch_encode(&watch, &bytes);
    assert_int_equal(client_watch_decode(buf_span(&bytes), &watched, NULL), 0);
    assert_true(watched.cluster == 5 && watched.revision == 9 && watched.hold_ms == 1000 &&
                span_equal(watched.prefix, watch.prefix));
    expect_hex(&bytes, "05000000000000000900000000000000e8030000020000002f61");
    struct store_result result = {.code = ERR_CONFLICT, .repeated = true, .revision = 9};
    client_result_encode(&result, &bytes);
    expect_hex(&bytes, "f5ffffff00010900000000000000");
    static struct raft_status status;
    status = (struct raft_status){.id = 1,
                                  .cluster = 2,
                                  .role = RAFT_ROLE_LEADER,
                                  .term = 3,
                                  .leader = 1,
                                  .commit_index = 4,
                                  .applied_index = 5,
                                  .last_index = 6,
                                  .revision = 7,
                                  .member_count = 1};
    status.members[0] = (struct raft_member_status){
        .id = 1, .name = "n", .address = "h:1", .voter = true, .leader = true, .match_index = 6};
    client_status_encode(&status, &bytes);
    static struct raft_status back;
    assert_int_equal(client_status_decode(buf_span(&bytes), &back, NULL), 0);
    assert_memory_equal(&back, &status, sizeof status);
    expect_hex(&bytes, "010000000000000002000000000000000203000000000000000100000000000000"
                       "0400000000000000050000000000000006000000000000000700000000000000"
                       "010100000000000000010000006e03000000683a3105060000000000000000000000");
    status.members[0].witness = true;
    client_status_encode(&status, &bytes);
    assert_int_equal(bytes.data[bytes.len - 13], 0x0d);
    assert_int_equal(client_status_decode(buf_span(&bytes), &back, NULL), 0);
    assert_true(back.members[0].witness);
    const int64_t heard[] = {-1, 0, 1234, (int64_t)UINT32_MAX + 7};
    for (size_t i = 0; i < 4; i++) {
        buf_clear(&bytes);
        status.members[0].heard_ms = heard[i];
        client_status_encode(&status, &bytes);
        assert_int_equal(client_status_decode(buf_span(&bytes), &back, NULL), 0);
        assert_true(back.members[0].heard_ms == (i == 3 ? (int64_t)UINT32_MAX - 1 : heard[i]));
    }
    buf_free(&bytes);
}

/* What came back of `bytes`, as whatever it may be taken for; the copy ends where they end, so that
 * a read beyond is seen. */
static void decode_as_anything(struct span bytes, bool *ret_any)
{
    static struct raft_status status;
    struct client_request request;
    struct client_answer answer;
    struct store_result result;
    struct store_kv *kvs = NULL;
    uint64_t cluster = 0;
    int64_t revision = 0;
    size_t count = 0;
    uint8_t *copy = mem_memdup(bytes.data, bytes.len);
    struct span exact = span_of(copy, bytes.len);
    bool request_good = client_request_decode(exact, &request, NULL) == 0;
    bool answer_good = client_answer_decode(exact, &answer, NULL) == 0;
    bool result_good = client_result_decode(exact, &result, NULL) == 0;
    bool status_good = client_status_decode(exact, &status, NULL) == 0;
    struct client_watch watch;
    bool watch_good = client_watch_decode(exact, &watch, NULL) == 0;
    bool changed = false;
    struct span view;
    bool news_good = client_news_decode(exact, &changed, &view, NULL) == 0; /* a byte of its own */
    bool view_good = client_view_decode(exact, &cluster, &revision, &kvs, &count, NULL) == 0;
    *ret_any = request_good || answer_good || result_good || status_good || view_good || watch_good;
    assert_true(news_good || bytes.len == 0 || bytes.data[0] > 1);
    mem_free(kvs);
    mem_free(copy);
}

/* Cut anywhere it is refused; bent anywhere it is refused or read as something else, whole. */
static void cut_or_bent_bytes_do_no_harm(void **state)
{
    static const char hex[][200] = {
        "070000000000000001e8030000020000002f61",
        "070000000000000002fcffffff020000006e6f00000000",
        "f5ffffff00010900000000000000",
        "010000000000000002000000000000000203000000000000000100000000000000"
        "040000000000000005000000000000000600000000000000",
    };
    (void)state;
    for (size_t i = 0; i < sizeof hex / sizeof hex[0]; i++) {
        uint8_t bytes[100];
        size_t len = strlen(hex[i]) / 2;
        bool any = false;
        for (size_t at = 0; at < len; at++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(hex[i] + 2 * at, "%2x", &byte), 1);
            bytes[at] = (uint8_t)byte;
        }
        for (size_t cut = 0; cut < len; cut++) {
            decode_as_anything(span_of(bytes, cut), &any);
            assert_false(any && cut < 14); /* the shortest there is has 14 bytes */
        }
        for (size_t at = 0; at < len; at++) {
            uint8_t was = bytes[at];
            for (unsigned value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                decode_as_anything(span_of(bytes, len), &any);
            }
            bytes[at] = was;
        }
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_removes_members_also_the_leader),
        cmocka_unit_test(golden_bytes_of_requests_and_answers),
        cmocka_unit_test(cut_or_bent_bytes_do_no_harm),
        cmocka_unit_test(a_client_writes_and_reads),
        cmocka_unit_test(a_failed_compare_comes_back_as_such),
        cmocka_unit_test(a_client_does_not_touch_a_holders_key_or_the_members),
        cmocka_unit_test(a_wrong_password_is_told_at_once),
        cmocka_unit_test(a_dead_member_is_passed_over),
        cmocka_unit_test(a_member_of_another_cluster_is_passed_over),
        cmocka_unit_test(without_any_member_it_is_unavailable_and_nothing_is_unknown),
        cmocka_unit_test(without_a_majority_a_command_ends_at_its_deadline),
        cmocka_unit_test(what_a_stopping_member_has_taken_is_unknown),
        cmocka_unit_test(closing_cancels_what_waits),
        cmocka_unit_test(too_many_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
