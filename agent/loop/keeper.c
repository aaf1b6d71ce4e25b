/* Keeps the leader lease: renewals run on a timer of their own, served apart from the HA cycle, so
 * that no decision, job or client can delay them. ha_lease.c decides what is due and which answer
 * counts; here the bytes are sent and the fence's page is written. The page changes before the
 * bytes leave wherever the deadline shrinks, and after the answer wherever it grows. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/loop/failsafe.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

struct renewal {
    struct agent *agent;
    uint64_t number;
};

/* False: it cannot be read. */
static bool read_page(const struct agent *agent, struct fence_lease *ret_page)
{
    struct fence_page *mapped = agent->fence == NULL ? NULL : fence_client_page(agent->fence);
    return mapped != NULL && fence_page_read(mapped, ret_page);
}

static bool is_of_lease(const struct agent *agent, const struct fence_lease *page)
{
    return page->epoch.cluster == agent->lease.epoch.cluster &&
           page->epoch.revision == agent->lease.epoch.revision;
}

bool keeper_leads(const struct agent *agent)
{
    struct fence_lease page;
    return read_page(agent, &page) && page.epoch.revision != 0 && is_of_lease(agent, &page) &&
           page.deadline_ms != FENCE_OVER && ha_lease_valid(&agent->lease, agent_lease_ms(agent));
}

bool keeper_may_write(const struct agent *agent)
{
    struct fence_lease page;
    return read_page(agent, &page) && fence_lease_armed(&page) && keeper_leads(agent);
}

/* Nobody else may become primary while it is unfenced, unless the operator passes over it. */
static bool is_passed_over(const struct fence_lease *page, const struct ha_snapshot *s)
{
    struct ha_epoch last = ha_cluster_epoch(&s->cluster);
    bool later = last.cluster == page->epoch.cluster && last.revision > page->epoch.revision;
    return ha_key_is_others(s) || (s->cluster.known && later && !ha_last_holder_is_me(s));
}

/* A cluster that `initialize` does not name may be put beside for another one, with all that
 * clients wrote into it: while it is being made its directory was not looked at, perhaps. */
static bool is_known_to_nobody(const struct ha_snapshot *s)
{
    bool being_made = s->cluster.initialize_revision > 0 && s->cluster.initialize[0] == '\0';
    return being_made ||
           (s->self.unannounced && strcmp(s->self.system_id, s->cluster.initialize) != 0);
}

int64_t keeper_serves_until_ms(const struct agent *agent, const struct ha_snapshot *s)
{
    struct fence_lease page;
    bool readable = read_page(agent, &page);
    if (is_known_to_nobody(s)) {
        return 0;
    }
    if (readable && fence_lease_open(&page)) {
        return is_passed_over(&page, s) ? 0 : INT64_MAX;
    }
    if (!readable || !fence_lease_armed(&page) || page.deadline_ms == FENCE_OVER) {
        return 0;
    }
    if (agent->lease.held) {
        return is_of_lease(agent, &page) ? agent->lease.soft_ms : 0;
    }
    bool given_up = agent->lease.fired.cluster == page.epoch.cluster &&
                    agent->lease.fired.revision == page.epoch.revision;
    bool unread = !s->cluster.known || ha_view_is_old(s);
    return unread && !given_up && !s->fence.fired ? page.soft_ms : 0;
}

void keeper_page(struct agent *agent)
{
    struct ha_lease_page wanted;
    struct fence_lease page;
    struct fence_page *mapped = agent->fence == NULL ? NULL : fence_client_page(agent->fence);

    if (mapped == NULL || !ha_lease_page(&agent->lease, &wanted) ||
        !fence_page_read(mapped, &page)) {
        return;
    }
    if (page.epoch.cluster != wanted.epoch.cluster ||
        page.epoch.revision != wanted.epoch.revision || !fence_lease_armed(&page) ||
        page.deadline_ms == FENCE_OVER) {
        return; /* not armed for this epoch: HA_ARM does that, never a renewal */
    }
    page.soft_ms = wanted.soft_ms;
    page.deadline_ms = wanted.deadline_ms;
    page.watchdog_ms = wanted.watchdog_ms;
    fence_page_write(mapped, &page);
}

static void on_renewed(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct renewal *renewal = arg;
    struct agent *agent = renewal->agent;
    uint64_t number = renewal->number;

    mem_free(renewal);
    if (agent->stopping && result->rc == ERR_CANCELED) {
        return;
    }
    enum ha_lease_outcome outcome =
        ha_lease_answered(&agent->lease, number, result->rc, agent_lease_ms(agent));
    switch (outcome) {
    case HA_LEASE_EXTENDED:
        agent->renewed_lease_ms = agent->lease.newest_sent_ms;
        keeper_page(agent);
        failsafe_renewed(agent);
        break;
    case HA_LEASE_LOST:
        log_warning("lease lost: the store says that the leader key is not ours any more (%s)",
                    err == NULL ? err_name(result->rc) : err->text);
        cycle_request(agent);
        break;
    case HA_LEASE_LATE:
        log_warning("a renewal of the leader lease was answered too late, sending another");
        failsafe_round(agent);
        break;
    case HA_LEASE_FAILED:
        log_warning("renewing the leader lease: %s, sending another",
                    err == NULL ? err_name(result->rc) : err->text);
        failsafe_round(agent);
        break;
    case HA_LEASE_OLD: break;
    }
    keeper_kick(agent);
}

static void renew(struct agent *agent)
{
    struct error err = {0};
    struct renewal *renewal = mem_new(struct renewal);
    int64_t now = agent_lease_ms(agent);

    int64_t ttl_ms = watchdog_ttl_ms(agent);

    renewal->agent = agent;
    renewal->number = ha_lease_sent(&agent->lease, ttl_ms, agent->dynamic.loop_wait_ms, now);
    keeper_page(agent); /* a shorter ttl counts from the send, not from the answer */
    int rc = agent->dcs->ops->renew(agent->dcs, agent->lease.epoch.revision, ttl_ms,
                                    ha_lease_attempt_ms(ttl_ms), on_renewed, renewal, &err);
    if (rc != 0) {
        (void)ha_lease_answered(&agent->lease, renewal->number,
                                rc == ERR_REFUSED ? ERR_UNAVAILABLE : rc, now);
        mem_free(renewal);
        failsafe_round(agent);
    }
}

static void on_lease_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    if (ha_lease_due(&agent->lease, agent_lease_ms(agent))) {
        bool unanswered = agent->lease.waiting;
        renew(agent);
        if (unanswered) {
            failsafe_round(agent); /* the answer to the one before will be an old one */
        }
    }
    keeper_kick(agent);
}

void keeper_kick(struct agent *agent)
{
    enum { WAIT_MIN_MS = 5, WAIT_MAX_MS = 100 }; /* no timer runs on the lease clock: look again */

    if (agent->stopping && !agent->lease.held) {
        (void)uv_timer_stop(&agent->lease_timer);
        return;
    }
    int64_t wait = ha_lease_wait_ms(&agent->lease, agent_lease_ms(agent));
    if (wait < 0) {
        (void)uv_timer_stop(&agent->lease_timer);
        return;
    }
    wait = wait > WAIT_MAX_MS ? WAIT_MAX_MS : wait < WAIT_MIN_MS ? WAIT_MIN_MS : wait;
    (void)uv_timer_start(&agent->lease_timer, on_lease_timer, (uint64_t)wait, 0);
}

int keeper_start(struct agent *agent)
{
    ha_lease_init(&agent->lease);
    watchdog_start(agent);
    agent->lease_timer.data = agent;
    return uv_timer_init(agent->loop, &agent->lease_timer);
}

void keeper_stop(struct agent *agent)
{
    if (agent->lease_timer.data != NULL && !uv_is_closing((uv_handle_t *)&agent->lease_timer)) {
        uv_close((uv_handle_t *)&agent->lease_timer, NULL);
    }
}
