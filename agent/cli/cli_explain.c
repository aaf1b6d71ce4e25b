/* `explain`: the last decisions of a member, from its REST interface (GET /explain): which rule,
 * why, what was done. Of the local member the file knows the address, so that it can be asked while
 * the store has no majority. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define BYTES_PER_MIB (1024 * 1024)

/* URL of the member's interface; free with mem_free. NULL: the error was printed. */
static char *member_url(struct cli *cli, const char *name)
{
    const struct config *config = cli_session_config(cli->session);
    struct dcs_view *view = NULL;
    struct error err = {0};
    char key[128];
    bool local = name == NULL || (config->name != NULL && strcmp(config->name, name) == 0);
    if (local && config->restapi_connect.text != NULL) {
        return mem_printf("%s://%s/patroni",
                          config->restapi.tls.certfile != NULL ? "https" : "http",
                          config->restapi_connect.text);
    }
    if (name == NULL) {
        (void)cli_wrong_usage("explain", "the file has no restapi section: name a member");
        return NULL;
    }
    if (config->scope == NULL) {
        (void)cli_fail("no cluster: give 'scope' in the file");
        return NULL;
    }
    if (cli_session_read(cli->session, config->scope, &view, &err) != 0) {
        (void)cli_fail("%s", err.text);
        return NULL;
    }
    (void)snprintf(key, sizeof(key), "members/%s", name);
    json_t *member = cluster_doc_key(view, key);
    char *url = mem_strdup(json_string_value(json_object_get(member, "api_url")));
    json_decref(member);
    dcs_view_unref(view);
    if (url == NULL) {
        (void)cli_fail("no member '%s' with an address in cluster %s", name, config->scope);
    }
    return url;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* Prints the lines of `text` from the `skip`th on, indented, but none that is `but`. False: there
 * was none. */
static bool print_lines(const char *text, unsigned skip, const char *but)
{
    bool any = false;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (skip > 0) {
            skip--;
        } else if (len != strlen(but) || memcmp(text, but, len) != 0) {
            (void)printf("%s    %.*s", any ? "\n" : "", (int)len, text);
            any = true;
        }
        text += len + (text[len] == '\n' ? 1 : 0);
    }
    return any;
}

/* The plan's first two lines are the rule and the reason, which stand on top already; "wait" is no
 * action. */
static void print_decision(const json_t *decision, bool inputs)
{
    json_int_t repeats = json_integer_value(json_object_get(decision, "repeats"));
    (void)printf("%s  %s: %s", text_of(decision, "time"), text_of(decision, "rule"),
                 text_of(decision, "reason"));
    if (repeats == 1) {
        (void)printf(" (and once more)");
    } else if (repeats > 1) {
        (void)printf(" (and %" JSON_INTEGER_FORMAT " times more)", repeats);
    }
    (void)printf("\n");
    if (print_lines(text_of(decision, "plan"), 2, "wait")) {
        (void)printf(": %s\n", text_of(decision, "outcome"));
    }
    if (inputs && print_lines(text_of(decision, "snapshot"), 0, "")) {
        (void)printf("\n");
    }
}

static int print_decisions(const char *text, bool inputs)
{
    json_t *tree = json_loads(text, 0, NULL);
    const json_t *decisions = json_object_get(tree, "decisions");
    if (!json_is_array(decisions)) {
        json_decref(tree);
        return cli_fail("the member's answer holds no list of decisions");
    }
    for (size_t i = 0; i < json_array_size(decisions); i++) {
        print_decision(json_array_get(decisions, i), inputs);
    }
    if (json_array_size(decisions) == 0) {
        (void)printf("no decision has changed anything yet\n");
    }
    const json_t *slots = json_object_get(tree, "logical_slots");
    for (size_t i = 0; i < json_array_size(slots); i++) {
        const json_t *slot = json_array_get(slots, i);
        (void)printf("logical slot '%s': %s\n", text_of(slot, "name"), text_of(slot, "fault"));
    }
    const json_t *copy = json_object_get(tree, "copy");
    if (copy != NULL) {
        (void)printf("a copy is being made: %" JSON_INTEGER_FORMAT " %%, %" JSON_INTEGER_FORMAT
                     " of %" JSON_INTEGER_FORMAT " MiB\n",
                     json_integer_value(json_object_get(copy, "percent")),
                     json_integer_value(json_object_get(copy, "bytes")) / BYTES_PER_MIB,
                     json_integer_value(json_object_get(copy, "total_bytes")) / BYTES_PER_MIB);
    }
    json_decref(tree);
    return CLI_OK;
}

/* No table, so no form of one. */
static bool format_arg(const char *text, enum cli_format *ret_format)
{
    char message[160];
    if (cli_format_parse(text, ret_format) &&
        (*ret_format == CLI_PRETTY || *ret_format == CLI_JSON)) {
        return true;
    }
    (void)snprintf(message, sizeof(message), "'%.40s' is no format of explain: give pretty or json",
                   text);
    (void)cli_wrong_usage("explain", message);
    return false;
}

int cli_explain(struct cli *cli, int argc, char **argv)
{
    bool inputs = false;
    enum cli_format format = CLI_PRETTY;
    struct cli_reply reply = {0};
    struct error err = {0};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'i': inputs = true; break;
        case 'f':
            if (!format_arg(optarg, &format)) {
                return CLI_USAGE;
            }
            break;
        default: return CLI_USAGE;
        }
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    char *url = member_url(cli, optind < argc ? argv[optind] : NULL);
    if (url == NULL) {
        return CLI_ERROR;
    }
    int rc = cli_request(url, "/explain", NULL, CLI_TIMEOUT_MS, &reply, &err);
    mem_free(url);
    if (rc != 0) {
        return cli_fail("%s", err.text);
    }
    int status = CLI_OK;
    if (reply.status != 200) {
        status = cli_fail("the member answered %d: %.200s", reply.status, reply.text);
    } else if (format == CLI_JSON) {
        (void)printf("%s\n", reply.text);
    } else {
        status = print_decisions(reply.text, inputs);
    }
    mem_free(reply.text);
    return status;
}
