/* Virtual time, the generator, the clocks and the network. */
#include "sim.h"
#include "sim_depose.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct sim_node *sim_running;

struct sim_event {
    int64_t at;
    uint64_t number; /* among equal times: in the order of asking */
    sim_fn fn;
    void *arg;
    uint64_t a;
    uint64_t b;
    struct sim_node *node; /* NULL = the world's */
    uint64_t incarnation;  /* 0 = what outlives its agent */
    int64_t stopped_ms;    /* for how long its clock had stood still when this was asked for */
    int64_t due_ms;        /* on the node's clock: not before; INT64_MIN = now */
};

struct sim_held {
    struct list link;
    struct sim_event event;
};

/* --- generator (splitmix64) ------------------------------------------------------------------- */

uint64_t sim_random(struct sim_world *world)
{
    uint64_t z = world->random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_below(struct sim_world *world, uint64_t bound)
{
    ASSERT(bound > 0);
    return sim_random(world) % bound;
}

bool sim_chance(struct sim_world *world, unsigned permille)
{
    return sim_below(world, 1000) < permille;
}

int64_t sim_ttl_ms(const struct sim_world *world)
{
    return world->ttl_ms;
}

/* --- heap ------------------------------------------------------------------------------------- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

/* Both ways what is moved waits outside until its place is found. */
static void heap_push(struct sim_world *world, const struct sim_event *event)
{
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity == 0 ? 256 : world->heap_capacity * 2;
        world->heap = mem_resize(world->heap, world->heap_capacity * sizeof(*world->heap));
    }
    struct sim_event moved = *event;
    moved.number = world->event_number++;
    size_t at = world->heap_count++;
    while (at > 0 && event_before(&moved, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = moved;
}

static struct sim_event heap_pop(struct sim_world *world)
{
    struct sim_event first = world->heap[0];
    struct sim_event moved = world->heap[--world->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < world->heap_count; child = 2 * at + 1) {
        if (child + 1 < world->heap_count &&
            event_before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!event_before(&world->heap[child], &moved)) {
            break;
        }
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = moved;
    return first;
}

void sim_at(struct sim_world *world, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a, uint64_t b)
{
    struct sim_event event = {
        .at = world->now + (delay_ms < 0 ? 0 : delay_ms), .fn = fn, .arg = arg, .a = a, .b = b};
    heap_push(world, &event);
}

void sim_node_at(struct sim_node *node, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a,
                 uint64_t b)
{
    /* A timer never fires before its time on the node's own clock. */
    int64_t delay =
        delay_ms <= 0 ? 0 : (delay_ms * 1000000 + 999999) / (1000000 + node->rate_ppm) + 1;
    struct sim_event event = {.at = node->world->now + delay,
                              .fn = fn,
                              .arg = arg,
                              .a = a,
                              .b = b,
                              .node = node,
                              .incarnation = node->incarnation,
                              .stopped_ms = node->stopped_ms,
                              .due_ms =
                                  delay_ms <= 0 ? INT64_MIN : sim_node_clock(node) + delay_ms};
    heap_push(node->world, &event);
}

void sim_host_at(struct sim_node *node, int64_t delay_ms, sim_fn fn, void *arg, uint64_t a,
                 uint64_t b)
{
    struct sim_event event = {.at = node->world->now + (delay_ms < 0 ? 0 : delay_ms),
                              .fn = fn,
                              .arg = arg,
                              .a = a,
                              .b = b,
                              .node = node,
                              .stopped_ms = node->stopped_ms};
    heap_push(node->world, &event);
}

/* --- pause ------------------------------------------------------------------------------------ */

/* What waited happens now; what was set by a clock that stood still, as much later as it stood. */
static void push_held(struct sim_node *node, struct list *held_events)
{
    while (!list_empty(held_events)) {
        struct sim_held *held = LIST_OWNER(list_first(held_events), struct sim_held, link);
        struct sim_event *event = &held->event;
        list_remove(&held->link);
        event->at = event->node != NULL ? event->at + node->stopped_ms - event->stopped_ms : 0;
        event->at = event->at < node->world->now ? node->world->now : event->at;
        event->stopped_ms = node->stopped_ms;
        heap_push(node->world, event);
        mem_free(held);
    }
}

void sim_node_resume(struct sim_node *node)
{
    node->paused = false;
    sim_trace(node->world, "%s resumes", node->name);
    push_held(node, &node->held);
}

static void pause_over(void *arg, uint64_t incarnation, uint64_t b)
{
    struct sim_node *node = arg;
    (void)b;
    if (node->incarnation == incarnation && node->paused && node->world->now >= node->resume_ms) {
        sim_node_resume(node);
    }
}

void sim_node_pause(struct sim_node *node, int64_t ms)
{
    sim_trace(node->world, "%s is paused for %lld ms", node->name, (long long)ms);
    node->paused = true;
    node->resume_ms = node->world->now + ms;
    sim_at(node->world, ms, pause_over, node, node->incarnation, 0);
}

static void held_drop(struct list *held_events)
{
    while (!list_empty(held_events)) {
        struct sim_held *held = LIST_OWNER(list_first(held_events), struct sim_held, link);
        list_remove(&held->link);
        mem_free(held);
    }
}

void sim_node_held_drop(struct sim_node *node)
{
    node->paused = false;
    held_drop(&node->held);
}

static void hold(struct list *held_events, const struct sim_event *event)
{
    struct sim_held *held = mem_new(struct sim_held);
    held->event = *event;
    list_append(held_events, &held->link);
}

/* --- freeze ----------------------------------------------------------------------------------- */

void sim_host_thaw(struct sim_node *node)
{
    if (!node->frozen) {
        return;
    }
    sim_trace(node->world, "%s thaws", node->name);
    int64_t stood_ms = node->world->now - node->frozen_ms;
    sim_agent_thaws(node);
    node->frozen = false;
    if (node->clock_stands) {
        node->clock_stands = false;
        node->stopped_ms += stood_ms;
        node->offset_ms -= stood_ms + stood_ms * node->rate_ppm / 1000000;
    }
    push_held(node, &node->host_held);
    if (node->paused) {
        sim_node_resume(node);
    }
}

static void thaw(void *arg, uint64_t frozen_ms, uint64_t b)
{
    struct sim_node *node = arg;
    (void)b;
    if (node->frozen && node->frozen_ms == (int64_t)frozen_ms) {
        sim_host_thaw(node);
    }
}

void sim_host_freeze(struct sim_node *node, int64_t ms, bool clock_stands)
{
    if (node->frozen || node->paused) {
        return;
    }
    sim_trace(node->world, "%s is frozen for %lld ms%s", node->name, (long long)ms,
              clock_stands ? ", its clock too" : "");
    node->frozen = true;
    node->frozen_ms = node->world->now;
    node->clock_stands = clock_stands;
    node->paused = node->raft != NULL;
    node->resume_ms = INT64_MAX;
    sim_at(node->world, ms, thaw, node, (uint64_t)node->frozen_ms, 0);
}

/* --- running ---------------------------------------------------------------------------------- */

static void run_event(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = event->node;
    if (node != NULL && event->incarnation != 0 && node->incarnation != event->incarnation) {
        return;
    }
    if (node != NULL && (event->incarnation != 0 ? node->paused : node->frozen)) {
        hold(event->incarnation != 0 ? &node->held : &node->host_held, event);
        return;
    }
    if (node != NULL && event->incarnation != 0 && sim_node_clock(node) < event->due_ms) {
        event->at = node->world->now + 1; /* its clock goes slower than it did */
        heap_push(node->world, event);
        return;
    }
    if (node != NULL && event->incarnation == 0 && event->stopped_ms != node->stopped_ms) {
        event->at += node->stopped_ms - event->stopped_ms;
        event->stopped_ms = node->stopped_ms;
        heap_push(node->world, event);
        return;
    }
    sim_running = node;
    sim_hash(world, (uint64_t)event->at << 8 ^ event->number ^
                        (node != NULL ? (uint64_t)node->index + 1 : 0) << 56);
    event->fn(event->arg, event->a, event->b);
}

void sim_run_until(struct sim_world *world, int64_t until_ms)
{
    while (world->heap_count > 0 && world->heap[0].at <= until_ms && world->failure == NULL) {
        struct sim_event event = heap_pop(world);
        ASSERT(event.at >= world->now);
        world->now = event.at;
        run_event(world, &event);
    }
    if (world->failure == NULL) {
        world->now = until_ms;
    }
}

void sim_hash(struct sim_world *world, uint64_t value)
{
    world->hash = (world->hash ^ value) * 0x9e3779b97f4a7c15u;
    world->hash ^= world->hash >> 29;
}

/* --- clocks ----------------------------------------------------------------------------------- */

int64_t sim_node_clock(const struct sim_node *node)
{
    int64_t now = node->clock_stands ? node->frozen_ms : node->world->now;
    return node->offset_ms + now + now * node->rate_ppm / 1000000;
}

void sim_node_set_rate(struct sim_node *node, int64_t rate_ppm)
{
    int64_t before = sim_node_clock(node);
    node->rate_ppm = rate_ppm;
    node->offset_ms += before - sim_node_clock(node);
}

static int64_t clock_read(void *arg)
{
    return sim_node_clock(arg);
}

static int64_t clock_zero(void *arg)
{
    (void)arg;
    return 0;
}

static uint64_t node_random(void *arg)
{
    struct sim_node *node = arg;
    return sim_random(node->world);
}

/* --- network ---------------------------------------------------------------------------------- */

/* A frame on its way. It outlives both ends: the receiver is looked up when it arrives. */
struct sim_frame {
    struct list link;
    struct sim_world *world;
    uint64_t sender;      /* its id then */
    uint64_t incarnation; /* of the receiver when it was sent: a connection dies with the process */
    struct buf bytes;
    unsigned from;
    unsigned to;
};

static void frame_arrive(void *arg, uint64_t from, uint64_t to)
{
    struct sim_frame *frame = arg;
    struct sim_world *world = frame->world;
    struct sim_node *node = &world->nodes[to];
    if (node->raft != NULL && node->paused) {
        struct sim_event again = {.fn = frame_arrive, .arg = frame, .a = from, .b = to};
        hold(&node->held, &again); /* the kernel has it; a crash drops it, and the world frees it */
        return;
    }
    list_remove(&frame->link);
    if (node->raft != NULL && node->incarnation == frame->incarnation &&
        sim_world_passes(world, SIM_PORT_RAFT, (unsigned)from, (unsigned)to)) {
        sim_running = node;
        sim_group_heard(node, frame->sender);
        sim_depose_heard(node, frame->from);
        raft_node_receive(node->raft, frame->sender, buf_span(&frame->bytes));
    }
    buf_free(&frame->bytes);
    mem_free(frame);
}

static void frame_free(struct sim_frame *frame)
{
    list_remove(&frame->link);
    buf_free(&frame->bytes);
    mem_free(frame);
}

static struct sim_frame *frame_new(struct sim_world *world, unsigned from, unsigned to,
                                   struct span bytes)
{
    struct sim_frame *frame = mem_new(struct sim_frame);
    frame->world = world;
    frame->sender = world->nodes[from].id;
    frame->incarnation = world->nodes[to].incarnation;
    frame->from = from;
    frame->to = to;
    buf_put_span(&frame->bytes, bytes);
    return frame;
}

static void frame_go(struct sim_frame *frame)
{
    struct sim_world *world = frame->world;
    /* Mostly quick; some stragglers that overtake and are overtaken. */
    int64_t delay = 1 + (int64_t)sim_below(world, 3) + world->late_ms[frame->from][frame->to];
    if (world->faults_on &&
        sim_chance(world, world->slow_network ? 300 : world->setup.straggler_permille)) {
        delay += (int64_t)sim_below(world, world->slow_network ? 1500 : world->setup.straggle_ms);
    }
    list_append(&world->frames, &frame->link);
    sim_at(world, delay, frame_arrive, frame, frame->from, frame->to);
}

void sim_send(struct sim_world *world, unsigned from, unsigned to, struct span frame)
{
    sim_hash(world, frame.len << 8 ^ from << 4 ^ to);
    for (size_t i = 0; i < frame.len; i++) {
        world->hash = (world->hash ^ frame.data[i]) * 0x100000001b3u;
    }
    if (world->recording) {
        list_append(&world->recorded, &frame_new(world, from, to, frame)->link);
    }
    if (!sim_world_passes(world, SIM_PORT_RAFT, from, to) ||
        (world->faults_on && sim_chance(world, world->setup.loss_permille))) {
        sim_coverage_message(frame, SIM_MESSAGE_DROPPED);
        return;
    }
    frame_go(frame_new(world, from, to, frame));
    if (world->faults_on && sim_chance(world, world->setup.duplicate_permille)) {
        sim_coverage_message(frame, SIM_MESSAGE_DOUBLED);
        frame_go(frame_new(world, from, to, frame));
    }
}

void sim_record(struct sim_world *world)
{
    world->recording = true;
}

void sim_record_end(struct sim_world *world)
{
    world->recording = false;
}

void sim_replay(struct sim_world *world, unsigned times)
{
    sim_record_end(world);
    LIST_EACH(item, &world->recorded)
    {
        const struct sim_frame *frame = LIST_OWNER(item, struct sim_frame, link);
        for (unsigned i = 0; i < times; i++) {
            struct sim_frame *again =
                frame_new(world, frame->from, frame->to, buf_span(&frame->bytes));
            again->sender = frame->sender;
            again->incarnation = frame->incarnation;
            frame_go(again);
        }
    }
    while (!list_empty(&world->recorded)) {
        frame_free(LIST_OWNER(list_first(&world->recorded), struct sim_frame, link));
    }
}

/* --- the world -------------------------------------------------------------------------------- */

static void node_init(struct sim_world *world, unsigned index)
{
    struct sim_node *node = &world->nodes[index];
    node->world = world;
    node->index = index;
    node->id = sim_random(world) | 1;
    node->instance = node->id;
    node->incarnation = 1;
    (void)snprintf(node->name, sizeof(node->name), "node%u", index + 1);
    list_init(&node->disk.queue);
    list_init(&node->held);
    list_init(&node->host_held);
    node->offset_ms = (int64_t)sim_below(world, 1000000000);
    node->rate_ppm = (int64_t)sim_below(world, 1001) - 500;
    node->clock = (struct clock){.mono_ms = clock_read,
                                 .lease_ms = clock_read,
                                 .suspended_ms = clock_zero,
                                 .wall_ms = clock_read,
                                 .arg = node};
    node->random = (struct random){.next = node_random, .arg = node};
}

void sim_world_init(struct sim_world *world, const struct sim_options *options,
                    const struct sim_setup *setup, const struct sim_script *script)
{
    *world = (struct sim_world){.options = *options,
                                .setup = *setup,
                                .script = script,
                                .ttl_ms = setup->ttl_ms,
                                .ttl_most_ms = setup->ttl_ms,
                                .sync_nodes = setup->sync_nodes,
                                .hang_ms = setup->hang_ms,
                                .paused_ms = -1,
                                .ordered_ms = INT64_MIN / 2,
                                .node_count = setup->nodes};
    world->random_state = options->seed * 2 + (options->mode == SIM_CLUSTER ? 1 : 0);
    list_init(&world->frames);
    list_init(&world->recorded);
    for (unsigned i = 0; i < world->node_count; i++) {
        node_init(world, i);
    }
}

void sim_world_close(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        sim_member_free(&world->nodes[i]);
        held_drop(&world->nodes[i].host_held);
    }
    while (!list_empty(&world->frames)) {
        frame_free(LIST_OWNER(list_first(&world->frames), struct sim_frame, link));
    }
    while (!list_empty(&world->recorded)) {
        frame_free(LIST_OWNER(list_first(&world->recorded), struct sim_frame, link));
    }
    mem_free(world->heap);
}

void sim_fail(struct sim_world *world, const char *rule, const char *fmt, ...)
{
    if (world->failure != NULL) {
        return; /* the first one is the cause */
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(world->failure_text, sizeof(world->failure_text), fmt, args);
    va_end(args);
    world->failure = rule;
    sim_trace(world, "FAILED %s: %s", rule, world->failure_text);
    for (size_t i = 0; world->options.trace && i < world->node_count; i++) {
        sim_member_trace(&world->nodes[i]);
        sim_agents_trace(&world->nodes[i]);
    }
}

void sim_trace(const struct sim_world *world, const char *fmt, ...)
{
    if (!world->options.trace) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    printf("%8lld.%03lld ", (long long)(world->now / 1000), (long long)(world->now % 1000));
    (void)vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}
