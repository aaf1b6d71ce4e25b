#include "pgctl/fence/fence_channel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool fence_channel_send(int fd, const struct fence_reply *reply, int page_fd)
{
    uint8_t bytes[1024];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = bytes,
                        .iov_len = fence_wire_put_reply(bytes, sizeof bytes, reply)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (page_fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &page_fd, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool fence_channel_is_ours(int fd, pid_t *ret_pid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        return false;
    }
    *ret_pid = peer.pid;
    return true;
}
