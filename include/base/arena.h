/* Memory of one request: taken piece by piece, freed at once, and bounded by a budget that the
 * caller derives from what came in, so that hostile input cannot make us allocate more than a small
 * multiple of its own size. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* the newest first */
    size_t used;                /* of the newest */
    size_t budget;              /* bytes that may still be handed out */
};

/* Allocates nothing yet. */
void arena_init(struct arena *arena, size_t budget);
/* Everything that came from it ends here; it may be used again, with what is left of its budget. */
void arena_free(struct arena *arena);

/* Zeroed and aligned for anything. NULL: over the budget, or out of memory; `count` * `bytes` may
 * overflow. */
void *arena_take(struct arena *arena, size_t count, size_t bytes);

#endif
