/* restart and flush: which members, when and on what conditions is asked for here; each of them is
 * told over its REST interface, one after the other, so that never two are down at once. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/config/dynamic.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR_S           3600
#define START_MS_DEFAULT 300000 /* primary_start_timeout */
#define STOP_MS_MAX      180000 /* what a restart may take besides its start */

struct request {
    struct cli *cli;
    const char *verb; /* as the words have it: "restart", "flush" */
    const char *cluster;
    const char *role; /* NULL = any */
    bool force;
    bool dry_run; /* nobody is asked */
    bool any;     /* one of them, at random */
    bool pending; /* only where a setting waits for it */
    const char *scheduled;
    const char *version;
    const char *timeout;
    char iso[CLI_TIME_BYTES]; /* "" = now */
    char *asked_version;      /* owned */
    struct dcs_view *view;
    json_t *doc;
    json_t *config;
    json_t *members; /* those that are meant */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* --- which members ---------------------------------------------------------------------------- */

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
static int check_names(const struct request *q, int argc, char **argv)
{
    const json_t *all = json_object_get(q->doc, "members");
    for (int i = 0; i < argc; i++) {
        size_t j = 0;
        while (j < json_array_size(all) &&
               strcmp(text_of(json_array_get(all, j), "name"), argv[i]) != 0) {
            j++;
        }
        if (j == json_array_size(all)) {
            return cli_fail("no member '%s' in cluster %s", argv[i], q->cluster);
        }
    }
    return CLI_OK;
}

/* The named ones that have the role; without names, all that have it. */
static int choose_members(struct request *q, int argc, char **argv)
{
    const json_t *all = json_object_get(q->doc, "members");
    int status = check_names(q, argc, argv);
    if (status != CLI_OK) {
        return status;
    }
    q->members = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *member = json_array_get(all, i);
        if (is_named(text_of(member, "name"), argc, argv) &&
            cli_role_matches(text_of(member, "role"), q->role != NULL ? q->role : "any")) {
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

static char *names_of(const json_t *members)
{
    struct buf names = BUF_INIT;
    for (size_t i = 0; i < json_array_size(members); i++) {
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", text_of(json_array_get(members, i), "name"));
    }
    (void)buf_str(&names);
    return buf_take(&names);
}

/* In the record that was read, not as the member may be by now: so with patronictl. */
static void keep_pending(struct request *q)
{
    for (size_t i = json_array_size(q->members); i > 0; i--) {
        if (!json_is_true(json_object_get(json_array_get(q->members, i - 1), "pending_restart"))) {
            (void)json_array_remove(q->members, i - 1);
        }
    }
}

static void keep_one(struct request *q)
{
    size_t count = json_array_size(q->members);
    if (count > 1) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        json_t *one = json_incref(json_array_get(q->members, (size_t)now.tv_nsec / 1000 % count));
        (void)json_array_clear(q->members);
        (void)json_array_append_new(q->members, one);
    }
}

/* --- asking: each step gives CLI_OK, or the exit status --------------------------------------- */

static int take_time(struct request *q, const char *text)
{
    if (text == NULL || strcmp(text, "now") == 0) {
        return CLI_OK;
    }
    return cli_time_parse(text, q->iso)
               ? CLI_OK
               : cli_fail("'%s' is no time: give one such as 2026-12-01T03:00 or "
                          "2026-12-01T03:00+01:00, or now",
                          text);
}

static int ask_time(struct request *q)
{
    char example[32];
    char text[120];
    struct tm local;
    time_t next_hour = time(NULL) + HOUR_S;
    if (q->scheduled != NULL || q->force) {
        return take_time(q, q->scheduled);
    }
    (void)localtime_r(&next_hour, &local);
    (void)strftime(example, sizeof(example), "%Y-%m-%dT%H:%M", &local);
    (void)snprintf(text, sizeof(text), "When should the restart take place (e.g. %s) ", example);
    char *answer = cli_prompt(text, "now");
    int status = answer == NULL ? CLI_ERROR : take_time(q, answer);
    mem_free(answer);
    return status;
}

static int ask_confirmation(const struct request *q)
{
    struct buf text = BUF_INIT;
    if (q->force) {
        return CLI_OK;
    }
    char *names = names_of(q->members);
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

static int ask_version(struct request *q)
{
    if (q->version == NULL && !q->force) {
        q->asked_version =
            cli_prompt("Restart if the PostgreSQL version is less than provided (e.g. 15.4) ", "");
        q->version = q->asked_version;
        return q->version == NULL ? CLI_ERROR : CLI_OK;
    }
    return CLI_OK;
}

/* A condition that is left out of the request would be no condition. */
static int check_text(const char *option, const char *text)
{
    json_t *value = text != NULL ? json_string(text) : json_null();
    json_decref(value);
    return value != NULL ? CLI_OK : cli_fail("%s: is no UTF-8", option);
}

static int check_pause(const struct request *q)
{
    return q->iso[0] != '\0' && json_is_true(json_object_get(q->config, "pause"))
               ? cli_fail("Can't schedule restart in the paused state")
               : CLI_OK;
}

/* --- doing ------------------------------------------------------------------------------------ */

static char *restart_body(const struct request *q)
{
    json_t *body = json_object();
    struct buf out = BUF_INIT;
    if (q->pending) {
        (void)json_object_set_new(body, "restart_pending", json_true());
    }
    if (q->version != NULL && q->version[0] != '\0') {
        (void)json_object_set_new(body, "postgres_version", json_string(q->version));
    }
    if (q->iso[0] != '\0') {
        (void)json_object_set_new(body, "schedule", json_string(q->iso));
    }
    if (q->timeout != NULL) {
        (void)json_object_set_new(body, "timeout", json_string(q->timeout));
    }
    buf_reserve(&out, json_dumpb(body, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII) + 1);
    out.len = json_dumpb(body, (char *)out.data, out.capacity, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(body);
    (void)buf_str(&out);
    return buf_take(&out);
}

static int64_t wait_ms(const struct request *q)
{
    int64_t start_ms = START_MS_DEFAULT;
    json_t *given = q->timeout != NULL ? json_string(q->timeout) : NULL;
    const json_t *value =
        given != NULL ? given : json_object_get(q->config, "primary_start_timeout");
    if (!dynamic_time_ms(value, &start_ms) || start_ms <= 0) {
        start_ms = START_MS_DEFAULT;
    }
    json_decref(given);
    return start_ms + cli_switch_wait_ms(q->config) + STOP_MS_MAX;
}

/* CLI_OK: the member has answered, be it with a refusal. */
static int delete_scheduled(const json_t *member)
{
    const char *name = text_of(member, "name");
    struct cli_reply reply = {0};
    struct error err = {0};
    if (cli_request_delete(text_of(member, "api_url"), "/restart", CLI_TIMEOUT_MS, &reply, &err) !=
        0) {
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

/* Gives what cli_request does: 0 if it has answered, be it with a refusal. */
static int restart_member(const struct request *q, const json_t *member, const char *body)
{
    const char *name = text_of(member, "name");
    struct cli_reply reply = {0};
    struct error err = {0};
    if (q->iso[0] != '\0' && q->force && json_object_get(member, "scheduled_restart") != NULL) {
        (void)delete_scheduled(member);
    }
    int rc = cli_request(text_of(member, "api_url"), "/restart", body, wait_ms(q), &reply, &err);
    if (rc != 0) {
        (void)printf("Failed: restart for member %s, (%s)\n", name, err.text);
        (void)fflush(stdout);
        return rc;
    }
    switch (reply.status) {
    case 200: (void)printf("Success: restart on member %s\n", name); break;
    case 202: (void)printf("Success: restart scheduled on member %s\n", name); break;
    case 409:
        (void)printf("Failed: another restart is already scheduled on member %s\n", name);
        break;
    default:
        (void)printf("Failed: restart for member %s, status code=%d, (%s)\n", name, reply.status,
                     reply.text);
    }
    (void)fflush(stdout);
    mem_free(reply.text);
    return 0;
}

/* As cli_request tells: it was sent, and may be carried out yet. */
static bool is_unknown(int rc)
{
    return rc != 0 && rc != ERR_UNAVAILABLE && rc != ERR_INVALID && rc != ERR_NOMEM;
}

/* One after the other: while one may go down yet, the next is not asked. */
static int restart_each(const struct request *q)
{
    int status = CLI_OK;
    char *body = restart_body(q);
    for (size_t i = 0; i < json_array_size(q->members); i++) {
        const json_t *member = json_array_get(q->members, i);
        int rc = restart_member(q, member, body);
        status = rc != 0 ? CLI_ERROR : status;
        if (is_unknown(rc)) {
            (void)cli_fail("whether member %s was restarted, or will be, is not known: look with "
                           "list; %zu more were not asked",
                           text_of(member, "name"), json_array_size(q->members) - i - 1);
            break;
        }
    }
    mem_free(body);
    return status;
}

/* One after the other, as they would be restarted. */
static int tell_dry_run(const struct request *q)
{
    int status = CLI_OK;
    char *body = restart_body(q);
    char *names = names_of(q->members);
    (void)printf(
        "Dry run: nothing was sent. %s would be asked to restart%s%s, one after the other; "
        "as things are now,\n",
        names, q->iso[0] != '\0' ? " at " : "", q->iso);
    (void)fflush(stdout);
    for (size_t i = 0; i < json_array_size(q->members); i++) {
        const json_t *member = json_array_get(q->members, i);
        int one =
            cli_tell_decision(text_of(member, "name"), text_of(member, "api_url"), "restart", body);
        status = status != CLI_OK ? status : one;
    }
    mem_free(names);
    mem_free(body);
    return status;
}

static int restart_all(struct request *q, int argc, char **argv)
{
    int status = cli_print_some(q->cli, q->view, q->doc, q->cluster);
    status = status != CLI_OK ? status : choose_members(q, argc, argv);
    status = status != CLI_OK ? status : ask_time(q);
    if (status == CLI_OK && q->pending && q->iso[0] == '\0') {
        keep_pending(q);
        if (json_array_size(q->members) == 0) {
            (void)printf("No member waits for a restart\n");
            return CLI_OK;
        }
    }
    status = status != CLI_OK ? status : ask_confirmation(q);
    if (status == CLI_OK && q->any) {
        keep_one(q);
    }
    status = status != CLI_OK ? status : ask_version(q);
    status = status != CLI_OK ? status : check_text("--pg-version", q->version);
    status = status != CLI_OK ? status : check_text("--timeout", q->timeout);
    status = status != CLI_OK ? status : check_pause(q);
    if (status != CLI_OK) {
        return status;
    }
    return q->dry_run ? tell_dry_run(q) : restart_each(q);
}

/* --- flush ------------------------------------------------------------------------------------ */

static int flush_restarts(struct request *q, int argc, char **argv)
{
    int status = cli_print_some(q->cli, q->view, q->doc, q->cluster);
    status = status != CLI_OK ? status : choose_members(q, argc, argv);
    status = status != CLI_OK ? status : ask_confirmation(q);
    for (size_t i = 0, count = status == CLI_OK ? json_array_size(q->members) : 0; i < count; i++) {
        const json_t *member = json_array_get(q->members, i);
        const json_t *scheduled = json_object_get(member, "scheduled_restart");
        if (scheduled != NULL && q->dry_run) {
            (void)printf("Dry run: nothing was sent. The restart of %s at %s would be deleted\n",
                         text_of(member, "name"), text_of(scheduled, "schedule"));
        } else if (scheduled != NULL) {
            status = delete_scheduled(member) != CLI_OK ? CLI_ERROR : status;
        } else {
            (void)printf("No scheduled restart for member %s\n", text_of(member, "name"));
        }
    }
    return status;
}

/* True: it has told what became of it. */
static bool flush_at(const json_t *member)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    if (cli_request_delete(text_of(member, "api_url"), "/switchover", CLI_TIMEOUT_MS, &reply,
                           &err) != 0) {
        (void)fprintf(stderr, "Member %s is not accessible: %s\n", text_of(member, "name"),
                      err.text);
        return false;
    }
    bool told = reply.status == 200 || reply.status == 404;
    if (told) {
        (void)printf("%s: %s\n", reply.status == 200 ? "Success" : "Failed", reply.text);
    } else {
        (void)printf("Failed: member=%s, status_code=%d, (%s)\n", text_of(member, "name"),
                     reply.status, reply.text);
    }
    mem_free(reply.text);
    return told;
}

static int flush_switchover(struct request *q)
{
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
                     text_of(json_object_get(q->doc, "scheduled_switchover"), "at"));
        return CLI_OK;
    }
    for (size_t i = 0; i < 2 * json_array_size(all); i++) { /* the leader first, then the others */
        const json_t *member = json_array_get(all, i % json_array_size(all));
        bool leads = leader != NULL && strcmp(leader, text_of(member, "name")) == 0;
        if (leads == (i < json_array_size(all)) && flush_at(member)) {
            return CLI_OK;
        }
    }
    (void)printf("%s Could not find any accessible member of cluster %s\n", cli_timestamp(5, now),
                 q->cluster);
    int rc = cli_session_put(q->cli->session, q->cluster, "failover", "{}", kv->mod_revision, &err);
    return rc == 0 ? CLI_OK : cli_fail("%s", err.text);
}

/* --- the verbs -------------------------------------------------------------------------------- */

/* argv: cluster, members. `target` NULL = restart them; else what is flushed. */
static int perform(struct request *q, int argc, char **argv, const char *target)
{
    struct error err = {0};
    int status = CLI_ERROR;
    if (cli_open(q->cli)) {
        q->cluster = argv[0];
        if (cli_session_read(q->cli->session, q->cluster, &q->view, &err) == 0) {
            q->doc = cluster_doc(q->view, q->cluster);
            q->config = cluster_doc_key(q->view, "config");
            status = target == NULL                      ? restart_all(q, argc - 1, argv + 1)
                     : strcmp(target, "switchover") == 0 ? flush_switchover(q)
                                                         : flush_restarts(q, argc - 1, argv + 1);
        } else {
            status = cli_fail("%s", err.text);
        }
    }
    json_decref(q->members);
    json_decref(q->doc);
    json_decref(q->config);
    dcs_view_unref(q->view);
    mem_free(q->asked_version);
    return status;
}

static bool take_role(struct request *q, const char *verb, const char *role)
{
    q->role = role;
    if (!cli_role_is_known(role)) {
        (void)cli_wrong_usage(verb, "no such role");
        return false;
    }
    return true;
}

int cli_restart(struct cli *cli, int argc, char **argv)
{
    struct request q = {.cli = cli, .verb = "restart"};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'r':
            if (!take_role(&q, argv[0], optarg)) {
                return CLI_USAGE;
            }
            break;
        case 'a': q.any = true; break;
        case 's': q.scheduled = optarg; break;
        case 'v': q.version = optarg; break;
        case 'p': q.pending = true; break;
        case 't': q.timeout = optarg; break;
        case 'F': q.force = true; break;
        case 'n': q.dry_run = q.force = true; break; /* there is nothing to confirm */
        default: return CLI_USAGE;
        }
    }
    if (optind >= argc) {
        return cli_wrong_usage(argv[0], "name the cluster");
    }
    return perform(&q, argc - optind, argv + optind, NULL);
}

int cli_flush(struct cli *cli, int argc, char **argv)
{
    struct request q = {.cli = cli, .verb = "flush"};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'r':
            if (!take_role(&q, argv[0], optarg)) {
                return CLI_USAGE;
            }
            break;
        case 'F': q.force = true; break;
        case 'n': q.dry_run = q.force = true; break; /* there is nothing to confirm */
        default: return CLI_USAGE;
        }
    }
    const char *target = argv[argc - 1];
    if (argc - optind < 2 ||
        (strcmp(target, "restart") != 0 && strcmp(target, "switchover") != 0)) {
        return cli_wrong_usage(argv[0],
                               "name the cluster, and last what is flushed: restart or switchover");
    }
    return perform(&q, argc - optind - 1, argv + optind, target);
}
