/* Blocks in a list; a piece that does not fit into the newest block gets a new one, of the usual
 * size or of its own. */
#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdint.h>

enum { BLOCK_BYTES = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* behind this head */
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *arena, size_t budget)
{
    *arena = (struct arena){.budget = budget};
}

void arena_free(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        mem_free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}

void *arena_take(struct arena *arena, size_t count, size_t bytes)
{
    const size_t align = alignof(max_align_t);
    if (bytes > 0 && count > (SIZE_MAX - align) / bytes) {
        return NULL;
    }
    size_t need = (count * bytes + align - 1) / align * align;
    need = need == 0 ? align : need;
    if (need > arena->budget) {
        return NULL;
    }
    if (arena->blocks == NULL || arena->blocks->bytes - arena->used < need) {
        size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        struct arena_block *block = mem_try(sizeof *block + size);
        if (block == NULL) {
            return NULL;
        }
        block->bytes = size;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
    }
    void *piece = arena->blocks->data + arena->used;
    arena->used += need;
    arena->budget -= need;
    return piece;
}
