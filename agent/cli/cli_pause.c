/* pause and resume: one key of the dynamic configuration, written into the store as edit-config
 * does, so that no member need answer. --wait goes by what each member says of itself: the leader
 * says so when its fence is disarmed, and takes it back when it is armed again. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/config/dynamic.h"
#include "base/buf.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define TRIES_MAX       5 /* somebody else changes the configuration at the same time */
#define LOOK_EVERY_MS   250
#define LOOP_WAIT_MS    10000
#define WAIT_BESIDES_MS 1000
#define STORED_JSON     (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

struct pause {
    struct cli *cli;
    const char *cluster;
    bool pause; /* else resume */
    bool wait;
    bool dry_run; /* everything but the write */
};

static bool is_paused(const json_t *config)
{
    bool paused = false;
    return dynamic_bool(json_object_get(config, "pause"), &paused) && paused;
}

static int write_config(const struct pause *p, const json_t *config, int64_t revision,
                        struct error *err)
{
    json_t *patch = json_pack("{s:o}", "pause", p->pause ? json_true() : json_null());
    json_t *changed = NULL;
    int rc = dynamic_config_merge(config, patch, &changed, NULL, err);
    json_decref(patch);
    if (rc == 0 && !p->dry_run) {
        struct buf text = BUF_INIT;
        buf_reserve(&text, json_dumpb(changed, NULL, 0, STORED_JSON) + 1);
        text.len = json_dumpb(changed, (char *)text.data, text.capacity, STORED_JSON);
        rc = cli_session_put(p->cli->session, p->cluster, "config", buf_str(&text), revision, err);
        buf_free(&text);
    }
    json_decref(changed);
    return rc;
}

/* 0; ERR_CONFLICT = once more; ERR_BUSY = it is so already. */
static int change_once(const struct pause *p, int64_t *ret_loop_wait_ms, struct error *err)
{
    struct dcs_view *view = NULL;
    int rc = cli_session_read(p->cli->session, p->cluster, &view, err);
    if (rc != 0) {
        return rc;
    }
    const struct dcs_kv *kv = dcs_view_get(view, "config");
    json_t *config = cluster_doc_key(view, "config");
    if (!json_is_object(config)) {
        rc = error_set(err, ERR_NOT_FOUND, "The config key does not exist in the cluster %s",
                       p->cluster);
    } else if (is_paused(config) == p->pause) {
        rc = error_set(err, ERR_BUSY, "Cluster is %s paused", p->pause ? "already" : "not");
    } else {
        rc = write_config(p, config, kv->mod_revision, err);
    }
    if (!dynamic_time_ms(json_object_get(config, "loop_wait"), ret_loop_wait_ms)) {
        *ret_loop_wait_ms = LOOP_WAIT_MS;
    }
    json_decref(config);
    dcs_view_unref(view);
    return rc;
}

/* Names of the members that do not say so yet. */
static int look(const struct pause *p, struct buf *ret_names, struct error *err)
{
    struct dcs_view *view = NULL;
    const char *prefix = "members/";
    int rc = cli_session_read(p->cli->session, p->cluster, &view, err);
    for (size_t i = 0; rc == 0 && i < view->count; i++) {
        const struct dcs_kv *kv = &view->kvs[i];
        if (strncmp(kv->key, prefix, strlen(prefix)) != 0) {
            continue;
        }
        json_t *member = json_loadb(kv->value, kv->value_len, 0, NULL);
        bool says = json_is_true(json_object_get(member, "pause"));
        if (json_is_object(member) && says != p->pause) {
            buf_printf(ret_names, "%s%s", ret_names->len > 0 ? ", " : "", kv->key + strlen(prefix));
        }
        json_decref(member);
    }
    dcs_view_unref(view);
    return rc;
}

static int wait_for_all(const struct pause *p, int64_t wait_ms)
{
    struct error err = {0};
    struct buf names = BUF_INIT;
    (void)printf("'%s' request sent, waiting until it is recognized by all nodes\n",
                 p->pause ? "pause" : "resume");
    (void)fflush(stdout);
    int rc = look(p, &names, &err);
    for (int64_t left_ms = wait_ms; rc == 0 && names.len > 0 && left_ms > 0;
         left_ms -= LOOK_EVERY_MS) {
        cli_session_wait(p->cli->session, LOOK_EVERY_MS);
        buf_clear(&names);
        rc = look(p, &names, &err);
    }
    int status = rc != 0 ? cli_fail("%s", err.text) : CLI_OK;
    if (rc == 0 && names.len > 0) {
        status = cli_fail("the configuration says %s, and after %lld s these members do not: %s",
                          p->pause ? "paused" : "not paused", (long long)(wait_ms / 1000),
                          buf_str(&names));
    }
    buf_free(&names);
    return status;
}

static int change(const struct pause *p)
{
    struct error err = {0};
    int64_t loop_wait_ms = LOOP_WAIT_MS;
    int rc = ERR_CONFLICT;
    for (int i = 0; i < TRIES_MAX && rc == ERR_CONFLICT; i++) {
        rc = change_once(p, &loop_wait_ms, &err);
    }
    if (rc != 0) {
        return cli_fail("%s", err.text);
    }
    if (p->dry_run) {
        (void)printf("Dry run: nothing was sent. %s\n",
                     p->pause ? "'pause: true' would be written into the configuration"
                              : "'pause' would be taken out of the configuration");
        return CLI_OK;
    }
    int status = p->wait ? wait_for_all(p, loop_wait_ms + WAIT_BESIDES_MS) : CLI_OK;
    if (status == CLI_OK) {
        (void)printf("Success: cluster management is %s\n", p->pause ? "paused" : "resumed");
    }
    return status;
}

static int run(struct cli *cli, int argc, char **argv, bool pause)
{
    struct pause p = {.cli = cli, .pause = pause};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'w': p.wait = true; break;
        case 'n': p.dry_run = true; break;
        default: return CLI_USAGE;
        }
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    p.cluster = cli_cluster(cli, argc, argv, optind);
    return change(&p);
}

int cli_pause(struct cli *cli, int argc, char **argv)
{
    return run(cli, argc, argv, true);
}

int cli_resume(struct cli *cli, int argc, char **argv)
{
    return run(cli, argc, argv, false);
}
