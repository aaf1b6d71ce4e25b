/* reexec: each member is asked to execute its program anew, one after the other, standbys first.
 * The next is not asked before the one before is back: two at once could be a majority. */
#include "agent/cli/cli_order.h"
#include "base/clock.h"
#include "base/mem.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    ASKED_MS = 90000, /* the member checks the program, and waits for what it is in the middle of */
    BACK_MS = 60000,  /* from then on until it answers again */
    LOOK_MS = 100
};

/* What GET /patroni says of the program; NULL = nothing. A new reference. */
static json_t *program_of(const json_t *member)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    if (cli_request(cli_text_of(member, "api_url"), "/patroni", NULL, CLI_TIMEOUT_MS, &reply,
                    &err) != 0) {
        return NULL;
    }
    json_t *document = json_loads(reply.text, 0, NULL);
    json_t *program = json_incref(json_object_get(document, "agent"));
    json_decref(document);
    mem_free(reply.text);
    return program;
}

static bool is_ready(const json_t *member)
{
    struct cli_reply reply = {0};
    struct error err = {0};
    bool ready = cli_request(cli_text_of(member, "api_url"), "/readiness", NULL, CLI_TIMEOUT_MS,
                             &reply, &err) == 0 &&
                 reply.status == 200;
    mem_free(reply.text);
    return ready;
}

/* Until another start is told of than that in `before`, and it is ready if it was; NULL: it was not
 * in time. A new reference. */
static json_t *wait_for_next(const json_t *member, const json_t *before, bool was_ready)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + BACK_MS;
    while (clock_mono_ms(clock_real()) < until_ms) {
        json_t *now = program_of(member);
        if (now != NULL &&
            strcmp(cli_text_of(now, "start_time"), cli_text_of(before, "start_time")) != 0 &&
            (!was_ready || is_ready(member))) {
            return now;
        }
        json_decref(now);
        (void)poll(NULL, 0, LOOK_MS);
    }
    return NULL;
}

static int follow(const json_t *member, const json_t *before, bool was_ready)
{
    const char *name = cli_text_of(member, "name");
    json_t *now = wait_for_next(member, before, was_ready);
    if (now == NULL) {
        return cli_fail("member %s was to execute its program anew, and does not say that it has, "
                        "and is ready: look at its log",
                        name);
    }
    (void)printf("Success: member %s was executed anew, version %s after %s%s\n", name,
                 cli_text_of(now, "version"), cli_text_of(before, "version"),
                 json_is_true(json_object_get(now, "fence_of_before")) ? "; its fence is of before"
                                                                       : "");
    (void)fflush(stdout);
    json_decref(now);
    return CLI_OK;
}

static int ask(const json_t *member, const char *path, struct cli_reply *ret_reply)
{
    struct error err = {0};
    const char *name = cli_text_of(member, "name");
    if (cli_request(cli_text_of(member, "api_url"), path, "{}", ASKED_MS, ret_reply, &err) != 0) {
        return cli_fail("member %s: %s", name, err.text);
    }
    if (ret_reply->status == 501) {
        return cli_fail("member %s cannot: it is Patroni, or of a release that does not know",
                        name);
    }
    return ret_reply->status == 200 || ret_reply->status == 202
               ? CLI_OK
               : cli_fail("member %s: %s", name, ret_reply->text);
}

static int reexec_member(const json_t *member)
{
    struct cli_reply reply = {0};
    json_t *before = program_of(member);
    bool was_ready = is_ready(member);
    int status = ask(member, "/reexec", &reply);
    status = status != CLI_OK ? status : follow(member, before, was_ready);
    json_decref(before);
    mem_free(reply.text);
    return status;
}

static int tell_dry_run(const json_t *member)
{
    struct cli_reply reply = {0};
    int status = ask(member, "/dry-run/reexec", &reply);
    if (status == CLI_OK) {
        (void)printf("%s: %s\n", cli_text_of(member, "name"), reply.text);
        (void)fflush(stdout);
    }
    mem_free(reply.text);
    return status;
}

/* The one that leads comes last. */
static void put_leader_last(json_t *members)
{
    for (size_t i = json_array_size(members); i > 0; i--) {
        json_t *member = json_array_get(members, i - 1);
        if (cli_role_matches(cli_text_of(member, "role"), "leader")) {
            (void)json_incref(member);
            (void)json_array_remove(members, i - 1);
            (void)json_array_append_new(members, member);
            return;
        }
    }
}

static int reexec_each(const struct cli_order *q)
{
    int status = CLI_OK;
    size_t count = json_array_size(q->members);
    if (q->dry_run) {
        (void)printf("Dry run: nothing is executed. One after the other, and not the next before "
                     "the one before is back:\n");
        (void)fflush(stdout);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *member = json_array_get(q->members, i);
        int one = q->dry_run ? tell_dry_run(member) : reexec_member(member);
        status = status != CLI_OK ? status : one;
        if (one != CLI_OK && !q->dry_run && i + 1 < count) {
            return cli_fail("%zu more were not asked", count - i - 1);
        }
    }
    return status;
}

static int reexec_all(struct cli_order *q, int argc, char **argv)
{
    int status = cli_order_choose(q, argc, argv);
    status = status != CLI_OK ? status : cli_order_confirm(q);
    if (status == CLI_OK) {
        put_leader_last(q->members);
        status = reexec_each(q);
    }
    return status;
}

int cli_reexec(struct cli *cli, int argc, char **argv)
{
    struct cli_order q = {.cli = cli, .verb = "execute anew"};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (!cli_order_option(&q, argv[0], option)) {
            return CLI_USAGE;
        }
    }
    return cli_order_run(&q, argc, argv, reexec_all);
}
