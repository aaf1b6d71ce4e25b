/* Probe and questions to peers: short tasks that are no jobs.
 *
 * The probe's connection is kept between probes: it moves into the task and, if it still can take a
 * query, back. A kept connection that turns out dead (the server was restarted) is replaced once.
 *
 * A standby without a walreceiver is asked once more, by a walsender: SQL does not tell its
 * timeline (pg_answers.c). That connection is made for the question, and only when the position has
 * moved: a kept one would stand in pg_stat_replication and take a place of max_wal_senders. Where
 * it is not let in, the position counts as not known.
 *
 * Two facts outlive the walreceiver that showed them, for as long as the postmaster is the same and
 * has not been through a crash of its children (which forgets the received position): the timeline
 * that was received, and that the local WAL has been replayed. They are needed just when the
 * primary and with it the walreceiver are gone. */
#include "pgctl/jobs/pg_probe.h"

#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_postmaster.h"
#include "pgctl/sql/pg_answers.h"

#include <string.h>

struct pg_probe {
    struct pg_instance *pg;
    struct pg_conn *conn; /* kept; NULL while a probe has it */
    bool busy;
    int64_t known_start_ms; /* of the postmaster that the next ones speak of */
    uint32_t known_timeline;
    bool known_replayed;
    uint64_t exact_lsn; /* replayed up to here, known_timeline is exact; 0 = it is not */
};

enum { PROBE_CONNECT, PROBE_LOOKED, PROBE_ASK, PROBE_READ, PROBE_IDENTIFY, PROBE_IDENTIFIED };

struct probe_data {
    struct pg_probe_result result;
    pg_probe_cb done;
    void *arg;
    bool kept; /* the query went over the kept connection */
    const char *data_dir;
    struct pg_pidfile pidfile;
};

struct pg_probe *pg_probe_new(struct pg_instance *pg)
{
    struct pg_probe *probe = mem_new(struct pg_probe);
    probe->pg = pg;
    return probe;
}

void pg_probe_free(struct pg_probe *probe)
{
    if (probe != NULL) {
        pg_conn_free(probe->conn);
        mem_free(probe);
    }
}

void pg_probe_disconnect(struct pg_probe *probe)
{
    if (probe != NULL) {
        pg_conn_free(probe->conn);
        probe->conn = NULL;
    }
}

/* Before the timeline is asked for: what is known spares the question. */
static void recall(const struct pg_probe *probe, struct pg_probe_result *result)
{
    bool same = probe->known_start_ms == result->postmaster_start_ms && result->role == PG_STANDBY;
    bool received = same && result->receive_lsn != 0;
    bool stands = same && result->replay_lsn != 0 && result->replay_lsn == probe->exact_lsn &&
                  result->receive_lsn <= result->replay_lsn;

    if ((received || stands) && probe->known_timeline > result->timeline) {
        result->timeline = probe->known_timeline;
    }
    result->local_wal_replayed = result->local_wal_replayed || (received && probe->known_replayed);
    result->timeline_exact = result->timeline_exact || stands;
}

static void remember(struct pg_probe *probe, const struct pg_probe_result *result)
{
    probe->known_start_ms = result->postmaster_start_ms;
    probe->known_timeline = result->timeline;
    probe->known_replayed = result->local_wal_replayed;
    probe->exact_lsn = result->timeline_exact && !result->receiver_alive ? result->replay_lsn : 0;
}

static void probe_ask(struct pg_task *task)
{
    task->state = PROBE_READ;
    ((struct probe_data *)task->data)->result.asked_ms = clock_mono_ms(task->pg->clock);
    pg_task_query(task, pg_probe_sql);
}

static int look_work(void *arg, struct error *err)
{
    struct probe_data *data = arg;
    return pg_pidfile_read(data->data_dir, &data->pidfile, err);
}

static void probe_connect(struct pg_task *task)
{
    struct pg_probe *probe = task->pg->probe;
    struct probe_data *data = task->data;

    if (pg_conn_usable(probe->conn)) {
        task->conn = probe->conn;
        probe->conn = NULL;
        data->kept = true;
        probe_ask(task);
        return;
    }
    pg_probe_disconnect(probe);
    data->data_dir = task->pg->config.data_dir;
    task->state = PROBE_LOOKED;
    pg_task_work(task, look_work, data);
}

/* A server that is starting or stopping would answer with an error, and log it. While it is started
 * by us, whoever does that sees when it is ready: before it has written its pid file there may be
 * none, or that of one that was killed. */
static void probe_looked(struct pg_task *task)
{
    const struct probe_data *data = task->data;
    const struct pg_task *job = task->pg->job;
    if (job != NULL && job->ops->job == PG_JOB_START) {
        pg_task_fail_with(task, ERR_UNAVAILABLE, "it is being started");
        return;
    }
    if (task->rc == 0 && !pg_pidfile_is_ready(&data->pidfile)) {
        pg_task_fail_with(task, ERR_UNAVAILABLE, "it lets nobody in yet, its pid file says '%s'",
                          data->pidfile.status);
        return;
    }
    task->state = PROBE_ASK; /* without a pid file a connection has to tell */
    pg_task_connect_local(task);
}

static void probe_end(struct pg_task *task)
{
    struct pg_probe_result *result = &((struct probe_data *)task->data)->result;

    remember(task->pg->probe, result);
    result->local_wal_replayed = result->local_wal_replayed && result->timeline_exact;
    pg_task_end(task);
}

static void probe_read(struct pg_task *task)
{
    struct pg_probe *probe = task->pg->probe;
    struct probe_data *data = task->data;

    if (task->rc == ERR_CLOSED && data->kept) {
        data->kept = false;
        probe_connect(task);
        return;
    }
    if (task->rc == 0) {
        struct pg_conf conf = pg_instance_conf(task->pg, false);
        task->rc = pg_probe_read(&task->answer, &conf, &data->result, &task->err);
    }
    if (task->rc != 0) {
        error_wrap(&task->err, "probing the local server");
        pg_task_fail(task);
        return;
    }
    data->result.answered_ms = clock_mono_ms(task->pg->clock);
    recall(probe, &data->result);
    probe->conn = task->conn;
    task->conn = NULL;
    if (data->result.local_wal_replayed && !data->result.timeline_exact) {
        task->state = PROBE_IDENTIFY;
        pg_task_connect_walsender(task);
        return;
    }
    probe_end(task);
}

static void probe_identified(struct pg_task *task)
{
    struct probe_data *data = task->data;
    if (task->rc == 0) {
        pg_identify_read(&task->answer, &data->result);
    }
    probe_end(task);
}

/* "The database system is starting up" is not "too many clients already". */
static void tell_full(struct pg_task *task)
{
    if (task->rc == ERR_UNAVAILABLE && strstr(task->err.text, "57P03:") == NULL) {
        task->rc = ERR_LIMIT;
    }
}

static void probe_step(struct pg_task *task)
{
    bool identifies = task->state == PROBE_IDENTIFY || task->state == PROBE_IDENTIFIED;

    if (task->state == PROBE_CONNECT) {
        probe_connect(task);
    } else if (task->state == PROBE_LOOKED) {
        probe_looked(task);
    } else if (task->state == PROBE_READ) {
        probe_read(task);
    } else if (task->state == PROBE_IDENTIFY && task->rc == 0) {
        task->state = PROBE_IDENTIFIED;
        pg_task_query(task, pg_identify_sql);
    } else if (identifies) {
        probe_identified(task);
    } else if (task->rc != 0) {
        tell_full(task);
        error_wrap(&task->err, "connecting to the local server");
        pg_task_fail(task);
    } else {
        probe_ask(task);
    }
}

static void probe_told(struct pg_task *task)
{
    struct probe_data *data = task->data;
    if (task->pg->probe != NULL) {
        task->pg->probe->busy = false;
    }
    data->done(data->arg, task->rc, task->rc == 0 ? &data->result : NULL, &task->err);
}

int pg_instance_probe(struct pg_instance *instance, int64_t timeout_ms, pg_probe_cb done, void *arg,
                      struct error *err)
{
    static const struct pg_task_ops ops = {.name = "probe", .step = probe_step, .tell = probe_told};

    if (instance->probe != NULL && instance->probe->busy) {
        return error_set(err, ERR_BUSY, "a probe is under way");
    }
    struct probe_data *data = mem_new(struct probe_data);
    data->done = done;
    data->arg = arg;
    int rc = pg_task_start(instance, &ops, data,
                           timeout_ms > 0 ? timeout_ms : instance->config.probe_timeout_ms, NULL,
                           NULL, NULL, err);
    if (rc != 0) {
        mem_free(data);
        return rc;
    }
    instance->probe->busy = true;
    return 0;
}

/* --- peers ------------------------------------------------------------------------------------ */

struct peer_data {
    struct pg_peer_facts facts;
    char host[PG_HOST_BYTES];
    uint16_t port;
    pg_peer_cb done;
    void *arg;
};

static void peer_step(struct pg_task *task)
{
    struct peer_data *data = task->data;
    struct pg_conn_target target = pg_peer_target(task->pg, data->host, data->port);
    int state = task->state++;

    if (state == 0) {
        pg_task_connect(task, &target);
        return;
    }
    if (state == 1 && task->rc == 0) {
        data->facts.asked_ms = clock_mono_ms(task->pg->clock);
        pg_task_query(task, pg_peer_sql);
        return;
    }
    if (task->rc == 0) {
        task->rc = pg_peer_read(&task->answer, &data->facts, &task->err);
    }
    if (task->rc != 0) {
        error_wrap(&task->err, "asking PostgreSQL at %s:%u", data->host, data->port);
        pg_task_fail(task);
        return;
    }
    data->facts.answered_ms = clock_mono_ms(task->pg->clock);
    pg_task_end(task);
}

static void peer_release(struct pg_task *task)
{
    pg_history_free(&((struct peer_data *)task->data)->facts.history);
}

static void peer_told(struct pg_task *task)
{
    struct peer_data *data = task->data;
    data->done(data->arg, task->rc, task->rc == 0 ? &data->facts : NULL, &task->err);
}

int pg_instance_ask_peer(struct pg_instance *instance, const char *host, uint16_t port,
                         int64_t timeout_ms, pg_peer_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "ask peer", .step = peer_step, .tell = peer_told, .release = peer_release};

    if (strlen(host) >= PG_HOST_BYTES) {
        return error_set(err, ERR_INVALID, "the host name of a peer is too long");
    }
    struct peer_data *data = mem_new(struct peer_data);
    memcpy(data->host, host, strlen(host) + 1);
    data->port = port;
    data->done = done;
    data->arg = arg;
    int rc = pg_task_start(instance, &ops, data, timeout_ms, NULL, NULL, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
