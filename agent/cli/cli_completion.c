/* completion: what a shell reads to complete verbs, options and their values, made from the table
 * that the parser goes by. Names of clusters and members are not completed: they would have to be
 * asked of the store, at every press of the key. */
#include "agent/cli/cli_verbs.h"
#include "base/buf.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static void put_verbs(struct buf *out)
{
    for (size_t i = 1; i < cli_grammar_count; i++) {
        buf_printf(out, "%s%s", i > 1 ? " " : "", cli_grammar[i].verb);
    }
}

static void put_options(const struct cli_grammar *grammar, struct buf *out)
{
    for (const struct cli_option *o = grammar->options; o->id != 0; o++) {
        if (o->what != NULL && o->letter != 0) {
            buf_printf(out, "-%c ", o->letter);
        }
        if (o->what != NULL && o->name != NULL) {
            buf_printf(out, "--%s ", o->name);
        }
    }
    if (grammar->verb[0] != '\0') {
        buf_put_str(out, "--help");
    }
}

/* -f|--format: of a pattern of case. */
static void put_pattern(const struct cli_grammar *grammar, const struct cli_option *option,
                        struct buf *out)
{
    const char *bar = "";
    buf_put_str(out, "        ");
    if (option->letter != 0) {
        buf_printf(out, "%s:-%c", grammar->verb, option->letter);
        bar = "|";
    }
    if (option->name != NULL) {
        buf_printf(out, "%s%s:--%s", bar, grammar->verb, option->name);
    }
    buf_put_str(out, ") ");
}

static void put_values(struct buf *out)
{
    for (size_t i = 0; i < cli_grammar_count; i++) {
        for (const struct cli_option *o = cli_grammar[i].options; o->id != 0; o++) {
            if (o->value == NULL || o->what == NULL) {
                continue;
            }
            put_pattern(&cli_grammar[i], o, out);
            if (o->words == CLI_WORDS_FILE) {
                buf_put_str(out, "known=file ;;\n");
            } else {
                buf_printf(out, "choice='%s'; known=yes ;;\n", cli_words_text(o->words));
            }
        }
    }
}

static void put_takers(const struct cli_grammar *grammar, struct buf *out)
{
    const char *bar = "";
    for (const struct cli_option *o = grammar->options; o->id != 0; o++) {
        if (o->value != NULL && o->letter != 0) {
            buf_printf(out, "%s-%c", bar, o->letter);
            bar = "|";
        }
        if (o->value != NULL && o->name != NULL) {
            buf_printf(out, "%s--%s", bar, o->name);
            bar = "|";
        }
    }
}

static void put_verb_words(struct buf *out)
{
    for (size_t i = 1; i < cli_grammar_count; i++) {
        buf_printf(out, "        %s) choice='", cli_grammar[i].verb);
        put_options(&cli_grammar[i], out);
        buf_printf(out, "%s%s' ;;\n", cli_grammar[i].words != NULL ? " " : "",
                   cli_grammar[i].words != NULL ? cli_grammar[i].words : "");
    }
}

/* What the two shells call things: the middle of the script is the same. */
static const struct {
    const char *name;
    const char *head;
    const char *tail;
} shells[] = {
    {"bash",
     "_pgquorum() {\n"
     "    local verb= choice= known= i at=$COMP_CWORD current=${COMP_WORDS[COMP_CWORD]}\n"
     "    local -a typed=(\"${COMP_WORDS[@]}\")\n",
     "    if [ \"$known\" = file ] || [ -z \"$verb$known\" ]; then\n"
     "        compopt -o filenames\n"
     "        COMPREPLY=($(compgen -W \"$choice\" -- \"$current\") $(compgen -f -- \"$current\"))\n"
     "    else\n"
     "        COMPREPLY=($(compgen -W \"$choice\" -- \"$current\"))\n"
     "    fi\n"
     "}\n"
     "complete -F _pgquorum pgquorum patronictl\n"},
    {"zsh",
     "#compdef pgquorum patronictl\n"
     "_pgquorum() {\n"
     "    setopt local_options ksh_arrays\n"
     "    local verb= choice= known= i at=$((CURRENT - 1))\n"
     "    local -a typed\n"
     "    typed=(\"${words[@]}\")\n",
     "    compadd -- ${=choice}\n"
     "    if [ \"$known\" = file ] || [ -z \"$verb$known\" ]; then\n"
     "        unsetopt ksh_arrays\n"
     "        _files\n"
     "    fi\n"
     "}\n"
     "if [ \"$funcstack[1]\" = _pgquorum ]; then _pgquorum \"$@\"; else compdef _pgquorum pgquorum "
     "patronictl; fi\n"},
};
#define SHELL_COUNT (sizeof(shells) / sizeof(shells[0]))

static void put_middle(struct buf *out)
{
    buf_put_str(out, "    for ((i = 1; i < at; i++)); do\n"
                     "        case ${typed[i]} in\n"
                     "        ");
    put_takers(&cli_grammar[0], out);
    buf_put_str(out, ") ((i++)) ;;\n"
                     "        -*) ;;\n"
                     "        *) verb=${typed[i]}; break ;;\n"
                     "        esac\n"
                     "    done\n"
                     "    case $verb:${typed[at-1]} in\n");
    put_values(out);
    buf_put_str(out, "    esac\n"
                     "    if [ -z \"$known\" ]; then\n"
                     "        case $verb in\n"
                     "        '') choice='");
    put_verbs(out);
    buf_put_str(out, " ");
    put_options(&cli_grammar[0], out);
    buf_put_str(out, "' ;;\n");
    put_verb_words(out);
    buf_put_str(out, "        esac\n"
                     "    fi\n");
}

int cli_completion(struct cli *cli, int argc, char **argv)
{
    struct buf script = BUF_INIT;
    size_t at = 0;
    if (cli_option(cli, argc, argv) != -1) {
        return CLI_USAGE;
    }
    while (at < SHELL_COUNT && (argc - optind != 1 || strcmp(argv[optind], shells[at].name) != 0)) {
        at++;
    }
    if (at == SHELL_COUNT) {
        return cli_wrong_usage("completion", "give one of bash, zsh");
    }
    buf_put_str(&script, shells[at].head);
    put_middle(&script);
    buf_put_str(&script, shells[at].tail);
    (void)printf("%s", buf_str(&script));
    buf_free(&script);
    return CLI_OK;
}
