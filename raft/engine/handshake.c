/* See the header for the protocol. Every move is made by handshake_input: it checks that the frame
 * is the one that the state waits for, decodes it whole, and only then changes anything. Nothing in
 * `peer` may be used before DONE: until then it is what a stranger claims.
 *
 * What it does not see: whether the id is our own or somebody else's too. That needs the other
 * connections, and an authenticated peer, so it is peer.c's. */
#include "raft/engine/handshake.h"

#include "base/assert.h"
#include "raft/engine/cluster_id.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define REFUSED_TEXT_BYTES_MAX 400

static const char caller_label[] = "pgquorum raft 1 caller";
static const char listener_label[] = "pgquorum raft 1 listener";

/* --- identity --------------------------------------------------------------------------------- */

void handshake_identity_encode(const struct handshake_identity *identity, struct buf *out)
{
    buf_put_u64(out, identity->id);
    buf_put_u64(out, identity->cluster);
    buf_put_u64(out, identity->incarnation);
    buf_put_u8(out, identity->flags);
    buf_put_u8(out, identity->group_size);
    buf_put_bytes(out, span_str(identity->name));
    buf_put_bytes(out, span_str(identity->address));
}

/* Names and addresses end up in messages and in the store: no control characters, no zero byte. */
static bool text_take(struct span_reader *reader, char *ret_text, size_t size)
{
    struct span text = span_take_bytes(reader, size - 1);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return false;
        }
    }
    if (text.len > 0) {
        memcpy(ret_text, text.data, text.len);
    }
    ret_text[text.len] = '\0';
    return !reader->failed;
}

int handshake_identity_decode(struct span_reader *reader, struct handshake_identity *ret_identity,
                              struct error *err)
{
    struct handshake_identity identity = {0};
    identity.id = span_take_u64(reader);
    identity.cluster = span_take_u64(reader);
    identity.incarnation = span_take_u64(reader);
    identity.flags = span_take_u8(reader);
    identity.group_size = span_take_u8(reader);
    if (!text_take(reader, identity.name, sizeof identity.name) ||
        !text_take(reader, identity.address, sizeof identity.address)) {
        return error_set(err, ERR_INVALID, "malformed identity");
    }
    *ret_identity = identity;
    return 0;
}

/* --- the two messages with an identity, and the macs ------------------------------------------ */

struct introduction {
    enum handshake_role role;
    bool has_password;
    struct span nonce;
    struct handshake_identity identity;
};

static void introduction_encode(const struct handshake *handshake, struct buf *out)
{
    buf_put_u8(out, (uint8_t)handshake->role);
    buf_put_u8(out, handshake->password != NULL);
    buf_put(out, handshake->nonce, HANDSHAKE_NONCE_BYTES);
    handshake_identity_encode(&handshake->self, out);
}

static int introduction_decode(struct span payload, struct introduction *ret_introduction,
                               struct error *err)
{
    struct span_reader reader = span_reader_of(payload);
    struct introduction introduction = {0};
    uint8_t role = span_take_u8(&reader);
    uint8_t has_password = span_take_u8(&reader);
    if (reader.failed || reader.rest.len < HANDSHAKE_NONCE_BYTES || role < HANDSHAKE_MEMBER ||
        role > HANDSHAKE_CLIENT || has_password > 1) {
        return error_set(err, ERR_INVALID, "malformed introduction");
    }
    introduction.role = (enum handshake_role)role;
    introduction.has_password = has_password == 1;
    introduction.nonce = span_of(reader.rest.data, HANDSHAKE_NONCE_BYTES);
    reader.rest =
        span_of(reader.rest.data + HANDSHAKE_NONCE_BYTES, reader.rest.len - HANDSHAKE_NONCE_BYTES);
    int rc = handshake_identity_decode(&reader, &introduction.identity, err);
    if (rc != 0) {
        return rc;
    }
    if (!span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "malformed introduction");
    }
    if (introduction.role == HANDSHAKE_MEMBER &&
        (introduction.identity.id == 0 || introduction.identity.name[0] == '\0')) {
        return error_set(err, ERR_INVALID, "a member without id or name");
    }
    *ret_introduction = introduction;
    return 0;
}

/* Length of the mac: 0 where there is no password. */
static size_t mac_make(const struct handshake *handshake, const char *label, size_t label_bytes,
                       uint8_t ret_mac[HANDSHAKE_MAC_BYTES])
{
    if (handshake->password == NULL) {
        return 0;
    }
    struct buf message = BUF_INIT;
    buf_put(&message, label, label_bytes);
    buf_put_span(&message, buf_span(&handshake->transcript));
    unsigned len = 0;
    const uint8_t *mac = HMAC(EVP_sha256(), handshake->password, (int)strlen(handshake->password),
                              message.data, message.len, ret_mac, &len);
    ASSERT(mac != NULL && len == HANDSHAKE_MAC_BYTES);
    buf_free(&message);
    return len;
}

static size_t caller_mac(const struct handshake *handshake, uint8_t ret_mac[HANDSHAKE_MAC_BYTES])
{
    return mac_make(handshake, caller_label, sizeof caller_label, ret_mac);
}

static size_t listener_mac(const struct handshake *handshake, uint8_t ret_mac[HANDSHAKE_MAC_BYTES])
{
    return mac_make(handshake, listener_label, sizeof listener_label, ret_mac);
}

static bool mac_equal(struct span got, const uint8_t *want, size_t want_len)
{
    return got.len == want_len && (want_len == 0 || CRYPTO_memcmp(got.data, want, want_len) == 0);
}

/* --- moves ------------------------------------------------------------------------------------ */

static void put_frame(const struct handshake *handshake, enum peer_frame_type type,
                      struct span payload, struct buf *out)
{
    struct peer_frame frame = {.type = type,
                               .from = handshake->self.id,
                               .cluster = handshake->self.cluster,
                               .payload = payload};
    peer_frame_encode(&frame, out);
}

void handshake_refuse(int code, const char *text, struct buf *out)
{
    struct buf payload = BUF_INIT;
    buf_put_u32(&payload, (uint32_t)code);
    size_t len = strlen(text);
    buf_put_bytes(&payload,
                  span_of(text, len < REFUSED_TEXT_BYTES_MAX ? len : REFUSED_TEXT_BYTES_MAX));
    struct peer_frame frame = {.type = PEER_FRAME_REFUSED, .payload = buf_span(&payload)};
    peer_frame_encode(&frame, out);
    buf_free(&payload);
}

static int refuse(struct handshake *handshake, int code, struct buf *out, struct error *err,
                  const char *text)
{
    handshake->state = HANDSHAKE_FAILED;
    handshake_refuse(code, text, out);
    return error_set(err, code, "%s", text);
}

void handshake_init(struct handshake *handshake, const struct handshake_config *config,
                    struct buf *out)
{
    memset(handshake, 0, sizeof *handshake);
    handshake->caller = config->caller;
    handshake->role = config->role;
    handshake->password =
        config->password != NULL && config->password[0] != '\0' ? config->password : NULL;
    ASSERT(handshake->password == NULL ||
           strlen(handshake->password) <= HANDSHAKE_PASSWORD_BYTES_MAX);
    ASSERT(handshake->caller || handshake->role == HANDSHAKE_MEMBER);
    memcpy(handshake->nonce, config->nonce, HANDSHAKE_NONCE_BYTES);
    handshake->self = *config->identity;
    if (!config->caller) {
        handshake->state = HANDSHAKE_AWAIT_HELLO;
        return;
    }
    struct buf hello = BUF_INIT;
    introduction_encode(handshake, &hello);
    buf_put_bytes(&handshake->transcript, buf_span(&hello));
    put_frame(handshake, PEER_FRAME_HELLO, buf_span(&hello), out);
    buf_free(&hello);
    handshake->state = HANDSHAKE_AWAIT_CHALLENGE;
}

void handshake_free(struct handshake *handshake)
{
    buf_free(&handshake->transcript);
    handshake->password = NULL;
}

/* What both sides ask of the other's introduction. */
static int peer_check(struct handshake *handshake, const struct introduction *peer, struct buf *out,
                      struct error *err)
{
    if (memcmp(peer->nonce.data, handshake->nonce, HANDSHAKE_NONCE_BYTES) == 0) {
        return refuse(handshake, ERR_PERMISSION, out, err, "our own nonce came back");
    }
    if (peer->has_password && handshake->password == NULL) {
        return refuse(handshake, ERR_PERMISSION, out, err,
                      handshake->caller
                          ? "the member asks for a password and none is configured here"
                          : "a password is given and none is configured here: set the same "
                            "raft.password on every member");
    }
    if (!peer->has_password && handshake->password != NULL) {
        return refuse(handshake, ERR_PERMISSION, out, err,
                      handshake->caller
                          ? "the member has no raft.password configured and one is given here"
                          : "raft.password is needed");
    }
    bool both_members = peer->role == HANDSHAKE_MEMBER && handshake->role == HANDSHAKE_MEMBER;
    /* Where one was recovered from the other, who is left behind has to be told, by one who has
     * proved who he is: that is peer.c's. */
    if (both_members && cluster_id_is_foreign(peer->identity.cluster, handshake->self.cluster)) {
        char text[REFUSED_TEXT_BYTES_MAX];
        (void)snprintf(text, sizeof text,
                       "'%s' (raft.self_addr %.128s) is of the Raft cluster %016" PRIx64
                       ", '%s' (%.128s) of %016" PRIx64,
                       peer->identity.name, peer->identity.address, peer->identity.cluster,
                       handshake->self.name, handshake->self.address, handshake->self.cluster);
        return refuse(handshake, ERR_CONFLICT, out, err, text);
    }
    return 0;
}

static void peer_take(struct handshake *handshake, const struct introduction *peer,
                      struct span payload)
{
    handshake->peer = peer->identity;
    handshake->peer_role = peer->role;
    buf_put_bytes(&handshake->transcript, payload);
}

static int on_hello(struct handshake *handshake, struct span payload, struct buf *out,
                    struct error *err)
{
    struct introduction peer;
    int rc = introduction_decode(payload, &peer, err);
    if (rc == 0) {
        rc = peer_check(handshake, &peer, out, err);
    }
    if (rc != 0) {
        return rc;
    }
    peer_take(handshake, &peer, payload);
    struct buf challenge = BUF_INIT;
    introduction_encode(handshake, &challenge);
    buf_put_bytes(&handshake->transcript, buf_span(&challenge));
    put_frame(handshake, PEER_FRAME_CHALLENGE, buf_span(&challenge), out);
    buf_free(&challenge);
    handshake->state = HANDSHAKE_AWAIT_PROOF;
    return 0;
}

static int on_challenge(struct handshake *handshake, struct span payload, struct buf *out,
                        struct error *err)
{
    struct introduction peer;
    int rc = introduction_decode(payload, &peer, err);
    if (rc == 0 && peer.role != HANDSHAKE_MEMBER) {
        rc = error_set(err, ERR_INVALID, "a client answers on a member's port");
    }
    if (rc == 0) {
        rc = peer_check(handshake, &peer, out, err);
    }
    if (rc != 0) {
        return rc;
    }
    peer_take(handshake, &peer, payload);
    uint8_t mac[HANDSHAKE_MAC_BYTES];
    size_t mac_len = caller_mac(handshake, mac);
    put_frame(handshake, PEER_FRAME_PROOF, span_of(mac, mac_len), out);
    handshake->state = HANDSHAKE_AWAIT_WELCOME;
    return 0;
}

static int on_proof(struct handshake *handshake, struct span payload, struct buf *out,
                    struct error *err)
{
    uint8_t mac[HANDSHAKE_MAC_BYTES];
    size_t mac_len = caller_mac(handshake, mac);
    if (!mac_equal(payload, mac, mac_len)) {
        return refuse(handshake, ERR_PERMISSION, out, err,
                      "the password is not the one configured here");
    }
    mac_len = listener_mac(handshake, mac);
    put_frame(handshake, PEER_FRAME_WELCOME, span_of(mac, mac_len), out);
    handshake->state = HANDSHAKE_DONE;
    return 0;
}

static int on_welcome(struct handshake *handshake, struct span payload, struct error *err)
{
    uint8_t mac[HANDSHAKE_MAC_BYTES];
    size_t mac_len = listener_mac(handshake, mac);
    if (!mac_equal(payload, mac, mac_len)) {
        return error_set(err, ERR_PERMISSION,
                         "the member could not prove that it knows the password");
    }
    handshake->state = HANDSHAKE_DONE;
    return 0;
}

/* The words come from somebody who has proved nothing: they are quoted, never acted upon. */
static int on_refused(struct span payload, struct error *err)
{
    struct span_reader reader = span_reader_of(payload);
    int code = (int)(int32_t)span_take_u32(&reader);
    char text[REFUSED_TEXT_BYTES_MAX + 1];
    if (!text_take(&reader, text, sizeof text) || !span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "malformed refusal");
    }
    return error_set(err, code == ERR_PERMISSION ? ERR_PERMISSION : ERR_REFUSED,
                     "refused by the other side: %s", text);
}

int handshake_input(struct handshake *handshake, const struct peer_frame *frame, struct buf *out,
                    struct error *err)
{
    static const enum peer_frame_type awaited[] = {[HANDSHAKE_AWAIT_HELLO] = PEER_FRAME_HELLO,
                                                   [HANDSHAKE_AWAIT_CHALLENGE] =
                                                       PEER_FRAME_CHALLENGE,
                                                   [HANDSHAKE_AWAIT_PROOF] = PEER_FRAME_PROOF,
                                                   [HANDSHAKE_AWAIT_WELCOME] = PEER_FRAME_WELCOME};
    ASSERT(handshake->state >= HANDSHAKE_AWAIT_HELLO &&
           handshake->state <= HANDSHAKE_AWAIT_WELCOME);
    int rc;
    if (frame->type == PEER_FRAME_REFUSED) {
        rc = on_refused(frame->payload, err);
    } else if (frame->type != awaited[handshake->state]) {
        rc = error_set(err, ERR_INVALID, "frame of type %d out of turn in the handshake",
                       (int)frame->type);
    } else if (handshake->state == HANDSHAKE_AWAIT_HELLO) {
        rc = on_hello(handshake, frame->payload, out, err);
    } else if (handshake->state == HANDSHAKE_AWAIT_CHALLENGE) {
        rc = on_challenge(handshake, frame->payload, out, err);
    } else if (handshake->state == HANDSHAKE_AWAIT_PROOF) {
        rc = on_proof(handshake, frame->payload, out, err);
    } else {
        rc = on_welcome(handshake, frame->payload, err);
    }
    if (rc != 0) {
        handshake->state = HANDSHAKE_FAILED;
    }
    return rc;
}
