/* A failing script, made small: parts of it are left out, large ones first, for as long as the run
 * still breaks the same rule. */
#include "sim_run.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { RUNS_MAX = 400 };

static bool fails(const struct sim_options *options, const struct sim_setup *setup,
                  const struct sim_script *script, const char *rule)
{
    struct sim_outcome outcome;
    sim_run(options, setup, script, &outcome);
    return outcome.failure != NULL && strcmp(outcome.failure, rule) == 0;
}

static void without(const struct sim_script *script, size_t from, size_t count,
                    struct sim_script *ret_script)
{
    size_t rest = script->count - from - count;
    memcpy(ret_script->faults, script->faults, from * sizeof(script->faults[0]));
    memcpy(ret_script->faults + from, script->faults + from + count,
           rest * sizeof(script->faults[0]));
    ret_script->count = from + rest;
}

size_t sim_shrink(const struct sim_options *options, const struct sim_setup *setup,
                  struct sim_script *script, const char *rule)
{
    struct sim_script *less = mem_new(struct sim_script);
    struct sim_options quiet = *options;
    size_t part = script->count;
    quiet.trace = false;
    for (unsigned runs = 0; part > 0 && runs < RUNS_MAX;) {
        bool shrunk = false;
        for (size_t at = 0; at < script->count && runs < RUNS_MAX;) {
            size_t count = script->count - at < part ? script->count - at : part;
            without(script, at, count, less);
            runs++;
            if (fails(&quiet, setup, less, rule)) {
                *script = *less;
                shrunk = true;
            } else {
                at += count;
            }
        }
        part = shrunk ? (part < script->count ? part : script->count) : part / 2;
    }
    mem_free(less);
    return script->count;
}
