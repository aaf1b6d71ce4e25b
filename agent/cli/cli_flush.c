/* flush: what is scheduled is deleted, a restart at its member, a switchover at the leader, else at
 * any member, else in the store. */
#include "agent/cli/cli_order.h"
#include "agent/cli/cluster_doc.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static int flush_restarts(struct cli_order *q, int argc, char **argv)
{
    int status = cli_order_choose(q, argc, argv);
    status = status != CLI_OK ? status : cli_order_confirm(q);
    for (size_t i = 0, count = status == CLI_OK ? json_array_size(q->members) : 0; i < count; i++) {
        const json_t *member = json_array_get(q->members, i);
        const json_t *scheduled = json_object_get(member, "scheduled_restart");
        if (scheduled != NULL && q->dry_run) {
            (void)printf("Dry run: nothing was sent. The restart of %s at %s would be deleted\n",
                         cli_text_of(member, "name"), cli_text_of(scheduled, "schedule"));
        } else if (scheduled != NULL) {
            status = cli_order_drop_scheduled(member) != CLI_OK ? CLI_ERROR : status;
        } else {
            (void)printf("No scheduled restart for member %s\n", cli_text_of(member, "name"));
        }
    }
    return status;
}

/* True: it has told what became of it. */
static bool flush_at(const json_t *member)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    if (cli_request_delete(cli_text_of(member, "api_url"), "/switchover", CLI_TIMEOUT_MS, &reply,
                           &err) != 0) {
        (void)fprintf(stderr, "Member %s is not accessible: %s\n", cli_text_of(member, "name"),
                      err.text);
        return false;
    }
    bool told = reply.status == 200 || reply.status == 404;
    if (told) {
        (void)printf("%s: %s\n", reply.status == 200 ? "Success" : "Failed", reply.text);
    } else {
        (void)printf("Failed: member=%s, status_code=%d, (%s)\n", cli_text_of(member, "name"),
                     reply.status, reply.text);
    }
    mem_free(reply.text);
    return told;
}

static int flush_switchover(struct cli_order *q, int argc, char **argv)
{
    (void)argc; /* it is of no member */
    (void)argv;
    char now[CLI_TIME_BYTES];
    struct error err = {0};
    const json_t *all = json_object_get(q->doc, "members");
    const struct dcs_kv *kv = dcs_view_get(q->view, "failover");
    const char *leader = cluster_doc_text(q->view, "leader");

    if (json_object_get(q->doc, "scheduled_switchover") == NULL || kv == NULL) {
        (void)printf("No pending scheduled switchover\n");
        return CLI_OK;
    }
    if (q->dry_run) {
        (void)printf("Dry run: nothing was sent. The switchover at %s would be deleted\n",
                     cli_text_of(json_object_get(q->doc, "scheduled_switchover"), "at"));
        return CLI_OK;
    }
    for (size_t i = 0; i < 2 * json_array_size(all); i++) { /* the leader first, then the others */
        const json_t *member = json_array_get(all, i % json_array_size(all));
        bool leads = leader != NULL && strcmp(leader, cli_text_of(member, "name")) == 0;
        if (leads == (i < json_array_size(all)) && flush_at(member)) {
            return CLI_OK;
        }
    }
    (void)printf("%s Could not find any accessible member of cluster %s\n", cli_timestamp(5, now),
                 q->cluster);
    int rc = cli_session_put(q->cli->session, q->cluster, "failover", "{}", kv->mod_revision, &err);
    return rc == 0 ? CLI_OK : cli_fail("%s", err.text);
}

int cli_flush(struct cli *cli, int argc, char **argv)
{
    struct cli_order q = {.cli = cli, .verb = "flush"};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (!cli_order_option(&q, argv[0], option)) {
            return CLI_USAGE;
        }
    }
    const char *target = argv[argc - 1];
    if (argc - optind < 2 ||
        (strcmp(target, "restart") != 0 && strcmp(target, "switchover") != 0)) {
        return cli_wrong_usage(argv[0],
                               "name the cluster, and last what is flushed: restart or switchover");
    }
    return cli_order_run(&q, argc - 1, argv,
                         strcmp(target, "switchover") == 0 ? flush_switchover : flush_restarts);
}
