/* Names and addresses of the members of the Raft group: libraft's configuration knows only their
 * ids. */
#ifndef RAFT_STORE_MEMBER_H
#define RAFT_STORE_MEMBER_H

#include "raft/store.h"

struct member {
    uint64_t id;
    uint32_t name_len;
    uint32_t address_len;
    uint32_t clients_len;
    uint8_t name[STORE_MEMBER_NAME_BYTES_MAX];
    uint8_t address[STORE_MEMBER_ADDRESS_BYTES_MAX];
    uint8_t clients[STORE_MEMBER_CLIENTS_BYTES_MAX];
};

struct member_map {
    struct member *members; /* sorted by id */
    size_t count;
};

void member_map_close(struct member_map *map);
/* Adds, or replaces name and address of that id. ERR_LIMIT when there are too many. */
int member_map_set(struct member_map *map, const struct store_member *member);
int member_map_set_clients(struct member_map *map, uint64_t id,
                           struct span client_urls);        /* ERR_NOT_FOUND */
int member_map_remove(struct member_map *map, uint64_t id); /* ERR_NOT_FOUND */
void member_map_check(const struct member_map *map);

#endif
