/* Lines of pg_hba.conf and pg_ident.conf, before a server sees them; test_pg_hba_real.c asks one.
 */
#include "pgctl/pg_hba.h"
#include "tests/unit/pgctl/hba_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void takes(int (*check)(const char *, bool, struct error *), const char *line,
                  bool everywhere, const char *words)
{
    struct error err = {0};
    int rc = check(line, everywhere, &err);
    if (words == NULL ? rc != 0 : rc != ERR_INVALID || strstr(err.text, words) == NULL) {
        fail_msg("'%s': %d '%s', not '%s'", line, rc, err.text, words == NULL ? "right" : words);
    }
}

static void lines_are_read_as_the_server_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < HBA_CASES; i++) {
        takes(pg_hba_line_check, hba_cases[i].line, false, hba_cases[i].words);
        takes(pg_hba_line_check, hba_cases[i].line, true, hba_cases[i].words);
    }
}

static void nothing_is_right(void **state)
{
    (void)state;
    takes(pg_hba_line_check, "", true, NULL);
    takes(pg_hba_line_check, "  \t # host", true, NULL);
    takes(pg_ident_line_check, "# a b c", true, NULL);
}

static void what_breaks_lines_is_refused(void **state)
{
    (void)state;
    char word[400];
    char line[9000];
    takes(pg_hba_line_check, "local all all trust\nlocal x", false, "line break");
    takes(pg_hba_line_check, "local all all trust \\", false, "backslash");
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    (void)snprintf(line, sizeof line, "local %s all trust", word);
    takes(pg_hba_line_check, line, false, "more than 255 bytes");
    memset(line, ' ', sizeof line);
    line[sizeof line - 1] = '\0';
    takes(pg_hba_line_check, line, false, "more than 8000");
}

static void a_method_may_need_an_option(void **state)
{
    (void)state;
    takes(pg_hba_line_check, "host all all all radius radiussecrets=x", false, "needs one of");
}

/* For all members: not what one of them alone may have. */
static void what_not_every_member_can_read_is_refused_for_all(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *words;
    } cases[] = {
        {"include more.conf", "names a file"},
        {"include_dir d", "names a file"},
        {"include_if_exists more.conf", "names a file"},
        {"local @databases all trust", "names a file"},
        {"local all @users trust", "names a file"},
        {"local all a,@users trust", "names a file"},
        {"local \"/db(\" all trust", NULL},
        {"local /db( all trust", "no regular expression"},
        {"local /^db[0-9]$ all trust", NULL},
        {"local \"@db\" all trust", NULL},
        {"local /(?:a|b)x all trust", NULL}, /* PostgreSQL's dialect, not that of POSIX */
        {"local /\\(a\\)[](]\\d all trust", NULL},
        {"local /[[:alpha:])]+ all trust", NULL},
        {"local /***=a( all trust", NULL},
        {"local /a(b)) all trust", "no regular expression"},
        {"local /a[b all trust", "no regular expression"},
        {"local /[[:alpha] all trust", "no regular expression"},
        {"local /a\\ all trust", "no regular expression"},
        {"local / all trust", "empty regular expression"},
        {"host all all 10.0.0.0/8 radius radiusservers=r radiussecrets=s", "each member's file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        takes(pg_hba_line_check, cases[i].line, false, NULL);
        takes(pg_hba_line_check, cases[i].line, true, cases[i].words);
    }
}

/* Of a line with a fault in any place: no password is in what is told. */
static void what_is_told_has_no_secret(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ldapbindpasswd=hush",
        "local all all ldapbindpasswd=hush",
        "host all all a/ldapbindpasswd=hush trust",
        "host all all 1.2.3.4 radiussecrets=hush trust",
        "host all all 1.2.3.4/radiussecrets=hush trust",
        "host all all all ldap ldapserver=l ldapprefix=x ldapbindpasswd=my hush",
        "host all all all ldap ldapserver=l ldapprefix=x ldapbindpasswd=my hush=hush",
        "host all all all ldap ldapserver=l ldapbindpasswd=hush",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct error err = {0};
        assert_int_equal(pg_hba_line_check(lines[i], true, &err), ERR_INVALID);
        assert_null(strstr(err.text, "hush"));
    }
}

/* Compiling it takes seconds and gigabytes; PostgreSQL says that it is too complex. */
static void pattern_costs_nothing_however_deep_it_repeats(void **state)
{
    (void)state;
    clock_t begun = clock();
    takes(pg_hba_line_check, "local all /(((a{200}){200}){200}) trust", true, NULL);
    takes(pg_ident_line_check, "map /(((a{200}){200}){200}) x", true, NULL);
    assert_true(clock() - begun < CLOCKS_PER_SEC);
}

static void maps_have_three_fields(void **state)
{
    (void)state;
    takes(pg_ident_line_check, "map root postgres", true, NULL);
    takes(pg_ident_line_check, "map /^(.*)@x$ \\1", true, NULL);
    takes(pg_ident_line_check, "map \"a b\" postgres # why", true, NULL);
    takes(pg_ident_line_check, "map", true, "ends before the name of the system");
    takes(pg_ident_line_check, "map root", true, "ends before the role");
    takes(pg_ident_line_check, "map a,b c", true, "more than one value");
    takes(pg_ident_line_check, "a,b c d", true, "more than one value");
    takes(pg_ident_line_check, "map /( x", true, "no regular expression");
    takes(pg_ident_line_check, "include x", true, "names a file");
    takes(pg_ident_line_check, "include x", false, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_as_the_server_reads_them),
        cmocka_unit_test(nothing_is_right),
        cmocka_unit_test(what_breaks_lines_is_refused),
        cmocka_unit_test(a_method_may_need_an_option),
        cmocka_unit_test(what_not_every_member_can_read_is_refused_for_all),
        cmocka_unit_test(pattern_costs_nothing_however_deep_it_repeats),
        cmocka_unit_test(what_is_told_has_no_secret),
        cmocka_unit_test(maps_have_three_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
