/* The real other side of REST (agent/app_api.c): pictures made of facts, and writes that go through
 * the real rules of the dynamic configuration into a store of the test's. */
#include "tests/unit/agent_api/api_fixture.h"
#include "tests/unit/agent_api/prometheus.h"

#include "agent/app_api.h"
#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"

#include <time.h>

enum { KEYS_MAX = 16, PUTS_MAX = 32, KEYS_FIRST = 6 };

static struct agent agent;
static struct config config;
static struct ha_snapshot snapshot;
static struct prom prom;

/* --- the store -------------------------------------------------------------------------------- */

struct put {
    char *key;
    char *value;
    int64_t compare;
    dcs_done done;
    void *arg;
};

static struct {
    struct dcs dcs;
    size_t count;
    char *keys[KEYS_MAX];
    char *values[KEYS_MAX];
    int64_t revisions[KEYS_MAX];
    int64_t revision;
    size_t put_count;
    struct put puts[PUTS_MAX];
    int refuse_rc;
} store;

static size_t store_find(const char *key)
{
    size_t i = 0;
    while (i < store.count && strcmp(store.keys[i], key) != 0) {
        i++;
    }
    return i;
}

/* A place for a new key, in order. */
static size_t store_insert(const char *key)
{
    size_t i = store.count++;
    assert_true(i < KEYS_MAX);
    for (; i > 0 && strcmp(store.keys[i - 1], key) > 0; i--) {
        store.keys[i] = store.keys[i - 1];
        store.values[i] = store.values[i - 1];
        store.revisions[i] = store.revisions[i - 1];
    }
    store.keys[i] = mem_strdup(key);
    store.values[i] = NULL;
    return i;
}

static void store_set(const char *key, const char *value)
{
    size_t i = store_find(key);
    if (i == store.count) {
        i = store_insert(key);
    }
    mem_free(store.values[i]);
    store.values[i] = mem_strdup(value);
    store.revisions[i] = ++store.revision;
}

static void store_drop(const char *key)
{
    size_t i = store_find(key);
    assert_true(i < store.count);
    mem_free(store.keys[i]);
    mem_free(store.values[i]);
    store.count--;
    for (; i < store.count; i++) {
        store.keys[i] = store.keys[i + 1];
        store.values[i] = store.values[i + 1];
        store.revisions[i] = store.revisions[i + 1];
    }
    store.values[store.count] = NULL;
    store.revision++;
}

/* What the loop does when the store has changed. */
static void look_at_store(void)
{
    struct ha_kv kvs[KEYS_MAX];
    struct dcs_view *view = dcs_view_new(store.count);
    view->cluster = 1;
    view->revision = store.revision;
    for (size_t i = 0; i < store.count; i++) {
        view->kvs[i] = (struct dcs_kv){.key = mem_strdup(store.keys[i]),
                                       .value = mem_strdup(store.values[i]),
                                       .value_len = strlen(store.values[i]),
                                       .mod_revision = store.revisions[i]};
        kvs[i] = (struct ha_kv){
            .key = store.keys[i], .value = store.values[i], .mod_revision = store.revisions[i]};
    }
    dcs_view_unref(agent.facts.view);
    agent.facts.view = view;
    (void)ha_cluster_read(1, view->revision, kvs, store.count, &snapshot.cluster);
    snapshot.cluster.read_mono_ms = rig.mono_ms;
    agent.on_picture(&agent, &snapshot);
}

static int fake_put(struct dcs *dcs, const char *key, const char *value, int64_t compare,
                    int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)dcs;
    assert_int_equal(timeout_ms, agent.dynamic.retry_timeout_ms);
    (void)pthread_mutex_lock(&rig.lock);
    int rc = store.refuse_rc;
    if (rc != 0) {
        (void)error_set(err, rc, "the store says no");
    } else {
        assert_true(store.put_count < PUTS_MAX);
        store.puts[store.put_count] = (struct put){.key = mem_strdup(key),
                                                   .value = mem_strdup(value),
                                                   .compare = compare,
                                                   .done = done,
                                                   .arg = arg};
        store.put_count++;
        rig_signal();
    }
    (void)pthread_mutex_unlock(&rig.lock);
    return rc;
}

/* Applies the put as the store does, and answers. */
static void apply_now(void *arg)
{
    struct put *put = &store.puts[*(size_t *)arg];
    size_t i = store_find(put->key);
    int64_t found = i < store.count ? store.revisions[i] : DCS_ABSENT;
    struct dcs_result result = {.rc = 0};
    struct error err = {0};
    if (put->compare != DCS_ANY && put->compare != found) {
        result.rc = error_set(&err, ERR_CONFLICT, "the store has changed meanwhile");
    } else {
        store_set(put->key, put->value);
        result.revision = store.revision;
        look_at_store();
    }
    dcs_done done = put->done;
    put->done = NULL;
    done(put->arg, &result, &err);
}

static void puts_wait(size_t count)
{
    (void)pthread_mutex_lock(&rig.lock);
    while (store.put_count < count) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

static void apply(size_t index)
{
    puts_wait(index + 1);
    rig_call(apply_now, &index);
}

static const char *stored(const char *key)
{
    size_t i = store_find(key);
    return i < store.count ? store.values[i] : NULL;
}

/* --- the agent -------------------------------------------------------------------------------- */

static void set_facts(void)
{
    struct pg_probe_result *probe = &agent.facts.probe;
    ha_snapshot_init(&snapshot);
    snapshot.self.run = HA_RUN_RUNNING;
    snapshot.self.role = PG_STANDBY;
    snapshot.self.probe_fresh = true;
    (void)snprintf(snapshot.self.system_id, sizeof snapshot.self.system_id, "7000000000000000001");
    probe->asked_ms = 1;
    probe->role = PG_STANDBY;
    probe->server_version = 150004;
    probe->timeline = 3;
    probe->receive_lsn = 0x3000100;
    probe->replay_lsn = 0x3000060;
    probe->replay_time_ms = 1700000000123;
    probe->postmaster_start_ms = 1700000000005;
    probe->receiver_alive = true;
    (void)snprintf(probe->receiver_status, sizeof probe->receiver_status, "streaming");
    agent.dcs_seen_wall_ms = 1700000001999;
}

static void set_primary(void)
{
    struct pg_probe_result *probe = &agent.facts.probe;
    snapshot.self.role = probe->role = PG_PRIMARY;
    probe->flush_lsn = 0x3000200;
    probe->receiver_alive = false;
    probe->replica_count = 1;
    (void)snprintf(probe->replicas[0].application_name, PG_NAME_BYTES, "n2");
    (void)snprintf(probe->replicas[0].user, PG_NAME_BYTES, "replicator");
    probe->replicas[0].sync_priority = 2;
    (void)snprintf(probe->replicas[0].client_addr, PG_NAME_BYTES, "10.0.0.2");
    (void)snprintf(probe->replicas[0].state, sizeof probe->replicas[0].state, "streaming");
    (void)snprintf(probe->replicas[0].sync_state, sizeof probe->replicas[0].sync_state, "async");
}

static void show_now(void *arg)
{
    (void)arg;
    look_at_store();
}

static int start(void **state)
{
    static const struct dcs_ops ops = {.put = fake_put};
    static const char *const keys[KEYS_FIRST][2] = {
        {"config",
         "{\"ttl\":30,\"loop_wait\":10,\"maximum_lag_on_failover\":1048576,"
         "\"x\":{\"y\":0.1,\"z\":[1]},\"postgresql\":{\"parameters\":{\"work_mem\":\"4MB\"}}}"},
        {"history", "[[1,100,\"no recovery target specified\"],[2,50331648,\"r\",\"t\",\"n1\"]]"},
        {"leader", "n1"},
        {"members/n1",
         "{\"conn_url\":\"postgres://10.0.0.1:5432/postgres\",\"api_url\":"
         "\"http://10.0.0.1:8008/patroni\",\"state\":\"running\",\"role\":\"primary\","
         "\"timeline\":3,\"xlog_location\":50332160}"},
        {"members/n2",
         "{\"conn_url\":\"postgres://10.0.0.2:5432/postgres\",\"api_url\":"
         "\"http://10.0.0.2:8008/patroni\",\"state\":\"running\",\"role\":\"replica\","
         "\"tags\":{\"weight\":0.7},\"xlog_location\":50331744}"},
        {"status", "{\"optime\":50332160}"}};
    struct error err = {0};
    (void)state;
    rig_init();
    memset(&agent, 0, sizeof agent);
    memset(&config, 0, sizeof config);
    memset(&store, 0, sizeof store);
    dynamic_config_init(&agent.dynamic);
    config.scope = "main";
    config.name = "n2";
    config.restapi_listen.host = "127.0.0.1";
    config.restapi_listen.text = "127.0.0.1:0";
    config.tags.published = json_pack("{s:f, s:b}", "weight", 0.7, "clonefrom", 1);
    store.dcs.ops = &ops;
    store.revision = 10;
    for (size_t i = 0; i < KEYS_FIRST; i++) {
        store_set(keys[i][0], keys[i][1]);
    }
    agent.loop = &rig.loop;
    agent.clock = &rig.clock;
    agent.config = &config;
    agent.dcs = &store.dcs;
    set_facts();
    if (app_api_start(&agent, &err) != 0) {
        return -1;
    }
    rig.port = api_server_port(agent.api);
    look_at_store();
    return pthread_create(&rig.thread, NULL, rig_run, NULL);
}

static void stop_now(void *arg)
{
    (void)arg;
    if (agent.api != NULL) {
        app_api_stop(&agent);
    }
    for (size_t i = 0; i < store.put_count; i++) { /* as the store does when it is closed */
        if (store.puts[i].done != NULL) {
            struct dcs_result result = {.rc = ERR_CANCELED};
            struct error err = {.code = ERR_CANCELED};
            store.puts[i].done(store.puts[i].arg, &result, &err);
        }
    }
}

static int finish(void **state)
{
    rig_call(stop_now, NULL);
    rig.stopped = true; /* an empty loop is the proof */
    int rc = rig_finish(state);
    for (size_t i = 0; i < store.count; i++) {
        mem_free(store.keys[i]);
        mem_free(store.values[i]);
    }
    for (size_t i = 0; i < store.put_count; i++) {
        mem_free(store.puts[i].key);
        mem_free(store.puts[i].value);
    }
    for (size_t i = 0; i < LOOP_DECISIONS_MAX; i++) {
        mem_free(agent.decisions[i].rule);
    }
    dcs_view_unref(agent.facts.view);
    dynamic_config_free(&agent.dynamic);
    json_decref((json_t *)(uintptr_t)config.tags.published);
    return rc;
}

static json_t *get(const char *path)
{
    char request[256];
    json_error_t where;
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    json_t *document = json_loads(rig_body(rig_ask(request)), 0, &where);
    assert_non_null(document);
    return document;
}

static const char *get_text(const char *path)
{
    char request[256];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    return rig_body(rig_ask(request));
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
        {"{\"standby_cluster\": {\"host\": \"h\"}}", "standby_cluster"},
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
    assert_int_equal(rig_code(rig_reply(rig_post("PATCH /config", "{\"ttl\": 40}"))), 503);
    assert_non_null(strstr(get_text("/patroni"), "\"cluster_unlocked\": true"));
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
        "s:s}, s:b}",
        "state", "running", "role", "replica", "postmaster_start_time",
        "2023-11-14 22:13:20.005000+00:00", "server_version", 150004, "xlog", "received_location",
        (json_int_t)0x3000100, "replayed_location", (json_int_t)0x3000060, "replayed_timestamp",
        "2023-11-14 22:13:20.123000+00:00", "paused", 0, "replication_state", "streaming",
        "timeline", 3, "dcs_last_seen", (json_int_t)1700000001, "tags", "weight", 0.7, "clonefrom",
        1, "database_system_identifier", "7000000000000000001", "patroni", "version", "4.1.4",
        "scope", "main", "name", "n2", "reports", 1);
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

static void show_down_now(void *arg)
{
    (void)arg;
    snapshot.self.run = HA_RUN_STOPPED;
    agent.facts.probe.asked_ms = 0;
    look_at_store();
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
        assert_string_equal(prom.metrics[i].scope, "a\"b\\c");
        assert_string_equal(prom.metrics[i].member, "n2");
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
        WITH_AGENT(an_instance_that_does_not_answer_is_unknown_and_one_that_is_down_is_stopped),
        WITH_AGENT(metrics_are_all_there_and_well_formed),
        WITH_AGENT(the_last_decisions_are_explained_in_order),
        WITH_AGENT(the_cluster_and_its_history_are_those_of_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
