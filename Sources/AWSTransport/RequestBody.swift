/// The bytes of a request, in memory of their own that is never copied: libcurl signs and sends from it.
///
/// `@unchecked Sendable`: the bytes are written before anyone else sees them, and never again.
public final class RequestBody: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    public let count: Int

    /// - Parameter memory: from `malloc`; freed with the body.
    init(owning memory: UnsafeMutableRawPointer, count: Int) {
        self.memory = memory
        self.count = count
    }

    public convenience init(_ bytes: some Collection<UInt8>) {
        var buffer = BodyBuffer()
        buffer.append(contentsOf: bytes)
        self.init(buffer.release())
    }

    convenience init(_ released: BodyBuffer.Released) { self.init(owning: released.memory, count: released.count) }

    deinit { BodyBuffer.free(self.memory) }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.memory, count: self.count) }
}
