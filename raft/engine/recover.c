#include "raft/recover.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/cluster_id.h"
#include "raft/engine/configuration.h"
#include "raft/engine/log_command.h"
#include "raft/engine/node_impl.h"
#include "raft/storage.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

struct raft_recovery {
    uv_loop_t loop;
    struct raft_storage *storage;
    struct raft_recovery_facts facts;
    struct store *store; /* with all entries applied */
};

static void on_fatal(void *arg, const struct error *err)
{
    (void)arg; /* told by the call that fails */
    (void)err;
}

/* A file that another user makes here, the agent could not open. */
static int check_owner(const char *data_dir, struct error *err)
{
    char path[PATH_MAX];
    struct stat found;
    (void)snprintf(path, sizeof path, "%s/%s", data_dir, RAFT_STORAGE_FILE);
    if (stat(path, &found) != 0) {
        return errno == ENOENT
                   ? error_set(err, ERR_NOT_FOUND, "there is no Raft directory at '%s'", data_dir)
                   : error_set(err, err_from_errno(errno), "%s: %s", path, strerror(errno));
    }
    const struct passwd *owner = getpwuid(found.st_uid);
    if (found.st_uid != geteuid()) {
        return error_set(err, ERR_PERMISSION, "'%s' belongs to user '%s': run this as that user",
                         path, owner != NULL ? owner->pw_name : "?");
    }
    return 0;
}

/* --- what is there ---------------------------------------------------------------------------- */

static int load_store(const struct raft_boot *boot, struct store **ret_store, struct error *err)
{
    struct store *store = NULL;
    int rc = 0;
    if (boot->has_snapshot) {
        rc = node_snapshot_decode(boot->snapshot, boot->snapshot_index, &store, err);
    } else {
        store = store_new();
    }
    for (size_t i = 0; i < boot->entry_count && rc == 0; i++) {
        const struct raft_entry_rec *entry = &boot->entries[i];
        struct log_command command;
        struct store_result result;
        if (entry->index <= store_applied(store)) {
            continue;
        }
        int read =
            entry->type == RAFT_COMMAND ? log_command_decode(entry->data, &command) : ERR_INVALID;
        if (read == ERR_UNSUPPORTED) {
            rc = error_set(err, read, "entry %llu was written by a newer release: use that one",
                           (unsigned long long)entry->index);
        } else if (read == 0) {
            store_apply(store, entry->index, command.command, &result, NULL);
        } else {
            store_skip(store, entry->index);
        }
    }
    if (rc != 0) {
        store_free(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

static void put_text(char *to, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    if (len > 0) {
        memcpy(to, text.data, len);
    }
    to[len] = '\0';
}

static int newest_configuration(const struct raft_boot *boot, struct configuration *ret_newest,
                                struct error *err)
{
    struct span bytes = boot->has_snapshot ? boot->configuration : (struct span){0};
    for (size_t i = 0; i < boot->entry_count; i++) {
        if (boot->entries[i].type == RAFT_CHANGE) {
            bytes = boot->entries[i].data;
        }
    }
    return bytes.len == 0
               ? error_set(err, ERR_REFUSED, "the Raft directory belongs to no group yet")
               : configuration_decode(bytes, ret_newest, err);
}

static void fill_members(const struct store *store, const struct configuration *newest,
                         struct raft_recovery_facts *facts)
{
    struct store_member records[STORE_MEMBERS_MAX];
    size_t count = store_members(store, records, STORE_MEMBERS_MAX);
    facts->member_count = newest->count;
    facts->voter_count = configuration_voters(newest);
    for (size_t i = 0; i < newest->count; i++) {
        struct raft_member_status *member = &facts->members[i];
        member->id = newest->servers[i].id;
        member->voter = newest->servers[i].voter;
        for (size_t j = 0; j < count; j++) {
            if (records[j].id == member->id) {
                put_text(member->name, sizeof member->name, records[j].name);
                put_text(member->address, sizeof member->address, records[j].address);
            }
        }
    }
}

static int fill_facts(const struct raft_boot *boot, struct raft_recovery *recovery,
                      struct error *err)
{
    struct raft_recovery_facts *facts = &recovery->facts;
    struct configuration newest = {0};
    int rc = newest_configuration(boot, &newest, err);
    if (rc == 0 && !configuration_is_voter(&newest, boot->id)) {
        rc = error_set(err, ERR_REFUSED,
                       "this member is no voter of its group: recover on one that is");
    }
    if (rc == 0 && configuration_voters(&newest) == 1) {
        rc = error_set(err, ERR_REFUSED,
                       "this member is the only voter of its group: there is no majority to lose, "
                       "start its agent");
    }
    if (rc == 0) {
        rc = load_store(boot, &recovery->store, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct raft_entry_rec *last =
        boot->entry_count > 0 ? &boot->entries[boot->entry_count - 1] : NULL;
    facts->id = boot->id;
    facts->cluster = boot->cluster;
    facts->term = boot->term;
    facts->last_term = last != NULL ? last->term : boot->snapshot_term;
    facts->last_index = last != NULL ? last->index : boot->snapshot_index;
    facts->revision = store_revision(recovery->store);
    fill_members(recovery->store, &newest, facts);
    return 0;
}

/* --- open, write, close ----------------------------------------------------------------------- */

int raft_recovery_open(const char *data_dir, const char *name, struct raft_recovery **ret_recovery,
                       struct error *err)
{
    struct raft_storage_callbacks callbacks = {.on_fatal = on_fatal};
    int rc = check_owner(data_dir, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_recovery *recovery = mem_new(struct raft_recovery);
    if (uv_loop_init(&recovery->loop) != 0) {
        mem_free(recovery);
        return error_set(err, ERR_IO, "cannot make an event loop");
    }
    rc = raft_storage_open(&recovery->loop, data_dir, name, random_real(), &callbacks,
                           &recovery->storage, err);
    if (rc == ERR_BUSY) {
        error_wrap(err, "stop the agent of this node first");
    }
    if (rc != 0) {
        recovery->storage = NULL;
    } else {
        rc = fill_facts(raft_storage_boot(recovery->storage), recovery, err);
    }
    if (rc != 0) {
        raft_recovery_close(recovery);
        return rc;
    }
    *ret_recovery = recovery;
    return 0;
}

const struct raft_recovery_facts *raft_recovery_facts(const struct raft_recovery *recovery)
{
    return &recovery->facts;
}

bool raft_recovery_key(const struct raft_recovery *recovery, struct span key,
                       struct span *ret_value)
{
    struct store_kv kv;
    if (!store_get(recovery->store, key, &kv)) {
        return false;
    }
    *ret_value = kv.value;
    return true;
}

int raft_recovery_write(struct raft_recovery *recovery, struct span key, struct span value,
                        const struct random *random, uint64_t *ret_cluster, struct error *err)
{
    const struct store_op put = {.type = STORE_OP_PUT, .key = key, .value = value};
    const struct store_command command = {.type = STORE_TXN, .success = &put, .success_count = 1};
    uint64_t cluster = cluster_id_recovered(recovery->facts.cluster, random_next(random));
    struct buf data = BUF_INIT;
    log_command_header(0, 0, &data);
    int rc = store_command_encode(&command, &data, err);
    if (rc == 0) {
        rc = raft_storage_recover(recovery->storage, cluster, buf_span(&data), err);
    }
    buf_free(&data);
    if (rc == 0) {
        *ret_cluster = cluster;
    }
    return rc;
}

bool raft_recovery_replaces(uint64_t later, uint64_t earlier)
{
    return cluster_id_replaces(later, earlier);
}

void raft_recovery_close(struct raft_recovery *recovery)
{
    if (recovery == NULL) {
        return;
    }
    if (recovery->storage != NULL) {
        raft_storage_close(recovery->storage, NULL, NULL);
    }
    (void)uv_run(&recovery->loop, UV_RUN_DEFAULT);
    int rv = uv_loop_close(&recovery->loop);
    ASSERT(rv == 0);
    store_free(recovery->store);
    mem_free(recovery);
}
