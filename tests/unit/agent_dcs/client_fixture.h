/* A client of the fake members, and what became of its calls. */
#ifndef TESTS_UNIT_AGENT_DCS_CLIENT_FIXTURE_H
#define TESTS_UNIT_AGENT_DCS_CLIENT_FIXTURE_H

#include "tests/unit/agent_dcs/fake_etcd.h"

#include "agent/dcs/etcd_client.h"
#include "agent/dcs/etcd_hosts.h"

struct outcome {
    int calls;
    int rc;
    char text[ERROR_TEXT_BYTES];
    int64_t sent_ms;
    int64_t took_ms;
    int64_t began_ms;
};

static struct etcd_client *client;
static bool client_closed;
static int switches;
static struct buf notes; /* "<level> <text>\n" */

static inline void on_switch(void *arg)
{
    (void)arg;
    switches++;
}

static inline void on_note(void *arg, enum log_level level, const char *text)
{
    (void)arg;
    buf_printf(&notes, "%d %s\n", (int)level, text);
}

static inline size_t notes_count(const char *text)
{
    size_t count = 0;
    for (const char *at = strstr(buf_str(&notes), text); at != NULL; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

/* The client of `config`, which needs to say only what is its own; the first `configured` members
 * are named in it. */
static inline void client_open_as(struct etcd_client_config config, int configured)
{
    const char *urls[FAKES_MAX];
    struct error err = {0};
    for (int i = 0; i < configured; i++) {
        urls[i] = fakes[i].url;
    }
    config.urls = urls;
    config.url_count = (size_t)configured;
    config.idle_ms = 10000;
    config.clock = clock_real();
    config.random = random_real();
    config.on_switch = on_switch;
    config.on_note = on_note;
    switches = 0;
    client_closed = false;
    assert_int_equal(etcd_client_new(&loop, &config, &client, &err), 0);
}

static inline void client_open(enum etcd_dialect dialect, const char *username, bool use_proxies,
                               int configured)
{
    client_open_as((struct etcd_client_config){.dialect = dialect,
                                               .use_proxies = use_proxies,
                                               .username = username,
                                               .password = username == NULL ? NULL : "secret"},
                   configured);
}

static inline void on_client_closed(void *arg)
{
    (void)arg;
    client_closed = true;
}

static inline void client_close(void)
{
    if (client != NULL) {
        etcd_client_free(client, on_client_closed, NULL);
        client = NULL;
        assert_false(client_closed);
        RUN_UNTIL(client_closed);
    }
}

static inline void on_call(void *arg, int rc, const struct etcd_answer *answer,
                           const struct error *err)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->rc = rc;
    outcome->took_ms = clock_mono_ms(clock_real()) - outcome->began_ms;
    outcome->sent_ms = answer == NULL ? 0 : answer->sent_ms;
    assert_int_equal(err->code, rc);
    (void)snprintf(outcome->text, sizeof outcome->text, "%s", err->text);
}

static inline int call_begin(struct outcome *outcome, const char *path, bool repeatable,
                             int64_t timeout_ms)
{
    struct error err = {0};
    struct etcd_call call = {.path = path,
                             .body = span_str("{\"key\":\"YQ==\"}"),
                             .repeatable = repeatable,
                             .timeout_ms = timeout_ms};
    *outcome = (struct outcome){.began_ms = clock_mono_ms(clock_real())};
    int rc = etcd_client_call(client, &call, on_call, outcome, &err);
    assert_int_equal(outcome->calls, 0); /* never inside the call that asked */
    return rc;
}

static inline int call_run(struct outcome *outcome, const char *path, bool repeatable,
                           int64_t timeout_ms)
{
    assert_int_equal(call_begin(outcome, path, repeatable, timeout_ms), 0);
    RUN_UNTIL(outcome->calls > 0);
    assert_int_equal(outcome->calls, 1);
    return outcome->rc;
}

static inline int range(void)
{
    struct outcome outcome;
    return call_run(&outcome, "/kv/range", true, 5000);
}

static inline int client_teardown(void **state)
{
    (void)state;
    client_close();
    fakes_close();
    buf_free(&notes);
    return 0;
}

static inline int one_member(void **state)
{
    (void)state;
    fakes_open(1);
    return 0;
}

static inline int two_members(void **state)
{
    (void)state;
    fakes_open(2);
    return 0;
}

#define WITH_ONE(name) cmocka_unit_test_setup_teardown(name, one_member, client_teardown)
#define WITH_TWO(name) cmocka_unit_test_setup_teardown(name, two_members, client_teardown)

/* For hooks. */
static inline bool is_path(const struct fake_request *request, const char *end)
{
    size_t len = strlen(request->path);
    return len >= strlen(end) && strcmp(request->path + len - strlen(end), end) == 0;
}

#endif
