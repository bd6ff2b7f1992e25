import CCurl

/// One request on its way.
///
/// `@unchecked Sendable`: the request is constant; ``intake`` and ``finish`` are touched under the loop's lock,
/// everything else by the loop's thread alone.
final class Transfer: @unchecked Sendable {
    /// Where a transfer is, as its caller's thread may know it.
    enum Intake {
        case new
        case submitted
        case cancelled
    }

    let request: AWSRequest
    var intake = Intake.new
    var finish: (@Sendable (AWSAnswer) -> Void)?

    /// While it is with libcurl.
    var handle: UnsafeMutableRawPointer?
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var answer = AWSResponse(status: 0)
    private var answerLimit = 0
    private var headerBytes = 0
    /// How often libcurl was about to send: 0 before the connection stands, above 1 when it would repeat.
    private(set) var sendings = 0
    private var isTooLarge = false

    private static let maximumHeaderBytes = 64 * 1024

    init(_ request: AWSRequest) { self.request = request }

    deinit { curl_slist_free_all(self.headerList) }

    var mayHaveBeenReceived: Bool { self.sendings > 0 }

    /// Sets everything of this request on a handle without options.
    ///
    /// - Parameter now: seconds since the Unix epoch.
    /// - Returns: why it cannot be expressed.
    func configure(_ handle: UnsafeMutableRawPointer, _ limits: TransportConfiguration, now: Int) -> TransportFailure? {
        self.answerLimit = limits.maximumAnswerBytes
        var options = CurlOptions(handle)
        options.setBounds(limits, for: self.request)
        options.setAddress(of: self.request)
        options.setBody(of: self.request)
        guard self.setHeaders(&options, now: now) else {
            return TransportFailure(.configuration, "A header of the request to AWS has a line end or no text.")
        }
        self.setCallbacks(&options)
        guard options.failure == CURLE_OK else {
            return TransportFailure(.configuration, "libcurl refuses an option: \(CurlOptions.text(options.failure)).")
        }
        return nil
    }

    private func setHeaders(_ options: inout CurlOptions, now: Int) -> Bool {
        var headers = self.request.headers
        if let signing = self.request.signing {
            if let token = signing.credentials.sessionToken { headers.append(.init("X-Amz-Security-Token", token)) }
            if signing.clockOffset == 0 {
                options.sign(signing)
            } else {
                headers += OffsetSignature.headers(for: self.request, headers, signing, now: now)
            }
        }
        for header in headers {
            guard !header.value.isEmpty, !header.value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
                return false
            }
            guard let list = curl_slist_append(self.headerList, "\(header.name): \(header.value)") else { return false }
            self.headerList = list
        }
        options.set(CURLOPT_HTTPHEADER, self.headerList)
        return true
    }

    private func setCallbacks(_ options: inout CurlOptions) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        options.setReader(CURLOPT_WRITEFUNCTION, CURLOPT_WRITEDATA, context) { bytes, size, count, context in
            Transfer.of(context)?.received(UnsafeRawBufferPointer(start: bytes, count: size &* count)) ?? 0
        }
        options.setReader(CURLOPT_HEADERFUNCTION, CURLOPT_HEADERDATA, context) { bytes, size, count, context in
            Transfer.of(context)?.receivedHeader(UnsafeRawBufferPointer(start: bytes, count: size &* count)) ?? 0
        }
        options.setBeforeRequest(context) { context, _, _, _, _ in
            Transfer.of(context)?.willSend() == true ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
    }

    private static func of(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    private func willSend() -> Bool {
        self.sendings += 1
        return self.sendings == 1
    }

    /// - Returns: less than was given to end the transfer.
    private func received(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard bytes.count <= self.answerLimit - self.answer.body.count else {
            self.isTooLarge = true
            return 0
        }
        self.answer.body.append(contentsOf: bytes)
        return bytes.count
    }

    private func receivedHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        self.headerBytes += bytes.count
        guard self.headerBytes <= Self.maximumHeaderBytes else {
            self.isTooLarge = true
            return 0
        }
        self.note(bytes)
        return bytes.count
    }

    private func note(_ line: UnsafeRawBufferPointer) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return }
        let value = { self.text(line[(colon + 1)...]) }
        switch colon {
        case 4 where self.isName(line[..<colon], "date"): self.answer.date = value()
        case 16 where self.isName(line[..<colon], "x-amzn-requestid"): self.answer.requestID = value()
        case 16 where self.isName(line[..<colon], "x-amzn-errortype"): self.answer.errorType = value()
        default:
            let name = self.request.wantedHeaders.first { self.isName(line[..<colon], $0) }
            if let name { self.answer.headers[name] = value() }
        }
    }

    private func isName(_ bytes: Slice<UnsafeRawBufferPointer>, _ name: String) -> Bool {
        bytes.elementsEqual(name.utf8) { $0 | 0x20 == $1 | 0x20 }
    }

    private func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        let trimmed = bytes.drop { $0 <= 0x20 }.reversed().drop { $0 <= 0x20 }.reversed()
        return String(decoding: trimmed, as: UTF8.self)
    }

    /// What the transfer came to.
    func outcome(_ result: CURLcode) -> AWSAnswer {
        guard result == CURLE_OK, let handle = self.handle else { return .failed(self.failure(result)) }
        self.answer.status = adtrack_curl_get_long(handle, CURLINFO_RESPONSE_CODE)
        return .answered(self.answer)
    }

    private func failure(_ result: CURLcode) -> TransportFailure {
        TransportFailure(
            self.isTooLarge ? .tooLarge : self.sendings > 1 ? .cut : .init(result),
            mayHaveBeenReceived: self.mayHaveBeenReceived,
            self.isTooLarge ? "The answer is longer than is read." : "\(CurlOptions.text(result))."
        )
    }
}

extension TransportFailure.Code {
    init(_ result: CURLcode) {
        self =
            switch result {
            case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .unresolved
            case CURLE_COULDNT_CONNECT: .unreachable
            case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE,
                CURLE_SSL_ISSUER_ERROR:
                .untrusted
            case CURLE_OPERATION_TIMEDOUT: .timeout
            case CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_PARTIAL_FILE, CURLE_ABORTED_BY_CALLBACK:
                .cut
            case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_FUNCTION_ARGUMENT, CURLE_OUT_OF_MEMORY:
                .configuration
            default: .violation
            }
    }
}
