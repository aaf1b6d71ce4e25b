/* PURE. The holder's side of the leader lease: arithmetic of T, K and S, when to renew, and which
 * answer may extend what (docs/consensus.md; the same names stand in tests/models). All times: ms
 * of the lease clock.
 *
 *     T = ttl     K = ttl - max(ttl/10, 400)     S = K - max(ttl/15, 200)
 *
 * With a watchdog device of timeout W both are earlier, so that the device finds everything gone
 * before it fires, T(1-rho) - W after the send at the earliest:
 *
 *     K = min(K, T(1-rho) - W - W/5 - 750 ms)    S = K - the same
 *
 * The holder counts K and S from before the first send; everybody else counts T from the apply.
 * From S on the fence stops PostgreSQL, from K on it kills; nobody else can have the key before T.
 */
#ifndef AGENT_HA_LEASE_H
#define AGENT_HA_LEASE_H

#include "agent/ha/ha_snapshot.h"

#define HA_RHO_PPM     500 /* bound on the rate error of a lease clock */
#define HA_KILL_MS_MAX 250 /* dF: from the deadline to "no backend can commit" */
#define HA_TTL_MS_MIN  3000

int64_t ha_lease_kill_ms(int64_t ttl_ms);                        /* K */
int64_t ha_lease_soft_ms(int64_t ttl_ms);                        /* S */
int64_t ha_lease_renew_ms(int64_t ttl_ms, int64_t loop_wait_ms); /* min(loop_wait, ttl/6) */
int64_t ha_lease_attempt_ms(int64_t ttl_ms);                     /* limit of one attempt: ttl/6 */
/* K(1+rho) + dF < T(1-rho), and one lost renewal with its retry does not demote. */
bool ha_lease_ttl_is_safe(int64_t ttl_ms);

/* The timeout that a watchdog device is to get: whole seconds, at most `margin_ms`
 * (watchdog.safety_margin; -1 = as much as there is room for), and not so long that one lost
 * renewal with its retry would demote. 0 = that ttl leaves no room for any device. */
int64_t ha_lease_watchdog_ms(int64_t ttl_ms, int64_t margin_ms);
/* A device of that timeout fires before anybody else counts such a ttl to its end, however late the
 * last petting was. A renewal with another ttl is not sent before it has a shorter one. */
bool ha_lease_watchdog_fits(int64_t ttl_ms, int64_t timeout_ms);

struct ha_lease {
    bool held;
    bool renewed; /* an answer of this run of the agent extended it */
    struct ha_epoch epoch;
    int64_t ttl_ms;  /* of the newest renewal sent */
    int64_t soft_ms; /* 0 = no deadline known yet: not valid */
    int64_t deadline_ms;
    int64_t watchdog_ms; /* sent + T(1-rho) */
    int64_t device_ms;   /* timeout of the watchdog device; 0 = none */
    uint64_t newest;     /* number of the newest renewal sent; only its answer extends */
    int64_t newest_sent_ms;
    int64_t newest_ttl_ms;
    bool waiting;             /* it is not answered */
    int64_t patient_until_ms; /* and no other one is sent before */
    int64_t next_ms;          /* when the next renewal is due */
    struct ha_epoch fired;    /* the fence fired for it, or we gave it up: dead for ever */
    struct ha_epoch acquired; /* the last one that was acquired, not resumed */
};

enum ha_lease_outcome {
    HA_LEASE_EXTENDED,
    HA_LEASE_OLD,    /* not the newest one sent, or of an epoch that we do not hold: ignored */
    HA_LEASE_LATE,   /* now >= sent + K: discarded; another renewal is due at once */
    HA_LEASE_FAILED, /* no answer, or no way to ask: another renewal is due at once */
    HA_LEASE_LOST,   /* the store says that the key is not ours any more: nothing can extend it */
};

void ha_lease_init(struct ha_lease *lease);

/* The acquisition that was first sent at `sent_ms` was applied as `epoch`. False if it came too
 * late (now >= sent + S) or the epoch is dead: the caller releases it, or renews before it arms
 * (ha_lease_resume). */
bool ha_lease_acquired(struct ha_lease *lease, struct ha_epoch epoch, int64_t sent_ms,
                       int64_t ttl_ms, int64_t now_ms);
/* Goes on with an epoch that the leader key still has: after a restart of the agent (soft and
 * deadlines as the page has them: they only shrink until an answer comes), or with no deadlines (0,
 * 0, 0) where nothing is armed. A renewal is due at once. False if the epoch is dead. */
bool ha_lease_resume(struct ha_lease *lease, struct ha_epoch epoch, int64_t soft_ms,
                     int64_t deadline_ms, int64_t watchdog_ms, int64_t now_ms);
/* There is a watchdog device of that timeout now (0 = none any more): the deadlines are lowered at
 * once where they have to be, and those that come are as the head of this file says. */
void ha_lease_watchdog(struct ha_lease *lease, int64_t timeout_ms);

/* True when a renewal is to be sent now: none is waiting, or the waiting one has had its time. */
bool ha_lease_due(const struct ha_lease *lease, int64_t now_ms);
/* How long to sleep at most before asking again; -1 = not held. */
int64_t ha_lease_wait_ms(const struct ha_lease *lease, int64_t now_ms);
/* Due at once: the Raft leader changed, or the attempt failed. */
void ha_lease_hurry(struct ha_lease *lease, int64_t now_ms);

/* Call right BEFORE the bytes leave, `now_ms` read afresh; returns the number of this attempt. A
 * shorter ttl lowers the deadlines here and not when it is answered: put ha_lease_page on the page
 * before sending. */
uint64_t ha_lease_sent(struct ha_lease *lease, int64_t ttl_ms, int64_t loop_wait_ms,
                       int64_t now_ms);
/* The answer to attempt `number`. `rc` as dcs.h: 0; ERR_CONFLICT, ERR_REFUSED or ERR_NOT_FOUND =
 * not ours any more; anything else = unknown. */
enum ha_lease_outcome ha_lease_answered(struct ha_lease *lease, uint64_t number, int rc,
                                        int64_t now_ms);

/* failsafe_mode: every member of the key `failsafe` has promised not to take the leader key for a
 * ttl, in answer to questions of which the first was sent at `sent_ms`. True: that extends the
 * deadlines. `newest` is lease->newest at that send: a renewal sent since may carry a shorter ttl,
 * which others then count by. */
bool ha_lease_vouched(struct ha_lease *lease, int64_t sent_ms, uint64_t newest, int64_t ttl_ms,
                      int64_t now_ms);

/* The fence fired for `epoch`, or the page says that it is over: it never comes back. */
void ha_lease_fired(struct ha_lease *lease, struct ha_epoch epoch);
/* Not ours any more (released; the key shows another). */
void ha_lease_drop(struct ha_lease *lease);

/* May be primary now: held, deadlines known, now < S. */
bool ha_lease_valid(const struct ha_lease *lease, int64_t now_ms);
/* What the page is to say for it. False: nothing to arm. */
struct ha_lease_page {
    struct ha_epoch epoch;
    int64_t soft_ms;
    int64_t deadline_ms;
    int64_t watchdog_ms;
};
bool ha_lease_page(const struct ha_lease *lease, struct ha_lease_page *ret_page);
void ha_lease_holding(const struct ha_lease *lease, bool acquiring, struct ha_holding *ret_holding);

#endif
