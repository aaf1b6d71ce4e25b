/* Requests to etcd's v2 keys API, and what comes back, as plain data. No sockets, no clock. Inside
 * agent/dcs. */
#ifndef AGENT_DCS_ETCD2_CODEC_H
#define AGENT_DCS_ETCD2_CODEC_H

#include "agent/dcs/dcs.h"
#include "base/buf.h"

#include <jansson.h>

/* --- requests --------------------------------------------------------------------------------- */

/* "/v2/keys" and the path, percent-encoded; `query` ("recursive=true") may be NULL. mem_free. */
char *etcd2_path(const char *base, const char *key, const char *query);
/* name=value, form-encoded, after a '&' where `out` is not empty. */
void etcd2_form(struct buf *out, const char *name, const char *value);
void etcd2_form_number(struct buf *out, const char *name, int64_t value);

/* --- answers ---------------------------------------------------------------------------------- */

/* 0; ERR_NOT_FOUND (no such key); ERR_CONFLICT (a compare failed, or the key is there already);
 * ERR_UNAVAILABLE (another member may do: no leader, timed out, no answer of etcd's; a write may be
 * applied); ERR_UNSUPPORTED (no v2 API here: nothing was done); ERR_REFUSED. `ret_text`
 * (ERROR_TEXT_BYTES) gets etcd's words. */
int etcd2_outcome(int status, const json_t *body, char *ret_text);
/* X-Etcd-Index and X-Etcd-Cluster-Id (hex); NULL or garbage gives 0. */
void etcd2_head_read(const char *index, const char *cluster, int64_t *ret_index,
                     uint64_t *ret_cluster);
/* "http://a:2379, http://b:2379" -> an array of strings; NULL if it is none. decref. */
json_t *etcd2_machines_read(struct span body);

struct etcd2_node {
    const char *value; /* borrowed; "" if there is none */
    int64_t created;
    int64_t modified;
};
/* "node" of an answer; false if it is none. */
bool etcd2_node_read(const json_t *body, struct etcd2_node *ret_node);

/* A recursive answer below `base` as a view; no lease numbers. `body` NULL: nothing is there. NULL
 * with `err` where it is no directory, or not all of it can be read, or its head does not say
 * (`index` or `cluster` is 0) of when and of whom it is. */
struct dcs_view *etcd2_view_read(const json_t *body, const char *base, int64_t index,
                                 uint64_t cluster, struct error *err);

#endif
