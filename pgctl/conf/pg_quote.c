/* Quoting for the four languages that a name or a value is put into. */
#include "pgctl/conf/pg_conf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool pg_conf_is_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 && *c != '\t') {
            return false;
        }
    }
    return true;
}

static void put_char(struct buf *out, char c)
{
    buf_put(out, &c, 1);
}

/* `doubled`: characters that are written twice. */
static void quote(struct buf *out, const char *value, char mark, const char *doubled)
{
    put_char(out, mark);
    for (const char *c = value; *c != '\0'; c++) {
        if (strchr(doubled, *c) != NULL) {
            put_char(out, *c);
        }
        put_char(out, *c);
    }
    put_char(out, mark);
}

void pg_quote_conf(struct buf *out, const char *value)
{
    quote(out, value, '\'', "'\\");
}

void pg_quote_ident(struct buf *out, const char *name)
{
    quote(out, name, '"', "\"");
}

void pg_quote_literal(struct buf *out, const char *value)
{
    if (strchr(value, '\\') != NULL) {
        put_char(out, 'E');
    }
    quote(out, value, '\'', "'\\");
}

void pg_quote_conninfo(struct buf *out, const char *value)
{
    put_char(out, '\'');
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\'' || *c == '\\') {
            put_char(out, '\\');
        }
        put_char(out, *c);
    }
    put_char(out, '\'');
}

/* Options are put into SQL as they stand: words, numbers and spaces only ("CONNECTION LIMIT 5"). */
static int check_option(const char *option, const char *role, struct error *err)
{
    for (const char *c = option; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr(" _-", *c) == NULL) {
            return error_set(
                err, ERR_INVALID,
                "bootstrap.users: option '%s' of '%s': only words like CREATEDB are allowed",
                option, role);
        }
    }
    return 0;
}

int pg_conf_role_sql(struct buf *out, const char *name, const struct pg_lines *options,
                     struct error *err)
{
    bool login_given = false;

    buf_put_str(out, "CREATE ROLE ");
    pg_quote_ident(out, name);
    buf_put_str(out, " WITH");
    for (size_t i = 0; i < options->count; i++) {
        const char *option = options->items[i];
        int rc = check_option(option, name, err);
        if (rc != 0) {
            return rc;
        }
        login_given =
            login_given || strcasecmp(option, "LOGIN") == 0 || strcasecmp(option, "NOLOGIN") == 0;
        put_char(out, ' ');
        for (const char *c = option; *c != '\0'; c++) {
            put_char(out, (char)toupper((unsigned char)*c));
        }
    }
    if (!login_given) {
        buf_put_str(out, " LOGIN");
    }
    return 0;
}
