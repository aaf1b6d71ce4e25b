/* WAL as branches of one tree: no bytes, only how far which branch goes. */
#include "sim_machine.h"

#include "base/assert.h"

static uint64_t branch_last; /* never the same twice, in no world */

uint32_t sim_wal_timeline(const struct sim_wal *wal)
{
    return wal->count == 0 ? 0 : wal->segments[wal->count - 1].timeline;
}

uint64_t sim_wal_last_branch(const struct sim_wal *wal)
{
    return wal->count == 0 ? 0 : wal->segments[wal->count - 1].branch;
}

static uint64_t segment_end(const struct sim_wal *wal, size_t at)
{
    return at + 1 < wal->count ? wal->segments[at + 1].start : wal->end;
}

uint64_t sim_wal_common(const struct sim_wal *a, const struct sim_wal *b)
{
    uint64_t common = 0;
    for (size_t i = 0;
         i < a->count && i < b->count && a->segments[i].branch == b->segments[i].branch; i++) {
        uint64_t end_a = segment_end(a, i);
        uint64_t end_b = segment_end(b, i);
        common = end_a < end_b ? end_a : end_b;
        if (end_a != end_b) {
            break;
        }
    }
    return common;
}

bool sim_wal_has(const struct sim_wal *wal, uint64_t branch, uint64_t lsn)
{
    for (size_t i = wal->count; i > 0; i--) {
        if (wal->segments[i - 1].branch == branch) {
            return segment_end(wal, i - 1) >= lsn;
        }
    }
    return false;
}

void sim_wal_branch(struct sim_wal *wal, uint32_t timeline)
{
    ASSERT(wal->count < SIM_SEGMENTS_MAX);
    wal->segments[wal->count++] =
        (struct sim_segment){.timeline = timeline, .start = wal->end, .branch = ++branch_last};
}

void sim_wal_history(const struct sim_wal *wal, struct buf *out)
{
    for (size_t i = 0; i + 1 < wal->count; i++) {
        uint64_t end = wal->segments[i + 1].start;
        buf_printf(out, "%u\t%X/%X\tno recovery target specified\n", wal->segments[i].timeline,
                   (unsigned)(end >> 32), (unsigned)end);
    }
}
