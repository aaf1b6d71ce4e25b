/* The view against members that tell it wrong, late, or without end. */
#include "tests/unit/agent_dcs/lease_fixture.h"

#define CONFIG "L3MveC9jb25maWc=" /* /s/x/config */

/* An answer of the watch with these events. */
static void tell(uint64_t cluster, const char *events)
{
    char *text =
        mem_printf("{\"result\":{\"header\":{\"cluster_id\":\"%llu\",\"member_id\":\"100\","
                   "\"revision\":\"9\",\"raft_term\":\"5\"},%s}}\n",
                   (unsigned long long)cluster, events);
    fake_tell(&fakes[0], text);
    mem_free(text);
}

#define EVENT(value, revision)                                                               \
    "{\"kv\":{\"key\":\"" CONFIG "\",\"create_revision\":\"2\",\"mod_revision\":\"" revision \
    "\",\"value\":\"" value "\"}}"

static void open_quiet(int members)
{
    const char *urls[FAKES_MAX];
    fakes_open(members);
    for (int i = 0; i < members; i++) {
        urls[i] = fakes[i].url;
    }
    store.revision = 2;
    store_put(CONFIG, "MQ==", 0);                                /* 1 */
    dcs = dcs_start(ETCD_V3, urls, (size_t)members, "n1", 2000); /* ranges come seldom */
    RUN_UNTIL(view_of(dcs) != NULL);
    RUN_UNTIL(seen_count("/v3/watch") == 1);
    run_ms(20);
    buf_clear(&seen);
}

static int setup_quiet(void **state)
{
    (void)state;
    open_quiet(1);
    return 0;
}

static int setup_quiet_two(void **state)
{
    (void)state;
    open_quiet(2);
    return 0;
}

#define QUIET(name) cmocka_unit_test_setup_teardown(name, setup_quiet, teardown)
#define TWO(name)   cmocka_unit_test_setup_teardown(name, setup_quiet_two, teardown)

static void watch_changes_the_view_without_a_range(void **state)
{
    (void)state;
    assert_true(key_is(dcs, "config", "1"));
    changes = 0;
    tell(77, "\"events\":[" EVENT("Mg==", "3") "," EVENT("Mw==", "4") "]");
    RUN_UNTIL(key_is(dcs, "config", "3"));
    assert_int_equal(changes, 1);
    assert_int_equal(view_of(dcs)->revision, 4);
    tell(77, "\"events\":[" EVENT("Mg==", "3") "]"); /* told twice */
    run_ms(20);
    assert_true(key_is(dcs, "config", "3"));
    tell(77, "\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":\"" CONFIG
             "\",\"mod_revision\":\"6\"}}]");
    RUN_UNTIL(key_is(dcs, "config", NULL));
    assert_int_equal(seen_count("range"), 0);
}

static void events_of_another_cluster_are_not_taken(void **state)
{
    (void)state;
    tell(78, "\"events\":[" EVENT("Mg==", "1000") "]");
    RUN_UNTIL(seen_count("/v3/kv/range") == 1); /* read again, and watched again */
    RUN_UNTIL(seen_count("/v3/watch") == 1);
    assert_true(key_is(dcs, "config", "1"));
    assert_int_equal(view_of(dcs)->revision, 2);
    assert_non_null(strstr(buf_str(&dcs_notes), "of another cluster"));
}

/* Half a revision would be taken for the whole of it, and what is read again for nothing new. */
static void answer_with_one_bad_event_is_not_taken_at_all(void **state)
{
    (void)state;
    store.revision = 3;
    store_put(CONFIG, "NA==", 0); /* 4 */
    tell(77, "\"events\":[" EVENT("Mg==", "3") ",{\"kv\":7}]");
    RUN_UNTIL(key_is(dcs, "config", "4"));
    assert_int_equal(seen_count("/v3/kv/range"), 1);
    assert_non_null(strstr(buf_str(&dcs_notes), "an event cannot be read"));
}

static void watch_that_is_cancelled_is_started_again_after_a_read(void **state)
{
    static const char *const ends[] = {"\"canceled\":true,\"compact_revision\":\"7\"",
                                       "\"canceled\":true,\"cancel_reason\":\"because\""};
    static const char *const words[] = {"compacted", "because"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&seen);
        store.revision++;
        store_put(CONFIG, "NA==", 0);
        tell(77, ends[i]);
        RUN_UNTIL(view_of(dcs)->revision == store.revision);
        RUN_UNTIL(seen_count("/v3/watch") == 1);
        char *start = mem_printf("%lld", (long long)store.revision + 1);
        assert_string_equal(text_in(json_object_get(last_body, "create_request"), "start_revision"),
                            start);
        mem_free(start);
        assert_non_null(strstr(buf_str(&dcs_notes), words[i]));
        run_ms(20);
    }
}

static const char *watch_says; /* NULL: it ends at once */

static bool watch_is_good_for_nothing(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/watch")) {
        return false;
    }
    if (watch_says == NULL) {
        fake_hang_up(request->peer);
    } else {
        fake_answer(request->peer, 200, "%s", watch_says);
    }
    return true;
}

/* A member that ends each watch at once is not asked thousands of times. */
static void watch_that_is_good_for_nothing_is_paced(void **state)
{
    static const char *const says[] = {
        "{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}",
        "{\"result\":{\"header\":{\"cluster_id\":\"77\"},\"canceled\":true}}",
        "{\"result\":{\"header\":{\"cluster_id\":\"1\"},\"created\":true}}",
        "}{",
        "404 page not found",
        "",
        NULL};
    (void)state;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        watch_says = says[i];
        hook = watch_is_good_for_nothing;
        fake_hang_up_all(&fakes[0]);
        run_ms(50);
        buf_clear(&seen);
        run_ms(1000);
        if (seen_count("/v3/watch") < 1 || seen_count("/v3/watch") > 7 ||
            seen_count("/v3/kv/range") > 8) {
            fail_msg("%s: %zu watches, %zu ranges", says[i], seen_count("/v3/watch"),
                     seen_count("/v3/kv/range"));
        }
    }
    hook = NULL;
    RUN_UNTIL(seen_count("/v3/watch") > 0);
    store.revision = 8;
    store_put(CONFIG, "OA==", 0);
    RUN_UNTIL(key_is(dcs, "config", "8"));
}

static size_t told_of_the_watch(void)
{
    size_t count = 0;
    for (const char *at = buf_str(&dcs_notes); (at = strstr(at, "the watch ended (")) != NULL;
         at++) {
        count++;
    }
    return count;
}

/* Five times a second it would fill the log. */
static void watch_that_breaks_again_and_again_is_told_once(void **state)
{
    static const char no_leader[] =
        "{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}";
    static const char of_another[] =
        "{\"result\":{\"header\":{\"cluster_id\":\"1\"},\"created\":true}}";
    const char *urls[] = {fakes[0].url};
    (void)state;
    watch_says = no_leader;
    hook = watch_is_good_for_nothing;
    fake_hang_up_all(&fakes[0]);
    RUN_UNTIL(seen_count("/v3/watch") > 4);
    assert_int_equal(told_of_the_watch(), 1);
    watch_says = of_another;
    buf_clear(&seen);
    RUN_UNTIL(seen_count("/v3/watch") > 4);
    assert_int_equal(told_of_the_watch(), 2); /* that it ends for another reason is news */
    assert_non_null(strstr(buf_str(&dcs_notes), "of another cluster"));
    for (int i = 0; i < 3; i++) { /* and is none when it has been told: members take turns */
        watch_says = i % 2 == 0 ? no_leader : of_another;
        buf_clear(&seen);
        RUN_UNTIL(seen_count("/v3/watch") > 1);
    }
    assert_int_equal(told_of_the_watch(), 2);

    close_dcs();
    buf_clear(&dcs_notes);
    dcs = dcs_start(ETCD_V3, urls, 1, "n1", 20); /* an interval is 600 ms */
    RUN_UNTIL(told_of_the_watch() == 2);
    assert_non_null(strstr(buf_str(&dcs_notes), "times more"));
    run_ms(300);
    assert_int_equal(told_of_the_watch(), 2);
}

static bool watch_is_silent(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/watch")) {
        return false;
    }
    fake_stream(request->peer);
    return true;
}

/* From now on its ranges come every 100 ms. */
static void open_with_a_silent_watch(void)
{
    const char *urls[] = {fakes[0].url};
    close_dcs();
    run_ms(20);
    hook = watch_is_silent;
    dcs = dcs_start(ETCD_V3, urls, 1, "n1", 100);
    RUN_UNTIL(view_of(dcs) != NULL);
    RUN_UNTIL(seen_count("/v3/watch") == 1);
    buf_clear(&seen);
}

static void config_changes(void)
{
    store.revision++;
    store_put(CONFIG, "NA==", 0);
}

static void watch_that_is_silent_is_found_out_by_the_ranges(void **state)
{
    (void)state;
    open_with_a_silent_watch();
    for (int i = 0; i < 8; i++) {
        config_changes();
        run_ms(120);
    }
    assert_int_equal(view_of(dcs)->revision, store.revision); /* by the ranges alone */
    assert_true(seen_count("/v3/watch") >= 1);
    assert_non_null(strstr(buf_str(&dcs_notes), "told nothing of what has changed"));
}

/* In between other keys of that etcd change, below other clusters' paths. */
static void watch_that_is_silent_is_found_out_where_others_write(void **state)
{
    (void)state;
    open_with_a_silent_watch();
    for (int i = 0; i < 2; i++) {
        config_changes();
        RUN_UNTIL(view_of(dcs)->revision == store.revision);
        store.revision++;
        RUN_UNTIL(view_of(dcs)->revision == store.revision);
    }
    RUN_UNTIL(seen_count("/v3/watch") == 1);
    assert_non_null(strstr(buf_str(&dcs_notes), "told nothing of what has changed"));
}

/* A primary hears from a majority with each renewal, more often than a range is due. */
static void renewals_do_not_put_off_the_ranges(void **state)
{
    (void)state;
    open_with_a_silent_watch();
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    struct result result = acquire(dcs, &wanted);
    assert_int_equal(result.is.rc, 0);
    epoch = result.is.revision;
    for (int i = 0; i < 40; i++) {
        if (i % 10 == 0) {
            config_changes();
        }
        assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
        run_ms(20);
    }
    assert_true(view_of(dcs)->revision == store.revision);
    assert_true(seen_count("/v3/watch") >= 1);
    assert_non_null(strstr(buf_str(&dcs_notes), "told nothing of what has changed"));
}

/* What the watch tells late, after a range, is a sign of life as well. */
static void watch_that_tells_what_a_range_has_told_is_not_silent(void **state)
{
    (void)state;
    open_with_a_silent_watch();
    for (int i = 0; i < 4; i++) {
        config_changes();
        RUN_UNTIL(view_of(dcs)->revision == store.revision);
        char *event = mem_printf("\"events\":[{\"kv\":{\"key\":\"" CONFIG
                                 "\",\"create_revision\":\"2\",\"mod_revision\":\"%lld\","
                                 "\"value\":\"NA==\"}}]",
                                 (long long)store.revision);
        tell(77, event);
        mem_free(event);
        run_ms(20);
    }
    run_ms(150);
    assert_int_equal(seen_count("/v3/watch"), 0);
}

static bool ranges_fail(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/kv/range")) {
        return false;
    }
    fake_answer(request->peer, 403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}");
    return true;
}

static void range_that_fails_is_made_up_for(void **state)
{
    (void)state;
    hook = ranges_fail;
    store.revision = 5;
    store_put(CONFIG, "NQ==", 0); /* 5 */
    tell(77, "\"canceled\":true");
    RUN_UNTIL(seen_count("/v3/kv/range") >= 2); /* again and again, with pauses */
    int64_t contact = dcs->ops->contact_mono_ms(dcs);
    run_ms(500);
    assert_true(seen_count("/v3/kv/range") < 10);
    assert_int_equal(dcs->ops->contact_mono_ms(dcs), contact);
    assert_true(key_is(dcs, "config", "1"));
    assert_int_equal(seen_count("/v3/watch"), 0); /* what was broken is not gone on from */
    hook = NULL;
    RUN_UNTIL(key_is(dcs, "config", "5"));
}

/* --- answers that come late, or of another store ---------------------------------------------- */

static struct fake_peer *late_peer; /* whose range is answered when the test says so, */
static char *late_words;            /* with what was true when it came in */

static bool range_is_held(struct fake *fake, struct fake_request *request)
{
    char header[256];
    struct buf kvs = BUF_INIT;
    if (late_peer != NULL || !is_path(request, "/v3/kv/range")) {
        return false;
    }
    fake_header(fake, header);
    if (store_find(CONFIG) != NULL) {
        kv_print(&kvs, store_find(CONFIG));
    }
    late_words = mem_printf("{%s,\"kvs\":[%s]}", header, buf_str(&kvs));
    late_peer = request->peer;
    buf_free(&kvs);
    return true;
}

static void read_late(struct result *result)
{
    late_peer = NULL;
    hook = range_is_held;
    *result = (struct result){0};
    assert_int_equal(dcs->ops->read(dcs, ASK_MS, on_view, result, NULL), 0);
    RUN_UNTIL(late_peer != NULL);
    hook = NULL;
}

static void say_late(struct result *result)
{
    fake_answer(late_peer, 200, "%s", late_words);
    mem_free(late_words);
    RUN_UNTIL(result->calls == 1);
    run_ms(20);
}

static struct result read_all(void)
{
    struct result result;
    FINISH(result, dcs->ops->read(dcs, ASK_MS, on_view, &result, NULL));
    dcs_view_unref(result.view);
    return result;
}

static bool a_hangs_up(struct fake *fake, struct fake_request *request)
{
    if (fake->name != 'a') {
        return false;
    }
    fake_hang_up(request->peer);
    return true;
}

/* An answer of an older term than another member gave is not believed, and its member is left. */
static void answer_of_an_older_term_is_not_believed(void **state)
{
    (void)state;
    hook = a_hangs_up;
    fakes[1].term = 4;
    assert_int_equal(read_all().is.rc, ERR_UNAVAILABLE);
    assert_true(seen_count("b POST /v3/kv/range") >= 1);
    hook = NULL;
    buf_clear(&seen);
    assert_int_equal(read_all().is.rc, 0);
    assert_true(seen_count("a POST /v3/kv/range") >= 1);
    assert_int_equal(seen_count("b POST /v3/kv/range"), 0);
}

/* It was overtaken by one of the same member: no reason to leave that. */
static void answer_of_an_older_term_may_be_late(void **state)
{
    struct result late;
    (void)state;
    read_late(&late);
    fakes[0].term = fakes[1].term = 6;
    assert_int_equal(read_all().is.rc, 0);
    say_late(&late);
    assert_int_equal(late.is.rc, ERR_UNAVAILABLE);
    assert_int_equal(read_all().is.rc, 0);
    assert_int_equal(seen_count("b POST"), 0);
    assert_null(strstr(buf_str(&dcs_notes), "backup"));
}

/* It is of a member that has been left already: the present one is stayed with. */
static void late_answer_of_a_member_that_was_left_leaves_no_other(void **state)
{
    struct result late;
    (void)state;
    fakes[1].term = 6;
    read_late(&late);
    hook = a_hangs_up;
    assert_int_equal(read_all().is.rc, 0);
    hook = NULL;
    RUN_UNTIL(seen_count("b POST /v3/watch") == 1);
    buf_clear(&seen);
    say_late(&late);
    assert_int_equal(late.is.rc, ERR_UNAVAILABLE);
    assert_int_equal(read_all().is.rc, 0);
    run_ms(50);
    assert_int_equal(seen_count("a POST"), 0);
    assert_int_equal(seen_count("b POST /v3/watch"), 0); /* that of before goes on */
}

/* The keys and revisions of before, and a member that has forgotten its term. */
static void store_that_is_back_from_a_backup_of_now_is_gone_by(void **state)
{
    struct result member;
    (void)state;
    FINISH(member, dcs->ops->put_member(dcs, "n1", "m", TTL_MS, ASK_MS, on_done, &member, NULL));
    RUN_UNTIL(key_is(dcs, "members/n1", "m"));
    run_ms(20);
    buf_clear(&seen);
    fakes[0].term = 2;
    assert_int_equal(read_all().is.rc, 0);
    assert_int_equal(view_of(dcs)->revision, store.revision);
    assert_non_null(strstr(buf_str(&dcs_notes), "is back from a backup"));
    RUN_UNTIL(seen_count("/v3/watch") == 1); /* of what there is now */
    FINISH(member, dcs->ops->put_member(dcs, "n1", "m", TTL_MS, ASK_MS, on_done, &member, NULL));
    assert_int_equal(member.is.rc, 0);
    assert_int_equal(grants(), 1); /* no lease of before is gone on with */
    buf_clear(&dcs_notes);
    assert_int_equal(read_all().is.rc, 0);
    assert_null(strstr(buf_str(&dcs_notes), "backup"));
}

static void late_answer_of_a_store_that_is_gone_tells_nothing(void **state)
{
    struct result late;
    (void)state;
    for (uint64_t cluster = 77; cluster <= 78; cluster++) { /* wiped; another one */
        store.revision = 300;
        store_put(CONFIG, "OQ==", 0);
        assert_int_equal(read_all().is.rc, 0);
        fakes[0].term = 5;
        read_late(&late);
        store_delete(store_find(CONFIG));
        store.revision = 1;
        fakes[0].term = 2;
        fakes[0].cluster = cluster;
        assert_int_equal(read_all().is.rc, 0);
        assert_true(key_is(dcs, "config", NULL));
        buf_clear(&dcs_notes);
        say_late(&late);
        assert_int_equal(late.is.rc, ERR_UNAVAILABLE);
        assert_true(key_is(dcs, "config", NULL));
        assert_int_equal(view_of(dcs)->revision, 1);
        assert_int_equal(read_all().is.rc, 0);
        assert_null(strstr(buf_str(&dcs_notes), "etcd: "));
    }
}

/* A yes of before says nothing of what is there now. */
static void late_yes_of_a_store_that_is_gone_is_none(void **state)
{
    struct result late = {0};
    char header[256];
    (void)state;
    hook = txn_is_held;
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->put(dcs, "config", "2", DCS_ANY, ASK_MS, on_done, &late, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    assert_true(apply_held());
    fake_header(&fakes[0], header);
    store_delete(store_find(CONFIG));
    store.revision = 1;
    assert_int_equal(read_all().is.rc, 0);
    fake_answer(open_peer, 200, "{%s,\"succeeded\":true}", header);
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, ERR_UNKNOWN);
}

/* Less than was there before, read afterwards: etcd was wiped. */
static void store_that_begins_anew_is_gone_by(void **state)
{
    struct result result;
    (void)state;
    tell(77, "\"events\":[" EVENT("Mg==", "300") "]");
    RUN_UNTIL(view_of(dcs)->revision == 300);
    store_delete(store_find(CONFIG));
    store.revision = 1;
    fakes[0].term = 2;
    FINISH(result, dcs->ops->read(dcs, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(result.view->revision, 1);
    dcs_view_unref(result.view);
    assert_true(key_is(dcs, "config", NULL));
    assert_non_null(strstr(buf_str(&dcs_notes), "it was wiped"));
    assert_int_equal(put(dcs, "config", "1", DCS_ABSENT).is.rc, 0);
}

/* --- more than the client takes --------------------------------------------------------------- */

static struct result many[80];

static bool nothing_is_answered(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    (void)request;
    return true;
}

/* Those beyond the limit were not sent, and are told so one after the other: also the view's own
 * range, whose end tells the others. */
static void writes_beyond_the_limit_were_not_sent(void **state)
{
    int refused = 0;
    (void)state;
    memset(many, 0, sizeof many);
    hook = nothing_is_answered;
    for (int i = 0; i < 80; i++) {
        assert_int_equal(dcs->ops->put(dcs, "config", "x", DCS_ANY, 2600, on_done, &many[i], NULL),
                         0);
        assert_int_equal(many[i].calls, 0);
    }
    fake_hang_up_all(&fakes[0]); /* the watch ends: a range is due as well */
    changes = 0;
    run_ms(2500);
    assert_true(changes > 0 && changes < 40); /* each range that fails is one */
    for (int i = 0; i < 80; i++) {
        assert_true(many[i].calls <= 1);
        refused += many[i].calls == 1 && many[i].is.rc == ERR_UNAVAILABLE;
    }
    assert_true(refused >= 80 - ETCD_CALLS_MAX);
    RUN_UNTIL(many[0].calls == 1);
    run_ms(600);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(many[i].calls, 1);
        assert_true(many[i].is.rc == ERR_UNAVAILABLE || many[i].is.rc == ERR_UNKNOWN);
    }
}

static void closing_tells_those_that_were_not_sent(void **state)
{
    (void)state;
    memset(many, 0, sizeof many);
    hook = nothing_is_answered;
    for (int i = 0; i < 80; i++) {
        assert_int_equal(dcs->ops->put(dcs, "config", "x", DCS_ANY, 2600, on_done, &many[i], NULL),
                         0);
    }
    close_dcs();
    for (int i = 0; i < 80; i++) {
        RUN_UNTIL(many[i].calls > 0);
    }
    for (int i = 0; i < 80; i++) {
        assert_int_equal(many[i].calls, 1);
        assert_int_equal(many[i].is.rc, ERR_CANCELED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUIET(watch_changes_the_view_without_a_range),
        QUIET(events_of_another_cluster_are_not_taken),
        QUIET(answer_with_one_bad_event_is_not_taken_at_all),
        QUIET(watch_that_is_cancelled_is_started_again_after_a_read),
        QUIET(watch_that_is_good_for_nothing_is_paced),
        QUIET(watch_that_breaks_again_and_again_is_told_once),
        QUIET(watch_that_is_silent_is_found_out_by_the_ranges),
        QUIET(watch_that_is_silent_is_found_out_where_others_write),
        QUIET(renewals_do_not_put_off_the_ranges),
        QUIET(watch_that_tells_what_a_range_has_told_is_not_silent),
        QUIET(range_that_fails_is_made_up_for),
        TWO(answer_of_an_older_term_is_not_believed),
        TWO(answer_of_an_older_term_may_be_late),
        TWO(late_answer_of_a_member_that_was_left_leaves_no_other),
        QUIET(store_that_is_back_from_a_backup_of_now_is_gone_by),
        QUIET(late_answer_of_a_store_that_is_gone_tells_nothing),
        QUIET(late_yes_of_a_store_that_is_gone_is_none),
        QUIET(store_that_begins_anew_is_gone_by),
        QUIET(writes_beyond_the_limit_were_not_sent),
        QUIET(closing_tells_those_that_were_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
