/* The holder's side of the lease: numbers in, numbers out.
 *
 * What must hold, each of it a mutant of tests/models that gives two writers when left out:
 *   - a deadline counts from before the send of the renewal that extends it, never from its answer;
 *   - only the answer to the newest renewal sent extends (an older one may name a longer ttl);
 *   - a shorter ttl lowers the deadline when it is sent (its answer may be lost while others use
 * it);
 *   - an answer at or after sent + K is worth nothing;
 *   - an epoch that the fence fired for, or that was given up, never comes back. */
#include "agent/ha/ha_lease.h"

#include "base/assert.h"
#include "base/err.h"

#include <string.h>

/* Two attempts are at least so far apart: a store that refuses at once must not be asked in a
 * circle. */
#define ATTEMPT_GAP_MS 50

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t ha_lease_kill_ms(int64_t ttl_ms)
{
    return ttl_ms - max64(ttl_ms / 10, 400);
}

int64_t ha_lease_soft_ms(int64_t ttl_ms)
{
    return ha_lease_kill_ms(ttl_ms) - max64(ttl_ms / 15, 200);
}

int64_t ha_lease_renew_ms(int64_t ttl_ms, int64_t loop_wait_ms)
{
    return min64(loop_wait_ms, ttl_ms / 6);
}

int64_t ha_lease_attempt_ms(int64_t ttl_ms)
{
    return ttl_ms / 6;
}

/* T(1 - rho), rounded down: what the others wait for at least, measured on our clock. */
static int64_t others_wait_ms(int64_t ttl_ms)
{
    return ttl_ms - (ttl_ms * HA_RHO_PPM + 999999) / 1000000;
}

bool ha_lease_ttl_is_safe(int64_t ttl_ms)
{
    int64_t kill = ha_lease_kill_ms(ttl_ms);
    int64_t drift = (kill * HA_RHO_PPM + 999999) / 1000000;
    bool exclusive = kill + drift + HA_KILL_MS_MAX < others_wait_ms(ttl_ms);
    bool survives = 3 * ha_lease_attempt_ms(ttl_ms) <= ha_lease_soft_ms(ttl_ms);
    return ttl_ms >= HA_TTL_MS_MIN && exclusive && survives;
}

/* Lowers both where a device of that timeout asks for it. */
static void make_room(int64_t *soft_ms, int64_t *deadline_ms, int64_t watchdog_ms,
                      int64_t timeout_ms)
{
    int64_t last_ms = watchdog_ms - pg_watchdog_reserve_ms(timeout_ms);
    if (timeout_ms > 0 && *deadline_ms > last_ms) {
        *soft_ms -= *deadline_ms - last_ms;
        *deadline_ms = last_ms;
    }
}

int64_t ha_lease_watchdog_ms(int64_t ttl_ms, int64_t margin_ms)
{
    int64_t most_ms = margin_ms < 0 ? ttl_ms / 2 : max64(margin_ms, 1000);
    for (int64_t timeout_ms = most_ms / 1000 * 1000; timeout_ms > 0; timeout_ms -= 1000) {
        int64_t soft_ms = ha_lease_soft_ms(ttl_ms);
        int64_t deadline_ms = ha_lease_kill_ms(ttl_ms);
        make_room(&soft_ms, &deadline_ms, others_wait_ms(ttl_ms), timeout_ms);
        if (3 * ha_lease_attempt_ms(ttl_ms) <= soft_ms &&
            ha_lease_watchdog_fits(ttl_ms, timeout_ms)) {
            return timeout_ms;
        }
    }
    return 0;
}

bool ha_lease_watchdog_fits(int64_t ttl_ms, int64_t timeout_ms)
{
    return 2 * timeout_ms <= others_wait_ms(ttl_ms);
}

static void lease_check(const struct ha_lease *lease)
{
    ASSERT(lease->soft_ms <= lease->deadline_ms);
    ASSERT(!lease->held || lease->epoch.revision > 0);
    ASSERT(!lease->held || !ha_epoch_equal(lease->epoch, lease->fired));
}

void ha_lease_init(struct ha_lease *lease)
{
    memset(lease, 0, sizeof *lease);
}

static bool is_dead(const struct ha_lease *lease, struct ha_epoch epoch)
{
    /* Older epochs of the same cluster are dead with it: epochs only rise. */
    return epoch.cluster == lease->fired.cluster && epoch.revision <= lease->fired.revision;
}

static void hold(struct ha_lease *lease, struct ha_epoch epoch, int64_t now_ms)
{
    lease->held = true;
    lease->renewed = false;
    lease->epoch = epoch;
    lease->waiting = false; /* answers to renewals of another epoch are old */
    lease->newest++;
    lease->next_ms = now_ms;
}

static void extend(struct ha_lease *lease, int64_t sent_ms, int64_t ttl_ms)
{
    lease->soft_ms = sent_ms + ha_lease_soft_ms(ttl_ms);
    lease->deadline_ms = sent_ms + ha_lease_kill_ms(ttl_ms);
    lease->watchdog_ms = sent_ms + others_wait_ms(ttl_ms);
    make_room(&lease->soft_ms, &lease->deadline_ms, lease->watchdog_ms, lease->device_ms);
    lease->ttl_ms = ttl_ms;
    lease->renewed = true;
}

bool ha_lease_acquired(struct ha_lease *lease, struct ha_epoch epoch, int64_t sent_ms,
                       int64_t ttl_ms, int64_t now_ms)
{
    ASSERT(epoch.revision > 0);
    ASSERT(sent_ms <= now_ms);
    if (is_dead(lease, epoch) || now_ms >= sent_ms + ha_lease_soft_ms(ttl_ms)) {
        return false;
    }
    hold(lease, epoch, now_ms);
    extend(lease, sent_ms, ttl_ms);
    lease->acquired = epoch;
    lease->newest_sent_ms = sent_ms;
    lease->newest_ttl_ms = ttl_ms;
    lease->next_ms = sent_ms + ttl_ms / 6;
    lease_check(lease);
    return true;
}

bool ha_lease_resume(struct ha_lease *lease, struct ha_epoch epoch, int64_t soft_ms,
                     int64_t deadline_ms, int64_t watchdog_ms, int64_t now_ms)
{
    ASSERT(epoch.revision > 0);
    if (is_dead(lease, epoch)) {
        return false;
    }
    hold(lease, epoch, now_ms);
    lease->soft_ms = min64(soft_ms, deadline_ms);
    lease->deadline_ms = deadline_ms;
    lease->watchdog_ms = watchdog_ms;
    lease_check(lease);
    return true;
}

void ha_lease_watchdog(struct ha_lease *lease, int64_t timeout_ms)
{
    lease->device_ms = timeout_ms;
    if (lease->held && lease->deadline_ms != 0) {
        make_room(&lease->soft_ms, &lease->deadline_ms, lease->watchdog_ms, timeout_ms);
    }
    lease_check(lease);
}

bool ha_lease_due(const struct ha_lease *lease, int64_t now_ms)
{
    if (!lease->held || now_ms < lease->next_ms) {
        return false;
    }
    return !lease->waiting || now_ms >= lease->patient_until_ms;
}

int64_t ha_lease_wait_ms(const struct ha_lease *lease, int64_t now_ms)
{
    if (!lease->held) {
        return -1;
    }
    int64_t at = lease->next_ms;
    if (lease->waiting) {
        at = max64(at, lease->patient_until_ms);
    }
    return max64(at - now_ms, 0);
}

void ha_lease_hurry(struct ha_lease *lease, int64_t now_ms)
{
    int64_t at = max64(now_ms, lease->newest_sent_ms + ATTEMPT_GAP_MS);
    lease->next_ms = min64(lease->next_ms, at);
    lease->patient_until_ms = min64(lease->patient_until_ms, at);
}

uint64_t ha_lease_sent(struct ha_lease *lease, int64_t ttl_ms, int64_t loop_wait_ms, int64_t now_ms)
{
    ASSERT(lease->held);
    ASSERT(ttl_ms > 0);
    lease->newest++;
    lease->newest_sent_ms = now_ms;
    lease->newest_ttl_ms = ttl_ms;
    lease->waiting = true;
    lease->patient_until_ms = now_ms + ha_lease_attempt_ms(ttl_ms);
    lease->next_ms = now_ms + ha_lease_renew_ms(ttl_ms, loop_wait_ms);
    /* With an unchanged ttl these are later than what stands; only a shorter ttl lowers. */
    lease->soft_ms = min64(lease->soft_ms, now_ms + ha_lease_soft_ms(ttl_ms));
    lease->deadline_ms = min64(lease->deadline_ms, now_ms + ha_lease_kill_ms(ttl_ms));
    lease->watchdog_ms = min64(lease->watchdog_ms, now_ms + others_wait_ms(ttl_ms));
    if (lease->deadline_ms != 0) {
        make_room(&lease->soft_ms, &lease->deadline_ms, lease->watchdog_ms, lease->device_ms);
    }
    lease_check(lease);
    return lease->newest;
}

enum ha_lease_outcome ha_lease_answered(struct ha_lease *lease, uint64_t number, int rc,
                                        int64_t now_ms)
{
    if (!lease->held || number != lease->newest || !lease->waiting) {
        return HA_LEASE_OLD;
    }
    lease->waiting = false;
    if (rc == ERR_CONFLICT || rc == ERR_REFUSED || rc == ERR_NOT_FOUND) {
        /* The deadlines on the page stay: the fence stops what we do not stop ourselves. */
        lease->held = false;
        return HA_LEASE_LOST;
    }
    int64_t again_ms = max64(now_ms, lease->newest_sent_ms + ATTEMPT_GAP_MS);
    if (rc != 0) {
        lease->next_ms = again_ms;
        return HA_LEASE_FAILED;
    }
    if (now_ms >= lease->newest_sent_ms + ha_lease_kill_ms(lease->newest_ttl_ms)) {
        lease->next_ms = again_ms;
        return HA_LEASE_LATE;
    }
    extend(lease, lease->newest_sent_ms, lease->newest_ttl_ms);
    lease_check(lease);
    return HA_LEASE_EXTENDED;
}

bool ha_lease_vouched(struct ha_lease *lease, int64_t sent_ms, uint64_t newest, int64_t ttl_ms,
                      int64_t now_ms)
{
    ASSERT(sent_ms <= now_ms);
    int64_t soft_ms = sent_ms + ha_lease_soft_ms(ttl_ms);
    int64_t deadline_ms = sent_ms + ha_lease_kill_ms(ttl_ms);
    make_room(&soft_ms, &deadline_ms, sent_ms + others_wait_ms(ttl_ms), lease->device_ms);
    bool shortened = lease->newest != newest && lease->newest_ttl_ms < ttl_ms;
    if (!ha_lease_valid(lease, now_ms) || shortened || soft_ms <= lease->soft_ms) {
        return false;
    }
    extend(lease, sent_ms, ttl_ms);
    lease_check(lease);
    return true;
}

void ha_lease_fired(struct ha_lease *lease, struct ha_epoch epoch)
{
    if (epoch.revision == 0) {
        return; /* a standby was stopped: no epoch ended */
    }
    if (!is_dead(lease, epoch)) {
        lease->fired = epoch;
    }
    if (lease->held && is_dead(lease, lease->epoch)) {
        ha_lease_drop(lease);
    }
}

void ha_lease_drop(struct ha_lease *lease)
{
    lease->held = false;
    lease->waiting = false;
    lease->soft_ms = 0;
    lease->deadline_ms = 0;
    lease->watchdog_ms = 0;
}

bool ha_lease_valid(const struct ha_lease *lease, int64_t now_ms)
{
    return lease->held && now_ms < lease->soft_ms;
}

bool ha_lease_page(const struct ha_lease *lease, struct ha_lease_page *ret_page)
{
    if (!lease->held || lease->deadline_ms == 0) {
        return false;
    }
    ret_page->epoch = lease->epoch;
    ret_page->soft_ms = lease->soft_ms;
    ret_page->deadline_ms = lease->deadline_ms;
    ret_page->watchdog_ms = lease->watchdog_ms;
    return true;
}

void ha_lease_holding(const struct ha_lease *lease, bool acquiring, struct ha_holding *ret_holding)
{
    ret_holding->held = lease->held;
    ret_holding->epoch = lease->epoch;
    ret_holding->soft_lease_ms = lease->soft_ms;
    ret_holding->deadline_lease_ms = lease->deadline_ms;
    ret_holding->acquiring = acquiring;
    ret_holding->renewed = lease->renewed;
    ret_holding->acquired = lease->acquired;
}
