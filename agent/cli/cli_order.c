/* Names are looked at as a whole before anybody is asked: whoever names a member that is not there
 * has meant another one. */
#include "agent/cli/cli_order.h"

#include "agent/cli/cluster_doc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char *cli_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static bool is_named(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return true;
        }
    }
    return argc == 0;
}

/* Whoever names a member that is not there has meant another one. */
static int check_names(const struct cli_order *q, int argc, char **argv)
{
    const json_t *all = json_object_get(q->doc, "members");
    for (int i = 0; i < argc; i++) {
        size_t j = 0;
        while (j < json_array_size(all) &&
               strcmp(cli_text_of(json_array_get(all, j), "name"), argv[i]) != 0) {
            j++;
        }
        if (j == json_array_size(all)) {
            return cli_fail("no member '%s' in cluster %s", argv[i], q->cluster);
        }
    }
    return CLI_OK;
}

int cli_order_choose(struct cli_order *q, int argc, char **argv)
{
    const json_t *all = json_object_get(q->doc, "members");
    int status = cli_print_some(q->cli, q->view, q->doc, q->cluster);
    status = status != CLI_OK ? status : check_names(q, argc, argv);
    if (status != CLI_OK) {
        return status;
    }
    q->members = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *member = json_array_get(all, i);
        if (is_named(cli_text_of(member, "name"), argc, argv) &&
            cli_role_matches(cli_text_of(member, "role"), q->role != NULL ? q->role : "any")) {
            (void)json_array_append(q->members, member);
        }
    }
    if (json_array_size(q->members) > 0) {
        return CLI_OK;
    }
    return argc > 0 ? cli_fail("No %s among provided members", q->role != NULL ? q->role : "any")
                    : cli_fail("cluster %s has no members%s%s", q->cluster,
                               q->role != NULL ? " of role " : "", q->role != NULL ? q->role : "");
}

char *cli_order_names(const json_t *members)
{
    struct buf names = BUF_INIT;
    for (size_t i = 0; i < json_array_size(members); i++) {
        buf_printf(&names, "%s%s", i > 0 ? ", " : "",
                   cli_text_of(json_array_get(members, i), "name"));
    }
    (void)buf_str(&names);
    return buf_take(&names);
}

int cli_order_confirm(const struct cli_order *q)
{
    struct buf text = BUF_INIT;
    if (q->force) {
        return CLI_OK;
    }
    char *names = cli_order_names(q->members);
    if (q->iso[0] != '\0') {
        buf_printf(&text, "Are you sure you want to schedule %s of members %s at %s?", q->verb,
                   names, q->iso);
    } else {
        buf_printf(&text, "Are you sure you want to %s members %s?", q->verb, names);
    }
    enum cli_answer answer = cli_confirm(buf_str(&text));
    buf_free(&text);
    mem_free(names);
    if (answer == CLI_NO) {
        return cli_fail("Aborted %s%s", q->iso[0] != '\0' ? "scheduled " : "", q->verb);
    }
    return answer == CLI_YES ? CLI_OK : CLI_ERROR;
}

/* CLI_OK: the member has answered, be it with a refusal. */
int cli_order_drop_scheduled(const json_t *member)
{
    const char *name = cli_text_of(member, "name");
    struct cli_reply reply = {0};
    struct error err = {0};
    if (cli_request_delete(cli_text_of(member, "api_url"), "/restart", CLI_TIMEOUT_MS, &reply,
                           &err) != 0) {
        (void)printf("Failed: flush scheduled restart for member %s, (%s)\n", name, err.text);
        return CLI_ERROR;
    }
    if (reply.status < 400) {
        (void)printf("Success: flush scheduled restart for member %s\n", name);
    } else {
        (void)printf("Failed: flush scheduled restart for member %s, status code=%d, (%s)\n", name,
                     reply.status, reply.text);
    }
    mem_free(reply.text);
    return CLI_OK;
}

bool cli_order_option(struct cli_order *q, const char *verb, int option)
{
    switch (option) {
    case 'r':
        q->role = optarg;
        if (!cli_role_is_known(q->role)) {
            (void)cli_wrong_usage(verb, "no such role");
            return false;
        }
        return true;
    case 'F': q->force = true; return true;
    case 'n': q->dry_run = q->force = true; return true; /* there is nothing to confirm */
    default: return false;
    }
}

static int open_order(struct cli_order *q, const char *cluster)
{
    struct error err = {0};
    if (!cli_open(q->cli)) {
        return CLI_ERROR;
    }
    q->cluster = cluster;
    if (cli_session_read(q->cli->session, cluster, &q->view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    q->doc = cluster_doc(q->view, cluster);
    q->config = cluster_doc_key(q->view, "config");
    return CLI_OK;
}

static void close_order(struct cli_order *q)
{
    json_decref(q->members);
    json_decref(q->doc);
    json_decref(q->config);
    dcs_view_unref(q->view);
    mem_free(q->asked_version);
}

int cli_order_run(struct cli_order *q, int argc, char **argv,
                  int (*order)(struct cli_order *q, int argc, char **argv))
{
    if (optind >= argc) {
        return cli_wrong_usage(argv[0], "name the cluster");
    }
    int status = open_order(q, argv[optind]);
    if (status == CLI_OK) {
        status = order(q, argc - optind - 1, argv + optind + 1);
    }
    close_order(q);
    return status;
}
