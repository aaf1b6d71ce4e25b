/* What of the agent's environment gets to whom. */
#include "base/mem.h"
#include "pgctl/pg_instance.h"
#include "pgctl/proc/pg_env.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A PG_ENV_AGENT
#define P PG_ENV_PROGRAM
#define I PG_ENV_INITDB
#define M PG_ENV_POSTMASTER

static const struct {
    const char *name;
    unsigned kept_for;
} variables[] = {
    {"PGHOST", 0},
    {"PGHOSTADDR", 0},
    {"PGSERVICE", 0},
    {"PGSERVICEFILE", 0},
    {"PGSYSCONFDIR", 0},
    {"PGPASSWORD", 0},
    {"PGPASSFILE", 0},
    {"PGOPTIONS", 0},
    {"PGSSLMODE", 0},
    {"PGSSLROOTCERT", 0},
    {"PGGSSENCMODE", 0},
    {"PGREQUIREPEER", 0},
    {"PGTARGETSESSIONATTRS", 0},
    {"PGCONNECT_TIMEOUT", 0},
    {"PGMAXPROTOCOLVERSION", 0}, /* of 18 */
    {"PGDATA", 0},
    {"PGPORT", 0},
    {"PGTZ", 0},
    {"PG_GRANDPARENT_PID", 0},
    {"PATRONI_SUPERUSER_PASSWORD", A},
    {"KUBERNETES_SERVICE_HOST", A},
    {"NOTIFY_SOCKET", A},
    {"LISTEN_FDS", A},
    {"WATCHDOG_USEC", A},
    {"LC_ALL", A | I | M},
    {"LANG", A | P | I | M},
    {"LC_COLLATE", A | P | I | M},
    {"TZ", A | P | I | M},
    {"PATRONICTL_CONFIG_FILE", A | P | I | M},
    {"PGBACKREST_REPO1_PATH", A | P | I | M},
    {"PG_OOM_ADJUST_FILE", A | P | I | M},
    {"WALG_S3_PREFIX", A | P | I | M},
    {"PG", 0},
    {"PGhost", A | P | I | M}, /* another name than PGHOST */
    {"XPGHOST", A | P | I | M},
};
#define VARIABLES (sizeof variables / sizeof variables[0])

static int set_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIABLES; i++) {
        assert_int_equal(setenv(variables[i].name, "from outside", 1), 0);
    }
    return 0;
}

static size_t times_in(char **env, const char *name)
{
    size_t count = 0;
    size_t len = strlen(name);
    for (; *env != NULL; env++) {
        count += strncmp(*env, name, len) == 0 && (*env)[len] == '=' ? 1 : 0;
    }
    return count;
}

static void check_for(enum pg_env_for whom)
{
    char **env = pg_env_make(whom, NULL, 0);
    for (size_t i = 0; i < VARIABLES; i++) {
        size_t expected = (variables[i].kept_for & whom) != 0 ? 1 : 0;
        if (times_in(env, variables[i].name) != expected) {
            fail_msg("%s for %u: %zu times", variables[i].name, whom,
                     times_in(env, variables[i].name));
        }
    }
    pg_env_free(env);
}

static void each_gets_what_is_meant_for_it(void **state)
{
    (void)state;
    check_for(PG_ENV_PROGRAM);
    check_for(PG_ENV_INITDB);
    check_for(PG_ENV_POSTMASTER);
}

static void what_we_give_is_there_once_and_ours(void **state)
{
    static const char *const more[] = {"LC_ALL=C", "PGPASSFILE=/ours"};
    (void)state;
    char **env = pg_env_make(PG_ENV_PROGRAM, more, 2);
    assert_string_equal(env[0], "LC_ALL=C");
    assert_string_equal(env[1], "PGPASSFILE=/ours");
    assert_int_equal(times_in(env, "LC_ALL"), 1);
    assert_int_equal(times_in(env, "PGPASSFILE"), 1);
    pg_env_free(env);
    pg_env_free(NULL);
}

static void a_large_environment_is_not_cut(void **state)
{
    char name[32];
    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "SERVICE_%d_HOST", i);
        assert_int_equal(setenv(name, "x", 1), 0);
    }
    char **env = pg_env_make(PG_ENV_POSTMASTER, NULL, 0);
    assert_int_equal(times_in(env, "SERVICE_299_HOST"), 1);
    pg_env_free(env);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "SERVICE_%d_HOST", i);
        assert_int_equal(unsetenv(name), 0);
    }
}

/* Every variable that the linked libpq reads. */
static void libpq_finds_nothing_of_the_environment(void **state)
{
    PQconninfoOption *options = PQconndefaults();
    (void)state;
    assert_non_null(options);
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->envvar != NULL) {
            assert_int_equal(setenv(o->envvar, "from outside", 1), 0);
        }
    }
    pg_env_clear();
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->envvar != NULL && getenv(o->envvar) != NULL) {
            fail_msg("%s is still there", o->envvar);
        }
    }
    for (size_t i = 0; i < VARIABLES; i++) {
        assert_int_equal(getenv(variables[i].name) != NULL, (variables[i].kept_for & A) != 0);
    }
    PQconninfoFree(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_gets_what_is_meant_for_it, set_all),
        cmocka_unit_test_setup(what_we_give_is_there_once_and_ours, set_all),
        cmocka_unit_test_setup(a_large_environment_is_not_cut, set_all),
        cmocka_unit_test_setup(libpq_finds_nothing_of_the_environment, set_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
