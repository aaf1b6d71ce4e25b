/* The table of what verbs take: the parser goes by it, and what it does not have is wrong usage, in
 * one line. Completion, run by the shells that it is for. */
#include "tests/unit/agent_cli/verbs_fixture.h"

static void wrong(const char *verb, const char *option, const char *words)
{
    assert_int_equal(RUN(verb, option), 2);
    says(world.err, words);
    assert_string_equal(world.out, "");
    char *end = strchr(world.err, '\n');
    if (strncmp(world.err, "Error: ", 7) != 0 || end == NULL || end[1] != '\0') {
        fail_msg("%s %s: not one line:\n%s", verb, option, world.err);
    }
    says(world.err, verb);
}

static void what_a_verb_does_not_have_is_told_in_one_line(void **state)
{
    (void)state;
    for (size_t i = 1; i < cli_grammar_count; i++) {
        const char *verb = cli_grammar[i].verb;
        wrong(verb, "--nonsense", "Error: no such option '--nonsense'; ");
        wrong(verb, "-%", "Error: no such option '-%'; ");
        for (const struct cli_option *o = cli_grammar[i].options; o->id != 0; o++) {
            char option[64] = "";
            char text[128];
            if (o->name != NULL) {
                snprintf(option, sizeof(option), "--%s%s", o->name, o->value != NULL ? "" : "=x");
            } else {
                continue;
            }
            snprintf(text, sizeof(text), "option '%s' %s", option,
                     o->value != NULL ? "needs a value" : "takes no value");
            wrong(verb, option, text);
        }
    }
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "--nonsense", "list", NULL}), 2);
    assert_string_equal(
        world.err, "Error: no such option '--nonsense'; pgquorum --help tells what there is\n");
    assert_int_equal(RUN("nonsense"), 2);
    assert_string_equal(world.err, "Error: no command 'nonsense': pgquorum help lists them\n");
}

static void help_tells_every_option(void **state)
{
    (void)state;
    for (size_t i = 1; i < cli_grammar_count; i++) {
        assert_int_equal(RUN(cli_grammar[i].verb, "--help"), 0);
        says(world.out, cli_grammar[i].what);
        for (const struct cli_option *o = cli_grammar[i].options; o->id != 0; o++) {
            if (o->what != NULL) {
                says(world.out, o->what);
            }
        }
    }
    assert_int_equal(RUN("help"), 0);
    says(world.out, "\n  demote-cluster  make this");
}

static void a_group_is_a_cluster_of_its_own_below_it(void **state)
{
    (void)state;
    put_in("batman/1", "initialize", "77");
    put_in("batman/1", "members/w1", "{\"state\":\"running\",\"role\":\"replica\"}");
    assert_int_equal(RUN("list", "--group", "1"), 0);
    says(world.out, "+ Citus cluster: batman (group: 1, 77) ");
    says(world.out, "| w1 ");
    assert_int_equal(RUN("list", "--group", "1", "-f", "json"), 0);
    says(world.out, "[{\"Cluster\": \"batman\", \"Group\": 1, \"Member\": \"w1\"");
    assert_int_equal(RUN("list", "--group", "1", "-f", "tsv"), 0);
    says(world.out, "Cluster\tGroup\tMember\t");
    assert_int_equal(RUN("history", "batman", "--group", "2"), 0);
    assert_int_equal(RUN("list", "--group", "one"), 2);
    says(world.err, "Error: --group: give the number of a group; ");
    assert_int_equal(RUN("list", "--group", "-1"), 2);
    assert_int_equal(RUN("promote-cluster", "--group", "1"), 2);
    assert_int_equal(RUN("list"), 0);
    says(world.out, "+ Cluster: batman (7277694203142172922) ");
}

/* --- completion ------------------------------------------------------------------------------- */

/* What bash offers after these words; the last one is begun. */
static void bash_offers(const char *words, const char *expected)
{
    char path[160];
    char command[512];
    char found[4096];
    snprintf(path, sizeof(path), "%s/completion", world.directory);
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "completion", "bash", NULL}), 0);
    FILE *file = fopen(path, "w");
    fputs(world.out, file);
    fclose(file);
    snprintf(command, sizeof(command),
             "cd %s && bash --norc -c '. %s; compopt() { :; }; "
             "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _pgquorum; "
             "echo \"${COMPREPLY[*]}\"' 2>&1",
             world.directory, path, words);
    FILE *shell = popen(command, "r");
    size_t len = fread(found, 1, sizeof(found) - 1, shell);
    found[len] = '\0';
    assert_int_equal(pclose(shell), 0);
    if (strcmp(found, expected) != 0) {
        fail_msg("bash offers for '%s': %s", words, found);
    }
}

static void bash_completes(void **state)
{
    (void)state;
    bash_offers("pgquorum sw", "switchover\n");
    bash_offers("pgquorum -c /x li", "list\n");
    bash_offers("pgquorum -c /x list --wa", "--watch\n");
    bash_offers("pgquorum list -f \"\"", "pretty tsv json yaml\n");
    bash_offers("patronictl restart -r st", "standby-leader standby\n");
    bash_offers("pgquorum failover --candidate \"\"", "\n");
    bash_offers("pgquorum switchover --pri", "\n"); /* another name of --leader: taken, not shown */
    bash_offers("pgquorum flush batman re", "restart\n");
    bash_offers("pgquorum query -f s", "\n"); /* no format here: files */
    bash_offers("pgquorum query --format j", "json\n");
    bash_offers("pgquorum completion z", "zsh\n");
}

static void zsh_reads_its_script(void **state)
{
    char command[256];
    (void)state;
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "completion", "zsh", NULL}), 0);
    says(world.out, "#compdef pgquorum patronictl\n");
    if (system("command -v zsh >/dev/null") != 0) {
        skip();
    }
    char path[160];
    snprintf(path, sizeof(path), "%s/_pgquorum", world.directory);
    FILE *file = fopen(path, "w");
    fputs(world.out, file);
    fclose(file);
    snprintf(command, sizeof(command),
             "test \"$(zsh -f -c 'compdef() { :; }; compadd() { shift; print -r -- $@; }; . %s; "
             "words=(pgquorum list -f \"\") CURRENT=4; _pgquorum')\" = 'pretty tsv json yaml'",
             path);
    assert_int_equal(system(command), 0);
}

static void completion_is_for_two_shells(void **state)
{
    (void)state;
    assert_int_equal(RUN("completion"), 2);
    assert_int_equal(RUN("completion", "fish"), 2);
    says(world.err, "Error: give one of bash, zsh; ");
}

/* --- the page --------------------------------------------------------------------------------- */

#define PAGE_BYTES 65536

/* Its section of docs/command-line.md, up to the next heading; free with mem_free. */
static char *section_of(const char *page, const char *verb)
{
    char heading[64];
    snprintf(heading, sizeof(heading), verb[0] == '\0' ? "\n## Before the verb\n" : "\n### %s\n",
             verb);
    const char *begin = strstr(page, heading);
    if (begin == NULL) {
        fail_msg("docs/command-line.md has no section%s", heading);
    }
    begin += strlen(heading);
    const char *end = strstr(begin, "\n##");
    return mem_strndup(begin, end != NULL ? (size_t)(end - begin) : strlen(begin));
}

static size_t rows_of(const char *section)
{
    size_t rows = 0;
    for (const char *at = section; (at = strstr(at, "\n| `-")) != NULL; at++) {
        rows++;
    }
    return rows;
}

static void the_page_has_every_verb_with_its_options_and_no_others(void **state)
{
    char *page = mem_new_array(char, PAGE_BYTES);
    FILE *file = fopen("docs/command-line.md", "r");
    (void)state;
    assert_non_null(file);
    size_t len = fread(page, 1, PAGE_BYTES - 1, file);
    assert_true(len < PAGE_BYTES - 1);
    fclose(file);
    for (size_t i = 0; i < cli_grammar_count; i++) {
        const struct cli_grammar *grammar = &cli_grammar[i];
        char *section = section_of(page, grammar->verb);
        struct buf text = BUF_INIT;
        size_t count = 0;
        if (grammar->verb[0] != '\0') {
            buf_put_str(&text, "    pgquorum ");
            cli_grammar_usage(grammar, &text);
            buf_put_str(&text, "\n");
            says(section, buf_str(&text));
        }
        for (const struct cli_option *o = grammar->options; o->id != 0; o++) {
            buf_clear(&text);
            if (o->what == NULL) {
                continue;
            }
            buf_put_str(&text, "\n| `");
            if (o->letter != 0) {
                buf_printf(&text, "-%c%s", o->letter, o->name != NULL ? ", " : "");
            }
            if (o->name != NULL) {
                buf_printf(&text, "--%s", o->name);
            }
            if (o->value != NULL) {
                const char *bar = strchr(o->value, '|');
                int before = bar != NULL ? (int)(bar - o->value) : (int)strlen(o->value);
                buf_printf(&text, " %.*s%s%s", before, o->value, bar != NULL ? "\\|" : "",
                           bar != NULL ? bar + 1 : "");
            }
            buf_printf(&text, "` | %s |", o->what);
            says(section, buf_str(&text));
            count++;
        }
        assert_int_equal(rows_of(section), count);
        buf_free(&text);
        mem_free(section);
    }
    mem_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_verb_does_not_have_is_told_in_one_line),
        cmocka_unit_test(help_tells_every_option),
        cmocka_unit_test(a_group_is_a_cluster_of_its_own_below_it),
        cmocka_unit_test(bash_completes),
        cmocka_unit_test(zsh_reads_its_script),
        cmocka_unit_test(completion_is_for_two_shells),
        cmocka_unit_test(the_page_has_every_verb_with_its_options_and_no_others),
    };
    return cmocka_run_group_tests(tests, start, end);
}
