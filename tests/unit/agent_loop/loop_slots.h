/* Slots of the instance of loop_fixture.h, which includes this where what it needs is there. */
#ifndef TESTS_LOOP_SLOTS_H
#define TESTS_LOOP_SLOTS_H

/* "slots n2 n3@1000 -gone": a wish, one that is idle, one to be dropped. */
int pg_instance_set_slots(struct pg_instance *instance, const struct pg_slots *slots,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    struct buf text = BUF_INIT;
    (void)instance;
    (void)timeout_ms;
    buf_put_str(&text, "slots");
    for (size_t i = 0; i < slots->wish_count; i++) {
        const struct pg_slot_wish *wish = &slots->wishes[i];
        buf_printf(&text, " %s", wish->name);
        if (wish->idle) {
            buf_printf(&text, "@%llu", (unsigned long long)wish->lsn);
        }
    }
    for (size_t i = 0; i < slots->drop.count; i++) {
        buf_printf(&text, " -%s", slots->drop.items[i]);
    }
    int rc = ask_done(done, arg, err, buf_str(&text));
    buf_free(&text);
    return rc;
}

/* "logical app@1000 -gone": a wish and how far its consumer is, one to be dropped. */
int pg_instance_set_logical(struct pg_instance *instance, const struct pg_logical_slots *slots,
                            int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    struct buf text = BUF_INIT;
    (void)instance;
    (void)timeout_ms;
    buf_put_str(&text, "logical");
    for (size_t i = 0; i < slots->wish_count; i++) {
        const struct pg_logical_wish *wish = &slots->wishes[i];
        buf_printf(&text, " %s@%llu%s", wish->name, (unsigned long long)wish->lsn,
                   wish->unsafe ? "!" : "");
    }
    for (size_t i = 0; i < slots->drop.count; i++) {
        buf_printf(&text, " -%s", slots->drop.items[i]);
    }
    for (size_t i = 0; i < slots->real.count; i++) {
        buf_printf(&text, " =%s", slots->real.items[i]);
    }
    int rc = ask_done(done, arg, err, buf_str(&text));
    buf_free(&text);
    return rc;
}

/* "seen slots n1: app, copy, app is good" */
int pg_instance_ask_logical(struct pg_instance *instance, const struct pg_logical_ask *question,
                            int64_t timeout_ms, pg_logical_seen_cb done, void *arg,
                            struct error *err)
{
    struct buf text = BUF_INIT;
    int rc = 0;
    (void)instance;
    (void)timeout_ms;
    buf_printf(&text, "seen slots %s:", question->physical);
    for (size_t i = 0; i < question->wish_count; i++) {
        buf_printf(&text, " %s", question->wishes[i].name);
    }
    buf_put_str(&text, question->copy ? ", copy" : "");
    for (size_t i = 0; i < question->good.count; i++) {
        buf_printf(&text, ", %s is good on %u", question->good.items[i], question->good_timeline);
    }
    for (size_t i = 0; i < question->doubted.count; i++) {
        buf_printf(&text, ", %s in doubt", question->doubted.items[i]);
    }
    struct pending *pending = ask(&rc, err, "%s", buf_str(&text));
    pending->seen = done;
    pending->arg = arg;
    buf_free(&text);
    return rc;
}

const char *pg_instance_copy_fault(const struct pg_instance *instance, const char *name)
{
    (void)instance;
    return strcmp(name, rig.unplaced) == 0 ? "pg_replslot is full" : "";
}

const char *pg_instance_undropped(const struct pg_instance *instance)
{
    (void)instance;
    return rig.undropped;
}

#endif
