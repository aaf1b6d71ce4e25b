/* remove: everything that the store holds of a cluster. There is no --force. A cluster of ours that
 * lives is left alone: whoever holds its leader key goes on under a lease that nobody else ends,
 * and an agent between two leaders would find neither who is synchronous nor whose data these are.
 */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define AWARE      "Yes I am aware"
#define ROUNDS_MAX 3 /* somebody may write while it is deleted */

struct removal {
    struct cli *cli;
    const char *cluster;
    enum cli_format format;
    bool dry_run;
};

/* --- who lives -------------------------------------------------------------------------------- */

/* A member of ours says that it writes reports, which is no word of Patroni's. */
static bool lives(const struct dcs_kv *kv)
{
    json_t *member = json_loadb(kv->value, kv->value_len, 0, NULL);
    const char *state = json_string_value(json_object_get(member, "state"));
    bool ours = json_is_true(json_object_get(member, "reports"));
    bool stopped = state != NULL && strcmp(state, "stopped") == 0;
    json_decref(member);
    return ours && !stopped;
}

static bool member_lives(const struct dcs_view *view, const char *name)
{
    char *key = mem_printf("members/%s", name);
    const struct dcs_kv *kv = dcs_view_get(view, key);
    mem_free(key);
    return kv != NULL && lives(kv);
}

static int check_living(const struct removal *q, const struct dcs_view *view, const char *leader)
{
    struct buf names = BUF_INIT;
    int status = CLI_OK;
    if (leader != NULL && member_lives(view, leader)) {
        return cli_fail("'%s' leads cluster %s, and its agent lives: stop the agents first", leader,
                        q->cluster);
    }
    for (size_t i = 0; leader == NULL && i < view->count; i++) {
        const struct dcs_kv *kv = &view->kvs[i];
        if (strncmp(kv->key, "members/", strlen("members/")) == 0 && lives(kv)) {
            buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", kv->key + strlen("members/"));
        }
    }
    if (names.len > 0) {
        status = cli_fail("agents of cluster %s live: %s: stop them, and wait until list shows "
                          "them no more, or as stopped",
                          q->cluster, buf_str(&names));
    }
    buf_free(&names);
    return status;
}

/* --- asking ----------------------------------------------------------------------------------- */

static int ask(const char *question, const char *expected, const char *refusal)
{
    char *typed = cli_prompt(question, NULL);
    if (typed == NULL) {
        return CLI_ERROR;
    }
    bool same = strcmp(typed, expected) == 0;
    mem_free(typed);
    return same ? CLI_OK : cli_fail("%s", refusal);
}

static int ask_all(const struct removal *q, const char *leader)
{
    char *aware = mem_printf(
        "You are about to remove all information in DCS for %s, please type: \"" AWARE "\"",
        q->cluster);
    int status = ask("Please confirm the cluster name to remove", q->cluster,
                     "Cluster names specified do not match");
    if (status == CLI_OK) {
        status = ask(aware, AWARE, "You did not exactly type \"" AWARE "\"");
    }
    if (status == CLI_OK && leader != NULL) {
        status =
            ask("This cluster currently is healthy. Please specify the leader name to continue",
                leader, "You did not specify the current leader of the cluster");
    }
    mem_free(aware);
    return status;
}

/* --- doing ------------------------------------------------------------------------------------ */

/* `config` and `initialize` go last: while one is left, no agent begins anew on an empty store. */
static int rank_of(const char *key)
{
    return strcmp(key, "initialize") == 0 ? 2 : strcmp(key, "config") == 0 ? 1 : 0;
}

static int delete_keys(const struct removal *q, const struct dcs_view *view, struct error *err)
{
    int rc = 0;
    for (int rank = 0; rc == 0 && rank <= 2; rank++) {
        for (size_t i = 0; rc == 0 && i < view->count; i++) {
            if (rank_of(view->kvs[i].key) == rank) {
                /* as it was read: what came after that is for the next round to look at */
                rc = cli_session_delete(q->cli->session, q->cluster, view->kvs[i].key,
                                        view->kvs[i].mod_revision, err);
                rc = rc == ERR_CONFLICT || rc == ERR_NOT_FOUND ? 0 : rc;
            }
        }
    }
    return rc;
}

static int delete_all(const struct removal *q)
{
    struct error err = {0};
    int rc = 0;
    size_t left = 1;
    for (int i = 0; rc == 0 && left > 0 && i <= ROUNDS_MAX; i++) {
        struct dcs_view *view = NULL;
        rc = cli_session_read(q->cli->session, q->cluster, &view, &err);
        left = rc == 0 ? view->count : left;
        if (rc == 0 && left > 0) {
            const char *leader = cluster_doc_text(view, "leader");
            if (check_living(q, view, leader) != CLI_OK) {
                dcs_view_unref(view);
                return CLI_ERROR;
            }
            rc = delete_keys(q, view, &err);
        }
        dcs_view_unref(view);
    }
    if (rc == 0 && left > 0) {
        rc = error_set(&err, ERR_BUSY, "somebody goes on writing keys");
    }
    return rc == 0 ? CLI_OK
                   : cli_fail("cluster %s was not removed, or not whole: %s: stop what writes, "
                              "and repeat it",
                              q->cluster, err.text);
}

static int tell_dry_run(const struct removal *q, const struct dcs_view *view)
{
    (void)printf("Dry run: nothing was sent. %zu keys of cluster %s would be deleted%s\n",
                 view->count, q->cluster, view->count > 0 ? ":" : "");
    for (size_t i = 0; i < view->count; i++) {
        (void)printf("  %s\n", view->kvs[i].key);
    }
    return CLI_OK;
}

static int carry_out(const struct removal *q)
{
    struct dcs_view *view = NULL;
    struct error err = {0};
    if (cli_session_read(q->cli->session, q->cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    const char *leader = cluster_doc_text(view, "leader");
    leader = leader != NULL && leader[0] != '\0' ? leader : NULL;
    int status = cli_print_members(q->cli, view, q->cluster, false, false, q->format);
    status = status != CLI_OK ? status : check_living(q, view, leader);
    if (status == CLI_OK && q->dry_run) {
        status = tell_dry_run(q, view);
    } else if (status == CLI_OK) {
        status = ask_all(q, leader);
        status = status != CLI_OK ? status : delete_all(q);
    }
    dcs_view_unref(view);
    return status;
}

int cli_remove(struct cli *cli, int argc, char **argv)
{
    struct removal q = {.cli = cli};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (option == 'n') {
            q.dry_run = true;
        } else if (option != 'f' || !cli_format_arg("remove", optarg, &q.format)) {
            return CLI_USAGE;
        }
    }
    if (optind >= argc) {
        return cli_wrong_usage("remove", "name the cluster");
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    q.cluster = argv[optind];
    return cli_open(cli) ? carry_out(&q) : CLI_ERROR;
}
