/* One request to a member's REST interface, and nothing to do until it is answered: libcurl's
 * plain, waiting form. The loop of the session stands still meanwhile, which no part of it minds.
 */
#include "agent/cli/cli_session.h"
#include "base/buf.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L

static size_t take_bytes(char *data, size_t size, size_t count, void *arg)
{
    struct buf *reply = arg;
    size_t len = size * count;
    if (reply->len + len > CLI_REPLY_BYTES_MAX) {
        return 0; /* curl ends with CURLE_WRITE_ERROR */
    }
    buf_put(reply, data, len);
    return len;
}

static bool insecure; /* of the one command that this process is there for */

static const struct config_ctl *as; /* NULL: without anything */

void cli_request_insecure(bool on)
{
    insecure = on;
}

void cli_request_as(const struct config_ctl *ctl)
{
    as = ctl;
}

/* "http://host:port/patroni" and "/switchover" -> "http://host:port/switchover"; NULL = no URL of
 * HTTP. */
static char *with_path(const char *url, const char *path)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return NULL;
    }
    const char *host = strstr(url, "://") + 3;
    size_t len = (size_t)(host - url) + strcspn(host, "/?#");
    return mem_printf("%.*s%s", (int)len, url, path);
}

static int code_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: return ERR_UNAVAILABLE; /* nothing was sent */
    case CURLE_OPERATION_TIMEDOUT: return ERR_TIMEOUT;
    case CURLE_WRITE_ERROR: return ERR_LIMIT;
    default: return ERR_UNKNOWN;
    }
}

static const char *remedy_of(CURLcode code)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return ": give its authority as ctl.cacert, or take any certificate with -k";
    case CURLE_SSL_CACERT_BADFILE: return ": give a file of certificates as ctl.cacert";
    case CURLE_SSL_CERTPROBLEM:
        return ": give ctl.certfile, ctl.keyfile and ctl.keyfile_password that go together";
    default: return "";
    }
}

struct question {
    const char *url;
    const char *path;
    const char *method; /* NULL: GET, or POST with a body */
    const char *body;   /* NULL = none */
};

/* Patroni's way, but for name and password, which whoever only reads does not need. */
static void set_security(CURL *curl, bool reads)
{
    bool any = insecure || (as != NULL && as->insecure);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, any ? 0L : 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, any ? 0L : 2L);
    if (as == NULL) {
        return;
    }
    if (as->tls.cafile != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* else the system's count, too */
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, as->tls.cafile);
    }
    if (as->tls.certfile != NULL) {
        const char *password = as->tls.keyfile_password.hidden;
        (void)curl_easy_setopt(curl, CURLOPT_SSLCERT, as->tls.certfile);
        (void)curl_easy_setopt(curl, CURLOPT_SSLKEY,
                               as->tls.keyfile != NULL ? as->tls.keyfile : as->tls.certfile);
        (void)curl_easy_setopt(curl, CURLOPT_KEYPASSWD, password != NULL ? password : "");
    }
    if (!reads && as->username != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(curl, CURLOPT_USERNAME, as->username);
        (void)curl_easy_setopt(curl, CURLOPT_PASSWORD, as->password.hidden);
    }
}

static CURLcode perform(CURL *curl, const char *url, const struct question *question,
                        int64_t timeout_ms, struct buf *reply)
{
    struct curl_slist *headers =
        question->body != NULL ? curl_slist_append(NULL, "Content-Type: application/json") : NULL;
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY,
                           ""); /* members are asked directly, whatever the environment says */
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    set_security(curl, question->method == NULL && question->body == NULL);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (question->body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, question->body);
    }
    if (question->method != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, question->method);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    return code;
}

static int ask(const struct question *question, int64_t timeout_ms, struct cli_reply *ret_reply,
               struct error *err)
{
    struct buf reply = BUF_INIT;
    long status = 0;
    char *full = with_path(question->url, question->path);
    if (full == NULL) {
        return error_set(err, ERR_INVALID, "'%.100s' is no address of a REST interface",
                         question->url);
    }
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        mem_free(full);
        return error_set(err, ERR_NOMEM, "no memory for a request");
    }
    char why[CURL_ERROR_SIZE] = "";
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    CURLcode code = perform(curl, full, question, timeout_ms, &reply);
    int rc = 0;
    if (code != CURLE_OK) {
        long connected = 0;
        (void)curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &connected);
        rc = code_of(code);
        if (connected == 0) {
            rc = ERR_UNAVAILABLE; /* timed out before anything was sent */
        }
        (void)error_set(err, rc, "asking %s: %s%s", full,
                        why[0] != '\0' ? why : curl_easy_strerror(code), remedy_of(code));
        buf_free(&reply);
    } else {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        (void)buf_str(&reply);
        ret_reply->status = (int)status;
        ret_reply->text = buf_take(&reply);
    }
    curl_easy_cleanup(curl);
    mem_free(full);
    return rc;
}

int cli_request(const char *url, const char *path, const char *body, int64_t timeout_ms,
                struct cli_reply *ret_reply, struct error *err)
{
    struct question question = {.url = url, .path = path, .body = body};
    return ask(&question, timeout_ms, ret_reply, err);
}

int cli_request_patch(const char *url, const char *path, const char *body, int64_t timeout_ms,
                      struct cli_reply *ret_reply, struct error *err)
{
    struct question question = {.url = url, .path = path, .method = "PATCH", .body = body};
    return ask(&question, timeout_ms, ret_reply, err);
}

int cli_request_delete(const char *url, const char *path, int64_t timeout_ms,
                       struct cli_reply *ret_reply, struct error *err)
{
    struct question question = {.url = url, .path = path, .method = "DELETE"};
    return ask(&question, timeout_ms, ret_reply, err);
}
