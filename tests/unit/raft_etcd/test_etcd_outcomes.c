/* What clients are told of each outcome that a request can have, by a service that is none: the
 * test decides what becomes of it. */
#include "recorded_call.h"

#include "raft/etcd/etcd_service.h"

/* --- the service ------------------------------------------------------------------------------ */

struct etcd_service {
    struct store *store;
    struct etcd_service_config config;
    enum store_command_type command; /* the last that was asked for; 0: a read */
    struct span value;
    etcd_service_done done; /* NULL: nothing waits */
    void *arg;
    size_t reserved;
    bool full;
    struct etcd_watch_hub *hub;
};

static struct etcd_service service;

const struct etcd_service_config *etcd_service_config(const struct etcd_service *of)
{
    return &of->config;
}

bool etcd_service_is_ready(const struct etcd_service *of)
{
    return of->store != NULL;
}

bool etcd_service_has_leader(const struct etcd_service *of)
{
    (void)of;
    return true;
}

const struct store *etcd_service_store(const struct etcd_service *of)
{
    return of->store;
}

void etcd_service_header(const struct etcd_service *of, struct etcd_header *ret_header)
{
    (void)of;
    *ret_header =
        (struct etcd_header){.cluster_id = 1, .member_id = 2, .revision = 30, .raft_term = 4};
}

static void ask(struct etcd_service *of, enum store_command_type type, etcd_service_done done,
                void *arg)
{
    assert_true(of->done == NULL);
    of->command = type;
    of->done = done;
    of->arg = arg;
}

void etcd_service_propose(struct etcd_service *of, const struct store_command *command,
                          etcd_service_done done, void *arg)
{
    ask(of, command->type, done, arg);
}

void etcd_service_read(struct etcd_service *of, etcd_service_done done, void *arg)
{
    ask(of, 0, done, arg);
}

void etcd_service_move_leader(struct etcd_service *of, uint64_t member, etcd_service_done done,
                              void *arg)
{
    (void)member;
    ask(of, 0, done, arg);
}

bool etcd_service_reserve(struct etcd_service *of, size_t bytes)
{
    of->reserved += of->full ? 0 : bytes;
    return !of->full;
}

void etcd_service_release(struct etcd_service *of, size_t bytes)
{
    assert_true(bytes <= of->reserved);
    of->reserved -= bytes;
}

enum etcd_error etcd_service_refusal(const struct store_result *result)
{
    return result->code == ERR_EXISTS ? ETCD_ERROR_LEASE_EXISTS : ETCD_ERROR_NO_SPACE;
}

void etcd_service_listen(struct etcd_service *of, struct etcd_listener *listener)
{
    (void)of;
    (void)listener;
}

void etcd_service_unlisten(struct etcd_service *of, struct etcd_listener *listener)
{
    (void)of;
    (void)listener;
}

struct etcd_portions **etcd_service_portions(struct etcd_service *of)
{
    static struct etcd_portions *none;
    (void)of;
    return &none;
}

struct etcd_ranges **etcd_service_ranges(struct etcd_service *of)
{
    static struct etcd_ranges *none;
    (void)of;
    return &none;
}

struct etcd_watch_hub **etcd_service_watch_hub(struct etcd_service *of)
{
    return &of->hub;
}

static struct raft_node *no_node(void *arg)
{
    (void)arg;
    return NULL;
}

static int open_service(void **state)
{
    (void)state;
    service = (struct etcd_service){.store = store_new(),
                                    .config = {.clock = clock_real(),
                                               .random = random_real(),
                                               .node = no_node,
                                               .election_timeout_ms = 1000}};
    return 0;
}

static int close_service(void **state)
{
    (void)state;
    assert_true(service.done == NULL);
    assert_int_equal(service.reserved, 0);
    store_free(service.store);
    return 0;
}

static void come_to(int rc, enum etcd_error error, const struct store_result *result)
{
    etcd_service_done done = service.done;
    assert_true(done != NULL);
    service.done = NULL;
    done(service.arg, rc, error, result);
}

/* --- one call, one outcome -------------------------------------------------------------------- */

static void is_told(struct recorded *recorded, const char *expected)
{
    char failed[300];
    (void)snprintf(failed, sizeof failed, "%d %s", (int)recorded->code, recorded->text);
    bool refused = recorded->finished && recorded->code != GRPC_OK;
    assert_string_equal(refused ? failed : buf_str(&recorded->replies), expected);
    assert_true(recorded->finished || recorded->call.method->request_streams);
    call_close(recorded);
    assert_true(recorded->freed);
    buf_free(&recorded->replies);
}

#define HEADER "{\"header\":{\"revision\":\"7\"}"

/* What is told when the command was applied, and its output did not come here. */
static const struct {
    const char *path;
    const char *json;
    enum store_command_type command; /* 0: a read */
    const char *without_output;
} calls[] = {
    {"/kv/put", "{\"key\":\"YQ==\"}", STORE_CLIENT_TXN, "14 etcdserver: request timed out"},
    {"/kv/deleterange", "{\"key\":\"YQ==\"}", STORE_CLIENT_TXN, "14 etcdserver: request timed out"},
    {"/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}}]}", STORE_CLIENT_TXN,
     "14 etcdserver: request timed out"},
    {"/lease/keepalive", "{\"ID\":5}", STORE_LEASE_KEEPALIVE, "14 etcdserver: request timed out"},
    {"/kv/compaction", "{\"revision\":\"3\"}", STORE_COMPACT, HEADER "}\n"},
    {"/lease/revoke", "{\"ID\":5}", STORE_LEASE_REVOKE, HEADER "}\n"},
    {"/lease/grant", "{\"ID\":5,\"TTL\":9}", STORE_LEASE_GRANT,
     "{\"header\":{\"revision\":\"30\"},\"ID\":\"5\",\"TTL\":\"9\"}\n"},
    {"/kv/range", "{\"key\":\"YQ==\"}", 0, NULL},
    {"/kv/txn", "{\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}", 0, NULL},
    {"/lease/timetolive", "{\"ID\":5}", 0, NULL},
    {"/lease/leases", "{}", 0, NULL},
    {"/cluster/member/list", "{\"linearizable\":true}", 0, NULL},
    {"/maintenance/transfer-leadership", "{\"targetID\":5}", 0, NULL},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

static void begin(size_t at, struct recorded *recorded)
{
    record_call(&service, calls[at].path, recorded);
    call_send(recorded, calls[at].json);
    assert_int_equal(service.command, calls[at].command);
    assert_false(recorded->finished);
}

static void failures_are_told_as_they_are(void **state)
{
    static struct recorded recorded;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        begin(i, &recorded);
        come_to(ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER, NULL);
        is_told(&recorded, "14 etcdserver: no leader");
        begin(i, &recorded);
        come_to(ERR_UNKNOWN, ETCD_ERROR_TIMEOUT, NULL);
        is_told(&recorded, "14 etcdserver: request timed out");
        begin(i, &recorded);
        come_to(ERR_CANCELED, ETCD_ERROR_STOPPED, NULL);
        is_told(&recorded, "14 etcdserver: server stopped");
    }
}

static void what_was_applied_without_an_answer_is_never_guessed(void **state)
{
    static struct recorded recorded;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        for (int repeated = 0; repeated < 2 && calls[i].command != 0; repeated++) {
            struct store_result result = {.revision = 7, .succeeded = true, .repeated = repeated};
            begin(i, &recorded);
            come_to(0, ETCD_ERROR_COUNT, &result);
            is_told(&recorded, calls[i].without_output);
        }
    }
}

static void refusals_are_told(void **state)
{
    static struct recorded recorded;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        struct store_result result = {.code = ERR_LIMIT, .revision = 7};
        if (calls[i].command == 0) {
            continue;
        }
        begin(i, &recorded);
        come_to(0, ETCD_ERROR_COUNT, &result);
        is_told(&recorded, "8 etcdserver: mvcc: database space exceeded");
    }
}

static void who_has_gone_is_told_nothing(void **state)
{
    static struct recorded recorded;
    struct store_result result = {.code = ERR_LIMIT};
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        begin(i, &recorded);
        call_close(&recorded);
        come_to(0, ETCD_ERROR_COUNT, calls[i].command == 0 ? NULL : &result);
        assert_true(recorded.freed);
        assert_int_equal(recorded.reply_count, 0);
        assert_false(recorded.finished);
        buf_free(&recorded.replies);
    }
}

/* The store went while a read waited: the group installs another, or stops. */
static void a_read_that_finds_no_store_says_so(void **state)
{
    static struct recorded recorded;
    struct store *store = service.store;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        if (calls[i].command == 0 && strstr(calls[i].path, "transfer") == NULL) {
            begin(i, &recorded);
            service.store = NULL;
            come_to(0, ETCD_ERROR_COUNT, NULL);
            is_told(&recorded, "14 etcdserver: no leader");
            service.store = store;
        }
    }
}

static void there_may_be_no_room_to_wait(void **state)
{
    static struct recorded recorded;
    (void)state;
    service.full = true;
    record_call(&service, "/kv/txn", &recorded);
    call_send(&recorded, "{\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}");
    is_told(&recorded, "8 etcdserver: too many requests");
}

/* Another member was first with the id that we had chosen: another one, but not for ever. */
static void an_id_that_is_taken_is_chosen_anew(void **state)
{
    static struct recorded recorded;
    struct store_result taken = {.code = ERR_EXISTS};
    struct store_result granted = {.revision = 7};
    (void)state;
    record_call(&service, "/lease/grant", &recorded);
    call_send(&recorded, "{\"TTL\":9}");
    come_to(0, ETCD_ERROR_COUNT, &taken);
    assert_false(recorded.finished);
    come_to(0, ETCD_ERROR_COUNT, &granted);
    assert_int_equal(recorded.reply_count, 1);
    call_close(&recorded);
    record_call(&service, "/lease/grant", &recorded);
    call_send(&recorded, "{\"TTL\":9}");
    for (int i = 0; i < 4; i++) {
        assert_false(recorded.finished);
        come_to(0, ETCD_ERROR_COUNT, &taken);
    }
    is_told(&recorded, "9 etcdserver: lease already exists");
    record_call(&service, "/lease/grant", &recorded);
    call_send(&recorded, "{\"ID\":5,\"TTL\":9}"); /* the client's own: at once */
    come_to(0, ETCD_ERROR_COUNT, &taken);
    is_told(&recorded, "9 etcdserver: lease already exists");
}

static void a_transfer_that_is_done_is_answered(void **state)
{
    static struct recorded recorded;
    (void)state;
    begin(CALLS - 1, &recorded);
    come_to(0, ETCD_ERROR_COUNT, NULL);
    is_told(&recorded, "{\"header\":{\"revision\":\"30\"}}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_service, close_service)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failures_are_told_as_they_are),
        TEST(what_was_applied_without_an_answer_is_never_guessed),
        TEST(refusals_are_told),
        TEST(who_has_gone_is_told_nothing),
        TEST(a_read_that_finds_no_store_says_so),
        TEST(there_may_be_no_room_to_wait),
        TEST(an_id_that_is_taken_is_chosen_anew),
        TEST(a_transfer_that_is_done_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
