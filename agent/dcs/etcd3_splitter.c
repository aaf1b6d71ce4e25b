#include "agent/dcs/etcd3_splitter.h"

void etcd3_splitter_feed(struct etcd3_splitter *splitter, struct span bytes)
{
    buf_put_span(&splitter->bytes, bytes);
}

/* True when the byte ends an object. Between objects only white space may stand: json_loadb sees to
 * it. */
static bool scan(struct etcd3_splitter *s, uint8_t c)
{
    if (s->in_string) {
        s->in_string = s->escaped || c != '"';
        s->escaped = !s->escaped && c == '\\';
        return false;
    }
    switch (c) {
    case '"': s->in_string = true; return false;
    case '{':
    case '[': s->depth++; return false;
    case '}':
    case ']': s->depth -= s->depth > 0 ? 1 : 0; return s->depth == 0;
    default: return false;
    }
}

json_t *etcd3_splitter_next(struct etcd3_splitter *splitter, bool *ret_bad)
{
    struct buf *bytes = &splitter->bytes;
    *ret_bad = false;
    while (splitter->scanned < bytes->len) {
        if (!scan(splitter, bytes->data[splitter->scanned++])) {
            continue;
        }
        json_t *object = json_loadb((const char *)bytes->data, splitter->scanned, 0, NULL);
        buf_drop(bytes, splitter->scanned);
        splitter->scanned = 0;
        *ret_bad = object == NULL;
        return object;
    }
    *ret_bad = bytes->len > ETCD3_OBJECT_BYTES_MAX;
    return NULL;
}

void etcd3_splitter_free(struct etcd3_splitter *splitter)
{
    buf_free(&splitter->bytes);
    *splitter = (struct etcd3_splitter){0};
}
