/* Any bytes as a message of another member: the decoder must refuse or read them, what it read must
 * be written again as the same bytes, and a node that receives it must live on. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/node_impl.h"
#include "raft/engine/peer_wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct job {
    void (*done)(void *arg);
    void *arg;
};

struct disk {
    struct job jobs[64];
    size_t count;
};

static void submit(void *arg, const struct raft_storage_job *job, void (*done)(void *job_arg),
                   void *job_arg)
{
    struct disk *disk = arg;
    if (job->has_snapshot) { /* what is stored can be read again */
        struct store *store = store_new();
        int rc = store_restore(store, job->snapshot, NULL);
        ASSERT(rc == 0 && store_applied(store) == job->snapshot_index);
        store_free(store);
    }
    ASSERT(disk->count < sizeof(disk->jobs) / sizeof(disk->jobs[0]));
    disk->jobs[disk->count++] = (struct job){done, job_arg};
}

static void finish(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) { /* a completion may add jobs */
        disk->jobs[i].done(disk->jobs[i].arg);
    }
    disk->count = 0;
}

static void send(void *arg, uint64_t to, struct span frame)
{
    (void)arg;
    (void)to;
    (void)frame;
}

static bool connected(void *arg, uint64_t id)
{
    (void)arg;
    (void)id;
    return true;
}

static int64_t now_ms;

static int64_t now(void *arg)
{
    (void)arg;
    return now_ms;
}

static int64_t zero(void *arg)
{
    (void)arg;
    return 0;
}

static uint64_t next(void *arg)
{
    (void)arg;
    return 4;
}

static void arm(void *arg, int64_t delay_ms)
{
    (void)arg;
    (void)delay_ms;
}

static void on_change(void *arg)
{
    (void)arg;
}

/* A log that contradicts a committed one, or an entry of a newer release: the member ends itself,
 * as it must. */
static void on_fatal(void *arg, const struct error *err)
{
    (void)arg;
    (void)err;
}

static struct raft_node *start(struct disk *disk)
{
    static const struct raft_storage_ops storage = {.submit = submit};
    static const struct raft_peer_ops peers = {
        .send = send, .connected = connected, .knows_format_2 = connected};
    static const struct clock clock = {now, now, zero, now, NULL};
    static const struct random random = {next, NULL};
    struct raft_env env = {
        .storage = &storage,
        .storage_arg = disk,
        .peers = &peers,
        .clock = &clock,
        .random = &random,
        .arm = arm,
        .on_change = on_change,
        .on_fatal = on_fatal,
    };
    struct raft_node_config config = {
        .name = "a", .address = "a:1", .election_timeout_ms = 500, .heartbeat_ms = 50};
    uint64_t ids[] = {1, 2, 3};
    struct buf bytes = BUF_INIT;
    struct raft_node *node = NULL;
    int rc = raft_first_configuration(ids, 3, &bytes, NULL);
    ASSERT(rc == 0);
    struct raft_entry_rec entry = {
        .index = 1, .term = 1, .type = RAFT_CHANGE, .data = buf_span(&bytes)};
    struct raft_boot boot = {.id = 1, .cluster = 1, .term = 1, .entries = &entry, .entry_count = 1};
    rc = raft_node_start(&config, &env, &boot, &node, NULL);
    ASSERT(rc == 0);
    buf_free(&bytes);
    return node;
}

static void round_trip(struct span input)
{
    struct peer_message message;
    struct buf arena = BUF_INIT;
    struct buf again = BUF_INIT;
    if (peer_wire_decode(input, &message, &arena, NULL) == 0) {
        peer_wire_encode(&message, &again);
        ASSERT(span_equal(input, buf_span(&again)));
    }
    buf_free(&arena);
    buf_free(&again);
}

/* Two rounds, pre-vote and vote: then it leads, with an entry of its own. */
static void lead(struct raft_node *node, struct disk *disk)
{
    now_ms += 2000;
    raft_node_tick(node);
    for (int pre_vote = 1; pre_vote >= 0; pre_vote--) {
        struct buf bytes = BUF_INIT;
        struct peer_message result = {.kind = PEER_VOTE_RESULT, .version = 2, .term = 2};
        result.vote_result = (struct peer_vote_result){.granted = true, .pre_vote = pre_vote == 1};
        peer_wire_encode(&result, &bytes);
        finish(disk);
        raft_node_receive(node, 2, buf_span(&bytes));
        buf_free(&bytes);
    }
    finish(disk);
    ASSERT(node_is_leader(node));
    raft_node_tick(node);
    finish(disk);
}

/* A byte that says whether the node leads, then messages, each with a length of two bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk disk = {.count = 0};
    now_ms = 1000;
    struct raft_node *node = start(&disk);
    size_t at = size > 0 ? 1 : 0;
    if (size > 0 && data[0] % 2 == 1) {
        lead(node, &disk);
    }
    while (at + 2 <= size && disk.count < 16) {
        size_t len = (size_t)data[at] | (size_t)data[at + 1] << 8;
        at += 2;
        len = len < size - at ? len : size - at;
        round_trip(span_of(data + at, len));
        raft_node_receive(node, 2 + at % 2, span_of(data + at, len));
        if (len % 3 == 0) {
            finish(&disk);
            now_ms += 30;
            raft_node_tick(node);
        }
        at += len;
    }
    raft_node_stop(node);
    finish(&disk);
    return 0;
}
