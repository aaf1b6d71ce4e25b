/* getopt_long on the table of the verb: nothing is taken that --help does not tell of. */
#include "agent/cli/cli_grammar.h"
#include "agent/cli/cli_verbs.h"
#include "base/assert.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_MAX 2147483647L

struct tables {
    struct option longs[CLI_OPTIONS_MAX + 1];
    char shorts[2 * CLI_OPTIONS_MAX + 3];
};

static void make_tables(const struct cli_option *options, const char *first, struct tables *ret)
{
    size_t longs = 0;
    size_t len = strlen(first);
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->shorts, first, len);
    for (const struct cli_option *o = options; o->id != 0; o++) {
        ASSERT(longs < CLI_OPTIONS_MAX);
        if (o->name != NULL) {
            ret->longs[longs++] =
                (struct option){.name = o->name,
                                .has_arg = o->value != NULL ? required_argument : no_argument,
                                .val = (unsigned char)o->id};
        }
        if (o->letter != 0) {
            ret->shorts[len++] = o->letter;
            if (o->value != NULL) {
                ret->shorts[len++] = ':';
            }
        }
    }
}

static char id_of(const struct cli_option *options, int found)
{
    for (const struct cli_option *o = options; o->id != 0; o++) {
        if (o->letter == found) {
            return o->id;
        }
    }
    return (char)found; /* a long one */
}

int cli_option_next(const struct cli_option *options, const char *first, int argc, char **argv,
                    char *ret_fault, size_t bytes)
{
    struct tables tables;
    int index = -1;
    make_tables(options, first, &tables);
    int at = optind > 0 ? optind : 1;
    opterr = 0;
    int found = getopt_long(argc, argv, tables.shorts, tables.longs, &index);
    const char *word = argv[optind > at ? optind - 1 : at];
    if (found == ':') {
        (void)snprintf(ret_fault, bytes, "option '%.100s' needs a value", word);
        return '?';
    }
    if (found == '?' && optopt != 0 && strncmp(word, "--", 2) == 0) {
        (void)snprintf(ret_fault, bytes, "option '%.100s' takes no value", word);
    } else if (found == '?' && optopt != 0) {
        (void)snprintf(ret_fault, bytes, "no such option '-%c'", optopt);
    } else if (found == '?') {
        (void)snprintf(ret_fault, bytes, "no such option '%.100s'", word);
    }
    return found == -1 || found == '?' || index >= 0 ? found : id_of(options, found);
}

static bool take_group(struct cli *cli)
{
    char *end = NULL;
    long group = strtol(optarg, &end, 10);
    if (*optarg == '\0' || *end != '\0' || group < 0 || group > GROUP_MAX) {
        return false;
    }
    cli->group = group;
    return true;
}

int cli_option(struct cli *cli, int argc, char **argv)
{
    char fault[160];
    const struct cli_grammar *grammar = cli_grammar_of(argv[0]);
    ASSERT(grammar != NULL);
    int found = 0;
    do {
        found = cli_option_next(grammar->options, ":", argc, argv, fault, sizeof(fault));
        if (found == '?') {
            (void)cli_wrong_usage(argv[0], fault);
        } else if (found == 'G' && !take_group(cli)) {
            (void)cli_wrong_usage(argv[0], "--group: give the number of a group");
            found = '?';
        }
    } while (found == 'G');
    return found;
}
