/* A stream of JSON objects, cut anywhere, into objects. No sockets, no clock. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD3_SPLITTER_H
#define AGENT_DCS_ETCD3_SPLITTER_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define ETCD3_OBJECT_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct etcd3_splitter {
    struct buf bytes;
    size_t scanned;
    unsigned depth;
    bool in_string;
    bool escaped;
};
/* Takes bytes; then etcd3_splitter_next gives whole objects until NULL (decref each). `*ret_bad` is
 * set when the stream is no JSON, or an object is longer than ETCD3_OBJECT_BYTES_MAX: it cannot go
 * on. */
void etcd3_splitter_feed(struct etcd3_splitter *splitter, struct span bytes);
json_t *etcd3_splitter_next(struct etcd3_splitter *splitter, bool *ret_bad);
void etcd3_splitter_free(struct etcd3_splitter *splitter);

#endif
