/* clang-format off */
/* PURE: the page and what follows from it.
 *
 * Layout, native byte order (both sides are on one host), offsets in bytes:
 *
 *      0  magic "PGQFENCE"
 *      8  layout version (4)
 *     16  sequence (8)
 *     64  copy 0: sequence, cluster, revision, soft, deadline, watchdog (8 each)
 *    128  copy 1
 *
 * The copy in force is number `sequence & 1` and bears that sequence itself. A writer fills the
 * other one, its sequence last, then moves the page's sequence on. A writer that dies anywhere in
 * between leaves the copy in force untouched; a reader that meets a write under way sees two
 * sequences that differ, and reads again. */
/* clang-format on */
#include "pgctl/fence.h"

#include <stdatomic.h>
#include <string.h>

struct page_copy {
    _Atomic uint64_t sequence;
    _Atomic uint64_t cluster;
    _Atomic int64_t revision;
    _Atomic int64_t soft_ms;
    _Atomic int64_t deadline_ms;
    _Atomic int64_t watchdog_ms;
    uint8_t reserved[16];
};

struct fence_page {
    char magic[8];
    uint32_t version;
    uint32_t reserved0;
    _Atomic uint64_t sequence;
    uint8_t reserved1[40];
    struct page_copy copies[2];
    uint8_t reserved2[FENCE_PAGE_BYTES - 192];
};

_Static_assert(sizeof(struct fence_page) == FENCE_PAGE_BYTES, "the page is one page");
_Static_assert(offsetof(struct fence_page, sequence) == 16, "layout version 1");
_Static_assert(offsetof(struct fence_page, copies) == 64, "layout version 1");
_Static_assert(sizeof(struct page_copy) == 64, "layout version 1");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock inside the page would be the writer's to lose");

static const char page_magic[8] = {'P', 'G', 'Q', 'F', 'E', 'N', 'C', 'E'};

struct fence_lease fence_lease_standby(void)
{
    struct fence_lease lease = {
        .epoch = {.cluster = 0, .revision = 0},
        .soft_ms = FENCE_NO_DEADLINE,
        .deadline_ms = FENCE_NO_DEADLINE,
        .watchdog_ms = FENCE_NO_DEADLINE,
    };
    return lease;
}

bool fence_lease_armed(const struct fence_lease *lease)
{
    return lease->epoch.revision != 0 && lease->deadline_ms != FENCE_NO_DEADLINE;
}

bool fence_lease_open(const struct fence_lease *lease)
{
    return lease->epoch.revision != 0 && lease->deadline_ms == FENCE_NO_DEADLINE;
}

bool fence_idle_ends(const struct fence_lease *lease, int64_t idle_ms)
{
    return idle_ms >= FENCE_IDLE_MS && !fence_lease_open(lease);
}

static void copy_write(struct page_copy *copy, const struct fence_lease *lease, uint64_t sequence)
{
    /* No reader may take a half-written copy for whole: its old sequence goes first, the new one
     * comes last. */
    atomic_store(&copy->sequence, 0);
    atomic_store(&copy->cluster, lease->epoch.cluster);
    atomic_store(&copy->revision, lease->epoch.revision);
    atomic_store(&copy->soft_ms, lease->soft_ms);
    atomic_store(&copy->deadline_ms, lease->deadline_ms);
    atomic_store(&copy->watchdog_ms, lease->watchdog_ms);
    atomic_store(&copy->sequence, sequence);
}

void fence_page_init(struct fence_page *page)
{
    struct fence_lease standby = fence_lease_standby();

    memcpy(page->magic, page_magic, sizeof page->magic);
    page->version = FENCE_PAGE_VERSION;
    copy_write(&page->copies[0], &standby, 2);
    atomic_store(&page->sequence, 2);
}

void fence_page_write(struct fence_page *page, const struct fence_lease *lease)
{
    uint64_t next = atomic_load(&page->sequence) + 1;

    copy_write(&page->copies[next & 1], lease, next);
    atomic_store(&page->sequence, next);
}

bool fence_page_read(const struct fence_page *page, struct fence_lease *ret_lease)
{
    if (memcmp(page->magic, page_magic, sizeof page_magic) != 0 ||
        page->version != FENCE_PAGE_VERSION) {
        return false;
    }
    for (int i = 0; i < FENCE_PAGE_TRIES_MAX; i++) {
        uint64_t sequence = atomic_load(&page->sequence);
        const struct page_copy *copy = &page->copies[sequence & 1];
        uint64_t before = atomic_load(&copy->sequence);
        struct fence_lease lease = {
            .epoch = {.cluster = atomic_load(&copy->cluster),
                      .revision = atomic_load(&copy->revision)},
            .soft_ms = atomic_load(&copy->soft_ms),
            .deadline_ms = atomic_load(&copy->deadline_ms),
            .watchdog_ms = atomic_load(&copy->watchdog_ms),
        };
        if (before == sequence && atomic_load(&copy->sequence) == sequence) {
            *ret_lease = lease;
            return true;
        }
    }
    return false;
}

bool fence_epoch_over(const struct fence_state *state, struct fence_epoch epoch)
{
    /* Epochs of one cluster rise, so whatever is not above the one that was killed is over with it.
     */
    return epoch.revision != 0 && state->fired.revision != 0 &&
           epoch.cluster == state->fired.cluster && epoch.revision <= state->fired.revision;
}

#ifdef FENCE_TEST_OFF
/* A test build whose fence never fires: the checkers of tests/e2e have to catch what follows. */
enum fence_action fence_decide(const struct fence_lease *lease, int64_t now_ms,
                               struct fence_state *state)
{
    (void)lease;
    (void)now_ms;
    (void)state;
    return FENCE_NONE;
}
#else
enum fence_action fence_decide(const struct fence_lease *lease, int64_t now_ms,
                               struct fence_state *state)
{
    if (lease->epoch.revision == 0) {
        return FENCE_NONE;
    }
    if (fence_epoch_over(state, lease->epoch)) {
        return FENCE_KILL;
    }
    if (lease->deadline_ms != FENCE_NO_DEADLINE && now_ms >= lease->deadline_ms) {
        state->fired = lease->epoch;
        return FENCE_KILL;
    }
    if (lease->soft_ms != FENCE_NO_DEADLINE && now_ms >= lease->soft_ms &&
        !fence_epoch_equal(state->stopped, lease->epoch)) {
        state->stopped = lease->epoch;
        return FENCE_SOFT_STOP;
    }
    return FENCE_NONE;
}
#endif

int64_t fence_wait_ms(const struct fence_lease *lease, int64_t now_ms,
                      const struct fence_state *state)
{
    int64_t next = FENCE_NO_DEADLINE;

    if (lease->epoch.revision != 0 && !fence_epoch_over(state, lease->epoch)) {
        next = lease->deadline_ms;
        if (lease->soft_ms < next && !fence_epoch_equal(state->stopped, lease->epoch)) {
            next = lease->soft_ms;
        }
    }
    if (next == FENCE_NO_DEADLINE) {
        return FENCE_WAIT_MAX_MS;
    }
    if (next <= now_ms) {
        return FENCE_WAIT_MIN_MS;
    }
    /* No timer runs on the lease clock, and the others may be slewed against it: half, then look
     * again. */
    uint64_t half = ((uint64_t)next - (uint64_t)now_ms) / 2;
    if (half < FENCE_WAIT_MIN_MS) {
        return FENCE_WAIT_MIN_MS;
    }
    return half > FENCE_WAIT_MAX_MS ? FENCE_WAIT_MAX_MS : (int64_t)half;
}

void fence_watchdog_clamp(struct fence_lease *lease, int64_t timeout_ms)
{
    if (timeout_ms == 0 || !fence_lease_armed(lease) || lease->deadline_ms == FENCE_OVER ||
        lease->watchdog_ms == FENCE_NO_DEADLINE) {
        return;
    }
    int64_t last_ms = lease->watchdog_ms - pg_watchdog_reserve_ms(timeout_ms);
    if (lease->deadline_ms <= last_ms) {
        return;
    }
    if (lease->soft_ms != FENCE_NO_DEADLINE) {
        lease->soft_ms -= lease->deadline_ms - last_ms;
    }
    lease->deadline_ms = last_ms;
}

enum fence_watchdog_step fence_watchdog_decide(const struct fence_lease *lease, bool over,
                                               bool empty, int64_t timeout_ms, int64_t now_ms,
                                               int64_t *until_ms)
{
    if (!fence_lease_armed(lease)) {
        *until_ms = 0;
        return FENCE_WATCHDOG_DISARM;
    }
    if (lease->deadline_ms != FENCE_OVER) { /* the others count on from the last renewal all the
                                               same */
        *until_ms = lease->watchdog_ms;
    }
    bool in_time = now_ms <= *until_ms - 2 * timeout_ms;
    if (empty && (over || !in_time)) {
        return FENCE_WATCHDOG_DISARM;
    }
    return in_time ? FENCE_WATCHDOG_PET : FENCE_WATCHDOG_LEAVE;
}
