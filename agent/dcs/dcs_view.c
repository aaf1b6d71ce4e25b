/* The immutable view: one allocation per string, freed with the last reference. */
#include "agent/dcs/dcs.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

struct dcs_view *dcs_view_new(size_t count)
{
    struct dcs_view *view = mem_new(struct dcs_view);
    view->refs = 1;
    view->count = count;
    view->kvs = count > 0 ? mem_new_array(struct dcs_kv, count) : NULL;
    return view;
}

struct dcs_view *dcs_view_ref(struct dcs_view *view)
{
    ASSERT(view->refs > 0);
    view->refs++;
    return view;
}

void dcs_view_unref(struct dcs_view *view)
{
    if (view == NULL) {
        return;
    }
    ASSERT(view->refs > 0);
    view->refs--;
    if (view->refs > 0) {
        return;
    }
    for (size_t i = 0; i < view->count; i++) {
        mem_free(view->kvs[i].key);
        mem_free(view->kvs[i].value);
    }
    mem_free(view->kvs);
    mem_free(view);
}

const struct dcs_kv *dcs_view_get(const struct dcs_view *view, const char *key)
{
    size_t low = 0;
    size_t high = view->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, view->kvs[middle].key);
        if (order == 0) {
            return &view->kvs[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
