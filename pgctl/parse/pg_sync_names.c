/* The value of synchronous_standby_names: written in one form, read in all that PostgreSQL's
 * grammar has (src/backend/replication/syncrep_gram.y and syncrep_scanner.l). */
#include "pgctl/pg_sync.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- writing ---------------------------------------------------------------------------------- */

static void put_name(struct buf *out, const char *name)
{
    buf_put_str(out, "\"");
    for (const char *c = name; *c != '\0'; c++) {
        buf_put(out, c, 1);
        if (*c == '"') {
            buf_put_str(out, "\"");
        }
    }
    buf_put_str(out, "\"");
}

void pg_sync_names_put(struct buf *out, const struct pg_sync_names *names)
{
    if (names->number == 0 || names->count == 0) {
        return;
    }
    if (!names->any && names->number == 1 && names->count == 1) {
        put_name(out, names->names[0]);
        return;
    }
    buf_printf(out, "%s%u (", names->any ? "ANY " : "", names->number);
    for (size_t i = 0; i < names->count; i++) {
        buf_put_str(out, i == 0 ? "" : ",");
        put_name(out, names->names[i]);
    }
    buf_put_str(out, ")");
}

/* --- reading ---------------------------------------------------------------------------------- */

enum token_type { END, WORD, QUOTED, NUMBER, STAR, PUNCTUATION, WRONG };

struct scanner {
    const char *at;
    enum token_type type;
    char text[PG_NAME_BYTES]; /* of a word, a quoted name, a number */
    bool cut;
};

static bool starts_word(unsigned char c)
{
    return isalpha(c) || c == '_' || c >= 0x80;
}

static bool goes_on(unsigned char c)
{
    return starts_word(c) || isdigit(c) || c == '$';
}

static void keep(struct scanner *scanner, size_t *len, char c)
{
    if (*len + 1 < sizeof scanner->text) {
        scanner->text[(*len)++] = c;
    } else {
        scanner->cut = true;
    }
}

static void scan_quoted(struct scanner *scanner)
{
    size_t len = 0;
    const char *at = scanner->at + 1;
    while (*at != '\0' && (*at != '"' || at[1] == '"')) {
        at += *at == '"' ? 1 : 0;
        keep(scanner, &len, *at++);
    }
    scanner->text[len] = '\0';
    scanner->type = *at == '"' ? QUOTED : WRONG;
    scanner->at = *at == '"' ? at + 1 : at;
}

static void scan_while(struct scanner *scanner, enum token_type type,
                       bool (*belongs)(unsigned char))
{
    size_t len = 0;
    while (belongs((unsigned char)*scanner->at)) {
        keep(scanner, &len, *scanner->at++);
    }
    scanner->text[len] = '\0';
    scanner->type = type;
}

static bool is_digit(unsigned char c)
{
    return isdigit(c) != 0;
}

static void next(struct scanner *scanner)
{
    scanner->text[0] = '\0';
    while (*scanner->at != '\0' && strchr(" \t\n\r\f\v", *scanner->at) != NULL) {
        scanner->at++;
    }
    unsigned char c = (unsigned char)*scanner->at;
    if (c == '\0') {
        scanner->type = END;
    } else if (c == '"') {
        scan_quoted(scanner);
    } else if (isdigit(c)) {
        scan_while(scanner, NUMBER, is_digit);
    } else if (starts_word(c)) {
        scan_while(scanner, WORD, goes_on);
    } else {
        scanner->type = c == '*' ? STAR : strchr("(),", c) != NULL ? PUNCTUATION : WRONG;
        (void)snprintf(scanner->text, sizeof scanner->text, "%c", c);
        scanner->at++;
    }
}

static bool is_punctuation(const struct scanner *scanner, char c)
{
    return scanner->type == PUNCTUATION && scanner->text[0] == c;
}

/* standby_name (',' standby_name)* */
static int read_list(struct scanner *scanner, struct pg_sync_names *names, struct error *err)
{
    for (;;) {
        bool is_name = scanner->type == WORD || scanner->type == QUOTED ||
                       scanner->type == NUMBER || scanner->type == STAR;
        if (!is_name) {
            return error_set(err, ERR_INVALID, "synchronous_standby_names: a name is missing");
        }
        if (names->count == PG_SYNC_NAMES_MAX || scanner->cut) {
            return error_set(err, ERR_LIMIT,
                             "synchronous_standby_names: too many or too long names");
        }
        memcpy(names->names[names->count++], scanner->text, sizeof scanner->text);
        next(scanner);
        if (!is_punctuation(scanner, ',')) {
            return 0;
        }
        next(scanner);
    }
}

/* NUM '(' list ')'; the number is the present token. */
static int read_numbered(struct scanner *scanner, struct pg_sync_names *names, struct error *err)
{
    unsigned long number = strtoul(scanner->text, NULL, 10);
    next(scanner);
    if (number == 0 || number > PG_SYNC_NAMES_MAX || !is_punctuation(scanner, '(')) {
        return error_set(err, ERR_INVALID,
                         "synchronous_standby_names: not of the form n (name, ...)");
    }
    names->number = (unsigned)number;
    next(scanner);
    int rc = read_list(scanner, names, err);
    if (rc == 0 && !is_punctuation(scanner, ')')) {
        rc = error_set(err, ERR_INVALID, "synchronous_standby_names: a parenthesis is missing");
    }
    next(scanner);
    return rc;
}

int pg_sync_names_parse(const char *text, struct pg_sync_names *ret_names, struct error *err)
{
    struct scanner scanner = {.at = text};
    struct scanner ahead;
    int rc;

    *ret_names = (struct pg_sync_names){0};
    next(&scanner);
    if (scanner.type == END) {
        return 0;
    }
    ahead = scanner;
    next(&ahead);
    bool any = scanner.type == WORD && strcasecmp(scanner.text, "any") == 0;
    bool first = scanner.type == WORD && strcasecmp(scanner.text, "first") == 0;
    if ((any || first) && ahead.type == NUMBER) {
        scanner = ahead;
        ret_names->any = any;
        rc = read_numbered(&scanner, ret_names, err);
    } else if (scanner.type == NUMBER && is_punctuation(&ahead, '(')) {
        rc = read_numbered(&scanner, ret_names, err);
    } else {
        ret_names->number = 1; /* a bare list: the first of it */
        rc = read_list(&scanner, ret_names, err);
    }
    if (rc == 0 && scanner.type != END) {
        rc = error_set(err, ERR_INVALID, "synchronous_standby_names: something follows the list");
    }
    return rc;
}
