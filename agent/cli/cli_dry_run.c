/* --dry-run of what a member decides: it is asked for the decision (POST /dry-run), which it makes
 * on a copy of what it sees. A member that is none of ours has no such answer. */
#include "agent/cli/cli_verbs.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void tell_decision(const char *name, const json_t *decision)
{
    struct buf actions = BUF_INIT;
    const json_t *list = json_object_get(decision, "actions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *action = json_string_value(json_array_get(list, i));
        buf_printf(&actions, "%s%s", i > 0 ? ", " : "", action != NULL ? action : "");
    }
    (void)printf("%s would decide by the rule %s: %s (%s)\n", name, text_of(decision, "rule"),
                 text_of(decision, "reason"),
                 actions.len > 0 ? buf_str(&actions) : "nothing to do");
    buf_free(&actions);
}

int cli_tell_decision(const char *name, const char *url, const char *what, const char *body)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    char path[64];
    (void)snprintf(path, sizeof(path), "/dry-run/%s", what);
    int rc = url == NULL ? error_set(&err, ERR_NOT_FOUND, "it has no address")
                         : cli_request(url, path, body, CLI_TIMEOUT_MS, &reply, &err);
    json_t *decision = rc == 0 && reply.status == 200 ? json_loads(reply.text, 0, NULL) : NULL;
    int status = CLI_OK;
    if (rc != 0) {
        status = cli_fail("member %s does not say what it would do: %s", name, err.text);
    } else if (reply.status == 501 || (reply.status == 200 && decision == NULL)) {
        (void)printf("%s does not say what it would decide: it is Patroni, or of a release that "
                     "does not know\n",
                     name);
    } else if (reply.status != 200) {
        (void)printf("%s would refuse it: %d, %s\n", name, reply.status, reply.text);
    } else {
        tell_decision(name, decision);
    }
    json_decref(decision);
    mem_free(reply.text);
    return status;
}
