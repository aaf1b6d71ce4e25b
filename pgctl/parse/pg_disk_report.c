/* What the child of pgctl/pg_disk.h says, and what it means.
 *
 * Only what is certainly the disk's counts against it. That a directory is missing, or that there
 * are no more descriptors, is somebody else's business, and unknown here. */
#include "pgctl/pg_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool pg_disk_line_parse(struct span line, struct pg_disk_place *ret_place)
{
    char text[128];
    char name[PG_DISK_PLACE_BYTES];
    struct pg_disk_place place = {0};
    int end = -1;

    if (line.len == 0 || line.len >= sizeof text || memchr(line.data, '\0', line.len) != NULL) {
        return false;
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    int fields = sscanf(text, "%31[^:]: %d %" SCNd64 " %" SCNu64 "%n", name, &place.errno_value,
                        &place.busy_ms, &place.free_bytes, &end);
    if (fields != 4 || end < 0 || text[end] != '\0' || place.busy_ms < 0) {
        return false;
    }
    place.instance = name[0] != '+';
    (void)snprintf(place.name, sizeof place.name, "%s", name + (place.instance ? 0 : 1));
    if (place.name[0] == '\0') {
        return false;
    }
    *ret_place = place;
    return true;
}

static const struct pg_disk_place *find(const struct pg_disk_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++) {
        if (strcmp(state->places[i].name, name) == 0) {
            return &state->places[i];
        }
    }
    return NULL;
}

static enum pg_disk_kind kind_of(const struct pg_disk_limits *limits,
                                 const struct pg_disk_place *place,
                                 const struct pg_disk_place *before)
{
    bool was_short =
        before != NULL && (before->kind == PG_DISK_LOW || before->kind == PG_DISK_FULL);
    uint64_t enough = was_short ? 2 * limits->free_bytes_min : limits->free_bytes_min;

    if (place->busy_ms >= limits->stall_ms) {
        return PG_DISK_STALLED;
    }
    switch (place->errno_value) {
    case 0: return place->free_bytes < enough ? PG_DISK_LOW : PG_DISK_GOOD;
    case ENOSPC:
    case EDQUOT: return PG_DISK_FULL;
    case EROFS: return PG_DISK_READ_ONLY;
    case EIO:
    case ENXIO:
    case EUCLEAN: return PG_DISK_FAILED;
    default: return PG_DISK_UNKNOWN;
    }
}

void pg_disk_judge(const struct pg_disk_limits *limits, const struct pg_disk_state *before,
                   int64_t now_ms, struct pg_disk_state *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct pg_disk_place *place = &report->places[i];
        const struct pg_disk_place *known = find(before, place->name);
        place->kind = kind_of(limits, place, known);
        place->since_ms = now_ms;
        if (known != NULL && known->kind == place->kind) {
            place->since_ms = known->since_ms;
        } else if (place->kind == PG_DISK_STALLED) {
            place->since_ms = now_ms - place->busy_ms;
        }
    }
}

const struct pg_disk_place *pg_disk_worst(const struct pg_disk_state *state)
{
    const struct pg_disk_place *worst = NULL;
    for (size_t i = 0; i < state->count; i++) {
        const struct pg_disk_place *place = &state->places[i];
        if (place->instance && (worst == NULL || place->kind > worst->kind)) {
            worst = place;
        }
    }
    return worst;
}
