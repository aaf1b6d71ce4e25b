/* Watches on real members: the stream of one voter, and the model of watcher_model.h over three,
 * one of which goes and comes back. */
#include "service_fixture.h"

enum { MEMBERS = 3, EVENTS_MAX = 2000, STEPS = 1500, STOP_AT = 500, START_AT = 900 };

#include "fake_call.h"
#include "watcher_model.h"

/* One that serves: a member that has just come back has no store yet. */
static struct etcd_service *model_service(int member)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        struct etcd_service *service = served[((size_t)member + i) % MEMBERS].service;
        if (service != NULL && etcd_service_is_ready(service)) {
            return service;
        }
    }
    fail_msg("no member serves");
    return NULL;
}

/* While there is no leader nothing is applied, and the next member is asked. */
static void model_submit(const struct store_command *command)
{
    struct outcome outcome = {.rc = ERR_UNAVAILABLE};
    for (int i = 0; i < 20 && outcome.rc == ERR_UNAVAILABLE; i++) {
        memset(&outcome, 0, sizeof outcome);
        etcd_service_propose(model_service(dice(MEMBERS)), command, on_outcome, &outcome);
        await_outcome(&outcome);
    }
    assert_string_equal(err_name(outcome.rc), err_name(0));
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.revision, model.revision);
}

/* --- one voter -------------------------------------------------------------------------------- */

static bool has_replies(struct rig *of, void *arg)
{
    (void)of;
    const struct fake_call *call = arg;
    return call->replies >= 4;
}

static void a_stream_follows_what_one_voter_commits(void **state)
{
    (void)state;
    static struct fake_call call;
    struct outcome outcomes[3];
    serve_all(1);
    fake_call_open(&call, served[0].service);
    fake_call_say(&call, "{\"create_request\":{\"key\":\"L2E=\",\"range_end\":\"L2I=\"}}");
    const struct store *store = etcd_service_store(served[0].service);
    int64_t revision = store_revision(store);
    char expected[1024];
    assert_true(call.header.cluster_id != 0 && call.header.member_id != 0);
    assert_true(call.header.raft_term > 0);
    (void)snprintf(expected, sizeof expected,
                   "{\"header\":{\"revision\":\"%lld\"},\"created\":true}\n", (long long)revision);
    assert_told(&call, expected);
    ask_put(0, "/a1", "x", &outcomes[0]);
    await_outcome(&outcomes[0]);
    ask_put(0, "/b", "x", &outcomes[1]);
    await_outcome(&outcomes[1]);
    ask_put(0, "/a2", "y", &outcomes[2]);
    await_outcome(&outcomes[2]);
    fake_call_say(&call, "{\"progress_request\":{}}");
    wait_for(&rig, has_replies, &call, 5000, "two events and the progress");
    assert_int_equal(call.replies, 4);
    (void)snprintf(
        expected, sizeof expected,
        "{\"header\":{\"revision\":\"%lld\"},\"events\":[{\"kv\":{\"key\":\"L2Ex\","
        "\"create_revision\":\"%lld\",\"mod_revision\":\"%lld\",\"version\":\"1\",\"value\":"
        "\"eA==\"}}]}\n"
        "{\"header\":{\"revision\":\"%lld\"},\"events\":[{\"kv\":{\"key\":\"L2Ey\","
        "\"create_revision\":\"%lld\",\"mod_revision\":\"%lld\",\"version\":\"1\",\"value\":"
        "\"eQ==\"}}]}\n"
        "{\"header\":{\"revision\":\"%lld\"},\"watch_id\":\"-1\"}\n",
        (long long)revision + 1, (long long)revision + 1, (long long)revision + 1,
        (long long)revision + 3, (long long)revision + 3, (long long)revision + 3,
        (long long)revision + 3);
    assert_told(&call, expected);
    fake_call_close(&call);
    stop_all();
}

/* --- three members ---------------------------------------------------------------------------- */

/* As clients do when their member dies. */
static void member_leaves(size_t at)
{
    struct etcd_service *service = served[at].service;
    for (size_t i = 0; i < WATCHERS; i++) {
        struct listener *listener = &listeners[i];
        if (listener->watcher == NULL || listener->service != service) {
            continue;
        }
        int64_t next_revision = etcd_watcher_next_revision(listener->watcher);
        etcd_watcher_free(listener->watcher);
        listener->watcher = NULL;
        served[at].service = NULL; /* they go elsewhere */
        if (!listener->is_over) {
            listener_start(listener, next_revision);
        }
        served[at].service = service;
    }
    serve_stop(at);
    member_stop(&rig, at);
    wait_for(&rig, has_leader, NULL, 10000, "another one leads");
}

static bool all_have_all(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    for (size_t i = 0; i < WATCHERS; i++) {
        if (!listener_has_all(&listeners[i])) {
            return false;
        }
    }
    return true;
}

static void step(int number)
{
    if (number == STOP_AT) {
        member_leaves((size_t)leader_of(&rig));
    } else if (number == START_AT) {
        for (size_t i = 0; i < MEMBERS; i++) {
            if (served[i].service == NULL) {
                serve(i);
                member_start(&rig, i);
            }
        }
    }
    switch (dice(10)) {
    case 0:
    case 1: command_random(); break;
    case 2:
    case 3:
    case 4:
    case 5: listener_random(&listeners[dice(WATCHERS)]); break;
    default: (void)uv_run(&rig.loop, UV_RUN_NOWAIT); break;
    }
}

static void watchers_of_three_members_give_the_list_of_all_events(void **state)
{
    (void)state;
    serve_all(MEMBERS);
    struct outcome outcome;
    ask_put(0, "/k9", "", &outcome); /* no URLs are published any more when it is answered */
    await_outcome(&outcome);
    model_begin(7, etcd_service_store(served[0].service));
    model.revision = outcome.revision;
    for (int i = 0; i < STEPS; i++) {
        step(i);
    }
    listeners_resume();
    wait_for(&rig, all_have_all, NULL, 10000, "everybody gets everything");
    listeners_close();
    assert_true(events_given > 500);
    stop_all();
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_follows_what_one_voter_commits),
        cmocka_unit_test(watchers_of_three_members_give_the_list_of_all_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
