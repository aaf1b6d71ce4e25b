#include "agent/cli/import_source.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define URL_WORDS \
    "give etcd3://HOST:PORT, etcd://HOST:PORT, http://HOST:PORT or a configuration file"

void import_source_free(struct import_source *source)
{
    for (size_t i = 0; i < source->url_count; i++) {
        mem_free(source->urls[i]);
    }
    mem_free(source->path);
    mem_free(source->scope);
    *source = (struct import_source){0};
}

/* A word with a port and no slash is an address; everything else without a scheme is a file. */
static bool is_file(const char *from)
{
    return strstr(from, "://") == NULL && (strchr(from, '/') != NULL || strchr(from, ':') == NULL);
}

/* "/db/postgres" -> "/db" and "postgres". */
static int split_prefix(const char *prefix, char **ret_namespace, char **ret_scope,
                        struct error *err)
{
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    size_t at = len;
    while (at > 0 && prefix[at - 1] != '/') {
        at--;
    }
    if (prefix[0] != '/' || at == len || strpbrk(prefix, "?#") != NULL) {
        return error_set(err, ERR_INVALID,
                         "--prefix '%.200s' is none: give /NAMESPACE/SCOPE, as /db/postgres",
                         prefix);
    }
    *ret_namespace = mem_strndup(prefix, at);
    *ret_scope = mem_strndup(prefix + at, len - at);
    return 0;
}

static void add(struct import_source *source, const char *api, const char *host, size_t host_len,
                const char *namespace_)
{
    char *where = mem_strndup(host, host_len);
    source->api[source->url_count] = api;
    source->urls[source->url_count++] =
        mem_printf("%s://%s%s%s", api, where, namespace_[0] == '/' ? "" : "/", namespace_);
    mem_free(where);
}

static int parse_url(const char *from, const char *namespace_, struct import_source *source,
                     struct error *err)
{
    static const struct {
        const char *scheme;
        const char *apis[IMPORT_SOURCES_MAX];
    } schemes[] = {{"etcd3://", {"etcd3", NULL}},
                   {"etcd://", {"etcd", NULL}},
                   {"http://", {"etcd3", "etcd"}},
                   {"", {"etcd3", "etcd"}}};
    size_t at = 0;
    while (strncmp(from, schemes[at].scheme, strlen(schemes[at].scheme)) != 0) {
        at++;
    }
    const char *host = from + strlen(schemes[at].scheme);
    size_t host_len = strcspn(host, "/");
    if (strncmp(from, "https://", strlen("https://")) == 0) {
        return error_set(err, ERR_UNSUPPORTED,
                         "--from '%.200s': for TLS give the configuration file of a member, which "
                         "says which certificates are right",
                         from);
    }
    if (host_len == 0 || host[host_len + strspn(host + host_len, "/")] != '\0' ||
        strstr(host, "://") != NULL || strpbrk(host, "?#@") != NULL) {
        return error_set(err, ERR_INVALID, "--from '%.200s' is no address: " URL_WORDS, from);
    }
    for (size_t i = 0; i < IMPORT_SOURCES_MAX && schemes[at].apis[i] != NULL; i++) {
        add(source, schemes[at].apis[i], host, host_len, namespace_);
    }
    return 0;
}

int import_source_parse(const char *from, const char *prefix, const char *namespace_,
                        struct import_source *ret_source, struct error *err)
{
    char *own = NULL;
    int rc = 0;
    *ret_source = (struct import_source){0};
    if (from[0] == '\0') {
        return error_set(err, ERR_INVALID, "--from is empty: " URL_WORDS);
    }
    if (is_file(from)) {
        ret_source->path = mem_strdup(from);
        rc = prefix == NULL ? 0
                            : error_set(err, ERR_INVALID,
                                        "--prefix goes with an address: a configuration file has "
                                        "'namespace' and 'scope'");
    } else {
        rc = prefix == NULL ? 0 : split_prefix(prefix, &own, &ret_source->scope, err);
        rc = rc != 0 ? rc : parse_url(from, own != NULL ? own : namespace_, ret_source, err);
    }
    mem_free(own);
    if (rc != 0) {
        import_source_free(ret_source);
    }
    return rc;
}
