/* Exactly once: the results of each client's commands that may still be asked for again. */
#ifndef RAFT_STORE_SESSION_H
#define RAFT_STORE_SESSION_H

#include "raft/store.h"

struct session;

/* Ordered by last use, the least recent first; the same on every member. */
struct session_map {
    struct session *head;
};

enum session_verdict { SESSION_APPLY, SESSION_ANSWERED };

void session_map_close(struct session_map *map);
/* SESSION_ANSWERED: `ret_result` is the answer (a repeat, or a refusal), nothing may be applied.
 * SESSION_APPLY: apply it, then session_finish with the result. */
enum session_verdict session_begin(struct session_map *map, const struct store_command *command,
                                   struct store_result *ret_result);
void session_finish(struct session_map *map, const struct store_command *command,
                    const struct store_result *result);
/* `format` is the state's: the reason of a refusal is kept from 2 on. */
void session_map_encode(const struct session_map *map, unsigned format, struct buf *out);
int session_map_decode(struct session_map *map, unsigned format, struct span_reader *reader,
                       struct error *err) MUST_CHECK;
void session_map_check(const struct session_map *map);

#endif
