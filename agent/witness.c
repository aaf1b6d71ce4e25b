/* Start: REST, the Raft group, etcd's listener. Stop, from the outside in: etcd's listener (its
 * clients are told to go elsewhere while this member can still serve them), REST, Raft leadership,
 * the group; `close_timer` sees to it that it ends.
 *
 *   SIGTERM -> etcd stopped -> REST stopped -> leadership handed over -> group closed -> end
 *
 * As the Raft leader it does what an agent does: it gives leadership to the primary's node. It is
 * never given any for that reason itself, because its name has no member key. */
#include "agent/witness.h"

#include "agent/app_etcd.h"
#include "agent/app_group.h"
#include "agent/app_start.h"
#include "agent/config/config.h"
#include "agent/config/config_identity.h"
#include "agent/config/dynamic.h"
#include "agent/loop/follow.h"
#include "agent/notify.h"
#include "agent/reexec.h"
#include "agent/witness_rest.h"
#include "base/log.h"
#include "base/mem.h"
#include "raft/storage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define WITNESS_CLOSE_MS     5000
#define WITNESS_LOCK_WAIT_MS 2000

struct witness {
    struct config config;
    uv_loop_t loop;
    struct app_signals signals;
    uv_timer_t close_timer;
    int election_timeout_ms;
    struct raft_group *group;
    struct etcd_server *etcd;
    struct witness_rest *rest;
    struct follow follow;
    struct notify notify;
    struct reexec reexec;
    char *identity;
    bool stopping;
    int status;
};

/* --- stopping --------------------------------------------------------------------------------- */

static void on_group_closed(void *arg)
{
    struct witness *witness = arg;
    uv_close((uv_handle_t *)&witness->close_timer, NULL);
    app_start_signals_close(&witness->signals);
}

static void close_group(struct witness *witness)
{
    struct raft_group *group = witness->group;
    witness->group = NULL;
    if (group != NULL) {
        raft_group_close(group, on_group_closed, witness);
    } else {
        on_group_closed(witness);
    }
}

static void on_retired(void *arg, int rc, const struct store_result *result)
{
    (void)result;
    if (rc != 0) {
        log_warning("no other member took over the Raft leadership in time, going on");
    }
    close_group(arg);
}

static void on_rest_stopped(void *arg)
{
    struct witness *witness = arg;
    struct raft_node *node = witness->group == NULL ? NULL : raft_group_node(witness->group);
    if (node != NULL && witness->status == 0 &&
        reexec_hands_over(&witness->reexec, on_retired, witness)) {
        return;
    }
    if (node != NULL && witness->status == 0) {
        raft_node_retire(node, witness->election_timeout_ms, on_retired, witness);
    } else {
        close_group(witness);
    }
}

static void on_etcd_stopped(void *arg)
{
    struct witness *witness = arg;
    struct witness_rest *rest = witness->rest;
    witness->etcd = NULL;
    witness->rest = NULL;
    witness_rest_stop(rest, on_rest_stopped, witness);
}

static void stop(struct witness *witness, int status)
{
    witness->stopping = true;
    witness->status = status;
    notify_stopping(&witness->notify);
    notify_close(&witness->notify); /* what is left has a limit of its own */
    reexec_close(&witness->reexec);
    app_start_close_within(&witness->close_timer,
                           WITNESS_CLOSE_MS + (uint64_t)witness->election_timeout_ms);
    app_etcd_stop(witness->etcd, on_etcd_stopped, witness);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct witness *witness = signal->data;
    if (number == SIGHUP) {
        (void)app_reload_certificates(&witness->config, witness->stopping ? NULL : witness->group,
                                      witness->stopping ? NULL : witness->etcd);
        witness_rest_reload(witness->rest);
        log_warning("SIGHUP: a witness reads its file at start only");
    } else if (number == SIGUSR2) {
        struct error err = {0};
        if (reexec_ask(&witness->reexec, "SIGUSR2", false, &err) != 0) {
            log_warning("SIGUSR2: %s", err.text);
        }
    } else if (witness->stopping) {
        log_warning("signal %d: exiting at once", number);
        app_start_exit_now(1);
    } else {
        log_info("signal %d: leaving the others", number);
        stop(witness, 0);
    }
}

/* --- the group -------------------------------------------------------------------------------- */

/* Name of the primary if it has a member key, which only what runs PostgreSQL writes; else "". */
static void primary_name(const struct witness *witness, const struct store *store,
                         char ret_name[RAFT_NODE_NAME_BYTES])
{
    struct store_kv leader;
    struct store_kv member;
    char *key = mem_printf("%sleader", witness->config.prefix);
    bool found = store_get(store, span_str(key), &leader) && leader.value.len > 0 &&
                 leader.value.len < RAFT_NODE_NAME_BYTES;
    ret_name[0] = '\0';
    if (found) {
        char *member_key = mem_printf("%smembers/%.*s", witness->config.prefix,
                                      (int)leader.value.len, (const char *)leader.value.data);
        if (store_get(store, span_str(member_key), &member)) {
            memcpy(ret_name, leader.value.data, leader.value.len);
            ret_name[leader.value.len] = '\0';
        }
        mem_free(member_key);
    }
    mem_free(key);
}

static void on_group_change(void *arg)
{
    struct witness *witness = arg;
    if (witness->stopping) {
        return;
    }
    app_etcd_on_change(witness->etcd);
    struct raft_node *node = raft_group_node(witness->group);
    struct raft_status status;
    if (node == NULL) {
        return;
    }
    raft_node_status(node, &status);
    if (status.role == RAFT_ROLE_LEADER) {
        char primary[RAFT_NODE_NAME_BYTES];
        primary_name(witness, raft_node_store(node), primary);
        follow_primary(&witness->follow, node, &status, primary, clock_mono_ms(clock_real()));
    }
}

static void on_group_ready(void *arg)
{
    struct witness *witness = arg;
    log_info("the Raft member is running");
    on_group_change(witness);
}

/* --- starting --------------------------------------------------------------------------------- */

static int64_t start_ttl_ms(const struct config *config)
{
    char warning[DYNAMIC_WARNING_BYTES] = "";
    struct dynamic_config dynamic;
    struct error err = {0};
    if (dynamic_config_parse(config->bootstrap.dcs, config_ttl_min_ms(config), &dynamic, warning,
                             &err) != 0) {
        dynamic_config_init(&dynamic);
    }
    int64_t ttl_ms = dynamic.ttl_ms;
    dynamic_config_free(&dynamic);
    return ttl_ms;
}

/* Nothing is open yet, and the loop does not run. One that was killed has its ports as long as its
 * directory, too. */
static int await_predecessor(const char *data_dir, struct error *err)
{
    int rc = raft_storage_await(data_dir, 0, err);
    if (rc == ERR_BUSY) {
        log_info("%s: it may be about to end, waiting for up to %d s", err->text,
                 WITNESS_LOCK_WAIT_MS / 1000);
        rc = raft_storage_await(data_dir, WITNESS_LOCK_WAIT_MS, err);
    }
    return rc;
}

static int start(struct witness *witness, struct error *err)
{
    const struct config *config = &witness->config;
    struct app_group group = {.ttl_ms = start_ttl_ms(config),
                              .witness = true,
                              .on_ready = on_group_ready,
                              .on_change = on_group_change,
                              .arg = witness};
    int heartbeat_ms = 0;
    config_raft_timeouts(&config->raft, group.ttl_ms, &witness->election_timeout_ms, &heartbeat_ms);
    int rc = await_predecessor(config->raft.data_dir, err);
    rc = rc != 0 ? rc
                 : witness_rest_start(&witness->loop, config, &witness->group, &witness->rest, err);
    rc = rc != 0 ? rc : app_group_open(&witness->loop, config, &group, &witness->group, err);
    return rc != 0 ? rc
                   : app_etcd_start(&witness->loop, config, witness->election_timeout_ms,
                                    &witness->group, &witness->etcd, err);
}

/* --- the program, exchanged in place ---------------------------------------------------------- */

static const char *hindrance(void *arg, bool leaving)
{
    const struct witness *witness = arg;
    (void)leaving;
    return witness->stopping ? "the witness is stopping" : NULL;
}

static struct raft_node *node(void *arg)
{
    const struct witness *witness = arg;
    return witness->group == NULL ? NULL : raft_group_node(witness->group);
}

static int handover_ms(void *arg)
{
    const struct witness *witness = arg;
    return witness->election_timeout_ms;
}

static int lock_fd(void *arg)
{
    (void)arg;
    return -1; /* its directory's lock is the store's, which takes it anew */
}

static void leaving(void *arg, bool does)
{
    struct witness *witness = arg;
    notify_reloading(&witness->notify, does);
}

/* Whoever has sent the signal reads the log. */
static void told(void *arg, int rc, const char *text)
{
    (void)arg;
    (void)rc;
    (void)text;
}

static int open_reexec(struct witness *witness, struct error *err)
{
    witness->identity = config_identity(&witness->config);
    struct reexec_ports ports = {.clock = clock_real(),
                                 .identity = witness->identity,
                                 .taken = config_environment_taken(),
                                 .hindrance = hindrance,
                                 .node = node,
                                 .handover_ms = handover_ms,
                                 .lock_fd = lock_fd,
                                 .leaving = leaving,
                                 .told = told,
                                 .arg = witness};
    return reexec_open(&witness->reexec, &witness->loop, &ports, err);
}

static int check(const char *path)
{
    struct config config;
    if (app_start_check(config_load_witness, path, &config) != 0) {
        return 1;
    }
    config_free(&config);
    return 0;
}

int witness_run(const char *path)
{
    if (reexec_check_asked()) {
        return check(path);
    }
    struct witness *witness = mem_new(struct witness);
    struct error err = {0};

    witness->status = 1;
    if (app_start_load(config_load_witness, path, &witness->config) == 0 &&
        uv_loop_init(&witness->loop) == 0) {
        (void)uv_timer_init(&witness->loop, &witness->close_timer);
        app_start_signals(&witness->loop, &witness->signals, on_signal, witness);
        if (open_reexec(witness, &err) != 0 || start(witness, &err) != 0) {
            log_error("%s", err.text);
            stop(witness, 1);
        } else {
            log_info("witness '%s' started", witness->config.name);
            notify_ready(&witness->notify, &witness->loop);
        }
        app_start_turn(&witness->loop);
    }
    reexec_free(&witness->reexec);
    mem_free(witness->identity);
    config_free(&witness->config);
    int status = witness->status;
    mem_free(witness);
    return status;
}
