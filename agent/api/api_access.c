#include "agent/api/api_access.h"

#include "agent/api/api_names.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/net/http_basic.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

struct api_access {
    struct api_names *names;
    bool certificate_wanted;
    char *credentials; /* NULL = no password is asked for; wiped when it is freed */
    struct net_network networks[API_ALLOWED_MAX];
    size_t network_count;
    char *hosts[API_ALLOWED_MAX];
    size_t host_count;
    bool include_members;
    struct net_addr members[HA_MEMBERS_MAX];
    size_t member_count;
};

static void forget(struct api_access *access)
{
    if (access->credentials != NULL) {
        OPENSSL_cleanse(access->credentials, strlen(access->credentials));
    }
    mem_free(access->credentials);
    access->credentials = NULL;
    for (size_t i = 0; i < access->host_count; i++) {
        mem_free(access->hosts[i]);
    }
    access->host_count = 0;
    access->network_count = 0;
}

static void look_up(struct api_access *access)
{
    const char *hosts[API_ALLOWED_MAX + HA_MEMBERS_MAX];
    size_t count = 0;
    struct sockaddr_storage unused;
    for (size_t i = 0; i < access->host_count; i++) {
        hosts[count++] = access->hosts[i];
    }
    for (size_t i = 0; access->include_members && i < access->member_count; i++) {
        if (!net_addr_numeric(&access->members[i], &unused)) {
            hosts[count++] = access->members[i].host;
        }
    }
    api_names_set(access->names, hosts, count);
}

void api_access_set(struct api_access *access, const struct api_security *security)
{
    ASSERT(security->allowlist_count <= API_ALLOWED_MAX);
    forget(access);
    access->certificate_wanted = security->tls != NULL && security->certificate_wanted;
    access->credentials = mem_strdup(security->credentials);
    access->include_members = security->include_members;
    for (size_t i = 0; i < security->allowlist_count; i++) {
        const char *text = security->allowlist[i];
        if (net_network_parse(text, &access->networks[access->network_count], NULL) == 0) {
            access->network_count++;
        } else {
            access->hosts[access->host_count++] = mem_strdup(text);
        }
    }
    look_up(access);
}

/* "https://[::1]:8008/patroni": host and port are what an address is parsed of. */
static bool host_of(const char *url, struct net_addr *ret_host)
{
    char place[NET_ADDR_TEXT_BYTES];
    const char *host = strstr(url, "://");
    if (host == NULL) {
        return false;
    }
    host += 3;
    size_t len = strcspn(host, "/?#");
    return len < sizeof place && snprintf(place, sizeof place, "%.*s", (int)len, host) > 0 &&
           net_addr_parse(place, 1, ret_host, NULL) == 0;
}

void api_access_members(struct api_access *access, const struct ha_cluster *cluster)
{
    access->member_count = 0;
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (host_of(cluster->members[i].api_url, &access->members[access->member_count])) {
            access->member_count++;
        }
    }
    if (access->include_members) {
        look_up(access);
    }
}

static bool is_listed(const struct api_access *access, struct net_ip ip)
{
    bool found = false;
    for (size_t i = 0; i < access->network_count; i++) {
        found = found || net_network_has(&access->networks[i], ip);
    }
    for (size_t i = 0; i < access->host_count; i++) {
        found = found || api_names_has(access->names, access->hosts[i], ip);
    }
    return found;
}

static bool is_member(const struct api_access *access, struct net_ip ip)
{
    bool found = false;
    for (size_t i = 0; i < access->member_count; i++) {
        struct sockaddr_storage address;
        found = found || (net_addr_numeric(&access->members[i], &address)
                              ? net_ip_equal(net_ip_of((const struct sockaddr *)&address), ip)
                              : api_names_has(access->names, access->members[i].host, ip));
    }
    return found;
}

/* A primary without its store asks the members, and lives by their answer: where only members are
 * listed, and its address may not be known any more, the list does not count. Where others are,
 * too, members pass as everywhere; Patroni would refuse them. */
static bool is_allowed(const struct api_access *access, struct net_ip ip, bool by_member)
{
    bool listed = access->network_count + access->host_count > 0;
    bool members = access->include_members;
    if (!listed && (!members || by_member)) {
        return true;
    }
    return (listed && is_listed(access, ip)) || (members && is_member(access, ip));
}

int api_access_check(const struct api_access *access, const struct http1_exchange *exchange,
                     bool by_member, const char **ret_why)
{
    const struct stream_peer *peer = http1_request_peer(exchange);
    struct span given = http1_request_header(exchange, "Authorization");
    if (peer == NULL || !is_allowed(access, peer->ip, by_member)) {
        *ret_why = "this address is not allowed to change anything";
        return 403;
    }
    if (access->certificate_wanted && !peer->is_verified) {
        *ret_why = "a client certificate is required";
        return 403;
    }
    if (access->credentials != NULL && !http_basic_matches(given, access->credentials)) {
        *ret_why = given.data == NULL ? "name and password are required"
                                      : "these are not the right name and password";
        return 401;
    }
    return 0;
}

struct api_access *
api_access_new(uv_loop_t *loop,
               void (*on_lost)(void *arg, const char *host, const struct error *err), void *arg)
{
    struct api_access *access = mem_new(struct api_access);
    access->names = api_names_new(loop, on_lost, arg);
    return access;
}

void api_access_close(struct api_access *access, void (*closed)(void *arg), void *arg)
{
    api_names_close(access->names, closed, arg);
    forget(access);
    mem_free(access);
}
