/* `pause` of the dynamic configuration, written as the operator does: what stands there, with one
 * key more or less. */
#include "sim_pause.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/node.h"

#include <jansson.h>
#include <stdlib.h>

enum { PROPOSE_MS = 2000 };

static const char *const key = "/service/sim/config";

static void on_written(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

static json_t *read_config(const struct sim_node *node)
{
    struct store_kv kv;
    if (node->raft == NULL || !store_get(raft_node_store(node->raft), span_str(key), &kv)) {
        return NULL;
    }
    return json_loadb((const char *)kv.value.data, kv.value.len, 0, NULL);
}

void sim_pause_set(struct sim_node *through, bool on)
{
    json_t *config = read_config(through);
    if (config == NULL) {
        return;
    }
    if (on) {
        (void)json_object_set_new(config, "pause", json_true());
    } else {
        (void)json_object_del(config, "pause");
    }
    char *text = json_dumps(config, JSON_COMPACT);
    json_decref(config);
    ASSERT(text != NULL);
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(text)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = through;
    sim_trace(through->world, "the operator says: %s", on ? "pause" : "resume");
    int rc = raft_node_propose_plain(through->raft, &command, PROPOSE_MS, on_written, NULL, NULL);
    (void)rc; /* it may have nobody to send it to */
    mem_free(text);
}

void sim_pause_forget(struct sim_node *through)
{
    struct store_op op = {.type = STORE_OP_DELETE, .key = span_str("/service/sim/unfenced")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = through;
    int rc = raft_node_propose_plain(through->raft, &command, PROPOSE_MS, on_written, NULL, NULL);
    ASSERT(rc == 0); /* a calm cluster */
}
