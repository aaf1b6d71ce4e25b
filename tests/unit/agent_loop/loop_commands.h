/* Part of loop_fixture.h, which includes it where `ask_done` is known: commands of the operator,
 * and the end of jobs. */
#ifndef TESTS_LOOP_COMMANDS_H
#define TESTS_LOOP_COMMANDS_H

void pg_instance_cancel_job(struct pg_instance *instance)
{
    (void)instance;
    buf_put_str(&rig.calls, "cancel\n");
}

/* "call on_start replica sim": without the program, and what is its own. */
int pg_instance_call(struct pg_instance *instance, enum pg_call kind,
                     const struct pg_command *command, pg_done_cb done, void *arg,
                     struct error *err)
{
    struct buf text = BUF_INIT;
    (void)instance;
    buf_put_str(&text, kind == PG_CALL_RELOAD ? "call reload" : "call");
    for (size_t i = 1; i < command->words.count; i++) {
        buf_printf(&text, " %s", command->words.items[i]);
    }
    int rc = ask_done(done, arg, err, buf_str(&text));
    buf_free(&text);
    return rc;
}

#endif
