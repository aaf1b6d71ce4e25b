/* The watchdog device behind the fence: whoever stands still at whatever moment, the host is reset
 * before another node can be primary (docs/consensus.md, section 3). The fence never kills here: this is
 * about what is left when it cannot.
 *   T   others wait, from when they applied a renewal;  T2 a shorter one, of a renewal with another ttl
 *   DR  ticks that the clocks of both may differ by in T
 *   W   timeout of the device
 *   RES ticks that have to be left of the watchdog deadline for a start, W + 1 at least (K)
 * Petting is two steps, decided by the loop (`check`), done later (`pet`): a process is stopped in between
 * at will, but the device fires when its time is over. Claim: safe iff it is petted while 2W are left. */
#ifndef T
#define T 12
#endif
#ifndef W
#define W 4
#endif
#ifndef T2
#define T2 (2 * W + DR)
#endif
#define DR   1
#define RES  (W + 1)
#define MAXR 3   /* renewals explored */
#define CAP  14

#ifdef BUG_ONE_TIMEOUT
#define ROOM W
#else
#define ROOM (2 * W)
#endif

byte sent = 1;  bit out = 0, done = 0;  byte age = 0, ttl = T;  /* one renewal under way */
byte dl = T - DR;                    /* what is left of the watchdog deadline on the page */
byte ct = T;                         /* of the others' wait */
byte dev = W;  bit on = 1;           /* the device: what is left, and whether it runs */
bit  due = 0;                        /* petting was decided, and is not done */
bit  pgH = 1, pgC = 0, over = 0, reset = 0;

#define EXPIRED (on && dev == 0)

active proctype World() {
  do
  :: d_step { !EXPIRED ->                                       /* real time passes */
       if :: out && age < CAP -> age++ :: else fi;
       if :: dl > 0 -> dl-- :: else fi;
       if :: ct > 0 -> ct-- :: else fi;
       if :: on && dev > 0 -> dev-- :: else fi }
  :: d_step { EXPIRED -> on = 0; due = 0; pgH = 0; out = 0; reset = 1 }
  /* the agent */
  :: d_step { !reset && !over && !out && sent < MAXR -> out = 1; done = 0; age = 0; sent++; ttl = T }
  :: d_step { !reset && !over && !out && sent < MAXR -> out = 1; done = 0; age = 0; sent++; ttl = T2;
#ifndef BUG_SHORTEN_ON_ANSWER
       if :: dl > T2 - DR -> dl = T2 - DR :: else fi
#endif
     }
  :: d_step { out && !done && !pgC -> done = 1; ct = ttl }      /* applied */
  :: d_step { out -> out = 0;                                   /* answered, or lost */
#ifdef BUG_FROM_ANSWER
       if :: done && !over -> dl = ttl - DR :: else fi
#else
       if :: done && !over && age < ttl - DR && ttl - DR - age > dl -> dl = ttl - DR - age :: else fi
#endif
     }
  :: d_step { !reset && !over -> over = 1 }                     /* the term is given up; something may be left */
  :: d_step { pgH && !reset -> pgH = 0 }                        /* stopped, or killed, in the end */
#ifdef BUG_START_UNARMED
  :: d_step { !pgH && !reset && !over && dl >= RES -> pgH = 1 }
#else
  :: d_step { !pgH && !reset && !over && on && dl >= RES -> pgH = 1 }
#endif
  /* the fence's loop, which looks at the page, and its thread */
#ifdef BUG_PETTED_ANYWAY
  :: d_step { !reset && !due -> due = 1 }
#else
#ifdef BUG_PETTED_WHILE_EMPTY
  :: d_step { !reset && !due && (!pgH || dl >= ROOM) -> due = 1 }
#else
  :: d_step { !reset && !due && dl >= ROOM -> due = 1 }
#endif
#endif
  :: d_step { due && on && dev > 0 -> due = 0; dev = W }
  :: d_step { due && !on -> due = 0; on = 1; dev = W }          /* opened */
#ifdef BUG_DISARMED_WHEN_OVER
  :: d_step { on && !due && over -> on = 0 }
#else
  :: d_step { on && !due && !pgH && (over || dl < ROOM) -> on = 0 }
#endif
  /* the others */
  :: d_step { ct == 0 && !pgC -> pgC = 1 }
  :: atomic { pgH && pgC -> assert(0) }
  :: (pgC && !pgH) -> break
  od
}
