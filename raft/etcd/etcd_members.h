/* The members of the Raft group as both APIs tell them: clients go on to their URLs, whatever
 * address they were given. */
#ifndef RAFT_ETCD_ETCD_MEMBERS_H
#define RAFT_ETCD_ETCD_MEMBERS_H

#include "base/buf.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_service.h"

struct etcd_members {
    struct etcd_member members[STORE_MEMBERS_MAX];
    size_t count;
    struct buf peer_urls;
};

/* As this member knows them; none while it knows of no group. One that has published nothing yet
 * has an id alone, as in etcd; but this one, which serves already, has the URLs of its
 * configuration. Valid until the loop turns. */
void etcd_members_list(const struct etcd_service *service, struct etcd_members *ret_members);
void etcd_members_free(struct etcd_members *members);

/* Of a list with commas; borrowed from it. The array is the caller's. */
size_t etcd_urls_split(struct span list, struct span **ret_urls);

#endif
