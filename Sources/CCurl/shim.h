// libcurl, and its variadic calls as functions of one type each: C's variable arguments cannot be called from Swift.
#pragma once
// The macros that check an option's type want the option at compile time.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

typedef size_t (*adtrack_curl_read)(char *bytes, size_t size, size_t count, void *context);
typedef int (*adtrack_curl_before_request)(
    void *context, char *remote_address, char *local_address, int remote_port, int local_port);

static inline CURLcode adtrack_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode adtrack_curl_set_size(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

// libcurl copies the text, except that of CURLOPT_POSTFIELDS.
static inline CURLcode adtrack_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode adtrack_curl_set_pointer(CURL *handle, CURLoption option, const void *value) {
    return curl_easy_setopt(handle, option, value);
}

// Not copied: the list must live as long as the transfer.
static inline CURLcode adtrack_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode adtrack_curl_set_reader(CURL *handle, CURLoption option, adtrack_curl_read value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode adtrack_curl_set_before_request(CURL *handle, adtrack_curl_before_request value) {
    return curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, value);
}

static inline CURLMcode adtrack_curl_multi_set_long(CURLM *handle, CURLMoption option, long value) {
    return curl_multi_setopt(handle, option, value);
}

// 0 where there is none.
static inline long adtrack_curl_get_long(CURL *handle, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(handle, info, &value) == CURLE_OK ? value : 0;
}

// The handle and the result of a transfer that has ended; null when no further one has.
static inline CURL *adtrack_curl_next_ended(CURLM *handle, CURLcode *result) {
    int left = 0;
    for (;;) {
        CURLMsg *message = curl_multi_info_read(handle, &left);
        if (!message) return NULL;
        if (message->msg != CURLMSG_DONE) continue;
        *result = message->data.result;
        return message->easy_handle;
    }
}
