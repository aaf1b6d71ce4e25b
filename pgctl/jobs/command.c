#include "pgctl/jobs/command.h"

#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"

const struct pg_lines pg_command_no_words = {NULL, 0};

struct pg_command pg_command_dup(const struct pg_command *command)
{
    if (command == NULL) {
        return (struct pg_command){0};
    }
    struct pg_command copy = *command;
    copy.what = mem_strdup(command->what);
    copy.words = pg_lines_dup(&command->words);
    return copy;
}

void pg_command_free(struct pg_command *command)
{
    mem_free((void *)(uintptr_t)command->what);
    pg_lines_free(&command->words);
    *command = (struct pg_command){0};
}

bool pg_command_given(const struct pg_command *command)
{
    return command->words.count > 0;
}

void pg_task_command(struct pg_task *task, const struct pg_command *command,
                     const struct pg_lines *more, char *const *env)
{
    const char **argv = mem_new_array(const char *, command->words.count + more->count + 1);
    size_t argc = 0;

    for (size_t i = 0; i < command->words.count; i++) {
        argv[argc++] = command->words.items[i];
    }
    for (size_t i = 0; i < more->count; i++) {
        argv[argc++] = more->items[i];
    }
    task->child_env = env != NULL ? env : task->pg->command_env;
    task->command = command;
    task->command_ms = clock_mono_ms(task->pg->clock);
    pg_task_say(task, "%s", command->what);
    pg_task_child(task, argv, NULL, NULL); /* too many words: refused from the loop */
    task->child_env = NULL;
    mem_free(argv);
}

void pg_command_tell(struct pg_task *task, int rc, const struct error *err)
{
    const struct pg_instance_config *config = &task->pg->config;
    struct pg_command_end end = {.what = task->command->what,
                                 .rc = rc,
                                 .err = err,
                                 .took_ms = clock_mono_ms(task->pg->clock) - task->command_ms,
                                 .out = buf_span(&task->out),
                                 .errors = buf_span(&task->errors)};
    task->command = NULL;
    if (config->on_command != NULL) {
        config->on_command(config->on_command_arg, &end);
    }
}

/* --- of nobody's job -------------------------------------------------------------------------- */

struct call {
    struct pg_command command;
    enum pg_call kind;
};

static void call_step(struct pg_task *task)
{
    const struct call *call = task->data;

    if (task->state++ == 0) {
        pg_task_command(task, &call->command, &pg_command_no_words, NULL);
    } else if (task->rc != 0) {
        pg_task_fail(task);
    } else {
        pg_task_end(task);
    }
}

static void call_release(struct pg_task *task)
{
    struct call *call = task->data;
    pg_command_free(&call->command);
}

static void call_tell(struct pg_task *task)
{
    const struct call *call = task->data;
    struct pg_task **running = &task->pg->calls[call->kind];

    if (*running == task) {
        *running = NULL;
    }
    task->done(task->done_arg, task->rc, &task->err);
}

int pg_instance_call(struct pg_instance *instance, enum pg_call kind,
                     const struct pg_command *command, pg_done_cb done, void *arg,
                     struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "command", .step = call_step, .tell = call_tell, .release = call_release};
    struct call *call = mem_new(struct call);
    struct pg_task *task = NULL;

    call->kind = kind;
    call->command = pg_command_dup(command);
    call->command.spares_rest = true;
    int rc = pg_task_start(instance, &ops, call, command->timeout_ms, done, arg, &task, err);
    if (rc != 0) {
        pg_command_free(&call->command);
        mem_free(call);
        return rc;
    }
    if (instance->calls[kind] != NULL) {
        pg_task_cancel(instance->calls[kind]);
    }
    instance->calls[kind] = task;
    return 0;
}
