/* Signals of an agent or witness that is about to execute another program in its place: none is
 * lost. A handler's word to the loop ends with the loop, a signal that is pending does not. */
#ifndef AGENT_REEXEC_SIGNALS_H
#define AGENT_REEXEC_SIGNALS_H

/* On the thread that will execute it: whatever comes from now on waits for the new program. What
 * has come before is told by the loop in its next turn. Again: nothing. */
void reexec_signals_hold(void);
/* It is not executed after all: what has come meanwhile is taken now. */
void reexec_signals_release(void);

/* In the new program, with handlers in place. */
void reexec_signals_take(void);

#endif
