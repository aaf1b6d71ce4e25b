/* `restapi` and `ctl`: who may ask the REST interface for what, and how we ask others'. Half of
 * such a thing would leave a door open that its owner thinks closed: so it is refused. */
#include "agent/config/sections.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 32, HEADERS_BYTES_MAX = 8192, USER_BYTES_MAX = 512 };

/* --- users and files -------------------------------------------------------------------------- */

/* `path` is that of the section; not given: both are left alone. */
static int read_user(const struct reader *r, const struct section *s, const char *path,
                     const char **ret_username, struct secret *ret_password)
{
    struct section user;
    const char *username = NULL;
    const char *password = NULL;
    int rc = reader_section(r, s, "authentication", path, &user);
    rc = rc != 0 ? rc : reader_text(r, &user, "username", READER_OPTIONAL, &username);
    rc = rc != 0 ? rc : reader_text(r, &user, "password", READER_OPTIONAL, &password);
    if (rc != 0 || json_object_size(user.object) == 0) {
        return rc;
    }
    if (username == NULL || password == NULL) {
        return reader_fail(r, &user, username == NULL ? "username" : "password",
                           "is not there: give both, or no 'authentication'");
    }
    if (strchr(username, ':') != NULL) {
        return reader_fail(r, &user, "username",
                           "has a colon, which ends it in HTTP Basic: give a name without");
    }
    if (strlen(username) + strlen(password) > USER_BYTES_MAX) {
        return reader_fail(r, &user, "password",
                           "is, with the name, longer than %d bytes: give a shorter one",
                           USER_BYTES_MAX);
    }
    *ret_username = username;
    ret_password->hidden = password;
    return 0;
}

static int read_files(const struct reader *r, const struct config_source *source,
                      const struct section *s, const char *authorities, struct config_tls *tls)
{
    int rc = reader_path(r, s, "certfile", source->cwd, READER_OPTIONAL, &tls->certfile);
    rc = rc != 0 ? rc : reader_path(r, s, "keyfile", source->cwd, READER_OPTIONAL, &tls->keyfile);
    rc = rc != 0 ? rc : reader_path(r, s, authorities, source->cwd, READER_OPTIONAL, &tls->cafile);
    rc = rc != 0 ? rc
                 : reader_text(r, s, "keyfile_password", READER_OPTIONAL,
                               &tls->keyfile_password.hidden);
    if (rc == 0 && tls->keyfile != NULL && tls->certfile == NULL) {
        return reader_fail(r, s, "keyfile",
                           "is given without 'certfile', and without that it has no use: give the "
                           "certificate that it belongs to");
    }
    return rc;
}

static int read_verify(const struct reader *r, const struct section *s, struct config_restapi *a)
{
    static const char *const words[] = {[CONFIG_VERIFY_NONE] = "none",
                                        [CONFIG_VERIFY_OPTIONAL] = "optional",
                                        [CONFIG_VERIFY_REQUIRED] = "required"};
    const json_t *value = reader_get(s, "verify_client");
    const char *text = json_is_false(value) ? "none" : json_string_value(value);
    size_t i = 0;
    if (value == NULL || (text != NULL && text[0] == '\0')) {
        return 0;
    }
    while (i < sizeof words / sizeof words[0] &&
           (text == NULL || strcasecmp(text, words[i]) != 0)) {
        i++;
    }
    if (i == sizeof words / sizeof words[0]) {
        return reader_fail(r, s, "verify_client",
                           "is none of its values: give 'none', 'optional' or 'required'");
    }
    a->verify = (enum config_verify)i;
    if (a->verify != CONFIG_VERIFY_NONE && (a->tls.certfile == NULL || a->tls.cafile == NULL)) {
        return reader_fail(r, s, "verify_client", "is '%s' without '%s': give %s, or 'none'",
                           words[i], a->tls.certfile == NULL ? "certfile" : "cafile",
                           a->tls.certfile == NULL
                               ? "the certificate of this host"
                               : "the file with the authority that signs clients' certificates");
    }
    return 0;
}

/* --- the allowlist ---------------------------------------------------------------------------- */

static int add_allowed(const struct reader *r, const struct section *s, const char *text,
                       struct config_restapi *a)
{
    if (a->allowlist_count == CONFIG_ALLOWLIST_MAX) {
        return reader_fail(r, s, "allowlist", "has more than %d entries: give networks",
                           CONFIG_ALLOWLIST_MAX);
    }
    a->allowlist[a->allowlist_count++] = config_keep_text(r->memory, mem_strdup(text));
    return 0;
}

static int read_allowlist(const struct reader *r, const struct section *s, struct config_restapi *a)
{
    const json_t *list = reader_get(s, "allowlist");
    int rc = reader_bool(r, s, "allowlist_include_members", &a->include_members);
    if (rc == 0 && json_is_string(list)) {
        char *text = mem_strdup(json_string_value(list));
        char *rest = NULL;
        for (char *part = strtok_r(text, ", ", &rest); rc == 0 && part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            rc = add_allowed(r, s, part, a);
        }
        mem_free(text);
        return rc;
    }
    if (rc == 0 && list != NULL && !json_is_array(list)) {
        return reader_fail(r, s, "allowlist",
                           "is no list: give addresses, networks and names of hosts, such as "
                           "['10.0.0.5', '10.1.0.0/16']");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = text != NULL
                 ? add_allowed(r, s, text, a)
                 : reader_fail(r, s, "allowlist",
                               "its item %zu is no text: give an address, a network or a name",
                               i + 1);
    }
    return rc;
}

/* --- headers ---------------------------------------------------------------------------------- */

static bool is_token(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

/* A second one would make the answer another message. */
static bool frames(const char *name)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                        "Keep-Alive",     "Upgrade",           "Trailer"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        found = found || strcasecmp(names[i], name) == 0;
    }
    return found;
}

static char *header_value(const json_t *value)
{
    bool plain = json_is_string(value);
    for (const char *at = plain ? json_string_value(value) : ""; *at != '\0'; at++) {
        plain = plain && !iscntrl((unsigned char)*at);
    }
    return plain                   ? mem_strdup(json_string_value(value))
           : json_is_string(value) ? NULL
           : json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY)
           : json_is_boolean(value)
               ? mem_strdup(json_is_true(value) ? "True" : "False") /* as Python prints it */
               : NULL;
}

static int check_headers(const struct reader *r, const struct section *s, const char *key,
                         const json_t *headers)
{
    const char *name;
    json_t *value;
    if (headers != NULL && !json_is_object(headers)) {
        return reader_fail(r, s, key, "is no mapping: give one such as {X-Frame-Options: deny}");
    }
    if (json_object_size(headers) > HEADERS_MAX) {
        return reader_fail(r, s, key, "has more than %d headers: give fewer", HEADERS_MAX);
    }
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (!is_token(name) || frames(name)) {
            return reader_fail(r, s, key, "'%.60s' %s: take it out", name,
                               is_token(name) ? "says how an answer is framed, which is ours to say"
                                              : "is no name of a header");
        }
        char *text = header_value(value);
        if (text == NULL) {
            return reader_fail(r, s, key, "the value of '%.60s' is no line of text: give one",
                               name);
        }
        mem_free(text);
    }
    return 0;
}

/* Those of HTTPS go over those of HTTP, and count only where that is spoken. */
static int read_headers(const struct reader *r, const struct section *s, struct config_restapi *a)
{
    const json_t *http = reader_get(s, "http_extra_headers");
    const json_t *https = reader_get(s, "https_extra_headers");
    int rc = check_headers(r, s, "http_extra_headers", http);
    rc = rc != 0 ? rc : check_headers(r, s, "https_extra_headers", https);
    if (rc != 0) {
        return rc;
    }
    struct buf lines = BUF_INIT;
    json_t *all = http != NULL ? json_copy((json_t *)(uintptr_t)http) : json_object();
    const char *name;
    json_t *value;
    if (https != NULL && a->tls.certfile != NULL) {
        (void)json_object_update(all, (json_t *)(uintptr_t)https);
    }
    json_object_foreach(all, name, value)
    {
        char *text = header_value(value);
        buf_printf(&lines, "%s: %s\r\n", name, text);
        mem_free(text);
    }
    json_decref(all);
    if (lines.len > HEADERS_BYTES_MAX) {
        rc = reader_fail(r, s, "http_extra_headers",
                         "has, with those of https, more than %d bytes: give fewer",
                         HEADERS_BYTES_MAX);
    } else if (lines.len > 0) {
        (void)buf_str(&lines);
        a->headers = config_keep_text(r->memory, buf_take(&lines));
    }
    buf_free(&lines);
    return rc;
}

/* What is none of the words is the default, as with Patroni. */
static int read_tokens(const struct reader *r, const struct section *s, struct config_restapi *a)
{
    const char *word = NULL;
    int rc = reader_text(r, s, "server_tokens", READER_OPTIONAL, &word);
    a->tokens = word == NULL                           ? CONFIG_TOKENS_ORIGINAL
                : strcasecmp(word, "minimal") == 0     ? CONFIG_TOKENS_MINIMAL
                : strcasecmp(word, "productonly") == 0 ? CONFIG_TOKENS_PRODUCT
                                                       : CONFIG_TOKENS_ORIGINAL;
    if (rc == 0 && word != NULL && a->tokens == CONFIG_TOKENS_ORIGINAL &&
        strcasecmp(word, "original") != 0) {
        reader_warn(r, s, "server_tokens",
                    "'%.40s' is none of 'Original', 'Minimal' and 'ProductOnly', and counts as the "
                    "first",
                    word);
    }
    return rc;
}

/* --- the sections ----------------------------------------------------------------------------- */

int section_restapi(const struct reader *r, const struct config_source *source,
                    const struct section *s, struct config *c)
{
    struct config_restapi *a = &c->restapi;
    a->ui = true;
    int rc = read_files(r, source, s, "cafile", &a->tls);
    rc = rc != 0 ? rc : reader_bool(r, s, "ui", &a->ui);
    rc = rc != 0 ? rc : reader_text(r, s, "ciphers", READER_OPTIONAL, &a->ciphers);
    rc = rc != 0 ? rc : read_verify(r, s, a);
    rc = rc != 0 ? rc : read_user(r, s, "restapi.authentication", &a->username, &a->password);
    rc = rc != 0 ? rc : read_allowlist(r, s, a);
    rc = rc != 0 ? rc : read_headers(r, s, a);
    return rc != 0 ? rc : read_tokens(r, s, a);
}

int section_ctl(const struct reader *r, const struct config_source *source,
                const struct section *top, struct config *c)
{
    struct section s;
    struct config_ctl *ctl = &c->ctl;
    int rc = reader_section(r, top, "ctl", "ctl", &s);
    ctl->username = c->restapi.username;
    ctl->password = c->restapi.password;
    rc = rc != 0 ? rc : read_files(r, source, &s, "cacert", &ctl->tls);
    rc = rc != 0 ? rc : reader_bool(r, &s, "insecure", &ctl->insecure);
    rc = rc != 0 ? rc : read_user(r, &s, "ctl.authentication", &ctl->username, &ctl->password);
    ctl->own_cacert = ctl->tls.cafile != NULL;
    if (ctl->tls.cafile == NULL) {
        ctl->tls.cafile = c->restapi.tls.cafile;
    }
    return rc;
}
