import CNIOLLHTTP

@testable import HTTPIngress

/// What llhttp, Node.js's and SwiftNIO's parser, reads out of one head, with its strict defaults.
private final class LLHTTPReading {
    private(set) var target: [UInt8] = []
    private(set) var fields: [(name: [UInt8], value: [UInt8])] = []
    private(set) var method = ""
    private(set) var isComplete = false
    private(set) var staysOpen = false
    private(set) var hasBody = false
    private(set) var reason = ""

    init(_ head: [UInt8]) {
        var settings = llhttp_settings_t()
        c_nio_llhttp_settings_init(&settings)
        settings.on_url = { parser, at, count in reading(parser) { $0.target += bytes(at, count) } }
        settings.on_header_field = { parser, at, count in
            reading(parser) {
                if $0.isBetweenFields { $0.fields.append(([], [])) }
                $0.isBetweenFields = false
                $0.fields[$0.fields.count - 1].name += bytes(at, count).map(PlainHead.lowercased)
            }
        }
        settings.on_header_value = { parser, at, count in
            reading(parser) { $0.fields[$0.fields.count - 1].value += bytes(at, count) }
        }
        settings.on_header_value_complete = { parser in reading(parser) { $0.isBetweenFields = true } }
        settings.on_headers_complete = { parser in
            guard let parser else { return -1 }
            return reading(parser) {
                $0.isComplete = true
                $0.method = String(cString: c_nio_llhttp_method_name(llhttp_method_t(UInt32(parser.pointee.method))))
                $0.staysOpen = c_nio_llhttp_should_keep_alive(parser) != 0
                $0.hasBody = parser.pointee.content_length > 0 || parser.pointee.flags & UInt16(F_CHUNKED.rawValue) != 0
            }
        }
        var parser = llhttp_t()
        withUnsafeMutablePointer(to: &settings) { settings in
            c_nio_llhttp_init(&parser, HTTP_REQUEST, settings)
            parser.data = Unmanaged.passUnretained(self).toOpaque()
            let outcome = head.withUnsafeBytes { c_nio_llhttp_execute_swift(&parser, $0.baseAddress, $0.count) }
            if outcome != HPE_OK, let text = c_nio_llhttp_get_error_reason(&parser) {
                self.reason = String(cString: text)
            }
        }
    }

    fileprivate var isBetweenFields = true
}

private func bytes(_ at: UnsafePointer<CChar>?, _ count: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: at, count: count))
}

private func reading(_ parser: UnsafeMutablePointer<llhttp_t>?, _ change: (LLHTTPReading) -> Void) -> CInt {
    guard let data = parser?.pointee.data else { return -1 }
    change(Unmanaged<LLHTTPReading>.fromOpaque(data).takeUnretainedValue())
    return 0
}

extension PlainHead {
    /// That llhttp accepts the same bytes as one head with the same method, target, fields and framing.
    ///
    /// Where llhttp is stricter, it gets what it reads in the same way: 1 in the place of a later minor version (we serve
    /// those as 1.1, RFC 9110 section 2.5), `x` for raw bytes of UTF-8 in a target.
    func checkAgainstLLHTTP(_ head: RequestHead) {
        // Its target is an authority, of which we only know that no path of ours takes it.
        guard self.method != Array("CONNECT".utf8) else { return }
        // llhttp counts a length in 64 bits, we only whether there is one.
        guard self.values("content-length").allSatisfy({ $0.count < 19 }) else { return }
        let emptyLine = self.bytes[0] == 0x0d ? 2 : 0
        let targetStart = emptyLine + self.method.count + 1
        var bytes = self.bytes
        for index in targetStart..<targetStart + self.target.count where bytes[index] >= 0x80 {
            bytes[index] = UInt8(ascii: "x")
        }
        let target = Array(bytes[targetStart..<targetStart + self.target.count])
        if !head.isHTTP10 { bytes[targetStart + self.target.count + self.version.count] = UInt8(ascii: "1") }
        let theirs = LLHTTPReading(bytes)
        // A tab behind a length is white space like any other (RFC 9110 section 5.6.3); llhttp knows spaces only.
        let isLength = theirs.reason.contains("Content-Length") && self.bytes.contains(0x09)
        guard theirs.isComplete || !isLength else { return }
        require(theirs.isComplete, "llhttp refuses what we accept: \(theirs.reason)")
        require(!LLHTTPReading(Array(bytes.dropLast())).isComplete, "llhttp ends the head earlier")
        require(theirs.method.utf8.elementsEqual(self.method), "llhttp reads \(theirs.method)")
        require(theirs.target == target, "llhttp reads another target")
        require(theirs.fields.count == self.fields.count, "llhttp reads \(theirs.fields.count) fields")
        for (their, our) in zip(theirs.fields, self.fields) {
            require(their.name == our.name, "llhttp reads another name")
            require(Self.trimmed(their.value[...]) == our.value, "llhttp reads another value")
        }
        require(theirs.hasBody == head.announcesBody, "llhttp sees a body where we see none, or the reverse")
        // In HTTP/1.0 llhttp looks for keep-alive alone; we take close for an answer as well.
        require(!head.keepsAlive || theirs.staysOpen, "llhttp closes where we stay")
        // Nor does it know that a tab may stand around an option (RFC 9110 section 5.6.3).
        let isTabbed = self.bytes.contains(0x09)
        require(head.keepsAlive || !theirs.staysOpen || head.isHTTP10 || isTabbed, "llhttp stays where we close")
    }
}
