/* The real other side of REST (agent/app_api.c): pictures made of facts, and writes that go through
 * the real rules of the dynamic configuration into a store of the test's. */
#include "agent/version.h"
#include "tests/unit/agent_api/app_fixture.h"

#include "agent/api/api_private.h"
#include "tests/unit/agent_api/prometheus.h"

static unsigned trials;
static struct prom prom;

/* PostgreSQL is not asked: there is none. What its source has beside stands here as well. */
int pg_instance_try_settings(struct pg_instance *instance, const struct pg_reload *wanted,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)instance;
    (void)wanted;
    (void)timeout_ms;
    (void)done;
    (void)arg;
    trials++;
    return error_set(err, ERR_UNSUPPORTED, "it cannot be asked");
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)instance;
    (void)reload;
    (void)timeout_ms;
    (void)done;
    (void)arg;
    return error_set(err, ERR_BUG, "nobody asks for this here");
}

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    (void)done;
    (void)arg;
    return error_set(err, ERR_BUG, "nobody asks for this here");
}

/* --- PATCH and PUT /config -------------------------------------------------------------------- */

static void a_patch_merges_and_null_deletes(void **state)
{
    (void)state;
    int fd = rig_post("PATCH /config",
                      "{\"loop_wait\": 5, \"x\": {\"y\": null, \"w\": 0.3}, \"postgresql\": "
                      "{\"parameters\": {\"work_mem\": null, \"max_connections\": 200}}}");
    apply(0);
    static const char merged[] =
        "{\"ttl\": 30, \"loop_wait\": 5, \"maximum_lag_on_failover\": 1048576, \"x\": {\"z\": [1], "
        "\"w\": 0.3}, \"postgresql\": {\"parameters\": {\"max_connections\": 200}}}";
    const char *reply = rig_reply(fd);
    assert_int_equal(rig_code(reply), 200);
    assert_string_equal(rig_body(reply), merged);
    assert_string_equal(store.puts[0].key, "config");
    assert_int_equal(store.puts[0].compare, 11);
    assert_string_equal(
        stored("config"),
        "{\"ttl\":30,\"loop_wait\":5,\"maximum_lag_on_failover\":1048576,\"x\":{\"z\":[1],"
        "\"w\":0.3},\"postgresql\":{\"parameters\":{\"max_connections\":200}}}");
    assert_string_equal(get_text("/config"), merged);
}

/* 0.1 must not come out as 0.10000000000000001. */
static void reals_keep_their_digits_everywhere(void **state)
{
    (void)state;
    assert_non_null(strstr(get_text("/config"), "\"y\": 0.1,"));
    assert_non_null(strstr(get_text("/patroni"), "\"weight\": 0.7"));
    assert_non_null(strstr(get_text("/cluster"), "\"weight\": 0.7"));
    int fd = rig_post("PATCH /config", "{\"v\": [0.2, 1e300, -2.5]}");
    apply(0);
    assert_non_null(strstr(rig_reply(fd), "\"v\": [0.2, 1e300, -2.5]"));
    assert_non_null(strstr(stored("config"), "\"v\":[0.2,1e300,-2.5]"));
}

static void a_patch_that_changes_nothing_writes_nothing(void **state)
{
    (void)state;
    const char *reply = rig_reply(rig_post("PATCH /config", "{\"ttl\": \"30\", \"none\": null}"));
    assert_int_equal(rig_code(reply), 200);
    assert_non_null(strstr(reply, "\"ttl\": 30"));
    reply = rig_reply(rig_post("PUT /config", get_text("/config")));
    assert_int_equal(rig_code(reply), 200);
    assert_int_equal(store.put_count, 0);
}

static void refused_whole_with_the_name_of_the_key(void **state)
{
    static const struct {
        const char *patch;
        const char *named;
    } refused[] = {
        {"{\"citus\": {\"group\": 1}}", "citus"},
        {"{\"standby_cluster\": {\"primary_slot_name\": \"s\"}}",
         "standby_cluster: incomplete: give host, port or restore_command"},
        {"{\"standby_cluster\": {\"host\": \"h\", \"port\": 70000}}", "standby_cluster.port"},
        {"{\"standby_cluster\": true}", "standby_cluster"},
        {"{\"synchronous_mode\": \"sometimes\"}", "synchronous_mode"},
        {"{\"synchronous_node_count\": 0}", "synchronous_node_count"},
        {"{\"pause\": \"maybe\"}", "pause"},
        {"{\"failsafe_mode\": \"maybe\"}", "failsafe_mode"},
        {"{\"ttl\": \"soon\"}", "ttl"},
        {"{\"ttl\": 1}", "ttl"},
        {"{\"ttl\": [30]}", "ttl"},
        {"{\"loop_wait\": 0}", "loop_wait"},
        {"{\"retry_timeout\": {}}", "retry_timeout"},
        {"{\"ttl\": 20}", "ttl"}, /* loop_wait 10 + 2 * retry_timeout 10 */
        {"{\"maximum_lag_on_failover\": \"much\"}", "maximum_lag_on_failover"},
        {"{\"postgresql\": 1}", "postgresql"},
        {"{\"postgresql\": {\"parameters\": []}}", "parameters"},
        {"{\"postgresql\": {\"parameters\": {\"max_connections\": \"many\"}}}", "max_connections"},
        {"{\"looop_wait\": 5}", "looop_wait"},
        {"{\"postgresql\": {\"database\": "
         "\"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"}}",
         "postgresql.database"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *reply = rig_reply(rig_post("PATCH /config", refused[i].patch));
        if (rig_code(reply) != 400 || strstr(rig_body(reply), refused[i].named) == NULL) {
            fail_msg("%s: %s", refused[i].patch, reply);
        }
        assert_int_equal(rig_code(rig_reply(rig_post("PUT /config", refused[i].patch))), 400);
    }
    /* One that holds does not get in beside one that does not. */
    assert_int_equal(
        rig_code(rig_reply(rig_post("PATCH /config", "{\"ttl\": 60, \"loop_wait\": \"x\"}"))), 400);
    assert_int_equal(store.put_count, 0);
    assert_non_null(strstr(get_text("/config"), "\"ttl\": 30"));
}

static void of_two_patches_of_one_revision_one_wins(void **state)
{
    (void)state;
    int first = rig_post("PATCH /config", "{\"ttl\": 40}");
    int second = rig_post("PATCH /config", "{\"ttl\": 50}");
    puts_wait(2); /* both were made of the same revision */
    apply(0);
    apply(1);
    const char *won = strstr(store.puts[0].value, "\"ttl\":40") != NULL ? "40" : "50";
    int codes = rig_code(rig_reply(first)) * 1000 + rig_code(rig_reply(second));
    assert_int_equal(codes, won[0] == '4' ? 200409 : 409200);
    assert_non_null(strstr(stored("config"), won));
    int fd = rig_post("PATCH /config", "{\"ttl\": 60}"); /* read again, and it is taken */
    apply(2);
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void drop_config_now(void *arg)
{
    (void)arg;
    store_drop("config");
    look_at_store();
}

static void store_documents_now(void *arg)
{
    store_set("config", arg);
    store_set("failsafe", arg);
    store_set("history", arg);
    look_at_store();
}

static void what_is_no_document_is_not_shown_as_one(void **state)
{
    static const char *const none[] = {"5", "[[1, 2, \"x\"]]", "{", "null", "\"x\""};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        rig_call(store_documents_now, (void *)(uintptr_t)none[i]);
        assert_int_equal(rig_code(rig_ask("GET /config HTTP/1.0\r\n\r\n")), 502);
        assert_int_equal(rig_code(rig_ask("GET /failsafe HTTP/1.0\r\n\r\n")), 502);
        assert_string_equal(get_text("/history"), i == 1 ? none[i] : "[]");
    }
    rig_call(store_documents_now, (char[]){"{}"});
    assert_string_equal(get_text("/config"), "{}");
    assert_string_equal(get_text("/failsafe"), "{}");
    assert_string_equal(get_text("/history"), "[]");
}

static void without_a_configuration_only_put_makes_one(void **state)
{
    (void)state;
    rig_call(drop_config_now, NULL);
    assert_int_equal(rig_code(rig_ask("GET /config HTTP/1.0\r\n\r\n")), 502);
    rig_expect_page(rig_reply(rig_post("PATCH /config", "{\"ttl\": 40}")), 503,
                    "the cluster has no configuration yet");
    int fd = rig_post("PUT /config", "{\"ttl\": 40}");
    apply(0);
    assert_int_equal(store.puts[0].compare, DCS_ABSENT);
    assert_int_equal(rig_code(rig_reply(fd)), 200);
}

static void pause_now(void *arg)
{
    snapshot.settings.paused = *(const bool *)arg;
    agent.on_picture(&agent, &snapshot);
}

static void pause_is_shown_and_told_to_who_asks_for_liveness(void **state)
{
    bool paused = true;
    (void)state;
    assert_null(strstr(get_text("/patroni"), "\"pause\""));
    rig_call(pause_now, &paused);
    assert_non_null(strstr(get_text("/patroni"), "\"pause\": true"));
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_is_paused")->value == 1);
    assert_int_equal(rig_code(rig_reply(rig_post("POST /switchover", "{\"leader\": \"n1\"}"))),
                     400);
    paused = false;
    rig_call(pause_now, &paused);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_is_paused")->value == 0);
}

static void forget_view_now(void *arg)
{
    (void)arg;
    dcs_view_unref(agent.facts.view);
    agent.facts.view = NULL;
    memset(&snapshot.cluster, 0, sizeof snapshot.cluster);
    agent.on_picture(&agent, &snapshot);
}

static void without_a_view_nothing_is_shown_or_patched(void **state)
{
    (void)state;
    rig_call(forget_view_now, NULL);
    assert_int_equal(rig_code(rig_ask("GET /cluster HTTP/1.0\r\n\r\n")), 503);
    assert_string_equal(get_text("/history"), "[]");
    int fd = rig_post("PATCH /config", "{\"ttl\": 40}");
    assert_non_null(strstr(get_text("/patroni"), "\"cluster_unlocked\": true"));
    (void)get_text("/history"); /* which takes its turn after the other */
    rig.mono_ms += API_VIEW_WAIT_MS;
    assert_int_equal(rig_code(rig_reply(fd)), 503);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_cluster_unlocked")->value == 1);
}

static void a_store_that_takes_nothing_is_no_fault_of_the_document(void **state)
{
    static const int codes[] = {ERR_UNAVAILABLE, ERR_LIMIT}; /* not joined; its queue is full */
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        store.refuse_rc = codes[i];
        rig_expect_page(rig_reply(rig_post("PATCH /config", "{\"ttl\": 40}")), 503,
                        "the store says no");
        assert_int_equal(rig_code(rig_reply(rig_post("PUT /config", "{\"ttl\": 40}"))), 502);
        assert_int_equal(rig_code(rig_reply(rig_post("POST /failover", "{\"candidate\": \"n2\"}"))),
                         503);
    }
}

static void give_instance_now(void *arg)
{
    agent.pg = arg; /* never looked into */
}

static void a_configuration_has_a_greatest_size(void **state)
{
    char *body = test_malloc(API_CONFIG_BYTES_MAX + 64);
    (void)state;
    (void)snprintf(body, 16, "{\"a\": \"");
    memset(body + 7, 'a', API_CONFIG_BYTES_MAX);
    memcpy(body + 7 + API_CONFIG_BYTES_MAX, "\"}", 3);
    assert_int_equal(rig_code(rig_reply(rig_post("PATCH /config", body))), 413);
    /* Smaller itself, and too large with what is there. */
    memcpy(body + API_CONFIG_BYTES_MAX - 2, "\"}", 3);
    const char *reply = rig_reply(rig_post("PATCH /config", body));
    assert_int_equal(rig_code(reply), 400);
    assert_non_null(strstr(reply, "the configuration has "));
    assert_int_equal(store.put_count, 0);
    /* Whatever it changes: PostgreSQL is not asked about what cannot be written. */
    static const char parameter[] = "{\"postgresql\": {\"parameters\": {\"work_mem\": \"9MB\"}},";
    rig_call(give_instance_now, &agent);
    char *large = mem_printf("%s%s", parameter, body + 1);
    memcpy(large + API_CONFIG_BYTES_MAX - 2, "\"}", 3);
    trials = 0;
    assert_int_equal(rig_code(rig_reply(rig_post("PATCH /config", large))), 400);
    assert_int_equal(trials, 0);
    memcpy(large + 200, "\"}", 3);
    int fd = rig_post("PATCH /config", large);
    apply(0);
    assert_int_equal(rig_code(rig_reply(fd)), 200);
    assert_int_equal(trials, 1);
    rig_call(give_instance_now, NULL);
    mem_free(large);
    test_free(body);
}

/* The dearest thing that one request can ask for: the loop is busy with it all the while. */
static void the_largest_patch_holds_nobody_up(void **state)
{
    enum { HELD_MS_MAX = 100 };
    char *body = test_malloc(API_CONFIG_BYTES_MAX + 64);
    size_t len = (size_t)snprintf(body, 64, "{\"looop_weit\": 1");
    (void)state;
    for (unsigned i = 0; len < API_CONFIG_BYTES_MAX - 2000;
         i++) { /* names near none that we know */
        len += (size_t)snprintf(body + len, 64, ",\"loop%05u\":0", i);
    }
    memcpy(body + len, "}", 2);
    clock_t began = clock(); /* what it computes: others may be at work beside this test */
    const char *reply = rig_reply(rig_post("PATCH /config", body));
    int64_t took = (int64_t)(clock() - began) * 1000 / CLOCKS_PER_SEC;
    print_message("           %zu bytes: %d in %lld ms\n", len, rig_code(reply), (long long)took);
    assert_int_equal(rig_code(reply), 400);
    assert_in_range(took, 0, HELD_MS_MAX);
    test_free(body);
}

/* --- switchover ------------------------------------------------------------------------------- */

static void a_switchover_goes_through_the_store(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}");
    apply(0);
    assert_string_equal(store.puts[0].key, "failover");
    assert_int_equal(store.puts[0].compare, DCS_ANY);
    assert_string_equal(stored("failover"), "{\"leader\":\"n1\",\"member\":\"n2\"}");
    struct pollfd in = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&in, 1, 0), 0);
    store_set("leader", "n2");
    rig_call(show_now, NULL);
    assert_string_equal(rig_body(rig_reply(fd)), "Successfully switched over to \"n2\"");
}

static void a_scheduled_one_is_deleted_by_its_revision(void **state)
{
    (void)state;
    int fd = rig_post("POST /switchover",
                      "{\"leader\": \"n1\", \"scheduled_at\": \"2030-01-01T00:00+00:00\"}");
    apply(0);
    assert_int_equal(rig_code(rig_reply(fd)), 202);
    json_t *cluster = get("/cluster");
    json_t *scheduled = json_object_get(cluster, "scheduled_switchover");
    assert_string_equal(json_string_value(json_object_get(scheduled, "at")),
                        "2030-01-01T00:00+00:00");
    json_decref(cluster);
    fd = rig_post("DELETE /switchover", "");
    apply(1);
    assert_int_equal(store.puts[1].compare, store.revision - 1);
    assert_int_equal(rig_code(rig_reply(fd)), 200);
    assert_string_equal(stored("failover"), "{}");
    assert_int_equal(rig_code(rig_reply(rig_post("DELETE /switchover", ""))), 404);
}

static void a_put_that_outlives_rest_is_answered_into_the_void(void **state)
{
    (void)state;
    int fd = rig_post("PATCH /config", "{\"ttl\": 40}");
    (void)pthread_mutex_lock(&rig.lock);
    while (store.put_count < 1) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
    rig_call(stop_now, NULL);
    store.put_count = 0; /* answered */
    assert_string_equal(rig_reply(fd), "");
    mem_free(store.puts[0].key);
    mem_free(store.puts[0].value);
}

/* --- pictures --------------------------------------------------------------------------------- */

static void a_standby_shows_its_position(void **state)
{
    json_t *document = get("/patroni");
    json_t *wanted = json_pack(
        "{s:s, s:s, s:s, s:i, s:{s:I, s:I, s:s, s:b}, s:s, s:i, s:I, s:{s:f, s:b}, s:s, s:{s:s, "
        "s:s, "
        "s:s}, s:b, s:{s:s, s:s}}",
        "state", "running", "role", "replica", "postmaster_start_time",
        "2023-11-14 22:13:20.005000+00:00", "server_version", 150004, "xlog", "received_location",
        (json_int_t)0x3000100, "replayed_location", (json_int_t)0x3000060, "replayed_timestamp",
        "2023-11-14 22:13:20.123000+00:00", "paused", 0, "replication_state", "streaming",
        "timeline", 3, "dcs_last_seen", (json_int_t)1700000001, "tags", "weight", 0.7, "clonefrom",
        1, "database_system_identifier", "7000000000000000001", "patroni", "version", "4.1.4",
        "scope", "main", "name", "n2", "reports", 1, "agent", "version", PGQUORUM_VERSION,
        "start_time", "1970-01-01 00:00:00.000000+00:00");
    (void)state;
    assert_non_null(wanted);
    assert_true(json_equal(document, wanted));
    json_decref(document);
    json_decref(wanted);
    assert_int_equal(rig_code(rig_ask("GET /replica?lag=1MB HTTP/1.0\r\n\r\n")), 200);
    assert_int_equal(rig_code(rig_ask("GET /readiness HTTP/1.0\r\n\r\n")), 200);
    assert_int_equal(rig_code(rig_ask("GET /async HTTP/1.0\r\n\r\n")), 200);
    assert_int_equal(rig_code(rig_ask("GET /replica?tag_weight=0.7 HTTP/1.0\r\n\r\n")), 200);
}

static void show_primary_now(void *arg)
{
    (void)arg;
    set_primary();
    agent.facts.probe.pending_restart = true;
    agent.facts.probe.pending_count = 1;
    agent.facts.probe.pending[0] =
        (struct pg_waiting){.name = "max_connections", .old_value = "100", .new_value = "200"};
    agent.restart.scheduled = json_pack("{s:s}", "schedule", "2030-01-01T00:00:00+00:00");
    (void)snprintf(agent.reload.error, sizeof agent.reload.error, "the disk is full");
    look_at_store();
}

static void a_primary_shows_who_streams_from_it(void **state)
{
    (void)state;
    rig_call(show_primary_now, NULL);
    json_t *document = get("/");
    json_t *row = json_array_get(json_object_get(document, "replication"), 0);
    assert_string_equal(json_string_value(json_object_get(document, "role")), "primary");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(document, "xlog"), "location")),
        0x3000200);
    char *shown = json_dumps(row, 0);
    assert_string_equal(shown, "{\"usename\": \"replicator\", \"application_name\": \"n2\", "
                               "\"client_addr\": \"10.0.0.2\", \"state\": \"streaming\", "
                               "\"sync_state\": \"async\", \"sync_priority\": 2}");
    mem_free(shown);
    assert_true(json_is_true(json_object_get(document, "pending_restart")));
    shown = json_dumps(json_object_get(document, "pending_restart_reason"), 0);
    assert_string_equal(shown, "{\"max_connections\": {\"old_value\": \"100\", "
                               "\"new_value\": \"200\"}}");
    mem_free(shown);
    shown = json_dumps(json_object_get(document, "scheduled_restart"), 0);
    assert_string_equal(shown, "{\"schedule\": \"2030-01-01T00:00:00+00:00\"}");
    mem_free(shown);
    json_decref(agent.restart.scheduled);
    agent.restart.scheduled = NULL;
    assert_string_equal(json_string_value(json_object_get(document, "configuration_error")),
                        "the disk is full");
    assert_null(json_object_get(document, "replication_state"));
    json_decref(document);
    /* Without an armed fence it is not writable, whatever PostgreSQL says. */
    assert_int_equal(rig_code(rig_ask("GET /primary HTTP/1.0\r\n\r\n")), 503);
    assert_int_equal(rig_code(rig_ask("GET /health HTTP/1.0\r\n\r\n")), 200);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_primary")->value == 1);
    assert_true(prom_find(&prom, "patroni_xlog_location")->value == 0x3000200);
    assert_true(prom_find(&prom, "patroni_pending_restart")->value == 1);
    assert_int_equal(prom_find(&prom, "pgquorum_standby_lag_bytes")->samples,
                     4 * agent.facts.probe.replica_count);
    assert_non_null(strstr(prom_find(&prom, "pgquorum_standby_lag_bytes")->others,
                           ",standby=\"n2\",stage=\"replay\""));
}

static void show_trouble_now(void *arg)
{
    (void)arg;
    set_primary();
    snapshot.self.disk = PG_DISK_FULL;
    (void)snprintf(snapshot.self.disk_place, sizeof snapshot.self.disk_place, "pg_wal");
    agent.facts.disks = (struct pg_disk_state){.count = 3};
    agent.facts.disks.places[0] = (struct pg_disk_place){.instance = true, .free_bytes = 5000};
    agent.facts.disks.places[1] = (struct pg_disk_place){.instance = true, .free_bytes = 4000};
    agent.facts.disks.places[2] = (struct pg_disk_place){.free_bytes = 3000};
    look_at_store();
}

static void take_trouble_away(void *arg)
{
    (void)arg;
    snapshot.self.disk = PG_DISK_UNKNOWN;
    snapshot.self.silent_since_mono_ms = HA_NEVER;
    agent.facts.disks.count = 0;
    look_at_store();
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    rig_call(show_trouble_now, NULL);
    json_t *document = get("/patroni");
    assert_string_equal(json_string_value(json_object_get(document, "trouble")),
                        "the disk of 'pg_wal' is full");
    json_decref(document);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "pgquorum_disk_state")->value == PG_DISK_FULL);
    assert_true(prom_find(&prom, "pgquorum_disk_free_bytes")->value == 4000);
    rig_call(take_trouble_away, NULL);
    document = get("/patroni");
    assert_null(json_object_get(document, "trouble"));
    json_decref(document);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "pgquorum_disk_state")->value == 0);
    assert_true(prom_find(&prom, "pgquorum_postgres_hung")->value == 0);
}

static void show_copy_now(void *arg)
{
    const struct pg_copy_progress *progress = arg;
    agent.facts.copying = progress != NULL;
    if (progress != NULL) {
        agent.facts.copy = *progress;
    }
    look_at_store();
}

static void how_far_a_copy_is_is_told_while_it_is_known(void **state)
{
    static const char *const paths[] = {"/patroni", "/explain"};
    struct pg_copy_progress progress = {
        .percent = 18, .bytes = 180, .total_bytes = (uint64_t)1000 << 40};
    (void)state;
    rig_call(show_copy_now, &progress);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *document = get(paths[i]);
        char *text = json_dumps(json_object_get(document, "copy"), JSON_COMPACT);
        assert_string_equal(text,
                            "{\"percent\":18,\"bytes\":180,\"total_bytes\":1099511627776000}");
        mem_free(text);
        json_decref(document);
    }
    prom_read(get_text("/metrics"), &prom);
    assert_int_equal(prom_find(&prom, "pgquorum_copy_percent")->samples, 1);
    assert_true(prom_find(&prom, "pgquorum_copy_percent")->value == 18);

    rig_call(show_copy_now, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *document = get(paths[i]);
        assert_null(json_object_get(document, "copy"));
        json_decref(document);
    }
    prom_read(get_text("/metrics"), &prom);
    assert_int_equal(prom_find(&prom, "pgquorum_copy_percent")->samples, 0);
}

static void show_cut_now(void *arg)
{
    (void)arg;
    (void)snprintf(agent.reload.file_error, sizeof agent.reload.file_error, "%s",
                   "f.yml: log.level: 'caf\xc3");
    look_at_store();
}

/* Texts are cut to what there is room for. */
static void what_is_cut_within_a_character_is_told(void **state)
{
    (void)state;
    rig_call(show_cut_now, NULL);
    json_t *document = get("/patroni");
    assert_string_equal(json_string_value(json_object_get(document, "configuration_error")),
                        "f.yml: log.level: 'caf?");
    json_decref(document);
}

static void show_down_now(void *arg)
{
    (void)arg;
    snapshot.self.run = HA_RUN_STOPPED;
    agent.facts.probe.asked_ms = 0;
    look_at_store();
}

static void show_archive_now(void *arg)
{
    static const struct pg_parameter archive = {.name = "restore_command", .value = "cp"};
    (void)arg;
    config.postgresql.recovery_conf = (struct pg_parameters){.items = &archive, .count = 1};
    agent.facts.probe.receiver_alive = false;
    look_at_store();
}

static void a_standby_that_reads_the_archive_is_one_in_the_metrics(void **state)
{
    (void)state;
    rig_call(show_now, NULL);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_postgres_in_archive_recovery")->value == 0);
    rig_call(show_archive_now, NULL);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_postgres_streaming")->value == 0);
    assert_true(prom_find(&prom, "patroni_postgres_in_archive_recovery")->value == 1);
    rig_call(show_down_now, NULL);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_postgres_in_archive_recovery")->value == 0);
}

static void show_stale_now(void *arg)
{
    (void)arg;
    snapshot.self.probe_fresh = false;
    look_at_store();
}

static void show_detached_now(void *arg)
{
    (void)arg;
    snapshot.self.probe_fresh = false;
    agent.facts.probe.asked_ms = agent_mono_ms(&agent) - 100;
    look_at_store();
}

/* Patroni's candidates take an answer without a position for a member that is down. */
static void a_standby_that_was_just_detached_shows_where_it_was(void **state)
{
    (void)state;
    rig_call(show_detached_now, NULL);
    json_t *document = get("/patroni");
    assert_string_equal(json_string_value(json_object_get(document, "state")), "running");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(document, "xlog"), "received_location")),
        0x3000100);
    json_decref(document);
}

static void
an_instance_that_does_not_answer_is_unknown_and_one_that_is_down_is_stopped(void **state)
{
    (void)state;
    rig_call(show_stale_now, NULL);
    json_t *document = get("/patroni");
    assert_string_equal(json_string_value(json_object_get(document, "state")), "unknown");
    assert_null(json_object_get(document, "xlog"));
    json_decref(document);
    assert_int_equal(rig_code(rig_ask("GET /replica HTTP/1.0\r\n\r\n")), 503);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_postgres_state")->value == -1);
    rig_call(show_down_now, NULL);
    document = get("/patroni");
    assert_string_equal(json_string_value(json_object_get(document, "state")), "stopped");
    json_decref(document);
    prom_read(get_text("/metrics"), &prom);
    assert_true(prom_find(&prom, "patroni_postgres_state")->value == 12);
    assert_true(prom_find(&prom, "patroni_postgres_running")->value == 0);
}

static void metrics_are_all_there_and_well_formed(void **state)
{
    static const char *const names[] = {"patroni_version",
                                        "patroni_postgres_running",
                                        "patroni_postmaster_start_time",
                                        "patroni_primary",
                                        "patroni_xlog_location",
                                        "patroni_standby_leader",
                                        "patroni_replica",
                                        "patroni_sync_standby",
                                        "patroni_quorum_standby",
                                        "patroni_xlog_received_location",
                                        "patroni_xlog_replayed_location",
                                        "patroni_xlog_replayed_timestamp",
                                        "patroni_xlog_paused",
                                        "patroni_postgres_streaming",
                                        "patroni_postgres_in_archive_recovery",
                                        "patroni_postgres_server_version",
                                        "patroni_cluster_unlocked",
                                        "patroni_failsafe_mode_is_active",
                                        "patroni_postgres_timeline",
                                        "patroni_dcs_last_seen",
                                        "patroni_pending_restart",
                                        "patroni_is_paused",
                                        "patroni_postgres_state",
                                        "pgquorum_lease_held",
                                        "pgquorum_lease_margin_seconds",
                                        "pgquorum_fence_armed",
                                        "pgquorum_raft_corrupt_frames_total",
                                        "pgquorum_raft_refused_handshakes_total",
                                        "patroni_failsafe_mode_enabled",
                                        "patroni_failsafe_member",
                                        "patroni_failover_priority",
                                        "pgquorum_standby_lag_bytes",
                                        "pgquorum_replay_lag_bytes",
                                        "pgquorum_slot_retained_bytes",
                                        "pgquorum_takeovers_total",
                                        "pgquorum_takeover_seconds_total",
                                        "pgquorum_cycle_seconds",
                                        "pgquorum_loop_lateness_seconds",
                                        "pgquorum_decisions_total"};
    (void)state;
    config.scope = "a\"b\\c";
    rig_call(show_now, NULL);
    prom_read(get_text("/metrics"), &prom);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (prom_find(&prom, names[i]) == NULL) {
            fail_msg("%s is missing", names[i]);
        }
    }
    for (size_t i = 0; i < prom.count; i++) {
        bool silent = prom.metrics[i].samples == 0; /* of what there is none of here */
        assert_string_equal(prom.metrics[i].scope, silent ? "" : "a\"b\\c");
        assert_string_equal(prom.metrics[i].member, silent ? "" : "n2");
    }
    assert_true(prom_find(&prom, "patroni_version")->value == 40104);
    assert_true(prom_find(&prom, "patroni_postgres_streaming")->value == 1);
    assert_true(prom_find(&prom, "patroni_postgres_state")->value == 5);
    assert_string_equal(prom_find(&prom, "patroni_xlog_received_location")->type, "counter");
    assert_true(prom_find(&prom, "patroni_xlog_replayed_timestamp")->value == 1700000000.123);
}

static void decide_now(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < LOOP_DECISIONS_MAX + 1; i++) {
        struct loop_decision *decision = &agent.decisions[i % LOOP_DECISIONS_MAX];
        mem_free(decision->rule);
        *decision = (struct loop_decision){.rule = mem_printf("rule %zu", i),
                                           .reason = (char *)(uintptr_t) "because",
                                           .plan = (char *)(uintptr_t) "",
                                           .snapshot = (char *)(uintptr_t) ""};
        agent.decision_count++;
    }
    agent.decisions[1].outcome = (char *)(uintptr_t) "done";
}

static void the_last_decisions_are_explained_in_order(void **state)
{
    (void)state;
    rig_call(decide_now, NULL);
    json_t *document = get("/explain");
    json_t *decisions = json_object_get(document, "decisions");
    assert_int_equal(json_array_size(decisions), LOOP_DECISIONS_MAX);
    json_t *first = json_array_get(decisions, 0);
    json_t *last = json_array_get(decisions, LOOP_DECISIONS_MAX - 1);
    assert_string_equal(json_string_value(json_object_get(first, "rule")), "rule 1");
    assert_string_equal(json_string_value(json_object_get(first, "outcome")), "done");
    assert_string_equal(json_string_value(json_object_get(last, "rule")), "rule 64");
    assert_string_equal(json_string_value(json_object_get(last, "outcome")), "under way");
    json_decref(document);
}

/* The agent of this test knows nothing of its instance yet, and so decides to wait. */
static void a_dry_run_decides_and_does_nothing(void **state)
{
    static const char body[] = "{\"leader\": \"n1\", \"candidate\": \"n2\"}";
    (void)state;
    const char *reply = rig_reply(rig_post("POST /dry-run/switchover", body));
    assert_int_equal(rig_code(reply), 200);
    json_t *decision = json_loads(rig_body(reply), 0, NULL);
    const char *rule = json_string_value(json_object_get(decision, "rule"));
    assert_non_null(rule);
    assert_non_null(strchr(rule, '/'));
    assert_true(json_is_string(json_object_get(decision, "reason")));
    assert_true(json_is_array(json_object_get(decision, "actions")));
    json_decref(decision);
    assert_int_equal(store.put_count, 0);
    assert_int_equal(agent.decision_count, 0);
    reply = rig_reply(rig_post("POST /dry-run/restart", "{}"));
    assert_int_equal(rig_code(reply), 503);
    assert_non_null(strstr(rig_body(reply), "restart failed: PostgreSQL is "));
    assert_int_equal(agent.restart.number, 0);
}

static void the_cluster_and_its_history_are_those_of_the_store(void **state)
{
    json_t *cluster = get("/cluster");
    json_t *history = get("/history");
    json_t *members = json_object_get(cluster, "members");
    (void)state;
    assert_string_equal(json_string_value(json_object_get(cluster, "scope")), "main");
    assert_int_equal(json_array_size(members), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(members, 0), "role")),
                        "leader");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 1), "lag")), 416);
    assert_int_equal(json_array_size(history), 2);
    json_decref(cluster);
    json_decref(history);
}

int main(void)
{
#define WITH_AGENT(name) cmocka_unit_test_setup_teardown(name, start, finish)
    const struct CMUnitTest tests[] = {
        WITH_AGENT(a_patch_merges_and_null_deletes),
        WITH_AGENT(reals_keep_their_digits_everywhere),
        WITH_AGENT(a_patch_that_changes_nothing_writes_nothing),
        WITH_AGENT(refused_whole_with_the_name_of_the_key),
        WITH_AGENT(of_two_patches_of_one_revision_one_wins),
        WITH_AGENT(without_a_configuration_only_put_makes_one),
        WITH_AGENT(what_is_no_document_is_not_shown_as_one),
        WITH_AGENT(pause_is_shown_and_told_to_who_asks_for_liveness),
        WITH_AGENT(without_a_view_nothing_is_shown_or_patched),
        WITH_AGENT(a_store_that_takes_nothing_is_no_fault_of_the_document),
        WITH_AGENT(a_configuration_has_a_greatest_size),
        WITH_AGENT(the_largest_patch_holds_nobody_up),
        WITH_AGENT(a_switchover_goes_through_the_store),
        WITH_AGENT(a_scheduled_one_is_deleted_by_its_revision),
        WITH_AGENT(a_put_that_outlives_rest_is_answered_into_the_void),
        WITH_AGENT(a_standby_shows_its_position),
        WITH_AGENT(a_standby_that_was_just_detached_shows_where_it_was),
        WITH_AGENT(a_primary_shows_who_streams_from_it),
        WITH_AGENT(what_is_wrong_is_told),
        WITH_AGENT(how_far_a_copy_is_is_told_while_it_is_known),
        WITH_AGENT(what_is_cut_within_a_character_is_told),
        WITH_AGENT(a_standby_that_reads_the_archive_is_one_in_the_metrics),
        WITH_AGENT(an_instance_that_does_not_answer_is_unknown_and_one_that_is_down_is_stopped),
        WITH_AGENT(metrics_are_all_there_and_well_formed),
        WITH_AGENT(the_last_decisions_are_explained_in_order),
        WITH_AGENT(a_dry_run_decides_and_does_nothing),
        WITH_AGENT(the_cluster_and_its_history_are_those_of_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
