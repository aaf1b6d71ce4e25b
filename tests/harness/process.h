/* Processes, as tests look at them. */
#ifndef TESTS_HARNESS_PROCESS_H
#define TESTS_HARNESS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* There, and no zombie. */
bool pid_lives(pid_t pid);

#endif
