#include "agent/config/dcs_url.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static int refuse(const char *url, const char *why, struct error *err)
{
    return error_set(err, ERR_INVALID,
                     "--dcs-url '%.200s' %s: give etcd3://host:port/namespace, or etcd://", url,
                     why);
}

static bool is_scheme(const char *url, size_t len, const char *scheme)
{
    return len == strlen(scheme) && strncmp(url, scheme, len) == 0;
}

int dcs_url_apply(json_t *tree, const char *url, struct error *err)
{
    static const char *const stores[] = {"raft",      "etcd",      "etcd3",     "consul",
                                         "zookeeper", "exhibitor", "kubernetes"};
    const char *slashes = strstr(url, "://");
    size_t scheme_len = slashes != NULL ? (size_t)(slashes - url) : 0;
    bool v3 = slashes != NULL && is_scheme(url, scheme_len, "etcd3");
    if (slashes != NULL && !v3 && !is_scheme(url, scheme_len, "etcd")) {
        return refuse(url, "has another scheme than the two that are served", err);
    }
    const char *host = slashes != NULL ? slashes + strlen("://") : url;
    size_t host_len = strcspn(host, "/");
    if (host_len == 0) {
        return refuse(url, "names no host", err);
    }
    if (memchr(host, '@', host_len) != NULL || strpbrk(host, "?#") != NULL) {
        return refuse(url, "has more than host, port and namespace", err);
    }
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++) {
        (void)json_object_del(tree, stores[i]);
    }
    char *text = mem_strndup(host, host_len);
    (void)json_object_set_new(tree, v3 ? "etcd3" : "etcd", json_pack("{s:s}", "host", text));
    mem_free(text);
    if (strspn(host + host_len, "/") < strlen(host + host_len)) {
        (void)json_object_set_new(tree, "namespace", json_string(host + host_len));
    }
    return 0;
}
