/* switchover and failover: ask what is missing, check what can be checked from here, let the
 * leader's REST interface do it, and write the request into the store where no interface answers.
 */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/config/dynamic.h"
#include "agent/ha/ha_cluster.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR_S                 3600
#define REQUEST_TIMEOUT_MS_MIN 180000
#define REQUEST_SPARE_MS       30000
#define LOOP_WAIT_MS_MAX       ((int64_t)24 * 3600 * 1000)

struct request {
    struct cli *cli;
    bool switchover; /* else failover */
    bool force;
    bool dry_run;
    const char *cluster;
    char *leader;             /* that the user named or confirmed; owned, as the next two */
    char *candidate;          /* NULL = any */
    char *scheduled;          /* as typed; NULL = ask */
    char iso[CLI_TIME_BYTES]; /* "" = now */
    struct dcs_view *view;
    json_t *doc;
    json_t *config;
    const char *current;       /* holder of the leader key; NULL = none */
    char over[HA_EPOCH_BYTES]; /* `unfenced`, which the user passes over; "" = it does not stand */
};

static const char *action(const struct request *q)
{
    return q->switchover ? "switchover" : "failover";
}

static const char *action_title(const struct request *q)
{
    return q->switchover ? "Switchover" : "Failover";
}

static bool truthy_tag(const json_t *member, const char *tag)
{
    const json_t *value = json_object_get(json_object_get(member, "tags"), tag);
    return json_is_true(value) || (json_is_string(value) && json_string_length(value) > 0) ||
           (json_is_integer(value) && json_integer_value(value) != 0);
}

static bool may_lead(const json_t *member)
{
    const json_t *tags = json_object_get(member, "tags");
    const json_t *priority = json_object_get(tags, "failover_priority");
    if (json_object_get(tags, "nofailover") != NULL) {
        return !truthy_tag(member, "nofailover");
    }
    return !json_is_integer(priority) || json_integer_value(priority) > 0;
}

/* Names that may be the new leader, in order: array of texts. */
static json_t *candidates(const struct request *q)
{
    json_t *names = json_array();
    const json_t *members = json_object_get(q->doc, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        json_t *name = json_object_get(member, "name");
        bool is_leader = q->current != NULL && strcmp(json_string_value(name), q->current) == 0;
        if (!is_leader && may_lead(member)) {
            (void)json_array_append(names, name);
        }
    }
    return names;
}

static bool is_among(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        if (strcmp(json_string_value(json_array_get(names, i)), name) == 0) {
            return true;
        }
    }
    return false;
}

/* --- asking: each step gives CLI_OK, or the exit status --------------------------------------- */

static int ask_leader(struct request *q)
{
    if (!q->switchover) {
        return CLI_OK;
    }
    if (q->current == NULL) {
        return cli_fail("this cluster has no leader: a switchover needs one; use failover");
    }
    if (q->leader == NULL) {
        json_t *config = cluster_doc_key(q->view, "config");
        bool standby = json_object_size(json_object_get(config, "standby_cluster")) > 0;
        json_decref(config);
        q->leader = q->force ? mem_strdup(q->current)
                             : cli_prompt(standby ? "Standby Leader" : "Primary", q->current);
        if (q->leader == NULL) {
            return CLI_ERROR;
        }
    }
    return strcmp(q->leader, q->current) == 0
               ? CLI_OK
               : cli_fail("Member %s is not the leader of cluster %s", q->leader, q->cluster);
}

static int check_candidate(struct request *q, const json_t *names)
{
    if (q->candidate == NULL || q->candidate[0] == '\0') {
        mem_free(q->candidate);
        q->candidate = NULL;
        return q->switchover ? CLI_OK
                             : cli_fail("Failover could be performed only to a specific candidate");
    }
    if (q->current != NULL && strcmp(q->candidate, q->current) == 0) {
        return cli_fail("Member %s is already the leader of cluster %s", q->candidate, q->cluster);
    }
    return is_among(names, q->candidate)
               ? CLI_OK
               : cli_fail("Member %s does not exist in cluster %s or is tagged as nofailover",
                          q->candidate, q->cluster);
}

static int ask_candidate(struct request *q)
{
    json_t *names = candidates(q);
    int status = CLI_OK;
    if (json_array_size(names) == 0) {
        status = cli_fail("No candidates found to %s to", action(q));
    } else if (q->candidate == NULL && !q->force) {
        struct buf text = BUF_INIT;
        buf_put_str(&text, "Candidate [");
        for (size_t i = 0; i < json_array_size(names); i++) {
            buf_printf(&text, "%s'%s'", i > 0 ? ", " : "",
                       json_string_value(json_array_get(names, i)));
        }
        buf_put_str(&text, "]");
        q->candidate = cli_prompt(buf_str(&text), "");
        buf_free(&text);
        status = q->candidate == NULL ? CLI_ERROR : CLI_OK;
    }
    status = status != CLI_OK ? status : check_candidate(q, names);
    json_decref(names);
    return status;
}

static int ask_time(struct request *q)
{
    if (!q->switchover || (q->scheduled == NULL && q->force)) {
        return CLI_OK;
    }
    if (q->scheduled == NULL) {
        char example[32];
        char text[120];
        struct tm local;
        time_t next_hour = time(NULL) + HOUR_S;
        (void)localtime_r(&next_hour, &local);
        (void)strftime(example, sizeof(example), "%Y-%m-%dT%H:%M", &local);
        (void)snprintf(text, sizeof(text), "When should the switchover take place (e.g. %s ) ",
                       example);
        q->scheduled = cli_prompt(text, "now");
        if (q->scheduled == NULL) {
            return CLI_ERROR;
        }
    }
    if (strcmp(q->scheduled, "now") == 0) {
        return CLI_OK;
    }
    if (!cli_time_parse(q->scheduled, q->iso)) {
        return cli_fail(
            "'%s' is no time: give one such as 2026-12-01T03:00 or 2026-12-01T03:00+01:00, or now",
            q->scheduled);
    }
    return json_is_true(json_object_get(q->config, "pause"))
               ? cli_fail("Can't schedule switchover in the paused state")
               : CLI_OK;
}

/* Nobody leads, and the last leader runs without a deadline since a pause: whatever it writes after
 * somebody else was promoted is lost, or goes on beside it. */
static int ask_over_unfenced(struct request *q)
{
    const struct dcs_kv *kv = dcs_view_get(q->view, "unfenced");
    struct ha_epoch epoch;
    if (q->switchover || q->current != NULL || kv == NULL) {
        return CLI_OK;
    }
    if (!ha_epoch_parse(kv->value, &epoch)) {
        return cli_fail("the key unfenced cannot be read: remove it when no primary runs any more");
    }
    epoch.revision = epoch.revision == 0 ? kv->mod_revision : epoch.revision;
    ha_epoch_print(epoch, q->over);
    json_t *last = cluster_doc_key(q->view, "epoch");
    const char *holder = json_string_value(json_object_get(last, "holder"));
    (void)fflush(stdout);
    (void)fprintf(
        stderr,
        "Warning: the last leader '%s' was paused, and its PostgreSQL may still run and "
        "take writes: nothing stops it by itself. Be sure that it is down: what it writes "
        "from now on is lost.\n",
        holder != NULL ? holder : "(unknown)");
    json_decref(last);
    if (q->force) {
        return CLI_OK;
    }
    enum cli_answer answer = cli_confirm("Are you sure you want to pass over it?");
    return answer == CLI_YES  ? CLI_OK
           : answer == CLI_NO ? cli_fail("Aborting %s", action(q))
                              : CLI_ERROR;
}

static int ask_confirmation(const struct request *q)
{
    struct buf text = BUF_INIT;
    if (q->force) {
        return CLI_OK;
    }
    if (q->iso[0] != '\0') {
        buf_printf(&text, "Are you sure you want to schedule %s of cluster %s at %s", action(q),
                   q->cluster, q->iso);
    } else {
        buf_printf(&text, "Are you sure you want to %s cluster %s", action(q), q->cluster);
    }
    if (q->current != NULL) {
        buf_printf(&text, ", demoting current leader %s", q->current);
    }
    buf_put_str(&text, "?");
    enum cli_answer answer = cli_confirm(buf_str(&text));
    buf_free(&text);
    if (answer == CLI_NO) {
        return cli_fail("Aborting %s%s", q->iso[0] != '\0' ? "scheduled " : "", action(q));
    }
    return answer == CLI_YES ? CLI_OK : CLI_ERROR;
}

int64_t cli_switch_wait_ms(const json_t *config)
{
    int64_t loop_wait_ms = 0;
    if (!dynamic_time_ms(json_object_get(config, "loop_wait"), &loop_wait_ms) || loop_wait_ms < 0) {
        return REQUEST_TIMEOUT_MS_MIN;
    }
    loop_wait_ms = loop_wait_ms < LOOP_WAIT_MS_MAX ? loop_wait_ms : LOOP_WAIT_MS_MAX;
    int64_t wait_ms = 2 * loop_wait_ms + REQUEST_SPARE_MS;
    return wait_ms > REQUEST_TIMEOUT_MS_MIN ? wait_ms : REQUEST_TIMEOUT_MS_MIN;
}

/* --- doing ------------------------------------------------------------------------------------ */

static char *request_body(const struct request *q, bool for_store)
{
    json_t *body = json_object();
    if (q->candidate != NULL || !for_store) {
        (void)json_object_set_new(body, for_store ? "member" : "candidate",
                                  q->candidate != NULL ? json_string(q->candidate) : json_null());
    }
    if (q->leader != NULL) {
        (void)json_object_set_new(body, "leader", json_string(q->leader));
    }
    if (q->iso[0] != '\0') {
        (void)json_object_set_new(body, "scheduled_at", json_string(q->iso));
    }
    if (q->over[0] != '\0') {
        (void)json_object_set_new(body, "unfenced", json_string(q->over));
    }
    struct buf out = BUF_INIT;
    buf_reserve(&out, json_dumpb(body, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII) + 1);
    out.len = json_dumpb(body, (char *)out.data, out.capacity, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(body);
    return buf_take(&out);
}

static const char *member_url(const struct request *q, const char *name)
{
    const json_t *members = json_object_get(q->doc, "members");
    for (size_t i = 0; name != NULL && i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *url = json_string_value(json_object_get(member, "api_url"));
        if (strcmp(json_string_value(json_object_get(member, "name")), name) == 0 &&
            url[0] != '\0') {
            return url;
        }
    }
    return NULL;
}

static int post(const struct request *q, const char *path, struct cli_reply *ret_reply,
                struct error *err)
{
    const char *url = member_url(q, q->current != NULL ? q->current : q->candidate);
    if (url == NULL) {
        return error_set(err, ERR_NOT_FOUND, "no member with an address to ask");
    }
    char *body = request_body(q, false);
    int rc = cli_request(url, path, body, cli_switch_wait_ms(q->config), ret_reply, err);
    mem_free(body);
    return rc;
}

static int print_table_again(struct request *q)
{
    struct error err = {0};
    struct dcs_view *view = NULL;
    if (cli_session_read(q->cli->session, q->cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = cli_print_members(q->cli, view, q->cluster, false, false, CLI_PRETTY);
    dcs_view_unref(view);
    return status;
}

/* Unconditional, as Patroni's: the request of the person at the keyboard replaces what was asked
 * for before. */
static int write_key(struct request *q, const struct error *why)
{
    char now[CLI_TIME_BYTES];
    struct error err = {0};
    char *body = request_body(q, true);
    (void)fprintf(stderr, "%s\n", why->text);
    (void)printf("%s Could not %s using Patroni api, falling back to DCS\n", cli_timestamp(5, now),
                 action(q));
    int rc = cli_session_put(q->cli->session, q->cluster, "failover", body, DCS_ANY, &err);
    mem_free(body);
    return rc == 0 ? print_table_again(q) : cli_fail("%s", err.text);
}

/* Only then may the request be made in another way: whatever was sent may be carried out, and a
 * second request could move the leader twice. */
static bool was_never_sent(int rc)
{
    return rc == ERR_UNAVAILABLE || rc == ERR_NOT_FOUND || rc == ERR_INVALID || rc == ERR_NOMEM;
}

static int perform(struct request *q)
{
    char now[CLI_TIME_BYTES];
    char path[32];
    struct cli_reply reply = {0};
    struct error err = {0};
    (void)snprintf(path, sizeof(path), "/%s", action(q));
    int rc = post(q, path, &reply, &err);
    if (rc == 0 && reply.status == 501 && q->switchover &&
        strstr(reply.text, "Server does not support this operation") != NULL) {
        mem_free(reply.text);
        reply.text = NULL;
        rc = post(q, "/failover", &reply, &err);
    }
    if (was_never_sent(rc)) {
        return write_key(q, &err);
    }
    if (rc != 0) {
        return cli_fail("%s: no answer, the outcome is not known: look with list: %s", action(q),
                        err.text);
    }
    int status = CLI_OK;
    if (reply.status == 200 || reply.status == 202) {
        (void)printf("%s %s\n", cli_timestamp(5, now), reply.text);
        status = print_table_again(q);
    } else {
        (void)printf("%s failed, details: %d, %s\n", action_title(q), reply.status, reply.text);
    }
    mem_free(reply.text);
    return status;
}

/* What would be decided right now; a scheduled one is looked at again when it is due. */
static int tell_dry_run(const struct request *q)
{
    const char *name = q->current != NULL ? q->current : q->candidate;
    char *body = request_body(q, false);
    (void)printf("Dry run: nothing was sent. %s would be asked for a %s%s%s%s%s; as things are "
                 "now,\n",
                 name, action(q), q->candidate != NULL ? " to " : "",
                 q->candidate != NULL ? q->candidate : "", q->iso[0] != '\0' ? " at " : "", q->iso);
    (void)fflush(stdout);
    int status = cli_tell_decision(name, member_url(q, name), action(q), body);
    mem_free(body);
    return status;
}

static int ask_and_perform(struct request *q)
{
    q->doc = cluster_doc(q->view, q->cluster);
    q->config = cluster_doc_key(q->view, "config");
    q->current = cluster_doc_text(q->view, "leader");
    (void)printf("Current cluster topology\n");
    int status = cli_print_members(q->cli, q->view, q->cluster, false, false, CLI_PRETTY);
    status = status != CLI_OK ? status : ask_leader(q);
    status = status != CLI_OK ? status : ask_candidate(q);
    status = status != CLI_OK ? status : ask_over_unfenced(q);
    status = status != CLI_OK ? status : ask_time(q);
    status = status != CLI_OK ? status : ask_confirmation(q);
    if (status == CLI_OK) {
        status = q->dry_run ? tell_dry_run(q) : perform(q);
    }
    json_decref(q->doc);
    json_decref(q->config);
    return status;
}

static void replace(char **text, const char *with)
{
    mem_free(*text);
    *text = mem_strdup(with);
}

/* False = wrong usage. */
static bool parse(struct request *q, int argc, char **argv)
{
    int option = 0;
    while ((option = cli_option(q->cli, argc, argv)) != -1) {
        switch (option) {
        case 'l': replace(&q->leader, optarg); break;
        case 'c': replace(&q->candidate, optarg); break;
        case 's': replace(&q->scheduled, optarg); break;
        case 'F': q->force = true; break;
        case 'n': q->dry_run = q->force = true; break; /* there is nothing to confirm */
        default: return false;
        }
    }
    return true;
}

static int move_leader(struct cli *cli, int argc, char **argv, bool switchover)
{
    struct request q = {.cli = cli, .switchover = switchover};
    struct error err = {0};
    int status = CLI_USAGE;
    if (parse(&q, argc, argv) && cli_arguments(argc, argv, optind, 1)) {
        status = CLI_ERROR;
        if (cli_open(cli)) {
            q.cluster = cli_cluster(cli, argc, argv, optind);
            status = cli_session_read(cli->session, q.cluster, &q.view, &err) == 0
                         ? ask_and_perform(&q)
                         : cli_fail("%s", err.text);
        }
    }
    dcs_view_unref(q.view);
    mem_free(q.leader);
    mem_free(q.candidate);
    mem_free(q.scheduled);
    return status;
}

int cli_switchover(struct cli *cli, int argc, char **argv)
{
    return move_leader(cli, argc, argv, true);
}

int cli_failover(struct cli *cli, int argc, char **argv)
{
    return move_leader(cli, argc, argv, false);
}
