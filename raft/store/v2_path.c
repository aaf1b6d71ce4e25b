/* Components are looked at byte by byte: no copies. */
#include "raft/store/v2_path.h"

static bool component_is_clean(struct span component)
{
    return component.len > 0 && !span_equal_str(component, ".") && !span_equal_str(component, "..");
}

struct span v2_path_part(struct span path, size_t len)
{
    size_t end = len;
    while (end < path.len && path.data[end] != '/') {
        end++;
    }
    return span_of(path.data, end);
}

bool v2_path_is_clean(struct span path)
{
    if (path.len < 2 || path.data[0] != '/') {
        return false;
    }
    for (size_t at = 0; at < path.len;) {
        struct span part = v2_path_part(path, at + 1);
        if (!component_is_clean(span_of(path.data + at + 1, part.len - at - 1))) {
            return false;
        }
        at = part.len;
    }
    return true;
}

bool v2_path_is_clean_or_root(struct span path)
{
    return span_equal_str(path, "/") || v2_path_is_clean(path);
}

bool v2_path_is_below(struct span path, struct span directory)
{
    if (directory.len == 1) {
        return path.len > 1;
    }
    return path.len > directory.len && span_starts_with(path, directory) &&
           path.data[directory.len] == '/';
}

bool v2_path_is_hidden(struct span path, struct span directory)
{
    size_t from = directory.len == 1 ? 0 : directory.len;
    for (size_t at = from; at + 1 < path.len; at++) {
        if (path.data[at] == '/' && path.data[at + 1] == '_') {
            return true;
        }
    }
    return false;
}
