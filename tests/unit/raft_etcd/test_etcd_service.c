/* Commands, reads, identity and news of the service, on real members: alone, and as three. */
#include "service_fixture.h"

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* --- one member ------------------------------------------------------------------------------- */

static void a_command_and_a_read_come_through(void **state)
{
    struct outcome put;
    struct outcome read;
    struct store_kv kv;
    (void)state;
    ask_put(0, "k", "v", &put);
    ask_read(0, &read);
    await_outcome(&put);
    await_outcome(&read);
    assert_int_equal(put.rc, 0);
    assert_int_equal(put.code, 0);
    assert_true(put.has_output);
    assert_int_equal(put.revision, store_revision(etcd_service_store(served[0].service)));
    assert_int_equal(read.rc, 0);
    assert_true(store_get(etcd_service_store(served[0].service), span_str("k"), &kv));
}

static void refusals_are_results(void **state)
{
    static const struct {
        struct store_result result;
        enum etcd_error error;
    } refusals[] = {
        {{.code = ERR_NOT_FOUND, .reason = STORE_COMPACTED}, ETCD_ERROR_COMPACTED},
        {{.code = ERR_INVALID, .reason = STORE_FUTURE}, ETCD_ERROR_FUTURE_REVISION},
        {{.code = ERR_NOT_FOUND, .reason = STORE_KEY_NOT_FOUND}, ETCD_ERROR_KEY_NOT_FOUND},
        {{.code = ERR_NOT_FOUND, .reason = STORE_LEASE_NOT_FOUND}, ETCD_ERROR_LEASE_NOT_FOUND},
        {{.code = ERR_REFUSED, .reason = STORE_HOLDERS}, ETCD_ERROR_PERMISSION_DENIED},
        {{.code = ERR_LIMIT, .reason = STORE_FULL}, ETCD_ERROR_NO_SPACE},
        {{.code = ERR_INVALID, .reason = STORE_KEY_MISSING}, ETCD_ERROR_EMPTY_KEY},
        {{.code = ERR_INVALID, .reason = STORE_VALUE_PROVIDED}, ETCD_ERROR_VALUE_PROVIDED},
        {{.code = ERR_INVALID, .reason = STORE_LEASE_PROVIDED}, ETCD_ERROR_LEASE_PROVIDED},
        {{.code = ERR_INVALID, .reason = STORE_DUPLICATE_KEY}, ETCD_ERROR_DUPLICATE_KEY},
        {{.code = ERR_LIMIT, .reason = STORE_TOO_MANY_OPS}, ETCD_ERROR_TOO_MANY_OPS},
        {{.code = ERR_NOT_FOUND}, ETCD_ERROR_LEASE_NOT_FOUND},
        {{.code = ERR_EXISTS}, ETCD_ERROR_LEASE_EXISTS},
        {{.code = ERR_REFUSED}, ETCD_ERROR_PERMISSION_DENIED},
        {{.code = ERR_LIMIT}, ETCD_ERROR_NO_SPACE},
        {{.code = ERR_INVALID}, ETCD_ERROR_UNHEALTHY},
    };
    struct store_command revoke = {.type = STORE_LEASE_REVOKE, .lease = 9};
    struct outcome outcome = {.times = 0};
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        assert_int_equal(etcd_service_refusal(&refusals[i].result), refusals[i].error);
    }
    etcd_service_propose(served[0].service, &revoke, on_outcome, &outcome);
    await_outcome(&outcome);
    assert_int_equal(outcome.rc, 0);
    assert_int_equal(outcome.code, ERR_NOT_FOUND);
}

static void what_is_too_large_is_never_sent(void **state)
{
    static char key[STORE_KEY_BYTES_MAX + 2];
    struct outcome outcome;
    (void)state;
    memset(key, 'k', sizeof key - 1);
    ask_put(0, key, "v", &outcome);
    await_outcome(&outcome);
    check_failed(&outcome, ERR_UNAVAILABLE, ETCD_ERROR_REQUEST_TOO_LARGE);
}

static void the_header_says_who_answers(void **state)
{
    struct raft_status status;
    struct etcd_header header;
    (void)state;
    raft_node_status(served_node(&served[0]), &status);
    etcd_service_header(served[0].service, &header);
    assert_true(header.cluster_id == status.cluster && header.member_id == status.id);
    assert_int_equal(header.raft_term, status.term);
    assert_int_equal(header.revision, status.revision);
    assert_true(header.raft_term > 0 && header.revision > 0);
}

static bool is_published(struct rig *of, void *arg)
{
    size_t at = *(size_t *)arg;
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(raft_node_store(node_of(of, 0)), members, STORE_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (span_equal_str(members[i].name, of->members[at].name)) {
            return span_equal_str(members[i].client_urls, urls[at]);
        }
    }
    return false;
}

static void client_urls_are_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < rig.count; i++) {
        wait_for(&rig, is_published, &i, 10000, "the client URLs are in the store");
    }
}

static void without_a_member_the_answer_is_no_leader(void **state)
{
    struct outcome put;
    struct outcome read;
    (void)state;
    served[0].without_node = true;
    uint64_t from = now_ms();
    ask_put(0, "k", "v", &put);
    ask_read(0, &read);
    await_outcome(&put);
    await_outcome(&read);
    check_failed(&put, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    check_failed(&read, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    assert_true(now_ms() - from >= (uint64_t)2 * ELECTION_MS);
    assert_true(now_ms() - from < (uint64_t)2 * ELECTION_MS + 1000);
    assert_false(etcd_service_is_ready(served[0].service));
    assert_null(etcd_service_store(served[0].service));
}

static void what_waits_for_a_leader_is_sent_when_there_is_one(void **state)
{
    struct outcome put;
    struct outcome read;
    (void)state;
    served[0].without_node = true;
    ask_put(0, "k", "v", &put);
    ask_read(0, &read);
    run_for(&rig, ELECTION_MS);
    assert_int_equal(put.times + read.times, 0);
    served[0].without_node = false;
    await_outcome(&put);
    await_outcome(&read);
    assert_int_equal(put.rc, 0);
    assert_int_equal(put.code, 0);
    assert_int_equal(read.rc, 0);
}

/* More than the member takes at once wait here; more than that is refused. */
static void what_waits_is_bounded(void **state)
{
    static struct outcome outcomes[ETCD_SERVICE_PENDING_MAX + 1];
    (void)state;
    for (size_t i = 0; i <= ETCD_SERVICE_PENDING_MAX; i++) {
        ask_put(0, "k", "v", &outcomes[i]);
    }
    for (size_t i = 0; i <= ETCD_SERVICE_PENDING_MAX; i++) {
        await_outcome(&outcomes[i]);
        if (i < ETCD_SERVICE_PENDING_MAX) {
            assert_int_equal(outcomes[i].rc, 0);
            assert_true(i == 0 || outcomes[i].revision > outcomes[i - 1].revision);
        }
    }
    check_failed(&outcomes[ETCD_SERVICE_PENDING_MAX], ERR_UNAVAILABLE,
                 ETCD_ERROR_TOO_MANY_REQUESTS);
}

static void on_own_read(void *arg, int rc, const struct store_result *result)
{
    struct answer *answer = arg;
    (void)result;
    answer->done = true;
    answer->rc = rc;
}

static void reads_leave_room_for_the_member(void **state)
{
    static struct outcome outcomes[RAFT_NODE_PENDING_MAX];
    struct answer answer = {.done = false};
    (void)state;
    for (size_t i = 0; i < RAFT_NODE_PENDING_MAX; i++) {
        ask_read(0, &outcomes[i]);
    }
    assert_int_equal(raft_node_read(served_node(&served[0]), 1000, on_own_read, &answer, NULL), 0);
    for (size_t i = 0; i < RAFT_NODE_PENDING_MAX; i++) {
        await_outcome(&outcomes[i]);
        assert_int_equal(outcomes[i].rc, 0);
    }
    wait_for(&rig, is_answered, &answer, 2000, "the member's own read");
    assert_int_equal(answer.rc, 0);
}

static void held_bytes_are_bounded(void **state)
{
    enum { LARGE = 1024 * 1024, COUNT = 33 };
    static struct outcome outcomes[COUNT];
    char *value = mem_alloc(LARGE);
    (void)state;
    memset(value, 'v', LARGE - 1);
    served[0].without_node = true;
    for (size_t i = 0; i < COUNT; i++) {
        ask_put(0, "k", value, &outcomes[i]);
    }
    await_outcome(&outcomes[COUNT - 1]);
    check_failed(&outcomes[COUNT - 1], ERR_UNAVAILABLE, ETCD_ERROR_TOO_MANY_REQUESTS);
    assert_int_equal(outcomes[0].times, 0);
    await_outcome(&outcomes[0]);
    check_failed(&outcomes[0], ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    mem_free(value);
}

static void at_the_stop_everything_is_cancelled(void **state)
{
    struct outcome given;
    struct outcome held;
    struct outcome late;
    struct etcd_service *service = served[0].service;
    (void)state;
    ask_put(0, "k", "v", &given);
    served[0].without_node = true;
    ask_put(0, "k", "v", &held);
    served[0].service = NULL;
    etcd_service_stop(service, on_stopped, &served[0]);
    check_failed(&given, ERR_CANCELED, ETCD_ERROR_STOPPED);
    check_failed(&held, ERR_CANCELED, ETCD_ERROR_STOPPED);
    memset(&late, 0, sizeof late);
    etcd_service_read(service, on_outcome, &late);
    assert_int_equal(late.times, 0);
    wait_for(&rig, is_stopped, &served[0], 5000, "the service stops");
    check_failed(&late, ERR_CANCELED, ETCD_ERROR_STOPPED);
}

static void when_the_member_stops_a_write_is_of_unknown_outcome(void **state)
{
    struct outcome put;
    struct outcome read;
    (void)state;
    ask_put(0, "k", "v", &put);
    ask_read(0, &read);
    member_stop(&rig, 0);
    await_outcome(&put);
    check_failed(&put, ERR_UNKNOWN, ETCD_ERROR_STOPPED);
    check_failed(&read, ERR_UNAVAILABLE, ETCD_ERROR_STOPPED);
}

/* --- listeners -------------------------------------------------------------------------------- */

struct hearer {
    struct etcd_listener listener;
    unsigned times;
    struct hearer *removes;
    struct hearer *adds;
};

static void on_news(void *arg)
{
    struct hearer *hearer = arg;
    hearer->times++;
    if (hearer->removes != NULL) {
        etcd_service_unlisten(served[0].service, &hearer->removes->listener);
        hearer->removes = NULL;
    }
    if (hearer->adds != NULL) {
        etcd_service_listen(served[0].service, &hearer->adds->listener);
        hearer->adds = NULL;
    }
}

static void hearer_init(struct hearer *hearer)
{
    *hearer = (struct hearer){.listener = {.on_change = on_news, .arg = hearer}};
}

static void listeners_come_and_go_from_inside(void **state)
{
    struct hearer hearers[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        hearer_init(&hearers[i]);
    }
    etcd_service_unlisten(served[0].service, &hearers[0].listener); /* it does not listen */
    for (size_t i = 3; i > 0; i--) {
        etcd_service_listen(served[0].service, &hearers[i - 1].listener);
    }
    hearers[0].removes = &hearers[1]; /* the next one */
    hearers[2].removes = &hearers[2]; /* itself */
    hearers[2].adds = &hearers[3];
    etcd_service_on_change(served[0].service);
    assert_int_equal(hearers[0].times, 1);
    assert_int_equal(hearers[1].times, 0);
    assert_int_equal(hearers[2].times, 1);
    assert_int_equal(hearers[3].times, 0);
    etcd_service_on_change(served[0].service);
    assert_int_equal(hearers[0].times, 2);
    assert_int_equal(hearers[2].times, 1);
    assert_int_equal(hearers[3].times, 1);
    etcd_service_unlisten(served[0].service, &hearers[0].listener);
    etcd_service_unlisten(served[0].service, &hearers[3].listener);
}

static void listeners_hear_of_changes(void **state)
{
    struct hearer hearer;
    struct outcome put;
    (void)state;
    hearer_init(&hearer);
    etcd_service_listen(served[0].service, &hearer.listener);
    ask_put(0, "k", "v", &put);
    await_outcome(&put);
    run_for(&rig, 20);
    assert_true(hearer.times > 0);
    etcd_service_unlisten(served[0].service, &hearer.listener);
}

/* --- three members ---------------------------------------------------------------------------- */

static void every_member_serves_and_sees_what_the_others_wrote(void **state)
{
    struct outcome outcome;
    struct store_kv kv;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ask_put(i, "k", urls[i], &outcome);
        await_outcome(&outcome);
        assert_int_equal(outcome.rc, 0);
        assert_true(outcome.has_output);
        size_t other = (i + 1) % 3;
        ask_read(other, &outcome);
        await_outcome(&outcome);
        assert_int_equal(outcome.rc, 0);
        assert_true(store_get(etcd_service_store(served[other].service), span_str("k"), &kv));
        assert_true(span_equal_str(kv.value, urls[i]));
    }
}

static size_t a_follower(void)
{
    return ((size_t)leader_of(&rig) + 1) % 3;
}

/* What is asked while there is a leader in sight has been sent; what is asked later has not. */
static void without_a_quorum_answers_come_soon_and_are_honest(void **state)
{
    struct outcome sent;
    struct outcome read;
    struct outcome unsent;
    size_t alone = a_follower();
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        if (i != alone) {
            member_stop(&rig, i);
        }
    }
    uint64_t from = now_ms();
    ask_put(alone, "sent", "v", &sent);
    ask_read(alone, &read);
    await_outcome(&sent);
    await_outcome(&read);
    assert_true(now_ms() - from < (uint64_t)5 * ELECTION_MS + 500);
    check_failed(&read, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    assert_true(sent.rc == ERR_UNKNOWN || sent.rc == ERR_UNAVAILABLE);
    assert_int_equal(sent.error,
                     sent.rc == ERR_UNKNOWN ? ETCD_ERROR_TIMEOUT : ETCD_ERROR_NO_LEADER);
    assert_false(etcd_service_has_leader(served[alone].service));
    from = now_ms();
    ask_put(alone, "unsent", "v", &unsent);
    await_outcome(&unsent);
    check_failed(&unsent, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    assert_true(now_ms() - from >= (uint64_t)2 * ELECTION_MS);
    assert_true(now_ms() - from < (uint64_t)2 * ELECTION_MS + 500);
    struct store_kv kv;
    for (size_t i = 0; i < 3; i++) {
        if (i != alone) {
            member_start(&rig, i);
        }
    }
    await_ready(alone);
    ask_read(alone, &read);
    await_outcome(&read);
    assert_int_equal(read.rc, 0);
    assert_false(store_get(etcd_service_store(served[alone].service), span_str("unsent"), &kv));
}

/* A leader that lost the others had the write in its log: nobody can say. */
static void a_leader_alone_says_that_a_write_may_have_happened(void **state)
{
    struct outcome put;
    size_t alone = (size_t)leader_of(&rig);
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        if (i != alone) {
            member_stop(&rig, i);
        }
    }
    ask_put(alone, "k", "v", &put);
    await_outcome(&put);
    check_failed(&put, ERR_UNKNOWN, ETCD_ERROR_TIMEOUT);
}

static void the_term_never_falls(void **state)
{
    struct etcd_header before;
    struct etcd_header after;
    size_t alone = a_follower();
    (void)state;
    etcd_service_header(served[alone].service, &before);
    for (size_t i = 0; i < 3; i++) {
        if (i != alone) {
            member_stop(&rig, i);
        }
    }
    for (int i = 0; i < 20; i++) {
        run_for(&rig, ELECTION_MS / 5);
        etcd_service_header(served[alone].service, &after);
        assert_true(after.raft_term >= before.raft_term);
        assert_true(after.cluster_id == before.cluster_id && after.member_id == before.member_id);
    }
    member_stop(&rig, alone); /* there is no member at all */
    etcd_service_on_change(served[alone].service);
    etcd_service_header(served[alone].service, &after);
    assert_true(after.raft_term >= before.raft_term);
    assert_true(after.cluster_id == before.cluster_id);
    assert_int_equal(after.revision, 0);
}

static bool all_are_members(struct rig *of, void *arg)
{
    static struct raft_status status;
    (void)arg;
    for (size_t i = 0; i < of->count; i++) {
        if (node_of(of, i) == NULL) {
            return false;
        }
        raft_node_status(node_of(of, i), &status);
        for (size_t j = 0; j < status.member_count; j++) {
            if (!status.members[j].voter || status.members[j].name[0] == '\0') {
                return false;
            }
        }
    }
    return leader_of(of) >= 0;
}

static bool is_warned(struct rig *of, void *arg)
{
    struct served *one = arg;
    (void)of;
    return strstr(one->warnings, "not served yet: member ") != NULL;
}

/* The first of the pair sees no connection with the second. */
static bool is_seen_away(struct rig *of, void *arg)
{
    const size_t *pair = arg;
    static struct raft_status status;
    raft_node_status(node_of(of, pair[0]), &status);
    for (size_t i = 0; i < status.member_count; i++) {
        if (strcmp(status.members[i].name, of->members[pair[1]].name) == 0) {
            return !status.members[i].connected;
        }
    }
    return false;
}

static void format_2_waits_for_every_member(void **state)
{
    struct outcome outcome;
    (void)state;
    memset(served, 0, sizeof served);
    rig_init(&rig, 3, PASSWORD);
    members_start(&rig);
    wait_for(&rig, all_are_members, NULL, 10000, "the members elect a leader");
    size_t away = a_follower();
    size_t here = (size_t)leader_of(&rig);
    size_t pair[] = {here, away};
    member_stop(&rig, away);
    wait_for(&rig, is_seen_away, pair, 5000, "the connection is gone");
    run_for(&rig, ELECTION_MS); /* and the one that it had made to us */
    serve(here);
    wait_for(&rig, is_warned, &served[here], 5000, "it is said who is missing");
    ask_put(here, "k", "v", &outcome);
    await_outcome(&outcome);
    check_failed(&outcome, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
    assert_false(etcd_service_is_ready(served[here].service));
    assert_ptr_equal(strchr(served[here].warnings, '\n'), strrchr(served[here].warnings, '\n'));
    member_start(&rig, away);
    await_ready(here);
    ask_put(here, "k", "v", &outcome);
    await_outcome(&outcome);
    assert_int_equal(outcome.rc, 0);
}

static void leadership_is_moved(void **state)
{
    struct outcome outcome = {.times = 0};
    struct raft_status status;
    size_t to = a_follower();
    size_t from = (size_t)leader_of(&rig);
    (void)state;
    raft_node_status(node_of(&rig, to), &status);
    etcd_service_move_leader(served[to].service, status.id, on_outcome, &outcome);
    assert_int_equal(outcome.times, 0);
    await_outcome(&outcome);
    check_failed(&outcome, ERR_UNAVAILABLE, ETCD_ERROR_NOT_LEADER);
    memset(&outcome, 0, sizeof outcome);
    etcd_service_move_leader(served[from].service, status.id + 1, on_outcome, &outcome);
    await_outcome(&outcome);
    check_failed(&outcome, ERR_UNAVAILABLE, ETCD_ERROR_BAD_LEADER_TRANSFEREE);
    memset(&outcome, 0, sizeof outcome);
    etcd_service_move_leader(served[from].service, status.id, on_outcome, &outcome);
    await_outcome(&outcome);
    assert_int_equal(outcome.rc, 0);
    raft_node_status(node_of(&rig, from), &status);
    assert_int_equal(leader_of(&rig), (int)to);
}

#define ONE(name)   cmocka_unit_test_setup_teardown(name, serve_one, serve_ends)
#define THREE(name) cmocka_unit_test_setup_teardown(name, serve_three, serve_ends)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        ONE(a_command_and_a_read_come_through),
        ONE(refusals_are_results),
        ONE(what_is_too_large_is_never_sent),
        ONE(the_header_says_who_answers),
        ONE(client_urls_are_published),
        ONE(without_a_member_the_answer_is_no_leader),
        ONE(what_waits_for_a_leader_is_sent_when_there_is_one),
        ONE(what_waits_is_bounded),
        ONE(reads_leave_room_for_the_member),
        ONE(held_bytes_are_bounded),
        ONE(at_the_stop_everything_is_cancelled),
        ONE(when_the_member_stops_a_write_is_of_unknown_outcome),
        ONE(listeners_come_and_go_from_inside),
        ONE(listeners_hear_of_changes),
        THREE(every_member_serves_and_sees_what_the_others_wrote),
        THREE(client_urls_are_published),
        THREE(without_a_quorum_answers_come_soon_and_are_honest),
        THREE(a_leader_alone_says_that_a_write_may_have_happened),
        THREE(the_term_never_falls),
        THREE(leadership_is_moved),
        cmocka_unit_test_teardown(format_2_waits_for_every_member, serve_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
