/* What the child of pgctl/pg_disk.h says, and what it means.
 *
 * Only what is certainly the disk's counts against it, and the table of errnos says what that is.
 * That a directory is missing, or that there are no more descriptors, is somebody else's business,
 * and unknown here. */
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

/* What a write, or the look before it, was refused with. */
static const struct {
    int errno_value;
    enum pg_disk_kind kind;
} refusals[] = {
    {ENOSPC, PG_DISK_FULL},      {EDQUOT, PG_DISK_FULL},  {EROFS, PG_DISK_READ_ONLY},
    {EIO, PG_DISK_FAILED},       {ENXIO, PG_DISK_FAILED}, /* the device is gone */
    {ENODEV, PG_DISK_FAILED},                             /* likewise */
    {EBADMSG, PG_DISK_FAILED},   /* a checksum of the file system, or of the device */
    {EUCLEAN, PG_DISK_FAILED},   /* the file system is damaged (XFS, ext4, btrfs) */
    {EREMOTEIO, PG_DISK_FAILED}, /* of a disk in the network: its server has an error, */
    {ESTALE, PG_DISK_FAILED},    /* no longer has the directory, */
    {ENOTCONN, PG_DISK_FAILED},  /* is not connected, */
    {ETIMEDOUT, PG_DISK_FAILED}, /* or does not answer and was waited for long enough */
};

static enum pg_disk_kind refused_kind(int errno_value)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].errno_value == errno_value) {
            return refusals[i].kind;
        }
    }
    return PG_DISK_UNKNOWN;
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
    if (place->errno_value != 0) {
        return refused_kind(place->errno_value);
    }
    return place->free_bytes < enough ? PG_DISK_LOW : PG_DISK_GOOD;
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
