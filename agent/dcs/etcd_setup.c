/* What every call needs first (the gateway's prefix, a token, the list of members) is asked for by
 * calls of the client's own, one at a time:
 *
 *   SRV (only with srv: etcd_srv.c) --addresses--> VERSION
 *
 *   VERSION --answered--> AUTHENTICATE (with a user name) --> MEMBERS (not with use_proxies)
 *     |  ^                    |  |                               |
 *     +--+ a member does not  |  | refused: waiting calls are    v
 *          do: the next one   +--+ told, asked again later     READY
 *
 *   READY, MEMBERS --token unknown--> AUTHENTICATE
 *   READY --a member failed, or ETCD_DISCOVER_MS passed--> MEMBERS
 *
 * v2 has no VERSION and no AUTHENTICATE. Calls wait in those two; in MEMBERS they go on, and a list
 * that cannot be had changes nothing. A step that fails in any way is asked again of the next
 * member, after the pause that such a failure brings. */
#include "agent/dcs/etcd_client_impl.h"

#include "agent/dcs/etcd3_codec.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static const char *present(const struct etcd_client *client)
{
    return etcd_hosts_current(&client->hosts);
}

static void setup_to(struct etcd_client *client, enum etcd_setup next)
{
    etcd_client_member_worked(client);
    client->setup = next;
    etcd_client_wake(client);
}

static enum etcd_setup after_authentication(const struct etcd_client *client)
{
    return client->use_proxies ? SETUP_READY : SETUP_MEMBERS;
}

/* Those that ended for want of an answer have moved on to the next member already. */
static void step_failed(struct etcd_client *client, int rc, const struct error *err)
{
    if (rc != ERR_CANCELED && rc != ERR_UNAVAILABLE && rc != ERR_UNKNOWN) {
        etcd_client_member_failed(client, present(client), err);
    }
    etcd_client_wake(client);
}

static void on_version(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_client *client = arg;
    struct error own = {0};
    char version[32];

    client->setting_up = false;
    if (rc != 0) {
        step_failed(client, rc, err);
        return;
    }
    client->prefix = etcd3_prefix_of(answer->body, version);
    if (client->prefix == NULL) {
        rc = error_set(&own, ERR_UNSUPPORTED,
                       "'%s' is etcd '%s': 3.3 or newer is needed for the section etcd3",
                       present(client), version);
        step_failed(client, rc, &own);
        return;
    }
    client->version_known = true;
    etcd_client_note(client, LOG_LEVEL_INFO, "etcd: '%s' is version %s", present(client), version);
    setup_to(client, client->username != NULL ? SETUP_AUTHENTICATE : after_authentication(client));
}

/* A wrong password is a definite no: what waits is told instead of being held until its time is
 * over. */
static void not_accepted(struct etcd_client *client, const struct error *err)
{
    if (!client->said_refused) {
        client->said_refused = true;
        etcd_client_note(client, LOG_LEVEL_ERROR,
                         "etcd: the user name or password of the configuration is not accepted: %s",
                         err->text);
    }
    client->pause_until_ms = etcd_client_now_ms(client) + ETCD_PAUSE_MS_MAX;
    etcd_client_tell_waiting(client, ERR_REFUSED, err);
    etcd_client_wake(client);
}

static void on_authenticated(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    struct etcd_client *client = arg;
    const char *token = rc == 0 ? json_string_value(json_object_get(answer->body, "token")) : NULL;
    struct error own = *err;

    client->setting_up = false;
    if (token != NULL && token[0] != '\0' && strpbrk(token, "\r\n") == NULL) {
        mem_free(client->token);
        client->token = mem_strdup(token);
        client->token_number++;
        client->said_refused = false;
    } else if (rc == 0) {
        rc = error_set(&own, ERR_UNSUPPORTED, "'%s' gives no token", present(client));
        step_failed(client, rc, &own);
        return;
    } else if (rc != ERR_REFUSED) {
        step_failed(client, rc, err);
        return;
    } else if (strstr(err->text, "authentication is not enabled") == NULL) {
        not_accepted(client, err);
        return;
    }
    setup_to(client, after_authentication(client));
}

/* A token may have been found old meanwhile: then that comes first. */
static void take_members(struct etcd_client *client, const json_t *urls)
{
    client->members_due_ms = etcd_client_now_ms(client) + ETCD_DISCOVER_MS;
    client->setup = client->setup == SETUP_MEMBERS ? SETUP_READY : client->setup;
    if (urls == NULL) {
        etcd_client_wake(client);
        return;
    }
    etcd_client_member_worked(client);
    if (etcd_hosts_discovered(&client->hosts, urls, random_next(client->random))) {
        client->switched = true;
    }
    etcd_client_wake(client);
}

/* v2: the list is the first thing asked for, so it is also what tells whether this is etcd with its
 * v2 API. */
static void on_machines(void *arg, int rc, const struct etcd_answer *answer,
                        const struct error *err)
{
    struct etcd_client *client = arg;
    struct error own = *err;

    client->setting_up = false;
    if (rc == 0 || client->version_known) {
        client->version_known = true;
        take_members(client, rc == 0 ? answer->body : NULL);
        return;
    }
    if (rc == ERR_UNSUPPORTED) {
        (void)error_set(&own, ERR_UNSUPPORTED,
                        "'%s' does not serve the v2 API: start etcd (below 3.6) with --enable-v2, "
                        "or use the section etcd3",
                        present(client));
    }
    step_failed(client, rc, &own);
}

static void on_members(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_client *client = arg;
    json_t *urls = rc == 0 ? etcd3_members_read(answer->body) : NULL;

    (void)err;
    client->setting_up = false;
    take_members(client, urls);
    json_decref(urls);
}

static void ask(struct etcd_client *client, const char *method, const char *path, struct buf *body,
                etcd_done done)
{
    struct etcd_call call = {.method = method,
                             .path = path,
                             .body = buf_span(body),
                             .repeatable = true,
                             .timeout_ms = ETCD_SETUP_MS};
    client->setting_up = true;
    etcd_client_own_call(client, &call, client->setup == SETUP_VERSION, done);
}

void etcd_setup_init(struct etcd_client *client)
{
    client->setup = SETUP_SRV;
    if (client->srv.domain == NULL) {
        etcd_setup_begin(client);
    }
}

void etcd_setup_begin(struct etcd_client *client)
{
    client->setup = client->dialect == ETCD_V3 ? SETUP_VERSION
                    : client->use_proxies      ? SETUP_READY
                                               : SETUP_MEMBERS;
    client->version_known = client->setup == SETUP_READY;
}

bool etcd_setup_done(const struct etcd_client *client)
{
    return client->version_known && client->setup >= SETUP_MEMBERS;
}

void etcd_setup_need_token(struct etcd_client *client)
{
    mem_free(client->token);
    client->token = NULL;
    if (client->version_known && client->setup > SETUP_AUTHENTICATE) {
        client->setup = SETUP_AUTHENTICATE;
    }
}

void etcd_setup_step(struct etcd_client *client)
{
    struct buf body = BUF_INIT;
    int64_t now_ms = etcd_client_now_ms(client);

    if (client->setup == SETUP_READY && !client->use_proxies && now_ms >= client->members_due_ms) {
        client->setup = SETUP_MEMBERS;
    }
    if (client->setting_up || now_ms < client->pause_until_ms) {
        return;
    }
    switch (client->setup) {
    case SETUP_SRV: break; /* etcd_srv.c goes on */
    case SETUP_VERSION: ask(client, "GET", "/version", &body, on_version); break;
    case SETUP_AUTHENTICATE:
        etcd3_authenticate(&body, client->username, client->password);
        ask(client, "POST", "/auth/authenticate", &body, on_authenticated);
        break;
    case SETUP_MEMBERS:
        if (client->dialect == ETCD_V2) {
            ask(client, "GET", "/v2/machines", &body, on_machines);
        } else {
            buf_put_str(&body, "{}");
            ask(client, "POST", "/cluster/member/list", &body, on_members);
        }
        break;
    case SETUP_READY: break;
    }
    buf_free(&body);
}
