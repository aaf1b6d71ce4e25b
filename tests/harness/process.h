/* Processes, as tests look at them. */
#ifndef TESTS_HARNESS_PROCESS_H
#define TESTS_HARNESS_PROCESS_H

#include <pwd.h>
#include <stdbool.h>
#include <sys/types.h>

/* There, and no zombie. */
bool pid_lives(pid_t pid);
/* fork() in a test, with nothing buffered to be printed twice. A failed assertion ends the child:
 * it would go on with the tests that follow, as its parent does. */
pid_t fork_in_test(void);
/* `tests` in a child that is that user, for what PostgreSQL refuses to root: 0 if all passed.
 * `before` (may be NULL) is called in it while it is root. */
int run_as_user(const struct passwd *user, void (*before)(const void *arg), const void *arg,
                int (*tests)(void));

#endif
