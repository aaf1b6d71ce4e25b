/* One loop that turns only while an answer is waited for. Each call starts one operation with a
 * deadline, turns the loop until its callback came, and hands the outcome on; nothing of an
 * operation outlives its call. */
#include "agent/cli/cli_session.h"

#include "agent/cli/store_etcd.h"
#include "agent/dcs/dcs_raft.h"
#include "base/assert.h"
#include "base/mem.h"
#include "raft/client.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define STATUS_TIMEOUT_MS \
    2000 /* of one member: the others should not wait long for one that is down */

struct cli_session {
    struct config config;
    uv_loop_t loop;
    struct raft_client *client;
    long group; /* negative: none */
};

/* --- life ------------------------------------------------------------------------------------- */

size_t cli_session_addresses(const struct cli_session *session, const char **addresses)
{
    const struct config_raft *raft = &session->config.raft;
    size_t count = 0;
    if (raft->self.text != NULL) {
        addresses[count++] = raft->self.text;
    }
    for (size_t i = 0; i < raft->partner_count; i++) {
        addresses[count++] = raft->partners[i].text;
    }
    return count;
}

static char *default_path(void)
{
    const char *config_home = getenv("XDG_CONFIG_HOME");
    const struct passwd *user = getpwuid(geteuid());
    if (config_home != NULL && config_home[0] != '\0') {
        return mem_printf("%s/patroni/patronictl.yaml", config_home);
    }
    return mem_printf("%s/.config/patroni/patronictl.yaml", user != NULL ? user->pw_dir : "");
}

static int load_config(const char *path, const char *dcs_url, struct config *ret_config,
                       struct error *err)
{
    char *fallback = path == NULL ? default_path() : NULL;
    const char *used = path != NULL ? path : fallback;
    int rc = 0;
    if (path == NULL && access(used, R_OK) != 0 &&
        (dcs_url != NULL || config_environment_given())) {
        rc = config_load_client(NULL, dcs_url, ret_config, NULL, err);
    } else if (path == NULL && access(used, R_OK) != 0) {
        rc = error_set(err, ERR_NOT_FOUND,
                       "no configuration file: give the agent's with -c FILE or in "
                       "PATRONICTL_CONFIG_FILE (there is none "
                       "at %s)",
                       used);
    } else {
        rc = config_load_client(used, dcs_url, ret_config, NULL, err);
    }
    mem_free(fallback);
    return rc;
}

static int client_new(struct cli_session *session, const char *const *addresses, size_t count,
                      struct raft_client **ret_client, struct error *err)
{
    const struct config_raft *raft = &session->config.raft;
    struct raft_client *client = NULL;
    int rc = raft_client_new(&session->loop, addresses, count, raft->password.hidden, &client, err);
    if (rc != 0) {
        return rc;
    }
    if (raft->certfile != NULL) {
        rc = raft_client_use_tls(client, raft->certfile, raft->keyfile, raft->cafile, err);
    }
    if (rc != 0) {
        raft_client_close(client, NULL, NULL);
        return rc;
    }
    *ret_client = client;
    return 0;
}

int cli_session_open(const char *path, const char *dcs_url, struct cli_session **ret_session,
                     struct error *err)
{
    const char *addresses[CLI_ADDRESSES_MAX];
    struct cli_session *session = mem_new(struct cli_session);
    session->group = -1;
    int rc = load_config(path, dcs_url, &session->config, err);
    if (rc != 0) {
        mem_free(session);
        return rc;
    }
    if (uv_loop_init(&session->loop) != 0) {
        config_free(&session->config);
        mem_free(session);
        return error_set(err, ERR_IO, "cannot make an event loop");
    }
    cli_request_as(&session->config.ctl);
    size_t count = cli_session_addresses(session, addresses);
    if (session->config.store != CONFIG_STORE_RAFT) {
        *ret_session = session;
        return 0;
    }
    rc = client_new(session, addresses, count, &session->client, err);
    if (rc != 0) {
        cli_session_close(session);
        return rc;
    }
    *ret_session = session;
    return 0;
}

void cli_session_close(struct cli_session *session)
{
    if (session == NULL) {
        return;
    }
    if (session->client != NULL) {
        raft_client_close(session->client, NULL, NULL);
    }
    (void)uv_run(&session->loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&session->loop) == 0);
    cli_request_as(NULL);
    config_free(&session->config);
    mem_free(session);
}

void cli_session_group(struct cli_session *session, long group)
{
    session->group = group;
}

const struct config *cli_session_config(const struct cli_session *session)
{
    return &session->config;
}

static void turn_until(struct cli_session *session, const bool *done)
{
    while (!*done) {
        (void)uv_run(&session->loop, UV_RUN_ONCE);
    }
}

/* --- store ------------------------------------------------------------------------------------ */

/* Outcome of the one operation that is waited for. */
struct outcome {
    bool done;
    int rc;
    struct error err;
    struct dcs_view *view;
    struct raft_status status;
};

static void outcome_set(struct outcome *outcome, int rc, const struct error *err)
{
    outcome->rc = rc;
    if (rc != 0 && err != NULL) {
        outcome->err = *err;
    } else if (rc != 0) {
        (void)error_set(&outcome->err, rc, "%s", err_name(rc));
    }
    outcome->done = true;
}

static void on_read(void *arg, int rc, struct dcs_view *view, const struct error *err)
{
    struct outcome *outcome = arg;
    outcome->view = rc == 0 ? dcs_view_ref(view) : NULL;
    outcome_set(outcome, rc, err);
}

static void on_written(void *arg, const struct dcs_result *result, const struct error *err)
{
    outcome_set(arg, result->rc, err);
}

static int etcd_open(struct cli_session *session, const char *base, struct dcs **ret_dcs,
                     struct error *err)
{
    struct dcs_etcd_config config = {
        .base = base,
        .name = "",
        .etcd = {.idle_ms = CLI_TIMEOUT_MS, .clock = clock_real(), .random = random_real()}};
    return store_etcd_open(&session->loop, &session->config, &config, ret_dcs, err);
}

static int store_open(struct cli_session *session, const char *cluster, struct dcs **ret_dcs,
                      struct error *err)
{
    char *whole =
        session->group < 0 ? mem_strdup(cluster) : mem_printf("%s/%ld", cluster, session->group);
    char *base = dcs_base_path(session->config.namespace_, whole);
    int rc = 0;
    mem_free(whole);
    if (session->config.store == CONFIG_STORE_RAFT) {
        *ret_dcs = dcs_raft_client_new(session->client, base);
    } else {
        rc = etcd_open(session, base, ret_dcs, err);
    }
    mem_free(base);
    return rc;
}

int cli_session_read(struct cli_session *session, const char *cluster, struct dcs_view **ret_view,
                     struct error *err)
{
    struct outcome outcome = {0};
    struct dcs *dcs = NULL;
    if (cluster == NULL) {
        return error_set(err, ERR_INVALID, "no cluster: name one, or give 'scope' in the file");
    }
    int rc = store_open(session, cluster, &dcs, err);
    if (rc != 0) {
        return rc;
    }
    rc = dcs->ops->read(dcs, CLI_TIMEOUT_MS, on_read, &outcome, err);
    if (rc == 0) {
        turn_until(session, &outcome.done);
        rc = outcome.rc;
        if (rc != 0) {
            (void)error_set(err, rc, "reading the state of cluster '%s': %s", cluster,
                            outcome.err.text);
        }
    }
    dcs->ops->free(dcs);
    if (rc == 0) {
        *ret_view = outcome.view;
    }
    return rc;
}

int cli_session_put(struct cli_session *session, const char *cluster, const char *key,
                    const char *value, int64_t compare, struct error *err)
{
    struct outcome outcome = {0};
    struct dcs *dcs = NULL;
    int rc = store_open(session, cluster, &dcs, err);
    if (rc != 0) {
        return rc;
    }
    rc = dcs->ops->put(dcs, key, value, compare, CLI_TIMEOUT_MS, on_written, &outcome, err);
    if (rc == 0) {
        turn_until(session, &outcome.done);
        rc = outcome.rc;
        if (rc != 0) {
            (void)error_set(err, rc, "writing '%s' of cluster '%s': %s", key, cluster,
                            outcome.err.text);
        }
    }
    dcs->ops->free(dcs);
    return rc;
}

int cli_session_delete(struct cli_session *session, const char *cluster, const char *key,
                       int64_t compare, struct error *err)
{
    struct outcome outcome = {0};
    struct dcs *dcs = NULL;
    int rc = store_open(session, cluster, &dcs, err);
    if (rc != 0) {
        return rc;
    }
    rc = dcs->ops->remove(dcs, key, compare, CLI_TIMEOUT_MS, on_written, &outcome, err);
    if (rc == 0) {
        turn_until(session, &outcome.done);
        rc = outcome.rc;
        if (rc != 0) {
            (void)error_set(err, rc, "deleting '%s' of cluster '%s': %s", key, cluster,
                            outcome.err.text);
        }
    }
    dcs->ops->free(dcs);
    return rc;
}

static void on_status(void *arg, int rc, const struct raft_status *status, const struct error *err)
{
    struct outcome *outcome = arg;
    if (rc == 0) {
        outcome->status = *status;
    }
    outcome_set(outcome, rc, err);
}

int cli_session_status(struct cli_session *session, const char *address,
                       struct raft_status *ret_status, struct error *err)
{
    struct outcome *outcome = mem_new(struct outcome);
    struct raft_client *client = NULL;
    /* a client of its own: the answer has to be this member's, not the next one's */
    int rc = client_new(session, &address, 1, &client, err);
    if (rc == 0) {
        rc = raft_client_status(client, STATUS_TIMEOUT_MS, on_status, outcome, err);
        if (rc == 0) {
            turn_until(session, &outcome->done);
            rc = outcome->rc;
        }
        raft_client_close(client, NULL, NULL);
    }
    if (rc == 0) {
        *ret_status = outcome->status;
    } else if (outcome->rc != 0 && err != NULL) {
        *err = outcome->err;
    }
    mem_free(outcome);
    return rc;
}

static void on_removed(void *arg, int rc, const struct store_result *result,
                       const struct error *err)
{
    (void)result;
    outcome_set(arg, rc, err);
}

int cli_session_remove(struct cli_session *session, const char *address, uint64_t id,
                       struct error *err)
{
    struct outcome *outcome = mem_new(struct outcome);
    struct raft_client *client = NULL;
    int rc = client_new(session, &address, 1, &client, err);
    if (rc == 0) {
        rc = raft_client_remove(client, id, CLI_TIMEOUT_MS, on_removed, outcome, err);
        if (rc == 0) {
            turn_until(session, &outcome->done);
            rc = outcome->rc;
        }
        raft_client_close(client, NULL, NULL);
    }
    if (outcome->rc != 0 && err != NULL) {
        *err = outcome->err;
    }
    mem_free(outcome);
    return rc;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void cli_session_wait(struct cli_session *session, int64_t ms)
{
    bool done = false;
    uv_timer_t timer = {.data = &done};
    (void)uv_timer_init(&session->loop, &timer);
    (void)uv_timer_start(&timer, on_timer, (uint64_t)ms, 0);
    turn_until(session, &done);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&session->loop, UV_RUN_NOWAIT);
    ASSERT(!uv_is_active((uv_handle_t *)&timer));
}
