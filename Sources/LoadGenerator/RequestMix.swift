import NIOCore

/// What a run asks: requests written out once, of which each is picked at random, with its share of unknown and invalid ids.
public struct RequestMix: Sendable {
    /// Shares of all requests, 0 to 1, together at most 1.
    public let unknown: Double
    public let invalid: Double

    /// Paths with their queries, as they stand in the request line.
    let paths: [String]

    /// The ids of the service's built-in sample.
    public static let sample = ["212312", "212313", "212314"].map { "/event/\($0)" }

    /// Each of them is malformed by the rule `[A-Za-z0-9_-]{1,64}` or by percent-decoding.
    static let invalidPaths = [
        "/event/not!an-id", "/event/%zz", "/event/21%202312", "/event/" + String(repeating: "x", count: 65),
    ]

    /// At most this many different requests are held; the memory for them stays below 100 MiB.
    public static let mostPaths = 200_000

    public init(paths: [String], unknown: Double = 0, invalid: Double = 0) throws {
        guard !paths.isEmpty else { throw LoadError("there is no id to ask for") }
        guard paths.count <= Self.mostPaths else {
            throw LoadError("there are \(paths.count) ids, at most \(Self.mostPaths) can be asked for in one run")
        }
        guard unknown >= 0, invalid >= 0, unknown + invalid <= 1 else {
            throw LoadError("the shares of unknown and invalid ids are more than the whole together")
        }
        self.paths = paths
        self.unknown = unknown
        self.invalid = invalid
    }

    /// One id or path a line; a line that starts with a slash is a path. Empty lines and those that start with # are left out.
    public static func paths(ofLines text: String) throws -> [String] {
        try text.split(whereSeparator: \.isNewline).compactMap { line in
            let line = line.drop { $0 == " " || $0 == "\t" }
            if line.isEmpty || line.hasPrefix("#") { return nil }
            let path = escaped(line.hasPrefix("/") ? String(line) : "/event/" + line)
            guard path.utf8.count <= 16_384 else { throw LoadError("a line of the ids is longer than 16384 bytes") }
            return path
        }
    }

    /// Whatever could not stand in a request line is percent-encoded; what is encoded already stays as it is.
    static func escaped(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if byte > 0x20, byte < 0x7F {
                bytes.append(byte)
            } else {
                let digits = Array("0123456789ABCDEF".utf8)
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The requests of one run as bytes, and the dice that pick them; belongs to one event loop.
struct RequestWriter {
    private let requests: [[UInt8]]
    /// Whether the answer 200 to the request of the same index is an accepted event.
    private let tracks: [Bool]
    private let invalid: [[UInt8]]
    private let unknownHead: [UInt8]
    private let tail: [UInt8]
    /// Chances in 2^32, cumulative: below the first invalid, below the second unknown.
    private let invalidBelow: UInt64
    private let unknownBelow: UInt64
    private var dice: SplitMix64

    init(mix: RequestMix, target: LoadTarget, seed: UInt64) {
        let tail = " HTTP/1.1\r\nHost: \(target.authority)\r\nUser-Agent: adtrack-load\r\nAccept: */*\r\n\r\n"
        func request(_ path: String) -> [UInt8] { Array("GET \(target.prefix)\(path)\(tail)".utf8) }
        self.tail = Array(tail.utf8)
        requests = mix.paths.map(request)
        tracks = mix.paths.map { $0.hasPrefix("/event/") }
        invalid = RequestMix.invalidPaths.map(request)
        unknownHead = Array("GET \(target.prefix)/event/unknown-".utf8)
        let whole = 4_294_967_296.0
        invalidBelow = UInt64(mix.invalid * whole)
        unknownBelow = invalidBelow + UInt64(mix.unknown * whole)
        dice = SplitMix64(state: seed)
    }

    /// Appends one request; true when an answer 200 to it is an accepted event.
    mutating func append(to buffer: inout ByteBuffer) -> Bool {
        let roll = dice.next()
        let chance = roll >> 32
        let pick = roll & 0xFFFF_FFFF
        if chance >= unknownBelow {
            let index = Int((pick &* UInt64(requests.count)) >> 32)
            buffer.writeBytes(requests[index])
            return tracks[index]
        }
        if chance < invalidBelow {
            buffer.writeBytes(invalid[Int((pick &* UInt64(invalid.count)) >> 32)])
        } else {
            buffer.writeBytes(unknownHead)
            writeHexadecimal(dice.next(), to: &buffer)
            buffer.writeBytes(tail)
        }
        return true
    }

    private func writeHexadecimal(_ value: UInt64, to buffer: inout ByteBuffer) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 15
            buffer.writeInteger(digit < 10 ? digit &+ UInt8(ascii: "0") : digit &+ (UInt8(ascii: "a") - 10))
        }
    }
}

/// Steele, Lea and Flood's generator of 2014: one addition and three mixing steps; good enough for dice, not for secrets.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
