/* PURE. JSON syntax as Go's scanner checks it, with its texts for what is wrong; and ways through a
 * text that it has found sound. */
#ifndef RAFT_ETCD_ETCD_JSON_SCAN_H
#define RAFT_ETCD_ETCD_JSON_SCAN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

#define JSON_DEPTH_MAX 10000 /* objects and lists inside each other, as in Go */

/* Where the objects and lists of a text end, those that stand in fewer than JSON_INDEX_DEPTH
 * others: so that who goes through one passes over what is in it, and a text is gone through a few
 * times in all and not once for each level. */
#define JSON_INDEX_DEPTH 40

struct json_index {
    const uint8_t *text;
    struct buf marks; /* struct json_mark, in the order in which they begin */
    size_t work;      /* bytes that were looked at, by all passes together */
};

void json_index_free(struct json_index *index);

/* Finds the first value in `text`: `ret_value` is its bytes without the space round it, empty if
 * there is nothing but space; what follows is not looked at with `alone` false, and refused with
 * true. ERR_INVALID; if the text ends too early the message is `eof_text`. `ret_index`, zeroed, is
 * filled where it is not NULL, to be freed whatever is returned; it borrows `text`, which has less
 * than 4 GiB then. */
int json_scan(struct span text, bool alone, const char *eof_text, struct span *ret_value,
              struct json_index *ret_index, struct error *err) MUST_CHECK;

/* What a value is, in Go's words: "object", "array", "string", "number", "bool", "null". */
const char *json_kind(struct span value);

/* Members of an object, or elements of a list, one after the other. `value` is an object or a list
 * of the sound text that `index` is of, which it borrows. */
struct json_iterator {
    struct span rest;
    struct json_index *index;
    size_t mark; /* of the next object or list */
};

struct json_iterator json_iterate(struct json_index *index, struct span value);
/* False at the end. `ret_name` (NULL for a list) is the inside of the quotes, still escaped. */
bool json_next(struct json_iterator *iterator, struct span *ret_name, struct span *ret_value);

/* The inside of a string, without its quotes; escapes resolved and bad UTF-8 replaced by U+FFFD.
 * Appends to `out`, at most 3 bytes for each of the input. */
void json_unescape(struct span inside, struct buf *out);

#endif
