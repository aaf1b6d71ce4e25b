/* What is done to the data directory, told before it is done: one line with all that invariant I10
 * asks for, and one when it has ended. Whoever finds his data gone reads there why; the directory
 * guard of tests/chaos holds the lines against what really went. */
#ifndef AGENT_LOOP_DESTRUCTION_H
#define AGENT_LOOP_DESTRUCTION_H

struct agent;

/* `what`: initdb | clone | rewind | remove. `allowed`: by which setting; "" where nothing is lost.
 * The primary has been asked just now, but for initdb. */
void destruction_begins(const struct agent *agent, const char *what, const char *allowed);
void destruction_ended(const char *what, int rc);

#endif
