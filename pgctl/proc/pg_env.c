/* Nothing of the agent's own environment may change whom libpq connects to, how, and what a server
 * is told there: PGHOSTADDR would send a walreceiver elsewhere, PGTARGETSESSIONATTRS=read-write
 * would have no standby answer. What is wanted stands in the configuration; what PostgreSQL's
 * programs need is put there by us. The commands that a postmaster runs keep the rest: pgBackRest's
 * options are variables, too (PGBACKREST_...). */
#include "pgctl/proc/pg_env.h"

#include "base/mem.h"
#include "pgctl/pg_instance.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

#define PG_ENV_ALL (PG_ENV_AGENT | PG_ENV_PROGRAM | PG_ENV_INITDB | PG_ENV_POSTMASTER)

/* By their beginnings, the first that fits; what fits none is kept for all. */
static const struct {
    const char *begin;
    unsigned kept_for;
} rules[] = {
    {"PATRONI_", PG_ENV_AGENT},    /* may be a password */
    {"KUBERNETES_", PG_ENV_AGENT}, /* as Patroni does */
    {"NOTIFY_SOCKET=", PG_ENV_AGENT},
    {"LISTEN_", PG_ENV_AGENT},
    {"WATCHDOG_", PG_ENV_AGENT},
    {"PGCONNECT_TIMEOUT=", 0},  /* the one name of libpq's with a '_' */
    {"PG_GRANDPARENT_PID=", 0}, /* pg_ctl's, to a postmaster */
    {"LC_ALL=", PG_ENV_ALL & ~PG_ENV_PROGRAM},
};

/* Names of libpq and of the server itself, those of versions to come included: PG, then letters
 * only. */
static bool is_postgresql(const char *variable)
{
    if (strncmp(variable, "PG", 2) != 0) {
        return false;
    }
    size_t len = 2;
    while (isupper((unsigned char)variable[len])) {
        len++;
    }
    return variable[len] == '=';
}

static bool is_kept(const char *variable, enum pg_env_for whom)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strncmp(variable, rules[i].begin, strlen(rules[i].begin)) == 0) {
            return (rules[i].kept_for & whom) != 0;
        }
    }
    return !is_postgresql(variable);
}

char **pg_env_make(enum pg_env_for whom, const char *const *more, size_t more_count)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **env = mem_new_array(char *, more_count + count + 1);
    count = 0;
    for (size_t i = 0; i < more_count; i++) {
        env[count++] = mem_strdup(more[i]);
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        if (is_kept(*variable, whom)) {
            env[count++] = mem_strdup(*variable);
        }
    }
    return env;
}

void pg_env_free(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        mem_free(env[i]);
    }
    mem_free(env);
}

void pg_env_clear(void)
{
    for (char **variable = environ; *variable != NULL;) {
        if (is_kept(*variable, PG_ENV_AGENT)) {
            variable++;
            continue;
        }
        char *name = mem_strndup(*variable, strcspn(*variable, "="));
        int rc = unsetenv(name); /* moves the others up */
        mem_free(name);
        variable = rc == 0 ? environ : variable + 1;
    }
}
