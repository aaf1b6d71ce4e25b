/* ask -> read (thread) -> check -> exchange
 *
 * A file that cannot be used changes nothing: one line says why, and GET /patroni shows it. The
 * configuration is exchanged where it stands, between two turns of the loop; who keeps a pointer
 * into it over a turn is who was opened at the start, and that one's memory stays. What can change
 * goes to PostgreSQL by the same way as the dynamic configuration (agent/loop/parameters.c). */
#include "agent/app_reload.h"

#include "agent/app_start.h"
#include "agent/config/config_again.h"
#include "agent/loop/loop.h"
#include "agent/rest_tls.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/tls.h"

#include <stdio.h>
#include <string.h>

static void set_error(struct agent *agent, const char *text)
{
    (void)snprintf(agent->reload.file_error, sizeof agent->reload.file_error, "%s", text);
    publish_request(agent);
}

/* What the instance would refuse is refused with the file. */
static int check_instance(const struct agent *agent, const struct config *next, struct error *err)
{
    struct config_effective effective;
    struct dynamic_parameters parameters = {0};
    struct pg_reload wanted;
    char warning[DYNAMIC_WARNING_BYTES];
    config_effective_make(&next->postgresql, json_object_get(agent->dynamic.document, "postgresql"),
                          &effective, NULL);
    int rc = parameters_wanted(&agent->dynamic, &effective.postgresql, &parameters, &wanted,
                               warning, err);
    if (rc == 0 && agent->pg != NULL) {
        rc = pg_instance_check_reload(agent->pg, &wanted, err);
    }
    if (rc != 0) {
        error_wrap(err, "%s", next->path);
    }
    dynamic_parameters_free(&parameters);
    config_effective_free(&effective);
    return rc;
}

static void exchange(struct app_reload *reload, const struct config *next)
{
    struct agent *agent = reload->agent;
    struct config old = *reload->config;

    *reload->config = *next;
    log_configure(next->log);
    parameters_changed(agent); /* before the old one goes: what is merged has pointers into it */
    if (old.memory != reload->started) {
        config_free(&old);
    }
    log_info("reload: the configuration file was read again");
    if (reload->rest != NULL) {
        app_rest_apply(reload->rest, agent, reload->config, reload->tls);
    }
    set_error(agent, "");
    cycle_request(agent);
}

static void take(struct app_reload *reload)
{
    struct config next;
    struct error err = reload->err;
    int rc = reload->rc;

    rc = rc != 0 ? rc : config_again(reload->config, &reload->read, &next, &reload->warnings, &err);
    if (rc == 0) {
        rc = check_instance(reload->agent, &next, &err);
        if (rc != 0) {
            config_free(&next);
        }
    }
    app_start_tell(&reload->warnings);
    if (rc != 0) {
        log_error("reload: %s; the configuration of before stays in force", err.text);
        set_error(reload->agent, err.text);
        return;
    }
    reload->from_file = strcmp(reload->read.path, reload->path) == 0;
    exchange(reload, &next);
}

static void on_read(uv_work_t *work)
{
    struct app_reload *reload = work->data;
    const char *path = reload->path[0] != '\0' ? reload->path : NULL;
    reload->rc = reload->from_file
                     ? config_load_file(path, &reload->read, &reload->warnings, &reload->err)
                     : config_load(path, &reload->read, &reload->warnings, &reload->err);
    if (reload->rc == 0) {
        reload->rc = app_start_check_log(&reload->read, &reload->err);
    }
    if (reload->rc == 0 && reload->rest != NULL) {
        reload->rc = rest_tls_read(&reload->read.restapi, &reload->tls, &reload->err);
    }
}

static void on_read_done(uv_work_t *work, int status)
{
    struct app_reload *reload = work->data;

    reload->running = false;
    if (!reload->agent->stopping && status == 0) {
        take(reload);
    }
    tls_context_free(reload->tls);
    reload->tls = NULL;
    config_free(&reload->read);
    config_warnings_free(&reload->warnings);
    reload->err = (struct error){0};
    if (reload->again && !reload->agent->stopping) {
        reload->again = false;
        app_reload_ask(reload);
    }
}

void app_reload_init(struct app_reload *reload, struct agent *agent, struct config *config,
                     const char *path)
{
    *reload = (struct app_reload){
        .agent = agent, .config = config, .started = config->memory, .work.data = reload};
    (void)snprintf(reload->path, sizeof reload->path, "%s", path == NULL ? "" : path);
    reload->from_file = strcmp(config->path, reload->path) == 0;
}

void app_reload_ask(struct app_reload *reload)
{
    if (reload->running) {
        reload->again = true;
        return;
    }
    reload->running = uv_queue_work(reload->agent->loop, &reload->work, on_read, on_read_done) == 0;
}

void app_reload_free(struct app_reload *reload)
{
    struct config started = {.memory = reload->started};
    if (reload->config->memory != reload->started) {
        config_free(&started);
    }
    config_free(reload->config);
}
