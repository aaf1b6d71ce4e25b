/* Writes whose command was sent again, so that it is known that it was applied and not what it
 * gave; and what the group does not answer. The service is a fake: the test says what becomes of
 * each command. */
#include "tests/unit/raft_etcd/fake_exchange.h"
#include "tests/unit/raft_etcd/fake_service.h"

#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_v2_state.h"
#include "raft/store_client.h"

enum outcome {
    TOLD,    /* applied, with what it gave */
    BLIND,   /* applied, without */
    REFUSED, /* `refusal` */
    FAILED   /* `failure` */
};

static struct etcd_service service;
static struct etcd_v2_state counts;
static enum outcome outcomes[8];
static unsigned proposals;
static struct store_result refusal;
static enum etcd_error failure;
static uint64_t leases[8];

struct etcd_v2_state *etcd_service_v2(struct etcd_service *any)
{
    (void)any;
    return &counts;
}

struct etcd_portions **etcd_service_portions(struct etcd_service *any)
{
    static struct etcd_portions *none;
    (void)any;
    return &none;
}

enum etcd_error etcd_service_refusal(const struct store_result *result)
{
    return result->reason == STORE_FULL ? ETCD_ERROR_NO_SPACE : ETCD_ERROR_UNHEALTHY;
}

void etcd_service_read(struct etcd_service *any, etcd_service_done done, void *arg)
{
    (void)any;
    done(arg, ERR_UNAVAILABLE, failure, NULL);
}

/* Answers at once: the callers here do not mind. */
void etcd_service_propose(struct etcd_service *any, const struct store_command *command,
                          etcd_service_done done, void *arg)
{
    struct buf bytes = BUF_INIT;
    struct store_output *output = store_output_new();
    struct store_result result;
    enum outcome outcome = outcomes[proposals];
    leases[proposals++] = command->v2->lease;
    if (outcome == FAILED) {
        done(arg, ERR_UNKNOWN, failure, NULL);
    } else if (outcome == REFUSED) {
        done(arg, 0, 0, &refusal);
    } else {
        assert_int_equal(store_command_encode(command, &bytes, NULL), 0);
        store_apply(any->store, store_applied(any->store) + 1, buf_span(&bytes), &result, output);
        result.output = outcome == TOLD ? output : NULL;
        done(arg, 0, 0, &result);
    }
    store_output_unref(output);
    buf_free(&bytes);
}

static uint64_t next_random(void *arg)
{
    return ++*(uint64_t *)arg;
}

static void expect(const char *method, const char *target, const char *body, int status,
                   const char *answer)
{
    struct fake_exchange *fake = fake_new(method, target, body);
    proposals = 0;
    etcd_v2_serve(&service, &fake->base, &fake->request);
    assert_true(fake->ended);
    if (fake->status != status || strcmp(buf_str(&fake->body), answer) != 0) {
        fail_msg("%s %s %s\n  gives %d %s\n  not   %d %s", method, target, body, fake->status,
                 buf_str(&fake->body), status, answer);
    }
    fake_free(fake);
}

static void all_are(enum outcome outcome)
{
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        outcomes[i] = outcome;
    }
}

#define NODE(key, value, modified, created)                                    \
    "{\"key\":\"" key "\",\"value\":\"" value "\",\"modifiedIndex\":" modified \
    ",\"createdIndex\":" created "}"
#define GONE(key, modified, created) \
    "{\"key\":\"" key "\",\"modifiedIndex\":" modified ",\"createdIndex\":" created "}"
#define DIR(key, modified, created) \
    "{\"key\":\"" key "\",\"dir\":true,\"modifiedIndex\":" modified ",\"createdIndex\":" created "}"

/* The same as if the first answer had come. */
static void what_a_repeated_write_gave_stands_in_the_history(void **state)
{
    (void)state;
    all_are(BLIND);
    expect("PUT", "/v2/keys/a/b", "value=1", 201,
           "{\"action\":\"set\",\"node\":" NODE("/a/b", "1", "3", "3") "}\n");
    expect("PUT", "/v2/keys/a/b", "value=2", 200,
           "{\"action\":\"set\",\"node\":" NODE("/a/b", "2", "4", "4") ",\"prevNode\":" NODE(
               "/a/b", "1", "3", "3") "}\n");
    expect("PUT", "/v2/keys/a/b", "value=3&prevExist=true", 200,
           "{\"action\":\"update\",\"node\":" NODE("/a/b", "3", "5", "4") ",\"prevNode\":" NODE(
               "/a/b", "2", "4", "4") "}\n");
    expect("PUT", "/v2/keys/a/b", "value=4&prevIndex=5", 200,
           "{\"action\":\"compareAndSwap\",\"node\":" NODE(
               "/a/b", "4", "6", "4") ",\"prevNode\":" NODE("/a/b", "3", "5", "4") "}\n");
    expect("PUT", "/v2/keys/a/c", "value=1&prevExist=false", 201,
           "{\"action\":\"create\",\"node\":" NODE("/a/c", "1", "7", "7") "}\n");
    expect("POST", "/v2/keys/a", "value=1", 201,
           "{\"action\":\"create\",\"node\":" NODE("/a/00000000000000000008", "1", "8", "8") "}\n");
    expect("POST", "/v2/keys", "value=1", 201,
           "{\"action\":\"create\",\"node\":" NODE("/00000000000000000009", "1", "9", "9") "}\n");
    expect("PUT", "/v2/keys/d", "dir=true", 201,
           "{\"action\":\"set\",\"node\":" DIR("/d", "10", "10") "}\n");
    expect("DELETE", "/v2/keys/a/c", "", 200,
           "{\"action\":\"delete\",\"node\":" GONE("/a/c", "11", "7") ",\"prevNode\":" NODE(
               "/a/c", "1", "7", "7") "}\n");
    expect("DELETE", "/v2/keys/a/b?prevValue=4", "", 200,
           "{\"action\":\"compareAndDelete\",\"node\":" GONE(
               "/a/b", "12", "4") ",\"prevNode\":" NODE("/a/b", "4", "6", "4") "}\n");
    expect("DELETE", "/v2/keys/a?recursive=true", "", 200,
           "{\"action\":\"delete\",\"node\":" DIR("/a", "13", "8") ",\"prevNode\":" DIR("/a", "8",
                                                                                        "8") "}\n");
    expect("DELETE", "/v2/keys/d?dir=true", "", 200,
           "{\"action\":\"delete\",\"node\":" DIR("/d", "14", "10") ",\"prevNode\":" DIR(
               "/d", "10", "10") "}\n");
}

static void a_repeated_refresh_is_found_though_nobody_heard_of_it(void **state)
{
    (void)state;
    all_are(BLIND);
    expect("PUT", "/v2/keys/r", "value=1", 201,
           "{\"action\":\"set\",\"node\":" NODE("/r", "1", "3", "3") "}\n");
    struct fake_exchange *fake =
        fake_new("PUT", "/v2/keys/r", "refresh=true&ttl=50&prevExist=true");
    proposals = 0;
    etcd_v2_serve(&service, &fake->base, &fake->request);
    assert_int_equal(fake->status, 200);
    assert_non_null(strstr(buf_str(&fake->body), "{\"action\":\"update\",\"node\":{\"key\":\"/r\","
                                                 "\"value\":\"1\",\"expiration\":\""));
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":50,\"modifiedIndex\":4,"));
    fake_free(fake);
}

static void a_repeated_refusal_is_asked_for_anew(void **state)
{
    (void)state;
    all_are(TOLD);
    outcomes[0] = BLIND;
    expect("PUT", "/v2/keys/none", "value=1&prevIndex=3", 404,
           "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/none\",\"index\":2}\n");
    assert_int_equal(proposals, 2);
    all_are(BLIND);
    expect("PUT", "/v2/keys/none/deep", "value=1&prevExist=true", 404,
           "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/none/deep\","
           "\"index\":2}\n");
    assert_int_equal(proposals, 3);
}

static void a_history_that_is_gone_leaves_the_outcome_open(void **state)
{
    static const char timeout[] = "{\"errorCode\":300,\"message\":\"Raft Internal Error\","
                                  "\"cause\":\"etcdserver: request timed out\",\"index\":0}\n";
    (void)state;
    all_are(REFUSED);
    refusal = (struct store_result){.succeeded = true, .revision = 1};
    expect("PUT", "/v2/keys/a", "value=1", 500, timeout);
    refusal.revision = 2; /* a revision in which something else was done */
    expect("PUT", "/v2/keys/a", "value=1", 500, timeout);
}

static void an_id_that_is_taken_is_chosen_anew(void **state)
{
    (void)state;
    refusal =
        (struct store_result){.code = ERR_EXISTS, .reason = STORE_LEASE_PROVIDED, .revision = 2};
    all_are(TOLD);
    outcomes[0] = REFUSED;
    struct fake_exchange *fake = fake_new("PUT", "/v2/keys/a", "value=1&ttl=5");
    proposals = 0;
    etcd_v2_serve(&service, &fake->base, &fake->request);
    assert_int_equal(fake->status, 201);
    assert_int_equal(proposals, 2);
    assert_true(leases[0] != 0 && leases[1] != 0 && leases[0] != leases[1]);
    fake_free(fake);
    all_are(REFUSED);
    expect("PUT", "/v2/keys/a", "value=1&ttl=5", 500,
           "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: "
           "unhealthy cluster\",\"index\":0}\n");
    assert_int_equal(proposals, 3);
}

static void what_has_no_outcome_is_a_server_error(void **state)
{
    (void)state;
    all_are(FAILED);
    failure = ETCD_ERROR_TIMEOUT;
    expect("PUT", "/v2/keys/a", "value=1", 500,
           "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: request "
           "timed out\",\"index\":0}\n");
    expect("GET", "/v2/keys/a?quorum=true", "", 500,
           "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: request "
           "timed out\",\"index\":0}\n");
    failure = ETCD_ERROR_NO_LEADER;
    expect("PUT", "/v2/keys/a", "value=1", 500,
           "{\"errorCode\":301,\"message\":\"During Leader Election\",\"cause\":\"etcdserver: no "
           "leader\",\"index\":0}\n");
    all_are(REFUSED);
    refusal = (struct store_result){.code = ERR_LIMIT, .reason = STORE_FULL, .revision = 2};
    outcomes[0] = REFUSED;
    expect("PUT", "/v2/keys/a", "value=1", 500,
           "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"etcdserver: mvcc: "
           "database space exceeded\",\"index\":0}\n");
}

static int open_service(void **state)
{
    static uint64_t seed;
    static struct random random = {.next = next_random, .arg = &seed};
    (void)state;
    fake_service_open(&service, NULL);
    service.config.random = &random;
    return 0;
}

static int close_service(void **state)
{
    (void)state;
    fake_service_close(&service);
    return 0;
}

#define SERVICE_TEST(function) \
    cmocka_unit_test_setup_teardown(function, open_service, close_service)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVICE_TEST(what_a_repeated_write_gave_stands_in_the_history),
        SERVICE_TEST(a_repeated_refresh_is_found_though_nobody_heard_of_it),
        SERVICE_TEST(a_repeated_refusal_is_asked_for_anew),
        SERVICE_TEST(a_history_that_is_gone_leaves_the_outcome_open),
        SERVICE_TEST(an_id_that_is_taken_is_chosen_anew),
        SERVICE_TEST(what_has_no_outcome_is_a_server_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
