/* One question at a time to each member. Whom to ask: the members of the present view, and of the
 * last one that had a leader: the keys of all may have run out while etcd was away, and they are
 * alive. What was answered before the leader key vanished says nothing of how far they are now, so
 * then everything begins anew.
 *
 * A refused connection is the word of a host that runs: its agent is dead. Silence is waited for
 * until the time is up. */
#include "agent/loop/peers.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_peer.h"
#include "agent/loop/loop.h"
#include "agent/loop/member_http.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/http_client.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PEERS_ANSWER_BYTES_MAX (256UL * 1024)

struct question {
    struct loop_peers *peers;
    struct http_client_exchange *exchange; /* NULL = none is under way */
    char url[HA_URL_BYTES];
    int64_t sent_mono_ms; /* HA_NEVER */
    bool listed;          /* in the view that is looked at */
};

struct loop_peers {
    struct agent *agent;
    struct member_http way;
    bool asking;                               /* it matters now */
    int64_t unlocked_mono_ms;                  /* that the questions are about */
    struct question questions[HA_MEMBERS_MAX]; /* of facts.peers, at the same place */
};

static bool matters(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool serves = facts->run == HA_RUN_RUNNING &&
                  (facts->probe.role == PG_PRIMARY || facts->upstream.streaming);
    return facts->cluster.known && !agent->stopping &&
           (facts->cluster.leader[0] == '\0' || facts->cluster.failover.present || !serves);
}

/* --- one question ----------------------------------------------------------------------------- */

static void take_answer(struct agent *agent, struct ha_peer *peer, struct span body)
{
    json_t *document = json_loadb((const char *)body.data, body.len, 0, NULL);
    const char *system_id = ha_initialize_is_valid(agent->facts.cluster.initialize)
                                ? agent->facts.cluster.initialize
                                : "";
    if (ha_peer_read(document, agent->config->scope, system_id, peer)) {
        peer->heard_mono_ms = agent_mono_ms(agent);
    } else {
        log_debug("asking '%s' how far it is: somebody else answers", peer->name);
    }
    json_decref(document);
}

static void on_answer(void *arg, int rc, const struct http_client_response *response,
                      const struct error *err)
{
    struct question *question = arg;

    if (rc == ERR_CANCELED) {
        return; /* forgotten: the place may have another question by now */
    }
    struct loop_peers *peers = question->peers;
    struct agent *agent = peers->agent;
    struct ha_peer *peer = &agent->facts.peers[question - peers->questions];
    question->exchange = NULL;
    if (rc == 0) {
        take_answer(agent, peer, response->body);
    } else {
        if (!response->sent) {
            peer->heard_mono_ms = HA_NEVER;
        }
        log_debug("asking '%s' how far it is: %s", peer->name, err->text);
    }
    peer->asking = false;
    cycle_request(agent);
    peers_look(agent);
}

static bool is_idle(const struct loop_peers *peers)
{
    bool idle = true;
    for (size_t i = 0; i < peers->agent->facts.peer_count; i++) {
        idle = idle && peers->questions[i].exchange == NULL;
    }
    return idle;
}

static void ask(struct loop_peers *peers, struct question *question)
{
    struct error err = {0};
    struct http_client *http = NULL;
    struct http_client_request request = {.url = question->url,
                                          .timeout_ms = PEERS_TIMEOUT_MS,
                                          .connect_timeout_ms = PEERS_TIMEOUT_MS,
                                          .response_bytes_max = PEERS_ANSWER_BYTES_MAX,
                                          .repeatable = true,
                                          .on_done = on_answer,
                                          .arg = question};
    struct ha_peer *peer = &peers->agent->facts.peers[question - peers->questions];

    question->sent_mono_ms = agent_mono_ms(peers->agent);
    int rc = member_http_client(&peers->way, peers->agent, is_idle(peers), &http, &err);
    rc = rc != 0 ? rc : http_client_send(http, &request, &question->exchange, &err);
    if (rc != 0) {
        question->exchange = NULL;
        peer->asking = false;
        log_debug("asking '%s' how far it is: %s", peer->name, err.text);
    }
}

/* --- whom to ask ------------------------------------------------------------------------------ */

static void forget(struct loop_peers *peers, size_t i)
{
    struct ha_peer *peer = &peers->agent->facts.peers[i];
    struct question *question = &peers->questions[i];
    char name[HA_NAME_BYTES];

    memcpy(name, peer->name, sizeof name);
    memset(peer, 0, sizeof *peer);
    memcpy(peer->name, name, sizeof name);
    peer->heard_mono_ms = HA_NEVER;
    peer->silent_ms = PEERS_SILENT_MS;
    peer->asking = true;
    question->sent_mono_ms = HA_NEVER;
    if (question->exchange != NULL) {
        http_client_cancel(question->exchange);
        question->exchange = NULL;
    }
}

static void forget_all(struct loop_peers *peers)
{
    for (size_t i = 0; i < peers->agent->facts.peer_count; i++) {
        forget(peers, i);
    }
}

static void list_member(struct loop_peers *peers, const struct ha_member *member)
{
    struct loop_facts *facts = &peers->agent->facts;
    size_t i = 0;
    while (i < facts->peer_count && strcmp(facts->peers[i].name, member->name) != 0) {
        i++;
    }
    if (i == facts->peer_count) {
        if (i == HA_MEMBERS_MAX) {
            return;
        }
        facts->peer_count++;
        (void)snprintf(facts->peers[i].name, sizeof facts->peers[i].name, "%s", member->name);
        peers->questions[i] = (struct question){.peers = peers};
        forget(peers, i);
    }
    (void)snprintf(peers->questions[i].url, HA_URL_BYTES, "%s", member->api_url);
    peers->questions[i].listed = true;
}

static void drop(struct loop_peers *peers, size_t i)
{
    struct loop_facts *facts = &peers->agent->facts;
    size_t last = --facts->peer_count;
    facts->peers[i] = facts->peers[last];
    peers->questions[i] = peers->questions[last];
}

static bool is_in_group(const struct agent *agent, const char *name)
{
    const struct loop_facts *facts = &agent->facts;
    for (size_t i = 0; i < facts->heard_count; i++) {
        if (strcmp(facts->heard[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of ours the Raft group tells, where it is the store, but not of those that are its clients; and
 * to a client it tells of nobody. */
static bool is_asked(const struct agent *agent, const struct ha_member *member)
{
    bool told =
        config_is_raft_member(agent->config) && member->reports && is_in_group(agent, member->name);
    return !told && strcmp(member->name, agent->config->name) != 0 && member->api_url[0] != '\0';
}

/* While there is a leader, whoever is not a member any more is forgotten; and at once whoever the
 * group tells of by now, which learns names after their records. One that is being asked stays
 * where it is: the answer comes there. */
static void list(struct loop_peers *peers)
{
    struct loop_facts *facts = &peers->agent->facts;
    const struct ha_cluster *cluster = &facts->cluster;

    for (size_t i = 0; i < facts->peer_count; i++) {
        const struct ha_member *member = ha_cluster_member(cluster, facts->peers[i].name);
        peers->questions[i].listed =
            cluster->leader[0] == '\0' && (member == NULL || is_asked(peers->agent, member));
    }
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct ha_member *member = &cluster->members[i];
        if (is_asked(peers->agent, member)) {
            list_member(peers, member);
        }
    }
    bool waits = false;
    for (size_t i = 0; i < facts->peer_count; i++) {
        waits = waits || peers->questions[i].exchange != NULL;
    }
    for (size_t i = facts->peer_count; i > 0 && !waits; i--) {
        if (!peers->questions[i - 1].listed) {
            drop(peers, i - 1);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    peers_look(timer->data);
}

static void ask_those_due(struct loop_peers *peers)
{
    struct agent *agent = peers->agent;
    int64_t now = agent_mono_ms(agent);
    int64_t wait_ms = PEERS_AGAIN_MS;

    for (size_t i = 0; i < agent->facts.peer_count; i++) {
        struct question *question = &peers->questions[i];
        if (question->exchange != NULL) {
            continue; /* its answer comes */
        }
        int64_t left_ms = question->sent_mono_ms + PEERS_AGAIN_MS - now;
        if (question->sent_mono_ms == HA_NEVER || left_ms <= 0) {
            ask(peers, question);
        } else if (left_ms < wait_ms) {
            wait_ms = left_ms;
        }
    }
    (void)uv_timer_start(&agent->peers_timer, on_timer, (uint64_t)wait_ms, 0);
}

void peers_look(struct agent *agent)
{
    struct loop_peers *peers = agent->peers;
    if (peers == NULL || agent->facts.view == NULL) {
        return;
    }
    bool asking = matters(agent);
    list(peers);
    if (asking != peers->asking || agent->facts.unlocked_since_mono_ms != peers->unlocked_mono_ms) {
        peers->asking = asking;
        peers->unlocked_mono_ms = agent->facts.unlocked_since_mono_ms;
        forget_all(peers);
    }
    if (asking) {
        ask_those_due(peers);
    } else {
        (void)uv_timer_stop(&agent->peers_timer);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void peers_start(struct agent *agent)
{
    struct loop_peers *peers = mem_new(struct loop_peers);
    (void)uv_timer_init(agent->loop, &agent->peers_timer);
    agent->peers_timer.data = agent;
    peers->agent = agent;
    peers->unlocked_mono_ms = HA_NEVER;
    agent->peers = peers;
}

static void on_freed(void *arg)
{
    mem_free(arg);
}

void peers_stop(struct agent *agent)
{
    struct loop_peers *peers = agent->peers;
    if (peers == NULL) {
        return;
    }
    agent->peers = NULL;
    for (size_t i = 0; i < agent->facts.peer_count; i++) {
        if (peers->questions[i].exchange != NULL) {
            http_client_cancel(peers->questions[i].exchange);
        }
    }
    uv_close((uv_handle_t *)&agent->peers_timer, NULL);
    if (peers->way.client == NULL) {
        mem_free(peers);
    } else {
        http_client_free(peers->way.client, on_freed, peers);
    }
}
