/* PURE. Two key values are kept for each event, that of the event and the one before. */
#include "raft/etcd/etcd_watch_message.h"

#include "base/mem.h"
#include "raft/etcd/etcd_fields.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_watch.h"

static void key_value(const struct store_kv *kv, struct etcd_key_value *ret_kv)
{
    *ret_kv = (struct etcd_key_value){.key = kv->key,
                                      .create_revision = kv->create_revision,
                                      .mod_revision = kv->mod_revision,
                                      .version = kv->version,
                                      .value = kv->value,
                                      .lease = (int64_t)kv->lease};
}

struct watch_message *watch_message_new(const struct store_events *events)
{
    struct watch_message *message = mem_new(struct watch_message);
    size_t count = events->kvs.count;
    message->count = count;
    message->events = mem_new_array(struct etcd_event, count);
    message->kvs = mem_new_array(struct etcd_key_value, 2 * count);
    for (size_t i = 0; i < count; i++) {
        struct etcd_event *event = &message->events[i];
        struct store_event from;
        struct store_kv prev;
        bool has_prev = store_events_get(events, i, &from, &prev);
        event->type = from.type == STORE_EVENT_DELETE ? ETCD_EVENT_DELETE : ETCD_EVENT_PUT;
        event->kv = &message->kvs[2 * i];
        key_value(&from.kv, event->kv);
        if (has_prev) {
            event->prev_kv = &message->kvs[2 * i + 1];
            key_value(&prev, event->prev_kv);
        }
    }
    return message;
}

void watch_message_free(void *arg)
{
    struct watch_message *message = arg;
    mem_free(message->events);
    mem_free(message->kvs);
    buf_free(&message->proto);
    mem_free(message);
}

struct span watch_message_proto(struct watch_message *message)
{
    struct etcd_watch_response events = {.events = message->events, .events_count = message->count};
    if (++message->asked == 2) {
        etcd_proto_encode(&etcd_type_watch_response, &events, &message->proto);
    }
    return buf_span(&message->proto);
}

size_t watch_message_fragment(const struct watch_message *message, size_t first, size_t bytes_max)
{
    enum { FRAME_BYTES = 64 }; /* header and numbers of a message */
    enum { EVENT_FRAME_BYTES = 6 };
    size_t bytes = FRAME_BYTES;
    size_t at = first;
    while (at < message->count) {
        bytes += etcd_proto_size(&etcd_type_event, &message->events[at]) + EVENT_FRAME_BYTES;
        if (at > first && bytes >= bytes_max) {
            break;
        }
        at++;
    }
    return at - first;
}
