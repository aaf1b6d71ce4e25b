/* What the Raft directories of members hold, as records of kind applied_from, applied and
 * applied_to (tests/chaos/history.py): each entry of their logs, applied by the store that ships
 * to the snapshot that the directory begins with.
 *
 *   raft_log CUT NAME=DIRECTORY...
 *
 * Directories are copies: a member that runs has its own locked, and opening one moves SQLite's WAL
 * into its file. Entries at the end of a log may be such as were never committed. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "raft/engine/log_command.h"
#include "raft/engine/storage_db.h"
#include "raft/storage.h"
#include "raft/store.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <raft.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORIES_MAX 16
#define DIGEST_BYTES    16

static const char *const command_names[] = {
    [STORE_TXN] = "txn",
    [STORE_LEASE_GRANT] = "lease_grant",
    [STORE_LEASE_RENEW] = "lease_renew",
    [STORE_LEASE_EXPIRE] = "lease_expire",
    [STORE_LEASE_REVOKE] = "lease_revoke",
    [STORE_MEMBER_SET] = "member_set",
    [STORE_MEMBER_REMOVE] = "member_remove",
    [STORE_CLIENT_TXN] = "client_txn",
    [STORE_COMPACT] = "compact",
    [STORE_LEASE_KEEPALIVE] = "lease_keepalive",
    [STORE_V2] = "v2",
    [STORE_FORMAT] = "format",
    [STORE_MEMBER_CLIENTS] = "member_clients",
    [STORE_DEPOSE] = "depose",
};
static const char *const op_names[] = {
    [STORE_OP_PUT] = "put",
    [STORE_OP_DELETE] = "delete",
    [STORE_OP_DELETE_PREFIX] = "delete_prefix",
    [STORE_OP_LEASE_GRANT] = "lease_grant",
    [STORE_OP_LEASE_END] = "lease_end",
};
static const char *const target_names[] = {
    [STORE_CMP_CREATE] = "create", [STORE_CMP_MOD] = "mod",     [STORE_CMP_VERSION] = "version",
    [STORE_CMP_LEASE] = "lease",   [STORE_CMP_VALUE] = "value",
};

struct directory {
    char name[RAFT_NODE_NAME_BYTES];
    const char *path;
    struct storage_db *db;
    struct raft_boot boot;
    struct store *store;
};

static struct directory directories[DIRECTORIES_MAX];
static size_t directory_count;
static long cut;

static void fail(const char *path, const char *what, const struct error *err)
{
    (void)fprintf(stderr, "raft_log: %s: %s%s%s\n", path, what, err != NULL ? ": " : "",
                  err != NULL ? err->text : "");
    exit(1);
}

/* A number that is none of these was made by a newer release: told as it stands. */
static json_t *name_of(const char *const *names, size_t count, unsigned number)
{
    if (number < count && names[number] != NULL) {
        return json_string(names[number]);
    }
    return json_sprintf("%u", number);
}
#define NAME_OF(names, number) name_of(names, sizeof(names) / sizeof((names)[0]), number)

static json_t *text_of(struct span bytes)
{
    json_t *text = json_stringn((const char *)bytes.data, bytes.len);
    if (text != NULL) {
        return text;
    }
    struct buf hex = BUF_INIT; /* no UTF-8 */
    buf_put_str(&hex, "hex:");
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(&hex, "%02x", bytes.data[i]);
    }
    text = json_string(buf_str(&hex));
    buf_free(&hex);
    return text;
}

static json_t *digest_of(struct span bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * DIGEST_BYTES + 1];
    if (EVP_Digest(bytes.data, bytes.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        fail("sha256", "libcrypto refuses it", NULL);
    }
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return json_string(hex);
}

static json_t *state_of(const struct store *store)
{
    struct buf bytes = BUF_INIT;
    store_snapshot(store, &bytes);
    json_t *digest = digest_of(buf_span(&bytes));
    buf_free(&bytes);
    return digest;
}

static void print(json_t *record)
{
    if (record == NULL || json_dumpf(record, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF) {
        fail("stdout", "cannot be written", NULL);
    }
    json_decref(record);
}

/* --- commands as JSON ------------------------------------------------------------------------- */

static json_t *compares_of(const struct store_command *command)
{
    json_t *list = json_array();
    for (size_t i = 0; i < command->compare_count; i++) {
        const struct store_compare *c = &command->compares[i];
        (void)json_array_append_new(list, json_pack("{s:o, s:i, s:o, s:I}", "target",
                                                    NAME_OF(target_names, c->target), "relation",
                                                    (int)c->relation, "key", text_of(c->key),
                                                    "number", (json_int_t)c->number));
    }
    return list;
}

static json_t *ops_of(const struct store_op *ops, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct store_op *op = &ops[i];
        (void)json_array_append_new(
            list,
            json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:i}", "op", NAME_OF(op_names, op->type),
                      "key", text_of(op->key), "value", text_of(op->value), "lease",
                      (json_int_t)op->lease, "ttl_ms", (json_int_t)op->ttl_ms, "stamp",
                      (json_int_t)op->stamp, "flags", (int)op->flags));
    }
    return list;
}

static json_t *command_of(const struct store_command *command)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:i, s:I}", "type",
                     NAME_OF(command_names, command->type), "actor", text_of(command->actor),
                     "compares", compares_of(command), "success",
                     ops_of(command->success, command->success_count), "failure",
                     ops_of(command->failure, command->failure_count), "lease",
                     (json_int_t)command->lease, "ttl_ms", (json_int_t)command->ttl_ms, "stamp",
                     (json_int_t)command->stamp, "flags", (int)command->flags, "number",
                     (json_int_t)command->number);
}

static bool add_event(void *arg, const struct store_event *event)
{
    bool put = event->type == STORE_EVENT_PUT;
    (void)json_array_append_new(
        arg, json_pack("{s:I, s:o, s:o, s:I, s:I, s:I}", "revision",
                       (json_int_t)event->kv.mod_revision, "key", text_of(event->kv.key), "value",
                       put ? text_of(event->kv.value) : json_null(), "created",
                       (json_int_t)(put ? event->kv.create_revision : 0), "version",
                       (json_int_t)(put ? event->kv.version : 0), "lease",
                       (json_int_t)(put ? event->kv.lease : 0)));
    return true;
}

/* --- entries ---------------------------------------------------------------------------------- */

/* Applies a command as raft/engine/node_apply.c does, and says what it was and gave. */
static void apply_command(struct store *store, const struct raft_entry_rec *entry, json_t *record)
{
    struct log_command frame;
    if (log_command_decode(entry->data, &frame) != 0) {
        store_skip(store, entry->index);
        return;
    }
    struct store_command command;
    struct buf arena = BUF_INIT;
    if (store_command_decode(frame.command, &command, &arena, NULL) == 0) {
        (void)json_object_set_new(record, "command", command_of(&command));
    }
    buf_free(&arena);
    int64_t before = store_revision(store);
    struct store_result result = {0};
    store_apply(store, entry->index, frame.command, &result, NULL);
    json_t *events = json_array();
    if (store_revision(store) > before &&
        store_history_each(store, before + 1, span_str(""), add_event, events) != 0) {
        fail("history", "what was just applied is not there", NULL);
    }
    (void)json_object_set_new(record, "events", events);
    (void)json_object_set_new(record, "result",
                              json_pack("{s:i, s:b, s:b, s:I}", "code", result.code, "succeeded",
                                        (int)result.succeeded, "repeated", (int)result.repeated,
                                        "revision", (json_int_t)result.revision));
}

/* Is it an index at which some directory begins or ends? There the states can be compared. */
static bool is_mark(uint64_t index)
{
    for (size_t i = 0; i < directory_count; i++) {
        const struct raft_boot *boot = &directories[i].boot;
        if (boot->snapshot_index == index ||
            (boot->entry_count > 0 && boot->entries[boot->entry_count - 1].index == index)) {
            return true;
        }
    }
    return false;
}

static const char *type_of(const struct raft_entry_rec *entry)
{
    switch ((enum raft_entry_type)entry->type) {
    case RAFT_COMMAND: return "command";
    case RAFT_BARRIER: return "barrier";
    case RAFT_CHANGE: return "configuration";
    }
    return "of no known type";
}

static void print_entry(struct directory *directory, const struct raft_entry_rec *entry)
{
    json_t *record = json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:o}", "kind", "applied", "node",
                               directory->name, "cut", (int)cut, "index", (json_int_t)entry->index,
                               "term", (json_int_t)entry->term, "type", type_of(entry), "digest",
                               digest_of(entry->data));
    /* Entries up to the snapshot are in it already. */
    if (entry->index > store_applied(directory->store)) {
        if (entry->type == RAFT_COMMAND) {
            apply_command(directory->store, entry, record);
        } else {
            store_skip(directory->store, entry->index);
        }
        if (is_mark(entry->index)) {
            (void)json_object_set_new(record, "state", state_of(directory->store));
        }
    }
    print(record);
}

/* --- directories ------------------------------------------------------------------------------ */

static void load(struct directory *directory, char *argument)
{
    char *equals = strchr(argument, '=');
    if (equals == NULL || (size_t)(equals - argument) >= sizeof directory->name) {
        fail(argument, "a directory is given as NAME=DIRECTORY", NULL);
    }
    (void)snprintf(directory->name, sizeof directory->name, "%.*s", (int)(equals - argument),
                   argument);
    directory->path = equals + 1;
    struct error err = {0};
    char *file = mem_printf("%s/%s", directory->path, RAFT_STORAGE_FILE);
    FILE *there = fopen(file, "r"); /* the next call would make one */
    if (there == NULL) {
        fail(file, "it is not there, or cannot be read", NULL);
    }
    (void)fclose(there);
    if (storage_db_open(file, directory->name, random_real(), &directory->db, &err) != 0 ||
        storage_db_load(directory->db, &directory->boot, &err) != 0) {
        fail(file, "cannot be opened", &err);
    }
    mem_free(file);
    directory->store = store_new();
    if (directory->boot.has_snapshot &&
        store_restore(directory->store, directory->boot.snapshot, &err) != 0) {
        fail(directory->path, "its snapshot cannot be read", &err);
    }
}

static void print_directory(struct directory *directory)
{
    const struct raft_boot *boot = &directory->boot;
    char cluster[17];
    (void)snprintf(cluster, sizeof cluster, "%" PRIx64, boot->cluster);
    print(json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:o}", "kind", "applied_from", "node",
                    directory->name, "cut", (int)cut, "index", (json_int_t)boot->snapshot_index,
                    "term", (json_int_t)boot->snapshot_term, "cluster", cluster, "state",
                    state_of(directory->store)));
    for (size_t i = 0; i < boot->entry_count; i++) {
        print_entry(directory, &boot->entries[i]);
    }
    print(json_pack("{s:s, s:s, s:i, s:I, s:o}", "kind", "applied_to", "node", directory->name,
                    "cut", (int)cut, "index", (json_int_t)store_applied(directory->store), "state",
                    state_of(directory->store)));
}

int main(int argc, char **argv)
{
    char *end = NULL;
    cut = argc > 1 ? strtol(argv[1], &end, 10) : -1;
    if (argc < 3 || cut < 0 || cut > INT32_MAX || *end != '\0' || argc - 2 > DIRECTORIES_MAX) {
        (void)fprintf(stderr, "Usage: raft_log CUT NAME=DIRECTORY... (up to %d)\n",
                      DIRECTORIES_MAX);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        load(&directories[directory_count++], argv[i]);
    }
    for (size_t i = 0; i < directory_count; i++) {
        print_directory(&directories[i]);
    }
    for (size_t i = 0; i < directory_count; i++) {
        store_free(directories[i].store);
        storage_db_unload(&directories[i].boot);
        storage_db_close(directories[i].db, false);
    }
    return 0;
}
