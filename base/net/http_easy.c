/* One request as a handle of libcurl.
 *
 * What was sent is known from CURLOPT_PREREQFUNCTION: libcurl calls it when the connection is there
 * (TLS included) and right before the first byte of the request goes out, on every attempt. The
 * first call is where "certainly nothing was sent" ends; a second one is libcurl's silent retry,
 * and the place to say no.
 *
 * Everything that libcurl would take from its surroundings is set: proxy, CA directory, passphrase
 * (OpenSSL would ask the terminal), HTTP version, protocols. */
#include "base/net/http_easy.h"

#include "base/mem.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* CURLOPT_QUICK_EXIT: without it a lookup that hangs is waited for when its exchange is given up,
 * and the loop with it. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or newer is needed"
#endif

enum { KEEPALIVE_INTERVAL_S = 3, KEEPALIVE_PROBES = 3 };

/* --- what libcurl calls ----------------------------------------------------------------------- */

static int on_prereq(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct http_easy *easy = arg;
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    if (easy->stopped) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (easy->sent && !easy->repeatable) {
        easy->repeat_refused = true;
        return CURL_PREREQFUNC_ABORT;
    }
    easy->sent = true;
    return CURL_PREREQFUNC_OK;
}

/* Failures are of no consequence: a dead peer is then noticed later. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const struct http_easy *easy = arg;
    const struct {
        int level;
        int name;
        unsigned value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, easy->keepalive_idle_s},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, easy->user_timeout_ms},
    };
    (void)purpose;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
    }
    return CURL_SOCKOPT_OK;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_easy *easy = arg;
    size_t len = size * count;
    /* Not left to libcurl: a connection that ends in the middle of a head ends it, too. */
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        easy->head_ended = false;
    } else if (span_equal_str(span_of(line, len), "\r\n") ||
               span_equal_str(span_of(line, len), "\n")) {
        easy->head_ended = true;
    }
    easy->head_bytes += len;
    if (easy->head_bytes > HTTP_CLIENT_HEAD_BYTES_MAX) {
        (void)error_set(&easy->limit, ERR_LIMIT,
                        "%s: the head of the answer is larger than %d bytes", easy->where,
                        HTTP_CLIENT_HEAD_BYTES_MAX);
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_easy *easy = arg;
    size_t len = size * count;
    if (easy->stopped) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (len > easy->response_bytes_max - easy->response_bytes) {
        (void)error_set(&easy->limit, ERR_LIMIT, "%s: the answer is larger than %zu bytes",
                        easy->where, easy->response_bytes_max);
        return CURL_WRITEFUNC_ERROR;
    }
    if (easy->on_data == NULL) {
        easy->response_bytes += len;
        buf_put(&easy->response, data, len);
        return len;
    }
    if (easy->response_bytes_max != SIZE_MAX) {
        easy->response_bytes += len;
    }
    if (len > 0) {
        easy->on_data(easy->arg, http_easy_response(easy).status, span_of(data, len));
    }
    return len;
}

/* --- what a request may be -------------------------------------------------------------------- */

static bool is_token(const char *text, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    return len > 0 && strspn(text, letters) >= len;
}

static bool is_framing(const char *name, size_t len)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Expect",
                                        "Connection"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == len && strncasecmp(names[i], name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* libcurl sends the line as it is: what it holds must not become two lines. */
static bool is_header(const char *line)
{
    size_t name_len = strcspn(line, ":");
    if (line[name_len] != ':' || !is_token(line, name_len) || is_framing(line, name_len)) {
        return false;
    }
    const char *value = line + name_len + 1;
    for (const char *c = value; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            return false;
        }
    }
    return value[strspn(value, " \t")] != '\0'; /* libcurl would not send it */
}

static int take_headers(struct http_easy *easy, const char *const *headers, struct error *err)
{
    /* What libcurl would add of itself: a wait for "100 Continue", a content type of forms. */
    static const char *const unwanted[] = {"Expect:", "Content-Type:"};
    size_t count = 0;

    for (; headers != NULL && headers[count] != NULL; count++) {
        if (count == HTTP_CLIENT_HEADERS_MAX ||
            strlen(headers[count]) > HTTP_CLIENT_HEADER_BYTES_MAX) {
            return error_set(err, ERR_LIMIT, "%s: too many headers, or a header too long",
                             easy->where);
        }
        if (!is_header(headers[count])) {
            return error_set(err, ERR_INVALID, "%s: header '%.*s' may not be sent as it is",
                             easy->where, (int)strcspn(headers[count], ": \t\r\n"), headers[count]);
        }
    }
    for (size_t i = 0; i < count + sizeof unwanted / sizeof unwanted[0]; i++) {
        struct curl_slist *longer =
            curl_slist_append(easy->headers, i < count ? headers[i] : unwanted[i - count]);
        if (longer == NULL) {
            return error_set(err, ERR_NOMEM, "%s: no memory for a request", easy->where);
        }
        easy->headers = longer;
    }
    return 0;
}

static bool part_is(CURLU *url, CURLUPart part, const char *text)
{
    char *value = NULL;
    bool is = curl_url_get(url, part, &value, 0) == CURLUE_OK && strcasecmp(value, text) == 0;
    curl_free(value);
    return is;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *value = NULL;
    bool has = curl_url_get(url, part, &value, 0) == CURLUE_OK;
    curl_free(value);
    return has;
}

/* Texts do not quote it: there may be a password in it. */
static int parse_url(CURLU *url, const char *text, char where[static NET_ADDR_TEXT_BYTES],
                     struct error *err)
{
    char *host = NULL;
    char *port = NULL;

    CURLUcode bad = curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS);
    if (bad != CURLUE_OK) {
        return error_set(err, ERR_INVALID, "URL of a request: %s", curl_url_strerror(bad));
    }
    if (!part_is(url, CURLUPART_SCHEME, "http") && !part_is(url, CURLUPART_SCHEME, "https")) {
        return error_set(err, ERR_INVALID, "URL of a request: neither http nor https");
    }
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD)) {
        return error_set(err, ERR_INVALID, "URL of a request: user and password do not belong in");
    }
    if (curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        (void)snprintf(where, NET_ADDR_TEXT_BYTES, "%s:%s", host, port);
    }
    curl_free(host);
    curl_free(port);
    return where[0] != '\0' ? 0 : error_set(err, ERR_INVALID, "URL of a request: no host");
}

static int check_url(struct http_easy *easy, const char *text, struct error *err)
{
    if (text == NULL || strlen(text) > HTTP_CLIENT_URL_BYTES_MAX) {
        return error_set(err, text == NULL ? ERR_INVALID : ERR_LIMIT, "URL of a request: %s",
                         text == NULL ? "none" : "too long");
    }
    CURLU *url = curl_url();
    if (url == NULL) {
        return error_set(err, ERR_NOMEM, "no memory for a request");
    }
    int rc = parse_url(url, text, easy->where, err);
    curl_url_cleanup(url);
    return rc;
}

static int check_rest(const struct http_easy *easy, const struct http_client_request *request,
                      struct error *err)
{
    const char *method = request->method;
    if (method != NULL && (strlen(method) > 32 || !is_token(method, strlen(method)) ||
                           (strcmp(method, "HEAD") == 0 && request->body.len > 0))) {
        return error_set(err, ERR_INVALID, "%s: no method for a request", easy->where);
    }
    if (request->user != NULL && strchr(request->user, ':') != NULL) {
        return error_set(err, ERR_INVALID, "%s: a user name may not hold a colon", easy->where);
    }
    if (request->timeout_ms < 0 || request->connect_timeout_ms < 0) {
        return error_set(err, ERR_INVALID, "%s: a negative timeout", easy->where);
    }
    if (request->body.len > HTTP_CLIENT_BODY_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "%s: %zu bytes are too large a request", easy->where,
                         request->body.len);
    }
    return 0;
}

/* --- options ---------------------------------------------------------------------------------- */

/* Counts refusals, so that each option costs one line. libcurl refuses what it has no memory for,
 * or was built without. */
#define SET(option, ...) bad += curl_easy_setopt(curl, option, __VA_ARGS__) != CURLE_OK

static int set_surroundings(CURL *curl, const struct http_client_config *config)
{
    int bad = 0;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)HTTP_CLIENT_LOOKUP_CACHE_S);
    SET(CURLOPT_USERAGENT, config->user_agent);
    return bad;
}

static int set_tls(CURL *curl, const struct http_client_config *config)
{
    int bad = 0;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, config->tls_no_verify ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, config->tls_no_verify || config->tls_any_name ? 0L : 2L);
    SET(CURLOPT_CAPATH, (char *)NULL); /* else the system's CAs are trusted beside tls_ca */
    if (config->tls_ca != NULL) {
        SET(CURLOPT_CAINFO, config->tls_ca);
    }
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)HTTP_CLIENT_TLS_CA_CACHE_S);
    if (config->tls_cert != NULL) {
        SET(CURLOPT_SSLCERT, config->tls_cert);
        SET(CURLOPT_SSLKEY, config->tls_key != NULL ? config->tls_key : config->tls_cert);
        SET(CURLOPT_KEYPASSWD, config->tls_key_password != NULL ? config->tls_key_password : "");
    }
    return bad;
}

static int set_callbacks(CURL *curl, struct http_easy *easy)
{
    int bad = 0;
    SET(CURLOPT_ERRORBUFFER, easy->curl_text);
    SET(CURLOPT_PREREQFUNCTION, on_prereq);
    SET(CURLOPT_PREREQDATA, easy);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_SOCKOPTDATA, easy);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, easy);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, easy);
    return bad;
}

/* POSTFIELDS whatever the method: only so does libcurl send head and body in one piece (up to 64
 * KiB), which a server that delays its acknowledgements answers 40 ms sooner. */
static int set_method(CURL *curl, const struct http_easy *easy, const char *method, size_t body_len)
{
    int bad = 0;
    bool has_body = body_len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                    strcmp(method, "PATCH") == 0;
    if (has_body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
        SET(CURLOPT_POSTFIELDS, easy->body != NULL ? (const char *)easy->body : "");
    } else if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    return bad;
}

static int set_request(CURL *curl, const struct http_easy *easy,
                       const struct http_client_config *config,
                       const struct http_client_request *request)
{
    int64_t connect_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : config->connect_timeout_ms;
    int bad = set_method(curl, easy, request->method != NULL ? request->method : "GET",
                         request->body.len);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, easy->headers);
    SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (request->user != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, request->user);
        SET(CURLOPT_PASSWORD, request->password != NULL ? request->password : "");
    }
    return bad;
}

/* --- life ------------------------------------------------------------------------------------- */

static size_t response_limit(const struct http_client_config *config,
                             const struct http_client_request *request)
{
    if (request->response_bytes_max > 0) {
        return request->response_bytes_max;
    }
    return request->on_data != NULL ? SIZE_MAX : config->response_bytes_max;
}

int http_easy_open(struct http_easy *easy, const struct http_client_config *config,
                   const struct http_client_request *request, struct error *err)
{
    int rc = check_url(easy, request->url, err);
    if (rc == 0) {
        rc = check_rest(easy, request, err);
    }
    if (rc == 0) {
        rc = take_headers(easy, request->headers, err);
    }
    if (rc != 0) {
        return rc;
    }
    easy->keepalive_idle_s = config->keepalive_idle_s;
    easy->user_timeout_ms = config->user_timeout_ms;
    easy->on_data = request->on_data;
    easy->arg = request->arg;
    easy->repeatable = request->repeatable;
    easy->response_bytes_max = response_limit(config, request);
    easy->curl = curl_easy_init();
    easy->body = mem_try(request->body.len + 1);
    if (easy->curl == NULL || easy->body == NULL) {
        return error_set(err, ERR_NOMEM, "%s: no memory for a request", easy->where);
    }
    if (request->body.len > 0) {
        memcpy(easy->body, request->body.data, request->body.len);
    }
    int bad = set_surroundings(easy->curl, config) + set_tls(easy->curl, config) +
              set_callbacks(easy->curl, easy) + set_request(easy->curl, easy, config, request);
    return bad == 0
               ? 0
               : error_set(err, ERR_NOMEM, "%s: libcurl does not take the request", easy->where);
}

void http_easy_close(struct http_easy *easy)
{
    curl_easy_cleanup(easy->curl);
    curl_slist_free_all(easy->headers);
    mem_free(easy->body);
    buf_free(&easy->response);
}

void http_easy_stop(struct http_easy *easy)
{
    easy->stopped = true;
}

struct http_client_response http_easy_response(const struct http_easy *easy)
{
    long status = 0;
    (void)curl_easy_getinfo(easy->curl, CURLINFO_RESPONSE_CODE, &status);
    return (struct http_client_response){.status =
                                             easy->head_ended && status >= 200 ? (int)status : 0,
                                         .sent = easy->sent,
                                         .body = buf_span(&easy->response),
                                         .headers = easy->curl};
}

const char *http_client_header(const struct http_client_response *response, const char *name)
{
    struct curl_header *header = NULL;
    return curl_easy_header(response->headers, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : NULL;
}

/* --- outcome ---------------------------------------------------------------------------------- */

/* A line of a head beyond libcurl's CURL_MAX_HTTP_HEADER: out of memory before 8.6, then
 * CURLE_TOO_LARGE (100). */
static bool is_too_long(CURLcode result)
{
    return result == CURLE_OUT_OF_MEMORY || (int)result == 100;
}

int http_easy_outcome(const struct http_easy *easy, CURLcode result, struct error *err)
{
    long errnum = 0;

    if (easy->limit.code != 0) {
        *err = easy->limit;
        return err->code;
    }
    if (result == CURLE_OK && http_easy_response(easy).status != 0) {
        return 0;
    }
    if (easy->sent && is_too_long(result)) {
        return error_set(err, ERR_LIMIT, "%s: the head of the answer has a line too long",
                         easy->where);
    }
    int code = easy->sent ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    if (easy->repeat_refused) {
        return error_set(err, code, "%s: the connection ended before an answer came", easy->where);
    }
    (void)curl_easy_getinfo(easy->curl, CURLINFO_OS_ERRNO, &errnum);
    if (result == CURLE_COULDNT_CONNECT && errnum != 0) {
        return error_set(err, code, "%s: connect: %s", easy->where,
                         uv_strerror(uv_translate_sys_error((int)errnum)));
    }
    if (result == CURLE_OK) {
        return error_set(err, code, "%s: the connection ended before a whole head came",
                         easy->where);
    }
    return error_set(err, code, "%s: %s", easy->where,
                     easy->curl_text[0] != '\0' ? easy->curl_text : curl_easy_strerror(result));
}
