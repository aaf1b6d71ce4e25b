/* A real group, a service in front of its first member, and requests of the v2 API. */
#ifndef TESTS_UNIT_RAFT_ETCD_V2_RIG_H
#define TESTS_UNIT_RAFT_ETCD_V2_RIG_H

#include "tests/unit/raft_engine/group_fixture.h"
#include "tests/unit/raft_etcd/fake_exchange.h"

#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_http.h"
#include "raft/store_client.h"

/* --- the service ------------------------------------------------------------------------------ */

struct v2_rig {
    struct rig group;
    struct etcd_service *service;
    bool has_node;
    bool stopped;
    struct etcd_auth auth;
};

static struct raft_node *v2_node(void *arg)
{
    struct v2_rig *rig = arg;
    return rig->has_node ? node_of(&rig->group, 0) : NULL;
}

/* Lets everything run until `holds`. */
static void v2_until(struct v2_rig *rig, bool (*holds)(struct v2_rig *rig, void *arg), void *arg,
                     const char *what)
{
    uint64_t until = uv_hrtime() + (uint64_t)20 * 1000000000;
    while (!holds(rig, arg)) {
        if (uv_hrtime() > until) {
            fail_msg("not in time: %s", what);
        }
        uv_run(&rig->group.loop, UV_RUN_ONCE);
        if (rig->service != NULL && !rig->stopped) {
            etcd_service_on_change(rig->service);
        }
    }
}

static inline bool v2_is_ready(struct v2_rig *rig, void *arg)
{
    (void)arg;
    return etcd_service_is_ready(rig->service) && etcd_service_has_leader(rig->service) &&
           raft_node_store(v2_node(rig)) != NULL;
}

static inline bool v2_is_published(struct v2_rig *rig, void *arg)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(raft_node_store(v2_node(rig)), members, STORE_MEMBERS_MAX);
    bool is_there = false;
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        is_there = is_there || members[i].client_urls.len > 0;
    }
    return is_there;
}

static inline void v2_open(struct v2_rig *rig, size_t members, bool with_auth)
{
    memset(rig, 0, sizeof *rig);
    rig_init(&rig->group, members, NULL);
    rig->group.members[0].client_urls = "http://127.0.0.1:2379";
    members_start(&rig->group);
    rig->has_node = true;
    rig->auth = (struct etcd_auth){.username = span_str("root"), .password = span_str("secret")};
    struct etcd_service_config config = {.loop = &rig->group.loop,
                                         .clock = clock_real(),
                                         .random = random_real(),
                                         .node = v2_node,
                                         .arg = rig,
                                         .election_timeout_ms = ELECTION_MS,
                                         .client_urls = "http://127.0.0.1:2379",
                                         .auth = with_auth ? &rig->auth : NULL};
    rig->service = etcd_service_new(&config);
    v2_until(rig, v2_is_ready, NULL, "the store is open");
    v2_until(rig, v2_is_published, NULL, "the member's URLs are known");
}

static void v2_on_stopped(void *arg)
{
    ((struct v2_rig *)arg)->stopped = true;
}

static bool v2_has_stopped(struct v2_rig *rig, void *arg)
{
    (void)arg;
    return rig->stopped;
}

static inline void v2_close(struct v2_rig *rig)
{
    etcd_service_stop(rig->service, v2_on_stopped, rig);
    rig->service = NULL;
    v2_until(rig, v2_has_stopped, NULL, "the service stops");
    rig_free(&rig->group);
}

/* --- requests --------------------------------------------------------------------------------- */

static inline void v2_serve(struct v2_rig *rig, struct fake_exchange *fake)
{
    etcd_v2_serve(rig->service, &fake->base, &fake->request);
}

static inline bool v2_has_ended(struct v2_rig *rig, void *arg)
{
    (void)rig;
    return ((struct fake_exchange *)arg)->ended;
}

/* Sends and waits for the whole answer. */
static inline struct fake_exchange *v2_ask(struct v2_rig *rig, const char *method,
                                           const char *target, const char *body)
{
    struct fake_exchange *fake = fake_new(method, target, body);
    v2_serve(rig, fake);
    v2_until(rig, v2_has_ended, fake, target);
    return fake;
}

static inline void v2_write_key(struct v2_rig *rig, const char *key, const char *body)
{
    char target[256];
    (void)snprintf(target, sizeof target, "/v2/keys%s", key);
    struct fake_exchange *fake = v2_ask(rig, "PUT", target, body);
    assert_in_range(fake->status, 200, 201);
    fake_free(fake);
}

static inline void v2_delete_key(struct v2_rig *rig, const char *key)
{
    char target[1200];
    (void)snprintf(target, sizeof target, "/v2/keys%s?recursive=true", key);
    struct fake_exchange *fake = v2_ask(rig, "DELETE", target, "");
    assert_int_equal(fake->status, 200);
    fake_free(fake);
}

static inline void v2_hang_up(struct fake_exchange *fake)
{
    fake->on_gone(fake->gone_arg);
    assert_true(fake->ended);
    fake_free(fake);
}

static inline bool v2_is_past(struct v2_rig *rig, void *until_ns)
{
    (void)rig;
    return uv_hrtime() > *(uint64_t *)until_ns;
}

static inline void v2_pass_ms(struct v2_rig *rig, unsigned ms)
{
    uint64_t until_ns = uv_hrtime() + (uint64_t)ms * 1000000;
    v2_until(rig, v2_is_past, &until_ns, "some time");
}

/* Expects this status and body. */
static inline void v2_expect(struct v2_rig *rig, const char *method, const char *target,
                             const char *body, int status, const char *answer)
{
    struct fake_exchange *fake = v2_ask(rig, method, target, body);
    if (fake->status != status || strcmp(buf_str(&fake->body), answer) != 0) {
        fail_msg("%s %s %s\n  gives %d %s\n  not   %d %s", method, target, body, fake->status,
                 buf_str(&fake->body), status, answer);
    }
    fake_free(fake);
}

/* --- for cmocka ------------------------------------------------------------------------------- */

static struct v2_rig rig;

/* One member; for cmocka_run_group_tests. */
static inline int v2_open_one(void **state)
{
    (void)state;
    v2_open(&rig, 1, false);
    return 0;
}

static inline int v2_close_one(void **state)
{
    (void)state;
    v2_close(&rig);
    return 0;
}

#endif
