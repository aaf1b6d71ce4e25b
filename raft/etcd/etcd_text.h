/* PURE. Texts as Go's encoding/json and strconv write them: etcd's answers are compared byte for
 * byte. */
#ifndef RAFT_ETCD_ETCD_TEXT_H
#define RAFT_ETCD_ETCD_TEXT_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the UTF-8 character that `text` (not empty) begins with; 0 = none, it is malformed. */
size_t utf8_len(struct span text);
void utf8_put(struct buf *out, uint32_t code_point);

/* In quotes; < > & and U+2028/9 escaped, what is not UTF-8 replaced by \ufffd. */
void json_put_string(struct buf *out, struct span text);
void json_put_base64(struct buf *out, struct span bytes); /* in quotes */

/* Go's %q of a text, and of one byte taken as a code point ('x'). */
void go_quote(struct buf *out, struct span text);
void go_quote_char(struct buf *out, uint8_t c);

/* Go's ParseUint, base 10: digits alone, at least one, no overflow. */
bool go_parse_u64(struct span digits, uint64_t *ret_value);

#endif
