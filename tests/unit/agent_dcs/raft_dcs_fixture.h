/* The dcs on a group in this loop, asked and answered. Included by the one test that uses it. */
#ifndef TESTS_UNIT_AGENT_DCS_RAFT_DCS_FIXTURE_H
#define TESTS_UNIT_AGENT_DCS_RAFT_DCS_FIXTURE_H

#include "tests/unit/raft_engine/group_fixture.h"

#include "agent/dcs/dcs.h"

#define TTL_MS 2000

static struct rig rig;
static struct dcs *dcs;
static char *base;
static int changes;

struct outcome {
    int calls;
    struct dcs_result result;
    struct dcs_view *view;
    char text[256];
};

static void on_dcs_change(void *arg)
{
    (void)arg;
    changes++;
}

static void on_done(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct outcome *outcome = arg;
    assert_int_equal(outcome->calls++, 0);
    outcome->result = *result;
    snprintf(outcome->text, sizeof outcome->text, "%s", result->rc != 0 ? err->text : "");
}

static void on_view(void *arg, int rc, struct dcs_view *view, const struct error *err)
{
    struct outcome *outcome = arg;
    (void)err;
    assert_int_equal(outcome->calls++, 0);
    outcome->result.rc = rc;
    outcome->view = view != NULL ? dcs_view_ref(view) : NULL;
}

static bool is_done(struct rig *same, void *arg)
{
    (void)same;
    return ((struct outcome *)arg)->calls > 0;
}

/* The outcome of the one operation; `rc`: of the call that asked for it. */
static int finish(int rc, struct outcome *outcome)
{
    assert_int_equal(outcome->calls, 0);
    if (rc != 0) {
        return rc;
    }
    wait_for(&rig, is_done, outcome, 20000, "the dcs answers");
    assert_int_equal(outcome->calls, 1);
    return outcome->result.rc;
}

static bool has_view(struct rig *same, void *arg)
{
    struct dcs *one = arg;
    struct dcs_view *view = one->ops->view(one);
    (void)same;
    dcs_view_unref(view);
    return view != NULL;
}

static int put_key(const char *key, const char *value, int64_t compare, int64_t *ret_revision)
{
    struct outcome outcome = {0};
    int rc =
        finish(dcs->ops->put(dcs, key, value, compare, 3000, on_done, &outcome, NULL), &outcome);
    if (rc == 0 && ret_revision != NULL) {
        *ret_revision = outcome.result.revision;
    }
    return rc;
}

#endif
