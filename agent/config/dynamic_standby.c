/* Any of host, port and restore_command is enough, as with Patroni; a port alone is of this host. A
 * section that is there and cannot be obeyed is not passed over: whoever did would make a second
 * primary. */
#include "agent/config/dynamic_standby.h"

#include "pgctl/pg_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTGRES_PORT 5432
#define LOCAL_HOST    "localhost"

static const json_t *section_of(const json_t *document)
{
    return json_object_get(document, "standby_cluster");
}

bool dynamic_standby_is_given(const json_t *document)
{
    const json_t *section = section_of(document);
    bool on = false;
    bool off = section == NULL || json_is_null(section) || (dynamic_bool(section, &on) && !on) ||
               (json_is_object(section) && json_object_size(section) == 0);
    return !off;
}

/* Always false, as what could not be read. */
static bool say(char *ret_text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool say(char *ret_text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(ret_text, DYNAMIC_STANDBY_FAULT_BYTES, fmt, args);
    va_end(args);
    return false;
}

static const json_t *value_of(const json_t *section, const char *key)
{
    const json_t *value = json_object_get(section, key);
    bool empty = json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
    return empty ? NULL : value;
}

static bool is_line(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* --- host and port ---------------------------------------------------------------------------- */

size_t dynamic_standby_host_count(const struct dynamic_standby *standby)
{
    size_t count = standby->hosts[0] == '\0' ? 0 : 1;
    for (const char *c = standby->hosts; *c != '\0'; c++) {
        count += *c == ',' ? 1 : 0;
    }
    return count;
}

bool dynamic_standby_host(const struct dynamic_standby *standby, size_t index,
                          char ret_host[PG_HOST_BYTES])
{
    const char *at = standby->hosts;
    for (size_t i = 0; i < index && at != NULL; i++) {
        at = strchr(at, ',');
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL || *at == '\0') {
        return false;
    }
    size_t len = strcspn(at, ",");
    memcpy(ret_host, at, len);
    ret_host[len] = '\0';
    return true;
}

/* Spaces around a comma go: libpq would take them for a part of the name. */
static bool read_hosts(const char *text, struct dynamic_standby *standby, char *ret_text)
{
    size_t len = 0;
    for (const char *at = text;; at++) {
        size_t part = strcspn(at, ",");
        size_t before = strspn(at, " ");
        size_t end = part;
        while (end > before && at[end - 1] == ' ') {
            end--;
        }
        size_t bytes = before < part ? end - before : 0;
        if (bytes == 0 || memchr(at + before, ' ', bytes) != NULL ||
            len + bytes + 2 > sizeof standby->hosts) {
            return say(ret_text,
                       "standby_cluster.host: '%.80s' is not right: give a host, or "
                       "several with commas between them",
                       text);
        }
        len += len > 0 ? 1 : 0;
        if (len > 0) {
            standby->hosts[len - 1] = ',';
        }
        memcpy(standby->hosts + len, at + before, bytes);
        len += bytes;
        standby->hosts[len] = '\0';
        at += part;
        if (*at == '\0') {
            break;
        }
    }
    return dynamic_standby_host_count(standby) <= DYNAMIC_STANDBY_HOSTS_MAX ||
           say(ret_text, "standby_cluster.host: more than %d hosts: give fewer",
               DYNAMIC_STANDBY_HOSTS_MAX);
}

static bool read_port(const json_t *value, struct dynamic_standby *standby, char *ret_text)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    long long port = text != NULL ? strtoll(text, &end, 10) : json_integer_value(value);
    bool number = text != NULL ? end != text && *end == '\0' : json_is_integer(value);
    if (!number || port < 1 || port > UINT16_MAX) {
        return say(ret_text, "standby_cluster.port: not right: give a number from 1 to 65535");
    }
    standby->port = (uint16_t)port;
    return true;
}

static bool read_where(const json_t *section, struct dynamic_standby *standby, char *ret_text)
{
    const json_t *host = value_of(section, "host");
    const json_t *port = value_of(section, "port");
    standby->port = POSTGRES_PORT;
    if (host != NULL && (!json_is_string(host) || !is_line(json_string_value(host)))) {
        return say(ret_text, "standby_cluster.host: not right: give a host, or several with "
                             "commas between them");
    }
    if (port != NULL && !read_port(port, standby, ret_text)) {
        return false;
    }
    if (host == NULL && port == NULL) {
        return true;
    }
    return read_hosts(host == NULL ? LOCAL_HOST : json_string_value(host), standby, ret_text);
}

/* --- the rest --------------------------------------------------------------------------------- */

static bool read_slot(const json_t *section, struct dynamic_standby *standby, char *ret_text)
{
    const json_t *slot = value_of(section, "primary_slot_name");
    if (slot == NULL) {
        return true;
    }
    if (!json_is_string(slot) || !is_line(json_string_value(slot))) {
        return say(ret_text, "standby_cluster.primary_slot_name: not right: give the name of a "
                             "replication slot");
    }
    pg_slot_name(json_string_value(slot), standby->slot);
    return true;
}

static bool read_command(const json_t *section, const char *key, const char **ret_command,
                         char *ret_text)
{
    const json_t *command = value_of(section, key);
    *ret_command = json_string_value(command);
    return command == NULL || (json_is_string(command) && is_line(*ret_command)) ||
           say(ret_text, "standby_cluster.%s: not right: give a command, on one line", key);
}

/* PostgreSQL's own form: a number of ms, or one with a unit. */
static bool read_delay(const json_t *section, struct dynamic_standby *standby, char *ret_text)
{
    const json_t *delay = value_of(section, "recovery_min_apply_delay");
    const char *text = json_string_value(delay);
    int64_t unused = 0;
    if (delay == NULL) {
        return true;
    }
    bool number = json_is_integer(delay) && json_integer_value(delay) >= 0 &&
                  json_integer_value(delay) <= INT32_MAX;
    if (!number && (text == NULL || !dynamic_time_ms(delay, &unused) || unused < 0)) {
        return say(ret_text, "standby_cluster.recovery_min_apply_delay: not right: give a time, "
                             "such as 0 or \"5min\"");
    }
    if (number) {
        (void)snprintf(standby->apply_delay, sizeof standby->apply_delay, "%lld",
                       (long long)json_integer_value(delay));
    } else {
        (void)snprintf(standby->apply_delay, sizeof standby->apply_delay, "%s", text);
    }
    return true;
}

static bool read_methods(const json_t *section, struct dynamic_standby *standby, char *ret_text)
{
    const json_t *methods = value_of(section, "create_replica_methods");
    size_t count = json_array_size(methods);
    bool right = methods == NULL ||
                 (json_is_array(methods) && count > 0 && count <= DYNAMIC_STANDBY_METHODS_MAX);
    if (json_is_string(methods)) {
        standby->methods[standby->method_count++] = json_string_value(methods);
        return true;
    }
    for (size_t i = 0; right && i < count; i++) {
        const json_t *name = json_array_get(methods, i);
        right = json_is_string(name) && json_string_length(name) > 0;
        standby->methods[standby->method_count++] = json_string_value(name);
    }
    return right || say(ret_text,
                        "standby_cluster.create_replica_methods: not right: give a list "
                        "of names, at most %d",
                        DYNAMIC_STANDBY_METHODS_MAX);
}

static bool read_section(const json_t *section, struct dynamic_standby *standby, char *ret_text)
{
    *standby = (struct dynamic_standby){0};
    if (!json_is_object(section)) {
        return say(ret_text, "standby_cluster: not right: give a mapping, such as {\"host\": "
                             "\"10.0.0.1\"}");
    }
    bool right = read_where(section, standby, ret_text) && read_slot(section, standby, ret_text) &&
                 read_command(section, "restore_command", &standby->restore_command, ret_text) &&
                 read_command(section, "archive_cleanup_command", &standby->archive_cleanup_command,
                              ret_text) &&
                 read_delay(section, standby, ret_text) && read_methods(section, standby, ret_text);
    if (right && standby->hosts[0] == '\0' && standby->restore_command == NULL) {
        return say(ret_text, "standby_cluster: incomplete: give host, port or restore_command");
    }
    return right;
}

bool dynamic_standby_read(const json_t *document, struct dynamic_standby *ret_standby)
{
    char fault[DYNAMIC_STANDBY_FAULT_BYTES];
    return dynamic_standby_is_given(document) &&
           read_section(section_of(document), ret_standby, fault);
}

bool dynamic_standby_fault(const json_t *document, char *ret_text)
{
    struct dynamic_standby standby;
    return dynamic_standby_is_given(document) &&
           !read_section(section_of(document), &standby, ret_text);
}

bool dynamic_standby_mistake(const json_t *document, char *ret_text)
{
    struct dynamic_standby standby;
    if (!dynamic_standby_is_given(document)) {
        return false;
    }
    if (!read_section(section_of(document), &standby, ret_text)) {
        return true;
    }
    if (standby.slot[0] != '\0' && standby.hosts[0] == '\0') {
        (void)say(ret_text, "standby_cluster.primary_slot_name: only with host or port: there is "
                            "nobody who could have that slot");
        return true;
    }
    return false;
}

void dynamic_standby_text(const struct dynamic_standby *standby, char *ret_text)
{
    if (standby->hosts[0] == '\0') {
        (void)snprintf(ret_text, DYNAMIC_STANDBY_TEXT_BYTES, "archive");
    } else {
        (void)snprintf(ret_text, DYNAMIC_STANDBY_TEXT_BYTES, "%s:%u", standby->hosts,
                       standby->port);
    }
}
