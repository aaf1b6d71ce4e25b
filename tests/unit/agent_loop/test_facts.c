/* What a decision gets to see: everything, with its age; what is not known is told as unknown. */
#include "loop_fixture.h"

#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_plan.h"

static struct ha_snapshot shot; /* large: not on the stack */

static const struct ha_snapshot *look(void)
{
    facts_snapshot(&rig.agent, &shot);
    return &shot;
}

static void nothing_that_was_not_seen_is_known(void **state)
{
    (void)state;
    rig_init();
    rig.fence_connected = false;
    observe_run(&rig.agent);
    const struct ha_snapshot *s = look();
    assert_false(s->self.directory_known);
    assert_int_equal(s->self.run, HA_RUN_UNKNOWN);
    assert_int_equal(s->self.role, PG_ROLE_UNKNOWN);
    assert_false(s->self.probe_fresh);
    assert_false(s->self.position_known);
    assert_string_equal(s->self.system_id, "");
    assert_false(s->cluster.known);
    assert_false(s->fence.connected);
    assert_false(s->fence.all_gone); /* nobody has looked */
    assert_false(s->holding.held);
    assert_int_equal(s->unlocked_since_mono_ms, HA_NEVER);
    assert_int_equal(s->job.ended_mono_ms, HA_NEVER);
    assert_int_equal(s->self.crash_since_mono_ms, HA_NEVER);
    assert_int_equal(s->self.upstream.streaming_lost_mono_ms, HA_NEVER);
    rig_free();
}

/* The text has what differs from "nothing is known", where a time is HA_NEVER: a field that nobody
 * fills would be a zero. */
static void no_time_of_a_fresh_start_is_the_start_of_the_clock(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    rig_init();
    ha_snapshot_print(look(), &text);
    buf_put_str(&text, " ");
    for (const char *at = strstr(buf_str(&text), "=0"); at != NULL; at = strstr(at + 1, "=0")) {
        if (at[2] == ' ' || at[2] == '\n') {
            fail_msg("a zero in:\n%s", buf_str(&text));
        }
    }
    buf_free(&text);
    rig_free();
}

static void an_answer_of_the_instance_is_fresh_for_a_while(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    assert_true(look()->self.probe_fresh);
    assert_int_equal(look()->self.lsn, 1000);
    rig.now_ms += LOOP_PROBE_FRESH_MS;
    assert_true(look()->self.probe_fresh);
    rig.now_ms++;
    assert_false(look()->self.probe_fresh);
    assert_int_equal(look()->self.role,
                     PG_STANDBY); /* the last that is known, and said to be old */
    assert_int_equal(look()->self.lsn, 1000);
    rig_free();
}

static void an_instance_that_does_not_answer_any_more_has_no_fresh_answer(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    rig.agent.facts.probe_rc = ERR_TIMEOUT;
    assert_false(look()->self.probe_fresh);
    rig_free();
}

static void a_position_from_before_the_detaching_is_none(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    rig.agent.facts.upstream.detached = true;
    rig.agent.facts.upstream.streaming_lost_mono_ms = rig.now_ms;
    assert_false(look()->self.probe_fresh); /* the same millisecond: nobody knows which was first */
    rig.agent.facts.probe.asked_ms++;
    rig.now_ms++;
    assert_true(look()->self.probe_fresh);
    rig_free();
}

/* An answer that is on its way at the detaching, or asked in its millisecond, is of no use; waiting
 * for the next look would cost half a second of every failover. */
static void a_detached_standby_is_asked_again_until_the_answer_counts(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    run_for(10);
    while (is_asked("probe")) {
        answer_probe(1000);
    }
    plan_begin("detach", "nobody leads");
    plan_add(HA_DETACH);
    carry_out();
    answer("upstream none", 0);
    run_for(LOOP_PROBE_AGAIN_MS + 2); /* asked in that millisecond, and slowly answered */
    answer_probe(1000);
    assert_false(look()->self.probe_fresh);
    run_for(0);
    answer_probe(1000);
    assert_true(look()->self.probe_fresh);
    rig_free();
}

/* What it had of its own was compared with the leader's before all of it was replayed: it may turn
 * out to be of another history, and then nothing ever comes. */
static void a_standby_to_which_nothing_ever_comes_is_one_that_lost_its_stream(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    rig.agent.facts.upstream = (struct ha_upstream){
        .known = true, .service_in_force = true, .streaming_lost_mono_ms = HA_NEVER};
    (void)snprintf(rig.agent.facts.upstream.name, sizeof rig.agent.facts.upstream.name, "n2");
    key_set("leader", "n2");
    run_for(10);
    struct pending pending = answer_take("probe");
    standby_says(1000);
    said.receiver_alive = false;
    said.local_wal_replayed = false;
    pending.probed(pending.arg, 0, &said, NULL);
    assert_int_equal(look()->self.upstream.streaming_lost_mono_ms, HA_NEVER);
    observe_probe_soon(&rig.agent);
    run_for(10);
    said.local_wal_replayed = true;
    answer_said();
    assert_int_equal(look()->self.upstream.streaming_lost_mono_ms, rig.now_ms);
    rig_free();
}

static void a_running_server_speaks_for_its_directory(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    assert_false(rig.agent.facts.inspected);
    assert_true(look()->self.directory_known);
    assert_int_equal(look()->self.directory, PG_DIR_VALID);
    assert_string_equal(look()->self.system_id, "7000000000000000042");
    rig_free();
}

/* Its server runs, and its users may be missing: gone on with, it would be put beside when it
 * stops. */
static void a_bootstrap_that_was_cut_off_is_unfinished_though_its_server_runs(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_UNFINISHED,
                                  .unfinished = PG_UNFINISHED_BOOTSTRAP,
                                  .running = true,
                                  .control = {.system_identifier = 7000000000000000042}};
    rig_init();
    standby_runs(1000);
    rig.agent.facts.probe.role = PG_PRIMARY;
    assert_false(look()->self.directory_known);
    run_for(0);
    answer_inspect(&found);
    rig.agent.facts.probe.role = PG_PRIMARY;
    assert_true(look()->self.directory_known);
    assert_int_equal(look()->self.directory, PG_DIR_UNFINISHED);
    assert_int_equal(look()->self.unfinished, PG_UNFINISHED_BOOTSTRAP);
    key_set("initialize", "7000000000000000042"); /* it is the cluster's now, whatever is noted */
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->self.directory, PG_DIR_VALID);
    rig_free();
}

/* What changed under a look is looked at anew, and at once: a stop waits for it before the key
 * goes.
 */
static void a_look_that_came_too_early_is_taken_again_at_once(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID};
    rig_init();
    observe_inspect(&rig.agent);
    run_for(0);
    assert_true(is_asked("inspect"));
    observe_inspect(&rig.agent);
    run_for(0); /* one is under way */
    answer_inspect(&found);
    assert_false(rig.agent.facts.inspected);
    run_for(0);
    assert_true(is_asked("inspect"));
    rig_free();
}

/* What kept it from being read passes: it is looked at again without being told to. */
static void a_directory_of_no_use_is_looked_at_again(void **state)
{
    (void)state;
    static const enum pg_dir_kind kinds[] = {PG_DIR_BROKEN, PG_DIR_UNREADABLE, PG_DIR_FOREIGN,
                                             PG_DIR_DOUBTFUL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct pg_inspection found = {.kind = kinds[i]};
        rig_init();
        observe_inspect(&rig.agent);
        run_for(0);
        answer_inspect(&found);
        run_for(LOOP_INSPECT_AGAIN_MS / 2);
        assert_false(is_asked("inspect"));
        run_for(LOOP_INSPECT_AGAIN_MS);
        assert_true(is_asked("inspect"));
        found.kind = PG_DIR_VALID;
        answer_inspect(&found);
        run_for(2 * LOOP_INSPECT_AGAIN_MS);
        assert_false(is_asked("inspect"));
        rig_free();
    }
}

static void a_stopped_instance_is_known_by_its_control_file(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID,
                                  .service_in_force = true,
                                  .control = {.system_identifier = 7000000000000000042,
                                              .state = PG_CONTROL_SHUT_DOWN,
                                              .timeline = 3,
                                              .checkpoint_lsn = 500}};
    rig_init();
    run_for(0);
    answer_inspect(&found);
    assert_true(look()->self.directory_known);
    assert_int_equal(look()->self.run, HA_RUN_STOPPED);
    assert_int_equal(look()->self.shutdown_lsn, 500);
    assert_int_equal(look()->self.role, PG_ROLE_UNKNOWN);
    found.control.state = PG_CONTROL_IN_PRODUCTION; /* it was killed: nobody knows the position */
    observe_inspect(&rig.agent);
    assert_false(look()->self.directory_known);
    run_for(0);
    answer_inspect(&found);
    assert_int_equal(look()->self.shutdown_lsn, 0);
    rig_free();
}

/* What they publish is of before, and would keep the key from them. */
static void who_streamed_up_to_a_stop_in_order_has_all_of_it(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID,
                                  .control = {.system_identifier = 7000000000000000042,
                                              .state = PG_CONTROL_SHUT_DOWN,
                                              .timeline = 3,
                                              .checkpoint_lsn = 500}};
    rig_init();
    standby_runs(300);
    said.role = PG_PRIMARY;
    said.replica_count = 2;
    said.replicas[0] = (struct pg_replica){.state = "streaming", .flush_lsn = 200};
    (void)snprintf(said.replicas[0].application_name, sizeof said.replicas[0].application_name,
                   "n2");
    said.replicas[1] = (struct pg_replica){.state = "catchup", .flush_lsn = 200};
    rig.agent.facts.probe = said;
    assert_int_equal(look()->self.replica_count, 1);
    assert_int_equal(look()->self.replicas[0].lsn, 200);
    rig.agent.facts.stop_ordered = true;
    postmaster_gone();
    observe_run(&rig.agent);
    run_for(0);
    answer_inspect(&found);
    assert_int_equal(look()->self.run, HA_RUN_STOPPED);
    assert_int_equal(look()->self.replica_count, 1);
    assert_string_equal(look()->self.replicas[0].name, "n2");
    assert_int_equal(look()->self.replicas[0].lsn, 500);
    found.control.state = PG_CONTROL_IN_PRODUCTION; /* killed: nobody waited for them */
    observe_inspect(&rig.agent);
    run_for(0);
    answer_inspect(&found);
    assert_int_equal(look()->self.replica_count, 0);
    rig_free();
}

static void primary_says(unsigned replicas)
{
    standby_says(300);
    said.role = PG_PRIMARY;
    said.replica_count = replicas;
    for (unsigned i = 0; i < replicas; i++) {
        said.replicas[i] = (struct pg_replica){.state = "streaming", .flush_lsn = 300};
    }
}

/* A standby may have begun to stream since the last look: nobody is refused for that. */
static void a_request_waits_for_a_look_that_is_younger(void **state)
{
    (void)state;
    rig_init();
    standby_runs(300);
    primary_says(0);
    rig.agent.facts.probe = said;
    run_for(10);
    while (is_asked("probe")) {
        answer_said();
    }
    assert_false(look()->self.looks_for_request);
    key_set("failover", "{\"leader\":\"n1\",\"candidate\":\"n2\"}");
    observe_store_changed(&rig.agent);
    run_for(0);
    assert_true(look()->self.looks_for_request);
    run_for(LOOP_PROBE_AGAIN_MS); /* at once, and no earlier answer counts */
    primary_says(1);
    said.asked_ms = rig.agent.facts.failover_mono_ms;
    answer_said();
    assert_true(look()->self.looks_for_request);
    run_for(LOOP_PROBE_AGAIN_MS);
    unsigned views = rig.views;
    primary_says(1);
    answer_said();
    assert_false(look()->self.looks_for_request);
    assert_int_equal(look()->self.replica_count, 1);
    run_for(0);
    assert_true(rig.views > views); /* and it is decided anew */

    key_set("failover", "{\"leader\":\"n1\"}"); /* another one */
    observe_store_changed(&rig.agent);
    run_for(0);
    assert_true(look()->self.looks_for_request);
    rig.agent.facts.probe_rc = ERR_TIMEOUT; /* who does not answer holds up nothing */
    assert_false(look()->self.looks_for_request);
    rig_free();
}

static void a_bootstrap_is_unannounced_until_the_store_names_it(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID,
                                  .control = {.system_identifier = 7000000000000000042},
                                  .unannounced_system_id = 7000000000000000042};
    rig_init();
    run_for(0);
    answer_inspect(&found);
    assert_true(look()->self.unannounced);
    key_set("initialize", "43"); /* somebody else's */
    observe_store_changed(&rig.agent);
    assert_false(is_asked("announced"));
    assert_true(look()->self.unannounced);
    key_set("initialize", "7000000000000000042");
    observe_store_changed(&rig.agent);
    assert_true(is_asked("announced"));
    answer("announced", ERR_IO);
    assert_true(look()->self.unannounced);
    observe_inspect(&rig.agent);
    run_for(0);
    answer_inspect(&found);
    answer("announced", 0);
    assert_false(look()->self.unannounced);
    rig_free();
}

/* A note about another directory's cluster says nothing about this one. */
static void only_the_directory_of_the_note_is_unannounced(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID,
                                  .control = {.system_identifier = 7000000000000000043},
                                  .unannounced_system_id = 7000000000000000042};
    rig_init();
    run_for(0);
    answer_inspect(&found);
    assert_false(look()->self.unannounced);
    rig_free();
}

static void a_look_at_the_directory_that_fails_is_repeated(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_EMPTY};
    rig_init();
    run_for(0);
    answer("inspect", ERR_TIMEOUT);
    assert_false(look()->self.directory_known);
    run_for(LOOP_PROBE_STARTING_MS + LOOP_PROBE_MS_MAX);
    answer_inspect(&found);
    assert_true(look()->self.directory_known);
    rig_free();
}

static void going_down_without_an_order_is_a_crash_and_with_one_a_stop(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(look()->self.run, HA_RUN_CRASHED);
    assert_int_equal(look()->self.crash_since_mono_ms, rig.now_ms);
    assert_int_equal(look()->self.crashes, 1);
    rig_free();
    rig_init();
    standby_runs(1000);
    rig.agent.facts.stop_ordered = true;
    observe_run(&rig.agent);
    assert_int_equal(look()->self.run, HA_RUN_STOPPING);
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(look()->self.run, HA_RUN_STOPPED);
    assert_int_equal(look()->self.crash_since_mono_ms, HA_NEVER);
    rig_free();
}

/* The agent was restarted, and the instance does not answer yet: its directory tells what it is. */
static void an_instance_of_an_earlier_run_is_what_its_directory_says(void **state)
{
    (void)state;
    for (int standby = 0; standby <= 1; standby++) {
        struct pg_inspection found = {
            .kind = PG_DIR_VALID, .running = true, .standby_signal = standby == 1};
        rig_init();
        rig.fence.running = true;
        rig.fence.starts = 1;
        rig.fence.all_gone = false;
        rig.agent.facts.ever_ran = true;
        observe_run(&rig.agent);
        run_for(0);
        answer_inspect(&found);
        assert_int_equal(look()->self.run, HA_RUN_STARTING);
        assert_int_equal(look()->self.role, standby == 1 ? PG_STANDBY : PG_PRIMARY);
        rig_free();
    }
}

/* The agent came back before the postmaster that its predecessor had asked for wrote its pid file:
 * without a second look it could promise nothing for as long as that one lives. */
static void a_server_that_was_not_there_at_the_look_is_looked_at_again(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID, .standby_signal = true};
    rig_init();
    postmaster_runs();
    run_for(0);
    answer_inspect(&found);
    assert_false(look()->self.upstream.service_in_force);
    run_for(LOOP_PROBE_STARTING_MS);
    answer_probe(1000);
    run_for(0);
    assert_int_equal(look()->self.run, HA_RUN_RUNNING);
    found.running = found.service_in_force = true;
    answer_inspect(&found);
    assert_true(look()->self.upstream.service_in_force);
    run_for(10000);
    assert_false(is_asked("inspect"));
    rig_free();
}

static void the_fence_tells_whether_anything_is_left(void **state)
{
    (void)state;
    struct pg_inspection found = {.kind = PG_DIR_VALID, .running = true};
    rig_init();
    observe_run(&rig.agent);
    assert_true(look()->fence.all_gone);
    rig.fence.killing = true;
    assert_false(look()->fence.all_gone);
    rig.fence.killing = false;
    rig.fence.starts = 1;
    rig.fence.all_gone = false;
    assert_false(look()->fence.all_gone);
    rig.fence.all_gone = true;
    run_for(0);
    answer_inspect(&found); /* a postmaster that is not the fence's child */
    assert_false(look()->fence.all_gone);
    assert_true(look()->fence.adopted);
    rig_free();
}

static void the_page_is_told_as_it_stands(void **state)
{
    (void)state;
    struct fence_lease lease = {.epoch = {7, 9},
                                .soft_ms = 2000000,
                                .deadline_ms = 2003000,
                                .watchdog_ms = FENCE_NO_DEADLINE};
    rig_init();
    assert_false(look()->fence.armed);
    assert_int_equal(look()->fence.page_epoch.revision, 0);
    fence_page_write(fence_client_page(NULL), &lease);
    assert_true(look()->fence.armed);
    assert_int_equal(look()->fence.page_epoch.revision, 9);
    assert_false(look()->fence.fired);
    rig.fence.fired = lease.epoch;
    assert_true(look()->fence.fired);
    lease.soft_ms = lease.deadline_ms = FENCE_OVER;
    fence_page_write(fence_client_page(NULL), &lease);
    assert_true(look()->fence.over);
    assert_false(look()->fence.armed);
    rig_free();
}

static void the_leader_key_is_missed_from_when_it_was_seen_missing(void **state)
{
    (void)state;
    rig_init();
    key_set("leader", "n2");
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->unlocked_since_mono_ms, HA_NEVER);
    rig.key_count = 0;
    rig.revision++;
    rig.now_ms += 70;
    observe_store_changed(&rig.agent);
    int64_t since_ms = rig.now_ms;
    assert_int_equal(look()->unlocked_since_mono_ms, since_ms);
    rig.now_ms += 70;
    key_set("status", "{}");
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->unlocked_since_mono_ms, since_ms);
    key_set("leader", "n3");
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->unlocked_since_mono_ms, HA_NEVER);
    rig_free();
}

/* They take no part in anything, and nobody would see why. */
static void members_that_are_left_out_are_told_once(void **state)
{
    static const char told[] = "keys of members and reports left out";
    (void)state;
    rig_init();
    for (int i = 10; i < 10 + HA_MEMBERS_MAX; i++) {
        char key[32];
        snprintf(key, sizeof key, "members/n%d", i);
        key_set(key, "{\"state\": \"running\"}");
    }
    observe_store_changed(&rig.agent);
    assert_null(strstr(buf_str(&rig.logged), told));
    key_set("members/x1", "{\"state\": \"running\"}");
    observe_store_changed(&rig.agent);
    assert_non_null(
        strstr(buf_str(&rig.logged), "keys of members and reports left out: 1; 16 of each"));
    buf_clear(&rig.logged);
    key_set("members/x1", "{\"state\": \"stopped\"}");
    observe_store_changed(&rig.agent);
    assert_null(strstr(buf_str(&rig.logged), told));
    key_set("members/x2", "{\"state\": \"running\"}");
    observe_store_changed(&rig.agent);
    assert_non_null(strstr(buf_str(&rig.logged), "keys of members and reports left out: 2; "));
    buf_clear(&rig.logged);
    rig.key_count = 0;
    rig.revision++;
    observe_store_changed(&rig.agent);
    assert_non_null(
        strstr(buf_str(&rig.logged), "no key of a member or report is left out any more"));
    rig_free();
}

static void a_configuration_that_is_refused_is_told_and_changes_nothing(void **state)
{
    (void)state;
    rig_init();
    key_set("config", "{\"ttl\": 20, \"citus\": {\"group\": 1}}");
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->settings.ttl_ms, TTL_MS);
    assert_non_null(strstr(look()->settings.refused, "citus"));
    key_set("config", "{\"ttl\": 20, \"loop_wait\": 2, \"retry_timeout\": 2}");
    observe_store_changed(&rig.agent);
    assert_int_equal(look()->settings.ttl_ms, 20000);
    assert_string_equal(look()->settings.refused, "");
    rig_free();
}

/* A witness of ours beside a Patroni may have its name: the group hears it, and that says nothing.
 */
static void who_is_asked_is_known_by_his_answers_alone(void **state)
{
    (void)state;
    rig_init();
    struct loop_facts *facts = &rig.agent.facts;
    facts->heard_count = 2;
    facts->heard[0] = (struct ha_peer){.name = "n2", .heard_mono_ms = rig.now_ms};
    facts->heard[1] = (struct ha_peer){.name = "n3", .heard_mono_ms = rig.now_ms};
    facts->peer_count = 1;
    facts->peers[0] = (struct ha_peer){
        .name = "n3", .heard_mono_ms = rig.now_ms - 1500, .silent_ms = 2000, .patroni = true};
    const struct ha_snapshot *s = look();
    assert_int_equal(s->peer_count, 2);
    assert_true(ha_peer(s, "n3")->patroni);
    assert_true(ha_is_heard(s, "n3")); /* by its own measure */
    rig.now_ms += 501;
    assert_false(ha_is_heard(look(), "n3"));
    assert_true(ha_is_heard(look(), "n2"));
    rig_free();
}

static const char *upstream_wanted(void)
{
    const struct ha_member *wanted = ha_wanted_upstream(look());
    return wanted == NULL ? "" : wanted->name;
}

static void follow(const char *member)
{
    struct ha_action *action;
    plan_begin("follow", "as the tag says, or the leader");
    action = plan_add(HA_FOLLOW);
    (void)snprintf(action->member, sizeof action->member, "%s", member);
    action->epoch = rig.agent.facts.cluster.leader_epoch;
    carry_out();
    answer("upstream", 0);
}

/* n3 runs and says so, and sends nothing: to try it again all the time would end a walreceiver each
 * time, and the leader has the WAL. */
static void who_left_the_member_that_it_was_to_follow_stays_away_for_a_while(void **state)
{
    (void)state;
    rig_settle();
    rig.config.tags.replicatefrom = "n3";
    key_set("members/n3", "{\"conn_url\":\"postgres://10.0.0.3:5432/postgres\","
                          "\"state\":\"running\",\"role\":\"replica\",\"timeline\":3}");
    observe_store_changed(&rig.agent);
    standby_runs(1000);
    assert_string_equal(upstream_wanted(), "n3");
    follow("n3");
    assert_string_equal(upstream_wanted(), "n3");
    run_for(HA_NOT_STREAMING_MS);
    assert_string_equal(upstream_wanted(), "n2");
    follow("n2");
    assert_string_equal(upstream_wanted(), "n2");
    run_for(HA_CASCADE_AGAIN_MS - 1);
    assert_string_equal(upstream_wanted(), "n2");
    run_for(1);
    assert_string_equal(upstream_wanted(), "n3");
    rig_free();
}

static void pg_rewind_is_possible_as_the_file_says_else_as_the_store_does(void **state)
{
    (void)state;
    rig_init();
    struct config_postgresql *file = &rig.config.postgresql;
    rig.agent.facts.inspection.control.data_checksums = true;
    for (int i = 0; i < 8; i++) {
        file->use_pg_rewind_given = (i & 1) != 0;
        file->use_pg_rewind = (i & 2) != 0;
        rig.agent.dynamic.use_pg_rewind = (i & 4) != 0;
        bool wanted =
            file->use_pg_rewind_given ? file->use_pg_rewind : rig.agent.dynamic.use_pg_rewind;
        assert_int_equal(look()->settings.rewind_possible, wanted);
    }
    rig.agent.facts.inspection.control.data_checksums = false; /* nor wal_log_hints */
    file->use_pg_rewind_given = file->use_pg_rewind = true;
    assert_false(look()->settings.rewind_possible);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_was_not_seen_is_known),
        cmocka_unit_test(no_time_of_a_fresh_start_is_the_start_of_the_clock),
        cmocka_unit_test(an_answer_of_the_instance_is_fresh_for_a_while),
        cmocka_unit_test(an_instance_that_does_not_answer_any_more_has_no_fresh_answer),
        cmocka_unit_test(a_position_from_before_the_detaching_is_none),
        cmocka_unit_test(a_detached_standby_is_asked_again_until_the_answer_counts),
        cmocka_unit_test(a_standby_to_which_nothing_ever_comes_is_one_that_lost_its_stream),
        cmocka_unit_test(a_running_server_speaks_for_its_directory),
        cmocka_unit_test(a_bootstrap_that_was_cut_off_is_unfinished_though_its_server_runs),
        cmocka_unit_test(a_directory_of_no_use_is_looked_at_again),
        cmocka_unit_test(a_look_that_came_too_early_is_taken_again_at_once),
        cmocka_unit_test(a_stopped_instance_is_known_by_its_control_file),
        cmocka_unit_test(who_streamed_up_to_a_stop_in_order_has_all_of_it),
        cmocka_unit_test(a_request_waits_for_a_look_that_is_younger),
        cmocka_unit_test(a_bootstrap_is_unannounced_until_the_store_names_it),
        cmocka_unit_test(only_the_directory_of_the_note_is_unannounced),
        cmocka_unit_test(a_look_at_the_directory_that_fails_is_repeated),
        cmocka_unit_test(going_down_without_an_order_is_a_crash_and_with_one_a_stop),
        cmocka_unit_test(an_instance_of_an_earlier_run_is_what_its_directory_says),
        cmocka_unit_test(a_server_that_was_not_there_at_the_look_is_looked_at_again),
        cmocka_unit_test(the_fence_tells_whether_anything_is_left),
        cmocka_unit_test(the_page_is_told_as_it_stands),
        cmocka_unit_test(the_leader_key_is_missed_from_when_it_was_seen_missing),
        cmocka_unit_test(members_that_are_left_out_are_told_once),
        cmocka_unit_test(a_configuration_that_is_refused_is_told_and_changes_nothing),
        cmocka_unit_test(who_is_asked_is_known_by_his_answers_alone),
        cmocka_unit_test(who_left_the_member_that_it_was_to_follow_stays_away_for_a_while),
        cmocka_unit_test(pg_rewind_is_possible_as_the_file_says_else_as_the_store_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
