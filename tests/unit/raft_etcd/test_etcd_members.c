/* Who is told to be a member, and where its clients are to go: by both APIs, on real members. */
#include "tests/unit/raft_etcd/recorded_call.h"
#include "tests/unit/raft_etcd/v2_rig.h"

#include "raft/etcd/etcd_members.h"

#include <signal.h>

/* --- lists of URLs ---------------------------------------------------------------------------- */

static void lists_of_urls_are_split(void **state)
{
    static const struct {
        const char *list;
        size_t count;
        const char *urls[3];
    } known[] = {{"", 0, {0}},
                 {", ,,", 0, {0}},
                 {"http://a:1", 1, {"http://a:1"}},
                 {" http://a:1 ,,https://b:2", 2, {"http://a:1", "https://b:2"}},
                 {"a,b,c", 3, {"a", "b", "c"}}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct span *urls;
        size_t count = etcd_urls_split(span_str(known[i].list), &urls);
        assert_int_equal(count, known[i].count);
        for (size_t j = 0; j < count; j++) {
            assert_true(span_equal_str(urls[j], known[i].urls[j]));
        }
        mem_free(urls);
    }
}

/* --- one that nobody knows yet ---------------------------------------------------------------- */

static void serve(bool peers_use_tls)
{
    struct etcd_service_config config = {.loop = &rig.group.loop,
                                         .clock = clock_real(),
                                         .random = random_real(),
                                         .node = v2_node,
                                         .arg = &rig,
                                         .election_timeout_ms = ELECTION_MS,
                                         .client_urls = "http://n:2379,http://m:2379",
                                         .peers_use_tls = peers_use_tls};
    rig.stopped = false;
    rig.service = etcd_service_new(&config);
}

static void stop(void)
{
    etcd_service_stop(rig.service, v2_on_stopped, &rig);
    rig.service = NULL;
    v2_until(&rig, v2_has_stopped, NULL, "the service stops");
}

/* Two voters, of which the second is not connected any more: so format 2 is not opened, and nothing
 * is published of where clients are served. */
static int open_two(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig_init(&rig.group, 2, NULL);
    member_start(&rig.group, 0);
    member_start(&rig.group, 1);
    wait_for(&rig.group, all_connected, NULL, 10000, "the members know each other");
    member_stop(&rig.group, 1);
    rig.has_node = true;
    return 0;
}

static int close_two(void **state)
{
    (void)state;
    rig_free(&rig.group);
    return 0;
}

/* As v2 writes it, or v3. */
static void put_member(struct buf *out, const struct raft_member_status *member, const char *scheme,
                       const char *client_urls, bool v3)
{
    if (v3) {
        buf_printf(out, "{\"ID\":\"%llu\"", (unsigned long long)member->id);
    } else {
        buf_printf(out, "{\"id\":\"%llx\"", (unsigned long long)member->id);
    }
    buf_printf(out, ",\"name\":\"%s\",\"peerURLs\":[\"%s%s\"]%s}", member->name, scheme,
               member->address, client_urls);
}

static void check_lists(const char *scheme)
{
    static const char own[] = ",\"clientURLs\":[\"http://n:2379\",\"http://m:2379\"]";
    static struct recorded recorded;
    static struct raft_status status;
    struct buf v2 = BUF_INIT;
    struct buf v3 = BUF_INIT;
    raft_node_status(v2_node(&rig), &status);
    assert_int_equal(status.member_count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_own = status.members[i].id == status.id;
        buf_put_str(&v2, i == 0 ? "{\"members\":[" : ",");
        put_member(&v2, &status.members[i], scheme, is_own ? own : ",\"clientURLs\":[]", false);
        buf_put_str(&v3, i == 0 ? "\"members\":[" : ",");
        put_member(&v3, &status.members[i], scheme, is_own ? own : "", true);
    }
    buf_put_str(&v2, "]}\n");
    v2_expect(&rig, "GET", "/v2/members", "", 200, buf_str(&v2));
    record_call(rig.service, "/cluster/member/list", &recorded);
    call_send(&recorded, "{}");
    assert_true(recorded.finished);
    assert_non_null(strstr(buf_str(&recorded.replies), buf_str(&v3)));
    call_close(&recorded);
    buf_free(&recorded.replies);
    buf_free(&v2);
    buf_free(&v3);
}

static void who_has_published_nothing_is_listed_all_the_same(void **state)
{
    (void)state;
    serve(false);
    assert_false(etcd_service_is_ready(rig.service));
    check_lists("http://");
    v2_expect(&rig, "GET", "/v2/machines", "", 200, "http://m:2379, http://n:2379");
    stop();
}

/* Others hear of them when they are published. */
static void this_member_has_the_urls_of_its_configuration(void **state)
{
    (void)state;
    v2_open(&rig, 1, false);
    v2_expect(&rig, "GET", "/v2/machines", "", 200, "http://127.0.0.1:2379");
    stop();
    serve(false);
    v2_expect(&rig, "GET", "/v2/machines", "", 200, "http://m:2379, http://n:2379");
    v2_close(&rig);
}

static void peers_that_use_tls_are_told_so(void **state)
{
    (void)state;
    serve(true);
    check_lists("https://");
    stop();
}

/* python-etcd takes another id than before for another cluster, and gives up. */
static void the_cluster_has_its_id_or_none(void **state)
{
    static struct raft_status status;
    char id[32];
    (void)state;
    serve(false);
    raft_node_status(v2_node(&rig), &status);
    (void)snprintf(id, sizeof id, "%llx", (unsigned long long)status.cluster);
    struct fake_exchange *fake = v2_ask(&rig, "GET", "/v2/keys/a", "");
    assert_int_equal(fake->status, 500);
    assert_string_equal(fake_answer_header(fake, "X-Etcd-Cluster-Id"), id);
    fake_free(fake);
    stop();
    rig.has_node = false;
    serve(false);
    static const char *const paths[] = {"/v2/keys/a", "/v2/members", "/v2/members/leader"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        fake = v2_ask(&rig, "GET", paths[i], "");
        assert_true(fake->status >= 500);
        assert_string_equal(fake_answer_header(fake, "X-Etcd-Cluster-Id"), "");
        fake_free(fake);
    }
    stop();
    rig.has_node = true;
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_urls_are_split),
        cmocka_unit_test_setup_teardown(who_has_published_nothing_is_listed_all_the_same, open_two,
                                        close_two),
        cmocka_unit_test(this_member_has_the_urls_of_its_configuration),
        cmocka_unit_test_setup_teardown(peers_that_use_tls_are_told_so, open_two, close_two),
        cmocka_unit_test_setup_teardown(the_cluster_has_its_id_or_none, open_two, close_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
