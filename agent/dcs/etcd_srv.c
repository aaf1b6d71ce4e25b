/* Where etcd is, by SRV records (`srv` of the configuration). The kinds are asked for one after the
 * other, as Patroni does; the first that gives addresses wins:
 *
 *   LOOKUP kind --records--> client kinds: their targets are the addresses
 *     ^  |                   server kinds: PEER asks one target after the other for /members
 *     +--+ none, a failure: the next kind; after the last one the file's own addresses count
 *
 * That is done before anything else, and again when every member has failed; not while what was
 * found last is good for (its ttl), so that a name server is not asked more often than it says. */
#include "agent/dcs/etcd3_codec.h"
#include "agent/dcs/etcd_client_impl.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LOOKUP_MS_MAX  5000 /* all kinds and peers; one that is under way then is the last */
#define PEER_MS        2000
#define PEERS_MAX      8 /* asked in one lookup of a kind */
#define PEER_BYTES_MAX (256 * 1024)
#define AGAIN_MS       5000 /* nothing was found */
#define FOUND_MS_MIN   1000
#define FOUND_MS_MAX   600000
#define KIND_COUNT     (sizeof kinds / sizeof kinds[0])

static const struct {
    const char *kind;
    bool tls;
    bool peers;
} kinds[] = {{"-client-ssl", true, false}, {"-client", false, false},   {"-ssl", true, false},
             {"", false, false},           {"-server-ssl", true, true}, {"-server", false, true}};

static void ask_kind(struct etcd_client *client);
static void ask_peer(struct etcd_client *client);

int etcd_srv_check(const struct etcd_client_config *config, struct error *err)
{
    const char *suffix = config->srv_suffix == NULL ? "" : config->srv_suffix;
    const char *dash = config->srv_suffix == NULL ? "" : "-";
    for (size_t i = 0; config->srv != NULL && i < KIND_COUNT; i++) {
        int len =
            snprintf(NULL, 0, "_etcd%s%s%s._tcp.%s", kinds[i].kind, dash, suffix, config->srv);
        if (len < 0 || len > SRV_NAME_BYTES_MAX) {
            return error_set(err, ERR_INVALID,
                             "etcd: srv '%.40s...': with '_etcd%s%s%.40s._tcp.' in front that is "
                             "longer than a name may be, %d bytes",
                             config->srv, kinds[i].kind, dash, suffix, SRV_NAME_BYTES_MAX);
        }
    }
    return 0;
}

void etcd_srv_init(struct etcd_client *client, const struct etcd_client_config *config)
{
    struct etcd_srv *srv = &client->srv;
    if (config->srv == NULL) {
        return;
    }
    srv->domain = mem_strdup(config->srv);
    srv->suffix =
        config->srv_suffix == NULL ? mem_strdup("") : mem_printf("-%s", config->srv_suffix);
    srv->own_nameserver = config->nameserver != NULL;
    if (srv->own_nameserver) {
        srv->nameserver = *config->nameserver;
    }
    for (size_t i = 0; i < config->url_count; i++) {
        srv->urls[srv->url_count++] = mem_strdup(config->urls[i]);
    }
    srv->due = true;
}

void etcd_srv_free(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    for (size_t i = 0; i < srv->url_count; i++) {
        mem_free(srv->urls[i]);
    }
    mem_free(srv->domain);
    mem_free(srv->suffix);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void take(struct etcd_client *client, const char *const *urls, size_t count)
{
    bool first = client->setup == SETUP_SRV;
    if (etcd_hosts_configure(&client->hosts, urls, count)) {
        client->switched = !first;
        client->pause_until_ms = 0;
    }
    if (first) {
        etcd_setup_begin(client);
    }
}

static void finish(struct etcd_client *client, int64_t again_ms)
{
    struct etcd_srv *srv = &client->srv;
    srv->busy = false;
    srv->due = client->hosts.count == 0;
    srv->next_ms = etcd_client_now_ms(client) + again_ms;
    etcd_client_wake(client);
}

static void found(struct etcd_client *client, const char *const *urls, size_t count)
{
    struct etcd_srv *srv = &client->srv;
    int64_t good_ms = (int64_t)srv->answer.ttl_s * 1000;
    good_ms = good_ms < FOUND_MS_MIN ? FOUND_MS_MIN : good_ms;
    srv->said_failed = false;
    etcd_client_note(client, LOG_LEVEL_INFO, "etcd: SRV %s: addresses=%zu, the first is '%s'",
                     srv->name, count, urls[0]);
    take(client, urls, count);
    finish(client, good_ms > FOUND_MS_MAX ? FOUND_MS_MAX : good_ms);
}

static void found_nothing(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    if (srv->last.code == 0) {
        (void)error_set(&srv->last, ERR_NOT_FOUND,
                        "looking up _etcd*%s._tcp.%s: no kind has SRV records", srv->suffix,
                        srv->domain);
    }
    if (!srv->said_failed) {
        srv->said_failed = true;
        etcd_client_note(client, LOG_LEVEL_WARNING, "etcd: %s; %s", srv->last.text,
                         srv->url_count > 0        ? "using the addresses of the file"
                         : client->hosts.count > 0 ? "staying with those found before"
                                                   : "waiting for etcd, trying again");
    }
    client->last = srv->last;
    if (srv->url_count > 0) {
        take(client, (const char *const *)srv->urls, srv->url_count);
    }
    finish(client, AGAIN_MS);
}

/* --- one kind --------------------------------------------------------------------------------- */

static void next_kind(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    srv->kind++;
    if (srv->kind >= KIND_COUNT || etcd_client_now_ms(client) >= srv->until_ms) {
        found_nothing(client);
    } else {
        ask_kind(client);
    }
}

static char *target_url(const struct etcd_srv *srv, size_t i, const char *path)
{
    return mem_printf("%s://%s:%u%s", kinds[srv->kind].tls ? "https" : "http",
                      srv->answer.records[i].target, (unsigned)srv->answer.records[i].port, path);
}

static void take_targets(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    char *urls[ETCD_HOSTS_MAX] = {NULL};
    size_t count = 0;
    for (; count < srv->answer.count && count < ETCD_HOSTS_MAX; count++) {
        urls[count] = target_url(srv, count, "");
    }
    found(client, (const char *const *)urls, count);
    for (size_t i = 0; i < count; i++) {
        mem_free(urls[i]);
    }
}

static void on_lookup(void *arg, int rc, const struct srv_answer *answer, const struct error *err)
{
    struct etcd_client *client = arg;
    struct etcd_srv *srv = &client->srv;

    srv->lookup = NULL;
    if (client->closing) {
        etcd_client_part_closed(client);
        return;
    }
    if (rc != 0) {
        srv->last = rc == ERR_NOT_FOUND ? srv->last : *err;
        next_kind(client);
        return;
    }
    srv->answer = *answer;
    srv->peer = 0;
    if (kinds[srv->kind].peers) {
        ask_peer(client);
    } else {
        take_targets(client);
    }
}

static void ask_kind(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    struct srv_question question = {.name = srv->name,
                                    .nameserver = srv->own_nameserver ? &srv->nameserver : NULL,
                                    .random = random_next(client->random)};
    (void)snprintf(srv->name, sizeof srv->name, "_etcd%s%s._tcp.%s", kinds[srv->kind].kind,
                   srv->suffix, srv->domain);
    if (srv_lookup_start(client->loop, &question, on_lookup, client, &srv->lookup, &srv->last) !=
        0) {
        srv->lookup = NULL;
        found_nothing(client);
    }
}

/* --- server kinds: the peers know the client URLs --------------------------------------------- */

static size_t take_members(struct etcd_client *client, struct span body)
{
    /* As reals: a member's id is a number of 64 bits without a sign, too much for an integer. */
    json_t *list = json_loadb((const char *)body.data, body.len, JSON_DECODE_INT_AS_REAL, NULL);
    json_t *members = json_pack("{s:o}", "members", list == NULL ? json_null() : list);
    json_t *urls = etcd3_members_read(members);
    const char *texts[ETCD_HOSTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(urls) && count < ETCD_HOSTS_MAX; i++) {
        const char *text = json_string_value(json_array_get(urls, i));
        if (text != NULL &&
            (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0)) {
            texts[count++] = text;
        }
    }
    if (count > 0) {
        found(client, texts, count);
    }
    json_decref(urls);
    json_decref(members);
    return count;
}

static void next_peer(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    srv->peer++;
    if (srv->peer >= srv->answer.count || srv->peer >= PEERS_MAX ||
        etcd_client_now_ms(client) >= srv->until_ms) {
        next_kind(client);
    } else {
        ask_peer(client);
    }
}

static void on_members(void *arg, int rc, const struct http_client_response *response,
                       const struct error *err)
{
    struct etcd_client *client = arg;
    struct etcd_srv *srv = &client->srv;

    if (client->closing) {
        return;
    }
    if (rc == 0 && response->status == 200 && take_members(client, response->body) > 0) {
        return;
    }
    if (rc != 0) {
        srv->last = *err;
        error_wrap(&srv->last, "asking a peer of %s for its members", srv->name);
    } else {
        (void)error_set(&srv->last, ERR_UNAVAILABLE,
                        "asking '%s:%u' of %s for its members: the answer (status %d) names none",
                        srv->answer.records[srv->peer].target,
                        (unsigned)srv->answer.records[srv->peer].port, srv->name, response->status);
    }
    next_peer(client);
}

static void ask_peer(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    char *url = target_url(srv, srv->peer, "/members");
    struct http_client_request request = {.url = url,
                                          .timeout_ms = PEER_MS,
                                          .connect_timeout_ms = PEER_MS,
                                          .response_bytes_max = PEER_BYTES_MAX,
                                          .repeatable = true,
                                          .on_done = on_members,
                                          .arg = client};
    int rc = http_client_send(client->http, &request, NULL, &srv->last);
    mem_free(url);
    if (rc != 0) {
        found_nothing(client);
    }
}

/* --- when ------------------------------------------------------------------------------------- */

void etcd_srv_want(struct etcd_client *client)
{
    client->srv.due = client->srv.domain != NULL;
}

int64_t etcd_srv_next_ms(const struct etcd_client *client)
{
    return client->srv.due && !client->srv.busy ? client->srv.next_ms : INT64_MAX;
}

void etcd_srv_step(struct etcd_client *client)
{
    struct etcd_srv *srv = &client->srv;
    int64_t now_ms = etcd_client_now_ms(client);
    if (now_ms < etcd_srv_next_ms(client)) {
        return;
    }
    srv->busy = true;
    srv->kind = 0;
    srv->last = (struct error){0};
    srv->until_ms = now_ms + LOOKUP_MS_MAX;
    ask_kind(client);
}

void etcd_srv_close(struct etcd_client *client)
{
    if (client->srv.lookup != NULL) {
        srv_lookup_cancel(client->srv.lookup);
    }
}
