/// What a tracking request asks, apart from the program: its type, its checksum, its parameters.
///
/// It owns the decoded bytes and is read again and again into the same storage, so the request path allocates nothing.
public struct TrackingRequest {
    /// Bounds the search for repetitions; a target of 8 KiB could carry thousands.
    public static let maximumParameters = 128

    struct Parameter {
        let name: Range<Int>
        let value: Range<Int>
    }

    /// nil: the type is none of ours.
    public private(set) var type: TrackingType? = .click
    private var typeRange: Range<Int>?
    private var checksumRange: Range<Int>?
    /// The request's own parameters, without `type` and `checksum`, in their order.
    private(set) var parameters: [Parameter] = []
    private(set) var bytes: [UInt8] = []

    public init() {}

    /// Reads the query (what follows `?`). False when it is malformed: the request is a bad one.
    public mutating func read(query: Span<UInt8>) -> Bool {
        self.type = .click
        self.typeRange = nil
        self.checksumRange = nil
        if !self.parameters.isEmpty { self.parameters.removeAll(keepingCapacity: true) }
        if !self.bytes.isEmpty { self.bytes.removeAll(keepingCapacity: true) }
        guard !query.isEmpty else { return true }
        var start = 0
        while start <= query.count {
            let end = query.firstIndex(of: UInt8(ascii: "&"), from: start)
            let pair = query.extracting(start..<end)
            let equals = pair.firstIndex(of: UInt8(ascii: "="), from: 0)
            guard let name = self.decode(pair.extracting(0..<equals)), !name.isEmpty,
                let value = self.decode(pair.extracting(min(equals + 1, pair.count)..<pair.count))
            else { return false }
            if self.bytes.span.extracting(name).equals("type") {
                guard self.typeRange == nil else { return false }
                self.typeRange = value
                self.type = TrackingType(self.bytes.span.extracting(value))
            } else if self.bytes.span.extracting(name).equals("checksum") {
                guard self.checksumRange == nil else { return false }
                self.checksumRange = value
            } else {
                guard self.parameters.count < Self.maximumParameters, self.index(of: self.bytes[name]) == nil else {
                    return false
                }
                self.parameters.append(Parameter(name: name, value: value))
            }
            start = end + 1
        }
        return true
    }

    /// Percent-decodes once (RFC 3986 section 2.1) behind the bytes that are there. nil: `%` without two hexadecimal
    /// digits, a control character, or no UTF-8.
    private mutating func decode(_ text: Span<UInt8>) -> Range<Int>? {
        let start = self.bytes.count
        guard PercentEncoding.decode(text, into: &self.bytes) else { return nil }
        return start..<self.bytes.count
    }

    var typeText: ArraySlice<UInt8>? { self.typeRange.map { self.bytes[$0] } }
    var checksum: ArraySlice<UInt8>? { self.checksumRange.map { self.bytes[$0] } }

    func index(of name: some Collection<UInt8>) -> Int? {
        self.parameters.firstIndex { self.bytes[$0.name].elementsEqual(name) }
    }

    func name(_ index: Int) -> ArraySlice<UInt8> { self.bytes[self.parameters[index].name] }
    func value(_ index: Int) -> ArraySlice<UInt8> { self.bytes[self.parameters[index].value] }
}
