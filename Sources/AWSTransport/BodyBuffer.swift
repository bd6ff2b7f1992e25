import Glibc

/// Memory that grows while a body is written, and is handed on without a copy when it is complete.
struct BodyBuffer: ~Copyable {
    struct Released {
        var memory: UnsafeMutableRawPointer
        var count: Int
    }

    private var memory: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 4096) {
        self.capacity = max(capacity, 64)
        self.memory = Self.allocate(self.capacity, nil)
    }

    deinit { Glibc.free(self.memory) }

    static func free(_ memory: UnsafeMutableRawPointer) { Glibc.free(memory) }

    consuming func release() -> Released {
        let released = Released(memory: self.memory, count: self.count)
        discard self
        return released
    }

    mutating func append(_ byte: UInt8) {
        self.reserve(1)
        self.memory.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        self.reserve(bytes.count)
        (self.memory + self.count).copyMemory(from: source, byteCount: bytes.count)
        self.count += bytes.count
    }

    mutating func append(_ text: StaticString) {
        self.append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(contentsOf bytes: some Collection<UInt8>) {
        if bytes.withContiguousStorageIfAvailable({ self.append(UnsafeRawBufferPointer($0)) }) != nil { return }
        for byte in bytes { self.append(byte) }
    }

    /// Lets `write` fill at most so many bytes; it tells how many it wrote.
    mutating func append(atMost limit: Int, _ write: (UnsafeMutableRawPointer) -> Int) {
        self.reserve(limit)
        self.count += min(write(self.memory + self.count), limit)
    }

    /// Takes back what was written after the first `count` bytes.
    mutating func truncate(to count: Int) { self.count = min(max(count, 0), self.count) }

    private mutating func reserve(_ more: Int) {
        guard self.capacity - self.count < more else { return }
        self.capacity = max(self.capacity &* 2, self.count + more)
        self.memory = Self.allocate(self.capacity, self.memory)
    }

    private static func allocate(_ bytes: Int, _ old: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer {
        guard let memory = realloc(old, bytes) else { fatalError("no memory for a request body of \(bytes) bytes") }
        return memory
    }
}

extension BodyBuffer {
    /// A JSON string (RFC 8259 section 7) of bytes that are UTF-8.
    mutating func appendJSONString(_ text: UnsafeRawBufferPointer) {
        self.append(UInt8(ascii: "\""))
        var copied = 0
        for index in text.indices where Self.needsEscape(text[index]) {
            self.append(UnsafeRawBufferPointer(rebasing: text[copied..<index]))
            self.appendEscaped(text[index])
            copied = index + 1
        }
        self.append(UnsafeRawBufferPointer(rebasing: text[copied...]))
        self.append(UInt8(ascii: "\""))
    }

    mutating func appendJSONString(_ text: String) {
        var text = text
        text.withUTF8 { self.appendJSONString(UnsafeRawBufferPointer($0)) }
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func appendEscaped(_ byte: UInt8) {
        self.append(UInt8(ascii: "\\"))
        guard byte < 0x20 else { return self.append(byte) }
        self.append("u00")
        self.append(Self.hexDigit(byte >> 4))
        self.append(Self.hexDigit(byte & 15))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
