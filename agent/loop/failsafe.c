/* Whom a round asks: the key as it was last seen, and whatever we have sent to be written there
 * without knowing that it did not come to be. So nobody who may find himself in the key is left
 * out, and whoever is not in it does not run. One `no`, one silence, and the round is worth
 * nothing.
 *
 * Our writes compare the key's revision: as soon as the view shows another one, none of those that
 * were sent before can take effect any more. The same ends those of earlier leaders, once the key
 * is of our epoch: before that there is no round. And while the lease stands by a round, the key is
 * not written: who would come into it was not asked. Nor is anybody left out of the later rounds
 * who was asked in an earlier one: he may have seen himself in the key since the lease ran out in
 * the store, and go by that, whatever one of our writes has made of the key by now.
 *
 * What an earlier run of this agent has sent in the epoch with which this one goes on is not known
 * here. So there is no round before the store has said that the key is still ours, and none before
 * a write of this run has made the key another one (tests/models/failsafe.pml). */
#include "agent/loop/failsafe.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "agent/loop/member_http.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/http_client.h"

#include <stdio.h>
#include <string.h>

enum { ASKED_MAX = 3 * HA_MEMBERS_MAX, ANSWER_BYTES_MAX = 4096, NOTHING_WRITTEN = -1 };

struct asked {
    struct loop_failsafe *failsafe;
    struct http_client_exchange *exchange; /* NULL = none is under way */
    struct ha_failsafe_member member;
};

struct loop_failsafe {
    struct agent *agent;
    struct member_http way;
    struct http_client *http; /* of this round */
    /* the round */
    struct asked asked[ASKED_MAX];
    size_t asked_count;
    size_t waiting; /* answers that are missing; 0 = no round runs */
    bool refused;   /* by one of them, and that was logged */
    int64_t sent_lease_ms;
    uint64_t newest; /* ha_lease.newest at that moment */
    int64_t ttl_ms;
    int64_t begun_mono_ms; /* of the last round; HA_NEVER */
    bool active;
    /* sent to be written over `written_revision` */
    struct ha_failsafe_member written[2 * HA_MEMBERS_MAX];
    size_t written_count;
    int64_t written_revision; /* NOTHING_WRITTEN by this run of the agent */
    bool written_unaskable;   /* one that names nobody, that an earlier run may have sent, or more
                                 than are kept here */
    /* what was promised to others */
    struct ha_failsafe promise;
};

/* --- the round -------------------------------------------------------------------------------- */

static void end_round(struct loop_failsafe *failsafe)
{
    struct agent *agent = failsafe->agent;
    bool vouched = !failsafe->refused &&
                   ha_lease_vouched(&agent->lease, failsafe->sent_lease_ms, failsafe->newest,
                                    failsafe->ttl_ms, agent_lease_ms(agent));
    if (!vouched) {
        return; /* the deadlines run on */
    }
    keeper_page(agent);
    if (!failsafe->active) {
        failsafe->active = true;
        log_warning("the store does not answer: primary in failsafe mode, by the word of all %zu "
                    "members",
                    failsafe->asked_count + 1);
        cycle_request(agent);
    }
}

static void take_no(struct loop_failsafe *failsafe, const char *name, const char *why)
{
    if (!failsafe->refused) {
        log_warning("failsafe mode: '%s' does not confirm that we stay the primary: %s", name, why);
    }
    failsafe->refused = true;
}

static void on_answer(void *arg, int rc, const struct http_client_response *response,
                      const struct error *err)
{
    struct asked *asked = arg;

    if (rc == ERR_CANCELED) {
        return; /* the loop is being closed */
    }
    struct loop_failsafe *failsafe = asked->failsafe;
    asked->exchange = NULL;
    if (rc != 0) {
        take_no(failsafe, asked->member.name, err->text);
    } else if (response->status != 200 || !span_equal(response->body, span_str("Accepted"))) {
        char why[64];
        (void)snprintf(why, sizeof why, "HTTP status %d", response->status);
        take_no(failsafe, asked->member.name, why);
    }
    if (--failsafe->waiting == 0) {
        end_round(failsafe);
    }
}

/* Scheme, host and port of the member's api_url, with our path. */
static bool url_of(const struct ha_failsafe_member *member, char *url, size_t size)
{
    const char *host = strstr(member->api_url, "://");
    if (host == NULL) {
        return false;
    }
    host += 3;
    int base = (int)(host - member->api_url) + (int)strcspn(host, "/?#");
    return snprintf(url, size, "%.*s/failsafe", base, member->api_url) < (int)size;
}

/* Patroni takes the first three, and overlooks the rest. */
static char *question(const struct agent *agent, const char *member)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const struct ha_member *self = ha_cluster_member(cluster, agent->config->name);
    const struct ha_failsafe_member *listed = ha_cluster_failsafe(cluster, agent->config->name);
    json_t *body = json_object();
    (void)json_object_set_new(body, "name", json_string(agent->config->name));
    (void)json_object_set_new(body, "conn_url", json_string(self == NULL ? "" : self->conn_url));
    (void)json_object_set_new(body, "api_url", json_string(listed->api_url));
    (void)json_object_set_new(body, "member", json_string(member));
    (void)json_object_set_new(body, "ttl_ms", json_integer(agent->dynamic.ttl_ms));
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(body);
    return text;
}

static void ask(struct loop_failsafe *failsafe, struct asked *asked)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    char url[HA_URL_BYTES + 16] = "";
    struct error err = {0};
    int64_t timeout_ms = ha_lease_attempt_ms(failsafe->ttl_ms);
    char *body = question(failsafe->agent, asked->member.name);
    if (timeout_ms > FAILSAFE_TIMEOUT_MS_MAX) {
        timeout_ms = FAILSAFE_TIMEOUT_MS_MAX;
    }
    struct http_client_request request = {.method = "POST",
                                          .url = url,
                                          .headers = headers,
                                          .body = span_str(body),
                                          .timeout_ms = timeout_ms,
                                          .connect_timeout_ms = timeout_ms,
                                          .response_bytes_max = ANSWER_BYTES_MAX,
                                          .repeatable = true,
                                          .on_done = on_answer,
                                          .arg = asked};
    member_http_sign(failsafe->agent, &request);
    int rc = url_of(&asked->member, url, sizeof url)
                 ? http_client_send(failsafe->http, &request, &asked->exchange, &err)
                 : error_set(&err, ERR_INVALID, "no URL: '%s'", asked->member.api_url);
    mem_free(body);
    if (rc != 0) {
        asked->exchange = NULL;
        failsafe->waiting--;
        take_no(failsafe, asked->member.name, err.text);
    }
}

static void list(struct loop_failsafe *failsafe, const struct ha_failsafe_member *member)
{
    if (strcmp(member->name, failsafe->agent->config->name) == 0) {
        return;
    }
    for (size_t i = 0; i < failsafe->asked_count; i++) {
        const struct ha_failsafe_member *listed = &failsafe->asked[i].member;
        if (strcmp(listed->name, member->name) == 0 &&
            strcmp(listed->api_url, member->api_url) == 0) {
            return;
        }
    }
    if (failsafe->asked_count == ASKED_MAX) {
        failsafe->refused = true;
        return;
    }
    failsafe->asked[failsafe->asked_count++] =
        (struct asked){.failsafe = failsafe, .member = *member};
}

/* The key may yet become a list by which nobody can be asked. */
static bool is_unsure(const struct agent *agent)
{
    const struct loop_failsafe *failsafe = agent->failsafe;
    if (failsafe->written_revision == NOTHING_WRITTEN) {
        return !ha_epoch_equal(agent->lease.acquired, agent->lease.epoch);
    }
    return failsafe->written_unaskable &&
           failsafe->written_revision == agent->facts.cluster.failsafe_revision;
}

static void list_all(struct loop_failsafe *failsafe)
{
    const struct ha_cluster *cluster = &failsafe->agent->facts.cluster;

    if (!failsafe->active) {
        failsafe->asked_count = 0;
    }
    failsafe->refused = failsafe->refused || is_unsure(failsafe->agent);
    for (size_t i = 0; i < cluster->failsafe_count; i++) {
        list(failsafe, &cluster->failsafe[i]);
    }
    if (failsafe->written_revision != cluster->failsafe_revision) {
        return;
    }
    for (size_t i = 0; i < failsafe->written_count; i++) {
        list(failsafe, &failsafe->written[i]);
    }
}

void failsafe_round(struct agent *agent)
{
    struct loop_failsafe *failsafe = agent->failsafe;
    int64_t now = agent_mono_ms(agent);

    if (failsafe == NULL || !agent->dynamic.failsafe_mode || agent->dynamic.standby_cluster ||
        failsafe->waiting > 0 || !ha_lease_valid(&agent->lease, agent_lease_ms(agent)) ||
        !agent->lease.renewed ||
        (failsafe->begun_mono_ms != HA_NEVER &&
         now - failsafe->begun_mono_ms < FAILSAFE_AGAIN_MS) ||
        agent->facts.cluster.failsafe_revision <= agent->lease.epoch.revision ||
        ha_cluster_failsafe(&agent->facts.cluster, agent->config->name) == NULL) {
        return;
    }
    failsafe->begun_mono_ms = now;
    failsafe->refused = false;
    failsafe->ttl_ms = agent->dynamic.ttl_ms;
    failsafe->newest = agent->lease.newest;
    list_all(failsafe);
    failsafe->sent_lease_ms = agent_lease_ms(agent);
    struct error err = {0};
    if (member_http_client(&failsafe->way, agent, true, &failsafe->http, &err) != 0) {
        take_no(failsafe, "nobody", err.text);
        return;
    }
    failsafe->waiting = failsafe->asked_count + 1; /* one for the loop itself */
    for (size_t i = 0; i < failsafe->asked_count; i++) {
        ask(failsafe, &failsafe->asked[i]);
    }
    if (--failsafe->waiting == 0) {
        end_round(failsafe);
    }
}

void failsafe_renewed(struct agent *agent)
{
    if (agent->failsafe != NULL && agent->failsafe->active) {
        agent->failsafe->active = false;
        log_info("the store answers again: out of failsafe mode");
        cycle_request(agent);
    }
}

bool failsafe_is_active(const struct agent *agent)
{
    const struct loop_failsafe *failsafe = agent->failsafe;
    return failsafe != NULL &&
           ((failsafe->active && ha_lease_valid(&agent->lease, agent_lease_ms(agent))) ||
            agent_lease_ms(agent) < failsafe->promise.until_lease_ms);
}

/* --- the key ---------------------------------------------------------------------------------- */

char *failsafe_value(struct agent *agent, int64_t revision)
{
    struct loop_failsafe *failsafe = agent->failsafe;
    const struct ha_cluster *cluster = &agent->snapshot.cluster;
    size_t count = agent->dynamic.failsafe_mode ? cluster->member_count : 0;
    if (failsafe->active || failsafe->waiting > 0) {
        return NULL;
    }
    json_t *value = json_object();
    if (failsafe->written_revision != revision) {
        failsafe->written_unaskable =
            failsafe->written_revision == NOTHING_WRITTEN && is_unsure(agent);
        failsafe->written_revision = revision;
        failsafe->written_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ha_member *member = &cluster->members[i];
        if (member->api_url[0] == '\0') {
            continue;
        }
        (void)json_object_set_new(value, member->name, json_string(member->api_url));
        if (failsafe->written_count == 2 * HA_MEMBERS_MAX) {
            failsafe->written_unaskable = true; /* until one of the writes shows */
            continue;
        }
        struct ha_failsafe_member *written = &failsafe->written[failsafe->written_count++];
        (void)snprintf(written->name, sizeof written->name, "%s", member->name);
        (void)snprintf(written->api_url, sizeof written->api_url, "%s", member->api_url);
    }
    failsafe->written_unaskable = failsafe->written_unaskable || json_object_size(value) == 0;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
    return text;
}

/* --- the others' primary ---------------------------------------------------------------------- */

void failsafe_fill(const struct agent *agent, struct ha_failsafe *ret_failsafe)
{
    if (agent->failsafe != NULL) {
        *ret_failsafe = agent->failsafe->promise;
        ret_failsafe->active = agent->failsafe->active || agent->failsafe->waiting > 0;
        ret_failsafe->possible = true;
        ret_failsafe->unsure = is_unsure(agent);
    }
}

static bool may_be_primary(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool promoting = facts->job.running &&
                     (facts->job.kind == HA_JOB_PROMOTE || facts->job.kind == HA_JOB_BOOTSTRAP);
    return agent->acquiring || agent->lease.held || promoting || facts->run == HA_RUN_UNKNOWN ||
           (facts->run != HA_RUN_STOPPED && facts->run != HA_RUN_CRASHED &&
            facts->probe.role == PG_PRIMARY);
}

int failsafe_answer(struct agent *agent, const json_t *question, uint64_t *ret_lsn,
                    struct error *err)
{
    const char *name = json_string_value(json_object_get(question, "name"));
    const char *member = json_string_value(json_object_get(question, "member"));
    const json_t *ttl = json_object_get(question, "ttl_ms"); /* Patroni's name neither */
    int64_t ttl_ms = ttl == NULL ? agent->dynamic.ttl_ms : (int64_t)json_integer_value(ttl);
    const struct loop_facts *facts = &agent->facts;
    /* Started again while etcd is away: a promise takes no more than to know for how long. */
    bool unread = !facts->cluster.known && ttl != NULL;

    if (agent->failsafe == NULL || (!agent->dynamic.failsafe_mode && !unread)) {
        return error_set(err, ERR_UNSUPPORTED, "failsafe_mode is off here");
    }
    if (name == NULL || name[0] == '\0' || strlen(name) >= HA_NAME_BYTES) {
        return error_set(err, ERR_INVALID, "'name': give the name of the primary");
    }
    if (member != NULL && strcmp(member, agent->config->name) != 0) {
        return error_set(err, ERR_INVALID, "'member': this is '%s'", agent->config->name);
    }
    if (ttl_ms <= 0 || ttl_ms > DYNAMIC_TTL_MS_MAX) {
        return error_set(err, ERR_INVALID, "'ttl_ms': give the primary's ttl, 1..%lld",
                         (long long)DYNAMIC_TTL_MS_MAX);
    }
    if (may_be_primary(agent)) {
        return error_set(err, ERR_REFUSED, "Running as a leader");
    }
    struct ha_failsafe *promise = &agent->failsafe->promise;
    if (ttl_ms < agent->dynamic.ttl_ms) {
        ttl_ms = agent->dynamic.ttl_ms;
    }
    int64_t until_ms = agent_lease_ms(agent) + ttl_ms;
    if (until_ms > promise->until_lease_ms) {
        promise->until_lease_ms = until_ms;
    }
    if (strcmp(promise->primary, name) != 0) {
        (void)snprintf(promise->primary, sizeof promise->primary, "%s", name);
    }
    *ret_lsn = facts->probe.role == PG_STANDBY ? facts->probe.flush_lsn : 0;
    cycle_request(agent);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

int failsafe_start(struct agent *agent, struct error *err)
{
    struct loop_failsafe *failsafe = mem_new(struct loop_failsafe);
    int rc = member_http_client(&failsafe->way, agent, true, &failsafe->http, err);
    if (rc != 0) {
        mem_free(failsafe);
        return rc;
    }
    failsafe->agent = agent;
    failsafe->begun_mono_ms = HA_NEVER;
    failsafe->written_revision = NOTHING_WRITTEN;
    failsafe->promise.start_lease_ms = agent_lease_ms(agent);
    agent->failsafe = failsafe;
    return 0;
}

static void on_freed(void *arg)
{
    mem_free(arg);
}

void failsafe_stop(struct agent *agent)
{
    struct loop_failsafe *failsafe = agent->failsafe;
    if (failsafe == NULL) {
        return;
    }
    agent->failsafe = NULL;
    http_client_free(failsafe->way.client, on_freed, failsafe);
}
