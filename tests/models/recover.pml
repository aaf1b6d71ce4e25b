/* Recovery after the majority was lost for good (`raft recover`; docs/consensus.md, section 5): an operator makes a group of one of a member's
 * directory, under a new cluster id. What it holds may be old: who led last, for whom commits waited. Nobody leads in it without an order that was given
 * in it; and the operator may be wrong, so that the others still live.
 *   a member's directory is its copy of the store: which group it is of (cl), who votes there (conf), the leader key (k), its holder (h) and epoch (e),
 *   the synchronous standby (s), a failover that was ordered (o) and is later than the key `recovered` (ol, rec); ver = the entry that it reaches
 *   A majority of the voters writes, and the newest of it says what there was (Raft, with its terms in `ver`: of one group no two writes are alike).
 *   An entry may stay in one log, known to nobody; a recovery makes it count.
 *   Of the data one strict commit is followed: who has it, and whether it was acknowledged.
 * A second recovery is of the recovered group. Acquisitions, changes of the synchronous standby and the lease are atomic here: their own models have the steps.
 * Claims: a writable primary has what was acknowledged, or the operator ordered one in its group after the recovery;
 *         what a recovered group holds is not written over by the group of before;
 *         who has met a member of the recovered group takes no more part in the one of before, as long as it runs.
 * Two of the old group that never meet a recovered one go on: then there are two primaries, which no rule forbids. The operator has to see to it.
 * Mutants: BUG_NO_KEY        a recovered group promotes by `sync`
 *          BUG_LAST_HOLDER   the last holder takes the key again
 *          BUG_OLD_ORDER     an order of before the recovery counts
 *          BUG_FIRST_ONLY    ... of before the second recovery, at which the key stood or had stood already
 *          BUG_PAGE          the agent goes on with the epoch of its page whatever cluster it is of
 *          BUG_KEY_TRUSTED   ... with a leader key that has its name
 *          BUG_SAME_CLUSTER  the cluster id stays
 *          BUG_GOES_ON       an old member that meets a recovered one goes on */
#ifndef WRITES
#define WRITES 4                                /* of stores, beside recoveries and joins */
#endif
#ifndef RECOVERIES
#define RECOVERIES 1
#endif
#define NONE 3
#define OLD 1
/* each member's directory */
byte cl[3] = OLD, conf[3] = 7, ver[3], h[3], e[3] = 1, s[3] = 1, o[3] = NONE; bit k[3] = 1, ol[3], rec[3];
byte og[3]; bit exc[3];                         /* for the claims: of which group the order is; an order of its own group was served */
byte kin[3] = OLD, from[4];                     /* for the claims: of which group it really is; of which group each was made */
byte next = 1, writes = 0, recoveries = 0;
/* each member's data and processes */
bit  has[3], leads[3]; byte pagec[3], pagee[3], names[3] = NONE;   /* writable by the epoch of which cluster; waits for whom */
bit  met[3];                                    /* its agent has met a member of a group made of its own */
byte wrote = 0; bit acked = 0;                  /* the commit: in which group */
byte x, y, m, then;                             /* in a step: a majority, and a member of its group; what follows */

#define COPY(a, b) assert(kin[b] == kin[a]); \
    conf[b] = conf[a]; ver[b] = ver[a]; h[b] = h[a]; e[b] = e[a]; s[b] = s[a]; o[b] = o[a]; \
    k[b] = k[a]; ol[b] = ol[a]; rec[b] = rec[a]; og[b] = og[a]; exc[b] = exc[a]
#define IN(a, c) ((conf[c] >> (a)) & 1)
#ifdef BUG_GOES_ON
#define RUNS(a) true
#else
#define RUNS(a) (!met[a])
#endif
#define MEMBER(m, x) (RUNS(m) && cl[m] == cl[x])
#define MAJORITY(x, y) (RUNS(x) && RUNS(y) && cl[x] == cl[y] && ver[x] >= ver[y] && (x == y -> conf[x] == (1 << x) : IN(x, x) && IN(y, x)))
#define WRITES_BY(a, x) (leads[a] && pagec[a] == cl[x] && pagee[a] == e[x])
#define HELD_BY_NOBODY(x) (!WRITES_BY(0, x) && !WRITES_BY(1, x) && !WRITES_BY(2, x))
#define ENDS(m) leads[m] = 0; pagec[m] = 0; pagee[m] = 0
#define TAKES k[x] = 1; h[x] = m; e[x]++; rec[x] = 0
/* a was made of b, at once or by way of another */
#define LATER(a, b) (a != b && b != 0 && (from[a] == b || from[a] != 0 && from[from[a]] == b))
#define OWES(a) (leads[a] && acked && !has[a] && (pagec[a] == wrote || LATER(pagec[a], wrote)) && !exc[a])
#define CLAIM assert(!OWES(0) && !OWES(1) && !OWES(2))
#ifdef BUG_NO_KEY
#define SYNC_COUNTS(x) true
#else
#define SYNC_COUNTS(x) (!rec[x])
#endif
#ifdef BUG_LAST_HOLDER
#define LAST_COUNTS(x) true
#else
#define LAST_COUNTS(x) (!rec[x])
#endif
#ifdef BUG_OLD_ORDER
#define ORDERED(m, x) (o[x] == m)
#else
#define ORDERED(m, x) (o[x] == m && ol[x])
#endif
#ifdef BUG_FIRST_ONLY
#define ORDER_OF_BEFORE(a) skip
#else
#define ORDER_OF_BEFORE(a) ol[a] = 0
#endif
#ifdef BUG_PAGE
#define GOES_ON(m, x) (k[x] && h[x] == m && leads[m] && pagee[m] == e[x])
#elif defined(BUG_KEY_TRUSTED)
#define GOES_ON(m, x) (k[x] && h[x] == m)
#else
#define GOES_ON(m, x) (k[x] && h[x] == m && leads[m] && pagee[m] == e[x] && pagec[m] == cl[m])
#endif
#ifdef BUG_SAME_CLUSTER
#define NEW_ID(a) skip
#else
#define NEW_ID(a) cl[a] = recoveries + OLD
#endif
#define MAJ(a, b) :: MAJORITY(a, b) -> x = a; y = b
#define ANY(a) :: MEMBER(a, x) -> m = a
#define TWO(a, b) :: x = a; y = b
/* what follows a step: the majority has the entry; m leads; what is beside them follows */
#define ENTRY 1
#define LEADS 2
#define NOTHING 0
/* A member's directory is taken away, and it joins a recovered group. */
#define JOINS(a) :: cl[x] > OLD && m == x && !IN(a, x) && !leads[a] && cl[a] != cl[x] -> \
       conf[x] = conf[x] | (1 << a); cl[a] = cl[x]; kin[a] = kin[x]; ver[a] = 0; conf[a] = 0; met[a] = 0; then = ENTRY

init {
  d_step { leads[0] = 1; pagec[0] = OLD; pagee[0] = 1; names[0] = 1 }
  do
  /* the store */
  :: atomic {
       if MAJ(0, 0) MAJ(0, 1) MAJ(0, 2) MAJ(1, 0) MAJ(1, 1) MAJ(1, 2) MAJ(2, 0) MAJ(2, 1) MAJ(2, 2) fi;   /* x has the newest entry */
       if ANY(0) ANY(1) ANY(2) fi;
       if
       :: writes < WRITES ->
            writes++;
            if
            :: k[x] && HELD_BY_NOBODY(x) -> k[x] = 0; then = ENTRY                       /* the lease has run out */
            /* m takes the key: the synchronous standby; the last holder again; who was ordered; and it gets into one log, without an answer */
            :: !k[x] && s[x] == m && SYNC_COUNTS(x) -> s[x] = h[x]; names[m] = h[x]; TAKES; then = LEADS
            :: !k[x] && h[x] == m && LAST_COUNTS(x) -> names[m] = s[x]; TAKES; then = LEADS
            :: !k[x] && rec[x] && ORDERED(m, x) -> exc[x] = exc[x] || og[x] == kin[x]; s[x] = NONE; names[m] = NONE; TAKES; o[x] = NONE; ol[x] = 0; then = LEADS
            :: !k[x] && (s[x] == m && SYNC_COUNTS(x) || h[x] == m && LAST_COUNTS(x)) -> TAKES; ver[x] = next; next++
            /* an operator orders a failover to m; the primary makes m its synchronous standby */
            :: o[x] != m -> o[x] = m; ol[x] = rec[x]; og[x] = kin[x]; then = ENTRY
            :: m != h[x] && s[x] != m && WRITES_BY(h[x], x) && (!has[h[x]] || has[m]) -> s[x] = m; names[h[x]] = m; then = ENTRY
            :: else -> writes--
            fi
       /* an agent goes on with what runs, or ends it */
       :: GOES_ON(m, x) && !WRITES_BY(m, x) -> leads[m] = 1; pagec[m] = cl[x]; pagee[m] = e[x]
       :: leads[m] && pagec[m] != cl[m] && !GOES_ON(m, x) -> ENDS(m)
       JOINS(0) JOINS(1) JOINS(2)
       :: else
       fi;
       if
       :: then != NOTHING -> ver[x] = next; next++; assert(!met[x] && !met[y]);
            if :: x != y -> COPY(x, y) :: else fi;
            if
            :: then == LEADS -> if :: m != x && m != y -> COPY(x, m) :: else fi;         /* applied here, and only then is it promoted */
                 leads[m] = 1; pagec[m] = cl[x]; pagee[m] = e[x]
            :: else
            fi
       :: else
       fi;
       CLAIM; then = NOTHING; x = 0; y = 0; m = 0 }
  /* two members: y receives from x, follows it and throws away what x has not; has x's entries; meets it */
  :: atomic {
       if TWO(0, 1) TWO(0, 2) TWO(1, 0) TWO(1, 2) TWO(2, 0) TWO(2, 1) fi;
       if
       :: leads[x] && !leads[y] && has[x] && !has[y] -> has[y] = 1
       :: leads[x] && !leads[y] && !has[x] && has[y] && RUNS(y) && cl[y] == pagec[x] -> has[y] = 0
       :: RUNS(x) && RUNS(y) && cl[x] == cl[y] && ver[x] > ver[y] && IN(y, x) -> COPY(x, y)
       :: RUNS(x) && !met[y] && LATER(cl[x], cl[y]) -> met[y] = 1
       :: else
       fi;
       x = 0; y = 0 }
  /* one: writes, acknowledges, is ended by its fence; the operator recovers its directory */
  :: atomic {
       if :: m = 0 :: m = 1 :: m = 2 fi;
       if
       :: leads[m] && wrote == 0 -> has[m] = 1; wrote = pagec[m]
       :: leads[m] && !acked && has[m] && pagec[m] == wrote && (names[m] == NONE || has[names[m]]) -> acked = 1; CLAIM
       :: leads[m] -> ENDS(m)
       :: recoveries < RECOVERIES && (recoveries == 0 || kin[m] > OLD) -> recoveries++; from[recoveries + OLD] = kin[m]; kin[m] = recoveries + OLD; NEW_ID(m); conf[m] = 1 << m;
            rec[m] = 1; ORDER_OF_BEFORE(m); ver[m] = next; next++; met[m] = 0
       :: else
       fi;
       m = 0 }
  od
}
