/// A path that is not a tracking path. Its answers are small and rare.
public struct Route: Sendable {
    public enum Handler: Sendable {
        /// At once, on the event loop.
        case immediate(@Sendable () -> Answer)
        /// When it is ready; the connection waits.
        case deferred(@Sendable () async -> Answer)
    }

    let path: [UInt8]
    let label: RequestBooks.Route
    let takesHead: Bool
    let handler: Handler

    public init(_ path: String, label: RequestBooks.Route = .other, takesHead: Bool = true, handler: Handler) {
        self.path = Array(path.utf8)
        self.label = label
        self.takesHead = takesHead
        self.handler = handler
    }

    var methods: String { self.takesHead ? "GET, HEAD" : "GET" }
}

extension Span where Element == UInt8 {
    func equals(_ bytes: [UInt8]) -> Bool {
        guard self.count == bytes.count else { return false }
        for index in self.indices where self[index] != bytes[index] { return false }
        return true
    }

    /// The id's place in a tracking path `/event/{id}`; nil for every other path.
    var trackedID: Range<Int>? {
        let prefix: StaticString = "/event/"
        let start = prefix.utf8CodeUnitCount
        guard self.count > start, self.extracting(0..<start).equals(prefix) else { return nil }
        for index in start..<self.count where self[index] == UInt8(ascii: "/") { return nil }
        return start..<self.count
    }
}
