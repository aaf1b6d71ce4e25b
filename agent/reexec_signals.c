#include "agent/reexec_signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};

enum { COUNT = sizeof numbers / sizeof numbers[0] };

static struct {
    bool on;
    pthread_t thread;
    sigset_t mask; /* as it was, and so below */
    struct sigaction actions[COUNT];
} held;

static void fill(sigset_t *ret_signals)
{
    (void)sigemptyset(ret_signals);
    for (size_t i = 0; i < COUNT; i++) {
        (void)sigaddset(ret_signals, numbers[i]);
    }
}

/* The kernel gives a signal to any thread that does not block it, and the others end with the exec.
 * What is pending for the thread that executes stays so. */
static void pass_on(int number)
{
    (void)pthread_kill(held.thread, number);
}

void reexec_signals_hold(void)
{
    struct sigaction passing = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigset_t signals;
    if (held.on) {
        return;
    }
    held.on = true;
    held.thread = pthread_self();
    fill(&signals);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &held.mask);
    for (size_t i = 0; i < COUNT; i++) {
        (void)sigaction(numbers[i], &passing, &held.actions[i]);
    }
}

void reexec_signals_release(void)
{
    if (!held.on) {
        return;
    }
    held.on = false;
    for (size_t i = 0; i < COUNT; i++) {
        (void)sigaction(numbers[i], &held.actions[i], NULL);
    }
    (void)pthread_sigmask(SIG_SETMASK, &held.mask, NULL);
}

void reexec_signals_take(void)
{
    sigset_t signals;
    fill(&signals);
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}
