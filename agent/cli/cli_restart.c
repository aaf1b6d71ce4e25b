/* restart: when and on what conditions is asked for here; each member is told over its REST
 * interface, one after the other, so that never two are down at once. */
#include "agent/cli/cli_order.h"
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

/* In the record that was read, not as the member may be by now: so with patronictl. */
static void keep_pending(struct cli_order *q)
{
    for (size_t i = json_array_size(q->members); i > 0; i--) {
        if (!json_is_true(json_object_get(json_array_get(q->members, i - 1), "pending_restart"))) {
            (void)json_array_remove(q->members, i - 1);
        }
    }
}

static void keep_one(struct cli_order *q)
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

static int take_time(struct cli_order *q, const char *text)
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

static int ask_time(struct cli_order *q)
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

static int ask_version(struct cli_order *q)
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

static int check_pause(const struct cli_order *q)
{
    return q->iso[0] != '\0' && json_is_true(json_object_get(q->config, "pause"))
               ? cli_fail("Can't schedule restart in the paused state")
               : CLI_OK;
}

static char *restart_body(const struct cli_order *q)
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

static int64_t wait_ms(const struct cli_order *q)
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

/* Gives what cli_request does: 0 if it has answered, be it with a refusal. */
static int restart_member(const struct cli_order *q, const json_t *member, const char *body)
{
    const char *name = cli_text_of(member, "name");
    struct cli_reply reply = {0};
    struct error err = {0};
    if (q->iso[0] != '\0' && q->force && json_object_get(member, "scheduled_restart") != NULL) {
        (void)cli_order_drop_scheduled(member);
    }
    int rc =
        cli_request(cli_text_of(member, "api_url"), "/restart", body, wait_ms(q), &reply, &err);
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
static int restart_each(const struct cli_order *q)
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
                           cli_text_of(member, "name"), json_array_size(q->members) - i - 1);
            break;
        }
    }
    mem_free(body);
    return status;
}

/* One after the other, as they would be restarted. */
static int tell_dry_run(const struct cli_order *q)
{
    int status = CLI_OK;
    char *body = restart_body(q);
    char *names = cli_order_names(q->members);
    (void)printf(
        "Dry run: nothing was sent. %s would be asked to restart%s%s, one after the other; "
        "as things are now,\n",
        names, q->iso[0] != '\0' ? " at " : "", q->iso);
    (void)fflush(stdout);
    for (size_t i = 0; i < json_array_size(q->members); i++) {
        const json_t *member = json_array_get(q->members, i);
        int one = cli_tell_decision(cli_text_of(member, "name"), cli_text_of(member, "api_url"),
                                    "restart", body);
        status = status != CLI_OK ? status : one;
    }
    mem_free(names);
    mem_free(body);
    return status;
}

static int restart_all(struct cli_order *q, int argc, char **argv)
{
    int status = cli_order_choose(q, argc, argv);
    status = status != CLI_OK ? status : ask_time(q);
    if (status == CLI_OK && q->pending && q->iso[0] == '\0') {
        keep_pending(q);
        if (json_array_size(q->members) == 0) {
            (void)printf("No member waits for a restart\n");
            return CLI_OK;
        }
    }
    status = status != CLI_OK ? status : cli_order_confirm(q);
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

int cli_restart(struct cli *cli, int argc, char **argv)
{
    struct cli_order q = {.cli = cli, .verb = "restart"};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'a': q.any = true; break;
        case 's': q.scheduled = optarg; break;
        case 'v': q.version = optarg; break;
        case 'p': q.pending = true; break;
        case 't': q.timeout = optarg; break;
        default:
            if (!cli_order_option(&q, argv[0], option)) {
                return CLI_USAGE;
            }
        }
    }
    return cli_order_run(&q, argc, argv, restart_all);
}
