/* TCP connections that an agent makes to the PostgreSQL and the REST server of other hosts. All
 * that they are made for is whether somebody answers (agent/loop/silence.c). The functions bear the
 * names of base/net/tcp.h and are found before the library's.
 *
 *   SYN -> the kernel over there: somebody listens, or nobody -> SYN-ACK or reset
 *   request -> the server over there -> its answer
 *
 * Each is a packet of the simulated network: it is cut off on its way, or lost and sent again in
 * the kernel's time, or late. A process that stands still (SIGSTOP, a postmaster that hangs) is
 * connected by its kernel and stays mute; a host that is frozen or without power says nothing. */
#include "sim_connect.h"

#include "sim_depose.h"
#include "sim_instance.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tcp.h"

#include <string.h>

enum {
    AGAIN_SYN_MS = 1000, /* of the kernel: sent again after so long */
    AGAIN_MS = 200,
    LOOK_MS = 50, /* a server that hangs takes what waits when it does so no more */
    REPLY_MS = 5,
    SHORT_PERMILLE = 5, /* the asking process has no descriptor left */
    REST_PORT = 8008,
};

enum stage { CONNECTING, OPEN, CANCELED, CLOSING };
enum packet { SYN, SYN_ACK, RESET, REQUEST, ANSWER };

struct tcp_connect {
    struct stream stream; /* first: an open one is its stream */
    struct list link;
    uint64_t number; /* events name it: it may be gone by then */
    struct sim_node *node;
    struct sim_node *peer;
    enum sim_port port;
    enum stage stage;
    tcp_connect_done done;
    void *arg;
    stream_closed closed;
    void *closed_arg;
};

static struct list connects = {&connects, &connects};
static uint64_t number_last;

static struct tcp_connect *find(uint64_t number)
{
    LIST_EACH(item, &connects)
    {
        struct tcp_connect *connect = LIST_OWNER(item, struct tcp_connect, link);
        if (connect->number == number) {
            return connect;
        }
    }
    return NULL;
}

static void connect_free(struct tcp_connect *connect)
{
    list_remove(&connect->link);
    mem_free(connect);
}

/* The end of an attempt. */
static void fail(struct tcp_connect *connect, int rc, const char *text)
{
    struct error err = {0};
    tcp_connect_done done = connect->done;
    void *arg = connect->arg;
    (void)error_set(&err, rc, "%s", text);
    connect_free(connect);
    done(arg, rc, NULL, &err);
}

/* --- the other host --------------------------------------------------------------------------- */

static void packet_send(const struct tcp_connect *connect, enum packet packet);

static bool has_power(const struct tcp_connect *connect)
{
    return !sim_machine_of(connect->peer)->off;
}

static bool listens(const struct tcp_connect *connect)
{
    const struct sim_machine *machine = sim_machine_of(connect->peer);
    return connect->port == SIM_PORT_POSTGRES ? machine->phase != SIM_DOWN && !machine->orphans
                                              : connect->peer->agent != NULL;
}

static void agent_answers(void *arg, uint64_t number, uint64_t b)
{
    const struct tcp_connect *connect = find(number);
    (void)arg;
    (void)b;
    if (connect != NULL) {
        packet_send(connect, ANSWER);
    }
}

/* PostgreSQL says at once whether it speaks TLS, whatever state it is in. */
static void server_looks(void *arg, uint64_t number, uint64_t b)
{
    const struct tcp_connect *connect = find(number);
    (void)arg;
    (void)b;
    if (connect == NULL || !has_power(connect)) {
        return;
    }
    struct sim_node *peer = connect->peer;
    int64_t reply_ms = 1 + (int64_t)sim_below(peer->world, REPLY_MS);
    if (!listens(connect)) {
        packet_send(connect, RESET);
    } else if (connect->port == SIM_PORT_REST) {
        sim_node_at(peer, reply_ms, agent_answers, peer, number, 0);
    } else if (sim_machine_hangs(sim_machine_of(peer))) {
        sim_host_at(peer, LOOK_MS, server_looks, peer, number, 0);
    } else {
        packet_send(connect, ANSWER);
    }
}

/* --- packets ---------------------------------------------------------------------------------- */

static void arrives_there(const struct tcp_connect *connect, enum packet packet)
{
    if (!has_power(connect)) {
        return;
    }
    if (packet == REQUEST) {
        server_looks(NULL, connect->number, 0);
    } else {
        packet_send(connect, listens(connect) ? SYN_ACK : RESET);
    }
}

static void arrives_here(struct tcp_connect *connect, enum packet packet)
{
    struct error err = {0};
    if (packet == SYN_ACK && connect->stage == CONNECTING) {
        connect->stage = OPEN;
        connect->done(connect->arg, 0, &connect->stream, NULL);
    } else if (packet == RESET && connect->stage == CONNECTING) {
        fail(connect, ERR_REFUSED, "refused");
    } else if (packet == RESET && connect->stage == OPEN) {
        (void)error_set(&err, ERR_IO, "reset");
        connect->stream.events->on_end(connect->stream.arg, ERR_IO, &err);
    } else if (packet == ANSWER && connect->stage == OPEN) {
        sim_depose_answered(connect->node, connect->peer->index);
        connect->stream.events->on_read(connect->stream.arg, span_str("N"));
    }
}

static bool goes_there(enum packet packet)
{
    return packet == SYN || packet == REQUEST;
}

static bool passes(const struct tcp_connect *connect, enum packet packet)
{
    unsigned here = connect->node->index;
    unsigned there = connect->peer->index;
    return sim_world_passes(connect->node->world, connect->port, goes_there(packet) ? here : there,
                            goes_there(packet) ? there : here);
}

static void arrive(void *arg, uint64_t number, uint64_t packet)
{
    struct tcp_connect *connect = find(number);
    (void)arg;
    if (connect == NULL || connect->stage > OPEN) {
        return;
    }
    if (!passes(connect, (enum packet)packet)) {
        packet_send(connect, (enum packet)packet); /* nobody has acknowledged it */
    } else if (goes_there((enum packet)packet)) {
        arrives_there(connect, (enum packet)packet);
    } else {
        arrives_here(connect, (enum packet)packet);
    }
}

static void packet_send(const struct tcp_connect *connect, enum packet packet)
{
    struct sim_world *world = connect->node->world;
    struct sim_node *to = goes_there(packet) ? connect->peer : connect->node;
    const struct sim_node *from = goes_there(packet) ? connect->node : connect->peer;
    bool lost = world->faults_on && sim_chance(world, world->setup.loss_permille);
    int64_t delay = 1 + (int64_t)sim_below(world, 3) + world->late_ms[from->index][to->index];
    if (lost || !passes(connect, packet)) {
        delay += packet == SYN || packet == SYN_ACK ? AGAIN_SYN_MS : AGAIN_MS;
    } else if (world->faults_on && sim_chance(world, world->setup.straggler_permille)) {
        delay += (int64_t)sim_below(world, world->setup.straggle_ms);
    }
    if (goes_there(packet)) {
        sim_host_at(to, delay, arrive, to, connect->number, packet);
    } else {
        sim_node_at(to, delay, arrive, to, connect->number, packet);
    }
}

/* --- the stream ------------------------------------------------------------------------------- */

static int stream_reads(struct stream *stream, struct error *err)
{
    (void)stream;
    (void)err;
    return 0;
}

static int stream_sends(struct stream *stream, struct span bytes, stream_done done, void *arg,
                        struct error *err)
{
    (void)bytes;
    (void)arg;
    (void)err;
    ASSERT(done == NULL);
    packet_send((const struct tcp_connect *)(const void *)stream, REQUEST);
    return 0;
}

static void closed(void *arg, uint64_t number, uint64_t b)
{
    struct tcp_connect *connect = find(number);
    (void)arg;
    (void)b;
    stream_closed tell = connect->closed;
    void *whom = connect->closed_arg;
    connect_free(connect);
    tell(whom);
}

static void stream_closes(struct stream *stream, stream_closed done, void *arg)
{
    struct tcp_connect *connect = (struct tcp_connect *)(void *)stream;
    ASSERT(connect->stage == OPEN && done != NULL);
    connect->stage = CLOSING;
    connect->closed = done;
    connect->closed_arg = arg;
    sim_node_at(connect->node, 0, closed, connect->node, connect->number, 0);
}

static const struct stream_ops stream_ops = {
    .read_start = stream_reads, .write = stream_sends, .close = stream_closes};

/* --- tcp.h ------------------------------------------------------------------------------------ */

static void timed_out(void *arg, uint64_t number, uint64_t b)
{
    struct tcp_connect *connect = find(number);
    (void)arg;
    (void)b;
    if (connect != NULL && connect->stage == CONNECTING) {
        fail(connect, ERR_TIMEOUT, "timed out");
    }
}

int tcp_connect_start(uv_loop_t *loop, const struct tcp_connect_options *options,
                      tcp_connect_done done, void *arg, struct tcp_connect **ret_connect,
                      struct error *err)
{
    struct sim_node *node = loop->data;
    struct sim_world *world = node->world;
    int peer = sim_host_index(world, options->to.host);
    ASSERT(peer >= 0);
    if (world->faults_on && sim_chance(world, SHORT_PERMILLE)) {
        return error_set(err, ERR_LIMIT, "no descriptor is left");
    }
    struct tcp_connect *connect = mem_new(struct tcp_connect);
    *connect = (struct tcp_connect){.stream = {.ops = &stream_ops},
                                    .number = ++number_last,
                                    .node = node,
                                    .peer = &world->nodes[peer],
                                    .port = options->to.port == REST_PORT ? SIM_PORT_REST
                                                                          : SIM_PORT_POSTGRES,
                                    .stage = CONNECTING,
                                    .done = done,
                                    .arg = arg};
    list_append(&connects, &connect->link);
    packet_send(connect, SYN);
    sim_node_at(node, options->timeout_ms, timed_out, node, connect->number, 0);
    *ret_connect = connect;
    return 0;
}

static void canceled(void *arg, uint64_t number, uint64_t b)
{
    struct tcp_connect *connect = find(number);
    (void)arg;
    (void)b;
    fail(connect, ERR_CANCELED, "canceled");
}

void tcp_connect_cancel(struct tcp_connect *connect)
{
    ASSERT(connect->stage == CONNECTING);
    connect->stage = CANCELED;
    sim_node_at(connect->node, 0, canceled, connect->node, connect->number, 0);
}

/* --- the end of an agent ---------------------------------------------------------------------- */

void sim_connects_drop(const struct sim_node *node)
{
    LIST_EACH(item, &connects)
    {
        struct tcp_connect *connect = LIST_OWNER(item, struct tcp_connect, link);
        if (connect->node != node) {
            continue;
        }
        ASSERT(connect->stage == CANCELED || connect->stage == CLOSING);
        if (connect->stage == CANCELED) {
            fail(connect, ERR_CANCELED, "the agent has ended");
        } else {
            closed(NULL, connect->number, 0);
        }
    }
}
