/* Names in the v2 dialect. */
#ifndef RAFT_STORE_V2_PATH_H
#define RAFT_STORE_V2_PATH_H

#include "base/span.h"

/* Begins with '/', no empty, "." or ".." component, no '/' at the end; not the root. */
bool v2_path_is_clean(struct span path);
/* The same, or the root. */
bool v2_path_is_clean_or_root(struct span path);
/* Is `path` below the directory? */
bool v2_path_is_below(struct span path, struct span directory);
/* What of `path`, which is below the directory, is hidden from it: a component after it begins with
 * '_'. */
bool v2_path_is_hidden(struct span path, struct span directory);
/* The first part of `path` that ends after `len` bytes or later: up to the next '/' or the end. */
struct span v2_path_part(struct span path, size_t len);

#endif
