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
    }
    struct member *slot = &map->members[at];
    *slot = (struct member){.id = member->id,
                            .name_len = (uint32_t)member->name.len,
                            .address_len = (uint32_t)member->address.len};
    memcpy(slot->name, member->name.data, member->name.len);
    if (member->address.len > 0) {
        memcpy(slot->address, member->address.data, member->address.len);
    }
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
        };
    }
    return map->count < count_max ? map->count : count_max;
}
