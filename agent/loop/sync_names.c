/* Sets of names as bits, as agent/ha/ha_sync.h wants them. */
#include "agent/loop/sync.h"

#include "agent/ha/ha_cluster.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void sync_names_init(struct sync_names *names)
{
    memset(names, 0, sizeof *names);
    (void)snprintf(names->names[0], HA_NAME_BYTES, SYNC_NOBODY_NAME);
    names->count = 1;
}

void sync_names_keep(struct sync_names *names, uint32_t kept)
{
    size_t count = 1;
    for (size_t i = 1; i < names->count; i++) {
        if ((kept >> i & 1) == 0) {
            names->names[i][0] = '\0'; /* no member's name: free */
        } else {
            count = i + 1;
        }
    }
    names->count = count;
}

/* As PostgreSQL compares standbys' names: in any case. */
unsigned sync_names_find(const struct sync_names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcasecmp(names->names[i], name) == 0 && name[0] != '\0') {
            return i;
        }
    }
    return HA_SYNC_NAMES_MAX;
}

unsigned sync_names_bit(struct sync_names *names, const char *name)
{
    unsigned found = sync_names_find(names, name);
    if (found != HA_SYNC_NAMES_MAX || name[0] == '\0' || strlen(name) >= HA_NAME_BYTES) {
        return found;
    }
    unsigned place = 1;
    while (place < names->count && names->names[place][0] != '\0') {
        place++;
    }
    if (place == HA_SYNC_NAMES_MAX) {
        return HA_SYNC_NAMES_MAX;
    }
    (void)snprintf(names->names[place], HA_NAME_BYTES, "%s", name);
    names->count = place == names->count ? names->count + 1 : names->count;
    return place;
}

/* Adds `name` to `set`; false: no room. */
static bool add(struct sync_names *names, const char *name, uint32_t *set)
{
    unsigned bit = sync_names_bit(names, name);
    if (bit == HA_SYNC_NAMES_MAX) {
        return false;
    }
    *set |= UINT32_C(1) << bit;
    return true;
}

char *sync_names_value(const struct sync_names *names, struct ha_sync_setting setting, bool any)
{
    struct pg_sync_names value = {.any = any, .number = setting.numsync};
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < names->count; i++) {
        if ((setting.names >> i & 1) != 0) {
            memcpy(value.names[value.count++], names->names[i], HA_NAME_BYTES);
        }
    }
    pg_sync_names_put(&text, &value);
    return buf_take(&text);
}

bool sync_names_setting(struct sync_names *names, const char *value,
                        struct ha_sync_setting *ret_setting)
{
    struct pg_sync_names parsed;
    *ret_setting = (struct ha_sync_setting){0};
    if (pg_sync_names_parse(value, &parsed, NULL) != 0) {
        return false;
    }
    for (size_t i = 0; i < parsed.count; i++) {
        if (strcmp(parsed.names[i], "*") == 0 ||
            !add(names, parsed.names[i], &ret_setting->names)) {
            return false;
        }
    }
    ret_setting->numsync = parsed.number;
    return parsed.number <= (unsigned)__builtin_popcount(ret_setting->names);
}

void sync_names_published(struct sync_names *names, const struct ha_cluster *cluster,
                          const char *self, struct ha_sync_published *ret_published)
{
    const struct ha_sync_key *key = &cluster->sync;
    *ret_published =
        (struct ha_sync_published){.known = cluster->known,
                                   .present = key->present,
                                   .revision = cluster->sync_revision,
                                   .quorum = key->quorum,
                                   .unannounced = !ha_initialize_is_valid(cluster->initialize)};
    if (key->present && strcmp(key->leader, self) != 0) {
        ret_published->known &= add(names, key->leader, &ret_published->voters);
    }
    for (size_t i = 0; i < key->standby_count; i++) {
        if (strcmp(key->standbys[i].name, self) != 0) {
            ret_published->known &= add(names, key->standbys[i].name, &ret_published->voters);
        }
    }
}

void sync_names_key(const struct sync_names *names, const char *self, uint32_t voters,
                    unsigned quorum, struct ha_sync_key *ret_key)
{
    memset(ret_key, 0, sizeof *ret_key);
    ret_key->present = true;
    ret_key->quorum = quorum;
    (void)snprintf(ret_key->leader, sizeof ret_key->leader, "%s", self);
    for (size_t i = 1; i < names->count; i++) {
        if ((voters >> i & 1) != 0) {
            memcpy(ret_key->standbys[ret_key->standby_count++].name, names->names[i],
                   HA_NAME_BYTES);
        }
    }
}

void sync_names_text(const struct sync_names *names, uint32_t set, char *ret_text, size_t bytes)
{
    size_t len = 0;
    (void)snprintf(ret_text, bytes, "nobody");
    for (size_t i = 1; i < names->count && len < bytes; i++) {
        if ((set >> i & 1) != 0) {
            int more = snprintf(ret_text + len, bytes - len, "%s%s", len == 0 ? "" : ", ",
                                names->names[i]);
            len += more > 0 ? (size_t)more : 0;
        }
    }
}
