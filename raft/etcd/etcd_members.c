/* Who is a member is the group's configuration; what is told of each stands in the store. */
#include "raft/etcd/etcd_members.h"

#include "base/mem.h"

#include <string.h>

#define PEER_URL_BYTES_MAX (sizeof "https://" + STORE_MEMBER_ADDRESS_BYTES_MAX)

/* --- URLs ------------------------------------------------------------------------------------- */

static struct span trim(struct span text)
{
    while (text.len > 0 && text.data[0] == ' ') {
        text = span_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && text.data[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

size_t etcd_urls_split(struct span list, struct span **ret_urls)
{
    size_t count = 0;
    struct span *urls = mem_new_array(struct span, list.len / 2 + 1); /* one byte and a comma */
    while (list.len > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.data);
        size_t used = comma == NULL ? len : len + 1;
        struct span url = trim(span_of(list.data, len));
        if (url.len > 0) {
            urls[count++] = url;
        }
        list = span_of(list.data + used, list.len - used);
    }
    *ret_urls = urls;
    return count;
}

/* --- members ---------------------------------------------------------------------------------- */

static void set_peer_url(struct etcd_members *members, struct etcd_member *member,
                         const char *scheme, struct span address)
{
    size_t at = members->peer_urls.len;
    if (address.len == 0) {
        return;
    }
    buf_put_str(&members->peer_urls, scheme);
    buf_put_span(&members->peer_urls, address);
    member->peer_urls = mem_new(struct span);
    member->peer_urls[0] = span_of(members->peer_urls.data + at, members->peer_urls.len - at);
    member->peer_urls_count = 1;
}

static struct store_member record_of(const struct store_member *records, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (records[i].id == id) {
            return records[i];
        }
    }
    return (struct store_member){.id = id};
}

void etcd_members_list(const struct etcd_service *service, struct etcd_members *ret_members)
{
    const struct etcd_service_config *config = etcd_service_config(service);
    const struct raft_node *node = config->node(config->arg);
    struct store_member records[STORE_MEMBERS_MAX];
    struct raft_status status;
    *ret_members = (struct etcd_members){.count = 0};
    if (node == NULL) {
        return;
    }
    raft_node_status(node, &status);
    size_t record_count = store_members(raft_node_store(node), records, STORE_MEMBERS_MAX);
    buf_reserve(&ret_members->peer_urls, status.member_count * PEER_URL_BYTES_MAX); /* it stays */
    for (size_t i = 0; i < status.member_count; i++) {
        struct etcd_member *member = &ret_members->members[i];
        struct store_member record = record_of(records, record_count, status.members[i].id);
        bool is_own = record.id == status.id;
        *member = (struct etcd_member){
            .id = record.id, .name = record.name, .is_learner = !status.members[i].voter};
        member->client_urls_count = etcd_urls_split(
            is_own ? span_str(config->client_urls) : record.client_urls, &member->client_urls);
        set_peer_url(ret_members, member, config->peers_use_tls ? "https://" : "http://",
                     record.address);
    }
    ret_members->count = status.member_count;
}

void etcd_members_free(struct etcd_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        mem_free(members->members[i].client_urls);
        mem_free(members->members[i].peer_urls);
    }
    buf_free(&members->peer_urls);
}
