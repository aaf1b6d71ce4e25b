/* The part of loop_fixture.h that plays the fence where it is asked for a watchdog device. */
#ifndef TESTS_AGENT_LOOP_LOOP_WATCHDOG_H
#define TESTS_AGENT_LOOP_LOOP_WATCHDOG_H

static struct dog {
    unsigned asked; /* how often the fence was told of a watchdog, and what, last */
    int64_t timeout_ms;
    int64_t timeout_ms_max;
    char device[64];
    fence_done_cb done;
    void *arg;
} dog;

int fence_client_watchdog(struct fence_client *client, const struct fence_watchdog_config *config,
                          fence_done_cb done, void *arg, struct error *err)
{
    (void)client;
    (void)err;
    dog.asked++;
    dog.timeout_ms = config->timeout_ms;
    dog.timeout_ms_max = config->timeout_ms_max;
    (void)snprintf(dog.device, sizeof dog.device, "%s", config->device);
    dog.done = done;
    dog.arg = arg;
    return 0;
}

/* The fence's answer to the last such request. */
static inline void dog_answers(int rc)
{
    struct error err = {0};
    fence_done_cb done = dog.done;
    assert_non_null(done);
    dog.done = NULL;
    if (rc != 0) {
        (void)error_set(&err, rc, "said no");
    }
    done(dog.arg, rc, &rig.fence, &err);
}

#endif
