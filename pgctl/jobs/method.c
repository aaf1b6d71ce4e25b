#include "pgctl/jobs/method.h"

#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"

#include <stdint.h>
#include <string.h>

struct pg_method pg_method_dup(const struct pg_method *method)
{
    if (method == NULL) {
        return (struct pg_method){0};
    }
    struct pg_method copy = *method;
    copy.name = mem_strdup(method->name);
    copy.words = pg_lines_dup(&method->words);
    copy.params = pg_lines_dup(&method->params);
    copy.recovery_conf = pg_parameters_dup(&method->recovery_conf);
    return copy;
}

void pg_method_free(struct pg_method *method)
{
    mem_free((void *)(uintptr_t)method->name);
    pg_lines_free(&method->words);
    pg_lines_free(&method->params);
    pg_parameters_free(&method->recovery_conf);
    *method = (struct pg_method){0};
}

/* The marker says which directory the job took: nobody can tell whose another one is. */
const char *pg_method_fault(enum pg_dir_kind kind)
{
    return kind == PG_DIR_DOUBTFUL ? "is another directory than before: the command has to fill "
                                     "the one that is there, and not to put another in its place"
                                   : "is no data directory of the version of bin_dir";
}

struct pg_command pg_method_command(const struct pg_method *method, const char *what)
{
    if (method->words.count == 0) {
        return (struct pg_command){0};
    }
    return (struct pg_command){.what = mem_printf("%s %s", what, method->name),
                               .words = pg_lines_dup(&method->words),
                               .timeout_ms = INT64_MAX};
}

void pg_task_method(struct pg_task *task, const struct pg_method *method,
                    const struct pg_command *command, const struct pg_lines *own, char *const *env)
{
    size_t own_count = method->no_params ? 0 : own->count;
    const char **items = mem_new_array(const char *, own_count + method->params.count + 1);
    if (own_count > 0) {
        memcpy(items, own->items, own_count * sizeof *items);
    }
    if (method->params.count > 0) {
        memcpy(items + own_count, method->params.items, method->params.count * sizeof *items);
    }
    struct pg_lines more = {items, own_count + method->params.count};
    pg_task_command(task, command, &more, env);
    mem_free(items);
}
