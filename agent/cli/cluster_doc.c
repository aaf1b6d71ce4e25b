/* Patroni's members differ in what they publish: old ones have one position, new ones two, and the
 * connection comes as a URL or as parts. All of that ends here; above it there are only the fields
 * of the document. */
#include "agent/cli/cluster_doc.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MEMBERS_PREFIX "members/"
#define POSTGRES_PORT  5432
#define HOST_BYTES     256

struct roles {
    const char *leader; /* NULL = none */
    bool standby_cluster;
    bool sync;
    bool quorum;
    json_t *sync_key;
    int64_t leader_lsn;
};

json_t *cluster_doc_key(const struct dcs_view *view, const char *key)
{
    const struct dcs_kv *kv = view != NULL ? dcs_view_get(view, key) : NULL;
    return kv != NULL ? json_loadb(kv->value, kv->value_len, JSON_DECODE_ANY, NULL) : NULL;
}

const char *cluster_doc_text(const struct dcs_view *view, const char *key)
{
    const struct dcs_kv *kv = view != NULL ? dcs_view_get(view, key) : NULL;
    return kv != NULL ? kv->value : NULL;
}

/* What is no port is passed over: it is the usual one that is meant most often. */
static int port_of(int64_t number)
{
    return number >= 1 && number <= UINT16_MAX ? (int)number : POSTGRES_PORT;
}

/* "postgres://host:port/db", host in brackets if it is a v6 address. */
static bool url_host(const char *url, char *ret_host, int *ret_port)
{
    const char *host = strstr(url, "://");
    if (host == NULL) {
        return false;
    }
    host += 3;
    size_t authority = strcspn(host, "/?");
    const char *at = memchr(host, '@', authority);
    if (at != NULL) {
        authority -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    const char *end = host + authority;
    const char *close = host[0] == '[' ? memchr(host, ']', authority) : NULL;
    const char *start = close != NULL ? host + 1 : host;
    const char *host_end = close != NULL ? close : memchr(host, ':', authority);
    host_end = host_end != NULL ? host_end : end;
    size_t len = (size_t)(host_end - start);
    if (len == 0 || len >= HOST_BYTES) {
        return false;
    }
    memcpy(ret_host, start, len);
    ret_host[len] = '\0';
    const char *port = host_end + (close != NULL ? 1 : 0);
    *ret_port = port < end && *port == ':' ? port_of(strtol(port + 1, NULL, 10)) : POSTGRES_PORT;
    return true;
}

static void put_host(json_t *doc, const json_t *member)
{
    char host[HOST_BYTES];
    int port = 0;
    const json_t *kwargs = json_object_get(member, "conn_kwargs");
    const char *url = json_string_value(json_object_get(member, "conn_url"));
    const char *given = json_string_value(json_object_get(kwargs, "host"));
    if (given != NULL) {
        const json_t *value = json_object_get(kwargs, "port");
        const char *text = json_string_value(value);
        port = port_of(text != NULL ? strtoll(text, NULL, 10) : json_integer_value(value));
        (void)json_object_set_new(doc, "host", json_string(given));
        (void)json_object_set_new(doc, "port", json_integer(port));
    } else if (url != NULL && url_host(url, host, &port)) {
        (void)json_object_set_new(doc, "host", json_string(host));
        (void)json_object_set_new(doc, "port", json_integer(port));
    }
}

static bool sync_names(const struct roles *roles, const char *name)
{
    const char *list = json_string_value(json_object_get(roles->sync_key, "sync_standby"));
    size_t len = strlen(name);
    while (list != NULL && *list != '\0') {
        size_t part = strcspn(list, ",");
        if (part == len && strncasecmp(list, name, len) == 0) {
            return true;
        }
        list += part + (list[part] == ',' ? 1 : 0);
    }
    return false;
}

static const char *role_of(const struct roles *roles, const char *name)
{
    if (roles->leader != NULL && strcmp(roles->leader, name) == 0) {
        return roles->standby_cluster ? "standby_leader" : "leader";
    }
    if (roles->sync && sync_names(roles, name)) {
        return roles->quorum ? "quorum_standby" : "sync_standby";
    }
    return "replica";
}

static void put_position(json_t *doc, const json_t *member, const char *source, const char *lsn_key,
                         const char *lag_key, int64_t leader_lsn)
{
    const json_t *value = json_object_get(member, source);
    int64_t lsn = json_integer_value(value);
    if (lsn <= 0) {
        (void)json_object_set_new(doc, lsn_key, json_string("unknown"));
        (void)json_object_set_new(doc, lag_key, json_string("unknown"));
        return;
    }
    char text[40];
    (void)snprintf(text, sizeof(text), "%" PRIX64 "/%" PRIX64, (uint64_t)lsn >> 32,
                   (uint64_t)lsn & UINT32_MAX);
    (void)json_object_set_new(doc, lsn_key, json_string(text));
    (void)json_object_set_new(doc, lag_key, json_integer(leader_lsn > lsn ? leader_lsn - lsn : 0));
}

static json_t *member_doc(const struct roles *roles, const char *name, const json_t *member)
{
    static const char *const copied[] = {
        "timeline", "pending_restart", "pending_restart_reason", "scheduled_restart",
        "tags",     "trouble"};
    const char *role = role_of(roles, name);
    bool leads = strcmp(role, "leader") == 0;
    json_t *doc = json_object();
    const char *state = json_string_value(json_object_get(member, "state"));
    const char *replication = json_string_value(json_object_get(member, "replication_state"));
    const char *api_url = json_string_value(json_object_get(member, "api_url"));
    (void)json_object_set_new(doc, "name", json_string(name));
    (void)json_object_set_new(doc, "role", json_string(role));
    (void)json_object_set_new(doc, "state",
                              json_string(!leads && replication != NULL ? replication
                                          : state != NULL               ? state
                                                                        : ""));
    (void)json_object_set_new(doc, "api_url", json_string(api_url != NULL ? api_url : ""));
    put_host(doc, member);
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        json_t *value = json_object_get(member, copied[i]);
        if (value != NULL) {
            (void)json_object_set(doc, copied[i], value);
        }
    }
    if (roles->leader == NULL || strcmp(roles->leader, name) != 0) {
        put_position(doc, member, "receive_lsn", "receive_lsn", "receive_lag", roles->leader_lsn);
        put_position(doc, member, "replay_lsn", "replay_lsn", "replay_lag", roles->leader_lsn);
        put_position(doc, member, "xlog_location", "lsn", "lag", roles->leader_lsn);
    }
    return doc;
}

static int64_t leader_lsn(const struct dcs_view *view)
{
    json_t *status = cluster_doc_key(view, "status");
    const char *legacy = cluster_doc_text(view, "optime/leader");
    int64_t lsn = json_is_integer(status) ? json_integer_value(status)
                                          : json_integer_value(json_object_get(status, "optime"));
    if (status == NULL && legacy != NULL) {
        lsn = strtoll(legacy, NULL, 10);
    }
    json_decref(status);
    return lsn;
}

static bool is_set(const json_t *value)
{
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_object(value) && json_object_size(value) == 0);
}

static void roles_read(const struct dcs_view *view, const json_t *config, struct roles *ret_roles)
{
    const json_t *sync_mode = json_object_get(config, "synchronous_mode");
    const char *text = json_string_value(sync_mode);
    bool off = text != NULL && (strcasecmp(text, "off") == 0 || strcasecmp(text, "false") == 0);
    *ret_roles = (struct roles){
        .leader = cluster_doc_text(view, "leader"),
        .standby_cluster = is_set(json_object_get(config, "standby_cluster")),
        .sync = is_set(sync_mode) && !off && !is_set(json_object_get(config, "standby_cluster")),
        .quorum = text != NULL && strcasecmp(text, "quorum") == 0,
        .sync_key = cluster_doc_key(view, "sync"),
        .leader_lsn = leader_lsn(view),
    };
}

static void put_switchover(json_t *doc, const struct dcs_view *view)
{
    json_t *failover = cluster_doc_key(view, "failover");
    json_t *at = json_object_get(failover, "scheduled_at");
    if (json_is_string(at)) {
        json_t *scheduled = json_object();
        json_t *from = json_object_get(failover, "leader");
        json_t *to = json_object_get(failover, "member");
        (void)json_object_set(scheduled, "at", at);
        if (json_is_string(from)) {
            (void)json_object_set(scheduled, "from", from);
        }
        if (json_is_string(to)) {
            (void)json_object_set(scheduled, "to", to);
        }
        (void)json_object_set_new(doc, "scheduled_switchover", scheduled);
    }
    json_decref(failover);
}

/* A name that is no UTF-8 cannot stand in a document; no member has one. */
static bool is_member_key(const char *key)
{
    if (strncmp(key, MEMBERS_PREFIX, strlen(MEMBERS_PREFIX)) != 0 ||
        strchr(key + strlen(MEMBERS_PREFIX), '/') != NULL) {
        return false;
    }
    json_t *text = json_string(key);
    bool good = text != NULL;
    json_decref(text);
    return good;
}

json_t *cluster_doc(const struct dcs_view *view, const char *scope)
{
    json_t *doc = json_object();
    json_t *members = json_array();
    json_t *config = cluster_doc_key(view, "config");
    struct roles roles;
    roles_read(view, config, &roles);
    for (size_t i = 0; view != NULL && i < view->count; i++) { /* in key order = name order */
        const struct dcs_kv *kv = &view->kvs[i];
        const char *name = kv->key + strlen(MEMBERS_PREFIX);
        if (!is_member_key(kv->key)) {
            continue;
        }
        json_t *member = json_loadb(kv->value, kv->value_len, 0, NULL);
        (void)json_array_append_new(members, member_doc(&roles, name, member));
        json_decref(member);
    }
    (void)json_object_set_new(doc, "members", members);
    (void)json_object_set_new(doc, "scope", json_string(scope));
    if (is_set(json_object_get(config, "pause"))) {
        (void)json_object_set_new(doc, "pause", json_true());
    }
    put_switchover(doc, view);
    json_decref(roles.sync_key);
    json_decref(config);
    return doc;
}
