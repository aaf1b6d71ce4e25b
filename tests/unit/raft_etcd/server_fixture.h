/* The listener in front of a group of one. Included by one source. */
#ifndef TESTS_UNIT_RAFT_ETCD_SERVER_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_SERVER_FIXTURE_H

#include "tests/unit/raft_engine/group_fixture.h"

#include "base/buf.h"
#include "raft/etcd_server.h"
#include "tests/harness/ask.h"

#define STOP_MS 4000

static struct rig rig;
static struct etcd_server *server;
static bool stopped;
static char warning[512];

static inline struct raft_node *node_now(void *arg)
{
    (void)arg;
    return rig.members[0].closed ? NULL : raft_group_node(rig.members[0].group);
}

static inline void on_server_warning(void *arg, const char *text)
{
    (void)arg;
    (void)snprintf(warning, sizeof warning, "%s", text);
}

static inline struct etcd_server_config config_of(const char *listen)
{
    return (struct etcd_server_config){.listen = listen,
                                       .advertise = "http://127.0.0.1:2379",
                                       .election_timeout_ms = ELECTION_MS,
                                       .clock = clock_real(),
                                       .random = random_real(),
                                       .node = node_now,
                                       .on_warning = on_server_warning};
}

static inline void start_as(const struct etcd_server_config *config)
{
    struct error err = {0};
    stopped = false;
    if (etcd_server_start(&rig.loop, config, &server, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static inline void start(void)
{
    char listen[32];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    struct etcd_server_config config = config_of(listen);
    start_as(&config);
}

static inline void on_stopped(void *arg)
{
    (void)arg;
    stopped = true;
}

static inline bool has_stopped(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return stopped;
}

static inline void stop(void)
{
    etcd_server_stop(server, on_stopped, NULL);
    wait_for(&rig, has_stopped, NULL, STOP_MS, "the listener has stopped");
    server = NULL;
}

/* The fixture's group does not forward its changes: the listener is told now and then. */
static inline void on_tell(uv_timer_t *timer)
{
    (void)timer;
    if (server != NULL && !stopped) {
        etcd_server_on_change(server);
    }
}

static uv_timer_t tell;

static inline void begin(bool with_group)
{
    rig_init(&rig, 1, "secret");
    warning[0] = '\0';
    server = NULL;
    assert_int_equal(uv_timer_init(&rig.loop, &tell), 0);
    assert_int_equal(uv_timer_start(&tell, on_tell, 5, 5), 0);
    if (with_group) {
        member_start(&rig, 0);
    }
}

/* Asserts that the loop has nothing left in it. */
static inline void end(void)
{
    uv_close((uv_handle_t *)&tell, NULL);
    rig_free(&rig);
}

static inline const char *ask(const char *request)
{
    return ask_text(&rig.loop, etcd_server_port(server), request);
}

static inline bool serves(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return strstr(ask("GET /health HTTP/1.0\r\n\r\n"), "{\"health\":\"true\"") != NULL;
}

static inline void wait_served(void)
{
    wait_for(&rig, serves, NULL, 10000, "it serves");
}

static inline const char *post(const char *path, const char *body)
{
    static char request[1024];
    (void)snprintf(request, sizeof request, "POST %s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n%s",
                   path, strlen(body), body);
    return ask(request);
}

static inline void says(const char *reply, const char *words)
{
    if (strstr(reply, words) == NULL) {
        fail_msg("'%s' does not say '%s'", reply, words);
    }
}

#endif
