/* Values of the documents that REST gives. */
#ifndef AGENT_APP_JSON_H
#define AGENT_APP_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct loop_decision;

/* JSON as it goes out: a real has the digits that were put in, 0.1 and not 0.10000000000000001. */
#define APP_JSON_TEXT (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

/* Texts for people are cut to their room, and may be of another encoding: they are shown even so.
 */
void app_json_set_text(json_t *object, const char *key, const char *text);
void app_json_set_number(json_t *object, const char *key, int64_t value);
/* What was decided, why, and what became of it; with the snapshot that it was decided on, or not.
 */
void app_json_set_decision(json_t *object, const struct loop_decision *decision, bool snapshot);

#endif
