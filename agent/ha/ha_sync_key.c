/* Key `sync` as Patroni writes it. */
#include "agent/ha/ha_cluster.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { QUORUM_MAX = 1000 }; /* of nobody's making; steps add to it */

/* One name of the list, up to a comma. False = it cannot be a member's. */
static bool add_standby(struct ha_sync_key *sync, const char *name, size_t len)
{
    while (len > 0 && name[0] == ' ') {
        name++;
        len--;
    }
    while (len > 0 && name[len - 1] == ' ') {
        len--;
    }
    if (len == 0) {
        return true;
    }
    bool anybody = len == 1 && name[0] == '*'; /* to PostgreSQL, in quotation marks too */
    if (anybody || len >= HA_NAME_BYTES || sync->standby_count == HA_SYNC_STANDBYS_MAX) {
        return false;
    }
    char *to = sync->standbys[sync->standby_count++].name;
    memcpy(to, name, len);
    to[len] = '\0';
    return true;
}

static bool read_standbys(const char *list, struct ha_sync_key *sync)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        if (!add_standby(sync, list, len)) {
            return false;
        }
        if (list[len] == '\0') {
            return true;
        }
        list += len + 1;
    }
}

static bool read_object(const json_t *object, struct ha_sync_key *sync)
{
    const json_t *leader = json_object_get(object, "leader");
    const json_t *quorum = json_object_get(object, "quorum");
    const json_t *standbys = json_object_get(object, "sync_standby");
    bool known_types = (leader == NULL || json_is_null(leader) || json_is_string(leader)) &&
                       (quorum == NULL || json_is_null(quorum) || json_is_integer(quorum)) &&
                       (standbys == NULL || json_is_null(standbys) || json_is_string(standbys));
    json_int_t number = json_is_integer(quorum) ? json_integer_value(quorum) : 0;
    if (!json_is_object(object) || !known_types || number < 0 || number > QUORUM_MAX ||
        json_string_length(leader) >= HA_NAME_BYTES) {
        return false;
    }
    if (json_string_length(leader) == 0) {
        return true;
    }
    (void)snprintf(sync->leader, sizeof sync->leader, "%s", json_string_value(leader));
    sync->quorum = (unsigned)number;
    sync->present =
        json_is_string(standbys) ? read_standbys(json_string_value(standbys), sync) : true;
    return sync->present;
}

void ha_sync_key_read(const char *value, struct ha_sync_key *ret_sync)
{
    json_t *object = json_loads(value, JSON_DECODE_ANY, NULL);
    memset(ret_sync, 0, sizeof *ret_sync);
    if (!read_object(object, ret_sync)) {
        memset(ret_sync, 0, sizeof *ret_sync);
        ret_sync->unreadable = true;
    }
    json_decref(object);
}

bool ha_sync_key_has(const struct ha_sync_key *sync, const char *name)
{
    bool has = sync->present && strcmp(sync->leader, name) == 0;
    for (size_t i = 0; !has && i < sync->standby_count; i++) {
        has = strcmp(sync->standbys[i].name, name) == 0;
    }
    return has;
}

static int put_text(const char *text, size_t len, void *arg)
{
    buf_put(arg, text, len);
    return 0;
}

void ha_sync_key_value(const struct ha_sync_key *sync, struct buf *out)
{
    struct buf list = BUF_INIT;
    const char *before = "";
    for (size_t i = 0; i < sync->standby_count;
         i++) { /* sorted: each time the least after the last */
        const char *next = NULL;
        for (size_t k = 0; k < sync->standby_count; k++) {
            const char *name = sync->standbys[k].name;
            if (strcmp(name, before) > 0 && (next == NULL || strcmp(name, next) < 0)) {
                next = name;
            }
        }
        if (next == NULL) {
            break;
        }
        buf_put_str(&list, i == 0 ? "" : ",");
        buf_put_str(&list, next);
        before = next;
    }
    json_t *value =
        json_pack("{s:s, s:i, s:s?}", "leader", sync->leader, "quorum", (int)sync->quorum,
                  "sync_standby", sync->standby_count == 0 ? NULL : buf_str(&list));
    (void)json_dump_callback(value, put_text, out, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
    buf_free(&list);
}
