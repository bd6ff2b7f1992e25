import Glibc

/// AWS Signature Version 4 for a machine whose clock is wrong.
///
/// libcurl signs with this machine's clock. It takes another time from an `X-Amz-Date` of ours, but up to 8.2 it then
/// sends that header twice (curl issue 11738), which is no longer what was signed. So the few requests that are sent
/// with a corrected clock are signed here; libcurl leaves a request with an `Authorization` alone.
///
/// The rules: IAM User Guide, "Create a signed AWS API request". The path is used as it stands and there is no query.
enum OffsetSignature {
    /// The headers to add to those that the request has.
    ///
    /// - Parameter now: this machine's clock, seconds since the Unix epoch.
    static func headers(
        for request: AWSRequest,
        _ headers: [AWSRequest.Header],
        _ signing: Signing,
        now: Int
    ) -> [AWSRequest.Header] {
        guard let url = HTTPAddress(request.url) else { return [] }
        let time = self.text(of: now + signing.clockOffset)
        var signed = headers.map { ($0.name.lowercased(), self.trimmed($0.value)) }
        signed += [("host", url.hostHeader), ("x-amz-date", time)]
        signed.sort { $0.0 < $1.0 }
        let names = signed.map(\.0).joined(separator: ";")
        let canonical = [
            request.method.rawValue, url.path, "", signed.map { "\($0):\($1)\n" }.joined(), names,
            SHA256.hex(SHA256.digest(request.body?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))),
        ].joined(separator: "\n")
        let scope = "\(time.prefix(8))/\(signing.region)/\(signing.service)/aws4_request"
        let text = "AWS4-HMAC-SHA256\n\(time)\n\(scope)\n\(SHA256.hex(SHA256.digest(canonical.utf8)))"
        let signature = SHA256.hex(SHA256.hmac(key: self.key(signing, day: String(time.prefix(8))), text.utf8))
        let credential = "\(signing.credentials.accessKeyID)/\(scope)"
        return [
            .init("X-Amz-Date", time),
            .init(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=\(credential), SignedHeaders=\(names), Signature=\(signature)"
            ),
        ]
    }

    private static func key(_ signing: Signing, day: String) -> [UInt8] {
        var key = Array("AWS4\(signing.credentials.secretAccessKey)".utf8)
        for part in [day, signing.region, signing.service, "aws4_request"] { key = SHA256.hmac(key: key, part.utf8) }
        return key
    }

    /// Without spaces around it, and with single ones inside.
    private static func trimmed(_ value: String) -> String {
        value.split(separator: " ").joined(separator: " ")
    }

    /// `20260131T235959Z`.
    private static func text(of seconds: Int) -> String {
        var seconds = time_t(seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let digits = { (number: Int32, width: Int) in
            String(repeating: "0", count: max(0, width - String(number).count)) + String(number)
        }
        let day = digits(parts.tm_year + 1900, 4) + digits(parts.tm_mon + 1, 2) + digits(parts.tm_mday, 2)
        return "\(day)T\(digits(parts.tm_hour, 2))\(digits(parts.tm_min, 2))\(digits(parts.tm_sec, 2))Z"
    }
}
