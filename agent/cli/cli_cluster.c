/* demote-cluster and promote-cluster: the section standby_cluster comes into the dynamic
 * configuration, or goes. The leader is asked for the change, and the store is looked at until the
 * cluster is what was asked for: what a member says of itself is what counts. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000

struct change {
    struct cli *cli;
    const char *cluster;
    bool demote;
    bool force;
    bool dry_run;
    json_t *section; /* of demote-cluster */
    char *leader;    /* who led when it was asked for */
};

static const char *stem(const struct change *q)
{
    return q->demote ? "demot" : "promot";
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static json_t *member_of(const struct dcs_view *view, const char *name)
{
    char *key = mem_printf("members/%s", name);
    json_t *member = cluster_doc_key(view, key);
    mem_free(key);
    return member;
}

static bool is_set(const json_t *section)
{
    return section != NULL && !json_is_null(section) && !json_is_false(section) &&
           !(json_is_object(section) && json_object_size(section) == 0);
}

/* --- asking ----------------------------------------------------------------------------------- */

static int check(struct change *q, const struct dcs_view *view)
{
    const char *leader = cluster_doc_text(view, "leader");
    json_t *config = cluster_doc_key(view, "config");
    bool is_standby = is_set(json_object_get(config, "standby_cluster"));
    json_decref(config);
    if (leader == NULL || leader[0] == '\0') {
        return cli_fail("Cluster has no leader, %sion is not possible", stem(q));
    }
    if (is_standby == q->demote) {
        return cli_fail("Cluster is already in the required state");
    }
    q->leader = mem_strdup(leader);
    return CLI_OK;
}

static int confirm(const struct change *q, const struct dcs_view *view)
{
    (void)printf("Current cluster topology\n");
    int status = cli_print_members(q->cli, view, q->cluster, false, false, CLI_PRETTY);
    if (status != CLI_OK || q->force || q->dry_run) {
        return status;
    }
    char *text = mem_printf("Are you sure you want to %se %s cluster?", stem(q), q->cluster);
    enum cli_answer answer = cli_confirm(text);
    mem_free(text);
    if (answer == CLI_NO) {
        return cli_fail("Aborted cluster %sion", stem(q));
    }
    return answer == CLI_YES ? CLI_OK : CLI_ERROR;
}

/* What the members make of it they decide when they see it: it is a setting. */
static int tell_dry_run(const struct change *q)
{
    char *section = q->demote ? json_dumps(q->section, JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;
    (void)printf("Dry run: nothing was sent. The leader %s would be asked to %s%s%s\n", q->leader,
                 q->demote ? "write this as standby_cluster: "
                           : "take standby_cluster out of the configuration",
                 q->demote ? section : "",
                 q->demote ? ", and would go on as a standby" : ", and would be promoted");
    mem_free(section);
    return CLI_OK;
}

static int ask_leader(const struct change *q, const struct dcs_view *view)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    json_t *member = member_of(view, q->leader);
    json_t *patch =
        json_pack("{s:o}", "standby_cluster", q->demote ? json_incref(q->section) : json_null());
    char *body = json_dumps(patch, JSON_COMPACT);
    int rc = cli_request_patch(text_of(member, "api_url"), "/config", body, CLI_TIMEOUT_MS, &reply,
                               &err);
    int status = CLI_OK;
    if (rc != 0) {
        status = cli_fail("Failed to %se %s cluster: %s", stem(q), q->cluster, err.text);
    } else if (reply.status != 200) {
        status = cli_fail("Failed to %se %s cluster: /config PATCH status code=%d, (%s)", stem(q),
                          q->cluster, reply.status, reply.text);
    }
    mem_free(reply.text);
    mem_free(body);
    json_decref(patch);
    json_decref(member);
    return status;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static const char *shown(const char *text)
{
    return text[0] == '\0' ? "None" : text;
}

/* True: it is done. */
static bool look(const struct change *q, const struct dcs_view *view)
{
    char stamp[CLI_TIME_BYTES];
    const char *leader = cluster_doc_text(view, "leader");
    bool unlocked = leader == NULL || leader[0] == '\0';
    json_t *now = unlocked ? NULL : member_of(view, leader);
    json_t *before = member_of(view, q->leader);
    const char *role = text_of(now, "role");
    const char *state = text_of(now, "state");
    const char *state_before = text_of(before, "state");
    bool has_role = q->demote ? strcmp(role, "standby_leader") == 0
                              : strcmp(role, "primary") == 0 || strcmp(role, "master") == 0;
    bool done = !unlocked && has_role && strcmp(state, "running") == 0 &&
                (!q->demote || strcmp(state_before, "running") == 0);
    (void)printf("%s cluster is unlocked: %s, leader role: %s, leader state: %s",
                 cli_timestamp(0, stamp), unlocked ? "True" : "False", shown(role), shown(state));
    if (q->demote && (unlocked || strcmp(leader, q->leader) != 0)) {
        (void)printf(", previous leader state: %s", shown(state_before));
    }
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(before);
    json_decref(now);
    return done;
}

/* As long as it takes: a rewind may take long, and the operator can end the waiting. */
static int wait_for_it(const struct change *q)
{
    struct error err = {0};
    for (;;) {
        struct dcs_view *view = NULL;
        if (cli_session_read(q->cli->session, q->cluster, &view, &err) != 0) {
            return cli_fail("%s", err.text);
        }
        bool done = look(q, view);
        int status =
            done ? cli_print_members(q->cli, view, q->cluster, false, false, CLI_PRETTY) : CLI_OK;
        dcs_view_unref(view);
        if (done) {
            return status;
        }
        cli_session_wait(q->cli->session, LOOK_EVERY_MS);
    }
}

static int carry_out(struct change *q)
{
    struct dcs_view *view = NULL;
    struct error err = {0};
    if (cli_session_read(q->cli->session, q->cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = check(q, view);
    status = status != CLI_OK ? status : confirm(q, view);
    if (status == CLI_OK) {
        status = q->dry_run ? tell_dry_run(q) : ask_leader(q, view);
    }
    dcs_view_unref(view);
    return status != CLI_OK || q->dry_run ? status : wait_for_it(q);
}

/* --- the verbs -------------------------------------------------------------------------------- */

/* False: it is no port. */
static bool take_option(struct change *q, int option, const char *value)
{
    char *end = NULL;
    long port = 0;
    switch (option) {
    case 'h': (void)json_object_set_new(q->section, "host", json_string(value)); break;
    case 'r': (void)json_object_set_new(q->section, "restore_command", json_string(value)); break;
    case 's': (void)json_object_set_new(q->section, "primary_slot_name", json_string(value)); break;
    case 'p':
        port = strtol(value, &end, 10);
        if (end == value || *end != '\0') {
            return false;
        }
        (void)json_object_set_new(q->section, "port", json_integer(port));
        break;
    case 'n': q->dry_run = true; break;
    default: q->force = true; break;
    }
    return true;
}

static bool names_another_cluster(const json_t *section)
{
    return json_object_get(section, "host") != NULL || json_object_get(section, "port") != NULL ||
           json_object_get(section, "restore_command") != NULL;
}

static int change_role(struct change *q, int argc, char **argv)
{
    int option = 0;
    while ((option = cli_option(q->cli, argc, argv)) != -1) {
        if (option == '?') {
            return CLI_USAGE;
        }
        if (!take_option(q, option, optarg)) {
            return cli_wrong_usage(argv[0], "--port: give a number");
        }
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (q->demote && !names_another_cluster(q->section)) {
        return cli_fail("At least --host, --port or --restore-command should be specified");
    }
    if (!cli_open(q->cli)) {
        return CLI_ERROR;
    }
    q->cluster = cli_cluster(q->cli, argc, argv, optind);
    return carry_out(q);
}

static int run(struct cli *cli, int argc, char **argv, bool demote)
{
    struct change q = {.cli = cli, .demote = demote, .section = json_object()};
    int status = change_role(&q, argc, argv);
    json_decref(q.section);
    mem_free(q.leader);
    return status;
}

int cli_demote_cluster(struct cli *cli, int argc, char **argv)
{
    return run(cli, argc, argv, true);
}

int cli_promote_cluster(struct cli *cli, int argc, char **argv)
{
    return run(cli, argc, argv, false);
}
