/* `etcd_server`: etcd's client API from our own store, on a port of its own. */
#include "agent/config/sections.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

#define ETCD_PORT      2379
#define URLS_BYTES_MAX 511 /* what the group keeps of a member's URLs */

/* scheme://host:port. Clients use nothing else once they have asked for the members, so each has to
 * be whole. */
static int check_url(const struct reader *r, const struct section *s, const char *url, bool tls)
{
    static const char right[] = "http://10.0.0.1:2379";
    static const char right_tls[] = "https://10.0.0.1:2379";
    const char *example = tls ? right_tls : right;
    bool https = strncmp(url, "https://", 8) == 0;
    if (!https && strncmp(url, "http://", 7) != 0) {
        return reader_fail(r, s, "advertise", "'%.100s' has no scheme: give a URL such as %s", url,
                           example);
    }
    const char *place = url + (https ? 8 : 7);
    if (strpbrk(place, "/?#@, ") != NULL) {
        return reader_fail(r, s, "advertise",
                           "'%.100s' has more than scheme, host and port: give a URL such as %s",
                           url, example);
    }
    if (tls && !https) {
        return reader_fail(r, s, "advertise",
                           "'%.100s' is plain http, and 'certfile' is given: give https", url);
    }
    struct config_address address = {0};
    struct error why = {0};
    if (address_parse(place, &(struct address_form){.usual_port = ETCD_PORT}, &address, &why) !=
        0) {
        return reader_fail(r, s, "advertise", "%s", why.text);
    }
    mem_free((void *)(uintptr_t)address.text);
    mem_free((void *)(uintptr_t)address.host);
    return 0;
}

static int add_url(const struct reader *r, const struct section *s, const char *url, bool tls,
                   struct buf *urls)
{
    int rc = check_url(r, s, url, tls);
    if (rc == 0) {
        buf_printf(urls, "%s%s", urls->len > 0 ? "," : "", url);
    }
    return rc;
}

static int add_urls(const struct reader *r, const struct section *s, const json_t *given, bool tls,
                    struct buf *urls)
{
    int rc = 0;
    if (json_is_string(given)) { /* "http://a:1,http://b:1", as etcd's own flag */
        char *text = mem_strdup(json_string_value(given));
        char *rest = NULL;
        for (char *part = strtok_r(text, ", ", &rest); rc == 0 && part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            rc = add_url(r, s, part, tls, urls);
        }
        mem_free(text);
        return rc;
    }
    if (!json_is_array(given)) {
        return reader_fail(r, s, "advertise",
                           "is neither a URL nor a list of them: give one such as "
                           "http://10.0.0.1:2379");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(given); i++) {
        const char *text = json_string_value(json_array_get(given, i));
        rc = text != NULL
                 ? add_url(r, s, text, tls, urls)
                 : reader_fail(r, s, "advertise", "its item %zu is no text: give a URL", i + 1);
    }
    return rc;
}

static int read_advertise(const struct reader *r, const struct section *s,
                          const struct config_raft *raft, struct config_etcd_server *e)
{
    const json_t *given = reader_get(s, "advertise");
    struct buf urls = BUF_INIT;
    int rc = given == NULL ? 0 : add_urls(r, s, given, e->certfile != NULL, &urls);
    if (rc == 0 && urls.len == 0) {
        const char *host = raft->self.host;
        buf_printf(&urls, strchr(host, ':') != NULL ? "%s://[%s]:%u" : "%s://%s:%u",
                   e->certfile != NULL ? "https" : "http", host, e->listen.port);
    }
    if (rc == 0 && urls.len > URLS_BYTES_MAX) {
        rc = reader_fail(r, s, "advertise", "is longer than %d bytes: give fewer or shorter URLs",
                         URLS_BYTES_MAX);
    }
    e->advertise = rc == 0 ? config_keep_text(r->memory, buf_take(&urls)) : NULL;
    buf_free(&urls);
    return rc;
}

static int read_tls(const struct reader *r, const struct config_source *source,
                    const struct section *s, struct config_etcd_server *e)
{
    int rc = reader_path(r, s, "certfile", source->cwd, READER_OPTIONAL, &e->certfile);
    rc = rc != 0 ? rc : reader_path(r, s, "keyfile", source->cwd, READER_OPTIONAL, &e->keyfile);
    rc = rc != 0 ? rc : reader_path(r, s, "cafile", source->cwd, READER_OPTIONAL, &e->cafile);
    rc = rc != 0 ? rc : reader_bool(r, s, "client_cert_auth", &e->client_cert_auth);
    if (rc != 0) {
        return rc;
    }
    const char *lonely = e->certfile != NULL   ? NULL
                         : e->keyfile != NULL  ? "keyfile"
                         : e->cafile != NULL   ? "cafile"
                         : e->client_cert_auth ? "client_cert_auth"
                                               : NULL;
    if (lonely != NULL) {
        return reader_fail(r, s, lonely,
                           "is given without 'certfile', and without that nothing is encrypted: "
                           "give the certificate of this host");
    }
    if (e->client_cert_auth && e->cafile == NULL) {
        return reader_fail(r, s, "client_cert_auth",
                           "is given without 'cafile': give the certificates that clients' ones "
                           "are signed by");
    }
    return 0;
}

static int read_user(const struct reader *r, const struct section *s, struct config_etcd_server *e)
{
    struct section user;
    int rc = reader_section(r, s, "authentication", "etcd_server.authentication", &user);
    rc = rc != 0 ? rc : reader_text(r, &user, "username", READER_OPTIONAL, &e->username);
    rc = rc != 0 ? rc : reader_text(r, &user, "password", READER_OPTIONAL, &e->password.hidden);
    if (rc != 0 || json_object_size(user.object) == 0) {
        return rc;
    }
    if (e->username == NULL || e->password.hidden == NULL) {
        return reader_fail(r, &user, e->username == NULL ? "username" : "password",
                           "is not there: give both, or no 'authentication'");
    }
    if (strchr(e->username, ':') != NULL) {
        return reader_fail(r, &user, "username",
                           "has a colon, which ends it in HTTP Basic: give a name without");
    }
    return 0;
}

int section_etcd_server(const struct reader *r, const struct config_source *source,
                        const struct section *top, struct config *c)
{
    struct section s;
    struct config_etcd_server *e = &c->etcd_server;
    int rc = reader_section(r, top, "etcd_server", "etcd_server", &s);
    if (rc != 0 || s.object == NULL) {
        return rc;
    }
    if (c->store != CONFIG_STORE_RAFT) {
        return reader_fail(r, top, "etcd_server",
                           "is given beside '%s': it serves the Raft group's store, and there is "
                           "none: take it out",
                           c->store == CONFIG_STORE_ETCD2 ? "etcd" : "etcd3");
    }
    if (c->raft.client) {
        return reader_fail(r, top, "etcd_server",
                           "is given, and raft.self_addr is not: it serves the store of a member, "
                           "and this node is a client of the group: take it out");
    }
    e->given = true;
    rc = reader_listener_one(r, &s, "listen", ETCD_PORT, READER_REQUIRED, &e->listen);
    rc = rc != 0 ? rc : read_tls(r, source, &s, e);
    rc = rc != 0 ? rc : read_advertise(r, &s, &c->raft, e);
    return rc != 0 ? rc : read_user(r, &s, e);
}
