/* A round asks both servers of the leader's node at once; it ends with the first answer, or after
 * an election timeout. As long as no round had one, the silence counts from the first of them:
 *
 *   calm --(no WAL and no Raft for a part of the election timeout)--> asking --(answer)--> calm,
 *   for an election timeout
 *
 * A question that was not asked, for want of a descriptor or of a way to the network, is our own
 * silence: what was counted up to then is void.
 *
 * Only while this node is a synchronous standby; nothing is asked while the leader is heard. */
#include "agent/loop/silence.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "agent/loop/member_url.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/tcp.h"

#include <stdio.h>
#include <string.h>

enum { ASK_POSTGRESQL, ASK_REST, ASKED };

/* Lives until its connection is closed; `silence` NULL: its answer does not matter any more. */
struct question {
    struct loop_silence *silence;
    int which;
    struct tcp_connect *connect;
    struct stream *stream;
};

struct loop_silence {
    struct agent *agent;
    uv_timer_t timer;
    bool watching;
    char leader[HA_NAME_BYTES];
    struct ha_epoch epoch; /* of whose leader this is about */
    /* walreceiver */
    int64_t received_mono_ms; /* HA_NEVER */
    int64_t receiver_last_ms; /* as PostgreSQL said; compared, never reckoned with */
    uint64_t receive_lsn;
    int64_t raft_mono_ms;
    /* rounds */
    struct question *questions[ASKED]; /* NULL: not asked, or it came to nothing */
    int64_t round_mono_ms;             /* HA_NEVER: none yet */
    int64_t next_mono_ms;              /* no round before */
    int64_t asked_mono_ms;             /* the first without an answer; HA_NEVER */
    bool told;                         /* a cycle has been asked for since it counts */
    int64_t ready_mono_ms;             /* next look whether the store can depose */
    bool ready;
    char not_ready[ERROR_TEXT_BYTES]; /* as it was logged last */
};

static int64_t election_ms(const struct agent *agent)
{
    int heartbeat = 0;
    int election = 0;
    config_raft_timeouts(&agent->config->raft, agent->dynamic.ttl_ms, &election, &heartbeat);
    return election;
}

bool silence_is_asked_for(const struct agent *agent)
{
    const struct dynamic_config *dynamic = &agent->dynamic;
    return dynamic->early_failover && dynamic->synchronous_mode != DYNAMIC_SYNCHRONOUS_OFF &&
           dynamic->synchronous_mode_strict && config_is_raft_member(agent->config) &&
           !agent->unconfigured && agent->facts.config_revision >= 0;
}

static bool matters(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    const struct ha_cluster *cluster = &facts->cluster;
    return silence_is_asked_for(agent) && !agent->stopping && facts->run == HA_RUN_RUNNING &&
           facts->probe.role == PG_STANDBY && cluster->known && cluster->leader[0] != '\0' &&
           strcmp(cluster->leader, agent->config->name) != 0 && cluster->sync.present &&
           ha_sync_key_has(&cluster->sync, agent->config->name);
}

/* --- questions -------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    mem_free(arg);
}

static void question_drop(struct question *question)
{
    if (question == NULL) {
        return;
    }
    if (question->silence != NULL) {
        question->silence->questions[question->which] = NULL;
        question->silence = NULL;
    }
    if (question->connect != NULL) {
        tcp_connect_cancel(question->connect); /* its callback frees */
    } else if (question->stream != NULL) {
        stream_close(question->stream, on_closed, question);
    }
}

static void drop_all(struct loop_silence *silence)
{
    for (size_t i = 0; i < ASKED; i++) {
        question_drop(silence->questions[i]);
    }
}

static void schedule(struct loop_silence *silence);

static void answered(struct question *question)
{
    struct loop_silence *silence = question->silence;
    if (silence == NULL) {
        return;
    }
    silence->asked_mono_ms = HA_NEVER;
    silence->told = false;
    silence->next_mono_ms = agent_mono_ms(silence->agent) + election_ms(silence->agent);
    drop_all(silence);
    cycle_request(silence->agent);
}

static void on_read(void *arg, struct span bytes)
{
    (void)bytes;
    answered(arg);
}

/* A server that hangs up lives; a connection that breaks says nothing. */
static void on_end(void *arg, int rc, const struct error *err)
{
    struct question *question = arg;
    (void)err;
    if (rc == ERR_CLOSED) {
        answered(question);
    } else {
        question_drop(question);
    }
}

static bool tells_of_the_other_side(int rc)
{
    return rc == ERR_TIMEOUT || rc == ERR_REFUSED || rc == ERR_UNAVAILABLE || rc == ERR_CLOSED;
}

static void not_asked(struct loop_silence *silence, const struct error *err)
{
    if (silence->asked_mono_ms != HA_NEVER) {
        log_info("the leader's node could not be asked for a sign of life: %s", err->text);
    }
    silence->asked_mono_ms = HA_NEVER;
    silence->told = false;
}

static const struct stream_events events = {.on_read = on_read, .on_end = on_end};

static void on_connected(void *arg, int rc, struct stream *stream, const struct error *err)
{
    static const uint8_t request_tls[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
    struct question *question = arg;
    question->connect = NULL;
    question->stream = stream;
    if (rc != 0 || question->silence == NULL) {
        if (question->silence != NULL) {
            log_debug("asking the leader's node for a sign of life: %s", err->text);
            if (!tells_of_the_other_side(rc)) {
                not_asked(question->silence, err);
            }
            question->silence->questions[question->which] = NULL;
            question->silence = NULL;
        }
        if (stream == NULL) {
            mem_free(question);
        } else {
            stream_close(stream, on_closed, question);
        }
        return;
    }
    struct span hello = question->which == ASK_POSTGRESQL
                            ? span_of(request_tls, sizeof request_tls)
                            : span_str("GET /liveness HTTP/1.0\r\n\r\n");
    struct error ignored = {0};
    stream_attach(stream, &events, question);
    if (stream_read_start(stream, &ignored) != 0 ||
        stream_write(stream, hello, NULL, NULL, &ignored) != 0) {
        question_drop(question);
    }
}

/* Where both of them are; an address that nobody knows cannot be silent. */
static bool addresses(const struct loop_silence *silence, struct net_addr *ret_addresses)
{
    enum { POSTGRES_PORT = 5432, REST_PORT = 8008 };
    const struct ha_member *leader =
        ha_cluster_member(&silence->agent->facts.cluster, silence->leader);
    char host[PG_HOST_BYTES];
    for (int i = 0; i < ASKED; i++) {
        if (leader == NULL ||
            !member_url_address(i == ASK_POSTGRESQL ? leader->conn_url : leader->api_url,
                                i == ASK_POSTGRESQL ? POSTGRES_PORT : REST_PORT, host,
                                &ret_addresses[i].port)) {
            return false;
        }
        (void)snprintf(ret_addresses[i].host, sizeof ret_addresses[i].host, "%s", host);
    }
    return true;
}

static void ask(struct loop_silence *silence, int which, const struct net_addr *to)
{
    struct agent *agent = silence->agent;
    struct tcp_connect_options options = {.to = *to, .timeout_ms = election_ms(agent)};
    struct error err = {0};
    struct question *question = mem_new(struct question);
    *question = (struct question){.silence = silence, .which = which};
    if (tcp_connect_start(agent->loop, &options, on_connected, question, &question->connect,
                          &err) != 0) {
        mem_free(question);
        not_asked(silence, &err);
        return;
    }
    silence->questions[which] = question;
}

static void ask_all(struct loop_silence *silence, int64_t now)
{
    struct net_addr to[ASKED];
    int64_t election = election_ms(silence->agent);
    bool open = silence->questions[ASK_POSTGRESQL] != NULL || silence->questions[ASK_REST] != NULL;
    bool over = silence->round_mono_ms != HA_NEVER && now - silence->round_mono_ms >= election;
    if ((open && !over) || now < silence->next_mono_ms || !addresses(silence, to)) {
        return;
    }
    drop_all(silence);
    silence->round_mono_ms = now;
    silence->next_mono_ms = now + election / SILENCE_SUSPECT_PART;
    if (silence->asked_mono_ms == HA_NEVER) {
        silence->asked_mono_ms = now;
    }
    for (int i = 0; i < ASKED; i++) {
        ask(silence, i, &to[i]);
    }
}

/* --- what is missed --------------------------------------------------------------------------- */

void silence_take_probe(struct agent *agent, const struct pg_probe_result *result)
{
    struct loop_silence *silence = agent->silence;
    if (silence == NULL || result->role != PG_STANDBY || !result->receiver_alive) {
        return;
    }
    if (result->receiver_last_ms != silence->receiver_last_ms ||
        result->receive_lsn != silence->receive_lsn) {
        silence->receiver_last_ms = result->receiver_last_ms;
        silence->receive_lsn = result->receive_lsn;
        silence->received_mono_ms = agent_mono_ms(agent);
    }
}

static void take_raft(struct loop_silence *silence)
{
    struct agent *agent = silence->agent;
    struct raft_node *node = agent->group == NULL ? NULL : raft_group_node(agent->group);
    struct raft_status status;
    if (node == NULL) {
        return;
    }
    raft_node_status(node, &status);
    bool is_member = false;
    for (size_t i = 0; i < status.member_count; i++) {
        if (strcmp(status.members[i].name, silence->leader) == 0) {
            silence->raft_mono_ms = status.members[i].heard_mono_ms;
            is_member = true;
        }
    }
    if (!is_member) { /* a client of the group: that no member hears it says nothing */
        silence->raft_mono_ms = agent_mono_ms(agent);
    }
}

static bool is_missed(int64_t last_mono_ms, int64_t now, int64_t for_ms)
{
    return now - last_mono_ms >= for_ms;
}

static void calm(struct loop_silence *silence)
{
    drop_all(silence);
    silence->asked_mono_ms = HA_NEVER;
    silence->told = false;
}

/* It has to be ready before it is needed: then not every member is there. */
static void make_ready(struct loop_silence *silence, int64_t now)
{
    struct agent *agent = silence->agent;
    struct error err = {0};
    if (silence->ready || now < silence->ready_mono_ms) {
        return;
    }
    silence->ready_mono_ms = now + SILENCE_READY_MS;
    int rc = agent->dcs->ops->can_depose(agent->dcs, &err);
    silence->ready = rc == 0;
    if (rc == 0) {
        log_info("early_failover: the store is ready for it");
    } else if (rc != ERR_BUSY && strcmp(err.text, silence->not_ready) != 0) {
        log_warning("early_failover has no effect yet: %s", err.text);
        memcpy(silence->not_ready, err.text, sizeof silence->not_ready);
    }
}

/* When all that is missed has been for an election timeout; HA_NEVER while something is there. */
static int64_t due_at(const struct loop_silence *silence)
{
    int64_t since = silence->asked_mono_ms;
    if (since == HA_NEVER || silence->received_mono_ms == HA_NEVER) {
        return HA_NEVER;
    }
    since = silence->received_mono_ms > since ? silence->received_mono_ms : since;
    since = silence->raft_mono_ms > since ? silence->raft_mono_ms : since;
    return since + election_ms(silence->agent);
}

static void look(struct loop_silence *silence)
{
    struct agent *agent = silence->agent;
    int64_t now = agent_mono_ms(agent);
    int64_t suspect_ms = election_ms(agent) / SILENCE_SUSPECT_PART;

    make_ready(silence, now);
    take_raft(silence);
    bool raft = is_missed(silence->raft_mono_ms, now, suspect_ms);
    if (raft) {
        observe_probe_soon(agent); /* does WAL come? */
    }
    if (silence->received_mono_ms == HA_NEVER || !raft ||
        !is_missed(silence->received_mono_ms, now, suspect_ms)) {
        bool was = silence->told;
        calm(silence);
        if (was) {
            cycle_request(agent);
        }
        return;
    }
    ask_all(silence, now);
    int64_t due = due_at(silence);
    if (due != HA_NEVER && now >= due && !silence->told) {
        silence->told = true;
        cycle_request(agent);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct loop_silence *silence = timer->data;
    look(silence);
    schedule(silence);
}

static void schedule(struct loop_silence *silence)
{
    int64_t now = agent_mono_ms(silence->agent);
    int64_t wait = election_ms(silence->agent) / SILENCE_SUSPECT_PART;
    int64_t due = due_at(silence);
    if (due != HA_NEVER && due > now && due - now < wait) {
        wait = due - now;
    }
    (void)uv_timer_start(&silence->timer, on_timer, (uint64_t)wait, 0);
}

void silence_look(struct agent *agent)
{
    struct loop_silence *silence = agent->silence;
    if (silence == NULL) {
        return;
    }
    const struct ha_cluster *cluster = &agent->facts.cluster;
    bool watching = matters(agent);
    bool same = strcmp(silence->leader, cluster->leader) == 0 &&
                ha_epoch_equal(silence->epoch, cluster->leader_epoch);
    if (watching && silence->watching && same) {
        return; /* the timer runs */
    }
    calm(silence);
    silence->watching = watching;
    if (!watching) {
        (void)uv_timer_stop(&silence->timer);
        return;
    }
    if (!same) { /* of another's WAL and messages nothing is known yet */
        (void)snprintf(silence->leader, sizeof silence->leader, "%s", cluster->leader);
        silence->epoch = cluster->leader_epoch;
        silence->received_mono_ms = HA_NEVER;
        silence->raft_mono_ms = HA_NEVER;
        silence->next_mono_ms = 0;
    }
    schedule(silence);
}

void silence_fill(const struct agent *agent, struct ha_silence *ret_silence)
{
    const struct loop_silence *silence = agent->silence;
    *ret_silence = (struct ha_silence){HA_NEVER, HA_NEVER, HA_NEVER};
    if (silence != NULL && silence->watching) {
        ret_silence->wal_mono_ms = silence->received_mono_ms;
        ret_silence->asked_mono_ms = silence->asked_mono_ms;
        ret_silence->raft_mono_ms = silence->raft_mono_ms;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

int silence_start(struct agent *agent)
{
    struct loop_silence *silence = mem_new(struct loop_silence);
    int rc = uv_timer_init(agent->loop, &silence->timer);
    if (rc != 0) {
        mem_free(silence);
        return rc;
    }
    silence->timer.data = silence;
    silence->agent = agent;
    silence->received_mono_ms = HA_NEVER;
    silence->raft_mono_ms = HA_NEVER;
    silence->round_mono_ms = HA_NEVER;
    silence->asked_mono_ms = HA_NEVER;
    agent->silence = silence;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void silence_stop(struct agent *agent)
{
    struct loop_silence *silence = agent->silence;
    if (silence != NULL) {
        agent->silence = NULL;
        drop_all(silence);
        uv_close((uv_handle_t *)&silence->timer, on_timer_closed);
    }
}
