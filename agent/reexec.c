/* Nothing is undone here because nothing is done before execve: what is open is closed by it, and
 * whatever the agent was in the middle of is as after a kill, from which every start goes on. What
 * can be better than that, the checks and the waiting see to. */
#include "agent/reexec.h"

#include "agent/reexec_signals.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sm.h"

#include <stdio.h>
#include <string.h>

static const struct sm_state states[REEXEC_STATES] = {
    [REEXEC_IDLE] = {"idle", SM(REEXEC_CHECKING)},
    [REEXEC_CHECKING] = {"checking", SM(REEXEC_IDLE) | SM(REEXEC_WAITING)},
    [REEXEC_WAITING] = {"waiting", SM(REEXEC_IDLE) | SM(REEXEC_HANDING_OVER) | SM(REEXEC_RENEWING)},
    [REEXEC_HANDING_OVER] = {"handing over", SM(REEXEC_IDLE) | SM(REEXEC_RENEWING)},
    [REEXEC_RENEWING] = {"renewing", SM(REEXEC_IDLE) | SM(REEXEC_LEAVING)},
    [REEXEC_LEAVING] = {"leaving", SM(REEXEC_IDLE) | SM(REEXEC_RENEWING)},
};

static void move(struct reexec *reexec, enum reexec_state to)
{
    sm_move(states, REEXEC_STATES, &reexec->state, to);
}

static void answer(struct reexec *reexec, int rc, const char *text)
{
    if (!reexec->answered) {
        reexec->answered = true;
        reexec->ports.told(reexec->ports.arg, rc, text);
    }
}

/* It comes to nothing, and the program goes on. */
static void give_up(struct reexec *reexec, int rc, const char *why)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "not executed anew: %s", why);
    if (!reexec->dry_run && rc != ERR_CANCELED) {
        log_error("reexec: %s; version %s runs on", text, PGQUORUM_VERSION);
    }
    (void)uv_timer_stop(&reexec->timer);
    move(reexec, REEXEC_IDLE);
    answer(reexec, rc, text);
}

static void step(struct reexec *reexec);

static void on_timer(uv_timer_t *timer)
{
    step(timer->data);
}

static void step_in(struct reexec *reexec, uint64_t ms)
{
    (void)uv_timer_start(&reexec->timer, on_timer, ms, 0);
}

/* True: it has to wait, or has come to nothing. */
static bool is_hindered(struct reexec *reexec, bool leaving)
{
    const char *why = reexec->ports.hindrance(reexec->ports.arg, leaving);
    if (why == NULL) {
        return false;
    }
    if (clock_mono_ms(reexec->ports.clock) >= reexec->until_ms) {
        give_up(reexec, ERR_BUSY, why);
        return true;
    }
    if (reexec->waits_for == NULL || strcmp(reexec->waits_for, why) != 0) {
        reexec->waits_for = why;
        log_info("reexec: waiting: %s", why);
    }
    step_in(reexec, REEXEC_LOOK_MS);
    return true;
}

static void on_handed_over(void *arg, int rc, const struct store_result *result)
{
    struct reexec *reexec = arg;
    raft_done after = reexec->after_handover;
    if (rc == ERR_TIMEOUT) {
        log_warning("reexec: no other member took over the Raft leadership in time, going on");
    }
    if (reexec->state == REEXEC_HANDING_OVER) {
        if (reexec->open) {
            move(reexec, REEXEC_RENEWING);
            step_in(reexec, 0);
        } else {
            move(reexec, REEXEC_IDLE);
        }
    }
    if (after != NULL) {
        reexec->after_handover = NULL;
        after(reexec->after_arg, rc, result);
    }
}

/* The others need no election then, and a renewal finds a leader. */
static void hand_over(struct reexec *reexec)
{
    struct raft_node *node = reexec->ports.node(reexec->ports.arg);
    if (node == NULL) {
        move(reexec, REEXEC_RENEWING);
        step_in(reexec, 0);
        return;
    }
    move(reexec, REEXEC_HANDING_OVER);
    raft_node_retire(node, reexec->ports.handover_ms(reexec->ports.arg), on_handed_over, reexec);
}

static void leave(struct reexec *reexec)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "'%s' is executed in place, version %s after %s",
                   reexec->program.path, reexec->version, PGQUORUM_VERSION);
    log_info("reexec: %s; PostgreSQL and the fence run on", text);
    move(reexec, REEXEC_LEAVING);
    reexec_signals_hold(); /* and the loop has a turn yet for what has come before */
    answer(reexec, 0, text);
    step_in(reexec, REEXEC_LAST_MS);
}

static void execute(struct reexec *reexec)
{
    struct error err = {0};
    reexec->ports.leaving(reexec->ports.arg, true);
    int rc = reexec_exec(&reexec->program, reexec->ports.lock_fd(reexec->ports.arg), &err);
    reexec_signals_release();
    reexec->ports.leaving(reexec->ports.arg, false);
    give_up(reexec, rc, err.text);
}

static void step(struct reexec *reexec)
{
    switch ((enum reexec_state)reexec->state) {
    case REEXEC_WAITING:
        if (!is_hindered(reexec, false)) {
            hand_over(reexec);
        }
        break;
    case REEXEC_RENEWING:
        if (!is_hindered(reexec, true)) {
            leave(reexec);
        }
        break;
    case REEXEC_LEAVING: /* much may have come in a moment */
        if (reexec->ports.hindrance(reexec->ports.arg, true) == NULL) {
            execute(reexec);
        } else {
            reexec_signals_release();
            move(reexec, REEXEC_RENEWING);
            step_in(reexec, REEXEC_LOOK_MS);
        }
        break;
    case REEXEC_IDLE:
    case REEXEC_CHECKING:
    case REEXEC_HANDING_OVER:
    case REEXEC_STATES: break; /* something else ends these */
    }
}

/* --- the check -------------------------------------------------------------------------------- */

static void on_check(uv_work_t *work)
{
    struct reexec *reexec = work->data;
    reexec->rc = reexec_check(&reexec->program, &reexec->cancel, reexec->version, &reexec->err);
}

static void tell_dry_run(struct reexec *reexec)
{
    char text[ERROR_TEXT_BYTES];
    const char *why = reexec->ports.hindrance(reexec->ports.arg, false);
    (void)snprintf(text, sizeof text, "'%s' would be executed in place, version %s after %s%s%s",
                   reexec->program.path, reexec->version, PGQUORUM_VERSION,
                   why != NULL ? "; it would wait at first: " : "", why != NULL ? why : "");
    move(reexec, REEXEC_IDLE);
    answer(reexec, 0, text);
}

static void on_checked(uv_work_t *work, int status)
{
    struct reexec *reexec = work->data;
    if (status != 0 || !reexec->open) {
        give_up(reexec, ERR_CANCELED, "the agent is stopping");
    } else if (reexec->rc != 0) {
        give_up(reexec, reexec->rc, reexec->err.text);
    } else if (reexec->dry_run) {
        tell_dry_run(reexec);
    } else {
        reexec->until_ms = clock_mono_ms(reexec->ports.clock) + REEXEC_WAIT_MS;
        move(reexec, REEXEC_WAITING);
        step(reexec);
    }
}

int reexec_ask(struct reexec *reexec, const char *by, bool dry_run, struct error *err)
{
    if (!reexec->open) {
        return error_set(err, ERR_BUSY, "the agent is stopping");
    }
    if (reexec->state != REEXEC_IDLE) {
        return error_set(err, ERR_BUSY, "it is being executed anew already (%s)",
                         states[reexec->state].name);
    }
    log_info("reexec: asked for by %s%s", by, dry_run ? ", as a dry run" : "");
    reexec->dry_run = dry_run;
    reexec->answered = false;
    reexec->waits_for = NULL;
    reexec->err = (struct error){0};
    int rc = uv_queue_work(reexec->loop, &reexec->work, on_check, on_checked);
    if (rc != 0) {
        return error_set(err, ERR_NOMEM, "no thread for the check: %s", uv_strerror(rc));
    }
    move(reexec, REEXEC_CHECKING);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

int reexec_open(struct reexec *reexec, uv_loop_t *loop, const struct reexec_ports *ports,
                struct error *err)
{
    *reexec = (struct reexec){.ports = *ports, .loop = loop};
    reexec->work.data = reexec;
    reexec->timer.data = reexec;
    int rc = reexec_program_open(&reexec->program, err);
    if (rc == 0) {
        reexec->program.identity = ports->identity;
        reexec->program.taken = ports->taken;
        (void)uv_timer_init(loop, &reexec->timer);
        reexec->open = true;
    }
    return rc;
}

bool reexec_hands_over(struct reexec *reexec, raft_done done, void *arg)
{
    if (reexec->state != REEXEC_HANDING_OVER) {
        return false;
    }
    reexec->after_handover = done;
    reexec->after_arg = arg;
    return true;
}

void reexec_close(struct reexec *reexec)
{
    if (!reexec->open) {
        return;
    }
    reexec->open = false;
    reexec_signals_release();
    atomic_store(&reexec->cancel, true);
    uv_close((uv_handle_t *)&reexec->timer, NULL);
    if (reexec->state != REEXEC_IDLE && reexec->state != REEXEC_CHECKING &&
        reexec->state != REEXEC_HANDING_OVER) {
        move(reexec, REEXEC_IDLE);
    }
}

void reexec_free(struct reexec *reexec)
{
    reexec_program_close(&reexec->program);
}
