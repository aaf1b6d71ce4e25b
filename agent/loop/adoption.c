#include "agent/loop/adoption.h"

#include "agent/loop/loop.h"
#include "base/log.h"

static void on_adopted(void *arg, int rc, const struct fence_status *status,
                       const struct error *err)
{
    struct agent *agent = arg;
    struct loop_adoption *adoption = &agent->adoption;
    (void)status;
    adoption->asking = false;
    if (rc == ERR_CANCELED || agent->stopping) {
        return;
    }
    if (rc == ERR_TIMEOUT || rc == ERR_BUSY) { /* no answer yet: it is asked again */
        observe_probe_soon(agent);
        return;
    }
    adoption->answered = true;
    adoption->rc = rc;
    if (rc != 0) {
        log_warning("the fence does not take over PostgreSQL, which it has not started: %s",
                    err->text);
    }
    observe_run(agent);
    cycle_request(agent);
}

void adoption_note(struct agent *agent, const struct fence_status *status)
{
    if (status->postmaster_pid != 0) {
        agent->adoption.own_pid = status->postmaster_pid;
    }
}

void adoption_looked(struct agent *agent)
{
    const struct pg_inspection *seen = &agent->facts.inspection;
    if (!seen->running || seen->pidfile_pid != agent->adoption.own_pid) {
        agent->adoption.own_pid = 0; /* the next status says so if it runs all the same */
    }
}

bool adoption_is_own(const struct agent *agent, int32_t pid)
{
    return pid != 0 && pid == agent->adoption.own_pid;
}

bool adoption_is_done(const struct agent *agent)
{
    return agent->adoption.answered && agent->adoption.rc == 0;
}

enum adoption adoption_look(struct agent *agent, const struct fence_status *status)
{
    struct loop_adoption *adoption = &agent->adoption;
    int32_t pid = agent->facts.inspected ? agent->facts.inspection.pidfile_pid : adoption->pid;
    struct error err;
    if (adoption->pid != pid || adoption->fence_pid != status->fence_pid) {
        /* what was asked of another one says nothing of this; its answer is waited for first */
        adoption->answered = false;
    }
    if (!adoption->answered && !adoption->asking) {
        adoption->pid = pid;
        adoption->fence_pid = status->fence_pid;
        adoption->asking = fence_client_adopt(agent->fence, agent->config->postgresql.data_dir,
                                              on_adopted, agent, &err) == 0;
    }
    if (!adoption->answered) {
        return ADOPTION_PENDING;
    }
    /* A fence of a release before finds what runs where it has started one itself. */
    bool finds = adoption->rc == 0 || (adoption->rc == ERR_UNSUPPORTED && status->starts > 0);
    return finds ? ADOPTION_DONE : ADOPTION_NONE;
}
