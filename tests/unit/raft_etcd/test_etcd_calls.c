/* The methods of KV, Lease, Cluster, Maintenance and Auth on a real group, against what a real etcd
 * has answered to the same calls. */
#include "call_fixture.h"

#include "golden.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_kv_convert.h"

/* With etcd's own election timeout, which bounds the ttl of leases. */
static int open_as_etcd(void **state)
{
    (void)state;
    service_election_ms = 1000;
    serve_all(1);
    service_election_ms = ELECTION_MS;
    return 0;
}

/* --- as etcd ---------------------------------------------------------------------------------- */

static void check_call(char *const columns[GOLDEN_COLUMNS])
{
    static const char result[] = "{\"result\":";
    char *expected = columns[2];
    if (strncmp(expected, result, sizeof result - 1) == 0) { /* how the gateway wraps a stream */
        expected += sizeof result - 1;
        expected[strlen(expected) - 1] = '\0';
    }
    call_is(0, columns[0], columns[1], expected);
}

/* It begins at revision 4 with no key: ours has one revision already. */
static void every_call_is_answered_as_by_etcd(void **state)
{
    (void)state;
    call_is(0, "/kv/put", "{\"key\":\"YQ==\"}", "{\"header\":{\"revision\":\"3\"}}");
    call_is(0, "/kv/deleterange", "{\"key\":\"YQ==\"}",
            "{\"header\":{\"revision\":\"4\"},\"deleted\":\"1\"}");
    assert_true(golden_each("tests/golden/etcd/v3_calls.txt", check_call) > 250);
}

/* --- the table -------------------------------------------------------------------------------- */

static void every_method_has_one_name_and_its_own_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < etcd_methods_count; i++) {
        const struct etcd_method *method = &etcd_methods[i];
        assert_true(method->request != NULL && method->response != NULL);
        assert_non_null(method->on_message);
        assert_true(!method->request_streams || method->on_close != NULL);
        for (size_t j = 0; j < i; j++) {
            const struct etcd_method *other = &etcd_methods[j];
            assert_false(strcmp(method->service, other->service) == 0 &&
                         strcmp(method->name, other->name) == 0);
            for (size_t k = 0; k < 4; k++) {
                const char *a = method->paths[k / 2];
                const char *b = other->paths[k % 2];
                assert_false(a != NULL && b != NULL && strcmp(a, b) == 0);
            }
        }
    }
}

static void what_is_not_served_is_told(void **state)
{
    static const char *const paths[] = {"/cluster/member/add",    "/cluster/member/remove",
                                        "/cluster/member/update", "/cluster/member/promote",
                                        "/maintenance/snapshot",  "/maintenance/downgrade",
                                        "/auth/enable",           "/lock/lock",
                                        "/election/observe",      "etcdserverpb.KV/RangeStream"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        call_is(0, paths[i], "{\"anything\":1}", "12 etcdserver: not supported by pgquorum");
    }
}

/* --- KV --------------------------------------------------------------------------------------- */

static void grant_as_holder(uint64_t lease)
{
    struct store_op ops[] = {
        {.type = STORE_OP_LEASE_GRANT,
         .lease = lease,
         .ttl_ms = 60000,
         .stamp = 1,
         .flags = STORE_LEASE_HOLDER},
        {.type = STORE_OP_PUT, .key = span_str("leader"), .value = span_str("n"), .lease = lease}};
    struct store_command command = {.type = STORE_TXN, .success = ops, .success_count = 2};
    struct answer answer = {.done = false};
    assert_int_equal(
        raft_node_propose(node_of(&rig, 0), &command, 5000, 0, on_answer, &answer, NULL), 0);
    wait_for(&rig, is_answered, &answer, 5000, "the agent takes its key");
    assert_int_equal(answer.result.code, 0);
}

/* bGVhZGVy = leader */
static void what_hangs_on_a_members_lease_is_refused(void **state)
{
    static const char refused[] = "7 etcdserver: permission denied";
    (void)state;
    grant_as_holder(77);
    call_is(0, "/kv/put", "{\"key\":\"bGVhZGVy\",\"value\":\"eA==\"}", refused);
    call_is(0, "/kv/put", "{\"key\":\"eA==\",\"value\":\"eA==\",\"lease\":77}", refused);
    call_is(0, "/kv/deleterange", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}", refused);
    call_is(0, "/kv/txn",
            "{\"success\":[{\"request_put\":{\"key\":\"eA==\"}},"
            "{\"request_delete_range\":{\"key\":\"bGVhZGVy\"}}]}",
            refused);
    call_is(0, "/lease/revoke", "{\"ID\":77}", refused);
    call_is(0, "/lease/keepalive", "{\"ID\":77}", refused);
    call_is(0, "/lease/grant", "{\"ID\":77,\"TTL\":5}", "9 etcdserver: lease already exists");
    call_is(0, "/kv/range", "{\"key\":\"eA==\"}", "{\"header\":{\"revision\":\"3\"}}");
}

static void reads_of_this_member_need_no_leader(void **state)
{
    size_t alone = ((size_t)leader_of(&rig) + 1) % 3;
    struct recorded recorded = {.freed = false};
    (void)state;
    call_is(alone, "/kv/put", "{\"key\":\"YQ==\",\"value\":\"MQ==\"}",
            "{\"header\":{\"revision\":\"3\"}}");
    for (size_t i = 0; i < 3; i++) {
        if (i != alone) {
            member_stop(&rig, i);
        }
    }
    call_is(alone, "/kv/range", "{\"key\":\"YQ==\",\"serializable\":true,\"count_only\":true}",
            "{\"header\":{\"revision\":\"3\"},\"count\":\"1\"}");
    call_is(alone, "/kv/txn",
            "{\"success\":[{\"request_range\":{\"key\":\"YQ==\",\"serializable\":true,"
            "\"count_only\":true}}]}",
            "{\"header\":{\"revision\":\"3\"},\"succeeded\":true,\"responses\":[{\"response_range"
            "\":{\"header\":{\"revision\":\"3\"},\"count\":\"1\"}}]}");
    call_is(alone, "/kv/range", "{\"key\":\"YQ==\"}", "14 etcdserver: no leader");
    call_is(alone, "/kv/txn", "{\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}",
            "14 etcdserver: no leader");
    call_is(alone, "/kv/put", "{\"key\":\"YQ==\"}", "14 etcdserver: no leader");
    call_is(alone, "/lease/grant", "{\"TTL\":5}", "14 etcdserver: no leader");
    call_is(alone, "/lease/keepalive", "{\"ID\":5}", "14 etcdserver: no leader");
    call_is(alone, "/lease/timetolive", "{\"ID\":5}", "14 etcdserver: no leader");
    call_is(alone, "/lease/leases", "", "14 etcdserver: no leader");
    call_is(alone, "/cluster/member/list", "{\"linearizable\":true}", "14 etcdserver: no leader");
    call_make(alone, "/maintenance/status", "{}", &recorded);
    assert_non_null(strstr(buf_str(&recorded.replies), "\"errors\":[\"etcdserver: no leader\"]"));
    buf_free(&recorded.replies);
}

static void without_a_member_nothing_is_read(void **state)
{
    static const char none[] = "14 etcdserver: no leader";
    (void)state;
    served[0].without_node = true;
    call_is(0, "/kv/range", "{\"key\":\"YQ==\",\"serializable\":true}", none);
    call_is(0, "/kv/txn", "{}", none);
    call_is(0, "/maintenance/hashkv", "{}", none);
    call_is(0, "/maintenance/hash", "{}", none);
    call_is(0, "/maintenance/status", "{}", none);
    call_is(0, "/cluster/member/list", "{}", none);
    call_is(0, "/lease/grant", "{\"TTL\":5}", none);
    call_is(0, "/maintenance/alarm", "{}", "{}");
}

/* The client has gone: nobody is answered, and nothing is left behind. */
static void a_client_that_goes_is_forgotten(void **state)
{
    static const struct {
        const char *path;
        const char *json;
    } calls[] = {
        {"/kv/range", "{\"key\":\"YQ==\"}"},
        {"/kv/put", "{\"key\":\"YQ==\"}"},
        {"/kv/deleterange", "{\"key\":\"YQ==\"}"},
        {"/kv/txn", "{\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}"},
        {"/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}}]}"},
        {"/kv/compaction", "{\"revision\":\"3\"}"},
        {"/lease/grant", "{\"TTL\":5}"},
        {"/lease/revoke", "{\"ID\":5}"},
        {"/lease/timetolive", "{\"ID\":5}"},
        {"/lease/leases", "{}"},
        {"/lease/keepalive", "{\"ID\":5}"},
        {"/cluster/member/list", "{\"linearizable\":true}"},
    };
    enum { CALLS = sizeof calls / sizeof calls[0] };
    static struct recorded recorded[CALLS];
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        call_open(0, calls[i].path, &recorded[i]);
        call_send(&recorded[i], calls[i].json);
        call_close(&recorded[i]);
    }
    run_for(&rig, 200);
    for (size_t i = 0; i < CALLS; i++) {
        assert_true(recorded[i].freed);
        assert_int_equal(recorded[i].reply_count, 0);
        buf_free(&recorded[i].replies);
    }
}

static void an_answer_that_nobody_takes_is_a_refusal(void **state)
{
    static struct recorded recorded;
    (void)state;
    call_open(0, "/kv/range", &recorded);
    recorded.stuck = true;
    call_send(&recorded, "{\"key\":\"YQ==\"}");
    wait_for(&rig, is_finished, &recorded, 5000, "the end");
    assert_int_equal(recorded.code, GRPC_RESOURCE_EXHAUSTED);
    call_close(&recorded);
}

/* A million times the same value in one answer is more than it may have. */
static void an_answer_is_bounded(void **state)
{
    enum { VALUE_BYTES = 1024 * 1024, READS = 60 };
    struct buf json = BUF_INIT;
    struct buf value = BUF_INIT;
    (void)state;
    buf_put_str(&json, "{\"key\":\"YQ==\",\"value\":\"");
    for (size_t i = 0; i < VALUE_BYTES / 3; i++) {
        buf_put_str(&json, "AAAA");
    }
    buf_put_str(&json, "\"}");
    call_is(0, "/kv/put", buf_str(&json), "{\"header\":{\"revision\":\"3\"}}");
    for (int writes = 0; writes < 2; writes++) {
        buf_clear(&json);
        buf_put_str(&json, "{\"success\":[");
        for (int i = 0; i < READS; i++) {
            buf_put_str(&json, "{\"request_range\":{\"key\":\"YQ==\"}},");
        }
        buf_put_str(&json, writes == 0 ? "{\"request_range\":{\"key\":\"Yg==\"}}]}"
                                       : "{\"request_put\":{\"key\":\"Yg==\"}}]}");
        call_is(0, "/kv/txn", buf_str(&json),
                writes == 0 ? "8 etcdserver: too many requests"
                            : "14 etcdserver: request timed out");
    }
    buf_free(&json);
    buf_free(&value);
}

static void what_is_too_large_is_refused(void **state)
{
    static char json[4096];
    static char key[2001];
    (void)state;
    memset(key, 'A', sizeof key - 1); /* 1500 bytes */
    (void)snprintf(json, sizeof json, "{\"key\":\"%s\"}", key);
    call_is(0, "/kv/put", json, "3 etcdserver: request is too large");
    call_is(0, "/kv/range", json, "3 etcdserver: request is too large");
    (void)snprintf(json, sizeof json, "{\"key\":\"AA==\",\"range_end\":\"%s\"}", key);
    call_is(0, "/kv/range", json, "3 etcdserver: request is too large");
    (void)snprintf(json, sizeof json, "{\"success\":[{\"request_range\":{\"key\":\"%s\"}}]}", key);
    call_is(0, "/kv/txn", json, "3 etcdserver: request is too large");
}

/* More operations than one command has, though no list of them is too long. */
static void operations_of_all_levels_are_bounded(void **state)
{
    struct buf json = BUF_INIT;
    (void)state;
    for (int compares = 0; compares < 2; compares++) {
        buf_clear(&json);
        buf_put_str(&json, "{\"success\":[");
        for (int i = 0; i < 63; i++) {
            buf_printf(&json, "%s{\"request_txn\":{\"%s\":[", i == 0 ? "" : ",",
                       compares != 0 ? "compare" : "success");
            for (int j = 0; j < 17; j++) {
                buf_printf(&json, "%s%s", j == 0 ? "" : ",",
                           compares != 0 ? "{\"key\":\"YQ==\"}"
                                         : "{\"request_range\":{\"key\":\"YQ==\"}}");
            }
            buf_put_str(&json, "]}}");
        }
        buf_put_str(&json, "]}");
        call_is(0, "/kv/txn", buf_str(&json), "3 etcdserver: too many operations in txn request");
    }
    buf_free(&json);
}

/* Requests that wait for a leader are kept as long as they fit. */
static void what_waits_with_a_read_is_bounded(void **state)
{
    enum { VALUE_BYTES = 1024 * 1024 + 512 * 1024, CALLS = 22 };
    static struct recorded recorded[CALLS];
    struct buf json = BUF_INIT;
    (void)state;
    buf_put_str(&json, "{\"compare\":[{\"target\":\"VALUE\",\"key\":\"YQ==\",\"value\":\"");
    for (size_t i = 0; i < VALUE_BYTES / 3; i++) {
        buf_put_str(&json, "AAAA");
    }
    buf_put_str(&json, "\"}],\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}");
    served[0].without_node = true;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < CALLS; i++) {
            call_open(0, "/kv/txn", &recorded[i]);
            call_send(&recorded[i], buf_str(&json));
        }
        assert_true(recorded[CALLS - 1].finished);
        assert_int_equal(recorded[CALLS - 1].code, GRPC_RESOURCE_EXHAUSTED);
        for (size_t i = 0; i < CALLS; i++) {
            wait_for(&rig, is_finished, &recorded[i], 5000, "the end");
            assert_true(i == CALLS - 1 || recorded[i].code == GRPC_UNAVAILABLE);
            call_close(&recorded[i]);
            assert_true(recorded[i].freed);
        }
    }
    buf_free(&json);
}

/* Many looks at everything, where everything is much; to have it sorted is many looks by itself. */
static void what_looks_at_too_much_is_refused(void **state)
{
    enum { KEYS = 8192 };
    static const struct {
        const char *more;
        int count_max;
    } known[] = {{",\"count_only\":true", 31}, {",\"limit\":1,\"sort_target\":\"MOD\"", 1}};
    static struct store_op puts[STORE_TXN_ITEMS_MAX];
    static char keys[STORE_TXN_ITEMS_MAX][16];
    struct buf json = BUF_INIT;
    (void)state;
    for (int i = 0; i < KEYS; i += STORE_TXN_ITEMS_MAX) {
        struct store_command command = {
            .type = STORE_TXN, .success = puts, .success_count = STORE_TXN_ITEMS_MAX};
        struct answer answer = {.done = false};
        for (int j = 0; j < STORE_TXN_ITEMS_MAX; j++) {
            (void)snprintf(keys[j], sizeof keys[j], "k%06d", i + j);
            puts[j] = (struct store_op){.type = STORE_OP_PUT, .key = span_str(keys[j])};
        }
        assert_int_equal(
            raft_node_propose(node_of(&rig, 0), &command, 5000, 0, on_answer, &answer, NULL), 0);
        wait_for(&rig, is_answered, &answer, 5000, "the keys are there");
    }
    for (size_t at = 0; at < 4; at++) {
        static struct recorded recorded;
        int count = known[at / 2].count_max + (int)(at % 2);
        buf_clear(&json);
        buf_put_str(&json, "{\"success\":[");
        for (int i = 0; i < count; i++) {
            buf_printf(&json, "%s{\"request_range\":{\"key\":\"AA==\",\"range_end\":\"AA==\"%s}}",
                       i == 0 ? "" : ",", known[at / 2].more);
        }
        buf_put_str(&json, "]}");
        call_make(0, "/kv/txn", buf_str(&json), &recorded);
        assert_int_equal(recorded.code, at % 2 == 0 ? GRPC_OK : GRPC_INVALID_ARGUMENT);
        buf_free(&recorded.replies);
    }
    buf_free(&json);
}

/* --- leases ----------------------------------------------------------------------------------- */

static void an_id_is_chosen(void **state)
{
    static struct recorded recorded;
    (void)state;
    for (int i = 0; i < 3; i++) {
        long long id = 0;
        int ttl = 0;
        call_make(0, "/lease/grant", "{\"TTL\":7}", &recorded);
        assert_int_equal(recorded.code, GRPC_OK);
        assert_int_equal(sscanf(buf_str(&recorded.replies),
                                "{\"header\":{\"revision\":\"2\"},\"ID\":\"%lld\",\"TTL\":\"%d\"}",
                                &id, &ttl),
                         2);
        assert_true(id > 0);
        assert_int_equal(ttl, 7);
        int64_t left_ms = store_lease_remaining_ms(etcd_service_store(served[0].service),
                                                   (uint64_t)id, clock_lease_ms(clock_real()));
        assert_true(left_ms > 6000 && left_ms <= 7000);
    }
    buf_free(&recorded.replies);
}

/* One stream, many leases, known and unknown: answers in the order of the requests. */
static void keepalives_are_answered_in_order(void **state)
{
    enum { COUNT = 1000 };
    static struct recorded recorded;
    char json[64];
    struct buf expected = BUF_INIT;
    (void)state;
    call_is(0, "/lease/grant", "{\"ID\":5,\"TTL\":9}",
            "{\"header\":{\"revision\":\"2\"},\"ID\":\"5\",\"TTL\":\"9\"}");
    call_open(0, "/lease/keepalive", &recorded);
    for (int i = 0; i < COUNT; i++) {
        int id = i % 3 == 0 ? 5 : i % 3 == 1 ? 0 : i;
        (void)snprintf(json, sizeof json, "{\"ID\":%d}", id);
        call_send(&recorded, json);
        buf_put_str(&expected, "{\"header\":{\"revision\":\"2\"}");
        if (id != 0) {
            buf_printf(&expected, ",\"ID\":\"%d\"%s", id, id == 5 ? ",\"TTL\":\"9\"" : "");
        }
        buf_put_str(&expected, "}\n");
    }
    recorded.call.method->on_end(&recorded.call);
    wait_for(&rig, is_finished, &recorded, 10000, "the end of the stream");
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.reply_count, COUNT);
    assert_true(span_equal(buf_span(&recorded.replies), buf_span(&expected)));
    call_close(&recorded);
    assert_true(recorded.freed);
    buf_free(&recorded.replies);
    buf_free(&expected);
}

static void keepalives_that_wait_are_bounded(void **state)
{
    static struct recorded recorded;
    (void)state;
    served[0].without_node = true;
    call_open(0, "/lease/keepalive", &recorded);
    for (int i = 0; i < 8192 && !recorded.finished; i++) {
        call_send(&recorded, "{\"ID\":5}");
    }
    assert_false(recorded.finished);
    call_send(&recorded, "{\"ID\":5}");
    assert_true(recorded.finished);
    assert_int_equal(recorded.code, GRPC_RESOURCE_EXHAUSTED);
    call_close(&recorded);
    run_for(&rig, 3 * ELECTION_MS);
    assert_true(recorded.freed);
}

static void a_stream_whose_client_reads_nothing_ends(void **state)
{
    static struct recorded recorded;
    (void)state;
    call_open(0, "/lease/keepalive", &recorded);
    recorded.stuck = true;
    call_send(&recorded, "{\"ID\":5}");
    call_send(&recorded, "{\"ID\":6}");
    wait_for(&rig, is_finished, &recorded, 5000, "the end of the stream");
    assert_int_equal(recorded.code, GRPC_RESOURCE_EXHAUSTED);
    run_for(&rig, 50);
    call_close(&recorded);
}

static void a_lease_lives_while_it_is_kept(void **state)
{
    static struct recorded recorded;
    (void)state;
    call_is(0, "/lease/grant", "{\"ID\":5,\"TTL\":1}",
            "{\"header\":{\"revision\":\"2\"},\"ID\":\"5\",\"TTL\":\"1\"}");
    call_is(0, "/kv/put", "{\"key\":\"YQ==\",\"lease\":\"5\"}",
            "{\"header\":{\"revision\":\"3\"}}");
    call_open(0, "/lease/keepalive", &recorded);
    for (int i = 0; i < 3; i++) {
        run_for(&rig, 400);
        call_send(&recorded, "{\"ID\":5}");
    }
    call_is(0, "/kv/range", "{\"key\":\"YQ==\",\"count_only\":true}",
            "{\"header\":{\"revision\":\"3\"},\"count\":\"1\"}");
    run_for(&rig, 1400);
    call_is(0, "/kv/range", "{\"key\":\"YQ==\",\"count_only\":true}",
            "{\"header\":{\"revision\":\"4\"}}");
    assert_int_equal(recorded.reply_count, 3);
    call_close(&recorded);
    buf_free(&recorded.replies);
}

static void many_keys_of_a_lease_come_in_portions(void **state)
{
    enum { KEYS = 3, VALUE_GROUPS = 16 * 1024 };
    static struct recorded recorded;
    struct buf json = BUF_INIT;
    (void)state;
    call_make(0, "/lease/grant", "{\"TTL\":\"100\",\"ID\":\"5\"}", &recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    buf_free(&recorded.replies);
    for (int i = 0; i < KEYS; i++) {
        buf_clear(&json);
        buf_printf(&json, "{\"key\":\"YW%c=\",\"lease\":\"5\",\"value\":\"", "EIM"[i]);
        for (int j = 0; j < VALUE_GROUPS; j++) {
            buf_put_str(&json, "AAAA");
        }
        buf_put_str(&json, "\"}");
        call_make(0, "/kv/put", buf_str(&json), &recorded);
        assert_int_equal(recorded.code, GRPC_OK);
        buf_free(&recorded.replies);
    }
    call_make(0, "/lease/timetolive", "{\"ID\":\"5\",\"keys\":true}", &recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_true(recorded.in_portions); /* for what it holds of the store */
    assert_non_null(strstr(buf_str(&recorded.replies),
                           "\"grantedTTL\":\"100\",\"keys\":[\"YWE=\",\"YWI=\",\"YWM=\"]}"));
    buf_free(&recorded.replies);
    buf_free(&json);
}

/* --- Cluster, Maintenance --------------------------------------------------------------------- */

static bool all_published(struct rig *of, void *arg)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(raft_node_store(node_of(of, 0)), members, STORE_MEMBERS_MAX);
    size_t published = 0;
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        published += members[i].client_urls.len > 0;
    }
    return published == of->count;
}

static void members_are_listed_with_their_urls(void **state)
{
    struct recorded recorded = {.freed = false};
    char expected[256];
    struct raft_status status;
    (void)state;
    wait_for(&rig, all_published, NULL, 5000, "client URLs are published");
    for (size_t at = 0; at < 3; at++) {
        call_make(at, "/cluster/member/list", at == 0 ? "{}" : "{\"linearizable\":true}",
                  &recorded);
        assert_int_equal(recorded.code, GRPC_OK);
        for (size_t i = 0; i < 3; i++) {
            raft_node_status(node_of(&rig, i), &status);
            (void)snprintf(expected, sizeof expected,
                           "{\"ID\":\"%llu\",\"name\":\"%s\",\"peerURLs\":[\"http://%s\"],"
                           "\"clientURLs\":[\"%s\"]}",
                           (unsigned long long)status.id, rig.members[i].name,
                           rig.members[i].address, urls[i]);
            assert_non_null(strstr(buf_str(&recorded.replies), expected));
        }
        assert_non_null(strstr(buf_str(&recorded.replies), "{\"header\":{},\"members\":["));
    }
    buf_free(&recorded.replies);
}

static void the_status_says_who_leads(void **state)
{
    struct recorded recorded = {.freed = false};
    char expected[128];
    struct raft_status status;
    (void)state;
    for (size_t at = 0; at < 3; at++) {
        call_make(at, "/maintenance/status", "{}", &recorded);
        raft_node_status(node_of(&rig, at), &status);
        (void)snprintf(expected, sizeof expected, "\"leader\":\"%llu\",\"raftIndex\":\"",
                       (unsigned long long)status.leader);
        assert_true(status.leader != 0);
        assert_non_null(strstr(buf_str(&recorded.replies), expected));
        assert_non_null(strstr(buf_str(&recorded.replies), "\"version\":\"3.4.23\",\"dbSize\":\""));
        assert_null(strstr(buf_str(&recorded.replies), "errors"));
    }
    buf_free(&recorded.replies);
}

static void hash_at(size_t at, const char *path, const char *json, struct buf *ret_text)
{
    struct recorded recorded = {.freed = false};
    call_make(at, path, json, &recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    buf_clear(ret_text);
    buf_put_span(ret_text, buf_span(&recorded.replies));
    buf_free(&recorded.replies);
}

static void equal_states_have_equal_hashes(void **state)
{
    static const char *const requests[] = {"{}", "{\"revision\":\"4\"}"};
    struct buf first = BUF_INIT;
    struct buf other = BUF_INIT;
    (void)state;
    call_is(0, "/kv/put", "{\"key\":\"YQ==\",\"value\":\"MQ==\"}",
            "{\"header\":{\"revision\":\"3\"}}");
    call_is(1, "/kv/put", "{\"key\":\"Yg==\",\"value\":\"MQ==\"}",
            "{\"header\":{\"revision\":\"4\"}}");
    call_is(2, "/kv/put", "{\"key\":\"Yg==\",\"value\":\"Mg==\"}",
            "{\"header\":{\"revision\":\"5\"}}");
    for (size_t at = 0; at < 3; at++) { /* each is as new as that */
        call_is(at, "/kv/range", "{\"key\":\"YQ==\",\"count_only\":true}",
                "{\"header\":{\"revision\":\"5\"},\"count\":\"1\"}");
    }
    for (size_t i = 0; i < 2; i++) {
        hash_at(0, "/maintenance/hashkv", requests[i], &first);
        for (size_t at = 1; at < 3; at++) {
            hash_at(at, "/maintenance/hashkv", requests[i], &other);
            assert_string_equal(buf_str(&first), buf_str(&other));
        }
    }
    hash_at(0, "/maintenance/hashkv", requests[0], &other);
    assert_string_not_equal(buf_str(&first), buf_str(&other)); /* another revision */
    hash_at(0, "/maintenance/hash", "{}", &first);
    hash_at(2, "/maintenance/hash", "{}", &other);
    assert_string_equal(buf_str(&first), buf_str(&other));
    call_is(0, "/maintenance/hashkv", "{\"revision\":\"1000\"}",
            "11 etcdserver: mvcc: required revision is a future revision");
    call_is(0, "/maintenance/hashkv", "{\"revision\":\"1\"}",
            "11 etcdserver: mvcc: required revision has been compacted");
    buf_free(&first);
    buf_free(&other);
}

static void leadership_goes_where_it_is_asked_for(void **state)
{
    size_t from = (size_t)leader_of(&rig);
    size_t to = (from + 1) % 3;
    struct raft_status status;
    char json[64];
    struct recorded recorded = {.freed = false};
    (void)state;
    raft_node_status(node_of(&rig, to), &status);
    (void)snprintf(json, sizeof json, "{\"targetID\":\"%llu\"}", (unsigned long long)status.id);
    call_is(to, "/maintenance/transfer-leadership", json, "9 etcdserver: not leader");
    call_make(from, "/maintenance/transfer-leadership", json, &recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(leader_of(&rig), (int)to);
    buf_free(&recorded.replies);
}

static void a_full_store_raises_its_alarm(void **state)
{
    enum { VALUE_BYTES = 1024 * 1024 + 512 * 1024 - 1, COUNT = 21 };
    struct raft_status status;
    char expected[128];
    char *value = mem_alloc(VALUE_BYTES + 1);
    (void)state;
    call_is(0, "/maintenance/alarm", "{\"action\":\"GET\"}", "{}");
    memset(value, 'v', VALUE_BYTES);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(put(&rig, 0, key, value, 5000), 0);
    }
    raft_node_status(node_of(&rig, 0), &status);
    (void)snprintf(expected, sizeof expected,
                   "{\"alarms\":[{\"memberID\":\"%llu\",\"alarm\":\"NOSPACE\"}]}",
                   (unsigned long long)status.id);
    call_is(0, "/maintenance/alarm", "{\"action\":\"GET\"}", expected);
    call_is(0, "/maintenance/alarm", "{\"alarm\":\"CORRUPT\"}", "{}");
    call_is(0, "/maintenance/alarm", "{\"action\":\"DEACTIVATE\",\"alarm\":\"NOSPACE\"}", "{}");
    call_is(0, "/maintenance/alarm", "{\"action\":\"ACTIVATE\",\"alarm\":\"NOSPACE\"}",
            "12 etcdserver: not supported by pgquorum");
    mem_free(value);
}

/* --- Auth ------------------------------------------------------------------------------------- */

static void users_are_asked_for(void **state)
{
    const struct etcd_auth auth = {.username = span_str("root"), .password = span_str("secret")};
    const struct etcd_method *range = method_find("/kv/range");
    const struct etcd_method *members = method_find("/cluster/member/list");
    struct recorded recorded = {.freed = false};
    struct etcd_caller caller = {.has_certificate = false};
    enum etcd_error error = ETCD_ERROR_COUNT;
    char token[256];
    (void)state;
    call_is(0, "/auth/status", "{}", "{\"header\":{},\"authRevision\":\"1\"}");
    assert_true(etcd_call_is_allowed(served[0].service, range, &caller, &error));
    serve_stop(0);
    serve_with(0, &auth);
    call_is(0, "/auth/status", "{}", "{\"header\":{},\"enabled\":true,\"authRevision\":\"1\"}");
    call_is(0, "/auth/authenticate", "{\"name\":\"root\",\"password\":\"x\"}",
            "3 etcdserver: authentication failed, invalid user ID or password");
    call_make(0, "/auth/authenticate", "{\"name\":\"root\",\"password\":\"secret\"}", &recorded);
    assert_int_equal(
        sscanf(buf_str(&recorded.replies), "{\"header\":{},\"token\":\"%255[^\"]\"}", token), 1);
    assert_true(etcd_call_is_allowed(served[0].service, members, &caller, &error));
    assert_false(etcd_call_is_allowed(served[0].service, range, &caller, &error));
    assert_int_equal(error, ETCD_ERROR_USER_EMPTY);
    caller.token = span_str("nonsense");
    assert_false(etcd_call_is_allowed(served[0].service, range, &caller, &error));
    assert_int_equal(error, ETCD_ERROR_INVALID_AUTH_TOKEN);
    caller.token = span_str(token);
    assert_true(etcd_call_is_allowed(served[0].service, range, &caller, &error));
    caller = (struct etcd_caller){.has_certificate = true};
    assert_true(etcd_call_is_allowed(served[0].service, range, &caller, &error));
    buf_free(&recorded.replies);
}

#define ONE(name)   cmocka_unit_test_setup_teardown(name, serve_one, serve_ends)
#define THREE(name) cmocka_unit_test_setup_teardown(name, serve_three, serve_ends)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_is_answered_as_by_etcd, open_as_etcd,
                                        serve_ends),
        cmocka_unit_test(every_method_has_one_name_and_its_own_paths),
        ONE(what_is_not_served_is_told),
        ONE(what_hangs_on_a_members_lease_is_refused),
        THREE(reads_of_this_member_need_no_leader),
        ONE(without_a_member_nothing_is_read),
        ONE(a_client_that_goes_is_forgotten),
        ONE(an_answer_that_nobody_takes_is_a_refusal),
        ONE(an_answer_is_bounded),
        ONE(what_is_too_large_is_refused),
        ONE(operations_of_all_levels_are_bounded),
        ONE(what_waits_with_a_read_is_bounded),
        ONE(what_looks_at_too_much_is_refused),
        ONE(an_id_is_chosen),
        ONE(keepalives_are_answered_in_order),
        ONE(keepalives_that_wait_are_bounded),
        ONE(a_stream_whose_client_reads_nothing_ends),
        ONE(a_lease_lives_while_it_is_kept),
        ONE(many_keys_of_a_lease_come_in_portions),
        THREE(members_are_listed_with_their_urls),
        THREE(the_status_says_who_leads),
        THREE(equal_states_have_equal_hashes),
        THREE(leadership_goes_where_it_is_asked_for),
        ONE(a_full_store_raises_its_alarm),
        ONE(users_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
