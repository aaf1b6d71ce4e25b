/* The settings that must agree over the cluster, and what users may give for them.
 *
 * They stand on the postmaster's command line, where neither ALTER SYSTEM nor an edited file can
 * change them. Five of them must not be smaller on a standby than they were on its primary, or it
 * stops in the middle of recovery: there the larger of configuration and control file wins. */
#include "pgctl/conf/pg_controlled.h"

#include "pgctl/conf/pg_conf.h"
#include "pgctl/pg_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BACKENDS_MAX 262143 /* MAX_BACKENDS of PostgreSQL 13 to 17 */

const struct pg_controlled pg_controlled[] = {
    {"hot_standby", PG_VALUE_TRUE, "on", 0, 0, true},
    {"max_connections", PG_VALUE_NUMBER, "100", 25, BACKENDS_MAX, true},
    {"max_locks_per_transaction", PG_VALUE_NUMBER, "64", 32, INT32_MAX, true},
    {"max_prepared_transactions", PG_VALUE_NUMBER, "0", 0, BACKENDS_MAX, true},
    {"max_replication_slots", PG_VALUE_NUMBER, "10", 4, BACKENDS_MAX, true},
    {"max_wal_senders", PG_VALUE_NUMBER, "10", 3, BACKENDS_MAX, true},
    {"max_worker_processes", PG_VALUE_NUMBER, "8", 2, BACKENDS_MAX, true},
    {"track_commit_timestamp", PG_VALUE_BOOL, "off", 0, 0, true},
    {"wal_keep_size", PG_VALUE_ANY, "128MB", 0, 0, false},
    {"wal_level", PG_VALUE_WAL_LEVEL, "replica", 0, 0, true},
    {"wal_log_hints", PG_VALUE_BOOL, "on", 0, 0, true},
};
const size_t pg_controlled_count = sizeof pg_controlled / sizeof pg_controlled[0];

/* Ours alone: what a user gives is refused nowhere and used nowhere, as with Patroni. A trigger
 * file would promote a standby that does not have the leader key; another file could name another
 * upstream. */
static const char *const ours[] = {
    "listen_addresses",
    "port",
    "cluster_name",
    "primary_conninfo",
    "primary_slot_name",
    "hba_file",
    "ident_file",
    "data_directory",
    "config_file",
    "external_pid_file",
    "wal_keep_segments",
    "recovery_target_timeline",
    "promote_trigger_file", /* 13 to 15 */
    "trigger_file",         /* as it was called in recovery.conf */
    "include",
    "include_dir",
    "include_if_exists",
};

bool pg_controlled_is_ours(const char *name)
{
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "recovery_target", strlen("recovery_target")) == 0;
}

const struct pg_controlled *pg_controlled_find(const char *name)
{
    for (size_t i = 0; i < pg_controlled_count; i++) {
        if (strcasecmp(name, pg_controlled[i].name) == 0) {
            return &pg_controlled[i];
        }
    }
    return NULL;
}

static bool parse_bool(const char *value, bool *ret_on)
{
    static const char *const words[] = {"off", "false", "no", "0", "on", "true", "yes", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(value, words[i]) == 0) {
            *ret_on = i >= 4;
            return true;
        }
    }
    return false;
}

static int check_number(const struct pg_controlled *row, const char *value, struct error *err)
{
    char *end;
    errno = 0;
    long number = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < row->min || number > row->max) {
        return error_set(err, ERR_INVALID,
                         "postgresql.parameters.%s is '%s': give a whole number, %ld to %ld",
                         row->name, value, row->min, row->max);
    }
    return 0;
}

static int check_controlled(const struct pg_controlled *row, const char *value, struct error *err)
{
    bool on = false;

    switch (row->kind) {
    case PG_VALUE_NUMBER: return check_number(row, value, err);
    case PG_VALUE_BOOL:
    case PG_VALUE_TRUE:
        if (!parse_bool(value, &on) || (row->kind == PG_VALUE_TRUE && !on)) {
            return error_set(
                err, ERR_INVALID, "postgresql.parameters.%s is '%s': give %s", row->name, value,
                row->kind == PG_VALUE_TRUE ? "on (standbys must answer questions)" : "on or off");
        }
        return 0;
    case PG_VALUE_WAL_LEVEL:
        if (strcasecmp(value, "replica") != 0 && strcasecmp(value, "logical") != 0 &&
            strcasecmp(value, "hot_standby") != 0) {
            return error_set(err, ERR_INVALID,
                             "postgresql.parameters.wal_level is '%s': give replica or logical",
                             value);
        }
        return 0;
    case PG_VALUE_ANY: break;
    }
    return 0;
}

static bool begins_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

size_t pg_controlled_word_len(const char *text)
{
    size_t len = 0;
    while (begins_word(text[len]) || (len > 0 && text[len] >= '0' && text[len] <= '9')) {
        len++;
    }
    return len;
}

/* PostgreSQL's rule for names in its files: one word, or two with a dot between them. Anything else
 * is a syntax error there, and the postmaster does not start. */
static bool is_name(const char *name)
{
    size_t len = pg_controlled_word_len(name);
    if (strlen(name) >= PG_VALUE_BYTES || len == 0) {
        return false;
    }
    if (name[len] == '.') {
        size_t more = pg_controlled_word_len(name + len + 1);
        len += more == 0 ? 0 : more + 1;
    }
    return name[len] == '\0';
}

int pg_parameters_check(const struct pg_parameters *parameters, struct error *err)
{
    if (parameters->count > PG_PARAMETERS_MAX) {
        return error_set(err, ERR_LIMIT,
                         "postgresql.parameters has %zu settings, at most %d are allowed",
                         parameters->count, PG_PARAMETERS_MAX);
    }
    for (size_t i = 0; i < parameters->count; i++) {
        const struct pg_parameter *item = &parameters->items[i];
        if (!is_name(item->name)) {
            return error_set(err, ERR_INVALID,
                             "postgresql.parameters: '%.80s' is no name of a setting", item->name);
        }
        if (!pg_conf_is_line(item->value)) {
            return error_set(err, ERR_INVALID,
                             "postgresql.parameters.%s has a line break or a control character",
                             item->name);
        }
        const struct pg_controlled *row = pg_controlled_find(item->name);
        int rc = row == NULL ? 0 : check_controlled(row, item->value, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static long control_floor(const struct pg_conf *conf, const char *name)
{
    const struct pg_control *control = conf->control;
    const struct {
        const char *name;
        int value;
    } floors[] = {
        {"max_connections", control->max_connections},
        {"max_locks_per_transaction", control->max_locks_per_transaction},
        {"max_prepared_transactions", control->max_prepared_transactions},
        {"max_wal_senders", control->max_wal_senders},
        {"max_worker_processes", control->max_worker_processes},
    };
    for (size_t i = 0; i < sizeof floors / sizeof floors[0]; i++) {
        if (strcmp(floors[i].name, name) == 0) {
            return floors[i].value;
        }
    }
    return 0;
}

const char *pg_conf_controlled(const struct pg_conf *conf, const char *name, char *ret_value)
{
    const struct pg_controlled *row = pg_controlled_find(name);
    if (row == NULL) {
        return NULL;
    }
    const char *value = row->fallback;
    for (size_t i = 0; i < conf->parameters.count; i++) {
        if (strcasecmp(conf->parameters.items[i].name, name) == 0) {
            value = conf->parameters.items[i].value;
        }
    }
    (void)snprintf(ret_value, PG_VALUE_BYTES, "%s", value);
    if (row->kind == PG_VALUE_WAL_LEVEL && strcasecmp(value, "hot_standby") == 0) {
        (void)snprintf(ret_value, PG_VALUE_BYTES, "replica");
    }
    if (conf->standby && conf->control != NULL && row->kind == PG_VALUE_NUMBER) {
        long floor = control_floor(conf, row->name);
        if (floor > strtol(ret_value, NULL, 10)) {
            (void)snprintf(ret_value, PG_VALUE_BYTES, "%ld", floor);
        }
    }
    return ret_value;
}

bool pg_conf_differs(const struct pg_conf *conf, const char *name, const char *running,
                     char *ret_value)
{
    struct pg_conf as_given = *conf;
    const struct pg_controlled *row = pg_controlled_find(name);
    bool on = false;
    bool runs_on = false;

    as_given.control = NULL;
    if (row == NULL || pg_conf_controlled(&as_given, name, ret_value) == NULL) {
        return false;
    }
    switch (row->kind) {
    case PG_VALUE_NUMBER: return strtol(ret_value, NULL, 10) != strtol(running, NULL, 10);
    case PG_VALUE_BOOL:
    case PG_VALUE_TRUE:
        return parse_bool(ret_value, &on) && parse_bool(running, &runs_on) && on != runs_on;
    case PG_VALUE_WAL_LEVEL: return strcasecmp(ret_value, running) != 0;
    case PG_VALUE_ANY: break;
    }
    return false; /* none of these is on the command line: PostgreSQL marks it itself */
}
