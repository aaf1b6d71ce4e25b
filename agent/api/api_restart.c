/* POST /restart and DELETE /restart. A restart for now is answered when it has ended: the loop
 * takes one at a time, so one request waits at most, and its outcome is in a picture that follows.
 */
#include "agent/api/api_private.h"

#include "agent/config/dynamic.h"
#include "agent/ha/ha_cluster.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    PART_MAX = 99,
    NEW_NUMBERS = 10,
    BODY_BYTES_MAX = 4096,
    SCHEDULE_BYTES_MAX = 64 /* it is shown as it was given */
};

static int refuse(const char **ret_why, int code, const char *why)
{
    *ret_why = why;
    return code;
}

/* --- the keys, each with the code that refuses it --------------------------------------------- */

static int take_schedule(const json_t *value, int64_t wall_ms, struct api_restart *restart,
                         const char **ret_why)
{
    const char *at = json_string_value(value);
    if (at == NULL || strlen(at) >= SCHEDULE_BYTES_MAX ||
        !ha_time_parse(at, &restart->at_wall_ms)) {
        return at != NULL && api_lacks_zone(at)
                   ? refuse(ret_why, 400,
                            "Timezone information is mandatory for the scheduled restart")
                   : refuse(ret_why, 422,
                            "Unable to parse scheduled timestamp. It should be in an unambiguous "
                            "format, e.g. ISO 8601");
    }
    return restart->at_wall_ms > wall_ms
               ? 0
               : refuse(ret_why, 422, "Cannot schedule restart in the past");
}

static int take_role(const json_t *value, struct api_restart *restart, const char **ret_why)
{
    static const char *const roles[] = {"primary", "standby_leader", "replica"};
    const char *role = json_string_value(value);
    for (size_t i = 0; role != NULL && i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(role, roles[i]) == 0) {
            (void)snprintf(restart->filter.role, sizeof restart->filter.role, "%s", role);
            return 0;
        }
    }
    return refuse(ret_why, 400,
                  "PostgreSQL role should be either primary, standby_leader, or replica");
}

/* "15.4" -> 150004, "9.6.3" -> 90603, as server_version_num has it. */
static bool parse_version(const char *text, int *ret_version)
{
    long parts[3] = {0};
    size_t count = 0;
    while (text != NULL && count < 3) {
        char *end = NULL;
        bool digit = *text >= '0' && *text <= '9';
        parts[count] = digit ? strtol(text, &end, 10) : PART_MAX + 1;
        if (parts[count++] > PART_MAX) {
            return false;
        }
        if (*end == '\0') {
            bool whole = count == 3 || (count == 2 && parts[0] >= NEW_NUMBERS);
            long middle = count == 3 ? parts[1] : 0;
            *ret_version = (int)(parts[0] * 10000 + middle * 100 + parts[count - 1]);
            return whole;
        }
        text = *end == '.' ? end + 1 : NULL;
    }
    return false;
}

static int take_version(const json_t *value, struct api_restart *restart, const char **ret_why)
{
    return parse_version(json_string_value(value), &restart->filter.below_version)
               ? 0
               : refuse(ret_why, 400,
                        "Invalid PostgreSQL version: X.Y (from 10 on) or X.Y.Z is accepted");
}

static int take_timeout(const json_t *value, struct api_restart *restart, const char **ret_why)
{
    bool good = (json_is_number(value) || json_is_string(value)) &&
                dynamic_time_ms(value, &restart->timeout_ms) && restart->timeout_ms > 0;
    if (good && restart->timeout_ms > TIMEOUT_MS_MAX) {
        restart->timeout_ms = TIMEOUT_MS_MAX;
    }
    return good ? 0 : refuse(ret_why, 400, "Timeout should be a positive number of seconds");
}

static int take_key(const char *key, const json_t *value, int64_t wall_ms,
                    struct api_restart *restart, const char **ret_why)
{
    if (strcmp(key, "schedule") == 0) {
        return take_schedule(value, wall_ms, restart, ret_why);
    }
    if (strcmp(key, "role") == 0) {
        return take_role(value, restart, ret_why);
    }
    if (strcmp(key, "postgres_version") == 0) {
        return take_version(value, restart, ret_why);
    }
    if (strcmp(key, "timeout") == 0) {
        return take_timeout(value, restart, ret_why);
    }
    if (strcmp(key, "restart_pending") == 0) {
        restart->filter.if_pending = true; /* that it is there is what counts, as with Patroni */
        return 0;
    }
    return refuse(ret_why, 400, NULL);
}

/* In the order in which they stand there; 0, or the code of the first that is refused. */
int api_restart_read(struct api_server *server, json_t *body, struct api_restart *restart,
                     char *ret_why, size_t size)
{
    int64_t wall_ms = clock_wall_ms(server->ports.clock);
    const char *key = NULL;
    const char *why = NULL;
    json_t *value = NULL;

    if (server->status->paused && json_object_get(body, "schedule") != NULL) {
        (void)snprintf(ret_why, size, "Can't schedule restart in the paused state");
        return 500;
    }
    json_object_foreach(body, key, value)
    {
        int code = take_key(key, value, wall_ms, restart, &why);
        if (code != 0 && why != NULL) {
            (void)snprintf(ret_why, size, "%s", why);
        } else if (code != 0) {
            (void)snprintf(ret_why, size, "Unknown filter for the scheduled restart: %.100s", key);
        }
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* --- for now ---------------------------------------------------------------------------------- */

/* Taken out before the reply: after the last one the server may be gone. */
static void answer(struct api_server *server, int code, const char *text)
{
    struct http1_exchange *exchange = server->restart.exchange;
    server->restart.exchange = NULL;
    api_reply_text(exchange, code, "%s", text);
}

void api_restart_look(struct api_server *server)
{
    const struct api_restart_wait *wait = &server->restart;
    const struct api_status *status = server->status;

    if (wait->exchange == NULL) {
        return;
    }
    if (status->restart_ended >= wait->number) {
        answer(server, status->restart_done ? 200 : 503, status->restart_text);
    } else if (clock_mono_ms(server->ports.clock) >= wait->deadline_mono_ms) {
        answer(server, 503, "restart status unknown: it has not ended yet");
    }
}

void api_restart_drop(struct api_server *server)
{
    if (server->restart.exchange != NULL) {
        answer(server, 503, "the agent is stopping: restart status unknown");
    }
}

static void submit(struct api_server *server, struct http1_exchange *exchange,
                   const struct api_restart *restart)
{
    struct api_restart_wait *wait = &server->restart;
    struct error err = {0};
    int64_t wait_ms = 0;
    unsigned number = 0;

    if (wait->exchange != NULL) {
        api_reply_text(exchange, 503, "restart already in progress");
        return;
    }
    int rc = server->ports.restart(server->ports.arg, restart, &number, &wait_ms, &err);
    if (rc != 0) {
        api_reply_text(exchange, 503, "%s", err.text);
        return;
    }
    *wait =
        (struct api_restart_wait){.exchange = exchange,
                                  .number = number,
                                  .deadline_mono_ms = clock_mono_ms(server->ports.clock) + wait_ms};
}

/* --- handlers --------------------------------------------------------------------------------- */

static void show_version(json_t *object, int version)
{
    int major = version / 10000;
    int middle = version / 100 % 100;
    json_t *text = major < NEW_NUMBERS || middle != 0
                       ? json_sprintf("%d.%d.%d", major, middle, version % 100)
                       : json_sprintf("%d.%d", major, version % 100);
    (void)json_object_set_new(object, "postgres_version", text);
}

/* What others are shown, made from what was understood: it goes into our member key, again and
 * again, and one that is large or deep would make that unreadable for all. */
static json_t *shown(const json_t *body, const struct api_restart *restart)
{
    const struct ha_restart_filter *filter = &restart->filter;
    json_t *object = json_object();
    (void)json_object_set(object, "schedule", json_object_get(body, "schedule"));
    if (filter->role[0] != '\0') {
        (void)json_object_set_new(object, "role", json_string(filter->role));
    }
    if (json_object_get(body, "postgres_version") != NULL) {
        show_version(object, filter->below_version);
    }
    if (restart->timeout_ms > 0) {
        (void)json_object_set_new(object, "timeout", json_integer(restart->timeout_ms / 1000));
    }
    if (filter->if_pending) {
        (void)json_object_set_new(object, "restart_pending", json_true());
    }
    return object;
}

void api_restart_post(struct api_server *server, struct http1_exchange *exchange,
                      const struct http1_request *request)
{
    struct api_restart restart = {0};
    struct error err = {0};
    char why[200] = "";
    bool empty = !request->has_length || request->body.len == 0;

    if (request->body.len > BODY_BYTES_MAX) {
        api_reply_error(exchange, 413, "a request for a restart has 4 KiB at most");
        return;
    }
    json_t *body = empty ? json_object() : api_body_or_empty(exchange, request);

    if (body == NULL) {
        return;
    }
    int code = api_restart_read(server, body, &restart, why, sizeof why);
    if (code != 0) {
        api_reply_text(exchange, code, "%s", why);
    } else if (restart.at_wall_ms == 0) {
        submit(server, exchange, &restart);
    } else {
        restart.object = shown(body, &restart);
        int rc = server->ports.schedule_restart(server->ports.arg, &restart, &err);
        json_decref(restart.object);
        api_reply_text(exchange, rc == 0 ? 202 : 409, "%s",
                       rc == 0 ? "Restart scheduled" : err.text);
    }
    json_decref(body);
}

void api_restart_delete(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    if (server->ports.unschedule_restart(server->ports.arg)) {
        api_reply_text(exchange, 200, "scheduled restart deleted");
    } else {
        api_reply_text(exchange, 404, "no restarts are scheduled");
    }
}
