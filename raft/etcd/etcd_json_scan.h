/* PURE. JSON syntax as Go's scanner checks it, with its texts for what is wrong; and ways through a
 * text that it has found sound. */
#ifndef RAFT_ETCD_ETCD_JSON_SCAN_H
#define RAFT_ETCD_ETCD_JSON_SCAN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

#define JSON_DEPTH_MAX 10000 /* objects and lists inside each other, as in Go */

/* Finds the first value in `text`: `ret_value` is its bytes without the space round it, empty if
 * there is nothing but space; what follows is not looked at with `alone` false, and refused with
 * true. ERR_INVALID; if the text ends too early the message is `eof_text`. */
int json_scan(struct span text, bool alone, const char *eof_text, struct span *ret_value,
              struct error *err) MUST_CHECK;

/* What a value is, in Go's words: "object", "array", "string", "number", "bool", "null". */
const char *json_kind(struct span value);

/* Members of an object, or elements of a list, one after the other. `value` must be sound. */
struct json_iterator {
    struct span rest;
};

struct json_iterator json_iterate(struct span value);
/* False at the end. `ret_name` (NULL for a list) is the inside of the quotes, still escaped. */
bool json_next(struct json_iterator *iterator, struct span *ret_name, struct span *ret_value);

/* The inside of a string, without its quotes; escapes resolved and bad UTF-8 replaced by U+FFFD.
 * Appends to `out`, at most 3 bytes for each of the input. */
void json_unescape(struct span inside, struct buf *out);

#endif
