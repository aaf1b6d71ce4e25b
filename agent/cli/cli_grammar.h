/* PURE. What each verb takes. One table: the parser reads it, --help prints it, completion offers
 * it, and docs/command-line.md is held against it by the tests. */
#ifndef AGENT_CLI_CLI_GRAMMAR_H
#define AGENT_CLI_CLI_GRAMMAR_H

#include "base/buf.h"

#include <stddef.h>

/* What the value of an option may be, for completion. */
enum cli_words { CLI_WORDS_ANY, CLI_WORDS_FORMAT, CLI_WORDS_ROLE, CLI_WORDS_FILE };

/* Names of each kind, separated by spaces; "" = anything. */
const char *cli_words_text(enum cli_words words);

struct cli_option {
    const char *name;  /* without its dashes; NULL = it has a letter only */
    char letter;       /* 0 = none */
    char id;           /* what cli_option gives; 0 = the end of the table */
    const char *value; /* NULL = it takes none; else a word for it */
    const char *what;  /* NULL = another name of the one above: taken, not shown */
    enum cli_words words;
};

#define CLI_OPTIONS_MAX 20 /* of a verb */

struct cli_grammar {
    const char *verb; /* "" = what stands before the verb */
    const char *arguments;
    const char *what;
    const char *words; /* what the arguments may be, separated by spaces; NULL = names, files */
    const struct cli_option *options;
};

extern const struct cli_grammar cli_grammar[];
extern const size_t cli_grammar_count;

/* NULL: no such verb. */
const struct cli_grammar *cli_grammar_of(const char *verb);

/* "list [CLUSTER...] [-e] [-f FORMAT] ..." */
void cli_grammar_usage(const struct cli_grammar *grammar, struct buf *out);
/* A line for each option that is shown. */
void cli_grammar_options(const struct cli_option *options, struct buf *out);

#endif
