/// The body of one `PutRecords`, written straight from the bytes of the records; it holds nothing else of them.
///
/// The bounds are the API's (Kinesis API reference, PutRecords and PutRecordsRequestEntry), checked before anything is
/// sent: one record too large makes AWS refuse the whole call.
public struct PutRecordsBody: ~Copyable {
    public struct Limits: Sendable, Hashable {
        /// Records of one call.
        public var records = 500
        /// Data and partition keys of one call, before base64.
        public var bytes = 5 * 1024 * 1024
        /// Data and partition key of one record. 1 MiB unless the stream's `MaxRecordSizeInKiB` was raised (to 10 MiB
        /// at most).
        public var recordBytes = 1024 * 1024
        /// UTF-16 units of a partition key; at least one.
        public var keyLength = 256

        public init() {}
    }

    public enum Fit: Sendable, Hashable {
        case fitted
        /// Not in this call any more; the next has room for it.
        case full
        /// In no call, ever.
        case never(Misfit)
    }

    /// Why a record can never be sent.
    public enum Misfit: String, Sendable, Hashable {
        case recordTooLarge = "record_too_large"
        case keyEmpty = "key_empty"
        case keyTooLong = "key_too_long"
        case keyNotUTF8 = "key_not_utf8"
    }

    public let limits: Limits
    public private(set) var count = 0
    /// Data and partition keys, before base64.
    public private(set) var bytes = 0
    private var json: BodyBuffer

    /// - Parameter expectedBytes: data and keys, to spare the memory its growth.
    public init(limits: Limits = Limits(), expectedBytes: Int = 0) {
        self.limits = limits
        self.json = BodyBuffer(capacity: min(max(expectedBytes, 0), limits.bytes) * 3 / 2 + 1024)
        self.json.append("{\"Records\":[")
    }

    /// Adds a record, or says why not; the memory is good for the call only.
    public mutating func append(data: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Fit {
        if let misfit = self.misfit(data, key) { return .never(misfit) }
        let size = data.count + key.count
        guard self.count < self.limits.records, size <= self.limits.bytes - self.bytes else { return .full }
        if self.count > 0 { self.json.append(UInt8(ascii: ",")) }
        self.json.append("{\"Data\":\"")
        self.json.append(atMost: Base64.encodedCount(data.count)) { target in
            Base64.encode(data, into: target)
            return Base64.encodedCount(data.count)
        }
        self.json.append("\",\"PartitionKey\":")
        self.json.appendJSONString(key)
        self.json.append(UInt8(ascii: "}"))
        self.count += 1
        self.bytes += size
        return .fitted
    }

    private func misfit(_ data: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer) -> Misfit? {
        if key.isEmpty { return .keyEmpty }
        if data.count + key.count > min(self.limits.recordBytes, self.limits.bytes) { return .recordTooLarge }
        // No text has more UTF-16 units than bytes of UTF-8.
        if key.count <= self.limits.keyLength, key.allSatisfy({ $0 < 0x80 }) { return nil }
        guard let text = String(validating: key, as: UTF8.self) else { return .keyNotUTF8 }
        return text.utf16.count > self.limits.keyLength ? .keyTooLong : nil
    }

    /// Ends the JSON document with the stream's name (or its ARN).
    consuming func seal(stream: String) -> SealedRecords {
        let count = self.count
        self.json.append(stream.hasPrefix("arn:") ? "],\"StreamARN\":" : "],\"StreamName\":")
        self.json.appendJSONString(stream)
        self.json.append(UInt8(ascii: "}"))
        return SealedRecords(body: RequestBody(self.json.release()), count: count)
    }
}

/// A complete `PutRecords` request, which may be sent again as it is.
struct SealedRecords: Sendable {
    var body: RequestBody
    var count: Int
}
