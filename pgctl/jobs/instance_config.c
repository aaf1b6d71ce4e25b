/* See the header. */
#include "pgctl/jobs/instance_config.h"

#include "base/mem.h"
#include "pgctl/jobs/method.h"
#include "pgctl/jobs/pg_private.h"

#include <libpq-fe.h>
#include <string.h>

#define TEXT_MAX 900 /* of a text that goes into a line of a file */

/* --- deep copies ------------------------------------------------------------------------------ */

struct pg_parameters pg_parameters_dup(const struct pg_parameters *parameters)
{
    struct pg_parameter *items = mem_new_array(struct pg_parameter, parameters->count);
    for (size_t i = 0; i < parameters->count; i++) {
        items[i].name = mem_strdup(parameters->items[i].name);
        items[i].value = mem_strdup(parameters->items[i].value);
    }
    return (struct pg_parameters){items, parameters->count};
}

static void free_const(const void *ptr)
{
    mem_free((void *)(uintptr_t)ptr);
}

void pg_parameters_free(struct pg_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) {
        free_const(parameters->items[i].name);
        free_const(parameters->items[i].value);
    }
    free_const(parameters->items);
    *parameters = (struct pg_parameters){0};
}

struct pg_lines pg_lines_dup(const struct pg_lines *lines)
{
    const char **items = mem_new_array(const char *, lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        items[i] = mem_strdup(lines->items[i]);
    }
    return (struct pg_lines){items, lines->count};
}

void pg_lines_free(struct pg_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        free_const(lines->items[i]);
    }
    free_const(lines->items);
    *lines = (struct pg_lines){0};
}

/* The members of a configuration that are plain strings. */
/* clang-format off */
#define CONFIG_STRINGS(X)                                                                          \
    X(name) X(scope) X(data_dir) X(config_dir) X(base_name) X(state_dir) X(bin_dir) X(self_exe)    \
    X(fence_log) X(listen)                                                                         \
    X(connect_host) X(pgpass) X(database) X(custom_conf) X(superuser.username) X(superuser.password)              \
    X(replication.username) X(replication.password) X(rewind.username) X(rewind.password)
/* clang-format on */

void pg_security_values_dup(struct pg_security *security)
{
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        security->values[i] = mem_strdup(security->values[i]);
    }
}

void pg_security_values_free(const struct pg_security *security)
{
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        free_const(security->values[i]);
    }
}

void instance_config_dup(const struct pg_instance_config *config,
                         struct pg_instance_config *ret_config)
{
    *ret_config = *config;
    ret_config->programs = (struct pg_program_names){0}; /* they are found */
#define DUP(member) ret_config->member = mem_strdup(config->member);
    CONFIG_STRINGS(DUP)
#undef DUP
    pg_security_values_dup(&ret_config->superuser.security);
    pg_security_values_dup(&ret_config->replication.security);
    pg_security_values_dup(&ret_config->rewind.security);
    ret_config->parameters = pg_parameters_dup(&config->parameters);
    ret_config->recovery_conf = pg_parameters_dup(&config->recovery_conf);
    ret_config->pg_hba = pg_lines_dup(&config->pg_hba);
    ret_config->pg_ident = pg_lines_dup(&config->pg_ident);
    ret_config->basebackup = pg_lines_dup(&config->basebackup);
    struct pg_method *methods = mem_new_array(struct pg_method, config->replica_method_count + 1);
    for (size_t i = 0; i < config->replica_method_count; i++) {
        methods[i] = pg_method_dup(&config->replica_methods[i]);
    }
    ret_config->replica_methods = methods;
    if (ret_config->database == NULL) {
        ret_config->database = mem_strdup("postgres");
    }
    if (ret_config->superuser.username == NULL) {
        ret_config->superuser.username = mem_strdup("postgres");
    }
}

void instance_config_free(struct pg_instance_config *config)
{
#define FREE(member) free_const(config->member);
    CONFIG_STRINGS(FREE)
#undef FREE
    pg_security_values_free(&config->superuser.security);
    pg_security_values_free(&config->replication.security);
    pg_security_values_free(&config->rewind.security);
    pg_parameters_free(&config->parameters);
    pg_parameters_free(&config->recovery_conf);
    pg_lines_free(&config->pg_hba);
    pg_lines_free(&config->pg_ident);
    pg_lines_free(&config->basebackup);
    for (size_t i = 0; i < config->replica_method_count; i++) {
        struct pg_method method = config->replica_methods[i];
        pg_method_free(&method);
    }
    free_const(config->replica_methods);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int check_lines(const struct pg_lines *lines, const char *key, struct error *err)
{
    if (lines->count > PG_LINES_MAX) {
        return error_set(err, ERR_LIMIT, "%s has %zu lines, at most %d are allowed", key,
                         lines->count, PG_LINES_MAX);
    }
    for (size_t i = 0; i < lines->count; i++) {
        if (!pg_conf_is_line(lines->items[i])) {
            return error_set(err, ERR_INVALID,
                             "%s: line %zu has a line break or a control character", key, i + 1);
        }
    }
    return 0;
}

static int check_strings(const struct pg_instance_config *config, struct error *err)
{
#define CHECK(member)                                                               \
    if (config->member != NULL &&                                                   \
        (!pg_conf_is_line(config->member) || strlen(config->member) > TEXT_MAX)) {  \
        return error_set(err, ERR_INVALID,                                          \
                         #member " has a line break, or more than 900 characters"); \
    }
    CONFIG_STRINGS(CHECK)
#undef CHECK
    return 0;
}

int instance_config_check(const struct pg_instance_config *config, struct error *err)
{
    int rc = check_strings(config, err);
    if (rc == 0 &&
        (config->data_dir == NULL || config->data_dir[0] != '/' || config->state_dir == NULL)) {
        rc = error_set(err, ERR_INVALID, "postgresql.data_dir has to be an absolute path");
    }
    if (rc == 0 && (config->name == NULL || config->scope == NULL || config->listen == NULL ||
                    config->pgpass == NULL)) {
        rc = error_set(err, ERR_INVALID,
                       "name, scope, postgresql.listen and postgresql.pgpass are needed");
    }
    if (rc == 0 &&
        (config->replication.username == NULL || config->replication.username[0] == '\0')) {
        rc = error_set(err, ERR_INVALID,
                       "postgresql.authentication.replication.username is missing");
    }
    rc = rc != 0 ? rc : pg_parameters_check(&config->parameters, err);
    rc = rc != 0 ? rc : pg_parameters_check(&config->recovery_conf, err);
    rc = rc != 0 ? rc : check_lines(&config->pg_hba, "postgresql.pg_hba", err);
    rc = rc != 0 ? rc : check_lines(&config->pg_ident, "postgresql.pg_ident", err);
    return rc != 0 ? rc : check_lines(&config->basebackup, "postgresql.basebackup", err);
}

/* What a service file or our libpq does not know would be an error of every connection. */
static int check_account(const struct pg_account *account, const char *where,
                         const struct pg_bin *bin, struct error *err)
{
    const char *const texts[] = {account->username, account->password};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] != NULL && (!pg_conf_is_line(texts[i]) || strlen(texts[i]) > TEXT_MAX)) {
            return error_set(err, ERR_INVALID, "%s.%s has a line break, or more than %d characters",
                             where, i == 0 ? "username" : "password", TEXT_MAX);
        }
    }
    int rc = pg_security_check(&account->security, where, bin->major, "PostgreSQL", err);
    return rc != 0 ? rc
                   : pg_security_check(&account->security, where, PQlibVersion() / 10000,
                                       "the libpq of pgquorum", err);
}

int instance_config_check_accounts(const struct pg_account *superuser,
                                   const struct pg_account *replication,
                                   const struct pg_account *rewind, const struct pg_bin *bin,
                                   struct error *err)
{
    const struct {
        const char *where;
        const struct pg_account *account;
    } accounts[] = {
        {"postgresql.authentication.superuser", superuser},
        {"postgresql.authentication.replication", replication},
        {"postgresql.authentication.rewind", rewind},
    };
    int rc = 0;

    for (size_t i = 0; i < sizeof accounts / sizeof accounts[0]; i++) {
        if (rc == 0 && accounts[i].account != NULL) {
            rc = check_account(accounts[i].account, accounts[i].where, bin, err);
        }
    }
    return rc;
}

int pg_instance_check_reload(const struct pg_instance *instance, const struct pg_reload *reload,
                             struct error *err)
{
    int rc = pg_parameters_check(&reload->parameters, err);
    rc = rc != 0 ? rc : pg_parameters_check(&reload->recovery_conf, err);
    rc = rc != 0 ? rc : check_lines(&reload->pg_hba, "postgresql.pg_hba", err);
    rc = rc != 0 ? rc : check_lines(&reload->pg_ident, "postgresql.pg_ident", err);
    rc = rc != 0 ? rc : check_lines(&reload->basebackup, "postgresql.basebackup", err);
    if (rc == 0 && reload->guard && !instance->config.guard) {
        rc = pg_bin_check_guard(&instance->bin, err);
    }
    return rc != 0 ? rc
                   : instance_config_check_accounts(reload->superuser, reload->replication,
                                                    reload->rewind, &instance->bin, err);
}
