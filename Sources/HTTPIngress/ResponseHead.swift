import NIOCore
import TrackingModel

/// The parts of answers that stay the same for a second, already in bytes.
///
/// A class, as who asks a value for bytes counts a reference to each of its arrays. One for each event loop, and never
/// elsewhere.
final class ResponseHeads {
    /// What the answer says about its connection.
    enum Connection: Int, CaseIterable {
        /// HTTP/1.1's default, unsaid.
        case stays
        /// HTTP/1.0 has to be told.
        case staysSaid
        case closes

        var field: StaticString {
            switch self {
            case .stays: ""
            case .staysSaid: "Connection: keep-alive\r\n"
            case .closes: "Connection: close\r\n"
            }
        }
    }

    private var second: Int64 = .min
    private var date: [UInt8] = []
    /// Of an accepted event's answer, up to the value of Content-Length; one for each `Connection`.
    private var accepted: [[UInt8]] = []
    /// Whole answers but for the date; one row for each `Connection`, one column for each outcome.
    private var refusals: [[Rendered]] = []

    private struct Rendered {
        let beforeDate: [UInt8]
        let afterDate: [UInt8]
    }

    init() {
        self.refusals = Connection.allCases.map { connection in
            Outcome.allCases.map { Self.render($0.answer(), connection) }
        }
    }

    /// Renews the date once a second (RFC 9110 section 6.6.1).
    @inline(__always)
    func update(_ wall: Timestamp) {
        let second = wall.milliseconds / 1000
        if second != self.second { self.renew(second) }
    }

    private func renew(_ second: Int64) {
        self.second = second
        self.date = HTTPDate.text(second)
        self.accepted = Connection.allCases.map { connection in
            let fields = "\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\(connection.field)"
            return Array("HTTP/1.1 200 OK\r\nDate: ".utf8) + self.date + Array((fields + "Content-Length: ").utf8)
        }
    }

    func putAccepted(_ event: borrowing AcceptedEvent, _ connection: Connection, to out: inout ByteBuffer) {
        let bodyBytes = event.answerBytes
        let head = self.accepted[connection.rawValue]
        // Twelve for the length and the empty line: eight digits are more than a head of 16 KiB can make necessary.
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: head.count + 12 + bodyBytes) { memory in
            var bytes = ByteWriter(memory)
            bytes.put(head.span)
            bytes.put(decimal: bodyBytes)
            bytes.put("\r\n\r\n")
            event.putAnswer(to: &bytes)
            return bytes.count
        }
    }

    func put(_ outcome: Outcome, _ connection: Connection, to out: inout ByteBuffer) {
        let rendered = self.refusals[connection.rawValue][outcome.index]
        out.writeBytes(rendered.beforeDate)
        out.writeBytes(self.date)
        out.writeBytes(rendered.afterDate)
    }

    func put(_ answer: Answer, _ connection: Connection, withBody: Bool, to out: inout ByteBuffer) {
        let rendered = Self.render(answer, connection, withBody: withBody)
        out.writeBytes(rendered.beforeDate)
        out.writeBytes(self.date)
        out.writeBytes(rendered.afterDate)
    }

    private static func render(_ answer: Answer, _ connection: Connection, withBody: Bool = true) -> Rendered {
        var after = "\r\nContent-Type: \(answer.contentType)\r\nCache-Control: no-store\r\n\(connection.field)"
        for field in answer.fields { after += "\(field.name): \(field.value)\r\n" }
        after += "Content-Length: \(answer.body.count)\r\n\r\n"
        return Rendered(
            beforeDate: Array("HTTP/1.1 \(answer.status) \(Answer.reason(answer.status))\r\nDate: ".utf8),
            afterDate: Array(after.utf8) + (withBody ? answer.body : [])
        )
    }
}

/// IMF-fixdate (RFC 9110 section 5.6.7).
enum HTTPDate {
    static func text(_ second: Int64) -> [UInt8] {
        // 1970-01-01 was a Thursday.
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        // "2026-11-21T09:30:00Z": the parts stand at fixed places.
        let iso = Array(Timestamp(milliseconds: max(0, second) * 1000).rfc3339.utf8)
        let month = Int(iso[5] - 48) * 10 + Int(iso[6] - 48)
        let weekday = weekdays[Int(max(0, second) / 86_400 % 7)]
        let (year, day, time) = (iso[0..<4], iso[8..<10], iso[11..<19])
        func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
        return Array("\(weekday), \(text(day)) \(months[month - 1]) \(text(year)) \(text(time)) GMT".utf8)
    }
}

extension ByteWriter {
    /// At most eight digits.
    @inline(__always)
    mutating func put(decimal number: Int) {
        var divisor = 10_000_000
        while divisor > number, divisor > 1 { divisor /= 10 }
        var rest = number
        while divisor > 0 {
            self.put(UInt8(truncatingIfNeeded: 48 &+ rest / divisor % 10))
            rest %= divisor
            divisor /= 10
        }
    }
}
