/* At most STORE_MEMBERS_MAX members in an array sorted by id. */
#include "raft/store/member.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/store_internal.h"

#include <string.h>

void member_map_close(struct member_map *map)
{
    mem_free(map->members);
    *map = (struct member_map){0};
}

static size_t member_map_seek(const struct member_map *map, uint64_t id)
{
    size_t at = 0;
    while (at < map->count && map->members[at].id < id) {
        at++;
    }
    return at;
}

static uint32_t put_text(uint8_t *to, struct span text)
{
    if (text.len > 0) {
        memcpy(to, text.data, text.len);
    }
    return (uint32_t)text.len;
}

int member_map_set(struct member_map *map, const struct store_member *member)
{
    ASSERT(member->id != 0);
    ASSERT(member->name.len <= STORE_MEMBER_NAME_BYTES_MAX);
    ASSERT(member->address.len <= STORE_MEMBER_ADDRESS_BYTES_MAX);
    size_t at = member_map_seek(map, member->id);
    if (at == map->count || map->members[at].id != member->id) {
        if (map->count == STORE_MEMBERS_MAX) {
            return ERR_LIMIT;
        }
        map->members = mem_resize(map->members, (map->count + 1) * sizeof(*map->members));
        memmove(map->members + at + 1, map->members + at,
                (map->count - at) * sizeof(*map->members));
        map->count++;
        map->members[at] = (struct member){.id = member->id};
    }
    struct member *slot = &map->members[at];
    slot->name_len = put_text(slot->name, member->name);
    slot->address_len = put_text(slot->address, member->address);
    return 0;
}

int member_map_set_clients(struct member_map *map, uint64_t id, struct span client_urls)
{
    ASSERT(client_urls.len <= STORE_MEMBER_CLIENTS_BYTES_MAX);
    size_t at = member_map_seek(map, id);
    if (at == map->count || map->members[at].id != id) {
        return ERR_NOT_FOUND;
    }
    map->members[at].clients_len = put_text(map->members[at].clients, client_urls);
    return 0;
}

int member_map_remove(struct member_map *map, uint64_t id)
{
    size_t at = member_map_seek(map, id);
    if (at == map->count || map->members[at].id != id) {
        return ERR_NOT_FOUND;
    }
    map->count--;
    memmove(map->members + at, map->members + at + 1, (map->count - at) * sizeof(*map->members));
    return 0;
}

void member_map_check(const struct member_map *map)
{
    ASSERT(map->count <= STORE_MEMBERS_MAX);
    for (size_t i = 0; i < map->count; i++) {
        ASSERT(map->members[i].id != 0 && map->members[i].name_len > 0);
        ASSERT(i == 0 || map->members[i - 1].id < map->members[i].id);
    }
}

size_t store_members(const struct store *store, struct store_member *members, size_t count_max)
{
    const struct member_map *map = &store->members;
    for (size_t i = 0; i < map->count && i < count_max; i++) {
        members[i] = (struct store_member){
            .id = map->members[i].id,
            .name = span_of(map->members[i].name, map->members[i].name_len),
            .address = span_of(map->members[i].address, map->members[i].address_len),
            .client_urls = span_of(map->members[i].clients, map->members[i].clients_len),
        };
    }
    return map->count < count_max ? map->count : count_max;
}
