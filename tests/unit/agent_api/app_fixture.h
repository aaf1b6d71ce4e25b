/* The real other side of REST (agent/app_api.c): an agent of facts that a test gives, and a store
 * of the test's. */
#ifndef TESTS_UNIT_AGENT_API_APP_FIXTURE_H
#define TESTS_UNIT_AGENT_API_APP_FIXTURE_H

#include "tests/unit/agent_api/api_fixture.h"

#include "agent/app_api.h"
#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"

#include <time.h>

enum { KEYS_MAX = 16, PUTS_MAX = 32, KEYS_FIRST = 6 };

static struct agent agent;
static struct config config;
static struct ha_snapshot snapshot;

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

static inline void apply(size_t index)
{
    puts_wait(index + 1);
    rig_call(apply_now, &index);
}

static inline const char *stored(const char *key)
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

static inline void set_primary(void)
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
    config_effective_free(&agent.effective);
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

static inline const char *get_text(const char *path)
{
    char request[256];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    return rig_body(rig_ask(request));
}

#endif
