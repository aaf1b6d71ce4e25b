/* The order of the questions is the safety: first whether somebody has a group, then whether
 * everybody is there and empty, and only then who makes it. A partner that is not reached might
 * hold the group, so it is always waited for. */
#include "raft/engine/bootstrap.h"

#include "base/assert.h"
#include "raft/engine/cluster_id.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void wait_for(struct bootstrap_decision *decision, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void wait_for(struct bootstrap_decision *decision, const char *fmt, ...)
{
    decision->action = BOOTSTRAP_WAIT;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(decision->text, sizeof decision->text, fmt, args);
    va_end(args);
}

/* Somebody's cluster; false if there is none. Two different ones are waited out: an operator has to
 * say which. */
static bool decide_join(const struct peer_view *peers, size_t count,
                        struct bootstrap_decision *decision)
{
    const struct handshake_identity *found = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct handshake_identity *peer = peers[i].connected ? peers[i].identity : NULL;
        if (peer == NULL || peer->cluster == 0) {
            continue;
        }
        if (found != NULL && cluster_id_replaces(found->cluster, peer->cluster)) {
            continue; /* what was left behind by a recovery */
        }
        bool replaced = found != NULL && cluster_id_replaces(peer->cluster, found->cluster);
        if (found != NULL && found->cluster != peer->cluster && !replaced) {
            wait_for(decision,
                     "'%s' and '%s' belong to different clusters (%016llx, %016llx): correct "
                     "partner_addrs",
                     found->name, peer->name, (unsigned long long)found->cluster,
                     (unsigned long long)peer->cluster);
            return true;
        }
        found = peer;
    }
    if (found == NULL) {
        return false;
    }
    decision->action = BOOTSTRAP_JOIN;
    decision->cluster = found->cluster;
    return true;
}

/* Why the partner does not count as present and empty; NULL if it does. */
static const char *partner_objection(const struct handshake_identity *self,
                                     const struct peer_view *peer)
{
    if (!peer->connected) {
        return peer->trouble[0] != '\0' ? peer->trouble : "not connected yet";
    }
    if ((peer->identity->flags & HANDSHAKE_ARMED_PAGE) != 0) {
        return "its fence still guards a primary, so it was a member of a group: restore its raft "
               "data_dir, or stop "
               "its PostgreSQL";
    }
    if ((peer->identity->flags & HANDSHAKE_EMPTY) == 0) {
        return "its raft data_dir is not empty";
    }
    if (peer->identity->group_size != self->group_size) {
        return "its partner_addrs names another number of members";
    }
    if (strcmp(peer->identity->name, self->name) == 0) {
        return "it has the same name as this member";
    }
    if (strcmp(peer->identity->address, self->address) == 0) {
        return "it has the same self_addr as this member";
    }
    return NULL;
}

static bool all_present_and_empty(const struct handshake_identity *self,
                                  const struct peer_view *peers, size_t count,
                                  struct bootstrap_decision *decision)
{
    char text[BOOTSTRAP_TEXT_BYTES] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!peers[i].partner || peers[i].self) {
            continue;
        }
        const char *objection = partner_objection(self, &peers[i]);
        if (objection != NULL && used < sizeof text) {
            int added = snprintf(text + used, sizeof text - used, "%s%s (%s)", used > 0 ? ", " : "",
                                 peers[i].address, objection);
            used += added > 0 ? (size_t)added : 0;
        }
    }
    if (used > 0) {
        wait_for(decision, "for %s", text);
        return false;
    }
    return true;
}

void bootstrap_decide(const struct handshake_identity *self, const struct peer_view *peers,
                      size_t count, struct bootstrap_decision *ret_decision)
{
    memset(ret_decision, 0, sizeof *ret_decision);
    if (decide_join(peers, count, ret_decision)) {
        return;
    }
    if ((self->flags & HANDSHAKE_ARMED_PAGE) != 0) {
        wait_for(
            ret_decision,
            "for a member of the group: the raft data_dir here is empty, but the fence guards a "
            "primary, so this node was a member and makes no new group");
        return;
    }
    if (!all_present_and_empty(self, peers, count, ret_decision)) {
        return;
    }
    const struct handshake_identity *maker = self;
    ret_decision->ids[ret_decision->id_count++] = self->id;
    for (size_t i = 0; i < count; i++) {
        if (!peers[i].partner || peers[i].self) {
            continue;
        }
        if (ret_decision->id_count == STORE_MEMBERS_MAX) {
            wait_for(ret_decision, "more than %d members", STORE_MEMBERS_MAX);
            return;
        }
        ret_decision->ids[ret_decision->id_count++] = peers[i].identity->id;
        if (strcmp(peers[i].identity->address, maker->address) < 0) {
            maker = peers[i].identity;
        }
    }
    if (ret_decision->id_count != self->group_size) {
        wait_for(ret_decision, "two of partner_addrs lead to one member");
    } else if (maker != self) {
        wait_for(ret_decision, "for '%s' to make the group", maker->name);
    } else {
        ret_decision->action = BOOTSTRAP_CREATE;
    }
}

void bootstrap_first_encode(const struct bootstrap_first *first, struct buf *out)
{
    ASSERT(first->id_count > 0 && first->id_count <= STORE_MEMBERS_MAX);
    buf_put_u64(out, first->cluster);
    buf_put_u8(out, (uint8_t)first->id_count);
    for (size_t i = 0; i < first->id_count; i++) {
        buf_put_u64(out, first->ids[i]);
    }
}

int bootstrap_first_decode(struct span payload, struct bootstrap_first *ret_first,
                           struct error *err)
{
    struct span_reader reader = span_reader_of(payload);
    struct bootstrap_first first = {0};
    first.cluster = span_take_u64(&reader);
    first.id_count = span_take_u8(&reader);
    if (first.id_count == 0 || first.id_count > STORE_MEMBERS_MAX) {
        return error_set(err, ERR_INVALID, "first configuration of %zu members", first.id_count);
    }
    for (size_t i = 0; i < first.id_count; i++) {
        first.ids[i] = span_take_u64(&reader);
    }
    if (!span_reader_done(&reader) || first.cluster == 0) {
        return error_set(err, ERR_INVALID, "malformed first configuration");
    }
    *ret_first = first;
    return 0;
}

int bootstrap_first_check(const struct bootstrap_first *first,
                          const struct handshake_identity *self, struct error *err)
{
    if (self->cluster != 0 || (self->flags & HANDSHAKE_EMPTY) == 0) {
        return error_set(err, ERR_REFUSED, "this member is not empty");
    }
    if ((self->flags & HANDSHAKE_ARMED_PAGE) != 0) {
        return error_set(err, ERR_REFUSED, "the fence of this node guards a primary");
    }
    if (first->id_count != self->group_size) {
        return error_set(err, ERR_REFUSED,
                         "the new group has %zu members, the configuration here speaks of %u",
                         first->id_count, self->group_size);
    }
    size_t found = 0;
    for (size_t i = 0; i < first->id_count; i++) {
        found += first->ids[i] == self->id;
    }
    return found == 1 ? 0
                      : error_set(err, ERR_REFUSED, "the new group does not have this member's id");
}
