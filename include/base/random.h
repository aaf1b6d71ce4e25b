/* Randomness, behind a table so that the simulator can give a seeded one. Not for secrets: those
 * come from OpenSSL. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t (*next)(void *arg);
    void *arg;
};

const struct random *random_real(void);

static inline uint64_t random_next(const struct random *random)
{
    return random->next(random->arg);
}

#endif
