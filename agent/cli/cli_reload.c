/* reload: POST /reload to each member that is named, or has the role. Each reads its file again by
 * itself, and says in GET /patroni (configuration_error) if it could not. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/config/dynamic.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define LOOP_WAIT_MS 10000

struct reload {
    struct cli *cli;
    const char *cluster;
    const char *role; /* NULL = any */
    char **names;     /* of members; none = all of that role */
    int name_count;
    bool force;
    bool dry_run; /* nobody is asked */
};

static bool is_named(const struct reload *q, const char *name)
{
    for (int i = 0; i < q->name_count; i++) {
        if (strcmp(q->names[i], name) == 0) {
            return true;
        }
    }
    return q->name_count == 0;
}

static const char *text_of(const json_t *member, const char *key)
{
    const char *text = json_string_value(json_object_get(member, key));
    return text == NULL ? "" : text;
}

/* The members that are meant: an array of the document's. */
static json_t *chosen(const struct reload *q, const json_t *doc)
{
    json_t *found = json_array();
    const json_t *members = json_object_get(doc, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        json_t *member = json_array_get(members, i);
        if (is_named(q, text_of(member, "name")) &&
            cli_role_matches(text_of(member, "role"), q->role == NULL ? "any" : q->role)) {
            (void)json_array_append(found, member);
        }
    }
    return found;
}

/* Whoever names a member that is not there has meant another one. */
static int check_names(const struct reload *q, const json_t *found)
{
    for (int i = 0; i < q->name_count; i++) {
        bool there = false;
        for (size_t j = 0; j < json_array_size(found); j++) {
            there = there || strcmp(text_of(json_array_get(found, j), "name"), q->names[i]) == 0;
        }
        if (!there) {
            return cli_fail("no member '%s'%s%s in cluster %s", q->names[i],
                            q->role != NULL ? " of role " : "", q->role != NULL ? q->role : "",
                            q->cluster);
        }
    }
    return json_array_size(found) > 0
               ? CLI_OK
               : cli_fail("no member%s%s in cluster %s", q->role != NULL ? " of role " : "",
                          q->role != NULL ? q->role : "", q->cluster);
}

static void put_names(const json_t *found, struct buf *text)
{
    for (size_t i = 0; i < json_array_size(found); i++) {
        buf_printf(text, "%s%s", i > 0 ? ", " : "", text_of(json_array_get(found, i), "name"));
    }
}

static void tell_dry_run(const json_t *found)
{
    struct buf names = BUF_INIT;
    put_names(found, &names);
    (void)printf("Dry run: nothing was sent. These members would be asked to reload: %s\n",
                 buf_str(&names));
    buf_free(&names);
}

static bool confirmed(const struct reload *q, const json_t *found)
{
    struct buf text = BUF_INIT;
    if (q->force) {
        return true;
    }
    buf_put_str(&text, "Are you sure you want to reload members ");
    put_names(found, &text);
    buf_put_str(&text, "?");
    enum cli_answer answer = cli_confirm(buf_str(&text));
    buf_free(&text);
    if (answer == CLI_NO) {
        (void)cli_fail("Aborted reload");
    }
    return answer == CLI_YES;
}

static int ask(const json_t *member, int64_t loop_wait_ms)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    const char *name = text_of(member, "name");
    if (cli_request(text_of(member, "api_url"), "/reload", "{}", CLI_TIMEOUT_MS, &reply, &err) !=
        0) {
        return cli_fail("member %s: %s", name, err.text);
    }
    if (reply.status == 200) {
        (void)printf("No changes to apply on member %s\n", name);
    } else if (reply.status == 202) {
        (void)printf("Reload request received for member %s and will be processed within %lld "
                     "seconds\n",
                     name, (long long)(loop_wait_ms / 1000));
    } else {
        (void)printf("Failed: reload for member %s, status code=%d, (%s)\n", name, reply.status,
                     reply.text);
    }
    mem_free(reply.text);
    return CLI_OK;
}

static int ask_all(const json_t *found, int64_t loop_wait_ms)
{
    int status = CLI_OK;
    for (size_t i = 0; i < json_array_size(found); i++) {
        int one = ask(json_array_get(found, i), loop_wait_ms);
        status = status == CLI_OK ? one : status;
    }
    return status;
}

static int reload_in(const struct reload *q, const struct dcs_view *view)
{
    json_t *doc = cluster_doc(view, q->cluster);
    json_t *config = cluster_doc_key(view, "config");
    json_t *found = chosen(q, doc);
    int64_t loop_wait_ms = LOOP_WAIT_MS;
    int status = cli_print_some(q->cli, view, doc, q->cluster);
    status = status != CLI_OK ? status : check_names(q, found);

    if (!dynamic_time_ms(json_object_get(config, "loop_wait"), &loop_wait_ms)) {
        loop_wait_ms = LOOP_WAIT_MS;
    }
    if (status == CLI_OK && q->dry_run) {
        tell_dry_run(found);
    } else if (status == CLI_OK) {
        status = confirmed(q, found) ? ask_all(found, loop_wait_ms) : CLI_ERROR;
    }
    json_decref(found);
    json_decref(config);
    json_decref(doc);
    return status;
}

int cli_reload(struct cli *cli, int argc, char **argv)
{
    struct reload q = {.cli = cli};
    struct dcs_view *view = NULL;
    struct error err = {0};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (option == 'r' && cli_role_is_known(optarg)) {
            q.role = optarg;
        } else if (option == 'F') {
            q.force = true;
        } else if (option == 'n') {
            q.dry_run = true;
        } else {
            return option == 'r' ? cli_wrong_usage(argv[0], "no such role") : CLI_USAGE;
        }
    }
    if (optind == argc) {
        return cli_wrong_usage(argv[0], "name the cluster");
    }
    q.cluster = argv[optind];
    q.names = argv + optind + 1;
    q.name_count = argc - optind - 1;
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    if (cli_session_read(cli->session, q.cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = reload_in(&q, view);
    dcs_view_unref(view);
    return status;
}
