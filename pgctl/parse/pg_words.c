/* A command line as words, by the rules of a POSIX shell, and of Python's shlex, which Patroni
 * takes: nothing is expanded.
 *
 *   between words -> word: plain | 'all of it as it is' | "all but \" and \\" | \x anything once */
#include "pgctl/pg_parse.h"

#include <string.h>

static bool is_space(char c)
{
    return c != '\0' && strchr(" \t\r\n", c) != NULL;
}

/* From behind the quote on; NULL: it is not closed. */
static const char *take_quoted(const char *at, char quote, char **to)
{
    for (; *at != quote; at++) {
        if (*at == '\0') {
            return NULL;
        }
        if (quote == '"' && *at == '\\' && (at[1] == '"' || at[1] == '\\')) {
            at++;
        }
        *(*to)++ = *at;
    }
    return at + 1;
}

static const char *take_word(const char *at, char **to, struct error *err)
{
    while (*at != '\0' && !is_space(*at)) {
        if (*at == '\'' || *at == '"') {
            char quote = *at;
            at = take_quoted(at + 1, quote, to);
            if (at == NULL) {
                (void)error_set(err, ERR_INVALID, "a %c is not closed: close it", quote);
                return NULL;
            }
            continue;
        }
        if (*at == '\\' && *++at == '\0') {
            (void)error_set(err, ERR_INVALID, "it ends with a backslash: take it out");
            return NULL;
        }
        *(*to)++ = *at++;
    }
    *(*to)++ = '\0';
    return at;
}

int pg_words_split(const char *text, char *memory, const char **ret_words, size_t *ret_count,
                   struct error *err)
{
    size_t count = 0;
    char *to = memory;
    const char *at = text;

    for (;;) {
        while (is_space(*at)) {
            at++;
        }
        if (*at == '\0') {
            break;
        }
        if (count == PG_WORDS_MAX) {
            return error_set(err, ERR_LIMIT, "it has more than %d words: put them into a script",
                             PG_WORDS_MAX);
        }
        ret_words[count++] = to;
        at = take_word(at, &to, err);
        if (at == NULL) {
            return ERR_INVALID;
        }
    }
    *ret_count = count;
    return 0;
}
