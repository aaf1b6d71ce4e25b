/* failsafe_mode (docs/etcd.md): P has lost the store and goes on by the word of all members of the key `failsafe`. M is always in that key,
 * N is or is not. Explicit time as in lease.pml; that the store is away is that requests are applied late, or never, and views are old.
 *   K    P serves so long from the send of what extends its lease: a renewal, an acquisition, or the first question of a round
 *   T    the leader key ends no earlier after the last renewal was applied; a promise, and the time in which one that has just started
 *        does not run, last so long.   Safe iff K <= T (drift and the fence's lateness are in lease.pml)
 * A write of `failsafe` compares its revision: those that may still be applied are those sent over the one that the key has now. At first
 * the key is an earlier leader's, with writes of his under way. P's agent may restart, lose the lease and go on with it, take the key again
 * when it has run out (the answer may be lost), and write any list at any time: who joins and leaves is not looked at.
 * A candidate goes by any view since the key has been absent; its acquisition compares the epoch, not `failsafe`. While it waits for an
 * answer it promises nothing.
 * Claim: P does not write any more when another one has the key.
 * Mutants: K=5                  the inequality
 *          BUG_NOT_REMEMBERED   a member says yes and runs nevertheless
 *          BUG_SHORT_WAIT       a promise lasts less long than P serves by it
 *          BUG_JUST_STARTED     a member that has just started runs: it does not know what it has promised
 *          BUG_NOT_A_MEMBER     a member that is not in the key runs
 *          BUG_OFF              ... by a key that was written before the last epoch, where the mode is off as far as it knows
 *          BUG_NOT_ALL          one yes is enough
 *          BUG_FROM_ANSWER      the round counts from its end
 *          BUG_EARLIER_EPOCH    a round by a key that was written before the epoch of the lease
 *          BUG_UNANSWERED       who is named by a write that is not known to have failed is not asked
 *          BUG_WRITES_ACTIVE    the key is written while the lease stands by a round
 *          BUG_WRITES_IN_ROUND  the key is written while a round is under way
 *          BUG_FORGETS_ASKED    the next round asks those of the key as it is by now, and leaves out who was asked before
 *          BUG_RESTART_WRITES   a restarted agent writes the key before a renewal of its own was answered
 *          BUG_RESTART_ASKS     ... asks before that
 *          BUG_RESTART_TRUSTS   ... asks by the key as it finds it, whatever its predecessor has sent for it
 *          BUG_RESTART_WRITTEN  ... asks as soon as it has sent a write, before the key has changed */
#ifndef K
#define K 3
#endif
#define T 4
#define RESTARTS 1
#define RETAKES 1
#define M 0
#define N 1
#define NOBODY 1
#define TAKEN 2                                 /* by M or N, and for good */
/* the store */
byte owner = 0, ttl = T; bit later = 0;         /* leader key; it is of a later epoch than P's lease */
bit  key = 0, late[2] = 1;                      /* `failsafe`: N is in it; lists without and with N, under way over its revision */
byte since = 0;                                 /* it was written after: 0 neither epoch, 1 that of P's lease, 2 the last one as well */
/* P: the page; its agent */
byte page = K;
bit  held = 1, renewed = 1, resumed = 0;
bit  sees = 0, seesnow = 1, seesown = 1; byte seessince = 0;   /* its view; of the key's present revision; of its own leader key */
bit  wrote = 0, over = 0, names = 0, unsure = 0;/* this run has written; over the revision that it sees: N; what it cannot ask by */
bit  alone = 0, round = 0, asks = 0, yes[2]; byte asked = 0;   /* in failsafe mode; a round, its age; N is asked */
mtype = { idle, renew, acquire };
mtype req = idle; bit done = 0; byte age = 0;
byte restarts = 0, retakes = 0;
/* M and N */
byte waits[2]; bit acq[2], reads = 0;           /* does not run before; an acquisition under way; N may run by what it has read */

#define KEY (owner == 0 && !later)
#define FORGET over = 0; names = 0; unsure = 0
#define VIEW if :: !seesnow -> FORGET :: else fi; seesnow = 1; sees = key; seessince = since; seesown = KEY
#define NOREQ req = idle; done = 0; age = 0
#define NOROUND round = 0; asked = 0; yes[M] = 0; yes[N] = 0; if :: !alone -> asks = 0 :: else fi
#define OVER held = 0; renewed = 0; resumed = 0; alone = 0; NOROUND
#define TAKES waits[M] = 0; waits[N] = 0; acq[M] = 0; acq[N] = 0; reads = 0; late[0] = 0; late[1] = 0   /* (what has no more effect is cleared) */
#ifdef BUG_RESTART_WRITTEN
#define UNSURE (resumed && !wrote)
#else
#define UNSURE (resumed && !wrote || over && unsure)
#endif
#if defined(BUG_RESTART_ASKS)
#define MAYASK (!renewed || !UNSURE)
#elif defined(BUG_RESTART_TRUSTS)
#define MAYASK renewed
#else
#define MAYASK (renewed && !UNSURE)
#endif
#ifdef BUG_RESTART_WRITES
#define KNOWN true
#else
#define KNOWN renewed
#endif
#if defined(BUG_WRITES_ACTIVE)
#define BYSTORE !round
#elif defined(BUG_WRITES_IN_ROUND)
#define BYSTORE !alone
#else
#define BYSTORE (!round && !alone)
#endif
#ifdef BUG_EARLIER_EPOCH
#define OURS true
#else
#define OURS (seessince > 0)
#endif
#ifdef BUG_UNANSWERED
#define SENT false
#else
#define SENT (over && names)
#endif
#ifdef BUG_FORGETS_ASKED
#define BEFORE false
#else
#define BEFORE (alone && asks)
#endif
#ifdef BUG_NOT_ALL
#define ALL (yes[M] || yes[N])
#else
#define ALL (yes[M] && (yes[N] || !asks))
#endif
#ifdef BUG_FROM_ANSWER
#define REMAINS K
#else
#define REMAINS (asked < K -> K - asked : 0)
#endif
#if defined(BUG_NOT_REMEMBERED)
#define PROMISES(c) skip
#elif defined(BUG_SHORT_WAIT)
#define PROMISES(c) if :: waits[c] < K - 1 -> waits[c] = K - 1 :: else fi
#else
#define PROMISES(c) waits[c] = T
#endif
#ifdef BUG_JUST_STARTED
#define STARTS(c) waits[c] = 0
#else
#define STARTS(c) waits[c] = T
#endif
#if defined(BUG_NOT_A_MEMBER)
#define NAMED true
#elif defined(BUG_OFF)
#define NAMED (key || since < 2)
#else
#define NAMED key
#endif

#define TICK(timer) if :: timer > 0 -> timer-- :: else fi
#define LANDS(n) :: d_step { late[n] -> key = n; since = 2; late[0] = 0; late[1] = 0; seesnow = 0 }
#define WRITES(n) :: d_step { held && KNOWN && BYSTORE -> if :: !over -> unsure = UNSURE :: else fi; \
       wrote = 1; over = 1; names = names || n; if :: seesnow -> late[n] = 1 :: else fi }
#define MEMBER(c) \
  :: d_step { round && (c == M || asks) && !yes[c] && !acq[c] && owner != TAKEN -> yes[c] = 1; PROMISES(c) } \
  :: d_step { owner == NOBODY && (c == M || reads) && waits[c] == 0 && !acq[c] -> acq[c] = 1 } \
  :: d_step { owner == NOBODY && acq[c] -> owner = TAKEN; TAKES } \
  :: d_step { acq[c] -> acq[c] = 0 }                                             /* lost or refused */ \
  :: d_step { waits[c] < T && owner != TAKEN -> STARTS(c); acq[c] = 0; if :: c == N -> reads = 0 :: else fi }

active proctype World() {
  do
  :: d_step { true ->                                                            /* real time passes */
       TICK(ttl); TICK(waits[M]); TICK(waits[N]);
       if :: page > 0 -> page--; if :: page == 0 -> OVER :: else fi :: else fi;  /* the fence fires */
       if :: req != idle -> age++; if :: age == K -> NOREQ :: else fi :: else fi;
       if :: round -> asked++; if :: asked == T -> NOROUND :: else fi :: else fi }
  /* the leader key: it runs out; or P takes back what it was not answered about */
  :: d_step { owner == 0 && (ttl == 0 || later && req != acquire) -> owner = NOBODY; later = 0; ttl = 0 }
  :: d_step { KEY && req == renew && !done -> done = 1; ttl = T }
  :: d_step { owner == NOBODY && req == acquire && !done -> done = 1; owner = 0; later = 1; ttl = T; acq[M] = 0; acq[N] = 0; reads = 0;
       if :: since == 2 -> since = 1 :: else fi; if :: seessince == 2 -> seessince = 1 :: else fi }
  LANDS(0) LANDS(1)
  /* P's lease */
  :: d_step { held && req == idle -> req = renew }
  :: d_step { owner == NOBODY && req == idle && retakes < RETAKES -> req = acquire; retakes++ }
  :: d_step { req == renew && done -> if :: held -> page = K - age; renewed = 1; alone = 0; if :: !round -> asks = 0 :: else fi :: else fi; NOREQ }
  :: d_step { req == acquire && done -> page = K - age; held = 1; renewed = 1; resumed = 0; alone = 0; if :: !round -> asks = 0 :: else fi;
       later = 0; if :: since == 1 -> since = 0 :: else fi; if :: seessince == 1 -> seessince = 0 :: else fi; NOREQ }
  :: d_step { req != idle -> NOREQ }                                             /* lost or refused; a later one is sent */
  /* P's view and its key */
  :: d_step { !seesnow || seesown != KEY -> VIEW }
  WRITES(0) WRITES(1)
  /* a round: begins, is accepted, fails */
  :: d_step { held && !round && MAYASK && OURS -> round = 1; asks = BEFORE || sees || SENT }
  :: d_step { round && ALL -> if :: held && REMAINS > page -> page = REMAINS; alone = 1; renewed = 1 :: else fi; NOROUND }
  :: d_step { round -> NOROUND }
  /* P's agent restarts, and reads; loses the lease; goes on with the epoch on the page */
  :: d_step { page > 0 && restarts < RESTARTS -> restarts++; OVER; NOREQ; wrote = 0; FORGET; VIEW }
  :: d_step { held -> held = 0; renewed = 0; resumed = 0; NOREQ }
  :: d_step { page > 0 && !held && seesown -> held = 1; resumed = 1 }
  MEMBER(M) MEMBER(N)
  :: d_step { owner == NOBODY && NAMED && !reads -> reads = 1 }
  :: atomic { owner == TAKEN && page > 0 -> assert(0) }
  od
}
