/* The other cluster that a standby cluster follows: what decisions see of it, what PostgreSQL is
 * given, which host is asked. */
#include "loop_fixture.h"

#include "agent/loop/remote.h"
#include "tests/harness/scratch.h"

#include <sys/stat.h>
#include <unistd.h>

#define SECTION(more) \
    "{\"ttl\":20,\"loop_wait\":1,\"retry_timeout\":2,\"standby_cluster\":{" more "}}"
#define HOSTS SECTION("\"host\":\"a,b\",\"port\":6432,\"primary_slot_name\":\"site\"")

static const struct ha_epoch EPOCH = {7, 9};
static struct ha_snapshot seen; /* large: not on the stack */

static const struct ha_snapshot *look(void)
{
    facts_snapshot(&rig.agent, &seen);
    return &seen;
}

/* The configuration is in force, and PostgreSQL has it. */
static void configured(const char *config)
{
    rig_settle();
    key_set("config", config);
    observe_store_changed(&rig.agent);
    run_for(0);
    if (is_asked("reload")) {
        answer("reload", 0);
    }
    run_for(0);
    facts_snapshot(&rig.agent, &rig.agent.snapshot);
    (void)calls();
}

static void carries_out(enum ha_action_type type, bool remote)
{
    plan_begin("remote", "as asked");
    struct ha_action *action = plan_add(type);
    action->epoch = EPOCH;
    action->remote = remote;
    if (!remote) {
        (void)snprintf(action->member, sizeof action->member, "n2");
    }
    carry_out();
}

/* --- what a decision sees --------------------------------------------------------------------- */

static void the_section_in_the_store_is_what_counts(void **state)
{
    (void)state;
    configured(HOSTS);
    assert_true(look()->settings.standby_cluster);
    assert_true(look()->settings.remote_streams);
    assert_string_equal(look()->settings.remote, "a,b:6432");
    assert_string_equal(look()->settings.refused, "");
    key_set("config", SECTION("\"restore_command\":\"cp\""));
    observe_store_changed(&rig.agent);
    assert_false(look()->settings.remote_streams);
    assert_string_equal(look()->settings.remote, "archive");
    key_set("config", "{\"ttl\":20,\"loop_wait\":1,\"retry_timeout\":2}");
    observe_store_changed(&rig.agent);
    assert_false(look()->settings.standby_cluster);
    assert_string_equal(look()->settings.remote, "");
    rig_free();
}

static void one_that_cannot_be_obeyed_is_not_passed_over(void **state)
{
    (void)state;
    configured("{\"ttl\":20,\"loop_wait\":1,\"retry_timeout\":2}");
    key_set("config", SECTION("\"host\":7"));
    observe_store_changed(&rig.agent);
    assert_non_null(strstr(look()->settings.refused, "standby_cluster.host"));
    key_set("config", HOSTS); /* it is repaired */
    observe_store_changed(&rig.agent);
    assert_string_equal(look()->settings.refused, "");
    assert_true(look()->settings.standby_cluster);
    key_set("config", "nonsense"); /* what was in force stays */
    observe_store_changed(&rig.agent);
    assert_true(look()->settings.standby_cluster);
    rig_free();
}

/* What the file says is how the cluster was made, perhaps long ago. */
static void the_section_of_the_file_is_for_a_new_cluster(void **state)
{
    (void)state;
    rig_init();
    json_t *document = json_loads(HOSTS, 0, NULL);
    struct error err = {0};
    dynamic_config_free(&rig.agent.dynamic);
    assert_int_equal(
        dynamic_config_parse(document, DYNAMIC_TTL_MS_MIN_RAFT, &rig.agent.dynamic, NULL, &err), 0);
    json_decref(document);
    observe_store_changed(&rig.agent);
    assert_true(look()->settings.standby_cluster);
    key_set("initialize", "7000000000000000042");
    observe_store_changed(&rig.agent);
    assert_false(look()->settings.standby_cluster);
    assert_non_null(strstr(look()->settings.refused, "standby_cluster: in bootstrap.dcs"));
    key_set("config", "nonsense");
    observe_store_changed(&rig.agent);
    assert_false(look()->settings.standby_cluster);
    assert_non_null(strstr(look()->settings.refused, "standby_cluster"));
    key_set("config", "{\"ttl\":20,\"loop_wait\":1,\"retry_timeout\":2}");
    observe_store_changed(&rig.agent);
    assert_false(look()->settings.standby_cluster);
    assert_string_equal(look()->settings.refused, "");
    rig_free();
}

/* A run that has never read the configuration goes by what the others say of themselves. */
static void nobody_is_promoted_where_a_member_leads_by_a_section_that_cannot_be_read(void **state)
{
    (void)state;
    rig_settle();
    key_set("config", "nonsense");
    observe_store_changed(&rig.agent);
    assert_string_equal(look()->settings.refused, "");
    key_set("members/n2", "{\"role\":\"standby_leader\"}");
    observe_store_changed(&rig.agent);
    assert_non_null(strstr(look()->settings.refused, "standby_cluster: a member leads by it"));
    rig_free();
}

/* --- who follows it --------------------------------------------------------------------------- */

static void a_start_waits_for_the_settings_that_go_with_it(void **state)
{
    (void)state;
    configured(HOSTS);
    carries_out(HA_START_STANDBY, true);
    assert_string_equal(calls(), "reload\n");
    assert_string_equal(rig.reloaded, "slot=site nostream=0 =");
    assert_non_null(strstr(last_outcome(), "is being written"));
    answer("reload", 0);
    run_for(0);
    (void)calls();
    carries_out(HA_START_STANDBY, true);
    assert_non_null(strstr(calls(), "start standby"));
    const struct ha_upstream *upstream = &rig.agent.facts.upstream;
    assert_true(upstream->known && upstream->remote && !upstream->detached);
    assert_string_equal(upstream->conn_url, "a,b:6432");
    assert_string_equal(upstream->name, "");
    rig_free();
}

static void an_archive_alone_is_no_place_to_receive_from(void **state)
{
    (void)state;
    configured(SECTION("\"restore_command\":\"cp /a/%f %p\""));
    standby_runs(0x5000);
    carries_out(HA_FOLLOW, true);
    assert_string_equal(rig.reloaded, "slot= nostream=1 restore_command=cp /a/%f %p");
    assert_non_null(strstr(calls(), "upstream none"));
    assert_true(rig.agent.facts.upstream.remote && !rig.agent.facts.upstream.detached);
    assert_string_equal(publish_replication_state(&rig.agent), "in archive recovery");
    rig_free();
}

static void another_member_is_followed_with_the_usual_settings(void **state)
{
    (void)state;
    configured(HOSTS);
    standby_runs(0x5000);
    carries_out(HA_FOLLOW, true);
    assert_non_null(strstr(calls(), "upstream a,b"));
    answer("reload", 0);
    answer("upstream", 0);
    run_for(0);
    carries_out(HA_FOLLOW, false);
    assert_non_null(strstr(calls(), "upstream 10.0.0.2"));
    assert_string_equal(rig.reloaded, "slot=own nostream=0 =");
    assert_false(rig.agent.facts.upstream.remote);
    assert_string_equal(rig.agent.facts.upstream.name, "n2");
    rig_free();
}

/* --- who is asked ----------------------------------------------------------------------------- */

static void asked(int rc, enum pg_role role, uint64_t system_id)
{
    struct pg_peer_facts facts = {
        .role = role, .system_identifier = system_id, .timeline = 3, .lsn = 0x5000};
    struct error err = {.code = rc, .text = "asked"};
    struct pending pending = answer_take("ask_peer");
    pending.asked(pending.arg, rc, &facts, &err);
    run_for(0);
    (void)calls();
}

static void hosts_are_asked_in_turn_until_one_is_the_primary(void **state)
{
    (void)state;
    configured(HOSTS);
    standby_runs(0x5000);
    carries_out(HA_CHECK_DIVERGENCE, true);
    assert_non_null(strstr(calls(), "ask_peer a:6432"));
    asked(ERR_TIMEOUT, PG_ROLE_UNKNOWN, 0);
    assert_int_equal(rig.agent.facts.rejoin.divergence, HA_DIVERGENCE_UNKNOWN);
    carries_out(HA_CHECK_DIVERGENCE, true);
    assert_non_null(strstr(calls(), "ask_peer b:6432"));
    asked(0, PG_STANDBY, 7000000000000000042ULL); /* no primary */
    assert_true(rig.agent.facts.job.failed);
    carries_out(HA_CHECK_DIVERGENCE, true);
    assert_non_null(strstr(calls(), "ask_peer a:6432"));
    asked(0, PG_PRIMARY, 7000000000000000043ULL); /* of another system identifier */
    assert_true(rig.agent.facts.job.failed);
    carries_out(HA_CHECK_DIVERGENCE, true);
    assert_non_null(strstr(calls(), "ask_peer b:6432"));
    asked(0, PG_PRIMARY, 7000000000000000042ULL);
    assert_false(rig.agent.facts.job.failed);
    assert_int_equal(rig.agent.facts.rejoin.divergence, HA_DIVERGENCE_NONE);
    assert_string_equal(rig.agent.facts.rejoin.remote, "a,b:6432");
    carries_out(HA_CHECK_DIVERGENCE, true);
    assert_non_null(strstr(calls(), "ask_peer b:6432")); /* it stays with who has answered */
    rig_free();
}

/* Our timeline 3 began at `ours`, that of the other cluster at `theirs`. */
static enum ha_divergence compared(const char *ours, uint64_t theirs, uint32_t their_timeline)
{
    char directory[64];
    char path[PG_PATH_BYTES];
    struct pg_history_entry entries[] = {{1, 0x1000}, {2, theirs}, {3, 0x9000}};
    struct pg_peer_facts facts = {.role = PG_PRIMARY,
                                  .system_identifier = 7000000000000000042ULL,
                                  .timeline = their_timeline,
                                  .lsn = 0x9000,
                                  .history = {their_timeline, their_timeline - 1, entries}};
    configured(HOSTS);
    scratch_make(directory, sizeof directory, "/tmp", "remote");
    rig.config.postgresql.data_dir = directory;
    (void)snprintf(path, sizeof path, "%s/pg_wal", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/pg_wal/00000003.history", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "1\t0/1000\tx\n2\t%s\tx\n", ours);
    (void)fclose(file);
    standby_runs(0x5000);
    carries_out(HA_CHECK_DIVERGENCE, true);
    struct pending pending = answer_take("ask_peer");
    pending.asked(pending.arg, 0, &facts, NULL);
    run_for(0);
    assert_false(rig.agent.facts.job.running);
    enum ha_divergence divergence = rig.agent.facts.rejoin.divergence;
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/pg_wal", directory);
    (void)rmdir(path);
    (void)rmdir(directory);
    rig_free();
    return divergence;
}

/* Both sides were promoted while they did not hear of each other: pg_rewind would find nothing to
 * do, and records of two histories would come after each other. */
static void timelines_of_one_number_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(compared("0/2000", 0x2000, 3), HA_DIVERGENCE_NONE);
    assert_int_equal(compared("0/2000", 0x3000, 3), HA_DIVERGENCE_FORKED);
    assert_int_equal(compared("0/2000", 0x2000, 4), HA_DIVERGENCE_NONE);
    assert_int_equal(compared("0/2000", 0x3000, 4), HA_DIVERGENCE_REWIND);
    assert_int_equal(compared("nonsense", 0x3000, 3), HA_DIVERGENCE_NONE);
}

static void a_rewind_is_allowed_as_long_as_the_section_is_what_it_was(void **state)
{
    (void)state;
    configured(HOSTS);
    rig.agent.facts.cluster.leader_epoch = EPOCH;
    (void)snprintf(rig.agent.facts.rejoin.remote, HA_URL_BYTES, "a,b:6432");
    carries_out(HA_REWIND, true);
    assert_non_null(strstr(calls(), "rewind"));
    assert_true(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    rig.agent.facts.cluster.leader_epoch.revision++; /* another term */
    assert_false(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    rig.agent.facts.cluster.leader_epoch = EPOCH;
    (void)snprintf(rig.agent.facts.cluster.leader, HA_NAME_BYTES, "n1"); /* ours, and no lease */
    assert_false(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
    assert_true(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    key_set("config", SECTION("\"host\":\"c\""));
    rig.agent.dynamic.standby_cluster = false;
    assert_false(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    rig_free();
}

/* The run that began it is gone, and a half-rewound directory gets no look: nothing was asked. */
static void a_rewind_that_was_cut_off_is_begun_anew_by_the_next_run(void **state)
{
    (void)state;
    configured(HOSTS);
    rig.agent.facts.cluster.leader_epoch = EPOCH;
    assert_string_equal(rig.agent.facts.rejoin.remote, "");
    carries_out(HA_REWIND, true);
    assert_true(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    assert_string_equal(rig.agent.facts.rejoin.remote, "a,b:6432");
    assert_true(ha_epoch_equal(rig.agent.facts.rejoin.epoch, EPOCH));
    answer("rewind", ERR_IO);
    run_for(0);
    assert_int_equal(rig.agent.facts.rejoin.rewind, HA_REWIND_FAILED);
    rig_free();
    configured(HOSTS); /* the same, where the host was corrected meanwhile */
    rig.agent.facts.cluster.leader_epoch = EPOCH;
    rig.agent.facts.rejoin = (struct ha_rejoin){
        .epoch = EPOCH, .remote = "c:5432", .rewind = HA_REWIND_FAILED, .lost_timeline = 3};
    carries_out(HA_REWIND, true);
    assert_true(rig.rewind.still_allowed(rig.rewind.still_allowed_arg));
    assert_int_equal(rig.agent.facts.rejoin.rewind, HA_REWIND_NOT_TRIED);
    assert_int_equal(rig.agent.facts.rejoin.lost_timeline, 3);
    rig_free();
}

static void a_copy_goes_on_only_in_a_standby_cluster(void **state)
{
    (void)state;
    configured(HOSTS);
    carries_out(HA_CLONE, true);
    assert_non_null(strstr(calls(), "clone"));
    assert_int_equal(rig.agent.facts.job.kind, HA_JOB_CLONE);
    answer("clone", ERR_IO);
    run_for(0);
    assert_int_equal(rig.agent.remote_index, 1); /* another host is next */
    rig_free();
    configured("{\"ttl\":20,\"loop_wait\":1,\"retry_timeout\":2}");
    carries_out(HA_CLONE, true);
    assert_non_null(strstr(last_outcome(), "no standby cluster any more"));
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_section_in_the_store_is_what_counts),
        cmocka_unit_test(one_that_cannot_be_obeyed_is_not_passed_over),
        cmocka_unit_test(the_section_of_the_file_is_for_a_new_cluster),
        cmocka_unit_test(nobody_is_promoted_where_a_member_leads_by_a_section_that_cannot_be_read),
        cmocka_unit_test(a_start_waits_for_the_settings_that_go_with_it),
        cmocka_unit_test(an_archive_alone_is_no_place_to_receive_from),
        cmocka_unit_test(another_member_is_followed_with_the_usual_settings),
        cmocka_unit_test(hosts_are_asked_in_turn_until_one_is_the_primary),
        cmocka_unit_test(timelines_of_one_number_are_told_apart),
        cmocka_unit_test(a_rewind_is_allowed_as_long_as_the_section_is_what_it_was),
        cmocka_unit_test(a_rewind_that_was_cut_off_is_begun_anew_by_the_next_run),
        cmocka_unit_test(a_copy_goes_on_only_in_a_standby_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
