/* The grammar of hba.c: fields between blanks, each a list of words with commas, a word perhaps in
 * quotes. Stricter than the server only where the line is for all members. */
#include "pgctl/pg_hba.h"

#include "pgctl/conf/pg_conf.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BYTES 256 /* MAX_TOKEN of PostgreSQL 13 */
#define LINE_MAX   8000
#define SHOWN_MAX  80

struct word {
    char text[WORD_BYTES];
    bool quoted; /* it is no keyword then, nor does it include a file */
};

struct cursor {
    const char *at;
    bool everywhere;
    struct error *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_line(char c)
{
    return c == '\0' || c == '#';
}

/* False: no word is left. *ret_more: a comma follows, and the field goes on. */
static int next_word(struct cursor *c, struct word *ret_word, bool *ret_found, bool *ret_more)
{
    size_t len = 0;
    bool in_quotes = false;

    *ret_found = false;
    *ret_more = false;
    ret_word->quoted = false;
    while (is_blank(*c->at) || *c->at == ',') {
        c->at++;
    }
    for (; in_quotes ? *c->at != '\0' : !ends_line(*c->at) && !is_blank(*c->at); c->at++) {
        if (*c->at == ',' && !in_quotes) {
            *ret_more = true;
            c->at++;
            break;
        }
        *ret_found = true;
        if (*c->at == '"') {
            in_quotes = !in_quotes;
            ret_word->quoted = ret_word->quoted || len == 0;
            continue;
        }
        if (len == WORD_BYTES - 1) {
            return error_set(c->err, ERR_INVALID, "a word of more than %d bytes", WORD_BYTES - 1);
        }
        ret_word->text[len++] = *c->at;
    }
    ret_word->text[len] = '\0';
    return in_quotes ? error_set(c->err, ERR_INVALID, "a quotation mark without its partner") : 0;
}

/* Behind the '[' of a bracket expression; NULL: it is not closed. */
static const char *skip_bracket(const char *at)
{
    at += *at == '^' ? 1 : 0;
    at += *at == ']' ? 1 : 0; /* the first one stands for itself */
    while (*at != '\0' && *at != ']') {
        if (*at == '[' && at[1] != '\0' && strchr(":.=", at[1]) != NULL) {
            const char end[] = {at[1], ']', '\0'}; /* of [:alpha:] and the like */
            at = strstr(at + 2, end);
            if (at == NULL) {
                return NULL;
            }
            at++;
        } else if (*at == '\\' && at[1] != '\0') {
            at++;
        }
        at++;
    }
    return *at == ']' ? at + 1 : NULL;
}

/* Never compiled here: forty bytes can cost a compiler seconds and gigabytes, and the dialect is
 * PostgreSQL's. What a slip of the pen leaves open is told, since no server starts with it. */
static bool is_paired(const char *at)
{
    size_t depth = 0;
    bool other = strncmp(at, "***", 3) == 0 || strstr(at, "(?#") != NULL ||
                 (strncmp(at, "(?", 2) == 0 && isalpha((unsigned char)at[2]));
    if (other) { /* another dialect, or comments: they pair otherwise */
        return true;
    }
    while (*at != '\0') {
        char c = *at++;
        if (c == '[') {
            at = skip_bracket(at);
        } else if (c == '\\') {
            at = *at == '\0' ? NULL : at + 1;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && depth-- == 0) {
            return false;
        }
        if (at == NULL) {
            return false;
        }
    }
    return depth == 0;
}

/* A word of the list of a field, which may stand for more than itself. */
static int check_name(const struct cursor *c, const struct word *word)
{
    if (!c->everywhere || word->quoted) {
        return 0;
    }
    if (word->text[0] == '@') {
        return error_set(c->err, ERR_INVALID,
                         "'%.80s' names a file, which not every member has: name what is in it",
                         word->text);
    }
    if (word->text[0] != '/') {
        return 0;
    }
    if (word->text[1] == '\0') {
        return error_set(c->err, ERR_INVALID,
                         "'/' is an empty regular expression, which fits every name: give one");
    }
    return is_paired(word->text + 1)
               ? 0
               : error_set(c->err, ERR_INVALID,
                           "'%.80s' is no regular expression: close every ( and [, and let no "
                           "backslash be the last",
                           word->text);
}

/* How much of a word that stands in a wrong place is shown: an option that came there may be
 * ldapbindpasswd=..., and what is told of a line is seen by more than its author. */
static int shown(const char *text)
{
    size_t len = strcspn(text, "=");
    return (int)(len < SHOWN_MAX ? len : SHOWN_MAX);
}

/* A field with at least one word. `what` names it. */
static int field_of_names(struct cursor *c, const char *what)
{
    struct word word;
    bool found = false;
    bool more = true;
    int rc = 0;
    for (size_t count = 0; rc == 0 && more; count++) {
        rc = next_word(c, &word, &found, &more);
        if (rc == 0 && !found && count == 0) {
            rc = error_set(c->err, ERR_INVALID, "ends before %s", what);
        }
        rc = rc != 0 || !found ? rc : check_name(c, &word);
    }
    return rc;
}

/* A field of one word; *ret_found false at the end of the line. */
static int field_of_one(struct cursor *c, const char *what, struct word *ret_word, bool *ret_found)
{
    bool more = false;
    int rc = next_word(c, ret_word, ret_found, &more);
    return rc == 0 && more
               ? error_set(c->err, ERR_INVALID, "more than one value where %s stands", what)
               : rc;
}

static int needed_field(struct cursor *c, const char *what, struct word *ret_word)
{
    bool found = false;
    int rc = field_of_one(c, what, ret_word, &found);
    return rc == 0 && !found ? error_set(c->err, ERR_INVALID, "ends before %s", what) : rc;
}

/* --- addresses -------------------------------------------------------------------------------- */

enum family { FAMILY_NONE, FAMILY_4, FAMILY_6 };

/* As inet_pton takes them, which this room does not have. */
static bool is_ip4(const char *text)
{
    for (int part = 0; part < 4; part++) {
        size_t digits = strspn(text, "0123456789");
        bool right = digits > 0 && digits <= 3 && (digits == 1 || text[0] != '0') &&
                     strtol(text, NULL, 10) <= 255;
        if (!right || text[digits] != (part < 3 ? '.' : '\0')) {
            return false;
        }
        text += digits + 1;
    }
    return true;
}

static bool is_ip6(const char *text)
{
    int groups = 0;
    bool gap = strncmp(text, "::", 2) == 0;
    text += gap ? 2 : 0;
    while (*text != '\0' && groups < 8) {
        size_t digits = strspn(text, "0123456789abcdefABCDEF");
        if (text[digits] == '.' && groups <= 6 && is_ip4(text)) {
            groups += 2;
            text += strlen(text);
            break;
        }
        if (digits == 0 || digits > 4) {
            return false;
        }
        groups++;
        text += digits;
        if (strncmp(text, "::", 2) == 0) {
            if (gap) {
                return false;
            }
            gap = true;
            text += 2;
        } else if (*text == ':' && text[1] != '\0') {
            text++;
        } else if (*text != '\0') {
            return false;
        }
    }
    return *text == '\0' && (gap ? groups < 8 : groups == 8);
}

static enum family family_of(const char *text)
{
    return is_ip4(text) ? FAMILY_4 : is_ip6(text) ? FAMILY_6 : FAMILY_NONE;
}

/* What getaddrinfo takes for a number, and we do not: 10.1, 1.2.3.999, fe80::1%eth0. */
static bool looks_like_address(const char *text)
{
    const char *last = strrchr(text, '.');
    last = last == NULL ? text : last + 1;
    return strchr(text, ':') != NULL || isdigit((unsigned char)*last);
}

static int check_mask_field(struct cursor *c, enum family family, const char *address)
{
    struct word mask;
    int rc = needed_field(c, "the mask of the address", &mask);
    if (rc == 0 && family_of(mask.text) != family) {
        rc = error_set(c->err, ERR_INVALID,
                       "'%.*s' is no mask for %.80s: give %.80s/%d for it alone", shown(mask.text),
                       mask.text, address, address, family == FAMILY_4 ? 32 : 128);
    }
    return rc;
}

static int check_bits(const struct cursor *c, enum family family, const char *bits)
{
    char *end = NULL;
    long most = family == FAMILY_4 ? 32 : 128;
    long number = strtol(bits, &end, 10);
    return end == bits || *end != '\0' || number < 0 || number > most
               ? error_set(c->err, ERR_INVALID, "'/%.*s' is no length of a mask: give 0 to %ld",
                           shown(bits), bits, most)
               : 0;
}

static int field_of_address(struct cursor *c)
{
    struct word word;
    int rc = needed_field(c, "an address", &word);
    bool keyword =
        !word.quoted && (strcmp(word.text, "all") == 0 || strcmp(word.text, "samehost") == 0 ||
                         strcmp(word.text, "samenet") == 0);
    if (rc != 0 || keyword) {
        return rc;
    }
    char *slash = strchr(word.text, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    enum family family = family_of(word.text);
    if (family == FAMILY_NONE && (slash != NULL || looks_like_address(word.text))) {
        return error_set(c->err, ERR_INVALID,
                         "'%.*s' is no IP address: give one such as 10.0.0.0/8, a host name "
                         "without '/', or all",
                         shown(word.text), word.text);
    }
    if (family == FAMILY_NONE) {
        return 0; /* a name: it is looked up when somebody connects */
    }
    return slash != NULL ? check_bits(c, family, slash + 1)
                         : check_mask_field(c, family, word.text);
}

/* --- methods ---------------------------------------------------------------------------------- */

enum { LOCAL = 1, HOST = 2, SSL = 4, GSS = 8, ANY = LOCAL | HOST | SSL | GSS };

static const struct {
    const char *name;
    unsigned kind;
} kinds[] = {{"local", LOCAL},    {"host", HOST},      {"hostssl", SSL},
             {"hostnossl", HOST}, {"hostgssenc", GSS}, {"hostnogssenc", HOST}};

/* `options`: names with a space between them. */
static const struct method {
    const char *name;
    unsigned kinds;
    const char *options;
    const char *needs; /* one of them has to be there; NULL = none */
} methods[] = {
    {"trust", ANY, "", NULL},
    {"reject", ANY, "", NULL},
    {"password", ANY, "", NULL},
    {"md5", ANY, "", NULL},
    {"scram-sha-256", ANY, "", NULL},
    {"ident", ANY, "map", NULL},
    {"peer", LOCAL, "map", NULL},
    {"cert", SSL, "map", NULL},
    {"gss", HOST | SSL | GSS, "map include_realm krb_realm", NULL},
    {"pam", ANY, "pamservice pam_use_hostname", NULL},
    {"ldap", ANY,
     "ldapserver ldapport ldaptls ldapscheme ldapprefix ldapsuffix ldapbasedn ldapbinddn "
     "ldapbindpasswd ldapsearchattribute ldapsearchfilter ldapurl",
     "ldapbasedn ldapprefix ldapsuffix ldapurl"},
    {"radius", ANY, "radiusservers radiussecrets radiusports radiusidentifiers", "radiusservers"},
};

static bool is_among(const char *names, const char *name, size_t len)
{
    for (const char *at = names; *at != '\0';) {
        size_t word = strcspn(at, " ");
        if (word == len && strncmp(at, name, len) == 0) {
            return true;
        }
        at += word + (at[word] == ' ' ? 1 : 0);
    }
    return false;
}

/* Told by its number: behind a password with a space stands the rest of that password. */
static int check_option(const struct cursor *c, const struct method *method, unsigned kind,
                        const char *option, size_t number, bool *needed)
{
    size_t len = strcspn(option, "=");
    const char *value = option + len + 1;
    if (option[len] == '\0') {
        return error_set(c->err, ERR_INVALID,
                         "word %zu behind the method is no option: give name=value, in quotation "
                         "marks where it has spaces",
                         number);
    }
    *needed = *needed || (method->needs != NULL && is_among(method->needs, option, len));
    if (kind == SSL && len == strlen("clientcert") && strncmp(option, "clientcert", len) == 0) {
        return strcmp(value, "verify-full") == 0 ||
                       (strcmp(value, "verify-ca") == 0 && strcmp(method->name, "cert") != 0)
                   ? 0
                   : error_set(c->err, ERR_INVALID, "clientcert=%.40s: give verify-full%s", value,
                               strcmp(method->name, "cert") != 0 ? ", or verify-ca" : "");
    }
    if (kind == SSL && len == strlen("clientname") && strncmp(option, "clientname", len) == 0) {
        return strcmp(value, "CN") == 0 || strcmp(value, "DN") == 0
                   ? 0
                   : error_set(c->err, ERR_INVALID, "clientname=%.40s: give CN or DN", value);
    }
    return is_among(method->options, option, len)
               ? 0
               : error_set(c->err, ERR_INVALID,
                           "word %zu behind the method is no option of method %s here", number,
                           method->name);
}

static int check_options(struct cursor *c, const struct method *method, unsigned kind)
{
    struct word word;
    bool found = true;
    bool needed = method->needs == NULL;
    int rc = 0;
    for (size_t number = 1; rc == 0 && found; number++) {
        bool more = false;
        rc = next_word(c, &word, &found, &more);
        rc = rc != 0 || !found ? rc : check_option(c, method, kind, word.text, number, &needed);
    }
    return rc == 0 && !needed
               ? error_set(c->err, ERR_INVALID, "method %s needs one of the options %s",
                           method->name, method->needs)
               : rc;
}

static int check_method(struct cursor *c, unsigned kind)
{
    struct word word;
    int rc = needed_field(c, "the method", &word);
    for (size_t i = 0; rc == 0 && i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(word.text, methods[i].name) != 0) {
            continue;
        }
        if ((methods[i].kinds & kind) == 0) {
            return error_set(c->err, ERR_INVALID, "method %s does not go with this kind of line",
                             word.text);
        }
        if (c->everywhere && strcmp(word.text, "radius") == 0) { /* the name has to be found */
            return error_set(c->err, ERR_INVALID,
                             "method radius looks its servers up when the file is read: give it in "
                             "each member's file");
        }
        return check_options(c, &methods[i], kind);
    }
    return rc != 0 ? rc
                   : error_set(c->err, ERR_INVALID,
                               "'%.*s' is no method: give one such as scram-sha-256, md5, cert, "
                               "peer, trust or reject",
                               shown(word.text), word.text);
}

/* --- lines ------------------------------------------------------------------------------------ */

static int check_text(const char *line, struct error *err)
{
    size_t len = strlen(line);
    if (!pg_conf_is_line(line) || len > LINE_MAX) {
        return error_set(err, ERR_INVALID,
                         "a line break, a control character, or more than %d bytes", LINE_MAX);
    }
    return len > 0 && line[len - 1] == '\\'
               ? error_set(err, ERR_INVALID,
                           "a backslash at its end would join it with the next one: take it out")
               : 0;
}

static int check_include(const struct cursor *c, const char *word)
{
    return c->everywhere
               ? error_set(c->err, ERR_INVALID,
                           "'%s' names a file, which not every member has: give the lines", word)
               : 0;
}

static bool is_include(const struct word *word)
{
    return !word->quoted &&
           is_among("include include_if_exists include_dir", word->text, strlen(word->text));
}

int pg_hba_line_check(const char *line, bool everywhere, struct error *err)
{
    struct cursor c = {.at = line, .everywhere = everywhere, .err = err};
    struct word word;
    bool found = false;
    unsigned kind = 0;
    int rc = check_text(line, err);
    rc = rc != 0 ? rc : field_of_one(&c, "the kind", &word, &found);
    if (rc != 0 || !found) {
        return rc;
    }
    if (is_include(&word)) {
        return check_include(&c, word.text);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        kind = strcmp(kinds[i].name, word.text) == 0 ? kinds[i].kind : kind;
    }
    if (kind == 0) {
        return error_set(err, ERR_INVALID,
                         "'%.*s' is no kind of line: give local, host, hostssl, hostnossl, "
                         "hostgssenc or hostnogssenc",
                         shown(word.text), word.text);
    }
    rc = field_of_names(&c, "a database");
    rc = rc != 0 ? rc : field_of_names(&c, "a user");
    rc = rc != 0 || kind == LOCAL ? rc : field_of_address(&c);
    return rc != 0 ? rc : check_method(&c, kind);
}

int pg_ident_line_check(const char *line, bool everywhere, struct error *err)
{
    static const char *const fields[] = {"the map", "the name of the system", "the role"};
    struct cursor c = {.at = line, .everywhere = everywhere, .err = err};
    struct word word;
    bool found = false;
    int rc = check_text(line, err);
    rc = rc != 0 ? rc : field_of_one(&c, fields[0], &word, &found);
    if (rc != 0 || !found) {
        return rc;
    }
    if (is_include(&word)) {
        return check_include(&c, word.text);
    }
    for (size_t i = 1; rc == 0 && i < sizeof fields / sizeof fields[0]; i++) {
        rc = needed_field(&c, fields[i], &word);
        rc = rc != 0 || i != 1 ? rc : check_name(&c, &word);
    }
    return rc;
}
