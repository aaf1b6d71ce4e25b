/* `etcd` (its v2 API) and `etcd3`: where a real etcd is. The same keys as Patroni's: `proxy` before
 * `srv`, and of the addresses that count when SRV records give none, `url` before `hosts` before
 * `host`. */
#include "agent/config/sections.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define ETCD_PORT        2379
#define SRV_DOMAIN_BYTES 180 /* with the longest kind and suffix a name of DNS: 255 at most */
#define SRV_SUFFIX_BYTES 40  /* and a label: 63 at most */

static int add_url(const struct reader *r, const struct section *s, const char *key,
                   const char *protocol, const struct config_address *address,
                   struct config_etcd *etcd)
{
    if (etcd->url_count == CONFIG_ETCD_URLS_MAX) {
        return reader_fail(r, s, key, "has more than %d addresses: give fewer",
                           CONFIG_ETCD_URLS_MAX);
    }
    etcd->urls[etcd->url_count++] =
        config_keep_text(r->memory, mem_printf("%s://%s", protocol, address->text));
    return 0;
}

/* `port` goes for the hosts that name none. */
static int add_host(const struct reader *r, const struct section *s, const char *key,
                    const char *protocol, const char *text, struct config_etcd *etcd)
{
    struct config_address address = {0};
    struct error why = {0};
    int port = ETCD_PORT;
    bool of_url = strcmp(key, "url") == 0 || strcmp(key, "proxy") == 0;
    if (!of_url && reader_int(r, s, "port", 1, UINT16_MAX, &port) != 0) {
        return ERR_INVALID;
    }
    if (config_address_parse(text, (uint16_t)port, &address, &why) != 0) {
        return reader_fail(r, s, key, "%s", why.text);
    }
    bool two = strcmp(key, "host") == 0 && reader_get(s, "port") != NULL && address.port != port;
    int rc = two ? reader_fail(r, s, "port", "is %d, and 'host' has port %u: give one of them",
                               port, address.port)
                 : add_url(r, s, key, protocol, &address, etcd);
    mem_free((void *)(uintptr_t)address.text);
    mem_free((void *)(uintptr_t)address.host);
    return rc;
}

static int add_hosts(const struct reader *r, const struct section *s, const char *protocol,
                     struct config_etcd *etcd)
{
    const json_t *list = reader_get(s, "hosts");
    int rc = 0;
    if (json_is_string(list)) { /* "a:2379, b:2379" */
        char *text = mem_strdup(json_string_value(list));
        char *rest = NULL;
        for (char *part = strtok_r(text, ", ", &rest); rc == 0 && part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            rc = add_host(r, s, "hosts", protocol, part, etcd);
        }
        mem_free(text);
        return rc;
    }
    if (!json_is_array(list)) {
        return reader_fail(r, s, "hosts",
                           "is no list: give a list such as ['10.0.0.4:2379', '10.0.0.5:2379']");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = text != NULL
                 ? add_host(r, s, "hosts", protocol, text, etcd)
                 : reader_fail(r, s, "hosts", "its item %zu is no text: give host:port", i + 1);
    }
    return rc;
}

/* %41 -> A. What is no escape stays. NULL: a NUL character, which would cut it. */
static char *unescape(const char *text, size_t len)
{
    char *plain = mem_alloc(len + 1);
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        if (text[i] == '%' && i + 2 < len && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            for (size_t j = 1; j <= 2; j++) {
                int digit = tolower((unsigned char)text[i + j]);
                byte = byte * 16 + (unsigned)(isdigit(digit) ? digit - '0' : digit - 'a' + 10);
            }
            if (byte == 0) {
                mem_free(plain);
                return NULL;
            }
            plain[used++] = (char)byte;
            i += 2;
        } else {
            plain[used++] = text[i];
        }
    }
    return plain;
}

static int read_userinfo(const struct reader *r, const struct section *s, const char *key,
                         const char *start, const char *end, struct config_etcd *etcd)
{
    const char *colon = memchr(start, ':', (size_t)(end - start));
    char *username = unescape(start, (size_t)((colon != NULL ? colon : end) - start));
    char *password = colon != NULL ? unescape(colon + 1, (size_t)(end - colon - 1)) : NULL;
    etcd->username = config_keep_text(r->memory, username);
    etcd->password.hidden = config_keep_text(r->memory, password);
    return username != NULL && (password != NULL || colon == NULL)
               ? 0
               : reader_fail(r, s, key, "has %%00 in its name or password: leave it out");
}

/* scheme://[user[:password]@]host[:port][/] */
static int read_url(const struct reader *r, const struct section *s, const char *key,
                    const char *url, struct config_etcd *etcd)
{
    const char *protocol = strncmp(url, "https://", 8) == 0 ? "https" : "http";
    size_t scheme_len = strlen(protocol) + 3;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return reader_fail(r, s, key,
                           "is no URL of http or https: give one such as http://10.0.0.4:2379");
    }
    const char *at = strrchr(url, '@');
    const char *host = url + scheme_len;
    int rc = at != NULL ? read_userinfo(r, s, key, host, at, etcd) : 0;
    if (rc != 0) {
        return rc;
    }
    host = at != NULL ? at + 1 : host;
    size_t len = strcspn(host, "/?#");
    if (host[len] != '\0' && strcmp(host + len, "/") != 0) {
        return reader_fail(r, s, key, "has a path behind host and port: leave it out");
    }
    char *text = mem_strndup(host, len);
    rc = add_host(r, s, key, protocol, text, etcd);
    mem_free(text);
    return rc;
}

static int read_addresses(const struct reader *r, const struct section *s, struct config_etcd *etcd)
{
    const char *protocol = "http";
    const char *url = NULL;
    const char *host = NULL;
    int rc = reader_text(r, s, "protocol", READER_OPTIONAL, &protocol);
    if (rc == 0 && strcmp(protocol, "http") != 0 && strcmp(protocol, "https") != 0) {
        return reader_fail(r, s, "protocol", "'%.40s' is none: give http or https", protocol);
    }
    rc = rc != 0 ? rc : reader_text(r, s, "proxy", READER_OPTIONAL, &url);
    if (rc == 0 && url != NULL) {
        etcd->use_proxies = true;
        return read_url(r, s, "proxy", url, etcd);
    }
    rc = rc != 0 ? rc : reader_text(r, s, "url", READER_OPTIONAL, &url);
    if (rc == 0 && url != NULL) {
        return read_url(r, s, "url", url, etcd);
    }
    if (rc == 0 && reader_get(s, "hosts") != NULL) {
        return add_hosts(r, s, protocol, etcd);
    }
    rc = rc != 0 ? rc : reader_text(r, s, "host", READER_OPTIONAL, &host);
    return rc != 0 || host == NULL ? rc : add_host(r, s, "host", protocol, host, etcd);
}

static bool is_name(const char *text, size_t bytes_max, const char *more)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr(more, text[i]) == NULL) {
            return false;
        }
    }
    return len > 0 && len <= bytes_max;
}

/* No label is empty or longer than 63; a dot may stand at the end. */
static bool is_domain(const char *text)
{
    size_t label = 0;
    for (const char *at = text; *at != '\0'; at++) {
        label = *at == '.' ? 0 : label + 1;
        if ((*at == '.' && (at == text || at[-1] == '.')) || label > 63) {
            return false;
        }
    }
    return is_name(text, SRV_DOMAIN_BYTES, "-_.");
}

/* `srv` and the two older names for it. */
static int read_srv(const struct reader *r, const struct section *s, struct config_etcd *etcd)
{
    static const char *const names[] = {"srv", "discovery_srv", "srv_domain"};
    const char *given = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++) {
        const char *domain = NULL;
        rc = reader_text(r, s, names[i], READER_OPTIONAL, &domain);
        if (rc != 0 || domain == NULL) {
            continue;
        }
        if (given != NULL) {
            return reader_fail(r, s, names[i], "says the same as '%s': give one of them", given);
        }
        if (!is_domain(domain)) {
            return reader_fail(r, s, names[i], "'%.40s' is no domain: give one such as example.org",
                               domain);
        }
        given = names[i];
        etcd->srv = domain;
    }
    rc = rc != 0 ? rc : reader_text(r, s, "srv_suffix", READER_OPTIONAL, &etcd->srv_suffix);
    if (rc == 0 && etcd->srv_suffix != NULL && !is_name(etcd->srv_suffix, SRV_SUFFIX_BYTES, "-_")) {
        return reader_fail(r, s, "srv_suffix",
                           "'%.40s' is no part of a name: give up to %d letters, digits and '-'",
                           etcd->srv_suffix, SRV_SUFFIX_BYTES);
    }
    if (rc == 0 && reader_get(s, "proxy") != NULL) {
        etcd->srv = NULL; /* the proxy is the one address */
    }
    return rc;
}

int section_etcd(const struct reader *r, const struct config_source *source,
                 const struct section *top, struct config *c)
{
    struct section s;
    struct config_etcd *etcd = &c->etcd;
    const char *name = c->store == CONFIG_STORE_ETCD2 ? "etcd" : "etcd3";
    int rc = reader_section(r, top, name, name, &s);
    rc = rc != 0 ? rc : reader_bool(r, &s, "use_proxies", &etcd->use_proxies);
    rc = rc != 0 ? rc : read_addresses(r, &s, etcd);
    rc = rc != 0 ? rc : read_srv(r, &s, etcd);
    rc = rc != 0 ? rc : reader_text(r, &s, "username", READER_OPTIONAL, &etcd->username);
    rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &etcd->password.hidden);
    rc = rc != 0 ? rc : reader_path(r, &s, "cacert", source->cwd, READER_OPTIONAL, &etcd->cacert);
    rc = rc != 0 ? rc : reader_path(r, &s, "cert", source->cwd, READER_OPTIONAL, &etcd->cert);
    rc = rc != 0 ? rc : reader_path(r, &s, "key", source->cwd, READER_OPTIONAL, &etcd->key);
    if (rc != 0) {
        return rc;
    }
    if (etcd->url_count == 0 && etcd->srv == NULL) {
        return reader_fail(r, &s, "hosts",
                           "names nobody: give the addresses of etcd, such as ['10.0.0.4:2379']");
    }
    if ((etcd->username == NULL) != (etcd->password.hidden == NULL)) {
        return reader_fail(r, &s, etcd->username == NULL ? "username" : "password",
                           "is not there, and the other one is: give both or none");
    }
    if (etcd->key != NULL && etcd->cert == NULL) {
        return reader_fail(r, &s, "key",
                           "is there without 'cert': give the certificate that it belongs to");
    }
    return 0;
}
