import CCurl

/// Sets options on an easy handle, and remembers the first that was refused.
struct CurlOptions {
    private let handle: UnsafeMutableRawPointer
    private(set) var failure = CURLE_OK

    init(_ handle: UnsafeMutableRawPointer) { self.handle = handle }

    static func text(_ code: CURLcode) -> String {
        curl_easy_strerror(code).map { String(cString: $0) } ?? "libcurl error \(code.rawValue)"
    }

    /// What holds for every request: nothing but HTTP, no redirects (the signature is for one host, and credentials
    /// must not follow), certificates verified, signals left alone.
    mutating func setBounds(_ limits: TransportConfiguration, for request: AWSRequest) {
        self.set(CURLOPT_NOSIGNAL, 1)
        // A name server that is silent must not hold this thread when a transfer gives up waiting for it.
        self.set(CURLOPT_QUICK_EXIT, 1)
        self.set(CURLOPT_PROTOCOLS_STR, "http,https")
        self.set(CURLOPT_FOLLOWLOCATION, 0)
        self.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        self.set(CURLOPT_SSL_VERIFYPEER, 1)
        self.set(CURLOPT_SSL_VERIFYHOST, 2)
        self.set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        self.set(CURLOPT_CONNECTTIMEOUT_MS, request.connectTimeout ?? limits.connectTimeout)
        self.set(CURLOPT_TIMEOUT_MS, request.totalTimeout ?? limits.totalTimeout)
        self.set(CURLOPT_LOW_SPEED_LIMIT, limits.lowSpeedBytes)
        self.set(CURLOPT_LOW_SPEED_TIME, limits.lowSpeedSeconds)
        self.set(CURLOPT_MAXAGE_CONN, limits.maximumIdleSeconds)
        // Above 1 MiB libcurl asks first, and waits a second where nobody answers. Taking the header away would break
        // the signature (it would be signed, but not sent).
        self.set(CURLOPT_EXPECT_100_TIMEOUT_MS, 1)
        if let authority = limits.certificateAuthority { self.set(CURLOPT_CAINFO, authority) }
        if request.bypassesProxy { self.set(CURLOPT_NOPROXY, "*") }
    }

    mutating func setAddress(of request: AWSRequest) {
        self.set(CURLOPT_URL, request.url)
        self.set(CURLOPT_USERAGENT, "adtrack")
    }

    mutating func setBody(of request: AWSRequest) {
        switch request.method {
        case .get: self.set(CURLOPT_HTTPGET, 1)
        case .put:
            self.set(CURLOPT_CUSTOMREQUEST, "PUT")
            self.setPost(request.body)
        case .post: self.setPost(request.body)
        }
    }

    /// libcurl reads the bytes where they are; the transfer holds the body as long as libcurl has the handle.
    private mutating func setPost(_ body: RequestBody?) {
        self.set(CURLOPT_POST, 1)
        self.note(adtrack_curl_set_size(self.handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body?.count ?? 0)))
        if let bytes = body?.bytes.baseAddress {
            self.note(adtrack_curl_set_pointer(self.handle, CURLOPT_POSTFIELDS, bytes))
        } else {
            self.set(CURLOPT_COPYPOSTFIELDS, "")
        }
    }

    /// By libcurl, with this machine's clock.
    mutating func sign(_ signing: Signing) {
        self.set(CURLOPT_AWS_SIGV4, "aws:amz:\(signing.region):\(signing.service)")
        self.set(CURLOPT_USERNAME, signing.credentials.accessKeyID)
        self.set(CURLOPT_PASSWORD, signing.credentials.secretAccessKey)
    }

    mutating func set(_ option: CURLoption, _ value: Int) {
        self.note(adtrack_curl_set_long(self.handle, option, value))
    }

    mutating func set(_ option: CURLoption, _ value: String) {
        self.note(adtrack_curl_set_text(self.handle, option, value))
    }

    mutating func set(_ option: CURLoption, _ list: UnsafeMutablePointer<curl_slist>?) {
        self.note(adtrack_curl_set_list(self.handle, option, list))
    }

    mutating func setReader(
        _ option: CURLoption,
        _ contextOption: CURLoption,
        _ context: UnsafeMutableRawPointer,
        _ read: @escaping adtrack_curl_read
    ) {
        self.note(adtrack_curl_set_reader(self.handle, option, read))
        self.note(adtrack_curl_set_pointer(self.handle, contextOption, context))
    }

    mutating func setBeforeRequest(_ context: UnsafeMutableRawPointer, _ call: @escaping adtrack_curl_before_request) {
        self.note(adtrack_curl_set_before_request(self.handle, call))
        self.note(adtrack_curl_set_pointer(self.handle, CURLOPT_PREREQDATA, context))
    }

    private mutating func note(_ code: CURLcode) {
        if self.failure == CURLE_OK { self.failure = code }
    }
}
