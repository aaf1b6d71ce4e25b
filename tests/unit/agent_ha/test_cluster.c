/* Keys of the store <-> struct, in Patroni's layout, with what others may have written. */
#include "agent/ha/ha_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

static struct ha_cluster cluster;

static size_t read_one(const char *key, const char *value)
{
    struct ha_kv kv = {key, value, 5, 7};
    return ha_cluster_read(0xabc, 20, &kv, 1, &cluster);
}

static void whole_cluster_is_read(void **state)
{
    (void)state;
    const struct ha_kv kvs[] = {
        {"config", "{\"ttl\":30}", 3, 4},
        {"epoch", "{\"holder\":\"n1\",\"timeline\":3}", 5, 9},
        {"failover",
         "{\"leader\":\"n1\",\"member\":\"n2\",\"scheduled_at\":\"2026-11-24T12:00:00+02:00\"}", 6,
         18},
        {"history",
         "[[1,83886176,\"no recovery target "
         "specified\",\"2026-01-01T00:00:00+00:00\",\"n1\"],[2,100,\"x\"]]",
         7, 8},
        {"initialize", "7000000000000000001", 2, 2},
        {"leader", "n1", 9, 9},
        {"members/n1",
         "{\"conn_url\":\"postgres://10.0.0.1:5432/postgres\",\"api_url\":\"http://10.0.0.1:8008/"
         "patroni\",\"state\":"
         "\"running\",\"role\":\"master\",\"version\":\"4.1.4\",\"xlog_location\":83886176,"
         "\"timeline\":3,"
         "\"checkpoint_after_promote\":false,\"tags\":{\"clonefrom\":true},\"pause\":true}",
         10, 19},
        {"members/n2", "{\"state\":\"running\",\"role\":\"replica\",\"reports\":true}", 11, 12},
        {"members/n2/x", "{}", 1, 1},
        {"reports/n2",
         "{\"epoch\":\"abc:9\",\"timeline\":3,\"lsn\":83886176,\"system_id\":"
         "\"7000000000000000001\"}",
         13, 14},
        {"status", "{\"optime\":83886200,\"slots\":{\"n2\":1}}", 15, 16},
        {"sync", "{\"leader\":null}", 17, 17},
        {"unknown", "?", 1, 1},
    };
    assert_int_equal(ha_cluster_read(0xabc, 20, kvs, sizeof kvs / sizeof kvs[0], &cluster), 0);
    assert_true(cluster.known);
    assert_int_equal(cluster.revision, 20);
    assert_string_equal(cluster.leader, "n1");
    assert_true(ha_epoch_equal(cluster.leader_epoch, (struct ha_epoch){0xabc, 9}));
    assert_true(ha_epoch_equal(ha_cluster_epoch(&cluster), (struct ha_epoch){0xabc, 9}));
    assert_string_equal(cluster.epoch_holder, "n1");
    assert_int_equal(cluster.epoch_timeline, 3);
    assert_int_equal(cluster.config_revision, 4);
    assert_int_equal(cluster.sync_revision, 17);
    assert_int_equal(cluster.initialize_revision, 2);
    assert_string_equal(cluster.initialize, "7000000000000000001");
    assert_int_equal(cluster.status_optime, 83886200);
    assert_true(cluster.failover.present);
    assert_int_equal(cluster.failover.revision, 18);
    assert_string_equal(cluster.failover.candidate, "n2");
    assert_int_equal(cluster.failover.scheduled_wall_ms, 1795514400000);
    assert_int_equal(cluster.history_timeline, 3);
    assert_false(cluster.history_complete);
    assert_int_equal(cluster.member_count, 2);
    const struct ha_member *member = ha_cluster_member(&cluster, "n1");
    assert_non_null(member);
    assert_string_equal(member->role, "primary");
    assert_false(member->reports); /* Patroni's */
    assert_true(ha_cluster_member(&cluster, "n2")->reports);
    assert_true(member->checkpoint_after_promote_due && member->paused && member->tags.clonefrom);
    assert_int_equal(member->lsn, 83886176);
    assert_null(ha_cluster_member(&cluster, "n3"));
    const struct ha_report *report = ha_cluster_report(&cluster, "n2");
    assert_non_null(report);
    assert_true(report->valid && !report->withdrawn && !report->yields);
    assert_int_equal(report->revision, 14);
    assert_null(ha_cluster_report(&cluster, "n1"));
}

/* A Patroni member leads, or has led: it writes no `epoch`. */
/* Of whoever does not say it, the role does; who has not looked has none that counts. */
static void a_member_says_what_it_has(void **state)
{
    static const struct {
        const char *record;
        enum ha_data data;
    } cases[] = {
        {"{\"state\":\"stopped\",\"role\":\"uninitialized\",\"data\":\"none\"}", HA_DATA_NONE},
        {"{\"state\":\"stopped\",\"role\":\"replica\",\"data\":\"unusable\"}", HA_DATA_UNUSABLE},
        {"{\"state\":\"stopped\",\"role\":\"demoted\",\"data\":\"valid\"}", HA_DATA_VALID},
        {"{\"state\":\"stopped\",\"role\":\"replica\",\"data\":\"not_told\"}", HA_DATA_NOT_TOLD},
        {"{\"state\":\"stopped\",\"role\":\"replica\",\"data\":\"of a later release\"}",
         HA_DATA_NOT_TOLD},
        {"{\"state\":\"stopped\",\"role\":\"uninitialized\"}", HA_DATA_NONE},
        {"{\"state\":\"stopped\",\"role\":\"replica\"}", HA_DATA_NOT_TOLD},
        {"{\"state\":\"running\",\"role\":\"replica\"}", HA_DATA_VALID},
        {"{\"state\":\"running\",\"role\":\"master\"}", HA_DATA_VALID},
        {"{\"state\":\"unknown\",\"role\":\"replica\"}", HA_DATA_NOT_TOLD},
        {"{}", HA_DATA_NOT_TOLD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_one("members/n2", cases[i].record), 0);
        assert_int_equal(cluster.members[0].data, cases[i].data);
        assert_false(cluster.members[0].hba_missing);
    }
    (void)read_one("members/n2",
                   "{\"hba_missing\":true,\"data_system_id\":\"7\",\"data_timeline\":3,"
                   "\"data_lsn\":9,\"data_of_primary\":true}");
    assert_true(cluster.members[0].hba_missing);
    assert_string_equal(cluster.members[0].data_system_id, "7");
    assert_int_equal(cluster.members[0].data_timeline, 3);
    assert_int_equal(cluster.members[0].data_lsn, 9);
    assert_true(cluster.members[0].data_of_primary);
}

static void a_leader_without_an_epoch_is_seen(void **state)
{
    const struct ha_kv kvs[] = {
        {"epoch", "{\"holder\":\"n1\",\"timeline\":3}", 5, 9},
        {"reports/n1", "{\"epoch\":\"abc:12\",\"timeline\":3,\"lsn\":1}", 13, 14},
        {"reports/n3", "{\"epoch\":\"abd:18\",\"timeline\":3,\"lsn\":1}", 13, 14},
        {"reports/n4", "{\"epoch\":\"abc:21\",\"timeline\":3,\"lsn\":1}", 13, 14},
        {"leader", "p2", 15, 17},
    };
    (void)state;
    (void)ha_cluster_read(0xabc, 20, kvs, 5, &cluster);
    assert_true(ha_epoch_equal(ha_cluster_epoch(&cluster), (struct ha_epoch){0xabc, 15}));
    assert_string_equal(ha_cluster_last_holder(&cluster), "p2");
    assert_int_equal(cluster.epoch_revision, 9); /* what Acquire compares is the key */
    /* Its key is gone. Reports name the epoch, not who had it; those of another cluster, or of a
     * revision that there is not yet, name nothing. */
    (void)ha_cluster_read(0xabc, 20, kvs, 4, &cluster);
    assert_true(ha_epoch_equal(ha_cluster_epoch(&cluster), (struct ha_epoch){0xabc, 12}));
    assert_string_equal(ha_cluster_last_holder(&cluster), "");
    (void)ha_cluster_read(0xabc, 20, kvs, 1, &cluster);
    assert_int_equal(cluster.seen_revision, 0);
    assert_string_equal(ha_cluster_last_holder(&cluster), "n1");
}

static void an_epoch_that_was_seen_is_remembered(void **state)
{
    static struct ha_cluster before;
    const struct ha_kv led[] = {{"leader", "p2", 15, 17}};
    const struct ha_kv report = {"reports/n1", "{\"epoch\":\"abc:15\",\"timeline\":3,\"lsn\":1}",
                                 18, 18};
    const struct ha_kv later = {"epoch", "{\"holder\":\"n1\",\"timeline\":3}", 5, 19};
    (void)state;
    (void)ha_cluster_read(0xabc, 20, led, 1, &before);
    (void)ha_cluster_read(0xabc, 21, NULL, 0, &cluster);
    ha_cluster_remember(&before, &cluster);
    assert_true(ha_epoch_equal(ha_cluster_epoch(&cluster), (struct ha_epoch){0xabc, 15}));
    assert_string_equal(ha_cluster_last_holder(&cluster), "p2");
    (void)ha_cluster_read(0xabc, 21, &report, 1, &cluster); /* of somebody who did not see p2 */
    ha_cluster_remember(&before, &cluster);
    assert_string_equal(ha_cluster_last_holder(&cluster), "p2");
    (void)ha_cluster_read(0xabc, 21, &later, 1, &cluster);
    ha_cluster_remember(&before, &cluster);
    assert_string_equal(ha_cluster_last_holder(&cluster), "n1");
    (void)ha_cluster_read(0xabd, 21, NULL, 0, &cluster); /* another store */
    ha_cluster_remember(&before, &cluster);
    assert_int_equal(cluster.seen_revision, 0);
    (void)ha_cluster_read(0xabc, 14, NULL, 0, &cluster); /* put back to before it */
    ha_cluster_remember(&before, &cluster);
    assert_int_equal(cluster.seen_revision, 0);
}

/* Whatever stands in a key, nothing breaks, and it counts as absent. */
static void junk_counts_as_absent(void **state)
{
    static const char *const keys[] = {"epoch",      "failover", "history",   "members/n1",
                                       "reports/n1", "status",   "initialize"};
    static const char *const junk[] = {"",
                                       "{",
                                       "[]",
                                       "{}",
                                       "null",
                                       "true",
                                       "-1",
                                       "0",
                                       "\"text\"",
                                       "[1]",
                                       "[[]]",
                                       "[[0]]",
                                       "[[-5,1]]",
                                       "{\"epoch\":1}",
                                       "{\"lsn\":-1,\"timeline\":99999999999}",
                                       "1e300",
                                       "{\"tags\":[]}",
                                       "{\"leader\":\"n1\"",
                                       "\xff\xfe",
                                       "[[4294967295]]"};
    (void)state;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        for (size_t j = 0; j < sizeof junk / sizeof junk[0]; j++) {
            (void)read_one(keys[k], junk[j]);
            assert_false(cluster.failover.present);
            assert_false(cluster.status_known);
            assert_true(cluster.history_timeline == 0 ||
                        (cluster.history_timeline == 1 && strcmp(junk[j], "[]") == 0) ||
                        (cluster.history_timeline == 2 && strcmp(junk[j], "[[1]]") == 0));
            assert_int_equal(cluster.epoch_timeline, 0);
            assert_false(cluster.report_count == 1 && cluster.reports[0].valid);
            assert_false(ha_initialize_is_valid(cluster.initialize));
            json_t *value = json_loads(junk[j], 0, NULL);
            bool member = strcmp(keys[k], "members/n1") == 0 && json_is_object(value);
            json_decref(value);
            assert_int_equal(cluster.member_count, member ? 1 : 0);
        }
    }
}

static void old_forms_are_understood(void **state)
{
    (void)state;
    (void)read_one("status", "83886176");
    assert_true(cluster.status_known);
    assert_int_equal(cluster.status_optime, 83886176);
    (void)read_one("failover", "n1:n2");
    assert_string_equal(cluster.failover.leader, "n1");
    assert_string_equal(cluster.failover.candidate, "n2");
    (void)read_one("failover", ":n2");
    assert_string_equal(cluster.failover.leader, "");
    assert_true(cluster.failover.present);
    (void)read_one("failover", "{}");
    assert_false(cluster.failover.present);
    assert_int_equal(cluster.failover.revision, 7);
    (void)read_one("history", "[]");
    assert_int_equal(cluster.history_timeline, 1);
    assert_true(cluster.history_complete);
}

/* At an unreadable time must not become at once. */
static void unreadable_schedule_is_no_request(void **state)
{
    (void)state;
    (void)read_one("failover", "{\"leader\":\"n1\",\"scheduled_at\":\"tomorrow\"}");
    assert_false(cluster.failover.present);
}

/* In the transaction that makes an epoch nobody knows its number yet. */
static void unfenced_names_an_epoch_or_its_own_revision(void **state)
{
    (void)state;
    (void)read_one("unfenced", "abc:5");
    assert_int_equal(cluster.unfenced_revision, 7);
    assert_true(ha_epoch_equal(cluster.unfenced, (struct ha_epoch){0xabc, 5}));
    (void)read_one("unfenced", "abc:0");
    assert_true(ha_epoch_equal(cluster.unfenced, (struct ha_epoch){0xabc, 7}));
    (void)read_one("unfenced", "n1"); /* it stands, and nobody knows for whom */
    assert_int_equal(cluster.unfenced_revision, 7);
    assert_true(ha_epoch_equal(cluster.unfenced, (struct ha_epoch){0, 0}));
    (void)read_one("config", "{}");
    assert_int_equal(cluster.unfenced_revision, 0);
    (void)read_one("failover", "{\"member\":\"n2\",\"unfenced\":\"abc:5\"}");
    assert_true(ha_epoch_equal(cluster.failover.over_unfenced, (struct ha_epoch){0xabc, 5}));
    (void)read_one("failover", "{\"member\":\"n2\",\"unfenced\":\"5\"}");
    assert_int_equal(cluster.failover.over_unfenced.revision, 0);
}

static void too_many_are_left_out_and_counted(void **state)
{
    static char names[2 * (HA_MEMBERS_MAX + 2)][HA_NAME_BYTES + 80];
    static struct ha_kv kvs[2 * (HA_MEMBERS_MAX + 2)];
    size_t count = 0;
    (void)state;
    for (int i = 0; i < HA_MEMBERS_MAX + 1; i++) {
        (void)snprintf(names[count], sizeof names[count], "members/n%d", i);
        kvs[count] = (struct ha_kv){names[count], "{}", 1, 1};
        count++;
        (void)snprintf(names[count], sizeof names[count], "reports/n%d", i);
        kvs[count] = (struct ha_kv){names[count], "none", 1, 1};
        count++;
    }
    (void)snprintf(names[count], sizeof names[count], "members/%070d", 1);
    kvs[count] = (struct ha_kv){names[count], "{}", 1, 1};
    count++;
    (void)snprintf(names[count], sizeof names[count], "reports/%070d", 1);
    kvs[count] = (struct ha_kv){names[count], "{}", 1, 1};
    count++;
    assert_int_equal(ha_cluster_read(1, 1, kvs, count, &cluster), 4);
    assert_int_equal(cluster.member_count, HA_MEMBERS_MAX);
    assert_int_equal(cluster.report_count, HA_MEMBERS_MAX);
    assert_true(cluster.reports[0].withdrawn);
}

static void check_tags(const char *json, bool nofailover, int priority)
{
    struct ha_tags tags;
    json_t *value = json_loads(json, 0, NULL);
    assert_non_null(value);
    ha_tags_read(value, &tags);
    json_decref(value);
    assert_int_equal(tags.nofailover, nofailover);
    assert_int_equal(tags.failover_priority, priority);
}

static bool is_nostream(const char *json)
{
    struct ha_tags tags;
    json_t *value = json_loads(json, 0, NULL);
    assert_non_null(value);
    ha_tags_read(value, &tags);
    json_decref(value);
    return tags.nostream;
}

static void nostream_alone_reads_text_as_a_truth_value(void **state)
{
    (void)state;
    assert_false(is_nostream("{}"));
    assert_true(is_nostream("{\"nostream\":true}"));
    assert_true(is_nostream("{\"nostream\":1}"));
    assert_true(is_nostream("{\"nostream\":\"ON\"}"));
    assert_true(is_nostream("{\"nostream\":\"1\"}"));
    assert_false(is_nostream("{\"nostream\":\"off\"}"));
    assert_false(is_nostream("{\"nostream\":\"maybe\"}"));
    assert_false(is_nostream("{\"nostream\":null}"));
}

/* "n1>n2 n2>n3 n3>": who names whom; n4 leads. */
static const char *cascade(const char *tags, const char *name)
{
    const struct ha_member *found = NULL;
    const char *named = "";
    memset(&cluster, 0, sizeof cluster);
    (void)snprintf(cluster.leader, sizeof cluster.leader, "n4");
    for (const char *at = tags; *at != '\0'; at += strcspn(at, " "), at += *at == ' ') {
        struct ha_member *member = &cluster.members[cluster.member_count++];
        (void)snprintf(member->name, sizeof member->name, "%.2s", at);
        (void)snprintf(member->tags.replicatefrom, sizeof member->tags.replicatefrom, "%.*s",
                       (int)strcspn(at + 3, " "), at + 3);
        if (strcmp(member->name, name) == 0) {
            named = member->tags.replicatefrom;
        }
    }
    found = ha_cluster_cascade(&cluster, name, named);
    return found == NULL ? "" : found->name;
}

static void cascade_ends_at_the_leader_or_goes_nowhere(void **state)
{
    (void)state;
    assert_string_equal(cascade("n1>", "n1"), "");
    assert_string_equal(cascade("n1>n2", "n1"), "");
    assert_string_equal(cascade("n1>n1", "n1"), "");
    assert_string_equal(cascade("n1>n2 n2>", "n1"), "n2");
    assert_string_equal(cascade("n1>n2 n2>n3 n3>", "n1"), "n2");
    assert_string_equal(cascade("n1>n2 n2>n9", "n1"), "n2");
    assert_string_equal(cascade("n1>n2 n2>n1", "n1"), "");
    assert_string_equal(cascade("n1>n2 n2>n3 n3>n1", "n1"), "");
    assert_string_equal(cascade("n1>n2 n2>n3 n3>n2", "n1"), "");   /* beside a circle */
    assert_string_equal(cascade("n1>n4 n4>n1", "n1"), "n4");       /* whom the leader names ... */
    assert_string_equal(cascade("n1>n2 n2>n4 n4>n1", "n1"), "n2"); /* ... does not count */
}

static void tags_are_read_as_patroni_does(void **state)
{
    struct ha_tags tags;
    (void)state;
    check_tags("{}", false, 1);
    check_tags("{\"nofailover\":true}", true, 1);
    check_tags("{\"nofailover\":\"false\"}", true, 1);
    check_tags("{\"nofailover\":\"\"}", false, 1);
    check_tags("{\"nofailover\":0}", false, 1);
    check_tags("{\"nofailover\":0.5}", true, 1);
    check_tags("{\"nofailover\":null}", false, 1);
    check_tags("{\"nofailover\":{}}", false, 1);
    check_tags("{\"nofailover\":[1]}", true, 1);
    check_tags("{\"failover_priority\":0}", true, 0);
    check_tags("{\"failover_priority\":-3}", true, 0);
    check_tags("{\"failover_priority\":5}", false, 5);
    check_tags("{\"failover_priority\":99999999999}", false, INT32_MAX);
    check_tags("{\"failover_priority\":0,\"nofailover\":false}", false, 0);
    ha_tags_read(NULL, &tags);
    assert_false(tags.nofailover);
    assert_int_equal(tags.failover_priority, 1);
}

static void epoch_is_written_and_read(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "abc",
                                      "abc:",
                                      ":9",
                                      "xyz:9",
                                      "abc:-9",
                                      "abc:9x",
                                      "12345678901234567:1",
                                      "abc:99999999999999999999"};
    char text[HA_EPOCH_BYTES];
    struct ha_epoch epoch = {UINT64_MAX, INT64_MAX};
    struct ha_epoch again = {0, 0};
    (void)state;
    ha_epoch_print(epoch, text);
    assert_string_equal(text, "ffffffffffffffff:9223372036854775807");
    assert_true(ha_epoch_parse(text, &again));
    assert_true(ha_epoch_equal(epoch, again));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(ha_epoch_parse(bad[i], &again));
    }
}

static void values_are_patronis_compact_json(void **state)
{
    struct buf out = BUF_INIT;
    struct ha_report report = {
        .epoch = {0xabc, 9}, .timeline = 2, .lsn = 83886176, .system_id = "7000000000000000001"};
    (void)state;
    ha_epoch_value("n\xc3\xa4", NULL, 3, &out);
    assert_string_equal(buf_str(&out), "{\"holder\":\"n\\u00E4\",\"timeline\":3}");
    buf_clear(&out);
    ha_report_value(&report, &out);
    assert_string_equal(buf_str(&out),
                        "{\"epoch\":\"abc:9\",\"timeline\":2,\"lsn\":83886176,\"system_id\":"
                        "\"7000000000000000001\",\"primary_seen_ms\":null,\"raft_seen_ms\":null}");
    (void)read_one("reports/n1", buf_str(&out));
    assert_true(cluster.reports[0].valid);
    assert_int_equal(cluster.reports[0].lsn, report.lsn);
    assert_int_equal(cluster.reports[0].primary_silent_ms, 0);
    report.primary_silent_ms = 510;
    report.raft_silent_ms = 620;
    buf_clear(&out);
    ha_report_value(&report, &out);
    assert_non_null(strstr(buf_str(&out), "\"primary_seen_ms\":510,\"raft_seen_ms\":620}"));
    (void)read_one("reports/n1", buf_str(&out));
    assert_int_equal(cluster.reports[0].primary_silent_ms, 510);
    assert_int_equal(cluster.reports[0].raft_silent_ms, 620);
    report.yields = true;
    report.lsn = 0;
    report.timeline = 0;
    buf_clear(&out);
    ha_report_value(&report, &out);
    (void)read_one("reports/n1", buf_str(&out));
    assert_true(cluster.reports[0].valid && cluster.reports[0].yields);
    report.withdrawn = true;
    buf_clear(&out);
    ha_report_value(&report, &out);
    assert_string_equal(buf_str(&out), "none");
    buf_free(&out);
}

static void check_time(const char *text, int64_t seconds)
{
    int64_t ms = 0;
    assert_true(ha_time_parse(text, &ms));
    assert_int_equal(ms, seconds * 1000);
}

static void times_need_an_offset(void **state)
{
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-24",
                                      "2026-11-24T12:00:00",
                                      "2026-13-24T12:00:00Z",
                                      "2026-11-32T12:00:00Z",
                                      "2026-11-24T24:00:00Z",
                                      "2026-11-24T12:60:00Z",
                                      "1969-01-01T00:00:00Z",
                                      "2030-02-31T00:00:00Z",
                                      "2100-02-29T00:00:00Z",
                                      "2030-04-31T00:00:00Z",
                                      "2030-12-00T00:00:00Z",
                                      "2026-11-24x12:00:00Z",
                                      "2026-11-24T12:00:00+",
                                      "2026/11-24T12:00:00Z",
                                      "2026-11/24T12:00:00Z",
                                      "2026-00-24T12:00:00Z",
                                      "2026-11-00T12:00:00Z",
                                      "2026-11-24T12-00Z",
                                      "2026-11-24T1:00Z",
                                      "2026-11-24T12:00:61Z",
                                      "2026-11-24T12:00:0Z",
                                      "2026-11-24T12:00:00Z ",
                                      "2026-11-24T12:00:00z",
                                      "2026-11-24T12:00:00 02",
                                      "2026-11-24T12:00:00+24",
                                      "2026-11-24T12:00:00+02:60",
                                      "2026-11-24T12:00:00+02:",
                                      "2026-11-24T12:00:00+02:0",
                                      "2026-11-24T12:00:00+02:00x"};
    int64_t ms = 0;
    (void)state;
    check_time("1970-01-01T00:00:00Z", 0);
    check_time("2000-02-29T12:30:15+00:00", 951827415);
    check_time("2026-11-24T12:00:00+02:00", 1795514400);
    check_time("2026-11-24 10:00:00.123456-00:30", 1795516200);
    check_time("2026-11-24T10:00+00", 1795514400);
    check_time("2100-03-01T00:00:00Z", 4107542400);
    check_time("2028-02-29T00:00:00Z", 1835395200);
    check_time("2028-12-31T00:00:00Z", 1861833600);
    check_time("2026-11-24T10:00:60.Z", 1795514460); /* a leap second */
    check_time("2026-11-24T10:00:00-0130", 1795519800);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(ha_time_parse(bad[i], &ms));
    }
}

static void system_identifier_has_ten_digits(void **state)
{
    (void)state;
    assert_true(ha_initialize_is_valid("7000000000000000001"));
    assert_true(ha_initialize_is_valid("1234567890"));
    assert_false(ha_initialize_is_valid("123456789"));
    assert_false(ha_initialize_is_valid("70000000000000000x1"));
    assert_false(ha_initialize_is_valid(""));
}

static void sync_is_read_as_patroni_writes_it(void **state)
{
    static const struct {
        const char *value;
        const char *leader;
        unsigned quorum;
        const char *standbys; /* separated by spaces */
        bool unreadable;
    } rows[] = {
        {"{\"leader\":\"n1\",\"quorum\":0,\"sync_standby\":\"n2,n3\"}", "n1", 0, "n2 n3", false},
        {"{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":\" n2 , n3,\",\"x\":1}", "n1", 1,
         "n2 n3", false},
        {"{\"leader\":\"n1\",\"sync_standby\":null}", "n1", 0, "", false},
        {"{\"leader\":\"n1\",\"quorum\":null,\"sync_standby\":\"\"}", "n1", 0, "", false},
        {"{\"leader\":null,\"sync_standby\":\"n2\"}", "", 0, "", false},
        {"{}", "", 0, "", false},
        {"", "", 0, "", true},
        {"[]", "", 0, "", true},
        {"null", "", 0, "", true},
        {"{\"leader\":1}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"quorum\":\"1\"}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"quorum\":-1}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"quorum\":99999999999}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"quorum\":2147483647}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"sync_standby\":\"n2,*\"}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"sync_standby\":[\"n2\"]}", "", 0, "", true},
        {"{\"leader\":\"n1\",\"sync_standby\":\"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,"
         "21,22,23,24,25,26,27,28,29,30,31,32\"}",
         "", 0, "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ha_sync_key sync;
        char list[256] = "";
        ha_sync_key_read(rows[i].value, &sync);
        for (size_t k = 0; k < sync.standby_count; k++) {
            (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                           k == 0 ? "" : " ", sync.standbys[k].name);
        }
        if (strcmp(sync.leader, rows[i].leader) != 0 || strcmp(list, rows[i].standbys) != 0 ||
            sync.quorum != rows[i].quorum || sync.unreadable != rows[i].unreadable ||
            sync.present != (rows[i].leader[0] != '\0')) {
            fail_msg("'%s': leader '%s', quorum %u, standbys '%s'", rows[i].value, sync.leader,
                     sync.quorum, list);
        }
    }
}

static void sync_is_written_sorted_and_comes_back(void **state)
{
    struct ha_sync_key sync = {.present = true, .leader = "n1", .quorum = 1, .standby_count = 3};
    struct ha_sync_key back;
    struct buf text = BUF_INIT;
    (void)state;
    (void)snprintf(sync.standbys[0].name, HA_NAME_BYTES, "n3");
    (void)snprintf(sync.standbys[1].name, HA_NAME_BYTES, "n2");
    (void)snprintf(sync.standbys[2].name, HA_NAME_BYTES, "n3"); /* once is enough */
    ha_sync_key_value(&sync, &text);
    assert_string_equal(buf_str(&text),
                        "{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":\"n2,n3\"}");
    ha_sync_key_read(buf_str(&text), &back);
    assert_true(ha_sync_key_has(&back, "n1") && ha_sync_key_has(&back, "n2") &&
                ha_sync_key_has(&back, "n3"));
    assert_false(ha_sync_key_has(&back, "n") || ha_sync_key_has(&back, ""));
    buf_clear(&text);
    sync.standby_count = 0;
    ha_sync_key_value(&sync, &text);
    assert_string_equal(buf_str(&text), "{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":null}");
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_cluster_is_read),
        cmocka_unit_test(a_member_says_what_it_has),
        cmocka_unit_test(a_leader_without_an_epoch_is_seen),
        cmocka_unit_test(an_epoch_that_was_seen_is_remembered),
        cmocka_unit_test(junk_counts_as_absent),
        cmocka_unit_test(old_forms_are_understood),
        cmocka_unit_test(unreadable_schedule_is_no_request),
        cmocka_unit_test(unfenced_names_an_epoch_or_its_own_revision),
        cmocka_unit_test(too_many_are_left_out_and_counted),
        cmocka_unit_test(tags_are_read_as_patroni_does),
        cmocka_unit_test(nostream_alone_reads_text_as_a_truth_value),
        cmocka_unit_test(cascade_ends_at_the_leader_or_goes_nowhere),
        cmocka_unit_test(epoch_is_written_and_read),
        cmocka_unit_test(values_are_patronis_compact_json),
        cmocka_unit_test(times_need_an_offset),
        cmocka_unit_test(system_identifier_has_ten_digits),
        cmocka_unit_test(sync_is_read_as_patroni_writes_it),
        cmocka_unit_test(sync_is_written_sorted_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
