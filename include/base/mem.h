/* Memory in two tiers. Small fixed sizes: mem_new and friends never return NULL (they abort).
 * Sizes that come from outside: bounded by the caller first, then mem_try, which may return NULL.
 * All memory is zeroed. mem_free accepts NULL. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#define mem_new(type)              ((type *)mem_alloc(sizeof(type)))
#define mem_new_array(type, count) ((type *)mem_alloc_array((count), sizeof(type)))

void *mem_alloc(size_t bytes);
void *mem_alloc_array(size_t count, size_t bytes);
void *mem_try(size_t bytes);
/* Grows or shrinks; the new part is not zeroed. Aborts on failure. `ptr` may be NULL. */
void *mem_resize(void *ptr, size_t bytes);
char *mem_strdup(const char *text);              /* NULL gives NULL */
char *mem_strndup(const char *text, size_t len); /* always terminated */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *mem_memdup(const void *data, size_t bytes); /* one byte more is allocated and zero */
void mem_free(void *ptr);
/* After large blocks were freed: what the heap can do without goes back to the system. */
void mem_give_back(void);

/* Tests: the n-th mem_try from now on (1 = the next) returns NULL, once. 0 switches it off. */
void mem_fault_at(unsigned n);

#endif
