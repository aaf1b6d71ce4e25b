/* The only file that calls malloc. Two tiers: abort (our own sizes), or NULL (sizes from outside).
 */
#include "base/mem.h"

#include "base/assert.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned fault_countdown;

void *mem_alloc(size_t bytes)
{
    void *ptr = calloc(1, bytes == 0 ? 1 : bytes);
    ASSERT(ptr != NULL);
    return ptr;
}

void *mem_alloc_array(size_t count, size_t bytes)
{
    ASSERT(bytes == 0 || count <= SIZE_MAX / bytes);
    return mem_alloc(count * bytes);
}

void *mem_try(size_t bytes)
{
    if (fault_countdown > 0 && --fault_countdown == 0) {
        return NULL;
    }
    return calloc(1, bytes == 0 ? 1 : bytes);
}

void *mem_resize(void *ptr, size_t bytes)
{
    void *moved = realloc(ptr, bytes == 0 ? 1 : bytes);
    ASSERT(moved != NULL);
    return moved;
}

char *mem_strdup(const char *text)
{
    return text == NULL ? NULL : mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t len)
{
    return mem_memdup(text, strnlen(text, len));
}

char *mem_printf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);
    char *text = mem_alloc((size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}

void *mem_memdup(const void *data, size_t bytes)
{
    ASSERT(bytes < SIZE_MAX);
    char *copy = mem_alloc(bytes + 1);
    if (bytes > 0) {
        memcpy(copy, data, bytes);
    }
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_give_back(void)
{
    (void)malloc_trim(0);
}

void mem_fault_at(unsigned n)
{
    fault_countdown = n;
}
