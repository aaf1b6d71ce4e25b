/* How many files this process may have open. */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stddef.h>

/* Raises the soft limit to `wanted`, as far as the hard one lets it; never lowers it. Children
 * inherit it. Returns what it is then. */
size_t descriptors_raise(size_t wanted);

#endif
