public import NIOCore

/// A command as the bytes that go to Redis: an array of binary-safe strings, so no argument can become a command.
public struct RedisCommand: Sendable {
    /// The whole command in RESP.
    private(set) var encoded: ByteBuffer
    private(set) var missingArguments: Int

    /// Begins a command of `argumentCount` arguments after its name; that many ``append(_:)`` must follow.
    public init(_ name: StaticString, argumentCount: Int, capacity: Int = 96) {
        self.encoded = ByteBufferAllocator().buffer(capacity: capacity)
        self.missingArguments = argumentCount + 1
        self.encoded.writeInteger(UInt8(ascii: "*"))
        self.encoded.writeDecimal(argumentCount + 1)
        self.encoded.writeLineEnd()
        self.appendRaw(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    /// A command of text arguments, for the slow paths.
    public init(_ name: StaticString, _ arguments: String...) {
        self.init(name, arguments)
    }

    public init(_ name: StaticString, _ arguments: [String]) {
        self.init(name, argumentCount: arguments.count)
        for argument in arguments { self.append(argument) }
    }

    /// `HGETALL {prefix}{id}`, the read of an L1 miss.
    public static func hashGetAll(prefix: String, id: String) -> RedisCommand {
        let length = prefix.utf8.count + id.utf8.count
        var command = RedisCommand(capacity: length + 48)
        command.encoded.writeStaticString("*2\r\n$7\r\nHGETALL\r\n$")
        command.encoded.writeDecimal(length)
        command.encoded.writeLineEnd()
        command.encoded.writeString(prefix)
        command.encoded.writeString(id)
        command.encoded.writeLineEnd()
        return command
    }

    private init(capacity: Int) {
        encoded = ByteBufferAllocator().buffer(capacity: capacity)
        missingArguments = 0
    }

    /// Whether as many arguments were appended as announced.
    public var isComplete: Bool { missingArguments == 0 }

    /// Bytes on the wire.
    public var byteCount: Int { encoded.readableBytes }

    public mutating func append(_ argument: String) {
        var argument = argument
        argument.withUTF8 { appendRaw(UnsafeRawBufferPointer($0)) }
    }

    public mutating func append(_ argument: ByteBuffer) {
        argument.withUnsafeReadableBytes { appendRaw($0) }
    }

    public mutating func append(_ argument: some BinaryInteger) {
        append(String(argument))
    }

    /// Appends one argument made of two parts, such as a key's prefix and the rest of it.
    public mutating func append(_ first: some Collection<UInt8>, _ second: some Collection<UInt8>) {
        takePlace()
        encoded.writeArgument(length: first.count + second.count) { place in
            place.copyBytes(from: first)
            UnsafeMutableRawBufferPointer(rebasing: place[first.count...]).copyBytes(from: second)
        }
    }

    public mutating func append(_ argument: some Collection<UInt8>) {
        append(argument, EmptyCollection())
    }

    private mutating func appendRaw(_ argument: UnsafeRawBufferPointer) {
        takePlace()
        encoded.writeArgument(argument)
    }

    private mutating func takePlace() {
        assert(missingArguments > 0, "more arguments than the command announced")
        missingArguments -= 1
    }
}

extension ByteBuffer {
    /// A binary-safe string: `$`, its length, a line's end, its bytes, a line's end.
    mutating func writeArgument(_ argument: UnsafeRawBufferPointer) {
        writeArgument(length: argument.count) { $0.copyMemory(from: argument) }
    }

    /// - Parameter fill: writes every byte of the place it is given.
    fileprivate mutating func writeArgument(length: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        // A length has 19 digits at most.
        writeWithUnsafeMutableBytes(minimumWritableBytes: length + 24) { room in
            var end = 0
            func write(_ byte: UInt8) {
                room[end] = byte
                end += 1
            }
            write(UInt8(ascii: "$"))
            var unit = 1
            while length / unit >= 10 { unit *= 10 }
            while unit > 0 {
                write(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: length / unit % 10))
                unit /= 10
            }
            write(UInt8(ascii: "\r"))
            write(UInt8(ascii: "\n"))
            fill(UnsafeMutableRawBufferPointer(rebasing: room[end..<end + length]))
            end += length
            write(UInt8(ascii: "\r"))
            write(UInt8(ascii: "\n"))
            return end
        }
    }

    fileprivate mutating func writeLineEnd() {
        writeInteger(0x0D0A as UInt16)
    }

    /// Writes a number that is not negative without making a `String` of it.
    fileprivate mutating func writeDecimal(_ value: Int) {
        if value < 10 {
            writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
        } else if value < 100 {
            let tens = UInt16(truncatingIfNeeded: value / 10)
            writeInteger(0x3030 + tens << 8 + UInt16(truncatingIfNeeded: value % 10))
        } else {
            writeDecimal(value / 100)
            writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 10 % 10))
            writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
        }
    }
}
