/* reinit: which standbys are to be copied anew is asked for here; each of them is told over its
 * REST interface. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define POLL_MS 2000

struct request {
    struct cli *cli;
    const char *cluster;
    bool force;
    bool wait;
    bool from_leader;
    bool dry_run; /* nobody is asked */
    struct dcs_view *view;
    json_t *doc;
    json_t *members; /* those that are meant */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* --- which members ---------------------------------------------------------------------------- */

static json_t *find_member(const struct request *q, const char *name)
{
    const json_t *all = json_object_get(q->doc, "members");
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *member = json_array_get(all, i);
        if (strcmp(text_of(member, "name"), name) == 0) {
            return member;
        }
    }
    return NULL;
}

/* All of them or none: a name that is wrong may be another one's, mistyped. */
static int take_member(struct request *q, const char *name)
{
    json_t *member = find_member(q, name);
    if (member == NULL) {
        return cli_fail("no member '%s' in cluster %s", name, q->cluster);
    }
    if (!cli_role_matches(text_of(member, "role"), "replica")) {
        return cli_fail("member '%s' is no replica: only those are copied anew", name);
    }
    (void)json_array_append(q->members, member);
    return CLI_OK;
}

/* With the names of those that can be; free with mem_free. */
static char *question_of(const struct request *q)
{
    struct buf text = BUF_INIT;
    const json_t *all = json_object_get(q->doc, "members");
    const char *comma = "";
    buf_put_str(&text, "Which member do you want to reinitialize [");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *member = json_array_get(all, i);
        if (cli_role_matches(text_of(member, "role"), "replica")) {
            buf_printf(&text, "%s%s", comma, text_of(member, "name"));
            comma = ", ";
        }
    }
    buf_put_str(&text, "]?");
    (void)buf_str(&text);
    return buf_take(&text);
}

static int choose_members(struct request *q, int argc, char **argv)
{
    int status = CLI_OK;
    q->members = json_array();
    if (argc == 0 && !q->force) {
        char *question = question_of(q);
        char *name = cli_prompt(question, "");
        mem_free(question);
        status = name == NULL ? CLI_ERROR : take_member(q, name);
        mem_free(name);
        return status;
    }
    for (int i = 0; status == CLI_OK && i < argc; i++) {
        status = take_member(q, argv[i]);
    }
    return status;
}

static int ask_confirmation(const struct request *q)
{
    struct buf text = BUF_INIT;
    if (q->force) {
        return CLI_OK;
    }
    buf_put_str(&text, "Are you sure you want to reinitialize members ");
    for (size_t i = 0; i < json_array_size(q->members); i++) {
        buf_printf(&text, "%s%s", i > 0 ? ", " : "",
                   text_of(json_array_get(q->members, i), "name"));
    }
    buf_put_str(&text, "?");
    enum cli_answer answer = cli_confirm(buf_str(&text));
    buf_free(&text);
    if (answer == CLI_NO) {
        return cli_fail("Aborted reinitialize");
    }
    return answer == CLI_YES ? CLI_OK : CLI_ERROR;
}

/* --- doing ------------------------------------------------------------------------------------ */

static bool is_busy(const struct cli_reply *reply)
{
    static const char words[] = " already in progress";
    size_t len = reply->text == NULL ? 0 : strlen(reply->text);
    return reply->status == 503 && len >= sizeof words - 1 &&
           strcmp(reply->text + len - (sizeof words - 1), words) == 0;
}

/* Free with mem_free. */
static char *request_body(const struct request *q, bool force)
{
    return mem_printf("{\"force\":%s,\"from_leader\":%s}", force ? "true" : "false",
                      q->from_leader ? "true" : "false");
}

static int ask_member(const struct request *q, const json_t *member, bool force,
                      struct cli_reply *ret_reply, struct error *err)
{
    char *body = request_body(q, force);
    int rc = cli_request(text_of(member, "api_url"), "/reinitialize", body, CLI_TIMEOUT_MS,
                         ret_reply, err);
    mem_free(body);
    return rc;
}

static bool may_cancel(const char *name, const char *why)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "Member %s: %s. Do you want to cancel it and reinitialize anyway?", name,
               why);
    bool yes = cli_confirm(buf_str(&text)) == CLI_YES;
    buf_free(&text);
    return yes;
}

/* CLI_OK: it has answered, be it with a refusal. */
static int reinit_member(const struct request *q, const json_t *member, bool *ret_begun)
{
    const char *name = text_of(member, "name");
    struct cli_reply reply = {0};
    struct error err = {0};
    int rc = ask_member(q, member, q->force, &reply, &err);
    if (rc == 0 && !q->force && is_busy(&reply) && may_cancel(name, reply.text)) {
        mem_free(reply.text);
        reply = (struct cli_reply){0};
        rc = ask_member(q, member, true, &reply, &err);
    }
    if (rc != 0) {
        (void)printf("Failed: reinitialize for member %s, (%s)\n", name, err.text);
    } else if (reply.status == 200) {
        (void)printf("Success: reinitialize for member %s\n", name);
    } else {
        (void)printf("Failed: reinitialize for member %s, status code=%d, (%s)\n", name,
                     reply.status, reply.text);
    }
    (void)fflush(stdout);
    mem_free(reply.text);
    *ret_begun = rc == 0 && reply.status == 200;
    return rc == 0 ? CLI_OK : CLI_ERROR;
}

/* A member that does not answer for a moment is not done. */
static void wait_for(const struct request *q, const json_t *member)
{
    char state[80] = "creating replica";
    (void)printf("Waiting for reinitialize to complete on: %s\n", text_of(member, "name"));
    (void)fflush(stdout);
    while (strcmp(state, "creating replica") == 0 || strcmp(state, "running pg_rewind") == 0 ||
           strcmp(state, "removing data directory") == 0) {
        struct cli_reply reply = {0};
        struct error err = {0};
        cli_session_wait(q->cli->session, POLL_MS);
        if (cli_request(text_of(member, "api_url"), "/patroni", NULL, CLI_TIMEOUT_MS, &reply,
                        &err) == 0) {
            json_t *document = json_loads(reply.text, 0, NULL);
            if (json_object_get(document, "state") != NULL) {
                (void)snprintf(state, sizeof state, "%s", text_of(document, "state"));
            }
            json_decref(document);
        }
        mem_free(reply.text);
    }
    bool runs = strcmp(state, "running") == 0;
    (void)printf("Reinitialize is completed on: %s%s%s%s\n", text_of(member, "name"),
                 runs ? "" : " (", runs ? "" : state, runs ? "" : ")");
}

static int tell_dry_run(const struct request *q)
{
    int status = CLI_OK;
    for (size_t i = 0; i < json_array_size(q->members); i++) {
        const json_t *member = json_array_get(q->members, i);
        const char *name = text_of(member, "name");
        (void)printf("Dry run: nothing was sent. The data directory of %s would be removed, and "
                     "copied anew%s; as things are now,\n",
                     name, q->from_leader ? " from the leader" : "");
        (void)fflush(stdout);
        char *body = request_body(q, true);
        int one = cli_tell_decision(name, text_of(member, "api_url"), "reinitialize", body);
        mem_free(body);
        status = status != CLI_OK ? status : one;
    }
    return status;
}

static int reinit_all(struct request *q, int argc, char **argv)
{
    int status = cli_print_some(q->cli, q->view, q->doc, q->cluster);
    status = status != CLI_OK ? status : choose_members(q, argc, argv);
    if (status == CLI_OK && json_array_size(q->members) == 0 && q->dry_run) {
        (void)printf("Dry run: no member is named, so nothing would happen\n");
    }
    if (status != CLI_OK || json_array_size(q->members) == 0) {
        return status;
    }
    if (q->dry_run) {
        return tell_dry_run(q);
    }
    status = ask_confirmation(q);
    for (size_t i = 0, count = status == CLI_OK ? json_array_size(q->members) : 0; i < count; i++) {
        const json_t *member = json_array_get(q->members, i);
        bool begun = false;
        status = reinit_member(q, member, &begun) != CLI_OK ? CLI_ERROR : status;
        if (begun && q->wait) {
            wait_for(q, member);
        }
    }
    return status;
}

int cli_reinit(struct cli *cli, int argc, char **argv)
{
    struct request q = {.cli = cli};
    struct error err = {0};
    int status = CLI_ERROR;
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'F': q.force = true; break;
        case 'n': q.dry_run = q.force = true; break; /* there is nothing to confirm */
        case 'w': q.wait = true; break;
        case 'l': q.from_leader = true; break;
        default: return CLI_USAGE;
        }
    }
    if (optind >= argc) {
        return cli_wrong_usage(argv[0], "name the cluster");
    }
    q.cluster = argv[optind];
    if (cli_open(cli)) {
        if (cli_session_read(cli->session, q.cluster, &q.view, &err) == 0) {
            q.doc = cluster_doc(q.view, q.cluster);
            status = reinit_all(&q, argc - optind - 1, argv + optind + 1);
        } else {
            status = cli_fail("%s", err.text);
        }
    }
    json_decref(q.members);
    json_decref(q.doc);
    dcs_view_unref(q.view);
    return status;
}
