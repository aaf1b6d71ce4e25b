/* A node of the shipping loop whose configuration names the logical slot "app". */
#ifndef TESTS_LOGICAL_FIXTURE_H
#define TESTS_LOGICAL_FIXTURE_H

#include "loop_fixture.h"

#include "agent/loop/logical.h"
#include "agent/loop/slots.h"

static struct logical_plan plan; /* large: not on the stack */
static struct pg_logical_seen seen;

#define CONFIG                                                                            \
    "{\"slots\":{\"app\":{\"database\":\"db\",\"plugin\":\"pgoutput\"}},\"postgresql\":{" \
    "\"parameters\":{\"wal_level\":\"logical\"}}}"

/* The plan as "app@1000 -gone"; "!" in front: due. */
static inline const char *decided(void)
{
    static char text[1024];
    struct buf out = BUF_INIT;
    logical_decide(&rig.agent, &plan);
    buf_put_str(&out, plan.due ? "!" : "");
    for (size_t i = 0; i < plan.wish_count; i++) {
        buf_printf(&out, "%s%s@%llu%s", i == 0 ? "" : " ", plan.wishes[i].name,
                   (unsigned long long)plan.wishes[i].lsn, plan.wishes[i].unsafe ? "?" : "");
    }
    for (size_t i = 0; i < plan.drop_count; i++) {
        buf_printf(&out, "%s-%s", i + plan.wish_count == 0 ? "" : " ", plan.drops[i]);
    }
    (void)snprintf(text, sizeof text, "%s", buf_str(&out));
    buf_free(&out);
    return text;
}

static inline struct pg_slot *slot_of(const char *name)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    for (size_t i = 0; i < probe->slot_count; i++) {
        if (strcmp(probe->slots[i].name, name) == 0) {
            return &probe->slots[i];
        }
    }
    fail_msg("no slot '%s'", name);
    return NULL;
}

static inline struct pg_slot *slot_put(const char *name, uint64_t lsn, uint32_t catalog_xmin)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    struct pg_slot *slot = &probe->slots[probe->slot_count++];
    *slot = (struct pg_slot){.restart_lsn = lsn,
                             .confirmed_lsn = lsn,
                             .catalog_xmin = catalog_xmin,
                             .wal_status = "reserved",
                             .database = "db",
                             .plugin = "pgoutput"};
    (void)snprintf(slot->name, sizeof slot->name, "%s", name);
    slots_note(&rig.agent);
    return slot;
}

static inline void slot_remove(const char *name)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    struct pg_slot *slot = slot_of(name);
    *slot = probe->slots[--probe->slot_count];
    slots_note(&rig.agent);
}

static inline void store_says(const char *key, const char *value)
{
    key_set(key, value);
    observe_store_changed(&rig.agent);
}

static inline void configure(const char *text)
{
    store_says("config", text);
    slots_note(&rig.agent);
}

static inline void leads(const char *name)
{
    store_says("leader", name);
    rig.agent.facts.cluster.leader_epoch.revision = rig.revision; /* another term */
    slots_note(&rig.agent);
}

/* n1 is a standby of n2, whose slot "app" is at 900. */
static inline void standby(void)
{
    rig_init();
    standby_runs(5000);
    rig.agent.facts.probe.server_version = 150014;
    rig.agent.facts.probe.feedback = true;
    rig.agent.facts.probe.logical_decoding = true;
    rig.agent.facts.upstream.streaming = true;
    key_set("members/n1", "{\"state\":\"running\"}");
    key_set("members/n2",
            "{\"state\":\"running\",\"conn_url\":\"postgres://10.0.0.2:5432/postgres\"}");
    key_set("members/n3", "{\"state\":\"running\"}");
    key_set("leader", "n2");
    key_set("status", "{\"slots\":{\"app\":900}}");
    configure(CONFIG);
    rig.now_ms += LOOP_WAIT_MS;
    buf_clear(&rig.logged);
}

static inline void primary(void)
{
    standby();
    rig.agent.facts.probe.role = PG_PRIMARY;
    store_says("leader", "n1");
    slots_note(&rig.agent);
}

static inline bool told(const char *words)
{
    return strstr(buf_str(&rig.logged), words) != NULL;
}

/* The primary's answer to the last question: its slot "app", and what it keeps for us. */
static inline void answer_seen(uint32_t physical_xmin, uint32_t catalog_xmin, bool fetched)
{
    struct pending pending = answer_take("seen slots");
    memset(&seen, 0, sizeof seen);
    seen.physical_there = true;
    seen.timeline = rig.agent.facts.probe.timeline;
    seen.physical_xmin = physical_xmin;
    seen.count = catalog_xmin == 0 ? 0 : 1;
    (void)snprintf(seen.slots[0].name, sizeof seen.slots[0].name, "app");
    (void)snprintf(seen.slots[0].fault, sizeof seen.slots[0].fault, "%s",
                   fetched ? "" : "for a reason");
    seen.slots[0].catalog_xmin = catalog_xmin;
    seen.slots[0].fetched = fetched;
    pending.seen(pending.arg, 0, &seen, NULL);
}

static inline void look(void)
{
    rig.now_ms += LOOP_WAIT_MS;
    logical_look(&rig.agent);
}

static inline void look_sees(uint32_t physical_xmin, uint32_t catalog_xmin)
{
    look();
    answer_seen(physical_xmin, catalog_xmin, false);
}

/* n1 was promoted, and has the copy that is not safe still. */
static inline void promoted_with_copy(void)
{
    standby();
    look();
    answer_seen(0, 700, true);
    rig.agent.restart.now.phase = HA_RESTART_NONE;
    slot_put("app", 900, 700);
    rig.agent.facts.probe.current_lsn = 1500;
}

#endif
