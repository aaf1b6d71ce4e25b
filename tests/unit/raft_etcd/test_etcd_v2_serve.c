/* The v2 API in front of a real group: what waits, what is refused. Shapes and texts of plain
 * answers: test_etcd_v2_transcript.c; what is large: test_etcd_v2_large.c. */
#include "tests/unit/raft_etcd/v2_rig.h"

#include "raft/etcd/etcd_v2_state.h"
#include "raft/etcd/etcd_watcher.h"

#include <stdlib.h>

static int64_t revision(void)
{
    return store_revision(raft_node_store(v2_node(&rig)));
}

static void write_key(const char *key, const char *body)
{
    v2_write_key(&rig, key, body);
}

static void delete_key(const char *key)
{
    v2_delete_key(&rig, key);
}

/* A watch whose head has come. */
static struct fake_exchange *watch_key(const char *target)
{
    struct fake_exchange *fake = fake_new("GET", target, "");
    v2_serve(&rig, fake);
    assert_int_equal(fake->status, 200);
    assert_true(fake->streaming && !fake->ended);
    assert_string_equal(fake->type, "application/json");
    return fake;
}

static size_t lines_of(struct fake_exchange *fake)
{
    size_t lines = 0;
    for (size_t i = 0; i < fake->body.len; i++) {
        lines += fake->body.data[i] == '\n';
    }
    return lines;
}

struct lines {
    struct fake_exchange *fake;
    size_t count;
};

static bool has_lines(struct v2_rig *any, void *arg)
{
    const struct lines *lines = arg;
    (void)any;
    return lines_of(lines->fake) >= lines->count;
}

static void await_lines(struct fake_exchange *fake, size_t count)
{
    struct lines lines = {.fake = fake, .count = count};
    v2_until(&rig, has_lines, &lines, "so many events");
    assert_int_equal(lines_of(fake), count);
}

static bool has_no_watchers(struct v2_rig *any, void *arg)
{
    (void)arg;
    return etcd_watcher_count(any->service) == 0;
}

/* --- watches ---------------------------------------------------------------------------------- */

static void a_long_poll_gets_its_head_at_once_and_one_event(void **state)
{
    char expected[512];
    (void)state;
    write_key("/w/a", "value=1");
    long long before = (long long)revision();
    struct fake_exchange *fake = watch_key("/v2/keys/w/a?wait=true");
    (void)snprintf(expected, sizeof expected, "%lld", before);
    assert_string_equal(fake_answer_header(fake, "X-Etcd-Index"), expected);
    assert_string_not_equal(fake_answer_header(fake, "X-Raft-Index"), "");
    assert_string_not_equal(fake_answer_header(fake, "X-Raft-Term"), "");
    write_key("/w/b", "value=other");
    write_key("/w/a", "value=2");
    v2_until(&rig, v2_has_ended, fake, "the event");
    (void)snprintf(expected, sizeof expected,
                   "{\"action\":\"set\",\"node\":{\"key\":\"/w/a\",\"value\":\"2\","
                   "\"modifiedIndex\":%lld,\"createdIndex\":%lld},\"prevNode\":{\"key\":\"/w/a\","
                   "\"value\":\"1\",\"modifiedIndex\":%lld,\"createdIndex\":%lld}}\n",
                   before + 2, before + 2, before, before);
    assert_string_equal(buf_str(&fake->body), expected);
    fake_free(fake);
}

static void a_future_index_is_waited_for(void **state)
{
    char target[128];
    (void)state;
    (void)snprintf(target, sizeof target, "/v2/keys/w/f?wait=true&waitIndex=%lld",
                   (long long)revision() + 3);
    struct fake_exchange *fake = watch_key(target);
    write_key("/w/f", "value=early");
    write_key("/w/f", "value=early");
    write_key("/w/f", "value=due");
    v2_until(&rig, v2_has_ended, fake, "the event");
    assert_non_null(strstr(buf_str(&fake->body), "\"node\":{\"key\":\"/w/f\",\"value\":\"due\""));
    fake_free(fake);
    fake = watch_key("/v2/keys/w/f?wait=true&waitIndex=18446744073709551615");
    v2_hang_up(fake);
}

static void a_stream_gets_each_event_that_is_for_it(void **state)
{
    (void)state;
    struct fake_exchange *fake = watch_key("/v2/keys/st?wait=true&recursive=true&stream=true");
    write_key("/st/a", "value=1&ttl=100");
    write_key("/st/_hidden", "value=1");
    write_key("/st/a", "refresh=true&ttl=200");
    write_key("/other", "value=1");
    write_key("/st/a", "value=2&prevExist=true");
    write_key("/st/a", "value=3&prevValue=2");
    delete_key("/st");
    await_lines(fake, 4);
    assert_false(fake->ended);
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":100"));
    assert_non_null(strstr(buf_str(&fake->body), "{\"action\":\"update\""));
    assert_non_null(strstr(buf_str(&fake->body), "{\"action\":\"compareAndSwap\""));
    assert_non_null(strstr(buf_str(&fake->body), "{\"action\":\"delete\",\"node\":{\"key\":\"/st\","
                                                 "\"dir\":true"));
    v2_hang_up(fake);
    v2_until(&rig, has_no_watchers, NULL, "the watch is freed");
    assert_int_equal(etcd_service_v2(rig.service)->watchers, 0);
}

static void a_stream_goes_on_from_the_history(void **state)
{
    char target[128];
    (void)state;
    write_key("/hist/a", "value=1");
    (void)snprintf(target, sizeof target,
                   "/v2/keys/hist?wait=true&recursive=true&stream=true&waitIndex=%lld",
                   (long long)revision());
    write_key("/hist/a", "value=2&prevExist=true");
    struct fake_exchange *fake = watch_key(target);
    await_lines(fake, 2);
    write_key("/hist/a", "value=3&prevExist=true");
    await_lines(fake, 3);
    v2_hang_up(fake);
}

static void the_end_of_a_directory_is_heard_below_it(void **state)
{
    char expected[512];
    (void)state;
    write_key("/e/d/f/g", "value=1");
    long long made = (long long)revision();
    struct fake_exchange *fake = watch_key("/v2/keys/e/d/f/g/?wait=true");
    struct fake_exchange *other = watch_key("/v2/keys/e/d/fg?wait=true");
    delete_key("/e/d/f");
    v2_until(&rig, v2_has_ended, fake, "the event");
    (void)snprintf(expected, sizeof expected,
                   "{\"action\":\"delete\",\"node\":{\"key\":\"/e/d/f\",\"dir\":true,"
                   "\"modifiedIndex\":%lld,\"createdIndex\":%lld},\"prevNode\":{\"key\":\"/e/d/f\","
                   "\"dir\":true,\"modifiedIndex\":%lld,\"createdIndex\":%lld}}\n",
                   made + 1, made, made, made);
    assert_string_equal(buf_str(&fake->body), expected);
    assert_int_equal(other->body.len, 0);
    fake_free(fake);
    v2_hang_up(other);
}

static void the_end_of_a_ttl_is_an_event(void **state)
{
    char expected[512];
    (void)state;
    write_key("/x/soon", "value=n2&ttl=1");
    long long made = (long long)revision();
    struct fake_exchange *fake = watch_key("/v2/keys/x?wait=true&recursive=true");
    v2_until(&rig, v2_has_ended, fake, "the event");
    (void)snprintf(expected, sizeof expected,
                   "{\"action\":\"expire\",\"node\":{\"key\":\"/x/soon\",\"modifiedIndex\":%lld,"
                   "\"createdIndex\":%lld},\"prevNode\":{\"key\":\"/x/soon\",\"value\":\"n2\","
                   "\"modifiedIndex\":%lld,\"createdIndex\":%lld}}\n",
                   made + 1, made, made, made);
    assert_string_equal(buf_str(&fake->body), expected);
    fake_free(fake);
}

static void history_that_is_cleared_is_refused(void **state)
{
    char expected[256];
    struct answer answer = {0};
    (void)state;
    struct store_command compact = {.type = STORE_COMPACT, .number = (uint64_t)revision()};
    assert_int_equal(
        raft_node_propose_plain(v2_node(&rig), &compact, 5000, on_answer, &answer, NULL), 0);
    wait_for(&rig.group, is_answered, &answer, 5000, "the compaction");
    (void)snprintf(expected, sizeof expected,
                   "{\"errorCode\":401,\"message\":\"The event in requested index is outdated and "
                   "cleared\",\"cause\":\"the requested history has been cleared [%lld/1]\","
                   "\"index\":%lld}\n",
                   (long long)revision(), (long long)revision());
    v2_expect(&rig, "GET", "/v2/keys/a?wait=true&waitIndex=1", "", 400, expected);
}

static void a_stream_that_nobody_reads_is_cut(void **state)
{
    (void)state;
    struct fake_exchange *fake = watch_key("/v2/keys/slow?wait=true&recursive=true&stream=true");
    write_key("/slow/a", "value=1");
    await_lines(fake, 1);
    fake->pending = 2 * 1024 * 1024;
    write_key("/slow/a", "value=2");
    v2_until(&rig, v2_has_ended, fake, "the cut");
    assert_int_equal(lines_of(fake), 1);
    fake_free(fake);
}

/* Much waits with all of them: this one gets a small event, and none that would have to wait. */
static void an_event_that_no_client_leaves_room_for_ends_the_watch(void **state)
{
    static char body[100 * 1024];
    (void)state;
    strcpy(body, "value=");
    memset(body + 6, 'v', sizeof body - 7);
    struct fake_exchange *stream = watch_key("/v2/keys/room?wait=true&recursive=true&stream=true");
    struct fake_exchange *poll = watch_key("/v2/keys/room/b?wait=true");
    stream->held = (size_t)64 * 1024 * 1024;
    poll->held = stream->held - 80 * 1024; /* less than the event */
    write_key("/room/a", "value=1");
    await_lines(stream, 1);
    write_key("/room/b", body);
    v2_until(&rig, v2_has_ended, stream, "the end of the stream");
    v2_until(&rig, v2_has_ended, poll, "the end of the poll");
    assert_int_equal(lines_of(stream), 1);
    assert_int_equal(lines_of(poll), 0);
    fake_free(stream);
    fake_free(poll);
    poll = watch_key("/v2/keys/room/b?wait=true");
    poll->held = (size_t)64 * 1024 * 1024 - 320 * 1024;
    write_key("/room/b", body);
    v2_until(&rig, v2_has_ended, poll, "the event");
    assert_int_equal(lines_of(poll), 1);
    fake_free(poll);
    delete_key("/room");
}

static void whoever_is_gone_before_the_head_leaves_nothing(void **state)
{
    (void)state;
    struct fake_exchange *fake = fake_new("GET", "/v2/keys/w?wait=true", "");
    fake->is_gone_at_start = true;
    v2_serve(&rig, fake);
    assert_true(fake->ended);
    assert_int_equal(etcd_service_v2(rig.service)->watchers, 0);
    fake_free(fake);
}

static void too_many_watches_are_refused(void **state)
{
    (void)state;
    etcd_service_v2(rig.service)->watchers += 4096;
    v2_expect(&rig, "GET", "/v2/keys/w?wait=true", "", 500,
              "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":"
              "\"etcdserver: too many requests\",\"index\":0}\n");
    etcd_service_v2(rig.service)->watchers -= 4096;
}

/* --- what belongs to an agent ----------------------------------------------------------------- */

static void hold_leader_key(void)
{
    struct store_op ops[] = {{.type = STORE_OP_LEASE_GRANT,
                              .lease = 99,
                              .ttl_ms = 60000,
                              .flags = STORE_LEASE_HOLDER,
                              .stamp = 1},
                             {.type = STORE_OP_PUT,
                              .key = span_str("/service/b/leader"),
                              .value = span_str("n1"),
                              .lease = 99}};
    struct store_command command = {.type = STORE_TXN, .success = ops, .success_count = 2};
    struct answer answer = {0};
    assert_int_equal(raft_node_propose(v2_node(&rig), &command, 5000, 0, on_answer, &answer, NULL),
                     0);
    wait_for(&rig.group, is_answered, &answer, 5000, "the leader key");
    assert_int_equal(answer.result.code, 0);
}

static void a_leader_key_of_an_agent_is_touched_by_nobody_else(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        const char *body;
    } writes[] = {
        {"PUT", "/v2/keys/service/b/leader", "value=me"},
        {"PUT", "/v2/keys/service/b/leader", "value=n1&prevValue=n1&ttl=30"},
        {"PUT", "/v2/keys/service/b/leader", "refresh=true&ttl=30&prevExist=true"},
        {"DELETE", "/v2/keys/service/b/leader", ""},
        {"DELETE", "/v2/keys/service/b/leader?prevValue=n1", ""},
        {"DELETE", "/v2/keys/service/b?recursive=true", ""},
        {"DELETE", "/v2/keys/service?recursive=true", ""},
    };
    (void)state;
    hold_leader_key();
    int64_t before = revision();
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        struct fake_exchange *fake =
            v2_ask(&rig, writes[i].method, writes[i].target, writes[i].body);
        assert_int_equal(fake->status, 401);
        assert_non_null(strstr(buf_str(&fake->body),
                               "{\"errorCode\":110,\"message\":\"The request requires user "
                               "authentication\",\"cause\":\"/service"));
        fake_free(fake);
    }
    assert_int_equal(revision(), before);
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/keys/service/b/leader", "");
    assert_int_equal(fake->status, 200);
    assert_non_null(strstr(buf_str(&fake->body), "\"value\":\"n1\",\"expiration\":\""));
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":60,"));
    fake_free(fake);
}

/* --- ttl -------------------------------------------------------------------------------------- */

static void a_ttl_counts_down_and_is_told_of_what_was_replaced(void **state)
{
    (void)state;
    write_key("/ttl/a", "value=1&ttl=10");
    v2_pass_ms(&rig, 1100);
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/keys/ttl?recursive=true", "");
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":9,"));
    fake_free(fake);
    fake = v2_ask(&rig, "PUT", "/v2/keys/ttl/a", "value=2&ttl=20");
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":20,"));
    assert_non_null(strstr(strstr(buf_str(&fake->body), "prevNode"), "\"ttl\":9,"));
    fake_free(fake);
    fake = v2_ask(&rig, "PUT", "/v2/keys/ttl/a", "value=3");
    assert_null(strstr(strstr(buf_str(&fake->body), "\"prevNode\"") - 60, "\"value\":\"3\",\"exp"));
    assert_non_null(strstr(strstr(buf_str(&fake->body), "prevNode"), "\"ttl\":20,"));
    fake_free(fake);
    fake = v2_ask(&rig, "GET", "/v2/keys/ttl/a", "");
    assert_null(strstr(buf_str(&fake->body), "ttl\":"));
    fake_free(fake);
}

static void a_ttl_is_bounded_by_what_a_lease_can_have(void **state)
{
    (void)state;
    struct fake_exchange *fake =
        v2_ask(&rig, "PUT", "/v2/keys/ttl/b", "value=1&ttl=18446744073709551615");
    assert_int_equal(fake->status, 201);
    assert_non_null(strstr(buf_str(&fake->body), "\"ttl\":315360000,"));
    fake_free(fake);
    fake = v2_ask(&rig, "PUT", "/v2/keys/ttl/zero", "value=1&ttl=0");
    assert_int_equal(fake->status, 201);
    assert_non_null(strstr(buf_str(&fake->body), "\"expiration\":\""));
    assert_null(strstr(buf_str(&fake->body), "\"ttl\":"));
    fake_free(fake);
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void keys_have_a_length(void **state)
{
    char target[1200] = "/v2/keys/";
    (void)state;
    memset(target + 9, 'k', STORE_KEY_BYTES_MAX - 1);
    target[8 + STORE_KEY_BYTES_MAX] = '\0';
    struct fake_exchange *fake = v2_ask(&rig, "PUT", target, "value=1");
    assert_int_equal(fake->status, 201);
    fake_free(fake);
    v2_expect(&rig, "POST", target, "value=1", 400,
              "{\"errorCode\":209,\"message\":\"Invalid field\",\"cause\":\"the key is too long\","
              "\"index\":0}\n");
    delete_key(target + strlen("/v2/keys"));
    strcat(target, "k");
    v2_expect(&rig, "PUT", target, "value=1", 400,
              "{\"errorCode\":209,\"message\":\"Invalid field\",\"cause\":\"the key is too long\","
              "\"index\":0}\n");
    fake = v2_ask(&rig, "GET", target, "");
    assert_int_equal(fake->status, 404);
    fake_free(fake);
}

/* --- members, statistics, users --------------------------------------------------------------- */

static void members_are_told(void **state)
{
    static struct raft_status status;
    char member[512];
    char expected[600];
    (void)state;
    raft_node_status(v2_node(&rig), &status);
    (void)snprintf(member, sizeof member,
                   "{\"id\":\"%llx\",\"name\":\"node1\",\"peerURLs\":[\"http://%s\"],"
                   "\"clientURLs\":[\"http://127.0.0.1:2379\"]}",
                   (unsigned long long)status.id, status.members[0].address);
    (void)snprintf(expected, sizeof expected, "{\"members\":[%s]}\n", member);
    v2_expect(&rig, "GET", "/v2/members", "", 200, expected);
    v2_expect(&rig, "GET", "/v2/members/", "", 200, expected);
    (void)snprintf(expected, sizeof expected, "%s\n", member);
    v2_expect(&rig, "GET", "/v2/members/leader", "", 200, expected);
    v2_expect(&rig, "GET", "/v2/machines", "", 200, "http://127.0.0.1:2379");
    v2_expect(&rig, "HEAD", "/v2/machines", "", 200, "");
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/members", "");
    (void)snprintf(expected, sizeof expected, "%llx", (unsigned long long)status.cluster);
    assert_string_equal(fake_answer_header(fake, "X-Etcd-Cluster-Id"), expected);
    fake_free(fake);
}

static void the_membership_is_not_changed_here(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fake_exchange *fake = v2_ask(&rig, methods[i], "/v2/members/1f", "");
        assert_int_equal(fake->status, 403);
        assert_non_null(strstr(buf_str(&fake->body), "{\"message\":\"members are not changed"));
        fake_free(fake);
        fake = v2_ask(&rig, methods[i], "/v2/auth/enable", "");
        assert_int_equal(fake->status, i == 0 ? 405 : 403);
        fake_free(fake);
        fake = v2_ask(&rig, methods[i], "/v2/auth/roles/r", "");
        assert_int_equal(fake->status, i == 0 ? 405 : 403);
        fake_free(fake);
    }
}

static void statistics_count_what_was_asked_here(void **state)
{
    struct etcd_v2_state *counts = etcd_service_v2(rig.service);
    (void)state;
    *counts = (struct etcd_v2_state){.start_wall_ms = counts->start_wall_ms,
                                     .leader = counts->leader,
                                     .leader_wall_ms = counts->leader_wall_ms};
    write_key("/count/a", "value=1");
    write_key("/count/a", "value=2&prevExist=true");
    write_key("/count/a", "value=3&prevValue=2");
    write_key("/count/b", "value=1&prevExist=false");
    fake_free(v2_ask(&rig, "POST", "/v2/keys/count", "value=1"));
    fake_free(v2_ask(&rig, "PUT", "/v2/keys/count/b", "value=1&prevExist=false"));
    fake_free(v2_ask(&rig, "PUT", "/v2/keys/count", "value=1"));
    fake_free(v2_ask(&rig, "PUT", "/v2/keys/count/c", "value=1&prevExist=true"));
    fake_free(v2_ask(&rig, "PUT", "/v2/keys/count/a", "value=1&prevValue=9"));
    fake_free(v2_ask(&rig, "GET", "/v2/keys/count/a", ""));
    fake_free(v2_ask(&rig, "GET", "/v2/keys/count/none", ""));
    fake_free(v2_ask(&rig, "DELETE", "/v2/keys/count/a?prevValue=9", ""));
    fake_free(v2_ask(&rig, "DELETE", "/v2/keys/count/a?prevValue=3", ""));
    fake_free(v2_ask(&rig, "DELETE", "/v2/keys/count/a", ""));
    delete_key("/count");
    struct fake_exchange *fake = watch_key("/v2/keys/count?wait=true");
    static const struct etcd_watcher_events nothing = {.on_events = NULL};
    struct store_watch v3 = {.key = span_str("elsewhere")};
    struct etcd_watcher *watcher = etcd_watcher_new(rig.service, &v3, 0, &nothing, NULL);
    v2_expect(&rig, "GET", "/v2/stats/store", "", 200,
              "{\"getsSuccess\":1,\"getsFail\":1,\"setsSuccess\":1,\"setsFail\":1,"
              "\"deleteSuccess\":1,\"deleteFail\":1,\"updateSuccess\":1,\"updateFail\":1,"
              "\"createSuccess\":2,\"createFail\":1,\"compareAndSwapSuccess\":1,"
              "\"compareAndSwapFail\":1,\"compareAndDeleteSuccess\":1,\"compareAndDeleteFail\":1,"
              "\"expireCount\":0,\"watchers\":1}"); /* of v2 alone, as in etcd */
    etcd_watcher_free(watcher);
    v2_hang_up(fake);
}

static void statistics_name_the_leader(void **state)
{
    static struct raft_status status;
    char expected[256];
    (void)state;
    raft_node_status(v2_node(&rig), &status);
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/stats/self", "");
    assert_int_equal(fake->status, 200);
    (void)snprintf(
        expected, sizeof expected,
        "{\"name\":\"node1\",\"id\":\"%llx\",\"state\":\"StateLeader\",\"startTime\":\"20",
        (unsigned long long)status.id);
    assert_memory_equal(buf_str(&fake->body), expected, strlen(expected));
    (void)snprintf(expected, sizeof expected, "\"leaderInfo\":{\"leader\":\"%llx\",\"uptime\":\"",
                   (unsigned long long)status.id);
    assert_non_null(strstr(buf_str(&fake->body), expected));
    fake_free(fake);
    struct etcd_v2_state *state_of = etcd_service_v2(rig.service);
    int64_t since_ms = state_of->leader_wall_ms;
    state_of->leader_wall_ms = clock_wall_ms(clock_real()) - 2 * 3600 * 1000 - 61 * 1000;
    fake = v2_ask(&rig, "GET", "/v2/stats/self", "");
    assert_non_null(strstr(buf_str(&fake->body), "\"uptime\":\"2h1m1"));
    fake_free(fake);
    state_of->leader_wall_ms = since_ms;
    (void)snprintf(expected, sizeof expected, "{\"leader\":\"%llx\",\"followers\":{}}",
                   (unsigned long long)status.id);
    v2_expect(&rig, "GET", "/v2/stats/leader", "", 200, expected);
}

/* --- without a store -------------------------------------------------------------------------- */

static void without_a_store_everything_is_refused_at_once(void **state)
{
    static const char election[] =
        "{\"errorCode\":301,\"message\":\"During Leader Election\",\"cause\":"
        "\"etcdserver: no leader\",\"index\":0}\n";
    (void)state;
    rig.has_node = false;
    v2_expect(&rig, "GET", "/v2/keys/a", "", 500, election);
    v2_expect(&rig, "GET", "/v2/keys/a?wait=true", "", 500, election);
    v2_expect(&rig, "PUT", "/v2/keys/a", "value=1", 500, election);
    v2_expect(&rig, "GET", "/v2/keys/a?ttl=x", "", 400,
              "{\"errorCode\":202,\"message\":\"The given TTL in POST form is not a number\","
              "\"cause\":\"invalid value for \\\"ttl\\\"\",\"index\":0}\n");
    v2_expect(&rig, "GET", "/v2/machines", "", 200, "http://127.0.0.1:2379");
    v2_expect(&rig, "GET", "/v2/members", "", 503, "{\"message\":\"During election\"}");
    v2_expect(&rig, "GET", "/v2/members/leader", "", 503, "{\"message\":\"During election\"}");
    v2_expect(&rig, "GET", "/v2/stats/leader", "", 403, "{\"message\":\"not current leader\"}");
    rig.has_node = true;
    v2_until(&rig, v2_is_ready, NULL, "the store again");
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/keys/a", "");
    assert_int_equal(fake->status, 404);
    fake_free(fake);
}

static bool has_no_leader(struct v2_rig *any, void *arg)
{
    (void)arg;
    return !etcd_service_has_leader(any->service);
}

static void without_a_quorum_reads_of_what_is_here_go_on(void **state)
{
    (void)state;
    v2_close(&rig);
    v2_open(&rig, 2, false);
    write_key("/a", "value=1");
    struct fake_exchange *watch = watch_key("/v2/keys/a?wait=true");
    member_stop(&rig.group, 1);
    uint64_t asked = uv_hrtime();
    struct fake_exchange *fake = v2_ask(&rig, "PUT", "/v2/keys/a", "value=2");
    assert_int_equal(fake->status, 500);
    assert_true(uv_hrtime() - asked < (uint64_t)5 * ELECTION_MS * 1000000);
    fake_free(fake);
    v2_until(&rig, has_no_leader, NULL, "nobody leads");
    fake = v2_ask(&rig, "GET", "/v2/keys/a?quorum=true", "");
    assert_int_equal(fake->status, 500);
    assert_non_null(strstr(buf_str(&fake->body), "\"errorCode\":30"));
    fake_free(fake);
    fake = v2_ask(&rig, "GET", "/v2/keys/a", "");
    assert_int_equal(fake->status, 200);
    fake_free(fake);
    fake = v2_ask(&rig, "GET", "/v2/members/leader", "");
    assert_int_equal(fake->status, 503);
    fake_free(fake);
    fake = v2_ask(&rig, "GET", "/v2/stats/self", "");
    assert_non_null(strstr(buf_str(&fake->body), "\"leaderInfo\":{\"leader\":\"0\""));
    fake_free(fake);
    assert_false(watch->ended);
    v2_hang_up(watch);
    v2_close(&rig);
    v2_open(&rig, 1, false);
}

static void a_write_under_way_is_answered_when_the_service_stops(void **state)
{
    (void)state;
    v2_close(&rig);
    v2_open(&rig, 1, false);
    struct fake_exchange *fake = fake_new("PUT", "/v2/keys/a", "value=1");
    v2_serve(&rig, fake);
    assert_false(fake->ended);
    v2_close(&rig);
    assert_true(fake->ended);
    assert_int_equal(fake->status, 500);
    fake_free(fake);
    v2_open(&rig, 1, false);
}

/* --- users ------------------------------------------------------------------------------------ */

/* `body` NULL: whatever it is. */
static void expect_user_body(const char *method, const char *target, const char *authorization,
                             int status, const char *body)
{
    struct fake_exchange *fake = fake_new(method, target, "");
    fake->authorization = authorization;
    v2_serve(&rig, fake);
    v2_until(&rig, v2_has_ended, fake, target);
    if (fake->status != status) {
        fail_msg("%s %s: %d, not %d", method, target, fake->status, status);
    }
    if (body != NULL) {
        assert_string_equal(buf_str(&fake->body), body);
    }
    fake_free(fake);
}

static void expect_user(const char *method, const char *target, const char *authorization,
                        int status)
{
    expect_user_body(method, target, authorization, status, NULL);
}

#define ROOT_ROLE \
    "{\"role\":\"root\",\"permissions\":{\"kv\":{\"read\":[\"/*\"],\"write\":[\"/*\"]}}}"

static void a_user_is_asked_for_where_the_configuration_names_one(void **state)
{
    static const char good[] = "Basic cm9vdDpzZWNyZXQ="; /* root:secret */
    static const char bad[] = "Basic cm9vdDpzZWNyZXR0";  /* root:secrett */
    (void)state;
    v2_close(&rig);
    v2_open(&rig, 1, true);
    v2_expect(&rig, "GET", "/v2/keys/a", "", 401,
              "{\"errorCode\":110,\"message\":\"The request requires user authentication\","
              "\"cause\":\"Insufficient credentials\",\"index\":0}\n");
    expect_user("PUT", "/v2/keys/a", NULL, 401);
    expect_user("PUT", "/v2/keys/a", bad, 401);
    expect_user("PUT", "/v2/keys/a", good, 201);
    expect_user("GET", "/v2/keys/a?wait=true&waitIndex=1", bad, 401);
    expect_user("GET", "/v2/keys/a?prevIndex=x", NULL, 400); /* what is no request comes first */
    expect_user("GET", "/v2/machines", NULL, 200);
    expect_user("GET", "/v2/members", NULL, 200);
    v2_expect(&rig, "POST", "/v2/members", "", 401, "{\"message\":\"Insufficient credentials\"}");
    expect_user("DELETE", "/v2/members/1", good, 403);
    v2_expect(&rig, "GET", "/v2/auth/enable", "", 200, "{\"enabled\":true}\n");
    expect_user("PUT", "/v2/auth/enable", NULL, 401);
    expect_user("DELETE", "/v2/auth/enable", good, 403);
    expect_user("GET", "/v2/auth/users", NULL, 401);
    expect_user_body("GET", "/v2/auth/users", good, 200,
                     "{\"users\":[{\"user\":\"root\",\"roles\":[" ROOT_ROLE "]}]}\n");
    expect_user_body("GET", "/v2/auth/users/root", good, 200,
                     "{\"user\":\"root\",\"roles\":[" ROOT_ROLE "]}\n");
    expect_user_body("GET", "/v2/auth/roles/root", good, 200, ROOT_ROLE "\n");
    expect_user("GET", "/v2/auth/roles/x", good, 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_poll_gets_its_head_at_once_and_one_event),
        cmocka_unit_test(a_future_index_is_waited_for),
        cmocka_unit_test(a_stream_gets_each_event_that_is_for_it),
        cmocka_unit_test(a_stream_goes_on_from_the_history),
        cmocka_unit_test(the_end_of_a_directory_is_heard_below_it),
        cmocka_unit_test(the_end_of_a_ttl_is_an_event),
        cmocka_unit_test(history_that_is_cleared_is_refused),
        cmocka_unit_test(a_stream_that_nobody_reads_is_cut),
        cmocka_unit_test(an_event_that_no_client_leaves_room_for_ends_the_watch),
        cmocka_unit_test(whoever_is_gone_before_the_head_leaves_nothing),
        cmocka_unit_test(too_many_watches_are_refused),
        cmocka_unit_test(a_leader_key_of_an_agent_is_touched_by_nobody_else),
        cmocka_unit_test(a_ttl_counts_down_and_is_told_of_what_was_replaced),
        cmocka_unit_test(a_ttl_is_bounded_by_what_a_lease_can_have),
        cmocka_unit_test(keys_have_a_length),
        cmocka_unit_test(members_are_told),
        cmocka_unit_test(the_membership_is_not_changed_here),
        cmocka_unit_test(statistics_count_what_was_asked_here),
        cmocka_unit_test(statistics_name_the_leader),
        cmocka_unit_test(without_a_store_everything_is_refused_at_once),
        cmocka_unit_test(without_a_quorum_reads_of_what_is_here_go_on),
        cmocka_unit_test(a_write_under_way_is_answered_when_the_service_stops),
        cmocka_unit_test(a_user_is_asked_for_where_the_configuration_names_one),
    };
    return cmocka_run_group_tests(tests, v2_open_one, v2_close_one);
}
