/* import-etcd: a cluster's keys from the etcd that it runs on into the store of the file. Each key
 * is compared when it is put, so that a run which was broken off is simply repeated; and both
 * stores are read once more at the end, because a pause may have ended meanwhile. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/cli/import_plan.h"
#include "agent/cli/import_source.h"
#include "agent/config/dynamic.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct import {
    struct cli *cli;
    const char *from;   /* as it was given */
    const char *prefix; /* NULL = that of the file */
    const char *cluster;
    const char *old_cluster; /* its scope in the old store */
    bool force;
    bool dry_run;
    struct cli_session *source;
    struct dcs_view *old_view;
    struct dcs_view *new_view;
};

/* --- the old store ---------------------------------------------------------------------------- */

static int read_file_source(struct import *im, const char *path, struct error *err)
{
    int rc = cli_session_open(path, NULL, &im->source, err);
    if (rc != 0) {
        return rc;
    }
    if (cli_session_config(im->source)->store == CONFIG_STORE_RAFT) {
        return error_set(err, ERR_INVALID, "%s: its store is no etcd: it has 'raft'", path);
    }
    im->old_cluster = cli_session_config(im->source)->scope;
    return cli_session_read(im->source, im->old_cluster, &im->old_view, err);
}

/* Opens it and reads; what it finds is handed over, and neither is left behind after an error. */
static int read_url(const struct import *im, const char *url, struct cli_session **ret_session,
                    struct dcs_view **ret_view, struct error *err)
{
    int rc = cli_session_open(im->cli->config_path, url, ret_session, err);
    if (rc != 0) {
        return rc;
    }
    rc = cli_session_read(*ret_session, im->old_cluster, ret_view, err);
    if (rc != 0) {
        cli_session_close(*ret_session);
        *ret_session = NULL;
    }
    return rc;
}

/* Two looks at one store: a listener of ours shows the same keys through both APIs. What members
 * write changes between the two. */
static bool shows_the_same(const struct dcs_view *one, const struct dcs_view *other)
{
    bool same = one->count == other->count;
    for (size_t i = 0; same && i < one->count; i++) {
        same = strcmp(one->kvs[i].key, other->kvs[i].key) == 0;
    }
    return same && import_is_same(one, other, "initialize") && import_is_same(one, other, "config");
}

/* Without a word about the API it is that one of the two which has the cluster: in an etcd they are
 * two separate stores. */
static int read_url_sources(struct import *im, const struct import_source *given, struct error *err)
{
    struct error first = {0};
    bool first_failed = false;
    int rc = 0;
    im->old_cluster = given->scope != NULL ? given->scope : im->cluster;
    for (size_t i = 0; i < given->url_count; i++) {
        struct cli_session *session = NULL;
        struct dcs_view *view = NULL;
        int one = read_url(im, given->urls[i], &session, &view, err);
        if (one != 0 && rc == 0) {
            rc = one;
            first = *err;
            first_failed = i == 0;
        }
        if (one == 0 && im->old_view != NULL && view->count > 0 && im->old_view->count > 0 &&
            !shows_the_same(im->old_view, view)) {
            dcs_view_unref(view);
            cli_session_close(session);
            return error_set(err, ERR_INVALID,
                             "both APIs of this etcd have keys there: say which is meant, with "
                             "--from etcd3://... or etcd://...");
        }
        bool better = one == 0 && (im->old_view == NULL || im->old_view->count == 0);
        if (better) {
            dcs_view_unref(im->old_view);
            cli_session_close(im->source);
            im->old_view = view;
            im->source = session;
        } else if (one == 0) {
            dcs_view_unref(view);
            cli_session_close(session);
        }
    }
    if (im->old_view == NULL) {
        *err = first;
        return rc;
    }
    /* The first is v3: what v2 has beside one that could not be looked at may be of long ago. */
    if (first_failed) {
        return error_set(err, rc,
                         "its v3 API cannot be looked at (%s): say --from etcd://... if its v2 API "
                         "is meant",
                         first.text);
    }
    return 0;
}

/* --- doing ------------------------------------------------------------------------------------ */

static int show(const struct import *im, const struct import_plan *plan)
{
    static const struct cli_column columns[] = {{"Key", "Key", false, false},
                                                {"Action", "Action", false, false},
                                                {"Reason", "Reason", false, false}};
    char *title = mem_printf(" Cluster: %s ", im->cluster);
    struct cli_table table = {
        .columns = columns, .column_count = 3, .rows = json_array(), .title = title};
    for (size_t i = 0; i < plan->count; i++) {
        const struct import_step *step = &plan->steps[i];
        (void)json_array_append_new(
            table.rows, json_pack("[s, s, s]", step->key, import_action_text(step->action),
                                  step->why_left != NULL ? step->why_left : ""));
    }
    int status = cli_say_table_take(&table, CLI_PRETTY);
    mem_free(title);
    return status;
}

static int write_all(const struct import *im, const struct import_plan *plan, size_t *ret_written,
                     struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->count; i++) {
        const struct import_step *step = &plan->steps[i];
        if (step->action == IMPORT_COPY || step->action == IMPORT_REPLACE) {
            rc = cli_session_put(im->cli->session, im->cluster, step->key, step->value,
                                 step->compare, err);
            *ret_written += rc == 0;
        }
    }
    return rc;
}

/* The same questions once more, of what both stores have now. Status and history go on meanwhile;
 * what was checked before must still hold, and every other key must have arrived. */
static int check_again(struct import *im, struct error *err)
{
    struct dcs_view *old_view = NULL;
    struct dcs_view *new_view = NULL;
    struct import_plan plan = {0};
    int rc = cli_session_read(im->source, im->old_cluster, &old_view, err);
    rc = rc != 0 ? rc : cli_session_read(im->cli->session, im->cluster, &new_view, err);
    rc = rc != 0 ? rc : import_plan_make(old_view, new_view, &plan, err);
    for (size_t i = 0; rc == 0 && i < plan.count; i++) {
        if (plan.steps[i].action == IMPORT_COPY) {
            rc = error_set(err, ERR_CONFLICT, "'%s' is not in the new store", plan.steps[i].key);
        }
    }
    import_plan_free(&plan);
    dcs_view_unref(old_view);
    dcs_view_unref(new_view);
    return rc;
}

static int carry_out(struct import *im, const struct import_plan *plan)
{
    struct error err = {0};
    size_t written = 0;
    if (write_all(im, plan, &written, &err) != 0) {
        return cli_fail("%s; %zu keys were copied: repeat it", err.text, written);
    }
    if (check_again(im, &err) != 0) {
        return cli_fail("the keys were copied, but meanwhile: %s", err.text);
    }
    (void)printf("Success: %zu keys of cluster %s were copied\n", written, im->old_cluster);
    if (plan->running) {
        (void)printf("It is paused in both stores. Give every member the new store and start its "
                     "agent again, and then end the pause: resume --wait\n");
    }
    return CLI_OK;
}

/* What our agents cannot obey they would refuse: no promotion while it is there. */
static int check_config(const struct import *im, struct error *err)
{
    json_t *config = cluster_doc_key(im->old_view, "config");
    int64_t ttl_min_ms = config_ttl_min_ms(cli_session_config(im->cli->session));
    int rc = dynamic_config_validate(config, ttl_min_ms, NULL, err);
    json_decref(config);
    return rc;
}

static int confirm(const struct import *im)
{
    switch (im->force ? CLI_YES : cli_confirm("Copy these keys into the new store?")) {
    case CLI_YES: return CLI_OK;
    case CLI_NO: return cli_fail("Aborted: nothing was copied");
    case CLI_ABORTED: break;
    }
    return CLI_ERROR;
}

static int go_by_plan(struct import *im, const struct import_plan *plan)
{
    struct error err = {0};
    int status = show(im, plan);
    if (status == CLI_OK && check_config(im, &err) != 0) {
        (void)printf("Warning: agents of ours will not obey this configuration: %s\n", err.text);
    }
    if (status == CLI_OK && im->dry_run) {
        (void)printf("Dry run: nothing was sent\n");
        return CLI_OK;
    }
    status = status != CLI_OK ? status : confirm(im);
    return status != CLI_OK ? status : carry_out(im, plan);
}

static int import_from(struct import *im, const struct import_source *given)
{
    struct error err = {0};
    struct import_plan plan = {0};
    int status = CLI_ERROR;
    int rc = given->path != NULL ? read_file_source(im, given->path, &err)
                                 : read_url_sources(im, given, &err);
    if (rc != 0) {
        return cli_fail("--from %s: %s", im->from, err.text);
    }
    if (cli_session_read(im->cli->session, im->cluster, &im->new_view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    if (import_plan_make(im->old_view, im->new_view, &plan, &err) != 0) {
        return cli_fail("cluster '%s' of --from %s: %s", im->old_cluster, im->from, err.text);
    }
    status = go_by_plan(im, &plan);
    import_plan_free(&plan);
    return status;
}

static int run(struct import *im)
{
    struct error err = {0};
    struct import_source given = {0};
    const struct config *config = cli_session_config(im->cli->session);
    if (im->cluster == NULL) {
        return cli_fail("no cluster: name one, or give 'scope' in the file");
    }
    if (import_source_parse(im->from, im->prefix, config->namespace_, &given, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = import_from(im, &given);
    dcs_view_unref(im->old_view);
    dcs_view_unref(im->new_view);
    cli_session_close(im->source);
    import_source_free(&given);
    return status;
}

int cli_import_etcd(struct cli *cli, int argc, char **argv)
{
    struct import im = {.cli = cli};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'o': im.from = optarg; break;
        case 'p': im.prefix = optarg; break;
        case 'F': im.force = true; break;
        case 'n': im.dry_run = true; break;
        default: return CLI_USAGE;
        }
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (im.from == NULL) {
        return cli_wrong_usage(argv[0], "--from is missing: the etcd that the cluster runs on");
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    im.cluster = cli_cluster(cli, argc, argv, optind);
    return run(&im);
}
