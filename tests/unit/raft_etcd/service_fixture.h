/* Members of a real group, each with the service that its handlers of etcd's API stand on. */
#ifndef TESTS_UNIT_RAFT_ETCD_SERVICE_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_SERVICE_FIXTURE_H

#include "tests/unit/raft_engine/group_fixture.h"

#include "raft/etcd/etcd_service.h"

#include <signal.h>

struct served {
    struct member *member;
    struct etcd_service *service;
    bool without_node; /* there is none, whatever the group says */
    char warnings[2048];
    bool stopped;
};

static struct rig rig;
static struct served served[MEMBERS_MAX];
static char urls[MEMBERS_MAX][64];
static int service_election_ms = ELECTION_MS; /* as the service is told */

static struct raft_node *served_node(void *arg)
{
    struct served *one = arg;
    bool gone = one->without_node || one->member->closed || one->member->group == NULL;
    return gone ? NULL : raft_group_node(one->member->group);
}

static void served_warning(void *arg, const char *text)
{
    struct served *one = arg;
    size_t used = strlen(one->warnings);
    (void)snprintf(one->warnings + used, sizeof one->warnings - used, "%s\n", text);
}

static void served_changed(void *arg)
{
    struct served *one = arg;
    if (one->service != NULL) {
        etcd_service_on_change(one->service);
    }
}

static inline void serve_with(size_t at, const struct etcd_auth *auth)
{
    struct served *one = &served[at];
    (void)snprintf(urls[at], sizeof urls[at], "http://h%zu:2379", at + 1);
    memset(one->warnings, 0, sizeof one->warnings);
    one->member = &rig.members[at];
    one->member->client_urls = urls[at];
    one->stopped = false;
    one->member->changed = served_changed;
    one->member->changed_arg = one;
    struct etcd_service_config config = {.loop = &rig.loop,
                                         .clock = clock_real(),
                                         .random = random_real(),
                                         .node = served_node,
                                         .on_warning = served_warning,
                                         .arg = one,
                                         .election_timeout_ms = service_election_ms,
                                         .client_urls = urls[at],
                                         .auth = auth};
    one->service = etcd_service_new(&config);
}

static inline void serve(size_t at)
{
    serve_with(at, NULL);
}

static void on_stopped(void *arg)
{
    struct served *one = arg;
    one->stopped = true;
}

static bool is_stopped(struct rig *of, void *arg)
{
    (void)of;
    return ((struct served *)arg)->stopped;
}

static void serve_stop(size_t at)
{
    struct served *one = &served[at];
    struct etcd_service *service = one->service;
    one->service = NULL;
    etcd_service_stop(service, on_stopped, one);
    wait_for(&rig, is_stopped, one, 5000, "the service stops");
}

static bool is_ready(struct rig *of, void *arg)
{
    struct served *one = arg;
    (void)of;
    return etcd_service_is_ready(one->service) && etcd_service_has_leader(one->service);
}

static inline void await_ready(size_t at)
{
    wait_for(&rig, is_ready, &served[at], 10000, "the service is ready");
}

/* `count` members, each served, ready. */
static inline void serve_all(size_t count)
{
    memset(served, 0, sizeof served);
    rig_init(&rig, count, count == 1 ? NULL : PASSWORD);
    for (size_t i = 0; i < count; i++) {
        serve(i);
        member_start(&rig, i);
    }
    for (size_t i = 0; i < count; i++) {
        await_ready(i);
    }
}

static void stop_all(void)
{
    for (size_t i = 0; i < rig.count; i++) {
        if (served[i].service != NULL) {
            serve_stop(i);
        }
    }
    rig_free(&rig);
}

/* --- what a request came to ------------------------------------------------------------------- */

struct outcome {
    unsigned times;
    int rc;
    enum etcd_error error;
    int code;
    int64_t revision;
    bool has_output;
};

static void on_outcome(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct outcome *outcome = arg;
    outcome->times++;
    outcome->rc = rc;
    outcome->error = error;
    if (result != NULL) {
        outcome->code = result->code;
        outcome->revision = result->revision;
        outcome->has_output = result->output != NULL;
    }
}

static bool has_outcome(struct rig *of, void *arg)
{
    (void)of;
    return ((struct outcome *)arg)->times > 0;
}

static inline void await_outcome(struct outcome *outcome)
{
    wait_for(&rig, has_outcome, outcome, ETCD_SERVICE_TIMEOUT_MS + 1000, "an outcome");
}

static inline void ask_put(size_t at, const char *key, const char *value, struct outcome *outcome)
{
    struct store_client_op op = {
        .type = STORE_CLIENT_PUT, .range = {.key = span_str(key)}, .value = span_str(value)};
    struct store_client_txn txn = {.success = &op, .success_count = 1};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    memset(outcome, 0, sizeof *outcome);
    etcd_service_propose(served[at].service, &command, on_outcome, outcome);
    assert_int_equal(outcome->times, 0); /* never inside the call */
}

static inline void ask_read(size_t at, struct outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    etcd_service_read(served[at].service, on_outcome, outcome);
    assert_int_equal(outcome->times, 0);
}

static inline void check_failed(const struct outcome *outcome, int rc, enum etcd_error error)
{
    assert_int_equal(outcome->times, 1);
    assert_string_equal(err_name(outcome->rc), err_name(rc));
    assert_string_equal(etcd_error_text(outcome->error), etcd_error_text(error));
}

/* --- for cmocka ------------------------------------------------------------------------------- */

static inline int serve_one(void **state)
{
    (void)state;
    serve_all(1);
    return 0;
}

static inline int serve_three(void **state)
{
    (void)state;
    serve_all(3);
    return 0;
}

static inline int serve_ends(void **state)
{
    (void)state;
    stop_all();
    return 0;
}

#endif
