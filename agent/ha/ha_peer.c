/* As Patroni's candidates read it (_MemberStatus in its ha.py): whoever names `location`, or is a
 * primary by its role, is out of recovery; the position of a standby is the larger of received and
 * replayed; without `xlog` PostgreSQL has not answered, and there is no position. A cached role is
 * worth nothing then: Patroni says "primary" of an instance that is down. */
#include "agent/ha/ha_peer.h"

#include "agent/ha/ha_cluster.h"

#include <jansson.h>
#include <string.h>

static bool names(const json_t *object, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL || wanted[0] == '\0' || strcmp(text, wanted) == 0;
}

static uint64_t lsn_of(const json_t *xlog, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(xlog, key));
    return value > 0 ? (uint64_t)value : 0;
}

bool ha_peer_read(const struct json_t *document, const char *scope, const char *system_id,
                  struct ha_peer *peer)
{
    const json_t *patroni = json_object_get(document, "patroni");
    const json_t *xlog = json_object_get(document, "wal"); /* its newer name */
    struct ha_tags tags;

    if (!json_is_object(document) || !names(patroni, "name", peer->name) ||
        !names(patroni, "scope", scope) ||
        !names(document, "database_system_identifier", system_id)) {
        return false;
    }
    xlog = json_is_object(xlog) ? xlog : json_object_get(document, "xlog");
    const char *role = json_string_value(json_object_get(document, "role"));
    role = role == NULL ? "" : role;
    ha_tags_read(json_object_get(document, "tags"), &tags);
    uint64_t received = lsn_of(xlog, "received_location");
    uint64_t replayed = lsn_of(xlog, "replayed_location");
    json_int_t timeline = json_integer_value(json_object_get(document, "timeline"));
    peer->patroni = !json_is_true(json_object_get(document, "reports"));
    peer->nofailover =
        tags.nofailover || json_is_true(json_object_get(document, "watchdog_failed"));
    peer->primary =
        json_is_object(xlog) && (lsn_of(xlog, "location") > 0 || strcmp(role, "primary") == 0 ||
                                 strcmp(role, "master") == 0);
    peer->timeline = timeline > 0 && timeline <= UINT32_MAX ? (uint32_t)timeline : 0;
    peer->lsn = peer->primary ? 0 : received > replayed ? received : replayed;
    return true;
}
