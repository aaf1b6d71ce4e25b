/* The part of loop_fixture.h that plays the fence. */
#ifndef TESTS_AGENT_LOOP_LOOP_FENCE_H
#define TESTS_AGENT_LOOP_LOOP_FENCE_H

struct fence_page *fence_client_page(const struct fence_client *client)
{
    (void)client;
    return (struct fence_page *)(void *)page_memory;
}

const struct fence_status *fence_client_status(const struct fence_client *client)
{
    (void)client;
    return &rig.fence;
}

bool fence_client_connected(const struct fence_client *client)
{
    (void)client;
    return rig.fence_connected;
}

int fence_client_adopt(struct fence_client *client, const char *data_dir, fence_done_cb done,
                       void *arg, struct error *err)
{
    int rc = 0;
    (void)client;
    assert_string_equal(data_dir, rig.config.postgresql.data_dir);
    struct pending *pending = ask(&rc, err, "adopt");
    pending->adopted = done;
    pending->arg = arg;
    return rc;
}

int fence_client_end(struct fence_client *client, struct error *err)
{
    (void)client;
    rig.fence_ends++;
    return rig.fence_end_rc == 0 ? 0 : error_set(err, rig.fence_end_rc, "it does not end");
}

#endif
